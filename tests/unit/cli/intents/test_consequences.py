"""What a drain would leave: the module's table, and when it is refused."""

from datetime import timedelta
from typing import Any

import pytest
from tests.unit.cli.situations import (
    FAR,
    NEAR,
    NOW,
    ago,
    check,
    down,
    drained,
    forced,
    frozen_region,
    published,
    situation,
    state,
)

from beacon_cli.intents.consequences import Standing, weigh
from beacon_cli.intents.rules import Action, Request
from beacon_cli.situation.model import Unknown

DRAIN = Request(Action.DRAIN, NEAR, "maintenance", "bob", 1800)
RELEASE = Request(Action.RELEASE, NEAR, "repaired", "bob")
GONE = Unknown("it does not answer")
SEEN_DOWN = published(NEAR, state(NEAR), down(FAR))
OWN_DOWN = published(FAR, state(NEAR), down(FAR))
STALE = published(FAR, state(NEAR), down(FAR), valid_until=ago(1))


@pytest.mark.parametrize(
    ("near", "far", "standing"),
    [
        ({}, {}, Standing.UP),
        ({}, {"check": check(FAR, passed=1)}, Standing.DOWN),
        ({}, {"check": check(FAR, inverted=True)}, Standing.DOWN),
        ({"document": SEEN_DOWN}, {"document": OWN_DOWN}, Standing.DOWN),
        ({"document": SEEN_DOWN}, {}, Standing.UP),
        ({"document": GONE}, {"document": GONE}, Standing.UP),
        ({"document": GONE}, {"document": STALE}, Standing.UP),
        ({}, {"check": check(FAR, disabled=True)}, Standing.UP),
        ({}, {"check": GONE}, Standing.UP),
        ({}, {"check": check(FAR, 2, 2)}, Standing.UP),
        ({"document": GONE}, {"check": check(FAR, 2, 2), "document": GONE}, Standing.UNKNOWN),
        ({}, {"check": check(FAR, disabled=True, inverted=True)}, Standing.DOWN),
        ({"document": SEEN_DOWN}, {"check": GONE}, Standing.DOWN),
        ({"document": GONE}, {"check": GONE, "document": GONE}, Standing.UNKNOWN),
        ({"document": GONE}, {"check": check(FAR, disabled=True), "document": STALE}, Standing.UNKNOWN),
        ({"document": GONE}, {"check": check(FAR, 0, 0), "document": GONE}, Standing.UNKNOWN),
    ],
)
def test_a_region_that_would_remain_is_judged_by_its_check_and_the_documents(
    near: dict[str, Any], far: dict[str, Any], standing: Standing
) -> None:
    """And the drain is refused unless it is up."""
    found = weigh(situation(near, far), DRAIN)
    assert [(row.region, row.standing) for row in found.remaining] == [(FAR, standing)]
    assert bool(found.refusal) == (standing is not Standing.UP)
    assert found.remaining[0].why in found.sentences[0]


def test_a_region_that_is_drained_does_not_remain() -> None:
    """The transaction refuses then, with the operator's name; no option lifts that."""
    found = weigh(situation(forced=forced(FAR)), DRAIN)
    assert found.remaining[0].standing is Standing.DRAINED
    assert "alice drained us-east-2" in found.sentences[0]
    assert found.refusal == ""


def test_the_refusal_says_what_is_known_of_the_others() -> None:
    """So that the operator can judge."""
    found = weigh(situation(far={"check": check(FAR, passed=0)}), DRAIN)
    assert found.refusal == (
        f"no other Region than {NEAR} is seen up. {FAR} is down: 0 of 6 checkers find it healthy"
    )


def test_a_drain_that_replaces_another_names_it() -> None:
    """Its reason and its end would be gone."""
    found = weigh(situation(forced=forced(NEAR, until=NOW + timedelta(minutes=5))), DRAIN)
    assert any("alice drained us-east-1" in one and "replaces its reason" in one for one in found.sentences)


def test_a_drain_of_a_region_that_is_out_says_what_it_changes() -> None:
    """It does not come back by itself any more."""
    found = weigh(frozen_region(), DRAIN)
    assert found.refusal == ""
    assert f"{NEAR} is out of DNS already: the drain keeps it out when it recovers." in found.sentences


def test_a_release_names_the_drain_and_a_region_that_is_still_broken() -> None:
    """It is never refused for what others are."""
    rows = (state(FAR), drained(NEAR), down(NEAR))
    broken = situation(
        near={"check": check(NEAR, passed=0), "document": published(NEAR, rows[0], down(NEAR))},
        far={"check": check(FAR, passed=0)},
        forced=forced(NEAR),
    )
    found = weigh(broken, RELEASE)
    assert found.refusal == ""
    assert "alice drained us-east-1" in found.sentences[0]
    assert "it stays out until it is repaired" in found.sentences[1]


def test_without_the_forced_states_nothing_is_weighed() -> None:
    """They decide."""
    with pytest.raises(ValueError, match="not known"):
        weigh(situation(forced=GONE), DRAIN)
