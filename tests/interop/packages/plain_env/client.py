"""The sentence's client."""

from typing import Any

from openenv.core import EnvClient
from openenv.core.client_types import StepResult

from .models import PlainAction, PlainObservation, PlainState, PlainVerdict


class PlainEnv(EnvClient[PlainAction, PlainObservation, PlainState]):
    """Sends what is set, reads whichever observation came, and counts."""

    def __init__(self, base_url="http://localhost:8000", language="en", **kwargs):
        super().__init__(base_url=base_url, **kwargs)
        self.language = language
        self.sent = 0

    def _step_payload(self, action: PlainAction) -> dict[str, Any]:
        self.sent += 1
        return action.model_dump(exclude_defaults=True)

    def _parse_result(self, payload: dict[str, Any]) -> StepResult[PlainObservation]:
        fields = dict(payload.get("observation", {}))
        fields.pop("grade", None)
        kind = PlainVerdict if "verdict" in fields else PlainObservation
        observation = kind(**fields, reward=payload.get("reward"), done=payload.get("done", False))
        return StepResult(
            observation=observation,
            reward=payload.get("reward"),
            done=payload.get("done", False),
            metadata=payload.get("metadata"),
        )

    def _parse_state(self, payload: dict[str, Any]) -> PlainState:
        return PlainState(**payload)

    async def say(self, *words: str) -> list[str]:
        """Several words, one after the other; the sentence after each."""
        results = [await self.step(PlainAction(word=word)) for word in words]
        return [result.observation.sentence for result in results]
