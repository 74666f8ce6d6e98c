"""A lost socket is a lost session, said aloud, until reset() opens a new one."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable

import pytest

from openenv.client import EnvClient
from openenv.errors import DeadlineExceeded, ServerError, SessionLost
from tests.client.faulty import FaultyServer, Scripted, error, observation
from tests.support.local import until

Script = Callable[[Scripted], None]


def after_two(what: Script) -> Script:
    """A script that answers a reset and a step, reads the next frame, and then does this."""

    def script(connection: Scripted) -> None:
        for count in range(2):
            connection.read()
            connection.say(observation(count=count))
        connection.read()
        what(connection)

    return script


def reset_connection(connection: Scripted) -> None:
    connection.socket.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.cut()


def say_text(text: str | bytes) -> Script:
    def script(connection: Scripted) -> None:
        connection.socket.send(text)
        connection.read()

    return script


ENDINGS: dict[str, tuple[Script, str]] = {
    "cut": (Scripted.cut, "without a closing handshake"),
    "tcp reset": (reset_connection, "without a closing handshake"),
    "closed": (lambda connection: connection.socket.close(), "code 1000"),
    "restart": (lambda connection: connection.socket.close(1012, "service restart"), "code 1012: service restart"),
    "restart without a word": (lambda connection: connection.socket.close(1012), "code 1012: it is restarting"),
    "too big for the server": (lambda connection: connection.socket.close(1009), "larger than the server takes"),
    "too big for the client": (say_text('"' + "x" * 2**20 + '"'), "max_message_size_mb"),
    "no JSON": (say_text("hello?"), "not JSON"),
    "broken UTF-8": (say_text(b"\xff\xfe"), "not JSON"),
    "no frame": (say_text('["observation"]'), "no OpenEnv frame"),
    "no data": (say_text('{"type":"observation"}'), "no OpenEnv frame"),
    "wrong type": (say_text('{"type":"state","data":{}}'), "'state' where 'observation' was due"),
}


@pytest.mark.parametrize("ending", ENDINGS)
async def test_the_socket_ends_in_the_middle_of_a_step(faulty: FaultyServer, ending: str) -> None:
    what, why = ENDINGS[ending]
    faulty.play(after_two(what), Scripted.serve)
    client = EnvClient(faulty.url, max_message_size_mb=0.5)
    await client.reset()
    await client.step({"message": "a"})
    with pytest.raises(SessionLost, match=why):
        await client.step({"message": "b"})
    await still_lost_until_reset(client, faulty, why)


async def still_lost_until_reset(client: EnvClient, faulty: FaultyServer, why: str) -> None:
    for _ in range(2):
        with pytest.raises(SessionLost, match=why):
            await client.step({"message": "c"})
        with pytest.raises(SessionLost, match=why) as caught:
            await client.state()
        assert "reset()" in (caught.value.hint or "")
        with pytest.raises(SessionLost, match=why):
            await client.connect()
    assert len(faulty.requests) == 1
    assert (await client.reset()).observation["count"] == 0
    assert (await client.step({"message": "d"})).observation["count"] == 1
    assert len(faulty.requests) == 2
    await client.close()


async def test_the_socket_ends_between_two_steps(faulty: FaultyServer) -> None:
    def script(connection: Scripted) -> None:
        connection.read()
        connection.say(observation(count=0))
        connection.socket.close(1012, "service restart")

    faulty.play(script, Scripted.serve)
    client = EnvClient(faulty.url)
    await client.reset()
    await asyncio.to_thread(faulty.ended.acquire)
    with pytest.raises(SessionLost, match="1012: service restart"):
        await client.step({"message": "b"})
    await still_lost_until_reset(client, faulty, "1012: service restart")


async def test_a_reset_on_a_socket_that_ended_meanwhile_just_opens_another(faulty: FaultyServer) -> None:
    def script(connection: Scripted) -> None:
        connection.read()
        connection.say(observation(count=0))
        connection.say(error("SESSION_ERROR", "idle for too long"))
        connection.socket.close()

    faulty.play(script, Scripted.serve)
    async with EnvClient(faulty.url) as client:
        await client.reset()
        await asyncio.to_thread(faulty.ended.acquire)
        assert (await client.reset()).observation["count"] == 0
        assert (await client.step({"message": "x"})).observation["count"] == 1


async def test_the_reason_that_the_server_left_before_it_closed_is_told(faulty: FaultyServer) -> None:
    def script(connection: Scripted) -> None:
        connection.read()
        connection.say(observation(count=0))
        connection.say(error("SESSION_ERROR", "idle for too long"))
        connection.socket.close()

    faulty.play(script)
    client = EnvClient(faulty.url)
    await client.reset()
    await asyncio.to_thread(faulty.ended.acquire)
    with pytest.raises(SessionLost, match=r"idle for too long \(code: SESSION_ERROR\)"):
        await client.step({"message": "x"})
    await client.close()


async def test_an_answer_that_comes_too_late_costs_the_session(faulty: FaultyServer) -> None:
    faulty.play(after_two(lambda connection: connection.serve()), Scripted.serve)
    client = EnvClient(faulty.url, message_timeout_s=0.5)
    await client.reset()
    await client.step({"message": "a"})
    with pytest.raises(DeadlineExceeded, match=r"within 0\.5 s"):
        await client.step({"message": "b"})
    await still_lost_until_reset(client, faulty, "did not come within")


async def test_a_cancelled_call_costs_the_session(faulty: FaultyServer) -> None:
    faulty.play(after_two(lambda connection: connection.serve()), Scripted.serve)
    client = EnvClient(faulty.url)
    await client.reset()
    await client.step({"message": "a"})
    call = asyncio.ensure_future(client.step({"message": "b"}))
    await until(lambda: len(faulty.received[0]) == 3)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await still_lost_until_reset(client, faulty, "cancelled")


async def test_a_call_cancelled_while_it_waits_its_turn_costs_nothing(faulty: FaultyServer) -> None:
    async with EnvClient(faulty.url) as client:
        await client.reset()
        first, second = (asyncio.ensure_future(client.step({"message": name})) for name in "ab")
        await asyncio.sleep(0)  # both begin, the first one sends
        second.cancel()
        assert (await first).observation["count"] == 1
        with pytest.raises(asyncio.CancelledError):
            await second
        assert (await client.step({"message": "c"})).observation["count"] == 2


async def test_calls_that_queue_behind_a_lost_one_are_not_sent_to_a_new_world(faulty: FaultyServer) -> None:
    faulty.play(after_two(Scripted.cut), Scripted.serve)
    client = EnvClient(faulty.url)
    await client.reset()
    await client.step({"message": "a"})
    results = await asyncio.gather(*(client.step({"message": name}) for name in "bcd"), return_exceptions=True)
    assert [type(result) for result in results] == [SessionLost] * 3
    assert len(faulty.requests) == 1
    await client.close()


async def test_a_reset_that_the_new_world_refuses_leaves_the_old_one_lost(faulty: FaultyServer) -> None:
    def refusing(connection: Scripted) -> None:
        connection.read()
        connection.say(error("EXECUTION_ERROR", "no such seed"))
        connection.serve()

    faulty.play(after_two(Scripted.cut), refusing)
    async with EnvClient(faulty.url) as client:
        await client.reset()
        await client.step({"message": "a"})
        with pytest.raises(SessionLost):
            await client.step({"message": "b"})
        with pytest.raises(ServerError, match="no such seed"):
            await client.reset(seed=-1)
        with pytest.raises(SessionLost):
            await client.step({"message": "c"})
        await client.reset(seed=1)
        await client.step({"message": "d"})


def full(connection: Scripted) -> None:
    connection.say(error("CAPACITY_REACHED", "2/2 sessions active", active_sessions=2, max_sessions=2))
    connection.socket.close()


async def test_a_full_server_is_told_before_and_after_it_closed(faulty: FaultyServer) -> None:
    faulty.play(full, full, full, Scripted.serve)
    client = EnvClient(faulty.url)
    with pytest.raises(ServerError) as caught:
        await client.step({"message": "a"})  # connects: the refusal comes with the first operation
    assert caught.value.code == "CAPACITY_REACHED"
    assert caught.value.details == {"active_sessions": 2, "max_sessions": 2}
    await client.connect()
    faulty.ended.acquire()
    await asyncio.to_thread(faulty.ended.acquire)
    await asyncio.sleep(0.05)  # the close has arrived: sending fails, and the refusal is still to be read
    with pytest.raises(ServerError, match="2/2 sessions active"):
        await client.state()
    with pytest.raises(ServerError, match="2/2 sessions active"):
        await client.reset()
    assert (await client.step({"message": "b"})).observation["count"] == 1
    await client.close()


async def test_a_full_server_does_not_make_a_lost_session_forgotten(faulty: FaultyServer) -> None:
    faulty.play(after_two(Scripted.cut), full, Scripted.serve)
    client = EnvClient(faulty.url)
    await client.reset()
    await client.step({"message": "a"})
    with pytest.raises(SessionLost):
        await client.step({"message": "b"})
    with pytest.raises(ServerError, match="2/2"):
        await client.reset()
    with pytest.raises(SessionLost):
        await client.step({"message": "c"})
    await client.reset()
    await client.close()


async def test_an_attached_session_is_attached_to_again(faulty: FaultyServer) -> None:
    faulty.play(after_two(Scripted.cut), Scripted.serve)
    client = EnvClient(faulty.url, session_id="s1")
    await client.reset()
    await client.step({"message": "a"})
    with pytest.raises(SessionLost):
        await client.step({"message": "b"})
    with pytest.raises(SessionLost):
        await client.step({"message": "c"})
    await client.reset()
    await client.close()
    assert faulty.requests == ["/ws?session_id=s1"] * 2
    await asyncio.to_thread(faulty.ended.acquire)
    assert {"type": "close"} not in faulty.received[1]


async def test_connect_attaches_to_a_session_that_outlived_its_socket(faulty: FaultyServer) -> None:
    faulty.play(after_two(Scripted.cut), Scripted.serve)
    async with EnvClient(faulty.url, session_id="s1") as client:
        await client.reset()
        await client.step({"message": "a"})
        with pytest.raises(SessionLost):
            await client.step({"message": "b"})
        await client.connect()
        await client.step({"message": "c"})
    assert [frame["type"] for frame in faulty.received[1]] == ["step"]
