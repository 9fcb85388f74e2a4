"""The clock that counts frozen time: each row of its table, and threads that read it together."""

import threading
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beacon.suspend_clock import SuspendAwareClock


@dataclass
class Clocks:
    """A monotonic clock that counts only time in use, and a wall clock that an operator can set."""

    used_s: float = 5000.0
    wall_s: float = 1.8e9

    def run(self, seconds: float) -> None:
        self.used_s += seconds
        self.wall_s += seconds

    def freeze(self, seconds: float) -> None:
        self.wall_s += seconds

    def set_wall(self, seconds: float) -> None:
        self.wall_s += seconds


def test_time_in_use_counts_once() -> None:
    """Both clocks agree while the process runs."""
    clocks = Clocks()
    clock = SuspendAwareClock(lambda: clocks.used_s, lambda: clocks.wall_s)
    began = clock()
    clocks.run(7.0)
    assert clock() - began == pytest.approx(7.0)


def test_frozen_time_counts() -> None:
    """A sandbox that slept for half an hour between two invocations knows that it did."""
    clocks = Clocks()
    clock = SuspendAwareClock(lambda: clocks.used_s, lambda: clocks.wall_s)
    began = clock()
    clocks.freeze(1800.0)
    assert clock() - began == pytest.approx(1800.0)


def test_short_freezes_add_up() -> None:
    """Forty milliseconds of sleep after each one of use: at most a twentieth of a second is kept back."""
    clocks = Clocks()
    clock = SuspendAwareClock(lambda: clocks.used_s, lambda: clocks.wall_s)
    began = clock()
    for _ in range(1000):
        clocks.run(0.001)
        clocks.freeze(0.040)
        clock()
    assert 40.95 <= clock() - began <= 41.0 + 1e-6


def test_a_thread_that_is_preempted_between_the_two_readings_gains_nothing() -> None:
    """The noise of a busy machine goes both ways; a clock that takes the larger each time would run fast."""
    clocks, noise = Clocks(), iter([0.0, *[0.03, -0.03] * 500])
    clock = SuspendAwareClock(lambda: clocks.used_s, lambda: clocks.wall_s + next(noise))
    began = clock.__call__()
    for _ in range(900):
        clocks.run(0.001)
        last = clock()
    assert last - began == pytest.approx(0.9, abs=1e-3)


def test_a_wall_clock_that_is_set_back_takes_nothing_away() -> None:
    """The monotonic clock still counts, and later freezes still count."""
    clocks = Clocks()
    clock = SuspendAwareClock(lambda: clocks.used_s, lambda: clocks.wall_s)
    began = clock()
    clocks.run(5.0)
    clocks.set_wall(-3600.0)
    assert clock() - began == pytest.approx(5.0)
    clocks.freeze(100.0)
    assert clock() - began == pytest.approx(105.0)


def test_a_wall_clock_that_is_set_forward_counts_like_a_freeze() -> None:
    """The two cannot be distinguished; everything that is kept looks older."""
    clocks = Clocks()
    clock = SuspendAwareClock(lambda: clocks.used_s, lambda: clocks.wall_s)
    began = clock()
    clocks.set_wall(3600.0)
    assert clock() - began == pytest.approx(3600.0)


@given(st.lists(st.tuples(st.sampled_from(["run", "freeze", "set_wall"]), st.floats(-1e6, 1e6)), max_size=30))
def test_it_never_runs_backwards_and_never_loses_time_in_use(steps: list[tuple[str, float]]) -> None:
    """Whatever happens to the wall clock."""
    clocks = Clocks()
    clock = SuspendAwareClock(lambda: clocks.used_s, lambda: clocks.wall_s)
    began, first_used_s = clock(), clocks.used_s
    before = began
    for step, seconds in steps:
        getattr(clocks, step)(seconds if step == "set_wall" else abs(seconds))
        now = clock()
        assert now >= before
        assert now - began >= clocks.used_s - first_used_s - 1e-3
        before = now


def test_threads_that_read_it_together_agree() -> None:
    """No reading of one thread is lost time for another."""
    clock = SuspendAwareClock()
    began = clock()
    spans: list[float] = []

    def read() -> None:
        for _ in range(2000):
            last = clock()
        spans.append(last - began)

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert clock() - began >= max(spans) - 1e-3
