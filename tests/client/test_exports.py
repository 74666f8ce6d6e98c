from __future__ import annotations

import subprocess
import sys

import pytest

import openenv.client


def test_the_public_names() -> None:
    assert openenv.client.__all__ == [
        "EnvClient",
        "GenericAction",
        "GenericEnvClient",
        "HttpSession",
        "SyncEnvClient",
        "SyncToolClient",
        "ToolClient",
    ]
    for name in openenv.client.__all__:
        assert getattr(openenv.client, name).__doc__
    with pytest.raises(AttributeError, match="nosuch"):
        _ = openenv.client.nosuch


def test_httpx_is_loaded_with_http_sessions_only() -> None:
    program = (
        "import sys, openenv.client\n"
        "client = openenv.client.EnvClient('ws://h').sync()\n"
        "assert 'httpx' not in sys.modules\n"
        "openenv.client.HttpSession\n"
        "assert 'httpx' in sys.modules\n"
        "assert not {'fastapi', 'starlette', 'uvicorn', 'typer', 'openenv.server'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=20)
