"""docs/protocol.md, protocol v2: every event, what closes a connection, leases, and clients that do not read."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
import websockets.asyncio.client as ws
from websockets.exceptions import ConnectionClosed

from tests.support.processes import ROOT, Server, Servers
from tests.support.v2_wire import ADD, EVENTS, Wire, begin, code, entries, result, step, waiting

pytestmark = pytest.mark.e2e


async def test_nothing_comes_that_was_not_subscribed_to(url: str) -> None:
    async with Wire(url) as wire:
        (session,) = await wire.open()
        await wire.ask(id=2, op="step", session=session, data=step("speak", {"text": "hello"}))
        await wire.ask(id=3, op="step", session=session, data=step("search"))
        assert await wire.so_far() == []


async def test_what_an_operation_says(url: str) -> None:
    async with Wire(url) as wire:
        (session,) = await wire.open()
        assert (await wire.ask(id=2, op="subscribe", data={"events": EVENTS}))["ok"] == {}
        await wire.ask(id=2, op="step", session=session, data=step("speak", {"text": "hello"}))
        assert await wire.event("environment") == {"event": "environment", "session": session, "data": {"said": "hello"}}
        logged = [(await wire.event("log"))["data"] for _ in range(2)]
        assert logged == [
            {"id": 2, "level": "warning", "message": "hello"},
            {"id": 2, "level": "info", "message": {"said": "hello"}},
        ]
        await wire.ask(id=3, op="step", session=session, data=waiting("/"))
        assert await wire.event("progress") == {
            "event": "progress", "session": session, "data": {"id": 3, "progress": 1, "total": 2, "message": "waiting"},
        }  # fmt: skip
        await wire.ask(id=4, op="step", session=session, data=step("search"))
        assert await wire.event("tools_changed") == {"event": "tools_changed", "session": session, "data": {}}
        names = [one["name"] for one in (await wire.ask(id=5, op="list_tools", session=session))["ok"]["tools"]]
        assert "hammer" in names
        assert await wire.so_far() == []


async def test_subscriptions_are_of_all_sessions_or_of_one(url: str) -> None:
    async with Wire(url) as wire:
        one, two = await wire.open(2)

        async def heard(number: int) -> list[tuple[str, str]]:
            for session in (one, two):
                await wire.ask(id=number, op="step", session=session, data=step("speak", {"text": "hello"}))
            return sorted({(came["event"], came["session"]) for came in await wire.so_far()})

        await wire.ask(id=2, op="subscribe", session=one, data={"events": ["environment"]})
        assert await heard(3) == [("environment", one)]
        await wire.ask(id=4, op="subscribe", data={"events": ["log"]})
        assert await heard(5) == sorted([("environment", one), ("log", one), ("log", two)])
        await wire.ask(id=6, op="unsubscribe", data={"events": ["log"]})
        await wire.ask(id=7, op="unsubscribe", session=one, data={"events": ["environment"]})
        assert await heard(8) == []


async def test_subscriptions_to_a_session_end_with_its_attachment(url: str) -> None:
    """But for one that watches it, which needs none."""
    speak = step("speak", {"text": "hello"})
    names = {"events": ["environment", "session_taken"]}
    async with Wire(url) as first, Wire(url) as second:
        detached, taken, watched = await first.open(3)
        for number, session in enumerate((detached, taken, watched), 2):
            await first.ask(id=number, op="subscribe", session=session, data=names)
        await first.ask(id=5, op="subscribe", session=watched, data={"events": ["step"]})
        await first.ask(id=6, op="detach", session=detached)
        for number, session in enumerate((taken, watched), 2):
            await second.ask(id=number, op="attach", session=session)
            assert (await first.event("session_taken"))["session"] == session
        for number, session in enumerate((detached, taken, watched), 7):
            await first.ask(id=number, op="attach", session=session)
            await first.ask(id=number + 10, op="step", session=session, data=speak)
        came = await first.so_far()
        assert {one["session"] for one in came} == {watched}
        assert [one["event"] for one in came if one["event"] == "step"] == ["step"]


async def test_who_watches_sees_every_step(server: Server, url: str) -> None:
    async with httpx.AsyncClient(base_url=server.url) as http, Wire(url) as actor, Wire(url) as watcher:
        (session,) = await actor.open()
        assert code(await watcher.ask(id=1, op="subscribe", session=session, data={"events": ["step", "session_ended"]})) is None
        reset = (await actor.ask(id=2, op="reset", session=session))["ok"]
        stepped = (await actor.ask(id=3, op="step", session=session, data=ADD))["ok"]
        called = (await actor.ask(id=4, op="call_tool", session=session, data={"name": "add", "arguments": {}}))["ok"]
        data = {"entries": [{"session": session, "action": ADD}]}
        batched = (await actor.ask(id=5, op="batch", data=data))["ok"]["results"][0]["ok"]
        for op, answer in {"reset": reset, "step": stepped, "call_tool": called}.items():
            assert await watcher.event("step") == {"event": "step", "session": session, "data": {"op": op} | answer}
        assert (await watcher.event("step"))["data"] == {"op": "step"} | batched
        over_http = await http.post("/step", json={"action": ADD}, headers={"X-Session-ID": session})
        seen = (await watcher.event("step"))["data"]
        assert (seen["op"], seen["observation"]["result"]) == ("step", over_http.json()["observation"]["result"]) == ("step", 4)
        await actor.ask(id=6, op="close", session=session)
        assert (await watcher.event("session_ended"))["session"] == session
        assert await actor.so_far() == []


async def test_a_session_that_somebody_deletes_is_told(server: Server, url: str) -> None:
    async with httpx.AsyncClient(base_url=server.url) as http, Wire(url) as wire:
        (session,) = await wire.open()
        await wire.ask(id=2, op="subscribe", data={"events": ["session_ended"]})
        await http.delete(f"/sessions/{session}")
        ended = await wire.event("session_ended")
        assert (ended["session"], ended["data"].keys()) == (session, {"reason"})
        assert code(await wire.ask(id=3, op="state", session=session)) == "SESSION_ERROR"


async def test_the_end_of_a_session_that_is_held_and_watched_is_told_once(server: Server, url: str) -> None:
    async with httpx.AsyncClient(base_url=server.url) as http, Wire(url) as wire:
        deleted, closed = await wire.open(2)
        await wire.ask(id=2, op="subscribe", data={"events": ["session_ended"]})
        for session in (deleted, closed):
            await wire.ask(id=3, op="subscribe", session=session, data={"events": ["step"]})
        await http.delete(f"/sessions/{deleted}")
        assert (await wire.event("session_ended"))["session"] == deleted
        await wire.ask(id=4, op="close", session=closed)
        assert await wire.so_far() == []


async def test_who_does_not_watch_a_session_is_promised_nothing_of_its_end(url: str) -> None:
    async with Wire(url) as actor, Wire(url) as stranger:
        (session,) = await actor.open()
        answer = await stranger.ask(id=1, op="subscribe", session=session, data={"events": ["session_ended"]})
        assert code(answer) == "SESSION_ERROR"


async def test_a_world_that_is_lost_ends_its_session(started: Callable[..., Server], tmp_path: Path) -> None:
    async with Wire(f"{started('small').ws_url}/ws") as wire:
        (session,) = await wire.open()
        await wire.ask(id=2, op="subscribe", data={"events": ["session_ended"]})
        await begin(wire, session, 3, tmp_path / "gate")  # the server gives up after 0.5 s
        assert code(await wire.answer(3)) == "LANE_LOST"
        ended = await wire.event("session_ended")
        assert ended["session"] == session
        answer = await wire.ask(id=4, op="attach", session=session)
        assert code(answer) == "SESSION_ERROR"
        assert ended["data"]["reason"] in answer["error"]["message"]
        (tmp_path / "gate").touch()


async def test_a_session_outlives_its_connection_for_its_lease(brief_url: str, tmp_path: Path) -> None:
    http_url = brief_url.replace("ws://", "http://").removesuffix("/ws")
    async with httpx.AsyncClient(base_url=http_url) as http:
        async with Wire(brief_url) as wire:
            assert wire.hello["limits"]["lease_s"] == 0.3
            idle, busy, over_http = *await wire.open(2), (await http.post("/sessions")).json()["session_id"]
            await wire.ask(id=2, op="attach", session=over_http)
            await begin(wire, busy, 2, tmp_path / "gate")
            wire.lose()

        async def living() -> set[str]:
            listed: list[dict[str, Any]] = (await http.get("/sessions")).json()["sessions"]
            return {one["session_id"] for one in listed} & {idle, busy, over_http}

        async with asyncio.timeout(15):
            while idle in await living():  # noqa: ASYNC110 (it is in another process)
                await asyncio.sleep(0.02)
        assert await living() == {busy, over_http}  # what runs goes on; the other has the lease of HTTP
        async with Wire(brief_url) as wire:
            answer = await wire.ask(id=1, op="attach", session=idle)
            assert code(answer) == "SESSION_ERROR"
            assert "no request for 0.3 s" in answer["error"]["message"]
            assert (await wire.ask(id=2, op="attach", session=busy))["ok"]["busy"]
            await wire.put(id=2, op="step", session=busy, data=waiting(tmp_path / "gate"))
            (tmp_path / "gate").touch()
            assert await result(wire, 2) == 1


async def test_more_than_the_connection_allows_is_read_later(async_url: str, tmp_path: Path) -> None:
    async with Wire(async_url) as wire:
        sessions = await wire.open(20)
        for number in range(2, 55):
            for session in sessions:
                data = {"text": "hello", "gate": str(tmp_path / "gate")}
                await wire.put(id=number, op="step", session=session, data=data)
        await wire.put(id=55, op="ping")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await wire.answer(55)
        (tmp_path / "gate").touch()
        counts = [(await wire.answer(number))["ok"]["observation"]["count"] for number in range(2, 55) for _ in sessions]
        assert counts == [count for count in range(1, 54) for _ in sessions]
        assert await wire.answer(55) == {"id": 55, "ok": {}}


async def test_events_that_find_too_much_waiting_are_dropped_and_counted(url: str) -> None:
    async with Wire(url) as wire:
        (session,) = await wire.open()
        await wire.ask(id=2, op="subscribe", data={"events": ["environment"]})
        wire.socket.transport.pause_reading()
        async with Wire(url) as other:
            await wire.put(id=3, op="step", session=session, data=step("chat", {"times": 400, "size": 100_000}))
            async with httpx.AsyncClient() as http:
                address = url.replace("ws://", "http://").removesuffix("/ws")
                async with asyncio.timeout(15):
                    while (await http.get(f"{address}/sessions/{session}")).json()["steps"] < 1:
                        await other.so_far()
        wire.socket.transport.resume_reading()
        assert code(await wire.answer(3)) is None
        await wire.ask(id=4, op="step", session=session, data=step("speak", {"text": "hello"}))
        said = await wire.so_far()
        assert {*map(len, said)} == {3, 4}  # the first after those that were dropped tells how many
        dropped = sum(event.get("dropped", 0) for event in said)
        assert dropped > 0
        assert len(said) + dropped == 401
        assert said[-1]["data"] == {"said": "hello"}


async def test_who_does_not_read_is_closed_with_1008(server: Server, url: str) -> None:
    async with Wire(url) as wire:
        sessions = await wire.open(8)
        wire.socket.transport.pause_reading()
        actions = dict.fromkeys(sessions, step("shout", {"size": 8 * 2**20}))
        await wire.put(id=2, op="batch", data=entries(actions, as_finished=True))
        async with httpx.AsyncClient(base_url=server.url) as http, asyncio.timeout(30):
            for session in sessions:
                while (await http.get(f"/sessions/{session}")).json()["attached"]:  # noqa: ASYNC110 (it is in another process)
                    await asyncio.sleep(0.02)
        async with Wire(url) as other:
            assert code(await other.ask(id=1, op="attach", session=sessions[0])) is None
            told = (await other.ask(id=2, op="state", session=sessions[0]))["ok"]["state"]
            assert told["count"] == 1
        wire.socket.transport.resume_reading()
        assert await wire.closed() in {1008, None}


@pytest.mark.parametrize("uvicorn", [False, True])
async def test_a_server_that_goes_down_closes_with_1012(serve: Servers, tmp_path: Path, uvicorn: bool) -> None:
    server = serve("tests.support.v2_toys:workshop_app", cwd=ROOT, uvicorn=uvicorn)
    async with Wire(f"{server.ws_url}/ws") as wire:
        session, other = await wire.open(2)
        await wire.ask(id=2, op="subscribe", data={"events": ["draining"]})
        if not uvicorn:
            await begin(wire, session, 3, tmp_path / "gate")
        server.terminate()
        if not uvicorn:  # which has no drain
            assert await wire.event("draining") == {"event": "draining", "data": {}}
            refused = {"id": 4, "op": "step", "session": other, "data": ADD}
            assert code(await wire.ask(**refused)) == "SHUTTING_DOWN"
            assert code(await wire.ask(id=5, op="open")) == "SHUTTING_DOWN"
            (tmp_path / "gate").touch()
            assert await result(wire, 3) == 1
        assert await wire.closed() == 1012
    server.wait()


async def test_a_socket_without_the_subprotocol_speaks_the_older_dialects(openenv_url: str) -> None:
    async with ws.connect(openenv_url) as socket:
        assert socket.subprotocol is None
        await socket.send('{"id": 1, "op": "ping"}')
        assert '"error"' in str(await socket.recv())


LOUD = [("speak", {"text": "hello"}), ("search", {}), ("wait", {"gate": "/"})]


def _older(_: int, name: str, arguments: Mapping[str, Any]) -> str:
    return json.dumps({"type": "step", "data": step(name, arguments)})


def _json_rpc(number: int, name: str, arguments: Mapping[str, Any]) -> str:
    params = {"name": name, "arguments": arguments}
    return json.dumps({"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params})


@pytest.mark.parametrize("uvicorn", [False, True])
async def test_who_did_not_choose_v2_gets_answers_and_nothing_else(serve: Servers, uvicorn: bool) -> None:
    server = serve("tests.support.v2_toys:workshop_app", cwd=ROOT, uvicorn=uvicorn)
    async with httpx.AsyncClient(base_url=server.url) as http, Wire(f"{server.ws_url}/ws") as watcher:
        session = (await http.post("/sessions")).json()["session_id"]
        sockets = [
            (await ws.connect(f"{server.ws_url}/ws"), _older, {"type"}),
            (await ws.connect(f"{server.ws_url}/ws?session_id={session}"), _older, {"type"}),
            (await ws.connect(f"{server.ws_url}/mcp"), _json_rpc, {"id", "result"}),
        ]
        await watcher.ask(id=1, op="subscribe", session=session, data={"events": ["step"]})
        for socket, asking, known in sockets:
            for number, (name, arguments) in enumerate(LOUD, start=1):
                await socket.send(asking(number, name, arguments))
                answer = json.loads(await socket.recv())
                assert set(answer) >= known
                assert answer.get("type", "observation") == "observation"
                assert answer.get("id", number) == number
        for name, arguments in LOUD:  # somebody else, in the session that a socket is attached to
            action = {"action": step(name, arguments)}
            assert (await http.post("/step", json=action, headers={"X-Session-ID": session})).is_success
        assert len([one for one in await watcher.so_far() if one["event"] == "step"]) == 2 * len(LOUD)
        listed = (await http.get("/sessions")).json()["sessions"]
        own = [one["session_id"] for one in listed if one["kind"] == "socket"]
        assert len(own) == 2
        for ended in own:
            await http.delete(f"/sessions/{ended}")
        server.terminate()
        for socket, _, _ in sockets:
            with pytest.raises(ConnectionClosed):  # before anything else comes
                pytest.fail(str(await socket.recv()))
    server.wait()
