"""``database_state``: what a query of the final database gives, compared with what it should."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, model_validator

from openenv.verifiers.base import VerifierConfig, in_words, need_image, shown
from openenv.verifiers.evidence import Evidence, Verdict
from openenv.verifiers.sql import QueryResult, run_query

Comparison = Literal[
    "equals", "not_equals", "greater_than", "less_than", "at_least", "at_most", "contains", "not_contains", "in", "not_in"
]
_ORDERINGS: Final = frozenset({"greater_than", "less_than", "at_least", "at_most"})
_WORDS: Final[dict[str, str]] = {
    "equals": "",
    "not_equals": "anything but ",
    "greater_than": "more than ",
    "less_than": "less than ",
    "at_least": "at least ",
    "at_most": "at most ",
    "contains": "something that contains ",
    "not_contains": "something that does not contain ",
    "in": "one of ",
    "not_in": "none of ",
}


class DatabaseStateConfig(VerifierConfig):
    """``{"query": …, "expected_value": …, "comparison_type"?: …}``."""

    query: Annotated[str, Field(min_length=1, max_length=20_000)]
    expected_value: Any
    comparison_type: Comparison = "equals"

    @model_validator(mode="after")
    def _comparable(self) -> Self:
        expected = self.expected_value
        if self.comparison_type in _ORDERINGS and (isinstance(expected, bool) or not isinstance(expected, int | float | str)):
            raise ValueError(f"{self.comparison_type} needs a number or a text as expected_value")
        if self.comparison_type in ("in", "not_in") and not isinstance(expected, list):
            raise ValueError(f"{self.comparison_type} needs a list as expected_value")
        return self


@dataclass(frozen=True, slots=True)
class DatabaseState:
    """Runs the query on the final image.

    One row of one column is compared as its cell, more rows of one column as the list of their cells, anything else as
    the list of its rows (each a list of cells). A list as expected value is compared with a list: of cells, or of rows
    where its items are lists. A query that gives no row gives ``[]``, never null (null is a cell that is there and holds
    nothing), and is not a value that differs from the expected one: then ``not_equals`` and ``not_in`` fail too.
    """

    name: str
    config: DatabaseStateConfig
    verifier_type: str = "database_state"

    def verify(self, evidence: Evidence) -> Verdict:
        config = self.config
        result = run_query(need_image(evidence.final, "final"), config.query)
        actual = _value(result, config)
        passed = compare(actual, config.expected_value, config.comparison_type)
        if not result.rows and (config.comparison_type == "not_in" or self._differs_from_a_cell()):
            passed = False
        wanted = f"{_WORDS[config.comparison_type]}{in_words(config.expected_value)}"
        message = f"The query gives {in_words(actual)}; expected {wanted}."
        if not passed and not result.rows:
            message = f"The query gives no row; expected {wanted}."
        elif not passed and str(actual) == str(config.expected_value):
            message += f" The one is {_kind(actual)}, the other {_kind(config.expected_value)}."
        return Verdict(
            name=self.name,
            verifier_type=self.verifier_type,
            passed=passed,
            message=message,
            expected=shown(config.expected_value),
            actual=shown(actual),
            details={"comparison_type": config.comparison_type},
        )

    def _differs_from_a_cell(self) -> bool:
        return self.config.comparison_type == "not_equals" and not isinstance(self.config.expected_value, list)


def compare(actual: Any, expected: Any, comparison: Comparison) -> bool:
    """Whether the value is as expected. What cannot be compared (a text with a number, null with either) is not."""
    if comparison == "equals":
        return bool(actual == expected)
    if comparison == "not_equals":
        return bool(actual != expected)
    if comparison == "in":
        return actual in expected
    if comparison == "not_in":
        return actual not in expected
    if comparison in ("contains", "not_contains"):
        if isinstance(actual, list) or (isinstance(actual, str) and isinstance(expected, str)):
            return (expected in actual) is (comparison == "contains")
        return False
    return _ordered(actual, expected, comparison)


def _ordered(actual: Any, expected: Any, comparison: Comparison) -> bool:
    # Two branches alike: type checkers have to see texts with texts and numbers with numbers.
    if isinstance(actual, str) and isinstance(expected, str):  # noqa: SIM114
        above, below = actual > expected, actual < expected
    elif isinstance(actual, int | float) and isinstance(expected, int | float):
        above, below = actual > expected, actual < expected
    else:
        return False
    return {"greater_than": above, "less_than": below, "at_least": not below, "at_most": not above}[comparison]


def _value(result: QueryResult, config: DatabaseStateConfig) -> Any:
    """What of the result is compared: a cell, a list of cells, or the rows."""
    rows = result.rows
    if len(result.columns) != 1:
        return rows
    expected, listed = config.expected_value, isinstance(config.expected_value, list)
    whole = listed and config.comparison_type in ("equals", "not_equals")
    if whole and expected and all(isinstance(item, list) for item in expected):
        return rows
    if listed and config.comparison_type in ("contains", "not_contains"):
        return rows
    cells = [row[0] for row in rows]
    return cells[0] if len(cells) == 1 and not whole else cells


def _kind(value: Any) -> str:
    return {str: "a text", int: "a number", float: "a number", list: "a list", dict: "an object"}.get(type(value), "null")
