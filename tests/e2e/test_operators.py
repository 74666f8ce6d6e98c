"""What operators do to a server: a full disk for what it writes."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.support.v2_wire import Wire, code
from tests.support.worker_toys import until

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("options", [(), ("--workers", "2")], ids=["one", "workers"])
def test_a_full_disk_is_no_reason_not_to_serve(free_port: int, options: tuple[str, ...]) -> None:
    command = [sys.executable, "-m", "openenv.cli", "serve", "echo", "--port", str(free_port), *options]
    with Path("/dev/full").open("wb") as full:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=full, stderr=full, start_new_session=True)

    def serves() -> bool:
        assert process.poll() is None, "it has ended"
        try:
            return httpx.get(f"http://127.0.0.1:{free_port}/health").status_code == 200
        except httpx.TransportError:
            return False

    try:
        until(serves)
        asyncio.run(_play(f"ws://127.0.0.1:{free_port}/ws"))
    finally:
        process.terminate()
        process.wait(15)


async def _play(url: str) -> None:
    async with Wire(url) as wire:
        (session,) = await wire.open()  # which the log tells of
        assert code(await wire.ask(id=2, op="jump", session=session)) == "UNKNOWN_TYPE"
        assert code(await wire.ask(id=3, op="step", session=session, data={"message": "hello"})) is None
