"""``openenv envs``."""

from __future__ import annotations

from typing import Annotated

import typer
from pydantic import TypeAdapter
from rich.console import Console
from rich.table import Table

from openenv.cli.installed import environments, load_app
from openenv.cli.signatures import action_signatures, signature
from openenv.errors import ConfigurationError


def envs(
    environment: Annotated[str | None, typer.Argument(help="Tell more of this one.")] = None,
    tokens: Annotated[bool, typer.Option("--tokens", help="Print the seed world's users and their access tokens.")] = False,
) -> None:
    """List the installed environments, or tell more of one.

    Examples:

        openenv envs

        openenv envs calendar --tokens
    """
    if environment is None:
        if tokens:
            raise ConfigurationError("--tokens needs an environment", hint="openenv envs calendar --tokens")
        _list()
        return
    core = load_app(environment).state.openenv
    kind = core.specification.environment_type
    if tokens:
        for user, token in kind.seed_credentials():
            typer.echo(f"{user} {token}")
        return
    metadata = kind.get_metadata()
    typer.echo(f"{core.specification.name}: {metadata.description}")
    known = core.specification
    for action in action_signatures(TypeAdapter(known.shown_action_type or known.action_type).json_schema()):
        typer.echo(f"step: {action}")
    typer.echo(f"{signature('reset', known.reset_arguments.schema)}")
    typer.echo(f"observations: {known.observation_type.__name__}")
    tools = known.fixed_tools
    if tools:
        typer.echo(f"tools ({len(tools)}):")
        for tool in tools:
            typer.echo(f"  {signature(tool.name, tool.input_schema)}")


def _list() -> None:
    found = environments()
    if not found:
        typer.echo("no environment is installed; an environment package declares the entry point group openenv.environments")
        return
    table = Table("name", "version", "what it is", box=None, pad_edge=False)
    for name, point in found.items():
        distribution = point.dist
        version = distribution.version if distribution else ""
        summary = distribution.metadata["Summary"] if distribution else ""
        table.add_row(name, version, summary or "")
    Console().print(table)
