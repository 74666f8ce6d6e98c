"""What an agent's process, its environment and its tools' server do."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from fastmcp import Client, FastMCP

from openenv.core.env_server.mcp_types import CallToolAction, ListToolsAction, Tool
from openenv.core.env_server.types import Action, Observation
from openenv.core.harness import (
    AgenticHarnessAdapter,
    HarnessAction,
    HarnessClientMessage,
    HarnessConfig,
    HarnessEnvironment,
    HarnessError,
    HarnessEvent,
    HarnessEventType,
    HarnessMCPBridge,
    HarnessNotRunningError,
    HarnessStartupError,
    HarnessTurnTimeoutError,
    build_bridge_server,
    events_to_metadata,
)
from openenv.core.rubrics import Rubric
from tests.interop.scripts.harness_toys import Cases, outcome, told

CASES = Cases()


async def does(work: Awaitable[Any]) -> Any:
    """What a call returns, an observation as plain data, or the type of what it raises."""
    return await told(work, lambda result: seen(result) if isinstance(result, Observation) else result)


def seen(observation: Observation) -> Any:
    """An observation, with the ids and times that were made up hidden."""
    dumped = observation.model_dump(mode="json")
    metadata = dumped["metadata"]
    if len(str(metadata.get("episode_id"))) == 36:
        metadata["episode_id"] = "(made up)"
    for event in metadata.get("turn_events", []):
        event["timestamp"] = event["timestamp"] if event["timestamp"] == 1.0 else "(now)"
    return dumped


def event(kind: str, **data: Any) -> HarnessEvent:
    return HarnessEvent(type=HarnessEventType(kind), timestamp=1.0, data=data)


@CASES.add
def models() -> Any:
    def dumped(model: Any, **fields: Any) -> Any:
        return model(**fields).model_dump(mode="json")

    return {
        "config": [
            outcome(dumped, HarnessConfig, **fields)
            for fields in (
                {"name": "a", "command": ["x"]},
                {"name": "a", "command": []},
                {"name": "a", "command": ["x"], "transport": "http", "session_timeout_s": 5},
                {"name": "a", "command": ["x"], "transport": "telepathy"},
                {"name": "a", "command": ["x"], "more": 1},
            )
        ],
        "event": [
            outcome(dumped, HarnessEvent, type="error", timestamp=2, data={"a": 1}, more=1),
            outcome(dumped, HarnessEvent, type="nope"),
        ],
        "message": [
            outcome(dumped, HarnessClientMessage, **found)
            for found in (
                {"type": "message", "content": "x", "more": 1},
                {"type": "close", "content": "x"},
                {"type": "message"},
                {"type": "message", "content": 4},
            )
        ],
        "metadata": events_to_metadata([event("tool_call", a={1}), event("error")]),
    }


class Toy(AgenticHarnessAdapter):
    """An agent that plays back its turns; remembers what it was asked."""

    BUILTIN_TOOL_NAMES = frozenset({"read_file"})

    def __init__(
        self,
        turns: Sequence[Sequence[Any]] = (),
        *,
        timeout_s: float = 30.0,
        fails: Mapping[str, Exception] = MappingProxyType({}),
    ) -> None:
        super().__init__(HarnessConfig(name="toy", command=["toy"], working_directory="/somewhere", session_timeout_s=timeout_s))
        self.turns = list(turns) or [[event("text_output", text="t"), event("turn_complete", response="hello")]]
        self.fails = fails
        self.log: list[Any] = []
        self.url: str | None = None
        self.alive = False
        self.asked = asyncio.Event()

    async def inject_tools(self, tools: list[Tool], bridge_url: str | None = None) -> None:
        self.log.append(["inject", [one.name for one in tools], bridge_url is not None])
        self.url = bridge_url

    async def start(self, working_directory: str) -> None:
        self.log.append(["start", working_directory])
        if "start" in self.fails:
            raise self.fails["start"]
        self.alive = True

    async def stop(self) -> None:
        self.log.append("stop")
        self.alive = False
        if "stop" in self.fails:
            raise self.fails["stop"]

    async def is_alive(self) -> bool:
        return self.alive

    async def send_message_streaming(self, message: str) -> AsyncIterator[HarnessEvent]:
        self.log.append(["send", message])
        self.asked.set()
        turn = self.turns.pop(0) if len(self.turns) > 1 else self.turns[0]
        for one in turn:
            if isinstance(one, Exception):
                raise one
            if isinstance(one, float):
                await asyncio.sleep(one)
            elif one == "dies":
                self.alive = False
            else:
                yield one


class Fond(Rubric):
    """Likes what is longer."""

    def forward(self, action: Any, observation: Any) -> float:
        return len(observation.metadata["response"]) / 10


class FondLater(Rubric):
    """The same, in its own time."""

    async def forward(self, action: Any, observation: Any) -> float:  # type: ignore[override]
        await asyncio.sleep(0)
        return 0.25


TURNS: dict[str, list[Any]] = {
    "done": [event("turn_complete", response="r", done=True)],
    "no response": [event("turn_complete")],
    "a number": [event("turn_complete", response=5, done="yes")],
    "two endings": [event("turn_complete", response="1"), event("turn_complete", response="2")],
    "an error on the way": [event("error", message="m", recoverable=True), event("turn_complete", response="r")],
    "no ending": [event("text_output", text="a")],
    "something after the end": [event("turn_complete", response="1"), event("text_output", text="late")],
    "nothing": [],
    "raises": [event("text_output", text="a"), ValueError("boom")],
    "fails": [event("text_output", text="a"), HarnessError("he")],
    "not running": [HarnessNotRunningError("nr")],
    "timed out": [HarnessTurnTimeoutError("tt")],
    "dies": [event("text_output", text="a"), "dies", event("turn_complete", response="r")],
}


@CASES.add
def turns() -> Any:
    async def play(turn: list[Any]) -> Any:
        adapter = Toy([turn, [event("turn_complete", response="next")]])
        environment = HarnessEnvironment(adapter, rubric=Fond())
        await environment.reset_async(episode_id="e")
        one = await does(environment.step_async(HarnessAction(message="x")))
        steps = environment.state.step_count
        two = await does(environment.step_async(HarnessAction(message="y")))
        again = await does(environment.reset_async())
        three = await does(environment.step_async(HarnessAction(message="z")))
        environment.close()
        return [one, steps, two, again, three, adapter.log]

    async def alone(turn: list[Any]) -> Any:
        response = await does(Toy([turn]).send_message("x"))
        return response if isinstance(response, dict) else response.model_dump(mode="json")

    return {name: [asyncio.run(play(turn)), asyncio.run(alone(turn))] for name, turn in TURNS.items()}


async def _life() -> Any:
    adapter = Toy()
    one = HarnessEnvironment(adapter)
    lived = [
        await does(one.step_async(HarnessAction(message="early"))),
        one.state.model_dump(),
        await does(one.reset_async(seed=3, episode_id="e", more=1)),
        await does(one.step_async(HarnessAction(message="a"))),
        await does(one.step_async(HarnessAction(message="b"), timeout_s=5, more=1)),
        [kept.type.value for kept in one.trajectory],
        await does(one.step_async(ListToolsAction())),
        await does(one.step_async(CallToolAction(tool_name="nope", arguments={}))),
        await does(one.step_async(Action())),
        one.state.model_dump(),
        await does(one.reset_async()),
        one.state.step_count,
        len(one.trajectory),
    ]
    one.close()
    one.close()
    lived += [
        await does(one.step_async(HarnessAction(message="late"))),
        await does(one.reset_async()),
        adapter.log,
    ]
    return lived


async def _dead() -> Any:
    adapter = Toy()
    one = HarnessEnvironment(adapter)
    await one.reset_async(episode_id="e")
    adapter.alive = False
    ended = await does(one.step_async(HarnessAction(message="a")))
    return [ended, one.state.model_dump(), [kept.type.value for kept in one.trajectory], adapter.log]


async def _too_long(timeout_s: float | None) -> Any:
    adapter = Toy([[event("text_output", text="a"), 30.0]], timeout_s=0.05)
    one = HarnessEnvironment(adapter, rubric=Fond())
    await one.reset_async(episode_id="e")
    ended = await does(one.step_async(HarnessAction(message="a"), timeout_s=timeout_s))
    return [ended, one.state.step_count, adapter.log, await does(one.step_async(HarnessAction(message="b")))]


async def _cancelled() -> Any:
    adapter = Toy([[30.0]])
    one = HarnessEnvironment(adapter)
    await one.reset_async()
    running = asyncio.ensure_future(one.step_async(HarnessAction(message="a")))
    await adapter.asked.wait()
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    return [adapter.log, await does(one.step_async(HarnessAction(message="b")))]


async def _broken(**fails: Exception) -> Any:
    adapter = Toy(fails=fails)
    one = HarnessEnvironment(adapter)
    results = [await does(one.reset_async()), await does(one.step_async(HarnessAction(message="a")))]
    return [*results, one.state.episode_id, outcome(one.close), adapter.log]


async def _later() -> Any:
    one = HarnessEnvironment(Toy(), rubric=FondLater())
    return [await does(one.reset_async(episode_id="e")), await does(one.step_async(HarnessAction(message="a")))]


@CASES.add
def environment() -> Any:
    blocking = HarnessEnvironment(Toy())
    return {
        "life": asyncio.run(_life()),
        "blocking": [
            seen(blocking.reset(episode_id="e")),
            seen(blocking.step(HarnessAction(message="a"))),
            seen(blocking.step(ListToolsAction())),
            outcome(blocking.close),
        ],
        "dead": asyncio.run(_dead()),
        "too long": [asyncio.run(_too_long(limit)) for limit in (None, 0.01, 0, -1)],
        "cancelled": asyncio.run(_cancelled()),
        "does not start": asyncio.run(_broken(start=HarnessStartupError("no"))),
        "start raises": asyncio.run(_broken(start=ValueError("no"))),
        "does not stop": asyncio.run(_broken(stop=ValueError("no"))),
        "a rubric that waits": asyncio.run(_later()),
    }


def toolbox(*names: str) -> Any:
    """A FastMCP server whose tools say their own name and what they were given."""
    server = FastMCP("toolbox")
    for name in names:
        server.tool(_named(name))
    return server


def _named(name: str) -> Any:
    def tool(text: str) -> str:
        return f"{name} {text}"

    tool.__name__ = name
    return tool


async def tools_at(url: str, *calls: str) -> Any:
    """The tools that a server at a URL has, and what some of them say."""
    async with Client(url) as client:
        listed = [one.name for one in await client.list_tools()]
        return [listed, [await does(_data(client, name)) for name in calls]]


async def _data(client: Any, name: str) -> Any:
    return (await client.call_tool(name, {"text": "x"})).data


@CASES.add
def tools() -> Any:
    async def served(*names: str) -> Any:
        adapter = Toy()
        one = HarnessEnvironment(adapter, mcp=toolbox(*names))
        begun = await does(one.reset_async(episode_id="e"))
        if adapter.url is None:
            return [begun, adapter.log]
        url = adapter.url
        found = await tools_at(url, *begun["metadata"]["injected_tools"], "read_file")
        own = [await does(one.step_async(CallToolAction(tool_name=name, arguments={"text": "y"}))) for name in names]
        again = await does(one.reset_async())
        other = await tools_at(adapter.url)
        gone = (await does(tools_at(url))) if url != adapter.url else {"raises": ""}
        one.close()
        after = await does(tools_at(adapter.url))
        return [
            begun,
            found,
            [step["result"]["data"] for step in own],
            again,
            other,
            "raises" in gone,
            "raises" in after,
            adapter.log,
        ]

    return {
        "some": asyncio.run(served("add", "read_file")),
        "none": asyncio.run(served()),
        "a conflict": asyncio.run(served("read_file", "env_read_file")),
    }


@CASES.add
def bridge_server() -> Any:
    server = toolbox("add", "mul")
    same = asyncio.run(build_bridge_server(server, {})) is server
    unknown = outcome(asyncio.run, build_bridge_server(server, {"x": "nope"}))
    view = asyncio.run(build_bridge_server(server, {"env_add": "add"}))
    bridge = HarnessMCPBridge(view)
    before = [bridge.url, outcome(bridge.stop)]
    url = bridge.start()
    again = bridge.start() == url == bridge.url
    found = asyncio.run(tools_at(url, "env_add", "mul", "add"))
    bridge.stop()
    bridge.stop()
    ended = bridge.url
    restarted = asyncio.run(tools_at(bridge.start()))
    bridge.stop()
    return [same, unknown, before, url.startswith("http://127.0.0.1:"), url.endswith("/mcp"), again, found, ended, restarted]
