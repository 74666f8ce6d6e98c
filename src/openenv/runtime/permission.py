"""What a principal may do: the one place where scopes and the end of a token are looked at."""

from __future__ import annotations

from time import time

from openenv.errors import Forbidden, Unauthenticated
from openenv.operation import REQUIRED_SCOPE, Operation

__all__ = ["permit"]


def permit(operation: Operation) -> None:
    """Raise `Forbidden` for an operation without its scope, `Unauthenticated` for a principal whose token has ended.

    The end is looked at here and not where a caller is let in, so that it holds on a socket that is open already.
    """
    principal = operation.principal
    if principal.expires is not None and principal.expires <= time():
        raise Unauthenticated("the token has expired", hint="Connect again with a new one.")
    scope = REQUIRED_SCOPE.get(operation.op)
    if scope is not None and scope not in principal.scopes:
        raise Forbidden(f"{operation.op!r} needs the scope {scope!r}", hint="Ask the operator for a token that has it.")
