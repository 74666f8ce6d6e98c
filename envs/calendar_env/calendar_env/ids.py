"""Identifiers that come from the episode's seed and a counter, never from chance or the clock on the wall."""

from __future__ import annotations

import hashlib
import re
from typing import Final

_ALPHABET: Final = "0123456789abcdefghijklmnopqrstuv"
_EVENT_ID = re.compile(r"[0-9a-v]{5,1024}", re.ASCII)
_CALENDAR_DOMAIN: Final = "group.calendar.google.com"


def opaque_id(seed: int, number: int, *, length: int = 26) -> str:
    """``length`` characters of the alphabet that Google allows in event ids (0-9, a-v)."""
    digest = hashlib.sha256(f"{seed}:{number}".encode()).digest()
    return "".join(_ALPHABET[byte & 31] for byte in digest[:length])


def calendar_id(seed: int, number: int) -> str:
    """The id of a secondary calendar: like Google's, an address."""
    return f"c_{opaque_id(seed, number)}@{_CALENDAR_DOMAIN}"


def is_event_id(text: str) -> bool:
    """Whether a client may choose this event id."""
    return _EVENT_ID.fullmatch(text) is not None
