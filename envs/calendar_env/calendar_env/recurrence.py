"""Series of occurrences after RFC 5545, expanded when they are asked for and never further than that.

Rules (`calendar_env.rules`) are expanded on the wall clock of the series' own zone, so that nine o'clock stays nine
o'clock when summer time begins. One search looks at so many days and no more, whatever the lines say.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import islice
from typing import Any, Final, cast
from zoneinfo import ZoneInfo

from calendar_env import times
from calendar_env.rules import MAX_EXAMINED, Frequency, Rule, Search
from calendar_env.times import FIRST_YEAR, LAST_YEAR

MAX_COUNT: Final = 3000
"""The most occurrences that COUNT may ask for."""
_MAX_LINE: Final = 2000

_LINE = re.compile(r"(RRULE|EXRULE|RDATE|EXDATE)((?:;[A-Z-]+=[^;:]*)*):(.+)", re.ASCII)
_STAMP = re.compile(r"(\d{8})(?:T(\d{6})(Z?))?", re.ASCII)
_WEEKDAY = re.compile(r"([+-]?\d{1,2})?(MO|TU|WE|TH|FR|SA|SU)", re.ASCII)
_FREQUENCIES = ("DAILY", "WEEKLY", "MONTHLY", "YEARLY")
_WEEKDAYS = {name: number for number, name in enumerate(("MO", "TU", "WE", "TH", "FR", "SA", "SU"))}
_NUMBERS = {
    "BYMONTH": ("months", 1, 12),
    "BYMONTHDAY": ("month_days", -31, 31),
    "BYYEARDAY": ("year_days", -366, 366),
    "BYWEEKNO": ("week_numbers", -53, 53),
    "BYSETPOS": ("positions", -366, 366),
    "BYHOUR": ("hour", 0, 23),
    "BYMINUTE": ("minute", 0, 59),
    "BYSECOND": ("second", 0, 59),
}
_ONCE_A_DAY = {"BYHOUR", "BYMINUTE", "BYSECOND"}
_WEEKS_OF_A_MONTH: Final = 5


class InvalidRecurrence(ValueError):
    """A line that is not a rule the calendar knows; the message says what is wrong with it."""


class Series:
    """The occurrences of a recurring event.

    Args:
        lines: RRULE, EXRULE, RDATE and EXDATE lines.
        first: When the event itself begins, in UTC; midnight UTC for an all-day event.
        zone: The zone of its wall clock; ``None`` for an all-day event.

    Raises:
        InvalidRecurrence: A line is not understood, or asks for too much.
    """

    def __init__(self, lines: tuple[str, ...], first: datetime, zone: ZoneInfo | None) -> None:
        self.zone = zone
        self.first = self._local(first)
        self._rules: list[Rule] = []
        self._without: list[Rule] = []
        self._extra: set[datetime] = set()
        self._left_out: set[datetime] = set()
        self._days_left_out: set[Any] = set()
        for line in lines:
            self._read(line)
        if not self._rules and not self._extra:
            raise InvalidRecurrence("there is no RRULE or RDATE line")

    def starts(self, low: datetime, high: datetime, limit: int | None = None) -> list[datetime]:
        """The starts (UTC) from ``low`` until before ``high``, in order, as far as one search goes."""
        return list(islice(self._starts(low, high, Search()), limit))

    def has(self, start: datetime) -> bool:
        """Whether an occurrence begins at exactly this instant."""
        return bool(self.starts(start, start + timedelta(seconds=1), 1))

    def check(self, search: Search | None = None) -> None:
        """Raises `InvalidRecurrence` when there is no occurrence in the first ten years, or it takes too long to find one."""
        search = search or Search()
        first = self.first.replace(tzinfo=self.zone or UTC).astimezone(UTC)
        found = next(self._starts(first, first + timedelta(days=3660), search), None)
        if search.exhausted:
            raise InvalidRecurrence(f"to find when it happens takes more than {MAX_EXAMINED} days to look at; give fewer rules")
        if found is None:
            raise InvalidRecurrence("it has no occurrence")

    def _starts(self, low: datetime, high: datetime, search: Search) -> Iterator[datetime]:
        # A day of slack on both sides: the wall clock and UTC differ by less.
        near, far = self._local(low) - timedelta(days=1), self._local(high) + timedelta(days=1)
        near = max(near, self.first)
        if far <= near:
            return
        streams = [rule.starts(near, far, search) for rule in self._rules]
        if self._extra:
            streams.append(iter(sorted(start for start in self._extra if near <= start < far)))
        left_out = self._left_out | {start for rule in self._without for start in rule.starts(near, far, search)}
        last: datetime | None = None
        for start in streams[0] if len(streams) == 1 else _merged(streams):
            if start == last or start in left_out or start.date() in self._days_left_out:
                continue
            last = start
            instant = start.replace(tzinfo=self.zone or UTC).astimezone(UTC)
            if instant >= high:
                return
            if instant >= low:
                yield instant

    def _local(self, instant: datetime) -> datetime:
        return instant.astimezone(self.zone or UTC).replace(tzinfo=None)

    def _read(self, line: str) -> None:
        found = _LINE.fullmatch(line) if len(line) <= _MAX_LINE else None
        if found is None:
            raise InvalidRecurrence(f"{line[:60]!r} is not an RRULE, EXRULE, RDATE or EXDATE line")
        kind, parameters, value = found.groups()
        if kind == "RRULE":
            self._rules.append(self._rule(value))
        elif kind == "EXRULE":
            self._without.append(self._rule(value))
        else:
            for stamp in value.split(","):
                start, whole_day = self._moment(stamp, parameters)
                if kind == "RDATE":
                    self._extra.add(start)
                elif whole_day and self.zone is not None:
                    self._days_left_out.add(start.date())
                else:
                    self._left_out.add(start)

    def _rule(self, text: str) -> Rule:
        parts: dict[str, str] = {}
        for part in text.strip(";").split(";"):
            name, _, value = part.partition("=")
            if name in parts or not value:
                raise InvalidRecurrence(f"the part {part[:40]!r} of the rule makes no sense")
            parts[name] = value
        named = parts.pop("FREQ", "")
        if named not in _FREQUENCIES:
            raise InvalidRecurrence("FREQ must be DAILY, WEEKLY, MONTHLY or YEARLY")
        frequency = cast(Frequency, named)
        interval = _number("INTERVAL", parts.pop("INTERVAL", "1"), 1, 1000)
        count = _number("COUNT", parts.pop("COUNT"), 1, MAX_COUNT) if "COUNT" in parts else None
        until = self._until(parts.pop("UNTIL")) if "UNTIL" in parts else None
        if count is not None and until is not None:
            raise InvalidRecurrence("a rule has COUNT or UNTIL, not both")
        others: dict[str, Any] = {}
        if "BYDAY" in parts:
            days = [_weekday(one, frequency, "BYMONTH" in parts) for one in parts.pop("BYDAY").split(",")]
            others["weekdays"] = frozenset(day for day, nth in days if nth is None)
            others["numbered_weekdays"] = frozenset((day, nth) for day, nth in days if nth is not None)
        if "WKST" in parts:
            others["week_start"] = _WEEKDAYS.get(parts.pop("WKST"))
            if others["week_start"] is None:
                raise InvalidRecurrence(f"WKST must be one of {', '.join(_WEEKDAYS)}")
        clock: dict[str, Any] = {}
        for name, value in parts.items():
            argument, numbers = _numbers(name, value)
            if name in _ONCE_A_DAY:
                clock[argument] = numbers[0]
            else:
                others[argument] = numbers if name == "BYSETPOS" else frozenset(numbers)
        at = self.first.time().replace(**clock)
        return Rule(self.first, frequency, interval, count, until, at=at, **others).with_defaults()

    def _until(self, text: str) -> datetime:
        found = _STAMP.fullmatch(text)
        if found is None:
            raise InvalidRecurrence("UNTIL must look like 20260131T235959Z, or 20260131 for an all-day event")
        moment = _parsed(found)
        if found.group(2) is None:
            return moment if self.zone is None else moment + timedelta(days=1, seconds=-1)
        if self.zone is None:
            return moment.replace(hour=0, minute=0, second=0)
        return self._local(moment.replace(tzinfo=UTC)) if found.group(3) else moment

    def _moment(self, text: str, parameters: str) -> tuple[datetime, bool]:
        """An RDATE or EXDATE value on the series' wall clock, and whether it is a whole day."""
        found = _STAMP.fullmatch(text)
        if found is None:
            raise InvalidRecurrence(f"{text[:40]!r} must look like 20260131T140000Z, or 20260131 for an all-day event")
        moment = _parsed(found)
        if found.group(2) is None:
            if self.zone is None:
                return moment, True
            return datetime.combine(moment.date(), self.first.time()), True
        if self.zone is None:
            return moment.replace(hour=0, minute=0, second=0), True
        if found.group(3):
            return self._local(moment.replace(tzinfo=UTC)), False
        return self._local(moment.replace(tzinfo=self._zone_of(parameters))), False

    def _zone_of(self, parameters: str) -> Any:
        for parameter in parameters.split(";"):
            if parameter.startswith("TZID="):
                try:
                    return times.zone(parameter[5:])
                except ValueError as error:
                    raise InvalidRecurrence(f"TZID: {error}") from None
        return self.zone


@lru_cache(maxsize=1024)
def series(lines: tuple[str, ...], first: datetime, zone: ZoneInfo | None) -> Series:
    """The `Series`, read once for the same lines."""
    return Series(lines, first, zone)


def _merged(streams: list[Iterator[datetime]]) -> Iterator[datetime]:
    return heapq.merge(*streams)


def _parsed(found: re.Match[str]) -> datetime:
    try:
        moment = datetime.strptime(found.group(1) + (found.group(2) or "000000"), "%Y%m%d%H%M%S")
    except ValueError:
        raise InvalidRecurrence(f"{found.group(0)!r} is not a moment that exists") from None
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise InvalidRecurrence(f"{found.group(0)!r} is too far away")
    return moment


def _number(name: str, text: str, least: int, most: int) -> int:
    if not re.fullmatch(r"[+-]?\d{1,6}", text, re.ASCII) or not least <= int(text) <= most:
        raise InvalidRecurrence(f"{name} must be a number from {least} to {most}, got {text[:20]!r}")
    if int(text) == 0 and name not in _ONCE_A_DAY:
        raise InvalidRecurrence(f"{name} cannot be 0")
    return int(text)


def _numbers(name: str, value: str) -> tuple[str, tuple[int, ...]]:
    """The name under which a `Rule` knows a part, and the part's numbers."""
    if name not in _NUMBERS:
        raise InvalidRecurrence(f"the part {name[:20]!r} is not known")
    argument, least, most = _NUMBERS[name]
    numbers = tuple(dict.fromkeys(_number(name, one, least, most) for one in value.split(",")))
    if name in _ONCE_A_DAY and len(numbers) > 1:
        raise InvalidRecurrence("an event happens once a day at the most: give BYHOUR, BYMINUTE and BYSECOND one value")
    return argument, numbers


def _weekday(text: str, frequency: Frequency, has_months: bool) -> tuple[int, int | None]:
    found = _WEEKDAY.fullmatch(text)
    if found is None:
        raise InvalidRecurrence(f"BYDAY takes days such as MO or 2TU, got {text[:20]!r}")
    nth, day = found.groups()
    if nth is None:
        return _WEEKDAYS[day], None
    if int(nth) == 0 or frequency not in ("MONTHLY", "YEARLY"):
        raise InvalidRecurrence(f"{text!r}: a numbered day fits monthly and yearly rules only, and is never 0")
    most = _WEEKS_OF_A_MONTH if frequency == "MONTHLY" or has_months else 53
    if abs(int(nth)) > most:
        raise InvalidRecurrence(f"{text!r}: there are at most {most} of a weekday in the month or year that is meant")
    return _WEEKDAYS[day], int(nth)
