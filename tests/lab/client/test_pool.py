"""Pools before real fronts: they move when an endpoint breaks or is held out, and keep their limits."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from psycopg_pool import PoolTimeout
from tests.lab.client.conftest import FAR, NEAR, Client, region_of

from beacon import AsyncPool, Pool, PoolPolicy, StaticList
from beacon.client.candidates import Candidate
from beacon.client.pool_care import RETIRE_S, PoolCare, Treatment
from beacon.model import Endpoint
from beacon_lab.faults import FaultKind

pytestmark = pytest.mark.lab
QUICK = PoolPolicy(check_idle_s=0.0, check_timeout_s=0.2)


class Held:
    """A source whose last resorts can be changed while it is in use."""

    name = "held"

    def __init__(self, client: Client) -> None:
        self._endpoints = [Endpoint(region, front.host) for region, front in client.dsql.fronts.items()]
        self.out: set[str] = set()

    def fetch(self) -> Any:  # noqa: ANN401 - never asked: it knows everything
        raise AssertionError

    def accept(self, text: str, now: object) -> None:  # noqa: ARG002 - a source's
        raise AssertionError

    def as_of(self) -> None:
        return None

    def candidates(self, now: object) -> tuple[Candidate, ...]:  # noqa: ARG002 - as above
        found = [Candidate(endpoint, endpoint.region in self.out) for endpoint in self._endpoints]
        return tuple(sorted(found, key=lambda candidate: candidate.last_resort))


class Name(Held):
    """A source that names one endpoint, as a DNS record does."""

    region = NEAR

    def candidates(self, now: object) -> tuple[Candidate, ...]:  # noqa: ARG002 - as above
        return tuple(Candidate(endpoint) for endpoint in self._endpoints if endpoint.region == self.region)


def until(condition: Callable[[], bool], limit_s: float = 10.0) -> float:
    """Poll until ``condition`` holds; how long it took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < limit_s, "the condition never held"
        time.sleep(0.01)
    return time.monotonic() - began


def regions_in(pool: Pool) -> list[str]:
    """Where the pool's idle connections lead to."""
    return [region_of(connection) for connection in list(pool._pool)]


def test_a_pool_leads_to_the_best_endpoint(client: Client) -> None:
    """All of its connections, and they work."""
    with Pool(client.endpoints(), min_size=3, **client.login) as pool:
        pool.wait(5)
        with pool.connection() as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        assert regions_in(pool) == [NEAR] * 3


@pytest.mark.parametrize("kind", [FaultKind.DSQL_FREEZE, FaultKind.DSQL_REFUSE, FaultKind.DSQL_RESET])
def test_a_request_gets_a_connection_elsewhere_when_the_endpoint_breaks(
    client: Client, kind: FaultKind
) -> None:
    """Within a check and a race, though every idle connection led there; and soon all are elsewhere."""
    with Pool(client.endpoints(), min_size=5, policy=QUICK, **client.login) as pool:
        pool.wait(5)
        client.inject(NEAR, kind)
        began = time.monotonic()
        with pool.connection() as connection:
            took_s = time.monotonic() - began
            assert region_of(connection) == FAR
            assert connection.execute("SELECT 1").fetchone() == (1,)
        assert took_s < 1.0
        until(lambda: regions_in(pool) == [FAR] * 5)


def test_a_frozen_query_ends_at_its_deadline_and_the_pool_continues(client: Client) -> None:
    """The connection is closed, another one elsewhere takes its place."""
    with Pool(client.endpoints(), min_size=2, query_timeout_s=0.3, **client.login) as pool:
        pool.wait(5)
        client.inject(NEAR, FaultKind.DSQL_FREEZE)
        began = time.monotonic()
        silence = pytest.raises(psycopg.OperationalError, match=f"no answer from {NEAR} within")
        with silence, pool.connection() as connection:
            connection.execute("SELECT 1")
        assert 0.3 <= time.monotonic() - began < 0.6
        with pool.connection() as connection:
            assert region_of(connection) == FAR


def test_one_connection_that_went_silent_is_replaced_and_is_no_verdict(client: Client) -> None:
    """A network drops connections without a word: the endpoint keeps its place."""
    with Pool(client.endpoints(), min_size=2, policy=QUICK, **client.login) as pool:
        pool.wait(5)
        client.inject(NEAR, FaultKind.DSQL_HALFOPEN)
        with pool.connection() as connection:
            assert region_of(connection) == NEAR
            assert connection.execute("SELECT 1").fetchone() == (1,)


def test_connections_to_an_endpoint_that_is_held_out_leave_gradually(client: Client) -> None:
    """All within the time that is set for it, none faster than its share of it, and no request fails."""
    source = Held(client)
    with Pool(client.endpoints(source), min_size=4, **client.login) as pool:
        pool.wait(5)
        source.out = {NEAR}
        began, left = time.monotonic(), [0.0]

        def all_gone() -> bool:
            with pool.connection() as connection:
                connection.execute("SELECT 1")
            gone = regions_in(pool).count(FAR)
            if gone >= len(left):
                left.append(time.monotonic() - began)
            return gone == 4

        took_s = until(all_gone, RETIRE_S + 5)
        assert took_s > 3 * RETIRE_S / 4 * 0.75 - 1.5
        assert took_s < RETIRE_S + 3


def test_a_pool_keeps_its_connections_while_nothing_better_can_be_reached(client: Client) -> None:
    """The endpoint that is held out is the only one that works."""
    source = Held(client)
    with Pool(client.endpoints(source), min_size=2, policy=QUICK, **client.login) as pool:
        pool.wait(5)
        client.inject(FAR, FaultKind.DSQL_REFUSE)
        source.out = {NEAR}
        end = time.monotonic() + 3
        while time.monotonic() < end:
            with pool.connection() as connection:
                assert region_of(connection) == NEAR
                connection.execute("SELECT 1")


def test_a_pool_under_load_never_connects_faster_than_its_rate(client: Client) -> None:
    """Not within any one second, though everything breaks at once."""
    starts: list[float] = []
    policy = PoolPolicy(check_idle_s=0.0, check_timeout_s=0.2, connects_per_s=5)
    with Pool(client.endpoints(), min_size=10, policy=policy, **client.login) as pool:
        take = pool._care._rate.take

        def counted(now: float, *, empty: bool = False) -> float:
            wait_s = take(now, empty=empty)
            if not wait_s:
                starts.append(now)
            return wait_s

        pool._care._rate.take = counted  # type: ignore[method-assign]
        pool.wait(10)
        client.inject(NEAR, FaultKind.DSQL_RESET)
        until(lambda: _served(pool) and regions_in(pool).count(FAR) >= 9, 15)
    assert len(starts) >= 15
    assert all(later - earlier >= 1.0 for earlier, later in zip(starts, starts[5:], strict=False))


def test_a_connection_is_replaced_before_its_age_limit(client: Client) -> None:
    """Also when no request has used it since."""
    with Pool(client.endpoints(), min_size=1, **client.login) as pool:
        pool.wait(5)
        with pool.connection() as connection:
            first = connection
            connection.opened_at -= pool._care.policy.max_age_s
        with pool.connection() as connection:
            assert connection is not first


def test_a_closed_pool_leaves_nothing(client: Client) -> None:
    """No thread and no connection."""
    before = set(threading.enumerate())
    with Pool(client.endpoints(), min_size=3, **client.login) as pool:
        pool.wait(5)
    assert {thread.name for thread in set(threading.enumerate()) - before} <= {"beacon-feed"}
    until(lambda: client.open_connections() == {NEAR: 0, FAR: 0})


def test_a_pool_whose_role_is_wrong_says_that_the_login_was_rejected(client: Client) -> None:
    """By each endpoint, and what to look at; psycopg_pool alone would say that time has run out."""
    with (
        Pool(client.endpoints(), **{**client.login, "user": "not_a_role"}, timeout_s=1.5) as pool,
        pytest.raises(PoolTimeout, match=r"the last connect failed: .*AWS IAM GRANT") as caught,
    ):
        pool.getconn()
    assert {f"{region} login_rejected" in str(caught.value) for region in (NEAR, FAR)} == {True}


@pytest.mark.parametrize("option", ["check", "max_lifetime", "connection_class", "kwargs", "conninfo"])
def test_what_beacon_decides_cannot_be_passed_to_psycopg_pool(client: Client, option: str) -> None:
    """A pool that is not looked after as promised must not come about."""
    decided: dict[str, Any] = {option: None}
    with pytest.raises(ValueError, match=option):
        Pool(client.endpoints(), **decided, **client.login)


def test_a_pool_for_asyncio_moves_too(client: Client) -> None:
    """Away from a frozen endpoint, within a check and a race; nothing is left afterwards."""

    async def story() -> None:
        async with AsyncPool(
            client.endpoints(), min_size=3, query_timeout_s=0.3, policy=QUICK, **client.login
        ) as pool:
            await pool.wait(5)
            async with pool.connection() as connection:
                assert region_of(connection) == NEAR
            await asyncio.to_thread(client.inject, NEAR, FaultKind.DSQL_FREEZE)
            began = time.monotonic()
            async with pool.connection() as connection:
                assert region_of(connection) == FAR
                await connection.execute("SELECT 1")
            assert time.monotonic() - began < 1.0
        left = {task for task in asyncio.all_tasks() if task is not asyncio.current_task()}
        assert not left

    asyncio.run(story())
    client.heal(NEAR)
    until(lambda: client.open_connections() == {NEAR: 0, FAR: 0})


def test_a_request_that_is_cancelled_loses_no_connection(client: Client) -> None:
    """The pool is as large as before."""

    async def story() -> None:
        async with AsyncPool(
            client.endpoints(), min_size=1, max_size=1, policy=QUICK, **client.login
        ) as pool:
            await pool.wait(5)
            await asyncio.to_thread(client.inject, NEAR, FaultKind.DSQL_FREEZE)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(pool.getconn(), 0.05)
            async with pool.connection(timeout=5) as connection:
                await connection.execute("SELECT 1")

    asyncio.run(story())


def test_a_request_holds_its_time_whatever_a_check_may_take(client: Client) -> None:
    """A check has no more time than the request has left."""
    patient = PoolPolicy(check_idle_s=0.0, check_timeout_s=5.0)
    with Pool(client.endpoints(), min_size=1, policy=patient, **client.login) as pool:
        pool.wait(5)
        client.inject(NEAR, FaultKind.DSQL_FREEZE)
        began = time.monotonic()
        with pytest.raises(PoolTimeout):
            pool.getconn(timeout=0.3)
        assert time.monotonic() - began < 1.0


class _InterruptionError(Exception):
    """What a signal's handler raises."""


def test_an_exception_of_a_signals_handler_loses_no_connection(client: Client) -> None:
    """The pool is as large as before."""

    def interrupt(*_: object) -> None:
        raise _InterruptionError

    patient = PoolPolicy(check_idle_s=0.0, check_timeout_s=5.0)
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with Pool(client.endpoints(), min_size=1, max_size=1, policy=patient, **client.login) as pool:
            pool.wait(5)
            client.inject(NEAR, FaultKind.DSQL_FREEZE)
            signal.setitimer(signal.ITIMER_REAL, 0.2)
            with pytest.raises(_InterruptionError):
                pool.getconn()
            with pool.connection(timeout=5) as connection:
                connection.execute("SELECT 1")
    finally:
        signal.signal(signal.SIGALRM, before)


def test_the_keeper_outlives_a_pool_that_is_used_up(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """psycopg_pool refuses it a connection then; it looks again, and closing works."""
    monkeypatch.setattr("beacon.client.pool_care._CALM_S", 0.002)
    monkeypatch.setattr("beacon.client.pool_care._BUSY_S", 0.002)
    monkeypatch.setattr(PoolCare, "is_anyone_astray", lambda _self: True)
    with Pool(client.endpoints(), min_size=1, max_size=1, max_waiting=1, **client.login) as pool:
        pool.wait(5)
        keeper = pool._keeper._thread
        assert keeper is not None
        end = time.monotonic() + 2

        def use() -> None:
            while time.monotonic() < end:
                with contextlib.suppress(psycopg.OperationalError), pool.connection(timeout=1) as connection:
                    connection.execute("SELECT 1")

        threads = [threading.Thread(target=use) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert keeper.is_alive()
    assert pool.closed


def test_a_pool_for_asyncio_closes_also_when_its_keeper_has_failed(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a defect has done to it."""

    def broken(_self: PoolCare) -> bool:
        raise RuntimeError("defect")

    async def story() -> AsyncPool:
        async with AsyncPool(client.endpoints(), min_size=1, **client.login) as pool:
            await pool.wait(5)
            keeper = pool._keeper._task
            assert keeper is not None
            await asyncio.wait({keeper}, timeout=5)
        return pool

    monkeypatch.setattr("beacon.client.pool_care._CALM_S", 0.002)
    monkeypatch.setattr(PoolCare, "is_anyone_astray", broken)
    assert asyncio.run(story()).closed


def test_a_pool_in_which_all_is_well_is_left_alone(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its statistics are those of its users, and it may shrink."""
    monkeypatch.setattr("beacon.client.pool_care._CALM_S", 0.01)
    with Pool(client.endpoints(), min_size=2, **client.login) as pool:
        pool.wait(5)
        looks: list[float] = []
        astray = pool._care.is_anyone_astray

        def counted() -> bool:
            looks.append(time.monotonic())
            return astray()

        monkeypatch.setattr(pool._care, "is_anyone_astray", counted)
        until(lambda: len(looks) >= 5)
        assert pool.get_stats().get("requests_num", 0) == 0


def test_a_pool_that_is_dropped_ends_as_psycopgs_does(client: Client) -> None:
    """No thread holds it, and its connections are closed."""
    pool = Pool(client.endpoints(), min_size=2, name="dropped", **client.login)
    pool.open()
    pool.wait(5)
    dropped = weakref.ref(pool)
    del pool
    gc.collect()
    until(lambda: dropped() is None)
    until(lambda: client.open_connections() == {NEAR: 0, FAR: 0})


def test_connections_of_a_dns_name_move_within_ten_seconds_though_a_list_still_names_the_old_one(
    client: Client,
) -> None:
    """The name says which endpoint; the list behind it only what else there is."""
    clock, near = [0.0], client.hosts[0]
    name = Name(client)
    endpoints = client.endpoints(name, StaticList(client.hosts), clock=lambda: clock[0])
    care = PoolCare(endpoints, PoolPolicy(), 10)
    assert care.treatment(near, opened_at=0.0, used_at=float("inf")) is Treatment.USE
    name.region = FAR
    left = 10
    while left:
        clock[0] += 0.25
        assert clock[0] < RETIRE_S + 1
        verdict = care.treatment(near, opened_at=clock[0], used_at=float("inf"))
        left -= verdict is Treatment.REPLACE


def _served(pool: Pool) -> bool:
    with pool.connection() as connection:
        connection.execute("SELECT 1")
    return True
