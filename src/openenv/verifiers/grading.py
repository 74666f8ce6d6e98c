"""From verifiers as JSON to a grade."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final

from pydantic import ValidationError

from openenv.errors import ExecutionFailed, OpenEnvError, ValidationFailed
from openenv.verifiers.base import Verifier, parse_config
from openenv.verifiers.database_state import DatabaseState, DatabaseStateConfig
from openenv.verifiers.evidence import AllowedChange, Evidence, Verdict, VerifierSpec
from openenv.verifiers.response import Response, ResponseConfig, refuse_judge
from openenv.verifiers.state_diff import StateDiff, StateDiffConfig
from openenv.verifiers.tool_calls import ToolCalls, ToolCallsConfig

log = logging.getLogger("openenv.verifiers")

NO_COLLATERAL_CHANGES: Final = "no_collateral_changes"
"""The name of the verdict on a scenario's ``allowed_changes``."""

EXAMPLES: Final[Mapping[str, dict[str, Any]]] = {
    "database_state": {
        "query": "SELECT COUNT(*) FROM acls WHERE role = 'writer'",
        "expected_value": 1,
        "comparison_type": "equals",
    },
    "response": {"contains": ["Monday", "10:00"], "ignore_case": True},
    "tool_calls": {"expected_tools": ["acl_list", "acl_insert"], "arguments": {"acl_insert": {"role": "writer"}}},
    "state_diff": {"allowed": [{"table": "acls", "kinds": ["insert"], "max_rows": 1}], "ignored": ["*.updated"]},
}
"""A config of each type of verifier, as errors show it."""

ALIASES: Final[Mapping[str, str]] = {"response_check": "response", "tool_execution": "tool_calls"}
"""The published gym's names of the same."""


@dataclass(slots=True)
class Grade:
    """What the verifiers say of an episode together."""

    passed: bool
    reward: float
    """1.0 when every verdict passed, else 0.0."""
    verdicts: list[Verdict]


def _database_state(name: str, config: dict[str, Any]) -> Verifier:
    return DatabaseState(name, parse_config(DatabaseStateConfig, "database_state", config, EXAMPLES["database_state"]))


def _response(name: str, config: dict[str, Any]) -> Verifier:
    refuse_judge(config)
    return Response(name, parse_config(ResponseConfig, "response", config, EXAMPLES["response"]))


def _tool_calls(name: str, config: dict[str, Any]) -> Verifier:
    return ToolCalls(name, parse_config(ToolCallsConfig, "tool_calls", config, EXAMPLES["tool_calls"]))


def _state_diff(name: str, config: dict[str, Any]) -> Verifier:
    return StateDiff(name, parse_config(StateDiffConfig, "state_diff", config, EXAMPLES["state_diff"]))


_TYPES: Final[Mapping[str, Callable[[str, dict[str, Any]], Verifier]]] = {
    "database_state": _database_state,
    "response": _response,
    "tool_calls": _tool_calls,
    "state_diff": _state_diff,
}


def parse_verifier(spec: VerifierSpec | Mapping[str, Any]) -> Verifier:
    """The verifier that a spec describes: ``database_state``, ``response``, ``tool_calls`` or ``state_diff``.

    Raises `ValidationFailed` for an unknown type, an unknown key, a value of the wrong type, or a spec that asks for a
    judge model; the error names the field and shows what fits.
    """
    if not isinstance(spec, VerifierSpec):
        spec = _spec(spec)
    kind = ALIASES.get(spec.verifier_type, spec.verifier_type)
    make = _TYPES.get(kind)
    if make is None:
        close = get_close_matches(spec.verifier_type, [*_TYPES, *ALIASES], n=1)
        meant = f"Did you mean {close[0]!r}? " if close else ""
        raise ValidationFailed(
            f"There is no verifier of the type {spec.verifier_type[:80]!r}",
            field="verifier_type",
            hint=f"{meant}The types are: {', '.join(_TYPES)}.",
            example={"verifier_type": "database_state", "validation_config": EXAMPLES["database_state"]},
        )
    return make(spec.name or spec.verifier_type, spec.validation_config)


def grade(
    evidence: Evidence,
    verifiers: Sequence[VerifierSpec],
    allowed_changes: Sequence[AllowedChange] | None = None,
    ignored_changes: Sequence[str] = (),
) -> Grade:
    """Let every verifier decide, and one more, ``no_collateral_changes``, where ``allowed_changes`` is given.

    The grade passes when all verdicts do. A verifier that cannot decide (a refused query, no database) gives a verdict
    that does not pass, with the error's body. Raises `ValidationFailed` when a spec is wrong or nothing is to be decided.
    """
    parsed = parse_verifiers(verifiers)
    if allowed_changes is not None:
        parsed.append(_no_collateral(allowed_changes, ignored_changes))
    if not parsed:
        raise ValidationFailed("There is no verifier, so nothing decides", field="verifiers", hint="Give at least one.")
    verdicts = [_decide(verifier, evidence) for verifier in parsed]
    passed = all(verdict.passed for verdict in verdicts)
    return Grade(passed, 1.0 if passed else 0.0, verdicts)


def parse_verifiers(specs: Sequence[VerifierSpec | Mapping[str, Any]]) -> list[Verifier]:
    """All of them parsed. Raises `ValidationFailed` whose field says which one is wrong (``verifiers.2.…``)."""
    parsed: list[Verifier] = []
    for index, spec in enumerate(specs):
        try:
            parsed.append(parse_verifier(spec))
        except ValidationFailed as error:
            error.field = f"verifiers.{index}.{error.field}" if error.field else f"verifiers.{index}"
            raise
    return parsed


def _no_collateral(allowed: Sequence[AllowedChange], ignored: Sequence[str]) -> Verifier:
    try:
        return _state_diff(NO_COLLATERAL_CHANGES, {"allowed": list(allowed), "ignored": list(ignored)})
    except ValidationFailed as error:
        for key in ("allowed", "ignored"):
            error.field = (error.field or "").replace(f"validation_config.{key}", f"{key}_changes")
        raise


def _decide(verifier: Verifier, evidence: Evidence) -> Verdict:
    error: OpenEnvError
    try:
        return verifier.verify(evidence)
    except OpenEnvError as raised:
        error = raised
    except Exception as raised:
        # Whatever goes wrong in here must fail this one verdict, and neither pass it nor lose the others.
        log.exception("verifier %s raised", verifier.name)
        error = ExecutionFailed(f"Verifier {verifier.name!r} raised {type(raised).__name__}: {raised}")
    return Verdict(verifier.name, verifier.verifier_type, passed=False, message=error.message, error=error.body())


def _spec(spec: Mapping[str, Any]) -> VerifierSpec:
    try:
        return VerifierSpec.model_validate(dict(spec))
    except ValidationError as error:
        errors = error.errors(include_url=False, include_context=False, include_input=False)
    first = errors[0]
    field = ".".join(str(part) for part in first["loc"])
    raise ValidationFailed(
        f"The verifier's {field[:80]!r} is wrong: {first['msg']}",
        field=field,
        hint=f"A verifier has the keys {', '.join(VerifierSpec.model_fields)}.",
        example={"verifier_type": "database_state", "validation_config": EXAMPLES["database_state"]},
        errors=errors,
    )
