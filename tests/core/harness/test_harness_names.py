"""The public names of OpenEnv 0.10's harnesses, where they live, and what they load."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

import openenv.core.harness as harness
from openenv.core.harness import collect

LIGHT = ("fastapi", "starlette", "uvicorn", "typer", "fastmcp", "mcp", "huggingface_hub")
HOMES = {
    "adapter": [
        "AgenticHarnessAdapter",
        "HarnessError",
        "HarnessNotRunningError",
        "HarnessStartupError",
        "HarnessTurnTimeoutError",
    ],
    "bridge": ["HarnessMCPBridge", "build_bridge_server"],
    "config": ["HarnessConfig", "HarnessTransport"],
    "environment": ["HarnessAction", "HarnessEnvironment"],
    "events": [
        "HarnessClientMessage",
        "HarnessEvent",
        "HarnessEventType",
        "HarnessProtocolError",
        "HarnessResponse",
        "events_to_metadata",
    ],
    "process": ["HarnessProcess"],
    "rollout": [
        "CLIHarnessAdapter",
        "HarnessAdapter",
        "HarnessRolloutResult",
        "HarnessRunLimits",
        "LoopOwningSession",
        "MCPHarnessAdapter",
        "Message",
        "ModelStep",
        "ModelStepResult",
        "RESERVED_TOOL_NAMES",
        "ResourceSession",
        "ResourceSessionFactory",
        "RolloutEvent",
        "SessionMCPBridge",
        "StepEnvSessionAdapter",
        "ToolResult",
        "ToolTraceEntry",
        "TraceEntry",
        "TrainableSession",
        "VerifyResult",
        "build_harness_rollout_func",
    ],
    "tools": ["resolve_tool_conflicts"],
    "training": ["TrainingTrace", "TrainingTurn"],
}


def modules_after(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nprint(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=20)
    return set(done.stdout.split())


def test_every_name_lives_where_it_is_imported_from() -> None:
    for module, names in HOMES.items():
        home = importlib.import_module(f"openenv.core.harness.{module}")
        for name in names:
            if name != "HarnessProtocolError":
                assert getattr(home, name) is getattr(harness, name)


def test_the_package_hands_on_the_names_and_no_others() -> None:
    named = {name for names in HOMES.values() for name in names} - {"HarnessProtocolError"}
    assert set(harness.__all__) == named
    assert named <= set(dir(harness))
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        getattr(harness, "Nonsense")  # noqa: B009 - a constant name would not pass the type check


def test_collect_has_its_names() -> None:
    assert set(collect.__all__) == {
        "METADATA_FILENAME",
        "README_FILENAME",
        "RESULTS_FILENAME",
        "CollectResult",
        "CollectRunner",
        "EpisodeRecord",
        "RolloutSerializer",
        "build_dataset_readme",
        "build_model_step",
        "push_to_hf_hub",
    }


def test_core_does_not_load_harnesses() -> None:
    loaded = modules_after("import openenv.core\nfrom openenv.core import EnvClient")
    assert not [name for name in loaded if name.startswith("openenv.core.harness")]


def test_rollouts_load_no_server_and_no_extra() -> None:
    loaded = modules_after("from openenv.core.harness import *\nfrom openenv.core.harness.collect import CollectRunner")
    assert loaded.isdisjoint(LIGHT)


def test_a_missing_extra_is_named() -> None:
    code = """
import sys
sys.modules["fastmcp"] = None
from openenv.core.harness import AgenticHarnessAdapter, HarnessConfig, HarnessEnvironment
class Adapter(AgenticHarnessAdapter):
    async def start(self, working_directory): ...
    async def stop(self): ...
    async def is_alive(self): ...
    async def inject_tools(self, tools, bridge_url=None): ...
    async def send_message_streaming(self, message): ...
HarnessEnvironment(Adapter(HarnessConfig(name="a", command=["a"])))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=20)
    assert done.returncode == 1
    assert 'pip install "openenv[mcp]"' in done.stderr
