"""The shop."""

from openenv.core.env_server.interfaces import Environment
from openenv.core.env_server.types import EnvironmentMetadata

try:
    from ..models import Currency, Item, ShopFront, ShopObservation, ShopState
except ImportError:
    from models import Currency, Item, ShopFront, ShopObservation, ShopState


class ShopEnvironment(Environment):
    """Needs to be told what it sells: only a factory can make one."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self, items, currency, ledger):
        super().__init__()
        self._items = items
        self._ledger = ledger
        self._state = ShopState(currency=currency)
        self._stock = {}

    def reset(self, seed=None, episode_id=None, budget=None):
        self._state = ShopState(episode_id=episode_id or "walk-in", currency=self._state.currency)
        self._stock = {item.name: item.stock for item in self._items}
        shown = [item for item in self._items if budget is None or item.price <= budget]
        return ShopFront(shelves=shown, currency=self._state.currency)

    def step(self, action):
        self._state.step_count += 1
        if action.kind == "pay":
            self._state.paid = True
            self._ledger.append((self._state.episode_id, self._due()))
            return self._seen(reward=True, done=True)
        if self._stock.get(action.item, 0) < action.count:
            return self._seen(reward=-1, metadata={"sold_out": action.item})
        self._stock[action.item] -= action.count
        self._state.basket[action.item] = self._state.basket.get(action.item, 0) + action.count
        return self._seen(reward=0.0)

    def _due(self):
        prices = {item.name: item.price for item in self._items}
        return round(sum(prices[name] * count for name, count in self._state.basket.items()), 2)

    def _seen(self, **fields):
        return ShopObservation(basket=dict(self._state.basket), due=self._due(), **fields)

    @property
    def state(self):
        return self._state

    def get_metadata(self):
        return EnvironmentMetadata(
            name="Corner shop",
            description=f"Sells for {Currency(self._state.currency).value}s",
            version="3.2.1",
            author="the corner",
            readme_content="# Corner shop\n\nTake, then pay.",
            documentation_url="https://example.org/shop",
        )


def shop_factory(currency, ledger, **prices):
    """A function that makes shops of this kind."""
    items = [Item(name=name, price=price, stock=3) for name, price in prices.items()]

    def make_shop():
        return ShopEnvironment(items, currency, ledger)

    return make_shop
