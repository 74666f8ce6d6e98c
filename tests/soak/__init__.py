"""A soak: sessions are opened and closed in every way, and what a server has in use must not grow with their number.

``python -m tests.soak --sessions 200000 --minutes 20`` runs it; ``--help`` has the rest. `ways` has the ways: **another
one is a function and a line in `ways.WAYS`.** `app` is what is served, `run` the run, with its two samples.
"""
