"""Clients of protocol v2 that read nothing, hang, flood and fill the server: each alone pays for it."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import Any

import pytest

from tests.e2e.test_hostile_clients import RNG, attacked, hung, pour, shake_hands, start, start_patient, tiny_window, until
from tests.fuzz.wire import BINARY, PING, PONG, TEXT, WebSocket, frame
from tests.interop.minimal_v2_client import JSON, MSGPACK, decode, encode
from tests.support.processes import ROOT, Servers
from tests.support.usage import active_sessions
from tests.support.v2_wire import ADD, Wire, code

pytestmark = pytest.mark.e2e


def sent(protocol: str, **message: Any) -> bytes:
    written = encode(message, protocol)
    if isinstance(written, bytes):
        return frame(written, BINARY, rng=RNG)
    return frame(written.encode(), TEXT, rng=RNG)


async def next_of(socket: WebSocket) -> dict[str, Any]:
    """The next message; the server's pings are answered."""
    while True:
        opcode, payload = await socket.receive()
        if opcode != PING:
            return decode(payload if opcode == BINARY else payload.decode())
        await socket.send(frame(payload, PONG, rng=RNG))


@pytest.mark.parametrize("protocol", [JSON, MSGPACK])
@pytest.mark.parametrize("door", ["fast", "asgi"])
async def test_a_client_that_asks_for_batches_and_reads_nothing(serve: Servers, door: str, protocol: str) -> None:
    """What waits for it is bounded, and so are the answers that are kept for it; its sessions wait for it, for their lease."""
    server = start(serve, door, "inline_app")
    async with attacked(server) as known:
        known.enough_kb = 192 * 1024
        async with Wire(f"{server.ws_url}/ws", protocol) as wire:
            sessions = (await wire.ask(id=1, op="open", data={"count": 4}))["ok"]["sessions"]
            client = await tiny_window(server.port)
            await shake_hands(client, "/ws", f"Sec-WebSocket-Protocol: {protocol}")
            opening = b"".join(sent(protocol, id=2, op="attach", session=one) for one in sessions)
            entries = [{"session": one, "action": {"size": 1_000_000}} for one in sessions]
            batches = b"".join(sent(protocol, id=number, op="batch", data={"entries": entries}) for number in range(3, 203))
            pouring = asyncio.create_task(pour(client, opening + batches, most=1 << 30))
            await known.goes_on()
            await pouring
            await known.goes_on()
            answer = await wire.ask(id=1000, op="attach", session=sessions[0])  # cut off or not, it may be had from it
            assert code(answer) in (None, "SESSION_ERROR")
        await known.shakes_off(files=door == "fast")
        client.close()


@pytest.mark.parametrize("door", ["fast", "asgi"])
async def test_a_hundred_thousand_pings_at_once(serve: Servers, door: str) -> None:
    server = start_patient(serve, door, "inline_app")
    number = 100_000 if door == "fast" else 30_000
    async with attacked(server) as known:
        flood = await WebSocket.open(server.port, "/ws", headers={"Sec-WebSocket-Protocol": JSON})
        assert (await next_of(flood))["event"] == "hello"
        pings = b"".join(sent(JSON, id=one, op="ping") for one in range(1, number + 1))
        sending = asyncio.create_task(flood.send(pings))
        for one in range(1, number + 1):
            assert await next_of(flood) == {"id": one, "ok": {}}
            if one % 10_000 == 0:
                await known.goes_on(1)
        await sending
        flood.abort()
        await known.shakes_off()


HALF_OPEN = """
import json, sys
from websockets.sync.client import connect
sockets = [connect(sys.argv[1] + "/ws", subprotocols=["openenv.v2"]) for _ in range(10)]
for one in sockets:
    one.recv()
    one.send('{"id":1,"op":"open","data":{"count":5}}')
    sessions = json.loads(one.recv())["ok"]["sessions"]
    one.send(json.dumps({"id": 2, "op": "subscribe", "session": sessions[0], "data": {"events": ["step", "session_ended"]}}))
    one.recv()
print("here", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("door", ["fast", "asgi"])
async def test_a_client_that_hangs_without_a_word_and_holds_sessions(serve: Servers, door: str) -> None:
    """Its connections end when it does not say that it is there, and its sessions with their leases."""
    server = start(serve, door, "inline_app")
    async with attacked(server) as known, hung(HALF_OPEN, server.ws_url, lambda: active_sessions(server.url) == 51):
        await known.shakes_off()


@pytest.mark.parametrize("door", ["fast", "asgi"])
async def test_a_flood_of_opens_and_forks_at_capacity(serve: Servers, door: str) -> None:
    """There are never more sessions than may be, every request has its answer, and every place comes back."""
    server = serve("tests.support.v2_toys:small_app", cwd=ROOT, uvicorn=door == "asgi")
    async with Wire(f"{server.ws_url}/ws") as good, Wire(f"{server.ws_url}/ws") as bad:
        (mine,) = await good.open()
        (parent,) = await bad.open()
        wanted = {number: number % 3 for number in range(10, 3010)}
        for number, kind in wanted.items():
            if kind == 0:
                await bad.put(id=number, op="open", data={"count": number % 4 + 1})
            elif kind == 1:
                await bad.put(id=number, op="fork", session=parent, data={"count": number % 3 + 1})
            else:
                await bad.put(id=number, op="step", session=parent, data=ADD)
            if number % 500 == 0:
                assert code(await good.ask(id=number, op="step", session=mine, data=ADD)) is None
        answers = [await bad.answer(number) for number in wanted]
        codes = Counter(code(one) for one in answers)
        assert set(codes) <= {None, "CAPACITY_REACHED", "OVERLOADED"}
        assert codes["CAPACITY_REACHED"] > 100
        made = [session for one in answers for session in one.get("ok", {}).get("sessions", ())]
        assert len(made) <= 1
        assert await asyncio.to_thread(active_sessions, server.url) == 2 + len(made)
        for number, session in enumerate([parent, *made], start=10_000):
            assert code(await bad.ask(id=number, op="close", session=session)) is None
        assert len(await good.open(2)) == 2
    assert "Traceback" not in server.log()


async def test_sessions_that_are_opened_and_closed_as_fast_as_frames_go(serve: Servers) -> None:
    """At the edge of what there is room for; and taken to and fro between two connections meanwhile."""
    server = serve("tests.support.v2_toys:small_app", cwd=ROOT)
    async with Wire(f"{server.ws_url}/ws") as one, Wire(f"{server.ws_url}/ws") as other:
        (shared,) = await one.open()
        opened = 0
        for number in range(10, 1210, 4):
            await one.put(id=number, op="open", data={"count": 2})
            await other.put(id=number + 1, op="attach", session=shared)
            await one.put(id=number + 2, op="attach", session=shared)
            made = (await one.answer(number)).get("ok", {}).get("sessions", [])
            opened += len(made)
            for session in made:
                await one.put(id=number + 3, op="close", session=session)
            assert code(await other.answer(number + 1)) is None
            assert code(await one.answer(number + 2)) is None
        assert opened == 600
        await until(lambda: active_sessions(server.url) == 1)
    log = server.log()
    assert "Traceback" not in log, json.dumps(log[-3000:])
