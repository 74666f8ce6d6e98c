"""Ending with the process that started this one."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import Final

__all__ = ["end_with"]

_DIES_WITH_PARENT: Final = 1  # PR_SET_PDEATHSIG


def end_with(parent: int) -> None:
    """Let the kernel kill this process when the one that started it ends, whatever it is doing then, a loop of C included.

    Args:
        parent: That one's id; where it has ended already, this process does so now.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_DIES_WITH_PARENT, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)
