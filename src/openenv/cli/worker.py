"""``python -m openenv.cli.worker``: one worker of ``openenv serve --workers``, which starts it; nobody else does."""

from __future__ import annotations

import json
import os
import socket
import sys

from openenv.cli.served import Served
from openenv.errors import ConfigurationError

__all__ = ["main"]


def main() -> None:
    """Be a worker, with what the supervisor left in the environment and says over the channel."""
    from openenv.runtime.parent import end_with
    from openenv.server.workers.channel import Kind, receive, transmit
    from openenv.server.workers.supervisor import BERTH
    from openenv.server.workers.worker import Berth, work

    given = json.loads(os.environ.pop(BERTH))
    end_with(given.pop("parent"))
    berth = Berth(**given)
    for fd in (berth.control, berth.listener, berth.census):
        os.set_inheritable(fd, False)  # not for the programs that environments start
    control = socket.socket(fileno=os.dup(berth.control))
    told = receive(control)
    if told is None:
        sys.exit(1)  # the supervisor is gone
    try:
        app = Served(**told["served"]).application()
    except ConfigurationError as error:
        known = {"message": error.message, "field": error.field, "hint": error.hint, "example": error.example}
        transmit(control, Kind.TOLD, {"failed": known})
        sys.exit(2)
    control.close()
    work(app, berth, bytes.fromhex(told["secret"]), log_level=told["log_level"], drain_s=told["drain_s"])


if __name__ == "__main__":
    main()
