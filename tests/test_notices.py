"""What patients are told of their appointments, when, and that it follows whatever becomes of these."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from server import errors
from server.notices import rules
from tests.clinic import book, now, set_booking, slots_of, specialty_of
from tests.letters import written
from tests.world import World
from workers.notices import Post, send_due
from workers.senders.mailbox import MailboxSender

EMAIL, PHONE = "sam@example.org", "+442079460958"
IN_TWO_DAYS = timedelta(days=2)


async def sam(world: World, **known: Any) -> int:
    """A patient who can be reached by e-mail and telephone."""
    new = {"name": "Sam Carter", "email": EMAIL, "phone": PHONE, **known}
    reply = await world.do("register-patient", confirm_new=True, **new)
    return int(reply.patient.id)


async def booked(world: World, after: timedelta = IN_TWO_DAYS, doctor: int = 0, **known: Any) -> Any:
    slots = await slots_of(world, doctor, after=after)
    return await book(world, slots, patient_id=await sam(world, **known))


def summary(notices: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [(one["kind"], one["channel"], one["state"]) for one in notices]


async def test_a_booking_is_confirmed_and_reminded_of(still: World) -> None:
    reply = await booked(still)
    told = await written(still)
    assert summary(told) == [
        ("booking-confirmed", "email", "pending"),
        ("reminder", "email", "pending"),
        ("reminder", "email", "pending"),
        ("reminder", "sms", "pending"),
    ]
    before = [reply.starts_at - one["due_at"] for one in told[1:]]
    assert before == [timedelta(hours=24), timedelta(hours=1), timedelta(hours=2)]
    assert {one["appointment_id"] for one in told} == {reply.appointment_id}


async def test_without_an_address_all_comes_by_sms(still: World) -> None:
    await booked(still, email=None)
    assert summary(await written(still)) == [("booking-confirmed", "sms", "pending"), ("reminder", "sms", "pending")]


async def test_whoever_asked_for_sms_gets_no_mail(still: World) -> None:
    await booked(still, channels=["sms"])
    assert {one["channel"] for one in await written(still)} == {"sms"}


async def test_nobody_is_told_who_cannot_be_reached(still: World) -> None:
    await booked(still, email=None, phone=None)
    assert await written(still) == []


async def test_reminders_that_would_be_late_are_not_written(still: World) -> None:
    await booked(still, after=timedelta(hours=3))
    due = sorted((one["channel"], one["facts"]["number"] != "") for one in await written(still, kind="reminder"))
    assert [channel for channel, _ in due] == ["email", "sms"]


async def test_a_refused_booking_writes_nothing(still: World) -> None:
    reply = await booked(still)
    before = len(await written(still))
    taken = await still.pool.fetchval("select slot_id from seats where appointment_id = $1", reply.appointment_id)
    with pytest.raises(errors.Refusal):
        await book(still, [taken], patient_id=await sam(still, email="other@example.org", phone=None))
    assert len(await written(still)) == before


async def test_cancelling_takes_back_what_is_to_come_and_says_so(still: World) -> None:
    reply = await booked(still)
    await still.do("cancel-appointment", appointment_id=reply.appointment_id, reason="The doctor is ill.")
    assert {one["state"] for one in await written(still) if one["kind"] != "cancelled"} == {"cancelled"}
    told = await written(still, state="pending")
    assert [(one["kind"], one["facts"]["reason"]) for one in told] == [("cancelled", "The doctor is ill.")]


async def test_undoing_a_cancellation_brings_the_reminders_again(still: World) -> None:
    reply = await booked(still)
    await still.do("cancel-appointment", appointment_id=reply.appointment_id, reason="By mistake.")
    await still.do("undo-appointment", appointment_id=reply.appointment_id)
    assert await written(still, kind="cancelled", state="pending") == []
    assert len(await written(still, kind="reminder", state="pending")) == 3


async def test_moving_an_appointment_moves_its_reminders(still: World) -> None:
    reply = await booked(still)
    before = [one["id"] for one in await written(still, kind="reminder")]
    slots = await slots_of(still, after=timedelta(days=5))
    moved = await still.do("reschedule-appointment", appointment_id=reply.appointment_id, slot_ids=slots)
    reminders = await written(still, kind="reminder")
    assert [one["id"] for one in reminders] == before
    assert {one["appointment_id"] for one in reminders} == {moved.appointment_id}
    assert sorted(moved.starts_at - one["due_at"] for one in reminders) == [timedelta(hours=n) for n in (1, 2, 24)]
    told = await written(still, kind="rescheduled")
    assert [one["facts"]["was_at"] for one in told] == [reply.starts_at.isoformat()]
    assert (told[0]["facts"]["origin"], told[0]["facts"]["moves"]) == (reply.appointment_id, 1)
    assert await written(still, kind="booking-confirmed", state="pending") == []


async def test_a_wish_to_move_is_told_of_once_it_is_granted_and_the_entry_stays_till_then(still: World) -> None:
    reply = await booked(still)
    await set_booking(still, auto_confirm_appointments=False)
    slots = await slots_of(still, after=timedelta(days=5))
    wish = await still.do("reschedule-appointment", appointment_id=reply.appointment_id, slot_ids=slots)
    assert {one["appointment_id"] for one in await written(still, kind="reminder")} == {reply.appointment_id}
    assert await written(still, kind="rescheduled") == []
    await still.do("confirm-appointment", "doctor", appointment_id=wish.appointment_id)
    assert {one["appointment_id"] for one in await written(still, kind="reminder")} == {wish.appointment_id}
    told = await written(still, kind="rescheduled")
    assert (told[0]["facts"]["origin"], told[0]["facts"]["moves"]) == (reply.appointment_id, 1)


async def test_a_wish_to_move_that_is_withdrawn_takes_no_entry_from_a_calendar(still: World) -> None:
    reply = await booked(still)
    await set_booking(still, auto_confirm_appointments=False)
    slots = await slots_of(still, after=timedelta(days=5))
    wish = await still.do("reschedule-appointment", appointment_id=reply.appointment_id, slot_ids=slots)
    await still.do("cancel-appointment", appointment_id=wish.appointment_id)
    assert {one["facts"]["origin"] for one in await written(still, kind="cancelled")} == {wish.appointment_id}
    assert len(await written(still, kind="reminder", state="pending")) == 3


async def test_a_request_is_told_of_once_it_is_answered(still: World) -> None:
    await set_booking(still, auto_confirm_appointments=False)
    specialty = await specialty_of(still, 0, 1)
    slots = [(await slots_of(still, doctor))[0] for doctor in (0, 1)]
    one, two = [
        await book(still, [slots[nth]], specialty_id=specialty, patient_id=await sam(still, name=name))
        for nth, name in enumerate(("Sam Carter", "Kim Okoro"))
    ]
    assert await written(still) == []
    await still.do("accept-request", "doctor", appointment_id=one.appointment_id)
    await still.do("reject-request", appointment_id=two.appointment_id, reason="We are full.")
    kinds = [one["kind"] for one in await written(still, channel="email")]
    assert sorted(kinds) == ["reminder", "reminder", "request-accepted", "request-rejected"]
    rejected = await written(still, kind="request-rejected", state="pending")
    assert [one["facts"]["reason"] for one in rejected] == ["We are full."]


async def test_a_wish_to_move_that_is_turned_down_says_that_the_old_time_stands(still: World) -> None:
    await set_booking(still, auto_confirm_appointments=False)
    made = await book(still, await slots_of(still, after=IN_TWO_DAYS), "doctor", patient_id=await sam(still))
    new = await slots_of(still, after=timedelta(days=5))
    wish = await still.do("reschedule-appointment", appointment_id=made.appointment_id, slot_ids=new)
    await still.do("reject-request", appointment_id=wish.appointment_id)
    (told,) = await written(still, kind="request-rejected", channel="email")
    assert told["facts"]["stands_at"] == made.starts_at.isoformat()
    await send_due(Post(still.store, {}, MailboxSender(still.store)))
    letter = await still.pool.fetchval("select body from mailbox where notice_id = $1", told["id"])
    assert f"Your appointment on {made.starts_at:%A}" in letter and "stays as it was." in letter


async def test_whoever_came_is_reminded_no_more(still: World) -> None:
    await still.queue(owner=still.doctors[0])
    reply = await booked(still, after=timedelta(hours=3))
    await still.do("check-in", appointment_id=reply.appointment_id)
    assert {one["state"] for one in await written(still, kind="reminder")} == {"cancelled"}


async def test_what_is_clinical_stands_in_no_notice(still: World) -> None:
    slots = await slots_of(still)
    patient = await sam(still)
    await book(still, slots, patient_id=patient, reason="A lump", symptoms="It hurts", requirements=["wheelchair"])
    facts = str([one["facts"] for one in await written(still)])
    assert not any(word in facts for word in ("lump", "hurts", "wheelchair"))


# The rules


NOON = datetime.fromisoformat("2026-03-02T12:00:00+00:00")


def test_waits_grow_and_end() -> None:
    waits = [rules.wait_after(attempt, 1.0) for attempt in range(1, rules.RETRIES + 1)]
    assert waits[-1] is None
    known = [one for one in waits if one is not None]
    assert known == sorted(known) and known[0] == rules.FIRST_WAIT and known[-1] == rules.LONGEST_WAIT


@pytest.mark.parametrize("attempt", range(1, rules.RETRIES))
def test_many_that_failed_together_do_not_come_back_together(attempt: int) -> None:
    least, most = rules.wait_after(attempt, 0.0), rules.wait_after(attempt, 1.0)
    assert least is not None and most == 2 * least


@pytest.mark.parametrize(
    ("wishes", "found"),
    [(("hi",), "hi"), (("ar-EG",), "ar"), ((None, "fr", "ar"), "ar"), (("tlh",), "en"), ((), "en")],
)
def test_the_first_language_with_texts_is_spoken(wishes: tuple[str | None, ...], found: str) -> None:
    assert rules.language(*wishes) == found


def test_nothing_is_due_before_it_is_wanted(still: World) -> None:
    times = [("email", timedelta(hours=1)), ("sms", timedelta(hours=2))]
    soon = now(still) + timedelta(minutes=30)
    assert rules.reminders(times, rules.Reach(EMAIL, PHONE), soon, now(still)) == []
