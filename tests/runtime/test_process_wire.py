"""The same environment, on the event loop and in worker processes: whatever travels is the same, byte for byte."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from websockets.sync.client import connect

from tests.support.process_pairs import ERRORS, VALUES
from tests.support.processes import Server, Servers
from tests.support.v2_wire import Wire

pytestmark = pytest.mark.e2e

Pair = tuple[Server, Server]
_OWN = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}|[0-9-]+T[0-9:.]+(Z|\+00:00)")
"""What no two sessions have in common: random identifiers and the time of day."""


_NAMES = {
    "FarOdd": "Odd",
    "The same in a process.": "Answers in every way that there is.",
    # Over HTTP, metadata that cannot be said are found before the observation that has them.
    "the environment's answer cannot be": "the observation cannot be",
}


def plain(text: str) -> str:
    """A text without what is one server's own."""
    for far, near in _NAMES.items():
        text = text.replace(far, near)
    return _OWN.sub("…", text)


def served(servers: Servers, name: str) -> Pair:
    near, far = (servers(f"tests.support.process_pairs:{one}") for one in (name, f"far_{name}"))
    return near, far


@pytest.fixture(scope="module")
def odd(module_serve: Servers) -> Pair:
    return served(module_serve, "odd")


@pytest.fixture(scope="module")
def toolbox(module_serve: Servers) -> Pair:
    return served(module_serve, "toolbox")


@pytest.fixture(scope="module")
def calendar(module_serve: Servers) -> Pair:
    return served(module_serve, "calendar")


def said(server: Server, frames: list[Any], headers: dict[str, str] | None = None) -> list[str]:
    """The answers to frames on one socket, without what is random."""
    answers = []
    with connect(f"{server.ws_url}/ws", additional_headers=headers, max_size=None, open_timeout=30) as socket:
        for frame in frames:
            socket.send(frame if isinstance(frame, str) else json.dumps(frame))
            answer = socket.recv(timeout=30)
            assert isinstance(answer, str)
            answers.append(plain(answer))
    return answers


def same(pair: Pair, frames: list[Any]) -> list[str]:
    """What both say; they say the same."""
    near, far = (said(server, frames) for server in pair)
    for frame, one, other in zip(frames, near, far, strict=True):
        assert one == other, frame
    return near


def steps() -> Iterator[dict[str, Any]]:
    yield {"what": "say hello", "secret": "kept", "amount": "1.10", "oddName": 4}
    yield {"what": "plain sight"}
    for reward in ("none", "true", "int", "float", "nan", "inf", "big"):
        yield {"what": f"reward {reward}"}
    for end in ("", "t", "x", "d", "tx", "txd"):
        yield {"what": f"end {end}"}
    for name in (*VALUES, "5", "150", "190", "240", "300"):
        yield {"what": f"value {name}"}
        yield {"what": f"metadata {name}"}
    for name in ERRORS:
        yield {"what": f"raise {name}"}
    yield {"what": "picture 3"}
    yield {"what": "nothing"}
    yield {"what": "coroutine"}
    yield {"what": "unknown"}


def test_openenvs_dialect(odd: Pair) -> None:
    frames: list[Any] = [{"type": "reset", "data": {"seed": 3, "first": "x", "nobody": 1}}, {"type": "state"}]
    frames += [{"type": "step", "data": action} for action in steps()]
    frames += [{"type": "state"}, {"type": "reset", "data": {"seed": "three"}}, {"type": "reset", "data": {"self": 1}}]
    answers = same(odd, frames)
    assert sum('"type":"observation"' in one for one in answers) > 30
    assert sum('"type":"error"' in one for one in answers) > 10


def test_the_simple_dialect(odd: Pair) -> None:
    frames: list[Any] = [{"action": "reset", "seed": 3}, {"action": "state"}, *({"action": action} for action in steps())]
    answers = same(odd, [*frames, {"action": "state"}])
    assert '"state":{"episode_id":' in answers[0]
    assert '"oddName":7' in answers[1]


UNTYPED = ("value bytes", "metadata bytes")
"""Bytes that no type tells of: a worker writes them as JSON does, and protocol v2 would as bytes."""


@pytest.mark.parametrize("encoding", ["openenv.v2", "openenv.v2+msgpack"])
async def test_protocol_v2(odd: Pair, encoding: str) -> None:
    async def asked(server: Server) -> list[str]:
        async with Wire(f"{server.ws_url}/ws", encoding) as wire:
            (session,) = (await wire.ask(id=1, op="open", data={}))["ok"]["sessions"]
            actions = [action for action in steps() if action["what"] not in UNTYPED]
            frames: list[Any] = [{"op": "reset", "data": {"seed": 3}}, *({"op": "step", "data": action} for action in actions)]
            frames += [{"op": "state"}, {"op": "snapshot"}, {"op": "step", "data": {"what": "say", "nobody": 1}}]
            answers = [await wire.ask(id=n, session=session, **frame) for n, frame in enumerate(frames, 2)]
            await wire.ask(id=1000, op="close", session=session)  # else it is kept for its lease
            # Each encoding has its own words for what it cannot say.
            return [re.sub("cannot be written.*", "cannot be written", plain(repr(answer))) for answer in answers]

    near, far = [await asked(server) for server in odd]
    for one, other in zip(near, far, strict=True):
        assert one == other
    assert any("b'\\xff\\x00\\xff" in one for one in near) is ("msgpack" in encoding)


def test_http(odd: Pair) -> None:
    def asked(server: Server) -> list[Any]:
        with httpx.Client(base_url=server.url, timeout=60) as http:
            session = http.post("/sessions").json()["session_id"]
            mine = {"X-Session-ID": session}
            found = [http.post("/reset", json={"seed": 5}, headers=mine)]
            found += [http.post("/step", json={"action": action}, headers=mine) for action in steps()]
            found += [http.get("/state", headers=mine), http.get(f"/sessions/{session}")]
            found += [http.post("/reset", json={"seed": 6}), http.post("/step", json={"action": {"what": "say alone"}})]
            found += [http.get("/odd/splits"), http.post("/odd/num_tasks", json={"split": "train"})]
            found += [http.post("/odd/tasks", json={"split": "train"}), http.post("/odd/task_range", json={"split": "train"})]
            found += [http.post("/odd/task", json={"split": "train", "index": index}) for index in (1, 9)]
            found += [http.get(path) for path in ("/metadata", "/schema")]
            found += [http.post(f"/sessions/{session}/verify"), http.post(f"/sessions/{session}/sql", json={"query": "SELECT 1"})]
            kept = ("retry-after", "content-type", "www-authenticate")
            return [(one.status_code, plain(one.text), {name: one.headers.get(name) for name in kept}) for one in found]

    near, far = (asked(server) for server in odd)
    for one, other in zip(near, far, strict=True):
        assert one == other
    assert {one[0] for one in near} >= {200, 400, 403, 418, 422, 429, 500, 501, 503}


def test_tools(toolbox: Pair) -> None:
    calls: list[tuple[str, dict[str, Any]]] = [("value", {"name": name}) for name in VALUES]
    calls += [("fail", {"how": how}) for how in ERRORS if how not in ("exit", "interrupt")]
    calls += [
        ("add", {"first": 1}),
        ("add", {"first": "x"}),
        ("add", {}),
        ("picture", {}),
        ("model", {}),
        ("value", {"name": "?"}),
    ]
    calls += [("vaule", {}), ("", {})]
    rpc = [{"jsonrpc": "2.0", "id": 1, "method": "tools/list"}]
    rpc += [
        {"jsonrpc": "2.0", "id": n, "method": "tools/call", "params": {"name": name, "arguments": arguments}}
        for n, (name, arguments) in enumerate(calls)
    ]
    frames: list[Any] = [{"type": "reset", "data": {"seed": 1}}, {"type": "step", "data": {"type": "list_tools"}}]
    frames += [{"type": "mcp", "data": one} for one in rpc]
    frames += [
        {"type": "step", "data": {"type": "call_tool", "tool_name": name, "arguments": arguments}} for name, arguments in calls
    ]
    answers = same(toolbox, [*frames, {"type": "state"}])
    assert any('"title":"Fails"' in one for one in answers)
    assert any('"mimeType":"image/png"' in one for one in answers)


def test_scenarios_verdicts_and_databases(calendar: Pair) -> None:
    from openenv.evaluation import load_suite

    scenarios = load_suite("calendar").scenarios

    def graded(server: Server) -> Iterator[tuple[int, str]]:
        with httpx.Client(base_url=server.url, timeout=60) as http:
            for scenario in scenarios[:6]:
                session = http.post("/sessions").json()["session_id"]
                mine = {"X-Session-ID": session} | dict(scenario.context)
                found = [http.post(f"/sessions/{session}/scenario", content=scenario.model_dump_json(), headers=mine)]
                found += [http.get(f"/sessions/{session}")]
                for call in scenario.solution:
                    action = {"type": "call_tool", "tool_name": call.tool, "arguments": call.arguments}
                    found.append(http.post("/step", json={"action": action}, headers=mine))
                found.append(http.post(f"/sessions/{session}/verify", json={"response": "done"}, headers=mine))
                found.append(http.post(f"/sessions/{session}/sql", json={"query": "SELECT * FROM events"}, headers=mine))
                found.append(http.post(f"/sessions/{session}/sql", json={"query": "DELETE FROM events"}, headers=mine))
                found += [http.get(f"/sessions/{session}/database?at={at}", headers=mine) for at in ("initial", "final")]
                http.delete(f"/sessions/{session}")
                yield from ((one.status_code, plain(one.text)) for one in found)

    near, far = (list(graded(server)) for server in calendar)
    for one, other in zip(near, far, strict=True):
        assert one == other
    assert any('"passed":true' in text for _, text in near)
