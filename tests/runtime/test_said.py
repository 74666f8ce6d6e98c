from __future__ import annotations

import asyncio

from openenv.runtime.said import Said
from tests.support.local import until


async def test_what_finds_the_way_full_is_dropped_and_counted() -> None:
    said, heard = Said(), list[int]()
    said.listeners.add(heard.append)
    say = said.by(asyncio.get_running_loop())
    for number in range(Said.LIMIT + 3):
        say(number)
    assert (heard, said.dropped) == ([], 3)
    await until(lambda: len(heard) == Said.LIMIT)
    say(-1)
    await until(lambda: len(heard) > Said.LIMIT)
    assert heard == [*range(Said.LIMIT), -1]
    assert said.dropped == 3


async def test_without_listeners_nothing_waits() -> None:
    said, heard = Said(), list[str]()
    say = said.by(asyncio.get_running_loop())
    say("to nobody")
    said.listeners.add(heard.append)
    say("to somebody")
    await until(lambda: heard)
    assert heard == ["to somebody"]
