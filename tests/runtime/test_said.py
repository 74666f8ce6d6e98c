from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any

from openenv.runtime.said import Said
from tests.support.local import until


def elsewhere(say: Callable[[Any], None], what: Iterable[Any]) -> None:
    """Say it on another thread, while the event loop does nothing."""

    def talk() -> None:
        for one in what:
            say(one)

    thread = threading.Thread(target=talk)
    thread.start()
    thread.join()


async def test_what_finds_the_way_full_is_dropped_and_counted() -> None:
    said, heard = Said(), list[int]()
    said.listeners.add(heard.append)
    elsewhere(said.say, range(Said.LIMIT + 3))
    assert (heard, said.dropped) == ([], 3)
    await until(lambda: len(heard) == Said.LIMIT)
    elsewhere(said.say, [-1])
    await until(lambda: len(heard) > Said.LIMIT)
    assert heard == [*range(Said.LIMIT), -1]
    assert said.dropped == 3


async def test_without_listeners_nothing_waits() -> None:
    said, heard = Said(), list[str]()
    elsewhere(said.say, ["to nobody"])
    said.listeners.add(heard.append)
    elsewhere(said.say, ["to somebody"])
    await until(lambda: heard)
    assert heard == ["to somebody"]


async def test_on_the_event_loop_it_arrives_at_once_behind_what_waits() -> None:
    said, heard = Said(), list[str]()
    said.listeners.add(heard.append)
    said.say("here")
    assert heard == ["here"]
    elsewhere(said.say, ["from a thread"])
    said.say("here again")
    assert heard == ["here"], "what came before it is on its way"
    await until(lambda: len(heard) == 3)
    assert heard == ["here", "from a thread", "here again"]
