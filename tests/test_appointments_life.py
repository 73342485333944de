"""Requests answered, appointments moved, called off and taken back; what each keeps of the seats, and of the trail."""

import asyncio
from datetime import timedelta
from typing import Any

from server import appointments
from server.access import Actor, Role
from tests.clinic import (
    account_of,
    book,
    left_of,
    now,
    patient_of,
    set_booking,
    slots_of,
    specialty_of,
    streams,
    visit_type_of,
)
from tests.world import World, refused


async def asked(world: World, *doctors: int, **more: Any) -> tuple[Any, list[list[int]]]:
    """A request to any of these doctors, who all have time then; and the slots of each."""
    specialty = await specialty_of(world, *doctors)
    slots = [await slots_of(world, doctor, **more) for doctor in doctors]
    return await book(world, slots[0], specialty_id=specialty), slots


async def state_of(world: World, booked: Any) -> str:
    return str(await world.pool.fetchval("select state from appointments where id = $1", booked.appointment_id))


async def seen_by(world: World, doctor: int) -> set[str]:
    """The rows on a doctor's stream."""
    return set(await world.fresh_rows(f"doctor:{world.doctors[doctor]}"))


# Requests


async def test_a_request_to_any_doctor_concerns_those_who_have_time(still: World) -> None:
    specialty, slots = await specialty_of(still, 0, 1), [await slots_of(still, one) for one in (0, 1)]
    async with still.verify(*streams(still)):
        booked = await book(still, slots[0], specialty_id=specialty)
    assert (booked.state, booked.doctor_id) == ("pending", None)
    key = f"a:{booked.appointment_id}"
    assert key in await seen_by(still, 0) and key in await seen_by(still, 1)
    assert [await left_of(still, one[0]) for one in slots] == [0, 1]


async def test_whoever_accepts_is_assigned_with_their_own_seat_and_the_held_one_is_free(still: World) -> None:
    booked, slots = await asked(still, 0, 1)
    async with still.verify(*streams(still)):
        await still.do("accept-request", "doctor2", appointment_id=booked.appointment_id)
    assert [await left_of(still, one[0]) for one in slots] == [1, 0]
    assert await seen_by(still, 0) == set() and await seen_by(still, 1) == {f"a:{booked.appointment_id}"}
    refusal = await refused(
        "already-accepted", still.do("accept-request", "doctor", appointment_id=booked.appointment_id)
    )
    assert refusal.extra == {"doctor": "Dr. Bloch"}


async def test_a_doctor_whose_own_time_is_gone_cannot_accept(still: World) -> None:
    booked, slots = await asked(still, 0, 1)
    await book(still, slots[1])
    await refused("slot-full", still.do("accept-request", "doctor2", appointment_id=booked.appointment_id))
    accepted = await still.do("accept-request", "doctor", appointment_id=booked.appointment_id)
    assert accepted.appointment.doctor == still.doctors[0] and await left_of(still, slots[0][0]) == 0


async def test_of_two_doctors_who_accept_at_once_one_has_it(world: World) -> None:
    for _ in range(5):
        booked, slots = await asked(world, 0, 1, after=timedelta(days=2 + world.joined))
        tries = [world.do("accept-request", who, appointment_id=booked.appointment_id) for who in ("doctor", "doctor2")]
        done = await asyncio.gather(*tries, return_exceptions=True)
        assert sorted(getattr(one, "code", "accepted") for one in done) == ["accepted", "already-accepted"]
        assert sorted([await left_of(world, one[0]) for one in slots]) == [0, 1]
        await world.pool.execute("update specialties set name = name || id")


async def test_a_rejection_leaves_it_to_the_others_until_nobody_is_left(still: World) -> None:
    booked, slots = await asked(still, 0, 1)
    async with still.verify(*streams(still)):
        await still.do("reject-request", "doctor", appointment_id=booked.appointment_id)
    assert await state_of(still, booked) == "pending" and await left_of(still, slots[0][0]) == 0
    assert await seen_by(still, 0) == set() and await seen_by(still, 1)
    async with still.verify(*streams(still)):
        await still.do("reject-request", "doctor2", appointment_id=booked.appointment_id, reason="Away")
    assert await state_of(still, booked) == "rejected" and await left_of(still, slots[0][0]) == 1


async def test_the_desk_confirms_rejects_and_takes_it_back(still: World) -> None:
    await set_booking(still, auto_confirm_appointments=False)
    slots = await slots_of(still)
    booked = await book(still, slots)
    for step, then in (("confirm-appointment", "confirmed"), ("reject-request", "rejected")):
        async with still.verify(*streams(still)):
            await still.do(step, appointment_id=booked.appointment_id)
            assert await state_of(still, booked) == then
            await still.do("undo-appointment", appointment_id=booked.appointment_id)
        assert await state_of(still, booked) == "pending" and await left_of(still, slots[0]) == 0


async def test_a_request_nobody_answers_expires_and_frees_its_seat(still: World) -> None:
    await set_booking(still, request_expires_hours=2)
    booked, slots = await asked(still, 0, 1)
    assert await appointments.expire_requests(still.store) == 0
    still.forward(hours=3)
    async with still.verify(*streams(still)):
        assert await appointments.expire_requests(still.store) == 1
    assert await state_of(still, booked) == "rejected" and await left_of(still, slots[0][0]) == 1
    (event,) = [data for _, name, data in await still.events(f"doctor:{still.doctors[0]}") if "rejected" in name]
    assert event["expired"] is True
    await refused("nothing-to-undo", still.do("undo-appointment", appointment_id=booked.appointment_id))


async def test_a_doctor_who_was_not_asked_neither_sees_nor_answers(still: World) -> None:
    booked, _ = await asked(still, 0)
    for step in ("accept-request", "reject-request", "confirm-appointment"):
        await refused("not-allowed", still.do(step, "doctor2", appointment_id=booked.appointment_id))
    await refused("not-allowed", still.ask("show-appointment", "doctor2", appointment_id=booked.appointment_id))
    named = still.do("accept-request", appointment_id=booked.appointment_id, doctor_id=still.doctors[1])
    await refused("request-not-theirs", named)


# Cancel, and the way back


async def test_cancelling_frees_the_seat_and_says_who_and_why(still: World) -> None:
    slots, patient = await slots_of(still), await patient_of(still)
    actor = await account_of(still, patient)
    booked = await book(still, slots, patient_id=patient)
    async with still.verify(*streams(still), f"patient:{patient}"):
        gone = await still.do("cancel-appointment", actor, appointment_id=booked.appointment_id, reason="A cold")
    assert (gone.state, gone.cancelled_by, gone.cancel_reason) == ("cancelled", "patient", "A cold")
    assert await left_of(still, slots[0]) == 1
    await refused("step-not-allowed", still.do("cancel-appointment", appointment_id=booked.appointment_id))


async def test_after_the_deadline_patients_are_refused_and_staff_are_on_record(still: World) -> None:
    patient = await patient_of(still)
    actor = await account_of(still, patient)
    booked = await book(still, await slots_of(still, after=timedelta(hours=20)), patient_id=patient)
    slots = await slots_of(still, after=timedelta(days=4))
    ask = {"appointment_id": booked.appointment_id}
    await refused("deadline-passed", still.do("cancel-appointment", actor, **ask))
    await refused("deadline-passed", still.do("reschedule-appointment", actor, **ask, slot_ids=slots, token="x"))
    await still.do("cancel-appointment", **ask)
    assert (await still.ask("show-appointment", **ask)).overridden


async def test_a_cancellation_is_taken_back_only_while_the_seat_is_free(still: World) -> None:
    slots = await slots_of(still)
    booked = await book(still, slots)
    before = await still.fresh_rows(f"doctor:{still.doctors[0]}")
    await still.do("cancel-appointment", appointment_id=booked.appointment_id)
    async with still.verify(*streams(still)):
        await still.do("undo-appointment", appointment_id=booked.appointment_id)
    assert await still.fresh_rows(f"doctor:{still.doctors[0]}") == before and await left_of(still, slots[0]) == 0
    await still.do("cancel-appointment", appointment_id=booked.appointment_id)
    await book(still, slots)
    await refused("slot-full", still.do("undo-appointment", appointment_id=booked.appointment_id))
    assert await state_of(still, booked) == "cancelled"


# Move


async def test_moving_links_both_ways_and_keeps_what_was_agreed(still: World) -> None:
    patient, visit = await patient_of(still), await visit_type_of(still, fee=50)
    actor = await account_of(still, patient)
    old, new = await slots_of(still), await slots_of(still, 1, after=timedelta(days=5))
    booked = await book(still, old, patient_id=patient, visit_type_id=visit, reason="A knee")
    await still.do("set-payment", appointment_id=booked.appointment_id, payment="paid", fee="40")
    async with still.verify(*streams(still), f"patient:{patient}"):
        moved = await still.do("reschedule-appointment", appointment_id=booked.appointment_id, slot_ids=new)
    assert (await left_of(still, old[0]), await left_of(still, new[0])) == (1, 0)
    was = (await still.ask("show-appointment", appointment_id=booked.appointment_id)).appointment
    now_ = (await still.ask("show-appointment", appointment_id=moved.appointment_id)).appointment
    assert (was.state, was.rescheduled_to) == ("rescheduled", now_.appointment)
    assert (now_.rescheduled_from, now_.reason, now_.payment, now_.doctor) == (
        was.appointment,
        "A knee",
        "paid",
        still.doctors[1],
    )
    assert actor.patient_id == patient


async def test_a_long_visit_moves_by_one_slot_onto_seats_of_its_own(still: World) -> None:
    slots, visit = await slots_of(still, count=3), await visit_type_of(still, minutes=60)
    booked = await book(still, slots[:2], visit_type_id=visit)
    async with still.verify(*streams(still)):
        await still.do("reschedule-appointment", appointment_id=booked.appointment_id, slot_ids=slots[1:])
    assert [await left_of(still, one) for one in slots] == [1, 0, 0]


async def test_a_move_that_is_refused_leaves_everything(still: World) -> None:
    slots = await slots_of(still, count=2)
    booked, _ = await book(still, slots[:1]), await book(still, slots[1:])
    move = still.do("reschedule-appointment", appointment_id=booked.appointment_id, slot_ids=slots[1:])
    refusal = await refused("slot-full", move)
    assert "alternatives" in refusal.extra
    assert await state_of(still, booked) == "confirmed" and await left_of(still, slots[0]) == 0
    same = still.do("reschedule-appointment", appointment_id=booked.appointment_id, slot_ids=slots[:1])
    await refused("invalid-request", same)


# Move, where somebody has to say yes


async def wished(world: World, **more: Any) -> tuple[Any, Any, list[int], list[int]]:
    """An appointment and the request to move it to another day; the slots of both."""
    patient = await patient_of(world)
    await account_of(world, patient)
    old, new = await slots_of(world), await slots_of(world, after=timedelta(days=5))
    stands = await book(world, old, patient_id=patient, **more)
    await set_booking(world, auto_confirm_appointments=False)
    async with world.verify(*streams(world), f"patient:{patient}"):
        wish = await world.do("reschedule-appointment", appointment_id=stands.appointment_id, slot_ids=new)
    return stands, wish, old, new


async def test_a_wish_to_move_keeps_both_seats_until_it_is_answered(still: World) -> None:
    stands, wish, old, new = await wished(still)
    assert (wish.state, await state_of(still, stands)) == ("pending", "confirmed")
    assert [await left_of(still, one[0]) for one in (old, new)] == [0, 0]
    async with still.verify(*streams(still)):
        await still.do("confirm-appointment", "doctor", appointment_id=wish.appointment_id)
    assert (await state_of(still, wish), await state_of(still, stands)) == ("confirmed", "rescheduled")
    assert [await left_of(still, one[0]) for one in (old, new)] == [1, 0]
    was = (await still.ask("show-appointment", appointment_id=stands.appointment_id)).appointment
    assert was.rescheduled_to == wish.appointment_id
    await refused("nothing-to-undo", still.do("undo-appointment", appointment_id=wish.appointment_id))


async def test_a_wish_to_move_that_is_turned_down_leaves_the_appointment(still: World) -> None:
    stands, wish, old, new = await wished(still)
    again = still.do("reschedule-appointment", appointment_id=stands.appointment_id, slot_ids=await slots_of(still, 1))
    await refused("move-asked", again)
    await still.do("reject-request", "doctor", appointment_id=wish.appointment_id)
    assert (await state_of(still, wish), await state_of(still, stands)) == ("rejected", "confirmed")
    assert [await left_of(still, one[0]) for one in (old, new)] == [0, 1]


async def test_a_wish_to_move_waits_no_longer_than_the_appointment_stands(still: World) -> None:
    stands, wish, _, _ = await wished(still)
    assert wish.expires_at <= stands.starts_at


async def test_a_wish_that_moves_itself_still_stands_for_the_first_appointment(still: World) -> None:
    stands, wish, old, new = await wished(still)
    later = await slots_of(still, 1, after=timedelta(days=6))
    async with still.verify(*streams(still)):
        moved = await still.do("reschedule-appointment", appointment_id=wish.appointment_id, slot_ids=later)
    assert [await left_of(still, one[0]) for one in (old, new, later)] == [0, 1, 0]
    await still.do("accept-request", "doctor2", appointment_id=moved.appointment_id)
    assert [await state_of(still, one) for one in (stands, wish, moved)] == ["rescheduled", "rescheduled", "confirmed"]
    assert await left_of(still, old[0]) == 1


async def test_a_wish_to_move_by_less_than_the_visit_takes_its_place_at_once(still: World) -> None:
    slots, visit = await slots_of(still, count=3), await visit_type_of(still, minutes=60)
    booked = await book(still, slots[:2], visit_type_id=visit)
    await set_booking(still, auto_confirm_appointments=False)
    await still.do("reschedule-appointment", appointment_id=booked.appointment_id, slot_ids=slots[1:])
    assert [await left_of(still, one) for one in slots] == [1, 0, 0]


async def test_moving_into_one_another_neither_deadlocks_nor_loses_a_seat(world: World) -> None:
    one, other = await slots_of(world), await slots_of(world, 1)
    for _ in range(10):
        first, second = await book(world, one), await book(world, other)
        done = await asyncio.gather(
            world.do("reschedule-appointment", appointment_id=first.appointment_id, slot_ids=other),
            world.do("reschedule-appointment", appointment_id=second.appointment_id, slot_ids=one),
            return_exceptions=True,
        )
        assert [getattr(each, "code", None) for each in done] == ["slot-full", "slot-full"]
        assert [await left_of(world, each[0]) for each in (one, other)] == [0, 0]
        for each in (first, second):
            await world.do("cancel-appointment", appointment_id=each.appointment_id)


async def test_a_free_seat_goes_round_between_two_who_move_at_once(world: World) -> None:
    one, other = await slots_of(world), await slots_of(world, 1, capacity=2)
    first, second = await book(world, one), await book(world, other)
    done = await asyncio.gather(
        world.do("reschedule-appointment", appointment_id=first.appointment_id, slot_ids=other),
        world.do("reschedule-appointment", appointment_id=second.appointment_id, slot_ids=one),
        return_exceptions=True,
    )
    moved = [each for each in done if not isinstance(each, Exception)]
    assert len(moved) in (1, 2) and (await left_of(world, one[0])) + (await left_of(world, other[0])) == 1


# Many at once


async def test_bulk_says_of_each_row_what_became_of_it(still: World) -> None:
    slots = await slots_of(still, count=3)
    booked = [await book(still, [slot]) for slot in slots]
    await still.do("cancel-appointment", appointment_id=booked[1].appointment_id)
    ids = [one.appointment_id for one in booked]
    async with still.verify(*streams(still)):
        done = await still.do("change-appointments", action="cancel", appointment_ids=[*ids, 2**40], reason="Flood")
    assert [one.state for one in done.items] == ["cancelled", None, "cancelled", None]
    assert [one.problem and one.problem["code"] for one in done.items] == [None, "step-not-allowed", None, "not-found"]
    assert [await left_of(still, one) for one in slots] == [1, 1, 1]


async def test_bulk_lists_that_overlap_never_deadlock(world: World) -> None:
    slots = [*await slots_of(world, 0, count=4), *await slots_of(world, 1, count=4)]
    ids = [(await book(world, [slot])).appointment_id for slot in slots]
    tries = [
        world.do("change-appointments", action="cancel", appointment_ids=order)
        for order in (ids, ids[::-1], ids[2:6], ids[5:2:-1])
    ]
    done = await asyncio.gather(*tries)
    assert sum(one.state == "cancelled" for each in done for one in each.items) == len(ids)


async def test_bulk_confirms_and_completes(still: World) -> None:
    await set_booking(still, auto_confirm_appointments=False)
    ids = [(await book(still, [slot])).appointment_id for slot in await slots_of(still, count=2)]
    for action, state in (("confirm", "confirmed"), ("complete", "completed")):
        done = await still.do("change-appointments", "doctor", action=action, appointment_ids=ids)
        assert [one.state for one in done.items] == [state, state]


# What the treating side writes


async def test_only_the_treating_doctor_writes_and_reads_what_is_written(still: World) -> None:
    booked = await book(still, await slots_of(still))
    ask = {"appointment_id": booked.appointment_id}
    note = {**ask, "kind": "diagnosis", "content": "A torn meniscus"}
    for who in ("receptionist", "admin", "doctor2"):
        await refused("not-allowed", still.do("write-note", who, **note))
        await refused("not-allowed", still.ask("show-notes", who, **ask))
    await still.do("write-note", "doctor", **note)
    detail = await still.ask("show-appointment", "doctor", **ask)
    assert [one.content for one in detail.notes] == ["A torn meniscus"]
    assert (await still.ask("show-appointment", "admin", **ask)).notes is None
    assert not await still.pool.fetchval("select exists (select from audit where asked::text like '%meniscus%')")
    assert not await still.pool.fetchval("select exists (select from audit where changes::text like '%meniscus%')")
    assert not await still.pool.fetchval("select exists (select from events where data::text like '%meniscus%')")


async def test_every_version_of_a_note_stays_and_none_is_overwritten_unseen(still: World) -> None:
    booked = await book(still, await slots_of(still))
    note = {"appointment_id": booked.appointment_id, "kind": "note"}
    await still.do("write-note", "doctor", **note, content="First")
    refusal = await refused("note-changed", still.do("write-note", "doctor", **note, content="Blind"))
    assert refusal.extra == {"version": 1}
    await still.do("write-note", "doctor", **note, content="Second", version=1)
    notes = await still.ask("show-notes", "doctor", appointment_id=booked.appointment_id)
    assert [(one.version, one.content) for one in notes.items] == [(1, "First"), (2, "Second")]


# Money


async def test_the_desk_notes_payment_and_verifies_insurance(still: World) -> None:
    slots = await slots_of(still)
    booked = await book(still, slots, insurance={"insurer": "Health United", "policy": "X 12"})
    ask = {"appointment_id": booked.appointment_id}
    async with still.verify(*streams(still)):
        paid = await still.do("set-payment", **ask, payment="paid", fee="12.5")
        verified = await still.do("verify-insurance", **ask, verified=True)
    assert (paid.appointment.payment, paid.appointment.fee) == ("paid", "12.50")
    assert verified.appointment.insurance_verified
    assert (await still.ask("show-appointment", **ask)).insurance == {"insurer": "Health United", "policy": "X 12"}
    await refused("not-allowed", still.do("set-payment", "doctor", **ask, payment="paid"))


# Filing


async def test_what_is_over_for_a_day_leaves_the_streams_and_not_the_lists(still: World) -> None:
    patient = await patient_of(still)
    actor = await account_of(still, patient)
    booked = await book(still, await slots_of(still, after=timedelta(days=1)), patient_id=patient)
    assert await appointments.file_all(still.store) == 0
    still.forward(days=4)
    async with still.verify(*streams(still), f"patient:{patient}"):
        assert await appointments.file_all(still.store) == 1
    assert await seen_by(still, 0) == set()
    found = await still.ask("search-appointments", when="past")
    assert [one.appointment.number for one in found.items] == [booked.number]
    assert (await still.ask("my-appointments", actor, when="past")).items[0].number == booked.number


async def test_somebody_elses_appointment_is_not_there_for_a_patient(still: World) -> None:
    booked = await book(still, await slots_of(still))
    stranger = await account_of(still, await patient_of(still))
    ask = {"appointment_id": booked.appointment_id}
    await refused("not-found", still.do("cancel-appointment", stranger, **ask))
    slots = await slots_of(still, after=timedelta(days=5))
    await refused("not-found", still.do("reschedule-appointment", stranger, **ask, slot_ids=slots))
    elsewhere = Actor(Role.receptionist, 99, still.institution, location_ids=frozenset({2**40}))
    await refused("not-allowed", still.do("cancel-appointment", elsewhere, **ask))
    assert now(still) and await state_of(still, booked) == "confirmed"
