"""Events from words: ``Lunch with Carol tomorrow 12:30-13:30``.

A day (today, tomorrow, a weekday, a date) and a time (3pm, 14:00, 9-10am, noon) are found anywhere in the text; what is
left is the summary. Without a time the event is all-day; without a day it is today, or tomorrow when the time is past.
"""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from calendar_env.google_errors import invalid
from calendar_env.times import from_utc_text, parse_date
from calendar_env.tools.payload import EventTime

_WEEKDAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_CLOCK: Final = r"(?:\d{1,2}(?::\d{2})?\s?(?:am|pm)|\d{1,2}:\d{2}|noon|midnight)"
_RANGE = re.compile(rf"\b(?:from |at )?(\d{{1,2}}(?::\d{{2}})?|{_CLOCK})\s?(?:-|–|to|until)\s?({_CLOCK})", re.IGNORECASE)
_TIME = re.compile(rf"\b(?:at |@\s?)?({_CLOCK})(?!\w)", re.IGNORECASE)
_LENGTH = re.compile(r"\bfor (\d{1,3})\s?(minutes?|mins?|hours?|h)\b", re.IGNORECASE)
_DAY = re.compile(
    r"\b(?:on |next |this )?(today|tonight|tomorrow|\d{4}-\d{2}-\d{2}|(?:mon|tues|wednes|thurs|fri|satur|sun)day"
    rf"|(?:{'|'.join(_MONTHS)})[a-z]* \d{{1,2}})\b",
    re.IGNORECASE,
)
_CLOCK_PARTS = re.compile(r"(\d{1,2})(?::(\d{2}))?\s?(am|pm)?", re.IGNORECASE)


def read_quickly(text: str, now: str, zone: ZoneInfo, minutes: int) -> tuple[str, EventTime, EventTime]:
    """The summary, start and end that the words mean. Raises 400 when a time in them does not exist."""
    local = from_utc_text(now).astimezone(zone)
    rest, day = _take_day(text, local.date())
    rest, length = _take_length(rest, minutes)
    rest, clock = _take_times(rest)
    summary = " ".join(rest.split()).strip(" ,;@-") or text.strip()
    if clock is None:
        first = day or local.date()
        return summary, EventTime(date=first.isoformat()), EventTime(date=(first + timedelta(days=1)).isoformat())
    begin, finish = clock
    if day is None:
        day = local.date() if begin > local.time() else local.date() + timedelta(days=1)
    start = datetime.combine(day, begin)
    end = start + length if finish is None else datetime.combine(day, finish)
    if end < start:
        end += timedelta(days=1)
    return summary, _wall(start, zone), _wall(end, zone)


def _wall(moment: datetime, zone: ZoneInfo) -> EventTime:
    return EventTime(dateTime=moment.isoformat(), timeZone=zone.key)


def _take_day(text: str, today: date) -> tuple[str, date | None]:
    found = _DAY.search(text)
    if found is None:
        return text, None
    word = found.group(1).lower()
    rest = text[: found.start()] + text[found.end() :]
    if word in ("today", "tonight"):
        return rest, today
    if word == "tomorrow":
        return rest, today + timedelta(days=1)
    if word in _WEEKDAYS:
        return rest, today + timedelta(days=(_WEEKDAYS.index(word) - today.weekday() - 1) % 7 + 1)
    try:
        if word[0].isdigit():
            return rest, parse_date(word)
        month, number = word.split()
        day = date(today.year, _MONTHS.index(month[:3]) + 1, int(number))
    except ValueError as error:
        raise invalid("text", f"{word!r} is not a day: {error}", example="Lunch tomorrow 12:30-13:30") from None
    return rest, day if day >= today else day.replace(year=today.year + 1)


def _take_length(text: str, minutes: int) -> tuple[str, timedelta]:
    found = _LENGTH.search(text)
    if found is None:
        return text, timedelta(minutes=minutes)
    number = int(found.group(1))
    length = timedelta(hours=number) if found.group(2).lower().startswith("h") else timedelta(minutes=number)
    return text[: found.start()] + text[found.end() :], length


def _take_times(text: str) -> tuple[str, tuple[time, time | None] | None]:
    found = _RANGE.search(text)
    if found is not None:
        finish = _clock(found.group(2), None)
        half = found.group(2)[-2:].lower()
        begin = _clock(found.group(1), half if half in ("am", "pm") else None)
        return text[: found.start()] + text[found.end() :], (begin, finish)
    found = _TIME.search(text)
    if found is None:
        return text, None
    return text[: found.start()] + text[found.end() :], (_clock(found.group(1), None), None)


def _clock(word: str, half: str | None) -> time:
    lower = word.lower()
    if lower in ("noon", "midnight"):
        return time(12 if lower == "noon" else 0)
    parts = _CLOCK_PARTS.fullmatch(lower)
    hour, minute, own_half = parts.groups() if parts else ("99", None, None)
    half = own_half or half
    number = int(hour)
    if half == "pm" and number < 12:
        number += 12
    elif half == "am" and number == 12:
        number = 0
    if number > 23 or int(minute or 0) > 59:
        raise invalid("text", f"{word!r} is not a time of day", example="Lunch tomorrow 12:30-13:30")
    return time(number, int(minute or 0))
