"""The quiz: the catalogue over HTTP, and tasks chosen in every way."""

from __future__ import annotations

import asyncio
import importlib
from typing import Any

from exercise_transcript import Transcript

__all__ = ["exercise_quiz"]


def exercise_quiz(package: Any, base_url: str, told: Transcript) -> None:
    """``base_url/quiz`` is the application."""
    url = f"{base_url}/quiz"
    client = package.QuizEnv(base_url=url)
    _catalogue(client, url, told)
    for split in client.list_splits():
        for index in range(client.num_tasks(split)):
            told.call(f"reset {split} {index}", client.reset, split=split, index=index, episode_id=f"{split}/{index}")
            told.call(f"step {split} {index}", client.step, package.QuizAction(answer=index * 2 + 2))
    told.call("reset by id", client.reset, task="test-1")
    told.call("state of a task", client.state)
    told.call("step wrong", client.step, package.QuizAction(answer="quito"))
    told.call("step right", client.step, package.QuizAction(answer=" Lima "))
    task = client.get_task("train", 3)
    told.call("reset with a task", client.reset, task=task.model_dump(), answer="8")
    told.call("step of that", client.step, package.QuizAction(answer="8", surplus="ignored"))
    told.call("reset by a seed", client.reset, seed=12)
    told.call("reset of an absent task", client.reset, split="train", index=99)
    told.call("reset of an absent split", client.reset, split="none")
    client.close()
    with package.QuizEnv(base_url=url).sync() as client:
        told.call("sync, a method that is not a coroutine", client.num_tasks, "train")
        told.call("step before reset", client.step, package.QuizAction(answer="1"))
        told.call("state before reset", client.state)
    with importlib.import_module("openenv_core").GenericEnvClient(base_url=url).sync() as client:
        told.call("raw, reset", client.reset, split="test", index=1, episode_id="raw")
        told.call("raw, state", client.state)
    told.http("POST task", "POST", f"{url}/quiz_env/task", {"split": "test", "index": 1})
    asyncio.run(_awaited(package, url, told))
    told.http("POST reset", "POST", f"{url}/reset", {"split": "test", "index": 0})


def _catalogue(client: Any, url: str, told: Transcript) -> None:
    told.call("splits", client.list_splits)
    for split in ("train", "test", "curious"):
        told.call(f"number in {split}", client.num_tasks, split)
        told.call(f"tasks in {split}", client.list_tasks, split)
    told.call("task", client.get_task, "test", 1)
    told.call("range", client.get_task_range, "train", 1, 3)
    told.call("range without an end", client.get_task_range, "train", 3)
    told.call("range without a beginning", client.get_task_range, "train", None, 2)
    told.http("GET splits", "GET", f"{url}/quiz_env/splits")
    told.http("GET splits, otherwise written", "GET", f"{url}/QUIZ_ENV/splits")
    told.http("GET splits of another", "GET", f"{url}/other_env/splits")
    told.http("POST tasks of an absent split", "POST", f"{url}/quiz_env/tasks", {"split": "none"})
    told.http("POST num_tasks of an absent split", "POST", f"{url}/quiz_env/num_tasks", {"split": "none"})
    told.http("POST task past the end", "POST", f"{url}/quiz_env/task", {"split": "test", "index": 2})
    told.http("POST task before the beginning", "POST", f"{url}/quiz_env/task", {"split": "test", "index": -1})
    told.http("POST task without an index", "POST", f"{url}/quiz_env/task", {"split": "test"})
    told.http("POST task with a word for an index", "POST", f"{url}/quiz_env/task", {"split": "test", "index": "one"})
    told.http("GET list_environments", "GET", f"{url}/list_environments")


async def _awaited(package: Any, url: str, told: Transcript) -> None:
    async with package.QuizEnv(base_url=url) as client:
        another = await client.new_session()
        await told.wait("awaited, reset", client.reset(split="test", index=0))
        await told.wait("awaited, another session's reset", another.reset(split="train", index=0))
        await told.wait("awaited, step", client.step(package.QuizAction(answer="42")))
        await told.wait("awaited, another session's step", another.step(package.QuizAction(answer="42")))
        await another.close()
