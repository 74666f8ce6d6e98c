"""The steps per second over the number of sessions, as an SVG that can be read on light and on dark pages."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from benchmarks.echo import FLOOR, OPENENV, REFERENCE, V2_BATCH
from benchmarks.rounds import Round, Rounds
from benchmarks.servers.start import DEFAULT, NONE, NOT_APPLICABLE
from benchmarks.spread import median
from benchmarks.tables import figure

__all__ = ["chart"]

_WIDTH, _HEIGHT = 860, 470
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 235, 56, 54
_APART = 15.0
"""Between two labels at the right."""


@dataclass(frozen=True)
class _Series:
    label: str
    row: str
    chain: str
    style: str


_SERIES = (
    _Series("v2, one frame steps all", V2_BATCH, NONE, "batch"),
    _Series("v2, default chain", V2_BATCH, DEFAULT, "batch dashed"),
    _Series("bare ASGI echo", FLOOR, NOT_APPLICABLE, "floor"),
    _Series("OpenEnv's dialect", OPENENV, NONE, "ours"),
    _Series("OpenEnv's, default chain", OPENENV, DEFAULT, "ours dashed"),
    _Series("openenv 0.10.0", REFERENCE, NOT_APPLICABLE, "reference"),
)

_STYLE = """
text { font: 13px system-ui, sans-serif; fill: #24292f }
.title { font-size: 16px; font-weight: 600 }
.small { font-size: 12px; fill: #57606a }
.grid { stroke: #d0d7de; stroke-width: 1 }
polyline { fill: none; stroke-width: 2.2 }
.dashed { stroke-dasharray: 6 4 }
polyline.batch { stroke: #8250df } text.batch, circle.batch { fill: #8250df }
polyline.floor { stroke: #6e7781 } text.floor, circle.floor { fill: #6e7781 }
polyline.ours { stroke: #0969da } text.ours, circle.ours { fill: #0969da }
polyline.reference { stroke: #cf222e } text.reference, circle.reference { fill: #cf222e }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 } .small { fill: #9198a1 } .grid { stroke: #3d444d }
polyline.batch { stroke: #ab7df8 } text.batch, circle.batch { fill: #ab7df8 }
polyline.floor { stroke: #9198a1 } text.floor, circle.floor { fill: #9198a1 }
polyline.ours { stroke: #4493f8 } text.ours, circle.ours { fill: #4493f8 }
polyline.reference { stroke: #f85149 } text.reference, circle.reference { fill: #f85149 }
}
"""


def chart(records: Sequence[Round]) -> str:
    """The medians of the echo's rounds. Both axes are logarithmic."""
    rounds = Rounds(records)
    counts = rounds.counts()
    lines = {series: _line(rounds, series, counts) for series in _SERIES}
    lines = {series: points for series, points in lines.items() if points}
    scale = _Scale(counts, [value for points in lines.values() for value in points.values()])
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-labelledby="title">',
        '<title id="title">Steps per second of one server process over the number of sessions</title>',
        f"<style>{_STYLE}</style>",
        f'<text class="title" x="{_LEFT}" y="24">Steps per second of one server process</text>',
        f'<text class="small" x="{_LEFT}" y="43">echo environment, medians of interleaved rounds; both axes logarithmic</text>',
        *_axes(scale, counts),
        *_drawn(scale, lines),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _line(rounds: Rounds, series: _Series, counts: Sequence[int]) -> dict[int, float]:
    found = {count: rounds.of(series.row, series.chain, count) for count in counts}
    return {count: median(one.per_s for one in seen) for count, seen in found.items() if seen}


class _Scale:
    def __init__(self, counts: Sequence[int], values: Sequence[float]) -> None:
        self._first, self._last = math.log(counts[0]), math.log(counts[-1])
        self.low = 10 ** math.floor(math.log10(min(values)))
        self.high = 10 ** math.ceil(math.log10(max(values)))

    def x(self, count: int) -> float:
        share = (math.log(count) - self._first) / ((self._last - self._first) or 1.0)
        return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        share = math.log(value / self.low) / (math.log(self.high / self.low) or 1.0)
        return _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)


def _axes(scale: _Scale, counts: Sequence[int]) -> list[str]:
    parts = []
    power = scale.low
    while power <= scale.high:
        for value in (power, 2 * power, 5 * power):
            if value <= scale.high:
                y = scale.y(value)
                parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
                parts.append(f'<text class="small" x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{value:,.0f}</text>')
        power *= 10
    parts += [
        f'<text class="small" x="{scale.x(count):.1f}" y="{_HEIGHT - _BOTTOM + 20}" text-anchor="middle">{count:,}</text>'
        for count in counts
    ]
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(f'<text class="small" x="{middle:.0f}" y="{_HEIGHT - 12}" text-anchor="middle">sessions</text>')
    return parts


def _drawn(scale: _Scale, lines: Mapping[_Series, Mapping[int, float]]) -> list[str]:
    parts = []
    wanted = {}
    for series, points in lines.items():
        places = " ".join(f"{scale.x(count):.1f},{scale.y(value):.1f}" for count, value in points.items())
        parts.append(f'<polyline class="{series.style}" points="{places}"/>')
        for count, value in points.items():
            said = escape(f"{series.label}, {count:,} sessions: {value:,.0f} steps/s")
            where = f'cx="{scale.x(count):.1f}" cy="{scale.y(value):.1f}"'
            parts.append(f'<circle class="{series.style.split()[0]}" {where} r="3.2"><title>{said}</title></circle>')
        wanted[series] = scale.y(list(points.values())[-1])
    for series, y in _apart(wanted).items():
        last = list(lines[series].values())[-1]
        text = escape(f"{series.label}: {figure(last)}")
        parts.append(f'<text class="{series.style.split()[0]}" x="{_WIDTH - _RIGHT + 10}" y="{y + 4:.1f}">{text}</text>')
    return parts


def _apart(wanted: Mapping[_Series, float]) -> dict[_Series, float]:
    """The labels' heights, moved down where they would lie upon each other, and up again where they would leave the plot."""
    placed: dict[_Series, float] = {}
    floor = -math.inf
    for series, y in sorted(wanted.items(), key=lambda item: item[1]):
        floor = max(y, floor + _APART)
        placed[series] = floor
    beyond = max(0.0, floor - (_HEIGHT - _BOTTOM))
    return {series: y - beyond for series, y in placed.items()}
