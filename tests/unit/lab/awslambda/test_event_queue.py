"""The queue of asynchronous invocations retries, waits and gives up by its table."""

import asyncio
import time
from collections.abc import Sequence

from beacon_lab.awslambda.event_queue import Delivery, EventQueue, backoff_s
from beacon_lab.awslambda.sandbox import InvocationStatus


def attempts_until_end(
    answers: Sequence[InvocationStatus], *, max_age_s: float = 1e9, max_retries: int = 2, speed: float = 1e6
) -> tuple[int, dict[Delivery, int]]:
    """Deliver one event to a function that gives these answers; how often it was called, and the end."""
    asked = 0

    async def deliver(_: object) -> InvocationStatus:
        nonlocal asked
        asked += 1
        return answers[min(asked, len(answers)) - 1]

    async def scenario() -> dict[Delivery, int]:
        queue = EventQueue(deliver, max_age_s=max_age_s, max_retries=max_retries, speed=speed)
        queue.put({})
        for _ in range(10_000):
            if len(queue) == 0:
                break
            await asyncio.sleep(0.001)
        return dict(queue.ended)

    ended = asyncio.run(scenario())
    return asked, ended


def test_the_backoff_doubles_from_a_second_to_five_minutes() -> None:
    """1, 2, 4 … 256, then 300 s however long it lasts."""
    waits = [backoff_s(count) for count in range(1, 13)]
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]
    assert backoff_s(10_000) == 300


def test_ok_ends_it() -> None:
    """The first success is the last attempt."""
    assert attempts_until_end([InvocationStatus.OK]) == (1, {Delivery.DONE: 1})


def test_throttling_is_no_retry() -> None:
    """However often it was throttled, an event still has all its retries."""
    answers = [InvocationStatus.THROTTLED] * 7 + [
        InvocationStatus.FUNCTION_ERROR,
        InvocationStatus.THROTTLED,
        InvocationStatus.TIMEOUT,
        InvocationStatus.OK,
    ]
    assert attempts_until_end(answers, max_retries=2) == (11, {Delivery.DONE: 1})


def test_errors_and_timeouts_use_up_the_retries() -> None:
    """Two retries mean three attempts, none means one."""
    assert attempts_until_end([InvocationStatus.FUNCTION_ERROR, InvocationStatus.TIMEOUT], max_retries=2) == (
        3,
        {Delivery.DROPPED_AFTER_RETRIES: 1},
    )
    assert attempts_until_end([InvocationStatus.FUNCTION_ERROR], max_retries=0) == (
        1,
        {Delivery.DROPPED_AFTER_RETRIES: 1},
    )


def test_age_ends_it() -> None:
    """An event that is always throttled is dropped at its maximum age, not before."""
    started = time.monotonic()
    asked, ended = attempts_until_end([InvocationStatus.THROTTLED], max_age_s=60, speed=200)
    assert ended == {Delivery.DROPPED_BY_AGE: 1}
    assert time.monotonic() - started >= 0.3
    assert 4 <= asked <= 6  # at 0, 1, 3, 7, 15, 31 of 60 s; a busy machine may miss some


def test_a_full_queue_drops_and_counts() -> None:
    """The lab's queue is bounded; close() forgets what waits."""

    async def never(_: object) -> InvocationStatus:
        await asyncio.Event().wait()
        return InvocationStatus.OK

    async def scenario() -> None:
        queue = EventQueue(never, max_age_s=60, max_retries=0)
        for _ in range(1003):
            queue.put({})
        assert len(queue) == 1000
        assert queue.ended == {Delivery.DROPPED_QUEUE_FULL: 3}
        await queue.close()
        assert len(queue) == 0

    asyncio.run(scenario())
