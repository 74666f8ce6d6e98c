"""Sockets in and out: the FastAPI application, its WebSocket, HTTP and MCP doors, and `run`."""

from openenv.server.app import create_app, create_fastapi_app
from openenv.server.run import serve

__all__ = ["create_app", "create_fastapi_app", "serve"]
