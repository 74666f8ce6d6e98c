"""What every verifier is, and what they share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from openenv.errors import Unsupported, ValidationFailed
from openenv.verifiers.evidence import Evidence, Verdict

_SHOWN_ROWS = 20
_SHOWN_CHARS = 500


class Verifier(Protocol):
    """Decides one thing on the evidence. Make one with `parse_verifier`."""

    @property
    def name(self) -> str:
        """What its verdict is called."""
        ...

    @property
    def verifier_type(self) -> str:
        """Its type, by the type's own name."""
        ...

    def verify(self, evidence: Evidence) -> Verdict:
        """What was found. Raises `OpenEnvError` where it cannot decide; `grade` makes a verdict of that, never a pass."""
        ...


class VerifierConfig(BaseModel):
    """A ``validation_config``: unknown keys and wrong types are refused."""

    model_config = ConfigDict(extra="forbid", strict=True)


ConfigT = TypeVar("ConfigT", bound=VerifierConfig)


def parse_config(model: type[ConfigT], verifier_type: str, config: dict[str, Any], example: dict[str, Any]) -> ConfigT:
    """The config as its model. Raises `ValidationFailed` that names the first wrong key, what is wrong, and an example."""
    try:
        return model.model_validate(config)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_context=False, include_input=False)
    first = errors[0]
    key = ".".join(str(part) for part in first["loc"])
    known = ", ".join(model.model_fields)
    if first["type"] == "extra_forbidden":
        message = f"a {verifier_type} verifier has no key {key[:80]!r}"
        hint = f"Its keys are: {known}." if len(first["loc"]) == 1 else "See the example for what fits."
    elif first["type"] == "missing":
        message, hint = f"a {verifier_type} verifier needs the key {key!r}", "Give it a value, as in the example."
    else:
        said = first["msg"].removeprefix("Value error, ")
        where = f"the key {key!r} of a {verifier_type} verifier" if key else f"the config of a {verifier_type} verifier"
        message, hint = f"{where} is wrong: {said}", "See the example for what fits."
    field = f"validation_config.{key}" if key else "validation_config"
    raise ValidationFailed(message[0].upper() + message[1:], field=field, hint=hint, example=example, errors=errors)


def need_image(image: bytes | None, which: str) -> bytes:
    """The image, or `Unsupported` where the environment has no database."""
    if image is None:
        raise Unsupported(
            f"There is no {which} database image: the environment has no database, or the episode did not begin with a scenario",
            hint="Use response or tool_calls verifiers, or an environment with a SQLite database.",
        )
    return image


def shown(value: Any) -> Any:
    """The value as a verdict shows it: long texts and lists are cut, with a note of how much there was.

    Half surrogates, which no JSON can carry, become question marks.
    """
    if isinstance(value, str):
        cut_text = value if len(value) <= _SHOWN_CHARS else f"{value[:_SHOWN_CHARS]}… ({len(value)} characters)"
        return cut_text.encode("utf-8", "replace").decode()
    if isinstance(value, list):
        cut = [shown(item) for item in value[:_SHOWN_ROWS]]
        return cut if len(value) <= _SHOWN_ROWS else [*cut, f"… ({len(value)} in all)"]
    if isinstance(value, dict):
        return {key: shown(item) for key, item in value.items()}
    return value


def in_words(value: Any) -> str:
    """The value in a message."""
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:197]}..."


def pair_up(
    wanted: int, offered: int, fits: Callable[[int, int], bool], room: Sequence[int | None] | None = None
) -> list[int | None]:
    """Give every wanted one an offered one that fits, as many as can be had; ``None`` for those left without.

    ``room`` says how many each offered one can take: one when it is not given, any number where it is ``None``.
    An earlier choice is changed when that helps a later one, so the order of either side never decides the outcome.
    """
    options = [tuple(other for other in range(offered) if fits(one, other)) for one in range(wanted)]
    taken: list[list[int]] = [[] for _ in range(offered)]
    given: list[int | None] = [None] * wanted

    def place(one: int, seen: set[int]) -> bool:
        for other in options[one]:
            if other in seen:
                continue
            seen.add(other)
            limit = 1 if room is None else room[other]
            if limit is None or len(taken[other]) < limit:
                taken[other].append(one)
                given[one] = other
                return True
            for index, holder in enumerate(taken[other]):
                if place(holder, seen):
                    taken[other][index] = one
                    given[one] = other
                    return True
        return False

    hopeless: set[tuple[int, ...]] = set()
    for one in range(wanted):
        # What found no place once finds none later: the choices of others only ever fill places.
        if options[one] not in hopeless and not place(one, set()):
            hopeless.add(options[one])
    return given
