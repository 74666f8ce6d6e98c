"""The ways in which sessions of protocol v2 come and go."""

from __future__ import annotations

import json
import struct
from typing import Any

import msgpack

from tests.fuzz.wire import BINARY, CLOSE, PING, PONG, TEXT, WebSocket, frame
from tests.soak.client import AUTHORIZED, REFUSED, Client, Unlike, Way

__all__ = ["V2_WAYS"]

CALL = "call_tool"


class Talk:
    """A connection: one question at a time, or several that are looked for later."""

    def __init__(self, client: Client, socket: WebSocket, *, binary: bool) -> None:
        self.client = client
        self.socket = socket
        self.binary = binary
        self.number = 0
        self.inbox: list[dict[str, Any]] = []

    @classmethod
    async def begun(cls, client: Client, path: str = "/ws", *, binary: bool | None = None) -> Talk:
        """A connection that has said hello."""
        binary = client.rng.random() < 0.4 if binary is None else binary
        name = "openenv.v2+msgpack" if binary else "openenv.v2"
        socket = await client.open(path, headers=AUTHORIZED | {"Sec-WebSocket-Protocol": name})
        made = cls(client, socket, binary=binary)
        if (await made._next()).get("event") != "hello":
            raise Unlike("no hello came")
        return made

    async def put(self, op: str, session: str | None = None, data: Any = None, **more: Any) -> bytes:
        """Send a question; its frame, which may be sent again."""
        self.number += 1
        message = {"id": self.number, "op": op, "data": data or {}} | more
        if session is not None:
            message["session"] = session
        sent = (msgpack.packb(message) or b"") if self.binary else json.dumps(message).encode()
        await self.again(sent)
        return sent

    async def again(self, sent: bytes) -> None:
        """Send a frame as it is."""
        await self.socket.send(frame(sent, BINARY if self.binary else TEXT, rng=self.client.rng))

    async def _next(self) -> dict[str, Any]:
        while True:
            opcode, payload = await self.socket.receive()
            if opcode == PING:
                await self.socket.send(frame(payload, PONG, rng=self.client.rng))
                continue
            if opcode == CLOSE:
                raise Unlike(f"closed with {payload!r}")
            message: dict[str, Any] = msgpack.unpackb(payload) if self.binary else json.loads(payload)
            return message

    async def find(self, **wanted: Any) -> dict[str, Any]:
        """The oldest message that has these values."""
        while True:
            for place, message in enumerate(self.inbox):
                if all(message.get(key) == value for key, value in wanted.items()):
                    return self.inbox.pop(place)
            self.inbox.append(await self._next())

    async def ask(self, op: str, session: str | None = None, data: Any = None, **more: Any) -> dict[str, Any]:
        """Send a question and wait for its answer."""
        await self.put(op, session, data, **more)
        return await self.find(id=self.number)

    async def ok(self, op: str, session: str | None = None, data: Any = None, **more: Any) -> Any:
        """The same where nothing but ok is right."""
        answer = await self.ask(op, session, data, **more)
        if "ok" not in answer:
            raise Unlike(f"{op} was answered with {answer}")
        return answer["ok"]

    async def sessions(self, count: int = 1, **data: Any) -> list[str]:
        """New sessions, each of them reset; none where there is no room."""
        answer = await self.ask("open", None, {"count": count} | data)
        if "ok" in answer:
            made: list[str] = answer["ok"]["sessions"]
            for session in made:
                await self.ok("reset", session)
            return made
        if answer["error"]["code"] != "CAPACITY_REACHED":
            raise Unlike(f"open was answered with {answer}")
        self.leave()
        return []

    async def add(self, session: str, expected: int) -> None:
        """A step, and what it has to show."""
        found = (await self.ok(CALL, session, {"name": "add"}))["tool"]["result"]
        if found != expected:
            raise Unlike(f"step {expected} was answered with {found}")

    def leave(self) -> None:
        """Vanish, with FIN or RST."""
        self.socket.abort(reset=self.client.rng.random() < 0.5)

    async def farewell(self) -> None:
        """Close the WebSocket."""
        await self.socket.send(frame(struct.pack("!H", 1000), CLOSE, rng=self.client.rng))
        await self.socket.ended()
        await self.socket.close()


async def keyed(client: Client) -> str:
    """Opened with a key, twice, and closed."""
    talk = await Talk.begun(client)
    key = f"{client.rng.random()}"
    sessions = await talk.sessions(client.rng.randrange(1, 3), key=key)
    if not sessions:
        return REFUSED
    if (await talk.ok("open", None, {"key": key}))["sessions"] != sessions:
        raise Unlike("the key has other sessions now")
    for session in sessions:
        await talk.add(session, 1)
        await talk.ok("close", session)
    await talk.farewell()
    return "closed"


async def left(client: Client) -> str:
    """Left to their leases, in a step or before."""
    talk = await Talk.begun(client)
    sessions = await talk.sessions(client.rng.randrange(1, 3))
    if not sessions:
        return REFUSED
    for session in sessions:
        await talk.add(session, 1)
        if client.rng.random() < 0.5:
            await talk.ok("detach", session)
        else:
            await talk.put(CALL, session, {"name": client.rng.choice(("linger", "fail"))})
    talk.leave()
    return "lease"


async def resumed(client: Client) -> str:
    """The line is lost in a step; the step is done once."""
    first = await Talk.begun(client)
    sessions = await first.sessions()
    if not sessions:
        return REFUSED
    sent = await first.put(CALL, sessions[0], {"name": client.rng.choice(("add", "linger"))})
    first.leave()
    second = await Talk.begun(client, binary=first.binary)
    second.number = first.number
    answer = await second.ask("attach", sessions[0])
    if "error" in answer:  # its lease has run out, as on a machine that is busy
        second.leave()
        return "late"
    await second.again(sent)
    done = await second.find(id=first.number)
    if "ok" not in done or done["ok"]["tool"]["result"] != 1:
        raise Unlike(f"a repeat was answered with {done}")
    await second.add(sessions[0], 2)
    if client.rng.random() < 0.7:
        await second.ok("close", sessions[0])
    second.leave()
    return "resumed"


async def taken(client: Client) -> str:
    """Taken over by another connection, while the first one listens."""
    first = await Talk.begun(client)
    sessions = await first.sessions()
    if not sessions:
        return REFUSED
    await first.ok("subscribe", None, {"events": ["session_taken", "session_ended", "draining"]})
    second = await Talk.begun(client)
    second.number = 10
    await second.ok("attach", sessions[0])
    await first.find(event="session_taken", session=sessions[0])
    await second.add(sessions[0], 1)
    if client.rng.random() < 0.5:
        await second.ok("close", sessions[0])
    first.leave()
    second.leave()
    return "taken"


async def forked(client: Client) -> str:
    """Copies, some of which are closed."""
    talk = await Talk.begun(client)
    sessions = await talk.sessions()
    if not sessions:
        return REFUSED
    await talk.add(sessions[0], 1)
    answer = await talk.ask("fork", sessions[0], {"count": client.rng.randrange(1, 4)})
    if "error" in answer:
        talk.leave()
        return f"no room for forks: {answer['error']['code']}"
    for copy in answer["ok"]["sessions"]:
        await talk.add(copy, 2)
        if client.rng.random() < 0.6:
            await talk.ok("close", copy)
    await talk.ok("close", sessions[0])
    talk.leave()
    return "forked"


async def snapshots(client: Client) -> str:
    """More snapshots than are kept, one that leaves the server and comes back."""
    talk = await Talk.begun(client)
    sessions = await talk.sessions()
    if not sessions:
        return REFUSED
    session = sessions[0]
    exported = (await talk.ok("snapshot", session, {"export": True}))["snapshot"]
    kept = [(await talk.ok("snapshot", session))["snapshot"] for _ in range(client.rng.choice((1, 3, 20)))]
    await talk.add(session, 1)
    await talk.ok("restore", session, {"snapshot": client.rng.choice((kept[-1], exported))})
    await talk.add(session, 1)
    if client.rng.random() < 0.5:
        await talk.ok("close", session)
    talk.leave()
    return "copied"


async def batched(client: Client) -> str:
    """Steps of several sessions in one frame."""
    talk = await Talk.begun(client)
    sessions = await talk.sessions(client.rng.randrange(2, 4))
    if not sessions:
        return REFUSED
    action: dict[str, Any] = {"type": "call_tool", "tool_name": client.rng.choice(("add", "fail")), "arguments": {}}
    entries = [{"session": one, "action": action} for one in [*sessions, "nobody"]]
    if client.rng.random() < 0.5:
        results = (await talk.ok("batch", None, {"entries": entries}))["results"]
    else:
        await talk.put("batch", None, {"entries": entries, "as_finished": True})
        results = [await talk.find(id=talk.number, session=one["session"]) for one in entries]
    if [("ok" in one) for one in results] != [True] * len(sessions) + [False]:
        raise Unlike(f"a batch was answered with {results}")
    talk.leave()
    return "batched"


async def cancelled(client: Client) -> str:
    """Steps that are taken back, or have a deadline."""
    talk = await Talk.begun(client)
    sessions = await talk.sessions()
    if not sessions:
        return REFUSED
    await talk.put(CALL, sessions[0], {"name": "linger"})
    for _ in range(3):
        await talk.put(CALL, sessions[0], {"name": "linger"}, deadline_ms=client.rng.choice((1, 10_000)))
    wanted = talk.number
    await talk.ok("cancel", sessions[0], {"id": wanted})
    answer = await talk.find(id=wanted)
    if "ok" not in answer and answer["error"]["code"] not in ("CANCELLED", "DEADLINE_EXCEEDED"):
        raise Unlike(f"a cancelled step was answered with {answer}")
    if client.rng.random() < 0.5:
        await talk.ok("close", sessions[0])
    talk.leave()
    return "cancelled"


async def no_room(client: Client) -> str:
    """Opens that are refused: too many, a factory that fails, a key of another's that is no key."""
    fails = client.rng.random() < 0.5
    talk = await Talk.begun(client, "/ws?fail=1" if fails else "/ws")
    answer = await talk.ask("open", None, {"key": f"{client.rng.random()}"} if fails else {"count": 4000})
    if answer.get("error", {}).get("code") not in ("FACTORY_ERROR", "CAPACITY_REACHED"):
        raise Unlike(f"an open that has to fail was answered with {answer}")
    talk.leave()
    return REFUSED


async def watched(client: Client) -> str:
    """Somebody else watches."""
    talk = await Talk.begun(client)
    sessions = await talk.sessions()
    if not sessions:
        return REFUSED
    watcher = await Talk.begun(client)
    await watcher.ok("subscribe", sessions[0], {"events": ["step", "session_ended"]})
    await talk.add(sessions[0], 1)
    await watcher.find(event="step")
    if client.rng.random() < 0.3:
        watcher.leave()
        watcher = await Talk.begun(client)
    elif client.rng.random() < 0.5:
        await talk.ok("close", sessions[0])
        await watcher.find(event="session_ended")
    talk.leave()
    watcher.leave()
    return "watched"


V2_WAYS: dict[str, tuple[float, Way]] = {
    "v2 keyed": (6, keyed),
    "v2 left": (6, left),
    "v2 resumed": (6, resumed),
    "v2 taken": (4, taken),
    "v2 forked": (3, forked),
    "v2 snapshots": (3, snapshots),
    "v2 batched": (4, batched),
    "v2 cancelled": (4, cancelled),
    "v2 no room": (2, no_room),
    "v2 watched": (3, watched),
}
