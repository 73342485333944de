"""What appointments say of people and things follows a correction, on every stream that shows it."""

import asyncio
from datetime import timedelta

from server import errors
from tests.clinic import account_of, book, patient_of, slots_of, specialty_of, visit_type_of
from tests.world import World


async def booked(world: World) -> tuple[int, dict[str, int]]:
    """Somebody with an account and an appointment, and what it is for and with."""
    patient = await patient_of(world, "Ada Biron")
    await account_of(world, patient)
    about = {"visit_type": await visit_type_of(world), "specialty": await specialty_of(world, 0)}
    await book(world, await slots_of(world, 0), patient_id=patient, visit_type_id=about["visit_type"])
    return patient, about


async def test_corrected_patient_is_told_to_the_doctor(world: World) -> None:
    patient, _ = await booked(world)
    stream = f"doctor:{world.doctors[0]}"
    async with world.verify(stream):
        await world.do("correct-patient", patient_id=patient, name="Ada Byron", phone="+442079460958")
    (row,) = (await world.fresh_rows(stream)).values()
    assert (row["patient"]["name"], row["patient"]["phone"]) == ("Ada Byron", "+442079460958")
    assert (await world.events(stream))[-1][1] == "appointments-corrected"


async def test_renamed_things_are_told_to_the_doctor_and_the_patient(world: World) -> None:
    patient, about = await booked(world)
    streams = [f"doctor:{world.doctors[0]}", f"patient:{patient}"]
    async with world.verify(*streams):
        await world.do("edit-visit-type", "admin", visit_type_id=about["visit_type"], name="Check-up", colour="#aa0000")
        await world.do("edit-specialty", "admin", specialty_id=about["specialty"], name="Heart")
        await world.do("edit-doctor", "admin", doctor_id=world.doctors[0], name="Dr. Amesbury")
        await world.do("edit-location", "admin", location_id=world.location, name="Ground floor")
    (row,) = (await world.fresh_rows(streams[1])).values()
    assert row["visit_type"]["name"] == "Check-up"
    assert (row["doctor_name"], row["location_name"]) == ("Dr. Amesbury", "Ground floor")


async def test_request_that_waits_shows_the_corrected_patient_to_every_doctor_asked(world: World) -> None:
    specialty = await specialty_of(world, 0, 1)
    patient = await patient_of(world, "Ada Biron")
    for doctor in (1, 0):
        slots = await slots_of(world, doctor)
    await book(world, slots, patient_id=patient, specialty_id=specialty)
    async with world.verify(*(f"doctor:{one}" for one in world.doctors)):
        await world.do("correct-patient", patient_id=patient, name="Ada Byron")
    rows = [await world.fresh_rows(f"doctor:{one}") for one in world.doctors]
    assert [row["patient"]["name"] for shown in rows for row in shown.values()] == ["Ada Byron"] * 2


async def test_correcting_while_somebody_books_leaves_every_stream_right(world: World) -> None:
    patient = await patient_of(world, "Ada")
    slots = await slots_of(world, 0, 4)
    stream = f"doctor:{world.doctors[0]}"
    async with world.verify(stream):
        books = [book(world, [one], patient_id=patient) for one in slots]
        edits = [world.do("correct-patient", patient_id=patient, name=f"Eda {one}") for one in range(4)]
        answers = await asyncio.gather(*books, *edits, return_exceptions=True)
    assert not [one for one in answers if isinstance(one, Exception) and not isinstance(one, errors.Unavailable)]


async def test_corrected_patient_who_needs_help_is_told_of_by_the_right_name(world: World) -> None:
    patient = await patient_of(world, "Ada Biron")
    await slots_of(world, 0, after=timedelta(hours=-1), minutes=60)
    streams = [f"doctor:{world.doctors[0]}", f"admin:{world.institution}"]
    async with world.verify(*streams):
        await world.do("emergency-request", reason="A fall", location_id=world.location, patient_id=patient)
        await world.do("correct-patient", patient_id=patient, name="Ada Byron")
    (row,) = (await world.fresh_rows(streams[0])).values()
    assert row["patient"]["name"] == "Ada Byron"
    assert (await world.events(streams[0]))[-1][1] == "emergency-corrected"
    assert "Byron" not in str([one for one in await world.events(streams[1]) if one[1] == "patient-corrected"])
