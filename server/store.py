"""The transaction that every command runs in: gates, appended events, idempotent replies.

Invariants:
- A command takes its gates first, all in one sorted statement, and appends in one sorted statement at its end, so two
  commands can wait for each other but never deadlock. A patient's stream is never a gate.
- An event, the change that it tells of and the reply to a keyed command are committed together or not at all.
- Only commands write, and only `append` makes events.
- A later slice follows an earlier one by reacting to its events, in the transaction that appends them: both or neither.
- A kept reply can be read only with the key that its sender chose: it may hold a ticket's link.
"""

import asyncio
import base64
import contextlib
import hashlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Generic, Protocol, TypeAlias, TypeVar, cast

import asyncpg
import orjson
from pydantic import BaseModel

from server import access, errors, events
from server.access import Actor, Role

Ask = TypeVar("Ask", bound=BaseModel)
Reply = TypeVar("Reply", bound=BaseModel)
R = TypeVar("R", bound=events.Row)
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"

RETRIES = 3
"""How often a transaction is tried again that PostgreSQL ended for another's sake (deadlock, serialisation)."""
RETRY_AFTER = 0.05
"""Seconds before a keyed command is tried again whose connection was lost."""
ACQUIRE_WITHIN = 10.0
"""Seconds that a command waits for a connection: without a bound, a mute PostgreSQL would gather callers for ever."""


@dataclass(frozen=True, slots=True)
class Committed:
    """An event that is committed, encoded for every receiver there will be."""

    id: int
    stream: str
    epoch: str
    version: int
    type: str
    envelope: bytes
    put: dict[str, bytes]
    drop: list[str]


class Outbox(Protocol):
    """Whoever publishes what has been committed."""

    def hand_over(self, committed: Sequence[Committed]) -> None:
        """Take committed events, in any order of streams, each stream's in order. Must not block or fail."""

    def end(self, actors: Sequence[str]) -> None:
        """End the open sockets of these actors on every node. Must not block or fail."""


class Locks(Protocol):
    """The locks on slots, as a command sees them."""

    async def holds(self, token: str, slots: Sequence[int]) -> bool:
        """Whether this token's lock is in force on all of these slots. Raises `LockingUnavailable`."""

    def let_go(self, tokens: Sequence[str]) -> None:
        """Release these tokens' locks. Must not block or fail: what is not released ends by its time."""

    def leave(self, page: str, tokens: Sequence[str]) -> None:
        """Let the locks of a page that has gone end soon, unless it comes back. Must not block or fail."""

    async def claim(self, token: str, person: str, page: str) -> "LockHeld":
        """Make a person's lock this page's. Raises `LockLost`, `LockingUnavailable`."""


class LockHeld(Protocol):
    """A lock, as its holder is told of it."""

    @property
    def slot_ids(self) -> list[int]:
        """The slots."""

    @property
    def until(self) -> datetime:
        """When it ends by its time."""

    @property
    def extended(self) -> bool:
        """Whether it was given its time once more."""


@dataclass(slots=True)
class Pending:
    """An event that waits for its command to end."""

    stream: events.Stream[Any]
    event: events.Event
    data: bytes


Reaction: TypeAlias = "Callable[[Tx, events.Stream[Any], Any], Awaitable[None]]"
"""What a later slice does about an earlier one's event: it takes no gates, and may append in its turn."""
Reactions: TypeAlias = "Mapping[tuple[str, type[events.Event]], Sequence[Reaction]]"
"""By kind of stream and event: one that several audiences are told of is reacted to on one of their streams."""


def reactions(*slices: Reactions) -> Reactions:
    """The reactions of all these slices, in their order."""
    gathered: dict[tuple[str, type[events.Event]], list[Reaction]] = {}
    for one in slices:
        for cause, each in one.items():
            gathered.setdefault(cause, []).extend(each)
    return gathered


class Tx:
    """An open transaction, and what the command in it wants told."""

    def __init__(
        self,
        conn: Connection,
        actor: Actor,
        now: datetime,
        fixed: bool,
        base_url: str = "",
        secret_key: str = "",
        reactions: "Reactions | None" = None,
        locks: Locks | None = None,
    ) -> None:
        self.conn = conn
        self.actor = actor
        self.base_url = base_url
        """The address that people reach, for links."""
        self.now = now
        """One instant for the whole command; PostgreSQL's clock once a gate is taken, so all machines share one."""
        self._fixed = fixed
        self._versions: dict[str, int] = {}
        self._pending: list[Pending] = []
        self.institution_id = actor.institution_id
        """Whose trail the command belongs in; a slice sets it where the actor stands above the institutions."""
        self._changes: list[dict[str, Any]] = []
        self._patients: set[int] = set()
        self.ended: list[str] = []
        """Keys of actors whose credentials this command ends; their sockets are cut once it is committed."""
        self.secret_key = secret_key
        """What secrets are masked with that must be read again; empty where the deployment has none."""
        self.kept: list[tuple[str, tuple[Any, ...]]] = []
        self.locks = locks
        """The locks on slots; None where there are none, such as on the command line."""
        self.woken = False
        """Whether this command's success gives the worker something to do at once."""
        self.released: list[str] = []
        """Tokens of locks that this command's success ends."""
        self._reactions: Reactions = reactions or {}

    def regardless(self, statement: str, *args: Any) -> None:
        """Have this carried out even though the command is refused, which takes all else back: a try is counted."""
        self.kept.append((statement, args))

    async def gate(self, *streams: events.Stream[Any]) -> None:
        """Wait until no other command works on these streams; take every gate that a command needs in one call."""
        if self._versions:
            raise RuntimeError("a command takes all its gates at once, or two commands could wait for each other")
        names = sorted({stream.name for stream in streams})
        rows = await self.conn.fetch(TAKE_GATES, names)
        if len(rows) != len(names):
            raise errors.NotFound()
        self._versions = {row["name"]: row["version"] for row in rows}
        if not self._fixed:
            # The latest: each is read under its own lock, so no event is older than one of its stream's before it.
            self.now = max(row["at"] for row in rows)

    @asynccontextmanager
    async def attempt(self) -> AsyncIterator[None]:
        """A part of the command that may be refused alone: nothing is left of it then, written or noted."""
        pending, changes, released, patients = (
            len(self._pending), len(self._changes), len(self.released), set(self._patients)
        )  # fmt: skip
        try:
            async with self.conn.transaction():
                yield
        except (errors.Refusal, asyncpg.IntegrityConstraintViolationError) as failure:
            del self._pending[pending:], self._changes[changes:], self.released[released:]
            self._patients = patients
            if isinstance(failure, errors.Refusal):
                raise
            refusal = errors.CONSTRAINTS.get(failure.constraint_name or "")
            if refusal is None:
                raise
            raise refusal() from failure

    def must_hold(self, *streams: events.Stream[Any]) -> None:
        """Have the command tried anew unless all these gates are held: what it works on has gone elsewhere meanwhile.

        Raises `Overtaken`.
        """
        if not all(map(self.holds, streams)):
            raise Overtaken

    def holds(self, stream: events.Stream[Any]) -> bool:
        """Whether this stream's gate is held."""
        return stream.name in self._versions

    def append(
        self, stream: events.Stream[R], event: events.Event, put: Sequence[R] = (), drop: Sequence[str] = ()
    ) -> int:
        """Tell a stream's audience a fact and how its rows change; answers its version, or 0 on an ungated stream."""
        allowed = events.STREAM_ROWS[stream.kind]
        for row in put:
            if type(row) not in allowed:
                raise TypeError(f"a {stream.kind} stream has no rows of type {type(row).__name__}")
        if type(event) not in events.STREAM_EVENTS[stream.kind]:
            raise TypeError(f"a {stream.kind} stream has no events of type {type(event).__name__}")
        data = orjson.dumps(events.data_of(event, put, drop))
        self._pending.append(Pending(stream, event, data))
        return self.next_version(stream) - 1 if stream.name in self._versions else 0

    def next_version(self, stream: events.Stream[Any]) -> int:
        """The version that the next event appended to this gated stream will get."""
        ahead = sum(1 for pending in self._pending if pending.stream.name == stream.name)
        return self._versions[stream.name] + ahead + 1

    def about(
        self,
        subject: str,
        before: Mapping[str, Any] | None,
        after: Mapping[str, Any] | None,
        patient: int | None = None,
    ) -> None:
        """Put on the audit trail what becomes of a subject (`ticket:5`): the fields that differ; None: not there."""
        old, new = dict(before or {}), dict(after or {})
        if before is not None and after is not None:
            differing = {name for name in old.keys() | new.keys() if old.get(name) != new.get(name)}
            old, new = ({name: one[name] for name in sorted(differing & one.keys())} for one in (old, new))
        if old or new:
            self._changes.append({"subject": subject, "before": old or None, "after": new or None})
        if patient is not None:
            self._patients.add(patient)

    async def finish(
        self, action: str, ask: BaseModel, key: str | None = None, request: bytes = b"", reply: bytes = b""
    ) -> list[Committed]:
        """Write the appended events, the audit trail's row and, for a keyed command, its reply, in one statement.

        It is the transaction's last. Later slices react first, to each other's events as well.
        """
        pending = self._pending
        for one in pending:  # grows while reactions append
            for react in self._reactions.get((one.stream.kind, type(one.event)), ()):
                await react(self, one.stream, one.event)
        origin = access.ORIGIN.get(access.NOWHERE)
        rows = await self.conn.fetch(
            APPEND,
            [one.stream.name for one in pending],
            [one.event.type for one in pending],
            [one.data.decode() for one in pending],
            self.actor.key,
            self.now,
            key_hash(key) if key else None,
            request,
            seal(self.actor, key, reply) if key else None,
            self.institution_id,
            self.actor.role,
            action,
            orjson.dumps(without_secrets(ask)).decode(),
            orjson.dumps(self._changes).decode(),
            sorted(self._patients),
            origin.address,
            origin.agent,
            origin.request_id,
            # The system's own upkeep, such as telling waits anew, is nobody's doing unless it changed something.
            self.actor.role is not Role.system or bool(self._changes),
        )
        return [committed(row, pending[row["ord"] - 1].data, self.now) for row in rows]


TAKE_GATES = """
select name, version, clock_timestamp() as at from streams where name = any($1::text[]) order by name for update
"""

OPEN_STREAMS = """
insert into streams (name, epoch, version)
select name, encode(substring(uuid_send(gen_random_uuid()) from 1 for 6), 'hex'), 0
from unnest($1::text[]) as n (name) order by name
on conflict (name) do nothing
"""
"""Makes streams that may be joined before anything has happened in them."""

APPEND = """
with wanted as (
    select stream, type, data, ord,
        row_number() over (partition by stream order by ord) as nth, count(*) over (partition by stream) as of_stream
    from unnest($1::text[], $2::text[], $3::text[]) with ordinality as w (stream, type, data, ord)
), bumped as (
    insert into streams as s (name, epoch, version, updated_at)
    select stream, encode(substring(uuid_send(gen_random_uuid()) from 1 for 6), 'hex'), count(*), $5::timestamptz
    from wanted group by stream order by stream
    on conflict (name) do update set version = s.version + excluded.version, updated_at = excluded.updated_at
    returning name, epoch, version
), added as (
    insert into events (stream, version, type, data, actor, at)
    select w.stream, b.version - w.of_stream + w.nth, w.type, w.data::jsonb, $4, $5
    from wanted w join bumped b on b.name = w.stream order by w.ord
    returning id, stream, version, type
), kept as (
    insert into replies (actor, key, request, reply, at)
    select $4, $6, $7, to_jsonb($8::text), $5 where $6::text is not null
), audited as (
    insert into audit (institution_id, at, actor, role, action, asked, changes, patients, address, agent, request_id)
    select $9, $5, $4, $10, $11, $12::jsonb, $13::jsonb, $14, $15, $16, $17 where $18
)
select a.id, a.stream, a.version, a.type, b.epoch, w.ord
from added a join bumped b on b.name = a.stream
join wanted w on w.stream = a.stream and w.nth = a.version - b.version + w.of_stream
order by w.ord
"""


def committed(row: Any, data: bytes, at: datetime) -> Committed:
    """The publishable form of an event's row; `data` is its JSON."""
    content = orjson.loads(data)
    envelope = {
        "type": row["type"],
        "stream": row["stream"],
        "epoch": row["epoch"],
        "version": row["version"],
        "at": at,
        "data": orjson.Fragment(data),
    }
    return Committed(
        id=row["id"],
        stream=row["stream"],
        epoch=row["epoch"],
        version=row["version"],
        type=row["type"],
        envelope=orjson.dumps(envelope),
        put={key: orjson.dumps(value) for key, value in content.get("put", {}).items()},
        drop=content.get("drop", []),
    )


@dataclass(frozen=True, slots=True)
class Read:
    """A read-only, repeatable-read view of the database for one query."""

    conn: Connection
    now: datetime
    locks: Locks | None = None
    """The locks on slots, which no transaction covers."""


@dataclass(frozen=True)
class Command(Generic[Ask, Reply]):
    """A declared command: what it takes and answers, who may, and its address under /api/v1."""

    name: str
    run: Callable[[Tx, Actor, Ask], Awaitable[Reply]]
    ask: type[Ask]
    reply: type[Reply]
    allow: frozenset[Role]
    route: str
    status: int = 200
    once: bool = False
    """Its reply holds a secret that is given out once, so it is never stored and an idempotency key is refused."""
    owing: bool = False
    """Open to a session that owes its second factor, too."""
    body_limit: int | None = None
    """Bytes of a request's body, where it may be larger than others."""


@dataclass(frozen=True)
class Action(Command[Ask, Reply]):
    """A declared command that works in Redis alone: no transaction, no events of record, nothing on the audit trail."""

    @classmethod
    def of(
        cls,
        name: str,
        run: "Callable[[Store, Actor, Ask], Awaitable[Reply]]",
        ask: type[Ask],
        reply: type[Reply],
        allow: frozenset[Role],
        route: str,
        status: int = 200,
    ) -> "Action[Ask, Reply]":
        """An action, which is given the store in a transaction's place; its answer may hold a secret: no key comes."""
        return cls(name, cast(Any, run), ask, reply, allow, route, status, once=True)


@dataclass(frozen=True)
class Query(Generic[Ask, Reply]):
    """A declared query: reads one consistent snapshot and changes nothing."""

    name: str
    run: Callable[[Read, Actor, Ask], Awaitable[Reply]]
    ask: type[Ask]
    reply: type[Reply]
    allow: frozenset[Role]
    route: str
    status: int = 200
    patients: Callable[[Reply], Sequence[int]] | None = None
    """Whose records an answer shows, by id; each view by staff is put on the audit trail."""


class Download(BaseModel):
    """An answer that is a file: its content, its media type, and the name to save it under; none to show it.

    `patients`, whose records it holds, is for the audit trail alone.
    """

    content: str | bytes
    kind: str
    name: str | None
    patients: list[int] = []


class Store:
    """The pool, and the two ways in: `execute` for commands, `read` for queries."""

    def __init__(
        self,
        pool: Pool,
        outbox: Outbox,
        base_url: str = "",
        clock: Callable[[], datetime] | None = None,
        secret_key: str = "",
        reactions: "Reactions | None" = None,
        locks: Locks | None = None,
    ) -> None:
        self.pool = pool
        self.outbox = outbox
        self.base_url = base_url
        self.secret_key = secret_key
        self.reactions = reactions
        self.locks = locks
        self._clock = clock
        self.push_inside = False
        """Whether push services may be at inner addresses: for tests alone."""
        self.wake: Callable[[], None] | None = None
        """Tells a worker that there is something to do; must not block or fail. Without it the clock does."""

    def now(self) -> datetime:
        """This instant, by the test's clock where one is set."""
        return self._clock() if self._clock else datetime.now(UTC)

    async def execute(self, command: Command[Ask, Reply], actor: Actor, ask: Ask, key: str | None = None) -> Reply:
        """Carry a command out, exactly once per (actor, key).

        Raises any of the command's refusals, `NotAllowed` for a role outside `allow`, `KeyReused` where the key came
        with another request, `Unavailable` when PostgreSQL does not answer.
        """
        permit(command, actor)
        if key is not None and command.once:
            raise errors.InvalidKey("This command's answer is given only once; send it without a key.")
        if isinstance(command, Action):
            swift = cast("Callable[[Store, Actor, Ask], Awaitable[Reply]]", command.run)
            return await swift(self, actor, ask)
        request = fingerprint(command.name, ask) if key else b""
        attempt = 0
        while True:
            try:
                # Nearly all are asked once: at the first try the constraint on kept replies tells, or a refusal.
                if key and attempt and (kept := await self._kept(actor, key, request)) is not None:
                    return command.reply.model_validate_json(kept)
                try:
                    return await self._attempt(command, actor, ask, key, request)
                except errors.Refusal:
                    # While this try waited at the gate, the first one with this key may have been carried out.
                    if key and (kept := await self._kept(actor, key, request)) is not None:
                        return command.reply.model_validate_json(kept)
                    raise
            except asyncpg.DataError:
                raise  # a value that PostgreSQL has no place for is our mistake, though asyncpg files it under LOST
            except AGAIN as beaten:
                if attempt == RETRIES:
                    raise errors.Unavailable() from beaten
            except LOST as lost:
                # It may have been committed before the connection was lost; only its key can tell.
                if key is None or attempt == RETRIES:
                    raise errors.Unavailable() from lost
                await asyncio.sleep(RETRY_AFTER)
            attempt += 1

    async def _attempt(
        self, command: Command[Ask, Reply], actor: Actor, ask: Ask, key: str | None, request: bytes
    ) -> Reply:
        try:
            async with self.transaction(actor) as (tx, done):
                reply = await command.run(tx, actor, ask)
                encoded = reply.model_dump_json().encode()
                done.extend(await tx.finish(command.name, ask, key, request, encoded))
        except errors.Refusal as refusal:
            await self._look(refusal)
            raise
        return reply

    async def _look(self, refusal: errors.Refusal) -> None:
        """Have a refusal tell what it offers instead; without PostgreSQL it is a refusal all the same."""
        if refusal.look is not None:
            with contextlib.suppress(errors.Unavailable):
                async with self.snapshot() as view:
                    refusal.extra |= await refusal.look(view)

    @asynccontextmanager
    async def transaction(self, actor: Actor) -> AsyncIterator[tuple[Tx, list[Committed]]]:
        """A transaction whose appended events (extend the list with `Tx.finish`) are handed over once committed."""
        done: list[Committed] = []
        async with self.pool.acquire(timeout=ACQUIRE_WITHIN) as borrowed:
            conn = cast(Connection, borrowed)
            tx: Tx | None = None
            try:
                async with conn.transaction():
                    fixed = self._clock is not None
                    tx = Tx(
                        conn,
                        actor,
                        self.now(),
                        fixed,
                        self.base_url,
                        self.secret_key,
                        self.reactions,
                        self.locks,
                    )
                    yield tx, done
            except asyncpg.IntegrityConstraintViolationError as violation:
                if violation.constraint_name == "replies_pkey":
                    raise ReplyRaced from violation
                refusal = errors.CONSTRAINTS.get(violation.constraint_name or "")
                if refusal is None:
                    raise
                raise refusal() from violation
            except errors.Refusal:
                for statement, args in tx.kept if tx else ():
                    await conn.execute(statement, *args)
                raise
            # At once, with no await since the commit: giving the connection back can wait, fail or be cancelled.
            self.outbox.hand_over(done)
            if tx is not None and tx.ended:
                self.outbox.end(tx.ended)
            if tx is not None and tx.woken and self.wake is not None:
                self.wake()
            if tx is not None and tx.released and self.locks is not None:
                self.locks.let_go(tx.released)

    async def read(self, query: Query[Ask, Reply], actor: Actor, ask: Ask) -> Reply:
        """Answer a query from one snapshot. Raises its refusals, `NotAllowed`, and `Unavailable`."""
        permit(query, actor)
        async with self.snapshot() as view:
            reply = await query.run(view, actor, ask)
        if query.patients is not None:
            await self.note_view(actor, query.name, ask, query.patients(reply))
        return reply

    async def note_view(self, actor: Actor, action: str, ask: BaseModel, patients: Sequence[int]) -> None:
        """Put on the audit trail that somebody was shown these patients' records. Raises `Unavailable`."""
        origin = access.ORIGIN.get(access.NOWHERE)
        try:
            await self.pool.execute(
                NOTE_VIEW,
                actor.institution_id,
                self.now(),
                actor.key,
                actor.role,
                action,
                orjson.dumps(without_secrets(ask)).decode(),
                list(patients),
                origin.address,
                origin.agent,
                origin.request_id,
            )
        except LOST as lost:
            raise errors.Unavailable() from lost

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Read]:
        """One repeatable-read view: rows and a stream's version read in it agree."""
        try:
            async with self.pool.acquire(timeout=ACQUIRE_WITHIN) as borrowed:
                conn = cast(Connection, borrowed)
                async with conn.transaction(isolation="repeatable_read", readonly=True):
                    yield Read(conn, self.now(), self.locks)
        except asyncpg.DataError:
            raise
        except LOST as lost:
            raise errors.Unavailable() from lost

    async def _kept(self, actor: Actor, key: str, request: bytes) -> str | None:
        row = await self.pool.fetchrow(KEPT_REPLY, actor.key, key_hash(key))
        if row is None:
            return None
        if row["request"] != request:
            raise errors.KeyReused()
        return unseal(actor, key, row["reply"])


NOTE_VIEW = """
insert into audit (institution_id, at, actor, role, action, asked, patients, viewed, address, agent, request_id)
values ($1, $2, $3, $4, $5, $6::jsonb, $7, true, $8, $9, $10)
"""
KEPT_REPLY = "select request, reply #>> '{}' as reply from replies where actor = $1 and key = $2"


class ReplyRaced(Exception):
    """Another try with this key committed first; its reply is there to be read."""


class Overtaken(Exception):
    """What the command works on changed its streams before their gates were taken."""


AGAIN = (
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    # The schema was upgraded under a statement that this connection had prepared.
    asyncpg.InvalidCachedStatementError,
    ReplyRaced,
    Overtaken,
)
"""How PostgreSQL says that it has rolled back, and that another try may do."""

LOST = (
    asyncpg.PostgresConnectionError,
    # Shutdown, crash, recovery, a query cancelled by an administrator or a time limit.
    asyncpg.OperatorInterventionError,
    # Too many connections, no memory, a full disk.
    asyncpg.InsufficientResourcesError,
    # A primary that has become a standby.
    asyncpg.ReadOnlySQLTransactionError,
    # asyncpg's own words for a connection or pool that is closed or closing.
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)
"""How PostgreSQL's absence shows."""


def permit(declared: "Command[Any, Any] | Query[Any, Any]", actor: Actor) -> None:
    """Default deny: raise `NotAuthenticated` or `NotAllowed` unless the declaration names the role; the system may.

    Raises `SecondFactorRequired` for a session that owes its second factor and is to set it up first.
    """
    if actor.owes_factor and not (isinstance(declared, Command) and declared.owing):
        raise errors.SecondFactorRequired()
    if actor.role in declared.allow or actor.role is Role.system:
        return
    if actor.role is Role.anonymous:
        raise errors.NotAuthenticated()
    raise errors.NotAllowed()


def fingerprint(name: str, ask: BaseModel) -> bytes:
    """What an idempotency key stands for: the command and its request, as a hash, since a request may name a person."""
    return hashlib.sha256(name.encode() + b"\0" + ask.model_dump_json().encode()).digest()


SECRETS = frozenset(
    {
        "password",
        "new_password",
        "contact",
        "code",
        "token",
        "lock_token",
        "secret",
        "recovery_code",
        "content",
        "medical_notes",
    }
)
"""Fields of a request that the audit trail never holds: secrets, files, and what the treating side writes."""


def without_secrets(ask: BaseModel) -> dict[str, Any]:
    """A request as the audit trail keeps it: what was given, and of secrets only that they were."""
    given = ask.model_dump(mode="json", exclude_unset=True)
    return {name: "***" if name in SECRETS else value for name, value in given.items()}


# Replies that only their asker can read again


def key_hash(key: str) -> str:
    """The stored form of an idempotency key, since the key itself opens the reply."""
    return hashlib.sha256(b"callboard key\0" + key.encode()).hexdigest()


def seal(actor: Actor, key: str, reply: bytes) -> str:
    """A reply as it is kept: unreadable without the key, as a ticket's link is kept nowhere but with its holder."""
    nonce = secrets.token_bytes(NONCE)
    return base64.b64encode(nonce + _masked(actor, key, nonce, reply)).decode()


def unseal(actor: Actor, key: str, kept: str) -> str:
    """The reply that `seal` was given with the same actor and key."""
    sealed = base64.b64decode(kept)
    return _masked(actor, key, sealed[:NONCE], sealed[NONCE:]).decode()


NONCE = 16


def _masked(actor: Actor, key: str, nonce: bytes, content: bytes) -> bytes:
    """The content, exclusive-or SHAKE-256's output for a fresh nonce and the key: masks and, again, unmasks.

    It is not authenticated: whoever could change a reply in the database could as well change what it tells of.
    """
    mask = hashlib.shake_256(b"callboard reply\0" + nonce + actor.key.encode() + b"\0" + key.encode())
    size = len(content)
    return (int.from_bytes(content, "big") ^ int.from_bytes(mask.digest(size), "big")).to_bytes(size, "big")


# The schema


@dataclass(frozen=True, slots=True)
class Upgrade:
    """One numbered SQL file of `server/upgrades/`."""

    number: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the file's text."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


class UpgradeChanged(Exception):
    """A file that was applied here has another text now; released upgrades are never edited."""

    def __str__(self) -> str:
        """What whoever started us can do about it."""
        return f"This database was made by another build ({self.args[0]} differs): use one of its own for this build."


UPGRADES = Path(__file__).parent / "upgrades"
UPGRADE_LOCK = 0x43414C4C
"""Key of the advisory lock under which one process at a time upgrades a database ("CALL")."""


def upgrades(folder: Path = UPGRADES) -> list[Upgrade]:
    """Every upgrade in order of its number."""
    files = sorted(folder.glob("[0-9]*.sql"))
    return [Upgrade(int(file.name.split("_")[0]), file.stem, file.read_text()) for file in files]


async def migrate(database_url: str, origin: str | None = None) -> list[str]:
    """Bring a database to this version's schema and answer the names of the upgrades applied.

    `origin` is recorded only in a database that had no schema yet. Raises `UpgradeChanged`.
    """
    conn: Connection = await asyncpg.connect(database_url)
    try:
        await conn.execute("select pg_advisory_lock($1)", UPGRADE_LOCK)
        fresh = not await conn.fetchval("select to_regclass('upgrades') is not null")
        done = {} if fresh else {row["number"]: row["checksum"] for row in await conn.fetch(APPLIED)}
        names: list[str] = []
        for upgrade in upgrades():
            if upgrade.number in done:
                if done[upgrade.number] != upgrade.checksum:
                    raise UpgradeChanged(upgrade.name)
                continue
            async with conn.transaction():
                await conn.execute(upgrade.sql)
                await conn.execute(NOTE_APPLIED, upgrade.number, upgrade.name, upgrade.checksum)
                if fresh and origin is not None and not names:
                    # With the first upgrade or not at all: a crash in between would leave the mark out for good.
                    await conn.execute(NOTE_ORIGIN, origin)
            names.append(upgrade.name)
        return names
    finally:
        await conn.close()


APPLIED = "select number, checksum from upgrades"
NOTE_APPLIED = "insert into upgrades (number, name, checksum) values ($1, $2, $3)"
NOTE_ORIGIN = "insert into facts (name, value) values ('origin', $1)"


async def new_epochs(database_url: str) -> None:
    """After PostgreSQL was put back from a backup, give every stream another epoch: nobody joins on to the old."""
    conn: Connection = await asyncpg.connect(database_url)
    try:
        await conn.execute(NEW_EPOCHS)
    finally:
        await conn.close()


NEW_EPOCHS = "update streams set epoch = encode(substring(uuid_send(gen_random_uuid()) from 1 for 6), 'hex')"


async def connect(database_url: str, size: int) -> Pool:
    """A pool of at most `size` connections to a database that answers; raises what asyncpg raises."""
    async with asyncio.timeout(30):
        return await asyncpg.create_pool(
            database_url,
            min_size=1,
            max_size=size,
            timeout=5,
            command_timeout=30,
            reset=_nothing_to_reset,
            server_settings={"application_name": "callboard", "timezone": "UTC", "jit": "off"},
        )


async def clock_of(pool: Pool, ahead: float) -> Callable[[], datetime] | None:
    """A clock that goes so many seconds ahead, to see what happens later; None, the true one, where that matters."""
    if not ahead or not await pool.fetchval(FOR_TRYING_OUT):
        return None
    return lambda: datetime.now(UTC) + timedelta(seconds=ahead)


FOR_TRYING_OUT = "select exists (select from facts where name = 'origin' and value in ('up', 'test'))"


async def _nothing_to_reset(_conn: Connection) -> None:
    """Save the round trip after each command: no session state is ever set, and asyncpg rolls back what is open."""
