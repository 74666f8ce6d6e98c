"""The runner against real server processes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from openenv.errors import ConfigurationError, ConnectionFailed
from openenv.evaluation import (
    RunPlan,
    RunResults,
    TrialResult,
    choose_scenarios,
    make_agent,
    read_results,
    rescore,
    run_evaluation,
    summarize,
)
from openenv.evaluation.files import write_reports
from openenv.scenario import Suite
from tests.evaluation.build import FOLDER, library
from tests.support.processes import Server, Servers

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def server(module_serve: Servers) -> Server:
    return module_serve("toy_library:app", cwd=FOLDER)


def plan(*agents: str, suite: Suite | None = None, only: Sequence[str] = (), **known: Any) -> RunPlan:
    suite = suite or library()
    return RunPlan(suite, [make_agent(name) for name in agents], choose_scenarios(suite, only), **known)


def toy(name: str) -> str:
    return f"tests.evaluation.toy_agents:{name}"


def outcomes(run: RunResults, agent: str) -> dict[str, bool | None]:
    return {trial.scenario: trial.passed for trial in run.trials if trial.agent == agent}


async def sessions(url: str) -> list[Any]:
    async with httpx.AsyncClient(trust_env=False) as http:
        found: list[Any] = (await http.get(f"{url}/sessions")).json()["sessions"]
        return found


async def until_acting(url: str) -> None:
    """Wait until an agent holds a session."""
    for _ in range(500):
        if any(one["attached"] for one in await sessions(url)):
            return
        await asyncio.sleep(0.02)
    raise AssertionError("no agent ever held a session")


async def until_closed(url: str) -> None:
    """Wait until no session is left; one whose socket went away in the middle of a step ends with that step."""
    for _ in range(500):
        if not await sessions(url):
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"sessions were left behind: {await sessions(url)}")


async def test_several_agents_in_one_run(server: Server, tmp_path: Path) -> None:
    heard: list[TrialResult] = []
    run = await run_evaluation(plan("oracle", "noop", "first-match", toy("Counter")), server.url, tmp_path, heard.append)
    assert outcomes(run, "oracle") == dict.fromkeys(outcomes(run, "oracle"), True)
    assert outcomes(run, "noop") == dict.fromkeys(outcomes(run, "noop"), False)
    assert outcomes(run, "first-match") == {
        "move-explicit": True,
        "move-natural": False,
        "lend-in-order": True,
        "count-poems": True,
    }
    assert outcomes(run, "counter")["count-poems"] is True
    assert len(heard) == len(run.trials) == 16
    await until_closed(server.url)

    again = read_results(tmp_path / "results.jsonl")
    assert again.header == run.header
    assert list(again.trials) == list(run.trials)
    assert again.header.server["read_only_tools"] == ["books_count", "nap", "shelves_list"]


async def test_every_operation_its_outcome_and_both_states_are_kept(server: Server, tmp_path: Path) -> None:
    run = await run_evaluation(plan("oracle", only=["lend-*"]), server.url, tmp_path)
    (trial,) = run.trials
    assert [(event["tool"], event["success"]) for event in trial.events] == [("book_move", True), ("book_lend", True)]
    assert trial.events[0]["arguments"] == {"book": "odes", "shelf": "science-fiction"}
    assert [verdict["name"] for verdict in trial.verdicts] == ["Odes_Lent", "no_collateral_changes"]
    assert (trial.steps, trial.reward, trial.stop) == (2, 1.0, "answered")
    kept = {path.name for path in (tmp_path / "states").iterdir()}
    assert kept == {f"{trial.initial}.sqlite.gz", f"{trial.final}.sqlite.gz"}
    assert set(trial.seconds) == {"setup", "agent", "environment", "grading", "total"}


async def test_a_context_that_is_wrong_is_seen_in_the_calls(server: Server, tmp_path: Path) -> None:
    suite = library()
    suite.scenarios[2].context = {}
    run = await run_evaluation(plan("oracle", suite=suite, only=["lend-*"]), server.url, tmp_path)
    (trial,) = run.trials
    assert trial.passed is False
    assert trial.events[1]["error"]["code"] == "UNAUTHENTICATED"
    assert summarize(run).agents[0].errors.trials["other"] == 1


async def test_an_agent_that_raises_has_failed_and_the_run_goes_on(server: Server, tmp_path: Path) -> None:
    run = await run_evaluation(plan(toy("Crasher"), "oracle", only=["move-explicit"]), server.url, tmp_path)
    crashed, solved = run.trials if run.trials[0].agent == "Crasher" else reversed(run.trials)
    assert (crashed.status, crashed.passed, crashed.reward) == ("agent_error", False, 0.0)
    assert crashed.error == {"code": "KeyError", "message": "'a careless agent'"}
    assert [event["tool"] for event in crashed.events] == ["book_move"]
    assert solved.passed
    summary = summarize(run)
    assert (summary.agents[0].success.total, summary.not_scored) == (1, 0)


async def test_a_tool_that_breaks_is_the_environments_failure(server: Server, tmp_path: Path) -> None:
    run = await run_evaluation(plan(toy("breaker"), only=["count-poems"]), server.url, tmp_path)
    (trial,) = run.trials
    assert (trial.status, trial.passed, trial.reward) == ("environment_error", None, None)
    assert trial.error is not None
    assert trial.error["tool"] == "ladder_break"
    assert summarize(run).agents[0].success.value is None


async def test_a_verifier_that_cannot_decide_is_no_failure_of_the_agent(server: Server, tmp_path: Path) -> None:
    suite = library()
    suite.scenarios[0].verifiers[0].validation_config["query"] = "DELETE FROM books"
    run = await run_evaluation(plan("oracle", suite=suite, only=["move-explicit"]), server.url, tmp_path)
    (trial,) = run.trials
    assert trial.status == "environment_error"
    assert trial.error is not None
    assert trial.error["code"] == "QUERY_REFUSED"


async def test_a_scenario_whose_setup_fails_is_no_failure_of_the_agent(server: Server, tmp_path: Path) -> None:
    suite = library()
    suite.scenarios[2].setup[0].arguments["shelf"] = "cellar"
    run = await run_evaluation(plan("oracle", suite=suite, only=["lend-*"]), server.url, tmp_path)
    (trial,) = run.trials
    assert (trial.status, trial.passed) == ("environment_error", None)
    await until_closed(server.url)


async def test_an_argument_named_self_reaches_the_server(server: Server, tmp_path: Path) -> None:
    run = await run_evaluation(plan(toy("selfish"), only=["count-poems"]), server.url, tmp_path)
    (trial,) = run.trials
    assert (trial.status, trial.response) == ("scored", "INVALID_ARGUMENTS")


async def test_the_step_limit_stops_an_agent_that_does_not(server: Server, tmp_path: Path) -> None:
    run = await run_evaluation(plan(toy("Wanderer"), only=["count-poems"]), server.url, tmp_path)
    (trial,) = run.trials
    assert (trial.status, trial.stop, trial.steps, trial.passed) == ("scored", "step_limit", 3, False)


async def test_the_time_limit_stops_an_agent_and_what_it_left_is_graded(server: Server, tmp_path: Path) -> None:
    suite = library()
    suite.scenarios[0].max_steps = 100
    # A call may take half of it, and naps take 0.2 s.
    run = await run_evaluation(plan(toy("napper"), suite=suite, only=["move-explicit"], timeout_s=3.0), server.url, tmp_path)
    (trial,) = run.trials
    assert (trial.status, trial.stop, trial.passed) == ("scored", "time_limit", False)
    assert summarize(run).agents[0].errors.trials["other"] == 1
    await until_closed(server.url)


async def test_a_call_that_never_ends_is_not_the_agents_failure(serve: Servers, tmp_path: Path) -> None:
    drowsy = serve("toy_library:drowsy_app", cwd=FOLDER)
    run = await run_evaluation(plan(toy("sleeper"), only=["move-explicit"], timeout_s=1.0), drowsy.url, tmp_path)
    (trial,) = run.trials
    assert (trial.status, trial.passed) == ("infrastructure_error", None)
    assert trial.error is not None
    assert trial.error["code"] == "DEADLINE_EXCEEDED"


async def test_seeds_repeat_a_run(server: Server, tmp_path: Path) -> None:
    def calls(run: RunResults) -> dict[tuple[str, int], list[tuple[str, Any]]]:
        return {(one.scenario, one.trial): [(event["tool"], event["arguments"]) for event in one.events] for one in run.trials}

    first = await run_evaluation(plan("random", only=["count-*"], trials=3, seed=1, parallel=3), server.url, tmp_path / "a")
    second = await run_evaluation(plan("random", only=["count-*"], trials=3, seed=1, parallel=1), server.url, tmp_path / "b")
    other = await run_evaluation(plan("random", only=["count-*"], trials=3, seed=2), server.url, tmp_path / "c")
    assert calls(first) == calls(second) != calls(other)


async def test_a_full_server_is_waited_for(serve: Servers, tmp_path: Path) -> None:
    small = serve("toy_library:small_app", cwd=FOLDER)
    run = await run_evaluation(plan("oracle", only=["move-*"], parallel=2), small.url, tmp_path)
    assert [trial.passed for trial in run.trials] == [True, True]


async def test_a_server_that_dies_makes_infrastructure_errors_and_no_zeros(serve: Servers, tmp_path: Path) -> None:
    mortal = serve("toy_library:app", cwd=FOLDER)

    def kill_after(result: TrialResult) -> None:
        if result.agent == "oracle" and result.scenario == "count-poems":
            mortal.kill()

    run = await run_evaluation(plan("oracle", toy("napper"), parallel=1), mortal.url, tmp_path, kill_after)
    lost = [trial for trial in run.trials if trial.agent == "napper"]
    assert [(trial.status, trial.passed, trial.reward) for trial in lost] == [("infrastructure_error", None, None)] * 4
    summary = summarize(read_results(tmp_path / "results.jsonl"))
    oracle, napper = summary.agents
    assert (oracle.success.passed, oracle.success.total) == (4, 4)
    assert (napper.success.value, napper.mean_reward, napper.not_scored) == (None, None, 4)


async def test_a_server_that_dies_in_the_middle_of_a_call(serve: Servers, tmp_path: Path) -> None:
    mortal = serve("toy_library:app", cwd=FOLDER)
    running = asyncio.create_task(run_evaluation(plan(toy("sleeper"), only=["move-*"]), mortal.url, tmp_path))
    await until_acting(mortal.url)
    mortal.kill()
    run = await running
    assert {trial.status for trial in run.trials} == {"infrastructure_error"}


async def test_cancelling_closes_sessions_and_keeps_what_there_is(server: Server, tmp_path: Path) -> None:
    first = asyncio.Event()
    running = asyncio.create_task(
        run_evaluation(plan("noop", toy("napper"), parallel=2), server.url, tmp_path, lambda _: first.set())
    )
    await first.wait()
    await until_acting(server.url)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await until_closed(server.url)
    kept = read_results(tmp_path / "results.jsonl")
    assert {"scored", "cancelled"} >= {trial.status for trial in kept.trials}
    assert any(trial.status == "cancelled" for trial in kept.trials)
    summary = summarize(kept)
    assert summary.finished < summary.planned


async def test_nobody_there(tmp_path: Path, free_port: int) -> None:
    with pytest.raises(ConnectionFailed, match="No server answers"):
        await run_evaluation(plan("noop"), f"http://127.0.0.1:{free_port}", tmp_path)
    assert not (tmp_path / "results.jsonl").exists()


def test_scenarios_are_chosen_by_patterns() -> None:
    suite = library()
    assert [one.id for one in choose_scenarios(suite, ["count-*", "move-n*"])] == ["move-natural", "count-poems"]
    with pytest.raises(ConfigurationError, match="matches 'mvoe'"):
        choose_scenarios(suite, ["mvoe"])


async def test_scoring_again_gives_the_same_scores(server: Server, tmp_path: Path) -> None:
    agents = ("oracle", "noop", "first-match", "random", toy("Crasher"), toy("breaker"))
    await run_evaluation(plan(*agents, trials=2), server.url, tmp_path)
    before = read_results(tmp_path / "results.jsonl")
    done = rescore(tmp_path / "results.jsonl")
    assert done.changed == []
    assert list(done.run.trials) == list(before.trials)
    assert read_results(done.path).trials == done.run.trials
    assert done.run.header.rescored is not None
    assert summarize(done.run).agents == summarize(before).agents


async def test_scoring_again_with_other_verifiers_and_rewards(server: Server, tmp_path: Path) -> None:
    await run_evaluation(plan("oracle", "noop", only=["move-explicit"]), server.url, tmp_path)
    results = tmp_path / "results.jsonl"
    stricter = library()
    stricter.scenarios[0].allowed_changes = []
    assert [(one.agent, one.passed) for one in rescore(results, suite=stricter).changed] == [("oracle", False)]
    other = library()
    stayed = "SELECT COUNT(*) FROM books WHERE shelf = 'poems' AND id = 'dune'"
    other.scenarios[0].verifiers[0].validation_config["query"] = stayed
    by_agent = {one.agent: one.passed for one in rescore(results, suite=other).run.trials}
    assert by_agent == {"oracle": False, "noop": True}
    rewarded = rescore(results, reward="tests.evaluation.toy_rewards:calls_are_costly")
    assert {one.agent: one.reward for one in rewarded.run.trials} == {"oracle": 0.9, "noop": 0.0}
    summed = rescore(results, reward="tests.evaluation.toy_rewards:success_of_a_step")
    assert {one.agent: one.reward for one in summed.run.trials} == {"oracle": 1.0, "noop": 0.0}
    assert {one.agent: one.passed for one in summed.run.trials} == {"oracle": True, "noop": False}


async def test_scoring_again_refuses_what_does_not_fit(server: Server, tmp_path: Path) -> None:
    await run_evaluation(plan("oracle", only=["move-explicit"]), server.url, tmp_path)
    results = tmp_path / "results.jsonl"
    moved = library()
    moved.scenarios[0].seed = 9
    with pytest.raises(ConfigurationError, match="has another seed"):
        rescore(results, suite=moved)
    renamed = library()
    renamed.scenarios[0].id = "gone"
    with pytest.raises(ConfigurationError, match="has no scenario 'move-explicit'"):
        rescore(results, suite=renamed)
    for name in ("nothing:here", "tests.evaluation.toy_rewards:missing", "tests.evaluation.toy_rewards:takes_too_much"):
        with pytest.raises(ConfigurationError, match="The reward"):
            rescore(results, reward=name)
    state = next((tmp_path / "states").iterdir())
    state.unlink()
    with pytest.raises(ConfigurationError, match="is missing"):
        rescore(results)


def test_headers_are_written_nowhere(server: Server, tmp_path: Path) -> None:
    secret = plan("oracle", headers={"authorization": "Bearer very-secret"})
    run = asyncio.run(run_evaluation(secret, server.url, tmp_path))
    write_reports(run, tmp_path)
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"results.jsonl", "summary.json", "report.html"} <= {path.name for path in written}
    assert not any(b"very-secret" in path.read_bytes() for path in written)
