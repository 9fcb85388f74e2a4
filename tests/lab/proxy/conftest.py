"""A proxy of this process before the cluster's fronts, in an event loop of its own."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import psycopg
import pytest
from tests.lab.client.conftest import FAR, NEAR, Client, client
from tests.lab.conftest import LoopThread

from beacon import Endpoints
from beacon.client.candidates import Candidate
from beacon.client.sources import Fetched
from beacon.model import Endpoint
from beacon_cli.proxy.proxy import Proxy
from beacon_cli.proxy.running import listening
from beacon_cli.proxy.server_login import tls_context
from beacon_cli.proxy.settings import Settings

__all__ = ["Order", "Proxied", "client", "proxied", "until"]


def until(condition: Callable[[], object], within_s: float = 10.0) -> None:
    """Wait until ``condition`` holds."""
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end, "it did not come to that in time"
        time.sleep(0.01)


class Order:
    """A source whose order a test changes; ``held_out`` is drained."""

    name = "order"

    def __init__(self, client: Client) -> None:
        self._hosts = dict(zip((NEAR, FAR), client.hosts, strict=True))
        self.held_out: str | None = None

    def fetch(self) -> Fetched:
        return Fetched("known")

    def accept(self, text: str, now: datetime) -> None:
        pass

    def as_of(self) -> None:
        return None

    def candidates(self, now: datetime) -> tuple[Candidate, ...]:  # noqa: ARG002 - a source's
        found = [
            Candidate(Endpoint(region, host), last_resort=region == self.held_out)
            for region, host in self._hosts.items()
        ]
        return tuple(sorted(found, key=lambda each: each.last_resort))


@dataclass
class Proxied:
    """A proxy that listens, and how to connect to it."""

    client: Client
    loop: LoopThread
    proxy: Proxy
    endpoints: Endpoints
    listen: str
    order: Order
    stopped: bool = False
    _open: list[psycopg.Connection[Any]] = field(default_factory=list)

    @property
    def parameters(self) -> dict[str, Any]:
        host, _, port = self.listen.rpartition(":")
        if not host:
            host, _, port = self.listen.rpartition("/.s.PGSQL.")
        return {"host": host, "port": port, "user": self.client.dsql.operator_role, "connect_timeout": 10}

    @property
    def environment(self) -> dict[str, str]:
        """For programs of libpq."""
        given = self.parameters
        return {"PGHOST": given["host"], "PGPORT": given["port"], "PGUSER": given["user"]} | {
            "PGDATABASE": "postgres"
        }

    def connect(self, **changed: Any) -> psycopg.Connection[Any]:  # noqa: ANN401 - those of psycopg
        made = psycopg.connect(**{**self.parameters, **changed}, autocommit=True)
        self._open.append(made)
        return made

    def raw(self) -> socket.socket:
        """A plain socket to the proxy."""
        address, _, port = self.listen.rpartition(":")
        return socket.create_connection((address, int(port)), timeout=10)

    def call(self, act: Callable[[], Any]) -> Any:  # noqa: ANN401 - what it returns
        """Run a plain function in the proxy's loop."""

        async def work() -> Any:  # noqa: ANN401 - as above
            return act()

        return self.loop.run(work())

    def region_of(self, connection: psycopg.Connection[Any]) -> str:
        """Where the proxy has connected a client to."""
        links = self.call(lambda: dict(self.proxy._links))
        pid = connection.info.backend_pid
        return next(str(link.endpoint.region) for key, link in links.items() if key[0] == pid)

    def links(self) -> int:
        return len(self.proxy._links)

    def stop(self) -> None:
        if not self.stopped:
            self.stopped = True
            self.loop.run(self.proxy.stop())

    def close(self) -> None:
        for connection in self._open:
            connection.close()
        self.stop()
        self.endpoints.close()


@pytest.fixture
def proxied(client: Client) -> Iterator[Callable[..., Proxied]]:
    """Makes proxies; each is stopped afterwards, and leaves no connection and no task behind."""
    loop = LoopThread()
    made: list[Proxied] = []

    def make(listen: str = "127.0.0.1:0", **settings: Any) -> Proxied:  # noqa: ANN401 - those of Settings
        order = Order(client)
        endpoints = client.endpoints(order)
        context = tls_context(str(client.dsql.authority.ca_file))
        given = Settings(
            **{"listen": listen, "health": "", "connects_per_s": 100, "stop_limit_s": 1, **settings}
        )

        async def start() -> tuple[Proxy, str]:
            proxy = Proxy(endpoints, given, context)
            listener, where = listening(given.listen)
            proxy.start(listener)
            return proxy, where

        proxy, where = loop.run(start())
        made.append(Proxied(client, loop, proxy, endpoints, where, order))
        return made[-1]

    try:
        yield make
        for each in made:
            each.close()
        for region in (NEAR, FAR):
            client.heal(region)
        until(lambda: client.open_connections() == {NEAR: 0, FAR: 0})

        async def others() -> int:
            return len(asyncio.all_tasks()) - 1

        assert loop.run(others()) == 0
        assert loop.mishaps == []
    finally:
        for each in made:
            each.close()
        loop.close()
