"""What a worker does where it cannot hand a connection to another one."""

from __future__ import annotations

import errno
import os
import socket
from types import SimpleNamespace
from typing import Any

import pytest

from openenv.runtime.ids import WorkerIds
from openenv.server.workers.channel import pair
from openenv.server.workers.siblings import Siblings


async def test_a_connection_stays_where_it_is_when_no_more_files_can_be_open(monkeypatch: pytest.MonkeyPatch) -> None:
    core: Any = SimpleNamespace()
    census: Any = SimpleNamespace()
    siblings = Siblings(core, WorkerIds(0, 2, 0), census, b"secret")
    ours, theirs = pair()
    siblings.link(1, ours)
    client, server = socket.socketpair()

    def none_left(fd: int) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    with client, server, theirs:
        with monkeypatch.context() as patch:
            patch.setattr(os, "dup", none_left)
            assert siblings.hand_over(1, server.fileno(), b"GET / HTTP/1.1\r\n") is False
        assert siblings.hand_over(1, server.fileno(), b"GET / HTTP/1.1\r\n") is True
        siblings._channels[1].close()
