"""A rubric: a reward made of an action and an observation, of named parts, asynchronous where it has to wait."""

from __future__ import annotations

import asyncio
import inspect
import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable, Iterator, Mapping
from typing import Any, Self, TypeGuard

__all__ = ["Rubric"]

log = logging.getLogger("openenv.core.rubrics")

Hook = Callable[["Rubric", Any, Any, Any], object]
PreHook = Callable[["Rubric", Any, Any], object]
Steps = Generator[Awaitable[Any], Any, Any]
"""How a score comes about: yields what has to be awaited, is sent its result, and returns the score."""


class Rubric(ABC):
    """A reward. Write ``forward``, and call the rubric itself.

    Rubrics assigned to attributes are its children, under the attributes' names. ``forward`` may be an ``async def``, and a
    child's may be: the call then gives a coroutine, else the score itself.

    ::

        class Polite(Rubric):
            def forward(self, action, observation) -> float:
                return 1.0 if "please" in action.message else 0.0

        Polite()(action, observation)
    """

    last_score: float | None
    """The score of the last call that came to its end; None before."""
    _rubric_children: dict[str, Rubric]
    _forward_hooks: list[Hook]
    _forward_pre_hooks: list[PreHook]
    _told = False

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        # Here and not in __init__: a subclass that forgets super().__init__() has a place for its children all the same.
        self = super().__new__(cls)
        object.__setattr__(self, "_rubric_children", {})
        self._forward_hooks = []
        self._forward_pre_hooks = []
        self.last_score = None
        return self

    def __init__(self) -> None:
        super().__init__()

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, Rubric):
            self._rubric_children[name] = value
        else:
            self._rubric_children.pop(name, None)
        super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        super().__delattr__(name)
        self._rubric_children.pop(name, None)

    def __call__(self, action: Any, observation: Any) -> Any:
        """Score: hooks before, ``forward``, ``last_score``, hooks after. A coroutine where something has to be awaited."""
        early = self._call_pre_hooks(action, observation) if self._forward_pre_hooks else []
        steps = self._steps(action, observation)
        try:
            waiting = next(steps)
        except StopIteration as end:
            self._leave_out(early)
            return self._finish(action, observation, end.value)
        except BaseException:
            discard(early)
            raise
        return self._finish_later(action, observation, early, steps, waiting)

    @abstractmethod
    def forward(self, action: Any, observation: Any) -> float:
        """The score, usually from 0.0 to 1.0."""

    def register_forward_hook(self, hook: Hook) -> None:
        """Call ``hook(rubric, action, observation, score)`` after each score; it may be asynchronous where the rubric is."""
        self._forward_hooks.append(hook)

    def register_forward_pre_hook(self, hook: PreHook) -> None:
        """Call ``hook(rubric, action, observation)`` before each score; it may be asynchronous where the rubric is."""
        self._forward_pre_hooks.append(hook)

    def children(self) -> Iterator[Rubric]:
        """The rubrics that this one is made of."""
        yield from self._rubric_children.values()

    def named_children(self) -> Iterator[tuple[str, Rubric]]:
        """The same with their names."""
        yield from self._rubric_children.items()

    def rubrics(self) -> Iterator[Rubric]:
        """All rubrics below this one, each before those below it."""
        for _, rubric in self.named_rubrics():
            yield rubric

    def named_rubrics(self, prefix: str = "") -> Iterator[tuple[str, Rubric]]:
        """The same with their paths: names with dots between them."""
        for name, child in self._rubric_children.items():
            path = f"{prefix}.{name}" if prefix else name
            yield path, child
            yield from child.named_rubrics(path)

    def get_rubric(self, path: str) -> Rubric:
        """The rubric at a path like ``"code.syntax"``. Raises `KeyError` when there is none."""
        here = self
        for name in path.split("."):
            found = here._rubric_children.get(name)
            if found is None:
                known = ", ".join(here._rubric_children) or "no rubrics"
                raise KeyError(f"Rubric path not found: {path!r}. There is no {name!r} in {type(here).__name__}, only {known}")
            here = found
        return here

    def reset(self) -> None:
        """Forget the episode, the children too. Where a child's reset is asynchronous, this gives an awaitable."""
        given: list[Any] = [child.reset() for child in self.children()]  # type: ignore[func-returns-value]
        waiting = [done for done in given if inspect.isawaitable(done)]
        if waiting:
            return all_of(waiting)  # type: ignore[return-value]  # a child that breaks its signature: so must its parent
        return None

    def state_dict(self) -> dict[str, Any]:
        """The rubric's settings, without its children's and without the episode's."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take settings over; what ``state`` does not name stays."""
        return

    def _steps(self, action: Any, observation: Any) -> Steps:
        score: Any = self.forward(action, observation)
        return (yield score) if waits(score) else score

    def _call_pre_hooks(self, action: Any, observation: Any) -> list[Awaitable[Any]]:
        if inspect.iscoroutinefunction(self.forward):
            return [self._await_pre_hooks(action, observation)]
        given: list[Any] = [hook(self, action, observation) for hook in self._forward_pre_hooks]
        return [value for value in given if inspect.isawaitable(value)]

    async def _await_pre_hooks(self, action: Any, observation: Any) -> None:
        for hook in self._forward_pre_hooks:
            done: Any = hook(self, action, observation)
            if inspect.isawaitable(done):
                await done

    def _finish(self, action: Any, observation: Any, score: Any) -> Any:
        self.last_score = plain = score.value if isinstance(score, ReadyScore) else score
        if self._forward_hooks:
            given: list[Any] = [hook(self, action, observation, plain) for hook in self._forward_hooks]
            self._leave_out([value for value in given if inspect.isawaitable(value)])
        return score

    async def _finish_later(
        self, action: Any, observation: Any, early: list[Awaitable[Any]], steps: Steps, waiting: Awaitable[Any]
    ) -> Any:
        try:
            for hook_done in early:
                await hook_done
            score = await _rest(steps, waiting)
        finally:
            discard([*early, waiting])
        self.last_score = score = score.value if isinstance(score, ReadyScore) else score
        for hook in self._forward_hooks:
            done: Any = hook(self, action, observation, score)
            if inspect.isawaitable(done):
                await done
        return score

    def _leave_out(self, waiting: list[Awaitable[Any]]) -> None:
        if waiting and not self._told:
            self._told = True
            log.warning(
                "%s gave its score at once, so that its asynchronous hooks could not be awaited and were left out; "
                "make them plain functions, or forward an async def.",
                type(self).__name__,
            )
        discard(waiting)


class ReadyScore(float):
    """A score that is there already and may be awaited all the same."""

    __slots__ = ("value",)

    value: Any

    def __new__(cls, value: Any) -> ReadyScore:
        self = super().__new__(cls, value)
        self.value = value.value if isinstance(value, ReadyScore) else value
        return self

    def __await__(self) -> Generator[Any, Any, Any]:
        return self.value
        yield  # pragma: no cover - makes this a generator

    def __reduce__(self) -> tuple[type[float], tuple[float]]:
        return float, (float(self),)


def waits(score: Any) -> TypeGuard[Awaitable[Any]]:
    """Whether a score has to be awaited."""
    return not isinstance(score, float) and inspect.isawaitable(score)


def run(steps: Steps) -> Any:
    """The score that the steps lead to: a coroutine where they wait."""
    try:
        waiting = next(steps)
    except StopIteration as end:
        return end.value
    return _rest(steps, waiting)


async def _rest(steps: Steps, waiting: Awaitable[Any]) -> Any:
    try:
        while True:
            waiting = steps.send(await waiting)
    except StopIteration as end:
        return end.value
    finally:
        steps.close()


async def all_of(waiting: Iterable[Awaitable[Any]]) -> list[Any]:
    """The results of all, which run at the same time."""
    return await asyncio.gather(*waiting)


async def nothing() -> None:
    """Something to await that takes no time."""


def discard(waiting: Iterable[Any]) -> None:
    """Close the coroutines that nobody will await, without Python's warning."""
    for one in waiting:
        if isinstance(one, Coroutine):
            one.close()


def loop_runs() -> bool:
    """Whether this is called from within an event loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
