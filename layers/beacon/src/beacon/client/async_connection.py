"""psycopg connections to the best endpoint, with a time limit for each answer, for asyncio.

:mod:`beacon.client.query_timeout` says what happens when an answer does not come in time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Self

import psycopg
from psycopg import generators, pq
from psycopg.abc import RV, PQGen
from psycopg.rows import AsyncRowFactory, Row, tuple_row

from beacon.client.arguments import require_none
from beacon.client.connect_options import Login, connection_problems
from beacon.client.dialer import Dialer
from beacon.client.endpoints import Endpoints
from beacon.client.query_timeout import QueryTimeoutError, has_answer, is_overdue, settle, time_limits
from beacon.client.tasks import wait_for
from beacon.model import Endpoint

__all__ = ["AsyncConnection", "connect_async"]

#: How often psycopg looks for signals while it waits (its own default), in seconds.
_INTERVAL_S = 0.1
#: The statement that asks for a sign of life; it takes no snapshot and begins no transaction of its own.
_CHECK = b"SELECT 1"


class AsyncConnection(psycopg.AsyncConnection[Row]):
    """A psycopg connection that knows its endpoint.

    ``query_timeout_s`` may be changed at any time; ``None`` waits without a limit, as psycopg does.
    """

    endpoint: Endpoint
    #: When it was opened, and when a pool got it back last, by the endpoints' lasting clock, in seconds.
    opened_at: float
    used_at: float
    query_timeout_s: float | None = None
    #: What is called when it is closed because no answer came in time.
    on_silence: Callable[[], None] | None = None

    @classmethod
    async def dialled(
        cls,
        dialer: Dialer,
        *,
        autocommit: bool,
        row_factory: Any,  # noqa: ANN401 - psycopg's factory of any row
        prepare_threshold: int | None,
    ) -> Self:
        """Connect to the best endpoint of ``dialer``."""
        won = await dialer.dial_async()
        connection = cls(won.pgconn, row_factory)
        settle(connection, won, dialer.surroundings, dialer.login)
        connection.prepare_threshold = prepare_threshold
        try:
            await connection.set_autocommit(autocommit)
        except BaseException:
            # The caller was interrupted and has no connection yet, so it could not close this one.
            connection.pgconn.finish()
            raise
        return connection

    async def wait(self, gen: PQGen[RV], interval: float = _INTERVAL_S, timeout: float | None = None) -> RV:  # noqa: ASYNC109 - psycopg's
        """Wait for an answer as psycopg does, but for no longer than ``query_timeout_s``."""
        allowed_s = self.query_timeout_s
        if timeout is not None or allowed_s is None:
            return await wait_for(self, gen, interval, timeout)
        for limit_s in time_limits(allowed_s):
            began = time.monotonic()
            try:
                return await wait_for(self, gen, interval, limit_s)
            except psycopg.OperationalError as error:
                if not is_overdue(error, self.pgconn, began, limit_s):
                    raise
            if not has_answer(self.pgconn):
                break
        self.pgconn.finish()
        if self.on_silence is not None:
            self.on_silence()
        raise QueryTimeoutError(self.endpoint.region, allowed_s)

    async def answers(self, timeout_s: float, *, counts: bool = True) -> bool:
        """Whether the server answers within ``timeout_s``; a connection that does not is closed.

        For idle connections: raises nothing, and leaves no transaction behind. Without ``counts`` a time-out
        is no silence of the endpoint: the time was shorter than an answer may take.
        """
        kept = self.query_timeout_s, self.on_silence
        self.query_timeout_s = timeout_s
        if not counts:
            self.on_silence = None
        try:
            async with self.lock:
                self.pgconn.send_query(_CHECK)
                await self.wait(generators.execute(self.pgconn))
        except psycopg.Error:
            self.pgconn.finish()
            return False
        finally:
            self.query_timeout_s, self.on_silence = kept
        return self.pgconn.transaction_status == pq.TransactionStatus.IDLE


async def connect_async(
    endpoints: Endpoints,
    *,
    user: str,
    dbname: str = "postgres",
    timeout_s: float = 5.0,
    query_timeout_s: float | None = 30.0,
    autocommit: bool = False,
    row_factory: AsyncRowFactory[Row] | None = None,
    prepare_threshold: int | None = 5,
    ca_file: str | None = None,
    **options: str,
) -> AsyncConnection[Row]:
    """Connect to the best endpoint.

    The token is fresh, the certificate verified in full. When the best endpoint is silent or fails, the
    connect tries the next one as well (:mod:`beacon.client.race`). Raises
    :class:`~beacon.client.connect_error.ConnectError`, a ``psycopg.OperationalError`` that says what was
    tried, and ``ValueError`` for what cannot be used.

    :param endpoints: where to connect.
    :param user: the database role; ``admin`` signs for ``DbConnectAdmin``.
    :param dbname: the database; default ``"postgres"``.
    :param timeout_s: how long the connect may take in all, in seconds; default 5.0.
    :param query_timeout_s: how long each statement may wait for its answer, in seconds; default 30.0;
        ``None``: no limit.
    :param autocommit: whether each statement commits itself, as in psycopg; default ``False``.
    :param row_factory: what makes a row, as in psycopg; default ``None``: tuples.
    :param prepare_threshold: how often a statement runs before it is prepared, as in psycopg; default 5;
        ``None``: it never is.
    :param ca_file: a file of certificate authorities in place of the system's; default ``None``.
    :param options: further options of libpq by name, as text, such as ``application_name="orders"``.
    """
    require_none(connection_problems(autocommit, row_factory, prepare_threshold))
    login = Login(user, dbname, timeout_s, ca_file, options, query_timeout_s)
    connection: AsyncConnection[Row] = await AsyncConnection.dialled(
        Dialer(endpoints, login),
        autocommit=autocommit,
        row_factory=row_factory or tuple_row,
        prepare_threshold=prepare_threshold,
    )
    return connection
