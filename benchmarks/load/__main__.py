"""``python -m benchmarks.load URL --sessions 64``: one order from the command line; or, with ``--orders``, one for each line
of standard input. Each is answered with one line of JSON: the measurement, or ``{"error": …}``.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
from dataclasses import asdict, fields
from typing import Any

from benchmarks.load.dialects import DIALECTS
from benchmarks.load.order import KINDS, Order
from benchmarks.load.run import carry_out


def main() -> None:
    """Read the arguments, measure, print."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load", description=__doc__)
    parser.add_argument("url", nargs="?", help="the server's base URL")
    parser.add_argument("--orders", action="store_true", help="read orders from standard input")
    parser.add_argument("--dialect", choices=sorted(DIALECTS), default="openenv")
    parser.add_argument("--kind", choices=KINDS, default="steps")
    parser.add_argument("--sessions", type=int, default=64)
    parser.add_argument("--connections", type=int, default=0, help="share the sessions, where the dialect can (0: one each)")
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--server-pid", type=int, action="append", default=[], help="may be repeated")
    parser.add_argument("--token", help="a bearer token for every connection")
    options = parser.parse_args()
    if options.orders:
        for line in sys.stdin:
            print(json.dumps(_answer(_order(json.loads(line)))), flush=True)
    elif options.url is not None:
        known = {name: value for name, value in vars(options).items() if name in {field.name for field in fields(Order)}}
        url = options.url.replace("ws://", "http://", 1).removesuffix("/ws")
        print(json.dumps(asdict(carry_out(Order(**{**known, "url": url, "server_pids": tuple(options.server_pid)})))))
    else:
        parser.error("say where the server is, or --orders")


def _order(value: dict[str, Any]) -> Order:
    return Order(**{**value, "server_pids": tuple(value["server_pids"]), "headers": tuple(value["headers"])})


def _answer(order: Order) -> dict[str, Any]:
    try:
        return asdict(carry_out(order))
    except (RuntimeError, OSError) as error:
        return {"error": f"{type(error).__name__}: {error}"}


if __name__ == "__main__":
    main()
