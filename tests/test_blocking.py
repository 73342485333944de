"""Blocking time with bookings in it: they are listed, and stay, are called off or are moved, as somebody says."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from server import errors
from tests.clinic import book, left_of, patient_of, slots_of, streams
from tests.test_visits import at, booked, check_in
from tests.world import World, refused


async def morning(world: World, count: int = 3, **more: Any) -> tuple[list[int], list[Any]]:
    """Slots of the first doctor with a booking in each, and as many free ones behind them."""
    slots = await slots_of(world, 0, 2 * count, **more)
    return slots, [await book(world, [one]) for one in slots[:count]]


async def span(world: World, slots: list[int]) -> dict[str, str]:
    """The period of these slots."""
    row = await world.pool.fetchrow(
        "select min(starts_at) as starts_at, max(ends_at) as ends_at from slots where id = any($1::bigint[])", slots
    )
    return {name: row[name].isoformat() for name in ("starts_at", "ends_at")}


async def block(world: World, slots: list[int], who: str = "receptionist", **ask: Any) -> Any:
    whose = {"doctor_id": world.doctors[0]} if "location_id" not in ask else {}
    return await world.do("block-time", who, kind="leave", **whose, **await span(world, slots), **ask)


async def test_bookings_in_a_block_are_listed_and_asked_about(still: World) -> None:
    slots, made = await morning(still)
    refusal = await refused(errors.BlockHasBookings, block(still, slots[:3]))
    assert [one["number"] for one in refusal.extra["bookings"]] == [one.number for one in made]
    assert {one["state"] for one in refusal.extra["bookings"]} == {"confirmed"}
    assert await still.pool.fetchval("select count(*) from blocks") == 0


async def test_without_bookings_nobody_is_asked(still: World) -> None:
    slots, _ = await morning(still)
    async with still.verify(*streams(still)):
        done = await block(still, slots[3:])
    assert done.bookings == [] and done.block.kind == "leave"
    await refused(errors.SlotBlocked, book(still, [slots[4]]))


@pytest.mark.parametrize(("fate", "state"), [("keep", "confirmed"), ("cancel", "cancelled"), ("move", "rescheduled")])
async def test_what_becomes_of_the_bookings_is_what_was_said(still: World, fate: str, state: str) -> None:
    slots, made = await morning(still)
    async with still.verify(*streams(still)):
        done = await block(still, slots[:3], bookings=fate)
    assert [(await at(still, one.appointment_id))["state"] for one in made] == [state] * 3
    assert [one.outcome for one in done.bookings] == [
        {"keep": "kept", "cancel": "cancelled", "move": "moved"}[fate]
    ] * 3
    assert [await left_of(still, one) for one in slots[:3]] == [0 if fate == "keep" else 1] * 3
    assert [await left_of(still, one) for one in slots[3:]] == [0 if fate == "move" else 1] * 3


async def test_moved_bookings_follow_each_other_into_the_next_free_time(still: World) -> None:
    slots, made = await morning(still)
    await book(still, [slots[3]])
    done = await block(still, slots[:3], bookings="move")
    assert [one.outcome for one in done.bookings] == ["moved", "moved", "kept"]
    assert done.bookings[2].problem["code"] == "slot-full"
    rows = await still.pool.fetch("select slot_id from seats order by slot_id")
    assert [row["slot_id"] for row in rows] == [slots[2], *slots[3:]]
    old, new = made[0].appointment_id, done.bookings[0].to_appointment_id
    link = await still.pool.fetchrow("select rescheduled_to, cancel_reason from appointments where id = $1", old)
    assert link["rescheduled_to"] == new


async def test_a_long_visit_moves_to_slots_that_make_up_its_length(still: World) -> None:
    slots = await slots_of(still, 0, 6)
    long = await book(still, slots[:2])
    await book(still, [slots[3]])
    done = await block(still, slots[:3], bookings="move")
    (moved,) = [one for one in done.bookings if one.appointment_id == long.appointment_id]
    held = await still.pool.fetch("select slot_id from seats where appointment_id = $1", moved.to_appointment_id)
    assert sorted(row["slot_id"] for row in held) == slots[4:6]


async def test_a_booking_never_moves_to_where_its_patient_is_elsewhere(still: World) -> None:
    slots = await slots_of(still, 0, 3)
    (other,) = await slots_of(still, 1, 1, after=timedelta(days=2, minutes=30))
    patient = await patient_of(still)
    await book(still, [slots[0]], patient_id=patient)
    await book(still, [other], patient_id=patient)
    done = await block(still, slots[:1], bookings="move")
    starts = await still.pool.fetchval("select starts_at from slots where id = $1", slots[2])
    assert done.bookings[0].to_starts_at == starts


async def test_who_is_there_already_stays_whatever_is_said(still: World) -> None:
    await still.queue()
    appointment = await booked(still, 20)
    await check_in(still, appointment)
    slots = [await still.pool.fetchval("select slot_id from seats")]
    done = await block(still, slots, bookings="cancel")
    assert (done.bookings[0].outcome, done.bookings[0].problem["code"]) == ("kept", "step-not-allowed")
    assert (await at(still, appointment.appointment_id))["state"] == "checked_in"


async def test_whole_days_are_the_locations_and_the_institutions(still: World) -> None:
    _, made = await morning(still, 1)
    await still.pool.execute("update locations set zone = 'Pacific/Auckland' where id = $1", still.location)
    ask = {"kind": "holiday", "first_day": "2026-03-04", "last_day": "2026-03-04", "bookings": "cancel"}
    done = await still.do("block-time", location_id=still.location, **ask)
    assert done.block.whole_days and done.block.starts_at.isoformat() == "2026-03-03T11:00:00+00:00"
    done = await still.do("block-time", "admin", **ask)
    assert done.block.starts_at.isoformat() == "2026-03-04T00:00:00+00:00"
    assert [one.appointment_id for one in done.bookings] in ([], [made[0].appointment_id])


async def test_doctors_block_their_own_time_and_nobody_elses(still: World) -> None:
    slots, _ = await morning(still)
    await block(still, slots[3:], "doctor")
    await refused(errors.NotAllowed, block(still, slots[3:], "doctor2"))
    await refused(errors.NotAllowed, block(still, slots[3:], "doctor", location_id=still.location))
    theirs = await still.other()
    await refused(errors.NotFound, theirs.do("block-time", kind="other", doctor_id=still.doctors[0],
                                             first_day="2026-03-09", last_day="2026-03-09"))  # fmt: skip


async def test_a_period_has_hours_or_days_and_is_not_over(still: World) -> None:
    for ask in (
        {},
        {"first_day": "2026-03-09"},
        {"first_day": "2026-03-10", "last_day": "2026-03-09"},
        {"first_day": "2026-02-09", "last_day": "2026-02-10"},
        {"first_day": "2026-03-09", "last_day": "2028-03-09"},
    ):
        await refused(errors.InvalidRequest, still.do("block-time", kind="other", doctor_id=still.doctors[0], **ask))


async def test_a_booking_and_a_block_at_once_never_leave_an_unseen_booking(world: World) -> None:
    slots = await slots_of(world, 0, 6)
    patients = [await patient_of(world) for _ in slots]
    tries = [book(world, [slot], patient_id=who) for slot, who in zip(slots, patients, strict=True)]
    answers = await asyncio.gather(*tries, block(world, slots, bookings="cancel"), return_exceptions=True)
    *made, done = answers
    refusals = [one for one in made if isinstance(one, Exception)]
    assert all(isinstance(one, errors.SlotBlocked) for one in refusals), refusals
    assert len(done.bookings) + len(refusals) == 6
    assert await world.pool.fetchval("select count(*) from seats") == 0
