"""Sessions come and go in any order, and the manager agrees with a model of a page.

The clock is the test's own, factories and steps run where they are called, so that a failing run is the same each time.
A step can be held open; everything else may happen meanwhile.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, precondition, rule

from openenv import Action, AsyncEnvironment, Context, Observation, State
from openenv.errors import Cancelled, CapacityReached, FactoryFailed, Forbidden, OpenEnvError, SessionError
from openenv.operation import Control, Operation, Principal, RequestContext, Result
from openenv.runtime import Session, SessionRequest
from openenv.runtime.executors import ThreadPool
from openenv.runtime.room import PATIENCE_S
from openenv.runtime.session import ForkRequest
from tests.support.local import Local

LEASE_S = 10.0
REAPING_S = LEASE_S / 4
MOST = 4

ANNA = Principal("anna")
BERT = Principal("bert")
ZOE = Principal("anna", tenant="elsewhere")
OWNERS = (ANNA, BERT, ZOE)
SOMEBODY = st.sampled_from([None, None, None, None, *OWNERS])
"""Mostly the session's owner."""


class Clock(asyncio.SelectorEventLoop):
    """An event loop whose time passes when it is told to."""

    now = 1000.0
    free = 0.0
    """Since when it passes by itself, as it must for a shutdown."""

    def time(self) -> float:
        return self.now + (time.monotonic() - self.free if self.free else 0.0)


class AtOnce(ThreadPool):
    """Jobs are done where they are submitted, and told of in the loop's next turn."""

    def submit(self, job: Any, done: Callable[[Any], None], lost: Any, lane: Any = None) -> None:
        asyncio.get_running_loop().call_soon(done, job())

    def another(self) -> ThreadPool:
        return AtOnce()


class Do(Action):
    hold: bool = False


class Counted(Observation):
    count: int = 0


class Counter(AsyncEnvironment[Do, Counted, State]):
    """Counts; a step can be held."""

    snapshot_version: ClassVar[int] = 1
    made: ClassVar[list[Counter]] = []

    def __init__(self, context: Context) -> None:
        if "fail" in context.query:
            raise ValueError("told to fail")
        self.count = 0
        self.closings = 0
        self.gate: asyncio.Future[None] | None = None
        type(self).made.append(self)

    async def reset(self) -> Counted:
        self.count = 0
        return Counted()

    async def step(self, action: Do) -> Counted:
        if action.hold:
            self.gate = asyncio.get_running_loop().create_future()
            await self.gate
        self.count += 1
        return Counted(count=self.count)

    def snapshot(self) -> bytes:
        return str(self.count).encode()

    def restore(self, image: bytes) -> None:
        self.count = int(image)

    def reseed(self, seed: int) -> None:
        raise AssertionError("there is no chance here")

    async def close(self) -> None:
        self.closings += 1


@dataclass(eq=False)
class Room:
    """A world, in the model."""

    owner: Principal
    name: str | None
    count: int = 0
    seats: set[str] = field(default_factory=set)
    held: asyncio.Task[Result] | None = None
    control: Control | None = None
    environment: Counter | None = None


@dataclass(eq=False)
class Seat:
    """A session, in the model."""

    id: str
    owner: Principal
    room: Room
    kind: str
    expires: float
    attached: bool = False
    close_when_detached: bool = False
    taken: int = 0


class Holding:
    """A connection that may lose a session to another one."""

    def __init__(self) -> None:
        self.lost: list[str] = []

    def taken(self, session: Session) -> None:
        self.lost.append(session.id)


class LifeCycles(RuleBasedStateMachine):
    """The model, the rules, and what must hold after each."""

    sessions: Bundle[str] = Bundle("sessions")

    def __init__(self) -> None:
        super().__init__()
        Counter.made = []
        self.loop = Clock()
        asyncio.set_event_loop(self.loop)
        self.local = Local(Counter, pool=AtOnce(), max_sessions=MOST, lease_s=LEASE_S)
        self.manager = self.local.manager
        self.seats: dict[str, Seat] = {}
        self.gone: dict[str, float] = {}
        self.closing: list[Room] = []
        """Rooms without a session in which a step is still held: they keep their place."""

    # How things are done ---------------------------------------------------------------------------------------------

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(work)

    def begin(self, operation: Operation) -> asyncio.Task[Result]:
        """Start it, and go on until nothing moves any more."""
        task = self.loop.create_task(self.local.pipeline.run(operation))
        self.settle()
        return task

    def settle(self) -> None:
        async def turns() -> None:
            for _ in range(50):
                await asyncio.sleep(0)

        self.run(turns())

    def done(self, operation: Operation) -> Result:
        task = self.begin(operation)
        assert task.done(), f"{operation.op} does not end"
        return task.result()

    def seat(self, session: str, principal: Principal) -> Seat | None:
        """The session, if this principal may use it; its lease is renewed by being asked for, as the manager does it."""
        found = self.seats.get(session)
        if found is None:
            return None
        may = (
            found.owner == principal
            if principal.session is None
            else (principal.session == session and principal.tenant == found.owner.tenant)
        )
        if may and not found.attached:
            found.expires = self.loop.now + LEASE_S
        return found if may else None

    def principal(self, session: str, somebody: Principal | None) -> Principal:
        return somebody or (self.seats[session].owner if session in self.seats else ANNA)

    def leave(self, seat: Seat) -> None:
        """The session is over; so is its room, when it was the last, once nothing is held in it."""
        del self.seats[seat.id]
        self.gone[seat.id] = self.loop.now
        seat.room.seats.discard(seat.id)
        if not seat.room.seats and seat.room.held is not None:
            self.closing.append(seat.room)

    def refused(self, result: Result, kind: type[OpenEnvError]) -> None:
        assert isinstance(result.error, kind), f"expected {kind.__name__}, not {result}"

    @property
    def places(self) -> int:
        return len(self.seats) + len(self.closing)

    def rooms(self) -> list[Room]:
        return list({id(seat.room): seat.room for seat in self.seats.values()}.values()) + self.closing

    # Rules -----------------------------------------------------------------------------------------------------------

    @initialize()
    def start(self) -> None:
        self.settle()

    @rule(
        target=sessions,
        owner=st.sampled_from([ANNA, ANNA, BERT, ZOE]),
        kind=st.sampled_from(["free", "free", "socket"]),
        name=st.sampled_from([None, "red"]),
        implicit=st.sampled_from([True, True, False]),
        fails=st.sampled_from([False, False, False, True]),
    )
    def create(self, owner: Principal, kind: Any, name: str | None, implicit: bool, fails: bool) -> Any:
        """Somebody wants a session: of a world of its own, or of a named one, which is shared."""
        implicit = implicit and name is not None and kind == "free"
        request = SessionRequest(kind=kind, world_name=name, implicit=implicit)
        context = RequestContext(query={"fail": "1"} if fails else {})
        task = self.begin(Operation("create", request, principal=owner, context=context))
        room = next((one for one in self.rooms() if name and (one.owner.tenant, one.name) == (owner.tenant, name)), None)
        known = next(
            (seat for seat in self.seats.values() if implicit and seat.taken == 2 and (seat.owner, seat.room) == (owner, room)),
            None,
        )
        if known is not None:
            assert task.result().session == known.id
            return multiple()
        if room is not None and room in self.closing:
            assert not task.done(), "the name is not free yet"
            self.release(room)
            room = None
        elif self.places >= MOST:
            if not task.done():
                assert self.closing, "nobody's place is being given up"
                self.pass_time(PATIENCE_S)
            self.refused(task.result(), CapacityReached)
            return multiple()
        result = task.result()
        if room is not None and room.owner.id != owner.id:
            self.refused(result, Forbidden)
            return multiple()
        if room is None and fails:
            self.refused(result, FactoryFailed)
            return multiple()
        assert result.session is not None, result
        if room is None:
            room = Room(owner, name, environment=Counter.made[-1])
        room.seats.add(result.session)
        made = Seat(result.session, owner, room, kind, self.loop.now + LEASE_S, taken=2 if implicit else 0)
        self.seats[made.id] = made
        if kind == "socket":
            self.run(_call(self.manager.attach, made.id, owner))
            made.attached = True
        return made.id

    @precondition(lambda self: any(room.name for room in self.closing))
    @rule(target=sessions)
    def open_again(self) -> Any:
        """Somebody wants a named world whose last session is over, and in which a step is still held."""
        room = next(room for room in self.closing if room.name)
        return self.create(room.owner, "free", room.name, False, False)

    @rule(session=sessions, somebody=SOMEBODY)
    def step(self, session: str, somebody: Principal | None) -> None:
        principal = self.principal(session, somebody)
        seat = self.seat(session, principal)
        if seat is not None and seat.room.held is not None:
            return
        result = self.done(Operation("step", Do(), session=session, principal=principal))
        if seat is None:
            self.refused(result, SessionError)
            assert result.error is not None
            if self.loop.now - self.gone.get(session, 0.0) < LEASE_S - 1.0:
                assert "has ended" in result.error.message, "it is remembered for a lease why it ended"
            return
        seat.room.count += 1
        assert isinstance(result.observation, Counted)
        assert result.observation.count == seat.room.count

    @rule(session=sessions)
    def hold(self, session: str) -> None:
        """A step begins, and does not end yet."""
        found = self.seats.get(session)
        if found is None or found.room.held is not None:
            return
        seat = self.seat(session, found.owner)
        assert seat is not None
        seat.room.control = self.run(_control())
        seat.room.held = self.begin(
            Operation("step", Do(hold=True), session=session, principal=seat.owner, control=seat.room.control)
        )
        assert not seat.room.held.done()

    @precondition(lambda self: any(room.held for room in self.rooms()))
    @rule(data=st.data(), cancels=st.booleans())
    def let_go(self, data: st.DataObject, cancels: bool) -> None:
        """A held step ends, or is taken back."""
        room = data.draw(st.sampled_from([one for one in self.rooms() if one.held is not None]), label="room")
        self.release(room, cancels=cancels)

    def release(self, room: Room, *, cancels: bool = False) -> None:
        assert room.held is not None
        assert room.control is not None
        assert room.environment is not None
        if cancels:
            self.loop.call_soon(room.control.cancel)
        else:
            assert room.environment.gate is not None
            room.environment.gate.set_result(None)
        self.settle()
        result, room.held = room.held.result(), None
        if cancels:
            assert isinstance(result.error, (Cancelled, SessionError))
        else:
            room.count += 1
            assert result.error is None
        for seat in self.seats.values():
            if seat.room is room and not seat.attached and seat.id == getattr(result, "session", seat.id):
                seat.expires = max(seat.expires, self.manager.sessions[seat.id].expires)
        if room in self.closing:
            self.closing.remove(room)

    @rule(session=sessions, somebody=SOMEBODY)
    def attach(self, session: str, somebody: Principal | None) -> None:
        principal = self.principal(session, somebody)
        seat = self.seat(session, principal)
        if seat is None or seat.attached:
            try:
                self.run(_call(self.manager.attach, session, principal))
            except SessionError:
                return
            raise AssertionError("it was attached twice, or is not there")
        self.run(_call(self.manager.attach, session, principal))
        seat.attached = True

    @rule(session=sessions)
    def take_over(self, session: str) -> None:
        """A connection that lost its line comes back on another one, and takes the session from the first."""
        seat = self.seats.get(session)
        if seat is None or seat.attached:
            return
        first, second = Holding(), Holding()
        self.run(_call(self.manager.attach, session, seat.owner, first))
        self.run(_call(self.manager.attach, session, seat.owner, second))
        assert (first.lost, second.lost) == ([session], [])
        self.run(_call(self.manager.detach, self.manager.sessions[session]))
        seat.expires = self.loop.now + LEASE_S

    @rule(session=sessions)
    def detach(self, session: str) -> None:
        """The socket goes: a session of its own goes with it."""
        seat = self.seats.get(session)
        if seat is None or not seat.attached:
            return
        if seat.kind == "socket":
            self.run(_call(self.manager.end, self.manager.sessions[session], "its socket closed"))
            self.leave(seat)
        else:
            self.run(_call(self.manager.detach, self.manager.sessions[session]))
            seat.attached = False
            seat.expires = self.loop.now + LEASE_S
            if seat.close_when_detached:
                self.leave(seat)
        self.settle()

    @rule(session=sessions, somebody=SOMEBODY)
    def close(self, session: str, somebody: Principal | None) -> None:
        """Somebody asks to close it: at once, or when the socket that holds it is gone."""
        principal = self.principal(session, somebody)
        seat = self.seat(session, principal)
        task = self.begin(Operation("close", session=session, principal=principal))
        if seat is None:
            self.refused(task.result(), SessionError)
        elif seat.attached and seat.kind == "free":
            seat.close_when_detached = True
            assert task.result().value["closing"] is True
        else:
            last_of_held = seat.room.held is not None and len(seat.room.seats) == 1
            assert task.done() is not last_of_held
            self.leave(seat)

    @rule(target=sessions, session=sessions, somebody=SOMEBODY, count=st.integers(1, 3))
    def fork(self, session: str, somebody: Principal | None, count: int) -> Any:
        """Copies of a world, all of them or none."""
        principal = self.principal(session, somebody)
        seat = self.seat(session, principal)
        if seat is not None and seat.room.held is not None:
            return multiple()
        result = self.done(Operation("fork", ForkRequest((None,) * count), session=session, principal=principal))
        if seat is None:
            self.refused(result, SessionError)
            return multiple()
        if self.places + count > MOST:
            self.refused(result, CapacityReached)
            return multiple()
        assert result.error is None, result.error
        assert len(result.value) == count
        for number, made in enumerate(result.value):
            room = Room(principal, None, count=seat.room.count, seats={made}, environment=Counter.made[number - count])
            self.seats[made] = Seat(made, principal, room, "free", self.loop.now + LEASE_S)
        return multiple(*result.value)

    @rule(session=sessions, other=sessions)
    def bound_token(self, session: str, other: str) -> None:
        """A token for one session is good for that one, and opens no other."""
        found = self.seats.get(session)
        if found is None:
            return
        bound = Principal("agent", tenant=found.owner.tenant, session=session)
        self.step(session, bound)
        if other != session:
            self.refused(self.done(Operation("state", session=other, principal=bound)), SessionError)
        self.refused(self.done(Operation("create", SessionRequest(), principal=bound)), Forbidden)
        if found.room.held is None:
            self.refused(self.done(Operation("fork", ForkRequest((None,)), session=session, principal=bound)), Forbidden)
            self.seat(session, bound)

    @rule(seconds=st.sampled_from([0.5, 6.0, 30.0]))
    def wait(self, seconds: float) -> None:
        self.pass_time(seconds)

    def pass_time(self, seconds: float) -> None:
        """Time passes; what nobody asked for in the length of its lease ends, within a quarter of one."""
        until = self.loop.now + seconds
        while self.loop.now < until:
            self.loop.now = min(until, self.loop.now + 0.25)
            self.settle()
            for seat in list(self.seats.values()):
                if seat.attached or (seat.id in self.manager.sessions and seat.expires >= self.loop.now):
                    continue
                if seat.id not in self.manager.sessions:
                    assert seat.expires < self.loop.now, "it ended before its lease"
                    assert seat.room.held is None, "it ended while it worked"
                    self.leave(seat)
                elif seat.room.held is None:
                    assert self.loop.now <= seat.expires + REAPING_S + 0.5, "its lease is over"

    # What holds ------------------------------------------------------------------------------------------------------

    @invariant()
    def agreement(self) -> None:
        assert set(self.manager.sessions) == set(self.seats)
        assert self.manager.active == self.places <= MOST
        for principal in OWNERS:
            mine = {seat.id for seat in self.seats.values() if seat.owner == principal}
            assert {session.id for session in self.manager.visible(principal)} == mine
        living = [room.environment for room in self.rooms()]
        for environment in Counter.made:
            assert environment.closings == (0 if any(environment is one for one in living) else 1)

    def teardown(self) -> None:
        for room in self.rooms():
            if room.held is not None:
                self.release(room)
        self.loop.free = time.monotonic()
        self.run(self.manager.shutdown())
        assert [environment.closings for environment in Counter.made] == [1] * len(Counter.made)
        assert self.manager.active == 0
        self.settle()
        self.loop.close()
        asyncio.set_event_loop(None)


async def _control() -> Control:
    return Control()


async def _call(function: Callable[..., Any], *args: Any) -> Any:
    return function(*args)


TestLifeCycles = pytest.mark.timeout(300)(LifeCycles.TestCase)
TestLifeCycles.settings = settings(
    max_examples=150,
    stateful_step_count=30,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
