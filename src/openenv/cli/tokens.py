"""``openenv tokens``: making tokens for servers that ask for one."""

from __future__ import annotations

import hashlib
import json
import secrets
import sys
from pathlib import Path
from typing import Annotated

import typer

from openenv.cli.chain import secret_of
from openenv.errors import ConfigurationError

__all__ = ["tokens"]

tokens = typer.Typer(help="Make bearer tokens for `openenv serve --tokens` and `--jwt-secret-env`.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="ID", help="Whose: the principal's id, as in logs.")]
Scopes = Annotated[
    list[str] | None,
    typer.Option("--scope", "-s", help="Of create, reset, act, grade, watch, admin, metrics; the first three unless given."),
]
Tenant = Annotated[str, typer.Option(help="The principal's tenant: named worlds are shared within one only.")]
Session = Annotated[str | None, typer.Option(help="The one session that it is good for.")]

_DEFAULT = ("create", "reset", "act")


@tokens.command("new")
def new(
    name: Name,
    scope: Scopes = None,
    tenant: Tenant = "default",
    session: Session = None,
    into: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Add the entry to this file of `openenv serve --tokens`, or make it.")
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the token into this new file in place of showing it.")
    ] = None,
) -> None:
    """Make a random token, and the entry for it in the file of `openenv serve --tokens`.

    The entry has the token's digest only: the token itself is shown, or written, this once. Both files are readable by their
    owner alone. With --into it is shown on a terminal and nowhere else, since other output may end up in a log.

    Examples:

        openenv tokens new trainer

        openenv tokens new trainer --into tokens.json --token-file trainer.token

        openenv tokens new grafana --scope metrics
    """
    from openenv.cli.token_files import add_entries, write_secret
    from openenv.middleware.tokens import KnownTokens

    token = secrets.token_urlsafe(32)
    entry = {"id": name, "tenant": tenant, "scopes": list(scope or _DEFAULT)} | ({"session": session} if session else {})
    known = {f"sha256:{hashlib.sha256(token.encode()).hexdigest()}": entry}
    KnownTokens(known)
    if into is not None and token_file is None and not sys.stdout.isatty():
        raise ConfigurationError(
            "standard output is no terminal, and the token might end up in a log", hint="Say --token-file and a new file's name."
        )
    if token_file is not None:
        write_secret(token_file, token)
    try:
        count = add_entries(into, known) if into is not None else 0
    except ConfigurationError:
        if token_file is not None:
            token_file.unlink()  # it opens nothing
        raise
    typer.echo(f"token: {token}" if token_file is None else f"token: in {token_file}")
    if into is None:
        typer.echo(f"entry: {json.dumps(known)}")
    else:
        typer.echo(f"entry: in {into}, {count} in all; a server reads it when it starts")


@tokens.command("mint")
def mint(
    name: Name,
    jwt_secret_env: Annotated[str, typer.Option(metavar="NAME", help="The variable with the server's secret.")],
    scope: Scopes = None,
    tenant: Tenant = "default",
    session: Session = None,
    ttl: Annotated[float, typer.Option(min=1, help="Seconds until it ends.")] = 3600.0,
    jwt_audience: Annotated[str, typer.Option(metavar="NAME", help="The server's --jwt-audience.")] = "openenv",
) -> None:
    """Sign a token for servers that verify with the same secret, and print it.

    Examples:

        openenv tokens mint trainer --jwt-secret-env OPENENV_JWT_SECRET

        openenv tokens mint grader -s create -s act -s grade --ttl 86400 --jwt-secret-env OPENENV_JWT_SECRET
    """
    from openenv.middleware.tokens import SignedTokens

    signed = SignedTokens(secret_of(jwt_secret_env), jwt_audience)
    typer.echo(signed.mint(name, scope or _DEFAULT, tenant=tenant, session=session, ttl_s=ttl))
