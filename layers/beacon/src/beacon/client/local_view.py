"""What this process met while connecting: endpoints to pass over for a while, and how long a login takes.

==============================================  =========================================================
what happened at an endpoint                    the endpoint
==============================================  =========================================================
a fresh connection failed, or was still         is passed over: tried after the others, not left out
silent when another one had logged in
a connection got no answer in time              is suspected: the next login to it counts only after it has
                                                answered a statement (:mod:`beacon.client.race`)
a connection that was opened after that got     is passed over: it logs clients in and answers nothing
no answer in time either
a fresh connection logged in; no statement was  stays as it is
sent
a fresh connection answered a statement         is neither suspected nor passed over any more
too many connections (53300, 53400)             keeps its place: a few connects at growing distances, and
                                                more often again when they succeed
==============================================  =========================================================

The time of passing over is short and jittered, so that the processes of a fleet do not return together. It
doubles while the endpoint keeps failing.

This is one client's own view, and no other process learns it. Safe to use from several threads.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from beacon.client.candidates import Candidate

__all__ = ["LocalView"]

#: For how long an endpoint is passed over the first time, and after many doublings at most, in seconds.
PASSED_OVER_S = (4.0, 8.0)
_MOST_S = 60.0
_SMOOTHING = 0.3
#: The delay before the next candidate starts: so many usual logins, within these bounds.
_LOGINS = 3.0
LEAST_STAGGER_S, MOST_STAGGER_S = 0.05, 0.25
#: Before the first login of our own: connect, TLS, start-up and password take about so many round trips.
_ROUND_TRIPS, _WORK_S = 6.0, 0.02
#: An answer takes at least about so much of a usual login: one of its round trips.
_ANSWER_SHARE = 1 / _ROUND_TRIPS
#: How far apart connects to an overloaded endpoint are: at first, at the most, and when that is over again.
FIRST_BACK_OFF_S, MOST_BACK_OFF_S, _LEAST_BACK_OFF_S = 1.0, 8.0, 0.3
_BACK_OFF_JITTER = (0.5, 1.5)


@dataclass(slots=True)
class _Penalty:
    times: int
    since: float
    until: float


@dataclass(slots=True)
class _Silence:
    """``first`` is that of the silences that no fresh connection's answer has ended (``None``: all are)."""

    first: float | None
    last: float


@dataclass(slots=True)
class _BackOff:
    """``changed`` is when ``apart_s`` was set, ``next_at`` when the next connect may start."""

    apart_s: float
    changed: float
    next_at: float


class LocalView:
    """Remembers by host name; instants are of the caller's lasting clock (:mod:`beacon.suspend_clock`)."""

    def __init__(self, jitter: Callable[[float, float], float] = random.uniform) -> None:
        self._jitter = jitter
        self._lock = threading.Lock()
        self._penalties: dict[str, _Penalty] = {}
        self._silences: dict[str, _Silence] = {}
        self._back_offs: dict[str, _BackOff] = {}
        self._login_s: dict[str, float] = {}
        #: When an endpoint last had too many connections.
        self.overloaded_at = float("-inf")

    def failed(self, host: str, now: float) -> None:
        """A fresh connection to ``host`` failed, or was silent for too long."""
        with self._lock:
            known = self._penalties.get(host)
            if known is not None and now < known.until:
                return  # several connections met the same failure: it counts once
            times = 0 if known is None else known.times + 1
            hold_s = min(self._jitter(*PASSED_OVER_S) * 2.0 ** min(times, 10), _MOST_S)
            self._penalties[host] = _Penalty(times, now, now + hold_s)

    def silent(self, host: str, opened_at: float, now: float) -> None:
        """A connection to ``host`` that was opened at ``opened_at`` got no answer in time."""
        with self._lock:
            known = self._silences.setdefault(host, _Silence(None, now))
            known.last = now
            confirmed = known.first is not None and opened_at >= known.first
            if known.first is None:
                known.first = now
        if confirmed:
            self.failed(host, now)

    def connected(self, host: str, took_s: float, now: float) -> None:
        """A fresh connection to ``host`` was logged in after ``took_s``; it has answered nothing so far."""
        with self._lock:
            old_s = self._login_s.get(host, took_s)
            self._login_s[host] = old_s + _SMOOTHING * (took_s - old_s)
            known = self._back_offs.get(host)
            # One that had started before says nothing of what has come since.
            if known is not None and now - took_s >= known.changed:
                self._back_off(host, known.apart_s / 2, now)

    def answered(self, host: str) -> None:
        """A fresh connection to ``host`` has answered a statement."""
        with self._lock:
            self._penalties.pop(host, None)
            known = self._silences.get(host)
            if known is not None:
                known.first = None

    def overloaded(self, host: str, took_s: float, now: float) -> None:
        """``host`` has too many connections; it said so ``took_s`` after the connection was started."""
        with self._lock:
            self.overloaded_at = now
            known = self._back_offs.get(host)
            if known is None:
                self._back_off(host, FIRST_BACK_OFF_S, now)
            elif now - took_s >= known.changed:
                self._back_off(host, min(known.apart_s * 2, MOST_BACK_OFF_S), now)

    def turn_s(self, host: str, now: float) -> float:
        """0 when a connection to ``host`` may be started, which counts it; else how long to wait."""
        with self._lock:
            known = self._back_offs.get(host)
            if known is None:
                return 0.0
            if now < known.next_at:
                return known.next_at - now
            known.next_at = now + known.apart_s * self._jitter(*_BACK_OFF_JITTER)
            return 0.0

    def passed_over_since(self, host: str, now: float) -> float | None:
        """Since when ``host`` is passed over; ``None`` when it is not."""
        known = self._penalties.get(host)
        return known.since if known is not None and now < known.until else None

    def silent_at(self, host: str) -> float | None:
        """When a connection to ``host`` got no answer last; ``None`` when all did."""
        known = self._silences.get(host)
        return None if known is None else known.last

    def must_answer(self, host: str) -> bool:
        """Whether a login to ``host`` proves nothing before it has answered a statement."""
        silence = self._silences.get(host)
        return host in self._penalties or (silence is not None and silence.first is not None)

    def ordered(self, candidates: Sequence[Candidate], now: float) -> Sequence[Candidate]:
        """The same candidates, those that are passed over behind the others, last resorts still last."""
        if not self._penalties:
            return candidates
        return sorted(
            candidates,
            key=lambda candidate: (
                candidate.last_resort,
                self.passed_over_since(candidate.endpoint.host, now) is not None,
            ),
        )

    def stagger_s(self, candidate: Candidate) -> float:
        """How long ``candidate`` has for its login before the next candidate starts as well."""
        login_s = self._login_s.get(candidate.endpoint.host)
        if login_s is None:
            if candidate.latency_ms is None:
                return MOST_STAGGER_S
            login_s = _WORK_S + _ROUND_TRIPS * candidate.latency_ms / 1000
        return min(max(_LOGINS * login_s, LEAST_STAGGER_S), MOST_STAGGER_S)

    def least_answer_s(self, host: str) -> float:
        """In less time than this no answer to a statement can be expected; 0 before the first login."""
        return self._login_s.get(host, 0.0) * _ANSWER_SHARE

    def _back_off(self, host: str, apart_s: float, now: float) -> None:
        if apart_s < _LEAST_BACK_OFF_S:
            del self._back_offs[host]
            return
        next_at = now + apart_s * self._jitter(*_BACK_OFF_JITTER)
        self._back_offs[host] = _BackOff(apart_s, now, next_at)
