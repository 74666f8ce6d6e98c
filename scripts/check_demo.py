"""Checks the summary of a demo run: oracle 100 %, no-op 0 %, first-match failing what it would have to look up."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

MIN_SCENARIOS = 24
MIN_PAIRS = 6


def problems(summary: dict[str, Any]) -> list[str]:
    """What is not as it should be, one sentence each."""
    agents = {agent["agent"]: agent for agent in summary["agents"]}
    found = [f"there is no agent {name}" for name in ("oracle", "noop", "first-match") if name not in agents]
    if found:
        return found
    for name, agent in agents.items():
        if set(agent["statuses"]) - {"scored"}:
            found.append(f"not every trial of {name} was scored: {agent['statuses']}")
    oracle, noop = agents["oracle"]["success"], agents["noop"]["success"]
    if oracle["total"] < MIN_SCENARIOS:
        found.append(f"the oracle met {oracle['total']} scenarios; there should be {MIN_SCENARIOS} or more")
    if oracle["passed"] != oracle["total"]:
        found.append(f"the oracle solved {oracle['passed']} of {oracle['total']} scenarios; it should solve all")
    if noop["passed"] != 0:
        found.append(f"the no-op solved {noop['passed']} scenarios; it should solve none")
    pairs = agents["first-match"]["pairs"]
    if len(pairs) < MIN_PAIRS:
        found.append(f"there are {len(pairs)} pairs; there should be {MIN_PAIRS} or more")
    for pair in pairs:
        explicit, natural = pair["explicit"], pair["natural"]
        if explicit["passed"] != explicit["total"] or natural["passed"] != 0:
            found.append(f"first-match should solve pair {pair['pair']} only where the id is given: {explicit}, {natural}")
    return found


def main() -> int:
    """Exit code 1 and the reasons on stderr when something is wrong."""
    found = problems(json.loads(Path(sys.argv[1]).read_text()))
    for problem in found:
        print(f"unexpected result: {problem}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
