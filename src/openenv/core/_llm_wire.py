"""What language models' APIs want tools and messages to look like."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

__all__ = ["anthropic_messages", "anthropic_tools", "arguments_of", "object_schema", "openai_tools", "with_system"]

_CHOICES = ("oneOf", "anyOf")

MessageT = TypeVar("MessageT", bound=Mapping[str, Any])


def openai_tools(tools: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """MCP's tools as OpenAI's functions."""
    return [
        {
            "type": "function",
            "function": {"name": tool["name"], "description": tool.get("description") or "", "parameters": _schema_of(tool)},
        }
        for tool in tools
    ]


def anthropic_tools(tools: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """MCP's tools as Anthropic's."""
    return [
        {"name": tool["name"], "description": tool.get("description") or "", "input_schema": _schema_of(tool)} for tool in tools
    ]


def _schema_of(tool: Mapping[str, Any]) -> dict[str, Any]:
    # MCP writes inputSchema; an OpenEnv tool that was dumped with its own names writes input_schema.
    return object_schema(tool.get("inputSchema", tool.get("input_schema")))


def object_schema(schema: Any) -> dict[str, Any]:
    """An input schema without the alternatives that the APIs refuse at its top: what all parts say, and the first choice."""
    if not isinstance(schema, Mapping):
        return {"type": "object", "properties": {}, "required": []}
    joined = {key: value for key, value in schema.items() if key not in (*_CHOICES, "allOf", "$ref")}
    for part in _parts(schema):
        for key, value in part.items():
            if key == "properties" and isinstance(value, Mapping):
                joined[key] = {**joined.get(key, {}), **value}
            elif key == "required" and isinstance(value, Sequence):
                joined[key] = list(dict.fromkeys([*joined.get(key, []), *value]))
            else:
                joined.setdefault(key, value)
    if joined.setdefault("type", "object") == "object":
        joined.setdefault("properties", {})
    return joined


def _parts(schema: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The schemas that a schema stands for besides itself, in their order; of alternatives, the first that is an object's."""
    parts = [_followed(schema, schema)] if "$ref" in schema else []
    parts += [_followed(part, schema) for part in _list(schema.get("allOf"))]
    for word in _CHOICES:
        choices = [_followed(choice, schema) for choice in _list(schema.get(word))]
        parts += [choice for choice in choices if choice.get("type") == "object" or "properties" in choice][:1]
    return parts


def _list(value: Any) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, Sequence) else []


def _followed(part: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    """The part, or what its ``$ref`` names among the root's ``$defs``."""
    reference = part.get("$ref")
    if not isinstance(reference, str) or not reference.startswith("#/$defs/"):
        return part
    definitions = root.get("$defs")
    found = definitions.get(reference.removeprefix("#/$defs/")) if isinstance(definitions, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def arguments_of(name: str, arguments: Any) -> dict[str, Any]:
    """A tool call's arguments, which may be written as JSON; nothing is none. Raises `ValueError` when they are no object."""
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments) if arguments.strip() else {}
        except ValueError as error:
            raise ValueError(f"The arguments of the call of {name!r} are not JSON ({error}): {arguments[:200]}") from None
    if arguments is None:
        return {}
    if not isinstance(arguments, dict):
        raise ValueError(f"The arguments of the call of {name!r} are no object: {str(arguments)[:200]}")
    return arguments


def with_system(messages: Sequence[MessageT], system_prompt: str | None) -> list[MessageT | dict[str, Any]]:
    """The messages, headed by the system prompt where they bring none."""
    if not system_prompt or any(message.get("role") in _SYSTEM for message in messages):
        return list(messages)
    return [{"role": "system", "content": system_prompt}, *messages]


_SYSTEM = ("system", "developer")


def anthropic_messages(messages: Iterable[Mapping[str, Any]]) -> tuple[str, list[dict[str, Any]]]:
    """OpenAI's messages as Anthropic's: the system prompt, and the turns. Results that follow each other are one turn."""
    system: list[str] = []
    turns: list[dict[str, Any]] = []
    results: list[dict[str, Any]] | None = None
    for message in messages:
        role = message.get("role")
        content = message.get("content")
        if role == "tool":
            if results is None:
                results = []
                turns.append({"role": "user", "content": results})
            results.append({"type": "tool_result", "tool_use_id": message.get("tool_call_id"), "content": content or ""})
            continue
        results = None
        if role in _SYSTEM:
            system.append(_text(content))
        elif role == "assistant" and message.get("tool_calls"):
            turns.append({"role": "assistant", "content": _said(content) + [_use(call) for call in message["tool_calls"]]})
        elif role in ("user", "assistant"):
            turns.append({"role": role, "content": "" if content is None else content})
        else:
            raise ValueError(f"A message's role must be system, developer, user, assistant or tool, not {role!r}")
    return "\n\n".join(text for text in system if text), turns


def _text(content: Any) -> str:
    if isinstance(content, str) or content is None:
        return content or ""
    return "".join(part.get("text", "") for part in _list(content))


def _said(content: Any) -> list[dict[str, Any]]:
    if isinstance(content, str) or content is None:
        return [{"type": "text", "text": content}] if content else []
    return [dict(part) for part in _list(content)]


def _use(call: Mapping[str, Any]) -> dict[str, Any]:
    function = call["function"]
    name = function["name"]
    return {"type": "tool_use", "id": call["id"], "name": name, "input": arguments_of(name, function.get("arguments"))}
