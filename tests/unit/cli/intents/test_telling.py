"""What an operator reads of a drain: before it, while it spreads, and at its end."""

import dataclasses

from tests.unit.cli.intents.test_form import DRAIN, RELEASE, STARTED, plan, written
from tests.unit.cli.situations import FAR, NEAR, NOW

from beacon_cli.intents.telling import end_lines, move_line, plan_lines, question, start_lines


def test_the_plan_says_what_remains_what_is_predicted_and_what_is_not_known() -> None:
    """Before anything is written."""
    lines = plan_lines(plan(DRAIN))
    assert lines[0] == f"shop-test: drain {NEAR} for 30 min, as bob: 'maintenance'"
    assert lines[1].startswith(f"-  {FAR} remains and is up: 6 of 6 checkers find it healthy")
    assert any(line.startswith("-  DNS follows in ") and "the TTL of 10 s" in line for line in lines)
    assert lines[-1] == "?  Not known: Lambda does not answer."
    assert question(DRAIN) == f"Drain {NEAR} for 30 min?"
    assert question(dataclasses.replace(DRAIN, lasts_s=None)) == f"Drain {NEAR} until it is released?"
    assert question(RELEASE) == f"Release {NEAR}?"


def test_a_publisher_that_was_not_started_costs_a_tick() -> None:
    """It is a warning."""
    first, second = start_lines(DRAIN, written(DRAIN), STARTED)
    assert first == f"{NEAR} is drained until 03:30:00 UTC; written through {FAR}."
    assert second == f"!  Lambda does not answer: SSM of {NEAR} follows at its next tick."


def test_the_end_says_what_holds_and_what_has_not_followed() -> None:
    """Also when it comes early."""
    dns, near, far = plan(DRAIN).places
    seen = (
        dataclasses.replace(dns, after_s=12.34),
        dataclasses.replace(near, why="SSM may not be read"),
        far,
    )
    assert end_lines(DRAIN, written(DRAIN), seen, NOW) == [
        (
            f"{NEAR} is drained until 03:30:00 UTC; DNS has followed; SSM of {FAR} has not followed yet;"
            f" SSM of {NEAR} could not be read."
        )
    ]
    assert end_lines(RELEASE, written(RELEASE), (), NOW) == [f"{NEAR} is released since 03:00:00 UTC."]
    assert move_line(seen[0]).startswith("-  DNS has followed after 12.3 s (predicted: ")
    assert move_line(seen[1]) == f"?  SSM of {NEAR} cannot be followed: SSM may not be read."
