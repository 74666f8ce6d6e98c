"""``uvicorn slow_env.server.app:app``, and two more applications beside it."""

from __future__ import annotations

from openenv.core.env_server import ConcurrencyConfig, create_app

from ..models import SlowAction, SlowObservation
from .slow_environment import LonelyEnvironment, OneThreadEnvironment, SlowEnvironment

app = create_app(
    SlowEnvironment,
    SlowAction,
    SlowObservation,
    env_name="slow_env",
    concurrency_config=ConcurrencyConfig(max_concurrent_envs=3, session_timeout=120),
)
one_thread = create_app(
    OneThreadEnvironment,
    SlowAction,
    SlowObservation,
    env_name="one_thread",
    concurrency_config=ConcurrencyConfig(max_concurrent_envs=3),
)
lonely = create_app(LonelyEnvironment, SlowAction, SlowObservation)


def main() -> None:
    """The script ``server``."""
    import uvicorn

    uvicorn.run(app, host="127.0.0.1", port=8000)
