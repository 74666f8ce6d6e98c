"""What OpenEnv 0.10's rubrics, transforms and clients of language models do with toys: one JSON document.

It runs unchanged under OpenEnv 0.10 and under this project: ``python -m tests.interop.scripts.rubrics_transcript``. An
exception is told by its type.
"""

from __future__ import annotations

import json
import logging
import sys
import warnings

from tests.interop.scripts import rubrics_llm, rubrics_parts, rubrics_scores


def main() -> None:
    """Print the document."""
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    cases = {**rubrics_scores.CASES, **rubrics_parts.CASES, **rubrics_llm.CASES}
    document = {name: function() for name, function in cases.items()}
    json.dump(document, sys.stdout, indent=1, default=repr)


if __name__ == "__main__":
    main()
