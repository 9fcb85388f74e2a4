"""Overload is not "down": a herd that reconnects to the survivor does not take it out of DNS or documents."""

from __future__ import annotations

import asyncio

import pytest

from beacon_lab.scenarios.herd import Herd, HerdWatch, run_herd
from beacon_lab.settings import LabSettings
from beacon_lab.start import running_lab

pytestmark = pytest.mark.lab

#: Small enough for two cores in CI; the limit is small in proportion, so that most logins are over it. The
#: full size, 50 processes with 20 connections each, is `make bench NAME=herd`.
HERD = Herd(processes=6, pool_size=20, per_s=4.0, watch_s=20.0, move_within_s=90.0, rate_per_s=5.0, burst=10)


async def _run(lines: list[str]) -> HerdWatch:
    async with running_lab(LabSettings(speed=5.0), lines.append, asyncio.Event()) as lab:
        return await run_herd(lab, HERD, lines.append)


def test_a_herd_that_reconnects_never_takes_the_survivor_out() -> None:
    """Invariant 13: hundreds of its logins are refused with 53400, and health, DNS and documents stay."""
    lines: list[str] = []
    watch = asyncio.run(_run(lines))
    found = (watch, lines)
    assert watch.refused > HERD.burst, found
    assert watch.moved_after_s is not None, found
    assert watch.dns_after_s is not None, found
    assert watch.reads > 10, found
    assert (watch.unhealthy, watch.not_in_dns, watch.not_in_document) == ([], [], []), found


def test_goodput_is_back_from_the_first_second_on_that_is_not_followed_by_a_bad_one() -> None:
    """The figure above can be bad."""
    watch = HerdWatch(usual_per_s=100.0)
    watch.served.update({0: 0, 1: 95, 2: 40, 3: 90, 4: 85, 5: 90})
    assert watch.goodput_back_s == 3
    assert HerdWatch(usual_per_s=100.0).goodput_back_s == 0
