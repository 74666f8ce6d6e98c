"""`openenv eval` on a server that asks for tokens: the agent's socket carries one that is good for its own session alone."""

from __future__ import annotations

import json
from pathlib import Path

import jwt
import pytest

from openenv.evaluation import RunPlan, RunResults, choose_scenarios, make_agent, run_evaluation
from tests.evaluation.build import FOLDER, library
from tests.middleware.apps import token_file
from tests.support.processes import Servers

pytestmark = pytest.mark.e2e


def plan(agent: str, **headers: str) -> RunPlan:
    suite = library()
    return RunPlan(suite, [make_agent(agent)], choose_scenarios(suite, ["count-poems"]), headers=headers)


async def run(agent: str, url: str, folder: Path, **headers: str) -> RunResults:
    return await run_evaluation(plan(agent, **headers), url, folder)


async def test_an_agent_cannot_grade_itself(serve: Servers, tmp_path: Path) -> None:
    server = serve("toy_library:app", "--tokens", str(token_file(tmp_path)), cwd=FOLDER)
    done = await run("tests.middleware.thief:thief", server.url, tmp_path / "run", Authorization="Bearer token-of-gert-0001")
    (trial,) = done.trials
    assert trial.status == "scored", trial.error
    said = json.loads(trial.response or "")
    assert set(said["refused"].values()) == {403}, said
    assert said["own"] == 200
    claims = jwt.decode(said["token"].removeprefix("Bearer "), options={"verify_signature": False})
    assert (claims["sub"], claims["scope"]) == ("gert/agent", "act")
    written = "".join(path.read_text() for path in (tmp_path / "run").glob("*.jsonl"))
    assert "token-of-gert-0001" not in written
    assert "token-of-gert-0001" not in server.log()


async def test_the_oracle_still_solves_it_with_such_a_token(serve: Servers, tmp_path: Path) -> None:
    server = serve("toy_library:app", "--tokens", str(token_file(tmp_path)), "--rate", "1000", cwd=FOLDER)
    done = await run("oracle", server.url, tmp_path / "run", authorization="Bearer token-of-gert-0001")
    assert [trial.passed for trial in done.trials] == [True]


async def test_without_the_scope_grade_nothing_is_scored(serve: Servers, tmp_path: Path) -> None:
    server = serve("toy_library:app", "--tokens", str(token_file(tmp_path)), cwd=FOLDER)
    done = await run("oracle", server.url, tmp_path / "run", authorization="Bearer token-of-anna-0001")
    (trial,) = done.trials
    assert (trial.passed, (trial.error or {})["code"]) == (None, "FORBIDDEN")


async def test_a_server_that_issues_no_tokens_is_played_with_the_evaluations_own(
    serve: Servers, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = serve("toy_library:app", cwd=FOLDER)
    done = await run("oracle", server.url, tmp_path / "run", authorization="Bearer whatever-it-is-for")
    assert [trial.passed for trial in done.trials] == [True]
    assert "issues no tokens" in caplog.text
