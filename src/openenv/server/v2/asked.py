"""Requests that are being done."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from openenv.operation import Operation, Result
from openenv.protocol.v2_answers import Body

if TYPE_CHECKING:
    from openenv.runtime import Session
    from openenv.server.v2.doing import Doing

__all__ = ["Asked", "Batch", "Done"]

Done = Callable[[list[Body]], None]


class Batch:
    """The results of a batch of steps, as they come; ``done`` gets them when all are there, in the order of the entries."""

    __slots__ = ("_bodies", "_done", "_left")

    def __init__(self, entries: int, done: Done) -> None:
        self._bodies: list[Body | None] = [None] * entries
        self._done = done
        self._left = entries

    def put(self, place: int, body: Body) -> None:
        """The result of the entry at this place."""
        self._bodies[place] = body
        self._left -= 1
        if not self._left:
            self._done([one for one in self._bodies if one])


class Asked:
    """One request about one session: what was asked, and who is to be told."""

    answered = False
    """Whether whoever asked was told, perhaps only that its deadline has passed."""
    expired = False
    settled = False
    """Whether its result is there."""
    begun = False
    """Whether the session's ledger knows that it runs."""
    waiting = False
    """Whether it counts among the connection's requests without an answer."""
    timer: asyncio.TimerHandle | None = None
    batch: Batch | None = None
    index = 0
    """Its place in the batch."""

    def __init__(self, doing: Doing, number: int, session: Session, operation: Operation, digest: int | None = None) -> None:
        operation.session = session.id
        operation.id = number
        self.doing = doing
        self.number = number
        self.session = session
        self.operation = operation
        self.digest = digest
        """Of the frame, where what it asks for is done once."""

    def finished(self, result: Result) -> None:
        """What the pipeline calls when the result comes later."""
        self.doing.finished(self, result)

    def passed(self) -> None:
        """Its deadline has passed."""
        self.timer = None
        if not self.answered:
            self.doing.expire(self)

    def cancel(self) -> None:
        """Take it back, or stop it where it can be."""
        control = self.operation.control
        if control is not None:
            control.cancel()
