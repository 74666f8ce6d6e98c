"""Clients of language models, against a service on 127.0.0.1 that notes what it is asked."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from openenv.core._llm_wire import anthropic_messages, arguments_of, object_schema
from openenv.core.llm_client import (
    AnthropicClient,
    LLMClient,
    LLMResponse,
    OpenAIClient,
    ToolCall,
    create_llm_client,
)
from openenv.core.rubrics import LLMJudge, Sequential
from openenv.evaluation.agents import EndpointFailed

HOST = "http://127.0.0.1"
KEY = "sk-very-secret"


class Service:
    """Gives the answers that it was told to give, and notes the requests."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, Any]] = []
        self.paths: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.bodies: list[dict[str, Any]] = []
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                service.paths.append(self.path)
                service.headers.append({name.lower(): value for name, value in self.headers.items()})
                service.bodies.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
                status, answer = service.answers.pop(0)
                content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("retry-after", "0")
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_port
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def says(self, answer: Any, status: int = 200) -> None:
        self.answers.append((status, answer))

    def stop(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def service() -> Iterator[Service]:
    made = Service()
    yield made
    made.stop()


def completion(content: str | None, *calls: tuple[str, str]) -> dict[str, Any]:
    called = [
        {"id": f"call_{place}", "type": "function", "function": {"name": name, "arguments": text}}
        for place, (name, text) in enumerate(calls)
    ]
    return {"choices": [{"message": {"role": "assistant", "content": content, "tool_calls": called or None}}]}


def blocks(*content: dict[str, Any]) -> dict[str, Any]:
    return {"type": "message", "role": "assistant", "content": list(content)}


def text(said: str) -> dict[str, Any]:
    return {"type": "text", "text": said}


SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
TOOLS: list[dict[str, Any]] = [
    {"name": "add", "description": "Adds", "inputSchema": SCHEMA},
    {"name": "bare", "description": None},
]
BARE = {"type": "object", "properties": {}, "required": []}
ASKED: list[dict[str, Any]] = [{"role": "user", "content": "add"}]
TALK: list[dict[str, Any]] = [
    {"role": "system", "content": "be brief"},
    *ASKED,
    {
        "role": "assistant",
        "content": "I add",
        "tool_calls": [{"id": "t1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}],
    },
    {"role": "tool", "tool_call_id": "t1", "content": "2"},
    {"role": "tool", "tool_call_id": "t2", "content": "3"},
    {"role": "user", "content": "on"},
]


class TestOpenAI:
    """What goes to ``/chat/completions``, and what comes back."""

    async def test_a_prompt(self, service: Service) -> None:
        service.says(completion("hi"))
        client = OpenAIClient(HOST, service.port, "tiny", KEY, system_prompt="be brief", temperature=0.3, max_tokens=7)
        assert await client.complete("hey", max_tokens=9) == "hi"
        assert service.paths == ["/v1/chat/completions"]
        assert service.headers[0]["authorization"] == f"Bearer {KEY}"
        assert service.bodies == [
            {
                "model": "tiny",
                "messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hey"}],
                "max_tokens": 9,
                "temperature": 0.3,
            }
        ]

    async def test_a_reasoning_model_s_limit_has_another_name(self, service: Service) -> None:
        service.says(completion("hi"))
        client = OpenAIClient(f"{HOST}:{service.port}/api/x", None, "tiny", use_max_completion_tokens=True)
        assert await client.complete("hey", temperature=0.5) == "hi"
        assert service.paths == ["/api/x/chat/completions"]
        assert service.bodies[0]["max_completion_tokens"] == 256
        assert service.bodies[0].keys() == {"model", "messages", "max_completion_tokens"}

    async def test_tools(self, service: Service) -> None:
        service.says(completion(None, ("add", '{"a": 2}'), ("bare", "")))
        client = OpenAIClient(HOST, service.port, "tiny", system_prompt="not said: there is one")
        answer = await client.complete_with_tools(TALK, TOOLS, temperature=0.1)
        assert answer == LLMResponse("", [ToolCall("call_0", "add", {"a": 2}), ToolCall("call_1", "bare", {})])
        assert service.bodies[0]["messages"] == TALK
        assert service.bodies[0]["tools"] == [
            {"type": "function", "function": {"name": "add", "description": "Adds", "parameters": SCHEMA}},
            {"type": "function", "function": {"name": "bare", "description": "", "parameters": BARE}},
        ]

    async def test_the_system_prompt_heads_a_conversation_with_tools(self, service: Service) -> None:
        service.says(completion("ok"))
        await OpenAIClient(HOST, service.port, "tiny", system_prompt="be brief").complete_with_tools(ASKED, [])
        assert service.bodies[0]["messages"] == [{"role": "system", "content": "be brief"}, *ASKED]
        assert "tools" not in service.bodies[0]

    @pytest.mark.parametrize(("arguments", "fault"), [("{bad", "are not JSON"), ("[1]", "are no object")])
    async def test_arguments_that_are_none(self, service: Service, arguments: str, fault: str) -> None:
        service.says(completion(None, ("add", arguments)))
        with pytest.raises(ValueError, match=f"'add' {fault}"):
            await OpenAIClient(HOST, service.port, "tiny").complete_with_tools(ASKED, TOOLS)


class TestAnthropic:
    """What goes to ``/v1/messages``, and what comes back."""

    async def test_a_prompt(self, service: Service) -> None:
        service.says(blocks({"type": "thinking", "thinking": "hm"}, text("hi"), text(" you")))
        client = AnthropicClient(HOST, service.port, "tiny", KEY, "be brief", max_tokens=7)
        assert await client.complete("hey", temperature=0.5) == "hi you"
        assert service.paths == ["/v1/messages"]
        assert service.headers[0]["x-api-key"] == KEY
        assert service.headers[0]["anthropic-version"] == "2023-06-01"
        assert service.bodies == [
            {
                "model": "tiny",
                "system": "be brief",
                "messages": [{"role": "user", "content": "hey"}],
                "max_tokens": 7,
                "temperature": 0.5,
            }
        ]

    async def test_tools(self, service: Service) -> None:
        service.says(blocks(text("I call"), {"type": "tool_use", "id": "t", "name": "add", "input": {"a": 3}}))
        answer = await AnthropicClient(f"{HOST}:{service.port}/v1", None, "tiny").complete_with_tools(TALK, TOOLS)
        assert answer == LLMResponse("I call", [ToolCall("t", "add", {"a": 3})])
        assert service.paths == ["/v1/messages"]
        assert service.bodies[0]["system"] == "be brief"
        assert service.bodies[0]["messages"] == [
            *ASKED,
            {
                "role": "assistant",
                "content": [text("I add"), {"type": "tool_use", "id": "t1", "name": "add", "input": {"a": 1}}],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "t1", "content": "2"},
                    {"type": "tool_result", "tool_use_id": "t2", "content": "3"},
                ],
            },
            {"role": "user", "content": "on"},
        ]
        assert service.bodies[0]["tools"] == [
            {"name": "add", "description": "Adds", "input_schema": SCHEMA},
            {"name": "bare", "description": "", "input_schema": BARE},
        ]


MAKERS = [OpenAIClient, AnthropicClient]


@pytest.mark.parametrize("make", MAKERS)
async def test_patience(service: Service, make: type[OpenAIClient | AnthropicClient]) -> None:
    service.says({"e": 1}, 500)
    service.says({"e": 1}, 429)
    service.says(completion("third") | blocks(text("third")))
    assert await make(HOST, service.port, "tiny").complete("hey") == "third"
    assert len(service.bodies) == 3


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize(
    ("status", "answer", "fault"),
    [
        (401, {"error": f"{KEY} is wrong"}, r"HTTP 401: .*\[key\] is wrong"),
        (400, {"error": "no"}, "HTTP 400"),
        (200, b"<html>", "the answer is not JSON"),
        (200, {"choices": [], "content": 3}, "the answer is no"),
        (200, [], "the answer is no"),
    ],
)
async def test_a_service_that_fails(
    service: Service, make: type[OpenAIClient | AnthropicClient], status: int, answer: Any, fault: str
) -> None:
    service.says(answer, status)
    with pytest.raises(EndpointFailed, match=fault) as raised:
        await make(HOST, service.port, "tiny", KEY).complete("hey")
    assert KEY not in str(raised.value)
    assert len(service.bodies) == 1


def test_a_client_is_bound_to_no_event_loop(service: Service) -> None:
    client = OpenAIClient(HOST, service.port, "tiny")
    for _ in range(2):
        service.says(completion("hi"))
        assert asyncio.run(client.complete("hey")) == "hi"


async def test_a_judge_asks_it(service: Service) -> None:
    service.says(completion("I say 0.25."))
    rubric = Sequential(LLMJudge("{action}: {observation}?", OpenAIClient(HOST, service.port, "tiny")))
    assert await rubric("go", "north") == 0.25
    assert service.bodies[0]["messages"] == [{"role": "user", "content": "go: north?"}]


class Deaf(LLMClient):
    """A client without a service."""

    async def complete(self, prompt: str, **kwargs: Any) -> str:
        return prompt


@pytest.mark.parametrize(
    ("endpoint", "port", "address"),
    [
        ("http://h", 80, "http://h:80"),
        ("http://h/", None, "http://h"),
        ("http://h:9", 9, "http://h:9"),
        ("http://h/v1/", 8000, "http://h:8000/v1"),
        ("http://[::1]", 80, "http://[::1]:80"),
        ("HTTPS://h", 443, "https://h:443"),
    ],
)
def test_addresses(endpoint: str, port: int | None, address: str) -> None:
    assert Deaf(endpoint, port).base_url == address


@pytest.mark.parametrize(
    ("endpoint", "port", "fault"),
    [
        ("h", 1, "must begin with http://"),
        ("http://", 1, "names no host"),
        ("http://h:9", 8, "its port is 9, and port=8"),
        ("http://h", 0, "from 1 to 65535"),
        ("http://h:", 1, "its port is empty"),
        ("http://h:x", None, "Port could not"),
        ("http://h?x=1", 1, "no query"),
        ("http://user:word@h", 1, r"\*\*\*@h.*credentials"),
    ],
)
def test_what_is_no_address(endpoint: str, port: int | None, fault: str) -> None:
    client = Deaf(endpoint, port)
    with pytest.raises(ValueError, match=fault) as raised:
        _ = client.base_url
    assert "word" not in str(raised.value)
    with pytest.raises(ValueError, match=fault):
        OpenAIClient(endpoint, port, "tiny")


@pytest.mark.parametrize(("endpoint", "port"), [(None, 1), ("http://h", "80"), ("http://h", True)])
def test_an_address_of_the_wrong_type(endpoint: Any, port: Any) -> None:
    with pytest.raises(TypeError, match="must be a"):
        _ = Deaf(endpoint, port).base_url


async def test_a_client_without_tools_says_so() -> None:
    with pytest.raises(NotImplementedError, match="Deaf"):
        await Deaf("http://h", 1).complete_with_tools([], [])


def test_hosted_services() -> None:
    client = create_llm_client("OpenAI", "gpt-4o", KEY, system_prompt="s")
    assert isinstance(client, OpenAIClient)
    assert (client.base_url, client.max_tokens, client.use_max_completion_tokens) == ("https://api.openai.com:443", 4096, False)
    reasoning = create_llm_client("openai", "o3-mini", KEY)
    assert isinstance(reasoning, OpenAIClient)
    assert reasoning.use_max_completion_tokens
    assert isinstance(create_llm_client("anthropic", "claude", KEY), AnthropicClient)
    with pytest.raises(ValueError, match=r"'google'\. Supported: "):
        create_llm_client("google", "m", KEY)
    with pytest.raises(ValueError, match="api_key is empty"):
        create_llm_client("openai", "m", "")


def test_an_answer_as_a_message() -> None:
    assert LLMResponse("c").to_message_dict() == {"role": "assistant", "content": "c"}
    with_call = LLMResponse("", [ToolCall("i", "add", {"a": 1})]).to_message_dict()
    assert with_call["tool_calls"] == [{"id": "i", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}]
    assert anthropic_messages([with_call])[1][0]["content"] == [{"type": "tool_use", "id": "i", "name": "add", "input": {"a": 1}}]


A = {"type": "object", "properties": {"a": {}}, "required": ["a"]}
B = {"properties": {"b": {}}, "required": ["b"]}
BOTH = {"type": "object", "properties": {"a": {}, "b": {}}, "required": ["a", "b"]}


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        (None, BARE),
        ({}, {"type": "object", "properties": {}}),
        (A, A),
        ({"oneOf": [{"type": "null"}, A, B]}, A),
        ({"anyOf": [{"type": "string"}]}, {"type": "object", "properties": {}}),
        ({"allOf": [A, B, A]}, BOTH),
        ({**A, "anyOf": [B]}, BOTH),
        ({"$ref": "#/$defs/A", "$defs": {"A": A}}, {"$defs": {"A": A}, **A}),
        ({"allOf": [{"$ref": "#/$defs/A"}, {"$ref": "#/$defs/no"}], "$defs": {"A": A}}, {"$defs": {"A": A}, **A}),
        ({"type": "string"}, {"type": "string"}),
    ],
)
def test_schemas_without_alternatives_at_their_top(schema: Any, expected: dict[str, Any]) -> None:
    assert object_schema(schema) == expected


def test_messages_of_unknown_kind_are_refused() -> None:
    with pytest.raises(ValueError, match="not 'function'"):
        anthropic_messages([{"role": "function", "content": "x"}])


def test_system_messages_are_joined() -> None:
    talk: list[Any] = [
        {"role": "system", "content": "a"},
        {"role": "developer", "content": [{"type": "text", "text": "b"}]},
        {"role": "user", "content": None},
    ]
    assert anthropic_messages(talk) == ("a\n\nb", [{"role": "user", "content": ""}])


def test_arguments() -> None:
    assert arguments_of("t", None) == arguments_of("t", " ") == arguments_of("t", {}) == {}
