"""What a process has loaded before it serves."""

from __future__ import annotations

import gc

__all__ = ["keep_loaded"]


def keep_loaded() -> None:
    """Take what there is by now, modules and the application, from Python's collector: it is there to stay.

    Looking through all of it takes 30 ms and more, and would come again and again where many answers are alive at once.
    """
    gc.collect()
    gc.freeze()
