"""What a health check's reports say of a Region, and when they say nothing."""

from dataclasses import replace

import pytest
from tests.unit.cli.situations import FAR, NEAR, answer, check, situation

from beacon_cli.screen import status_lines
from beacon_cli.situation.finding import Level
from beacon_cli.situation.model import CheckReport
from beacon_cli.situation.sentences import explain
from beacon_cli.standing import Check, Tally


@pytest.mark.parametrize(
    ("counts", "disabled", "inverted", "healthy"),
    [
        (Tally(16, 16, 3), False, False, True),
        (Tally(16, 16, 2), False, False, False),
        (Tally(16, 16, 3), False, True, False),
        (Tally(16, 16, 2), False, True, True),
        (Tally(0, 0, 0), False, False, True),
        (Tally(0, 0, 0), False, True, False),
        (Tally(16, 0, 0), True, False, True),
        (Tally(16, 16, 16), True, True, False),
        (Tally(16, 0, 0), False, False, None),
        (Tally(16, 0, 0), False, True, None),
        (Tally(16, 2, 2), False, False, None),
        (Tally(16, 8, 8), False, False, None),
        (Tally(16, 9, 9), False, False, True),
    ],
)
def test_a_check_is_healthy_as_route_53_has_it(
    counts: Tally, disabled: bool, inverted: bool, healthy: bool | None
) -> None:
    """Table 3 of the lab's Route 53; and unknown where half of the reports or more are old."""
    made = CheckReport(Check("id", NEAR, disabled=disabled, inverted=inverted), counts)
    assert made.healthy is healthy


@pytest.mark.parametrize("fresh", [0, 2])
def test_few_reports_are_never_green(fresh: int) -> None:
    """Neither in the headline nor in the table."""
    given = situation({"check": check(NEAR, passed=fresh, fresh=fresh)})
    explanation = explain(given)
    assert explanation.headline.level is Level.UNKNOWN
    assert explanation.headline.text.startswith(
        "us-east-2 is healthy. Whether us-east-1 serves is not known."
    )
    lines = status_lines(given, explanation)
    row = next(line for line in lines if line.plain.startswith(f"{NEAR}  "))
    assert f"{fresh}/{fresh} ?" in row.plain
    assert not [span for span in row.spans if span.style == "green"]
    assert "green" not in str(lines[1].style)


def test_few_reports_beside_a_region_that_is_out_are_unknown() -> None:
    """With a third Region that serves, the headline is not green either."""
    given = situation({"check": check(NEAR, passed=0)}, authoritative=answer(FAR))
    few = replace(given.regions[0], region="us-west-2", check=check("us-west-2", passed=1, fresh=1))
    headline = explain(replace(given, regions=(*given.regions, few))).headline
    assert headline.level is Level.UNKNOWN
    assert "Whether us-west-2 serves is not known." in headline.text
