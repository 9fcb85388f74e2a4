"""Pools that all lose their connections at once, before real fronts; and what lasts of them afterwards."""

from __future__ import annotations

import contextlib
import threading
import time
from bisect import bisect_left
from contextlib import ExitStack
from functools import partial
from typing import Any

import psycopg
import pytest
from tests.instants import FIRST, monotonic_instants
from tests.lab.client.conftest import FAR, NEAR, Client, region_of
from tests.lab.client.test_pool import Held, regions_in, until

from beacon import Connection, Pool, PoolPolicy, connect
from beacon.client.pool_care import Treatment
from beacon.suspend_clock import SuspendAwareClock
from beacon_lab.faults import FaultKind

pytestmark = pytest.mark.lab
POOLS, SIZE = 6, 10


class Herd:
    """Pools in use, each by one thread; when each of their connections was opened, and where."""

    def __init__(self, client: Client, stack: ExitStack) -> None:
        self.opened: list[tuple[float, int, str]] = []
        self.served: dict[int, float] = {}
        self._stop = threading.Event()
        self._threads = []
        for number in range(POOLS):
            pool = Pool(
                client.endpoints(),
                min_size=SIZE,
                query_timeout_s=0.5,
                configure=partial(self._note, number),
                **client.login,
            )
            stack.enter_context(pool)
            self._threads.append(threading.Thread(target=self._use, args=(number, pool)))
            pool.wait(20)
        for thread in self._threads:
            thread.start()
        stack.callback(self.stop)

    def _note(self, number: int, connection: Connection[Any]) -> None:
        self.opened.append((time.monotonic(), number, region_of(connection)))

    def _use(self, number: int, pool: Pool) -> None:
        while not self._stop.wait(0.02):
            with contextlib.suppress(psycopg.OperationalError), pool.connection() as connection:
                connection.execute("SELECT 1")
                if region_of(connection) == FAR:
                    self.served.setdefault(number, time.monotonic())

    def stop(self) -> None:
        """No more requests."""
        self._stop.set()
        for thread in self._threads:
            thread.join()


def test_a_herd_of_pools_is_served_at_once_and_comes_in_two_halves(client: Client) -> None:
    """Every pool has half of its connections within three seconds, and the rest comes slowly."""
    with ExitStack() as stack:
        herd = Herd(client, stack)
        frozen_at = time.monotonic()
        client.inject(NEAR, FaultKind.DSQL_FREEZE)
        until(lambda: sum(region == FAR for _, _, region in herd.opened) >= POOLS * SIZE, 30)
    moved = [(at - frozen_at, number) for at, number, region in herd.opened if region == FAR]
    assert len(herd.served) == POOLS
    assert max(herd.served.values()) - frozen_at < 3.0
    for number in range(POOLS):
        assert sum(at <= 3.0 for at, each in moved if each == number) >= SIZE / 2
    late = sorted(at for at, _ in moved if at > 3.5)
    # The second halves: five connections of each pool in seven seconds, and chance.
    busiest = max((index - bisect_left(late, at - 1.0) + 1 for index, at in enumerate(late)), default=0)
    assert busiest <= 3 * POOLS * SIZE / 2 / 7
    assert max(at for at, _ in moved) > 5.0


def test_a_survivor_with_too_many_connections_is_left_by_no_pool(client: Client) -> None:
    """It refuses logins; the open sessions serve, the drained Region stays empty, the pool fills again."""
    source = Held(client)
    source.out = {NEAR}
    endpoints = client.endpoints(source)
    far, host = client.dsql.fronts[FAR], client.hosts[1]
    with Pool(endpoints, min_size=6, query_timeout_s=2.0, **client.login) as pool:
        pool.wait(10)
        client.dsql.loop.call(lambda: far.connect_limit.refit(rate_per_s=0.0, burst=0))
        for session in list(far._open_connections)[:3]:
            client.dsql.loop.call(session.reset)
        end = time.monotonic() + 4
        while time.monotonic() < end:
            # A request may meet one of those that were reset, once each.
            with contextlib.suppress(psycopg.OperationalError), pool.connection() as connection:
                connection.execute("SELECT 1")
                assert region_of(connection) == FAR
            assert client.open_connections()[NEAR] == 0
            assert (
                endpoints.surroundings.local.passed_over_since(host, endpoints.surroundings.clock()) is None
            )
        assert endpoints.surroundings.local.overloaded_at > 0
        assert len(regions_in(pool)) == 3
        # Three workers that take turns, further and further apart, and not one after the other.
        assert far.connect_limit.refused <= 8
        client.dsql.loop.call(far.connect_limit.refit)
        until(lambda: regions_in(pool) == [FAR] * 6, 20)
    assert client.open_connections()[NEAR] == 0


def test_a_connect_waits_out_a_short_overload(client: Client) -> None:
    """It asks again, at growing distances, while it has time."""
    source = Held(client)
    source.out = {NEAR}
    far = client.dsql.fronts[FAR]
    client.dsql.loop.call(lambda: far.answer_logins_with("53300", "too many connections"))
    healer = threading.Timer(0.3, lambda: client.heal(FAR))
    healer.start()
    with connect(client.endpoints(source), timeout_s=10, **client.login) as connection:
        assert region_of(connection) == FAR
    healer.join()


def test_what_lasts_of_a_real_pool_holds_no_monotonic_instant(client: Client) -> None:
    """Its connections, its care, its endpoints: after it moved, was silent and was given back."""

    def monotonic() -> float:
        return FIRST + time.monotonic()

    endpoints = client.endpoints(clock=SuspendAwareClock(monotonic), monotonic=monotonic)
    policy = PoolPolicy(check_idle_s=0.0, check_timeout_s=0.2)
    with Pool(endpoints, min_size=3, query_timeout_s=0.3, policy=policy, **client.login) as pool:
        pool.wait(10)
        client.inject(NEAR, FaultKind.DSQL_FREEZE)
        with pool.connection() as connection:
            assert region_of(connection) == FAR
        until(lambda: regions_in(pool) == [FAR] * 3, 15)
        with pool.connection() as connection:
            connection.execute("SELECT 1")
        assert pool._care.treatment(client.hosts[0], opened_at=-1.0, used_at=-1.0) is Treatment.REPLACE
        assert monotonic_instants(pool, list(pool._pool), endpoints) == []
