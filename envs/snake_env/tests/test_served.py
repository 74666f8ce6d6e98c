"""The snake as it is used: a real server, and every dialect in turn."""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import httpx
import pytest
from websockets.sync.client import connect

from openenv.client import Connection, EnvClient, HttpSession, ToolClient, VectorEnvClient
from openenv.errors import OpenEnvError, ServerError
from openenv.evaluation.suite import load_suite
from openenv.operation import Operation
from openenv.runtime.play import Play
from openenv.runtime.specification import EnvironmentSpecification
from openenv.scenario import Scenario
from openenv.types import ListToolsAction
from snake_env import SnakeAction, SnakeObservation, scenarios
from snake_env.client import SnakeEnv
from snake_env.environment import SnakeEnvironment
from snake_env.game import Direction
from snake_env.models import SnakeState
from snake_env.oracle import decide, noop

SUITE = load_suite(scenarios.__path__[0])


class Server(Protocol):
    """A running server."""

    url: str
    ws_url: str


@pytest.fixture(scope="module")
def server(module_serve: Callable[..., Server]) -> Server:
    """``openenv serve snake``."""
    return module_serve("snake")


def locally(seed: int, moves: int) -> list[dict[str, Any]]:
    """What the oracle sees without a server: observations as they travel, with reward and done beside them."""
    world = SnakeEnvironment()
    seen = world.reset(seed=seed)
    told = [traveling(seen)]
    for _ in range(moves):
        seen = world.step(SnakeAction(direction=decide(seen)))
        told.append(traveling(seen))
    return told


def traveling(seen: SnakeObservation) -> dict[str, Any]:
    observation = seen.model_dump(mode="json", exclude={"reward", "done"})
    return {"observation": observation, "reward": seen.reward, "done": seen.terminated or seen.truncated}


def answered(body: dict[str, Any]) -> dict[str, Any]:
    return {name: body[name] for name in ("observation", "reward", "done")}


def understood(body: dict[str, Any]) -> SnakeObservation:
    return SnakeObservation.model_validate(body["observation"])


def test_openenvs_dialect(server: Server) -> None:
    with SnakeEnv(base_url=server.url) as client:
        results = [client.reset(seed=7)]
        for _ in range(60):
            results.append(client.step(SnakeAction(direction=decide(results[-1].observation))))
        state = client.state()
    told = [
        {
            "observation": result.observation.model_dump(mode="json", exclude={"reward", "done"}),
            "reward": result.reward,
            "done": result.done,
        }
        for result in results
    ]
    assert told == locally(7, 60)
    assert (state.step_count, state.score, state.width, state.stop_reason) == (60, state.length - 3, 10, None)


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
def test_protocol_v2(server: Server, encoding: Any) -> None:
    with Connection(server.url, encoding=encoding) as connection:
        session, other = connection.open(2)
        results = [session.reset(seed=7)]
        for _ in range(60):
            direction = decide(SnakeObservation.model_validate(results[-1].observation))
            results.append(session.step({"direction": direction}))
        told = [{"observation": one.observation, "reward": one.reward, "done": one.done} for one in results]
        assert told == locally(7, 60)
        other.reset(seed=7)
        ending = [other.step({"direction": "right"}) for _ in range(5)][-1]
        assert (ending.terminated, ending.truncated, ending.stop_reason) == (True, False, "wall")
        with pytest.raises(ServerError) as refused:
            other.step({"direction": "right"})
        assert refused.value.code == "EPISODE_OVER"


def test_the_vector_client_plays_the_games_of_its_seeds(server: Server) -> None:
    with VectorEnvClient(server.url, 8, client=SnakeEnv) as vector:
        games = [[result] for result in vector.reset(seed=20)]
        for _ in range(40):
            results = vector.step([SnakeAction(direction=decide(game[-1].observation)) for game in games])
            for game, result in zip(games, results, strict=True):
                game.append(result)
    for seed, game in enumerate(games, start=20):
        seen = [one.observation.model_dump(mode="json", exclude={"reward", "done"}) for one in game]
        assert seen == [told["observation"] for told in locally(seed, 40)]


@pytest.mark.parametrize("protocol", ["openenv", "v2"])
def test_a_picture_comes_with_the_observation_where_one_is_asked_for(server: Server, protocol: Any) -> None:
    world = SnakeEnvironment()
    world.reset(seed=7)
    with SnakeEnv(server.url, protocol=protocol) as client:
        assert client.reset(seed=7, picture=4).observation.picture == world.render_png(4)
        world.step(SnakeAction(direction="up"))
        seen = client.step(SnakeAction(direction="up", picture=9)).observation
        assert seen.picture == world.render_png(9)
        assert client.step(SnakeAction(direction="up")).observation.picture is None
        with pytest.raises(ServerError, match=r"(?i)invalid"):
            client.step(SnakeAction.model_construct(direction="up", picture=65))
    answer = httpx.post(f"{server.url}/reset", json={"seed": 7, "picture": 4}).json()["observation"]
    assert base64.urlsafe_b64decode(answer["picture"])[:8] == b"\x89PNG\r\n\x1a\n"
    assert "picture" not in httpx.post(f"{server.url}/reset", json={"seed": 7}).json()["observation"]


def test_the_simple_dialect(server: Server) -> None:
    with connect(f"{server.ws_url}/ws") as socket:

        def ask(action: Any, **beside: Any) -> dict[str, Any]:
            socket.send(json.dumps({"action": action, **beside}))
            body: dict[str, Any] = json.loads(socket.recv())
            return body

        told = [ask("reset", seed=7)]
        for _ in range(60):
            told.append(ask({"direction": decide(understood(told[-1]))}))
        assert [answered(body) for body in told] == locally(7, 60)
        assert told[-1]["state"]["step_count"] == 60
        numbered = ask({"direction": 0})
        assert numbered["observation"]["steps"] == 61
        assert ask({"direction": 4})["error"]["field"] == "direction"
        assert ask("state")["observation"] == numbered["observation"]
        small = ask("reset", seed=7, width=4, height=6, starvation_limit=2)
        assert (len(small["observation"]["grid"]), small["observation"]["starvation_limit"]) == (6, 2)
        assert [ask({"direction": 0})["done"] for _ in range(2)] == [False, True]
        assert ask({"direction": 0})["error"]["code"] == "EPISODE_OVER"
        assert ask("state")["state"]["stop_reason"] == "starved"


def test_http(server: Server) -> None:
    with httpx.Client(base_url=server.url) as http:
        assert answered(http.post("/reset", json={"seed": 7}).json()) == locally(7, 0)[0]
        session = {"X-Session-ID": http.post("/sessions").json()["session_id"]}
        told = [http.post("/reset", json={"seed": 7}, headers=session).json()]
        for _ in range(20):
            action = {"direction": decide(understood(told[-1]))}
            told.append(http.post("/step", json={"action": action}, headers=session).json())
        assert [answered(body) for body in told] == locally(7, 20)
        assert http.get("/state", headers=session).json()["step_count"] == 20
        assert http.post("/step", json={"action": {"direction": "away"}}).status_code == 422
        for wrong in ({"seed": -1}, {"width": 3}, {"height": 33}, {"starvation_limit": 0}, {"seed": 2**63}):
            refused = http.post("/reset", json=wrong)
            assert refused.status_code == 422
            assert next(iter(wrong)) in refused.text
        metadata = http.get("/metadata").json()
        assert (metadata["name"], metadata["version"]) == ("snake", "0.1.0")


def test_the_schema_shows_words_and_numbers_and_nothing_native(server: Server) -> None:
    schema = httpx.get(f"{server.url}/schema").json()
    choices = schema["action"]["properties"]["direction"]["anyOf"]
    assert [choice["enum"] for choice in choices] == [["up", "down", "left", "right"], [0, 1, 2, 3]]
    assert {"board", "grid", "head", "food", "legal_actions"} <= schema["observation"]["properties"].keys()
    assert {"terminated", "truncated", "stop_reason"}.isdisjoint(schema["observation"]["properties"])
    assert {"score", "length"} <= schema["state"]["properties"].keys()


class Asks(Protocol):
    """Calls a method of JSON-RPC with its parameters, and returns the whole answer."""

    def __call__(self, method: str, **params: Any) -> dict[str, Any]: ...


def plays_by_tools(ask: Asks, value: Callable[[dict[str, Any]], Any], *, seed: int | None) -> None:
    """Look, then play as the oracle does; what the tools tell is what steps tell."""
    tools = {found["name"]: found for found in ask("tools/list")["result"]["tools"]}
    assert tools.keys() == {"look", "move"}
    assert tools["move"]["inputSchema"]["properties"]["direction"]["enum"] == ["up", "down", "left", "right"]
    seen = value(ask("tools/call", name="look", arguments={}))
    for number in range(1, 16):
        seen = value(ask("tools/call", name="move", arguments={"direction": decide(SnakeObservation.model_validate(seen))}))
        assert (seen["steps"], seen["stop_reason"]) == (number, None)
        assert seen["reward"] == (1.0 if not seen["hunger"] else 0.0)
    if seed is not None:
        expected = locally(seed, 15)[-1]["observation"]
        assert {name: seen[name] for name in expected if name != "metadata"} == {
            name: what for name, what in expected.items() if name != "metadata"
        }
    wrong = json.dumps(ask("tools/call", name="move", arguments={"direction": "north"}))
    assert "INVALID_ARGUMENTS" in wrong
    assert "direction" in wrong


def test_json_rpc_plays_by_tools(server: Server) -> None:
    with connect(f"{server.ws_url}/ws") as socket:
        socket.send(json.dumps({"type": "reset", "data": {"seed": 7}}))
        socket.recv()

        def ask(method: str, **params: Any) -> dict[str, Any]:
            call = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
            socket.send(json.dumps({"type": "mcp", "data": call}))
            told: dict[str, Any] = json.loads(socket.recv())["data"]
            return told

        plays_by_tools(ask, lambda answer: answer["result"]["data"], seed=7)
        socket.send(json.dumps({"type": "state"}))
        state = json.loads(socket.recv())["data"]
        assert (state["length"], state["step_count"]) == (locally(7, 15)[-1]["observation"]["length"], 17)


def test_json_rpc_over_http_plays_by_tools(server: Server) -> None:
    def post(method: str, **params: Any) -> dict[str, Any]:
        call = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        told: dict[str, Any] = httpx.post(f"{server.url}/mcp", json=call).json()
        return told

    session = post("openenv/session/create")["result"]["session_id"]

    def ask(method: str, **params: Any) -> dict[str, Any]:
        return post(method, **params, session_id=session)

    plays_by_tools(ask, lambda answer: answer["result"]["data"], seed=None)
    post("openenv/session/close", session_id=session)


def test_standard_mcp_plays_by_tools(server: Server) -> None:
    headers = {"accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2025-11-25"}

    def send(method: str, **params: Any) -> httpx.Response:
        call = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        return httpx.post(f"{server.url}/mcp", json=call, headers=headers)

    def ask(method: str, **params: Any) -> dict[str, Any]:
        [line] = [line for line in send(method, **params).text.splitlines() if line.startswith("data: {")]
        told: dict[str, Any] = json.loads(line.removeprefix("data: "))
        return told

    who = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
    headers["Mcp-Session-Id"] = send("initialize", **who).headers["mcp-session-id"]
    plays_by_tools(ask, lambda answer: json.loads(answer["result"]["content"][0]["text"]), seed=None)


def test_a_client_of_tools_plays(server: Server) -> None:
    with ToolClient(base_url=server.url) as client:
        client.reset(seed=7)
        seen = SnakeObservation.model_validate(client.call_tool("look"))
        before = client.call_tool("move", direction=decide(seen))
        assert before["steps"] == 1
        assert client.step({"direction": decide(SnakeObservation.model_validate(before))}).observation["steps"] == 2
        ended = before
        for _ in range(12):
            ended = client.call_tool("move", direction="up")
            if ended["stop_reason"] is not None:
                break
        assert (ended["stop_reason"], ended["reward"]) == ("wall", -1.0)
        with pytest.raises(OpenEnvError, match="The episode has ended") as refused:
            client.call_tool("move", direction="up")
        assert refused.value.code == "EPISODE_OVER"


def test_a_scenarios_record_tells_what_has_changed_the_world() -> None:
    types = (SnakeAction, SnakeObservation, SnakeState)
    play = Play(EnvironmentSpecification.of(SnakeEnvironment, *types, "snake"), SnakeEnvironment())
    play.perform_now(Operation("load_scenario", SUITE.scenarios[0]))
    play.perform_now(Operation("step", SnakeAction(direction="up")))
    play.perform_now(Operation("step", ListToolsAction()))
    play.perform_now(Operation("call_tool", ("look", {})))
    play.perform_now(Operation("call_tool", ("move", {"direction": "left"})))
    done = [(event.op, event.tool, event.read_only) for event in play.episode.events]
    assert done == [("step", None, False), ("step", None, True), ("call_tool", "look", True), ("call_tool", "move", False)]


def test_an_evaluation_plays_by_tools(tmp_path: Path) -> None:
    """Each agent in the session of a scenario, with its tools alone."""
    command = [sys.executable, "-m", "openenv.cli", "eval", scenarios.__path__[0], "--out", str(tmp_path / "run")]
    command += ["--agent", "snake_env.agents:oracle", "--agent", "noop", "--fail-under", "oracle=1"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "noop       0 % (0/3)" in done.stdout


async def test_a_hundred_sessions_at_once_play_their_own_games(server: Server) -> None:
    async def play(seed: int) -> list[dict[str, Any]]:
        async with EnvClient(server.url) as client:
            result = await client.reset(seed=seed)
            told = [{"observation": result.observation, "reward": result.reward, "done": result.done}]
            for _ in range(20):
                seen = SnakeObservation.model_validate(result.observation)
                result = await client.step({"direction": decide(seen)})
                told.append({"observation": result.observation, "reward": result.reward, "done": result.done})
            return told

    games = await asyncio.gather(*(play(seed) for seed in range(100)))
    assert games == [locally(seed, 20) for seed in range(100)]


async def graded(server: Server, scenario: Scenario, policy: Callable[[SnakeObservation], Direction]) -> dict[str, Any]:
    """The verdict on an episode that a policy plays until the verifiers could pass, or to its end."""
    wanted = scenario.verifiers[0].validation_config
    session = await HttpSession.create(server.url)
    try:
        await session.load_scenario(scenario.for_server().model_dump(mode="json"))
        client = SnakeEnv(server.url, session_id=session.session_id)
        async with client:
            result = await client.reset()
            for _ in range(scenario.max_steps - 1):
                seen = result.observation
                score = {"SELECT score FROM game": seen.length - 3, "SELECT length FROM game": seen.length}[wanted["query"]]
                if result.done or score >= wanted["expected_value"]:
                    break
                result = await client.step(SnakeAction(direction=policy(result.observation)))
        verdict: dict[str, Any] = await session.verify()
        return verdict
    finally:
        await session.close()


@pytest.mark.parametrize("scenario", SUITE.scenarios, ids=lambda scenario: scenario.id)
async def test_the_oracle_solves_every_scenario_and_the_no_op_none(server: Server, scenario: Scenario) -> None:
    solved = await graded(server, scenario, decide)
    assert (solved["passed"], solved["reward"]) == (True, 1.0), solved["verdicts"]
    failed = await graded(server, scenario, noop)
    assert (failed["passed"], failed["reward"]) == (False, 0.0)
    assert [one["passed"] for one in failed["verdicts"]] == [False, False]


async def test_who_does_nothing_at_all_solves_nothing(server: Server) -> None:
    session = await HttpSession.create(server.url)
    try:
        for scenario in SUITE.scenarios:
            await session.load_scenario(scenario.for_server().model_dump(mode="json"))
            assert (await session.verify())["passed"] is False
    finally:
        await session.close()


async def test_the_step_limit_of_a_scenario_ends_the_episode(server: Server) -> None:
    scenario = SUITE.scenarios[0].model_copy(update={"max_steps": 2})
    session = await HttpSession.create(server.url)
    try:
        await session.load_scenario(scenario.for_server().model_dump(mode="json"))
        results = [await session.step({"direction": direction}) for direction in ("up", "left")]
        assert [(result.done, result.reward) for result in results] == [(False, 0.0), (True, 0.0)]
        with pytest.raises(ServerError) as refused:
            await session.step({"direction": "up"})
        assert refused.value.code == "EPISODE_OVER"
        assert (await session.sql("SELECT steps, stop_reason FROM game"))["rows"] == [[2, None]]
    finally:
        await session.close()


def test_the_client_does_not_load_the_server() -> None:
    program = (
        "import sys, snake_env.client, snake_env.oracle, snake_env.render; "
        "print([name for name in ('fastapi', 'uvicorn', 'sqlite3', 'snake_env.environment') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=20)
    assert done.stdout.strip() == "[]"
