"""Whether DNS and SSM have followed: the module's table, and what is predicted."""

import dataclasses

import pytest
from tests.unit.cli.situations import (
    FAR,
    NEAR,
    TIMINGS,
    answer,
    check,
    down,
    drained,
    frozen_region,
    published,
    situation,
    state,
)

from beacon.predict import dns_after, ssm_after
from beacon_cli.intents.movement import DNS, Place, Sight, at_next_tick, has_followed, places_of
from beacon_cli.intents.rules import Action, Request
from beacon_cli.situation.model import CheckReport, Fact, Known, Published, RecordAnswer, Unknown

DRAIN = Request(Action.DRAIN, NEAR, "maintenance", "bob", 1800)
RELEASE = Request(Action.RELEASE, NEAR, "repaired", "bob")
GONE = Unknown("it does not answer")
BY_DNS, BY_SSM = Place(DNS), Place(f"SSM of {FAR}", FAR)
AWAY = published(FAR, state(FAR), drained(NEAR))
STAYS = published(FAR, state(NEAR), state(FAR))
FROZEN = published(FAR, state(NEAR, forced=drained(NEAR).forced), down(FAR), frozen=True)


def old_endpoint() -> Known[Published]:
    return Known(dataclasses.replace(AWAY.value, endpoint=state(NEAR).host))


@pytest.mark.parametrize(
    ("given", "request_", "followed"),
    [
        (AWAY, DRAIN, True),
        (STAYS, DRAIN, False),
        (FROZEN, DRAIN, True),
        (old_endpoint(), DRAIN, False),
        (AWAY, RELEASE, False),
        (STAYS, RELEASE, True),
        (published(FAR, state(FAR)), DRAIN, True),
    ],
)
def test_ssm_follows_with_the_document_and_the_endpoint(
    given: Known[Published], request_: Request, followed: bool
) -> None:
    """A frozen document keeps its order; one without the Region has nothing to follow."""
    sight = Sight(None, None, {FAR: given})
    assert has_followed(BY_SSM, request_, sight, primary=True) == (followed, "")


def test_ssm_that_cannot_be_read_says_why() -> None:
    """And has not followed."""
    assert has_followed(BY_SSM, DRAIN, Sight(None, None, {FAR: GONE}), primary=True) == (False, GONE.why)


UP, OUT = check(NEAR), check(NEAR, passed=0)


@pytest.mark.parametrize(
    ("record", "report", "request_", "primary", "followed"),
    [
        (answer(FAR), OUT, DRAIN, True, True),
        (answer(NEAR), OUT, DRAIN, True, False),
        (answer(FAR), UP, DRAIN, False, False),
        (GONE, OUT, DRAIN, True, True),
        (answer(FAR), GONE, DRAIN, True, True),
        (answer(NEAR), GONE, DRAIN, True, False),
        (None, OUT, DRAIN, True, True),
        (answer(FAR), check(NEAR, 2, 2), DRAIN, True, True),
        (answer(NEAR), UP, RELEASE, True, True),
        (answer(FAR), UP, RELEASE, True, False),
        (answer(FAR), UP, RELEASE, False, True),
        (answer(FAR), OUT, RELEASE, False, False),
        (GONE, UP, RELEASE, True, True),
        (answer(NEAR), GONE, RELEASE, True, True),
        (answer(FAR), GONE, RELEASE, True, False),
    ],
)
def test_dns_follows_with_the_check_and_the_answer(
    record: Fact[RecordAnswer] | None,
    report: Fact[CheckReport],
    request_: Request,
    primary: bool,
    followed: bool,
) -> None:
    """Of the two one is enough where the other cannot be read."""
    sight = Sight(record, report, {})
    assert has_followed(BY_DNS, request_, sight, primary=primary) == (followed, "")


def test_dns_of_which_nothing_can_be_read_says_why() -> None:
    """The reasons of both; and a release that no primary's answer can show."""
    other = Unknown("Route 53 does not answer")
    sight = Sight(GONE, other, {})
    assert has_followed(BY_DNS, DRAIN, sight, primary=True) == (False, f"{GONE.why}; {other.why}")
    assert has_followed(BY_DNS, DRAIN, Sight(None, None, {}), primary=True)[1] != ""
    assert has_followed(BY_DNS, RELEASE, Sight(answer(FAR), other, {}), primary=False)[1] != ""


def test_dns_and_every_ssm_are_followed_with_their_predictions() -> None:
    """A publisher that was started does not wait for its tick."""
    places = places_of(situation(), DRAIN)
    assert [one.name for one in places] == [DNS, f"SSM of {NEAR}", f"SSM of {FAR}"]
    assert places[0].predicted == dns_after(TIMINGS, failing=True, answer_s=0.1)
    started, tick = places[1].predicted, ssm_after(TIMINGS)
    assert started is not None
    assert started.latest_s < tick.latest_s / 2
    late = at_next_tick(places, [FAR], TIMINGS)
    assert [one.predicted for one in late] == [places[0].predicted, started, tick]


def test_a_release_of_a_region_that_is_down_does_not_wait_for_dns() -> None:
    """It stays out until it is repaired."""
    assert [one.name for one in places_of(frozen_region(), RELEASE)] == [f"SSM of {NEAR}", f"SSM of {FAR}"]
    assert places_of(frozen_region(), DRAIN)[0].name == DNS
    far_sees_it_down = situation(far={"document": published(FAR, state(FAR), down(NEAR))})
    assert places_of(far_sees_it_down, RELEASE)[0].name == DNS


def test_without_parameters_nothing_is_predicted() -> None:
    """It is followed all the same."""
    assert [one.predicted for one in places_of(situation(timings=None), DRAIN)] == [None, None, None]
    assert at_next_tick((BY_SSM,), [FAR], None) == (BY_SSM,)
