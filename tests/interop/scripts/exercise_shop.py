"""The shop: a factory, routes and middleware beside the framework's, an application of its own, the web page."""

from __future__ import annotations

import asyncio
import importlib
from typing import Any

from exercise_transcript import Transcript
from fastapi.testclient import TestClient

__all__ = ["exercise_shop", "exercise_shop_page"]


def exercise_shop(package: Any, base_url: str, told: Transcript) -> None:
    """``base_url/shop``, ``/stall`` and ``/counter`` are the applications."""
    url = f"{base_url}/shop"
    till = {"x_till_key": "open sesame"}
    told.http("till, a new day", "DELETE", f"{url}/till/ledger", **till)
    with package.ShopEnv(base_url=url).sync() as client:
        told.call("reset", client.reset, episode_id="customer", budget=3)
        told.call("take", client.step, package.ShopAction(item="tea", count=2))
        told.call("take too many", client.step, package.ShopAction(item="tea", count=2))
        told.call("take what is not there", client.step, package.ShopAction(item="gold"))
        told.call("take nothing, in the client", package.ShopAction)
        told.call("take too many at once", client.step, package.ShopAction.model_construct(item="tea", count=11))
        told.call("state", client.state)
        told.call("pay", client.step, package.ShopAction(kind="pay"))
        told.call("state at the end", client.state)
    told.http("till", "GET", f"{url}/till/ledger", **till)
    told.http("till, locked", "GET", f"{url}/till/ledger")
    told.http("hours", "GET", f"{url}/opening_hours?day=sunday")
    told.http("hours, asked from another page", "GET", f"{url}/opening_hours", origin="https://market.example")
    told.http("health, asked from another page", "GET", f"{url}/health", origin="https://market.example")
    told.http("POST reset", "POST", f"{url}/reset", {"budget": 1, "unknown": 1})
    told.http("GET metadata", "GET", f"{url}/metadata")
    schema = told.http("GET schema", "GET", f"{url}/schema")["body"]
    told.note("schemas", {name: sorted(one["properties"]) for name, one in schema.items()})
    asyncio.run(_awaited(package, url, told))
    _stall(package, f"{base_url}/stall", told)
    _counter(package, f"{base_url}/counter", told)
    _paths(base_url, told)
    _in_this_process(told)


async def _awaited(package: Any, url: str, told: Transcript) -> None:
    async with package.ShopEnv(base_url=url) as client:
        another = await client.new_session()
        told.note("awaited, two resets", await asyncio.gather(client.reset(), another.reset(budget=1)))
        await told.wait("awaited, take", client.step(package.ShopAction(item="honey")))
        await told.wait("awaited, another's state", another.state())
        await another.close()


def _stall(package: Any, url: str, told: Transcript) -> None:
    told.http("stall, its own page", "GET", f"{url}/")
    told.http("stall, health", "GET", f"{url}/health")
    told.http("stall, a route in the place of the framework's", "GET", f"{url}/state")
    told.http("stall, seats", "GET", f"{url}/seats")
    with package.ShopEnv(base_url=url) as client:
        told.call("stall, reset", client.reset)
        told.http("stall, seats with a customer", "GET", f"{url}/seats")
        told.call("stall, take", client.step, package.ShopAction(item="air"))
    told.http("stall, metadata", "GET", f"{url}/metadata")
    told.http("stall, list_environments", "GET", f"{url}/list_environments")


def _counter(package: Any, url: str, told: Transcript) -> None:
    for method, path in (("POST", "reset"), ("POST", "step"), ("GET", "state"), ("GET", "health")):
        told.http(f"counter, {method} {path}", method, f"{url}/{path}", {} if method == "POST" else None)
    with package.ShopEnv(base_url=url) as client:
        told.call("counter, reset", client.reset)
        told.call("counter, take", client.step, package.ShopAction(item="bread"))


def _paths(base_url: str, told: Transcript) -> None:
    """The paths that the API's description must have, and who says what of itself in it."""
    wanted = {"/health", "/metadata", "/schema", "/reset", "/step", "/state", "/opening_hours", "/till/ledger", "/seats", "/"}
    for name in ("shop", "stall", "counter"):
        described = told.asked("GET", f"{base_url}/{name}/openapi.json")["body"]
        told.note(f"{name}, described", sorted(wanted & set(described["paths"])))
        told.note(f"{name}, title and version", [described["info"]["title"], described["info"]["version"]])


def _in_this_process(told: Transcript) -> None:
    """The applications by a test client, one of them without its life."""
    server = importlib.import_module("shop_env.server.app")
    client = TestClient(server.app)
    told.note("test client, health", client.get("/health").json())
    told.note("test client, signed", client.get("/opening_hours").headers["x-shop"])
    told.note("test client, reset", client.post("/reset", json={}).json())
    with client.websocket_connect("/ws") as socket:
        for frame in ({"type": "reset"}, {"type": "step", "data": {"item": "tea"}}, {"type": "state"}):
            socket.send_json(frame)
            told.note(f"test client, {frame['type']} frame", socket.receive_json())
    with TestClient(server.stall) as client:
        told.note("test client, its life", client.get("/").json())
    told.note("test client, the end of its life", server.OPENED)


def exercise_shop_page(package: Any, base_url: str, told: Transcript) -> None:
    """``base_url`` is the application with its web page."""
    for path in ("", "web", "web/", "web/metadata", "opening_hours"):
        told.http(f"GET /{path}", "GET", f"{base_url}/{path}")
    told.http("page, reset", "POST", f"{base_url}/web/reset", {"episode_id": "page", "budget": 3})
    told.http("page, take", "POST", f"{base_url}/web/step", {"action": {"item": "tea", "count": 2}})
    told.http("page, state", "GET", f"{base_url}/web/state")
    told.http("page, take nothing", "POST", f"{base_url}/web/step", {"action": {}})
    told.http("page, reset with nothing", "POST", f"{base_url}/web/reset")
    with package.ShopEnv(base_url=base_url) as client:
        told.call("client, reset", client.reset, episode_id="beside the page")
        told.call("client, take", client.step, package.ShopAction(item="honey"))
    told.http("page, state after that", "GET", f"{base_url}/web/state")
