"""What passes between an agent and the echo."""

from __future__ import annotations

from pydantic import Field

from openenv import Action, Observation


class EchoAction(Action):
    """Say something."""

    message: str = Field(max_length=1_000_000, description="What to say")


class EchoObservation(Observation):
    """What came back."""

    echoed: str = Field(description="The message")
    length: int = Field(ge=0, description="Its length in characters")
