"""A session: one principal's seat in a world."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from openenv.operation import Principal, RequestContext
    from openenv.runtime.ledger import Ledger
    from openenv.runtime.world import World

__all__ = ["ForkRequest", "Holder", "Session", "SessionRequest"]


class Holder(Protocol):
    """A connection that gives up a session when another one asks for it."""

    def taken(self, session: Session) -> None:
        """Another connection has the session now."""


@dataclass(frozen=True, slots=True)
class SessionRequest:
    """What a ``create`` operation asks for."""

    kind: Literal["socket", "free"] = "free"
    """``socket``: it ends with its socket. ``free``: it lives until its lease runs out or somebody closes it."""
    world_name: str | None = None
    implicit: bool = False
    """The caller's own session of a named world: found again by that name, made when it is not there."""
    lease_s: float | None = None
    """How long it lives without a socket and a request; the server's own lease where it is None."""


@dataclass(frozen=True, slots=True)
class ForkRequest:
    """What a ``fork`` operation asks for: one session for each seed, its chance replaced where that is not None."""

    seeds: tuple[int | None, ...]
    lease_s: float | None = None


@dataclass(slots=True)
class Session:
    """Who sits in which world, and until when."""

    id: str
    principal: Principal
    context: RequestContext
    world: World
    kind: Literal["socket", "free"]
    key: tuple[str, str, str] | None = None
    """(tenant, principal, world name) of an implicit session."""
    lease_s: float | None = None
    """Its own lease in seconds, where it is not the server's."""
    expires: float = 0.0
    """When the lease of a free session runs out, on the loop's clock."""
    attached: bool = False
    """Whether a socket holds a free session; a socket's own session is always held."""
    holder: Holder | None = None
    """Who holds it, where another connection may take it over."""
    ledger: Ledger | None = None
    """What it has answered, where its caller speaks a dialect in which nothing is done twice."""
    parent: str | None = None
    """The session that it is a fork of."""
    close_when_detached: bool = False
    ended: str | None = None
    """Why it has ended, once it has."""
    on_end: Callable[[str], None] | None = None
    """Set by the socket that holds it: told when somebody else ends it."""
    watchers: set[Callable[[str], None]] = field(default_factory=set)
    """Told why it ended, beside whoever holds it."""
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def describe(self) -> dict[str, Any]:
        """What the session list shows of it."""
        play = self.world.play
        return {
            "session_id": self.id,
            "world": self.world.name,
            "parent": self.parent,
            "kind": self.kind,
            "attached": self.attached or self.kind == "socket",
            "busy": self.world.busy,
            "episode_id": play.environment.episode_id if play else None,
            "steps": play.environment.step_count if play else 0,
            "scenario": play.scenario.id if play and play.scenario else None,
            "created_at": self.created_at.isoformat(),
        }
