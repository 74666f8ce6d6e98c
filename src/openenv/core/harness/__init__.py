"""OpenEnv 0.10's harnesses under their own names, each loaded when it is first used.

Rollouts (`rollout`, `collect`): a trainer or a collector runs a whole episode of a session in one call. Agents in
containers (`environment`, `adapter`, `process`, `bridge`): each step is one turn of a conversation with an agent that
has a loop of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from openenv.lazy import Names

if TYPE_CHECKING:
    from openenv.core.harness.adapter import (
        AgenticHarnessAdapter,
        HarnessError,
        HarnessNotRunningError,
        HarnessStartupError,
        HarnessTurnTimeoutError,
    )
    from openenv.core.harness.bridge import HarnessMCPBridge, build_bridge_server
    from openenv.core.harness.config import HarnessConfig, HarnessTransport
    from openenv.core.harness.environment import HarnessAction, HarnessEnvironment
    from openenv.core.harness.events import (
        HarnessClientMessage,
        HarnessEvent,
        HarnessEventType,
        HarnessResponse,
        events_to_metadata,
    )
    from openenv.core.harness.process import HarnessProcess
    from openenv.core.harness.rollout import (
        RESERVED_TOOL_NAMES,
        CLIHarnessAdapter,
        HarnessAdapter,
        HarnessRolloutResult,
        HarnessRunLimits,
        LoopOwningSession,
        MCPHarnessAdapter,
        Message,
        ModelStep,
        ModelStepResult,
        ResourceSession,
        ResourceSessionFactory,
        RolloutEvent,
        SessionMCPBridge,
        StepEnvSessionAdapter,
        ToolResult,
        ToolTraceEntry,
        TraceEntry,
        TrainableSession,
        VerifyResult,
        build_harness_rollout_func,
    )
    from openenv.core.harness.tools import resolve_tool_conflicts
    from openenv.core.harness.training import TrainingTrace, TrainingTurn

_NAMES = Names(
    __name__,
    {
        "openenv.core.harness.adapter": (
            "AgenticHarnessAdapter",
            "HarnessError",
            "HarnessNotRunningError",
            "HarnessStartupError",
            "HarnessTurnTimeoutError",
        ),
        "openenv.core.harness.bridge": ("HarnessMCPBridge", "build_bridge_server"),
        "openenv.core.harness.config": ("HarnessConfig", "HarnessTransport"),
        "openenv.core.harness.environment": ("HarnessAction", "HarnessEnvironment"),
        "openenv.core.harness.events": (
            "HarnessClientMessage",
            "HarnessEvent",
            "HarnessEventType",
            "HarnessResponse",
            "events_to_metadata",
        ),
        "openenv.core.harness.process": ("HarnessProcess",),
        "openenv.core.harness.rollout": (
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
            "StepEnvSessionAdapter",
            "ToolResult",
            "ToolTraceEntry",
            "TraceEntry",
            "TrainableSession",
            "VerifyResult",
            "build_harness_rollout_func",
        ),
        "openenv.core.harness.tools": ("resolve_tool_conflicts",),
        "openenv.core.harness.training": ("TrainingTrace", "TrainingTurn"),
    },
)

__all__ = [
    "RESERVED_TOOL_NAMES",
    "AgenticHarnessAdapter",
    "CLIHarnessAdapter",
    "HarnessAction",
    "HarnessAdapter",
    "HarnessClientMessage",
    "HarnessConfig",
    "HarnessEnvironment",
    "HarnessError",
    "HarnessEvent",
    "HarnessEventType",
    "HarnessMCPBridge",
    "HarnessNotRunningError",
    "HarnessProcess",
    "HarnessResponse",
    "HarnessRolloutResult",
    "HarnessRunLimits",
    "HarnessStartupError",
    "HarnessTransport",
    "HarnessTurnTimeoutError",
    "LoopOwningSession",
    "MCPHarnessAdapter",
    "Message",
    "ModelStep",
    "ModelStepResult",
    "ResourceSession",
    "ResourceSessionFactory",
    "RolloutEvent",
    "SessionMCPBridge",
    "StepEnvSessionAdapter",
    "ToolResult",
    "ToolTraceEntry",
    "TraceEntry",
    "TrainableSession",
    "TrainingTrace",
    "TrainingTurn",
    "VerifyResult",
    "build_bridge_server",
    "build_harness_rollout_func",
    "events_to_metadata",
    "resolve_tool_conflicts",
]


def __getattr__(name: str) -> Any:
    return _NAMES.get(name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
