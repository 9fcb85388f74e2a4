"""How fast one pool connects, so that a fleet of pools stays below what a DSQL cluster takes. No I/O.

A cluster takes 100 new connections a second from all of its clients together, and a burst of 1,000. When
an endpoint breaks, every pool of a fleet loses its connections at the same moment. No pool knows the others.

=============================================  =====================================================
a connect                                      starts
=============================================  =====================================================
of the first filling of the pool               at once
of the first half after that                   after a short random pause, all of it in about a second
                                               (the very first one at once: a request is waiting)
of the second half                             one after the other, so that all of it takes ``refill_s``
of a pool that has no connection at all        at once, though the allowance is used up; again after about a
                                               second, if it has come to nothing
any                                            never more than ``limit`` in any one second
=============================================  =====================================================

The first half is an allowance that refills as slowly as the second half connects. So the pool replaces one
broken connection at once, and a pool whose connections break again and again does not overload the cluster.
A connect that fails costs no allowance. When the cluster reports too many connections (53300, 53400), the
rest of the allowance is lost, and a pool without a connection waits as well;
:mod:`beacon.client.local_view` says when the next connect may start.

Source: Aurora DSQL User Guide, quotas (connection rate, burst capacity).
"""

from __future__ import annotations

import random
import threading
from collections import deque
from collections.abc import Callable

__all__ = ["REFILL_S", "ConnectRate"]

#: The time in which the second half is opened: 50 pools of 20 make about 70 connects a second then.
REFILL_S = 7.0
#: About the time in which the first half is opened, in seconds.
_FIRST_HALF_S = 1.0
_REFILL_JITTER = (0.5, 1.5)
#: The time between two connects of an empty pool beyond the allowance, in seconds, before the jitter.
_EMPTY_S = 1.0


class ConnectRate:
    """The connects of one pool of ``size``, by the module's rules; safe to use from several threads."""

    def __init__(
        self,
        limit: int,
        size: int,
        refill_s: float = REFILL_S,
        jitter: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._lock = threading.Lock()
        self._jitter = jitter
        self._starts: deque[float] = deque(maxlen=limit)
        self._half = max(2, (size + 1) // 2)
        self._gap_s = refill_s / self._half
        self._left = size + self._half
        #: When the next connect may start, the next one of an empty pool, and when the allowance grows again
        #: (``None``: it is full).
        self._next_at = float("-inf")
        self._empty_at = float("-inf")
        self._grows_at: float | None = None

    def take(self, now: float, *, empty: bool = False) -> float:
        """Start ``now`` if that is allowed and return 0; else say how long to wait before asking again.

        ``empty`` says that the pool has no connection.
        """
        with self._lock:
            self._grow(now)
            if self._left <= 0 and self._grows_at is None:
                self._grows_at = now + self._gap_s * self._jitter(*_REFILL_JITTER)
            full = len(self._starts) == self._starts.maxlen
            ready_at = max(self._starts[0] + 1.0 if full else now, self._next_at)
            if self._left <= 0 and self._grows_at is not None:
                grows_at = min(self._grows_at, self._empty_at) if empty else self._grows_at
                ready_at = max(ready_at, grows_at)
            if ready_at > now:
                return ready_at - now
            if self._left <= 0:
                # Never where the cluster has too many connections: the allowance has grown before then.
                self._empty_at = now + _EMPTY_S * self._jitter(*_REFILL_JITTER)
            self._starts.append(now)
            self._use(now)
            return 0.0

    def give_back(self) -> None:
        """A connect that was started has failed: it costs no allowance."""
        with self._lock:
            self._left += 1

    def slow_down(self) -> None:
        """The cluster has too many connections: the next connects are as slow as the second half."""
        with self._lock:
            self._left = 0
            self._empty_at = float("inf")

    def _grow(self, now: float) -> None:
        while self._grows_at is not None and self._grows_at <= now and self._left < self._half:
            self._left += 1
            if self._left > 0 and self._empty_at == float("inf"):
                self._empty_at = float("-inf")
            self._grows_at += self._gap_s * self._jitter(*_REFILL_JITTER)
        if self._left >= self._half:
            self._grows_at = None

    def _use(self, now: float) -> None:
        # One connect beyond the allowance, at the most, has to be made up for.
        self._left = max(self._left - 1, -1)
        if self._left >= self._half:
            return  # the first filling
        self._next_at = now + self._jitter(0.0, 2 * _FIRST_HALF_S / self._half)
        if self._grows_at is None:
            self._grows_at = now + self._gap_s * self._jitter(*_REFILL_JITTER)
