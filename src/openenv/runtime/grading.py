"""Deciding on copies: what is taken of a play on its lane, and jobs that need no environment, so that they run off it."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

from openenv.environment import DatabaseBacked
from openenv.errors import EpisodeOver, ExecutionFailed, OpenEnvError, Unsupported, ValidationFailed
from openenv.operation import Episode, Result
from openenv.scenario import Scenario
from openenv.verifiers import Evidence, VerifierSpec, grade
from openenv.verifiers.sql import run_query

if TYPE_CHECKING:
    from openenv.runtime.play import Play

__all__ = ["Deferred", "database_of", "evidence_of", "exported", "grade_job", "query_job", "verification"]

log = logging.getLogger("openenv.runtime")

_READS_EVENTS: Final = frozenset({"tool_calls", "tool_execution"})
"""Verifier types that need the record of an episode."""


@dataclass(slots=True)
class Deferred:
    """What is left to do off the lane before the result is complete (grading reads copies and may take its time)."""

    job: Callable[[], Result]
    episode: str | None = None
    seconds: float = 0.0

    def run(self) -> Result:
        """Do it; the result tells of the step that it belongs to."""
        result = self.job()
        result.episode, result.seconds = self.episode, self.seconds
        return result


def verification(play: Play, response: str | None, verifiers: list[VerifierSpec] | None) -> Deferred:
    """What is left to do to grade the episode as it stands.

    Args:
        play: Whose episode.
        response: The agent's last words.
        verifiers: Those to decide by, instead of the loaded scenario's.

    Raises:
        ValidationFailed: There is nothing to decide by.
        EpisodeOver: No episode is running.
    """
    scenario = play.scenario
    if scenario is None and verifiers is None:
        raise ValidationFailed(
            "there is nothing to verify: no scenario is loaded and no verifiers were sent",
            field="verifiers",
            hint="Load a scenario first, or send verifiers.",
        )
    if scenario is None and any(one.verifier_type in _READS_EVENTS for one in verifiers or ()):
        raise ValidationFailed(
            "tool calls are recorded under a scenario only, and none is loaded",
            field="verifiers",
            hint="Load a scenario before the agent acts.",
        )
    if scenario is not None and not play.started:
        raise EpisodeOver("No episode is running: the last reset failed", hint="Reset to begin one.")
    evidence, episode = evidence_of(play), play.episode
    evidence.episode = Episode(episode.id, episode.seed, list(episode.events), response, play.environment.step_count)
    return Deferred(grade_job(evidence, scenario, verifiers))


def exported(play: Play, which: str) -> bytes:
    """The image of the world's database: as it is, or the ``initial`` one. Raises `Unsupported` where there is none."""
    if which != "initial":
        return database_of(play)
    if play.initial is None:
        raise Unsupported("there is no initial image: no scenario is loaded", hint="Load a scenario first.")
    return play.initial


def database_of(play: Play) -> bytes:
    """The image of the world's database. Raises `Unsupported` where it has none."""
    if not isinstance(play.environment, DatabaseBacked):
        raise Unsupported(f"{play.specification.name} keeps no database", hint="Use other verifiers than SQL.")
    return play.environment.database_image()


def evidence_of(play: Play) -> Evidence:
    """What verifiers see of the episode."""
    final = play.environment.database_image() if isinstance(play.environment, DatabaseBacked) else None
    return Evidence(episode=play.episode, initial=play.initial, final=final)


def grade_job(evidence: Evidence, scenario: Scenario | None, verifiers: list[VerifierSpec] | None) -> Callable[[], Result]:
    """A job that grades an episode; its result's value is what ``POST /sessions/{id}/verify`` answers."""

    def decide() -> Result:
        return _guarded(lambda: _grade(evidence, scenario, verifiers))

    return decide


def query_job(image: bytes, query: str) -> Callable[[], Result]:
    """A job that runs one read-only query; its result's value has ``columns`` and ``rows``."""

    def run() -> Result:
        return _guarded(lambda: _query(image, query))

    return run


def _grade(evidence: Evidence, scenario: Scenario | None, verifiers: list[VerifierSpec] | None) -> Result:
    specs = verifiers if verifiers is not None else (scenario.verifiers if scenario else [])
    allowed = scenario.allowed_changes if scenario else None
    ignored = scenario.ignored_changes if scenario else []
    graded = grade(evidence, specs, allowed, ignored)
    episode = evidence.episode
    return Result(
        value={
            "passed": graded.passed,
            "reward": graded.reward,
            "verdicts": [asdict(verdict) for verdict in graded.verdicts],
            "episode": {"id": episode.id, "seed": episode.seed, "steps": episode.steps},
            "events": [asdict(event) for event in episode.events],
            "initial": _digest(evidence.initial),
            "final": _digest(evidence.final),
        }
    )


def _query(image: bytes, query: str) -> Result:
    found = run_query(image, query)
    return Result(value={"columns": list(found.columns), "rows": [list(row) for row in found.rows]})


def _guarded(job: Callable[[], Result]) -> Result:
    try:
        return job()
    except OpenEnvError as error:
        return Result(error=error)
    except Exception as error:
        log.exception("grading failed")
        return Result(error=ExecutionFailed(f"grading failed: {error}"))


def _digest(image: bytes | None) -> str | None:
    return hashlib.sha256(image).hexdigest() if image is not None else None
