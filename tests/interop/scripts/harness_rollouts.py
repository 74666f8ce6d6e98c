"""What rollouts do."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from openenv.core.client_types import StepResult
from openenv.core.env_server.mcp_types import Tool
from openenv.core.env_server.types import Observation, State
from openenv.core.harness import (
    CLIHarnessAdapter,
    HarnessAdapter,
    HarnessRolloutResult,
    HarnessRunLimits,
    MCPHarnessAdapter,
    ResourceSession,
    SessionMCPBridge,
    StepEnvSessionAdapter,
    ToolResult,
    ToolTraceEntry,
    VerifyResult,
    build_harness_rollout_func,
)
from tests.interop.scripts.harness_toys import (
    LIMITS,
    SCRIPTS,
    TOOL,
    Cases,
    Factory,
    Script,
    Session,
    model,
    outcome,
    shown,
)

CASES = Cases()


@CASES.add
def white_box() -> Any:
    def run(script: Script, limits: dict[str, Any] | None) -> Any:
        heard: list[Any] = []
        session = Session()
        given = None if limits is None else HarnessRunLimits(**limits)
        result = MCPHarnessAdapter().run_white_box(model(script, heard), session, given)
        return [dataclasses.asdict(result), heard, session.seen, given and dataclasses.asdict(given)]

    return {said: {limit: outcome(run, script, given) for limit, given in LIMITS.items()} for said, script in SCRIPTS.items()} | {
        "no limits": run(SCRIPTS["until done"], None)
    }


@CASES.add
def what_the_model_reads() -> Any:
    datas = [None, "text", "", 5, 1.5, True, [1, "é"], {"b": 1, "a": {"z": 1, "y": 2}}, (1, 2), {3: 4}, {1.5}, b"x", Path("p")]

    def read(data: Any, error: str | None) -> Any:
        session = Session(data=data, error=error, ends_after=1)
        return MCPHarnessAdapter().run_white_box(model(SCRIPTS["until done"]), session).messages[-1]["content"]

    return {
        "data": [outcome(read, data, None) for data in datas],
        "data and error": [outcome(read, data, "sad") for data in datas[1:]],
        "error": read(None, "sad"),
        "a tool raises": outcome(
            lambda: MCPHarnessAdapter().run_white_box(model(SCRIPTS["until done"]), Session(raises=OSError("disk")))
        ),
        "unspeakable arguments": outcome(
            lambda: MCPHarnessAdapter().run_white_box(model([("", [("guess", {"x": {1}})])]), Session())
        ),
    }


@CASES.add
def black_box() -> Any:
    def runner(bridge: SessionMCPBridge, session: ResourceSession, limits: HarnessRunLimits) -> HarnessRolloutResult:
        answers = [
            bridge.handle_request({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}),
            bridge.handle_request(
                {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "guess", "arguments": {"x": 1}}}
            ),
        ]
        return HarnessRolloutResult(messages=answers, done=True, metrics=dataclasses.asdict(limits))

    def broken(*_: Any) -> HarnessRolloutResult:
        raise OSError("the command was not found")

    adapter = CLIHarnessAdapter(runner)
    session = Session()
    return {
        "run": dataclasses.asdict(adapter.run_black_box(session)),
        "limits": dataclasses.asdict(adapter.run_black_box(Session(), HarnessRunLimits(max_turns=2))),
        "session": session.seen,
        "white box": outcome(lambda: adapter.run_white_box(model(SCRIPTS["until done"]), Session())),
        "the other's black box": outcome(lambda: MCPHarnessAdapter().run_black_box(Session())),
        "raises": outcome(lambda: CLIHarnessAdapter(broken).run_black_box(Session())),
    }


def call(params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params}


REQUESTS: dict[str, Any] = {
    "list": {"jsonrpc": "2.0", "id": "a", "method": "tools/list"},
    "list with params": {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": [1]},
    "call": call({"name": "guess", "arguments": {"x": 1}}),
    "no arguments": call({"name": "guess"}),
    "further params": call({"name": "guess", "arguments": {}, "session_id": "s"}),
    "unknown": call({"name": "nope"}),
    "empty name": call({"name": ""}),
    "reserved": call({"name": "close"}),
    "no name": call({}),
    "params null": call(None),
    "params a list": call([1]),
    "no params": {"jsonrpc": "2.0", "id": 1, "method": "tools/call"},
    "initialize": {"jsonrpc": "2.0", "id": 1, "method": "initialize"},
    "notification": {"jsonrpc": "2.0", "method": "notifications/initialized"},
    "method null": {"jsonrpc": "2.0", "id": 1, "method": None},
    "method a list": {"jsonrpc": "2.0", "id": 1, "method": ["tools/list"]},
    "no method": {"jsonrpc": "2.0", "id": 1},
    "empty": {},
    "not 2.0": {"jsonrpc": "1.0", "id": 3, "method": "tools/list"},
    "further keys": {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "more": 1},
    "name a number": call({"name": 5}),
    "name a list": call({"name": ["guess"]}),
    "arguments null": call({"name": "guess", "arguments": None}),
    "arguments a list": call({"name": "guess", "arguments": [1]}),
    "params a text": call("name"),
    "id a list": {"jsonrpc": "2.0", "id": [3], "method": "tools/list"},
    "a list": [],
    "null": None,
}
FAILURES = [
    ValueError("v"),
    KeyError("k"),
    KeyError("k", "l"),
    KeyError(),
    TypeError("t"),
    NotImplementedError(),
    OSError("o"),
    UnicodeError("u"),
]


def numbered(answer: Any) -> Any:
    """A response with its error's number alone."""
    if isinstance(answer, dict) and "error" in answer:
        return {**answer, "error": {"code": answer["error"]["code"], "data": answer["error"]["data"]}}
    return answer


def ask(session: Session, request: Any) -> Any:
    return numbered(SessionMCPBridge(session).handle_request(request))


@CASES.add
def bridge() -> Any:
    told = {}
    for name, request in REQUESTS.items():
        session = Session()
        told[name] = [outcome(ask, session, request), session.seen]
    for number, failure in enumerate(FAILURES):
        answer = SessionMCPBridge(Session(raises=failure)).handle_request(call({"name": "guess"}))
        told[f"raises {number}"] = [answer, []]
    told["list raises"] = [
        outcome(ask, Session(list_raises=OSError("o")), REQUESTS["list"]),
        [],
    ]
    told["a tool's error"] = [SessionMCPBridge(Session(data=None, error="sad")).handle_request(call({"name": "guess"})), []]
    return told


class Client:
    """An environment's client with three rewards."""

    def __init__(self, states: Sequence[Any] | None = None) -> None:
        self.seen: list[Any] = []
        self.states = states
        self.steps = 0

    def reset(self, **options: Any) -> StepResult[Any]:
        self.seen.append(["reset", options])
        return StepResult(observation=Observation(metadata={"a": 1}), reward=0.9, done=False)

    def step(self, action: Any) -> StepResult[Any]:
        self.seen.append(["step", action])
        self.steps += 1
        return StepResult(observation={"n": self.steps}, reward=self.steps / 10, done=self.steps == 3)

    def state(self) -> Any:
        self.seen.append("state")
        return State(episode_id="e", step_count=self.steps) if self.states is None else self.states[0]

    def close(self) -> None:
        self.seen.append("close")


class Synced(Client):
    """Is used through its ``sync()``."""

    def __init__(self, inner: Client) -> None:
        super().__init__()
        self.inner = inner

    def sync(self) -> Client:
        return self.inner


class Bare:
    """Neither asks for a state nor closes."""

    def reset(self) -> StepResult[Any]:
        return StepResult(observation=1, reward=None, done=False)

    def step(self, action: Any) -> StepResult[Any]:
        return StepResult(observation=1, reward=2, done=True)


def adapter(client: Any, **more: Any) -> StepEnvSessionAdapter:
    given: dict[str, Any] = {
        "tool_specs": [TOOL],
        "action_builder": lambda name, arguments: [name, arguments],
        "initial_messages_builder": lambda result, task: [{"role": "user", "content": f"{task} {result.reward}"}],
    }
    return StepEnvSessionAdapter(client, **(given | more))


@CASES.add
def step_env_session() -> Any:
    client = Client()
    session = adapter(client, task="t", seed=0, episode_id="", reset_kwargs={"level": 2})
    told: dict[str, Any] = {
        "verify before": shown(session.verify([])),
        "initial": session.initial_messages(),
        "tools": [one.name for one in session.list_tools()],
        "call": shown(session.call_tool("guess", {"x": 1})),
        "unknown": outcome(lambda: session.call_tool("nope", {})),
        "reserved": outcome(lambda: session.call_tool("state", {})),
        "call again": shown(session.call_tool("guess", {})),
        "verify": shown(session.verify([{"role": "user"}], {"done": True})),
        "last call": shown(session.call_tool("guess", {})),
        "verify done": shown(session.verify([])),
    }
    session.close()
    session.close()
    told["client"] = client.seen
    for name, options in {
        "kwargs win": {"seed": 3, "episode_id": "e", "reset_kwargs": {"seed": 9}},
        "no kwargs": {},
    }.items():
        client = Client()
        adapter(client, **options)
        told[name] = client.seen
    inner = Client()
    adapter(Synced(inner)).call_tool("guess", {})
    told["sync"] = inner.seen
    bare = adapter(Bare())
    told["bare"] = [shown(bare.call_tool("guess", {})), shown(bare.verify([])), outcome(bare.close)]
    for number, state in enumerate([{"step_count": 3}, {"s": 1}, 5, None, State()]):
        one = adapter(Client([state]))
        told[f"state {number}"] = [shown(one.call_tool("guess", {})), shown(one.verify([]))]
    told["reserved spec"] = outcome(lambda: adapter(Client(), tool_specs=[Tool(name="step", description="", input_schema={})]))
    built = adapter(
        Client(),
        tool_result_builder=lambda name, arguments, result, state: ToolResult(
            data=[name, arguments, result.reward, state.step_count]
        ),
        verify_builder=lambda transcript, final, last, state: VerifyResult(
            env_reward=1.0, metrics={"seen": [transcript, final, last and last.reward, state.step_count]}
        ),
    )
    told["built"] = [shown(built.verify([])), shown(built.call_tool("guess", {"y": 1})), shown(built.verify([{}], {"f": 1}))]
    told["rollout"] = dataclasses.asdict(
        MCPHarnessAdapter().run_white_box(model(SCRIPTS["until done"]), adapter(Client(), task="play"))
    )
    return told


@CASES.add
def rollout_func() -> Any:
    def run(factory: Factory, prompts: Sequence[Any] = ("p", "q"), **options: Any) -> Any:
        built: list[Any] = []

        def builder(trainer: Any, session: Any) -> Any:
            built.append([trainer, type(session).__name__])
            return model(SCRIPTS["until done"])

        function = build_harness_rollout_func(
            session_factory=factory,
            harness_adapter=options.pop("harness_adapter", MCPHarnessAdapter()),
            model_step_builder=options.pop("model_step_builder", builder),
            **options,
        )
        return [outcome(lambda: function(list(prompts), "trainer")), built, [one.seen for one in factory.made]]

    def no_model(*_: Any) -> Any:
        raise OSError("no model")

    rewards: list[tuple[list[Any], Any]] = [
        ([0.1, 0.2], 0.2),
        ([0.1, 0.2], 0.1),
        ([0.1, 0.2], None),
        (["absent"], 0.5),
        (["absent"], None),
        ([0.3, "absent"], 0.3),
        ([0.3, None], 0.3),
        ([0.3, None], None),
        ([0.2], 0.2 + 1e-7),
        ([0.2], 0.2 + 1e-5),
        ([1e12], 1e12 + 1),
        ([1e12], 1e12 + 1e5),
        ([True], 1),
        (["x"], 1.0),
        ([0.5], "0.5"),
        ([0.5], True),
        (["0.5"], 0.5),
        ([None], 2),
        ([0], 0),
        ([-1.5], -1.5),
    ]
    return {
        "plain": run(Factory()),
        "key": run(Factory(), reward_key="score"),
        "no prompts": run(Factory(), prompts=[]),
        "messages as prompts": run(Factory(), prompts=[[{"role": "user", "content": "x"}]]),
        "limits": run(Factory(), limits=HarnessRunLimits(max_turns=1)),
        "no model": run(Factory(), model_step_builder=no_model),
        "no session": run(Factory(broken=[1])),
        "a tool raises": run(Factory(raises=OSError("disk"))),
        "black box": run(Factory(), harness_adapter=CLIHarnessAdapter(lambda *_: HarnessRolloutResult())),
        "rewards": [run(Factory(rewards=told, verified=verified), prompts=["p"])[0] for told, verified in rewards],
    }


class Canned(HarnessAdapter):
    """Returns rollouts that were written before."""

    def __init__(self, result: HarnessRolloutResult) -> None:
        self.result = result

    def run_white_box(self, model_step: Any, session: Any, limits: Any = None) -> HarnessRolloutResult:
        return self.result

    def run_black_box(self, session: Any, limits: Any = None) -> HarnessRolloutResult:
        return self.result


@CASES.add
def canned_rollouts() -> Any:
    traced = HarnessRolloutResult(tool_trace=[ToolTraceEntry("t", {}, ToolResult(metadata={"reward": 0.5}))], prompt_ids=[9])
    function = {
        name: build_harness_rollout_func(
            session_factory=Factory(verified=verified), harness_adapter=Canned(result), model_step_builder=lambda *_: model([])
        )
        for name, result, verified in [
            ("traced", traced, None),
            ("verified", HarnessRolloutResult(), 0.25),
            ("nothing", HarnessRolloutResult(), None),
        ]
    }
    return {name: outcome(one, ["p"], None) for name, one in function.items()}
