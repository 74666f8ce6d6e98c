"""OpenEnv 0.10's client, in each way that it may be used, against our own server and against one that misbehaves."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import json
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from openenv import errors
from openenv.core.client_types import StepResult
from openenv.core.containers.runtime.providers import ContainerProvider, RuntimeProvider
from openenv.core.env_client import EnvClient
from openenv.core.generic_client import GenericAction, GenericEnvClient
from openenv.core.sync_client import SyncEnvClient
from openenv.core.utils import convert_to_ws_url, hf_space_subdomain, run_async_safely
from openenv.types import Action, Observation, State
from tests.client.faulty import FaultyServer, Scripted, error, run_faulty
from tests.core.signatures import SIGNATURES, calls_refused
from tests.support.processes import Server, Servers
from tests.test_imports import SERVER_SIDE, loaded_by


class Say(Action):
    message: str


class Heard(Observation):
    echoed: str
    length: int = 0


class EchoClient(EnvClient[Say, Heard, State]):
    """A client as packages of OpenEnv 0.10 write it."""

    def _step_payload(self, action: Say) -> dict[str, Any]:
        return {"message": action.message}

    def _parse_result(self, payload: dict[str, Any]) -> StepResult[Heard]:
        told = payload.get("observation", {})
        heard = Heard(echoed=told.get("echoed", ""), length=told.get("length", 0), done=payload.get("done", False))
        return StepResult(observation=heard, reward=payload.get("reward"), done=payload.get("done", False))

    def _parse_state(self, payload: dict[str, Any]) -> State:
        return State(episode_id=payload.get("episode_id"), step_count=payload.get("step_count", 0))


class ShoutingClient(EchoClient):
    """One that overrides verbs and adds some."""

    async def reset(self, **kwargs: Any) -> Any:
        result = await super().reset(**kwargs)
        result.observation.metadata = {"shouting": True}
        return result

    async def shout(self, text: str) -> str:
        result = await self.step(Say(message=text.upper()))
        return str(result.observation.echoed)

    def prefix(self) -> str:
        return "!"


class BlockingClient(EchoClient):
    """One that overrides a verb for callers that block."""

    def step(self, action: Say, **kwargs: Any) -> Any:
        result = super().step(action, **kwargs)
        result.metadata = {"steps": self.state().step_count}
        return result


@pytest.fixture(scope="module")
def echo(module_serve: Servers) -> Server:
    """The echo, served by ``openenv serve``."""
    return module_serve("echo")


@pytest.fixture
def faulty() -> Iterator[FaultyServer]:
    """A server that behaves until a test tells it otherwise."""
    with run_faulty() as server:
        server.play(Scripted.serve)
        yield server


class Shelf(ContainerProvider):
    """A provider whose containers are a server that runs already."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.log: list[Any] = []
        self.healthy = True

    def start_container(self, image: str, port: int | None = None, env_vars: dict[str, str] | None = None, **kwargs: Any) -> str:
        self.log.append(("start", image, port, env_vars, kwargs))
        return self.url

    def stop_container(self) -> None:
        self.log.append("stop")

    def wait_for_ready(self, base_url: str, timeout_s: float = 30.0) -> None:
        self.log.append(("wait", base_url))
        if not self.healthy:
            raise TimeoutError("not healthy")


class Runner(RuntimeProvider):
    """The same for processes."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.log: list[Any] = []

    def start(self, port: int | None = None, env_vars: dict[str, str] | None = None, **kwargs: Any) -> str:
        self.log.append(("start", port, env_vars, kwargs))
        return self.url

    def stop(self) -> None:
        self.log.append("stop")

    def wait_for_ready(self, timeout_s: float = 30.0) -> None:
        self.log.append("wait")


# The ways of use.


def test_the_same_object_without_a_loop(echo: Server) -> None:
    client = EchoClient(base_url=echo.url)
    assert client.base_url == echo.url
    result = client.reset(seed=1)
    assert isinstance(result, StepResult)
    assert isinstance(result.observation, Heard)
    result = client.step(Say(message="hi"), timeout_s=3)
    assert (result.observation.echoed, result.reward, result.done) == ("hi", 0.2, False)
    assert client.state().step_count == 1
    client.close()
    client.close()


async def test_the_same_object_with_await(echo: Server) -> None:
    client = EchoClient(base_url=echo.url)
    assert await client.connect() is client
    await client.reset()
    assert (await client.step(Say(message="abc"))).observation.length == 3
    assert (await client.state()).step_count == 1
    await client.disconnect()
    await client.close()


def test_with_gives_the_client_itself(echo: Server) -> None:
    client = EchoClient(base_url=echo.url)
    with client as entered:
        assert entered is client
        assert entered.reset().observation.echoed == ""
        assert entered.step(Say(message="x")).reward == 0.1


async def test_async_with_gives_the_client_itself(echo: Server) -> None:
    client = EchoClient(base_url=echo.url)
    async with client as entered:
        assert entered is client
        await entered.reset()
        assert (await entered.step(Say(message="x"))).reward == 0.1


def test_a_client_that_always_blocks(echo: Server) -> None:
    with EchoClient(base_url=echo.url).sync() as env:
        assert isinstance(env, SyncEnvClient)
        assert isinstance(env.async_client, EchoClient)
        assert env.base_url == echo.url
        env.reset(seed=3)
        assert env.step(Say(message="four")).observation.length == 4
        assert env.state().step_count == 1
        with pytest.raises(AttributeError, match="nosuch"):
            env.nosuch  # noqa: B018
    assert env.reset().done is False, "reset opens a new session after close"
    env.disconnect()
    env.close()


async def test_a_blocking_client_where_a_loop_runs(echo: Server) -> None:
    with EchoClient(base_url=echo.url).sync() as env:
        env.reset()
        assert env.step(Say(message="no")).observation.echoed == "no"


async def test_calls_are_coroutines_for_asyncio(echo: Server) -> None:
    async with EchoClient(base_url=echo.url) as client:
        begun, said, state = await asyncio.gather(client.reset(), client.step(Say(message="g")), client.state())
        assert (begun.observation.echoed, said.observation.echoed, state.step_count) == ("", "g", 1)
        assert (await asyncio.create_task(client.step(Say(message="t")))).observation.echoed == "t"
        assert (await asyncio.wait_for(client.state(), 5)).step_count == 2
    fresh = EchoClient(base_url=echo.url)
    task = asyncio.create_task(fresh.reset())
    assert "reset" in repr(task) or "Task" in repr(task)
    assert (await task).observation.echoed == ""
    await fresh.close()


async def test_a_call_that_nobody_awaits_is_done_when_it_is_looked_at(echo: Server) -> None:
    client = EchoClient(base_url=echo.url)
    result = client.reset()
    assert "pending" in repr(result)
    assert result.observation.echoed == ""
    assert result.done is False
    assert "StepResult" in repr(result)
    assert client.step(Say(message="notebook")).observation.length == 8
    client.close()


async def test_an_awaited_call_may_be_awaited_again(echo: Server) -> None:
    client = EchoClient(base_url=echo.url)
    pending = client.reset()
    assert await pending is await pending
    await client.close()


async def test_a_forgotten_await_is_a_warning(echo: Server) -> None:
    client = EchoClient(base_url=echo.url)
    with pytest.warns(RuntimeWarning, match=r"reset\(\) was never awaited"):
        client.reset()


async def test_the_first_use_decides(echo: Server) -> None:
    client = EchoClient(base_url=echo.url)
    await client.reset()
    with pytest.raises(RuntimeError, match="in async use"):
        client.sync().reset()
    with pytest.raises(RuntimeError, match="in async use"), client:
        pass
    await client.close()
    with client:
        assert client.reset().done is False, "close() frees the choice"


def test_blocking_use_is_not_async_use(echo: Server) -> None:
    client = EchoClient(base_url=echo.url)
    client.reset()

    async def enter() -> None:
        async with client:
            pass

    with pytest.raises(RuntimeError, match="in sync use"):
        asyncio.run(enter())
    client.close()


def test_a_client_of_a_loop_that_has_ended(echo: Server) -> None:
    client = EchoClient(base_url=echo.url)

    async def begin() -> None:
        await client.reset()
        await client.close()

    asyncio.run(begin())
    assert client.reset().done is False
    client.close()


# Subclasses of all kinds.


async def test_overridden_coroutines(echo: Server) -> None:
    async with ShoutingClient(base_url=echo.url) as client:
        assert (await client.reset()).observation.metadata == {"shouting": True}
        assert await client.shout("hi") == "HI"


def test_overridden_coroutines_in_blocking_use(echo: Server) -> None:
    with ShoutingClient(base_url=echo.url).sync() as env:
        assert env.reset().observation.metadata == {"shouting": True}
        assert env.shout("hi") == "HI"
        assert env.prefix() == "!"


def test_overridden_blocking_verbs(echo: Server) -> None:
    with BlockingClient(base_url=echo.url) as client:
        client.reset()
        assert client.step(Say(message="a")).metadata == {"steps": 1}
    with BlockingClient(base_url=echo.url).sync() as env:
        env.reset()
        assert env.step(Say(message="a")).metadata == {"steps": 1}


def test_the_hooks_can_be_called_by_themselves() -> None:
    client = EchoClient(base_url="http://test")
    facade = client.sync()
    for hooks in (client, facade):
        assert hooks._step_payload(Say(message="a")) == {"message": "a"}
        assert hooks._parse_result({"observation": {"echoed": "b"}, "reward": 1}).observation.echoed == "b"
        assert hooks._parse_state({"step_count": 4}).step_count == 4


def test_the_hooks_must_be_there() -> None:
    with pytest.raises(TypeError, match="_parse_result"):
        EnvClient(base_url="http://test")  # type: ignore[abstract]


def test_dicts_in_and_out(echo: Server) -> None:
    with GenericEnvClient(base_url=echo.url) as client:
        assert client.reset().observation == {"metadata": {}, "echoed": "", "length": 0}
        assert client.step({"message": "a"}).observation["echoed"] == "a"
        assert client.step(GenericAction(message="b")).reward == 0.1
        assert client.step(Say(message="c")).observation["echoed"] == "c"
        assert client.state()["step_count"] == 3
        with pytest.raises(ValueError, match="not str"):
            client.step("d")  # type: ignore[arg-type]
    assert repr(GenericAction(message="b")) == "GenericAction(message='b')"
    assert GenericEnvClient(base_url="http://test")._parse_result({}) == StepResult({})


def test_a_result_takes_more_attributes() -> None:
    result = StepResult(observation=1, reward=True)
    result.extra = "what a client wants to keep"  # type: ignore[attr-defined]
    assert vars(result) == {
        "observation": 1,
        "reward": True,
        "done": False,
        "metadata": None,
        "extra": "what a client wants to keep",
    }


# Sessions.


async def test_sessions_of_their_own(echo: Server) -> None:
    async with EchoClient(base_url=echo.url) as first:
        await first.reset(episode_id="first")
        second = await first.new_session()
        assert type(second) is EchoClient
        await second.reset(episode_id="second")
        await second.step(Say(message="x"))
        assert [(await client.state()).episode_id for client in (first, second)] == ["first", "second"]
        assert [(await client.state()).step_count for client in (first, second)] == [0, 1]
    with pytest.raises(errors.SessionLost):
        await second.state()


def test_sessions_of_their_own_in_blocking_use(echo: Server) -> None:
    with EchoClient(base_url=echo.url).sync() as first:
        first.reset(episode_id="first")
        second = first.new_session()
        assert isinstance(second, SyncEnvClient)
        second.reset(episode_id="second")
        assert [first.state().episode_id, second.state().episode_id] == ["first", "second"]
        first.disconnect()
        assert second.state().episode_id == "second", "disconnect() concerns one session"
        second.close()
        first.reset()
    assert open_sessions(echo) == 0


def test_sessions_of_their_own_end_with_the_first_one(echo: Server) -> None:
    threads = set(threading.enumerate())
    first = EchoClient(base_url=echo.url)
    first.reset()
    second, third = first.new_session(), first.new_session()
    assert second.state().step_count == third.state().step_count == 0
    first.disconnect()
    third.close()
    assert second.step(Say(message="x")).reward == 0.1
    first.close()
    assert open_sessions(echo) == 0
    assert set(threading.enumerate()) <= threads
    with pytest.raises(errors.SessionLost):
        second.state()
    second.reset()
    second.close()


def open_sessions(server: Server) -> int:
    """How many sessions the server counts."""
    with urllib.request.urlopen(f"{server.url}/metrics", timeout=5) as response:
        text = response.read().decode()
    return int(sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith("openenv_active_sessions")))


def test_an_unclosed_client_says_so_and_frees_its_session(echo: Server) -> None:
    clients = [EchoClient(base_url=echo.url)]
    clients[0].reset()
    before = open_sessions(echo)
    with pytest.warns(ResourceWarning, match="unclosed"):
        clients.clear()
    assert becomes(lambda: open_sessions(echo) == before - 1)


def becomes(true: Callable[[], bool]) -> bool:
    """Whether it comes true within some seconds: what the server does after a socket's end takes a moment."""
    deadline = time.monotonic() + 10
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


# Errors.


def test_an_error_of_the_server_is_a_runtime_error_and_the_session_goes_on(echo: Server) -> None:
    with GenericEnvClient(base_url=echo.url) as client:
        client.reset()
        with pytest.raises(RuntimeError) as caught:
            client.step({"massage": "x"})
        assert str(caught.value) == f"Server error: {caught.value.message} (code: VALIDATION_ERROR)"  # type: ignore[attr-defined]
        assert isinstance(caught.value, errors.ServerError)
        assert caught.value.code == "VALIDATION_ERROR"
        assert caught.value.errors
        assert client.step({"message": "x"}).reward == 0.1


async def test_a_refusal_shows_with_the_first_operation(faulty: FaultyServer) -> None:
    def refuse(connection: Scripted) -> None:
        connection.say(error("CAPACITY_REACHED", "Server at capacity", active_sessions=1, max_sessions=1))
        connection.socket.close()

    faulty.play(refuse, refuse, Scripted.serve)
    client = GenericEnvClient(base_url=faulty.url)
    await client.connect()
    for _ in range(2):
        with pytest.raises(RuntimeError, match=r"^Server error: Server at capacity \(code: CAPACITY_REACHED\)$"):
            await client.reset()
    await client.reset()
    await client.close()


async def test_nobody_listens(free_port: int) -> None:
    with pytest.raises(ConnectionError, match=str(free_port)) as caught:
        await GenericEnvClient(base_url=f"http://127.0.0.1:{free_port}").connect()
    assert isinstance(caught.value, errors.ConnectionFailed)


def test_nobody_listens_to_a_blocking_client(free_port: int) -> None:
    with pytest.raises(ConnectionError), GenericEnvClient(base_url=f"http://127.0.0.1:{free_port}"):
        pass


async def test_an_answer_too_late_costs_the_session(faulty: FaultyServer) -> None:
    faulty.play(Scripted.stay_silent, Scripted.serve)
    async with GenericEnvClient(base_url=faulty.url, message_timeout_s=0.1) as client:
        with pytest.raises(TimeoutError) as caught:
            await client.step({"message": "x"})
        assert isinstance(caught.value, errors.DeadlineExceeded)
        with pytest.raises(errors.SessionLost, match="did not come"):
            await client.state()
        assert (await client.reset()).observation["echoed"] == "ready"


ENDS: dict[str, Callable[[Scripted], None]] = {"cut": Scripted.cut, "closed": lambda connection: connection.socket.close(1012)}


@pytest.mark.parametrize("end", ENDS)
async def test_a_lost_socket_is_a_lost_session(faulty: FaultyServer, end: str) -> None:
    def script(connection: Scripted) -> None:
        connection.read()
        connection.say({"type": "observation", "data": {"observation": {}, "reward": None, "done": False}})
        connection.read()
        ENDS[end](connection)

    faulty.play(script, Scripted.serve)
    client = GenericEnvClient(base_url=faulty.url)
    await client.reset()
    for _ in range(3):
        with pytest.raises(errors.SessionLost) as caught:
            await client.step({"message": "x"})
        assert isinstance(caught.value, ConnectionError)
    assert len(faulty.requests) == 1, "no new session behind the caller's back"
    assert (await client.reset()).observation["echoed"] == "ready"
    await client.close()


async def test_after_close_only_connect_and_reset_open_a_session(echo: Server) -> None:
    client = EchoClient(base_url=echo.url)
    await client.reset()
    await client.close()
    with pytest.raises(errors.SessionLost, match="closed"):
        await client.step(Say(message="x"))
    await client.connect()
    assert (await client.step(Say(message="x"))).observation.length == 1
    await client.close()


BAD_SETTINGS: dict[str, dict[str, Any]] = {
    "base_url or provider": {},
    "Invalid mode": {"base_url": "http://test", "mode": "demo"},
    "scheme": {"base_url": "ftp://test"},
    "message_timeout_s": {"base_url": "http://test", "message_timeout_s": -1},
}


@pytest.mark.parametrize("why", BAD_SETTINGS)
def test_what_makes_no_sense_is_a_value_error(why: str) -> None:
    with pytest.raises(ValueError, match=why) as caught:
        GenericEnvClient(**BAD_SETTINGS[why])
    assert isinstance(caught.value, errors.ConfigurationError)


def test_the_mode_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENENV_CLIENT_MODE", "PRODUCTION")
    GenericEnvClient(base_url="http://test")
    monkeypatch.setenv("OPENENV_CLIENT_MODE", "demo")
    with pytest.raises(ValueError, match="OPENENV_CLIENT_MODE"):
        GenericEnvClient(base_url="http://test")
    GenericEnvClient(base_url="http://test", mode="simulation")


async def test_headers_go_with_the_handshake(faulty: FaultyServer) -> None:
    async with GenericEnvClient(base_url=faulty.url, headers={"Authorization": "Bearer x"}):
        pass
    assert faulty.headers[0]["authorization"] == "Bearer x"


async def test_the_frames_are_the_dialects(faulty: FaultyServer) -> None:
    async with GenericEnvClient(base_url=faulty.url) as client:
        await client.reset(seed=4, episode_id="e", task="t")
        await client.step({"message": "a"}, timeout_s=9)
        await client.state()
    assert faulty.ended.acquire(timeout=5)
    assert faulty.received[0] == [
        {"type": "reset", "data": {"seed": 4, "episode_id": "e", "task": "t"}},
        {"type": "step", "data": {"message": "a"}},
        {"type": "state"},
        {"type": "close"},
    ]


# Servers of one's own.


async def test_a_container_of_ones_own(echo: Server) -> None:
    shelf = Shelf(echo.url)
    handle = EchoClient.from_docker_image("echo-env:latest", provider=shelf, port=8123, env_vars={"A": "b"})
    assert shelf.log == [], "nothing starts before it is asked for"
    client = await handle
    assert client.base_url == echo.url
    assert shelf.log == [("start", "echo-env:latest", 8123, {"A": "b"}, {}), ("wait", echo.url)]
    async with client:
        await client.reset()
    assert shelf.log[2:] == ["stop"]
    await client.close()
    assert shelf.log[2:] == ["stop"]


def test_a_container_of_ones_own_in_blocking_use(echo: Server) -> None:
    shelf = Shelf(echo.url)
    with EchoClient.from_docker_image("echo-env:latest", provider=shelf).sync() as env:
        assert env.step(Say(message="x")).reward == 0.1
    assert shelf.log[-1] == "stop"


def test_a_container_awaited_elsewhere(echo: Server) -> None:
    client = asyncio.run(EchoClient.from_docker_image("echo-env:latest", provider=Shelf(echo.url)))
    with client.sync() as env:
        assert env.reset().done is False


async def test_a_container_that_does_not_get_healthy_is_stopped(echo: Server) -> None:
    shelf = Shelf(echo.url)
    shelf.healthy = False
    with pytest.raises(TimeoutError, match="not healthy"):
        await EchoClient.from_docker_image("echo-env:latest", provider=shelf)
    assert shelf.log[-1] == "stop"


async def test_a_space_in_a_container(echo: Server) -> None:
    shelf = Shelf(echo.url)
    client = await EchoClient.from_env("Me/My_Echo", provider=shelf, tag="v2", env_vars={"A": "b"})
    assert shelf.log[0] == ("start", "registry.hf.space/me-my-echo:v2", None, {"A": "b"}, {})
    await client.close()


async def test_a_space_as_a_process(echo: Server) -> None:
    runner = Runner(echo.url)
    client = await EchoClient.from_env("me/echo", use_docker=False, provider=runner)
    assert runner.log == [("start", None, None, {}), "wait"]
    await client.close()
    assert runner.log[-1] == "stop"
    with pytest.raises(ValueError, match="beside a provider"):
        await EchoClient.from_env("me/echo", use_docker=False, provider=runner, port=3)
    with pytest.raises(ValueError, match="no containers"):
        await EchoClient.from_env("me/echo", provider=runner)


async def test_a_provider_starts_when_first_needed(echo: Server) -> None:
    runner = Runner(echo.url)
    client = EchoClient(provider=runner)
    assert client.base_url is None
    assert runner.log == []
    await asyncio.gather(client.reset(), client.state())
    assert client.base_url == echo.url
    assert runner.log == [("start", None, None, {}), "wait"]
    await client.close()
    assert runner.log[-1] == "stop"
    await client.reset()
    assert len(runner.log) == 5
    await client.close()


async def test_a_provider_that_needs_an_image_cannot_start_by_itself(echo: Server) -> None:
    with pytest.raises(ValueError, match=r"start_container\(\) needs image"):
        await EchoClient(provider=Shelf(echo.url)).connect()


# The rest of the public names.


@pytest.mark.parametrize(
    "module", ["env_client", "sync_client", "generic_client", "mcp_client", "client_types", "utils", "containers.runtime"]
)
def test_clients_load_no_server(module: str) -> None:
    loaded = loaded_by(f"import openenv.core.{module}")
    packages = {".".join(name.split(".")[:depth]) for name in loaded for depth in (1, 2)}
    assert packages.isdisjoint({*SERVER_SIDE, "fastmcp", "mcp", "httpx"})


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://a", "ws://a"),
        ("https://a:1/x/", "wss://a:1/x"),
        ("a:1", "ws://a:1"),
        ("ws://b/", "ws://b"),
        ("wss://c", "wss://c"),
        ("HTTP://x", "ws://x"),
    ],
)
def test_urls_for_websockets(url: str, expected: str) -> None:
    assert convert_to_ws_url(url) == expected


def test_the_host_of_a_space() -> None:
    assert hf_space_subdomain("Me/My_Thing.x") == "me-my-thing-x"


async def test_a_coroutine_run_anywhere() -> None:
    async def three() -> int:
        await asyncio.sleep(0)
        return 3

    assert run_async_safely(three()) == 3
    assert await asyncio.to_thread(lambda: run_async_safely(three())) == 3


@pytest.mark.parametrize("where", SIGNATURES)
def test_every_call_that_0_10_takes_is_taken(where: str) -> None:
    module, _, name = where.partition(":")
    home: Any = getattr(importlib.import_module(module), name)
    faults: dict[str, Any] = {}
    for method, theirs in SIGNATURES[where].items():
        ours = inspect.getattr_static(home, method, None) if method else home
        if theirs == "property":
            faults[method] = [] if isinstance(ours, property) else ["is no property"]
        elif ours is None:
            faults[method] = ["is not there"]
        elif isinstance(ours, classmethod | staticmethod):
            faults[method] = calls_refused(theirs, getattr(home, method), bound=False)
        else:
            faults[method] = calls_refused(theirs, ours, bound=bool(method))
    assert {method: why for method, why in faults.items() if why} == {}


def test_results_are_json_as_before() -> None:
    with run_faulty() as server:
        server.play(Scripted.serve)
        with GenericEnvClient(base_url=server.url) as client:
            assert json.loads(json.dumps(client.reset().observation)) == {"metadata": {}, "echoed": "ready", "count": 0}
