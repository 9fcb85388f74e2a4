"""One libpq connection, driven by a poll loop of our own so that a deadline holds whatever the server does.

psycopg's timeouts do not hold against a frozen server: ``connect_timeout`` is rounded up to two seconds, a
cancelled query waits for its cancellation, ``statement_timeout`` is not supported by Aurora DSQL. Here every
wait is a ``poll`` with the time that is left; when that is used up the socket is closed, the session dead.

Nothing in an exception comes from libpq's text, which may echo what it was given: reasons are codes.
"""

from __future__ import annotations

import re
import select
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from beacon.dsql import libpq
from beacon.dsql.conninfo import conninfo
from beacon.dsql.libpq import ExecStatus, LibpqError, Polling, Result, Row
from beacon.dsql.poll_events import READABLE, WRITABLE
from beacon.outcome import Reason, classify_message, classify_refusal, classify_sqlstate

__all__ = ["Row", "Session", "SessionError"]

# libpq hands on whatever a server puts into the field.
_SQLSTATE: Final = re.compile(rb"[0-9A-Z]{5}")

Clock = Callable[[], float]


class SessionError(Exception):
    """A connect or a query failed. ``sqlstate`` is set when the server said so itself."""

    def __init__(self, reason: Reason, sqlstate: str | None = None) -> None:
        self.reason = reason
        self.sqlstate = sqlstate
        super().__init__(reason if sqlstate is None else f"{reason} ({sqlstate})")


class Session:
    """An open connection; :meth:`open` makes one. Not to be shared between threads.

    A caller that logs in at several addresses at once takes :meth:`start` and :meth:`proceed` instead.
    """

    __slots__ = ("_clock", "_connection", "_result", "awaits")

    def __init__(self, connection: libpq.Connection, clock: Clock) -> None:
        self._connection = connection
        self._clock = clock
        self._result: Result | None = None
        #: The poll events to wait for before the next :meth:`proceed`.
        self.awaits: int = WRITABLE

    @classmethod
    def start(cls, options: Mapping[str, str], clock: Clock) -> Session:
        """Begin to connect with libpq's ``options`` (:mod:`beacon.dsql.login`); never blocks.

        Continue with :meth:`proceed` each time that :attr:`descriptor` is ready for :attr:`awaits`. ``clock``
        is monotonic, in seconds. Raises :class:`SessionError`; no socket is left behind then.
        """
        session = cls(libpq.Connection(conninfo(options)), clock)
        if session._connection.bad:
            refusal = session._refusal()
            session.close()
            raise refusal
        return session

    def proceed(self) -> bool:
        """Continue to log in; return whether that is complete. Never blocks.

        Raises :class:`SessionError`; no socket is left behind then.
        """
        connection = self._connection
        state = connection.poll()
        try:
            if state == Polling.FAILED:
                raise self._refusal()
            self.awaits = READABLE if state == Polling.READING else WRITABLE
            if state == Polling.OK:
                connection.never_block()
                return True
        except LibpqError:
            refusal = self._refusal()
            self.close()
            raise refusal from None
        except SessionError:
            self.close()
            raise
        return False

    @classmethod
    def open(cls, options: Mapping[str, str], deadline: float, clock: Clock) -> Session:
        """Connect with libpq's ``options`` before ``deadline`` by ``clock`` (monotonic).

        Raises :class:`SessionError`; no socket is left behind then.
        """
        session = cls.start(options, clock)
        session.log_in(deadline)
        return session

    def log_in(self, deadline: float) -> None:
        """Complete what :meth:`start` began before ``deadline``, or close; raise :class:`SessionError`."""
        try:
            self._wait(self.awaits, deadline)
            while not self.proceed():
                self._wait(self.awaits, deadline)
        except BaseException:
            self.close()
            raise

    @property
    def descriptor(self) -> int:
        """The socket's descriptor, to wait for together with others."""
        return self._connection.socket

    def send(self, statement: bytes, parameters: Sequence[str]) -> None:
        """Send one statement and return; :meth:`answer` brings its rows. Raises :class:`SessionError`.

        A statement that the socket does not take at once is a failure: after it the session cannot be used.
        """
        self._result = None
        try:
            self._connection.send(statement, parameters)
            left = self._connection.flush()
        except LibpqError:
            raise self._failure() from None
        if left:
            raise SessionError(Reason.TIMEOUT)

    def query(self, statement: bytes, parameters: Sequence[str], deadline: float) -> list[Row]:
        """Run one statement and return its rows as text before ``deadline``; raise :class:`SessionError`.

        After a time-out :meth:`answer` may still bring the rows; after any other failure without a SQLSTATE
        the session cannot be used again.
        """
        connection = self._connection
        self._result = None
        try:
            connection.send(statement, parameters)
            while connection.flush():
                if self._wait(READABLE | WRITABLE, deadline) & READABLE:
                    connection.consume()
        except LibpqError:
            raise self._failure() from None
        return self.answer(deadline)

    def answer(self, deadline: float) -> list[Row]:
        """The rows of the statement that is under way, like :meth:`query`; for when that timed out."""
        try:
            result = self._last_result(deadline)
        except LibpqError:
            raise self._failure() from None
        if result.status in {ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK}:
            return result.rows
        raise self._server_error(result)

    def close(self) -> None:
        """Tear the connection down at once, awaiting no answer; calling it again does nothing."""
        self._connection.close()

    def _refusal(self) -> SessionError:
        """Why there is no connection."""
        return SessionError(*classify_refusal(self._connection.error_message))

    def _last_result(self, deadline: float) -> Result:
        connection = self._connection
        while True:
            while connection.busy:
                self._wait(READABLE, deadline)
                try:
                    connection.consume()
                except LibpqError:
                    if self._result is None or self._result.status != ExecStatus.FATAL_ERROR:
                        raise
                    # A server that ends the session says why first, and that is what counts.
                    return self._result
            result = connection.result()
            if result is None:
                break
            self._result = result
            if result.status in {ExecStatus.COPY_IN, ExecStatus.COPY_OUT, ExecStatus.COPY_BOTH}:
                raise SessionError(Reason.BAD_ANSWER)
        if self._result is None:
            raise SessionError(Reason.BAD_ANSWER)
        return self._result

    def _failure(self) -> SessionError:
        """What libpq says of its latest failure, as a reason code."""
        return SessionError(classify_message(self._connection.error_message))

    def _server_error(self, result: Result) -> SessionError:
        if result.sqlstate is not None:
            if not _SQLSTATE.fullmatch(result.sqlstate):
                return SessionError(Reason.SERVER_ERROR)
            code = result.sqlstate.decode("ascii")
            return SessionError(classify_sqlstate(code), code)
        return self._failure() if result.status == ExecStatus.FATAL_ERROR else SessionError(Reason.BAD_ANSWER)

    def _wait(self, events: int, deadline: float) -> int:
        remaining_s = deadline - self._clock()
        if remaining_s > 0:
            poller = select.poll()
            poller.register(self._connection.socket, events)
            # Rounded up: a wait of less than a millisecond must not spin.
            ready = poller.poll(int(remaining_s * 1000) + 1)
            if ready:
                return ready[0][1]
        raise SessionError(Reason.TIMEOUT)
