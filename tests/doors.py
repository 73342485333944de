"""A served clinic with everybody who might knock: people, screens, ticket holders, strangers, and a second clinic."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import httpx2
import orjson
import uvicorn

from server import access, catalog
from server.access import Role
from server.app import App, create_app
from server.config import Config
from server.fanout import UVICORN
from server.store import Command, Query
from tests.world import World, opened

PATIENCE = 10.0
NUMBERS = itertools.count(1)


class Closed(Exception):
    """The connection has ended, or was never let in."""


@dataclass
class Peer:
    """One end of a Socket.IO connection over a bare WebSocket: every frame is kept as it came."""

    ws: aiohttp.ClientWebSocketResponse
    frames: list[str] = field(default_factory=list)
    events: list[Any] = field(default_factory=list)
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    acks: dict[int, "asyncio.Future[Any]"] = field(default_factory=dict)
    reading: "asyncio.Task[None] | None" = None
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    async def read(self) -> None:
        async for message in self.ws:
            if message.type is not aiohttp.WSMsgType.TEXT:
                continue
            text = message.data
            self.frames.append(text)
            if text == "2":
                await self.ws.send_str("3")
            elif text.startswith("43"):
                number, _, content = text[2:].partition("[")
                self.acks.pop(int(number)).set_result(orjson.loads("[" + content)[0])
            elif text.startswith("42"):
                self.events.append(orjson.loads(text[2:]))
            self.arrived.set()
        self.closed.set()
        for waiting in self.acks.values():
            if not waiting.done():
                waiting.set_exception(Closed())

    async def say(self, text: str) -> None:
        """Send a frame just as it is."""
        await self.ws.send_str(text)

    async def call(self, event: str, *args: Any, patience: float = PATIENCE) -> Any:
        """Send an event and wait for its ack. Raises `Closed`."""
        number = next(NUMBERS)
        self.acks[number] = asyncio.get_running_loop().create_future()
        await self.say(f"42{number}" + orjson.dumps([event, *args]).decode())
        return await asyncio.wait_for(self.acks[number], patience)

    async def follow(self, stream: str, **position: Any) -> Any:
        """Subscribe to a stream; answers the ack's `ok`."""
        answer = await self.call("subscribe", {"stream": stream, **position})
        assert "ok" in answer, answer
        return answer["ok"]

    async def seen(self, fact: Callable[["Peer"], object]) -> None:
        """Wait until what has arrived makes the fact true."""
        async with asyncio.timeout(PATIENCE):
            while not fact(self):
                self.arrived.clear()
                await self.arrived.wait()

    async def gone(self) -> None:
        """Wait until the server has closed the connection."""
        await asyncio.wait_for(self.closed.wait(), PATIENCE)


@dataclass(frozen=True)
class Somebody:
    """Who knocks: the Authorization header they send, and what they put into a socket's `auth`."""

    header: str | None = None
    auth: dict[str, str] | None = None

    @property
    def headers(self) -> dict[str, str]:
        """For an HTTP request."""
        return {"Authorization": self.header} if self.header else {}


STRANGER = Somebody()


def person(token: str) -> Somebody:
    """Somebody with an open session."""
    return Somebody(f"Bearer {token}", {"token": token})


def screen(credential: str) -> Somebody:
    """An enrolled device."""
    return Somebody(f"Device {credential}", {"device": credential})


def holder(joined: Any) -> Somebody:
    """Whoever has a ticket's link."""
    secret = joined.link.rpartition("/")[2]
    return Somebody(f"Ticket {secret}", {"ticket": secret})


@dataclass
class House:
    """The clinic, and the address at which it is served."""

    world: World
    app: App
    port: int
    http: httpx2.AsyncClient
    client: aiohttp.ClientSession

    @property
    def url(self) -> str:
        """Where clients find it."""
        return f"http://127.0.0.1:{self.port}"

    async def knock(self, who: Somebody | None, **options: Any) -> Peer:
        """Open a socket. Raises `Closed` with the problem where it is refused."""
        options.setdefault("origin", self.url)
        ws = await self.client.ws_connect(f"{self.url}/socket.io/?EIO=4&transport=websocket", **options)
        assert (await ws.receive_str()).startswith("0")
        await ws.send_str("40" + (orjson.dumps(who.auth).decode() if who and who.auth else ""))
        answer = await asyncio.wait_for(ws.receive(), PATIENCE)
        if answer.type is not aiohttp.WSMsgType.TEXT or not answer.data.startswith("40"):
            await ws.close()
            said = answer.data[2:] if answer.type is aiohttp.WSMsgType.TEXT else "{}"
            raise Closed(orjson.loads(said).get("data", {}))
        peer = Peer(ws, [answer.data])
        peer.reading = asyncio.create_task(peer.read())
        return peer

    async def ask(
        self, declared: Command[Any, Any] | Query[Any, Any], who: Somebody, ask: dict[str, Any], **headers: str
    ) -> httpx2.Response:
        """Put a flat ask to a declared address: its path takes what it names, body or query string the rest."""
        method, _, path = declared.route.partition(" ")
        inside = {name: value for name, value in ask.items() if f"{{{name}}}" in path}
        rest = {name: value for name, value in ask.items() if name not in inside}
        carried = {"params": rest} if method == "GET" else {"json": rest}
        return await self.http.request(
            method, "/api/v1" + path.format(**inside), headers={**who.headers, **headers}, **carried
        )

    async def sign_in(self, role: Role, world: World | None = None, **ids: int) -> Somebody:
        """A new account, signed in."""
        email = f"{role}{next(NUMBERS)}@clinic.example"
        return person(await (world or self.world).account(role, email, **ids))

    async def enrolled(self, kind: str = "board", world: World | None = None, location: int | None = None) -> Somebody:
        """A new device."""
        place = world or self.world
        pairing = await place.do("open-pairing", access.ANONYMOUS)
        await place.do(
            "enroll-device",
            "admin",
            code=pairing.code,
            location_id=location or place.location,
            name=f"{kind} {next(NUMBERS)}",
            kind=kind,
        )
        return screen(pairing.secret)

    async def waiting_screen(self) -> Somebody:
        """A screen that shows its code."""
        return Somebody(f"Pairing {(await self.world.do('open-pairing', access.ANONYMOUS)).secret}")

    async def desk(self, world: World | None = None) -> int:
        """A desk of its own, since one desk calls one patient at a time."""
        place = world or self.world
        async with place.pool.acquire() as conn:
            return await catalog.add_desk(conn, place.location, f"Desk {next(NUMBERS)}")  # type: ignore[arg-type]


@asynccontextmanager
async def served(database_url: str, redis_url: str, **settings: Any) -> AsyncIterator[House]:
    """A clinic that listens on a port of this machine, on this very loop."""
    async with AsyncExitStack() as stack:
        world = await stack.enter_async_context(opened(database_url, redis_url))
        # Tests knock far more often than people do.
        settings = {"limit_person": None, "limit_ticket": None, "limit_stranger": None, **settings}
        app = create_app(Config(database_url=database_url, redis_url=redis_url, **settings))
        server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, access_log=False, **UVICORN))
        serving = asyncio.create_task(server.serve())
        while not server.started:
            assert not serving.done()
            await asyncio.sleep(0.005)

        async def stop() -> None:
            server.should_exit = True
            await serving

        stack.push_async_callback(stop)
        port = server.servers[0].sockets[0].getsockname()[1]
        http = await stack.enter_async_context(httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}"))
        client = await stack.enter_async_context(aiohttp.ClientSession())
        yield House(world, app, port, http, client)
