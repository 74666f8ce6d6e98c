"""The overview's blocks that concern the framework, made with the framework's own names."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import PydanticDeprecatedSince20, ValidationError

from openenv.errors import ServerError
from tests.overview.conftest import PACKAGES, Snippets
from tests.support.processes import Server

pytestmark = pytest.mark.e2e
deprecated = pytest.warns(PydanticDeprecatedSince20, match="validator")


def test_a_step_over_http_and_a_loop_over_a_socket(snippets: Snippets) -> None:
    EnvClient = snippets.client
    server = snippets.served("paradigm")
    action = {"by": 1}
    with httpx.Client(base_url=server.url) as requests:
        for _ in range(2):
            response = requests.post("/step", json={"action": action})
            observation = response.json()["observation"]
            assert observation["value"] == 1  # each request has a world of its own
    seen = []
    with EnvClient(base_url=server.ws_url) as client:
        result = client.reset()
        for _ in range(100):
            result = client.step(action)
            seen.append(result.observation["value"])
        assert client.state()["step_count"] == 100
    assert seen == list(range(1, 101))
    assert (result.reward, result.done) == (1.0, True)


def test_a_dataclass_checks_nothing() -> None:
    @dataclass
    class Action:
        command: str
        params: dict[str, Any]

    assert Action(command="explode", params=None).command == "explode"  # type: ignore[arg-type]


def test_an_action_with_a_validator_of_the_old_style(snippets: Snippets) -> None:
    with deprecated:
        Action = snippets.names("factory")["Action"]
    assert Action(command="create").model_dump() == {"command": "create", "params": {}}
    with pytest.raises(ValidationError, match=r"Command must be one of \['create', 'update', 'delete'\]"):
        Action(command="explode")
    with pytest.raises(ValidationError):
        Action(command="create", params=5)


def test_an_instance_in_place_of_a_factory_is_a_type_error(snippets: Snippets) -> None:
    framework = snippets.framework
    with deprecated:
        names = snippets.names("factory")
    env = names["MyEnvironment"](config=names["load_config"]())
    for make in (framework.create_fastapi_app, framework.create_app):
        with pytest.raises(TypeError, match=r"factory.*MyEnvironment.*`create_app\(lambda: MyEnvironment\("):
            make(env, names["Action"], names["Observation"])


@pytest.mark.parametrize("snippets", ["openenv"], indirect=True)
def test_each_socket_has_an_environment_of_its_own(snippets: Snippets) -> None:
    server = snippets.served("factory")
    with snippets.client(base_url=server.ws_url) as one, snippets.client(base_url=server.ws_url) as two:
        configs = {client.reset().observation["config"] for client in (one, two)}
        assert len(configs) == 2
        one.step({"command": "create", "params": {"name": "a"}})
        seen = [client.step({"command": "update"}).observation["commands"] for client in (one, two)]
        assert seen == [["create", "update"], ["update"]]
        with pytest.raises(ServerError, match="Command must be one of"):
            two.step({"command": "explode"})
        assert two.step({"command": "delete"}).observation["commands"] == ["update", "delete"]
    shows_the_action_and_counts(server)


@pytest.mark.parametrize("snippets", ["openenv.core"], indirect=True)
def test_each_socket_has_an_environment_of_its_own_one_at_a_time(snippets: Snippets) -> None:
    # What OpenEnv 0.10 allows a server when neither the class nor create_app says more.
    server = snippets.served("factory")
    with snippets.client(base_url=server.ws_url) as one:
        first = one.reset().observation["config"]
        assert one.step({"command": "create"}).observation["commands"] == ["create"]
        with pytest.raises(RuntimeError, match="CAPACITY_REACHED"), snippets.client(base_url=server.ws_url) as refused:
            refused.reset()
    with snippets.client(base_url=server.ws_url) as two:
        assert two.reset().observation["config"] != first
        with pytest.raises(RuntimeError, match="VALIDATION_ERROR"):
            two.step({"command": "explode"})
        assert two.step({"command": "delete"}).observation["commands"] == ["delete"]
    shows_the_action_and_counts(server)


def shows_the_action_and_counts(server: Server) -> None:
    with httpx.Client(base_url=server.url) as http:
        command = http.get("/schema").json()["action"]["properties"]["command"]
        assert (command["type"], command["description"]) == ("string", "Command to execute")
        assert 'env="my_env"' in http.get("/metrics").text


@pytest.mark.parametrize("package", PACKAGES)
def test_the_abstract_environment_asks_for_what_the_paradigm_names(package: str) -> None:
    Environment = import_module(package).Environment
    abstract = {"reset", "step"} if package == "openenv" else {"reset", "step", "state"}
    assert Environment.__abstractmethods__ == abstract
    assert isinstance(inspect.getattr_static(Environment, "state"), property)
    with pytest.raises(TypeError, match="abstract"):
        Environment()


def test_reset_step_and_state_as_the_paradigm_writes_them(snippets: Snippets) -> None:
    server = snippets.served("paradigm")
    with snippets.client(base_url=server.ws_url) as client:
        first = client.reset()
        assert (first.observation["value"], first.reward, first.done) == (0, None, False)
        last = client.step({"by": 10})
        assert (last.observation["value"], last.reward, last.done) == (10, 10.0, True)
        state = client.state()
        assert (state["episode_id"], state["step_count"]) == ("count", 1)
        client.reset()
        assert client.state()["step_count"] == 0


@pytest.mark.parametrize("snippets", ["openenv"], indirect=True)  # a factory of OpenEnv 0.10 does not see the request
def test_a_database_of_its_own_for_each_database_id(snippets: Snippets, tmp_path: Path) -> None:
    EnvClient = snippets.client
    data = tmp_path / "databases"
    data.mkdir()
    server = snippets.served("tenancy", env={"TENANCY_DATA": str(data)})
    for database, text in (("red", "a"), ("blue", "b"), ("red", "c")):
        headers = {"x-database-id": database, "x-access-token": f"token of {database}"}
        with EnvClient(base_url=server.ws_url, headers=headers) as client:
            assert client.reset().observation["token"] == f"token of {database}"
            texts = client.step({"text": text}).observation["texts"]
    assert texts == ["a", "c"]
    assert {path.name for path in data.iterdir()} >= {"red.sqlite", "blue.sqlite"}
