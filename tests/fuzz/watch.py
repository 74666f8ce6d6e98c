"""The servers that are fuzzed, and what each must look like when all is over."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from tests.fuzz.judge import OWN_FAULT
from tests.support.processes import ROOT, Server, running
from tests.support.usage import active_sessions, connections, open_files, resident_kb, threads

__all__ = ["DOORS", "Watched", "served"]

DOORS = ("fast", "asgi")
"""``openenv serve``, and the same application in plain uvicorn."""

MOST_THREADS = 24
"""Of a target: four of each pool, two that grade, six that import, and the process's own."""
_ALWAYS_WRONG = ("Task exception was never retrieved", "was never awaited", "Exception in ASGI", "Exception in callback")


@dataclass(slots=True)
class Watched:
    """A server with what it had before it was fuzzed."""

    door: str
    target: str
    server: Server
    files: int = 0
    began_kb: int = 0

    def settle(self, patience_s: float = 30.0) -> None:
        """Remember what it has when nobody is connected any more: every cache is filled now."""
        _comes_to(self._left_alone, patience_s)
        _comes_to(lambda: not connections(self.server.port), patience_s)
        self.files, self.began_kb = open_files(self.server.pid), self.resident_kb

    def _left_alone(self) -> bool:
        """Whether there is no session; those that wait for the end of their lease, which is long, are ended."""
        with urlopen(f"{self.server.url}/sessions", timeout=20) as answer:
            listed = json.load(answer)["sessions"]
        for one in listed:
            if one["kind"] == "free" and not one["attached"]:
                try:
                    urlopen(Request(f"{self.server.url}/sessions/{one['session_id']}", method="DELETE"), timeout=20).close()
                except HTTPError as ended:  # by itself, meanwhile
                    ended.close()
        return active_sessions(self.server.url) == 0

    @property
    def resident_kb(self) -> int:
        """Memory in use, in KiB."""
        return resident_kb(self.server.pid)

    def complaints(self, patience_s: float = 30.0) -> list[str]:
        """What is wrong with it, now that nobody is connected."""
        if self.server.process.poll() is not None:
            return [f"the server ended with {self.server.process.returncode}:\n{self.server.log()[-2000:]}"]
        wrong = crashes(self.server.log(), self.door)
        for name, holds in (
            ("sessions are left", self._left_alone),
            ("files are left open", lambda: open_files(self.server.pid) <= self.files),
            ("threads are left", lambda: threads(self.server.pid) <= MOST_THREADS),
        ):
            if not _comes_to(holds, patience_s):
                pid, sessions = self.server.pid, active_sessions(self.server.url)
                now = f"{sessions} sessions, {open_files(pid)} files, {threads(pid)} threads"
                wrong.append(f"{name}: {now}; at first {self.files} files, and {MOST_THREADS} threads may be")
        return [f"{self.target} behind the {self.door} door: {one}" for one in wrong]


@contextmanager
def served(folder: Path, targets: tuple[str, ...], doors: tuple[str, ...] = DOORS) -> Iterator[list[Watched]]:
    """A server of each target behind each door."""
    with running(folder) as servers:
        watched = []
        for target in targets:
            app = f"tests.fuzz.target:{target}_app"
            if "fast" in doors:
                watched.append(Watched("fast", target, servers(app, cwd=ROOT)))
            if "asgi" in doors:
                watched.append(Watched("asgi", target, servers(app, "--no-access-log", cwd=ROOT, uvicorn=True)))
        yield watched


def crashes(log: str, door: str = "fast") -> list[str]:
    """What a log tells of crashes, but for those that the target was told to have, and for what uvicorn itself writes."""
    found = [f"the log has {one!r}" for one in _ALWAYS_WRONG if one in log]
    told = log.replace("\\n", "\n")  # a traceback may be a text in a line of JSON
    for block in told.split("Traceback (most recent call last)")[1:]:
        # The exception's own line comes after the indented ones.
        lines = block.splitlines()[1:]
        end = next((number for number, line in enumerate(lines) if line and not line[0].isspace()), len(lines) - 1)
        of_uvicorn = door == "asgi" and any("in send_receive_event_to_app" in line for line in lines[:end])
        if OWN_FAULT not in lines[end] and not of_uvicorn:
            found.append("the log has a traceback:\n" + "\n".join(lines[max(0, end - 30) : end + 1]))
    return found[:3]


def _comes_to(holds: Callable[[], bool], patience_s: float) -> bool:
    deadline = time.monotonic() + patience_s
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True
