"""The HTTP routes: OpenEnv's own, sessions over HTTP, and grading."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from starlette.requests import ClientDisconnect

from openenv.errors import ExecutionFailed, Forbidden, OpenEnvError, PayloadTooLarge, ValidationFailed
from openenv.operation import ANONYMOUS, LAST_KNOWN, Connection, Operation, RequestContext, Result
from openenv.protocol.bodies import ResetRequest, StepRequest
from openenv.protocol.json import body_of, dump, dump_error, errors_of, loads, number
from openenv.runtime import SessionRequest
from openenv.scenario import Scenario
from openenv.server.core import ServerCore
from openenv.server.described import ANSWER, ANY_OBJECT, JSON, answers, body_schema, listed, step_schema
from openenv.types import Reward, is_choice
from openenv.verifiers import VerifierSpec

__all__ = ["JSON", "HttpRoutes", "error_response", "parse_body", "read_body", "retry_headers"]

SQLITE = "application/vnd.sqlite3"
BODY_S = 30.0
"""How long a body may take, beside what its length takes at the slowest pace."""
SLOWEST_BODY = 16_384
"""Bytes per second."""


class VerifyRequest(BaseModel):
    """What ``POST /sessions/{id}/verify`` takes."""

    model_config = ConfigDict(extra="forbid")

    response: str | None = Field(default=None, description="The agent's last words")
    verifiers: list[VerifierSpec] | None = Field(default=None, max_length=100, description="Instead of the loaded scenario's")


class QueryRequest(BaseModel):
    """What ``POST /sessions/{id}/sql`` takes."""

    model_config = ConfigDict(extra="forbid")

    query: str


class HttpRoutes:
    """The routes of one server."""

    def __init__(self, core: ServerCore) -> None:
        self.core = core
        self._actions: TypeAdapter[Any] = TypeAdapter(core.specification.action_type)
        self._choice = is_choice(core.specification.action_type)

    def register(self, router: APIRouter) -> None:
        """Add every route."""
        body, add = body_schema, router.add_api_route
        if self.core.simulation:
            known = self.core.specification
            action = known.shown_action_type or known.action_type
            step = step_schema(StepRequest, action, bare=known.environment_type.bare_action)
            reset = body(ResetRequest, required=False)
            add("/reset", self.reset, methods=["POST"], tags=["Environment"], **reset, **answers(ANSWER))
            add("/step", self.step, methods=["POST"], tags=["Environment"], **step, **answers(ANSWER))
            add("/state", self.state, methods=["GET"], tags=["Environment"], **answers(ANY_OBJECT))
        made = answers(ANY_OBJECT, status=201, what="It is open")
        sessions, of_one = answers(listed("sessions", ANY_OBJECT)), answers(ANY_OBJECT)
        add("/sessions", self.create_session, methods=["POST"], status_code=201, tags=["Sessions"], **made)
        add("/sessions", self.list_sessions, methods=["GET"], tags=["Sessions"], **sessions)
        one = "/sessions/{session_id}"
        add(one, self.show_session, methods=["GET"], tags=["Sessions"], **of_one)
        add(one, self.close_session, methods=["DELETE"], tags=["Sessions"], **of_one)
        add(f"{one}/scenario", self.load_scenario, methods=["POST"], tags=["Grading"], **body(Scenario), **answers(ANSWER))
        verify, query = body(VerifyRequest, required=False), body(QueryRequest)
        add(f"{one}/verify", self.verify, methods=["POST"], tags=["Grading"], **verify, **of_one)
        add(f"{one}/sql", self.query, methods=["POST"], tags=["Grading"], **query, **of_one)
        image = answers({"type": "string", "format": "binary"}, media=SQLITE, what="The database")
        add(f"{one}/database", self.export, methods=["GET"], tags=["Grading"], response_class=Response, **image)

    async def reset(self, request: Request) -> Response:
        """Begin an episode: in the session that the request names, or in a world of its own that is closed again."""
        connection, context = self._admit(request)
        body, size = await self._body(request, connection, context, lambda raw: parse_body(ResetRequest, raw or b"{}"))
        return await self._play(Operation("reset", arguments=_sent(body)), connection, context, size)

    async def step(self, request: Request) -> Response:
        """Do one action."""
        connection, context = self._admit(request)
        operation, size = await self._body(request, connection, context, self._parse_step)
        return await self._play(operation, connection, context, size)

    async def state(self, request: Request) -> Response:
        """Where the episode stands; while an operation runs, where it stood before (``X-OpenEnv-Busy: true``)."""
        connection, context = self._admit(request)
        result = await self._run(Operation("state", LAST_KNOWN), connection, context)
        return Response(dump(result.value), media_type=JSON, headers={"X-OpenEnv-Busy": "true"} if result.busy else None)

    async def create_session(self, request: Request) -> Response:
        """Open a session that lives until it is closed or nobody asked for it for the length of its lease."""
        connection, context = self._admit(request)
        world = self.core.world_of(context)
        create = self.core.operation(Operation("create", SessionRequest(world_name=world)), connection, context)
        result = await self.core.pipeline.run(create)
        if result.error is not None:
            raise result.error
        made = {"session_id": result.session, "world": world, "lease_s": self.core.manager.leases.lease_s}
        return Response(dump(made), status_code=201, media_type=JSON)

    async def list_sessions(self, request: Request) -> Response:
        """The caller's sessions."""
        connection, context = self._admit(request)
        self.core.pipeline.check(self.core.operation(Operation("sessions"), connection, context))
        if connection.principal is ANONYMOUS and not self.core.lists_for_strangers:
            raise Forbidden("sessions are not listed for callers without a name", hint="Ask for yours by its id.")
        sessions = [session.describe() for session in self.core.manager.visible(connection.principal)]
        known: dict[str, Any] = {"sessions": sessions}
        if self.core.siblings is not None:
            elsewhere, silent = await self.core.siblings.sessions(connection.principal)
            sessions += elsewhere
            known |= {"silent_workers": silent} if silent else {}
        return Response(dump(known), media_type=JSON)

    async def show_session(self, request: Request, session_id: str) -> Response:
        """One of the caller's sessions."""
        connection, context = self._admit(request)
        self.core.pipeline.check(self.core.operation(Operation("sessions", session=session_id), connection, context))
        session = self.core.manager.session(session_id, connection.principal)
        return Response(dump(session.describe()), media_type=JSON)

    async def close_session(self, request: Request, session_id: str) -> Response:
        """End a session; one that a socket is attached to ends when that socket does."""
        connection, context = self._admit(request)
        result = await self._run(Operation("close", session=session_id), connection, context)
        return Response(dump(result.value), media_type=JSON)

    async def load_scenario(self, request: Request, session_id: str) -> Response:
        """Load a scenario into a session: its seed, its setup, its verifiers. Later resets keep it."""
        connection, context = self._admit(request)
        scenario, size = await self._body(request, connection, context, lambda raw: parse_body(Scenario, raw))
        operation = Operation("load_scenario", scenario, session=session_id)
        return await self._play(operation, connection, context, size)

    async def verify(self, request: Request, session_id: str) -> Response:
        """Grade the episode as it stands."""
        connection, context = self._admit(request)
        body, size = await self._body(request, connection, context, lambda raw: parse_body(VerifyRequest, raw or b"{}"))
        operation = Operation("verify", (body.response, body.verifiers), session=session_id)
        result = await self._run(operation, connection, context, size)
        return Response(dump(result.value), media_type=JSON)

    async def query(self, request: Request, session_id: str) -> Response:
        """Run one read-only query on a copy of the world's database."""
        connection, context = self._admit(request)
        body, size = await self._body(request, connection, context, lambda raw: parse_body(QueryRequest, raw))
        result = await self._run(Operation("query", body.query, session=session_id), connection, context, size)
        return Response(dump(result.value), media_type=JSON)

    async def export(self, request: Request, session_id: str, at: str = "final") -> Response:
        """The world's database as SQLite's bytes: as it is now (``at=final``) or as the episode began (``at=initial``)."""
        connection, context = self._admit(request)
        if at not in ("initial", "final"):
            raise ValidationFailed(f"at={at!r} is neither 'initial' nor 'final'", field="at", example="final")
        result = await self._run(Operation("export", at, session=session_id), connection, context)
        return Response(result.value, media_type=SQLITE)

    def _admit(self, request: Request) -> tuple[Connection, RequestContext]:
        connection = self.core.connection("http", request.scope)
        return connection, self.core.context(connection)

    async def _body(
        self, request: Request, connection: Connection, context: RequestContext, parse: Callable[[bytes], Any]
    ) -> tuple[Any, int]:
        """The parsed body and its length in bytes."""
        try:
            raw = await read_body(request, self.core.max_body_bytes)
            return parse(raw), len(raw)
        except OpenEnvError as error:
            await self.core.refuse(error, connection, context)

    def _parse_step(self, raw: bytes) -> Operation:
        if not raw:
            detail = {"type": "missing", "loc": ["body"], "msg": "Field required", "input": None}
            raise Unprocessable("there is no body", errors=[detail])
        value = _json(raw)
        if self.core.specification.environment_type.bare_action and _is_bare(value):
            value = {"action": value}
        body = _validated(StepRequest, value)
        try:
            action = self._actions.validate_json(json.dumps(body.action))
        except ValidationError as error:
            raise _unprocessable(error, choice=self._choice) from None
        extras = _sent(body)
        del extras["action"]
        return Operation("step", action, extras)

    async def _run(self, operation: Operation, connection: Connection, context: RequestContext, size: int = 0) -> Result:
        if operation.session is None:
            operation.session = await self.core.session_for(connection, context)
        result = await self.core.pipeline.run(self.core.operation(operation, connection, context, size))
        if result.error is not None:
            raise result.error
        return result

    async def _play(self, operation: Operation, connection: Connection, context: RequestContext, size: int) -> Response:
        result = await self._run(operation, connection, context, size)
        observation = result.observation
        assert observation is not None
        metadata = dump(observation.metadata) if observation.metadata else b"null"
        content = b'{"observation":%b,"reward":%b,"done":%b,"metadata":%b}' % (
            body_of(observation),
            number(_as_float(result.reward)),
            b"true" if result.done else b"false",
            metadata,
        )
        return Response(content, media_type=JSON)


def _as_float(reward: Reward) -> float | None:
    try:
        return None if reward is None else float(reward)
    except OverflowError:
        raise ExecutionFailed("the environment's reward is too large for a float") from None


class _TooSlow(ValidationFailed):
    """A body that does not end."""

    http_status = 408


class Unprocessable(ValidationFailed):
    """A body that FastAPI would refuse: answered as FastAPI does, with ``detail``."""


def error_response(error: OpenEnvError) -> Response:
    """A typed error as an HTTP answer."""
    if isinstance(error, Unprocessable):
        return Response(dump({"detail": error.errors}), status_code=422, media_type=JSON)
    headers = retry_headers(error)
    if error.http_status == 401:
        headers["WWW-Authenticate"] = getattr(error, "challenge", "Bearer")
    return Response(b'{"error":%b}' % dump_error(error.body()), status_code=error.http_status, headers=headers, media_type=JSON)


def retry_headers(error: OpenEnvError) -> dict[str, str]:
    """``Retry-After`` in whole seconds, never too early, where the error says when to come back."""
    retry_after = getattr(error, "retry_after_s", None)
    return {} if retry_after is None or not math.isfinite(retry_after) else {"Retry-After": str(max(1, math.ceil(retry_after)))}


async def read_body(request: Request, limit: int) -> bytes:
    """The whole body.

    Raises `PayloadTooLarge` as soon as it is known to be longer than ``limit`` bytes, and `ValidationFailed` for one that
    breaks off or takes too long: 30 s, and a second more for every 16 KiB.
    """
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > limit:
        raise _too_large(limit)
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_S) as patience:
            began = asyncio.get_running_loop().time()
            async for part in request.stream():
                size += len(part)
                if size > limit:
                    raise _too_large(limit)
                parts.append(part)
                patience.reschedule(began + BODY_S + size / SLOWEST_BODY)
    except TimeoutError:
        raise _TooSlow(f"the body did not come in time: {size} bytes", hint="Send it faster, or less of it.") from None
    except ClientDisconnect:
        raise ValidationFailed("the body broke off", hint="Send as many bytes as Content-Length says.") from None
    return b"".join(parts)


def _too_large(limit: int) -> PayloadTooLarge:
    return PayloadTooLarge(f"the body is longer than {limit} bytes", hint="Send less.")


def _json(raw: bytes) -> Any:
    try:
        return loads(raw, bounded=True)
    except json.JSONDecodeError as error:
        place, reason = error.pos, error.msg
    except (RecursionError, ValueError) as error:
        place, reason = 0, str(error)
    detail = {"type": "json_invalid", "loc": ["body", place], "msg": "JSON decode error", "input": {}, "ctx": {"error": reason}}
    raise Unprocessable("the body is not JSON", errors=[detail])


def parse_body(model: type[Any], raw: bytes) -> Any:
    """The body as a model. Raises what is answered with 422, as FastAPI does."""
    return _validated(model, _json(raw))


def _validated(model: type[Any], value: Any) -> Any:
    try:
        return model.model_validate(value, from_attributes=True)  # as FastAPI does: its error for what is no object
    except ValidationError as error:
        raise _unprocessable(error, prefix=("body",)) from None


def _unprocessable(error: ValidationError, *, prefix: tuple[str, ...] = (), choice: bool = False) -> Unprocessable:
    errors = errors_of(error, choice=choice, url=False)
    for one in errors:
        one["loc"] = [*prefix, *one["loc"]]
    return Unprocessable("the body does not fit", errors=errors)


def _sent(body: BaseModel) -> dict[str, Any]:
    """The fields that were in the body, as they were sent or validated; nothing that was not."""
    values = {name: getattr(body, name) for name in body.model_fields_set if name in type(body).model_fields}
    return values | (body.__pydantic_extra__ or {})


def _is_bare(value: Any) -> bool:
    return isinstance(value, dict) and "action" not in value
