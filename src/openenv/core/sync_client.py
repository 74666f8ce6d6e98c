"""The client that always blocks."""

from __future__ import annotations

import functools
from typing import Any, Generic, Self

from openenv.core.client_types import ObsT, StateT, StepResult
from openenv.core.env_client import ActT, EnvClient

__all__ = ["SyncEnvClient"]


class SyncEnvClient(Generic[ActT, ObsT, StateT]):
    """The verbs of an `EnvClient`, blocking, also where an event loop runs (which then waits). Threads may share it.

    What a subclass of `EnvClient` adds is there too, its coroutine methods blocking.
    """

    def __init__(self, async_client: EnvClient[ActT, ObsT, StateT]) -> None:
        self._async = async_client

    @property
    def async_client(self) -> EnvClient[ActT, ObsT, StateT]:
        """The client underneath."""
        return self._async

    def connect(self) -> Self:
        """Open the socket, if it is not."""
        self._async._blocking(self._async.connect)
        return self

    def disconnect(self) -> None:
        """End the session and its socket; the provider's server runs on."""
        try:
            self._async._blocking(self._async.disconnect)
        finally:
            self._async._link.release()

    def reset(self, **kwargs: Any) -> StepResult[ObsT]:
        """Begin an episode, in a new session where there is none or the old one is lost."""
        result: StepResult[ObsT] = self._async._blocking(self._async.reset, **kwargs)
        return result

    def step(self, action: ActT, **kwargs: Any) -> StepResult[ObsT]:
        """Take one step."""
        result: StepResult[ObsT] = self._async._blocking(self._async.step, action, **kwargs)
        return result

    def state(self) -> StateT:
        """Where the episode stands."""
        state: StateT = self._async._blocking(self._async.state)
        return state

    def new_session(self) -> SyncEnvClient[ActT, ObsT, StateT]:
        """A client that blocks, with a session of its own on the same server. It closes with this one."""
        return type(self)(self._async._blocking(self._async.new_session))

    def close(self) -> None:
        """End the session, those made by `new_session`, and the provider's server. More than one call does no harm."""
        self._async._close_blocking()

    def __enter__(self) -> Self:
        self._async._link.claim("sync")
        try:
            return self.connect()
        except BaseException:
            self.close()
            raise

    def __exit__(self, exc_type: Any, exc_val: Any, exc_tb: Any) -> None:
        self.close()

    def _step_payload(self, action: ActT) -> dict[str, Any]:
        return self._async._step_payload(action)

    def _parse_result(self, payload: dict[str, Any]) -> StepResult[ObsT]:
        return self._async._parse_result(payload)

    def _parse_state(self, payload: dict[str, Any]) -> StateT:
        return self._async._parse_state(payload)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        found = getattr(self._async, name)
        if not callable(found):
            return found

        @functools.wraps(found)
        def blocking(*args: Any, **kwargs: Any) -> Any:
            return self._async._blocking(found, *args, **kwargs)

        return blocking

    def __repr__(self) -> str:
        return f"<{type(self).__name__} over {self._async!r}>"
