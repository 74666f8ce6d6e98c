"""Protocol v2 with several workers: a connection holds sessions of any of them."""

from __future__ import annotations

import asyncio
import os
import signal
import uuid
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import httpx
import pytest

from tests.interop.minimal_v2_client import JSON, MSGPACK, Client, V2Error
from tests.support.processes import Server, Servers
from tests.support.v2_wire import Wire, codes, entries
from tests.support.worker_toys import home, worker_pids

pytestmark = pytest.mark.e2e

LEFT: dict[str, Any] = {"direction": "left"}


@pytest.fixture(scope="module")
def snake(module_serve: Servers) -> Server:
    return module_serve("snake", "--workers", "2")


class Pair:
    """A client, and a session on each worker that it holds."""

    def __init__(self, client: Client, here: str, there: str) -> None:
        self.client = client
        self.here = here
        self.there = there


async def opened_on(server: Server, worker: int, protocol: str) -> tuple[Client, str]:
    """A client whose own sessions live on this worker, and one of them."""
    for _ in range(300):
        client = Client(f"{server.ws_url}/ws", offers=(protocol,))
        await client.__aenter__()
        (session,) = await client.open()
        if home(session) == worker:
            return client, session
        await client.close(session)
        await client.__aexit__()
    raise AssertionError(f"worker {worker} is given no new connection: sessions that a test has left are in its way")


@pytest.fixture(params=[JSON, MSGPACK])
async def pair(snake: Server, request: pytest.FixtureRequest) -> AsyncIterator[Pair]:
    client, here = await opened_on(snake, 0, request.param)
    other, there = await opened_on(snake, 1, request.param)
    await other.__aexit__()
    await client.ask("attach", there)
    yield Pair(client, here, there)
    for session in (here, there):
        with suppress(V2Error):  # a test may have ended it
            await client.close(session)
    await client.__aexit__()


async def test_every_operation_of_a_session_elsewhere_is_as_if_it_were_here(pair: Pair) -> None:
    client, there = pair.client, pair.there
    first = await client.reset(there, seed=7)
    same = await client.reset(pair.here, seed=7)
    assert first == same
    moved = await client.step(there, {"direction": "up"})
    assert moved == await client.step(pair.here, {"direction": "up"})
    state = await client.ask("state", there)
    assert (state["state"]["step_count"], state["busy"]) == (1, False)
    forks = await client.fork(there, 2)
    assert {home(fork) for fork in forks} == {1}
    assert await client.step(forks[0], LEFT) == await client.step(pair.here, LEFT)
    kept = await client.snapshot(there)
    await client.step(there, LEFT)
    assert (await client.restore(there, kept))["step_count"] == 1
    exported = await client.export(there)
    assert (await client.restore(pair.here, exported))["step_count"] == 1  # one key for all workers
    assert {tool["name"] for tool in (await client.ask("list_tools", there))["tools"]} == {"look", "move"}
    for fork in forks:
        await client.close(fork)


async def test_a_batch_over_workers_is_answered_as_one(pair: Pair) -> None:
    client = pair.client
    for session in (pair.here, pair.there):
        await client.reset(session, seed=3)
    unknown = str(uuid.uuid4())
    results = await client.batch({pair.there: LEFT, unknown: LEFT, pair.here: LEFT})
    assert [next(iter(result)) for result in results] == ["ok", "error", "ok"]
    assert results[0] == results[2]
    seen = {answer["session"]: "ok" in answer async for answer in client.batch_as_finished({pair.here: LEFT, pair.there: LEFT})}
    assert seen == {pair.here: True, pair.there: True}
    wrong = await client.batch({pair.there: {"direction": "nowhere"}, pair.here: LEFT})
    assert [next(iter(result)) for result in wrong] == ["error", "ok"]


async def test_a_repeat_over_workers_is_not_done_twice(pair: Pair) -> None:
    client = pair.client
    for session in (pair.here, pair.there):
        await client.reset(session, seed=3)
    sent = await client.send("batch", None, {"entries": [{"session": one, "action": LEFT} for one in (pair.here, pair.there)]})
    first = await sent.ok()
    await client.socket.send(sent.frame)
    for session in (pair.here, pair.there):
        assert (await client.ask("state", session))["state"]["step_count"] == 1
    assert len(first["results"]) == 2


@pytest.mark.parametrize("protocol", [JSON, MSGPACK])
async def test_a_batch_is_done_once_whichever_worker_its_client_comes_back_to(snake: Server, pair: Pair, protocol: str) -> None:
    both = (pair.here, pair.there)
    for session in both:
        await pair.client.reset(session, seed=3)
    batch = {"id": 1000, "op": "batch", "data": entries(dict.fromkeys(both, LEFT))}
    answers = []
    for door in (*both, pair.here):  # a connection that names a session is served where that is
        async with Wire(f"{snake.ws_url}/ws?session_id={door}", protocol) as wire:
            for session in both:
                await wire.ask(id=1, op="attach", session=session)
            answers.append(await wire.ask(**batch))
            for session in both:
                assert (await wire.ask(id=2, op="state", session=session))["ok"]["state"]["step_count"] == 1
    assert codes(answers[0]["ok"]["results"]) == [None, None]
    assert answers == [answers[0]] * 3


async def test_events_of_sessions_elsewhere_come_too(pair: Pair, snake: Server) -> None:
    client = pair.client
    await client.subscribe("session_ended", "session_taken")
    await client.subscribe("step", session=pair.there)
    await client.reset(pair.there, seed=1)
    step = await asyncio.wait_for(client.events.get(), 10)
    assert (step["event"], step["session"], step["data"]["op"]) == ("step", pair.there, "reset")
    async with httpx.AsyncClient(base_url=snake.url) as http:
        assert (await http.delete(f"/sessions/{pair.there}")).json()["closed"]
    while (ended := await asyncio.wait_for(client.events.get(), 10))["event"] != "session_ended":
        pass
    assert ended["session"] == pair.there
    with pytest.raises(V2Error, match="closed by request"):
        await client.ask("state", pair.there)


@pytest.mark.parametrize("worker", [0, 1])
async def test_a_key_opens_the_same_sessions_wherever_its_client_comes_back(snake: Server, worker: int) -> None:
    first, session = await opened_on(snake, worker, JSON)
    key = uuid.uuid4().hex
    known = (await first.ask("open", None, {"count": 2, "key": key}))["sessions"]
    assert {home(one) for one in known} == {worker}
    other, elsewhere = await opened_on(snake, 1 - worker, JSON)
    assert (await other.ask("open", None, {"count": 2, "key": key}))["sessions"] == known
    await other.reset(known[0], seed=1)
    for one in [*known, elsewhere]:
        await other.close(one)
    await first.close(session)
    await first.__aexit__()
    await other.__aexit__()


async def ask_until_refused(client: Client, session: str) -> None:
    while True:
        await client.ask("state", session)


async def test_a_worker_that_dies_takes_its_own_sessions_only(serve: Servers) -> None:
    server = serve("snake", "--workers", "2")
    client, here = await opened_on(server, 0, JSON)
    other, there = await opened_on(server, 1, JSON)
    await client.ask("attach", there)
    await client.reset(there, seed=1)
    await client.reset(here, seed=1)
    os.kill(worker_pids(server)[1], signal.SIGKILL)
    with pytest.raises(V2Error) as gone:
        await ask_until_refused(client, there)
    assert gone.value.code == "SESSION_ERROR"
    assert (await client.step(here, LEFT))["done"] is False
    await client.close(here)
    await client.__aexit__()
    await other.__aexit__()


@pytest.mark.parametrize("here", [True, False])
async def test_the_digest_of_a_part_is_nothing_that_clients_may_say(pair: Pair, here: bool) -> None:
    named = [pair.here, pair.there] if here else [pair.there]
    entries = [{"session": session, "action": LEFT} for session in named]
    with pytest.raises(V2Error, match="VALIDATION_ERROR"):
        await pair.client.ask("batch", None, {"entries": entries, "digest": 7})
