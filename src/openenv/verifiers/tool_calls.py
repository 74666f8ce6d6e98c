"""``tool_calls``: which tools the agent called, with what and in which order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from openenv.operation import Event
from openenv.verifiers.base import VerifierConfig, in_words, pair_up, shown
from openenv.verifiers.evidence import Evidence, Verdict

Names = Annotated[list[Annotated[str, Field(min_length=1, max_length=200)]], Field(max_length=200)]
Count = Annotated[int, Field(ge=0)]
_SHOWN_CALLS = 100


class ToolCallsConfig(VerifierConfig):
    """What the calls have to be; every key that is given has to hold."""

    expected_tools: Names = Field(default_factory=list, description="Tools of which each has to be called")
    minimum_tool_calls: Count = Field(default=1, description="How many calls at the least: of the expected tools, or of any")
    maximum_tool_calls: Count | None = Field(default=None, description="How many calls at the most, failed ones counted")
    forbidden_tools: Names = Field(default_factory=list, description="Tools that must not be called, not even in vain")
    order: Names = Field(default_factory=list, description="Calls that have to happen in this order, others between them")
    arguments: dict[str, dict[str, Any] | Annotated[list[dict[str, Any]], Field(max_length=100)]] = Field(
        default_factory=dict,
        description="Arguments (or several sets, one call each) that a call of the tool has to have among its own",
    )
    successful_only: bool = Field(default=True, description="Whether a call that failed fulfils nothing of the above")

    @model_validator(mode="before")
    @classmethod
    def _limits_alone_ask_for_no_call(cls, config: Any) -> Any:
        negative = ("forbidden_tools", "maximum_tool_calls", "successful_only")
        if isinstance(config, dict) and config and all(key in negative for key in config):
            return {"minimum_tool_calls": 0, **config}
        return config

    @model_validator(mode="after")
    def _possible(self) -> Self:
        both = sorted(set(self.forbidden_tools) & {*self.expected_tools, *self.order, *self.arguments})
        if both:
            raise ValueError(f"{both[0]!r} is both expected and forbidden")
        if self.maximum_tool_calls is not None and self.maximum_tool_calls < self.minimum_tool_calls:
            raise ValueError("maximum_tool_calls is less than minimum_tool_calls")
        return self


@dataclass(frozen=True, slots=True)
class ToolCalls:
    """Checks the tool calls of the episode, by the tools' own names (an alias counts as the tool that it calls)."""

    name: str
    config: ToolCallsConfig
    verifier_type: str = "tool_calls"

    def verify(self, evidence: Evidence) -> Verdict:
        every = [event for event in evidence.episode.events if event.tool is not None]
        counted = [event for event in every if event.success or not self.config.successful_only]
        failures = [*self._wanted(counted), *self._unwanted(every)]
        message = f"{failures[0][0].upper()}{failures[0][1:]}." if failures else "The tool calls are as expected."
        return Verdict(
            name=self.name,
            verifier_type=self.verifier_type,
            passed=not failures,
            message=message,
            expected=shown(self.config.model_dump(exclude_defaults=True)),
            actual=[shown(event.tool) for event in every[:_SHOWN_CALLS]],
            details={"calls": len(every), "counted": len(counted), **({"failures": failures} if failures else {})},
        )

    def _wanted(self, counted: Sequence[Event]) -> Iterator[str]:
        config = self.config
        kind = "successful call" if config.successful_only else "call"
        called = {event.tool for event in counted}
        for tool in config.expected_tools:
            if tool not in called:
                yield f"there is no {kind} of {tool!r}"
        relevant = [event for event in counted if not config.expected_tools or event.tool in config.expected_tools]
        if len(relevant) < config.minimum_tool_calls:
            of = f" of {', '.join(config.expected_tools)}" if config.expected_tools else ""
            yield f"there are {len(relevant)} {kind}s{of}; {config.minimum_tool_calls} are needed"
        rest = iter([event.tool for event in counted])
        missing = next((tool for tool in config.order if tool not in rest), None)
        if missing is not None:
            yield f"the {kind}s do not come in the order {' → '.join(config.order)}: {missing!r} is missing in its place"
        for tool, wanted in config.arguments.items():
            yield from _without_arguments(tool, wanted if isinstance(wanted, list) else [wanted], counted, kind)

    def _unwanted(self, every: Sequence[Event]) -> Iterator[str]:
        config = self.config
        for tool in config.forbidden_tools:
            times = sum(event.tool == tool for event in every)
            if times:
                yield f"{tool!r} was called ({times} times) and must not be"
        if config.maximum_tool_calls is not None and len(every) > config.maximum_tool_calls:
            yield f"there are {len(every)} calls; {config.maximum_tool_calls} are allowed"


def _without_arguments(tool: str, wanted: list[dict[str, Any]], counted: Sequence[Event], kind: str) -> Iterator[str]:
    calls = [event.arguments or {} for event in counted if event.tool == tool]
    given = pair_up(len(wanted), len(calls), lambda one, other: includes(calls[other], wanted[one]))
    for arguments, call in zip(wanted, given, strict=True):
        if call is None:
            yield f"no {kind} of {tool!r} has the arguments {in_words(arguments)}"


def includes(whole: Any, part: Any) -> bool:
    """Whether the part's keys are in the whole with the same values, objects within objects likewise; lists are equal."""
    if isinstance(part, Mapping):
        return isinstance(whole, Mapping) and all(key in whole and includes(whole[key], value) for key, value in part.items())
    if isinstance(part, bool) or isinstance(whole, bool):
        return part is whole
    return bool(whole == part)
