"""Environments made of MCP servers: real server processes, kind ones and rude ones."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from openenv.environment import Transform
from openenv.errors import CapacityReached, ConfigurationError, ToolFailed, ToolServerFailed
from openenv.evaluation.scoring import ENVIRONMENT_CODES
from openenv.operation import Control, Notice, Operation, Result
from openenv.scenario import Scenario
from openenv.tools.remote import McpServer, McpServerEnvironment, environment_of
from openenv.types import CallToolAction, ListToolsAction, Observation, ToolListing, ToolResult
from tests.support.local import Local
from tests.support.processes import ROOT, Server, Servers

SUPPORT = ROOT / "tests" / "support"
SMALL = McpServer(command=(sys.executable, str(SUPPORT / "mcp_server.py")))


def rude(name: str, **known: Any) -> McpServer:
    """The rude server of this name, with little patience."""
    command = (sys.executable, "-I", str(SUPPORT / "rude_mcp_server.py"), name)
    return McpServer(command=command, **{"call_timeout_s": 10.0, "max_message_bytes": 1_000_000, **known})


def made_of(server: McpServer, **attributes: Any) -> type[McpServerEnvironment]:
    """A class of environments made of it."""
    return type("Made", (McpServerEnvironment,), {"server": server, **attributes})


@asynccontextmanager
async def playing(server: McpServer, **attributes: Any) -> AsyncIterator[Player]:
    """One session of an environment made of the server, closed at the end."""
    local = Local(made_of(server, **attributes))
    try:
        yield Player(local, await local.open())
    finally:
        await local.manager.shutdown()


class Player:
    """Operations in one session."""

    def __init__(self, local: Local, session: str) -> None:
        self.local = local
        self.session = session

    async def do(self, op: Any, payload: Any = None, **known: Any) -> Result:
        return await self.local.run(op, payload, session=self.session, **known)

    async def ok(self, op: Any, payload: Any = None, **known: Any) -> Result:
        return await self.local.ok(op, payload, session=self.session, **known)

    async def call(self, tool: str, **arguments: Any) -> Result:
        return await self.do("call_tool", (tool, arguments))

    async def told(self, tool: str, **arguments: Any) -> ToolResult:
        result = await self.call(tool, **arguments)
        assert result.error is None, result.error
        assert result.tool_error is None, result.tool_error
        assert isinstance(result.value, ToolResult)
        return result.value

    async def state(self) -> dict[str, Any]:
        state: dict[str, Any] = (await self.ok("state")).value.model_dump()
        return state

    @property
    def environment(self) -> Any:
        play = self.local.manager.sessions[self.session].world.play
        assert play is not None
        return play.environment


def alive(pid: int) -> bool:
    """Whether there is such a process and it has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


async def until(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110 - what is waited for is in another process
        await asyncio.sleep(0.02)


async def test_tools_are_listed_and_their_calls_are_steps() -> None:
    async with playing(SMALL) as player:
        listed: list[ToolListing] = (await player.ok("list_tools")).value
        by_name = {listing.name: listing for listing in listed}
        add = by_name["add"]
        assert add.description == "Add two numbers."
        assert add.read_only
        assert add.annotations == {"readOnlyHint": True, "idempotentHint": True}
        assert set(add.input_schema["properties"]) == {"a", "b"}
        assert add.output_schema is not None
        assert by_name["process"].annotations == {}
        reset = await player.ok("reset")
        assert reset.observation is not None
        assert reset.observation.metadata == {
            "tools": len(listed),
            "server": "small-server",
            "version": "1.2.3",
            "instructions": "Remember what you are told.",
        }
        total = await player.told("add", a=2, b=3)
        assert (total.structured_content, total.data) == ({"total": 5}, {"total": 5})
        kept = await player.told("remember", text="milk")
        assert (kept.structured_content, kept.data) == ({"result": ["milk"]}, {"result": ["milk"]})
        picture = await player.told("picture")
        assert [block["type"] for block in picture.content] == ["image"]
        assert picture.content[0]["mimeType"] == "image/png"
        assert picture.data == picture.content
        step = await player.ok("step", CallToolAction(tool_name="add", arguments={"a": 1, "b": 1}))
        assert step.tool == "add"
        assert step.observation.result.data == {"total": 2}  # type: ignore[union-attr]
        seen = await player.ok("step", ListToolsAction())
        assert [tool.name for tool in seen.observation.tools] == list(by_name)  # type: ignore[union-attr]
        state = await player.state()
        assert state["step_count"] == 5
        assert (state["server"], state["server_version"], state["running"]) == ("small-server", "1.2.3", True)


async def test_what_a_tool_says_against_a_call_is_a_typed_error_with_all_that_it_said() -> None:
    async with playing(SMALL) as player:
        no = await player.call("refuse")
        assert no.error is None
        assert isinstance(no.tool_error, ToolFailed)
        assert no.tool_error.body() == {
            "message": "No. It is Sunday.",
            "code": "TOOL_FAILED",
            "structured_content": {"day": "sunday"},
        }
        assert no.value.is_error
        assert no.value.content == [{"type": "text", "text": "No. It is Sunday."}]
        assert no.observation.error.error_type == "execution_error"  # type: ignore[union-attr]
        unknown = await player.call("ad")
        assert unknown.tool_error is not None
        assert unknown.tool_error.code == "TOOL_NOT_FOUND"
        assert unknown.tool_error.hint == "Did you mean add?"
        assert unknown.observation.error.error_type == "tool_not_found"  # type: ignore[union-attr]
        missing = await player.call("add", a=1)
        assert missing.tool_error is not None
        assert (missing.tool_error.code, missing.tool_error.field) == ("INVALID_ARGUMENTS", "b")
        assert missing.observation.error.error_type == "invalid_args"  # type: ignore[union-attr]
        wrong = await player.call("add", a=1, b="many")
        assert wrong.tool_error is not None
        assert "many" in wrong.tool_error.message or "valid integer" in wrong.tool_error.message
        assert (await player.state())["step_count"] == 4


async def test_a_reset_begins_with_a_new_process_and_the_end_takes_everything_along(tmp_path: Path) -> None:
    log = tmp_path / "log"
    async with playing(replace(SMALL, command=(*SMALL.command, str(log)))) as player:
        await player.ok("list_tools")
        await player.ok("reset")
        first = int((await player.told("process")).data)
        assert log.read_text() == f"started {first}\n", "listing and the first reset share one process"
        await player.told("remember", text="milk")
        child = int((await player.told("spawn")).data)
        assert alive(child)
        await player.ok("reset")
        second = int((await player.told("process")).data)
        assert second != first
        assert (await player.told("remember", text="bread")).data == {"result": ["bread"]}
        await until(lambda: not alive(first) and not alive(child))
    await until(lambda: not alive(second))
    assert log.read_text().count("started") == 2


async def test_worlds_share_no_process_and_a_seed_is_refused() -> None:
    local = Local(made_of(SMALL))
    try:
        one, two = await asyncio.gather(local.open(), local.open())
        asked = [local.ok("call_tool", ("remember", {"text": text}), session=s) for s, text in ((one, "a"), (two, "b"))]
        assert [result.value.data for result in await asyncio.gather(*asked)] == [{"result": ["a"]}, {"result": ["b"]}]
        seeded = await local.run("reset", session=one, arguments={"seed": 4})
        assert seeded.error is not None
        assert (seeded.error.code, seeded.error.field) == ("VALIDATION_ERROR", "seed")
    finally:
        await local.manager.shutdown()


async def test_the_process_gets_few_variables_and_those_that_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_OURS", "1")
    monkeypatch.setenv("SECRET_FOR_IT", "2")
    async with playing(replace(SMALL, env=("SECRET_FOR_IT",))) as player:
        names = (await player.told("variables")).data.split("\n")
    assert "SECRET_FOR_IT" in names
    assert "PATH" in names
    assert "SECRET_OF_OURS" not in names
    with pytest.raises(ConfigurationError, match="NOT_SET_ANYWHERE is not set"):
        replace(SMALL, env=("NOT_SET_ANYWHERE",)).environment()


async def test_progress_reaches_the_caller_and_cancelling_reaches_the_server(tmp_path: Path) -> None:
    log = tmp_path / "log"
    async with playing(replace(SMALL, command=(*SMALL.command, str(log)))) as player:
        await player.ok("reset")
        notices: list[Notice] = []
        control = Control(notices.append)
        count = Operation("call_tool", ("count", {"to": 3}), session=player.session, control=control)
        counted = await player.local.pipeline.run(count)
        assert counted.value.data == "counted to 3"
        await until(lambda: len(notices) == 3)
        assert [(one.kind, one.progress, one.total, one.message) for one in notices] == [
            ("progress", number, 3, f"at {number}") for number in (1, 2, 3)
        ]
        control = Control()
        long = Operation("call_tool", ("count", {"to": 600, "pause": 1}), session=player.session, control=control)
        running = asyncio.create_task(player.local.pipeline.run(long))
        await until(lambda: log.read_text().count("begun") == 2)
        control.cancel()
        cancelled = await running
        assert cancelled.error is not None
        assert cancelled.error.code == "CANCELLED"
        await until(lambda: "cancelled" in log.read_text())
        assert (await player.told("add", a=1, b=2)).data == {"total": 3}, "the server lives on"


async def test_a_list_that_changes_is_told_and_listed_anew() -> None:
    async with playing(SMALL) as player:
        await player.ok("reset")
        changes: list[None] = []
        player.local.manager.sessions[player.session].world.tool_listeners.add(lambda: changes.append(None))
        await player.told("grow", name="late")
        await until(lambda: bool(changes))
        listed = (await player.ok("list_tools")).value
        assert "late" in [listing.name for listing in listed]
        assert len(changes) == 1
        assert int((await player.told("late")).data["result"]) > 0
        await player.ok("reset")
        await until(lambda: len(changes) == 2)
        assert "late" not in [listing.name for listing in (await player.ok("list_tools")).value]


async def test_a_server_that_dies_is_a_typed_error_until_the_next_reset() -> None:
    async with playing(SMALL) as player:
        await player.ok("reset")
        first = (await player.told("process")).data
        died = await player.call("die")
        assert isinstance(died.error, ToolServerFailed)
        assert "exit code 3" in died.error.message
        assert died.error.hint == "Reset to start it anew."
        for op, payload in (("call_tool", ("add", {"a": 1, "b": 1})), ("list_tools", None)):
            again = await player.do(op, payload)
            assert isinstance(again.error, ToolServerFailed)
        state = await player.state()
        assert (state["running"], state["step_count"]) == (False, 1)
        await player.ok("reset")
        assert (await player.told("process")).data != first


async def test_in_an_evaluation_a_server_that_died_is_the_environments_failure() -> None:
    async with playing(SMALL) as player:
        await player.ok("load_scenario", SCENARIO)
        await player.call("die")
        graded = await player.ok("verify", ("3", None))
        codes = [event["error"]["code"] for event in graded.value["events"] if event["error"]]
        assert codes == ["TOOL_SERVER_FAILED"]
        assert set(codes) <= ENVIRONMENT_CODES


SCENARIO = Scenario.model_validate(
    {
        "id": "groceries",
        "task": "Remember milk, then bread, and say how many things you remember.",
        "setup": [{"tool": "remember", "arguments": {"text": "salt"}}],
        "verifiers": [
            {
                "verifier_type": "tool_calls",
                "validation_config": {
                    "arguments": {"remember": [{"text": "milk"}, {"text": "bread"}]},
                    "maximum_tool_calls": 2,
                },
            },
            {"verifier_type": "response", "validation_config": {"contains": ["3"]}},
        ],
        "max_steps": 5,
    }
)


async def test_a_scenario_is_set_up_by_the_tools_and_its_calls_are_scored() -> None:
    async with playing(SMALL) as player:
        await player.ok("load_scenario", SCENARIO)
        assert (await player.state())["step_count"] == 0
        first = await player.call("remember", text="milk")
        assert first.value.data == {"result": ["salt", "milk"]}
        assert first.reward == 0.0
        await player.call("remember", text="bread")
        graded = await player.ok("verify", ("3 things", None))
        assert (graded.value["passed"], graded.value["reward"]) == (True, 1.0)
        events = player.local.manager.sessions[player.session].world.play.episode.events  # type: ignore[union-attr]
        assert [(event.tool, event.success) for event in events] == [("remember", True), ("remember", True)]
        await player.ok("reset")
        assert (await player.told("remember", text="butter")).data == {"result": ["salt", "butter"]}
        failed = await player.ok("verify", ("3 things", None))
        assert (failed.value["passed"], failed.value["reward"]) == (False, 0.0)
        seeded = await player.do("load_scenario", SCENARIO.model_copy(update={"seed": 7}))
        assert seeded.error is not None
        assert seeded.error.field == "seed"
        broken = SCENARIO.model_copy(update={"setup": [SCENARIO.setup[0].model_copy(update={"tool": "refuse"})]})
        unset = await player.do("load_scenario", broken)
        assert unset.error is not None
        assert "setup call 1 (refuse) failed: No. It is Sunday." in unset.error.message


class PerCall(Transform[Observation]):
    """A point for each call that went well."""

    def __call__(self, observation: Observation) -> Observation:
        if getattr(observation, "tool_name", None) is not None:
            observation.reward = 0.0 if observation.error else 1.0  # type: ignore[attr-defined]
        return observation


async def test_outside_a_scenario_a_transform_may_reward_the_calls() -> None:
    async with playing(SMALL, transform=PerCall()) as player:
        assert (await player.call("add", a=1, b=2)).reward == 1.0
        assert (await player.call("refuse")).reward == 0.0


async def test_the_same_over_http(module_serve: Servers) -> None:
    server = http_server(module_serve)
    async with playing(McpServer.of(f"{server.url}/mcp")) as player:
        reset = await player.ok("reset")
        assert reset.observation is not None
        assert reset.observation.metadata["server"] == "small-server"
        notices: list[Notice] = []
        count = Operation("call_tool", ("count", {"to": 2}), session=player.session, control=Control(notices.append))
        assert (await player.local.pipeline.run(count)).value.data == "counted to 2"
        await until(lambda: len(notices) == 2)
        assert (await player.call("refuse")).tool_error is not None
        before = player.environment._session
        await player.ok("reset")
        assert player.environment._session is not before
        assert (await player.told("add", a=2, b=2)).data == {"total": 4}
        server.kill()
        gone = await player.call("add", a=1, b=1)
        assert isinstance(gone.error, ToolServerFailed)
        assert "127.0.0.1" in gone.error.message


def http_server(servers: Servers) -> Server:
    """The small server at a URL."""
    return servers.start([sys.executable, str(SUPPORT / "mcp_server.py"), "--http"], env=os.environ)


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [
        ("silent", "TOOL_TIMEOUT", "did not answer within 1 s"),
        ("huge", "TOOL_SERVER_FAILED", "more than 1000000 bytes"),
        ("unended", "TOOL_SERVER_FAILED", "more than 1000000 bytes"),
        ("garbled", "TOOL_SERVER_FAILED", "not JSON-RPC"),
        ("deep", "TOOL_SERVER_FAILED", "not JSON-RPC"),
        ("malformed", "INVALID_ANSWER", "not MCP's"),
        ("broken", "TOOL_FAILED", "the disk is full"),
        ("chatter", "TOOL_SERVER_FAILED", "messages that answer nothing"),
        ("deaf", "TOOL_TIMEOUT", "did not answer within 1 s"),
    ],
)
async def test_rude_answers_are_typed_errors(name: str, code: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("openenv.tools._mcp_process.BUSY_MESSAGES", 2000)
    patience = 1.0 if code == "TOOL_TIMEOUT" else 15.0
    async with playing(rude(name, call_timeout_s=patience)) as player:
        result = await player.call("go", text="x" * (1_000_000 if name == "deaf" else 1))
        error = result.error or result.tool_error
        assert error is not None
        assert (error.code, said in error.message) == (code, True), error.message
        if code == "TOOL_TIMEOUT":
            assert result.observation.error.error_type == "timeout"  # type: ignore[union-attr]
        assert (await player.do("reset")).error is None


async def test_logs_floods_and_odd_numbers_do_not_disturb_an_answer() -> None:
    async with playing(rude("talkative")) as player:
        await player.ok("reset")
        notices: list[Notice] = []
        go = Operation("call_tool", ("go", {}), session=player.session, control=Control(notices.append))
        result = await player.local.pipeline.run(go)
        assert result.value.content == [{"type": "text", "text": "here"}]
        await until(lambda: bool(notices))
        assert [one.kind for one in notices] == ["log"]
        assert len(notices[0].message) == 4000


@pytest.mark.parametrize(
    ("name", "said"),
    [("endless", "more than 100 pages"), ("wide", "more than 2000 tools"), ("wrong", "inputSchema.required")],
)
async def test_lists_without_an_end_or_sense_are_refused(name: str, said: str) -> None:
    async with playing(rude(name)) as player:
        result = await player.do("reset")
        assert isinstance(result.error, ToolServerFailed)
        assert said in result.error.message


async def test_odd_lists_are_borne() -> None:
    async with playing(rude("twins")) as player:
        listed = (await player.ok("list_tools")).value
        assert [(one.name, one.description) for one in listed] == [("go", "Do it"), ("odd", "Do it")]
        assert (await player.told("go", anything=1)).data == "done"
        odd = await player.call("odd", a=1)
        assert odd.tool_error is not None
        assert (odd.tool_error.code, odd.tool_error.field) == ("INVALID_ARGUMENTS", "a")


async def test_a_server_that_asks_back_is_told_that_nobody_answers() -> None:
    async with playing(rude("asking")) as player:
        assert "not supported" in (await player.told("go")).data.lower()


@pytest.mark.parametrize(
    ("server", "said"),
    [
        (rude("mute", start_timeout_s=1.0), "did not answer within 1 s of its start"),
        (rude("early"), "exit code 7"),
        (McpServer(command=("no-such-program-anywhere",)), "cannot be started or reached: No such file"),
        (McpServer(url="http://127.0.0.1:9/mcp"), "cannot be reached"),
    ],
)
async def test_a_server_that_does_not_start_is_a_typed_error(server: McpServer, said: str) -> None:
    async with playing(server) as player:
        result = await player.do("reset")
        assert isinstance(result.error, ToolServerFailed)
        assert said in result.error.message
        assert player.environment._running == set()


async def test_a_server_that_will_not_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("openenv.tools._mcp_process.GRACE_S", 0.2)
    async with playing(rude("stubborn")) as player:
        await player.told("go")
        pid = pid_of(player)
        assert alive(pid)
    await until(lambda: not alive(pid))


def pid_of(player: Player) -> int:
    """The process of the player's server: the child of ours that was started with its command."""
    command = "\0".join(player.environment.server.command).encode()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == os.getpid() and (entry / "cmdline").read_bytes().startswith(command):
                found.append(int(entry.name))
        except (FileNotFoundError, ProcessLookupError):
            continue
    assert len(found) == 1
    return found[0]


async def test_a_server_of_the_newest_revision_alone() -> None:
    async with playing(rude("modern")) as player:
        await player.ok("reset")
        assert (await player.state())["protocol_version"] == "2026-07-28"
        changes: list[None] = []
        player.local.manager.sessions[player.session].world.tool_listeners.add(lambda: changes.append(None))
        while not changes:
            assert (await player.told("go")).data == "new"
        asked = await player.call("other")
        assert asked.tool_error is not None
        assert asked.tool_error.code == "INPUT_REQUIRED"


async def test_no_more_servers_run_than_sessions_may_be() -> None:
    local = Local(made_of(rude("twins"), max_sessions=1))
    kind: Any = local.specification.environment_type
    session = await local.open()
    try:
        kind._running.update(object() for _ in range(17))
        full = await local.run("reset", session=session)
        assert isinstance(full.error, CapacityReached)
        kind._running.clear()
        await local.ok("reset", session=session)
        assert len(kind._running) == 1
    finally:
        await local.manager.shutdown()
    assert kind._running == set()


async def test_a_class_can_be_made_of_a_server_that_works() -> None:
    kind = await environment_of(SMALL)
    described = kind.get_metadata()
    assert (described.name, described.version) == ("small-server", "1.2.3")
    assert described.description == "10 tools of the MCP server small-server"
    assert (await environment_of(SMALL, name="mine")).get_metadata().name == "mine"
    with pytest.raises(ConfigurationError, match="NOT_SET_ANYWHERE is not set"):
        await environment_of(replace(SMALL, env=("NOT_SET_ANYWHERE",)))
    with pytest.raises(ToolServerFailed, match="exit code 7"):
        await environment_of(rude("early"))


def test_a_target_is_a_url_or_a_command_line() -> None:
    assert McpServer.of("npx -y 'a b'").command == ("npx", "-y", "a b")
    server = McpServer.of("https://me:secret@host/mcp?key=1", call_timeout_s=5)
    assert (server.url, server.call_timeout_s) == ("https://me:secret@host/mcp?key=1", 5)
    assert server.shown == "https://host/mcp"
    assert McpServer.of("/opt/bin/tool --token x").shown == "'tool'"
    for target in ("", "'"):
        with pytest.raises(ConfigurationError):
            McpServer.of(target)
    with pytest.raises(ConfigurationError, match="which MCP server"):
        McpServerEnvironment()


async def test_a_stream_of_changes_that_breaks_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise ValueError("the SDK broke")

    monkeypatch.setattr("openenv.tools._mcp_session.listen", broken)
    async with playing(rude("modern")) as player:
        await player.ok("reset")
        await until(lambda: "can tell of no changes any more" in caplog.text)
        assert "the SDK broke" in caplog.text
        assert len((await player.ok("list_tools")).value) > 0


async def test_what_a_server_calls_itself_is_bounded() -> None:
    async with playing(rude("boastful")) as player:
        notes = (await player.ok("reset")).observation.metadata  # type: ignore[union-attr]
        assert (len(notes["server"]), len(notes["version"])) == (200, 200)
        state = await player.state()
        assert (len(state["server"]), len(state["server_version"])) == (200, 200)
