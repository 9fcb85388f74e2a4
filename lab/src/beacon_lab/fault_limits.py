"""Ends faults by themselves: the net under a drill whose process is killed while a Region is broken."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from beacon_lab.defects import Defects
from beacon_lab.faults import FaultKind

__all__ = ["FaultLimits"]


class FaultLimits:
    """Timers of the event loop, one for each fault of a Region; ``defects`` hears of one that breaks."""

    def __init__(self, defects: Defects) -> None:
        self._defects = defects
        self._timers: dict[tuple[str, FaultKind], asyncio.TimerHandle] = {}

    def set(
        self, region: str, kind: FaultKind, limit_s: float, end: Callable[[], Coroutine[Any, Any, None]]
    ) -> None:
        """Call ``end`` after ``limit_s``; it replaces an earlier limit of the same fault."""
        self.lift(region, kind)

        def act() -> None:
            del self._timers[region, kind]
            task = asyncio.get_running_loop().create_task(end(), name=f"the end of {kind} in {region}")
            self._defects.watch(f"the limit of {kind} in {region}", task)

        self._timers[region, kind] = asyncio.get_running_loop().call_later(limit_s, act)

    def lift(self, region: str, kind: FaultKind | None = None) -> None:
        """Forget the limit of ``kind``, or all limits of the Region."""
        for key in [key for key in self._timers if key[0] == region and kind in {None, key[1]}]:
            self._timers.pop(key).cancel()
