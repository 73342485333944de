"""Doctors' time in a real database: slots added, changed, removed, blocked and generated, and who may do it."""

from datetime import UTC, datetime
from typing import Any

import pytest

from server import errors
from server.access import SYSTEM
from server.availability import GENERATE, OfDoctor
from tests.world import World

MONDAY = datetime(2026, 3, 2, tzinfo=UTC)


def at(hour: int, minute: int = 0, day: int = 2) -> str:
    """A time of the clinic's first days, as an address has it."""
    return MONDAY.replace(day=day, hour=hour, minute=minute).isoformat()


async def slot(world: World, hour: int, minutes: int = 30, doctor: int = 0, **ask: object) -> int:
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


async def schedule(world: World, week: object = None, doctor: int = 0, **ask: object) -> Any:
    """A weekly schedule from the clinic's first day on; answers its id."""
    place = {"doctor_id": world.doctors[doctor], "location_id": world.location, "starts_on": "2026-03-02"}
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
    assert still.clock
    still.clock.forward(days=3)
    async with still.verify(f"slots:{still.doctors[0]}"):
        await still.store.execute(GENERATE, SYSTEM, OfDoctor(doctor_id=still.doctors[0]))
    found = await times(still)
    assert "03-02T09:30" not in found and found[-1] == "05-04T09:30"
