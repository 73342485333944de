"""What the database alone keeps impossible: with every check of ours switched off, a seat is still taken once."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import aiohttp
import asyncpg
import pytest

from server import errors
from server.store import key_hash
from tests.chaos import Clinic, clinic
from tests.clinic import book, left_of, patient_of, slots_of
from tests.watchers import Console
from tests.world import World, eventually

RAW_APPOINTMENT = """
insert into appointments (institution_id, number, kind, patient_id, doctor_id, location_id, state, starts_at, ends_at,
    source, created_at, created_by)
select institution_id, $2, 'scheduled', $3, doctor_id, location_id, $4, starts_at, ends_at, 'online', now(), 'user:1'
from slots where id = $1 returning id
"""
RAW_SEAT = "insert into seats (slot_id, number, capacity, appointment_id) values ($1, $2, $3, $4)"
RAW_COUNT = "select count(*) from seats where slot_id = $1"
UNGUARDED = "alter table seats drop constraint seats_pkey"
UNCOUNTED = "alter table slots drop constraint slots_taken_within_capacity"


async def raw_booking(world: World, slot: int, patient: int, number: int) -> bool:
    """A booking as the crudest program would make it: look whether a seat is free, then take it."""
    async with world.pool.acquire() as conn:
        if await conn.fetchval(RAW_COUNT, slot):
            return False
        try:
            async with conn.transaction():
                id_ = await conn.fetchval(RAW_APPOINTMENT, slot, f"RAW-{number}", patient, "confirmed")
                await conn.execute(RAW_SEAT, slot, 1, 1, id_)
        except asyncpg.IntegrityConstraintViolationError:
            return False
    return True


PATIENTS = """
insert into patients (institution_id, name, number) select $1, 'Raw ' || n, 'RAW' || n from generate_series(1, $2) n
returning id
"""
AT_ONCE = 40


async def raw_bookings(world: World, url: str, slot: int, many: int) -> int:
    """So many people who take the seat without a look, forty at a time; answers how many believe that they have it."""
    numbered = iter(enumerate(row["id"] for row in await world.pool.fetch(PATIENTS, world.institution, many)))
    everybody_is_at_it = asyncio.Barrier(AT_ONCE)
    got = 0

    async def some() -> None:
        nonlocal got
        conn, first = await asyncpg.connect(url), True
        for number, patient in numbered:
            with contextlib.suppress(asyncpg.IntegrityConstraintViolationError):
                async with conn.transaction():
                    id_ = await conn.fetchval(RAW_APPOINTMENT, slot, f"RAW-{number}", patient, "confirmed")
                    if first:  # nobody has committed yet
                        await everybody_is_at_it.wait()
                        first = False
                    await conn.execute(RAW_SEAT, slot, 1, 1, id_)
                got += 1
        await conn.close()

    await asyncio.gather(*(some() for _ in range(AT_ONCE)))
    return got


async def test_five_hundred_raw_bookings_of_one_seat_leave_one(world: World, database_url: str) -> None:
    (slot,) = await slots_of(world)
    assert await raw_bookings(world, database_url, slot, 500) == 1
    assert await world.pool.fetchval(RAW_COUNT, slot) == 1 and await left_of(world, slot) == 0
    assert await world.pool.fetchval("select count(*) from appointments") == 1


async def test_without_the_constraint_the_same_bookings_do_collide(world: World, database_url: str) -> None:
    (slot,) = await slots_of(world)
    await world.pool.execute(UNGUARDED)
    await world.pool.execute(UNCOUNTED)
    assert await raw_bookings(world, database_url, slot, 500) == 500
    assert await world.pool.fetchval(RAW_COUNT, slot) == 500


async def test_a_requests_seat_is_as_taken_as_any(world: World) -> None:
    (slot,) = await slots_of(world)
    first, second = await patient_of(world), await patient_of(world)
    id_ = await world.pool.fetchval(RAW_APPOINTMENT, slot, "RAW-1", first, "pending")
    await world.pool.execute(RAW_SEAT, slot, 1, 1, id_)
    other = await world.pool.fetchval(RAW_APPOINTMENT, slot, "RAW-2", second, "confirmed")
    with pytest.raises(asyncpg.UniqueViolationError):
        await world.pool.execute(RAW_SEAT, slot, 1, 1, other)
    with pytest.raises(asyncpg.CheckViolationError) as violation:
        await world.pool.execute(RAW_SEAT, slot, 2, 1, other)
    assert violation.value.constraint_name == "seats_within_capacity"


async def test_capacity_cannot_be_lowered_below_the_seats_that_are_taken(world: World) -> None:
    (slot,) = await slots_of(world, capacity=2)
    for _ in range(2):
        await book(world, [slot])
    with pytest.raises(asyncpg.CheckViolationError):
        await world.pool.execute("update slots set capacity = 1 where id = $1", slot)
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await world.pool.execute("delete from slots where id = $1", slot)


async def test_two_slots_of_a_doctor_never_overlap(world: World) -> None:
    await slots_of(world)
    with pytest.raises(asyncpg.ExclusionViolationError) as violation:
        await slots_of(world, after=timedelta(days=2, minutes=15))
    assert violation.value.constraint_name == "slots_never_overlap"
    assert errors.CONSTRAINTS["slots_never_overlap"].code == "slots-overlap"
    await slots_of(world, 1, after=timedelta(days=2, minutes=15))


async def test_raw_bookings_never_put_a_patient_in_two_places(world: World) -> None:
    slots = [(await slots_of(world, doctor))[0] for doctor in (0, 1)]
    patient = await patient_of(world)
    tries = [raw_booking(world, slots[number % 2], patient, number) for number in range(40)]
    assert sum(await asyncio.gather(*tries)) == 1


async def test_without_that_constraint_the_patient_is_in_both(world: World) -> None:
    await world.pool.execute("alter table appointments drop constraint appointments_one_place_at_a_time")
    slots = [(await slots_of(world, doctor))[0] for doctor in (0, 1)]
    patient = await patient_of(world)
    assert sum(await asyncio.gather(*(raw_booking(world, slot, patient, slot) for slot in slots))) == 2


KILLED = """
import asyncio, os, sys, asyncpg

async def run(url, slot, patient):
    conn = await asyncpg.connect(url)
    async with conn.transaction():
        id_ = await conn.fetchval(sys.argv[4], slot, "RAW-1", patient, "confirmed")
        await conn.execute(sys.argv[5], slot, 1, 1, id_)
        print("written", flush=True)
        await asyncio.sleep(60)

asyncio.run(run(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
"""


async def test_a_process_killed_before_its_commit_leaves_nothing(world: World, database_url: str) -> None:
    (slot,), patient = await slots_of(world), await patient_of(world)
    told = (database_url, str(slot), str(patient), RAW_APPOINTMENT, RAW_SEAT)
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", KILLED, *told, stdout=asyncio.subprocess.PIPE)
    assert process.stdout and await process.stdout.readline() == b"written\n"
    os.kill(process.pid, signal.SIGKILL)
    await process.wait()
    booked = await book(world, [slot])
    assert booked.state == "confirmed" and await world.pool.fetchval(RAW_COUNT, slot) == 1
    assert await world.pool.fetchval("select count(*) from appointments") == 1


async def open_for_booking(world: World) -> None:
    """One slot, and somebody to book it for."""
    await slots_of(world)
    await patient_of(world)


PRESSED = "select exists (select from pg_stat_activity where wait_event_type = 'Lock' and query like '%into events%')"
SEEN = """
select (select count(*) from appointments) as appointments, (select count(*) from seats) as seats,
    (select sum(taken) from slots) as taken, (select count(*) from appointment_numbers) as numbers
"""


async def test_a_web_process_killed_before_its_commit_leaves_nothing_and_the_retry_books_once() -> None:
    async with clinic(webs=2, worker=False, prepare=open_for_booking) as place, place.database() as conn:
        slot = await conn.fetchrow("select id, doctor_id from slots")
        patient = await conn.fetchval("select id from patients")
        assert slot
        ask = {"slot_ids": [slot["id"]], "doctor_id": slot["doctor_id"], "patient_id": patient}
        console, other = (Console(place.token, url) for url in place.urls)
        async with stopped_at_its_last_statement(place, "once"):
            press = asyncio.create_task(console.post("/appointments", ask, "once"))

            async def has_written_all() -> bool:
                return bool(await conn.fetchval(PRESSED))

            await eventually(has_written_all)
            place.kill(str(place.ports[0]))
            with pytest.raises(aiohttp.ClientError):
                await press
        await eventually(lambda: nobody_writes(conn))
        assert dict(await conn.fetchrow(SEEN) or {}) == {"appointments": 0, "seats": 0, "taken": 0, "numbers": 0}
        answers = [await other.post("/appointments", ask, "once") for _ in range(3)]
        assert {(status, answer["number"][-4:]) for status, answer, _ in answers} == {(201, "0001")}
        assert dict(await conn.fetchrow(SEEN) or {}) == {"appointments": 1, "seats": 1, "taken": 1, "numbers": 1}
        await asyncio.gather(console.close(), other.close())


@asynccontextmanager
async def stopped_at_its_last_statement(place: Clinic, key: str) -> AsyncIterator[None]:
    """Hold up whoever sends this key where all is written and only the commit is left to do."""
    async with place.database() as holder:
        tx = holder.transaction()
        await tx.start()
        actor = await holder.fetchval("select 'user:' || id from users limit 1")
        await holder.execute(
            "insert into replies (actor, key, request, reply, at) values ($1, $2, '', '\"\"', now())",
            actor,
            key_hash(key),
        )
        yield
        await tx.rollback()


async def nobody_writes(conn: Any) -> bool:
    """Whether PostgreSQL has noticed that the process is gone."""
    return not await conn.fetchval(
        "select exists (select from pg_stat_activity where backend_xid is not null and pid <> pg_backend_pid())"
    )


async def test_of_two_hundred_people_for_twenty_slots_none_is_there_twice_and_all_are_answered(world: World) -> None:
    slots = [*await slots_of(world, 0, count=10), *await slots_of(world, 1, count=10)]
    patients = [await patient_of(world) for _ in range(200)]

    async def wants(nth: int) -> Any:
        try:
            return await book(world, [slots[nth % 20]], patient_id=patients[nth])
        except errors.Refusal as refusal:
            return refusal

    answers = await asyncio.gather(*(wants(nth) for nth in range(200)))
    had = [one for one in answers if not isinstance(one, errors.Refusal)]
    assert len(had) == 20 and {one.code for one in answers if isinstance(one, errors.Refusal)} == {"slot-full"}
    assert all("alternatives" in one.extra for one in answers if isinstance(one, errors.Refusal))
    assert [await left_of(world, slot) for slot in slots] == [0] * 20
    numbers = sorted(one.number[-4:] for one in had)
    assert numbers == [f"{nth:04d}" for nth in range(1, 21)]
