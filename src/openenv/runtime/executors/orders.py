"""What a server tells a worker: which environment to serve, and each operation.

These are pickles: they go from the server, which is trusted, to the worker, which already runs the environment's code.
Nothing that comes back is one (`openenv.runtime.executors.answers`). A pickle keeps an action as it was validated, where
JSON would have it validated a second time, and lose what it does not show.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from openenv.errors import ConfigurationError, ExecutionFailed
from openenv.operation import ANONYMOUS, NO_CONTEXT, Control, Operation, Principal, RequestContext
from openenv.runtime.specification import EnvironmentSpecification

__all__ = ["OrderReader", "OrderWriter", "Plan"]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a worker has to know before it can make an environment."""

    factory: bytes
    """A pickle of the factory and its types: the worker imports them by their names."""
    name: str
    memory_mb: int
    """What the worker may hold; 0 is no limit."""
    server_pid: int = 0
    """Of the process that starts it; filled in when it does."""

    @classmethod
    def of(cls, specification: EnvironmentSpecification, memory_mb: int) -> Plan:
        """The plan for an environment. Raises `ConfigurationError` when another process could not find its factory."""
        parts = (
            specification.factory,
            specification.environment_type,
            specification.action_type,
            specification.observation_type,
            specification.state_type,
        )
        for part in parts[:2]:
            if getattr(part, "__module__", None) == "__main__":
                raise _cannot_be_found(specification, "it is defined in the program that is run (__main__)")
        try:
            return cls(pickle.dumps(parts, pickle.HIGHEST_PROTOCOL), specification.name, memory_mb)
        except Exception as error:  # noqa: BLE001 - pickle raises whatever the objects' classes raise
            where = getattr(specification.factory, "__qualname__", None) or repr(specification.factory)
            raise _cannot_be_found(specification, f"{where} cannot be imported by its name: {error}") from None

    def specification(self) -> EnvironmentSpecification:
        """The specification again, in the worker."""
        factory, kind, action, observation, state = pickle.loads(self.factory)
        return EnvironmentSpecification.of(factory, action, observation, state, self.name, environment_type=kind)


def _cannot_be_found(specification: EnvironmentSpecification, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"{specification.name} runs in worker processes, and these cannot find its factory: {why}",
        hint="Put the class, or a function that makes it, at the top level of a module that can be imported.",
    )


_CALLER = tuple[Principal, RequestContext]
_NO_MORE: tuple[None, frozenset[str], bool, None] = (None, frozenset(), False, None)


class OrderWriter:
    """Writes the operations of one world; who acts is told when that changes."""

    def __init__(self, principal: Principal, context: RequestContext) -> None:
        self._principal = principal
        self._context = context

    def opening(self) -> bytes:
        """The order that makes the world."""
        return pickle.dumps(_plain(self._principal, self._context), pickle.HIGHEST_PROTOCOL)

    def write(self, operation: Operation) -> bytes:
        """An operation. Raises `ExecutionFailed` when it holds what cannot be sent."""
        caller: _CALLER | None = None
        if operation.principal is not self._principal or operation.context is not self._context:
            caller = _plain(operation.principal, operation.context)
        controlled = operation.control is not None
        order: tuple[Any, ...] = (operation.op, operation.payload)
        if caller is not None or controlled or operation.arguments is not None or operation.include:
            order += (operation.arguments, operation.include, controlled, caller)
        try:
            written = pickle.dumps(order, pickle.HIGHEST_PROTOCOL)
        except BaseException as error:  # noqa: BLE001 - pickle raises whatever the objects' classes raise: SystemExit too
            raise ExecutionFailed(
                f"the operation cannot be sent to its worker process: {error}",
                hint="Define the action's class at the top level of a module.",
            ) from None
        self._principal, self._context = operation.principal, operation.context
        return written


class OrderReader:
    """Reads what an `OrderWriter` wrote, in the worker."""

    def __init__(self) -> None:
        self._caller: _CALLER = (ANONYMOUS, NO_CONTEXT)

    def opening(self, payload: bytes) -> _CALLER:
        """Who opens the world, and in which context."""
        self._caller = pickle.loads(payload)
        return self._caller

    def read(self, payload: bytes, control: Callable[[], Control]) -> Operation:
        """The operation; with a control of its own where its caller has one."""
        op, body, *more = pickle.loads(payload)
        arguments, include, controlled, caller = more or _NO_MORE
        if caller is not None:
            self._caller = caller
        operation = Operation(op, body, arguments, None, *self._caller, include=include)
        if controlled:
            operation.control = control()
        return operation


def _plain(principal: Principal, context: RequestContext) -> _CALLER:
    return principal, RequestContext(dict(context.headers), dict(context.query))
