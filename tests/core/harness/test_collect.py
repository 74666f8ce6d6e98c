"""Collecting rollouts: what is written, what a second run skips, and what a crash leaves."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from openenv.core.harness import HarnessRolloutResult, MCPHarnessAdapter, VerifyResult
from openenv.core.harness.collect import (
    METADATA_FILENAME,
    README_FILENAME,
    RESULTS_FILENAME,
    CollectResult,
    CollectRunner,
    EpisodeRecord,
    RolloutSerializer,
    build_dataset_readme,
    build_model_step,
    push_to_hf_hub,
)
from openenv.core.llm_client import LLMClient, LLMResponse
from tests.core.harness.sessions import GUESS, Guesses, says


def collect(place: Path, factory: Any, count: int = 2, tasks: Any = None, **options: Any) -> CollectResult:
    runner = CollectRunner(
        session_factory=factory, harness_adapter=MCPHarnessAdapter(), serializer=RolloutSerializer(place), tasks=tasks
    )
    return runner.run(model_step=says([("guess", {})]), num_episodes=count, **options)


def written(place: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (place / RESULTS_FILENAME).read_text().splitlines()]


def record(episode_id: str = "new", **fields: Any) -> EpisodeRecord:
    return EpisodeRecord(episode_id, [], 1.0, True, [], {}, {}, {}, **fields)


def test_episodes_are_written_one_a_line(tmp_path: Path) -> None:
    factory = Guesses()
    result = collect(tmp_path / "new" / "place", factory, 2, ["a", {"level": 2}])
    assert result == CollectResult(2, 0, 0, 0, ["ep-000000", "ep-000001"], 1.0, 1.0)
    first, second = written(tmp_path / "new" / "place")
    assert (first["episode_id"], first["task"], second["task"]) == ("ep-000000", "a", {"level": 2})
    assert (first["reward"], first["done"], first["metrics"]) == (1.0, True, {"turns": 2, "tool_calls": 2})
    assert first["tool_trace"][0]["tool_name"] == "guess"
    assert [one.closed for one in factory.made] == [1, 1]
    assert factory.ids == result.episode_ids


def test_a_second_run_takes_up_where_the_first_ended(tmp_path: Path) -> None:
    tasks = ["a", "b", "c", "d"]
    collect(tmp_path, Guesses(), 2, tasks)
    later = Guesses(rewards=[0.0])
    result = collect(tmp_path, later, 4, tasks)
    assert (result.num_collected, result.num_skipped, result.avg_reward, result.success_rate) == (2, 2, 0.0, 0.0)
    assert [one.task for one in later.made] == ["c", "d"]
    assert [one["episode_id"] for one in written(tmp_path)] == [f"ep-00000{number}" for number in range(4)]


def test_a_runner_may_run_again(tmp_path: Path) -> None:
    factory = Guesses()
    runner = CollectRunner(
        session_factory=factory, harness_adapter=MCPHarnessAdapter(), serializer=RolloutSerializer(tmp_path), tasks=["a", "b"]
    )
    for prefix in ("x", "y"):
        runner.run(model_step=says([("guess", {})]), num_episodes=2, episode_id_prefix=prefix)
    assert [one.task for one in factory.made] == ["a", "b", "a", "b"]


def test_what_fails_is_logged_counted_and_run_again_later(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Shaky(Guesses):
        def create(self, task: Any, seed: int | None = None, episode_id: str | None = None) -> Any:
            if task == "b":
                raise OSError("no world left")
            return super().create(task, seed, episode_id)

    with caplog.at_level(logging.WARNING, "openenv.core.harness"):
        result = collect(tmp_path, Shaky(), 3, ["a", "b", "c"])
    assert (result.num_collected, result.num_failed) == (2, 1)
    assert "ep-000001" in caplog.text
    assert "no world left" in caplog.text
    assert collect(tmp_path, Guesses(), 3, ["a", "b", "c"]).num_collected == 1


def test_a_reward_made_up_is_no_episode(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert collect(tmp_path, Guesses(verified=0.5), 1).num_failed == 1
    assert "must forward the environment reward" in caplog.text


def test_only_what_should_be_kept_is_kept(tmp_path: Path) -> None:
    result = collect(tmp_path, Guesses(), 3, should_keep=lambda one: one.episode_id != "ep-000001")
    assert (result.num_collected, result.num_dropped) == (2, 1)
    assert len(written(tmp_path)) == 2
    assert collect(tmp_path, Guesses(), 3).num_collected == 1


def test_beginning_anew_loses_nothing(tmp_path: Path) -> None:
    collect(tmp_path, Guesses(), 2)
    for _ in range(2):
        with pytest.warns(RuntimeWarning, match="moved existing results file"):
            assert collect(tmp_path, Guesses(), 1, resume=False).num_collected == 1
    assert len(list(tmp_path.glob("results.*.bak.jsonl"))) == 2
    assert len(written(tmp_path)) == 1


def test_an_interrupt_stops_the_run_and_closes_the_session(tmp_path: Path) -> None:
    factory = Guesses()

    def interrupted(messages: Any, tools: Any, sampling: Any) -> Any:
        raise KeyboardInterrupt

    runner = CollectRunner(session_factory=factory, harness_adapter=MCPHarnessAdapter(), serializer=RolloutSerializer(tmp_path))
    with pytest.raises(KeyboardInterrupt):
        runner.run(model_step=interrupted, num_episodes=2)
    assert [one.closed for one in factory.made] == [1]


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ('{"episode_id":"a"}\n{"torn', ":2: invalid JSON"),
        ('{"x":1}\n', ":1: expected a string episode_id"),
        ("[1]\n", ":1: expected an object"),
        ('{"episode_id":5}\n', ":1: expected a string episode_id"),
    ],
)
def test_a_damaged_file_is_not_resumed(tmp_path: Path, content: str, fault: str) -> None:
    (tmp_path / "results.jsonl").write_text(content)
    factory = Guesses()
    with pytest.raises(ValueError, match=fault):
        collect(tmp_path, factory)
    assert factory.made == []


def test_a_torn_line_is_not_written_behind(tmp_path: Path) -> None:
    place = RolloutSerializer(tmp_path)
    place.results_path.write_text('{"episode_id":"a"}\n{"torn')
    with pytest.raises(ValueError, match="the last line: invalid JSON"):
        place.write_episode(record())
    place.results_path.write_text('{"episode_id":"a"}')
    place.write_episode(record())
    assert place.collected_episode_ids() == {"a", "new"}


def test_what_is_no_json_is_written_as_text(tmp_path: Path) -> None:
    place = RolloutSerializer(tmp_path)
    place.write_episode(record(task=Path("p"), extra={"line": "a\nb\u2028c"}))
    assert written(tmp_path)[0] | {"task": "p", "extra": {"line": "a\nb\u2028c"}} == written(tmp_path)[0]


def test_done_may_be_the_session_s_word() -> None:
    kept = EpisodeRecord.from_rollout("e", HarnessRolloutResult(), VerifyResult(env_reward=0.5, done=True))
    assert (kept.done, kept.reward) == (True, 0.5)


def test_the_card_names_the_data_and_survives_its_metadata(tmp_path: Path) -> None:
    place = RolloutSerializer(tmp_path)
    place.write_episode(record())
    place.write_metadata({"a|b": "x\n---\ny|z", "model": "`m`"})
    card = build_dataset_readme(tmp_path)
    assert 'path: "results.jsonl"' in card
    assert "- **Episodes:** 1" in card
    assert "| `a\\|b` | `x --- y\\|z` |" in card
    place.metadata_path.write_text("[1]")
    assert "collected with" not in build_dataset_readme(tmp_path)


def test_nothing_to_push_is_said_before_anything_else(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"results\.jsonl"):
        push_to_hf_hub(tmp_path, "owner/name")


def test_what_is_pushed_is_the_data_and_its_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To a Hub of this test's own: the real one wants an account."""
    calls: list[tuple[str, dict[str, Any]]] = []

    class HfApi:
        def __init__(self, **known: Any) -> None:
            calls.append(("login", known))

        def create_repo(self, **known: Any) -> None:
            calls.append(("create", known))

        def upload_folder(self, **known: Any) -> None:
            calls.append(("upload", known))

    hub = ModuleType("huggingface_hub")
    hub.HfApi = HfApi  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    place = RolloutSerializer(tmp_path)
    place.write_episode(record())
    place.write_metadata({"model": "m"})
    assert json.loads((tmp_path / METADATA_FILENAME).read_text())["model"] == "m"
    assert push_to_hf_hub(tmp_path, "owner/name", token="t") == "https://huggingface.co/datasets/owner/name"
    assert (tmp_path / README_FILENAME).read_text() == build_dataset_readme(tmp_path)
    assert [name for name, _ in calls] == ["login", "create", "upload"]
    assert calls[2][1]["allow_patterns"] == [RESULTS_FILENAME, METADATA_FILENAME, README_FILENAME]
    assert calls[2][1]["commit_message"] == "Add 1 collected episode(s)"


class Echoing(LLMClient):
    """Answers with what it was asked."""

    async def complete(self, prompt: str, **kwargs: Any) -> str:
        return prompt

    async def complete_with_tools(self, messages: Any, tools: Any, **kwargs: Any) -> LLMResponse:
        return LLMResponse(json.dumps([messages, tools, kwargs]))


@pytest.mark.parametrize(
    ("asked", "headed"),
    [
        ([{"role": "user", "content": "u"}], True),
        ([{"role": "system", "content": "own"}], False),
        ([{"role": "developer", "content": "own"}, {"role": "user", "content": "u"}], False),
        ([{"role": "user", "content": "u"}, {"role": "system", "content": "own"}], False),
    ],
)
async def test_a_client_s_model_step_works_where_a_loop_runs(asked: list[dict[str, Any]], headed: bool) -> None:
    step = build_model_step(Echoing("http://127.0.0.1", 1), system_prompt="Be brief.")
    before = list(asked)
    messages, tools, options = json.loads(step(asked, [GUESS], {"temperature": 0.5}).response.content)
    assert messages == ([{"role": "system", "content": "Be brief."}, *asked] if headed else asked)
    assert tools == [{"name": "guess", "description": "Guess a number", "inputSchema": {"type": "object"}}]
    assert options == {"temperature": 0.5}
    assert asked == before
