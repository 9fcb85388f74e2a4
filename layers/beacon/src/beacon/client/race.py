"""The staggered race: connect to the best candidate, and to the next ones while it is silent.

=========================================  ============================================================
what happens                               what the race does
=========================================  ============================================================
it begins                                  starts the first candidate
the candidate started last has failed      starts the next one at once: first another address of the same
                                           endpoint, if there is one, then the next endpoint
one that was started earlier has failed    starts another address of it at once, if there is one; the next
                                           endpoint waits until the stagger of the last one is over
it is silent for its stagger               starts the next one as well; the silent one may still win
one has too many connections (53300,       starts the next one at once, but never a last resort for it; the
53400)                                     same endpoint again, at growing distances, while there is time
only last resorts are left                 starts the first of them when all others have failed, or have
                                           been silent for ``LAST_RESORT_S``; after the usual stagger where
                                           every other one failed in this process before
one logs in whose endpoint has failed or   sends it ``SELECT 1``: until it has answered, the race treats it
been silent here before                    as one that is not logged in
one logs in, or has answered               it wins; the others are closed at once
none is left, or the deadline is reached   :class:`ConnectError`, which says what was tried
=========================================  ============================================================

The client passes over an endpoint for a while (:mod:`beacon.client.local_view`) when it failed, or when it
started before the winner and is still silent. An overloaded endpoint keeps its place.

A login that was sent ``SELECT 1`` counts as silent only after half of its stagger: one that was sent it a
moment ago has only lost the race. A lost race is never recorded as a silent connection. A login that gave no
answer until the deadline is.

A process that was stopped in the middle of a race, or whose event loop was held up, blames no endpoint for a
silence. The race finds that out by the clock that counts the time in which a sandbox was frozen. Everything
else in a race, its deadline above all, is monotonic.

Everything happens in the caller's thread. :meth:`Race.advance` never blocks, and :meth:`Race.interests` says
what to wait for. The client's races drive psycopg's own wrapper of libpq, so the winner is a psycopg
connection; :class:`beacon.client.leg.LoggingIn` is all that a race needs of it.

The idea is that of RFC 8305 (Happy Eyeballs), with a login in place of a TCP handshake: a frozen database
accepts connections, and only a login proves that it works.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic

from beacon.client.candidates import Candidate
from beacon.client.connect_error import Attempt, ConnectError
from beacon.client.leg import C, Leg, StartLogin
from beacon.client.surroundings import Surroundings
from beacon.outcome import ProbeOutcome, Reason, outcome_of

__all__ = ["LAST_RESORT_S", "Race", "Won"]

#: For how long only candidates that are not last resorts run, in seconds.
LAST_RESORT_S = 0.75
#: A caller that is so much later than the race expected, in seconds, was stopped: it knows no silence.
_OVERSLEPT_S = 0.25
#: How often a look-up that is under way is looked at.
_NAP_S = 0.005
#: What to look at when a server rejects the login.
_REJECTED = "is the role mapped with AWS IAM GRANT, and may this IAM role dsql:DbConnect on the cluster?"


@dataclass(frozen=True, slots=True)
class Won(Generic[C]):
    """The connection that won, and where it leads."""

    pgconn: C
    candidate: Candidate
    took_s: float


#: A candidate that has not started, with the addresses that are known to be left of it.
_Queued = tuple[Candidate, Sequence[str]]


class Race(Generic[C]):
    """One race for one connection. Not to be shared between threads; :meth:`abandon` it in any case."""

    def __init__(
        self,
        candidates: Sequence[Candidate],
        surroundings: Surroundings,
        start_login: StartLogin[C],
        timeout_s: float,
        is_own_fault: Callable[[C], bool] = lambda _: False,
    ) -> None:
        self._surroundings = surroundings
        self._local = surroundings.local
        self._start_login = start_login
        #: Whether a login failed because of what its caller wanted: no endpoint is passed over for that.
        self._is_own_fault = is_own_fault
        self._clock = surroundings.monotonic
        self._lasting = surroundings.clock
        self._began = self._clock()
        self._timeout_s = timeout_s
        self._waiting: deque[_Queued] = deque((candidate, ()) for candidate in candidates)
        #: Further addresses of endpoints that have been started.
        self._spare: deque[_Queued] = deque()
        #: Candidates that are overloaded, and when they come to the front of those that wait again.
        self._held: list[tuple[float, _Queued]] = []
        self._last_started: Candidate | None = None
        self._last_failed: Candidate | None = None
        self._running: list[Leg[C]] = []
        self._attempts: list[Attempt] = []
        self._last_start = self._began
        self._stagger_s = 0.0
        #: When :meth:`advance` is to be called again at the latest, and whether it was called far too late.
        self._expected_by, self._stood_still = float("inf"), False
        passed_over, now = self._local.passed_over_since, self._lasting()
        self._trusting = any(
            not each.last_resort and passed_over(each.endpoint.host, now) is None for each in candidates
        )

    def advance(self, ready: Mapping[int, int]) -> Won[C] | None:
        """Continue with what is ``ready`` (descriptor to poll events); the winner, or ``None`` so far.

        Raises :class:`ConnectError`, and what signing a token raises.
        """
        if self._lasting() > self._expected_by + _OVERSLEPT_S:
            self._stood_still = True
            for leg in self._running:
                leg.interrupted = True
        for leg in tuple(self._running):
            self._take(leg, leg.advance(ready))
            if leg.arrived:
                return self._win(leg)
        now = self._clock()
        if now - self._began >= self._timeout_s:
            raise self._failure(f"no endpoint answered within {self._timeout_s:.1f} s")
        self._release(now)
        while (following := self._next_start()) is not None and following[0] <= now:
            self._start(following[1], now)
            now = self._clock()
        if not self._running and following is None and not self._held:
            raise self._failure("no endpoint can be connected to")
        return None

    def interests(self) -> dict[int, int]:
        """What to wait for: descriptor to poll events."""
        return dict(interest for leg in self._running if (interest := leg.interest) is not None)

    def pause_s(self) -> float:
        """For how long to wait at the most before :meth:`advance` is called again."""
        ends = [self._began + self._timeout_s, *(until for until, _ in self._held)]
        if (following := self._next_start()) is not None:
            ends.append(following[0])
        now = self._clock()
        if any(leg.is_looking_up for leg in self._running):
            ends.append(now + _NAP_S)
        pause_s = max(0.0, min(ends) - now)
        self._expected_by = self._lasting() + pause_s
        return pause_s

    def abandon(self) -> None:
        """Close whatever is still on its way; calling it again does nothing."""
        while self._running:
            self._close(self._running[-1])

    # ---- who starts, and when

    def _next_start(self) -> tuple[float, _Queued] | None:
        """When the next candidate starts, and which one it is; ``None`` when all have started."""
        following = self._following()
        if following is None:
            return None
        if not self._running:
            return self._last_start, following
        at_once = self._last_failed is not None and self._last_failed in (self._last_started, following[0])
        start_at = self._last_start if at_once else self._last_start + self._stagger_s
        if following[0].last_resort and self._trusting:
            start_at = max(start_at, self._began + LAST_RESORT_S)
        return start_at, following

    def _following(self) -> _Queued | None:
        """What starts next: another address of what just failed, another endpoint, or another address."""
        for queued in self._spare:
            if queued[0] is self._last_failed:
                return queued
        others_left = self._spare or any(not queued[0].last_resort for _, queued in self._held)
        if self._waiting and not (self._waiting[0][0].last_resort and others_left):
            return self._waiting[0]
        return self._spare[0] if self._spare else None

    def _release(self, now: float) -> None:
        """Put overloaded candidates whose time is over back in front of those that wait."""
        for held in tuple(self._held):
            if held[0] <= now:
                self._held.remove(held)
                self._waiting.appendleft(held[1])

    def _start(self, queued: _Queued, now: float) -> None:
        (self._spare if queued in self._spare else self._waiting).remove(queued)
        candidate, addresses = queued
        if wait_s := self._local.turn_s(candidate.endpoint.host, self._lasting()):
            self._held.append((now + wait_s, queued))
            return
        self._stagger_s = self._local.stagger_s(candidate)
        leg = Leg(candidate, self._surroundings, self._start_login, started=now, stagger_s=self._stagger_s)
        self._running.append(leg)
        self._last_start, self._last_started, self._last_failed = now, candidate, None
        self._take(leg, leg.start(addresses))

    # ---- how a leg ends

    def _take(self, leg: Leg[C], reason: Reason | None) -> None:
        """Take what a step of ``leg`` came to: addresses for another leg, and why it failed, if it did."""
        if leg.others:
            self._spare.append((leg.candidate, leg.others))
            leg.others = ()
        if reason is not None:
            self._fail(leg, reason)

    def _win(self, leg: Leg[C]) -> Won[C]:
        if leg.asked_at is not None:
            self._local.answered(leg.candidate.endpoint.host)
        for other in self._running[: self._running.index(leg)]:
            if not self._stood_still and other.candidate is not leg.candidate and other.had_time():
                self._local.failed(other.candidate.endpoint.host, self._lasting())
        pgconn = leg.release()
        self.abandon()
        return Won(pgconn, leg.candidate, self._clock() - self._began)

    def _fail(self, leg: Leg[C], reason: Reason) -> None:
        took_s, endpoint = self._clock() - leg.started, leg.candidate.endpoint
        self._attempts.append(Attempt(endpoint.region, endpoint.host, reason.value, took_s))
        own_fault = leg.ended_by(self._is_own_fault)
        self._close(leg)
        self._last_failed = leg.candidate
        if reason is Reason.TOO_MANY_CONNECTIONS:
            self._hold(leg.candidate, took_s)
            return
        left = any(candidate is leg.candidate for candidate, _ in self._spare)
        # Four failures say nothing about the endpoint: a fault of this process or of its caller, one address
        # while others are left, and the end of a connection that the server closed while this process stood
        # still.
        blameless = own_fault or (leg.interrupted and reason is Reason.RESET)
        if not left and not blameless and outcome_of(reason) is ProbeOutcome.FAIL:
            now = self._lasting()
            if leg.asked_at is not None and reason is Reason.TIMEOUT and leg.had_time():
                self._local.silent(endpoint.host, leg.asked_at, now)
            self._local.failed(endpoint.host, now)

    def _hold(self, candidate: Candidate, took_s: float) -> None:
        """Try an overloaded candidate again later; its other addresses lead to the same cluster."""
        self._local.overloaded(candidate.endpoint.host, took_s, self._lasting())
        for queued in tuple(self._spare):
            if queued[0] is candidate:
                self._spare.remove(queued)
        if not any(queued[0] is candidate for _, queued in self._held):
            self._held.append((self._clock(), (candidate, ())))

    def _close(self, leg: Leg[C]) -> None:
        self._running.remove(leg)
        leg.close()

    def _failure(self, what: str) -> ConnectError:
        self._spare.clear()
        tried = {attempt.host for attempt in self._attempts}
        for _, (candidate, _addresses) in self._held:
            endpoint, reason = candidate.endpoint, Reason.TOO_MANY_CONNECTIONS.value
            if endpoint.host not in tried:
                # Another connect of this process met that, and asks again first.
                self._attempts.append(Attempt(endpoint.region, endpoint.host, reason, 0.0))
        for leg in tuple(self._running):
            # A process that stood still cannot say that an endpoint was silent.
            self._fail(leg, Reason.INTERNAL if self._stood_still else Reason.TIMEOUT)
        rejected = any(each.reason == Reason.LOGIN_REJECTED.value for each in self._attempts)
        return ConnectError(what, self._attempts, [_REJECTED] if rejected else [])
