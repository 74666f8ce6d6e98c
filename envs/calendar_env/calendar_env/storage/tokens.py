"""Page and sync tokens: opaque to clients, and checked like everything that clients send.

A page token says where the last page ended, and when the traversal began; a sync token says which changes its holder
knows. Both belong to one list with one set of parameters.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from calendar_env.google_errors import Gone, invalid

ItemT = TypeVar("ItemT")


@dataclass(frozen=True, slots=True)
class Traversal:
    """One list call: which changes are wanted, where the page begins, and what its tokens are made of."""

    name: str
    digest: str
    lasting_digest: str
    since: int | None
    """The changes after this one are wanted; ``None`` wants everything."""
    began: int
    """The last change when the traversal began: the next sync token's."""
    after: Any = None
    """The sort key of the last item that was handed out."""

    def page(self, items: Sequence[tuple[Any, ItemT]], size: int) -> tuple[list[ItemT], dict[str, str]]:
        """This page of items (sort key and item, sorted), and the token that goes with it."""
        rest = [one for one in items if self.after is None or one[0] > self.after]
        shown = rest[:size]
        if len(rest) > size:
            position = {"a": list(shown[-1][0]), "b": self.began, "s": self.since}
            return [item for _, item in shown], {"nextPageToken": _encode("p", self.name, self.digest, position)}
        return [item for _, item in shown], {"nextSyncToken": _encode("s", self.name, self.lasting_digest, {"b": self.began})}


def traversal(
    name: str,
    parameters: Mapping[str, Any],
    *,
    now: int,
    sync_token: str | None = None,
    page_token: str | None = None,
    lasting: Mapping[str, Any] | None = None,
    role: str = "",
) -> Traversal:
    """What a list call's tokens ask for.

    Args:
        name: The list: method, calendar, user.
        parameters: What page tokens depend on: the call's other parameters.
        lasting: What sync tokens depend on, where that is less.
        now: The world's last change.
        role: The caller's role; a sync token dies when it changes.

    Raises:
        Gone: The sync token is unknown, too new, or for another role or other parameters (410 fullSyncRequired).
        Invalid: The page token is unknown or for another list.
    """
    digest = _digest(role, parameters)
    lasting_digest = digest if lasting is None else _digest(role, lasting)
    since = None
    if sync_token is not None:
        known = _decode("s", name, lasting_digest, sync_token)
        if known is None or not _is_change(known.get("b"), now):
            raise Gone(
                "Sync token is no longer valid, a full sync is required.",
                reason="fullSyncRequired",
                domain="calendar",
                location="syncToken",
                hint="List again without syncToken; use the nextSyncToken with the same parameters as before.",
            )
        since = known["b"]
    if page_token is None:
        return Traversal(name, digest, lasting_digest, since, now)
    known = _decode("p", name, digest, page_token)
    if known is None or not _is_change(known.get("b"), now) or not isinstance(known.get("a"), list):
        raise invalid("pageToken", "Invalid page token value", hint="Use nextPageToken with the same parameters as before.")
    began = known.get("s")
    if began is not None and not _is_change(began, now):
        raise invalid("pageToken", "Invalid page token value", hint="Begin again without pageToken.")
    return Traversal(name, digest, lasting_digest, began, known["b"], tuple(known["a"]))


def _digest(role: str, parameters: Mapping[str, Any]) -> str:
    text = json.dumps([role, parameters], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _encode(kind: str, name: str, digest: str, known: Mapping[str, Any]) -> str:
    text = json.dumps([kind, name, digest, known], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _decode(kind: str, name: str, digest: str, token: str) -> dict[str, Any] | None:
    if len(token) > 4096:
        return None
    try:
        decoded = json.loads(base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError):
        return None
    if not isinstance(decoded, list) or len(decoded) != 4 or decoded[:3] != [kind, name, digest]:
        return None
    return decoded[3] if isinstance(decoded[3], dict) else None


def _is_change(number: Any, now: int) -> bool:
    return isinstance(number, int) and not isinstance(number, bool) and 0 <= number <= now
