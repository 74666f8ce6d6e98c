"""The grader's client."""

from openenv.core.client_types import StepResult
from openenv.core.env_client import EnvClient

from .models import GradedAction, GradedObservation, GradedState


class GradedEnv(EnvClient[GradedAction, GradedObservation, GradedState]):
    """Plain models both ways."""

    def _step_payload(self, action):
        return action.model_dump(exclude={"metadata"})

    def _parse_result(self, payload):
        observation = GradedObservation(**payload["observation"])
        observation.reward = payload["reward"]
        observation.done = payload["done"]
        return StepResult(observation=observation, reward=payload["reward"], done=payload["done"])

    def _parse_state(self, payload):
        return GradedState(**payload)
