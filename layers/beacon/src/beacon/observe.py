"""One round of observations: every endpoint at the same time, a first fail rechecked at once.

An endpoint that passes is probed once. One that fails is probed again, a recheck interval apart from start to
start, until it passes or has failed ``fall`` times in a row, so that a confirmation takes seconds and not
ticks of the schedule. The first probe has the whole deadline, a recheck no longer than the interval: of a
silent endpoint every probe takes all the time that it may. An endpoint that is known to be down needs no
confirmation and is probed once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from beacon.model import Intent, Observation, Outcome, ProbeReport
from beacon.outcome import Reason
from beacon.probe import Probe

__all__ = ["Observer", "Pace", "Round"]


@dataclass(frozen=True, slots=True)
class Pace:
    """How long one probe may take, how far apart rechecks start, and how many fails confirm."""

    deadline_s: float
    recheck_s: float
    fall: int

    def allowed_s(self, *, first: bool) -> float:
        """How long one probe may take: the first of a round, or a recheck."""
        return self.deadline_s if first else min(self.deadline_s, self.recheck_s)

    @property
    def confirm_s(self) -> float:
        """What it takes at the most to confirm that an endpoint is down."""
        return self.deadline_s + (self.fall - 1) * self.recheck_s


@dataclass(frozen=True, slots=True)
class Round:
    """Each Region's observations, oldest first, and the intents, read through whichever endpoint answered."""

    observations: Mapping[str, tuple[Observation, ...]]
    intents: Mapping[str, Intent] | None


class Observer:
    """Probes every Region's endpoint concurrently, each in a thread that its deadline bounds.

    The threads are kept from round to round: starting them would cost more than a probe does. One endpoint is
    probed by the caller's own.
    """

    def __init__(
        self,
        probes: Mapping[str, Probe],
        pace: Pace,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._probes = dict(probes)
        self._pace = pace
        self._clock = clock
        self._sleep = sleep
        self._pool = ThreadPoolExecutor(max(1, len(self._probes) - 1), thread_name_prefix="beacon-probe")

    def run(self, known_down: Collection[str] = ()) -> Round:
        """Make one round; ``known_down`` are the Regions whose fails need no confirmation."""
        most = {region: 1 if region in known_down else self._pace.fall for region in self._probes}
        *others, own = self._probes
        futures = {
            region: self._pool.submit(self._look, self._probes[region], most[region]) for region in others
        }
        try:
            ours = self._look(self._probes[own], most[own])
        finally:
            # Whatever becomes of ours: no probe may still be in use when the next round begins.
            reports = {region: future.result() for region, future in futures.items()}
        reports[own] = ours
        read = (report.intents for found in reports.values() for report in reversed(found))
        return Round(
            observations={
                region: tuple(report.observation for report in found) for region, found in reports.items()
            },
            intents=next((intents for intents in read if intents is not None), None),
        )

    def _look(self, probe: Probe, most: int) -> list[ProbeReport]:
        reports: list[ProbeReport] = []
        fails = 0
        while True:
            started = self._clock()
            report = self._probe_once(probe, started + self._pace.allowed_s(first=not reports))
            reports.append(report)
            fails += report.observation.outcome is Outcome.FAIL
            if report.observation.outcome is not Outcome.FAIL or fails >= most:
                return reports
            self._sleep(max(0.0, started + self._pace.recheck_s - self._clock()))

    def _probe_once(self, probe: Probe, deadline: float) -> ProbeReport:
        try:
            return probe.run(deadline)
        except Exception:  # noqa: BLE001 - a defect in one probe must not take the round or an endpoint down
            reason = Reason.INTERNAL.value
            return ProbeReport(Observation(Outcome.UNKNOWN, reason, warning=reason))
