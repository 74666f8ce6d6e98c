"""What is bought and sold."""

from enum import Enum
from typing import Literal

from pydantic import BaseModel, Field, validator

from openenv.core.env_server.types import Action, Observation, State


class Currency(str, Enum):  # noqa: UP042
    """What is paid with."""

    EURO = "euro"
    POUND = "pound"


class Item(BaseModel):
    """Something on a shelf."""

    name: str
    price: float = Field(gt=0)
    stock: int = 1


class ShopAction(Action):
    """Take an item, or pay for all that was taken."""

    kind: Literal["take", "pay"] = "take"
    item: str | None = None
    count: int = Field(default=1, ge=1, le=10)

    @validator("item", always=True)
    def an_item_is_taken(cls, value, values):
        if values.get("kind") == "take" and not value:
            raise ValueError("say which item")
        return value


class ShopFront(Observation):
    """What a reset shows: the whole shop."""

    shelves: list[Item] = Field(default_factory=list)
    currency: Currency = Currency.EURO


class ShopObservation(Observation):
    """The basket."""

    basket: dict[str, int] = Field(default_factory=dict)
    due: float = 0.0


class ShopState(State):
    """The till."""

    basket: dict[str, int] = Field(default_factory=dict)
    currency: Currency = Currency.EURO
    paid: bool = False
