"""How a pool treats a connection before it hands it out: use it, look at it first, or replace it. No I/O.

================================================  ==================================================
the connection                                    treatment
================================================  ==================================================
is older than ``max_age_s``                       replace, but only so many a second: all within
                                                  ``RETIRE_S`` (DSQL ends one at 60 minutes); until
                                                  then look
leads to an endpoint that has failed (below)      replace: neither an old connection nor a new one got
                                                  through
leads to an endpoint that the sources hold out    replace, but only so many a second: within
                                                  ``RETIRE_S`` all of them are elsewhere
leads to another endpoint than the best one       replace, much more slowly: all within ``HOME_S``
leads to an endpoint that is passed over here,    look: send ``SELECT 1`` under a short deadline
or at which another connection has been silent
since this one was used
has been idle for ``check_idle_s``                look
is none of these                                  use
================================================  ==================================================

An endpoint has failed when one connection to it was silent and a fresh one failed, at most 15 s apart. One
silent connection alone proves nothing: networks drop connections without a word. A fresh connection to an
endpoint that was silent also fails when it logged in, had time for an answer and gave none
(:mod:`beacon.client.race`). An overloaded endpoint has not failed. While no other endpoint can be reached, no
connection is replaced because of its endpoint.

All ages are of the clock that counts the time in which a sandbox was frozen. A wall clock that is set forward
makes every connection old at once, and the pool replaces them just as slowly.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol
from weakref import WeakSet

from beacon.client.arguments import number, require_none
from beacon.client.candidates import Candidate
from beacon.client.connect_error import ConnectError
from beacon.client.connect_rate import REFILL_S, ConnectRate
from beacon.client.endpoints import Endpoints
from beacon.model import Endpoint
from beacon.outcome import Reason

__all__ = ["PoolCare", "PoolPolicy", "Treatment"]

#: The time in which all connections to an endpoint that is held out, or not the best, are replaced.
RETIRE_S, HOME_S = 10.0, 300.0
#: How near in time a silent connection and a failed fresh one have to be to confirm each other.
_TOGETHER_S = 15.0
#: The pause between two looks through idle connections: while something is wrong, and otherwise.
_BUSY_S, _CALM_S = 0.5, 5.0
#: The longest wait of a connect before it asks again whether it may start.
_ASK_AGAIN_S = 0.25


class Treatment(Enum):
    """What to do with a connection."""

    USE = auto()
    LOOK = auto()
    REPLACE = auto()


class _Why(Enum):
    """Why a connection is replaced though it works; each has a pace of its own."""

    OLD = auto()
    HELD_OUT = auto()
    NOT_BEST = auto()


@dataclass(frozen=True, slots=True)
class PoolPolicy:
    """How a pool treats its connections.

    A DSQL cluster takes 100 connects a second from all of its clients together, which the last two bound
    (:mod:`beacon.client.connect_rate`). Raises ``ValueError`` with every reason at once.

    :param max_age_s: the age at which a connection is replaced, in seconds, shortened at random by up to 5 %;
        default 3000.0.
    :param check_idle_s: after how many seconds without use a connection has to answer ``SELECT 1`` before the
        pool hands it out; default 1.0.
    :param check_timeout_s: how long it has for that answer, in seconds; default 0.5.
    :param connects_per_s: how many connects the pool starts in any one second, at most; default 25.
    :param refill_s: in how many seconds the second half of a pool that lost all of its connections is opened;
        default 7.0.
    """

    max_age_s: float = 3000.0
    check_idle_s: float = 1.0
    check_timeout_s: float = 0.5
    connects_per_s: int = 25
    refill_s: float = REFILL_S

    def __post_init__(self) -> None:
        require_none(
            number("max_age_s", self.max_age_s, 60, 3300)
            + number("check_idle_s", self.check_idle_s, 0, 3600)
            + number("check_timeout_s", self.check_timeout_s, 0.05, 30)
            + number("connects_per_s", self.connects_per_s, 1, 100, whole=True)
            + number("refill_s", self.refill_s, 0, 600)
        )


class Member(Protocol):
    """What is to be known of a pooled connection."""

    endpoint: Endpoint
    opened_at: float

    @property
    def closed(self) -> bool:
        """Whether the connection is closed."""


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
        self._local, self._clock = endpoints.surroundings.local, endpoints.surroundings.clock
        self._size = max(1, size)
        self._jitter = jitter
        self._lock = threading.Lock()
        #: When the next connection may go.
        self._next = dict.fromkeys(_Why, float("-inf"))
        self._rate = ConnectRate(policy.connects_per_s, self._size, policy.refill_s, jitter)
        self._slowed_at = float("-inf")
        self._members: WeakSet[Member] = WeakSet()
        #: How the last connect failed; ``None`` when it did not.
        self.last_failure: ConnectError | None = None

    def now(self) -> float:
        """The clock for what lasts from one call to the next, in seconds."""
        return self._clock()

    def must_wait_s(self) -> float:
        """0 when a connect may start now, which counts it; else how long to wait before asking again."""
        now, overloaded_at = self.now(), self._local.overloaded_at
        if overloaded_at > self._slowed_at:
            self._slowed_at = overloaded_at
            self._rate.slow_down()
        # A pool that waits for its turn may lose its last connection meanwhile, and is then asked about soon.
        return min(self._rate.take(now, empty=not self._open_members()), _ASK_AGAIN_S)

    def failed(self, error: ConnectError) -> None:
        """A connect that was started failed."""
        self.last_failure = error
        if all(attempt.reason != Reason.TOO_MANY_CONNECTIONS.value for attempt in error.attempts):
            self._rate.give_back()

    def why_not(self) -> str:
        """Why the pool has no connection, to follow what psycopg_pool says; empty while connects succeed."""
        return f"; the last connect failed: {self.last_failure}" if self.last_failure else ""

    def check_s(self, query_timeout_s: float | None) -> float:
        """How long a connection that is looked at has for its answer: no longer than any statement."""
        check_s = self.policy.check_timeout_s
        return check_s if query_timeout_s is None else min(check_s, query_timeout_s)

    def is_too_late(self, host: str, left_s: float) -> bool:
        """Whether a request with so little time left cannot get an answer from ``host``, so asks for none."""
        return left_s <= self._local.least_answer_s(host)

    def treatment(self, host: str, *, opened_at: float, used_at: float) -> Treatment:
        """Judge an idle connection by the module's rules. ``REPLACE`` takes one turn of its pace."""
        now, local = self.now(), self._local
        old = now - opened_at >= self.policy.max_age_s
        if old and self._is_its_turn(_Why.OLD, now):
            return Treatment.REPLACE
        silent_at, failed_since = local.silent_at(host), local.passed_over_since(host, now)
        if failed_since is not None:
            confirmed = silent_at is not None and abs(failed_since - silent_at) <= _TOGETHER_S
            if confirmed and opened_at < failed_since and self._is_any_reachable(now):
                return Treatment.REPLACE
        if self._should_leave(host, now):
            return Treatment.REPLACE
        silent_since = silent_at is not None and silent_at >= used_at
        if old or silent_since or failed_since is not None or now - used_at >= self.policy.check_idle_s:
            return Treatment.LOOK
        return Treatment.USE

    def pause_s(self) -> float:
        """How long to wait before idle connections are looked through again."""
        candidates, now = self._endpoints.published(), self.now()
        trouble = self._is_any_old(now) or any(
            each.last_resort or self._local.passed_over_since(each.endpoint.host, now) is not None
            for each in candidates
        )
        return (_BUSY_S if trouble else _CALM_S) * self._jitter(0.75, 1.25)

    def _is_any_reachable(self, now: float) -> bool:
        """Whether there is an endpoint, be it a last resort, that has not failed here lately."""
        passed_over = self._local.passed_over_since
        return any(passed_over(each.endpoint.host, now) is None for each in self._endpoints.published())

    def joined(self, connection: Member) -> None:
        """A connection was opened for the pool; it is remembered for as long as it exists."""
        self.last_failure = None
        with self._lock:
            self._members.add(connection)

    def is_anyone_astray(self) -> bool:
        """Whether looking through the idle connections may find one to replace."""
        now = self.now()
        best = self._best(now)
        strays = best is not None and any(
            each.endpoint.host != best.endpoint.host for each in self._open_members()
        )
        return strays or self._is_any_old(now)

    def _is_any_old(self, now: float) -> bool:
        return any(now - each.opened_at >= self.policy.max_age_s for each in self._open_members())

    def _open_members(self) -> list[Member]:
        with self._lock:
            return [each for each in self._members if not each.closed]

    def _best(self, now: float) -> Candidate | None:
        passed_over = self._local.passed_over_since
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
        # An endpoint that only a later source names is also held out. A DNS record names one endpoint; it
        # says nothing about the others.
        held_out = not any(
            host == each.endpoint.host and not each.last_resort and each.source <= best.source
            for each in self._endpoints.published()
        )
        return self._is_its_turn(_Why.HELD_OUT if held_out else _Why.NOT_BEST, now)

    def _is_its_turn(self, why: _Why, now: float) -> bool:
        """Whether the next connection may be replaced, which counts it."""
        gap_s = (HOME_S if why is _Why.NOT_BEST else RETIRE_S) / self._size
        with self._lock:
            if now < self._next[why]:
                return False
            self._next[why] = now + gap_s * self._jitter(0.75, 1.0)
            return True
