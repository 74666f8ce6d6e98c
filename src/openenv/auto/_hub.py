"""Environments of the Hugging Face Hub: their addresses, and installing their packages with the user's consent."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from openenv.auto._discovery import EnvironmentInfo, get_discovery
from openenv.core.utils import hf_space_subdomain

__all__ = ["TRUST_VARIABLE", "environment_of", "repository_of", "space_url"]

TRUST_VARIABLE = "OPENENV_TRUST_REMOTE_CODE"

_TRUE = frozenset({"1", "true", "yes"})
_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_INSTALL_TIMEOUT_S = 900.0


def repository_of(name: str) -> str:
    """``owner/name`` of a Space, from that or from its address on huggingface.co.

    Raises:
        ValueError: It is neither.
    """
    text = re.sub(r"^https?://", "", name.strip()).removeprefix("www.")
    text = text.removeprefix("huggingface.co/").removeprefix("spaces/").strip("/")
    if not _REPOSITORY.fullmatch(text):
        raise ValueError(
            f"{name!r} names no environment of the Hub: write owner/name or https://huggingface.co/spaces/owner/name"
        )
    return text


def space_url(repository: str) -> str:
    """Where a Space's server answers."""
    return f"https://{hf_space_subdomain(repository)}.hf.space"


def environment_of(repository: str, *, trust_remote_code: bool = False) -> EnvironmentInfo:
    """The environment of a Space: its installed package, or after consent the package installed from there.

    Raises:
        ValueError: Nobody consented, or it could not be installed.
    """
    discovery = get_discovery()
    found = discovery.get_environment_by_name(repository.rpartition("/")[2])
    if found is not None:
        return found
    if not trust_remote_code:
        _ask_consent(repository)
    before = discovery.discover(use_cache=False)
    _install(repository)
    discovery.clear_cache()
    after = discovery.discover()
    new = [info for key, info in after.items() if key not in before]
    if len(new) == 1:
        return new[0]
    found = discovery.get_environment_by_name(repository.rpartition("/")[2])
    if found is None:
        raise ValueError(f"{repository} was installed, and brought no package called openenv-…: it is no environment")
    return found


def _ask_consent(repository: str) -> None:
    """Return when the user wants code from there to be installed and run."""
    if os.environ.get(TRUST_VARIABLE, "").strip().lower() in _TRUE:
        return
    how = f"Give trust_remote_code=True or set {TRUST_VARIABLE}=1, if you trust its authors."
    if not (sys.stdin is not None and sys.stdin.isatty()):
        raise ValueError(f"{repository} is code from the Hub, and nobody can be asked whether to run it. {how}")
    answer = input(f"Install and run code from https://huggingface.co/spaces/{repository}? [y/N] ")
    if answer.strip().lower() not in ("y", "yes"):
        raise ValueError(f"{repository} was not installed. {how}")


def _install(repository: str) -> None:
    uv = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
    installer = [uv, "pip", "install", "--python", sys.executable] if uv else [sys.executable, "-m", "pip", "install"]
    command = [*installer, f"git+https://huggingface.co/spaces/{repository}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=_INSTALL_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        raise ValueError(f"{repository} was not installed within {_INSTALL_TIMEOUT_S:.0f} s") from None
    if done.returncode != 0:
        last = " | ".join(line.strip() for line in done.stderr.strip().splitlines()[-3:])
        raise ValueError(f"{repository} cannot be installed: {last}")
