"""Starting the program of a worker process, without the server's secrets and open files."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sys
from typing import Final

__all__ = ["has_ended", "keep_from_workers", "spawn"]

_BOOT: Final = (
    "import os, sys; os.closerange(3, 1 << 20); import json; sys.path[:] = json.loads(sys.argv[1]); "
    "from openenv.runtime.executors.worker import main; main()"
)
_SECRET: Final = re.compile(r"OPENENV_\w*(SECRET|KEY|TOKEN)")
_hidden: set[str] = set()


def keep_from_workers(variable: str) -> None:
    """Leave a variable with a secret of the server's out of what worker processes inherit."""
    _hidden.add(variable)


def spawn() -> tuple[int, int, socket.socket]:
    """Start a worker: its process id, a file that is readable when it has ended (-1 where there are none), and the socket to it.

    Raises ``OSError`` when there can be no other process or open file; nothing is left then.
    """
    ours, theirs = socket.socketpair()
    pid = 0
    with theirs:
        try:
            pid = _spawned(theirs.fileno())
            return pid, os.pidfd_open(pid) if sys.platform == "linux" else -1, ours
        except OSError:
            ours.close()
            if pid:  # too many files are open: nobody would see to its end
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
            raise


def _spawned(connection: int) -> int:
    """Start a worker whose standard input is this end of a socket pair: its process id.

    Not ``subprocess``: that would close every inherited descriptor one by one, and warns of what outlives its object.
    """
    environ = {name: value for name, value in os.environ.items() if name not in _hidden and not _SECRET.fullmatch(name)}
    flags = ["-O"] * sys.flags.optimize
    return os.posix_spawn(
        sys.executable,
        [sys.executable, *flags, "-c", _BOOT, json.dumps(sys.path)],
        environ,
        file_actions=[(os.POSIX_SPAWN_DUP2, connection, 0), (os.POSIX_SPAWN_DUP2, 2, 1)],
    )


def has_ended(pid: int) -> bool:
    """Whether a child has ended; it is not reaped."""
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:  # somebody else of this program has
        return True
