"""JSON and MessagePack in protocol v2, for a text, an image and an array: bytes, and CPU time on both sides."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from websockets.sync.client import connect
from websockets.typing import Subprotocol

from benchmarks.gates import Gate
from benchmarks.load import Order
from benchmarks.load.v2 import Encoding, Json, MessagePack
from benchmarks.part import Run
from benchmarks.servers.fleet import wanted
from benchmarks.servers.start import DEFAULT, NONE, Target
from benchmarks.spread import median
from benchmarks.tables import Table, figure

__all__ = ["RECORDS", "Encoded", "gates", "measure", "tables"]

_SESSIONS = 16
_SHARE = 0.3
_OBSERVATIONS = {
    "echo": "a text",
    "images": "an image, 84 × 84 × 3 bytes",
    "floats": "a list of 1,000 floats",
    "arrays": "an array of 1,000 floats",
}
_DECODED = 200


@dataclass(frozen=True)
class Encoded:
    """One measurement of steps with one kind of observation in one encoding."""

    observation: str
    encoding: str
    chain: str
    number: int
    answer_bytes: int
    per_s: float
    server_us: float
    """Server CPU time for each step, in microseconds."""
    client_us: float
    """CPU time of a client to read one answer into Python values: of an image or an array in JSON from base64 to bytes."""


RECORDS = (Encoded,)


def measure(run: Run) -> Iterator[Encoded]:
    """Yield every measurement, interleaved."""
    run.progress("encodings: starting the servers")
    rows = {f"ours {name} {chain}": (name, chain) for name in _OBSERVATIONS for chain in (NONE, DEFAULT)}
    targets = run.fleet(wanted(*rows))
    seconds = run.seconds * (1.0 if run.full else _SHARE)
    for number in range(run.rounds):
        for key, (name, chain) in rows.items():
            run.progress(f"encodings: round {number + 1} of {run.rounds}, {_OBSERVATIONS[name]}")
            for dialect, encoding in (("v2", Json()), ("v2-msgpack", MessagePack())):
                yield _measured(run, name, chain, targets[key], dialect, encoding, number, seconds)


def _measured(
    run: Run, name: str, chain: str, target: Target, dialect: str, encoding: Encoding, number: int, seconds: float
) -> Encoded:
    order = Order(target.server.url, dialect, _SESSIONS, seconds, target.pids, token=target.token)
    seen = run.load.carry_out(order)
    client_us = _reading(_answer(target, encoding), name, encoding)
    return Encoded(
        observation=_OBSERVATIONS[name],
        encoding="JSON" if dialect == "v2" else "MessagePack",
        chain=chain,
        number=number,
        answer_bytes=seen.answer_bytes,
        per_s=round(seen.done / seen.seconds, 1),
        server_us=round(seen.server_cpu_s / seen.done * 1e6, 2),
        client_us=round(client_us, 2),
    )


def _answer(target: Target, encoding: Encoding) -> bytes:
    """The answer to a step."""
    headers = {} if target.token is None else {"Authorization": f"Bearer {target.token}"}
    protocol = [Subprotocol(encoding.protocol)]
    with connect(
        f"{target.server.ws_url}/ws", additional_headers=headers, subprotocols=protocol, compression=None, max_size=None
    ) as socket:

        def ask(number: int, **request: Any) -> Any:
            payload = encoding.dump({"id": number, **request})
            socket.send(payload.decode() if encoding.protocol == "openenv.v2" else payload)
            return socket.recv(timeout=30)

        socket.recv(timeout=30)
        opened = ask(1, op="open")
        (session,) = encoding.load(_bytes(opened))["ok"]["sessions"]
        return _bytes(ask(2, op="step", session=session, data={"message": "hello"}))


def _bytes(payload: str | bytes) -> bytes:
    return payload.encode() if isinstance(payload, str) else payload


def _reading(payload: bytes, name: str, encoding: Encoding) -> float:
    """Microseconds of CPU to read it."""
    read = _reader(name, encoding)
    read(payload)
    began = time.process_time_ns()
    for _ in range(_DECODED):
        read(payload)
    return (time.process_time_ns() - began) / _DECODED / 1000


def _reader(name: str, encoding: Encoding) -> Callable[[bytes], Any]:
    def seen(payload: bytes) -> Any:
        return encoding.load(payload)["ok"]["observation"]

    if isinstance(encoding, Json) and name == "images":
        return lambda payload: base64.urlsafe_b64decode(seen(payload)["image"])
    if isinstance(encoding, Json) and name == "arrays":
        return lambda payload: base64.urlsafe_b64decode(seen(payload)["values"]["data"])
    return seen


def tables(records: Sequence[Encoded]) -> list[Table]:
    """One."""
    rows = []
    for key in dict.fromkeys((one.observation, one.encoding, one.chain) for one in records):
        seen = [one for one in records if (one.observation, one.encoding, one.chain) == key]
        rows.append(
            [
                *key,
                f"{seen[0].answer_bytes:,}",
                f"{median(one.per_s for one in seen):,.0f}",
                figure(median(one.server_us for one in seen)),
                figure(median(one.client_us for one in seen)),
            ]
        )
    columns = ["observation", "encoding", "chain", "bytes of an answer", "steps/s", "server CPU µs each", "client CPU µs"]
    return [Table(f"Encodings of protocol v2, {_SESSIONS} sessions", columns, rows)]


def gates(records: Sequence[Encoded]) -> list[Gate]:
    """Nothing is claimed."""
    return []
