"""The public names on the client's side of OpenEnv 0.10: what they load and which calls they take."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import json
from typing import Any

import pytest

import openenv
from openenv.core.generic_client import GenericEnvClient
from openenv.core.utils import convert_to_ws_url, hf_space_subdomain, run_async_safely
from tests.client.faulty import Scripted, run_faulty
from tests.core.signatures import SIGNATURES, calls_refused
from tests.test_imports import SERVER_SIDE, loaded_by


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


@pytest.mark.parametrize("words", [["--help"], ["no-such-command"]])
def test_the_package_s_commands_are_reached_from_it(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["openenv", *words])
    with pytest.raises(SystemExit) as ended:
        openenv.cli.main()
    assert ended.value.code == (0 if words == ["--help"] else 2)
