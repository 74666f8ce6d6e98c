"""Series of occurrences after RFC 5545, expanded when they are asked for and never further than that.

Rules are expanded on the wall clock of the series' own zone, so that nine o'clock stays nine o'clock when summer time
begins. `dateutil` does the arithmetic; what it would loop on for ever is refused or bounded here.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property, lru_cache
from itertools import islice
from typing import Any, Final
from zoneinfo import ZoneInfo

from dateutil import rrule as dateutil

from calendar_env import times
from calendar_env.times import FIRST_YEAR, LAST_YEAR

MAX_COUNT: Final = 3000
"""The most occurrences that COUNT may ask for."""
_SHORT_STEPS: Final = timedelta(days=366 * 50)
"""How far a daily or weekly rule with COUNT is followed."""
_MAX_LINE: Final = 2000
_END: Final = datetime(LAST_YEAR, 12, 31)

_LINE = re.compile(r"(RRULE|EXRULE|RDATE|EXDATE)((?:;[A-Z-]+=[^;:]*)*):(.+)", re.ASCII)
_STAMP = re.compile(r"(\d{8})(?:T(\d{6})(Z?))?", re.ASCII)
_WEEKDAY = re.compile(r"([+-]?\d{1,2})?(MO|TU|WE|TH|FR|SA|SU)", re.ASCII)
_FREQUENCIES = {"DAILY": dateutil.DAILY, "WEEKLY": dateutil.WEEKLY, "MONTHLY": dateutil.MONTHLY, "YEARLY": dateutil.YEARLY}
_WEEKDAYS: dict[str, Any] = dict(zip(("MO", "TU", "WE", "TH", "FR", "SA", "SU"), dateutil.weekdays, strict=True))
_NUMBERS = {
    "BYMONTH": ("bymonth", 1, 12),
    "BYMONTHDAY": ("bymonthday", -31, 31),
    "BYYEARDAY": ("byyearday", -366, 366),
    "BYWEEKNO": ("byweekno", -53, 53),
    "BYSETPOS": ("bysetpos", -366, 366),
    "BYHOUR": ("byhour", 0, 23),
    "BYMINUTE": ("byminute", 0, 59),
    "BYSECOND": ("bysecond", 0, 59),
}
_ONCE_A_DAY = {"BYHOUR", "BYMINUTE", "BYSECOND"}
_MAY_BE_ZERO = _ONCE_A_DAY


class InvalidRecurrence(ValueError):
    """A line that is not a rule the calendar knows; the message says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class _Rule:
    frequency: int
    interval: int
    count: int | None
    until: datetime | None
    others: tuple[tuple[str, Any], ...]

    def starts(self, first: datetime, low: datetime, high: datetime) -> Iterator[datetime]:
        """The rule's starts from ``low`` until before ``high``, on the wall clock."""
        if self.count is not None:
            yield from (start for start in _counted(self, first) if low <= start < high)
            return
        end = high - timedelta(seconds=1)
        if self.until is not None:
            end = min(end, self.until)
        begin = self._shortly_before(first, low)
        yield from (start for start in self._iterate(begin, end) if start >= low)

    def _iterate(self, begin: datetime, end: datetime) -> Iterator[datetime]:
        if end < begin:
            return iter(())
        rule = dateutil.rrule(self.frequency, dtstart=begin, interval=self.interval, until=end, **dict(self.others))  # type: ignore[arg-type]
        return iter(rule)

    def _shortly_before(self, first: datetime, low: datetime) -> datetime:
        """A start of the same rhythm, so that a series of many years is not counted through from its beginning."""
        days = {dateutil.DAILY: 1, dateutil.WEEKLY: 7}.get(self.frequency)
        if days is None or low <= first:
            return first
        step = days * self.interval
        return first + timedelta(days=(low - first).days // step * step)


@lru_cache(maxsize=512)
def _counted(rule: _Rule, first: datetime) -> tuple[datetime, ...]:
    short = rule.frequency in (dateutil.DAILY, dateutil.WEEKLY)
    end = min(_END, first + _SHORT_STEPS) if short else _END
    return tuple(islice(rule._iterate(first, end), rule.count))


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
        self._rules: list[_Rule] = []
        self._without: list[_Rule] = []
        self._extra: set[datetime] = set()
        self._left_out: set[datetime] = set()
        self._days_left_out: set[Any] = set()
        for line in lines:
            self._read(line)
        if not self._rules and not self._extra:
            raise InvalidRecurrence("there is no RRULE or RDATE line")

    def starts(self, low: datetime, high: datetime, limit: int | None = None) -> list[datetime]:
        """The starts (UTC) from ``low`` until before ``high``, in order."""
        return list(islice(self._starts(low, high), limit))

    def has(self, start: datetime) -> bool:
        """Whether an occurrence begins at exactly this instant."""
        return bool(self.starts(start, start + timedelta(seconds=1), 1))

    def _starts(self, low: datetime, high: datetime) -> Iterator[datetime]:
        # A day of slack on both sides: the wall clock and UTC differ by less.
        near, far = self._local(low) - timedelta(days=1), self._local(high) + timedelta(days=1)
        near = max(near, self.first)
        if far <= near:
            return
        streams = [rule.starts(self.first, near, far) for rule in self._rules]
        if self._extra:
            streams.append(iter(sorted(start for start in self._extra if near <= start < far)))
        left_out = self._left_out | {start for rule in self._without for start in rule.starts(self.first, near, far)}
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

    def _rule(self, text: str) -> _Rule:
        parts: dict[str, str] = {}
        for part in text.strip(";").split(";"):
            name, _, value = part.partition("=")
            if name in parts or not value:
                raise InvalidRecurrence(f"the part {part[:40]!r} of the rule makes no sense")
            parts[name] = value
        frequency = _FREQUENCIES.get(parts.pop("FREQ", ""))
        if frequency is None:
            raise InvalidRecurrence("FREQ must be DAILY, WEEKLY, MONTHLY or YEARLY")
        interval = _number("INTERVAL", parts.pop("INTERVAL", "1"), 1, 1000)
        count = _number("COUNT", parts.pop("COUNT"), 1, MAX_COUNT) if "COUNT" in parts else None
        until = self._until(parts.pop("UNTIL")) if "UNTIL" in parts else None
        if count is not None and until is not None:
            raise InvalidRecurrence("a rule has COUNT or UNTIL, not both")
        others = {name: self._other(name, value, frequency) for name, value in parts.items()}
        return _Rule(frequency, interval, count, until, tuple(pair for pair in others.values()))

    def _other(self, name: str, value: str, frequency: int) -> tuple[str, Any]:
        if name == "BYDAY":
            return "byweekday", tuple(_weekday(one, frequency) for one in value.split(","))
        if name == "WKST":
            if value not in _WEEKDAYS:
                raise InvalidRecurrence(f"WKST must be one of {', '.join(_WEEKDAYS)}")
            return "wkst", _WEEKDAYS[value]
        if name not in _NUMBERS:
            raise InvalidRecurrence(f"the part {name[:20]!r} is not known")
        argument, least, most = _NUMBERS[name]
        numbers = tuple(dict.fromkeys(_number(name, one, least, most) for one in value.split(",")))
        if name in _ONCE_A_DAY and len(numbers) > 1:
            raise InvalidRecurrence("an event happens once a day at the most: give BYHOUR, BYMINUTE and BYSECOND one value")
        return argument, numbers

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

    @cached_property
    def any(self) -> bool:
        """Whether there is an occurrence at all, in the first ten years."""
        first = self.first.replace(tzinfo=self.zone or UTC).astimezone(UTC)
        return bool(self.starts(first, first + timedelta(days=3660), 1))


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
    if int(text) == 0 and name not in _MAY_BE_ZERO:
        raise InvalidRecurrence(f"{name} cannot be 0")
    return int(text)


def _weekday(text: str, frequency: int) -> Any:
    found = _WEEKDAY.fullmatch(text)
    if found is None:
        raise InvalidRecurrence(f"BYDAY takes days such as MO or 2TU, got {text[:20]!r}")
    nth, day = found.groups()
    if nth is None:
        return _WEEKDAYS[day]
    if int(nth) == 0 or abs(int(nth)) > 53 or frequency not in (dateutil.MONTHLY, dateutil.YEARLY):
        raise InvalidRecurrence(f"{text!r}: a numbered day fits monthly and yearly rules only, and is never 0")
    return _WEEKDAYS[day](int(nth))
