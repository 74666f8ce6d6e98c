"""Why a WebSocket could not be had."""

from __future__ import annotations

from websockets.exceptions import InvalidStatus

from openenv.client.address import Address
from openenv.errors import ConfigurationError, ConnectionFailed, OpenEnvError

__all__ = ["handshake_failed"]


def handshake_failed(address: Address, error: Exception) -> OpenEnvError:
    """What to raise for what `websockets` raised while it connected: ``ImportError`` is of a library for a proxy."""
    if isinstance(error, InvalidStatus):
        status = error.response.status_code
        return ConnectionFailed(
            f"{address} refused the WebSocket with HTTP status {status}",
            hint="Is the path right? The client connects to <base_url>/ws.",
            details={"status": status},
        )
    if isinstance(error, ImportError):
        return ConfigurationError(f"Cannot connect through the proxy: {error}")
    return ConnectionFailed(f"Cannot connect to {address}: {error}", hint="Is the server running there?")
