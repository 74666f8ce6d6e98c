"""The grader: containers, hooks, transforms, rubrics of trajectories and a judge that is awaited."""

from __future__ import annotations

import asyncio
import importlib
from typing import Any

from exercise_transcript import Transcript, wait_for_seats

__all__ = ["exercise_graded"]

ANSWERS = (
    "  please be brief ",
    "thanks",
    "dear reader, this answer goes on for longer than it should",
    "darn, please",
    "heck and darn",
    "",
)


def exercise_graded(package: Any, base_url: str, told: Transcript) -> None:
    """``base_url/graded``, ``/journey``, ``/last_word`` and ``/considered`` are the applications."""
    for name in ("graded", "considered"):
        with package.GradedEnv(base_url=f"{base_url}/{name}").sync() as client:
            told.call(f"{name}, reset", client.reset, episode_id=name)
            told.call(f"{name}, state before a step", client.state)
            for answer in ANSWERS:
                told.call(f"{name}, step {answer!r}", client.step, package.GradedAction(answer=answer))
            told.call(f"{name}, state", client.state)
            told.call(f"{name}, reset again", client.reset, episode_id="again")
            told.call(f"{name}, state after that", client.state)
    for name in ("journey", "last_word"):
        with package.GradedEnv(base_url=f"{base_url}/{name}") as client:
            for episode in ("first", "second"):
                told.call(f"{name}, {episode} reset", client.reset, episode_id=episode)
                told.call(f"{name}, {episode} step", client.step, package.GradedAction(answer="please"))
                told.call(f"{name}, {episode} step more", client.step, package.GradedAction(answer=episode))
                told.call(f"{name}, {episode} state", client.state)
                told.call(f"{name}, {episode} end", client.step, package.GradedAction(answer="please", final=True))
                told.call(f"{name}, {episode} state at the end", client.state)
    wait_for_seats(f"{base_url}/considered", 2)
    asyncio.run(_awaited(package, f"{base_url}/considered", told))
    told.http("POST step", "POST", f"{base_url}/graded/step", {"action": {"answer": "please"}})
    told.http("POST step, awaited", "POST", f"{base_url}/considered/step", {"action": {"answer": "please do"}})
    told.http("GET state", "GET", f"{base_url}/graded/state")
    _in_this_process(package, told)


async def _awaited(package: Any, url: str, told: Transcript) -> None:
    async with package.GradedEnv(base_url=url) as client:
        another = await client.new_session()
        await asyncio.gather(client.reset(), another.reset())
        steps = [one.step(package.GradedAction(answer=answer)) for one, answer in ((client, "please"), (another, "no"))]
        told.note("awaited, two at once", await asyncio.gather(*steps))
        await another.close()


def _in_this_process(package: Any, told: Transcript) -> None:
    """The rubrics of the package without any server."""
    rubrics = importlib.import_module("graded_env.server.rubrics")
    grade = rubrics.Grade()
    told.note("rubric, names", [name for name, _ in grade.named_rubrics()])
    told.note("rubric, children", [name for name, _ in grade.named_children()])
    told.call("rubric, by its path", lambda: type(grade.get_rubric("quality.rubric_0")).__name__)
    told.call("rubric, by a wrong path", grade.get_rubric, "quality.nothing")
    action = package.GradedAction(answer="please and thanks")
    seen = package.GradedObservation(heard=action.answer, length=len(action.answer))
    told.call("rubric, score", grade, action, seen)
    told.note("rubric, scores", {name: one.last_score for name, one in grade.named_rubrics()})
    told.call("rubric, saved", grade.state_dict)
    told.call("rubric, restored", grade.load_state_dict, grade.state_dict())
    told.call("rubric, weights that are not one", rubrics.WeightedSum, [rubrics.Short()], [0.5])
    told.call("rubric, weights that are too many", rubrics.WeightedSum, [rubrics.Short()], [0.5, 0.5])
    told.call("rubric, a list is not scored", rubrics.RubricList([rubrics.Short()]), action, seen)
    told.call("rubric, empty sequence", rubrics.Sequential(), action, seen)
