"""What a client may connect to: the table of candidates' docstring, row by row."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from beacon.client.candidates import Candidate, from_document, merged
from beacon.model import Document, Effective, Endpoint, EndpointState, Forced, Observed

NOW = datetime(2026, 11, 22, 1, 2, 3, tzinfo=UTC)
REGIONS = ("us-east-1", "us-east-2", "us-west-2", "eu-west-1")
HOSTS = tuple(f"{letter * 26}.dsql.{region}.on.aws" for letter, region in zip("abcd", REGIONS, strict=True))
UP, DOWN, UNKNOWN = Observed.UP, Observed.DOWN, Observed.UNKNOWN


def state(number: int, observed: Observed = UP, *, out: bool = False, drained: bool = False) -> EndpointState:
    return EndpointState(
        region=REGIONS[number],
        host=HOSTS[number],
        port=5432 + number,
        observed=observed,
        forced=Forced.DRAIN if drained else None,
        effective=Effective.OUT if out else Effective.IN,
        reason="ok",
        since=NOW,
        latency_ms=float(number) if observed is UP else None,
    )


def document(*states: EndpointState) -> Document:
    return Document(
        service="orders-prod",
        target="dsql",
        observer=REGIONS[0],
        epoch=1,
        as_of=NOW,
        valid_until=NOW + timedelta(seconds=300),
        endpoints=states,
    )


def ranks(candidates: tuple[Candidate, ...]) -> list[tuple[int, bool]]:
    """Each candidate's number, and whether it is a last resort."""
    return [(HOSTS.index(each.endpoint.host), each.last_resort) for each in candidates]


def test_endpoints_that_are_in_come_as_the_document_ranks_them() -> None:
    """None is a last resort, whatever was observed of it."""
    found = from_document(document(state(2), state(0, UNKNOWN), state(1, DOWN)), NOW)
    assert ranks(found) == [(2, False), (0, False), (1, False)]


def test_a_candidate_is_the_documents_endpoint_with_its_port_and_latency() -> None:
    """The client resolves the address when it connects; the document has none."""
    assert from_document(document(state(1)), NOW) == (
        Candidate(Endpoint(REGIONS[1], HOSTS[1], 5433, dial=None), last_resort=False, latency_ms=1.0),
    )


def test_endpoints_that_are_out_are_a_last_resort() -> None:
    """Behind all that are in, in any place of the document: a client always has an endpoint to try."""
    found = from_document(document(state(0, DOWN, out=True), state(1), state(2)), NOW)
    assert ranks(found) == [(1, False), (2, False), (0, True)]


@pytest.mark.parametrize("worse", [DOWN, UNKNOWN])
def test_a_drained_endpoint_that_is_up_is_tried_before_one_that_is_not(worse: Observed) -> None:
    """An operator took it out, but it answers; those that are alike keep the document's order."""
    found = from_document(
        document(
            state(0),
            state(1, worse, out=True),
            state(2, worse, out=True, drained=True),
            state(3, UP, out=True, drained=True),
        ),
        NOW,
    )
    assert ranks(found) == [(0, False), (3, True), (1, True), (2, True)]


def test_at_valid_until_a_document_still_holds_and_past_it_everything_is_a_candidate() -> None:
    """All endpoints in ranked order, none a last resort: the old decision no longer holds."""
    made = document(state(0, DOWN, out=True), state(1), state(2, out=True, drained=True))
    assert ranks(from_document(made, made.valid_until)) == [(1, False), (2, True), (0, True)]
    past = made.valid_until + timedelta(microseconds=1)
    assert ranks(from_document(made, past)) == [(0, False), (1, False), (2, False)]


def test_of_several_sources_the_first_that_names_a_host_counts() -> None:
    """Its port, its latency and its word on the last resort; later ones add what is not named yet."""
    first = from_document(document(state(0)), NOW)
    second = (
        Candidate(Endpoint(REGIONS[0], HOSTS[0], 1), latency_ms=9.0),
        Candidate(Endpoint(REGIONS[1], HOSTS[1])),
    )
    assert merged([first, second]) == (first[0], replace(second[1], source=1))
    assert [each.source for each in merged([first, second])] == [0, 1]
    assert merged([second, first]) == second


def test_a_last_resort_of_the_first_source_stays_one_whatever_others_say() -> None:
    """And stands behind what others add: a list does not bring a drained Region back."""
    drained = from_document(document(state(0), state(1, out=True, drained=True)), NOW)
    listed = tuple(Candidate(Endpoint(REGIONS[number], HOSTS[number])) for number in (1, 2))
    assert ranks(merged([drained, listed])) == [(0, False), (2, False), (1, True)]


def test_a_later_source_may_make_a_last_resort_only_of_what_it_names_first() -> None:
    """Order within each kind is first come, first tried."""
    listed = tuple(Candidate(Endpoint(REGIONS[number], HOSTS[number])) for number in (3, 0))
    of_document = from_document(document(state(1), state(0, DOWN, out=True), state(2, out=True)), NOW)
    assert ranks(merged([listed, of_document])) == [(3, False), (0, False), (1, False), (2, True)]


def test_sources_that_know_nothing_add_nothing() -> None:
    """None at all, some that have not answered yet, and a list that is named twice."""
    one = (Candidate(Endpoint(REGIONS[0], HOSTS[0])),)
    assert merged([]) == ()
    assert merged([(), ()]) == ()
    assert merged([(), one, (), one]) == (replace(one[0], source=1),)


def test_the_same_host_on_another_port_is_the_same_endpoint() -> None:
    """Penalties and tokens are by host: two of one name would be tried as if one were a way out."""
    one = Candidate(Endpoint(REGIONS[0], HOSTS[0]))
    assert merged([(one, replace(one, endpoint=replace(one.endpoint, port=6432)))]) == (one,)
