"""The publisher's rounds in simulated time: observed by the observer's rules, decided by the real ``decide``.

Rounds that cannot change anything are not made one by one. Suppose that every endpoint is up, in and without
a count, and that there is only independent loss p. Then a round matters only if some endpoint loses ``fall``
probes in a row: fewer losses are followed by a pass in the same round, which resets the count. The number of
rounds until one matters is geometric with 1 - (1 - p^fall)^endpoints, so the engine draws it. In that round,
it draws the endpoints that lose ``fall`` in a row under the condition that at least one does.
tests/unit/benchmarks/test_simulation.py checks both facts, and the rates with and without the short cut. All
other rounds (during and after bursts and outages, and while an endpoint is out, counting, waiting or held
back) are made one by one.

The edge trigger starts extra rounds: the first endpoint's own health function is polled at random moments,
and a lost probe starts a round, at most every ten seconds.

Time is in seconds from the start. After a skip the decision's clock advances by one hour at most, because a
million years do not fit in a date; the decision remembers nothing for longer than an hour.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from beacon.model import Document, Effective, Endpoint, Observation, Observed, Policy
from beacon.outcome import ProbeOutcome, Reason
from beacon.publisher.decide import Subject, decide
from beacon.publisher.observe import RecheckPolicy
from beacon.settings import RECHECK_MS
from simulation.weather import Kind, Weather

__all__ = ["Setup", "Simulation", "Tally", "look"]

_REGIONS = ("us-east-1", "us-east-2", "us-west-2")
_EPOCH = datetime(2030, 1, 1, tzinfo=UTC)
_PASS = Observation(ProbeOutcome.PASS, Reason.OK, 10.0)
_FAIL = Observation(ProbeOutcome.FAIL, Reason.TIMEOUT)
_PASS_TAKES_S, _REFUSED_TAKES_S = 0.01, 0.005
#: Longer than a decision remembers anything.
_SKIP_COUNTS_S = 3600.0
#: An ejection this soon after the return from the last one is a flap.
_FLAP_S = 600.0
#: The trigger's limits: the least time between two requests, and how long a request is on its way.
_TRIGGER_EVERY_S, _TRIGGER_TAKES_S = 10.0, 0.1


@dataclass(frozen=True, slots=True)
class Setup:
    """What is simulated. ``silent``: a lost probe takes its whole limit; otherwise it is refused at once.

    ``polls_per_s``: how often the health function of the first endpoint is polled; 0 is without edge trigger.
    """

    policy: Policy
    every_s: float
    silent: bool = True
    deadline_s: float = 1.0
    recheck_s: float = RECHECK_MS / 1000
    polls_per_s: float = 0.0
    endpoints: int = 2

    @property
    def pace(self) -> RecheckPolicy:
        """The observer's."""
        return RecheckPolicy(self.deadline_s, self.recheck_s, self.policy.fall)

    @property
    def confirm_s(self) -> float:
        """How long ``fall`` lost probes in a row take."""
        if self.silent:
            return self.pace.confirm_s
        return (self.policy.fall - 1) * self.recheck_s + _REFUSED_TAKES_S

    def fail_takes_s(self, *, first: bool) -> float:
        """How long a lost probe takes, the first of a round or a recheck."""
        return self.pace.allowed_s(first=first) if self.silent else _REFUSED_TAKES_S


@dataclass(slots=True)
class Tally:
    """What was seen. Times are in seconds, ejections by episode (``None``: independent loss alone)."""

    seconds: float = 0.0
    endpoints: int = 0
    rounds_made: int = 0
    ejections: dict[Kind | None, int] = field(default_factory=lambda: dict.fromkeys((None, *Kind), 0))
    flaps: int = 0
    switches: int = 0
    #: Of outages: from the first probe of the first round that began in it; from its start, of the first
    #: endpoint alone, whose health function starts rounds; from its end until the endpoint is in again.
    eject_s: list[float] = field(default_factory=list)
    eject_from_fault_s: list[float] = field(default_factory=list)
    return_s: list[float] = field(default_factory=list)
    #: How long an endpoint without any fault stayed out.
    false_out_s: list[float] = field(default_factory=list)

    def per_year(self, count: float) -> float:
        """``count`` per endpoint-year."""
        return count * 365.25 * 86_400 / (self.seconds * self.endpoints)


@dataclass(slots=True)
class _Track:
    """What the tally remembers of one endpoint."""

    outage_end_s: float = -math.inf
    first_round_s: float = -math.inf
    out_since_s: float = -math.inf
    out_false: bool = False
    returned_s: float = -math.inf
    awaits_return: bool = False


def look(
    weather: Weather, at_s: float, most: int, setup: Setup, rng: random.Random
) -> tuple[list[Observation], float]:
    """One endpoint's observations of a round that starts at ``at_s``, and when they ended.

    The rules of :mod:`beacon.publisher.observe`: a lost probe is repeated, ``recheck_s`` from start to start
    or as soon as it has ended, until one passes or ``most`` were lost.
    """
    seen: list[Observation] = []
    while True:
        if rng.random() >= weather.loss(at_s):
            seen.append(_PASS)
            return seen, at_s + _PASS_TAKES_S
        takes_s = setup.fail_takes_s(first=not seen)
        seen.append(_FAIL)
        if len(seen) >= most:
            return seen, at_s + takes_s
        at_s += max(setup.recheck_s, takes_s)


class Simulation:
    """One publisher and its endpoints. ``skip`` False makes every round."""

    def __init__(
        self, setup: Setup, weathers: Sequence[Weather], rng: random.Random, *, skip: bool = True
    ) -> None:
        self._setup = setup
        self._weathers = list(weathers)
        self._rng = rng
        self._skip = skip
        self._regions = _REGIONS[: setup.endpoints]
        endpoints = tuple(Endpoint(one, f"{'a' * 26}.dsql.{one}.on.aws") for one in self._regions)
        self._subject = Subject("orders-prod", "dsql", self._regions[0], endpoints)
        self._clock_s = 0.0
        self._last_start_s = 0.0
        self._skipped_s = 0.0
        self._made_until_s = 0.0
        self._tick_s = 0.0
        #: From a lost poll to the round that it starts.
        self._noticed_s = setup.fail_takes_s(first=True) + _TRIGGER_TAKES_S
        self._edge_s = self._next_edge(0.0)
        self._tracks = [_Track() for _ in self._regions]
        self.document: Document | None = None
        self.tally = Tally(endpoints=setup.endpoints)

    def run(self, until_s: float, *, events: int = 0) -> Tally:
        """Simulate until this time, and on until ``events`` ejections by independent loss have been seen."""
        tally = self.tally
        while True:
            full: frozenset[int] | None = self._jump() if self._skip and self._is_quiet() else None
            start_s = min(self._tick_s, self._edge_s)
            total_s = self._skipped_s + start_s
            # At infinity nothing more can happen, even if more events are wanted.
            if total_s >= until_s and (tally.ejections[None] >= events or total_s == math.inf):
                tally.seconds = max(until_s, self._made_until_s)
                return tally
            self._round(start_s, full)
            self._made_until_s = total_s

    def _is_quiet(self) -> bool:
        """Whether a round without ``fall`` losses in a row leaves the document as it is."""
        document = self.document
        if document is None or document.frozen:
            return False
        held_from = document.as_of - timedelta(seconds=self._setup.policy.failback_hold_s)
        return all(
            state.observed is Observed.UP
            and state.effective is Effective.IN
            and state.streak == 0
            and state.observed_since is not None
            and state.observed_since <= held_from
            for state in document.endpoints
        )

    def _jump(self) -> frozenset[int] | None:
        """Move the next round to the next that matters; return the endpoints that lose ``fall``, if drawn."""
        setup, rng = self._setup, self._rng
        at_s = min(self._tick_s, self._edge_s)
        plain_until_s = min(weather.next_change(at_s) for weather in self._weathers) - setup.confirm_s
        if at_s >= plain_until_s or any(weather.episode(at_s) for weather in self._weathers):
            return None
        q = [weather.plain_loss**setup.policy.fall for weather in self._weathers]
        matters = -math.expm1(sum(math.log1p(-one) for one in q))
        tick_wait_s = (_geometric(rng, matters) - 1) * setup.every_s
        edge_wait_s = self._edge_rounds_take(_geometric(rng, matters) - 1)
        tick_s, edge_s = self._tick_s + tick_wait_s, self._edge_s + edge_wait_s
        # The other kind's next round is drawn again from there: the rest of a geometric is geometric.
        if plain_until_s == math.inf:
            # Without episodes to come, time starts again at zero: a clock of 10^18 cannot hold sixty seconds.
            if tick_s <= edge_s:
                self._leave_behind(tick_wait_s)
                self._edge_s = self._next_edge(self._tick_s)
            else:
                self._leave_behind(edge_wait_s)
                self._tick_s = self._edge_s + rng.uniform(0, setup.every_s)
        elif tick_s <= edge_s and tick_s < plain_until_s:
            self._tick_s, self._edge_s = tick_s, self._next_edge(tick_s)
        elif edge_s < plain_until_s:
            self._tick_s, self._edge_s = self._tick_from(edge_s), edge_s
        else:
            self._tick_s = self._tick_from(plain_until_s)
            self._edge_s = self._next_edge(plain_until_s) if self._edge_s < plain_until_s else self._edge_s
            return None
        return _at_least_one(rng, q) if matters > 0 else None

    def _leave_behind(self, seconds: float) -> None:
        """Skip so much time, and keep the counts."""
        self._skipped_s += seconds
        self._last_start_s -= seconds
        for track in self._tracks:
            track.returned_s -= seconds

    def _tick_from(self, at_s: float) -> float:
        """The schedule's next tick at that moment or after it."""
        every_s = self._setup.every_s
        return self._tick_s + max(0, math.ceil((at_s - self._tick_s) / every_s)) * every_s

    def _next_edge(self, after_s: float) -> float:
        """When the trigger starts its next round."""
        rate = self._setup.polls_per_s
        if rate <= 0:
            return math.inf
        weather, at_s = self._weathers[0], after_s
        while True:
            loss, change_s = weather.loss(at_s), weather.next_change(at_s)
            wait_s = self._rng.expovariate(rate * loss) if loss > 0 else math.inf
            if at_s + wait_s < change_s or change_s == math.inf:
                return at_s + wait_s + self._noticed_s
            at_s = change_s

    def _edge_rounds_take(self, count: float) -> float:
        """Seconds that so many edge rounds after the next one take, in plain weather."""
        rate = self._setup.polls_per_s * self._weathers[0].plain_loss
        if rate <= 0 or count in {0, math.inf}:
            return count
        return count * _TRIGGER_EVERY_S + self._rng.gammavariate(count, 1 / rate)

    def _round(self, start_s: float, full: frozenset[int] | None) -> None:
        setup, tally = self._setup, self.tally
        seen: dict[str, list[Observation]] = {}
        end_s = start_s
        for index, region in enumerate(self._regions):
            state = self.document.state_of(region) if self.document else None
            most = 1 if state is not None and state.observed is Observed.DOWN else setup.policy.fall
            if full is None:
                found, ended_s = look(self._weathers[index], start_s, most, setup, self._rng)
            elif index in full:
                found, ended_s = [_FAIL] * most, start_s + setup.confirm_s
            else:
                found, ended_s = [_PASS], start_s + _PASS_TAKES_S
            seen[region] = found
            end_s = max(end_s, ended_s)
        self._clock_s += min(start_s - self._last_start_s, _SKIP_COUNTS_S)
        self._last_start_s = start_s
        before = self.document
        self.document = decide(
            before,
            seen,
            {},
            now=_EPOCH + timedelta(seconds=self._clock_s + end_s - start_s),
            policy=setup.policy,
            subject=self._subject,
        ).document
        tally.rounds_made += 1
        self._count(before, self.document, start_s, end_s)
        # Reserved concurrency 1: an event during a round waits for its end.
        was_edge = self._edge_s <= self._tick_s
        if was_edge:
            self._edge_s = self._next_edge(start_s + _TRIGGER_EVERY_S - self._noticed_s)
        else:
            self._tick_s += setup.every_s
        while self._tick_s < end_s:
            self._tick_s += setup.every_s
        self._edge_s = max(self._edge_s, end_s)

    def _count(self, before: Document | None, after: Document, start_s: float, end_s: float) -> None:
        tally = self.tally
        if before is not None and before.preferred.region != after.preferred.region:
            tally.switches += 1
        for index, region in enumerate(self._regions):
            track = self._tracks[index]
            outage = self._note_outage(index, start_s, end_s)
            was = before.state_of(region) if before else None
            now = after.state_of(region)
            assert now is not None
            if was is None or was.effective is now.effective:
                continue
            if now.effective is Effective.OUT:
                self._count_ejection(index, start_s, end_s, outage=outage)
            else:
                if track.awaits_return and end_s >= track.outage_end_s:
                    tally.return_s.append(end_s - track.outage_end_s)
                if track.out_false:
                    tally.false_out_s.append(end_s - track.out_since_s)
                track.awaits_return, track.out_false, track.returned_s = False, False, end_s

    def _note_outage(self, index: int, start_s: float, end_s: float) -> bool:
        """Remember the outage that a round met, if it met one from its start or during it."""
        weather, track = self._weathers[index], self._tracks[index]
        episode = weather.episode(start_s)
        began = episode is not None and episode.kind is Kind.OUTAGE
        if not began:
            return weather.met(start_s, end_s, Kind.OUTAGE) is not None
        assert episode is not None
        if track.outage_end_s != episode.end_s:
            track.outage_end_s, track.first_round_s = episode.end_s, start_s
        return True

    def _count_ejection(self, index: int, start_s: float, end_s: float, *, outage: bool) -> None:
        tally, track, weather = self.tally, self._tracks[index], self._weathers[index]
        if outage:
            kind: Kind | None = Kind.OUTAGE
            episode = weather.episode(start_s)
            if episode is not None and episode.kind is Kind.OUTAGE:
                tally.eject_s.append(end_s - track.first_round_s)
                if index == 0:
                    tally.eject_from_fault_s.append(end_s - episode.start_s)
                track.awaits_return = True
        else:
            episode = weather.met(start_s, end_s)
            kind = episode.kind if episode else None
        tally.ejections[kind] += 1
        tally.flaps += end_s - track.returned_s <= _FLAP_S
        track.out_since_s, track.out_false = end_s, kind is None


def _geometric(rng: random.Random, chance: float) -> float:
    """Trials until the first success, 1 or more; infinity when there is none."""
    if chance <= 0:
        return math.inf
    if chance >= 1:
        return 1
    return 1 + math.floor(math.log(1 - rng.random()) / math.log1p(-chance))


def _at_least_one(rng: random.Random, chances: Sequence[float]) -> frozenset[int]:
    """Which of independent events happen, given that one of them does."""
    some_from = [-math.expm1(sum(math.log1p(-one) for one in chances[at:])) for at in range(len(chances))]
    happened: set[int] = set()
    for index, chance in enumerate(chances):
        # The condition affects the next event only while none has happened.
        given = chance if happened else chance / some_from[index]
        if rng.random() < given:
            happened.add(index)
    return frozenset(happened)
