"""A schedule ticks at its pace, may deliver twice, and can be paused and stopped."""

import asyncio
import random

import pytest

from beacon_lab.awslambda.schedule import Schedule


def schedule(events: list[object], *, every_s: float, speed: float) -> Schedule:
    """A schedule that counts up."""
    return Schedule(
        "publish",
        every_s=every_s,
        enqueue=events.append,
        make_event=lambda: len(events),
        speed=speed,
        rng=random.Random(7),  # noqa: S311 (jitter)
    )


async def until_longer(events: list[object], length: int) -> None:
    """Wait, at most 10 s, until there are more events than that."""
    for _ in range(5000):
        if len(events) > length:
            return
        await asyncio.sleep(0.002)
    raise AssertionError(f"no more than {len(events)} events")


def test_it_ticks_at_its_pace() -> None:
    """The first tick comes at once, the eleventh after ten periods at the lab's speed."""
    events: list[object] = []

    async def scenario() -> float:
        loop = asyncio.get_running_loop()
        found = schedule(events, every_s=60, speed=3000)
        started = loop.time()
        found.start()
        await until_longer(events, 10)
        took = loop.time() - started
        await found.stop()
        await found.stop()
        return took

    assert asyncio.run(scenario()) >= 0.2
    assert events[:3] == [0, 1, 2]


def test_a_paused_schedule_skips_and_a_stopped_one_ends() -> None:
    """Skipped ticks are not made up for; it may be started again."""
    events: list[object] = []

    async def scenario() -> None:
        found = schedule(events, every_s=1, speed=100)
        found.pause()
        found.start()
        await asyncio.sleep(0.15)
        assert events == []
        found.resume()
        await until_longer(events, 0)
        await found.stop()
        assert len(events) < 10
        count = len(events)
        await asyncio.sleep(0.05)
        assert len(events) == count
        found.start()
        with pytest.raises(RuntimeError, match="publish"):
            found.start()
        await until_longer(events, count)
        await found.stop()

    asyncio.run(scenario())


def test_what_ends_a_schedule_early_is_reported() -> None:
    """stop() raises the error of the function that was gone."""

    async def scenario() -> None:
        def refuse(_: object) -> None:
            raise RuntimeError("the function was stopped")

        found = Schedule("publish", every_s=1, enqueue=refuse, make_event=dict)
        found.start()
        await asyncio.sleep(0.1)
        with pytest.raises(RuntimeError, match="the function was stopped"):
            await found.stop()

    asyncio.run(scenario())
