"""Clients of language models: OpenAI's chat completions, which many servers speak, and Anthropic's messages."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from openenv.core._llm_wire import anthropic_messages, anthropic_tools, arguments_of, openai_tools, with_system

if TYPE_CHECKING:
    from openenv.evaluation.agents.endpoint import JsonEndpoint

__all__ = ["AnthropicClient", "LLMClient", "LLMResponse", "OpenAIClient", "ToolCall", "create_llm_client"]

ATTEMPTS = 3
TIMEOUT_S = 600.0
NO_KEY = "not-needed"
ANTHROPIC_VERSION = "2023-06-01"
REASONING_MODELS = ("gpt-5", "o1", "o3", "o4")
"""How OpenAI's models are called that take ``max_completion_tokens`` and no temperature."""


@dataclass
class ToolCall:
    """A tool that the model wants to be called."""

    id: str
    name: str
    args: dict[str, Any]


@dataclass
class LLMResponse:
    """What the model said, and which tools it wants to be called."""

    content: str
    tool_calls: list[ToolCall] = field(default_factory=list)

    def to_message_dict(self) -> dict[str, Any]:
        """The same as OpenAI's message of the assistant."""
        message: dict[str, Any] = {"role": "assistant", "content": self.content}
        if self.tool_calls:
            message["tool_calls"] = [
                {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": json.dumps(call.args)}}
                for call in self.tool_calls
            ]
        return message


class LLMClient(ABC):
    """A service that completes prompts. Write ``complete`` for one that is not here.

    Args:
        endpoint: ``http://host``, with a port and a path where it has them; no credentials, query or fragment.
        port: The port, where the endpoint names none.
    """

    def __init__(self, endpoint: str, port: int | None) -> None:
        self.endpoint = endpoint
        self.port = port

    @property
    def base_url(self) -> str:
        """The service's address, its port in it and no slash at its end. Raises `ValueError` when it cannot be one."""
        return _address(self.endpoint, self.port)

    @abstractmethod
    async def complete(self, prompt: str, **kwargs: Any) -> str:
        """The model's answer to a prompt; ``temperature`` and ``max_tokens`` put themselves in the client's place."""

    async def complete_with_tools(
        self, messages: list[dict[str, Any]], tools: list[dict[str, Any]], **kwargs: Any
    ) -> LLMResponse:
        """The model's answer to a conversation (OpenAI's messages) with tools (MCP's definitions).

        ``temperature`` and ``max_tokens`` put themselves in the client's place. Raises `NotImplementedError` for a service
        that has no tools, and `ValueError` when the model's arguments for one are no JSON object.
        """
        raise NotImplementedError(f"{type(self).__name__} calls no tools: it has no complete_with_tools of its own")


class _HTTPClient(LLMClient):
    """What the clients here have in common. Raises `openenv.evaluation.agents.EndpointFailed` when the service does not answer.

    Connections last for one call: a client is not bound to an event loop, and there is nothing to close.
    """

    def __init__(
        self,
        endpoint: str,
        port: int | None,
        model: str,
        api_key: str | None = None,
        system_prompt: str | None = None,
        temperature: float = 0.0,
        max_tokens: int = 256,
    ) -> None:
        super().__init__(endpoint, port)
        self.model = model
        self.system_prompt = system_prompt
        self.temperature = temperature
        self.max_tokens = max_tokens
        self._api_key = api_key or NO_KEY
        self._url = self._place(self.base_url)

    def _place(self, base_url: str) -> str:
        raise NotImplementedError

    def _headers(self) -> dict[str, str]:
        raise NotImplementedError

    async def _ask(self, body: Mapping[str, Any]) -> tuple[JsonEndpoint, Any]:
        from openenv.evaluation.agents.endpoint import JsonEndpoint  # here: whoever asks no model need not load it

        endpoint = JsonEndpoint(
            self._url, self._headers(), key=self._api_key, timeout_s=TIMEOUT_S, attempts=ATTEMPTS, pause_s=0.5
        )
        try:
            answer = await endpoint.post({name: value for name, value in body.items() if value is not None})
        finally:
            await endpoint.aclose()
        try:
            return endpoint, answer.json()
        except ValueError:
            raise endpoint.failed(f"the answer is not JSON: {answer.text[:300]}") from None


class OpenAIClient(_HTTPClient):
    """Whatever speaks OpenAI's ``/chat/completions``: OpenAI, vLLM, TGI, Ollama and others.

    Args:
        endpoint: ``http://host``; ``/v1`` is added unless it has a path.
        port: The port, where the endpoint names none.
        model: The model's name.
        api_key: Sent as a bearer token.
        system_prompt: Heads every conversation that has no system message.
        temperature: Of a call that names none.
        max_tokens: Of a call that names none: how long the answer may be.
        use_max_completion_tokens: For OpenAI's reasoning models: the limit has this name there, and there is no temperature.
    """

    def __init__(
        self,
        endpoint: str,
        port: int | None,
        model: str,
        api_key: str | None = None,
        system_prompt: str | None = None,
        temperature: float = 0.0,
        max_tokens: int = 256,
        use_max_completion_tokens: bool = False,
    ) -> None:
        super().__init__(endpoint, port, model, api_key, system_prompt, temperature, max_tokens)
        self.use_max_completion_tokens = use_max_completion_tokens

    async def complete(self, prompt: str, **kwargs: Any) -> str:
        """The model's answer to a prompt; ``temperature`` and ``max_tokens`` put themselves in the client's place."""
        return (await self._chat([{"role": "user", "content": prompt}], (), kwargs)).content

    async def complete_with_tools(
        self, messages: list[dict[str, Any]], tools: list[dict[str, Any]], **kwargs: Any
    ) -> LLMResponse:
        """As `LLMClient.complete_with_tools` says."""
        return await self._chat(messages, tools, kwargs)

    async def _chat(
        self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]], options: Mapping[str, Any]
    ) -> LLMResponse:
        body: dict[str, Any] = {"model": self.model, "messages": with_system(messages, self.system_prompt)}
        limit = options.get("max_tokens", self.max_tokens)
        if self.use_max_completion_tokens:
            body["max_completion_tokens"] = limit
        else:
            body |= {"max_tokens": limit, "temperature": options.get("temperature", self.temperature)}
        if tools:
            body["tools"] = openai_tools(tools)
        endpoint, answer = await self._ask(body)
        try:
            message = answer["choices"][0]["message"]
            content = message.get("content") or ""
            calls = [(call["id"], call["function"]["name"], call["function"]) for call in message.get("tool_calls") or []]
        except (LookupError, TypeError, AttributeError):
            raise endpoint.failed(f"the answer is no chat completion: {str(answer)[:300]}") from None
        made = [ToolCall(identity, name, arguments_of(name, function.get("arguments"))) for identity, name, function in calls]
        return LLMResponse(content, made)

    def _place(self, base_url: str) -> str:
        return base_url + ("" if urlsplit(base_url).path else "/v1") + "/chat/completions"

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._api_key}"}


class AnthropicClient(_HTTPClient):
    """Anthropic's ``/v1/messages``. The arguments are those of `OpenAIClient`; the key is sent as ``x-api-key``."""

    async def complete(self, prompt: str, **kwargs: Any) -> str:
        """The model's answer to a prompt; ``temperature`` and ``max_tokens`` put themselves in the client's place."""
        return (await self._turn([{"role": "user", "content": prompt}], (), kwargs)).content

    async def complete_with_tools(
        self, messages: list[dict[str, Any]], tools: list[dict[str, Any]], **kwargs: Any
    ) -> LLMResponse:
        """As `LLMClient.complete_with_tools` says."""
        return await self._turn(messages, tools, kwargs)

    async def _turn(
        self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]], options: Mapping[str, Any]
    ) -> LLMResponse:
        system, turns = anthropic_messages(with_system(messages, self.system_prompt))
        body: dict[str, Any] = {
            "model": self.model,
            "messages": turns,
            "max_tokens": options.get("max_tokens", self.max_tokens),
            "temperature": options.get("temperature", self.temperature),
        }
        if system:
            body["system"] = system
        if tools:
            body["tools"] = anthropic_tools(tools)
        endpoint, answer = await self._ask(body)
        try:
            blocks = [(block["type"], block) for block in answer["content"]]
            content = "".join(block["text"] for kind, block in blocks if kind == "text")
            calls = [(block["id"], block["name"], block.get("input")) for kind, block in blocks if kind == "tool_use"]
        except (LookupError, TypeError, AttributeError):
            raise endpoint.failed(f"the answer is no message: {str(answer)[:300]}") from None
        return LLMResponse(content, [ToolCall(identity, name, arguments_of(name, given)) for identity, name, given in calls])

    def _place(self, base_url: str) -> str:
        return base_url.removesuffix("/v1") + "/v1/messages"

    def _headers(self) -> dict[str, str]:
        return {"x-api-key": self._api_key, "anthropic-version": ANTHROPIC_VERSION}


def create_llm_client(
    provider: str,
    model: str,
    api_key: str,
    *,
    system_prompt: str | None = None,
    temperature: float = 0.0,
    max_tokens: int = 4096,
) -> LLMClient:
    """A client of a provider's own service: ``"openai"`` or ``"anthropic"``. Raises `ValueError` for others, or without a key."""
    known = {"openai": "https://api.openai.com", "anthropic": "https://api.anthropic.com"}
    endpoint = known.get(provider.lower())
    if endpoint is None:
        raise ValueError(f"Unsupported provider: {provider!r}. Supported: {sorted(known)}")
    if not api_key:
        raise ValueError(f"{endpoint} asks for an API key, and api_key is empty")
    if provider.lower() == "anthropic":
        return AnthropicClient(endpoint, 443, model, api_key, system_prompt, temperature, max_tokens)
    reasons = model.startswith(REASONING_MODELS)
    return OpenAIClient(endpoint, 443, model, api_key, system_prompt, temperature, max_tokens, reasons)


def _address(endpoint: str, port: int | None) -> str:
    if not isinstance(endpoint, str):
        raise TypeError(f"The endpoint must be a URL, not {type(endpoint).__name__}")
    if port is not None and (not isinstance(port, int) or isinstance(port, bool)):
        raise TypeError(f"The port must be a number, not {port!r}")
    shown = _without_credentials(endpoint)
    try:
        parts = urlsplit(endpoint)
        own = parts.port
    except ValueError as error:
        raise ValueError(f"Invalid endpoint URL {shown!r}: {error}") from None
    fault = None
    if parts.scheme not in ("http", "https"):
        fault = "it must begin with http:// or https://"
    elif "@" in parts.netloc:
        fault = "it must have no credentials; give api_key"
    elif not parts.hostname:
        fault = "it names no host"
    elif "?" in endpoint or "#" in endpoint:
        fault = "it must have no query and no fragment"
    elif parts.netloc.endswith(":"):
        fault = "its port is empty"
    elif own is not None and port is not None and own != port:
        fault = f"its port is {own}, and port={port} was given"
    elif not all(1 <= number <= 65535 for number in (own, port) if number is not None):
        fault = "a port is from 1 to 65535"
    if fault is not None:
        raise ValueError(f"Invalid endpoint URL {shown!r}: {fault}")
    place = parts.netloc if own is not None or port is None else f"{parts.netloc}:{port}"
    return f"{parts.scheme}://{place}{parts.path.rstrip('/')}"


def _without_credentials(url: str) -> str:
    before, scheme, rest = url.partition("://")
    place, slash, path = rest.partition("/")
    user, at, host = place.rpartition("@")
    return f"{before}{scheme}{'***' if user else ''}{at}{host}{slash}{path}"
