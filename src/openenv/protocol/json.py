"""JSON in and out, for every dialect."""

from __future__ import annotations

import gc
import json
import math
from collections.abc import Callable
from typing import Any, Final, TypeVar

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError, from_json, to_json

from openenv.encoded import ENCODED
from openenv.errors import ExecutionFailed, InvalidFrame, ValidationFailed
from openenv.types import Reward, WireObservation

__all__ = [
    "MOST_VALUES",
    "body_of",
    "dump",
    "dump_error",
    "errors_of",
    "in_one_go",
    "is_vast",
    "loads",
    "number",
    "parse",
    "refusal",
    "words_of",
]

_ALWAYS_TEXT = {"message", "code", "field", "hint"}
_LIFTED = {"reward", "done"}
MOST_FAULTS = 1000
"""Of one message that are listed. A message of 16 MiB may have a million, and listing these takes seconds and gigabytes."""
MOST_LISTED = 1024 * 1024
MOST_VALUES: Final = 500_000
"""Of one request: lists, objects, and what is in them. Reading millions takes seconds, and finding each wrong takes gigabytes."""
_DEPTH_LIMIT = 200
"""How deep a document may be nested: pydantic's own limit for reading, and less than its limit for writing."""

_AROUND = 8
"""Levels around an error, at most: what was sent may be in it, and whoever gets it has to be able to read it."""


_Read = TypeVar("_Read")


def parse(text: str | bytes) -> Any:
    """The value of a request in JSON. Raises `InvalidFrame` with the place of the fault."""
    try:
        return loads(text, bounded=True)
    except RecursionError:
        raise InvalidFrame("Invalid JSON: nested too deeply", hint="Send a flatter document.") from None
    except ValueError as error:
        raise InvalidFrame(f"Invalid JSON: {error}", hint="Send one JSON object.") from None


def loads(text: str | bytes, *, bounded: bool = False) -> Any:
    """The value of a JSON text in UTF-8. Raises ``ValueError``, ``bounded`` also for one that `is_vast`, or ``RecursionError``.

    Python's own parser lets half of a surrogate pair through, and nests deeper than any answer could: both are refused.
    """
    if isinstance(text, bytes):
        text = text.decode()
    if bounded and is_vast(text):
        raise ValueError(f"more than {MOST_VALUES} values; send less at once")
    nested = text.count("[") + text.count("{") > _DEPTH_LIMIT
    value = in_one_go(lambda: json.loads(text)) if nested else json.loads(text)
    if "\\ud" in text or "\\uD" in text:
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise ValueError("a text has half of a surrogate pair") from None
    if nested:
        try:
            in_one_go(lambda: from_json(text))
        except ValueError:
            raise RecursionError("nested too deeply") from None
    return value


def is_vast(text: str) -> bool:
    """Whether a JSON text has more than `MOST_VALUES` values. Found without reading it; a short one costs nothing."""
    if len(text) <= MOST_VALUES or _marks(text) <= MOST_VALUES:
        return False
    text = text.replace("\\\\", "").replace('\\"', "")
    if text.count('"') > 4 * MOST_VALUES:  # a value has two of them, and two for its key
        return True
    return _marks("".join(text.split('"')[::2])) > MOST_VALUES  # what is outside of texts


def _marks(text: str) -> int:
    """Each value but the first of a list or object has a comma before it, and each of these two has a bracket."""
    return text.count(",") + text.count("[") + text.count("{")


def in_one_go(read: Callable[[], _Read]) -> _Read:
    """Read a document without Python's collector, which would look through all of it again and again for what is none."""
    if not gc.isenabled():
        return read()
    gc.disable()
    try:
        return read()
    finally:
        gc.enable()


def dump_error(body: dict[str, Any]) -> bytes:
    """An error's body as JSON, whatever an environment put into it: what JSON cannot say is left out."""
    try:
        written = to_json(body, inf_nan_mode="null")
        if written.count(b"[") + written.count(b"{") > _DEPTH_LIMIT - _AROUND:
            from_json(b"[" * _AROUND + written + b"]" * _AROUND)
        return written
    except (PydanticSerializationError, ValueError, RecursionError):
        return json.dumps(words_of(body), separators=(",", ":")).encode()


def words_of(body: dict[str, Any]) -> dict[str, str]:
    """The part of an error's body that every dialect can say; half of a surrogate pair in it becomes ``?``."""
    return {
        key: value.encode(errors="replace").decode()
        for key, value in body.items()
        if key in _ALWAYS_TEXT and isinstance(value, str)
    }


def dump(value: Any, *, by_alias: bool = True) -> bytes:
    """Any value as JSON; not-a-number becomes null. Raises `ExecutionFailed` for what JSON cannot say.

    Models' fields go by their aliases, or with ``by_alias=False`` by their names.
    """
    try:
        return to_json(value, inf_nan_mode="null", by_alias=by_alias)
    except (PydanticSerializationError, ValueError, RecursionError) as error:
        raise ExecutionFailed(f"the environment's answer cannot be written as JSON: {error}") from None


def body_of(observation: WireObservation) -> bytes:
    """An observation without what travels beside it (``reward`` and ``done``)."""
    kind = type(observation)
    if kind in ENCODED:
        return observation.encoded  # type: ignore[attr-defined, no-any-return]
    try:
        return kind.__pydantic_serializer__.to_json(observation, exclude=_LIFTED)
    except (PydanticSerializationError, ValueError, RecursionError) as error:
        raise ExecutionFailed(f"the observation cannot be written as JSON: {error}") from None


def number(reward: Reward) -> bytes:
    """A reward of its own type; not-a-number becomes null."""
    if reward is None:
        return b"null"
    if type(reward) is float:
        return repr(reward).encode() if math.isfinite(reward) else b"null"
    return dump(reward)


def errors_of(error: ValidationError, *, choice: bool = False, url: bool = True, room: int | None = None) -> list[dict[str, Any]]:
    """pydantic's list of what is wrong where; with ``choice``, without the branch that it chose.

    It has an end: of more than `MOST_FAULTS` there is only the number, and past `MOST_LISTED` bytes no input is repeated.
    With ``room`` for so many faults no more are listed, and no input is repeated.
    """
    faults = error.error_count()
    if faults > (MOST_FAULTS if room is None else min(room, MOST_FAULTS)):
        return [{"type": "too_many_faults", "loc": [], "msg": f"{faults} faults are too many to list"}]
    try:
        written = error.json(include_url=url, include_input=room is None)
    except ValueError:  # what was sent had bytes in it
        written = ""
    if not written or len(written) > MOST_LISTED:
        written = error.json(include_url=url, include_input=False)
    errors: list[dict[str, Any]] = json.loads(written)
    if choice:
        for one in errors:
            one["loc"] = one["loc"][1:]
    return errors


def refusal(
    error: ValidationError, *, message: str = "Invalid message", choice: bool = False, room: int | None = None
) -> ValidationFailed:
    """pydantic's complaint as a typed error, with its list of what is wrong where; ``room`` as in `errors_of`."""
    errors = errors_of(error, choice=choice, room=room)
    first = errors[0] if errors else {}
    field = ".".join(str(part) for part in first.get("loc", ())) or None
    hint = f"{field}: {first['msg']}" if field else first.get("msg")
    return ValidationFailed(message, field=field, hint=hint, errors=errors)
