from __future__ import annotations

import gc
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from openenv.client.http import HttpSession
from openenv.errors import ConfigurationError, ConnectionFailed, DeadlineExceeded, ServerError, ValidationFailed

Answer = tuple[int, dict[str, str], bytes]


def as_json(status: int, body: Any, **headers: str) -> Answer:
    return status, {"Content-Type": "application/json", **headers}, json.dumps(body).encode()


def typed(status: int, code: str, **more: Any) -> Answer:
    return as_json(status, {"error": {"code": code, "message": "no", **more}})


CREATED = as_json(201, {"session_id": "s/1"})


@dataclass
class Scripts:
    """A real HTTP server that gives its answers in order; the last one for ever. ``None`` is silence."""

    url: str = ""
    answers: list[Answer | None] = field(default_factory=lambda: [CREATED])
    seen: list[tuple[str, str, dict[str, str], Any]] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)

    def next(self) -> Answer | None:
        """What to say now."""
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@pytest.fixture
def scripts() -> Iterator[Scripts]:
    told = Scripts()

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            told.seen.append((self.command, self.path, headers, json.loads(body) if body else None))
            answer = told.next()
            if answer is None:
                told.released.wait()
                return
            status, more, content = answer
            self.send_response(status)
            for name, value in {**more, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_DELETE = answer

        def log_message(self, format: str, *args: Any) -> None:
            """Write nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        told.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield told
        finally:
            told.released.set()
            server.shutdown()
            thread.join()


async def test_every_verb_is_its_request(scripts: Scripts) -> None:
    played = as_json(200, {"observation": {"n": 1}, "reward": 1.0, "done": True, "metadata": {"k": 2}})
    graded = as_json(200, {"passed": True})
    deleted = as_json(200, {"session_id": "s/1", "closed": True})
    scripts.answers = [CREATED, played, played, graded, played, graded, graded, graded, (200, {}, b"SQLite"), deleted]
    session = await HttpSession.create(scripts.url.replace("http", "ws") + "/ws", headers={"Authorization": "Bearer t"})
    assert session.session_id == "s/1"
    result = await session.reset(seed=7)
    assert (result.observation, result.reward, result.done, result.metadata) == ({"n": 1}, 1.0, True, {"k": 2})
    await session.step({"message": "hi"})
    assert await session.state() == {"passed": True}
    await session.load_scenario({"id": "x"})
    assert await session.verify({"response": "done"}) == {"passed": True}
    await session.sql("SELECT 1")
    await session.info()
    assert await session.database("initial") == b"SQLite"
    await session.close()
    await session.close()
    assert [(method, path, body) for method, path, _, body in scripts.seen] == [
        ("POST", "/sessions", None),
        ("POST", "/reset", {"seed": 7}),
        ("POST", "/step", {"action": {"message": "hi"}}),
        ("GET", "/state", None),
        ("POST", "/sessions/s%2F1/scenario", {"id": "x"}),
        ("POST", "/sessions/s%2F1/verify", {"response": "done"}),
        ("POST", "/sessions/s%2F1/sql", {"query": "SELECT 1"}),
        ("GET", "/sessions/s%2F1", None),
        ("GET", "/sessions/s%2F1/database?at=initial", None),
        ("DELETE", "/sessions/s%2F1", None),
    ]
    assert all(headers["authorization"] == "Bearer t" for _, _, headers, _ in scripts.seen)
    assert [headers.get("x-session-id") for _, _, headers, _ in scripts.seen[:5]] == [None, "s/1", "s/1", "s/1", None]


async def test_a_full_server_is_asked_again_when_it_says(scripts: Scripts) -> None:
    full = (503, {"Retry-After": "0"}, b'{"error":{"code":"CAPACITY_REACHED","message":"full"}}')
    scripts.answers = [full, full, CREATED]
    async with await HttpSession.create(scripts.url) as session:
        assert session.session_id == "s/1"
    assert len(scripts.seen) == 4


async def test_a_server_that_stays_full_is_told(scripts: Scripts) -> None:
    scripts.answers = [(503, {"Retry-After": "5"}, b'{"error":{"code":"CAPACITY_REACHED","message":"full","max_sessions":2}}')]
    with pytest.raises(ServerError, match="full") as caught:
        await HttpSession.create(scripts.url, capacity_wait_s=1)
    assert caught.value.code == "CAPACITY_REACHED"
    assert caught.value.details == {"status": 503, "retry_after_s": 5.0, "max_sessions": 2}
    assert len(scripts.seen) == 1


@pytest.mark.parametrize(
    ("answer", "code", "words"),
    [
        (typed(401, "UNAUTHENTICATED", hint="h"), "UNAUTHENTICATED", "no"),
        (typed(409, "EPISODE_OVER"), "EPISODE_OVER", "no"),
        (
            as_json(422, {"detail": [{"loc": ["body", "seed"], "msg": "bad"}]}),
            "VALIDATION_ERROR",
            r"body\.seed: bad",
        ),
        (as_json(422, {"detail": []}), "VALIDATION_ERROR", "invalid"),
        (as_json(404, {"detail": "Not Found"}), "SESSION_ERROR", "Not Found"),
        ((500, {}, b"Internal Server Error"), "EXECUTION_ERROR", "Internal Server Error"),
        ((502, {}, b""), "EXECUTION_ERROR", "no text"),
        ((418, {}, b"\xff\xfe"), "INTERNAL_ERROR", "418"),
        (as_json(503, {"error": "down"}), "CAPACITY_REACHED", "503"),
        (as_json(500, {"error": {"code": 5, "message": None}}), "INTERNAL_ERROR", "no message"),
        ((200, {}, b"<html>"), "INVALID_JSON", "no JSON object"),
        ((200, {}, b"[]"), "INVALID_JSON", "no JSON object"),
    ],
)
async def test_errors_have_the_servers_code(scripts: Scripts, answer: Answer, code: str, words: str) -> None:
    scripts.answers = [answer]
    session = HttpSession(scripts.url, "s")
    with pytest.raises(ServerError, match=words) as caught:
        await session.reset()
    assert caught.value.code == code
    scripts.answers = [as_json(200, {})]
    await session.close()


async def test_a_session_that_the_server_forgot_is_closed(scripts: Scripts) -> None:
    scripts.answers = [typed(404, "SESSION_ERROR")]
    await HttpSession(scripts.url, "s").close()
    scripts.answers = [typed(401, "UNAUTHENTICATED")]
    with pytest.raises(ServerError):
        await HttpSession(scripts.url, "s").close()


async def test_a_created_session_without_a_name(scripts: Scripts) -> None:
    scripts.answers = [as_json(201, {"id": 1})]
    with pytest.raises(ServerError, match="did not name it"):
        await HttpSession.create(scripts.url)


async def test_silence(scripts: Scripts) -> None:
    scripts.answers = [None]
    with pytest.raises(DeadlineExceeded, match=r"POST /sessions .* within 0\.1 s"):
        await HttpSession.create(scripts.url, timeout_s=0.1)


async def test_nobody_there(free_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with pytest.raises(ConnectionFailed, match=f"from http://127.0.0.1:{free_port}"):
        await HttpSession.create(f"127.0.0.1:{free_port}")


async def test_a_shared_connection_pool_stays_open(scripts: Scripts) -> None:
    async with httpx.AsyncClient() as http:
        async with await HttpSession.create(scripts.url, http=http):
            pass
        assert not http.is_closed
        async with await HttpSession.create(scripts.url, http=http):
            pass


async def test_what_cannot_be_sent_is_refused_here(scripts: Scripts) -> None:
    session = HttpSession(scripts.url, "s")
    for call in (session.step("text"), session.step({"x": object()}), session.reset(x=object())):
        with pytest.raises(ValidationFailed):
            await call
    assert scripts.seen == []
    await session.close()
    with pytest.raises(ConfigurationError):
        HttpSession("ftp://h", "s")
    gc.collect()
