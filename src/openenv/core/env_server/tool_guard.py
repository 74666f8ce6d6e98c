"""What a FastMCP server's tool may raise without ending more than its own call. Needs ``openenv[mcp]``."""

from __future__ import annotations

import logging
from typing import Any

from openenv.runtime.raised import is_stopped

__all__ = ["guard_tools"]

log = logging.getLogger("openenv.core")


def guard_tools(mcp_server: Any) -> None:
    """Have the server answer for whatever a tool raises.

    FastMCP answers for an ``Exception``. A tool that cancels itself, or exits, would end its session with the client,
    or the event loop and with it every session.
    """
    kind = _guard_type()
    if not any(type(one).__name__ == kind.__name__ for one in mcp_server.middleware):
        mcp_server.add_middleware(kind())


def _guard_type() -> Any:
    from fastmcp.exceptions import ToolError
    from fastmcp.server.middleware import Middleware

    class OpenEnvToolGuard(Middleware):
        async def on_call_tool(self, context: Any, call_next: Any) -> Any:
            try:
                return await call_next(context)
            except Exception:
                raise
            except BaseException as error:
                if is_stopped(error):
                    raise
                name = context.message.name
                log.exception("tool %r raised what is no Exception", name)
                said = ": ".join(word for word in (type(error).__name__, str(error)) if word)
                raise ToolError(f"Error calling tool {name!r}: {said}") from error

    return OpenEnvToolGuard
