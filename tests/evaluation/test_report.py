from __future__ import annotations

import io
import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from rich.console import Console

from openenv.evaluation import RunResults, TrialResult, summarize
from openenv.evaluation.progress import RunProgress
from openenv.evaluation.report import print_summary, render_page
from openenv.evaluation.report.markup import element, join, printable, shortened
from openenv.scenario import Suite
from tests.evaluation.build import event, library, run_of, trial

HOSTILE = "<script>alert(1)</script>\"'&\x1b[31m\u202e[bold]x[/bold]"
HOSTILE_ARGUMENTS: dict[str, Any] = {HOSTILE: HOSTILE}
LOST: dict[str, Any] = {"status": "infrastructure_error", "stop": "error"}


def hostile_run() -> RunResults:
    body = library().model_dump(mode="json")
    body["ignored_changes"] = []
    for scenario in body["scenarios"]:
        scenario["task"] = HOSTILE
    suite = Suite.model_validate(body)
    failed = trial(
        "move-explicit",
        suite=suite,
        agent=HOSTILE,
        response=HOSTILE,
        events=[event(HOSTILE, code=HOSTILE, **HOSTILE_ARGUMENTS), event("book_move", x=HOSTILE)],
        malformed=[{"tool": HOSTILE, "arguments": HOSTILE, "message": HOSTILE}],
        verdicts=[{"name": HOSTILE, "verifier_type": HOSTILE, "passed": False, "message": HOSTILE}],
    )
    broken = trial(
        "count-poems",
        suite=suite,
        agent=HOSTILE,
        passed=None,
        error={"code": HOSTILE, "message": HOSTILE},
        **LOST,
    )
    server = {"url": HOSTILE, "metadata": {"version": HOSTILE}}
    return run_of(failed, broken, suite=suite, server=server)


class Outline(HTMLParser):
    """Checks that a page is well formed, and collects its elements and attributes."""

    VOID = frozenset({"meta", "br"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes.update(name for name, _ in attrs)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_nothing_hostile_becomes_markup() -> None:
    run = hostile_run()
    page = render_page(run, summarize(run))
    outline = Outline(page)
    assert outline.tags <= {
        *("html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "dl", "dt", "dd", "div", "span", "i", "pre"),
        *("table", "thead", "tbody", "tr", "th", "td", "details", "summary", "svg", "g", "rect", "line", "text"),
    }
    assert not any(name.startswith("on") or name in ("src", "href") for name in outline.attributes)
    assert "<script" not in page
    assert "\x1b" not in page
    assert "\u202e" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_the_page_is_complete_and_loads_nothing() -> None:
    run = some_run()
    page = render_page(run, summarize(run))
    Outline(page)
    assert not re.search(r"(?:src|href)=|url\(|@import|https?://(?!127\.0\.0\.1)", page)
    assert "default-src 'none'" in page.replace("&#x27;", "'")
    assert "prefers-color-scheme: dark" in page
    for heading in (
        "Overview",
        "Success by difficulty",
        "The same task, named by id or described in words",
        "Success by scenario",
        "Tool calls that succeeded",
        "Why trials failed",
        "Why tool calls failed",
        "Trials",
    ):
        assert f"<h2>{heading}</h2>" in page
    assert page.count("<svg") >= 6
    assert "In 1 trial(s) the environment or the infrastructure failed" in page


def some_run() -> RunResults:
    moved = event("book_move", book="dune", shelf="science-fiction")
    wrong = event("book_move", code="NOT_FOUND", book="dune", shelf="novels")
    return run_of(
        trial("move-explicit", passed=True, agent="a", events=[moved], steps=1, seconds={"agent": 2.0}, tokens={"prompt": 5}),
        trial("move-natural", passed=False, agent="a", events=[wrong], steps=3),
        trial("count-poems", passed=True, agent="a", events=[event("books_count", read_only=True, shelf="poems")]),
        trial("lend-in-order", passed=None, agent="a", error={"code": "X", "message": "y"}, **LOST),
        trial("move-explicit", passed=False, agent="b", status="agent_error", stop="error"),
        trial("move-natural", passed=None, agent="b", status="cancelled", stop="cancelled"),
    )


def test_the_summary_counts_what_counts() -> None:
    summary = summarize(some_run())
    a, b = summary.agents
    assert (a.success.passed, a.success.total) == (2, 3)
    assert a.not_scored == summary.not_scored == 1
    assert a.mean_reward == pytest.approx(2 / 3)
    assert a.mean_steps == pytest.approx(4 / 3)
    assert a.mean_seconds == 2.0
    assert a.tokens == {"prompt": 5}
    assert {level: (found.passed, found.total) for level, found in a.difficulties.items()} == {"easy": (2, 2), "medium": (0, 1)}
    assert {kind: (found.passed, found.total) for kind, found in a.phrasings.items()} == {"explicit": (1, 1), "natural": (0, 1)}
    assert [(pair.pair, pair.explicit.passed, pair.natural.passed) for pair in a.pairs] == [("move", 1, 0)]
    assert [(one.scenario, one.success.total, one.not_scored) for one in a.scenarios] == [
        ("move-explicit", 1, 0),
        ("move-natural", 1, 0),
        ("lend-in-order", 0, 1),
        ("count-poems", 1, 0),
    ]
    tools = {tool.tool: tool for tool in a.tools}
    assert (tools["book_move"].calls, tools["book_move"].succeeded.passed, tools["book_move"].errors) == (2, 1, {"NOT_FOUND": 1})
    assert (tools["book_move"].needed_by.passed, tools["book_move"].needed_by.total) == (1, 2)
    assert tools["book_lend"].calls == 0
    assert a.errors.trials == {"wrong_tool": 0, "wrong_arguments": 1, "wrong_order": 0, "other": 0}
    assert a.errors.calls == {"wrong_tool": 0, "wrong_arguments": 1, "wrong_order": 0, "other": 0}
    assert (b.success.passed, b.success.total, b.not_run) == (0, 1, 2)
    assert b.errors.trials["other"] == 1
    assert (summary.planned, summary.finished) == (8, 5)
    json.dumps(summary.as_json(), allow_nan=False)


def test_several_trials_have_pass_at_k() -> None:
    run = run_of(*(trial("move-explicit", passed=index < 2, trial=index) for index in range(4)))
    found = summarize(run).agents[0].at_k
    assert found[1] == {"pass@k": pytest.approx(0.5), "pass^k": pytest.approx(0.5)}
    assert found[2] == {"pass@k": pytest.approx(5 / 6), "pass^k": pytest.approx(1 / 6)}
    assert "At least one of k passes" in render_page(run, summarize(run))


def test_a_run_of_nothing_is_shown_too() -> None:
    run = run_of()
    Outline(render_page(run, summarize(run)))
    assert "4 of 4 trials are missing" in printed(run)


def printed(run: RunResults) -> str:
    console = Console(file=io.StringIO(), width=200)
    print_summary(run, summarize(run), console)
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return text


def test_the_terminal_shows_the_numbers() -> None:
    text = printed(some_run())
    assert "library on toy_library:app: 4 scenarios" in text
    assert "67 % (2/3)" in text
    assert "Not scored, because the machinery failed: 1 trial(s)" in text
    assert "a, lend-in-order: X: y" in text
    assert "1 (100 %)" in text


def test_nothing_hostile_steers_the_terminal() -> None:
    text = printed(hostile_run())
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "[bold]x[/bold]" in text


def test_progress_off_a_terminal_says_little_and_every_failure() -> None:
    console = Console(file=io.StringIO(), width=200)
    results: list[TrialResult] = [trial("move-explicit", passed=index % 2 == 0) for index in range(19)]
    results.append(trial("count-poems", passed=None, status="environment_error", stop="error", error={"message": "[red]\x1b"}))
    with RunProgress(20, console) as progress:
        for result in results:
            progress(result)
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert lines[0] == "2 of 20 trials, 1 passed"
    assert len(lines) == 10
    assert lines[-1] == "tester, count-poems: environment_error: [red]\N{REPLACEMENT CHARACTER}"


def test_elements_escape_and_join() -> None:
    assert element("td", "<", class_='a"b', hidden=True, x=1.5, y=None) == '<td class="a&quot;b" hidden x="1.5">&lt;</td>'
    assert join("<", element("br"), None) == "&lt;<br/>"
    assert printable("a\x07b\tc\n") == "a\N{REPLACEMENT CHARACTER}b\tc\n"
    assert shortened("abcdef", 4) == "abc…"
