"""Reminders of what is booked go by what its institution and its doctor want now, not by what they wanted then."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from server import access, errors
from server.notices import WRITE_ANEW, changed_levels
from tests.clinic import book, slots_of
from tests.letters import written
from tests.test_notices import booked, sam
from tests.world import World
from workers import notices

SMS_A_DAY_BEFORE = [{"channel": "sms", "minutes": 1440}]


async def by_the_clock(world: World) -> None:
    """The job, as the worker does it."""
    await notices.write_anew({"store": world.store})


async def to_come(world: World, appointment: int) -> list[tuple[Any, ...]]:
    reminders = [one for one in await written(world, kind="reminder") if one["appointment_id"] == appointment]
    return sorted((one["channel"], one["cause"].rpartition("-")[2]) for one in reminders if one["state"] == "pending")


async def wants(world: World, reminders: Sequence[dict[str, Any]], doctor: int | None = None) -> None:
    if doctor is None:
        await world.do("set-institution-notices", "admin", institution_id=world.institution, reminders=reminders)
    else:
        await world.do("set-doctor-notices", "admin", doctor_id=world.doctors[doctor], reminders=reminders)


async def test_what_is_booked_is_reminded_of_as_the_institution_wants_it_now(still: World) -> None:
    before = (await booked(still)).appointment_id
    assert await to_come(still, before) == [("email", "1h"), ("email", "24h"), ("sms", "2h")]
    await wants(still, SMS_A_DAY_BEFORE)
    await by_the_clock(still)
    assert await to_come(still, before) == [("sms", "24h")]
    assert await changed_levels(still.pool) == []


async def test_a_doctors_settings_are_for_their_own_patients(still: World) -> None:
    theirs = (await booked(still)).appointment_id
    others = (await booked(still, doctor=1, email="other@example.org", phone="+442079460111")).appointment_id
    await wants(still, SMS_A_DAY_BEFORE, doctor=0)
    await by_the_clock(still)
    assert await to_come(still, theirs) == [("sms", "24h")]
    assert await to_come(still, others) == [("email", "1h"), ("email", "24h"), ("sms", "2h")]


async def test_what_was_sent_or_called_off_stays_so(still: World) -> None:
    sent = (await booked(still)).appointment_id
    off = (await booked(still, doctor=1, email="other@example.org", phone="+442079460111")).appointment_id
    await still.do("cancel-appointment", "receptionist", appointment_id=off)
    await still.pool.execute(
        "update notices set state = 'sent', sent_at = now() where kind = 'reminder' and channel = 'sms'"
    )
    await wants(still, [{"channel": "sms", "minutes": 120}, {"channel": "email", "minutes": 120}])
    await by_the_clock(still)
    assert await to_come(still, sent) == [("email", "2h")]
    assert await to_come(still, off) == []


async def test_more_than_one_transactions_worth_are_all_written(still: World) -> None:
    patient = await sam(still)
    slots = await slots_of(still, 0, 45, after=timedelta(days=2), minutes=10)
    made = [(await book(still, [one], patient_id=patient, insist=True)).appointment_id for one in slots]
    await wants(still, SMS_A_DAY_BEFORE)
    await by_the_clock(still)
    assert {one: await to_come(still, one) for one in made} == {one: [("sms", "24h")] for one in made}


async def test_a_worker_that_dies_in_the_middle_leaves_it_to_the_next(still: World) -> None:
    patient = await sam(still)
    slots = await slots_of(still, 0, 25, after=timedelta(days=2), minutes=10)
    made = [(await book(still, [one], patient_id=patient, insist=True)).appointment_id for one in slots]
    await wants(still, SMS_A_DAY_BEFORE)
    (level,) = await changed_levels(still.pool)
    assert (await still.store.execute(WRITE_ANEW, access.SYSTEM, level)).last is not None
    await by_the_clock(still)
    assert [await to_come(still, one) for one in made] == [[("sms", "24h")]] * len(made)


async def test_a_change_in_between_has_everything_written_by_the_later_one(still: World) -> None:
    made = (await booked(still)).appointment_id
    await wants(still, SMS_A_DAY_BEFORE)
    (level,) = await changed_levels(still.pool)
    still.forward(seconds=1)
    await wants(still, [{"channel": "email", "minutes": 300}])
    with pytest.raises(errors.NotFound):
        await still.store.execute(WRITE_ANEW, access.SYSTEM, level)
    await by_the_clock(still)
    assert await to_come(still, made) == [("email", "5h")]
