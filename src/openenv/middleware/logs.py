"""One JSON line per session and per episode, on a logger; nothing per step."""

from __future__ import annotations

import json
import logging
import math
import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TextIO

from openenv.operation import Operation, Result
from openenv.types import Reward

__all__ = ["JsonLog"]

_PLAYS = frozenset({"reset", "load_scenario", "step", "call_tool"})
"""What an episode consists of."""


@dataclass(slots=True)
class _Account:
    transport: str
    principal: str
    opened: float
    operations: int = 0
    errors: int = 0
    episodes: int = 0
    episode: str | None = None
    steps: int = 0
    rewards: float = 0.0
    done: bool = False
    began: float = field(default_factory=time.monotonic)


class JsonLog:
    """Writes ``session.open``, ``episode`` and ``session.close`` lines, and one for whatever was refused before that.

    Args:
        stream: Where to write; standard error by default.
        env: The environment's name, on every line.
    """

    def __init__(self, env: str, stream: TextIO | None = None) -> None:
        self._env = env
        self._stream = stream
        self._accounts: dict[str, _Account] = {}

    def after(self, operation: Operation, result: Result) -> None:
        """Add to the session's account; write a line where something begins or ends."""
        op = operation.op
        if op == "create":
            self._created(operation, result)
            return
        session = operation.session
        account = self._accounts.get(session) if session is not None else None
        if account is None:
            if result.error is not None:
                self._write("refused", operation, code=result.error.code, op=op)
            return
        if op == "close":
            if operation.transport == "runtime":
                self._close_episode(operation, account)
                self._write("session.close", operation, **self._totals(account), reason=operation.payload)
                del self._accounts[operation.session or ""]
            return
        account.operations += 1
        if result.error is not None:
            account.errors += 1
        elif op in _PLAYS and result.episode != account.episode:
            self._close_episode(operation, account)
            account.episode, account.began = result.episode, time.monotonic()
            account.steps, account.rewards, account.done = 0, 0.0, False
            account.episodes += 1
        if op in ("step", "call_tool") and result.error is None:
            account.steps += 1
            account.rewards += _finite(result.reward)
            account.done = result.done
        elif op in ("reset", "load_scenario") and account.steps and result.error is None:
            self._close_episode(operation, account)
            account.steps, account.rewards, account.done = 0, 0.0, False
            account.episodes += 1

    def _created(self, operation: Operation, result: Result) -> None:
        if result.error is not None:
            self._write("session.refused", operation, code=result.error.code, message=result.error.message)
            return
        if result.session is not None and result.session not in self._accounts:
            operation.session = result.session
            self._accounts[result.session] = _Account(operation.transport, operation.principal.id, time.monotonic())
            self._write("session.open", operation)

    def _close_episode(self, operation: Operation, account: _Account) -> None:
        if account.episode is None or not account.steps:
            return
        self._write(
            "episode",
            operation,
            episode=account.episode,
            steps=account.steps,
            reward=round(account.rewards, 6),
            done=account.done,
            seconds=round(time.monotonic() - account.began, 6),
        )

    @staticmethod
    def _totals(account: _Account) -> dict[str, Any]:
        seconds = round(time.monotonic() - account.opened, 6)
        return {
            "operations": account.operations,
            "errors": account.errors,
            "episodes": account.episodes,
            "seconds": seconds,
            "transport": account.transport,
        }

    def _write(self, event: str, operation: Operation, **known: Any) -> None:
        line = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "level": "info",
            "event": event,
            "env": self._env,
            "session": operation.session,
            "principal": operation.principal.id,
            "transport": operation.transport,
            "trace": operation.trace,
        }
        stream = self._stream or sys.stderr
        try:
            stream.write(json.dumps(line | known, default=str) + "\n")
            stream.flush()
        except (OSError, ValueError):
            logging.getLogger("openenv.log").exception("the log line could not be written")


def _finite(reward: Reward) -> float:
    """The reward as a number that can be added up and written as JSON; what cannot be counts as nothing."""
    try:
        number = float(reward or 0.0)
    except OverflowError:
        return 0.0
    return number if math.isfinite(number) else 0.0
