"""Emergencies: who is told, who is told next, and that one of them goes."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from server import access, catalog, emergencies, errors
from server.access import Actor, Role
from tests.clinic import account_of, patient_of, set_booking, slots_of, specialty_of
from tests.world import World, refused


async def cry(world: World, who: Actor | str = "receptionist", **ask: Any) -> Any:
    """Somebody calls for help."""
    return await world.do("emergency-request", who, reason="Not breathing", **{"location_id": world.location, **ask})


async def on_duty(world: World, doctor: int, location: int | None = None) -> None:
    """The n-th doctor has a slot now."""
    await slots_of(world, doctor, after=timedelta(hours=-1), minutes=60, location=location)


async def escalate(world: World, emergency: int) -> Any:
    """What the worker does when it is due."""
    return await world.store.execute(
        emergencies.ESCALATE, access.SYSTEM, emergencies.OfEmergency(emergency_id=emergency)
    )


async def told(world: World) -> list[list[str]]:
    """The emergencies that each of the two doctors sees, and the administration."""
    of = [f"doctor:{one}" for one in world.doctors] + [f"admin:{world.institution}"]
    return [[key for key in await world.fresh_rows(one) if key.startswith("e:")] for one in of]


def streams(world: World) -> list[str]:
    return [f"doctor:{one}" for one in world.doctors] + [f"admin:{world.institution}"]


# Who is told


async def test_the_doctors_on_duty_of_the_specialty_are_told(still: World) -> None:
    specialty = await specialty_of(still, 0)
    await on_duty(still, 0)
    await on_duty(still, 1)
    async with still.verify(*streams(still)):
        raised = await cry(still, specialty_id=specialty)
    assert (raised.level, raised.doctors_told) == (0, 1)
    assert await told(still) == [[f"e:{raised.emergency_id}"], [], []]
    _, name, data = (await still.events(f"doctor:{still.doctors[0]}"))[-1]
    assert (name, data["level"]) == ("emergency-alert", 0)


async def test_who_calls_patients_there_is_on_duty_without_a_schedule(still: World) -> None:
    queue = await still.queue()
    await still.join(queue)
    await still.call_next(queue)
    raised = await cry(still)
    assert (raised.level, raised.doctors_told) == (0, 1)


async def test_a_slot_elsewhere_or_long_over_is_no_duty(still: World) -> None:
    async with still.pool.acquire() as conn:
        branch = await catalog.add_location(conn, still.institution, "Branch")
    await on_duty(still, 0, branch)
    await slots_of(still, 1, after=timedelta(hours=-3))
    await still.queue()
    raised = await cry(still)
    assert (raised.level, raised.doctors_told) == (2, 2)


@pytest.mark.parametrize("seconds", [15, 90])
async def test_unanswered_it_is_told_to_ever_more_people(still: World, seconds: int) -> None:
    await set_booking(still, emergency_escalates_seconds=seconds)
    specialty = await specialty_of(still, 0)
    await on_duty(still, 0)
    await on_duty(still, 1)
    await still.queue()
    raised = await cry(still, specialty_id=specialty)
    key = f"e:{raised.emergency_id}"
    levels = []
    for expected in ([[key], [], []], [[key], [key], []], [[key], [key], [key]]):
        assert await told(still) == expected
        assert await emergencies.due(still.pool, still.clock()) == []
        still.forward(seconds=seconds)
        assert await emergencies.due(still.pool, still.clock()) == [raised.emergency_id]
        async with still.verify(*streams(still)):
            levels.append((await escalate(still, raised.emergency_id)).level)
    assert levels == [1, 2, 2]


async def test_with_nobody_on_duty_everybody_who_works_there_is_told_at_once(still: World) -> None:
    await still.queue()
    async with still.verify(*streams(still)):
        raised = await cry(still)
    key = f"e:{raised.emergency_id}"
    assert await told(still) == [[key], [key], [key]]
    still.forward(hours=3)
    await escalate(still, raised.emergency_id)
    assert await emergencies.due(still.pool, still.clock() + timedelta(days=1)) == []
    assert await told(still) == [[key], [key], [key]]


async def test_where_no_doctor_works_the_administration_is_told(still: World) -> None:
    raised = await cry(still)
    assert (raised.level, raised.doctors_told) == (2, 0)
    assert await told(still) == [[], [], [f"e:{raised.emergency_id}"]]


# The answer


async def test_an_acknowledged_one_escalates_no_more_and_says_who_comes(still: World) -> None:
    await on_duty(still, 0)
    raised = await cry(still)
    async with still.verify(*streams(still)):
        answer = await still.do("acknowledge-emergency", "doctor", emergency_id=raised.emergency_id)
    assert answer.acknowledged_by == "Dr. Ames"
    still.forward(hours=1)
    assert await emergencies.due(still.pool, still.clock()) == []
    assert (await escalate(still, raised.emergency_id)).level == 0
    (row,) = (await still.fresh_rows(f"doctor:{still.doctors[0]}")).values()
    assert row["acknowledged_by"] == "Dr. Ames"


async def test_of_two_who_answer_at_once_one_goes_and_the_other_is_told_who(world: World) -> None:
    await world.queue()
    raised = await cry(world)
    answers = await asyncio.gather(
        *(world.do("acknowledge-emergency", who, emergency_id=raised.emergency_id) for who in ("doctor", "doctor2")),
        return_exceptions=True,
    )
    refusals = [one for one in answers if isinstance(one, errors.EmergencyAnswered)]
    goes = [one for one in answers if not isinstance(one, BaseException)]
    assert len(refusals) == len(goes) == 1
    assert refusals[0].extra["by"] == goes[0].acknowledged_by


async def test_an_answer_and_an_escalation_at_once_never_alert_after_the_answer(world: World) -> None:
    await set_booking(world, emergency_escalates_seconds=5)
    await on_duty(world, 0)
    raised = await cry(world)
    await world.pool.execute("update emergencies set escalates_at = now() - interval '1 second'")
    await asyncio.gather(
        *(escalate(world, raised.emergency_id) for _ in range(4)),
        world.do("acknowledge-emergency", "doctor", emergency_id=raised.emergency_id),
    )
    names = [name for _, name, _ in await world.events(f"doctor:{world.doctors[0]}")]
    assert names[-1] == "emergency-acknowledged" and names.count("emergency-alert") <= 2


async def test_one_that_ended_leaves_every_sight_and_ends_once(still: World) -> None:
    await still.queue()
    raised = await cry(still)
    async with still.verify(*streams(still)):
        await still.do("end-emergency", emergency_id=raised.emergency_id)
    assert await told(still) == [[], [], []]
    await refused(errors.EmergencyOver, still.do("end-emergency", emergency_id=raised.emergency_id))
    await refused(errors.EmergencyOver, still.do("acknowledge-emergency", emergency_id=raised.emergency_id))
    assert (await still.ask("list-emergencies")).items == []


# Patients


async def test_a_patient_with_a_ticket_need_not_say_where(still: World) -> None:
    queue = await still.queue()
    joined = await still.join(queue, "Ada")
    holder = Actor(Role.ticket, joined.ticket_id, still.institution)
    raised = await still.do("emergency-request", holder, reason="My chest")
    again = await still.do("emergency-request", holder, reason="My chest!")
    assert again.emergency_id == raised.emergency_id
    (shown,) = (await still.ask("list-emergencies", location_id=still.location)).items
    assert shown.patient is not None and shown.patient.name == "Ada"
    await still.do("acknowledge-emergency", emergency_id=raised.emergency_id)
    assert (await still.ask("show-emergency", holder, emergency_id=raised.emergency_id)).acknowledged_by


async def test_a_patient_without_a_ticket_says_where_and_sees_no_others(still: World) -> None:
    patient = await account_of(still, await patient_of(still))
    other = await account_of(still, await patient_of(still))
    refusal = await refused(errors.InvalidRequest, still.do("emergency-request", patient, reason="Help"))
    assert refusal.extra["errors"][0]["pointer"] == "/location_id"
    raised = await cry(still, patient)
    for attempt in (
        still.do("end-emergency", other, emergency_id=raised.emergency_id),
        still.ask("show-emergency", other, emergency_id=raised.emergency_id),
    ):
        await refused(errors.NotFound, attempt)
    await still.do("end-emergency", patient, emergency_id=raised.emergency_id)


async def test_another_institutions_places_specialties_and_patients_are_not_found(still: World) -> None:
    theirs = await still.other()
    specialty, patient = await specialty_of(theirs, 0), await patient_of(theirs)
    for ask in ({"location_id": theirs.location}, {"specialty_id": specialty}, {"patient_id": patient}):
        await refused(errors.NotFound, cry(still, **ask))
    raised = await cry(theirs)
    await refused(errors.NotFound, still.do("acknowledge-emergency", emergency_id=raised.emergency_id))
