"""Requests that are being done."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from openenv.operation import Operation, Result
from openenv.protocol.v2_answers import Body

if TYPE_CHECKING:
    from openenv.runtime import Session
    from openenv.server.v2.doing import Doing

__all__ = ["Asked", "Batch", "Whole"]


class Collects(Protocol):
    """Takes results of some entries of a batch."""

    def put(self, places: list[int], bodies: list[Body]) -> None:
        """Some of the results."""


Whole = tuple[Collects, list[int]]


class Batch:
    """A frame of many steps, and what is there of its answer."""

    __slots__ = ("as_finished", "bodies", "left", "number", "whole")

    def __init__(self, number: int, entries: int, *, as_finished: bool, whole: Whole | None = None) -> None:
        self.number = number
        self.as_finished = as_finished
        self.bodies: list[Body | None] = [None] * entries
        self.left = entries
        self.whole = whole
        """Where the results go to, when this is a part of a batch, and which of its entries these are."""


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

    def __init__(
        self, doing: Doing, number: int, session: Session, operation: Operation, digest: int | None = None
    ) -> None:
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
