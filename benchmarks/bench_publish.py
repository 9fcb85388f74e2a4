"""The publisher: how soon a fault is in SSM, and what a round costs.

Fault to SSM, in the lab at real-time speed. The first Region's endpoint freezes at a random moment of the
checkers' periods. Its own health function is the first to notice, and starts the publisher. Then the same
with Lambda's Invoke API down in that Region, so that only the schedule is left. Between two runs the endpoint
is healed, and the publisher is invoked until the endpoint is back (with a rise of one and no hold, which
shortens this part; it is not measured). Then every sandbox's trigger gets time to be ready again. REPETITIONS
sets the runs with the trigger; a quarter as many run without it.

The cost of a round: observed and decided, without SSM. First ten Regions at the distances of the lab's table,
compared with the slowest of them probed alone; then up to two hundred endpoints at one distance. A round has
a fixed cost and a cost for each endpoint; `publish.linearity` is the largest relative distance of a measured
cost from the line through them. The whole cost divided by the endpoints is not constant, and
`per_endpoint_off` says how far it is from that: the first work after a wait for the network costs more than
the same work again, and few endpoints share it. `one_more_from_2_to_5_ms` and its like say what one more
endpoint costs. If both processors are free, many threads pass Python's lock to each other, which can double a
round's cost. So a run on an idle machine may miss a goal that a run on a busy machine keeps. A publisher has
at most ten endpoints.
"""

from __future__ import annotations

import asyncio
import os
import random
import statistics
import time
from collections.abc import Callable, Sequence
from itertools import pairwise

from results import Result
from round_cost import Cost, cost_of
from ten_regions import ten_regions

from beacon.health.trigger import EVERY_S
from beacon_lab.aws.front import Down
from beacon_lab.errors import LabError
from beacon_lab.faults import FaultKind
from beacon_lab.lab import Lab
from beacon_lab.scenarios.timings import timings_of
from beacon_lab.scenarios.watch import Watch
from beacon_lab.settings import LabSettings
from beacon_lab.start import running_lab

_GOAL_S = 8.0
_LIMIT_S = 150.0
_SIZES = (2, 5, 10, 20, 50, 100, 200)
_ROUNDS, _TURNS = 30, 3

Say = Callable[[str], None]


def run(say: Say) -> list[Result]:
    """All figures, the cheap ones first."""
    results = _costs(say)
    results += asyncio.run(_faults(say, int(os.environ.get("REPETITIONS", "20"))))
    return results


# ---- fault to SSM


async def _faults(say: Say, repetitions: int) -> list[Result]:
    settings = LabSettings(speed=1.0, rise=1, failback_hold_s=0)
    async with running_lab(settings, say, asyncio.Event()) as lab, Watch(lab.ready(), lab.health_of) as watch:
        with_edge = [await _once(lab, watch, say) for _ in range(repetitions)]
        say("without the trigger")
        lab.cloud.front.set_down("lambda", lab.settings.regions[0], Down.FAIL)
        without = [await _once(lab, watch, say) for _ in range(max(2, repetitions // 4))]
    schedule_s = float(settings.publish_every_s)
    return [
        _largest("publish.fault_to_ssm_max_s", with_edge, _GOAL_S),
        _largest("publish.fault_to_ssm_no_edge_max_s", without, schedule_s + _GOAL_S),
    ]


def _largest(name: str, seconds: Sequence[float], goal_s: float) -> Result:
    more: dict[str, object] = {
        "median": round(statistics.median(seconds), 2),
        "least": round(min(seconds), 2),
    }
    return Result(name, round(max(seconds), 2), "s", len(seconds), goal_s, more)


async def _once(lab: Lab, watch: Watch, say: Say) -> float:
    first, second = lab.settings.regions
    await _settle(lab, watch, first)
    await asyncio.sleep(random.uniform(0, timings_of(lab.settings).interval_s))
    began = time.monotonic()
    await lab.inject(first, FaultKind.DSQL_FREEZE)
    wanted = watch.host_of(second)
    try:
        while not (watch.ssm.value == wanted and watch.ssm.since >= began):
            if time.monotonic() > began + _LIMIT_S:
                raise LabError(f"SSM did not change within {_LIMIT_S:.0f} s")
            await asyncio.sleep(0.02)
        say(f"SSM after {watch.ssm.since - began:.2f} s")
        return watch.ssm.since - began
    finally:
        await lab.heal(first)


async def _settle(lab: Lab, watch: Watch, region: str) -> None:
    """Wait until SSM names ``region`` again and every sandbox's trigger may fire again."""
    publisher = lab.regions[region].function_named(f"{lab.settings.service}-publisher")
    assert publisher is not None
    began = time.monotonic()
    while watch.ssm.value != watch.host_of(region) or time.monotonic() < began + EVERY_S + 1:
        if time.monotonic() > began + _LIMIT_S:
            raise LabError(f"{region} did not recover within {_LIMIT_S:.0f} s")
        if watch.ssm.value != watch.host_of(region):
            await publisher.invoke({"source": "benchmark"})
        await asyncio.sleep(0.5)


# ---- the cost of a round


def _costs(say: Say) -> list[Result]:
    with ten_regions() as regions:
        ten = [cost_of(regions, None, _ROUNDS) for _ in range(_TURNS)]
        # In turns, so that other load on the machine affects every size equally; the least disturbed run
        # counts.
        turns = [[cost_of(regions, count, _ROUNDS) for count in _SIZES] for _ in range(_TURNS)]
    many = [min(costs, key=lambda cost: cost.cpu_ms) for costs in zip(*turns, strict=True)]
    ratios = [cost.round_ms / cost.slowest_alone_ms for cost in ten]
    say(f"ten Regions: {ten[0].round_ms:.0f} ms a round, the slowest alone {ten[0].slowest_alone_ms:.0f} ms")
    for cost in many:
        say(f"{cost.endpoints} endpoints: {cost.cpu_ms:.2f} ms of processor, peak {cost.peak_mb:.0f} MB")
    own_ms, each_ms = _line(many)
    shares = [cost.cpu_ms / cost.endpoints for cost in many]
    usual = statistics.median(shares)
    off = max(abs(cost.cpu_ms / (own_ms + each_ms * cost.endpoints) - 1) for cost in many)
    more: dict[str, object] = {
        "round_ms": round(own_ms, 3),
        "endpoint_ms": round(each_ms, 3),
        "per_endpoint_off": round(max(abs(share / usual - 1) for share in shares), 3),
        **{
            f"per_endpoint_of_{cost.endpoints}_ms": round(share, 3)
            for cost, share in zip(many, shares, strict=True)
        },
        **_one_more_ms(many),
    }
    ten_mb = max(cost.peak_mb for cost in ten)
    return [
        Result.median(
            "publish.round_ratio", ratios, "x", goal=1.2, round_ms=round(ten[0].round_ms, 1), endpoints=10
        ),
        Result("publish.linearity", round(off, 3), "x", _TURNS * _ROUNDS, 0.2, more),
        Result(
            "publish.peak_mb",
            round(ten_mb, 1),
            "MB",
            _TURNS,
            None,
            {"of_200_endpoints": round(many[-1].peak_mb)},
        ),
    ]


def _one_more_ms(costs: Sequence[Cost]) -> dict[str, float]:
    """What one more endpoint costs, between each size and the next."""
    return {
        f"one_more_from_{few.endpoints}_to_{many.endpoints}_ms": round(
            (many.cpu_ms - few.cpu_ms) / (many.endpoints - few.endpoints), 3
        )
        for few, many in pairwise(costs)
    }


def _line(costs: Sequence[Cost]) -> tuple[float, float]:
    """The cost of a round and of an endpoint: the line with the least sum of squared relative errors."""
    # Weighted by 1 / cost^2, so that two endpoints count as much as two hundred.
    w = [1 / cost.cpu_ms**2 for cost in costs]
    x = [float(cost.endpoints) for cost in costs]
    y = [cost.cpu_ms for cost in costs]
    total = sum(w)
    mean_x = sum(a * b for a, b in zip(w, x, strict=True)) / total
    mean_y = sum(a * b for a, b in zip(w, y, strict=True)) / total
    slope = sum(a * (b - mean_x) * (c - mean_y) for a, b, c in zip(w, x, y, strict=True)) / sum(
        a * (b - mean_x) ** 2 for a, b in zip(w, x, strict=True)
    )
    return mean_y - slope * mean_x, slope
