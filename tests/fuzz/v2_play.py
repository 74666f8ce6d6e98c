"""Plays conversations of protocol v2, and proves that everything in them was done once."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections import defaultdict
from dataclasses import replace
from typing import Any

import msgpack

from tests.fuzz.judge import error_of
from tests.fuzz.plan import Wrong, slot
from tests.fuzz.target import counted
from tests.fuzz.v2_line import Line, Outcome, Sent
from tests.fuzz.v2_plan import Effect, Then, V2Say, V2Talk, image_slot
from tests.fuzz.wire import BINARY, CONTINUATION, TEXT, WebSocket, frame

__all__ = ["V2Player"]

EVENTS = {"tools_changed", "session_ended", "session_taken", "environment", "progress", "log", "step", "draining"}
_AUDIT = 2
"""The line of the look afterwards."""


class V2Player:
    """Plays one conversation."""

    def __init__(self, port: int, names: dict[bytes, bytes], step: list[str], patience_s: float) -> None:
        self.port = port
        self.names = names
        self.step = step
        self.patience_s = patience_s
        self.images: dict[int, Any] = {}
        self.order: list[Sent] = []
        self.outcomes: dict[tuple[str, int, str], Outcome] = {}
        self.binary = False
        self.opcode = TEXT
        self._lines: dict[int, Line] = {}
        self._lost: dict[int, list[Sent]] = defaultdict(list)

    def leave(self) -> None:
        """Abort what is still open."""
        for line in self._lines.values():
            line.reading.cancel()
            line.socket.abort()

    def name(self, number: int) -> str:
        """The session in a slot, or the placeholder where there is none."""
        placeholder = slot(number)
        return self.names.get(placeholder.encode(), placeholder.encode()).decode()

    async def play(self, talk: V2Talk) -> None:
        self.binary, self.opcode = talk.binary, BINARY if talk.binary else TEXT
        for say in talk.says:
            self.step[0] = say.what
            async with asyncio.timeout(self.patience_s):
                await self._say(say)
        async with asyncio.timeout(self.patience_s):
            for number, line in sorted(self._lines.items()):
                self.step[0] = f"the end of line {number}: {talk.endings[number]}"
                await self._lose(number, line, talk.endings[number])
        async with asyncio.timeout(self.patience_s):
            await self._audit(talk)

    # What is sent ----------------------------------------------------------------------------------------------------

    async def _line(self, number: int) -> Line:
        line = self._lines.get(number)
        if line is not None and line.closed is None:
            return line
        if line is not None:
            raise EOFError(f"the server has closed the connection: {line.closed}")
        protocol = "openenv.v2+msgpack" if self.binary else "openenv.v2"
        socket = await WebSocket.open(self.port, "/ws", headers={"Sec-WebSocket-Protocol": protocol})
        if socket.status != 101:
            raise Wrong("the handshake", f"answered with {socket.status}")
        opcode, payload = await socket.receive()
        hello = self.read(payload) if opcode == self.opcode else {}
        if hello.get("event") != "hello" or hello["data"]["protocol"] != protocol:
            raise Wrong("the handshake", f"no hello came: {opcode} {payload[:300]!r}")
        made = self._lines[number] = Line(socket, self.opcode, self.take)
        return made

    async def _say(self, say: V2Say) -> None:
        if say.attaches:
            await self._resume(say)
            return
        line = await self._line(say.line)
        if say.ends:
            await line.answered()
            data = say.data if say.opcode == CONTINUATION else frame(self._filled(say.data), say.opcode)
            with contextlib.suppress(EOFError):
                await line.socket.send(data)
            await line.reading
            line.check()
            if line.closed is None or line.closed[0] not in say.ends:
                raise Wrong(say.what, f"closed with {line.closed} and not with {sorted(say.ends)}")
            await self._lose(say.line, line, "reset")
            return
        line.listens |= say.listens
        sent = self._sent(say)
        if say.reuses and not any(
            one.say.number == say.number and one.sessions == sent.sessions and not one.unused for one in self.order
        ):
            return
        await self._send(line, sent)
        if say.then == "wait":
            await line.answered()
        elif say.then != "go on":
            await self._lose(say.line, line, say.then)

    async def _send(self, line: Line, sent: Sent) -> None:
        say = sent.say
        sent.order = len(self.order)
        self.order.append(sent)
        line.expect(sent)
        for outcome in sent.outcomes:
            outcome.asked += 1
        with contextlib.suppress(EOFError):  # whoever waits for the answers learns of it
            await line.socket.send(_in_pieces(sent.payload, self.opcode, say.pieces))

    def _sent(self, say: V2Say) -> Sent:
        """The frame with what its slots have now."""
        sessions = [None if one is None else self.name(one) for one in say.sessions]
        keys = [(self.name(one.slot), say.number or 0, one.tag or say.what) for one in say.effects]
        known = [self.outcomes.setdefault(key, Outcome(one, say)) for key, one in zip(keys, say.effects, strict=True)]
        return Sent(say, self._filled(say.data), sessions, known)

    def _filled(self, data: bytes) -> bytes:
        """The message with sessions and images in the places of their slots."""
        if b"session-slot-" in data:
            for placeholder, name in self.names.items():
                data = data.replace(placeholder, name)
        if b"image-slot-" in data:
            for number, image in self.images.items():
                placeholder = image_slot(number).encode()
                if self.binary and isinstance(image, bytes):
                    data = data.replace(b"\xd9\x24" + placeholder, msgpack.packb(image) or b"")
                elif isinstance(image, str):
                    data = data.replace(placeholder, image.encode())
        return data

    async def _lose(self, number: int, line: Line, how: Then) -> None:
        await line.leave(how)
        self._lost[number] += line.unanswered()
        del self._lines[number]

    async def _resume(self, say: V2Say) -> None:
        """Come back, as docs/protocol.md tells clients to."""
        if say.line in self._lines:
            await self._lose(say.line, self._lines[say.line], "reset")
        line = await self._line(say.line)
        lost, self._lost[say.line] = self._lost[say.line], []
        for sent in lost:
            if sent.say.keyed:
                await self._send(line, sent)
                await line.answered()
        for number in say.attaches:
            await self._send(line, self._own("attach", number, line=say.line))
            await line.answered()
        for sent in lost:
            if sent.say.again:
                await self._send(line, sent)

    def _own(self, op: str, number: int, *, line: int = _AUDIT) -> Sent:
        """A request of the player's own, about the session in a slot."""
        message = {"id": 2**52 + len(self.order), "op": op, "session": self.name(number)}
        payload = (msgpack.packb(message) or b"") if self.binary else json.dumps(message).encode()
        say = V2Say(payload, f"the player's own: {message}", line, number=message["id"], sessions=(number,))  # type: ignore[arg-type]
        return self._sent(say)

    # What comes ------------------------------------------------------------------------------------------------------

    def read(self, payload: bytes) -> Any:
        """A message of the server's."""
        if self.binary:
            return msgpack.unpackb(payload)
        return json.loads(payload.decode(), parse_constant=_no_constant)

    def take(self, line: Line, payload: bytes) -> None:
        """Judge an answer or an event."""
        message = self.read(payload)
        what = "whatever it answers"
        wrong: str | None = "a message is an object"
        if isinstance(message, dict):
            if "event" in message:
                wrong = _event(message, line.listens)
            else:
                sent = self._matched(line, message)
                what = sent.say.what if sent is not None else "a spoilt frame"
                wrong = _shape(message) or (self._answer(sent, message) if sent is not None else None)
        if wrong:
            raise Wrong(what, f"{wrong}; answered {payload[:600]!r}")

    def _matched(self, line: Line, message: Any) -> Sent | None:
        session = message.get("session")
        known = line.owed.get((message.get("id"), session))
        if known:
            line.pending -= 1
            # An id that is used for something else may be refused before the first one is answered.
            code = message.get("error", {}).get("code")
            likely = (one for one in known if (code in (one.say.codes or ()) if code else not one.say.refused))
            sent = next(likely, known[0])
            known.remove(sent)
            return sent
        if not line.loose:
            raise Wrong(self.step[0], f"nobody asked for this: {str(message)[:600]}")
        line.loose -= 1
        return None

    def _answer(self, sent: Sent, message: Any) -> str | None:
        say, effects = sent.say, sent.say.effects
        sent.unused = message.get("error", {}).get("code") == "SESSION_ERROR"
        if not effects:
            if "error" in message:
                return self._refused(say, message["error"], sure=say.codes is not None)
            if say.refused:
                return f"expected {sorted(say.codes or ())}"
            self._fill(say, message["ok"])
            return say.check(message["ok"]) if say.check is not None else None
        if say.sessions != (None,):
            mine = sent.sessions.index(message["session"])
            return self._of_effect(sent, sent.outcomes[mine], message)
        if "error" in message:
            return "a batch of good form is not refused as a whole"
        results = message["ok"]["results"]
        if len(results) != len(effects):
            return f"expected {len(effects)} results"
        told = [
            _shape({"id": 1} | one) or self._of_effect(sent, outcome, one)
            for outcome, one in zip(sent.outcomes, results, strict=True)
        ]
        return next(filter(None, told), None)

    def _of_effect(self, sent: Sent, outcome: Outcome, body: Any) -> str | None:
        """What is wrong with what came of one effect."""
        say, effect = sent.say, outcome.effect
        if "error" in body:
            outcome.codes.append(body["error"]["code"])
            return self._refused(say, body["error"], sure=effect.sure)
        ok = body["ok"]
        if say.refused and effect.sure:
            return f"expected {sorted(say.codes or ())}"
        if outcome.bodies and ok != outcome.bodies[0]:
            return f"a repeat was answered otherwise than the first, which was {str(outcome.bodies[0])[:400]}"
        outcome.bodies.append(ok)
        self._fill(say, ok)
        return _tagged(ok, effect) or (say.check(ok) if say.check is not None else None)

    def _fill(self, say: V2Say, ok: Any) -> None:
        for number, name in zip(say.fills, ok.get("sessions", ()), strict=False):
            self.names[slot(number).encode()] = name.encode()
        if say.image is not None:
            self.images[say.image] = ok["snapshot"]

    def _refused(self, say: V2Say, error: Any, *, sure: bool) -> str | None:
        wrong = error_of(error)
        if wrong:
            return wrong
        if error["code"] == "SESSION_ERROR" and "no request for" in error["message"]:
            return None
        return None if not sure or error["code"] in (say.codes or ()) else f"{error['code']} is no answer to this"

    # Afterwards ------------------------------------------------------------------------------------------------------

    async def _audit(self, talk: V2Talk) -> None:
        """Each session's own log has everything that was answered, once, and nothing that was refused."""
        filled = [number for number in range(talk.slots) if slot(number).encode() in self.names]
        if not filled:
            return
        self.step[0] = "the look afterwards"
        line = await self._line(_AUDIT)
        there = [number for number in filled if "ok" in await self._ask(line, self._own("attach", number))]
        unknown = [sent for sent in self.order if sent.say.again and any(one.open for one in sent.outcomes)]
        for sent in {sent.payload: sent for sent in unknown}.values():
            gone = replace(sent.say, codes=(sent.say.codes or frozenset()) | {"ANSWER_GONE"})  # another entry of a batch may be
            await self._send(line, replace(sent, say=gone))
            await line.answered()
        for number in there:
            state = await self._state(line, number)
            wrong = self._judge_log(talk, number, state) if state is not None else None
            if wrong:
                raise Wrong("the look afterwards", wrong)
            if talk.closes[number % len(talk.closes)]:
                await self._ask(line, self._own("close", number))
        await line.leave("farewell")
        del self._lines[_AUDIT]

    async def _state(self, line: Line, number: int) -> Any:
        """The state of a session once nothing runs in it any more; None when it has ended meanwhile."""
        while True:
            answer = await self._ask(line, self._own("state", number))
            if "ok" not in answer:
                return None
            if not answer["ok"]["busy"]:
                return answer["ok"]["state"]
            await asyncio.sleep(0.02)

    async def _ask(self, line: Line, sent: Sent) -> Any:
        found: list[Any] = []

        def note(ok: Any) -> None:
            found.append({"ok": ok})

        sent.say.check = note
        await self._send(line, sent)
        await line.answered()
        return found[0] if found else {}

    def _judge_log(self, talk: V2Talk, number: int, state: Any) -> str | None:
        log = state["log"]
        if talk.counts and state["step_count"] != counted(log):
            return f"step_count is {state['step_count']}, and the world's log is {log}"
        session = self.name(number)
        for (name, _, tag), outcome in self.outcomes.items():
            if name == session and outcome.effect.tag:
                wrong = outcome.wrong(log.count(f"step {tag}"))
                if wrong:
                    return f"{outcome.say.what}: {tag} was {wrong}; its log: {log}"
        return None


def _tagged(ok: Any, effect: Effect) -> str | None:
    """A step's observation shows the step's own text."""
    seen = ok.get("observation")
    if not effect.tag or not isinstance(seen, dict) or "text" not in seen:
        return None
    return None if seen["text"] == effect.tag else f"expected {effect.tag}, not {seen['text']!r}"


def _shape(message: Any) -> str | None:
    known = set(message) - {"session"}
    if known == {"id", "ok"}:
        return None if isinstance(message["ok"], dict) else "'ok' is an object"
    if known == {"id", "error"}:
        return error_of(message["error"])
    return "an answer has an id, and ok or error"


def _event(message: Any, listens: set[str]) -> str | None:
    if not isinstance(message.get("data"), dict) or set(message) - {"event", "session", "data", "dropped"}:
        return "an event has data"
    name = message["event"]
    return None if name in listens & EVENTS else f"nobody subscribed to {name!r}"


def _in_pieces(payload: bytes, opcode: int, pieces: int) -> bytes:
    if pieces == 1:
        return frame(payload, opcode)
    cuts = [len(payload) * number // pieces for number in range(pieces + 1)]
    parts = [payload[a:b] for a, b in itertools.pairwise(cuts)]
    return b"".join(
        frame(part, CONTINUATION if number else opcode, fin=number == pieces - 1) for number, part in enumerate(parts)
    )


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not of JSON")
