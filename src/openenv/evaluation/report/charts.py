"""Bar charts as SVG, drawn by hand: no script, no file, no font from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from openenv.evaluation.report.markup import Markup, element, join, percent, shortened
from openenv.evaluation.statistics import Rate

__all__ = ["Row", "legend", "rate_chart", "stacked_chart"]

WIDTH = 760
LABEL = 250
VALUE = 96
PLOT = WIDTH - LABEL - VALUE
COLORS = 8
"""How many colours the style sheet has; further series begin again."""


@dataclass(frozen=True, slots=True)
class Row:
    """A label and its bars, one for each series, in the order of the legend."""

    label: str
    rates: Sequence[Rate | None]
    note: str = ""
    """Shown when the pointer rests on the row."""


def legend(series: Sequence[str]) -> Markup:
    """The names of the series with their colours."""
    return element(
        "p",
        *(
            element("span", element("i", class_=f"key s{index % COLORS}"), name, class_="series")
            for index, name in enumerate(series)
        ),
        class_="legend",
    )


def rate_chart(rows: Sequence[Row], *, title: str) -> Markup:
    """Rates from 0 to 100 % as horizontal bars, with their 95 % intervals as whiskers."""
    bar, gap, top = 13, 9, 22
    parts: list[Markup] = []
    y = float(top)
    for row in rows:
        height = bar * max(1, len(row.rates))
        parts.append(_label(row.label, y + height / 2, row.note))
        for index, found in enumerate(row.rates):
            if found is not None:
                parts.append(_bar(found, index, y + index * bar, bar - 3))
        y += height + gap
    return _figure(title, join(_axis(top - 4, y - gap), *parts), y)


def stacked_chart(rows: Mapping[str, Mapping[str, int]], categories: Mapping[str, str], *, title: str) -> Markup:
    """For each row, how its count divides into the categories (key → words), as shares of the row's sum."""
    bar, gap, top = 20, 10, 22
    parts: list[Markup] = []
    y = float(top)
    for label, counts in rows.items():
        total = sum(counts.values())
        parts.append(_label(label, y + bar / 2, f"{label}: {total}"))
        x = float(LABEL)
        for index, (key, words) in enumerate(categories.items()):
            count = counts.get(key, 0)
            if not count:
                continue
            width = PLOT * count / total
            tip = element("title", f"{words}: {count} of {total}")
            parts.append(element("rect", tip, class_=f"fill s{index % COLORS}", x=x, y=y, width=width, height=bar))
            if width > 34:
                parts.append(_text(percent(count / total), x + width / 2, y + bar / 2, anchor="middle", class_="inside"))
            x += width
        parts.append(_text(f"{total} in all" if total else "none", LABEL + PLOT + 8, y + bar / 2))
        y += bar + gap
    return _figure(title, join(_axis(top - 4, y - gap), *parts), y)


def _bar(found: Rate, index: int, y: float, height: float) -> Markup:
    middle = y + height / 2
    if found.value is None or found.low is None or found.high is None:
        return _text("not scored", LABEL + PLOT + 8, middle, class_="muted")
    low, high = LABEL + PLOT * found.low, LABEL + PLOT * found.high
    told = f"{found.passed} of {found.total}: {percent(found.value)}, 95 % interval {percent(found.low)} to {percent(found.high)}"
    return element(
        "g",
        element("title", told),
        element("rect", class_=f"fill s{index % COLORS}", x=LABEL, y=y, width=max(3.0, PLOT * found.value), height=height),
        element("line", class_="whisker", x1=low, x2=high, y1=middle, y2=middle),
        element("line", class_="whisker", x1=low, x2=low, y1=middle - 3, y2=middle + 3),
        element("line", class_="whisker", x1=high, x2=high, y1=middle - 3, y2=middle + 3),
        _text(f"{percent(found.value)} ({found.passed}/{found.total})", LABEL + PLOT + 8, middle),
    )


def _axis(top: float, bottom: float) -> Markup:
    parts: list[Markup] = []
    for step in range(5):
        x = LABEL + PLOT * step / 4
        parts.append(element("line", class_="grid", x1=x, x2=x, y1=top, y2=bottom))
        parts.append(_text(f"{25 * step} %", x, top - 8, anchor="middle", class_="muted"))
    return join(*parts)


def _label(text: str, y: float, note: str) -> Markup:
    tip = element("title", note or text)
    return element("text", tip, shortened(text, 38), x=LABEL - 10, y=y, text_anchor="end", dominant_baseline="central")


def _text(text: str, x: float, y: float, *, anchor: str = "start", class_: str | None = None) -> Markup:
    return element("text", text, x=x, y=y, text_anchor=anchor, dominant_baseline="central", class_=class_)


def _figure(title: str, content: Markup, height: float) -> Markup:
    box = f"0 0 {WIDTH} {height + 4:g}"
    return element("svg", element("title", title), content, viewBox=box, role="img", class_="chart")
