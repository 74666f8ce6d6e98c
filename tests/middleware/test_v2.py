"""Tokens, limits, logs and metrics over protocol v2, with `openenv serve` and with another ASGI server."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from tests.interop.minimal_v2_client import JSON, MSGPACK
from tests.support.processes import ROOT, Server, Servers
from tests.support.v2_wire import Wire, bearer, code

APPS = "tests.middleware.apps"
ANNA, GERT, PROM, NOBODY = "token-of-anna-0001", "token-of-gert-0001", "token-of-prom-0001", "token-of-nobody-01"
STEP: dict[str, Any] = {"type": "call_tool", "tool_name": "notes_list"}


@pytest.fixture(scope="module", params=["openenv", "uvicorn"])
def server(request: pytest.FixtureRequest, module_serve: Servers) -> Server:
    return module_serve(f"{APPS}:bearer_app", cwd=ROOT, uvicorn=request.param == "uvicorn")


@pytest.mark.parametrize("encoding", [JSON, MSGPACK])
@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer nobody-knows-this-one"}, {"Authorization": "Basic eDp5"}])
async def test_nobody_gets_in_without_a_token_and_no_environment_is_made(
    server: Server, encoding: str, headers: dict[str, str]
) -> None:
    before = metrics(server)
    async with Wire(f"{server.ws_url}/ws", encoding, headers=headers) as wire:
        assert wire.first["id"] is None
        assert code(wire.first) == "UNAUTHENTICATED"
        with pytest.raises(ConnectionClosed):
            await wire.socket.recv()
        assert (wire.socket.close_code, wire.socket.close_reason) == (1008, "UNAUTHENTICATED")
    after = metrics(server)
    assert after["auth"] == before["auth"] + 1
    assert after["sessions"] == before["sessions"] == 0


async def test_scopes_hold_for_every_operation(server: Server) -> None:
    async with Wire(f"{server.ws_url}/ws", headers=bearer(NOBODY)) as wire:
        assert code(await wire.ask(id=1, op="open")) == "FORBIDDEN"
        assert "ok" in await wire.ask(id=2, op="ping")
    async with Wire(f"{server.ws_url}/ws", headers=bearer(ANNA)) as wire:
        (session,) = (await wire.ask(id=1, op="open"))["ok"]["sessions"]
        assert "ok" in await wire.ask(id=2, op="step", session=session, data=STEP)
        assert code(await wire.ask(id=3, op="subscribe", session=session, data={"events": ["step"]})) == "FORBIDDEN"
        assert "ok" in await wire.ask(id=4, op="close", session=session)


async def test_an_agents_token_is_good_for_its_session_alone(server: Server) -> None:
    async with Wire(f"{server.ws_url}/ws", headers=bearer(GERT)) as owner, httpx.AsyncClient(base_url=server.url) as http:
        mine, other = (await owner.ask(id=1, op="open", data={"count": 2}))["ok"]["sessions"]
        await owner.ask(id=2, op="reset", session=mine)
        issued = await http.post(f"/sessions/{mine}/tokens", headers=bearer(GERT))
        agent = bearer(issued.json()["token"])
        async with Wire(f"{server.ws_url}/ws", headers=agent) as wire:
            assert "ok" in await wire.ask(id=1, op="attach", session=mine)
            assert "ok" in await wire.ask(id=3, op="step", session=mine, data=STEP)
            assert code(await wire.ask(id=4, op="attach", session=other)) == "SESSION_ERROR"
            for number, op in enumerate(["open", "fork", "snapshot", "reset", "close"], start=5):
                named = {} if op == "open" else {"session": mine}
                assert code(await wire.ask(id=number, op=op, **named)) == "FORBIDDEN", op
            entries = [{"session": one, "action": STEP} for one in (mine, other)]
            seen = await wire.ask(id=10, op="batch", data={"entries": entries})
            assert [code(one) for one in seen["ok"]["results"]] == [None, "SESSION_ERROR"]
        for number, session in enumerate((mine, other), start=20):
            await owner.ask(id=number, op="attach", session=session)
            assert "ok" in await owner.ask(id=number + 10, op="close", session=session)


async def test_the_limit_is_per_principal_whichever_connection_and_says_when_to_come_back(serve: Servers) -> None:
    server = serve(f"{APPS}:slow_app", cwd=ROOT)
    async with Wire(f"{server.ws_url}/ws", headers=bearer(ANNA)) as wire:
        (session,) = (await wire.ask(id=1, op="open"))["ok"]["sessions"]
        entries = [{"session": session, "action": STEP}]
        answers = [await wire.ask(id=number, op="batch", data={"entries": entries}) for number in range(2, 20)]
        refused = [one["ok"]["results"][0] for one in answers if "error" in one["ok"]["results"][0]]
        assert refused
        assert {code(one) for one in refused} == {"RATE_LIMITED"}
        assert refused[0]["error"]["retry_after_s"] > 0
    async with Wire(f"{server.ws_url}/ws", headers=bearer(ANNA)) as other:
        assert code(await other.ask(id=1, op="open")) == "RATE_LIMITED"


async def test_a_repeat_counts_for_the_limit_and_is_answered_when_there_is_room(serve: Servers) -> None:
    server = serve(f"{APPS}:slow_app", cwd=ROOT)
    async with Wire(f"{server.ws_url}/ws", headers=bearer(ANNA)) as wire:
        (session,) = (await wire.ask(id=1, op="open"))["ok"]["sessions"]
        step = {"id": 2, "op": "step", "session": session, "data": STEP}
        answers = [await wire.ask(**step) for _ in range(9)]
        told = [one for one in answers if "ok" in one]
        assert len(told) == 7  # the server lets eight operations through, and one was the open
        assert all(one == told[0] for one in told)
        assert {code(one) for one in answers} == {None, "RATE_LIMITED"}


async def test_every_step_is_counted_and_logged_with_its_ids(serve: Servers) -> None:
    server = serve(f"{APPS}:notes_app", "--log-level", "debug", cwd=ROOT)
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    async with Wire(f"{server.ws_url}/ws", headers={"traceparent": trace}) as wire:
        (session,) = (await wire.ask(id=1, op="open"))["ok"]["sessions"]
        await wire.ask(id=2, op="step", session=session, data=STEP)
        await wire.ask(id=3, op="call_tool", session=session, data={"name": "notes_list"})
        await wire.ask(id=4, op="batch", data={"entries": [{"session": session, "action": STEP}]})
        await wire.ask(id=4, op="batch", data={"entries": [{"session": session, "action": STEP}]})  # a repeat is no step
        await wire.ask(id=5, op="step", session=session, data={"tool": "wrong"})
        await wire.ask(id=6, op="step", session="nobody's", data=STEP)
        counted = metrics(server)
        await wire.ask(id=7, op="close", session=session)
    assert counted["steps"] == 3
    assert (counted["validation"], counted["session"], counted["sessions"]) == (1, 1, 1)
    lines = [json.loads(line) for line in server.log().splitlines() if line.startswith("{")]
    mine = [line for line in lines if line["session"] == session]
    steps = [line for line in mine if line["event"] == "operation" and line["op"] in ("step", "call_tool")]
    assert [line["request"] for line in steps][:3] == [2, 3, 4]
    assert {line["trace"] for line in steps} == {trace.split("-")[1]}
    assert all(line["episode"] for line in steps)
    told = [line for line in mine if line["level"] == "info"]
    assert {line["transport"] for line in told} == {"v2"}
    assert [line["event"] for line in told] == ["session.open", "episode", "session.close"]


def metrics(server: Server) -> dict[str, float]:
    """What `/metrics` says of the numbers that these tests are about."""
    text = httpx.get(f"{server.url}/metrics", headers=bearer(PROM)).text
    names = {
        "sessions": "openenv_active_sessions{",
        "steps": 'openenv_steps_total{env="notes",status="success"}',
        "auth": 'openenv_errors_total{env="notes",type="auth"}',
        "validation": 'openenv_errors_total{env="notes",type="validation"}',
        "session": 'openenv_errors_total{env="notes",type="session"}',
    }
    found = {}
    for key, name in names.items():
        lines = [line for line in text.splitlines() if line.startswith(name)]
        found[key] = float(lines[0].rpartition(" ")[2]) if lines else 0.0
    return found
