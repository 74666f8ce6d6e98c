"""The Calendar Gym's world: who calls, on which database, with which reward."""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final

from pydantic import Field
from pydantic_core import to_jsonable_python

from calendar_env import snapshots
from calendar_env.google_errors import with_envelope
from calendar_env.models import CalendarAction, CalendarObservation, CalendarState
from calendar_env.rewards import RewardFunction, bound, calculate_reward, initial_state
from calendar_env.storage import Store, User
from calendar_env.tools import AllCalendarTools
from calendar_env.tools.payload import without_read_only
from calendar_env.users import SEED_USERS
from openenv.environment import Context, Execution
from openenv.errors import OpenEnvError, Unauthenticated, Unsupported, ValidationFailed
from openenv.operation import RequestContext
from openenv.tools import ToolOutcome
from openenv.tools.environment import outcome_from
from openenv.types import Action, EnvironmentMetadata, ToolError

DATA_DIRECTORY_VARIABLE: Final = "OPENENV_CALENDAR_DATA"
"""Names the folder of named databases; ``./databases`` without it."""
TOKEN_HEADER: Final = "x-access-token"
DATABASE_HEADER: Final = "x-database-id"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", re.ASCII)
_EPISODES = uuid.UUID("b5a2a0a7-9e0c-4a4b-8d3c-6f5d1e2c3b4a")


class CalendarEnvironment(AllCalendarTools):
    """Google Calendar as a world for agents: calendars, events, access rules, with a frozen clock.

    The header ``x-access-token`` says who acts; nobody acts without one. ``x-database-id`` names a shared database that
    outlives its sessions; without it the world is the session's own and in memory. See the README for the seed world.
    """

    execution: ClassVar[Execution] = "inline"
    context_headers: ClassVar[tuple[str, ...]] = (TOKEN_HEADER, DATABASE_HEADER)
    bare_action: ClassVar[bool] = True
    # A new world is the seed world already, and listing the tools must not ask who is there, as a reset does.
    auto_reset: ClassVar[bool] = False
    snapshot_version: ClassVar[int] = snapshots.SNAPSHOT_VERSION

    def __init__(
        self,
        context: Context = Context(),  # noqa: B008 (immutable)
        *,
        reward: RewardFunction = calculate_reward,
        data_directory: str | os.PathLike[str] | None = None,
    ) -> None:
        """A world for whoever ``context`` tells of.

        Args:
            reward: The reward of a step, from the observation, or from it and the state in which the episode began.
            data_directory: Where named databases are; by default ``$OPENENV_CALENDAR_DATA``, else ``./databases``.
        """
        self.database_id = self.world_name(context.request)
        path = None
        if self.database_id is not None:
            tenant = context.principal.tenant if context.principal else "default"
            path = database_path(self.database_id, tenant, data_directory)
        self.store = Store(path)
        self.resumed = self.store.resumed
        self._reward = bound(reward)
        self._initial = initial_state(self.store)

    @classmethod
    def world_name(cls, context: RequestContext) -> str | None:
        """The database that the caller names. Raises `ValidationFailed` for anything but letters, digits, - and _."""
        name = context.headers.get(DATABASE_HEADER)
        return None if name is None else checked_name(name, DATABASE_HEADER)

    @classmethod
    def seed_credentials(cls) -> Sequence[tuple[str, str]]:
        """The seed world's users and their access tokens."""
        return [(user.user_id, user.access_token) for user in SEED_USERS]

    @classmethod
    def get_metadata(cls) -> EnvironmentMetadata:
        """What ``/metadata`` says."""
        return EnvironmentMetadata(
            name="calendar",
            description="Google Calendar's API v3 as a world for agents: calendars, events, access rules, a frozen clock",
            version="0.1.0",
        )

    def reset(self, *, seed: Annotated[int, Field(ge=0, lt=2**63)] | None = None, context: Context) -> CalendarObservation:
        """Bring the seed world back, also in a shared database. The seed decides the identifiers of what is made later."""
        user = self._authenticate(context)
        self.store.reset(seed or 0)
        self._initial = initial_state(self.store)
        notes = {
            "episode_id": self.episode_id,
            "current_time": self.store.now,
            "user_id": user.user_id,
            "email": user.email,
            "database_id": self.database_id,
            "available_tools": len(self.tools),
        }
        return CalendarObservation(success=True, reward=0.0, metadata=notes)

    def step(self, action: CalendarAction, context: Context) -> CalendarObservation:
        """List the tools, or call one as the user whose token came along. Raises `Unauthenticated` without a valid one."""
        if action.action_type == "ListToolsAction":
            observation = CalendarObservation(success=True, tools_list=self._listed(), step_count=self.step_count)
        else:
            observation = self.observe(self.call_tool(action.tool_name or "", action.arguments, context))
        observation.reward = self._reward(self.store, observation, self._initial)
        return observation

    @property
    def state(self) -> CalendarState:
        """Where the episode stands, and what time it is in it."""
        return CalendarState(
            episode_id=self.episode_id,
            step_count=self.step_count,
            database_id=self.database_id,
            current_time=self.store.now,
        )

    def close(self) -> None:
        """Close the database. A named one stays."""
        self.store.close()

    def database_image(self) -> bytes:
        """The world's database as SQLite serialises it."""
        return self.store.image()

    def snapshot(self) -> bytes:
        """The whole world; see `calendar_env.snapshots`. Raises `Unsupported` for a named database."""
        self._check_unnamed()
        image = snapshots.encode(self.store.image(), self._initial)
        if len(image) > snapshots.LARGEST_IMAGE:
            raise Unsupported(
                f"This world takes {len(image)} bytes; a snapshot has at most {snapshots.LARGEST_IMAGE}",
                hint="Reset it, or work in a smaller one.",
            )
        return image

    def restore(self, image: bytes) -> None:
        """Go on from a snapshot.

        Raises ``ValueError``, and changes nothing, when the bytes are not one, and `Unsupported` for a named database.
        """
        self._check_unnamed()
        database, initial, ours = snapshots.decode(image)
        self.store.load(database, checked=ours)
        self._initial = initial

    def reseed(self, seed: int) -> None:
        """Let another seed decide the identifiers to come. Raises ``ValueError`` for one out of range."""
        if not 0 <= seed < 2**63:
            raise ValueError(f"a seed is a whole number from 0 to 2**63 - 1, not {seed}")
        self.store.reseed(seed)

    def _check_unnamed(self) -> None:
        if self.database_id is not None:
            raise Unsupported(
                f"The database {self.database_id!r} is a file that sessions share: its world cannot be copied",
                field=DATABASE_HEADER,
                hint=f"Leave {DATABASE_HEADER} away for a world of the session's own.",
            )

    # ── tool calls ───────────────────────────────────────────────────────────────────────────────────────────────

    def call_tool(self, name: str, arguments: Mapping[str, Any], context: Context) -> ToolOutcome:
        """Authenticate, then call a tool in a transaction of its own: a failure leaves no trace."""
        self.user = self._authenticate(context)
        if self.episode_id is None:
            self.episode_id = str(uuid.uuid5(_EPISODES, self.database_id or "seed world"))
        try:
            found = self.tools.get(name)
        except OpenEnvError as error:
            return ToolOutcome(name, error=error)
        arguments = without_read_only(found.name, arguments)
        if found.read_only:
            outcome = self.tools.call(self, name, arguments, context)
        else:
            outcome = self._in_transaction(name, arguments, context)
        if outcome.error is not None:
            with_envelope(outcome.error)
        return outcome

    def _in_transaction(self, name: str, arguments: Mapping[str, Any], context: Context) -> ToolOutcome:
        outcome = ToolOutcome(name)
        try:
            with self.store.transaction():
                outcome = self.tools.call(self, name, arguments, context)
                if outcome.error is not None:
                    raise _RolledBack
        except _RolledBack:
            pass
        return outcome

    def observe(self, outcome: ToolOutcome) -> CalendarObservation:
        """The observation that tells what came of a tool call."""
        error = outcome.error
        return CalendarObservation(
            success=error is None,
            tool_result=to_jsonable_python(outcome.value) if error is None else None,
            error_message=None if error is None else error.message,
            error=None if error is None else to_jsonable_python(error.body()),
            tool_used=outcome.name,
            step_count=self.step_count,
        )

    def tool_action(self, name: str, arguments: Mapping[str, Any]) -> CalendarAction:
        """The action that calls this tool."""
        return CalendarAction(action_type="ToolCallAction", tool_name=name, arguments=dict(arguments))

    def outcome_of(self, action: Action, observation: Any) -> ToolOutcome | None:
        """What came of a tool call, read from its action and observation."""
        if not isinstance(action, CalendarAction) or action.action_type != "ToolCallAction":
            return None
        if not isinstance(observation, CalendarObservation):
            return None
        error = None
        if observation.error is not None:
            error = ToolError(error_type="execution_error", message=observation.error["message"], details=observation.error)
        return outcome_from(self.tools, observation.tool_used, observation.tool_result, error)

    def _listed(self) -> list[dict[str, Any]]:
        return [{"name": one.name, "description": one.description, "inputSchema": one.arguments.schema} for one in self.tools]

    def _authenticate(self, context: Context) -> User:
        token = context.header(TOKEN_HEADER)
        user = self.store.user_by_token(token) if token else None
        if user is None:
            what = "is not known" if token else "is missing"
            raise Unauthenticated(
                f"The access token {what}",
                field=TOKEN_HEADER,
                hint=f"Send a user's token in {TOKEN_HEADER}; `openenv envs calendar --tokens` lists the seed world's.",
            )
        return user


class _RolledBack(Exception):
    """A tool failed: its transaction is undone."""


def checked_name(name: str, field: str) -> str:
    """A name that may become a file's: 1 to 64 letters, digits, - and _, beginning with a letter or digit."""
    if not _NAME.fullmatch(name):
        shown = name if len(name) <= 60 else name[:57] + "..."
        raise ValidationFailed(
            f"{field} {shown!r} is not allowed",
            field=field,
            hint="Use 1 to 64 letters, digits, '-' and '_', beginning with a letter or digit.",
            example="team-a-1",
        )
    return name


def database_path(database_id: str, tenant: str, directory: str | os.PathLike[str] | None = None) -> Path:
    """The file of a named database: one folder per tenant."""
    chosen = directory or os.environ.get(DATA_DIRECTORY_VARIABLE) or "databases"
    return Path(chosen) / checked_name(tenant, "tenant") / f"{checked_name(database_id, DATABASE_HEADER)}.sqlite"
