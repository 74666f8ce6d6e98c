"""RFC 5545's recurrence rules for events that happen at most once a day, expanded day by day.

A rule looks at whole periods (days, weeks, months, years), keeps the days that fit, and picks by BYSETPOS. Every day it
looks at is counted: a rule that fits no day looks at as many days as the window has, and never at more than a `Search`
allows. Any window is reached without going through the periods before it, unless the rule has COUNT.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, time
from functools import lru_cache
from typing import Final, Literal

from calendar_env.times import LAST_YEAR

MAX_EXAMINED: Final = 200_000
"""The most days that one search looks at, over all of a series' rules: more than five hundred years of days."""

Frequency = Literal["DAILY", "WEEKLY", "MONTHLY", "YEARLY"]
_LAST_DAY: Final = date(LAST_YEAR, 12, 31).toordinal()
_LAST: Final = datetime(LAST_YEAR, 12, 31, 23, 59, 59)


class Search:
    """How many days a search has looked at, and how many it still may."""

    def __init__(self, limit: int = MAX_EXAMINED) -> None:
        self.limit = limit
        self.examined = 0

    @property
    def exhausted(self) -> bool:
        """Whether it ended because it had looked at too many days."""
        return self.examined >= self.limit

    def look(self, days: int) -> bool:
        """Count so many days; false when they are not to be looked at any more."""
        if self.exhausted:
            return False
        self.examined += days
        return True


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of a series that begins at ``first``; all of it on the series' own wall clock."""

    first: datetime
    frequency: Frequency
    interval: int = 1
    count: int | None = None
    until: datetime | None = None
    week_start: int = 0
    """Monday is 0."""
    months: frozenset[int] = frozenset()
    month_days: frozenset[int] = frozenset()
    year_days: frozenset[int] = frozenset()
    week_numbers: frozenset[int] = frozenset()
    weekdays: frozenset[int] = frozenset()
    numbered_weekdays: frozenset[tuple[int, int]] = frozenset()
    """Weekday and its number in the month or year; negative ones count from the end."""
    positions: tuple[int, ...] = ()
    """BYSETPOS."""
    at: time = time()
    """The time of day of every occurrence."""

    def with_defaults(self) -> Rule:
        """What the rule does not say is as in its first occurrence: the weekday, the day of the month, the month."""
        if self.week_numbers or self.year_days or self.month_days or self.weekdays or self.numbered_weekdays:
            return self
        if self.frequency == "WEEKLY":
            return replace(self, weekdays=frozenset({self.first.weekday()}))
        if self.frequency == "MONTHLY":
            return replace(self, month_days=frozenset({self.first.day}))
        if self.frequency == "YEARLY":
            months = self.months or frozenset({self.first.month})
            return replace(self, months=months, month_days=frozenset({self.first.day}))
        return self

    def starts(self, low: datetime, high: datetime, search: Search) -> Iterator[datetime]:
        """The starts from ``low`` until before ``high``, in order, as far as the search goes."""
        if self.count is not None:
            if not search.exhausted:
                counted, examined = _counted(self)
                search.look(examined)
                yield from (start for start in counted if low <= start < high)
            return
        for start in self._from(low, high, search):
            if start >= high:
                return
            if start >= low:
                yield start

    def _from(self, low: datetime, high: datetime, search: Search) -> Iterator[datetime]:
        """Starts that are none too early for the series; all of those between ``low`` and ``high`` among them."""
        last = high if self.until is None else min(high, self.until)
        last_day = min(last.toordinal(), _LAST_DAY)
        for days in self._periods(max(low, self.first).toordinal(), last_day):
            if not search.look(len(days)):
                return
            for day in self._chosen([day for day in days if self._fits(day)]):
                start = datetime.combine(date.fromordinal(day), self.at)
                if start > last:
                    return
                if start >= self.first:
                    yield start

    def _chosen(self, days: list[int]) -> list[int]:
        """The days at the positions of BYSETPOS, if there are any."""
        if not self.positions:
            return days
        count = len(days)
        indices = {position - 1 if position > 0 else count + position for position in self.positions}
        return [days[index] for index in sorted(indices) if 0 <= index < count]

    def _periods(self, low: int, last: int) -> Iterator[range | list[int]]:
        """The days of each period, from the one that ``low`` is in or after until that of ``last``, as ordinals."""
        first = self.first.toordinal()
        if self.frequency in ("DAILY", "WEEKLY"):
            length = 1 if self.frequency == "DAILY" else 7
            begin = first if length == 1 else first - (self.first.weekday() - self.week_start) % 7
            step = length * self.interval
            for day in range(begin + max(0, (low - begin) // step) * step, last + 1, step):
                yield range(day, day + length)
            return
        length = 1 if self.frequency == "MONTHLY" else 12
        begin = self.first.year * 12 + (self.first.month - 1 if length == 1 else 0)
        step = length * self.interval
        wanted, end = date.fromordinal(low), date.fromordinal(last)
        skipped = max(0, (wanted.year * 12 + wanted.month - 1 - begin) // step)
        for month in range(begin + skipped * step, end.year * 12 + end.month, step):
            yield self._days_of(month, length)

    def _days_of(self, month: int, length: int) -> list[int]:
        """The days of so many months from this one on, of those months alone that the rule is about."""
        found: list[int] = []
        for number in range(month, month + length):
            year, index = divmod(number, 12)
            if not self.months or index + 1 in self.months:
                begin = date(year, index + 1, 1).toordinal()
                found.extend(range(begin, begin + monthrange(year, index + 1)[1]))
        return found

    def _fits(self, ordinal: int) -> bool:
        day = date.fromordinal(ordinal)
        if self.months and day.month not in self.months:
            return False
        if (self.weekdays or self.numbered_weekdays) and not self._is_weekday(day):
            return False
        if self.month_days and not _numbered(day.day, monthrange(day.year, day.month)[1], self.month_days):
            return False
        if self.year_days and not _numbered(*_place_in_year(day), self.year_days):
            return False
        return not self.week_numbers or _numbered(*_place_of_week(day, self.week_start), self.week_numbers)

    def _is_weekday(self, day: date) -> bool:
        weekday = day.weekday()
        if weekday in self.weekdays:
            return True
        if not self.numbered_weekdays:
            return False
        in_month = self.frequency == "MONTHLY" or bool(self.months)
        place, length = (day.day, monthrange(day.year, day.month)[1]) if in_month else _place_in_year(day)
        from_begin, from_end = (place - 1) // 7 + 1, -((length - place) // 7 + 1)
        return (weekday, from_begin) in self.numbered_weekdays or (weekday, from_end) in self.numbered_weekdays


def _numbered(place: int, length: int, numbers: frozenset[int]) -> bool:
    """Whether the place is among the numbers, of which the negative ones count from the end."""
    return place in numbers or place - length - 1 in numbers


def _place_in_year(day: date) -> tuple[int, int]:
    begin = date(day.year, 1, 1).toordinal()
    return day.toordinal() - begin + 1, date(day.year, 12, 31).toordinal() - begin + 1


def _place_of_week(day: date, week_start: int) -> tuple[int, int]:
    """The number of the day's week, and how many weeks its year has. A week belongs to the year of most of its days."""
    middle = _middle_of_week(day, week_start)
    # The 28th of December always lies in the last week of its year.
    return _week_number(middle), _week_number(_middle_of_week(date(middle.year, 12, 28), week_start))


def _middle_of_week(day: date, week_start: int) -> date:
    return date.fromordinal(day.toordinal() - (day.weekday() - week_start) % 7 + 3)


def _week_number(middle: date) -> int:
    return (_place_in_year(middle)[0] - 1) // 7 + 1


@lru_cache(maxsize=512)
def _counted(rule: Rule) -> tuple[tuple[datetime, ...], int]:
    """All starts of a rule with COUNT, and how many days it took to find them."""
    assert rule.count is not None
    search = Search()
    found: list[datetime] = []
    for start in rule._from(rule.first, _LAST, search):
        found.append(start)
        if len(found) == rule.count:
            break
    return tuple(found), search.examined
