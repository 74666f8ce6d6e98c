"""Endpoints of models: one request, tried again where that can help; and a chat that speaks OpenAI's ``/chat/completions``."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import logging
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import urlsplit

import httpx

from openenv.evaluation.agents.base import EndpointFailed

__all__ = ["ChatEndpoint", "Completion", "JsonEndpoint"]

log = logging.getLogger("openenv.evaluation.agents")

_RETRIED = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
LONGEST_PAUSE_S = 60.0


@dataclass(frozen=True, slots=True)
class Completion:
    """A model's message and the tokens that it took."""

    message: dict[str, Any]
    prompt_tokens: int
    completion_tokens: int


class JsonEndpoint:
    """Posts JSON to one URL, again where that can help. The key is shown nowhere: it is cut out of every error.

    Args:
        url: Where to post.
        headers: What goes with each request, the key among it.
        key: The key, to cut it out.
        timeout_s: How long an attempt may take.
        attempts: How often to try.
        pause_s: How long to wait before the second attempt; twice as long before each further one, at most a minute.
    """

    advice: ClassVar[Mapping[int, str]] = {
        401: "Check the API key.",
        403: "The key may not use this model.",
        404: "Check the endpoint's address and the model's name.",
    }
    """What to do about an HTTP status."""
    address_advice: ClassVar[str] = "The endpoint's address begins with http:// or https://."

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str],
        *,
        key: str | None = None,
        timeout_s: float = 120.0,
        attempts: int = 6,
        pause_s: float = 1.0,
    ) -> None:
        self._url = url
        self._shown = _without_password(url)
        self._key = key
        self._attempts = attempts
        self._pause_s = pause_s
        self._http = httpx.AsyncClient(
            headers={"Content-Type": "application/json"} | dict(headers), timeout=timeout_s, trust_env=not _is_loopback(url)
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def post(self, body: Mapping[str, Any]) -> httpx.Response:
        """The answer, whose status is below 300.

        Answers that ask for patience (408, 409, 425, 429, 5xx), timeouts and broken connections are tried again with growing
        pauses, or with the pause that the endpoint asks for. Raises `EndpointFailed` when that did not help.
        """
        content = json.dumps(body)
        failure = ""
        for attempt in range(self._attempts):
            if attempt:
                log.info("%s: trying again (%d of %d) after: %s", self._shown, attempt + 1, self._attempts, self._clean(failure))
            asked: float | None = None
            try:
                answer = await self._http.post(self._url, content=content)
            except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
                raise self.failed(str(error), hint=self.address_advice) from None
            except httpx.RequestError as error:
                failure = f"{type(error).__name__}: {error}"
            else:
                if answer.status_code < 300:
                    return answer
                failure = f"HTTP {answer.status_code}: {answer.text[:300]}"
                if answer.status_code not in _RETRIED:
                    raise self.failed(failure, hint=self.advice.get(answer.status_code))
                asked = _seconds(answer.headers.get("retry-after"))
            if attempt + 1 < self._attempts:
                await asyncio.sleep(asked if asked is not None else self._pause(attempt))
        raise self.failed(f"{self._attempts} attempts, the last one: {failure}")

    def failed(self, what: str, *, hint: str | None = None) -> EndpointFailed:
        """The error to raise, with the endpoint's address and without the key."""
        return EndpointFailed(f"{self._shown}: {self._clean(what)}", hint=hint)

    def _pause(self, attempt: int) -> float:
        longest: float = min(LONGEST_PAUSE_S, self._pause_s * 2**attempt)
        return longest * random.uniform(0.5, 1.0)

    def _clean(self, text: str) -> str:
        return text.replace(self._key, "[key]") if self._key else text


class ChatEndpoint(JsonEndpoint):
    """Asks a model, as the command line names it."""

    advice: ClassVar[Mapping[int, str]] = {
        401: "Check the API key: --api-key-env names the variable that holds it.",
        403: "The key may not use this model.",
        404: "Check --base-url and --model.",
    }
    address_advice: ClassVar[str] = "--base-url is the part before /chat/completions."

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        api_key: str | None = None,
        timeout_s: float = 120.0,
        attempts: int = 6,
        pause_s: float = 1.0,
    ) -> None:
        self.model = model
        super().__init__(
            base_url.rstrip("/") + "/chat/completions",
            {"Authorization": f"Bearer {api_key}"} if api_key else {},
            key=api_key,
            timeout_s=timeout_s,
            attempts=attempts,
            pause_s=pause_s,
        )

    def __repr__(self) -> str:
        return f"ChatEndpoint({self._shown!r}, model={self.model!r})"

    async def complete(self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]]) -> Completion:
        """Ask for the next message. Raises `EndpointFailed` as `post` does, and when the answer is no chat completion."""
        body: dict[str, Any] = {"model": self.model, "messages": list(messages)}
        if tools:
            body |= {"tools": list(tools), "tool_choice": "auto"}
        answer = await self.post(body)
        try:
            said = answer.json()
            message = said["choices"][0]["message"]
            usage = said.get("usage") or {}
            if not isinstance(message, dict):
                raise TypeError("the message is not an object")
            return Completion(message, _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens")))
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise self.failed(f"the answer is no chat completion ({error}): {answer.text[:300]}") from None


def _count(value: Any) -> int:
    return value if isinstance(value, int) and value > 0 else 0


def _seconds(text: str | None) -> float | None:
    try:
        return min(LONGEST_PAUSE_S, max(0.0, float(text))) if text else None
    except ValueError:
        return None


def _without_password(url: str) -> str:
    before, scheme, rest = url.rpartition("://")
    place, slash, path = rest.partition("/")
    return f"{before}{scheme}{place.rpartition('@')[2]}{slash}{path}"


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
