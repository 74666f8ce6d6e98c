"""An environment that has taken its worker process over and answers as it likes."""

from __future__ import annotations

import gc
import json
from typing import Any, ClassVar

from openenv import Action, Context, Observation, State, ToolEnvironment, tool
from openenv.operation import Result
from openenv.runtime.executors import frames
from openenv.runtime.executors.answers import AnswerWriter
from openenv.runtime.executors.worker import Worker

__all__ = ["Forger"]


def _link() -> Any:
    gc.unfreeze()  # else what was there before this environment is not among them
    return next(one for one in gc.get_objects() if isinstance(one, Worker))._link


class Forger(ToolEnvironment[Action, Observation, State]):
    """Answers its next operation with something else."""

    execution = "process"
    process_episodes = 1  # what it has taken over is nobody's after it
    snapshot_version: ClassVar[int] = 1

    def reset(self) -> Observation:
        return Observation()

    @tool()
    def forge(self, name: str) -> str:
        """From the next operation on every answer is this one, written from below the runtime."""
        left = iter([True])  # this one's own

        def write(_: AnswerWriter, result: Result, op: str, *, seq: int, steps: int, scenario: str | None) -> bytes:
            honest = next(left, None)
            told = (result, op) if honest else (_FORGED[name](), "snapshot")
            return _REAL(AnswerWriter(), *told, seq=seq, steps=steps, scenario=scenario)

        setattr(AnswerWriter, "write", write)  # noqa: B010 - a method of a class that others use
        return name

    @tool()
    def flood(self, kind: str, count: int, context: Context) -> str:
        """Send frames of no order's."""
        number = {"dying": frames.DYING, "tools": frames.TOOLS, "notice": frames.NOTICE, "event": frames.EVENT}[kind]
        payload = _SAID[kind]
        link = _link()
        for _ in range(count):
            link.send(number, 0, payload)
        return kind

    def snapshot(self) -> bytes:
        return b"x"

    def restore(self, image: bytes) -> None:
        """Nothing is kept."""

    def reseed(self, seed: int) -> None:
        """There is no chance in it."""


_REAL = AnswerWriter.write
_SAID = {
    "dying": b'{"kind": "start", "text": "no"}',
    "tools": b"",
    "notice": b'{"kind": "log", "message": "no"}',
    "event": b"null",
}


def _image(header: Any) -> bytes:
    written = json.dumps(header).encode()
    return b"OpenEnv1" + len(written).to_bytes(4, "big") + written


_FOREIGN = {
    "environment": "another",
    "version": 1,
    "types": "",
    "episode": {"id": "x", "seed": None, "steps": 1},
    "started": True,
    "over": False,
    "scenario": None,
    "scenario_digest": None,
    "events": [],
    "initial": None,
}
_FORGED: dict[str, Any] = {
    "nothing": Result,
    "text": lambda: Result(value="text"),
    "number": lambda: Result(value=7),
    "bytes": lambda: Result(value=b"\xff"),
    "list": lambda: Result(value=[1]),
    "headless": lambda: Result(value=_image([])),
    "foreign": lambda: Result(value=_image(_FOREIGN)),
    "observation": lambda: Result(observation=Observation()),
}


def __getattr__(name: str) -> Any:
    """``app`` is a server's application."""
    if name != "app":
        raise AttributeError(name)
    from openenv import create_app  # only where it is wanted: workers start in half the time without

    return create_app(Forger, env_name="forger", processes=4)
