from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from openenv.errors import ConfigurationError
from openenv.evaluation import RunResults, read_results
from openenv.evaluation.results import ResultsWriter, json_safe
from openenv.evaluation.states import StateStore
from tests.evaluation.build import event, run_of, trial


def written(path: Path, run: RunResults) -> Path:
    with ResultsWriter(path, run.header) as writer:
        for one in run.trials:
            writer.add(one)
    return path


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    run = run_of(trial("move-explicit", passed=True, events=[event("book_move", book="é\u2028")]), trial("move-natural"))
    again = read_results(written(tmp_path / "results.jsonl", run))
    assert again.header == run.header
    assert again.trials == run.trials
    assert not again.truncated


def test_every_trial_is_on_disk_as_soon_as_it_is_added(tmp_path: Path) -> None:
    run = run_of(trial("move-explicit"))
    path = tmp_path / "results.jsonl"
    with ResultsWriter(path, run.header) as writer:
        assert len(read_results(path).trials) == 0
        writer.add(run.trials[0])
        assert len(read_results(path).trials) == 1


def test_a_line_that_was_cut_off_is_left_out(tmp_path: Path) -> None:
    path = written(tmp_path / "results.jsonl", run_of(trial("move-explicit"), trial("move-natural")))
    path.write_bytes(path.read_bytes()[:-40])
    again = read_results(path)
    assert [one.scenario for one in again.trials] == ["move-explicit"]
    assert again.truncated


def test_a_run_is_never_overwritten(tmp_path: Path) -> None:
    path = written(tmp_path / "results.jsonl", run_of())
    with pytest.raises(FileExistsError):
        ResultsWriter(path, run_of().header)


def change(path: Path, **known: Any) -> None:
    lines = path.read_text().splitlines()
    path.write_text("\n".join([json.dumps(json.loads(lines[0]) | known), *lines[1:]]) + "\n")


def test_another_format_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "results.jsonl", run_of())
    change(path, format=99)
    with pytest.raises(ConfigurationError, match="has format 99"):
        read_results(path)


@pytest.mark.parametrize(
    ("text", "told"),
    [("", "no complete line"), ("{}\n", "line 1 is not the header"), ("nothing\n", "line 1 is not JSON")],
)
def test_what_is_no_results_file_is_refused(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "results.jsonl"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=told):
        read_results(path)


def test_damage_in_the_middle_names_its_line(tmp_path: Path) -> None:
    path = written(tmp_path / "results.jsonl", run_of(trial("move-explicit"), trial("move-natural")))
    lines = path.read_text().splitlines()
    lines[1] = lines[1].replace('"scored"', '"splendid"')
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(ConfigurationError, match="line 2: status"):
        read_results(path)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_results(tmp_path / "none.jsonl")


def test_json_safe_leaves_nothing_that_json_or_utf8_cannot_hold() -> None:
    hostile = {"a": "\ud800x", "b": [float("nan"), float("inf"), 1.5], "c": Path("p")}
    assert json_safe(hostile) == {"a": "?x", "b": [None, None, 1.5], "c": "p"}


def test_a_state_is_kept_once_under_its_digest(tmp_path: Path) -> None:
    store = StateStore(tmp_path / "states")
    image = b"SQLite format 3\x00" + bytes(1000)
    digest = hashlib.sha256(image).hexdigest()
    assert digest not in store
    store.put(image, digest)
    store.put(image, digest)
    assert digest in store
    assert store.get(digest) == image
    assert [path.name for path in (tmp_path / "states").iterdir()] == [f"{digest}.sqlite.gz"]


def test_a_state_that_is_not_what_it_should_be_is_refused(tmp_path: Path) -> None:
    store = StateStore(tmp_path)
    digest = hashlib.sha256(b"right").hexdigest()
    with pytest.raises(ConfigurationError, match="but it graded"):
        store.put(b"wrong", digest)
    with pytest.raises(ConfigurationError, match="is missing"):
        store.get(digest)
    (tmp_path / f"{digest}.sqlite.gz").write_bytes(gzip.compress(b"wrong"))
    with pytest.raises(ConfigurationError, match="is damaged"):
        store.get(digest)
    (tmp_path / f"{digest}.sqlite.gz").write_bytes(b"no gzip")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        store.get(digest)


@pytest.mark.parametrize("digest", ["../../etc/passwd", "", "A" * 64, "0" * 63])
def test_only_digests_name_states(tmp_path: Path, digest: str) -> None:
    with pytest.raises(ConfigurationError, match="not a SHA-256 digest"):
        StateStore(tmp_path).get(digest)
