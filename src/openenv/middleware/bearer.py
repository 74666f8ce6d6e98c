"""Authentication by bearer token, in ``Authorization``: once per HTTP request, once per socket."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from openenv.errors import Unauthenticated
from openenv.middleware.tokens import DEFAULT_AUDIENCE, SHORTEST_SECRET, TOKEN, KnownTokens, SignedTokens
from openenv.operation import Connection, Principal

__all__ = ["BearerAuth"]

LONGEST_HEADER = 4096
"""Characters; websockets itself reads handshakes with lines of up to 8192."""
_BEARER = re.compile(rf"(?i:bearer) +({TOKEN.pattern})")
_HINT = "Send the header Authorization: Bearer TOKEN."


class BearerAuth:
    """Lets in who has a token, before a body is read or an environment exists; everybody else is `Unauthenticated`.

    A token is one of ``tokens``, or a JWT signed (HS256) with ``secret``. It is looked for in the header only: what is in a
    URL ends up in logs. Its end is minded on open sockets too: the first operation after it is refused.

    Args:
        tokens: Known tokens, as `KnownTokens` takes them, or the path of a JSON file with them.
        secret: Signs and verifies JWTs, 32 bytes or more. Without one, tokens that this object mints are valid for as long as
            it lives, and no others.
        audience: What the ``aud`` of a JWT has to be.

    Raises:
        ConfigurationError: a token or the secret makes no sense.
    """

    def __init__(
        self,
        tokens: Mapping[str, Principal | Mapping[str, Any]] | str | Path | None = None,
        *,
        secret: str | bytes | None = None,
        audience: str = DEFAULT_AUDIENCE,
    ) -> None:
        self._known = KnownTokens.read(Path(tokens)) if isinstance(tokens, (str, Path)) else KnownTokens(tokens or {})
        self._made_up = secret is None
        self._audience = audience
        self._signed = SignedTokens(secret if secret is not None else secrets.token_bytes(SHORTEST_SECRET), audience)

    def __str__(self) -> str:
        return "bearer tokens"

    def share(self, secret: bytes) -> None:
        """Sign with this secret where none was given: what one worker of a server mints is valid on the others."""
        if self._made_up:
            self._signed = SignedTokens(secret, self._audience)

    def admit(self, connection: Connection) -> None:
        """Find out who it is."""
        if "access_token" in connection.query:
            raise Unauthenticated("a token in the URL is not taken: it would end up in logs", hint=_HINT)
        header = connection.headers.get("authorization")
        if header is None:
            raise Unauthenticated("a token is needed", hint=_HINT)
        found = _BEARER.fullmatch(header.strip(" \t")) if len(header) <= LONGEST_HEADER else None
        if found is None:
            raise _invalid(Unauthenticated("the Authorization header is not one bearer token", hint=_HINT))
        token = found[1]
        principal = self._known.find(token)
        if principal is None:
            try:
                principal = self._signed.read(token)
            except Unauthenticated as error:
                raise _invalid(error) from None
        connection.principal = principal
        # Nothing behind this needs it, not even an environment that declares the header as its context.
        connection.headers = {name: value for name, value in connection.headers.items() if name != "authorization"}

    def mint(
        self,
        subject: str,
        *,
        scopes: Iterable[str] = ("act",),
        tenant: str = "default",
        session: str | None = None,
        ttl_s: float = 3600.0,
    ) -> str:
        """A signed token.

        Args:
            subject: Whose: the principal's id.
            scopes: What it may do; ``act`` alone unless given.
            tenant: The principal's tenant.
            session: The one session that it may use; None is any of its own.
            ttl_s: How long it is valid, in seconds.

        Raises:
            ConfigurationError: that cannot be a principal.
        """
        return self._signed.mint(subject, scopes, tenant=tenant, session=session, ttl_s=ttl_s)


def _invalid(error: Unauthenticated) -> Unauthenticated:
    error.challenge = 'Bearer error="invalid_token"'
    return error
