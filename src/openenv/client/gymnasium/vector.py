"""Many sessions as a ``gymnasium.vector.VectorEnv``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
from gymnasium.error import ClosedEnvironmentError, ResetNeeded
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space, concatenate, create_empty_array, iterate

from openenv.client.gymnasium.spaces import Spaces, ending_of, info_of, reward_of
from openenv.client.v2.blocking import SyncRemoteSession, SyncVectorEnvClient
from openenv.client.v2.vector import Autoreset, EndedStepResult, VectorEnvClient
from openenv.errors import ValidationFailed
from openenv.types import StepResult

if TYPE_CHECKING:
    import numpy.typing as npt

    from openenv.client.core import EnvClient
    from openenv.client.v2.session import RemoteSession

__all__ = ["GymVectorEnv"]

_AUTORESETS: Final[dict[AutoresetMode, Autoreset]] = {
    AutoresetMode.NEXT_STEP: "next_step",
    AutoresetMode.SAME_STEP: "same_step",
    AutoresetMode.DISABLED: "disabled",
}


class GymVectorEnv(VectorEnv[Any, Any, "npt.NDArray[Any]"]):
    """Environments on a server, stepped in one frame: ``GymVectorEnv("http://localhost:8000", 64, spaces, client=SnakeEnv)``.

    What comes back is what Gymnasium's ``SyncVectorEnv`` of as many `GymEnv` gives, in each of the three modes of autoreset
    that it has. The sessions are opened by the first `reset`, and survive lost connections.

    Args:
        base_url: The server, in any form that `Connection` takes.
        num_envs: How many environments.
        spaces: How actions and observations of one environment are written.
        autoreset_mode: ``AutoresetMode.NEXT_STEP``, ``SAME_STEP`` or ``DISABLED``, or the value of one.
        client: A class of client whose types and hooks are used, such as ``SnakeEnv``; without one observations are dicts.
        render_mode: One that ``spaces.render`` has.
        reset_options: What every reset takes beside its seed, those of autoreset too.
        connection: `Connection`'s other arguments: ``headers``, ``timeout_s``, ``encoding``, …

    Raises:
        ConfigurationError: An argument makes no sense; the error names it.
    """

    def __init__(
        self,
        base_url: str,
        num_envs: int,
        spaces: Spaces,
        *,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        client: type[EnvClient[Any, Any, Any]] | None = None,
        render_mode: str | None = None,
        reset_options: Mapping[str, Any] | None = None,
        **connection: Any,
    ) -> None:
        self.closed = True  # as long as there is nothing to close: older Gymnasium closes what is collected
        spaces.check(render_mode)
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        vector: VectorEnvClient[Any, Any, Any] = VectorEnvClient(
            base_url,
            num_envs,
            autoreset=_AUTORESETS[self.autoreset_mode],
            client=client,
            reset_options=reset_options,
            **connection,
        )
        facade = vector.sync()
        facade.blocks_loops = True
        self._set_up(facade, spaces, render_mode)

    @classmethod
    def of(
        cls,
        sessions: Iterable[SyncRemoteSession[Any, Any, Any]],
        spaces: Spaces,
        *,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        render_mode: str | None = None,
        reset_options: Mapping[str, Any] | None = None,
    ) -> GymVectorEnv:
        """Over sessions that there are already, such as forks, which somebody else closes: episodes go on where they are.

        The sessions are of one blocking `Connection`; the other arguments are those of the class.
        """
        made = cls.__new__(cls)
        made.closed = True
        spaces.check(render_mode)
        made.autoreset_mode = AutoresetMode(autoreset_mode)
        autoreset = _AUTORESETS[made.autoreset_mode]
        facade = SyncVectorEnvClient.of(sessions, autoreset=autoreset, reset_options=reset_options)
        made._set_up(facade, spaces, render_mode)
        return made

    def _set_up(self, vector: SyncVectorEnvClient[Any, Any, Any], spaces: Spaces, render_mode: str | None) -> None:
        self._vector = vector
        self.spaces = spaces
        self.num_envs = vector.num_envs
        self.single_action_space = spaces.action_space
        self.single_observation_space = spaces.observation_space
        self.action_space = batch_space(spaces.action_space, self.num_envs)
        self.observation_space = batch_space(spaces.observation_space, self.num_envs)
        self.metadata = {**spaces.metadata(), "autoreset_mode": self.autoreset_mode}
        self.render_mode = render_mode
        self.closed = False

    @property
    def vector(self) -> SyncVectorEnvClient[Any, Any, Any]:
        """What steps the sessions: its ``sessions`` have their states, its ``restart`` replaces those that are lost."""
        return self._vector

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin an episode in every environment, or in those that ``options["reset_mask"]`` is true of.

        Args:
            seed: A number is the first environment's seed, and each next one has one more; or a list with one for each.
            options: What the environments' own ``reset`` takes, and ``reset_mask``, an array of ``num_envs`` truth values.
        """
        self._check_open()
        super().reset(seed=seed if isinstance(seed, int) else None)
        given = dict(options or {})
        places = self._places(given.pop("reset_mask", None))
        if len(places) < self.num_envs and (unseen := set(self._unseen()) - set(places)):
            raise ResetNeeded(f"Nothing was seen of {sorted(unseen)} yet: reset them too, or leave out options['reset_mask'].")
        results = self._vector.reset(seed=self._seeds(seed, places), options=given, indices=places)
        infos: dict[str, Any] = {}
        for place, result in zip(places, results, strict=True):
            infos = self._add_info(infos, info_of(self.spaces, result, result.episode_id, begun=True), place)
        return self._batched(self._observations()), infos

    def step(
        self, actions: Any
    ) -> tuple[Any, npt.NDArray[np.float64], npt.NDArray[np.bool_], npt.NDArray[np.bool_], dict[str, Any]]:
        """Take a step in every environment.

        Raises:
            ResetNeeded: No episode was begun; or with ``AutoresetMode.DISABLED``, one has ended and was not reset.
            BatchFailed: Some steps failed. The others were taken: its ``results`` has what each came to.
        """
        self._check_open()
        due = self._vector.ended
        if self.autoreset_mode is AutoresetMode.DISABLED:
            if any(due):
                places = [place for place, ended in enumerate(due) if ended]
                raise ResetNeeded(f"The episodes of {places} have ended: reset them with options['reset_mask'].")
            due = [False] * self.num_envs
        before = [one.episode_id for one in self._sessions()] or [None] * self.num_envs
        if any(before[place] is None and not due[place] for place in self._unseen()):
            raise ResetNeeded("There are no episodes to take a step in: call reset() first.")
        chosen = zip(self._each(actions), due, strict=True)
        results = self._vector.step([None if reset else self.spaces.encode(action) for action, reset in chosen])
        rewards = np.zeros(self.num_envs, np.float64)
        terminations, truncations = np.zeros(self.num_envs, np.bool_), np.zeros(self.num_envs, np.bool_)
        infos: dict[str, Any] = {}
        for place, (result, begun, session) in enumerate(zip(results, due, self._sessions(), strict=True)):
            if not begun:
                rewards[place] = reward_of(result)
                terminations[place], truncations[place] = ending_of(result)
            if isinstance(result, EndedStepResult):
                infos = self._add_info(infos, self._ended(result, before[place]), place)
            new = begun or isinstance(result, EndedStepResult)
            infos = self._add_info(infos, info_of(self.spaces, result, session.episode_id, begun=new), place)
        return self._batched([result.observation for result in results]), rewards, terminations, truncations, infos

    def render(self) -> tuple[Any, ...] | None:
        """The pictures of the last observations, as ``render_mode`` says. Raises ``ResetNeeded`` where there are none."""
        if self._unseen():
            raise ResetNeeded("There is nothing to render: call reset() first.")
        return tuple(self.spaces.rendered(self.render_mode, observation) for observation in self._observations())

    def close_extras(self, **kwargs: Any) -> None:
        """End the sessions, unless they are somebody else's."""
        self._vector.close()

    def _add_info(self, vector_infos: dict[str, Any], env_info: dict[str, Any], env_num: int) -> dict[str, Any]:
        """As Gymnasium's; but where environments tell values of different types under one name, they are all kept as objects."""
        try:
            return super()._add_info(vector_infos, env_info, env_num)
        except (TypeError, ValueError, OverflowError):
            for key, value in env_info.items():
                known, mask = vector_infos.get(key), vector_infos.get(f"_{key}")
                if isinstance(known, np.ndarray) and mask is not None and not isinstance(value, dict):
                    objects = np.full(self.num_envs, None, dtype=object)
                    for place in np.flatnonzero(mask):
                        objects[place] = known[place]
                    vector_infos[key] = objects
            return super()._add_info(vector_infos, env_info, env_num)

    def _check_open(self) -> None:
        if self.closed:
            raise ClosedEnvironmentError("These environments were closed: make others.")

    def _places(self, mask: Any) -> list[int]:
        if mask is None:
            return list(range(self.num_envs))
        if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_ or mask.shape != (self.num_envs,) or not mask.any():
            raise ValueError(
                f"options['reset_mask'] is a NumPy array of {self.num_envs} truth values, one of them true, not {mask!r}"
            )
        return [int(place) for place in np.flatnonzero(mask)]

    def _seeds(self, seed: int | Sequence[int | None] | None, places: list[int]) -> list[int | None]:
        """The seeds of those that are reset: a mask does not change whose seed is whose."""
        if seed is None:
            return [None] * len(places)
        if isinstance(seed, int):
            return [seed + place for place in places]
        if len(seed) != self.num_envs:
            raise ValueError(f"a list of seeds has one for each of the {self.num_envs} environments, not {len(seed)}")
        return [seed[place] for place in places]

    def _each(self, actions: Any) -> list[Any]:
        """The actions one by one."""
        try:
            chosen = list(iterate(self.action_space, actions))
        except TypeError:  # a single one
            chosen = None
        if chosen is None or len(chosen) != self.num_envs:
            told = "one action" if chosen is None else f"{len(chosen)} actions"
            raise ValidationFailed(
                f"{told} for {self.num_envs} environments",
                field="actions",
                hint="step() takes one for each, as `action_space` says; those of environments that are reset are ignored.",
            )
        return chosen

    def _sessions(self) -> Sequence[RemoteSession[Any, Any, Any]]:
        return self._vector.async_vector.sessions

    def _unseen(self) -> list[int]:
        """The environments of which there is no observation."""
        sessions = self._sessions()
        return [place for place, one in enumerate(sessions) if one.result is None] if sessions else list(range(self.num_envs))

    def _observations(self) -> list[Any]:
        """What was seen last: as the sessions know it, which others may have reset or restored meanwhile."""
        return [one.result.observation for one in self._sessions() if one.result is not None]

    def _ended(self, result: EndedStepResult[Any], episode_id: str | None) -> dict[str, Any]:
        """How an episode ended whose environment was reset in the same step."""
        final = cast("StepResult[Any]", result.final)
        told = info_of(self.spaces, final, episode_id)
        return {"final_obs": self.spaces.decode(final.observation), "final_info": told}

    def _batched(self, observations: Sequence[Any]) -> Any:
        values = [self.spaces.decode(one) for one in observations]
        empty: Any = create_empty_array(self.single_observation_space, n=self.num_envs, fn=np.zeros)
        return concatenate(self.single_observation_space, values, empty)
