"""``uvicorn graded_env.server.app:app``, and an application for each other grader."""

from openenv.core.env_server import create_app

from ..models import GradedAction, GradedObservation, GradedState
from .graded_environment import ConsideredEnvironment, GradedEnvironment, JourneyEnvironment, LastWordEnvironment

TYPES = (GradedAction, GradedObservation)

app = create_app(GradedEnvironment, *TYPES, env_name="graded_env", max_concurrent_envs=4, state_cls=GradedState)
journey = create_app(JourneyEnvironment, *TYPES, env_name="journey", max_concurrent_envs=2)
last_word = create_app(LastWordEnvironment, *TYPES, env_name="last_word")
considered = create_app(ConsideredEnvironment, *TYPES, env_name="considered", max_concurrent_envs=2)


def main():
    """The script ``server``."""
    import uvicorn

    uvicorn.run(app, host="127.0.0.1", port=8000)
