"""Inverting and restoring a health check: each row of the table of rules.py."""

from __future__ import annotations

import pytest
from tests.unit.cli.situations import FAR, NEAR, check, situation

from beacon_cli.breakglass.rules import Glass, weigh_glass
from beacon_cli.errors import FailedError, RefusedError
from beacon_cli.situation.model import Unknown

BLIND = Unknown("Route 53 does not answer")


def test_a_region_that_passes_beside_another_one_is_inverted() -> None:
    """The consequences name what remains, and that SSM does not follow."""
    weighed = weigh_glass(situation(), NEAR, Glass.INVERT)
    assert weighed.against is None
    assert [(one.region, one.standing.value) for one in weighed.remaining] == [(FAR, "up")]
    said = " ".join(weighed.sentences)
    assert f"{FAR} remains and is up" in said
    assert "SSM stays as it is" in said
    assert f"beacon break-glass restore {NEAR}" in said


def test_it_is_weighed_without_the_database() -> None:
    """That is what it is for."""
    weighed = weigh_glass(situation(forced=BLIND), NEAR, Glass.INVERT)
    assert weighed.against is None
    assert weighed.remaining[0].region == FAR


@pytest.mark.parametrize(
    ("near", "says", "command"),
    [
        (check(NEAR, passed=0), "inverting its check would bring it in", "beacon explain us-east-1"),
        (check(NEAR, passed=1), "inverting its check would bring it in", "beacon explain us-east-1"),
        (check(NEAR, inverted=True), "is inverted already", "beacon break-glass restore us-east-1"),
        (check(NEAR, disabled=True), "is disabled", "--no-disabled"),
        (check(NEAR, passed=2, fresh=2), "only 2 of 6 checkers", "beacon status"),
    ],
)
def test_what_would_not_take_the_region_out_is_refused(near: object, says: str, command: str) -> None:
    """Above all a Region that fails: an inverted check that fails is healthy."""
    against = weigh_glass(situation(near={"check": near}), NEAR, Glass.INVERT, anyway=True).against
    assert isinstance(against, RefusedError)
    assert says in against.sentence
    assert "Nothing has changed" in against.sentence
    assert against.command is not None
    assert command in against.command


def test_the_only_healthy_region_is_refused_unless_it_is_wanted() -> None:
    """As with a drain."""
    torn = situation(far={"check": check(FAR, passed=0)})
    against = weigh_glass(torn, NEAR, Glass.INVERT).against
    assert isinstance(against, RefusedError)
    assert "--even-though-unhealthy" in against.sentence
    assert weigh_glass(torn, NEAR, Glass.INVERT, anyway=True).against is None


@pytest.mark.parametrize("glass", list(Glass))
def test_without_what_the_checkers_say_nothing_is_changed(glass: Glass) -> None:
    """Both need the check itself."""
    against = weigh_glass(situation(near={"check": BLIND}), NEAR, glass).against
    assert isinstance(against, FailedError)
    assert "Route 53 does not answer" in against.sentence


@pytest.mark.parametrize(
    ("passed", "fresh", "says"),
    [(6, 6, "comes back into DNS"), (0, 6, "counts as unhealthy afterwards"), (2, 2, "is not known")],
)
def test_an_inverted_check_is_restored_whatever_it_finds(passed: int, fresh: int, says: str) -> None:
    """Also where its Region fails, which an inverted check would bring in."""
    given = situation(near={"check": check(NEAR, passed=passed, fresh=fresh, inverted=True)})
    weighed = weigh_glass(given, NEAR, Glass.RESTORE)
    assert weighed.against is None
    assert says in " ".join(weighed.sentences)


@pytest.mark.parametrize("near", [check(NEAR), check(NEAR, passed=0), check(NEAR, disabled=True)])
def test_there_is_nothing_to_restore_where_nothing_is_inverted(near: object) -> None:
    """It is refused, and says so."""
    against = weigh_glass(situation(near={"check": near}), NEAR, Glass.RESTORE).against
    assert isinstance(against, RefusedError)
    assert "nothing to restore" in against.sentence
