"""Who may do what: the one place that decides it."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from calendar_env.google_errors import denied, not_found
from calendar_env.storage.store import Row, Store, User


class Role(IntEnum):
    """Access to a calendar, least first. The names on the wire are Google's: see `Role.google`."""

    NONE = 0
    FREE_BUSY_READER = 1
    READER = 2
    WRITER_WITHOUT_PRIVATE_ACCESS = 3
    WRITER = 4
    OWNER = 5

    @property
    def google(self) -> str:
        """The role's name in Google's API."""
        return _GOOGLE_NAMES[self]

    @classmethod
    def of(cls, name: str) -> Role:
        """The role that Google calls ``name``."""
        return _BY_NAME[name]

    @property
    def sees_private(self) -> bool:
        """Whether the details of private events are shown."""
        return self >= Role.WRITER


_GOOGLE_NAMES = ("none", "freeBusyReader", "reader", "writerWithoutPrivateAccess", "writer", "owner")
_BY_NAME = {name: Role(number) for number, name in enumerate(_GOOGLE_NAMES)}


class Access(NamedTuple):
    """A calendar that the caller reaches, and as what."""

    calendar: Row
    role: Role

    @property
    def id(self) -> str:
        """The calendar's id."""
        found: str = self.calendar["calendar_id"]
        return found


_MATCHING_ROLES = """
    SELECT role FROM acls
    WHERE calendar_id = :calendar AND role <> 'none' AND (
        scope_type = 'default'
        OR (scope_type = 'user' AND scope_value = :email)
        OR (scope_type = 'domain' AND scope_value = :domain)
        OR (scope_type = 'group' AND EXISTS (
            SELECT 1 FROM group_members WHERE group_email = acls.scope_value AND user_id = :user)))
"""


def effective_role(store: Store, user: User, calendar: Row) -> Role:
    """The highest role of all the rules that concern the user; the data owner is always an owner."""
    if calendar["owner_id"] == user.user_id:
        return Role.OWNER
    wanted = {
        "calendar": calendar["calendar_id"],
        "email": user.email,
        "domain": user.email.rpartition("@")[2],
        "user": user.user_id,
    }
    found = store.connection.execute(_MATCHING_ROLES, wanted).fetchall()
    return max((Role.of(row["role"]) for row in found), default=Role.NONE)


def find_calendar(store: Store, user: User, calendar_id: str) -> Row | None:
    """The calendar that an id names: its own, ``primary``, or somebody's e-mail for their primary calendar."""
    if calendar_id == "primary":
        return store.row("SELECT * FROM calendars WHERE owner_id = ? AND is_primary", user.user_id)
    found = store.row("SELECT * FROM calendars WHERE calendar_id = ? AND NOT deleted", calendar_id)
    if found is None and "@" in calendar_id:
        found = store.row(
            "SELECT calendars.* FROM calendars JOIN users ON user_id = owner_id WHERE is_primary AND email = ?", calendar_id
        )
    return found


def reach(store: Store, user: User, calendar_id: str, *, field: str = "calendarId") -> Access:
    """The calendar and the caller's role on it. Raises NOT_FOUND when there is no access at all."""
    calendar = find_calendar(store, user, calendar_id)
    role = Role.NONE if calendar is None else effective_role(store, user, calendar)
    if calendar is None or role is Role.NONE:
        hint = "calendars_list shows the calendars on your list with their exact ids; 'primary' is your own."
        raise not_found(field, "calendar", calendar_id, hint)
    return Access(calendar, role)


def require(store: Store, user: User, calendar_id: str, least: Role, *, field: str = "calendarId") -> Access:
    """`reach`, with at least this role. Raises FORBIDDEN when the caller has some access, but too little."""
    access = reach(store, user, calendar_id, field=field)
    if access.role < least:
        raise too_little(access, least, field)
    return access


def too_little(access: Access, least: Role, field: str = "calendarId") -> Exception:
    """The refusal of somebody whose role is too low."""
    return denied(
        "requiredAccessLevel",
        f"You need to have {least.google} access to this calendar; you have {access.role.google}.",
        hint=f"Ask an owner of {access.id!r} for the role {least.google}, or use another calendar.",
        location=field,
    )
