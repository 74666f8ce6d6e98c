"""OpenEnv 0.10's own clients and tools against a server; run by its interpreter: ``python their_clients.py URL``.

The server serves the toys under path prefixes. Prints one JSON document: what each client saw.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from openenv.validation.graders import Subject
from openenv.validation.graders.runtime.basic import (
    ObservationSchemaGrader,
    RewardWellFormedGrader,
    StateContractGrader,
)
from openenv.validation.graders.runtime.network import NetworkPolicyGrader
from openenv.validation.manifest import NormalizedManifest
from openenv.validation.runtime.collector import collect_runtime_evidence
from openenv.validation.runtime.contracts import RuntimePlan

from openenv.auto import AutoAction, AutoEnv
from openenv.core import CallToolAction, GenericEnvClient, ListToolsAction, MCPToolClient

MANIFEST = {
    "manifest_schema_version": "1",
    "name": "echo",
    "signature": "openenv.yaml",
    "reward": {"range": [0, 1], "floor_margin": 0.1},
    "resources": {"cpu": 1, "memory_mb": 512, "disk_mb": 512, "episode_timeout_s": 60},
    "capabilities": {"verifier": {"kind": "reward_channel"}},
    "types": {"tags": ["toy"]},
}


def plain(value: Any) -> Any:
    """What a client returned, as JSON."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    return value


async def tried(work: Any) -> Any:
    """What an awaitable returned, or what it raised."""
    try:
        return plain(await work)
    except Exception as error:  # noqa: BLE001 - whatever a client raises is written down
        return {"raised": type(error).__name__, "text": str(error)}


async def generic(base: str) -> list[Any]:
    """A generic client, asynchronously."""
    seen: list[Any] = []
    async with GenericEnvClient(base_url=f"{base}/echo") as client:
        seen.append(await tried(client.reset(seed=3, episode_id="ep", more=1)))
        seen.append(await tried(client.step({"message": "hi"})))
        seen.append(await tried(client.step({"message": ""})))
        seen.append(await tried(client.step({"message": "x", "kind": "boom"})))
        seen.append(await tried(client.step({"message": "x", "kind": "done"})))
        seen.append(await tried(client.state()))
    full = [GenericEnvClient(base_url=f"{base}/couple") for _ in range(3)]
    seen += [await tried(client.reset()) for client in full]
    for client in full:
        await client.close()
    seen.append(await tried(GenericEnvClient(base_url=f"{base}/broken").reset()))
    return seen


def blocking(base: str) -> list[Any]:
    """The same class without an event loop."""
    with GenericEnvClient(base_url=f"{base}/patient").sync() as client:
        return [plain(client.reset(seed=1)), plain(client.step({"message": "a"})), plain(client.state())]


async def tools(base: str) -> list[Any]:
    """The tool client: a session by HTTP, with a socket attached to it."""
    seen: list[Any] = []
    async with MCPToolClient(base_url=f"{base}/calculator") as client:
        seen.append(await tried(client.reset()))
        seen.append([one["name"] for one in plain(await client.list_tools())])
        seen.append(await tried(client.call_tool("add", a=2, b=3)))
        seen.append(await tried(client.call_tool("keep", a=4)))
        seen.append(await tried(client.call_tool("fail")))
        seen.append(await tried(client.call_tool("nosuch")))
        seen.append(await tried(client.step(CallToolAction(tool_name="keep", arguments={"a": 1}))))
        seen.append(await tried(client.step(CallToolAction(tool_name="fail"))))
        seen.append(await tried(client.step(ListToolsAction())))
        seen.append(await tried(client.state()))
    return seen


async def native_tools(url: str) -> list[Any]:
    """The tool client on an environment of this project's own kind (tests/client/desk.py)."""
    async with MCPToolClient(base_url=url) as client:
        return [
            await tried(client.reset()),
            [one["name"] for one in plain(await client.list_tools())],
            await tried(client.step(CallToolAction(tool_name="drawer_put", arguments={"drawer": 1, "name": "pen"}))),
            await tried(client.call_tool("drawer_list", drawer=1)),
            await tried(client.call_tool("drawer_list", drawer=9)),
            await tried(client.step(CallToolAction(tool_name="drawer_list", arguments={"drawer": 1}))),
            await tried(client.step(CallToolAction(tool_name="drawer_put", arguments={"drawer": 1, "name": "cat"}))),
            await tried(client.step(CallToolAction(tool_name="nosuch"))),
            [one["name"] for one in plain(await client.step(ListToolsAction()))["observation"]["tools"]],
        ]


async def automatic(base: str) -> list[Any]:
    """Clients by name, with nothing installed."""
    client = AutoEnv.from_env("echo", base_url=f"{base}/echo", skip_install=True)
    action = AutoAction.from_env("echo", skip_install=True)
    async with client:
        return [await tried(client.reset()), await tried(client.step(action(message="auto")))]


def validate(base: str) -> list[Any]:
    """``openenv validate --url``."""
    seen: list[Any] = []
    for app in ("echo", "production"):
        command = [str(Path(sys.executable).with_name("openenv")), "validate", "--json", "--url", f"{base}/{app}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        report = json.loads(done.stdout)
        criteria = {one["id"]: one["passed"] for one in report["criteria"]}
        seen.append({"app": app, "exit": done.returncode, "mode": report.get("mode"), "criteria": criteria})
    return seen


def graded(base: str) -> Any:
    """The runtime evidence collector with every runtime grader."""
    plan = RuntimePlan.model_validate(
        {
            "plan_schema_version": "1",
            "reset": {"episode_id": "probe", "seed": 7},
            "actions": [{"message": "one"}, {"message": "two", "kind": "quiet"}, {"message": "three", "kind": "done"}],
        }
    )
    evidence = collect_runtime_evidence(f"{base}/echo", plan, episode_timeout_s=30)
    with tempfile.TemporaryDirectory() as folder:
        manifest = NormalizedManifest.model_validate(MANIFEST)
        subject = Subject(Path(folder), manifest, None, None, Path(folder), evidence)
        graders = (RewardWellFormedGrader(), ObservationSchemaGrader(), StateContractGrader())
        results = {one.check_id: one.run(subject).status.value for one in graders}
        results["network policy applies"] = str(NetworkPolicyGrader().applies_to(manifest))
    return {
        "exchanges": [one.operation for one in evidence.exchanges],
        "failure": evidence.failure_phase,
        "grades": results,
    }


async def main(base: str, native: str | None) -> None:
    """Everything, as one document; of a native server only what concerns it."""
    if native is not None:
        sys.stdout.write(json.dumps({"native": await native_tools(native)}))
        return
    seen = {
        "generic": await generic(base),
        "blocking": await asyncio.to_thread(blocking, base),
        "tools": await tools(base),
        "automatic": await automatic(base),
        "validate": await asyncio.to_thread(validate, base),
        "graded": await asyncio.to_thread(graded, base),
    }
    sys.stdout.write(json.dumps(seen))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[1] if "--native" in sys.argv else None))
