"""The HTML report: one file, nothing loaded from anywhere, nothing in it able to run."""

from __future__ import annotations

from collections.abc import Sequence

from openenv.evaluation.failures import CATEGORIES
from openenv.evaluation.report.charts import Row, legend, rate_chart, stacked_chart
from openenv.evaluation.report.markup import Markup, element, join, percent
from openenv.evaluation.report.style import STYLE
from openenv.evaluation.report.trials import trial_section
from openenv.evaluation.results import RunResults
from openenv.evaluation.statistics import Rate
from openenv.evaluation.summary import AgentSummary, RunSummary

__all__ = ["CATEGORY_WORDS", "render_page"]

CATEGORY_WORDS = {
    "wrong_tool": "wrong tool",
    "wrong_arguments": "right tool, wrong arguments",
    "wrong_order": "right calls, wrong order",
    "other": "other",
}
assert tuple(CATEGORY_WORDS) == CATEGORIES

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def render_page(run: RunResults, summary: RunSummary) -> str:
    """The report as an HTML document. Every text in it that came from a suite, a server or an agent is escaped."""
    title = f"Evaluation of {summary.suite}"
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("title", title),
        element("style", Markup(STYLE)),
    )
    names = [agent.agent for agent in summary.agents]
    body = element(
        "body",
        element("h1", title),
        _facts(run, summary),
        _notice(summary),
        _overview(summary.agents),
        _chart("Success by difficulty", names, _difficulty_rows(summary.agents)),
        _chart("The same task, named by id or described in words", names, _phrasing_rows(summary.agents)),
        _pairs(summary.agents),
        _chart("Success by scenario", names, _scenario_rows(summary.agents)),
        _chart("Tool calls that succeeded", names, _tool_rows(summary.agents, calls=True)),
        _chart("Success of the scenarios that need a tool", names, _tool_rows(summary.agents, calls=False)),
        _errors(summary.agents),
        _at_k(summary.agents),
        trial_section(run),
    )
    return f"<!doctype html>\n{element('html', head, body, lang='en')}\n"


def _facts(run: RunResults, summary: RunSummary) -> Markup:
    metadata = summary.server.get("metadata")
    version = metadata.get("version") if isinstance(metadata, dict) else None
    facts = {
        "Suite": f"{summary.suite} ({len(run.header.scenarios)} scenarios, digest {summary.suite_digest[:16]}…)",
        "Environment": summary.environment + (f" {version}" if version else ""),
        "Server": str(summary.server.get("url", "")),
        "Run": f"{summary.started_at}, openenv {summary.openenv}, seed {summary.seed}, {summary.trials} trial(s) per scenario",
        "Trials": f"{summary.finished} of {summary.planned} finished",
        "Scored again from": str(summary.rescored.get("file")) if summary.rescored else "",
    }
    shown = [(key, value) for key, value in facts.items() if value]
    return element("dl", *(part for key, value in shown for part in (element("dt", key), element("dd", value))))


def _notice(summary: RunSummary) -> Markup | None:
    lost, missing = summary.not_scored, summary.planned - summary.finished
    if not lost and missing <= 0:
        return None
    told = []
    if lost:
        told.append(f"In {lost} trial(s) the environment or the infrastructure failed: they count for no agent and against none.")
    if missing > 0:
        told.append(f"The run was stopped early: {missing} trial(s) are missing.")
    return element("p", " ".join(told), class_="notice")


def _overview(agents: Sequence[AgentSummary]) -> Markup:
    head = ("Agent", "Success", "95 % interval", "Mean reward", "Steps", "Seconds", "Tokens", "Not scored")
    rows = [
        element(
            "tr",
            element("td", agent.agent),
            _number(f"{percent(agent.success.value)} ({agent.success.passed}/{agent.success.total})"),
            _number(interval(agent.success)),
            _number(_mean(agent.mean_reward, 2)),
            _number(_mean(agent.mean_steps, 1)),
            _number(_mean(agent.mean_seconds, 2)),
            _number(f"{sum(agent.tokens.values()):,}" if agent.tokens else "–"),
            _number(str(agent.not_scored)),
        )
        for agent in agents
    ]
    chart = rate_chart([Row(agent.agent, [agent.success]) for agent in agents], title="Success by agent")
    return join(element("h2", "Overview"), _table(head, rows, numbers=len(head) - 1), chart)


def _difficulty_rows(agents: Sequence[AgentSummary]) -> list[Row]:
    levels = list(dict.fromkeys(level for agent in agents for level in agent.difficulties))
    return [Row(level, [agent.difficulties.get(level) for agent in agents]) for level in levels]


def _phrasing_rows(agents: Sequence[AgentSummary]) -> list[Row]:
    words = {"explicit": "explicit identifiers", "natural": "natural language"}
    there = [key for key in words if any(key in agent.phrasings for agent in agents)]
    return [Row(words[key], [agent.phrasings.get(key) for agent in agents]) for key in there]


def _scenario_rows(agents: Sequence[AgentSummary]) -> list[Row]:
    by_name = [{one.scenario: one for one in agent.scenarios} for agent in agents]
    first = agents[0].scenarios if agents else []
    return [
        Row(one.scenario, [found[one.scenario].success for found in by_name], f"{one.scenario} ({one.difficulty})")
        for one in first
    ]


def _tool_rows(agents: Sequence[AgentSummary], *, calls: bool) -> list[Row]:
    by_name = [{one.tool: one.succeeded if calls else one.needed_by for one in agent.tools} for agent in agents]
    names = sorted({name for found in by_name for name in found})
    rows = [Row(name, [found[name] if name in found and found[name].total else None for found in by_name]) for name in names]
    return [row for row in rows if any(row.rates)]


def _chart(title: str, names: Sequence[str], rows: Sequence[Row]) -> Markup | None:
    return join(element("h2", title), legend(names), rate_chart(rows, title=title)) if rows else None


def _pairs(agents: Sequence[AgentSummary]) -> Markup | None:
    names = list(dict.fromkeys(pair.pair for agent in agents for pair in agent.pairs))
    if not names:
        return None
    head = ("Pair", *(f"{agent.agent}: {kind}" for agent in agents for kind in ("explicit", "natural")))
    rows = []
    for name in names:
        cells = [element("td", name)]
        for agent in agents:
            found = next((pair for pair in agent.pairs if pair.pair == name), None)
            cells += [_passed(found.explicit), _passed(found.natural)] if found else [_number("–"), _number("–")]
        rows.append(element("tr", *cells))
    return _table(head, rows, numbers=len(head) - 1)


def _errors(agents: Sequence[AgentSummary]) -> Markup:
    trials = {agent.agent: agent.errors.trials for agent in agents}
    calls = {agent.agent: agent.errors.calls for agent in agents}
    return join(
        element("h2", "Why trials failed"),
        legend(list(CATEGORY_WORDS.values())),
        stacked_chart(trials, CATEGORY_WORDS, title="Failed trials by category"),
        element("h2", "Why tool calls failed"),
        legend(list(CATEGORY_WORDS.values())),
        stacked_chart(calls, CATEGORY_WORDS, title="Failed tool calls by category"),
        _codes(agents),
    )


def _codes(agents: Sequence[AgentSummary]) -> Markup | None:
    rows = [
        element("tr", element("td", agent.agent), element("td", tool.tool), element("td", code), _number(str(count)))
        for agent in agents
        for tool in agent.tools
        for code, count in tool.errors.items()
    ]
    return _table(("Agent", "Tool", "Error", "Calls"), rows, numbers=1) if rows else None


def _at_k(agents: Sequence[AgentSummary]) -> Markup | None:
    rows = [
        element(
            "tr",
            element("td", agent.agent),
            _number(str(k)),
            _number(percent(found["pass@k"])),
            _number(percent(found["pass^k"])),
        )
        for agent in agents
        for k, found in agent.at_k.items()
    ]
    if not rows:
        return None
    head = ("Agent", "k", "At least one of k passes", "All k pass")
    return join(element("h2", "Over several trials"), _table(head, rows, numbers=3))


def interval(found: Rate) -> str:
    """The interval in words; a dash for none."""
    return "–" if found.low is None or found.high is None else f"{100 * found.low:.0f}–{100 * found.high:.0f} %"


def _table(head: Sequence[str], rows: Sequence[Markup], *, numbers: int) -> Markup:
    """A table whose last columns, as many as ``numbers`` says, hold numbers."""
    words = len(head) - numbers
    top = element("tr", *(element("th", name, class_=None if at < words else "number") for at, name in enumerate(head)))
    return element("div", element("table", element("thead", top), element("tbody", *rows)), class_="scroll")


def _passed(found: Rate) -> Markup:
    if not found.total:
        return _number("–")
    look = "good" if found.passed == found.total else "bad" if not found.passed else "odd"
    return element("td", f"{found.passed}/{found.total}", class_=f"number {look}")


def _number(text: str) -> Markup:
    return element("td", text, class_="number")


def _mean(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"
