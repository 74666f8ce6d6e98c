"""The agents that an evaluation can run, by name, and any other by ``module:attribute``."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Awaitable, Callable
from difflib import get_close_matches
from typing import Any

from openenv.errors import ConfigurationError
from openenv.evaluation.agents.base import (
    Agent,
    AgentFactory,
    EndpointFailed,
    StepLimitReached,
    Task,
    ToolAccess,
    ToolRefused,
)
from openenv.evaluation.agents.chat import ChatFactory
from openenv.evaluation.agents.first_match import FirstMatchFactory
from openenv.evaluation.agents.random_agent import RandomFactory
from openenv.evaluation.agents.scripted import NoOpFactory, OracleFactory
from openenv.scenario import Scenario, Suite

__all__ = [
    "AGENT_NAMES",
    "Agent",
    "AgentFactory",
    "EndpointFailed",
    "StepLimitReached",
    "Task",
    "ToolAccess",
    "ToolRefused",
    "make_agent",
]

AGENT_NAMES = ("oracle", "noop", "random", "first-match", "openai")
"""The agents that come with the package."""

_BUILT_IN: dict[str, Callable[[], AgentFactory]] = {
    "oracle": OracleFactory,
    "noop": NoOpFactory,
    "random": RandomFactory,
    "first-match": FirstMatchFactory,
}


def make_agent(
    name: str, *, model: str | None = None, base_url: str | None = None, api_key_env: str | None = None
) -> AgentFactory:
    """The factory of the agents called ``name``: one of `AGENT_NAMES`, or ``module:attribute``.

    The attribute may be an `AgentFactory`, an agent (an object or class with ``run``), or an async function that takes a
    `Task` and a `ToolAccess` and returns the last words. ``model``, ``base_url`` and ``api_key_env`` are for ``openai``.

    Raises `ConfigurationError` for an unknown name or an attribute that is no agent.
    """
    if name == "openai":
        return ChatFactory.configured(model=model, base_url=base_url, api_key_env=api_key_env)
    if name in _BUILT_IN:
        return _BUILT_IN[name]()
    if ":" in name:
        return _custom(name)
    close = get_close_matches(name, AGENT_NAMES, n=1)
    told = f"Did you mean {close[0]}?" if close else f"There are {', '.join(AGENT_NAMES)}, and your own as module:attribute."
    raise ConfigurationError(f"No agent is called {name!r}", field="agent", hint=told)


class _Function:
    """An async function as an agent."""

    def __init__(self, function: Callable[[Task, ToolAccess], Awaitable[str | None]]) -> None:
        self._function = function

    async def run(self, task: Task, env: ToolAccess) -> str | None:
        return await self._function(task, env)


class _Unprivileged:
    """A factory of agents that are told nothing but their task."""

    def __init__(self, name: str, make: Callable[[], Agent]) -> None:
        self.name = name
        self._make = make

    def for_scenario(self, scenario: Scenario, suite: Suite) -> Agent:
        return self._make()

    async def aclose(self) -> None:
        """Nothing is shared."""


def _custom(name: str) -> AgentFactory:
    found = _imported(name)
    called = str(getattr(found, "name", None) or name.partition(":")[2])
    is_class = inspect.isclass(found)
    if hasattr(found, "for_scenario"):
        factory = found() if is_class else found
        if isinstance(factory, AgentFactory):
            return factory
    elif hasattr(found, "run"):
        return _Unprivileged(called, found if is_class else lambda: found)
    elif inspect.iscoroutinefunction(found):
        return _Unprivileged(called, lambda: _Function(found))
    raise ConfigurationError(
        f"{name!r} is no agent",
        field="agent",
        hint="It needs `async def run(self, task, env)`, or name, for_scenario and aclose, or it is an async function.",
    )


def _imported(name: str) -> Any:
    module_name, _, attribute = name.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
    except ImportError as error:
        raise ConfigurationError(
            f"The agent {name!r} cannot be imported: {error}", field="agent", hint="Is its folder on PYTHONPATH?"
        ) from error
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise ConfigurationError(f"The module {module_name!r} has no {attribute!r}", field="agent")
        found = getattr(found, part)
    return found
