"""A shop with routes of its own."""

from .client import ShopEnv
from .models import Item, ShopAction, ShopFront, ShopObservation, ShopState

__all__ = ["Item", "ShopAction", "ShopEnv", "ShopFront", "ShopObservation", "ShopState"]
