"""Merging two records of one person: everything goes over, everybody who sees it is told, and nothing is lost."""

import asyncio
from typing import Any

from server import access, errors
from server.access import Actor
from tests.clinic import account_of, book, patient_of, slots_of
from tests.test_emergencies import cry
from tests.world import World, refused


async def merge(world: World, gone: int, into: int, who: Actor | str = "receptionist") -> Any:
    return await world.do("merge-patients", who, patient_id=gone, into=into)


async def two(world: World) -> tuple[int, int]:
    """Two records of one person."""
    return await patient_of(world, "Ada Byron"), await patient_of(world, "Ada King")


async def everything(world: World, patient: int, queue: int, doctor: int = 0) -> Any:
    """A past and a present ticket, an appointment to come, and an emergency."""
    joined = await world.do("join-queue", queue_id=queue, patient_id=patient)
    await world.do("cancel", ticket_id=joined.ticket_id)
    await world.do("join-queue", queue_id=queue, patient_id=patient)
    (slot,) = await slots_of(world, doctor)
    return await book(world, [slot], patient_id=patient)


async def test_the_whole_history_goes_over_and_every_audience_is_told(still: World) -> None:
    queue = await still.queue(owner=still.doctors[0])
    gone, into = await two(still)
    for one in (gone, into):
        await account_of(still, one)
    await everything(still, gone, queue)
    await cry(still, patient_id=gone)
    told = [f"board:{queue}", f"staff:{queue}", f"admin:{still.institution}", f"patient:{gone}", f"patient:{into}"]
    async with still.verify(*told, *(f"doctor:{one}" for one in still.doctors)):
        done = await merge(still, gone, into)
    assert (done.patient_id, done.tickets, done.appointments) == (into, 2, 3)
    for table in ("tickets", "appointments", "emergencies"):
        assert await still.pool.fetchval(f"select count(*) from {table} where patient_id = $1", gone) == 0
    names = {
        row["patient"]["name"]
        for stream in (f"staff:{queue}", f"doctor:{still.doctors[0]}")
        for row in (await still.fresh_rows(stream)).values()
        if row.get("patient")
    }
    assert names == {"Ada King"}
    assert await still.fresh_rows(f"patient:{gone}") == {}


async def test_the_record_that_went_says_where(still: World) -> None:
    gone, into = await two(still)
    queue = await still.queue()
    await merge(still, gone, into)
    for attempt in (
        still.ask("show-patient", patient_id=gone),
        still.do("join-queue", queue_id=queue, patient_id=gone),
        merge(still, gone, into),
    ):
        assert (await refused(errors.PatientMerged, attempt)).extra["patient_id"] == into


async def test_what_only_the_other_record_knew_is_kept(still: World) -> None:
    new = {"name": "Ada Byron", "phone": "+44 20 7946 0018", "birth_date": "1990-05-17", "confirm_new": True}
    gone = (await still.do("register-patient", **new)).patient.id
    into = await patient_of(still, "Ada King")
    done = await merge(still, gone, into)
    kept = await still.pool.fetchrow("select name, phone, birth_date::text as born from patients where id = $1", into)
    assert (kept["name"], kept["phone"], kept["born"]) == ("Ada King", "+442079460018", "1990-05-17")
    assert {"phone", "birth_date"} <= set(done.filled)


async def test_a_session_of_the_record_that_went_sees_the_one_that_stays(still: World) -> None:
    for both in (False, True):
        gone, into = await two(still)
        await account_of(still, gone)
        if both:
            await account_of(still, into)
        email = f"patient{gone}@example.org"
        token = (await access.sign_in(still.pool, email, "a long enough password")).token
        await merge(still, gone, into)
        actor = await access.by_token(still.pool, token)
        assert actor is not None and actor.patient_id == into


async def test_both_in_one_queue_or_at_one_time_is_settled_first(still: World) -> None:
    queue = await still.queue()
    gone, into = await two(still)
    tickets = [await still.do("join-queue", queue_id=queue, patient_id=one) for one in (gone, into)]
    slots = [(await slots_of(still, doctor))[0] for doctor in (0, 1)]
    first, _ = [await book(still, [slot], patient_id=who) for slot, who in zip(slots, (gone, into), strict=True)]
    refusal = await refused(errors.MergeCollides, merge(still, gone, into))
    assert [one.get("queue") or one["number"] for one in refusal.extra["collisions"]] == ["Walk-in", first.number]
    await still.do("cancel", ticket_id=tickets[0].ticket_id)
    await still.do("cancel-appointment", appointment_id=first.appointment_id)
    await merge(still, gone, into)


async def test_one_record_another_institutions_and_other_peoples_hands_are_refused(still: World) -> None:
    gone, into = await two(still)
    theirs = await still.other()
    foreign = await patient_of(theirs)
    await refused(errors.SamePatient, merge(still, into, into))
    await refused(errors.NotFound, merge(still, foreign, into))
    await refused(errors.NotFound, merge(still, gone, foreign))
    await refused(errors.NotAllowed, merge(still, gone, into, "doctor"))


async def test_the_trail_tells_of_it_under_both(still: World) -> None:
    gone, into = await two(still)
    await merge(still, gone, into)
    row = await still.pool.fetchrow(
        "select patients, changes::text as changes from audit where action = 'merge-patients'"
    )
    assert row["patients"] == sorted((gone, into)) and f'"merged_into": {into}' in row["changes"]
    before = await still.ask("read-audit", "admin", institution_id=still.institution, patient_id=into)
    assert "register-patient" in [one.action for one in before.items if gone in one.patients]


async def test_who_joins_while_the_records_are_merged_is_never_left_behind(world: World) -> None:
    queues = [await world.queue(f"Queue {n}") for n in range(4)]
    gone, into = await two(world)
    work = [world.do("join-queue", queue_id=one, patient_id=gone) for one in queues]
    answers = await asyncio.gather(*work, merge(world, gone, into), return_exceptions=True)
    unexpected = [one for one in answers if isinstance(one, Exception) and not isinstance(one, errors.PatientMerged)]
    assert unexpected == []
    assert await world.pool.fetchval("select count(*) from tickets where patient_id = $1", gone) == 0
    assert await world.pool.fetchval("select count(*) from appointments where patient_id = $1", gone) == 0
