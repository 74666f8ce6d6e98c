"""One session as a ``gymnasium.Env``."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import gymnasium
from gymnasium.error import ClosedEnvironmentError, ResetNeeded

from openenv.client.core import EnvClient
from openenv.client.gymnasium.spaces import Spaces, ending_of, info_of, reward_of
from openenv.client.v2.blocking import SyncRemoteSession
from openenv.client.v2.connection import Connection
from openenv.types import StepResult

if TYPE_CHECKING:
    from openenv.client.v2.blocking import SyncConnection

__all__ = ["GymEnv", "Playable"]


class Playable(Protocol):
    """What is stepped: a `SyncRemoteSession`, a `SyncEnvClient`, or anything blocking like them."""

    def reset(self, **options: Any) -> StepResult[Any]:
        """Begin an episode."""
        ...

    def step(self, action: Any) -> StepResult[Any]:
        """Take a step."""
        ...


class GymEnv(gymnasium.Env[Any, Any]):
    """An environment on a server, as Gymnasium knows it: ``GymEnv("http://localhost:8000", spaces, client=SnakeEnv)``.

    The session is opened by the first `reset`, over protocol v2: a lost connection is replaced, and no step is lost by that
    or taken twice. A session that is lost raises `SessionLost`, and the next `reset` opens another.

    ``info`` has the ``episode_id``, the ``stop_reason`` of an episode that has ended, the environment's ``metadata`` where it
    told any, and what ``spaces.info`` adds.

    A reset without a seed is the environment's own matter: most go on with the chance that the last seed began.

    Over a session whose episode has begun already, as that of a fork, `step` and `render` go on where it is.

    Args:
        base: A server's address, in any form that `Connection` takes; or a session, or a blocking client, that somebody else
            closes; or an `EnvClient`.
        spaces: How actions and observations are written.
        client: A class of client whose types and hooks are used, such as ``SnakeEnv``; without one observations are dicts.
        render_mode: One that ``spaces.render`` has.
        reset_options: What every reset takes beside its seed.
        connection: `Connection`'s other arguments: ``headers``, ``timeout_s``, ``encoding``, …

    Raises:
        ConfigurationError: An argument makes no sense; the error names it.
    """

    def __init__(
        self,
        base: str | EnvClient[Any, Any, Any] | Playable,
        spaces: Spaces,
        *,
        client: type[EnvClient[Any, Any, Any]] | None = None,
        render_mode: str | None = None,
        reset_options: Mapping[str, Any] | None = None,
        **connection: Any,
    ) -> None:
        spaces.check(render_mode)
        self.spaces = spaces
        self.action_space = copy.deepcopy(spaces.action_space)  # each environment samples with a chance of its own
        self.observation_space = copy.deepcopy(spaces.observation_space)
        self.metadata = spaces.metadata()
        self.render_mode = render_mode
        self._client = client
        self._options = dict(reset_options or {})
        self._connection: SyncConnection | None = None
        self._session: SyncRemoteSession[Any, Any, Any] | None = None
        self._played: Playable | None = None
        self._owned: Any = None
        if isinstance(base, str):
            self._connection = self._owned = Connection(base, **connection).sync()
            self._connection.blocks_loops = True
        elif isinstance(base, EnvClient):
            facade = self._played = self._owned = base.sync()
            facade.blocks_loops = True
        else:
            self._played = base
        self._last: StepResult[Any] | None = None
        self._episode_id: str | None = None
        self._closed = False

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode. ``options`` are what the environment's own ``reset`` takes, in addition to ``reset_options``.

        Raises:
            ServerError: The environment refuses the seed or an option; ``field`` names it.
            ConnectionFailed, SessionLost: The server cannot be reached, or the session is gone: reset again.
        """
        self._check_open()
        super().reset(seed=seed)
        given = {**self._options, **(options or {})}
        if seed is not None:
            given["seed"] = seed
        if self._session is not None and self._session.lost is not None:
            self._session = None
        result = self._playing().reset(**given)
        self._episode_id = result.episode_id
        self._last = result
        return self.spaces.decode(result.observation), info_of(self.spaces, result, result.episode_id, begun=True)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Take one step.

        Raises:
            ResetNeeded: No episode was begun.
            ServerError: The environment refused the action, or raised; the session goes on.
            SessionLost: The session is gone: reset to get another.
        """
        self._check_open()
        last, episode_id = self._now()
        if last is None and episode_id is None:
            raise ResetNeeded("There is no episode to take a step in: call reset() first.")
        self._last = result = self._playing().step(self.spaces.encode(action))
        terminated, truncated = ending_of(result)
        info = info_of(self.spaces, result, episode_id)
        return self.spaces.decode(result.observation), reward_of(result), terminated, truncated, info

    def render(self) -> Any:
        """The picture of the last observation, as ``render_mode`` says. Raises ``ResetNeeded`` where there is none."""
        last, _ = self._now()
        if last is None:
            raise ResetNeeded("There is no observation to render: call reset() or step() first.")
        return self.spaces.rendered(self.render_mode, last.observation)

    def close(self) -> None:
        """End the session, unless somebody else does. More than one call does no harm."""
        self._closed = True
        self._session = None
        if self._owned is not None:
            self._owned.close()

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedEnvironmentError("This environment was closed: make another.")

    def _now(self) -> tuple[StepResult[Any] | None, str | None]:
        """The last result, and the episode: as the session knows them, which others may have reset or restored meanwhile."""
        held = self._session or self._played
        if isinstance(held, SyncRemoteSession):
            return held.result, held.episode_id
        return self._last, self._episode_id

    def _playing(self) -> Playable:
        """The session, opened where there is none."""
        if self._played is not None:
            return self._played
        assert self._connection is not None
        if self._session is None:
            types: dict[str, Any] = {} if self._client is None else {"client": self._client}
            [self._session] = self._connection.open(1, **types)
        return self._session
