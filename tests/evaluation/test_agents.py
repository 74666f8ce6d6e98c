from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any

import pytest
from pydantic import TypeAdapter

from openenv.errors import ConfigurationError
from openenv.evaluation import Task, ToolRefused, make_agent
from openenv.evaluation.agents.first_match import first_match, identifiers, words
from openenv.evaluation.agents.sampling import sample
from openenv.scenario import Scenario, ToolCall
from openenv.types import Tool
from tests.evaluation.build import library
from tests.evaluation.toy_library import Library

TOOLS = [Tool(name=one.name, description=one.description, input_schema=one.arguments.schema) for one in Library.tools]


class Recorder:
    """A `ToolAccess` that answers from a table and writes down what was asked."""

    def __init__(self, answers: Mapping[str, Any] | None = None) -> None:
        self.answers = dict(answers or {})
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.steps_left = 99

    async def call(self, tool: str, arguments: Mapping[str, Any]) -> Any:
        self.calls.append((tool, dict(arguments)))
        answer = self.answers.get(tool)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def add_tokens(self, **counts: int) -> None:
        raise AssertionError("no model here")

    def add_malformed(self, tool: str, text: str, message: str) -> None:
        raise AssertionError("no model here")


def task(seed: int = 1, tools: list[Tool] | None = None) -> Task:
    return Task("Do it.", TOOLS if tools is None else tools, 10, seed)


def scenario(name: str) -> Scenario:
    return next(one for one in library().scenarios if one.id == name)


async def play(agent: str, name: str, env: Recorder, seed: int = 1) -> str | None:
    return await make_agent(agent).for_scenario(scenario(name), library()).run(task(seed), env)


async def test_the_oracle_plays_the_solution_whatever_comes_of_it() -> None:
    env = Recorder({"book_move": ToolRefused("no", code="NOT_FOUND", known={})})
    assert await play("oracle", "lend-in-order", env) is None
    assert [tool for tool, _ in env.calls] == ["book_move", "book_lend"]
    assert await play("oracle", "count-poems", Recorder()) == "There are 2."


async def test_the_noop_does_nothing() -> None:
    env = Recorder()
    assert await play("noop", "count-poems", env) is None
    assert env.calls == []


async def test_the_random_agent_repeats_itself_by_seed() -> None:
    async def calls(seed: int) -> list[tuple[str, dict[str, Any]]]:
        env = Recorder({"book_move": ToolRefused("no", code="NOT_FOUND", known={})})
        await play("random", "count-poems", env, seed)
        return env.calls

    assert await calls(5) == await calls(5)
    assert len({str(await calls(seed)) for seed in range(8)}) > 4


async def test_the_random_agent_stops_where_there_are_no_tools() -> None:
    assert await make_agent("random").for_scenario(scenario("count-poems"), library()).run(task(tools=[]), Recorder()) is None


def test_samples_fit_the_schemas_of_real_tools() -> None:
    dice = Random(3)
    assert len(list(Library.tools)) > 1
    for found in Library.tools:
        drawn = [sample(found.arguments.schema, dice) for _ in range(50)]
        assert [found.arguments.validate(one) for one in drawn] == drawn
        if found.arguments.names:
            assert len({str(one) for one in drawn}) > 1, found.name


def test_samples_mind_what_schemas_say() -> None:
    dice = Random(1)
    schema = TypeAdapter(dict[str, int] | list[str] | None).json_schema()
    assert all(isinstance(sample(schema, dice), dict | list | None) for _ in range(20))
    assert sample({"const": 4}, dice) == 4
    assert len(sample({"type": "array", "minItems": 10**9, "items": {"type": "null"}}, dice)) <= 22
    assert len(sample({"type": "string", "minLength": 10**9}, dice)) == 200
    looped = {"$ref": "#/$defs/a", "$defs": {"a": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/a"}}}}
    assert isinstance(sample(looped, dice), list)


def test_words_and_identifiers() -> None:
    assert words("Bob's project-calendar 2") == ["bob", "project", "calendar"]
    listing = {"items": [{"id": "bob-dev", "title": "x", "owner": {"email": "bob@x.org"}}, {"calendarId": "c1"}], "names": ["n"]}
    assert list(identifiers(listing)) == ["bob-dev", "bob@x.org", "c1", "n"]
    assert first_match("Bob's project calendar", ["ann", "bob-dev", "bob-projects"]) == "bob-dev"
    assert first_match("Carol", ["ann"]) is None


LISTING = {"items": [{"id": "science-archive"}, {"id": "science-fiction"}]}


async def test_first_match_uses_a_literal_identifier_as_it_is() -> None:
    env = Recorder()
    await play("first-match", "move-explicit", env)
    assert env.calls == [("book_move", {"book": "dune", "shelf": "science-fiction"})]


async def test_first_match_guesses_what_is_only_described() -> None:
    env = Recorder({"shelves_list": LISTING})
    await play("first-match", "move-natural", env)
    assert env.calls == [("shelves_list", {}), ("book_move", {"book": "dune", "shelf": "science-archive"})]


async def test_first_match_makes_up_what_it_does_not_find() -> None:
    env = Recorder({"shelves_list": ToolRefused("no", code="FORBIDDEN", known={})})
    await play("first-match", "move-natural", env)
    assert env.calls[-1] == ("book_move", {"book": "dune", "shelf": "the-shelf-with-the-science-novels"})


async def test_first_match_does_not_know_the_answer_after_a_wrong_guess() -> None:
    asked = scenario("count-poems").model_copy(update={"mentions": {"poems": "the shelf of science"}})
    env = Recorder({"shelves_list": LISTING, "books_count": 1})
    agent = make_agent("first-match").for_scenario(asked, library())
    assert await agent.run(task(), env) == "1"
    assert env.calls[-1] == ("books_count", {"shelf": "science-archive"})


async def test_first_match_asks_each_directory_once_and_replaces_inside_texts() -> None:
    asked = scenario("lend-in-order")
    asked.mentions = {"odes": "the archive thing", "science-fiction": "science novels"}
    asked.solution = [ToolCall(tool="book_move", arguments={"list": ["user:odes", "odes-2", {"k": "odes"}]})]
    env = Recorder({"shelves_list": LISTING})
    await make_agent("first-match").for_scenario(asked, library()).run(task(), env)
    assert [tool for tool, _ in env.calls] == ["shelves_list", "book_move"]
    assert env.calls[1][1] == {"list": ["user:science-archive", "odes-2", {"k": "science-archive"}]}


async def test_custom_agents_by_module_and_attribute() -> None:
    env = Recorder({"books_count": 2})
    factory = make_agent("tests.evaluation.toy_agents:Counter")
    assert factory.name == "counter"
    agent = factory.for_scenario(scenario("count-poems"), library())
    assert await agent.run(task(), env) == "I count 2."
    assert agent is not factory.for_scenario(scenario("count-poems"), library())
    factory = make_agent("tests.evaluation.toy_agents:breaker")
    assert factory.name == "breaker"
    assert await factory.for_scenario(scenario("count-poems"), library()).run(task(), env) is None
    assert make_agent("openenv.evaluation.agents.scripted:OracleFactory").name == "oracle"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("orcale", "No agent is called 'orcale'"),
        ("no_such_module:Agent", "cannot be imported"),
        ("tests.evaluation.toy_agents:Missing", "has no 'Missing'"),
        ("tests.evaluation.toy_agents:not_an_agent", "is no agent"),
        ("openai", "needs a model"),
    ],
)
def test_names_that_are_no_agents(name: str, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        make_agent(name)


def test_a_missing_key_is_told_by_the_name_of_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with pytest.raises(ConfigurationError, match="OPENAI_API_KEY holds no API key"):
        make_agent("openai", model="m")
    with pytest.raises(ConfigurationError, match="MY_KEY holds no API key"):
        make_agent("openai", model="m", base_url="http://localhost:1/v1", api_key_env="MY_KEY")
