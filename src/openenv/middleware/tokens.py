"""The two kinds of bearer tokens: known ones, and signed ones (JWT, HS256)."""

from __future__ import annotations

import hashlib
import hmac
import json
import math
import re
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path
from time import time
from typing import Any

from openenv.errors import ConfigurationError, Unauthenticated
from openenv.operation import ALL_SCOPES, Principal

__all__ = ["DEFAULT_AUDIENCE", "SHORTEST_SECRET", "TOKEN", "KnownTokens", "SignedTokens", "checked_scopes", "read_entries"]

TOKEN = re.compile(r"[A-Za-z0-9\-._~+/]+=*")
"""RFC 6750's ``b64token``: what can be sent as a bearer token."""
DEFAULT_AUDIENCE = "openenv"
SHORTEST_SECRET = 32
"""Bytes of a signing key: as many as HS256's digest, as RFC 7518 asks for."""

_SHORTEST = 16
_LONGEST_NAME = 256
_HASHED = re.compile(r"sha256:([0-9a-f]{64})")
_KEYS = frozenset({"id", "tenant", "scopes", "session"})


class KnownTokens:
    """Tokens that were handed out one by one.

    Of each only a digest is kept, under a key that this process made up: finding one takes the same time whatever was
    sent, and a memory dump has no token in it.

    Args:
        tokens: By token, or by ``sha256:`` and the hexadecimal digest of one: a `Principal`, or a mapping with ``id``,
            ``scopes`` and optionally ``tenant`` and ``session``.

    Raises:
        ConfigurationError: an entry makes no sense. It is named by its number and id, never by its token.
    """

    def __init__(self, tokens: Mapping[str, Principal | Mapping[str, Any]]) -> None:
        self._key = secrets.token_bytes(32)
        self._principals: dict[bytes, Principal] = {}
        for number, (token, given) in enumerate(tokens.items(), 1):
            principal = given if isinstance(given, Principal) else _principal(given, f"token {number}")
            hashed = _HASHED.fullmatch(token)
            if hashed is None and (len(token) < _SHORTEST or TOKEN.fullmatch(token) is None):
                raise ConfigurationError(
                    f"token {number} ({principal.id}) is too short, or has characters that cannot be sent",
                    hint=f"At least {_SHORTEST} letters, digits and -._~+/ : openenv tokens new makes one.",
                )
            digest = self._digest(bytes.fromhex(hashed[1]) if hashed else hashlib.sha256(token.encode()).digest())
            if digest in self._principals:
                raise ConfigurationError(f"token {number} ({principal.id}) is there twice", hint="Give everyone their own.")
            self._principals[digest] = principal

    @classmethod
    def read(cls, path: Path) -> KnownTokens:
        """The tokens of a JSON file: one object, as the constructor takes it. Raises `ConfigurationError`."""
        return cls(read_entries(path))

    def find(self, token: str) -> Principal | None:
        """Whose token it is."""
        digest = self._digest(hashlib.sha256(token.encode()).digest())
        return self._principals.get(digest)

    def _digest(self, hashed: bytes) -> bytes:
        return hmac.digest(self._key, hashed, "sha256")


class SignedTokens:
    """JSON Web Tokens, signed and verified with one secret.

    Claims: ``sub``, ``exp`` and ``aud`` have to be there; ``scope`` (names with spaces between) grants nothing when it is
    absent; ``tenant``, ``session`` and ``nbf`` may be. Scopes that OpenEnv does not know are somebody else's and left out.

    Args:
        secret: The key: 32 bytes or more.
        audience: What ``aud`` has to be or to contain.

    Raises:
        ConfigurationError: the secret is too short.
    """

    def __init__(self, secret: str | bytes, audience: str = DEFAULT_AUDIENCE) -> None:
        key = secret.encode() if isinstance(secret, str) else secret
        if len(key) < SHORTEST_SECRET:
            raise ConfigurationError(
                f"the secret that signs tokens has {len(key)} bytes, and needs {SHORTEST_SECRET}",
                field="secret",
                hint="Make one: python -c 'import secrets; print(secrets.token_urlsafe(32))'",
            )
        self._key = key
        self._audience = audience

    def mint(
        self, subject: str, scopes: Iterable[str], *, tenant: str = "default", session: str | None = None, ttl_s: float = 3600.0
    ) -> str:
        """A token that ends in ``ttl_s`` seconds. Raises `ConfigurationError` for what no principal can be."""
        import jwt

        principal = _principal({"id": subject, "tenant": tenant, "scopes": list(scopes), "session": session}, "the token")
        if not 0 < ttl_s < float("inf"):
            raise ConfigurationError("a token lives for more than no time", field="ttl_s", example=3600)
        claims: dict[str, Any] = {
            "sub": principal.id,
            "aud": self._audience,
            "exp": math.ceil(time() + ttl_s),
            "scope": " ".join(sorted(principal.scopes)),
            "tenant": principal.tenant,
        }
        if principal.session is not None:
            claims["session"] = principal.session
        return jwt.encode(claims, self._key, algorithm="HS256")

    def read(self, token: str) -> Principal:
        """Who the token's bearer is. Raises `Unauthenticated`; what is wrong is told of tokens with a valid signature only."""
        import jwt

        try:
            claims = jwt.decode(
                token,
                self._key,
                algorithms=["HS256"],
                audience=self._audience,
                options={"require": ["exp", "sub", "aud"], "verify_iat": False},
            )
            return self._bearer(claims)
        except jwt.ExpiredSignatureError:
            raise Unauthenticated("the token has expired", hint="Ask for a new one.") from None
        except jwt.ImmatureSignatureError:
            raise Unauthenticated("the token is not valid yet", hint="Wait, or compare the clocks.") from None
        except (jwt.InvalidAudienceError, jwt.MissingRequiredClaimError, ConfigurationError):
            raise Unauthenticated("the token is not for this server", hint="Ask the operator for another one.") from None
        except (jwt.InvalidTokenError, ValueError, TypeError, ArithmeticError, RecursionError):
            raise Unauthenticated("the token is not valid here", hint="Ask the operator for a token.") from None

    @staticmethod
    def _bearer(claims: Mapping[str, Any]) -> Principal:
        scope = claims.get("scope", "")
        known = [name for name in scope.split(" ") if name in ALL_SCOPES] if isinstance(scope, str) else []
        given = {"id": claims["sub"], "scopes": known} | {key: claims[key] for key in ("tenant", "session") if key in claims}
        principal = _principal(given, "the token")
        return Principal(principal.id, principal.tenant, principal.scopes, principal.session, float(claims["exp"]))


def read_entries(path: Path) -> dict[str, Any]:
    """The object in a file of tokens, as it is there. Raises `ConfigurationError` where there is none."""
    try:
        read = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_once)
    except (OSError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not JSON with each key once"
        raise ConfigurationError(f"the tokens in {path} cannot be read: {reason}", field="tokens") from None
    if not isinstance(read, dict):
        raise ConfigurationError(
            f"{path} is not a JSON object", field="tokens", example={"sha256:…": {"id": "trainer", "scopes": ["act"]}}
        )
    return read


def checked_scopes(names: Iterable[Any], what: str) -> frozenset[str]:
    """The scopes. Raises `ConfigurationError` for one that there is not."""
    found = frozenset(str(name) for name in names)
    if not found <= ALL_SCOPES:
        unknown = sorted(found - ALL_SCOPES)[0]
        raise ConfigurationError(
            f"{what}: there is no scope {unknown[:40]!r}", field="scopes", hint=f"Scopes are {', '.join(sorted(ALL_SCOPES))}."
        )
    return found


def _principal(given: Any, what: str) -> Principal:
    """A principal of JSON. Everything is checked: a missing or misspelt restriction must not become none."""
    if not isinstance(given, Mapping) or not given.keys() <= _KEYS:
        raise ConfigurationError(f"{what} is not an object with id, scopes, and perhaps tenant and session", field="tokens")
    name, tenant, session, scopes = given.get("id"), given.get("tenant", "default"), given.get("session"), given.get("scopes")
    for key, value in (("id", name), ("tenant", tenant), ("session", session)):
        missing = value is None and key == "session"
        if not missing and not (isinstance(value, str) and 0 < len(value) <= _LONGEST_NAME and value.isprintable()):
            raise ConfigurationError(f"{what}: {key} is not a text of 1 to {_LONGEST_NAME} characters", field=key)
    if not isinstance(scopes, list):
        raise ConfigurationError(f"{what}: scopes are not a list", field="scopes", example=["create", "reset", "act"])
    return Principal(str(name), str(tenant), checked_scopes(scopes, what), session)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is there twice")
    return found
