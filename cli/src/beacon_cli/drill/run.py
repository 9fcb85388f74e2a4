"""Runs a drill: samples and writes all the while, breaks, waits, repairs in every case, and waits again.

Signals only set an event, so nothing is cut in half: Ctrl-C, SIGTERM and SIGHUP end the waiting, the repair
follows, and a second signal changes nothing. What does not survive this process has the break's own net
(:mod:`beacon_cli.drill.breaks`).
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import FrameType

from beacon_cli.drill.breaks import Begun, Break, Repaired
from beacon_cli.drill.consumed import Consumed
from beacon_cli.drill.consumer_process import ConsumerProcess
from beacon_cli.drill.expected import DNS, Phase
from beacon_cli.drill.plan import Plan
from beacon_cli.drill.recorder import Recorder
from beacon_cli.drill.report import Report
from beacon_cli.drill.sampler import Sampler
from beacon_cli.drill.strangers import strangers
from beacon_cli.drill.telling import progress_line
from beacon_cli.drill.verdict import Result, Times, Verdict, compare
from beacon_cli.errors import CommandError, FailedError
from beacon_cli.readers.forced import read_forced
from beacon_cli.sessions import Sessions
from beacon_cli.situation.model import Known, known

__all__ = ["Run", "signals_set"]

_SETTLE_S, _CALM_S, _LOOK_S = 20.0, 2.0, 0.25
_REPAIR_AGAIN_S, _REPAIR_GRACE_S = 2.0, 10.0
_BACK_GRACE_S = 15.0
_AUDIT_S = 5.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_OPEN = {Verdict.NOT_SEEN, Verdict.UNREAD}


@contextmanager
def signals_set(event: threading.Event) -> Iterator[None]:
    """While this lasts, each signal that asks for an end sets ``event``, and nothing else."""

    def ask(_number: int, _frame: FrameType | None) -> None:
        event.set()

    before = {number: signal.signal(number, ask) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@dataclass(slots=True)
class Run:
    """One drill; call :meth:`__call__` once, within :func:`signals_set`."""

    sessions: Sessions
    plan: Plan
    id: str
    actor: str
    breaking: Break
    say: Callable[[str], None]
    """Must not raise: what it cannot print does not keep the repair from being done."""
    asked_to_end: threading.Event
    _recorder: Recorder = field(default_factory=Recorder)
    _zero: float = 0.0
    _since: float = 0.0
    """When the break was ordered; ``_zero`` is when that was answered. Monotonic, as those of the repair."""
    _repair_since: float | None = None
    _repaired: float | None = None
    _told: set[tuple[str, Phase]] = field(default_factory=set)

    def __call__(self) -> Report:
        """Do it; raises :class:`CommandError` where nothing was broken."""
        sampler = Sampler(self.sessions, self.plan.checks, self.plan.targets, self._recorder)
        sampler.start()
        consumer = None
        try:
            if not self.plan.no_consumer:
                consumer = ConsumerProcess(self.sessions, self.plan.region, self.id)
            self._settle(consumer)
            broken_at, repaired = self._break_and_repair()
            interrupted = self.asked_to_end.is_set()
            if repaired.done and not interrupted:
                self._await(Phase.BACK, self._back_until())
                interrupted = self.asked_to_end.is_set()
            ended = time.monotonic()
        except BaseException:
            sampler.stop()
            if consumer is not None:
                consumer.finish(self._zero)
            raise
        sampler.stop()
        consumed = consumer.finish(self._zero) if consumer is not None else None
        return self._report(broken_at, repaired, ended, consumed, interrupted=interrupted)

    def _settle(self, consumer: ConsumerProcess | None) -> None:
        """Wait until every place was read and the consumer has written."""
        self.say("looking at everything first")
        end = time.monotonic() + _SETTLE_S
        while True:
            now = time.monotonic()
            blind = [track.name for track in self._recorder.tracks(now) if track.at(0.0) is None]
            if not blind and (consumer is None or consumer.begun):
                break
            if now >= end:
                what = f"{blind[0]} could not be read" if blind else "the consumer wrote no row"
                raise FailedError(f"{what} within {_SETTLE_S:g} s. Nothing has changed")
            if self.asked_to_end.wait(_LOOK_S):
                raise FailedError("interrupted. Nothing has changed")
        if self.asked_to_end.wait(_CALM_S):
            raise FailedError("interrupted. Nothing has changed")

    def _break_and_repair(self) -> tuple[datetime, Repaired]:
        begun: Begun | None = None
        self._since = time.monotonic()
        try:
            begun = self.breaking.begin()
            self._zero = begun.at
            broken_at = datetime.now(UTC) - timedelta(seconds=time.monotonic() - begun.at)
            ends = f"it ends by itself at {begun.ends_at:%H:%M:%S} UTC"
            self.say(f"{self.plan.region} is broken by {self.plan.kind.name}; {ends}")
            self._await(Phase.OUT, self._zero + self.plan.limit_s - 3.0)
            self.asked_to_end.wait(_CALM_S)
        finally:
            if self.asked_to_end.is_set():
                self.say("interrupted: repairing")
            repaired = self._repair(None if begun is None else begun.ends_at)
        return broken_at, repaired

    def _repair(self, ends_at: datetime | None) -> Repaired:
        """Repair, again and again until the net itself has ended what is broken."""
        left_s = (ends_at - datetime.now(UTC)).total_seconds() if ends_at else 0.0
        end = time.monotonic() + max(0.0, left_s) + _REPAIR_GRACE_S
        while True:
            self._repair_since = time.monotonic()
            try:
                found = self.breaking.repair()
            except CommandError as error:
                if time.monotonic() >= end:
                    ends = f"; it ends by itself at {ends_at:%H:%M:%S} UTC" if ends_at else ""
                    return Repaired(False, f"the repair is not known to have worked: {error.sentence}{ends}")
                self.say(f"!  the repair has failed and is tried again: {error.sentence}")
                time.sleep(_REPAIR_AGAIN_S)
                continue
            self._repaired = found.at
            self.say(f"{found.said} after {self._repaired - self._zero:.1f} s")
            return found

    def _await(self, phase: Phase, until: float) -> None:
        """Wait until each transition of ``phase`` was seen, it is ``until``, or a signal comes."""
        while time.monotonic() < until and not self.asked_to_end.is_set():
            results = [one for one in self._results() if one.expected.phase is phase]
            for one in results:
                key = (one.expected.track, phase)
                if one.verdict not in _OPEN and key not in self._told:
                    self._told.add(key)
                    self.say(progress_line(one))
            if all(one.verdict not in _OPEN for one in results):
                return
            self.asked_to_end.wait(_LOOK_S)

    def _back_until(self) -> float:
        latest_s = max(one.predicted.latest_s for one in self.plan.expected if one.phase is Phase.BACK)
        return time.monotonic() + 2 * latest_s + _BACK_GRACE_S

    def _results(self) -> tuple[Result, ...]:
        tracks = self._recorder.tracks(self._zero)
        return compare(self.plan.expected, tracks, self.plan.region, self.plan.kind, self._times())

    def _times(self) -> Times:
        return Times(
            self._since - self._zero,
            None if self._repair_since is None else self._repair_since - self._zero,
            None if self._repaired is None else self._repaired - self._zero,
        )

    def _report(
        self,
        broken_at: datetime,
        repaired: Repaired,
        ended: float,
        consumed: Consumed | None,
        *,
        interrupted: bool,
    ) -> Report:
        lab, tracks = self.sessions.fleet.lab, self._recorder.tracks(self._zero)
        ended_s = ended - self._zero
        moves = any(one.track == DNS for one in self.plan.expected)
        region, kind = self.plan.region, self.plan.kind
        found = strangers(tracks, region, kind, self._times(), until_s=ended_s, dns_moves=moves)
        return Report(
            id=self.id,
            service=self.plan.situation.service,
            region=region,
            kind=kind.name,
            actor=self.actor,
            speed=lab.speed if lab else None,
            broken_at=broken_at,
            ended_s=round(ended_s, 2),
            limit_s=self.plan.limit_s,
            repaired_s=None if self._repaired is None else round(self._repaired - self._zero, 2),
            repair=repaired.said,
            whole=repaired.done,
            interrupted=interrupted,
            results=self._results(),
            strangers=(*found, *self._changed_by_others()),
            consumer=consumed,
            no_consumer=self.plan.no_consumer,
            tracks=tracks,
        )

    def _changed_by_others(self) -> Sequence[str]:
        """What operators have written meanwhile, by the audit; the record of an expiry is no act."""
        forced = read_forced(self.sessions, _AUDIT_S)
        if not isinstance(forced, Known):
            return (f"whether operators changed anything meanwhile is not known: {forced.why}",)
        before = known(self.plan.situation.forced)
        old = set(before.changes) if before else set()
        return tuple(
            f"not by this drill: {row.actor} {'drained' if row.forced else 'released'} {row.region}:"
            f" {row.reason!r}"
            for row in forced.value.changes
            if row not in old and row.reason != self.id and not row.reason.startswith("expired: ")
        )
