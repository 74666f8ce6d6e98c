from __future__ import annotations

from typing import Any

import pytest

from calendar_env.testing import LocalGym
from calendar_env.users import ALICE, BOB, CAROL, DAVE

PROJECTS = {"calendarId": "bob-projects"}
ALICES = {"type": "user", "value": ALICE.email}


def reason(error: dict[str, Any]) -> tuple[int, str]:
    envelope = error["google"]["error"]
    return envelope["code"], envelope["errors"][0]["reason"]


def test_a_rule_is_made_changed_and_deleted(gym: LocalGym) -> None:
    made = gym.call(BOB, "acl_insert", role="reader", scope=ALICES, **PROJECTS)
    assert made == {
        "kind": "calendar#aclRule",
        "etag": made["etag"],
        "id": f"user:{ALICE.email}",
        "scope": ALICES,
        "role": "reader",
    }
    rule = {"ruleId": made["id"], **PROJECTS}
    patched = gym.call(BOB, "acl_patch", role="writer", **rule)
    assert (patched["role"], patched["etag"] != made["etag"]) == ("writer", True)
    assert gym.call(BOB, "acl_update", role="owner", scope=ALICES, **rule)["role"] == "owner"
    assert gym.call(BOB, "acl_get", **rule)["role"] == "owner"
    assert gym.call(BOB, "acl_delete", **rule) is None
    assert reason(gym.refusal(BOB, "acl_get", **rule)) == (404, "notFound")
    assert reason(gym.refusal(BOB, "acl_delete", **rule)) == (404, "notFound")
    assert gym.rows("SELECT role, user_id FROM acls WHERE rule_id = ? AND calendar_id = 'bob-projects'", made["id"]) == [
        ("none", "alice_manager")
    ]


def test_the_same_scope_again_overwrites(gym: LocalGym) -> None:
    gym.call(BOB, "acl_insert", role="reader", scope=ALICES, **PROJECTS)
    shouted = {"type": "user", "value": ALICE.email.upper()}
    gym.call(BOB, "acl_insert", role="writer", scope=shouted, **PROJECTS)
    assert gym.rows("SELECT role FROM acls WHERE calendar_id = 'bob-projects' AND user_id = 'alice_manager'") == [("writer",)]


def test_nothing_changes_when_the_role_is_the_same(gym: LocalGym) -> None:
    before = gym.rows("SELECT * FROM acls")
    gym.call(BOB, "acl_insert", role="writer", scope={"type": "user", "value": CAROL.email}, **PROJECTS)
    gym.call(BOB, "acl_patch", role="writer", ruleId=f"user:{CAROL.email}", **PROJECTS)
    assert gym.rows("SELECT * FROM acls") == before


def test_a_rule_can_come_back(gym: LocalGym) -> None:
    gym.call(BOB, "acl_delete", ruleId=f"user:{DAVE.email}", **PROJECTS)
    assert gym.refusal(DAVE, "calendars_get", **PROJECTS)["code"] == "NOT_FOUND"
    gym.call(BOB, "acl_insert", role="reader", scope={"type": "user", "value": DAVE.email}, **PROJECTS)
    assert gym.call(DAVE, "calendars_get", **PROJECTS)["id"] == "bob-projects"


@pytest.mark.parametrize(
    ("scope", "role", "expected"),
    [
        ({"type": "default"}, "writer", (403, "illegalAccessRoleForDefault")),
        ({"type": "default", "value": "x@y.zz"}, "reader", (400, "invalidScopeValue")),
        ({"type": "user"}, "reader", (400, "invalidScopeValue")),
        ({"type": "user", "value": "alice_manager"}, "reader", (400, "invalidScopeValue")),
        ({"type": "domain", "value": "a@b.cc"}, "reader", (400, "invalidScopeValue")),
        ({"type": "group", "value": "not an address"}, "reader", (400, "invalidScopeValue")),
        ({"type": "user", "value": "x' OR '1'='1@y.zz"}, "reader", (400, "invalidScopeValue")),
        ({"type": "user", "value": BOB.email}, "reader", (403, "cannotChangeOwnerAcl")),
    ],
)
def test_rules_that_make_no_sense_are_refused(gym: LocalGym, scope: Any, role: str, expected: Any) -> None:
    before = gym.rows("SELECT * FROM acls")
    assert reason(gym.refusal(BOB, "acl_insert", role=role, scope=scope, **PROJECTS)) == expected
    assert gym.rows("SELECT * FROM acls") == before


def test_an_owner_cannot_shut_out_itself_or_the_data_owner(gym: LocalGym) -> None:
    gym.call(BOB, "acl_insert", role="owner", scope=ALICES, **PROJECTS)
    own = {"ruleId": f"user:{ALICE.email}", **PROJECTS}
    assert reason(gym.refusal(ALICE, "acl_patch", role="reader", **own)) == (403, "cannotChangeOwnAcl")
    assert reason(gym.refusal(ALICE, "acl_delete", **own)) == (403, "cannotChangeOwnAcl")
    theirs = {"ruleId": f"user:{BOB.email}", **PROJECTS}
    assert reason(gym.refusal(ALICE, "acl_delete", **theirs)) == (403, "cannotChangeOwnerAcl")


def test_a_rules_scope_cannot_be_changed(gym: LocalGym) -> None:
    rule = {"ruleId": f"user:{CAROL.email}", **PROJECTS}
    assert gym.refusal(BOB, "acl_patch", scope=ALICES, role="reader", **rule)["field"] == "scope"


def test_lists_are_paged_and_synchronised(gym: LocalGym) -> None:
    pages, ids = 0, list[str]()
    token: dict[str, str] = {}
    while True:
        page = gym.call(BOB, "acl_list", maxResults=2, **PROJECTS, **token)
        pages, ids = pages + 1, ids + [rule["id"] for rule in page["items"]]
        if "nextPageToken" not in page:
            break
        assert "nextSyncToken" not in page
        token = {"pageToken": page["nextPageToken"]}
    assert (pages, ids) == (2, [f"user:{BOB.email}", f"user:{CAROL.email}", f"user:{DAVE.email}"])

    sync = gym.call(BOB, "acl_list", **PROJECTS)["nextSyncToken"]
    assert gym.call(BOB, "acl_list", syncToken=sync, **PROJECTS)["items"] == []
    gym.call(BOB, "acl_delete", ruleId=f"user:{DAVE.email}", **PROJECTS)
    gym.call(BOB, "acl_insert", role="reader", scope=ALICES, **PROJECTS)
    changed = gym.call(BOB, "acl_list", syncToken=sync, **PROJECTS)
    assert [(rule["id"], rule["role"]) for rule in changed["items"]] == [
        (f"user:{ALICE.email}", "reader"),
        (f"user:{DAVE.email}", "none"),
    ]
    assert gym.call(BOB, "acl_list", syncToken=changed["nextSyncToken"], **PROJECTS)["items"] == []
    assert [rule["role"] for rule in gym.call(BOB, "acl_list", showDeleted=True, **PROJECTS)["items"]].count("none") == 1


@pytest.mark.parametrize("token", ["x", "", "WyJzIl0", "bnVsbA", "[]" * 4000, "ä"])
def test_tokens_that_nobody_made_are_refused(gym: LocalGym, token: str) -> None:
    assert reason(gym.refusal(BOB, "acl_list", syncToken=token, **PROJECTS)) == (410, "fullSyncRequired")
    assert reason(gym.refusal(BOB, "acl_list", pageToken=token, **PROJECTS)) == (400, "invalid")


def test_a_token_belongs_to_its_list(gym: LocalGym) -> None:
    sync = gym.call(BOB, "acl_list", **PROJECTS)["nextSyncToken"]
    assert gym.refusal(BOB, "acl_list", calendarId="primary", syncToken=sync)["code"] == "GONE"
    assert gym.refusal(BOB, "acl_list", maxResults=5, syncToken=sync, **PROJECTS)["code"] == "GONE"


def test_a_grant_is_noted_in_the_outbox_unless_it_is_not_to_be(gym: LocalGym) -> None:
    gym.call(BOB, "acl_insert", role="reader", scope=ALICES, **PROJECTS)
    gym.call(BOB, "acl_patch", ruleId=f"user:{ALICE.email}", role="writer", sendNotifications=False, **PROJECTS)
    assert gym.rows("SELECT kind, calendar_id, recipient FROM outbox") == [("share", "bob-projects", ALICE.email)]
