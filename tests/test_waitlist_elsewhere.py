"""Whoever is to be elsewhere at a time that is offered to them has it no longer: it is the next one's at once."""

import asyncio
from datetime import timedelta

from server import waitlist
from tests.clinic import account_of, book, day_of, left_of, patient_of, slots_of
from tests.letters import written
from tests.test_waitlist import offer_to, state_of, waiting
from tests.test_waitlist_histories import MISCOUNTED
from tests.world import World


async def streams(world: World) -> list[str]:
    return [
        *(f"{kind}:{one}" for one in world.doctors for kind in ("slots", "doctor")),
        f"waitlist:{world.institution}",
    ]


async def test_what_is_offered_goes_to_the_next_when_its_holder_books_for_then(still: World) -> None:
    (offered,), (other,) = await slots_of(still), await slots_of(still, doctor=1)
    patient = await patient_of(still)
    await account_of(still, patient)
    first, second = await waiting(still, patient), await waiting(still)
    assert (first.state, second.state) == ("offered", "waiting")
    async with still.verify(*await streams(still), f"patient:{patient}"):
        await book(still, [other], patient_id=patient)
    assert await state_of(still, first) == "waiting"
    offer = await offer_to(still, second)
    assert offer["slot_ids"] == [offered] and await left_of(still, offered) == 0
    ended = await written(still, kind="waitlist-offer-ended")
    assert {one["patient_id"] for one in ended} == {patient}


async def test_what_is_booked_at_another_time_leaves_the_offer_alone(still: World) -> None:
    await slots_of(still)
    _, later = await slots_of(still, 1, count=2)
    patient = await patient_of(still)
    first = await waiting(still, patient)
    await book(still, [later], patient_id=patient)
    assert await state_of(still, first) == "offered"


async def test_moving_an_appointment_to_then_gives_the_offer_back_too(still: World) -> None:
    (offered,) = await slots_of(still)
    overlapping, later = await slots_of(still, 1, count=2)
    patient = await patient_of(still)
    made = await book(still, [later], patient_id=patient)
    first, second = await waiting(still, patient), await waiting(still)
    async with still.verify(*await streams(still)):
        await still.do("reschedule-appointment", appointment_id=made.appointment_id, slot_ids=[overlapping])
    assert await state_of(still, first) == "waiting"
    assert (await offer_to(still, second))["slot_ids"] == [offered]


async def test_what_the_desk_insists_on_takes_nothing_away(still: World) -> None:
    (other,) = await slots_of(still, 1)
    await slots_of(still)
    patient = await patient_of(still)
    first = await waiting(still, patient)
    await book(still, [other], patient_id=patient, insist=True)
    assert await state_of(still, first) == "offered"


async def test_booking_races_an_offer_for_the_same_time_and_nobody_holds_both(world: World) -> None:
    for nth in range(8):
        then = timedelta(days=3 + nth)
        (freed,), (other,) = await slots_of(world, after=then), await slots_of(world, 1, after=then)
        held = await book(world, [freed])
        patient = await patient_of(world)
        day = await day_of(world, freed)
        entry = await waiting(world, patient, first_day=day)
        await asyncio.gather(
            world.do("cancel-appointment", appointment_id=held.appointment_id),
            book(world, [other], patient_id=patient),
        )
        await waitlist.expire_offers(world.store)
        assert await state_of(world, entry) == "waiting" and await left_of(world, freed) == 1
        assert not await world.pool.fetch(MISCOUNTED)
