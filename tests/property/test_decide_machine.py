"""Whatever is observed, in whatever order: the decision's promises hold, and the machine can tell when not.

The machine keeps a model of its own, written from the rules and not from the code: the last outcomes of each
endpoint, not counters. Deliberately wrong decisions stand below; each must be caught.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from tests.examples import examples

from beacon.document.form import Expected, parse, serialize
from beacon.model import Document, Effective, Endpoint, Forced, Intent, Observation, Observed, Policy
from beacon.outcome import ProbeOutcome, Reason
from beacon.publisher.decide import Decision, Subject, decide

REGIONS = ("us-east-1", "us-east-2", "us-west-2", "eu-west-1")
OBSERVATIONS = {
    ProbeOutcome.PASS: Observation(ProbeOutcome.PASS, Reason.OK, 10.0),
    ProbeOutcome.FAIL: Observation(ProbeOutcome.FAIL, Reason.TIMEOUT),
    ProbeOutcome.UNKNOWN: Observation(ProbeOutcome.UNKNOWN, Reason.INTERNAL, warning=Reason.INTERNAL),
}
Seen = Mapping[str, Sequence[Observation]]
Intents = Mapping[str, Intent] | None
#: What is left of a drain: nearly nothing, a round, an hour or two, more than can be written; until released.
LEFT_S = st.none() | st.sampled_from([0.0004, 59.5, 61.0, 3600.0, 3601.5, 3602.5, 1e12])


@dataclass(frozen=True)
class Case:
    """What a decision is made from."""

    previous: Document | None
    seen: Seen
    intents: Intents
    now: datetime
    policy: Policy
    subject: Subject


Decide = Callable[[Case], Decision]


def real(case: Case) -> Decision:
    """The decision under test."""
    return decide(
        case.previous, case.seen, case.intents, now=case.now, policy=case.policy, subject=case.subject
    )


class Rounds(RuleBasedStateMachine):
    """Rounds of observations and intents, restarts in between, and a clock that may jump."""

    decide: Decide = staticmethod(real)

    @initialize(
        count=st.integers(1, 4),
        fall=st.integers(1, 4),
        rise=st.integers(1, 4),
        ranking=st.sampled_from(["latency", "priority"]),
    )
    def configure(self, count: int, fall: int, rise: int, ranking: str) -> None:
        """Set up between one and four endpoints."""
        self.policy = Policy(fall=fall, rise=rise, ranking=ranking)
        self.regions = REGIONS[:count]
        endpoints = tuple(Endpoint(region, f"{'a' * 26}.dsql.{region}.on.aws") for region in self.regions)
        self.subject = Subject("orders-prod", "dsql", REGIONS[0], endpoints)
        self.now = datetime(2026, 11, 22, tzinfo=UTC)
        self.last: Document | None = None
        self.outcomes: dict[str, list[ProbeOutcome]] = {region: [] for region in self.regions}
        self.observed = dict.fromkeys(self.regions, Observed.UNKNOWN)
        self.turned: dict[str, datetime] = {}
        self.counted: datetime | None = None
        self.forced: dict[str, Forced | None] = dict.fromkeys(self.regions)
        self.ends: dict[str, datetime | None] = dict.fromkeys(self.regions)

    @rule(jump_s=st.sampled_from([0.0, 0.001, 1.0, 5.0, 60.0, 90.0, 3600.0, -0.5, -200.0]))
    def pass_time(self, jump_s: float) -> None:
        """Time passes, or the wall clock is set back."""
        self.now += timedelta(seconds=jump_s)

    @rule()
    def restart(self) -> None:
        """A new sandbox knows only what was published, if its clock lets it read that."""
        if self.last is not None and self.last.epoch / 1000 <= self.now.timestamp() + 300:
            expected = Expected("orders-prod", "dsql", REGIONS[0])
            read = parse(serialize(self.last), expected, self.now)
            rounded = [
                replace(state, latency_ms=state.latency_ms and round(state.latency_ms, 1))
                for state in self.last.endpoints
            ]
            assert read == replace(self.last, endpoints=tuple(rounded))
            self.last = read

    @rule(
        data=st.data(),
        intents=st.none() | st.dictionaries(st.sampled_from(REGIONS), LEFT_S),
        mood=st.sampled_from(["any", "any", "all fail", "all unknown", "all pass"]),
    )
    def round(self, data: st.DataObject, intents: dict[str, float | None] | None, mood: str) -> None:
        """One round: decide, compare with the model, keep."""
        outcomes = {
            "any": st.lists(st.sampled_from(ProbeOutcome), max_size=4),
            "all fail": st.just([ProbeOutcome.FAIL] * self.policy.fall),
            "all unknown": st.lists(st.just(ProbeOutcome.UNKNOWN), max_size=2),
            "all pass": st.just([ProbeOutcome.PASS] * self.policy.rise),
        }[mood]
        self.play({region: data.draw(outcomes, region) for region in self.regions}, intents)

    @rule(data=st.data(), apart_s=st.sampled_from([1.0, 60.0]))
    def outage(self, data: st.DataObject, apart_s: float) -> None:
        """One Region fails for a round, and passes in those that follow."""
        broken = data.draw(st.sampled_from(self.regions), "broken")
        for number in range(self.policy.rise + 1):
            outcomes = [ProbeOutcome.PASS] if number else [ProbeOutcome.FAIL] * self.policy.fall
            self.play({region: [ProbeOutcome.PASS] for region in self.regions} | {broken: outcomes}, {})
            self.pass_time(apart_s)

    @rule(
        data=st.data(),
        left_s=st.sampled_from([59.5, 61.0, 3600.0]),
        apart_s=st.sampled_from([1.0, 60.0, 3600.0]),
    )
    def blind(self, data: st.DataObject, left_s: float, apart_s: float) -> None:
        """One Region is drained, and then no publisher can read the intents any more."""
        drained = data.draw(st.sampled_from(self.regions), "drained")
        for intents in ({drained: left_s}, None, None):
            self.play({region: [ProbeOutcome.PASS] for region in self.regions}, intents)
            self.pass_time(apart_s)

    def play(
        self, seen: Mapping[str, list[ProbeOutcome]], intents: Mapping[str, float | None] | None
    ) -> None:
        forced = None
        if intents is not None:
            forced = {r: Intent(r, Forced.DRAIN, remaining_s=left_s) for r, left_s in intents.items()}
        observations = {region: [OBSERVATIONS[one] for one in found] for region, found in seen.items()}
        decision = self.decide(Case(self.last, observations, forced, self.now, self.policy, self.subject))
        if self.doubtful(seen):
            self.check_frozen(decision)
        else:
            self.learn(seen, forced)
            self.check_states(decision.document)
            self.check_routing(decision.document)
        self.check_always(decision, seen)
        self.last = decision.document

    # ---- the model

    @staticmethod
    def doubtful(seen: Mapping[str, list[ProbeOutcome]]) -> bool:
        return all(found and found[-1] is ProbeOutcome.FAIL for found in seen.values())

    def learn(self, seen: Mapping[str, list[ProbeOutcome]], forced: Intents) -> None:
        """What is observed follows from the last outcomes that said anything, outside of frozen rounds."""
        now = self.now
        listening = self.counted is None or now < self.counted or (now - self.counted).total_seconds() >= 5
        if listening:
            self.counted = now
        for region, found in seen.items():
            before = self.observed[region]
            self.hear(region, found, listening=listening)
            if self.observed[region] is not before:
                self.turned[region] = now
        if forced is not None:
            self.forced = {
                region: forced[region].forced if region in forced else None for region in self.regions
            }
            self.ends = {
                region: self.end_of(region, forced[region]) if region in forced else None
                for region in self.regions
            }
        else:
            for region, ends in self.ends.items():
                if ends is not None and ends <= now:
                    self.forced[region] = self.ends[region] = None

    def end_of(self, region: str, intent: Intent) -> datetime | None:
        """In whole milliseconds; what was known stays where the new reading says about the same."""
        left_s, known = intent.remaining_s, self.ends[region]
        if left_s is None or left_s > 1e11:
            return None
        ends = self.now + timedelta(milliseconds=int(left_s * 1000))
        near = known is not None and -2 < (ends - known).total_seconds() < 2
        return known if near else ends

    def hear(self, region: str, found: list[ProbeOutcome], *, listening: bool) -> None:
        """Of what is down one pass a round is heard, and none soon after a round whose passes were."""
        known = self.outcomes[region]
        for outcome in found:
            if outcome is ProbeOutcome.UNKNOWN:
                continue
            if self.observed[region] is Observed.DOWN and outcome is ProbeOutcome.PASS:
                if not listening:
                    continue
                listening = False
            known.append(outcome)
            fell = known[-self.policy.fall :] == [ProbeOutcome.FAIL] * self.policy.fall
            rose = known[-self.policy.rise :] == [ProbeOutcome.PASS] * self.policy.rise
            never_seen = self.observed[region] is Observed.UNKNOWN
            if fell:
                self.observed[region] = Observed.DOWN
            elif rose or (never_seen and outcome is ProbeOutcome.PASS):
                self.observed[region] = Observed.UP

    def wants_out(self, region: str) -> bool:
        return self.forced[region] is not None or self.observed[region] is Observed.DOWN

    # ---- the promises

    def check_always(self, decision: Decision, seen: Mapping[str, list[ProbeOutcome]]) -> None:
        document = decision.document
        found = [state.region for state in document.endpoints]
        assert sorted(found) == sorted(self.regions), "every endpoint is listed once"
        assert any(state.effective is Effective.IN for state in document.endpoints), "never empty"
        assert document.frozen == bool(document.note)
        if self.last is None:
            return
        assert document.epoch > self.last.epoch, "epochs rise strictly"
        left = [
            state.region
            for state in document.endpoints
            if state.effective is Effective.OUT and self.before(state.region) is Effective.IN
        ]
        assert len(left) <= 1, "at most one leaves"
        quiet = all(outcome is ProbeOutcome.UNKNOWN for outcomes in seen.values() for outcome in outcomes)
        if quiet:
            seen_before = {state.region: state.observed for state in self.last.endpoints}
            found_now = {state.region: state.observed for state in document.endpoints}
            assert found_now == seen_before, "unknown changes nothing that is observed"

    def before(self, region: str) -> Effective:
        state = self.last.state_of(region) if self.last else None
        return state.effective if state else Effective.IN

    def check_frozen(self, decision: Decision) -> None:
        assert decision.document.note == "all_failed", "all failing freezes"
        if self.last is not None:
            assert decision.document.endpoints == self.last.endpoints, "frozen is unchanged"
            assert decision.changes == ()

    def check_states(self, document: Document) -> None:
        for state in document.endpoints:
            assert state.observed is self.observed[state.region], "hysteresis"
            assert state.observed_since == self.turned.get(state.region), "since when"
            assert state.forced is self.forced[state.region], "the last intent that was read"
            assert state.forced_until == self.ends[state.region], "a drain ends by itself"

    def check_routing(self, document: Document) -> None:
        leaving = [region for region in self.regions if self.wants_out(region)]
        if len(leaving) == len(self.regions):
            assert document.note == "would_be_empty"
            assert all(state.effective is Effective.IN for state in document.endpoints)
            return
        assert document.note == ""
        states = {state.region: state.effective for state in document.endpoints}
        assert all(states[region] is Effective.IN for region in self.regions if region not in leaving), (
            "only what is down or drained is out"
        )
        could_leave = [region for region in leaving if self.before(region) is Effective.IN]
        did_leave = [region for region in could_leave if states[region] is Effective.OUT]
        assert len(did_leave) == min(1, len(could_leave)), "one leaves if any has to"
        if any(self.forced[region] for region in could_leave):
            assert self.forced[did_leave[0]], "forced wins: a drained one leaves first"
        preferred = document.preferred.region
        assert preferred not in leaving, "the preferred one works"
        if self.waits(preferred):
            seasoned = [region for region in self.regions if region not in leaving and not self.waits(region)]
            assert not seasoned, "who has just come back is preferred only where there is no other"

    def waits(self, region: str) -> bool:
        """Whether an endpoint has been up for less than the hold, or was never seen."""
        since = self.turned.get(region)
        if since is None or self.observed[region] is Observed.UNKNOWN:
            return True
        return since <= self.now < since + timedelta(seconds=self.policy.failback_hold_s)


def machine_of(decision: Decide, most: int, phases: Sequence[Phase] = tuple(Phase)) -> Callable[[], None]:
    class Machine(Rounds):
        decide = staticmethod(decision)

    def run() -> None:
        run_state_machine_as_test(
            Machine,
            settings=settings(
                max_examples=most,
                phases=phases,
                report_multiple_bugs=False,
                stateful_step_count=20,
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
            ),
        )

    return run


def test_every_promise_holds() -> None:
    """Never empty, one at a time, unknown is not unhealthy, epochs rise, doubt freezes, forced wins."""
    machine_of(real, examples(300))()


# ---- wrong on purpose


def naive(case: Case) -> Decision:
    """What one writes first: the last answer decides, and the clock numbers."""
    found = real(replace(case, previous=None)).document
    states = []
    for state in found.endpoints:
        last = case.seen[state.region][-1:]
        healthy = bool(last) and last[0].outcome is ProbeOutcome.PASS and state.forced is None
        states.append(replace(state, effective=Effective.IN if healthy else Effective.OUT))
    return Decision(replace(found, endpoints=tuple(states)), ())


def eager(case: Case) -> Decision:
    """Takes the first fail for the truth."""
    return real(replace(case, policy=replace(case.policy, fall=1)))


def forgetful(case: Case) -> Decision:
    """Takes intents that could not be read for none."""
    return real(replace(case, intents=case.intents or {}))


def clinging(case: Case) -> Decision:
    """Keeps a drain that it cannot read any more, whatever was left of it."""
    found = real(case)
    last = case.previous
    if case.intents is not None or last is None:
        return found
    kept = [
        replace(state, forced=before.forced, forced_until=before.forced_until)
        for state in found.document.endpoints
        if (before := last.state_of(state.region))
    ]
    return replace(found, document=replace(found.document, endpoints=tuple(kept)))


def suspicious(case: Case) -> Decision:
    """Takes a fault of its own for the endpoint's."""
    fails = {
        region: [
            OBSERVATIONS[ProbeOutcome.FAIL] if one.outcome is ProbeOutcome.UNKNOWN else one for one in found
        ]
        for region, found in case.seen.items()
    }
    return real(replace(case, seen=fails))


def hasty(case: Case) -> Decision:
    """Lets two endpoints leave at once."""
    return real(replace(case, previous=real(case).document, seen={}))


def sure(case: Case) -> Decision:
    """Never doubts itself."""
    first = case.subject.endpoints[0].region
    # Something unknown at the end, so that not all of them seem to fail.
    return real(
        replace(case, seen={**case.seen, first: [*case.seen[first], OBSERVATIONS[ProbeOutcome.UNKNOWN]]})
    )


def impatient(case: Case) -> Decision:
    """Counts every pass of a burst."""
    return real(replace(case, policy=replace(case.policy, rise_apart_s=0.0)))


def flighty(case: Case) -> Decision:
    """Prefers an endpoint as soon as it is back."""
    return real(replace(case, policy=replace(case.policy, failback_hold_s=0.0)))


def clocked(case: Case) -> Decision:
    """Numbers documents by the clock alone."""
    found = real(case)
    return replace(found, document=replace(found.document, epoch=int(case.now.timestamp() * 1000)))


@pytest.mark.parametrize(
    "wrong", [naive, eager, forgetful, clinging, suspicious, hasty, sure, impatient, flighty, clocked]
)
def test_the_machine_catches_a_wrong_decision(wrong: Decide) -> None:
    """A check that cannot fail shows nothing."""
    with pytest.raises((AssertionError, ValueError)):
        machine_of(wrong, 500, [Phase.generate])()
