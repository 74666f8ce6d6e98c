"""What a reply may be. What a server must look like when all is over is in `watch`."""

from __future__ import annotations

import json
from typing import Any

from openenv import errors
from tests.fuzz.plan import Check
from tests.fuzz.wire import Response

__all__ = ["OWN_FAULT", "answered", "coded", "error_of", "framed", "http", "rpc", "rpc_response"]

OWN_FAULT = "the target's own fault"
"""What the target raises when it is told to. Any other EXECUTION_ERROR is a fault of the server's."""

_STATUS = {
    one.code: one.http_status for one in vars(errors).values() if isinstance(one, type) and issubclass(one, errors.OpenEnvError)
}
_NEVER = {"INTERNAL_ERROR", "CONFIGURATION_ERROR", "FACTORY_ERROR", "LANE_LOST", "SHUTTING_DOWN", "UNAUTHENTICATED"}
_TYPED_5XX = {501, 502, 503}


def error_of(body: Any) -> str | None:
    """What is wrong with the body of a typed error."""
    if not isinstance(body, dict) or not isinstance(body.get("code"), str) or not isinstance(body.get("message"), str):
        return "an error has a code and a message"
    code = body["code"]
    if code == "EXECUTION_ERROR":
        return None if OWN_FAULT in body["message"] else "EXECUTION_ERROR, and the environment did not raise"
    if code in _NEVER:
        return f"{code} is not to be had here"
    return None if code in _STATUS or code == "NOT_FOUND" else f"nobody knows the code {code}"


def rpc(message: Any, *, request_id: Any = ...) -> str | None:
    """What is wrong with a JSON-RPC answer."""
    if not isinstance(message, dict) or message.get("jsonrpc") != "2.0" or "id" not in message:
        return "this is no JSON-RPC answer"
    if request_id is not ... and message["id"] != request_id:
        return f"the id is {message['id']!r} and not {request_id!r}"
    if ("result" in message) == ("error" in message):
        return "an answer has a result or an error"
    error = message.get("error")
    if error is None:
        return None
    if not isinstance(error, dict) or type(error.get("code")) is not int or not isinstance(error.get("message"), str):
        return "a JSON-RPC error has a code and a message"
    data = error.get("data")
    return error_of(data | {"message": error["message"]}) if isinstance(data, dict) and "code" in data else None


def framed(reply: Any) -> str | None:
    """What is wrong with a frame of ``/ws``, whatever it answers."""
    if not isinstance(reply, dict):
        return "a reply is an object"
    if "type" not in reply:
        if set(reply) == {"error"}:
            return error_of(reply["error"])
        return None if set(reply) == {"observation", "reward", "done", "state"} else "this is no reply of the simple dialect"
    kind, data = reply["type"], reply.get("data")
    if set(reply) != {"type", "data"} or not isinstance(data, dict):
        return "a reply has a type and data"
    if kind == "error":
        return error_of(data)
    if kind == "mcp":
        return rpc(data)
    if kind == "observation":
        known = set(data) - {"metadata"}
        return None if known == {"observation", "reward", "done"} else "this is no observation"
    return None if kind == "state" else f"no reply has the type {kind!r}"


def coded(*codes: str, simple: bool = False) -> Check:
    """The reply of ``/ws`` is an error with one of these codes."""

    def check(reply: Any) -> str | None:
        body = reply.get("error") if simple else reply.get("data")
        found = body.get("code") if isinstance(body, dict) else None
        return framed(reply) or (None if found in codes else f"expected {' or '.join(codes)}, not {found}")

    return check


def answered(read: Any, expected: Any, form: Check = framed) -> Check:
    """The reply passes ``form``, and ``read`` finds ``expected`` in it."""

    def check(reply: Any) -> str | None:
        wrong = form(reply)
        if wrong:
            return wrong
        try:
            found = read(reply)
        except (KeyError, TypeError, IndexError, AttributeError, ValueError) as error:
            return f"expected {expected!r}, but there is {error!r}"
        return None if found == expected else f"expected {expected!r}, not {found!r}"

    return check


def http(response: Response) -> str | None:
    """What is wrong with any HTTP answer of ours."""
    status, kind = response.status, response.headers.get("content-type", "")
    if not 200 <= status < 600:
        return f"the status {status}"
    if kind.startswith("application/json") and response.body:
        try:
            body = json.loads(response.body)
        except ValueError as error:
            return f"the body is not JSON: {error}"
    else:
        body = None
    if status < 400:
        return None
    if status >= 500 and not isinstance(body, dict):
        return f"{status} without a typed error"
    if body is None:
        return None if response.body == b"" or status == 400 else f"{status} without a typed error"
    if not isinstance(body, dict):
        return "an error is an object"
    if "detail" in body:
        return None if status in (400, 404, 405, 422) or status == 501 else f"{status} with a detail"
    if "jsonrpc" in body:
        return rpc(body) or (None if status < 500 or status in _TYPED_5XX else f"JSON-RPC with {status}")
    wrong = error_of(body.get("error"))
    if wrong:
        return wrong
    code = body["error"]["code"]
    return None if _STATUS.get(code, status) == status else f"{code} with the status {status}"


def rpc_response(request_id: Any = ...) -> Check:
    """An answer of ``POST /mcp`` in OpenEnv's protocol: always 200 (413 for its size)."""

    def check(response: Response) -> str | None:
        wrong = http(response)
        if wrong or response.status != 200:
            return wrong or f"the status {response.status}"
        return rpc(json.loads(response.body), request_id=request_id)

    return check
