"""The benchmarks' own parts: every load generator measures a real server and notices what is wrong; sums, claims and page."""

from __future__ import annotations

import json
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.speedups import apply_mask

from benchmarks import calendar, echo, encodings, forks, machine, page, sessions
from benchmarks.calendar import Cost
from benchmarks.chart import chart
from benchmarks.echo import FLOOR, OPENENV, REFERENCE, V2_BATCH
from benchmarks.gates import Gate, at_least, at_most, gates_table
from benchmarks.load import Measurement, Order
from benchmarks.load.dialects import DIALECTS
from benchmarks.load.process import Load, LoadFailed, loading
from benchmarks.load.run import carry_out
from benchmarks.load.wire import PONG, WrongAnswer, answer_frame, frame, take_frame, take_message, take_reply
from benchmarks.part import Run
from benchmarks.parts import PARTS
from benchmarks.processes import Burden, Death, Overhead
from benchmarks.results import Results
from benchmarks.rounds import Round, Rounds, Setting, measure_rounds
from benchmarks.servers.fleet import Fleet, wanted
from benchmarks.servers.start import DEFAULT, NONE, NOT_APPLICABLE, earlier
from benchmarks.sessions import Held
from benchmarks.spread import Spread, ratios
from benchmarks.tables import Table, figure, shown
from tests.support.processes import ROOT, Server, Servers, running

UVICORN = ("--loop", "uvloop", "--ws", "websockets-sansio", "--ws-per-message-deflate", "false", "--no-access-log")
ON_TOOLS = ("json-rpc", "mcp")
OURS = [name for name in DIALECTS if name != "echo"]


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[tuple[str, bool], Server]]:
    """The echo and the tools, each under ``openenv serve`` (False) and under uvicorn (True)."""
    with running(tmp_path_factory.mktemp("doors")) as servers:
        yield {
            (name, uvicorn): servers(
                f"benchmarks.servers.ours:bare_{name}", *(UVICORN if uvicorn else ()), cwd=ROOT, uvicorn=uvicorn
            )
            for name in ("echo", "tools")
            for uvicorn in (False, True)
        }


@pytest.fixture(scope="module")
def liars(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Server]]:
    """Servers that give one session's answer to another, from the fourth on."""
    with running(tmp_path_factory.mktemp("liars")) as servers:
        yield {
            name: servers(f"tests.support.liar:{name}", *UVICORN, cwd=ROOT, uvicorn=True) for name in ("echo", "tools", "plain")
        }


def order(server: Server, dialect: str, **changes: Any) -> Order:
    given: dict[str, Any] = {"sessions": 4, "seconds": 0.2, "server_pids": (server.pid,), **changes}
    return Order(server.url, dialect, **given)


def environment(dialect: str) -> str:
    return "tools" if dialect in ON_TOOLS else "plain" if dialect == "echo" else "echo"


@pytest.mark.parametrize("uvicorn", [False, True], ids=["serve", "uvicorn"])
@pytest.mark.parametrize("dialect", OURS)
def test_every_dialect_is_spoken_to_a_real_server(doors: dict[tuple[str, bool], Server], dialect: str, uvicorn: bool) -> None:
    seen = carry_out(order(doors[environment(dialect), uvicorn], dialect))
    assert seen.done > 0
    assert seen.seconds >= 0.2
    assert 0 < seen.p50_ms <= seen.p99_ms
    assert seen.server_cpu_s > 0
    assert seen.load_cpu_s > 0
    assert seen.request_bytes > 60
    assert seen.answer_bytes > 60


@pytest.mark.parametrize("connections", [1, 3])
def test_a_batch_counts_a_step_for_each_session(doors: dict[tuple[str, bool], Server], connections: int) -> None:
    seen = carry_out(order(doors["echo", False], "v2-batch", sessions=6, connections=connections))
    assert seen.done > 0
    assert seen.done % (6 // connections) == 0


@pytest.mark.parametrize("dialect", ["openenv", "v2", "http"])
def test_sessions_that_come_and_go_are_counted(doors: dict[tuple[str, bool], Server], dialect: str) -> None:
    server = doors["echo", False]
    before = httpx.get(f"{server.url}/sessions").json()["sessions"]
    seen = carry_out(order(server, dialect, kind="connects"))
    assert seen.done > 0
    assert len(httpx.get(f"{server.url}/sessions").json()["sessions"]) == len(before)


def test_idle_sessions_are_held_and_step_in_the_end(doors: dict[tuple[str, bool], Server]) -> None:
    seen = carry_out(order(doors["echo", False], "openenv", sessions=30, kind="hold"))
    assert seen.done == 30
    together = carry_out(order(doors["echo", False], "v2-batch", sessions=30, connections=2, kind="hold"))
    assert together.done == 30


@pytest.mark.parametrize("dialect", [name for name in DIALECTS if name != "http-stateless"])
def test_another_sessions_answer_is_noticed(liars: dict[str, Server], dialect: str) -> None:
    connections = 1 if dialect == "v2-batch" else 0
    with pytest.raises(WrongAnswer, match="session 0000"):
        carry_out(order(liars[environment(dialect)], dialect, seconds=5.0, connections=connections))


def test_a_refusal_is_a_failure_that_says_what_was_refused(doors: dict[tuple[str, bool], Server]) -> None:
    with pytest.raises(WrongAnswer, match=r"expected (the echo|an observation)"):
        carry_out(order(doors["tools", False], "openenv"))
    with loading() as load:
        with pytest.raises(LoadFailed, match="json-rpc, 4 sessions"):
            load.carry_out(order(doors["echo", False], "json-rpc"))
        assert load.carry_out(order(doors["echo", False], "openenv")).done > 0, "one failure does not end the load"


def test_one_order_can_be_given_on_the_command_line(doors: dict[tuple[str, bool], Server]) -> None:
    server = doors["echo", False]
    arguments = [server.url, "--sessions", "3", "--seconds", "0.2", "--server-pid", str(server.pid)]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.load", *arguments], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    assert Measurement(**json.loads(done.stdout)).done > 0


def test_frames_are_read_as_they_are_written() -> None:
    for size in (0, 125, 126, 0xFFFF, 0x10000):
        payload = bytes(place % 251 for place in range(size))
        buffer = bytearray(answer_frame(payload) + b"\x81")
        assert take_frame(buffer) == (1, payload)
        assert buffer == b"\x81"
        sent = frame(payload)
        assert sent[1] & 0x80, "a client masks what it sends"
        assert len(sent) == len(answer_frame(payload)) + 4
    with pytest.raises(WrongAnswer, match="closed"):
        take_message(bytearray(b"\x89\x00\x88\x02\x03\xe8"))


def test_pings_among_answers_are_answered() -> None:
    talk = DIALECTS["echo"](Order("http://127.0.0.1:1", "echo", 1, 1.0, ()), range(1))
    learning = talk.learning()
    asked, _ = next(learning)
    payload = apply_mask(asked[6:], asked[2:6])
    with pytest.raises(StopIteration):
        learning.send(payload)
    answer, ping = answer_frame(payload), b"\x89\x02hi"
    assert talk.right(answer)
    for together in (ping + answer, answer + ping, ping + answer + ping):
        assert not talk.right(together)
        kept, reply = talk.more(together)
        assert kept == answer
        assert reply == frame(b"hi", PONG) * together.count(ping)
    assert talk.more(ping + answer[:10]) == (answer[:10], frame(b"hi", PONG))
    assert talk.more(answer + ping[:1]) == (answer + ping[:1], b"")
    for wrong in (answer_frame(b"no"), answer + answer):
        with pytest.raises(WrongAnswer, match="not the answer"):
            talk.more(wrong)


def test_http_answers_are_read_with_a_length_and_in_chunks() -> None:
    whole = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n{}\r\nrest"
    for end in range(len(whole) - 4):
        assert take_reply(bytearray(whole[:end])) is None
    buffer = bytearray(whole)
    reply = take_reply(buffer)
    assert reply is not None
    assert (reply.status, reply.json(), bytes(buffer)) == (200, {}, b"rest")
    event = b'id: 1\r\nevent: message\r\ndata: {"a": 1}\r\n\r\n'
    chunks = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunks += b"%x\r\n%s\r\n0\r\n\r\n" % (len(event), event)
    for end in range(len(chunks)):
        assert take_reply(bytearray(chunks[:end])) is None
    streamed = take_reply(bytearray(chunks))
    assert streamed is not None
    assert streamed.json() == {"a": 1}


def test_the_fleet_starts_each_server_once_and_the_default_chain_asks_for_a_token(serve: Servers) -> None:
    fleet = Fleet(serve)
    first = fleet(wanted("ours echo none", "ours echo default"))
    again = fleet(wanted("ours echo default"))
    assert again["ours echo default"] is first["ours echo default"]
    settings = [Setting(OPENENV, chain, first[f"ours echo {chain}"], "openenv", 2, 0.2) for chain in (NONE, DEFAULT)]
    with loading() as load:
        seen = list(measure_rounds(load, settings, 2))
    assert [(one.chain, one.number) for one in seen] == [(NONE, 0), (DEFAULT, 0), (DEFAULT, 1), (NONE, 1)]
    assert all(one.per_s > 0 and one.cpu_us > 0 for one in seen)
    assert httpx.get(f"{first['ours echo default'].server.url}/schema").status_code == 401
    assert httpx.get(f"{first['ours echo none'].server.url}/metrics").status_code == 404


def a_run(servers: Servers, load: Load) -> Run:
    return Run(load, Fleet(servers), rounds=1, seconds=0.2)


def test_forks_and_tool_calls_of_the_calendar_are_measured(serve: Servers) -> None:
    with loading() as load:
        run = a_run(serve, load)
        forked, called = list(forks.measure(run)), list(calendar.measure(run))
    assert {(one.chain, one.count) for one in forked} == {(chain, count) for chain in (NONE, DEFAULT) for count in (1, 16)}
    assert all(one.cpu_ms > 0 and one.latency_ms > 0 for one in forked)
    assert {one.operation for one in called} == {"reset", *calendar.CALLS}
    assert all(0 < one.p50_ms <= one.worst_ms and one.cpu_ms > 0 for one in called)
    assert [gate.bound for gate in forks.gates(forked)] == ["≤ 2 ms", "≤ 2 ms"]
    assert "freebusy_query" in calendar.tables(called)[0].text()


def test_an_image_is_shorter_in_messagepack(serve: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encodings, "_OBSERVATIONS", {"images": "an image"})
    with loading() as load:
        seen = list(encodings.measure(a_run(serve, load)))
    sizes = {(one.encoding, one.chain): one.answer_bytes for one in seen}
    pixels = 84 * 84 * 3
    assert pixels < sizes["MessagePack", NONE] < pixels + 500
    assert pixels * 4 / 3 < sizes["JSON", DEFAULT] < pixels * 4 / 3 + 500
    assert all(one.server_us > 0 and one.client_us > 0 for one in seen)


def test_an_earlier_commit_is_served_from_its_own_files(serve: Servers) -> None:
    target = earlier(serve, "HEAD")
    loaded = Path(f"/proc/{target.server.pid}/cwd").resolve()
    assert loaded == serve.folder / "earlier"
    assert (loaded / "src" / "openenv" / "version.py").exists()
    assert "serving echo" in target.server.log()


def test_spread_and_ratios() -> None:
    assert Spread.of([3.0, 1.0, 2.0]) == Spread(2.0, 1.0, 3.0, 3)
    assert Spread.of([4.0, 2.0]).median == 3.0
    assert ratios({0: 30.0, 1: 20.0, 2: 9.0}, {0: 10.0, 1: 5.0, 3: 1.0}) == [3.0, 4.0]
    assert ratios({0: 1.0}, {0: 0.0}) == []


@pytest.mark.parametrize(
    ("value", "text"),
    [(12345.6, "12,346"), (123.4, "123"), (12.34, "12.3"), (1.234, "1.23"), (0.01234, "0.0123"), (2.0, "2"), (0, "0")],
)
def test_figures_have_three_digits_or_all_that_matter(value: float, text: str) -> None:
    assert figure(value) == text


def test_claims_are_judged_by_the_median() -> None:
    assert at_least("a", 4, [3.0, 4.5, 5.0]) == Gate("a", "≥ 4", "4.5 (3 to 5)", True)
    assert at_least("a", 4, [3.9, 3.9, 5.0]).holds is False
    assert at_most("b", 40, [41.0], unit=" KB") == Gate("b", "≤ 40 KB", "41 KB", False)
    assert at_most("b", 40, [40.0]).holds is True
    assert at_most("c", 1, []) == Gate("c", "≤ 1", "not measured", None)
    text = gates_table([at_least("a", 4, [3.0]), at_least("b", 1, [3.0]), at_most("c", 1, [])]).markdown()
    assert "| a | ≥ 4 | 3 | **does not hold** |" in text
    assert "| b | ≥ 1 | 3 | holds |" in text
    assert "| c | ≤ 1 | not measured | not measured |" in text


def measured(row: str, chain: str, count: int, number: int, per_s: float, **changes: float) -> Round:
    given = {"p50_ms": 1.0, "p99_ms": 2.0, "cpu_us": 30.0, "load_cpu": 0.5, "waited": 0.0, **changes}
    return Round(row, chain, count, number, per_s, **given)


def run_of_echo() -> list[Round]:
    """Three rounds at 64 and 256 sessions in which ours is five and six times as fast as the reference."""
    rows = []
    for number, noise in enumerate((1.0, 1.1, 0.9)):
        for count, times in ((64, 5.0), (256, 6.0)):
            rows += [
                measured(FLOOR, NOT_APPLICABLE, count, number, 8000 * noise),
                measured(OPENENV, NONE, count, number, 1000 * times * noise),
                measured(OPENENV, DEFAULT, count, number, 900 * times * noise),
                measured(V2_BATCH, NONE, count, number, 12_000 * noise),
                measured(V2_BATCH, DEFAULT, count, number, 9_000 * noise),
                measured(REFERENCE, NOT_APPLICABLE, count, number, 1000 * noise, p99_ms=9.0),
            ]
    return rows


def verdicts(records: list[Round]) -> dict[str, bool | None]:
    return {gate.claim: gate.holds for gate in echo.gates(records)}


def test_the_claims_about_the_hot_path() -> None:
    found = verdicts(run_of_echo())
    assert found["steps/s ÷ 0.10.0, 64 sessions, without middleware"] is True
    assert found["p99 ÷ 0.10.0, 256 sessions, with the default chain"] is True
    assert found["steps/s ÷ bare ASGI echo, 64 sessions, without middleware"] is False
    assert found["steps/s with the default chain ÷ without middleware, 64 sessions"] is True
    assert found[f"steps/s ÷ 0.10.0, 256 sessions, {V2_BATCH}, chain: none"] is True
    assert found[f"steps/s ÷ 0.10.0, 256 sessions, {V2_BATCH}, chain: default"] is False
    assert found["load generator's share of a core, in the worst row at 64 or 256 sessions"] is True
    slow_tail = [replace(one, p99_ms=2.5) if one.row == OPENENV else one for one in run_of_echo()]
    assert verdicts(slow_tail)["p99 ÷ 0.10.0, 64 sessions, without middleware"] is False
    assert set(verdicts([]).values()) == {None}


def test_a_row_that_the_load_limited_is_marked_and_named() -> None:
    bound = [replace(one, load_cpu=0.9) if one.row == FLOOR else one for one in run_of_echo()]
    share = next(gate for gate in echo.gates(bound) if gate.claim.startswith("steps/s ÷ bare ASGI echo"))
    assert share.remark == "load generator at 90% of a core"
    assert any(gate.claim.startswith("load generator") and gate.holds is False for gate in echo.gates(bound))
    text = Rounds(bound).table("Echo", 64).text()
    assert "90% *" in next(line for line in text.splitlines() if FLOOR in line)
    assert "*" not in next(line for line in text.splitlines() if REFERENCE in line)


def test_an_earlier_commit_is_compared_by_its_cost() -> None:
    costs, chain = {echo.NOW: 20.0, echo.EARLIER: 40.0}, "log, metrics"
    rows = [measured(row, chain, 64, number, 30, cpu_us=cost) for number in (0, 1) for row, cost in costs.items()]
    assert Rounds(rows).ratios((echo.NOW, chain), (echo.EARLIER, chain), 64, "cpu_us") == [0.5, 0.5]
    assert "0.5 (0.5 to 0.5)" in echo.tables(rows)[-1].text()


def test_sessions_that_failed_break_their_claim() -> None:
    idle = Held(sessions.SOCKETS, NONE, sessions.IDLE, 0, "idle", sessions.IDLE, 30.0, 0.0, 10.0, 1.0)
    found = {gate.claim: gate for gate in sessions.gates([idle])}
    assert found["10,000 idle sessions in one process, chain: none"].holds is True
    assert found["memory of an idle session, chain: none"].holds is True
    assert found["10,000 idle sessions in one process, chain: default"].holds is None
    for broken in (replace(idle, done=sessions.IDLE - 1), replace(idle, error="closed", done=0)):
        assert sessions.gates([broken])[0].holds is False
    fat = {gate.claim: gate.holds for gate in sessions.gates([replace(idle, kb_each=41.0)])}
    assert fat["memory of an idle session, chain: none"] is False


def some_results() -> Results:
    return Results(
        "2026-01-01T00:00:00+00:00",
        {"processor": "Some", "cores": "2", "ours": "openenv 0.11.0"},
        3,
        1.0,
        full=False,
        records={"echo": run_of_echo(), "calendar": [Cost("reset", NONE, 0, 1.0, 2.0, 0.5)], "imports": []},
    )


def replace_waited(results: Results, share: float) -> Results:
    return replace(results, records={"echo": [replace(one, waited=share) for one in results.records["echo"]]})


def test_results_are_kept_as_json_and_read_again(tmp_path: Path) -> None:
    results = some_results()
    burden, death = Burden(DEFAULT, 0, 3.0, 2.0, 0.4), Death(NONE, 0, "exit", 0.01)
    results.records["processes"] = [Overhead(NONE, 0, 20.0, 250.0), burden, death]
    results.write(tmp_path / "results" / "latest.json")
    again = Results.read(tmp_path / "results" / "latest.json")
    assert again.records == {name: found for name, found in results.records.items() if found}
    assert again.gates() == results.gates()
    assert [table.text() for table in again.tables()] == [table.text() for table in results.tables()]


def test_the_page_has_the_figures_between_its_markers() -> None:
    results = some_results()
    text = page.rewritten(page.PAGE.read_text(), results)
    assert page.rewritten(text, results) == text
    assert "| OpenEnv's dialect | none | 5,000 |" in text
    assert "- steps/s ÷ bare ASGI echo, 64 sessions, without middleware: 0.625 (0.625 to 0.625), wanted ≥ 0.65" in text
    assert text.startswith("# Performance")
    assert "The machine did little else." in text
    claims = 1
    assert text.count('\n\n`make bench BENCH_ARGS="--only ') == text.count("\n### ") - claims
    busy = replace_waited(results, 0.5)
    assert "waited for a core for 50% of the time or more" in page.rewritten(text, busy)
    assert text.endswith(page.PAGE.read_text()[-200:])
    with pytest.raises(ValueError, match="needs the lines"):
        page.rewritten("# Performance", results)


def test_the_page_the_plot_and_the_results_in_the_repository_agree() -> None:
    results = Results.read(page.RESULTS)
    assert page.rewritten(page.PAGE.read_text(), results) == page.PAGE.read_text(), "run python -m benchmarks.page"
    assert chart(results.records["echo"]) == page.PLOT.read_text(), "run python -m benchmarks.page"
    assert set(results.records) == set(PARTS)
    assert {one.sessions for one in results.records["echo"]} == set(echo.COUNTS)
    assert results.rounds >= 5


def test_the_plot_is_well_formed_and_has_every_figure() -> None:
    text = chart(run_of_echo())
    assert len(text) < 40_000
    svg = ElementTree.fromstring(text)
    space = "{http://www.w3.org/2000/svg}"
    lines = svg.findall(f"{space}polyline")
    assert len(lines) == 6
    assert all(len(line.get("points", "").split()) == 2 for line in lines)
    said = [found.text or "" for found in svg.iter(f"{space}title")]
    assert "OpenEnv's dialect, 64 sessions: 5,000 steps/s" in said
    styles = ("batch", "floor", "ours", "reference")
    heights = sorted(float(found.get("y", 0)) for found in svg.iter(f"{space}text") if found.get("class") in styles)
    assert len(heights) == 6
    assert all(lower - upper > 12 for upper, lower in pairwise(heights)), "labels lie upon each other"
    assert "prefers-color-scheme: dark" in text


def test_tables_for_the_terminal_and_for_a_page() -> None:
    table = Table("Title", ["", "what", "n"], [["a", "b", "1,000"], ["long", "**c**", "20 *"]], ["A note."])
    assert table.text() == "Title\n        what      n\n  a     b     1,000\n  long  c      20 *\n  A note."
    assert table.markdown().splitlines()[3] == "|---|---|---:|"
    assert shown([1.0, 3.0], " ms") == "2 ms (1 to 3)"


def test_the_machine_is_described_without_saying_whose_it_is() -> None:
    said = json.dumps(machine.describe())
    assert '"cores"' in said
    assert str(ROOT) not in said
    assert "/" not in said


@pytest.mark.parametrize("target", ["bench", "bench-full", "bench-page"])
def test_make_has_the_target(target: str) -> None:
    done = subprocess.run(["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True, check=True, timeout=15)
    assert "-m benchmarks." in done.stdout
