"""What the runtime knows of an environment before it makes one: looked up once, so that no step looks up anything."""

from __future__ import annotations

import asyncio
import functools
import inspect
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from typing import Any, Final, get_args, get_type_hints

from openenv.environment import AsyncEnvironment, Context, Environment, Execution
from openenv.errors import ConfigurationError, FactoryFailed, ValidationFailed
from openenv.operation import Principal, RequestContext
from openenv.tools import Arguments, ToolEnvironment, ToolProvider
from openenv.types import State, ToolListing, WireObservation

__all__ = ["AnyEnvironment", "EnvironmentSpecification"]

AnyEnvironment = Environment[Any, Any, Any] | AsyncEnvironment[Any, Any, Any]
Factory = Callable[..., AnyEnvironment]
_LONGEST_NAME: Final = 80


@dataclass(frozen=True, slots=True)
class EnvironmentSpecification:
    """A factory, its types, and the plans for calling what it makes."""

    name: str
    factory: Factory
    environment_type: type[AnyEnvironment]
    action_type: Any
    """What a step's JSON is validated against."""
    observation_type: type[WireObservation]
    state_type: type[State]
    factory_parameters: Mapping[str, type]
    reset_arguments: Arguments
    step_context: str | None
    step_arguments: frozenset[str] | None
    """Names that ``step`` takes beside its action; ``None`` when it takes any."""
    own_names: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Of ``reset`` and ``step``, where they take any name: those that the runtime fills itself, so that nobody may send them."""
    shown_action_type: Any = None
    """What ``/schema`` shows in its place, where that is another one."""
    factory_name: str | None = None
    """How error messages name the factory, where that is not its own name."""
    reset_observation_type: type[WireObservation] | None = None
    """What ``reset`` returns, where that is not what ``step`` does."""

    @classmethod
    def of(
        cls,
        factory: Factory,
        action_type: Any,
        observation_type: type[WireObservation],
        state_type: type[State],
        name: str | None,
        *,
        environment_type: type[AnyEnvironment] | None = None,
    ) -> EnvironmentSpecification:
        """Look at a factory. A function without a return annotation is called once, and the instance closed again.

        Args:
            factory: What makes an environment.
            action_type: What its ``step`` takes.
            observation_type: What it returns.
            state_type: What its ``state`` is.
            name: The environment's; None is the factory's own.
            environment_type: What the factory makes, where that is known.

        Raises:
            TypeError: ``factory`` is an instance.
            ConfigurationError: it makes no environment, asks for what nobody can give, or for an execution there is not.
        """
        if not callable(factory):
            raise TypeError(
                f"create_app takes a factory, not a {type(factory).__name__} instance: an instance would be shared by all "
                "sessions. Pass the class, or a function: `create_app(lambda: MyEnvironment(), Action, Observation)`."
            )
        environment_type = environment_type or _environment_type(factory)
        step = Arguments(_without_action(environment_type.step), name="step")
        return cls(
            name=name or getattr(factory, "__name__", None) or environment_type.__name__,
            factory=factory,
            environment_type=environment_type,
            action_type=action_type,
            observation_type=observation_type,
            state_type=state_type,
            factory_parameters=_factory_parameters(factory),
            reset_arguments=Arguments(environment_type.reset, name="reset", refusal=ValidationFailed),
            step_context=step.context_parameter,
            step_arguments=None if step.takes_any else step.names,
            own_names={"reset": _first_names(environment_type.reset, 1), "step": _first_names(environment_type.step, 2)},
        )

    def refuse_own_names(self, verb: str, sent: Mapping[str, Any]) -> None:
        """Raise `ValidationFailed` when somebody sent what is not theirs to send, such as ``self``."""
        for name in self.own_names.get(verb, ()):
            if name in sent:
                raise ValidationFailed(f"{verb} takes no {name!r} from its callers", field=name, hint="Leave it out.")

    def refuse_unknown_options(self, sent: Mapping[str, Any]) -> None:
        """Raise `ValidationFailed` for an option of a reset that means nothing here, such as a misspelled one.

        A seed means something everywhere: where there is no use for it, the reset itself says so.
        """
        plan = self.reset_arguments
        known = plan.names | {"episode_id"}
        unknown = next((name for name in sent if name not in known and name != "seed"), None)
        if unknown is None or plan.takes_any:
            return
        short = unknown[:_LONGEST_NAME]
        nearest = sorted(known, key=lambda name: (-SequenceMatcher(None, short, name).ratio(), name))
        raise ValidationFailed(
            f"the reset of {self.name} has no option {short!r}", field=short, hint=f"It takes: {', '.join(nearest)}."
        )

    @property
    def name_of_factory(self) -> str:
        """The factory as error messages name it."""
        return self.factory_name or getattr(self.factory, "__name__", None) or self.environment_type.__name__

    @property
    def is_async(self) -> bool:
        """Whether the environment's methods are coroutines."""
        return issubclass(self.environment_type, AsyncEnvironment)

    @property
    def stops_when_closed(self) -> bool:
        """Whether a running step is stopped when its world is closed."""
        return issubclass(self.environment_type, AsyncEnvironment) and self.environment_type.stops_when_closed

    @property
    def inline(self) -> bool:
        """Whether reset and step run on the event loop."""
        return issubclass(self.environment_type, Environment) and self.environment_type.execution == "inline"

    @property
    def in_process(self) -> bool:
        """Whether every world is in a worker process."""
        return getattr(self.environment_type, "execution", None) == "process"

    @property
    def affinity(self) -> bool:
        """Whether every call must be made on one thread."""
        return issubclass(self.environment_type, Environment) and self.environment_type.affinity

    @property
    def has_tools(self) -> bool:
        """Whether the class has tools."""
        return issubclass(self.environment_type, ToolProvider)

    @property
    def fixed_tools(self) -> list[ToolListing] | None:
        """The tools, where every instance of the class has the same; None where an instance has to be asked."""
        kind = self.environment_type
        if issubclass(kind, ToolEnvironment) and kind.tool_listings is ToolEnvironment.tool_listings:
            return [found.listing() for found in kind.tools]
        return None if self.has_tools else []

    def factory_failed(self) -> FactoryFailed:
        """What is answered when the factory raised; the log says what."""
        name = self.name_of_factory
        return FactoryFailed(f"Environment factory '{name}' failed to create instance.", details={"factory_name": name})

    def make(self, context: RequestContext, principal: Principal) -> AnyEnvironment:
        """Call the factory with what it asks for."""
        known: dict[type, Any] = {Context: Context(context, principal), RequestContext: context, Principal: principal}
        given = {name: known[kind] for name, kind in self.factory_parameters.items()}
        return self.factory(**given)


def _environment_type(factory: Factory) -> type[AnyEnvironment]:
    target: Any = factory.func if isinstance(factory, functools.partial) else factory
    if not inspect.isclass(target):
        hinted = _hints(target).get("return")
        target = hinted if inspect.isclass(hinted) and not inspect.isabstract(hinted) else _look_at_one(factory)
    if not issubclass(target, (Environment, AsyncEnvironment)):
        raise ConfigurationError(
            f"{target.__name__} is not an environment",
            hint="Derive it from openenv.Environment, openenv.AsyncEnvironment or openenv.ToolEnvironment.",
        )
    environment_type: type[AnyEnvironment] = target
    execution = getattr(target, "execution", None)
    if isinstance(execution, str) and execution not in get_args(Execution):
        raise ConfigurationError(
            f"{target.__name__}: there is no execution {execution!r}", hint=f"It is one of {', '.join(get_args(Execution))}."
        )
    if issubclass(target, AsyncEnvironment) and execution == "process":
        raise ConfigurationError(
            f"{target.__name__} is an AsyncEnvironment, and those do not run in worker processes",
            hint="Derive it from openenv.Environment, or leave `execution` out.",
        )
    return environment_type


def _look_at_one(factory: Factory) -> type:
    made = factory(**{name: _EMPTY[kind] for name, kind in _factory_parameters(factory).items()})
    closing = made.close()
    if inspect.iscoroutine(closing):
        closer = threading.Thread(target=asyncio.run, args=(closing,))
        closer.start()
        closer.join()
    return type(made)


_EMPTY: Mapping[type, Any] = {Context: Context(), RequestContext: RequestContext(), Principal: Principal(id="anonymous")}


def _factory_parameters(factory: Factory) -> dict[str, type]:
    asked: dict[str, type] = {}
    target: Any = factory.__init__ if inspect.isclass(factory) else factory
    if isinstance(factory, functools.partial):
        target = factory.func.__init__ if inspect.isclass(factory.func) else factory.func
    hints = _hints(target)
    for parameter in inspect.signature(factory).parameters.values():
        kind = hints.get(parameter.name)
        if kind in _EMPTY:
            asked[parameter.name] = kind  # type: ignore[assignment]
        elif parameter.default is parameter.empty and parameter.kind in (
            parameter.POSITIONAL_OR_KEYWORD,
            parameter.POSITIONAL_ONLY,
            parameter.KEYWORD_ONLY,
        ):
            raise ConfigurationError(
                f"the factory's parameter {parameter.name!r} has no default and is neither a Context nor a Principal",
                hint="Annotate it with openenv.Context, give it a default, or bind it with functools.partial.",
            )
    return asked


def _hints(target: Any) -> dict[str, Any]:
    try:
        return get_type_hints(target)
    except (TypeError, NameError):
        return {}


def _first_names(method: Callable[..., Any], count: int) -> frozenset[str]:
    """The names of the first parameters, but for those that nobody can name."""
    first = list(inspect.signature(method).parameters.values())[:count]
    return frozenset(one.name for one in first if one.kind is one.POSITIONAL_OR_KEYWORD)


def _without_action(step: Callable[..., Any]) -> Callable[..., Any]:
    """``step`` as a function of what it takes beside its action."""
    signature = inspect.signature(step)
    kept = [parameter for index, parameter in enumerate(signature.parameters.values()) if index != 1]
    hints = get_type_hints(step, include_extras=True)

    def shape(*args: Any, **kwargs: Any) -> None: ...

    shape.__signature__ = signature.replace(parameters=kept)  # type: ignore[attr-defined]
    shape.__annotations__ = {parameter.name: hints[parameter.name] for parameter in kept if parameter.name in hints}
    shape.__doc__ = step.__doc__
    return shape
