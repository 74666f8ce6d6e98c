"""One trial: a session is made and loaded, the agent acts in it, the server grades it, its databases are kept."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import cast

import httpx

from openenv.client import HttpSession, ToolClient
from openenv.errors import OpenEnvError, ServerError
from openenv.evaluation.agents import AgentFactory, EndpointFailed, StepLimitReached, Task
from openenv.evaluation.results import Status, Stop, TrialResult, json_safe
from openenv.evaluation.scoring import INFRASTRUCTURE_CODES, apply_grade
from openenv.evaluation.states import StateStore
from openenv.evaluation.tools import SessionTools
from openenv.scenario import Scenario, Suite

__all__ = ["Attempt", "Site", "new_result", "run_trial"]

log = logging.getLogger("openenv.evaluation")

REQUEST_TIMEOUT_S = 60.0
CLOSE_TIMEOUT_S = 5.0
LONGEST_RESPONSE = 100_000
"""Characters of an agent's last words that are kept and graded."""
CAPACITY_PATIENCE_S = 120.0
"""How long a trial waits for a slot on a full server."""
TOKEN_SPARE_S = 60.0
"""How much longer an agent's token lives than the agent may take."""
LONGEST_TOKEN_S = 86_400.0
"""No server issues one for longer."""
_ISSUES_NO_TOKENS = frozenset({404, 405, 501})


@dataclass(frozen=True, slots=True)
class Site:
    """Where the trials of a run take place."""

    base_url: str
    http: httpx.AsyncClient
    states: StateStore
    timeout_s: float
    """How long an agent may take for one trial, in seconds."""
    headers: Mapping[str, str]
    """Sent with every request (such as a bearer token) and written nowhere."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """What is to be tried."""

    suite: Suite
    scenario: Scenario
    agent: AgentFactory
    trial: int
    run_seed: int

    @property
    def seed(self) -> int:
        """The agent's seed: the same for the same run seed, scenario and trial, whatever else is in the run."""
        text = f"{self.run_seed}/{self.scenario.id}/{self.trial}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


def new_result(attempt: Attempt, status: Status, stop: Stop) -> TrialResult:
    """A result that says only what was tried and how it ended."""
    scenario = attempt.scenario
    return TrialResult(
        agent=attempt.agent.name,
        scenario=scenario.id,
        difficulty=scenario.difficulty,
        pair=scenario.pair,
        phrasing=scenario.phrasing,
        trial=attempt.trial,
        seed=attempt.seed,
        status=status,
        stop=stop,
    )


async def run_trial(attempt: Attempt, site: Site) -> TrialResult:
    """Run one trial and say how it ended; what fails is in the result. The session is closed in any case.

    Only cancellation is raised.
    """
    result = new_result(attempt, "scored", "answered")
    started = perf_counter()
    session: HttpSession | None = None
    try:
        session = await _create(attempt.scenario, site)
        await session.load_scenario(attempt.scenario.for_server().model_dump(mode="json"))
        result.seconds["setup"] = perf_counter() - started
        await _act(attempt, site, session, result)
        if result.status in ("scored", "agent_error"):
            await _grade(session, site, result)
    except (OpenEnvError, httpx.HTTPError, OSError) as error:
        _fail(result, _status_of(error), error)
    finally:
        if session is not None:
            await _close(session)
    result.seconds["total"] = perf_counter() - started
    result.seconds = {name: round(value, 6) for name, value in result.seconds.items()}
    return result


async def _create(scenario: Scenario, site: Site) -> HttpSession:
    """A session of the trial's own. When cancelled on the way, the session that was under way is closed, not left behind."""
    creating = asyncio.create_task(
        HttpSession.create(
            site.base_url,
            headers={**scenario.context, **site.headers},
            timeout_s=REQUEST_TIMEOUT_S,
            http=site.http,
            capacity_wait_s=CAPACITY_PATIENCE_S,
        )
    )
    try:
        return await asyncio.shield(creating)
    except asyncio.CancelledError:
        await asyncio.wait([creating], timeout=CLOSE_TIMEOUT_S)
        if not creating.done():
            creating.cancel()
        elif not creating.cancelled() and creating.exception() is None:
            await _close(creating.result())
        raise


async def _act(attempt: Attempt, site: Site, session: HttpSession, result: TrialResult) -> None:
    """Let the agent act over a socket of its own, and note in the result how that ended."""
    scenario = attempt.scenario
    client = ToolClient(
        site.base_url,
        headers={**scenario.context, **await _agents_headers(session, site)},
        session_id=session.session_id,
        # A call that takes half of the trial's time is the environment's failure, not the agent's.
        message_timeout_s=min(REQUEST_TIMEOUT_S, site.timeout_s / 2),
    )
    tools = SessionTools(client, scenario.max_steps)
    try:
        async with client:
            listed = await client.list_tools()
            task = Task(scenario.task, listed, scenario.max_steps, attempt.seed)
            started = perf_counter()
            try:
                await _run_agent(attempt, task, tools, site.timeout_s, result)
            finally:
                result.seconds["agent"] = perf_counter() - started
    finally:
        result.steps, result.tokens, result.malformed = tools.steps, tools.tokens, json_safe(tools.malformed)
        result.seconds["environment"] = tools.seconds
    if tools.fault is not None:
        raise tools.fault
    if result.stop == "answered" and tools.exhausted:
        result.stop = "step_limit"


async def _agents_headers(session: HttpSession, site: Site) -> dict[str, str]:
    """What the agent's socket sends: where we come with a token, one that can act in this session and do nothing else."""
    headers = {name.lower(): value for name, value in site.headers.items()}
    if "authorization" not in headers:
        return headers
    try:
        token = await session.issue_token(ttl_s=min(site.timeout_s + TOKEN_SPARE_S, LONGEST_TOKEN_S))
    except ServerError as error:
        if error.details.get("status") not in _ISSUES_NO_TOKENS:
            raise
        log.warning("%s issues no tokens: agents act with the token of the evaluation", site.base_url)
        return headers
    return headers | {"authorization": f"Bearer {token}"}


async def _run_agent(attempt: Attempt, task: Task, tools: SessionTools, timeout_s: float, result: TrialResult) -> None:
    limit = asyncio.timeout(timeout_s)
    try:
        async with limit:
            agent = attempt.agent.for_scenario(attempt.scenario, attempt.suite)
            said = await agent.run(task, tools)
            result.response = None if said is None else cast("str", json_safe(str(said)[:LONGEST_RESPONSE]))
    except StepLimitReached:
        result.stop = "step_limit"
    except EndpointFailed as error:
        _fail(result, "infrastructure_error", error)
    except Exception as error:
        # An agent is anybody's code: whatever it raises is a result, and no other trial's business.
        if limit.expired():
            result.stop = "time_limit"
        elif tools.fault is None:
            log.warning("agent %s raised in scenario %s", attempt.agent.name, attempt.scenario.id, exc_info=True)
            _fail(result, "agent_error", error)


async def _grade(session: HttpSession, site: Site, result: TrialResult) -> None:
    started = perf_counter()
    graded = json_safe(await session.verify({"response": result.response}))
    result.events = graded["events"]
    result.episode = graded.get("episode") or {}
    result.initial, result.final = graded.get("initial"), graded.get("final")
    for at, digest in (("initial", result.initial), ("final", result.final)):
        if digest is not None and digest not in site.states:
            image = await session.database(at)
            await asyncio.to_thread(site.states.put, image, digest)
    result.seconds["grading"] = perf_counter() - started
    apply_grade(result, passed=bool(graded["passed"]), reward=float(graded["reward"]), verdicts=graded["verdicts"])


def _status_of(error: Exception) -> Status:
    """Whose failure it is: an OpenEnv error that is not about transport says that scenario and environment do not fit."""
    if isinstance(error, OpenEnvError) and error.code not in INFRASTRUCTURE_CODES:
        return "environment_error"
    return "infrastructure_error"


def _fail(result: TrialResult, status: Status, error: Exception) -> None:
    result.status, result.stop = status, "error"
    result.passed, result.reward = None, None
    body = error.body() if isinstance(error, OpenEnvError) else {"code": type(error).__name__, "message": str(error)}
    result.error = json_safe(body)


async def _close(session: HttpSession) -> None:
    try:
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            await session.close()
    except (OpenEnvError, httpx.HTTPError, OSError) as error:
        log.warning("session %s was not closed: %s", session.session_id, error)
