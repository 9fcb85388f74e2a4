"""A clock for everything that outlives an invocation: it counts the time in which a sandbox was frozen.

Lambda stops a sandbox between invocations, and ``time.monotonic()`` stops with it. An age or an expiry that
is measured by it lasts far too long: ten seconds of use can take a quarter of an hour. The wall clock counts
that time, but can be set back or jump. So this clock advances, from one reading to the next, by the larger of
the two differences:

=============================================  =====================================================
between two readings                           the clock advances by
=============================================  =====================================================
the process ran                                what both clocks say
the sandbox was frozen                         what the wall clock says
the wall clock was set back                    what the monotonic clock says
the wall clock was set forward                 what the wall clock says: the same as a freeze of that length
set back, and forward again later              the step forward counts like a freeze
frozen, and set back meanwhile                 what the monotonic clock says: the freeze is not seen
=============================================  =====================================================

A wall clock that is set forward makes everything that is kept look older, and the holder must be safe with
that: a session is replaced early, an address is looked up early. Use ``time.monotonic`` only for what begins
and ends within one invocation or one call, such as a deadline.
"""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["SuspendAwareClock", "suspend_aware"]


class SuspendAwareClock:
    """Seconds since an arbitrary start; never runs backwards. Call it for the present instant.

    Safe to use from several threads without a lock: the three numbers of a reading are replaced together. A
    thread that overwrites a newer reading with its own loses nothing, because both lead to the same future.
    """

    __slots__ = ("_last", "_monotonic", "_wall")

    def __init__(
        self, monotonic: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time
    ) -> None:
        self._monotonic = monotonic
        self._wall = wall
        self._last = (monotonic(), wall(), 0.0)

    def __call__(self) -> float:
        """The present instant in seconds; only differences between two of them mean anything."""
        used, walled, instant = self._last
        monotonic, wall = self._monotonic(), self._wall()
        instant += max(monotonic - used, wall - walled, 0.0)
        self._last = (monotonic, wall, instant)
        return instant


#: The clock of this process, for whatever is given no other.
suspend_aware = SuspendAwareClock()
