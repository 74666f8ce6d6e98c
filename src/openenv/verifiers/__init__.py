"""Success criteria: typed, read-only, decided on copies.

A verifier reads `Evidence` (what happened, and the world's database before and after, as bytes) and returns a
`Verdict`. It never touches a live world, so the same code decides on the server and, later, from the files of a run.
"""

from openenv.verifiers.base import Verifier
from openenv.verifiers.diff import Change, diff_images
from openenv.verifiers.evidence import AllowedChange, ColumnPattern, Evidence, Verdict, VerifierSpec
from openenv.verifiers.grading import NO_COLLATERAL_CHANGES, Grade, grade, parse_verifier, parse_verifiers
from openenv.verifiers.sql import QueryBudget, QueryResult, run_query

__all__ = [
    "NO_COLLATERAL_CHANGES",
    "AllowedChange",
    "Change",
    "ColumnPattern",
    "Evidence",
    "Grade",
    "QueryBudget",
    "QueryResult",
    "Verdict",
    "Verifier",
    "VerifierSpec",
    "diff_images",
    "grade",
    "parse_verifier",
    "parse_verifiers",
    "run_query",
]
