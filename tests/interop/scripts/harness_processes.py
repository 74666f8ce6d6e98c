"""What an agent's process does."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from openenv.core.harness import HarnessProcess
from tests.interop.scripts.harness_toys import Cases, told

CASES = Cases()

ECHO = """
import sys
print("warming up", flush=True)
print("ready", flush=True)
for line in sys.stdin:
    print("heard " + line.strip(), flush=True)
"""


def process(code: str, **options: Any) -> HarnessProcess:
    return HarnessProcess([sys.executable, "-u", "-c", code], cwd="/", **options)


@CASES.add
def processes() -> Any:
    async def talk() -> Any:
        one = process(ECHO)
        checked: list[str] = []

        def ready(line: str) -> bool:
            checked.append(line)
            return line == "ready"

        lived: list[Any] = [one.is_running(), one.drain_stderr(), await told(one.read_line(timeout_s=0.01))]
        await one.start(ready)
        lived += [one.is_running(), checked, await told(one.start())]
        for text in ("a", "b\n", "c\nd"):
            await one.write_line(text)
        lived += [await one.read_line(timeout_s=10) for _ in range(4)]
        lived += [await one.read_line(timeout_s=0.01)]
        await one.stop()
        await one.stop()
        lived += [one.is_running(), await told(one.write_line("late")), await told(one.read_line(timeout_s=0.01))]
        await one.start(ready)
        await one.write_line("again")
        lived += [await one.read_line(timeout_s=10)]
        await one.stop()
        return lived

    async def started(one: HarnessProcess, lines: int = 0, **options: Any) -> Any:
        begun = await told(one.start(**options))
        read = [await one.read_line(timeout_s=10) for _ in range(lines)]
        await one.stop()
        return [begun, read, one.is_running()]

    async def errors() -> Any:
        one = process("import sys\nfor i in range(200): sys.stderr.write(f'e{i}\\n')")
        await one.start()
        await one.read_line(timeout_s=10)
        await one.stop()
        kept = one.drain_stderr()
        return [kept, one.drain_stderr() == kept]

    def broken_check(line: str) -> bool:
        raise OSError(line)

    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    where = "import os; print(os.getcwd(), os.environ.get('TOY'), bool(os.environ.get('PATH')), os.getsid(0) == os.getpid())"
    odd = r"import sys; sys.stdout.buffer.write(b'\xff\n' + 'é\r\nlast'.encode()); sys.stdout.flush()"
    return {
        "talk": asyncio.run(talk()),
        "no program": asyncio.run(started(HarnessProcess(["/nonexistent"], cwd="/"))),
        "no directory": asyncio.run(started(HarnessProcess([sys.executable], cwd="/nonexistent"))),
        "ends early": asyncio.run(started(process("raise SystemExit(3)"), ready_check=lambda line: True)),
        "never ready": asyncio.run(
            started(process("import time; time.sleep(60)", startup_timeout_s=0.05), ready_check=lambda line: True)
        ),
        "a broken check": asyncio.run(started(process(ECHO), ready_check=broken_check)),
        "where it is": asyncio.run(started(process(where, env_vars={"TOY": "1"}), lines=3)),
        "odd bytes": asyncio.run(started(process(odd), lines=4)),
        "deaf": asyncio.run(started(process(deaf, terminate_grace_s=0.05), ready_check=lambda line: True)),
        "errors": asyncio.run(errors()),
    }
