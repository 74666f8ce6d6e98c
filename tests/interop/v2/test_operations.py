"""docs/protocol.md, protocol v2: every row of the table of operations."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import websockets.asyncio.client as ws

from tests.support.processes import Server
from tests.support.v2_wire import ADD, Wire, begin, code, codes, entries, result, waiting

pytestmark = pytest.mark.e2e


async def test_an_operation_needs_its_session_attached_here(url: str) -> None:
    async with Wire(url) as wire, Wire(url) as other:
        (session,) = await wire.open()
        needing: dict[str, Any] = {
            "detach": None, "close": None, "reset": {}, "step": ADD, "call_tool": {"name": "add", "arguments": {}},
            "list_tools": None, "state": None, "cancel": {"id": 1}, "snapshot": {}, "restore": {"snapshot": "snapshot:1"},
            "fork": {}, "subscribe": {"events": ["log"]},
        }  # fmt: skip
        for number, (op, data) in enumerate(needing.items(), 2):
            frame = {"id": number, "op": op, "session": session} | ({} if data is None else {"data": data})
            assert (op, code(await other.ask(**frame))) == (op, "SESSION_ERROR")
        batch = await other.ask(id=20, op="batch", data=entries({session: ADD}))
        assert codes(batch["ok"]["results"]) == ["SESSION_ERROR"]
        assert (await wire.ask(id=30, op="state", session=session))["ok"]["state"]["count"] == 0


async def test_open_with_a_key_gives_those_that_live(url: str) -> None:
    async with Wire(url) as wire, Wire(url) as other:
        key = f"{id(wire)}-{wire.hello['connection']}"
        opened = (await wire.ask(id=1, op="open", data={"count": 2, "key": key}))["ok"]["sessions"]
        await wire.ask(id=2, op="subscribe", data={"events": ["session_taken"]})
        assert (await other.ask(id=1, op="open", data={"count": 2, "key": key}))["ok"]["sessions"] == opened
        assert {(await wire.event("session_taken"))["session"] for _ in opened} == {*opened}
        assert code(await other.ask(id=2, op="close", session=opened[0])) is None
        assert (await wire.ask(id=3, op="open", data={"count": 2, "key": key}))["ok"]["sessions"] == [opened[1]]
        await wire.ask(id=4, op="close", session=opened[1])
        fresh = (await wire.ask(id=5, op="open", data={"key": key}))["ok"]["sessions"]
        assert {*fresh}.isdisjoint(opened)


async def test_open_and_fork_give_all_or_none(started: Callable[..., Server]) -> None:
    async with Wire(f"{started('small').ws_url}/ws") as wire:
        assert code(await wire.ask(id=1, op="open", data={"count": 4})) == "CAPACITY_REACHED"
        one, two = (await wire.ask(id=2, op="open", data={"count": 2}))["ok"]["sessions"]
        fork = {"id": 3, "op": "fork", "session": one, "data": {"count": 2}}
        assert code(await wire.ask(**fork)) == "CAPACITY_REACHED"
        await wire.ask(id=4, op="close", session=two)
        assert len((await wire.ask(**fork))["ok"]["sessions"]) == 2  # it was refused before it began
        for number, session in enumerate((await wire.ask(**fork))["ok"]["sessions"], 5):
            await wire.ask(id=number, op="close", session=session)
        await wire.ask(id=8, op="close", session=one)


async def test_attach_takes_a_session_from_another_connection(url: str, tmp_path: Path) -> None:
    async with Wire(url) as first, Wire(url) as second:
        (session,) = await first.open()
        await first.ask(id=2, op="subscribe", data={"events": ["session_taken"]})
        attached = (await first.ask(id=2, op="attach", session=session))["ok"]  # stays
        assert (attached["last_id"], attached["busy"]) == (1, False)
        await begin(first, session, 3, tmp_path / "gate")
        assert (await second.ask(id=9, op="attach", session=session))["ok"] == attached | {"last_id": 3, "busy": True}
        assert await first.event("session_taken") == {"event": "session_taken", "session": session, "data": {}}
        assert code(await first.ask(id=4, op="step", session=session, data=ADD)) == "SESSION_ERROR"
        await second.put(id=3, op="step", session=session, data=waiting(tmp_path / "gate"))
        await second.so_far()
        (tmp_path / "gate").touch()
        assert [await result(first, 3), await result(second, 3)] == [1, 1]


async def test_what_a_socket_of_another_dialect_holds_is_not_taken(server: Server, url: str) -> None:
    async with httpx.AsyncClient(base_url=server.url) as http, Wire(url) as wire:
        session = (await http.post("/sessions")).json()["session_id"]
        async with ws.connect(f"{url}?session_id={session}"):
            assert code(await wire.ask(id=1, op="attach", session=session)) == "SESSION_ERROR"
        async with Wire(f"{url}?session_id={session}") as named:
            assert named.hello["session"] == session
            assert code(await named.ask(id=1, op="step", session=session, data=ADD)) is None
            assert (await named.ask(id=2, op="detach", session=session))["ok"] == {"lease_s": 900.0}
        assert (await http.get("/state", headers={"X-Session-ID": session})).json()["count"] == 1


async def test_a_reset_with_an_unknown_option_is_refused_and_begins_nothing(url: str) -> None:
    async with Wire(url) as wire:
        one, two = await wire.open(2)
        first = (await wire.ask(id=2, op="reset", session=one, data={"seed": 3, "episode_id": "first"}))["ok"]
        assert first["episode_id"] == "first"
        assert code(await wire.ask(id=3, op="step", session=one, data=ADD)) is None
        told = {
            "message": "the reset of workshop has no option 'seeed'",
            "code": "VALIDATION_ERROR",
            "field": "seeed",
            "hint": "It takes: seed, episode_id, gate.",
        }
        assert (await wire.ask(id=4, op="reset", session=one, data={"seed": 5, "seeed": 7}))["error"] == told
        resets = [{"session": one, "reset": {"seeed": 7}}, {"session": two, "reset": {"seed": 7}}]
        results = (await wire.ask(id=5, op="batch", data={"entries": resets}))["ok"]["results"]
        assert results[0] == {"error": told}
        assert code(results[1]) is None
        state = (await wire.ask(id=6, op="state", session=one))["ok"]["state"]
        assert state == {"episode_id": "first", "step_count": 1, "count": 1}


async def test_the_answers_of_steps_and_tools(url: str) -> None:
    async with Wire(url) as wire:
        (session,) = await wire.open()
        reset = (await wire.ask(id=2, op="reset", session=session, data={"seed": 3}))["ok"]
        assert reset.keys() == {"observation", "reward", "done", "episode_id"}
        called = (await wire.ask(id=3, op="call_tool", session=session, data={"name": "add", "arguments": {"number": 4}}))["ok"]
        assert called.keys() == {"observation", "reward", "done", "tool"}
        assert called["tool"] == {"name": "add", "result": 4}
        failed = (await wire.ask(id=4, op="call_tool", session=session, data={"name": "fail", "arguments": {}}))["ok"]
        body = {"code": "NOT_TODAY", "message": "not today", "field": "day", "hint": "Come tomorrow."}
        assert failed["tool"] == {"name": "fail", "error": body}
        assert failed["metadata"] == {"error": body}
        stepped = (await wire.ask(id=5, op="step", session=session, data=ADD))["ok"]
        assert stepped.keys() == {"observation", "reward", "done"}
        state = (await wire.ask(id=6, op="state", session=session))["ok"]
        assert state == {"state": {"episode_id": reset["episode_id"], "step_count": 3, "count": 5}, "busy": False}
        listed = (await wire.ask(id=7, op="list_tools", session=session))["ok"]["tools"]
        assert [one["name"] for one in listed] == ["add", "wait", "speak", "search", "fail", "shout", "chat"]
        assert all({"name", "description", "input_schema"} <= one.keys() for one in listed)


async def test_state_is_told_while_an_operation_runs(url: str, tmp_path: Path) -> None:
    async with Wire(url) as wire:
        (session,) = await wire.open()
        await wire.ask(id=2, op="step", session=session, data=ADD)
        await begin(wire, session, 3, tmp_path / "gate")
        told = (await wire.ask(id=4, op="state", session=session))["ok"]
        assert (told["state"]["count"], told["state"]["step_count"], told["busy"]) == (1, 1, True)
        (tmp_path / "gate").touch()
        assert await result(wire, 3) == 2
        assert not (await wire.ask(id=5, op="state", session=session))["ok"]["busy"]


async def test_close_lets_end_what_runs_and_refuses_what_waits(url: str, tmp_path: Path) -> None:
    async with Wire(url) as wire:
        (session,) = await wire.open()
        await begin(wire, session, 2, tmp_path / "gate")
        await wire.put(id=3, op="step", session=session, data=ADD)
        await wire.put(id=4, op="close", session=session)
        assert code(await wire.answer(3)) == "SESSION_ERROR"
        assert await wire.so_far() == []
        (tmp_path / "gate").touch()
        assert await result(wire, 2) == 1
        assert await wire.answer(4) == {"id": 4, "session": session, "ok": {}}
        assert code(await wire.ask(id=5, op="state", session=session)) == "SESSION_ERROR"


async def test_cancel(url: str, async_url: str, tmp_path: Path) -> None:
    async with Wire(url) as wire:
        (session,) = await wire.open()
        await begin(wire, session, 2, tmp_path / "gate")
        await wire.put(id=3, op="step", session=session, data=ADD)
        await wire.put(id=4, op="step", session=session, data=waiting("/nowhere", heed=True))
        assert (await wire.ask(id=5, op="cancel", session=session, data={"id": 3}))["ok"] == {"found": True}
        assert code(await wire.answer(3)) == "CANCELLED"  # at once, though another one runs
        assert code(await wire.ask(id=3, op="step", session=session, data=ADD)) == "CANCELLED"
        assert (await wire.ask(id=5, op="cancel", session=session, data={"id": 2}))["ok"] == {"found": True}
        assert await wire.so_far() == []  # it is told, and goes on
        (tmp_path / "gate").touch()
        assert await result(wire, 2) == 1
        assert (await wire.event("progress"))["data"]["id"] == 4
        await wire.ask(id=5, op="cancel", session=session, data={"id": 4})
        assert await result(wire, 4) == -1
        assert (await wire.ask(id=6, op="cancel", session=session, data={"id": 4}))["ok"] == {"found": False}
    async with Wire(async_url) as wire:
        (session,) = await wire.open()
        await wire.ask(id=2, op="subscribe", data={"events": ["progress"]})
        await wire.put(id=2, op="step", session=session, data={"text": "long", "forever": True})
        await wire.event("progress")
        await wire.ask(id=3, op="cancel", session=session, data={"id": 2})
        assert code(await wire.answer(2)) == "CANCELLED"
        assert (await wire.ask(id=3, op="step", session=session, data={"text": "short"}))["ok"]["observation"]["count"] == 1


@pytest.mark.parametrize("as_finished", [False, True])
async def test_a_batch(url: str, as_finished: bool) -> None:
    async with Wire(url) as wire:
        one, two, three = await wire.open(3)
        data: dict[str, Any] = entries({one: ADD, "nobody": ADD, two: {"wrong": 1}}, as_finished=as_finished)
        data["entries"].append({"session": three, "reset": {"seed": 5}})
        await wire.put(id=2, op="batch", data=data)
        if as_finished:
            came = [await wire.answer(2) for _ in data["entries"]]
            by_session = {answer["session"]: answer for answer in came}
            results = [by_session[entry["session"]] for entry in data["entries"]]
        else:
            results = (await wire.answer(2))["ok"]["results"]
        assert await wire.so_far() == []
        assert codes(results) == [None, "SESSION_ERROR", "VALIDATION_ERROR", None]
        assert results[0]["ok"]["observation"]["result"] == 1
        assert "episode_id" in results[3]["ok"]
        assert code(await wire.ask(id=3, op="batch", data={"entries": [{"session": one}] * 4097})) == "VALIDATION_ERROR"
        twice = {"entries": [{"session": one, "action": ADD}, {"session": one, "action": ADD}]}
        assert codes((await wire.ask(id=4, op="batch", data=twice))["ok"]["results"]) == [None, "VALIDATION_ERROR"]
