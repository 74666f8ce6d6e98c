"""The servers of a run: each is started when a part first wants it, two at a time, and lives until the run ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

from benchmarks.servers.start import Target, calendar, floor, ours, reference
from tests.support.processes import Servers

__all__ = ["Fleet", "Start", "started", "wanted"]

_AT_ONCE = 2

Start = Callable[[Servers], Target]


def started(servers: Servers, wanted: Mapping[str, Start]) -> dict[str, Target]:
    """Start several, two at a time."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return dict(zip(wanted, pool.map(lambda start: start(servers), wanted.values()), strict=True))


def wanted(*names: str) -> dict[str, Start]:
    """How the servers of these names are started: ``floor``, ``ours ENVIRONMENT CHAIN OPTIONS…``, ``calendar CHAIN``, ``reference
    ENVIRONMENT``.
    """
    return {name: _start(*name.split()) for name in names}


def _start(kind: str, *arguments: str) -> Start:
    begins: dict[str, Callable[..., Target]] = {"floor": floor, "ours": ours, "calendar": calendar, "reference": reference}
    return lambda servers: begins[kind](servers, *arguments)


class Fleet:
    """Servers by name."""

    def __init__(self, servers: Servers) -> None:
        self._servers = servers
        self._running: dict[str, Target] = {}

    def __call__(self, wanted: Mapping[str, Start]) -> dict[str, Target]:
        """Those that are wanted: one that runs already under its name is the same one again."""
        self._running |= started(self._servers, {name: one for name, one in wanted.items() if name not in self._running})
        return {name: self._running[name] for name in wanted}
