"""Carries out one order."""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from itertools import pairwise
from socket import SHUT_WR

from benchmarks.load.dialects import DIALECTS
from benchmarks.load.engine import Connects, Line, Steps, Tended, connect, converse
from benchmarks.load.order import Measurement, Order
from benchmarks.load.processor import Usage, resident_kb, threads, usage
from benchmarks.load.talk import Talk

__all__ = ["carry_out"]

_LONGEST_WARM_UP_S = 0.2
_LONGEST_WINDOW_S = 10.0
"""A window goes on for that long beyond its time while there are fewer answers than connections."""
_SETTLE_S = 0.5
_LIVES_AT_ONCE = 16


def carry_out(order: Order) -> Measurement:
    """Measure. Raises `WrongAnswer` when an answer was not the right one, ``OSError`` when a connection failed."""
    return {"steps": _steps, "connects": _connects, "hold": _hold}[order.kind](order)


def _talks(order: Order) -> list[Talk]:
    make, connections = DIALECTS[order.dialect], order.connections or order.sessions
    bounds = [order.sessions * place // connections for place in range(connections + 1)]
    return [make(order, range(first, last)) for first, last in pairwise(bounds)]


@contextmanager
def _opened(order: Order) -> Iterator[list[Line]]:
    """Connections with their sessions, which have stepped once. They are closed politely, and the server has hung up when this
    ends: what it still has to do must not fall into the next measurement. After a failure they are only closed.
    """
    with ExitStack() as sockets, closing(Tended()) as tended:
        lines = []
        for talk in _talks(order):
            line = Line(sockets.enter_context(connect(order.url)), talk)
            lines.append(line)
            converse(line.socket, talk.opening())
            converse(line.socket, talk.learning())
            if talk.outlives:
                line.socket.close()
            else:
                tended.add(line)
        for line in lines:
            if line.talk.outlives:
                line.socket = sockets.enter_context(connect(order.url))
        yield lines
        for line in lines:
            _close(line, order.url)
        for line in lines:
            with suppress(OSError):
                line.socket.shutdown(SHUT_WR)
                while line.socket.recv(4096):
                    pass


def _close(line: Line, url: str) -> None:
    if line.talk.outlives:
        line.socket.close()
        with connect(url) as another:
            converse(another, line.talk.closing())
    else:
        converse(line.socket, line.talk.closing())


def _steps(order: Order) -> Measurement:
    with _opened(order) as lines:
        steps = Steps(lines)
        steps.begin()
        steps.play(min(_LONGEST_WARM_UP_S, order.seconds / 4), counting=False)
        window = _window(order, lambda: _long_enough(steps.play, order.seconds, steps.latencies, len(lines)))
        steps.end()
        sizes = len(lines[0].talk.ask()), lines[0].talk.answer_bytes
    return _measurement(steps.steps, steps.latencies, window, sizes)


def _long_enough(play: Callable[..., None], seconds: float, latencies: array[int], least: int) -> None:
    """Play for that long, and on while there are fewer answers than ``least``."""
    play(seconds, counting=True)
    patient_until = time.perf_counter() + _LONGEST_WINDOW_S
    while len(latencies) < least and time.perf_counter() < patient_until:
        play(seconds / 4, counting=True)


def _connects(order: Order) -> Measurement:
    make = DIALECTS[order.dialect]
    with closing(Connects(order.url, lambda: make(order, range(1)), _LIVES_AT_ONCE)) as lives:
        lives.play(min(_LONGEST_WARM_UP_S, order.seconds / 4), counting=False)
        window = _window(order, lambda: _long_enough(lives.play, order.seconds, lives.latencies, _LIVES_AT_ONCE))
        lives.play(_LONGEST_WINDOW_S, counting=False, again=False)
    return _measurement(len(lives.latencies), lives.latencies, window, (0, 0))


def _hold(order: Order) -> Measurement:
    """Open sessions, step each once, let them be, look at the server's memory, and see that each still answers."""
    kb, count = resident_kb(order.server_pids), threads(order.server_pids)
    with _opened(order) as lines:
        time.sleep(_SETTLE_S)
        grown, more = resident_kb(order.server_pids) - kb, threads(order.server_pids) - count
        steps = Steps(lines)
        window = _window(order, steps.step_each)
        size = lines[0].talk.answer_bytes
    seen = _measurement(steps.steps, steps.latencies, window, (0, size))
    return Measurement(**{**vars(seen), "grown_kb": grown, "threads": more})


class _Window:
    def __init__(self, seconds: float, server: Usage, load_s: float) -> None:
        self.seconds, self.server, self.load_s = seconds, server, load_s


def _window(order: Order, play: Callable[[], None]) -> _Window:
    began, load, before = time.perf_counter(), time.process_time(), usage(order.server_pids)
    play()
    after, elapsed = usage(order.server_pids), time.perf_counter() - began
    server = Usage(after.ran_s - before.ran_s, after.waited_s - before.waited_s)
    return _Window(elapsed, server, time.process_time() - load)


def _measurement(done: int, latencies: array[int], window: _Window, sizes: tuple[int, int]) -> Measurement:
    if not latencies:
        raise RuntimeError("nothing was answered in the window; let it be longer")
    ordered = sorted(latencies)
    return Measurement(
        done=done,
        seconds=window.seconds,
        p50_ms=ordered[len(ordered) // 2] / 1e6,
        p99_ms=ordered[len(ordered) * 99 // 100] / 1e6,
        server_cpu_s=window.server.ran_s,
        server_waited_s=window.server.waited_s,
        load_cpu_s=window.load_s,
        request_bytes=sizes[0],
        answer_bytes=sizes[1],
    )
