"""The echo environment as its author writes it for openenv 0.10.0, served as that version serves it.

Runs in benchmarks/.venv-reference, where ``openenv`` is the package index's 0.10.0.
"""

# pyright: reportMissingImports=false, reportAttributeAccessIssue=false
# mypy: ignore-errors
from __future__ import annotations

from uuid import uuid4

from openenv.core.env_server import Action, Environment, Observation, State, create_app


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


app = create_app(EchoEnvironment, EchoAction, EchoObservation, env_name="echo", max_concurrent_envs=512)
