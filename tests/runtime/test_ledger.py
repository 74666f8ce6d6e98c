from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from openenv.errors import AnswerGone, IdReused, Overloaded
from openenv.runtime.ledger import Kept, Ledger, Running


def test_a_repeat_gets_the_answer_that_was_given_and_another_request_with_its_id_none() -> None:
    ledger = Ledger()
    assert ledger.is_new(1)
    ledger.keep(1, 11, "one", 3)
    assert not ledger.is_new(1)
    known = ledger.known(1, 11)
    assert isinstance(known, Kept)
    assert known.answer == "one"
    with pytest.raises(IdReused) as reused:
        ledger.known(1, 12)
    assert reused.value.field == "id"


def test_who_repeats_what_runs_waits_for_the_same_answer() -> None:
    ledger = Ledger()
    told: list[Any] = []
    ledger.begin(4, Running(44))
    known = ledger.known(4, 44)
    assert isinstance(known, Running)
    known.waiters.append(told.append)
    ledger.finish(4, "four", 4)
    assert told == ["four"]
    assert isinstance(ledger.known(4, 44), Kept)


def test_of_what_was_refused_before_it_began_the_last_64_may_come_again() -> None:
    ledger = Ledger()
    for number in range(1, Ledger.MOST + 2):
        ledger.forget(number, None)
    assert not ledger.is_new(1)
    assert all(ledger.is_new(number) for number in range(2, Ledger.MOST + 2))


def test_an_answer_is_gone_when_it_was_acknowledged_or_is_older_than_the_last_64() -> None:
    ledger = Ledger()
    for number in range(1, 71):
        ledger.keep(number, number, "…", 1)
    with pytest.raises(AnswerGone):
        ledger.known(6, 6)
    ledger.known(7, 7)
    ledger.acknowledge(69)
    with pytest.raises(AnswerGone):
        ledger.known(69, 69)
    ledger.known(70, 70)
    assert not ledger.is_new(3)  # an id that was left out, or is long over, is never done


def test_kept_answers_have_a_bound_in_bytes_but_the_last_one_stays() -> None:
    ledger = Ledger()
    for number in range(1, 4):
        ledger.keep(number, number, "…", 5 * 1024 * 1024)
    with pytest.raises(AnswerGone):
        ledger.known(2, 2)
    ledger.known(3, 3)
    ledger.acknowledge(3)
    ledger.keep(4, 4, "…", 1)
    ledger.keep(5, 5, "…", 1)
    ledger.known(4, 4)  # what was dropped is not counted any more


def test_a_refusal_before_it_began_uses_up_nothing_even_behind_later_ids() -> None:
    ledger = Ledger()
    told: list[Any] = []
    ledger.begin(1, Running(1))
    running = ledger.known(1, 1)
    assert isinstance(running, Running)
    running.waiters.append(told.append)
    ledger.keep(2, 2, "two", 3)
    ledger.forget(1, "too fast")
    assert told == ["too fast"]
    assert ledger.is_new(1)
    ledger.keep(1, 1, "one", 3)
    assert not ledger.is_new(1)
    assert ledger.last == 2


def test_only_64_run_at_once() -> None:
    ledger = Ledger()
    for number in range(1, 65):
        assert ledger.is_new(number)
        ledger.begin(number, Running(number))
    with pytest.raises(Overloaded):
        ledger.is_new(65)
    assert not ledger.is_new(64)  # a repeat is none more
    ledger.finish(1, "…", 1)
    assert ledger.is_new(65)


class Requests(RuleBasedStateMachine):
    """A client that repeats, acknowledges and pipelines at random, against a model: a request is done at most once."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger()
        self.sent = 0
        self.acknowledged = 0
        self.done: dict[int, int] = {}
        self.running: list[int] = []

    @rule(later=st.booleans())
    def send(self, later: bool) -> None:
        if len(self.running) == Ledger.MOST:
            return
        self.sent += 1
        self.ask(self.sent, later)

    @precondition(lambda self: self.sent)
    @rule(data=st.data(), later=st.booleans())
    def repeat(self, data: st.DataObject, later: bool) -> None:
        self.ask(data.draw(st.integers(1, self.sent)), later)

    def ask(self, number: int, later: bool) -> None:
        if self.ledger.is_new(number):
            assert number not in self.done
            assert number not in self.running
            if later:
                self.ledger.begin(number, Running(number))
                self.running.append(number)
            else:
                self.done[number] = 1
                self.ledger.keep(number, number, number, 1)
            return
        try:
            known = self.ledger.known(number, number)
        except AnswerGone:
            assert number in self.done
            assert number <= self.acknowledged or len(self.done) > Ledger.MOST
        else:
            assert isinstance(known, Running) == (number in self.running)
            if isinstance(known, Kept):
                assert known.answer == number

    @precondition(lambda self: self.running)
    @rule(data=st.data(), refused=st.booleans())
    def end(self, data: st.DataObject, refused: bool) -> None:
        number = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        if refused:
            self.ledger.forget(number, "refused")
        else:
            self.done[number] = 1
            self.ledger.finish(number, number, 1)

    @rule(data=st.data())
    def acknowledge(self, data: st.DataObject) -> None:
        free = [number for number in range(1, self.sent + 1) if number not in self.done]
        number = data.draw(st.integers(0, min(free, default=self.sent + 1) - 1))
        self.acknowledged = max(self.acknowledged, number)
        self.ledger.acknowledge(number)

    @invariant()
    def is_bounded(self) -> None:
        assert len(self.ledger._kept) <= Ledger.MOST
        assert self.ledger._bytes == len(self.ledger._kept)


TestRequests = Requests.TestCase
TestRequests.settings = settings(max_examples=60, stateful_step_count=80, deadline=None)
