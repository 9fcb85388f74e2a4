"""Measured against predicted: each verdict, each wrong cause, and what the drill did not do."""

from dataclasses import replace

import pytest
from tests.unit.cli.drill.drills import (
    DRAIN,
    FREEZE,
    REPAIRED_S,
    TIMES,
    UP,
    check,
    consumed,
    expected,
    led,
    report,
    ssm,
    track,
    tracks,
)
from tests.unit.cli.situations import FAR, NEAR, answer

from beacon_cli.drill.consumed import Gap, Tally
from beacon_cli.drill.expected import DNS, Phase, checkers_of, ssm_of
from beacon_cli.drill.kinds import KINDS
from beacon_cli.drill.report import Outcome, outcome_of, reasons
from beacon_cli.drill.strangers import strangers
from beacon_cli.drill.tracks import Of, Track
from beacon_cli.drill.verdict import Result, Times, Verdict, compare


def result(seen: list[Track], place: str, phase: Phase = Phase.OUT, kind: str = FREEZE.name) -> Result:
    found = compare(expected(kind), seen, NEAR, KINDS[kind], TIMES)
    return next(one for one in found if (one.expected.track, one.expected.phase) == (place, phase))


def found_strange(*changed: Track, kind: str = FREEZE.name, dns_moves: bool = True) -> tuple[str, ...]:
    return strangers(changed, NEAR, KINDS[kind], TIMES, until_s=200.0, dns_moves=dns_moves)


@pytest.mark.parametrize("kind", [DRAIN.name, FREEZE.name])
def test_a_drill_as_it_should_be_passes(kind: str) -> None:
    """Checkers, DNS and both SSM, out and back, each in time and by its own cause."""
    made = report(kind=kind)
    assert {one.verdict for one in made.results} == {Verdict.AS_PREDICTED}
    assert [(one.expected.track, one.expected.phase.value) for one in made.results] == [
        (place, phase)
        for phase in ("out", "back")
        for place in (checkers_of(NEAR), DNS, ssm_of(NEAR), ssm_of(FAR))
    ]
    assert reasons(made) == ()
    assert outcome_of(made) is Outcome.PASSED


def test_a_transition_lies_between_two_looks() -> None:
    """It is late only if the last look before it was late, and too soon only if it was seen too soon."""
    latest = next(one for one in expected() if one.track == DNS).predicted.latest_s
    for at_s, verdict in ((latest + 0.4, Verdict.AS_PREDICTED), (latest + 0.6, Verdict.LATE)):
        seen = tracks(dns=led((-5.0, NEAR), (at_s, FAR), (REPAIRED_S + 25, NEAR)))
        assert result(seen, DNS).verdict is verdict
    early = tracks(dns=led((-5.0, NEAR), (19.9, FAR), (REPAIRED_S + 25, NEAR)))
    assert result(early, DNS).verdict is Verdict.TOO_SOON
    assert outcome_of(report(early)) is Outcome.FAILED


def test_an_effect_that_is_seen_before_the_answer_to_its_order_counts() -> None:
    """A drain is in force from its commit, and the answer to the commit comes later."""
    moved = ((-5.0, UP, NEAR), (-0.4, "out up drain drained", FAR), (REPAIRED_S - 0.4, UP, NEAR))
    seen = tracks(DRAIN.name, ssm_near=ssm(NEAR, *moved))
    times = Times(-1.0, REPAIRED_S - 1, REPAIRED_S)
    found = compare(expected(DRAIN.name), seen, NEAR, DRAIN, times)
    mine = [one for one in found if one.expected.track == ssm_of(NEAR)]
    assert [(one.verdict, one.measured_s) for one in mine] == [(Verdict.AS_PREDICTED, 0.0)] * 2
    assert strangers(seen, NEAR, DRAIN, times, until_s=200.0, dns_moves=True) == ()


def test_sooner_back_than_predicted_is_no_failure() -> None:
    """The repair came first, so it has its right cause."""
    seen = tracks(dns=led((-5.0, NEAR), (29.0, FAR), (REPAIRED_S + 2, NEAR)))
    found = result(seen, DNS, Phase.BACK)
    assert found.verdict is Verdict.SOONER
    assert found.measured_s == 2.0
    assert outcome_of(report(seen)) is Outcome.PASSED


WRONG = {
    "SSM, drained in a freeze": ({"ssm_near": ("out up drain drained", FREEZE)}, ssm_of(NEAR)),
    "SSM, down in a drain": ({"ssm_near": ("out down - timeout", DRAIN)}, ssm_of(NEAR)),
    "SSM, down and drained": ({"ssm_far": ("out down drain drained", DRAIN)}, ssm_of(FAR)),
    "SSM, another reason": ({"ssm_far": ("out down - refused", FREEZE)}, ssm_of(FAR)),
    "SSM, its turn deferred": ({"ssm_far": ("out down - deferred", FREEZE)}, ssm_of(FAR)),
}


@pytest.mark.parametrize("name", WRONG)
def test_out_by_another_cause_does_not_pass(name: str) -> None:
    """Also where it comes in time."""
    ((key, (row, kind)),), place = tuple(WRONG[name][0].items()), WRONG[name][1]
    at_s = 30.0 if kind is FREEZE else 1.5
    observer = NEAR if key == "ssm_near" else FAR
    changed = ssm(observer, (-5.0, UP, NEAR), (at_s, row, FAR), (REPAIRED_S + 60, UP, NEAR))
    seen = tracks(kind.name, **{key: changed})
    found = result(seen, place, kind=kind.name)
    assert found.verdict is Verdict.OTHER_CAUSE
    assert found.cause
    assert outcome_of(report(seen, kind.name)) is Outcome.FAILED


def test_checkers_that_say_another_thing_take_dns_with_them() -> None:
    """DNS names no cause: it counts by its check."""
    seen = tracks(near=check(NEAR, (-5.0, "yes"), (9.0, "no"), (90.0, "yes"), says="Failure: DNS resolution"))
    assert result(seen, checkers_of(NEAR)).verdict is Verdict.OTHER_CAUSE
    assert result(seen, DNS).verdict is Verdict.OTHER_CAUSE


def test_dns_that_moves_before_its_check_has_another_cause() -> None:
    """Another operator has changed the record."""
    seen = tracks(near=check(NEAR, (-5.0, "yes"), (36.0, "no"), (REPAIRED_S + 6, "yes")))
    assert result(seen, checkers_of(NEAR)).verdict is Verdict.AS_PREDICTED
    assert result(seen, DNS).verdict is Verdict.OTHER_CAUSE
    unseen = tracks(near=check(NEAR, (-5.0, "yes")))
    assert result(unseen, DNS).verdict is Verdict.OTHER_CAUSE


def test_out_before_the_break_and_back_before_the_repair_are_not_the_drills_doing() -> None:
    """Whatever caused them."""
    seen = tracks(dns=led((-5.0, FAR), (REPAIRED_S + 25, NEAR)))
    assert result(seen, DNS).verdict is Verdict.OTHER_CAUSE
    seen = tracks(dns=led((-5.0, NEAR), (29.0, FAR), (REPAIRED_S - 10, NEAR)))
    assert result(seen, DNS, Phase.BACK).verdict is Verdict.OTHER_CAUSE


def test_what_is_not_seen_or_cannot_be_read_does_not_pass() -> None:
    """The two have names of their own."""
    seen = tracks(ssm_far=ssm(FAR, (-5.0, UP, NEAR)))
    assert result(seen, ssm_of(FAR)).verdict is Verdict.NOT_SEEN
    blind = track(ssm_of(FAR), Of.SSM, FAR, (-5.0, {NEAR: UP, "endpoint": NEAR}), (3.0, {"unread": "denied"}))
    found = result(tracks(ssm_far=blind), ssm_of(FAR))
    assert (found.verdict, found.cause) == (Verdict.UNREAD, "denied")


def test_a_document_whose_endpoint_parameter_stays_is_not_out() -> None:
    """Readers of the endpoint alone would still go there."""
    seen = tracks(ssm_far=ssm(FAR, (-5.0, UP, NEAR), (30.0, "out down - timeout", NEAR)))
    assert result(seen, ssm_of(FAR)).verdict is Verdict.NOT_SEEN


@pytest.mark.parametrize(
    ("changed", "kind", "said"),
    [
        (check(FAR, (-5.0, "yes"), (9.0, "no")), FREEZE, f"the checkers of {FAR} find it unhealthy"),
        (
            track(checkers_of(NEAR), Of.CHECK, NEAR, (2.0, {"healthy": "no", "says": "inverted"})),
            FREEZE,
            f"the health check of {NEAR} is inverted",
        ),
        (
            ssm(FAR, (-5.0, UP, NEAR), (9.0, "in up drain drained", NEAR)),
            FREEZE,
            f"SSM of {FAR} has {NEAR} forced: drain",
        ),
        (
            ssm(FAR, (-5.0, UP, NEAR), (9.0, "out down drain drained", FAR)),
            DRAIN,
            f"SSM of {FAR} has {NEAR} observed down (drained)",
        ),
        (
            ssm(FAR, (-5.0, UP, NEAR), (9.0, "in down - refused", NEAR)),
            FREEZE,
            f"SSM of {FAR} has {NEAR} observed down (refused)",
        ),
        (ssm(FAR, (9.0, UP, NEAR), frozen="yes"), FREEZE, f"SSM of {FAR} keeps its last order (frozen)"),
        (
            track("faults of the lab", Of.FAULTS, "", (2.0, {NEAR: "dsql-freeze, ssm-down", FAR: ""})),
            FREEZE,
            f"the lab has dsql-freeze, ssm-down in {NEAR}",
        ),
        (
            track("faults of the lab", Of.FAULTS, "", (2.0, {NEAR: "dsql-freeze", FAR: "dsql-slow"})),
            FREEZE,
            f"the lab has dsql-slow in {FAR}",
        ),
        (
            track("faults of the lab", Of.FAULTS, "", (2.0, {NEAR: "dsql-freeze", FAR: ""})),
            DRAIN,
            f"the lab has dsql-freeze in {NEAR}",
        ),
    ],
)
def test_another_change_is_not_by_this_drill(changed: Track, kind: object, said: str) -> None:
    """Another operator, another fault, another Region."""
    name = DRAIN.name if kind is DRAIN else FREEZE.name
    found = found_strange(changed, kind=name)
    assert len(found) == 1
    assert found[0].startswith(f"not by this drill: {said}")
    assert outcome_of(report(strangers=found)) is Outcome.FAILED


def test_the_other_regions_row_may_not_move() -> None:
    """A change of its reason alone is none."""
    before = {NEAR: UP, FAR: UP, "endpoint": NEAR, "frozen": "no"}
    moved = track(ssm_of(NEAR), Of.SSM, NEAR, (-5.0, before), (5.0, before | {FAR: "in up drain drained"}))
    assert found_strange(moved) == (
        f"not by this drill: SSM of {NEAR} has {FAR} in (observed up: drained, forced: drain) after 5.0 s",
    )
    same = track(ssm_of(NEAR), Of.SSM, NEAR, (-5.0, before), (5.0, before | {FAR: "in up - conflict"}))
    assert found_strange(same) == ()


def test_after_the_repair_of_a_fault_its_reason_may_change() -> None:
    """The repair of a frozen endpoint resets what was open; a drain's Region is never observed down."""
    healing = ((-5.0, UP, NEAR), (REPAIRED_S + 1, "out down - reset", FAR))
    assert found_strange(ssm(NEAR, *healing)) == ()
    assert found_strange(ssm(NEAR, *healing), kind=DRAIN.name) != ()
    before = ((-5.0, UP, NEAR), (REPAIRED_S - 1, "out down - reset", FAR))
    assert found_strange(ssm(NEAR, *before)) != ()


def test_dns_that_never_led_to_the_region_may_not_move() -> None:
    """Then no transition of DNS is expected either."""
    assert not any(one.track == DNS for one in expected(authoritative=answer(FAR)))
    moved = led((-5.0, FAR), (9.0, NEAR))
    assert found_strange(moved, dns_moves=False) == (f"not by this drill: DNS leads to {NEAR} after 9.0 s",)
    assert found_strange(led((-5.0, FAR)), dns_moves=False) == ()


def test_a_gateway_that_is_down_leaves_ssm_alone() -> None:
    """Only the checkers and DNS are expected to move, and a document that moves is strange."""
    places = {one.track for one in expected("lab:gateway-down")}
    assert places == {checkers_of(NEAR), DNS}
    moved = ssm(NEAR, (-5.0, UP, NEAR), (9.0, "out down - timeout", FAR))
    assert found_strange(moved, kind="lab:gateway-down") != ()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"found": 698}, "1 acknowledged rows are lost"),
        ({"found": None}, "the consumer's rows could not be read again"),
        ({"acknowledged": 0, "found": 0}, "the consumer got no row acknowledged"),
        (
            {"longest_gap": Gap(1.0, 9.0)},
            "the consumer's longest gap is 8.0 s, and 6.2 s are predicted",
        ),
    ],
)
def test_a_consumer_that_suffers_fails_the_drill(changes: dict[str, object], said: str) -> None:
    """Whatever DNS and SSM did."""
    made = report(consumer=consumed(**changes))
    assert reasons(made) == (said,)
    assert outcome_of(made) is Outcome.FAILED


def test_a_drill_without_a_consumer_can_pass() -> None:
    """It says so elsewhere."""
    made = report(consumer=None, no_consumer="there is no table")
    assert outcome_of(made) is Outcome.PASSED


def test_what_is_not_repaired_or_was_interrupted_does_not_pass() -> None:
    """An interrupted drill does not complain about what it did not wait for."""
    assert reasons(report(whole=False, repair="no answer")) == ("it is not repaired: no answer",)
    seen = [replace(one, points=one.points[:1]) for one in tracks()]
    made = report(seen, interrupted=True)
    assert reasons(made) == ("it was interrupted",)
    assert outcome_of(made) is Outcome.INTERRUPTED


def test_the_tally_counts_gaps_to_its_end() -> None:
    """Also one that no row ended."""
    tally = Tally()
    for number, (at, problem, region) in enumerate(
        [(10.0, "", NEAR), (10.2, "", NEAR), (12.4, "57P03", ""), (13.0, "", FAR), (13.2, "", FAR)]
    ):
        tally.add({"id": str(number), "at": at, "region": region, "problem": problem})
    tally.end(16.7)
    made = tally.consumed(10.0, 4)
    assert (made.attempts, made.failed, made.acknowledged) == (5, 1, 4)
    assert made.longest_gap == Gap(3.2, 6.7)
    assert made.gaps == (Gap(0.2, 3.0), Gap(3.2, 6.7))
    assert made.regions == ((0.0, NEAR), (3.0, FAR))
    assert made.problems == {"57P03": 1}
