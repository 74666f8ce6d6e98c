from __future__ import annotations

import contextlib
import json
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openenv.errors import SnapshotRefused, Unsupported
from openenv.operation import Operation, Result
from openenv.protocol import messagepack
from openenv.protocol.v2 import MOST_ENTRIES, Request, V2Codec, snapshot_bytes
from openenv.protocol.v2_answers import ENCODINGS
from openenv.types import Observation, ToolListing
from tests.support.toys import Say

CODEC = V2Codec(Say)
JSON, PACKED = ENCODINGS["openenv.v2"], ENCODINGS["openenv.v2+msgpack"]
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from(["id", "op", "session", "data", "ack", "deadline_ms", "event"])
KNOWN = ["step", "batch", "open", "reset", "ping", "cancel", "fork", "restore", "subscribe"]
OPS = st.sampled_from([*KNOWN, "jump"])


def both(message: Any) -> list[Request]:
    """What both encodings make of a message."""
    return [CODEC.decode(json.dumps(message)), CODEC.decode(packed(message))]


def packed(message: Any) -> bytes:
    return msgpack.packb(message) or b""


@pytest.mark.parametrize(
    ("message", "data"),
    [
        ({"op": "step", "session": "s", "data": {"text": "hi"}, "ack": 3, "deadline_ms": 5}, Say(text="hi")),
        ({"op": "reset", "session": "s", "data": {"seed": 7}}, {"seed": 7}),
        ({"op": "reset", "session": "s"}, {}),
    ],
)
def test_a_request_means_the_same_in_both_encodings(message: dict[str, Any], data: Any) -> None:
    for request in both({"id": 9} | message):
        assert request.error is None
        assert (request.id, request.op, request.session, request.data) == (9, message["op"], "s", data)
        assert request.ack == message.get("ack", 0)
        assert request.deadline_ms == message.get("deadline_ms")


def test_a_wrong_entry_of_a_batch_is_its_own_error() -> None:
    entries = [
        {"session": "a", "action": {"text": "x"}},
        {"session": "b", "action": {"words": "x"}},
        {"session": "c", "reset": {"seed": 1}},
        {"session": "d"},
        {"session": "e", "action": {"text": "x"}, "reset": {}},
        {"session": "f", "reset": 7},
    ]
    for request in both({"id": 1, "op": "batch", "data": {"entries": entries, "as_finished": True}}):
        assert request.error is None
        assert request.as_finished
        assert [(one.session, one.op, one.error is None) for one in request.data] == [
            ("a", "step", True),
            ("b", "step", False),
            ("c", "reset", True),
            ("d", "step", False),
            ("e", "step", False),
            ("f", "step", False),
        ]
        assert request.data[1].error.field == "text"
        assert request.data[5].error.field == "entries.5.reset"
    for request in both({"id": 1, "op": "batch", "data": {"entries": entries[3:5]}}):
        assert [one.error.field for one in request.data] == ["entries.0", "entries.1"]


@pytest.mark.parametrize(
    ("message", "code", "field"),
    [
        ({"op": "ping"}, "VALIDATION_ERROR", "id"),
        ({"id": True, "op": "ping"}, "VALIDATION_ERROR", "id"),
        ({"id": 0, "op": "ping"}, "VALIDATION_ERROR", "id"),
        ({"id": 2**53, "op": "ping"}, "VALIDATION_ERROR", "id"),
        ({"id": "1", "op": "ping"}, "VALIDATION_ERROR", "id"),
        ({"id": 1, "op": "jump"}, "UNKNOWN_TYPE", "op"),
        ({"id": 1, "op": "ping", "session": "s"}, "VALIDATION_ERROR", "session"),
        ({"id": 1, "op": "step", "data": {"text": "x"}}, "VALIDATION_ERROR", "session"),
        ({"id": 1, "op": "step", "session": "s"}, "VALIDATION_ERROR", "text"),
        ({"id": 1, "op": "step", "session": "s", "data": {"text": "x"}, "extra": 1}, "VALIDATION_ERROR", "extra"),
        ({"id": 1, "op": "step", "session": "s", "data": {"text": "x"}, "deadline_ms": 0}, "VALIDATION_ERROR", "deadline_ms"),
        ({"id": 1, "op": "open", "data": {"count": MOST_ENTRIES + 1}}, "VALIDATION_ERROR", "count"),
        ({"id": 1, "op": "open", "data": {"key": ""}}, "VALIDATION_ERROR", "key"),
        ({"id": 1, "op": "subscribe", "data": {"events": ["rain"]}}, "VALIDATION_ERROR", "events.0"),
        ({"id": 1, "op": "batch", "data": {"entries": 3}}, "VALIDATION_ERROR", "entries"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(message: dict[str, Any], code: str, field: str) -> None:
    known = message.get("id") if type(message.get("id")) is int and 0 < message["id"] < 2**53 else None
    for request in both(message):
        assert request.error is not None
        assert (request.error.code, request.error.field, request.id) == (code, field, known)


@pytest.mark.parametrize(
    "frame",
    ["", "[]", "7", "{", '{"id":1,"id":2}', '"\\ud800"', b"", b"\xc1", b"\x90", b"\xdd\xff\xff\xff\xff", b"\xd4\x03x"],
)
def test_what_is_no_message_is_an_error_without_an_id(frame: str | bytes) -> None:
    request = CODEC.decode(frame)
    assert request.error is not None
    assert request.error.code in ("INVALID_JSON", "VALIDATION_ERROR")


@given(st.dictionaries(KEYS, JUNK, max_size=6), OPS, st.booleans())
def test_nothing_that_comes_raises(message: dict[str, Any], op: str, named: bool) -> None:
    if named:
        message |= {"id": 1, "op": op, "session": "s"}
    encoded: list[str | bytes] = [json.dumps(message)]
    with contextlib.suppress(OverflowError):
        encoded.append(packed(message))
    for frame in encoded:
        request = CODEC.decode(frame)
        assert request.error is not None or request.op in KNOWN


@given(st.binary(max_size=60))
def test_no_bytes_raise(frame: bytes) -> None:
    CODEC.decode(frame)


class Shown(Observation):
    """With bytes in its metadata."""

    words: str = ""


RESULTS = [
    (Operation("step"), Result(Shown(words="a"), 0.5)),
    (Operation("step"), Result(Shown(words='"\\', done=True, truncated=True, stop_reason="limit"), float("nan"), True)),
    (Operation("reset"), Result(Shown(metadata={"seed": 1}), None, episode="e")),
    (Operation("call_tool"), Result(Shown(), 1, tool="t", value={"a": [1]})),
    (Operation("call_tool"), Result(Shown(), 1, tool="t", tool_error=Unsupported("no"))),
    (Operation("state"), Result(value={"step_count": 1}, busy=True)),
    (Operation("list_tools"), Result(value=[ToolListing("t", "does", {"type": "object"})])),
    (Operation("fork"), Result(value=["x", "y"])),
    (Operation("snapshot"), Result(value={"snapshot": "snapshot:1", "episode_id": None, "step_count": 0})),
    (Operation("close"), Result(value={"closed": True})),
    (Operation("step"), Result(error=SnapshotRefused("no", field="f", hint="h"))),
]


@pytest.mark.parametrize(("operation", "result"), RESULTS)
def test_an_answer_is_the_same_in_both_encodings_and_whichever_it_was_kept_in(operation: Operation, result: Result) -> None:
    frames = []
    for made in (JSON, PACKED):
        body = made.result(operation, result)
        for sent in (JSON, PACKED):
            frames.append(sent.read(sent.frame(7, sent.text("s"), body)))
            whole = sent.read(sent.frame(7, None, sent.results([body, body])))
            kept = {key: value for key, value in frames[0].items() if key in ("ok", "error")}
            assert whole == {"id": 7, "ok": {"results": [kept, kept]}}
            again = sent.body(sent.read(sent.frame(7, None, body)))
            assert sent.read(sent.frame(7, sent.text("s"), again)) == frames[0]
    assert all(frame == frames[0] for frame in frames)
    assert frames[0]["id"] == 7


def test_how_an_episode_ended_is_told_when_it_has() -> None:
    running, over, begun, *_ = (JSON.read(JSON.frame(1, None, JSON.result(*one)))["ok"] for one in RESULTS[:3])
    assert set(running) == {"observation", "reward", "done"}
    assert (over["terminated"], over["truncated"], over["stop_reason"], over["reward"]) == (False, True, "limit", None)
    assert begun["episode_id"] == "e"
    assert begun["metadata"] == {"seed": 1}


def test_exported_snapshots_come_back_in_either_alphabet() -> None:
    image = bytes(range(256))
    (text,) = JSON.read(JSON.frame(1, None, JSON.ok({"snapshot": image})))["ok"].values()
    assert snapshot_bytes(text) == image
    assert snapshot_bytes(text.replace("-", "+").replace("_", "/")) == image
    assert snapshot_bytes(image) == image
    for broken in ("§", "abc", "a=b="):
        with pytest.raises(SnapshotRefused):
            snapshot_bytes(broken)


def test_messagepack_says_what_it_cannot_write() -> None:
    assert messagepack.available()
    with pytest.raises(Exception, match="MessagePack"):
        messagepack.pack({"a": object()})
    with pytest.raises(Exception, match="MessagePack"):
        messagepack.pack({"a": 2**70})
