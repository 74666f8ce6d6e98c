"""A session: one principal's seat in a world."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from openenv.operation import Principal, RequestContext
    from openenv.runtime.world import World

__all__ = ["Session", "SessionRequest"]


@dataclass(frozen=True, slots=True)
class SessionRequest:
    """What a ``create`` operation asks for."""

    kind: Literal["socket", "free"] = "free"
    """``socket``: it ends with its socket. ``free``: it lives until its lease runs out or somebody closes it."""
    world_name: str | None = None
    implicit: bool = False
    """The caller's own session of a named world: found again by that name, made when it is not there."""


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
    expires: float = 0.0
    """When the lease of a free session runs out, on the loop's clock."""
    attached: bool = False
    """Whether a socket holds a free session; a socket's own session is always held."""
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
            "kind": self.kind,
            "attached": self.attached or self.kind == "socket",
            "busy": self.world.busy,
            "episode_id": play.environment.episode_id if play else None,
            "steps": play.environment.step_count if play else 0,
            "scenario": play.scenario.id if play and play.scenario else None,
            "created_at": self.created_at.isoformat(),
        }
