"""Many environments stepped as one: what a trainer's loop wants."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import index
from typing import TYPE_CHECKING, Any, Generic, Literal, Self, SupportsIndex

from openenv.client.blockable import Blockable, awaited
from openenv.client.v2.batch import Outcome, Reset, failed
from openenv.client.v2.connection import Connection
from openenv.client.v2.forms import Forms
from openenv.client.v2.session import DEFAULT, ActionT, ObservationT, RemoteSession, StateT, Timeout
from openenv.errors import ConfigurationError, OpenEnvError, ValidationFailed
from openenv.types import StepResult

if TYPE_CHECKING:
    from openenv.client.core import EnvClient
    from openenv.client.v2.blocking import SyncVectorEnvClient

__all__ = ["Autoreset", "EndedStepResult", "VectorEnvClient"]

Autoreset = Literal["next_step", "same_step", "disabled"]
_AUTORESETS = ("next_step", "same_step", "disabled")
_ERRORS = ("raise", "return")


@dataclass
class EndedStepResult(StepResult[ObservationT]):
    """What ``"same_step"`` gives for an episode that ended: the next one's first observation, and how the last one ended."""

    final: StepResult[ObservationT] | None = field(default=None, kw_only=True)
    """The last step's own result."""


class VectorEnvClient(Blockable, Generic[ActionT, ObservationT, StateT]):
    """Environments on a server, stepped together: one frame for all of them, whose results come in one frame too.

    Async: ``async with VectorEnvClient(url, 64) as vector: results = await vector.reset(seed=7)``. Blocking:
    ``with VectorEnvClient(url, 64) as vector: results = vector.reset(seed=7)``.

    `reset` and `step` return a list with the `StepResult` of each environment. What happens to one whose episode has
    ended is Gymnasium's choice of three:

    - ``"next_step"``: the next step resets it. Its action is ignored, and its result is the first of the new episode.
    - ``"same_step"``: it is reset at once, by a second frame. Its result is an `EndedStepResult`: the new episode's
      observation, the reward and flags of the step, and ``final``, the step's own result.
    - ``"disabled"``: nothing; the environment answers further steps as it does. `reset` with ``indices`` resets some.

    A reset that fails after the step leaves the step's result in its session's ``result``.

    An error of one environment never costs the others their results. With ``errors="raise"`` all results are waited for,
    and then `BatchFailed` is raised, which has them; with ``"return"`` an error stands in the place of the result.
    An environment whose session is lost answers with `SessionLost` until `restart` has given it a new one.

    `VectorEnvClient.of` steps sessions that there are already, such as forks.

    Args:
        base_url: The server, in any form that `Connection` takes.
        num_envs: How many environments.
        autoreset: See above.
        errors: See above.
        client: A class of client whose types and hooks are used, such as ``SnakeEnv``.
        reset_options: What every reset of every environment takes beside its seed.
        connection: `Connection`'s other arguments: ``headers``, ``timeout_s``, ``encoding``, …

    Raises:
        ConfigurationError: An argument makes no sense; the error names it.
    """

    connection: Connection
    """What carries the sessions."""
    _forms: Forms
    _borrowed = False
    """Whether sessions and connection are somebody else's."""

    def __init__(
        self,
        base_url: str,
        num_envs: int,
        *,
        autoreset: Autoreset = "next_step",
        errors: Literal["raise", "return"] = "raise",
        client: type[EnvClient[ActionT, ObservationT, StateT]] | None = None,
        reset_options: Mapping[str, Any] | None = None,
        **connection: Any,
    ) -> None:
        if isinstance(num_envs, bool) or not isinstance(num_envs, int) or num_envs < 1:
            raise ConfigurationError(f"num_envs is a whole number from 1, not {num_envs!r}", field="num_envs")
        self._set_up(num_envs, autoreset, errors, reset_options)
        self._forms = Forms.of(client)
        self.connection = Connection(base_url, **connection)

    @classmethod
    def of(
        cls,
        sessions: Iterable[RemoteSession[ActionT, ObservationT, StateT]],
        *,
        autoreset: Autoreset = "next_step",
        errors: Literal["raise", "return"] = "raise",
        reset_options: Mapping[str, Any] | None = None,
    ) -> VectorEnvClient[ActionT, ObservationT, StateT]:
        """A vector of sessions that there are already, forks for example, whose episodes go on where they are.

        Sessions and connection stay somebody else's: `close` leaves them as they are. `SyncVectorEnvClient.of` takes
        blocking sessions.

        Args:
            sessions: Of one `Connection`, each once.
            autoreset: As for the class.
            errors: As for the class.
            reset_options: As for the class.

        Raises:
            ConfigurationError: There are none, they are no sessions, or not all of one connection.
        """
        held = list(sessions)
        for place, one in enumerate(held):
            if not isinstance(one, RemoteSession):
                raise ConfigurationError(
                    f"Entry {place} is no RemoteSession but a {type(one).__name__}",
                    field="sessions",
                    hint="SyncVectorEnvClient.of takes the sessions of a blocking connection.",
                )
        if len({id(one.connection) for one in held}) != 1:
            raise ConfigurationError(
                "A vector needs at least one session" if not held else "The sessions are of different connections",
                field="sessions",
                hint="Give sessions that one Connection opened, attached or forked.",
            )
        vector = cls.__new__(cls)
        vector._set_up(len(held), autoreset, errors, reset_options)
        vector.connection, vector._forms, vector._sessions = held[0].connection, held[0]._forms, held
        vector._borrowed = True
        return vector

    def _set_up(self, num_envs: int, autoreset: Autoreset, errors: str, reset_options: Mapping[str, Any] | None) -> None:
        if autoreset not in _AUTORESETS:
            raise ConfigurationError(f"autoreset is one of {', '.join(_AUTORESETS)}, not {autoreset!r}", field="autoreset")
        if errors not in _ERRORS:
            raise ConfigurationError(f"errors is one of {', '.join(_ERRORS)}, not {errors!r}", field="errors")
        self.num_envs = num_envs
        self.autoreset = autoreset
        self.errors = errors
        self._options = dict(reset_options or {})
        self._sessions: list[RemoteSession[ActionT, ObservationT, StateT]] = []
        self._restarted: set[str] = set()

    @property
    def sessions(self) -> list[RemoteSession[ActionT, ObservationT, StateT]]:
        """The sessions, in order; none before the first connection."""
        return list(self._sessions)

    @property
    def ended(self) -> list[bool]:
        """Whose episodes have ended: the next step resets them; with ``"disabled"`` `reset` has to."""
        return [self._is_due(one) for one in self._sessions] or [False] * self.num_envs

    @property
    def lost(self) -> dict[int, str]:
        """The environments whose sessions are lost, and why; `restart` gives them new ones."""
        return {place: one.lost for place, one in enumerate(self._sessions) if one.lost is not None}

    @awaited
    async def connect(self) -> Self:
        """Connect and open the sessions, if that has not been done. Raises as `Connection.connect` and `Connection.open` do."""
        if not self._sessions:
            self._sessions = await self._opened([self._forms] * self.num_envs)
        return self

    @awaited
    async def reset(
        self,
        *,
        seed: SupportsIndex | Iterable[SupportsIndex | None] | None = None,
        options: Mapping[str, Any] | None = None,
        indices: Iterable[SupportsIndex] | None = None,
        timeout_s: Timeout = DEFAULT,
    ) -> list[StepResult[ObservationT]]:
        """Begin an episode in every environment, or in those that ``indices`` names; their results in that order.

        Args:
            seed: As in Gymnasium: a number is the first environment's seed, and each next one has one more; or a list of them,
                as many as there are environments to reset.
            options: What the resets take beside, in addition to ``reset_options``.
            indices: The places of the environments to reset.
            timeout_s: How long to wait for each.
        """
        await self.connect()
        places = list(range(self.num_envs)) if indices is None else [index(one) for one in indices]
        seeds = _seeds(seed, places)
        shared = {**self._options, **(options or {})}
        resets = [Reset(**shared) if one is None else Reset(**{**shared, "seed": one}) for one in seeds]
        outcomes = await self._batch([(self._at(place), reset) for place, reset in zip(places, resets, strict=True)], timeout_s)
        return self._told(outcomes)

    @awaited
    async def step(self, actions: Sequence[ActionT], *, timeout_s: Timeout = DEFAULT) -> list[StepResult[ObservationT]]:
        """Take a step in every environment.

        Args:
            actions: One for each; those of environments that are reset are ignored, and may be ``None``.
            timeout_s: How long to wait for each.
        """
        if len(actions) != self.num_envs:
            raise ValidationFailed(
                f"{len(actions)} actions for {self.num_envs} environments",
                field="actions",
                hint="step() takes one for each; those of environments that are reset are ignored, and may be None.",
            )
        await self.connect()
        # In "same_step" only what a failed reset, or `restart`, has left.
        due = [False] * self.num_envs if self.autoreset == "disabled" else self.ended
        entries = [
            (session, Reset(**self._options) if reset else action)
            for session, action, reset in zip(self._sessions, actions, due, strict=True)
        ]
        outcomes = await self._batch(entries, timeout_s)
        if self.autoreset == "same_step":
            await self._reset_ended(outcomes, timeout_s)
        return self._told(outcomes)

    @awaited
    async def restart(self, *indices: int) -> None:
        """Give environments new sessions, those that are lost unless ``indices`` names some.

        The next step begins their episodes; with ``"disabled"`` `reset` has to.
        """
        places = list(indices) or list(self.lost)
        if not places:
            return
        old = [self._at(place) for place in places]
        for session in old:
            await session.close()
        for place, session in zip(places, await self._opened([one._forms for one in old]), strict=True):
            self._restarted.discard(self._sessions[place].id)
            self._restarted.add(session.id)
            self._sessions[place] = session

    @awaited
    async def close(self) -> None:
        """Close the sessions and the connection, unless they are somebody else's. More than one call does no harm."""
        if self._borrowed:
            return
        self._sessions = []
        self._restarted.clear()
        await self.connection.close()

    def sync(self) -> SyncVectorEnvClient[ActionT, ObservationT, StateT]:
        """A blocking facade, with an event loop of its own."""
        from openenv.client.v2.blocking import SyncVectorEnvClient

        return SyncVectorEnvClient(self)

    def __len__(self) -> int:
        return self.num_envs

    def __repr__(self) -> str:
        return f"<VectorEnvClient of {self.num_envs} environments over {self.connection!r}>"

    def _abandon(self) -> bool:
        """Drop the connection from whatever thread this is; whether there was one."""
        return not self._borrowed and self.connection._abandon()

    async def _opened(self, forms: Sequence[Forms]) -> list[RemoteSession[ActionT, ObservationT, StateT]]:
        """A new session for each of these forms."""
        seats = await self.connection._seats(len(forms))
        return [RemoteSession(self.connection, seat, one) for seat, one in zip(seats, forms, strict=True)]

    def _is_due(self, session: RemoteSession[ActionT, ObservationT, StateT]) -> bool:
        last = session.result
        if last is None:
            return session.episode_id is None and session.id in self._restarted
        return isinstance(last, StepResult) and last.done

    def _at(self, place: int) -> RemoteSession[ActionT, ObservationT, StateT]:
        if isinstance(place, bool) or not 0 <= place < len(self._sessions):
            raise ValidationFailed(f"There is no environment {place!r}: they are 0 to {self.num_envs - 1}", field="indices")
        return self._sessions[place]

    async def _batch(self, entries: Sequence[tuple[RemoteSession[Any, Any, Any], Any]], timeout_s: Timeout) -> list[Outcome]:
        return await self.connection.batch(entries, errors="return", timeout_s=timeout_s)

    async def _reset_ended(self, outcomes: list[Outcome], timeout_s: Timeout) -> None:
        """Begin the next episodes of those that have ended, and put what comes of it in their places."""
        places = [place for place, ended in enumerate(self.ended) if ended]
        if not places:
            return
        resets = await self._batch([(self._sessions[place], Reset(**self._options)) for place in places], timeout_s)
        for place, begun in zip(places, resets, strict=True):
            last = outcomes[place]
            if isinstance(begun, OpenEnvError):
                outcomes[place] = begun
            elif isinstance(last, StepResult):
                outcomes[place] = _ended_result(last, begun)

    def _told(self, outcomes: Sequence[Outcome]) -> list[StepResult[ObservationT]]:
        if self.errors == "raise" and any(isinstance(one, OpenEnvError) for one in outcomes):
            raise failed(outcomes)
        return list(outcomes)  # type: ignore[arg-type]  # with errors="return" the caller expects errors


def _ended_result(last: StepResult[Any], begun: StepResult[Any]) -> EndedStepResult[Any]:
    result = EndedStepResult(begun.observation, last.reward, last.done, begun.metadata, final=last)
    result.terminated, result.truncated, result.stop_reason = last.terminated, last.truncated, last.stop_reason
    result.episode_id = begun.episode_id
    return result


def _seeds(seed: SupportsIndex | Iterable[SupportsIndex | None] | None, places: Sequence[int]) -> list[int | None]:
    """A seed for each place."""
    if seed is None:
        return [None] * len(places)
    try:
        if not isinstance(seed, Iterable):
            first = index(seed)
            return [first + place for place in places]
        seeds = [None if one is None else index(one) for one in seed]
    except TypeError:
        raise ValidationFailed(f"a seed is a whole number, not {seed!r}", field="seed", example=7) from None
    if len(seeds) != len(places):
        raise ValidationFailed(
            f"{len(seeds)} seeds for {len(places)} environments",
            field="seed",
            hint="Give one for each that is reset, or a number: the first one's, and each next one has one more.",
        )
    return seeds
