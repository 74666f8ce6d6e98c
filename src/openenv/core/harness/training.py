"""Model calls fit to train on: tokens as the engine had them, and which of them count."""

from __future__ import annotations

import math
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = ["TrainingTrace", "TrainingTurn"]


class TrainingTurn(BaseModel):
    """One call of the engine.

    ``loss_mask`` is as long as prompt and completion together: 1 for a token that is trained on, 0 for context. The
    prompt is always context. A completion has one logprob per token, finite and not above 0.
    """

    model_config = ConfigDict(strict=True, extra="forbid")

    node_id: str = Field(min_length=1)
    prompt_token_ids: list[int]
    completion_token_ids: list[int]
    per_token_logps: list[float]
    loss_mask: list[int]
    request: dict[str, Any] = Field(default_factory=dict)
    response: dict[str, Any] = Field(default_factory=dict)
    metadata: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def validate_capture(self) -> TrainingTurn:
        """Refuse what would train on the wrong tokens."""
        fault = self._fault()
        if fault is not None:
            kind, text = fault
            raise ValueError(f"invalid training turn {self.node_id!r}: {kind}: {text}")
        return self

    def _fault(self) -> tuple[str, str] | None:
        prompt, completion, logprobs, mask = (
            self.prompt_token_ids,
            self.completion_token_ids,
            self.per_token_logps,
            self.loss_mask,
        )
        checks = (
            (not prompt, "no_prompt_ids", "the engine returned no prompt_token_ids; ask it to"),
            (min((*prompt, *completion), default=0) < 0, "invalid_token_id", "token ids must not be negative"),
            (
                len(logprobs) != len(completion),
                "logprob_misalign",
                f"{len(completion)} completion tokens need as many logprobs, not {len(logprobs)}",
            ),
            (not all(map(math.isfinite, logprobs)), "invalid_logprob", "logprobs must be finite"),
            (max(logprobs, default=0.0) > 0, "positive_logprob", "logprobs must not be above 0"),
            (
                len(mask) != len(prompt) + len(completion),
                "length_mismatch",
                f"loss_mask must have {len(prompt) + len(completion)} entries for prompt and completion, not {len(mask)}",
            ),
            (not set(mask) <= {0, 1}, "invalid_loss_mask", "loss_mask may hold 0 and 1 only"),
            (any(mask[: len(prompt)]), "trainable_prompt", "the loss_mask of the prompt must be 0"),
        )
        return next(((kind, text) for failed, kind, text in checks if failed), None)


class TrainingTrace(BaseModel):
    """The calls of one rollout, in order; each ``node_id`` once."""

    model_config = ConfigDict(strict=True, extra="forbid")

    schema_version: Literal[1] = 1
    turns: list[TrainingTurn]

    @model_validator(mode="after")
    def unique_calls(self) -> TrainingTrace:
        """Refuse a call that is there twice."""
        seen = [turn.node_id for turn in self.turns]
        twice = sorted({one for one in seen if seen.count(one) > 1})
        if twice:
            raise ValueError(f"training trace contains duplicate node_ids: {', '.join(twice)}")
        return self

    @classmethod
    def from_entries(cls, entries: list[dict[str, Any]]) -> TrainingTrace:
        """A trace of entries such as `to_trace_entries` makes: ``metadata["node_id"]`` names each; tokens are not guessed.

        Raises:
            KeyError: An entry lacks its metadata, node id, tokens, logprobs or mask.
            ValidationError: An entry is of the wrong shape, or would train on the wrong tokens.
        """
        needed = ("prompt_token_ids", "completion_token_ids", "per_token_logps", "loss_mask")
        turns = [
            {
                "node_id": entry["metadata"]["node_id"],
                **{key: entry[key] for key in needed},
                **{key: entry[key] for key in ("request", "response", "metadata") if key in entry},
            }
            for entry in entries
        ]
        return cls.model_validate({"turns": turns})

    def to_trace_entries(self) -> list[dict[str, Any]]:
        """The calls as plain entries, for reward functions and viewers."""
        return [
            {
                **turn.model_dump(exclude={"node_id", "request", "response", "metadata"}),
                "request": turn.request,
                "response": turn.response,
                "metadata": {**turn.metadata, "node_id": turn.node_id},
            }
            for turn in self.turns
        ]
