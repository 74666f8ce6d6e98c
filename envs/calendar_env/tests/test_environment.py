from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from calendar_env.environment import CalendarEnvironment
from calendar_env.models import CalendarAction
from calendar_env.rewards import minimal_acl_changes_reward
from calendar_env.testing import LocalGym
from calendar_env.tools import AllCalendarTools
from calendar_env.users import ALICE, BOB, CAROL, DAVE
from openenv.environment import Context, DatabaseBacked
from openenv.errors import ConfigurationError, Unauthenticated, ValidationFailed
from openenv.operation import Principal, RequestContext

WHEN = {"start": {"dateTime": "2026-01-15T14:00:00Z"}, "end": {"dateTime": "2026-01-15T15:00:00Z"}}
BAD_NAMES = [
    "",
    "..",
    "../up",
    "a/b",
    "a\\b",
    "/etc/passwd",
    "a.b",
    ".hidden",
    "-dash",
    "ä",
    "a b",
    "a\0b",
    "a\n",
    "x" * 65,
    "％2e",
]


def play(gym: LocalGym) -> list[str]:
    """A few steps of every kind; their answers as JSON."""
    answers: list[Any] = [
        gym.step(ALICE, "events_insert", calendarId="primary", summary="Made", attendees=[{"email": BOB.email}], **WHEN),
        gym.step(ALICE, "calendars_insert", summary="Hiring"),
        gym.step(BOB, "events_patch", calendarId="primary", eventId="standup_20260107T143000Z", colorId="4"),
        gym.step(ALICE, "events_delete", calendarId="primary", eventId="oneononebob"),
        gym.step(CAROL, "events_list", calendarId="primary", singleEvents=True, timeMax="2026-02-01T00:00:00Z"),
        gym.step(DAVE, "acl_insert", calendarId="dave-sales", role="nobody", scope={"type": "default"}),
    ]
    return [answer.model_dump_json() for answer in answers]


def test_the_same_seed_gives_the_same_answers_and_bytes() -> None:
    with LocalGym(seed=7) as one, LocalGym(seed=7) as two:
        two.call(DAVE, "calendars_insert", summary="Earlier")
        two.reset(DAVE, seed=7)
        assert play(one) == play(two)
        assert one.environment.database_image() == two.environment.database_image()


def test_another_seed_gives_other_identifiers() -> None:
    with LocalGym(seed=7) as one, LocalGym(seed=8) as two:
        assert play(one)[0] != play(two)[0]


def test_worlds_know_nothing_of_each_other() -> None:
    with LocalGym() as one, LocalGym() as two:
        one.call(ALICE, "calendars_insert", summary="Mine")
        assert len(two.call(ALICE, "calendars_list")["items"]) == 6
        assert len(one.call(ALICE, "calendars_list")["items"]) == 7


def test_an_image_can_be_opened_and_read(gym: LocalGym, tmp_path: Path) -> None:
    assert isinstance(gym.environment, DatabaseBacked)
    with LocalGym(database_id="one", data_directory=tmp_path) as named:
        named.call(ALICE, "calendars_insert", summary="Mine")
        for image, count in ((gym.environment.database_image(), 11), (named.environment.database_image(), 12)):
            connection = sqlite3.connect(":memory:")
            connection.deserialize(image)
            assert connection.execute("SELECT count(*) FROM calendars").fetchone() == (count,)
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            connection.close()


@pytest.mark.parametrize("headers", [{}, {"x-access-token": ""}, {"x-access-token": "token-alice"}, {"x-access-token": "'; --"}])
def test_nobody_acts_without_a_token(gym: LocalGym, headers: dict[str, str]) -> None:
    context = Context(RequestContext(headers=headers))
    call = CalendarAction(action_type="ToolCallAction", tool_name="colors_get")
    with pytest.raises(Unauthenticated) as refused:
        gym.environment.step(call, context)
    assert refused.value.field == "x-access-token"
    with pytest.raises(Unauthenticated):
        gym.environment.reset(context=context)


def test_listing_the_tools_asks_for_no_token(gym: LocalGym) -> None:
    seen = gym.environment.step(CalendarAction(action_type="ListToolsAction"), Context())
    assert seen.success
    assert seen.tools_list is not None
    assert {"name", "description", "inputSchema"} == set(seen.tools_list[0])


def test_the_tool_list_fits_into_forty_kilobytes() -> None:
    names = [tool.name for tool in CalendarEnvironment.tools]
    assert len(names) == 32
    listed = [
        {
            "name": tool.name,
            "title": None,
            "description": tool.description,
            "inputSchema": tool.arguments.schema,
            "outputSchema": None,
            "icons": None,
            "annotations": {"readOnlyHint": False, "destructiveHint": True, "idempotentHint": True},
            "meta": None,
            "execution": None,
        }
        for tool in CalendarEnvironment.tools
    ]
    size = len(json.dumps({"jsonrpc": "2.0", "id": 1, "result": {"tools": listed}}, separators=(",", ":")))
    assert size < 40_000
    assert [tool.name for tool in CalendarEnvironment.tools if not tool.description] == []


def test_groups_of_tools_do_not_overwrite_each_others_helpers() -> None:
    groups = [base for base in AllCalendarTools.__mro__ if base.__module__.startswith("calendar_env.tools.")]
    names = [
        name for base in groups for name in vars(base) if not name.startswith("__") and name not in ("tools", "store", "user")
    ]
    names = [name for name in names if name not in ("_abc_impl",)]
    assert sorted(names) == sorted(set(names))


def test_an_alias_calls_the_tool(gym: LocalGym) -> None:
    assert gym.call(ALICE, "calendar_list_list") == gym.call(ALICE, "calendars_list")
    seen = gym.step(ALICE, "calendar_list_list")
    assert seen.tool_used == "calendars_list"


def test_an_unknown_tool_is_told_apart_and_close_names_are_given(gym: LocalGym) -> None:
    seen = gym.step(ALICE, "event_insert")
    assert not seen.success
    assert seen.error is not None
    assert seen.error["code"] == "TOOL_NOT_FOUND"
    assert "events_insert" in seen.error["hint"]


def test_arguments_are_validated_with_an_example(gym: LocalGym) -> None:
    error = gym.refusal(BOB, "acl_insert", calendarId="bob-projects", role="admin", scope={"type": "user", "value": ALICE.email})
    assert (error["code"], error["field"]) == ("INVALID_ARGUMENTS", "role")
    assert "'owner'" in error["message"]
    assert error["example"]["role"] == "writer"
    assert error["google"]["error"]["errors"][0]["reason"] == "invalid"
    error = gym.refusal(BOB, "events_insert", summary="x", **WHEN)
    assert (error["field"], error["google"]["error"]["errors"][0]["reason"]) == ("calendarId", "required")


def test_examples_in_errors_are_valid_arguments() -> None:
    for tool in CalendarEnvironment.tools:
        validated = tool.arguments.validate(tool.arguments.example)
        assert validated.keys() == tool.arguments.example.keys()


def test_a_failed_call_leaves_no_trace(gym: LocalGym) -> None:
    before = gym.environment.database_image()
    attendees = [{"email": "nobody"}]
    gym.refusal(ALICE, "events_insert", calendarId="primary", attendees=attendees, **WHEN)
    gym.refusal(ALICE, "events_patch", calendarId="primary", eventId="standup_20260106T143000Z", colorId="99")
    assert gym.rows("SELECT change, next_id FROM world") == [(gym.rows("SELECT change FROM world")[0][0], 1)]
    after = gym.environment.database_image()
    assert len(before) == len(after)
    gym.environment.store.connection.execute("VACUUM")
    assert gym.rows("SELECT count(*) FROM events WHERE summary IS NULL") == [(0,)]


def test_the_outcome_of_a_step_is_read_back_from_its_observation(gym: LocalGym) -> None:
    environment = gym.environment
    action = environment.tool_action("events_get", {"calendarId": "primary", "eventId": "missing"})
    outcome = environment.outcome_of(action, environment.step(action, gym.context(ALICE)))
    assert outcome is not None
    assert outcome.error is not None
    assert (outcome.name, outcome.read_only, outcome.error.code) == ("events_get", True, "NOT_FOUND")
    assert outcome.error.details["google"]["error"]["code"] == 404
    listing = CalendarAction(action_type="ListToolsAction")
    assert environment.outcome_of(listing, environment.step(listing, Context())) is None


@pytest.mark.parametrize("name", BAD_NAMES)
def test_database_ids_that_could_leave_their_folder_are_refused(name: str, tmp_path: Path) -> None:
    context = RequestContext(headers={"x-database-id": name})
    with pytest.raises(ValidationFailed) as refused:
        CalendarEnvironment.world_name(context)
    assert refused.value.field == "x-database-id"
    with pytest.raises(ValidationFailed):
        CalendarEnvironment(Context(context), data_directory=tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("tenant", ["..", "a/b", ""])
def test_a_tenants_name_is_checked_too(tenant: str, tmp_path: Path) -> None:
    context = Context(RequestContext(headers={"x-database-id": "one"}), Principal(id="p", tenant=tenant))
    with pytest.raises(ValidationFailed):
        CalendarEnvironment(context, data_directory=tmp_path)


def test_tenants_have_databases_of_their_own(tmp_path: Path) -> None:
    for tenant in ("red", "blue"):
        context = Context(RequestContext(headers={"x-database-id": "one"}), Principal(id="p", tenant=tenant))
        environment = CalendarEnvironment(context, data_directory=tmp_path)
        assert not environment.resumed
        environment.close()
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.sqlite")) == ["blue/one.sqlite", "red/one.sqlite"]


def test_a_named_database_outlives_its_world_and_can_be_reset(tmp_path: Path) -> None:
    with LocalGym(database_id="one", data_directory=tmp_path, seed=3) as first:
        assert not first.environment.resumed
        made = first.call(ALICE, "calendars_insert", summary="Kept")["id"]
    with LocalGym(database_id="one", data_directory=tmp_path) as second:
        assert second.environment.resumed
        assert second.call(ALICE, "calendars_get", calendarId=made)["summary"] == "Kept"
        assert second.environment.state.database_id == "one"
        second.reset(ALICE, seed=3)
        assert second.refusal(ALICE, "calendars_get", calendarId=made)["code"] == "NOT_FOUND"
        assert second.call(ALICE, "calendars_insert", summary="Again")["id"] == made
    assert [path.name for path in (tmp_path / "default").glob("*.sqlite")] == ["one.sqlite"]


def test_the_folder_of_named_databases_can_be_named_by_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENENV_CALENDAR_DATA", str(tmp_path / "data"))
    with LocalGym(database_id="one"):
        assert (tmp_path / "data" / "default" / "one.sqlite").exists()


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "default").mkdir()
    (tmp_path / "default" / "one.sqlite").write_text("not a database" * 100)
    with pytest.raises(ConfigurationError):
        LocalGym(database_id="one", data_directory=tmp_path)
    (tmp_path / "default" / "two.sqlite").touch()
    with pytest.raises(ConfigurationError) as refused:
        LocalGym(database_id="two", data_directory=tmp_path)
    assert "schema version" in refused.value.message


def test_an_own_reward_function_may_look_at_the_initial_state() -> None:
    with LocalGym(reward=minimal_acl_changes_reward) as gym:
        grant = {"calendarId": "bob-projects", "role": "writer", "scope": {"type": "user", "value": ALICE.email}}
        assert gym.step(BOB, "calendars_list").reward == 0.0
        assert gym.step(BOB, "acl_list", calendarId="bob-projects").reward == 0.5
        assert gym.step(BOB, "acl_insert", **grant).reward == -0.5
        gym.reset(BOB)
        assert gym.step(BOB, "acl_patch", calendarId="bob-projects", ruleId=f"user:{DAVE.email}", role="writer").reward == 0.5
