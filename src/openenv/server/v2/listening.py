"""Events: what a connection has subscribed to, and where it comes from."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from openenv.errors import OpenEnvError, SessionError, ValidationFailed
from openenv.operation import Notice, Operation, OpName, Result
from openenv.protocol.v2 import Request
from openenv.protocol.v2_answers import shown
from openenv.runtime import Session

if TYPE_CHECKING:
    from openenv.server.v2.asked import Asked
    from openenv.server.v2.connection import V2Connection

__all__ = ["Listening"]

MOST_WAITING: Final = 1024 * 1024
"""Bytes that may wait for a client; an event that finds more is dropped."""
_WATCHED: Final = frozenset({"reset", "step", "call_tool"})
_WATCHABLE: Final = frozenset({"step", "session_ended"})
"""Events of sessions that need not be attached, where ``step`` is one of them."""


class Listening:
    """One connection's subscriptions: event names, each for some sessions or, as None, for all that the connection holds."""

    def __init__(self, connection: V2Connection) -> None:
        self._connection = connection
        self._wanted: dict[str, set[str | None]] = {}
        self._ears: dict[str, list[Callable[[], None]]] = {}
        """By session: what takes its listeners off again."""
        self._watched: dict[str, Callable[[], None]] = {}
        self._dropped = 0

    def subscribe(self, request: Request) -> None:
        """Answer a ``subscribe``."""
        connection = self._connection
        names, named = set(request.data.events), request.session
        if named is not None:
            self._check(request, names, named)
        elif "step" in names:
            raise ValidationFailed("'step' needs a session to watch", field="session", hint="Name one.")
        for name in names:
            self._wanted.setdefault(name, set()).add(named)
        if "step" in names and named is not None:
            self._watch(connection.core.manager.session(named, connection.connection.principal))
        if "draining" in names:
            connection.core.on_drain.add(connection.drained)
        self._done(request)

    def _check(self, request: Request, names: set[str], named: str) -> None:
        connection = self._connection
        if "draining" in names:
            raise ValidationFailed("'draining' is about no session", field="session", hint="Leave it away.")
        watches = "step" in names
        op: OpName = "watch" if watches or named not in connection.sessions else "attach"
        connection.core.pipeline.check(connection.operation(Operation(op, id=request.id, session=named)))
        connection.core.manager.session(named, connection.connection.principal)
        if named not in connection.sessions and not (watches and names <= _WATCHABLE):
            raise SessionError(f"Session {named[:80]} is not attached here", hint="Attach it first.")

    def unsubscribe(self, request: Request) -> None:
        """Answer an ``unsubscribe``; it is no error when there is nothing to end."""
        for name in request.data.events:
            self._wanted.get(name, set()).discard(request.session)
        if "step" in request.data.events and request.session in self._watched:
            self._watched.pop(request.session)()
        self._done(request)

    def _done(self, request: Request) -> None:
        if request.session in self._connection.sessions:
            self._connection.session(request)  # which acknowledges
        self._connection.answer(request, self._connection.encoding.ok({}))

    def wants(self, name: str, session_id: str | None) -> bool:
        """Whether the client is to hear of this."""
        wanted = self._wanted.get(name)
        return wanted is not None and (None in wanted or session_id in wanted)

    def tell(self, name: str, session_id: str | None, data: Any) -> None:
        """Send an event, if it is wanted and the client reads."""
        connection = self._connection
        if not self.wants(name, session_id) or connection.lost:
            return
        if connection.line.waiting > MOST_WAITING:
            self._dropped += 1
            return
        try:
            frame = connection.encoding.event(name, session_id, data, self._dropped)
        except OpenEnvError as error:
            frame = connection.encoding.event(name, session_id, {"error": error.body()}, self._dropped)
        self._dropped = 0
        connection.write(frame)

    def held(self, session: Session) -> None:
        """The connection has this session now."""
        world = session.world

        def changed() -> None:
            self.tell("tools_changed", session.id, {})

        def said(event: Any) -> None:
            self.tell("environment", session.id, event)

        world.tool_listeners.add(changed)
        world.said.listeners.add(said)
        self._ears[session.id] = [
            lambda: world.tool_listeners.discard(changed),
            lambda: world.said.listeners.discard(said),
        ]

    def let_go(self, session: Session) -> None:
        """The connection has it no longer; events that are still on their way to it (it has ended, was taken) may be told."""
        for take_off in self._ears.pop(session.id, ()):
            take_off()

    def notices_of(self, asked: Asked) -> Callable[[Notice], None] | None:
        """What a running operation tells its caller; None where the caller does not listen."""
        session_id, number = asked.session.id, asked.number
        if not self.wants("progress", session_id) and not self.wants("log", session_id):
            return None

        def noticed(notice: Notice) -> None:
            if notice.kind == "progress":
                data = {"id": number, "progress": notice.progress, "total": notice.total, "message": notice.message}
            else:
                data = {"id": number, "level": notice.level, "message": notice.message}
            self.tell(notice.kind, session_id, data)

        return noticed

    def _watch(self, session: Session) -> None:
        if session.id in self._watched:
            return
        world = session.world

        def seen(operation: Operation, result: Result) -> None:
            if operation.session != session.id or operation.op not in _WATCHED or result.error is not None:
                return
            try:
                data = shown(operation, result)
            except OpenEnvError as error:
                data = {"op": operation.op, "error": error.body()}
            self.tell("step", session.id, data)

        def ended(reason: str) -> None:
            self.tell("session_ended", session.id, {"reason": reason})
            self.forget(session.id)

        def stop() -> None:
            world.observers.discard(seen)  # a named world may live on
            session.watchers.discard(ended)

        world.observers.add(seen)
        session.watchers.add(ended)
        self._watched[session.id] = stop

    def forget_unwatched(self, session_id: str) -> None:
        """The connection has this session no longer: what it is to hear of it is over, unless it watches it."""
        if session_id not in self._watched:
            self.forget(session_id)

    def forget(self, session_id: str) -> None:
        """The session has ended, and whoever is to hear of that was told."""
        stop = self._watched.pop(session_id, None)
        if stop is not None:
            stop()
        for sessions in self._wanted.values():
            sessions.discard(session_id)

    def end(self) -> None:
        """The connection is gone."""
        connection = self._connection
        for stop in self._watched.values():
            stop()
        self._watched.clear()
        connection.core.on_drain.discard(connection.drained)
