"""A rubric that asks a language model."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from openenv.core.rubrics.base import Rubric

if TYPE_CHECKING:
    from openenv.core.llm_client import LLMClient

__all__ = ["LLMJudge"]

FIRST_NUMBER = r"(\d+\.?\d*)"


class LLMJudge(Rubric):
    """Shows a model an action and an observation, and reads a score out of what it says. Its score is a coroutine.

    Args:
        prompt_template: For ``str.format``, with the names ``{action}`` and ``{observation}``; other braces are doubled.
        client: Whom to ask.
        score_pattern: A regular expression for the score, in its first group or as a whole; the first number without sign
            where it is not given.
        default_score: Where the answer has no score.
        normalize: Whether a score below 0 counts as 0.0 and one above 1 as 1.0; the default score counts as it is.
    """

    prompt_template: str
    default_score: float
    normalize: bool

    def __init__(
        self,
        prompt_template: str,
        client: LLMClient,
        *,
        score_pattern: str | None = None,
        default_score: float = 0.0,
        normalize: bool = True,
    ) -> None:
        super().__init__()
        self.prompt_template = prompt_template
        self.default_score = default_score
        self.normalize = normalize
        self._client = client
        self._score_pattern = _compiled(score_pattern)

    async def forward(self, action: Any, observation: Any) -> float:  # type: ignore[override]  # a score that waits
        """Ask, and read the score. Raises what the client raises: a model that does not answer has given no score."""
        prompt = self.prompt_template.format(action=action, observation=observation)
        return self._read(await self._client.complete(prompt))

    def state_dict(self) -> dict[str, Any]:
        """The settings, without the client."""
        return {
            "prompt_template": self.prompt_template,
            "score_pattern": self._score_pattern.pattern,
            "default_score": self.default_score,
            "normalize": self.normalize,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take settings over; what ``state`` does not name stays. Raises `re.error` for a pattern that is none."""
        if "score_pattern" in state:
            self._score_pattern = _compiled(state["score_pattern"])
        self.prompt_template = state.get("prompt_template", self.prompt_template)
        self.default_score = state.get("default_score", self.default_score)
        self.normalize = state.get("normalize", self.normalize)

    def _read(self, answer: str) -> float:
        found = self._score_pattern.search(answer)
        if found is None:
            return self.default_score
        text = found.group(1) if self._score_pattern.groups else found.group()
        try:
            score = float(text or "")
        except ValueError:
            return self.default_score
        if not math.isfinite(score):
            return self.default_score
        return min(1.0, max(0.0, score)) if self.normalize else score


def _compiled(pattern: str | None) -> re.Pattern[str]:
    return re.compile(FIRST_NUMBER if pattern is None else pattern)
