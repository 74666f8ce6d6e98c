"""A connection that closes a session is answered, and hears of no end that it has caused; of others it does."""

from __future__ import annotations

import asyncio

import pytest

from openenv import create_app
from openenv.errors import RateLimited
from openenv.middleware import Hooks
from openenv.operation import Operation, Result
from openenv.runtime.pipeline import Next
from tests.support.v2_asgi import AsgiWire
from tests.support.v2_odd_toys import Odd
from tests.support.v2_wire import code


class Later(Hooks):
    """Does nothing at once, and refuses to close while it is told to."""

    refuses = False

    async def handle(self, operation: Operation, go_on: Next) -> Result:
        await asyncio.sleep(0)
        if self.refuses and operation.op == "close":
            raise RateLimited("not now", retry_after_s=1.0)
        return await go_on(operation)


@pytest.mark.parametrize("middleware", [[], [Later()]], ids=["at once", "later"])
async def test_whoever_closes_a_session_hears_of_no_end(middleware: list[Hooks]) -> None:
    app = create_app(Odd, middleware=middleware, log=False)
    async with AsgiWire(app) as wire:
        (session,) = (await wire.ask(id=1, op="open"))["ok"]["sessions"]
        await wire.ask(id=2, op="subscribe", data={"events": ["session_ended"]})
        assert await wire.ask(id=3, op="close", session=session) == {"id": 3, "session": session, "ok": {}}
        assert await wire.ask(id=4, op="ping") == {"id": 4, "ok": {}}
    await wire.core.shutdown()


async def test_whoever_was_not_allowed_to_close_it_hears_of_its_end() -> None:
    later = Later()
    app = create_app(Odd, middleware=[later], log=False)
    async with AsgiWire(app) as wire:
        (session,) = (await wire.ask(id=1, op="open"))["ok"]["sessions"]
        await wire.ask(id=2, op="subscribe", data={"events": ["session_ended"]})
        later.refuses = True
        assert code(await wire.ask(id=3, op="close", session=session)) == "RATE_LIMITED"
        wire.core.manager.end(wire.core.manager.sessions[session], "somebody else's wish")
        assert await wire.next() == {"event": "session_ended", "session": session, "data": {"reason": "somebody else's wish"}}
    await wire.core.shutdown()
