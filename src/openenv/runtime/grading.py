"""Deciding on copies: jobs that need no environment, so that they run off its lane."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from dataclasses import asdict

from openenv.errors import ExecutionFailed, OpenEnvError
from openenv.operation import Result
from openenv.scenario import Scenario
from openenv.verifiers import Evidence, VerifierSpec, grade
from openenv.verifiers.sql import run_query

log = logging.getLogger("openenv.runtime")


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
