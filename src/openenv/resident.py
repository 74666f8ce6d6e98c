"""How much memory a process holds."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, Literal

__all__ = ["resident_bytes"]

_PAGE: Final = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


def resident_bytes(pid: int | Literal["self"] = "self") -> int:
    """Bytes of memory that a process holds: 0 where the system does not say, or the process is gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_bytes().split()[1]) * _PAGE
    except (OSError, IndexError, ValueError):
        return 0
