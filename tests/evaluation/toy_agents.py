"""Agents for tests, as a user would write them: found by ``module:attribute``."""

from __future__ import annotations

from openenv.evaluation import Task, ToolAccess, ToolRefused


class Counter:
    """Counts the poems and says so; it knows nothing but its task."""

    name = "counter"

    async def run(self, task: Task, env: ToolAccess) -> str | None:
        """Look, then answer."""
        return f"I count {await env.call('books_count', {'shelf': 'poems'})}."


class Crasher:
    """Raises."""

    async def run(self, task: Task, env: ToolAccess) -> str | None:
        """Fail as a careless author's agent does."""
        await env.call("book_move", {"book": "dune", "shelf": "science-fiction"})
        raise KeyError("a careless agent")


class Wanderer:
    """Never stops of its own accord."""

    async def run(self, task: Task, env: ToolAccess) -> str | None:
        """List the shelves for ever, whatever is said."""
        while True:
            try:
                await env.call("shelves_list", {})
            except ToolRefused:
                continue


async def napper(task: Task, env: ToolAccess) -> str | None:
    """Sleep in the environment, a little at a time."""
    while env.steps_left:
        await env.call("nap", {"seconds": 0.2})
    return "rested"


async def dozer(task: Task, env: ToolAccess) -> str | None:
    """The same with the longest naps, so that an agent is at it for seconds."""
    while env.steps_left:
        await env.call("nap", {"seconds": 1.0})
    return "rested"


async def breaker(task: Task, env: ToolAccess) -> str | None:
    """Meet the environment's fault and swallow the error."""
    try:
        await env.call("ladder_break", {})
    except ToolRefused as error:
        return error.code
    return None


async def selfish(task: Task, env: ToolAccess) -> str | None:
    """An argument that a careless model may well send."""
    try:
        await env.call("nap", {"self": 1, "name": "x"})
    except ToolRefused as error:
        return error.code
    return None


async def sleeper(task: Task, env: ToolAccess) -> str | None:
    """One call that takes longer than a test waits for."""
    await env.call("nap", {"seconds": 1.0})
    return None


not_an_agent = 7
