"""Bearer tokens on every transport, with `openenv serve` and with another ASGI server, and attacks on them."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from websockets.exceptions import ConnectionClosedOK
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from openenv.errors import ConfigurationError, Unauthenticated
from openenv.middleware import BearerAuth
from openenv.operation import Connection, Principal
from tests.middleware.apps import AUDIENCE, MADE, SECRET, TOKENS, token_file
from tests.support.mcp_wire import ACCEPT, Peer, modern
from tests.support.processes import ROOT, Server, Servers

CALL = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "notes_list", "arguments": {}}}
STEP = {"type": "call_tool", "tool_name": "notes_list"}
VERIFIER = {
    "verifier_type": "database_state",
    "validation_config": {"query": "SELECT COUNT(*) FROM notes", "expected_value": 1},
}
SCENARIO = {"id": "x", "task": "Write.", "verifiers": [VERIFIER]}
DAY_S = 86_400
"""Tokens that are made while tests are collected are used much later in a long run."""


@pytest.fixture(scope="module", params=["openenv serve", "uvicorn"])
def server(request: pytest.FixtureRequest, module_serve: Servers, tmp_path_factory: pytest.TempPathFactory) -> Server:
    if request.param == "uvicorn":
        return module_serve("tests.middleware.apps:bearer_app", "--no-access-log", cwd=ROOT, uvicorn=True)
    tokens = token_file(tmp_path_factory.mktemp("tokens"))
    options = ["--tokens", str(tokens), "--jwt-secret-env", "NOTES_SECRET"]
    return module_serve("tests.middleware.apps:notes_app", *options, cwd=ROOT, env={"NOTES_SECRET": SECRET})


@pytest.fixture
def http(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=15) as client:
        yield client


def token(name: str, tenant: str = "default") -> str:
    return next(key for key, one in TOKENS.items() if one["id"] == name and one.get("tenant", "default") == tenant)


def as_(name: str, tenant: str = "default") -> dict[str, str]:
    return {"Authorization": f"Bearer {token(name, tenant)}"}


def bearing(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


def signed(key: str = SECRET, algorithm: str = "HS256", **claims: Any) -> str:
    known = {"sub": "jon", "aud": AUDIENCE, "exp": int(time.time()) + DAY_S, "scope": "create reset act"} | claims
    return jwt.encode({name: value for name, value in known.items() if value is not None}, key, algorithm=algorithm)


def unsigned(header: Any, **claims: Any) -> str:
    """A token put together by hand, without a signature."""
    known = {"sub": "jon", "aud": AUDIENCE, "exp": int(time.time()) + DAY_S, "scope": "create reset act admin"} | claims
    parts = [header if isinstance(header, bytes) else json.dumps(header).encode(), json.dumps(known).encode(), b"x"]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


GOOD = {"a token of the file": token("anna"), "a signed one": signed()}
BAD_HEADERS = {
    "none": None,
    "empty": "",
    "another scheme": f"Basic {base64.b64encode(b'anna:x').decode()}",
    "the scheme alone": "Bearer",
    "no scheme": token("anna"),
    "another token": "Bearer token-of-anna-0002",
    "another case": f"Bearer {token('anna').upper()}",
    "a part of one": f"Bearer {token('anna')[:-1]}",
    "two at once": f"Bearer {token('anna')}, Bearer {token('gert')}",
    "one and more": f"Bearer {token('anna')} x",
    "a digest": f"Bearer sha256:{hashlib.sha256(token('anna').encode()).hexdigest()}",
    "quotes": f'Bearer "{token("anna")}"',
    "a huge one": f"Bearer {'a' * 5000}",
    "dots": "Bearer ..",
}
BAD_CLAIMS: dict[str, dict[str, Any]] = {
    "expired": {"exp": int(time.time()) - 10},
    "not valid yet": {"nbf": int(time.time()) + DAY_S},
    "another audience": {"aud": "others"},
    "no audience": {"aud": None},
    "no end": {"exp": None},
    "nobody's": {"sub": None},
    "an empty subject": {"sub": ""},
    "a session that is a number": {"session": 7},
    "an empty session": {"session": ""},
    "a tenant that is a list": {"tenant": ["default"]},
    "an end that is no number": {"exp": "soon"},
    "an end that never comes": {"exp": float("inf")},
}
BAD_TOKENS = {
    "another secret": signed("another secret of thirty-two bytes"),
    "another algorithm": signed(algorithm="HS512"),
    "no algorithm": unsigned({"alg": "none", "typ": "JWT"}),
    "no algorithm in capitals": unsigned({"alg": "NONE"}),
    "a header deep as a well": unsigned(b"[" * 3000),
    "a header that is no object": unsigned([1]),
    "a detached payload": unsigned({"alg": "HS256", "b64": False, "crit": ["b64"]}),
    "no signature": signed().rpartition(".")[0] + ".",
    "a changed scope": ".".join(
        (signed().split(".")[0], base64.urlsafe_b64encode(b'{"sub":"jon","scope":"admin"}').decode(), signed().split(".")[2])
    ),
}


def socket_answer(url: str, headers: dict[str, str]) -> dict[str, Any]:
    """The one frame that a refused socket gets; it is then closed with 1000."""
    with connect(url, additional_headers=headers, max_size=None) as socket:
        answer: dict[str, Any] = json.loads(socket.recv())
        with pytest.raises(ConnectionClosedOK):
            socket.recv()
    return answer


ROUTES = [
    ("POST", "/reset"),
    ("POST", "/step"),
    ("GET", "/state"),
    ("GET", "/schema"),
    ("GET", "/metadata"),
    ("GET", "/list_environments"),
    ("GET", "/metrics"),
    ("POST", "/sessions"),
    ("GET", "/sessions"),
    ("GET", "/sessions/x"),
    ("DELETE", "/sessions/x"),
    ("POST", "/sessions/x/scenario"),
    ("POST", "/sessions/x/verify"),
    ("POST", "/sessions/x/sql"),
    ("GET", "/sessions/x/database"),
    ("POST", "/sessions/x/tokens"),
    ("POST", "/mcp"),
    ("POST", "/sessions/x/mcp"),
    ("GET", "/notes/splits"),
    ("POST", "/notes/task"),
]


@pytest.mark.e2e
@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_without_a_token_no_route_looks_at_a_request(http: httpx.Client, method: str, path: str) -> None:
    for headers in ({}, bearing("token-of-stranger-1")):
        answer = http.request(method, path, content=b"{not json", headers=headers)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        assert ("invalid_token" in answer.headers["WWW-Authenticate"]) is bool(headers)
        assert answer.json()["error"]["code"] == "UNAUTHENTICATED"
        assert "stranger" not in answer.text
    assert http.get("/health").status_code == 200


@pytest.mark.e2e
@pytest.mark.parametrize("kind", GOOD)
def test_with_a_token_every_transport_works(server: Server, http: httpx.Client, kind: str) -> None:
    headers = bearing(GOOD[kind])
    session = http.post("/sessions", headers=headers).json()["session_id"]
    assert http.post("/reset", headers=headers | {"x-session-id": session}).status_code == 200
    assert http.post("/step", json={"action": STEP}, headers=headers | {"x-session-id": session}).status_code == 200
    assert http.post("/mcp", json=CALL, headers=headers).json()["result"]["is_error"] is False
    peer = Peer(http, headers=dict(headers))
    assert peer.initialize().status == 200
    assert peer.call("notes_list").result["isError"] is False
    assert modern(http, "tools/call", {"name": "notes_list", "arguments": {}}, **headers).result["isError"] is False
    assert http.get("/notes/splits", headers=headers).status_code == 501
    with connect(f"{server.ws_url}/ws", additional_headers=headers) as socket:
        for frame in ({"type": "reset"}, {"type": "step", "data": STEP}, {"action": STEP}, {"type": "mcp", "data": CALL}):
            socket.send(json.dumps(frame))
            said = json.loads(socket.recv())
            assert "error" not in {*said, said.get("type")}, said
    with connect(f"{server.ws_url}/mcp", additional_headers=headers) as socket:
        socket.send(json.dumps(CALL))
        assert "result" in json.loads(socket.recv())
    assert http.delete(f"/sessions/{session}", headers=headers).status_code == 200


@pytest.mark.e2e
@pytest.mark.parametrize("kind", BAD_HEADERS)
def test_a_header_that_is_not_one_known_bearer_token(server: Server, http: httpx.Client, kind: str) -> None:
    text = BAD_HEADERS[kind]
    refused_everywhere(server, http, {} if text is None else {"Authorization": text})


@pytest.mark.e2e
@pytest.mark.parametrize("kind", BAD_CLAIMS)
def test_a_signed_token_whose_claims_do_not_fit(server: Server, http: httpx.Client, kind: str) -> None:
    claims = BAD_CLAIMS[kind]
    text = jwt.api_jws.encode(json.dumps(_claims(claims)).encode(), SECRET, algorithm="HS256")
    refused_everywhere(server, http, bearing(text))


def _claims(changed: dict[str, Any]) -> dict[str, Any]:
    known = {"sub": "jon", "aud": AUDIENCE, "exp": int(time.time()) + DAY_S, "scope": "create reset act"} | changed
    return {name: value for name, value in known.items() if value is not None}


@pytest.mark.e2e
@pytest.mark.parametrize("kind", BAD_TOKENS)
def test_a_token_that_somebody_else_made(server: Server, http: httpx.Client, kind: str) -> None:
    refused_everywhere(server, http, bearing(BAD_TOKENS[kind]))


def refused_everywhere(server: Server, http: httpx.Client, headers: dict[str, str]) -> None:
    """Refused alike by HTTP, both MCPs and both sockets, and the token is nowhere in what is said."""
    standard = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {}}
    said = []
    for path, body in (("/step", {"action": STEP}), ("/mcp", CALL), ("/mcp", standard)):
        answer = http.post(path, json=body, headers={**ACCEPT, **headers})
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "UNAUTHENTICATED")
        said.append(answer.text)
    frame = socket_answer(f"{server.ws_url}/ws", headers)
    assert (frame["type"], frame["data"]["code"]) == ("error", "UNAUTHENTICATED")
    rpc = socket_answer(f"{server.ws_url}/mcp", headers)
    assert rpc["error"]["data"]["code"] == "UNAUTHENTICATED"
    sent = headers.get("Authorization", "").removeprefix("Bearer").strip()
    if len(sent) > 8:
        assert not any(sent in text for text in (*said, json.dumps(frame), json.dumps(rpc), server.log()))


@pytest.mark.e2e
def test_two_headers_are_none(http: httpx.Client) -> None:
    twice = [("Authorization", as_("anna")["Authorization"]), ("Authorization", as_("gert")["Authorization"])]
    assert http.get("/schema", headers=twice).status_code == 401


@pytest.mark.e2e
def test_a_token_in_a_url_is_not_taken(server: Server, http: httpx.Client) -> None:
    # Not the token of another test: uvicorn itself logs the URLs of sockets.
    query = f"access_token={token('zoe', 'other')}"
    for headers in ({}, as_("zoe", "other")):
        answer = http.get(f"/schema?{query}", headers=headers)
        assert answer.status_code == 401
        assert "URL" in answer.json()["error"]["message"]
    assert (socket_answer(f"{server.ws_url}/ws?{query}", {}))["data"]["code"] == "UNAUTHENTICATED"
    for name in ("token", "authorization"):
        assert http.get(f"/schema?{name}={token('zoe', 'other')}").status_code == 401


@pytest.mark.e2e
def test_the_scheme_may_be_written_in_any_case(http: httpx.Client) -> None:
    for scheme in ("bearer", "BEARER", "Bearer  "):
        assert http.get("/schema", headers={"Authorization": f"{scheme} {token('anna')}"}).status_code == 200


@pytest.mark.e2e
def test_scopes_are_asked_for_at_every_route(http: httpx.Client) -> None:
    session = http.post("/sessions", headers=as_("anna")).json()["session_id"]
    asked: list[tuple[str, str, Any]] = [
        ("POST", f"/sessions/{session}/scenario", SCENARIO),
        ("POST", f"/sessions/{session}/verify", {}),
        ("POST", f"/sessions/{session}/sql", {"query": "SELECT 1"}),
        ("GET", f"/sessions/{session}/database", None),
        ("POST", f"/sessions/{session}/tokens", {}),
        ("GET", "/metrics", None),
    ]
    for method, path, body in asked:
        answer = http.request(method, path, json=body, headers=as_("anna"))
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "FORBIDDEN"), path
    nobody: list[tuple[str, str, Any]] = [
        ("POST", "/sessions", None),
        ("GET", "/sessions", None),
        ("GET", f"/sessions/{session}", None),
        ("DELETE", f"/sessions/{session}", None),
        ("POST", "/reset", {}),
        ("POST", "/step", {"action": STEP}),
        ("GET", "/state", None),
        ("GET", "/notes/splits", None),
    ]
    for who in ("nobody", "prometheus"):
        for method, path, body in nobody:
            assert http.request(method, path, json=body, headers=as_(who)).status_code == 403, path
        answer = http.post("/mcp", json=CALL, headers=as_(who)).json()
        assert answer["error"]["data"]["code"] == "FORBIDDEN"
    assert http.get("/metrics", headers=as_("prometheus")).status_code == 200


@pytest.mark.e2e
@pytest.mark.parametrize(("path", "frame"), [("/ws", {"type": "step", "data": STEP}), ("/mcp", CALL)])
def test_scopes_are_asked_for_on_sockets(server: Server, path: str, frame: dict[str, Any]) -> None:
    for who in ("nobody", "prometheus"):
        assert "FORBIDDEN" in json.dumps(socket_answer(server.ws_url + path, as_(who)))
    with connect(server.ws_url + path, additional_headers=bearing(signed(scope="create"))) as socket:
        socket.send(json.dumps(frame))
        assert "FORBIDDEN" in str(socket.recv())


@pytest.mark.e2e
@pytest.mark.parametrize(
    "reset",
    [
        {"scenario": SCENARIO},
        {"scopes": ["grade"], "principal": "gert"},
        {"verifiers": [], "session_id": "x"},
    ],
)
def test_nothing_in_a_reset_or_a_frame_brings_a_scope(server: Server, http: httpx.Client, reset: dict[str, Any]) -> None:
    session = http.post("/sessions", headers=as_("anna")).json()["session_id"]
    http.post("/reset", json=reset, headers=as_("anna") | {"x-session-id": session})
    with connect(f"{server.ws_url}/ws?session_id={session}", additional_headers=as_("anna")) as socket:
        for frame in (
            {"type": "reset", "data": reset},
            {"action": "reset", **reset},
            {"type": "verify", "data": {}},
            {"type": "load_scenario", "data": SCENARIO},
            {"type": "query", "data": {"query": "SELECT 1"}},
            {"type": "mcp", "data": {"jsonrpc": "2.0", "id": 1, "method": "verify"}},
        ):
            socket.send(json.dumps(frame))
            socket.recv()
    shown = http.get(f"/sessions/{session}", headers=as_("anna")).json()
    assert shown["scenario"] is None
    assert http.post(f"/sessions/{session}/verify", json={}, headers=as_("anna")).status_code == 403


@pytest.mark.e2e
def test_the_same_name_in_two_tenants_is_two_worlds(http: httpx.Client) -> None:
    def notes(name: str, tenant: str, tool: str, **arguments: Any) -> Any:
        params = {"name": tool, "arguments": arguments}
        headers = as_(name, tenant) | {"x-notebook": "shared", "x-user": name}
        return http.post("/mcp", json=CALL | {"params": params}, headers=headers).json()

    assert notes("anna", "default", "notes_add", text="of the one tenant")["result"]["data"] == {"id": 2}
    elsewhere = notes("anna", "other", "notes_list")["result"]["data"]
    assert [note["text"] for note in elsewhere] == ["buy milk"]
    mine = http.get("/sessions", headers=as_("anna")).json()["sessions"]
    theirs = http.get("/sessions", headers=as_("anna", "other")).json()["sessions"]
    assert {one["session_id"] for one in mine}.isdisjoint(one["session_id"] for one in theirs)
    stolen = theirs[0]["session_id"]
    assert http.get(f"/sessions/{stolen}", headers=as_("anna")).status_code == 404
    assert http.post("/step", json={"action": STEP}, headers=as_("anna") | {"x-session-id": stolen}).status_code == 404
    assert http.delete(f"/sessions/{stolen}", headers=as_("zoe", "other")).status_code == 404
    bound = bearing(signed(session=stolen, scope="create reset act grade"))
    assert http.post("/step", json={"action": STEP}, headers=bound | {"x-session-id": stolen}).status_code == 404


def own_token(http: httpx.Client, session: str, **asked: Any) -> dict[str, str]:
    answer = http.post(f"/sessions/{session}/tokens", json=asked, headers=as_("gert"))
    assert answer.status_code == 201, answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    return bearing(answer.json()["token"])


@pytest.mark.e2e
def test_a_token_for_one_session_acts_there_and_does_nothing_else(server: Server, http: httpx.Client) -> None:
    session, other = (http.post("/sessions", headers=as_("gert")).json()["session_id"] for _ in range(2))
    agent = own_token(http, session)
    assert http.post("/step", json={"action": STEP}, headers=agent | {"x-session-id": session}).status_code == 200
    assert http.get("/state", headers=agent | {"x-session-id": session}).status_code == 200
    with connect(f"{server.ws_url}/ws?session_id={session}", additional_headers=agent) as socket:
        socket.send(json.dumps({"type": "step", "data": STEP}))
        assert json.loads(socket.recv())["type"] == "observation"
        socket.send(json.dumps({"type": "reset"}))
        assert json.loads(socket.recv())["data"]["code"] == "FORBIDDEN"
    here = Peer(http, path=f"/sessions/{session}/mcp", headers=dict(agent))
    assert here.initialize().status == 200
    assert here.call("notes_list").result["isError"] is False

    forbidden: list[tuple[str, str, Any]] = [
        ("POST", f"/sessions/{session}/scenario", SCENARIO),
        ("POST", f"/sessions/{session}/verify", {}),
        ("POST", f"/sessions/{session}/sql", {"query": "SELECT 1"}),
        ("GET", f"/sessions/{session}/database", None),
        ("POST", f"/sessions/{session}/tokens", {}),
        ("GET", f"/sessions/{session}", None),
        ("DELETE", f"/sessions/{session}", None),
        ("POST", "/sessions", None),
        ("GET", "/sessions", None),
        ("GET", "/metrics", None),
        ("POST", "/step", {"action": STEP}),
        ("GET", "/state", None),
        ("GET", "/notes/splits", None),
    ]
    for method, path, body in forbidden:
        assert http.request(method, path, json=body, headers=agent).status_code == 403, path
    reset = http.post("/reset", json={}, headers=agent | {"x-session-id": session})
    assert reset.status_code == 403
    assert http.post("/step", json={"action": STEP}, headers=agent | {"x-session-id": other}).status_code == 404
    assert http.post("/step", json={"action": STEP}, headers=agent | {"x-notebook": "mine"}).status_code == 403
    assert (socket_answer(f"{server.ws_url}/ws?session_id={other}", agent))["data"]["code"] == "SESSION_ERROR"
    assert (socket_answer(f"{server.ws_url}/ws", agent))["data"]["code"] == "FORBIDDEN"
    assert (socket_answer(f"{server.ws_url}/mcp", agent))["error"]["data"]["code"] == "FORBIDDEN"
    elsewhere = Peer(http, path=f"/sessions/{other}/mcp", headers=dict(agent))
    assert elsewhere.initialize().status == 404
    assert Peer(http, headers=dict(agent)).initialize().status == 403
    for path in ("/mcp", f"/sessions/{other}/mcp"):
        answer = http.post(path, json=CALL, headers=agent).json()
        assert answer["error"]["data"]["code"] in ("FORBIDDEN", "SESSION_ERROR")
    assert http.delete(f"/sessions/{session}", headers=as_("gert")).status_code == 200
    assert http.get("/state", headers=agent | {"x-session-id": session}).status_code == 404


@pytest.mark.e2e
def test_nobody_gives_away_more_than_he_has(http: httpx.Client) -> None:
    session = http.post("/sessions", headers=as_("gert")).json()["session_id"]
    for scopes in (["create"], ["act", "metrics"], ["admin"], ["watch"], ["all"]):
        answer = http.post(f"/sessions/{session}/tokens", json={"scopes": scopes}, headers=as_("gert"))
        assert (answer.status_code, answer.json()["error"]["field"]) == (403, "scopes"), scopes
    assert http.post(f"/sessions/{session}/tokens", json={"ttl_s": 1e9}, headers=as_("gert")).status_code == 422
    assert http.post("/sessions/nothing/tokens", json={}, headers=as_("gert")).status_code == 404
    assert http.post(f"/sessions/{session}/tokens", json={}, headers=as_("zoe", "other")).status_code == 404
    grader = own_token(http, session, scopes=["act", "grade"])
    assert http.post("/step", json={"action": STEP}, headers=grader | {"x-session-id": session}).status_code == 200
    assert http.post(f"/sessions/{session}/sql", json={"query": "SELECT 1"}, headers=grader).status_code == 200
    soon = int(time.time()) + 30
    brief = bearing(signed(sub="gert", scope="create act grade", exp=soon))
    made = http.post(f"/sessions/{session}/tokens", json={"ttl_s": 3600}, headers=brief).json()["token"]
    claims = jwt.decode(made, options={"verify_signature": False})
    assert claims["exp"] <= soon + 1
    assert (claims["sub"], claims["session"], claims["scope"]) == ("gert/agent", session, "act")


@pytest.mark.e2e
def test_a_token_that_ends_on_an_open_socket_ends_what_it_may_do(server: Server, http: httpx.Client) -> None:
    session = http.post("/sessions", headers=as_("gert")).json()["session_id"]
    agent = own_token(http, session, ttl_s=3)
    with connect(f"{server.ws_url}/ws?session_id={session}", additional_headers=agent) as socket:
        said: dict[str, Any] = {}
        answered = 0
        while said.get("type") != "error":
            socket.send(json.dumps({"type": "step", "data": STEP}))
            said = json.loads(socket.recv())
            answered += said["type"] == "observation"
            time.sleep(0.01)  # well below the rate limit, however fast the machine is
        assert answered > 0
        assert (said["data"]["code"], said["data"]["message"]) == ("UNAUTHENTICATED", "the token has expired")
        socket.send(json.dumps({"action": "state"}))
        assert json.loads(socket.recv())["error"]["code"] == "UNAUTHENTICATED"
    assert http.post(f"/sessions/{session}/verify", json={"verifiers": [VERIFIER]}, headers=as_("gert")).status_code == 200


@pytest.mark.e2e
def test_nobody_who_was_refused_had_an_environment_made(serve: Servers, tmp_path: Path) -> None:
    server = serve("tests.middleware.apps:loud_app", "--tokens", str(token_file(tmp_path)), cwd=ROOT)
    assert "all scopes for everyone" not in server.log()
    stranger = bearing("token-of-stranger-1")
    sockets = [("/ws", None), ("/mcp", None), ("/ws", [Subprotocol("openenv.v2")]), ("/ws", [Subprotocol("openenv.v2+msgpack")])]
    with httpx.Client(base_url=server.url) as http:
        for method, path in ROUTES:
            http.request(method, path, headers=stranger)
        assert Peer(http, headers=dict(stranger)).initialize().status == 401
        for path, offers in sockets:
            with connect(server.ws_url + path, additional_headers=stranger, subprotocols=offers) as socket:
                assert "UNAUTHENTICATED" in str(socket.recv())
        metrics = http.get("/metrics", headers=as_("prometheus")).text
        refused = len(ROUTES) + 1 + len(sockets)
        assert f'openenv_errors_total{{env="notes",type="auth"}} {refused}.0' in metrics
        assert 'openenv_active_sessions{env="notes"} 0.0' in metrics
        lines = [json.loads(line) for line in server.log().splitlines() if line.startswith("{")]
        assert {line["event"] for line in lines} == {"refused"}
        assert "stranger" not in server.log()
        assert MADE not in server.log()
        assert http.post("/sessions", headers=as_("anna")).is_success
        assert MADE in server.log()


@pytest.mark.e2e
def test_a_debug_log_has_no_token(serve: Servers, tmp_path: Path) -> None:
    options = ["--tokens", str(token_file(tmp_path)), "--log-level", "trace"]
    server = serve("tests.middleware.apps:notes_app", *options, cwd=ROOT)
    with connect(f"{server.ws_url}/ws", additional_headers=as_("anna")) as socket:
        socket.send(json.dumps({"type": "step", "data": STEP}))
        socket.recv()
    assert httpx.get(f"{server.url}/schema", headers=as_("anna")).status_code == 200
    server.stop()
    assert '"op": "step"' in server.log()
    assert "token-of-" not in server.log()


@pytest.mark.e2e
def test_the_web_page_of_a_guest_asks_too(serve: Servers, tmp_path: Path) -> None:
    options = ["--tokens", str(token_file(tmp_path))]
    server = serve("tests.middleware.apps:parrot_app", *options, cwd=ROOT, env={"ENABLE_WEB_INTERFACE": "true"})
    with httpx.Client(base_url=server.url) as http:
        for method, path in (("GET", "/web/"), ("GET", "/web/metadata"), ("GET", "/web/state"), ("POST", "/web/reset")):
            assert http.request(method, path).status_code == 401, path
            assert http.request(method, path, json={}, headers=as_("anna")).status_code == 200, path
        assert http.post("/web/step", json={"action": {"word": "x"}}).status_code == 401
        assert http.post("/web/step", json={"action": {"word": "x"}}, headers=as_("anna")).status_code == 200
        assert http.post("/web/step", json={"action": {"word": "x"}}, headers=as_("prometheus")).status_code == 403
        session = http.post("/sessions", headers=as_("gert")).json()["session_id"]
        agent = own_token(http, session)
        assert http.post("/web/step", json={"action": {"word": "x"}}, headers=agent).status_code == 403
        assert http.get("/web/state", headers=agent).status_code == 403
        assert http.post("/step", json={"action": {"word": "x"}}, headers=as_("anna")).status_code == 200
    assert (socket_answer(f"{server.ws_url}/ws", {}))["data"]["code"] == "UNAUTHENTICATED"


# The object itself.


def admitted(auth: BearerAuth, text: str) -> Principal:
    connection = Connection("test", {"authorization": f"Bearer {text}"}, {})
    auth.admit(connection)
    assert "authorization" not in connection.headers
    return connection.principal


def test_a_signed_token_says_who_its_bearer_is() -> None:
    auth = BearerAuth(secret=SECRET)
    who = admitted(auth, auth.mint("jon", scopes=["act", "reset"], tenant="north", session="s1", ttl_s=60))
    assert (who.id, who.tenant, who.scopes, who.session) == ("jon", "north", frozenset({"act", "reset"}), "s1")
    assert who.expires is not None
    assert who.expires > time.time()
    assert admitted(auth, auth.mint("jon")).scopes == {"act"}
    assert admitted(auth, signed(scope=None)).scopes == frozenset()
    assert admitted(auth, signed(scope=["act"])).scopes == frozenset()
    assert admitted(auth, signed(scope="act openid  ACT")).scopes == {"act"}
    assert admitted(auth, signed(aud=["others", AUDIENCE])).id == "jon"


def test_without_a_secret_only_its_own_tokens_are_good() -> None:
    auth, other = BearerAuth(), BearerAuth()
    assert admitted(auth, auth.mint("jon")).id == "jon"
    for stranger in (other.mint("jon"), signed(), signed("x" * 32)):
        with pytest.raises(Unauthenticated):
            admitted(auth, stranger)


def test_known_tokens_are_kept_as_digests_and_may_come_as_such() -> None:
    digest = hashlib.sha256(b"token-of-anna-0001").hexdigest()
    auth = BearerAuth({f"sha256:{digest}": {"id": "anna", "scopes": ["act"]}, "token-of-gert-0001": Principal("gert")})
    assert admitted(auth, "token-of-anna-0001") == Principal("anna", scopes=frozenset({"act"}))
    assert admitted(auth, "token-of-gert-0001") == Principal("gert")
    assert "token-of-gert-0001" not in repr(vars(auth._known))
    with pytest.raises(Unauthenticated):
        admitted(auth, digest)


@pytest.mark.parametrize(
    ("tokens", "words"),
    [
        ({"tiny-token": {"id": "a", "scopes": []}}, "too short"),
        ({"has a space in the middle": {"id": "a", "scopes": []}}, "too short"),
        ({"token-of-anna-0001": {"id": "a"}}, "scopes are not a list"),
        ({"token-of-anna-0001": {"id": "a", "scopes": "act"}}, "scopes are not a list"),
        ({"token-of-anna-0001": {"id": "a", "scopes": ["acts"]}}, "no scope 'acts'"),
        ({"token-of-anna-0001": {"id": "a", "scopes": [], "sesion": "x"}}, "not an object"),
        ({"token-of-anna-0001": {"id": "", "scopes": []}}, "id is not a text"),
        ({"token-of-anna-0001": {"id": "a\nb", "scopes": []}}, "id is not a text"),
        ({"token-of-anna-0001": {"id": "a", "scopes": [], "session": 5}}, "session is not a text"),
        ({"token-of-anna-0001": ["a"]}, "not an object"),
        (
            {
                "token-of-anna-0001": {"id": "a", "scopes": []},
                f"sha256:{hashlib.sha256(b'token-of-anna-0001').hexdigest()}": {"id": "b", "scopes": []},
            },
            "there twice",
        ),
    ],
)
def test_a_misspelt_entry_is_refused_without_showing_its_token(tokens: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words) as caught:
        BearerAuth(tokens)
    assert not any(token in str(caught.value.body()) for token in tokens)


@pytest.mark.parametrize("text", ["{", "[]", '{"a-long-enough-token": {}, "a-long-enough-token": {}}', "[" * 100_000])
def test_a_file_that_is_no_list_of_tokens(text: str, tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match="JSON"):
        BearerAuth(path)
    with pytest.raises(ConfigurationError, match="No such file"):
        BearerAuth(tmp_path / "none.json")


def test_a_short_secret_signs_nothing() -> None:
    with pytest.raises(ConfigurationError, match="needs 32"):
        BearerAuth(secret="short")
    with pytest.raises(ConfigurationError, match="no time"):
        BearerAuth().mint("jon", ttl_s=0)
    with pytest.raises(ConfigurationError, match="no scope 'everything'"):
        BearerAuth().mint("jon", scopes=["everything"])
