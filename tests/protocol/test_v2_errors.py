"""Errors in both encodings, whatever was put into them."""

from __future__ import annotations

from typing import Any

import pytest

from openenv.errors import ExecutionFailed, OpenEnvError, ValidationFailed
from openenv.protocol.v2_answers import ENCODINGS, Encoding


def nested(levels: int) -> list[Any]:
    made: list[Any] = []
    for _ in range(levels):
        made = [made]
    return made


@pytest.mark.parametrize("encoding", ENCODINGS.values(), ids=list(ENCODINGS))
@pytest.mark.parametrize(
    "error",
    [
        ValidationFailed("no", errors=[{"input": nested(230)}]),
        ValidationFailed("no", errors=[{"input": nested(5000)}]),
        ExecutionFailed("half of a pair: \ud800"),
        ExecutionFailed("no", details={"half \udfff": "\ud800"}),
    ],
    ids=["nested", "bottomless", "text", "details"],
)
def test_what_cannot_be_said_costs_the_error_nothing_but_that(encoding: Encoding, error: OpenEnvError) -> None:
    frame = encoding.frame(7, None, encoding.error(error))
    told = encoding.read(frame if encoding.binary else frame.decode())["error"]
    assert told["code"] == error.code
    assert told["message"] == error.message.replace("\ud800", "?")
