"""Lambda's queue of asynchronous invocations: at-least-once, with the documented retries and ages.

| an attempt ends | the event is |
| --- | --- |
| ok | done |
| throttled | back to the queue, again after 1 s, doubled each time up to 5 min, until its maximum age |
| function error or time-out | again after 1 min, then after 2 min, at most ``max_retries`` times |
| its maximum age passes while it waits | dropped |
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum, unique

from beacon_lab.awslambda.sandbox import InvocationStatus

__all__ = ["Delivery", "EventQueue", "backoff_s"]

THROTTLE_FIRST_S = 1.0
THROTTLE_MOST_S = 300.0
RETRY_WAITS_S = (60.0, 120.0)
LENGTH_LIMIT = 1000


@unique
class Delivery(StrEnum):
    """How an event ended."""

    DONE = "done"
    DROPPED_BY_AGE = "dropped_by_age"
    DROPPED_AFTER_RETRIES = "dropped_after_retries"
    DROPPED_QUEUE_FULL = "dropped_queue_full"


def backoff_s(throttles: int) -> float:
    """The wait after the given number of throttled attempts in a row, in seconds of Lambda's time."""
    return min(THROTTLE_MOST_S, THROTTLE_FIRST_S * 2.0 ** min(throttles - 1, 16))


@dataclass(slots=True)
class _Attempts:
    throttles: int = 0
    errors: int = 0


class EventQueue:
    """Events on their way to one function. All of Lambda's times are divided by ``speed``."""

    def __init__(
        self,
        deliver: Callable[[object], Awaitable[InvocationStatus]],
        *,
        max_age_s: float,
        max_retries: int,
        speed: float = 1.0,
    ) -> None:
        """``deliver`` makes one attempt; ``max_age_s`` and ``max_retries`` are those of EventInvokeConfig."""
        self._deliver = deliver
        self._max_age_s = max_age_s
        self._max_retries = max_retries
        self._speed = speed
        self._waiting: set[asyncio.Task[None]] = set()
        self.ended: Counter[Delivery] = Counter()

    def __len__(self) -> int:
        """The events that are neither delivered nor dropped."""
        return len(self._waiting)

    def put(self, event: object) -> None:
        """Accept an event; its first attempt starts at once. Must be called on the running loop."""
        if len(self._waiting) >= LENGTH_LIMIT:
            self.ended[Delivery.DROPPED_QUEUE_FULL] += 1
            return
        task = asyncio.get_running_loop().create_task(self._carry(event), name="asynchronous invocation")
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)

    async def close(self) -> None:
        """Forget the events that wait."""
        waiting = list(self._waiting)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    async def _carry(self, event: object) -> None:
        loop = asyncio.get_running_loop()
        dies_at = loop.time() + self._max_age_s / self._speed
        attempts = _Attempts()
        while True:
            wait_s = self._next_wait_s(await self._deliver(event), attempts)
            if isinstance(wait_s, Delivery):
                self.ended[wait_s] += 1
                return
            left_s = dies_at - loop.time()
            await asyncio.sleep(max(0.0, min(wait_s / self._speed, left_s)))
            if loop.time() >= dies_at:
                self.ended[Delivery.DROPPED_BY_AGE] += 1
                return

    def _next_wait_s(self, kind: InvocationStatus, attempts: _Attempts) -> float | Delivery:
        """How long to wait before the next attempt, or the event's end."""
        if kind is InvocationStatus.OK:
            return Delivery.DONE
        if kind is InvocationStatus.THROTTLED:
            attempts.throttles += 1
            return backoff_s(attempts.throttles)
        attempts.throttles = 0
        attempts.errors += 1
        if attempts.errors > self._max_retries:
            return Delivery.DROPPED_AFTER_RETRIES
        return RETRY_WAITS_S[min(attempts.errors, len(RETRY_WAITS_S)) - 1]
