"""Protocol v2's frames as a client writes and reads them: pure functions, no socket. docs/protocol.md specifies them."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from pydantic_core import PydanticSerializationError, from_json, to_json, to_jsonable_python

from openenv.client import frames
from openenv.client.loss import session_lost
from openenv.errors import Cancelled, ConfigurationError, DeadlineExceeded, OpenEnvError, ValidationFailed

__all__ = [
    "Encoding",
    "EncodingName",
    "Hello",
    "JsonEncoding",
    "Limits",
    "MessagePackEncoding",
    "encoding_of",
    "error_of",
]

EncodingName = Literal["json", "msgpack"]


class JsonEncoding:
    """Text frames. Bytes travel as base64."""

    name: ClassVar[EncodingName] = "json"
    subprotocol: ClassVar[str] = "openenv.v2"
    text: ClassVar[bool] = True

    def encode(self, message: Mapping[str, Any]) -> bytes:
        """A frame. Raises `ValidationFailed` where something in it has no form in JSON."""
        try:
            return to_json(message, fallback=_number, bytes_mode="base64")
        except (PydanticSerializationError, ValueError, TypeError, RecursionError) as error:
            raise _unsendable(message, "JSON", error) from None

    def decode(self, frame: bytes) -> Any:
        """What a frame says. Raises ``ValueError`` where it is no JSON."""
        return from_json(frame)

    def pack(self, image: bytes) -> Any:
        """Bytes as they go into a message."""
        return base64.urlsafe_b64encode(image).decode()

    def unpack(self, value: Any) -> bytes:
        """Bytes as they come in a message. Raises ``ValueError`` where they are none."""
        if not isinstance(value, str):
            raise ValueError("no base64")
        try:
            # Either alphabet of RFC 4648 will do.
            return base64.b64decode(value.replace("-", "+").replace("_", "/"), validate=True)
        except binascii.Error as error:
            raise ValueError(f"no base64: {error}") from None


class MessagePackEncoding:
    """Binary frames. Bytes travel as they are."""

    name: ClassVar[EncodingName] = "msgpack"
    subprotocol: ClassVar[str] = "openenv.v2+msgpack"
    text: ClassVar[bool] = False

    def __init__(self) -> None:
        try:
            import msgpack
        except ImportError as error:
            raise ImportError('The encoding "msgpack" needs the library of that name: pip install "openenv[msgpack]"') from error
        self._packb, self._unpackb = msgpack.packb, msgpack.unpackb

    def encode(self, message: Mapping[str, Any]) -> bytes:
        """A frame. Raises `ValidationFailed` where something in it has no form in MessagePack."""
        try:
            return bytes(self._packb(message, default=_plain) or b"")
        except (PydanticSerializationError, ValueError, TypeError, OverflowError, RecursionError) as error:
            raise _unsendable(message, "MessagePack", error) from None

    def decode(self, frame: bytes) -> Any:
        """What a frame says. Raises ``ValueError`` where it is no MessagePack."""
        return self._unpackb(frame, timestamp=3)  # as datetime

    def pack(self, image: bytes) -> Any:
        """Bytes as they go into a message."""
        return image

    def unpack(self, value: Any) -> bytes:
        """Bytes as they come in a message. Raises ``ValueError`` where they are none."""
        if not isinstance(value, bytes):
            raise ValueError("no bytes")
        return value


Encoding = JsonEncoding | MessagePackEncoding


def encoding_of(name: EncodingName) -> Encoding:
    """The encoding of this name.

    Raises:
        ConfigurationError: There is no such encoding.
        ImportError: It needs the extra ``msgpack``, which is not installed.
    """
    if name == "json":
        return JsonEncoding()
    if name == "msgpack":
        return MessagePackEncoding()
    raise ConfigurationError(f"encoding is 'json' or 'msgpack', not {name!r}", field="encoding")


@dataclass(frozen=True, slots=True)
class Limits:
    """What a server allows on one connection."""

    frame_bytes: int = 16 * 2**20
    in_flight: int = 1024
    """Requests without an answer."""
    batch: int = 4096
    """Entries of a batch."""
    per_session: int = 64
    """Requests without an answer in one session."""
    lease_s: float = 60.0
    """How long a session without a connection lives."""

    @classmethod
    def of(cls, told: Any) -> Limits:
        """What a server says; the usual ones where it says nothing, or nonsense."""

        def number(name: str, default: float) -> float:
            value = told.get(name) if isinstance(told, dict) else None
            return value if isinstance(value, int | float) and value > 0 else default

        usual = cls()
        return cls(
            frame_bytes=int(number("frame_bytes", usual.frame_bytes)),
            in_flight=int(number("in_flight", usual.in_flight)),
            batch=int(number("batch", usual.batch)),
            per_session=int(number("per_session", usual.per_session)),
            lease_s=number("lease_s", usual.lease_s),
        )


@dataclass(frozen=True, slots=True)
class Hello:
    """What a server says first."""

    protocol: str
    server: str
    environment: str
    connection: str
    session: str | None = None
    capabilities: frozenset[str] = frozenset()
    """``tools`` and ``snapshots``, where the environment has them."""
    limits: Limits = field(default_factory=Limits)

    @classmethod
    def of(cls, message: Any) -> Hello:
        """Read the first frame. Raises ``ValueError`` where it is no hello, and what it says where it is an error."""
        if not isinstance(message, dict):
            raise ValueError("something that is no object as its first frame")
        if isinstance(message.get("error"), dict):
            raise error_of(message["error"])
        data = message.get("data")
        if message.get("event") != "hello" or not isinstance(data, dict):
            raise ValueError("a first frame that is no hello")
        capabilities = data.get("capabilities")
        session = data.get("session")
        return cls(
            protocol=frames.text_of(data.get("protocol"), "openenv.v2"),
            server=frames.text_of(data.get("server"), "unknown"),
            environment=frames.text_of(data.get("environment"), "unknown"),
            connection=frames.text_of(data.get("connection"), ""),
            session=session if isinstance(session, str) else None,
            capabilities=frozenset(item for item in capabilities if isinstance(item, str))
            if isinstance(capabilities, list)
            else frozenset(),
            limits=Limits.of(data.get("limits")),
        )


def error_of(body: Mapping[str, Any]) -> OpenEnvError:
    """The exception for an error's body: `DeadlineExceeded`, `Cancelled` and `SessionLost` by their codes, else `ServerError`."""
    code = body.get("code")
    if code in _KINDS:
        return _KINDS[code](frames.text_of(body.get("message"), "no message"), **frames.known_of(body))
    if code == "SESSION_ERROR":
        return session_lost(frames.text_of(body.get("message"), "the server does not say why"))
    return frames.server_error(body)


_KINDS: dict[Any, type[OpenEnvError]] = {"DEADLINE_EXCEEDED": DeadlineExceeded, "CANCELLED": Cancelled}


def _plain(value: Any) -> Any:
    return to_jsonable_python(value, fallback=_number)


def _number(value: Any) -> Any:
    """A number of NumPy's as Python's own. Raises ``TypeError`` for everything else that has no form on the wire."""
    if type(value).__module__ == "numpy" and getattr(value, "shape", None) == ():
        return value.item()
    raise TypeError(f"a {type(value).__name__} has no form on the wire")


def _unsendable(message: Mapping[str, Any], form: str, error: Exception) -> ValidationFailed:
    return ValidationFailed(
        f"The {message.get('op', 'message')} cannot be sent as {form}: {error}", hint="Send plain values and pydantic models."
    )
