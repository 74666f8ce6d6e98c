"""Instants, dates and time zones, as RFC 3339 and the IANA data base write them.

Instants are kept in UTC as ``YYYY-MM-DDTHH:MM:SSZ``: such texts sort as the instants do, in Python and in SQL.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from functools import cache, lru_cache
from importlib import resources
from typing import Final
from zoneinfo import ZoneInfo

EPISODE_START: Final = datetime(2026, 1, 5, 9, tzinfo=UTC)
"""Monday morning: when every episode begins."""
FIRST_YEAR: Final = 1900
LAST_YEAR: Final = 2200

_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(Z|[+-]\d\d:\d\d)?", re.ASCII)
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_FRACTION = re.compile(r"\.\d+")


@cache
def _zone_names() -> frozenset[str]:
    return frozenset(resources.files("tzdata").joinpath("zones").read_text("utf-8").split())


@lru_cache(maxsize=128)
def zone(name: str) -> ZoneInfo:
    """The IANA time zone of this name, from the packaged data base, so that every machine has the same rules.

    Raises ``ValueError`` for a name that it does not have.
    """
    if name not in _zone_names():
        raise ValueError(f"{name[:60]!r} is not an IANA time zone")
    with resources.files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as data:
        return ZoneInfo.from_file(data, key=name)


def parse_date(text: str) -> date:
    """``YYYY-MM-DD`` in the years that the calendar knows. Raises ``ValueError``."""
    if not _DATE.fullmatch(text):
        raise ValueError("not a date of the form YYYY-MM-DD")
    return _in_range(date.fromisoformat(text))


def parse_date_time(text: str) -> datetime:
    """An RFC 3339 date and time, to the second; aware when it has an offset, else naive. Raises ``ValueError``."""
    found = _INSTANT.fullmatch(text)
    if found is None:
        raise ValueError("not an RFC 3339 time such as 2026-01-15T14:00:00Z")
    parsed = datetime.fromisoformat(_FRACTION.sub("", text))
    _in_range(parsed.date())
    return parsed


def parse_instant(text: str) -> datetime:
    """An RFC 3339 instant with an offset, in UTC. Raises ``ValueError``."""
    parsed = parse_date_time(text)
    if parsed.tzinfo is None:
        raise ValueError("it needs an offset, such as Z or -05:00")
    return parsed.astimezone(UTC)


def _in_range(day: date) -> date:
    if not FIRST_YEAR <= day.year <= LAST_YEAR:
        raise ValueError(f"the year must lie between {FIRST_YEAR} and {LAST_YEAR}")
    return day


def utc_text(instant: datetime) -> str:
    """An aware instant as the store keeps it."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@lru_cache(maxsize=8192)
def from_utc_text(text: str) -> datetime:
    """The instant that `utc_text` wrote."""
    return datetime.fromisoformat(text)


def day_text(day: date) -> str:
    """The instant that stands for an all-day date in the store: its midnight in UTC."""
    return f"{day.isoformat()}T00:00:00Z"


@lru_cache(maxsize=8192)
def shown(text: str, shown_in: ZoneInfo) -> str:
    """A stored instant as Google shows it in a zone: with that zone's offset, or ``Z`` in UTC."""
    local = from_utc_text(text).astimezone(shown_in).isoformat()
    return local[:-6] + "Z" if local.endswith("+00:00") else local


def day_start(day: date, in_zone: ZoneInfo) -> datetime:
    """When a date begins in a zone, in UTC."""
    return datetime(day.year, day.month, day.day, tzinfo=in_zone).astimezone(UTC)


def stamp_text(instant_text: str) -> str:
    """A stored instant as ``created`` and ``updated`` show it, with milliseconds."""
    return instant_text[:-1] + ".000Z"
