"""The client that everybody knows, speaking protocol v2."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any, Literal

import pytest

from openenv import EnvClient, GenericEnvClient, ToolClient
from openenv.client.http import HttpSession
from openenv.errors import ConfigurationError, ConnectionFailed, DeadlineExceeded, ServerError, SessionLost, ToolNotFound
from openenv.types import StepResult
from snake_env.client import SnakeEnv
from snake_env.models import SnakeAction, SnakeObservation
from tests.client.faulty import FaultyServer
from tests.client.v2_toys import Heard, Say, TalkState
from tests.support.local import until
from tests.support.processes import Server, Servers

HERE = Path(__file__).parent

pytestmark = pytest.mark.e2e


class Talk(EnvClient[Say, Heard, TalkState]):
    observation_type = Heard
    state_type = TalkState


class Old(EnvClient[dict[str, Any], str, int]):
    """With the three hooks."""

    def _step_payload(self, action: dict[str, Any]) -> dict[str, Any]:
        return {"text": action["say"]}

    def _parse_result(self, data: dict[str, Any]) -> StepResult[str]:
        return StepResult(data["observation"]["text"], data["reward"], data["done"])

    def _parse_state(self, data: dict[str, Any]) -> int:
        count: int = data["step_count"]
        return count


async def test_typed_results(talk: Server) -> None:
    async with Talk(talk.url, protocol="v2") as client:
        assert (await client.reset(seed=3)).metadata == {"seed": 3}
        result = await client.step(Say(text="hi", end="terminated"))
        assert isinstance(result.observation, Heard)
        assert (result.reward, result.done, result.terminated, result.truncated) == (2.0, True, True, False)
        assert (await client.state()).said == ["hi"]


def test_blocking(talk: Server) -> None:
    with Talk(talk.url, protocol="v2") as client:
        client.reset()
        assert client.step(Say(text="hi")).observation.count == 1
        assert client.state().step_count == 1


async def test_hooks(talk: Server) -> None:
    async with Old(talk.url, protocol="v2") as client:
        await client.reset()
        result = await client.step({"say": "hi"})
        assert (result.observation, result.reward, result.terminated) == ("hi", 2.0, False)
        assert await client.state() == 1


def test_the_same_as_over_the_other_dialect(serve: Servers) -> None:
    server = serve("snake")
    played: list[list[Any]] = []
    protocols: list[Literal["openenv", "v2"]] = ["openenv", "v2"]
    for protocol in protocols:
        with SnakeEnv(server.url, protocol=protocol) as client:
            result = client.reset(seed=4)
            seen: list[Any] = [result.observation]
            while not result.done:
                result = client.step(SnakeAction(direction=result.observation.heading))
                observation = result.observation.model_dump()  # without what the other dialect does not tell
                seen.append((SnakeObservation(**observation), result.reward, result.done, result.metadata))
            seen.append(client.state())
        played.append(seen)
    assert played[0] == played[1]


def test_results_of_the_other_dialect_have_nothing_new(talk: Server) -> None:
    with GenericEnvClient(talk.url) as client:
        client.reset()
        result = client.step({"text": "x", "end": "truncated"})
    assert (result.terminated, result.truncated, result.stop_reason) == (None, None, None)
    assert list(vars(result)) == ["observation", "reward", "done", "metadata"]


async def test_a_late_answer_and_a_cancelled_call_cost_that_call_only(talk: Server, tmp_path: Path) -> None:
    async with EnvClient(talk.url, protocol="v2", message_timeout_s=1.0) as client:
        await client.reset()
        with pytest.raises(DeadlineExceeded):
            await client.step({"text": "a", "seconds": 30})
        call = asyncio.ensure_future(client.step({"text": "b", "gate": str(tmp_path / "gate")}))
        await until((tmp_path / "gate.waits").exists)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert (await client.step({"text": "c"})).observation["count"] == 1


@pytest.mark.usefixtures("interruptible")
def test_an_interrupted_call_costs_that_call_only(talk: Server, tmp_path: Path) -> None:
    def interrupt() -> None:
        while not (tmp_path / "gate.waits").exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    with EnvClient(talk.url, protocol="v2") as client:
        client.reset()
        helper = threading.Thread(target=interrupt)
        helper.start()
        with pytest.raises(KeyboardInterrupt):
            client.step({"text": "a", "gate": str(tmp_path / "gate")})
        helper.join()
        assert client.step({"text": "b"}).observation["count"] == 1


async def test_after_a_loss_reset_begins_anew(talk: Server) -> None:
    async with EnvClient(talk.url, protocol="v2") as client, EnvClient(talk.url, protocol="v2") as other:
        await client.reset()
        await client.step({"text": "a"})
        assert client._v2 is not None
        assert client._v2._seat is not None
        assert other._v2 is not None
        taken = await other._v2.connection.attach(client._v2._seat.id)
        for _ in range(2):
            with pytest.raises(SessionLost, match="another connection has taken it"):
                await client.step({"text": "b"})
        with pytest.raises(SessionLost):
            await client.connect()
        assert (await client.reset()).done is False
        assert (await client.step({"text": "c"})).observation["count"] == 1
        await taken.close()


async def test_after_close(talk: Server) -> None:
    client = EnvClient(talk.url, protocol="v2")
    await client.close()
    with pytest.raises(SessionLost, match="closed"):
        await client.step({"text": "a"})
    await client.connect()
    await client.step({"text": "a"})
    await client.close()
    await client.close()
    with pytest.raises(SessionLost, match="closed"):
        await client.state()
    await client.reset()
    await client.close()


async def test_a_session_made_over_http(talk: Server) -> None:
    async with await HttpSession.create(talk.url) as session:
        async with EnvClient(talk.url, session_id=session.session_id, protocol="v2") as client:
            assert client.session_id == session.session_id
            await client.reset()
            await client.step({"text": "a"})
        async with EnvClient(f"{talk.url}?session_id={session.session_id}", protocol="v2") as client:
            assert (await client.state())["said"] == ["a"]


async def test_tools(desk: Server) -> None:
    async with ToolClient(desk.url, headers={"X-Owner": "ada"}, protocol="v2") as client:
        assert [tool.name for tool in await client.list_tools()] == ["drawer_put", "drawer_list", "owner"]
        assert await client.call_tool("drawer_put", drawer=2, name="pen") == 1
        assert await client.call_tool("owner") == "ada"
        with pytest.raises(ToolNotFound):
            await client.call_tool("drawer_burn")


async def test_a_refusal_is_told_at_once(serve: Servers) -> None:
    server = serve("v2_toys:small_app", cwd=HERE)
    clients = [EnvClient(server.url, protocol="v2") for _ in range(4)]
    for client in clients:
        await client.connect()
    with pytest.raises(ServerError) as caught:
        async with EnvClient(server.url, protocol="v2"):
            pass
    assert caught.value.code == "CAPACITY_REACHED"
    for client in clients:
        await client.close()


async def test_a_server_without_v2_is_named(faulty: FaultyServer) -> None:
    client = EnvClient(faulty.url, protocol="v2")
    with pytest.raises(ConnectionFailed, match="does not speak protocol v2") as caught:
        await client.reset()
    assert 'protocol="openenv"' in (caught.value.hint or "")


def test_which_protocols_there_are() -> None:
    with pytest.raises(ConfigurationError) as caught:
        EnvClient("localhost:1", protocol="v3")  # type: ignore[arg-type]
    assert caught.value.field == "protocol"


async def test_a_client_that_nobody_closed_says_so(talk: Server) -> None:
    clients = [EnvClient(talk.url, protocol="v2")]
    await clients[0].reset()
    gc.collect()
    with pytest.warns(ResourceWarning, match="unclosed"):
        clients.clear()
    await asyncio.sleep(0.1)
