from __future__ import annotations

import gc
import signal
import subprocess
import sys
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from openenv.client import EnvClient, SyncEnvClient
from openenv.errors import ConfigurationError, ConnectionFailed, DeadlineExceeded, ServerError, SessionLost
from openenv.types import Action, Observation, State
from tests.client.faulty import FaultyServer, Scripted, error, observation


class Say(Action):
    message: str


class Heard(Observation):
    echoed: str
    count: int


class Talk(EnvClient[Say, Heard, State]):
    observation_type = Heard
    state_type = State
    language = "en"

    async def say(self, *words: str) -> list[str]:
        return [(await self.step(Say(message=word))).observation.echoed for word in words]

    def describe(self) -> str:
        return f"speaks {self.language}"


def client_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "openenv-client"]


def test_the_overviews_loop(faulty: FaultyServer) -> None:
    action = {"message": "hi"}
    with EnvClient(base_url=faulty.url) as client:
        result = client.reset()
        for _ in range(100):
            result = client.step(action)
        assert result.observation["count"] == 100
        assert client.state()["step_count"] == 100
    assert faulty.received[0][-1] == {"type": "close"}
    assert client_threads() == []


def test_the_facade_of_sync(faulty: FaultyServer) -> None:
    client = Talk(faulty.url).sync()
    assert client_threads() == []
    assert client.reset(seed=1).observation.count == 0
    assert client.step(Say(message="a")).observation == Heard(echoed="a", count=1, reward=0.5)
    assert client.state() == State(step_count=1)
    assert isinstance(client.async_client, Talk)
    client.close()
    client.close()
    assert client_threads() == []
    with pytest.raises(SessionLost, match="closed"):
        client.step(Say(message="b"))
    assert client.reset().observation.count == 0
    client.close()
    assert client_threads() == []


def test_what_a_subclass_adds_is_blocking_too(faulty: FaultyServer) -> None:
    with Talk(faulty.url) as client:
        assert client.say("a", "b") == ["a", "b"]
        assert client.describe() == "speaks en"
        assert client.language == "en"
        assert client.base_url.startswith("http://")
        with pytest.raises(AttributeError, match="whisper"):
            client.whisper()
        with pytest.raises(AttributeError):
            _ = client._whisper


def test_threads_share_a_facade(faulty: FaultyServer) -> None:
    with Talk(faulty.url) as client, ThreadPoolExecutor(8) as pool:
        client.reset()
        results = list(pool.map(lambda number: client.step(Say(message=str(number))), range(64)))
    assert [result.observation.echoed for result in results] == [str(number) for number in range(64)]
    assert sorted(result.observation.count for result in results) == list(range(1, 65))


def test_failures_arrive_as_they_are(faulty: FaultyServer, free_port: int) -> None:
    with pytest.raises(ConnectionFailed), EnvClient(f"ws://127.0.0.1:{free_port}"):
        pass
    assert client_threads() == []
    faulty.play(Scripted.stay_silent)
    with EnvClient(faulty.url, message_timeout_s=0.1) as client:
        with pytest.raises(DeadlineExceeded):
            client.reset()
        with pytest.raises(SessionLost):
            client.step({})


async def test_in_a_running_loop_it_says_what_to_write(faulty: FaultyServer) -> None:
    with pytest.raises(ConfigurationError, match="event loop that is running") as caught, EnvClient(faulty.url):
        pass
    assert "async with EnvClient" in (caught.value.hint or "")
    with pytest.raises(ConfigurationError):
        EnvClient(faulty.url).sync().reset()
    assert client_threads() == []


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_ends_the_wait(faulty: FaultyServer) -> None:
    waiting = threading.Event()

    def script(connection: Scripted) -> None:
        connection.read()
        connection.say(observation(echoed="ready", count=0))
        connection.read()
        waiting.set()
        connection.read()

    def interrupt() -> None:
        waiting.wait()
        time.sleep(0.05)
        signal.pthread_kill(main, signal.SIGINT)

    main = threading.get_ident()
    faulty.play(script, Scripted.serve)
    helper = threading.Thread(target=interrupt)
    helper.start()
    with EnvClient(faulty.url) as client:
        client.reset()
        with pytest.raises(KeyboardInterrupt):
            client.step({})
        with pytest.raises(SessionLost, match="cancelled"):
            client.step({})
        assert client.reset().observation["count"] == 0
    helper.join()
    assert client_threads() == []


def test_closing_in_one_thread_while_another_waits(faulty: FaultyServer) -> None:
    client = EnvClient(faulty.url).sync()
    client.reset()
    outcomes: list[Any] = []

    def work() -> None:
        try:
            while True:
                client.step({"message": "x"})
        except SessionLost as error:
            outcomes.append(error)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    client.close()
    for worker in workers:
        worker.join()
    assert len(outcomes) == 4
    client.close()
    assert client_threads() == []


def test_an_unclosed_facade_warns_and_frees_the_server(faulty: FaultyServer) -> None:
    forgotten = [EnvClient(faulty.url).sync()]
    forgotten[0].reset()
    [thread] = client_threads()
    with pytest.warns(ResourceWarning, match="unclosed <SyncEnvClient") as caught:
        forgotten.clear()
    assert len(caught) == 1
    faulty.ended.acquire()
    thread.join()


def test_errors_do_not_keep_the_facade_alive(faulty: FaultyServer) -> None:
    def script(connection: Scripted) -> None:
        connection.read()
        connection.say(error("EXECUTION_ERROR"))
        connection.read()
        connection.cut()

    def fail() -> weakref.ref[object]:
        with EnvClient(faulty.url) as client:
            with pytest.raises(ServerError):
                client.reset()
            with pytest.raises(SessionLost):
                client.reset()
            return weakref.ref(client)

    faulty.play(script, Scripted.cut)
    gc.disable()
    try:
        assert fail()() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("ending", ["pass", "raise SystemExit(3)", "import gc; gc.disable(); client.cycle = client"])
def test_a_program_that_forgets_to_close_still_ends(faulty: FaultyServer, ending: str) -> None:
    program = f"from openenv.client import EnvClient\nclient = EnvClient({faulty.url!r}).sync()\nclient.reset()\n{ending}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=15, check=False)
    assert done.returncode == (3 if "SystemExit" in ending else 0)
    assert "Traceback" not in done.stderr
    faulty.ended.acquire()


def test_the_facade_takes_a_client() -> None:
    facade = SyncEnvClient(EnvClient("ws://h"))
    assert repr(facade) == "<SyncEnvClient over <EnvClient of http://h>>"
    facade.close()
