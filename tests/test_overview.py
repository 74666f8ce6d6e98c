"""OpenEnv's overview, block by block: which test makes a block's calls, and why the others are left out.

The overview is the text "What is OpenEnv - A Comprehensive Overview". The tests are in ``tests/overview``, with the code that a
reader of it would write in ``tests/overview/snippets``: the same imports, names, arguments and JSON, against real servers,
with the framework's names from ``openenv`` and once more from ``openenv.core``.
"""

from __future__ import annotations

import ast

from openenv.cli import app as command_line
from tests.support.processes import ROOT

BLOCKS = (
    "WebSocket-Based Persistent Sessions",
    "Pydantic-Based Type Safety",
    "Factory Pattern for Concurrency",
    "Browser Automation (BrowserGym)",
    "Calendar Management",
    "Code Development (Coding Env)",
    "Gaming Environments (OpenSpiel, Atari, Snake)",
    "Financial Trading (FinRL)",
    "Text-Based Games (TextArena)",
    "Step-State-Reset Paradigm",
    "Model Context Protocol (MCP) Integration: the tools",
    "Model Context Protocol (MCP) Integration: Example Tool Call",
    "WebSocket Communication Protocol: Connection Flow",
    "WebSocket Communication Protocol: Message Format",
    "Containerized Environments",
    "CLI Tooling",
    "Example Metrics",
    "Measurable Outcomes",
    "Multi-Tenancy with Database Isolation",
    "Dual Protocol Support: OpenEnv + MCP",
    "Header-Based Authentication and Context",
    "Installation",
    "Running Locally",
    "Running with Docker",
    "Basic Agent Interaction",
    "Built-in Reward Components",
    "Custom Reward Functions",
    "Verifier Structure",
    "Ambiguity Resolution is Underrated: Benchmark Result",
)
"""The overview's code, JSON and command blocks by their headings, in its order, with the domains that it shows no code for."""

SHOWN: dict[str, tuple[str, ...]] = {
    "WebSocket-Based Persistent Sessions": ("test_framework::test_a_step_over_http_and_a_loop_over_a_socket",),
    "Pydantic-Based Type Safety": (
        "test_framework::test_a_dataclass_checks_nothing",
        "test_framework::test_an_action_with_a_validator_of_the_old_style",
    ),
    "Factory Pattern for Concurrency": (
        "test_framework::test_an_instance_in_place_of_a_factory_is_a_type_error",
        "test_framework::test_each_socket_has_an_environment_of_its_own",
        "test_framework::test_each_socket_has_an_environment_of_its_own_one_at_a_time",
    ),
    "Browser Automation (BrowserGym)": ("test_domains::test_browser_automation",),
    "Calendar Management": ("test_domains::test_calendar_management",),
    "Code Development (Coding Env)": ("test_domains::test_code_development",),
    "Step-State-Reset Paradigm": (
        "test_framework::test_the_abstract_environment_asks_for_what_the_paradigm_names",
        "test_framework::test_reset_step_and_state_as_the_paradigm_writes_them",
    ),
    "Model Context Protocol (MCP) Integration: the tools": ("test_calendar::test_the_tools_that_are_named",),
    "Model Context Protocol (MCP) Integration: Example Tool Call": ("test_calendar::test_the_tools_that_are_named",),
    "WebSocket Communication Protocol: Connection Flow": ("test_calendar::test_the_connection_flow",),
    "WebSocket Communication Protocol: Message Format": ("test_calendar::test_the_message_format",),
    "Example Metrics": ("test_calendar::test_example_metrics",),
    "Measurable Outcomes": ("test_grading::test_a_verifier",),
    "Multi-Tenancy with Database Isolation": (
        "test_framework::test_a_database_of_its_own_for_each_database_id",
        "test_calendar::test_the_headers_say_who_acts_and_on_which_database",
    ),
    "Dual Protocol Support: OpenEnv + MCP": ("test_calendar::test_both_protocols",),
    "Header-Based Authentication and Context": ("test_calendar::test_the_headers_say_who_acts_and_on_which_database",),
    "Running Locally": ("test_calendar::test_running_locally",),
    "Basic Agent Interaction": ("test_calendar::test_basic_agent_interaction",),
    "Built-in Reward Components": ("test_grading::test_the_built_in_reward_components",),
    "Custom Reward Functions": ("test_grading::test_a_custom_reward_function",),
    "Verifier Structure": ("test_grading::test_a_verifier",),
}
"""Block → the tests that make its calls, as ``module::test`` in ``tests/overview``."""

DIFFERENT: dict[str, str] = {
    "WebSocket-Based Persistent Sessions": "a free port; httpx's post; in openenv.core it is GenericEnvClient that loops",
    "Factory Pattern for Concurrency": "the old way is a TypeError that shows the new one; openenv.core has one session at once",
    "Step-State-Reset Paradigm": "`state` has a default, where the overview and openenv.core make it abstract",
    "WebSocket Communication Protocol: Connection Flow": "the handshake carries Alice's token: the server has no default user",
    "WebSocket Communication Protocol: Message Format": "`tool_result` is Google's object; the overview abbreviates it to a list",
    "Multi-Tenancy with Database Isolation": "the session manager is a user's own; the factory takes the names from the request",
    "Dual Protocol Support: OpenEnv + MCP": "the handlers are the server's own: their requests are sent, as JSON-RPC 2.0 asks",
    "Header-Based Authentication and Context": "the handler is the server's own: its requests are sent, with the same headers",
    "Running Locally": "the port is a free one",
}
"""Where a block is shown with something changed: what, and why."""

LEFT_OUT: dict[str, str] = {
    "Gaming Environments (OpenSpiel, Atari, Snake)": "no code in the overview; the snake is there, the others are not yet",
    "Financial Trading (FinRL)": "no code in the overview, and no such environment yet",
    "Text-Based Games (TextArena)": "no code in the overview, and no such environment yet",
    "Containerized Environments": "a Dockerfile, which a test without a container engine cannot build",
    "CLI Tooling": "`openenv` has no init, build, validate, push or deploy yet",
    "Installation": "clones another repository; both ways to install are run by envs/calendar_env/tests/test_install.py",
    "Running with Docker": "needs a container engine",
    "Ambiguity Resolution is Underrated: Benchmark Result": "figures of a study, nothing to call",
}
"""Block → why no test makes its calls."""

MISSING_COMMANDS = {"init", "build", "validate", "push", "deploy"}
MISSING_DOMAINS = {"openspiel", "atari", "finrl", "textarena"}
"""The commands and environments for want of which blocks are left out."""


def test_every_block_is_shown_or_left_out_for_a_reason() -> None:
    assert len(set(BLOCKS)) == len(BLOCKS)
    assert sorted([*SHOWN, *LEFT_OUT]) == sorted(BLOCKS)
    assert set(DIFFERENT) <= set(SHOWN)
    assert all([*SHOWN.values(), *LEFT_OUT.values(), *DIFFERENT.values()])


def test_the_tests_that_are_named_are_there_and_all_are_named() -> None:
    there = set()
    for path in (ROOT / "tests" / "overview").glob("test_*.py"):
        functions = [node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)]
        there |= {f"{path.stem}::{name}" for name in functions if name.startswith("test_")}
    assert {name for names in SHOWN.values() for name in names} == there


def test_what_is_left_out_because_it_is_not_there_is_not_there() -> None:
    commands = {command.name or getattr(command.callback, "__name__", "") for command in command_line.registered_commands}
    assert commands & MISSING_COMMANDS == set(), "show the command in tests/overview, and take it out of MISSING_COMMANDS"
    environments = [path.parent.name for path in (ROOT / "envs").glob("*/pyproject.toml")]
    built = [name for name in environments if any(domain in name for domain in MISSING_DOMAINS)]
    assert built == [], "play the environment in tests/overview, and take its domain out of LEFT_OUT"
