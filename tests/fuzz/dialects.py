"""The dialects, and what each has to offer to be fuzzed."""

from __future__ import annotations

from random import Random
from typing import Protocol

from tests.fuzz.plan import Conversation
from tests.fuzz.requests import HttpDialect, RpcDialect, StandardMcpDialect
from tests.fuzz.sockets import McpFrameDialect, McpSocketDialect, OpenEnvDialect, SimpleDialect
from tests.fuzz.v2 import V2Dialect

__all__ = ["DIALECTS", "Dialect", "conversation"]


class Dialect(Protocol):
    """One dialect's generator."""

    @property
    def share(self) -> float:
        """How many of the frames are its own, beside the others' shares."""
        ...

    @property
    def targets(self) -> tuple[str, ...]:
        """The applications of `target` that it is spoken with."""
        ...

    def conversation(self, rng: Random, target: str) -> Conversation:
        """A conversation, made of nothing but this source of chance."""
        ...


DIALECTS: dict[str, Dialect] = {
    "openenv": OpenEnvDialect(),
    "simple": SimpleDialect(),
    "mcp-frames": McpFrameDialect(),
    "mcp-socket": McpSocketDialect(),
    "rpc": RpcDialect(),
    "mcp": StandardMcpDialect(),
    "http": HttpDialect(),
    "v2": V2Dialect(2.5, binary=False),
    "v2+msgpack": V2Dialect(2.0, binary=True),
}
"""By the name that ``--dialect`` takes."""


def conversation(dialect: str, seed: int, number: int) -> tuple[str, Conversation]:
    """The target and the conversation of this number: always the same."""
    rng = Random(f"{seed}/{dialect}/{number}")
    known = DIALECTS[dialect]
    target = rng.choice(known.targets)
    return target, known.conversation(rng, target)
