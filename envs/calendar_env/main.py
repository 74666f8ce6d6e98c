"""The application under the name that ``uvicorn main:app --reload --port 8004`` looks for."""

from calendar_env.server.app import app

__all__ = ["app"]
