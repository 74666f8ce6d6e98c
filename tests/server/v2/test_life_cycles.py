"""Sessions of protocol v2 live and die in any order, and what connections are told agrees with a model of a page.

Connections are the server's own over lines that write down what is sent. The clock is the test's own, and a step can be held
open: everything else may happen meanwhile. After each rule every line has exactly the answers that the model expects.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from openenv.operation import Connection, Operation, Principal, RequestContext
from openenv.protocol.v2_answers import ENCODINGS
from openenv.server.app import serve_with
from openenv.server.v2.connection import V2Connection
from openenv.server.v2.shared import V2Shared
from tests.runtime.test_life_cycles import AtOnce, Clock, Counter
from tests.support.local import Local

LEASE_S = 10.0
REAPING_S = LEASE_S / 4
DEADLINE_S = 2.0
MOST = 5
WHICH = st.integers(0, 59)
DESK = st.sampled_from([None, None, None, None, None, 0, 1, 2])

ANNA, BERT = Principal("anna"), Principal("bert")

Told = Any
"""What an answer says, without what differs from run to run: the code of an error, or the one thing that an ok is about."""


class Written:
    """A line whose other end is the test."""

    clogged = False
    waiting = 0

    def __init__(self) -> None:
        self.frames: list[dict[str, Any]] = []
        self.reads = True

    def write(self, frame: bytes) -> None:
        self.frames.append(json.loads(frame))

    def read(self, wanted: bool) -> None:
        self.reads = wanted

    def close(self, code: int, reason: str) -> None:
        raise AssertionError(f"closed with {code}: {reason}")


@dataclass(eq=False)
class Desk:
    """A client's connection, in the model and for real."""

    owner: Principal
    line: Written
    connection: V2Connection
    owed: list[tuple[int, str | None, Told]] = field(default_factory=list)
    """What it is to be told by now."""


@dataclass(eq=False)
class Asked:
    """An effect that has no answer yet."""

    number: int
    frame: str
    desks: list[Desk]
    """Who is told."""
    holds: bool
    due: float | None = None
    late: bool = False
    """Its deadline has passed: nobody who asked before is told any more."""


@dataclass(eq=False)
class Seat:
    """A session, in the model."""

    id: str
    owner: Principal
    environment: Counter
    count: int = 0
    holder: Desk | None = None
    expires: float = 0.0
    queue: list[Asked] = field(default_factory=list)
    """The first of them runs."""
    frames: dict[int, str] = field(default_factory=dict)
    kept: dict[int, Told] = field(default_factory=dict)
    last: int = 0
    key: str | None = None


class LifeCycles(RuleBasedStateMachine):
    """The model, the rules, and what must hold after each."""

    def __init__(self) -> None:
        super().__init__()
        Counter.made = []
        self.loop = Clock()
        asyncio.set_event_loop(self.loop)
        self.manager = Local(Counter, pool=AtOnce(), max_sessions=MOST).manager
        self.core, _ = serve_with(self.manager, [], log=False)
        self.core.resume_lease_s = LEASE_S
        self.shared = V2Shared(self.core)
        self.desks: list[Desk] = []
        self.seats: dict[str, Seat] = {}
        self.gone: dict[str, Seat] = {}
        self.closing: list[tuple[Seat, tuple[Desk, int] | None]] = []
        """Ended while a step was held; and who is told once that is over."""
        self.number = 0

    # How things are done ---------------------------------------------------------------------------------------------

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call it on the loop, and go on until nothing moves any more."""

        async def called() -> Any:
            result = function(*args)
            for _ in range(60):
                await asyncio.sleep(0)
            return result

        return self.loop.run_until_complete(called())

    def dial(self, owner: Principal) -> Desk:
        line = Written()
        made = Connection("v2", {}, {}, principal=owner)
        connection = V2Connection(self.shared, made, RequestContext(), ENCODINGS["openenv.v2"], line)
        return Desk(owner, line, connection)

    def send(self, desk: Desk, op: str, session: str | None = None, data: Any = None, **more: Any) -> tuple[int, str]:
        """A new request; its id and its frame."""
        self.number += 1
        message = {"id": self.number, "op": op} | ({"session": session} if session is not None else {}) | more
        frame = json.dumps(message | ({"data": data} if data is not None else {}))
        self.call(desk.connection.take, frame)
        return self.number, frame

    def owe(self, desk: Desk, number: int, session: str | None, told: Told) -> None:
        if desk in self.desks:
            desk.owed.append((number, session, told))

    def pick(self, which: int, desk: int | None, *, attached: bool = True) -> tuple[str, Desk]:
        """A session, mostly one that lives; and a connection, mostly the one that holds it, if need be from now on."""
        known = [*[*self.seats] * 4, *list(self.gone)[-1:]] or ["nobody"]
        session = known[which % len(known)]
        seat = self.seats.get(session)
        if desk is not None or seat is None:
            return session, self.desks[desk or 0]
        if seat.holder is not None:
            return session, seat.holder
        mine = next(one for one in self.desks if one.owner == seat.owner)
        if attached:
            self.attached(mine, session)
        return session, mine

    def seat(self, session: str, desk: Desk) -> Seat | None:
        """The session, where this connection holds it."""
        found = self.seats.get(session)
        return found if found is not None and found.holder is desk else None

    def touched(self, session: str, desk: Desk) -> None:
        """Whoever asks for a session that he may use and does not hold renews its lease, as the manager does it."""
        found = self.seats.get(session)
        if found is not None and found.holder is None and found.owner == desk.owner:
            found.expires = self.loop.now + LEASE_S

    def leave(self, seat: Seat, closer: tuple[Desk, int] | None = None) -> None:
        """The session is over: what waits is refused, what runs ends first."""
        del self.seats[seat.id]
        self.gone[seat.id] = seat
        for asked in seat.queue[1:]:
            if not asked.late:
                self.tell(seat, asked, "SESSION_ERROR")
        del seat.queue[1:]
        if seat.queue:
            self.closing.append((seat, closer))
        elif closer is not None:
            self.owe(*closer, seat.id, {})

    def tell(self, seat: Seat, asked: Asked, told: Told) -> None:
        for desk in asked.desks:
            self.owe(desk, asked.number, seat.id, told)

    def keep(self, seat: Seat, asked: Asked, told: Told) -> None:
        """The answer to an effect is there."""
        seat.kept[asked.number] = told
        self.tell(seat, asked, told)

    def go_on(self, seat: Seat) -> None:
        """What waits is done, up to the next one that holds."""
        while seat.queue and not seat.queue[0].holds:
            asked = seat.queue.pop(0)
            seat.count += 1
            self.keep(seat, asked, seat.count)
        if not seat.queue and seat.holder is None and seat.id in self.seats:
            seat.expires = self.loop.now + LEASE_S

    def refused(self, desk: Desk, number: int, session: str, told: Told = "SESSION_ERROR") -> None:
        self.touched(session, desk)
        self.owe(desk, number, session, told)

    @property
    def places(self) -> int:
        return len(self.seats) + len(self.closing)

    # Rules -----------------------------------------------------------------------------------------------------------

    @initialize()
    def start(self) -> None:
        self.desks = [self.dial(ANNA), self.dial(ANNA), self.dial(BERT)]
        self.call(lambda: None)
        self.open(0, 2, None)

    @rule(desk=DESK, count=st.integers(1, 2), key=st.sampled_from([None, None, "k", "l"]))
    def open(self, desk: int | None, count: int, key: str | None) -> None:
        """New sessions, or those that the key has opened before."""
        mine = self.desks[desk or 0]
        known = [seat for seat in self.seats.values() if key and (seat.key, seat.owner) == (key, mine.owner)]
        if not known and self.closing and self.places + count > MOST:
            return  # they would wait for a place that is being given up
        number, _ = self.send(mine, "open", data={"count": count} | ({"key": key} if key else {}))
        if known:
            for seat in known:
                seat.holder = mine
            self.owe(mine, number, None, {"sessions": sorted(seat.id for seat in known)})
            return
        if self.places + count > MOST:
            self.owe(mine, number, None, "CAPACITY_REACHED")
            return
        (answer,) = mine.line.frames
        made = answer["ok"]["sessions"]
        self.owe(mine, number, None, {"sessions": sorted(made)})
        for place, session in enumerate(made):
            seat = Seat(session, mine.owner, Counter.made[place - count], holder=mine, key=key)
            self.seats[session] = seat
            self.effect(seat, mine, "reset")

    def effect(self, seat: Seat, desk: Desk, op: str, data: Any = None, *, holds: bool = False, **more: Any) -> Asked:
        number, frame = self.send(desk, op, seat.id, data, **more)
        due = self.loop.now + DEADLINE_S if "deadline_ms" in more else None
        asked = Asked(number, frame, [desk], holds, due)
        seat.frames[number], seat.last = frame, number
        if op == "reset":
            assert not seat.queue
            seat.count = 0
            self.keep(seat, asked, 0)
        else:
            seat.queue.append(asked)
            if seat.queue[0] is asked:
                self.go_on(seat)
        return asked

    @rule(which=WHICH, late=st.booleans(), behind=st.integers(0, 2))
    def hold(self, which: int, late: bool, behind: int) -> None:
        """A step that does not end by itself, and some that wait for it; perhaps the client comes back meanwhile."""
        self.step(which, None, True, late)
        for _ in range(behind):
            self.step(which, None, False, False)

    @rule(which=WHICH, desk=DESK, holds=st.booleans(), late=st.booleans())
    def step(self, which: int, desk: int | None, holds: bool, late: bool) -> None:
        """A step, which may be held, and may have a deadline."""
        session, mine = self.pick(which, desk)
        seat = self.seat(session, mine)
        more = {"deadline_ms": int(DEADLINE_S * 1000)} if late else {}
        if seat is None:
            number, _ = self.send(mine, "step", session, {"hold": holds}, **more)
            self.refused(mine, number, session)
        else:
            self.effect(seat, mine, "step", {"hold": holds}, holds=holds, **more)

    @rule(which=WHICH, desk=DESK, data=st.data(), same=st.sampled_from([True, True, False]))
    def again(self, which: int, desk: int | None, data: st.DataObject, same: bool) -> None:
        """An old id once more, mostly one that has no answer: for the same request byte for byte, or for another one."""
        session, mine = self.pick(which, desk)
        seat = self.seats.get(session)
        if seat is None:
            return
        numbers = [asked.number for asked in seat.queue] * 3 + sorted(seat.frames)
        number = data.draw(st.sampled_from(numbers), label="id")
        frame = seat.frames[number] if same else seat.frames[number].replace('"op"', ' "op"')
        running = next((asked for asked in seat.queue if asked.number == number), None)
        self.call(mine.connection.take, frame)
        if seat.holder is not mine:
            self.refused(mine, number, session)
        elif running is None and number not in seat.kept:
            self.owe(mine, number, session, "ANSWER_GONE")
        elif not same:
            self.owe(mine, number, session, "ID_REUSED")
        elif running is not None:
            running.desks.append(mine)
        else:
            self.owe(mine, number, session, seat.kept[number])

    @rule(which=WHICH, desk=DESK, up_to=st.integers(0, 3))
    def acknowledge(self, which: int, desk: int | None, up_to: int) -> None:
        """A question that says which answers have come."""
        session, mine = self.pick(which, desk)
        seat = self.seat(session, mine)
        done = sorted(seat.kept)[: up_to or None] if seat is not None else []
        more = {"ack": done[-1]} if up_to and done else {}
        number, _ = self.send(mine, "state", session, **more)
        if seat is None:
            self.refused(mine, number, session)
            return
        for known in done if more else ():
            del seat.kept[known]
        self.owe(mine, number, session, {"steps": seat.count, "busy": bool(seat.queue)})

    @precondition(lambda self: any(seat.queue for seat in self.seats.values()) or self.closing)
    @rule(data=st.data())
    def let_go(self, data: st.DataObject) -> None:
        """A held step ends."""
        held = [seat for seat in self.seats.values() if seat.queue] + [seat for seat, _ in self.closing]
        seat = data.draw(st.sampled_from(held), label="seat")
        assert seat.environment.gate is not None
        self.call(seat.environment.gate.set_result, None)
        seat.count += 1
        self.ended(seat, seat.count)

    def ended(self, seat: Seat, told: Told) -> None:
        """What ran has an end."""
        asked = seat.queue.pop(0)
        self.keep(seat, asked, told)
        for one in [one for one in self.closing if one[0] is seat]:
            self.closing.remove(one)
            if one[1] is not None:
                self.owe(*one[1], seat.id, {})
        self.go_on(seat)

    @precondition(lambda self: any(seat.queue for seat in self.seats.values()))
    @rule(which=WHICH, data=st.data())
    def cancel(self, which: int, data: st.DataObject) -> None:
        """Take back what waits; stop what runs."""
        busy = [seat.id for seat in self.seats.values() if seat.queue]
        session, _ = self.pick([*self.seats].index(busy[which % len(busy)]), None)
        seat = self.seats[session]
        assert seat.holder is not None
        wanted = data.draw(st.sampled_from([*(asked.number for asked in seat.queue), *list(seat.kept)[:2], 10**6]), label="id")
        place = next((place for place, asked in enumerate(seat.queue) if asked.number == wanted), None)
        number, _ = self.send(seat.holder, "cancel", session, {"id": wanted})
        self.owe(seat.holder, number, session, {"found": place is not None})
        if place is not None:
            self.stop(seat, place, "CANCELLED")

    def stop(self, seat: Seat, place: int, told: Told) -> None:
        if place == 0:
            self.ended(seat, told)
        else:
            self.keep(seat, seat.queue.pop(place), told)

    @rule(which=WHICH, desk=DESK)
    def attach(self, which: int, desk: int | None) -> None:
        """From nobody, from oneself, or from another connection, which is told what it had asked for all the same."""
        session, mine = self.pick(which, desk, attached=False)
        self.attached(mine, session)

    def attached(self, mine: Desk, session: str) -> None:
        seat = self.seats.get(session)
        number, _ = self.send(mine, "attach", session)
        if seat is None or seat.owner != mine.owner:
            self.owe(mine, number, session, "SESSION_ERROR")
            return
        seat.holder = mine
        self.owe(mine, number, session, {"last_id": seat.last, "busy": bool(seat.queue)})

    @rule(which=WHICH, desk=DESK)
    def detach(self, which: int, desk: int | None) -> None:
        session, mine = self.pick(which, desk)
        seat = self.seat(session, mine)
        number, _ = self.send(mine, "detach", session)
        if seat is None:
            self.refused(mine, number, session)
            return
        seat.holder, seat.expires = None, self.loop.now + LEASE_S
        self.owe(mine, number, session, {"lease_s": LEASE_S})

    @precondition(lambda self: len(self.seats) > 1)
    @rule(which=WHICH, desk=DESK)
    def close(self, which: int, desk: int | None) -> None:
        """Its answer comes once the environment is closed."""
        session, mine = self.pick(which, desk)
        seat = self.seat(session, mine)
        number, _ = self.send(mine, "close", session)
        if seat is None:
            self.refused(mine, number, session)
        else:
            self.leave(seat, (mine, number))

    @precondition(lambda self: len(self.seats) > 2)
    @rule(which=WHICH)
    def delete(self, which: int) -> None:
        """Ended over HTTP."""
        session, _ = self.pick(which, None, attached=False)
        seat = self.seats.get(session)
        if seat is None:
            return
        operation = Operation("close", session=session, principal=seat.owner)
        self.call(lambda: self.core.pipeline.submit(operation, lambda _: None))
        self.leave(seat)

    @rule(which=WHICH, desk=DESK, count=st.integers(1, 2))
    def fork(self, which: int, desk: int | None, count: int) -> None:
        """Copies, all or none; a repeat of the request gives the same ones."""
        session, mine = self.pick(which, desk)
        seat = self.seat(session, mine)
        if seat is not None and seat.queue:
            return
        number, frame = self.send(mine, "fork", session, {"count": count})
        if seat is None:
            self.refused(mine, number, session)
            return
        if self.places + count > MOST:
            self.owe(mine, number, session, "CAPACITY_REACHED")
            seat.last = number
            return
        made = mine.line.frames[-1]["ok"]["sessions"]
        told = {"sessions": sorted(made)}
        seat.frames[number], seat.last = frame, number
        self.keep(seat, Asked(number, frame, [mine], holds=False), told)
        for place, one in enumerate(made):
            copy = Seat(one, mine.owner, Counter.made[place - count], count=seat.count, holder=mine)
            self.seats[one] = copy
            self.effect(copy, mine, "step", {})

    @rule(desk=DESK)
    def lose(self, desk: int | None) -> None:
        """A connection ends without a word; its client has another one at once."""
        lost = self.desks[desk or 0]
        self.call(lost.connection.end)
        self.desks[desk or 0] = self.dial(lost.owner)
        for seat in self.seats.values():
            if seat.holder is lost:
                seat.holder, seat.expires = None, self.loop.now + LEASE_S

    @rule(seconds=st.sampled_from([0.5, 0.5, 0.5, 3.0, 3.0, 6.0, 30.0]))
    def wait(self, seconds: float) -> None:
        """Time passes: deadlines do, and leases that nothing runs in."""
        until = self.loop.now + seconds
        while self.loop.now < until:
            self.loop.now = min(until, self.loop.now + 0.25)
            self.call(lambda: None)
            for seat in [*self.seats.values(), *(seat for seat, _ in self.closing)]:
                self.deadlines(seat)
            for seat in list(self.seats.values()):
                self.lease(seat)

    def deadlines(self, seat: Seat) -> None:
        for asked in list(seat.queue):
            if asked.due is not None and asked.due <= self.loop.now:
                self.stop(seat, seat.queue.index(asked), "DEADLINE_EXCEEDED")

    def lease(self, seat: Seat) -> None:
        if seat.holder is not None or seat.id in self.manager.sessions:
            over = seat.holder is None and not seat.queue and self.loop.now > seat.expires + REAPING_S + 0.5
            assert not over, "its lease is over"
            return
        assert seat.expires < self.loop.now, "it ended before its lease"
        assert not seat.queue, "it ended while it worked"
        self.leave(seat)

    # What holds ------------------------------------------------------------------------------------------------------

    @invariant()
    def everybody_was_told(self) -> None:
        for desk in self.desks:
            said = sorted((_told(frame) for frame in desk.line.frames), key=repr)
            assert said == sorted(desk.owed, key=repr)
            desk.line.frames.clear()
            desk.owed.clear()

    @invariant()
    def agreement(self) -> None:
        assert set(self.manager.sessions) == set(self.seats)
        assert self.manager.active == self.places <= MOST
        waiting = 0
        for desk in self.desks:
            assert set(desk.connection.sessions) == {seat.id for seat in self.seats.values() if seat.holder is desk}
            assert desk.line.reads
            waiting += desk.connection._pending
        seats = [*self.seats.values(), *(seat for seat, _ in self.closing)]
        asked = [desk for seat in seats for one in seat.queue for desk in one.desks if desk in self.desks]
        closers = [closer for _, closer in self.closing if closer is not None and closer[0] in self.desks]
        assert waiting == len(asked) + len(closers)
        for seat in self.seats.values():
            assert self.manager.sessions[seat.id].attached is (seat.holder is not None)
        living = [seat.environment for seat in seats]
        for environment in Counter.made:
            assert environment.closings == (0 if any(environment is one for one in living) else 1)

    def teardown(self) -> None:
        for seat in [*self.seats.values(), *(seat for seat, _ in self.closing)]:
            while seat.queue:
                assert seat.environment.gate is not None
                self.call(seat.environment.gate.set_result, None)
                seat.count += 1
                self.ended(seat, seat.count)
        self.everybody_was_told()
        for desk in self.desks:
            self.call(desk.connection.end)
        assert self.core.replying == 0
        self.loop.free = time.monotonic()
        self.loop.run_until_complete(self.manager.shutdown())
        assert [environment.closings for environment in Counter.made] == [1] * len(Counter.made)
        assert self.manager.active == 0
        assert not self.shared.keys._opened
        self.call(lambda: None)
        self.loop.close()
        asyncio.set_event_loop(None)


def _told(frame: dict[str, Any]) -> tuple[int, str | None, Told]:
    number, session = frame["id"], frame.get("session")
    if "error" in frame:
        return number, session, frame["error"]["code"]
    ok = frame["ok"]
    if "observation" in ok:
        return number, session, ok["observation"]["count"]
    if "state" in ok:
        return number, session, {"steps": ok["state"]["step_count"], "busy": ok["busy"]}
    if "sessions" in ok:
        return number, session, {"sessions": sorted(ok["sessions"])}
    return number, session, {key: value for key, value in ok.items() if key != "episode_id"}


TestLifeCycles = pytest.mark.timeout(300)(LifeCycles.TestCase)
TestLifeCycles.settings = settings(
    max_examples=250,
    stateful_step_count=30,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
