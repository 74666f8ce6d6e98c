"""The machine and the versions that figures belong to: nothing that names whose it is or where things lie on it."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path

from benchmarks.servers.start import REFERENCE_PYTHON

__all__ = ["describe"]

_DISTRIBUTIONS = ("fastapi", "httptools", "msgpack", "pydantic", "uvicorn", "uvloop", "websockets")


def describe() -> dict[str, str]:
    """Processor, cores, memory, kernel, Python and the distributions that matter, on both sides."""
    return {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "memory": f"{_memory_gb():.0f} GB",
        "kernel": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "ours": _versions({name: metadata.version(name) for name in ("openenv", *_DISTRIBUTIONS)}),
        "reference": _versions(_reference()),
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _memory_gb() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def _versions(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def _reference() -> dict[str, str]:
    names = ("openenv", "fastapi", "fastmcp", "pydantic", "uvicorn", "uvloop", "websockets")
    code = f"import json; from importlib.metadata import version; print(json.dumps({{n: version(n) for n in {names!r}}}))"
    try:
        done = subprocess.run([str(REFERENCE_PYTHON), "-c", code], capture_output=True, text=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return {}
    versions: dict[str, str] = json.loads(done.stdout)
    return versions
