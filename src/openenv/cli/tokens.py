"""``openenv tokens``: making tokens for servers that ask for one."""

from __future__ import annotations

import hashlib
import json
import secrets
from typing import Annotated

import typer

from openenv.cli.chain import secret_of

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
def new(name: Name, scope: Scopes = None, tenant: Tenant = "default", session: Session = None) -> None:
    """Make a random token, and the entry for it in the file of `openenv serve --tokens`.

    The entry has the token's digest only: this output is the one place where the token itself is.

    Examples:

        openenv tokens new trainer

        openenv tokens new grafana --scope metrics
    """
    from openenv.middleware.tokens import KnownTokens

    token = secrets.token_urlsafe(32)
    entry = {"id": name, "tenant": tenant, "scopes": list(scope or _DEFAULT)} | ({"session": session} if session else {})
    known = {f"sha256:{hashlib.sha256(token.encode()).hexdigest()}": entry}
    KnownTokens(known)
    typer.echo(f"token: {token}")
    typer.echo(f"entry: {json.dumps(known)}")


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
