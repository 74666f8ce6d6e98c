"""The Calendar Gym without a server: for tests, notebooks and the writing of scenarios.

::

    gym = LocalGym(seed=7)
    gym.call(ALICE, "events_list", calendarId="primary", q="budget")
    gym.refusal(ALICE, "events_list", calendarId="bob-projects")["code"]     # NOT_FOUND
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from calendar_env.environment import DATABASE_HEADER, TOKEN_HEADER, CalendarEnvironment
from calendar_env.models import CalendarAction, CalendarObservation
from calendar_env.rewards import RewardFunction, calculate_reward
from calendar_env.users import SeedUser
from openenv.environment import Context
from openenv.operation import RequestContext


class LocalGym:
    """One world, and calls as any of its users.

    Args:
        seed: The seed of the first episode.
        database_id: A named database; in memory without it.
        data_directory: Where named databases are.
        reward: As for `CalendarEnvironment`.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        database_id: str | None = None,
        data_directory: Path | None = None,
        reward: RewardFunction = calculate_reward,
    ) -> None:
        self._headers = {} if database_id is None else {DATABASE_HEADER: database_id}
        made = Context(RequestContext(headers=self._headers))
        self.environment = CalendarEnvironment(made, reward=reward, data_directory=data_directory)
        if not self.environment.resumed:
            self.environment.store.reset(seed)

    def context(self, user: SeedUser | str) -> Context:
        """The context in which somebody acts: one of the seed world's users, or whoever has this token."""
        token = user if isinstance(user, str) else user.access_token
        return Context(RequestContext(headers={**self._headers, TOKEN_HEADER: token}))

    def reset(self, user: SeedUser, seed: int | None = None) -> CalendarObservation:
        """Begin an episode."""
        self.environment.step_count = 0
        return self.environment.reset(seed=seed, context=self.context(user))

    def step(self, user: SeedUser, tool: str, /, **arguments: Any) -> CalendarObservation:
        """Call a tool as a step."""
        self.environment.step_count += 1
        action = CalendarAction(action_type="ToolCallAction", tool_name=tool, arguments=arguments)
        return self.environment.step(action, self.context(user))

    def call(self, user: SeedUser | str, tool: str, /, **arguments: Any) -> Any:
        """What a tool answers. Raises its error when it fails."""
        outcome = self.environment.call_tool(tool, arguments, self.context(user))
        if outcome.error is not None:
            raise outcome.error
        return outcome.value

    def refusal(self, user: SeedUser, tool: str, /, **arguments: Any) -> dict[str, Any]:
        """The body of the error with which a tool refuses. Raises ``AssertionError`` when it does not."""
        outcome = self.environment.call_tool(tool, arguments, self.context(user))
        if outcome.error is None:
            raise AssertionError(f"{tool} was not refused: {outcome.value!r}")
        return outcome.error.body()

    def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """What a query finds in the world's database."""
        return [tuple(row) for row in self.environment.store.rows(sql, *values)]

    def close(self) -> None:
        """Close the world."""
        self.environment.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()
