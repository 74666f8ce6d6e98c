"""``/mcp``: OpenEnv's JSON-RPC, and MCP itself. The official SDK is loaded with the first request that needs it."""

from openenv.server.mcp.route import McpRoute

__all__ = ["McpRoute"]
