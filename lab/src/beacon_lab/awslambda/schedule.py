"""EventBridge Scheduler: puts an event into a function's queue again and again, at least once a period."""

import asyncio
import random
from collections.abc import Callable

__all__ = ["Schedule"]

JITTER = 0.05


class Schedule:
    """Calls ``enqueue`` with ``make_event()`` every ``every_s / speed`` seconds, first soon after start.

    Each tick is late by a random part of the period, at most 5 % of it; lateness does not add up.
    """

    def __init__(
        self,
        name: str,
        *,
        every_s: float,
        enqueue: Callable[[object], None],
        make_event: Callable[[], object],
        speed: float = 1.0,
        rng: random.Random | None = None,
    ) -> None:
        """Nothing happens before ``start``."""
        if every_s <= 0 or speed <= 0:
            raise ValueError(f"schedule {name}: the period and the speed must be positive")
        self.name = name
        self.ticks = 0
        self._period_s = every_s / speed
        self._enqueue = enqueue
        self._make_event = make_event
        self._rng = random.Random() if rng is None else rng  # noqa: S311 - jitter
        self._paused = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> asyncio.Task[None]:
        """Start ticking, on the running loop; its task ends by ``stop`` or by a defect."""
        if self._task is not None:
            raise RuntimeError(f"schedule {self.name} runs already")
        self._task = asyncio.get_running_loop().create_task(self._run(), name=f"schedule {self.name}")
        return self._task

    def pause(self) -> None:
        """Skip ticks until ``resume``; no missed tick follows later."""
        self._paused = True

    def resume(self) -> None:
        """Tick again, at the times that were due anyway."""
        self._paused = False

    async def stop(self) -> None:
        """End. Raises what ended the schedule early, if anything did. Safe to call again."""
        task, self._task = self._task, None
        if task is None:
            return
        task.cancel()
        (ended,) = await asyncio.gather(task, return_exceptions=True)
        if isinstance(ended, Exception):
            raise ended

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            late_s = self._rng.uniform(0.0, JITTER * self._period_s)
            await asyncio.sleep(max(0.0, due + late_s - loop.time()))
            if not self._paused:
                self._tick()
            # Ticks that a stalled machine missed are not made up for.
            due = max(due + self._period_s, loop.time() - self._period_s)

    def _tick(self) -> None:
        self.ticks += 1
        self._enqueue(self._make_event())
