"""Random values that fit a JSON Schema, as far as a schema says it in its keywords."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any

__all__ = ["sample"]

MAX_DEPTH = 6
MOST_ITEMS = 20
LONGEST_TEXT = 200
WORDS = ("alpha", "bravo", "charlie", "delta", "echo", "primary", "meeting", "note")


def sample(schema: Mapping[str, Any], dice: Random) -> Any:
    """A value for the schema: constants, enumerations, types, bounds, required and some optional properties are minded.

    The same schema and the same state of ``dice`` give the same value. Patterns are not minded: such strings mostly miss.
    """
    return _sample(schema, schema.get("$defs", {}), dice, MAX_DEPTH)


def _sample(schema: Any, definitions: Mapping[str, Any], dice: Random, depth: int) -> Any:
    if not isinstance(schema, Mapping) or depth <= 0:
        return None
    if "$ref" in schema:
        return _sample(definitions.get(str(schema["$ref"]).rsplit("/", 1)[-1]), definitions, dice, depth - 1)
    if "const" in schema:
        return schema["const"]
    for key in ("enum", "examples"):
        if isinstance(schema.get(key), list) and schema[key]:
            return dice.choice(schema[key])
    for key in ("anyOf", "oneOf", "allOf"):
        if isinstance(schema.get(key), list) and schema[key]:
            return _sample(dice.choice(schema[key]), definitions, dice, depth - 1)
    kind = schema.get("type", "object" if "properties" in schema else "string")
    if isinstance(kind, list):
        kind = dice.choice(kind) if kind else "null"
    if kind == "object":
        return _object(schema, definitions, dice, depth)
    if kind == "array":
        least = min(MOST_ITEMS, int(schema.get("minItems", 0)))
        count = dice.randint(least, max(least, min(int(schema.get("maxItems", least + 2)), least + 2)))
        return [_sample(schema.get("items", {}), definitions, dice, depth - 1) for _ in range(count)]
    return _scalar(str(kind), schema, dice)


def _object(schema: Mapping[str, Any], definitions: Mapping[str, Any], dice: Random, depth: int) -> dict[str, Any]:
    required = set(schema.get("required", ()))
    properties = schema.get("properties", {})
    return {
        name: _sample(inner, definitions, dice, depth - 1)
        for name, inner in properties.items()
        if name in required or dice.random() < 0.3
    }


def _scalar(kind: str, schema: Mapping[str, Any], dice: Random) -> Any:
    if kind == "boolean":
        return dice.random() < 0.5
    if kind == "integer":
        least = int(schema.get("minimum", schema.get("exclusiveMinimum", -1) + 1))
        most = int(schema.get("maximum", schema.get("exclusiveMaximum", least + 101) - 1))
        return dice.randint(least, max(least, most))
    if kind == "number":
        low = float(schema.get("minimum", schema.get("exclusiveMinimum", 0.0)))
        high = float(schema.get("maximum", schema.get("exclusiveMaximum", low + 100.0)))
        return round(dice.uniform(low, max(low, high)), 3)
    if kind == "string":
        return _string(schema, dice)
    return None


def _string(schema: Mapping[str, Any], dice: Random) -> str:
    day, hour = dice.randint(1, 28), dice.randint(0, 23)
    if schema.get("format") == "date-time":
        return f"2026-01-{day:02d}T{hour:02d}:00:00Z"
    if schema.get("format") == "date":
        return f"2026-01-{day:02d}"
    text = dice.choice(WORDS)
    text = text.ljust(min(LONGEST_TEXT, int(schema.get("minLength", 0))), "x")
    return text[: int(schema["maxLength"])] if "maxLength" in schema else text
