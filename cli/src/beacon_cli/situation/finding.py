"""One thing that an operator should know: how much it matters, in words, and the command that helps. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum

__all__ = ["Finding", "Level", "clock", "joined", "span"]


class Level(IntEnum):
    """How much a finding matters; the highest first on the screen."""

    DETAIL = 0
    """As usual; the table of `beacon status` shows it already."""
    INFO = 1
    """What an operator should know of what has happened."""
    UNKNOWN = 2
    """A fact could not be read."""
    WARN = 3
    """An operator should act, and clients are served."""
    BAD = 4
    """Clients are affected, or nothing guards them now."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A sentence or two about a Region, or about the deployment where ``region`` is empty."""

    level: Level
    text: str
    command: str = ""
    region: str = ""


def span(seconds: float) -> str:
    """A duration as an operator says it: `12 s`, `3 min`, `2 h 5 min`."""
    whole = max(0, round(seconds))
    if whole < 120:
        return f"{whole} s"
    minutes = round(whole / 60)
    if minutes < 120:
        return f"{minutes} min"
    hours, rest = divmod(minutes, 60)
    if hours >= 48:
        return f"{round(hours / 24)} days"
    return f"{hours} h {rest} min" if rest else f"{hours} h"


def clock(instant: datetime, now: datetime) -> str:
    """An instant as a time of day in UTC, with its date where that is not today's."""
    own, today = instant.astimezone(UTC), now.astimezone(UTC)
    return f"{own:%H:%M:%S} UTC" if own.date() == today.date() else f"{own:%Y-%m-%d %H:%M} UTC"


def joined(names: Iterable[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    *first, last = list(names)
    return f"{', '.join(first)} and {last}" if first else last
