"""A million appointments' worth of slots to find free ones in, and one to fight for: ours beside what it stands on."""

from __future__ import annotations

import asyncio
import secrets
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import asyncpg

from server import publish, store
from server.access import Actor, Role
from server.embedded import start_postgres, start_redis
from server.slots import QUERIES, Locks
from server.slots.free import FindSlots
from server.slots.locks import Bound
from server.store import Pool, Store
from server.web import Json
from tests.bench.clinic import Nobody, One, Statement

INSTITUTION = 1
DOCTORS = 50
AT_ONCE = 16


@asynccontextmanager
async def month(days: int) -> AsyncIterator[Any]:
    """A PostgreSQL of our own: a hundred doctors in two institutions, booked for `days` past, half booked for 60 more.

    Sixteen slots a day; each past one has its appointment and its seat.
    """
    with tempfile.TemporaryDirectory(prefix="callboard-bench-") as folder:
        postgres = await asyncio.to_thread(start_postgres, Path(folder) / "postgres")
        try:
            await store.migrate(postgres.url)
            conn = await asyncpg.connect(postgres.url, server_settings={"timezone": "UTC", "jit": "off"})
            await conn.execute(PLACES)
            await conn.execute(FILL.replace(":days", str(days)))
            await conn.execute("set session_replication_role = origin")
            await conn.execute("vacuum analyze slots, appointments, doctors, streams")
            yield conn
            await conn.close()
        finally:
            await asyncio.to_thread(postgres.stop)


PLACES = """
set session_replication_role = replica;
alter table slots drop constraint slots_never_overlap;
alter table appointments drop constraint appointments_one_place_at_a_time;
insert into institutions (name) values ('Here'), ('There');
insert into locations (institution_id, name) select 1 + n / 4, 'Branch ' || n from generate_series(0, 7) n;
insert into patients (institution_id, name, number) select 1, 'Patient ' || n, 'P' || n from generate_series(1, 5000) n;
insert into doctors (institution_id, name) select 1 + n / 50, 'Doctor ' || n from generate_series(0, 99) n;
insert into streams (name, epoch, version) select 'slots:' || id, 'epoch', 1 from doctors;
"""
FILL = """
insert into slots (institution_id, doctor_id, location_id, starts_at, ends_at, taken)
select d.institution_id, d.id, (d.institution_id - 1) * 4 + 1 + (day + d.id + :days) % 4, at,
    at + interval '20 minutes',
    case when day < 0 or hashint8(d.id * 100000 + day * 100 + n) % 2 = 0 then 1 else 0 end
from generate_series(-:days, 60) day, generate_series(0, 15) n, doctors d,
    lateral (select current_date + day * interval '1 day' + interval '8 hours' + n * interval '30 minutes' as at) a;
insert into appointments (institution_id, number, kind, patient_id, doctor_id, location_id, state, starts_at, ends_at,
    source, created_at, created_by)
select institution_id, 'APT-' || id, 'scheduled', 1 + id % 5000, doctor_id, location_id,
    case when starts_at < now() then 'completed' else 'confirmed' end, starts_at, ends_at, 'online', now(), 'user:1'
from slots where taken = 1;
"""
"""Without the exclusion constraints, which no reader uses and which take minutes to fill."""


async def found(conn: Any, repeats: int) -> tuple[list[float], list[Statement], int]:
    """Find 50 doctors' free slots of 30 days, to the answer's last byte, with their locks.

    Answers the seconds of each, the statements of the last, and how many were found.
    """
    with tempfile.TemporaryDirectory(prefix="callboard-bench-") as folder:
        redis = await asyncio.to_thread(start_redis, Path(folder) / "redis")
        client = publish.connect(f"{redis.url}?db=0")
        things = Store(cast(Pool, One(conn)), Nobody(), locks=Locks(client))
        query = next(one for one in QUERIES if one.name == "find-slots")
        actor = Actor(Role.receptionist, id=1, institution_id=INSTITUTION)
        today = (await conn.fetchval("select now()")).date()
        ask = FindSlots(**{"from": today, "to": today + timedelta(days=29), "limit": 20_000})
        seconds, statements = [], []

        def note(one: Any) -> None:
            statements.append((one.query, tuple(one.args or ())))

        for nth in range(repeats):
            if nth == repeats - 1:
                conn.add_query_logger(note)
            begun = time.perf_counter()
            reply = await things.read(query, actor, ask)
            Json(reply)
            seconds.append(time.perf_counter() - begun)
        conn.remove_query_logger(note)
        await client.aclose()
        await asyncio.to_thread(redis.stop)
        return seconds, statements, len(reply.items)


@asynccontextmanager
async def redis_alone() -> AsyncIterator[Any]:
    """A Valkey, and the client that the server uses."""
    with tempfile.TemporaryDirectory(prefix="callboard-bench-") as folder:
        redis = await asyncio.to_thread(start_redis, Path(folder) / "redis")
        client = publish.connect(f"{redis.url}?db=0")
        yield client
        await client.aclose()
        await asyncio.to_thread(redis.stop)


async def per_second(one: Callable[[int], Awaitable[object]], count: int) -> float:
    """How many of these are done a second, some at once."""
    numbers = iter(range(count))

    async def some() -> None:
        for number in numbers:
            await one(number)

    begun = time.perf_counter()
    await asyncio.gather(*(some() for _ in range(AT_ONCE)))
    return count / (time.perf_counter() - begun)


async def locks(client: Any, count: int) -> tuple[float, float]:
    """Locks a second on slots of fifty doctors, each by somebody else, and bare `SET NX PX` a second."""
    ours = Locks(client)

    async def lock(number: int) -> None:
        person = Bound.of_person(f"user:{number}", 8)
        await ours.lock(1 + number % DOCTORS, {number: 1}, timedelta(minutes=5), [person], True)

    async def put(number: int) -> None:
        await client.set(f"lock:{number}", secrets.token_urlsafe(24), nx=True, px=300_000)

    await lock(-1)
    await per_second(put, 200)
    return await per_second(lock, count), await per_second(lambda number: put(number + 1000), count)
