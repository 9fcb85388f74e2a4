"""What one round of the publisher costs: all endpoints probed, then decided; measured in its own process.

Times are wall time and the process's own processor time; the peak is its largest resident memory. SSM is not
included: it takes two calls a round, for any number of endpoints.
"""

from __future__ import annotations

import math
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path

from ten_regions import TenRegions

from beacon.dsql.probe import DsqlProbe, Probe, ProbeContext
from beacon.dsql.resolver import Resolver
from beacon.model import Document
from beacon.outcome import ProbeOutcome
from beacon.publisher.decide import Subject, decide
from beacon.publisher.observe import Observer, RecheckPolicy
from beacon.settings import Settings

__all__ = ["Cost", "cost_of"]

_WARM_UP, _ALONE = 3, 7
#: Long enough for two hundred endpoints that wait for each other behind one front; nothing here fails.
_DEADLINE_S = 10.0


@dataclass(frozen=True, slots=True)
class Cost:
    """Medians over the rounds, in milliseconds, with all connections open.

    ``slowest_alone_ms``: of the endpoints probed one after the other, the median of the slowest; not measured
    for copies of one.
    """

    endpoints: int
    round_ms: float
    slowest_alone_ms: float
    cpu_ms: float
    decide_cpu_ms: float
    peak_mb: float


def cost_of(regions: TenRegions, count: int | None, rounds: int) -> Cost:
    """Measure in a fresh process: ``count`` endpoints at one distance, or for ``None`` the ten Regions."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_measure, regions, count, rounds).result()


def _measure(regions: TenRegions, count: int | None, rounds: int) -> Cost:
    settings = regions.far() if count is None else regions.many(count)
    probes = _probes(regions, settings)
    # One after the other, to open the connections: one front cannot accept two hundred at once.
    for probe in probes.values():
        _timed(probe)
    watched = probes if count is None else {}
    alone = {region: [_timed(probe) for _ in range(_ALONE)] for region, probe in watched.items()}
    observer = Observer(probes, RecheckPolicy(_DEADLINE_S, settings.recheck_s, settings.policy.fall))
    publisher = _Rounds(observer, settings)
    for _ in range(_WARM_UP):
        publisher.run()
    taken = [publisher.run() for _ in range(rounds)]
    for probe in probes.values():
        probe.close()
    return Cost(
        endpoints=len(probes),
        round_ms=statistics.median(wall for wall, _, _ in taken),
        slowest_alone_ms=max((statistics.median(times) for times in alone.values()), default=math.nan),
        cpu_ms=statistics.median(cpu for _, cpu, _ in taken),
        decide_cpu_ms=statistics.median(deciding for _, _, deciding in taken),
        peak_mb=_peak_mb(),
    )


class _Rounds:
    """Observe and decide, as the publisher does, without the parameters."""

    def __init__(self, observer: Observer, settings: Settings) -> None:
        self._observer = observer
        self._settings = settings
        self._subject = Subject(settings.service, settings.target, settings.region, settings.endpoints)
        self._document: Document | None = None

    def run(self) -> tuple[float, float, float]:
        """One round: milliseconds of wall time, of processor time, and of processor time for the decision."""
        wall, cpu = time.perf_counter(), time.process_time()
        seen = self._observer.run()
        observed = time.process_time()
        self._document = decide(
            self._document,
            seen.observations,
            seen.intents,
            now=datetime.now(UTC),
            policy=self._settings.policy,
            subject=self._subject,
        ).document
        ended, ended_cpu = time.perf_counter(), time.process_time()
        failed = [
            one.reason
            for found in seen.observations.values()
            for one in found
            if one.outcome is not ProbeOutcome.PASS
        ]
        assert not failed, (len(failed), set(failed))
        return (ended - wall) * 1000, (ended_cpu - cpu) * 1000, (ended_cpu - observed) * 1000


def _probes(regions: TenRegions, settings: Settings) -> dict[str, Probe]:
    credentials = regions.credentials
    context = ProbeContext(settings, Resolver(), credentials=lambda: credentials)
    # Many endpoints of one front have labels in place of Regions; the token is for the host's Region.
    return {
        endpoint.region: DsqlProbe(replace(endpoint, region=endpoint.host.split(".")[2]), context, None)
        for endpoint in settings.endpoints
    }


def _peak_mb() -> float:
    # Not getrusage(): its peak includes that of the process that started this one.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def _timed(probe: Probe) -> float:
    began = time.perf_counter()
    report = probe.run(time.monotonic() + _DEADLINE_S)
    assert report.observation.outcome is ProbeOutcome.PASS, report.observation.reason
    return (time.perf_counter() - began) * 1000
