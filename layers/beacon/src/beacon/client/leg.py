"""One leg of a race: the way of one candidate from its host name to a login that counts.

A leg looks the host up where it knows no fresh address, connects, and logs in. Where the endpoint has failed
or was silent before, the login has to answer ``SELECT 1`` as well. A leg never blocks: :meth:`Leg.advance`
takes the next step, and says for which reason the leg has failed. :mod:`beacon.client.race` decides which
legs start, and what a failure says about an endpoint.

What logs in is the caller's: psycopg's wrapper of libpq for the client, a login of its own for a proxy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Generic, Protocol, TypeVar

import psycopg
from psycopg import pq

from beacon.client.candidates import Candidate
from beacon.client.surroundings import Surroundings
from beacon.dsql.poll_events import READABLE, WRITABLE
from beacon.dsql.resolver import Flight
from beacon.model import Endpoint
from beacon.outcome import Reason, classify_message, classify_refusal

__all__ = ["Leg", "LoggingIn", "StartLogin"]

#: An address that was looked up in the last ``_FRESH_S`` is used without a new look-up. An older address is
#: used only when its new look-up takes longer than ``_LOOK_UP_S``.
_FRESH_S, _LOOK_UP_S = 30.0, 0.05
#: The share of the stagger that a login has for its answer to ``SELECT 1`` before its silence counts. Half is
#: enough: the stagger is as long as three usual logins, each of about six round trips, and an answer takes
#: one round trip. More than half is too much: the login itself has used a part of the stagger, and the first
#: race must leave an endpoint that stays silent.
_ANSWER_SHARE = 0.5
#: The statement that a login has to answer where its endpoint failed or was silent; it takes no snapshot.
_QUESTION = b"SELECT 1"
_WITHIN: Final = {pq.PollingStatus.READING: READABLE, pq.PollingStatus.WRITING: WRITABLE}


class LoggingIn(Protocol):
    """A connection on its way, with those methods of psycopg's ``PGconn`` that a race uses."""

    nonblocking: int

    @property
    def socket(self) -> int:
        """The socket's descriptor."""

    @property
    def status(self) -> int:
        """``BAD`` when it has failed, ``OK`` when it is logged in."""

    def connect_poll(self) -> int:
        """Continue to log in; what to wait for."""

    def get_error_message(self) -> str:
        """How it failed, in libpq's words."""

    def send_query(self, command: bytes, /) -> None:
        """Send a statement."""

    def flush(self) -> int:
        """Send what is left; 1 when something is still left."""

    def consume_input(self) -> None:
        """Read what has come; raises ``psycopg.OperationalError``."""

    def is_busy(self) -> int:
        """Whether an answer is missing."""

    def get_result(self) -> object | None:
        """The next result; ``None`` after the last one."""

    def finish(self) -> None:
        """Close it."""


C = TypeVar("C", bound=LoggingIn)
#: Begins a login at the endpoint's address, with a fresh token.
StartLogin = Callable[[Endpoint, str], C]


class Leg(Generic[C]):
    """One candidate on its way: a look-up first where there is no address, then a connection."""

    def __init__(
        self,
        candidate: Candidate,
        surroundings: Surroundings,
        start_login: StartLogin[C],
        *,
        started: float,
        stagger_s: float,
    ) -> None:
        self.candidate = candidate
        self.started = started
        #: Addresses of the endpoint that are left for another leg; the race takes them.
        self.others: tuple[str, ...] = ()
        #: Whether the process stood still while the leg was under way.
        self.interrupted = False
        #: Whether the leg is logged in and, where it has to, has answered.
        self.arrived = False
        #: When it was sent ``SELECT 1``, by the lasting clock; ``None`` before it is logged in.
        self.asked_at: float | None = None
        self._surroundings = surroundings
        self._start_login = start_login
        #: How long the next candidate waits for it.
        self._stagger_s = stagger_s
        self._flight: Flight | None = None
        self._pgconn: C | None = None
        self._events = WRITABLE

    @property
    def is_looking_up(self) -> bool:
        """Whether it has no connection yet."""
        return self._pgconn is None

    @property
    def interest(self) -> tuple[int, int] | None:
        """The descriptor and the poll events that it waits for; ``None`` while it looks up."""
        return None if self._pgconn is None else (self._pgconn.socket, self._events)

    def start(self, addresses: Sequence[str]) -> Reason | None:
        """Connect to the first of ``addresses``, or look the host up; the reason if that failed at once."""
        dial = self.candidate.endpoint.dial
        known = (dial[0],) if dial else addresses
        return self._connect(known) if known else self._resolve()

    def advance(self, ready: Mapping[int, int]) -> Reason | None:
        """Take the next step, where its descriptor is ``ready``; the reason if the leg has failed."""
        if self._pgconn is None:
            return self._resolve()
        return self._poll(self._pgconn) if self._pgconn.socket in ready else None

    def had_time(self) -> bool:
        """Whether a leg that was sent ``SELECT 1`` has had time to answer; its login had the stagger."""
        if self.asked_at is None:
            return True
        return self._surroundings.clock() - self.asked_at >= self._stagger_s * _ANSWER_SHARE

    def ended_by(self, judge: Callable[[C], bool]) -> bool:
        """Whether ``judge`` says so of its connection, if it has one."""
        return self._pgconn is not None and judge(self._pgconn)

    def release(self) -> C:
        """Give its connection to the caller, who closes it from now on."""
        pgconn, self._pgconn = self._pgconn, None
        if pgconn is None:
            raise ValueError("a leg without a connection has none to give")
        return pgconn

    def close(self) -> None:
        """Close its connection, if it has one."""
        if self._pgconn is not None:
            self._pgconn.finish()
            self._pgconn = None

    def _resolve(self) -> Reason | None:
        """Connect as soon as there is an address."""
        resolver, host = self._surroundings.resolver, self.candidate.endpoint.host
        found = resolver.known(host, _FRESH_S)
        if not found:
            self._flight = self._flight or resolver.start(host)
            if self._flight.done.is_set():
                found = self._flight.addresses or resolver.known(host)
                if not found:
                    return Reason.NAME
            elif self._surroundings.monotonic() - self.started >= _LOOK_UP_S:
                found = resolver.known(host)
        return self._connect(found) if found else None

    def _connect(self, addresses: Sequence[str]) -> Reason | None:
        endpoint = self.candidate.endpoint
        address, *others = addresses
        self._pgconn = pgconn = self._start_login(endpoint, address)
        self.others = tuple(others)
        return classify_refusal(pgconn.get_error_message())[0] if pgconn.status == pq.ConnStatus.BAD else None

    def _poll(self, pgconn: C) -> Reason | None:
        if self.asked_at is not None:
            return self._hear(pgconn)
        state = pgconn.connect_poll()
        if state in _WITHIN:
            self._events = _WITHIN[pq.PollingStatus(state)]
            return None
        if state != pq.PollingStatus.OK:
            return classify_refusal(pgconn.get_error_message())[0]
        pgconn.nonblocking = 1
        surroundings, host = self._surroundings, self.candidate.endpoint.host
        now = surroundings.clock()
        surroundings.local.connected(host, surroundings.monotonic() - self.started, now)
        if not surroundings.local.must_answer(host):
            self.arrived = True
            return None
        self.asked_at = now
        return self._hear(pgconn, ask=True)

    def _hear(self, pgconn: C, *, ask: bool = False) -> Reason | None:
        """Read the answer of a login that has to give one."""
        try:
            if ask:
                pgconn.send_query(_QUESTION)
            self._events = READABLE | WRITABLE if pgconn.flush() else READABLE
            pgconn.consume_input()
            while not pgconn.is_busy():
                if pgconn.get_result() is None:
                    break
            else:
                return None
        except psycopg.OperationalError:
            pass  # the connection is lost; libpq's message says how
        if pgconn.status != pq.ConnStatus.OK:
            return classify_message(pgconn.get_error_message())
        self.arrived = True
        return None
