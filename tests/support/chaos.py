"""A TCP proxy on 127.0.0.1 that makes trouble: it cuts connections in the middle of a byte stream, stalls and delays them."""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

__all__ = ["ChaosProxy", "Trouble", "chaos"]


@dataclass(frozen=True)
class Trouble:
    """How much of it, and of which kinds. What happens when is decided by the seed, as far as the traffic is the same."""

    seed: int = 0
    mean_bytes: float = 40_000
    """How many bytes pass, both ways together, before a connection is cut: exponentially distributed."""
    least_bytes: float = 0
    """So many pass in any case: enough of them let every handshake succeed."""
    stalls: float = 0.05
    """The share of connections that fall silent instead: nothing passes any more, and neither side is told."""
    longest_delay_s: float = 0.002
    """Each piece is held back for up to this long."""


@dataclass
class ChaosProxy:
    """A running proxy. Every count is of what has happened so far."""

    port: int
    target: int
    trouble: Trouble
    connections: int = 0
    cuts: int = 0
    stalls: int = 0
    calm: bool = False
    """While it is true, nothing but the forwarding happens to new connections."""
    down: bool = False
    """While it is true, connections are ended as soon as they are made."""
    writers: set[asyncio.StreamWriter] = field(default_factory=set)
    chance: random.Random = field(default_factory=random.Random)
    loop: asyncio.AbstractEventLoop | None = None

    @property
    def url(self) -> str:
        """What a client connects to."""
        return f"http://127.0.0.1:{self.port}"

    def cut_all(self) -> None:
        """End every connection now, from any thread."""
        assert self.loop is not None
        done = threading.Event()

        def cut() -> None:
            for writer in self.writers:
                writer.transport.abort()
            done.set()

        self.loop.call_soon_threadsafe(cut)
        done.wait()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forward one connection for as long as it is left alone."""
        self.connections += 1
        try:
            if not self.down:
                await self._forward(reader, writer)
        except OSError:
            pass  # the server is not there
        finally:
            writer.transport.abort()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream_reader, upstream = await asyncio.open_connection("127.0.0.1", self.target)
        ends = {writer, upstream}
        self.writers |= ends
        drawn = self.trouble.least_bytes + self.chance.expovariate(1 / self.trouble.mean_bytes)
        budget = float("inf") if self.calm else drawn
        link = _Link(self, budget, stalls=not self.calm and self.chance.random() < self.trouble.stalls)
        pumps = [
            asyncio.ensure_future(link.pump(reader, upstream)),
            asyncio.ensure_future(link.pump(upstream_reader, writer)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            self.writers -= ends
            upstream.transport.abort()


@dataclass
class _Link:
    """One connection's luck."""

    proxy: ChaosProxy
    budget: float
    stalls: bool
    silent: bool = False

    async def pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Copy until the end, or until the luck runs out: then a part of the last piece still passes."""
        with contextlib.suppress(OSError):
            while piece := await reader.read(65536):
                if self.silent:
                    continue
                if self.proxy.trouble.longest_delay_s and not self.proxy.calm:
                    await asyncio.sleep(self.proxy.chance.uniform(0, self.proxy.trouble.longest_delay_s))
                writer.write(piece[: int(min(self.budget, len(piece)))])
                self.budget -= len(piece)
                await writer.drain()
                if self.budget > 0:
                    continue
                if not self.stalls:
                    self.proxy.cuts += 1
                    return
                if not self.silent:
                    self.silent = True
                    self.proxy.stalls += 1


@contextmanager
def chaos(target: int, trouble: Trouble | None = None) -> Iterator[ChaosProxy]:
    """A `ChaosProxy` in front of the server on port ``target``, in a thread of its own, stopped at the end."""
    proxy = ChaosProxy(0, target, trouble or Trouble())
    proxy.chance.seed(proxy.trouble.seed)
    ready, stop = threading.Event(), asyncio.Event()

    async def serve() -> None:
        server = await asyncio.start_server(proxy.handle, "127.0.0.1", 0)
        proxy.port = server.sockets[0].getsockname()[1]
        proxy.loop = asyncio.get_running_loop()
        ready.set()
        await stop.wait()
        server.close()
        for writer in list(proxy.writers):
            writer.transport.abort()
        await asyncio.sleep(0.05)  # the connections' tasks end by themselves

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        assert ready.wait(10)
        yield proxy
    finally:
        if proxy.loop is not None:
            proxy.loop.call_soon_threadsafe(stop.set)
        thread.join()
