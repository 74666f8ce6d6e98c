"""What ``/openapi.json`` says of bodies and answers: the routes read and write them themselves.

Everything here is JSON Schema (2020-12, as OpenAPI 3.1 has it). Models' schemas go to ``components``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from fastapi import FastAPI
from pydantic import BaseModel, TypeAdapter
from pydantic.errors import PydanticUserError

__all__ = ["ANSWER", "ANY_OBJECT", "JSON", "answers", "body_schema", "describe", "listed", "rpc_route", "step_schema"]

JSON: Final = "application/json"
_REFERENCE: Final = "#/components/schemas/{model}"
_components: dict[str, Any] = {}

Schema = Mapping[str, Any]


def _object(required: Mapping[str, Schema], optional: Mapping[str, Schema] | None = None) -> dict[str, Any]:
    return {"type": "object", "properties": {**required, **(optional or {})}, "required": list(required)}


def listed(name: str, items: Schema | None = None) -> dict[str, Any]:
    """An object with one list."""
    return _object({name: {"type": "array", "items": items or {}}})


ANY_OBJECT: Final = {"type": "object"}
_TEXT: Final = {"type": "string"}
_ERROR_BODY: Final = _object({"code": _TEXT, "message": _TEXT}, {"field": _TEXT, "hint": _TEXT, "errors": {"type": "array"}})
_ERROR: Final = _object({"error": _ERROR_BODY})
_DETAIL: Final = _object({"detail": {"anyOf": [_TEXT, {"type": "array", "items": ANY_OBJECT}]}})
_REFUSED: Final = {"anyOf": [_ERROR, _DETAIL]}
ANSWER: Final = _object(
    {
        "observation": ANY_OBJECT,
        "reward": {"type": ["number", "null"]},
        "done": {"type": "boolean"},
        "metadata": {"type": ["object", "null"]},
    }
)
"""Of ``/reset`` and ``/step``."""
_RPC_ERROR: Final = _object({"code": {"type": "integer"}, "message": _TEXT})
_RPC_ANSWER: Final = _object(
    {"jsonrpc": {"const": "2.0"}, "id": {"type": ["string", "integer", "null"]}}, {"result": {}, "error": _RPC_ERROR}
)
_RPC_REQUEST: Final = _object(
    {"jsonrpc": {"const": "2.0"}, "method": _TEXT}, {"id": {"type": ["string", "integer", "null"]}, "params": ANY_OBJECT}
)


def body_schema(model: type[BaseModel], *, required: bool = True) -> dict[str, Any]:
    """A route's body, as an argument of ``add_api_route``."""
    return _body(_of(model), required)


def step_schema(model: type[BaseModel], action_type: Any, *, bare: bool) -> dict[str, Any]:
    """The body of ``/step``, with the environment's own action; with ``bare`` also that action alone."""
    action = _of(action_type)
    whole = dict(_of(model))
    whole["properties"] = {**whole["properties"], "action": action}
    return _body({"anyOf": [whole, action]} if bare else whole, required=True)


def answers(schema: Schema, *, status: int = 200, media: str = JSON, what: str = "It is done") -> dict[str, Any]:
    """A route's answers, as an argument of ``add_api_route``: this one, and those that refuse."""
    return {"responses": {status: _answer(what, schema, media), **_REFUSALS}}


def rpc_route() -> dict[str, Any]:
    """Body and answers of ``/mcp``, in either protocol."""
    refused = {"anyOf": [_RPC_ANSWER, _ERROR, _DETAIL]}
    answered = _answer("The answer, or a stream that ends with it", _RPC_ANSWER)
    answered["content"]["text/event-stream"] = {"schema": _TEXT}
    known = {
        200: answered,
        202: {"description": "A notification was taken"},
        "4XX": _answer("Refused before it was read, or by standard MCP", refused),
        "5XX": _answer("No room, or the extra is missing", refused),
    }
    return {"responses": known, **_body(_RPC_REQUEST, required=True)}


def describe(app: FastAPI) -> None:
    """Let the application's document have the components that the routes refer to."""
    if getattr(app.openapi, "described", False):
        return
    inner: Callable[[], dict[str, Any]] = app.openapi

    def openapi() -> dict[str, Any]:
        document = inner()
        known = document.setdefault("components", {}).setdefault("schemas", {})
        for name, schema in _components.items():
            known.setdefault(name, schema)
        return document

    openapi.described = True  # type: ignore[attr-defined]
    app.openapi = openapi  # type: ignore[method-assign]


def _of(shown: Any) -> dict[str, Any]:
    """A type's schema; any object for a type that has none, and can be played all the same."""
    try:
        schema = TypeAdapter(shown).json_schema(ref_template=_REFERENCE)
    except PydanticUserError:
        return dict(ANY_OBJECT)
    _components.update(schema.pop("$defs", {}))
    return schema


def _body(schema: Schema, required: bool) -> dict[str, Any]:
    return {"openapi_extra": {"requestBody": {"required": required, "content": {JSON: {"schema": schema}}}}}


def _answer(what: str, schema: Schema, media: str = JSON) -> dict[str, Any]:
    return {"description": what, "content": {media: {"schema": schema}}}


_REFUSALS: Final = {
    "4XX": _answer("Refused: a typed error, or what does not fit the body", _REFUSED),
    "5XX": _answer("A typed error: the environment raised, there is no room, or it cannot do this", _REFUSED),
}
