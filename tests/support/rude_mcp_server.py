"""MCP servers that behave badly, one per name: ``python rude_mcp_server.py NAME``. Written by hand, for no SDK would."""

from __future__ import annotations

import itertools
import json
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

TOOL = {"name": "go", "description": "Do it", "inputSchema": {"type": "object"}}
OLD = {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": {"name": "rude", "version": "1"}}
NEW = {
    "supportedVersions": ["2026-07-28"],
    "capabilities": {"tools": {"listChanged": True}},
    "resultType": "complete",
    "ttlMs": 0,
    "cacheScope": "public",
}


def say(message: Any) -> None:
    """Write a line."""
    sys.stdout.write((message if isinstance(message, str) else json.dumps(message)) + "\n")
    sys.stdout.flush()


def answer(request: Any, result: Any) -> None:
    """Answer a request."""
    say({"jsonrpc": "2.0", "id": request["id"], "result": result})


def refuse(request: Any, code: int, message: str) -> None:
    """Answer a request with an error."""
    say({"jsonrpc": "2.0", "id": request["id"], "error": {"code": code, "message": message}})


def requests() -> Iterator[Any]:
    """What is asked, until standard input ends."""
    for line in sys.stdin:
        yield json.loads(line)


def shake(kind: str) -> Iterator[Any]:
    """Do what every server does, and hand out the requests that are left."""
    for request in requests():
        method = request["method"]
        if method == "initialize" and kind != "modern":
            answer(request, OLD | {"serverInfo": {"name": "n" * 5000, "version": "v" * 5000}} if kind == "boastful" else OLD)
        elif method == "tools/list" and kind not in ("endless", "wide", "twins", "wrong", "modern"):
            answer(request, {"tools": [TOOL]})
        elif "id" in request:
            yield request


def silent(request: Any) -> None:
    """Never answer a call."""


def huge(request: Any) -> None:
    """Answer with more than anyone can want."""
    answer(request, {"content": [{"type": "text", "text": "x" * 3_000_000}]})


def unended(request: Any) -> None:
    """A line without an end."""
    while True:
        sys.stdout.write("x" * 65536)
        sys.stdout.flush()


def garbled(request: Any) -> None:
    """Something that begins like a message."""
    say('{"jsonrpc": "2.0", "id": ')


def deep(request: Any) -> None:
    """Nested too deeply for any parser."""
    text = "[" * 5000 + "]" * 5000
    say(f'{{"jsonrpc":"2.0","id":{request["id"]},"result":{{"content":[],"structuredContent":{{"a":{text}}}}}}}')


def malformed(request: Any) -> None:
    """An answer that is not MCP's."""
    answer(request, {"content": "text"})


def broken(request: Any) -> None:
    """An error of the protocol with the very code that the SDK uses for the end of a connection."""
    refuse(request, -32000, "the disk is full")


def chatter(request: Any) -> None:
    """Say things without end, and never the answer."""
    while True:
        say({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": "blah"}})


def talkative(request: Any) -> None:
    """Logs on standard output, much on standard error, odd progress; and an answer after all."""
    say("I am about to answer.")
    say({"level": "info", "msg": 'a line of a structured log that quotes {"jsonrpc": "2.0"}'})
    say("{not even this}")
    sys.stderr.write("e" * 5_000_000)
    sys.stderr.flush()
    token = request["params"].get("_meta", {}).get("progressToken")
    say(
        f'{{"jsonrpc":"2.0","method":"notifications/progress",'
        f'"params":{{"progressToken":{json.dumps(token)},"progress":NaN,"message":"odd"}}}}'
    )
    say({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": {"a": "y" * 10_000}}})
    answer(request, {"content": [{"type": "text", "text": "here"}], "structuredContent": {"pi": float("nan")}})


def endless(request: Any) -> None:
    """A list with always one more page."""
    if request["method"] == "tools/list":
        cursor = request.get("params", {}).get("cursor") or "0"
        answer(request, {"tools": [TOOL | {"name": f"go{cursor}"}], "nextCursor": str(int(cursor) + 1)})


def wide(request: Any) -> None:
    """A list with very many tools."""
    if request["method"] == "tools/list":
        answer(request, {"tools": [TOOL | {"name": f"go{number}"} for number in range(2500)]})


def twins(request: Any) -> None:
    """Two tools of one name, and one that takes nothing."""
    if request["method"] == "tools/list":
        odd = {"type": "object", "additionalProperties": False}
        answer(request, {"tools": [TOOL, TOOL | {"description": "the other"}, TOOL | {"name": "odd", "inputSchema": odd}]})
    else:
        answer(request, {"content": [{"type": "text", "text": "done"}]})


def wrong(request: Any) -> None:
    """A tool whose schema is none."""
    if request["method"] == "tools/list":
        answer(request, {"tools": [TOOL | {"inputSchema": {"type": "object", "required": "yes"}}]})


def boastful(request: Any) -> None:
    """A server with a very long name."""


def asking(request: Any) -> None:
    """Ask back before answering."""
    ask = {"messages": [{"role": "user", "content": {"type": "text", "text": "?"}}], "maxTokens": 5}
    say({"jsonrpc": "2.0", "id": "q1", "method": "sampling/createMessage", "params": ask})
    said = next(requests())
    answer(request, {"content": [{"type": "text", "text": said["error"]["message"]}]})


_changes = itertools.count()


def modern(request: Any) -> None:
    """A server that knows the revision of 2026 alone: no handshake."""
    method = request["method"]
    if method == "server/discover":
        answer(request, NEW)
    elif method == "tools/list":
        names = ["go", "other"] if next(_changes) else ["go"]
        answer(
            request,
            {
                "tools": [TOOL | {"name": name} for name in names],
                "resultType": "complete",
                "ttlMs": 0,
                "cacheScope": "public",
            },
        )
    elif method == "subscriptions/listen":
        meta = {"io.modelcontextprotocol/subscriptionId": request["id"]}
        acknowledged = {"notifications": {"toolsListChanged": True}, "_meta": meta}
        say({"jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged", "params": acknowledged})
        _listening.append(meta)
    elif method == "tools/call":
        if request["params"]["name"] == "other":
            answer(request, {"inputRequests": {}, "resultType": "input_required", "requestState": "x"})
            return
        for meta in _listening:
            say({"jsonrpc": "2.0", "method": "notifications/tools/list_changed", "params": {"_meta": meta}})
        answer(request, {"content": [{"type": "text", "text": "new"}], "resultType": "complete"})
    else:
        refuse(request, -32601, f"Method not found: {method}")


_listening: list[Any] = []


def stubborn() -> None:
    """Neither the end of standard input nor SIGTERM ends it."""
    import signal

    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    for request in shake("stubborn"):
        answer(request, {"content": [{"type": "text", "text": "still here"}]})
    time.sleep(600)


def mute() -> None:
    """Never says anything."""
    time.sleep(600)


def deaf() -> None:
    """Answers the handshake and then reads no more."""
    seen = iter(requests())
    answer(next(seen), OLD)
    next(seen)
    answer(next(seen), {"tools": [TOOL]})
    threading.Event().wait(600)


def early() -> None:
    """Ends with a message before the handshake."""
    sys.stderr.write("no licence found\n")
    sys.exit(7)


def main(name: str) -> None:
    """Behave as named."""
    if name in ("stubborn", "mute", "deaf", "early"):
        globals()[name]()
        return
    for request in shake(name):
        globals()[name](request)


if __name__ == "__main__":
    main(sys.argv[1])
