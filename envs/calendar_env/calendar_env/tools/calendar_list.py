"""The caller's list of calendars: calendarList.*"""

from __future__ import annotations

import json
from typing import Any, Literal, Unpack

from calendar_env.access import Access, Role, effective_role
from calendar_env.colors import CALENDAR_COLORS, FOREGROUND, nearest_calendar_color
from calendar_env.google_errors import denied, invalid, not_found
from calendar_env.rendering import etag, gone_list_entry, list_entry
from calendar_env.storage.store import Row
from calendar_env.storage.tokens import traversal
from calendar_env.tools.base import CalendarTools
from calendar_env.tools.payload import CalendarId, ListEntryFields, PageSize
from openenv.tools import tool

# An entry changes with the calendar's metadata and with the access to it too.
_ENTRIES = """
    SELECT entry.*, max(entry.change, calendars.change, coalesce(
        (SELECT max(change) FROM acls WHERE acls.calendar_id = entry.calendar_id), 0)) AS shown_change
    FROM calendar_list AS entry JOIN calendars USING (calendar_id) WHERE entry.user_id = ?
"""
_METHODS = {"email"}
_TYPES = {"eventCreation", "eventChange", "eventCancellation", "eventResponse", "agenda"}


class CalendarListTools(CalendarTools):
    """The calendars in the caller's side bar. A calendar that somebody shares is not there until it is added."""

    @tool(name="calendars_list", aliases=("calendar_list_list",), read_only=True, idempotent=True)
    def calendar_list_list(
        self,
        maxResults: PageSize = 100,
        minAccessRole: Literal["freeBusyReader", "reader", "writerWithoutPrivateAccess", "writer", "owner"] | None = None,
        pageToken: str | None = None,
        showDeleted: bool = False,
        showHidden: bool = False,
        syncToken: str | None = None,
    ) -> dict[str, Any]:
        """List the calendars on your list, with ids, names and your role on each."""
        if syncToken is not None and minAccessRole is not None:
            raise invalid("minAccessRole", "minAccessRole cannot be combined with syncToken", hint="Leave one of them out.")
        parameters = {"maxResults": maxResults, "minAccessRole": minAccessRole}
        which = traversal(
            f"calendarList/{self.user.user_id}",
            parameters,
            now=self.store.change,
            sync_token=syncToken,
            page_token=pageToken,
        )
        syncing = which.since is not None
        least = Role.of(minAccessRole) if minAccessRole else Role.FREE_BUSY_READER
        wanted: list[tuple[tuple[str], dict[str, Any]]] = []
        last = 0
        for entry in self.store.rows(_ENTRIES + " ORDER BY calendar_id", self.user.user_id):
            last = max(last, entry["shown_change"])
            if which.since is not None and entry["shown_change"] <= which.since:
                continue
            shown = self._shown_entry(entry)
            if shown is None:
                if syncing or showDeleted:
                    wanted.append(((entry["calendar_id"],), gone_list_entry(entry, entry["shown_change"])))
            elif Role.of(shown["accessRole"]) >= least and (showHidden or syncing or not entry["hidden"]):
                wanted.append(((entry["calendar_id"],), shown))
        items, token = which.page(wanted, maxResults)
        return {"kind": "calendar#calendarList", "etag": etag(last), **token, "items": items}

    @tool(read_only=True, idempotent=True)
    def calendar_list_get(self, calendarId: CalendarId) -> dict[str, Any]:
        """Get one calendar of your list."""
        return self._listed_entry(calendarId)[1]

    @tool(idempotent=True, example={"id": "bob-projects"})
    def calendar_list_insert(self, id: str, **fields: Unpack[ListEntryFields]) -> dict[str, Any]:
        """Add an existing calendar that you have access to to your list."""
        access = self.reach_named(id, "id")
        columns = _columns(fields)
        found = self._find_entry(access.id)
        change = self.store.stamp().change
        if found is None:
            fresh = {"color_id": "15", "background_color": CALENDAR_COLORS["15"], "foreground_color": FOREGROUND}
            keys = {"user_id": self.user.user_id, "calendar_id": access.id, "change": change}
            self.store.insert("calendar_list", fresh | columns | keys)
        elif found["deleted"] or columns:
            self._update_entry(access.id, columns | {"deleted": 0})
        return self._listed_entry(access.id)[1]

    @tool(idempotent=True, example={"calendarId": "bob-development", "hidden": True})
    def calendar_list_patch(self, calendarId: CalendarId, **fields: Unpack[ListEntryFields]) -> dict[str, Any]:
        """Change how a calendar looks on your list: colour, name, hidden, selected, reminders."""
        entry, _ = self._listed_entry(calendarId)
        self._update_entry(entry["calendar_id"], _columns(fields))
        return self._listed_entry(entry["calendar_id"])[1]

    @tool(idempotent=True, example={"calendarId": "bob-development", "selected": True})
    def calendar_list_update(self, calendarId: CalendarId, **fields: Unpack[ListEntryFields]) -> dict[str, Any]:
        """Replace how a calendar looks on your list; what is not given is cleared."""
        entry, _ = self._listed_entry(calendarId)
        cleared: dict[str, Any] = {
            "summary_override": None,
            "hidden": 0,
            "selected": 0,
            "default_reminders": "[]",
            "notification_settings": None,
        }
        self._update_entry(entry["calendar_id"], cleared | _columns(fields))
        return self._listed_entry(entry["calendar_id"])[1]

    @tool(destructive=True, example={"calendarId": "bob-development"})
    def calendar_list_delete(self, calendarId: CalendarId) -> None:
        """Remove a calendar from your list. The calendar itself stays."""
        entry, shown = self._listed_entry(calendarId)
        if shown.get("primary"):
            raise denied(
                "cannotChangeOwnPrimarySubscription", "Your primary calendar cannot leave your list", location="calendarId"
            )
        self._update_entry(entry["calendar_id"], {"deleted": 1})

    def _find_entry(self, calendar_id: str) -> Row | None:
        return self.store.row(_ENTRIES + " AND calendar_id = ?", self.user.user_id, calendar_id)

    def _listed_entry(self, calendar_id: str) -> tuple[Row, dict[str, Any]]:
        access = self.reach(calendar_id)
        entry = self._find_entry(access.id)
        shown = None if entry is None else self._shown_entry(entry)
        if entry is None or shown is None:
            hint = "calendars_list shows your list; calendar_list_insert adds a calendar to it."
            raise not_found("calendarId", "calendar on your list", calendar_id, hint)
        return entry, shown

    def _shown_entry(self, entry: Row) -> dict[str, Any] | None:
        """The entry's resource, or ``None`` when it is off the list or the access is gone."""
        if entry["deleted"]:
            return None
        calendar = self.store.row("SELECT * FROM calendars WHERE calendar_id = ? AND NOT deleted", entry["calendar_id"])
        if calendar is None:
            return None
        role = effective_role(self.store, self.user, calendar)
        if role is Role.NONE:
            return None
        return list_entry(entry, Access(calendar, role), self.email_of(calendar["owner_id"]), entry["shown_change"])

    def _update_entry(self, calendar_id: str, columns: dict[str, Any]) -> None:
        found = self._find_entry(calendar_id)
        changed = {name: value for name, value in columns.items() if found is None or found[name] != value}
        if changed:
            changed["change"] = self.store.stamp().change
            self.store.update("calendar_list", changed, "user_id = ? AND calendar_id = ?", self.user.user_id, calendar_id)


def _columns(fields: ListEntryFields) -> dict[str, Any]:
    """The entry's columns for what was given."""
    columns: dict[str, Any] = {}
    if "summaryOverride" in fields:
        columns["summary_override"] = fields["summaryOverride"]
    if "hidden" in fields:
        columns["hidden"] = int(bool(fields["hidden"]))
    if "selected" in fields:
        columns["selected"] = int(bool(fields["selected"]))
    if "defaultReminders" in fields:
        columns["default_reminders"] = json.dumps([one.model_dump() for one in fields["defaultReminders"] or ()])
    if "notificationSettings" in fields:
        columns["notification_settings"] = _notifications(fields["notificationSettings"])
    return columns | _colors(fields)


def _colors(fields: ListEntryFields) -> dict[str, Any]:
    background, foreground = fields.get("backgroundColor"), fields.get("foregroundColor")
    if fields.get("colorRgbFormat"):
        columns: dict[str, Any] = {}
        if background is not None:
            columns |= {"background_color": background.lower(), "color_id": nearest_calendar_color(background)}
        if foreground is not None:
            columns["foreground_color"] = foreground.lower()
        return columns
    color = fields.get("colorId")
    if color is None:
        return {}
    if color not in CALENDAR_COLORS:
        raise invalid(
            "colorId", f"Invalid colorId {color[:20]!r}", hint="colors_get shows the calendar colours, 1 to 24.", example="7"
        )
    return {"color_id": color, "background_color": CALENDAR_COLORS[color], "foreground_color": FOREGROUND}


def _notifications(value: dict[str, Any] | None) -> str | None:
    if value is None:
        return None
    given = value.get("notifications")
    if set(value) != {"notifications"} or not isinstance(given, list) or not all(map(_is_notification, given)):
        example = {"notifications": [{"type": "eventCreation", "method": "email"}]}
        hint = f"notifications is a list of {{type, method}}; types are {', '.join(sorted(_TYPES))}; the method is email."
        raise invalid("notificationSettings", "Invalid notificationSettings", hint=hint, example=example)
    return json.dumps({"notifications": given})


def _is_notification(one: Any) -> bool:
    if not isinstance(one, dict) or set(one) != {"type", "method"}:
        return False
    return str(one["type"]) in _TYPES and str(one["method"]) in _METHODS
