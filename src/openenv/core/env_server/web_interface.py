"""The web page of ``ENABLE_WEB_INTERFACE``: a plain one, over one environment that all its visitors share."""

from __future__ import annotations

import asyncio
import html
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from fastapi import FastAPI, Request, Response, WebSocket
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import BaseModel, ConfigDict, Field

from openenv.core.env_server.guest import LoopGuest
from openenv.core.env_server.http_server import create_fastapi_app
from openenv.core.env_server.serialization import deserialize_action_with_preprocessing, serialize_observation
from openenv.core.env_server.types import Action, EnvironmentMetadata, Observation
from openenv.core.env_server.web_errors import making, typed
from openenv.core.env_server.web_pages import OpenPages
from openenv.errors import ExecutionFailed, Forbidden, OpenEnvError, ValidationFailed
from openenv.operation import Connection, Operation, OpName
from openenv.protocol.json import dump, loads, parse
from openenv.runtime.raised import text_of
from openenv.server.core import ServerCore
from openenv.server.http import JSON, read_body
from openenv.server.probes import schema_of

__all__ = [
    "ActionLog",
    "EpisodeState",
    "WebInterfaceManager",
    "create_web_interface_app",
    "get_quick_start_markdown",
    "load_environment_metadata",
]

log = logging.getLogger("openenv.core")

_LIMIT = 1024 * 1024
_STRICT = ConfigDict(extra="forbid", validate_assignment=True)


class ActionLog(BaseModel):
    """One step that was taken on the page."""

    model_config = _STRICT

    timestamp: str
    action: dict[str, Any]
    observation: dict[str, Any]
    reward: float | None = None
    done: bool
    step_count: int


class EpisodeState(BaseModel):
    """What the page shows."""

    model_config = _STRICT

    episode_id: str | None = None
    step_count: int
    current_observation: dict[str, Any] | None = None
    action_logs: list[ActionLog] = Field(default_factory=list)
    is_reset: bool = True


class WebInterfaceManager:
    """Plays one environment for the page, one call at a time, and tells every open page of each change.

    ``env`` is an instance, or a guest that holds one.
    """

    MAX_ACTION_LOGS = 1000
    LONGEST_LOGS = 1024 * 1024
    """Characters of action logs that a page is sent: the newest ones, and at least one."""

    def __init__(
        self,
        env: Any,
        action_cls: type[Action],
        observation_cls: type[Observation],
        metadata: EnvironmentMetadata | None = None,
    ) -> None:
        self._guest = env if isinstance(env, LoopGuest) else type("WebGuest", (LoopGuest,), {"factory": (lambda: env,)})()
        self.env = self._guest.inner
        self.action_cls = action_cls
        self.observation_cls = observation_cls
        self.metadata = metadata or load_environment_metadata(self.env)
        self.episode_state = EpisodeState(step_count=0)
        self.connected_clients: list[WebSocket] = []
        self.pages = OpenPages(self.connected_clients, self._update)
        self._turn = asyncio.Lock()

    async def connect_websocket(self, websocket: WebSocket) -> None:
        """A page that wants to be told."""
        await self.pages.open(websocket)

    async def disconnect_websocket(self, websocket: WebSocket) -> None:
        """It has gone."""
        self.pages.leave(websocket)

    async def reset_environment(self, reset_kwargs: dict[str, Any] | None = None) -> dict[str, Any]:
        """Begin an episode; the answer is a ``/ws`` frame's ``data``."""
        async with self._turn:
            seen = _as_sent(await self._guest.reset(**(reset_kwargs or {})))
            await self._note(seen, is_reset=True)
            self.episode_state.action_logs = []
        self.pages.changed()
        return seen

    async def step_environment(self, action_data: dict[str, Any]) -> dict[str, Any]:
        """Do one action, given as JSON or as a form sends it."""
        action = deserialize_action_with_preprocessing(action_data, self.action_cls)
        async with self._turn:
            seen = _as_sent(await self._guest.step(action))
            await self._note(seen, is_reset=False)
            reward = seen["reward"]
            entry = ActionLog(
                timestamp=datetime.now(UTC).isoformat(),
                action=action.model_dump(mode="json", exclude={"metadata"}),
                observation=seen["observation"],
                reward=None if reward is None else float(reward),
                done=seen["done"],
                step_count=self.episode_state.step_count,
            )
            self.episode_state.action_logs = [*self.episode_state.action_logs, entry][-self.MAX_ACTION_LOGS :]
        self.pages.changed()
        return seen

    def get_state(self) -> dict[str, Any]:
        """The environment's own state, read on the caller's thread."""
        return _shown(self._guest.state)

    async def read_state(self) -> dict[str, Any]:
        """The environment's own state, read where it lives: it may block."""
        return _shown(await self._guest.read_state())

    async def close(self) -> None:
        """Close the environment, after the call that is running."""
        self.pages.end()
        async with self._turn:
            await self._guest.close()

    async def _note(self, seen: dict[str, Any], *, is_reset: bool) -> None:
        state = await self.read_state()
        self.episode_state.episode_id = state.get("episode_id")
        self.episode_state.step_count = state.get("step_count", 0)
        self.episode_state.current_observation = seen["observation"]
        self.episode_state.is_reset = is_reset

    def _update(self) -> str:
        """What a page is sent: how things stand now."""
        known = self.episode_state.model_dump_json(exclude={"action_logs"})
        logs: list[str] = []
        size = 0
        for entry in reversed(self.episode_state.action_logs):
            text = entry.model_dump_json()
            size += len(text)
            if logs and size > self.LONGEST_LOGS:
                break
            logs.append(text)
        shown = f'{known[:-1]},"action_logs":[{",".join(reversed(logs))}]}}'
        return f'{{"type":"state_update","episode_state":{shown}}}'


def _shown(state: Any) -> dict[str, Any]:
    shown: dict[str, Any] = state.model_dump() if isinstance(state, BaseModel) else dict(state)
    return shown


def _as_sent(observation: Observation) -> dict[str, Any]:
    """What the page is sent and keeps: plain JSON. Raises `ExecutionFailed` for what JSON cannot say."""
    sent: dict[str, Any] = loads(dump(serialize_observation(observation), by_alias=False))
    return sent


class WebRoutes:
    """``/web`` and what it needs; the environment is made with the first request that needs it.

    The same callers are let in as by the server's other doors: a page of another origin must not step this environment.
    """

    def __init__(
        self,
        core: ServerCore,
        env: Callable[[], Any],
        action_cls: type[Action],
        observation_cls: type[Observation],
        title: str,
    ) -> None:
        self._core = core
        self._guest_type = type("WebGuest", (LoopGuest,), {"factory": (env,)})
        self._action_cls = action_cls
        self._observation_cls = observation_cls
        self._title = title
        self._manager: WebInterfaceManager | None = None
        self._making = asyncio.Lock()

    def register(self, app: FastAPI) -> None:
        """Add every route."""
        for path in ("/", "/web"):
            app.add_api_route(path, self.to_page, methods=["GET"], include_in_schema=False)
        app.add_api_route("/web/", self.page, methods=["GET"], include_in_schema=False)
        app.add_api_route("/web/metadata", self.metadata, methods=["GET"], tags=["Web"])
        app.add_api_route("/web/state", self.state, methods=["GET"], tags=["Web"])
        app.add_api_route("/web/reset", self.reset, methods=["POST"], tags=["Web"])
        app.add_api_route("/web/step", self.step, methods=["POST"], tags=["Web"])
        app.add_api_websocket_route("/ws/ui", self.updates)

    async def manager(self) -> WebInterfaceManager:
        """The one environment of the page."""
        async with self._making:
            if self._manager is None:
                with making():
                    guest = await asyncio.to_thread(self._guest_type)
                    metadata = load_environment_metadata(guest.inner, self._core.specification.name)
                self._manager = WebInterfaceManager(guest, self._action_cls, self._observation_cls, metadata)
            return self._manager

    async def close(self) -> None:
        """Close the page's environment, if one was made."""
        if self._manager is None:
            return
        try:
            await self._manager.close()
        except Exception:  # teardown of anybody's code
            log.exception("the environment of the page raised in close")

    async def to_page(self) -> Response:
        """To the page."""
        return RedirectResponse("/web/", status_code=307)

    async def page(self, request: Request) -> Response:
        """The page: the last observation, a box for an action, a button for each verb."""
        self._admit(request, "describe")
        try:
            schema = json.dumps(schema_of(self._action_cls, "action"), indent=2)
        except ExecutionFailed as error:  # the page can be used without it
            schema = error.message
        return HTMLResponse(_PAGE.format(title=html.escape(self._title), schema=html.escape(schema)))

    async def metadata(self, request: Request) -> Response:
        """What the environment is."""
        self._admit(request, "describe")
        return Response(dump((await self.manager()).metadata), media_type=JSON)

    async def state(self, request: Request) -> Response:
        """Where the page's episode stands."""
        self._admit(request, "state")
        manager = await self.manager()
        with typed("state"):
            try:
                return Response(dump(await manager.read_state()), media_type=JSON)
            except RuntimeError as error:
                return Response(dump({"detail": text_of(error)}), status_code=409, media_type=JSON)

    async def reset(self, request: Request) -> Response:
        """Begin the page's next episode."""
        self._admit(request, "reset")
        body = await _object(request)
        manager = await self.manager()
        with typed("reset"):
            return Response(dump(await manager.reset_environment(body)), media_type=JSON)

    async def step(self, request: Request) -> Response:
        """Do one action: ``{"action": {…}}``, or ``{"message": text}`` for actions that are one; a message comes first."""
        self._admit(request, "step")
        body = await _object(request)
        action = {"message": body["message"]} if "message" in body else body.get("action", {})
        if not isinstance(action, dict):
            raise ValidationFailed("the action is no object", field="action", example={"action": {}})
        manager = await self.manager()
        with typed("the action was not taken"):
            return Response(dump(await manager.step_environment(action)), media_type=JSON)

    async def updates(self, websocket: WebSocket) -> None:
        """Tells a page of every change, for as long as it is open."""
        try:
            self._check(self._core.connection("websocket", websocket.scope), "state")
        except OpenEnvError as error:
            log.info("a page's socket was refused: %s", error)
            await websocket.close(code=1008)
            return
        manager = await self.manager()
        await manager.connect_websocket(websocket)
        await manager.pages.watch(websocket)

    def _admit(self, request: Request, op: OpName) -> None:
        self._check(self._core.connection("http", request.scope), op)

    def _check(self, connection: Connection, op: OpName) -> None:
        """The page's environment is no session: the same scopes and limits are asked for here, and no bound token is."""
        if op != "describe" and connection.principal.session is not None:
            raise Forbidden("this token is bound to one session", hint="The page's environment is another one.")
        self._core.pipeline.check(self._core.operation(Operation(op), connection, self._core.context(connection)))


def create_web_interface_app(
    env: Callable[[], Any],
    action_cls: type[Action],
    observation_cls: type[Observation],
    env_name: str | None = None,
    max_concurrent_envs: int | None = None,
    concurrency_config: Any | None = None,
    gradio_builder: Callable[..., Any] | None = None,
    custom_tab_name: str = "Custom",
    custom_tab_primary: bool = False,
    show_default_tab: bool = True,
    title_override: str | None = None,
    **known: Any,
) -> FastAPI:
    """`create_fastapi_app` with the page at ``/web``. The Gradio arguments are taken and not used."""
    app = create_fastapi_app(env, action_cls, observation_cls, max_concurrent_envs, concurrency_config, env_name, **known)
    core: ServerCore = app.state.openenv
    routes = WebRoutes(core, env, action_cls, observation_cls, title_override or core.specification.name)
    routes.register(app)
    inner = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(application: Any) -> AsyncIterator[Any]:
        try:
            async with inner(application) as state:
                yield state
        finally:
            await routes.close()

    app.router.lifespan_context = lifespan
    return app


def load_environment_metadata(env: Any, env_name: str | None = None) -> EnvironmentMetadata:
    """What an environment, or its class, says of itself."""
    given = getattr(env, "get_metadata", None)
    if given is not None and not isinstance(env, type):
        found: EnvironmentMetadata = given()
        return found
    name = env_name or getattr(env, "__name__", None) or type(env).__name__
    return EnvironmentMetadata(name=name, description=f"{name} environment", version="1.0.0")


def get_quick_start_markdown(
    metadata: EnvironmentMetadata | None, action_cls: type[Action], observation_cls: type[Observation]
) -> str:
    """A few lines of Markdown that show a client of this environment."""
    name = metadata.name if metadata else "environment"
    return (
        f"### {name}\n\n```python\nfrom openenv.core import GenericEnvClient\n\n"
        'with GenericEnvClient(base_url="http://localhost:8000").sync() as client:\n'
        f"    client.reset()\n    client.step({{...}})  # {action_cls.__name__} in, {observation_cls.__name__} out\n```\n"
    )


async def _object(request: Request) -> dict[str, Any]:
    raw = await read_body(request, _LIMIT)
    body = parse(raw) if raw.strip() else {}
    if not isinstance(body, dict):
        raise ValidationFailed("the body is not a JSON object", example={})
    return body


_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{title}</title>
<style>
body {{ font: 16px/1.5 system-ui; max-width: 50em; margin: 2em auto; padding: 0 1em; }}
pre, textarea {{ width: 100%; box-sizing: border-box; }}
</style>
<h1>{title}</h1>
<p><button id="reset">Reset</button> <button id="step">Step</button> <button id="state">State</button></p>
<textarea id="action" rows="4" aria-label="The action as JSON">{{}}</textarea>
<pre id="answer">Reset to begin.</pre>
<details><summary>What an action looks like</summary><pre>{schema}</pre></details>
<script>
const answer = document.getElementById("answer");
async function ask(path, body) {{
  const how = body === undefined ? {{}} : {{method: "POST", headers: {{"content-type": "application/json"}}, body}};
  const reply = await fetch(path, how);
  answer.textContent = JSON.stringify(await reply.json(), null, 2);
}}
document.getElementById("reset").onclick = () => ask("reset", "{{}}");
document.getElementById("state").onclick = () => ask("state");
document.getElementById("step").onclick = () =>
  ask("step", `{{"action": ${{document.getElementById("action").value}}}}`);
</script></html>
"""
