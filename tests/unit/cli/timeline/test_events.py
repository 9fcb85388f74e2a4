"""The timeline: what each source tells, in one order, and its JSON."""

import json
from datetime import timedelta

from tests.unit.cli.situations import FAR, NEAR, NOW, ago, check, down, published, situation, state
from tests.unit.cli.test_form import validator

from beacon_cli.situation.model import Alarm, ForcedChange, Known, Unknown
from beacon_cli.timeline.events import timeline
from beacon_cli.timeline.form import timeline_json

GONE = Unknown("it does not answer")
CHANGES = [
    ForcedChange(ago(60), NEAR, "", "repaired", "bob", None),
    ForcedChange(ago(900), NEAR, "drain", "writes fail", "alice", ago(900) + timedelta(minutes=30)),
    ForcedChange(ago(1000), FAR, "", "expired: test", "carol", ago(1000)),
    ForcedChange(ago(2000), FAR, "drain", "test", "carol", None),
]
MIXED = situation(
    near={
        "document": published(NEAR, state(FAR), down(NEAR)),
        "check": check(NEAR, passed=0),
        "alarms": Known(
            (
                Alarm("shop-test-us-east-1-unhealthy", "ALARM", ago(150)),
                Alarm("shop-test-health-fails", "OK", ago(99999)),
                Alarm("shop-test-logins-in-trouble", "INSUFFICIENT_DATA", ago(10)),
            )
        ),
    },
    far={"document": GONE, "check": GONE},
)


def test_every_source_has_its_place_in_one_order() -> None:
    """The oldest first, and nothing from before the beginning."""
    found = timeline(MIXED, CHANGES, ago(3600))
    assert [(one.source, one.region, one.text) for one in found] == [
        ("the database", FAR, "carol drained it until it is released: 'test'"),
        ("the database", FAR, "the drain by carol expired: 'test'"),
        ("the database", NEAR, "alice drained it for 30 min: 'writes fail'"),
        (f"SSM of {NEAR}", NEAR, "observed down, and out (timeout)"),
        (
            f"CloudWatch of {NEAR}",
            NEAR,
            "alarm shop-test-us-east-1-unhealthy is ALARM: the Region is out of DNS",
        ),
        ("the database", NEAR, "bob released it: 'repaired'"),
        ("Route 53", NEAR, "its check is unhealthy: 0 of 6 checkers pass"),
    ]
    assert [one.at for one in found] == sorted(one.at for one in found)
    assert len(timeline(MIXED, CHANGES, ago(100))) == 2
    assert len(timeline(MIXED, (), ago(3600))) == 3


def test_a_state_that_was_observed_before_it_counted_is_two_events() -> None:
    """As behind the hold, or a drain of a Region that is up."""
    row = state(NEAR, since=ago(30), observed_since=ago(40))
    found = timeline(situation(near={"document": published(NEAR, row)}), (), ago(3600))
    said = [one.text for one in found if one.source == f"SSM of {NEAR}"]
    assert said == ["observed up", "in (ok)"]


def test_a_check_that_an_operator_turned_is_marked() -> None:
    """Whatever its checkers say."""
    found = timeline(situation(near={"check": check(NEAR, inverted=True)}), (), ago(1))
    assert found[0].text == "its check is unhealthy, inverted: 6 of 6 checkers pass"


def test_its_json_keeps_to_the_schema() -> None:
    """With the global stack's alarms, which concern no Region."""
    given = situation(global_alarms=Known((Alarm("shop-test-no-region-serves", "ALARM", ago(5)),)))
    events = timeline(given, CHANGES, ago(3600))
    made = json.loads(json.dumps(timeline_json("shop-test", NOW, ago(3600), events, [GONE.why])))
    validator("history").validate(made)
    assert None in [one["region"] for one in made["events"]]
    assert not validator("history").is_valid(made | {"more": 1})
