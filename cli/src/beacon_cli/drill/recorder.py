"""Keeps what the samplers see, as tracks; several threads may record."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

from beacon_cli.drill.tracks import UNREAD, Of, Point, Track

__all__ = ["Recorder"]


@dataclass(slots=True)
class _Kept:
    of: Of
    region: str
    points: list[Point] = field(default_factory=list)
    until: float = 0.0
    read_at: float | None = None
    """When the last look began that could read; monotonic, as all times in here."""


class Recorder:
    """Values over monotonic time; a value that has not changed only moves the end of its track."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[str, _Kept] = {}

    def add(self, name: str, of: Of, region: str = "") -> None:
        """Begin a track."""
        with self._lock:
            self._kept[name] = _Kept(of, region)

    def record(self, name: str, began: float, ended: float, value: Mapping[str, str]) -> None:
        """A look at ``name`` from ``began`` to ``ended``."""
        with self._lock:
            kept = self._kept[name]
            if not kept.points or dict(kept.points[-1].value) != dict(value):
                after = kept.read_at if kept.read_at is not None else began
                kept.points.append(Point(ended, after, dict(value)))
            kept.until = ended
            if UNREAD not in value:
                kept.read_at = began

    def tracks(self, zero: float) -> tuple[Track, ...]:
        """All tracks, in seconds after the monotonic instant ``zero``."""
        with self._lock:
            return tuple(
                Track(
                    name,
                    kept.of,
                    kept.region,
                    tuple(Point(one.at_s - zero, one.after_s - zero, one.value) for one in kept.points),
                    kept.until - zero,
                )
                for name, kept in self._kept.items()
            )
