"""The pool for asyncio: :class:`beacon.client.pool.Pool` with tasks in place of threads; the same rules."""

from __future__ import annotations

import asyncio
import threading
import weakref
from types import TracebackType
from typing import Any, Self

import psycopg
from psycopg.rows import tuple_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from beacon.client.connection import AsyncConnection, set_autocommit, settle
from beacon.client.dialer import Dialer, Login
from beacon.client.endpoints import Endpoints
from beacon.client.pool import RECONNECT_S, refuse_decided
from beacon.client.pool_care import PoolCare, PoolPolicy, Verdict
from beacon.client.race import ConnectError

__all__ = ["AsyncPool"]

#: How often a connect that waits for its turn looks whether the pool is being closed.
_NAP_S = 0.1


class AsyncPool(AsyncConnectionPool[AsyncConnection[Any]]):
    """A pool of connections for asyncio; open it with ``async with`` or :meth:`open`. See ``Pool``."""

    def __init__(
        self,
        endpoints: Endpoints,
        *,
        user: str,
        dbname: str = "postgres",
        min_size: int = 4,
        max_size: int | None = None,
        timeout_s: float = 10.0,
        connect_timeout_s: float = 5.0,
        query_timeout_s: float | None = 30.0,
        policy: PoolPolicy | None = None,
        autocommit: bool = False,
        row_factory: Any = tuple_row,  # noqa: ANN401 - psycopg's AsyncRowFactory of any row
        prepare_threshold: int | None = 5,
        ca_file: str | None = None,
        options: dict[str, str] | None = None,
        **others: Any,  # noqa: ANN401 - psycopg_pool's
    ) -> None:
        refuse_decided(others)
        login = Login(user, dbname, connect_timeout_s, ca_file, options or {}, query_timeout_s)
        self._care = PoolCare(endpoints, policy or PoolPolicy(), max_size or min_size)
        self._monotonic = endpoints.monotonic
        self._stop = threading.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._returning: set[asyncio.Task[None]] = set()
        super().__init__(
            connection_class=_class_of(Dialer(endpoints, login), self._care, self._stop),
            kwargs={
                "autocommit": autocommit,
                "row_factory": row_factory,
                "prepare_threshold": prepare_threshold,
            },
            min_size=min_size,
            max_size=max_size,
            timeout=timeout_s,
            max_lifetime=self._care.policy.max_age_s,
            open=False,
            **{"reconnect_timeout": RECONNECT_S, **others},
        )

    async def open(self, wait: bool = False, timeout: float = 30.0) -> None:  # noqa: ASYNC109 - psycopg_pool's
        """Open the pool as psycopg_pool does, and look after its idle connections from now on."""
        await super().open(wait=wait, timeout=timeout)
        if self._keeper is None:
            # By a weak reference, so that a pool that is dropped ends as psycopg_pool's does.
            self._keeper = asyncio.create_task(
                _keep(weakref.ref(self), self._care), name=f"{self.name}-keeper"
            )

    async def close(self, timeout: float = 5.0) -> None:  # noqa: ASYNC109 - psycopg_pool's
        """Close the pool as psycopg_pool does."""
        self._stop.set()
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        await super().close(timeout=timeout)
        if self._returning:
            await asyncio.wait(self._returning, timeout=timeout)

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        await self.close()

    async def getconn(self, timeout: float | None = None) -> AsyncConnection[Any]:  # noqa: ASYNC109 - as above
        """A connection that works as far as can be told in ``check_timeout_s``; raises ``PoolTimeout``."""
        deadline = self._monotonic() + (self.timeout if timeout is None else timeout)
        while True:
            connection = await super().getconn(max(0.0, deadline - self._monotonic()))
            try:
                fit = await self._is_fit(connection, deadline)
            except PoolTimeout:
                await self._give_back(connection)  # as it came: it has been idle since its last use
                raise
            except BaseException:
                # The request was cancelled: the connection must not be lost to the pool.
                await self._discard(connection)
                raise
            if fit:
                return connection
            await self._discard(connection)

    async def putconn(self, conn: AsyncConnection[Any]) -> None:
        """Give a connection back."""
        conn.used_at = self._care.now()
        await self._give_back(conn)

    async def _is_fit(self, connection: AsyncConnection[Any], deadline: float) -> bool:
        verdict = self._care.verdict(
            connection.endpoint.host, opened_at=connection.opened_at, used_at=connection.used_at
        )
        if verdict is not Verdict.LOOK:
            return verdict is Verdict.USE
        check_s, left_s = self._care.check_s(connection.query_timeout_s), deadline - self._monotonic()
        if self._care.is_too_late(connection.endpoint.host, left_s):
            raise PoolTimeout("no time is left to see whether an idle connection still works")
        # A request in a hurry says nothing about the endpoint; the connection's answer is outstanding, so it
        # is closed all the same.
        return await connection.answers(min(check_s, left_s), counts=left_s >= check_s)

    async def _discard(self, connection: AsyncConnection[Any]) -> None:
        connection.pgconn.finish()
        await self._give_back(connection)

    async def _give_back(self, connection: AsyncConnection[Any]) -> None:
        """Return it to psycopg_pool, which ends also when the caller is cancelled meanwhile."""
        # psycopg_pool waits for its lock, and for a rollback; it loses a connection if that is cancelled.
        returning = asyncio.create_task(super().putconn(connection), name=f"{self.name}-return")
        self._returning.add(returning)
        returning.add_done_callback(self._returning.discard)
        await asyncio.shield(returning)

    async def look_through(self) -> None:
        """Replace idle connections that should be elsewhere, if there may be any."""
        if not self._care.is_anyone_astray():
            return
        for _ in range(self.get_stats().get("pool_available", 0)):
            try:
                connection = await super().getconn(timeout=0.05)
            except psycopg.OperationalError:
                # None is idle any more, too many wait for one, or the pool is closed.
                break
            verdict = self._care.verdict(
                connection.endpoint.host, opened_at=connection.opened_at, used_at=float("inf")
            )
            if verdict is Verdict.REPLACE:
                await self._discard(connection)
            else:
                await self._give_back(connection)


async def _keep(reference: weakref.ref[AsyncPool], care: PoolCare) -> None:
    while True:
        await asyncio.sleep(care.pause_s())
        pool = reference()
        if pool is None:
            return
        await pool.look_through()
        del pool


def _class_of(dialer: Dialer, care: PoolCare, stop: threading.Event) -> type[AsyncConnection[Any]]:
    class Pooled(AsyncConnection[Any]):
        @classmethod
        async def connect(
            cls,
            conninfo: str = "",  # noqa: ARG003 - psycopg_pool's, and empty here
            *,
            autocommit: bool = False,
            prepare_threshold: int | None = 5,
            row_factory: Any = None,  # noqa: ANN401 - as for AsyncPool
            **_: Any,  # noqa: ANN401 - psycopg_pool may add a connect_timeout, rounded to seconds
        ) -> Self:
            while wait_s := care.must_wait_s():
                # In short naps, so that closing the pool does not wait for it.
                await asyncio.sleep(min(wait_s, _NAP_S))
                if stop.is_set():
                    raise psycopg.OperationalError("the pool is being closed")
            try:
                won = await dialer.dial_async()
            except ConnectError as error:
                care.failed(error)
                raise
            connection = cls(won.pgconn, row_factory)
            settle(connection, won, dialer.endpoints, dialer.login)
            care.joined(connection)
            connection.prepare_threshold = prepare_threshold
            await set_autocommit(connection, autocommit)
            return connection

    # What logs and error messages call it.
    Pooled.__qualname__ = "Pooled"
    return Pooled
