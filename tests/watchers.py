"""Those who look and press in the tests: boards by the client's rules, consoles with retries, and web processes.

Invariant: a `Board` applies an event only if it follows on what it has, so whatever a server or its death does to it
shows in `seen`: an event lost, repeated or out of order there is the server's fault.
"""

import asyncio
import contextlib
import secrets
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import socketio
import uvicorn

from server import access
from server.app import App, create_app
from server.config import Config
from server.events import reduce
from server.fanout import UVICORN
from tests.world import World

SOON = 15.0


async def until(fact: Callable[[], object], patience: float = SOON) -> None:
    """Return once the fact is true."""
    async with asyncio.timeout(patience):
        while not fact():  # noqa: ASYNC110  others' state tells nobody that it has changed
            await asyncio.sleep(0.01)


async def signed_in(world: World) -> str:
    """The bearer token of a doctor of this world, without the time that a password takes."""
    token, digest = access.new_secret()
    await world.pool.execute(SIGN_IN, world.institution, world.doctors[0], f"{token}@example.org".lower(), digest)
    return token


SIGN_IN = """
with who as (
    insert into users (institution_id, doctor_id, email, name, role, password_hash)
    values ($1, $2, $3, 'Dr. Ames', 'doctor', '') returning id
)
insert into sessions (user_id, token_hash, csrf, expires_at) select id, $4, '', now() + interval '1 day' from who
"""


class Board:
    """One stream over one real socket that comes back by itself, by the rules that the browser's clients keep."""

    def __init__(self, url: str, stream: str, auth: dict[str, str], transports: tuple[str, ...] = ("websocket",)):
        self.url = url
        self.stream = stream
        self.auth = auth
        self.transports = list(transports)
        self.epoch: str | None = None
        self.version: int | None = None
        self.rows: dict[str, Any] = {}
        self.seen: list[tuple[int, str, Any]] = []
        self.snapshots: list[int] = []
        self.live = False
        self.connects = 0
        self.asks = 0
        self.resets = 0
        self.problems: list[str] = []
        self._buffer: list[dict[str, Any]] = []
        self._asking: asyncio.Task[None] | None = None
        self._moved = asyncio.Event()
        self.sio = socketio.AsyncClient(reconnection_delay=0.05, reconnection_delay_max=0.4, handle_sigint=False)
        self.sio.on("connect", self._connected)
        self.sio.on("disconnect", self._disconnected)
        self.sio.on("*", self._heard)

    async def open(self, wait: bool = True) -> "Board":
        """Connect and, unless told otherwise, wait for the first answer."""
        await self.sio.connect(self.url, auth=self.auth, transports=self.transports, retry=True)
        if wait:
            await until(lambda: self.live)
        return self

    async def close(self) -> None:
        """Leave for good."""
        if self._asking:
            self._asking.cancel()
        await self.sio.shutdown()

    def wire(self) -> Any:
        """The transport of its WebSocket, if it has one now."""
        ws = self.sio.eio.ws
        connection = None if ws is None or ws.closed else ws._response.connection
        return None if connection is None else connection.transport

    def cut(self) -> None:
        """Lose the link without a word of good-bye."""
        if wire := self.wire():
            wire.abort()

    async def reaches(self, version: int, patience: float = SOON) -> None:
        """Return once this version has been applied."""
        async with asyncio.timeout(patience):
            while not self.live or (self.version or 0) < version:
                self._moved.clear()
                await self._moved.wait()

    def ask(self) -> dict[str, Any]:
        """What to subscribe with."""
        return {"stream": self.stream, **({"epoch": self.epoch, "version": self.version} if self.epoch else {})}

    def _connected(self) -> None:
        self.connects += 1
        self._again()

    def _disconnected(self, *_: Any) -> None:
        self.live = False
        if self._asking:
            self._asking.cancel()

    def _again(self) -> None:
        self.live, self._buffer = False, []
        if self._asking:
            self._asking.cancel()
        self._asking = asyncio.create_task(self._subscribe())

    async def _subscribe(self) -> None:
        while True:
            self._buffer = []
            self.asks += 1
            with contextlib.suppress(socketio.exceptions.TimeoutError, socketio.exceptions.BadNamespaceError):
                answer = await self.sio.call("subscribe", self.ask(), timeout=10)
                if "ok" in answer:
                    self._answered(answer["ok"])
                    return
                self.problems.append(answer["problem"]["code"])
            await asyncio.sleep(0.1)

    def _answered(self, ok: dict[str, Any]) -> None:
        if "snapshot" in ok:
            self.rows, self.epoch, self.version = ok["snapshot"]["rows"], ok["epoch"], ok["version"]
            self.snapshots.append(ok["version"])
        for event in ok.get("events", []):
            self._take(event)
        assert self.version is not None and self.version >= ok["version"], "an answer does not join on"
        self.live = True
        buffered, self._buffer = self._buffer, []
        for event in buffered:
            self._take(event)
        self._moved.set()

    def _heard(self, name: str, data: dict[str, Any]) -> None:
        if name == "stream-reset" and data["stream"] == self.stream:
            self.resets += 1
            self._again()
        elif data.get("stream") == self.stream:
            if self.live:
                self._take(data)
            else:
                self._buffer.append(data)

    def _take(self, event: dict[str, Any]) -> None:
        assert self.version is not None
        if event["epoch"] != self.epoch or event["version"] > self.version + 1:
            self._again()
        elif event["version"] == self.version + 1:
            self.rows = reduce(self.rows, event["data"])
            self.version = event["version"]
            self.seen.append((event["version"], event["type"], event["data"].get("ticket")))
            self._moved.set()


class Console:
    """Somebody who presses over HTTP, and presses again with the same key until there is an answer."""

    def __init__(self, token: str, *urls: str) -> None:
        self.urls = urls
        self.session = aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"})
        self.tries = 0
        self.refused: list[str] = []

    async def close(self) -> None:
        await self.session.close()

    async def post(self, path: str, body: dict[str, Any], key: str | None = None) -> tuple[int, dict[str, Any], Any]:
        """One try: status, answer, headers."""
        self.tries += 1
        url = self.urls[self.tries % len(self.urls)]
        headers = {"Idempotency-Key": key} if key else {}
        limit = aiohttp.ClientTimeout(total=10)
        async with self.session.post(f"{url}/api/v1{path}", json=body, headers=headers, timeout=limit) as response:
            return response.status, await response.json(), response.headers

    async def press(self, path: str, **body: Any) -> tuple[int, dict[str, Any]]:
        """Press until somebody answers; 503 is no answer."""
        key = secrets.token_hex(8)
        while True:
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                status, answer, _ = await self.post(path, body, key)
                if status < 500:
                    return status, answer
                self.refused.append(answer["code"])
            await asyncio.sleep(0.05)


@dataclass
class Web:
    """A web process's parts within the test's own process, so that a test can reach into them."""

    app: App
    url: str

    @property
    def live(self) -> Any:
        assert self.app.live is not None
        return self.app.live

    @property
    def publisher(self) -> Any:
        assert self.app.publisher is not None
        return self.app.publisher


@asynccontextmanager
async def serving(database_url: str, redis_url: str, unsent: int | None = None, **settings: Any) -> AsyncIterator[Web]:
    """A whole web process, in this one; `unsent` bounds the bytes that the kernel takes for a client that is slow."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    if unsent is not None:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, unsent)
    app = create_app(Config(database_url=database_url, redis_url=redis_url, **settings))
    config = uvicorn.Config(app, log_config=None, access_log=False, **UVICORN)
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve([listener]))
    await until(lambda: server.started or task.done())
    try:
        yield Web(app, f"http://127.0.0.1:{listener.getsockname()[1]}")
    finally:
        server.should_exit = True
        await task
