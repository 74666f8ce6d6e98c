from __future__ import annotations

import subprocess
import sys

import pytest

import openenv.client


def test_the_public_names() -> None:
    assert openenv.client.__all__ == [
        "Connection",
        "EndedStepResult",
        "EnvClient",
        "Event",
        "EventStream",
        "GenericAction",
        "GenericEnvClient",
        "HttpSession",
        "RemoteSession",
        "Reset",
        "Snapshot",
        "SyncConnection",
        "SyncEnvClient",
        "SyncRemoteSession",
        "SyncToolClient",
        "SyncVectorEnvClient",
        "ToolClient",
        "VectorEnvClient",
    ]
    for name in openenv.client.__all__:
        assert getattr(openenv.client, name).__doc__
    with pytest.raises(AttributeError, match="nosuch"):
        _ = openenv.client.nosuch


def test_httpx_is_loaded_with_http_sessions_only() -> None:
    program = (
        "import sys, openenv.client\n"
        "heavy = ('httpx', 'fastapi', 'starlette', 'uvicorn', 'typer', 'openenv.server')\n"
        "client = openenv.client.EnvClient('ws://h').sync()\n"
        "print([name for name in heavy if name in sys.modules])\n"
        "openenv.client.HttpSession\n"
        "print([name for name in heavy if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=20)
    assert done.stdout.splitlines() == ["[]", "['httpx']"]
