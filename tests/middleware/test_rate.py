"""Rate limits: the arithmetic of the buckets, and what a refusal looks like on every transport."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosedOK
from websockets.sync.client import connect

from openenv.errors import ConfigurationError, Forbidden, RateLimited, Unauthenticated
from openenv.middleware import BearerAuth, RateLimit
from openenv.middleware.rate import Buckets
from openenv.operation import Connection, Operation, Principal
from tests.middleware.apps import SECRET
from tests.support.mcp_wire import Peer
from tests.support.processes import ROOT, Server, Servers

CALL = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "notes_list", "arguments": {}}}
STEP = {"type": "call_tool", "tool_name": "notes_list"}


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_bucket_gives_its_burst_and_then_its_rate(clock: Clock) -> None:
    buckets = Buckets(10, 5, clock=clock)
    assert [buckets.take("a", 1) for _ in range(5)] == [0.0] * 5
    assert buckets.take("a", 1) == pytest.approx(0.1)
    assert buckets.take("b", 1) == 0.0
    clock.now += 0.1
    assert buckets.take("a", 1) == 0.0
    assert buckets.take("a", 3) == pytest.approx(0.3)
    clock.now += 100
    assert [buckets.take("a", 1) > 0 for _ in range(6)] == [False] * 5 + [True]


def test_what_costs_more_than_a_bucket_holds_waits_for_a_full_one(clock: Clock) -> None:
    buckets = Buckets(10, 5, clock=clock)
    assert buckets.take("a", 20) == 0.0
    assert buckets.take("a", 1) == pytest.approx(1.6)
    assert buckets.take("a", 20) == pytest.approx(2.0)
    clock.now += 2.0
    assert buckets.take("a", 20) == 0.0


@given(st.floats(0.1, 1000), st.floats(1, 100), st.lists(st.tuples(st.floats(0, 2), st.floats(0.01, 3)), min_size=1, max_size=60))
def test_never_more_than_the_burst_and_the_rate_together(rate: float, burst: float, asked: list[tuple[float, float]]) -> None:
    clock = Clock()
    buckets = Buckets(rate, burst, clock=clock)
    begin, taken, largest = clock.now, 0.0, 0.0
    for pause, cost in asked:
        clock.now += pause
        wait = buckets.take("a", cost)
        if wait == 0.0:
            taken += cost
            largest = max(largest, cost)
        else:
            clock.now += wait + 1e-6
            assert buckets.take("a", cost) == 0.0, "what it said was enough was not"
            taken += cost
            largest = max(largest, cost)
        assert taken <= max(burst, largest) + rate * (clock.now - begin) + 1e-3 * rate


def test_memory_is_bounded_and_the_emptiest_buckets_are_kept(clock: Clock) -> None:
    buckets = Buckets(1, 10, limit=100, clock=clock)
    for _ in range(10):
        buckets.take("greedy", 1)
    for number in range(100_000):
        buckets.take(number, 1)
    assert len(buckets) <= 100
    assert buckets.take("greedy", 1) > 0


def test_full_buckets_are_forgotten_first(clock: Clock) -> None:
    buckets = Buckets(1, 10, limit=10, clock=clock)
    for number in range(10):
        buckets.take(number, 1)
    clock.now += 60
    buckets.take("new", 1)
    assert len(buckets) == 1


@pytest.mark.parametrize(("rate", "burst"), [(0, 1), (-1, 1), (float("nan"), 1), (float("inf"), 1), (1, 0), (1, float("inf"))])
def test_rates_that_are_none(rate: float, burst: float) -> None:
    with pytest.raises(ConfigurationError, match="above zero"):
        RateLimit(rate, burst)


def test_costs_are_by_operation_and_principal(clock: Clock) -> None:
    limit = RateLimit(1, 4, costs={"verify": 3}, clock=clock)
    anna, other = Principal("anna"), Principal("anna", tenant="other")
    limit.before(Operation("verify", principal=anna))
    limit.before(Operation("step", principal=anna))
    with pytest.raises(RateLimited) as caught:
        limit.before(Operation("step", principal=anna))
    assert caught.value.retry_after_s == pytest.approx(1.0)
    assert caught.value.body()["retry_after_s"] == pytest.approx(1.0)
    limit.before(Operation("close", principal=anna))
    limit.before(Operation("step", principal=other))
    clock.now += 1
    limit.before(Operation("step", principal=anna))


def test_refusals_are_limited_by_network(clock: Clock) -> None:
    limit = RateLimit(1, refusals=(1, 2), clock=clock)

    def refuse(client: str | None) -> None:
        limit.refused(Connection("http", {}, {}, client=client), Unauthenticated("no"))

    for client in ("10.0.0.1", "2001:db8::1", None, "unix:what"):
        refuse(client)
        refuse(client)
        with pytest.raises(RateLimited, match="without a valid token"):
            refuse(client)
    with pytest.raises(RateLimited):
        refuse("2001:db8::ffff:1")
    refuse("2001:db8:0:1::1")
    refuse("10.0.0.2")
    limit.refused(Connection("http", {}, {}, client="10.0.0.1"), Forbidden("a host"))


# On real servers.


@pytest.fixture(scope="module", params=["openenv serve", "uvicorn"])
def server(request: pytest.FixtureRequest, module_serve: Servers) -> Server:
    """Eight operations for everyone, and then one every hundred seconds."""
    if request.param == "uvicorn":
        return module_serve("tests.middleware.apps:slow_app", cwd=ROOT, uvicorn=True)
    options = ["--jwt-secret-env", "NOTES_SECRET", "--rate", "0.01", "--burst", "8"]
    return module_serve("tests.middleware.apps:notes_app", *options, cwd=ROOT, env={"NOTES_SECRET": SECRET})


@pytest.fixture
def http(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=15) as client:
        yield client


@pytest.fixture
def me(request: pytest.FixtureRequest) -> dict[str, str]:
    """The headers of a principal of this test's own."""
    name = request.node.name.partition("[")[0]
    return {"Authorization": f"Bearer {BearerAuth(secret=SECRET).mint(name, scopes=['create', 'reset', 'act', 'metrics'])}"}


def limited(body: dict[str, Any]) -> bool:
    if body.get("code") != "RATE_LIMITED":
        return False
    assert 0 < body["retry_after_s"] <= 100
    return True


@pytest.mark.e2e
def test_over_http_it_is_429_with_the_time_to_wait(http: httpx.Client, me: dict[str, str]) -> None:
    session = http.post("/sessions", headers=me).json()["session_id"]
    here = me | {"x-session-id": session}
    for _ in range(7):
        assert http.post("/step", json={"action": STEP}, headers=here).status_code == 200
    for method, path, body in (
        ("POST", "/step", {"action": STEP}),
        ("POST", "/step", "{bad"),
        ("POST", "/reset", {}),
        ("GET", "/state", None),
        ("POST", "/sessions", None),
        ("GET", "/sessions", None),
        ("GET", f"/sessions/{session}", None),
        ("GET", "/schema", None),
        ("GET", "/metadata", None),
        ("GET", "/notes/splits", None),
        ("GET", "/metrics", None),
    ):
        answer = http.request(method, path, json=body, headers=here)
        assert answer.status_code == 429, path
        assert limited(answer.json()["error"])
        assert 1 <= int(answer.headers["Retry-After"]) <= 100
    assert http.get("/health").status_code == 200
    assert http.delete(f"/sessions/{session}", headers=here).status_code == 200


@pytest.mark.e2e
def test_on_a_socket_it_is_an_error_in_the_frames_dialect(server: Server, me: dict[str, str]) -> None:
    with connect(f"{server.ws_url}/ws", additional_headers=me) as socket:

        def ask(frame: Any) -> dict[str, Any]:
            socket.send(json.dumps(frame))
            answer: dict[str, Any] = json.loads(socket.recv())
            return answer

        for _ in range(7):
            assert ask({"type": "step", "data": STEP})["type"] == "observation"
        assert limited(ask({"type": "step", "data": STEP})["data"])
        assert limited(ask({"action": STEP})["error"])
        assert limited(ask({"type": "nonsense"})["data"])
        assert limited(ask({"type": "mcp", "data": CALL})["data"]["error"]["data"])
        assert limited(ask({"type": "mcp", "data": {"jsonrpc": "1.0"}})["data"]["error"]["data"])
    with connect(f"{server.ws_url}/ws", additional_headers=me) as socket:
        assert limited(json.loads(socket.recv())["data"])
        with pytest.raises(ConnectionClosedOK):
            socket.recv()


@pytest.mark.e2e
def test_over_json_rpc_it_is_an_error_of_the_call(server: Server, http: httpx.Client, me: dict[str, str]) -> None:
    with connect(f"{server.ws_url}/mcp", additional_headers=me) as socket:
        answers = []
        for frame in (*[json.dumps(CALL)] * 8, "{bad"):
            socket.send(frame)
            answers.append(json.loads(socket.recv()))
        assert ["result" in answer for answer in answers] == [True] * 7 + [False] * 2
        assert all(limited(answer["error"]["data"]) for answer in answers[7:])
    with connect(f"{server.ws_url}/mcp", additional_headers=me) as socket:
        assert limited(json.loads(socket.recv())["error"]["data"])
    for content in (json.dumps(CALL), "{bad", '{"jsonrpc": "2.0", "id": 2, "method": "none"}'):
        over_http = http.post("/mcp", content=content, headers=me)
        assert over_http.status_code == 200
        assert over_http.json()["error"]["code"] == -32000
        assert limited(over_http.json()["error"]["data"])


@pytest.mark.e2e
def test_over_standard_mcp_it_is_an_error_of_the_protocol(http: httpx.Client, me: dict[str, str]) -> None:
    peer = Peer(http, headers=dict(me))
    assert peer.initialize().status == 200
    for _ in range(7):
        assert peer.call("notes_list").result["isError"] is False
    assert limited(peer.call("notes_list").error["data"])
    fresh = Peer(http, headers=dict(me)).initialize()
    assert fresh.status == 429
    assert limited(fresh.error["data"])
    assert int(fresh.response.headers["Retry-After"]) > 0


@pytest.mark.e2e
def test_callers_without_a_token_wear_out_their_address_and_nobody_elses_token(serve: Servers, me: dict[str, str]) -> None:
    server = serve("tests.middleware.apps:slow_app", cwd=ROOT)
    with httpx.Client(base_url=server.url) as http:
        seen = [http.get("/schema").status_code for _ in range(5)]
        assert seen == [401, 401, 401, 429, 429]
        answer = http.get("/schema")
        assert limited(answer.json()["error"])
        assert int(answer.headers["Retry-After"]) > 0
        with connect(f"{server.ws_url}/ws") as socket:
            assert limited(json.loads(socket.recv())["data"])
            with pytest.raises(ConnectionClosedOK):
                socket.recv()
        assert http.get("/schema", headers=me).status_code == 200
        counted = http.get("/metrics", headers=me).text
    assert 'openenv_errors_total{env="notes",type="auth"} 3.0' in counted
    assert 'openenv_errors_total{env="notes",type="rate_limit"} 4.0' in counted
