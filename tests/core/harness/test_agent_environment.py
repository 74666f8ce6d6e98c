"""An agent as an environment: turns, failures, tools that it reaches, and the conversation of ``/harness``."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from typing import Any

import httpx
import pytest
from fastmcp import Client

from openenv.core.env_server.guest import guest_type
from openenv.core.env_server.mcp_types import CallToolAction, CallToolObservation, ListToolsAction, ListToolsObservation
from openenv.core.env_server.types import Action, Observation, State
from openenv.core.harness import (
    HarnessAction,
    HarnessConfig,
    HarnessEnvironment,
    HarnessError,
    HarnessMCPBridge,
    HarnessNotRunningError,
    HarnessResponse,
    HarnessStartupError,
    HarnessTransport,
    HarnessTurnTimeoutError,
    build_bridge_server,
)
from openenv.core.harness.conversation import harness_messages
from openenv.core.harness.events import HarnessProtocolError
from openenv.core.rubrics import Rubric
from openenv.errors import Cancelled, RateLimited
from openenv.operation import Operation, Result
from openenv.runtime import EnvironmentSpecification, Pipeline, SessionManager, SessionRequest
from tests.core.harness.agents import Played, event, toolbox

SAYS = HarnessAction(message="hi")


class Brief(Rubric):
    """Likes short answers."""

    def forward(self, action: Any, observation: Any) -> float:
        return 1 / len(observation.metadata["response"])


async def test_a_step_is_a_turn() -> None:
    adapter = Played([event("text_output", text="hm"), event("turn_complete", response="four", done=True)])
    environment = HarnessEnvironment(adapter, rubric=Brief())
    begun = await environment.reset_async(episode_id="e")
    assert begun.metadata == {"episode_id": "e", "injected_tools": []}
    seen = await environment.step_async(SAYS)
    assert (seen.done, seen.reward, seen.metadata["response"], seen.metadata["turn_number"]) == (True, 0.25, "four", 1)
    assert [one["type"] for one in seen.metadata["turn_events"]] == ["text_output", "turn_complete"]
    json.dumps(seen.metadata)
    assert (environment.state.episode_id, environment.state.step_count) == ("e", 1)
    await environment.step_async(SAYS)
    assert len(environment.trajectory) == 4
    await environment.reset_async()
    assert (environment.trajectory, environment.state.step_count) == ([], 0)
    environment.close()
    environment.close()
    assert adapter.log == ["stop", "start", "hi", "hi", "stop", "start", "stop"]


async def test_an_adapter_alone_answers_with_a_response() -> None:
    adapter = Played([event("text_output", text="hm"), event("turn_complete", response="four", done=True)])
    answer = await adapter.send_message("hi")
    assert isinstance(answer, HarnessResponse)
    assert (answer.response, answer.done, [one.type.value for one in answer.events]) == (
        "four",
        True,
        ["text_output", "turn_complete"],
    )
    assert adapter.config.transport is HarnessTransport.STDIO


@pytest.mark.parametrize(("given", "transport"), [("http", "STREAMABLE_HTTP"), ("mcp", "MCP"), ("stdio", "STDIO")])
def test_a_transport_is_configured_by_its_text(given: Any, transport: str) -> None:
    config = HarnessConfig(name="a", command=["a"], transport=given)
    assert config.transport is HarnessTransport[transport]
    assert config.model_dump(mode="json")["transport"] == given


def test_callers_without_a_loop() -> None:
    environment = HarnessEnvironment(Played())
    environment.reset()
    assert environment.step(SAYS).metadata["response"] == "hello"
    assert isinstance(environment.step(ListToolsAction()), ListToolsObservation)
    environment.close()


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_turn_needs_an_episode(when: str) -> None:
    environment = HarnessEnvironment(Played())
    if when == "after":
        await environment.reset_async()
        environment.close()
    with pytest.raises(HarnessNotRunningError, match=r"call reset\(\)"):
        await environment.step_async(SAYS)


async def test_other_actions_are_refused() -> None:
    environment = HarnessEnvironment(Played())
    await environment.reset_async()
    with pytest.raises(TypeError, match="got Action"):
        await environment.step_async(Action())
    environment.close()


@pytest.mark.parametrize(
    ("turn", "kind", "message"),
    [
        ([event("text_output", text="a")], "harness_crashed", "without a TURN_COMPLETE"),
        ([HarnessError("no money")], "harness_crashed", "no money"),
        ([HarnessTurnTimeoutError("took a day")], "turn_timeout", "took a day"),
        ([TimeoutError("its model")], "turn_timeout", "its model"),
        (["wait"], "turn_timeout", "exceeded 0.05 seconds"),
    ],
)
async def test_a_turn_that_fails_ends_the_episode(turn: list[Any], kind: str, message: str) -> None:
    adapter = Played(turn, [event("turn_complete", response="back")], timeout_s=0.05 if turn == ["wait"] else 30.0)
    environment = HarnessEnvironment(adapter, rubric=Brief())
    await environment.reset_async()
    seen = await environment.step_async(SAYS)
    assert (seen.done, seen.reward, seen.metadata["error_type"]) == (True, 0.0, kind)
    assert message in seen.metadata["error"]
    assert (environment.state.step_count, [one.type.value for one in environment.trajectory]) == (0, ["error"])
    assert adapter.log == ["stop", "start", "hi", "stop"]
    with pytest.raises(HarnessNotRunningError):
        await environment.step_async(SAYS)
    await environment.reset_async()
    assert (await environment.step_async(SAYS)).metadata["response"] == "back"
    environment.close()


async def test_an_accident_is_raised_and_the_agent_stopped() -> None:
    adapter = Played([OSError("disk")])
    environment = HarnessEnvironment(adapter)
    await environment.reset_async()
    with pytest.raises(OSError, match="disk"):
        await environment.step_async(SAYS)
    assert adapter.log[-1] == "stop"


async def test_a_turn_that_is_cancelled_twice_still_stops_the_agent() -> None:
    adapter = Played(["wait"])
    environment = HarnessEnvironment(adapter)
    await environment.reset_async()
    running = asyncio.ensure_future(environment.step_async(SAYS))
    await adapter.waiting.wait()
    running.cancel()
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert not adapter.alive


async def test_a_start_that_fails_leaves_nothing_running() -> None:
    adapter = Played()
    adapter.fails["start"] = HarnessStartupError("no binary")
    environment = HarnessEnvironment(adapter, mcp=toolbox())
    with pytest.raises(HarnessStartupError, match="no binary"):
        await environment.reset_async()
    assert adapter.log == ["stop", "start", "stop"]
    assert adapter.url is not None
    async with httpx.AsyncClient(trust_env=False) as http:
        with pytest.raises(httpx.ConnectError):
            await http.get(adapter.url)


async def test_what_cannot_be_stopped_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    adapter = Played()
    environment = HarnessEnvironment(adapter)
    await environment.reset_async()
    adapter.fails["stop"] = OSError("it bites")
    with caplog.at_level(logging.ERROR, "openenv.core.harness"):
        environment.close()
    assert "could not be stopped" in caplog.text
    assert "it bites" in caplog.text


async def test_the_agent_reaches_the_tools_and_nothing_else() -> None:
    adapter = Played()
    environment = HarnessEnvironment(adapter, mcp=toolbox())

    @environment.tool(mode="simulation")
    def now() -> str:
        return "noon"

    begun = await environment.reset_async()
    assert begun.metadata["injected_tools"] == [one.name for one in adapter.tools]
    assert {"add", "env_read_file", "now"} == set(begun.metadata["injected_tools"])
    assert adapter.url is not None
    async with Client(adapter.url) as client:
        assert {one.name for one in await client.list_tools()} == {"add", "env_read_file", "now"}
        assert (await client.call_tool("env_read_file", {"path": "x"})).data == "read x"
        assert (await client.call_tool("now", {})).data == "noon"
        with pytest.raises(Exception, match="read_file"):
            await client.call_tool("read_file", {"path": "x"})
    async with httpx.AsyncClient(trust_env=False) as http:
        for path in ("reset", "step", "state", "ws"):
            assert (await http.get(adapter.url.replace("mcp", path))).status_code == 404
    seen = await environment.step_async(CallToolAction(tool_name="read_file", arguments={"path": "y"}))
    assert isinstance(seen, CallToolObservation)
    assert seen.error is None
    assert environment.state.step_count == 0
    environment.close()


@pytest.mark.parametrize("header", [{"host": "evil.example"}, {"origin": "http://evil.example"}])
def test_the_bridge_refuses_a_rebound_name(header: dict[str, str]) -> None:
    bridge = HarnessMCPBridge(toolbox())
    url = bridge.start()
    try:
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
        accept = {"accept": "application/json, text/event-stream"}
        assert httpx.post(url, json=body, headers={**accept, **header}, trust_env=False).status_code in (403, 421)
    finally:
        bridge.stop()


def test_a_bridge_starts_and_stops_more_than_once() -> None:
    bridge = HarnessMCPBridge(toolbox())
    bridge.stop()
    url = bridge.start()
    assert bridge.start() == bridge.url == url
    bridge.stop()
    assert bridge.url is None
    assert bridge.start().startswith("http://127.0.0.1:")
    bridge.stop()


def test_a_bridge_that_cannot_start_says_so() -> None:
    with pytest.raises(OSError, match="assign"):
        HarnessMCPBridge(toolbox(), host="203.0.113.7").start()


async def test_only_tools_that_there_are_can_be_renamed() -> None:
    with pytest.raises(HarnessError, match="does not expose: nope"):
        await build_bridge_server(toolbox(), {"x": "nope"})


class Socket:
    """A client of the conversation: what it sends is put in, what it is sent is taken out."""

    def __init__(self, environment: HarnessEnvironment) -> None:
        self.coming: asyncio.Queue[str | bytes | None] = asyncio.Queue()
        self.sent: asyncio.Queue[dict[str, Any]] = asyncio.Queue(maxsize=1)
        kind = guest_type(lambda: environment, type(environment), mode="production", steps_list_tools=False)
        self.manager = SessionManager(EnvironmentSpecification.of(kind, HarnessAction, Observation, State, "agent"))
        self.pipeline = Pipeline(self.manager, [self])
        self.seen: list[tuple[str, Result]] = []
        self.session = ""
        self.done = asyncio.ensure_future(self._converse(environment.adapter.config.name))

    async def _converse(self, harness: str) -> None:
        made = await self.pipeline.run(Operation("create", SessionRequest(kind="socket")))
        self.session = made.session or ""
        try:
            await harness_messages(
                lambda: self.pipeline.run(Operation("reset", session=self.session)),
                lambda action, control: self.pipeline.run(Operation("step", action, session=self.session, control=control)),
                self.coming.get,
                self.sent.put,
                session_id="s1",
                harness=harness,
            )
        finally:
            await self.manager.shutdown()

    def before(self, operation: Operation) -> None:
        """As a middleware: what is refused without being begun."""
        if operation.op == "step" and operation.payload.message == "too soon":
            raise RateLimited("Not so fast", retry_after_s=1.0)

    def after(self, operation: Operation, result: Result) -> None:
        """As a middleware: what was done."""
        self.seen.append((operation.op, result))

    async def say(self, frame: Any) -> None:
        await self.coming.put(frame if frame is None or isinstance(frame, (str, bytes)) else json.dumps(frame))

    async def hear(self) -> dict[str, Any]:
        return await self.sent.get()


async def talk(adapter: Played) -> Socket:
    socket = Socket(HarnessEnvironment(adapter))
    assert await socket.hear() == {"type": "session_started", "data": {"session_id": "s1", "harness": "toy"}}
    return socket


MESSAGE = {"type": "message", "content": "hi"}


async def test_a_conversation_streams_each_turn() -> None:
    adapter = Played([event("text_output", text="hm"), event("turn_complete", response="r")])
    socket = await talk(adapter)
    for _ in range(2):
        await socket.say(MESSAGE)
        first, last = await socket.hear(), await socket.hear()
        assert (first["type"], first["data"], set(first)) == ("text_output", {"text": "hm"}, {"type", "timestamp", "data"})
        assert (last["type"], last["data"]) == ("turn_complete", {"response": "r"})
    await socket.say(None)
    await socket.done
    assert socket.sent.empty()


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ("not json", "INVALID_JSON"),
        ("[" * 100_000, "INVALID_JSON"),
        ("[]", "VALIDATION_ERROR"),
        ("5", "VALIDATION_ERROR"),
        ("{}", "VALIDATION_ERROR"),
        ({"type": "close"}, "VALIDATION_ERROR"),
        ({"type": "message", "content": 5}, "VALIDATION_ERROR"),
        (b"\x00", "VALIDATION_ERROR"),
    ],
)
async def test_a_frame_that_is_no_message_changes_nothing(frame: Any, code: str) -> None:
    adapter = Played()
    socket = await talk(adapter)
    await socket.say(frame)
    refusal = await socket.hear()
    assert (refusal["type"], refusal["data"]["code"]) == ("protocol_error", code)
    assert len(refusal["data"]["message"]) < 500
    await socket.say({**MESSAGE, "more": 1})
    assert (await socket.hear())["type"] == "turn_complete"
    await socket.say(None)
    await socket.done
    assert adapter.log == ["stop", "start", "hi", "stop"]


@pytest.mark.parametrize(
    ("turn", "message"),
    [
        ([event("text_output", text="a")], "harness event stream ended without a TURN_COMPLETE event"),
        ([event("text_output", text="a"), HarnessError("no money")], "no money"),
        ([event("text_output", text="a"), ValueError("a secret")], "harness turn failed"),
        ([event("text_output", text="a"), "wait"], "harness turn exceeded 0.5 seconds"),
    ],
)
async def test_a_turn_that_fails_ends_the_conversation(turn: list[Any], message: str) -> None:
    adapter = Played(turn, timeout_s=0.5 if "wait" in turn else 30.0)  # what comes before it comes in time
    socket = await talk(adapter)
    await socket.say(MESSAGE)
    assert (await socket.hear())["data"] == {"text": "a"}
    failure = await socket.hear()
    assert (failure["type"], failure["data"]) == ("error", {"message": message, "recoverable": False})
    await socket.done
    assert socket.sent.empty()
    assert not adapter.alive


async def test_an_agent_that_does_not_start_is_told() -> None:
    adapter = Played()
    adapter.fails["start"] = HarnessStartupError("no binary")
    socket = Socket(HarnessEnvironment(adapter))
    assert await socket.hear() == {"type": "error", "data": {"message": "no binary", "code": "SESSION_ERROR"}}
    await socket.done


async def test_a_client_that_goes_away_ends_its_turn() -> None:
    adapter = Played(["wait"])
    socket = await talk(adapter)
    await socket.say(MESSAGE)
    await adapter.waiting.wait()
    await socket.say(None)
    await socket.done
    assert not adapter.alive


async def test_a_conversation_that_is_cancelled_stops_the_agent() -> None:
    adapter = Played(["wait"])
    socket = await talk(adapter)
    await socket.say(MESSAGE)
    await adapter.waiting.wait()
    socket.done.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await socket.done
    assert not adapter.alive


async def test_turns_are_operations_like_any_other() -> None:
    adapter = Played([event("turn_complete", response="r", done=True)], ["wait"])
    socket = await talk(adapter)
    await socket.say(MESSAGE)
    assert (await socket.hear())["type"] == "turn_complete"
    await socket.say({"type": "message", "content": "too soon"})
    refused = await socket.hear()
    assert HarnessProtocolError.model_validate(refused).data["code"] == "RATE_LIMITED"
    await socket.say(MESSAGE)
    await adapter.waiting.wait()
    assert socket.manager.sessions[socket.session].describe()["busy"]
    assert socket.manager.sessions[socket.session].describe()["steps"] == 2
    await socket.say(None)
    await socket.done
    assert adapter.log == ["stop", "start", "hi", "hi", "stop", "stop"]
    assert [op for op, _ in socket.seen] == ["create", "reset", "step", "step", "step", "close"]
    assert [type(result.error) for op, result in socket.seen if op == "step"] == [type(None), RateLimited, Cancelled]


async def test_a_session_that_is_closed_in_a_turn_says_no_more() -> None:
    adapter = Played(["wait"])
    socket = await talk(adapter)
    session = socket.manager.sessions[socket.session]
    session.on_end = lambda _: socket.coming.put_nowait(None)
    await socket.say(MESSAGE)
    await adapter.waiting.wait()
    closed = await socket.pipeline.run(Operation("close", session=socket.session))
    assert closed.value["closed"] is True
    await socket.done
    assert socket.sent.empty()
    assert not adapter.alive


@pytest.mark.parametrize("raised", [SystemExit(2), KeyboardInterrupt(), GeneratorExit()])
@pytest.mark.parametrize("where", ["turn", "stop"])
async def test_whatever_an_agent_raises_ends_its_conversation_only(raised: BaseException, where: str) -> None:
    adapter = Played([raised if where == "turn" else HarnessError("no money")])
    socket = await talk(adapter)
    if where == "stop":
        adapter.fails["stop"] = raised
    await socket.say(MESSAGE)
    told = await socket.hear()
    assert (told["type"], told["data"]["message"]) == ("error", "harness turn failed" if where == "turn" else "no money")
    await socket.done


async def test_a_slow_client_slows_the_agent_and_misses_nothing() -> None:
    events = [event("text_output", text=str(number)) for number in range(3000)]
    adapter = Played([*events, event("turn_complete", response="r")])
    socket = await talk(adapter)
    await socket.say(MESSAGE)
    texts = [(await socket.hear())["data"].get("text") for _ in range(3001)]
    assert texts == [*map(str, range(3000)), None]
    await socket.say(None)
    await socket.done


async def test_a_message_sent_during_a_turn_waits() -> None:
    adapter = Played([event("turn_complete", response="1")], [event("turn_complete", response="2")])
    socket = await talk(adapter)
    await socket.say({"type": "message", "content": "a"})
    await socket.say({"type": "message", "content": "b"})
    assert [(await socket.hear())["data"]["response"] for _ in range(2)] == ["1", "2"]
    await socket.say(None)
    await socket.done
    assert adapter.log == ["stop", "start", "a", "b", "stop"]
