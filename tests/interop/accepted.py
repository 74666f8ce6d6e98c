"""The accepted differences to OpenEnv 0.10 on the wire. docs/compatibility.md says the same in words."""

from __future__ import annotations

from tests.interop.compare import ABSENT, Accepted

__all__ = ["ACCEPTED"]

_MORE = "An error tells more: the stable code, the field, a hint, an example. Clients read message and code."
_NUMBER = "JSON-RPC has a number for wrong parameters (-32602); 0.10 answered with that of an internal error."
_PRODUCER = "The text is pydantic's, whole, in 0.10; here it names the first fault. Clients match on the code."
_JSON_500 = "What an environment raises is answered with 500 and a typed JSON body in place of a plain text."
_ONE_SHAPE = (
    "A tool's result and its listing have one shape, whatever the environment is made of; MCPToolClient returns the same value."
)
_RAISES = "A tool that fails is an error over JSON-RPC whatever the environment is made of, as with MCPEnvironment."
_COUNTED = "A tool call over JSON-RPC is a step: it counts, and is rewarded and recorded."
_STAYS = "A frame of the wrong shape is answered with a typed error, and the socket stays."
_WORDS = "Another wording of the same error."

ACCEPTED = (
    *(Accepted("*", f"*.data.{key}", _MORE, theirs=ABSENT) for key in ("field", "hint", "example")),
    Accepted("*", "*.error.data", _MORE, theirs=None),
    Accepted("*", "*.error.data.code", _MORE, theirs=ABSENT),
    Accepted("* rpc: *arguments*", "0.body.error.code", _NUMBER, theirs=-32603),
    Accepted("* rpc: *", "0.body.error.message", _PRODUCER),
    Accepted("json-rpc frames", "*.error.message", _WORDS),
    *(Accepted("*", f"0.{part}", _JSON_500) for part in ("body.text", "body.error", "headers.content-type")),
    Accepted("steptools rpc: *", "0.body.result*", _ONE_SHAPE),
    Accepted("steptools rpc: *", "0.body.error", _RAISES, theirs=ABSENT),
    Accepted("*: everything", "*.data.message", _WORDS),
    Accepted("*: everything", "*.data.error.message", _PRODUCER),
    Accepted("* schema", "*.ToolError.additionalProperties", _MORE),
    Accepted("a frame of the wrong shape: *", "*", _STAYS),
    Accepted("a binary frame", "*", _STAYS),
    Accepted("c*: tools", "*.data.step_count", _COUNTED),
)
