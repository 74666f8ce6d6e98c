"""The way of a tool client: a session made over HTTP, tool calls over HTTP, the other verbs on a socket attached to it."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from openenv.client.address import Address
from openenv.client.tools import rpc_error
from openenv.core._link import Link, Wire
from openenv.core.client_errors import ServerError, ToolCallError, spoken_as_0_10
from openenv.errors import OpenEnvError

if TYPE_CHECKING:
    from openenv.client.http import Requests

__all__ = ["ToolLink"]

logger = logging.getLogger("openenv.client")

_CODES_BY_DETAIL = {"active_sessions": "CAPACITY_REACHED", "factory_name": "FACTORY_ERROR"}


class ToolLink(Link):
    """A `Link` whose session outlives its sockets: `connect` and `reset` attach to it again, `close` ends it."""

    session_id: str | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._requests: Requests | None = None
        self._requests_loop: asyncio.AbstractEventLoop | None = None
        self._turn = asyncio.Lock()
        self._ids = itertools.count(1)

    async def reset(self, arguments: Mapping[str, Any]) -> Any:
        """As of any link; where the server has forgotten the session, in a new one."""
        try:
            return await super().reset(arguments)
        except ServerError as error:
            if error.code != "SESSION_ERROR":
                raise
        await self._end_session()
        return await super().reset(arguments)

    async def list_tools(self) -> list[Any]:
        """The tools as the server lists them."""
        result = await self._ask("tools/list", {})
        listed = result.get("tools") if isinstance(result, dict) else None
        if not isinstance(listed, list):
            raise ServerError("The answer to tools/list has no list of tools", code="INTERNAL_ERROR")
        return listed

    async def call_tool(self, name: str, arguments: Mapping[str, Any]) -> Any:
        """A tool's result as JSON.

        Raises:
            ToolCallError: The tool said no, or there is no such tool.
        """
        try:
            return await self._ask("tools/call", {"name": name, "arguments": arguments})
        except _RpcRefusal as why:
            raise ToolCallError(why.message, tool_name=name, code=why.code, **_known(why)) from None

    async def _ask(self, method: str, params: Mapping[str, Any]) -> Any:
        self.claim_here()
        with spoken_as_0_10():
            if self.session_id is None:
                await self._ready()
            return await self._post(method, {**params, "session_id": self.session_id})

    async def _ready(self, *, reopens: bool = False) -> Wire:
        async with self._turn:  # so that calls that come together make one session
            if self.session_id is None:
                await self._started(reopens=reopens)
                self._wire = None  # any wire was of another session, or of none
                try:
                    self.session_id = await self._create()
                except BaseException:
                    await self._close_requests()  # who has no session may never call close()
                    raise
            return await super()._ready(reopens=reopens)

    def _new_wire(self, base_url: str, **more: Any) -> Wire:
        return super()._new_wire(base_url, session_id=self.session_id, **more)

    async def _create(self) -> str:
        try:
            result = await self._post("openenv/session/create", {})
        except _RpcRefusal as why:
            code = next((code for key, code in _CODES_BY_DETAIL.items() if key in why.details), why.code)
            raise ServerError(why.message, code=code, **_known(why)) from None
        session_id = result.get("session_id") if isinstance(result, dict) else None
        if not isinstance(session_id, str) or not session_id:
            raise ServerError("The server made a session and did not name it", code="INTERNAL_ERROR")
        return session_id

    async def _post(self, method: str, params: Mapping[str, Any]) -> Any:
        """The result of a JSON-RPC request.

        Raises:
            _RpcRefusal: The answer is an error.
        """
        request = {"jsonrpc": "2.0", "method": method, "params": params, "id": next(self._ids)}
        answer = await self._http().json("POST", "/mcp", request)
        error = answer.get("error")
        if isinstance(error, dict):
            why = rpc_error(error)
            raise _RpcRefusal(why.message, code=why.code, **_known(why))
        return answer.get("result")

    def _http(self) -> Requests:
        loop = asyncio.get_running_loop()
        if self._requests is None or self._requests_loop is not loop:
            from openenv.client.http import Requests

            assert self.base_url is not None, "requests are made once the server's address is known"
            self._requests_loop = loop
            headers = dict(self.options.get("headers") or {})
            self._requests = Requests(Address.parse(self.base_url), headers, self.options.get("message_timeout_s"), None)
        return self._requests

    async def _end_session(self) -> None:
        session_id, self.session_id, self._wire = self.session_id, None, None
        if session_id is None:
            return
        try:
            with spoken_as_0_10():
                await self._post("openenv/session/close", {"session_id": session_id})
        except OpenEnvError as error:
            # Whoever closes has no use for it any more; the server ends it by its own rules.
            logger.warning("the server did not close session %s: %s", session_id, error)

    async def _free(self) -> None:
        # The next use may be on another loop.
        self._turn = asyncio.Lock()
        await self._close_requests()

    async def _close_requests(self) -> None:
        requests, self._requests = self._requests, None
        if requests is not None:
            await requests.close()


class _RpcRefusal(ServerError):
    """The answer to a JSON-RPC request is an error."""


def _known(error: OpenEnvError) -> dict[str, Any]:
    return {"field": error.field, "hint": error.hint, "example": error.example, "details": error.details}
