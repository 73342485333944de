"""One event to every socket of a room, encoded once and written straight to the wire.

Owns all that Callboard knows about the insides of uvicorn, python-engineio and python-socketio (their versions
are pinned; `tests/test_fanout.py` names every private attribute used here).

Invariant: a client receives what is broadcast, emitted or acknowledged to it in the order of those calls, each
once; or it is disconnected, and resubscribes. No client holds more of the server's memory than the bounds below.

How: once a WebSocket is established, or a long-polling client has upgraded to one, its `DirectSocket` *adopts* the
connection. From then on there is one way out, a synchronous write of a finished frame to the transport, so there is
no queue for a later packet to overtake; and one way in, called by the transport when bytes arrive, so an idle socket
needs no task. (Stock python-engineio keeps four tasks and two queues for each socket: that was half of its memory.)
Packets queued before adoption are written in the same synchronous step in which the socket adopts the connection.
Long-polling clients, and servers other than `DirectWebSocketProtocol`, keep Engine.IO's own queue.
"""

from __future__ import annotations

import asyncio
import logging
import struct
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Iterator
from typing import Any

import engineio
import orjson
import socketio
from bidict import bidict
from engineio import exceptions, payload
from engineio.async_socket import AsyncSocket
from engineio.packet import CLOSE, MESSAGE, NOOP, OPEN, PING, PONG, UPGRADE, Packet
from socketio import packet as socketio_packet
from typing_extensions import override
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from server import errors

EXTENSION = "callboard.direct"
NAMESPACE = "/"
INBOUND_MAX = 64 * 1024  # bytes of one message from a client
WRITE_BOUND = 1024 * 1024  # bytes that a slow WebSocket may leave unread; counts from the transport's high-water mark
QUEUE_BOUND = 256  # packets that a long-polling client may leave unfetched
HELD_BOUND = 64 * 1024  # bytes of events that one step of the event loop may collect for a room
INBOX_BOUND = 16  # messages of one client that wait for its earlier ones, before its connection is read no further
POLL_BATCH = 16  # packets in one long-polling answer: the Python client refuses more
FRAGMENTS_MAX = 64  # of one message: its size is bounded, the number of its parts would not be
CLOSE_TIMEOUT = 2.0  # seconds for a client to answer our close frame

log = logging.getLogger("callboard.fanout")


def text_frame(message: bytes) -> bytes:
    """Return the unmasked, unfragmented WebSocket text frame (RFC 6455, 5.2) of an Engine.IO packet."""
    size = len(message)
    if size < 126:
        return struct.pack("!BB", 0x81, size) + message
    if size < 65536:
        return struct.pack("!BBH", 0x81, 126, size) + message
    return struct.pack("!BBQ", 0x81, 127, size) + message


class _Nowhere:
    """Stands in for the ASGI receive queue of an adopted connection, which nobody reads."""

    def put_nowait(self, event: object) -> None:
        """Forget the event: the socket hears of it directly."""


_NOWHERE: Any = _Nowhere()
_ALWAYS = asyncio.Event()
_ALWAYS.set()


class DirectWebSocketProtocol(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket protocol (`ws=`), which an Engine.IO socket may adopt and then writes to and reads directly.

    Writing finished frames past websockets' state machine is sound while no close frame was sent and no message of
    ours is fragmented: the machine keeps no other state about what it sends.
    """

    socket: DirectSocket | None = None
    congested = False

    @override
    async def run_asgi(self) -> None:
        """Run the application for the handshake; an adopted connection outlives it."""
        extensions: Any = self.scope["extensions"]
        extensions[EXTENSION] = self
        try:
            await self.app(self.scope, self.receive, self.send)
        except ClientDisconnected:
            pass
        except BaseException:
            self.logger.exception("Exception in ASGI application\n")
            self.send_500_response()
            self.transport.close()
        else:
            if not self.handshake_complete:
                self.logger.error("ASGI callable returned without completing handshake.")
                self.send_500_response()
        if self.socket is None and self.close_timer is None:
            self.transport.close()

    def adopt(self, socket: DirectSocket) -> None:
        """Hand this connection to the socket, with whatever arrived before."""
        early, self.queue = self.queue, _NOWHERE
        self.socket = socket
        self.conn.max_message_size = socket.server.max_http_buffer_size
        self.stop_keepalive()  # Engine.IO has a heartbeat of its own
        self.writable = _ALWAYS
        # The handshake's copies of the request headers would stay for as long as the connection does.
        del self.scope, self.request, self.response
        while not early.empty():
            event: Any = early.get_nowait()
            if event["type"] == "websocket.disconnect":
                self.detach()
            elif self.socket is not None and isinstance(event.get("text"), str):
                socket.arrived(self, event["text"])
            else:
                self.refuse(1003, "text only")
        if self.disconnected:
            self.detach()
        self.resume()

    def write(self, frame: bytes) -> bool:
        """Write one frame, or cut the connection when its client has left too much unread; False when cut."""
        if self.congested and self.socket is not None:
            engine = self.socket.server
            if self.transport.get_write_buffer_size() > engine.write_bound:
                engine.cut_slow += 1
                self.socket.cut(engine.reason.TRANSPORT_ERROR)
                return False
        try:
            self.transport.write(frame)
        except (OSError, RuntimeError):  # one dead connection must not cost a room its event
            self.abort()
            return False
        return True

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run work as one of uvicorn's tasks, for which its shutdown waits."""
        task = self.loop.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def detach(self) -> None:
        """Write and read nothing more for the socket; it learns that its connection has ended."""
        socket, self.socket = self.socket, None
        if socket is not None:
            socket.lost(self)

    def abort(self) -> None:
        """Drop the connection and what it hasn't sent."""
        self.detach()
        self.transport.abort()

    def finish(self) -> None:
        """Close in good order; a client that doesn't answer is dropped."""
        self.detach()
        if self.close_sent or self.transport.is_closing():
            return
        self.conn.send_close(1000)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self.close_timer = self.loop.call_later(CLOSE_TIMEOUT, self.transport.abort)

    def refuse(self, code: int, reason: str) -> None:
        """Close because of what the client sent."""
        self.conn.fail(code, reason)
        self.handle_parser_exception()

    def pause(self) -> None:
        """Read nothing more from the client for now."""
        if not self.read_paused:
            self.read_paused = True
            self.transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if self.read_paused and not self.transport.is_closing():
            self.read_paused = False
            self.transport.resume_reading()

    # What uvicorn and the transport call.

    @override
    def pause_writing(self) -> None:
        self.congested = True
        if self.writable is not _ALWAYS:
            super().pause_writing()

    @override
    def resume_writing(self) -> None:
        self.congested = False
        super().resume_writing()

    @override
    def send_receive_event_to_app(self) -> None:
        if self.socket is None:
            super().send_receive_event_to_app()
            return
        message, self.frames = b"".join(self.frames), []
        try:
            text = message.decode()
        except UnicodeDecodeError:
            self.refuse(1007, "not UTF-8")
        else:
            self.socket.arrived(self, text)

    @override
    def handle_cont(self, event: Any) -> None:
        if len(self.frames) >= FRAGMENTS_MAX:
            self.refuse(1008, "too many fragments")
        else:
            super().handle_cont(event)

    @override
    def handle_bytes(self, event: Any) -> None:
        if self.socket is None:
            super().handle_bytes(event)
        else:
            self.refuse(1003, "text only")

    @override
    def handle_ping(self) -> None:
        # A client that pings and never reads would otherwise fill the buffer with pongs.
        if self.socket is None:
            super().handle_ping()
        else:
            self.write(b"".join(self.conn.data_to_send()))

    @override
    def handle_close(self, event: Any) -> None:
        self.detach()
        super().handle_close(event)

    @override
    def handle_parser_exception(self) -> None:
        self.detach()
        super().handle_parser_exception()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.detach()

    @override
    def shutdown(self) -> None:
        if self.socket is None and self.queue is not _NOWHERE:
            super().shutdown()
            return
        self.detach()
        if not self.transport.is_closing():
            super().shutdown()
        # What a client has left unread must not hold up the server's end.
        self.loop.call_later(CLOSE_TIMEOUT / 2, self.transport.abort)


class DirectSocket(AsyncSocket):  # type: ignore[misc]
    """One Engine.IO client; `wire` is its adopted WebSocket, None while it has none."""

    server: DirectEngine
    queue: Any
    closing: bool
    closed: bool

    def __init__(self, server: DirectEngine, sid: str) -> None:
        super().__init__(server, sid)
        self.last_ping: float | None = time.monotonic()  # None: answered, the next ping is due later
        self.wire: DirectWebSocketProtocol | None = None
        self.inbox: deque[str] | None = None  # None: nothing is being handled
        self.ended: str | None = None  # the reason, once the connection is gone

    def post(self, packet: Packet) -> bool:
        """Send a packet after all earlier ones; True when it went straight to the wire."""
        self.server.flush()
        if self.wire is not None:
            return self.wire.write(text_frame(packet.encode().encode()))
        self.enqueue(packet)
        return False

    def enqueue(self, packet: Packet) -> None:
        """Keep a packet for a client without a wire, or cut the client when it has left too many unfetched."""
        if self.closing or self.ended is not None:
            return
        if self.queue.qsize() < self.server.queue_bound:
            self.queue.put_nowait(packet)
        else:
            self.server.cut_slow += 1
            self.cut(self.server.reason.TRANSPORT_ERROR)

    def cut(self, reason: str) -> None:
        """Disconnect the client without waiting for it, and forget what it hasn't read."""
        self.ended = self.ended or reason
        if self.wire is not None:
            self.wire.abort()
        elif not self.closing and self.queue is not _NOWHERE:
            while not self.queue.empty():
                self.queue.get_nowait()
                self.queue.task_done()
            self.queue.put_nowait(None)  # ends Engine.IO's own writer on a server without adoption
            self.server.spawn(self.close(wait=False, abort=True, reason=self.ended))

    def adopt(self, wire: DirectWebSocketProtocol) -> None:
        """Take over an open WebSocket: what was queued leaves first, in this very step."""
        self.server.flush()
        self.connected = self.upgraded = True
        self.upgrading = False
        queued, self.queue = self.queue, _NOWHERE
        self.wire = wire
        wire.adopt(self)
        while not queued.empty() and self.wire is not None:
            packet = queued.get_nowait()
            if packet is not None:
                self.post(packet)
        queued.put_nowait(Packet(NOOP))  # a long poll that is still open ends

    def arrived(self, wire: DirectWebSocketProtocol, text: str) -> None:
        """Handle a message from the client after its earlier ones; a pong at once."""
        if not self.server.heard(self.sid):
            self.cut(self.server.reason.SERVER_DISCONNECT)
        elif text == "3":
            self.schedule_ping()
        elif self.inbox is None:
            self.inbox = deque((text,))
            wire.spawn(self.handle_inbox(wire))
        else:
            self.inbox.append(text)
            if len(self.inbox) > INBOX_BOUND:
                wire.pause()

    def lost(self, wire: DirectWebSocketProtocol) -> None:
        """Close once all that arrived before has been handled."""
        self.wire = None
        self.ended = self.ended or self.server.reason.TRANSPORT_CLOSE
        if self.inbox is None and not self.closing:
            self.inbox = deque()
            wire.spawn(self.handle_inbox(wire))

    async def handle_inbox(self, wire: DirectWebSocketProtocol) -> None:
        """Handle what arrived, in order."""
        inbox = self.inbox
        try:
            while inbox and not self.closing:
                text = inbox.popleft()
                try:
                    await self.receive(Packet(encoded_packet=text))
                except exceptions.SocketIsClosedError:
                    break
                except (ValueError, RecursionError, exceptions.UnknownPacketError):
                    self.cut(self.server.reason.TRANSPORT_ERROR)
                except Exception:
                    log.exception("a message was not handled")
                if len(inbox) <= INBOX_BOUND:
                    wire.resume()
        finally:
            self.inbox = None
        if self.ended is not None:
            await self.close(wait=False, abort=True, reason=self.ended)

    # What python-engineio calls.

    @override
    async def receive(self, pkt: Packet) -> None:
        if pkt.packet_type not in (CLOSE, PONG, MESSAGE):
            raise exceptions.UnknownPacketError
        await super().receive(pkt)

    @override
    async def handle_post_request(self, environ: dict[str, Any]) -> None:
        try:
            await super().handle_post_request(environ)
        except (ValueError, RecursionError, errors.TooSlow) as malformed:
            raise exceptions.UnknownPacketError from malformed

    @override
    async def send(self, pkt: Packet) -> None:
        if self.closed:
            raise exceptions.SocketIsClosedError
        self.post(pkt)

    @override
    async def poll(self) -> list[Packet]:
        # Not wait_for: on Python 3.11 that gets in a task of its own, and a packet taken there is lost when cancelled.
        try:
            async with asyncio.timeout(self.server.ping_interval + self.server.ping_timeout):
                packets = [await self.queue.get()]
        except (TimeoutError, asyncio.CancelledError):
            raise exceptions.QueueEmpty from None
        self.queue.task_done()
        while packets[-1] is not None and len(packets) < POLL_BATCH and not self.queue.empty():
            packets.append(self.queue.get_nowait())
            self.queue.task_done()
        if packets == [None]:
            return []
        if packets[-1] is None:
            self.queue.put_nowait(packets.pop())
        return packets

    @override
    async def check_ping_timeout(self) -> bool:
        if self.closed:
            raise exceptions.SocketIsClosedError
        return True  # DirectEngine.beat sees to it

    @override
    def schedule_ping(self) -> None:
        if self.last_ping is not None:
            self.last_ping = None
            self.server.pings.append((time.monotonic(), self.sid))

    @override
    async def close(self, wait: bool = True, abort: bool = False, reason: str | None = None) -> None:
        # `wait` is not honoured: a client that never fetches its last packets would be waited for without end.
        if self.closing:
            return
        self.server.flush()
        self.closing = True
        wire = self.wire
        try:
            await self.server._trigger_event(
                "disconnect", self.sid, reason or self.server.reason.SERVER_DISCONNECT, run_async=False
            )
        finally:
            last = Packet(NOOP if abort else CLOSE)
            if self.wire is None:
                self.queue.put_nowait(last)  # a poll that is open ends
            elif not abort:
                self.post(last)
            self.closed = True
            self.server.sockets.pop(self.sid, None)
            self.server.left(self.sid)
            if wire is not None:
                wire.finish()

    @override
    async def _upgrade_websocket(self, environ: dict[str, Any]) -> Any:
        wire = environ["asgi.scope"].get("extensions", {}).get(EXTENSION)
        if not isinstance(wire, DirectWebSocketProtocol):
            return await super()._upgrade_websocket(environ)
        if self.upgraded or self.upgrading:
            return self.server._bad_request("upgraded already")
        await environ["asgi.send"]({"type": "websocket.accept"})
        if not self.connected or await self.probed(environ["asgi.receive"], environ["asgi.send"]):
            self.adopt(wire)
        return ""

    async def probed(self, receive: Callable[[], Any], send: Callable[[Any], Any]) -> bool:
        """True when a long-polling client has tried its new WebSocket and asks to move there.

        From here on packets are kept: polls are answered by empty ones until the client asks, or gives up.
        """
        self.upgrading = True
        try:
            async with asyncio.timeout(self.server.ping_timeout):
                if (await receive()).get("text") != f"{PING}probe":
                    return False
                await send({"type": "websocket.send", "text": f"{PONG}probe"})
                self.queue.put_nowait(Packet(NOOP))  # the poll that is open ends
                return bool((await receive()).get("text") == f"{UPGRADE}") and not self.closing
        except TimeoutError:
            return False
        finally:
            self.upgrading = False


class DirectEngine(engineio.AsyncServer):  # type: ignore[misc]
    """Engine.IO with adopted WebSockets and one heartbeat for all clients."""

    service_task_handle: asyncio.Task[None] | None

    def __init__(
        self,
        *,
        write_bound: int = WRITE_BOUND,
        queue_bound: int = QUEUE_BOUND,
        enter: Callable[[str, dict[str, Any]], bool] = lambda sid, environ: True,
        left: Callable[[str], None] = lambda sid: None,
        heard: Callable[[str], bool] = lambda sid: True,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.write_bound = write_bound
        self.queue_bound = queue_bound
        self.cut_slow = 0
        self.enter = enter
        self.left = left
        self.heard = heard
        self.admitted: Callable[[str], bool] = lambda sid: True
        self.flush: Callable[[], None] = lambda: None  # writes what a broadcast has collected
        # (since when, sid), both in order of time, since every client waits equally long.
        self.pings: deque[tuple[float, str]] = deque()
        self.pongs: deque[tuple[float, str]] = deque()
        self.tasks: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run work that nobody waits for."""
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def beat(self, now: float) -> None:
        """Ping every client whose turn it is, and cut those that owe an answer for too long."""
        while self.pings and self.pings[0][0] + self.ping_interval <= now:
            socket = self.sockets.get(self.pings.popleft()[1])
            if socket is None or socket.closing:
                continue
            if not self.admitted(socket.sid):  # connected, but never signed in
                socket.cut(self.reason.SERVER_DISCONNECT)
                continue
            socket.last_ping = now
            self.pongs.append((now, socket.sid))
            socket.post(Packet(PING))
        while self.pongs and self.pongs[0][0] + self.ping_timeout <= now:
            sent, sid = self.pongs.popleft()
            socket = self.sockets.get(sid)
            if socket is not None and socket.last_ping == sent:
                socket.cut(self.reason.PING_TIMEOUT)

    @override
    async def shutdown(self) -> None:
        # uvicorn waits for open requests, and a long poll is open until there is something to tell.
        for socket in list(self.sockets.values()):
            if socket.wire is None:
                await socket.close()
        await super().shutdown()

    @override
    async def _service_task(self) -> None:
        self.service_task_event = asyncio.Event()
        tick = min(1.0, self.ping_interval / 4, self.ping_timeout / 4)
        while not self.service_task_event.is_set():
            try:
                self.beat(time.monotonic())
            except Exception:
                log.exception("a heartbeat failed")
            try:
                async with asyncio.timeout(tick):
                    await self.service_task_event.wait()
            except TimeoutError:
                continue

    @override
    async def _handle_connect(self, environ: dict[str, Any], transport: str, jsonp_index: int | None = None) -> Any:
        if jsonp_index is not None:  # a foreign page may run as a script what it may not read
            return self._bad_request("no JSONP")
        if self.service_task_handle is None:
            self.service_task_handle = self.start_background_task(self._service_task)
        sid = self.generate_id()
        if not self.enter(sid, environ):
            return {
                "status": "503 SERVICE UNAVAILABLE",
                "headers": [("Content-Type", "text/plain"), ("Retry-After", "5")],
                "response": b"too many connections",
            }
        socket = self.sockets[sid] = DirectSocket(self, sid)
        opening = {
            "sid": sid,
            "upgrades": self._upgrades(sid, transport),
            "pingTimeout": int(self.ping_timeout * 1000),
            "pingInterval": int(self.ping_interval * 1000),
            "maxPayload": self.max_http_buffer_size,
        }
        socket.post(Packet(OPEN, opening))
        refusal = await self._trigger_event("connect", sid, environ, run_async=False)
        if refusal is not None and refusal is not True:
            self.sockets.pop(sid, None)
            self.left(sid)
            return self._unauthorized(refusal or None)
        socket.schedule_ping()
        if transport == "websocket":
            try:
                return await socket.handle_get_request(environ)
            finally:
                if socket.wire is None and not socket.closing:  # the handshake came to nothing
                    await socket.close(abort=True, reason=self.reason.TRANSPORT_ERROR)
        socket.connected = True
        return self._ok(await socket.poll(), jsonp_index=jsonp_index)


class _Json:
    """What python-socketio asks of a JSON module, by orjson: `orjson.Fragment` values are spliced in as they are."""

    @staticmethod
    def dumps(value: object, **_: object) -> str:
        return orjson.dumps(value).decode()

    loads = staticmethod(orjson.loads)


class TextPacket(socketio_packet.Packet):  # type: ignore[misc]
    """A Socket.IO packet without binary attachments, so that nobody walks its data in search of them."""

    uses_binary_events = False
    json = _Json


class DirectManager(socketio.AsyncManager):  # type: ignore[misc]
    """Rooms, and the delivery of events to them.

    A socket that is still in its connect handler is a member of its rooms too, and would get an event before the
    packet that says it is connected: enter rooms, and emit, only after the handler has returned.
    """

    def __init__(self) -> None:
        super().__init__()
        self.delivered_direct = 0
        self.delivered_queued = 0
        self.joined: dict[tuple[str, str], set[str]] = {}  # (namespace, sid) -> its rooms
        self.held: list[bytes] = []  # packets broadcast to `held_room` in this step of the event loop
        self.held_room = ""
        self.held_size = 0

    @property
    def cut_slow(self) -> int:
        """How many clients were cut because they didn't keep up."""
        return int(self.server.eio.cut_slow)

    def broadcast(self, room: str, packet: bytes) -> None:
        """Send a complete Socket.IO EVENT packet (`2["name",{…}]`) to every socket of the room.

        Events for one room in one step of the event loop leave together, one write per socket, at the end of the step
        or before anything else is sent or any room changes.
        """
        if room != self.held_room or self.held_size > HELD_BOUND:
            self.flush()
        if not self.held:
            asyncio.get_running_loop().call_soon(self.flush)
            self.held_room = room
        self.held.append(packet)
        self.held_size += len(packet)

    def flush(self) -> None:
        """Deliver what broadcasts have collected."""
        if self.held:
            packets, self.held, self.held_size = self.held, [], 0
            members = self.rooms.get(NAMESPACE, {}).get(self.held_room)
            if members:
                self._deliver(members.values(), packets)

    def _deliver(self, members: Iterable[str], packets: list[bytes]) -> None:
        frames = b"".join([text_frame(b"4" + packet) for packet in packets])
        queued: list[Packet] = []
        sockets = self.server.eio.sockets
        direct = total = 0
        for eio_sid in members:
            socket = sockets.get(eio_sid)
            if socket is None or socket.closing or socket.ended is not None:
                continue
            total += 1
            if socket.wire is not None:
                direct += socket.wire.write(frames)
            else:
                queued = queued or [Packet(MESSAGE, packet.decode()) for packet in packets]
                for one in queued:
                    socket.enqueue(one)
        self.delivered_direct += direct * len(packets)
        self.delivered_queued += (total - direct) * len(packets)

    # What python-socketio calls.

    @override
    async def emit(
        self,
        event: str,
        data: Any,
        namespace: str,
        room: Any = None,
        skip_sid: Any = None,
        callback: Any = None,
        to: Any = None,
        **_: Any,
    ) -> None:
        arguments = list(data) if isinstance(data, tuple) else [] if data is None else [data]
        skipped = skip_sid if isinstance(skip_sid, list) else [skip_sid]
        members = [pair for pair in self.get_participants(namespace, to or room) if pair[0] not in skipped]
        kind = socketio_packet.EVENT
        self.flush()
        # Without an await before the last delivery, so that a broadcast after this call stays after it.
        if not callback:
            packet = self.server.packet_class(kind, namespace=namespace, data=[event, *arguments])
            self._deliver([eio_sid for _, eio_sid in members], [packet.encode().encode()])
            return
        for sid, eio_sid in members:
            number = self._generate_ack_id(sid, callback)
            packet = self.server.packet_class(kind, namespace=namespace, data=[event, *arguments], id=number)
            self._deliver([eio_sid], [packet.encode().encode()])

    @override
    def get_participants(self, namespace: str, room: Any) -> Iterator[tuple[str, str]]:
        everybody = self.rooms.get(namespace, {}).get(None, {})
        chosen: dict[str, str] = {}
        for name in room if isinstance(room, list | tuple) else [room]:
            if name is not None and name in everybody:
                chosen[name] = everybody[name]
            else:
                chosen.update(self.rooms.get(namespace, {}).get(name, {}))
        yield from chosen.items()

    @override
    def basic_enter_room(self, sid: str, namespace: str, room: Any, eio_sid: str | None = None) -> None:
        # As in the base class, but plain dicts for rooms, none for the room of one that each socket is to itself,
        # and an index by socket: its disconnect walked through every room of the server, thus through every socket.
        rooms = self.rooms.setdefault(namespace, {None: bidict()})
        if room is None:
            rooms[None][sid] = eio_sid
        elif room == sid:
            return
        elif self.is_sid_room(namespace, room):
            raise ValueError("cannot enter the room of another socket")
        else:
            self.flush()
            rooms.setdefault(room, {})[sid] = rooms[None][sid] if eio_sid is None else eio_sid
            self.joined.setdefault((namespace, sid), set()).add(room)

    @override
    def basic_leave_room(self, sid: str, namespace: str, room: Any) -> None:
        self.flush()
        rooms = self.rooms.get(namespace, {})
        rooms.get(room, {}).pop(sid, None)
        if room is not None and room in rooms and not rooms[room]:
            del rooms[room]
        joined = self.joined.get((namespace, sid))
        if joined is not None:
            joined.discard(room)
            if not joined:
                del self.joined[namespace, sid]

    @override
    def basic_disconnect(self, sid: str, namespace: str, **_: Any) -> None:
        for room in [*self.joined.get((namespace, sid), ()), None]:
            self.basic_leave_room(sid, namespace, room)
        self.callbacks.pop(sid, None)
        for pending in (self.pending_connect, self.pending_disconnect):
            if sid in pending.get(namespace, ()):
                pending[namespace].remove(sid)

    @override
    def get_rooms(self, sid: str, namespace: str) -> list[str]:
        return [sid, *self.joined.get((namespace, sid), ())]


class DirectServer(socketio.AsyncServer):  # type: ignore[misc]
    """Socket.IO for text events in the default namespace; `environ` is there in the connect handler only."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.eio.flush = self.manager.flush
        self.eio.admitted = lambda eio_sid: self.manager.sid_from_eio_sid(eio_sid, NAMESPACE) is not None

    @override
    def _engineio_server_class(self) -> type[DirectEngine]:
        return DirectEngine

    @override
    async def _handle_connect(self, eio_sid: str, namespace: str | None, data: Any) -> None:
        if eio_sid not in self.environ:  # was signed in on this connection before: begin anew, on a new one
            await self.eio.disconnect(eio_sid)
            return
        await super()._handle_connect(eio_sid, namespace, data)
        sid = self.manager.sid_from_eio_sid(eio_sid, NAMESPACE)
        if not self.manager.is_connected(sid, NAMESPACE):
            return
        self.environ.pop(eio_sid, None)
        if eio_sid not in self.eio.sockets:  # left while the handler ran, and nobody was told
            await self._handle_disconnect(eio_sid, NAMESPACE, self.reason.TRANSPORT_CLOSE)

    @override
    async def _handle_eio_message(self, eio_sid: str, data: Any) -> None:
        """Handle one packet; a client that sends what no Socket.IO client would is disconnected."""
        packet = _decoded(data)
        if packet is None:
            await self.eio.disconnect(eio_sid)
        elif packet.packet_type == socketio_packet.CONNECT:
            await self._handle_connect(eio_sid, packet.namespace, packet.data)
        elif packet.packet_type == socketio_packet.DISCONNECT:
            await self._handle_disconnect(eio_sid, packet.namespace, self.reason.CLIENT_DISCONNECT)
        elif packet.packet_type == socketio_packet.EVENT:
            await self._handle_event(eio_sid, packet.namespace, packet.id, packet.data)
        else:
            await self._handle_ack(eio_sid, packet.namespace, packet.id, packet.data)


def _decoded(data: object) -> TextPacket | None:
    """Return the packet in a message of a client; None where it is malformed, binary or not a client's to send.

    An event named "connect" or "disconnect" would run the server's own handler of that name.
    """
    try:
        packet = TextPacket(encoded_packet=data) if isinstance(data, str) and data else None
    except (ValueError, RecursionError):
        return None
    if packet is None:
        return None
    kind, content = packet.packet_type, packet.data
    if kind == socketio_packet.EVENT:
        named = isinstance(content, list) and content and isinstance(content[0], str)
        return packet if named and content[0] not in socketio.AsyncServer.reserved_events else None
    if kind == socketio_packet.ACK:
        return packet if isinstance(content, list) and packet.id is not None else None
    return packet if kind in (socketio_packet.CONNECT, socketio_packet.DISCONNECT) else None


# For uvicorn.Config: our protocol, inbound messages bounded, no compression, no second heartbeat.
UVICORN: dict[str, Any] = {
    "ws": DirectWebSocketProtocol,
    "ws_max_size": INBOUND_MAX,
    "ws_per_message_deflate": False,
    "ws_ping_interval": None,
    "timeout_graceful_shutdown": 1,  # long polls are open until there is something to tell
}


def make_server(**options: Any) -> DirectServer:
    """Return a Socket.IO server with a `DirectManager`; options are python-socketio's and `DirectEngine`'s.

    `enter` is asked before a connection is opened, with its id and environ; `left` hears of the end of each that was;
    `heard` is asked with each message of a WebSocket, and where it says no, the connection is cut.
    """
    payload.Payload.max_decode_packets = 256  # their total size is bounded; clients send what they have in one POST
    quiet = logging.getLogger("callboard.socketio")
    quiet.setLevel(logging.ERROR)
    settings: dict[str, Any] = {
        "async_mode": "asgi",
        "client_manager": DirectManager(),
        "serializer": TextPacket,
        "async_handlers": False,  # a client's commands run one after the other, in its order
        "max_http_buffer_size": INBOUND_MAX,
        "cors_credentials": False,  # other origins' pages sign in by token
        "logger": quiet,
        "engineio_logger": quiet,
    }
    return DirectServer(**(settings | options))
