"""An agent as a guest of the engine: who asked for a step hears of its turn while it runs."""

from __future__ import annotations

from typing import Any

from openenv.core.env_server.guest import LoopGuest
from openenv.environment import Context

__all__ = ["HarnessGuest"]


class HarnessGuest(LoopGuest):
    """A `HarnessEnvironment`. One operation runs at a time, so that its listener is the one of the step."""

    async def step(self, action: Any, context: Context, **kwargs: Any) -> Any:  # type: ignore[override]  # the engine gives it
        """The instance's step; its events go to the caller."""
        control = context.control
        self.inner.listener = control.on_event if control is not None else None
        try:
            return await super().step(action, **kwargs)
        finally:
            self.inner.listener = None
