"""The steps that are left of a deployment: each row of the table of steps.py, and every state in between."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from beacon_cli.deployment.steps import RegionFacts, Step, Work, plan
from beacon_cli.errors import FailedError

FIRST, SECOND = "us-east-1", "us-east-2"
NOTHING = RegionFacts(FIRST, "", "", "failover", database_ready=False, serving=False)
WHOLE = RegionFacts(FIRST, "UPDATE_COMPLETE", "failover", "failover", database_ready=True, serving=True)


def both(first: RegionFacts, second: RegionFacts) -> tuple[RegionFacts, RegionFacts]:
    return replace(first, region=FIRST, primary=True), replace(second, region=SECOND, primary=False)


def words(facts: tuple[RegionFacts, ...], *, with_global: bool = False) -> list[tuple[Work, str]]:
    steps = plan(facts, [one.region for one in facts], with_global=with_global)
    return [(step.work, step.region) for step in steps]


def done(facts: tuple[RegionFacts, ...], step: Step) -> tuple[RegionFacts, ...]:
    """The facts after a step, as AWS would show them."""

    def after(one: RegionFacts) -> RegionFacts:
        if step.region != one.region:
            return one
        match step.work:
            case Work.STACK:
                return replace(one, stack="CREATE_COMPLETE", record="none")
            case Work.DATABASE:
                return replace(one, database_ready=True)
            case Work.PASS:
                return replace(one, serving=True)
            case Work.RECORD:
                return replace(one, record=one.wanted_record)
            case _:
                return one

    return tuple(after(one) for one in facts)


def test_an_empty_account_gets_each_region_without_a_record_and_then_the_records() -> None:
    """No record before every Region passes, and the PRIMARY's first."""
    assert words(both(NOTHING, NOTHING), with_global=True) == [
        (Work.STACK, FIRST),
        (Work.DATABASE, FIRST),
        (Work.PASS, FIRST),
        (Work.STACK, SECOND),
        (Work.DATABASE, SECOND),
        (Work.PASS, SECOND),
        (Work.RECORD, FIRST),
        (Work.RECORD, SECOND),
        (Work.GLOBAL, ""),
    ]


def test_the_primary_comes_first_wherever_it_stands_in_the_file() -> None:
    """Route 53 has no answer while only the SECONDARY has a record."""
    first, second = both(NOTHING, NOTHING)
    steps = plan((second, first), [FIRST, SECOND], with_global=False)
    assert steps[0] == Step(Work.STACK, FIRST)
    assert next(step for step in steps if step.work is Work.RECORD).region == FIRST


def test_without_a_policy_there_is_no_record() -> None:
    """RoutingPolicy=none is a deployment for the consumers of SSM alone."""
    bare = replace(NOTHING, wanted_record="none")
    assert Work.RECORD not in {work for work, _ in words(both(bare, bare))}


def test_what_is_whole_is_deployed_again_one_region_after_the_other() -> None:
    """An upgrade; the guard looks at the others before each."""
    assert words(both(WHOLE, WHOLE)) == [(Work.UPDATE, FIRST), (Work.UPDATE, SECOND)]


def test_only_the_regions_that_were_named_are_deployed() -> None:
    """The others may be in any state."""
    facts = both(WHOLE, NOTHING)
    assert plan(facts, [FIRST], with_global=False) == (Step(Work.UPDATE, FIRST),)
    assert plan(facts, [SECOND], with_global=False)[0] == Step(Work.STACK, SECOND)


@pytest.mark.parametrize("wanted", ["none", "failover", "latency"])
def test_a_deployment_that_is_cut_off_anywhere_is_continued(wanted: str) -> None:
    """From every state of both Regions, the steps end in a whole deployment, however it is cut."""
    states = [
        replace(NOTHING, wanted_record=wanted),
        *(
            RegionFacts(FIRST, "CREATE_COMPLETE", record, wanted, database_ready=ready, serving=serving)
            for record in {"none", wanted}
            for ready, serving in product((False, True), repeat=2)
        ),
    ]
    for first, second in product(states, repeat=2):
        facts: tuple[RegionFacts, ...] = both(first, second)
        for _ in range(20):
            steps = plan(facts, [FIRST, SECOND], with_global=False)
            records = [number for number, step in enumerate(steps) if step.work is Work.RECORD]
            passes = [number for number, step in enumerate(steps) if step.work is Work.PASS]
            assert not records or not passes or max(passes) < min(records), "no record before all pass"
            if steps[0].work is Work.UPDATE:
                break
            facts = done(facts, steps[0])  # and the next run begins with a new look
        assert all(one.is_whole for one in facts), (first, second, facts)


def test_a_stack_that_can_only_be_deleted_ends_it_before_anything_is_done() -> None:
    """CloudFormation refuses every update of it."""
    with pytest.raises(FailedError) as ended:
        plan(both(WHOLE, replace(NOTHING, stack="ROLLBACK_COMPLETE")), [FIRST, SECOND], with_global=False)
    assert "us-east-2 is ROLLBACK_COMPLETE" in ended.value.sentence
    assert ended.value.command is not None
    assert "delete-stack --region us-east-2" in ended.value.command
