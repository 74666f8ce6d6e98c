"""The server side's public names, used as an author would, under either framework: prints what came of it as JSON."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from fastmcp import FastMCP
from pydantic import BaseModel, TypeAdapter, ValidationError

from openenv.core.env_server import (
    RESERVED_TOOL_NAMES,
    Action,
    BaseMessage,
    CallToolAction,
    CallToolObservation,
    CompositeTransform,
    ConcurrencyConfig,
    ConcurrencyConfigurationError,
    Environment,
    EnvironmentFactoryError,
    GetEndpointConfig,
    GetTaskRangeRequest,
    GetTaskRequest,
    HealthResponse,
    HealthStatus,
    HTTPEnvServer,
    JsonRpcError,
    JsonRpcErrorCode,
    JsonRpcRequest,
    JsonRpcResponse,
    ListTasksRequest,
    ListToolsAction,
    MCPEnvironment,
    McpMethod,
    Message,
    ModelTokenizer,
    NullTransform,
    NumTasksRequest,
    Observation,
    OpenEnvError,
    SchemaResponse,
    ServerCapacityStatus,
    ServerMode,
    SessionCapacityError,
    SessionCreationError,
    SessionInfo,
    SessionNotFoundError,
    State,
    TaskProvider,
    Tool,
    ToolErrorType,
    Transform,
    WebInterfaceManager,
    WSCloseMessage,
    WSErrorCode,
    WSErrorResponse,
    WSIncomingMessage,
    WSMCPMessage,
    WSMCPResponse,
    WSObservationResponse,
    WSResetMessage,
    WSStateMessage,
    WSStateResponse,
    WSStepMessage,
    create_app,
    create_fastapi_app,
    create_web_interface_app,
    deserialize_action,
    deserialize_action_with_preprocessing,
    serialize_observation,
)
from openenv.core.env_server.mcp_environment import get_server_tools
from openenv.core.env_server.route_config import register_get_endpoints
from openenv.core.env_server.types import CodeExecResult, ResetRequest, ResetResponse, StepRequest, StepResponse
from openenv.core.env_server.web_interface import (
    ActionLog,
    EpisodeState,
    get_quick_start_markdown,
    load_environment_metadata,
)


class Say(Action):
    text: str = "hi"
    action_id: Any = None
    tokens: Any = None


class Heard(Observation):
    text: str = ""


class Bonus(Transform):
    def __call__(self, observation: Any) -> Any:
        observation.reward = (observation.reward or 0) + 1
        return observation


class Talk(Environment):
    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self) -> None:
        super().__init__(transform=CompositeTransform([Bonus(), NullTransform(), Bonus()]))
        self.said: list[str] = []

    def reset(self, seed: int | None = None, episode_id: str | None = None, **kwargs: Any) -> Heard:
        self.said = []
        return Heard(text="ready", metadata={"kw": sorted(kwargs)})

    def step(self, action: Say, timeout_s: float | None = None, **kwargs: Any) -> Heard:
        self.said.append(action.text)
        return self._apply_transform(Heard(text=action.text, reward=self._apply_rubric(action, Heard())))

    @property
    def state(self) -> State:
        return State(episode_id="one", step_count=len(self.said), said=self.said)


class Plain(Talk):
    SUPPORTS_CONCURRENT_SESSIONS = False


class Tools(MCPEnvironment):
    def reset(self, **kwargs: Any) -> Observation:
        return Observation()

    def _step_impl(self, action: Any, timeout_s: float | None = None, **kwargs: Any) -> Observation:
        return Observation(metadata={"impl": type(action).__name__})

    @property
    def state(self) -> State:
        return State()


def shown(value: Any) -> Any:
    """A value as JSON."""
    if isinstance(value, BaseModel):
        return {"class": type(value).__name__, **value.model_dump(mode="json")}
    if isinstance(value, (list, tuple, set, frozenset)):
        listed = [shown(one) for one in value]
        return sorted(listed) if isinstance(value, (set, frozenset)) else listed
    if isinstance(value, dict):
        return {key: shown(one) for key, one in value.items()}
    return value


def tried(make: Callable[[], Any]) -> Any:
    """What a call gave, or the class of what it raised with the places of pydantic's complaints."""
    try:
        return shown(make())
    except ValidationError as error:
        return {"raised": "ValidationError", "at": [[one["type"], list(one["loc"])] for one in error.errors()]}
    except Exception as error:  # noqa: BLE001 - whatever it raises is written down
        return {"raised": type(error).__name__}


def models() -> dict[str, Any]:
    """The wire's models."""
    incoming = TypeAdapter(WSIncomingMessage)
    return {
        "incoming": [
            tried(lambda frame=frame: incoming.validate_python(frame))
            for frame in (
                {"type": "reset"},
                {"type": "step", "data": {"a": 1}},
                {"type": "state"},
                {"type": "close"},
                {"type": "step"},
                {"type": "other"},
                {"type": "state", "x": 1},
            )
        ],
        "made": [
            tried(make)
            for make in (
                WSResetMessage,
                lambda: WSStepMessage(data={"a": 1}),
                WSStateMessage,
                WSCloseMessage,
                lambda: WSObservationResponse(data={}),
                lambda: WSStateResponse(data={}),
                lambda: WSErrorResponse(data={"code": WSErrorCode.SESSION_ERROR.value}),
                lambda: WSMCPMessage(data={"method": McpMethod.TOOLS_LIST.value}),
                lambda: WSMCPResponse(data={}),
                HealthResponse,
                lambda: HealthResponse(status=HealthStatus.DEGRADED),
                lambda: SchemaResponse(action={}, observation={}, state={}),
                lambda: ResetRequest(seed=1, more=2),
                lambda: ResetRequest(seed=-1),
                lambda: StepRequest(action={}, timeout_s=0),
                lambda: ResetResponse(observation={}),
                lambda: StepResponse(observation={}, reward=1, done=True),
                lambda: ListTasksRequest(split="a"),
                lambda: NumTasksRequest(split="a"),
                lambda: GetTaskRequest(split="a", index="x"),
                lambda: GetTaskRangeRequest(split="a", start=1),
                lambda: CodeExecResult(stdout="", stderr="", exit_code=1),
                lambda: BaseMessage(x=1),
                lambda: Message(role="user", content="x"),
                lambda: Tool(name="a", description="b", input_schema={}, x=1),
                lambda: State(step_count=-1),
                lambda: State(extra=[1]),
                lambda: Observation(x=1),
                lambda: ConcurrencyConfig(max_concurrent_envs=0),
                lambda: ConcurrencyConfig(session_timeout=0),
                lambda: SessionInfo(session_id="a", created_at=1, last_activity_at=2, environment_type="E"),
                lambda: ActionLog(timestamp="t", action={}, observation={}, done=False, step_count=1),
                lambda: EpisodeState(step_count=0),
            )
        ],
        "enums": {
            kind.__name__: {one.name: one.value for one in kind}
            for kind in (WSErrorCode, HealthStatus, ServerMode, McpMethod, ToolErrorType, JsonRpcErrorCode)
        },
        "reserved": sorted(RESERVED_TOOL_NAMES),
        "protocols": [isinstance(ModelTokenizer, type), isinstance(TaskProvider, type)],
    }


def rpc() -> list[Any]:
    """JSON-RPC's models."""
    return [
        tried(lambda: JsonRpcRequest(jsonrpc="2.0", method="tools/list", id=1)),
        tried(lambda: JsonRpcRequest(jsonrpc="1.0", method="x")),
        *[tried(lambda code=code: JsonRpcError.from_code(code)) for code in JsonRpcErrorCode],
        tried(lambda: json.loads(JsonRpcResponse.success({"a": 1}, 7).model_dump_json())),
        tried(lambda: json.loads(JsonRpcResponse.success(None).model_dump_json())),
        tried(
            lambda: json.loads(
                JsonRpcResponse.error_response(JsonRpcErrorCode.INVALID_PARAMS, "no", {"x": 1}, "i").model_dump_json()
            )
        ),
    ]


def errors() -> list[Any]:
    """The exceptions, with the attributes that code reads."""
    made = (
        ConcurrencyConfigurationError("E", 3),
        SessionCapacityError(1, 2),
        SessionNotFoundError("x"),
        SessionCreationError("why"),
        EnvironmentFactoryError("F"),
        SessionCapacityError(1, 2, "own words"),
    )
    names = ("environment_name", "max_concurrent_envs", "active_sessions", "max_sessions", "session_id", "reason", "factory_name")
    told = [{name: getattr(one, name) for name in names if hasattr(one, name)} for one in made]
    return [told, all(isinstance(one, OpenEnvError) for one in made), str(made[-1])]


def serialization() -> list[Any]:
    """Actions from JSON, observations to JSON."""
    return [
        *[
            tried(lambda data=data, kind=kind: deserialize_action(data, kind))
            for kind in (Say, Action, CallToolAction)
            for data in ({}, {"text": "a"}, {"text": 5}, {"type": "list_tools"}, {"type": "call_tool"}, {"tool_name": "a"})
        ],
        *[
            tried(lambda data=data: deserialize_action_with_preprocessing(data, Say))
            for data in ({"action_id": "3"}, {"action_id": "x"}, {"action_id": 3.5}, {"tokens": [1, 2]})
        ],
        tried(lambda: serialize_observation(Heard(text="a", reward=True, done=True, metadata={"b": 1}))),
        tried(lambda: serialize_observation(Heard(reward=3))),
    ]


def servers() -> list[Any]:
    """The functions that make applications, and the server object."""
    server = HTTPEnvServer(Talk, Say, Heard, max_concurrent_envs=3, env_name="talk")
    app = FastAPI()
    server.register_routes(app, "production")
    paths = {getattr(route, "path", "") for route in app.routes}
    config = GetEndpointConfig("/extra", lambda: {"a": 1}, dict, "Tag", "Summary", "Description")
    register_get_endpoints(app, [config])
    status = ServerCapacityStatus.from_counts(2, 3)
    return [
        [server.active_sessions, server.max_concurrent_envs, server.is_concurrency_safe],
        shown(server.concurrency_config),
        shown(server.get_capacity_status()),
        server.get_session_info("nope"),
        [status.available_slots, status.is_at_capacity],
        sorted(path for path in ("/reset", "/step", "/state", "/health", "/mcp", "/ws") if path in paths),
        "/extra" in {getattr(route, "path", "") for route in app.routes},
        *[
            tried(lambda make=make: type(make()).__name__)
            for make in (
                lambda: create_app(Talk(), Say, Heard),
                lambda: create_app(Plain, Say, Heard, max_concurrent_envs=2),
                lambda: create_app(Plain, Say, Heard, max_concurrent_envs=1),
                lambda: create_app(Talk, Say, Heard, "n", 2, None),
                lambda: create_app(Talk, Say, Heard, max_concurrent_envs=2, concurrency_config=ConcurrencyConfig()),
                lambda: create_app(Talk, Say, Heard, max_concurrent_envs=0),
                lambda: create_app(Talk, Say, Heard, mode="PRODUCTION"),
                lambda: create_app(Talk, Say, Heard, mode=ServerMode.SIMULATION),
                lambda: create_app(Talk, Say, Heard, mode="nonsense"),
                lambda: create_fastapi_app(Talk, Say, Heard, 2, None, "n"),
                lambda: create_fastapi_app(lambda: Plain(), Say, Heard, 2),
                lambda: create_web_interface_app(Talk, Say, Heard, env_name="n"),
            )
        ],
    ]


async def web() -> list[Any]:
    """The web page's manager."""
    manager = WebInterfaceManager(Talk(), Say, Heard)
    seen = [await manager.reset_environment({"seed": 1, "more": 2}), await manager.step_environment({"text": "a"})]
    logs = [{key: value for key, value in shown(one).items() if key != "timestamp"} for one in manager.episode_state.action_logs]
    metadata = load_environment_metadata(Talk(), "talk")
    return [
        shown(seen),
        shown(manager.get_state()),
        logs,
        metadata.name,
        isinstance(get_quick_start_markdown(metadata, Say, Heard), str),
    ]


def tools() -> list[Any]:
    """`MCPEnvironment` without a server around it."""
    server: Any = FastMCP("t")

    @server.tool
    def add(a: int, b: int) -> int:
        """Add"""
        return a + b

    environment = Tools(server)
    reserved: Any = FastMCP("r")
    reserved.tool(name="reset")(lambda: 1)
    code = ("result = add(1, 2)", "x = 1", "1 / 0", "not python", "def f():\n    return add(a=2, b=3)\nresult = f()")
    call = environment.step(CallToolAction(tool_name="add", arguments={"a": 1, "b": 2}))
    seen = [
        sorted(environment.get_callables()),
        sorted(get_server_tools(server)),
        environment.supports_code_mode,
        [environment.execute_code(one).metadata for one in code],
        [one.name for one in environment.step(ListToolsAction()).tools],
        [type(call) is CallToolObservation, call.result.data, call.result.content[0].text, call.error],
        environment.step(CallToolAction(tool_name="nope")).error.error_type.value,
        shown(environment.step(Action())),
        tried(lambda: Tools(reserved)),
        tried(lambda: environment.tool(mode="never")),
    ]
    environment.close()
    return [*seen, environment.supports_code_mode]


def base() -> list[Any]:
    """`Environment` and its helpers."""
    talk = Talk()
    return [
        shown(talk.step(Say(text="a"))),
        shown(asyncio.run(talk.reset_async(seed=1))),
        shown(asyncio.run(talk.step_async(Say(text="b"), timeout_s=1))),
        shown(talk.get_metadata()),
        talk.render_web({}),
        talk.web_actions({}),
        talk.close(),
        [talk._reset_rubric(), talk.rubric],
    ]


def main() -> None:
    """Everything, as one document."""
    seen = {
        "models": models(),
        "rpc": rpc(),
        "errors": errors(),
        "serialization": serialization(),
        "servers": servers(),
        "web": asyncio.run(web()),
        "tools": tools(),
        "base": base(),
    }
    sys.stdout.write(json.dumps(seen))


if __name__ == "__main__":
    main()
