"""Protocol v2, as JSON and as MessagePack."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import msgpack

from tests.fuzz import judge
from tests.fuzz.messages import action, plain
from tests.fuzz.plan import Check, Request, V2Talk, slot
from tests.fuzz.values import Hostile

__all__ = ["V2Dialect"]

Asked = tuple[dict[str, Any], Check]


def answer(reply: Any) -> str | None:
    """What is wrong with an answer, whatever was asked."""
    if not isinstance(reply, dict) or "id" not in reply or ("ok" in reply) == ("error" in reply):
        return "an answer has an id, and ok or error"
    if set(reply) - {"id", "session", "ok", "error", "last", "entry"}:
        return f"an answer has none of {set(reply)}"
    return judge.error_of(reply["error"]) if "error" in reply else None


def ok(read: Any, expected: Any) -> Check:
    """It went well, and this is found in ``ok``."""
    return judge.answered(lambda reply: read(reply["ok"]), expected, answer)


def refused(*codes: str) -> Check:
    """It is refused with one of these codes."""

    def check(reply: Any) -> str | None:
        wrong = answer(reply)
        code = reply.get("error", {}).get("code")
        return wrong or (None if code in codes else f"expected {' or '.join(codes)}, not {code}")

    return check


class V2Dialect:
    """Many sessions on a connection, and answers in any order."""

    share = 4.0
    targets = ("thread", "async", "tool")

    def conversation(self, rng: Random, target: str) -> V2Talk:
        """Requests in any order, in bursts, some of them spoilt."""
        maker = _Maker(rng, target)
        requests = [maker.request() for _ in range(rng.choice((1, 3, 10, 25, 50)))]
        bursts: list[int] = []
        room = 0
        for request in requests:
            room += 1
            if request.keeps is not None or rng.random() < 0.4 or room == 30:
                bursts.append(room)
                room = 0
        talk = V2Talk(maker.binary, requests, [*bursts, room] if room else bursts)
        talk.ending = rng.choice(("farewell", "reset", "fin", "unread"))
        return talk


class _Maker:
    """Makes the requests of one connection, and knows which sessions it has."""

    def __init__(self, rng: Random, target: str) -> None:
        self.rng = rng
        self.target = target
        self.binary = rng.random() < 0.4
        self.hostile = Hostile(rng)
        self.number = 1000
        self.alive: set[int] = set()
        self.wild = False
        """Whether a spoilt request may have changed what is alive, or used up ids: then nothing is known for sure."""

    def request(self) -> Request:
        rng = self.rng
        self.number += rng.choice((1, 1, 1, 5))
        if not self.alive and not self.wild:
            self.alive.add(0)
            message = {"id": self.number, "op": "open"}
            return self._request(message, ok(lambda found: len(found["sessions"]), 1), keeps=(0, "sessions"))
        message, check = self._good()
        message = {"id": self.number} | message
        if rng.random() < 0.5:
            return self._spoilt(message)
        if rng.random() < 0.05:
            message["deadline_ms"], check = rng.choice((1, 10_000)), answer
        if rng.random() < 0.1 and "session" in message:
            message["ack"] = rng.choice((0, self.number - 1))
        return self._request(message, answer if self.wild else check)

    def _request(self, message: dict[str, Any], check: Check, keeps: tuple[int, str] | None = None) -> Request:
        payload = _packed(message) if self.binary else json.dumps(message).encode()
        return Request(payload, json.dumps(message), self.number, True, check, keeps)

    def _spoilt(self, message: dict[str, Any]) -> Request:
        rng = self.rng
        fault = self.hostile.spoilt(message)
        self.wild = (
            self.wild or message["op"] in ("close", "detach", "attach", "restore", "open") or _uses_an_id(fault, self.number)
        )
        text = self.hostile.written(fault)
        if not self.binary:
            return Request(text.encode(), text, self.number, False, answer)
        try:
            payload = _packed(json.loads(text))
        except (ValueError, RecursionError, OverflowError):
            payload = _packed(message)
            at = rng.randrange(len(payload))
            payload = rng.choice((payload[:at], payload[:at] + rng.randbytes(2) + payload[at + 1 :], rng.randbytes(10), b"\xc1"))
            self.wild = True
        return Request(payload, f"as MessagePack: {payload!r}", self.number, False, answer)

    def _good(self) -> Asked:
        """Something that makes sense, most of the time."""
        rng = self.rng
        session = {"session": slot(0)}
        kind = rng.choice(_KINDS)
        if kind == "step":
            made, read, expected = action(rng, self.target)
            return {"op": "step", **session, "data": made}, ok(lambda found: read(found["observation"]), expected)
        if kind == "boom":
            if self.target == "tool":
                return {"op": "call_tool", **session, "data": {"name": "things_break"}}, answer
            return {"op": "step", **session, "data": {"text": "boom"}}, refused("EXECUTION_ERROR")
        if kind == "batch":
            made, read, expected = action(rng, self.target)
            entries = [{"session": slot(0), "action": made}]
            check = ok(lambda found: read(found["results"][0]["ok"]["observation"]), expected)
            return {"op": "batch", "data": {"entries": entries}}, check
        if kind == "call_tool":
            value = plain(rng)
            data = {"name": "things_say", "arguments": {"anything": value}}
            good = ok(lambda found: found["tool"]["result"], value) if self.target == "tool" else refused("UNSUPPORTED")
            return {"op": "call_tool", **session, "data": data}, good
        if kind == "fork":
            good = ok(lambda found: len(found["sessions"]), 1) if self.target == "thread" else refused("UNSUPPORTED")
            return {"op": "fork", **session, "data": {"count": 1}}, good
        if kind == "stranger":
            return {"op": "state", "session": rng.choice(("", "x", slot(9)))}, refused("SESSION_ERROR")
        return dict(_PLAIN[kind]) | ({} if kind in ("ping", "events", "unknown") else session), _PLAIN_CHECKS.get(kind, answer)


def _packed(message: Any) -> bytes:
    packed: Any = msgpack.packb(message, unicode_errors="surrogatepass")
    return bytes(packed)


def _uses_an_id(message: Any, own: int) -> bool:
    """Whether a spoilt request may be taken for one with a higher id, after which ours are too low."""
    found = message.get("id") if isinstance(message, dict) else None
    return not isinstance(message, dict) or found != own


_PLAIN: dict[str, dict[str, Any]] = {
    "reset": {"op": "reset", "data": {"seed": 3}},
    "state": {"op": "state"},
    "ping": {"op": "ping"},
    "list_tools": {"op": "list_tools"},
    "cancel": {"op": "cancel", "data": {"id": 1000}},
    "snapshot": {"op": "snapshot"},
    "restore": {"op": "restore", "data": {"snapshot": "nothing:1"}},
    "events": {"op": "subscribe", "data": {"events": ["session_closed"]}},
    "unknown": {"op": "jump"},
    "attach": {"op": "attach"},
}
_PLAIN_CHECKS: dict[str, Check] = {
    "reset": ok(lambda found: (found["done"], bool(found["episode_id"])), (False, True)),
    "state": ok(lambda found: type(found["state"]), dict),
    "ping": ok(lambda found: found, {}),
    "unknown": refused("UNKNOWN_TYPE"),
}
_KINDS = ["step"] * 8 + ["batch", "call_tool", "boom", "fork", "stranger", *_PLAIN, "reset", "state"]
