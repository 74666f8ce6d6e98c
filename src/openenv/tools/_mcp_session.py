"""One session with an MCP server, from its start to its end. Needs the extra ``mcp``: import it inside functions only."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar

import httpx2
from mcp.client.session import ClientSession
from mcp.client.streamable_http import streamable_http_client
from mcp.client.subscriptions import SubscriptionLost, listen
from mcp.shared.exceptions import MCPError
from mcp.types import (
    INVALID_PARAMS,
    INVALID_REQUEST,
    CallToolRequest,
    CallToolRequestParams,
    CallToolResult,
    Implementation,
    InputRequiredResult,
    LoggingMessageNotificationParams,
    PaginatedRequestParams,
    Tool,
    ToolListChangedNotification,
)
from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json

from openenv.environment import Context
from openenv.errors import InvalidArguments, OpenEnvError, ToolFailed, ToolServerFailed
from openenv.tools._mcp_process import process_streams
from openenv.tools.environment import TOOL_TIMEOUT
from openenv.version import __version__

if TYPE_CHECKING:
    from openenv.tools.remote import McpServer

__all__ = ["LONGEST_TEXT", "McpSession"]

log = logging.getLogger("openenv.tools")

MAX_PAGES: Final = 100
MAX_TOOLS: Final = 2000
LONGEST_TEXT: Final = 4000
"""Characters of a server's words in an error, a notice or a log line."""
LONGEST_NAME: Final = 200
"""Characters of what a server calls itself, and of its version."""
READ_S: Final = 300.0
"""How long a stream at a URL may be silent, where nobody waits for an answer."""
CLOSE_S: Final = 10.0
"""How long a server at a URL may take to end a session; a process has its own, shorter terms."""

_ANSWER: TypeAdapter[CallToolResult | InputRequiredResult] = TypeAdapter(CallToolResult | InputRequiredResult)
_SESSION_GONE: Final = "Session terminated"
"""What the SDK answers in the place of a server that no longer knows the session."""

AnswerT = TypeVar("AnswerT")


class McpSession:
    """A live session. A task of its own owns it, since the SDK wants a session opened and closed by the same task.

    Args:
        server: Which server.
        changed: Called when the server says that its tools are others now.
    """

    def __init__(self, server: McpServer, changed: Callable[[], None]) -> None:
        self.server = server
        self.failure: str | None = None
        """Why the server is of no use any more."""
        self.calls = 0
        """Tool calls that were sent."""
        self._changed = changed
        self._context = Context()
        self._session: ClientSession | None = None
        self._closing = False
        self._end = asyncio.Event()
        self._owner: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Start the server and shake hands. Raises `ToolServerFailed`; nothing is left running then."""
        ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._owner = asyncio.create_task(self._own(ready))
        try:
            async with asyncio.timeout(self.server.start_timeout_s):
                await ready
        except TimeoutError:
            await self.close()
            raise self.failed(f"did not answer within {self.server.start_timeout_s:g} s of its start") from None
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """End the session and the process. Returns when both are gone."""
        self._end.set()
        owner = self._owner
        if owner is None:
            return
        if self._session is not None:
            await asyncio.wait([owner], timeout=CLOSE_S)
        if not owner.done():
            owner.cancel()
            await asyncio.wait([owner])

    def failed(self, reason: str) -> ToolServerFailed:
        """The error that says so."""
        return ToolServerFailed(f"The MCP server {self.server.shown} {reason}", hint="Reset to start it anew.")

    @property
    def info(self) -> Implementation | None:
        """What the server calls itself, in few words."""
        told = self._session.server_info if self._session is not None else None
        if told is None:
            return None
        return Implementation(name=told.name[:LONGEST_NAME], version=told.version[:LONGEST_NAME])

    @property
    def protocol_version(self) -> str | None:
        """The revision of MCP that both speak."""
        return self._session.protocol_version if self._session is not None else None

    @property
    def instructions(self) -> str | None:
        """What the server says about its use."""
        told = self._session.instructions if self._session is not None else None
        return told[:LONGEST_TEXT] if told else None

    async def list_tools(self) -> list[Tool]:
        """All pages of the list. Raises `ToolServerFailed` when there is no end of it."""
        try:
            return await self._ask(self._pages)
        except TimeoutError:
            raise self.failed(f"did not list its tools within {self.server.call_timeout_s:g} s") from None
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, first["loc"]))[:LONGEST_TEXT]
            raise self.failed(f"lists a tool that is not MCP's: {where}: {first['msg']}") from None
        except MCPError as error:
            raise self.failed(f"does not list its tools: {error.message[:LONGEST_TEXT]}") from None

    async def call(self, name: str, arguments: Mapping[str, Any], context: Context) -> CallToolResult:
        """Call a tool and wait for its answer; when cancelled, the server is told.

        Raises:
            InvalidArguments: The server says that the arguments do not fit.
            ToolFailed: It answered with an error of the protocol, or not in time (`TOOL_TIMEOUT`).
            ToolServerFailed: It is gone.
        """
        self.calls += 1
        request = CallToolRequest(params=CallToolRequestParams(name=name, arguments=dict(arguments)))

        async def on_progress(progress: float, total: float | None, message: str | None) -> None:
            if math.isfinite(progress) and (total is None or math.isfinite(total)):
                context.progress(progress, total, message[:LONGEST_TEXT] if message else None)

        async def send(session: ClientSession) -> CallToolResult | InputRequiredResult:
            told = on_progress if context.control is not None else None
            return await session.send_request(request, _ANSWER, progress_callback=told)

        self._context = context
        try:
            answer = await self._ask(send)
        except TimeoutError:
            text = f"{name} did not answer within {self.server.call_timeout_s:g} s"
            raise ToolFailed(text, code=TOOL_TIMEOUT, hint="Ask for less, or raise the limit.") from None
        except ValidationError:
            raise ToolFailed(f"{name} gave an answer that is not MCP's", code="INVALID_ANSWER") from None
        except MCPError as error:
            raise _refusal(error) from None
        finally:
            self._context = Context()
        if isinstance(answer, InputRequiredResult):
            raise ToolFailed(f"{name} asks its caller back, and nobody can answer it here", code="INPUT_REQUIRED")
        return answer

    async def _ask(self, send: Callable[[ClientSession], Awaitable[AnswerT]]) -> AnswerT:
        """Send while the server lives. What the SDK raises is the caller's to word, but for the server's end."""
        session = self._session
        if session is None or self._closing or self.failure is not None:
            raise await self._gone()
        try:
            async with asyncio.timeout(self.server.call_timeout_s):
                return await send(session)
        except MCPError as error:
            if error.code == INVALID_REQUEST and error.message == _SESSION_GONE:
                self._ended("no longer knows the session")
            if self._closing or self.failure is not None:
                raise await self._gone() from None
            raise

    async def _gone(self) -> OpenEnvError:
        if self._owner is not None:
            await asyncio.wait([self._owner], timeout=CLOSE_S)
        return self.failed(self.failure or "has closed the connection")

    async def _own(self, ready: asyncio.Future[None]) -> None:
        """The session's whole life."""
        name = Implementation(name="openenv", version=__version__)
        try:
            async with (
                self._streams() as (incoming, outgoing),
                ClientSession(
                    incoming, outgoing, client_info=name, message_handler=self._heard, logging_callback=self._logged
                ) as session,
            ):
                try:
                    await _shake_hands(session)
                    self._session = session
                    if not ready.done():
                        ready.set_result(None)
                    await self._wait_for_the_end(session)
                finally:
                    self._closing = True
        except Exception as error:
            # The server and the SDK between us may raise anything: it ends this session and no other.
            log.debug("the session with the MCP server %s ended", self.server.shown, exc_info=True)
            self._ended(_in_words(error))
        finally:
            self._closing = True
            if not ready.done():
                ready.set_exception(self.failed(self.failure or "has closed the connection"))

    @asynccontextmanager
    async def _streams(self) -> AsyncIterator[tuple[Any, Any]]:
        """What the session reads and writes: a process of its own, or a URL."""
        server = self.server
        if server.url is None:
            async with process_streams(server, self._ended) as pipes:
                yield pipes
            return

        async def bound(response: httpx2.Response) -> None:
            if response.headers.get("content-encoding", "identity").lower() != "identity":
                raise httpx2.DecodingError("compressed although nobody asked for it")
            if not response.headers.get("content-type", "").lower().startswith("text/event-stream"):
                response.stream = _Bounded(response.stream, server.max_message_bytes)

        timeout = httpx2.Timeout(server.start_timeout_s, read=max(READ_S, server.call_timeout_s + 5.0))
        headers = {"accept-encoding": "identity", **server.headers}
        async with (
            httpx2.AsyncClient(timeout=timeout, headers=headers, event_hooks={"response": [bound]}) as client,
            streamable_http_client(server.url, http_client=client, max_sse_event_size=server.max_message_bytes) as streams,
        ):
            yield streams

    async def _wait_for_the_end(self, session: ClientSession) -> None:
        if session.discover_result is None:
            await self._end.wait()
            return
        listening = asyncio.create_task(self._listen(session))
        try:
            await self._end.wait()
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    async def _listen(self, session: ClientSession) -> None:
        """MCP of 2026 tells of changes only to those who ask."""
        try:
            async with listen(session, tools_list_changed=True) as changes:
                async for _ in changes:
                    self._changed()
        except (MCPError, SubscriptionLost) as error:
            log.debug("the MCP server %s tells of no changes: %s", self.server.shown, error)
        except Exception:  # the SDK and the server between us may raise anything: the tools can be called all the same
            log.warning("the MCP server %s can tell of no changes any more", self.server.shown, exc_info=True)

    async def _heard(self, message: Any) -> None:
        if isinstance(message, ToolListChangedNotification):
            self._changed()

    async def _logged(self, params: LoggingMessageNotificationParams) -> None:
        message = params.data
        if isinstance(message, str):
            message = message[:LONGEST_TEXT]
        elif len(text := to_json(message, inf_nan_mode="null")) > LONGEST_TEXT:
            message = text[:LONGEST_TEXT].decode(errors="replace")
        self._context.log(message, level=params.level)

    def _ended(self, reason: str) -> None:
        self.failure = self.failure or reason
        self._end.set()

    async def _pages(self, session: ClientSession) -> list[Tool]:
        found: dict[str, Tool] = {}
        size, cursor = 0, None
        for _ in range(MAX_PAGES):
            page = await session.list_tools(params=PaginatedRequestParams(cursor=cursor))
            for tool in page.tools:
                size += len(tool.model_dump_json())
                found.setdefault(tool.name, tool)
            if len(found) > MAX_TOOLS or size > self.server.max_message_bytes:
                raise self.failed(f"lists more than {MAX_TOOLS} tools or {self.server.max_message_bytes} bytes of them")
            cursor = page.next_cursor
            if cursor is None:
                return list(found.values())
        raise self.failed(f"lists its tools on more than {MAX_PAGES} pages")


class _Bounded(httpx2.AsyncByteStream):
    """A body that may not be longer than this."""

    def __init__(self, body: Any, limit: int) -> None:
        self._body = body
        self._left = limit
        self._limit = limit

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._body:
            self._left -= len(chunk)
            if self._left < 0:
                raise httpx2.ReadError(f"more than {self._limit} bytes in one answer")
            yield chunk

    async def aclose(self) -> None:
        await self._body.aclose()


async def _shake_hands(session: ClientSession) -> None:
    """The handshake, which most servers know; else the discovery that has taken its place."""
    try:
        await session.initialize()
    except MCPError as refused:
        try:
            await session.discover()
        except (MCPError, RuntimeError, ValidationError):
            raise refused from None


def _refusal(error: MCPError) -> OpenEnvError:
    """An error of the protocol, where the tool was to answer."""
    message = error.message[:LONGEST_TEXT] or "The tool failed without a word"
    if error.code == INVALID_PARAMS:
        return InvalidArguments(message, hint="The tool's input schema says what fits.")
    return ToolFailed(message, details={"rpc_code": error.code})


def _in_words(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    text = str(getattr(error, "strerror", None) or error)[:LONGEST_TEXT]
    if isinstance(error, OSError):
        return f"cannot be started or reached: {text}"
    if isinstance(error, httpx2.HTTPError):
        return f"cannot be reached: {text or type(error).__name__}"
    if isinstance(error, MCPError):
        return f"refused the handshake: {text}"
    if isinstance(error, ValidationError):
        return "gave an answer that is not MCP's"
    return f"cannot be used: {text}"
