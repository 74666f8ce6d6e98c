"""What tells about a server: health, metadata, schemas, metrics."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import TypeAdapter
from pydantic.errors import PydanticUserError

from openenv.errors import ExecutionFailed
from openenv.middleware.metrics import CONTENT_TYPE, Metrics, workers_up
from openenv.operation import Connection, Operation, OpName
from openenv.protocol.json import dump
from openenv.runtime import EnvironmentSpecification
from openenv.server.core import ServerCore
from openenv.server.described import ANY_OBJECT, JSON, answers

__all__ = ["Probes", "schema_of"]


class Probes:
    """The probing routes of one server."""

    def __init__(self, core: ServerCore, metrics: Metrics | None) -> None:
        self.core = core
        self._metrics = metrics
        self._schemas: bytes | None = None
        self._told: bytes | None = None
        """What the first instance that was asked said of itself."""
        self._asking = asyncio.Lock()

    def register(self, router: APIRouter) -> None:
        """Add every route."""
        add = router.add_api_route
        add("/health", self.health, methods=["GET"], tags=["Server"])
        add("/metadata", self.metadata, methods=["GET"], tags=["Server"], **answers(ANY_OBJECT))
        add("/schema", self.schema, methods=["GET"], tags=["Server"], **answers(ANY_OBJECT))
        names = answers({"type": "array", "items": {"type": "string"}})
        add("/list_environments", self.list_environments, methods=["GET"], tags=["Server"], **names)
        if self._metrics is not None:
            text = answers({"type": "string"}, media="text/plain", what="Prometheus' text format")
            add("/metrics", self.metrics, methods=["GET"], tags=["Server"], response_class=Response, **text)

    async def health(self) -> dict[str, str]:
        """Whether the server answers."""
        return {"status": "healthy"}

    async def metadata(self, request: Request) -> Response:
        """What the environment is."""
        core = self.core
        connection = self._check(request, "describe")
        if not core.specification.environment_type.metadata_by_instance:
            return Response(dump(core.specification.environment_type.get_metadata()), media_type=JSON)
        asked = core.operation(Operation("ask", ("get_metadata", {})), connection, core.context(connection))
        async with self._asking:
            if self._told is None:
                result = await core.pipeline.run(asked)
                if result.error is not None:
                    raise result.error
                self._told = dump(result.value)
                return Response(self._told, media_type=JSON)
        core.pipeline.check(asked)
        return Response(self._told, media_type=JSON)

    async def schema(self, request: Request) -> Response:
        """The JSON Schemas of actions, observations and states."""
        self._check(request, "describe")
        if self._schemas is None:
            self._schemas = _schemas_of(self.core.specification)
        return Response(self._schemas, media_type=JSON)

    async def list_environments(self, request: Request) -> list[str]:
        """The environments served here."""
        self._check(request, "describe")
        return list(self.core.names())

    async def metrics(self, request: Request) -> Response:
        """Prometheus' text format, for callers with the scope ``metrics``."""
        self._check(request, "metrics")
        assert self._metrics is not None
        if self.core.siblings is None:
            return Response(self._metrics.render(), media_type=CONTENT_TYPE)
        total, answered = await self.core.siblings.metrics(self._metrics)
        return Response(total.render() + workers_up(self.core.specification.name, answered), media_type=CONTENT_TYPE)

    def _check(self, request: Request, op: OpName) -> Connection:
        core = self.core
        connection = core.connection("http", request.scope)
        core.pipeline.check(core.operation(Operation(op), connection, core.context(connection)))
        return connection


def _schemas_of(known: EnvironmentSpecification) -> bytes:
    """Every type's schema, as JSON. Raises `ExecutionFailed` where a type has none: such types can be played all the same."""
    types = {
        "action": known.shown_action_type or known.action_type,
        "observation": known.observation_type,
        "state": known.state_type,
        "reset_observation": known.reset_observation_type or known.observation_type,
    }
    return dump({name: schema_of(shown, name) for name, shown in types.items()})


def schema_of(shown: Any, name: str) -> dict[str, Any]:
    """A type's JSON Schema. Raises `ExecutionFailed` for a type that has none, such as one with a field of a plain class."""
    try:
        return TypeAdapter(shown).json_schema()
    except PydanticUserError as error:
        raise ExecutionFailed(
            f"the type of {name} has no JSON Schema: {error.message}",
            hint="Give its fields types that JSON knows, or a __get_pydantic_json_schema__.",
        ) from error
