"""Exchanges with a server, written as data, and what came of them in a form that two servers can be compared by.

Ids that a server makes up are replaced by their order of appearance. The texts of pydantic's errors and the
descriptions in JSON Schemas are left out: they are no part of the protocol.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

__all__ = ["Http", "Socket", "perform_all"]

_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_HEADERS = ("content-type", "allow", "location")
_SCHEMA_KEYS = frozenset({"$ref", "anyOf", "const", "enum", "properties", "title", "type"})


@dataclass(frozen=True)
class Http:
    """One request. ``body`` goes as JSON, ``raw`` as it is."""

    name: str
    method: str
    path: str
    body: Any = None
    raw: bytes | None = None


@dataclass(frozen=True)
class Socket:
    """A socket's life: frames, each sent when the one before was answered; a dict goes as JSON, bytes as a binary frame.

    ``{"$http": [method, path, body]}`` makes a request in between. ``$1`` in a text stands for the first id that came.
    """

    name: str
    path: str
    frames: list[Any] = field(default_factory=list)
    pipelined: bool = False
    first: list[Any] = field(default_factory=list)
    """Requests before the socket is opened."""


class Ids:
    """Names for the ids that a server made up."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def hide(self, text: str) -> str:
        def name(match: re.Match[str]) -> str:
            if match[0] not in self.found:
                self.found.append(match[0])
            return f"<id {self.found.index(match[0]) + 1}>"

        return _ID.sub(name, text)

    def fill(self, text: str) -> str:
        for number, one in enumerate(self.found, start=1):
            text = text.replace(f"${number}", one)
        return text


async def perform_all(exchanges: Sequence[Http | Socket], base_url: str) -> dict[str, list[Any]]:
    """What the server answered to each exchange, one entry a request or frame."""
    async with httpx.AsyncClient(base_url=base_url, trust_env=False, verify=False, timeout=20) as client:
        return {exchange.name: await _perform(client, exchange, base_url) for exchange in exchanges}


async def _perform(client: httpx.AsyncClient, exchange: Http | Socket, base_url: str) -> list[Any]:
    ids = Ids()
    if isinstance(exchange, Http):
        return [await _request(client, ids, exchange.method, exchange.path, exchange.body, exchange.raw)]
    seen = [await _request(client, ids, *one) for one in exchange.first]
    return seen + await _converse(client, ids, exchange, base_url)


async def _request(
    client: httpx.AsyncClient, ids: Ids, method: str, path: str, body: Any = None, raw: bytes | None = None
) -> dict[str, Any]:
    path = ids.fill(path)
    content = raw if raw is not None or body is None else ids.fill(json.dumps(body)).encode()
    headers = {"connection": "close"} | ({"content-type": "application/json"} if content is not None else {})
    answer = await client.request(method, path, content=content, headers=headers)
    return {
        "status": answer.status_code,
        "headers": {name: answer.headers[name] for name in _HEADERS if name in answer.headers},
        "body": _read(ids.hide(answer.text)),
    }


async def _converse(client: httpx.AsyncClient, ids: Ids, exchange: Socket, base_url: str) -> list[Any]:
    url = base_url.replace("http", "ws", 1) + ids.fill(exchange.path)
    seen: list[Any] = []
    try:
        async with connect(url, proxy=None, compression=None, max_size=None) as socket:
            try:
                if exchange.pipelined:
                    for frame in exchange.frames:
                        await socket.send(_written(frame, ids))
                    seen += [_read(ids.hide(await _received(socket))) for _ in exchange.frames]
                else:
                    for frame in exchange.frames or [None]:
                        if isinstance(frame, dict) and "$http" in frame:
                            seen.append(await _request(client, ids, *frame["$http"]))
                            continue
                        if frame is not None:
                            await socket.send(_written(frame, ids))
                        seen.append(_read(ids.hide(await _received(socket))))
            except ConnectionClosed as closed:
                seen.append({"closed": closed.rcvd.code if closed.rcvd else None})
    except InvalidStatus as refused:
        seen.append({"refused": refused.response.status_code})
    return seen


async def _received(socket: Any) -> str:
    frame = await socket.recv()
    assert isinstance(frame, str), "the protocol has text frames only"
    return frame


def _written(frame: Any, ids: Ids) -> str | bytes:
    if isinstance(frame, bytes):
        return frame
    return ids.fill(frame if isinstance(frame, str) else json.dumps(frame))


def _read(text: str) -> Any:
    try:
        return _without_texts(json.loads(text))
    except ValueError:
        return {"text": text}


def _without_texts(value: Any) -> Any:
    """Without the texts of pydantic's errors and of JSON Schemas' descriptions."""
    if isinstance(value, list):
        return [_without_texts(one) for one in value]
    if not isinstance(value, dict):
        return value
    left_out: set[str] = set()
    if "loc" in value and "type" in value:
        left_out = {"msg", "url"}
    elif "name" not in value and _SCHEMA_KEYS & value.keys() and isinstance(value.get("description"), str):
        left_out = {"description"}
    return {key: _without_texts(one) for key, one in value.items() if key not in left_out}
