"""psycopg connections to the best endpoint, with a deadline for each answer.

A frozen server keeps a driver waiting for ever: Aurora DSQL has no ``statement_timeout``, and psycopg's own
cancellation waits for the server too. With ``query_timeout_s`` a connection that gets no answer to a
statement in time is closed and :class:`QueryTimeoutError` raised; the next login to its endpoint has to prove
itself then (:mod:`beacon.client.local_view`). A task that is cancelled while it waits for
an answer closes its connection at once, for the same reason.
"""

from __future__ import annotations

import asyncio
import select
import time
from collections.abc import Callable
from typing import Any, overload

import psycopg
from psycopg import generators, pq, waiting
from psycopg.abc import RV, PQGen
from psycopg.rows import AsyncRowFactory, Row, RowFactory, TupleRow, tuple_row

from beacon.client.dialer import Dialer, Login
from beacon.client.endpoints import Endpoints
from beacon.client.race import Won
from beacon.model import Endpoint

__all__ = ["AsyncConnection", "Connection", "QueryTimeoutError", "connect", "connect_async"]

#: How often psycopg looks for signals while it waits (its own default).
_INTERVAL_S = 0.1
#: What an answer that lies there already gets, when its time was over before anybody looked.
_LAST_LOOK_S = 0.05
#: What is sent to see whether anybody answers; it takes no snapshot and begins no transaction of its own.
_CHECK = b"SELECT 1"


class QueryTimeoutError(psycopg.OperationalError):
    """No answer came in time, and the connection is closed. What became of the statement is not known."""

    def __init__(self, region: str, timeout_s: float) -> None:
        self.region, self.timeout_s = region, timeout_s
        super().__init__(f"no answer from {region} within {timeout_s:g} s: the connection is closed")

    def __reduce__(self) -> tuple[type[QueryTimeoutError], tuple[str, float]]:
        return type(self), (self.region, self.timeout_s)


class Connection(psycopg.Connection[Row]):
    """A psycopg connection that knows where it leads to.

    ``query_timeout_s`` may be changed at any time; ``None`` waits for ever, as psycopg does.
    """

    endpoint: Endpoint
    #: When it was opened, and when a pool got it back last, by the endpoints' lasting clock, in seconds.
    opened_at: float
    used_at: float
    query_timeout_s: float | None = None
    #: What is called when it is closed because no answer came in time.
    on_silence: Callable[[], None] | None = None

    def wait(self, gen: PQGen[RV], interval: float = _INTERVAL_S, timeout: float | None = None) -> RV:
        """Wait for an answer as psycopg does, but for no longer than ``query_timeout_s``."""
        allowed_s = self.query_timeout_s
        if timeout is not None or allowed_s is None:
            return super().wait(gen, interval=interval, timeout=timeout)
        for limit_s in (allowed_s, _LAST_LOOK_S):
            began = time.monotonic()
            try:
                return super().wait(gen, interval=interval, timeout=limit_s)
            except psycopg.OperationalError as error:
                if not _is_overdue(error, self.pgconn, began, limit_s):
                    raise
            if not _has_answer(self.pgconn):
                break
        self.pgconn.finish()
        if self.on_silence is not None:
            self.on_silence()
        raise QueryTimeoutError(self.endpoint.region, allowed_s)

    def answers(self, timeout_s: float, *, counts: bool = True) -> bool:
        """Whether the server answers within ``timeout_s``; a connection that does not is closed.

        For idle connections: raises nothing, and leaves no transaction behind. Without ``counts`` a time-out
        is no silence of the endpoint: the time was shorter than an answer may take.
        """
        kept = self.query_timeout_s, self.on_silence
        self.query_timeout_s = timeout_s
        if not counts:
            self.on_silence = None
        try:
            with self.lock:
                self.pgconn.send_query(_CHECK)
                self.wait(generators.execute(self.pgconn))
        except psycopg.Error:
            self.pgconn.finish()
            return False
        finally:
            self.query_timeout_s, self.on_silence = kept
        return self.pgconn.transaction_status == pq.TransactionStatus.IDLE


class AsyncConnection(psycopg.AsyncConnection[Row]):
    """The same for asyncio."""

    endpoint: Endpoint
    opened_at: float
    used_at: float
    query_timeout_s: float | None = None
    on_silence: Callable[[], None] | None = None

    async def wait(self, gen: PQGen[RV], interval: float = _INTERVAL_S, timeout: float | None = None) -> RV:  # noqa: ASYNC109 - psycopg's
        """Wait for an answer, for no longer than ``query_timeout_s``; cancelling closes the connection."""
        allowed_s = self.query_timeout_s
        fileno = self.pgconn.socket
        try:
            if timeout is not None or allowed_s is None:
                return await waiting.wait_async(gen, fileno, interval=interval, timeout=timeout)
            for limit_s in (allowed_s, _LAST_LOOK_S):
                began = time.monotonic()
                try:
                    return await waiting.wait_async(gen, fileno, interval=interval, timeout=limit_s)
                except psycopg.OperationalError as error:
                    if not _is_overdue(error, self.pgconn, began, limit_s):
                        raise
                if not _has_answer(self.pgconn):
                    break
        except (asyncio.CancelledError, KeyboardInterrupt):
            # psycopg would ask the server to cancel, and wait for it for five seconds and more.
            if self.pgconn.transaction_status == pq.TransactionStatus.ACTIVE:
                self.pgconn.finish()
            raise
        self.pgconn.finish()
        if self.on_silence is not None:
            self.on_silence()
        raise QueryTimeoutError(self.endpoint.region, allowed_s)

    async def answers(self, timeout_s: float, *, counts: bool = True) -> bool:
        """See :meth:`Connection.answers`."""
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


@overload
def connect(
    endpoints: Endpoints,
    *,
    user: str,
    dbname: str = ...,
    timeout_s: float = ...,
    query_timeout_s: float | None = ...,
    autocommit: bool = ...,
    prepare_threshold: int | None = ...,
    ca_file: str | None = ...,
    **options: str,
) -> Connection[TupleRow]: ...


@overload
def connect(
    endpoints: Endpoints,
    *,
    user: str,
    row_factory: RowFactory[Row],
    dbname: str = ...,
    timeout_s: float = ...,
    query_timeout_s: float | None = ...,
    autocommit: bool = ...,
    prepare_threshold: int | None = ...,
    ca_file: str | None = ...,
    **options: str,
) -> Connection[Row]: ...


def connect(
    endpoints: Endpoints,
    *,
    user: str,
    dbname: str = "postgres",
    timeout_s: float = 5.0,
    query_timeout_s: float | None = None,
    autocommit: bool = False,
    row_factory: Any = tuple_row,
    prepare_threshold: int | None = 5,
    ca_file: str | None = None,
    **options: str,
) -> Connection[Any]:
    """Connect to the best of ``endpoints``, within ``timeout_s`` in all.

    The token is fresh, the certificate verified in full. When the best endpoint is silent or fails, the next
    one is tried besides (:mod:`beacon.client.race`). ``query_timeout_s`` is the time that each statement has
    for its answer (``None``: no limit); ``options`` are further ones of libpq, such as ``application_name``;
    the rest is psycopg's. Raises :class:`~beacon.client.race.ConnectError`, a ``psycopg.OperationalError``,
    which says what was tried; ``ValueError`` for what cannot be used.
    """
    login = Login(user, dbname, timeout_s, ca_file, options, query_timeout_s)
    won = Dialer(endpoints, login).dial()
    connection = Connection(won.pgconn, row_factory)
    settle(connection, won, endpoints, login)
    connection.prepare_threshold = prepare_threshold
    if autocommit:
        connection.autocommit = True
    return connection


@overload
async def connect_async(
    endpoints: Endpoints,
    *,
    user: str,
    dbname: str = ...,
    timeout_s: float = ...,
    query_timeout_s: float | None = ...,
    autocommit: bool = ...,
    prepare_threshold: int | None = ...,
    ca_file: str | None = ...,
    **options: str,
) -> AsyncConnection[TupleRow]: ...


@overload
async def connect_async(
    endpoints: Endpoints,
    *,
    user: str,
    row_factory: AsyncRowFactory[Row],
    dbname: str = ...,
    timeout_s: float = ...,
    query_timeout_s: float | None = ...,
    autocommit: bool = ...,
    prepare_threshold: int | None = ...,
    ca_file: str | None = ...,
    **options: str,
) -> AsyncConnection[Row]: ...


async def connect_async(
    endpoints: Endpoints,
    *,
    user: str,
    dbname: str = "postgres",
    timeout_s: float = 5.0,
    query_timeout_s: float | None = None,
    autocommit: bool = False,
    row_factory: Any = tuple_row,
    prepare_threshold: int | None = 5,
    ca_file: str | None = None,
    **options: str,
) -> AsyncConnection[Any]:
    """Connect to the best of ``endpoints`` in the running event loop; see :func:`connect`."""
    login = Login(user, dbname, timeout_s, ca_file, options, query_timeout_s)
    won = await Dialer(endpoints, login).dial_async()
    connection = AsyncConnection(won.pgconn, row_factory)
    settle(connection, won, endpoints, login)
    connection.prepare_threshold = prepare_threshold
    if autocommit:
        await set_autocommit(connection, True)
    return connection


async def set_autocommit(connection: AsyncConnection[Any], autocommit: bool) -> None:
    """Set it on a connection that its caller does not have yet; when that fails, nothing is left open."""
    try:
        await connection.set_autocommit(autocommit)
    except BaseException:
        # The task was cancelled: no caller has the connection, so none could close it.
        connection.pgconn.finish()
        raise


def _is_overdue(
    error: psycopg.OperationalError, pgconn: pq.abc.PGconn, began: float, allowed_s: float
) -> bool:
    """Whether a failed wait has run out of time: psycopg's error for it has no public name."""
    # What the server said is an answer, however late it is read.
    late = time.monotonic() - began >= allowed_s
    return late and error.sqlstate is None and pgconn.status == pq.ConnStatus.OK


def _has_answer(pgconn: pq.abc.PGconn) -> bool:
    """Whether something has come that nobody has read: this process, or its event loop, was held up."""
    poller = select.poll()
    poller.register(pgconn.socket, select.POLLIN)
    return bool(poller.poll(0))


def settle(
    connection: Connection[Any] | AsyncConnection[Any],
    won: Won,
    endpoints: Endpoints,
    login: Login,
) -> None:
    """Tell a new connection where it leads to, since when, its limit, and who is to know of its silence."""
    opened_at, host = endpoints.clock(), won.candidate.endpoint.host
    connection.endpoint = won.candidate.endpoint
    connection.opened_at = connection.used_at = opened_at
    connection.query_timeout_s = login.query_timeout_s
    connection.on_silence = lambda: endpoints.local.silent(host, opened_at, endpoints.clock())
