"""One libpq connection, driven by a poll loop of our own so that a deadline holds whatever the server does.

psycopg's timeouts do not hold against a frozen server: ``connect_timeout`` is rounded up to two seconds, a
cancelled query waits for its cancellation, ``statement_timeout`` is not supported by Aurora DSQL. Here every
wait is a ``poll`` with the time that is left; when that is used up the socket is closed, the session dead.

Nothing in an exception comes from libpq's text, which may echo what it was given: reasons are codes.
"""

from __future__ import annotations

import re
import select
from collections.abc import Callable, Sequence
from typing import Final

import psycopg
from psycopg import pq

from beacon.outcome import Reason, classify_login, classify_message, classify_sqlstate
from beacon.verbosity import show_sqlstates, sqlstate_in

__all__ = ["Session", "SessionError"]

_READ: Final = select.POLLIN | select.POLLHUP | select.POLLERR
_WRITE: Final = select.POLLOUT | select.POLLHUP | select.POLLERR
# `sslnegotiation=direct` saves a round trip; libpq knows it from 17 on, and so does the layer's wheel.
_DIRECT_TLS: Final = pq.version() >= 170000
# libpq hands on whatever a server puts into the field.
_SQLSTATE: Final = re.compile(rb"[0-9A-Z]{5}")

Clock = Callable[[], float]
Row = tuple[str | None, ...]


class SessionError(Exception):
    """A connect or a query failed. ``sqlstate`` is set when the server said so itself."""

    def __init__(self, reason: Reason, sqlstate: str | None = None) -> None:
        self.reason = reason
        self.sqlstate = sqlstate
        super().__init__(reason.value if sqlstate is None else f"{reason.value} ({sqlstate})")


class Session:
    """An open connection; :meth:`open` makes one. Not to be shared between threads."""

    __slots__ = ("_clock", "_pgconn", "_result", "opened_at")

    def __init__(self, pgconn: pq.abc.PGconn, clock: Clock) -> None:
        self._pgconn = pgconn
        self._clock = clock
        self._result: pq.abc.PGresult | None = None
        self.opened_at = clock()

    @classmethod
    def open(
        cls,
        *,
        host: str,
        port: int,
        address: str,
        user: str,
        password: str,
        database: str,
        ca_file: str,
        deadline: float,
        clock: Clock,
    ) -> Session:
        """Connect to ``address`` as ``host``, verified in full, before ``deadline`` by ``clock`` (monotonic).

        Raises :class:`SessionError`; no socket is left behind then.
        """
        options = {
            "host": host,
            "hostaddr": address,
            "port": str(port),
            "user": user,
            "password": password,
            "dbname": database,
            "sslmode": "verify-full",
            "sslrootcert": ca_file,
            "sslcertmode": "disable",
            "gssencmode": "disable",
            "application_name": "beacon",
            "client_encoding": "UTF8",
        }
        if _DIRECT_TLS:
            options["sslnegotiation"] = "direct"
        conninfo = " ".join(f"{name}={_quoted(value)}" for name, value in options.items())
        pgconn = pq.PGconn.connect_start(conninfo.encode())
        session = cls(pgconn, clock)
        try:
            show_sqlstates(pgconn)
            session._finish_connect(deadline)
        except psycopg.OperationalError:
            refusal = session._refusal()
            session.close()
            raise refusal from None
        except BaseException:
            session.close()
            raise
        return session

    def query(self, statement: bytes, parameters: Sequence[str], deadline: float) -> list[Row]:
        """Run one statement and return its rows as text before ``deadline``; raise :class:`SessionError`.

        After a time-out :meth:`answer` may still bring the rows; after any other failure without a SQLSTATE
        the session cannot be used again.
        """
        pgconn = self._pgconn
        self._result = None
        try:
            pgconn.send_query_params(statement, [parameter.encode() for parameter in parameters])
            while pgconn.flush():
                if self._wait(_READ | _WRITE, deadline) & _READ:
                    pgconn.consume_input()
        except psycopg.OperationalError:
            # `from None`: the driver's text may hold what the server or the network put into it.
            raise SessionError(classify_message(pgconn.get_error_message())) from None
        return self.answer(deadline)

    def answer(self, deadline: float) -> list[Row]:
        """The rows of the statement that is under way, like :meth:`query`; for when that timed out."""
        try:
            result = self._last_result(deadline)
        except psycopg.OperationalError:
            raise SessionError(classify_message(self._pgconn.get_error_message())) from None
        if result.status in {pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK}:
            return [
                tuple(_text(result.get_value(row, column)) for column in range(result.nfields))
                for row in range(result.ntuples)
            ]
        raise self._server_error(result)

    def close(self) -> None:
        """Tear the connection down at once, awaiting no answer; calling it again does nothing."""
        self._pgconn.finish()

    def _finish_connect(self, deadline: float) -> None:
        pgconn = self._pgconn
        if pgconn.status == pq.ConnStatus.BAD:
            raise self._refusal()
        state = pq.PollingStatus.WRITING
        while state != pq.PollingStatus.OK:
            if state == pq.PollingStatus.FAILED:
                raise self._refusal()
            self._wait(_READ if state == pq.PollingStatus.READING else _WRITE, deadline)
            state = pq.PollingStatus(pgconn.connect_poll())
        pgconn.nonblocking = 1

    def _refusal(self) -> SessionError:
        """Why there is no connection."""
        sqlstate = sqlstate_in(self._pgconn.error_message)
        if sqlstate is not None:
            return SessionError(classify_login(sqlstate), sqlstate)
        return SessionError(classify_message(self._pgconn.get_error_message()))

    def _last_result(self, deadline: float) -> pq.abc.PGresult:
        pgconn = self._pgconn
        while True:
            while pgconn.is_busy():
                self._wait(_READ, deadline)
                try:
                    pgconn.consume_input()
                except psycopg.OperationalError:
                    if self._result is None or self._result.status != pq.ExecStatus.FATAL_ERROR:
                        raise
                    # A server that ends the session says why first, and that is what counts.
                    return self._result
            result = pgconn.get_result()
            if result is None:
                break
            self._result = result
            if result.status in {pq.ExecStatus.COPY_IN, pq.ExecStatus.COPY_OUT, pq.ExecStatus.COPY_BOTH}:
                raise SessionError(Reason.BAD_ANSWER)
        if self._result is None:
            raise SessionError(Reason.BAD_ANSWER)
        return self._result

    def _server_error(self, result: pq.abc.PGresult) -> SessionError:
        sqlstate = result.error_field(pq.DiagnosticField.SQLSTATE)
        if sqlstate is not None:
            if not _SQLSTATE.fullmatch(sqlstate):
                return SessionError(Reason.SERVER_ERROR)
            code = sqlstate.decode("ascii")
            return SessionError(classify_sqlstate(code), code)
        if result.status == pq.ExecStatus.FATAL_ERROR:
            return SessionError(classify_message(self._pgconn.get_error_message()))
        return SessionError(Reason.BAD_ANSWER)

    def _wait(self, events: int, deadline: float) -> int:
        remaining_s = deadline - self._clock()
        if remaining_s > 0:
            poller = select.poll()
            poller.register(self._pgconn.socket, events)
            # Rounded up: a wait of less than a millisecond must not spin.
            ready = poller.poll(int(remaining_s * 1000) + 1)
            if ready:
                return ready[0][1]
        raise SessionError(Reason.TIMEOUT)


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8", "replace")
