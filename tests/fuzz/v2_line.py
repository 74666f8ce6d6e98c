"""A connection of protocol v2: frames out, and the answers that are owed for them."""

from __future__ import annotations

import asyncio
import struct
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.fuzz.plan import Wrong
from tests.fuzz.v2_plan import Effect, Then, V2Say
from tests.fuzz.wire import CLOSE, PING, PONG, WebSocket, frame

__all__ = ["Line", "Outcome", "Sent"]

NOT_DONE = {"VALIDATION_ERROR", "SESSION_ERROR", "OVERLOADED", "ID_REUSED", "CAPACITY_REACHED"}
PASSING = NOT_DONE | {"DEADLINE_EXCEEDED"}
"""After these a repeat may tell more."""


@dataclass(slots=True)
class Outcome:
    """What was said of an effect."""

    effect: Effect
    say: V2Say
    asked: int = 0
    bodies: list[Any] = field(default_factory=list)
    codes: list[str] = field(default_factory=list)

    @property
    def open(self) -> bool:
        """Whether nobody knows yet what became of it."""
        if self.bodies or not PASSING.issuperset(self.codes):
            return False
        return self.asked > len(self.codes) or "DEADLINE_EXCEEDED" in self.codes

    def wrong(self, times: int) -> str | None:
        """What is wrong when it was done so often."""
        if times > 1:
            return f"done {times} times"
        if self.bodies and not times:
            return "answered with ok, and not done"
        if times and not self.bodies and self.asked == len(self.codes) and NOT_DONE.issuperset(self.codes):
            return f"refused with {self.codes}, and done"
        if self.effect.sure and self.say.again and not times and "EXECUTION_ERROR" not in self.codes:
            return f"not done, and answered with {self.codes}"
        return None


@dataclass(eq=False, slots=True)
class Sent:
    """A frame that was sent, perhaps more than once."""

    say: V2Say
    payload: bytes
    sessions: list[str | None]
    """Of the answers that are owed, as they were known when it was first sent."""
    outcomes: list[Outcome]
    """Of its effects."""
    order: int = 0
    """How many were sent before it."""
    unused: bool = False
    """Refused where its session was not attached, so that the session has not seen its id."""


class Line:
    """A connection: frames out, answers in."""

    def __init__(self, socket: WebSocket, opcode: int, take: Callable[[Line, bytes], None]) -> None:
        self.socket = socket
        self._opcode = opcode
        self._take = take
        self.owed: dict[tuple[int | None, str | None], deque[Sent]] = defaultdict(deque)
        self.pending = 0
        self.loose = 0
        """Answers to frames that may have any id."""
        self.listens: set[str] = set()
        self.closed: tuple[int, bytes] | None = None
        self.wrong: Exception | None = None
        self.moved = asyncio.Event()
        self.reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        try:
            while True:
                opcode, payload = await self.socket.receive()
                if opcode == PING:
                    await self.socket.send(frame(payload, PONG))
                elif opcode == CLOSE:
                    self.closed = struct.unpack("!H", payload[:2])[0] if payload else 1005, payload
                    return
                elif opcode != self._opcode:
                    raise Wrong("whatever it answers", f"a frame with the opcode {opcode} came: {payload[:300]!r}")
                else:
                    self._take(self, payload)
                self.moved.set()
        except EOFError:
            self.closed = self.closed or (0, b"")
        except (Wrong, ValueError) as error:
            self.wrong = error
        finally:
            self.moved.set()

    def expect(self, sent: Sent) -> None:
        """Answers are owed for it from now on."""
        say = sent.say
        if say.number is None:
            self.loose += 1
            return
        for session in sent.sessions:
            self.owed[say.number, session].append(sent)
        self.pending += len(say.sessions)

    async def answered(self) -> None:
        """Wait until nothing is owed. Raises what was wrong; `EOFError` when the connection has ended before that."""
        while self.pending or self.loose:
            self.check()
            if self.closed is not None:
                missing = next((one[0] for one in self.owed.values() if one), None)
                raise EOFError(f"closed with {self.closed}; no answer to {missing.say.what[:300] if missing else '?'}")
            self.moved.clear()
            await self.moved.wait()
        self.check()

    def check(self) -> None:
        if self.wrong is not None:
            raise self.wrong

    def unanswered(self) -> list[Sent]:
        """Frames without all of their answers, in the order in which they were sent."""
        found = {id(sent): sent for known in self.owed.values() for sent in known}
        return sorted(found.values(), key=lambda sent: sent.order)

    async def leave(self, how: Then) -> None:
        """End it; what still comes is looked at."""
        socket = self.socket
        if how == "farewell":
            await socket.send(frame(struct.pack("!H", 1000), CLOSE))
            await self.reading
            self.check()
            if self.closed is None or self.closed[0] not in (0, 1000):
                raise Wrong("a farewell", f"answered with {self.closed}")
        elif how == "fin":
            socket.half_close()
            await self.reading
        elif how == "half frame":
            await socket.send(frame(b"x" * 50)[:20])
            socket.abort(reset=False)
        else:
            socket.abort()
        self.reading.cancel()
        await asyncio.wait([self.reading])
        self.check()
        socket.abort()
        await socket.close()
