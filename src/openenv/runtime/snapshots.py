"""A world as bytes: what surrounds an environment's own image, and how it leaves the server.

An image says which environment, version and types it is of, and where its episode stands. It is never a pickle: reading one
runs nothing. What goes to clients is sealed with the server's key, so that nobody can make one up.
"""

from __future__ import annotations

import hashlib
import hmac
import inspect
import json
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import Field, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, to_jsonable_python
from typing_extensions import TypedDict

from openenv.environment import Snapshottable
from openenv.errors import SnapshotRefused, Unsupported
from openenv.operation import Episode, Event, Result
from openenv.scenario import Scenario

if TYPE_CHECKING:
    from openenv.runtime.play import Play
    from openenv.runtime.specification import EnvironmentSpecification

__all__ = ["check_own", "episode_of", "for_strangers", "image_of", "put_back", "seal", "types_digest", "unseal"]

_MAGIC: Final = b"OpenEnv1"
_SEAL: Final = 32
_EVENT_FIELDS: Final = tuple(Event.__dataclass_fields__)


class _Place(TypedDict):
    id: str | None
    seed: Any
    steps: int


class _Header(TypedDict):
    environment: str
    version: Any
    types: str
    episode: _Place
    started: bool
    over: bool
    scenario: dict[str, Any] | None
    scenario_digest: str | None
    events: list[dict[str, Any]]
    initial: Annotated[int, Field(ge=0)] | None


_HEADER: Final = TypeAdapter(_Header)


async def image_of(play: Play) -> bytes:
    """The world with its episode. Raises `Unsupported` where this environment, or this one world, cannot be copied."""
    environment = _snapshottable(play)
    body: bytes = await _waited_for(environment.snapshot())
    episode, known = play.episode, play.environment
    header = {
        "environment": play.specification.name,
        "version": environment.snapshot_version,
        "types": types_digest(play.specification),
        "episode": {"id": known.episode_id, "seed": known.seed, "steps": known.step_count},
        "started": play.started or known.resumed,
        "over": play.over,
        "scenario": play.scenario.model_dump(mode="json") if play.scenario is not None else None,
        "scenario_digest": _scenario_digest(play.scenario),
        "events": [_event(one) for one in episode.events],
        "initial": len(play.initial) if play.initial is not None else None,
    }
    return _joined(header, play.initial or b"", bytes(body))


async def put_back(play: Play, image: bytes, seed: int | None) -> Result:
    """Make a play's world the one of an image, with its chance replaced where a seed is given.

    Raises:
        Unsupported: This environment cannot be copied.
        SnapshotRefused: The image is of something else, or broken; the world is as it was.
    """
    environment = _snapshottable(play)
    header, initial, body = _split(image)
    _check_origin(header, play.specification, environment.snapshot_version)
    scenario = _scenario_of(header, play)
    try:
        await _waited_for(environment.restore(body))  # type: ignore[func-returns-value]
        if seed is not None:
            await _waited_for(environment.reseed(seed))  # type: ignore[func-returns-value]
    except ValueError as error:
        raise SnapshotRefused(f"the environment does not take this: {error}", hint="Take another snapshot.") from None
    known, episode = play.environment, header["episode"]
    known.episode_id, known.seed, known.step_count = episode["id"], episode["seed"], episode["steps"]
    play.started, play.over = header["started"], header["over"]
    play.scenario, play.last = scenario, Result()
    play.episode = Episode(id=episode["id"], seed=episode["seed"], events=[Event(**one) for one in header["events"]])
    if header["initial"] is not None:
        play.initial = initial
    return Result(value={"episode_id": known.episode_id, "step_count": known.step_count})


def episode_of(image: bytes) -> dict[str, Any]:
    """Where its episode stands: ``episode_id`` and ``step_count``."""
    episode = _split(image)[0]["episode"]
    return {"episode_id": episode["id"], "step_count": episode["steps"]}


def check_own(image: bytes, specification: EnvironmentSpecification) -> None:
    """Raise `SnapshotRefused` for an image that says that it is of something else: nobody is to sign that."""
    header = _split(image)[0]
    _check_origin(header, specification, getattr(specification.environment_type, "snapshot_version", header["version"]))


def for_strangers(image: bytes) -> bytes:
    """The image without what a client may not see: a loaded scenario has the answers in it. Its digest stays."""
    header, _, body = _split(image)
    if header["scenario"] is None:
        return image
    return _joined(header | {"scenario": None, "initial": None}, b"", body)


def seal(image: bytes, key: bytes) -> bytes:
    """The image with a signature (HMAC-SHA256) before it."""
    return hmac.digest(key, image, "sha256") + image


def unseal(sealed: bytes, key: bytes) -> bytes:
    """The image that was sealed with this key. Raises `SnapshotRefused` for anything else."""
    image = sealed[_SEAL:]
    if not hmac.compare_digest(hmac.digest(key, image, "sha256"), sealed[:_SEAL]):
        raise SnapshotRefused(
            "this was not exported by this server", hint="Send the bytes of an export unchanged, to a server with the same key."
        )
    return image


def types_digest(specification: EnvironmentSpecification) -> str:
    """Tells whether two servers mean the same by actions, observations and states."""
    return _digest_of(specification.action_type, specification.observation_type, specification.state_type)


@lru_cache(maxsize=32)
def _digest_of(*types: Any) -> str:
    text = json.dumps([TypeAdapter(kind).json_schema() for kind in types], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _snapshottable(play: Play) -> Snapshottable:
    environment = play.environment
    if not isinstance(environment, Snapshottable):
        name = play.specification.name
        raise Unsupported(f"{name} cannot be copied", hint="Its class has no snapshot, restore and reseed.")
    return environment


async def _waited_for(answer: Any) -> Any:
    """An asynchronous environment's methods may be coroutines."""
    return await answer if inspect.isawaitable(answer) else answer


def _joined(header: Mapping[str, Any], initial: bytes, body: bytes) -> bytes:
    written = json.dumps(header, separators=(",", ":")).encode()
    return b"".join((_MAGIC, len(written).to_bytes(4, "big"), written, initial, body))


def _split(image: bytes) -> tuple[dict[str, Any], bytes, bytes]:
    """Header, initial image and body. Raises `SnapshotRefused` for bytes that have none: a worker process may send any."""
    start = len(_MAGIC) + 4
    if image[: len(_MAGIC)] != _MAGIC or len(image) < start:
        raise SnapshotRefused("this is no snapshot", hint="Send what snapshot has answered.")
    end = start + int.from_bytes(image[len(_MAGIC) : start], "big")
    try:
        header: Any = _HEADER.validate_python(json.loads(image[start:end]))
    except (ValueError, RecursionError):
        raise SnapshotRefused("the snapshot is broken", hint="Take another one.") from None
    middle = end + (header["initial"] or 0)
    return header, image[end:middle], image[middle:]


def _check_origin(header: Mapping[str, Any], specification: EnvironmentSpecification, version: int) -> None:
    expected = {"environment": specification.name, "version": version, "types": types_digest(specification)}
    for key, value in expected.items():
        if header[key] != value:
            raise SnapshotRefused(
                f"the snapshot's {key} is {header[key]!r}, and this server's {value!r}", hint="Take a new snapshot here."
            )


def _scenario_of(header: Mapping[str, Any], play: Play) -> Scenario | None:
    """The scenario to go on under: the image's own, or, where it was left out, the one that is loaded."""
    if header["scenario"] is not None:
        return Scenario.model_validate(header["scenario"])
    if header["scenario_digest"] != _scenario_digest(play.scenario):
        raise SnapshotRefused(
            "the snapshot was made under another scenario than the one that is loaded", hint="Load the same scenario first."
        )
    return play.scenario


def _scenario_digest(scenario: Scenario | None) -> str | None:
    return None if scenario is None else hashlib.sha256(scenario.model_dump_json().encode()).hexdigest()


def _event(event: Event) -> dict[str, Any]:
    return {name: _plain(getattr(event, name)) for name in _EVENT_FIELDS}


def _plain(value: Any) -> Any:
    try:
        return to_jsonable_python(value, inf_nan_mode="null")
    except (PydanticSerializationError, ValueError, RecursionError, ValidationError):
        return None
