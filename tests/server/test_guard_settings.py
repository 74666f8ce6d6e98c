"""Hosts and origins that the operator allows by variables, for applications that are made by somebody else's code."""

from __future__ import annotations

import httpx
import pytest

from tests.support.processes import ROOT, Servers

pytestmark = [pytest.mark.e2e]

BROWSER = {"Accept-Language": "en", "Host": "gym.example"}


@pytest.mark.parametrize("variable", [None, "OPENENV_ALLOWED_HOSTS"])
def test_an_application_of_0_10_behind_another_name(serve: Servers, variable: str | None) -> None:
    env = {} if variable is None else {variable: "other.example,gym.example"}
    server = serve("toys.plain:small", cwd=ROOT / "tests" / "interop", uvicorn=True, env=env)
    answer = httpx.get(f"{server.url}/schema", headers=BROWSER, trust_env=False)
    assert answer.status_code == (403 if variable is None else 200), answer.text
    if variable is None:
        assert "OPENENV_ALLOWED_HOSTS" in answer.json()["error"]["hint"]


def test_pages_of_an_allowed_origin(serve: Servers) -> None:
    env = {"OPENENV_ALLOWED_ORIGINS": "https://console.example"}
    server = serve("toys.plain:small", cwd=ROOT / "tests" / "interop", uvicorn=True, env=env)
    known, stranger = (
        httpx.post(f"{server.url}/reset", headers={"Origin": f"https://{name}.example"}, trust_env=False)
        for name in ("console", "other")
    )
    assert (known.status_code, stranger.status_code) == (200, 403)
