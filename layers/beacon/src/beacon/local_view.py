"""What this process itself met while connecting: whom it passes over for a while, how long a login takes.

An endpoint that failed a fresh connection, or was still silent when another one had logged in, is passed
over: it is tried after the others, not left out. The time is short and jittered, so that the processes of a
fleet do not come back together, and doubles while the endpoint keeps failing. A login ends it.

This is one client's own view and never a verdict on the endpoint: nobody else hears of it. Safe to use from
several threads.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from beacon.candidates import Candidate

__all__ = ["LocalView"]

#: For how long an endpoint is passed over the first time, and the most that doubling makes of it.
PASSED_OVER_S = (4.0, 8.0)
_MOST_S = 60.0
_SMOOTHING = 0.3
#: The delay before the next candidate starts: so many usual logins, within these bounds.
_LOGINS = 3.0
LEAST_STAGGER_S, MOST_STAGGER_S = 0.05, 0.25
#: Before the first login of our own: connect, TLS, start-up and password take about so many round trips.
_ROUND_TRIPS, _WORK_S = 6.0, 0.02


@dataclass(slots=True)
class _Penalty:
    times: int
    since: float
    until: float


class LocalView:
    """Remembers by host name; instants are of the caller's monotonic clock, in seconds."""

    def __init__(self, jitter: Callable[[float, float], float] = random.uniform) -> None:
        self._jitter = jitter
        self._lock = threading.Lock()
        self._penalties: dict[str, _Penalty] = {}
        self._login_s: dict[str, float] = {}

    def failed(self, host: str, now: float) -> None:
        """A fresh connection to ``host`` failed, or was silent for too long."""
        with self._lock:
            known = self._penalties.get(host)
            if known is not None and now < known.until:
                return  # several connections met the same failure: it counts once
            times = 0 if known is None else known.times + 1
            hold_s = min(self._jitter(*PASSED_OVER_S) * 2.0 ** min(times, 10), _MOST_S)
            self._penalties[host] = _Penalty(times, now, now + hold_s)

    def connected(self, host: str, took_s: float) -> None:
        """A fresh connection to ``host`` was logged in after ``took_s``."""
        with self._lock:
            self._penalties.pop(host, None)
            old_s = self._login_s.get(host, took_s)
            self._login_s[host] = old_s + _SMOOTHING * (took_s - old_s)

    def passed_over_since(self, host: str, now: float) -> float | None:
        """Since when ``host`` is passed over; ``None`` when it is not."""
        known = self._penalties.get(host)
        return known.since if known is not None and now < known.until else None

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
        """How long ``candidate`` has for its login before the next one starts besides."""
        login_s = self._login_s.get(candidate.endpoint.host)
        if login_s is None:
            if candidate.latency_ms is None:
                return MOST_STAGGER_S
            login_s = _WORK_S + _ROUND_TRIPS * candidate.latency_ms / 1000
        return min(max(_LOGINS * login_s, LEAST_STAGGER_S), MOST_STAGGER_S)
