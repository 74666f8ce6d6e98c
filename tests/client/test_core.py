from __future__ import annotations

import asyncio
import gc
import socket
from typing import Any

import pytest
from pydantic import BaseModel

from openenv.client import EnvClient, GenericAction, GenericEnvClient
from openenv.errors import (
    ConfigurationError,
    ConnectionFailed,
    DeadlineExceeded,
    OpenEnvError,
    ServerError,
    SessionLost,
    ValidationFailed,
)
from openenv.types import Action, Observation, State
from tests.client.faulty import FaultyServer, Scripted, error, observation


class Say(Action):
    message: str


class SayLoud(Say):
    volume: int = 11


class Heard(Observation):
    echoed: str
    count: int


class Talk(EnvClient[Say, Heard, State]):
    observation_type = Heard
    state_type = State


async def test_verbs(faulty: FaultyServer) -> None:
    async with EnvClient(faulty.url) as client:
        first = await client.reset(seed=7, episode_id="e1")
        assert (first.observation["echoed"], first.reward, first.done) == ("ready", 0.5, False)
        assert (await client.step({"message": "hi"})).observation["count"] == 1
        assert await client.state() == {"episode_id": None, "step_count": 1}
    assert faulty.received == [
        [
            {"type": "reset", "data": {"seed": 7, "episode_id": "e1"}},
            {"type": "step", "data": {"message": "hi"}},
            {"type": "state"},
            {"type": "close"},
        ]
    ]


async def test_typed_results_carry_reward_and_done(faulty: FaultyServer) -> None:
    async with Talk(faulty.url) as client:
        result = await client.step(Say(message="hi"))
        assert result.observation == Heard(echoed="hi", count=1, reward=0.5)
        assert await client.state() == State(step_count=1)


async def test_subclass_fields_of_an_action_are_sent(faulty: FaultyServer) -> None:
    class Holder(BaseModel):
        message: str = "held"
        inner: Say

    async with GenericEnvClient(faulty.url) as client:
        await client.step(SayLoud(message="a"))
        await client.step(Holder(inner=SayLoud(message="b")))
        await client.step(GenericAction(message="c", deep={"x": [1]}))
    sent = [frame["data"] for frame in faulty.received[0][:-1]]
    assert sent == [
        {"metadata": {}, "message": "a", "volume": 11},
        {"message": "held", "inner": {"metadata": {}, "message": "b", "volume": 11}},
        {"message": "c", "deep": {"x": [1]}},
    ]


@pytest.mark.parametrize("action", ["text", 5, None, {"message": object()}])
async def test_an_action_that_is_none_is_refused_before_it_is_sent(faulty: FaultyServer, action: Any) -> None:
    async with EnvClient(faulty.url) as client:
        with pytest.raises(ValidationFailed):
            await client.step(action)
        await client.step({"message": "still here"})
    assert len(faulty.received[0]) == 2


async def test_an_observation_of_another_type_is_told_and_the_session_stays(faulty: FaultyServer) -> None:
    def script(connection: Scripted) -> None:
        connection.read()
        connection.say(observation(echoed=[]))
        connection.serve()

    faulty.play(script)
    async with Talk(faulty.url) as client:
        with pytest.raises(ValidationFailed, match=r"does not fit Heard: observation\.echoed"):
            await client.reset()
        assert (await client.step(Say(message="x"))).observation.count == 1


async def test_metadata_is_beside_the_observation(faulty: FaultyServer) -> None:
    def script(connection: Scripted) -> None:
        connection.read()
        frame = observation()
        frame["data"]["metadata"] = {"k": 1}
        connection.say(frame)

    faulty.play(script)
    client = GenericEnvClient(faulty.url)
    assert (await client.reset()).metadata == {"k": 1}
    await client.close()


async def test_hooks_may_be_overridden(faulty: FaultyServer) -> None:
    class Shout(EnvClient[str, str, int]):
        def _step_payload(self, action: str) -> dict[str, Any]:
            return {"message": action.upper()}

        def _parse_state(self, data: dict[str, Any]) -> int:
            return int(data["step_count"])

    async with Shout(faulty.url) as client:
        await client.step("hi")
        assert await client.state() == 1
    assert faulty.received[0][0]["data"] == {"message": "HI"}


async def test_headers_and_path_and_session_reach_the_server(faulty: FaultyServer) -> None:
    async with EnvClient(f"{faulty.url}/a/", headers={"x-access-token": "t"}, session_id="s 1") as client:
        await client.reset()
    assert faulty.requests == ["/a/ws?session_id=s+1"]
    assert faulty.headers[0]["x-access-token"] == "t"


async def test_concurrent_calls_are_served_in_order(faulty: FaultyServer) -> None:
    async with Talk(faulty.url) as client:
        await client.reset()
        results = await asyncio.gather(*(client.step(Say(message=str(number))) for number in range(20)))
    assert [(result.observation.echoed, result.observation.count) for result in results] == [
        (str(number), number + 1) for number in range(20)
    ]


async def test_error_frames_keep_the_session(faulty: FaultyServer) -> None:
    def script(connection: Scripted) -> None:
        connection.read()
        connection.say(
            error("VALIDATION_ERROR", "bad", errors=[{"loc": ["message"]}], field="message", hint="h", example=1, extra=2)
        )
        connection.serve()

    faulty.play(script)
    async with EnvClient(faulty.url) as client:
        with pytest.raises(RuntimeError, match=r"Server error: bad \(code: VALIDATION_ERROR\)") as caught:
            await client.step({})
        failure = caught.value
        assert isinstance(failure, ServerError)
        assert (failure.code, failure.field, failure.hint, failure.example) == ("VALIDATION_ERROR", "message", "h", 1)
        assert failure.errors == [{"loc": ["message"]}]
        assert failure.details == {"extra": 2}
        assert (await client.step({"message": "on"})).observation["echoed"] == "on"


async def test_an_error_frame_of_a_hostile_shape_is_still_typed(faulty: FaultyServer) -> None:
    def script(connection: Scripted) -> None:
        connection.read()
        connection.say({"type": "error", "data": {"code": 5, "message": None, "errors": "x", "hint": [], "field": {}}})
        connection.serve()

    faulty.play(script)
    async with EnvClient(faulty.url) as client:
        with pytest.raises(ServerError) as caught:
            await client.reset()
    assert (caught.value.code, caught.value.hint, caught.value.errors) == ("INTERNAL_ERROR", None, None)


async def test_nobody_there(free_port: int) -> None:
    client = EnvClient(f"ws://127.0.0.1:{free_port}")
    with pytest.raises(ConnectionFailed, match="Cannot connect"):
        await client.reset()
    with pytest.raises(ConnectionFailed):
        await client.step({})


async def test_loopback_ignores_proxies(faulty: FaultyServer, free_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port}")
    monkeypatch.delenv("no_proxy", raising=False)
    async with EnvClient(faulty.url) as client:
        result = await client.reset()
    assert result.observation["echoed"] == "ready"
    assert faulty.requests == ["/ws"]


async def test_a_handshake_that_never_ends() -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:  # takes connections, and never reads
        client = EnvClient(f"ws://127.0.0.1:{deaf.getsockname()[1]}", connect_timeout_s=0.05)
        with pytest.raises(DeadlineExceeded, match=r"within 0\.05 s"):
            await client.connect()


async def test_a_server_that_refuses_the_websocket(faulty: FaultyServer) -> None:
    faulty.refuses = 403
    client = EnvClient(faulty.url)
    with pytest.raises(ConnectionFailed, match="HTTP status 403") as caught:
        await client.connect()
    assert caught.value.details == {"status": 403}


async def test_close_is_idempotent_and_reset_opens_again(faulty: FaultyServer) -> None:
    client = EnvClient(faulty.url)
    await client.close()
    await client.reset()
    await client.close()
    await client.close()
    with pytest.raises(SessionLost, match="closed"):
        await client.step({})
    await client.reset()
    await client.close()
    async with client:
        await client.step({})
    assert len(faulty.requests) == 3


async def test_close_returns_after_the_server_ended_the_session(faulty: FaultyServer) -> None:
    async with EnvClient(faulty.url) as client:
        await client.reset()
    assert faulty.ended.acquire(blocking=False)


async def test_close_does_not_wait_for_ever_for_a_deaf_server(faulty: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("openenv.client.socket._CLOSE_TIMEOUT_S", 0.1)
    faulty.play(Scripted.stay_silent)
    client = EnvClient(faulty.url)
    await client.connect()
    await client.close()
    assert faulty.received == [[{"type": "close"}]]


async def test_a_client_that_is_forgotten_warns_and_frees_the_server(faulty: FaultyServer) -> None:
    forgotten = [EnvClient(faulty.url)]
    await forgotten[0].reset()
    with pytest.warns(ResourceWarning, match="unclosed <EnvClient"):
        forgotten.clear()
    assert await asyncio.to_thread(faulty.ended.acquire, timeout=10), "the server still holds the connection"


def test_a_call_that_nobody_can_await_is_refused() -> None:
    client = EnvClient("ws://127.0.0.1:9")
    for call in (client.connect, client.reset, client.state, client.close, lambda: client.step({})):
        with pytest.raises(ConfigurationError, match="no event loop is running") as caught:
            call()
        assert "with EnvClient(...) as client" in (caught.value.hint or "")


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_client_of_an_ended_loop_has_lost_its_session(faulty: FaultyServer) -> None:
    client = EnvClient(faulty.url)

    async def first() -> None:
        await client.reset()

    async def second() -> None:
        with pytest.raises(SessionLost, match="event loop"):
            await client.step({})
        await client.reset()
        await client.close()

    asyncio.run(first())
    asyncio.run(second())
    gc.collect()  # here, where the warning about the first loop's transport is expected


async def test_one_client_is_of_one_loop(faulty: FaultyServer) -> None:
    async with EnvClient(faulty.url) as client:

        async def elsewhere() -> None:
            await client.state()

        with pytest.raises(ConfigurationError, match="another event loop"):
            await asyncio.to_thread(asyncio.run, elsewhere())
        await client.state()


def test_every_error_of_the_client_is_in_the_tree() -> None:
    for kind in (ServerError, SessionLost, DeadlineExceeded, ConnectionFailed, ConfigurationError, ValidationFailed):
        assert issubclass(kind, OpenEnvError)
