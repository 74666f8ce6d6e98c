"""What all v2 connections of a server share."""

from __future__ import annotations

from openenv.protocol.v2 import V2Codec
from openenv.server.core import ServerCore
from openenv.server.v2.opening import Keys
from openenv.server.v2.snapshots import SnapshotStore

__all__ = ["V2Shared"]


class V2Shared:
    """Made once per server."""

    def __init__(self, core: ServerCore) -> None:
        self.core = core
        self.codec = V2Codec(core.specification.action_type)
        self.snapshots = SnapshotStore()
        self.keys = Keys()
        core.opened = lambda key: self.keys.get(key) is not None
