"""docs/protocol.md, protocol v2: snapshots, exports and forks, and the scopes of all operations."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.support.processes import Server
from tests.support.v2_wire import ADD, Wire, bearer, code, codes, entries

pytestmark = pytest.mark.e2e


async def test_the_last_16_snapshots_of_a_session_are_kept(url: str) -> None:
    async with Wire(url) as wire:
        session, other = await wire.open(2)
        ids, kept = [], {}
        for number in range(2, 36, 2):
            await wire.ask(id=number, op="step", session=session, data=ADD)
            kept = (await wire.ask(id=number + 1, op="snapshot", session=session))["ok"]
            assert kept.keys() == {"snapshot", "episode_id", "step_count"}
            assert ":" in kept["snapshot"]
            ids.append(kept["snapshot"])
        for number, (snapshot, count) in enumerate(zip(ids, range(1, 18), strict=True), 50):
            answer = await wire.ask(id=number, op="restore", session=session, data={"snapshot": snapshot})
            if count == 1:  # the oldest of 17
                assert code(answer) == "VALIDATION_ERROR"
                continue
            assert answer["ok"] == {"episode_id": kept["episode_id"], "step_count": count}
            told = (await wire.ask(id=number, op="state", session=session))["ok"]["state"]
            assert (told["count"], told["step_count"]) == (count, count)
        answer = await wire.ask(id=2, op="restore", session=other, data={"snapshot": ids[-1]})
        assert code(answer) == "VALIDATION_ERROR"  # of the same session only


async def test_exported_bytes_are_signed(url: str, openenv_url: str) -> None:
    async with Wire(url) as wire:
        (session,) = await wire.open()
        await wire.ask(id=2, op="step", session=session, data=ADD)
        image = (await wire.ask(id=3, op="snapshot", session=session, data={"export": True}))["ok"]["snapshot"]
        await wire.ask(id=4, op="close", session=session)
        (fresh,) = (await wire.ask(id=5, op="open"))["ok"]["sessions"]
        restored = await wire.ask(id=6, op="restore", session=fresh, data={"snapshot": image})
        assert restored["ok"]["step_count"] == 1
        assert (await wire.ask(id=7, op="step", session=fresh, data=ADD))["ok"]["observation"]["result"] == 2
        changed = ("A" if image[9] != "A" else "B").join([image[:9], image[10:]])
        for number, text in enumerate([changed, "AAAA", ""], 8):
            assert code(await wire.ask(id=number, op="restore", session=fresh, data={"snapshot": text})) == "SNAPSHOT_REFUSED"
        async with Wire(openenv_url) as other:
            (there,) = await other.open()
            answer = await other.ask(id=2, op="restore", session=there, data={"snapshot": image})
            assert code(answer) == (None if url == openenv_url else "SNAPSHOT_REFUSED")  # each process has its own key


async def test_forks_are_copies_that_go_their_own_ways(url: str) -> None:
    async with Wire(url) as wire:
        (session,) = await wire.open()
        for number in range(2, 5):
            await wire.ask(id=number, op="step", session=session, data=ADD)
        parent = (await wire.ask(id=5, op="state", session=session))["ok"]
        forks = (await wire.ask(id=5, op="fork", session=session, data={"count": 2, "reseed": [1, 2]}))["ok"]["sessions"]
        for fork in forks:
            assert (await wire.ask(id=6, op="state", session=fork))["ok"] == parent  # the episode's id and steps too
            assert (await wire.ask(id=6, op="attach", session=fork))["ok"]["last_id"] == 0
            again = await wire.ask(id=4, op="step", session=fork, data=ADD)  # no kept answers: this is another effect
            assert again["ok"]["observation"]["result"] == 4
        assert (await wire.ask(id=7, op="state", session=session))["ok"] == parent
        wrong: list[dict[str, Any]] = [{"count": 2, "reseed": [1]}, {"count": 0}, {"count": 1025}, {"reseed": ["one"]}]
        for number, data in enumerate(wrong, 8):
            assert code(await wire.ask(id=number, op="fork", session=session, data=data)) == "VALIDATION_ERROR"


async def test_sessions_over_http_and_over_v2_are_the_same_ones(server: Server, url: str) -> None:
    async with httpx.AsyncClient(base_url=server.url) as http, Wire(url) as wire:
        (session,) = await wire.open()
        named = {"X-Session-ID": session}
        assert (await http.post("/step", json={"action": ADD}, headers=named)).json()["observation"]["result"] == 1
        assert (await wire.ask(id=2, op="step", session=session, data=ADD))["ok"]["observation"]["result"] == 2
        assert (await http.get(f"/sessions/{session}")).json()["attached"]
        assert (await http.get("/state", headers=named)).json()["count"] == 2


async def test_every_operation_needs_its_scope(guarded_url: str) -> None:
    scopes: dict[str, tuple[str, Any]] = {
        "open": ("create", {}), "fork": ("create", {}), "close": ("create", None),
        "reset": ("reset", {}), "snapshot": ("reset", {}), "restore": ("reset", {"snapshot": "snapshot:1"}),
        "subscribe": ("watch", {"events": ["step"]}),
        "attach": ("act", None), "state": ("act", None), "list_tools": ("act", None), "cancel": ("act", {"id": 1}),
        "step": ("act", ADD), "call_tool": ("act", {"name": "add", "arguments": {}}),
    }  # fmt: skip
    async with Wire(guarded_url, headers=bearer("token-of-anna-0001")) as anna:
        session = (await anna.ask(id=1, op="open"))["ok"]["sessions"][0]
        async with Wire(guarded_url, headers=bearer("token-of-actor-001")) as actor:  # anna too, with the scope act
            assert code(await actor.ask(id=2, op="attach", session=session)) is None
            for number, (op, (scope, data)) in enumerate(scopes.items(), 3):
                frame = {"id": number, "op": op, "session": None if op == "open" else session, "data": data}
                answer = await actor.ask(**{key: value for key, value in frame.items() if value is not None})
                assert (op, code(answer)) == (op, None if scope == "act" else "FORBIDDEN")
            batch = await actor.ask(id=30, op="batch", data={"entries": [{"session": session, "reset": {}}]})
            assert codes(batch["ok"]["results"]) == ["FORBIDDEN"]
        assert code(await anna.ask(id=31, op="attach", session=session)) is None
        assert code(await anna.ask(id=32, op="subscribe", session=session, data={"events": ["step"]})) is None
        async with Wire(guarded_url, headers=bearer("token-of-berta-001")) as berta:
            assert code(await berta.ask(id=1, op="attach", session=session)) == "SESSION_ERROR"
            assert code(await berta.ask(id=2, op="subscribe", session=session, data={"events": ["step"]})) == "SESSION_ERROR"
        assert code(await anna.ask(id=33, op="close", session=session)) is None


async def test_who_has_no_token_is_told_in_place_of_the_hello(guarded_url: str) -> None:
    async with Wire(guarded_url) as wire:
        assert (wire.first["id"], code(wire.first)) == (None, "UNAUTHENTICATED")
        assert await wire.closed() == 1008


async def test_an_unknown_session_in_the_url_is_told_in_place_of_the_hello(url: str) -> None:
    async with Wire(f"{url}?session_id=nobody") as wire:
        assert (wire.first["id"], code(wire.first)) == (None, "SESSION_ERROR")
        assert await wire.closed() == 1008


async def test_what_was_refused_by_the_rate_is_done_when_it_comes_again(guarded_url: str) -> None:
    async with Wire(guarded_url, headers=bearer("token-of-rita-0001")) as wire:
        (session,) = (await wire.ask(id=1, op="open"))["ok"]["sessions"]
        number = 1
        while True:
            number += 1
            frame = {"id": number, "op": "batch", "data": entries({session: ADD})}
            answer = await wire.ask(**frame)
            if codes(answer["ok"]["results"]) == ["RATE_LIMITED"]:
                break
        assert answer["ok"]["results"][0]["error"]["retry_after_s"] > 0
        while codes(answer["ok"]["results"]) == ["RATE_LIMITED"]:
            answer = await wire.ask(**frame)
        assert answer["ok"]["results"][0]["ok"]["observation"]["result"] == number - 1
        while codes((again := await wire.ask(**frame))["ok"]["results"]) == ["RATE_LIMITED"]:
            pass  # a repeat counts too
        assert again == answer
        assert code(await wire.ask(id=number + 1, op="close", session=session)) is None
