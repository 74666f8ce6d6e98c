"""The suite: who solves what, and that nothing but the task may change."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from typing import Any

import pytest

from calendar_env.scenarios import __name__ as package
from calendar_env.testing import LocalGym
from openenv.evaluation import load_suite, make_agent
from openenv.evaluation.agents.base import Task, ToolRefused
from openenv.operation import Episode, Event
from openenv.scenario import Scenario
from openenv.types import Tool
from openenv.verifiers import Evidence, grade
from openenv.verifiers.grading import Grade

SUITE = load_suite("calendar")
SCENARIOS = {scenario.id: scenario for scenario in SUITE.scenarios}
PAIRS = sorted({scenario.pair for scenario in SUITE.scenarios if scenario.pair})

EXTRA_WRITES: list[tuple[str, dict[str, Any]]] = [
    ("calendar_list_patch", {"calendarId": "primary", "colorId": "24"}),
    ("acl_insert", {"calendarId": "primary", "role": "reader", "scope": {"type": "user", "value": "eve@elsewhere.example"}}),
    ("events_quick_add", {"calendarId": "primary", "text": "Unasked for 2026-03-03 9am-10am"}),
    ("calendars_insert", {"summary": "Unasked for"}),
]
REFUSED = {name: SCENARIOS[name].solution[:1] for name in ("no-access-ask-owner", "cannot-share-so-invite")}
"""Calls of a solution that only find out that this way is closed."""


class Desk:
    """An agent's access to a world of its own, without a server."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.gym = LocalGym(seed=scenario.seed)
        for call in scenario.setup:
            self.gym.call(call.context["x-access-token"], call.tool, **call.arguments)
        self.initial = self.gym.environment.database_image()
        self.episode = Episode()
        self.tools: list[Tool] = []

    async def call(self, tool: str, arguments: dict[str, Any]) -> Any:
        context = self.gym.context(self.scenario.context["x-access-token"])
        outcome = self.gym.environment.call_tool(tool, arguments, context)
        self.episode.events.append(
            Event(
                seq=len(self.episode.events) + 1,
                op="call_tool",
                tool=outcome.name,
                arguments=arguments,
                read_only=outcome.read_only,
                success=outcome.error is None,
            )
        )
        if outcome.error is not None:
            raise ToolRefused(outcome.error.message, code=outcome.error.code, known=outcome.error.body())
        return outcome.value

    def graded(self) -> Grade:
        final = self.gym.environment.database_image()
        evidence = Evidence(self.episode, self.initial, final)
        return grade(evidence, self.scenario.verifiers, self.scenario.allowed_changes, self.scenario.ignored_changes)


async def played(scenario: Scenario, agent: str) -> Desk:
    desk = Desk(scenario)
    task = Task(prompt=scenario.task, tools=(), max_steps=scenario.max_steps, seed=scenario.seed)
    desk.episode.response = await make_agent(agent).for_scenario(scenario, SUITE).run(task, desk)  # type: ignore[arg-type]
    return desk


def test_there_are_enough_of_every_kind() -> None:
    assert package == "calendar_env.scenarios"
    assert len(SCENARIOS) >= 24
    assert all(count >= 6 for count in Counter(one.difficulty for one in SUITE.scenarios).values())
    assert {one.difficulty for one in SUITE.scenarios} == {"easy", "medium", "hard"}
    assert len(PAIRS) >= 6
    for pair in PAIRS:
        twins = {one.phrasing: one for one in SUITE.scenarios if one.pair == pair}
        assert set(twins) == {"explicit", "natural"}
        explicit, natural = twins["explicit"], twins["natural"]
        assert explicit.verifiers == natural.verifiers
        assert explicit.solution == natural.solution
        assert all(identifier in explicit.task for identifier in explicit.mentions)
        assert not any(identifier in natural.task for identifier in natural.mentions)


@pytest.mark.parametrize("name", SCENARIOS)
async def test_the_oracle_solves_it_and_the_no_op_does_not(name: str) -> None:
    solved = (await played(SCENARIOS[name], "oracle")).graded()
    assert solved.passed, [verdict.message for verdict in solved.verdicts if not verdict.passed]
    assert not (await played(SCENARIOS[name], "noop")).graded().passed


@pytest.mark.parametrize("name", [name for name, one in SCENARIOS.items() if one.pair])
async def test_the_guesser_solves_what_is_named_and_nothing_that_is_described(name: str) -> None:
    scenario = SCENARIOS[name]
    assert (await played(scenario, "first-match")).graded().passed == (scenario.phrasing == "explicit")


@pytest.mark.parametrize("extra", EXTRA_WRITES, ids=[tool for tool, _ in EXTRA_WRITES])
@pytest.mark.parametrize("name", SCENARIOS)
async def test_whoever_changes_anything_else_fails(name: str, extra: tuple[str, dict[str, Any]]) -> None:
    desk = await played(SCENARIOS[name], "oracle")
    desk.gym.call(SCENARIOS[name].context["x-access-token"], extra[0], **extra[1])
    graded = desk.graded()
    assert not graded.passed
    assert "no_collateral_changes" in [verdict.name for verdict in graded.verdicts if not verdict.passed]


@pytest.mark.parametrize("name", [name for name, one in SCENARIOS.items() if one.difficulty == "hard"])
async def test_half_of_the_work_is_not_enough(name: str) -> None:
    scenario = SCENARIOS[name]
    for left_out, call in enumerate(scenario.solution):
        desk = Desk(scenario)
        desk.episode.response = scenario.response
        for number, other in enumerate(scenario.solution):
            if number != left_out:
                with suppress(ToolRefused):
                    await desk.call(other.tool, other.arguments)
        needed = not desk.gym.environment.tools.get(call.tool).read_only and call not in REFUSED.get(name, [])
        assert desk.graded().passed != needed, call


def test_no_allowed_change_is_open_to_everything() -> None:
    for scenario in SUITE.scenarios:
        assert scenario.allowed_changes is not None, scenario.id
        for entry in scenario.allowed_changes:
            assert entry.where, scenario.id
            assert entry.columns or "update" not in entry.kinds, scenario.id


def test_guessing_an_answer_without_looking_is_not_enough() -> None:
    asked = [one for one in SUITE.scenarios if not one.allowed_changes]
    assert len(asked) >= 5
    for scenario in asked:
        desk = Desk(scenario)
        desk.episode.response = scenario.response
        assert not desk.graded().passed, scenario.id


def test_the_overviews_scenario_is_among_them() -> None:
    scenario = SCENARIOS["share-project-calendar-natural"]
    assert "Bob's project calendar" in scenario.task
    verifier = scenario.verifiers[0]
    assert (verifier.verifier_type, verifier.name) == ("database_state", "Alice_Has_Writer_Access")
