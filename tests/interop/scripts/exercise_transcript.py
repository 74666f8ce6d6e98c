"""A transcript of what was called and what came of it, in a form that two interpreters can be compared by."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import time
from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener
from uuid import UUID

from pydantic import BaseModel

__all__ = ["Transcript", "wait_for_seats"]

_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_HEADERS = ("x-shop", "access-control", "location")
_SCHEMA_KEYS = frozenset({"$ref", "anyOf", "const", "enum", "properties", "title", "type"})


class _NoRedirects(HTTPRedirectHandler):
    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        """Let a redirect be seen as what it is."""


_opener = build_opener(ProxyHandler({}), _NoRedirects())


class Transcript:
    """What happened, by names that say what was asked."""

    def __init__(self) -> None:
        self.entries: dict[str, Any] = {}

    def note(self, name: str, value: Any) -> Any:
        """Keep a value under a name that is new."""
        if name in self.entries:
            raise ValueError(f"there is an entry {name!r} already")
        self.entries[name] = plain(value)
        return value

    def call(self, name: str, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call, and note the value or the error; an error is returned too."""
        try:
            value = function(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 - it is what is looked for
            return self._failed(name, error)
        return self.note(name, value)

    async def wait(self, name: str, awaitable: Any) -> Any:
        """The same for what is to be awaited."""
        try:
            value = await awaitable
        except Exception as error:  # noqa: BLE001 - it is what is looked for
            return self._failed(name, error)
        return self.note(name, value)

    def http(self, name: str, method: str, url: str, body: Any = None, **headers: str) -> Any:
        """A request; its status, body and, of its headers, those that say something."""
        return self.note(name, self.asked(method, url, body, **headers))

    def asked(self, method: str, url: str, body: Any = None, **headers: str) -> dict[str, Any]:
        """The same, not noted."""
        sent = {key.replace("_", "-"): value for key, value in headers.items()}
        data = None if body is None else json.dumps(body).encode()
        request = Request(url, data=data, method=method, headers={"content-type": "application/json", **sent})
        try:
            with _opener.open(request, timeout=20) as answer:
                return _answer(answer.status, answer.read().decode(), answer.headers)
        except HTTPError as error:
            with error:
                return _answer(error.code, error.read().decode(), error.headers)

    def finished(self) -> dict[str, Any]:
        """Every entry, with names for the ids that somebody made up, by order of appearance."""
        found: list[str] = []

        def hidden(match: re.Match[str]) -> str:
            if match[0] not in found:
                found.append(match[0])
            return f"<id {found.index(match[0]) + 1}>"

        entries: dict[str, Any] = json.loads(_ID.sub(hidden, json.dumps(self.entries)))
        return entries

    def _failed(self, name: str, error: Exception) -> Exception:
        kind = next(base.__name__ for base in type(error).__mro__ if base.__module__ == "builtins")
        self.entries[name] = {"raised": kind, "text": _without_links(str(error))}
        return error


def wait_for_seats(url: str, count: int) -> None:
    """Return once so many sessions can be opened: those that were closed a moment ago may still hold a seat."""

    def ask(method: str, **params: str) -> Any:
        body = {"jsonrpc": "2.0", "id": 1, "method": f"openenv/session/{method}", "params": params}
        return Transcript().asked("POST", f"{url}/mcp", body)["body"].get("result")

    deadline = time.monotonic() + 20
    taken: list[str] = []
    while len(taken) < count:
        if made := ask("create"):
            taken.append(made["session_id"])
        elif time.monotonic() > deadline:
            raise TimeoutError(f"{url} has no {count} seats")
        else:
            time.sleep(0.02)
    for session_id in taken:
        ask("close", session_id=session_id)


def plain(value: Any) -> Any:
    """A value as JSON that keeps the class of models and tells true, 1 and 1.0 apart."""
    if isinstance(value, BaseModel):
        return {"class": type(value).__name__} | {name: plain(one) for name, one in dict(value).items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
        return {"class": type(value).__name__} | fields
    if isinstance(value, Enum):
        return plain(value.value)
    if isinstance(value, dict):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (set, frozenset)):
        return sorted(plain(one) for one in value)
    if isinstance(value, (date, timedelta, Decimal, UUID)):
        return f"{type(value).__name__} {value}"
    return f"<{type(value).__name__}>"


def _answer(status: int, text: str, headers: Any) -> dict[str, Any]:
    kept = {name.lower(): value for name, value in headers.items() if name.lower().startswith(_HEADERS)}
    kind = headers.get("content-type", "").split(";")[0]
    try:
        body = _without_texts(json.loads(text))
    except ValueError:
        body = "<html>" if kind == "text/html" else text
    return {"status": status, "type": kind, "headers": kept, "body": body}


def _without_texts(value: Any) -> Any:
    """Without the texts of pydantic's errors and of JSON Schemas' descriptions."""
    if isinstance(value, list):
        return [_without_texts(one) for one in value]
    if not isinstance(value, dict):
        return value
    left_out: set[str] = set()
    if "loc" in value and "type" in value:
        left_out = {"msg", "url", "ctx"}
    elif "name" not in value and _SCHEMA_KEYS & value.keys() and isinstance(value.get("description"), str):
        left_out = {"description"}
    return {key: _without_texts(one) for key, one in value.items() if key not in left_out}


def _without_links(text: str) -> str:
    return re.sub(r"127\.0\.0\.1:\d+", "<host>", text)
