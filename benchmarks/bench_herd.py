"""A herd reconnects to the other Region: 50 processes with pools of 20 lose the first Region at once.

The first Region's endpoint refuses, so that a thousand connections break at the same moment. The other one
has DSQL's limit of 100 connections a second with a burst of BURST (1,000). Checkers and publishers poll it
all the time at real-time speed. PROCESSES, POOL and BURST choose another herd: with a burst of 200, the rate
decides most of it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

from results import Result

from beacon_lab.dsql.connect_limit import BURST
from beacon_lab.scenarios.herd import Herd, HerdWatch, run_herd
from beacon_lab.settings import LabSettings
from beacon_lab.start import running_lab

_PER_S = 2.0
_GOODPUT_BACK_S = 5.0

Say = Callable[[str], None]


def run(say: Say) -> list[Result]:
    """How often the other Region was out, and how soon the herd is served again."""
    herd = Herd(
        processes=int(os.environ.get("PROCESSES", "50")),
        pool_size=int(os.environ.get("POOL", "20")),
        per_s=_PER_S,
        watch_s=60.0,
        move_within_s=90.0,
        burst=int(os.environ.get("BURST", str(BURST))),
    )
    watch = asyncio.run(_run(herd, say))
    say(f"failed polls of the other Region: {dict(watch.failed_polls)}")
    say(f"unhealthy {watch.unhealthy}; DNS {watch.not_in_dns}; document {watch.not_in_document}")
    left = len(watch.unhealthy) + len(watch.not_in_dns) + len(watch.not_in_document)
    more: dict[str, object] = {
        "processes": herd.processes,
        "pool": herd.pool_size,
        "burst": herd.burst,
        "looks": watch.looks,
        "documents_read": watch.reads,
        "failed_polls": sum(watch.failed_polls.values()),
        "connections_at_the_end": watch.connections,
        "refused_logins": watch.refused,
        "most_logins_in_a_second": watch.most_logins_per_s,
    }
    moved_s = herd.move_within_s if watch.moved_after_s is None else watch.moved_after_s
    return [
        Result("herd.survivor_left", left, "times", watch.looks, 0.0, more),
        Result("herd.moved_s", round(moved_s, 1), "s", herd.connections),
        Result("herd.goodput_back_s", watch.goodput_back_s, "s", herd.processes, _GOODPUT_BACK_S),
    ]


async def _run(herd: Herd, say: Say) -> HerdWatch:
    async with running_lab(LabSettings(speed=1.0), say, asyncio.Event()) as lab:
        return await run_herd(lab, herd, say)
