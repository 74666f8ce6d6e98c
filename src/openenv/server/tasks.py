"""The Task API: an environment's catalogue of tasks, by split (OpenEnv 0.10's five routes)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from fastapi import APIRouter, Request, Response

from openenv.errors import ExecutionFailed, OpenEnvError, Unsupported, ValidationFailed
from openenv.operation import Connection, Operation, RequestContext
from openenv.protocol.bodies import SplitRequest, TaskRangeRequest, TaskRequest
from openenv.protocol.json import dump
from openenv.server.core import ServerCore
from openenv.server.described import ANY_OBJECT, JSON, answers, body_schema, listed
from openenv.server.http import parse_body, read_body

__all__ = ["TaskRoutes"]

_KINDS = frozenset({"train", "validation", "test"})


class _UnknownEnvironment(ValidationFailed):
    """There is no environment of that name here: answered as OpenEnv does, with ``detail``."""

    http_status = 404


class TaskRoutes:
    """The routes of one server; each call asks a world of its own, as OpenEnv does."""

    def __init__(self, core: ServerCore) -> None:
        self.core = core

    def register(self, router: APIRouter) -> None:
        """Add every route."""
        add, split = router.add_api_route, body_schema(SplitRequest)
        splits, tasks = answers({"type": "array"}), answers(listed("tasks"))
        one, some = body_schema(TaskRequest), body_schema(TaskRangeRequest)
        add("/{env_name}/splits", self.splits, methods=["GET"], tags=["Tasks"], **splits)
        add("/{env_name}/tasks", self.tasks, methods=["POST"], tags=["Tasks"], **split, **tasks)
        add("/{env_name}/num_tasks", self.num_tasks, methods=["POST"], tags=["Tasks"], **split, **answers(ANY_OBJECT))
        add("/{env_name}/task", self.task, methods=["POST"], tags=["Tasks"], **one, **answers(ANY_OBJECT))
        add("/{env_name}/task_range", self.task_range, methods=["POST"], tags=["Tasks"], **some, **tasks)

    async def splits(self, request: Request, env_name: str) -> Response:
        """The splits that there are."""
        return await self._answer(request, env_name, None, "list_splits", lambda found: [_split(one) for one in found])

    async def tasks(self, request: Request, env_name: str) -> Response:
        """The tasks of a split."""
        name = self.core.specification.name
        return await self._answer(
            request, env_name, SplitRequest, "list_tasks", lambda found: {"tasks": _items(found), "env_name": name}
        )

    async def num_tasks(self, request: Request, env_name: str) -> Response:
        """How many tasks a split has."""
        return await self._answer(request, env_name, SplitRequest, "num_tasks", lambda found: {"num_tasks": found})

    async def task(self, request: Request, env_name: str) -> Response:
        """One task."""
        return await self._answer(request, env_name, TaskRequest, "get_task", lambda found: {"task": found})

    async def task_range(self, request: Request, env_name: str) -> Response:
        """Some tasks of a split."""
        return await self._answer(request, env_name, TaskRangeRequest, "get_task_range", lambda found: {"tasks": _items(found)})

    async def _answer(self, request: Request, env_name: str, model: Any, method: str, shape: Any) -> Response:
        core = self.core
        connection = core.connection("http", request.scope)
        context = core.context(connection)
        if env_name.lower() != core.specification.name.lower():
            unknown = _UnknownEnvironment(f"unknown environment '{env_name[:80]}'", hint=f"It is {core.specification.name}.")
            try:
                await core.refuse(unknown, connection, context)
            except _UnknownEnvironment as error:
                return _detail(404, error.message)
        arguments: Mapping[str, Any] = {}
        size = 0
        if model is not None:
            try:
                raw = await read_body(request, core.max_body_bytes)
                size, arguments = len(raw), parse_body(model, raw).model_dump()
            except OpenEnvError as error:
                await core.refuse(error, connection, context)
        try:
            found = await self._ask((method, arguments), connection, context, size)
            return Response(dump(_shaped(shape, found, method), by_alias=False), media_type=JSON)
        except Unsupported as error:
            return _detail(501, error.message)
        except ExecutionFailed as error:
            if isinstance(error.__cause__, IndexError):
                return _detail(400, "Invalid task index")
            raise

    async def _ask(
        self, question: tuple[str, Mapping[str, Any]], connection: Connection, context: RequestContext, size: int
    ) -> Any:
        operation = self.core.operation(Operation("ask", question), connection, context, size)
        result = await self.core.pipeline.run(operation)
        if result.error is not None:
            raise result.error
        return result.value


def _items(found: Any) -> Any:
    """Tasks as they are sent: what has names and what is a text is passed on as it is, as OpenEnv does."""
    return found if isinstance(found, (Mapping, str)) else list(found)


def _shaped(shape: Callable[[Any], Any], found: Any, method: str) -> Any:
    try:
        return shape(found)
    except TypeError as error:
        raise ExecutionFailed(f"{method} returned {type(found).__name__}, not a list") from error


def _split(split: Any) -> Any:
    """A split by name gets its kind; one that is an object already is passed on."""
    if isinstance(split, str):
        return {"name": split, "type": split if split in _KINDS else "validation"}
    return split


def _detail(status: int, text: str) -> Response:
    return Response(json.dumps({"detail": text}, separators=(",", ":")), status_code=status, media_type=JSON)
