"""Where a server is: one reading of every form of URL that a client may be given."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode, urlsplit

from openenv.errors import ConfigurationError

_SECURE = {"ws": False, "http": False, "wss": True, "https": True}
_HINT = "Write it like ws://localhost:8000, https://example.org/my-env or localhost:8000."


@dataclass(frozen=True, slots=True)
class Address:
    """A server's address, taken apart. ``path`` is the prefix before ``/ws``, without a slash at its end."""

    secure: bool
    netloc: str
    host: str
    path: str
    query: tuple[tuple[str, str], ...]

    @classmethod
    def parse(cls, base_url: str) -> Address:
        """Read ``ws``, ``wss``, ``http`` and ``https`` URLs and bare hosts.

        Raises:
            ConfigurationError: The text is no such URL; the message says why, the hint shows a right one.
        """
        if not isinstance(base_url, str) or not base_url.strip():
            raise _bad(base_url, "it is empty" if isinstance(base_url, str) else "it is not a string")
        text = base_url.strip()
        if any(character.isspace() or not character.isprintable() for character in text):
            raise _bad(base_url, "it contains spaces or control characters")
        try:
            parts = urlsplit(text if "://" in text else f"ws://{text}")
            host, _ = parts.hostname, parts.port  # reading the port checks it
        except ValueError as error:
            raise _bad(base_url, str(error)) from None
        if parts.scheme not in _SECURE:
            raise _bad(base_url, f"the scheme {parts.scheme!r} is not one of {', '.join(_SECURE)}")
        if not host:
            raise _bad(base_url, "it names no host")
        if parts.fragment:
            raise _bad(base_url, f"a server's URL has no fragment (#{parts.fragment})")
        path = parts.path.rstrip("/")
        query = tuple(parse_qsl(parts.query, keep_blank_values=True))
        return cls(_SECURE[parts.scheme], parts.netloc, host, path.removesuffix("/ws").rstrip("/"), query)

    @property
    def session_id(self) -> str | None:
        """The session that the URL itself names with ``?session_id=``."""
        return dict(self.query).get("session_id")

    @property
    def is_loopback(self) -> bool:
        """Whether the server runs on this machine: such a connection never goes through a proxy."""
        if self.host == "localhost" or self.host.endswith(".localhost"):
            return True
        try:
            address = ipaddress.ip_address(self.host)
        except ValueError:
            return False
        return address.is_loopback or address.is_unspecified

    @property
    def http_url(self) -> str:
        """The base of the HTTP routes, without a slash at its end."""
        return f"{'https' if self.secure else 'http'}://{self.netloc}{self.path}"

    def websocket_url(self, session_id: str | None = None) -> str:
        """The URL of ``/ws``, with the query that the address had and the session to attach to."""
        query = [pair for pair in self.query if session_id is None or pair[0] != "session_id"]
        if session_id is not None:
            query.append(("session_id", session_id))
        suffix = f"?{urlencode(query)}" if query else ""
        return f"{'wss' if self.secure else 'ws'}://{self.netloc}{self.path}/ws{suffix}"

    def __str__(self) -> str:
        """The address for messages: without user name and password."""
        return self.http_url.replace(self.netloc, self.netloc.rpartition("@")[2], 1)


def _bad(base_url: object, why: str) -> ConfigurationError:
    shown = repr(base_url)
    if "@" in shown:
        shown = "the given one"  # it may hold a password
    return ConfigurationError(f"Bad server URL: {shown}: {why}", field="base_url", hint=_HINT)
