"""GET routes from a table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

__all__ = ["GetEndpointConfig", "register_get_endpoints"]


@dataclass(frozen=True)
class GetEndpointConfig:
    """One route and what the API's description says of it."""

    path: str
    handler: Callable[[], BaseModel | dict[str, Any]]
    response_model: type[BaseModel] | type[dict[str, Any]]
    tag: str
    summary: str
    description: str


def register_get_endpoints(app: FastAPI, configs: Sequence[GetEndpointConfig]) -> None:
    """Add the routes to an application."""
    for one in configs:
        app.get(one.path, response_model=one.response_model, tags=[one.tag], summary=one.summary, description=one.description)(
            one.handler
        )
