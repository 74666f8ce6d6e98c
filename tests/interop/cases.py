"""The exchanges that both frameworks are compared by: every route, message, code and rule of OpenEnv 0.10's protocol."""

from __future__ import annotations

import json
from typing import Any

from tests.interop.exchange import Http, Socket

__all__ = ["APPS", "EXCHANGES"]

APPS = {
    **{name: f"toys.plain:{name}" for name in ("echo", "small", "pair", "couple", "broken", "patient", "production")},
    **{name: f"toys.tooled:{name}" for name in ("calculator", "called", "steptools")},
    **{name: f"toys.tasks:{name}" for name in ("tasky", "asynctasky")},
}
"""Path prefix to application."""


def _rpc(method: str, params: Any = None, id: Any = 1) -> dict[str, Any]:
    request = {"jsonrpc": "2.0", "method": method, "id": id}
    return request if params is None else request | {"params": params}


def _step(**action: Any) -> dict[str, Any]:
    return {"type": "step", "data": action}


def _call(name: str, /, **arguments: Any) -> dict[str, Any]:
    return {"type": "call_tool", "tool_name": name, "arguments": arguments}


def _probes() -> list[Http]:
    found: list[Http] = []
    for app in ("echo", "small", "broken", "patient", "production", "calculator", "steptools", "tasky"):
        found += [
            Http(f"{app} {path}", "GET", f"/{app}/{path}") for path in ("health", "metadata", "schema", "list_environments")
        ]
    for path in ("health", "metadata", "schema", "state", "reset", "step", "mcp", "nothing", "web", ""):
        known = ("GET",) if path in ("health", "metadata", "schema") else ()
        found += [
            Http(f"{method} /{path}", method, f"/echo/{path}")
            for method in ("GET", "POST", "DELETE", "PUT")
            if method not in known
        ]
    gone = (("POST", "reset"), ("POST", "step"), ("GET", "state"))
    found += [
        Http(f"production {path}", method, f"/production/{path}", {} if method == "POST" else None) for method, path in gone
    ]
    return found


def _stateless() -> list[Http]:
    resets: dict[str, Any] = {
        "nothing": {},
        "seed": {"seed": 7},
        "all": {"seed": 7, "episode_id": "ep9", "foo": 1},
        "null seed": {"seed": None},
        "negative seed": {"seed": -1},
        "text seed": {"seed": "abc"},
        "digits as seed": {"seed": "12"},
        "float seed": {"seed": 1.5},
        "long episode id": {"episode_id": "x" * 256},
        "longest episode id": {"episode_id": "x" * 255},
        "number as episode id": {"episode_id": 5},
        "array": [],
        "null": None,
        "reset raises": {"boom": 1},
    }
    steps: dict[str, Any] = {
        "plain": {"action": {"message": "hi"}},
        "everything": {"action": {"message": "hi"}, "timeout_s": 3, "request_id": "r1", "extra": 2},
        "bare": {"message": "hi"},
        "empty": {},
        "array": [1],
        "action is a text": {"action": "hi"},
        "action is null": {"action": None},
        "too short": {"action": {"message": ""}},
        "missing": {"action": {}},
        "unknown field": {"action": {"message": "x", "zzz": 1}},
        "wrong type": {"action": {"message": 5}},
        "zero timeout": {"action": {"message": "x"}, "timeout_s": 0},
        "negative timeout": {"action": {"message": "x"}, "timeout_s": -1},
        "long request id": {"action": {"message": "x"}, "request_id": "r" * 256},
        "metadata": {"action": {"message": "x", "metadata": {"a": [1]}}},
        **{kind: {"action": {"message": "m", "kind": kind}} for kind in ("done", "true", "three", "nan", "inf", "none")},
        **{kind: {"action": {"message": "m", "kind": kind}} for kind in ("quiet", "nested", "like", "dict", "boom")},
    }
    found = [Http(f"reset without a body ({app})", "POST", f"/{app}/reset") for app in ("echo", "small", "patient", "broken")]
    for app in ("echo", "small", "patient"):
        found += [
            Http(f"{app} reset: {name}", "POST", f"/{app}/reset", raw=json.dumps(body).encode()) for name, body in resets.items()
        ]
        found += [Http(f"{app} step: {name}", "POST", f"/{app}/step", body) for name, body in steps.items()]
        found.append(Http(f"{app} state", "GET", f"/{app}/state"))
    found += [Http(f"{verb}: not JSON", "POST", f"/echo/{verb}", raw=b"{bad") for verb in ("reset", "step")]
    found += [Http(f"{verb}: empty body", "POST", f"/echo/{verb}", raw=b"") for verb in ("reset", "step")]
    found += [
        Http("a tool call by step", "POST", "/calculator/step", {"action": _call("add", a=1, b=2)}),
        Http("listing by step", "POST", "/calculator/step", {"action": {"type": "list_tools"}}),
        Http("a plain action", "POST", "/calculator/step", {"action": {"metadata": {"z": 1}}}),
        Http("an unknown type", "POST", "/calculator/step", {"action": {"type": "other"}}),
    ]
    return found


def _catalogue() -> list[Http]:
    bodies: dict[str, list[Any]] = {
        "tasks": [{"split": "train"}, {"split": "weird"}, {"split": "unknown"}, {}, {"split": 5}, {"split": "x", "more": 1}],
        "num_tasks": [{"split": "train"}, {"split": "weird"}, {}],
        "task": [{"split": "x", "index": 1}, {"split": "x", "index": 9}, {"split": "x"}, {"split": "x", "index": "one"}],
        "task_range": [
            {"split": "train"},
            {"split": "train", "start": 1, "stop": 3},
            {"split": "train", "start": -2},
            {"start": 1},
        ],
    }
    found: list[Http] = []
    for app in ("tasky", "asynctasky", "echo"):
        found += [Http(f"{app} splits of {name}", "GET", f"/{app}/{name}/splits") for name in (app, app.upper(), "nope")]
        found += [
            Http(f"{app} {route} {json.dumps(body)}", "POST", f"/{app}/{app}/{route}", body)
            for route, sent in bodies.items()
            for body in sent
        ]
        found.append(Http(f"{app} task of another", "POST", f"/{app}/nope/task", {"split": "x", "index": 0}))
    return found


def _json_rpc() -> list[Http]:
    calls: dict[str, Any] = {
        "list": _rpc("tools/list"),
        "list, no id": {"jsonrpc": "2.0", "method": "tools/list"},
        "list, text id": _rpc("tools/list", id="s3"),
        "list, null params": _rpc("tools/list") | {"params": None},
        "add": _rpc("tools/call", {"name": "add", "arguments": {"a": 2, "b": 3}}),
        "keep": _rpc("tools/call", {"name": "keep", "arguments": {}}),
        "nothing": _rpc("tools/call", {"name": "nothing"}),
        "several": _rpc("tools/call", {"name": "several"}),
        "fail": _rpc("tools/call", {"name": "fail", "arguments": {}}),
        "bad arguments": _rpc("tools/call", {"name": "add", "arguments": {"a": "x"}}),
        "arguments of the wrong kind": _rpc("tools/call", {"name": "add", "arguments": [1]}),
        "unknown tool": _rpc("tools/call", {"name": "nosuch", "arguments": {}}),
        "no name": _rpc("tools/call", {"arguments": {}}),
        "no params": _rpc("tools/call"),
        "unknown session": _rpc("tools/call", {"name": "add", "arguments": {"a": 1, "b": 1}, "session_id": "zzz"}),
        "list of an unknown session": _rpc("tools/list", {"session_id": "zzz"}),
        "ping": _rpc("ping"),
        "resources": _rpc("resources/list"),
        "a notification": {"jsonrpc": "2.0", "method": "notifications/initialized"},
        "close without an id": _rpc("openenv/session/close"),
        "close of nothing": _rpc("openenv/session/close", {"session_id": "zzz"}),
        "an empty object": {},
        "wrong version": {"jsonrpc": "1.0", "method": "tools/list", "id": 1},
        "params as a list": _rpc("tools/list", [1]),
        "a float id": _rpc("tools/list", id=1.5),
        "a further key": _rpc("tools/list") | {"more": 1},
        "no method": {"jsonrpc": "2.0", "id": 1},
        "a batch": [_rpc("tools/list")],
        "a number": 5,
    }
    found: list[Http] = []
    for app in ("calculator", "called", "echo", "steptools", "production"):
        found += [Http(f"{app} rpc: {name}", "POST", f"/{app}/mcp", body) for name, body in calls.items()]
    found += [Http("rpc: not JSON", "POST", "/echo/mcp", raw=b"{bad"), Http("rpc: empty", "POST", "/echo/mcp", raw=b"")]
    found.append(Http("steptools rpc: a", "POST", "/steptools/mcp", _rpc("tools/call", {"name": "a", "arguments": {"v": 1}})))
    return found


_ECHO_FRAMES: list[Any] = [
    {"type": "reset", "data": {"seed": 42, "episode_id": "ep-1"}},
    {"type": "reset"},
    {"type": "reset", "data": {"seed": -1, "episode_id": 5, "more": [1]}},
    {"type": "reset", "data": {"boom": 1}},
    _step(message="hi"),
    {"type": "state"},
    *[_step(message="m", kind=kind) for kind in ("done", "true", "three", "nan", "inf", "none", "quiet", "nested", "like")],
    _step(message="m", kind="boom"),
    _step(message="m", kind="dict"),
    _step(),
    _step(message=""),
    _step(message="x", zzz=1),
    _step(message=5),
    {"type": "step"},
    {"type": "step", "data": None},
    {"type": "step", "data": []},
    {"type": "step", "data": {"message": "hi"}, "request_id": "r"},
    {"type": "reset", "data": None},
    {"type": "reset", "data": []},
    {"type": "reset", "more": 1},
    {"type": "state", "data": {}},
    {"type": "close", "data": {}},
    "not json",
    "",
    '{"type": "reset"',
    {"type": "frobnicate"},
    {},
    {"type": None},
    {"type": "ping"},
    {"type": "mcp", "data": _rpc("tools/list")},
    {"type": "mcp"},
    {"type": "mcp", "data": {}},
    {"type": "mcp", "data": _rpc("openenv/session/create", id=5)},
    {"type": "mcp", "data": _rpc("openenv/session/close", {"session_id": "$1"})},
    {"type": "state"},
    {"type": "close"},
]
_TOOL_FRAMES: list[Any] = [
    {"type": "reset"},
    _step(type="list_tools"),
    *[_step(**_call(name)) for name in ("keep", "nothing", "several", "fail", "nosuch")],
    _step(**_call("add", a=1, b=2)),
    _step(**_call("add", a="x")),
    _step(type="call_tool"),
    _step(type="other"),
    _step(tool_name="keep"),
    _step(metadata={"a": 1}),
    {"type": "mcp", "data": _rpc("tools/list")},
    {"type": "mcp", "data": _rpc("tools/call", {"name": "add", "arguments": {"a": 2, "b": 3}})},
    {"type": "mcp", "data": _rpc("initialize", {})},
    {"type": "state"},
    {"type": "close"},
]


def _sockets() -> list[Socket]:
    calls = [
        _rpc("tools/list"),
        _rpc("tools/call", {"name": "keep", "arguments": {"a": 2}}),
        _rpc("tools/call", {"name": "keep"}),
    ]
    found = [Socket(f"{app}: everything", f"/{app}/ws", _ECHO_FRAMES) for app in ("echo", "patient", "production")]
    found += [Socket(f"{app}: tools", f"/{app}/ws", _TOOL_FRAMES) for app in ("calculator", "called")]
    found += [
        Socket(
            "steptools",
            "/steptools/ws",
            [_step(type="list_tools"), _step(**_call("a", v=1)), _step(**_call("b")), {"type": "state"}],
        ),
        Socket(
            "small",
            "/small/ws",
            [{"type": "reset", "data": {"seed": 1, "x": 2}}, _step(message="a"), {"type": "state"}, {"type": "close"}],
        ),
        *[
            Socket(f"a frame of the wrong shape: {frame!r}", "/echo/ws", [frame, {"type": "state"}])
            for frame in ("[]", '"str"', "5", "null")
        ],
        Socket("a binary frame", "/echo/ws", [b"{}", {"type": "state"}]),
        Socket("three frames at once", "/echo/ws", [{"type": "reset"}, _step(message="a"), _step(message="b")], pipelined=True),
        Socket("a factory that raises", "/broken/ws"),
        Socket("an unknown session", "/echo/ws?session_id=nope"),
        Socket("an unknown path", "/echo/nope"),
        Socket("json-rpc frames", "/calculator/mcp", [*calls, "not json", {}, _rpc("ping"), _rpc("openenv/session/create")]),
        Socket(
            "json-rpc frames without tools", "/echo/mcp", [_rpc("tools/list"), _rpc("openenv/session/close", {"session_id": "x"})]
        ),
    ]
    return found


def _attached() -> list[Socket]:
    create = ["POST", "/calculator/mcp", _rpc("openenv/session/create")]
    keep = {"$http": ["POST", "/calculator/mcp", _rpc("tools/call", {"name": "keep", "arguments": {"a": 2}, "session_id": "$1"})]}
    close = {"$http": ["POST", "/calculator/mcp", _rpc("openenv/session/close", {"session_id": "$1"})]}
    attach = "/calculator/ws?session_id=$1"
    found = [
        Socket(
            "a session by HTTP, attached",
            attach,
            [{"type": "reset"}, keep, _step(**_call("keep", a=3)), keep, close, _step(**_call("keep"))],
            first=[create],
        ),
        Socket("closed while attached", attach, [{"type": "reset"}, close, {"type": "reset"}, {"type": "close"}], first=[create]),
    ]
    pair = ["POST", "/pair/mcp", _rpc("openenv/session/create")]
    full = [pair, pair, pair]
    found.append(Socket("a full server", "/pair/ws", first=full))
    return found


EXCHANGES: list[Http | Socket] = [*_probes(), *_stateless(), *_catalogue(), *_json_rpc(), *_sockets(), *_attached()]
