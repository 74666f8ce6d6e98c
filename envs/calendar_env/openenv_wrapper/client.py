"""A client of the Calendar Gym that acts as one of its users."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from calendar_env.models import CalendarAction, CalendarObservation, CalendarState
from calendar_env.users import ALICE
from openenv.client import EnvClient

__all__ = ["MCPEnvClient"]


class MCPEnvClient(EnvClient[CalendarAction, CalendarObservation, CalendarState]):
    """Typed steps in the Calendar Gym: ``with MCPEnvClient(base_url="http://localhost:8004") as client: …``

    Args:
        base_url: Where the server is.
        access_token: Who acts; the seed world's Alice by default.
        database_id: A shared database that outlives the session; without it the world is the session's own.
        headers: More headers for the handshake.
        options: What `openenv.client.EnvClient` takes besides: timeouts, ``session_id``.
    """

    observation_type = CalendarObservation
    state_type = CalendarState

    def __init__(
        self,
        base_url: str,
        *,
        access_token: str = ALICE.access_token,
        database_id: str | None = None,
        headers: Mapping[str, str] | None = None,
        **options: Any,
    ) -> None:
        sent = {"x-access-token": access_token, **(headers or {})}
        if database_id is not None:
            sent["x-database-id"] = database_id
        super().__init__(base_url, headers=sent, **options)
