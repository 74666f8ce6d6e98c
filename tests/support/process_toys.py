"""Environments that live in worker processes, and what may go wrong there."""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from pydantic import Field

from openenv import Action, AsyncEnvironment, Context, Environment, Observation, State

__all__ = [
    "AsyncBeast",
    "Beast",
    "DeadFactory",
    "Do",
    "Done",
    "NoFactory",
    "ProcessBeast",
    "StuckClose",
    "StuckFactory",
]


class Do(Action):
    what: str = Field(min_length=1)
    count: int = 0
    text: str = ""


class Done(Observation):
    text: str = ""
    count: int = 0


class Beast(Environment[Do, Done, State]):
    """Does to its process what it is told."""

    def __init__(self) -> None:
        self.kept: list[Any] = []
        self.count = 0

    def reset(self, *, seed: int | None = None) -> Done:
        self.count = 0
        return Done(text=f"seed {seed}", count=os.getpid())

    def step(self, action: Do, context: Context) -> Done:
        self.count += 1
        text = str(getattr(self, f"do_{action.what}")(action, context) or "")
        return Done(text=text, count=self.count, reward=float(self.count))

    def do_say(self, action: Do, _: Context) -> str:
        return action.text

    def do_loaded(self, _: Do, __: Context) -> str:
        return f"{gc.get_freeze_count()} {len(gc.get_objects())}"

    def do_pid(self, _: Do, __: Context) -> int:
        return os.getpid()

    def do_segfault(self, _: Do, __: Context) -> None:
        ctypes.string_at(0)

    def do_exit(self, action: Do, _: Context) -> None:
        os._exit(action.count)

    def do_sys_exit(self, action: Do, _: Context) -> None:
        sys.exit(action.count)

    def do_leak(self, action: Do, _: Context) -> None:
        while True:
            self.kept.append(bytearray(action.count))

    def do_leak_later(self, action: Do, context: Context) -> None:
        threading.Thread(target=self.do_leak, args=(action, context), daemon=True).start()

    def do_take(self, action: Do, _: Context) -> int:
        return len(bytearray(action.count))

    def do_spin(self, _: Do, __: Context) -> None:
        pow(7, 10**9)  # one call of C that never lets go of the interpreter

    def do_hold(self, action: Do, _: Context) -> None:
        while not Path(action.text).exists():
            time.sleep(0.005)

    def do_stop(self, _: Do, __: Context) -> None:
        os.kill(os.getpid(), signal.SIGSTOP)

    def do_deaf_sleep(self, _: Do, __: Context) -> None:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGURG):
            signal.signal(number, signal.SIG_IGN)
        time.sleep(1000)

    def do_huge(self, action: Do, _: Context) -> str:
        return "x" * action.count

    def do_print(self, action: Do, _: Context) -> None:
        for stream in (1, 2):
            os.write(stream, b"\xff\xfe garbage \x00\n" * action.count)

    def do_garbage(self, action: Do, _: Context) -> None:
        for descriptor in range(3, 256):
            try:
                os.write(descriptor, action.text.encode() or b"\xff" * 64)
            except OSError:
                continue

    def do_close_all(self, _: Do, __: Context) -> None:
        os.closerange(3, 256)

    def do_child(self, _: Do, __: Context) -> int:
        pid = os.fork()
        if pid == 0:
            time.sleep(1000)
            os._exit(0)
        return pid

    def do_die_later(self, _: Do, __: Context) -> None:
        threading.Timer(0.05, os._exit, (7,)).start()

    def do_thread(self, _: Do, __: Context) -> None:
        threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()

    def do_wait_cancelled(self, _: Do, context: Context) -> str:
        for number in range(2000):
            if context.cancelled:
                return "cancelled"
            context.progress(number, 2000, "waiting")
            time.sleep(0.01)
        return "never"

    def do_count(self, action: Do, context: Context) -> None:
        for number in range(action.count):
            context.progress(number, action.count, "so far")
            context.progress(number + 0.5, float(action.count))
            context.log({"number": number, "half": number + 0.5, "whole": float(number)})

    def do_environ(self, action: Do, _: Context) -> str:
        return os.environ.get(action.text, "absent")

    def do_descriptors(self, _: Do, __: Context) -> str:
        links = (os.readlink(one) for one in Path("/proc/self/fd").iterdir() if one.exists())
        return " ".join(sorted(link.split(":")[0] for link in links))

    def do_chatter(self, action: Do, context: Context) -> None:
        for number in range(action.count):
            context.log("x" * 1000)
            context.progress(number)


class ProcessBeast(Beast):
    execution = "process"
    process_memory_mb = 256


class NoFactory(ProcessBeast):
    """Cannot be made."""

    def __init__(self) -> None:
        super().__init__()
        raise RuntimeError("not today")


class DeadFactory(ProcessBeast):
    """Takes its process along."""

    def __init__(self) -> None:
        super().__init__()
        os._exit(9)


class StuckFactory(ProcessBeast):
    """Is never made."""

    def __init__(self) -> None:
        super().__init__()
        time.sleep(1000)


class StuckClose(ProcessBeast):
    """Is never closed."""

    def close(self) -> None:
        time.sleep(1000)


class AsyncBeast(AsyncEnvironment[Do, Done, State]):
    """Asks for what asynchronous environments do not get."""

    execution = "process"

    async def reset(self) -> Done:
        return Done()

    async def step(self, action: Do) -> Done:
        return Done()


def __getattr__(name: str) -> Any:
    """``app`` is a server's application: three worlds, three seconds for each step; ``patient_app`` has no such limit."""
    if name not in ("app", "patient_app"):
        raise AttributeError(name)
    from openenv import create_app  # only where it is wanted: workers start in half the time without

    return create_app(ProcessBeast, Do, Done, env_name="beast", processes=3, hang_limit_s=3.0 if name == "app" else None)
