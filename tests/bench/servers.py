"""The servers under test, each a process of its own: `python -m tests.bench.servers ours|stock|picows`.

All say the same to a client: Engine.IO's opening, the Socket.IO connect, one `join` with its ack; then a room's events.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from collections.abc import Callable
from typing import Any

import asyncpg
import orjson
import picows
import socketio
import uvicorn

from server import fanout
from tests.bench.wire import EVENT, allow_many_files, answer_commands, say, settle

ROOM = "board"
Broadcast = Callable[[dict[str, Any]], Any]


def listening() -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", 0))
    return listener


async def obey(listener: socket.socket, broadcast: Broadcast) -> None:
    """Announce the port, then do as the bench says."""

    async def emit(count: int, every: float, event: dict[str, Any]) -> dict[str, Any]:
        for _ in range(count):
            await broadcast(event)
            if every:
                await asyncio.sleep(every)
        return {}

    say({"port": listener.getsockname()[1]})
    await answer_commands({"emit": emit, "settle": settle})


def with_rooms(sio: socketio.AsyncServer) -> socketio.ASGIApp:
    async def connect(sid: str, environ: dict[str, Any], auth: Any) -> None:
        pass

    async def join(sid: str, room: str) -> dict[str, Any]:
        await sio.enter_room(sid, room)
        return {"ok": {}}

    sio.on("connect", connect)
    sio.on("join", join)
    return socketio.ASGIApp(sio)


async def serve(app: Any, broadcast: Broadcast, **options: Any) -> None:
    listener = listening()
    config = uvicorn.Config(app, lifespan="off", log_level="error", access_log=False, backlog=4096, **options)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve([listener]))
    while not server.started:  # noqa: ASYNC110  uvicorn says so in no other way
        await asyncio.sleep(0.01)
    await obey(listener, broadcast)
    server.force_exit = server.should_exit = True
    await serving


async def ours() -> None:
    sio = fanout.make_server()

    async def broadcast(event: dict[str, Any]) -> None:
        # The server gets its events encoded from Redis; here the encoding is counted.
        sio.manager.broadcast(ROOM, b"2" + orjson.dumps(["patient-called", event]))

    await serve(with_rooms(sio), broadcast, **fanout.UVICORN)


async def stock() -> None:
    sio = socketio.AsyncServer(async_mode="asgi")

    async def broadcast(event: dict[str, Any]) -> None:
        await sio.emit("patient-called", event, room=ROOM)

    await serve(with_rooms(sio), broadcast, ws_per_message_deflate=False)


class Floor(picows.WSListener):
    """The least that a WebSocket server in Python can do; `called` answers a "call next"."""

    def __init__(self, room: set[picows.WSTransport], called: Callable[[], Any]) -> None:
        self.room = room
        self.called = called

    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        transport.send(picows.WSMsgType.TEXT, b'0{"sid":"x","upgrades":[],"pingInterval":25000,"pingTimeout":20000}')

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        message = frame.get_payload_as_bytes()
        if message.startswith(b"40"):
            transport.send(picows.WSMsgType.TEXT, b'40{"sid":"x"}')
        elif message.startswith(b"420"):
            self.room.add(transport)
            transport.send(picows.WSMsgType.TEXT, b'430[{"ok":{}}]')
        elif message.startswith(b"42"):
            task = asyncio.ensure_future(self.called())
            number = message[2:].partition(b"[")[0]
            task.add_done_callback(lambda _: transport.send(picows.WSMsgType.TEXT, b'43%b[{"ok":{}}]' % number))

    def on_ws_disconnected(self, transport: picows.WSTransport) -> None:
        self.room.discard(transport)


async def floor() -> None:
    """Broadcasts; where there is a database, "call next" commits one row first."""
    room: set[picows.WSTransport] = set()
    listener = listening()
    pool = await asyncpg.create_pool(url, min_size=1, max_size=4) if (url := os.environ.get("DATABASE_URL")) else None
    if pool:
        await pool.execute("create table if not exists bench (data jsonb not null)")

    async def broadcast(event: dict[str, Any]) -> None:
        message = b"42" + json.dumps(["patient-called", event], separators=(",", ":")).encode()
        for transport in room:
            transport.send(picows.WSMsgType.TEXT, message)

    async def called() -> None:
        if pool:
            await pool.execute("insert into bench (data) values ($1)", json.dumps(EVENT))
        await broadcast(EVENT)

    await picows.ws_create_server(lambda _: Floor(room, called), sock=listener, backlog=4096, enable_auto_pong=True)
    await obey(listener, broadcast)


if __name__ == "__main__":
    allow_many_files()
    with asyncio.Runner(loop_factory=__import__("uvloop").new_event_loop) as runner:
        runner.run({"ours": ours, "stock": stock, "picows": floor}[sys.argv[1]]())
