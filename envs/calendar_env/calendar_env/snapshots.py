"""A Calendar's world as bytes and back: what `CalendarEnvironment.snapshot` gives and `CalendarEnvironment.restore` takes.

A header (magic, version, the length of the JSON, the SHA-256 of all that follows), the state in which the episode began
as JSON, and the database as SQLite serialises it. Seed, clock, change number and the counter behind identifiers are rows
of the database. The digest tells of damage, not of forgery: whoever lets images out of the server signs them.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections import OrderedDict
from typing import Any, Final

from calendar_env.storage.images import is_clock

SNAPSHOT_VERSION: Final = 1
LARGEST_IMAGE: Final = 256 * 2**20
"""In bytes; the seed world's has some 83,000."""

_MAGIC: Final = b"OCAL"
_HEADER: Final = struct.Struct(">4sBH32s")
_MOST_REMEMBERED: Final = 10_000
_written: Final[OrderedDict[bytes, None]] = OrderedDict()
"""The digests of the last snapshots that this process has written: a fork has to be put back at once, and often."""
_COUNTS: Final = ("acl_count", "event_count", "calendar_count")


def encode(database: bytes, initial: dict[str, Any]) -> bytes:
    """The snapshot of a world with this database, whose episode began in this state (`calendar_env.rewards.initial_state`)."""
    began = json.dumps(initial, separators=(",", ":")).encode()
    digest = hashlib.sha256(began)
    digest.update(database)
    _remember(digest.digest())
    return b"".join((_HEADER.pack(_MAGIC, SNAPSHOT_VERSION, len(began), digest.digest()), began, database))


def decode(image: bytes) -> tuple[bytes, dict[str, Any], bool]:
    """The database and the initial state again, and whether this process wrote them, so that they need no other check.

    Raises ``ValueError`` when the bytes are no snapshot. Those of others are as they were written, which says nothing about
    what they are.
    """
    if len(image) < _HEADER.size or image[:4] != _MAGIC:
        raise ValueError("these bytes are no snapshot of a Calendar")
    if len(image) > LARGEST_IMAGE:
        raise ValueError(f"a snapshot of a Calendar has at most {LARGEST_IMAGE} bytes, not {len(image)}")
    _, version, length, digest = _HEADER.unpack_from(image)
    if version != SNAPSHOT_VERSION:
        raise ValueError(f"the snapshot has version {version}; this Calendar reads version {SNAPSHOT_VERSION}")
    body = memoryview(image)[_HEADER.size :]
    if hashlib.sha256(body).digest() != digest:
        raise ValueError("the snapshot is damaged: its digest is wrong")
    return bytes(body[length:]), _initial(bytes(body[:length])), digest in _written


def _remember(digest: bytes) -> None:
    _written[digest] = None
    while len(_written) > _MOST_REMEMBERED:
        _written.popitem(last=False)


def _initial(text: bytes) -> dict[str, Any]:
    try:
        read = json.loads(text)
    except (ValueError, RecursionError):
        read = None
    if not isinstance(read, dict) or read.keys() != {*_COUNTS, "now"}:
        raise ValueError("the snapshot's initial state is no JSON object with the keys that it needs")
    if not all(type(read[name]) is int and 0 <= read[name] < 2**63 for name in _COUNTS) or not is_clock(read["now"]):
        raise ValueError("the snapshot's initial state has a value that it cannot have")
    return read
