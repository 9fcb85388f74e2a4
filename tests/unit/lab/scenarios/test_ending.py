"""Tasks end, also those that lose a cancellation."""

from __future__ import annotations

import asyncio
import contextlib

from beacon_lab.scenarios.ending import end_tasks


def test_a_task_that_swallows_its_first_cancellations_ends_all_the_same() -> None:
    """What `asyncio.wait_for` does by accident, this task does on purpose, twice."""

    async def stubborn() -> None:
        for _ in range(2):
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(60)
        await asyncio.sleep(60)

    async def run() -> asyncio.Task[None]:
        task = asyncio.create_task(stubborn())
        await asyncio.sleep(0)
        await asyncio.wait_for(end_tasks([task]), 5)
        return task

    assert asyncio.run(run()).cancelled()


def test_tasks_that_have_ended_are_left_alone() -> None:
    """A result or an exception that is there already stays to be read."""

    async def run() -> int:
        task = asyncio.create_task(asyncio.sleep(0, 7))
        await task
        await end_tasks([task])
        return task.result()

    assert asyncio.run(run()) == 7
