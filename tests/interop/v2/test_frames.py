"""docs/protocol.md, protocol v2: what a frame is, and what is wrong with one."""

from __future__ import annotations

import base64
from pathlib import Path

import msgpack
import pytest
import websockets.asyncio.client as ws
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from tests.interop.minimal_v2_client import JSON, MSGPACK
from tests.support.processes import ROOT, Servers
from tests.support.v2_wire import ADD, Wire, begin, code, result, step

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize(
    ("offers", "chosen"),
    [([JSON], JSON), ([MSGPACK], MSGPACK), ([MSGPACK, JSON], MSGPACK), ([JSON, MSGPACK], JSON), (["else", JSON], JSON)],
)
async def test_the_server_takes_the_first_offer_that_it_can_speak(url: str, offers: list[str], chosen: str) -> None:
    async with Wire(url, *offers) as wire:
        assert wire.socket.subprotocol == chosen
        hello = wire.hello
        assert hello["session"] is None
        assert hello["environment"] == "workshop"
        assert set(hello["capabilities"]) == {"tools", "snapshots"}
        limits = {"frame_bytes": 16 * 2**20, "in_flight": 1024, "batch": 4096, "per_session": 64, "lease_s": 60.0}
        assert hello["limits"] == limits
        assert await wire.ask(id=1, op="ping") == {"id": 1, "ok": {}}
        assert await wire.so_far() == []


async def test_the_hello_tells_connections_apart(url: str) -> None:
    async with Wire(url) as one, Wire(url, MSGPACK) as other:
        assert one.hello["connection"] != other.hello["connection"]
        assert (one.hello["protocol"], other.hello["protocol"]) == (JSON, MSGPACK)


async def test_a_server_without_messagepack_does_not_choose_it(serve: Servers, tmp_path: Path) -> None:
    (tmp_path / "msgpack.py").write_text("raise ImportError('hidden by a test')")
    server = serve("tests.support.v2_toys:workshop_app", cwd=ROOT, env={"PYTHONPATH": str(tmp_path)})
    async with Wire(f"{server.ws_url}/ws", MSGPACK, JSON) as wire:
        assert (wire.socket.subprotocol, wire.hello["protocol"]) == (JSON, JSON)
        assert await wire.ask(id=1, op="ping") == {"id": 1, "ok": {}}
    async with ws.connect(f"{server.ws_url}/ws", subprotocols=[Subprotocol(MSGPACK)]) as socket:
        assert socket.subprotocol is None


@pytest.mark.parametrize(("offer", "frame"), [(JSON, b"\x80"), (MSGPACK, "{}")])
async def test_the_wrong_kind_of_frame_closes_with_1003(url: str, offer: str, frame: str | bytes) -> None:
    async with Wire(url, offer) as wire:
        await wire.socket.send(frame)
        assert await wire.closed() == 1003


async def test_a_frame_over_the_limit_closes_with_1009(url: str) -> None:
    async with Wire(url) as wire:
        assert await wire.raw('{"id": 1, "op": "ping"' + " " * (16 * 2**20 - 23) + "}") == {"id": 1, "ok": {}}
        try:
            await wire.socket.send(" " * (16 * 2**20 + 1))
        except ConnectionClosed:
            assert wire.socket.close_code == 1009
        else:
            assert await wire.closed() == 1009


@pytest.mark.parametrize(
    ("frame", "number", "error"),
    [
        ("{", None, "INVALID_JSON"),
        ('{"id": 3, "op": ', 3, "INVALID_JSON"),
        ('{"op": "ping", "id": 3', None, "INVALID_JSON"),
        ("[]", None, "VALIDATION_ERROR"),
        ('{"op": "ping"}', None, "VALIDATION_ERROR"),
        ('{"id": 0, "op": "ping"}', None, "VALIDATION_ERROR"),
        ('{"id": 9007199254740992, "op": "ping"}', None, "VALIDATION_ERROR"),
        ('{"id": 9007199254740991, "op": "ping"}', 9007199254740991, None),
        ('{"id": "1", "op": "ping"}', None, "VALIDATION_ERROR"),
        ('{"id": 1}', 1, "VALIDATION_ERROR"),
        ('{"id": 1, "op": "jump"}', 1, "UNKNOWN_TYPE"),
        ('{"id": 1, "op": "ping", "more": 1}', 1, "VALIDATION_ERROR"),
        ('{"id": 1, "op": "ping", "data": {"more": 1}}', 1, "VALIDATION_ERROR"),
        ('{"id": 1, "op": "ping", "data": []}', 1, "VALIDATION_ERROR"),
        ('{"id": 1, "op": "ping", "session": "S"}', 1, "VALIDATION_ERROR"),
        ('{"id": 1, "op": "state"}', 1, "VALIDATION_ERROR"),
        ('{"id": 1, "op": "state", "session": "S"}', 1, "SESSION_ERROR"),
        ('{"id": 1, "op": "ping", "deadline_ms": 0}', 1, "VALIDATION_ERROR"),
        ('{"id": 1, "op": "ping", "deadline_ms": 1.5}', 1, "VALIDATION_ERROR"),
        ('{"id": 1, "op": "ping", "deadline_ms": 10000}', 1, None),
        ('{"id": 1, "op": "open", "data": {"count": 0}}', 1, "VALIDATION_ERROR"),
        ('{"id": 1, "op": "open", "data": {"count": 4097}}', 1, "VALIDATION_ERROR"),
        ('{"id": 1, "op": "open", "data": {"key": ""}}', 1, "VALIDATION_ERROR"),
        ('{"id": 1, "op": "subscribe", "data": {"events": ["rain"]}}', 1, "VALIDATION_ERROR"),
        ('{"id": 1, "op": "subscribe", "data": {"events": ["step"]}}', 1, "VALIDATION_ERROR"),
        ('{"id": 1, "op": "batch", "data": {"entries": []}}', 1, None),
    ],
)
async def test_what_is_wrong_with_a_frame_is_told(openenv_url: str, frame: str, number: int | None, error: str | None) -> None:
    async with Wire(openenv_url) as wire:
        answer = await wire.raw(frame)
        assert (answer["id"], code(answer)) == (number, error)
        assert await wire.ask(id=2, op="ping") == {"id": 2, "ok": {}}


async def test_messagepack_has_bytes_text_keys_and_no_extensions(url: str) -> None:
    async with Wire(url, MSGPACK) as wire, Wire(url) as other:
        extended = msgpack.packb({"id": 1, "op": "ping", "data": msgpack.ExtType(5, b"")})
        for frame, number in ((b"\xc1", None), (msgpack.packb({1: 2}), None), (extended, 1)):
            answer = await wire.raw(frame or b"")
            assert (answer["id"], code(answer)) == (number, "INVALID_JSON")
        session, there = *await wire.open(), *await other.open()
        image = (await wire.ask(id=2, op="snapshot", session=session, data={"export": True}))["ok"]["snapshot"]
        assert isinstance(image, bytes)
        text = (await other.ask(id=2, op="snapshot", session=there, data={"export": True}))["ok"]["snapshot"]
        assert ":" not in text
        restored = await wire.ask(id=3, op="restore", session=session, data={"snapshot": base64.urlsafe_b64decode(text)})
        assert code(restored) is None
        text = base64.urlsafe_b64encode(image).decode()
        assert code(await other.ask(id=3, op="restore", session=there, data={"snapshot": text})) is None


async def test_answers_come_as_they_are_ready_and_sessions_keep_their_order(url: str, tmp_path: Path) -> None:
    async with Wire(url) as wire:
        slow, free = await wire.open(2)
        await begin(wire, slow, 2, tmp_path / "gate")
        for number in range(3, 10):
            await wire.put(id=number, op="step", session=slow, data=ADD)
            await wire.put(id=number, op="step", session=free, data=step("add", {"number": 10}))
        assert [await result(wire, number) for number in range(3, 10)] == [10 * number for number in range(1, 8)]
        assert await wire.so_far() == []
        (tmp_path / "gate").touch()
        assert [await result(wire, number) for number in range(2, 10)] == [*range(1, 9)]
