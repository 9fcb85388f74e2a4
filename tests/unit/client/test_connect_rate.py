"""How fast one pool connects: each row of connect_rate's table."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beacon.client.connect_rate import REFILL_S, ConnectRate


def shortest(low: float, _high: float) -> float:
    return low


def middle(low: float, high: float) -> float:
    return (low + high) / 2


def longest(_low: float, high: float) -> float:
    return high


def starts_of(rate: ConnectRate, callers: int, now: float = 1000.0) -> list[float]:
    """When so many callers start, each of which waits as the rate says."""
    starts: list[float] = []
    while len(starts) < callers:
        wait_s = rate.take(now)
        now += wait_s
        if wait_s == 0:
            starts.append(now)
    return starts


def filled(size: int, jitter: object = middle, limit: int = 25, refill_s: float = REFILL_S) -> ConnectRate:
    """The rate of a pool that was filled long ago."""
    rate = ConnectRate(limit, size, refill_s, jitter)  # type: ignore[arg-type]
    starts_of(rate, size, -1000.0)
    return rate


def test_the_first_filling_starts_at_once() -> None:
    """A service that starts does not wait for its pool."""
    assert starts_of(ConnectRate(25, 20, jitter=longest), 20) == [1000.0] * 20


def test_a_connection_that_broke_is_replaced_at_once() -> None:
    """And the next one, whatever chance says, soon."""
    rate = filled(20, longest)
    assert rate.take(1000.0) == 0.0
    assert 0.0 < rate.take(1000.0) < 0.21


def test_the_first_half_of_a_lost_pool_starts_within_about_a_second_and_not_at_one_moment() -> None:
    """Half of a pool serves most of what a whole one does."""
    starts = starts_of(filled(20), 10)
    assert starts[0] == 1000.0
    assert starts[-1] == pytest.approx(1000.9)
    assert all(later - earlier == pytest.approx(0.1) for earlier, later in pairwise(starts))


def test_the_second_half_takes_its_time() -> None:
    """One after the other: no pool knows how many others do the same."""
    starts = starts_of(filled(20), 20)
    assert 1000 + REFILL_S <= starts[-1] <= 1000 + REFILL_S + 1.5
    assert all(later - earlier >= 0.35 for earlier, later in pairwise(starts[12:]))


@pytest.mark.parametrize(("size", "at_once"), [(1, 2), (2, 2), (4, 2), (5, 3), (50, 25)])
def test_the_half_is_two_connections_at_the_least(size: int, at_once: int) -> None:
    """A pool of one whose connection breaks twice does not wait for seconds."""
    starts = starts_of(filled(size, shortest, limit=100), at_once + 1)
    assert starts[:at_once] == [1000.0] * at_once
    assert starts[at_once] > 1000.0


def test_the_allowance_is_whole_again_after_its_time_and_no_larger() -> None:
    """However long nothing happens, and though a clock is set forward."""
    rate = filled(20, shortest)
    starts_of(rate, 20)
    starts = starts_of(rate, 11, 1e9)
    assert starts[9] == 1e9
    assert starts[10] - starts[9] == pytest.approx(0.35, abs=1e-3)


@pytest.mark.parametrize(
    ("jitter", "first_s", "second_s"), [(shortest, 0.0, 0.25), (middle, 0.125, 0.5), (longest, 0.25, 0.75)]
)
def test_each_half_has_a_distance_of_its_own_and_each_distance_its_chance(
    jitter: Callable[[float, float], float], first_s: float, second_s: float
) -> None:
    """A first half of eight within about a second; then one in half a second, half as much more or less."""
    starts = starts_of(filled(16, jitter, refill_s=4.0), 24)
    gaps = [later - earlier for earlier, later in pairwise(starts)]
    assert gaps[:7] == [first_s] * 7
    assert gaps[-8:] == [second_s] * 8


def test_connections_that_break_one_by_one_are_each_replaced_at_once() -> None:
    """What is used of the allowance grows again although it was never used up."""
    rate = filled(20)
    assert [rate.take(1000.0 + 10 * number) for number in range(40)] == [0.0] * 40


def test_one_connection_more_than_the_first_filling_starts_at_once_too() -> None:
    """The filling itself uses up nothing of the allowance for what breaks."""
    assert starts_of(ConnectRate(100, 20, jitter=longest), 21) == [1000.0] * 21


def test_asking_again_before_the_time_does_not_put_it_off() -> None:
    """Several workers of a pool ask."""
    rate = filled(16, refill_s=4.0)
    rate.slow_down()
    assert rate.take(1000.0) == 0.5
    assert rate.take(1000.25) == 0.25
    assert rate.take(1000.5) == 0.0


@pytest.mark.parametrize(("jitter", "again_s"), [(shortest, 0.5), (middle, 1.0), (longest, 1.5)])
def test_an_empty_pool_connects_at_once_though_its_allowance_is_used_up(
    jitter: Callable[[float, float], float], again_s: float
) -> None:
    """Its connections broke twice within seconds: a request waits, and one connection serves it."""
    rate = filled(8, jitter, refill_s=40.0)
    now = starts_of(rate, 4)[-1] + 0.5
    assert rate.take(now) > 2.0
    assert rate.take(now, empty=True) == 0.0
    assert rate.take(now, empty=True) == pytest.approx(again_s)
    assert rate.take(now) > 2.0


def test_an_empty_pool_exceeds_its_allowance_by_one_connect_at_the_most() -> None:
    """What an empty pool has taken beforehand is missing afterwards, but only one."""
    rate, now = filled(8, longest, refill_s=1e6), 1010.0
    starts_of(rate, 4)
    for _ in range(50):
        while wait_s := rate.take(now, empty=True):
            now += wait_s
    assert now == pytest.approx(1010 + 49 * 1.5, abs=1.0)
    rate.give_back()
    assert rate.take(now) > 0.0
    rate.give_back()
    assert rate.take(now + 1) == 0.0


def test_an_empty_pool_waits_where_the_cluster_has_too_many_connections() -> None:
    """It is no exception there: the cluster rejects it all the same."""
    rate = filled(16, middle, refill_s=4.0)
    rate.slow_down()
    assert rate.take(1000.0, empty=True) == 0.5
    assert rate.take(1000.5, empty=True) == 0.0
    starts_of(rate, 1, 1000.6)
    assert rate.take(1001.2, empty=True) == 0.0, "what has grown since ends that"


def test_a_refill_in_no_time_leaves_the_limit_alone() -> None:
    """For a service that has the cluster for itself."""
    starts = starts_of(filled(20, shortest, refill_s=0.0), 25)
    assert starts == [1000.0] * 25


def test_a_connect_that_came_to_nothing_uses_nothing_up() -> None:
    """After an outage of everything the first half is still quick."""
    rate = filled(20, shortest)
    for second in range(100):
        assert rate.take(1000.0 + second) == 0.0
        rate.give_back()
    assert starts_of(rate, 10, 1100.0) == [1100.0] * 10


def test_what_came_to_nothing_can_be_used_once_again() -> None:
    """Two that failed are two that may start, and no third one."""
    rate = filled(20, shortest)
    starts_of(rate, 10)
    rate.give_back()
    rate.give_back()
    assert [rate.take(1000.0) for _ in range(2)] == [0.0, 0.0]
    assert rate.take(1000.0) > 0.0


@pytest.mark.parametrize(("jitter", "gap_s"), [(shortest, 0.25), (middle, 0.5), (longest, 0.75)])
def test_too_many_connections_slow_down_a_pool_that_had_lost_none(
    jitter: Callable[[float, float], float], gap_s: float
) -> None:
    """The next one comes after the distance of the second half, and so do those that follow."""
    rate = filled(16, jitter, refill_s=4.0)
    rate.slow_down()
    assert starts_of(rate, 3) == [1000.0 + gap_s * number for number in (1, 2, 3)]


def test_too_many_connections_end_the_quick_half() -> None:
    """What comes then comes as slowly as the second half, from the next one on."""
    rate = filled(20)
    rate.take(1000.0)
    rate.slow_down()
    starts = starts_of(rate, 5, 1000.1)
    assert starts[0] >= 1000.35
    assert all(later - earlier >= 0.35 for earlier, later in pairwise(starts))


@given(
    limit=st.integers(1, 6),
    size=st.integers(1, 30),
    pauses_s=st.lists(st.sampled_from([0.0, 0.001, 0.3, 0.7, 1.0, 5.0]) | st.floats(0, 2), max_size=60),
)
def test_never_more_connects_than_the_limit_start_in_any_second(
    limit: int, size: int, pauses_s: list[float]
) -> None:
    """Any caller, at any time: those that were allowed are a second apart from the one ``limit`` before."""
    rate, now = ConnectRate(limit, size), 1000.0
    starts: list[float] = []
    for pause_s in pauses_s:
        now += pause_s
        wait_s = rate.take(now)
        assert wait_s >= 0
        if wait_s == 0:
            starts.append(now)
    assert all(later - earlier >= 1 - 1e-9 for earlier, later in zip(starts, starts[limit:], strict=False))


@given(limit=st.integers(1, 6), callers=st.integers(1, 30))
def test_the_first_filling_takes_the_time_that_the_limit_takes(limit: int, callers: int) -> None:
    """A wait is no longer than need be: callers that wait as told start, ``limit`` in each second."""
    starts = starts_of(ConnectRate(limit, callers), callers)
    assert starts[-1] - starts[0] == pytest.approx((callers - 1) // limit)


@given(size=st.integers(1, 60), jitter=st.sampled_from([shortest, middle, longest]))
def test_a_lost_pool_is_whole_again_within_twice_its_time(size: int, jitter: object) -> None:
    """Whatever chance says."""
    starts = starts_of(filled(size, jitter, limit=100), size)
    assert starts[-1] - starts[0] <= 2 * REFILL_S


def test_threads_that_come_together_get_no_more_than_the_limit() -> None:
    """It is safe to use from several threads."""
    rate = ConnectRate(25, 200)
    waits: list[float] = []
    threads = [
        threading.Thread(target=lambda: waits.extend(rate.take(1000.0) for _ in range(20))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    assert Counter(waits) == {0.0: 25, 1.0: 135}
