"""Structured fuzzing of every dialect against real server processes, from one integer seed.

``python -m tests.fuzz --seed 7 --frames 20000`` runs it; ``--help`` has the rest. The parts:

- `values`: what nobody should send, and how a good message is spoilt.
- `dialects`: one generator a dialect. Each makes `plan.Conversation`s of a ``random.Random`` and nothing else, so that
  (seed, dialect, number) always gives the same bytes. **A new dialect is one class with `dialects.Dialect`'s methods in a
  module of its own, and one line in `dialects.DIALECTS`.**
- `v2`: protocol v2's, with `v2_plan`, `v2_values`, and `v2_play`, which pairs answers with requests, comes back where a
  line was lost, and looks afterwards whether each world's own log has everything once.
- `wire`: sockets that send the bytes they are told to.
- `driver`: plays conversations on a server, many at a time, and judges every reply by the plan.
- `judge`: what a reply may be, and what a server must look like when all is over.
- `target`: the applications that are served.
"""
