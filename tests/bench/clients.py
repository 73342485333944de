"""Thousands of Socket.IO clients in one process, by hand over picows: `python -m tests.bench.clients`."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any

import orjson
import picows

from tests.bench.wire import allow_many_files, answer_commands, say

AT_ONCE = 64  # handshakes under way, fewer than any server's backlog
PATIENCE = 30.0


class Client(picows.WSListener):
    """One client: signs in, asks for its first thing, answers pings, counts events and keeps answers."""

    def __init__(self, pool: Pool, hello: bytes) -> None:
        self.pool = pool
        self.hello = hello
        self.transport: picows.WSTransport | None = None
        self.admitted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.answers: dict[int, asyncio.Future[bytes]] = {}

    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        self.transport = transport

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        message = frame.get_payload_as_bytes()
        if message.startswith(b'42["patient-called"'):
            self.pool.arrived()
        elif message == b"2":
            transport.send(picows.WSMsgType.TEXT, b"3")
        elif message.startswith(b"43"):
            number, bracket, content = message[2:].partition(b"[")
            self.answers.pop(int(number)).set_result(bracket + content)
        elif message.startswith(b"40"):
            self.admitted.set_result(None)
        elif message.startswith(b"44"):
            self.admitted.set_exception(ConnectionRefusedError(message.decode()))
        elif message.startswith(b"0"):
            transport.send(picows.WSMsgType.TEXT, self.hello)

    def on_ws_disconnected(self, transport: picows.WSTransport) -> None:
        self.pool.lost += 1
        for waiting in (self.admitted, *self.answers.values()):
            if not waiting.done():
                waiting.set_exception(ConnectionError("the server closed the connection"))

    async def call(self, number: int, name: str, ask: Any) -> bytes:
        """Emit with an ack; answers the ack's JSON as it came."""
        assert self.transport is not None
        self.answers[number] = answer = asyncio.get_running_loop().create_future()
        self.transport.send(picows.WSMsgType.TEXT, b"42%d" % number + orjson.dumps([name, ask]))
        async with asyncio.timeout(PATIENCE):
            return await answer


class Pool:
    """All the clients of this process, and how many events they have got."""

    def __init__(self) -> None:
        self.clients: list[Client] = []
        self.consoles: list[Client] = []
        self.acks: list[bytes] = []
        self.events = 0
        self.expected = 0
        self.lost = 0
        self.complete = asyncio.Event()
        self.completed_at = 0.0

    def arrived(self) -> None:
        self.events += 1
        if self.events == self.expected:
            self.completed_at = time.monotonic()
            self.complete.set()

    async def _open(self, port: int, auth: Any) -> Client:
        hello = b"40" + (orjson.dumps(auth) if auth else b"")
        url = f"ws://127.0.0.1:{port}/socket.io/?EIO=4&transport=websocket"
        _, client = await picows.ws_connect(lambda: Client(self, hello), url)
        assert isinstance(client, Client)
        async with asyncio.timeout(PATIENCE):
            await client.admitted
        return client

    async def connect(
        self, port: int, count: int, auth: Any = None, name: str = "join", ask: Any = "board"
    ) -> dict[str, Any]:
        """Connect this many clients, which each ask one thing; answers the seconds until the last had its answer."""
        gate = asyncio.Semaphore(AT_ONCE)
        self.acks = []

        async def one() -> None:
            async with gate:
                client = await self._open(port, auth)
                self.clients.append(client)
                self.acks.append(await client.call(0, name, ask))

        begun = time.monotonic()
        await asyncio.gather(*(one() for _ in range(count)))
        return {"seconds": time.monotonic() - begun}

    async def leave(self) -> dict[str, Any]:
        """Disconnect all clients but the consoles."""
        left, self.clients = self.clients, []
        for client in left:
            if client.transport is not None:
                client.transport.send_close()
                client.transport.disconnect()
        return {}

    async def positions(self) -> dict[str, Any]:
        """What the last `connect` was answered: how many of each (first, last, number of versions missed, version)."""
        found: dict[str, int] = {}
        for ack in self.acks:
            answer = orjson.loads(ack)[0]["ok"]
            missed = [event["version"] for event in answer.get("events", [])]
            whole = missed == list(range(missed[0], missed[-1] + 1)) if missed else True
            key = orjson.dumps(
                [answer["epoch"], answer["version"], missed[:1], missed[-1:], whole, "snapshot" in answer]
            ).decode()
            found[key] = found.get(key, 0) + 1
        return {"positions": [[*orjson.loads(key), count] for key, count in found.items()]}

    async def expect(self, events: int) -> dict[str, Any]:
        """Begin to count: this many events, over all clients, are to come."""
        self.events, self.expected = 0, events
        self.complete.clear()
        return {}

    async def received(self, within: float) -> dict[str, Any]:
        """Wait for what is expected; answers what came and how many connections were lost."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self.complete.wait()
        return {"events": self.events, "lost": self.lost}

    async def staff(self, port: int, count: int, auth: Any = None) -> dict[str, Any]:
        """Open consoles, which follow nothing."""
        self.consoles = [await self._open(port, auth) for _ in range(count)]
        return {}

    async def press(self, name: str, asks: list[Any], every: float) -> dict[str, Any]:
        """One console presses once for each ask; answers the seconds until its answer, and until the last client."""
        answered, last = [], []
        for number, ask in enumerate(asks, start=1):
            await self.expect(len(self.clients))
            pressed = time.monotonic()
            answer = await self.consoles[0].call(number, name, ask)
            answered.append(time.monotonic() - pressed)
            if b'"problem"' in answer[:12]:
                raise RuntimeError(answer.decode())
            await self.received(PATIENCE)
            if self.events != self.expected:
                raise RuntimeError(f"{self.events} of {self.expected} clients got the call")
            last.append(self.completed_at - pressed)
            await asyncio.sleep(every)
        return {"answered": answered, "last": last}

    async def storm(self, name: str, asks: list[Any]) -> dict[str, Any]:
        """All consoles press at once, each as soon as it is answered, until every ask is; answers the seconds."""
        todo = list(enumerate(asks, start=1))

        async def work(console: Client) -> None:
            while todo:
                number, ask = todo.pop()
                answer = await console.call(number, name, ask)
                if b'"problem"' in answer[:12]:
                    raise RuntimeError(answer.decode())

        begun = time.monotonic()
        await asyncio.gather(*(work(console) for console in self.consoles))
        return {"seconds": time.monotonic() - begun}


async def main() -> None:
    pool = Pool()
    say({"ready": True})
    names = ("connect", "leave", "positions", "expect", "received", "staff", "press", "storm")
    await answer_commands({name: getattr(pool, name) for name in names})


if __name__ == "__main__":
    allow_many_files()
    with asyncio.Runner(loop_factory=__import__("uvloop").new_event_loop) as runner:
        runner.run(main())
