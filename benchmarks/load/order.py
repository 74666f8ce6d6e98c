"""What the load generator is told to do, and what it says that it saw: both travel as JSON between two processes."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["KINDS", "Measurement", "Order"]

KINDS = ("steps", "connects", "hold")
"""Keep one request in flight; open, reset and close, again and again; hold sessions that do nothing, then step each once."""


@dataclass(frozen=True)
class Order:
    """One run of the load generator against one server."""

    url: str
    """The server's base URL, ``http://127.0.0.1:PORT``."""
    dialect: str
    """A name in `benchmarks.load.dialects.DIALECTS`."""
    sessions: int
    seconds: float
    server_pids: tuple[int, ...]
    """The processes whose CPU time and memory belong to the server."""
    connections: int = 0
    """How many connections share the sessions, in a dialect that can; 0 is one for each."""
    token: str | None = None
    """A bearer token for every connection."""
    headers: tuple[str, ...] = ()
    """Further header lines for every connection and request."""
    kind: str = "steps"


@dataclass(frozen=True)
class Measurement:
    """What one run saw. Times are seconds but for those that say otherwise."""

    done: int
    """Steps that were answered rightly in the window; of ``connects``, sessions that were opened, reset and closed."""
    seconds: float
    p50_ms: float
    p99_ms: float
    server_cpu_s: float
    server_waited_s: float
    """How long the server's threads were ready to run and had no core: 0 on a machine that does nothing else."""
    load_cpu_s: float
    request_bytes: int
    answer_bytes: int
    """Bytes of one request and of its answer, with all framing."""
    grown_kb: float = 0.0
    """Of ``hold``: how much the server's resident memory grew, in KB of 1024 bytes."""
    threads: int = 0
    """Of ``hold``: how many threads more the server has with the sessions than before."""
