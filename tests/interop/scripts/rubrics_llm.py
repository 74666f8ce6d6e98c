"""Clients of language models: addresses, and what they send to a server of OpenAI's chat completions."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from openenv.core.llm_client import LLMClient, LLMResponse, OpenAIClient, ToolCall, create_llm_client
from tests.interop.scripts.rubrics_scores import attempt

HOST = "http://127.0.0.1"


class Deaf(LLMClient):
    """A client without a service."""

    async def complete(self, prompt: str, **kwargs: Any) -> str:
        return prompt


@contextmanager
def service(answers: list[tuple[int, Any]]) -> Iterator[tuple[int, list[Any]]]:
    """A chat service that gives these answers: its port, and what it was asked."""
    asked: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            asked.append({"path": self.path, "key": self.headers.get("authorization"), "body": body})
            status, answer = answers.pop(0)
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_port, asked
        finally:
            server.shutdown()
            thread.join()


def said(content: str | None, *calls: tuple[str, str]) -> tuple[int, Any]:
    """A chat completion."""
    message: dict[str, Any] = {"role": "assistant", "content": content}
    if calls:
        message["tool_calls"] = [
            {"id": f"t{place}", "type": "function", "function": {"name": name, "arguments": text}}
            for place, (name, text) in enumerate(calls)
        ]
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    return 200, {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}


def asks(call: Callable[[int], Any], *answers: tuple[int, Any]) -> dict[str, Any]:
    """What a client sends for a call, and what comes of it."""
    with service(list(answers)) as (port, asked):
        result = attempt(lambda: call(port))
    return {"result": result, "asked": asked}


MESSAGES: list[dict[str, Any]] = [
    {"role": "system", "content": "be brief"},
    {"role": "user", "content": "add"},
    {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"id": "t1", "type": "function", "function": {"name": "add", "arguments": "{}"}}],
    },
    {"role": "tool", "tool_call_id": "t1", "content": "2"},
]
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"], "additionalProperties": False}
TOOLS: list[dict[str, Any]] = [
    {"name": "add", "description": "Adds", "inputSchema": SCHEMA},
    {"name": "bare"},
    {"name": "snake", "description": "s", "input_schema": SCHEMA},
    {"name": "choice", "description": "c", "inputSchema": {"oneOf": [SCHEMA, {"type": "null"}]}},
    {"name": "all", "description": "l", "inputSchema": {"allOf": [{"properties": {"b": {}}, "required": ["b"]}, SCHEMA]}},
]


async def with_tools(client: LLMClient, messages: list[dict[str, Any]], tools: list[dict[str, Any]], **options: Any) -> Any:
    """The answer as a document."""
    answer = await client.complete_with_tools(messages, tools, **options)
    return {"content": answer.content, "calls": [[call.id, call.name, call.args] for call in answer.tool_calls]}


def addresses() -> dict[str, Any]:
    """How an endpoint and a port make an address."""
    given: list[tuple[Any, Any]] = [
        *(("http://h", port) for port in (80, None, 0, 70000, "80")),
        *(("http://h:9", port) for port in (None, 9, 8)),
        *((f"http://h/{path}", 8000) for path in ("", "v1", "v1/", "/")),
        *((endpoint, 1) for endpoint in ("h", "ftp://h", "", "http://", "http://u:p@h", "http://h?x=1", "http://h#f")),
        *((endpoint, None) for endpoint in ("http://h:abc", "http://h:0", "http://h:99999", "http://h:", None)),
        ("http://[::1]", 80),
        ("https://h", 443),
        ("HTTP://H", 1),
    ]
    return {f"{endpoint} {port}": attempt(lambda e=endpoint, p=port: Deaf(e, p).base_url) for endpoint, port in given}


def providers() -> dict[str, Any]:
    """Clients of hosted services, and the documents of answers."""
    found: dict[str, Any] = {}
    for provider, model, key in (("openai", "m", "k"), ("OpenAI", "m", "k"), ("google", "m", "k"), ("openai", "m", "")):
        found[f"{provider} {model} {key}"] = attempt(lambda p=provider, m=model, k=key: vars_of(create_llm_client(p, m, k)))
    calls = [ToolCall("i", "n", {"a": 1})]
    found["messages"] = [LLMResponse("c").to_message_dict(), LLMResponse("", calls).to_message_dict()]
    found["equal"] = [LLMResponse("c") == LLMResponse("c", []), ToolCall("i", "n", {}) == ToolCall("i", "n", {})]
    found["no tools"] = attempt(lambda: Deaf("http://h", 1).complete_with_tools([], []))
    return found


def vars_of(client: Any) -> Any:
    """A client's public settings."""
    names = ("endpoint", "port", "base_url", "model", "system_prompt", "temperature", "max_tokens")
    return [type(client).__name__, *(getattr(client, name) for name in names)]


def openai() -> dict[str, Any]:
    """What is sent, and what is made of the answer."""
    user = [{"role": "user", "content": "u"}]
    return {
        "plain": asks(lambda port: OpenAIClient(HOST, port, "m").complete("hey"), said("hi")),
        "settings": asks(
            lambda port: OpenAIClient(HOST, port, "m", "key", "sys", 0.3, 7).complete("hey"),
            said("hi"),
        ),
        "options": asks(
            lambda port: OpenAIClient(HOST, port, "m").complete("hey", temperature=0.9, max_tokens=3, top_p=0.2), said("hi")
        ),
        "newer models": asks(
            lambda port: OpenAIClient(HOST, port, "m", use_max_completion_tokens=True).complete("hey", max_tokens=9),
            said("hi"),
        ),
        "a path": asks(lambda port: OpenAIClient(f"{HOST}:{port}/api/x", None, "m").complete("hey"), said("hi")),
        "no content": asks(lambda port: OpenAIClient(HOST, port, "m").complete("hey"), said(None)),
        "patience": asks(
            lambda port: OpenAIClient(HOST, port, "m").complete("hey"), (500, {"e": 1}), (429, {"e": 1}), said("third")
        ),
        "an error": asks(lambda port: OpenAIClient(HOST, port, "m").complete("hey"), (400, {"error": {"message": "no"}})),
        "no choices": asks(lambda port: OpenAIClient(HOST, port, "m").complete("hey"), (200, {"id": "x", "choices": []})),
        "tools": asks(
            lambda port: with_tools(OpenAIClient(HOST, port, "m"), MESSAGES, TOOLS, temperature=0.1),
            said(None, ("add", '{"a": 2}'), ("bare", "{}")),
        ),
        "no tools": asks(lambda port: with_tools(OpenAIClient(HOST, port, "m"), user, []), said("x")),
        "system prompt": asks(lambda port: with_tools(OpenAIClient(HOST, port, "m", None, "sys"), user, []), said("x")),
        "arguments": {
            text: asks(lambda port: with_tools(OpenAIClient(HOST, port, "m"), user, TOOLS[:1]), said("x", ("add", text)))
            for text in ("{bad", "", "[1]")
        },
    }


CASES: dict[str, Callable[[], dict[str, Any]]] = {function.__name__: function for function in (addresses, providers, openai)}
