"""Draws lanes over time as SVG text: states from when to when, predictions behind, measurements on top.

It knows nothing of drills. Every text is escaped, nothing is loaded, and the tones also differ in their
pattern, so that a print in black and white can be read. Pure.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from xml.sax.saxutils import escape

__all__ = ["Band", "Lane", "Mark", "Moment", "Segment", "Tone", "draw", "text_of"]

_WIDTH, _LEFT, _RIGHT = 960.0, 190.0, 24.0
_TOP, _LANE, _BAR, _BOTTOM = 46.0, 50.0, 18.0, 48.0
_FONT = 'font-family="system-ui, sans-serif"'
_LETTER = 6.4
_STEPS = (0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600)
_MOST_TICKS = 14
#: What no XML may hold.
_CONTROLS = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Tone(Enum):
    """What a segment means, and its colour."""

    GOOD = "#8cc49b"
    BAD = "#e08a7d"
    UNSURE = "#e9c46a"
    UNREAD = "#c9ccd1"


@dataclass(frozen=True, slots=True)
class Segment:
    """A lane's state from ``from_s`` to ``to_s``."""

    from_s: float
    to_s: float
    tone: Tone
    label: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Band:
    """When something is predicted, and when it is expected."""

    from_s: float
    to_s: float
    expected_s: float


@dataclass(frozen=True, slots=True)
class Mark:
    """When something was measured; ``good`` says whether that is as it should be."""

    at_s: float
    label: str
    good: bool = True


@dataclass(frozen=True, slots=True)
class Lane:
    """One row of the picture."""

    name: str
    segments: Sequence[Segment]
    bands: Sequence[Band] = ()
    marks: Sequence[Mark] = ()


@dataclass(frozen=True, slots=True)
class Moment:
    """A line across all lanes."""

    at_s: float
    label: str


@dataclass(frozen=True, slots=True)
class _Frame:
    from_s: float
    to_s: float
    lanes: int

    @property
    def height(self) -> float:
        return _TOP + self.lanes * _LANE + _BOTTOM

    def x(self, at_s: float) -> float:
        inside = min(max(at_s, self.from_s), self.to_s)
        return _LEFT + (inside - self.from_s) / (self.to_s - self.from_s) * (_WIDTH - _LEFT - _RIGHT)


def text_of(given: str) -> str:
    """``given`` as text of XML or HTML; what no document may hold is left out."""
    return escape(_CONTROLS.sub("", given), {'"': "&quot;", "'": "&#39;"})


def draw(title: str, lanes: Sequence[Lane], moments: Iterable[Moment], *, from_s: float, to_s: float) -> str:
    """The picture from ``from_s`` to ``to_s``, as an ``svg`` element that fills the width it is given."""
    frame = _Frame(from_s, max(to_s, from_s + 1.0), len(lanes))
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH:g} {frame.height:g}" role="img"'
        f' width="100%" {_FONT} font-size="12">'
    )
    parts = [
        head,
        f"<title>{text_of(title)}</title>",
        _PATTERNS,
        f'<rect width="{_WIDTH:g}" height="{frame.height:g}" fill="#ffffff"/>',
        *_axis(frame),
    ]
    for number, lane in enumerate(lanes):
        parts += _lane(frame, lane, _TOP + number * _LANE)
    parts += _moments(frame, moments)
    return "\n".join([*parts, "</svg>"])


_PATTERNS = (
    '<defs><pattern id="bad" width="6" height="6" patternUnits="userSpaceOnUse"'
    ' patternTransform="rotate(45)">'
    f'<rect width="6" height="6" fill="{Tone.BAD.value}"/>'
    '<line x1="0" y1="0" x2="0" y2="6" stroke="#a33c2c" stroke-width="1.6"/></pattern>'
    '<pattern id="unread" width="6" height="6" patternUnits="userSpaceOnUse">'
    f'<rect width="6" height="6" fill="{Tone.UNREAD.value}"/><circle cx="3" cy="3" r="1" fill="#71757c"/>'
    "</pattern></defs>"
)
_FILLS = {Tone.BAD: "url(#bad)", Tone.UNREAD: "url(#unread)"}


def _axis(frame: _Frame) -> list[str]:
    length = frame.to_s - frame.from_s
    step = next((step for step in _STEPS if length / step <= _MOST_TICKS), _STEPS[-1])
    bottom = frame.height - _BOTTOM
    parts = []
    tick = math.ceil(frame.from_s / step) * step
    while tick <= frame.to_s:
        x = frame.x(tick)
        parts.append(
            f'<line x1="{x:.1f}" y1="{_TOP - 6:g}" x2="{x:.1f}" y2="{bottom:g}" stroke="#e4e6ea"/>'
            f'<text x="{x:.1f}" y="{bottom + 16:g}" text-anchor="middle" fill="#4a4f57">{tick + 0.0:g}</text>'
        )
        tick += step
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(
        f'<text x="{middle:g}" y="{bottom + 34:g}" text-anchor="middle" fill="#4a4f57">seconds</text>'
    )
    return parts


def _lane(frame: _Frame, lane: Lane, top: float) -> list[str]:
    bar = top + 22
    parts = [f'<text x="8" y="{bar + 13:g}" fill="#1c2026">{text_of(lane.name)}</text>']
    for band in lane.bands:
        left = frame.x(band.from_s)
        width = max(1.0, frame.x(band.to_s) - left)
        parts.append(
            f'<rect x="{left:.1f}" y="{top + 4:g}" width="{width:.1f}" height="{_LANE - 2:g}"'
            ' rx="3" fill="#5b8def" fill-opacity="0.22" stroke="#5b8def" stroke-dasharray="4 3"'
            f' stroke-opacity="0.8"><title>predicted {band.from_s:.1f} to {band.to_s:.1f} s</title></rect>'
        )
    for segment in lane.segments:
        parts += _segment(frame, segment, bar)
    for band in lane.bands:
        if frame.from_s <= band.expected_s <= frame.to_s:
            x = frame.x(band.expected_s)
            parts.append(
                f'<path d="M{x:.1f} {bar + _BAR - 1:g} l-4 6 h8 z" fill="#2f5fc4"><title>expected at'
                f" {band.expected_s:.1f} s</title></path>"
            )
    for mark in lane.marks:
        x, colour = frame.x(mark.at_s), "#14532d" if mark.good else "#991b1b"
        anchor = "end" if x > _WIDTH - 110 else "start"
        shift = -5 if anchor == "end" else 5
        parts.append(
            f'<line x1="{x:.1f}" y1="{top + 6:g}" x2="{x:.1f}" y2="{bar + _BAR + 2:g}" stroke="{colour}"'
            f' stroke-width="2.4"/><text x="{x + shift:.1f}" y="{top + 16:g}" text-anchor="{anchor}"'
            f' fill="{colour}" font-weight="600">{text_of(mark.label)}</text>'
        )
    return parts


def _segment(frame: _Frame, segment: Segment, top: float) -> list[str]:
    if segment.to_s <= frame.from_s or segment.from_s >= frame.to_s:
        return []
    left, right = frame.x(segment.from_s), frame.x(segment.to_s)
    width = max(0.5, right - left)
    detail = text_of(segment.detail or segment.label)
    fill = _FILLS.get(segment.tone, segment.tone.value)
    box = (
        f'<rect x="{left:.1f}" y="{top:g}" width="{width:.1f}" height="{_BAR:g}" fill="{fill}"'
        f' stroke="#ffffff"><title>{detail}</title></rect>'
    )
    parts = [box]
    if segment.label and len(segment.label) * _LETTER < width - 6:
        paper = len(segment.label) * _LETTER + 4
        parts.append(
            f'<rect x="{left + 3:.1f}" y="{top + 2:g}" width="{paper:.1f}" height="{_BAR - 4:g}" rx="2"'
            ' fill="#ffffff" fill-opacity="0.75"/>'
            f'<text x="{left + 5:.1f}" y="{top + 13:g}" font-size="11" fill="#1c2026">'
            f"{text_of(segment.label)}</text>"
        )
    return parts


def _moments(frame: _Frame, moments: Iterable[Moment]) -> list[str]:
    parts = []
    for one in moments:
        x = frame.x(one.at_s)
        parts.append(
            f'<line x1="{x:.1f}" y1="{_TOP - 14:g}" x2="{x:.1f}" y2="{frame.height - _BOTTOM:g}"'
            ' stroke="#1c2026" stroke-width="1.4"/>'
            f'<text x="{x + 4:.1f}" y="{_TOP - 18:g}" fill="#1c2026" font-weight="600">'
            f"{text_of(one.label)}</text>"
        )
    return parts
