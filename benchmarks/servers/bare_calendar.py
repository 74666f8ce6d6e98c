"""The Calendar without any middleware."""

from __future__ import annotations

from calendar_env.server.app import create_calendar_app

app = create_calendar_app(log=False, metrics=False)
