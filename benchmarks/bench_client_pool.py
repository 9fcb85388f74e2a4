"""A pool of twenty under load when its endpoint freezes: when the first and the last connection is elsewhere.

Twenty threads repeatedly take a connection, run `SELECT 1` and return it. Then the near front becomes silent,
on open connections and on new ones. `first` is the first request that the far Region serves after that.
`last` is the moment from which all twenty of the pool's connections lead there. A request fails when its
statement gets no answer in time (half a second here). The figures include the number of failed requests, and
the most connects that the pool started within any one second, which it bounds. Each run has a pool that has
met no fault yet.
"""

from __future__ import annotations

import logging
import os
import statistics
import threading
import time
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field

import psycopg
from results import Result
from two_regions import FAR, NEAR, TwoRegions, two_regions

from beacon import Pool, PoolPolicy
from beacon_lab.faults import FaultKind

_SIZE, _PAUSE_S, _QUERY_TIMEOUT_S = 20, 0.005, 0.5
#: Longer than the second in which the pool was filled.
_LOAD_S = 1.3
_LIMIT_S = 30.0
_POLICY = PoolPolicy()

Say = Callable[[str], None]


@dataclass(slots=True)
class _Run:
    first_s: float
    last_s: float
    failed: int
    most_connects: int


@dataclass(slots=True)
class _Load:
    """Threads that use a pool until they are stopped."""

    pool: Pool
    stop: threading.Event = field(default_factory=threading.Event)
    served: list[tuple[float, str]] = field(default_factory=list)
    failed: list[float] = field(default_factory=list)

    def use(self) -> None:
        while not self.stop.is_set():
            try:
                with self.pool.connection() as connection:
                    connection.execute("SELECT 1").fetchone()
                    region = connection.endpoint.region
            except psycopg.Error:
                self.failed.append(time.monotonic())
            else:
                self.served.append((time.monotonic(), region))
            time.sleep(_PAUSE_S)


def run(say: Say) -> list[Result]:
    """First and last, each the largest of all runs."""
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)
    times = int(os.environ.get("REPETITIONS", "100"))
    with two_regions() as regions:
        runs = []
        for number in range(times):
            runs.append(_once(regions))
            if number % 10 == 9:
                say(f"{number + 1} of {times} runs")
    more: dict[str, object] = {
        "failed_requests": max(run.failed for run in runs),
        "most_connects_in_a_second": max(run.most_connects for run in runs),
        "connects_per_s_limit": _POLICY.connects_per_s,
        "query_timeout_s": _QUERY_TIMEOUT_S,
    }
    return [
        _largest("client.pool_first_s", [run.first_s for run in runs], more),
        _largest("client.pool_last_s", [run.last_s for run in runs], {}),
        Result(
            "client.pool_connects_over_limit",
            max(0, max(run.most_connects for run in runs) - _POLICY.connects_per_s),
            "1/s",
            times,
            0.0,
        ),
    ]


def _largest(name: str, seconds: list[float], more: dict[str, object]) -> Result:
    context = {"median_s": round(statistics.median(seconds), 3), **more}
    return Result(name, round(max(seconds), 3), "s", len(seconds), None, context)


def _once(regions: TwoRegions) -> _Run:
    starts: list[float] = []
    opened: list[tuple[float, str]] = []
    with regions.endpoints() as endpoints:
        pool = Pool(
            endpoints,
            min_size=_SIZE,
            query_timeout_s=_QUERY_TIMEOUT_S,
            policy=_POLICY,
            configure=lambda connection: opened.append((time.monotonic(), connection.endpoint.region)),
            **regions.login,
        )
        _count_starts(pool, starts)
        with pool:
            pool.wait(10)
            load = _Load(pool)
            threads = [threading.Thread(target=load.use) for _ in range(_SIZE)]
            for thread in threads:
                thread.start()
            time.sleep(_LOAD_S)
            frozen_at = time.monotonic()
            regions.inject(NEAR, FaultKind.DSQL_FREEZE)
            try:
                while sum(region == FAR for _, region in opened) < _SIZE:
                    if time.monotonic() > frozen_at + _LIMIT_S:
                        raise RuntimeError(f"not all connections are elsewhere after {_LIMIT_S:.0f} s")
                    time.sleep(0.005)
            finally:
                load.stop.set()
                for thread in threads:
                    thread.join()
                regions.inject(NEAR, None)
    first_s = next(moment for moment, region in load.served if region == FAR) - frozen_at
    last_s = [moment for moment, region in opened if region == FAR][_SIZE - 1] - frozen_at
    most = max(bisect_right(starts, start + 1.0 - 1e-9) - index for index, start in enumerate(starts))
    return _Run(first_s, last_s, len(load.failed), most)


def _count_starts(pool: Pool, starts: list[float]) -> None:
    """Note when the pool starts a connect."""
    take = pool._care._rate.take  # noqa: SLF001 - no public attribute says it

    def counted(now: float, *, empty: bool = False) -> float:
        wait_s = take(now, empty=empty)
        if not wait_s:
            starts.append(now)
        return wait_s

    pool._care._rate.take = counted  # type: ignore[method-assign]  # noqa: SLF001
