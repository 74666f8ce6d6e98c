"""Answers made complete where the environment runs: nothing lazy leaves its lane, and no state that changes afterwards."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from copy import deepcopy
from itertools import islice
from typing import Any

from pydantic import BaseModel

from openenv.errors import ExecutionFailed

__all__ = ["LONGEST", "copied", "settled"]

LONGEST = 100_000
"""Items of what is made one after the other; a longer answer is an error, as is one without an end."""

log = logging.getLogger("openenv.runtime")

_COMPLETE = (str, bytes, bytearray, list, tuple, set, frozenset, Mapping, BaseModel)


def copied(state: Any) -> Any:
    """The state as it is now: the next operation may change the environment's own while this one is being written out.

    What cannot be copied is handed on as it is, as an environment's observations are.
    """
    try:
        return deepcopy(state)
    except Exception:
        log.debug("a state of type %s cannot be copied", type(state).__name__, exc_info=True)
        return state


def settled(answer: Any, name: str) -> Any:
    """The answer, as a list where it is a generator or another thing that makes its items when it is read.

    Raises `ExecutionFailed` for one with more than `LONGEST` items.
    """
    if isinstance(answer, _COMPLETE) or not isinstance(answer, Iterable):
        return answer
    items = list(islice(answer, LONGEST + 1))
    if len(items) > LONGEST:
        raise ExecutionFailed(
            f"{name} did not end within {LONGEST} items", hint="Return a list, or offer the items by range: get_task_range."
        )
    return items
