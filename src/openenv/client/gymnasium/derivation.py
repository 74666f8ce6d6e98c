"""Spaces from the fields of pydantic models, where a field's type says all that a space asks."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, get_args, get_origin

import numpy as np
from annotated_types import Ge, Gt, Le, Lt
from gymnasium import Space, spaces
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from openenv.arrays import Array
from openenv.client.gymnasium.spaces import Spaces
from openenv.errors import ConfigurationError
from openenv.types import Action, WireObservation

__all__ = ["derived"]


class _Form(NamedTuple):
    """A field's space, and the functions between its values and the field's."""

    space: Space[Any]
    encode: Callable[[Any], Any]
    decode: Callable[[Any], Any]


def derived(action: type[Action], observation: type[WireObservation], *fields: str, **more: Any) -> Spaces:
    """The `Spaces` of two types: of all fields of the action, and of those of the observation that are named.

    One field is its space, several are a ``Dict`` of them. ``bool``, ``Literal`` and ``Enum`` make a ``Discrete``, as does
    an ``int`` with both bounds; a ``float`` with both bounds makes a ``Box`` of no dimensions, an `openenv.arrays.Array`
    of a known shape a ``Box`` of that shape.

    Args:
        action: The environment's type of actions.
        observation: The environment's type of observations.
        fields: What of an observation the agent sees.
        more: The other arguments of `Spaces`, such as ``info``. Their functions are given the type, whatever the client is.

    Raises:
        ConfigurationError: A field is none of these: write the `Spaces` down instead.
    """
    if not fields:
        raise ConfigurationError("Name the fields of an observation that the agent sees", field="fields")
    asked = [name for name in action.model_fields if name not in Action.model_fields]
    acting = _together(action, asked)
    seeing = _together(observation, fields)

    def encode(value: Any) -> Action:
        return action(**acting.encode(value))

    def typed(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        return lambda seen: function(seen if isinstance(seen, observation) else observation.model_validate(seen))

    if more.get("info") is not None:
        more["info"] = typed(more["info"])
    more["render"] = {mode: typed(picture) for mode, picture in more.get("render", {}).items()}
    return Spaces(action_space=acting.space, observation_space=seeing.space, encode=encode, decode=typed(seeing.decode), **more)


def _together(model: type[BaseModel], names: Sequence[str]) -> _Form:
    """The form of some of a model's fields: ``encode`` gives their values by name, ``decode`` takes the model."""
    forms = {name: _form_of(model, name) for name in names}
    if len(forms) == 1:
        [(only, form)] = forms.items()
        return _Form(form.space, lambda value: {only: form.encode(value)}, lambda seen: form.decode(getattr(seen, only)))

    def encode(values: Mapping[str, Any]) -> dict[str, Any]:
        return {name: form.encode(values[name]) for name, form in forms.items()}

    def decode(seen: BaseModel) -> dict[str, Any]:
        return {name: form.decode(getattr(seen, name)) for name, form in forms.items()}

    return _Form(spaces.Dict({name: form.space for name, form in forms.items()}), encode, decode)


def _form_of(model: type[BaseModel], name: str) -> _Form:
    field = model.model_fields.get(name)
    if field is None:
        raise ConfigurationError(f"{model.__name__} has no field {name!r}", field=name)
    kind = field.annotation
    if kind is bool:
        return _choice([False, True])
    if get_origin(kind) is Literal:
        return _choice(get_args(kind))
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return _choice(list(kind))
    form = _number(kind, *_bounds(field)) or _array(field)
    if form is None:
        raise ConfigurationError(
            f"{model.__name__}.{name} does not say which space it is", field=name, hint="Make Spaces(…) by hand."
        )
    return form


def _choice(choices: Sequence[Any]) -> _Form:
    numbers = {choice: np.int64(number) for number, choice in enumerate(choices)}
    return _Form(spaces.Discrete(len(choices)), lambda value: choices[int(value)], lambda choice: numbers[choice])


def _number(kind: Any, low: float | None, high: float | None) -> _Form | None:
    if low is None or high is None:
        return None
    if kind is int:
        return _Form(spaces.Discrete(int(high - low) + 1, start=int(low)), int, np.int64)
    if kind is float:
        box = spaces.Box(low, high, (), np.float64)
        return _Form(box, float, lambda value: np.array(value, np.float64))
    return None


def _bounds(field: FieldInfo) -> tuple[float | None, float | None]:
    """The least and the greatest value. A bound that a float never reaches stays where it is."""
    low: Any = None
    high: Any = None
    step = 1 if field.annotation is int else 0
    for one in field.metadata:
        if isinstance(one, Ge):
            low = one.ge
        elif isinstance(one, Gt):
            low = one.gt + step  # type: ignore[operator]  # its protocol knows comparisons alone
        elif isinstance(one, Le):
            high = one.le
        elif isinstance(one, Lt):
            high = one.lt - step  # type: ignore[operator]  # likewise
    return low, high


def _array(field: FieldInfo) -> _Form | None:
    known = next((one for one in field.metadata if isinstance(one, Array)), None)
    if known is None or known.shape is None or None in known.shape:
        return None
    shape = tuple(length for length in known.shape if length is not None)
    if known.dtype.kind == "b":
        return _Form(spaces.MultiBinary(shape), lambda value: np.asarray(value, np.bool_), lambda value: value.astype(np.int8))
    if known.dtype.kind == "c":
        return None
    low, high = (-np.inf, np.inf) if known.dtype.kind == "f" else (np.iinfo(known.dtype).min, np.iinfo(known.dtype).max)
    box = spaces.Box(low, high, shape, known.dtype.type)
    return _Form(box, lambda value: np.asarray(value, known.dtype), lambda value: value.copy())
