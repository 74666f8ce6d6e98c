"""The ways in which a session comes and goes."""

from __future__ import annotations

import json
import struct
from typing import Any

from tests.fuzz.wire import CLOSE, WebSocket, frame
from tests.soak.client import REFUSED, Client, Unlike, Way
from tests.soak.v2_ways import V2_WAYS

__all__ = ["APART", "WAYS"]


def step(tool: str) -> dict[str, Any]:
    return {"type": "step", "data": {"type": "call_tool", "tool_name": tool, "arguments": {}}}


async def _played(client: Client, socket: WebSocket) -> bool:
    """Reset and step; False when the server has no place. The socket is at its end then."""
    await socket.send(frame(b'{"type":"reset"}', rng=client.rng))
    opcode, payload = await socket.receive()
    answer = json.loads(payload) if opcode == 1 else {}
    if answer.get("type") == "error" and answer["data"]["code"] == "CAPACITY_REACHED":
        socket.abort()
        return False
    if answer.get("type") != "observation":
        raise Unlike(f"a reset was answered with {opcode} {payload[:200]!r}")
    for number in range(1, client.rng.randrange(1, 4)):
        seen = await client.ask(socket, step("add"))
        if seen["data"]["observation"]["result"] != number:
            raise Unlike(f"step {number} was answered with {seen}")
    return True


async def asked_to_close(client: Client) -> str:
    """``{"type": "close"}``, and the server's close."""
    socket = await client.open()
    if not await _played(client, socket):
        return REFUSED
    await socket.send(frame(b'{"type":"close"}', rng=client.rng))
    opcode, payload = await socket.receive()
    if (opcode, payload[:2]) != (CLOSE, struct.pack("!H", 1000)):
        raise Unlike(f"a close was answered with {opcode} {payload!r}")
    await socket.close()
    return "closed"


async def farewell(client: Client) -> str:
    """The client closes the WebSocket."""
    socket = await client.open()
    if not await _played(client, socket):
        return REFUSED
    await socket.send(frame(struct.pack("!H", 1001), CLOSE, rng=client.rng))
    await socket.ended()
    await socket.close()
    return "closed"


async def dropped(client: Client) -> str:
    """TCP ends, with FIN or RST."""
    socket = await client.open()
    if not await _played(client, socket):
        return REFUSED
    socket.abort(reset=client.rng.random() < 0.5)
    return "dropped"


async def killed_in_a_step(client: Client) -> str:
    """The client vanishes while a step runs, and others wait for their turn."""
    socket = await client.open()
    if not await _played(client, socket):
        return REFUSED
    await socket.send(frame(json.dumps(step("linger")).encode(), rng=client.rng) * client.rng.randrange(1, 4))
    socket.abort()
    return "killed"


async def crashed(client: Client) -> str:
    """A step that raises; the session goes on, and ends with its socket."""
    socket = await client.open()
    if not await _played(client, socket):
        return REFUSED
    seen = await client.ask(socket, step("fail"))
    if seen["data"]["observation"]["error"] is None:
        raise Unlike(f"a failing step was answered with {seen}")
    socket.abort(reset=False)
    return "crashed"


async def died(client: Client) -> str:
    """A step that takes its process with it."""
    socket = await client.open()
    if not await _played(client, socket):
        return REFUSED
    seen = await client.ask(socket, step("vanish"))
    if seen.get("data", {}).get("code") != "WORKER_CRASHED":
        raise Unlike(f"a step that ends its process was answered with {seen}")
    socket.abort(reset=False)
    return "died"


async def no_factory(client: Client) -> str:
    """The factory raises: there is no session."""
    if client.rng.random() < 0.5:
        answer = await client.request("POST", "/sessions?fail=1")
        code = json.loads(answer.body)["error"]["code"]
    else:
        socket = await client.open("/ws?fail=1")
        code = json.loads((await socket.receive())[1])["data"]["code"]
        socket.abort()
    if code not in ("FACTORY_ERROR", "CAPACITY_REACHED"):
        raise Unlike(f"a failing factory was answered with {code}")
    return REFUSED


async def stranger(client: Client) -> str:
    """Nobody with a good token."""
    headers = client.rng.choice(({}, {"Authorization": "Bearer wrong"}))
    socket = await client.open(client.rng.choice(("/ws", "/mcp")), headers=headers)
    answer = json.loads((await socket.receive())[1])
    known = answer.get("data") or answer["error"]["data"]
    if known["code"] not in ("UNAUTHENTICATED", "RATE_LIMITED"):
        raise Unlike(f"a stranger was answered with {answer}")
    socket.abort()
    return REFUSED


async def _created(client: Client) -> str | None:
    answer = await client.request("POST", "/sessions")
    if answer.status == 503:
        return None
    if answer.status != 201:
        raise Unlike(f"POST /sessions was answered with {answer!r}")
    session: str = json.loads(answer.body)["session_id"]
    return session


async def over_http(client: Client) -> str:
    """Made, used and ended over HTTP, or left to its lease."""
    session = await _created(client)
    if session is None:
        return REFUSED
    body = {"action": {"type": "call_tool", "tool_name": "add", "arguments": {}}}
    answer = await client.request("POST", "/step", body, X_Session_ID=session)
    if answer.status not in (200, 404):  # its lease may have run out
        raise Unlike(f"POST /step was answered with {answer!r}")
    if client.rng.random() < 0.5:
        return "lease"
    answer = await client.request("DELETE", f"/sessions/{session}")
    if answer.status not in (200, 404):
        raise Unlike(f"DELETE was answered with {answer!r}")
    return "deleted"


async def attached(client: Client) -> str:
    """Made over HTTP, held by a socket, and left to its lease or ended, before the socket or after it."""
    session = await _created(client)
    if session is None:
        return REFUSED
    socket = await client.open(f"/ws?session_id={session}")
    await socket.send(frame(b'{"type":"state"}', rng=client.rng))
    opcode, payload = await socket.receive()
    if opcode != 1 or (b'"state"' not in payload and b"SESSION_ERROR" not in payload):
        raise Unlike(f"a state was answered with {opcode} {payload[:200]!r}")
    if client.rng.random() < 0.5:
        await client.request("DELETE", f"/sessions/{session}")
    socket.abort(reset=client.rng.random() < 0.5)
    return "attached"


async def over_rpc(client: Client) -> str:
    """On ``WS /mcp``."""
    socket = await client.open("/mcp")
    answer = await client.ask(socket, {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "add"}})
    socket.abort(reset=client.rng.random() < 0.5)
    if answer.get("result", {}).get("data") == 1:
        return "rpc"
    if answer.get("error", {}).get("code") != -32000:
        raise Unlike(f"a call was answered with {answer}")
    return REFUSED


async def over_mcp(client: Client) -> str:
    """Standard MCP with a handshake; ended by the client or by its lease."""
    client_info = {"name": "soak", "version": "1"}
    params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client_info}
    hello = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}
    types = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
    answer = await client.request("POST", "/mcp", hello, **types)
    if answer.status == 503:
        return REFUSED
    session = answer.headers.get("mcp-session-id")
    if answer.status != 200 or session is None:
        raise Unlike(f"initialize was answered with {answer!r}")
    if client.rng.random() < 0.5:
        await client.request("DELETE", "/mcp", None, **types, Mcp_Session_Id=session, MCP_Protocol_Version="2025-11-25")
    return "mcp"


WAYS: dict[str, tuple[float, Way]] = {
    "asked to close": (20, asked_to_close),
    "farewell": (15, farewell),
    "dropped": (20, dropped),
    "killed in a step": (8, killed_in_a_step),
    "crashed": (4, crashed),
    "no factory": (3, no_factory),
    "stranger": (4, stranger),
    "over HTTP": (8, over_http),
    "attached": (6, attached),
    "over RPC": (10, over_rpc),
    "over MCP": (1.5, over_mcp),
    **V2_WAYS,
}
"""By name: how often, beside the others, and how."""

APART: dict[str, tuple[float, Way]] = {**WAYS, "died": (5, died)}
"""Those of worlds in worker processes."""
