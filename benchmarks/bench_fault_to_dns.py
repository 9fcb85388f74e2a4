"""From a frozen DSQL endpoint to another DNS answer and another SSM value, in the lab at real-time speed.

Ten times, the first Region's endpoint freezes at a random moment of the checkers' and the schedule's periods.
A client polls the DNS answer, and the SSM value through the AWS API. Between two repetitions the benchmark
heals the endpoint and waits for recovery in DNS. For SSM, it invokes the publisher until the endpoint is
back, which saves minutes and is not measured.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Callable

from results import Result

from beacon.predict import dns_after, ssm_after
from beacon_lab.errors import LabError
from beacon_lab.faults import FaultKind
from beacon_lab.lab import Lab
from beacon_lab.scenarios.timings import timings_of
from beacon_lab.scenarios.watch import Seen, Watch
from beacon_lab.settings import LabSettings
from beacon_lab.start import running_lab

_LIMIT_S = 150.0


def run(say: Callable[[str], None]) -> list[Result]:
    """Both figures."""
    return asyncio.run(_run(say, int(os.environ.get("REPETITIONS", "10"))))


async def _run(say: Callable[[str], None], repetitions: int) -> list[Result]:
    in_dns: list[float] = []
    in_ssm: list[float] = []
    # Without the failback hold, which would only delay the return.
    settings = LabSettings(speed=1.0, failback_hold_s=0)
    async with running_lab(settings, say, asyncio.Event()) as lab:
        first, second = lab.settings.regions
        async with Watch(lab.ready(), lab.health_of) as watch:
            for number in range(1, repetitions + 1):
                await _settle(lab, watch, first)
                await asyncio.sleep(random.uniform(0, timings_of(lab.settings).interval_s))
                began = time.monotonic()
                await lab.inject(first, FaultKind.DSQL_FREEZE)
                dns, ssm = await asyncio.gather(
                    _until(watch.dns, watch.host_of(second), began),
                    _until(watch.ssm, watch.host_of(second), began),
                )
                in_dns.append(dns)
                in_ssm.append(ssm)
                say(f"{number} of {repetitions}: DNS after {dns:.1f} s, SSM after {ssm:.1f} s")
                await lab.heal(first)
    timings = timings_of(lab.settings)
    predicted_dns = dns_after(timings, failing=True, answer_s=timings.deadline_s)
    predicted_ssm = ssm_after(timings, confirming=True, edge=True)
    return [
        Result.median(
            "lab.fault_to_dns_s",
            in_dns,
            "s",
            goal=predicted_dns.latest_s,
            predicted=round(predicted_dns.expected_s, 2),
        ),
        Result.median(
            "lab.fault_to_ssm_s",
            in_ssm,
            "s",
            goal=predicted_ssm.latest_s,
            predicted=round(predicted_ssm.expected_s, 2),
        ),
    ]


async def _settle(lab: Lab, watch: Watch, region: str) -> None:
    """Wait until everything points at ``region`` again."""
    publisher = lab.regions[region].function_named(f"{lab.settings.service}-publisher")
    assert publisher is not None
    began = time.monotonic()
    host = watch.host_of(region)
    while watch.ssm.value != host or watch.dns.value != host or watch.health[region].value != "healthy":
        if time.monotonic() > began + _LIMIT_S:
            raise LabError(f"{region} did not recover within {_LIMIT_S:.0f} s")
        if watch.ssm.value != host:
            await publisher.invoke({"source": "benchmark"})
        await asyncio.sleep(1)
    # Wait until every checker sees the recovery, not only enough of them to change the check.
    await asyncio.sleep(timings_of(lab.settings).threshold * (timings_of(lab.settings).interval_s + 2))


async def _until(seen: Seen, value: str, began: float) -> float:
    while time.monotonic() < began + _LIMIT_S:
        if seen.value == value and seen.since >= began:
            return seen.since - began
        await asyncio.sleep(0.02)
    raise LabError(f"{seen.name} did not change within {_LIMIT_S:.0f} s")
