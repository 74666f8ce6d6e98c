"""An environment made of any MCP server: its tools are the steps.

::

    class Notes(McpServerEnvironment):
        \"\"\"Somebody's notes.\"\"\"

        server = McpServer.of("notes-server --in-memory")

Each world has a server process (or, at a URL, an MCP session) of its own, and ``reset`` begins it anew. The server's
program is the operator's choice; what it sends is not trusted. Needs the extra ``mcp``, loaded when the first one starts.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit, urlunsplit

from openenv.environment import AsyncEnvironment, Context
from openenv.errors import (
    CapacityReached,
    ConfigurationError,
    InvalidArguments,
    OpenEnvError,
    ToolFailed,
    ToolServerFailed,
    ValidationFailed,
)
from openenv.extras import import_with_mcp
from openenv.tools.arguments import is_wrapped
from openenv.tools.environment import as_tool, error_from, tool_error
from openenv.tools.registry import ToolOutcome, unknown_tool
from openenv.types import (
    Action,
    CallToolAction,
    CallToolObservation,
    EnvironmentMetadata,
    ListToolsAction,
    ListToolsObservation,
    Observation,
    State,
    ToolListing,
    ToolResult,
)

if TYPE_CHECKING:
    from mcp.types import CallToolResult, Tool

    from openenv.tools._mcp_session import McpSession

__all__ = ["McpServer", "McpServerEnvironment", "environment_of"]

ALWAYS_PASSED = ("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "LOGNAME", "USER", "SHELL", "TERM", "TMPDIR", "TZ")
"""The variables of our environment that a server process gets, beside those that are named for it."""

SPARE_SERVERS = 16
"""How many servers may run for requests without a session, beside one per session."""


@dataclass(frozen=True)
class McpServer:
    """An MCP server to make an environment of: a command that speaks MCP over its pipes, or a streamable HTTP URL."""

    command: tuple[str, ...] = ()
    url: str | None = None
    env: tuple[str, ...] = ()
    """Names of the variables of our own environment that the process gets too."""
    cwd: Path | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Sent with every request to the URL."""
    start_timeout_s: float = 30.0
    """How long the start may take, the handshake included."""
    call_timeout_s: float = 60.0
    """How long a tool may take, in seconds."""
    max_message_bytes: int = 16 * 1024 * 1024
    """The longest message that is taken from the server."""

    def __post_init__(self) -> None:
        if bool(self.command) == (self.url is not None):
            raise ConfigurationError("an MCP server is either a command or a URL", hint="Give one of the two.")

    @classmethod
    def of(cls, target: str, **known: Any) -> McpServer:
        """A URL where it is one, else a command line, split as a shell would (there is no shell).

        Raises `ConfigurationError` for a line that cannot be split.
        """
        if target.startswith(("http://", "https://")):
            return cls(url=target, **known)
        try:
            return cls(command=tuple(shlex.split(target)), **known)
        except ValueError as error:
            raise ConfigurationError(f"{target!r} is no command line: {error}", hint="Mind the quotes.") from None

    @property
    def shown(self) -> str:
        """The server as logs and errors name it: without arguments and credentials."""
        if self.url is None:
            return repr(Path(self.command[0]).name)
        parts = urlsplit(self.url)
        return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))

    def environment(self) -> dict[str, str]:
        """The variables that the process gets. Raises `ConfigurationError` when one that is asked for is not set."""
        missing = [name for name in self.env if name not in os.environ]
        if missing:
            raise ConfigurationError(f"{missing[0]} is not set, and the MCP server is to have it", hint="Export it.")
        return {name: os.environ[name] for name in (*ALWAYS_PASSED, *self.env) if name in os.environ}


class McpServerEnvironment(AsyncEnvironment[Action, Observation, State]):
    """An MCP server's tools, one step per call. Set ``server``; set ``transform`` to reward its calls."""

    server: ClassVar[McpServer]
    max_sessions: ClassVar[int | None] = 64
    """Each one is a process."""
    stops_when_closed: ClassVar[bool] = True
    described: ClassVar[EnvironmentMetadata | None] = None
    """What ``/metadata`` says, where not the class's name and docstring."""
    _running: ClassVar[set[McpServerEnvironment]]
    _session: McpSession | None = None
    _listed: Mapping[str, ToolListing] | None = None
    _stale: bool = False
    """Whether the list has to be asked for again."""
    _told: bool = False
    """Whether that was said on already."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._running = set()

    def __init__(self) -> None:
        if not hasattr(self, "server"):
            raise ConfigurationError(
                f"{type(self).__name__} does not say which MCP server it is made of",
                hint="Set it in a subclass.",
                example='server = McpServer.of("COMMAND or URL")',
            )

    @classmethod
    def get_metadata(cls) -> EnvironmentMetadata:
        """What ``/metadata`` says."""
        return cls.described or super().get_metadata()

    @property
    def state(self) -> State:
        """Where the episode stands, and which server it is played with."""
        session = self._session
        info = session.info if session is not None else None
        return State.model_validate(
            {
                "episode_id": self.episode_id,
                "step_count": self.step_count,
                "server": info.name if info is not None else None,
                "server_version": info.version if info is not None else None,
                "protocol_version": session.protocol_version if session is not None else None,
                "running": session is not None and session.failure is None,
            }
        )

    async def reset(self) -> Observation:
        """Begin anew: with a new process, or a new MCP session, unless no tool of this one was called yet.

        A seed cannot be honoured and is refused. Raises `ToolServerFailed` when the server does not start.
        """
        session = self._session
        if session is not None and (session.calls or session.failure is not None):
            await self.close()
        listed = await self._tools()
        session = self._session
        assert session is not None
        info = session.info
        notes: dict[str, Any] = {"tools": len(listed)}
        if info is not None:
            notes |= {"server": info.name, "version": info.version}
        if session.instructions:
            notes["instructions"] = session.instructions
        return Observation(metadata=notes)

    async def step(self, action: Action, context: Context) -> Observation:
        """List the tools, or call one."""
        if isinstance(action, ListToolsAction):
            return ListToolsObservation(tools=[as_tool(listing) for listing in await self.tool_listings()])
        if isinstance(action, CallToolAction):
            outcome = await self._call(action.tool_name, action.arguments, context)
            error = None if outcome.error is None else tool_error(outcome.error)
            metadata = {} if error is None else {"error": error.details}
            return CallToolObservation(tool_name=outcome.name, result=outcome.value, error=error, metadata=metadata)
        raise ValidationFailed(f"{type(action).__name__} is not a tool action", hint="Send list_tools or call_tool.")

    async def close(self) -> None:
        """End the process with all that it has started, or the session at the URL."""
        session, self._session = self._session, None
        self._running.discard(self)
        if session is not None:
            await session.close()

    async def tool_listings(self) -> Sequence[ToolListing]:
        """The server's tools as they are now."""
        return list((await self._tools()).values())

    def tool_action(self, name: str, arguments: Mapping[str, Any]) -> Action:
        """The action that calls this tool."""
        return CallToolAction(tool_name=name, arguments=dict(arguments))

    def outcome_of(self, action: Action, observation: Observation) -> ToolOutcome | None:
        """What came of a tool call, read from its action and observation; ``None`` when it was none."""
        if not isinstance(action, CallToolAction) or not isinstance(observation, CallToolObservation):
            return None
        listing = (self._listed or {}).get(action.tool_name)
        error = None if observation.error is None else error_from(observation.error)
        return ToolOutcome(action.tool_name, observation.result, error, listing is not None and listing.read_only)

    def arguments_of(self, action: Action) -> Mapping[str, Any]:
        """The arguments of an action that calls a tool."""
        return getattr(action, "arguments", None) or {}

    async def _call(self, name: str, arguments: Mapping[str, Any], context: Context) -> ToolOutcome:
        """Call a tool. What it says against the call is in the outcome; the end of the server is raised."""
        outcome = ToolOutcome(name)
        session = await self._started()
        try:
            listing = await self._tool(name)
            outcome.read_only = listing.read_only
            check_arguments(listing, arguments)
            answer = await session.call(name, arguments, context)
        except ToolServerFailed:
            raise
        except OpenEnvError as error:
            outcome.error = error
            return outcome
        outcome.value = result_of(answer, listing)
        if answer.is_error:
            outcome.error = refusal_of(name, outcome.value)
        return outcome

    async def _tool(self, name: str) -> ToolListing:
        """The tool of this name; the list is asked for again before it is said that there is none."""
        found = (await self._tools()).get(name)
        if found is not None:
            return found
        self._stale = True
        known = await self._tools()
        if name in known:
            return known[name]
        raise unknown_tool(name, known)

    async def _tools(self) -> Mapping[str, ToolListing]:
        session = await self._started()
        if session.failure is not None:
            raise session.failed(session.failure)
        if self._listed is None or self._stale:
            self._stale = False
            try:
                tools = await session.list_tools()
            except BaseException:
                self._stale = True
                raise
            before, self._listed = self._listed, {tool.name: listing_of(tool) for tool in tools}
            if before is not None and before != self._listed and not self._told:
                self.tools_changed()
            self._told = False
        return self._listed

    async def _started(self) -> McpSession:
        if self._session is not None:
            return self._session
        most = None if self.max_sessions is None else self.max_sessions + SPARE_SERVERS
        if most is not None and len(self._running) >= most:
            raise CapacityReached(f"{most} MCP servers run already", hint="Try again when one has ended.")
        session = self._new_session()
        self._running.add(self)
        try:
            await session.open()
        except BaseException:
            self._running.discard(self)
            raise
        self._session = session
        self._stale = True
        return session

    def _new_session(self) -> McpSession:
        try:
            made: McpSession = import_with_mcp("openenv.tools._mcp_session").McpSession(self.server, self._changed)
        except ImportError as error:
            raise ConfigurationError(
                f"an environment made of an MCP server needs MCP's SDK ({error})", hint='pip install "openenv[mcp]"'
            ) from error
        return made

    def _changed(self) -> None:
        """The server says that its list is another one. Said on once, until somebody has looked."""
        if not self._stale:
            self._stale = True
            if self._listed is not None:
                self._told = True
                self.tools_changed()


async def environment_of(server: McpServer, *, name: str | None = None) -> type[McpServerEnvironment]:
    """Start a server once, to see that it works and what it calls itself, and make a class of environments of it.

    Raises:
        ToolServerFailed: It does not start, or does not list its tools.
        ConfigurationError: The extra ``mcp`` is not installed, or a variable that the server is to have is not set.
    """
    attributes = {"server": server, "__doc__": McpServerEnvironment.__doc__}
    made: type[McpServerEnvironment] = type("McpServerEnvironment", (McpServerEnvironment,), attributes)
    server.environment()  # here what is missing has its own error; in a session it is one of the server's
    once = made()
    try:
        tools = await once.tool_listings()
        state = once.state.model_dump()
    finally:
        await once.close()
    called = str(state["server"] or "")[:64]
    made.described = EnvironmentMetadata(
        name=name or _NO_NAME.sub("-", called).strip("-") or "mcp-server",
        description=f"{len(tools)} tools of the MCP server {called or server.shown}",
        version=(state["server_version"] or "")[:64] or None,
    )
    return made


_NO_NAME = re.compile(r"[^A-Za-z0-9_.-]+")


def listing_of(tool: Tool) -> ToolListing:
    """A tool of the server's as OpenEnv lists it; its hints are passed on as they are, and what it does not say is left open."""
    hints = tool.annotations
    return ToolListing(
        name=tool.name,
        description=tool.description or "",
        input_schema=tool.input_schema,
        read_only=hints is not None and hints.read_only_hint is True,
        destructive=hints is not None and hints.destructive_hint is True,
        idempotent=hints is not None and hints.idempotent_hint is True,
        title=tool.title,
        output_schema=tool.output_schema,
        annotations={} if hints is None else hints.model_dump(mode="json", by_alias=True, exclude_none=True),
        icons=[icon.model_dump(mode="json", by_alias=True, exclude_none=True) for icon in tool.icons] if tool.icons else None,
        meta=tool.meta,
    )


def check_arguments(listing: ToolListing, arguments: Mapping[str, Any]) -> None:
    """Refuse what the schema's outermost level refuses. The rest is the server's to judge: its patterns are not run here."""
    schema = listing.input_schema
    properties = schema.get("properties")
    known = properties if isinstance(properties, dict) else {}
    names = ", ".join(sorted(map(str, known))) or "none"
    required = schema.get("required")
    for name in required if isinstance(required, list) else ():
        if isinstance(name, str) and name not in arguments:
            raise InvalidArguments(f"{listing.name} needs the argument {name!r}", field=name, hint=f"Its arguments are: {names}.")
    if schema.get("additionalProperties") is False:
        for name in arguments:
            if name not in known:
                raise InvalidArguments(
                    f"{listing.name} has no argument {name!r}", field=name, hint=f"Its arguments are: {names}."
                )


def result_of(answer: CallToolResult, listing: ToolListing) -> ToolResult:
    """A tool's answer; ``data`` is what a program wants: the structured content, else the text, else the blocks."""
    content = [block.model_dump(mode="json", by_alias=True, exclude_none=True) for block in answer.content]
    structured = answer.structured_content
    data: Any = structured
    if structured is None:
        texts = [block["text"] for block in content if block.get("type") == "text"]
        data = "\n".join(texts) if len(texts) == len(content) else content
    elif isinstance(structured, dict) and is_wrapped(listing.output_schema or {}):
        data = structured.get("result")
    if structured is not None and not isinstance(structured, dict):
        structured = {"result": structured}
    return ToolResult(content, structured, answer.meta, data, answer.is_error)


_SAID_BY_THE_SDK = "MCP error -32602:"
"""How MCP's TypeScript SDK begins the text of an error about arguments."""


def refusal_of(name: str, result: ToolResult) -> OpenEnvError:
    """The error for an answer with ``isError``."""
    texts = [block["text"] for block in result.content if block.get("type") == "text"]
    message = "\n".join(texts)[:4000].strip() or f"{name} failed without a word"
    if message.startswith(_SAID_BY_THE_SDK):
        return InvalidArguments(message.removeprefix(_SAID_BY_THE_SDK).strip(), hint="The tool's input schema says what fits.")
    details = {"structured_content": result.structured_content} if result.structured_content is not None else None
    return ToolFailed(message, details=details)
