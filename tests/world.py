"""A clinic to test in: real PostgreSQL, real Valkey, the real commands, in the project's words."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from server import access, catalog, errors, publish, queue, slots, store
from server.access import Actor, Role
from server.app import COMMANDS, QUERIES, REACTIONS, ROWS
from server.asks import validate
from server.events import reduce
from server.publish import Publisher
from server.store import Store

PASSWORD = "a long enough password"
BY_NAME = {one.name: one for one in COMMANDS}
QUERY_BY_NAME = {one.name: one for one in QUERIES}


class Clock:
    """Time that stands still until it is moved."""

    def __init__(self, now: datetime | None = None) -> None:
        self.now = now or datetime.now(UTC)

    def __call__(self) -> datetime:
        """This instant; each look is a microsecond later, as no two commands happen at once."""
        self.now += timedelta(microseconds=1)
        return self.now

    def forward(self, **delta: float) -> None:
        """Let time pass, as `timedelta` says it."""
        self.now += timedelta(**delta)


def noon() -> str:
    """A zone in which it is noon now: no day and no night begins there while a test runs, and its date is UTC's."""
    return f"Etc/GMT{datetime.now(UTC).hour - 12:+d}"


@dataclass
class World:
    """One institution with a location, desks, two doctors and their staff; `other()` makes a foreign one."""

    store: Store
    publisher: Publisher
    clock: Clock | None
    name: str = "Riverside"
    institution: int = 0
    location: int = 0
    desks: list[int] = field(default_factory=list)
    doctors: list[int] = field(default_factory=list)
    actors: dict[str, Actor] = field(default_factory=dict)
    joined: int = 0

    @property
    def pool(self) -> store.Pool:
        """PostgreSQL."""
        return self.store.pool

    async def build(self, desks: int = 4, zone: str | None = None) -> "World":
        """Make the institution and everybody in it; where it lives by the true time, it is noon there."""
        zone = zone or ("Europe/London" if self.clock else noon())
        async with self.pool.acquire() as conn:
            self.institution = await catalog.add_institution(conn, self.name, zone)
            await self.set_institution(max_length=100_000, walk_ins_per_day=1_000_000)
            self.location = await catalog.add_location(conn, self.institution, "Main waiting room")
            self.desks = [await catalog.add_desk(conn, self.location, f"Room {n}") for n in range(1, desks + 1)]
            self.doctors = [await catalog.add_doctor(conn, self.institution, f"Dr. {n}") for n in ("Ames", "Bloch")]
        number = self.institution * 1000
        for nth, role in enumerate((Role.receptionist, Role.admin, Role.super_admin), start=1):
            institution = None if role is Role.super_admin else self.institution
            self.actors[role] = Actor(role, id=number + nth, institution_id=institution)
        for nth, doctor in enumerate(self.doctors, start=1):
            name = "doctor" if nth == 1 else f"doctor{nth}"
            self.actors[name] = Actor(Role.doctor, number + 10 + nth, self.institution, doctor_id=doctor)
        return self

    def forward(self, **delta: float) -> None:
        """Let time pass in a clinic whose clock stands still, as `timedelta` says it."""
        assert self.clock is not None
        self.clock.forward(**delta)

    async def set_institution(self, **settings: Any) -> None:
        """Give the institution settings, which its queues inherit."""
        await self.pool.execute(
            "update institutions set settings = settings || $2::jsonb where id = $1",
            self.institution,
            queue.line.dumps(settings),
        )

    async def other(self, name: str = "Elsewhere") -> "World":
        """A second institution in the same database."""
        return await World(self.store, self.publisher, self.clock, name).build()

    async def queue(self, name: str = "Walk-in", *, owner: int | None = None, **settings: Any) -> int:
        """A queue that both doctors serve, or its owner alone."""
        async with self.pool.acquire() as conn, conn.transaction():
            return await queue.add_queue(
                conn,
                institution_id=self.institution,
                location_id=self.location,
                name=name,
                doctors=[owner] if owner else self.doctors,
                owner=owner,
                settings=settings,
            )

    async def account(self, role: Role, email: str, *, name: str = "Somebody", **ids: int) -> str:
        """A person who can sign in; answers a bearer token."""
        async with self.pool.acquire() as conn:
            await catalog.add_user(
                conn,
                institution_id=None if role is Role.super_admin else self.institution,
                email=email,
                name=name,
                role=role,
                password=PASSWORD,
                **ids,
            )
        return (await access.sign_in(self.pool, email, PASSWORD)).token

    async def device(self, name: str = "Entrance board", location: int | None = None) -> tuple[int, str]:
        """An enrolled board: its id and its credential."""
        pairing = await self.do("open-pairing", access.ANONYMOUS)
        enrolled = await self.do(
            "enroll-device", "admin", code=pairing.code, location_id=location or self.location, name=name
        )
        return enrolled.device_id, pairing.secret

    async def do(
        self, command_name: str, /, actor: Actor | str = "receptionist", key: str | None = None, **ask: Any
    ) -> Any:
        """Carry out a command by its name."""
        who = self.actors[actor] if isinstance(actor, str) else actor
        command = BY_NAME[command_name]
        return await self.store.execute(command, who, validate(command.ask, ask), key)

    async def ask(self, query_name: str, /, actor: Actor | str = "receptionist", **ask: Any) -> Any:
        """Answer a query by its name."""
        who = self.actors[actor] if isinstance(actor, str) else actor
        query = QUERY_BY_NAME[query_name]
        return await self.store.read(query, who, validate(query.ask, ask))

    async def join(self, queue_id: int, name: str | None = None, **ask: Any) -> Any:
        """Somebody joins, registered on the spot; `birth_year` is the patient's."""
        self.joined += 1
        patient = {"name": name or f"Patient {self.joined}"}
        if "birth_year" in ask:
            patient["birth_year"] = ask.pop("birth_year")
        return await self.do("join-queue", queue_id=queue_id, patient=patient, **ask)

    async def call_next(
        self, queue_id: int, desk: int = 0, actor: Actor | str = "doctor", key: str | None = None
    ) -> Any:
        """The n-th desk calls whoever is first."""
        return await self.do("call-next", actor, key, queue_id=queue_id, desk_id=self.desks[desk])

    async def order(self, queue_id: int) -> list[str]:
        """The tokens of those who wait, first to last."""
        rows = await self.pool.fetch(
            "select token from tickets where queue_id = $1 and state = 'waiting' order by rank", queue_id
        )
        return [row["token"] for row in rows]

    async def events(self, stream: str) -> list[Any]:
        """Everything that ever happened in a stream, as PostgreSQL has it: (version, type, data)."""
        rows = await self.pool.fetch(
            "select version, type, data::text as data from events where stream = $1 order by version", stream
        )
        return [(row["version"], row["type"], publish.orjson.loads(row["data"])) for row in rows]

    async def fresh_rows(self, stream: str) -> dict[str, Any]:
        """A stream's rows as read from PostgreSQL now."""
        kind, _, number = stream.partition(":")
        async with self.store.snapshot() as view:
            rows = await ROWS[kind](view.conn, int(number))
        return {row.key: row.model_dump(mode="json") for row in rows}

    async def published(self) -> None:
        """Wait until everything committed is in Redis."""
        await eventually(self._all_published)

    async def _all_published(self) -> bool:
        if self.publisher.backlog:
            return False
        return not await self.pool.fetchval("select exists (select from events where published_at is null)")

    @asynccontextmanager
    async def verify(self, *streams: str) -> AsyncIterator[None]:
        """Hold that, for each stream, old rows plus the block's events equal the rows read afresh after it."""
        before = {stream: (await self.fresh_rows(stream), len(await self.events(stream))) for stream in streams}
        yield
        for stream, (rows, seen) in before.items():
            for _, _, data in (await self.events(stream))[seen:]:
                rows = reduce(rows, data)
            fresh = await self.fresh_rows(stream)
            assert rows == fresh, f"{stream}: events do not add up to its rows"


async def refused(kind: type[errors.Refusal] | str, attempt: Awaitable[object]) -> errors.Refusal:
    """The refusal with which this attempt ends, which is of this kind or has this code."""
    try:
        await attempt
    except errors.Refusal as refusal:
        assert kind in (type(refusal), refusal.code), refusal
        return refusal
    raise AssertionError(f"it was not refused: {kind}")


async def eventually(fact: Callable[[], Awaitable[object]], patience: float = 10.0) -> None:
    """Return once the fact is true."""
    until = time.monotonic() + patience
    while not await fact():
        assert time.monotonic() < until, "it never came true"
        await asyncio.sleep(0.01)


@asynccontextmanager
async def opened(database_url: str, redis_url: str, clock: Clock | None = None, size: int = 16) -> AsyncIterator[World]:
    """A world on these servers, with its publisher running."""
    async with AsyncExitStack() as stack:
        pool = await store.connect(database_url, size)
        stack.push_async_callback(pool.close)
        client = publish.connect(redis_url)
        stack.push_async_callback(client.aclose)
        publisher = await stack.enter_async_context(Publisher(pool, client, ROWS).running())
        locks = await stack.enter_async_context(slots.Locks(client, clock).running())
        things = Store(pool, publisher, base_url="http://callboard.test", clock=clock, reactions=REACTIONS, locks=locks)
        yield await World(things, publisher, clock).build()


def versions(events: Sequence[Any]) -> list[int]:
    """The versions of events, in the order given."""
    return [event[0] if isinstance(event, tuple) else event["version"] for event in events]
