"""An application with a middleware of its own."""

from __future__ import annotations

from echo_env.environment import EchoEnvironment
from openenv import create_app
from openenv.middleware import Hooks


class Budget(Hooks):
    """Does nothing."""


app = create_app(EchoEnvironment, env_name="echo", middleware=[Budget()])
