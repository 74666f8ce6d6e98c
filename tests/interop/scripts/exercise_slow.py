"""Slow work: asynchronous methods, sessions that wait for each other, and how many there may be."""

from __future__ import annotations

import asyncio
import importlib
from typing import Any

from exercise_transcript import Transcript, wait_for_seats

__all__ = ["exercise_slow"]


def exercise_slow(package: Any, base_url: str, told: Transcript) -> None:
    """``base_url/slow``, ``/one_thread`` and ``/lonely`` are the applications."""
    with package.SlowEnv(base_url=f"{base_url}/slow").sync() as client:
        told.call("reset", client.reset, seed=1, episode_id="slow", colour="green")
        told.call("step", client.step, package.SlowAction())
        told.call("step with a payload of one's own", client.step, {"what": "work"})
        told.call("step that fails", client.step, package.SlowAction(what="fail"))
        told.call("step that is refused", client.step, {"what": "sleep"})
        told.call("state", client.state)
        told.call("step to the end", client.step, package.SlowAction())
        told.call("step after it", client.step, package.SlowAction())
    wait_for_seats(f"{base_url}/slow", 3)
    asyncio.run(_together(package, f"{base_url}/slow", told))
    _on_one_thread(package, f"{base_url}/one_thread", told)
    _alone(package, f"{base_url}/lonely", told)
    _switches(package, told)
    told.http("POST reset", "POST", f"{base_url}/slow/reset", {"episode_id": "http"})
    told.http("POST step", "POST", f"{base_url}/slow/step", {"action": {}})
    told.http("GET metadata", "GET", f"{base_url}/one_thread/metadata")


async def _together(package: Any, url: str, told: Transcript) -> None:
    async with package.SlowEnv(base_url=url) as client:
        sessions = [client, await client.new_session(), await client.new_session()]
        resets = await asyncio.gather(*(one.reset(episode_id=f"session {n}") for n, one in enumerate(sessions)))
        told.note("three resets", resets)
        meeting = package.SlowAction(what="meet", company=3)
        told.note("three in one step", await asyncio.gather(*(one.step(meeting) for one in sessions)))
        fourth = package.SlowEnv(base_url=url)
        await told.wait("a fourth is refused", fourth.reset())
        await fourth.close()
        await sessions[2].close()
        async with package.SlowEnv(base_url=url) as again:
            await told.wait("a seat is free again", _until_welcome(again))
        told.note("three states", [await one.state() for one in sessions[:2]])
        for one in sessions[1:]:
            await one.close()


async def _until_welcome(client: Any) -> Any:
    """The seat of a session that was closed a moment ago may not be free at once."""
    for _ in range(200):
        try:
            return await client.reset(episode_id="welcome")
        except RuntimeError as error:
            if "CAPACITY_REACHED" not in str(error):
                raise
            await asyncio.sleep(0.02)
    raise TimeoutError("no seat became free")


def _on_one_thread(package: Any, url: str, told: Transcript) -> None:
    with package.SlowEnv(base_url=url).sync() as client, client.new_session() as another:
        told.call("one thread, reset", client.reset, episode_id="first")
        told.call("one thread, another session's reset", another.reset)
        told.call("one thread, step", client.step, package.SlowAction())
        told.call("one thread, another session's step", another.step, package.SlowAction())


def _alone(package: Any, url: str, told: Transcript) -> None:
    with package.SlowEnv(base_url=url) as client:
        told.note("alone, reset", client.reset().observation.note)
        with package.SlowEnv(base_url=url) as another:
            told.call("alone, a second is refused", another.reset)
        told.note("alone, step", client.step(package.SlowAction()).observation.note)


def _switches(package: Any, told: Transcript) -> None:
    """What the server's class says before anything is served."""
    core = importlib.import_module("openenv.core.env_server")
    server = importlib.import_module("slow_env.server.slow_environment")
    types = (package.SlowAction, package.SlowObservation)

    def described(environment: Any, **settings: Any) -> dict[str, Any]:
        made = core.HTTPEnvServer(environment, *types, **settings)
        status = made.get_capacity_status()
        return {
            "safe": made.is_concurrency_safe,
            "config": made.concurrency_config,
            "status": status,
            "free": status.available_slots,
            "full": status.is_at_capacity,
            "active": made.active_sessions,
        }

    told.call("server by default", described, server.SlowEnvironment)
    told.call("server of four", described, server.SlowEnvironment, max_concurrent_envs=4)
    limited = core.ConcurrencyConfig(session_timeout=9)
    told.call("server by configuration", described, server.SlowEnvironment, concurrency_config=limited)
    told.call("server of a lonely class", described, server.LonelyEnvironment)
    told.call("server of two lonely ones", described, server.LonelyEnvironment, max_concurrent_envs=2)
    told.call("server of an instance", described, server.LonelyEnvironment())
    told.call("server of none", described, server.SlowEnvironment, max_concurrent_envs=0)
    told.call("both settings", described, server.SlowEnvironment, max_concurrent_envs=2, concurrency_config=limited)
