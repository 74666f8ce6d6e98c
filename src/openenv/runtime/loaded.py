"""What a process has loaded before it serves."""

from __future__ import annotations

import gc
from typing import Final

__all__ = ["keep_loaded"]

_YOUNG: Final = 5_000
"""Objects: a frame that steps many sessions has thousands alive until it is answered, and none of them is garbage."""


def keep_loaded() -> None:
    """Take what there is by now, modules and the application, from Python's collector: it is there to stay.

    Looking through all of it takes 30 ms and more, and would come again and again where many answers are alive at once. From
    here on the collector also begins later than Python has it, unless somebody has turned it off, or has it begin later still.
    """
    gc.collect()
    gc.freeze()
    young, *older = gc.get_threshold()
    if 0 < young < _YOUNG:
        gc.set_threshold(_YOUNG, *older)
