"""events.list: which events a question asks for, in which order, and what changed since it was asked last.

After the reference of Google's events.list and its guide to incremental synchronisation.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from calendar_env.access import Role
from calendar_env.event_rendering import EventView
from calendar_env.google_errors import Gone, invalid
from calendar_env.occurrences import Occurrence, Window, exceptions_by_series, expanded, rows_on, series_of, stored
from calendar_env.rendering import etag, loaded
from calendar_env.storage.store import Row
from calendar_env.storage.tokens import traversal
from calendar_env.times import from_utc_text, parse_instant, stamp_text, zone

UPDATED_MIN_HORIZON: Final = timedelta(days=30)
_TEXTS: Final = ("summary", "description", "location")


@dataclass(frozen=True, slots=True)
class EventQuery:
    """What a list call asks for."""

    window: Window
    single: bool
    order: str | None
    types: tuple[str, ...]
    i_cal_uid: str | None
    private: tuple[str, ...]
    shared: tuple[str, ...]
    text: str | None
    updated_min: datetime | None
    show_deleted: bool
    sync_token: str | None
    page_token: str | None
    size: int

    def check(self) -> None:
        """Refuse what Google does not combine. Raises 400."""
        if self.order == "startTime" and not self.single:
            hint = "Set singleEvents to true, or leave orderBy out."
            raise invalid("orderBy", "The requested ordering is not available for the particular query.", hint=hint)
        if self.sync_token is None:
            return
        barred = {
            "iCalUID": self.i_cal_uid,
            "orderBy": self.order,
            "privateExtendedProperty": self.private,
            "sharedExtendedProperty": self.shared,
            "q": self.text,
            "timeMin": self.window.low,
            "timeMax": self.window.high,
            "updatedMin": self.updated_min,
        }
        for name, value in barred.items():
            if value:
                raise invalid("syncToken", f"{name} cannot be combined with syncToken", hint=f"Leave {name} out.")

    @property
    def lasting(self) -> dict[str, Any]:
        """The parameters that have to stay the same from a first list to the next with its sync token."""
        return {"single": self.single, "types": self.types, "size": self.size}

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters that have to stay the same from page to page."""
        more = (
            self.window,
            self.order,
            self.i_cal_uid,
            self.private,
            self.shared,
            self.text,
            self.updated_min,
            self.show_deleted,
        )
        return self.lasting | {"more": repr(more)}


def listed(view: EventView, query: EventQuery) -> dict[str, Any]:
    """The answer to a list call."""
    query.check()
    store, access = view.store, view.access
    if query.updated_min is not None and query.updated_min < from_utc_text(store.now) - UPDATED_MIN_HORIZON:
        raise Gone(
            "The requested minimum modification time lies too far in the past.",
            reason="updatedMinTooLongAgo",
            domain="calendar",
            location="updatedMin",
            hint="Use a later updatedMin, or none.",
        )
    which = traversal(
        f"events/{access.id}/{view.user.user_id}",
        query.parameters,
        lasting=query.lasting,
        now=store.change,
        sync_token=query.sync_token,
        page_token=query.page_token,
        role=access.role.google,
    )
    view.read_all_attendees()
    found = _Listing(view, query, which.since)
    items = sorted(((found.key(one), one) for one in found.occurrences()), key=lambda item: item[0])
    shown, token = which.page(items, query.size)
    return envelope(view) | token | {"items": [view.show(one) for one in shown]}


class _Listing:
    def __init__(self, view: EventView, query: EventQuery, since: int | None) -> None:
        self.view = view
        self.query = query
        self.since = since
        self.zone = zone(view.access.calendar["time_zone"])
        self.now = view.store.now
        self.with_deleted = query.show_deleted or since is not None or query.updated_min is not None
        self.rows = rows_on(view.store, view.access.id, query.window)
        self.exceptions = exceptions_by_series(self.rows)

    def key(self, one: Occurrence) -> tuple[Any, ...]:
        """What a list is sorted by: each key belongs to one event."""
        if self.query.order == "updated":
            return (one.row["updated"], one.id)
        if self.query.single:
            return (one.span(self.zone)[0].isoformat(), one.id)
        return (one.row["event_key"], one.id)

    def occurrences(self) -> Iterator[Occurrence]:
        series = {row["event_key"]: row for row in self.rows if row["recurrence"] is not None}
        for row in self.rows:
            if self._knows(row) and (row["recurrence"] is None or not self.query.single):
                continue
            is_series = row["recurrence"] is not None
            found = self._of_series(row) if is_series else self._of_one(row, series.get(row["series_key"]))
            yield from (one for one in found if self._matches(one))

    def _knows(self, row: Row) -> bool:
        """Whether a client that synchronises has seen this row as it is."""
        return self.since is not None and row["shown_change"] <= self.since

    def _of_series(self, row: Row) -> Iterator[Occurrence]:
        gone = row["status"] == "cancelled" or row["copy_cancelled"]
        if gone and not self.with_deleted:
            return
        exceptions = self.exceptions.get(row["event_key"], ())
        if not self.query.single:
            if (self.query.window.low is None and self.query.window.high is None) or next(
                expanded(row, (), self.query.window, self.now, self.zone), None
            ) is not None:
                yield stored(row)
            return
        if self._knows(row):
            return
        if self.since is not None and row["created_change"] <= self.since < row["rule_change"]:
            raise Gone(
                "A recurring event was rescheduled, a full sync is required.",
                reason="fullSyncRequired",
                domain="calendar",
                location="syncToken",
                hint="List again without syncToken.",
            )
        yield from expanded(row, exceptions, self.query.window, self.now, self.zone)

    def _of_one(self, row: Row, series: Row | None) -> Iterator[Occurrence]:
        one = stored(row)
        if one.cancelled and not self.with_deleted and not self._explains_a_gap(one, series):
            return
        if series is not None and not self.with_deleted and (series["status"] == "cancelled" or series["copy_cancelled"]):
            return
        if self.query.window.touches(one.span(self.zone)):
            yield one

    def _explains_a_gap(self, one: Occurrence, series: Row | None) -> bool:
        """A cancelled occurrence is shown beside its living series, for whoever expands the series alone."""
        if self.query.single or series is None or one.original is None:
            return False
        if series["status"] == "cancelled" or series["copy_cancelled"]:
            return False
        return series_of(series).has(from_utc_text(one.original))

    def _matches(self, one: Occurrence) -> bool:
        query, row = self.query, one.row
        if query.i_cal_uid is not None and row["i_cal_uid"] != query.i_cal_uid:
            return False
        if query.types and row["event_type"] not in query.types:
            return False
        if query.updated_min is not None and from_utc_text(row["updated"]) < query.updated_min:
            return False
        if not (query.text or query.private or query.shared):
            return True
        # What is hidden from the caller cannot be searched either.
        if one.cancelled or self.view.masked(row):
            return False
        return (
            _has_properties(row["private_properties"], query.private)
            and _has_properties(row["shared_properties"], query.shared)
            and (not query.text or self._says(row, query.text))
        )

    def _says(self, row: Row, text: str) -> bool:
        places = [row[column] for column in _TEXTS]
        places += [row["organizer_email"], row["organizer_name"]]
        for guest in self.view.attendees(row["event_key"]):
            places += [guest["email"], guest["display_name"]]
        where = (loaded(row["type_properties"]) or {}).get("workingLocationProperties", {})
        places += [value for part in where.values() if isinstance(part, dict) for value in part.values()]
        said = "\n".join(str(place) for place in places if place).casefold()
        return all(word in said for word in text.casefold().split())


def _has_properties(text: str | None, wanted: Sequence[str]) -> bool:
    if not wanted:
        return True
    known = loaded(text) or {}
    for pair in wanted:
        name, is_pair, value = pair.partition("=")
        if not is_pair:
            raise invalid("extendedProperty", f"{pair[:60]!r} is not of the form name=value", example="project=alpha")
        if known.get(name) != value:
            return False
    return True


def envelope(view: EventView) -> dict[str, Any]:
    """What stands around a list of events."""
    store, access = view.store, view.access
    sql = """SELECT max(max(e.change, c.change)) AS change, max(e.updated) AS updated
        FROM event_copies AS c JOIN events AS e USING (event_key) WHERE c.calendar_id = ?"""
    last = store.row(sql, access.id)
    assert last is not None
    calendar = access.calendar
    reminders = store.value(
        "SELECT default_reminders FROM calendar_list WHERE user_id = ? AND calendar_id = ? AND NOT deleted",
        view.user.user_id,
        access.id,
    )
    shown = {"kind": "calendar#events", "etag": etag(last["change"] or calendar["change"]), "summary": calendar["summary"]}
    if calendar["description"] and access.role >= Role.READER:
        shown["description"] = calendar["description"]
    return shown | {
        "updated": stamp_text(last["updated"] or calendar["updated"]),
        "timeZone": view.zone.key,
        "accessRole": access.role.google,
        "defaultReminders": loaded(reminders) or [],
    }


def instant(field: str, text: str | None) -> datetime | None:
    """A parameter that is an instant. Raises 400."""
    if text is None:
        return None
    try:
        return parse_instant(text)
    except ValueError as error:
        raise invalid(field, f"Invalid value for {field}: {error}", example="2026-01-15T14:00:00Z") from None


def window(low: str | None, high: str | None, *, inclusive_low: bool = False) -> Window:
    """timeMin and timeMax. Raises 400, with timeRangeEmpty when there is nothing between them."""
    made = Window(instant("timeMin", low), instant("timeMax", high), inclusive_low)
    if made.low is not None and made.high is not None and made.high <= made.low:
        raise invalid(
            "timeMax",
            "The specified time range is empty.",
            hint="timeMax must lie after timeMin.",
            reason="timeRangeEmpty",
        )
    return made
