"""Schemas from hints and docstrings."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal, NotRequired, TypedDict, Unpack

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from openenv import Context
from openenv.errors import InvalidArguments, ValidationFailed
from openenv.tools import Arguments
from openenv.tools.arguments import parameter_descriptions, summary


class Guest(BaseModel):
    """Somebody invited."""

    mail: str
    optional: bool = False


def invite(
    self: Any,
    guests: list[Guest],
    day: date,
    context: Context,
    title: str | None = None,
    kind: Literal["in", "out"] = "in",
    seats: Annotated[int, Field(ge=2, description="How many")] = 4,
) -> None:
    """Invite guests to a table,
    in one go.

    More of it.

    Args:
        guests: Who comes.
        day (date): When, as in
            2026-01-05.
        title: What it is called.
        seats: Not this text.

    Returns:
        kind: Nothing.
    """


ARGUMENTS = Arguments(invite)


def test_the_schema_says_everything_once() -> None:
    assert ARGUMENTS.schema == {
        "$defs": {
            "Guest": {
                "description": "Somebody invited.",
                "properties": {"mail": {"type": "string"}, "optional": {"default": False, "type": "boolean"}},
                "required": ["mail"],
                "type": "object",
            }
        },
        "additionalProperties": False,
        "properties": {
            "guests": {"description": "Who comes.", "items": {"$ref": "#/$defs/Guest"}, "type": "array"},
            "day": {"description": "When, as in 2026-01-05.", "format": "date", "type": "string"},
            "title": {"description": "What it is called.", "type": "string"},
            "kind": {"default": "in", "enum": ["in", "out"], "type": "string"},
            "seats": {"default": 4, "description": "How many", "minimum": 2, "type": "integer"},
        },
        "required": ["guests", "day"],
        "type": "object",
    }


def test_the_context_is_no_argument() -> None:
    assert ARGUMENTS.context_parameter == "context"
    assert "context" not in ARGUMENTS.names


def test_a_parameter_named_title_stays() -> None:
    assert "title" in ARGUMENTS.schema["properties"]


def test_only_what_was_given_is_passed_on() -> None:
    given_ = ARGUMENTS.validate({"guests": [{"mail": "a"}], "day": "2026-01-05"})
    assert given_ == {"guests": [Guest(mail="a")], "day": date(2026, 1, 5)}
    assert ARGUMENTS.validate({"guests": [], "day": date(2026, 1, 5), "title": None})["title"] is None


def test_docstrings() -> None:
    assert summary(invite.__doc__ or "") == "Invite guests to a table, in one go. More of it."
    assert parameter_descriptions("No arguments here: none.") == {}
    assert parameter_descriptions("X.\n\nArgs:\n    a: one\n      two\n    **b: three\n\nRaises:\n    c: four") == {
        "a": "one two",
        "b": "three",
    }


def test_the_refusal_can_be_another() -> None:
    with pytest.raises(ValidationFailed) as refused:
        Arguments(invite, refusal=ValidationFailed).validate({})
    assert refused.value.code == "VALIDATION_ERROR"


def test_the_input_in_a_hint_is_short() -> None:
    with pytest.raises(InvalidArguments) as refused:
        ARGUMENTS.validate({"guests": "x" * 100_000, "day": "2026-01-05"})
    assert len(refused.value.hint or "") < 200


class Fields(TypedDict):
    summary: str
    place: NotRequired[str]


def test_an_unpacked_dictionary_stands_for_its_keys() -> None:
    def insert(self: Any, **fields: Unpack[Fields]) -> None: ...

    arguments = Arguments(insert)
    assert arguments.names == {"summary", "place"}
    assert arguments.schema["required"] == ["summary"]
    assert arguments.validate({"summary": "x"}) == {"summary": "x"}
    with pytest.raises(InvalidArguments):
        arguments.validate({"summary": "x", "other": 1})


def test_a_bare_dictionary_takes_anything() -> None:
    def reset(self: Any, seed: int | None = None, **others: Any) -> None: ...

    arguments = Arguments(reset)
    assert arguments.takes_any
    assert arguments.validate({"seed": 3, "level": "hard"}) == {"seed": 3, "level": "hard"}
    with pytest.raises(InvalidArguments):
        arguments.validate({"seed": "x"})


def hints() -> st.SearchStrategy[Any]:
    kinds = [
        int,
        float,
        str,
        bool,
        list[int],
        dict[str, int],
        date,
        Guest,
        list[Guest],
        int | None,
        Literal["a", "b"],
        Annotated[int, Field(ge=5)],
        Annotated[int, Field(gt=5)],
        Annotated[int, Field(le=-5)],
        Annotated[str, Field(min_length=8)],
        Annotated[list[str], Field(min_length=1)],
        Any,
    ]
    return st.sampled_from(kinds)


@given(st.lists(hints(), max_size=4))
def test_an_example_is_made_for_every_schema(kinds: list[Any]) -> None:
    def method(self: Any) -> None: ...

    method.__annotations__ = {}
    names = [f"p{number}" for number in range(len(kinds))]
    namespace: dict[str, Any] = {"kinds": kinds, "Any": Any}
    source = ", ".join(["self: Any", *(f"{name}: kinds[{number}]" for number, name in enumerate(names))])
    exec(f"def method({source}): ...", namespace)
    arguments = Arguments(namespace["method"])
    assert set(arguments.example) == set(names)
