"""Doctors' time in a real database: slots added, changed, removed, blocked and generated, and who may do it."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server import catalog, errors
from server.access import SYSTEM
from server.availability import FILE_DOCTOR, GENERATE, OfDoctor, Scope, add_block
from server.events import slots as doctor_slots
from tests.world import World

MONDAY = datetime(2026, 3, 2, tzinfo=UTC)


def at(hour: int, minute: int = 0, day: int = 2) -> str:
    """A time of the clinic's first days, as an address has it."""
    return MONDAY.replace(day=day, hour=hour, minute=minute).isoformat()


async def slot(world: World, hour: int, minutes: int = 30, doctor: int = 0, **ask: Any) -> int:
    """A single slot of a doctor; answers its id."""
    made = await world.do(
        "add-slot",
        doctor_id=world.doctors[doctor],
        location_id=world.location,
        starts_at=at(hour),
        minutes=minutes,
        **ask,
    )
    return int(made.slot_ids[0])


async def test_single_slot_is_shown_changed_and_removed(still: World) -> None:
    stream = f"slots:{still.doctors[0]}"
    async with still.verify(stream):
        one = await slot(still, 10, capacity=2)
        await still.do("change-slot", slot_id=one, capacity=3, mode="online")
    assert (await still.fresh_rows(stream))[f"s:{one}"]["left"] == 3
    async with still.verify(stream):
        await still.do("change-slot", slot_id=one, open=False)
    assert await still.fresh_rows(stream) == {}
    async with still.verify(stream):
        await still.do("change-slot", slot_id=one, open=True)
        await still.do("remove-slot", slot_id=one)
    types = [type_ for _, type_, _ in await still.events(stream)]
    assert types == ["slot-added", "slot-availability-changed", "slot-removed", "slot-added", "slot-removed"]


async def test_slot_that_overlaps_another_of_the_doctor_is_refused(still: World) -> None:
    await slot(still, 10)
    await slot(still, 10, doctor=1)
    with pytest.raises(errors.SlotsOverlap):
        await slot(still, 10, minutes=15)


async def test_slot_in_the_past_is_refused(still: World) -> None:
    with pytest.raises(errors.TimePassed):
        await slot(still, 8)


# Weekly schedules

MORNINGS = [{"weekday": day, "starts": "09:00", "ends": "11:00", "slot_minutes": 30} for day in range(5)]


async def schedule(world: World, week: object = None, doctor: int = 0, **ask: Any) -> Any:
    """A weekly schedule from the clinic's first day on; answers its id."""
    place: dict[str, Any] = {
        "doctor_id": world.doctors[doctor],
        "location_id": world.location,
        "starts_on": "2026-03-02",
    }
    arranged = await world.do("add-schedule", **{**place, "week": week or MORNINGS, **ask})
    return arranged.schedule.id


async def times(world: World, doctor: int = 0) -> list[str]:
    """When a doctor's visible slots begin."""
    rows = await world.fresh_rows(f"slots:{world.doctors[doctor]}")
    return [row["starts_at"][5:16] for row in rows.values()]


async def test_schedule_makes_slots_at_once_as_far_as_they_can_be_booked(still: World) -> None:
    async with still.verify(f"slots:{still.doctors[0]}"):
        await schedule(still)
    found = await times(still)
    # Nine o'clock has begun; the clocks go forward on 29 March.
    assert found[:4] == ["03-02T09:30", "03-02T10:00", "03-02T10:30", "03-03T09:00"]
    assert "03-27T09:00" in found and "03-30T08:00" in found and found[-1] == "05-01T09:30"


async def test_worker_makes_further_days_and_what_was_removed_stays_removed(still: World) -> None:
    await schedule(still)
    first = await still.pool.fetchval("select id from slots order by starts_at limit 1")
    await still.do("remove-slot", slot_id=first)
    still.forward(days=3)
    async with still.verify(f"slots:{still.doctors[0]}"):
        await still.store.execute(GENERATE, SYSTEM, OfDoctor(doctor_id=still.doctors[0]))
    found = await times(still)
    assert "03-02T09:30" not in found and found[-1] == "05-04T09:30"


async def booked(world: World, slot_id: int) -> None:
    """Somebody has a seat in the slot."""
    patient = await world.do("register-patient", name=f"Patient {slot_id}", confirm_new=True)
    row = await world.pool.fetchrow(BOOK, world.institution, patient.patient.id, world.location, slot_id)
    await world.pool.execute(SEAT, slot_id, row["id"])


BOOK = """
insert into appointments (institution_id, number, kind, patient_id, doctor_id, location_id, state, starts_at, ends_at,
    source, created_at, created_by)
select $1, 'APT-' || s.id, 'scheduled', $2, s.doctor_id, $3, 'confirmed', s.starts_at, s.ends_at,
    'phone', now(), 'system'
from slots s where s.id = $4 returning id
"""
SEAT = (
    "insert into seats (slot_id, number, capacity, appointment_id) select id, 1, capacity, $2 from slots where id = $1"
)


async def test_change_leaves_booked_slots_and_preview_says_which_fall_outside(still: World) -> None:
    id_ = await schedule(still, [MORNINGS[0]])
    kept = await still.pool.fetchval("select id from slots where starts_at = '2026-03-09 09:30Z'")
    await booked(still, kept)
    week = [{**MORNINGS[0], "starts": "10:00", "ends": "12:00"}]
    place: dict[str, Any] = {"doctor_id": still.doctors[0], "location_id": still.location, "starts_on": "2026-03-02"}
    seen = await still.ask("preview-schedule", **place, schedule_id=id_, week=week)
    async with still.verify(f"slots:{still.doctors[0]}"):
        done = await still.do("change-schedule", schedule_id=id_, week=week)
    assert (seen.added, seen.removed) == (done.added, done.removed) and done.outside == [kept]
    assert [one.number for one in seen.outside] == [f"APT-{kept}"]
    found = await times(still)
    assert "03-09T09:30" not in found and "03-09T11:30" in found and "03-09T10:00" in found
    assert await still.pool.fetchval("select not open and taken = 1 from slots where id = $1", kept)


async def test_schedule_elsewhere_at_the_same_time_is_refused_and_told_where(still: World) -> None:
    async with still.pool.acquire() as conn:
        branch = await catalog.add_location(conn, still.institution, "Branch")
    await schedule(still)
    with pytest.raises(errors.ScheduleOverlaps) as refused:
        await schedule(still, [{**MORNINGS[2], "starts": "10:30", "ends": "12:00"}], location_id=branch)
    assert refused.value.extra["location_id"] == still.location
    assert refused.value.extra["location"] == "Main waiting room" and refused.value.extra["from"] == "09:00"
    await schedule(still, [{**MORNINGS[2], "starts": "11:00", "ends": "12:00"}], location_id=branch)


async def test_booked_slot_is_not_removed_nor_made_smaller_than_its_bookings(still: World) -> None:
    one = await slot(still, 10)
    await booked(still, one)
    with pytest.raises(errors.SlotBooked) as refused:
        await still.do("remove-slot", slot_id=one)
    assert refused.value.extra["taken"] == 1


async def test_block_taken_back_frees_what_no_other_covers(still: World) -> None:
    await schedule(still, [MORNINGS[0]])
    blocks = []
    for ends in ("2026-03-09 10:00Z", "2026-03-09 09:30Z"):
        until = datetime.fromisoformat(ends)
        async with still.store.transaction(SYSTEM) as (tx, done), still.verify(f"slots:{still.doctors[0]}"):
            await tx.gate(doctor_slots(still.doctors[0]))
            scope = Scope(still.institution, doctor_id=still.doctors[0])
            blocks.append(await add_block(tx, scope, until.replace(hour=8), until, kind="leave"))
            done.extend(await tx.finish("block-time", OfDoctor(doctor_id=still.doctors[0])))
    assert "03-09T09:00" not in await times(still) and "03-09T10:00" in await times(still)
    async with still.verify(f"slots:{still.doctors[0]}"):
        await still.do("end-block", block_id=blocks[0].id)
    assert "03-09T09:00" not in await times(still) and "03-09T09:30" in await times(still)


@st.composite
def periods(draw: st.DrawFn) -> dict[str, Any]:
    """Time off around the night on which the clocks go forward: of whole days, or of some hours."""
    whom = draw(st.sampled_from(["doctor", "location", "institution"]))
    if draw(st.booleans()):
        first = draw(st.integers(27, 30))
        return {"of": whom, "first_day": f"2026-03-{first}", "last_day": f"2026-03-{draw(st.integers(first, 31))}"}
    begins = datetime(2026, 3, 27, 20, tzinfo=UTC) + timedelta(minutes=draw(st.integers(0, 4 * 24 * 60)))
    return {"of": whom, "starts_at": begins, "ends_at": begins + timedelta(minutes=draw(st.integers(1, 900)))}


ROUND_THE_CLOCK = [
    {"weekday": day, "starts": "22:00", "ends": "06:00", "slot_minutes": 25, "buffer_minutes": 5,
     "breaks": [{"starts": "02:30", "ends": "03:15"}]} for day in range(7)
]  # fmt: skip
COVERED = """
select s.id, s.block_id is not null as blocked, exists (
    select from blocks b where b.institution_id = s.institution_id and b.ended_at is null
        and (b.doctor_id is null or b.doctor_id = s.doctor_id)
        and (b.location_id is null or b.location_id = s.location_id)
        and b.starts_at < s.ends_at and b.ends_at > s.starts_at
) as covered
from slots s order by s.id
"""


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(periods(), st.booleans()), min_size=1, max_size=4))
async def test_blocks_cover_just_what_they_overlap_and_no_slot_vanishes(
    still: World, blocks: list[tuple[dict[str, Any], bool]]
) -> None:
    if not await still.pool.fetchval("select exists (select from slots)"):
        await schedule(still, ROUND_THE_CLOCK)
    there = [row["id"] for row in await still.pool.fetch(COVERED)]
    mine: dict[str, dict[str, Any]] = {
        "doctor": {"doctor_id": still.doctors[0]}, "location": {"location_id": still.location}, "institution": {}
    }  # fmt: skip
    made = []
    for period, stays in blocks:
        when = {name: value for name, value in period.items() if name != "of"}
        done = await still.do("block-time", "admin", kind="leave", bookings="keep", **when, **mine[period["of"]])
        made.append((done.block.id, stays))
    for going in (False, True):
        for id_, _ in (one for one in made if one[1] == going):
            rows = await still.pool.fetch(COVERED)
            assert [row["id"] for row in rows] == there and all(row["blocked"] == row["covered"] for row in rows)
            await still.do("end-block", "admin", block_id=id_)
    assert not any(row["blocked"] or row["covered"] for row in await still.pool.fetch(COVERED))


async def test_bulk_leaves_out_what_is_past_or_meets_another_slot(still: World) -> None:
    await slot(still, 10)
    place: dict[str, Any] = {"doctor_id": still.doctors[0], "location_id": still.location}
    hours: dict[str, Any] = {"starts": "08:00", "ends": "11:00", "slot_minutes": 30, "weekdays": [0]}
    made = await still.do("add-slots", **place, first_day="2026-03-02", last_day="2026-03-09", **hours)
    assert (len(made.slot_ids), made.past, made.overlapping) == (8, 3, 1)


async def test_past_slots_are_filed_a_day_after(still: World) -> None:
    one = await slot(still, 10)
    still.forward(days=1, hours=3)
    async with still.verify(f"slots:{still.doctors[0]}"):
        filed = await still.store.execute(FILE_DOCTOR, SYSTEM, OfDoctor(doctor_id=still.doctors[0]))
    assert filed.slot_ids == [one] and await times(still) == []


@pytest.mark.parametrize(
    "zone", ["America/Santiago", "Africa/Cairo", "Asia/Beirut", "Asia/Kolkata", "Australia/Lord_Howe"]
)
async def test_nights_and_early_mornings_are_right_where_the_day_begins_at_another_hour(
    still: World, zone: str
) -> None:
    await still.pool.execute("update locations set zone = $2 where id = $1", still.location, zone)
    week = [{"weekday": day, "starts": "22:00", "ends": "02:00", "slot_minutes": 30} for day in range(7)]
    async with still.verify(f"slots:{still.doctors[0]}"):
        await schedule(still, week)
    rows = await still.pool.fetch("select starts_at from slots order by starts_at")
    local = [row["starts_at"].astimezone(ZoneInfo(zone)) for row in rows]
    assert all(one.hour in (22, 23, 0, 1) for one in local) and len(rows) >= 60 * 8 - 10


# Races


async def test_two_who_add_the_same_time_at_once_leave_one_slot(world: World) -> None:
    soon = (datetime.now(UTC) + timedelta(days=1)).replace(microsecond=0).isoformat()
    place: dict[str, Any] = {
        "doctor_id": world.doctors[0],
        "location_id": world.location,
        "starts_at": soon,
        "minutes": 30,
    }
    answers = await asyncio.gather(*(world.do("add-slot", **place) for _ in range(12)), return_exceptions=True)
    assert sum(isinstance(one, errors.SlotsOverlap) for one in answers) == 11
    assert await world.pool.fetchval("select count(*) from slots") == 1


@pytest.mark.parametrize("held", [True, False])
async def test_the_database_alone_keeps_slots_apart_and_without_its_constraint_they_overlap(
    world: World, held: bool
) -> None:
    if not held:
        await world.pool.execute("alter table slots drop constraint slots_never_overlap")
    raw = """
        insert into slots (institution_id, doctor_id, location_id, starts_at, ends_at)
        values ($1, $2, $3, now() + interval '1 day', now() + interval '25 hours')
    """
    args = (world.institution, world.doctors[0], world.location)
    await asyncio.gather(*(world.pool.execute(raw, *args) for _ in range(12)), return_exceptions=True)
    assert (await world.pool.fetchval("select count(*) from slots") == 1) is held
