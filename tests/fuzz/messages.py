"""Good messages of each dialect, with what is owed for them."""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random
from typing import Any

from tests.fuzz.judge import answered, coded, framed, rpc
from tests.fuzz.plan import Check

__all__ = ["Message", "action", "openenv", "plain", "rpc_call", "simple"]

Message = tuple[Any, Check]


def plain(rng: Random, depth: int = 2) -> Any:
    """A value that JSON carries there and back unchanged."""
    chosen = rng.randrange(9 if depth else 6)
    if chosen < 6:
        return (None, True, rng.randrange(-(2**53), 2**53), rng.random(), f"ü{rng.randrange(1000)}\n\U0001f600", "")[chosen]
    if chosen == 6:
        return [plain(rng, depth - 1) for _ in range(rng.randrange(4))]
    return {f"k{number}": plain(rng, depth - 1) for number in range(rng.randrange(4))}


def action(rng: Random, target: str) -> tuple[dict[str, Any], Callable[[dict[str, Any]], Any], Any]:
    """An action, what to look for in the observation, and what must be found there."""
    value = plain(rng)
    if target == "tool":
        name = rng.choice(("things_say", "things_say", "things_add", "things_list"))
        if name == "things_say":
            return _call(name, {"anything": value}), lambda seen: seen["result"], value
        if name == "things_add":
            times = rng.randrange(1, 4)
            return _call(name, {"name": "x", "times": times}), lambda seen: seen["result"]["added"], times
        return _call(name, {}), lambda seen: type(seen["result"]), list
    text = f"{rng.randrange(10**9)}"
    made = {"text": text, "anything": value, "count": rng.randrange(-10, 11), "kind": rng.choice(("plain", "fancy"))}
    if rng.random() < 0.3:
        made |= {"flags": [True, False], "inner": {"name": "n", "weights": [1, 2.5]}, "metadata": {"k": 1}}
    return made, lambda seen: (seen["text"], seen["anything"]), (text, value)


def _call(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    return {"type": "call_tool", "tool_name": name, "arguments": arguments}


def _failing(target: str) -> tuple[dict[str, Any], bool]:
    """An action with which the target raises by itself, and whether that is an observation."""
    return (_call("things_break", {}), True) if target == "tool" else ({"text": "boom"}, False)


def openenv(rng: Random, target: str) -> Message:
    """OpenEnv's dialect on ``/ws``."""
    chosen = rng.random()
    if chosen < 0.6:
        made, read, expected = action(rng, target)
        return {"type": "step", "data": made}, answered(lambda r: read(r["data"]["observation"]), expected)
    if chosen < 0.75:
        data: dict[str, Any] = {"seed": rng.randrange(2**31)} if rng.random() < 0.5 else {}
        if rng.random() < 0.3:
            data["episode_id"] = f"episode {rng.randrange(100)}"
        message = {"type": "reset", "data": data} if data or rng.random() < 0.5 else {"type": "reset"}
        return message, answered(lambda r: (r["type"], r["data"]["done"]), ("observation", False))
    if chosen < 0.9:
        return {"type": "state"}, answered(lambda r: r["type"], "state")
    made, observed = _failing(target)
    if observed:
        return {"type": "step", "data": made}, answered(
            lambda r: r["data"]["observation"]["error"]["error_type"], "execution_error"
        )
    return {"type": "step", "data": made}, coded("EXECUTION_ERROR")


def simple(rng: Random, target: str) -> Message:
    """The simple dialect on ``/ws``."""
    chosen = rng.random()
    if chosen < 0.6:
        made, read, expected = action(rng, target)
        return {"action": made}, answered(lambda r: read(r["observation"]), expected)
    if chosen < 0.75:
        message = {"action": "reset"} | ({"seed": rng.randrange(2**31)} if rng.random() < 0.5 else {})
        return message, answered(lambda r: (r["state"]["step_count"], r["done"]), (0, False))
    if chosen < 0.9:
        return {"action": "state"}, answered(lambda r: type(r["state"]["step_count"]), int)
    made, observed = _failing(target)
    if observed:
        return {"action": made}, answered(lambda r: r["observation"]["error"]["error_type"], "execution_error")
    return {"action": made}, coded("EXECUTION_ERROR", simple=True)


def rpc_call(rng: Random, target: str, *, session: str | None = None) -> tuple[dict[str, Any], Check]:
    """OpenEnv's JSON-RPC, and what its answer has to be."""
    request_id = rng.choice((rng.randrange(10**6), f"id {rng.randrange(10**6)}"))
    message: dict[str, Any] = {"jsonrpc": "2.0", "id": request_id}

    def form(reply: Any) -> str | None:
        return rpc(reply, request_id=request_id)

    params: dict[str, Any] = {} if session is None else {"session_id": session}
    chosen = rng.random()
    if chosen < 0.6:
        value = plain(rng)
        params |= {"name": "things_say", "arguments": {"anything": value}}
        message |= {"method": "tools/call", "params": params}
        if target == "tool":
            return message, answered(lambda r: r["result"]["data"], value, form)
        return message, answered(lambda r: r["error"]["code"], -32603, form)
    if chosen < 0.8:
        message |= {"method": "tools/list"} | ({"params": params} if params else {})
        if target == "tool":
            return message, answered(lambda r: len(r["result"]["tools"]), 4, form)
        return message, form
    if chosen < 0.9:
        return message | {"method": "tools/call", "params": params | {"name": rng.choice(("nothing", "things_break"))}}, form
    return message | {"method": "openenv/session/close", "params": {"session_id": "nobody's"}}, form


def in_frame(check: Check) -> Check:
    """The same check for the answer inside an ``mcp`` frame."""

    def inside(reply: Any) -> str | None:
        return framed(reply) or (check(reply["data"]) if reply.get("type") == "mcp" else "this is no mcp frame")

    return inside


def is_farewell(text: str) -> bool:
    """Whether ``/ws`` is asked to close, whatever became of the message."""
    if "close" not in text:
        return False
    try:
        return json.loads(text) in ({"type": "close"}, {"action": "close"})
    except (ValueError, RecursionError):
        return False
