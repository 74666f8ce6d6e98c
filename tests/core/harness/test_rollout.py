"""Rollouts of sessions: the loop, its limits, the bridge, and where a reward comes from."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from openenv.core.harness import (
    CLIHarnessAdapter,
    HarnessRolloutResult,
    HarnessRunLimits,
    LoopOwningSession,
    MCPHarnessAdapter,
    RolloutEvent,
    SessionMCPBridge,
    ToolResult,
    ToolTraceEntry,
    TraceEntry,
    TrainableSession,
    TrainingTrace,
    VerifyResult,
    build_harness_rollout_func,
)
from openenv.core.harness.rollout import env_reward_of
from openenv.core.llm_client import LLMResponse
from tests.core.harness.sessions import Counter, Guesses, Guessing, counting, says

CALL = ("guess", {"n": 1})


def run(session: Any, model: Any, **limits: Any) -> HarnessRolloutResult:
    return MCPHarnessAdapter().run_white_box(model, session, HarnessRunLimits(**limits))


def test_the_loop_calls_tools_until_one_is_done() -> None:
    result = run(Guessing("play"), says([CALL]))
    assert [message["role"] for message in result.messages] == ["user", "assistant", "tool", "assistant", "tool"]
    assert result.messages[2] == {"role": "tool", "tool_call_id": "c0", "name": "guess", "content": '{"reward": 0.0}'}
    assert result.done
    assert result.metrics == {"turns": 2, "tool_calls": 2}
    assert [event.type for event in result.events] == ["model_response", "tool_call"] * 2
    assert result.events[1] == RolloutEvent("tool_call", {"tool_name": "guess", "arguments": CALL[1], "done": False})
    assert (result.prompt_ids, result.completion_ids) == ([1, 1], [2, 3, 2, 3])
    assert [entry.result.metadata["reward"] for entry in result.tool_trace] == [0.0, 1.0]


def test_a_model_that_calls_nothing_ends_it() -> None:
    result = run(Guessing(), says([CALL], []))
    assert (result.done, result.messages[-1]) == (True, {"role": "assistant", "content": "hm"})


@pytest.mark.parametrize(
    ("limits", "done", "metrics", "calls"),
    [
        ({"max_turns": 2}, False, {"turns": 2, "tool_calls": 4}, 4),
        ({"max_turns": 0}, False, {"turns": 0, "tool_calls": 0}, 0),
        ({"max_turns": 3, "max_tool_calls_per_turn": 1}, False, {"turns": 3, "tool_calls": 3}, 3),
        ({"max_total_tool_calls": 3}, False, {"truncated": True}, 3),
        ({"max_total_tool_calls": 0}, False, {"truncated": True}, 0),
    ],
)
def test_limits(limits: dict[str, Any], done: bool, metrics: dict[str, Any], calls: int) -> None:
    session = Guessing(rewards=[0.0] * 20)
    result = run(session, says([CALL, CALL]), **limits)
    assert (result.done, result.metrics, len(session.calls)) == (done, metrics, calls)


def test_sampling_reaches_the_model_and_cannot_be_spoilt_by_it() -> None:
    heard = []

    def model(messages: Any, tools: Any, sampling: dict[str, Any]) -> Any:
        heard.append(dict(sampling))
        sampling["temperature"] = 2.0
        return says([CALL])(messages, tools, sampling)

    run(Guessing(), model, sampling={"temperature": 0.5})
    assert heard == [{"temperature": 0.5}] * 2


def test_what_a_tool_raises_ends_the_rollout() -> None:
    with pytest.raises(KeyError, match="Unknown tool: nope"):
        run(Guessing(), says([("nope", {})]))


def test_a_failure_without_data_is_what_the_model_reads() -> None:
    class Failing(Guessing):
        def call_tool(self, name: str, arguments: dict[str, Any]) -> ToolResult:
            return ToolResult(error="the door is locked")

    assert run(Failing(), says([CALL], [])).messages[2]["content"] == "the door is locked"


def test_the_message_is_the_response_s_own() -> None:
    class Thoughtful(LLMResponse):
        def to_message_dict(self) -> dict[str, Any]:
            return {**super().to_message_dict(), "reasoning": "because"}

    def model(messages: Any, tools: Any, sampling: Any) -> Any:
        answer = says([])(messages, tools, sampling)
        answer.response = Thoughtful(answer.response.content)
        return answer

    assert run(Guessing(), model).messages[-1]["reasoning"] == "because"


def test_each_harness_has_one_way() -> None:
    with pytest.raises(NotImplementedError, match="run_white_box"):
        MCPHarnessAdapter().run_black_box(Guessing())
    with pytest.raises(NotImplementedError, match="run_black_box"):
        CLIHarnessAdapter(lambda *_: HarnessRolloutResult()).run_white_box(says([]), Guessing())


def test_a_black_box_gets_the_session_s_tools_and_nothing_else() -> None:
    def runner(bridge: SessionMCPBridge, session: Any, limits: HarnessRunLimits) -> HarnessRolloutResult:
        def ask(method: str, **params: Any) -> Any:
            return bridge.handle_request({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})

        assert ask("tools/list")["result"]["tools"][0]["inputSchema"] == {"type": "object"}
        assert ask("tools/call", name="guess", arguments={"n": 1})["result"]["metadata"] == {"reward": 0.0}
        assert ask("tools/call", name="reset")["error"]["code"] == -32602
        assert ask("tools/call", name="nope")["error"] == {"code": -32601, "message": "Unknown tool: nope", "data": None}
        assert ask("initialize")["error"]["code"] == -32601
        return HarnessRolloutResult(done=True, metrics={"turns": limits.max_turns})

    session = Guessing()
    assert CLIHarnessAdapter(runner).run_black_box(session, HarnessRunLimits(max_turns=3)).metrics == {"turns": 3}
    assert session.calls == [("guess", {"n": 1})]


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ([], -32600),
        (None, -32600),
        ({"jsonrpc": "2.0", "id": [1], "method": "tools/list"}, -32600),
        ({"jsonrpc": "1.0", "id": 1, "method": "tools/list"}, -32600),
        ({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": "guess"}, -32602),
        ({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": ["guess"]}}, -32602),
        ({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "guess", "arguments": [1]}}, -32602),
        ({"jsonrpc": "2.0", "id": 1, "method": {"a": 1}}, -32601),
    ],
)
def test_the_bridge_answers_hostile_requests(request_: Any, code: int) -> None:
    session = Guessing()
    answer = SessionMCPBridge(session).handle_request(request_)
    assert (answer["jsonrpc"], answer["error"]["code"]) == ("2.0", code)
    assert session.calls == []


def test_an_accident_in_a_tool_is_answered_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Guessing):
        def call_tool(self, name: str, arguments: dict[str, Any]) -> ToolResult:
            raise OSError("disk full")

    request = {"jsonrpc": "2.0", "id": "x", "method": "tools/call", "params": {"name": "guess"}}
    with caplog.at_level(logging.WARNING, "openenv.core.harness"):
        answer = SessionMCPBridge(Broken()).handle_request(request)
    assert answer == {"jsonrpc": "2.0", "id": "x", "error": {"code": -32603, "message": "disk full", "data": None}}
    assert caplog.records[0].exc_info


def test_rollouts_for_a_trainer() -> None:
    factory, built = Guesses(), []

    def builder(trainer: Any, session: Any) -> Any:
        built.append((trainer, session))
        return says([CALL])

    rollouts = build_harness_rollout_func(
        session_factory=factory, harness_adapter=MCPHarnessAdapter(), model_step_builder=builder, reward_key="score"
    )
    assert rollouts(["a", "b"], "trainer") == {
        "prompt_ids": [[1, 1]] * 2,
        "completion_ids": [[2, 3, 2, 3]] * 2,
        "logprobs": [[-0.5, -0.25, -0.5, -0.25]] * 2,
        "score": [1.0, 1.0],
        "verify_metrics": [{"messages": 5}] * 2,
    }
    assert built == [("trainer", one) for one in factory.made]
    assert [(one.task, one.closed) for one in factory.made] == [("a", 1), ("b", 1)]
    assert set(factory.made[0].final) == {"done", "metrics", "events", "tool_trace"}


def test_a_session_is_closed_whatever_happens() -> None:
    factory = Guesses()
    rollouts = build_harness_rollout_func(
        session_factory=factory, harness_adapter=MCPHarnessAdapter(), model_step_builder=lambda *_: says([("nope", {})])
    )
    with pytest.raises(KeyError):
        rollouts(["a", "b"], None)
    assert [one.closed for one in factory.made] == [1]


def rewarded(*rewards: Any) -> HarnessRolloutResult:
    return HarnessRolloutResult(
        tool_trace=[ToolTraceEntry("t", {}, ToolResult(metadata={"reward": reward})) for reward in rewards]
    )


@pytest.mark.parametrize(
    ("rewards", "verified", "reward"),
    [
        ([0.1, 0.2], 0.2, 0.2),
        ([0.1, 0.2], None, 0.2),
        ([0.3, None], None, 0.3),
        ([], 0.5, 0.5),
        ([0.2], 0.2 + 1e-7, 0.2),
        ([1e12], 1e12 + 1, 1e12),
        ([0], 0, 0.0),
    ],
)
def test_the_reward_is_the_environment_s_last(rewards: list[Any], verified: float | None, reward: float) -> None:
    assert env_reward_of(rewarded(*rewards), VerifyResult(env_reward=verified)) == reward


@pytest.mark.parametrize(("rewards", "verified"), [([0.1, 0.2], 0.1), ([0.2], 0.2 + 1e-5), ([1e12], 1e12 + 1e5), ([0.0], 1.0)])
def test_a_reward_made_up_by_verify_is_refused(rewards: list[float], verified: float) -> None:
    with pytest.raises(ValueError, match=f"must forward the environment reward.*{verified}.*{rewards[-1]}"):
        env_reward_of(rewarded(*rewards), VerifyResult(env_reward=verified))


def test_a_rollout_without_a_reward_is_refused() -> None:
    with pytest.raises(ValueError, match="did not produce an environment reward"):
        env_reward_of(rewarded(None), VerifyResult())


def test_an_environment_s_client_as_a_session() -> None:
    client = Counter()
    session = counting(client, task="count", seed=0, episode_id="e", reset_kwargs={"level": 2})
    assert client.resets == [{"seed": 0, "episode_id": "e", "level": 2}]
    result = run(session, says([("add", {"by": 1})], [("add", {"by": 2})]))
    assert result.messages[0] == {"role": "user", "content": "count: {'n': 0}"}
    assert result.done
    assert result.tool_trace[-1].result.metadata == {"reward": 3.0, "state": {"episode_id": "e", "step_count": 3}}
    verdict = session.verify(result.messages)
    assert (verdict.env_reward, verdict.done, verdict.metrics) == (3.0, True, {"step_count": 3})
    assert env_reward_of(result, verdict) == 3.0
    session.close()
    session.close()
    assert client.closed == 1


@pytest.mark.parametrize(("name", "says_so"), [("reset", "Reserved"), ("multiply", "Unknown")])
def test_a_session_has_the_tools_that_it_was_given(name: str, says_so: str) -> None:
    client = Counter()
    with pytest.raises(KeyError, match=f"{says_so}.*{name}"):
        counting(client).call_tool(name, {"by": 1})
    assert client.steps == 0


def test_protocols_of_sessions_whose_agent_owns_the_loop() -> None:
    class Owning:
        def wait_for_completion(self, timeout_s: float | None = None) -> int:
            return 0

        def fetch_proxy_trace(self) -> list[TraceEntry]:
            entry = TraceEntry(prompt_token_ids=[1, 2], completion_token_ids=[3], per_token_logps=[-0.5], loss_mask=[0, 0, 1])
            entry["metadata"] = {"node_id": "a"}
            return [entry]

    assert isinstance(Owning(), LoopOwningSession)
    (entry,) = Owning().fetch_proxy_trace()
    assert entry.keys() <= TraceEntry.__annotations__.keys()
    trace = TrainingTrace.from_entries([dict(entry)])
    assert trace.turns[0].completion_token_ids == [3]
    assert trace.to_trace_entries() == [{**entry, "request": {}, "response": {}}]
    assert not isinstance(Owning(), TrainableSession)
    assert not isinstance(Guessing(), LoopOwningSession)
