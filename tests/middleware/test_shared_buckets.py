"""Token buckets that several processes take from."""

from __future__ import annotations

import os

import pytest

from openenv.errors import RateLimited
from openenv.middleware import RateLimit
from openenv.middleware.rate import Buckets
from openenv.middleware.shared_buckets import _NEAR, _SLOTS, SharedBuckets
from openenv.operation import Operation, Principal


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def file() -> int:
    fd = os.memfd_create("test")
    os.ftruncate(fd, 2 * SharedBuckets.SIZE)
    return fd


def view(fd: int, clock: Clock, start: int = 0) -> SharedBuckets:
    """What one process has: its own view of the same memory."""
    return SharedBuckets(os.dup(fd), start, b"secret", clock)


def test_two_processes_take_from_one_bucket(file: int) -> None:
    clock = Clock()
    first, second = (Buckets(1.0, 4.0, clock=clock, shared=view(file, clock)).take for _ in range(2))
    assert [first("anna", 1), second("anna", 1), first("anna", 1), second("anna", 1)] == [0.0] * 4
    assert first("anna", 1) == second("anna", 1) == pytest.approx(1.0)
    assert second("bert", 1) == 0.0
    clock.now += 1.0
    assert second("anna", 1) == 0.0
    assert first("anna", 1) == pytest.approx(1.0)


def test_they_do_what_buckets_of_one_process_do(file: int) -> None:
    clock = Clock()
    alone = Buckets(2.0, 3.0, clock=clock).take
    together = [Buckets(2.0, 3.0, clock=clock, shared=view(file, clock)).take for _ in range(2)]
    for number in range(200):
        key, cost = f"caller {number % 3}", 1.0 + number % 2
        assert together[number % 2](key, cost) == pytest.approx(alone(key, cost))
        clock.now += 0.13


def test_a_full_table_forgets_whose_bucket_is_fullest(file: int) -> None:
    clock = Clock()
    table = view(file, clock)
    for number in range(2 * _SLOTS):
        table[number] = clock.now + 1000.0 + number
    kept = sum(table.get(number, 0.0) == clock.now + 1000.0 + number for number in range(2 * _SLOTS))
    assert _SLOTS * 0.9 < kept <= _SLOTS
    recent = [table.get(number, 0.0) for number in range(2 * _SLOTS - _NEAR // 2, 2 * _SLOTS)]
    assert all(recent)
    other = view(file, clock)
    assert other.get(2 * _SLOTS - 1, 0.0) == clock.now + 1000.0 + 2 * _SLOTS - 1


def test_a_slot_that_somebody_else_got_is_not_taken_for_ones_own(file: int) -> None:
    clock = Clock()
    table, other = view(file, clock), view(file, clock)
    table["anna"] = clock.now + 1.0
    clock.now += 2.0  # anna's bucket is full again: any slot near may go
    for number in range(4 * _SLOTS):
        other[number] = clock.now + 1000.0
    assert table.get("anna", 0.0) == 0.0
    table["anna"] = clock.now + 5.0
    assert other.get("anna", 0.0) == clock.now + 5.0


def test_a_limit_of_two_workers_is_one(file: int) -> None:
    clock = Clock()
    limits = [RateLimit(0.001, 3) for _ in range(2)]
    for limit in limits:
        limit.share(view(file, clock), view(file, clock, SharedBuckets.SIZE))
    step = Operation("step", principal=Principal("anna"))
    for number in range(3):
        limits[number % 2].before(step)
    for limit in limits:
        with pytest.raises(RateLimited):
            limit.before(step)
    limits[0].before(Operation("step", principal=Principal("bert")))
