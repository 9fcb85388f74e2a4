"""What happens to one endpoint's probes over time: a loss that is constant between breakpoints.

Between episodes each probe is lost with a fixed probability, independently of every other. An episode raises
it: an outage loses every probe, and so does a burst (a short, correlated loss); a grey failure loses a share.
The loss at the start of a probe counts for it. So a probe is lost even if a burst ends while it waits for its
answer, and bursts count as a little longer than they are.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

__all__ = ["Episode", "Kind", "Weather", "arrivals"]

_DAY_S = 86_400.0


class Kind(Enum):
    """Why probes are lost, other than independently."""

    OUTAGE = "outage"
    BURST = "burst"
    GREY = "grey"


@dataclass(frozen=True, slots=True)
class Episode:
    """From ``start_s`` to ``end_s`` a probe is lost with probability ``loss``."""

    start_s: float
    end_s: float
    kind: Kind
    loss: float = 1.0


class Weather:
    """One endpoint's probe loss; where episodes overlap, the one that loses most counts."""

    def __init__(self, loss: float, episodes: Sequence[Episode] = ()) -> None:
        self.plain_loss = loss
        self._from_s: list[float] = [float("-inf")]
        self._held: list[Episode | None] = [None]
        # A sweep over starts and ends.
        moments = sorted({moment for one in episodes for moment in (one.start_s, one.end_s)})
        waiting = sorted(episodes, key=lambda one: one.start_s, reverse=True)
        active: list[Episode] = []
        for moment in moments:
            while waiting and waiting[-1].start_s <= moment:
                active.append(waiting.pop())
            active = [one for one in active if one.end_s > moment]
            worst = max(active, key=lambda one: one.loss, default=None)
            if worst is not self._held[-1]:
                self._from_s.append(moment)
                self._held.append(worst)

    def episode(self, at_s: float) -> Episode | None:
        """The episode that counts at this moment, if one does."""
        return self._held[bisect_right(self._from_s, at_s) - 1]

    def met(self, start_s: float, end_s: float, kind: Kind | None = None) -> Episode | None:
        """The first episode, of that kind if one is given, that counts at some moment of this time."""
        index = bisect_right(self._from_s, start_s) - 1
        while index < len(self._from_s) and self._from_s[index] <= end_s:
            held = self._held[index]
            if held is not None and kind in {None, held.kind}:
                return held
            index += 1
        return None

    def loss(self, at_s: float) -> float:
        """The probability that a probe started at this moment is lost."""
        episode = self.episode(at_s)
        return self.plain_loss if episode is None else max(self.plain_loss, episode.loss)

    def next_change(self, at_s: float) -> float:
        """When the loss changes next; infinity if it does not change again."""
        index = bisect_right(self._from_s, at_s)
        return self._from_s[index] if index < len(self._from_s) else float("inf")


def arrivals(
    rng: random.Random,
    until_s: float,
    per_day: float,
    kind: Kind,
    *,
    length_s: tuple[float, float],
    loss: tuple[float, float] = (1.0, 1.0),
) -> list[Episode]:
    """Episodes that begin at random, ``per_day`` on average; lengths and losses uniform in their ranges."""
    found: list[Episode] = []
    at_s = 0.0
    while per_day > 0:
        at_s += rng.expovariate(per_day / _DAY_S)
        if at_s >= until_s:
            break
        found.append(Episode(at_s, at_s + rng.uniform(*length_s), kind, rng.uniform(*loss)))
    return found
