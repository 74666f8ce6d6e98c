"""Snapshots that stay on the server, each for as long as its session."""

from __future__ import annotations

from collections import OrderedDict

from openenv.errors import Overloaded, SessionError, ValidationFailed
from openenv.runtime import Session

__all__ = ["SnapshotStore"]


class SnapshotStore:
    """The last few of each session, and a bound on all of them together."""

    MOST = 16
    """Of one session; the oldest goes first."""
    MOST_BYTES = 1024 * 1024 * 1024
    """Of all sessions."""

    def __init__(self) -> None:
        self._of_session: dict[str, OrderedDict[str, bytes]] = {}
        self._bytes = 0

    def put(self, session: Session, image: bytes) -> str:
        """Keep an image: its id. Raises `Overloaded` where there is no room for more, `SessionError` for an ended session."""
        if session.ended is not None:  # while it was made; nobody would ever let go of it
            raise SessionError(f"The session has ended: {session.ended}", hint="Open a new one.")
        if self._bytes + len(image) > self.MOST_BYTES:
            raise Overloaded("this server keeps too many snapshots", hint="Export them, or close sessions.")
        known = self._of_session.get(session.id)
        if known is None:
            known = self._of_session[session.id] = OrderedDict()
            session.watchers.add(lambda _: self._forget(session.id))
        number = int(next(reversed(known), "snapshot:0").partition(":")[2]) + 1
        name = f"snapshot:{number}"
        known[name] = image
        self._bytes += len(image)
        while len(known) > self.MOST:
            self._bytes -= len(known.popitem(last=False)[1])
        return name

    def get(self, session: Session, name: str) -> bytes:
        """The image of that id. Raises `ValidationFailed` for one that this session does not have."""
        known = self._of_session.get(session.id)
        image = known.get(name) if known is not None else None
        if image is None:
            raise ValidationFailed(
                f"this session has no snapshot {name[:80]!r}", field="snapshot", hint=f"The last {self.MOST} are kept."
            )
        return image

    def _forget(self, session_id: str) -> None:
        images = self._of_session.pop(session_id, None)
        if images is not None:
            self._bytes -= sum(len(image) for image in images.values())
