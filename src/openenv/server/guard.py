"""Which hosts and origins may ask: against web pages that reach a local server under a name of their own (DNS rebinding)."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from openenv.errors import Forbidden

__all__ = ["Guard"]

ANY = "*"
_BY_BROWSERS = ("origin", "sec-fetch-site", "accept-language")
"""Headers by which browsers are known: to a plain ``http`` name they send a page's own GET without the first two."""


@dataclass(frozen=True, slots=True)
class Guard:
    """The rule of a server.

    A browser's request that came over a loopback address must name a loopback host (``localhost``, ``127.0.0.1``,
    ``[::1]``, any port) or an allowed one, and its ``Origin``, if any, must be of such a host or an allowed one. What came
    over another address is checked only where something was allowed explicitly. ``*`` allows anything.
    """

    hosts: frozenset[str] = frozenset()
    origins: frozenset[str] = frozenset()

    @classmethod
    def of(cls, hosts: Iterable[str] | None, origins: Iterable[str] | None) -> Guard:
        """A guard that allows these hosts (with or without a port) and origins (``https://example.org``) too."""
        return cls(
            frozenset(host.strip().lower() for host in hosts or ()),
            frozenset(origin.strip().lower().rstrip("/") for origin in origins or ()),
        )

    def allowing(self, hosts: Iterable[str] | None, origins: Iterable[str] | None) -> Guard:
        """The same guard, that allows these too."""
        more = Guard.of(hosts, origins)
        return Guard(self.hosts | more.hosts, self.origins | more.origins)

    def check(self, headers: Mapping[str, str], local: Any, *, always: bool = False) -> None:
        """Raise `Forbidden` for a request that may not be answered.

        Args:
            headers: Lower-case names.
            local: The address that the request arrived at, as ASGI's ``scope["server"]``.
            always: Check the host of programs too, which send no ``Origin``; browsers are always checked.
        """
        at_loopback = _is_loopback(local[0]) if local else False
        if not at_loopback and not self.hosts and not self.origins:
            return
        origin = headers.get("origin")
        host = headers.get("host")
        check_host = at_loopback or bool(self.hosts)
        if check_host and host and (always or any(name in headers for name in _BY_BROWSERS)) and not self._host(host):
            raise Forbidden(
                f"the host {host[:80]!r} is not served here",
                hint="Ask for localhost, or allow the name: openenv serve --allow-host NAME, or OPENENV_ALLOWED_HOSTS=NAME.",
            )
        if origin is not None and not self._origin(origin):
            raise Forbidden(
                f"pages of {origin[:80]!r} may not ask here",
                hint="Allow it: openenv serve --allow-origin https://NAME, or OPENENV_ALLOWED_ORIGINS=https://NAME.",
            )

    def _host(self, host: str) -> bool:
        host = host.lower()
        name = _name(host)
        return name is not None and (_is_loopback(name) or not self.hosts.isdisjoint((ANY, host, name)))

    def _origin(self, origin: str) -> bool:
        origin = origin.lower()
        if not self.origins.isdisjoint((ANY, origin)):
            return True
        try:
            parts = urlsplit(origin)
        except ValueError:
            return False
        return parts.scheme in ("http", "https") and bool(parts.netloc) and self._host(parts.netloc)


def _name(host: str) -> str | None:
    """A host without its port; None for what is no host."""
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port
    except ValueError:
        return None
    if parts.username is not None or parts.path or parts.query or parts.fragment:
        return None
    return (parts.hostname or "").rstrip(".") or None


def _is_loopback(name: str) -> bool:
    if name == "localhost":
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback
