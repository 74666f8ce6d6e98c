"""Node 22 and the MCP tools from npm, installed once by ``scripts/node-tools.sh``."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.locks import only_one
from tests.support.processes import ROOT

__all__ = ["NodeTools", "node_tools"]


@dataclass(frozen=True)
class NodeTools:
    """Where they are."""

    folder: Path

    def run(self, tool: str, script: str, *arguments: str, timeout_s: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Run a script of an installed package with Node 22, without checking its exit code."""
        binaries = self.folder / "node" / "node_modules" / ".bin"
        command = [str(binaries / "node"), str(self.folder / tool / "node_modules" / script), *arguments]
        environment = {**os.environ, "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}", "NO_COLOR": "1"}
        return subprocess.run(
            command, capture_output=True, text=True, timeout=timeout_s, env=environment, stdin=subprocess.DEVNULL, check=False
        )


def node_tools() -> NodeTools:
    """Install them if that was not done. Skips the test, naming the command, where npm cannot be had; with CI set it fails."""
    with only_one(ROOT / "build" / "node-tools.lock"):
        done = subprocess.run([ROOT / "scripts" / "node-tools.sh"], capture_output=True, text=True, timeout=600, check=False)
    if done.returncode != 0:
        give_up = pytest.fail if os.environ.get("CI") else pytest.skip
        give_up(f"scripts/node-tools.sh failed: {done.stderr.strip()[-300:]}")
    return NodeTools(Path(done.stdout.strip()))
