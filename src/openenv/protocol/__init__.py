"""Codecs: bytes to operations and results to bytes, one file a dialect, without any input or output of their own."""

from openenv.protocol.jsonrpc import JsonRpcCodec, RpcCall
from openenv.protocol.openenv import OpenEnvCodec
from openenv.protocol.simple import SimpleCodec
from openenv.protocol.socket import SocketCodec

__all__ = ["JsonRpcCodec", "OpenEnvCodec", "RpcCall", "SimpleCodec", "SocketCodec"]
