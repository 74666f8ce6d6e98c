"""Protocol v2: its frames in, and what they ask for. docs/protocol.md specifies it.

A frame is a JSON text or a MessagePack map; both are validated by the same types. Answers are made in `v2_answers`.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, NotRequired, get_args

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import SchemaValidator
from typing_extensions import TypedDict

from openenv.errors import InvalidFrame, OpenEnvError, SnapshotRefused, UnknownType, ValidationFailed
from openenv.protocol.json import MOST_VALUES, is_vast, parse, refusal
from openenv.protocol.messagepack import first_entry, unpack
from openenv.types import is_choice

__all__ = ["EVENTS", "MOST_ENTRIES", "Entry", "EventName", "Request", "V2Codec", "snapshot_bytes"]

MOST_ENTRIES: Final = 4096
"""Of one batch, and sessions of one ``open``."""
MOST_FORKS: Final = 1024
_MOST_TOLD: Final = 10 * MOST_ENTRIES
"""Faults of a batch's entries that are listed: its answer is not to be many times as long as the frame."""

EventName = Literal["tools_changed", "session_ended", "session_taken", "environment", "progress", "log", "step", "draining"]
EVENTS: Final = frozenset(get_args(EventName))

_Id = Annotated[int, Field(strict=True, ge=1, le=2**53 - 1)]
_Ack = Annotated[int, Field(strict=True, ge=0, le=2**53 - 1)]
_DeadlineMs = Annotated[int, Field(strict=True, ge=1, le=2**31)]
_Session = Annotated[str, Field(strict=True, max_length=255)]
_FORBID = ConfigDict(extra="forbid")


class _Data(BaseModel):
    model_config = _FORBID


class _Open(_Data):
    count: Annotated[int, Field(strict=True, ge=1, le=MOST_ENTRIES)] = 1
    key: Annotated[str, Field(strict=True, min_length=1, max_length=64)] | None = None


class _Cancel(_Data):
    id: _Id


class _CallTool(_Data):
    name: Annotated[str, Field(strict=True, min_length=1, max_length=255)]
    arguments: dict[str, Any] = Field(default_factory=dict)


class _Snapshot(_Data):
    export: Annotated[bool, Field(strict=True)] = False


class _Restore(_Data):
    snapshot: str | bytes


class _Fork(_Data):
    count: Annotated[int, Field(strict=True, ge=1, le=MOST_FORKS)] = 1
    reseed: Annotated[list[int], Field(max_length=MOST_FORKS)] | None = None


class _Subscribe(_Data):
    events: Annotated[list[EventName], Field(min_length=1, max_length=len(EVENTS))]


class _Envelope(TypedDict):
    __pydantic_config__ = _FORBID  # type: ignore[misc]
    id: _Id
    op: Annotated[str, Field(strict=True)]
    session: NotRequired[_Session]
    data: NotRequired[dict[str, Any]]
    ack: NotRequired[_Ack]
    deadline_ms: NotRequired[_DeadlineMs]


_ENVELOPE: Final = TypeAdapter(_Envelope)
_DATA: Final[Mapping[str, TypeAdapter[Any]]] = {
    "ping": TypeAdapter(_Data),
    "open": TypeAdapter(_Open),
    "attach": TypeAdapter(_Data),
    "detach": TypeAdapter(_Data),
    "close": TypeAdapter(_Data),
    "reset": TypeAdapter(dict[str, Any]),
    "call_tool": TypeAdapter(_CallTool),
    "list_tools": TypeAdapter(_Data),
    "state": TypeAdapter(_Data),
    "cancel": TypeAdapter(_Cancel),
    "snapshot": TypeAdapter(_Snapshot),
    "restore": TypeAdapter(_Restore),
    "fork": TypeAdapter(_Fork),
    "subscribe": TypeAdapter(_Subscribe),
    "unsubscribe": TypeAdapter(_Subscribe),
}
_ENTRY: Final = "an entry has either 'action' or 'reset' beside its session"
_BEGINS_WITH_ID: Final = re.compile(r'\s{0,9}\{\s{0,9}"id"\s{0,9}:\s{0,9}([0-9]{1,16})\s{0,9}[,}]')
_WITHOUT_SESSION: Final = frozenset({"ping", "open", "batch"})
_EITHER: Final = frozenset({"subscribe", "unsubscribe"})


@dataclass(slots=True)
class Request:
    """A frame, understood: or the error to answer it with."""

    id: int | None
    op: str
    session: str | None = None
    data: Any = None
    """Of a step the validated action, of a reset its arguments, of a batch its entries; else a model of what was sent."""
    ack: int = 0
    deadline_ms: int | None = None
    error: OpenEnvError | None = None
    as_finished: bool = False
    """Of a batch: whether each entry is answered by itself."""
    digest: int | None = None
    """Of a part of a batch: what tells the client's whole frame from any other. Only workers say it, to each other."""


@dataclass(slots=True)
class Entry:
    """One of a batch's: a step or a reset, or what is wrong with it."""

    session: str
    op: Literal["step", "reset"]
    data: Any
    error: OpenEnvError | None = None


class V2Codec:
    """Made once per action type: a frame of steps is validated in one pass."""

    def __init__(self, action_type: Any) -> None:
        self._action: TypeAdapter[Any] = TypeAdapter(action_type)
        self._choice = is_choice(action_type)
        frame = {"id": _Id, "ack": NotRequired[_Ack], "deadline_ms": NotRequired[_DeadlineMs]}
        step = _typed_dict("Step", frame | {"op": Literal["step"], "session": _Session, "data": action_type})
        entry = _typed_dict(
            "Entry", {"session": _Session, "action": NotRequired[action_type], "reset": NotRequired[dict[str, Any]]}
        )
        entries = {
            "entries": Annotated[list[entry], Field(max_length=MOST_ENTRIES)],  # type: ignore[valid-type]
            "as_finished": NotRequired[bool],
            "digest": NotRequired[_Id],
        }
        data = _typed_dict("Batch", entries)
        batch = _typed_dict("BatchFrame", frame | {"op": Literal["batch"], "data": data})
        self._step = _validator(step)
        self._batch = _validator(batch)

    def decode(self, frame: str | bytes) -> Request:
        """The request of a frame: a JSON text, or bytes of MessagePack. Never raises: what is wrong is in the request."""
        try:
            if isinstance(frame, str):
                return self._of_text(frame)
            return self._of_message(unpack(frame, bounded=True))
        except OpenEnvError as error:
            return Request(_first_id(frame), "invalid", error=error)
        except RecursionError:
            deep = InvalidFrame("nested too deeply", hint="Send a flatter document.")
            return Request(_first_id(frame), "invalid", error=deep)

    def _of_text(self, text: str) -> Request:
        usual = len(text) <= MOST_VALUES or not is_vast(text)
        try:
            if usual and '"batch"' in text[:64]:
                return _batch(self._batch.validate_json(text))
            if usual and '"step"' in text[:64]:
                return _step(self._step.validate_json(text))
        except ValidationError:
            pass  # what is wrong is found out below, where it takes longer
        message = parse(text)
        if not isinstance(message, dict):
            raise ValidationFailed("a frame is one object", example={"id": 1, "op": "open"})
        return self._of_mapping(message)

    def _of_message(self, message: Any) -> Request:
        if not isinstance(message, dict):
            raise ValidationFailed("a frame is one map", example={"id": 1, "op": "open"})
        op = message.get("op")
        try:
            if op == "step":
                return _step(self._step.validate_python(message))
            if op == "batch":
                return _batch(self._batch.validate_python(message))
        except ValidationError:
            pass  # as above
        return self._of_mapping(message)

    def _of_mapping(self, message: dict[str, Any]) -> Request:
        """Any frame, part by part, so that the error says which part is wrong."""
        session = message.get("session")
        request = Request(_as_id(message.get("id")), "invalid", session if isinstance(session, str) else None)
        try:
            envelope = _ENVELOPE.validate_python(message)
            op = envelope["op"]
            request.ack, request.deadline_ms = envelope.get("ack", 0), envelope.get("deadline_ms")
            _check_session(op, envelope.get("session"))
            data = envelope.get("data", {})
            if op == "batch":
                request.data, request.as_finished = self._entries(data)
                request.digest = data.get("digest")
            else:
                request.data = self._data(op, data)
            request.op = op
        except ValidationError as error:
            request.error = refusal(error)
        except OpenEnvError as error:
            request.error = error
        return request

    def _data(self, op: str, data: dict[str, Any]) -> Any:
        if op == "step":
            return self._action_of(data)
        adapter = _DATA.get(op)
        if adapter is None:
            raise UnknownType(f"Unknown op: {op[:80]}", field="op", hint="See docs/protocol.md for the operations.")
        try:
            return adapter.validate_python(data)
        except ValidationError as error:
            raise refusal(error, message=f"Invalid data for {op!r}") from None

    def _action_of(self, data: Any, room: int | None = None) -> Any:
        try:
            written = _written(data)
            return self._action.validate_python(data) if written is None else self._action.validate_json(written)
        except ValidationError as error:
            raise refusal(error, message="Invalid action", choice=self._choice, room=room) from None

    def _entries(self, data: dict[str, Any]) -> tuple[list[Entry], bool]:
        """A batch's entries one by one: a wrong one is that one's error, and does not concern the others."""
        entries, as_finished = data.get("entries"), data.get("as_finished", False)
        unknown = data.keys() - {"entries", "as_finished", "digest"}
        if not isinstance(entries, list) or len(entries) > MOST_ENTRIES or not isinstance(as_finished, bool) or unknown:
            raise ValidationFailed(
                f"a batch has a list 'entries' of at most {MOST_ENTRIES}, and perhaps a truth value 'as_finished'",
                field="entries",
                example={"entries": [{"session": "…", "action": {}}], "as_finished": False},
            )
        read: list[Entry] = []
        room = _MOST_TOLD
        for index, one in enumerate(entries):
            entry = self._entry(one, index, room)
            room -= len(entry.error.errors or ()) if entry.error is not None else 0
            read.append(entry)
        return read, as_finished

    def _entry(self, one: Any, index: int, room: int) -> Entry:
        session = one.get("session") if isinstance(one, dict) else None
        if not isinstance(session, str) or len(session) > 255:
            raise ValidationFailed("an entry names a session", field=f"entries.{index}.session")
        entry = Entry(session, "step", None)
        try:
            if len(one) != 2 or not (one.keys() & {"action", "reset"}):
                raise ValidationFailed(_ENTRY, field=f"entries.{index}")
            if "action" in one:
                entry.data = self._action_of(one["action"], max(room, 0))
            elif isinstance(one["reset"], dict):
                entry.op, entry.data = "reset", self._data("reset", one["reset"])
            else:
                raise ValidationFailed("'reset' is an object of arguments", field=f"entries.{index}.reset")
        except OpenEnvError as error:
            entry.error = error
        return entry


def snapshot_bytes(sent: str | bytes) -> bytes:
    """An exported snapshot as it came: bytes, or in JSON a text in base64 of either alphabet. Raises `SnapshotRefused`."""
    if isinstance(sent, bytes):
        return sent
    try:
        return base64.b64decode(sent.replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError):
        raise SnapshotRefused("this is neither the id of a snapshot nor base64", field="snapshot") from None


def _as_id(number: Any) -> int | None:
    return number if type(number) is int and 1 <= number <= 2**53 - 1 else None


def _first_id(frame: str | bytes) -> int | None:
    """The id of a frame that cannot be read, where it is what the frame begins with: whoever sent it waits for an answer."""
    if isinstance(frame, str):
        found = _BEGINS_WITH_ID.match(frame)
        return _as_id(int(found[1])) if found is not None else None
    key, value = first_entry(frame) or (None, None)
    return _as_id(value) if key == "id" else None


def _check_session(op: str, session: str | None) -> None:
    if op in _WITHOUT_SESSION and session is not None:
        raise ValidationFailed(f"{op!r} is about no session", field="session", hint="Leave it away.")
    if op not in _WITHOUT_SESSION and op not in _EITHER and session is None and (op in _DATA or op == "step"):
        raise ValidationFailed(f"{op!r} needs a session", field="session", hint="Open one, and name it by its id.")


def _step(frame: dict[str, Any]) -> Request:
    return Request(frame["id"], "step", frame["session"], frame["data"], frame.get("ack", 0), frame.get("deadline_ms"))


def _batch(frame: dict[str, Any]) -> Request:
    data = frame["data"]
    entries = [_validated(one, index) for index, one in enumerate(data["entries"])]
    return Request(
        frame["id"],
        "batch",
        None,
        entries,
        frame.get("ack", 0),
        frame.get("deadline_ms"),
        as_finished=data.get("as_finished", False),
        digest=data.get("digest"),
    )


def _validated(one: dict[str, Any], index: int) -> Entry:
    if len(one) == 2:
        if "action" in one:
            return Entry(one["session"], "step", one["action"])
        return Entry(one["session"], "reset", one["reset"])
    error = ValidationFailed(_ENTRY, field=f"entries.{index}")
    return Entry(one["session"], "step", None, error)


def _typed_dict(name: str, fields: dict[str, Any]) -> Any:
    make: Any = TypedDict  # its types are known at run time only
    made = make(name, fields)
    made.__pydantic_config__ = _FORBID
    return made


def _validator(kind: Any) -> SchemaValidator:
    validator = TypeAdapter(kind).validator
    assert isinstance(validator, SchemaValidator)
    return validator


def _written(value: Any) -> str | None:
    """The value as JSON; None for what only MessagePack can say: bytes, timestamps, deep nesting."""
    try:
        return json.dumps(value)
    except (TypeError, ValueError, RecursionError):
        return None
