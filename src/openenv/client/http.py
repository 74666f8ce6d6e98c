"""A session over HTTP: for whoever grades it, and for whoever cannot hold a socket."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Self
from urllib.parse import quote

import httpx
from pydantic_core import PydanticSerializationError, from_json, to_json

from openenv.client import frames
from openenv.client.address import Address
from openenv.errors import ConnectionFailed, DeadlineExceeded, ServerError, ValidationFailed
from openenv.types import StepResult

__all__ = ["HttpSession", "Requests"]

_CODE_OF_STATUS = {
    401: "UNAUTHENTICATED",
    403: "FORBIDDEN",
    404: "SESSION_ERROR",
    413: "PAYLOAD_TOO_LARGE",
    422: "VALIDATION_ERROR",
    429: "RATE_LIMITED",
    501: "UNSUPPORTED",
    503: "CAPACITY_REACHED",
}
_TRY_AGAIN = frozenset({429, 503})
_LONGEST_PAUSE_S = 30.0


class HttpSession:
    """A session on a server, by its id. It outlives connections; `close` ends it.

    `create` makes one; the constructor takes up one that there is. Every method raises `ServerError` with the server's
    code when the server answers with an error, `DeadlineExceeded` when the answer does not come in ``timeout_s``
    seconds, and `ConnectionFailed` when nobody answers.

    Args:
        base_url: The server, in any form that `EnvClient` takes.
        session_id: The session.
        headers: Sent with every request, such as ``Authorization`` or the context that the environment declares.
        timeout_s: Seconds for one answer; ``None`` waits for ever.
        http: An ``httpx.AsyncClient`` to share; it stays open when this session closes. Without one, this session has its own.
    """

    def __init__(
        self,
        base_url: str,
        session_id: str,
        *,
        headers: Mapping[str, str] | None = None,
        timeout_s: float | None = 60.0,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        self.session_id = session_id
        self._requests = Requests(Address.parse(base_url), dict(headers or {}), timeout_s, http)
        self._closed = False

    @classmethod
    async def create(
        cls,
        base_url: str,
        *,
        headers: Mapping[str, str] | None = None,
        timeout_s: float | None = 60.0,
        http: httpx.AsyncClient | None = None,
        capacity_wait_s: float = 30.0,
    ) -> Self:
        """Make a session on the server.

        While the server is full (503), wait as long as its ``Retry-After`` asks and try again, for ``capacity_wait_s``
        seconds in all; then its refusal is raised.
        """
        session = cls(base_url, "", headers=headers, timeout_s=timeout_s, http=http)
        try:
            body = await _patiently(session._requests, capacity_wait_s)
            session.session_id = frames.text_of(body.get("session_id"), "")
            if not session.session_id:
                raise ServerError("The server made a session and did not name it", code="INTERNAL_ERROR")
        except BaseException:
            await session._requests.close()
            raise
        return session

    async def reset(self, **kwargs: Any) -> StepResult[dict[str, Any]]:
        """Begin an episode, with what the environment's ``reset`` takes. A loaded scenario stays."""
        return self._result(await self._requests.json("POST", "/reset", kwargs, session_id=self.session_id))

    async def step(self, action: Any) -> StepResult[dict[str, Any]]:
        """Take one step with a model or a mapping."""
        body = {"action": frames.payload_of(action)}
        return self._result(await self._requests.json("POST", "/step", body, session_id=self.session_id))

    async def state(self) -> dict[str, Any]:
        """Where the episode stands."""
        return await self._requests.json("GET", "/state", session_id=self.session_id)

    async def info(self) -> dict[str, Any]:
        """What the server knows of the session: its world, steps and episode, and whether a socket holds it."""
        return await self._requests.json("GET", self._path)

    async def load_scenario(self, scenario: Mapping[str, Any]) -> StepResult[dict[str, Any]]:
        """Reset the world to a scenario's beginning and keep the scenario for later resets and `verify` (scope ``grade``)."""
        return self._result(await self._requests.json("POST", f"{self._path}/scenario", scenario))

    async def verify(self, request: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Let the verifiers decide (scope ``grade``).

        Args:
            request: ``response``, the agent's last words, and ``verifiers`` to use instead of the scenario's; both may be absent.

        Returns:
            ``passed``, ``reward``, ``verdicts``, ``episode``, ``events``, and the digests ``initial`` and ``final``.
        """
        return await self._requests.json("POST", f"{self._path}/verify", dict(request or {}))

    async def sql(self, query: str) -> dict[str, Any]:
        """Rows of one read-only query (scope ``grade``): ``columns`` and ``rows``."""
        return await self._requests.json("POST", f"{self._path}/sql", {"query": query})

    async def database(self, at: str = "final") -> bytes:
        """The world's SQLite image, ``initial`` or ``final`` (scope ``grade``)."""
        return await self._requests.content("GET", f"{self._path}/database?at={quote(at, safe='')}")

    async def issue_token(self, scopes: Sequence[str] = ("act",), *, ttl_s: float = 3600.0) -> str:
        """A bearer token that is good for this session alone (scope ``grade``), where the server issues tokens.

        Args:
            scopes: What its bearer may do: no more than you may.
            ttl_s: How long it is valid, in seconds.
        """
        body = await self._requests.json("POST", f"{self._path}/tokens", {"scopes": list(scopes), "ttl_s": ttl_s})
        return frames.text_of(body.get("token"), "")

    async def close(self) -> None:
        """End the session. More than one call does no harm, nor does one that the server has forgotten."""
        if self._closed:
            return
        self._closed = True
        try:
            await self._requests.content("DELETE", self._path)
        except ServerError as error:
            if error.code != "SESSION_ERROR":
                raise
        finally:
            await self._requests.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<HttpSession {self.session_id} on {self._requests.address}>"

    @property
    def _path(self) -> str:
        return f"/sessions/{quote(self.session_id, safe='')}"

    @staticmethod
    def _result(body: Mapping[str, Any]) -> StepResult[dict[str, Any]]:
        return frames.result_of(body, None)


class Requests:
    """Requests to one server, their failures typed."""

    def __init__(
        self, address: Address, headers: dict[str, str], timeout_s: float | None, shared: httpx.AsyncClient | None
    ) -> None:
        self.address = address
        self._headers = headers
        self._timeout_s = timeout_s
        self._is_shared = shared is not None
        # Reading the certificates costs more than many a request, and plain HTTP on this machine never looks at them.
        verify = address.secure or not address.is_loopback
        self._http = shared or httpx.AsyncClient(trust_env=not address.is_loopback, verify=verify)

    async def json(self, method: str, path: str, body: Any = None, *, session_id: str | None = None) -> dict[str, Any]:
        """The JSON object that the server answers with."""
        answer = await self.content(method, path, body, session_id=session_id)
        try:
            read = from_json(answer)
        except ValueError:
            read = None
        if not isinstance(read, dict):
            raise ServerError(
                f"{method} {path} answered with something that is no JSON object: {answer[:80]!r}",
                code="INVALID_JSON",
                hint="Is this an OpenEnv server?",
            )
        return read

    async def content(self, method: str, path: str, body: Any = None, *, session_id: str | None = None) -> bytes:
        """The body of the server's answer."""
        headers = dict(self._headers)
        if session_id is not None:
            headers["X-Session-ID"] = session_id
        content = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            content = _json(body)
        try:
            async with asyncio.timeout(self._timeout_s):
                response = await self._http.request(
                    method, self.address.http_url + path, headers=headers, content=content, timeout=None
                )
        except TimeoutError:
            raise DeadlineExceeded(
                f"No answer to {method} {path} from {self.address} within {self._timeout_s} s", hint="timeout_s sets the limit."
            ) from None
        except httpx.HTTPError as error:
            raise ConnectionFailed(
                f"{method} {path}: no answer from {self.address}: {error or type(error).__name__}",
                hint="Is the server running there?",
            ) from error
        if response.is_success:
            return response.content
        raise _error_of(response, f"{method} {path}")

    async def close(self) -> None:
        """Close the connections, unless they are somebody else's."""
        if not self._is_shared:
            await self._http.aclose()


async def _patiently(requests: Requests, wait_s: float) -> dict[str, Any]:
    """Make a session; while the server is full, try again for so many seconds."""
    loop = asyncio.get_running_loop()
    end = loop.time() + wait_s
    while True:
        try:
            return await requests.json("POST", "/sessions")
        except ServerError as error:
            pause = error.details.get("retry_after_s", 1.0)
            if error.details.get("status") not in _TRY_AGAIN or loop.time() + pause > end:
                raise
        await asyncio.sleep(pause)


def _json(body: Any) -> bytes:
    try:
        return to_json(body)
    except (PydanticSerializationError, ValueError, RecursionError) as error:
        raise ValidationFailed(f"The request cannot be sent as JSON: {error}", hint="Send plain values.") from None


def _error_of(response: httpx.Response, asked: str) -> ServerError:
    """The server's error: typed as ours is, pydantic's list, or whatever a proxy may answer."""
    status = response.status_code
    code = _CODE_OF_STATUS.get(status, "EXECUTION_ERROR" if status >= 500 else "INTERNAL_ERROR")
    try:
        body = from_json(response.content)
    except ValueError:
        body = None
    known = body if isinstance(body, dict) else {}
    if isinstance(known.get("error"), dict):
        error = frames.server_error({"code": code, **known["error"]})
    elif isinstance(known.get("detail"), list):
        errors = [item for item in known["detail"] if isinstance(item, dict)]
        first = errors[0] if errors else {}
        where = ".".join(map(str, first.get("loc", ())))
        error = ServerError(f"{asked}: {where}: {first.get('msg', 'invalid')}", code=code, field=where or None, errors=errors)
    else:
        said = frames.text_of(known.get("detail"), response.text[:200].strip() or "no text")
        error = ServerError(f"{asked} answered with HTTP status {status}: {said}", code=code)
    error.details["status"] = status
    if "Retry-After" in response.headers:
        error.details["retry_after_s"] = _seconds(response.headers["Retry-After"])
    return error


def _seconds(retry_after: str) -> float:
    """``Retry-After`` in seconds; its other form, a date, and nonsense count as one second."""
    try:
        return min(max(float(retry_after), 0.05), _LONGEST_PAUSE_S)
    except ValueError:
        return 1.0
