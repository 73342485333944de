"""Booking: what can be had, what is refused and why, and what everybody is told."""

from datetime import timedelta
from typing import Any

import pytest

from server import errors
from tests.clinic import (
    book,
    left_of,
    now,
    patient_of,
    set_booking,
    slots_of,
    streams,
)
from tests.world import World


async def refused(code: str, doing: Any) -> errors.Refusal:
    """Hold that this is refused with this code; answers the refusal."""
    with pytest.raises(errors.Refusal) as caught:
        await doing
    assert caught.value.code == code, caught.value
    return caught.value


async def test_a_booking_with_a_doctor_stands_at_once(still: World) -> None:
    slots = await slots_of(still)
    async with still.verify(*streams(still)):
        booked = await book(still, slots)
    assert (booked.state, booked.number, booked.doctor_id) == ("confirmed", "APT-20260302-0001", still.doctors[0])
    assert await left_of(still, slots[0]) == 0
    told = [name for _, name, _ in await still.events(f"doctor:{still.doctors[0]}")]
    assert told == ["new-appointment", "appointment-confirmed"]
    (changed,) = await still.events(f"slots:{still.doctors[0]}")
    assert changed[1] == "slot-availability-changed" and changed[2]["put"][f"s:{slots[0]}"]["left"] == 0


async def test_without_auto_confirmation_it_is_a_request_that_holds_its_seat(still: World) -> None:
    await set_booking(still, auto_confirm_appointments=False, request_expires_hours=4)
    slots = await slots_of(still)
    async with still.verify(*streams(still)):
        booked = await book(still, slots)
    assert booked.state == "pending" and booked.expires_at - now(still) < timedelta(hours=4)
    assert await left_of(still, slots[0]) == 0
    (event,) = await still.events(f"doctor:{still.doctors[0]}")
    assert event[2]["request"] is True


async def test_numbers_have_no_gaps_though_bookings_are_refused(still: World) -> None:
    slots = await slots_of(still, count=3)
    for slot in slots:
        await book(still, [slot])
        await refused("slot-full", book(still, [slot]))
    rows = await still.pool.fetch("select number from appointments order by number")
    assert [row["number"][-4:] for row in rows] == ["0001", "0002", "0003"]


async def test_a_repeated_booking_with_its_key_is_the_same_appointment(still: World) -> None:
    slots, patient = await slots_of(still), await patient_of(still)
    ask = {"slot_ids": slots, "doctor_id": still.doctors[0], "patient_id": patient}
    first = await still.do("book-appointment", key="once", **ask)
    assert await still.do("book-appointment", key="once", **ask) == first
    assert await still.pool.fetchval("select count(*) from appointments") == 1
