"""An agent that takes the token of its own socket and tries what else it opens."""

from __future__ import annotations

import json
from typing import Any

import httpx

from openenv.client import ToolClient
from openenv.evaluation import Task, ToolAccess


async def thief(task: Task, env: ToolAccess) -> str | None:
    """Say what every route of the server answered."""
    client: ToolClient = vars(env)["_client"]
    await env.call("books_count", {"shelf": "poems"})
    held = dict(client._headers)
    session = client.session_id
    asked: list[tuple[str, str, Any]] = [
        ("POST", f"/sessions/{session}/verify", {}),
        ("POST", f"/sessions/{session}/sql", {"query": "SELECT 1"}),
        ("GET", f"/sessions/{session}/database", None),
        ("POST", f"/sessions/{session}/tokens", {}),
        ("DELETE", f"/sessions/{session}", None),
        ("GET", f"/sessions/{session}", None),
        ("GET", "/sessions", None),
        ("POST", "/sessions", None),
        ("GET", "/metrics", None),
        ("POST", "/reset", {}),
    ]
    async with httpx.AsyncClient(base_url=client.base_url, headers=held) as http:
        found = {f"{method} {path}": (await http.request(method, path, json=body)).status_code for method, path, body in asked}
        own = await http.get("/state", headers={"x-session-id": str(session)})
    return json.dumps({"token": held.get("authorization"), "refused": found, "own": own.status_code})
