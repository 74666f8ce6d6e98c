"""Tools called in sessions that have types."""

from __future__ import annotations

from typing import Any

import pytest

from openenv import EnvClient, Observation
from openenv.client import Connection
from openenv.errors import ToolFailed, ValidationFailed
from openenv.types import StepResult
from tests.support.processes import Server

pytestmark = pytest.mark.e2e


class Sheet(Observation):
    """What no step of the desk's is."""

    lines: int


class Counting(EnvClient[Any, int, Any]):
    """A client whose hook asks for what is not there."""

    def _parse_result(self, data: dict[str, Any]) -> StepResult[int]:
        return StepResult(observation=data["observation"]["lines"])


@pytest.mark.parametrize("types", [{"observation_type": Sheet}, {"client": Counting}])
async def test_the_tools_value_is_returned_where_its_observation_is_of_another_type(desk: Server, types: dict[str, Any]) -> None:
    async with Connection(desk.url) as connection:
        [session] = await connection.open(**types)
        assert await session.call_tool("drawer_put", {"drawer": 1, "name": "pen"}) == 1
        assert session.result is not None
        assert session.result.observation["tool_name"] == "drawer_put"
        assert session.result.terminated is False
        with pytest.raises(ToolFailed, match="Cats do not stay"):
            await session.call_tool("drawer_put", {"drawer": 1, "name": "cat"})
        with pytest.raises((ValidationFailed, KeyError)):
            await session.reset()
        assert await session.call_tool("drawer_list", {"drawer": 1}) == []
