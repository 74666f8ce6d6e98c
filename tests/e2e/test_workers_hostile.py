"""What strangers send to servers of several workers: it is answered as by a server of one, and harms nobody."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.processes import ROOT, Server, Servers
from tests.support.worker_toys import Lines, home, until, worker_pids

pytestmark = pytest.mark.e2e

TOYS = "tests.support.worker_toys"
STEP = b'{"action":{"text":"a"}}'


@pytest.fixture(scope="module")
def one(module_serve: Servers) -> Server:
    return module_serve(f"{TOYS}:quick_app", cwd=ROOT)


@pytest.fixture(scope="module")
def two(module_serve: Servers) -> Server:
    return module_serve(f"{TOYS}:quick_app", "--workers", "2", cwd=ROOT)


@pytest.fixture
def lines() -> Iterator[Lines]:
    made = Lines()
    yield made
    made.close()


def session_on(server: Server, worker: int | None) -> str:
    with httpx.Client(base_url=server.url) as client:
        for _ in range(50):
            session: str = client.post("/sessions").json()["session_id"]
            if worker is None or home(session) == worker:
                return session
    raise AssertionError(f"worker {worker} gets no session")


def said(sock: socket.socket, *parts: bytes, pause_s: float = 0.0, patience_s: float = 15.0) -> bytes:
    """Everything that is answered to these bytes until the other side closes, or says nothing for a while."""
    for part in parts:
        try:
            sock.sendall(part)
        except (BrokenPipeError, ConnectionResetError):
            break  # it has said enough
        time.sleep(pause_s)
    sock.settimeout(patience_s)
    heard = b""
    try:
        while piece := sock.recv(65536):
            heard += piece
            whole = re.search(rb"(?i)content-length: (\d+)\r\n.*?\r\n\r\n", heard, re.DOTALL)
            if whole is not None and len(heard) >= whole.end() + int(whole[1]):
                break
    except (TimeoutError, ConnectionResetError):
        pass
    return heard


def status(heard: bytes) -> int | None:
    found = re.match(rb"HTTP/1\.1 (\d+)", heard)
    return int(found[1]) if found is not None else None


def posted(session: str, body: bytes, *headers: bytes, path: bytes = b"/step") -> bytes:
    lines = [b"POST %b HTTP/1.1" % path, b"Host: x", b"X-Session-ID: " + session.encode(), *headers]
    return b"\r\n".join([*lines, b"Content-Length: %d" % len(body), b"", body])


HOSTILE = {
    "a worker that there is not": (b"GET /sessions/%(foreign)s HTTP/1.1\r\nHost: x\r\n\r\n", 404),
    "no id at all": (b"GET /sessions/..%%2f..%%2fetc HTTP/1.1\r\nHost: x\r\n\r\n", 404),
    "a path up and down": (b"GET /sessions/x/../%(session)s HTTP/1.1\r\nHost: x\r\n\r\n", 404),
    "an id with a zero": (b"GET /sessions/%(session)s%%00 HTTP/1.1\r\nHost: x\r\n\r\n", 404),
    "an id in capitals": (b"GET /sessions/%(upper)s HTTP/1.1\r\nHost: x\r\n\r\n", 404),
    "a long id": (b"GET /sessions/" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 404),
    "an escaped id": (b"GET /sessions/%(escaped)s HTTP/1.1\r\nHost: x\r\n\r\n", 200),
    "two sessions, the second counts": (
        b"GET /state HTTP/1.1\r\nHost: x\r\nX-Session-ID: %(foreign)s\r\nX-Session-ID: %(session)s\r\n\r\n", 200,
    ),
    "two sessions, the second is none": (
        b"GET /state HTTP/1.1\r\nHost: x\r\nX-Session-ID: %(session)s\r\nX-Session-ID: %(foreign)s\r\n\r\n", 404,
    ),
    "a header of latin-1": (b"GET /state HTTP/1.1\r\nHost: x\r\nX-Session-ID: \xff%(session)s\r\n\r\n", 404),
    "two lengths": (
        b"POST /step HTTP/1.1\r\nX-Session-ID: %(session)s\r\nContent-Length: 5\r\nContent-Length: 23\r\n\r\n" + STEP, 400,
    ),
    "a length and chunks": (
        b"POST /step HTTP/1.1\r\nX-Session-ID: %(session)s\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    "a broken chunk": (
        b"POST /step HTTP/1.1\r\nHost: x\r\nX-Session-ID: %(session)s\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n", None,
    ),
    "a folded header": (b"GET /state HTTP/1.1\r\nHost: x\r\nX-Session-ID:\r\n %(session)s\r\n\r\n", None),
    "a space before the colon": (b"GET /state HTTP/1.1\r\nHost: x\r\nX-Session-ID : %(session)s\r\n\r\n", 400),
    "no version": (b"GET /sessions/%(session)s\r\n\r\n", None),
    "an absolute target": (b"GET http://x/sessions/%(session)s HTTP/1.1\r\nHost: x\r\n\r\n", None),
    "a body that is no JSON": (
        b"POST /step HTTP/1.1\r\nHost: x\r\nX-Session-ID: %(session)s\r\nContent-Length: 3\r\n\r\n{{{", 422,
    ),
    "an upgrade to nothing": (
        b"GET /sessions/%(session)s HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n", None,
    ),
    "a handshake without a key": (
        b"GET /ws?session_id=%(session)s HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", 400,
    ),
    "a browser's other host": (
        b"GET /sessions/%(session)s HTTP/1.1\r\nHost: evil.example\r\nOrigin: http://evil.example\r\n\r\n", 403,
    ),
    "made-up origin of a relay": (
        b"GET /sessions/%(session)s HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 1.2.3.4\r\nx-openenv-worker: 0\r\n\r\n", 200,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_it_is_answered_as_by_a_server_of_one(one: Server, two: Server, lines: Lines, name: str) -> None:
    request, expected = HOSTILE[name]

    def heard(server: Server, taker: int | None, session: str) -> int | None:
        escaped = "".join(f"%{ord(letter):02x}" for letter in session)
        foreign = f"{session[:14]}8{session[15:19]}8{session[20:-4]}0063"
        known = {"session": session, "foreign": foreign, "upper": session.upper(), "escaped": escaped}
        sent = request % {key.encode(): value.encode() for key, value in known.items()}
        if taker is None:
            with socket.create_connection(("127.0.0.1", server.port)) as sock:
                return status(said(sock, sent))
        return status(said(lines.socket(server, taker), sent))

    alone = heard(one, None, session_on(one, None))
    if expected is not None:
        assert alone == expected
    for owner, taker in ((0, 1), (1, 1)):
        assert heard(two, taker, session_on(two, owner)) == alone, (owner, taker)


@pytest.mark.parametrize("owner", [0, 1])
def test_a_request_in_small_pieces_moves_too(two: Server, lines: Lines, owner: int) -> None:
    request = posted(session_on(two, owner), STEP)
    for size in (1, 7, len(request) - len(STEP), len(request) - 5):
        pieces = [request[at : at + size] for at in range(0, len(request), size)]
        heard = said(lines.socket(two, 1), *pieces, pause_s=0.0005)
        assert status(heard) == 200
        assert f"x-openenv-worker: {owner}".encode() in heard


@pytest.mark.parametrize("owner", [0, 1])
def test_a_large_body_follows_its_connection(two: Server, lines: Lines, owner: int) -> None:
    session = session_on(two, owner)
    text = json.dumps({"action": {"text": "a" * 8_000_000}}).encode()
    line = lines(two, 1)
    code, answer, worker = line.ask("POST", "/step", text, {"X-Session-ID": session})
    assert (code, worker, len(answer["observation"]["text"])) == (200, str(owner), 8_000_000)
    for _ in range(5):  # however much of the body is read with the head
        line = lines(two, 1)
        code, _, worker = line.ask("POST", "/step", text[:1_000_000], {"X-Session-ID": session})
        assert (code, worker) == (422, str(owner))
    heard = said(lines.socket(two, 1), posted(session, b"x" * 17_000_000))
    assert status(heard) == 413


def test_expect_continue_is_answered_where_the_request_went(two: Server, lines: Lines) -> None:
    session = session_on(two, 0)
    head = posted(session, STEP, b"Expect: 100-continue").removesuffix(STEP)
    sock = lines.socket(two, 1)
    sock.sendall(head)
    sock.settimeout(15)
    assert sock.recv(100).startswith(b"HTTP/1.1 100 Continue")
    assert status(said(sock, STEP)) == 200


def test_a_pipelined_request_for_another_worker_is_sent_back(two: Server, lines: Lines) -> None:
    """It cannot move while an answer is owed. RFC 9110's 421 tells to send it anew."""
    here, there = session_on(two, 1), session_on(two, 0)
    sock = lines.socket(two, 1)
    sock.sendall(posted(here, STEP) + posted(there, STEP) + posted(here, STEP))
    sock.settimeout(15)
    heard = b""
    while piece := sock.recv(65536):
        heard += piece
    assert re.findall(rb"HTTP/1\.1 (\d+)", heard) == [b"200", b"421"]
    assert b'"code":"MISDIRECTED"' in heard
    moved = said(lines.socket(two, 1), posted(there, STEP) + posted(there, STEP))
    assert status(moved) == 200  # what waits behind a request that moves goes with it


def test_clients_that_vanish_leave_nothing(two: Server, lines: Lines) -> None:
    session = session_on(two, 0)

    def files() -> list[int]:
        return [len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in worker_pids(two)]

    before = files()
    request = posted(session, STEP)
    for number in range(200):
        sock = socket.create_connection(("127.0.0.1", two.port))
        sock.sendall(request[: len(request) - number % 3])
        sock.close()
    until(lambda: all(now <= then + 3 for now, then in zip(files(), before, strict=True)))
    assert lines(two, 1).ask("GET", "/state", None, {"X-Session-ID": session})[0] == 200


def test_a_client_that_says_nothing_keeps_nobody_waiting(two: Server, lines: Lines) -> None:
    session = session_on(two, 0)
    silent = [socket.create_connection(("127.0.0.1", two.port)) for _ in range(50)]
    half = [socket.create_connection(("127.0.0.1", two.port)) for _ in range(50)]
    for sock in half:
        sock.sendall(posted(session, b"x" * 1000)[:150])
    for taker in (0, 1):
        assert lines(two, taker).ask("GET", "/state", None, {"X-Session-ID": session})[0] == 200
    for sock in silent + half:
        sock.close()


def test_a_client_that_does_not_read_harms_nobody(two: Server, lines: Lines) -> None:
    """Its answers wait in its own connection, at the worker that owns them."""
    session = session_on(two, 0)
    big = posted(session, json.dumps({"action": {"text": "a" * 4_000_000}}).encode())
    sock = lines.socket(two, 1)

    def flood() -> None:
        try:
            for _ in range(20):
                sock.sendall(big)
        except OSError:
            pass  # closed below

    flooding = threading.Thread(target=flood)
    flooding.start()
    time.sleep(0.5)
    other = session_on(two, 0)
    for taker in (0, 1):
        assert lines(two, taker).ask("GET", "/state", None, {"X-Session-ID": other})[0] == 200
    sock.shutdown(socket.SHUT_RDWR)
    flooding.join(10)
    assert not flooding.is_alive()


def test_a_careless_world_name_is_answered_as_by_a_server_of_one(serve: Servers, lines: Lines) -> None:
    server = serve(f"{TOYS}:broken_name_app", "--workers", "2", cwd=ROOT)
    alone = serve(f"{TOYS}:broken_name_app", cwd=ROOT)
    expected = httpx.get(f"{alone.url}/state", headers={"X-Name": "x"}).status_code
    for taker in (0, 1):
        sock = lines.socket(server, taker)
        assert status(said(sock, b"GET /state HTTP/1.1\r\nHost: x\r\nX-Name: x\r\n\r\n")) == expected
        assert lines(server, taker).ask("GET", "/health")[0] == 200
