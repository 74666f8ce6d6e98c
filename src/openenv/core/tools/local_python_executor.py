"""Python code, run by smolagents' restricted interpreter in this process."""

from __future__ import annotations

import importlib
import json
import logging
import traceback
from typing import Any

from openenv.core.env_server.types import CodeExecResult

__all__ = ["PyExecutor"]

log = logging.getLogger("openenv.core.tools")


class PyExecutor:
    """Runs Python code; what it defines stays for the next piece of code.

    The interpreter refuses what it does not know to be harmless: it limits mistakes, and is no wall against malice. The code
    may use ``format_exc()`` and ``safe_json_dumps(value)``.

    Args:
        additional_imports: Modules that the code may import besides the interpreter's own choice; ``["*"]`` for all.
    """

    def __init__(self, additional_imports: list[str] | None = None) -> None:
        """Raises `ImportError` when the package ``smolagents`` is not installed."""
        try:
            smolagents: Any = importlib.import_module("smolagents")
        except ImportError as error:
            raise ImportError("PyExecutor needs smolagents: pip install smolagents") from error
        self._executor: Any = smolagents.LocalPythonExecutor(additional_authorized_imports=list(additional_imports or []))
        self._executor.send_tools({"format_exc": traceback.format_exc, "safe_json_dumps": _dumped})

    def run(self, code: str) -> CodeExecResult:
        """Run the code: what it printed, then its last expression's value as JSON. Where it fails: why, and exit code 1."""
        try:
            outcome = self._executor(code)
        except Exception:  # a boundary: whatever the code raises is its result
            log.debug("The code failed", exc_info=True)
            return CodeExecResult(stdout="", stderr=traceback.format_exc(), exit_code=1)
        shown = [str(outcome.logs)] if outcome.logs else []
        if outcome.output is not None:
            shown.append(_dumped(outcome.output))
        return CodeExecResult(stdout="\n".join(shown), stderr="", exit_code=0)


def _dumped(value: Any) -> str:
    try:
        return json.dumps(value)
    except (TypeError, ValueError):
        return repr(value)
