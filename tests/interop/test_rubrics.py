"""Rubrics, transforms and clients of language models: the same script under both frameworks, and every result compared."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.interop.compare import ABSENT, Accepted, differences, unexplained
from tests.interop.counts import record
from tests.support.processes import ROOT

pytestmark = pytest.mark.e2e

_AWAITABLE = "Within an event loop a Sequential's score may always be awaited; in 0.10 it may not when it is 0.0."
_HOOK_FIRST = "An asynchronous hook before a Sequential runs before its rubrics, and runs also when it stops."
_NAN = "Weights that are no numbers do not sum to 1."
_EARLY = "A rubric works without super().__init__(), and with children from before it."
_GONE = "What is no attribute of a rubric any more is no child of it any more."
_FORWARD = "A container's forward() can be awaited, as its call can."
_RESET = "Resetting a rubric resets those below it: an episode does not go on in the next one."
_EMPTY_GROUP = "An answer in which the score's group is empty has no score: the default."
_CHECKED = "A setting is checked where it is taken over, as it is in the constructor."
_TYPE = "The error says which argument has the wrong type."
_FAILED = "A service's failure is an EndpointFailed, without the key in it, whichever service it is."
_SCHEMA = "A tool keeps its whole schema, however its key is spelled and however it is put together."
_SYSTEM = "The system prompt heads every conversation that has none, with tools too."
_ARGUMENTS = "No arguments are none; what is no object is an error that names the tool."

ACCEPTED = (
    *(Accepted("scores", f"sequential stops{how}.loop", _AWAITABLE, theirs="float 0.0") for how in ("", " *")),
    Accepted("hooks", "sequential stops *.loop", _AWAITABLE, theirs="float 0.0"),
    Accepted("hooks", "sequential stops sync before async after.loop calls.4", _HOOK_FIRST, theirs=ABSENT),
    *(Accepted("hooks", f"sequential{how}async before*.loop calls.*", _HOOK_FIRST) for how in (" ", " stops ", " mixed ")),
    Accepted("scores", "sum of no number.*", _NAN),
    Accepted("early", "*super().__init__()", _EARLY, theirs="raises AttributeError"),
    Accepted("names", "set to None.1", _GONE),
    Accepted("members", "forward async.*", _FORWARD, theirs="raises TypeError"),
    Accepted("episodes", "reset below.*", _RESET),
    Accepted("judges", "pattern (x)[?](\\d).*", _EMPTY_GROUP),
    Accepted("settings", "discounted, a wrong one", _CHECKED),
    Accepted("addresses", "None None", _TYPE, theirs="raises AttributeError"),
    Accepted("providers", "openai m ", _FAILED, theirs="raises OpenAIError"),
    *(Accepted("openai", f"{case}.result", _FAILED) for case in ("an error", "no choices")),
    Accepted("openai", "tools.asked.0.body.tools.*.function.parameters.*", _SCHEMA, theirs=ABSENT),
    Accepted("openai", "system prompt.asked.0.body.messages.*", _SYSTEM),
    Accepted("openai", "arguments.*.result", _ARGUMENTS),
)


def transcript(python: Path | str) -> dict[str, Any]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH" and not name.startswith("OPENAI_")}
    command = [str(python), "-m", "tests.interop.scripts.rubrics_transcript"]
    done = subprocess.run(command, cwd=ROOT, env=environment, check=False, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_every_result_is_equal_or_accepted(reference_python: Path) -> None:
    theirs = transcript(reference_python)
    ours = transcript(sys.executable)
    assert theirs.keys() == ours.keys()
    wrong = {}
    used: set[Accepted] = set()
    results = equal = 0
    for case, their in theirs.items():
        assert their.keys() == ours[case].keys()
        for name in their:
            found = list(differences({name: their[name]}, {name: ours[case][name]}))
            left, reasons = unexplained(case, found, ACCEPTED)
            used |= reasons
            results += 1
            equal += not found
            if left:
                wrong[f"{case}: {name}"] = left
    assert wrong == {}
    assert used == set(ACCEPTED), "what is accepted and does not differ is out of date"
    assert results > 200
    record("rubrics", {"results compared": results, "equal": equal, "accepted differences": len(used)})
