"""An environment's tools at a URL, for an agent in a process of its own."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from typing import TYPE_CHECKING, Any

from openenv.core.harness.adapter import HarnessError

if TYPE_CHECKING:
    import uvicorn

__all__ = ["HarnessMCPBridge", "build_bridge_server", "new_fastmcp"]

log = logging.getLogger("openenv.core.harness")

PATH = "/mcp"


class HarnessMCPBridge:
    """Serves a FastMCP server over streamable HTTP from a thread. It has the tools and nothing else: an agent that is
    given its URL cannot reset, step or see the state.

    Args:
        mcp_server: The ``fastmcp.FastMCP``.
        host: The address to listen on; leave it on loopback, there is no authentication.
    """

    def __init__(self, mcp_server: Any, host: str = "127.0.0.1") -> None:
        self._mcp_server = mcp_server
        self._host = host
        self._url: str | None = None
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        self._failure: BaseException | None = None

    @property
    def url(self) -> str | None:
        """Where it is served, or None while it is not."""
        return self._url

    def start(self, timeout_s: float = 10.0) -> str:
        """Serve, and return the URL; it is the same one while it is served. Blocks until the server answers.

        Raises:
            HarnessError: The server did not come up in time, or is still stopping.
            OSError: The address cannot be listened on.
        """
        if self._url is not None:
            return self._url
        if self._thread is not None:
            raise HarnessError("the tool bridge is still stopping: call stop() again before start()")
        import uvicorn

        app = self._mcp_server.http_app(path=PATH, host_origin_protection=True)
        listening = _listen(self._host)
        port = listening.getsockname()[1]
        config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1, ws="none")
        self._failure = None
        started = threading.Event()

        class Server(uvicorn.Server):
            """Says when it listens."""

            async def startup(self, sockets: list[socket.socket] | None = None) -> None:
                await super().startup(sockets=sockets)
                started.set()

        self._server = server = Server(config)
        self._thread = threading.Thread(
            target=self._serve, args=(server, listening, started), name="openenv-harness-bridge", daemon=True
        )
        self._thread.start()
        if not started.wait(timeout_s) or not server.started:
            failure = self._failure
            self.stop()
            raise HarnessError(f"the tool bridge did not start within {timeout_s} s") from failure
        shown = f"[{self._host}]" if ":" in self._host else self._host
        self._url = f"http://{shown}:{port}{PATH}"
        return self._url

    def stop(self, timeout_s: float = 5.0) -> None:
        """Stop serving. One that is not served is left alone.

        Raises:
            HarnessError: It did not stop in time; call again.
        """
        self._url = None
        thread, server = self._thread, self._server
        if thread is None or server is None:
            return
        server.should_exit = True
        thread.join(timeout_s)
        if thread.is_alive():
            server.force_exit = True
            raise HarnessError(f"the tool bridge did not stop within {timeout_s} s: call stop() again")
        self._thread = self._server = None

    def _serve(self, server: uvicorn.Server, listening: socket.socket, started: threading.Event) -> None:
        try:
            asyncio.run(server.serve(sockets=[listening]))
        except (Exception, SystemExit) as error:  # a thread's top: start() tells it
            self._failure = error
            log.warning("the tool bridge failed", exc_info=True)
        finally:
            listening.close()
            started.set()


async def build_bridge_server(mcp_server: Any, renames: dict[str, str]) -> Any:
    """The server with tools under other names; the server itself where there are none to rename.

    Args:
        mcp_server: The ``fastmcp.FastMCP``.
        renames: The tools' own names by those that they are to have.

    Raises:
        HarnessError: The server has no tool of such a name.
    """
    if not renames:
        return mcp_server
    known = {one.name for one in await mcp_server.list_tools()}
    unknown = sorted(set(renames.values()) - known)
    if unknown:
        raise HarnessError(f"Cannot rename tools that the MCP server does not expose: {', '.join(unknown)}")
    from fastmcp.server.transforms import ToolTransform
    from fastmcp.tools.tool_transform import ToolTransformConfig

    view = new_fastmcp(f"{mcp_server.name}-harness-view")
    view.mount(mcp_server)
    view.add_transform(ToolTransform({own: ToolTransformConfig(name=given) for given, own in renames.items()}))
    return view


def new_fastmcp(name: str) -> Any:
    """A FastMCP server without tools.

    Raises:
        ImportError: fastmcp is not installed.
    """
    try:
        from fastmcp import FastMCP
    except ImportError:
        raise ImportError('HarnessEnvironment needs fastmcp, which is an extra: pip install "openenv[mcp]"') from None
    return FastMCP(name)


def _listen(host: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, 0), family=family)
