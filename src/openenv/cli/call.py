"""``openenv call``: one step or tool call from the shell, for a first look."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated, Any

import typer

from openenv.cli.headers import parse_headers
from openenv.errors import ConfigurationError


def call(
    url: Annotated[str, typer.Argument(help="The server, as in http://localhost:8000.")],
    tool: Annotated[str | None, typer.Argument(help="A tool to call; without one the tools are listed.")] = None,
    arguments: Annotated[str, typer.Argument(help="Its arguments as a JSON object.")] = "{}",
    step: Annotated[str | None, typer.Option(help="Step with this action (a JSON object) in place of a tool call.")] = None,
    header: Annotated[list[str] | None, typer.Option("--header", "-H", help="A header, as in 'x-access-token: …'.")] = None,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds to wait for an answer.")] = 30.0,
) -> None:
    """Make one step or tool call on a running server and print the answer as JSON.

    Examples:

        openenv call http://localhost:8000 --step '{"message": "hello"}'

        openenv call http://localhost:8004

        openenv call http://localhost:8004 calendars_list -H "x-access-token: …"
    """
    headers = parse_headers(header or [])
    action = _object(step, "--step") if step is not None else None
    given = _object(arguments, "ARGUMENTS")
    answer = asyncio.run(_call(url, tool, given, action, headers, timeout))
    typer.echo(json.dumps(answer, indent=2, ensure_ascii=False))


async def _call(
    url: str,
    tool: str | None,
    arguments: dict[str, Any],
    action: dict[str, Any] | None,
    headers: dict[str, str],
    patience_s: float,
) -> Any:
    from openenv.client import ToolClient

    async with ToolClient(url, headers=headers, connect_timeout_s=patience_s, message_timeout_s=patience_s) as client:
        if action is not None:
            await client.reset()
            result = await client.step(action)
            return {"observation": result.observation, "reward": result.reward, "done": result.done}
        if tool is None:
            return [{"name": one.name, "description": one.description} for one in await client.list_tools()]
        return await client.call_tool(tool, **arguments)


def _object(text: str, where: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ConfigurationError(f"{where} is not JSON: {error}", hint="Quote it for the shell.", example='{"a": 1}') from None
    if not isinstance(value, dict):
        raise ConfigurationError(f"{where} must be a JSON object", example='{"a": 1}')
    return value
