"""Python's own log records, as lines of a `JsonLog`."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from openenv.middleware.logs import JsonLog

__all__ = ["take_records"]


class _Records(logging.Handler):
    def __init__(self, log: JsonLog) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        if record.name == JsonLog.OWN_LOGGER:  # it says that a line could not be written
            if logging.lastResort is not None:
                logging.lastResort.handle(record)
            return
        try:
            self._log.record(record)
        except Exception:  # noqa: BLE001 - a record that cannot be shown, as the standard library's handlers treat it
            self.handleError(record)


def take_records(chain: Iterable[Any]) -> bool:
    """Have what Python's loggers say written by the chain's `JsonLog`, where it has one on standard error.

    Whoever has given the root logger a handler keeps it, and nothing is done. Returns whether something was.
    """
    log = next((one for one in chain if isinstance(one, JsonLog) and one.stream is None), None)
    root = logging.getLogger()
    if log is None or root.handlers:
        return False
    root.addHandler(_Records(log))
    return True
