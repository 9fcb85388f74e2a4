"""A psycopg_pool for asyncio whose connections lead to the best endpoint, and move when that changes.

Each connection logs in with a fresh token and is replaced before DSQL's 60 minutes.
:mod:`beacon.client.pool_care` decides how the pool treats a connection before it hands it out. A keeper looks
through the idle ones in the background, so that a quiet service moves too.
"""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Any, Self

import psycopg
from psycopg.rows import tuple_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from beacon.client.arguments import require_none
from beacon.client.async_connection import AsyncConnection
from beacon.client.connect_error import ConnectError
from beacon.client.connect_options import Login, connection_problems
from beacon.client.dialer import Dialer
from beacon.client.endpoints import Endpoints
from beacon.client.pool_care import PoolCare, PoolPolicy, Treatment
from beacon.client.pool_options import RECONNECT_S, require_usable
from beacon.client.tasks import Keeper, Returns, open_at_once, pause

__all__ = ["AsyncPool"]


class AsyncPool(AsyncConnectionPool[AsyncConnection[Any]]):
    """A pool of connections to the best endpoint; open it with ``async with`` or :meth:`open`.

    Raises ``ValueError`` for what cannot be used.

    :param endpoints: where to connect.
    :param user: the database role; ``admin`` signs for ``DbConnectAdmin``.
    :param dbname: the database; default ``"postgres"``.
    :param min_size: how many connections the pool keeps open; default 4.
    :param max_size: how many it opens at most; default ``None``: ``min_size``.
    :param timeout_s: how long a request waits for a connection, in seconds; default 10.0.
    :param connect_timeout_s: how long one connect may take in all, in seconds; default 5.0.
    :param query_timeout_s: how long each statement may wait for its answer, in seconds; default 30.0;
        ``None``: no limit.
    :param policy: how connections age, are asked and are replaced; default ``None``: ``PoolPolicy()``.
    :param autocommit: whether each statement commits itself, as in psycopg; default ``False``.
    :param row_factory: what makes a row, as in psycopg; default ``tuple_row``.
    :param prepare_threshold: how often a statement runs before it is prepared, as in psycopg; default 5;
        ``None``: it never is.
    :param ca_file: a file of certificate authorities in place of the system's; default ``None``.
    :param options: further options of libpq, such as ``{"application_name": "orders"}``; default ``None``.
    :param open: whether the constructor opens the pool, with threads only; default ``False``.
    :param others: further parameters of psycopg_pool as they are, such as ``name``, ``max_idle`` (seconds)
        and ``configure``.
    """

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
        open: bool = False,  # noqa: A002 - psycopg_pool's
        **others: Any,  # noqa: ANN401 - psycopg_pool's
    ) -> None:
        require_usable(
            type(self).__name__,
            endpoints,
            others,
            timeout_s=timeout_s,
            connect_timeout_s=connect_timeout_s,
            sizes=(min_size, max_size),
            policy=policy,
            options=options,
            open_now=open,
        )
        require_none(connection_problems(autocommit, row_factory, prepare_threshold))
        login = Login(user, dbname, connect_timeout_s, ca_file, options or {}, query_timeout_s)
        self._care = PoolCare(endpoints, policy or PoolPolicy(), max_size or min_size)
        self._monotonic = endpoints.surroundings.monotonic
        self._stop = threading.Event()
        self._keeper = Keeper(self._care.pause_s, self._stop)
        self._returns = Returns()
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
        if open:
            open_at_once(self)

    async def open(self, wait: bool = False, timeout: float = 30.0) -> None:  # noqa: ASYNC109 - psycopg_pool's
        """Open the pool as psycopg_pool does, and look after its idle connections from now on."""
        await super().open(wait=wait, timeout=timeout)
        self._keeper.start(self, f"{self.name}-keeper")

    async def close(self, timeout: float = 5.0) -> None:  # noqa: ASYNC109 - psycopg_pool's
        """Close the pool as psycopg_pool does."""
        self._stop.set()
        await self._keeper.stop()
        await super().close(timeout=timeout)
        await self._keeper.ended(timeout)
        await self._returns.arrive(timeout)

    async def wait(self, timeout: float = 30.0) -> None:  # noqa: ASYNC109 - psycopg_pool's
        """Wait until the pool is filled as psycopg_pool does; an error says why the last connect failed."""
        try:
            await super().wait(timeout)
        except PoolTimeout as error:
            raise PoolTimeout(f"{error}{self._care.why_not()}") from error

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
        """A connection that works, as far as a check of ``check_timeout_s`` can show.

        Raises ``PoolTimeout``, which says why the last connect failed.
        """
        deadline = self._monotonic() + (self.timeout if timeout is None else timeout)
        while True:
            try:
                connection = await super().getconn(max(0.0, deadline - self._monotonic()))
            except PoolTimeout as error:
                raise PoolTimeout(f"{error}{self._care.why_not()}") from error
            try:
                fit = await self._is_fit(connection, deadline)
            except PoolTimeout:
                await self._give_back(connection)  # as it came: it has been idle since its last use
                raise
            except BaseException:
                # The task was cancelled, or a signal's handler raised: the connection must not be lost.
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
        treatment = self._care.treatment(
            connection.endpoint.host, opened_at=connection.opened_at, used_at=connection.used_at
        )
        if treatment is not Treatment.LOOK:
            return treatment is Treatment.USE
        check_s, left_s = self._care.check_s(connection.query_timeout_s), deadline - self._monotonic()
        if self._care.is_too_late(connection.endpoint.host, left_s):
            raise PoolTimeout("no time is left to see whether an idle connection still works")
        # A request in a hurry says nothing about the endpoint. Its connection is closed all the same: the
        # answer may still come, and the next statement would read it as its own.
        return await connection.answers(min(check_s, left_s), counts=left_s >= check_s)

    async def _discard(self, connection: AsyncConnection[Any]) -> None:
        # psycopg_pool opens another one for a connection that comes back closed.
        connection.pgconn.finish()
        await self._give_back(connection)

    async def _give_back(self, connection: AsyncConnection[Any]) -> None:
        await self._returns.give(super().putconn, connection)

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
            treatment = self._care.treatment(
                connection.endpoint.host, opened_at=connection.opened_at, used_at=float("inf")
            )
            if treatment is Treatment.REPLACE:
                await self._discard(connection)
            else:
                await self._give_back(connection)


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
                if await pause(stop, wait_s):
                    raise psycopg.OperationalError("the pool is being closed")
            try:
                connection = await cls.dialled(
                    dialer,
                    autocommit=autocommit,
                    row_factory=row_factory,
                    prepare_threshold=prepare_threshold,
                )
            except ConnectError as error:
                care.failed(error)
                raise
            care.joined(connection)
            return connection

    # The name in logs and error messages.
    Pooled.__qualname__ = "Pooled"
    return Pooled
