"""Chooses at random, from a seed, which events meet a fault: a share of them. No I/O and no clock."""

import random

from beacon_lab.dsql.rules import Refusal

__all__ = ["HANG", "RESET", "Chance"]

#: Stands for no answer at all, ever.
HANG = Refusal("", "never answered")
#: Stands for an answer by RST.
RESET = Refusal("", "answered with RST")


class Chance:
    """Strikes ``share_pct`` of the events, each by its own throw; ``seed`` makes the throws repeatable."""

    def __init__(self, outcome: Refusal, *, share_pct: int = 100, seed: int | None = None) -> None:
        self._outcome = outcome
        self._share_pct = share_pct
        self._dice = random.Random(seed)  # noqa: S311 - no secret hangs on it

    def strike(self) -> Refusal | None:
        """What the event at hand meets; None if it is spared."""
        return self._outcome if self._dice.random() * 100 < self._share_pct else None
