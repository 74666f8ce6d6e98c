"""Protocol v2's client against our own server: sessions, operations, errors, limits."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import pytest

from openenv.client import Connection, HttpSession, RemoteSession, Reset
from openenv.client.v2.pending import Ask
from openenv.errors import (
    BatchFailed,
    Cancelled,
    ConfigurationError,
    ConnectionFailed,
    DeadlineExceeded,
    InvalidArguments,
    PayloadTooLarge,
    ServerError,
    SessionLost,
    ToolFailed,
    ToolNotFound,
    ValidationFailed,
)
from openenv.types import StepResult
from snake_env.client import SnakeEnv
from snake_env.models import SnakeAction, SnakeObservation, SnakeState
from tests.client.v2_toys import Heard, TalkState
from tests.support.local import until
from tests.support.processes import Server, Servers

HERE = Path(__file__).parent
_BEGUN_S = 0.5
"""A deadline that a step misses in the middle, not at its beginning."""

pytestmark = pytest.mark.e2e


@pytest.fixture(params=["json", "msgpack"])
def encoding(request: pytest.FixtureRequest) -> Literal["json", "msgpack"]:
    chosen: Literal["json", "msgpack"] = request.param
    return chosen


def known(result: StepResult[Any] | None) -> StepResult[Any]:
    assert result is not None
    return result


async def test_verbs(talk: Server, encoding: Literal["json", "msgpack"]) -> None:
    async with Connection(talk.url, encoding=encoding) as connection:
        assert connection.encoding == encoding
        assert connection.hello is not None
        assert (connection.hello.environment, connection.hello.capabilities) == ("talk", frozenset({"snapshots"}))
        [session] = await connection.open()
        begun = await session.reset(seed=7, greeting="good day")
        assert (begun.observation["text"], begun.reward, begun.done) == ("good day", None, False)
        assert begun.metadata == {"seed": 7}
        said = await session.step({"text": "hello"})
        assert (said.observation["count"], said.reward, said.done) == (1, 5.0, False)
        assert (said.terminated, said.truncated, said.stop_reason) == (False, False, None)
        assert session.result is said
        assert (await session.state())["said"] == ["hello"]
        assert await connection.ping() > 0
        assert session.connection is connection
    with pytest.raises(SessionLost, match="closed"):
        await session.step({"text": "too late"})


async def test_how_an_episode_ended(talk: Server) -> None:
    async with Connection(talk.url) as connection:
        [session] = await connection.open(observation_type=Heard)
        await session.reset()
        ended = await session.step({"text": "x", "end": "truncated"})
        assert (ended.done, ended.terminated, ended.truncated) == (True, False, True)
        assert ended.stop_reason == "because it was truncated"
        assert isinstance(ended.observation, Heard)
        assert (ended.observation.truncated, ended.observation.done, ended.observation.reward) == (True, True, 1.0)


async def test_types_by_a_class_of_client(snake: Server) -> None:
    async with Connection(snake.url) as connection:
        first, second = await connection.open(2, client=SnakeEnv)
        observation: SnakeObservation = (await first.reset(seed=3)).observation
        assert isinstance(observation, SnakeObservation)
        await first.step(SnakeAction(direction=observation.heading))
        state: SnakeState = await first.state()
        assert (state.step_count, isinstance(state, SnakeState)) == (1, True)
        assert (await second.reset(seed=3)).observation == observation


async def test_types_given(talk: Server) -> None:
    async with Connection(talk.url) as connection:
        [session] = await connection.open(observation_type=Heard, state_type=TalkState)
        await session.reset()
        assert isinstance((await session.step({"text": "a"})).observation, Heard)
        assert (await session.state()).said == ["a"]


async def test_many_sessions_are_apart(talk: Server) -> None:
    async with Connection(talk.url) as connection:
        sessions = await connection.open(50)
        await asyncio.gather(*(session.reset() for session in sessions))

        async def work(number: int) -> list[str]:
            for step in range(5):
                await sessions[number].step({"text": f"{number}.{step}"})
            said: list[str] = (await sessions[number].state())["said"]
            return said

        assert await asyncio.gather(*map(work, range(50))) == [[f"{n}.{s}" for s in range(5)] for n in range(50)]


async def test_many_coroutines_on_one_session_happen_in_order(talk: Server) -> None:
    async with Connection(talk.url) as connection:
        [session] = await connection.open()
        await session.reset()
        texts = [str(number) for number in range(300)]  # more than a session may have without an answer
        results = await asyncio.gather(*(session.step({"text": text}) for text in texts))
        assert [result.observation["count"] for result in results] == list(range(1, 301))
        assert (await session.state())["said"] == texts


async def test_errors_cost_the_call_only(talk: Server) -> None:
    async with Connection(talk.url) as connection:
        [session] = await connection.open()
        await session.reset()
        with pytest.raises(ServerError, match="the talk broke") as caught:
            await session.step({"text": "boom"})
        assert caught.value.code == "EXECUTION_ERROR"
        with pytest.raises(ServerError) as caught:
            await session.step({"txt": "a"})
        assert caught.value.code == "VALIDATION_ERROR"
        assert caught.value.errors
        with pytest.raises(ValidationFailed, match="An action is"):
            await session.step(7)
        with pytest.raises(ValidationFailed, match="cannot be sent"):
            await session.step({"text": object()})
        with pytest.raises(PayloadTooLarge):
            await session.step({"text": "x" * (17 * 2**20)})
        assert (await session.step({"text": "a"})).observation["count"] == 1


async def test_deadlines(talk: Server) -> None:
    async with Connection(talk.url) as connection:
        [session] = await connection.open()
        await session.reset()
        with pytest.raises(DeadlineExceeded):
            await session.step({"text": "slow", "seconds": 30}, timeout_s=0.1)
        assert (await session.step({"text": "next"})).observation["count"] == 1
        assert await connection.ping() > 0


async def test_what_was_late_can_be_had_when_it_has_ended(serve: Servers, tmp_path: Path) -> None:
    server = serve("v2_toys:slow_app", cwd=HERE)
    first, second = tmp_path / "first", tmp_path / "second"
    async with Connection(server.url) as connection:
        [session] = await connection.open()
        await session.reset()
        with pytest.raises(ValidationFailed, match="No call of this session is late"):
            await session.outcome()
        with pytest.raises(DeadlineExceeded):
            await session.step({"text": "a", "gate": str(first)}, timeout_s=_BEGUN_S)
        first.touch()
        await session.state()
        late = await session.outcome()
        assert (late.observation["text"], late.reward) == ("a", 1.0)
        assert session.result is late
        with pytest.raises(DeadlineExceeded):
            await session.step({"text": "b", "gate": str(second)}, timeout_s=_BEGUN_S)
        second.touch()
        await session.step({"text": "c"})
        with pytest.raises(ValidationFailed, match="No call of this session is late"):
            await session.outcome()
        assert (await session.state())["step_count"] == 3


async def test_what_was_late_and_stopped_has_not_happened(talk: Server) -> None:
    async with Connection(talk.url) as connection:
        [session] = await connection.open()
        await session.reset()
        with pytest.raises(DeadlineExceeded):
            await session.step({"text": "a", "seconds": 30}, timeout_s=0.1)
        with pytest.raises(DeadlineExceeded):
            await session.outcome()
        assert (await session.state())["said"] == []


async def test_a_cancelled_step_that_cannot_be_stopped_may_have_happened_and_its_outcome_can_be_had(
    serve: Servers, tmp_path: Path
) -> None:
    server = serve("v2_toys:slow_app", cwd=HERE)

    async def cancelled(session: RemoteSession, text: str) -> Path:
        """Cancel a step in the middle; the gate that it waits at is returned."""
        gate = tmp_path / text
        step = asyncio.ensure_future(session.step({"text": text, "gate": str(gate)}))
        await until((tmp_path / f"{text}.waits").exists)
        step.cancel()
        with pytest.raises(asyncio.CancelledError):
            await step
        return gate

    async with Connection(server.url) as connection:
        [session] = await connection.open()
        await session.reset()
        gate = await cancelled(session, "a")
        outcome = asyncio.ensure_future(session.outcome())
        await asyncio.sleep(0)  # it is asked for before the step ends
        gate.touch()
        assert (await outcome).observation["text"] == "a"
        (await cancelled(session, "b")).touch()
        await until(lambda: not connection._conversation.pending)
        assert (await session.outcome()).observation["count"] == 2
        with pytest.raises(ValidationFailed, match="No call of this session is late"):
            await session.outcome()
        assert (await session.state())["step_count"] == 2


async def test_what_a_server_that_hung_has_done_can_be_had(serve: Servers) -> None:
    server = serve("v2_toys:plain_app", cwd=HERE)
    async with Connection(server.url) as connection:
        [session] = await connection.open()
        await session.reset()
        os.kill(server.pid, signal.SIGSTOP)
        try:
            with pytest.raises(DeadlineExceeded, match="did not say why"):
                await session.step({"text": "a"}, timeout_s=0.2)
        finally:
            os.kill(server.pid, signal.SIGCONT)
        assert (await session.outcome()).observation == {"text": "a", "count": 1, "metadata": {}}
        assert (await session.state())["step_count"] == 1


async def test_a_cancelled_call_is_taken_back(talk: Server) -> None:
    async with Connection(talk.url) as connection:
        [session] = await connection.open()
        await session.reset()
        running, waiting = (asyncio.ensure_future(session.step({"text": text, "seconds": 30})) for text in "ab")
        await until(lambda: connection._conversation.pending)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(running, 0.1)
        assert (await session.step({"text": "c"})).observation["count"] == 1
        await until(lambda: not connection._conversation.pending)


async def test_somebody_else_cancels(talk: Server, tmp_path: Path) -> None:
    async with Connection(talk.url) as connection:
        [session] = await connection.open()
        await session.reset()
        step = asyncio.ensure_future(session.step({"text": "a", "gate": str(tmp_path / "gate")}))
        await until((tmp_path / "gate.waits").exists)
        [number] = connection._conversation.pending
        cancel = Ask.about("cancel", session._seat, {"id": number})
        assert await connection._conversation.request(cancel) == {"found": True}
        with pytest.raises(Cancelled):
            await step
        assert (await session.step({"text": "b"})).observation["count"] == 1


async def test_an_open_that_nobody_waits_for_leaves_no_session(serve: Servers) -> None:
    server = serve("v2_toys:small_app", cwd=HERE)
    async with Connection(server.url) as connection:
        await connection.ping()
        call = asyncio.ensure_future(connection.open(4))
        await asyncio.sleep(0)  # it is sent
        assert connection._conversation.pending
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        sessions: list[RemoteSession] = []
        while not sessions:
            with suppress(ServerError):  # as long as those are being closed
                sessions = await connection.open(4)
        with pytest.raises(ServerError) as caught:
            await connection.open()
        assert caught.value.code == "CAPACITY_REACHED"
        await sessions[0].close()
        await sessions[0].close()
        assert len(await connection.open()) == 1


async def test_tools(desk: Server) -> None:
    async with Connection(desk.url, headers={"X-Owner": "ada"}) as connection:
        [session] = await connection.open()
        assert [tool.name for tool in await session.list_tools()] == ["drawer_put", "drawer_list", "owner"]
        assert await session.call_tool("drawer_put", {"drawer": 2, "name": "pen"}) == 1
        assert known(session.result).done is False
        assert await session.call_tool("owner") == "ada"
        with pytest.raises(ToolNotFound):
            await session.call_tool("drawer_burn")
        with pytest.raises(InvalidArguments) as caught:
            await session.call_tool("drawer_put", {"drawer": "x", "name": "pen"})
        assert caught.value.field == "drawer"
        with pytest.raises(ToolFailed):
            await session.call_tool("drawer_put", {"drawer": 3, "name": "cat"})


async def test_forks_of_a_calendar(serve: Servers) -> None:
    server = serve("calendar")
    async with Connection(server.url, headers={"x-access-token": "token-alice-7b1f4c29e05d48a6"}) as connection:
        [parent] = await connection.open()
        await parent.reset(seed=1)
        made = await parent.call_tool("calendars_insert", {"summary": "Before"})
        children = await parent.fork(3)
        assert made["summary"] == "Before"

        async def go_on(number: int) -> list[str]:
            await children[number].call_tool("calendars_insert", {"summary": f"After {number}"})
            return await summaries(children[number])

        async def summaries(session: RemoteSession) -> list[str]:
            listed = await session.call_tool("calendars_list")
            return sorted(item["summary"] for item in listed["items"] if item["summary"].startswith(("Before", "After")))

        assert await asyncio.gather(*map(go_on, range(3))) == [[f"After {number}", "Before"] for number in range(3)]
        assert await summaries(parent) == ["Before"]


async def test_snapshots_and_forks(talk: Server, encoding: Literal["json", "msgpack"]) -> None:
    async with Connection(talk.url, encoding=encoding) as connection:
        parent, other = await connection.open(2, state_type=TalkState)
        begun = await parent.reset(seed=1)
        await other.reset(seed=2)
        await parent.step({"text": "a"})
        here = await parent.snapshot()
        exported = await parent.snapshot(export=True)
        assert here.image is None
        assert exported.id is None
        assert exported.image is not None
        assert (here.step_count, exported.step_count, here.episode_id) == (1, 1, exported.episode_id)
        await parent.step({"text": "b"})
        children = await parent.fork(3)
        await asyncio.gather(*(child.step({"text": str(number)}) for number, child in enumerate(children)))
        assert [(await child.state()).said for child in children] == [["a", "b", "0"], ["a", "b", "1"], ["a", "b", "2"]]
        assert (await parent.state()).said == ["a", "b"]
        await parent.restore(here)
        await other.restore(exported.image)
        assert [(await one.state()).said for one in (parent, other)] == [["a"], ["a"]]
        assert (await other.state()).episode_id == here.episode_id
        with pytest.raises(ServerError) as caught:
            await other.restore(exported.image[:-1] + bytes([exported.image[-1] ^ 1]))
        assert caught.value.code == "SNAPSHOT_REFUSED"
        with pytest.raises(ValidationFailed):
            await other.restore(5)  # type: ignore[arg-type]
        assert begun.observation["text"] == "ready"


async def test_forks_with_seeds_go_other_ways(snake: Server) -> None:
    async with Connection(snake.url) as connection:
        [parent] = await connection.open(client=SnakeEnv)
        await parent.reset(seed=5)
        children = [*await parent.fork(2, reseed=[1, 2]), *await parent.fork(2, reseed=[1, 2])]
        foods: list[list[Any]] = []
        for child in children:
            result, seen = await child.reset(), []
            for _ in range(3):
                seen.append(result.observation.food)
                result = await child.reset()
            foods.append(seen)
        assert foods[:2] == foods[2:]
        assert foods[0] != foods[1]


async def test_what_cannot_be_copied_says_so(serve: Servers) -> None:
    server = serve("v2_toys:plain_app", cwd=HERE)
    async with Connection(server.url) as connection:
        assert connection.hello is not None
        assert connection.hello.capabilities == frozenset()
        [session] = await connection.open()
        await session.reset()
        for call in (session.fork(), session.snapshot(), session.list_tools()):
            with pytest.raises(ServerError) as caught:
                await call
            assert caught.value.code == "UNSUPPORTED"


async def test_a_batch(talk: Server, encoding: Literal["json", "msgpack"]) -> None:
    async with Connection(talk.url, encoding=encoding) as connection:
        sessions = await connection.open(5)
        await connection.batch([(session, Reset(greeting=str(n))) for n, session in enumerate(sessions)])
        assert [known(session.result).observation["text"] for session in sessions] == list("01234")
        texts: list[Any] = [{"text": "a"}, {"text": "boom"}, {"txt": 1}, 7, Reset()]
        results = await connection.batch(list(zip(sessions, texts, strict=True)), errors="return")
        assert isinstance(results[0], StepResult)
        assert isinstance(results[4], StepResult)
        assert [getattr(one, "code", None) for one in results] == [
            None,
            "EXECUTION_ERROR",
            "VALIDATION_ERROR",
            "VALIDATION_ERROR",
            None,
        ]
        with pytest.raises(BatchFailed, match="2 of 3 steps failed; the first one is number 1") as caught:
            await connection.batch(list(zip(sessions, [{"text": "b"}, {"text": "boom"}, {"text": "boom"}], strict=False)))
        assert caught.value.results[0].observation["count"] == 2
        assert list(caught.value.failures) == [1, 2]
        with pytest.raises(ValidationFailed, match="entries 0 and 2 are of the same session"):
            await connection.batch([(sessions[0], {}), (sessions[1], {}), (sessions[0], {})])
        assert await connection.batch([]) == []


async def test_a_batch_keeps_to_its_deadline(talk: Server) -> None:
    async with Connection(talk.url) as connection:
        sessions = await connection.open(2)
        await connection.batch([(session, Reset()) for session in sessions])
        entries = list(zip(sessions, [{"text": "a"}, {"text": "b", "seconds": 30}], strict=True))
        first, second = await connection.batch(entries, errors="return", timeout_s=1.5)
        assert isinstance(first, StepResult)
        assert isinstance(second, DeadlineExceeded)


async def test_results_as_they_come(talk: Server) -> None:
    async with Connection(talk.url) as connection:
        sessions = await connection.open(4)
        await connection.batch([(session, Reset()) for session in sessions])
        await sessions[3].close()
        waits = [0.5, 0.0, 0.25, 0.0]
        entries = [(session, {"text": "x", "seconds": wait}) for session, wait in zip(sessions, waits, strict=True)]
        told = [(place, outcome) async for place, outcome in connection.as_finished(entries)]
        assert [place for place, _ in told] == [3, 1, 2, 0]
        assert isinstance(told[0][1], SessionLost)
        assert all(isinstance(outcome, StepResult) for _, outcome in told[1:])


async def test_leaving_before_all_have_come(talk: Server) -> None:
    async with Connection(talk.url) as connection:
        sessions = await connection.open(2)
        await connection.batch([(session, Reset()) for session in sessions])
        entries = list(zip(sessions, [{"text": "a"}, {"text": "b", "seconds": 30}], strict=True))
        stream = connection.as_finished(entries)
        assert (await anext(stream))[0] == 0
        await stream.aclose()  # type: ignore[attr-defined]
        assert (await sessions[1].step({"text": "c"})).observation["count"] == 1


async def test_detach_and_attach(talk: Server) -> None:
    async with Connection(talk.url) as first:
        [session] = await first.open()
        await session.reset()
        await session.step({"text": "a"})
        assert await session.detach() > 0
        with pytest.raises(SessionLost, match="detached"):
            await session.step({"text": "b"})
    async with Connection(talk.url) as second:
        again = await second.attach(session.id)
        assert (await again.step({"text": "c"})).observation["count"] == 2
    async with Connection(talk.url) as third:  # attached sessions outlive their connection
        last = await third.attach(session.id)
        assert (await last.state())["said"] == ["a", "c"]
        await last.close()
        with pytest.raises(SessionLost):
            await third.attach(session.id)


async def test_takeover(talk: Server, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    async with Connection(talk.url) as first, Connection(talk.url) as second:
        mine, other = await first.open(2)
        await mine.reset()
        await other.reset()
        running = asyncio.ensure_future(mine.step({"text": "a", "gate": str(gate)}))
        await until((tmp_path / "gate.waits").exists)
        theirs = await second.attach(mine.id)
        gate.touch()
        assert (await running).observation["count"] == 1  # what was asked before is still answered here
        with pytest.raises(SessionLost, match="another connection has taken it"):
            await mine.step({"text": "b"})
        assert (await theirs.step({"text": "c"})).observation["count"] == 2
        assert (await other.step({"text": "d"})).observation["count"] == 1
        await theirs.close()


async def test_events(talk: Server) -> None:
    async with Connection(talk.url) as connection, Connection(talk.url) as watcher:
        [session] = await connection.open()
        await session.reset()
        async with session.events("environment", "step") as events, watcher.events("step", session_id=session.id) as watched:
            await session.step({"text": "soft"})
            await session.step({"text": "LOUD"})
            heard = [await anext(events) for _ in range(3)]
            assert [event.name for event in heard if event.name == "step"] == ["step"] * 2
            assert [event.data for event in heard if event.name == "environment"] == [{"loud": "LOUD"}]
            seen = [await anext(watched) for _ in range(2)]
            assert [event.data["observation"]["text"] for event in seen] == ["soft", "LOUD"]
            assert {event.session for event in heard + seen} == {session.id}
            await session.close()
            assert [event async for event in events] == []


async def test_an_ended_session_is_told(talk: Server) -> None:
    async with Connection(talk.url) as first, Connection(talk.url) as second, Connection(talk.url) as watcher:
        [session] = await first.open()
        await session.reset()
        taken = await second.attach(session.id)
        async with second.events("session_ended") as ends, watcher.events("step", session_id=session.id) as steps:
            async with HttpSession(talk.url, session.id) as elsewhere:
                await elsewhere.close()
            event = await anext(ends)
            assert (event.name, event.session) == ("session_ended", session.id)
            assert taken.lost == event.data["reason"]
            assert [event async for event in steps] == []
        with pytest.raises(SessionLost):
            await taken.step({"text": "a"})


async def test_who_is_not_there_and_who_speaks_no_v2(free_port: int) -> None:
    with pytest.raises(ConnectionFailed, match="Cannot connect"):
        await Connection(f"localhost:{free_port}").connect()


@pytest.mark.parametrize(
    ("arguments", "field"),
    [({"timeout_s": 0}, "timeout_s"), ({"ping_interval_s": -1}, "ping_interval_s"), ({"encoding": "xml"}, "encoding")],
)
def test_arguments_that_make_no_sense(arguments: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Connection("localhost:1", **arguments)
    assert caught.value.field == field


async def test_on_a_second_event_loop_the_sessions_are_lost(talk: Server) -> None:
    connection = Connection(talk.url)
    [session] = await asyncio.to_thread(asyncio.run, connection.open())
    with pytest.raises(SessionLost, match="event loop that it ran on has ended"):
        await session.step({"text": "a"})
    [another] = await connection.open()
    assert (await another.reset()).done is False
    await connection.close()


def test_blocking(talk: Server) -> None:
    with Connection(talk.url) as connection:
        assert connection.hello is not None
        first, second = connection.open(2)
        assert first.reset(seed=1).metadata == {"seed": 1}
        second.reset()
        assert first.step({"text": "a"}).reward == 1.0
        assert first.state()["said"] == ["a"]
        [child] = first.fork()
        assert child.state()["said"] == ["a"]
        snapshot = first.snapshot()
        first.step({"text": "b"})
        first.restore(snapshot)
        assert first.state()["said"] == ["a"]
        results = connection.batch([(first, {"text": "c"}), (second, {"text": "d"})])
        assert [result.observation["count"] for result in results] == [2, 1]
        told = dict(connection.as_finished([(first, {"text": "e"}), (second, {"text": "f"})]))
        assert sorted(told) == [0, 1]
        with first.events("environment") as events:
            first.step({"text": "LOUD"})
            assert next(events).data == {"loud": "LOUD"}
        with pytest.raises(ServerError) as caught:
            first.list_tools()
        assert caught.value.code == "UNSUPPORTED"
        assert connection.ping() > 0
        assert second.detach() > 0
        again = connection.attach(second.id)
        assert again.state()["said"] == ["d", "f"]
        again.close()
    with pytest.raises(SessionLost):
        first.step({"text": "g"})
