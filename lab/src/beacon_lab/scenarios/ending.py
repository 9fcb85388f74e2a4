"""End tasks, also those that lose a cancellation."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

__all__ = ["end_tasks"]

_AGAIN_S = 0.5


async def end_tasks(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel ``tasks`` until each of them has ended.

    One cancellation is not enough: ``asyncio.wait_for`` before Python 3.12 forgets one that comes as its own
    wait is just over, and so do libraries that are built on it.
    """
    left = {task for task in tasks if not task.done()}
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=_AGAIN_S)
