"""What is answered in one turn of the loop leaves in one go, in order, and never waits for long."""

from __future__ import annotations

import asyncio

import pytest

from openenv.server.outbox import Outbox


class Wire(asyncio.Transport):
    def __init__(self, sent: list[bytes]) -> None:
        super().__init__()
        self.sent = sent
        self.closing = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent.append(bytes(data))

    def is_closing(self) -> bool:
        return self.closing


@pytest.fixture
def sent() -> list[bytes]:
    return []


async def test_frames_of_several_sockets_leave_in_order_at_the_end_of_the_turn(sent: list[bytes]) -> None:
    outbox = Outbox()
    one, other = Wire(sent), Wire(sent)
    for wire, frame in [(one, b"1"), (other, b"2"), (one, b"3")]:
        outbox.put(wire, frame)
    assert sent == []
    await asyncio.sleep(0)
    assert sent == [b"1", b"2", b"3"]
    outbox.put(other, b"4")
    await asyncio.sleep(0)
    assert sent[3:] == [b"4"]


async def test_one_that_must_not_wait_takes_along_what_waits(sent: list[bytes]) -> None:
    outbox = Outbox()
    outbox.put(Wire(sent), b"1")
    outbox.put(Wire(sent), b"2", at_once=True)
    assert sent == [b"1", b"2"]
    long = b"x" * (Outbox.LONGEST + 1)
    outbox.put(Wire(sent), b"3")
    outbox.put(Wire(sent), long)
    assert sent[2:] == [b"3", long]
    await asyncio.sleep(0)
    assert len(sent) == 4


async def test_no_more_wait_than_the_bound(sent: list[bytes]) -> None:
    outbox = Outbox()
    for number in range(Outbox.AT_ONCE + 1):
        outbox.put(Wire(sent), bytes((number,)))
    assert len(sent) == Outbox.AT_ONCE
    await asyncio.sleep(0)
    assert b"".join(sent) == bytes(range(Outbox.AT_ONCE + 1))


async def test_what_is_for_a_closed_socket_is_dropped_and_the_rest_is_sent(sent: list[bytes]) -> None:
    outbox = Outbox()
    gone = Wire(sent)
    outbox.put(gone, b"1")
    outbox.put(Wire(sent), b"2")
    gone.closing = True
    await asyncio.sleep(0)
    assert sent == [b"2"]


async def test_an_event_loop_has_one(sent: list[bytes]) -> None:
    assert Outbox.of(asyncio.get_running_loop()) is Outbox.of(asyncio.get_running_loop())
