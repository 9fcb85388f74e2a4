"""A schedule ticks at its pace, may deliver twice, and can be paused and stopped."""

import asyncio
import random
from datetime import UTC, datetime

import pytest

from beacon_lab.awslambda.schedule import Schedule, default_event


def schedule(events: list[object], *, every_s: float, speed: float, duplicate_every: int = 0) -> Schedule:
    """A schedule that counts up."""
    return Schedule(
        "publish",
        every_s=every_s,
        enqueue=events.append,
        make_event=lambda: len(events),
        speed=speed,
        duplicate_every=duplicate_every,
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


def test_at_least_once_can_mean_twice() -> None:
    """With the knob, each second tick arrives twice, with the same event."""
    events: list[object] = []

    async def scenario() -> None:
        found = schedule(events, every_s=1, speed=500, duplicate_every=2)
        found.start()
        await until_longer(events, 5)
        await found.stop()

    asyncio.run(scenario())
    assert events[:6] == [0, 1, 1, 3, 4, 4]


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


def test_the_default_event_is_the_schedulers() -> None:
    """A schedule without Input sends this."""
    arn = "arn:aws:scheduler:us-east-1:123456789012:schedule/default/publish"
    event = default_event(
        region="us-east-1", account_id="123456789012", arn=arn, now=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    )
    assert event.pop("id")
    assert event == {
        "version": "0",
        "detail-type": "Scheduled Event",
        "source": "aws.scheduler",
        "account": "123456789012",
        "time": "2026-01-02T03:04:05Z",
        "region": "us-east-1",
        "resources": [arn],
        "detail": "{}",
    }


@pytest.mark.parametrize(("every_s", "speed"), [(0, 1), (-1, 1), (1, 0)])
def test_a_period_that_is_none_is_refused(every_s: float, speed: float) -> None:
    """Such a schedule would spin."""
    with pytest.raises(ValueError, match="publish"):
        schedule([], every_s=every_s, speed=speed)
