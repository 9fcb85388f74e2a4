"""When the command line suggests a drain or a release, and when it advises against one."""

from typing import Any

import pytest
from tests.unit.cli.situations import (
    FAR,
    NEAR,
    ago,
    check,
    down,
    drained,
    forced,
    published,
    situation,
    state,
)

from beacon_cli.situation.finding import Finding
from beacon_cli.situation.model import Alarm, Canary, Known, Unknown
from beacon_cli.situation.sentences import explain

GONE = Unknown("gone")
#: The three findings after which an operator may drain the near Region.
CAUSES: dict[str, dict[str, Any]] = {
    "is in DNS, and only 4 of 6": {"check": check(NEAR, passed=4)},
    "write canary failed": {"canary": Known(Canary(3, 15))},
    "Alarm shop-test-probes-fail": {"alarms": Known((Alarm("shop-test-probes-fail", "ALARM", ago(60)),))},
}


def finding(part: str, near: dict[str, Any], far: dict[str, Any], **changes: Any) -> Finding:  # noqa: ANN401
    told = explain(situation(near, far, **changes), NEAR).findings
    fitting = [one for one in told if part in one.text]
    assert len(fitting) == 1, [one.text for one in told]
    return fitting[0]


@pytest.mark.parametrize("cause", CAUSES)
def test_a_drain_is_suggested_while_another_region_serves(cause: str) -> None:
    """The command, and the end of the drain."""
    one = finding(cause, CAUSES[cause], {})
    assert one.command.startswith(f"beacon drain {NEAR} --for 60m --reason ")
    assert "A drain started now ends by itself at 04:00:00 UTC (60 min)." in one.text


@pytest.mark.parametrize("cause", CAUSES)
@pytest.mark.parametrize(
    ("far", "changes"),
    [
        ({"check": check(FAR, passed=0)}, {}),
        ({"check": GONE}, {}),
        ({"check": check(FAR, passed=2, fresh=2)}, {}),
        ({"check": check(FAR, disabled=True)}, {}),
        ({"check": check(FAR, passed=0, inverted=True)}, {}),
        ({}, {"forced": forced(FAR)}),
        ({"document": published(FAR, state(NEAR), drained(FAR))}, {"forced": GONE}),
    ],
    ids=["out", "not read", "few reports", "disabled", "inverted", "drained", "drained by a document"],
)
def test_no_drain_is_suggested_where_no_other_region_is_known_to_serve(
    cause: str, far: dict[str, Any], changes: dict[str, Any]
) -> None:
    """It would leave clients without a Region."""
    one = finding(cause, CAUSES[cause], far, **changes)
    assert one.command == ""
    assert "Do not drain: no other Region is known to serve." in one.text


@pytest.mark.parametrize("cause", CAUSES)
def test_a_region_that_is_drained_is_not_drained_again(cause: str) -> None:
    """The second drain would replace the first, which may last longer."""
    one = finding(cause, CAUSES[cause], {}, forced=forced(NEAR))
    assert one.command == ""
    assert "It is drained already." in one.text


def drain(near: dict[str, Any], **changes: Any) -> Finding:  # noqa: ANN401 - any fact's
    given = {"forced": forced(NEAR)} | changes
    return finding("drained us-east-1" if given["forced"] is not GONE else "is drained", near, {}, **given)


def alarm(name: str) -> dict[str, Any]:
    return {"alarms": Known((Alarm(f"shop-test-{name}", "ALARM", ago(60)),))}


REPAIRED = {"document": published(NEAR, state(FAR), drained(NEAR))}


@pytest.mark.parametrize(
    "near",
    [
        {},
        {"canary": Known(Canary(0, 15))},
        alarm("drained-too-long"),
        alarm("us-east-1-unhealthy"),
        alarm("us-east-1-checkers-disagree"),
    ],
)
@pytest.mark.parametrize("intents", [forced(NEAR), GONE])
def test_a_drained_region_that_works_again_may_be_released(near: dict[str, Any], intents: object) -> None:
    """Alarms that the drain itself turns on do not count."""
    one = drain(REPAIRED | near, forced=intents)
    assert one.text.endswith(" It looks repaired: release it.")
    assert one.command == f"beacon release {NEAR} --reason repaired"


@pytest.mark.parametrize(
    "near",
    [
        {"document": published(NEAR, state(FAR), drained(NEAR, observed=down(NEAR).observed))},
        {"document": GONE},
        {"document": published(NEAR, state(FAR), drained(NEAR), valid_until=ago(1))},
        {"canary": Known(Canary(1, 15))},
        {"canary": GONE},
        {"alarms": GONE},
        alarm("probes-fail"),
    ],
    ids=["down", "no document", "old", "writes fail", "no canary", "no alarms", "an alarm"],
)
def test_no_release_is_suggested_before_the_repair(near: dict[str, Any]) -> None:
    """Clients would be sent back to what the drain keeps them from."""
    one = drain(REPAIRED | near)
    assert one.text.endswith(" Release it when it is repaired.")
    assert one.command == ""


def test_a_release_is_suggested_only_after_a_document_without_the_database_too() -> None:
    """The far document shows the drain; the near Region's own says nothing."""
    given = situation(
        {"document": GONE}, {"document": published(FAR, state(FAR), drained(NEAR))}, forced=GONE
    )
    one = next(one for one in explain(given, NEAR).findings if "is drained" in one.text)
    assert (one.text.endswith("Release it when it is repaired."), one.command) == (True, "")
