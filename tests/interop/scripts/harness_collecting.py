"""What collecting does, and the checks of training data and of tool names."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import tempfile
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from openenv.core.env_server.mcp_types import Tool
from openenv.core.harness import (
    CLIHarnessAdapter,
    HarnessRolloutResult,
    HarnessRunLimits,
    MCPHarnessAdapter,
    ToolResult,
    ToolTraceEntry,
    TrainingTrace,
    TrainingTurn,
    VerifyResult,
    resolve_tool_conflicts,
)
from openenv.core.harness.collect import CollectRunner, EpisodeRecord, RolloutSerializer, build_model_step
from tests.interop.scripts.harness_toys import SCRIPTS, TOOL, Cases, Factory, model, outcome, shown

CASES = Cases()


def collected(directory: Path, factory: Factory, num_episodes: Any = 2, tasks: Any = None, **options: Any) -> Any:
    runner = CollectRunner(
        session_factory=factory,
        harness_adapter=options.pop("harness_adapter", MCPHarnessAdapter()),
        serializer=RolloutSerializer(directory),
        tasks=tasks,
        limits=options.pop("limits", None),
    )
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        result = outcome(
            lambda: dataclasses.asdict(runner.run(model_step=model(SCRIPTS["until done"]), num_episodes=num_episodes, **options))
        )
    files = sorted(one.name for one in directory.iterdir()) if directory.is_dir() else []
    lines = (
        [json.loads(line) for line in (directory / "results.jsonl").read_text().splitlines()]
        if "results.jsonl" in files
        else None
    )
    kept = [".".join(part for part in name.split(".") if not part.startswith("20")) for name in files]
    return [result, factory.asked, [one.seen[-1] for one in factory.made], lines, kept, [one.category.__name__ for one in warned]]


def keeps_good(record: EpisodeRecord) -> bool:
    return record.reward > 0.5


def cannot_say(record: EpisodeRecord) -> bool:
    raise OSError("no opinion")


@CASES.add
def collect() -> Any:
    told: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as base:
        places = iter(Path(base) / f"{number}" / "deep" for number in range(100))
        place = next(places)
        told["two"] = collected(place, Factory())
        told["two more"] = collected(place, Factory(rewards=[1.0], verified=None), 4)
        told["all there"] = collected(place, Factory(), 3)
        told["anew"] = collected(place, Factory(), 1, resume=False)
        told["another prefix"] = collected(place, Factory(), 1, episode_id_prefix="../x")
        told["tasks"] = collected(next(places), Factory(), 4, ["a", {"b": 1}, "c"])
        place = next(places)
        told["one fails"] = collected(place, Factory(broken=[1]), 3, ["a", "b", "c"])
        told["one fails, again"] = collected(place, Factory(), 3, ["a", "b", "c"])
        told["a tool raises"] = collected(next(places), Factory(each=[{"raises": OSError("disk")}, {}]), 2)
        told["no reward"] = collected(next(places), Factory(each=[{"rewards": ["absent"], "verified": None}, {}]), 2)
        told["another reward"] = collected(next(places), Factory(each=[{"verified": 0.75}, {}]), 2)
        place = next(places)
        mixed = [{"rewards": [reward], "verified": None} for reward in (0.25, 0.75, -1.0, 1.0)]
        told["the good ones"] = collected(place, Factory(each=mixed), 4, should_keep=keeps_good)
        told["the rest"] = collected(place, Factory(each=mixed), 4)
        told["no opinion"] = collected(next(places), Factory(), should_keep=cannot_say)
        told["none"] = collected(next(places), Factory(), 0)
        told["fewer than none"] = collected(next(places), Factory(), -1)
        told["a text"] = collected(next(places), Factory(), "2")
        told["limits"] = collected(next(places), Factory(), 1, limits=HarnessRunLimits(max_turns=1))
        told["black box"] = collected(
            next(places), Factory(), 1, harness_adapter=CLIHarnessAdapter(lambda *_: HarnessRolloutResult())
        )
        place = next(places)
        place.mkdir(parents=True)
        (place / "results.jsonl").write_text("damaged\n")
        damaged = Factory()
        told["damaged"] = [outcome(lambda: RolloutSerializer(place).collected_episode_ids()), damaged.asked]
        told["damaged, anew"] = collected(place, damaged, 1, resume=False)
    return told


def ids_in(serializer: RolloutSerializer) -> list[str]:
    return sorted(serializer.collected_episode_ids())


@CASES.add
def serializer() -> Any:
    record = EpisodeRecord("new", [{"role": "user", "content": "é"}], 1.0, True, [], {}, {}, {"p": Path("p")}, task={1.5})
    told: dict[str, Any] = {"to_dict": record.to_dict()}
    contents = [
        b"",
        b"\n\n",
        b'{"episode_id":"a"}',
        b'{"episode_id":"a"}\n\n{"episode_id":"b"}\n',
        b'{"episode_id":"a"}\n{"torn',
        b'{"torn',
        b'{"x":1}\n',
        b"[1]\n",
        b'{"episode_id":5}\n',
        b'{"episode_id":""}\n',
        b"\xff\n",
        b'{"episode_id":"a"}\r\n',
        b'{"episode_id":"a"}\n   ',
        b"damaged\n",
        b"NaN",
    ]
    for number, content in enumerate(contents):
        with tempfile.TemporaryDirectory() as base:
            one = RolloutSerializer(base)
            one.results_path.write_bytes(content)
            told[f"file {number}"] = [
                outcome(ids_in, one),
                outcome(one.write_episode, record),
                one.results_path.read_bytes().decode("latin-1"),
            ]
    with tempfile.TemporaryDirectory() as base:
        one = RolloutSerializer(Path(base) / "a" / "b")
        told["new"] = [sorted(one.collected_episode_ids()), one.output_dir.exists()]
        one.write_metadata({"b": Path("p"), "a": "é"})
        one.write_metadata({"c": [1]})
        told["metadata"] = one.metadata_path.read_text()
        told["paths"] = [one.results_path.name, one.metadata_path.name, one.output_dir.name]
    canned = HarnessRolloutResult(
        messages=[{"role": "user"}], tool_trace=[ToolTraceEntry("t", {"x": 1}, ToolResult(data=1, metadata={"reward": 0.5}))]
    )
    verdict = VerifyResult(done=True, metrics={"v": 1}, artifacts={"w": 2})
    told["from_rollout"] = shown(EpisodeRecord.from_rollout("e", canned, verdict, task="t", extra={"k": 1}))
    told["from nothing"] = outcome(lambda: EpisodeRecord.from_rollout("e", HarnessRolloutResult(), VerifyResult()))
    return told


class Llm:
    """An LLM client that repeats what it was asked."""

    async def complete_with_tools(self, messages: Any, tools: Any, **options: Any) -> Any:
        return SimpleNamespace(content=json.dumps([messages, tools, options]), tool_calls=[])


@CASES.add
def model_step_of_a_client() -> Any:
    asked = [{"role": "user", "content": "u"}]
    ruled = [{"role": "system", "content": "own"}, *asked]

    def said(system_prompt: str | None, messages: Any) -> Any:
        client: Any = Llm()
        step = build_model_step(client, system_prompt=system_prompt)
        result = step(messages, [TOOL], {"temperature": 0.5})
        return [json.loads(result.response.content), result.prompt_ids, messages]

    return [said(prompt, messages) for prompt in (None, "", "RULES") for messages in (asked, ruled, [])]


def turn(**fields: Any) -> Any:
    return TrainingTurn(**fields).model_dump()


@CASES.add
def training() -> Any:
    good: dict[str, Any] = {
        "node_id": "n",
        "prompt_token_ids": [1, 2],
        "completion_token_ids": [3, 4],
        "per_token_logps": [-0.1, -0.2],
        "loss_mask": [0, 0, 1, 1],
    }
    changes: list[dict[str, Any]] = [
        {},
        {"loss_mask": [1, 1]},
        {"loss_mask": [0, 0, 2, 1]},
        {"loss_mask": [1, 0, 1, 1]},
        {"loss_mask": [0] * 4},
        {"loss_mask": [0, 0, True, 1]},
        {"per_token_logps": [-0.1]},
        {"per_token_logps": [0.5, -1.0]},
        {"per_token_logps": [float("nan"), -1.0]},
        {"per_token_logps": [0, -1]},
        {"per_token_logps": [float("-inf"), -1.0]},
        {"prompt_token_ids": []},
        {"prompt_token_ids": [-1, 1]},
        {"completion_token_ids": [-1, 1]},
        {"prompt_token_ids": ["1", 2]},
        {"node_id": ""},
        {"node_id": 3},
        {"more": 1},
        {"metadata": {"a": 1}},
        {"completion_token_ids": [], "per_token_logps": [], "loss_mask": [0, 0]},
    ]
    told: dict[str, Any] = {"turns": [outcome(turn, **(good | change)) for change in changes]}
    trace = TrainingTrace(turns=[TrainingTurn(**good), TrainingTurn(**(good | {"node_id": "m", "metadata": {"a": 1}}))])
    entries = trace.to_trace_entries()
    told["entries"] = entries
    told["back"] = TrainingTrace.from_entries(entries).model_dump()
    told["more keys"] = TrainingTrace.from_entries([entries[0] | {"reward": 1.0, "other": 2}]).model_dump()
    told["twice"] = outcome(lambda: TrainingTrace(turns=[TrainingTurn(**good)] * 2))
    told["version"] = outcome(TrainingTrace.model_validate, {"schema_version": 2, "turns": []})
    told["no metadata"] = outcome(lambda: TrainingTrace.from_entries([{}]))
    told["no mask"] = outcome(lambda: TrainingTrace.from_entries([entries[0] | {"loss_mask": None}]))
    return told


@CASES.add
def tool_conflicts() -> Any:
    questions: list[tuple[list[str], list[str], dict[str, str]]] = [
        (["a", "b"], [], {}),
        (["a", "b"], ["a"], {}),
        (["reset"], [], {}),
        (["a", "a"], [], {}),
        (["a", "env_a"], ["a"], {}),
        (["a"], ["a", "env_a"], {}),
        (["a"], ["a"], {"prefix": "x_"}),
        (["a"], ["a"], {"prefix": ""}),
        ([], ["a"], {}),
        (["A"], ["a"], {}),
        (["a", "b"], ["a", "b"], {}),
    ]

    def resolve(names: list[str], builtin: list[str], options: dict[str, str]) -> Any:
        tools = [Tool(name=name, description="d", input_schema={"type": "object"}) for name in names]
        resolved = resolve_tool_conflicts(tools, builtin, **options)
        return [[one.model_dump() for one in resolved], [one.name for one in tools]]

    return [outcome(resolve, *question) for question in questions]
