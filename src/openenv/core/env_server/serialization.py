"""Actions from JSON and observations to JSON, as functions of their own."""

from __future__ import annotations

import importlib
import re
from typing import Any

from openenv.core.env_server.types import Action, Observation
from openenv.protocol.json import loads
from openenv.types import CallToolAction, ListToolsAction, tool_actions

__all__ = ["action_type_for", "deserialize_action", "deserialize_action_with_preprocessing", "serialize_observation"]

_WHOLE = re.compile(r"-?[0-9]{1,18}")
_TAKES_TOOL_ACTIONS = (Action, CallToolAction, ListToolsAction)


def action_type_for(action_cls: type[Action]) -> Any:
    """What a step is validated against: ``action_cls``, and tool calls beside it where 0.10 takes them too."""
    return tool_actions(action_cls) if action_cls in _TAKES_TOOL_ACTIONS else action_cls


def deserialize_action(action_data: dict[str, Any], action_cls: type[Action]) -> Action:
    """The action in a JSON object. Raises pydantic's ``ValidationError``."""
    kinds = {"list_tools": ListToolsAction, "call_tool": CallToolAction} if action_cls in _TAKES_TOOL_ACTIONS else {}
    kind = action_data.get("type")
    chosen: type[Action] = kinds.get(kind, action_cls) if isinstance(kind, str) else action_cls  # type: ignore[assignment]
    return chosen.model_validate(action_data)


def deserialize_action_with_preprocessing(action_data: dict[str, Any], action_cls: type[Action]) -> Action:
    """As `deserialize_action`, for what a form sends.

    A tool's ``arguments`` may be a JSON text, an ``action_id`` a text of digits, and ``tokens`` a list, which becomes a
    tensor where PyTorch is installed.
    """
    data = dict(action_data)
    if data.get("type") == "call_tool" and isinstance(data.get("arguments"), str):
        data["arguments"] = _object_in(data["arguments"])
    given = data.get("action_id")
    if isinstance(given, str) and _WHOLE.fullmatch(given.strip()):
        data["action_id"] = int(given)
    if isinstance(data.get("tokens"), (str, list)):
        data["tokens"] = _tokens(data["tokens"])
    return deserialize_action(data, action_cls)


def serialize_observation(observation: Observation) -> dict[str, Any]:
    """``{"observation", "reward", "done"[, "metadata"]}`` as on the wire, with values that are still Python's."""
    body: dict[str, Any] = {
        "observation": observation.model_dump(exclude={"reward", "done"}),
        "reward": observation.reward,
        "done": observation.done,
    }
    return body | ({"metadata": observation.metadata} if observation.metadata else {})


def _object_in(text: str) -> Any:
    """The JSON object in a text; an empty text is an empty object. What is neither is left for validation to refuse."""
    if not text.strip():
        return {}
    try:
        return loads(text)
    except (ValueError, RecursionError):
        return text


def _tokens(given: str | list[Any]) -> Any:
    """A tensor of tokens, or the plain list without PyTorch."""
    listed = _numbers_in(given) if isinstance(given, str) else given
    try:
        torch = importlib.import_module("torch")
    except ImportError:
        return listed
    return torch.tensor(listed, dtype=torch.long)


def _numbers_in(text: str) -> list[Any]:
    """A JSON array, or numbers with commas between them."""
    try:
        found = loads(text)
    except RecursionError:
        return []
    except ValueError:
        return [int(part) for part in text.split(",") if re.fullmatch(r"\s*[0-9]{1,18}\s*", part)]
    return found if isinstance(found, list) else []
