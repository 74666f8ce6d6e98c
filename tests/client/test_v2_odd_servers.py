"""Protocol v2's client with servers that no honest one would be: what it sends, byte for byte, and what it makes of nonsense."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from openenv.client import Connection
from openenv.client.v2.pending import Ask
from openenv.client.v2.wire import MessagePackEncoding
from openenv.errors import ConnectionFailed, DeadlineExceeded, OpenEnvError, ServerError, SessionLost, ValidationFailed
from openenv.types import StepResult
from tests.support.local import until

RESULT = {"observation": {"n": 1}, "reward": 0.5, "done": False}
Script = Callable[["Talk"], Awaitable[None]]


def hello(**limits: Any) -> dict[str, Any]:
    return {"event": "hello", "data": {"protocol": "openenv.v2", "server": "odd", "environment": "odd", "limits": limits}}


@dataclass
class Talk:
    """One connection as a script sees it. Subscriptions are answered, and not shown."""

    socket: ServerConnection
    frames: list[bytes] = field(default_factory=list)

    async def say(self, message: Any) -> None:
        await self.socket.send(message if isinstance(message, str | bytes) else json.dumps(message))

    async def ask(self) -> dict[str, Any]:
        while True:
            frame = await self.socket.recv(decode=False)
            message: dict[str, Any] = json.loads(frame)
            if message["op"] not in ("subscribe", "close"):
                self.frames.append(frame)
                return message
            await self.ok(message, {})

    async def ok(self, request: dict[str, Any], ok: Any) -> None:
        known = {"session": request["session"]} if "session" in request else {}
        await self.say({"id": request["id"], **known, "ok": ok})

    async def open(self, *names: str, **limits: Any) -> None:
        """Greet, and open sessions of these names."""
        await self.say(hello(**limits))
        await self.ok(await self.ask(), {"sessions": list(names)})

    async def attach(self, count: int = 1, **known: Any) -> None:
        """Greet, and attach what is asked for."""
        await self.say(hello())
        for _ in range(count):
            request = await self.ask()
            assert request["op"] == "attach"
            await self.ok(request, {"last_id": 0, "busy": False, "episode_id": None, **known})

    async def serve(self) -> None:
        """Answer everything with the same result."""
        while True:
            await self.ok(await self.ask(), RESULT)


@dataclass
class Odd:
    """Plays a script for each connection, the last one for ever."""

    scripts: list[Script]
    url: str = ""
    talks: list[Talk] = field(default_factory=list)
    subprotocols: list[str | None] = field(default_factory=list)
    offered: list[str] = field(default_factory=list)

    async def __call__(self, socket: ServerConnection) -> None:
        assert socket.request is not None
        self.offered.append(socket.request.headers["Sec-WebSocket-Protocol"])
        talk = Talk(socket)
        self.talks.append(talk)
        with suppress(ConnectionClosed):
            await self.scripts[min(len(self.talks), len(self.scripts)) - 1](talk)


@asynccontextmanager
async def odd(*scripts: Script) -> AsyncIterator[Odd]:
    server = Odd(list(scripts))
    async with serve(server, "127.0.0.1", 0, subprotocols=[Subprotocol("openenv.v2")], max_size=None) as listening:
        server.url = f"http://127.0.0.1:{next(iter(listening.sockets)).getsockname()[1]}"
        yield server


async def test_effects_are_sent_again_byte_for_byte_and_reads_anew() -> None:
    async def first(talk: Talk) -> None:
        await talk.open("s")
        for _ in range(3):
            await talk.ask()
        talk.socket.transport.abort()

    async def second(talk: Talk) -> None:
        await talk.attach()
        await talk.serve()

    async with odd(first, second) as server, Connection(server.url) as connection:
        [session] = await connection.open()
        steps = [asyncio.ensure_future(session.step({"n": n})) for n in range(2)]
        state = asyncio.ensure_future(session._conversation.request(Ask.about("state", session._seat)))
        assert [result.reward for result in await asyncio.gather(*steps)] == [0.5, 0.5]
        assert await state == RESULT
        [before, after] = server.talks
        assert before.frames[1:3] == after.frames[1:3]
        asked, again = json.loads(before.frames[3]), json.loads(after.frames[3])
        assert (asked.pop("id") < again.pop("id"), asked) == (True, again)
        ids = [json.loads(frame)["id"] for talk in server.talks for frame in talk.frames if b'"step"' not in frame]
        assert ids == sorted(set(ids))


async def test_an_opening_is_asked_for_again_with_its_key() -> None:
    async def first(talk: Talk) -> None:
        await talk.say(hello())
        await talk.ask()
        talk.socket.transport.abort()

    async def second(talk: Talk) -> None:
        await talk.open("s")
        await talk.serve()

    async with odd(first, second) as server, Connection(server.url) as connection:
        assert [session.id for session in await connection.open()] == ["s"]
        first_data, second_data = (json.loads(talk.frames[0])["data"] for talk in server.talks)
        assert first_data == second_data
        assert 1 <= len(first_data["key"]) <= 64


async def test_what_has_come_is_acknowledged_with_the_next_request() -> None:
    async def script(talk: Talk) -> None:
        await talk.open("s", "t")
        await talk.serve()

    async with odd(script) as server, Connection(server.url, timeout_s=None) as connection:
        first, second = await connection.open(2)
        for session in (first, second, first, first):
            await session.step({"n": 1})
        sent = [json.loads(frame) for frame in server.talks[0].frames[1:]]
        numbers = [request["id"] for request in sent]
        assert [request.get("ack") for request in sent] == [None, None, numbers[0], numbers[2]]
        assert "deadline_ms" not in sent[0]


async def test_nothing_is_acknowledged_that_has_not_come() -> None:
    async def script(talk: Talk) -> None:
        await talk.open("s")
        early, late, third = [await talk.ask() for _ in range(3)]
        await talk.ok(late, RESULT)
        await talk.ok(third, RESULT)
        after = await talk.ask()
        assert after["ack"] == early["id"] - 1
        await talk.ok(early, RESULT)
        await talk.ok(after, RESULT)
        await talk.serve()

    async with odd(script) as server, Connection(server.url) as connection:
        [session] = await connection.open()
        early, late, third = (asyncio.ensure_future(session.step({"n": n})) for n in range(3))
        await asyncio.gather(late, third)
        await session.step({"n": 3})
        await early
        await session.step({"n": 4})
        assert json.loads(server.talks[0].frames[-1])["ack"] == json.loads(server.talks[0].frames[-2])["id"]


async def test_no_more_than_the_limits_allow_are_without_an_answer() -> None:
    waiting = most = 0

    async def script(talk: Talk) -> None:
        nonlocal waiting, most
        await talk.open("s", "t", in_flight=5, per_session=3)
        asked: list[dict[str, Any]] = []
        while True:
            try:
                async with asyncio.timeout(0.1):
                    asked.append(await talk.ask())
            except TimeoutError:
                most = max(most, len(asked))
                assert sum(request["session"] == "s" for request in asked) <= 3
                if asked:
                    await talk.ok(asked.pop(0), RESULT)

    async with odd(script) as server, Connection(server.url) as connection:
        first, second = await connection.open(2)
        steps = [session.step({"n": n}) for n in range(10) for session in (first, second)]
        await asyncio.gather(*steps)
        assert most == 5
        numbers = [json.loads(frame)["data"]["n"] for frame in server.talks[0].frames[1:] if b'"s"' in frame]
        assert numbers == list(range(10))


async def test_a_session_that_another_dialect_holds_is_lost_with_the_servers_reason() -> None:
    async def first(talk: Talk) -> None:
        await talk.open("s", "t")
        await talk.ask()
        talk.socket.transport.abort()

    async def second(talk: Talk) -> None:
        await talk.say(hello())
        for _ in range(2):
            request = await talk.ask()
            if request["session"] == "t":
                await talk.ok(request, {"last_id": 0})
            else:
                body = {"code": "SESSION_ERROR", "message": "a socket of OpenEnv's holds it"}
                await talk.say({"id": request["id"], "session": "s", "error": body})
        await talk.serve()

    async with odd(first, second) as server, Connection(server.url) as connection:
        lost, kept = await connection.open(2)
        with pytest.raises(SessionLost, match="a socket of OpenEnv's holds it"):
            await lost.step({"n": 1})
        assert (await kept.step({"n": 1})).reward == 0.5


@pytest.mark.parametrize("code", ["RATE_LIMITED", "OVERLOADED"])
async def test_a_server_that_is_too_busy_to_attach_is_asked_again(code: str) -> None:
    async def first(talk: Talk) -> None:
        await talk.open("s")
        await talk.ask()
        talk.socket.transport.abort()

    async def second(talk: Talk) -> None:
        await talk.say(hello())
        request = await talk.ask()
        body = {"code": code, "message": "later", "retry_after_s": 0.05}
        await talk.say({"id": request["id"], "session": "s", "error": body})
        await talk.ok(await talk.ask(), {"last_id": 0})
        await talk.serve()

    async with odd(first, second) as server, Connection(server.url) as connection:
        [session] = await connection.open()
        assert (await session.step({"n": 1})).reward == 0.5
        assert len(server.talks) == 2


async def test_forks_that_came_for_a_lost_connection_are_attached() -> None:
    async def first(talk: Talk) -> None:
        await talk.open("s")
        await talk.ask()
        talk.socket.transport.abort()

    async def second(talk: Talk) -> None:
        await talk.attach()
        await talk.ok(await talk.ask(), {"sessions": ["a", "b"]})
        for name in "ab":
            request = await talk.ask()
            assert (request["op"], request["session"]) == ("attach", name)
            await talk.ok(request, {"last_id": 0})
        await talk.serve()

    async with odd(first, second) as server, Connection(server.url) as connection:
        [session] = await connection.open()
        assert [child.id for child in await session.fork(2)] == ["a", "b"]


async def test_ids_go_on_above_those_that_another_client_used() -> None:
    async def script(talk: Talk) -> None:
        await talk.attach(last_id=5000)
        await talk.serve()

    async with odd(script) as server, Connection(server.url) as connection:
        session = await connection.attach("s")
        await session.step({"n": 1})
        assert json.loads(server.talks[0].frames[-1])["id"] > 5000


NONSENSE = ["nonsense", "[1]", '{"id": "7", "ok": {}}', '{"id": [], "ok": {}}', b"\x80"]


@pytest.mark.parametrize("frame", NONSENSE)
async def test_nonsense_ends_the_sessions_and_no_reconnection_is_tried(frame: str | bytes) -> None:
    async def script(talk: Talk) -> None:
        await talk.open("s")
        await talk.ask()
        await talk.say(frame)
        await talk.ask()

    async with odd(script) as server, Connection(server.url) as connection:
        [session] = await connection.open()
        with pytest.raises(SessionLost, match="the server sent"):
            await session.step({"n": 1})
        assert len(server.talks) == 1


@pytest.mark.parametrize("code", [1003, 1009])
async def test_closes_that_would_happen_again_are_final(code: int) -> None:
    async def script(talk: Talk) -> None:
        await talk.open("s")
        await talk.ask()
        await talk.socket.close(code)

    async with odd(script) as server, Connection(server.url) as connection:
        [session] = await connection.open()
        with pytest.raises(SessionLost):
            await session.step({"n": 1})
        assert len(server.talks) == 1


async def test_an_answer_that_is_too_large_is_final() -> None:
    async def script(talk: Talk) -> None:
        await talk.open("s")
        await talk.ok(await talk.ask(), {**RESULT, "observation": {"text": "x" * 100_000}})
        await talk.ask()

    async with odd(script) as server, Connection(server.url, max_message_size_mb=0.05) as connection:
        [session] = await connection.open()
        with pytest.raises(SessionLost, match="max_message_size_mb"):
            await session.step({"n": 1})
        assert len(server.talks) == 1


ODD_ANSWERS: list[tuple[Any, type[OpenEnvError], str]] = [
    (None, ServerError, "no object"),
    ([], ServerError, "no object"),
    ({}, OpenEnvError, "no observation"),
]


@pytest.mark.parametrize(("ok", "kind", "why"), ODD_ANSWERS)
async def test_answers_of_another_shape_cost_the_call_only(ok: Any, kind: type[OpenEnvError], why: str) -> None:
    async def script(talk: Talk) -> None:
        await talk.open("s")
        await talk.ok(await talk.ask(), ok)
        await talk.serve()

    async with odd(script) as server, Connection(server.url) as connection:
        [session] = await connection.open()
        with pytest.raises(kind, match=why):
            await session.step({"n": 1})
        assert (await session.step({"n": 2})).reward == 0.5


async def test_answers_to_nobody_and_complaints_are_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    async def script(talk: Talk) -> None:
        await talk.open("s")
        request = await talk.ask()
        await talk.say({"id": 999, "ok": {}})
        await talk.say({"id": None, "error": {"code": "INVALID_JSON", "message": "what?"}})
        await talk.say({"event": 5, "data": {}})
        await talk.say({"event": "step", "session": ["s"], "data": {}})
        await talk.ok(request, RESULT)
        await talk.ok(request, RESULT)
        await talk.serve()

    async with odd(script) as server, Connection(server.url) as connection:
        [session] = await connection.open()
        with caplog.at_level(logging.WARNING, "openenv.client"):
            assert (await session.step({"n": 1})).reward == 0.5
        assert "what?" in caplog.text
        assert (await session.step({"n": 2})).reward == 0.5


GREETINGS = [
    ("nonsense", "the server sent"),
    ([1], "no object"),
    ({"event": "bye"}, "no hello"),
]


@pytest.mark.parametrize(("first", "why"), GREETINGS)
async def test_a_first_frame_that_is_no_hello(first: Any, why: str) -> None:
    async def script(talk: Talk) -> None:
        await talk.say(first)
        await talk.ask()

    async with odd(script) as server:
        with pytest.raises(ConnectionFailed, match=why):
            await Connection(server.url).connect()


async def test_a_server_that_never_greets() -> None:
    async def script(talk: Talk) -> None:
        await talk.ask()

    async with odd(script) as server:
        with pytest.raises(DeadlineExceeded, match="No handshake"):
            await Connection(server.url, connect_timeout_s=0.2).connect()


async def test_a_refusal_in_the_middle_is_final() -> None:
    async def first(talk: Talk) -> None:
        await talk.open("s")
        await talk.ask()
        talk.socket.transport.abort()

    async def second(talk: Talk) -> None:
        await talk.say({"id": None, "error": {"code": "FORBIDDEN", "message": "not you"}})
        await talk.socket.close(1008)

    async with odd(first, second) as server, Connection(server.url) as connection:
        [session] = await connection.open()
        with pytest.raises(SessionLost, match="not you"):
            await session.step({"n": 1})
        assert len(server.talks) == 2


async def test_a_deadline_that_the_server_does_not_keep_is_kept_here() -> None:
    async def script(talk: Talk) -> None:
        await talk.open("s")
        late = await talk.ask()
        cancel = await talk.ask()
        assert (cancel["op"], cancel["data"]) == ("cancel", {"id": late["id"]})
        await talk.ok(late, RESULT)
        await talk.serve()

    async with odd(script) as server, Connection(server.url) as connection:
        [session] = await connection.open()
        with pytest.raises(DeadlineExceeded, match=r"within 0\.1 s"):
            await session.step({"n": 1}, timeout_s=0.1)
        assert (await session.step({"n": 2})).reward == 0.5
        assert json.loads(server.talks[0].frames[1])["deadline_ms"] == 100


async def test_a_word_on_a_deadline_that_comes_after_the_next_call_has_begun_is_too_late() -> None:
    async def script(talk: Talk) -> None:
        await talk.open("s")
        late = await talk.ask()
        assert (await talk.ask())["op"] == "cancel"
        following = await talk.ask()
        body = {"code": "DEADLINE_EXCEEDED", "message": "too late"}
        await talk.say({"id": late["id"], "session": "s", "error": body})
        await talk.ok(following, RESULT)
        await talk.serve()

    async with odd(script) as server, Connection(server.url) as connection:
        [session] = await connection.open()
        with pytest.raises(DeadlineExceeded):
            await session.step({"n": 1}, timeout_s=0.1)
        await session.step({"n": 2})
        with pytest.raises(ValidationFailed, match="No call of this session is late"):
            await session.outcome()
        await session.step({"n": 3})
        second, third = (json.loads(frame) for frame in server.talks[0].frames[-2:])
        assert third["ack"] == second["id"]


async def test_what_is_offered() -> None:
    async def script(talk: Talk) -> None:
        await talk.open("s")
        await talk.ask()
        talk.socket.transport.abort()

    async def second(talk: Talk) -> None:
        await talk.attach()
        await talk.serve()

    async with odd(script, second) as server:
        async with Connection(server.url) as connection:
            [session] = await connection.open()
            await session.step({"n": 1})
        # Frames are kept as bytes: a later connection speaks as the first one did.
        assert server.offered == ["openenv.v2", "openenv.v2"]
        with pytest.raises(ConnectionFailed):
            await Connection(server.url, encoding="msgpack").connect()


def test_bytes_in_either_encoding() -> None:
    packed = MessagePackEncoding()
    assert packed.decode(packed.encode({"op": "x", "data": {"image": b"\x00\xff"}}))["data"] == {"image": b"\x00\xff"}
    with pytest.raises(OpenEnvError, match="cannot be sent as MessagePack"):
        packed.encode({"op": "step", "data": object()})
    with pytest.raises(ValueError, match="no bytes"):
        packed.unpack("text")


@pytest.mark.parametrize("way", ["together", "as_finished"])
async def test_a_session_that_is_lost_before_its_batch_is_sent_costs_its_own_entry(way: str) -> None:
    waits = asyncio.Event()

    async def script(talk: Talk) -> None:
        await talk.open("a", "b", "c", per_session=1)
        step = await talk.ask()
        await waits.wait()  # the batch has been checked, and waits for its turn in "a"
        for name in ("a", "c"):
            await talk.say({"event": "session_ended", "session": name, "data": {"reason": "it was shot"}})
        await talk.ok(step, RESULT)
        batch = await talk.ask()
        assert [entry["session"] for entry in batch["data"]["entries"]] == ["b"]
        if way == "as_finished":
            await talk.say({"id": batch["id"], "session": "b", "ok": RESULT})
        else:
            await talk.ok(batch, {"results": [{"ok": RESULT}]})
        await talk.serve()

    async with odd(script) as server, Connection(server.url) as connection:
        sessions = await connection.open(3)
        step = asyncio.ensure_future(sessions[0].step({"n": 1}))
        await until(lambda: connection._conversation.pending)
        entries = [(session, {"n": 2}) for session in sessions]
        if way == "together":
            call = asyncio.ensure_future(connection.batch(entries, errors="return"))
        else:
            call = asyncio.ensure_future(_in_order(connection, entries))
        await until(lambda: sessions[0]._seat.slots._waiters)
        waits.set()
        first, second, third = await call
        for lost in (first, third):
            assert isinstance(lost, SessionLost)
            assert str(lost) == "The session is lost: it was shot"
        assert second == StepResult(observation={"n": 1}, reward=0.5)
        assert (await step).reward == 0.5
        # Nothing is sent where none is left.
        assert [type(one) for one in await connection.batch([entries[0], entries[2]], errors="return")] == [SessionLost] * 2


async def _in_order(connection: Connection, entries: list[tuple[Any, Any]]) -> list[Any]:
    """The outcomes by their places."""
    told = {place: outcome async for place, outcome in connection.as_finished(entries)}
    return [told[place] for place in range(len(entries))]
