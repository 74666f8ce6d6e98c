from __future__ import annotations

import hashlib
import json
import sqlite3
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from calendar_env import snapshots
from calendar_env.rewards import minimal_acl_changes_reward
from calendar_env.storage.template import template_image
from calendar_env.testing import LocalGym
from calendar_env.users import ALICE, BOB, CAROL, DAVE
from openenv import Snapshottable
from openenv.errors import Unsupported

WHEN = {"start": {"dateTime": "2026-01-15T14:00:00Z"}, "end": {"dateTime": "2026-01-15T15:00:00Z"}}
INITIAL = {"acl_count": 1, "event_count": 2, "calendar_count": 3, "now": "2026-01-05T09:00:00Z"}
PREFIX = 39
"""Bytes of a snapshot before its JSON."""


def fork(gym: LocalGym) -> LocalGym:
    """Another world that goes on from where this one is."""
    other = LocalGym(seed=99)
    other.call(DAVE, "calendars_insert", summary="Forgotten")
    other.environment.restore(gym.environment.snapshot())
    other.environment.step_count = gym.environment.step_count
    return other


@pytest.fixture
def played() -> Iterator[LocalGym]:
    """A world in which something has happened."""
    with LocalGym(seed=7) as made:
        made.step(ALICE, "events_insert", calendarId="primary", summary="Made", attendees=[{"email": BOB.email}], **WHEN)
        made.step(ALICE, "calendars_insert", summary="Hiring")
        made.step(BOB, "events_patch", calendarId="primary", eventId="standup_20260107T143000Z", colorId="4")
        made.step(ALICE, "events_delete", calendarId="primary", eventId="oneononebob")
        yield made


def go_on(gym: LocalGym, sync_token: str) -> list[Any]:
    """Answers to further calls, in which identifiers, etags, times and sync tokens come from counters."""
    answers: list[Any] = [
        gym.step(ALICE, "events_insert", calendarId="primary", summary="Later", **WHEN),
        gym.step(CAROL, "calendars_insert", summary="Sketches"),
        gym.step(ALICE, "events_delete", calendarId="primary", eventId="budget0107"),
        gym.step(ALICE, "events_list", calendarId="primary", syncToken=sync_token),
        gym.step(ALICE, "events_list", calendarId="primary", maxResults=2),
        gym.step(BOB, "acl_insert", calendarId="bob-projects", role="reader", scope={"type": "default"}),
        gym.environment.state,
    ]
    return [json.loads(answer.model_dump_json()) for answer in answers]


def signed(began: bytes, database: bytes) -> bytes:
    """A snapshot made by hand, with the digest that it needs."""
    return struct.pack(">4sBH32s", b"OCAL", 1, len(began), hashlib.sha256(began + database).digest()) + began + database


def changed(statement: str) -> bytes:
    """A snapshot of the seed world after a statement that no tool makes."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.deserialize(template_image())
    connection.executescript(statement)
    image = connection.serialize()
    connection.close()
    return signed(json.dumps(INITIAL).encode(), image)


def refused(gym: LocalGym, image: bytes) -> str:
    """Why the world does not take the image; it is as before then."""
    before = gym.environment.snapshot()
    with pytest.raises(ValueError, match=r"snapshot|image") as error:
        gym.environment.restore(image)
    assert gym.environment.snapshot() == before
    assert gym.call(ALICE, "calendars_get", calendarId="primary")["id"] == "alice-primary"
    return str(error.value)


def test_the_calendar_is_snapshottable(gym: LocalGym) -> None:
    assert isinstance(gym.environment, Snapshottable)
    assert gym.environment.snapshot_version == 1


def test_a_fork_goes_on_as_the_first_world_does(played: LocalGym) -> None:
    token = played.call(ALICE, "events_list", calendarId="primary")["nextSyncToken"]
    with fork(played) as other:
        assert other.environment.database_image() == played.environment.database_image()
        assert go_on(other, token) == go_on(played, token)
        assert other.environment.database_image() == played.environment.database_image()


def test_two_forks_know_nothing_of_each_other(played: LocalGym) -> None:
    before = played.environment.database_image()
    with fork(played) as one, fork(played) as two:
        mine = one.call(ALICE, "calendars_insert", summary="Mine")
        yours = two.call(ALICE, "calendars_insert", summary="Yours")
        assert mine["id"] == yours["id"]
        assert [gym.call(ALICE, "calendars_get", calendarId=mine["id"])["summary"] for gym in (one, two)] == ["Mine", "Yours"]
        one.call(ALICE, "events_delete", calendarId="primary", eventId="budget0107")
        assert two.call(ALICE, "events_get", calendarId="primary", eventId="budget0107")["status"] == "confirmed"
        assert one.environment.state.current_time != two.environment.state.current_time
    assert played.environment.database_image() == before


def test_a_world_goes_back_to_its_own_snapshot(played: LocalGym) -> None:
    image = played.environment.snapshot()
    token = played.call(ALICE, "events_list", calendarId="primary")["nextSyncToken"]
    steps = played.environment.step_count
    first = go_on(played, token)
    played.environment.restore(image)
    played.environment.step_count = steps
    assert played.environment.snapshot() == image
    assert go_on(played, token) == first
    played.reset(ALICE, seed=7)
    with LocalGym(seed=7) as fresh:
        assert played.environment.database_image() == fresh.environment.database_image()


def test_another_seed_changes_the_identifiers_to_come_alone(played: LocalGym) -> None:
    with fork(played) as other:
        other.environment.reseed(8)
        differing = other.rows("SELECT seed, now, change, next_id FROM world")
        assert differing == [(8, *played.rows("SELECT now, change, next_id FROM world")[0])]
        query = "SELECT * FROM events ORDER BY event_key"
        assert other.rows(query) == played.rows(query)
        ids = {gym.call(ALICE, "calendars_insert", summary="x")["id"] for gym in (played, other)}
        assert len(ids) == 2
        for seed in (-1, 2**63):
            with pytest.raises(ValueError, match=r"2\*\*63"):
                other.environment.reseed(seed)


def test_rewards_compare_with_the_state_in_which_the_episode_began() -> None:
    with LocalGym(reward=minimal_acl_changes_reward) as gym, LocalGym(reward=minimal_acl_changes_reward) as other:
        grant = {"calendarId": "bob-projects", "role": "writer", "scope": {"type": "user", "value": ALICE.email}}
        assert gym.step(BOB, "acl_insert", **grant).reward == -0.5
        other.environment.restore(gym.environment.snapshot())
        assert other.step(BOB, "acl_list", calendarId="bob-projects").reward == -0.5


def test_users_who_were_known_before_are_looked_up_again(gym: LocalGym) -> None:
    gym.call(ALICE, "colors_get")
    gym.environment.restore(changed("UPDATE users SET access_token = 'another' WHERE user_id = 'alice_manager'"))
    assert gym.call("another", "calendars_get", calendarId="primary")["id"] == "alice-primary"
    with pytest.raises(Exception, match="access token is not known"):
        gym.call(ALICE, "colors_get")


def test_named_databases_are_not_copied(played: LocalGym, tmp_path: Path) -> None:
    with LocalGym(database_id="one", data_directory=tmp_path) as named:
        before = named.environment.database_image()
        for attempt in (named.environment.snapshot, lambda: named.environment.restore(played.environment.snapshot())):
            with pytest.raises(Unsupported) as refusal:
                attempt()
            assert refusal.value.field == "x-database-id"
        with pytest.raises(ValueError, match=r"one\.sqlite is a file"):
            named.environment.store.load(template_image())
        assert named.environment.database_image() == before


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
@given(st.binary(max_size=200), st.data())
def test_damage_is_noticed_and_changes_nothing(played: LocalGym, noise: bytes, data: st.DataObject) -> None:
    image = bytearray(played.environment.snapshot())
    place = data.draw(st.integers(0, len(image) - 1))
    refused(played, bytes(image[:place]))
    refused(played, bytes(image) + noise + b"\0")
    refused(played, noise)
    refused(played, bytes(image[:PREFIX]) + noise)
    image[place] ^= data.draw(st.integers(1, 255))
    refused(played, bytes(image))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
@given(st.data())
def test_a_damaged_database_with_the_right_digest_is_refused_or_sound(gym: LocalGym, data: st.DataObject) -> None:
    database = bytearray(template_image())
    for _ in range(data.draw(st.integers(1, 5))):
        database[data.draw(st.integers(0, len(database) - 1) | st.integers(0, 2000))] = data.draw(st.integers(0, 255))
    before = gym.environment.snapshot()
    try:
        gym.environment.restore(signed(json.dumps(INITIAL).encode(), bytes(database)))
    except ValueError:
        assert gym.environment.snapshot() == before
        return
    gym.environment.snapshot()
    assert gym.rows("PRAGMA integrity_check") == [("ok",)]


NOT_OURS: list[tuple[str, str]] = [
    ("CREATE TRIGGER t AFTER UPDATE ON world BEGIN DELETE FROM events; END", "not a Calendar's"),
    ("CREATE VIEW v AS SELECT 1", "not a Calendar's"),
    ("CREATE TABLE more (x)", "not a Calendar's"),
    ("DROP INDEX one_primary", "not a Calendar's"),
    ("DROP TABLE outbox", "not a Calendar's"),
    ("PRAGMA user_version = 2", "not a Calendar's"),
    ("DELETE FROM world", "no world"),
    ("UPDATE world SET now = 'soon'", "clock"),
    ("UPDATE world SET now = '2026-01-05T09:00:00+00:00'", "clock"),
    ("UPDATE world SET now = x'00'", "clock"),
    ("UPDATE world SET seed = -1", "counter"),
    ("UPDATE world SET seed = 'x'", "counter"),
    ("UPDATE world SET next_id = 1.5", "counter"),
    ("UPDATE world SET change = x'00'", "counter"),
    ("PRAGMA foreign_keys = OFF; UPDATE calendars SET owner_id = 'nobody' WHERE calendar_id = 'bob-personal'", "damaged"),
    ("PRAGMA ignore_check_constraints = ON; UPDATE acls SET scope_type = 'all'", "damaged"),
]


@pytest.mark.parametrize(("statement", "why"), NOT_OURS)
def test_a_database_that_is_not_a_calendars_is_refused(gym: LocalGym, statement: str, why: str) -> None:
    assert why in refused(gym, changed(statement))


MADE_BY_HAND: list[tuple[Callable[[], bytes], str]] = [
    (lambda: signed(json.dumps(INITIAL).encode(), b""), "no database"),
    (lambda: signed(json.dumps(INITIAL).encode(), b"x" * 4096), "no database"),
    (lambda: signed(json.dumps(INITIAL).encode(), template_image()[:-1024]), "image"),
    (lambda: signed(b"", template_image()), "no JSON object"),
    (lambda: signed(b"[" * 50_000, template_image()), "the keys that it needs"),
    (lambda: signed(json.dumps({}).encode(), template_image()), "the keys that it needs"),
    (lambda: signed(json.dumps(INITIAL | {"more": 1}).encode(), template_image()), "the keys that it needs"),
    (lambda: signed(json.dumps(INITIAL | {"acl_count": -1}).encode(), template_image()), "a value"),
    (lambda: signed(json.dumps(INITIAL | {"acl_count": True}).encode(), template_image()), "a value"),
    (lambda: signed(json.dumps(INITIAL | {"now": 5}).encode(), template_image()), "a value"),
    (lambda: signed(json.dumps(INITIAL | {"now": "soon"}).encode(), template_image()), "a value"),
]


@pytest.mark.parametrize(("make", "why"), MADE_BY_HAND)
def test_what_is_made_by_hand_is_refused(gym: LocalGym, make: Callable[[], bytes], why: str) -> None:
    assert why in refused(gym, make())


def test_another_version_and_too_much_are_said(gym: LocalGym, monkeypatch: pytest.MonkeyPatch) -> None:
    image = gym.environment.snapshot()
    assert "version 2" in refused(gym, image[:4] + b"\2" + image[5:])
    monkeypatch.setattr(snapshots, "LARGEST_IMAGE", 1000)
    with pytest.raises(ValueError, match="at most 1000 bytes"):
        gym.environment.restore(image)
    with pytest.raises(Unsupported, match="at most 1000"):
        gym.environment.snapshot()
