"""A batch's entries are read alike, whether all of them are right or one is wrong."""

from __future__ import annotations

import msgpack
import pytest

from echo_env.models import EchoAction
from openenv.protocol.v2 import V2Codec


@pytest.mark.parametrize("beside", [[], [{"session": "two", "action": {"nope": 1}}]], ids=["alone", "beside a wrong one"])
def test_the_names_of_a_resets_options_are_texts(beside: list[object]) -> None:
    """MessagePack can write them as bytes too."""
    entries = [{"session": "one", "reset": {b"seed": 7}}, *beside]
    request = V2Codec(EchoAction).decode(msgpack.packb({"id": 1, "op": "batch", "data": {"entries": entries}}) or b"")
    assert request.error is None
    assert (request.data[0].data, request.data[0].error) == ({"seed": 7}, None)
