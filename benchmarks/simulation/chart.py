"""A chart as SVG text: points in named series, a linear x axis and a logarithmic y axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

__all__ = ["Axis", "Limit", "Point", "Series", "draw"]

_WIDTH, _HEIGHT = 860, 560
_LEFT, _RIGHT, _TOP, _BOTTOM = 90, 210, 56, 64
_FONT = 'font-family="sans-serif"'


@dataclass(frozen=True, slots=True)
class Point:
    """A value; ``label`` is its text, and ``marked`` puts a ring around it."""

    x: float
    y: float
    label: str = ""
    marked: bool = False


@dataclass(frozen=True, slots=True)
class Series:
    """Points joined by a line of that colour, dashed or not."""

    name: str
    colour: str
    points: Sequence[Point]
    dashed: bool = False


@dataclass(frozen=True, slots=True)
class Axis:
    """An axis' title and its ends; of the y axis both are powers of ten."""

    title: str
    least: float
    most: float


@dataclass(frozen=True, slots=True)
class Limit:
    """A line across the chart at ``x`` or at ``y``."""

    name: str
    colour: str
    x: float | None = None
    y: float | None = None


def draw(title: str, x_axis: Axis, y_axis: Axis, series: Sequence[Series], limits: Sequence[Limit]) -> str:
    """The chart. Points outside the axes' ends are left out."""
    frame = _Frame(x_axis, y_axis)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        _text(_LEFT, 28, title, size=16),
        *frame.grid(),
    ]
    for limit in limits:
        parts += frame.limit(limit)
    for number, one in enumerate(series):
        parts += frame.series(one)
        parts += _key(one, _TOP + 14 + 22 * number)
    return "\n".join([*parts, "</svg>", ""])


class _Frame:
    """Turns values into places."""

    def __init__(self, x_axis: Axis, y_axis: Axis) -> None:
        self._x, self._y = x_axis, y_axis
        self._low, self._high = round(math.log10(y_axis.least)), round(math.log10(y_axis.most))

    def at(self, x: float, y: float) -> tuple[float, float]:
        across = (x - self._x.least) / (self._x.most - self._x.least)
        up = (math.log10(y) - self._low) / (self._high - self._low)
        return (
            round(_LEFT + across * (_WIDTH - _LEFT - _RIGHT), 1),
            round(_HEIGHT - _BOTTOM - up * (_HEIGHT - _TOP - _BOTTOM), 1),
        )

    def grid(self) -> list[str]:
        parts = []
        right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
        for power in range(self._low, self._high + 1):
            _, y = self.at(self._x.least, 10.0**power)
            parts.append(_line(_LEFT, y, right, y, "#dddddd"))
            label = f"{10.0**power:g}" if -3 <= power <= 4 else f"1e{power}"
            parts.append(_text(_LEFT - 8, y + 4, label, anchor="end"))
        for tick in range(math.ceil(self._x.least), math.floor(self._x.most) + 1):
            x, _ = self.at(tick, self._y.least)
            parts.append(_line(x, bottom, x, bottom + 5, "#555555"))
            parts.append(_text(x, bottom + 20, str(tick), anchor="middle"))
        parts.append(_line(_LEFT, bottom, right, bottom, "#555555"))
        parts.append(_line(_LEFT, _TOP, _LEFT, bottom, "#555555"))
        parts.append(_text((_LEFT + right) / 2, _HEIGHT - 20, self._x.title, anchor="middle", size=13))
        middle = (_TOP + bottom) / 2
        turned = f'transform="rotate(-90 24 {middle})"'
        parts.append(_text(24, middle, self._y.title, anchor="middle", size=13, more=turned))
        return parts

    def limit(self, limit: Limit) -> list[str]:
        if limit.y is not None:
            x, y = self.at(self._x.most, limit.y)
            ends: tuple[float, float, float, float] = (_LEFT, y, x, y)
            label = _text(_LEFT + 6, y - 5, limit.name, colour=limit.colour)
        else:
            assert limit.x is not None
            x, y = self.at(limit.x, self._y.most)
            ends = (x, y, x, _HEIGHT - _BOTTOM)
            label = _text(x, y - 6, limit.name, colour=limit.colour, anchor="middle")
        return [_line(*ends, limit.colour, dashes="2 4"), label]

    def series(self, series: Series) -> list[str]:
        shown = [
            (point, *self.at(point.x, point.y))
            for point in series.points
            if self._x.least <= point.x <= self._x.most and self._y.least <= point.y <= self._y.most
        ]
        path = " ".join(f"{x},{y}" for _, x, y in shown)
        dashes = ' stroke-dasharray="6 4"' if series.dashed else ""
        parts = [
            f'<polyline points="{path}" fill="none" stroke="{series.colour}" stroke-width="1.5"{dashes}/>'
        ]
        for point, x, y in shown:
            parts.append(f'<circle cx="{x}" cy="{y}" r="3.5" fill="{series.colour}"/>')
            if point.marked:
                parts.append(f'<circle cx="{x}" cy="{y}" r="9" fill="none" stroke="black" stroke-width="2"/>')
            if point.label:
                parts.append(_text(x + 11, y - 7, point.label))
        return parts


def _key(series: Series, y: float) -> list[str]:
    x = _WIDTH - _RIGHT + 16
    return [
        _line(x, y, x + 24, y, series.colour, dashes="6 4" if series.dashed else "", width=2),
        _text(x + 30, y + 4, series.name),
    ]


def _line(
    x1: float, y1: float, x2: float, y2: float, colour: str, *, dashes: str = "", width: float = 1
) -> str:
    dash = f' stroke-dasharray="{dashes}"' if dashes else ""
    return f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="{colour}" stroke-width="{width}"{dash}/>'


def _text(
    x: float,
    y: float,
    text: str,
    *,
    anchor: str = "start",
    size: int = 12,
    colour: str = "#222222",
    more: str = "",
) -> str:
    return (
        f'<text x="{x}" y="{y}" {_FONT} font-size="{size}" text-anchor="{anchor}" fill="{colour}" {more}>'
        f"{escape(text)}</text>"
    )
