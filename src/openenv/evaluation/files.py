"""The files that a run leaves behind beside its results."""

from __future__ import annotations

import json
import os
from pathlib import Path

from openenv.evaluation.report import render_page
from openenv.evaluation.results import RunResults
from openenv.evaluation.summary import RunSummary, summarize

__all__ = ["REPORT_FILE", "SUMMARY_FILE", "write_reports"]

SUMMARY_FILE = "summary.json"
REPORT_FILE = "report.html"


def write_reports(run: RunResults, folder: Path, *, rescored: bool = False) -> tuple[RunSummary, Path]:
    """Write ``summary.json`` and ``report.html`` (or ``….rescored.…``); return the summary and the report's path."""
    summary = summarize(run)
    names = (SUMMARY_FILE, REPORT_FILE)
    if rescored:
        names = ("summary.rescored.json", "report.rescored.html")
    _replace(folder / names[0], json.dumps(summary.as_json(), indent=2, allow_nan=False) + "\n")
    _replace(folder / names[1], render_page(run, summary))
    return summary, folder / names[1]


def _replace(path: Path, text: str) -> None:
    """Write the whole file or leave the old one."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.part")
    draft.write_bytes(text.encode("utf-8", "replace"))
    draft.replace(path)
