"""`beacon status` on one screen of 80 columns and 24 rows."""

import pytest
from tests.unit.cli.situations import FAR, NEAR, answer, check, frozen_region, situation

from beacon_cli.screen import COLUMNS, ROWS, status_lines
from beacon_cli.situation.model import Alarm, Known, Situation, Unknown
from beacon_cli.situation.sentences import explain

GONE = Unknown(
    "it does not answer, which takes a sentence that is longer than a line of the terminal has room for"
)
NOTHING = {"check": GONE, "document": GONE, "stack": GONE, "alarms": GONE}


def shown(given: Situation, rows: int = ROWS) -> list[str]:
    return [line.plain for line in status_lines(given, explain(given), rows=rows)]


def taken(lines: list[str]) -> int:
    """Rows of the terminal: a command that is longer than a line wraps."""
    return sum(max(1, -(-len(line) // COLUMNS)) for line in lines)


def test_a_good_day_is_a_short_screen() -> None:
    """Headline, where DNS and SSM lead, and a row for each Region."""
    lines = shown(situation())
    assert lines[0] == "shop-test  2026-11-25 03:00:00 UTC"
    assert lines[1] == "Every Region is healthy. DNS sends clients to us-east-1."
    assert "DNS  db.shop.test  -> us-east-1, TTL 10 s" in lines
    assert "SSM  us-east-2  us-east-1 > us-east-2" in lines
    assert [line.split() for line in lines if line.startswith("us-east")] == [
        [NEAR, "6/6", "in", "up", "-", "in", "31", "s", "ok", "layer", "7"],
        [FAR, "6/6", "in", "up", "-", "in", "31", "s", "ok", "layer", "7"],
    ]
    assert taken(lines) <= 12


def test_a_frozen_region_fits_the_screen_with_cause_and_command() -> None:
    """What the operator sees at 3 am."""
    lines = shown(frozen_region())
    text = "\n".join(lines)
    assert taken(lines) <= ROWS
    assert "us-east-1 is out of DNS, and us-east-2 serves." in text
    assert "0/6 out" in text
    assert "SSM  us-east-1  us-east-2 > (us-east-1)" in text
    assert "timeout" in text
    assert "aws logs tail /aws/lambda/shop-test-health" in text


@pytest.mark.parametrize("rows", [20, 24, 40])
def test_whatever_is_wrong_fits_and_the_rest_is_counted(rows: int) -> None:
    """Ten alarms in each Region, and nothing else known."""
    alarms = Known(tuple(Alarm(f"shop-test-{number}-probes-fail", "ALARM", None) for number in range(10)))
    given = situation(NOTHING | {"alarms": alarms}, NOTHING | {"alarms": alarms}, forced=GONE)
    lines = shown(given, rows)
    assert taken(lines) <= rows
    assert lines[-1].endswith("more: beacon explain")
    assert all(len(line) <= COLUMNS for line in lines if "aws " not in line and "beacon " not in line)


def test_what_is_not_known_is_a_question_mark_with_its_reason() -> None:
    """Never an empty cell that reads as good."""
    lines = shown(situation(NOTHING, authoritative=GONE))
    (row,) = [line for line in lines if line.startswith(NEAR)]
    assert row.split() == [NEAR, "?", "up", "-", "in", "?", "?", "?"]
    assert "DNS  db.shop.test  ?" in lines
    assert any(line.startswith("?  Not known: it does not answer") for line in lines)


def test_a_disabled_and_an_inverted_check_are_marked() -> None:
    """Their share alone would mislead."""
    given = situation({"check": check(NEAR, disabled=True)}, {"check": check(FAR, inverted=True)})
    rows = [line for line in shown(given) if line.startswith(("us-east-1  ", "us-east-2  "))]
    assert "6/6 disabled" in rows[0]
    assert "6/6 inverted" in rows[1]


def test_a_resolver_that_is_behind_is_on_the_screen() -> None:
    """With its own TTL."""
    lines = shown(
        situation({"check": check(NEAR, passed=0)}, authoritative=answer(FAR), cached=answer(NEAR, 7))
    )
    assert "     this machine's resolver  -> us-east-1, TTL 7 s" in lines
