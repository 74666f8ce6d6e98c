"""A message with a million faults, or with a long one, has an answer that is neither."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from openenv.errors import InvalidArguments, OpenEnvError
from openenv.protocol import SocketCodec
from openenv.protocol.v2 import V2Codec
from openenv.protocol.v2_answers import ENCODINGS
from openenv.tools.arguments import Arguments
from tests.support.toys import Say

MANY = {f"field{number}": 1 for number in range(5000)}
LONG = {"text": ["x" * 100_000], "seconds": {"why": "y" * 2_000_000}}


def refused_on_a_socket(data: dict[str, Any]) -> OpenEnvError | None:
    invalid: OpenEnvError = SocketCodec(Say).decode(json.dumps({"type": "step", "data": data})).operation.payload
    return invalid


def refused_by_v2(data: dict[str, Any]) -> OpenEnvError | None:
    return V2Codec(Say).decode(json.dumps({"id": 1, "op": "step", "session": "one", "data": data})).error


@pytest.mark.parametrize("data", [MANY, LONG], ids=["many", "long"])
@pytest.mark.parametrize("refused", [refused_by_v2, refused_on_a_socket])
def test_a_step(refused: Callable[[dict[str, Any]], OpenEnvError | None], data: dict[str, Any]) -> None:
    error = refused(data)
    assert error is not None
    assert error.code == "VALIDATION_ERROR"
    for encoding in ENCODINGS.values():
        assert len(encoding.error(error).content) < 10_000


def test_what_is_short_is_listed_with_what_was_sent() -> None:
    error = refused_by_v2({"text": 7, "other": 1})
    assert error is not None
    assert error.errors is not None
    assert [one["input"] for one in error.errors] == [7, 1]


def test_arguments_of_a_tool() -> None:
    def listen(word: str) -> None:
        """Hear a word."""

    with pytest.raises(InvalidArguments) as raised:
        Arguments(listen).validate(MANY)
    assert "5001 faults" in raised.value.message
    assert len(json.dumps(raised.value.body())) < 1000
