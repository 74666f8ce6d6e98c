"""The soaked application with a leak: each tenth world and a task outlive their session."""

from __future__ import annotations

import asyncio

from openenv.middleware import Hooks
from openenv.operation import Operation, Result
from tests.soak.app import made

_kept: list[object] = []


class Leak(Hooks):
    def after(self, operation: Operation, result: Result) -> None:
        if operation.op == "close" and operation.transport == "runtime":
            _kept.append(bytearray(200_000))
            if len(_kept) % 10 == 0:
                _kept.append(asyncio.get_running_loop().create_task(asyncio.sleep(3600)))


app = made(Leak())
