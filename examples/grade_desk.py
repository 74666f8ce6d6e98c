"""Grades an episode from outside: ``python grade_desk.py http://127.0.0.1:8000`` while ``desk_env:app`` is served."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from openenv import ToolClient
from openenv.client.http import HttpSession
from openenv.evaluation import load_suite

SUITE = Path(__file__).with_name("desk_suite.json")


async def main(base_url: str) -> None:
    """The grader holds the session over HTTP; the agent acts in it over a socket."""
    scenario = load_suite(SUITE).scenarios[0]
    session = await HttpSession.create(base_url)
    await session.load_scenario(scenario.for_server().model_dump(mode="json"))
    async with ToolClient(base_url, session_id=session.session_id) as agent:
        print(await agent.call_tool("thing_move", name="pen", number=3))
    graded = await session.verify({"response": None})
    for verdict in graded["verdicts"]:
        print(f"{verdict['name']}: {'passed' if verdict['passed'] else 'failed'}. {verdict['message']}")
    print(f"reward {graded['reward']}")
    await session.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
