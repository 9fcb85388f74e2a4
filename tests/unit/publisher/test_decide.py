"""The decision: each rule, with the whole document as the oracle."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

import beacon.publisher.decide
from beacon.model import (
    MAX_LATENCY_MS,
    Document,
    Effective,
    Endpoint,
    EndpointState,
    Forced,
    Intent,
    Observation,
    Observed,
    Policy,
)
from beacon.outcome import ProbeOutcome, Reason
from beacon.publisher.decide import HYSTERESIS, Decision, Subject, decide, step
from beacon.publisher.rank import rank, rank_when_empty

NOW = datetime(2026, 11, 22, 1, 2, 3, 456789, tzinfo=UTC)
MS = NOW.replace(microsecond=456000)
T0 = datetime(2026, 11, 22, tzinfo=UTC)
A, B, C = "us-east-1", "us-east-2", "us-west-2"
HOSTS = {region: letter * 26 + f".dsql.{region}.on.aws" for region, letter in ((A, "a"), (B, "b"), (C, "c"))}
UP, DOWN, NEW = Observed.UP, Observed.DOWN, Observed.UNKNOWN
IN, OUT = Effective.IN, Effective.OUT
POLICY = Policy(fall=3, rise=2, ranking="priority")
PASS = Observation(ProbeOutcome.PASS, Reason.OK, 10.0)
FAIL = Observation(ProbeOutcome.FAIL, Reason.TIMEOUT)
UNKNOWN = Observation(ProbeOutcome.UNKNOWN, Reason.NO_CREDENTIALS, warning=Reason.NO_CREDENTIALS)
NONE: Mapping[str, Intent] = {}

Seen = Mapping[str, Sequence[Observation]]


def drain(*regions: str, remaining_s: float | None = None) -> Mapping[str, Intent]:
    return {region: Intent(region, Forced.DRAIN, remaining_s=remaining_s) for region in regions}


def subject(*regions: str) -> Subject:
    return Subject("orders-prod", "dsql", A, tuple(Endpoint(region, HOSTS[region]) for region in regions))


def state(
    region: str,
    observed: Observed = UP,
    effective: Effective = IN,
    *,
    reason: str = "ok",
    streak: int = 0,
    latency_ms: float | None = 10.0,
    forced: bool = False,
    forced_until: datetime | None = None,
    since: datetime = T0,
    observed_since: datetime | None = T0,
) -> EndpointState:
    return EndpointState(
        region=region,
        host=HOSTS[region],
        port=5432,
        observed=observed,
        forced=Forced.DRAIN if forced else None,
        effective=effective,
        reason=reason,
        since=since,
        latency_ms=latency_ms,
        streak=streak,
        observed_since=None if observed is NEW else observed_since,
        forced_until=forced_until,
    )


def document(
    *states: EndpointState, epoch: int = 7, note: str = "", counted_at: datetime | None = None
) -> Document:
    return Document(
        service="orders-prod",
        target="dsql",
        observer=A,
        epoch=epoch,
        as_of=T0,
        valid_until=T0 + timedelta(seconds=300),
        endpoints=states,
        frozen=bool(note),
        note=note,
        counted_at=counted_at,
    )


def decided(
    previous: Document | None,
    observations: Seen,
    intents: Mapping[str, Intent] | None = NONE,
    *,
    policy: Policy = POLICY,
    now: datetime = NOW,
    of: Subject | None = None,
) -> Decision:
    regions = [known.region for known in previous.endpoints] if previous else [A, B, C]
    return decide(
        previous, observations, intents, now=now, policy=policy, subject=of or subject(*sorted(regions))
    )


def expected(*states: EndpointState, note: str = "") -> Document:
    """The document that the rules demand of a round at NOW."""
    return replace(
        document(*states, epoch=int(MS.timestamp() * 1000), note=note),
        counted_at=None if note == "all_failed" else MS,
        as_of=MS,
        valid_until=MS + timedelta(seconds=300),
    )


# ---- hysteresis

#: A policy whose numbers are all different.
COUNTS = {"1": 1, "``fall``": 7, "``rise``": 5}


def documented_rows() -> list[tuple[Observed, ProbeOutcome, Observed, int]]:
    """Each row of the table in the module's docstring: observed, observation, becomes, how many in a row."""
    pattern = r"^ +(up|down|unknown) +(pass|fail) +(up|down) +(1|``fall``|``rise``)$"
    found = re.findall(pattern, beacon.publisher.decide.__doc__ or "", re.MULTILINE)
    return [(Observed(a), ProbeOutcome(b), Observed(c), COUNTS[d]) for a, b, c, d in found]


def test_the_documented_hysteresis_table_is_the_one_in_use() -> None:
    """All of its rows, and no other."""
    policy = Policy(fall=7, rise=5)
    in_use = {(*key, becomes, needed(policy)) for key, (becomes, needed) in HYSTERESIS.items()}
    assert in_use == set(documented_rows())
    assert len(in_use) == len(HYSTERESIS) == 6


@pytest.mark.parametrize(("before", "outcome", "becomes", "needed"), documented_rows())
def test_each_documented_row_takes_so_many_observations(
    before: Observed, outcome: ProbeOutcome, becomes: Observed, needed: int
) -> None:
    """One fewer leaves the state as it was, and counts."""
    observed, streak = before, 0
    for count in range(1, needed):
        observed, streak = step(observed, streak, outcome, Policy(fall=7, rise=5))
        assert (observed, streak) == (before, count)
    assert step(observed, streak, outcome, Policy(fall=7, rise=5)) == (becomes, 0)


@pytest.mark.parametrize(
    ("before", "streak", "outcome", "after"),
    [
        (UP, 2, ProbeOutcome.PASS, (UP, 0)),
        (UP, 0, ProbeOutcome.FAIL, (UP, 1)),
        (UP, 1, ProbeOutcome.FAIL, (UP, 2)),
        (UP, 2, ProbeOutcome.FAIL, (DOWN, 0)),
        (DOWN, 1, ProbeOutcome.FAIL, (DOWN, 0)),
        (DOWN, 0, ProbeOutcome.PASS, (DOWN, 1)),
        (DOWN, 1, ProbeOutcome.PASS, (UP, 0)),
        (NEW, 2, ProbeOutcome.PASS, (UP, 0)),
        (NEW, 0, ProbeOutcome.FAIL, (NEW, 1)),
        (NEW, 2, ProbeOutcome.FAIL, (DOWN, 0)),
        *[(before, 1, ProbeOutcome.UNKNOWN, (before, 1)) for before in Observed],
    ],
)
def test_each_row_of_the_hysteresis_table(
    before: Observed, streak: int, outcome: ProbeOutcome, after: tuple[Observed, int]
) -> None:
    """One observation makes one step; fall is three and rise is two here."""
    assert step(before, streak, outcome, POLICY) == after


def test_thresholds_of_one_need_one_observation() -> None:
    """There is no off-by-one at the smallest policy."""
    policy = Policy(fall=1, rise=1)
    assert step(UP, 0, ProbeOutcome.FAIL, policy) == (DOWN, 0)
    assert step(DOWN, 0, ProbeOutcome.PASS, policy) == (UP, 0)


def test_a_policy_that_became_stricter_applies_to_an_old_streak() -> None:
    """A stored count above the new threshold is simply above it."""
    assert step(UP, 9, ProbeOutcome.FAIL, Policy(fall=3)) == (DOWN, 0)


def test_a_flap_below_the_threshold_changes_nothing() -> None:
    """Two fails and a pass, over and over, never take an endpoint out."""
    last = document(state(A), state(B))
    for _ in range(10):
        decision = decided(last, {A: [FAIL, FAIL, PASS], B: [PASS]})
        assert decision.changes == ()
        last = decision.document


# ---- rounds


def test_the_first_round_lists_every_endpoint_in_configured_order() -> None:
    """Each observation counts from unknown; no endpoint is out before it is confirmed."""
    decision = decided(None, {A: [FAIL, FAIL], B: [PASS], C: [UNKNOWN]})
    assert decision.document == expected(
        state(A, NEW, reason="timeout", streak=2, latency_ms=None, since=MS),
        state(B, UP, since=MS, observed_since=MS),
        state(C, NEW, reason="no_data", latency_ms=None, since=MS),
    )
    assert [change.reason for change in decision.changes] == [
        "first seen: observed unknown",
        "first seen: observed up",
        "first seen: observed unknown",
    ]
    assert all(change.before is None for change in decision.changes)


def test_a_confirmed_failure_takes_an_endpoint_out() -> None:
    """It goes behind the others, with its reason and the time; the change tells both states."""
    last = document(state(A), state(B))
    decision = decided(last, {A: [FAIL] * 3, B: [PASS]})
    out = state(A, DOWN, OUT, reason="timeout", since=MS, observed_since=MS)
    assert decision.document == expected(state(B), out)
    (change,) = decision.changes
    assert (change.region, change.before, change.after) == (A, state(A), out)
    assert change.reason == "observed up -> down (timeout), taken out"


def test_a_recovered_endpoint_comes_back_after_rise_passes() -> None:
    """One pass is not enough, the second brings it back in."""
    last = document(state(B), state(A, DOWN, OUT, reason="timeout"))
    first = decided(last, {A: [PASS], B: [PASS]})
    assert first.document == expected(state(B), state(A, DOWN, OUT, streak=1))
    assert first.changes == ()
    later = MS + timedelta(seconds=60)
    second = decided(first.document, {A: [PASS], B: [PASS]}, now=later)
    assert second.document.endpoints == (state(B), state(A, since=later, observed_since=later))
    assert [change.reason for change in second.changes] == ["observed down -> up (ok), back in"]


def rounds(last: Document, seen: Seen, *after_s: float, policy: Policy = POLICY) -> list[Document]:
    """One round after the other, each that long after ``MS``."""
    documents = []
    for seconds in after_s:
        last = decided(last, seen, policy=policy, now=MS + timedelta(seconds=seconds)).document
        documents.append(last)
    return documents


def observed_of(documents: Sequence[Document], region: str) -> list[Observed]:
    return [known.observed for found in documents if (known := found.state_of(region))]


def test_passes_that_follow_each_other_at_once_count_as_one() -> None:
    """A burst of queued events after a heal is one good second, not several good rounds."""
    down = document(state(B), state(A, DOWN, OUT, reason="timeout"), counted_at=MS)
    burst = rounds(down, {A: [PASS], B: [PASS]}, 5, 5.2, 6, 7, 8, 9, 9.999, 10)
    assert observed_of(burst, A) == [DOWN] * 7 + [UP]


@pytest.mark.parametrize(("apart_s", "streak"), [(0.0, 0), (4.999, 0), (5.0, 1), (-0.001, 1)])
def test_passes_count_from_the_policys_distance_on(apart_s: float, streak: int) -> None:
    """Two rounds in one millisecond are one; a clock that was set back ends the distance."""
    last = document(state(A), state(B, DOWN, OUT), counted_at=MS - timedelta(seconds=apart_s))
    found = decided(last, {A: [PASS], B: [PASS]}).document.state_of(B)
    assert found is not None
    assert found.streak == streak


def test_a_stream_of_rounds_lets_an_endpoint_return() -> None:
    """Every round moves the clock, and not every one the distance."""
    down = document(state(B), state(A, DOWN, OUT, reason="timeout"), counted_at=MS)
    found = observed_of(rounds(down, {A: [PASS], B: [PASS]}, *range(1, 12)), A)
    assert found == [DOWN] * 9 + [UP] * 2


def test_several_passes_in_a_round_count_as_one() -> None:
    """As many as there are."""
    down = document(state(B), state(A, DOWN, OUT, reason="timeout"))
    assert observed_of(rounds(down, {A: [PASS] * 5, B: [PASS]}, 0, 60), A) == [DOWN, UP]


def test_fails_count_however_close_the_rounds_are() -> None:
    """Quick to confirm: a fail in a burst sets a return back, and fails add up to a fall."""
    last = document(state(A), state(B), counted_at=MS)
    assert observed_of(rounds(last, {A: [FAIL], B: [PASS]}, 0.1, 0.2, 0.3), A) == [UP, UP, DOWN]
    returning = document(state(B), state(A, DOWN, OUT, streak=1), counted_at=MS)
    (found,) = rounds(returning, {A: [FAIL], B: [PASS]}, 0.1)
    assert found.endpoints[1].streak == 0


def test_a_clock_that_was_set_back_keeps_no_endpoint_out() -> None:
    """A round from before the last that counted, counts."""
    down = document(state(B), state(A, DOWN, OUT, streak=1), counted_at=MS + timedelta(hours=1))
    (found,) = rounds(down, {A: [PASS], B: [PASS]}, 0)
    assert (found.endpoints[1].observed, found.counted_at) == (UP, MS)


def test_a_frozen_round_counts_no_passes() -> None:
    """Nor does it push back the next one that may."""
    last = document(state(A), state(B), counted_at=T0)
    assert decided(last, {A: [FAIL], B: [FAIL]}).document.counted_at == T0


@pytest.mark.parametrize("seen", [[UNKNOWN], [UNKNOWN] * 9, []], ids=["unknown", "unknowns", "missing"])
def test_unknown_is_not_unhealthy(seen: list[Observation]) -> None:
    """An unknown or missing observation leaves every member as it was, also a streak and a down."""
    states = (state(A, streak=2, reason="timeout"), state(B), state(C, DOWN, OUT, reason="reset", streak=1))
    decision = decided(document(*states), {A: seen, B: [PASS], C: seen})
    assert decision.document == expected(*states)
    assert decision.changes == ()


def test_all_failing_at_once_freezes_the_last_document() -> None:
    """The observer may be the one that is cut off: states, streaks and order stay, the note says why."""
    states = (state(B, streak=1), state(A, DOWN, OUT, reason="reset", streak=1))
    decision = decided(document(*states), {A: [FAIL], B: [PASS, FAIL, FAIL]}, drain(B))
    assert decision.document == expected(*states, note="all_failed")
    assert decision.document.frozen
    assert decision.changes == ()


def test_one_unknown_among_fails_is_no_freeze() -> None:
    """Only when every endpoint fails does the observer doubt itself."""
    decision = decided(document(state(A), state(B)), {A: [FAIL] * 3, B: [UNKNOWN]})
    out = state(A, DOWN, OUT, reason="timeout", since=MS, observed_since=MS)
    assert decision.document == expected(state(B), out)


def test_a_freeze_ends_with_the_first_pass() -> None:
    """What failed meanwhile has to be confirmed again: the freeze counted nothing."""
    frozen = document(state(A), state(B), note="all_failed")
    decision = decided(frozen, {A: [FAIL, FAIL], B: [FAIL, PASS]})
    assert decision.document == expected(state(A, reason="timeout", streak=2), state(B))


# ---- forced states


def test_a_drain_removes_and_a_release_returns() -> None:
    """Forced wins over observed, whatever is observed; both are shown."""
    last = document(state(A), state(B))
    drained = decided(last, {A: [PASS], B: [PASS]}, drain(A))
    out = state(A, UP, OUT, reason="drained", forced=True, since=MS)
    assert drained.document == expected(state(B), out)
    assert [change.reason for change in drained.changes] == ["drained by an operator, taken out"]
    released = decided(drained.document, {A: [PASS], B: [PASS]})
    # Preferred at once: it had been up all along, and the operator's release says when.
    assert released.document == replace(
        expected(state(A, since=MS), state(B)), epoch=drained.document.epoch + 1
    )
    assert [change.reason for change in released.changes] == ["released by an operator, back in"]


def test_intents_that_cannot_be_read_keep_the_last() -> None:
    """None is not the same as an empty mapping."""
    states = (state(B), state(A, UP, OUT, reason="drained", forced=True))
    decision = decided(document(*states), {A: [PASS], B: [PASS]}, None)
    assert decision.document == expected(*states)


SEEN: Seen = {A: [PASS], B: [PASS]}


def drained_until(until: datetime | None) -> Document:
    return document(state(B), state(A, UP, OUT, reason="drained", forced=True, forced_until=until))


def expiry_of(found: Decision) -> datetime | None:
    known = found.document.state_of(A)
    assert known is not None
    assert known.forced is Forced.DRAIN
    return known.forced_until


def test_a_drain_ends_when_what_was_left_of_it_has_passed() -> None:
    """What was left is the database's word, the instant is by the publisher's clock, to the millisecond."""
    found = decided(document(state(A), state(B)), SEEN, drain(A, remaining_s=1800.0004))
    assert expiry_of(found) == MS + timedelta(seconds=1800)
    assert [change.reason for change in found.changes] == ["drained by an operator, taken out"]


@pytest.mark.parametrize("remaining_s", [None, 1e12, 1e300], ids=str)
def test_a_drain_without_an_end_that_can_be_written_holds_until_it_is_released(
    remaining_s: float | None,
) -> None:
    """PostgreSQL's instants go far beyond the year 9999."""
    found = decided(drained_until(MS + timedelta(hours=1)), SEEN, drain(A, remaining_s=remaining_s))
    assert expiry_of(found) is None
    assert found.changes == ()


@pytest.mark.parametrize("off_s", [-1.999, -0.003, 0.0, 0.004, 1.999])
def test_an_expiry_that_is_read_again_stays_what_it_was(off_s: float) -> None:
    """Each reading is a little off: rounds take their time."""
    until = MS + timedelta(minutes=30)
    found = decided(drained_until(until), SEEN, drain(A, remaining_s=1800 + off_s))
    assert found.document == expected(*drained_until(until).endpoints)
    assert found.changes == ()


@pytest.mark.parametrize("off_s", [-1790.0, -2.0, 2.0, 3600.0])
def test_another_expiry_replaces_the_last_and_is_no_change_of_state(off_s: float) -> None:
    """An operator drains a Region that is drained already, for longer or for less."""
    until = MS + timedelta(minutes=30)
    found = decided(drained_until(until), SEEN, drain(A, remaining_s=1800 + off_s))
    assert expiry_of(found) == until + timedelta(seconds=off_s)
    assert found.changes == ()


def test_a_drain_that_cannot_be_read_any_more_ends_at_its_expiry() -> None:
    """To the millisecond; as after a release it is preferred at once, and the change says why."""
    until = MS + timedelta(seconds=90)
    last = drained_until(until)
    before = decided(last, SEEN, None, now=until - timedelta(milliseconds=1))
    assert (expiry_of(before), before.changes) == (until, ())
    after = decided(last, SEEN, None, now=until)
    assert after.document.endpoints == (state(A, since=until), state(B))
    assert [change.reason for change in after.changes] == ["drain expired, back in"]


def test_a_drain_until_released_outlives_its_readability() -> None:
    """However long that lasts."""
    found = decided(drained_until(None), SEEN, None, now=NOW + timedelta(days=365))
    assert expiry_of(found) is None
    assert found.changes == ()


def test_an_expiry_does_not_end_a_drain_that_can_be_read() -> None:
    """The database's clock judges, and the publisher's may be ahead of it."""
    found = decided(drained_until(MS - timedelta(hours=1)), SEEN, drain(A, remaining_s=60))
    assert expiry_of(found) == MS + timedelta(seconds=60)


def test_a_freeze_keeps_a_drain_whose_time_has_passed() -> None:
    """Nothing is decided from a round that trusts nothing; the next one that does lets it go."""
    last = drained_until(MS - timedelta(seconds=1))
    frozen = decided(last, {A: [FAIL], B: [FAIL]}, None)
    assert frozen.document == expected(*last.endpoints, note="all_failed")
    thawed = decided(frozen.document, SEEN, None)
    assert [known.effective for known in thawed.document.endpoints] == [IN, IN]


@pytest.mark.parametrize(
    ("until", "reason"),
    [
        (MS - timedelta(hours=1), "drain expired, back in"),
        (MS + timedelta(seconds=2), "drain expired, back in"),
        (MS + timedelta(seconds=2.001), "released by an operator, back in"),
        (None, "released by an operator, back in"),
    ],
)
def test_a_drain_that_is_over_says_whether_an_operator_ended_it(until: datetime | None, reason: str) -> None:
    """The table says only that it is gone; what was known of its end tells the rest."""
    found = decided(drained_until(until), SEEN)
    assert [change.reason for change in found.changes] == [reason]
    assert found.document.endpoints == (state(A, since=MS), state(B))


def test_a_drain_that_expires_leaves_a_failed_endpoint_out() -> None:
    """Only the operator's part of it ends."""
    last = document(
        state(B), state(A, DOWN, OUT, reason="drained", forced=True, forced_until=MS - timedelta(seconds=1))
    )
    found = decided(last, {A: [FAIL], B: [PASS]}, None)
    assert found.document == expected(state(B), state(A, DOWN, OUT, reason="timeout"))
    assert [change.reason for change in found.changes] == ["drain expired"]


def test_a_drained_endpoint_is_observed_on() -> None:
    """Released after it failed, it does not come back as if nothing had happened."""
    last = document(state(B), state(A, UP, OUT, reason="drained", forced=True))
    failed = decided(last, {A: [FAIL] * 3, B: [PASS]}, drain(A))
    assert failed.document.endpoints[1] == state(
        A, DOWN, OUT, reason="drained", forced=True, observed_since=MS
    )
    released = decided(failed.document, {A: [FAIL], B: [PASS]})
    assert released.document.endpoints[1] == state(A, DOWN, OUT, reason="timeout", observed_since=MS)


def test_a_drain_of_a_region_that_is_not_configured_changes_nothing() -> None:
    """Several deployments can share a cluster and its table."""
    decision = decided(document(state(A), state(B)), {A: [PASS], B: [PASS]}, drain(C))
    assert decision.document == expected(state(A), state(B))


# ---- velocity and never empty


def test_at_most_one_endpoint_leaves_a_round_and_the_waiting_one_is_not_preferred() -> None:
    """The first in the last order leaves; the other waits behind the one that works."""
    last = document(state(A), state(B), state(C))
    first = decided(last, {A: [FAIL] * 3, B: [FAIL] * 3, C: [PASS]})
    assert first.document == expected(
        state(C),
        state(B, DOWN, reason="deferred", observed_since=MS),
        state(A, DOWN, OUT, reason="timeout", since=MS, observed_since=MS),
    )
    assert first.document.preferred.region == C
    assert {change.region: change.reason for change in first.changes} == {
        A: "observed up -> down (timeout), taken out",
        B: "observed up -> down, waits its turn to leave",
    }
    later = decided(first.document, {A: [FAIL], B: [FAIL], C: [PASS]})
    assert [(s.region, s.effective, s.reason) for s in later.document.endpoints] == [
        (C, IN, "ok"),
        (A, OUT, "timeout"),
        (B, OUT, "timeout"),
    ]
    assert [change.reason for change in later.changes] == ["taken out (timeout)"]


def test_a_drained_endpoint_leaves_before_a_failed_one() -> None:
    """An operator waits for it; the failed one is behind the good one either way."""
    last = document(state(A), state(B), state(C))
    decision = decided(last, {A: [FAIL] * 3, B: [PASS], C: [PASS]}, drain(B))
    assert decision.document == expected(
        state(C),
        state(A, DOWN, reason="deferred", observed_since=MS),
        state(B, UP, OUT, reason="drained", forced=True, since=MS),
    )


def test_the_last_endpoint_never_leaves() -> None:
    """If none were left all are in: up, then drained but up, then the rest in the last order."""
    last = document(state(C), state(B), state(A, DOWN, OUT, reason="timeout"))
    decision = decided(last, {A: [FAIL], B: [PASS], C: [FAIL, FAIL, FAIL]}, drain(B))
    assert decision.document == expected(
        state(B, forced=True),
        state(C, DOWN, reason="timeout", observed_since=MS),
        state(A, DOWN, reason="timeout", since=MS),
        note="would_be_empty",
    )
    assert {change.region: change.reason for change in decision.changes} == {
        B: "drained by an operator, frozen: would_be_empty",
        C: "observed up -> down (timeout), frozen: would_be_empty",
        A: "back in, frozen: would_be_empty",
    }


def test_draining_every_region_drains_none() -> None:
    """All stay in their order of rank, and the document says so."""
    decision = decided(document(state(A), state(B)), {A: [PASS], B: [PASS]}, drain(A, B))
    assert decision.document == expected(state(A, forced=True), state(B, forced=True), note="would_be_empty")


def test_a_single_region_is_never_out() -> None:
    """Neither by failing nor by a drain."""
    last = document(state(A))
    assert decided(last, {A: [FAIL] * 9}).document.preferred.region == A
    assert decided(last, {A: [PASS]}, drain(A)).document.preferred.region == A


# ---- configuration


def test_a_new_endpoint_joins_behind_the_others_and_an_old_one_leaves() -> None:
    """What is configured counts; an endpoint whose host changed starts again."""
    moved = replace(state(B, DOWN, OUT, reason="timeout"), host="d" * 26 + f".dsql.{B}.on.aws")
    last = document(state(A), moved)
    decision = decided(last, {B: [UNKNOWN], C: [PASS]}, of=subject(B, C), policy=Policy())
    assert decision.document == expected(
        state(B, NEW, reason="no_data", latency_ms=None, since=MS), state(C, since=MS, observed_since=MS)
    )
    assert {change.region: change.reason for change in decision.changes} == {
        B: "has a new host name, observed down -> unknown (no_data), back in",
        C: "first seen: observed up",
    }


def test_the_rest_is_in_when_all_that_were_in_are_configured_no_more() -> None:
    """A change of configuration cannot empty the document either."""
    last = document(state(A), state(B, DOWN, OUT, reason="timeout"), state(C, UP, OUT, reason="drained"))
    decision = decided(last, {B: [FAIL], C: [PASS]}, None, of=subject(B, C))
    assert decision.document.preferred.region == C
    alone = decided(last, {B: [FAIL]}, of=subject(B))
    assert alone.document.preferred.region == B


# ---- ranking


def latencies(**now_ms: float) -> Seen:
    names = {"a": A, "b": B, "c": C}
    return {names[name]: [Observation(ProbeOutcome.PASS, Reason.OK, value)] for name, value in now_ms.items()}


def order(found: Decision) -> list[str]:
    return [known.region for known in found.document.endpoints]


def test_latency_ranks_only_for_a_gain_above_the_margin() -> None:
    """At a margin of 30 %, 70 ms does not pass 100 ms and 69 ms does."""
    policy = Policy(smoothing=1.0)
    last = document(state(A, latency_ms=100), state(B, latency_ms=100))
    assert order(decided(last, latencies(a=100, b=70), policy=policy)) == [A, B]
    assert order(decided(last, latencies(a=100, b=69), policy=policy)) == [B, A]


def test_latency_is_smoothed() -> None:
    """A slower answer moves three tenths of the way; a late one counts as thrice the smoothed one."""
    found = decided(document(state(A), state(B)), latencies(a=20, b=10), policy=Policy()).document
    assert [known.latency_ms for known in found.endpoints] == [pytest.approx(13.0), 10.0]
    late = decided(document(state(A), state(B, latency_ms=0.0)), latencies(a=200, b=200), policy=Policy())
    assert [late.document.state_of(A), late.document.state_of(B)] == [
        state(A, latency_ms=10 + 0.3 * (30.0 - 10)),
        state(B, latency_ms=0.3 * 3.0),
    ]


def test_a_single_late_answer_changes_no_rank_and_a_lasting_one_does() -> None:
    """One counts as thrice what was usual, so a retransmission's 200 ms do not; a few in a row do."""
    found = document(state(A, latency_ms=2), state(B, latency_ms=14))
    tops = []
    for _ in range(8):
        found = decided(found, latencies(a=202, b=14), policy=Policy()).document
        tops.append(found.preferred.region)
    assert tops[0] == A
    assert tops[-1] == B


def test_a_latency_of_nothing_can_still_rise() -> None:
    """Below a millisecond all are alike: three times nothing would always be nothing."""
    found = document(state(A, latency_ms=0.0), state(B, latency_ms=0.0))
    for _ in range(20):
        found = decided(found, latencies(a=50, b=0), policy=Policy()).document
    assert [known.region for known in found.endpoints] == [B, A]


def test_the_quickest_of_several_comes_first_and_jitter_changes_nothing() -> None:
    """Whatever the last order was; within the margin it stays."""
    policy = Policy(smoothing=1.0)
    last = document(state(A, latency_ms=200), state(B, latency_ms=80), state(C, latency_ms=50))
    first = decided(last, latencies(a=200, b=80, c=5), policy=policy)
    assert order(first) == [C, B, A]
    assert order(decided(first.document, latencies(a=70, b=60, c=50), policy=policy)) == [C, B, A]


def test_an_endpoint_without_a_latency_does_not_stop_the_ranking_of_those_behind_it() -> None:
    """It keeps its place, and the quicker one passes the slower one behind it."""
    last = document(
        state(A, latency_ms=None), state(B, latency_ms=100), state(C, latency_ms=10), note="all_failed"
    )
    assert order(decided(last, {A: [UNKNOWN], B: [], C: []}, policy=Policy())) == [A, C, B]


def test_a_gain_of_exactly_the_margin_changes_no_rank() -> None:
    """At a margin of a half, 50 ms does not pass 100 ms."""
    last = document(state(A, latency_ms=100), state(B, latency_ms=100))
    policy = Policy(smoothing=1.0, rank_margin=0.5)
    assert order(decided(last, latencies(a=100, b=50), policy=policy)) == [A, B]


def test_where_all_would_be_out_the_best_of_them_comes_first() -> None:
    """Up, then drained but up, then the rest; within each group the last order."""
    drained_down = state(A, DOWN, forced=True)
    down, drained, up, unknown = state(A, DOWN), state(B, forced=True), state(C), state(A, NEW)
    assert rank_when_empty([drained, up]) == [up, drained]
    assert rank_when_empty([down, drained, up]) == [up, drained, down]
    assert rank_when_empty([unknown, drained_down, up, down]) == [up, unknown, drained_down, down]
    assert rank_when_empty([drained, replace(drained, region=A)])[0] is drained


def test_when_all_would_be_out_a_drained_region_that_works_is_preferred_to_one_that_is_down() -> None:
    """Clients of the frozen document start with the one that answers."""
    last = document(state(A, DOWN, OUT), state(B))
    found = decided(last, {A: [FAIL], B: [PASS]}, drain(B)).document
    assert found.note == "would_be_empty"
    assert [known.region for known in found.endpoints] == [B, A]


@pytest.mark.parametrize("observed", [UP, NEW])
def test_an_endpoint_without_a_date_of_its_observed_state_is_not_preferred(observed: Observed) -> None:
    """A document may hold one; it ranks behind those of which there is data."""
    undated = replace(state(A, observed), observed_since=None)
    assert rank([undated, state(B)], regions=[A, B], policy=POLICY, now=MS) == [state(B), undated]


def test_an_unknown_endpoint_is_not_preferred_though_its_state_has_a_date() -> None:
    """A document may hold that as well."""
    unknown = replace(state(A, NEW), observed_since=T0)
    assert rank([unknown, state(B)], regions=[A, B], policy=POLICY, now=MS) == [state(B), unknown]


def test_those_that_wait_their_turn_rank_behind_those_on_hold_and_before_those_that_are_out() -> None:
    """Group after group, whatever the configured order says."""
    out, waiting = state(A, DOWN, OUT), state(B, DOWN)
    held = state(C, observed_since=MS - timedelta(seconds=1))
    settled = replace(state(A), region="eu-west-1")
    ranked = rank([out, waiting, held, settled], regions=[A, B, C, "eu-west-1"], policy=POLICY, now=MS)
    assert ranked == [settled, held, waiting, out]


def test_priority_ignores_latency() -> None:
    """The configured order, among those that are in."""
    assert order(decided(document(state(C), state(B), state(A)), latencies(a=900, b=5, c=1))) == [A, B, C]


def test_a_latency_of_hours_stays_within_what_a_document_may_say() -> None:
    """A probe that was stopped half-way measures the pause."""
    decision = decided(None, latencies(a=3.6e6, b=1, c=1), policy=Policy())
    assert all((known.latency_ms or 0) <= MAX_LATENCY_MS for known in decision.document.endpoints)


# ---- failback


def returned(region: str, seconds: float) -> EndpointState:
    """Up again for that long."""
    when = MS - timedelta(seconds=seconds)
    return state(region, since=when, observed_since=when)


@pytest.mark.parametrize(("seconds", "first"), [(0, B), (89.999, B), (90, A), (3600, A)])
def test_a_recovered_endpoint_is_not_preferred_before_the_hold_is_over(seconds: float, first: str) -> None:
    """It is in all the while; 90 s is the default."""
    found = decided(document(state(B), returned(A, seconds)), {A: [PASS], B: [PASS]}).document
    assert found.preferred.region == first
    assert all(known.effective is IN for known in found.endpoints)


@pytest.mark.parametrize("ranking", ["latency", "priority"])
def test_the_hold_is_over_at_once_where_there_is_no_other(ranking: str) -> None:
    """A held endpoint comes before one that is down, drained or waits to leave; never is there none."""
    policy = replace(POLICY, ranking=ranking)
    last = document(state(B), state(C), returned(A, 10))
    gone = decided(last, {A: [PASS], B: [FAIL] * 3, C: [FAIL] * 3}, policy=policy).document
    assert [known.region for known in gone.endpoints] == [A, C, B]


def test_of_those_that_are_held_the_one_that_came_up_first_is_first() -> None:
    """An endpoint that took over while the others were down is not passed by one that recovers later."""
    last = document(returned(B, 50), state(A, DOWN, OUT, streak=1, reason="ok"))
    found = decided(last, {A: [PASS], B: [PASS]}).document
    assert [known.region for known in found.endpoints] == [B, A]
    after = decided(found, {A: [PASS], B: [PASS]}, now=NOW + timedelta(seconds=45)).document
    assert after.preferred.region == B
    last_of_all = decided(after, {A: [PASS], B: [PASS]}, now=NOW + timedelta(seconds=90)).document
    assert last_of_all.preferred.region == A


def test_without_a_hold_a_recovered_endpoint_is_preferred_at_once() -> None:
    """As gdnsd and Route 53 do."""
    last = document(state(B), state(A, DOWN, OUT, streak=1, reason="ok"))
    found = decided(last, {A: [PASS], B: [PASS]}, policy=replace(POLICY, failback_hold_s=0))
    assert found.document.preferred.region == A


def test_the_hold_ends_when_the_clock_is_set_back() -> None:
    """The endpoint does not wait for it to catch up."""
    found = decided(document(state(B), returned(A, -3600)), {A: [PASS], B: [PASS]}).document
    assert found.preferred.region == A


def test_an_endpoint_that_no_round_has_seen_yet_is_not_preferred() -> None:
    """One of which there is data goes first, whatever the priority."""
    found = decided(document(state(A, NEW, latency_ms=None), state(B)), {A: [UNKNOWN], B: [PASS]}).document
    assert [known.region for known in found.endpoints] == [B, A]


# ---- epochs and time


@pytest.mark.parametrize("ahead_ms", [-10_000, -1, 0, 1, 240_000])
def test_epochs_rise_strictly_and_follow_the_clock(ahead_ms: int) -> None:
    """Also when the last document is from this very millisecond, or from ahead of the clock."""
    now_ms = int(MS.timestamp() * 1000)
    last = document(state(A), epoch=now_ms + ahead_ms)
    assert decided(last, {A: [PASS]}).document.epoch == max(now_ms, now_ms + ahead_ms + 1)


def test_since_is_when_the_effective_state_changed() -> None:
    """A change of what is observed alone does not move it."""
    last = document(state(B), state(A, UP, OUT, reason="drained", forced=True, since=T0))
    decision = decided(last, {A: [FAIL] * 3, B: [PASS]}, drain(A))
    assert decision.document.endpoints[1].since == T0


def test_an_instant_without_zone_is_refused() -> None:
    """A document's instants are in UTC."""
    with pytest.raises(ValueError, match="UTC"):
        decided(document(state(A)), {A: [PASS]}, now=NOW.replace(tzinfo=None))
