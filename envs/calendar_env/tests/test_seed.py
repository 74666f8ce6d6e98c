from __future__ import annotations

import sqlite3
import subprocess
import sys

from calendar_env.ids import is_event_id
from calendar_env.seed_events import SEED_EVENTS
from calendar_env.storage.template import template_image
from calendar_env.testing import LocalGym
from calendar_env.users import ALICE, BOB, SEED_USERS

GRANTED = """SELECT COUNT(*) FROM acls
    WHERE calendar_id='bob-projects' AND user_id='alice_manager' AND role IN ('writer', 'owner')"""


def test_four_users_and_eleven_calendars(gym: LocalGym) -> None:
    assert gym.rows("SELECT user_id FROM users ORDER BY 1") == [(user.user_id,) for user in sorted(SEED_USERS)]
    assert [row[0] for row in gym.rows("SELECT calendar_id FROM calendars ORDER BY 1")] == [
        "alice-primary",
        "alice-projects",
        "alice-team",
        "bob-development",
        "bob-personal",
        "bob-primary",
        "bob-projects",
        "carol-design",
        "carol-primary",
        "dave-primary",
        "dave-sales",
    ]


def test_alice_has_no_access_to_bobs_projects_until_bob_grants_it(gym: LocalGym) -> None:
    assert gym.rows(GRANTED) == [(0,)]
    assert gym.refusal(ALICE, "events_list", calendarId="bob-projects")["code"] == "NOT_FOUND"
    grantee = {"type": "user", "value": ALICE.email}
    gym.call(BOB, "acl_insert", calendarId="bob-projects", role="writer", scope=grantee)
    assert gym.rows(GRANTED) == [(1,)]
    assert gym.call(ALICE, "events_list", calendarId="bob-projects")["accessRole"] == "writer"


def test_event_ids_are_ones_that_google_allows() -> None:
    assert [event.id for event in SEED_EVENTS if not is_event_id(event.id)] == []


def test_an_episode_begins_on_monday_the_fifth_at_nine(gym: LocalGym) -> None:
    assert gym.reset(ALICE).metadata["current_time"] == "2026-01-05T09:00:00Z"
    assert gym.environment.state.current_time == "2026-01-05T09:00:00Z"


def test_the_template_is_sound() -> None:
    connection = sqlite3.connect(":memory:")
    connection.deserialize(template_image())
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    connection.close()


def test_another_process_makes_the_same_template() -> None:
    program = (
        "import hashlib; from calendar_env.storage.template import template_image as t; print(hashlib.sha256(t()).hexdigest())"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", program], capture_output=True, check=True, env={"PYTHONHASHSEED": str(seed)}, timeout=20
        ).stdout
        for seed in (1, 2)
    }
    assert len(digests) == 1
