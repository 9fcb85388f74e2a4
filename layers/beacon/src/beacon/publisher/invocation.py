"""What one invocation of the publisher does: which rounds it makes, and when it ends.

====================================  ==================================================================
event                                 what is done
====================================  ==================================================================
``{"source": "beacon.health"}``       nothing if the document already shows it, which takes one read of SSM to
                                      find out; else one round
``{"source": "beacon.schedule"}``     a round at once; with a period below a minute further ones, a period
                                      apart; the write canary after the first
anything else                         one round: an operator started it by hand
====================================  ==================================================================

A schedule cannot tick more often than once a minute, so a shorter period is made of several rounds in one
invocation. The function runs once at a time, so an event that arrives meanwhile waits. A further round starts
only if it will be over by **second 50** of the minute and well before the invocation's time is up: the next
tick must find the function free. The minute counts from the tick's scheduled time (``at``): a late or
duplicate tick makes the rounds that are left of its own minute and uses nothing of the next.

Rounds are late by up to 5 % of the period, at random, so that publishers of several Regions do not run in
step.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from beacon.names import EDGE, SCHEDULE
from beacon.publisher.canary import CanaryReport, WriteCanary
from beacon.publisher.round import Publisher, RoundReport

__all__ = ["Invocation", "RoundSchedule"]

_MINUTE_S = 60.0
#: By this second of its minute an invocation has ended.
_END_S = 50.0
#: The invocation's time that stays free after a round, in addition to the round's own worst case.
_RESERVE_S = 2.0
_JITTER = 0.05


@dataclass(frozen=True, slots=True)
class RoundSchedule:
    """How often rounds start, and how long one may take.

    ``speed`` above 1 shortens periods and the minute alike, for a lab that does not wait; never a round.
    """

    every_s: float
    worst_round_s: float
    speed: float = 1.0

    def next_start_s(self, elapsed_s: float) -> float | None:
        """When the next round starts, in real seconds since the tick, or ``None`` if there is no time left.

        ``elapsed_s`` is how long ago the tick was. Starts are whole periods; those that were missed are not
        made up for.
        """
        if self.every_s >= _MINUTE_S:
            return None
        start_s = (math.floor(elapsed_s * self.speed / self.every_s) + 1) * self.every_s
        return start_s / self.speed if start_s + self.worst_round_s <= _END_S else None


class Invocation:
    """Handles the publisher's events, one at a time."""

    def __init__(
        self,
        publisher: Publisher,
        schedule: RoundSchedule,
        canary: WriteCanary | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        jitter: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._publisher = publisher
        self._schedule = schedule
        self._canary = canary
        self._clock = clock
        self._sleep = sleep
        self._now = now
        self._jitter = jitter

    def run(self, event: object, remaining_s: Callable[[], float]) -> Iterator[RoundReport | CanaryReport]:
        """Do what ``event`` asks for and yield each report as it comes.

        ``remaining_s`` tells how much of the invocation's time is left.
        """
        source = event.get("source") if isinstance(event, dict) else None
        if source == EDGE and self._publisher.is_old_news():
            return
        ticked = self._clock() - self._late_s(event)
        yield self._publisher.run()
        if source != SCHEDULE:
            return
        if self._canary is not None:
            yield self._canary.run()
        while self._wait(ticked, remaining_s):
            yield self._publisher.run()

    def _wait(self, ticked: float, remaining_s: Callable[[], float]) -> bool:
        """Wait for the next round; return whether there is one."""
        elapsed_s = self._clock() - ticked
        start_s = self._schedule.next_start_s(elapsed_s)
        if start_s is None:
            return False
        late_s = self._jitter(0.0, _JITTER * self._schedule.every_s / self._schedule.speed)
        wait_s = max(0.0, start_s + late_s - elapsed_s)
        if wait_s + self._schedule.worst_round_s + _RESERVE_S > remaining_s():
            return False
        self._sleep(wait_s)
        return True

    def _late_s(self, event: object) -> float:
        """How long ago the tick of ``event`` was meant to be, as far as it says so and can be believed."""
        at = event.get("at") if isinstance(event, dict) else None
        if not isinstance(at, str):
            return 0.0
        try:
            meant = datetime.fromisoformat(at)
        except ValueError:
            return 0.0
        if meant.tzinfo is None:
            return 0.0
        late = self._now() - meant
        # Lambda drops older events; any other difference comes from a wrong clock.
        return late.total_seconds() if timedelta(0) <= late <= timedelta(minutes=2) else 0.0
