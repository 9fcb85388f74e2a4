"""The staggered race: connect to the best candidate, and to the next ones while it is silent.

=========================================  ============================================================
what happens                               what the race does
=========================================  ============================================================
it begins                                  starts the first candidate
the candidate started last has failed      starts the next one at once: first another address of the same
                                           endpoint, if there is one, then the next endpoint
one that was started earlier has failed    starts another address of it at once, if there is one; the next
                                           endpoint waits until the stagger of the last one is over
it is silent for its stagger               starts the next one besides; the silent one may still win
one has too many connections (53300,       starts the next one at once, but never a last resort for it; the
53400)                                     same endpoint again, at growing distances, while there is time
only last resorts are left                 starts the first of them when all others have failed, or have
                                           been silent for ``LAST_RESORT_S``; after the usual stagger where
                                           this process has met every other one failing before
one logs in whose endpoint has failed or   asks it ``SELECT 1``: it goes on as one that is not logged in
been silent here before                    until it has answered
one logs in, or has answered               it wins; the others are closed at once
none is left, or the deadline is reached   :class:`ConnectError`, which says what was tried
=========================================  ============================================================

An endpoint that failed, or was started earlier than the winner and is still silent, is passed over for a
while (:mod:`beacon.client.local_view`); one that is overloaded is not. A login that was asked is silent only
after half of its stagger: one that was asked a moment ago has lost the race and nothing else. A lost race is
never recorded as a silent connection; a login that was asked and gave no answer until the deadline is.

A process that was stopped in the middle of a race, or whose event loop was held up, blames no endpoint for a
silence. It tells by the clock that counts the time in which a sandbox was frozen; everything else in a race,
its deadline above all, is monotonic.

Everything happens in the caller's thread: :meth:`Race.advance` never blocks, and
says what to wait for. It drives psycopg's own wrapper of libpq, so that what wins is a psycopg connection.

The idea is that of RFC 8305 (Happy Eyeballs), with a login in place of a TCP handshake: a frozen database
accepts connections.
"""

from __future__ import annotations

import select
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import psycopg
from psycopg import pq

from beacon.client.candidates import Candidate
from beacon.client.endpoints import Endpoints
from beacon.dsql.resolver import Flight
from beacon.model import Endpoint
from beacon.outcome import ProbeOutcome, Reason, classify_message, classify_refusal, outcome_of

__all__ = ["LAST_RESORT_S", "Attempt", "ConnectError", "Race", "Won"]

#: For how long candidates that are not last resorts have the race to themselves.
LAST_RESORT_S = 0.75
#: An address younger than this is used as it is; an older one only if looking it up anew takes longer.
_FRESH_S, _LOOK_UP_S = 30.0, 0.05
#: How much of its stagger a login that is asked has for its answer before its silence counts. The stagger is
#: three usual logins, each of about six round trips, and an answer takes one. Not more than half: the login
#: itself has used a part of the stagger, and an endpoint that stays silent must be left at the first race.
_ANSWER_SHARE = 0.5
#: Who is called so much later than it asked for was stopped, or its event loop was: it knows nothing.
_OVERSLEPT_S = 0.25
#: What a login whose endpoint has to prove itself is asked; it takes no snapshot.
_QUESTION = b"SELECT 1"
#: How often a look-up that is under way is looked at.
_NAP_S = 0.005
_READ: Final = select.POLLIN | select.POLLHUP | select.POLLERR
_WRITE: Final = select.POLLOUT | select.POLLHUP | select.POLLERR
_WITHIN: Final = {pq.PollingStatus.READING: _READ, pq.PollingStatus.WRITING: _WRITE}

#: What to look at when a server rejects the login.
_REJECTED = "is the role mapped with AWS IAM GRANT, and may this IAM role dsql:DbConnect on the cluster?"
#: The option string of a login at the endpoint's address; signs a fresh token.
MakeConninfo = Callable[[Endpoint, str], bytes]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One connection that was tried.

    :param region: the endpoint's Region.
    :param host: the endpoint's host.
    :param reason: how it ended, a code of :mod:`beacon.outcome`.
    :param took_s: after how long, in seconds.
    """

    region: str
    host: str
    reason: str
    took_s: float

    def __str__(self) -> str:
        return f"{self.region} {self.reason} after {self.took_s:.2f} s"


class ConnectError(psycopg.OperationalError):
    """No endpoint could be connected to.

    It holds Regions and reason codes (:mod:`beacon.outcome`) and nothing of what a server or libpq wrote.

    :param what: what came to nothing.
    :param attempts: each connection that was tried; default none.
    :param problems: what sources said, and what to look at; default none.
    """

    def __init__(self, what: str, attempts: Sequence[Attempt] = (), problems: Sequence[str] = ()) -> None:
        self.attempts = tuple(attempts)
        self.problems = tuple(problems)
        super().__init__("; ".join([what, *map(str, self.attempts), *self.problems]))


@dataclass(frozen=True, slots=True)
class Won:
    """The connection that won, and where it leads."""

    pgconn: pq.abc.PGconn
    candidate: Candidate
    took_s: float


#: A candidate that has not started, with the addresses that are known to be left of it.
_Queued = tuple[Candidate, Sequence[str]]


@dataclass(slots=True)
class _Leg:
    """One candidate on its way: a look-up first where there is no address, then a connection."""

    candidate: Candidate
    started: float
    #: How long the next candidate waits for it.
    stagger_s: float
    flight: Flight | None = None
    pgconn: pq.abc.PGconn | None = None
    events: int = _WRITE
    #: When it was asked for an answer, by the lasting clock; ``None`` before it is logged in.
    asked_at: float | None = None
    #: Whether the process stood still while it was under way.
    interrupted: bool = False


class Race:
    """One race for one connection. Not to be shared between threads; :meth:`abandon` it in any case."""

    def __init__(
        self,
        candidates: Sequence[Candidate],
        endpoints: Endpoints,
        conninfo: MakeConninfo,
        timeout_s: float,
    ) -> None:
        self._endpoints = endpoints
        self._conninfo = conninfo
        self._clock = endpoints.monotonic
        self._lasting = endpoints.clock
        self._began = self._clock()
        self._timeout_s = timeout_s
        self._waiting: deque[_Queued] = deque((candidate, ()) for candidate in candidates)
        #: Further addresses of endpoints that have been started.
        self._spare: deque[_Queued] = deque()
        #: Candidates that are overloaded, and when they come to the front of those that wait again.
        self._held: list[tuple[float, _Queued]] = []
        self._last_started: Candidate | None = None
        self._last_failed: Candidate | None = None
        self._running: list[_Leg] = []
        self._attempts: list[Attempt] = []
        self._last_start = self._began
        self._stagger_s = 0.0
        #: When :meth:`advance` is to be called again at the latest, and whether it was called far too late.
        self._expected_by, self._stood_still = float("inf"), False
        passed_over, now = endpoints.local.passed_over_since, self._lasting()
        self._trusting = any(
            not each.last_resort and passed_over(each.endpoint.host, now) is None for each in candidates
        )

    def advance(self, ready: Mapping[int, int]) -> Won | None:
        """Go on with what is ``ready`` (descriptor to poll events); the winner, or ``None`` so far.

        Raises :class:`ConnectError`, and what signing a token raises.
        """
        if self._lasting() > self._expected_by + _OVERSLEPT_S:
            self._stood_still = True
            for leg in self._running:
                leg.interrupted = True
        for leg in tuple(self._running):
            if leg.pgconn is None:
                self._resolve(leg)
            elif leg.pgconn.socket in ready and self._poll(leg):
                return self._win(leg)
        now = self._clock()
        if now - self._began >= self._timeout_s:
            raise self._failure(f"no endpoint answered within {self._timeout_s:.1f} s")
        self._release(now)
        while (start_at := self._next_start()) is not None and start_at <= now:
            self._start(now)
            now = self._clock()
        if not self._running and start_at is None and not self._held:
            raise self._failure("no endpoint can be connected to")
        return None

    def interests(self) -> dict[int, int]:
        """What to wait for: descriptor to poll events."""
        return {leg.pgconn.socket: leg.events for leg in self._running if leg.pgconn is not None}

    def pause_s(self) -> float:
        """For how long to wait at the most before :meth:`advance` is called again."""
        ends = [self._began + self._timeout_s, *(until for until, _ in self._held)]
        if (start_at := self._next_start()) is not None:
            ends.append(start_at)
        now = self._clock()
        if any(leg.pgconn is None for leg in self._running):
            ends.append(now + _NAP_S)
        pause_s = max(0.0, min(ends) - now)
        self._expected_by = self._lasting() + pause_s
        return pause_s

    def abandon(self) -> None:
        """Close whatever is still on its way; calling it again does nothing."""
        while self._running:
            self._close(self._running[-1])

    # ---- who starts, and when

    def _next_start(self) -> float | None:
        """When the next candidate starts; ``None`` when all have."""
        following = self._following()
        if following is None:
            return None
        if not self._running:
            return self._last_start
        at_once = self._last_failed is not None and self._last_failed in (self._last_started, following[0])
        staggered = self._last_start if at_once else self._last_start + self._stagger_s
        if following[0].last_resort and self._trusting:
            return max(staggered, self._began + LAST_RESORT_S)
        return staggered

    def _following(self) -> _Queued | None:
        """Who starts next: another address of what just failed, other endpoints, other addresses."""
        for queued in self._spare:
            if queued[0] is self._last_failed:
                return queued
        others_left = self._spare or any(not queued[0].last_resort for _, queued in self._held)
        if self._waiting and not (self._waiting[0][0].last_resort and others_left):
            return self._waiting[0]
        return self._spare[0] if self._spare else None

    def _release(self, now: float) -> None:
        """Have those that were overloaded wait with the others again, in front, when their time is over."""
        for held in tuple(self._held):
            if held[0] <= now:
                self._held.remove(held)
                self._waiting.appendleft(held[1])

    def _start(self, now: float) -> None:
        queued = self._following()
        assert queued is not None  # noqa: S101 - asked for a moment ago
        (self._spare if queued in self._spare else self._waiting).remove(queued)
        candidate, addresses = queued
        if wait_s := self._endpoints.local.turn_s(candidate.endpoint.host, self._lasting()):
            self._held.append((now + wait_s, queued))
            return
        self._stagger_s = self._endpoints.local.stagger_s(candidate)
        leg = _Leg(candidate, now, self._stagger_s)
        self._running.append(leg)
        self._last_start, self._last_started, self._last_failed = now, candidate, None
        if candidate.endpoint.dial:
            addresses = (candidate.endpoint.dial[0],)
        if addresses:
            self._connect(leg, addresses)
        else:
            self._resolve(leg)

    # ---- one leg

    def _resolve(self, leg: _Leg) -> None:
        """Connect the leg as soon as there is an address for it."""
        resolver, host = self._endpoints.resolver, leg.candidate.endpoint.host
        found = resolver.known(host, _FRESH_S)
        if not found:
            leg.flight = leg.flight or resolver.start(host)
            if leg.flight.done.is_set():
                found = leg.flight.addresses or resolver.known(host)
                if not found:
                    self._fail(leg, Reason.NAME)
                    return
            elif self._clock() - leg.started >= _LOOK_UP_S:
                found = resolver.known(host)
        if found:
            self._connect(leg, found)

    def _connect(self, leg: _Leg, addresses: Sequence[str]) -> None:
        endpoint = leg.candidate.endpoint
        address, *others = addresses
        leg.pgconn = pq.PGconn.connect_start(self._conninfo(endpoint, address))
        if others:
            self._spare.append((leg.candidate, tuple(others)))
        if leg.pgconn.status == pq.ConnStatus.BAD:
            self._fail(leg, classify_refusal(leg.pgconn.get_error_message())[0])

    def _poll(self, leg: _Leg) -> bool:
        """Go on with a connection; whether it has won."""
        pgconn, local, host = leg.pgconn, self._endpoints.local, leg.candidate.endpoint.host
        assert pgconn is not None  # noqa: S101 - only such legs have a descriptor
        if leg.asked_at is not None:
            return self._hear(leg, pgconn)
        state = pgconn.connect_poll()
        if state in _WITHIN:
            leg.events = _WITHIN[pq.PollingStatus(state)]
        elif state != pq.PollingStatus.OK:
            self._fail(leg, classify_refusal(pgconn.get_error_message())[0])
        else:
            pgconn.nonblocking = 1
            local.connected(host, self._clock() - leg.started, self._lasting())
            if not local.must_answer(host):
                return True
            leg.asked_at = self._lasting()
            return self._hear(leg, pgconn, ask=True)
        return False

    def _hear(self, leg: _Leg, pgconn: pq.abc.PGconn, *, ask: bool = False) -> bool:
        """Whether a login that has to prove itself has answered."""
        try:
            if ask:
                pgconn.send_query(_QUESTION)
            leg.events = _READ | _WRITE if pgconn.flush() else _READ
            pgconn.consume_input()
            while not pgconn.is_busy():
                if pgconn.get_result() is None:
                    break
            else:
                return False
        except psycopg.OperationalError:
            pass  # the connection is lost; libpq's message says how
        if pgconn.status == pq.ConnStatus.OK:
            return True
        self._fail(leg, classify_message(pgconn.get_error_message()))
        return False

    def _win(self, leg: _Leg) -> Won:
        pgconn = leg.pgconn
        assert pgconn is not None  # noqa: S101 - it is logged in
        leg.pgconn = None
        if leg.asked_at is not None:
            self._endpoints.local.answered(leg.candidate.endpoint.host)
        for other in self._running[: self._running.index(leg)]:
            if not self._stood_still and other.candidate is not leg.candidate and self._had_time(other):
                self._endpoints.local.failed(other.candidate.endpoint.host, self._lasting())
        self.abandon()
        return Won(pgconn, leg.candidate, self._clock() - self._began)

    def _fail(self, leg: _Leg, reason: Reason) -> None:
        took_s, endpoint = self._clock() - leg.started, leg.candidate.endpoint
        self._attempts.append(Attempt(endpoint.region, endpoint.host, reason.value, took_s))
        self._close(leg)
        self._last_failed = leg.candidate
        if reason is Reason.TOO_MANY_CONNECTIONS:
            self._hold(leg.candidate, took_s)
            return
        left = any(candidate is leg.candidate for candidate, _ in self._spare)
        # A fault of ours says nothing about the endpoint; nor does one address while others are left, nor the
        # end of a connection that a server gave up while this process stood still.
        blameless = leg.interrupted and reason is Reason.RESET
        if not left and not blameless and outcome_of(reason) is ProbeOutcome.FAIL:
            local, now = self._endpoints.local, self._lasting()
            if leg.asked_at is not None and reason is Reason.TIMEOUT and self._had_time(leg):
                local.silent(endpoint.host, leg.asked_at, now)
            local.failed(endpoint.host, now)

    def _had_time(self, leg: _Leg) -> bool:
        """Whether a leg that was asked for an answer has had time for it; its login had the stagger."""
        if leg.asked_at is None:
            return True
        return self._lasting() - leg.asked_at >= leg.stagger_s * _ANSWER_SHARE

    def _hold(self, candidate: Candidate, took_s: float) -> None:
        """Try an overloaded candidate again later; its other addresses lead to the same cluster."""
        self._endpoints.local.overloaded(candidate.endpoint.host, took_s, self._lasting())
        for queued in tuple(self._spare):
            if queued[0] is candidate:
                self._spare.remove(queued)
        if not any(queued[0] is candidate for _, queued in self._held):
            self._held.append((self._clock(), (candidate, ())))

    def _close(self, leg: _Leg) -> None:
        self._running.remove(leg)
        if leg.pgconn is not None:
            leg.pgconn.finish()
            leg.pgconn = None

    def _failure(self, what: str) -> ConnectError:
        self._spare.clear()
        tried = {attempt.host for attempt in self._attempts}
        for _, (candidate, _addresses) in self._held:
            endpoint, reason = candidate.endpoint, Reason.TOO_MANY_CONNECTIONS.value
            if endpoint.host not in tried:
                # It said so to another connect of this process, whose turn to ask again it is.
                self._attempts.append(Attempt(endpoint.region, endpoint.host, reason, 0.0))
        for leg in tuple(self._running):
            # Whoever stood still cannot say that an endpoint was silent.
            self._fail(leg, Reason.INTERNAL if self._stood_still else Reason.TIMEOUT)
        rejected = any(each.reason == Reason.LOGIN_REJECTED.value for each in self._attempts)
        return ConnectError(what, self._attempts, [_REJECTED] if rejected else [])
