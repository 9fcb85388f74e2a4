"""A psycopg_pool whose connections lead to the best endpoint, and move when that changes.

Each connection logs in with a fresh token and is replaced before DSQL's 60 minutes. What becomes of one that
is asked for is :mod:`beacon.client.pool_care`'s to say; idle ones are looked through in the background, so
that a quiet service moves too. :class:`AsyncPool` is the same for asyncio.
"""

from __future__ import annotations

import threading
import weakref
from types import TracebackType
from typing import Any, Self

import psycopg
from psycopg.rows import tuple_row
from psycopg_pool import ConnectionPool, PoolTimeout

from beacon.client.connection import Connection, settle
from beacon.client.dialer import Dialer, Login
from beacon.client.endpoints import Endpoints
from beacon.client.pool_care import PoolCare, PoolPolicy, Verdict
from beacon.client.race import ConnectError

__all__ = ["Pool"]

#: For how long psycopg_pool goes on with one failed connect, its pauses doubling. Short: a request for a
#: connection starts another, and must not find all slots asleep after an outage.
RECONNECT_S = 10.0
_DECIDED = frozenset({"conninfo", "kwargs", "connection_class", "check", "max_lifetime", "close_returns"})


class Pool(ConnectionPool[Connection[Any]]):
    """A pool of connections to the best of ``endpoints``; open it with ``with`` or :meth:`open`.

    ``timeout_s`` is how long a request waits for a connection, ``connect_timeout_s`` how long one connect may
    take in all, ``query_timeout_s`` how long a statement has for its answer. ``autocommit``, ``row_factory``
    and ``prepare_threshold`` are psycopg's, ``options`` further ones of libpq; what else psycopg_pool knows
    (``name``, ``max_idle``, ``configure`` ...) is passed on. Raises ``ValueError`` for what cannot be used.
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
        row_factory: Any = tuple_row,  # noqa: ANN401 - psycopg's RowFactory of any row
        prepare_threshold: int | None = 5,
        ca_file: str | None = None,
        options: dict[str, str] | None = None,
        open: bool = False,  # noqa: A002 - psycopg_pool's
        **others: Any,  # noqa: ANN401 - psycopg_pool's
    ) -> None:
        refuse_decided(others)
        login = Login(user, dbname, connect_timeout_s, ca_file, options or {}, query_timeout_s)
        self._care = PoolCare(endpoints, policy or PoolPolicy(), max_size or min_size)
        self._monotonic = endpoints.monotonic
        self._stop = threading.Event()
        self._keeper: threading.Thread | None = None
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
            self.open()

    def open(self, wait: bool = False, timeout: float = 30.0) -> None:
        """Open the pool as psycopg_pool does, and look after its idle connections from now on."""
        super().open(wait=wait, timeout=timeout)
        if self._keeper is None:
            self._stop.clear()
            # By a weak reference, so that a pool that is dropped ends as psycopg_pool's does.
            arguments = (weakref.ref(self), self._stop, self._care)
            self._keeper = threading.Thread(
                target=_keep, args=arguments, name=f"{self.name}-keeper", daemon=True
            )
            self._keeper.start()

    def close(self, timeout: float = 5.0) -> None:
        """Close the pool as psycopg_pool does."""
        self._stop.set()
        super().close(timeout=timeout)
        if self._keeper is not None and self._keeper is not threading.current_thread():
            self._keeper.join(timeout)

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        self.close()

    def getconn(self, timeout: float | None = None) -> Connection[Any]:
        """A connection that works as far as can be told in ``check_timeout_s``; raises ``PoolTimeout``."""
        deadline = self._monotonic() + (self.timeout if timeout is None else timeout)
        while True:
            connection = super().getconn(max(0.0, deadline - self._monotonic()))
            try:
                fit = self._is_fit(connection, deadline)
            except PoolTimeout:
                super().putconn(connection)  # as it came: it has been idle since its last use
                raise
            except BaseException:
                # A signal's handler may raise anywhere: the connection must not be lost to the pool.
                self._discard(connection)
                raise
            if fit:
                return connection
            self._discard(connection)

    def putconn(self, conn: Connection[Any]) -> None:
        """Give a connection back."""
        conn.used_at = self._care.now()
        super().putconn(conn)

    def _is_fit(self, connection: Connection[Any], deadline: float) -> bool:
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
        return connection.answers(min(check_s, left_s), counts=left_s >= check_s)

    def _discard(self, connection: Connection[Any]) -> None:
        # psycopg_pool opens another one for a connection that comes back closed.
        connection.pgconn.finish()
        super().putconn(connection)

    def look_through(self) -> None:
        """Replace idle connections that should be elsewhere, if there may be any."""
        if not self._care.is_anyone_astray():
            return
        for _ in range(self.get_stats().get("pool_available", 0)):
            try:
                connection = super().getconn(timeout=0.05)
            except psycopg.OperationalError:
                # None is idle any more, too many wait for one, or the pool is closed.
                break
            verdict = self._care.verdict(
                connection.endpoint.host, opened_at=connection.opened_at, used_at=float("inf")
            )
            if verdict is Verdict.REPLACE:
                self._discard(connection)
            else:
                super().putconn(connection)


def _keep(reference: weakref.ref[Pool], stop: threading.Event, care: PoolCare) -> None:
    while not stop.wait(care.pause_s()):
        pool = reference()
        if pool is None:
            return
        pool.look_through()
        del pool


def refuse_decided(others: dict[str, object]) -> None:
    """Raise ``ValueError`` for options of psycopg_pool that are decided here."""
    decided = sorted(_DECIDED & set(others))
    if decided:
        raise ValueError(f"{', '.join(decided)}: decided by beacon; see Pool and PoolPolicy")


def _class_of(dialer: Dialer, care: PoolCare, stop: threading.Event) -> type[Connection[Any]]:
    """The class whose ``connect`` a pool calls for each new connection."""

    class Pooled(Connection[Any]):
        @classmethod
        def connect(
            cls,
            conninfo: str = "",  # noqa: ARG003 - psycopg_pool's, and empty here
            *,
            autocommit: bool = False,
            prepare_threshold: int | None = 5,
            row_factory: Any = None,  # noqa: ANN401 - as for Pool
            **_: Any,  # noqa: ANN401 - psycopg_pool may add a connect_timeout, rounded to seconds
        ) -> Self:
            while wait_s := care.must_wait_s():
                if stop.wait(wait_s):
                    raise psycopg.OperationalError("the pool is being closed")
            try:
                won = dialer.dial()
            except ConnectError as error:
                care.failed(error)
                raise
            connection = cls(won.pgconn, row_factory)
            settle(connection, won, dialer.endpoints, dialer.login)
            care.joined(connection)
            connection.prepare_threshold = prepare_threshold
            connection.autocommit = autocommit
            return connection

    # What logs and error messages call it.
    Pooled.__qualname__ = "Pooled"
    return Pooled
