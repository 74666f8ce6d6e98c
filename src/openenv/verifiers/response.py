"""``response``: the agent's last words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Final, Self

from pydantic import Field, model_validator
from pydantic_core import SchemaError, SchemaValidator, core_schema

from openenv.errors import ValidationFailed
from openenv.verifiers.base import VerifierConfig, in_words, shown
from openenv.verifiers.evidence import Evidence, Verdict

Text = Annotated[str, Field(min_length=1, max_length=10_000)]
Texts = Annotated[list[Text], Field(min_length=1, max_length=100)]

_NUMBER: Final = re.compile(
    r"(?<![\w.])[-+\u2212]?(?:\d{1,3}(?:,\d{3}){1,12}|\d{1,40})(?:\.\d{1,40})?(?:[eE][-+]?\d{1,3})?(?!\w)", re.ASCII
)

_CRITERIA: Final = ("equals", "contains", "not_contains", "any_of", "matches", "number")

JUDGE_KEYS: Final = frozenset({"sql_query", "comparison_prompt", "minimum_comparison_value"})
"""Keys of the published gym's ``response_check``, which asks a language model for a mark."""


class ResponseConfig(VerifierConfig):
    """What the response has to be; every key that is given has to hold."""

    equals: str | None = None
    contains: Text | Texts | None = Field(default=None, description="A text, or several that all have to be there")
    not_contains: Text | Texts | None = None
    any_of: Texts | None = Field(default=None, description="Texts of which at least one has to be there")
    matches: Annotated[str, Field(min_length=1, max_length=500)] | None = Field(
        default=None, description="A regular expression found anywhere in it, without look-around and back-references"
    )
    number: Annotated[float, Field(allow_inf_nan=False)] | None = Field(default=None, description="A number that occurs in it")
    tolerance: Annotated[float, Field(ge=0, allow_inf_nan=False)] = Field(default=0, description="How far off it may be")
    ignore_case: bool = False
    maximum_length: Annotated[int, Field(ge=1, le=20_000)] = Field(
        default=20_000, description="In characters; a longer response fails"
    )

    @model_validator(mode="after")
    def _decides(self) -> Self:
        if all(getattr(self, key) is None for key in _CRITERIA):
            raise ValueError(f"give at least one of {', '.join(_CRITERIA)}")
        if self.tolerance and self.number is None:
            raise ValueError("tolerance goes with number")
        if self.matches is not None:
            try:
                pattern(self.matches, ignore_case=self.ignore_case)
            except SchemaError as error:
                raise ValueError(f"matches is not a regular expression that can be used here: {_reason(error)}") from None
        return self


def refuse_judge(config: dict[str, Any]) -> None:
    """Raise `ValidationFailed` for a config that asks for a language model as the judge: there is none."""
    asked = sorted(JUDGE_KEYS.intersection(config))
    if asked:
        raise ValidationFailed(
            f"A response verifier with {', '.join(asked)} asks a language model for a mark, and no judge model is available",
            field=f"validation_config.{asked[0]}",
            hint="Use a response verifier with contains, any_of, matches or number, or a database_state verifier with the query.",
            example={"verifier_type": "response", "validation_config": {"contains": "11 calendars", "ignore_case": True}},
        )


def pattern(expression: str, *, ignore_case: bool) -> SchemaValidator:
    """The expression compiled by an engine whose time grows only with its size times the text's: it cannot backtrack.

    Raises `SchemaError` when it is wrong, too large once its counts are written out, or needs backtracking.
    """
    flags = "(?i)" if ignore_case else ""
    return SchemaValidator(core_schema.str_schema(pattern=flags + expression, regex_engine="rust-regex"))


@dataclass(frozen=True, slots=True)
class Response:
    """Checks the agent's last words. No response at all never passes."""

    name: str
    config: ResponseConfig
    verifier_type: str = "response"

    def verify(self, evidence: Evidence) -> Verdict:
        response, config = evidence.episode.response, self.config
        if response is None:
            failures = ["the agent gave no response"]
        elif len(response) > config.maximum_length:
            failures = [f"the response has {len(response)} characters; {config.maximum_length} are allowed"]
        else:
            failures = list(self._failures(response))
        message = f"{failures[0][0].upper()}{failures[0][1:]}." if failures else "The response is as expected."
        expected = shown(config.model_dump(exclude_defaults=True))
        return Verdict(
            name=self.name,
            verifier_type=self.verifier_type,
            passed=not failures,
            message=message,
            expected=expected,
            actual=shown(response),
            details={"failures": failures} if failures else {},
        )

    def _failures(self, response: str) -> Iterator[str]:
        config, text = self.config, self._folded(response)
        if config.equals is not None and text.strip() != self._folded(config.equals).strip():
            yield f"the response is not {in_words(config.equals)}"
        for part in _several(config.contains):
            if self._folded(part) not in text:
                yield f"the response does not contain {in_words(part)}"
        for part in _several(config.not_contains):
            if self._folded(part) in text:
                yield f"the response contains {in_words(part)}"
        if config.any_of is not None and not any(self._folded(part) in text for part in config.any_of):
            yield f"the response contains none of {in_words(config.any_of)}"
        if config.matches is not None:
            clean = response.encode("utf-8", "replace").decode()
            if not pattern(config.matches, ignore_case=config.ignore_case).isinstance_python(clean):
                yield f"the response does not match {in_words(config.matches)}"
        if config.number is not None and not any(abs(found - config.number) <= config.tolerance for found in numbers(response)):
            near = f" (± {config.tolerance:g})" if config.tolerance else ""
            yield f"the response has no number {config.number:g}{near}"

    def _folded(self, text: str) -> str:
        return text.casefold() if self.config.ignore_case else text


def numbers(text: str) -> Iterator[float]:
    """The numbers in a text; a comma between groups of three digits separates thousands."""
    for found in _NUMBER.finditer(text):
        yield float(found.group().replace(",", "").replace("\u2212", "-"))


def _several(texts: str | list[str] | None) -> list[str]:
    if texts is None:
        return []
    return [texts] if isinstance(texts, str) else texts


def _reason(error: SchemaError) -> str:
    """The last line of the engine's complaint, which says what is wrong."""
    last = str(error).strip().splitlines()[-1].strip()
    return last.removeprefix("SchemaError: ").removeprefix("error: ").rstrip(".")
