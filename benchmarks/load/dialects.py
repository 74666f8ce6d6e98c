"""The dialects by name."""

from __future__ import annotations

from benchmarks.load.http import HttpTalk, JsonRpcTalk, McpTalk, StatelessTalk
from benchmarks.load.sockets import EchoTalk, OpenEnvTalk
from benchmarks.load.talk import Talk
from benchmarks.load.v2 import BatchTalk, MessagePackTalk, V2Talk

__all__ = ["DIALECTS"]

DIALECTS: dict[str, type[Talk]] = {
    "echo": EchoTalk,
    "openenv": OpenEnvTalk,
    "v2": V2Talk,
    "v2-msgpack": MessagePackTalk,
    "v2-batch": BatchTalk,
    "http": HttpTalk,
    "http-stateless": StatelessTalk,
    "json-rpc": JsonRpcTalk,
    "mcp": McpTalk,
}
