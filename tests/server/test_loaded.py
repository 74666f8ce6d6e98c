"""What a process had loaded before it served is not looked through by Python's collector again."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from tests.support.processes import ROOT, Servers

APP = """
import gc
import os

from openenv import create_app
from tests.support.toys import Talker

if "YOUNG" in os.environ:
    gc.set_threshold(int(os.environ["YOUNG"]))
app = create_app(Talker, env_name="talker")


@app.get("/loaded")
def loaded() -> list[int]:
    return [gc.get_freeze_count(), len(gc.get_objects()), gc.get_threshold()[0]]
"""


def loaded(serve: Servers, folder: Path, *options: str, **variables: str) -> list[int]:
    """Objects that are kept from the collector, the others, and how many young ones make it begin."""
    (folder / "loaded_app.py").write_text(APP)
    server = serve("loaded_app:app", *options, cwd=folder, env={"PYTHONPATH": str(ROOT), **variables})
    found: list[int] = httpx.get(f"{server.url}/loaded").json()
    return found


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_server_s_collector_has_little_to_look_through(serve: Servers, tmp_path: Path, workers: str) -> None:
    kept, others, young = loaded(serve, tmp_path, "--workers", workers)
    assert kept > 10 * others > 0
    assert young == 5000


@pytest.mark.parametrize(("given", "then"), [("100", 5000), ("20000", 20_000), ("0", 0)])
def test_who_has_the_collector_begin_later_or_never_keeps_that(serve: Servers, tmp_path: Path, given: str, then: int) -> None:
    assert loaded(serve, tmp_path, YOUNG=given)[2] == then
