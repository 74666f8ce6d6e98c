"""Success criteria: typed, read-only, decided on copies.

A verifier reads `Evidence` (what happened, and the world's database before and after, as bytes) and returns a
`Verdict`. It never touches a live world, so the same code decides on the server and, later, from the files of a run.
"""

from openenv.verifiers.evidence import AllowedChange, Evidence, Verdict, VerifierSpec

__all__ = ["AllowedChange", "Evidence", "Verdict", "VerifierSpec"]
