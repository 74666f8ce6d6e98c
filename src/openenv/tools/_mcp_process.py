"""An MCP server as a process of its own, spoken to over its pipes, with bounds on all that it may do to us.

The official SDK's own stdio transport keeps a line of any length and lets standard error through; a server here is
somebody's program, so a line, a flood of messages and standard error are bounded, and the whole process group ends with
the world. Needs the extra ``mcp``: import it inside functions only.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.shared.message import SessionMessage
from mcp.types import JSONRPCError, JSONRPCResponse, jsonrpc_message_adapter

if TYPE_CHECKING:
    from openenv.tools.remote import McpServer

__all__ = ["process_streams"]

log = logging.getLogger("openenv.tools")

Incoming = SessionMessage | Exception
Streams = tuple[MemoryObjectReceiveStream[Incoming], MemoryObjectSendStream[SessionMessage]]

BUSY_S: Final = 60.0
"""Of messages that answer nothing, so many are taken in so many seconds:"""
BUSY_MESSAGES: Final = 5_000
GRACE_S: Final = 2.0
"""How long a server may take to end by itself once its standard input is closed, and again after SIGTERM."""
KEPT_OF_STDERR: Final = 4096


@asynccontextmanager
async def process_streams(server: McpServer, ended: Callable[[str], None]) -> AsyncIterator[Streams]:
    """Start the server and hand out what an MCP session reads and writes; at the end the process group is gone.

    Args:
        server: What to start.
        ended: Told why, once, when the server stops being of use before it was asked to.

    Raises:
        OSError: It cannot be started.
    """
    process = await asyncio.create_subprocess_exec(
        *server.command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=server.environment(),
        cwd=server.cwd,
        limit=server.max_message_bytes,
        start_new_session=True,
    )
    running = _Process(server, process, ended)
    to_session, incoming = anyio.create_memory_object_stream[Incoming](0)
    outgoing, from_session = anyio.create_memory_object_stream[SessionMessage](0)
    work = [
        asyncio.create_task(running.read(to_session)),
        asyncio.create_task(running.write(from_session)),
        asyncio.create_task(running.listen_to_stderr()),
    ]
    try:
        yield incoming, outgoing
    finally:
        await running.stop()
        for task in work:
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)
        for stream in (to_session, incoming, outgoing, from_session):
            stream.close()


class _Process:
    """The three pipes of one server, and its end."""

    def __init__(self, server: McpServer, process: asyncio.subprocess.Process, ended: Callable[[str], None]) -> None:
        self._server = server
        self._process = process
        self._ended = ended
        self._stopping = False
        self._stderr = b""
        self._since = monotonic()
        self._unasked = 0

    async def read(self, to_session: MemoryObjectSendStream[Incoming]) -> None:
        """Pass on each line that is a message, until the server ends or breaks a bound."""
        stdout = self._process.stdout
        assert stdout is not None
        async with to_session:
            while True:
                try:
                    line = await stdout.readuntil(b"\n")
                except asyncio.IncompleteReadError:
                    await self._say_that_it_ended()
                    return
                except (asyncio.LimitOverrunError, ValueError):
                    self._fail(f"sent a message of more than {self._server.max_message_bytes} bytes")
                    return
                except OSError as error:
                    self._fail(f"cannot be read from: {error.strerror or error}")
                    return
                if not await self._pass_on(line, to_session):
                    return

    async def _pass_on(self, line: bytes, to_session: MemoryObjectSendStream[Incoming]) -> bool:
        """Whether to go on after this line. Lines that are no JSON-RPC are some servers' way to log: they are left out."""
        if not line.lstrip().startswith(b"{") or b'"jsonrpc"' not in line:
            return self._bearable()
        try:
            message = jsonrpc_message_adapter.validate_json(line, by_name=False)
        except ValueError:
            self._fail("sent a message that is not JSON-RPC")
            return False
        if isinstance(message, JSONRPCResponse | JSONRPCError):
            self._unasked = 0
        elif not self._bearable():
            return False
        with suppress(anyio.ClosedResourceError, anyio.BrokenResourceError):
            await to_session.send(SessionMessage(message))
            return True
        return False

    def _bearable(self) -> bool:
        """Count a message that nobody asked for."""
        now = monotonic()
        if now - self._since > BUSY_S:
            self._since, self._unasked = now, 0
        self._unasked += 1
        if self._unasked > BUSY_MESSAGES:
            self._fail(f"sent more than {BUSY_MESSAGES} messages that answer nothing")
            return False
        return True

    async def write(self, from_session: MemoryObjectReceiveStream[SessionMessage]) -> None:
        """Write each message on a line."""
        stdin = self._process.stdin
        assert stdin is not None
        async with from_session:
            async for sent in from_session:
                text = sent.message.model_dump_json(by_alias=True, exclude_unset=True)
                try:
                    stdin.write(text.encode() + b"\n")
                    await stdin.drain()
                except (OSError, RuntimeError):
                    await self._say_that_it_ended()
                    return

    async def listen_to_stderr(self) -> None:
        """Take what comes, so that the server never waits for us, and keep the end of it."""
        stderr = self._process.stderr
        assert stderr is not None
        with suppress(OSError):
            while chunk := await stderr.read(65536):
                self._stderr = (self._stderr + chunk)[-KEPT_OF_STDERR:]

    async def _say_that_it_ended(self) -> None:
        for _ in range(50):
            if self._process.returncode is not None:
                break
            await asyncio.sleep(0.01)
        code = self._process.returncode
        self._fail("closed its output" if code is None else f"has ended ({_in_words(code)})")

    def _fail(self, reason: str) -> None:
        if self._stopping:
            return
        said = self._stderr.decode(errors="replace").strip()
        log.warning("the MCP server %s %s%s", self._server.shown, reason, f"; its last words: {said}" if said else "")
        self._ended(reason)

    async def stop(self) -> None:
        """Close its input, as MCP asks, then SIGTERM, then SIGKILL; whatever it has left behind is killed."""
        self._stopping = True
        if self._process.stdin is not None:
            self._process.stdin.close()
        if not await self._gone(GRACE_S):
            self._signal(signal.SIGTERM)
            await self._gone(GRACE_S)
        self._signal(signal.SIGKILL)
        if not await self._gone(GRACE_S):
            log.error("the MCP server %s (process %d) does not end", self._server.shown, self._process.pid)
        # Children that left the group may hold the pipes open: nothing public lets go of our ends.
        transport: Any = getattr(self._process, "_transport", None)
        if transport is not None:
            with suppress(PermissionError, ProcessLookupError):
                transport.close()

    async def _gone(self, patience_s: float) -> bool:
        deadline = monotonic() + patience_s
        while self._process.returncode is None:  # wait() would also wait for the pipes of its children
            if monotonic() > deadline:
                return False
            await asyncio.sleep(0.01)
        return True

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)


def _in_words(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
