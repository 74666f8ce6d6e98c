"""A language model as an agent: any OpenAI-compatible chat endpoint with tool calling."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from openenv.errors import ConfigurationError
from openenv.evaluation.agents.base import Agent, StepLimitReached, Task, ToolAccess, ToolRefused
from openenv.evaluation.agents.endpoint import ChatEndpoint
from openenv.scenario import Scenario, Suite
from openenv.types import Tool

__all__ = ["ChatAgent", "ChatFactory"]

DEFAULT_BASE_URL = "https://api.openai.com/v1"
DEFAULT_KEY_VARIABLE = "OPENAI_API_KEY"
SYSTEM_PROMPT = (
    "You complete a task by calling tools. Look up every identifier that the task does not give literally before you use it; "
    "change nothing that the task does not ask for. When a call fails, read the error: it names the field, and often shows an "
    "example that works. When the task is done, answer in one short sentence, with the requested value if there is one."
)
_NOT_ALLOWED = re.compile(r"[^a-zA-Z0-9_-]")


class ChatAgent:
    """Lets a model call tools until it answers without calling one."""

    def __init__(self, endpoint: ChatEndpoint, *, system_prompt: str = SYSTEM_PROMPT) -> None:
        self._endpoint = endpoint
        self._system_prompt = system_prompt

    async def run(self, task: Task, env: ToolAccess) -> str | None:
        """Converse until the model answers, the steps are used up, or it has had twice as many turns as steps."""
        names = _tool_names(task.tools)
        tools = [_described(name, tool) for name, tool in zip(names, task.tools, strict=True)]
        real = {name: tool.name for name, tool in zip(names, task.tools, strict=True)}
        messages: list[dict[str, Any]] = [
            {"role": "system", "content": self._system_prompt},
            {"role": "user", "content": task.prompt},
        ]
        said: str | None = None
        for _ in range(2 * task.max_steps + 2):
            completion = await self._endpoint.complete(messages, tools)
            env.add_tokens(prompt=completion.prompt_tokens, completion=completion.completion_tokens)
            message = completion.message
            said = message["content"] if isinstance(message.get("content"), str) else None
            calls = [call for call in message.get("tool_calls") or () if isinstance(call, dict)]
            if not calls:
                return said
            messages.append({"role": "assistant", "content": said, "tool_calls": calls})
            try:
                for call in calls:
                    content = await _answer(call, real, env)
                    messages.append({"role": "tool", "tool_call_id": str(call.get("id", "")), "content": content})
            except StepLimitReached:
                return said
        return said


class ChatFactory:
    """Makes `ChatAgent`s that share one endpoint."""

    def __init__(self, endpoint: ChatEndpoint) -> None:
        self.name = f"openai:{endpoint.model}"
        self._endpoint = endpoint

    @classmethod
    def configured(cls, *, model: str | None, base_url: str | None = None, api_key_env: str | None = None) -> ChatFactory:
        """From what a command line says; the key comes from the environment variable ``api_key_env``.

        Raises `ConfigurationError` when the model or a needed key is missing.
        """
        if not model:
            raise ConfigurationError("The agent openai needs a model", field="model", hint="Say which: --model NAME.")
        url = base_url or os.environ.get("OPENAI_BASE_URL") or DEFAULT_BASE_URL
        variable = api_key_env or DEFAULT_KEY_VARIABLE
        key = os.environ.get(variable) or None
        if key is None and (api_key_env is not None or url == DEFAULT_BASE_URL):
            raise ConfigurationError(
                f"The environment variable {variable} holds no API key",
                field="api_key_env",
                hint=f"Set {variable}, name another with --api-key-env, or point --base-url at an endpoint that needs none.",
            )
        return cls(ChatEndpoint(url, model, api_key=key))

    def for_scenario(self, scenario: Scenario, suite: Suite) -> Agent:
        """A fresh conversation; the scenario is not looked at."""
        return ChatAgent(self._endpoint)

    async def aclose(self) -> None:
        """Close the endpoint's connections."""
        await self._endpoint.aclose()


async def _answer(call: Mapping[str, Any], real: Mapping[str, str], env: ToolAccess) -> str:
    """Make one of the model's calls; what goes wrong with it is told to the model, with all that helps."""
    function = call.get("function")
    function = function if isinstance(function, Mapping) else {}
    name, text = str(function.get("name", "")), function.get("arguments") or "{}"
    tool = real.get(name, name)
    try:
        arguments = json.loads(text) if isinstance(text, str) else text
    except ValueError as error:
        return _malformed(tool, text, f"The arguments are not JSON: {error}", env)
    if not isinstance(arguments, dict):
        return _malformed(tool, text, f"The arguments must be a JSON object, not {type(arguments).__name__}", env)
    try:
        value = await env.call(tool, arguments)
    except ToolRefused as error:
        return json.dumps({"error": error.body()}, default=str)
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _malformed(tool: str, text: Any, message: str, env: ToolAccess) -> str:
    env.add_malformed(tool, str(text), message)
    hint = "Send the arguments as one JSON object with double-quoted keys."
    return json.dumps({"error": {"code": "INVALID_JSON", "message": message, "hint": hint}})


def _tool_names(tools: Sequence[Tool]) -> list[str]:
    """Names that the endpoint allows (letters, digits, ``_`` and ``-``, at most 64), one for each tool."""
    made: list[str] = []
    for tool in tools:
        name = _NOT_ALLOWED.sub("_", tool.name)[:64]
        for number in range(2, len(tools) + 2):
            if name not in made:
                break
            name = f"{name[:60]}_{number}"
        made.append(name)
    return made


def _described(name: str, tool: Tool) -> dict[str, Any]:
    return {
        "type": "function",
        "function": {"name": name, "description": tool.description, "parameters": tool.input_schema},
    }
