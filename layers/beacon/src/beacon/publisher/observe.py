"""One round of observations: every endpoint at the same time, a first fail rechecked at once.

The caller's own thread first sends the SELECT on all open connections, and then waits for their answers
together. So while nothing is broken, a round needs no other thread, and no connection keeps another one
waiting. An endpoint that does not answer in its share of the deadline, has no open connection, or loses it,
continues in its own thread.

An endpoint that passes is probed once. One that fails is probed again, a recheck interval apart from start to
start, until it passes or has failed ``fall`` times in a row. So a confirmation takes seconds, not ticks of
the schedule. The first probe has the whole deadline, and a recheck no longer than the interval: each probe of
a silent endpoint takes its whole limit. An endpoint that is known to be down needs no confirmation and is
probed once.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from beacon.dsql.probe import REUSED_SHARE, AskingProbe, Probe
from beacon.model import Intent, Observation, ProbeReport
from beacon.outcome import ProbeOutcome, Reason

__all__ = ["Observer", "RecheckPolicy", "Round"]

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class RecheckPolicy:
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
    """Probes every Region's endpoint concurrently, each within its deadline.

    The threads are kept from round to round: starting them would cost more than a probe does.
    """

    def __init__(
        self,
        probes: Mapping[str, Probe],
        policy: RecheckPolicy,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._probes = dict(probes)
        self._policy = policy
        self._clock = clock
        self._sleep = sleep
        self._pool = ThreadPoolExecutor(max(1, len(self._probes) - 1), thread_name_prefix="beacon-probe")

    def run(self, known_down: Collection[str] = ()) -> Round:
        """Make one round; ``known_down`` are the Regions whose fails need no confirmation."""
        started = self._clock()
        looks = {
            region: partial(self._look, probe, 1 if region in known_down else self._policy.fall, started)
            for region, probe in self._probes.items()
        }
        reports: dict[str, list[ProbeReport]] = {}
        futures: dict[str, Future[list[ProbeReport]]] = {}
        try:
            answers_by = started + self._policy.deadline_s * REUSED_SHARE
            questions = _Questions(self._probes, answers_by, self._clock)
            alone = [region for region in looks if region not in questions.open]
            while questions.open:
                for region in alone:
                    futures[region] = self._pool.submit(looks[region])
                heard, alone = questions.wait()
                reports |= {region: [report] for region, report in heard.items()}
            # No answer is awaited any more: the last one is for the caller's own thread.
            own = alone.pop() if alone else None
            for region in alone:
                futures[region] = self._pool.submit(looks[region])
            if own is not None:
                reports[own] = looks[own]()
        finally:
            # Also after an error here: no probe may still be in use when the next round begins.
            reports |= {region: future.result() for region, future in futures.items()}
        read = (report.intents for region in self._probes for report in reversed(reports[region]))
        return Round(
            observations={
                region: tuple(report.observation for report in reports[region]) for region in self._probes
            },
            intents=next((intents for intents in read if intents is not None), None),
        )

    def _look(self, probe: Probe, most: int, started: float) -> list[ProbeReport]:
        reports: list[ProbeReport] = []
        fails = 0
        while True:
            report = self._probe_once(probe, started + self._policy.allowed_s(first=not reports))
            reports.append(report)
            fails += report.observation.outcome is ProbeOutcome.FAIL
            if report.observation.outcome is not ProbeOutcome.FAIL or fails >= most:
                return reports
            self._sleep(max(0.0, started + self._policy.recheck_s - self._clock()))
            started = self._clock()

    def _probe_once(self, probe: Probe, deadline: float) -> ProbeReport:
        try:
            return probe.run(deadline)
        except Exception:  # noqa: BLE001 - a defect in one probe must not take the round or an endpoint down
            reason = Reason.INTERNAL
            return ProbeReport(Observation(ProbeOutcome.UNKNOWN, reason, warning=reason))


class _Questions:
    """The open connections that have been asked, and the answers that come, all in one thread.

    ``open`` maps the Regions whose answers are awaited to the descriptors to wait for.
    """

    def __init__(self, probes: Mapping[str, Probe], end: float, clock: Callable[[], float]) -> None:
        self._end = end
        self._clock = clock
        self._probes = {region: probe for region, probe in probes.items() if isinstance(probe, AskingProbe)}
        self._poller = select.poll()
        self._regions: dict[int, str] = {}
        self.open: dict[str, int] = {}
        for region, probe in self._probes.items():
            descriptor = self._safely(region, probe.ask)
            if descriptor is not None:
                self.open[region] = descriptor
                self._regions[descriptor] = region
                self._poller.register(descriptor, select.POLLIN)

    def wait(self) -> tuple[dict[str, ProbeReport], list[str]]:
        """Wait for an answer; return the reports by Region, and the Regions that must continue by themselves.

        Those have lost their connection, or the time for answers is over.
        """
        left_s = self._end - self._clock()
        heard: dict[str, ProbeReport] = {}
        lost: list[str] = []
        for descriptor, _ in self._poller.poll(max(0.0, left_s) * 1000):
            region = self._regions[descriptor]
            report = self._safely(region, self._probes[region].hear)
            if report is not None:
                heard[region] = report
            elif not self._probes[region].asked:
                lost.append(region)
        if left_s <= 0:
            # Also an endpoint that keeps sending without an end.
            lost = [region for region in self.open if region not in heard]
        for region in (*heard, *lost):
            self._poller.unregister(self.open.pop(region))
        return heard, lost

    def _safely(self, region: str, act: Callable[[], _T]) -> _T | None:
        try:
            return act()
        except Exception:  # noqa: BLE001 - a defect in one probe must not take the round or an endpoint down
            # By itself it comes to the same end, and says so.
            self._probes[region].close()
            return None
