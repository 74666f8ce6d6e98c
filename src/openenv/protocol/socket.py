"""Which dialect a frame on ``/ws`` speaks, decided frame by frame by what arrives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from openenv.errors import OpenEnvError, ValidationFailed
from openenv.operation import Operation, Result
from openenv.protocol.json import MOST_VALUES, is_vast, parse
from openenv.protocol.jsonrpc import JsonRpcCodec, RpcCall
from openenv.protocol.openenv import OpenEnvCodec, both_dialects
from openenv.protocol.simple import SimpleCodec

__all__ = ["Frame", "SocketCodec"]


@dataclass(slots=True)
class Frame:
    """A decoded frame: its operation, and who encodes the reply."""

    operation: Operation
    codec: type[OpenEnvCodec] | type[SimpleCodec]
    call: RpcCall | None = None
    """The JSON-RPC request inside an ``mcp`` message."""


class SocketCodec:
    """Made once per action type."""

    def __init__(self, action_type: Any) -> None:
        self._openenv = OpenEnvCodec(action_type)
        self._simple = SimpleCodec(action_type)
        self._rpc = JsonRpcCodec()

    def decode(self, frame: str) -> Frame:
        """Never raises: a frame that cannot be understood becomes an ``invalid`` operation with the error."""
        if len(frame) > MOST_VALUES and is_vast(frame):
            return self._decode_slowly(frame)  # which refuses it
        if frame.startswith('{"action"'):
            operation = self._simple.decode_step(frame)
            if operation is not None:
                return Frame(operation, SimpleCodec)
        else:
            operation = self._openenv.decode_step(frame)
            if operation is not None:
                return Frame(operation, OpenEnvCodec)
        return self._decode_slowly(frame)

    def encode(self, frame: Frame, result: Result) -> bytes:
        """The reply."""
        if frame.call is not None:
            return b'{"type":"mcp","data":%b}' % self._rpc.encode(frame.call, result)
        return frame.codec.encode(frame.operation, result)

    def _decode_slowly(self, text: str) -> Frame:
        codec: type[OpenEnvCodec] | type[SimpleCodec] = OpenEnvCodec
        try:
            message = parse(text)
            if not isinstance(message, dict):
                raise ValidationFailed(
                    f"a frame is a JSON object, not {_kind(message)}",
                    errors=[{"type": "dict_type", "loc": [], "msg": "Input should be an object", "input": None}],
                    example={"type": "reset", "data": {}},
                )
            if "action" in message:
                codec = SimpleCodec
                if "type" in message:
                    raise both_dialects(message)
                return Frame(self._simple.decode(message), SimpleCodec)
            if message.get("type") == "mcp":
                call = self._rpc.decode_message(self._openenv.inner(message))
                return Frame(call.to_run(), OpenEnvCodec, call)
            return Frame(self._openenv.decode(message), OpenEnvCodec)
        except OpenEnvError as error:
            return Frame(Operation("invalid", error), codec)


def _kind(value: Any) -> str:
    return {list: "an array", str: "a text", bool: "a truth value", int: "a number", float: "a number"}.get(type(value), "null")
