"""``openenv mcp``: an environment for clients that start their MCP servers themselves."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from typing import Annotated

import typer

from openenv.cli.headers import parse_headers
from openenv.cli.installed import load_app
from openenv.errors import ConfigurationError
from openenv.extras import import_with_mcp


def mcp(
    target: Annotated[
        str, typer.Argument(help="An installed environment's name, its folder, module:attribute, or the URL of a server.")
    ],
    stdio: Annotated[bool, typer.Option("--stdio", help="Speak MCP over standard input and output.")] = False,
    header: Annotated[list[str] | None, typer.Option("--header", "-H", help="A header, as in 'x-access-token: …'.")] = None,
) -> None:
    """Serve an environment to a desktop MCP client, which starts this command and talks to it over its standard input and
    output. One session, from the start of the process to its end.

    Examples:

        openenv mcp echo --stdio

        openenv mcp calendar --stdio -H "x-access-token: …"

        openenv mcp http://localhost:8004 --stdio
    """
    if not stdio:
        raise ConfigurationError(
            "say --stdio: that is what this command serves", hint="For MCP over HTTP use openenv serve; the path is /mcp."
        )
    headers = parse_headers(header or [])
    try:
        served = import_with_mcp("openenv.server.mcp.stdio")
    except ImportError as error:
        raise ConfigurationError(
            f"this needs the extra for standard MCP ({error})", hint='Install it: pip install "openenv[mcp]"'
        ) from None
    if target.startswith(("http://", "https://", "ws://", "wss://")):
        asyncio.run(served.serve_remote(target, headers))
        return
    # Standard output is the wire: what an environment prints when it is imported must not go there.
    with contextlib.redirect_stdout(sys.stderr):
        app = load_app(target)
    asyncio.run(served.serve_local(app.state.openenv, headers))
