"""An environment that is an agent: each step is one turn of a conversation with it. Needs ``openenv[mcp]``."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar, cast
from uuid import uuid4

from openenv.core.env_server.mcp_environment import MCPEnvironment
from openenv.core.env_server.mcp_types import CallToolAction, ListToolsAction, Tool
from openenv.core.env_server.types import Action, Observation, State
from openenv.core.harness.adapter import (
    AgenticHarnessAdapter,
    HarnessError,
    HarnessNotRunningError,
    HarnessTurnTimeoutError,
    response_of,
)
from openenv.core.harness.bridge import HarnessMCPBridge, build_bridge_server, new_fastmcp
from openenv.core.harness.events import (
    HarnessEvent,
    HarnessEventType,
    HarnessResponse,
    events_to_metadata,
)
from openenv.core.harness.tools import resolve_tool_conflicts
from openenv.core.utils import run_async_safely

__all__ = ["HarnessAction", "HarnessEnvironment"]

log = logging.getLogger("openenv.core.harness")

Emit = Callable[[HarnessEvent], Awaitable[None]]
_ResultT = TypeVar("_ResultT")


class HarnessAction(Action):
    """What the user says next."""

    message: str


class HarnessEnvironment(MCPEnvironment):
    """An agent with a loop of its own, as an environment.

    ``reset`` starts the agent anew, with the environment's tools (at a URL on loopback) beside its own. A step with a
    `HarnessAction` is one turn: the observation's metadata has its ``response``, its ``turn_events`` and its
    ``turn_number``, and the rubric scores it. Steps that list or call tools reach the environment's tools themselves. An
    agent that dies, or takes too long, ends the episode with an observation that is done and says why.

    Args:
        adapter: Starts the agent and talks to it; one per environment.
        mcp: The ``fastmcp.FastMCP`` with the environment's tools, if it has some.
        rubric: Scores turns.
        transform: Applied to the observations of resets and turns.

    Raises:
        ImportError: fastmcp is not installed.
    """

    def __init__(
        self, adapter: AgenticHarnessAdapter, mcp: Any | None = None, rubric: Any | None = None, transform: Any | None = None
    ) -> None:
        super().__init__(new_fastmcp("harness-env-tools") if mcp is None else mcp, transform=transform)
        self.rubric = rubric
        self.adapter = adapter
        self._state = State(episode_id=None, step_count=0)
        self._trajectory: list[HarnessEvent] = []
        self._episode_active = False
        self._bridge: HarnessMCPBridge | None = None
        self._closed = False
        self.listener: Emit | None = None
        """Gets the events of turns that are given no other ``emit``; set for the duration of a step by who serves it."""

    @property
    def state(self) -> State:
        """The episode, and how many turns it had."""
        return self._state

    @property
    def trajectory(self) -> list[HarnessEvent]:
        """The events of all turns of the episode."""
        return list(self._trajectory)

    def reset(self, seed: int | None = None, episode_id: str | None = None, **kwargs: Any) -> Observation:
        """As `reset_async`, for callers without an event loop."""
        return run_async_safely(self.reset_async(seed=seed, episode_id=episode_id, **kwargs))

    async def reset_async(self, seed: int | None = None, episode_id: str | None = None, **kwargs: Any) -> Observation:
        """Stop the agent that there is and start a new one.

        Raises:
            HarnessError: The tools could not be listed or served, or the agent did not start (`HarnessStartupError`).
            ValueError: A tool's name is taken by the agent's own, with the prefix too.
        """
        self._episode_active = False
        await self._reset_rubric_async()
        self._trajectory = []
        try:
            await _to_its_end(self._stop())
            injected = await self._start_agent()
        except BaseException:
            await _to_its_end(self._stop_after_failure())
            raise
        self._state = State(episode_id=episode_id or str(uuid4()), step_count=0)
        self._episode_active = True
        told = {"episode_id": self._state.episode_id, "injected_tools": injected}
        return self._shown(Observation(done=False, reward=0.0, metadata=told))

    async def step_async(self, action: Action, timeout_s: float | None = None, **kwargs: Any) -> Observation:
        """One turn, or a tool listed or called.

        Args:
            action: A `HarnessAction`, ``ListToolsAction`` or ``CallToolAction``.
            timeout_s: Seconds for the turn; the adapter's ``session_timeout_s`` by default.

        Raises:
            HarnessNotRunningError: There is no episode: reset first.
            TypeError: Another kind of action.
        """
        if isinstance(action, (ListToolsAction, CallToolAction)):
            return await super().step_async(action, timeout_s=timeout_s, **kwargs)
        return await self.turn(_said(action), timeout_s=timeout_s)

    async def turn(self, action: HarnessAction, *, timeout_s: float | None = None, emit: Emit | None = None) -> Observation:
        """One turn.

        Args:
            action: What the user says.
            timeout_s: Seconds for it; the adapter's ``session_timeout_s`` by default.
            emit: Gets each event as soon as there is one, in order, and last the error of a turn that failed. What it
                raises ends the episode.
        """
        if not self._episode_active:
            raise HarnessNotRunningError("No active episode; call reset() before step()")
        emit = self.listener if emit is None else emit
        limit = self.adapter.config.session_timeout_s if timeout_s is None else timeout_s
        try:
            if limit <= 0:
                raise TimeoutError
            async with asyncio.timeout(limit):  # in this task: a SystemExit in one of its own would end the event loop
                response = await self._ask(action.message, emit)
            events = events_to_metadata(response.events)
        except (TimeoutError, HarnessTurnTimeoutError) as error:
            return await self._failed_turn(str(error) or f"harness turn exceeded {limit} seconds", "turn_timeout", emit)
        except HarnessError as error:
            return await self._failed_turn(str(error), "harness_crashed", emit)
        except BaseException:
            await _to_its_end(self._stop_after_failure())
            raise
        self._state.step_count += 1
        self._trajectory.extend(response.events)
        told = {
            "response": response.response,
            "turn_events": events,
            "turn_number": self._state.step_count,
        }
        seen = Observation(done=response.done, reward=None, metadata=told)
        seen.reward = await self._apply_rubric_async(action, seen)
        return self._shown(seen)

    def close(self) -> None:
        """Stop the agent and let go of the tools. What cannot be stopped is logged."""
        if self._closed:
            return
        self._closed = True
        run_async_safely(self._stop_after_failure())
        super().close()

    def _step_impl(self, action: Action, timeout_s: float | None = None, **kwargs: Any) -> Observation:
        return run_async_safely(self.turn(_said(action), timeout_s=timeout_s))

    async def _ask(self, message: str, emit: Emit | None) -> HarnessResponse:
        try:
            if not await self.adapter.is_alive():
                raise HarnessNotRunningError("harness process is not running")
            if emit is None:
                return await self.adapter.send_message(message)
            events = []
            async for event in self.adapter.send_message_streaming(message):
                events.append(event)
                await emit(event)
            return response_of(events)
        except TimeoutError as error:  # the agent's own: the turn's is a cancellation here
            raise HarnessTurnTimeoutError(str(error)) from error

    async def _failed_turn(self, message: str, kind: str, emit: Emit | None) -> Observation:
        log.warning("the turn of %s failed: %s", self.adapter.config.name, message, exc_info=True)
        await _to_its_end(self._stop_after_failure())
        failure = HarnessEvent(type=HarnessEventType.ERROR, data={"message": message, "recoverable": False})
        self._trajectory.append(failure)
        if emit is not None:
            await emit(failure)
        told = {"error": message, "error_type": kind, "turn_events": events_to_metadata([failure])}
        return self._shown(Observation(done=True, reward=0.0, metadata=told))

    def _shown(self, observation: Observation) -> Observation:
        shown: Observation = self._apply_transform(observation)
        return shown

    async def _start_agent(self) -> list[str]:
        """Start it with the environment's tools; their names as it knows them."""
        try:
            listed = await self.tool_listings()
        except Exception as error:
            raise HarnessError(f"Failed to enumerate environment tools: {error}") from error
        tools = [Tool(name=one.name, description=one.description, input_schema=one.input_schema) for one in listed]
        resolved = resolve_tool_conflicts(tools, self.adapter.BUILTIN_TOOL_NAMES)
        url = None
        if resolved:
            renamed = {new.name: old.name for old, new in zip(tools, resolved, strict=True) if new.name != old.name}
            self._bridge = bridge = HarnessMCPBridge(await build_bridge_server(self.mcp_server, renamed))
            url = await asyncio.to_thread(bridge.start)
        await self.adapter.inject_tools(resolved, bridge_url=url)
        await self.adapter.start(self.adapter.config.working_directory)
        return [one.name for one in resolved]

    async def _stop(self) -> None:
        """Stop the agent and the tools' server, both, whatever either says."""
        self._episode_active = False
        try:
            await self.adapter.stop()
        finally:
            if self._bridge is not None:
                await asyncio.to_thread(self._bridge.stop)
                self._bridge = None

    async def _stop_after_failure(self) -> None:
        """The same where another failure is what the caller is to hear of."""
        try:
            await self._stop()
        except asyncio.CancelledError:
            raise
        except BaseException:  # an adapter is anybody's code
            log.exception("the agent %s could not be stopped", self.adapter.config.name)


def _said(action: Action) -> HarnessAction:
    if not isinstance(action, HarnessAction):
        raise TypeError(
            f"HarnessEnvironment only accepts HarnessAction, ListToolsAction, or CallToolAction; got {type(action).__name__}"
        )
    return action


async def _to_its_end(work: Coroutine[Any, Any, _ResultT]) -> _ResultT:
    """Wait for what must not be left half done, however often the caller is cancelled; then let the caller be cancelled."""

    async def outcome() -> tuple[_ResultT | None, BaseException | None]:
        try:
            return await work, None
        except BaseException as error:  # noqa: BLE001 - raised below: in a task, a SystemExit would end the event loop
            return None, error

    task = asyncio.ensure_future(outcome())
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
    result, raised = task.result()
    if raised is not None:
        raise raised
    return cast("_ResultT", result)
