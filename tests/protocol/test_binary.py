"""Bytes and arrays over real servers: every dialect, both encodings, actions, observations and states."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import httpx
import msgpack
import numpy as np
import pytest
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from openenv.client import Connection, EnvClient
from tests.support.binary_toys import Album, Show, Shown
from tests.support.processes import Server, Servers

PICTURE = bytes(range(256)) * 3  # in base64 it has + and / or - and _
PIXELS = np.arange(2 * 4 * 3, dtype="uint8").reshape(2, 4, 3)
VECTOR = np.linspace(-1, 1, 5, dtype="float32")
DIGEST = hashlib.sha256(PICTURE + PIXELS.tobytes() + VECTOR.tobytes()).hexdigest()
IN_JSON = {
    "picture": base64.urlsafe_b64encode(PICTURE).decode(),
    "pixels": {"dtype": "|u1", "shape": [2, 4, 3], "data": base64.urlsafe_b64encode(PIXELS.tobytes()).decode()},
    "vector": {"dtype": "<f4", "shape": [5], "data": base64.urlsafe_b64encode(VECTOR.tobytes()).decode()},
}
IN_MESSAGEPACK = {
    "picture": PICTURE,
    "pixels": {"dtype": "|u1", "shape": [2, 4, 3], "data": PIXELS.tobytes()},
    "vector": {"dtype": "<f4", "shape": [5], "data": VECTOR.tobytes()},
}


class MirrorEnv(EnvClient[Show, Shown, Album]):
    observation_type = Shown
    state_type = Album


@pytest.fixture(scope="module")
def server(module_serve: Servers) -> Server:
    return module_serve("tests.support.binary_toys:app")


def shown(seen: Shown) -> None:
    assert (seen.picture, seen.digest) == (PICTURE, DIGEST)
    assert seen.pixels is not None
    assert seen.vector is not None
    np.testing.assert_array_equal(seen.pixels, PIXELS)
    np.testing.assert_array_equal(seen.vector, VECTOR)
    assert [str(array.dtype) for array in (seen.pixels, seen.vector)] == ["uint8", "float32"]


@pytest.mark.parametrize("protocol", ["openenv", "v2"])
def test_a_typed_client_gives_and_takes_bytes_and_arrays(server: Server, protocol: Any) -> None:
    with MirrorEnv(server.url, protocol=protocol) as client:
        assert client.reset().observation.picture == bytes(range(256))
        shown(client.step(Show(picture=PICTURE, pixels=PIXELS, vector=VECTOR)).observation)
        state = client.state()
        assert (state.picture, state.step_count) == (PICTURE, 1)
        np.testing.assert_array_equal(state.vector, VECTOR)


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
def test_a_connection_does_in_either_encoding(server: Server, encoding: Any) -> None:
    with Connection(server.url, encoding=encoding) as connection:
        [session] = connection.open(client=MirrorEnv)
        assert session.reset().observation.picture == bytes(range(256))
        [result] = connection.batch([(session, Show(picture=PICTURE, pixels=PIXELS, vector=VECTOR))])
        shown(result.observation)
        assert session.state().picture == PICTURE
        assert connection.async_connection.encoding == encoding


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
def test_an_untyped_action_may_have_bytes_in_it(server: Server, encoding: Any) -> None:
    with Connection(server.url, encoding=encoding) as connection:
        [session] = connection.open()
        session.reset()
        seen = session.step({"picture": PICTURE}).observation
        assert seen["picture"] == (PICTURE if encoding == "msgpack" else IN_JSON["picture"])
        assert seen["places"] == {"7": "seven"}, "keys are texts in both encodings"


def test_in_json_they_are_texts_of_the_url_safe_alphabet(server: Server) -> None:
    with httpx.Client(base_url=server.url) as http:
        session = {"X-Session-ID": http.post("/sessions").json()["session_id"]}
        answer = http.post("/step", json={"action": IN_JSON}, headers=session).json()["observation"]
        assert {name: answer[name] for name in IN_JSON} == IN_JSON
        assert answer["digest"] == DIGEST
        standard = {"picture": base64.b64encode(PICTURE).decode()}
        answer = http.post("/step", json={"action": standard}, headers=session).json()["observation"]
        assert answer["picture"] == IN_JSON["picture"]
        assert http.get("/state", headers=session).json()["picture"] == IN_JSON["picture"]
    with connect(f"{server.ws_url}/ws") as socket:
        socket.send(json.dumps({"type": "step", "data": IN_JSON}))
        answer = json.loads(socket.recv())["data"]["observation"]
        assert {name: answer[name] for name in IN_JSON} == IN_JSON


class Wire:
    """Protocol v2 by hand, in MessagePack."""

    def __init__(self, socket: Any) -> None:
        self.socket = socket
        self.number = 0
        socket.recv()
        [self.session] = self.ask(op="open")["ok"]["sessions"]

    def ask(self, **request: Any) -> dict[str, Any]:
        self.number += 1
        self.socket.send(msgpack.packb({"id": self.number, **request}))
        answer: dict[str, Any] = msgpack.unpackb(self.socket.recv())
        return answer

    def step(self, **action: Any) -> dict[str, Any]:
        return self.ask(op="step", session=self.session, data=action)


@pytest.fixture(name="wire")
def wire_fixture(server: Server) -> Any:
    with connect(f"{server.ws_url}/ws", subprotocols=[Subprotocol("openenv.v2+msgpack")]) as socket:
        yield Wire(socket)


def test_in_messagepack_they_are_bytes(wire: Wire) -> None:
    answer = wire.step(**IN_MESSAGEPACK)["ok"]["observation"]
    assert {name: answer[name] for name in IN_MESSAGEPACK} == IN_MESSAGEPACK
    assert answer["digest"] == DIGEST
    state = wire.ask(op="state", session=wire.session)["ok"]["state"]
    assert (state["picture"], state["vector"]) == (PICTURE, IN_MESSAGEPACK["vector"])
    text = wire.step(**IN_JSON)["ok"]["observation"]
    assert {name: text[name] for name in IN_MESSAGEPACK} == IN_MESSAGEPACK, "texts are read in MessagePack too"


WRONG_PICTURES: list[Any] = ["a", "äöüß", "AA==AA==", "A A=", "AB==", "/-8=", 7, None, [1, 2], b"x" * 100_001]
WRONG_VECTORS: list[Any] = [
    b"\0\0\0\0",
    [0.5],
    {"dtype": "<f4", "shape": [1]},
    {"dtype": "<f4", "shape": [1], "data": b"\0\0\0\0", "order": "F"},
    {"dtype": "|O", "shape": [1], "data": b"\0" * 8},
    {"dtype": "<f8", "shape": [1], "data": b"\xff" * 8},
    {"dtype": "V4", "shape": [1], "data": b"\0" * 4},
    {"dtype": "f4,f4", "shape": [1], "data": b"\0" * 8},
    {"dtype": ["<f4"], "shape": [1], "data": b"\0" * 4},
    {"dtype": "<f8", "shape": [1], "data": b"\0" * 8},
    {"dtype": "<f4", "shape": [2], "data": b"\0" * 4},
    {"dtype": "<f4", "shape": [-1], "data": b"\0" * 4},
    {"dtype": "<f4", "shape": [True], "data": b"\0" * 4},
    {"dtype": "<f4", "shape": [1.0], "data": b"\0" * 4},
    {"dtype": "<f4", "shape": "1", "data": b"\0" * 4},
    {"dtype": "<f4", "shape": [2**62, 4], "data": b""},
    {"dtype": "<f4", "shape": [0, 2**31 - 1, 2**31 - 1, 2**31 - 1], "data": b""},
    {"dtype": "<f4", "shape": [1] * 33, "data": b"\0" * 4},
    {"dtype": "<f4", "shape": [1], "data": "????"},
    {"dtype": "<f4", "shape": [1], "data": [0, 0, 0, 0]},
]


def test_what_does_not_fit_is_refused_by_its_name(wire: Wire) -> None:
    for name, wrongs in (("picture", WRONG_PICTURES), ("vector", WRONG_VECTORS)):
        for wrong in wrongs:
            error = wire.step(**{name: wrong})["error"]
            assert (error["code"], error["field"]) == ("VALIDATION_ERROR", name), (wrong, error)
    error = wire.step(pixels={"dtype": "|u1", "shape": [3, 1, 3], "data": b"\0" * 9})["error"]
    assert "[3, 1, 3], where [2, None, 3]" in error["hint"]
    other_order = {"dtype": ">f4", "shape": [5], "data": VECTOR.astype(">f4").tobytes()}
    assert wire.step(vector=other_order)["ok"]["observation"]["vector"] == IN_MESSAGEPACK["vector"]


def test_the_schema_says_how_they_travel(server: Server) -> None:
    schema = httpx.get(f"{server.url}/schema").json()
    for part, name in (("action", "picture"), ("observation", "picture"), ("state", "picture")):
        picture = schema[part]["properties"][name]
        assert (picture["type"], picture["contentEncoding"]) == ("string", "base64url"), part
    vector = schema["observation"]["properties"]["vector"]["anyOf"][0]["properties"]
    assert vector["dtype"] == {"enum": ["<f4", ">f4"]}
    pixels = schema["action"]["properties"]["pixels"]["anyOf"][0]["properties"]
    assert [one.get("const") for one in pixels["shape"]["prefixItems"]] == [2, None, 3]


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
def test_from_a_worker_process_a_typed_client_gets_the_same(module_serve: Servers, encoding: Any) -> None:
    server = module_serve("tests.support.binary_toys:process_app")
    with Connection(server.url, encoding=encoding) as connection:
        [session] = connection.open(client=MirrorEnv)
        session.reset()
        shown(session.step(Show(picture=PICTURE, pixels=PIXELS, vector=VECTOR)).observation)
