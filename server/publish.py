"""Committed events become each stream's published truth in Redis: its view, its history, and a message to every node.

Invariants:
- Redis applies version `n + 1` only on top of version `n` of the same epoch, in one script, so what a board can read
  never skips, repeats or reorders an event, whichever process publishes it and however often.
- An event is marked as published in PostgreSQL only after Redis has it. A crash at any point repeats; it never loses.
- Everything here can be lost: a view is rebuilt from PostgreSQL, a history from `events`.
"""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar, cast

import asyncpg
import orjson
import redis.asyncio as redis
import structlog
from redis.exceptions import NoScriptError, RedisError

from server import events
from server.store import LOST, OPEN_STREAMS, Committed, Connection, Pool, committed

log = structlog.get_logger()

STREAMS_AT_ONCE = 2000
"""Streams that are compared with Redis at a time."""
KEEP = 512
"""Events of a stream's history in Redis; a client that lacks more gets a snapshot."""
BATCH = 200
"""Events loaded from PostgreSQL at a time."""
MARK_EVERY = 0.02
"""Seconds in which published events are gathered into one update."""
RETRY_EVERY = 0.5
"""Seconds between tries while Redis or PostgreSQL is away."""
REPAIRS_AT_ONCE = 4
CANCEL_EVERY = 0.5
"""Seconds that a task has for ending until it is cancelled once more."""

R = TypeVar("R", bound=events.Row)
Rows = Callable[[Connection, int], Awaitable[Sequence[events.Row]]]
"""Reads the rows of one stream as they are in PostgreSQL now."""


def keys(stream: str) -> list[str]:
    """The stream's keys in Redis: position, view, history; the braces keep them on one node of a cluster.

    Those of all locks lie on one: the script that locks a slot counts its holder's locks with every doctor.
    """
    if stream.startswith("locks:"):
        stream = stream.removeprefix("locks:")
        return [f"cb:{{locks}}:{stream}:meta", f"cb:{{locks}}:{stream}:view", f"cb:{{locks}}:{stream}:log"]
    return [f"cb:{{{stream}}}:meta", f"cb:{{{stream}}}:view", f"cb:{{{stream}}}:log"]


def channel(stream: str) -> str:
    """The channel of a stream's live messages, each `version type epoch envelope`."""
    return f"cb:{{{stream}}}:live"


CONTROL = "cb:control"
"""The channel on which nodes are told whose sockets end."""

APPLY = """
local position = redis.call('HMGET', KEYS[1], 'epoch', 'version')
local last = tonumber(position[2])
if not last or position[1] ~= ARGV[1] then return {'missing', 0} end
local i, status = 5, 'applied'
for _ = 1, tonumber(ARGV[4]) do
    local version, type, envelope, puts = tonumber(ARGV[i]), ARGV[i + 1], ARGV[i + 2], tonumber(ARGV[i + 3])
    i = i + 4
    if version > last + 1 then status = 'gap' break end
    local new = version == last + 1
    for _ = 1, puts do
        if new then redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1]) end
        i = i + 2
    end
    local drops = tonumber(ARGV[i])
    i = i + 1
    for _ = 1, drops do
        if new then redis.call('HDEL', KEYS[2], ARGV[i]) end
        i = i + 1
    end
    if new then
        last = version
        redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[2], version .. '-0', 't', type, 'e', envelope)
        redis.call('HSET', KEYS[1], 'version', version)
        redis.call('PUBLISH', ARGV[3], version .. ' ' .. type .. ' ' .. ARGV[1] .. ' ' .. envelope)
    end
end
return {status, last}
"""

REBUILD = """
local position = redis.call('HMGET', KEYS[1], 'epoch', 'version')
if (position[1] or '') ~= ARGV[5] or (position[2] or '') ~= ARGV[6] then return 0 end
redis.call('DEL', KEYS[1], KEYS[2], KEYS[3])
local i = 7
for _ = 1, tonumber(ARGV[4]) do
    redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1])
    i = i + 2
end
local events = tonumber(ARGV[i])
i = i + 1
for _ = 1, events do
    redis.call('XADD', KEYS[3], ARGV[i] .. '-0', 't', ARGV[i + 1], 'e', ARGV[i + 2])
    i = i + 3
end
redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'version', ARGV[2])
redis.call('PUBLISH', ARGV[3], '0 reset ' .. ARGV[1] .. ' {}')
return 1
"""
"""Replaces a stream only where it still stands at the position (ARGV 5, 6) that was judged to be wrong: meanwhile
another process may have rebuilt it and published on, and Redis never goes back."""

TELL = """
local epoch = redis.call('HGET', KEYS[1], 'epoch')
if not epoch then
    epoch = ARGV[1]
    redis.call('HSET', KEYS[1], 'epoch', epoch)
end
local version = redis.call('HINCRBY', KEYS[1], 'version', 1)
local envelope = ARGV[5] .. ',"epoch":"' .. epoch .. '","version":' .. version .. ',"data":' .. ARGV[6] .. '}'
for i = 7, #ARGV, 2 do redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1]) end
redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[2], version .. '-0', 't', ARGV[4], 'e', envelope)
redis.call('PUBLISH', ARGV[3], version .. ' ' .. ARGV[4] .. ' ' .. epoch .. ' ' .. envelope)
return version
"""

CATCH_UP = """
local position = redis.call('HMGET', KEYS[1], 'epoch', 'version')
local last = tonumber(position[2])
if not last then return {} end
local from = tonumber(ARGV[2])
if position[1] == ARGV[1] and from and from <= last then
    local entries = {}
    if from < last then entries = redis.call('XRANGE', KEYS[3], (from + 1) .. '-0', '+') end
    if #entries == last - from then return {position[1], last, 'events', entries} end
end
return {position[1], last, 'rows', redis.call('HGETALL', KEYS[2])}
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """One event of a history, encoded."""

    version: int
    type: str
    envelope: bytes


@dataclass(frozen=True, slots=True)
class CaughtUp:
    """What a reader at some version lacks: the missed `events` in order, or else all `rows` as of `version`."""

    epoch: str
    version: int
    events: list[Entry] | None
    rows: dict[str, bytes] | None


class Scripts:
    """The Lua scripts above, loaded on demand, so that a restarted Redis gets them again."""

    def __init__(self, client: "redis.Redis") -> None:
        self.redis = client
        self._sha: dict[str, str] = {}

    async def run(self, script: str, stream: str, *args: Any) -> Any:
        """Run one script on one stream's keys. Raises `RedisError`."""
        return (await self.run_all(script, [(stream, args)]))[0]

    async def run_all(self, script: str, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        """Run one script on many streams in one round trip; answers in order."""
        for _ in range(2):
            sha = self._sha.get(script) or await self._load(script)
            pipe = self.redis.pipeline(transaction=False)
            for stream, args in calls:
                pipe.evalsha(sha, 3, *keys(stream), *args)
            answers: list[Any] = await pipe.execute(raise_on_error=False)
            if not any(isinstance(answer, NoScriptError) for answer in answers):
                for answer in answers:
                    if isinstance(answer, Exception):
                        raise answer
                return answers
            self._sha.clear()
        raise RedisError("Redis forgets scripts as they are loaded")

    async def _load(self, script: str) -> str:
        sha = self._sha[script] = cast(str, await self.redis.script_load(script))
        return sha


def note(what: str, failure: Exception, **facts: Any) -> None:
    """Log a failure after which we go on: in one line where a server is away, in full where it is our own."""
    if isinstance(failure, (RedisError, *LOST)):
        log.warning(what, error=type(failure).__name__, **facts)
    else:
        log.error(what, exc_info=failure, **facts)


def connect(url: str) -> "redis.Redis":
    """A client that fails fast instead of hanging: what cannot be published now is published by the sweep."""
    client: redis.Redis = redis.Redis.from_url(
        url, socket_timeout=3, socket_connect_timeout=2, health_check_interval=15
    )
    return client


async def ended(*tasks: "asyncio.Task[Any]") -> None:
    """Cancel these tasks until they have ended: Redis's client can take a cancellation for a lost connection."""
    while going := [task for task in tasks if not task.done()]:
        for task in going:
            task.cancel()
        await asyncio.wait(going, timeout=CANCEL_EVERY)
    await asyncio.gather(*tasks, return_exceptions=True)


class Publisher:
    """Publishes what this process has committed, and repairs any stream from PostgreSQL."""

    def __init__(self, pool: Pool, client: "redis.Redis", rows: Mapping[str, Rows]) -> None:
        self.pool = pool
        self.redis = client
        self.scripts = Scripts(client)
        self._rows = rows
        self._waiting: asyncio.Queue[Committed] = asyncio.Queue()
        self._behind: set[str] = set()
        """Streams that Redis is known to lack something of."""
        self._late = asyncio.Event()
        self._told: list[int] = []
        """Ids of events that Redis has and PostgreSQL is still to be told of."""
        self._to_mark = asyncio.Event()
        self._ending: set[asyncio.Task[None]] = set()
        self._repairs: dict[str, asyncio.Task[None]] = {}
        self._asked: set[str] = set()
        """Streams whose repair was asked for since the last look at PostgreSQL."""
        self._verified = ""
        """The last stream that was compared with Redis."""
        self.published = 0
        self.repaired = 0
        self.failed = 0

    def hand_over(self, done: Sequence[Committed]) -> None:
        """Take committed events for publishing; returns at once."""
        for one in done:
            self._waiting.put_nowait(one)

    def end(self, actors: Sequence[str]) -> None:
        """Have every node end the sockets of these actors, whose credentials have just ended."""
        task = asyncio.create_task(self._end(actors))
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def _end(self, actors: Sequence[str]) -> None:
        with contextlib.suppress(RedisError, OSError):
            await self.redis.publish(CONTROL, orjson.dumps({"end": list(actors)}))

    @property
    def backlog(self) -> int:
        """Committed events of this process that are not handed to Redis yet."""
        return self._waiting.qsize()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["Publisher"]:
        """Publish in the background; at the end publish what is left, for two seconds at most."""
        tasks = [
            asyncio.create_task(work, name=name)
            for name, work in (
                ("publish", self._publish_on()),
                ("publish-mark", self._mark_on()),
                ("publish-retry", self._retry_on()),
            )
        ]
        try:
            yield self
        finally:
            with contextlib.suppress(TimeoutError, RedisError, *LOST):
                async with asyncio.timeout(2):
                    await self._waiting.join()
                    await asyncio.gather(*self._ending)
                    await self._mark()
            tasks += self._repairs.values()
            await ended(*tasks)

    async def _publish_on(self) -> None:
        while True:
            batch = [await self._waiting.get()]
            while not self._waiting.empty() and len(batch) < BATCH:
                batch.append(self._waiting.get_nowait())
            try:
                await self._publish(batch)
            except Exception as failure:
                # Committed all the same. What waits would fail as well, and Redis may take seconds to say so: all of
                # it is loaded from PostgreSQL again, by `_retry_on` here or by the worker's sweep.
                while not self._waiting.empty():
                    batch.append(self._waiting.get_nowait())
                self.failed += len(batch)
                self._fell_behind(*(one.stream for one in batch))
                note("publish-failed", failure, events=len(batch))
            finally:
                for _ in batch:
                    self._waiting.task_done()

    async def _publish(self, batch: Sequence[Committed]) -> None:
        by_stream: dict[str, list[Committed]] = {}
        for one in batch:
            by_stream.setdefault(one.stream, []).append(one)
        for of_stream in by_stream.values():
            of_stream.sort(key=lambda one: one.version)
        calls = [(stream, apply_args(stream, of_stream)) for stream, of_stream in by_stream.items()]
        answers = await self.scripts.run_all(APPLY, calls)
        told: list[int] = []
        for (status, last), (stream, of_stream) in zip(answers, by_stream.items(), strict=True):
            told.extend(one.id for one in of_stream if one.version <= last and status != b"missing")
            if status != b"applied":
                # Elsewhere, or one large stream that is rebuilt would hold up all the others.
                self._fell_behind(stream)
        self.published += len(told)
        self._told += told
        self._to_mark.set()

    def _fell_behind(self, *streams: str) -> None:
        self._behind.update(streams)
        self._late.set()

    async def _mark_on(self) -> None:
        """Mark in PostgreSQL what Redis has, some commands' events at a time; the sweep marks what is lost here."""
        while True:
            await self._to_mark.wait()
            await asyncio.sleep(MARK_EVERY)
            try:
                await self._mark()
            except Exception as failure:
                note("mark-failed", failure)

    async def _mark(self) -> None:
        self._to_mark.clear()
        told, self._told = self._told, []
        if told:
            await self.pool.execute(MARK_IDS, told)

    async def _retry_on(self) -> None:
        """Bring up what fell behind: at once, and where that fails, every half second until it succeeds."""
        while True:
            await self._late.wait()
            self._late.clear()
            streams, self._behind = self._behind, set()
            if failed := await self._bring_up_all(streams):
                await asyncio.sleep(RETRY_EVERY)
                self._fell_behind(*failed)

    async def _bring_up_all(self, streams: Iterable[str]) -> set[str]:
        """Bring these streams up, a few at once, each for itself: answers those that could not be."""
        few = asyncio.Semaphore(REPAIRS_AT_ONCE)
        failed: dict[str, Exception] = {}

        async def one(stream: str) -> None:
            async with few:
                try:
                    await self.bring_up(stream)
                except Exception as failure:
                    failed[stream] = failure

        await asyncio.gather(*(one(stream) for stream in streams))
        # One line for each kind of failure: with a server away, every stream fails in the same way.
        for stream, failure in {type(failure): (stream, failure) for stream, failure in failed.items()}.values():
            note("streams-behind", failure, stream=stream, streams=len(failed))
        return set(failed)

    async def bring_up(self, stream: str) -> None:
        """Publish, from PostgreSQL, whatever Redis lacks of this stream; callers at the same time share the work.

        Raises `RedisError` or a lost PostgreSQL's error; nothing is lost by either.
        """
        # A repair that runs may have looked at PostgreSQL before this caller's event was committed: it looks again.
        self._asked.add(stream)
        running = self._repairs.get(stream)
        if running is None or running.done():
            running = self._repairs[stream] = asyncio.create_task(self._repair(stream))
            running.add_done_callback(lambda done: self._repaired(stream, done))
        await asyncio.shield(running)

    def _repaired(self, stream: str, done: "asyncio.Task[None]") -> None:
        if self._repairs.get(stream) is done:
            del self._repairs[stream]
        if not done.cancelled():
            done.exception()  # whoever asked for it has been told, or is gone

    async def _repair(self, stream: str) -> None:
        while stream in self._asked:
            self._asked.discard(stream)
            await self._bring_up(stream)

    async def _bring_up(self, stream: str) -> None:
        parsed = events.parse(stream)
        if parsed is None or parsed.kind in events.IN_REDIS_ALONE:
            return
        while True:
            # Redis first: it never has what PostgreSQL has not, so what is ahead belongs to a database put back.
            position = await cast(Awaitable[list[Any]], self.redis.hmget(keys(stream)[0], ["epoch", "version"]))
            truth = await self.pool.fetchrow(POSITION, stream)
            if truth is None:
                return
            at = int(position[1]) if position[1] is not None and position[0] == truth["epoch"].encode() else None
            if at is None or at > truth["version"]:
                await self._rebuild(parsed, position)
                continue
            missing = await self.pool.fetch(EVENTS_AFTER, stream, at, BATCH)
            if not missing:
                break
            if missing[0]["version"] != at + 1:
                await self._rebuild(parsed, position)
                continue
            await self.scripts.run(APPLY, stream, *apply_args(stream, [loaded(row) for row in missing]))
            self.repaired += len(missing)
        await self.pool.execute(MARK_STREAM, stream, truth["version"])

    async def _rebuild(self, stream: events.Stream[Any], wrong: Sequence[bytes | None]) -> None:
        """Replace the view and history at the `wrong` position by PostgreSQL's, read in one snapshot."""
        async with self.pool.acquire() as borrowed:
            conn = cast(Connection, borrowed)
            async with conn.transaction(isolation="repeatable_read", readonly=True):
                truth = await conn.fetchrow(POSITION, stream.name)
                rows = await self._rows[stream.kind](conn, stream.id)
                history = [loaded(row) for row in reversed(await conn.fetch(EVENTS_BEFORE, stream.name, KEEP))]
        if truth is None:
            return
        args: list[Any] = [truth["epoch"], truth["version"], channel(stream.name), len(rows)]
        args += [part or b"" for part in wrong]
        for row in rows:
            args += [row.key, orjson.dumps(row.model_dump(mode="json"))]
        args.append(len(history))
        for one in history:
            args += [one.version, one.type, one.envelope]
        if await self.scripts.run(REBUILD, stream.name, *args):
            log.info("stream-rebuilt", stream=stream.name, version=truth["version"])

    async def sweep(self, older_than: float = 1.0) -> int:
        """Publish what has been committed for `older_than` seconds and is not published; answers how many streams."""
        streams = [row["stream"] for row in await self.pool.fetch(UNPUBLISHED, older_than)]
        return len(streams) - len(await self._bring_up_all(streams))

    async def verify(self) -> int:
        """Compare streams with Redis and repair those that differ; answers how many did.

        A stretch of them each time, by turns; but where one differs, others will, and all that follow are looked at.
        """
        repaired = 0
        while True:
            stretch = await self.pool.fetch(STREAMS, self._verified, STREAMS_AT_ONCE)
            self._verified = stretch[-1]["name"] if len(stretch) == STREAMS_AT_ONCE else ""
            truths = {row["name"]: (row["epoch"], row["version"]) for row in stretch if row["recent"]}
            positions = dict(zip(truths, await self.positions(list(truths)), strict=True))
            wrong = [name for name, truth in truths.items() if positions[name] != truth]
            repaired += len(wrong) - len(await self._bring_up_all(wrong))
            if not wrong or not self._verified:
                return repaired

    async def ensure(self, stream: events.Stream[Any]) -> None:
        """Make Redis have this stream, if need be with nothing in it yet. Raises what `bring_up` raises."""
        if stream.kind in events.IN_REDIS_ALONE:
            pipe = self.redis.pipeline(transaction=True)
            pipe.hsetnx(keys(stream.name)[0], "epoch", secrets.token_hex(6))
            pipe.hsetnx(keys(stream.name)[0], "version", "0")
            await pipe.execute()
            return
        await self.pool.execute(OPEN_STREAMS, [stream.name])
        await self.bring_up(stream.name)

    async def positions(self, streams: Sequence[str]) -> list[tuple[str, int] | None]:
        """Where Redis stands with each of these streams: (epoch, version), or None where it has been lost."""
        pipe = self.redis.pipeline(transaction=False)
        for stream in streams:
            pipe.hmget(keys(stream)[0], ["epoch", "version"])
        answers = await pipe.execute()
        return [None if version is None else (epoch.decode(), int(version)) for epoch, version in answers]

    async def rows_of(self, stream: str, names: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Those of the named rows that a stream's view has."""
        if not names:
            return {}
        found = await cast(Awaitable[list[bytes | None]], self.redis.hmget(keys(stream)[1], list(names)))
        return {name: orjson.loads(row) for name, row in zip(names, found, strict=True) if row is not None}

    async def tell(self, stream: events.Stream[R], event: events.Event, put: Sequence[R], at: datetime) -> None:
        """Tell an event on a stream that lives in Redis alone."""
        head = orjson.dumps({"type": event.type, "stream": stream.name, "at": at})[:-1]
        data = orjson.dumps(events.data_of(event, put, ()))
        args: list[Any] = [secrets.token_hex(6), KEEP, channel(stream.name), event.type, head, data]
        for row in put:
            args += [row.key, orjson.dumps(row.model_dump(mode="json"))]
        await self.scripts.run(TELL, stream.name, *args)

    async def catch_up(self, stream: str, epoch: str | None, version: int | None) -> CaughtUp | None:
        """What a reader at (epoch, version) lacks, in one consistent read; None where Redis lacks the stream itself."""
        answer = await self.scripts.run(CATCH_UP, stream, epoch or "", "" if version is None else version)
        if not answer:
            return None
        now_epoch, last, form, content = answer
        if form == b"events":
            missed = [Entry(int(id_.split(b"-")[0]), fields[1].decode(), fields[3]) for id_, fields in content]
            return CaughtUp(now_epoch.decode(), last, missed, None)
        rows = {content[i].decode(): content[i + 1] for i in range(0, len(content), 2)}
        return CaughtUp(now_epoch.decode(), last, None, rows)


def apply_args(stream: str, batch: Sequence[Committed]) -> list[Any]:
    """The arguments of APPLY for consecutive events of one stream."""
    args: list[Any] = [batch[0].epoch, KEEP, channel(stream), len(batch)]
    for one in batch:
        args += [one.version, one.type, one.envelope, len(one.put)]
        for key, row in one.put.items():
            args += [key, row]
        args.append(len(one.drop))
        args += one.drop
    return args


def loaded(row: asyncpg.Record) -> Committed:
    """An event as PostgreSQL kept it."""
    return committed(row, row["data"].encode(), row["at"])


POSITION = "select epoch, version from streams where name = $1"
EVENTS_AFTER = """
select e.id, e.stream, s.epoch, e.version, e.type, e.data::text as data, e.at
from events e join streams s on s.name = e.stream
where e.stream = $1 and e.version > $2 order by e.version limit $3
"""
EVENTS_BEFORE = """
select e.id, e.stream, s.epoch, e.version, e.type, e.data::text as data, e.at
from events e join streams s on s.name = e.stream
where e.stream = $1 order by e.version desc limit $2
"""
MARK_IDS = """
update events set published_at = now()
from (select set_config('synchronous_commit', 'off', true)) as unhurried
where id = any($1::bigint[])
"""
"""Does not wait for the disk: a mark that a crash loses means one more repeat, which Redis ignores."""
MARK_STREAM = "update events set published_at = now() where stream = $1 and version <= $2 and published_at is null"
UNPUBLISHED = """
select distinct stream from events where published_at is null and at < now() - make_interval(secs => $1)
"""
# Those of the last days: what nobody has touched for longer is rebuilt when somebody asks for it.
STREAMS = """
select name, epoch, version, updated_at > now() - interval '2 days' as recent
from streams where name > $1 order by name limit $2
"""


async def forget_events(conn: Connection, institution_id: int, before: datetime, limit: int) -> int:
    """Remove an institution's oldest events that everybody has had for long; answers how many.

    Each stream's oldest are looked at by their versions; a stream itself, with its version, stays.
    """
    return len(await conn.fetch(FORGET_EVENTS, institution_id, before, limit))


FORGET_EVENTS = """
delete from events where id in (
    select e.id
    from (
        select 'admin:' || id as name from institutions where id = $1
        union all select kind || q.id from queues q, unnest(array['board:', 'staff:']) as kind where institution_id = $1
        union all select kind || d.id from doctors d, unnest(array['doctor:', 'slots:']) as kind
            where institution_id = $1
        union all select 'patient:' || patient_id from users where institution_id = $1 and patient_id is not null
    ) o
    cross join lateral (
        select id, at, published_at from events where stream = o.name order by version limit 20
    ) e
    where e.at < $2 and e.published_at is not null
    limit $3
)
returning id
"""
