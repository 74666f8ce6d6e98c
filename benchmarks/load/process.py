"""The load generator as a process that takes orders, so that it does not have to start anew for each."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict

from benchmarks.load.order import Measurement, Order
from tests.support.processes import ROOT

__all__ = ["Load", "LoadFailed", "loading"]


class LoadFailed(RuntimeError):
    """A run of the load generator went wrong: an answer was wrong, or a connection failed."""


class Load:
    """A running load generator."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def carry_out(self, order: Order) -> Measurement:
        """Have it measure. Raises `LoadFailed` with what it says went wrong."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asdict(order)) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise LoadFailed(f"the load generator ended while it carried out {order}")
        answer = json.loads(line)
        if "error" in answer:
            raise LoadFailed(f"{order.dialect}, {order.sessions} sessions, {order.kind}: {answer['error']}")
        return Measurement(**answer)


@contextmanager
def loading() -> Iterator[Load]:
    """A load generator that ends with the block."""
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.load", "--orders"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield Load(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
