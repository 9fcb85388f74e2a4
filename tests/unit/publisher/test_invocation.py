"""Which rounds an invocation makes, and that it is over in time, with a clock that the test holds."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest

from beacon.outcome import Reason
from beacon.publisher.canary import CanaryReport, WriteCanary
from beacon.publisher.invocation import Invocation, RoundSchedule
from beacon.publisher.round import Publisher

NOON = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)


class Bench:
    """An invocation whose rounds and canary take as long as the test says; it notes when each began."""

    def __init__(
        self, every_s: float, *, worst_s: float = 9.0, speed: float = 1.0, late: float = 0.0
    ) -> None:
        self.time = 0.0
        self.round_s, self.canary_s, self.limit_s = 0.5, 0.2, 55.0
        self.old_news = False
        self.began: list[tuple[str, float]] = []
        self.invocation = Invocation(
            cast("Publisher", self),
            RoundSchedule(every_s, worst_s, speed),
            cast("WriteCanary", _Canary(self)),
            clock=lambda: self.time,
            sleep=self.sleep,
            now=lambda: NOON + timedelta(seconds=self.time),
            jitter=lambda low, high: low + late * (high - low),
        )

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.time += seconds

    def note(self, what: str, seconds: float) -> None:
        self.began.append((what, self.time))
        self.time += seconds

    def run(self) -> object:
        self.note("round", self.round_s)
        return object()

    def is_old_news(self) -> bool:
        return self.old_news

    def handle(self, event: object) -> list[float]:
        """Handle ``event``; return when the rounds began."""
        began, start = len(self.began), self.time
        list(self.invocation.run(event, lambda: self.limit_s - (self.time - start)))
        return [round(when, 3) for what, when in self.began[began:] if what == "round"]


class _Canary:
    def __init__(self, bench: Bench) -> None:
        self._bench = bench

    def run(self) -> CanaryReport:
        self._bench.note("canary", self._bench.canary_s)
        return CanaryReport(Reason.OK, 1.0)


def tick(late_s: float = 0.0) -> dict[str, str]:
    return {"source": "beacon.schedule", "at": (NOON - timedelta(seconds=late_s)).isoformat()}


@pytest.mark.parametrize(
    ("every_s", "starts"),
    [
        (10, [0, 10, 20, 30, 40]),
        (20, [0, 20, 40]),
        (30, [0, 30]),
        (60, [0]),
        (120, [0]),
        (300, [0]),
    ],
)
def test_a_tick_makes_the_rounds_of_its_minute(every_s: int, starts: list[float]) -> None:
    """A period apart from start to start, the last over by second 50."""
    bench = Bench(every_s)
    assert bench.handle(tick()) == starts
    assert bench.time <= 50


@pytest.mark.parametrize("late", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("round_s", [0.01, 5.0, 9.0])
def test_an_invocation_is_over_by_second_50(late: float, round_s: float) -> None:
    """However long its rounds take, up to their worst, and whatever the jitter."""
    bench = Bench(10, late=late)
    bench.round_s = round_s
    assert len(bench.handle(tick())) >= 4
    assert bench.time <= 50.5


def test_rounds_that_were_missed_are_not_made_up_for() -> None:
    """A slow one is followed by the next whole period."""
    bench = Bench(10)
    bench.round_s = 12.0
    assert bench.handle(tick()) == [0, 20, 40]


@pytest.mark.parametrize(("late_s", "starts"), [(1, [0, 9, 19, 29, 39]), (35, [0, 5]), (48, [0]), (100, [0])])
def test_a_late_tick_ends_with_its_own_minute(late_s: float, starts: list[float]) -> None:
    """It makes one round at the least, and takes nothing of the next minute."""
    bench = Bench(10)
    assert bench.handle(tick(late_s)) == starts
    assert bench.time <= max(50 - late_s, 1)


def test_a_doubled_tick_does_not_move_the_rounds() -> None:
    """The second of the two waits for the first, finds its minute over and makes one round."""
    bench = Bench(10)
    event = tick()
    bench.handle(event)
    assert bench.handle(event) == [40.5]


@pytest.mark.parametrize("at", [None, 7, "", "noon", "2026-11-22T12:00:00", "2036-11-22T12:00:00Z", "<x>"])
def test_a_tick_whose_time_cannot_be_believed_begins_now(at: object) -> None:
    """The placeholder, another type, a time without zone, one from the future."""
    assert Bench(30).handle({"source": "beacon.schedule", "at": at}) == [0, 30]


def test_no_round_begins_that_the_invocation_has_no_time_for() -> None:
    """Whatever the minute says: a round is not to be cut off between two writes."""
    bench = Bench(10)
    bench.limit_s = 25.0
    assert bench.handle(tick()) == [0, 10]


def test_a_speed_shortens_the_waits_and_the_minute() -> None:
    """Five times as fast: a minute is 12 s."""
    bench = Bench(10, speed=5.0)
    bench.round_s = 0.1
    assert bench.handle(tick()) == [0, 2, 4, 6, 8]


@pytest.mark.parametrize(
    "event", [{"source": "beacon.health", "reason": "timeout"}, {}, None, "x", [1], {"source": 7}]
)
def test_any_other_event_makes_one_round(event: object) -> None:
    """The edge trigger, and an operator's start by hand; no canary either."""
    bench = Bench(10)
    assert bench.handle(event) == [0]
    assert [what for what, _ in bench.began] == ["round"]


def test_old_news_makes_no_round() -> None:
    """Only for the edge trigger: a tick is a heartbeat, too."""
    bench = Bench(60)
    bench.old_news = True
    assert bench.handle({"source": "beacon.health", "reason": "timeout"}) == []
    assert bench.handle(tick()) == [0]
    assert bench.handle({}) == [bench.began[-1][1]]


def test_the_canary_writes_once_with_each_tick_after_the_first_round() -> None:
    """Failover does not wait for it."""
    bench = Bench(30)
    bench.handle(tick())
    assert [what for what, _ in bench.began] == ["round", "canary", "round"]


def test_without_a_canary_nothing_is_written() -> None:
    """It is off by default."""
    bench = Bench(60)
    reports: list[object] = []
    publisher = cast("Publisher", bench)
    alone = Invocation(publisher, RoundSchedule(60, 9.0), clock=lambda: bench.time, sleep=bench.sleep)
    never: Callable[[], float] = lambda: 55.0  # noqa: E731
    reports.extend(alone.run(tick(), never))
    assert len(reports) == 1
