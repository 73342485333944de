"""What the fan-out promises, over real sockets and a real uvicorn."""

import asyncio
import inspect
import itertools
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.metadata import version
from typing import Any

import aiohttp
import engineio
import orjson
import pytest
import socketio
import uvicorn
from engineio.async_socket import AsyncSocket
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from server import fanout

ROOM = "board:1"
SOON = 10.0


class House:
    """A running server with one room, and what its handlers saw."""

    def __init__(self, sio: fanout.DirectServer) -> None:
        self.sio = sio
        self.manager: fanout.DirectManager = sio.manager
        self.port = 0
        self.ran: list[Any] = []
        self.left: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
        sio.on("connect", self.connect)
        sio.on("join", self.join)
        sio.on("say", self.say)
        sio.on("disconnect", self.disconnect)

    async def connect(self, sid: str, environ: dict[str, Any], auth: Any) -> bool:
        await asyncio.sleep(0)
        return auth != "refuse"

    async def join(self, sid: str, *_: Any) -> dict[str, Any]:
        await self.sio.enter_room(sid, ROOM)
        return {"ok": orjson.Fragment(b'{"room":1}')}

    async def say(self, sid: str, number: int) -> int:
        await asyncio.sleep(0.001 * (number % 3))
        self.ran.append(number)
        return number

    async def disconnect(self, sid: str, reason: str) -> None:
        self.left.put_nowait((sid, reason))

    def broadcast(self, number: int, filler: str = "") -> None:
        self.manager.broadcast(ROOM, b"2" + orjson.dumps(["n", number, filler] if filler else ["n", number]))

    @property
    def sockets(self) -> dict[str, fanout.DirectSocket]:
        sockets: dict[str, fanout.DirectSocket] = self.sio.eio.sockets
        return sockets


@asynccontextmanager
async def running(ws: Any = fanout.DirectWebSocketProtocol, **options: Any) -> AsyncIterator[House]:
    house = House(fanout.make_server(**options))
    listener = socket.create_server(("127.0.0.1", 0))
    house.port = listener.getsockname()[1]
    app = socketio.ASGIApp(house.sio)
    config = uvicorn.Config(app, lifespan="off", log_level="error", **(fanout.UVICORN | {"ws": ws}))
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve([listener]))
    await until(lambda: server.started)
    try:
        yield house
    finally:
        await house.sio.shutdown()
        server.should_exit = True
        async with asyncio.timeout(SOON):
            await serving


async def until(fact: Callable[[], object]) -> None:
    async with asyncio.timeout(SOON):
        while not fact():  # noqa: ASYNC110  the facts are others' and tell nobody
            await asyncio.sleep(0.005)


@pytest.fixture
async def house() -> AsyncIterator[House]:
    async with running() as open_house:
        yield open_house


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@asynccontextmanager
async def official(house: House, *transports: str) -> AsyncIterator[list[int]]:
    """A real Socket.IO client in the room; yields the numbers that it gets."""
    got: list[int] = []
    client = socketio.AsyncClient(reconnection=False)
    client.on("n", lambda number, *_: got.append(number))
    await client.connect(f"http://127.0.0.1:{house.port}", transports=list(transports))
    assert await client.call("join") == {"ok": {"room": 1}}
    try:
        yield got
    finally:
        await client.disconnect()


async def by_hand(house: House, http: aiohttp.ClientSession, join: bool = True) -> aiohttp.ClientWebSocketResponse:
    """A WebSocket that has spoken Socket.IO's handshake."""
    ws = await http.ws_connect(f"http://127.0.0.1:{house.port}/socket.io/?EIO=4&transport=websocket")
    assert (await ws.receive_str()).startswith("0{")
    await ws.send_str("40")
    assert (await ws.receive_str()).startswith("40{")
    if join:
        await ws.send_str('420["join"]')
        assert await ws.receive_str() == '430[{"ok":{"room":1}}]'
    return ws


def number_in(packet: str) -> int | None:
    return int(orjson.loads(packet[2:])[1]) if packet.startswith("42") else None


@pytest.mark.parametrize("transports", [("websocket",), ("polling",), ("polling", "websocket")])
@pytest.mark.parametrize("ws", [fanout.DirectWebSocketProtocol, "websockets-sansio"])
async def test_broadcasts_emits_and_acks_arrive_in_the_order_of_the_calls(transports: tuple[str, ...], ws: Any) -> None:
    async with running(ws) as house, official(house, *transports) as got:
        for number in range(200):
            if number % 3:
                house.broadcast(number)
            else:
                await house.sio.emit("n", number, room=ROOM)
            if number % 20 == 19:
                await asyncio.sleep(0.005)
        await until(lambda: len(got) == 200)
        assert got == list(range(200))
        assert bool(house.manager.delivered_direct) == ("websocket" in transports and not isinstance(ws, str))


async def test_an_event_of_before_a_socket_joined_is_not_sent_to_it(house: House, http: aiohttp.ClientSession) -> None:
    ws = await by_hand(house, http, join=False)
    sid = house.manager.sid_from_eio_sid(next(iter(house.sockets)), "/")
    house.broadcast(1)
    await house.sio.enter_room(sid, ROOM)
    house.broadcast(2)
    await house.sio.leave_room(sid, ROOM)
    house.broadcast(3)
    await house.sio.emit("n", 4, to=sid)
    assert [number_in(await ws.receive_str()) for _ in range(2)] == [2, 4]


async def test_an_ack_stays_behind_the_events_broadcast_before_it(house: House, http: aiohttp.ClientSession) -> None:
    ws = await by_hand(house, http)

    async def mixed(sid: str) -> str:
        house.broadcast(1)
        house.broadcast(2)
        return "acked"

    house.sio.on("mixed", mixed)
    await ws.send_str('427["mixed"]')
    packets = [await ws.receive_str() for _ in range(3)]
    assert packets == ['42["n",1]', '42["n",2]', '437["acked"]']


async def upgrade_under_fire(house: House, http: aiohttp.ClientSession, polls: int) -> list[int]:
    """Poll a few times, move to a WebSocket as socket.io-client does, and return the numbers got on the way."""
    url = f"http://127.0.0.1:{house.port}/socket.io/?EIO=4&transport="
    got: list[int] = []

    async def get(sid: str) -> list[str]:
        async with http.get(f"{url}polling{sid}") as answer:
            packets = (await answer.text()).split("\x1e")
        got.extend(number for packet in packets if (number := number_in(packet)) is not None)
        return packets

    async def post(sid: str, packet: str) -> None:
        async with http.post(f"{url}polling{sid}", data=packet) as answer:
            assert answer.status == 200

    sid = "&sid=" + orjson.loads((await get(""))[0][1:])["sid"]
    await post(sid, "40")
    await get(sid)
    await post(sid, '42["join"]')
    for _ in range(polls):
        await get(sid)
    polling = asyncio.create_task(get(sid))
    async with http.ws_connect(f"{url}websocket{sid}") as ws:
        await ws.send_str("2probe")
        assert await ws.receive_str() == "3probe"
        await polling
        assert await get(sid) == ["6"], "a poll during the upgrade takes no packets"
        await ws.send_str("5")
        last = len(got) + 100
        while len(got) < last:
            if (number := number_in(await ws.receive_str())) is not None:
                got.append(number)
    return got


async def test_nothing_is_lost_repeated_or_reordered_by_an_upgrade_under_fire(http: aiohttp.ClientSession) -> None:
    async def fire(house: House) -> None:
        for number in itertools.count():
            if number % 3:
                house.broadcast(number)
            else:
                await house.sio.emit("n", number, room=ROOM)
                await asyncio.sleep(0.0005)

    async with running(queue_bound=100_000) as house:
        firing = asyncio.create_task(fire(house))
        try:
            async with asyncio.timeout(SOON * 3):
                runs = await asyncio.gather(*(upgrade_under_fire(house, http, polls) for polls in range(12)))
        finally:
            firing.cancel()
    for got in runs:
        assert len(got) >= 100
        assert got == list(range(got[0], got[0] + len(got)))


async def test_an_upgrade_and_a_broadcast_in_one_step_keep_the_order(
    house: House, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    adopt = fanout.DirectSocket.adopt

    def amid_broadcasts(held: fanout.DirectSocket, wire: fanout.DirectWebSocketProtocol) -> None:
        for number in range(1000, 1005):
            house.broadcast(number)
        house.manager.flush()
        house.broadcast(1005)
        adopt(held, wire)
        for number in range(1006, 1100):
            house.broadcast(number)

    monkeypatch.setattr(fanout.DirectSocket, "adopt", amid_broadcasts)
    assert await upgrade_under_fire(house, http, 0) == list(range(1000, 1100))


async def test_a_client_that_stops_reading_is_cut_and_the_others_go_on(http: aiohttp.ClientSession) -> None:
    async with running(write_bound=256 * 1024) as house, official(house, "websocket") as got:
        deaf = await by_hand(house, http)
        assert deaf._conn is not None and deaf._conn.transport is not None  # type: ignore[attr-defined]
        deaf._conn.transport.pause_reading()  # type: ignore[attr-defined]
        sent = 0
        while not house.manager.cut_slow:
            sent += 1
            house.broadcast(sent, "x" * 50_000)
            await until(lambda: len(got) == sent)  # noqa: B023
            assert sent < 2000
        assert (await house.left.get())[1] == "transport error"
        house.broadcast(sent + 1)
        await until(lambda: len(got) == sent + 1)
        assert got == list(range(1, sent + 2)) and house.manager.cut_slow == 1 and len(house.sockets) == 1


async def test_a_long_polling_client_that_stops_polling_is_cut(http: aiohttp.ClientSession) -> None:
    async with running(queue_bound=50) as house:
        url = f"http://127.0.0.1:{house.port}/socket.io/?EIO=4&transport=polling"
        opened = orjson.loads((await (await http.get(url)).text())[1:])
        for packet in ("40", '42["join"]'):
            assert (await http.post(f"{url}&sid={opened['sid']}", data=packet)).status == 200
        for number in range(100):
            house.broadcast(number)
        assert (await house.left.get())[1] == "transport error"
        assert house.manager.cut_slow == 1 and not house.sockets
        assert (await http.get(f"{url}&sid={opened['sid']}")).status == 400


async def test_a_lost_connection_leaves_nothing_behind(house: House, http: aiohttp.ClientSession) -> None:
    others = [await by_hand(house, http) for _ in range(3)]
    lost = await by_hand(house, http)
    assert lost._conn is not None and lost._conn.transport is not None  # type: ignore[attr-defined]
    lost._conn.transport.abort()  # type: ignore[attr-defined]
    house.broadcast(1)
    assert (await house.left.get())[1] == "transport close"
    assert [await ws.receive_str() for ws in others] == ['42["n",1]'] * 3
    for ws in others:
        await ws.close()
    await until(lambda: house.left.qsize() == 3 and not house.sockets)
    assert house.manager.rooms == {"/": {None: {}}} and not house.manager.joined and not house.sio.environ


async def test_what_a_client_sent_before_it_left_is_handled_before_its_leaving(
    house: House, http: aiohttp.ClientSession
) -> None:
    ws = await by_hand(house, http)
    for number in range(40):
        await ws.send_str(f'42["say",{number}]')
    await ws.close()
    await house.left.get()
    assert house.ran == list(range(40))


async def test_a_client_that_answers_no_ping_is_disconnected_and_one_that_does_stays(
    http: aiohttp.ClientSession,
) -> None:
    async with running(ping_interval=0.1, ping_timeout=0.2) as house:
        alive, _silent = await by_hand(house, http), await by_hand(house, http)
        pings = 0
        while house.left.empty() or pings < 6:
            assert await alive.receive_str() == "2"
            await alive.send_str("3")
            pings += 1
        assert house.left.get_nowait()[1] == "ping timeout"
        assert len(house.sockets) == 1 and house.left.empty()


async def test_a_connection_that_never_signs_in_is_dropped(http: aiohttp.ClientSession) -> None:
    async with running(ping_interval=0.1) as house:
        ws = await http.ws_connect(f"http://127.0.0.1:{house.port}/socket.io/?EIO=4&transport=websocket")
        await ws.receive_str()
        await ws.send_str('40"refuse"')
        assert (await ws.receive_str()).startswith("44")
        await until(lambda: not house.sockets)


@pytest.mark.parametrize("body", ["9", "x", "", '42["disconnect"]', "bAAAA", "4" + "[" * 5000, '42["say",1]\x1e' * 300])
async def test_a_malformed_post_ends_the_session_that_sent_it(http: aiohttp.ClientSession, body: str) -> None:
    async with running() as house:
        url = f"http://127.0.0.1:{house.port}/socket.io/?EIO=4&transport=polling"
        opened = orjson.loads((await (await http.get(url)).text())[1:])
        await http.post(f"{url}&sid={opened['sid']}", data="40")
        answer = await http.post(f"{url}&sid={opened['sid']}", data=body)
        assert answer.status in (200, 400)
        if body:
            await house.left.get()
            assert not house.sockets and not house.ran


Send = Callable[[aiohttp.ClientWebSocketResponse], Awaitable[None]]


async def _fragments(ws: aiohttp.ClientWebSocketResponse) -> None:
    await ws.send_frame(b"4", aiohttp.WSMsgType.TEXT)
    transport = ws._conn.transport  # type: ignore[union-attr]
    transport.write(b"\x01\x80\x00\x00\x00\x00" + b"\x00\x80\x00\x00\x00\x00" * 200)


MALFORMED: dict[str, Send] = {
    "an event that is no list": lambda ws: ws.send_str('42{"a":1}'),
    "an event without a name": lambda ws: ws.send_str("42[]"),
    "an event named as a handler of ours": lambda ws: ws.send_str('42["disconnect","me"]'),
    "binary attachments": lambda ws: ws.send_str('451-["say",{"_placeholder":true,"num":0}]'),
    "a binary frame": lambda ws: ws.send_bytes(b"4x"),
    "a connect error": lambda ws: ws.send_str('44"x"'),
    "an unknown packet": lambda ws: ws.send_str("9"),
    "an empty message": lambda ws: ws.send_str(""),
    "an object for a packet": lambda ws: ws.send_str('4{"a":1}'),
    "broken JSON": lambda ws: ws.send_str('42["say",'),
    "JSON too deep": lambda ws: ws.send_str('42["say",' + "[" * 30_000),
    "a message too long": lambda ws: ws.send_str('42["say",' + "1" * fanout.INBOUND_MAX + "]"),
    "text that isn't UTF-8": lambda ws: ws.send_frame(b"42\xff\xff", aiohttp.WSMsgType.TEXT),
    "fragments without end": _fragments,
}


@pytest.mark.parametrize("send", MALFORMED.values(), ids=MALFORMED.keys())
async def test_a_client_that_breaks_the_protocol_is_disconnected(
    house: House, http: aiohttp.ClientSession, send: Send
) -> None:
    good, bad = await by_hand(house, http), await by_hand(house, http)
    await send(bad)
    async with asyncio.timeout(SOON):
        while (message := await bad.receive()).type is aiohttp.WSMsgType.TEXT:
            assert message.data == "1"
        await house.left.get()
    house.broadcast(1)
    assert await good.receive_str() == '42["n",1]'
    assert house.ran == [] and house.left.empty() and len(house.sockets) == 1


async def test_commands_of_one_client_run_one_after_the_other(house: House, http: aiohttp.ClientSession) -> None:
    ws = await by_hand(house, http)
    for number in range(50):
        await ws.send_str(f'42{number}["say",{number}]')
    assert [await ws.receive_str() for _ in range(50)] == [f"43{number}[{number}]" for number in range(50)]


async def test_idle_sockets_hold_no_task_and_no_copy_of_their_handshake(
    house: House, http: aiohttp.ClientSession
) -> None:
    first = await by_hand(house, http)
    tasks = len(asyncio.all_tasks())
    others = [await by_hand(house, http) for _ in range(20)]
    assert len(asyncio.all_tasks()) == tasks
    assert not house.sio.environ
    for held in house.sockets.values():
        assert held.wire is not None and not hasattr(held.wire, "scope") and not hasattr(held.wire, "request")
    assert not first.closed and not any(ws.closed for ws in others)


async def test_the_server_stops_although_a_client_reads_nothing(http: aiohttp.ClientSession) -> None:
    async with AsyncExitStack() as stack:
        house = await stack.enter_async_context(running())
        deaf = await by_hand(house, http)
        deaf._conn.transport.pause_reading()  # type: ignore[union-attr]
        wire = next(iter(house.sockets.values())).wire
        assert wire is not None
        while not wire.congested:
            house.broadcast(1, "x" * 50_000)
            await asyncio.sleep(0)


def test_what_is_used_of_the_insides_of_others_is_still_there() -> None:
    """A new version of these three must be read again before it is used: the direct path leans on their insides."""
    versions = {name: version(name) for name in ("python-socketio", "python-engineio", "uvicorn", "websockets")}
    assert versions == {
        "python-socketio": "5.18.1",
        "python-engineio": "4.15.1",
        "uvicorn": "0.54.0",
        "websockets": "17.4",
    }
    used = {
        WebSocketsSansIOProtocol: "run_asgi send_500_response stop_keepalive send_receive_event_to_app handle_cont "
        "handle_bytes handle_ping handle_close handle_parser_exception shutdown pause_writing resume_writing",
        HttpToolsProtocol: "handle_websocket_upgrade",
        AsyncSocket: "receive send poll check_ping_timeout schedule_ping close handle_get_request _upgrade_websocket",
        engineio.AsyncServer: "_service_task _handle_connect _trigger_event _unauthorized _bad_request _ok _upgrades",
        socketio.AsyncServer: "_handle_connect _handle_disconnect _handle_event _handle_ack _handle_eio_message "
        "_engineio_server_class reserved_events",
        socketio.AsyncManager: "emit get_participants basic_enter_room basic_leave_room basic_disconnect get_rooms "
        "is_sid_room sid_from_eio_sid is_connected _generate_ack_id",
    }
    for owner, names in used.items():
        assert not [name for name in names.split() if not callable(getattr(owner, name)) and name != "reserved_events"]
    attributes = {
        WebSocketsSansIOProtocol: "transport queue writable conn tasks close_timer close_sent read_paused frames scope "
        "request response disconnected handshake_complete",
        engineio.base_socket.BaseSocket: "queue last_ping connected upgrading upgraded closing closed",
        engineio.base_server.BaseServer: "sockets service_task_handle service_task_event ping_interval ping_timeout",
        socketio.base_manager.BaseManager: "rooms callbacks pending_connect pending_disconnect",
    }
    for owner, names in attributes.items():
        source = inspect.getsource(owner)
        assert not [name for name in names.split() if f"self.{name} " not in source and f"self.{name}:" not in source]
