"""The last seats fought for by many at once, and the lists of a clinic of a million appointments."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

from server import errors, publish, store
from server.access import Actor, Role
from server.app import COMMANDS, QUERIES, REACTIONS
from server.embedded import start_postgres, start_redis
from server.patients import NewPatient
from server.patients.records import found_by
from server.slots import Locks
from server.store import Pool, Store
from server.web import Json
from tests.bench.clinic import Nobody, One, Statement
from tests.bench.records import names

INSTITUTION = 1
PEOPLE, SEATS = 200, 20
CONNECTIONS = 16


# Two hundred people, twenty seats


@dataclass
class Fight:
    """A clinic with as many fights to be had as it has rounds, each for twenty free slots of four doctors."""

    pool: Pool
    store: Store
    patients: list[int]
    rounds: list[list[tuple[int, int]]]
    """Of each: the slots, and whose they are."""


@asynccontextmanager
async def fight(rounds: int) -> AsyncIterator[Fight]:
    """A PostgreSQL of our own, with fsync, and a Valkey."""
    with tempfile.TemporaryDirectory(prefix="callboard-bench-") as folder:
        postgres = await asyncio.to_thread(start_postgres, Path(folder) / "postgres")
        redis = await asyncio.to_thread(start_redis, Path(folder) / "redis")
        try:
            await store.migrate(postgres.url)
            pool = await store.connect(postgres.url, CONNECTIONS)
            await pool.execute(CLINIC)
            patients = [row["id"] for row in await pool.fetch("select id from patients order by id")]
            slots = [(row["id"], row["doctor_id"]) for row in await pool.fetch(FREE, 2 * rounds * SEATS)]
            client = publish.connect(f"{redis.url}?db=0")
            things = Store(pool, Nobody(), reactions=REACTIONS, locks=Locks(client))
            yield Fight(pool, things, patients, [slots[n : n + SEATS] for n in range(0, len(slots), SEATS)])
            await client.aclose()
            await pool.close()
        finally:
            await asyncio.to_thread(redis.stop)
            await asyncio.to_thread(postgres.stop)


CLINIC = """
insert into institutions (name, booking) values ('Here', '{"open_per_patient": 50}');
insert into locations (institution_id, name) values (1, 'Main');
insert into patients (institution_id, name, number) select 1, 'Patient ' || n, 'P' || n from generate_series(1, 200) n;
insert into doctors (institution_id, name) select 1, 'Doctor ' || n from generate_series(1, 4) n;
insert into streams (name, epoch, version)
select kind || ':' || id, 'epoch', 0 from doctors, unnest('{slots,doctor}'::text[]) kind;
insert into slots (institution_id, doctor_id, location_id, starts_at, ends_at)
select 1, d.id, 1, at, at + interval '20 minutes' from doctors d, generate_series(0, 999) n,
    lateral (select date_trunc('hour', now()) + interval '1 day' + n * interval '20 minutes' as at) a;
"""
FREE = "select id, doctor_id from slots where starts_at > now() order by starts_at, doctor_id limit $1"


async def answered(ways: Callable[[int], Awaitable[bool]], had: Callable[[], Awaitable[int]]) -> list[float]:
    """The seconds until each of two hundred who ask at once is answered; raises unless twenty have a seat."""
    seconds: list[float] = []

    async def one(person: int) -> bool:
        begun = time.perf_counter()
        try:
            return await ways(person)
        finally:
            seconds.append(time.perf_counter() - begun)

    before = await had()
    got = sum(await asyncio.gather(*(one(person) for person in range(PEOPLE))))
    if got != SEATS or await had() - before != SEATS or len(seconds) != PEOPLE:
        raise RuntimeError(f"{got} of {len(seconds)} people believe that they have one of {SEATS} seats")
    return seconds


async def booked(place: Fight, slots: list[tuple[int, int]]) -> list[float]:
    """By the public command: a refusal is an answer, with its alternatives."""
    command = next(one for one in COMMANDS if one.name == "book-appointment")
    actor = Actor(Role.receptionist, id=1, institution_id=INSTITUTION)

    async def ask(person: int) -> bool:
        slot, doctor = slots[person % SEATS]
        wanted = command.ask.model_validate(
            {"slot_ids": [slot], "doctor_id": doctor, "patient_id": place.patients[person]}
        )
        try:
            await place.store.execute(command, actor, wanted)
        except errors.SlotFull as refusal:
            if not refusal.extra["alternatives"]:
                raise
            return False
        return True

    return await answered(ask, lambda: _seats(place))


async def barely(place: Fight, slots: list[tuple[int, int]]) -> list[float]:
    """By the barest transaction that is right: lock the doctor, look, take the seat."""

    async def ask(person: int) -> bool:
        slot, doctor = slots[person % SEATS]
        async with place.pool.acquire() as conn, conn.transaction():
            await conn.fetchval("select version from streams where name = $1 for update", f"slots:{doctor}")
            if not await conn.fetchval("select taken < capacity from slots where id = $1", slot):
                return False
            id_ = await conn.fetchval(BARE, slot, f"BARE-{slot}", place.patients[person])
            await conn.execute(
                "insert into seats (slot_id, number, capacity, appointment_id) values ($1, 1, 1, $2)", slot, id_
            )
        return True

    return await answered(ask, lambda: _seats(place))


BARE = """
insert into appointments (institution_id, number, kind, patient_id, doctor_id, location_id, state, starts_at, ends_at,
    source, created_at, created_by)
select institution_id, $2, 'scheduled', $3, doctor_id, location_id, 'confirmed', starts_at, ends_at, 'online', now(),
    'user:1'
from slots where id = $1 returning id
"""


async def _seats(place: Fight) -> int:
    return int(await place.pool.fetchval("select count(distinct slot_id) from seats"))


# Lists


LISTS: dict[str, tuple[str, dict[str, Any]]] = {
    "today's": ("search-appointments", {"when": "today"}),
    "a doctor's month": ("search-appointments", {"doctor_ids": [7], "from_day": -30, "to_day": 0, "limit": 200}),
    "no-shows, latest first": ("search-appointments", {"states": ["no_show"], "order": "latest"}),
    "a patient's, by name": ("search-appointments", {"text": "maria g", "order": "latest"}),
    "a number's": ("search-appointments", {"text": "APT-4711"}),
    "a doctor's day": ("doctors-day", {"doctor_id": 7}),
    "a month's figures": ("appointment-statistics", {"from_day": -29, "to_day": 0}),
    "one's own": ("my-appointments", {}),
}
"""What is asked for; days are counted from today."""


async def named(conn: Any) -> None:
    """Give the patients of `slots.month` names as uneven as people's, by which they are found, and some no-shows."""
    rows = []
    for nth, name in enumerate(names(5000), start=1):
        new = NewPatient(name=name)
        rows.append((nth, name, found_by(INSTITUTION, new)))
    await conn.executemany("update patients set name = $2, found_by = $3 where id = $1", rows)
    await conn.execute("update appointments set state = 'no_show' where id % 97 = 0 and state = 'completed'")
    await conn.execute("vacuum analyze patients")
    await conn.execute("analyze appointments")


async def listed(conn: Any, repeats: int) -> dict[str, tuple[list[float], list[Statement]]]:
    """Each list's seconds, to the answer's last byte, and the statements that it ran."""
    things = Store(cast(Pool, One(conn)), Nobody())
    today = (await conn.fetchval("select now()")).date()
    found: dict[str, tuple[list[float], list[Statement]]] = {}
    for what, (name, given) in LISTS.items():
        query = next(one for one in QUERIES if one.name == name)
        ask = {key: today + timedelta(days=value) if key.endswith("_day") else value for key, value in given.items()}
        patient = name == "my-appointments"
        actor = Actor(Role.patient if patient else Role.admin, 1, INSTITUTION, patient_id=4711 if patient else None)
        seconds: list[float] = []
        statements: list[Statement] = []

        def note(one: Any, statements: list[Statement] = statements) -> None:
            statements.append((one.query, tuple(one.args or ())))

        for nth in range(repeats):
            if nth == repeats - 1:
                conn.add_query_logger(note)
            begun = time.perf_counter()
            async with things.snapshot() as view:
                Json(await query.run(view, actor, query.ask.model_validate(ask)))
            seconds.append(time.perf_counter() - begun)
        conn.remove_query_logger(note)
        found[what] = seconds, statements
    return found
