"""Who may wait for what, whom freed time suits, and what is told of the line."""

from datetime import timedelta
from typing import Any

import pytest

from server import appointments, errors, waitlist
from server.waitlist import rules
from tests.clinic import (
    account_of,
    book,
    left_of,
    now,
    patient_of,
    set_booking,
    slots_of,
    specialty_of,
    visit_type_of,
)
from tests.test_waitlist import days, everybody, offer_to, state_of, waiting
from tests.world import World

MORNING, AFTERNOON = timedelta(days=2), timedelta(days=2, hours=4)
"""The clock stands at nine: slots begin at ten, and at two."""


# Whatever frees a seat


async def test_moving_an_appointment_offers_the_time_that_it_leaves(still: World) -> None:
    old, new = await slots_of(still, count=2)
    booked = await book(still, [old])
    await book(still, [new])
    entry = await waiting(still)
    (later,) = await slots_of(still, after=timedelta(days=40))
    await still.do("reschedule-appointment", appointment_id=booked.appointment_id, slot_ids=[later])
    assert (await offer_to(still, entry))["slot_ids"] == [old]


async def test_a_request_that_is_turned_down_or_expires_is_offered(still: World) -> None:
    await set_booking(still, auto_confirm_appointments=False, request_expires_hours=1)
    first, second = await slots_of(still, count=2)
    turned_down, _ = await book(still, [first]), await book(still, [second])
    entries = [await waiting(still) for _ in range(2)]
    await still.do("reject-request", appointment_id=turned_down.appointment_id, reason="No.")
    assert (await offer_to(still, entries[0]))["slot_ids"] == [first]
    await still.do("accept-offer", offer_id=(await offer_to(still, entries[0]))["id"])
    still.forward(minutes=61)
    await appointments.expire_requests(still.store)
    assert (await offer_to(still, entries[1])) is not None


async def test_time_that_is_opened_added_or_made_roomier_is_offered(still: World) -> None:
    (slot,) = await slots_of(still, opened=False)
    one, two, three = [await waiting(still) for _ in range(3)]
    await still.do("change-slot", slot_id=slot, open=True)
    assert await offer_to(still, one)
    await still.do("change-slot", slot_id=slot, capacity=2)
    assert await offer_to(still, two) and await left_of(still, slot) == 0
    begins = (now(still) + timedelta(days=3)).isoformat()
    where: dict[str, Any] = {"doctor_id": still.doctors[0], "location_id": still.location}
    await still.do("add-slot", starts_at=begins, minutes=30, **where)
    assert await offer_to(still, three)


async def test_time_whose_block_ends_is_offered_and_a_block_takes_offers_back(still: World) -> None:
    (slot,) = await slots_of(still)
    entry = await waiting(still)
    row = await still.pool.fetchrow("select starts_at, ends_at from slots where id = $1", slot)
    when = {"starts_at": row["starts_at"].isoformat(), "ends_at": row["ends_at"].isoformat()}
    async with still.verify(*everybody(still)):
        await still.do("block-time", doctor_id=still.doctors[0], kind="leave", **when)
    assert await state_of(still, entry) == "waiting" and await left_of(still, slot) == 1
    block = await still.pool.fetchval("select id from blocks")
    await still.do("end-block", block_id=block)
    assert (await offer_to(still, entry))["slot_ids"] == [slot]


async def test_a_patient_whose_time_is_free_again_is_looked_for(still: World) -> None:
    patient = await patient_of(still)
    busy = await book(still, await slots_of(still, 1), patient_id=patient)
    await slots_of(still)
    entry = await waiting(still, patient)
    assert entry.state == "waiting"
    await still.do("cancel-appointment", appointment_id=busy.appointment_id)
    assert await waitlist.look_for_marked(still.store) == 1 and await offer_to(still, entry)


async def test_what_a_patient_gives_up_is_not_offered_to_them_but_to_the_next(still: World) -> None:
    patient = await patient_of(still)
    own = await account_of(still, patient)
    booked = await book(still, await slots_of(still), patient_id=patient)
    first, second = await waiting(still, patient), await waiting(still)
    await still.do("cancel-appointment", own, appointment_id=booked.appointment_id)
    assert not await offer_to(still, first) and await offer_to(still, second)


async def test_a_request_taken_from_an_offer_and_turned_down_gives_the_place_back(still: World) -> None:
    await set_booking(still, auto_confirm_appointments=False)
    await slots_of(still)
    entry = await waiting(still)
    booked = await still.do("accept-offer", offer_id=(await offer_to(still, entry))["id"])
    assert booked.state == "pending" and await state_of(still, entry) == "booked"
    async with still.verify(*everybody(still)):
        await still.do("reject-request", appointment_id=booked.appointment_id, reason="No.")
    assert await state_of(still, entry) == "waiting"


# Whom it suits


@pytest.mark.parametrize(
    ("wish", "suits"),
    [
        ({"parts": ["morning"]}, True),
        ({"parts": ["afternoon", "evening"]}, False),
        ({"mode": "online"}, False),
        ({"mode": "in_person"}, True),
        ({"first_day": "2026-03-05", "last_day": "2026-03-09"}, False),
        ({"first_day": "2026-03-04"}, True),
    ],
)
async def test_time_is_offered_to_those_alone_whom_it_suits(still: World, wish: dict[str, Any], suits: bool) -> None:
    await slots_of(still, mode="in_person")
    entry = await waiting(still, **wish)
    assert (entry.state == "offered") == suits


async def test_a_long_visit_is_offered_slots_that_follow_each_other(still: World) -> None:
    long_visit = await visit_type_of(still, 60)
    slots = await slots_of(still, count=4)
    booked = await book(still, [slots[1]])
    entry = await waiting(still, visit_type_id=long_visit)
    assert (await offer_to(still, entry))["slot_ids"] == slots[2:]
    other = await waiting(still, visit_type_id=long_visit)
    assert other.state == "waiting"
    await still.do("cancel-appointment", appointment_id=booked.appointment_id)
    assert (await offer_to(still, other))["slot_ids"] == slots[:2]
    reply = await still.do("accept-offer", offer_id=(await offer_to(still, other))["id"])
    assert (reply.ends_at - reply.starts_at) == timedelta(hours=1)


async def test_a_specialty_is_served_by_any_of_its_doctors(still: World) -> None:
    specialty = await specialty_of(still, 1)
    await slots_of(still, 0)
    entry = await waiting(still, specialty_id=specialty)
    assert entry.state == "waiting"
    (slot,) = await slots_of(still, 1, opened=False)
    await still.do("change-slot", slot_id=slot, open=True)
    assert (await offer_to(still, entry))["doctor_id"] == still.doctors[1]


async def test_an_offer_near_its_time_is_held_shorter_and_too_near_none_is_made(still: World) -> None:
    await set_booking(still, offer_minutes=30)
    (soon,) = await slots_of(still, after=timedelta())
    entry = await waiting(still)
    offer = await offer_to(still, entry)
    assert offer["slot_ids"] == [soon]
    assert offer["expires_at"] - offer["offered_at"] == (offer["starts_at"] - offer["offered_at"]) / 4
    still.forward(minutes=52)
    await waitlist.expire_offers(still.store)
    assert (await waiting(still)).state == "waiting"


async def test_who_declines_is_not_asked_the_same_again(still: World) -> None:
    (slot,) = await slots_of(still)
    entry = await waiting(still)
    await still.do("decline-offer", offer_id=(await offer_to(still, entry))["id"])
    booked = await book(still, [slot])
    await still.do("cancel-appointment", appointment_id=booked.appointment_id)
    assert await state_of(still, entry) == "waiting"
    await slots_of(still, after=AFTERNOON)
    again = await still.do(
        "join-waitlist", patient_id=await patient_of(still), doctor_id=still.doctors[0], **days(still)
    )
    assert again.offer_id


# Joining and leaving


async def test_patients_wait_for_themselves_with_the_usual_priority(still: World) -> None:
    own = await account_of(still, await patient_of(still))
    with pytest.raises(errors.InvalidRequest):
        await waiting(still, actor=own, priority=9)
    async with still.verify(f"patient:{own.patient_id}", *everybody(still)):
        entry = await waiting(still, actor=own)
    (mine,) = (await still.ask("my-waits", own)).items
    assert (mine.entry, mine.standing.position) == (entry.entry_id, 1)
    async with still.verify(f"patient:{own.patient_id}", *everybody(still)):
        assert (await still.do("leave-waitlist", own, entry_id=entry.entry_id)).state == "left"
    assert (await still.ask("my-waits", own)).items == []


async def test_leaving_with_an_offer_gives_it_to_the_next(still: World) -> None:
    await slots_of(still)
    first, second = await waiting(still), await waiting(still)
    async with still.verify(*everybody(still)):
        await still.do("leave-waitlist", entry_id=first.entry_id)
    assert await offer_to(still, second)
    with pytest.raises(errors.NotWaiting):
        await still.do("leave-waitlist", entry_id=first.entry_id)


async def test_a_patient_waits_for_so_much_and_for_nothing_twice(still: World) -> None:
    patient = await patient_of(still)
    await set_booking(still, waitlist_per_patient=2)
    first = await waiting(still, patient)
    with pytest.raises(errors.AlreadyOnWaitlist) as refused:
        await waiting(still, patient)
    assert refused.value.extra["entry_id"] == first.entry_id
    await waiting(still, patient, doctor_id=still.doctors[1])
    with pytest.raises(errors.TooManyWaits):
        await waiting(still, patient, first_day="2026-06-01")


async def test_a_waitlist_that_is_off_takes_nobody_and_offers_nothing(still: World) -> None:
    entry = await waiting(still)
    await set_booking(still, waitlist=False)
    (slot,) = await slots_of(still, opened=False)
    await still.do("change-slot", slot_id=slot, open=True)
    assert await state_of(still, entry) == "waiting"
    with pytest.raises(errors.WaitlistOff):
        await waiting(still)
    await still.do("set-institution-booking", "admin", institution_id=still.institution, waitlist=True)
    assert await waitlist.look_for_marked(still.store) == 1


async def test_a_wait_ends_with_its_days(still: World) -> None:
    entry = await waiting(still, **days(still, 0, 1))
    still.forward(days=2)
    assert await waitlist.end_waits(still.store) == 0
    still.forward(days=1)
    async with still.verify(*everybody(still)):
        assert await waitlist.end_waits(still.store) == 1
    assert await state_of(still, entry) == "over"


# What is told of it


async def test_a_priority_is_changed_with_its_reason_and_explains_itself(still: World) -> None:
    booked = await book(still, await slots_of(still))
    first, second = await waiting(still), await waiting(still)
    async with still.verify(*everybody(still)):
        await still.do("prioritize-wait", "doctor", entry_id=second.entry_id, priority=8, reason="In pain.")
    await still.do("cancel-appointment", appointment_id=booked.appointment_id)
    shown = await still.ask("show-wait", entry_id=second.entry_id)
    assert (shown.priority, shown.priority_reason, shown.standing.position) == (8, "In pain.", 1)
    assert shown.offers[0].why[0] == {"code": "priority", "priority": 8}
    assert (await still.ask("show-wait", entry_id=first.entry_id)).standing.position == 2


async def test_an_offer_says_who_was_before_and_why_it_passed_them(still: World) -> None:
    patient = await patient_of(still)
    await book(still, await slots_of(still, 1), patient_id=patient)
    booked = await book(still, await slots_of(still))
    elsewhere, next_ = await waiting(still, patient), await waiting(still)
    await still.do("cancel-appointment", appointment_id=booked.appointment_id)
    told = (await still.ask("show-wait", entry_id=next_.entry_id)).offers[0]
    assert told.why[-1] == {"code": "elsewhere", "entry": elsewhere.entry_id}


async def test_the_line_is_searched_page_by_page_in_its_order(still: World) -> None:
    entries = [(await waiting(still, priority=one)).entry_id for one in (5, 9, 5, 1)]
    found, cursor = [], None
    for _ in range(4):
        page = await still.ask("search-waitlist", "doctor", limit=1, cursor=cursor)
        found += [one.entry for one in page.items]
        cursor = page.next
    assert found == [entries[1], entries[0], entries[2], entries[3]] and cursor is None
    assert (await still.ask("search-waitlist", "doctor2")).items == []
    assert len((await still.ask("search-waitlist", text="Patient")).items) == 4
    assert [one.entry for one in (await still.ask("search-waitlist", least_priority=6)).items] == [entries[1]]


async def test_demand_counts_who_waits_for_each_doctor_and_day(still: World) -> None:
    specialty = await specialty_of(still, 0, 1)
    await waiting(still, **days(still, 1, 2))
    await waiting(still, specialty_id=specialty, priority=7, **days(still, 2, 2))
    wanted = (await still.ask("waitlist-demand", first_day="2026-03-01", last_day="2026-03-31")).items
    one, other = still.doctors
    counted = [(item.doctor, item.day.day, item.waiting, item.urgent) for item in wanted]
    assert counted == [(one, 3, 1, 0), (one, 4, 2, 1), (other, 4, 1, 1)]


async def test_names_that_are_corrected_are_told_to_those_who_follow(still: World) -> None:
    own = await account_of(still, await patient_of(still))
    await waiting(still, actor=own)
    async with still.verify(f"patient:{own.patient_id}", *everybody(still)):
        await still.do("correct-patient", patient_id=own.patient_id, name="Another Name")
        await still.do("edit-doctor", "admin", doctor_id=still.doctors[0], name="Dr. Else")


async def test_merged_records_wait_as_one(still: World) -> None:
    gone, into = await patient_of(still), await account_of(still, await patient_of(still))
    entry = await waiting(still, gone)
    async with still.verify(f"patient:{into.patient_id}", *everybody(still)):
        await still.do("merge-patients", patient_id=gone, into=into.patient_id)
    (mine,) = (await still.ask("my-waits", into)).items
    assert mine.entry == entry.entry_id


# The chance


def test_a_chance_is_that_of_so_many_seats_being_given_up() -> None:
    assert rules.chance(0, 0.5, 0) == 0 and rules.chance(3, 0.5, 3) == 0
    assert rules.chance(1, 0.2, 0) == pytest.approx(0.2)
    assert rules.chance(2, 0.5, 1) == pytest.approx(0.25)
    assert rules.chance(10, 0.12, 0) == pytest.approx(1 - 0.88**10)


def test_the_share_given_up_is_what_is_usual_until_there_is_a_history() -> None:
    assert rules.given_up_share(0, 0) == pytest.approx(0.12)
    assert rules.given_up_share(1000, 300) == pytest.approx(0.3, abs=0.01)


async def test_more_booked_seats_and_fewer_people_ahead_make_a_better_chance(still: World) -> None:
    for slot in await slots_of(still, count=4):
        await book(still, [slot])
    first, second = await waiting(still), await waiting(still)
    shown = [(await still.ask("show-wait", entry_id=one.entry_id)).standing for one in (first, second)]
    assert [one.seats for one in shown] == [4, 4] and shown[0].chance > shown[1].chance > 0
