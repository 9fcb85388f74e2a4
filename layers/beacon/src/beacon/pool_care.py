"""What becomes of a pooled connection when it is asked for: as it is, looked at first, or replaced. No I/O.

================================================  ==================================================
the connection                                    verdict
================================================  ==================================================
is older than ``max_age_s``                       replace (DSQL ends it at 60 minutes)
leads to an endpoint at which another connection  replace: neither an old connection nor a new one got
was silent and, within ``_TOGETHER_S`` of that,   through
a fresh one failed
leads to an endpoint that the sources hold out    replace, but only so many a second: within
                                                  ``RETIRE_S`` all of them are elsewhere
leads elsewhere than to the best endpoint         replace, much more slowly: home within ``HOME_S``
leads to an endpoint that is passed over here,    look: ask for an answer under a short deadline
or at which another connection has been silent
since this one was used
has been idle for ``check_idle_s``                look
is none of these                                  use
================================================  ==================================================

One silent connection is no verdict on its endpoint: networks drop connections without a word. Nothing is
retired for an endpoint's sake while no better one can be reached.
"""

from __future__ import annotations

import random
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol
from weakref import WeakSet

from beacon.candidates import Candidate
from beacon.endpoints import Endpoints
from beacon.model import Endpoint

__all__ = ["ConnectRate", "PoolCare", "PoolPolicy", "Verdict"]

#: In what time all connections to an endpoint that is held out, or that is not the best, are replaced.
RETIRE_S, HOME_S = 10.0, 300.0
#: How near in time a silent connection and a failed fresh one have to be to confirm each other.
_TOGETHER_S = 15.0
#: How often idle connections are looked through: while something is wrong, and else.
_BUSY_S, _CALM_S = 0.5, 5.0


class Verdict(Enum):
    """What to do with a connection."""

    USE = auto()
    LOOK = auto()
    REPLACE = auto()


@dataclass(frozen=True, slots=True)
class PoolPolicy:
    """How a pool treats its connections; durations in seconds.

    ``max_age_s`` is shortened at random by up to 5 % for each connection; ``check_idle_s`` is after how long
    without use a connection is asked for an answer before it is handed out, and ``check_timeout_s`` how long
    it has for it; ``connects_per_s`` bounds the connects of this pool in any one second (a DSQL cluster takes
    100 a second from all of its clients together). Raises ``ValueError`` with every reason at once.
    """

    max_age_s: float = 3000.0
    check_idle_s: float = 1.0
    check_timeout_s: float = 0.5
    connects_per_s: int = 25

    def __post_init__(self) -> None:
        problems = []
        if not 60 <= self.max_age_s <= 3300:
            problems.append(f"max_age_s must be 60-3300, not {self.max_age_s}")
        if not 0 <= self.check_idle_s <= 3600:
            problems.append(f"check_idle_s must be 0-3600, not {self.check_idle_s}")
        if not 0.05 <= self.check_timeout_s <= 30:
            problems.append(f"check_timeout_s must be 0.05-30, not {self.check_timeout_s}")
        if not 1 <= self.connects_per_s <= 100:
            problems.append(f"connects_per_s must be 1-100, not {self.connects_per_s}")
        if problems:
            raise ValueError("; ".join(problems))


class Member(Protocol):
    """What is to be known of a pooled connection."""

    endpoint: Endpoint
    opened_at: float

    @property
    def closed(self) -> bool:
        """Whether it is."""


class ConnectRate:
    """Never more than ``limit`` starts within any one second; safe to use from several threads."""

    def __init__(self, limit: int) -> None:
        self._lock = threading.Lock()
        self._starts: deque[float] = deque(maxlen=limit)

    def take(self, now: float) -> float:
        """Start ``now`` if that is allowed and return 0; else say how long to wait before asking again."""
        with self._lock:
            full = len(self._starts) == self._starts.maxlen
            wait_s = self._starts[0] + 1.0 - now if full else 0.0
            if wait_s > 0:
                return wait_s
            self._starts.append(now)
            return 0.0


class PoolCare:
    """Judges the connections of one pool; safe to use from several threads."""

    def __init__(
        self,
        endpoints: Endpoints,
        policy: PoolPolicy,
        size: int,
        jitter: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self.policy = policy
        self._endpoints = endpoints
        self._size = max(1, size)
        self._jitter = jitter
        self._lock = threading.Lock()
        self._silent_at: dict[str, float] = {}
        #: When the next connection may go: held out, or only not the best.
        self._next = {True: float("-inf"), False: float("-inf")}
        self._rate = ConnectRate(policy.connects_per_s)
        self._members: WeakSet[Member] = WeakSet()

    def now(self) -> float:
        """The monotonic clock, in seconds."""
        return self._endpoints.clock()

    def must_wait_s(self) -> float:
        """0 when a connect may start now, which counts it; else how long to wait before asking again."""
        return self._rate.take(self.now())

    def silent(self, host: str) -> None:
        """A connection to ``host`` was asked for an answer, and none came in time."""
        self._silent_at[host] = self.now()

    def verdict(self, host: str, *, opened_at: float, used_at: float) -> Verdict:
        """Judge an idle connection by the module's rules; a retirement is counted when it is said."""
        now, local = self.now(), self._endpoints.local
        if now - opened_at >= self.policy.max_age_s:
            return Verdict.REPLACE
        failed_since = local.passed_over_since(host, now)
        if failed_since is not None:
            silent_at = self._silent_at.get(host)
            confirmed = silent_at is not None and abs(failed_since - silent_at) <= _TOGETHER_S
            if confirmed and opened_at < failed_since and self._is_any_reachable(now):
                return Verdict.REPLACE
        if self._should_leave(host, now):
            return Verdict.REPLACE
        doubtful = failed_since is not None or self._silent_at.get(host, float("-inf")) >= used_at
        if doubtful or now - used_at >= self.policy.check_idle_s:
            return Verdict.LOOK
        return Verdict.USE

    def pause_s(self) -> float:
        """How long to wait before idle connections are looked through again."""
        candidates, now = self._endpoints.published(), self.now()
        trouble = any(
            each.last_resort or self._endpoints.local.passed_over_since(each.endpoint.host, now) is not None
            for each in candidates
        )
        return (_BUSY_S if trouble else _CALM_S) * self._jitter(0.75, 1.25)

    def _is_any_reachable(self, now: float) -> bool:
        """Whether there is an endpoint, be it a last resort, that has not failed here lately."""
        passed_over = self._endpoints.local.passed_over_since
        return any(passed_over(each.endpoint.host, now) is None for each in self._endpoints.published())

    def joined(self, connection: Member) -> None:
        """A connection was opened for the pool; it is remembered for as long as it exists."""
        with self._lock:
            self._members.add(connection)

    def is_anyone_astray(self) -> bool:
        """Whether looking through the idle connections may find one to replace."""
        now = self.now()
        best = self._best(now)
        with self._lock:
            members = [each for each in self._members if not each.closed]
        return any(
            (best is not None and each.endpoint.host != best.endpoint.host)
            or now - each.opened_at >= self.policy.max_age_s
            for each in members
        )

    def _best(self, now: float) -> Candidate | None:
        passed_over = self._endpoints.local.passed_over_since
        return next(
            (
                each
                for each in self._endpoints.published()
                if not each.last_resort and passed_over(each.endpoint.host, now) is None
            ),
            None,
        )

    def _should_leave(self, host: str, now: float) -> bool:
        best = self._best(now)
        if best is None or host == best.endpoint.host:
            return False
        # Named by a later source alone is held out too: a DNS record says which one, and not the others.
        held_out = not any(
            host == each.endpoint.host and not each.last_resort and each.source <= best.source
            for each in self._endpoints.published()
        )
        gap_s = (RETIRE_S if held_out else HOME_S) / self._size
        with self._lock:
            if now < self._next[held_out]:
                return False
            self._next[held_out] = now + gap_s * self._jitter(0.75, 1.0)
            return True
