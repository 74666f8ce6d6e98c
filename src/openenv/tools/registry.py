"""Which tools a class has, and calling one."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, TypeVar

from openenv.environment import Context
from openenv.errors import ConfigurationError, ExecutionFailed, OpenEnvError, ToolNotFound
from openenv.tools.arguments import Arguments, output_schema, summary
from openenv.types import ToolListing

log = logging.getLogger("openenv.tools")

RESERVED_NAMES = frozenset({"reset", "step", "state", "close"})
"""OpenEnv's reserved tool names: they are operations, not tools."""

LONGEST_NAME = 128
"""Of a name that no tool has, no more than this is compared with the others, or said back."""

_MARK = "__openenv_tool__"
MethodT = TypeVar("MethodT", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class _Mark:
    name: str
    aliases: tuple[str, ...]
    read_only: bool
    destructive: bool
    idempotent: bool
    example: Mapping[str, Any] | None
    title: str | None
    output_schema: Mapping[str, Any] | bool


def tool(
    *,
    name: str | None = None,
    aliases: Sequence[str] = (),
    read_only: bool = False,
    destructive: bool = False,
    idempotent: bool = False,
    example: Mapping[str, Any] | None = None,
    title: str | None = None,
    output_schema: Mapping[str, Any] | bool = False,
) -> Callable[[MethodT], MethodT]:
    """Make a method a tool.

    Args:
        name: Its name for agents; the method's own by default.
        aliases: Other names that call it; they are not listed.
        read_only: It changes nothing. Clients may call such a tool freely, and statistics count it as a look-up.
        destructive: It removes or overwrites something.
        idempotent: Calling it twice with the same arguments is the same as once.
        example: Arguments that fit, shown in errors; made from the schema when absent.
        title: Its name for people.
        output_schema: True to tell MCP clients the JSON Schema of what it returns, from the return annotation, and to send
            the value as structured content beside the text; or that schema, of an object.
    """

    def marked(method: MethodT) -> MethodT:
        chosen = name or method.__name__
        taken = RESERVED_NAMES.intersection({chosen, *aliases})
        if taken:
            raise ConfigurationError(f"{sorted(taken)[0]!r} is reserved and cannot be a tool's name", hint="Choose another.")
        mark = _Mark(chosen, tuple(aliases), read_only, destructive, idempotent, example, title, output_schema)
        setattr(method, _MARK, mark)
        return method

    return marked


@dataclass(frozen=True, slots=True)
class RegisteredTool:
    """A tool of a class: what agents see of it and how it is called."""

    name: str
    aliases: tuple[str, ...]
    attribute: str
    description: str
    arguments: Arguments
    read_only: bool
    destructive: bool
    idempotent: bool
    title: str | None = None
    output_schema: dict[str, Any] | None = None

    def listing(self) -> ToolListing:
        """The tool with its annotations."""
        return ToolListing(
            self.name,
            self.description,
            self.arguments.schema,
            self.read_only,
            self.destructive,
            self.idempotent,
            self.title,
            self.output_schema,
        )


@dataclass(slots=True)
class ToolOutcome:
    """What came of a tool call: a value, or an error."""

    name: str
    value: Any = None
    error: OpenEnvError | None = None
    read_only: bool = False


class ToolRegistry:
    """The tools of a class, by name, in the order in which they were written; built once per class."""

    def __init__(self, tools: Sequence[RegisteredTool]) -> None:
        self._listed = tuple(tools)
        self._by_name = {name: found for found in tools for name in (found.name, *found.aliases)}

    @classmethod
    def of(cls, owner: type) -> ToolRegistry:
        """Collect the marked methods of a class, its bases' first."""
        found: dict[str, RegisteredTool] = {}
        for base in reversed(owner.__mro__):
            for attribute, method in vars(base).items():
                mark: _Mark | None = getattr(method, _MARK, None)
                if mark is None:
                    continue
                found[attribute] = RegisteredTool(
                    name=mark.name,
                    aliases=mark.aliases,
                    attribute=attribute,
                    description=summary(inspect.getdoc(method) or ""),
                    arguments=Arguments(method, name=mark.name, example=mark.example),
                    read_only=mark.read_only,
                    destructive=mark.destructive,
                    idempotent=mark.idempotent,
                    title=mark.title,
                    output_schema=_output_schema(mark, method),
                )
        names = [name for one in found.values() for name in (one.name, *one.aliases)]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ConfigurationError(f"{owner.__name__} has two tools named {twice[0]!r}", hint="Rename one of them.")
        return cls(list(found.values()))

    def __iter__(self) -> Iterator[RegisteredTool]:
        return iter(self._listed)

    def __len__(self) -> int:
        return len(self._listed)

    def find(self, name: str) -> RegisteredTool | None:
        """The tool of this name or alias, or None."""
        return self._by_name.get(name)

    def get(self, name: str) -> RegisteredTool:
        """The tool of this name or alias. Raises `ToolNotFound`, naming close matches."""
        found = self._by_name.get(name)
        if found is None:
            raise unknown_tool(name, self._by_name)
        return found

    def call(self, owner: Any, name: str, arguments: Mapping[str, Any], context: Context) -> ToolOutcome:
        """Validate, call, and return what came of it; errors are returned, never raised.

        An exception that the tool did not mean to raise becomes `ExecutionFailed`, and a log line with its traceback.
        """
        try:
            found = self.get(name)
        except ToolNotFound as error:
            return ToolOutcome(name, error=error)
        outcome = ToolOutcome(found.name, read_only=found.read_only)
        try:
            given = found.arguments.validate(arguments)
            if found.arguments.context_parameter is not None:
                given[found.arguments.context_parameter] = context
            outcome.value = getattr(owner, found.attribute)(**given)
        except OpenEnvError as error:
            outcome.error = error
        except Exception as error:
            log.exception("tool %s raised", found.name)
            outcome.error = ExecutionFailed(f"Error calling tool {found.name!r}: {error}")
        return outcome


def unknown_tool(name: str, known: Iterable[str]) -> ToolNotFound:
    """The error for a name that no tool has; it names close matches."""
    close = get_close_matches(name, known, n=3) if len(name) <= LONGEST_NAME else []
    hint = f"Did you mean {' or '.join(close)}?" if close else "List the tools to see their names."
    return ToolNotFound(f"Unknown tool: {name[:LONGEST_NAME]!r}", field="tool_name", hint=hint)


def _output_schema(mark: _Mark, method: Callable[..., Any]) -> dict[str, Any] | None:
    if isinstance(mark.output_schema, bool):
        return output_schema(method, mark.name) if mark.output_schema else None
    if mark.output_schema.get("type") != "object":
        raise ConfigurationError(f"{mark.name}: an output schema is of an object", example={"type": "object", "properties": {}})
    return dict(mark.output_schema)
