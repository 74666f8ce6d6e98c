"""What goes wrong with OpenEnv 0.10's client, as the exceptions that its callers catch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from openenv import errors
from openenv.core.generic_client import GenericEnvClient
from tests.client.faulty import FaultyServer, Scripted, error
from tests.core.clients import EchoClient, Say
from tests.support.processes import Server


def test_an_error_of_the_server_is_a_runtime_error_and_the_session_goes_on(echo: Server) -> None:
    with GenericEnvClient(base_url=echo.url) as client:
        client.reset()
        with pytest.raises(RuntimeError) as caught:
            client.step({"massage": "x"})
        assert str(caught.value) == f"Server error: {caught.value.message} (code: VALIDATION_ERROR)"  # type: ignore[attr-defined]
        assert isinstance(caught.value, errors.ServerError)
        assert caught.value.code == "VALIDATION_ERROR"
        assert caught.value.errors
        assert client.step({"message": "x"}).reward == 0.1


async def test_a_refusal_shows_with_the_first_operation(faulty: FaultyServer) -> None:
    def refuse(connection: Scripted) -> None:
        connection.say(error("CAPACITY_REACHED", "Server at capacity", active_sessions=1, max_sessions=1))
        connection.socket.close()

    faulty.play(refuse, refuse, Scripted.serve)
    client = GenericEnvClient(base_url=faulty.url)
    await client.connect()
    for _ in range(2):
        with pytest.raises(RuntimeError, match=r"^Server error: Server at capacity \(code: CAPACITY_REACHED\)$"):
            await client.reset()
    await client.reset()
    await client.close()


async def test_nobody_listens(free_port: int) -> None:
    with pytest.raises(ConnectionError, match=str(free_port)) as caught:
        await GenericEnvClient(base_url=f"http://127.0.0.1:{free_port}").connect()
    assert isinstance(caught.value, errors.ConnectionFailed)


def test_nobody_listens_to_a_blocking_client(free_port: int) -> None:
    with pytest.raises(ConnectionError), GenericEnvClient(base_url=f"http://127.0.0.1:{free_port}"):
        pass


async def test_an_answer_too_late_costs_the_session(faulty: FaultyServer) -> None:
    faulty.play(Scripted.stay_silent, Scripted.serve)
    async with GenericEnvClient(base_url=faulty.url, message_timeout_s=0.1) as client:
        with pytest.raises(TimeoutError) as caught:
            await client.step({"message": "x"})
        assert isinstance(caught.value, errors.DeadlineExceeded)
        with pytest.raises(errors.SessionLost, match="did not come"):
            await client.state()
        assert (await client.reset()).observation["echoed"] == "ready"


ENDS: dict[str, Callable[[Scripted], None]] = {"cut": Scripted.cut, "closed": lambda connection: connection.socket.close(1012)}


@pytest.mark.parametrize("end", ENDS)
async def test_a_lost_socket_is_a_lost_session(faulty: FaultyServer, end: str) -> None:
    def script(connection: Scripted) -> None:
        connection.read()
        connection.say({"type": "observation", "data": {"observation": {}, "reward": None, "done": False}})
        connection.read()
        ENDS[end](connection)

    faulty.play(script, Scripted.serve)
    client = GenericEnvClient(base_url=faulty.url)
    await client.reset()
    for _ in range(3):
        with pytest.raises(errors.SessionLost) as caught:
            await client.step({"message": "x"})
        assert isinstance(caught.value, ConnectionError)
    assert len(faulty.requests) == 1, "no new session behind the caller's back"
    assert (await client.reset()).observation["echoed"] == "ready"
    await client.close()


async def test_after_close_only_connect_and_reset_open_a_session(echo: Server) -> None:
    client = EchoClient(base_url=echo.url)
    await client.reset()
    await client.close()
    with pytest.raises(errors.SessionLost, match="closed"):
        await client.step(Say(message="x"))
    await client.connect()
    assert (await client.step(Say(message="x"))).observation.length == 1
    await client.close()


BAD_SETTINGS: dict[str, dict[str, Any]] = {
    "base_url or provider": {},
    "Invalid mode": {"base_url": "http://test", "mode": "demo"},
    "scheme": {"base_url": "ftp://test"},
    "message_timeout_s": {"base_url": "http://test", "message_timeout_s": -1},
}


@pytest.mark.parametrize("why", BAD_SETTINGS)
def test_what_makes_no_sense_is_a_value_error(why: str) -> None:
    with pytest.raises(ValueError, match=why) as caught:
        GenericEnvClient(**BAD_SETTINGS[why])
    assert isinstance(caught.value, errors.ConfigurationError)


def test_the_mode_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENENV_CLIENT_MODE", "PRODUCTION")
    GenericEnvClient(base_url="http://test")
    monkeypatch.setenv("OPENENV_CLIENT_MODE", "demo")
    with pytest.raises(ValueError, match="OPENENV_CLIENT_MODE"):
        GenericEnvClient(base_url="http://test")
    GenericEnvClient(base_url="http://test", mode="simulation")


async def test_headers_go_with_the_handshake(faulty: FaultyServer) -> None:
    async with GenericEnvClient(base_url=faulty.url, headers={"Authorization": "Bearer x"}):
        pass
    assert faulty.headers[0]["authorization"] == "Bearer x"


async def test_the_frames_are_the_dialects(faulty: FaultyServer) -> None:
    async with GenericEnvClient(base_url=faulty.url) as client:
        await client.reset(seed=4, episode_id="e", task="t")
        await client.step({"message": "a"}, timeout_s=9)
        await client.state()
    assert faulty.ended.acquire(timeout=5)
    assert faulty.received[0] == [
        {"type": "reset", "data": {"seed": 4, "episode_id": "e", "task": "t"}},
        {"type": "step", "data": {"message": "a"}},
        {"type": "state"},
        {"type": "close"},
    ]
