"""Plays conversations on blocking sockets that epoll says are ready: per step one wait shared by many, one read, one write.

No event loop, no task, no parser in the way of a right answer: the cheaper the load, the more of the machine is the server's.
"""

from __future__ import annotations

import select
import socket
import time
from array import array
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

from benchmarks.load.talk import Talk
from benchmarks.load.wire import PING, PONG, Reader, Script, WrongAnswer, frame, take_frame

__all__ = ["Connects", "Line", "Steps", "Tended", "connect", "converse"]

_PATIENCE_S = 60.0
_READ_AT_ONCE = 1 << 16


def connect(url: str) -> socket.socket:
    """A connection to the server at ``url``."""
    address = urlsplit(url)
    opened = socket.create_connection((address.hostname or "", address.port or 0), timeout=_PATIENCE_S)
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return opened


def converse(opened: socket.socket, script: Script) -> None:
    """Play one script to its end."""
    buffer = bytearray()
    try:
        data, reader = next(script)
        while True:
            opened.sendall(data)
            while (answer := reader(buffer)) is None:
                got = opened.recv(_READ_AT_ONCE)
                if not got:
                    raise WrongAnswer("the server closed the connection", bytes(buffer))
                buffer += got
                _answer_pings(opened, buffer)
            data, reader = script.send(answer)
    except StopIteration:
        _answer_pings(opened, buffer)


def _answer_pings(opened: socket.socket, buffer: bytearray) -> None:
    """Answer the pings at the beginning of what came, and leave the rest. No HTTP response begins like one."""
    while buffer and buffer[0] == 0x80 | PING and (found := take_frame(buffer)) is not None:
        opened.sendall(frame(found[1], PONG))


class Tended:
    """Connections that are left alone, while others are opened, for so long that servers ask whether they are still there."""

    _EVERY = 100

    def __init__(self) -> None:
        self._lines: dict[int, Line] = {}
        self._epoll = select.epoll()

    def add(self, line: Line) -> None:
        """Tend to this one too; now and then also to all the others."""
        self._lines[line.socket.fileno()] = line
        self._epoll.register(line.socket.fileno(), select.EPOLLIN)
        if len(self._lines) % self._EVERY == 0:
            self.tend()

    def tend(self) -> None:
        """Answer the pings that have come."""
        for fd, _ in self._epoll.poll(0):
            line = self._lines[fd]
            data = line.socket.recv(_READ_AT_ONCE)
            if not data:
                raise WrongAnswer("the server closed a connection", line.rest)
            line.rest, reply = line.talk.more(line.rest + data)
            line.socket.sendall(reply)

    def close(self) -> None:
        """They are on their own again."""
        self._epoll.close()


class Line:
    """One connection: its socket and its talk, what has come of an answer, and when the question was asked."""

    __slots__ = ("asked_ns", "rest", "socket", "talk")

    def __init__(self, opened: socket.socket, talk: Talk) -> None:
        self.socket = opened
        self.talk = talk
        self.rest = b""
        self.asked_ns = 0

    def ask(self) -> None:
        """Send the next request."""
        request = self.talk.ask()
        self.asked_ns = time.perf_counter_ns()
        self.socket.sendall(request)


class Steps:
    """Lines that each keep one request in flight, and the latencies of those that were answered while it counts."""

    def __init__(self, lines: Sequence[Line]) -> None:
        self.latencies = array("q")
        self.steps = 0
        self._lines = {line.socket.fileno(): line for line in lines}
        self._epoll = select.epoll()
        for fd in self._lines:
            self._epoll.register(fd, select.EPOLLIN)
        self._waiting = 0

    def begin(self) -> None:
        """Send every line's first request."""
        for line in self._lines.values():
            line.ask()
        self._waiting = len(self._lines)

    def play(self, seconds: float, *, counting: bool) -> None:
        """Ask again whenever an answer comes, for that long."""
        end = time.perf_counter() + seconds
        while (left := end - time.perf_counter()) > 0:
            self._take(left, counting=counting, asking=True)

    def end(self) -> None:
        """Wait for the answers that are still to come."""
        patient_until = time.perf_counter() + _PATIENCE_S
        while self._waiting:
            if time.perf_counter() > patient_until:
                raise WrongAnswer(f"no answer within {_PATIENCE_S:.0f} s", f"{self._waiting} connections wait")
            self._take(1.0, counting=False, asking=False)

    def step_each(self) -> None:
        """One counted step on every line."""
        self.begin()
        patient_until = time.perf_counter() + _PATIENCE_S
        while self._waiting and time.perf_counter() < patient_until:
            self._take(1.0, counting=True, asking=False)

    def _take(self, timeout: float, *, counting: bool, asking: bool) -> None:
        lines, clock = self._lines, time.perf_counter_ns
        for fd, _ in self._epoll.poll(timeout):
            line = lines[fd]
            talk = line.talk
            data = line.socket.recv(talk.chunk)
            now = clock()
            if not data:
                raise WrongAnswer("the server closed a connection", line.rest)
            if line.rest:
                data = line.rest + data
                line.rest = b""
            if not talk.right(data):
                data, reply = talk.more(data)
                if reply:
                    line.socket.sendall(reply)
                if not talk.right(data):
                    line.rest = data
                    continue
            if counting:
                self.latencies.append(now - line.asked_ns)
                self.steps += talk.steps
            if asking:
                request = talk.ask()
                line.asked_ns = clock()
                line.socket.sendall(request)
            else:
                self._waiting -= 1


class Connects:
    """Some lives at once, each of which connects, resets, closes, and is followed by the next one."""

    def __init__(self, url: str, make: Callable[[], Talk], at_once: int) -> None:
        self.latencies = array("q")
        self._url, self._make = url, make
        self._epoll = select.epoll()
        self._lives: dict[int, _Life] = {}
        for _ in range(at_once):
            self._begin()

    def _begin(self) -> None:
        life = _Life(connect(self._url), self._make())
        self._lives[life.socket.fileno()] = life
        self._epoll.register(life.socket.fileno(), select.EPOLLIN)

    def close(self) -> None:
        """Close what a failure left open."""
        for life in self._lives.values():
            life.socket.close()

    def play(self, seconds: float, *, counting: bool, again: bool = True) -> None:
        """Go on for that long; with ``again`` false only until all have ended."""
        end = time.perf_counter() + seconds
        while self._lives and (left := end - time.perf_counter()) > 0:
            for fd, _ in self._epoll.poll(left):
                life = self._lives[fd]
                if life.goes_on():
                    continue
                self._epoll.unregister(fd)
                del self._lives[fd]
                life.socket.close()
                if counting:
                    self.latencies.append(time.perf_counter_ns() - life.began_ns)
                if again:
                    self._begin()
        if not again and self._lives:
            raise WrongAnswer(f"not ended within {seconds:.0f} s", f"{len(self._lives)} connections")


class _Life:
    def __init__(self, opened: socket.socket, talk: Talk) -> None:
        self.began_ns = time.perf_counter_ns()
        self.socket = opened
        self._script = _both(talk)
        self._buffer = bytearray()
        self._reader: Reader
        data, self._reader = next(self._script)
        self.socket.sendall(data)

    def goes_on(self) -> bool:
        """Take what has come; false once the script is at its end."""
        got = self.socket.recv(_READ_AT_ONCE)
        if not got:
            raise WrongAnswer("the server closed the connection", bytes(self._buffer))
        self._buffer += got
        while (answer := self._reader(self._buffer)) is not None:
            try:
                data, self._reader = self._script.send(answer)
            except StopIteration:
                return False
            if data:
                self.socket.sendall(data)
        return True


def _both(talk: Talk) -> Script:
    yield from talk.opening()
    yield from talk.closing()
