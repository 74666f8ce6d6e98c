"""The load generator: its own process, which keeps one step in flight on each of N sockets and counts.

Prints one JSON object: steps counted in the window, its length in seconds, latencies in milliseconds, the CPU seconds that the
server and this process used in it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import time
from array import array
from pathlib import Path
from typing import TypedDict

import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

__all__ = ["Measurement", "cpu_seconds"]

_CONNECTING_AT_ONCE = 16
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class Measurement(TypedDict):
    """What one run of the load generator saw."""

    steps: int
    seconds: float
    p50_ms: float
    p99_ms: float
    server_cpu_s: float
    load_cpu_s: float


def cpu_seconds(pid: int) -> float:
    """User and system time that a process and its threads have used, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND


class Load:
    """What the sockets of one run share: the frame to send, the window, and the latencies seen in it."""

    def __init__(self, frame: bytes, expected: bytes) -> None:
        self.frame = frame
        self.expected = expected
        self.latencies = array("q")
        self.counting = False
        self.stopping = False
        self.failure: str | None = None


class Client(WSListener):
    """One session: resets when it is connected, then steps, each step as soon as the one before is answered."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.transport: WSTransport | None = None
        self.sent_ns = 0

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Reset."""
        self.transport = transport
        transport.send(WSMsgType.TEXT, b'{"type":"reset"}')

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Count the answer and send the next step."""
        now = time.perf_counter_ns()
        if frame.msg_type != WSMsgType.TEXT:
            return
        if not self.ready.done():
            self.ready.set_result(None)
            return
        load = self.load
        if load.expected not in frame.get_payload_as_bytes():
            load.failure = frame.get_payload_as_utf8_text()[:300]
            load.stopping = True
        if load.counting:
            load.latencies.append(now - self.sent_ns)
        if load.stopping:
            transport.disconnect()
        else:
            self.step()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """Say that it is over; too early is a failure."""
        if not self.load.stopping:
            self.load.failure = "the server closed a socket"
        if not self.ready.done():
            self.ready.set_exception(ConnectionError("the server closed a socket before it answered the reset"))
        self.ended.set_result(None)

    def step(self) -> None:
        """Send one step."""
        assert self.transport is not None
        self.sent_ns = time.perf_counter_ns()
        self.transport.send(WSMsgType.TEXT, self.load.frame)


async def measure(
    url: str, sessions: int, seconds: float, load: Load, server_pid: int, token: str | None = None
) -> Measurement:
    """Connect all sessions, warm up, and measure for ``seconds``. Raises `RuntimeError` when an answer was wrong."""
    connecting = asyncio.Semaphore(_CONNECTING_AT_ONCE)
    headers = {"Authorization": f"Bearer {token}"} if token is not None else None

    async def connect() -> Client:
        async with connecting:
            _, client = await ws_connect(lambda: Client(load), url, websocket_handshake_timeout=30, extra_headers=headers)
            assert isinstance(client, Client)
            await asyncio.wait_for(client.ready, 30)
            return client

    clients = await asyncio.gather(*(connect() for _ in range(sessions)))
    for client in clients:
        client.step()
    await asyncio.sleep(min(0.5, seconds / 4))

    load.counting = True
    started, server_cpu, load_cpu = time.perf_counter(), cpu_seconds(server_pid), time.process_time()
    await asyncio.sleep(seconds)
    elapsed = time.perf_counter() - started
    server_cpu, load_cpu = cpu_seconds(server_pid) - server_cpu, time.process_time() - load_cpu
    load.counting = False

    load.stopping = True
    await asyncio.wait_for(asyncio.gather(*(client.ended for client in clients)), 30)
    if load.failure is not None:
        raise RuntimeError(f"{url}: {load.failure}")
    latencies = sorted(load.latencies)
    return Measurement(
        steps=len(latencies),
        seconds=elapsed,
        p50_ms=latencies[len(latencies) // 2] / 1e6,
        p99_ms=latencies[len(latencies) * 99 // 100] / 1e6,
        server_cpu_s=server_cpu,
        load_cpu_s=load_cpu,
    )


def main() -> None:
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--sessions", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--server-pid", type=int, required=True)
    parser.add_argument("--token", help="a bearer token for every socket")
    options = parser.parse_args()
    load = Load(frame=b'{"type":"step","data":{"message":"hello from the benchmark"}}', expected=b"hello from the benchmark")
    running = measure(options.url, options.sessions, options.seconds, load, options.server_pid, options.token)
    print(json.dumps(uvloop.run(running)))


if __name__ == "__main__":
    main()
