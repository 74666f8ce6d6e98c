"""Environments that do their worst to the worker process that they live in."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

from openenv import Action, Environment, Observation, State

__all__ = ["Deed", "Seen", "Vandal"]

HELD = "OPENENV_TEST_HOLD"
"""A folder: whose file ``start`` holds back what is being started, until it is removed."""


def _touch(name: str) -> None:
    folder = os.environ.get(HELD)
    if folder is not None:
        Path(folder, f"{name}-{os.getpid()}").touch()


def _wait(name: str) -> None:
    """Tell that this has been reached, and stay there while it is to be held."""
    folder = os.environ.get(HELD)
    if folder is None or not Path(folder, name).exists():
        return
    _touch(f"in-{name}")
    while Path(folder, name).exists():
        time.sleep(0.01)


class Deed(Action):
    what: str = "nothing"
    count: int = 0

    def __reduce_ex__(self, _: Any) -> Any:
        if self.what == "raise_in_reduce":
            raise RuntimeError("not to be sent")
        if self.what == "exit_in_reduce":
            raise SystemExit(4)
        return super().__reduce_ex__(2)


class Seen(Observation):
    text: str = ""


class Vandal(Environment[Deed, Seen, State]):
    """Does what it is told, whatever it is."""

    execution = "process"
    process_memory_mb = 512
    snapshot_version = 1

    def __init__(self) -> None:
        _wait("factory")
        self.dies: Any = None

    def reset(self) -> Seen:
        _wait("reset")
        return Seen(text=str(os.getpid()))

    def step(self, action: Deed) -> Seen:
        text = getattr(self, f"do_{action.what}")(action.count)
        return Seen(text=str(text or os.getpid()))

    def close(self) -> None:
        _wait("close")

    def snapshot(self) -> bytes:
        _wait("snapshot")
        return b"vandal"

    def restore(self, image: bytes) -> None:
        """Nothing is kept."""

    def reseed(self, seed: int) -> None:
        """There is no chance in it."""

    def do_nothing(self, _: int) -> None:
        _wait("step")

    def do_close_standard_files(self, _: int) -> None:
        os.closerange(0, 3)

    def do_close_every_file(self, _: int) -> None:
        os.closerange(0, 4096)

    def do_take_the_places_of_every_file(self, _: int) -> None:
        os.closerange(0, 4096)
        for _ in range(128):
            os.open(os.devnull, os.O_RDWR)

    def do_fork(self, count: int) -> str:
        """Children that ignore SIGTERM and keep the socket open."""
        children = []
        for _ in range(count):
            child = os.fork()
            if child == 0:
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
                time.sleep(1000)
                os._exit(0)
            children.append(child)
        return " ".join(map(str, children))

    def do_fork_and_answer_twice(self, _: int) -> str:
        """Both go on with what the worker does, on one socket."""
        return f"child {os.fork()}"

    def do_ignore_sigterm(self, _: int) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)

    def do_shout(self, count: int) -> None:
        """So many bytes to standard output."""
        piece = b"x" * 999_999 + b"\n"
        for _ in range(count // len(piece)):
            os.write(1, piece)

    def do_exit_when_collected(self, _: int) -> None:
        class Grave:
            def __del__(self) -> None:
                os._exit(4)

        self.dies = Grave()

    def do_raise_when_collected(self, _: int) -> None:
        class Grave:
            def __del__(self) -> None:
                raise SystemExit(4)

        self.dies = Grave()

    def do_show(self, count: int) -> str:
        return "x" * count

    def do_long_line(self, count: int) -> None:
        """So many bytes into the socket, with no frame in them, and then with the head of a frame that does not come."""
        self._write(b"\n" + b"x" * count)

    def do_endless_frame(self, _: int) -> None:
        """The head of a long answer to what is being done, and no more."""
        self._write((60_000_000).to_bytes(4, "little") + b"\x42\0" + (2).to_bytes(4, "little"))
        time.sleep(1000)

    def do_drip(self, _: int) -> None:
        """An answer a byte at a time, for ever."""
        self._write((60_000_000).to_bytes(4, "little") + b"\x42\0" + (2).to_bytes(4, "little"))
        while True:
            self._write(b"x")
            time.sleep(0.001)

    def _write(self, data: bytes) -> None:
        for number in map(int, os.listdir("/proc/self/fd")):
            if number > 2 and _is_socket(number):
                view = memoryview(data)
                while view:
                    view = view[os.write(number, view) :]
                return


def _is_socket(number: int) -> bool:
    try:
        return os.readlink(f"/proc/self/fd/{number}").startswith("socket:")
    except FileNotFoundError:
        return False


_wait("start")


def __getattr__(name: str) -> Any:
    """``app`` is a server's application."""
    if name != "app":
        raise AttributeError(name)
    from openenv import create_app  # only where it is wanted: workers start in half the time without

    return create_app(Vandal, env_name="vandal", processes=4, hang_limit_s=3.0)
