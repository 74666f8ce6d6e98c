"""The shop's client: a reset shows another kind of observation than a step."""

from openenv.core import EnvClient
from openenv.core.client_types import StepResult
from openenv.core.env_server.types import Observation

from .models import ShopAction, ShopFront, ShopObservation, ShopState


class ShopEnv(EnvClient[ShopAction, Observation, ShopState]):
    """Tells the two apart by their fields."""

    def _step_payload(self, action):
        return action.model_dump(mode="json", exclude_none=True, exclude={"metadata"})

    def _parse_result(self, payload):
        data = payload["observation"]
        kind = ShopFront if "shelves" in data else ShopObservation
        return StepResult(
            observation=kind(**data, reward=payload["reward"], done=payload["done"]),
            reward=payload["reward"],
            done=payload["done"],
        )

    def _parse_state(self, payload):
        return ShopState(**payload)
