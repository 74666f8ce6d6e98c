"""``openenv eval``: agents on a suite, scored."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from openenv.cli.headers import parse_headers
from openenv.errors import ConfigurationError

if TYPE_CHECKING:
    from rich.console import Console

    from openenv.evaluation import RunPlan, RunResults, RunSummary
    from openenv.evaluation.runner import Listener

__all__ = ["evaluate"]

EXIT_BELOW = 1
EXIT_MACHINERY = 3
EXIT_INTERRUPTED = 130

_NOT_FOR_FILES = re.compile(r"[^A-Za-z0-9._-]+")


Agents = Annotated[
    list[str] | None,
    typer.Option("--agent", "-a", help="oracle, noop, random, first-match, openai or module:attribute. Repeatable."),
]
Headers = Annotated[
    list[str] | None, typer.Option("--header", "-H", help="'name: value', sent to the server, written nowhere. Repeatable.")
]
ChangedSuite = Annotated[
    str | None, typer.Option("--suite", help="With --rescore: the suite whose verifiers decide; the run's own unless given.")
]
Bars = Annotated[
    list[str] | None,
    typer.Option(help="Exit 1 below this success rate: 0.9 for every agent, oracle=1 for one. Repeatable."),
]


def evaluate(
    suite: Annotated[str | None, typer.Argument(help="An installed suite's name, or a suite's file or folder.")] = None,
    agent: Agents = None,
    url: Annotated[str | None, typer.Option(help="A running server; without one the suite's environment is served here.")] = None,
    scenario: Annotated[list[str] | None, typer.Option(help="Only scenarios like this, as in 'share-*'. Repeatable.")] = None,
    trials: Annotated[int, typer.Option(min=1, max=1000, help="How often each agent tries each scenario.")] = 1,
    parallel: Annotated[int, typer.Option(min=1, max=512, help="How many trials run at once.")] = 8,
    seed: Annotated[int, typer.Option(min=0, help="Decides the dice of agents that roll them.")] = 0,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds that an agent may take for one trial.")] = 300.0,
    out: Annotated[Path | None, typer.Option(help="The run's folder; runs/SUITE-AGENT-TIME unless given.")] = None,
    model: Annotated[str | None, typer.Option(help="The model of the agent openai.")] = None,
    base_url: Annotated[str | None, typer.Option(help="Its endpoint: the part before /chat/completions.")] = None,
    api_key_env: Annotated[str | None, typer.Option(help="The variable with its key; OPENAI_API_KEY unless given.")] = None,
    header: Headers = None,
    rescore: Annotated[Path | None, typer.Option(help="Score this results.jsonl again, without a server.")] = None,
    changed_suite: ChangedSuite = None,
    reward: Annotated[str | None, typer.Option(help="With --rescore: another reward, as module:function.")] = None,
    fail_under: Bars = None,
) -> None:
    """Run agents on a suite, score them, and write results.jsonl, summary.json and report.html.

    Failures of the server or the environment are reported apart and never count against an agent.

    Exit codes: 0 well; 1 below --fail-under, or --rescore found other scores with the same verifiers; 2 wrong use;
    3 the server or the environment failed in some trials; 130 interrupted.

    Examples:

        openenv eval calendar --agent oracle --agent noop --agent first-match

        openenv eval calendar --agent openai --model MODEL --base-url http://localhost:11434/v1 --trials 4

        openenv eval ./suite.json --agent my_agents:Planner --url http://localhost:8004 --scenario 'share-*'

        openenv eval --rescore runs/demo/results.jsonl --suite ./stricter.json
    """
    _make_local_modules_importable()
    bars = _bars(fail_under or [])
    if rescore is not None:
        with _typed_file_errors():
            raise typer.Exit(_rescore(rescore, changed_suite or suite, reward, bars))
    if suite is None or changed_suite is not None or reward is not None:
        raise _misused(suite)
    from openenv.evaluation import RunPlan, choose_scenarios, load_suite, make_agent

    loaded = load_suite(suite)
    names = agent or []
    if not names:
        raise ConfigurationError("No agent is named", field="agent", hint="Say who is to act: --agent oracle.")
    plan = RunPlan(
        suite=loaded,
        agents=[make_agent(name, model=model, base_url=base_url, api_key_env=api_key_env) for name in names],
        scenarios=choose_scenarios(loaded, scenario or []),
        trials=trials,
        seed=seed,
        parallel=parallel,
        timeout_s=timeout,
        headers=parse_headers(header or []),
    )
    with _typed_file_errors():
        raise typer.Exit(_run(plan, url, _new_folder(out, plan), bars))


def _run(plan: RunPlan, url: str | None, folder: Path, bars: dict[str | None, float]) -> int:
    from openenv.evaluation.files import write_reports
    from openenv.evaluation.progress import RunProgress
    from openenv.evaluation.results import read_results
    from openenv.evaluation.runner import RESULTS_FILE

    with RunProgress(plan.size, _console(stderr=True)) as progress:
        run = asyncio.run(_evaluated(plan, url, folder, progress))
    interrupted = run is None
    if run is None:
        results = folder / RESULTS_FILE
        if not results.exists():
            typer.echo("interrupted before the first trial", err=True)
            return EXIT_INTERRUPTED
        run = read_results(results)
    summary, report = write_reports(run, folder)
    _show(run, summary)
    typer.echo(f"results: {folder / RESULTS_FILE}\nreport:  {report}")
    if interrupted:
        return EXIT_INTERRUPTED
    return _exit_code(summary, bars)


async def _evaluated(plan: RunPlan, url: str | None, folder: Path, listen: Listener) -> RunResults | None:
    """The finished run; ``None`` when a signal stopped it."""
    from openenv.evaluation.runner import run_evaluation
    from openenv.evaluation.server_process import own_server

    task = asyncio.current_task()
    assert task is not None
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    try:
        async with AsyncExitStack() as stack:
            if url is None:
                url = await stack.enter_async_context(own_server(plan.suite.environment, folder / "server.log"))
            return await run_evaluation(plan, url, folder, listen)
    except asyncio.CancelledError:
        # The one who cancelled is the signal handler, and stopping is what was asked for.
        return None
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


def _rescore(path: Path, suite: str | None, reward: str | None, bars: dict[str | None, float]) -> int:
    from openenv.evaluation import load_suite, rescore
    from openenv.evaluation.files import write_reports

    if path.is_dir():
        path = path / "results.jsonl"
    done = rescore(path, suite=load_suite(suite) if suite else None, reward=reward)
    summary, report = write_reports(done.run, path.parent, rescored=True)
    _show(done.run, summary)
    typer.echo(f"{len(done.changed)} of {len(done.run.trials)} trials have another score than in {path}")
    typer.echo(f"results: {done.path}\nreport:  {report}")
    if done.changed and suite is None and reward is None:
        typer.echo("The verifiers are the same, so the scores should be too: has openenv or the file changed?", err=True)
        return EXIT_BELOW
    return _exit_code(summary, bars)


def _show(run: RunResults, summary: RunSummary) -> None:
    from openenv.evaluation.report import print_summary

    print_summary(run, summary, _console())


def _exit_code(summary: RunSummary, bars: dict[str | None, float]) -> int:
    known = {agent.agent for agent in summary.agents}
    below = []
    for name, bar in bars.items():
        if name is not None and name not in known:
            raise ConfigurationError(
                f"--fail-under names the agent {name!r}, which did not run", hint=f"There were {', '.join(sorted(known))}."
            )
        for agent in summary.agents:
            value = agent.success.value
            if name in (None, agent.agent) and (value is None or value < bar):
                below.append(f"{agent.agent} is below {bar:g}: {'nothing was scored' if value is None else f'{value:.3f}'}")
    for line in below:
        typer.echo(line, err=True)
    if summary.not_scored:
        return EXIT_MACHINERY
    return EXIT_BELOW if below else 0


def _console(*, stderr: bool = False) -> Console:
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    # Off a terminal nothing is folded to a width that nobody has.
    return Console(stderr=stderr, width=None if stream.isatty() else 160, highlight=False)


def _new_folder(out: Path | None, plan: RunPlan) -> Path:
    if out is not None:
        if (out / "results.jsonl").exists():
            raise ConfigurationError(
                f"{out} already holds the results of a run", field="out", hint="Choose another folder, or remove this one."
            )
        out.mkdir(parents=True, exist_ok=True)
        return out
    agents = _NOT_FOR_FILES.sub("-", "+".join(agent.name for agent in plan.agents))[:60]
    started = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    base = Path("runs") / f"{plan.suite.name}-{agents}-{started}"
    folder, number = base, 1
    while folder.exists():
        number += 1
        folder = base.with_name(f"{base.name}-{number}")
    folder.mkdir(parents=True)
    return folder


def _bars(texts: Sequence[str]) -> dict[str | None, float]:
    """Success rates to reach, by agent; under ``None`` the one for every agent."""
    bars: dict[str | None, float] = {}
    for text in texts:
        name, _, number = text.rpartition("=")
        try:
            bar = float(number)
        except ValueError:
            bar = -1.0
        if not 0.0 <= bar <= 1.0:
            raise ConfigurationError(
                f"--fail-under {text!r} is no success rate", field="fail_under", hint="Write 0.9, or for one agent oracle=1."
            )
        bars[name or None] = bar
    return bars


def _misused(suite: str | None) -> ConfigurationError:
    if suite is None:
        hint = "Name one, as in `openenv eval calendar --agent oracle`, or use --rescore FILE."
        return ConfigurationError("No suite is named", field="suite", hint=hint)
    return ConfigurationError("--suite and --reward only go with --rescore", hint="A run names its suite first: eval SUITE.")


@contextmanager
def _typed_file_errors() -> Iterator[None]:
    """A full disk or a folder that may not be written is told, not traced."""
    try:
        yield
    except OSError as error:
        told = f"The run's files cannot be written: {error}"
        raise ConfigurationError(told, field="out", hint="Choose another --out.") from error


def _make_local_modules_importable() -> None:
    """Agents and rewards by ``module:attribute`` may lie in the folder that the command is called in."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
