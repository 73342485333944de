"""Thousands of Socket.IO clients in one process, by hand over picows: `python -m tests.bench.clients`."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import picows

from tests.bench.wire import allow_many_files, answer_commands, say

AT_ONCE = 64  # handshakes under way, fewer than any server's backlog


class Client(picows.WSListener):
    """One client: connects, joins the room, answers pings and counts events."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.joined: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        message = frame.get_payload_as_bytes()
        if message.startswith(b"42"):
            self.pool.arrived()
        elif message == b"2":
            transport.send(picows.WSMsgType.TEXT, b"3")
        elif message.startswith(b"40"):
            transport.send(picows.WSMsgType.TEXT, b'420["join","board"]')
        elif message.startswith(b"430"):
            self.joined.set_result(None)
        elif message.startswith(b"0"):
            transport.send(picows.WSMsgType.TEXT, b"40")

    def on_ws_disconnected(self, transport: picows.WSTransport) -> None:
        self.pool.lost += 1
        if not self.joined.done():
            self.joined.set_exception(ConnectionError("closed before it had joined"))


class Pool:
    """All the clients of this process, and how many events they have got."""

    def __init__(self) -> None:
        self.clients: list[tuple[picows.WSTransport, Client]] = []
        self.events = 0
        self.expected = 0
        self.lost = 0
        self.complete = asyncio.Event()

    def arrived(self) -> None:
        self.events += 1
        if self.events == self.expected:
            self.complete.set()

    async def connect(self, port: int, count: int) -> dict[str, Any]:
        """Connect this many clients; answers how long it took until the last had joined, in seconds."""
        gate = asyncio.Semaphore(AT_ONCE)
        url = f"ws://127.0.0.1:{port}/socket.io/?EIO=4&transport=websocket"

        async def one() -> None:
            async with gate:
                transport, client = await picows.ws_connect(lambda: Client(self), url)
                await client.joined
                self.clients.append((transport, client))

        begun = time.monotonic()
        await asyncio.gather(*(one() for _ in range(count)))
        return {"seconds": time.monotonic() - begun}

    async def expect(self, events: int) -> dict[str, Any]:
        """Begin to count: this many events, over all clients, are to come."""
        self.events, self.expected = 0, events
        self.complete.clear()
        return {}

    async def received(self, within: float) -> dict[str, Any]:
        """Wait for what is expected; answers what came, by when, and how many connections were lost."""
        try:
            async with asyncio.timeout(within):
                await self.complete.wait()
        except TimeoutError:
            pass
        return {"events": self.events, "at": time.monotonic(), "lost": self.lost}


async def main() -> None:
    pool = Pool()
    say({"ready": True})
    await answer_commands({"connect": pool.connect, "expect": pool.expect, "received": pool.received})


if __name__ == "__main__":
    allow_many_files()
    with asyncio.Runner(loop_factory=__import__("uvloop").new_event_loop) as runner:
        runner.run(main())
