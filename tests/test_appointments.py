"""Booking: what can be had, what is refused and why, and what everybody is told."""

from datetime import timedelta

from server.access import Actor
from tests.clinic import (
    account_of,
    book,
    left_of,
    now,
    patient_of,
    set_booking,
    slots_of,
    streams,
    visit_type_of,
)
from tests.world import World, eventually, refused


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


# What is refused


async def test_times_that_cannot_be_booked_say_why(still: World) -> None:
    past = await slots_of(still, after=timedelta(days=-2))
    closed = await slots_of(still, after=timedelta(days=3), opened=False)
    apart = await slots_of(still, after=timedelta(days=4)), await slots_of(still, after=timedelta(days=5))
    online = await slots_of(still, after=timedelta(days=6), mode="online")
    blocked = await slots_of(still, after=timedelta(days=7))
    block = await still.pool.fetchval(
        "insert into blocks (institution_id, doctor_id, kind, starts_at, ends_at)"
        " select institution_id, doctor_id, 'leave', starts_at, ends_at from slots where id = $1 returning id",
        blocked[0],
    )
    await still.pool.execute("update slots set block_id = $2 where id = $1", blocked[0], block)
    await refused("slot-past", book(still, past))
    await refused("slot-closed", book(still, closed))
    await refused("slots-apart", book(still, [*apart[0], *apart[1]]))
    await refused("mode-mismatch", book(still, online))
    await refused("slot-blocked", book(still, blocked))


async def test_what_is_not_there_or_is_another_clinics_is_not_found(still: World) -> None:
    other = await still.other()
    theirs, ours = await slots_of(other), await slots_of(still)
    patient, foreign = await patient_of(still), await patient_of(other)
    await refused("not-found", book(still, [2**40], doctor_id=still.doctors[0]))
    await refused("not-found", book(still, theirs, patient_id=patient))
    await refused("not-found", book(still, ours, patient_id=foreign))
    await refused("not-found", book(still, ours, visit_type_id=2**40))
    await refused("not-found", book(still, ours, specialty_id=2**40))
    await refused("invalid-request", book(still, ours, doctor_id=still.doctors[1]))


async def test_a_full_slot_offers_the_nearest_that_are_free(still: World) -> None:
    slots = await slots_of(still, count=5)
    await book(still, [slots[2]])
    refusal = await refused("slot-full", book(still, [slots[2]]))
    assert {one["slot_ids"][0] for one in refusal.extra["alternatives"][:2]} == {slots[1], slots[3]}


async def test_a_visit_longer_than_a_slot_needs_those_that_follow(still: World) -> None:
    slots, visit = await slots_of(still, count=3), await visit_type_of(still, minutes=60, fee=80)
    refusal = await refused("visit-too-long", book(still, slots[:1], visit_type_id=visit))
    assert refusal.extra == {"needed": 60, "available": 30}
    booked = await book(still, slots[:2], visit_type_id=visit)
    assert booked.ends_at - booked.starts_at == timedelta(minutes=60)
    assert [await left_of(still, one) for one in slots] == [0, 0, 1]
    row = (await still.fresh_rows(f"doctor:{still.doctors[0]}"))[f"a:{booked.appointment_id}"]
    assert row["fee"] == "80.00"


async def test_a_doctor_takes_only_their_visit_types_and_none_when_inactive(still: World) -> None:
    slots, one, other = await slots_of(still), await visit_type_of(still), await visit_type_of(still, mode="online")
    await still.pool.execute(
        "insert into doctor_visit_types (doctor_id, visit_type_id, institution_id) values ($1, $2, $3)",
        still.doctors[0],
        other,
        still.institution,
    )
    await refused("visit-type-not-offered", book(still, slots, visit_type_id=one))
    await refused("mode-mismatch", book(still, slots, visit_type_id=other))
    await still.pool.execute("update doctors set active = false where id = $1", still.doctors[0])
    await refused("doctor-inactive", book(still, slots))


async def test_nobody_is_in_two_places_at_once_unless_staff_insist(still: World) -> None:
    patient = await patient_of(still)
    first = await book(still, await slots_of(still), patient_id=patient)
    second = await slots_of(still, doctor=1)
    refusal = await refused("patient-elsewhere", book(still, second, patient_id=patient))
    assert refusal.extra["number"] == first.number
    booked = await book(still, second, patient_id=patient, insist=True)
    detail = await still.ask("show-appointment", appointment_id=booked.appointment_id)
    assert detail.insisted and detail.appointment.state == "confirmed"


async def test_patients_book_for_themselves_with_their_lock_in_time(still: World) -> None:
    patient, other = await patient_of(still), await patient_of(still)
    actor = await account_of(still, patient)
    slots = await slots_of(still)
    await refused("lock-needed", book(still, slots, actor))
    await refused("lock-lost", book(still, slots, actor, token="somebody-elses"))
    await refused("not-found", book(still, slots, actor, patient_id=other))
    await set_booking(still, min_notice_minutes=3 * 24 * 60)
    await refused("too-soon", book(still, slots, actor))
    await set_booking(still, min_notice_minutes=0, advance_booking_days=1)
    await refused("too-far-ahead", book(still, slots, actor))
    await book(still, slots, patient_id=patient)


async def test_a_patient_has_only_so_many_appointments_ahead(still: World) -> None:
    await set_booking(still, open_per_patient=2)
    patient, slots = await patient_of(still), await slots_of(still, count=4)
    for slot in slots[:2]:
        await book(still, [slot], patient_id=patient)
    refusal = await refused("too-many-appointments", book(still, slots[2:3], patient_id=patient))
    assert refusal.extra == {"open_per_patient": 2}
    await book(still, slots[2:3], patient_id=patient, insist=True)


async def test_staff_of_another_location_do_not_book_here(still: World) -> None:
    slots, patient = await slots_of(still), await patient_of(still)
    limited = Actor(still.actors["receptionist"].role, 77, still.institution, location_ids=frozenset({2**40}))
    await refused("not-allowed", book(still, slots, limited, patient_id=patient))


async def test_a_patient_books_what_they_have_locked_and_the_lock_is_gone(world: World) -> None:
    patient, slots = await patient_of(world), await slots_of(world)
    actor, other = await account_of(world, patient), await account_of(world, await patient_of(world))
    lock = await world.do("lock-slot", actor, slot_id=slots[0])
    await refused("lock-lost", book(world, slots, other, token="not-" + lock.token))
    refusal = await refused("slot-locked", book(world, slots))
    assert "alternatives" in refusal.extra
    booked = await book(world, slots, actor, token=lock.token)
    assert booked.state == "confirmed"

    async def released() -> bool:
        return not await world.store.locks.holds(lock.token, slots)  # type: ignore[union-attr]

    await eventually(released)


async def test_the_desk_may_insist_on_a_time_that_is_locked(world: World) -> None:
    actor, slots = await account_of(world, await patient_of(world)), await slots_of(world)
    lock = await world.do("lock-slot", actor, slot_id=slots[0])
    await book(world, slots, insist=True)
    await refused("slot-full", book(world, slots, actor, token=lock.token))
