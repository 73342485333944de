"""The official Socket.IO clients, for JavaScript and Python, by every transport: connect, follow, command, catch up."""

import asyncio
import json
import shutil
import subprocess
from collections.abc import AsyncIterator
from typing import Any

import pytest
import socketio
from socketio.exceptions import ConnectionError as Refused

from server import logs
from server.access import Role
from server.config import ROOT
from tests.doors import PATIENCE, House, Somebody, served

TRANSPORTS = [["websocket"], ["polling", "websocket"], ["polling"]]
CLIENT = ROOT / "clients" / "vendor" / "socket.io.js"
NODE = ["node", "--experimental-websocket"]
"""Node has a WebSocket of its own from 22 on, and from 20.10 on where it is asked for."""


@pytest.fixture
async def house(database_url: str, redis_url: str) -> AsyncIterator[House]:
    logs.configure(level="error")
    async with served(database_url, redis_url) as house:
        yield house


def held(told: dict[str, Any], transports: list[str], queue: int) -> None:
    """Hold what either client reports: every event once, in order, wherever it came from."""
    assert told["refused"]["code"] == "not-authenticated"
    assert told["transport"] == transports[-1]
    assert told["first"]["snapshot"]["rows"]["queue"]["queue"] == queue
    start, tokens = told["first"]["version"], [one["token"] for one in told["joined"]]
    before, after = told["heard"][:2], told["heard"][2:]
    events = [*before, *told["missed"]["events"], *after]
    assert [one["version"] for one in events] == list(range(start + 1, start + 7))
    assert [one["data"]["token"] for one in events] == tokens
    assert len(told["missed"]["events"]) == 3
    assert {one["stream"] for one in events} == {f"board:{queue}"}
    assert told["unknown"]["code"] == "unknown-event"


@pytest.fixture(scope="session")
def node() -> list[str]:
    """A node that has a WebSocket."""
    if shutil.which("node") is None:
        pytest.skip("node is not here, so the JavaScript client was not tried; install node 20.10 or newer")
    probe = [*NODE, "--eval", "process.exit(typeof WebSocket === 'function' ? 0 : 1)"]
    if subprocess.run(probe, capture_output=True, timeout=30, check=False).returncode:
        pytest.skip("this node has no WebSocket, so the JavaScript client was not tried; install 20.10 or newer")
    return NODE


@pytest.mark.parametrize("transports", TRANSPORTS, ids="+".join)
async def test_javascript_client_follows_commands_and_catches_up(
    house: House, node: list[str], transports: list[str]
) -> None:
    assert "Socket.IO v4.8.4" in CLIENT.read_text()[:60]
    clerk, queue = await house.sign_in(Role.receptionist), await house.world.queue()
    asked = {
        "url": house.url,
        "client": CLIENT.as_uri(),
        "queue": queue,
        "stream": f"board:{queue}",
        "transports": transports,
        **(clerk.auth or {}),
    }
    running = await asyncio.create_subprocess_exec(
        *node,
        "--no-warnings",
        str(ROOT / "tests" / "js" / "official.mjs"),
        json.dumps(asked),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        said, wrong = await asyncio.wait_for(running.communicate(), 30)
    finally:
        if running.returncode is None:
            running.kill()
    assert running.returncode == 0, wrong.decode()
    held(json.loads(said), transports, queue)


class Follower:
    """A python-socketio client, and what it has heard."""

    def __init__(self, house: House, who: Somebody, transports: list[str]) -> None:
        self.house, self.who, self.transports = house, who, transports
        self.heard: list[dict[str, Any]] = []
        self.arrived = asyncio.Event()
        self.client = socketio.AsyncClient(reconnection=False)
        self.client.on("ticket-joined", self.note)

    def note(self, envelope: dict[str, Any]) -> None:
        """Keep an event."""
        self.heard.append(envelope)
        self.arrived.set()

    async def connect(self) -> None:
        """Open the connection; raises `Refused`."""
        await self.client.connect(self.house.url, auth=self.who.auth, transports=self.transports)

    async def call(self, event: str, **ask: Any) -> Any:
        """Send a command and wait for its ack."""
        return await self.client.call(event, ask, timeout=PATIENCE)

    async def until(self, count: int) -> None:
        """Wait for so many events."""
        async with asyncio.timeout(PATIENCE):
            while len(self.heard) < count:
                self.arrived.clear()
                await self.arrived.wait()


@pytest.mark.parametrize("transports", TRANSPORTS, ids="+".join)
async def test_python_client_follows_commands_and_catches_up(house: House, transports: list[str]) -> None:
    who, queue = await house.sign_in(Role.receptionist), await house.world.queue()
    nobody = Follower(house, Somebody(auth={"token": "nobody's"}), transports)
    refusals: list[Any] = []
    nobody.client.on("connect_error", refusals.append)
    with pytest.raises(Refused):
        await nobody.connect()
    follower, clerk = Follower(house, who, transports), Follower(house, who, transports)
    await follower.connect()
    await clerk.connect()

    async def join(name: str) -> Any:
        return (await clerk.call("join-queue", queue_id=queue, patient={"name": name}))["ok"]

    stream = f"board:{queue}"
    first = (await follower.call("subscribe", stream=stream))["ok"]
    joined = [await join("One"), await join("Two")]
    await follower.until(2)
    transport, last = follower.client.transport(), follower.heard[-1]
    await follower.client.disconnect()
    joined += [await join(name) for name in ("Three", "Four", "Five")]
    await follower.connect()
    missed = (await follower.call("subscribe", stream=stream, epoch=last["epoch"], version=last["version"]))["ok"]
    joined.append(await join("Six"))
    await follower.until(3)
    unknown = (await clerk.call("no-such-event"))["problem"]
    for one in (follower, clerk):
        await one.client.disconnect()
    told = {"refused": refusals[-1]["data"], "transport": transport, "first": first, "joined": joined}
    held({**told, "heard": follower.heard, "missed": missed, "unknown": unknown}, transports, queue)


async def test_server_that_offers_no_polling_still_serves_websockets(database_url: str, redis_url: str) -> None:
    async with served(database_url, redis_url, transports=["websocket"]) as house:
        who = await house.sign_in(Role.receptionist)
        by_wire = Follower(house, who, ["websocket"])
        await by_wire.connect()
        assert "ok" in await by_wire.call("hello")
        await by_wire.client.disconnect()
        with pytest.raises(Refused):
            await Follower(house, who, ["polling"]).connect()
