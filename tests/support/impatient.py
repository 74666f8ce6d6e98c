"""``python -m tests.support.impatient fast|asgi module:app [PING_S [PATIENCE_S]]``: a server that waits but for a second or two.

So that tests can see what comes of clients that are half a minute late. ``fast`` is ``openenv serve``, ``asgi`` plain uvicorn.
"""

from __future__ import annotations

import importlib
import sys

import uvicorn

from openenv.server import http, run
from openenv.server.porch import Porch
from openenv.server.stall import Stall

PATIENCE_S = 1.5


def main(door: str, target: str, ping: str = str(PATIENCE_S), patience: str = str(PATIENCE_S)) -> None:
    """Serve it on a free port; ``ping`` is how often a socket is asked whether it is there, and how long it may take."""
    Porch.HEAD_S = Stall.PATIENCE_S = http.BODY_S = float(patience)
    module, name = target.split(":")
    app = getattr(importlib.import_module(module), name)
    if door == "asgi":
        uvicorn.run(app, port=0, access_log=False, ws_ping_interval=float(ping), ws_ping_timeout=float(ping))
        return
    made = run.configured

    def configured(*args: object, **known: object) -> uvicorn.Config:
        config = made(*args, **known)  # type: ignore[arg-type]
        config.ws_ping_interval = config.ws_ping_timeout = float(ping)
        return config

    run.configured = configured
    run.serve(app, port=0)


if __name__ == "__main__":
    main(*sys.argv[1:])
