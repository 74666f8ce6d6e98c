"""Many trials at once: every chosen scenario, for every agent, as often as asked."""

from __future__ import annotations

import asyncio
import fnmatch
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from openenv.client.address import Address
from openenv.errors import ConfigurationError, ConnectionFailed
from openenv.evaluation.agents import AgentFactory
from openenv.evaluation.results import ResultsWriter, RunHeader, RunResults, TrialResult, json_safe
from openenv.evaluation.states import StateStore
from openenv.evaluation.suite import settled, suite_digest
from openenv.evaluation.trial import REQUEST_TIMEOUT_S, Attempt, Site, new_result, run_trial
from openenv.scenario import Scenario, Suite
from openenv.version import __version__

__all__ = ["RESULTS_FILE", "STATES_FOLDER", "Listener", "RunPlan", "choose_scenarios", "run_evaluation"]

RESULTS_FILE = "results.jsonl"
STATES_FOLDER = "states"


@dataclass(frozen=True, slots=True)
class RunPlan:
    """What to run."""

    suite: Suite
    agents: Sequence[AgentFactory]
    scenarios: Sequence[Scenario]
    trials: int = 1
    seed: int = 0
    parallel: int = 8
    timeout_s: float = 300.0
    """How long an agent may take for one trial, in seconds."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Sent with every request to the server; never written."""

    @property
    def size(self) -> int:
        """How many trials there are."""
        return len(self.agents) * len(self.scenarios) * self.trials


Listener = Callable[[TrialResult], None]


def choose_scenarios(suite: Suite, patterns: Iterable[str]) -> list[Scenario]:
    """The suite's scenarios whose id matches one of the patterns (``*`` and ``?`` as in a shell); all without patterns.

    Raises `ConfigurationError` for a pattern that matches nothing.
    """
    wanted = list(patterns)
    for pattern in wanted:
        if not any(fnmatch.fnmatchcase(scenario.id, pattern) for scenario in suite.scenarios):
            raise ConfigurationError(
                f"No scenario of {suite.name} matches {pattern!r}",
                field="scenario",
                hint=f"Its scenarios are called like {', '.join(scenario.id for scenario in suite.scenarios[:4])}.",
            )
    return [
        scenario
        for scenario in suite.scenarios
        if not wanted or any(fnmatch.fnmatchcase(scenario.id, pattern) for pattern in wanted)
    ]


async def run_evaluation(plan: RunPlan, base_url: str, folder: Path, listen: Listener | None = None) -> RunResults:
    """Run the plan on the server at ``base_url`` and write ``results.jsonl`` and ``states/`` into ``folder``.

    ``listen`` hears of every trial as it ends. When the calling task is cancelled, the running trials are given up and
    recorded as ``cancelled``, their sessions are closed, and the cancellation is raised again: the file is complete as
    far as the run came. Raises `ConnectionFailed` when no server answers.
    """
    local = Address.parse(base_url).is_loopback
    limits = httpx.Limits(max_connections=plan.parallel + 2, max_keepalive_connections=plan.parallel + 2)
    async with httpx.AsyncClient(limits=limits, timeout=REQUEST_TIMEOUT_S, trust_env=not local) as http:
        try:
            header = _header(plan, await describe_server(http, base_url, plan.headers))
            site = Site(base_url, http, StateStore(folder / STATES_FOLDER), plan.timeout_s, plan.headers)
            with ResultsWriter(folder / RESULTS_FILE, header) as writer:
                return await _run_all(plan, site, writer, listen, header)
        finally:
            for agent in plan.agents:
                await agent.aclose()


async def describe_server(http: httpx.AsyncClient, base_url: str, headers: Mapping[str, str]) -> dict[str, Any]:
    """The server's address and what it says of itself: ``metadata``, and which tools are read-only.

    Raises `ConnectionFailed` when it does not answer.
    """
    address = Address.parse(base_url)
    listing = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
    try:
        metadata = (await http.get(f"{address.http_url}/metadata", headers=dict(headers))).json()
        listed = (await http.post(f"{address.http_url}/mcp", json=listing, headers=dict(headers))).json()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ConnectionFailed(
            f"No server answers at {address}: {error or type(error).__name__}",
            hint="Start one with `openenv serve NAME`, or leave --url away.",
        ) from error
    except ValueError as error:
        raise ConnectionFailed(f"What answers at {address} is no OpenEnv server: {error}") from error
    read_only = sorted(name for name, hints in _annotations(listed) if hints.get("readOnlyHint") is True)
    return {"url": str(address), "metadata": json_safe(metadata), "read_only_tools": json_safe(read_only)}


def _annotations(listed: Any) -> Iterable[tuple[str, Mapping[str, Any]]]:
    result = listed.get("result") if isinstance(listed, dict) else None
    tools = result.get("tools") if isinstance(result, dict) else None
    for tool in tools if isinstance(tools, list) else ():
        if isinstance(tool, dict) and isinstance(tool.get("annotations"), dict):
            yield str(tool.get("name")), tool["annotations"]


async def _run_all(plan: RunPlan, site: Site, writer: ResultsWriter, listen: Listener | None, header: RunHeader) -> RunResults:
    waiting = deque(_attempts(plan))
    ended: list[TrialResult] = []

    def record(result: TrialResult) -> None:
        writer.add(result)
        ended.append(result)
        if listen is not None:
            listen(result)

    async def work() -> None:
        while waiting:
            attempt = waiting.popleft()
            try:
                result = await run_trial(attempt, site)
            except asyncio.CancelledError:
                record(new_result(attempt, "cancelled", "cancelled"))
                raise
            record(result)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(plan.parallel, plan.size)):
                group.create_task(work())
    except BaseExceptionGroup as errors:
        # A trial raises nothing: what gets here is the run's own failure, such as a full disk.
        raise errors.exceptions[0] from None
    return RunResults(header, ended)


def _attempts(plan: RunPlan) -> Iterable[Attempt]:
    for agent in plan.agents:
        for trial in range(plan.trials):
            for scenario in plan.scenarios:
                yield Attempt(plan.suite, scenario, agent, trial, plan.seed)


def _header(plan: RunPlan, server: dict[str, Any]) -> RunHeader:
    names = [agent.name for agent in plan.agents]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigurationError(f"Two agents are called {twice[0]!r}", field="agent", hint="Name each agent once.")
    return RunHeader(
        openenv=__version__,
        started_at=datetime.now(UTC).isoformat(timespec="seconds"),
        suite=settled(plan.suite),
        suite_digest=suite_digest(plan.suite),
        agents=names,
        server=server,
        trials=plan.trials,
        seed=plan.seed,
        parallel=plan.parallel,
        timeout_s=plan.timeout_s,
        scenarios=[scenario.id for scenario in plan.scenarios],
    )
