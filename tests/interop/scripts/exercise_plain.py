"""The sentence: every way of using a client, arguments that only the environment knows, rewards of every kind."""

from __future__ import annotations

import asyncio
import importlib
from typing import Any

from exercise_transcript import Transcript

__all__ = ["exercise_plain"]


def exercise_plain(package: Any, base_url: str, told: Transcript) -> None:
    """``base_url/plain`` is the application."""
    url = f"{base_url}/plain"
    with package.PlainEnv(base_url=url).sync() as client:
        _resets_and_steps(package, client, told)
        _refusals(package, client, told)
        told.call("sync, a method of the client's own", client.say, "a", "longer", "tale.")
        told.note("sync, an attribute of the client's own", [client.async_client.sent, client.language])
        with client.new_session() as another:
            told.call("sync, another session", another.step, package.PlainAction(word="alone"))
            told.call("sync, another session's state", another.state)
            told.note("sync, another session's class", type(another.async_client).__name__)
        told.call("sync, the first session goes on", client.state)
    _raw(package, url, told)
    _directly(package, url, told)
    asyncio.run(_awaited(package, url, told))
    _over_http(url, told)
    _in_this_process(package, told)


def _resets_and_steps(package: Any, client: Any, told: Transcript) -> None:
    told.call("reset", client.reset)
    told.call("reset with a seed", client.reset, seed=7, episode_id="ep-7")
    told.call("reset with arguments of its own", client.reset, opening="it", mood="grey", deep={"a": [1, None, 2.5]})
    told.call("state after reset", client.state)
    for word in ("yes", "two", "half", "nothing", "other"):
        told.call(f"step {word}", client.step, package.PlainAction(word=word))
    told.call("step, stripped by the validator", client.step, package.PlainAction(word="  wide  ", tags="a, b"))
    told.call("step with a weight", client.step, package.PlainAction(word="heavy", weight=2.5))
    told.call("step with metadata", client.step, package.PlainAction(word="mine", metadata={"sender": "me"}))
    told.call("step with arguments that are not sent", client.step, package.PlainAction(word="x"), timeout_s=1, emphasis=True)
    told.call("step to the end", client.step, package.PlainAction(word="end."))
    told.call("step after the end", client.step, package.PlainAction(word="more"))
    told.call("state at the end", client.state)


def _refusals(package: Any, client: Any, told: Transcript) -> None:
    told.call("the validator, in the client", package.PlainAction, word=" ")
    told.call("the environment raises in a step", client.step, package.PlainAction(word="unspeakable"))
    told.call("the environment raises in a reset", client.reset, impossible=True)
    told.call("the session goes on", client.state)


def _raw(package: Any, url: str, told: Transcript) -> None:
    """A client that knows no classes."""
    core = importlib.import_module("openenv.core")
    with core.GenericEnvClient(base_url=url).sync() as client:
        told.call("raw, reset", client.reset, opening="raw")
        told.call("raw, step", client.step, {"word": " fish ", "tags": "a,b"})
        told.call("raw, step with an action", client.step, core.GenericAction(word="end."))
        told.call("raw, a field too many", client.step, {"word": "a", "shape": "round"})
        told.call("raw, a field too few", client.step, {})
        told.call("raw, state", client.state)
    with core.GenericEnvClient(base_url=url).sync() as client:
        client.reset(episode_id="refused")
        told.call("the validator, on the server", client.step, {"word": " "})
        told.note("the session goes on after the validator", _still(client, "refused"))


def _still(client: Any, episode_id: str) -> bool:
    """Whether the client still has the session with this episode; how a lost one shows is a matter of luck in 0.10."""
    try:
        return bool(client.state()["episode_id"] == episode_id)
    except Exception:  # noqa: BLE001 - 0.10's client lets out whatever its socket raised
        return False


def _directly(package: Any, url: str, told: Transcript) -> None:
    client = package.PlainEnv(base_url=url, language="eo", message_timeout_s=20.0)
    told.call("directly, reset", client.reset, opening="rekte")
    told.call("directly, step", client.step, package.PlainAction(word="jes"))
    told.note("directly, language", client.language)
    client.close()
    with package.PlainEnv(url) as client:
        told.call("directly in a block, reset", client.reset, opening="again")
        told.call("directly in a block, state", client.state)


async def _awaited(package: Any, url: str, told: Transcript) -> None:
    async with package.PlainEnv(base_url=url) as client:
        await told.wait("awaited, reset", client.reset(seed=3, episode_id="awaited"))
        await told.wait("awaited, step", client.step(package.PlainAction(word="word")))
        await told.wait("awaited, a method of the client's own", client.say("and", "on"))
        sessions = [await client.new_session() for _ in range(2)]
        await asyncio.gather(*(one.reset(opening=f"number {n}") for n, one in enumerate(sessions)))
        results = await asyncio.gather(*(one.step(package.PlainAction(word="both")) for one in sessions))
        told.note("awaited, two more sessions", results)
        for one in sessions:
            await one.close()
        await told.wait("awaited, state", client.state())
        await told.wait("awaited, an error", client.step(package.PlainAction(word="unspeakable")))
    client = package.PlainEnv(base_url=url)
    await client.connect()
    await told.wait("awaited without a block", client.reset(opening="here"))
    await client.close()


def _over_http(url: str, told: Transcript) -> None:
    for path in ("health", "metadata", "list_environments", "state"):
        told.http(f"GET {path}", "GET", f"{url}/{path}")
    schema = told.http("GET schema", "GET", f"{url}/schema")["body"]
    told.note("schemas", {name: sorted(one.get("properties", {})) for name, one in schema.items() if one})
    told.http("POST reset", "POST", f"{url}/reset", {"seed": 1, "episode_id": "http", "mood": "bright"})
    action = {"word": "loud", "tags": "x,y"}
    further = {"timeout_s": 2, "request_id": "r-1", "emphasis": True, "anything": [1]}
    told.http("POST step", "POST", f"{url}/step", {"action": action, **further})
    told.http("POST step that the validator refuses", "POST", f"{url}/step", {"action": {"word": " "}})
    told.http("POST step without an action", "POST", f"{url}/step", {"word": "a"})


def _in_this_process(package: Any, told: Transcript) -> None:
    """Without any server, as a package's own tests do."""
    environment = importlib.import_module("plain_env.server").PlainEnvironment("de")
    serialization = importlib.import_module("openenv.core.env_server.serialization")
    told.note("in this process, reset", environment.reset(seed=1, mood="calm"))
    told.note("in this process, step", environment.step(package.PlainAction(word="two"), timeout_s=1.5, further=1))
    told.note("in this process, state", environment.state)
    told.note("in this process, metadata", environment.get_metadata())
    told.note("in this process, an action", serialization.deserialize_action({"word": " w ", "tags": "a,b"}, package.PlainAction))
    told.note("in this process, an end", serialization.serialize_observation(environment.step(package.PlainAction(word="w."))))
