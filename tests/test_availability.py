"""Doctors' time in a real database: slots added, changed, removed, blocked and generated, and who may do it."""

from datetime import UTC, datetime

import pytest

from server import errors
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
