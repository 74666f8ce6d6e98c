"""What plain ASGI does with frames when its client goes away."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any

import pytest

from openenv.server.stall import Stall
from openenv.server.v2.line import AsgiLine


class Hand:
    """Wants nothing but to know whether its client is given up."""

    ended = False

    def end(self) -> None:
        self.ended = True

    def take(self, frame: Any) -> None:
        """Nothing to do."""

    def flow(self) -> None:
        """Nothing to do."""


async def test_a_client_that_goes_while_frames_wait_for_it_is_read_to_its_end() -> None:
    gone = asyncio.Event()

    async def send(message: MutableMapping[str, Any]) -> None:
        await gone.wait()
        raise OSError("nobody is there")

    line = AsgiLine(send, binary=False)
    line.begin(Hand())
    for _ in range(2):
        line.write(b"x" * AsgiLine.FEW)
    await asyncio.sleep(0)
    line.read(False)  # its frames are left where they are, for it does not read
    gone.set()
    async with asyncio.timeout(10):
        await line.may_read()
    line.read(False)  # one that was on its way
    async with asyncio.timeout(10):
        await line.may_read()
    assert (line.waiting, line.clogged) == (0, False)


async def test_a_client_that_takes_nothing_for_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Stall, "PATIENCE_S", 0.05)

    async def send(message: MutableMapping[str, Any]) -> None:
        await asyncio.Event().wait()

    line, hand = AsgiLine(send, binary=True), Hand()
    line.begin(hand)
    for _ in range(2):
        line.write(b"x" * AsgiLine.FEW)
    line.read(False)
    async with asyncio.timeout(10):
        await line.may_read()
    assert (hand.ended, line.waiting, line.clogged) == (True, 0, False)
