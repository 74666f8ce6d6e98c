"""Access rules: acl.*"""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import Field

from calendar_env.access import Access, Role
from calendar_env.google_errors import denied, invalid, not_found
from calendar_env.rendering import acl_rule, etag
from calendar_env.storage.store import Row
from calendar_env.storage.tokens import traversal
from calendar_env.tools.base import CalendarTools
from calendar_env.tools.payload import CalendarId, PageSize, RoleName, Scope
from openenv.tools import tool

_EMAIL = re.compile(r"[^@\s\x00-\x1f]{1,64}@[A-Za-z0-9.-]{1,189}", re.ASCII)
_DOMAIN = re.compile(r"[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})+", re.ASCII)
RuleId = Annotated[str, Field(description="As acl_list shows it, e.g. user:a@b.com")]

_INSERT_EXAMPLE = {
    "calendarId": "primary",
    "role": "writer",
    "scope": {"type": "user", "value": "carol.white@techcorp.com"},
}


class AclTools(CalendarTools):
    """Who may see and change a calendar. Writers may read the rules, owners change them."""

    @tool(read_only=True, idempotent=True)
    def acl_list(
        self,
        calendarId: CalendarId,
        maxResults: PageSize = 100,
        pageToken: str | None = None,
        showDeleted: bool = False,
        syncToken: str | None = None,
    ) -> dict[str, Any]:
        """List a calendar's access rules: who has which role. Needs writer access."""
        access = self.require(calendarId, Role.WRITER)
        now = self.store.change
        name = f"acl/{access.id}/{self.user.user_id}"
        which = traversal(
            name,
            {"maxResults": maxResults, "showDeleted": showDeleted and syncToken is None},
            now=now,
            sync_token=syncToken,
            page_token=pageToken,
            role=access.role.google,
        )
        rows = self.store.rows("SELECT * FROM acls WHERE calendar_id = ? ORDER BY rule_id", access.id)
        with_deleted = showDeleted or which.since is not None
        wanted = [
            ((row["rule_id"],), row)
            for row in rows
            if (with_deleted or row["role"] != "none") and (which.since is None or row["change"] > which.since)
        ]
        shown, token = which.page(wanted, maxResults)
        last = max((row["change"] for row in rows), default=0)
        return {"kind": "calendar#acl", "etag": etag(last), **token, "items": [acl_rule(row) for row in shown]}

    @tool(read_only=True, idempotent=True, example={"calendarId": "primary", "ruleId": "user:bob.smith@techcorp.com"})
    def acl_get(self, calendarId: CalendarId, ruleId: RuleId) -> dict[str, Any]:
        """Get one access rule."""
        return acl_rule(self._rule(self.require(calendarId, Role.WRITER), ruleId))

    @tool(idempotent=True, example=_INSERT_EXAMPLE)
    def acl_insert(self, calendarId: CalendarId, role: RoleName, scope: Scope, sendNotifications: bool = True) -> dict[str, Any]:
        """Give a user, group, domain or everyone a role on a calendar, or overwrite the one it has. Needs owner access."""
        access = self.require(calendarId, Role.OWNER)
        value = _checked_scope(scope)
        rule_id = scope.type if value is None else f"{scope.type}:{value}"
        self._check_change(access, scope.type, value, role)
        stamp = self.store.stamp()
        found = self.store.row("SELECT role FROM acls WHERE calendar_id = ? AND rule_id = ?", access.id, rule_id)
        changed = {"role": role, "updated": stamp.now, "change": stamp.change}
        if found is not None:
            if found["role"] == role:
                return acl_rule(self._rule(access, rule_id, with_deleted=True))
            self.store.update("acls", changed, "calendar_id = ? AND rule_id = ?", access.id, rule_id)
        else:
            made = {
                "calendar_id": access.id,
                "rule_id": rule_id,
                "scope_type": scope.type,
                "scope_value": value,
                "user_id": self.store.user_id_of(value) if scope.type == "user" and value else None,
                "created": stamp.now,
            }
            self.store.insert("acls", made | changed)
        if sendNotifications and value is not None and scope.type in ("user", "group") and role != "none":
            self.store.post("share", [value], access.id)
        return acl_rule(self._rule(access, rule_id, with_deleted=True))

    @tool(idempotent=True, example={"calendarId": "primary", "ruleId": "user:bob.smith@techcorp.com", "role": "writer"})
    def acl_patch(
        self,
        calendarId: CalendarId,
        ruleId: RuleId,
        role: RoleName | None = None,
        scope: Scope | None = None,
        sendNotifications: bool = True,
    ) -> dict[str, Any]:
        """Change an existing access rule's role. Needs owner access."""
        return self._change_rule(calendarId, ruleId, role, scope, sendNotifications)

    @tool(idempotent=True, example={"calendarId": "primary", "ruleId": "user:bob.smith@techcorp.com", "role": "writer"})
    def acl_update(
        self,
        calendarId: CalendarId,
        ruleId: RuleId,
        role: RoleName,
        scope: Scope | None = None,
        sendNotifications: bool = True,
    ) -> dict[str, Any]:
        """Replace an existing access rule. Needs owner access."""
        return self._change_rule(calendarId, ruleId, role, scope, sendNotifications)

    @tool(destructive=True, example={"calendarId": "primary", "ruleId": "user:bob.smith@techcorp.com"})
    def acl_delete(self, calendarId: CalendarId, ruleId: RuleId) -> None:
        """Delete an access rule: its scope loses the access. Needs owner access."""
        access = self.require(calendarId, Role.OWNER)
        rule = self._rule(access, ruleId)
        self._check_change(access, rule["scope_type"], rule["scope_value"], "none")
        self._write_rule(access, rule, "none")

    def _change_rule(self, calendar_id: str, rule_id: str, role: str | None, scope: Scope | None, notify: bool) -> dict[str, Any]:
        access = self.require(calendar_id, Role.OWNER)
        rule = self._rule(access, rule_id)
        if scope is not None and (scope.type, _checked_scope(scope)) != (rule["scope_type"], rule["scope_value"]):
            raise invalid(
                "scope", "The scope of a rule cannot be changed", hint="Delete the rule and insert one for the other scope."
            )
        if role is None or role == rule["role"]:
            return acl_rule(rule)
        self._check_change(access, rule["scope_type"], rule["scope_value"], role)
        self._write_rule(access, rule, role)
        if notify and rule["scope_type"] in ("user", "group") and role != "none":
            self.store.post("share", [rule["scope_value"]], access.id)
        return acl_rule(self._rule(access, rule["rule_id"], with_deleted=True))

    def _write_rule(self, access: Access, rule: Row, role: str) -> None:
        stamp = self.store.stamp()
        changed = {"role": role, "updated": stamp.now, "change": stamp.change}
        self.store.update("acls", changed, "calendar_id = ? AND rule_id = ?", access.id, rule["rule_id"])

    def _rule(self, access: Access, rule_id: str, *, with_deleted: bool = False) -> Row:
        found = self.store.row("SELECT * FROM acls WHERE calendar_id = ? AND rule_id = ?", access.id, rule_id)
        if found is None or (found["role"] == "none" and not with_deleted):
            raise not_found(
                "ruleId", "access rule", rule_id, f"acl_list shows the rules of {access.id!r}; acl_insert makes a new one."
            )
        return found

    def _check_change(self, access: Access, scope_type: str, scope_value: str | None, role: str) -> None:
        """Google's refusals of rules that would lock somebody out or let everyone in."""
        if scope_type == "default" and Role.of(role) > Role.READER:
            raise denied(
                "illegalAccessRoleForDefault",
                f"Everyone cannot be given the role {role}",
                hint="The scope default takes none, freeBusyReader or reader.",
                location="role",
            )
        if scope_type != "user" or scope_value is None:
            return
        grantee = self.store.user_id_of(scope_value)
        if grantee is not None and grantee == access.calendar["owner_id"] and role != "owner":
            raise denied("cannotChangeOwnerAcl", "Cannot change the access of the calendar's data owner.", location="role")
        if grantee == self.user.user_id and role != "owner":
            raise denied("cannotChangeOwnAcl", "Cannot change your own access level.", location="role")


def _checked_scope(scope: Scope) -> str | None:
    value = scope.value
    if scope.type == "default":
        if value:
            raise invalid(
                "scope.value",
                "The scope default takes no value",
                reason="invalidScopeValue",
                example={"type": "default"},
            )
        return None
    pattern, what = (_DOMAIN, "a domain") if scope.type == "domain" else (_EMAIL, "an e-mail address")
    if value is None or not pattern.fullmatch(value):
        example = "techcorp.com" if scope.type == "domain" else "carol.white@techcorp.com"
        raise invalid(
            "scope.value",
            f"The scope {scope.type} needs {what}, got {str(value)[:80]!r}",
            hint="acl_list and the attendees of events show people's addresses.",
            example={"type": scope.type, "value": example},
            reason="invalidScopeValue",
        )
    return value.lower()
