"""A clock for everything that outlives an invocation: it counts the time in which a sandbox was frozen.

Lambda stops a sandbox between invocations, and ``time.monotonic()`` stops with it. An age or an expiry that
is measured by it lasts far too long: ten seconds of use can take a quarter of an hour. The wall clock counts
that time, but can be set back or jump. So this clock follows the monotonic one, and advances further by what
the wall clock gains on it:

=============================================  =====================================================
what happens                                   the clock advances by
=============================================  =====================================================
the process runs                               what the monotonic clock says
the sandbox is frozen                          what the wall clock says
the wall clock is set back                     what the monotonic clock says
the wall clock is set forward                  what the wall clock says: the same as a freeze of that length
set back, and forward again later              the step forward counts like a freeze
frozen, and set back meanwhile                 what the monotonic clock says: the freeze is not seen
=============================================  =====================================================

A gain below 50 ms is kept back until it adds up to that: a thread that is preempted between the readings of
the two clocks must not make this one run fast.

A wall clock that is set forward makes everything that is kept look older, and the holder must be safe with
that: a session is replaced early, an address is looked up early. Use ``time.monotonic`` only for what begins
and ends within one invocation or one call, such as a deadline.
"""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["SuspendAwareClock", "suspend_aware"]


#: Smaller differences between the two clocks are noise of reading them, in seconds.
_NOISE_S = 0.05


class SuspendAwareClock:
    """Seconds since an arbitrary start; never runs backwards. Call it for the present instant.

    Safe to use from several threads without a lock: the two numbers that it keeps are replaced together, and
    threads that see the same freeze come to the same two.
    """

    __slots__ = ("_gained", "_monotonic", "_start", "_wall")

    def __init__(
        self, monotonic: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time
    ) -> None:
        self._monotonic = monotonic
        self._wall = wall
        self._start = monotonic()
        #: By how much the wall clock is ahead of the monotonic one, and what this clock gained by that.
        self._gained = (wall() - self._start, 0.0)

    def __call__(self) -> float:
        """The present instant in seconds; only differences between two of them mean anything."""
        ahead_s, gained_s = self._gained
        monotonic = self._monotonic()
        gain_s = self._wall() - monotonic - ahead_s
        if abs(gain_s) > _NOISE_S:
            gained_s += max(gain_s, 0.0)
            self._gained = (ahead_s + gain_s, gained_s)
        return monotonic - self._start + gained_s


#: The clock of this process, for whatever is given no other.
suspend_aware = SuspendAwareClock()
