"""Small helpers that OpenEnv 0.10 offers to clients."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

__all__ = ["convert_to_ws_url", "hf_space_subdomain", "run_async_safely", "space_image"]

_ResultT = TypeVar("_ResultT")
_SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}


def convert_to_ws_url(url: str) -> str:
    """The URL for WebSockets: ``http`` becomes ``ws``, ``https`` ``wss``, a bare host gets ``ws://``; no slash at its end."""
    scheme, separator, rest = url.rstrip("/").partition("://")
    known = _SCHEMES.get(scheme.lower()) if separator else None
    return f"{known}://{rest}" if known else f"ws://{url.rstrip('/')}"


def hf_space_subdomain(repo_id: str) -> str:
    """The host label of a Hugging Face Space: ``Owner/My_Space`` is ``owner-my-space``."""
    return re.sub(r"[^a-z0-9-]", "-", repo_id.lower())


def space_image(repo_id: str, tag: str = "latest") -> str:
    """The image that a Hugging Face Space runs."""
    return f"registry.hf.space/{hf_space_subdomain(repo_id)}:{tag}"


def run_async_safely(coro: Coroutine[Any, Any, _ResultT]) -> _ResultT:
    """The coroutine's result, whether or not an event loop is running here: where one is, another thread runs the coroutine."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coro)
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="openenv-run") as pool:
        return pool.submit(asyncio.run, coro).result()
