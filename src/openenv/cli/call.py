"""``openenv call``: one step or tool call from the shell, for a first look."""

from __future__ import annotations

import asyncio
import json
from difflib import get_close_matches
from typing import Annotated, Any

import typer

from openenv.cli.headers import parse_headers
from openenv.cli.signatures import action_signatures, signature
from openenv.errors import ConfigurationError, OpenEnvError, ServerError


def call(
    url: Annotated[str, typer.Argument(help="The server, as in http://localhost:8000.")],
    tool: Annotated[str | None, typer.Argument(help="A tool to call; without one, what can be called is listed.")] = None,
    arguments: Annotated[str, typer.Argument(help="Its arguments as a JSON object.")] = "{}",
    step: Annotated[str | None, typer.Option(help="Step with this action (a JSON object) in place of a tool call.")] = None,
    header: Annotated[list[str] | None, typer.Option("--header", "-H", help="A header, as in 'x-access-token: …'.")] = None,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds to wait for an answer.")] = 30.0,
) -> None:
    """Make one step or tool call on a running server and print the answer as JSON; or list what can be called.

    Examples:

        openenv call http://localhost:8004

        openenv call http://localhost:8000 --step '{"message": "hello"}'

        openenv call http://localhost:8004 calendars_list -H "x-access-token: …"
    """
    if tool is not None and step is not None:
        raise ConfigurationError("a tool and --step are two things to do", hint="Leave one of them out.")
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
        try:
            if action is not None:
                await client.reset()
                result = await client.step(action)
                return {"observation": result.observation, "reward": result.reward, "done": result.done}
            if tool is not None:
                return await client.call_tool(tool, **arguments)
            tools = await client.list_tools()
        except ServerError as error:
            if error.code not in ("UNSUPPORTED", "VALIDATION_ERROR"):
                raise
            schema = await _action_schema(url, headers, patience_s)
            if action is None and tool is None:
                return {"step": action_signatures(schema), "tools": []}
            raise _with_signatures(error, schema, action or {}) from None
    listed = [{"call": signature(one.name, one.input_schema), "description": one.description} for one in tools]
    return {"step": action_signatures(await _action_schema(url, headers, patience_s)), "tools": listed}


async def _action_schema(url: str, headers: dict[str, str], patience_s: float) -> dict[str, Any]:
    """The JSON Schema of a step's action; an empty one where the server does not tell."""
    from openenv.client.address import Address
    from openenv.client.http import Requests

    requests = Requests(Address.parse(url), headers, patience_s, None)
    try:
        action = (await requests.json("GET", "/schema")).get("action")
    except OpenEnvError:
        return {}
    finally:
        await requests.close()
    return action if isinstance(action, dict) else {}


def _with_signatures(error: ServerError, schema: dict[str, Any], action: dict[str, Any]) -> OpenEnvError:
    """The refusal, and what would have been taken; with the nearest name for each that there is not."""
    taken = action_signatures(schema)
    if not taken:
        return error
    fields = {name for one in (schema, *schema.get("$defs", {}).values()) for name in one.get("properties", {})}
    meant = [
        f"{name!r} is no field; did you mean {near[0]!r}?"
        for name in action
        if name not in fields and (near := get_close_matches(name, fields, n=1))
    ]
    said = [f"{error.hint.removesuffix('.')}."] if error.hint else []
    error.hint = " ".join([*said, *meant, f"A step takes {' or '.join(taken)}."])
    return error


def _object(text: str, where: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ConfigurationError(f"{where} is not JSON: {error}", hint="Quote it for the shell.", example='{"a": 1}') from None
    if not isinstance(value, dict):
        raise ConfigurationError(f"{where} must be a JSON object", example='{"a": 1}')
    return value
