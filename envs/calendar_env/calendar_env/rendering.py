"""Resources as Google shows them. Absent fields are left out, never null."""

from __future__ import annotations

import json
from typing import Any

from calendar_env.access import Access, Role
from calendar_env.storage.store import Row


def etag(change: int) -> str:
    """The entity tag of what was touched last by this change."""
    return f'"{change}"'


def given(**fields: Any) -> dict[str, Any]:
    """The fields that have a value."""
    return {name: value for name, value in fields.items() if value is not None}


def loaded(text: str | None) -> Any:
    """The value of a JSON text, or ``None``."""
    return None if text is None else json.loads(text)


def acl_rule(row: Row) -> dict[str, Any]:
    """An AclRule."""
    return {
        "kind": "calendar#aclRule",
        "etag": etag(row["change"]),
        "id": row["rule_id"],
        "scope": given(type=row["scope_type"], value=row["scope_value"]),
        "role": row["role"],
    }


def calendar(row: Row, owner_email: str) -> dict[str, Any]:
    """A Calendar."""
    return {
        "kind": "calendar#calendar",
        "etag": etag(row["change"]),
        "id": row["calendar_id"],
        "summary": row["summary"],
        **given(description=row["description"], location=row["location"]),
        "timeZone": row["time_zone"],
        **given(conferenceProperties=loaded(row["conference_properties"])),
        "dataOwner": owner_email,
    }


def list_entry(entry: Row, access: Access, owner_email: str, change: int) -> dict[str, Any]:
    """A CalendarListEntry, for the user whose list it is on."""
    row = access.calendar
    owned = access.role >= Role.READER
    shown = {
        "kind": "calendar#calendarListEntry",
        "etag": etag(change),
        "id": row["calendar_id"],
        "summary": row["summary"],
        **given(
            description=row["description"],
            location=row["location"],
            summaryOverride=entry["summary_override"],
            conferenceProperties=loaded(row["conference_properties"]) if owned else None,
        ),
        "timeZone": row["time_zone"],
        "dataOwner": owner_email,
        "colorId": entry["color_id"],
        "backgroundColor": entry["background_color"],
        "foregroundColor": entry["foreground_color"],
    }
    if entry["hidden"]:
        shown["hidden"] = True
    if entry["selected"]:
        shown["selected"] = True
    shown["accessRole"] = access.role.google
    shown["defaultReminders"] = loaded(entry["default_reminders"])
    shown |= given(notificationSettings=loaded(entry["notification_settings"]))
    if row["is_primary"] and row["owner_id"] == entry["user_id"]:
        shown["primary"] = True
    return shown


def gone_list_entry(entry: Row, change: int) -> dict[str, Any]:
    """An entry that is no longer on the list."""
    return {
        "kind": "calendar#calendarListEntry",
        "etag": etag(change),
        "id": entry["calendar_id"],
        "deleted": True,
    }


def setting(row: Row) -> dict[str, Any]:
    """A Setting."""
    return {"kind": "calendar#setting", "etag": etag(row["change"]), "id": row["setting_id"], "value": row["value"]}
