from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from openenv.evaluation import Task, ToolRefused
from openenv.evaluation.agents import EndpointFailed, StepLimitReached
from openenv.evaluation.agents.chat import ChatAgent
from openenv.evaluation.agents.endpoint import ChatEndpoint
from openenv.types import Tool
from tests.evaluation.chat_endpoint import Endpoint, message

KEY = "sk-very-secret"
TOOLS = [
    Tool(name="book.move", description="Put a book elsewhere", input_schema={"type": "object", "properties": {}}),
    Tool(name="book_move", description="Another", input_schema={"type": "object", "properties": {}}),
]


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    made = Endpoint()
    try:
        yield made
    finally:
        made.stop()


class Hands:
    """A `ToolAccess` with one answer for every tool."""

    def __init__(self, answer: Callable[[str, Mapping[str, Any]], Any] = lambda tool, arguments: {"ok": True}) -> None:
        self.answer = answer
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.tokens: dict[str, int] = {}
        self.malformed: list[str] = []
        self.steps_left = 5

    async def call(self, tool: str, arguments: Mapping[str, Any]) -> Any:
        self.calls.append((tool, dict(arguments)))
        return self.answer(tool, arguments)

    def add_tokens(self, **counts: int) -> None:
        for name, count in counts.items():
            self.tokens[name] = self.tokens.get(name, 0) + count

    def add_malformed(self, tool: str, text: str, message: str) -> None:
        self.malformed.append(tool)


@asynccontextmanager
async def model(endpoint: Endpoint, **known: Any) -> AsyncIterator[ChatEndpoint]:
    made = ChatEndpoint(endpoint.url, "tiny", api_key=KEY, **({"pause_s": 0.001, "attempts": 3} | known))
    try:
        yield made
    finally:
        await made.aclose()


async def converse(endpoint: Endpoint, hands: Hands, max_steps: int = 5, **known: Any) -> str | None:
    async with model(endpoint, **known) as made:
        return await ChatAgent(made).run(Task("Move dune.", TOOLS, max_steps, 1), hands)


async def test_it_calls_tools_until_the_model_answers(endpoint: Endpoint) -> None:
    endpoint.says(message(None, ("book_move", '{"book": "dune"}')))
    endpoint.says(message("Moved.", usage=(20, 5)))
    hands = Hands()
    assert await converse(endpoint, hands) == "Moved."
    assert hands.calls == [("book.move", {"book": "dune"})]
    assert hands.tokens == {"prompt": 30, "completion": 8}
    first, second = endpoint.asked
    assert first["model"] == "tiny"
    assert first["tool_choice"] == "auto"
    assert [one["role"] for one in first["messages"]] == ["system", "user"]
    assert first["messages"][1]["content"] == "Move dune."
    assert first["tools"][0] == {
        "type": "function",
        "function": {"name": "book_move", "description": "Put a book elsewhere", "parameters": TOOLS[0].input_schema},
    }
    assert first["tools"][1]["function"]["name"] == "book_move_2"
    assert second["messages"][2]["tool_calls"][0]["id"] == "call_0"
    assert second["messages"][3] == {"role": "tool", "tool_call_id": "call_0", "content": '{"ok": true}'}
    assert endpoint.keys == [f"Bearer {KEY}"] * 2


async def test_parallel_calls_are_all_answered_in_order(endpoint: Endpoint) -> None:
    endpoint.says(message(None, ("book_move", '{"n": 1}'), ("book_move_2", '{"n": 2}')))
    hands = Hands(lambda tool, arguments: f"{tool} {arguments['n']}")
    await converse(endpoint, hands)
    assert [(one["tool_call_id"], one["content"]) for one in endpoint.asked[1]["messages"][3:]] == [
        ("call_0", "book.move 1"),
        ("call_1", "book_move 2"),
    ]


async def test_a_tools_error_goes_back_with_all_that_helps(endpoint: Endpoint) -> None:
    known = {"code": "INVALID_ARGUMENTS", "message": "no", "field": "shelf", "hint": "List them.", "example": {"shelf": "poems"}}

    def refuse(tool: str, arguments: Mapping[str, Any]) -> Any:
        raise ToolRefused("no", code="INVALID_ARGUMENTS", known=known)

    endpoint.says(message(None, ("book_move", "{}")))
    await converse(endpoint, Hands(refuse))
    assert json.loads(endpoint.asked[1]["messages"][3]["content"]) == {"error": known}


@pytest.mark.parametrize("text", ['{"book": ', "[1]", '"dune"', "nonsense"])
async def test_malformed_arguments_go_back_as_an_error(endpoint: Endpoint, text: str) -> None:
    endpoint.says(message(None, ("book_move", text)))
    hands = Hands()
    assert await converse(endpoint, hands) == "done"
    assert hands.calls == []
    assert hands.malformed == ["book.move"]
    told = json.loads(endpoint.asked[1]["messages"][3]["content"])["error"]
    assert told["code"] == "INVALID_JSON"
    assert "JSON object" in told["hint"]


async def test_the_step_limit_ends_it_with_what_was_said_last(endpoint: Endpoint) -> None:
    def limit(tool: str, arguments: Mapping[str, Any]) -> Any:
        raise StepLimitReached("no more")

    endpoint.says(message("I try.", ("book_move", "{}")))
    assert await converse(endpoint, Hands(limit)) == "I try."


async def test_a_model_that_never_stops_is_stopped(endpoint: Endpoint) -> None:
    for _ in range(20):
        endpoint.says(message("more", ("book_move", "{")))
    assert await converse(endpoint, Hands(), max_steps=2) == "more"
    assert len(endpoint.asked) == 6


async def test_it_tries_again_when_asked_to_wait_and_when_the_line_breaks(endpoint: Endpoint) -> None:
    endpoint.says({"error": "slow down"}, 429, retry_after="0")
    endpoint.says(b"", 0)
    assert await converse(endpoint, Hands()) == "done"
    assert len(endpoint.asked) == 3


async def test_it_gives_up_after_some_attempts_and_keeps_the_key_to_itself(
    endpoint: Endpoint, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    for _ in range(3):
        endpoint.says({"error": f"overloaded, {KEY}"}, 503)
    with pytest.raises(EndpointFailed, match=r"3 attempts, the last one: HTTP 503: .*overloaded, \[key\]") as raised:
        await converse(endpoint, Hands())
    assert KEY not in str(raised.value)
    assert KEY not in caplog.text
    made = ChatEndpoint("https://user:word@models.example/v1", "tiny", api_key=KEY)
    assert KEY not in repr(made)
    assert "word" not in repr(made)
    await made.aclose()


async def test_what_cannot_get_better_is_not_tried_again(endpoint: Endpoint) -> None:
    endpoint.says({"error": f"bad key {KEY}"}, 401)
    with pytest.raises(EndpointFailed, match="HTTP 401") as raised:
        await converse(endpoint, Hands())
    assert len(endpoint.asked) == 1
    assert raised.value.hint is not None
    assert KEY not in str(raised.value)


@pytest.mark.parametrize("body", [b"<html>", {"choices": []}, {"choices": [{"message": "text"}]}, []])
async def test_an_answer_that_is_no_completion_is_the_endpoints_failure(endpoint: Endpoint, body: Any) -> None:
    endpoint.says(body)
    with pytest.raises(EndpointFailed, match="no chat completion"):
        await converse(endpoint, Hands())


async def test_nobody_there(endpoint: Endpoint) -> None:
    async with model(endpoint, attempts=2) as made:
        endpoint.server.socket.close()
        made._url = "http://127.0.0.1:9/v1/chat/completions"
        with pytest.raises(EndpointFailed, match="2 attempts, the last one: ConnectError"):
            await made.complete([], [])


async def test_lone_surrogates_from_a_model_are_sent_back_unharmed(endpoint: Endpoint) -> None:
    said = message("\ud800", ("book_move", "{}"))
    endpoint.says(said)
    assert await converse(endpoint, Hands()) == "done"
    assert endpoint.asked[1]["messages"][2]["content"] == "\ud800"
