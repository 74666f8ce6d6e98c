"""What plain ASGI does with frames when its client goes away."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any

from openenv.server.v2.line import AsgiLine


class Hand:
    """Wants nothing."""

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
