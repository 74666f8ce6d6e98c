"""What a reset is begun with: the arguments that the environment gets, the seed among them, and the episode's name."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any, cast

from openenv.environment import AsyncEnvironment, Context, DatabaseBacked
from openenv.errors import OpenEnvError, Unsupported, ValidationFailed
from openenv.operation import Operation, RequestContext
from openenv.runtime.specification import EnvironmentSpecification
from openenv.scenario import Scenario, ToolCall
from openenv.tools import ToolEnvironment, ToolProvider

if TYPE_CHECKING:
    from openenv.runtime.play import Play

__all__ = ["context_of", "reset_arguments", "set_up"]

LONGEST_EPISODE_ID = 255

_EPISODES = uuid.UUID("6f1c1f8e-52a4-4d0c-9a53-0f6f7d2f7f10")


def reset_arguments(
    specification: EnvironmentSpecification,
    scenario: Scenario | None,
    sent: dict[str, Any],
    operation: Operation,
    *,
    unchecked: bool,
) -> tuple[dict[str, Any], str]:
    """What ``reset`` is called with, and the episode's name: the caller's, or one made of the seed.

    Args:
        specification: The environment's.
        scenario: The one that is loaded; it fixes the seed.
        sent: What the caller sent. It may be changed.
        operation: The reset, or what caused it.
        unchecked: Hand on what was sent as it was sent.

    Raises:
        ValidationFailed: The environment takes no seed, or not this one, or an argument does not fit.
    """
    episode_id = sent.get("episode_id") if unchecked else _checked(sent.pop("episode_id", None))
    if scenario is not None:
        _seed_from(scenario, specification, sent)
    given = sent if unchecked else _validated(specification, sent, operation)
    if isinstance(episode_id, str) and 0 < len(episode_id) <= LONGEST_EPISODE_ID:
        name = episode_id
    else:
        name = _new_episode_id(specification, scenario, given.get("seed"))
    if "episode_id" in specification.reset_arguments.names:
        given["episode_id"] = name
    return given, name


def context_of(operation: Operation) -> Context:
    """Who acts, as the environment sees it."""
    return Context(operation.context, operation.principal, operation.control)


async def set_up(play: Play, scenario: Scenario) -> None:
    """Make a scenario's setup calls, and keep the database as it is then. Raises `ValidationFailed` when one fails."""
    environment = play.environment
    for number, call in enumerate(scenario.setup, start=1):
        context = Context(RequestContext(headers=call.context or scenario.context))
        error = await _set_up_with(play, call, context)
        if error is not None:
            raise ValidationFailed(
                f"scenario {scenario.id!r}: setup call {number} ({call.tool}) failed: {error.message}",
                field=f"setup.{number - 1}",
                hint=error.hint,
            )
    environment.step_count = 0
    if isinstance(environment, DatabaseBacked):
        play.initial = environment.database_image()


async def _set_up_with(play: Play, call: ToolCall, context: Context) -> OpenEnvError | None:
    """Make a setup call: directly where the class has tools of its own, else as a step. Return why it failed."""
    environment = play.environment
    if isinstance(environment, ToolEnvironment):
        return environment.call_tool(call.tool, call.arguments, context).error
    if not isinstance(environment, ToolProvider):
        raise Unsupported(f"{play.specification.name} has no tools, so it cannot run a scenario's setup")
    action = environment.tool_action(call.tool, call.arguments)
    asked = play.specification.step_context
    observation = environment.step(action, **({} if asked is None else {asked: context}))
    if isinstance(environment, AsyncEnvironment):
        observation = await cast("Awaitable[Any]", observation)
    outcome = environment.outcome_of(action, observation)
    return None if outcome is None else outcome.error


def _seed_from(scenario: Scenario, specification: EnvironmentSpecification, sent: dict[str, Any]) -> None:
    """The scenario fixes the seed. Its default, 0, asks nothing of an environment that takes none."""
    if sent.get("seed", scenario.seed) != scenario.seed:
        raise ValidationFailed(f"the scenario fixes the seed to {scenario.seed}", field="seed", hint="Reset without a seed.")
    plan = specification.reset_arguments
    if scenario.seed == 0 and not plan.takes_any and "seed" not in plan.names:
        sent.pop("seed", None)
    else:
        sent["seed"] = scenario.seed


def _validated(specification: EnvironmentSpecification, sent: dict[str, Any], operation: Operation) -> dict[str, Any]:
    """What ``reset`` names of what was sent, validated. The rest is left out, as OpenEnv does, but for a seed."""
    plan = specification.reset_arguments
    if not plan.takes_any:
        if sent.get("seed") is not None and "seed" not in plan.names:
            raise ValidationFailed(
                f"{specification.name} takes no seed: its episodes cannot be repeated",
                field="seed",
                hint="Reset without a seed.",
            )
        sent = {name: value for name, value in sent.items() if name in plan.names}
    specification.refuse_own_names("reset", sent)
    given = plan.validate(sent)
    if plan.context_parameter is not None:
        given[plan.context_parameter] = context_of(operation)
    return given


def _new_episode_id(specification: EnvironmentSpecification, scenario: Scenario | None, seed: int | None) -> str:
    """The same seed gives the same episode, its id included."""
    if seed is None:
        return str(uuid.uuid4())
    return str(uuid.uuid5(_EPISODES, f"{specification.name}/{scenario.id if scenario else ''}/{seed}"))


def _checked(episode_id: Any) -> str | None:
    if episode_id is None:
        return None
    if not isinstance(episode_id, str) or not 0 < len(episode_id) <= LONGEST_EPISODE_ID:
        raise ValidationFailed("episode_id must be a text of 1 to 255 characters", field="episode_id", example="episode-1")
    return episode_id
