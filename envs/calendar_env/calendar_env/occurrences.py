"""Events on one calendar: stored ones, and the occurrences of series that nobody ever stored."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from calendar_env.recurrence import Series, series
from calendar_env.storage.store import Row, Store
from calendar_env.times import FIRST_YEAR, LAST_YEAR, day_start, from_utc_text, utc_text, zone

HORIZON: Final = timedelta(days=3660)
"""How far beyond the episode's clock a series is ever expanded."""
OPEN_ENDED: Final = timedelta(days=731)
"""How far beyond it a list without timeMax goes."""
_DAY: Final = timedelta(days=1)

EVENT_ON_CALENDAR: Final = """
    SELECT e.*, c.calendar_id AS on_calendar, c.event_id AS copy_id, c.cancelled AS copy_cancelled, c.color_id,
        c.transparency AS copy_transparency, c.reminders, c.private_properties, max(e.change, c.change) AS shown_change
    FROM event_copies AS c JOIN events AS e USING (event_key)
"""
_IN_WINDOW = """ WHERE c.calendar_id = ? AND (e.recurrence IS NOT NULL OR e.series_key IS NOT NULL
    OR (e.end_datetime >= ? AND e.start_datetime <= ?)) ORDER BY e.event_key"""
_INSTANCE_ID = re.compile(r"(.{1,1024})_(\d{8})(?:T(\d{6})Z)?", re.ASCII | re.DOTALL)


@dataclass(slots=True)
class Occurrence:
    """An event as it is to be seen on one calendar."""

    row: Row
    id: str
    start: str
    end: str
    start_date: str | None
    end_date: str | None
    original: str | None = None
    """Of an occurrence of a series: where it belongs, as an instant; midnight UTC of its date for an all-day series."""
    virtual: bool = False
    """An occurrence that has no row of its own; ``row`` is its series'."""

    @property
    def cancelled(self) -> bool:
        """Whether it is deleted here."""
        return self.row["status"] == "cancelled" or bool(self.row["copy_cancelled"])

    @property
    def series_id(self) -> str | None:
        """The id of the series that it belongs to."""
        found: str | None = self.row["copy_id"] if self.virtual else self.row["recurring_event_id"]
        return found

    @property
    def original_date(self) -> str | None:
        """Where it belongs in an all-day series."""
        if self.original is None:
            return None
        all_day = self.row["start_date"] if self.virtual else self.row["original_start_date"]
        return self.original[:10] if all_day is not None else None

    def span(self, calendar_zone: ZoneInfo) -> tuple[datetime, datetime]:
        """Its first and last instant; an all-day event's days are those of the calendar's zone."""
        if self.start_date is None or self.end_date is None:
            return from_utc_text(self.start), from_utc_text(self.end)
        return (
            day_start(date.fromisoformat(self.start_date), calendar_zone),
            day_start(date.fromisoformat(self.end_date), calendar_zone),
        )


@dataclass(frozen=True, slots=True)
class Window:
    """Instants of interest: an event touches it when it ends after ``low`` and begins before ``high``."""

    low: datetime | None
    high: datetime | None
    inclusive_low: bool = False

    def touches(self, span: tuple[datetime, datetime]) -> bool:
        """Whether something of the span lies in the window."""
        start, end = span
        if self.low is not None and (end < self.low if self.inclusive_low else end <= self.low):
            return False
        return self.high is None or start < self.high


def stored(row: Row) -> Occurrence:
    """A row of its own."""
    return Occurrence(
        row,
        row["copy_id"],
        row["start_datetime"],
        row["end_datetime"],
        row["start_date"],
        row["end_date"],
        row["original_start_datetime"],
    )


def series_of(row: Row) -> Series:
    """The occurrences of a series' row."""
    lines = tuple(json.loads(row["recurrence"]))
    all_day = row["start_date"] is not None
    return series(lines, from_utc_text(row["start_datetime"]), None if all_day else zone(row["start_time_zone"]))


def occurrence_of(row: Row, start: datetime) -> Occurrence:
    """The occurrence of a series that begins at ``start``."""
    length = from_utc_text(row["end_datetime"]) - from_utc_text(row["start_datetime"])
    begin, end = utc_text(start), utc_text(start + length)
    all_day = row["start_date"] is not None
    made = f"{row['copy_id']}_{instance_suffix(begin, all_day=all_day)}"
    first, last = (begin[:10], end[:10]) if all_day else (None, None)
    return Occurrence(row, made, begin, end, first, last, original=begin, virtual=True)


def instance_suffix(original: str, *, all_day: bool) -> str:
    """What an occurrence's id has behind its series' id: the original start."""
    stamp = original.replace("-", "").replace(":", "")
    return stamp[:8] if all_day else stamp


def rows_on(store: Store, calendar_id: str, window: Window) -> list[Row]:
    """The calendar's rows that may matter for a window: all series and exceptions, and what lies near it."""
    low = utc_text(window.low - 2 * _DAY) if window.low else ""
    high = utc_text(window.high + 2 * _DAY) if window.high else "9999"
    return store.rows(EVENT_ON_CALENDAR + _IN_WINDOW, calendar_id, low, high)


def expanded(row: Row, exceptions: Sequence[Row], window: Window, now: str, calendar_zone: ZoneInfo) -> Iterator[Occurrence]:
    """The occurrences of a series in a window, apart from those that have a row of their own."""
    known = series_of(row)
    length = from_utc_text(row["end_datetime"]) - from_utc_text(row["start_datetime"])
    clock = from_utc_text(now)
    low = from_utc_text(row["start_datetime"]) if window.low is None else window.low - length - _DAY
    high = clock + OPEN_ENDED if window.high is None else min(window.high + _DAY, clock + HORIZON)
    taken = {exception["original_start_datetime"] for exception in exceptions}
    for start in known.starts(low, high):
        one = occurrence_of(row, start)
        if one.original not in taken and window.touches(one.span(calendar_zone)):
            yield one


def exceptions_by_series(rows: Sequence[Row]) -> dict[int, list[Row]]:
    """The rows that belong to a series, by its key."""
    found: dict[int, list[Row]] = {}
    for row in rows:
        if row["series_key"] is not None:
            found.setdefault(row["series_key"], []).append(row)
    return found


def find(store: Store, calendar_id: str, event_id: str) -> Occurrence | None:
    """The event or occurrence of this id on a calendar, deleted or not."""
    row = _row(store, calendar_id, event_id)
    if row is not None:
        return stored(row)
    parts = _INSTANCE_ID.fullmatch(event_id)
    if parts is None:
        return None
    row = _row(store, calendar_id, parts.group(1))
    if row is None or row["recurrence"] is None or (row["start_date"] is None) != (parts.group(3) is not None):
        return None
    try:
        start = datetime.strptime(parts.group(2) + (parts.group(3) or "000000"), "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return None
    if not FIRST_YEAR <= start.year <= LAST_YEAR or start > from_utc_text(store.now) + HORIZON or not series_of(row).has(start):
        return None
    return occurrence_of(row, start)


def _row(store: Store, calendar_id: str, event_id: str) -> Row | None:
    return store.row(EVENT_ON_CALENDAR + " WHERE c.calendar_id = ? AND c.event_id = ?", calendar_id, event_id)
