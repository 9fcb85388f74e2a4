"""Partial failures: a share of the statements fails or hangs, and what each of Beacon's rules sees of it.

Each statement fails with the same probability, independently of every other; logins succeed. The rules are
those of the code: the probe (:mod:`beacon.dsql.probe`) with its second attempt over a fresh connection and
its login every 30-45 s, Route 53's checkers (:mod:`beacon_lab.route53.rules`), the publisher's rechecks and
its real decision (:mod:`beacon.publisher.decide`), and the alarm ``probes-fail`` of template.yaml.

Lambda gives a request to the idle sandbox that was used last. That is an assumption: AWS does not document
it. Time is in seconds from the start of the failure. Before that, nothing was broken.
"""

from __future__ import annotations

import heapq
import math
import random
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count as counter

from beacon.health.trigger import EVERY_S
from beacon.model import Document, Effective, Endpoint, Observation, Observed, Policy
from beacon.outcome import ProbeOutcome, Reason
from beacon.publisher.decide import Subject, decide
from beacon.settings import RECHECK_MS
from beacon_lab.route53.rules import CheckerState, count, enough_say_healthy

__all__ = ["ALARM_MINUTES", "ALARM_OF", "Case", "Probing", "Rate", "Seen", "simulate"]

_EPOCH = datetime(2030, 1, 1, tzinfo=UTC)
_PASS = Observation(ProbeOutcome.PASS, Reason.OK, 10.0)
_FAIL = Observation(ProbeOutcome.FAIL, Reason.SERVER_ERROR)
_REGIONS = ("us-east-1", "us-east-2")
_DEADLINE_S, _ANSWER_S, _TRIGGER_S, _TICK_S = 1.0, 0.01, 0.1, 60.0
_RECHECK_S = RECHECK_MS / 1000
#: The probe's: when the next login is due, and how long it tolerates silent logins.
_LOGIN_EVERY_S, _PATIENCE_S = (30.0, 45.0), 15.0
#: The alarm: so many of the last minutes hold a failed probe.
ALARM_MINUTES, ALARM_OF = 5, 10


@dataclass(frozen=True, slots=True)
class Rate:
    """A rule that Beacon does not have: a probe also fails when ``most`` of ``size`` statements failed.

    ``at_once``: one probe sends so many itself. Otherwise they are the last ones of its sandbox or publisher.
    """

    size: int
    most: int
    at_once: bool = True


@dataclass(frozen=True, slots=True)
class Case:
    """What fails, and how the Region is checked. Each of ``checkers`` polls every ``interval_s``."""

    share: float
    hangs: bool = False
    checkers: int = 6
    interval_s: float = 10.0
    threshold: int = 3
    policy: Policy = field(default_factory=lambda: Policy(ranking="priority"))
    rate: Rate | None = None
    seconds: float = 3600.0
    seed: int = 1


@dataclass(slots=True)
class Seen:
    """What was seen in one run: probes of the health function, and when each rule first noticed."""

    asked: int = 0
    failed: int = 0
    #: The share of the time in which the checkers together found the Region unhealthy.
    lost: float = 0.0
    unhealthy_at_s: float = math.inf
    unhealthy_s: float = 0.0
    out_at_s: float = math.inf
    out_s: float = 0.0
    alarm_at_s: float = math.inf


class Probing:
    """A probe of one endpoint: what it keeps between two rounds. ``patience_s`` is the health function's."""

    def __init__(self, case: Case, rng: random.Random, *, patience_s: float) -> None:
        self._share, self._hangs, self._rate = case.share, case.hangs, case.rate
        self._rng, self._patience_s = rng, patience_s
        self.is_open = True
        #: It was in use before the failure, so a part of the time to the next login has passed.
        self._login_at_s = rng.uniform(0.0, _LOGIN_EVERY_S[1])
        self._silent_since_s: float | None = None
        #: Whether each statement failed, oldest first.
        self._statements: deque[bool] = deque(maxlen=None if case.rate is None else case.rate.size)

    def look(self, at_s: float, allowed_s: float) -> tuple[bool, float]:
        """Whether the probe passes, and how long it takes."""
        rate = self._rate
        passed, takes_s = self._look(at_s, allowed_s)
        if rate is None or not passed:
            return passed, takes_s
        if rate.at_once:
            self._statements.extend(self._fails() for _ in range(rate.size))
            takes_s += rate.size * _ANSWER_S
        return sum(self._statements) < rate.most, takes_s

    def _look(self, at_s: float, allowed_s: float) -> tuple[bool, float]:
        if not self.is_open:
            return self._fresh(at_s, allowed_s, 0.0)
        if self._fails():
            self.is_open = False
            return self._fresh(at_s, allowed_s, allowed_s / 3 if self._hangs else _ANSWER_S)
        if at_s < self._login_at_s:
            return True, _ANSWER_S
        passed, takes_s = self._fresh(at_s, allowed_s, _ANSWER_S)
        if not passed and not self._hangs:
            passed, takes_s = self._fresh(at_s, allowed_s, takes_s)
        self.is_open = True
        if passed or not self._hangs:
            return passed, takes_s
        # A silent login beside an open connection that answers: the health function tolerates it for a while.
        self._silent_since_s = at_s if self._silent_since_s is None else self._silent_since_s
        return at_s - self._silent_since_s < self._patience_s, takes_s

    def _fresh(self, at_s: float, allowed_s: float, spent_s: float) -> tuple[bool, float]:
        if self._fails():
            return False, allowed_s if self._hangs else spent_s + _ANSWER_S
        self.is_open, self._silent_since_s = True, None
        self._login_at_s = at_s + self._rng.uniform(*_LOGIN_EVERY_S)
        return True, spent_s + 2 * _ANSWER_S

    def _fails(self) -> bool:
        failed = self._rng.random() < self._share
        if self._rate is not None:
            self._statements.append(failed)
        return failed


@dataclass(slots=True)
class _Sandbox:
    probe: Probing
    busy_until_s: float = 0.0
    fired_at_s: float = -math.inf


class _Publisher:
    """Rounds by the schedule and by the trigger, one at a time."""

    def __init__(self, case: Case, rng: random.Random) -> None:
        endpoints = tuple(Endpoint(one, f"{'a' * 26}.dsql.{one}.on.aws") for one in _REGIONS)
        self._subject = Subject("orders-prod", "dsql", _REGIONS[0], endpoints)
        self._policy = case.policy
        self._probe = Probing(case, rng, patience_s=0.0)
        self._document: Document | None = None
        self._decide([_PASS], -600.0)
        self.busy_until_s = 0.0

    def round(self, at_s: float) -> tuple[bool, float]:
        """Make one round; whether the endpoint is out afterwards, and when that is."""
        assert self._document is not None
        state = self._document.state_of(_REGIONS[0])
        assert state is not None
        most = 1 if state.observed is Observed.DOWN else self._policy.fall
        seen: list[Observation] = []
        now_s = at_s
        while True:
            allowed_s = _RECHECK_S if seen else _DEADLINE_S
            passed, takes_s = self._probe.look(now_s, allowed_s)
            seen.append(_PASS if passed else _FAIL)
            if passed or len(seen) >= most:
                break
            now_s += max(_RECHECK_S, takes_s)
        self.busy_until_s = now_s + takes_s
        quiet = seen == [_PASS] and state.observed is Observed.UP and state.streak == 0
        return (self.is_out if quiet else self._decide(seen, self.busy_until_s)), self.busy_until_s

    @property
    def is_out(self) -> bool:
        """Whether the document has the endpoint out."""
        state = self._document.state_of(_REGIONS[0]) if self._document else None
        return state is not None and state.effective is Effective.OUT

    def _decide(self, seen: list[Observation], at_s: float) -> bool:
        now = _EPOCH + timedelta(seconds=at_s)
        observations = {_REGIONS[0]: seen, _REGIONS[1]: [_PASS]}
        self._document = decide(
            self._document, observations, {}, now=now, policy=self._policy, subject=self._subject
        ).document
        return self.is_out


class _Region:
    """One Region under one failure, event by event."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self._rng = random.Random(case.seed)
        self._sandboxes: list[_Sandbox] = []
        self._checkers = [CheckerState() for _ in range(case.checkers)]
        self._publisher = _Publisher(case, self._rng)
        self._round_due_s = math.inf
        self._fails_by_minute: dict[int, int] = {}
        self.seen = Seen()

    def run(self) -> Seen:
        case, seen, order = self._case, self.seen, counter()
        # Negative numbers stand for the schedule; others for the checkers. Phases are random, as in Route 53.
        events = [(self._rng.uniform(0, case.interval_s), next(order), one) for one in range(case.checkers)]
        events.append((self._rng.uniform(0, _TICK_S), next(order), -1))
        heapq.heapify(events)
        last_s, was_healthy, was_out = 0.0, True, False
        while True:
            at_s, _, who = heapq.heappop(events)
            if self._round_due_s < at_s:
                heapq.heappush(events, (at_s, next(order), who))
                at_s, who, self._round_due_s = self._round_due_s, -2, math.inf
            elapsed_s = min(at_s, case.seconds) - last_s
            seen.unhealthy_s += 0.0 if was_healthy else elapsed_s
            seen.out_s += elapsed_s if was_out else 0.0
            lost = sum(not one.healthy for one in self._checkers)
            seen.lost += elapsed_s / case.seconds * lost / case.checkers
            if at_s >= case.seconds:
                break
            last_s = at_s
            if who >= 0:
                was_healthy = self._poll(who, at_s)
                heapq.heappush(events, (at_s + case.interval_s, next(order), who))
            else:
                was_out = self._start_round(at_s)
                if who == -1:
                    heapq.heappush(events, (at_s + _TICK_S, next(order), who))
        seen.alarm_at_s = _alarm_at_s(self._fails_by_minute, case.seconds)
        return seen

    def _poll(self, checker: int, at_s: float) -> bool:
        case, seen = self._case, self.seen
        sandbox = self._idle_sandbox(at_s)
        passed, takes_s = sandbox.probe.look(at_s, _DEADLINE_S)
        sandbox.busy_until_s = at_s + takes_s
        seen.asked += 1
        if not passed:
            seen.failed += 1
            minute = int((at_s + takes_s) // 60)
            self._fails_by_minute[minute] = self._fails_by_minute.get(minute, 0) + 1
            if at_s - sandbox.fired_at_s >= EVERY_S:
                sandbox.fired_at_s = at_s
                self._round_due_s = min(self._round_due_s, at_s + takes_s + _TRIGGER_S)
        tally = self._checkers[checker]
        self._checkers[checker] = count(tally, passed=passed, threshold=case.threshold)
        healthy = enough_say_healthy(sum(one.healthy for one in self._checkers), case.checkers)
        if not healthy:
            seen.unhealthy_at_s = min(seen.unhealthy_at_s, at_s + takes_s)
        return healthy

    def _idle_sandbox(self, at_s: float) -> _Sandbox:
        idle = [one for one in self._sandboxes if one.busy_until_s <= at_s]
        if idle:
            return max(idle, key=lambda one: one.busy_until_s)
        probe = Probing(self._case, self._rng, patience_s=_PATIENCE_S)
        # Only the first one was in use before; the others start without a connection.
        probe.is_open = not self._sandboxes
        self._sandboxes.append(_Sandbox(probe))
        return self._sandboxes[-1]

    def _start_round(self, at_s: float) -> bool:
        publisher = self._publisher
        if at_s < publisher.busy_until_s:
            self._round_due_s = publisher.busy_until_s
            return publisher.is_out
        out, ended_s = publisher.round(at_s)
        if out:
            self.seen.out_at_s = min(self.seen.out_at_s, ended_s)
        return out


def _alarm_at_s(fails_by_minute: dict[int, int], seconds: float) -> float:
    """When ``ALARM_MINUTES`` of the last ``ALARM_OF`` minutes hold a failed probe; infinity for never."""
    for minute in range(int(seconds // 60)):
        recent = range(max(0, minute - ALARM_OF + 1), minute + 1)
        if sum(one in fails_by_minute for one in recent) >= ALARM_MINUTES:
            return (minute + 1) * 60.0
    return math.inf


def simulate(case: Case) -> Seen:
    """One run."""
    return _Region(case).run()
