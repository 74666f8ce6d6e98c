"""What can be called, in a line each: JSON Schemas as signatures, ``note_add(text: string, tags?: array of string)``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

__all__ = ["action_signatures", "signature"]

_TOOL_ACTIONS: Final = frozenset({"ListToolsAction", "CallToolAction"})
_DEEPEST: Final = 8


def signature(name: str, schema: Mapping[str, Any], definitions: Mapping[str, Any] | None = None) -> str:
    """A call with its arguments: ``?`` marks those that may be left out; notes that no rule reads are not shown."""
    known = definitions if definitions is not None else schema.get("$defs", {})
    required = schema.get("required", ())
    shown = [
        f"{field}{'' if field in required else '?'}: {_kind(kind, known)}"
        for field, kind in schema.get("properties", {}).items()
        if field != "metadata"
    ]
    return f"{name}({', '.join(shown)})"


def action_signatures(schema: Mapping[str, Any]) -> list[str]:
    """A signature for each kind of action, by its type's name; without the two that stand for tools, which have their own."""
    known = schema.get("$defs", {})
    found = [one for one in _choices(schema, known) if one and one.get("title") not in _TOOL_ACTIONS]
    return [signature(one.get("title", "action"), one, known) for one in found]


def _choices(schema: Mapping[str, Any], known: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    schema = _resolved(schema, known)
    inner = schema.get("oneOf") or schema.get("anyOf")
    if not inner:
        yield schema
        return
    for one in inner:
        yield _resolved(one, known)


def _kind(schema: Any, known: Mapping[str, Any], depth: int = 0) -> str:
    """What a value is, in a few words; no deeper than a reader follows, since a schema may contain itself."""
    if not isinstance(schema, Mapping) or depth > _DEEPEST:
        return "any"
    schema = _resolved(schema, known)
    values = schema["enum"] if "enum" in schema else [schema["const"]] if "const" in schema else None
    if values is not None:
        return " | ".join(repr(value) for value in values)
    if inner := schema.get("anyOf") or schema.get("oneOf"):
        return " | ".join(dict.fromkeys(_kind(one, known, depth + 1) for one in inner))
    kind = schema.get("type", "any")
    if kind == "array":
        return f"array of {_kind(schema['items'], known, depth + 1)}" if "items" in schema else "array"
    if kind == "object" and schema.get("properties"):
        return str(schema.get("title", "object"))
    return f"{' | '.join(kind) if isinstance(kind, list) else kind}{_bounds(schema)}"


def _bounds(schema: Mapping[str, Any]) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is None and high is None:
        return ""
    return f" {'' if low is None else low}…{'' if high is None else high}"


def _resolved(schema: Mapping[str, Any], known: Mapping[str, Any]) -> Mapping[str, Any]:
    found = known.get(str(schema.get("$ref", "")).rpartition("/")[2])
    return found if isinstance(found, Mapping) else schema
