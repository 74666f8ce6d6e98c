"""What nobody should send: values, and ways to spoil a good message."""

from __future__ import annotations

import json
from copy import deepcopy
from random import Random
from typing import Any

__all__ = ["Hostile", "Pairs", "Verbatim", "write"]


class Verbatim(str):
    """A piece of JSON text that is written as it is, right or wrong."""


class Pairs(list[tuple[str, Any]]):
    """An object that may have a key twice."""


_LITERALS = [
    "NaN", "Infinity", "-Infinity", "1e400", "-1e400", "-0", "0.1e-400", "9" * 400, "9" * 5000, "-" + "9" * 30, "1" + "0" * 20,
    '"\\ud800"', '"\\udc00\\ud800"', '"\\ud83d\\ude00"', '{"\\ud800":1}', '"\\u0000"', '{"a":1,"a":2}', '{"":{"":{}}}',
    "01", "0x1", "'a'", "", "tru", "nul", "1.", ".5", "+1", '"\x00"', '"\t"', "undefined", "[1,]", '{"a":1,}', "/**/1", '"',
]  # fmt: skip
_TEXTS = [
    "", " ", "a", "ü", "\U0001f600", "\x00", "\x7f", "\n", "null", "0", "-1", "true", "[]", "{}", "__class__", "self", "../..",
    "%00", "'; DROP TABLE notes; --", "\\", '"', "<script>", "\u202e", "\ufeff", "e\u0301", "a" * 256, "x" * 5000, "${jndi:x}",
]  # fmt: skip
_NUMBERS = [0, 1, -1, 2, 255, 2**31, 2**32, 2**53 + 1, 2**63, 2**64, -(2**63), 10**20, 0.5, -0.0, 1e308, 5e-324, 3.0]
_KEYS = [
    "type", "action", "data", "text", "seed", "episode_id", "jsonrpc", "method", "params", "id", "name", "arguments",
    "session_id", "metadata", "extra", "", "self", "context", "__proto__", "timeout_s",
    "request_id", "query", "verifiers", "at", "tool_name",
]  # fmt: skip
_WORDS = [
    "reset", "step", "state", "mcp", "tools/list", "tools/call", "openenv/session/create", "2.0", "1.0", "list_tools",
    "call_tool", "observation", "error", "default", "main", "train", "final", "ping", "initialized",
]  # fmt: skip


class Hostile:
    """Makes values of one source of chance."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng

    def text(self) -> str:
        """A text that a program may stumble over; sometimes one that it knows."""
        rng = self.rng
        chosen = rng.random()
        if chosen < 0.5:
            return rng.choice(_TEXTS)
        if chosen < 0.7:
            return rng.choice(_WORDS)
        return "".join(chr(rng.choice((rng.randrange(32, 127), rng.randrange(0xD800), 0x1F600))) for _ in range(rng.randrange(9)))

    def leaf(self) -> Any:
        """A value without parts."""
        rng = self.rng
        chosen = rng.random()
        if chosen < 0.25:
            return self.text()
        if chosen < 0.45:
            return rng.choice(_NUMBERS)
        if chosen < 0.6:
            return rng.choice((None, True, False))
        if chosen < 0.9:
            return Verbatim(rng.choice(_LITERALS))
        return Verbatim(self.nested())

    def nested(self) -> str:
        """JSON that is deeper than people write; rarely, deeper than any parser reads."""
        rng = self.rng
        depth = rng.choice((3, 50, 150, 190, 199, 200, 201, 210, 255, 260, 1000, 1000, 20_000))
        opens, closes = rng.choice((("[", "]"), ('{"a":', "}"), ('[{"a":', "}]")))
        return opens * depth + "1" + closes * (depth if rng.random() < 0.9 else depth - 1)

    def value(self, depth: int = 3) -> Any:
        """Any value."""
        rng = self.rng
        chosen = rng.random() if depth else 0.0
        if chosen < 0.6:
            return self.leaf()
        if chosen < 0.8:
            return [self.value(depth - 1) for _ in range(rng.randrange(4))]
        made = [(self.key(), self.value(depth - 1)) for _ in range(rng.randrange(4))]
        return Pairs(made) if chosen > 0.95 else dict(made)

    def key(self) -> str:
        """A name of a field: a known one, mostly."""
        return self.rng.choice(_KEYS) if self.rng.random() < 0.8 else self.text()

    def spoilt(self, message: Any) -> Any:
        """A copy of a message with one to three faults."""
        message = deepcopy(message)
        for _ in range(self.rng.choice((1, 1, 1, 2, 3))):
            message = self._with_fault(message)
        return message

    def _with_fault(self, message: Any) -> Any:
        rng = self.rng
        places = [place for place in _places(message) if place]
        if not places or rng.random() < 0.03:
            return rng.choice((self.value(), [message], {"data": message}))
        place = rng.choice(places)
        holder: Any = message
        for part in place[:-1]:
            holder = holder[part]
        last = place[-1]
        fault = rng.randrange(7)
        if fault == 0:
            del holder[last]
        elif fault == 1:
            holder[last] = [holder[last]]
        elif fault == 2 and isinstance(holder, dict):
            holder[self.key()] = self.value(1)
        elif fault == 3 and isinstance(holder, dict):
            holder[self.key()] = holder.pop(last)
        elif fault == 4:
            holder[last] = str(holder[last])
        else:
            holder[last] = self.value(2)
        return message

    def written(self, message: Any) -> str:
        """A message as JSON, one time in eight with a fault of its text."""
        text = write(message)
        return self.garbled(text) if self.rng.random() < 0.125 else text

    def garbled(self, text: str) -> str:
        """A text with one fault that no structure has."""
        rng = self.rng
        at = rng.randrange(len(text) + 1)
        fault = rng.randrange(7)
        if fault == 0:
            return text[:at]
        if fault == 1:
            return text[:at] + rng.choice(_TEXTS + _LITERALS) + text[at:]
        if fault == 2:
            return text[:at] + text[at + 1 :]
        if fault == 3:
            return text + rng.choice(("x", "{}", text[:200], "\x00", " \n"))
        if fault == 4:
            return "\ufeff" + text
        if fault == 5:
            return " \r\n\t" + text.replace(",", " ,\n").replace(":", "\t: ")
        return text.replace('"', "'")


def write(value: Any) -> str:
    """JSON of what Python's own writer takes, of `Verbatim` and of `Pairs`."""
    if isinstance(value, Verbatim):
        return str(value)
    if isinstance(value, Pairs):
        return "{" + ",".join(f"{json.dumps(key)}:{write(one)}" for key, one in value) + "}"
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(key)}:{write(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(write, value)) + "]"
    return json.dumps(value)


def _places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a message, from the root."""
    found = [at]
    parts: Any = ()
    if isinstance(value, dict):
        parts = value.items()
    elif isinstance(value, list) and not isinstance(value, Pairs):
        parts = enumerate(value)
    for key, one in parts:
        found += _places(one, (*at, key))
    return found
