"""The command ``openenv``: one file per command."""

from __future__ import annotations

import os
import sys

import typer

from openenv.cli.call import call
from openenv.cli.envs import envs
from openenv.cli.eval import evaluate
from openenv.cli.mcp import mcp
from openenv.cli.serve import serve
from openenv.cli.tokens import tokens
from openenv.errors import ConfigurationError, ConnectionFailed, OpenEnvError

__all__ = ["app", "main"]

EXIT_FAILURE = 1
EXIT_USAGE = 2
EXIT_UNREACHABLE = 3

app = typer.Typer(
    name="openenv",
    help="Isolated environments for tool-using agents: serve them, look at them, evaluate agents on them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("serve")(serve)
app.command("eval")(evaluate)
app.command("envs")(envs)
app.command("call")(call)
app.command("mcp")(mcp)
app.add_typer(tokens, name="tokens")


def main() -> None:
    """Run the command line. Typed errors become one or two lines and an exit code, never a traceback.

    Exit codes: 0 well, 1 it failed, 2 wrong use, 3 no server answered.
    """
    try:
        app()
    except ConfigurationError as error:
        _explain(error)
        sys.exit(EXIT_USAGE)
    except ConnectionFailed as error:
        _explain(error)
        sys.exit(EXIT_UNREACHABLE)
    except OpenEnvError as error:
        _explain(error)
        sys.exit(EXIT_FAILURE)
    except BrokenPipeError:
        # Only to keep the interpreter's last flush quiet.
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
        sys.exit(EXIT_FAILURE)


def _explain(error: OpenEnvError) -> None:
    typer.secho(f"error: {error.message} ({error.code})", fg="red", err=True)
    if error.hint:
        typer.secho(f"hint: {error.hint}", err=True)
    if error.example is not None:
        typer.secho(f"example: {error.example}", err=True)
