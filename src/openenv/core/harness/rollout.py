"""Rollouts: one call runs a whole episode of a session, for a trainer or for a data set."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from openenv.core.env_server.mcp_types import RESERVED_TOOL_NAMES
from openenv.core.harness._drivers import (
    CLIHarnessAdapter,
    HarnessAdapter,
    HarnessRolloutResult,
    HarnessRunLimits,
    MCPHarnessAdapter,
    ModelStep,
    ModelStepResult,
    RolloutEvent,
    SessionMCPBridge,
    ToolTraceEntry,
)
from openenv.core.harness._sessions import (
    LoopOwningSession,
    Message,
    ResourceSession,
    ResourceSessionFactory,
    SessionT,
    StepEnvSessionAdapter,
    ToolResult,
    TraceEntry,
    TrainableSession,
    VerifyResult,
)

__all__ = [
    "RESERVED_TOOL_NAMES",
    "CLIHarnessAdapter",
    "HarnessAdapter",
    "HarnessRolloutResult",
    "HarnessRunLimits",
    "LoopOwningSession",
    "MCPHarnessAdapter",
    "Message",
    "ModelStep",
    "ModelStepResult",
    "ResourceSession",
    "ResourceSessionFactory",
    "RolloutEvent",
    "SessionMCPBridge",
    "SessionT",
    "StepEnvSessionAdapter",
    "ToolResult",
    "ToolTraceEntry",
    "TraceEntry",
    "TrainableSession",
    "VerifyResult",
    "build_harness_rollout_func",
    "env_reward_of",
    "run_episode",
    "trace_as_dicts",
]


def build_harness_rollout_func(
    *,
    session_factory: Any,
    harness_adapter: HarnessAdapter,
    model_step_builder: Callable[[Any, ResourceSession], ModelStep],
    limits: HarnessRunLimits | None = None,
    reward_key: str = "env_reward",
) -> Callable[[list[Any], Any], dict[str, list[Any]]]:
    """A function for TRL's ``rollout_func``: prompts and the trainer in, tokens and rewards out.

    Each prompt is the task of a session of its own, one after the other. The result has ``prompt_ids``,
    ``completion_ids``, ``logprobs``, the rewards under ``reward_key``, and ``verify_metrics``: lists as long as the prompts.

    Args:
        session_factory: Has ``create(task=…)``.
        harness_adapter: Its ``run_white_box`` runs each rollout.
        model_step_builder: Makes the model's step from the trainer and the session.
        limits: Of each rollout.
        reward_key: Where the rewards are told.

    The function raises what a session, the model or the adapter raises, and a ValueError where `env_reward_of` does.
    """

    def rollout_func(prompts: list[Any], trainer: Any) -> dict[str, list[Any]]:
        columns: dict[str, list[Any]] = {
            "prompt_ids": [],
            "completion_ids": [],
            "logprobs": [],
            reward_key: [],
            "verify_metrics": [],
        }
        for prompt in prompts:
            session = session_factory.create(task=prompt)
            try:
                rollout, verdict = run_episode(harness_adapter, model_step_builder(trainer, session), session, limits)
                reward = env_reward_of(rollout, verdict)
            finally:
                session.close()
            columns["prompt_ids"].append(rollout.prompt_ids)
            columns["completion_ids"].append(rollout.completion_ids)
            columns["logprobs"].append(rollout.logprobs)
            columns[reward_key].append(reward)
            columns["verify_metrics"].append(verdict.metrics)
        return columns

    return rollout_func


def run_episode(
    adapter: HarnessAdapter, model_step: ModelStep, session: ResourceSession, limits: HarnessRunLimits | None
) -> tuple[HarnessRolloutResult, VerifyResult]:
    """Run a session to its end and let it verify what happened. Closing it is the caller's."""
    rollout = adapter.run_white_box(model_step=model_step, session=session, limits=limits)
    final = {
        "done": rollout.done,
        "metrics": rollout.metrics,
        "events": [{"type": event.type, "payload": event.payload} for event in rollout.events],
        "tool_trace": trace_as_dicts(rollout),
    }
    return rollout, session.verify(transcript=rollout.messages, final_state=final)


def env_reward_of(rollout: HarnessRolloutResult, verdict: VerifyResult) -> float:
    """The reward of a rollout: the last one that the environment gave.

    Raises:
        ValueError: Neither the tools nor ``verify`` told one, or they disagree (by more than 1e-6, or a billionth):
            a reward is the environment's to give.
    """
    told = [entry.result.metadata.get("reward") for entry in rollout.tool_trace]
    last = next((float(reward) for reward in reversed(told) if reward is not None), None)
    if verdict.env_reward is None:
        if last is None:
            raise ValueError(
                "rollout did not produce an environment reward: put it in a tool result's metadata['reward'], "
                "or forward it as VerifyResult.env_reward"
            )
        return last
    verified = float(verdict.env_reward)
    if last is None:
        return verified
    if not math.isclose(verified, last, rel_tol=1e-9, abs_tol=1e-6):
        raise ValueError(
            f"verify.env_reward must forward the environment reward from the rollout: it is {verified}, "
            f"and the last tool result that had a reward said {last}"
        )
    return last


def trace_as_dicts(rollout: HarnessRolloutResult) -> list[dict[str, Any]]:
    """The tool calls as dictionaries; the data in them stay the objects that they are."""
    return [
        {
            "tool_name": entry.tool_name,
            "arguments": entry.arguments,
            "result": {
                "data": entry.result.data,
                "done": entry.result.done,
                "metadata": entry.result.metadata,
                "error": entry.result.error,
            },
        }
        for entry in rollout.tool_trace
    ]
