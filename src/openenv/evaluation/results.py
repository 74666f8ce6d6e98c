"""What a run writes: one JSON line for the run, then one for every trial."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from openenv.errors import ConfigurationError
from openenv.scenario import Suite

__all__ = [
    "COUNTED",
    "FORMAT",
    "ResultsWriter",
    "RunHeader",
    "RunResults",
    "Status",
    "TrialResult",
    "json_safe",
    "read_results",
]

FORMAT = 1
"""The version of the file's format. A reader refuses versions that it does not know."""

Status = Literal["scored", "agent_error", "environment_error", "infrastructure_error", "cancelled"]
"""How a trial ended. ``scored``: its verdicts stand. ``agent_error``: the agent's own code raised; a failure with reward 0.
``environment_error``, ``infrastructure_error``: what it ran on failed, which tells nothing about the agent. ``cancelled``:
the run was stopped."""

COUNTED: frozenset[str] = frozenset({"scored", "agent_error"})
"""The statuses that enter success rates."""

Stop = Literal["answered", "step_limit", "time_limit", "error", "cancelled"]


class RunHeader(BaseModel):
    """The first line: what was run, on what, with what."""

    model_config = ConfigDict(extra="forbid")

    record: Literal["run"] = "run"
    format: int = FORMAT
    openenv: str = Field(description="The version of openenv that ran the evaluation")
    started_at: str = Field(description="UTC, ISO 8601")
    suite: Suite
    suite_digest: str
    agents: list[str]
    server: dict[str, Any] = Field(default_factory=dict, description="The address, and what /metadata said")
    trials: int
    seed: int
    parallel: int
    timeout_s: float
    scenarios: list[str] = Field(description="The scenarios chosen from the suite")
    rescored: dict[str, Any] | None = Field(default=None, description="For a rescored file: from which, and with what")

    @property
    def planned(self) -> int:
        """How many trials the run was to have."""
        return len(self.agents) * len(self.scenarios) * self.trials


class TrialResult(BaseModel):
    """One agent's one attempt at one scenario."""

    model_config = ConfigDict(extra="forbid")

    record: Literal["trial"] = "trial"
    agent: str
    scenario: str
    difficulty: str
    pair: str | None = None
    phrasing: str | None = None
    trial: int = Field(description="Counted from 0")
    seed: int = Field(description="The agent's")
    status: Status
    stop: Stop
    passed: bool | None = Field(default=None, description="null where the trial does not count")
    reward: float | None = None
    verdicts: list[dict[str, Any]] = Field(default_factory=list)
    response: str | None = None
    episode: dict[str, Any] = Field(default_factory=dict)
    events: list[dict[str, Any]] = Field(default_factory=list, description="Every operation of the episode and its outcome")
    malformed: list[dict[str, Any]] = Field(default_factory=list, description="Calls whose arguments were no JSON object")
    initial: str | None = Field(default=None, description="SHA-256 of the database when the agent began")
    final: str | None = Field(default=None, description="SHA-256 of the database when it was graded")
    steps: int = 0
    seconds: dict[str, float] = Field(default_factory=dict)
    tokens: dict[str, int] = Field(default_factory=dict)
    error: dict[str, Any] | None = None

    @property
    def counts(self) -> bool:
        """Whether the trial enters success rates."""
        return self.status in COUNTED


@dataclass(frozen=True, slots=True)
class RunResults:
    """A results file, read."""

    header: RunHeader
    trials: Sequence[TrialResult]
    truncated: bool = False
    """Whether the last line was cut off, as an interrupted write leaves it; it is left out."""


class ResultsWriter:
    """Appends to a results file; every line is complete on disk's way before the next thing happens."""

    def __init__(self, path: Path, header: RunHeader) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("x", encoding="utf-8")
        self._write(header)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()

    def add(self, result: TrialResult) -> None:
        """Append a trial."""
        self._write(result)

    def _write(self, line: BaseModel) -> None:
        self._file.write(json.dumps(line.model_dump(mode="json"), allow_nan=False) + "\n")
        self._file.flush()


def read_results(path: Path) -> RunResults:
    """Read a results file, also one whose run was interrupted.

    Raises `ConfigurationError`, naming the line, when the file is none or is damaged before its last line.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}", hint="Give the results.jsonl of a run.") from error
    complete, rest = lines[:-1], lines[-1]
    if not complete:
        raise ConfigurationError(f"{path} is no results file: it has no complete line", hint="Give the results.jsonl of a run.")
    header = _header(path, complete[0])
    return RunResults(header, list(_trials(path, complete[1:])), truncated=bool(rest.strip()))


def json_safe(value: Any) -> Any:
    """The value as strict JSON holds it: what UTF-8 cannot carry (lone surrogates) becomes ``?``, NaN and infinities null."""
    text = json.dumps(value, ensure_ascii=False, default=str).encode("utf-8", "replace")
    return json.loads(text, parse_constant=lambda _: None)


def _header(path: Path, line: str) -> RunHeader:
    body = _json(path, 1, line)
    if not isinstance(body, dict) or body.get("record") != "run":
        raise ConfigurationError(f"{path}: line 1 is not the header of a run", hint="Give the results.jsonl of a run.")
    if body.get("format") != FORMAT:
        raise ConfigurationError(
            f"{path} has format {body.get('format')!r}; this version of openenv reads format {FORMAT}",
            hint="Read it with the version that wrote it.",
        )
    try:
        return RunHeader.model_validate(body)
    except ValidationError as error:
        raise _wrong(path, 1, error) from None


def _trials(path: Path, lines: Iterable[str]) -> Iterator[TrialResult]:
    for number, line in enumerate(lines, start=2):
        if not line.strip():
            continue
        body = _json(path, number, line)
        try:
            yield TrialResult.model_validate(body)
        except ValidationError as error:
            raise _wrong(path, number, error) from None


def _json(path: Path, number: int, line: str) -> Any:
    try:
        return json.loads(line)
    except json.JSONDecodeError as error:
        raise ConfigurationError(f"{path}: line {number} is not JSON: {error.msg}") from None


def _wrong(path: Path, number: int, error: ValidationError) -> ConfigurationError:
    first = error.errors(include_url=False, include_context=False)[0]
    field = ".".join(str(step) for step in first["loc"])
    return ConfigurationError(f"{path}: line {number}: {field}: {first['msg']}", field=field)
