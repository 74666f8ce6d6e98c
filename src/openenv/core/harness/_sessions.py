"""What a harness drives: a session with tools, the factory that makes one per rollout, and an environment as one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypedDict, TypeVar, runtime_checkable

from openenv.core.client_types import StepResult
from openenv.core.env_server.mcp_types import RESERVED_TOOL_NAMES, Tool
from openenv.core.env_server.types import State
from openenv.core.harness.training import TrainingTrace

__all__ = [
    "LoopOwningSession",
    "Message",
    "ResourceSession",
    "ResourceSessionFactory",
    "SessionT",
    "StepEnvSessionAdapter",
    "ToolResult",
    "TraceEntry",
    "TrainableSession",
    "VerifyResult",
    "refuse_reserved",
    "state_to_data",
]

Message = dict[str, Any]
"""A chat message in OpenAI's shape: ``role``, ``content``, and ``tool_calls`` or ``tool_call_id`` where they apply."""


@dataclass
class ToolResult:
    """What a tool of a session answered.

    The reward of the step that the call was, if it has one, is ``metadata["reward"]``.
    """

    data: Any = None
    done: bool = False
    metadata: dict[str, Any] = field(default_factory=dict)
    error: str | None = None


@dataclass
class VerifyResult:
    """What a session says of a finished rollout.

    ``env_reward`` repeats the reward that the environment gave last, or is None; a reward made up here is refused.
    """

    env_reward: float | None = None
    done: bool = False
    metrics: dict[str, Any] = field(default_factory=dict)
    artifacts: dict[str, Any] = field(default_factory=dict)


class TraceEntry(TypedDict, total=False):
    """One model call of a rollout whose agent ran its own loop; any key may be missing.

    ``prompt_token_ids`` are the engine's own: they are not to be made again from ``request``. ``loss_mask`` covers
    prompt and completion, 1 where a token is trained on. ``reward`` is None, or missing, where nothing was scored.
    """

    request: dict[str, Any]
    response: dict[str, Any]
    prompt_token_ids: list[int]
    completion_token_ids: list[int]
    completion_tokens: list[str]
    per_token_logps: list[float]
    loss_mask: list[int]
    reward: float | None
    metadata: dict[str, Any]


class ResourceSession(ABC):
    """One rollout's own environment, as a harness sees it."""

    @abstractmethod
    def initial_messages(self) -> list[Message]:
        """The messages that the model sees first."""

    @abstractmethod
    def list_tools(self) -> list[Tool]:
        """The tools that the model may call."""

    @abstractmethod
    def call_tool(self, name: str, arguments: dict[str, Any]) -> ToolResult:
        """Call a tool. A ``KeyError`` says that there is none of this name, a ``ValueError`` that the arguments are wrong."""

    @abstractmethod
    def verify(self, transcript: list[Message], final_state: Any | None = None) -> VerifyResult:
        """Look at the finished rollout. ``final_state`` has its ``done``, ``metrics``, ``events`` and ``tool_trace``."""

    @abstractmethod
    def close(self) -> None:
        """Free what the session holds. Called once, however the rollout ended."""


@runtime_checkable
class LoopOwningSession(Protocol):
    """What a session also has when the agent runs its own loop and the trace is read afterwards."""

    def wait_for_completion(self, timeout_s: float | None = ...) -> int:
        """Wait for the agent to end; its exit code."""
        ...

    def fetch_proxy_trace(self) -> list[TraceEntry]:
        """The model calls that the agent made, in order."""
        ...


@runtime_checkable
class TrainableSession(Protocol):
    """A session whose agent runs its own loop, with tokens fit to train on."""

    def wait_for_completion(self, timeout_s: float | None = ...) -> int:
        """Wait for the agent to end; its exit code."""
        ...

    def fetch_training_trace(self) -> TrainingTrace:
        """The checked and masked model calls."""
        ...


SessionT = TypeVar("SessionT", bound=ResourceSession)


class ResourceSessionFactory(ABC, Generic[SessionT]):
    """Makes a session for each rollout."""

    @abstractmethod
    def create(self, task: Any, seed: int | None = None, episode_id: str | None = None) -> SessionT:
        """A new session, which shares nothing with the others."""


class StepEnvSessionAdapter(ResourceSession):
    """A client of an environment (``reset``, ``step``, ``state``) as a session whose tools are its actions.

    The environment is reset here and now. A client that has a ``sync()`` is used through it.

    Args:
        client: The client; its methods block.
        task: What ``initial_messages_builder`` gets beside the result of the reset.
        seed, episode_id: Go to ``reset``, if given; ``reset_kwargs`` goes there too and wins.
        tool_specs: The tools. Other names are refused.
        action_builder: A tool's name and arguments as an action.
        initial_messages_builder: The first messages, from the result of the reset and the task.
        tool_result_builder: A step's result as a tool's, from the tool's name, its arguments, the step's result and the state.
        verify_builder: From the transcript, the final state, the last step's result (None before the first) and the state.

    Raises:
        ValueError: A tool is called ``reset``, ``step``, ``state`` or ``close``.
    """

    def __init__(
        self,
        client: Any,
        *,
        task: Any = None,
        seed: int | None = None,
        episode_id: str | None = None,
        tool_specs: list[Tool],
        action_builder: Callable[[str, dict[str, Any]], Any],
        initial_messages_builder: Callable[[StepResult[Any], Any], list[Message]],
        tool_result_builder: Callable[[str, dict[str, Any], StepResult[Any], Any], ToolResult] | None = None,
        verify_builder: Callable[[list[Message], Any | None, StepResult[Any] | None, Any], VerifyResult] | None = None,
        reset_kwargs: dict[str, Any] | None = None,
    ) -> None:
        refuse_reserved(one.name for one in tool_specs)
        sync = getattr(client, "sync", None)
        self._client: Any = sync() if callable(sync) else client
        self._tools = list(tool_specs)
        self._names = {one.name for one in tool_specs}
        self._task = task
        self._action_of = action_builder
        self._messages_of = initial_messages_builder
        self._tool_result_of = tool_result_builder or _step_as_tool_result
        self._verify_with = verify_builder or _verify_from_step
        self._closed = False
        given = {"seed": seed, "episode_id": episode_id}
        options = {name: value for name, value in given.items() if value is not None} | (reset_kwargs or {})
        self._begun: StepResult[Any] = self._client.reset(**options)
        self._last: StepResult[Any] | None = None
        self._state = self._read_state()

    def initial_messages(self) -> list[Message]:
        """The messages that the builder makes of the reset."""
        return list(self._messages_of(self._begun, self._task))

    def list_tools(self) -> list[Tool]:
        """The tools that were given."""
        return list(self._tools)

    def call_tool(self, name: str, arguments: dict[str, Any]) -> ToolResult:
        """Take the step that the call stands for.

        Raises:
            KeyError: There is no such tool, or its name is one of the environment's own verbs.
        """
        if name in RESERVED_TOOL_NAMES:
            raise KeyError(f"Reserved orchestration tool: {name}")
        if name not in self._names:
            raise KeyError(f"Unknown tool: {name}")
        result: StepResult[Any] = self._client.step(self._action_of(name, arguments))
        self._last = result
        self._state = self._read_state()
        return self._tool_result_of(name, arguments, result, self._state)

    def verify(self, transcript: list[Message], final_state: Any | None = None) -> VerifyResult:
        """The last step's reward, unless a builder says it."""
        return self._verify_with(transcript, final_state, self._last, self._state)

    def close(self) -> None:
        """Close the client, once."""
        if self._closed:
            return
        self._closed = True
        close = getattr(self._client, "close", None)
        if callable(close):
            close()

    def _read_state(self) -> Any:
        """The environment's state, or None for a client that does not ask for it."""
        state = getattr(self._client, "state", None)
        return state() if callable(state) else None


def refuse_reserved(names: Any) -> None:
    """Raise a ValueError if a tool has the name of a verb of the environment, which only the trainer may use."""
    taken = sorted(RESERVED_TOOL_NAMES.intersection(names))
    if taken:
        raise ValueError(f"Tool names are reserved for orchestration controls: {', '.join(taken)}")


def state_to_data(state: Any) -> Any:
    """A state as plain data where it is one of this package's."""
    return state.model_dump() if isinstance(state, State) else state


def _step_as_tool_result(name: str, arguments: dict[str, Any], result: StepResult[Any], state: Any) -> ToolResult:
    data = {
        "tool_name": name,
        "arguments": dict(arguments),
        "observation": result.observation,
        "reward": result.reward,
        "done": result.done,
    }
    return ToolResult(data=data, done=bool(result.done), metadata={"reward": result.reward, "state": state_to_data(state)})


def _verify_from_step(transcript: Sequence[Message], _final_state: Any, last: StepResult[Any] | None, state: Any) -> VerifyResult:
    data = state_to_data(state)
    counted = {"step_count": data["step_count"]} if isinstance(data, dict) and "step_count" in data else {}
    return VerifyResult(
        env_reward=None if last is None else last.reward,
        done=False if last is None else bool(last.done),
        metrics=counted,
        artifacts={"final_state": data, "transcript_length": len(transcript)},
    )
