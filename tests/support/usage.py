"""What a server process has in use, as the kernel tells it, and how many sessions it says there are."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

__all__ = ["active_sessions", "children", "connections", "open_files", "resident_kb", "threads"]


def resident_kb(pid: int) -> int:
    """Memory, in KiB."""
    return int(_status(pid, "VmRSS"))


def threads(pid: int) -> int:
    """Threads."""
    return int(_status(pid, "Threads"))


def open_files(pid: int) -> int:
    """File descriptors, sockets among them."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def children(pid: int) -> list[int]:
    """The processes that its main thread has started."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def connections(port: int) -> int:
    """TCP connections over this port of either side, but for those that are nearly over."""
    wanted = f":{port:04X}"
    rows = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    return sum(row[1].endswith(wanted) and row[3] in ("01", "08") for row in rows)


def active_sessions(url: str) -> int | None:
    """``openenv_active_sessions``; None when the server does not answer."""
    try:
        with urlopen(f"{url}/metrics", timeout=20) as response:
            text = response.read().decode()
    except (URLError, OSError):
        return None
    found = re.search(r"^openenv_active_sessions\{.*\} (\S+)$", text, re.MULTILINE)
    return int(float(found[1])) if found else None


def _status(pid: int, name: str) -> str:
    return next(line.split()[1] for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith(f"{name}:"))
