"""One JSON line per session, per episode and per refusal, on a stream; nothing per step unless one asks for it."""

from __future__ import annotations

import json
import logging
import math
import re
import sys
import time
import traceback
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, TextIO

from openenv.errors import OpenEnvError
from openenv.operation import ANONYMOUS, Connection, Operation, Principal, Result
from openenv.types import Reward

if TYPE_CHECKING:
    from openenv.runtime.executors.process import WorkerProcess

__all__ = ["JsonLog"]

_PLAYS = frozenset({"reset", "load_scenario", "step", "call_tool"})
"""What an episode consists of."""
_STEPS = frozenset({"step", "call_tool"})
_HUGE = 1e300
_REFUSALS = frozenset(
    {"UNAUTHENTICATED", "FORBIDDEN", "RATE_LIMITED", "SESSION_ERROR", "CAPACITY_REACHED", "OVERLOADED", "SHUTTING_DOWN"}
)
"""Errors of operations that never reached a world: they are nobody's account, and a line each."""
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}(?:-.*)?")
"""https://www.w3.org/TR/trace-context/"""
_LONGEST = 200
_LONGEST_MESSAGE = 1000
_LONGEST_TRACEBACK = 16 * 1024
_ATOMIC = 4096
"""Bytes (PIPE_BUF on Linux) that a pipe takes in one piece."""
_STUB = 36
"""Characters that are left of each text of a line that would be longer; escaped they take twelve times as much at most."""


class _Ids(NamedTuple):
    """Who and what a line is about."""

    principal: Principal
    transport: str
    traceparent: str | None
    request: str | int | None


@dataclass(slots=True)
class _Account:
    ids: _Ids
    opened: float
    others: int = 0
    """Operations but for the steps of the running episode."""
    errors: int = 0
    episodes: int = 0
    episode: str | None = None
    steps: int = 0
    rewards: float = 0.0
    done: bool = False
    began: float = field(default_factory=time.monotonic)


class JsonLog:
    """Writes ``session.open``, ``episode`` and ``session.close`` lines, and one for whatever was refused.

    And one for every worker process of an environment that ended unasked (``worker.lost``), and for every record of Python's
    loggers that `record` is given (``log``).

    Every line has the ids of its trace, span, session, episode and request, null where there is none. Of refusals of one kind
    by one caller, ten are written each second; the next line says how many were left out.

    Args:
        env: The environment's name, on every line.
        stream: Where to write; standard error by default.
        level: ``debug`` writes a line for every operation too.
    """

    OWN_LOGGER: ClassVar = "openenv.log"
    """Where it says that a line could not be written."""

    def __init__(self, env: str, stream: TextIO | None = None, level: Literal["debug", "info"] = "info") -> None:
        self._env = env
        self.stream = stream
        self._quiet = level != "debug"
        self.worker: int | None = None
        """This process's number, where several write to one stream."""
        self._accounts: dict[str, _Account] = {}
        self._damper = _Damper()

    def __str__(self) -> str:
        return "a JSON log"

    def write_operations(self) -> None:
        """From now on write a line for every operation, as the level ``debug`` does."""
        self._quiet = False

    def worker_lost(self, worker: WorkerProcess, error: OpenEnvError) -> None:
        """Write a line for a worker process that has ended unasked: one for each session that goes with it, if any does."""
        known = {"pid": worker.pid, "phase": worker.state, "code": error.code, "message": error.message[:_LONGEST]}
        for session in (worker.holder.sessions if worker.holder is not None else None) or (None,):
            account = self._accounts.get(session or "")
            ids = account.ids if account is not None else _Ids(ANONYMOUS, "runtime", None, None)
            episode = account.episode if account is not None else None
            self._write("worker.lost", ids, session, episode, known | error.details, level="error")

    def record(self, record: logging.LogRecord) -> None:
        """Write a line for a log record: with the ids of the `Operation` that is its ``operation``, where it has one."""
        operation = record.__dict__.get("operation")
        if isinstance(operation, Operation):
            account = self._accounts.get(operation.session or "")
            ids, session, episode = _ids(operation), operation.session, account.episode if account is not None else None
        else:
            ids, session, episode = _Ids(ANONYMOUS, "runtime", None, None), None, None
        known = {"logger": record.name, "message": record.getMessage()[:_LONGEST_MESSAGE]}
        if record.exc_info:
            # What raised stands at the end.
            known["exception"] = "".join(traceback.format_exception(*record.exc_info))[-_LONGEST_TRACEBACK:]
        self._write("log", ids, session, episode, known, level=record.levelname.lower())

    def refused(self, connection: Connection, error: OpenEnvError) -> None:
        """Write a line for a caller who was not let in."""
        ids = _Ids(connection.principal, connection.transport, connection.headers.get("traceparent"), connection.request_id)
        known = {"code": error.code, "message": error.message[:_LONGEST], "op": "admit", "client": connection.client}
        self._refuse((error.code, connection.client), "refused", ids, None, None, known)

    def after(self, operation: Operation, result: Result) -> None:
        """Add to the session's account; write a line where something begins, ends or is refused."""
        account = self._accounts.get(operation.session or "")
        error = result.error
        op = operation.op
        if account is not None and error is None and op in _STEPS and result.episode == account.episode and self._quiet:
            # Nearly every operation is a step of an episode that has begun: all that it costs is here.
            account.steps += 1
            reward = result.reward
            account.rewards += reward if type(reward) is float and -_HUGE < reward < _HUGE else _finite(reward)
            account.done = result.done
            return
        if not self._quiet:
            self._debug(operation, result)
        if op == "create":
            self._created(operation, result)
        elif error is not None and (account is None or error.code in _REFUSALS):
            self._operation_refused(operation, error, account)
        elif op == "fork" and error is None:
            self._forked(operation, result)
        elif account is None:
            return
        elif op == "close":
            if operation.transport == "runtime":
                self._closed(operation, account)
        elif error is None and op in _PLAYS:
            self._played(operation, result, account)
        else:
            account.others += 1
            account.errors += error is not None

    def _played(self, operation: Operation, result: Result, account: _Account) -> None:
        is_step = operation.op in _STEPS
        if result.episode != account.episode or (not is_step and account.steps):
            self._close_episode(operation, account)
            account.episode, account.began = result.episode, time.monotonic()
            account.others += account.steps
            account.steps, account.rewards, account.done = 0, 0.0, False
            account.episodes += 1
        if is_step:
            account.steps += 1
            account.rewards += _finite(result.reward)
            account.done = result.done
        else:
            account.others += 1

    def _created(self, operation: Operation, result: Result) -> None:
        ids = _ids(operation)
        error = result.error
        if error is not None:
            known = {"code": error.code, "message": error.message[:_LONGEST]}
            self._refuse((error.code, ids.principal), "session.refused", ids, None, None, known)
        elif result.session is not None and result.session not in self._accounts:
            self._accounts[result.session] = _Account(ids, time.monotonic())
            self._write("session.open", ids, result.session, None, {})

    def _forked(self, operation: Operation, result: Result) -> None:
        ids = _ids(operation)
        for session in result.value:
            self._accounts[session] = _Account(ids, time.monotonic())
            self._write("session.open", ids, session, None, {"parent": operation.session})

    def _operation_refused(self, operation: Operation, error: OpenEnvError, account: _Account | None) -> None:
        ids, session = _ids(operation), operation.session
        episode = account.episode if account is not None else None
        known = {"code": error.code, "message": error.message[:_LONGEST], "op": operation.op}
        key = (error.code, operation.op, ids.principal)
        self._refuse(key, "refused", ids, session[:_LONGEST] if session is not None else None, episode, known)

    def _closed(self, operation: Operation, account: _Account) -> None:
        self._close_episode(operation, account)
        known = {
            "operations": account.others + account.steps,
            "errors": account.errors,
            "episodes": account.episodes,
            "seconds": round(time.monotonic() - account.opened, 6),
            "reason": operation.payload,
        }
        self._write("session.close", account.ids, operation.session, account.episode, known)
        del self._accounts[operation.session or ""]

    def _close_episode(self, operation: Operation, account: _Account) -> None:
        if account.episode is None or not account.steps:
            return
        known = {
            "steps": account.steps,
            "reward": round(account.rewards, 6),
            "done": account.done,
            "seconds": round(time.monotonic() - account.began, 6),
        }
        ids = account.ids if operation.transport == "runtime" else _ids(operation)
        self._write("episode", ids, operation.session, account.episode, known)

    def _debug(self, operation: Operation, result: Result) -> None:
        error = result.error or result.tool_error
        known = {
            "op": operation.op,
            "tool": result.tool,
            "code": error.code if error is not None else None,
            "reward": _finite(result.reward) if result.reward is not None else None,
            "done": result.done,
            "seconds": round(result.seconds, 6),
        }
        session = result.session or operation.session
        account = self._accounts.get(session or "") if operation.transport == "runtime" else None  # nobody has asked for it
        ids = _ids(operation) if account is None else account.ids
        self._write("operation", ids, session, result.episode, known, level="debug")

    def _refuse(
        self, key: tuple[Any, ...], event: str, ids: _Ids, session: str | None, episode: str | None, known: dict[str, Any]
    ) -> None:
        left_out = self._damper.left_out(key)
        if left_out is not None:
            more = {"left_out": left_out} if left_out else {}
            self._write(event, ids, session, episode, known | more, level="warning")

    def _write(
        self, event: str, ids: _Ids, session: str | None, episode: str | None, known: dict[str, Any], level: str = "info"
    ) -> None:
        parsed = _TRACEPARENT.fullmatch(ids.traceparent) if ids.traceparent is not None else None
        trace, span = parsed.groups() if parsed is not None else (None, None)
        line = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "level": level,
            "event": event,
            "env": self._env,
            "trace": trace,
            "span": span,
            "session": session,
            "episode": episode,
            "request": ids.request,
            "principal": ids.principal.id,
            "tenant": ids.principal.tenant,
            "transport": ids.transport,
        }
        if self.worker is not None:
            line["worker"] = self.worker
        stream = self.stream or sys.stderr
        try:
            stream.write(_written(line | known, whole=self.worker is not None))
            stream.flush()
        except (OSError, ValueError):
            logging.getLogger(self.OWN_LOGGER).exception("the log line could not be written")


class _Damper:
    """Lets the first lines of a kind through in each second and counts the rest: a flood of calls is no flood of lines."""

    def __init__(self, each_second: int = 10, kinds: int = 1000) -> None:
        self._each_second = each_second
        self._kinds = kinds
        self._seen: dict[tuple[Any, ...], list[int]] = {}

    def left_out(self, key: tuple[Any, ...]) -> int | None:
        """How many were left out before this one; None when it is to be left out too."""
        second = int(time.monotonic())
        seen = self._seen.get(key)
        if seen is None:
            if len(self._seen) >= self._kinds:
                self._seen.clear()
            seen = self._seen[key] = [second, 0, 0]
        if seen[0] != second:
            seen[0], seen[1] = second, 0
        if seen[1] >= self._each_second:
            seen[2] += 1
            return None
        seen[1] += 1
        left_out, seen[2] = seen[2], 0
        return left_out


def _written(line: dict[str, Any], *, whole: bool) -> str:
    """The line as it is written; short enough to arrive in one piece where others write to the same pipe meanwhile."""
    text = json.dumps(line, default=str) + "\n"
    room = _ATOMIC // 2
    while whole and len(text) > _ATOMIC and "exception" in line and room > _STUB:
        line = line | {"exception": line["exception"][-room:]}
        text = json.dumps(line, default=str) + "\n"
        room //= 2
    if whole and len(text) > _ATOMIC:
        short = {key: value[:_STUB] if isinstance(value, str) else value for key, value in line.items()}
        text = json.dumps(short, default=str) + "\n"
    return text


def _ids(operation: Operation) -> _Ids:
    return _Ids(operation.principal, operation.transport, operation.trace, _short(operation.id))


def _short(value: str | int | None) -> str | int | None:
    return value[:_LONGEST] if isinstance(value, str) else value


def _finite(reward: Reward) -> float:
    """The reward as a number that can be added up and written as JSON; what cannot be counts as nothing."""
    try:
        number = float(reward or 0.0)
    except OverflowError:
        return 0.0
    return number if math.isfinite(number) else 0.0
