"""Playing an environment: what each operation does to it. Runs on the world's lane, one operation at a time.

One set of coroutines serves both kinds of environment: for a synchronous one they never wait, and `Play.perform_now`
runs them to their end in one go. Only the step, which is nearly everything that is done, has a way without them.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from time import perf_counter
from typing import Any, cast

from openenv.environment import AsyncEnvironment
from openenv.errors import (
    EpisodeOver,
    ExecutionFailed,
    OpenEnvError,
    Unsupported,
)
from openenv.operation import Episode, Event, Operation, Result
from openenv.runtime.answers import copied, settled
from openenv.runtime.beginning import context_of, reset_arguments, set_up
from openenv.runtime.grading import Deferred, database_of, evidence_of, exported, grade_job, query_job, verification
from openenv.runtime.raised import is_stopped, text_of
from openenv.runtime.seen import Seen
from openenv.runtime.snapshots import image_of, put_back
from openenv.runtime.specification import AnyEnvironment, EnvironmentSpecification
from openenv.scenario import Scenario
from openenv.tools import ToolProvider
from openenv.types import Action, ListToolsAction, Observation, WireObservation

__all__ = ["Play", "drive"]

log = logging.getLogger("openenv.runtime")


class Play:
    """An environment with the episode that is being played in it."""

    def __init__(self, specification: EnvironmentSpecification, environment: AnyEnvironment) -> None:
        self.specification = specification
        self.environment = environment
        self.started = False
        """Whether the environment was reset, or came with a world that already lives."""
        self.over = False
        self.scenario: Scenario | None = None
        self.episode = Episode()
        self.initial: bytes | None = None
        self._state_read: Any = None
        """An asynchronous environment's state, read before the answer that is to carry it."""
        self.last = Result()
        """The last reset's or step's result, for dialects that repeat it."""
        self.sequence = 0
        self.last_active = perf_counter()
        """When the last operation began."""
        self._step_context = specification.step_context
        self._seen = Seen(specification.name)
        self._waits = isinstance(environment, AsyncEnvironment)
        self._tools = environment if isinstance(environment, ToolProvider) else None
        self._handlers: Mapping[str, Callable[[Operation], Awaitable[Result | Deferred]]] = {
            "step": self._step,
            "reset": self._reset,
            "state": self._state,
            "call_tool": self._call_tool,
            "list_tools": self._list_tools,
            "ask": self._ask,
            "load_scenario": self._load_scenario,
            "verify": self._verify,
            "query": self._query,
            "export": self._export,
            "snapshot": self._snapshot,
            "restore": self._restore,
        }

    async def perform(self, operation: Operation) -> Result | Deferred:
        """Do one operation. Never raises: what goes wrong is in the result."""
        self.last_active = started = perf_counter()
        self.sequence += 1
        operation.seq = self.sequence
        try:
            result = await self._handlers[operation.op](operation)
        except BaseException as error:
            if is_stopped(error):
                raise
            result = self._failed(error, operation)
        result.seconds = perf_counter() - started
        result.episode = self.environment.episode_id
        return result

    def perform_now(self, operation: Operation) -> Result | Deferred:
        """`perform` for a synchronous environment."""
        if operation.op != "step" or not self.started:
            done: Result | Deferred = drive(self.perform(operation))
            return done
        self.last_active = started = perf_counter()
        self.sequence += 1
        operation.seq = self.sequence
        environment = self.environment
        try:
            bare = not (self.over or self._step_context or operation.arguments or self.scenario is not None)
            given = None if bare else self._step_arguments(operation)
            environment.step_count += 1
            action = operation.payload
            try:
                observation: Any = environment.step(action, **given) if given else environment.step(action)
            except BaseException as error:
                self._note_failure(error)
                raise
            result = self._acted(action, observation, operation)
        except BaseException as error:  # noqa: BLE001 - whatever an environment raises ends its step, and nothing else
            result = self._failed(error, operation)
        result.seconds = perf_counter() - started
        result.episode = environment.episode_id
        return result

    def _failed(self, error: BaseException, operation: Operation) -> Result:
        if isinstance(error, OpenEnvError):
            return Result(error=error)
        said = (self.specification.name, operation.op)
        log.error("%s raised in %s", *said, exc_info=error, extra={"operation": operation})
        failed = ExecutionFailed(text_of(error))
        failed.__cause__ = error
        return Result(error=failed)

    async def close(self) -> None:
        """Call the environment's ``close``; what it raises is logged, for nobody waits for it."""
        try:
            closing = self.environment.close()
            if self._waits:
                await cast("Awaitable[None]", closing)
        except BaseException as error:
            if is_stopped(error):
                raise
            log.exception("%s raised in close", self.specification.name)

    async def _reset(self, operation: Operation) -> Result:
        await self._begin(dict(operation.arguments or {}), operation)
        return await self._answered(self.last, operation)

    async def _begin(self, arguments: dict[str, Any], operation: Operation) -> None:
        """A new episode, with the loaded scenario's seed and setup where there is one."""
        scenario = self.scenario
        environment = self.environment
        given, episode_id = reset_arguments(
            self.specification, scenario, arguments, operation, unchecked=environment.takes_arguments_unchecked
        )
        seed = given.get("seed")
        environment.seed = seed
        environment.step_count = 0
        environment.episode_id = episode_id
        self.started = self.over = False
        self.episode, self.initial, self.last = Episode(id=environment.episode_id, seed=seed), None, Result()
        observation = environment.reset(**given)
        if self._waits:
            observation = await cast("Awaitable[Any]", observation)
        observation = self._transformed(observation)
        environment.step_count = 0
        if scenario is not None:
            await set_up(self, scenario)
        self.started = True
        self.last = Result(observation=observation, reward=observation.reward, done=self._seen.ended(observation))

    async def _begin_unasked(self, operation: Operation) -> None:
        """Reset what was never reset, before it is stepped or copied, where the class wants that."""
        environment = self.environment
        if not self.started and not environment.resumed and environment.auto_reset:
            await self._begin({}, operation)

    async def _step(self, operation: Operation) -> Result | Deferred:
        return await self._act(operation.payload, operation)

    async def _call_tool(self, operation: Operation) -> Result | Deferred:
        if self._tools is None:
            raise Unsupported("Environment does not support MCP", hint="It has no tools; use step.")
        name, arguments = operation.payload
        return await self._act(self._tools.tool_action(name, arguments), operation)

    async def _list_tools(self, operation: Operation) -> Result:
        if self._tools is None:
            raise Unsupported("Environment does not support MCP", hint="It has no tools; use step.")
        listed = self._tools.tool_listings()
        return Result(value=await listed if isinstance(listed, Awaitable) else listed)

    async def _ask(self, operation: Operation) -> Result:
        """A question that concerns no episode: about the environment, or its catalogue of tasks."""
        name, arguments = operation.payload
        method = self.environment.question(name)
        if not callable(method):
            raise Unsupported(f"{name} is not supported for this environment", hint="Its class does not have that method.")
        try:
            answer = method(**arguments)
            answer = await answer if inspect.isawaitable(answer) else answer
        except NotImplementedError as error:
            raise Unsupported(f"{name} is not supported for this environment") from error
        except IndexError as error:
            if name != "get_task":
                raise
            raise ExecutionFailed(text_of(error)) from error  # how a catalogue says that there is no such task: nothing to log
        return Result(value=settled(answer, name))

    async def _act(self, action: Any, operation: Operation) -> Result | Deferred:
        environment = self.environment
        await self._begin_unasked(operation)
        given = self._step_arguments(operation)
        environment.step_count += 1
        try:
            observation = environment.step(action, **given)
            if self._waits:
                observation = await cast("Awaitable[Any]", observation)
        except BaseException as error:
            self._note_failure(error)
            raise
        await self._read_ahead(operation)
        return self._acted(action, observation, operation)

    def _step_arguments(self, operation: Operation) -> dict[str, Any]:
        """What ``step`` gets beside its action. Raises `EpisodeOver` where there is no step to take."""
        if self.over:
            raise EpisodeOver("The episode has ended", hint="Reset to begin another.")
        if self.scenario is not None and not self.started:
            raise EpisodeOver("No episode is running: the last reset failed", hint="Reset to begin one.")
        given: dict[str, Any] = {}
        specification = self.specification
        if operation.arguments:
            names = specification.step_arguments
            given = {k: v for k, v in operation.arguments.items() if names is None or k in names}
            specification.refuse_own_names("step", given)
        if self._step_context is not None:
            given[self._step_context] = context_of(operation)
        return given

    def _acted(self, action: Any, seen: Any, operation: Operation) -> Result | Deferred:
        """What came of a step."""
        observation = self._transformed(seen)
        result = Result(observation, observation.reward, self._seen.ended(observation))
        self.last = result
        scenario = self.scenario
        if self._tools is not None:
            self._note_tool(action, observation, result)
        elif scenario is not None:
            self.episode.events.append(Event(seq=self.sequence, op="step", reward=result.reward))
        if scenario is not None:
            return self._in_scenario(scenario, observation, result, operation)
        return self._answer(result, operation) if operation.include else result

    def _note_failure(self, error: BaseException) -> None:
        """A step that raised did not happen, but under a scenario it was a try all the same."""
        if self.scenario is None:
            self.environment.step_count -= 1
            return
        body = error.body() if isinstance(error, OpenEnvError) else ExecutionFailed(text_of(error)).body()
        self.episode.events.append(Event(seq=self.sequence, op="step", success=False, error=body))
        self.over = self.environment.step_count >= self.scenario.max_steps

    def _note_tool(self, action: Action, observation: WireObservation, result: Result) -> None:
        assert self._tools is not None
        outcome = self._tools.outcome_of(action, observation)
        if outcome is None:
            if self.scenario is not None:
                looked = isinstance(action, ListToolsAction)
                self.episode.events.append(Event(seq=self.sequence, op="step", read_only=looked, reward=result.reward))
            return
        result.tool, result.tool_error, result.value = outcome.name, outcome.error, outcome.value
        if self.scenario is not None:
            self.episode.events.append(
                Event(
                    seq=self.sequence,
                    op="call_tool",
                    tool=outcome.name,
                    arguments=self._tools.arguments_of(action),
                    read_only=outcome.read_only,
                    success=outcome.error is None,
                    error=outcome.error.body() if outcome.error else None,
                    value=outcome.value,
                    reward=result.reward,
                )
            )

    def _in_scenario(
        self, scenario: Scenario, observation: WireObservation, result: Result, operation: Operation
    ) -> Result | Deferred:
        """Under a scenario only the outcome is rewarded, and at the step limit the episode ends."""
        result.reward = 0.0
        if not result.done and self.environment.step_count >= scenario.max_steps:
            if isinstance(observation, Observation):
                observation.truncated = True
                observation.stop_reason = "max_steps"
            result.done = True
        self._answer(result, operation)
        if not result.done:
            return result
        self.over = True
        decide = grade_job(evidence_of(self), scenario, None)

        def job() -> Result:
            graded = decide()
            result.reward = graded.value["reward"] if graded.error is None else 0.0
            result.error = graded.error
            return result

        return Deferred(job)

    async def _state(self, operation: Operation) -> Result:
        return await self._answered(Result(value=await self._read_state()), operation)

    async def _read_state(self) -> Any:
        environment = self.environment
        return await environment.read_state() if isinstance(environment, AsyncEnvironment) else environment.state

    async def _answered(self, result: Result, operation: Operation) -> Result:
        """`_answer`, where there may be waiting for the state."""
        await self._read_ahead(operation)
        return self._answer(result, operation)

    async def _read_ahead(self, operation: Operation) -> None:
        if self._waits and "state" in operation.include:
            self._state_read = await self._read_state()

    def _answer(self, result: Result, operation: Operation) -> Result:
        """Add what the reply is to carry beside the result."""
        include = operation.include
        if include:
            if "state" in include:
                state = self._state_read if self._waits else self.environment.state
                result.state = state if self.specification.inline else copied(state)
            if "observation" in include:
                result.observation, result.reward, result.done = self.last.observation, self.last.reward, self.last.done
        return result

    async def _load_scenario(self, operation: Operation) -> Result:
        previous = self.scenario
        self.scenario = operation.payload
        try:
            await self._begin({}, operation)
        except BaseException:
            self.scenario = previous
            raise
        return await self._answered(self.last, operation)

    async def _verify(self, operation: Operation) -> Result | Deferred:
        response, verifiers = operation.payload
        return verification(self, response, verifiers)

    async def _query(self, operation: Operation) -> Result | Deferred:
        return Deferred(query_job(database_of(self), operation.payload))

    async def _export(self, operation: Operation) -> Result:
        return Result(value=exported(self, operation.payload))

    async def _snapshot(self, operation: Operation) -> Result:
        await self._begin_unasked(operation)
        return Result(value=await image_of(self))

    async def _restore(self, operation: Operation) -> Result:
        image, seed = operation.payload
        return await self._answered(await put_back(self, image, seed), operation)

    def _transformed(self, observation: Any) -> WireObservation:
        if type(observation) not in self._seen.natives:
            self._seen.check(observation)
        transform = self.environment.transform
        seen: WireObservation = observation if transform is None else transform(observation)
        return seen


def drive(work: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine that never waits: the synchronous environments' path through code that serves both kinds."""
    try:
        work.send(None)
    except StopIteration as stop:
        return stop.value
    work.close()
    hint = "Derive it from AsyncEnvironment."
    return Result(error=ExecutionFailed("a synchronous environment waited for something", hint=hint))
