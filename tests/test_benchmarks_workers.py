"""The benchmark of several workers: it measures real servers and judges what it saw."""

from __future__ import annotations

import pytest

from benchmarks import workers
from benchmarks.gates import Gate
from benchmarks.load.process import loading
from benchmarks.part import folder_of_servers
from benchmarks.servers.start import DEFAULT, NONE, ours
from benchmarks.workers import Crew


def crew(dialect: str, count: int, number: int, cpu_us: float, busy: float = 1.0) -> Crew:
    return Crew(dialect, NONE, count, number, per_s=1000.0, cpu_us=cpu_us, busy=busy, load_cpu=0.5)


def judged(records: list[Crew]) -> tuple[Gate, Gate]:
    ratio, busy = (gate for gate in workers.gates(records) if gate.holds is not None)
    return ratio, busy


def test_two_workers_are_judged_beside_one_of_the_same_round() -> None:
    costs = [(1, 20.0, 22.0), (2, 40.0, 44.0), (3, 30.0, 33.0)]
    records = [crew("openenv", count, number, cost[count - 1], 0.95) for number, *cost in costs for count in (1, 2)]
    ratio, busy = judged(records)
    assert (ratio.holds, ratio.measured) == (True, "1.1 (1.1 to 1.1)")
    assert busy.holds
    records = [crew("openenv", count, number, cost[count - 1] * count, 0.5) for number, *cost in costs for count in (1, 2)]
    ratio, busy = judged(records)
    assert (ratio.holds, busy.holds) == (False, False)
    assert len(workers.tables(records)[0].rows) == 2


@pytest.mark.parametrize("chain", [NONE, DEFAULT])
def test_it_measures_all_processes_of_a_server(chain: str) -> None:
    with loading() as load, folder_of_servers() as servers:
        target = ours(servers, "echo", chain, "--workers", "2")
        assert len(target.pids) == 3
        seen, busy = workers._watched(load, target, "openenv", 2, 0.6)
        assert seen.done > 0
        assert seen.server_cpu_s > 0
        assert 0.1 < busy < 2
