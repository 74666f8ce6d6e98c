"""Requests made from ``/openapi.json``: every answer is one that the document tells of, and no failure is an accident."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks

from tests.fuzz import judge
from tests.fuzz.watch import crashes
from tests.fuzz.wire import Response
from tests.support.processes import ROOT, Server, Servers

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

load_all_checks()
EXAMPLES = int(os.environ.get("OPENENV_SCHEMA_EXAMPLES", "8"))
"""For each operation: good ones and bad ones, without a session and with one that is there."""
CONFORMANCE = [
    CHECKS.get_one(name)
    for name in (
        "status_code_conformance",
        "content_type_conformance",
        "response_headers_conformance",
        "response_schema_conformance",
        "unsupported_method",
    )
]
APPS = {
    "echo": ("echo", {}),
    "calendar": ("calendar", {"x-access-token": "token-alice-7b1f4c29e05d48a6"}),
    "target": ("tests.fuzz.target:tool_app", {}),
}


@pytest.fixture(scope="module", params=APPS)
def served(request: pytest.FixtureRequest, module_serve: Servers) -> Iterator[tuple[Server, dict[str, str]]]:
    app, headers = APPS[request.param]
    server = module_serve(app, cwd=ROOT)
    yield server, headers
    assert crashes(server.log()) == []
    with requests.get(f"{server.url}/health", timeout=10) as response:
        assert response.json() == {"status": "healthy"}


def test_answers_are_those_of_the_document(served: tuple[Server, dict[str, str]]) -> None:
    server, headers = served
    document = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    asked = 0
    with requests.Session() as http:
        http.headers.update(headers)
        for found in document.get_all_operations():
            operation: Any = found.ok()  # type: ignore[union-attr]
            for mode in GenerationMode:
                if mode is GenerationMode.NEGATIVE and not (operation.body or operation.query):
                    continue  # there is nothing to be wrong
                asked += _ask(operation.as_strategy(generation_mode=mode), http, None)
                asked += _ask(operation.as_strategy(generation_mode=mode), http, _session(http, server))
    assert asked >= 20 * EXAMPLES


def _ask(cases: Any, http: requests.Session, session: str | None) -> int:
    """Ask for one operation in many ways, perhaps in a session that is there; how often that was."""
    asked = 0

    @given(case=cases)
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )
    def ask(case: Any) -> None:
        nonlocal asked
        asked += 1
        if session is not None:
            case.headers["x-session-id"] = session
            if "session_id" in (case.path_parameters or {}):
                case.path_parameters["session_id"] = session
        response = case.call(session=http, timeout=30)
        assert _judged(response) is None, (case.as_curl_command(), response.text[:1000])
        case.validate_response(response, checks=CONFORMANCE)

    ask()
    return asked


def _session(http: requests.Session, server: Server) -> str:
    with http.post(f"{server.url}/sessions", timeout=10) as response:
        session: str = response.json()["session_id"]
        return session


def _judged(response: Any) -> str | None:
    """As the fuzzer judges it: 5xx only with a typed error, EXECUTION_ERROR only where the environment raised."""
    seen = Response()
    seen.status, seen.body = response.status_code, response.content
    seen.headers = {name.lower(): ", ".join(values) for name, values in response.headers.items()}
    return judge.http(seen)


def test_the_document_says_what_the_routes_take(served: tuple[Server, dict[str, str]]) -> None:
    server, _ = served
    with requests.get(f"{server.url}/openapi.json", timeout=10) as response:
        document = response.json()
    for path, known in document["paths"].items():
        for method, operation in known.items():
            answers = operation["responses"]
            assert any(status.startswith("2") for status in answers), (path, method)
            if path not in ("/health",):
                assert {"4XX", "5XX"} <= set(answers), (path, method)
    assert json.dumps(document)
