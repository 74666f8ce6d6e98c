"""Debian packages that a test needs."""

from __future__ import annotations

import os
import subprocess

import pytest

from tests.support.locks import only_one
from tests.support.processes import ROOT

__all__ = ["CI", "system_packages"]

CI = os.environ.get("CI", "") in ("1", "true")
"""Whether this run may change the machine, and may skip nothing."""

_INSTALL_TIMEOUT_S = 280


def system_packages(*names: str) -> None:
    """Install what is missing, where `scripts/system-packages.sh` may; elsewhere skip with the command that would."""
    with only_one(ROOT / "build" / "system-packages.lock"):
        done = subprocess.run(
            [ROOT / "scripts" / "system-packages.sh", *names],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_INSTALL_TIMEOUT_S,
            check=False,
        )
    if done.returncode == 0:
        return
    said = done.stderr.strip() or f"scripts/system-packages.sh ended with {done.returncode}"
    if CI:
        pytest.fail(said)
    pytest.skip(said)
