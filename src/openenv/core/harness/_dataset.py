"""Collected rollouts as files: one JSON object a line, beside what describes them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final

from openenv.core.harness.rollout import HarnessRolloutResult, VerifyResult, env_reward_of, trace_as_dicts

__all__ = [
    "METADATA_FILENAME",
    "README_FILENAME",
    "RESULTS_FILENAME",
    "EpisodeRecord",
    "RolloutSerializer",
    "build_dataset_readme",
    "push_to_hf_hub",
]

RESULTS_FILENAME: Final = "results.jsonl"
METADATA_FILENAME: Final = "metadata.json"
README_FILENAME: Final = "README.md"

_README: Final = """\
---
configs:
- config_name: default
  data_files:
  - split: train
    path: "{results}"
---

# OpenEnv rollouts

Episodes of an OpenEnv environment, each with its reward.

- **Episodes:** {count}
{table}
## Columns of `{results}`

| column | what it is |
| --- | --- |
| `episode_id` | a name, once per file |
| `messages` | the chat, in the shape that TRL's `SFTTrainer` takes |
| `reward` | the environment's last reward |
| `done` | whether the episode came to its end |
| `tool_trace` | the tool calls: `tool_name`, `arguments`, `result` |
| `metrics`, `verify_metrics`, `artifacts` | what the harness and the session measured and kept |
| `task`, `extra` | what the collector was given |

```python
from datasets import load_dataset

episodes = load_dataset("<owner>/<name>", split="train")
```
"""


@dataclass
class EpisodeRecord:
    """One collected episode, as its line has it."""

    episode_id: str
    messages: list[dict[str, Any]]
    reward: float
    done: bool
    tool_trace: list[dict[str, Any]]
    metrics: dict[str, Any]
    verify_metrics: dict[str, Any]
    artifacts: dict[str, Any]
    task: Any = None
    extra: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_rollout(
        cls,
        episode_id: str,
        rollout: HarnessRolloutResult,
        verify: VerifyResult,
        task: Any = None,
        extra: dict[str, Any] | None = None,
    ) -> EpisodeRecord:
        """The record of a rollout and its verdict.

        Raises:
            ValueError: There is no reward, or the verdict's is not the environment's.
        """
        return cls(
            episode_id=episode_id,
            messages=list(rollout.messages),
            reward=env_reward_of(rollout, verify),
            done=rollout.done or verify.done,
            tool_trace=trace_as_dicts(rollout),
            metrics=dict(rollout.metrics),
            verify_metrics=dict(verify.metrics),
            artifacts=dict(verify.artifacts),
            task=task,
            extra=dict(extra or {}),
        )

    def to_dict(self) -> dict[str, Any]:
        """The record as JSON knows it; what is no JSON becomes its ``str``."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self), default=str))
        return plain


class RolloutSerializer:
    """Appends episodes to ``results.jsonl`` in a directory, which is made when it is first written to."""

    def __init__(self, output_dir: Path | str) -> None:
        self._dir = Path(output_dir)

    @property
    def output_dir(self) -> Path:
        """The directory."""
        return self._dir

    @property
    def results_path(self) -> Path:
        """The file of episodes."""
        return self._dir / RESULTS_FILENAME

    @property
    def metadata_path(self) -> Path:
        """The file that says how they were collected."""
        return self._dir / METADATA_FILENAME

    def collected_episode_ids(self) -> set[str]:
        """The ids that are in the file.

        Raises:
            ValueError: A line is not an episode; it says which.
        """
        return {_id_in(raw, f"{self.results_path}:{number}") for number, raw in self._lines()}

    def write_episode(self, record: EpisodeRecord) -> None:
        """Append a line.

        Raises:
            ValueError: The file ends within a line, as after a crash: appending would spoil both.
        """
        line = json.dumps(record.to_dict()).encode() + b"\n"
        self._dir.mkdir(parents=True, exist_ok=True)
        with self.results_path.open("a+b") as file:
            file.write(self._before_next(file) + line)

    def write_metadata(self, metadata: dict[str, Any]) -> None:
        """Write the file that says how the episodes were collected, over an older one."""
        self._dir.mkdir(parents=True, exist_ok=True)
        self.metadata_path.write_text(json.dumps(metadata, indent=2, default=str), encoding="utf-8")

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        if not self.results_path.is_file():
            return
        with self.results_path.open("rb") as file:
            for number, raw in enumerate(file, 1):
                if raw.strip():
                    yield number, raw

    def _before_next(self, file: BinaryIO) -> bytes:
        """The newline that a complete last line may lack."""
        if file.seek(0, os.SEEK_END) == 0:
            return b""
        file.seek(-1, os.SEEK_END)
        if file.read(1) == b"\n":
            return b""
        file.seek(0)
        *_, last = file
        if last.strip():
            _id_in(last, f"{self.results_path}: the last line")
        return b"\n"


def build_dataset_readme(output_dir: Path) -> str:
    """The data set's card: it names ``results.jsonl`` as the only data, so that a viewer leaves ``metadata.json`` alone."""
    serializer = RolloutSerializer(output_dir)
    count = sum(1 for _ in serializer._lines())
    return _README.format(results=RESULTS_FILENAME, count=count, table=_table_of(serializer.metadata_path))


def push_to_hf_hub(
    output_dir: Path | str,
    repo_id: str,
    *,
    private: bool = False,
    commit_message: str | None = None,
    token: str | None = None,
) -> str:
    """Upload a directory of episodes to the Hugging Face Hub as a data set, with a card; its address.

    Only the three files of `RolloutSerializer` and the card are uploaded. Without a token huggingface_hub finds one itself.

    Raises:
        FileNotFoundError: There is no ``results.jsonl``.
        ImportError: huggingface_hub is not installed.
    """
    folder = Path(output_dir)
    if not (folder / RESULTS_FILENAME).is_file():
        raise FileNotFoundError(f"There is no {RESULTS_FILENAME} in {folder}: collect episodes there before pushing them.")
    try:
        from huggingface_hub import HfApi  # type: ignore[import-not-found, unused-ignore]  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise ImportError("push_to_hf_hub needs huggingface_hub: pip install huggingface_hub") from None
    card = build_dataset_readme(folder)
    (folder / README_FILENAME).write_text(card, encoding="utf-8")
    count = sum(1 for _ in RolloutSerializer(folder)._lines())
    api = HfApi(token=token)
    api.create_repo(repo_id=repo_id, repo_type="dataset", private=private, exist_ok=True)
    api.upload_folder(
        folder_path=str(folder),
        repo_id=repo_id,
        repo_type="dataset",
        allow_patterns=[RESULTS_FILENAME, METADATA_FILENAME, README_FILENAME],
        commit_message=commit_message or f"Add {count} collected episode(s)",
    )
    return f"https://huggingface.co/datasets/{repo_id}"


def _id_in(raw: bytes, where: str) -> str:
    try:
        found = json.loads(raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ValueError(f"{where}: invalid UTF-8: {error}") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"{where}: invalid JSON: {error.msg}; mend or remove the line") from error
    if not isinstance(found, dict):
        raise ValueError(f"{where}: expected an object, not {type(found).__name__}")
    episode_id = found.get("episode_id")
    if not isinstance(episode_id, str):
        raise ValueError(f"{where}: expected a string episode_id, not {episode_id!r}")
    return episode_id


def _table_of(path: Path) -> str:
    """The metadata as rows; a file that is not JSON is not what a card should fail for."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return ""
    if not isinstance(found, dict):
        return ""
    rows = "".join(f"| {_cell(key)} | {_cell(value)} |\n" for key, value in found.items())
    return f"\n| collected with | |\n| --- | --- |\n{rows}"


def _cell(value: Any) -> str:
    text = " ".join(str(value).split()).replace("|", "\\|").replace("`", "'")
    return f"`{text}`"
