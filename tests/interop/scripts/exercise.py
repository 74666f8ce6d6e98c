"""Drives every package's own client through a fixed script: ``python exercise.py PACKAGE=BASE_URL…``.

Prints ``{package: {what was asked: what came of it}}`` as JSON. It runs under both frameworks' interpreters.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable
from typing import Any

from exercise_graded import exercise_graded
from exercise_notes import exercise_notes
from exercise_plain import exercise_plain
from exercise_quiz import exercise_quiz
from exercise_shop import exercise_shop, exercise_shop_page
from exercise_slow import exercise_slow
from exercise_transcript import Transcript

EXERCISES: dict[str, Callable[[Any, str, Transcript], None]] = {
    "plain_env": exercise_plain,
    "notes_env": exercise_notes,
    "slow_env": exercise_slow,
    "quiz_env": exercise_quiz,
    "graded_env": exercise_graded,
    "shop_env": exercise_shop,
    "shop_env page": exercise_shop_page,
}


def main() -> int:
    """Run the exercises of the packages that were named."""
    done = {}
    for argument in sys.argv[1:]:
        name, _, base_url = argument.partition("=")
        transcript = Transcript()
        EXERCISES[name](importlib.import_module(name.split()[0]), base_url, transcript)
        done[name] = transcript.finished()
    json.dump(done, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
