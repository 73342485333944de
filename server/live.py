"""The Socket.IO edge: who is connected, what they follow, and what they command.

Invariants:
- A socket joins a stream's room before its history is read, and what it gets from then on are consecutive versions: the
  ack's position, and every event broadcast after it. An event committed between the two is in one of them or in both,
  and receivers drop what they have.
- `Feed.last` is the version that the room has been sent; it moves by one, or everybody is told to subscribe again.
- Sockets of a credential that has ended are cut: at once by the control channel, and by a check of all credentials
  besides, should that message be lost.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from typing import Any, cast

import orjson
from pydantic import BaseModel
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeout
from socketio.exceptions import ConnectionRefusedError as Refused

from server import access, asks, errors, events, logs
from server.access import AGAIN, Actor, Origin, Role
from server.config import Config
from server.contract import CallShown, ClaimLock, Followed, Greeting, Subscribe, Unsubscribe
from server.doors import FORGIVEN, Doors
from server.events import BoardsShown, ShownBoard, Stream
from server.fanout import NAMESPACE, DirectServer
from server.publish import CONTROL, CaughtUp, Publisher, channel, ended, note
from server.store import LOST, Command, Store, permit

log = logs.get(__name__)

CHECK_EVERY = 2.0
"""Seconds between comparisons of what was sent with what Redis has."""
CREDENTIALS_EVERY = 30.0
SHOWN_EVERY = 0.1
"""Seconds in which boards' acknowledgements are gathered into one event."""
LINGER = 30.0
"""Seconds that a stream nobody follows is still followed in Redis: pages reload."""
OF_PATIENTS = frozenset({"staff", "doctor", "waitlist"})
"""Kinds of streams that show who waits or has an appointment: who follows one, and until when, is on the trail."""
READY_WITHIN = 5.0
"""Seconds in which a stream must be followed; a socket's other commands wait behind its subscribe."""
UNLINKED_WITHIN = 0.5
"""The same while there is no link to Redis: refuse, rather than hold up a console that only wants to call."""
PING_EVERY = 5.0
"""Seconds of silence after which the link to Redis is tried, and after twice as many given up."""
STREAMS_PER_SOCKET = 100
ANSWERS_KEPT = 64
"""Catch-ups of one stream that are kept for others who ask the same."""


@dataclass(slots=True)
class Socket:
    """One connection, and the streams it follows."""

    actor: Actor
    eio_sid: str = ""
    origin: Origin = access.NOWHERE
    streams: set[str] = field(default_factory=set)
    build: str | None = None
    """Of the page at its other end, once that has told."""
    held: set[str] = field(default_factory=set)
    """Tokens of the locks that its page has; they outlive it by a grace time."""
    refused: int = 0
    """Events beyond its limit."""
    used_at: float = field(default_factory=time.monotonic)
    """When its session was last noted as in use."""


@dataclass(slots=True)
class Feed:
    """One stream as this process follows it for its sockets."""

    stream: Stream[Any]
    epoch: str = ""
    last: int = -1
    """The version that the room was sent last."""
    sids: set[str] = field(default_factory=set)
    confirmed: asyncio.Event = field(default_factory=asyncio.Event)
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    busy: bool = True
    """Being brought in line with Redis; what arrives meanwhile waits in `pending`."""
    again: bool = False
    """Something was missed while it was being brought in line."""
    pending: list[tuple[int, str, str, bytes]] = field(default_factory=list)
    answers: dict[tuple[str | None, int | None], "asyncio.Task[CaughtUp]"] = field(default_factory=dict)
    """Catch-ups read since `last` moved, shared by all who ask for the same: a thousand boards reconnect at once."""
    empty_since: float = 0.0

    @property
    def room(self) -> str:
        """The room of its sockets."""
        return f"stream:{self.stream.name}"


@dataclass(slots=True)
class Mark:
    """How far a board that is connected here has shown a queue, as far as it told this process."""

    name: str
    shown: int = 0
    spoken: int = 0
    told_at: str = ""
    """The time in the row that this process told last."""


class Live:
    """Everything about the sockets of one process."""

    def __init__(
        self,
        sio: DirectServer,
        store: Store,
        publisher: Publisher,
        commands: Sequence[Command[Any, Any]],
        build: str,
        doors: Doors | None = None,
    ) -> None:
        self.sio = sio
        self.store = store
        self.publisher = publisher
        self.build = build
        self.doors = doors or Doors(Config())
        self.sockets: dict[str, Socket] = {}
        self.feeds: dict[str, Feed] = {}
        self._ended: dict[str, float] = {}
        """Actors and credentials that ended just now, and when."""
        self.resyncs = 0
        self.resets = 0
        self._commands: Mapping[str, Command[Any, Any]] = {
            # A socket's answer can set no cookie, so what gives the session a fresh token is asked over HTTP alone.
            command.name: command
            for command in commands
            if not issubclass(command.reply, asks.Rotated)
        }
        self._own = {
            "subscribe": self._subscribe,
            "unsubscribe": self._unsubscribe,
            "hello": self._hello,
            "call-shown": self._call_shown,
            "claim-lock": self._claim_lock,
        }
        if clash := self._own.keys() & self._commands.keys():
            raise ValueError(f"commands named like the socket's own: {clash}")
        self._pubsub: Any = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._linked = asyncio.Event()
        self._shown: dict[tuple[int, int], Mark] = {}
        self._to_tell: set[tuple[int, int]] = set()
        sio.on("connect", self._connect)
        sio.on("disconnect", self._disconnect)
        sio.on("*", self._event)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["Live"]:
        """Follow Redis, compare, and tell what boards have shown, until the block ends."""
        tasks = [
            asyncio.create_task(work, name=name)
            for name, work in (
                ("live-listen", self._listen_on()),
                ("live-check", self._check_on()),
                ("live-shown", self._tell_shown_on()),
            )
        ]
        try:
            yield self
        finally:
            await ended(*tasks, *self._tasks)

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # Connections

    async def _connect(self, sid: str, environ: Mapping[str, Any], auth: Any = None) -> None:
        try:
            actor = await access.by_socket_auth(self.store.pool, auth, cookie_of(environ))
        except errors.Refusal as refusal:
            raise Refused(refusal.detail, errors.problem(refusal)) from None
        except LOST:
            raise Refused(errors.Unavailable.title, errors.problem(errors.Unavailable())) from None
        if self._has_ended(actor):
            # It ended between the look at the database and now; credentials do not come back to life.
            raise Refused(errors.NotAuthenticated.title, errors.problem(errors.NotAuthenticated()))
        eio_sid = str(self.sio.manager.eio_sid_from_sid(sid, NAMESPACE))
        self.sockets[sid] = Socket(actor, eio_sid, origin_of(environ, sid))

    async def _disconnect(self, sid: str, reason: str | None = None) -> None:
        socket = self.sockets.pop(sid, None)
        if socket is None:
            return
        self._left_behind(sid, socket)
        for name in socket.streams:
            self._leave(sid, name)
            self._board_left(socket.actor, name)
        await self._note_end(socket, socket.streams)

    async def _event(self, name: str, sid: str, *args: Any) -> dict[str, Any]:
        """Carry out one message of a client, and answer it: `{ok}` or `{problem}`, never an exception."""
        socket = self.sockets.get(sid)
        try:
            if socket is None:
                raise errors.NotAuthenticated()
            self._meter(sid, socket)
            given = args[0] if args else {}
            if len(args) > 1 or not isinstance(given, dict):
                raise asks.wrong(("", "Send one object."))
            access.ORIGIN.set(socket.origin)
            return {"ok": await self._answer(name, sid, socket, given)}
        except errors.Refusal as refusal:
            return {"problem": errors.problem(refusal)}
        except (RedisError, *LOST):
            return {"problem": errors.problem(errors.Unavailable())}
        except Exception:
            log.exception("socket-command-failed", command=name[:60])
            return {"problem": errors.problem(errors.Internal())}

    def _meter(self, sid: str, socket: Socket) -> None:
        """Count an event; a socket that goes on and on beyond its limit is cut. Raises `TooMany`."""
        try:
            self.doors.event(socket.eio_sid, socket.actor)
        except errors.TooMany:
            socket.refused += 1
            if socket.refused == FORGIVEN:
                log.warning("socket-flooded", actor=socket.actor.key)
                self._spawn(self._cut(sid))
            raise

    async def _answer(self, name: str, sid: str, socket: Socket, given: dict[str, Any]) -> Any:
        if own := self._own.get(name):
            return await own(sid, socket, given)
        command = self._commands.get(name)
        if command is None:
            raise errors.UnknownEvent()
        permit(command, socket.actor)
        await self._note_use(socket)
        key = asks.idempotency_key(given.pop("idempotency_key", None))
        logs.bind(actor=socket.actor.key, institution=socket.actor.institution_id, command=name)
        reply: BaseModel = await self.store.execute(command, socket.actor, asks.validate(command.ask, given), key)
        if isinstance(reply, asks.Holding):
            self._holds(sid, socket, reply.token)
        return orjson.Fragment(reply.model_dump_json())

    async def _note_use(self, socket: Socket) -> None:
        """A command is a person's; following streams is not, and keeps nobody signed in over night."""
        now = time.monotonic()
        if socket.actor.session_id and now - socket.used_at > access.NOTE_USE_EVERY.total_seconds():
            socket.used_at = now
            await access.in_use(self.store.pool, socket.actor.session_id)

    async def _hello(self, sid: str, socket: Socket, given: dict[str, Any]) -> dict[str, Any]:
        socket.build = asks.validate(Greeting, given).build or socket.build
        actor = {"role": socket.actor.role, "id": socket.actor.id, "institution_id": socket.actor.institution_id}
        return {"at": self.store.now(), "build": self.build, "actor": actor, "live": self._linked.is_set()}

    # Locks on slots

    async def _claim_lock(self, sid: str, socket: Socket, given: dict[str, Any]) -> dict[str, Any]:
        """Make a lock this page's, which has been loaded again or got it over HTTP. Raises `LockLost`."""
        ask = asks.validate(ClaimLock, given)
        if self.store.locks is None:
            raise errors.LockingUnavailable()
        held = await self.store.locks.claim(ask.token, socket.actor.key, sid)
        self._holds(sid, socket, ask.token)
        return {"slot_ids": held.slot_ids, "until": held.until, "extended": held.extended}

    def _holds(self, sid: str, socket: Socket, token: str) -> None:
        """Note a page's lock; the page may have gone while it was taken."""
        socket.held.add(token)
        if sid not in self.sockets:
            self._left_behind(sid, socket)

    def _left_behind(self, sid: str, socket: Socket) -> None:
        if socket.held and self.store.locks is not None:
            self.store.locks.leave(sid, sorted(socket.held))

    async def end(self, actors: Sequence[str]) -> None:
        """Cut every socket of these actors or credentials, those included that are just being let in.

        An actor marked `AGAIN` may come back at once, as what they are from now on.
        """
        now = time.monotonic()
        again = {key.removeprefix(AGAIN) for key in actors if key.startswith(AGAIN)}
        self._ended = {key: at for key, at in self._ended.items() if at > now - CREDENTIALS_EVERY}
        self._ended.update({key: now for key in actors if not key.startswith(AGAIN)})
        for sid, socket in list(self.sockets.items()):
            if self._has_ended(socket.actor) or again & {socket.actor.key, socket.actor.credential}:
                await self._cut(sid)

    async def _cut(self, sid: str) -> None:
        """Say goodbye, and close the connection whether or not the client does."""
        eio_sid = self.sio.manager.eio_sid_from_sid(sid, NAMESPACE)
        await self.sio.disconnect(sid)
        if eio_sid is not None:
            await self.sio.eio.disconnect(eio_sid)

    def _has_ended(self, actor: Actor) -> bool:
        return actor.key in self._ended or actor.credential in self._ended

    # Streams

    async def _subscribe(self, sid: str, socket: Socket, given: dict[str, Any]) -> Any:
        ask = asks.validate(Subscribe, given)
        stream = events.parse(ask.stream)
        if stream is None:
            raise asks.wrong(("/stream", "Should be a kind of stream and an id, such as board:1."))
        if not await access.may_join(self.store.pool, socket.actor, stream):
            raise errors.NotAllowed()
        if stream.name not in socket.streams and len(socket.streams) >= STREAMS_PER_SOCKET:
            raise errors.TooMany("This socket follows too many streams.")
        if sid not in self.sockets:
            raise errors.NotAuthenticated()
        feed = self._join(sid, stream)
        socket.streams.add(stream.name)
        try:
            async with asyncio.timeout(READY_WITHIN):
                if not feed.ready.is_set():
                    async with asyncio.timeout(UNLINKED_WITHIN):
                        await self._linked.wait()
                    await feed.ready.wait()
                answer = await self._caught_up(feed, ask.epoch, ask.version)
            if stream.kind in OF_PATIENTS:
                await self.store.note_view(socket.actor, "subscribe", ask, people(answer))
                if sid not in self.sockets:
                    # It went while that was noted: its end was noted without this stream, or before it.
                    await self._note_end(socket, {stream.name})
        except BaseException:
            socket.streams.discard(stream.name)
            self._leave(sid, stream.name)
            self._board_left(socket.actor, stream.name)
            raise
        if stream.kind == "board" and socket.actor.device_kind == "board" and sid in self.sockets:
            self._note_board(socket.actor, stream.id)
        return answer

    def _join(self, sid: str, stream: Stream[Any]) -> Feed:
        """Enter the room before anything is read: an event committed between the two would be lost."""
        feed = self.feeds.get(stream.name)
        if feed is None:
            feed = self.feeds[stream.name] = Feed(stream)
            self._spawn(self._follow(feed))
        feed.sids.add(sid)
        self.sio.manager.basic_enter_room(sid, NAMESPACE, feed.room)
        return feed

    async def _caught_up(self, feed: Feed, epoch: str | None, version: int | None) -> dict[str, Any]:
        if (epoch, version) == (feed.epoch, feed.last):
            return {"epoch": feed.epoch, "version": feed.last, "events": []}
        # A read that began since `last` moved is at least as new as what this socket has missed by joining now.
        task = feed.answers.get((epoch, version))
        if task is None or (task.done() and (task.cancelled() or task.exception())):
            if len(feed.answers) >= ANSWERS_KEPT:
                feed.answers.clear()
            task = feed.answers[epoch, version] = asyncio.create_task(self._read(feed, epoch, version))
        caught = await asyncio.shield(task)
        if caught.events is not None:
            missed = [orjson.Fragment(entry.envelope) for entry in caught.events]
            return {"epoch": caught.epoch, "version": caught.version, "events": missed}
        rows = {key: orjson.Fragment(row) for key, row in (caught.rows or {}).items()}
        return {"epoch": caught.epoch, "version": caught.version, "snapshot": {"rows": rows}}

    async def _read(self, feed: Feed, epoch: str | None, version: int | None) -> CaughtUp:
        for _ in range(3):
            caught = await self.publisher.catch_up(feed.stream.name, epoch, version)
            if caught is not None and (caught.epoch != feed.epoch or caught.version >= feed.last):
                return caught
            # Redis lost the stream, or was put back to an earlier state.
            await self.publisher.ensure(feed.stream)
        raise errors.Unavailable()

    async def _unsubscribe(self, sid: str, socket: Socket, given: dict[str, Any]) -> dict[str, Any]:
        ask = asks.validate(Unsubscribe, given)
        if ask.stream in socket.streams:
            socket.streams.discard(ask.stream)
            self._leave(sid, ask.stream)
            self._board_left(socket.actor, ask.stream)
            await self._note_end(socket, {ask.stream})
        return {}

    async def _note_end(self, socket: Socket, streams: Collection[str]) -> None:
        """Put on the trail that somebody follows these no more, those of them that show patients.

        Where PostgreSQL does not answer the trail lacks an end, and whoever reads it is told of one too many.
        """
        followed = sorted(name for name in streams if name.partition(":")[0] in OF_PATIENTS)
        if not followed:
            return
        access.ORIGIN.set(socket.origin)
        try:
            await self.store.note_view(socket.actor, "unsubscribe", Followed(streams=followed), [])
        except errors.Unavailable:
            log.warning("end-of-view-not-noted", actor=socket.actor.key)

    def _leave(self, sid: str, name: str) -> None:
        feed = self.feeds.get(name)
        if feed is not None:
            feed.sids.discard(sid)
            feed.empty_since = time.monotonic()
            self.sio.manager.basic_leave_room(sid, NAMESPACE, feed.room)

    # Following Redis

    async def _follow(self, feed: Feed) -> None:
        """Subscribe to the stream's channel and, once that is confirmed, learn where the stream stands."""
        while self.feeds.get(feed.stream.name) is feed:
            try:
                await self._linked.wait()
                if not feed.confirmed.is_set() and self._pubsub is not None:
                    await self._pubsub.subscribe(channel(feed.stream.name))
                async with asyncio.timeout(READY_WITHIN):
                    await feed.confirmed.wait()
                await self._settle(feed)
                feed.ready.set()
                return
            except Exception as failure:
                note("stream-not-followed", failure, stream=feed.stream.name)
                await asyncio.sleep(0.5)

    async def _settle(self, feed: Feed) -> None:
        """Begin at Redis's position; messages that came meanwhile follow."""
        position = (await self.publisher.positions([feed.stream.name]))[0]
        if position is None:
            await self.publisher.ensure(feed.stream)
            position = (await self.publisher.positions([feed.stream.name]))[0] or ("", 0)
        feed.epoch, feed.last = position
        self._drain(feed)

    def _drain(self, feed: Feed) -> None:
        pending, feed.pending, feed.busy = feed.pending, [], False
        for message in pending:
            self._take(feed, *message)
        if feed.again:
            feed.again = False
            self._resync(feed)

    def _take(self, feed: Feed, version: int, type_: str, epoch: str, envelope: bytes) -> None:
        """Send the next version to the room; drop an older one; after a gap, bring the room in line with Redis."""
        if feed.busy:
            feed.pending.append((version, type_, epoch, envelope))
        elif epoch == feed.epoch and version == feed.last + 1:
            feed.last = version
            feed.answers.clear()
            self.sio.manager.broadcast(feed.room, b'2["%b",%b]' % (type_.encode(), envelope))
        elif epoch != feed.epoch or version > feed.last or version == 0:
            self._resync(feed)

    def _resync(self, feed: Feed) -> None:
        if feed.busy:
            feed.again = True
            return
        feed.busy = True
        self.resyncs += 1
        self._spawn(self._bring_room_in_line(feed))

    async def _bring_room_in_line(self, feed: Feed) -> None:
        try:
            caught = await self.publisher.catch_up(feed.stream.name, feed.epoch, feed.last)
            if caught is None or (caught.epoch == feed.epoch and caught.version < feed.last):
                await self.publisher.ensure(feed.stream)
                caught = await self.publisher.catch_up(feed.stream.name, feed.epoch, feed.last)
            if caught is None:
                return
            feed.answers.clear()
            if caught.events is not None:
                for entry in caught.events:
                    feed.last = entry.version
                    packet = b'2["%b",%b]' % (entry.type.encode(), entry.envelope)
                    self.sio.manager.broadcast(feed.room, packet)
            elif (caught.epoch, caught.version) != (feed.epoch, feed.last):
                self.resets += 1
                feed.epoch, feed.last = caught.epoch, caught.version
                reset = orjson.dumps(["stream-reset", {"stream": feed.stream.name}])
                self.sio.manager.broadcast(feed.room, b"2" + reset)
        except Exception as failure:
            # The comparison that comes every few seconds tries again.
            feed.again = False
            note("stream-not-in-line", failure, stream=feed.stream.name)
        finally:
            self._drain(feed)

    async def _listen_on(self) -> None:
        """Pass on what Redis publishes; after a lost connection, follow every stream anew and fetch what was missed."""
        while True:
            pubsub = self.publisher.redis.pubsub()
            try:
                await self._listen(pubsub)
            except Exception as failure:
                note("redis-link-lost", failure)
            finally:
                self._pubsub = None
                self._linked.clear()
                with contextlib.suppress(RedisError, OSError, RuntimeError):
                    await pubsub.aclose()  # type: ignore[no-untyped-call]
            await asyncio.sleep(0.2)

    async def _listen(self, pubsub: Any) -> None:
        await pubsub.subscribe(CONTROL)
        self._pubsub = pubsub
        self._linked.set()
        # In one step with the above: whoever makes a feed from here on subscribes to its channel.
        if self.feeds:
            await pubsub.subscribe(*(channel(name) for name in self.feeds))
        heard_at = time.monotonic()
        tried = False
        while True:
            message = await pubsub.get_message(timeout=1.0)
            if message is not None:
                heard_at, tried = time.monotonic(), False
                if message["channel"] is not None:
                    self._heard(message)
            elif not tried and time.monotonic() - heard_at > PING_EVERY:
                tried = True
                await pubsub.ping()
            elif time.monotonic() - heard_at > 2 * PING_EVERY:
                raise RedisTimeout("Redis has gone silent")

    def _heard(self, message: Mapping[str, Any]) -> None:
        """Take one message; one that makes no sense concerns its own stream at most."""
        try:
            name = cast(bytes, message["channel"]).decode()
            if name == CONTROL:
                if message["type"] == "message":
                    self._spawn(self.end(orjson.loads(message["data"])["end"]))
                return
            feed = self.feeds.get(name.removeprefix("cb:{").removesuffix("}:live"))
            if feed is None:
                return
            if message["type"] == "subscribe":
                if feed.confirmed.is_set():
                    # Followed anew after a lost connection: whatever was published meanwhile went to nobody here.
                    self._resync(feed)
                feed.confirmed.set()
            elif message["type"] == "message":
                version, type_, epoch, envelope = cast(bytes, message["data"]).split(b" ", 3)
                self._take(feed, int(version), type_.decode(), epoch.decode(), envelope)
        except (ValueError, KeyError, TypeError):
            log.exception("redis-message-not-understood")

    async def _check_on(self) -> None:
        """Check, each for itself: credentials end without Redis, and rooms are compared without PostgreSQL."""
        credentials_at = time.monotonic() + CREDENTIALS_EVERY
        while True:
            await asyncio.sleep(CHECK_EVERY)
            await self._checked(self._drop_idle())
            await self._checked(self._compare())
            await self._checked(self._tell_anew())
            if time.monotonic() >= credentials_at:
                credentials_at = time.monotonic() + CREDENTIALS_EVERY
                await self._checked(self._end_revoked())

    async def _checked(self, check: Awaitable[None]) -> None:
        try:
            await check
        except Exception as failure:
            note("check-failed", failure)

    async def _drop_idle(self) -> None:
        idle = time.monotonic() - LINGER
        for name, feed in list(self.feeds.items()):
            if not feed.sids and feed.empty_since < idle and feed.ready.is_set():
                del self.feeds[name]
                if self._pubsub is not None:
                    await self._pubsub.unsubscribe(channel(name))

    async def _compare(self) -> None:
        """Messages between Redis and here can be lost without a trace; positions cannot."""
        feeds = [feed for feed in self.feeds.values() if not feed.busy]
        if not feeds:
            return
        sent = [(feed.epoch, feed.last) for feed in feeds]
        positions = await self.publisher.positions([feed.stream.name for feed in feeds])
        for feed, before, position in zip(feeds, sent, positions, strict=True):
            if position != before and (feed.epoch, feed.last) == before:
                self._resync(feed)

    async def _tell_anew(self) -> None:
        """Tell again of boards that are here where Redis has forgotten it, or was told otherwise by another process."""
        for queue_id in {queue for queue, _ in self._shown}:
            devices = self._boards_here(queue_id)
            kept = await self.publisher.rows_of(events.shown(queue_id).name, [f"d:{device}" for device in devices])
            for device in devices:
                row, mark = kept.get(f"d:{device}"), self._shown.get((queue_id, device))
                if mark and not (
                    row and row["connected"] and row["shown"] >= mark.shown and row["spoken"] >= mark.spoken
                ):
                    self._to_tell.add((queue_id, device))

    async def _end_revoked(self) -> None:
        sessions = [socket.actor.session_id for socket in self.sockets.values() if socket.actor.session_id]
        devices = [socket.actor.id for socket in self.sockets.values() if socket.actor.role is Role.device]
        holders = [socket.actor for socket in self.sockets.values() if socket.actor.role is Role.ticket]
        tickets, links = [one.id for one in holders], [one.link for one in holders]
        ended = await self.store.pool.fetch(access.ENDED, sessions, devices, tickets, links)
        await self.end([f"{row['kind']}:{row['id']}" for row in ended])

    # What boards have shown

    def devices_here(self) -> dict[int, tuple[str | None, dict[int, int]]]:
        """The devices with a socket of this process: the build each runs, and how far it has shown each queue."""
        here = {one.actor.id: one.build for one in self.sockets.values() if one.actor.role is Role.device}
        shown: dict[int, dict[int, int]] = {device: {} for device in here}
        for (queue_id, device), mark in self._shown.items():
            if device in shown and mark.shown:
                shown[device][queue_id] = mark.shown
        return {device: (build, shown[device]) for device, build in here.items()}

    def _board_left(self, actor: Actor, name: str) -> None:
        stream = events.parse(name)
        if stream is not None and (stream.id, actor.id) in self._shown and stream.kind == "board":
            self._to_tell.add((stream.id, actor.id))

    def _note_board(self, actor: Actor, queue_id: int, *, shown: int = 0, spoken: int = 0) -> None:
        mark = self._shown.setdefault((queue_id, actor.id), Mark(actor.name))
        mark.shown = max(mark.shown, shown, spoken)
        mark.spoken = max(mark.spoken, spoken)
        self._to_tell.add((queue_id, actor.id))

    def _boards_here(self, queue_id: int) -> set[int]:
        """The devices that follow a queue's board over a socket of this process."""
        feed = self.feeds.get(events.board(queue_id).name)
        sockets = map(self.sockets.get, feed.sids) if feed else ()
        return {one.actor.id for one in sockets if one is not None and one.actor.device_kind == "board"}

    async def _call_shown(self, sid: str, socket: Socket, given: dict[str, Any]) -> dict[str, Any]:
        """Take a board's word for what it has painted, or painted and spoken."""
        ask = asks.validate(CallShown, given)
        stream = events.parse(ask.stream)
        if stream is None or stream.kind != "board" or socket.actor.device_kind != "board":
            raise errors.NotAllowed()
        feed = self.feeds.get(ask.stream)
        if ask.stream not in socket.streams or feed is None:
            raise errors.NotAllowed("Subscribe to the board first.")
        if ask.version > feed.last:
            raise asks.wrong(("/version", "The stream has not come so far."))
        self._note_board(socket.actor, stream.id, shown=ask.version, spoken=ask.version if ask.spoken else 0)
        return {}

    async def _tell_shown_on(self) -> None:
        while True:
            await asyncio.sleep(SHOWN_EVERY)
            to_tell, self._to_tell = self._to_tell, set()
            for queue_id in {queue_id for queue_id, _ in to_tell}:
                devices = {device for queue, device in to_tell if queue == queue_id}
                try:
                    await self._tell_shown(queue_id, devices)
                except Exception as failure:
                    self._to_tell |= {(queue_id, device) for device in devices}
                    note("boards-not-told", failure, queue=queue_id)

    async def _tell_shown(self, queue_id: int, devices: set[int]) -> None:
        """Tell staff how far these boards are: the highest of what they told here and what Redis has from elsewhere."""
        stream = events.shown(queue_id)
        kept = await self.publisher.rows_of(stream.name, [f"d:{device}" for device in devices])
        here = self._boards_here(queue_id)
        rows = []
        for device in devices:
            mark, before = self._shown[queue_id, device], kept.get(f"d:{device}", {})
            # Its link to here was found dead only after it had come back to another process, which speaks for it now.
            taken_over = device not in here and before.get("connected", False) and before["at"] != mark.told_at
            if not taken_over:
                row = ShownBoard(
                    device=device,
                    name=mark.name,
                    connected=device in here,
                    shown=max(mark.shown, before.get("shown", 0)),
                    spoken=max(mark.spoken, before.get("spoken", 0)),
                    at=self.store.now(),
                )
                rows.append(row)
        if rows:
            await self.publisher.tell(stream, BoardsShown(), rows, self.store.now())
        for row in rows:
            mark = self._shown[queue_id, row.device]
            mark.shown, mark.spoken = max(mark.shown, row.shown), max(mark.spoken, row.spoken)
            mark.told_at = row.model_dump(mode="json")["at"]
        for device in devices - here:
            if (queue_id, device) not in self._to_tell:
                del self._shown[queue_id, device]


def origin_of(environ: Mapping[str, Any], sid: str) -> Origin:
    """Where a handshake comes from; its socket's id stands for the request's."""
    client = environ.get("asgi.scope", {}).get("client")
    return Origin(client[0] if client else "", str(environ.get("HTTP_USER_AGENT", ""))[:200], sid)


def cookie_of(environ: Mapping[str, Any]) -> str | None:
    """The session cookie of a handshake."""
    try:
        morsel = SimpleCookie(environ.get("HTTP_COOKIE", "")).get(access.SESSION_COOKIE)
    except CookieError:
        return None
    return morsel.value if morsel else None


def people(answer: Mapping[str, Any]) -> list[int]:
    """Whose records the answer to a `subscribe` shows, by id."""
    told = orjson.loads(orjson.dumps(answer))
    shown = [*told.get("snapshot", {}).get("rows", {}).values()]
    shown += [row for event in told.get("events", ()) for row in (event["data"].get("put") or {}).values()]
    return sorted({row["patient"]["id"] for row in shown if row.get("patient")})
