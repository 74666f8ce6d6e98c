"""Places of a server, over one worker and over several; ids that tell their worker; tombstones."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Callable

import pytest

from openenv.runtime.census import Census
from openenv.runtime.ids import SessionIds, WorkerIds
from openenv.runtime.room import Room
from openenv.runtime.tombstones import Tombstones
from tests.support.local import Local
from tests.support.toys import Talker


@pytest.fixture
def two() -> tuple[Room, Room]:
    """Two workers of one server with three places. (Each has its own view of the table, as a process has.)"""
    fd = Census.create(2)
    rooms = Room(3), Room(3)
    for number, room in enumerate(rooms):
        room.share(Census(os.dup(fd), number, 2))
    os.close(fd)
    return rooms


def test_places_are_taken_all_or_none() -> None:
    room = Room(3)
    assert room.take(2)
    assert not room.take(2)
    assert room.taken == 2
    assert room.take()
    assert not room.take()
    room.give_up()
    assert room.take()


def test_the_places_of_two_workers_are_one_servers(two: tuple[Room, Room]) -> None:
    first, second = two
    assert first.take(2)
    assert not second.take(2)
    assert second.take()
    assert not first.take()
    assert first.taken_everywhere == second.taken_everywhere == 3
    assert (first.taken, second.taken) == (2, 1)
    second.give_up()
    assert first.take()


def test_who_asks_for_more_than_there_will_be_is_refused_at_once(two: tuple[Room, Room]) -> None:
    """Otherwise thousands of sessions would be begun for it whenever one is being closed."""
    first, second = two
    assert first.take(3)
    first.closing_begins()
    assert [first.has(1), second.has(1), first.has(2), second.has(4000)] == [True, True, False, False]


async def test_one_worker_waits_for_a_place_that_another_gives_up(
    two: tuple[Room, Room], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("openenv.runtime.room.PATIENCE_S", 15.0)
    first, second = two
    assert first.take(3)
    told: asyncio.Queue[str] = asyncio.Queue()
    assert not second.wait(lambda: told.put_nowait("in"), lambda: told.put_nowait("out"))  # none is being given up
    first.closing_begins()
    assert second.wait(lambda: told.put_nowait("in"), lambda: told.put_nowait("out"))
    await asyncio.sleep(0.03)
    assert told.empty()
    first.closed()
    assert await told.get() == "in"
    assert second.take()


async def test_a_place_that_is_given_up_between_two_looks_is_taken() -> None:
    class Between(Room):
        def wait(self, come_in: Callable[[], None], give_up: Callable[[], None]) -> bool:
            self.give_up()  # as another worker may, after it was seen to be full
            return super().wait(come_in, give_up)

    local = Local(Talker, max_sessions=1)
    local.manager.room = Between(1)
    assert local.manager.room.take()
    assert await local.open()
    await local.manager.shutdown(5.0)


async def test_who_waited_long_enough_goes(two: tuple[Room, Room], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("openenv.runtime.room.PATIENCE_S", 0.05)
    first, second = two
    assert first.take(3)
    first.closing_begins()
    told: asyncio.Queue[str] = asyncio.Queue()
    assert second.wait(lambda: told.put_nowait("in"), lambda: told.put_nowait("out"))
    assert await told.get() == "out"


def test_the_emptiest_worker_is_another_one_only_when_that_evens_out(two: tuple[Room, Room]) -> None:
    fd = Census.create(2)
    first = Census(fd, 0, 2)
    first.put(1, 0)
    assert first.emptiest() == 0
    first.put(2, 0)
    assert first.emptiest() == 1
    assert Census(fd, 1, 2).emptiest() == 1


def test_an_id_tells_its_worker_and_nothing_else_does() -> None:
    ids = WorkerIds(1, 2, 3)
    made = ids.new()
    assert uuid.UUID(made).version == 8
    assert uuid.UUID(made).variant == uuid.RFC_4122
    assert ids.worker(made) == WorkerIds(0, 2, 0).worker(made) == 1
    for foreign in (SessionIds().new(), made[:-2] + "63", made.upper() + "x", f" {made}", made + "\n", "", "../" + made):
        assert ids.worker(foreign) is None, foreign


def test_an_id_tells_that_its_worker_is_gone() -> None:
    before, now, other = WorkerIds(1, 2, 0), WorkerIds(1, 2, 1), WorkerIds(0, 2, 0)
    assert now.fate(before.new()) == "the worker process that had it is gone"
    assert now.fate(now.new()) is None
    assert other.fate(before.new()) == "the worker process that had it does not answer"
    assert other.fate(SessionIds().new()) is None
    assert SessionIds().fate(before.new()) is None


def test_tombstones_are_forgotten_in_time() -> None:
    stones = Tombstones(10.0)
    stones.bury("a", "closed", 0.0)
    stones.bury("b", "closed", 5.0)
    assert stones.reason("a") == "closed"
    stones.bury("c", "expired", 12.0)
    assert stones.reason("a") is None
    assert (stones.reason("b"), stones.reason("c")) == ("closed", "expired")
