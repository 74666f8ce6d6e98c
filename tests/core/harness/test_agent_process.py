"""An agent's process: its lines, its start, its end, and that of what it started."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest

from openenv.core.harness import HarnessNotRunningError, HarnessProcess, HarnessStartupError

ECHO = """
import sys
print("ready", flush=True)
for line in sys.stdin:
    print("heard " + line.strip(), flush=True)
"""


def process(code: str, **options: Any) -> HarnessProcess:
    return HarnessProcess([sys.executable, "-u", "-c", code], cwd="/", **options)


def is_ready(line: str) -> bool:
    return line == "ready"


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits for its parent does not."""
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rsplit(")", 1)[1].split()[0] != "Z"


async def test_lines_in_and_lines_out() -> None:
    one = process(ECHO)
    await one.start(is_ready)
    assert one.is_running()
    await one.write_line("a")
    await one.write_line("b\n")
    assert [await one.read_line(10), await one.read_line(10)] == ["heard a", "heard b"]
    assert await one.read_line(timeout_s=0) is None
    await one.stop()
    assert not one.is_running()
    with pytest.raises(HarnessNotRunningError, match="not running"):
        await one.write_line("c")


def test_one_process_serves_several_loops() -> None:
    one = process(ECHO)
    asyncio.run(one.start(is_ready))
    for word in ("a", "b"):
        asyncio.run(one.write_line(word))
        assert asyncio.run(one.read_line(10)) == f"heard {word}"
    asyncio.run(one.stop())


async def test_a_reader_that_gives_up_loses_nothing() -> None:
    one = process(ECHO)
    await one.start(is_ready)
    reading = asyncio.ensure_future(one.read_line())
    await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    await one.write_line("a")
    assert await one.read_line(10) == "heard a"
    await one.stop()


async def test_a_process_runs_once_at_a_time() -> None:
    one = process(ECHO)
    await one.start(is_ready)
    with pytest.raises(HarnessStartupError, match="already running"):
        await one.start()
    await one.stop()
    await one.start(is_ready)
    await one.stop()


@pytest.mark.parametrize(
    ("code", "says", "timeout_s"),
    [
        ("import sys; sys.stderr.write('no key'); sys.exit(3)", "exited with code 3.*no key", 10),
        ("import os, time; os.close(1); time.sleep(60)", "closed its output", 3),  # waited for in case that it ends
        ("import time; time.sleep(60)", r"within 0\.5s", 0.5),
    ],
)
async def test_a_start_that_fails_says_why_and_leaves_nothing(code: str, says: str, timeout_s: float) -> None:
    one = process(code, startup_timeout_s=timeout_s)
    with pytest.raises(HarnessStartupError, match=says):
        await one.start(is_ready)
    assert not one.is_running()


@pytest.mark.parametrize(("command", "cwd"), [(["/nonexistent"], "/"), ([sys.executable], "/nonexistent"), ([], "/")])
async def test_what_cannot_be_started(command: list[str], cwd: str) -> None:
    with pytest.raises(HarnessStartupError, match="failed to spawn"):
        await HarnessProcess(command, cwd).start()


async def test_a_secret_among_the_arguments_is_not_told() -> None:
    with pytest.raises(HarnessStartupError) as failed:
        await HarnessProcess(["/nonexistent", "--key", "s3cret"], "/").start()
    assert "s3cret" not in str(failed.value)


async def test_the_whole_group_is_stopped() -> None:
    code = """
import signal, subprocess, sys, time
deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
child = subprocess.Popen([sys.executable, "-c", deaf])
print(child.pid, flush=True)
time.sleep(60)
"""
    one = process(code, terminate_grace_s=5)
    await one.start()
    child = int(await one.read_line(10) or 0)
    await one.stop()
    while is_alive(child):  # noqa: ASYNC110 - another process ends
        await asyncio.sleep(0.01)


async def test_one_that_ignores_the_signal_is_killed() -> None:
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)"
    one = process(deaf, terminate_grace_s=0.05)
    await one.start(is_ready)
    await one.stop()
    assert not one.is_running()


async def test_output_that_nobody_reads_holds_the_process_back() -> None:
    one = process("for n in range(100_000): print('x' * 100, n)\nimport sys; sys.stderr.write('all said')")
    await one.start()
    for number in range(20_000):
        assert await one.read_line(10) == f"{'x' * 100} {number}"
    assert one.is_running()
    assert "all said" not in one.drain_stderr()
    assert await one.read_line(10) == f"{'x' * 100} 20000"
    await one.stop()


async def test_input_that_it_closed() -> None:
    one = process("import os, time; os.close(0); print('ready', flush=True); time.sleep(60)")
    await one.start(is_ready)
    with pytest.raises(HarnessNotRunningError, match="stdin is closed"):
        await one.write_line("x" * 100)
    await one.stop()


async def test_text_that_is_none_goes_both_ways() -> None:
    one = process("import sys; sys.stdout.buffer.write(b'ready\\n\\xff\\n'); sys.stdout.flush(); print(ascii(input()))")
    await one.start(is_ready)
    assert await one.read_line(10) == "\ufffd"
    await one.write_line("\ud800")
    assert await one.read_line(10) == "'?'"
    assert await one.read_line(10) is None
    await one.stop()
