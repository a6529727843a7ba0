"""A line chart as inline SVG: no script, no font, no picture from elsewhere. The training process, and
`ambientd blend-report`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

WIDTH, HEIGHT = 760, 300
LEFT, RIGHT, TOP, BOTTOM = 56, 12, 28, 40
TICKS = 6
MOST_POINTS = 500
"""Of one line; a longer curve is averaged, which also smooths it."""
STRAY = 0.03
"""The share of points that may lie above the chart: the first minutes of a training would flatten all that follows."""

Point = tuple[float, float]


@dataclass(frozen=True)
class Line:
    """One curve. style: its CSS class; dots: mark each point."""

    name: str
    style: str
    points: Sequence[Point]
    dots: bool = False


def chart(lines: Sequence[Line], x_label: str, y_label: str, stray: float = STRAY) -> str:
    """The lines over common axes, as an <svg>. Points that are not finite are left out; empty without any.

    stray: the share of points that may lie above.
    """
    drawn = [Line(line.name, line.style, thinned(finite(line.points)), line.dots) for line in lines]
    drawn = [line for line in drawn if line.points]
    if not drawn:
        return ""
    ys = sorted(y for line in drawn for _, y in line.points)
    x_axis = _Axis([x for line in drawn for x, _ in line.points], LEFT, WIDTH - RIGHT)
    y_axis = _Axis([ys[0], ys[math.ceil((len(ys) - 1) * (1 - stray))]], HEIGHT - BOTTOM, TOP)
    label = escape(f"{y_label} over {x_label}: {', '.join(line.name for line in drawn)}")
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">',
        f'<clipPath id="plot"><rect x="{LEFT}" y="{TOP}" width="{WIDTH - LEFT - RIGHT}" '
        f'height="{HEIGHT - TOP - BOTTOM}"/></clipPath>',
        *(f'<path class="grid" d="M{x_axis.at(t):.1f} {TOP}V{HEIGHT - BOTTOM}"/>'
          f'<text class="mid" x="{x_axis.at(t):.1f}" y="{HEIGHT - BOTTOM + 16}">{t:g}</text>' for t in x_axis.ticks()),
        *(f'<path class="grid" d="M{LEFT} {y_axis.at(t):.1f}H{WIDTH - RIGHT}"/>'
          f'<text class="end" x="{LEFT - 6}" y="{y_axis.at(t) + 4:.1f}">{t:g}</text>' for t in y_axis.ticks()),
        f'<text class="mid" x="{(LEFT + WIDTH) / 2}" y="{HEIGHT - 6}">{escape(x_label)}</text>',
        f'<text x="6" y="16">{escape(y_label)}</text>',
        *(_drawn(line, x_axis, y_axis) for line in drawn),
        *(f'<text class="end {line.style}" x="{WIDTH - RIGHT - 110 * index}" y="16">{escape(line.name)}</text>'
          for index, line in enumerate(reversed(drawn))),
        "</svg>",
    ]  # fmt: skip
    return "".join(parts)


def finite(points: Sequence[Point]) -> list[Point]:
    return [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)]


def thinned(points: Sequence[Point], most: int = MOST_POINTS) -> list[Point]:
    """At most `most` points, each the mean of its neighbours."""
    count = len(points)
    if count <= most:
        return list(points)
    edges = [round(i * count / most) for i in range(most + 1)]
    return [
        (sum(x for x, _ in points[a:b]) / (b - a), sum(y for _, y in points[a:b]) / (b - a)) for a, b in pairwise(edges)
    ]


class _Axis:
    """Values onto pixels, a little air at both ends."""

    def __init__(self, values: Sequence[float], first: float, last: float) -> None:
        low, high = min(values), max(values)
        air = 0.04 * (high - low) or 0.5 * abs(high) or 1.0
        self.low, self.high, self.first, self.last = low - air, high + air, first, last

    def at(self, value: float) -> float:
        return self.first + (value - self.low) / (self.high - self.low) * (self.last - self.first)

    def ticks(self) -> list[float]:
        """Round numbers inside."""
        raw = (self.high - self.low) / TICKS
        power = 10.0 ** math.floor(math.log10(raw))
        step = next(power * m for m in (1, 2, 5, 10) if power * m >= raw)
        return [round(k * step, 10) for k in range(math.ceil(self.low / step), math.floor(self.high / step) + 1)]


def _drawn(line: Line, x_axis: _Axis, y_axis: _Axis) -> str:
    places = [(x_axis.at(x), y_axis.at(y)) for x, y in line.points]
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    dots = "".join(f'<circle class="{line.style}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in places if line.dots)
    return f'<g clip-path="url(#plot)"><path class="curve {line.style}" d="M{path}"/>{dots}</g>'
