"""What a process had loaded before it served is not looked through by Python's collector again."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from tests.support.processes import Servers

APP = """
import gc

from openenv import create_app
from tests.support.toys import Talker

app = create_app(Talker, env_name="talker")


@app.get("/loaded")
def loaded() -> list[int]:
    return [gc.get_freeze_count(), len(gc.get_objects())]
"""


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_server_s_collector_has_little_to_look_through(serve: Servers, tmp_path: Path, workers: str) -> None:
    (tmp_path / "loaded_app.py").write_text(APP)
    server = serve("loaded_app:app", "--workers", workers, cwd=tmp_path, env={"PYTHONPATH": str(Path(__file__).parents[2])})
    kept, others = httpx.get(f"{server.url}/loaded").json()
    assert kept > 10 * others > 0
