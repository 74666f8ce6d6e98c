"""The toy agent's server."""

from __future__ import annotations

from openenv.core.env_server.http_server import create_app
from openenv.core.env_server.types import Observation
from openenv.core.harness import HarnessAction, HarnessEnvironment
from tests.core.harness.agents import ProcessAgent, toolbox


def make() -> HarnessEnvironment:
    """One environment, with one agent."""
    return HarnessEnvironment(ProcessAgent(), mcp=toolbox())


app = create_app(make, HarnessAction, Observation, env_name="agent")
production = create_app(make, HarnessAction, Observation, env_name="agent", mode="production")
