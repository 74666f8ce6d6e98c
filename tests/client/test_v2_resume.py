"""What becomes of sessions and calls when their connection is lost, at moments that a test chooses."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest

from openenv.client import Connection, EnvClient, Reset
from openenv.errors import BatchFailed, ConnectionFailed, DeadlineExceeded, ServerError, SessionLost
from openenv.types import StepResult
from tests.client.v2_toys import SECRET
from tests.support.chaos import ChaosProxy, Trouble, chaos
from tests.support.local import until
from tests.support.processes import Server, Servers

HERE = Path(__file__).parent
NO_TROUBLE = Trouble(mean_bytes=1e12, stalls=0.0, longest_delay_s=0.0)

pytestmark = pytest.mark.e2e


@pytest.fixture
def proxy(talk: Server) -> Iterator[ChaosProxy]:
    with chaos(talk.port, NO_TROUBLE) as made:
        yield made


async def test_a_step_goes_on_while_its_connection_is_lost(proxy: ChaosProxy, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    async with Connection(proxy.url) as connection:
        [session] = await connection.open()
        await session.reset()
        step = asyncio.ensure_future(session.step({"text": "a", "gate": str(gate)}))
        await until((tmp_path / "gate.waits").exists)
        for times in (1, 2, 3):
            proxy.cut_all()
            await until(lambda times=times: connection.resumes == times)  # type: ignore[misc]
        assert connection.repeats == 3
        assert not step.done()
        gate.touch()
        assert (await step).observation["count"] == 1
        assert (await session.state())["said"] == ["a"]
        assert connection.resumes == 3


async def test_what_is_asked_while_there_is_no_connection_waits_for_the_next_one(proxy: ChaosProxy) -> None:
    async with Connection(proxy.url) as connection:
        [session] = await connection.open()
        await session.reset()
        proxy.down = True
        proxy.cut_all()
        await until(lambda: connection._conversation.link is None)
        calls = [asyncio.ensure_future(session.step({"text": text})) for text in "abc"]
        reads = [asyncio.ensure_future(session.state()), asyncio.ensure_future(connection.open(2))]
        cancelled = asyncio.ensure_future(session.step({"text": "never"}))
        await asyncio.sleep(0.2)
        cancelled.cancel()
        assert not any(call.done() for call in calls + reads)
        proxy.down = False
        assert [(await call).observation["count"] for call in calls] == [1, 2, 3]
        state, opened = await asyncio.gather(*reads)
        assert set(state["said"]) <= set("abc")
        assert len(opened) == 2
        assert (await session.state())["said"] == ["a", "b", "c"]


async def test_all_of_many_sessions_come_back(proxy: ChaosProxy, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    async with Connection(proxy.url) as connection:
        sessions = await connection.open(200)
        await connection.batch([(session, Reset()) for session in sessions])
        batch = asyncio.ensure_future(connection.batch([(session, {"text": "x", "gate": str(gate)}) for session in sessions]))
        await until((tmp_path / "gate.waits").exists)
        proxy.cut_all()
        await until(lambda: connection.resumes == 1)
        gate.touch()
        assert [result.observation["count"] for result in await batch] == [1] * 200

        async def one_by_one() -> list[int]:
            entries = [(session, {"text": "y", "seconds": 0.05 + 0.002 * n}) for n, session in enumerate(sessions)]
            counts = []
            async for place, result in connection.as_finished(entries):
                assert isinstance(result, StepResult)
                counts.append(result.observation["count"])
                if len(counts) in (20, 100):
                    resumes = connection.resumes
                    proxy.cut_all()
                    await until(lambda: connection.resumes > resumes)  # noqa: B023 - it is over before the next one
                assert sessions[place].result is result
            return counts

        assert await one_by_one() == [2] * 200
        assert connection.resumes == 3


async def test_an_idle_connection_comes_back_too(proxy: ChaosProxy) -> None:
    async with Connection(proxy.url) as connection:
        await connection.ping()
        proxy.cut_all()  # nothing to be resumed for
        await until(lambda: connection._conversation.link is None)
        [session] = await connection.open()
        await session.reset()
        proxy.cut_all()
        await until(lambda: connection.resumes == 2)
        assert (await session.step({"text": "a"})).observation["count"] == 1


async def test_a_peer_that_falls_silent_is_found(talk: Server) -> None:
    with chaos(talk.port, Trouble(seed=1, mean_bytes=80_000, least_bytes=2000, stalls=1.0)) as proxy:
        async with Connection(proxy.url, ping_interval_s=0.2, ping_timeout_s=2.0) as connection:
            [session] = await connection.open()
            await session.reset()
            for count in range(1, 301):
                assert (await session.step({"text": "x" * 100})).observation["count"] == count
            assert proxy.stalls > 0
            assert 0 < connection.resumes <= proxy.stalls
            proxy.calm = True


async def test_a_server_that_began_anew_has_no_sessions(serve: Servers, free_port: int) -> None:
    first = serve("v2_toys:app", cwd=HERE, port=free_port)
    async with Connection(first.url) as connection:
        one, two = await connection.open(2)
        await one.reset()
        await two.reset()
        step = asyncio.ensure_future(one.step({"text": "a", "seconds": 30}))
        await asyncio.sleep(0.2)
        first.kill()
        await asyncio.sleep(0.2)
        await asyncio.to_thread(serve, "v2_toys:app", cwd=HERE, port=free_port)
        with pytest.raises(SessionLost) as caught:
            await step
        assert "lost: " in str(caught.value)
        with pytest.raises(SessionLost):
            await two.step({"text": "a"})
        assert one.lost
        [three] = await connection.open()
        await three.reset()
        assert (await three.step({"text": "b"})).observation["count"] == 1


async def test_a_session_that_is_gone_does_not_cost_the_others(proxy: ChaosProxy, talk: Server) -> None:
    async with Connection(proxy.url) as connection, Connection(talk.url) as other:
        gone, stays = await connection.open(2)
        await connection.batch([(gone, Reset()), (stays, Reset())])
        proxy.down = True
        proxy.cut_all()
        await until(lambda: connection._conversation.link is None)
        calls = [asyncio.ensure_future(session.step({"text": "a"})) for session in (gone, stays)]
        await (await other.attach(gone.id)).close()
        proxy.down = False
        with pytest.raises(SessionLost):
            await calls[0]
        assert (await calls[1]).observation["count"] == 1
        with pytest.raises(BatchFailed) as caught:
            await connection.batch([(gone, {"text": "b"}), (stays, {"text": "b"})])
        assert [type(one) for one in caught.value.results] == [SessionLost, StepResult]


async def test_a_server_that_stays_away_costs_the_sessions_in_time(talk: Server) -> None:
    with chaos(talk.port, NO_TROUBLE) as proxy:
        connection = Connection(proxy.url, resume_within_s=0.5)
        [session] = await connection.open()
        await session.reset()
        proxy.down = True
        proxy.cut_all()
        with pytest.raises(SessionLost, match="could not be resumed in time"):
            await session.step({"text": "a"})
        with pytest.raises(ConnectionFailed):
            await connection.open()
        proxy.down = False
        [another] = await connection.open()
        assert (await another.reset()).done is False
        await connection.close()


async def test_a_call_waits_for_a_connection_no_longer_than_it_may(proxy: ChaosProxy) -> None:
    async with Connection(proxy.url) as connection:
        [session] = await connection.open()
        await session.reset()
        proxy.down = True
        proxy.cut_all()
        with pytest.raises(DeadlineExceeded, match="within 0"):
            await session.step({"text": "late"}, timeout_s=0.1)
        proxy.down = False
        assert (await session.step({"text": "a"})).observation["count"] == 1  # the other one was never sent


async def test_events_are_subscribed_to_again(proxy: ChaosProxy) -> None:
    async with Connection(proxy.url) as connection:
        [session] = await connection.open()
        await session.reset()
        async with session.events("environment") as events:
            await session.step({"text": "ONE"})
            proxy.cut_all()
            await until(lambda: connection.resumes == 1)
            await session.step({"text": "TWO"})
            assert [(await anext(events)).data["loud"] for _ in range(2)] == ["ONE", "TWO"]


_BRIEFLY_S = 5
"""Long enough to connect and begin an episode."""


def token(seconds: float) -> str:
    claims = {"sub": "anna", "scope": "create reset act", "exp": int(time.time() + seconds), "aud": "openenv"}
    return jwt.encode(claims, SECRET, algorithm="HS256")


async def test_a_token_that_has_expired_is_replaced_where_there_is_another(serve: Servers) -> None:
    server = serve("v2_toys:guarded_app", cwd=HERE)
    made: list[str] = []

    def headers() -> dict[str, str]:
        made.append(token(_BRIEFLY_S if not made else 600))
        return {"Authorization": f"Bearer {made[-1]}"}

    async with Connection(server.url, headers=headers) as connection:
        [session] = await connection.open()
        await session.reset()
        await asyncio.sleep(_BRIEFLY_S + 0.1)
        steps = await asyncio.gather(*(session.step({"text": text}) for text in "abc"))
        assert [step.observation["count"] for step in steps] == [1, 2, 3]
        assert len(made) == 2


async def test_a_token_that_has_expired_is_an_error_where_there_is_no_other(serve: Servers) -> None:
    server = serve("v2_toys:guarded_app", cwd=HERE)
    with pytest.raises(ServerError) as caught:
        await Connection(server.url).connect()
    assert caught.value.code == "UNAUTHENTICATED"
    async with Connection(server.url, headers={"Authorization": f"Bearer {token(_BRIEFLY_S)}"}) as connection:
        [session] = await connection.open()
        await session.reset()
        await asyncio.sleep(_BRIEFLY_S + 0.1)
        with pytest.raises(ServerError) as caught:
            await session.step({"text": "a"})
        assert caught.value.code == "UNAUTHENTICATED"


async def test_only_whoever_may_watch_does(serve: Servers) -> None:
    server = serve("v2_toys:guarded_app", cwd=HERE)

    def of(name: str) -> dict[str, Any]:
        return {"headers": {"Authorization": f"Bearer token-of-{name}-0001"}}

    async with Connection(server.url, **of("anna")) as anna, Connection(server.url, **of("carl")) as carl:
        [hers] = await anna.open()
        [his] = await carl.open()
        await his.reset()
        with pytest.raises(ServerError) as caught:
            await anna.events("step", session_id=hers.id).__aenter__()
        assert caught.value.code == "FORBIDDEN"
        async with carl.events("step", session_id=his.id) as events:
            await his.step({"text": "a"})
            assert (await anext(events)).data["reward"] == 1.0


async def test_an_env_client_survives(proxy: ChaosProxy) -> None:
    async with EnvClient(proxy.url, protocol="v2") as client:
        await client.reset(seed=1)
        for count in range(1, 6):
            proxy.cut_all()
            assert (await client.step({"text": "a"})).observation["count"] == count
        assert (await client.state())["said"] == ["a"] * 5
