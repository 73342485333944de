"""What cannot be asked of doctors' time and appointments is refused by the same code wherever it is asked."""

from datetime import timedelta
from typing import Any

import pytest

from server import errors
from server.access import Actor
from tests.clinic import account_of, book, left_of, now, patient_of, set_booking, slots_of
from tests.world import World, refused

NOWHERE = 2**40
STEPS: dict[str, dict[str, Any]] = {
    "accept-request": {},
    "reject-request": {},
    "confirm-appointment": {},
    "cancel-appointment": {},
    "set-payment": {"payment": "paid"},
    "verify-insurance": {"verified": True},
    "check-in": {},
    "start-appointment": {},
    "complete-appointment": {},
    "no-show-appointment": {},
    "undo-appointment": {},
}
BLOCK = """
insert into blocks (institution_id, doctor_id, kind, starts_at, ends_at)
select institution_id, doctor_id, 'leave', starts_at, ends_at from slots where id = $1 returning id
"""


async def blocked(world: World, **when: Any) -> list[int]:
    """A slot in a blocked period."""
    slots = await slots_of(world, **when)
    block = await world.pool.fetchval(BLOCK, slots[0])
    await world.pool.execute("update slots set block_id = $2 where id = $1", slots[0], block)
    return slots


# Unknown, and another clinic's


async def test_no_step_is_taken_of_an_appointment_that_is_unknown_or_another_clinics(still: World) -> None:
    other = await still.other()
    foreign = (await book(other, await slots_of(other))).appointment_id
    slots = await slots_of(still)
    before = await still.pool.fetchval("select count(*) from events")
    for id_ in (NOWHERE, foreign):
        for command, more in {**STEPS, "reschedule-appointment": {"slot_ids": slots}}.items():
            await refused("not-found", still.do(command, appointment_id=id_, **more))
        await refused("not-found", still.do("write-note", "doctor", appointment_id=id_, kind="note", content="Rest."))
        for query in ("show-appointment", "appointment-history"):
            await refused("not-found", still.ask(query, appointment_id=id_))
        await refused("not-found", still.do("change-appointments", action="cancel", appointment_ids=[id_]))
    assert await still.pool.fetchval("select count(*) from events") == before


async def test_no_time_of_an_unknown_or_foreign_doctor_or_place_is_made_or_shown(still: World) -> None:
    other = await still.other()
    days: dict[str, Any] = {"first_day": "2026-03-09", "last_day": "2026-03-10"}
    hours = {"starts": "09:00", "ends": "12:00", "slot_minutes": 15}
    week = {"starts_on": "2026-03-09", "week": [{"weekday": 0, "starts": "09:00", "ends": "12:00"}]}
    one = {"starts_at": (now(still) + timedelta(days=3)).isoformat(), "minutes": 20}
    mine = {"doctor_id": still.doctors[0], "location_id": still.location}
    asks: dict[str, dict[str, Any]] = {"add-slot": one, "add-slots": days | hours, "add-schedule": week}
    wrongs: list[dict[str, Any]] = [
        {"doctor_id": NOWHERE}, {"doctor_id": other.doctors[0]}, {"location_id": other.location}
    ]  # fmt: skip
    for wrong in wrongs:
        for command, more in asks.items():
            await refused("not-found", still.do(command, "admin", **{**mine, **more, **wrong}))
        await refused("not-found", still.ask("preview-schedule", "admin", **{**mine, **week, **wrong}))
        await refused("not-found", still.do("block-time", "admin", kind="leave", **days, **wrong))
    for doctor in (NOWHERE, other.doctors[0]):
        await refused("not-found", still.ask("list-schedules", doctor_id=doctor))
        await refused("not-found", still.ask("show-calendar", doctor_id=doctor, **days))
        await refused("not-found", still.ask("doctors-day", doctor_id=doctor))


async def test_no_unknown_or_foreign_slot_schedule_or_block_is_changed(still: World) -> None:
    other = await still.other()
    (slot,) = await slots_of(other)
    block = await still.pool.fetchval(BLOCK, slot)
    asks: dict[str, dict[str, Any]] = {"change-slot": {"open": False}, "remove-slot": {}, "lock-slot": {}}
    for id_ in (NOWHERE, slot):
        for command, more in asks.items():
            await refused("not-found", still.do(command, slot_id=id_, **more))
        await refused("not-found", still.do("remove-slots", "admin", slot_ids=[id_]))
        await refused("not-found", book(still, [id_], doctor_id=still.doctors[0]))
    for id_ in (NOWHERE, block):
        await refused("not-found", still.do("end-block", "admin", block_id=id_))
    await refused("not-found", still.do("change-schedule", "admin", schedule_id=NOWHERE, every_weeks=2))
    await refused("not-found", still.do("end-schedule", "admin", schedule_id=NOWHERE))
    assert await left_of(other, slot) == 1


# Moving is refused as booking is


async def test_an_appointment_moves_to_no_time_that_could_not_be_booked(still: World) -> None:
    other = await still.other()
    booked = await book(still, await slots_of(still))
    taken = await slots_of(still, after=timedelta(days=3))
    await book(still, taken)
    apart = [*await slots_of(still, after=timedelta(days=4)), *await slots_of(still, after=timedelta(days=5))]
    wrong = {
        "slot-past": await slots_of(still, after=timedelta(days=-2)),
        "slot-closed": await slots_of(still, after=timedelta(days=6), opened=False),
        "slot-blocked": await blocked(still, after=timedelta(days=7)),
        "mode-mismatch": await slots_of(still, after=timedelta(days=8), mode="online"),
        "slot-full": taken,
        "slots-apart": apart,
        "not-found": await slots_of(other, after=timedelta(days=9)),
    }
    for code, slots in wrong.items():
        await refused(code, still.do("reschedule-appointment", appointment_id=booked.appointment_id, slot_ids=slots))
    assert (await still.ask("show-appointment", appointment_id=booked.appointment_id)).slot_ids


async def moving(world: World) -> tuple[Actor, dict[str, Any]]:
    """A patient's own appointment, and what they ask to move it."""
    patient = await patient_of(world)
    booked = await book(world, await slots_of(world), patient_id=patient)
    slots = await slots_of(world, after=timedelta(days=5))
    return await account_of(world, patient), {"appointment_id": booked.appointment_id, "slot_ids": slots}


async def test_patients_move_only_with_their_lock_and_within_what_they_may_book(still: World) -> None:
    actor, ask = await moving(still)
    await refused("lock-needed", still.do("reschedule-appointment", actor, **ask))
    await refused("lock-lost", still.do("reschedule-appointment", actor, **ask, token="somebody-elses"))
    await set_booking(still, min_notice_minutes=7 * 24 * 60)
    await refused("too-soon", still.do("reschedule-appointment", actor, **ask, token="x"))
    await set_booking(still, min_notice_minutes=0, advance_booking_days=3)
    await refused("too-far-ahead", still.do("reschedule-appointment", actor, **ask, token="x"))


async def test_nobody_moves_to_what_another_has_locked_but_by_insisting(world: World) -> None:
    _, ask = await moving(world)
    locker = await account_of(world, await patient_of(world))
    await world.do("lock-slot", locker, slot_id=ask["slot_ids"][0])
    refusal = await refused("slot-locked", world.do("reschedule-appointment", **ask))
    assert refusal.extra["until"] and "alternatives" in refusal.extra
    moved = await world.do("reschedule-appointment", **ask, insist=True)
    assert moved.state == "confirmed"


# Too late, too many


async def test_a_time_that_has_begun_is_past_for_everybody(still: World) -> None:
    (slot,) = await slots_of(still, after=timedelta(0))
    actor = await account_of(still, await patient_of(still))
    still.forward(minutes=61)
    await refused("slot-past", book(still, [slot]))
    await refused("slot-past", still.do("lock-slot", actor, slot_id=slot))
    assert [one.slot_ids for one in (await still.ask("find-slots")).items] == []


async def test_a_blocked_time_is_neither_locked_nor_found(still: World) -> None:
    (slot,) = await blocked(still)
    actor = await account_of(still, await patient_of(still))
    await refused("slot-blocked", still.do("lock-slot", actor, slot_id=slot))
    assert (await still.ask("next-slot", actor)).item is None


async def test_nobody_asks_for_more_than_one_ask_holds(still: World) -> None:
    many = list(range(1, 1002))
    for command, more in (
        ("book-appointment", {"slot_ids": many[:25], "doctor_id": still.doctors[0], "patient_id": 1}),
        ("reschedule-appointment", {"appointment_id": 1, "slot_ids": many[:25]}),
        ("change-appointments", {"action": "cancel", "appointment_ids": many}),
        ("remove-slots", {"slot_ids": many}),
        ("lock-slot", {"slot_id": 1, "also": many[:8]}),
    ):
        await refused("invalid-request", still.do(command, **more))


CODES = {
    errors.SlotPast: 409, errors.SlotFull: 409, errors.SlotBlocked: 409, errors.SlotClosed: 409,
    errors.SlotLocked: 409, errors.LockLost: 409, errors.TooSoon: 409, errors.TooFarAhead: 409,
    errors.TooManyOpen: 409, errors.DeadlinePassed: 409, errors.PatientElsewhere: 409, errors.SlotsApart: 422,
    errors.NotFound: 404, errors.InvalidRequest: 422, errors.NotAllowed: 403, errors.TooManyLocks: 429,
}  # fmt: skip


@pytest.mark.parametrize("refusal", CODES, ids=lambda one: one.code)
def test_each_has_a_status_and_words_of_its_own(refusal: type[errors.Refusal]) -> None:
    assert refusal.status == CODES[refusal]
    assert [one for one in CODES if one.title == refusal.title] == [refusal]


# What pages have words for


@pytest.mark.parametrize(
    ("command", "ask", "pointer", "code"),
    [
        ("register-patient", {"name": "\u200d"}, "/name", "no-letter"),
        ("register-patient", {"name": "Ada", "phone": "+44 1"}, "/phone", "no-such-phone"),
        ("register-patient", {"name": "Ada", "birth_date": "2031-01-01"}, "/birth_date", "in-future"),
        ("add-slots", {"last_day": "2026-03-01"}, "/last_day", "ends-before-start"),
        ("add-slots", {"last_day": "2027-02-28", "slot_minutes": 5}, "/last_day", "too-many-slots"),
        ("block-time", {"first_day": "2026-01-01", "last_day": "2026-01-02"}, "", "over-already"),
        ("create-location", {"name": "North", "zone": "Mars/Olympus"}, "/zone", "no-such-zone"),
    ],
)
async def test_what_a_person_filled_in_wrongly_is_told_by_a_code(
    still: World, command: str, ask: dict[str, Any], pointer: str, code: str
) -> None:
    days = {"first_day": "2026-03-09", "weekdays": [0, 1, 2, 3, 4, 5, 6], "starts": "00:00", "ends": "00:00"}
    doctor = {"doctor_id": still.doctors[0]}
    given = {
        "add-slots": {**doctor, **days, "slot_minutes": 30, "location_id": still.location},
        "block-time": {**doctor, "kind": "leave"},
    }
    with pytest.raises(errors.InvalidRequest) as refusal:
        await still.do(command, "admin", **{**given.get(command, {}), **ask})
    (wrong,) = refusal.value.extra["errors"]
    assert (wrong["pointer"], wrong["code"]) == (pointer, code)
