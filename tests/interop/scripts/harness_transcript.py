"""What the harnesses of OpenEnv 0.10 do with toy sessions, toy models and toy agents: one JSON document.

It runs unchanged under OpenEnv 0.10 and under this project: ``python -m tests.interop.scripts.harness_transcript``. An
exception is told by its type, a JSON-RPC error by its number.
"""

from __future__ import annotations

import json
import logging
import sys

from tests.interop.scripts import harness_agents, harness_collecting, harness_names, harness_processes, harness_rollouts


def main() -> None:
    """Print the document."""
    logging.disable(logging.CRITICAL)
    rooms = (harness_names, harness_rollouts, harness_collecting, harness_processes, harness_agents)
    document = {name: function() for room in rooms for name, function in room.CASES.items()}
    json.dump(document, sys.stdout, indent=1, default=repr)


if __name__ == "__main__":
    main()
