"""``--header 'name: value'``."""

from __future__ import annotations

from collections.abc import Iterable

from openenv.errors import ConfigurationError

__all__ = ["parse_headers"]


def parse_headers(texts: Iterable[str]) -> dict[str, str]:
    """The headers by lower-case name. Raises `ConfigurationError` for a text without a name or a colon.

    The text itself is not repeated in the error: it may hold a secret.
    """
    headers: dict[str, str] = {}
    for text in texts:
        name, colon, value = text.partition(":")
        if not colon or not name.strip():
            raise ConfigurationError("A --header has no name", field="header", hint="Write it as 'name: value'.")
        headers[name.strip().lower()] = value.strip()
    return headers
