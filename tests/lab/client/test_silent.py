"""An endpoint that logs clients in and then answers nothing: they leave it, and for nothing less."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg_pool import PoolTimeout
from tests.lab.client.conftest import FAR, NEAR, Client, region_of

from beacon import AsyncPool, DnsRecord, Pool, PoolPolicy, QueryTimeoutError, SsmDocument, StaticList
from beacon.client.local_view import LocalView
from beacon.client.sources import Fetched, Source
from beacon.document.form import serialize
from beacon.model import Document, Effective, EndpointState, Observed
from beacon_lab.faults import FaultKind

pytestmark = pytest.mark.lab
#: What is promised: elsewhere within twice a statement's time, and half a second.
QUERY_S = 0.8
PROMISE_S = 2 * QUERY_S + 0.5


class FixedDocument(SsmDocument):
    """A document that says that both Regions are well, the near one first."""

    def __init__(self, client: Client) -> None:
        super().__init__("shop", "test", region=NEAR)
        self._hosts = client.hosts

    def fetch(self) -> Fetched:
        now = datetime.now(UTC)
        states = [
            EndpointState(region, host, 5432, Observed.UP, None, Effective.IN, "ok", now, 1.0, 0, now)
            for region, host in zip((NEAR, FAR), self._hosts, strict=True)
        ]
        return Fetched(
            serialize(
                Document(
                    service="shop-test",
                    target="dsql",
                    observer=NEAR,
                    epoch=int(now.timestamp() * 1000),
                    as_of=now,
                    valid_until=now + timedelta(seconds=300),
                    endpoints=tuple(states),
                )
            )
        )


class FixedRecord(DnsRecord):
    """A record that leads to the near Region."""

    def __init__(self, client: Client) -> None:
        super().__init__("db.example.com")
        self._target = client.hosts[0]

    def fetch(self) -> Fetched:
        return Fetched(self._target, 60.0)


def sources_of(client: Client, kind: str) -> list[Source]:
    """Sources that name both endpoints, the near one first."""
    found: dict[str, list[Source]] = {
        "list": [],
        "document": [FixedDocument(client)],
        "name": [FixedRecord(client)],
    }
    return [*found[kind], StaticList(client.hosts)]


def silence(client: Client, region: str = NEAR) -> None:
    """From now on the Region's endpoint logs in and answers nothing."""
    client.inject(region, FaultKind.DSQL_SILENT)


def until_elsewhere(ask: Callable[[], str], limit_s: float = 20.0) -> float:
    """Ask until the far Region answers, as a service that retries does; how long it took."""
    began = time.monotonic()
    while time.monotonic() - began < limit_s:
        try:
            region = ask()
        except (psycopg.OperationalError, PoolTimeout):
            continue
        if region == FAR:
            return time.monotonic() - began
    raise AssertionError(f"the client is still at the silent endpoint after {limit_s:g} s")


def asker(pool: Pool) -> Callable[[], str]:
    """A request to ``pool`` that tells the Region that answered."""

    def ask() -> str:
        with pool.connection() as connection:
            connection.execute("SELECT 1")
            return region_of(connection)

    return ask


@pytest.mark.parametrize("kind", ["list", "document", "name"])
@pytest.mark.parametrize("opened", ["before", "after"])
def test_a_pool_leaves_an_endpoint_that_logs_in_and_answers_nothing(
    client: Client, kind: str, opened: str
) -> None:
    """Whether its connections were open when that began or not; and it stays away, without a failure."""
    endpoints = client.endpoints(*sources_of(client, kind))
    with Pool(endpoints, min_size=4, query_timeout_s=QUERY_S, **client.login) as pool:
        if opened == "before":
            pool.wait(5)
            assert asker(pool)() == NEAR
            silence(client)
        else:
            silence(client)
            pool.wait(5)
        assert until_elsewhere(asker(pool)) <= PROMISE_S
        end = time.monotonic() + 9  # longer than it is passed over
        while time.monotonic() < end:
            assert asker(pool)() == FAR
            time.sleep(0.02)


@pytest.mark.parametrize("kind", ["list", "document", "name"])
def test_connects_leave_an_endpoint_that_logs_in_and_answers_nothing(client: Client, kind: str) -> None:
    """One statement that timed out is enough to ask the next login for an answer."""
    endpoints = client.endpoints(*sources_of(client, kind))
    client.connect(endpoints).close()
    silence(client)

    def ask() -> str:
        with client.connect(endpoints, query_timeout_s=QUERY_S) as connection:
            connection.execute("SELECT 1")
            return region_of(connection)

    assert until_elsewhere(ask) <= PROMISE_S
    assert [ask() for _ in range(20)] == [FAR] * 20


def test_connects_come_back_when_the_endpoint_answers_again(client: Client) -> None:
    """When the time of passing over has run out, and not before: a login proves nothing."""
    endpoints = client.endpoints(local=LocalView(lambda low, _high: low))

    def ask() -> str:
        with client.connect(endpoints, query_timeout_s=QUERY_S) as connection:
            connection.execute("SELECT 1")
            return region_of(connection)

    silence(client)
    until_elsewhere(ask)
    client.heal(NEAR)
    assert ask() == FAR
    end = time.monotonic() + 10
    while ask() != NEAR:
        assert time.monotonic() < end
        time.sleep(0.05)
    assert not endpoints.surroundings.local.must_answer(client.hosts[0])


@pytest.mark.parametrize("style", ["pool", "connect"])
@pytest.mark.parametrize("kind", ["list", "document", "name"])
def test_asyncio_leaves_an_endpoint_that_logs_in_and_answers_nothing(
    client: Client, kind: str, style: str
) -> None:
    """The same, with tasks."""
    endpoints = client.endpoints(*sources_of(client, kind))

    async def until_far(ask: Callable[[], Awaitable[str]]) -> float:
        began = time.monotonic()
        while time.monotonic() - began < 20:
            try:
                if await ask() == FAR:
                    return time.monotonic() - began
            except (psycopg.OperationalError, PoolTimeout):
                continue
        raise AssertionError("the client is still at the silent endpoint")

    async def with_connects() -> float:
        async def ask() -> str:
            async with await client.connect_async(endpoints, query_timeout_s=QUERY_S) as connection:
                await connection.execute("SELECT 1")
                return region_of(connection)

        assert await ask() == NEAR
        await asyncio.to_thread(silence, client)
        return await until_far(ask)

    async def with_a_pool() -> float:
        async with AsyncPool(endpoints, min_size=4, query_timeout_s=QUERY_S, **client.login) as pool:

            async def ask() -> str:
                async with pool.connection() as connection:
                    await connection.execute("SELECT 1")
                    return region_of(connection)

            await pool.wait(5)
            assert await ask() == NEAR
            await asyncio.to_thread(silence, client)
            return await until_far(ask)

    assert asyncio.run(with_a_pool() if style == "pool" else with_connects()) <= PROMISE_S


def hang(client: Client, connection: Any) -> None:  # noqa: ANN401 - any connection of ours
    """The network swallows what this one connection sends, and no other."""
    with socket.socket(fileno=os.dup(connection.pgconn.socket)) as own:
        name = own.getsockname()

    def swallow() -> None:
        for session in list(client.dsql.fronts[NEAR]._open_connections):
            transport = session._outlet._transport
            if transport is not None and transport.get_extra_info("peername") == name:
                session.swallow()

    client.dsql.loop.call(swallow)


def test_one_connection_that_hangs_moves_nothing(client: Client) -> None:
    """Again and again: each time a fresh login answers, and the pool stays where it is."""
    endpoints = client.endpoints()
    with Pool(endpoints, min_size=4, query_timeout_s=QUERY_S, **client.login) as pool:
        pool.wait(5)
        for _ in range(3):
            with pool.connection() as connection:
                hang(client, connection)
                with pytest.raises(QueryTimeoutError):
                    connection.execute("SELECT 1")
            for _ in range(20):
                assert asker(pool)() == NEAR
        end = time.monotonic() + 5
        while endpoints.surroundings.local.must_answer(client.hosts[0]):
            assert time.monotonic() < end
            time.sleep(0.01)
        assert (
            endpoints.surroundings.local.passed_over_since(client.hosts[0], endpoints.surroundings.clock())
            is None
        )
        assert {region_of(connection) for connection in list(pool._pool)} == {NEAR}


def test_a_statement_that_is_only_slow_moves_no_connect(client: Client) -> None:
    """Its time-out has the next login asked, and that is answered."""
    endpoints = client.endpoints()
    for _ in range(3):
        connection = client.connect(endpoints, query_timeout_s=0.3)
        with pytest.raises(QueryTimeoutError):
            connection.execute("SELECT pg_sleep(2)")
        with client.connect(endpoints) as again:
            assert region_of(again) == NEAR


def test_a_check_takes_no_longer_than_a_statement_may(client: Client) -> None:
    """A pool of many connections, all of them silent at once: a request does not wait for each in turn."""
    endpoints = client.endpoints()
    policy = PoolPolicy(check_idle_s=0.0, check_timeout_s=5.0)
    with Pool(endpoints, min_size=8, query_timeout_s=0.4, policy=policy, **client.login) as pool:
        pool.wait(5)
        silence(client)
        assert until_elsewhere(asker(pool)) <= 2 * 0.4 + 0.5
