"""An agent that knows what to do, but guesses whom a description means: the first identifier that sounds like it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from openenv.evaluation.agents.base import Agent, Task, ToolAccess, ToolRefused
from openenv.scenario import Scenario, Suite, ToolCall

__all__ = ["FirstMatch", "FirstMatchFactory", "first_match", "identifiers", "words"]

_NOT_LETTERS = re.compile(r"[\W\d_]+")
_IDENTIFYING_KEY = re.compile(r"^(id|email|.*(_id|Id|ID))$")


class FirstMatch:
    """Plays a scenario's solution with guessed identifiers.

    An identifier that the task words literally is used as it is. For one that the task only describes, the agent makes
    the suite's directory calls (in their order, each at most once) and takes the first identifier listed that shares
    a word with the description; nothing is looked at twice or checked. Where nothing matches it makes an identifier up.
    It knows the solution's answer only as long as it guessed nothing wrong; else it says what its last call returned.
    """

    def __init__(self, scenario: Scenario, directory: Sequence[ToolCall]) -> None:
        self._scenario = scenario
        self._unread = list(directory)
        self._listings: list[list[str]] = []

    async def run(self, task: Task, env: ToolAccess) -> str | None:
        """Replace the described identifiers of the plan, then play it."""
        guesses: dict[str, str] = {}
        for identifier, wording in self._scenario.mentions.items():
            if not _contains(wording, identifier):
                guesses[identifier] = await self._guess(wording, env)
        last: Any = None
        for call in self._scenario.solution:
            try:
                last = await env.call(call.tool, _replaced(call.arguments, guesses))
            except ToolRefused as error:
                last = error.body()
        if all(meant == guessed for meant, guessed in guesses.items()) or self._scenario.response is None:
            return self._scenario.response
        return json.dumps(last, ensure_ascii=True, default=str)

    async def _guess(self, wording: str, env: ToolAccess) -> str:
        for listing in self._listings:
            found = first_match(wording, listing)
            if found is not None:
                return found
        while self._unread:
            call = self._unread.pop(0)
            try:
                value = await env.call(call.tool, call.arguments)
            except ToolRefused:
                continue
            self._listings.append(list(identifiers(value)))
            found = first_match(wording, self._listings[-1])
            if found is not None:
                return found
        return "-".join(words(wording)) or "unknown"


class FirstMatchFactory:
    """Makes a `FirstMatch` for each scenario."""

    name = "first-match"

    def for_scenario(self, scenario: Scenario, suite: Suite) -> Agent:
        """The guesser for this scenario."""
        return FirstMatch(scenario, suite.directory)

    async def aclose(self) -> None:
        """Nothing is shared."""


def words(text: str) -> list[str]:
    """The words of a text in lower case; what is not a letter parts them, and single letters are none."""
    return [word for word in _NOT_LETTERS.split(text.casefold()) if len(word) > 1]


def first_match(wording: str, listing: Sequence[str]) -> str | None:
    """The first identifier of the listing that shares a word with the wording."""
    wanted = set(words(wording))
    return next((identifier for identifier in listing if wanted.intersection(words(identifier))), None)


def identifiers(value: Any) -> Iterator[str]:
    """The identifiers in a tool's answer, in its order.

    They are what stands under ``id``, ``…_id``, ``…Id`` or ``email``, and bare strings in lists.
    """
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if isinstance(inner, str):
                if _IDENTIFYING_KEY.match(str(key)):
                    yield inner
            else:
                yield from identifiers(inner)
    elif isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        for inner in value:
            if isinstance(inner, str):
                yield inner
            else:
                yield from identifiers(inner)


def _replaced(value: Any, guesses: Mapping[str, str]) -> Any:
    """The arguments with every meant identifier replaced by the guessed one, also inside longer strings."""
    if isinstance(value, str):
        if value in guesses:
            return guesses[value]
        if not guesses:
            return value
        # One pass over all of them, the longest first, so that no guess is replaced by another.
        meant = "|".join(re.escape(identifier) for identifier in sorted(guesses, key=len, reverse=True))
        return re.sub(rf"(?<![\w-])(?:{meant})(?![\w-])", lambda found: guesses[found.group()], value)
    if isinstance(value, Mapping):
        return {key: _replaced(inner, guesses) for key, inner in value.items()}
    if isinstance(value, list):
        return [_replaced(inner, guesses) for inner in value]
    return value


def _contains(wording: str, identifier: str) -> bool:
    return re.search(rf"(?<![\w-]){re.escape(identifier)}(?![\w-])", wording) is not None
