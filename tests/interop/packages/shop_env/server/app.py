"""Two applications: one that the framework makes and this module adds to, one that is the shop's own."""

import functools
import os
from contextlib import asynccontextmanager

from fastapi import APIRouter, Depends, FastAPI, Header, HTTPException
from fastapi.middleware.cors import CORSMiddleware
from starlette.middleware.base import BaseHTTPMiddleware

from openenv.core.env_server import HTTPEnvServer, create_app, create_fastapi_app

try:
    from ..models import Currency, ShopAction, ShopFront, ShopObservation, ShopState
    from .shop_environment import ShopEnvironment, shop_factory
except ImportError:
    from models import Currency, ShopAction, ShopFront, ShopObservation, ShopState
    from server.shop_environment import ShopEnvironment, shop_factory

LEDGER = []
SEATS = int(os.environ.get("SHOP_SEATS", "4"))

app = create_app(
    shop_factory(Currency.POUND, LEDGER, tea=2.5, milk=0.8, honey=6),
    ShopAction,
    ShopObservation,
    env_name="shop_env",
    max_concurrent_envs=SEATS,
    title_override="The corner shop",
    state_cls=ShopState,
    reset_observation_cls=ShopFront,
)


@app.get("/opening_hours")
def opening_hours(day: str = "monday") -> dict[str, str]:
    """A route beside the framework's."""
    return {"day": day, "hours": "closed" if day == "sunday" else "9-18"}


def _till_key(x_till_key: str = Header(default="")) -> str:
    if x_till_key != "open sesame":
        raise HTTPException(status_code=403, detail="the till is locked")
    return x_till_key


till = APIRouter(prefix="/till", tags=["till"])


@till.get("/ledger")
def ledger(key: str = Depends(_till_key)) -> list[list]:
    """What was paid in any session."""
    return [list(entry) for entry in LEDGER]


@till.delete("/ledger", status_code=204)
def forget(key: str = Depends(_till_key)) -> None:
    """A new day."""
    LEDGER.clear()


class Signature(BaseHTTPMiddleware):
    """Signs every answer."""

    async def dispatch(self, request, call_next):
        answer = await call_next(request)
        answer.headers["x-shop"] = f"{request.method} {request.url.path.rsplit('/', 1)[-1]}"
        return answer


app.include_router(till)
app.add_middleware(Signature)
app.add_middleware(CORSMiddleware, allow_origins=["https://market.example"], allow_methods=["*"], allow_headers=["*"])


# An application of the shop's own.

OPENED = []


@asynccontextmanager
async def doors(own: FastAPI):
    """Its life, which the framework's must not replace."""
    OPENED.append("opened")
    yield
    OPENED.append("closed")


stall = FastAPI(title="A market stall", version="9.9.9", lifespan=doors)


@stall.get("/")
def welcome() -> dict[str, list[str]]:
    """Before the framework's routes."""
    return {"doors": OPENED}


server = HTTPEnvServer(
    functools.partial(ShopEnvironment, [], Currency.EURO, LEDGER),
    ShopAction,
    ShopObservation,
    max_concurrent_envs=2,
    env_name="stall",
    state_cls=ShopState,
    reset_observation_cls=ShopFront,
)
server.register_routes(stall)


@stall.get("/seats")
def seats() -> dict[str, int | bool]:
    """What the server tells of itself in its own process."""
    status = server.get_capacity_status()
    return {
        "active": status.active_sessions,
        "free": status.available_slots,
        "full": status.is_at_capacity,
        "max": server.max_concurrent_envs,
        "safe": server.is_concurrency_safe,
    }


# Some published packages put a route of their own in the place of the framework's.
stall.router.routes = [route for route in stall.router.routes if getattr(route, "path", "") != "/state"]


@stall.get("/state")
def state() -> dict[str, str]:
    """Instead of the framework's."""
    return {"state": "the stall's own"}


counter = create_fastapi_app(
    shop_factory(Currency.EURO, [], bread=3), ShopAction, ShopObservation, 2, env_name="counter", mode="production"
)


def main(host: str = "127.0.0.1", port: int = 8000):
    """The script ``server``."""
    import uvicorn

    uvicorn.run(app, host=host, port=port)


if __name__ == "__main__":
    main()
