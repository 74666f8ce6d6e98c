"""A toy agent: a process with a loop of its own, which reads a line and answers with events, one JSON object a line.

``add A B`` has it call the tool ``add`` of the MCP server that it was told of; ``die`` has it die; ``bye`` ends its task.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any


def tell(kind: str, **data: Any) -> None:
    sys.stdout.write(json.dumps({"type": kind, "data": data}) + "\n")
    sys.stdout.flush()


async def add(a: str, b: str) -> Any:
    from fastmcp import Client

    async with Client(os.environ["TOOLS_URL"]) as client:
        arguments = {"a": int(a), "b": int(b)}
        tell("tool_call", tool_name="add", arguments=arguments)
        result = (await client.call_tool("add", arguments)).data
        tell("tool_result", tool_name="add", result=result)
        return result


def answer(said: list[str]) -> str:
    if said[0] == "add":
        return str(asyncio.run(add(*said[1:])))
    if said[0] == "die":
        raise SystemExit(3)
    return f"heard {' '.join(said)}"


def main() -> None:
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        said = line.split()
        tell("text_output", text=f"thinking about {said[0]}")
        tell("turn_complete", response=answer(said), done=said[0] == "bye")


if __name__ == "__main__":
    main()
