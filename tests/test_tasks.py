"""The worker's tasks about slots and requests: what is due is done once, however often and by however many."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from server import errors
from tests.clinic import account_of, book, patient_of, set_booking, slots_of
from tests.test_availability import schedule, times
from tests.world import World
from workers import tasks


def ctx(world: World) -> dict[str, Any]:
    return {"store": world.store, "publisher": world.publisher}


async def thrice(world: World, task: Any) -> None:
    """By three workers at once, and once more: what was to be done is done, and nothing twice."""
    await asyncio.gather(*(task(ctx(world)) for _ in range(3)))
    events = await world.pool.fetchval("select count(*) from events")
    trail = await world.pool.fetchval("select count(*) from audit")
    await task(ctx(world))
    assert await world.pool.fetchval("select count(*) from events") == events
    assert await world.pool.fetchval("select count(*) from audit") == trail


async def test_days_that_have_become_near_get_their_slots_once(still: World) -> None:
    await schedule(still)
    still.forward(days=4)
    async with still.verify(f"slots:{still.doctors[0]}"):
        await thrice(still, tasks.generate_slots)
    found = await times(still)
    assert found[-1] == "05-05T09:30" and len(found) == len(set(found))


async def test_doctor_who_takes_nobody_and_place_that_is_no_more_get_none(still: World) -> None:
    await schedule(still)
    await schedule(still, doctor=1)
    await still.pool.execute("update doctors set active = false where id = $1", still.doctors[0])
    await still.pool.execute("update locations set retired_at = now()")
    before = await still.pool.fetchval("select count(*) from slots")
    still.forward(days=20)
    await tasks.generate_slots(ctx(still))
    assert await still.pool.fetchval("select count(*) from slots") == before


async def test_slots_of_yesterday_leave_the_sight_of_whoever_books(still: World) -> None:
    await schedule(still)
    still.forward(days=2)
    async with still.verify(f"slots:{still.doctors[0]}"):
        await thrice(still, tasks.file_slots)
    assert (await times(still))[0] == "03-03T09:00"


async def test_requests_that_nobody_answers_end_in_time_and_free_their_seats(still: World) -> None:
    await set_booking(still, auto_confirm_appointments=False, request_expires_hours=4)
    (slot,) = await slots_of(still)
    patient = await patient_of(still)
    account = await account_of(still, patient)
    lock = await still.do("lock-slot", account, slot_id=slot)
    await book(still, [slot], account, token=lock.token)
    still.forward(hours=3)
    await tasks.expire_requests(ctx(still))
    assert await still.pool.fetchval("select state from appointments") == "pending"
    still.forward(hours=2)
    async with still.verify(f"slots:{still.doctors[0]}", f"doctor:{still.doctors[0]}", f"patient:{patient}"):
        await thrice(still, tasks.expire_requests)
    assert await still.pool.fetchval("select state from appointments") == "rejected"
    assert await still.pool.fetchval("select taken from slots where id = $1", slot) == 0


async def test_appointments_that_are_over_leave_the_streams_after_a_day(still: World) -> None:
    (slot,) = await slots_of(still, after=timedelta())
    booked = await book(still, [slot])
    still.forward(hours=2)
    await still.do("complete-appointment", "doctor", appointment_id=booked.appointment_id)
    await tasks.file_appointments(ctx(still))
    stream = f"doctor:{still.doctors[0]}"
    assert len(await still.fresh_rows(stream)) == 1
    still.forward(hours=25)
    async with still.verify(stream):
        await thrice(still, tasks.file_appointments)
    assert await still.fresh_rows(stream) == {}


# Where a place changes


async def test_slots_keep_the_local_hours_of_a_place_whose_clock_changes(still: World) -> None:
    await schedule(still)
    found = await still.pool.fetch("select id from slots where starts_at > '2026-03-03' order by starts_at limit 1")
    await book(still, [found[0]["id"]])
    async with still.verify(f"slots:{still.doctors[0]}"):
        await still.do("edit-location", "admin", location_id=still.location, zone="Asia/Kolkata")
    local = await still.pool.fetch(
        "select distinct to_char(starts_at at time zone 'Asia/Kolkata', 'HH24:MI') as at from slots where taken = 0"
    )
    assert {row["at"] for row in local} == {"09:00", "09:30", "10:00", "10:30"}
    booked = await still.pool.fetchrow("select open, starts_at from slots where taken = 1")
    assert booked and not booked["open"] and booked["starts_at"] == datetime(2026, 3, 3, 9, tzinfo=UTC)


async def test_a_place_without_a_zone_of_its_own_follows_the_institution(still: World) -> None:
    await schedule(still)
    own = await still.do("create-location", "admin", name="Annex", zone="Europe/London")
    await schedule(still, doctor=1, location_id=own.location)
    before = await times(still, 1)
    async with still.verify(*(f"slots:{one}" for one in still.doctors)):
        await still.do("edit-institution", "admin", institution_id=still.institution, zone="America/New_York")
    assert (await times(still))[:2] == ["03-02T14:00", "03-02T14:30"] and await times(still, 1) == before
    events = await still.events(f"slots:{still.doctors[0]}")
    await still.do("edit-institution", "admin", institution_id=still.institution, zone="America/New_York")
    assert await still.events(f"slots:{still.doctors[0]}") == events


async def test_nobody_can_book_at_a_place_that_is_no_more(still: World) -> None:
    await still.do("create-location", "admin", name="Annex")
    await schedule(still)
    async with still.verify(f"slots:{still.doctors[0]}"):
        await still.do("retire-location", "admin", location_id=still.location)
    assert await times(still) == []
    assert (await still.ask("find-slots", doctor_id=[still.doctors[0]])).items == []
    assert (await still.ask("list-schedules", "admin", doctor_id=still.doctors[0])).items == []
    with pytest.raises(errors.NotFound):
        await schedule(still, starts_on="2026-04-01")
