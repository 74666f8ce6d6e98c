"""``POST /sessions/{id}/tokens``: a token for one session, such as a grader gives to its agent."""

from __future__ import annotations

import time
from typing import Any, Final

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from openenv.errors import Forbidden, OpenEnvError, Unsupported
from openenv.operation import Operation
from openenv.protocol.json import dump
from openenv.server.core import ServerCore
from openenv.server.described import ANY_OBJECT, JSON, answers, body_schema
from openenv.server.http import parse_body, read_body

__all__ = ["TokenRoutes"]

ISSUABLE: Final = frozenset({"act", "reset", "grade", "watch"})
"""Scopes that mean something within one session."""
LONGEST_S: Final = 86_400.0
_SUFFIX: Final = "/agent"


class TokenRequest(BaseModel):
    """What the token is to be good for."""

    model_config = ConfigDict(extra="forbid")

    scopes: list[str] = Field(default=["act"], max_length=10, description="No more than the caller has itself")
    ttl_s: float = Field(default=3600.0, gt=0, le=LONGEST_S, description="Seconds until it ends, or the caller's own token does")


class TokenRoutes:
    """The route of one server."""

    def __init__(self, core: ServerCore) -> None:
        self.core = core

    def register(self, router: APIRouter) -> None:
        """Add the route."""
        router.add_api_route(
            "/sessions/{session_id}/tokens",
            self.issue,
            methods=["POST"],
            status_code=201,
            tags=["Sessions"],
            **body_schema(TokenRequest, required=False),
            **answers(ANY_OBJECT, status=201, what="The token"),
        )

    async def issue(self, request: Request, session_id: str) -> Response:
        """A token with which one can use this session and no other, for callers with the scope ``grade``.

        Its principal is the caller's with ``/agent`` after its id, so that all such tokens of a caller share one rate limit.
        """
        core = self.core
        connection = core.connection("http", request.scope)
        context = core.context(connection)
        core.pipeline.check(core.operation(Operation("issue_token", session=session_id), connection, context))
        try:
            body: TokenRequest = parse_body(TokenRequest, await read_body(request, core.max_body_bytes) or b"{}")
        except OpenEnvError as error:
            await core.refuse(error, connection, context)
        principal = connection.principal
        core.manager.session(session_id, principal)
        allowed = ISSUABLE & principal.scopes
        if not allowed.issuperset(body.scopes):
            raise Forbidden(
                "a token may have no scope that its issuer lacks, and none beyond a session",
                field="scopes",
                hint=f"You can give away: {', '.join(sorted(allowed))}.",
            )
        ttl_s = body.ttl_s
        if principal.expires is not None:
            ttl_s = max(1.0, min(ttl_s, principal.expires - time.time()))
        token = self._issuer().mint(
            principal.id.removesuffix(_SUFFIX) + _SUFFIX,
            scopes=body.scopes,
            tenant=principal.tenant,
            session=session_id,
            ttl_s=ttl_s,
        )
        made = {"token": token, "token_type": "Bearer", "session_id": session_id, "scopes": body.scopes, "expires_in_s": ttl_s}
        return Response(dump(made), status_code=201, media_type=JSON, headers={"Cache-Control": "no-store"})

    def _issuer(self) -> Any:
        for one in self.core.pipeline.middleware:
            if hasattr(one, "mint"):
                return one
        raise Unsupported("this server issues no tokens", hint="Serve with --tokens or --jwt-secret-env, or use BearerAuth.")
