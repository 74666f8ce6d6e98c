"""docs/protocol.md, protocol v2: deadlines, and every row of the table of repeats."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from tests.support.v2_wire import ADD, Wire, begin, code, codes, entries, result, step, waiting

pytestmark = pytest.mark.e2e


async def test_a_deadline_passes_and_what_cannot_be_stopped_goes_on(url: str, tmp_path: Path) -> None:
    async with Wire(url) as wire:
        (session,) = await wire.open()
        late: dict[str, Any] = {}
        for number in itertools.count(2):  # until one has begun before its time was over
            late = {"id": number, "op": "step", "session": session, "data": waiting(tmp_path / "gate")}
            late["deadline_ms"] = 30 * 2 ** (number - 2)
            assert code(await wire.ask(**late)) == "DEADLINE_EXCEEDED"
            if (await wire.ask(id=number, op="state", session=session))["ok"]["busy"]:
                break
        behind = {"id": late["id"] + 1, "op": "step", "session": session, "data": ADD, "deadline_ms": 30}
        assert code(await wire.ask(**behind)) == "DEADLINE_EXCEEDED"  # it was taken back
        assert code(await wire.ask(id=44, op="list_tools", session=session, deadline_ms=30)) == "DEADLINE_EXCEEDED"
        assert (await wire.ask(id=45, op="state", session=session))["ok"]["busy"]
        await wire.put(**late)
        assert await wire.so_far() == []
        (tmp_path / "gate").touch()
        assert await result(wire, late) == 1
        assert code(await wire.ask(**late)) is None
        assert code(await wire.ask(**behind)) == "DEADLINE_EXCEEDED"
        assert (await wire.ask(id=46, op="state", session=session))["ok"]["state"]["count"] == 1


@pytest.mark.parametrize("as_finished", [False, True])
async def test_a_deadline_holds_for_each_entry_of_a_batch(async_url: str, as_finished: bool) -> None:
    async with Wire(async_url) as wire:

        async def results(deadline_ms: int) -> list[dict[str, Any]]:
            await wire.put(id=2, op="batch", data=data, deadline_ms=deadline_ms)
            if not as_finished:
                found: list[dict[str, Any]] = (await wire.answer(2))["ok"]["results"]
                return found
            came = {answer["session"]: answer for answer in [await wire.answer(2), await wire.answer(2)]}
            return [came[one], came[two]]

        for deadline_ms in (50, 500, 5000):  # until it is enough for the short one
            one, two = await wire.open(2)
            data = entries({one: {"text": "long", "forever": True}, two: {"text": "short"}}, as_finished=as_finished)
            told = await results(deadline_ms)
            if codes(told) != ["DEADLINE_EXCEEDED"] * 2:
                break
        for _ in range(2):  # the second time, what became of them
            assert codes(told) == ["DEADLINE_EXCEEDED", None]
            assert told[1]["ok"]["observation"]["count"] == 1
            told = await results(deadline_ms)
        assert not (await wire.ask(id=3, op="state", session=one))["ok"]["busy"]  # an asynchronous one is stopped


@pytest.mark.parametrize("server", ["openenv", "workers"], indirect=True)
async def test_a_deadline_outlives_the_connection(url: str, tmp_path: Path) -> None:
    async with Wire(url) as second:
        async with Wire(url) as first:
            (session,) = await first.open()
            await begin(first, session, 2, tmp_path / "gate", deadline_ms=3000)
            first.lose()
        await second.ask(id=3, op="attach", session=session)
        await second.put(id=2, op="step", session=session, data=waiting(tmp_path / "gate"), deadline_ms=3000)
        assert code(await second.answer(2)) == "DEADLINE_EXCEEDED"
        (tmp_path / "gate").touch()


async def test_the_table_of_repeats(url: str, tmp_path: Path) -> None:
    async with Wire(url) as second:
        async with Wire(url) as first:
            (session,) = await first.open()
            done, running, waits, never = (
                {"id": number, "op": "step", "session": session, "data": action}
                for number, action in enumerate([ADD, waiting(tmp_path / "gate"), ADD, ADD], 10)
            )
            await first.put(**done)
            assert await result(first, done) == 1
            await begin(first, session, 11, tmp_path / "gate")
            await first.put(**waits)
            await first.so_far()
            first.lose()
        await second.ask(id=20, op="attach", session=session)
        for frame in (done, running, waits, never):
            await second.put(**frame)
        assert await result(second, done) == 1  # the kept answer
        assert await second.so_far() == []
        (tmp_path / "gate").touch()
        assert [await result(second, frame) for frame in (running, waits, never)] == [2, 3, 4]
        assert code(await second.ask(**done | {"data": step("add", {"number": 2})})) == "ID_REUSED"
        acknowledging = {"id": 21, "op": "step", "session": session, "data": ADD, "ack": running["id"]}
        assert code(await second.ask(**acknowledging)) is None
        assert codes([await second.ask(**one) for one in (done, running, waits)]) == ["ANSWER_GONE", "ANSWER_GONE", None]
        assert code(await second.ask(id=19, op="step", session=session, data=ADD)) == "ANSWER_GONE"  # a higher id was done
        assert (await second.ask(id=22, op="state", session=session))["ok"]["state"]["count"] == 5


async def test_every_effect_happens_once(url: str) -> None:
    async with Wire(url) as wire:
        (session,) = await wire.open()
        effects: list[dict[str, Any]] = [
            {"op": "step", "session": session, "data": ADD},
            {"op": "call_tool", "session": session, "data": {"name": "add", "arguments": {}}},
            {"op": "call_tool", "session": session, "data": {"name": "fail", "arguments": {}}},
            {"op": "snapshot", "session": session},
            {"op": "restore", "session": session, "data": {"snapshot": "snapshot:1"}},
            {"op": "fork", "session": session, "data": {"count": 2}},
            {"op": "batch", "data": entries({session: ADD})},
            {"op": "batch", "data": entries({session: ADD}, as_finished=True)},
            {"op": "reset", "session": session},
        ]
        answers: list[dict[str, Any]] = []
        for number, effect in enumerate(effects, 2):
            if effect["op"] == "restore":
                effect["data"] = {"snapshot": answers[-1]["ok"]["snapshot"]}
            answers.append(await wire.ask(id=number, **effect))
        assert codes(answers) == [None] * len(effects)
        assert [await wire.ask(id=number, **effect) for number, effect in enumerate(effects, 2)] == answers
        assert (await wire.ask(id=30, op="state", session=session))["ok"]["state"]["count"] == 0


async def test_errors_of_the_environment_are_kept_too(async_url: str) -> None:
    async with Wire(async_url) as wire:
        (session,) = await wire.open()
        refused = {"id": 2, "op": "step", "session": session, "data": {"text": "no"}}  # after it counted
        assert codes([await wire.ask(**refused), await wire.ask(**refused)]) == ["VALIDATION_ERROR", "VALIDATION_ERROR"]
        wrong = {"id": 3, "op": "step", "session": session, "data": {"word": "no"}}  # before it began
        assert code(await wire.ask(**wrong)) == "VALIDATION_ERROR"
        assert (await wire.ask(**wrong | {"data": {"text": "yes"}}))["ok"]["observation"]["count"] == 2


async def test_at_most_64_wait_and_64_are_kept(url: str, tmp_path: Path) -> None:
    async with Wire(url) as wire:
        session, other = await wire.open(2)
        await begin(wire, session, 2, tmp_path / "gate")
        frames = [{"id": number, "op": "step", "session": session, "data": ADD} for number in range(3, 67)]
        for frame in frames:
            await wire.put(**frame)
        assert code(await wire.answer(66)) == "OVERLOADED"
        batch = await wire.ask(id=67, op="batch", data=entries({session: ADD, other: ADD}))
        assert codes(batch["ok"]["results"]) == ["OVERLOADED", None]
        await wire.put(**frames[0])  # a repeat is not one more
        assert await wire.so_far() == []
        (tmp_path / "gate").touch()
        assert [await result(wire, number) for number in range(2, 66)] == [*range(1, 65)]
        assert await result(wire, 3) == 2
        await wire.put(**frames[-1])
        assert await result(wire, 66) == 65  # refused before it began: done now
        assert code(await wire.ask(id=2, op="step", session=session, data=waiting(tmp_path / "gate"))) == "ANSWER_GONE"
        assert code(await wire.ask(**frames[0])) is None


async def test_at_most_8_mib_are_kept_and_always_the_last(url: str) -> None:
    async with Wire(url) as wire:
        (session,) = await wire.open()
        frames = [
            {"id": number, "op": "step", "session": session, "data": step("shout", {"size": size})}
            for number, size in enumerate([3 * 2**20, 3 * 2**20, 3 * 2**20, 9 * 2**20], 2)
        ]
        for number, frame in enumerate(frames[:3], 1):
            await wire.put(**frame)
            assert (await result(wire, frame))[:2] == f"{number}x"
        assert codes([await wire.ask(**frame) for frame in frames[:3]]) == ["ANSWER_GONE", None, None]
        await wire.ask(**frames[3])
        assert codes([await wire.ask(**frame) for frame in frames]) == ["ANSWER_GONE"] * 3 + [None]


@pytest.mark.parametrize("as_finished", [False, True])
async def test_a_batch_that_was_lost_is_found_again(url: str, tmp_path: Path, as_finished: bool) -> None:
    async with Wire(url) as first:
        sessions = await first.open(4)
        await begin(first, sessions[0], 2, tmp_path / "gate")
        batch = {"id": 3, "op": "batch", "data": entries(dict.fromkeys(sessions, ADD), as_finished=as_finished)}
        await first.put(**batch)
        await first.so_far()
        first.lose()
    for _ in range(3):
        async with Wire(url) as wire:
            for session in sessions:
                assert (await wire.ask(id=4, op="attach", session=session))["ok"]["last_id"] == 3
            await wire.put(**batch)
            (tmp_path / "gate").touch()
            if as_finished:
                answers = [await wire.answer(3) for _ in sessions]
                assert {answer["session"] for answer in answers} == {*sessions}
            else:
                answers = (await wire.answer(3))["ok"]["results"]
            assert sorted(answer["ok"]["observation"]["result"] for answer in answers) == [1, 1, 1, 2]


async def test_any_request_of_a_session_may_acknowledge(openenv_url: str) -> None:
    async with Wire(openenv_url) as wire:
        session, other = await wire.open(2)
        frames = [{"id": number, "op": "step", "session": session, "data": ADD} for number in range(2, 8)]
        for frame in frames:
            await wire.ask(**frame)
        await wire.ask(id=8, op="state", session=session, ack=2)
        await wire.ask(id=9, op="list_tools", session=session, ack=3)
        await wire.ask(id=10, op="batch", data=entries({session: ADD, other: ADD}), ack=4)
        await wire.ask(id=11, op="subscribe", session=session, ack=5, data={"events": ["log"]})
        await wire.ask(id=12, op="attach", session=session, ack=6)
        await wire.ask(id=13, op="state", session=other, ack=7)  # is about the other one
        assert codes([await wire.ask(**frame) for frame in frames]) == ["ANSWER_GONE"] * 5 + [None]


async def test_a_batch_that_is_refused_as_a_whole_has_one_answer(openenv_url: str) -> None:
    async with Wire(openenv_url) as wire:
        (session,) = await wire.open()
        data = entries({session: ADD}, as_finished=True) | {"more": 1}
        answer = await wire.ask(id=2, op="batch", data=data)
        assert (code(answer), "session" in answer) == ("VALIDATION_ERROR", False)
        assert await wire.so_far() == []
        assert code(await wire.ask(id=2, op="batch", data=entries({session: ADD}, as_finished=True))) is None
