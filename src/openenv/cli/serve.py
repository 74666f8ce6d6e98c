"""``openenv serve``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from openenv.cli.served import Served, supervise


def serve(
    environment: Annotated[
        str | None, typer.Argument(help="An installed environment's name, its folder, or module:attribute.")
    ] = None,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 takes a free one.")] = 8000,
    log_level: Annotated[str, typer.Option(help="uvicorn's log level; debug writes a line per operation too.")] = "warning",
    drain: Annotated[float, typer.Option(min=0, help="Seconds that running steps get to end after SIGTERM.")] = 30.0,
    allow_host: Annotated[
        list[str] | None, typer.Option(help="A host name that browsers and MCP clients may ask for; * is any.")
    ] = None,
    allow_origin: Annotated[list[str] | None, typer.Option(help="An origin whose pages may ask, as in https://name.")] = None,
    tokens: Annotated[Path | None, typer.Option(help="Ask for bearer tokens: those in this JSON file.")] = None,
    jwt_secret_env: Annotated[
        str | None, typer.Option(metavar="NAME", help="Ask for bearer tokens: JWTs signed with the secret in this variable.")
    ] = None,
    jwt_audience: Annotated[str, typer.Option(metavar="NAME", help="The audience that a JWT has to name.")] = "openenv",
    rate: Annotated[float | None, typer.Option(help="Operations per second and principal.")] = None,
    burst: Annotated[float | None, typer.Option(help="With --rate: how many may come at once; the rate unless given.")] = None,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes that share the work, as many as there are cores.")] = 1,
    mcp: Annotated[
        str | None, typer.Option(metavar="URL|COMMAND", help="Make the environment of this MCP server's tools.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="With --mcp: the environment's name, where not the server's own.")] = None,
    mcp_env: Annotated[list[str] | None, typer.Option(metavar="NAME", help="A variable that COMMAND gets too.")] = None,
    mcp_timeout: Annotated[float, typer.Option(min=0.1, help="Seconds that a tool of --mcp may take.")] = 60.0,
) -> None:
    """Serve an environment over WebSocket, HTTP and MCP until a signal ends it.

    Examples:

        openenv serve calendar

        openenv serve ./my_env --port 9000

        openenv serve my_env.server.app:app --host 0.0.0.0

        openenv serve calendar --tokens tokens.json --rate 100 --burst 200

        openenv serve calendar --workers 4

        openenv serve --mcp "npx -y @modelcontextprotocol/server-everything" --name everything
    """
    chain = {
        "tokens": str(tokens) if tokens is not None else None,
        "jwt_secret_env": jwt_secret_env,
        "jwt_audience": jwt_audience,
        "rate": rate,
        "burst": burst,
        "debug": log_level.lower() in ("debug", "trace"),
    }
    served = Served(
        environment,
        mcp,
        name,
        tuple(mcp_env or ()),
        mcp_timeout,
        tuple(allow_host or ()),
        tuple(allow_origin or ()),
        chain,
    )
    if workers > 1:
        supervise(served, workers, host=host, port=port, log_level=log_level, drain_s=drain)
        return
    from openenv.server import serve as run

    run(served.application(), host=host, port=port, log_level=log_level, drain_s=drain)
