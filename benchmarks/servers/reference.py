"""The same environments as their author writes them for openenv 0.10.0, served as that version serves them.

Runs in benchmarks/.venv-reference, where ``openenv`` is the package index's 0.10.0: ``reference:NAME`` for uvicorn.
"""

# pyright: reportMissingImports=false, reportAttributeAccessIssue=false, reportOptionalMemberAccess=false
# mypy: ignore-errors
from __future__ import annotations

import asyncio
import time
from uuid import uuid4

from openenv.core.env_server import Action, Environment, Observation, State, create_app

_SLEEP_S = 0.005
_ROOM = 2048


class EchoAction(Action):
    """What to say back."""

    message: str


class EchoObservation(Observation):
    """What was heard."""

    echoed: str


class EchoEnvironment(Environment):
    """Says back what it hears."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self) -> None:
        super().__init__()
        self._state = State(episode_id=None, step_count=0)

    def reset(self, seed: int | None = None, episode_id: str | None = None, **kwargs: object) -> EchoObservation:
        """Begin an episode."""
        self._state = State(episode_id=episode_id or str(uuid4()), step_count=0)
        return EchoObservation(echoed="", reward=0.0, done=False)

    def step(self, action: EchoAction, timeout_s: float | None = None, **kwargs: object) -> EchoObservation:
        """Echo."""
        self._state.step_count += 1
        return EchoObservation(echoed=action.message, reward=0.0, done=False)

    @property
    def state(self) -> State:
        """Where the episode stands."""
        return self._state


class Asynchronous(EchoEnvironment):
    """The same in coroutines."""

    async def reset_async(self, seed: int | None = None, episode_id: str | None = None, **kwargs: object) -> EchoObservation:
        """Begin an episode."""
        return self.reset(seed, episode_id)

    async def step_async(self, action: EchoAction, timeout_s: float | None = None, **kwargs: object) -> EchoObservation:
        """Echo."""
        await asyncio.sleep(0)
        return self.step(action)


class Blocking(EchoEnvironment):
    """The same, 5 ms later, with its thread blocked meanwhile."""

    def step(self, action: EchoAction, timeout_s: float | None = None, **kwargs: object) -> EchoObservation:
        """Sleep, then echo."""
        time.sleep(_SLEEP_S)
        return super().step(action)


def _tools() -> type[Environment]:
    from fastmcp import FastMCP

    from openenv.core.env_server.mcp_environment import MCPEnvironment

    class Tools(MCPEnvironment):
        """The echo as a tool."""

        SUPPORTS_CONCURRENT_SESSIONS = True

        def __init__(self) -> None:
            server = FastMCP("echo")

            @server.tool
            def echo(message: str) -> str:
                """Say it back."""
                return message

            super().__init__(server)
            self._state = State(episode_id=None, step_count=0)

        def reset(self, seed: int | None = None, episode_id: str | None = None, **kwargs: object) -> Observation:
            """Begin an episode."""
            return Observation(reward=0.0, done=False)

        def _step_impl(self, action: Action, timeout_s: float | None = None, **kwargs: object) -> Observation:
            return Observation(reward=0.0, done=False)

        @property
        def state(self) -> State:
            """Where the episode stands."""
            return self._state

    return Tools


def __getattr__(name: str) -> object:
    """Make the application that was asked for, and no other."""
    if name == "tools":
        from openenv.core.env_server.mcp_types import CallToolAction, CallToolObservation

        return create_app(_tools(), CallToolAction, CallToolObservation, env_name="tools", max_concurrent_envs=_ROOM)
    environment = {"echo": EchoEnvironment, "async": Asynchronous, "blocking": Blocking}.get(name)
    if environment is None:
        raise AttributeError(f"{__name__} has no {name}")
    return create_app(environment, EchoAction, EchoObservation, env_name=name, max_concurrent_envs=_ROOM)
