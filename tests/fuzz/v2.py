"""Conversations of protocol v2: many sessions, two connections that take them from each other, repeats, and what is spoilt.

Session 0 is *sure*: it is on line 0 alone, nothing spoilt names it, and every one of its effects has to be done and answered
as asked, whatever becomes of the others and of the line. What the others are answered depends on chance; that nothing in
them is done twice, or done and denied, does not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from tests.fuzz.messages import plain
from tests.fuzz.plan import slot
from tests.fuzz.sockets import VIOLATIONS
from tests.fuzz.v2_plan import Effect, Then, V2Say, V2Talk, image_slot
from tests.fuzz.v2_values import Spoiler, written
from tests.fuzz.wire import BINARY, CONTINUATION, TEXT

__all__ = ["V2Dialect"]

_EVENTS = ["tools_changed", "session_ended", "session_taken", "environment", "progress", "log"]
_MOST_UNANSWERED = 40
"""Frames; a session takes 64, and keeps as many answers."""
_GONE = frozenset({"ANSWER_GONE"})
_TAKEN = frozenset({"ID_REUSED", "ANSWER_GONE"})
_NOT_AN_IMAGE = frozenset({"SNAPSHOT_REFUSED", "VALIDATION_ERROR", "ANSWER_GONE"})
"""The last for the repeat of one that was refused before it began, once a higher id was used."""


@dataclass(slots=True)
class _Seat:
    """A session, as far as one can tell before anything was said."""

    line: int
    there: bool = True
    asked: list[V2Say] = field(default_factory=list)
    """Effects, each frame of which may be sent again."""
    settled: int = 0
    """The highest id that has its answer for certain."""
    acknowledged: int = 0
    gone: int = 0
    """Up to which id the server knows of that for certain."""


class V2Dialect:
    """``openenv.v2`` or ``openenv.v2+msgpack``."""

    targets = ("thread", "async", "tool")

    def __init__(self, share: float, *, binary: bool) -> None:
        self.share = share
        self.binary = binary

    def conversation(self, rng: Random, target: str) -> V2Talk:
        """Some frames in any order on two lines, and one way for each to end."""
        return _Conversation(rng, target, binary=self.binary).made()


class _Conversation:
    def __init__(self, rng: Random, target: str, *, binary: bool) -> None:
        self.rng = rng
        self.target = target
        self.binary = binary
        self.says: list[V2Say] = []
        self.seats: list[_Seat] = []
        self.images = 0
        self.next_id = 1000
        self.unanswered = [0, 0]

    def made(self) -> V2Talk:
        """The whole of it."""
        rng = self.rng
        self.add(self.open(0, rng.choice((1, 2, 3)), key=rng.random() < 0.3), then="wait")
        kinds, weights = [one for one, _ in _OPS], [weight for _, weight in _OPS]
        for kind in rng.choices(kinds, weights, k=rng.choice((0, 2, 5, 12, 25, 50))):
            kind(self)
            if self.unanswered[0] >= _MOST_UNANSWERED or self.unanswered[1] >= _MOST_UNANSWERED:
                self.wait(self.says[-1])
        endings: list[Then] = [rng.choice(("farewell", "farewell", "reset", "fin", "half frame")) for _ in range(2)]
        closes = tuple(rng.random() < 0.7 for _ in range(8))
        return V2Talk(self.binary, self.says, len(self.seats), self.target != "tool", (endings[0], endings[1]), closes)

    # The pieces ------------------------------------------------------------------------------------------------------

    def add(self, say: V2Say, *, then: Then | None = None) -> None:
        """One more frame, after which the other end is waited for, or not."""
        rng = self.rng
        if then is None:
            then = "wait" if rng.random() < 0.3 else "go on"
        if not say.ends and rng.random() < 0.03:
            say.pieces = rng.randrange(2, 5)
        self.says.append(say)
        self.unanswered[say.line] += 1
        if then == "wait":
            self.wait(say)
        else:
            say.then = then

    def wait(self, say: V2Say) -> None:
        say.then = "wait"
        self.unanswered[say.line] = 0
        for seat in self.seats:
            if seat.line == say.line and seat.asked:
                seat.settled = max(one.number or 0 for one in seat.asked)

    def request(self, line: int, op: str, data: Any = None, *, session: int | None = None, **known: Any) -> V2Say:
        """A frame of good form."""
        rng = self.rng
        self.next_id += rng.choice((1, 1, 1, 7))
        message: dict[str, Any] = {"id": self.next_id, "op": op}
        if session is not None:
            message["session"] = slot(session)
            seat = self.seats[session]
            if seat.settled > seat.acknowledged and rng.random() < 0.2:
                message["ack"] = seat.acknowledged = seat.gone = seat.settled
        if data is not None or rng.random() < 0.2:
            message["data"] = data or {}
        if known.get("effects") and rng.random() < 0.15 and not any(one.sure for one in known["effects"]):
            message["deadline_ms"] = rng.choice((1, 5, 30, 1000))
        content, opcode = written(message, rng, binary=self.binary), BINARY if self.binary else TEXT
        known = {"sessions": (session,)} | known
        return V2Say(content, str(message)[:600], line, opcode, self.next_id, **known)

    def effect(self, line: int, op: str, session: int, data: Any = None, *, tag: str = "", **known: Any) -> V2Say:
        """A frame of good form that asks for something to be done once."""
        made = Effect(session, tag, sure=session == 0)
        known = {"codes": frozenset()} | known
        say = self.request(line, op, data, session=session, effects=(made,), again=True, **known)
        self.seats[session].asked.append(say)
        return say

    def somebody(self) -> tuple[int, int]:
        """A line and a session; mostly one that is attached there."""
        rng = self.rng
        if rng.random() < 0.4 or len(self.seats) < 2:
            return 0, 0
        session = rng.randrange(1, len(self.seats))
        seat = self.seats[session]
        if rng.random() < 0.1:
            seat.line = 1 - seat.line
            self.add(self.request(seat.line, "attach", session=session))
        return seat.line if rng.random() < 0.97 else 1 - seat.line, session

    def action(self, session: int) -> tuple[Any, str]:
        """An action, and what the log will have of it."""
        rng = self.rng
        tag = f"{session}.{self.next_id + 1}.{rng.randrange(10**6)}"
        if self.target == "tool":
            return {"type": "call_tool", "tool_name": "things_add", "arguments": {"name": tag}}, tag
        made: dict[str, Any] = {"text": tag}
        if rng.random() < 0.2:
            made["pause_ms"] = rng.choice((1, 5, 20))
        if rng.random() < 0.3:
            made |= {"anything": plain(rng), "count": rng.randrange(-10, 8), "ratio": 0.5}
        return made, tag

    # What is asked ---------------------------------------------------------------------------------------------------

    def open(self, line: int, count: int, *, key: bool) -> V2Say:
        first = len(self.seats)
        self.seats += [_Seat(line) for _ in range(count)]
        data = {"count": count} if count > 1 or self.rng.random() < 0.5 else {}
        if key:
            data["key"] = f"{self.rng.random()}"  # type: ignore[assignment]
        known: dict[str, Any] = {"codes": frozenset(), "keyed": key, "sessions": (None,)}
        return self.request(line, "open", data, fills=tuple(range(first, first + count)), **known)

    def more(self) -> None:
        if len(self.seats) < 8:
            self.add(self.open(self.rng.randrange(2), self.rng.choice((1, 1, 2)), key=self.rng.random() < 0.5))

    def step(self) -> None:
        line, session = self.somebody()
        data, tag = self.action(session)
        self.add(self.effect(line, "step", session, data, tag=tag))

    def failing_step(self) -> None:
        line, session = self.somebody()
        if self.target == "tool":
            data: Any = {"type": "call_tool", "tool_name": "things_break", "arguments": {}}
            self.add(self.effect(line, "step", session, data))
        else:
            self.add(self.effect(line, "step", session, {"text": "boom"}, refused=True, codes=frozenset({"EXECUTION_ERROR"})))

    def reset(self) -> None:
        line, session = self.somebody()
        data = self.rng.choice(({}, {"seed": self.rng.randrange(1000)}, {"episode_id": "e"}))
        self.add(self.effect(line, "reset", session, data))

    def call_tool(self) -> None:
        line, session = self.somebody()
        data, tag = self.action(session)
        if self.target == "tool":
            called = {"name": "things_add", "arguments": data["arguments"]}
            self.add(self.effect(line, "call_tool", session, called, tag=tag))
        else:
            self.add(self.effect(line, "call_tool", session, {"name": "x"}, refused=True, codes=frozenset({"UNSUPPORTED"})))

    def batch(self) -> None:
        """Steps and resets; some entries are wrong, which concerns nobody else."""
        rng = self.rng
        line = rng.choice((0, 0, 1))
        chosen = [one for one in range(len(self.seats)) if self.seats[one].line == line and rng.random() < 0.7]
        as_finished = rng.random() < 0.4
        entries, effects = [], []
        for session in chosen:
            data, tag = self.action(session)
            if rng.random() < 0.2:
                entries.append({"session": slot(session), "reset": {}})
                effects.append(Effect(session, sure=session == 0))
            else:
                entries.append({"session": slot(session), "action": data})
                effects.append(Effect(session, tag, sure=session == 0))
        if not as_finished and entries and rng.random() < 0.3:
            entries.append(rng.choice((entries[0], {"session": "nobody", "action": entries[0].get("action", {})})))
            effects.append(Effect(99))
        if not entries:
            as_finished = False
        data = {"entries": entries} | ({"as_finished": True} if as_finished else {})
        sessions = tuple(chosen) if as_finished else (None,)
        check = None if entries else _is({"results": []})
        known: dict[str, Any] = {"codes": frozenset(), "sessions": sessions, "again": True, "check": check}
        say = self.request(line, "batch", data, effects=tuple(effects), **known)
        for session in chosen:
            self.seats[session].asked.append(say)
        self.add(say)

    def snapshot(self) -> None:
        line, session = self.somebody()
        if self.rng.random() < 0.5:
            self.add(self.effect(line, "snapshot", session, {}))
        else:
            self.add(self.effect(line, "snapshot", session, {"export": True}, image=self.images))
            self.images += 1

    def restore(self) -> None:
        line, session = self.somebody()
        choices = ["snapshot:1", "snapshot:2", "AAAA", "", image_slot(9)]
        image = self.rng.choice([image_slot(self.rng.randrange(self.images))] * 8 + choices if self.images else choices)
        self.add(self.effect(line, "restore", session, {"snapshot": image}, codes=_NOT_AN_IMAGE))

    def fork(self) -> None:
        line, session = self.somebody()
        if len(self.seats) >= 8:
            return
        count, first = self.rng.choice((1, 1, 2)), len(self.seats)
        data: dict[str, Any] = {"count": count} | ({"reseed": list(range(count))} if self.rng.random() < 0.3 else {})
        say = self.effect(line, "fork", session, data, fills=tuple(range(first, first + count)))
        self.seats += [_Seat(line) for _ in range(count)]
        self.add(say)

    def question(self) -> None:
        """What changes nothing."""
        line, session = self.somebody()
        op = self.rng.choice(("state", "state", "list_tools", "ping"))
        sure: frozenset[str] | None = frozenset() if session == 0 and (op != "list_tools" or self.target == "tool") else None
        if op == "ping":
            self.add(self.request(line, op, codes=frozenset(), sessions=(None,), check=_is({})))
        else:
            self.add(self.request(line, op, session=session, codes=sure))

    def cancel(self) -> None:
        line, session = self.somebody()
        asked = self.seats[session].asked
        if session and asked:
            number = self.rng.choice([asked[-1].number, self.rng.choice(asked).number, 5])
            self.add(self.request(line, "cancel", {"id": number}, session=session))

    def listen(self) -> None:
        line, session = self.somebody()
        events = self.rng.sample(_EVENTS, self.rng.randrange(1, 4))
        if self.rng.random() < 0.3:
            self.add(self.request(line, "unsubscribe", {"events": events}, session=session))
            return
        if session and self.rng.random() < 0.5:
            events = ["step", "session_ended"]
        self.add(self.request(line, "subscribe", {"events": events}, session=session, listens=frozenset(events)))

    def take(self) -> None:
        """Attach, detach or close a session of the unsure ones."""
        if len(self.seats) < 2:
            return
        session = self.rng.randrange(1, len(self.seats))
        seat = self.seats[session]
        op = self.rng.choice(("attach", "attach", "detach", "close"))
        if op == "attach":
            seat.line = self.rng.randrange(2)
        self.add(self.request(seat.line, op, session=session))

    def again(self) -> None:
        """A repeat, byte for byte; or the id for something else."""
        session = self.somebody()[1]
        seat = self.seats[session]
        if not seat.asked:
            return
        known = self.rng.choice(seat.asked[-30:])
        number = known.number or 0
        gone = number <= seat.gone
        if known.sessions != (session,):
            return
        if self.rng.random() < 0.7:
            if number <= seat.settled:
                known = replace(known, refused=known.refused or gone, codes=_GONE | (known.codes or frozenset()), again=not gone)
            self.add(replace(known, then="go on", line=seat.line))
            return
        if (session and number > seat.settled) or "VALIDATION_ERROR" in (known.codes or ()):
            return  # it may be done, if the first one was not
        data, tag = self.action(session)
        message = {"id": number, "op": "step", "session": slot(session), "data": data}
        effects = (Effect(session, tag, sure=session == 0),)
        content = written(message, self.rng, binary=self.binary)
        more: dict[str, Any] = {"effects": effects, "codes": _TAKEN, "refused": True, "again": False, "reuses": True}
        more |= {"image": None, "fills": (), "check": None, "then": "go on", "line": seat.line}
        self.add(replace(known, data=content, what=f"an id again: {message}", **more))

    def spoil(self) -> None:
        """A frame with faults, about anything but the session that is sure."""
        rng = self.rng
        if len(self.seats) < 2:
            return
        session = rng.randrange(1, len(self.seats))
        self.next_id += 1
        data, _ = self.action(session)
        entry = {"session": slot(session), "action": data}
        message = rng.choice(
            (
                {"op": "step", "session": slot(session), "data": data, "deadline_ms": 5, "ack": 3},
                {"op": "step", "session": slot(session), "data": data},
                {"op": "batch", "data": {"entries": [entry, entry | {"session": slot(9)}]}},
                {"op": "reset", "session": slot(session), "data": {"seed": 1}},
                {"op": "open", "data": {"count": 1, "key": "k"}},
                {"op": "call_tool", "session": slot(session), "data": {"name": "things_say", "arguments": {"anything": 1}}},
                {"op": "fork", "session": slot(session), "data": {"count": 1, "reseed": [1]}},
                {"op": "snapshot", "session": slot(session), "data": {"export": True}},
                {"op": "restore", "session": slot(session), "data": {"snapshot": image_slot(0)}},
                {"op": "cancel", "session": slot(session), "data": {"id": self.next_id - 1}},
                {"op": "unsubscribe", "session": slot(session), "data": {"events": ["log", "progress"]}},
                {"op": "state", "session": slot(session)},
                {"op": "attach", "session": slot(session)},
                {"op": "close", "session": slot(9)},
                {"op": "ping"},
            )
        )
        content = Spoiler(rng).frame({"id": self.next_id, **message}, binary=self.binary)
        line = self.seats[session].line if rng.random() < 0.8 else rng.randrange(2)
        self.add(V2Say(content, f"spoilt: {content[:600]!r}", line, BINARY if self.binary else TEXT))

    def lose(self) -> None:
        """The line goes, in the middle of what is asked; the client comes back."""
        rng = self.rng
        line = rng.choice((0, 0, 1))
        mine = [number for number, seat in enumerate(self.seats) if seat.line == line]
        if not mine:
            return
        chosen = rng.random()
        if chosen < 0.15:
            wrong = TEXT if self.binary else BINARY
            self.add(V2Say(b"{}", "a frame of the wrong kind", line, wrong, ends=frozenset({1003})))
        elif chosen < 0.25 and not self.binary:
            broken = rng.choice(VIOLATIONS)(rng)
            self.add(V2Say(broken.data, broken.what, line, CONTINUATION, ends=broken.ends))
        elif len(self.says) > 1 and self.says[-1].line == line and self.says[-1].then == "go on" and not self.says[-1].attaches:
            self.says[-1].then = rng.choice(("reset", "fin", "half frame", "farewell"))
        for number in mine:
            self.seats[number].gone = 0
        self.says.append(V2Say(b"", f"line {line} comes back", line, attaches=tuple(mine)))
        self.unanswered[line] = 0


def _is(expected: Any) -> Callable[[Any], str | None]:
    def check(found: Any) -> str | None:
        return None if found == expected else f"expected {expected!r}"

    return check


_OPS: list[tuple[Callable[[_Conversation], None], float]] = [
    (_Conversation.step, 26),
    (_Conversation.failing_step, 3),
    (_Conversation.reset, 4),
    (_Conversation.call_tool, 4),
    (_Conversation.batch, 12),
    (_Conversation.snapshot, 4),
    (_Conversation.restore, 4),
    (_Conversation.fork, 3),
    (_Conversation.question, 8),
    (_Conversation.cancel, 4),
    (_Conversation.listen, 3),
    (_Conversation.take, 5),
    (_Conversation.more, 2),
    (_Conversation.again, 9),
    (_Conversation.spoil, 30),
    (_Conversation.lose, 3),
]
