"""What errors say: what was wrong, where, and what to do."""

from __future__ import annotations

from typing import Any

import pytest

from openenv.client import Connection, EnvClient, VectorEnvClient
from openenv.errors import BatchFailed, ConfigurationError, PayloadTooLarge, SessionLost, ValidationFailed
from tests.support.local import until
from tests.support.processes import Server

pytestmark = pytest.mark.e2e


def hint_of(caught: pytest.ExceptionInfo[Any]) -> str:
    hint = caught.value.hint
    assert isinstance(hint, str)
    return hint


@pytest.mark.parametrize("wrong", [0, -1.5, True, "1"])
async def test_no_time_at_all(talk: Server, wrong: Any) -> None:
    async with Connection(talk.url) as connection:
        [session] = await connection.open()
        say = {"text": "a"}
        for call in (
            lambda: session.step(say, timeout_s=wrong),
            lambda: session.state(timeout_s=wrong),
            lambda: session.fork(timeout_s=wrong),
            lambda: connection.batch([(session, say)], timeout_s=wrong),
            lambda: anext(aiter(connection.as_finished([(session, say)], timeout_s=wrong))),
        ):
            with pytest.raises(ConfigurationError, match=r"timeout_s must be a number above 0, not ") as caught:
                await call()
            assert caught.value.field == "timeout_s"
            assert "None means no limit" in hint_of(caught)
            assert "0.001" in hint_of(caught)
        assert (await session.step(say, timeout_s=float("inf"))).observation["count"] == 1


async def test_a_wrong_number_of_things(talk: Server) -> None:
    async with VectorEnvClient(talk.url, 3) as vector:
        with pytest.raises(ValidationFailed, match="2 actions for 3 environments") as caught:
            await vector.step([{"text": "a"}] * 2)
        assert "one for each" in hint_of(caught)
        with pytest.raises(ValidationFailed, match="2 seeds for 3 environments") as caught:
            await vector.reset(seed=[1, 2])
        assert "one for each" in hint_of(caught)
        with pytest.raises(ValidationFailed, match="an id or bytes, not int") as caught:
            await vector.sessions[0].restore(5)  # type: ignore[arg-type]
        assert "snapshot()" in hint_of(caught)
        with pytest.raises(PayloadTooLarge, match="The step makes a frame of") as large:
            await vector.sessions[0].step({"text": "a" * 2**24})
        assert "Send less" in hint_of(large)


async def test_whoever_has_lost_a_session_learns_how_to_get_another(talk: Server) -> None:
    async with VectorEnvClient(talk.url, 2) as vector, Connection(talk.url) as other:
        await vector.reset()
        await (await other.attach(vector.sessions[1].id)).close()
        await until(lambda: vector.lost)
        with pytest.raises(BatchFailed, match="number 1: The session is lost: another connection has taken it") as batch:
            await vector.step([{"text": "a"}] * 2)
        assert "restart() of a vector" in hint_of(batch)
        with pytest.raises(SessionLost) as caught:
            await vector.sessions[1].step({"text": "a"})
        assert "open() of a Connection" in hint_of(caught)
    client = EnvClient(talk.url, protocol="v2")
    async with client:
        await client.reset()
    with pytest.raises(SessionLost, match="the client was closed") as caught:
        await client.step({"text": "a"})
    assert "reset() of a client" in hint_of(caught)
