"""The values that the domain talks about refuse what makes no sense, and say why."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from beacon.model import (
    MAX_LATENCY_MS,
    Document,
    Effective,
    Endpoint,
    EndpointState,
    Forced,
    Observation,
    Observed,
    Policy,
)
from beacon.outcome import ProbeOutcome, Reason

NOW = datetime(2026, 11, 22, tzinfo=UTC)
ELSEWHERE = NOW.astimezone(timezone(timedelta(hours=1)))


def state(region: str, effective: Effective = Effective.IN) -> EndpointState:
    return EndpointState(
        region=region,
        host=f"{region}.example",
        port=5432,
        observed=Observed.UP,
        forced=None,
        effective=effective,
        reason=Reason.OK,
        since=NOW,
    )


DOCUMENT = Document(
    service="orders-prod",
    target="dsql",
    observer="us-east-1",
    epoch=1,
    as_of=NOW,
    valid_until=NOW + timedelta(seconds=300),
    endpoints=(state("us-east-1", Effective.OUT), state("us-east-2")),
)


# ---- endpoints and observations


def test_an_endpoint_is_dialled_at_its_own_port_unless_it_names_another_address() -> None:
    """As with curl --connect-to."""
    assert Endpoint("us-east-1", "a").dial_port == 5432
    assert Endpoint("us-east-1", "a", 6432).dial_port == 6432
    assert Endpoint("us-east-1", "a", 6432, ("127.0.0.1", 7000)).dial_port == 7000


def test_an_observation_says_nothing_that_it_was_not_given() -> None:
    """No warning, no SQLSTATE, no new connection."""
    plain = Observation(ProbeOutcome.PASS, Reason.OK)
    assert (plain.latency_ms, plain.warning, plain.sqlstate, plain.reconnected) == (None, None, None, False)


def test_a_latency_below_nothing_is_refused() -> None:
    """A clock that went back; nothing itself is a latency."""
    assert Observation(ProbeOutcome.PASS, Reason.OK, 0.0).latency_ms == 0.0
    with pytest.raises(ValueError, match=r"^latency_ms must not be negative$"):
        Observation(ProbeOutcome.PASS, Reason.OK, -0.001)


# ---- states and documents


def test_only_a_forced_state_has_an_end_and_that_in_utc() -> None:
    """Another instant would be compared with the wrong clock."""
    drained = replace(state("us-east-1"), forced=Forced.DRAIN)
    assert replace(drained, forced_until=NOW).forced_until == NOW
    with pytest.raises(ValueError, match=r"^forced_until belongs to a forced state$"):
        replace(state("us-east-1"), forced_until=NOW)
    with pytest.raises(ValueError, match=r"^forced_until must be an instant in UTC$"):
        replace(drained, forced_until=ELSEWHERE)


@pytest.mark.parametrize(
    ("observed", "forced", "wants_out"),
    [
        (Observed.UP, None, False),
        (Observed.UNKNOWN, None, False),
        (Observed.DOWN, None, True),
        (Observed.UP, Forced.DRAIN, True),
        (Observed.DOWN, Forced.DRAIN, True),
    ],
)
def test_routing_does_without_what_is_drained_or_down(
    observed: Observed, forced: Forced | None, *, wants_out: bool
) -> None:
    """What is unknown stays."""
    assert replace(state("us-east-1"), observed=observed, forced=forced).wants_out is wants_out


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"endpoints": ()}, "a document names at least one endpoint"),
        ({"endpoints": (state("us-east-1"), state("us-east-1"))}, "a document names each Region once"),
        ({"endpoints": (state("us-east-1", Effective.OUT),)}, "a document leaves at least one endpoint in"),
        ({"as_of": ELSEWHERE}, "as_of must be an instant in UTC"),
        ({"as_of": NOW.replace(tzinfo=None)}, "as_of must be an instant in UTC"),
        ({"valid_until": ELSEWHERE}, "valid_until must be an instant in UTC"),
    ],
)
def test_a_document_that_makes_no_sense_is_refused(wrong: dict[str, object], why: str) -> None:
    """A reader would find it empty, ambiguous or valid at another time."""
    with pytest.raises(ValueError, match=f"^{why}$"):
        replace(DOCUMENT, **wrong)  # type: ignore[arg-type]


def test_a_document_prefers_the_first_endpoint_that_is_in_and_knows_each_by_its_region() -> None:
    """The first of all may be out."""
    assert DOCUMENT.preferred.region == "us-east-2"
    assert DOCUMENT.state_of("us-east-1") is DOCUMENT.endpoints[0]
    assert DOCUMENT.state_of("us-west-2") is None
    assert (DOCUMENT.schema, DOCUMENT.frozen, DOCUMENT.note) == (1, False, "")


def test_the_values_that_documents_hold_are_the_published_ones() -> None:
    """A consumer compares them as text."""
    assert [each.value for each in Observed] == ["up", "down", "unknown"]
    assert [each.value for each in Forced] == ["drain"]
    assert [each.value for each in Effective] == ["in", "out"]
    assert MAX_LATENCY_MS == 60_000.0


def test_a_state_begins_without_latency_count_and_dates() -> None:
    """There is no data yet."""
    new = state("us-east-1")
    assert (new.latency_ms, new.streak, new.observed_since, new.forced_until) == (None, 0, None, None)


# ---- the policy


def test_a_policys_defaults_are_those_that_the_simulation_chose() -> None:
    """The template's parameters have the same."""
    assert Policy() == Policy(
        fall=5,
        rise=2,
        rise_apart_s=5.0,
        failback_hold_s=90.0,
        ranking="latency",
        rank_margin=0.30,
        smoothing=0.3,
    )


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [
        ("fall", 1, 20),
        ("rise", 1, 20),
        ("rise_apart_s", 0, 10),
        ("failback_hold_s", 0, 3600),
        ("rank_margin", 0, 0.9),
        ("smoothing", 0.001, 1),
    ],
)
def test_the_bounds_of_a_policy_are_within_it(name: str, least: float, most: float) -> None:
    """A little less or more is refused, with the name of what is wrong."""
    for value in (least, most):
        assert getattr(Policy(**{name: value}), name) == value  # type: ignore[arg-type]
    for value in (least - (0.001 if name == "smoothing" else 1), most + 0.01):
        with pytest.raises(ValueError, match=f"^{name.replace('rank_', 'rank ')} must be [^;]*$"):
            Policy(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("ranking", ["latency", "priority"])
def test_a_policy_ranks_by_latency_or_by_priority(ranking: str) -> None:
    """And by nothing else."""
    assert Policy(ranking=ranking).ranking == ranking


def test_everything_wrong_with_a_policy_is_in_one_error() -> None:
    """So that an operator repairs it once."""
    with pytest.raises(ValueError, match="fall must be") as caught:
        Policy(fall=0, rise=0, ranking="price")
    assert str(caught.value) == (
        "fall must be 1-20, not 0; rise must be 1-20, not 0; ranking must be latency or priority, not 'price'"
    )
