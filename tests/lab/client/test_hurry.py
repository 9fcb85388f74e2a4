"""Requests to a pool that have no time left or are cancelled: no connection is lost or blamed for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
from psycopg_pool import AsyncConnectionPool, PoolTimeout
from tests.lab.client.conftest import NEAR, Client

from beacon import AsyncConnection, AsyncPool, Endpoints, Pool, PoolPolicy
from beacon_lab.faults import FaultKind

pytestmark = pytest.mark.lab
#: The pool checks every connection before it hands it out.
ALWAYS = PoolPolicy(check_idle_s=0.0)
#: Less than a round trip takes on any machine.
NO_TIME_S = 0.00001


async def until(condition: Callable[[], bool], limit_s: float = 10.0) -> None:
    """Poll until it holds."""
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end
        await asyncio.sleep(0.01)


def available(pool: Pool | AsyncPool) -> int:
    return pool.get_stats().get("pool_available", 0)


def spend_all(pool: Pool | AsyncPool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each request finds its time nearly used up as soon as it has been given a connection."""
    began = pool._monotonic()
    readings = iter([began, began])
    monkeypatch.setattr(pool, "_monotonic", lambda: next(readings, began + 1.0 - NO_TIME_S))


def assert_nothing_is_blamed(client: Client, endpoints: Endpoints) -> None:
    near = client.hosts[0]
    assert endpoints.surroundings.local.silent_at(near) is None
    assert not endpoints.surroundings.local.must_answer(near)


def test_a_request_without_time_gives_the_connection_back_unasked(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It works, and the next request gets it."""
    endpoints = client.endpoints()
    with Pool(endpoints, min_size=1, policy=ALWAYS, **client.login) as pool:
        pool.wait(5)
        connection = pool._pool[0]
        with monkeypatch.context() as patch:
            spend_all(pool, patch)
            with pytest.raises(PoolTimeout):
                pool.getconn(timeout=1.0)
        assert_nothing_is_blamed(client, endpoints)
        with pool.connection(timeout=5) as again:
            assert again is connection
            assert again.execute("SELECT 1").fetchone() == (1,)


def test_an_asyncio_request_without_time_gives_the_connection_back_unasked(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same, with tasks."""
    endpoints = client.endpoints()

    async def story() -> None:
        async with AsyncPool(endpoints, min_size=1, policy=ALWAYS, **client.login) as pool:
            await pool.wait(5)
            connection = pool._pool[0]
            with monkeypatch.context() as patch:
                spend_all(pool, patch)
                with pytest.raises(PoolTimeout):
                    await pool.getconn(timeout=1.0)
            assert_nothing_is_blamed(client, endpoints)
            async with pool.connection(timeout=5) as again:
                assert again is connection

    asyncio.run(story())


@pytest.mark.parametrize("style", ["threads", "asyncio"])
def test_a_check_that_had_less_than_its_time_is_no_silence(client: Client, style: str) -> None:
    """Though it got no answer: the request was in a hurry, and the endpoint is not suspected for that."""
    endpoints = client.endpoints()

    def threads() -> None:
        with Pool(endpoints, min_size=1, policy=ALWAYS, **client.login) as pool:
            pool.wait(5)
            client.inject(NEAR, FaultKind.DSQL_SILENT)
            with pytest.raises(PoolTimeout):
                pool.getconn(timeout=0.2)
            assert_nothing_is_blamed(client, endpoints)

    async def tasks() -> None:
        async with AsyncPool(endpoints, min_size=1, policy=ALWAYS, **client.login) as pool:
            await pool.wait(5)
            await asyncio.to_thread(client.inject, NEAR, FaultKind.DSQL_SILENT)
            with pytest.raises(PoolTimeout):
                await pool.getconn(timeout=0.2)
            assert_nothing_is_blamed(client, endpoints)

    if style == "threads":
        threads()
    else:
        asyncio.run(tasks())


def test_a_check_that_had_its_time_is_a_silence(client: Client) -> None:
    """With the time that the policy gives it, the same is a silence."""
    endpoints = client.endpoints()
    with Pool(endpoints, min_size=1, policy=ALWAYS, **client.login) as pool:
        pool.wait(5)
        client.inject(NEAR, FaultKind.DSQL_SILENT)
        with pool.connection(timeout=5):
            assert endpoints.surroundings.local.silent_at(client.hosts[0]) is not None


class _Held:
    """psycopg_pool waits in the middle of taking a connection back, as it does for its lock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.entered, self.free = asyncio.Event(), asyncio.Event()
        original = AsyncConnectionPool._add_to_pool

        async def add(pool: Any, connection: Any) -> None:  # noqa: ANN401 - psycopg_pool's
            self.entered.set()
            await self.free.wait()
            await original(pool, connection)

        monkeypatch.setattr(AsyncConnectionPool, "_add_to_pool", add)


@pytest.mark.parametrize("returns", ["keeper", "request"])
def test_a_connection_on_its_way_back_is_not_lost_when_its_task_is_cancelled(
    client: Client, monkeypatch: pytest.MonkeyPatch, returns: str
) -> None:
    """Whether the keeper had looked at it or a request had used it."""

    async def story() -> None:
        async with AsyncPool(client.endpoints(), min_size=1, max_size=1, **client.login) as pool:
            await pool.wait(5)
            monkeypatch.setattr(pool._care, "is_anyone_astray", lambda: True)
            connection = await pool.getconn()
            if returns == "keeper":
                await pool.putconn(connection)
            held = _Held(monkeypatch)
            task = asyncio.create_task(
                pool.look_through() if returns == "keeper" else pool.putconn(connection)
            )
            await asyncio.wait_for(held.entered.wait(), 5)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            held.free.set()
            await until(lambda: available(pool) == 1)
            assert await pool.getconn(timeout=5) is connection
            await pool.putconn(connection)

    asyncio.run(story())


def test_closing_an_asyncio_pool_waits_for_connections_on_their_way_back(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The keeper is cancelled while it gives one back: it is closed with the pool."""

    async def story() -> None:
        pool = AsyncPool(client.endpoints(), min_size=1, max_size=1, **client.login)
        await pool.open(wait=True, timeout=5)
        monkeypatch.setattr(pool._care, "is_anyone_astray", lambda: True)
        connection = pool._pool[0]
        held = _Held(monkeypatch)
        task = asyncio.create_task(pool.look_through())
        await asyncio.wait_for(held.entered.wait(), 5)
        task.cancel()
        closing = asyncio.create_task(pool.close())
        await until(lambda: pool.closed)
        held.free.set()
        await asyncio.wait_for(closing, 5)
        assert connection.closed

    asyncio.run(story())


@pytest.mark.parametrize("style", ["pool", "connect"])
def test_a_connect_that_is_cancelled_after_its_login_leaves_nothing_open(
    client: Client, monkeypatch: pytest.MonkeyPatch, style: str
) -> None:
    """No caller has the connection yet, so none could close it."""

    async def story() -> None:
        entered = asyncio.Event()
        kept: list[AsyncConnection[Any]] = []

        async def wait_for_ever(connection: AsyncConnection[Any], _: bool) -> None:
            kept.append(connection)
            entered.set()
            await asyncio.Event().wait()

        monkeypatch.setattr(AsyncConnection, "set_autocommit", wait_for_ever)
        endpoints = client.endpoints()
        pool = AsyncPool(endpoints, min_size=1, **client.login)
        connect = (
            pool.connection_class.connect(autocommit=True)
            if style == "pool"
            else client.connect_async(endpoints, autocommit=True)
        )
        task: asyncio.Task[object] = asyncio.ensure_future(connect)
        await asyncio.wait_for(entered.wait(), 5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert kept[0].closed
        await until(lambda: client.open_connections()[NEAR] == 0)

    asyncio.run(story())
