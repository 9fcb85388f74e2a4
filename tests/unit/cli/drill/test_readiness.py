"""A drill begins on a good day only: each reason against it, and none on a good day."""

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
    published,
    region,
    situation,
    state,
)

from beacon_cli.drill.kinds import KINDS
from beacon_cli.drill.readiness import EXPERIMENT, objections
from beacon_cli.situation.model import Alarm, Known, RecordAnswer, Situation, StackView, Unknown

GONE = Unknown("it does not answer")
RINGS = Known((Alarm("shop-test-probes-fail", "ALARM", ago(60)),))


def against(given: Situation, by: str = "drain", **more: Any) -> tuple[str, ...]:  # noqa: ANN401
    return objections(given, NEAR, KINDS[by], **more)


def test_a_good_day_has_nothing_against_it() -> None:
    """For each way that needs nothing of its own; a deployment without a record as well."""
    assert against(situation()) == ()
    assert against(situation(authoritative=None)) == ()
    assert against(situation(), "lab:dsql-freeze", faults={NEAR: [], FAR: []}) == ()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (situation(far={"check": check(FAR, passed=0)}), f"{FAR} does not serve: 0 of 6 checkers pass"),
        (situation(near={"check": check(NEAR, passed=1)}), f"{NEAR} does not serve: 1 of 6 checkers pass"),
        (situation(far={"check": check(FAR, disabled=True)}), f"the health check of {FAR} is disabled"),
        (situation(far={"check": check(FAR, inverted=True)}), f"the health check of {FAR} is inverted"),
        (situation(far={"check": check(FAR, 2, 2)}), f"only 2 of 6 checkers of {FAR} report"),
        (situation(far={"check": GONE}), f"whether {FAR} serves is not known: it does not answer"),
        (situation(far={"document": GONE}), "it does not answer"),
        (
            situation(
                far={"document": published(FAR, as_of=ago(400), valid_until=NOW - timedelta(seconds=100))}
            ),
            f"the document of {FAR} is 7 min old: its publisher writes none",
        ),
        (
            situation(far={"document": published(FAR, frozen=True)}),
            f"the publisher of {FAR} keeps its last order (frozen)",
        ),
        (
            situation(far={"document": published(FAR, state(FAR), down(NEAR))}),
            f"{FAR} observes {NEAR} down (timeout)",
        ),
        (
            situation(far={"document": published(FAR, state(FAR), drained(NEAR))}),
            f"{FAR} has {NEAR} out (drained)",
        ),
        (situation(forced=GONE), "the operators' intents are not known: it does not answer"),
        (
            situation(forced=forced(FAR)),
            f"alice drained {FAR} 4 min ago (02:56:00 UTC), until it is released: 'writes fail'",
        ),
        (situation(near={"alarms": RINGS}), "the alarm shop-test-probes-fail rings"),
        (situation(near={"alarms": GONE}), f"the alarms of {NEAR} are not known: it does not answer"),
        (situation(global_alarms=RINGS), "the alarm shop-test-probes-fail rings"),
        (situation(authoritative=GONE), "it does not answer"),
        (
            situation(authoritative=Known(RecordAnswer("old.shop.test", "", 10, "192.0.2.53"))),
            "db.shop.test leads to old.shop.test, which is no Region of shop-test",
        ),
        (situation(timings=None), "the stacks' parameters are not known, so nothing can be predicted"),
        (situation(regions=(region(NEAR),)), f"{NEAR} is the only Region: no other one would serve"),
    ],
)
def test_each_of_these_is_against_a_drill(given: Situation, said: str) -> None:
    """One reason each, in words."""
    assert against(given) == (said,)


def test_a_lab_that_is_broken_already_is_refused() -> None:
    """In any Region."""
    found = against(situation(), faults={NEAR: [], FAR: ["ssm-down", "dsql-far"]})
    assert found == (f"the lab has broken {FAR} already: ssm-down and dsql-far",)


def test_an_experiment_needs_its_template() -> None:
    """The stack's output names it."""
    assert against(situation(), "fis") == (
        f"the stack of {NEAR} has no {EXPERIMENT}: deploy it with FaultExperiment=true",
    )
    stack = Known(
        StackView("shop-test", "UPDATE_COMPLETE", ago(86400), "layer 7", outputs={EXPERIMENT: "EXT1"})
    )
    assert against(situation(near={"stack": stack}), "fis") == ()


def test_all_reasons_come_at_once() -> None:
    """So that one look is enough."""
    given = situation(
        near={"alarms": RINGS}, far={"check": check(FAR, passed=0)}, forced=forced(FAR), timings=None
    )
    assert len(against(given)) == 4
