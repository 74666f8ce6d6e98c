"""A small soak, and whether growth would be seen."""

from __future__ import annotations

import pytest

from tests.soak.client import REFUSED
from tests.soak.run import APP, APP_APART, soak
from tests.soak.ways import WAYS
from tests.support.processes import ROOT, Servers

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


async def test_nothing_grows_with_the_number_of_sessions(serve: Servers) -> None:
    """In so short a time the memory is still settling: here it may grow a little, in ``make soak`` by 5 % at most.

    A world that is not let go weighs more than 10 kB, and there are nearly 3000 of them between the samples. Most of the
    room that worlds need which come and go was made before the first one: 15 to 25 MB.
    """
    server = serve(APP, cwd=ROOT)
    report = await soak(server, sessions=6000, settled=3000, seconds=250)
    first, last = report.samples
    assert [one for one in report.wrong if not one.startswith("memory_kb")] == [], str(report)
    assert last.memory_kb - first.memory_kb < 20 * 1024, str(report)
    assert {outcome.split(": ")[0] for outcome in report.outcomes} == set(WAYS), "every way was gone"
    assert any(outcome.endswith(REFUSED) for outcome in report.outcomes)


async def test_nothing_grows_where_worlds_have_processes_that_die(serve: Servers) -> None:
    server = serve(APP_APART, cwd=ROOT)
    report = await soak(server, sessions=400, seconds=200, parallel=16, apart=True)
    first, last = report.samples
    assert [one for one in report.wrong if not one.startswith("memory_kb")] == [], str(report)
    assert last.memory_kb - first.memory_kb < 20 * 1024, str(report)
    assert report.outcomes["died: died"], str(report)


async def test_a_leak_is_seen(serve: Servers) -> None:
    server = serve("tests.soak.leaking:app", cwd=ROOT)
    report = await soak(server, sessions=1000, seconds=100)
    assert any(one.startswith("tasks: ") for one in report.wrong), str(report)
    assert any(one.startswith("memory_kb: ") for one in report.wrong), str(report)
