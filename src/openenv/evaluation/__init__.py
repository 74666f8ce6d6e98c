"""Running agents on suites of scenarios, and saying with honest numbers how they did."""

from openenv.evaluation.agents import Agent, AgentFactory, Task, ToolAccess, ToolRefused, make_agent
from openenv.evaluation.rescore import Rescored, rescore
from openenv.evaluation.results import RunHeader, RunResults, TrialResult, read_results
from openenv.evaluation.runner import RunPlan, choose_scenarios, run_evaluation
from openenv.evaluation.suite import installed_suites, load_suite, suite_digest
from openenv.evaluation.summary import RunSummary, summarize

__all__ = [
    "Agent",
    "AgentFactory",
    "Rescored",
    "RunHeader",
    "RunPlan",
    "RunResults",
    "RunSummary",
    "Task",
    "ToolAccess",
    "ToolRefused",
    "TrialResult",
    "choose_scenarios",
    "installed_suites",
    "load_suite",
    "make_agent",
    "read_results",
    "rescore",
    "run_evaluation",
    "suite_digest",
    "summarize",
]
