"""What can be booked and with whom: specialties, visit types, doctors, their photos, and settings of booking."""

import base64

import pytest

from server import errors
from tests.world import World

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 20


def of(world: World) -> str:
    return f"admin:{world.institution}"


async def test_catalogue_shows_what_is_offered_and_by_whom(world: World) -> None:
    async with world.verify(of(world)):
        heart = await world.do("create-specialty", "admin", name="Cardiology")
        visit = await world.do("create-visit-type", "admin", name="Consultation", minutes=30, fee="80.5")
        given = {"specialty_id": heart.specialty, "licence": "L-1", "fee": "90", "languages": ["en", "ar"]}
        places = {"location_ids": [world.location], "visit_type_ids": [visit.visit_type]}
        await world.do("edit-doctor", "admin", doctor_id=world.doctors[0], **given, **places)
        await world.do("edit-doctor", "admin", doctor_id=world.doctors[1], active=False)
        there = {"country": "GB", "currency": "GBP", "zone": "Europe/London"}
        await world.do("edit-institution", "admin", institution_id=world.institution, **there)
    shown = await world.ask("show-catalogue", "doctor")
    assert (shown.institution.country, shown.institution.currency) == ("GB", "GBP")
    assert [(one.name, one.fee, one.specialty_id) for one in shown.doctors] == [("Dr. Ames", "90.00", heart.specialty)]
    assert [(one.minutes, one.fee) for one in shown.visit_types] == [(30, "80.50")]
    assert shown.locations[0].zone == "Europe/London"


async def test_licence_is_one_doctors_whatever_its_case(world: World) -> None:
    await world.do("edit-doctor", "admin", doctor_id=world.doctors[0], licence="AB-1")
    with pytest.raises(errors.NameTaken):
        await world.do("edit-doctor", "admin", doctor_id=world.doctors[1], licence="ab-1")


async def test_specialty_with_doctors_stays_and_without_goes(world: World) -> None:
    heart = (await world.do("create-specialty", "admin", name="Cardiology")).specialty
    await world.do("edit-doctor", "admin", doctor_id=world.doctors[0], specialty_id=heart)
    with pytest.raises(errors.SpecialtyInUse):
        await world.do("retire-specialty", "admin", specialty_id=heart)
    await world.do("edit-doctor", "admin", doctor_id=world.doctors[0], specialty_id=None)
    async with world.verify(of(world)):
        await world.do("retire-specialty", "admin", specialty_id=heart)
    with pytest.raises(errors.NotFound):
        await world.do("edit-doctor", "admin", doctor_id=world.doctors[0], specialty_id=heart)
    await world.do("create-specialty", "admin", name="cardiology")


async def test_doctor_is_never_left_seeming_to_take_everything(world: World) -> None:
    types = [
        (await world.do("create-visit-type", "admin", name=name, minutes=30)).visit_type for name in ("One", "Two")
    ]
    await world.do("edit-doctor", "admin", doctor_id=world.doctors[0], visit_type_ids=types)
    async with world.verify(of(world)):
        await world.do("retire-visit-type", "admin", visit_type_id=types[0])
    with pytest.raises(errors.VisitTypeInUse):
        await world.do("retire-visit-type", "admin", visit_type_id=types[1])


async def test_photo_is_a_picture_and_has_a_new_address_each_time(world: World) -> None:
    ask = {"doctor_id": world.doctors[0], "content": base64.b64encode(PNG).decode()}
    async with world.verify(of(world)):
        first = await world.do("set-doctor-photo", "admin", **ask)
        second = await world.do("set-doctor-photo", "admin", **ask)
    assert first.photo != second.photo
    shown = await world.ask("doctor-photo", "doctor", doctor_id=world.doctors[0])
    assert (shown.kind, shown.content, shown.name) == ("image/png", PNG, None)
    for wrong in ("<svg>", base64.b64encode(b"<svg onload=alert(1)>").decode()):
        with pytest.raises(errors.InvalidRequest):
            await world.do("set-doctor-photo", "admin", doctor_id=world.doctors[0], content=wrong)
    gone = await world.do("remove-doctor-photo", "admin", doctor_id=world.doctors[0])
    assert gone.photo is None


async def test_booking_of_a_doctor_goes_by_the_institution_where_it_is_not_set(world: World) -> None:
    doctor = world.doctors[0]
    await world.do("set-institution-booking", "admin", institution_id=world.institution, advance_booking_days=30)
    set_ = await world.do("set-doctor-booking", "admin", doctor_id=doctor, lock_minutes=9)
    assert (set_.effective.advance_booking_days, set_.effective.lock_minutes) == (30, 9)
    assert (set_.origin["advance_booking_days"], set_.origin["lock_minutes"]) == ("institution", "doctor")
    reset = await world.do("set-doctor-booking", "admin", doctor_id=doctor, lock_minutes=None)
    assert (reset.own, reset.effective.lock_minutes) == ({}, 5)


# Patients' records


async def test_numbers_are_kept_in_e164_where_the_country_is_known(world: World) -> None:
    typed = await world.do("register-patient", name="Ada", phone="020 7946 0958")
    assert typed.patient.phone == "020 7946 0958"
    await world.do("edit-institution", "admin", institution_id=world.institution, country="GB")
    kept = await world.do("register-patient", name="Ben", phone="020 7946 1111")
    assert kept.patient.phone == "+442079461111"
    with pytest.raises(errors.InvalidRequest) as refused:
        await world.do("register-patient", name="Cy", phone="+44 1")
    assert refused.value.extra["errors"][0]["pointer"] == "/phone"


async def test_whole_record_is_kept_and_medical_history_is_doctors_alone(world: World) -> None:
    given = {
        "gender": "female",
        "email": "ada@x.example",
        "address": "1 High St",
        "emergency_contact": {"name": "Ben", "phone": "+44 20 7946 0958", "relation": "son"},
        "insurance": {"insurer": "Acme", "policy": "7"},
        "language": "ar",
        "channels": ["sms", "email"],
        "requirements": ["wheelchair"],
    }
    patient = (await world.do("register-patient", name="Ada", **given)).patient
    assert patient.emergency_contact.phone == "+442079460958" and patient.channels == ["sms", "email"]
    edited = await world.do("correct-patient", patient_id=patient.id, insurance=None)
    assert edited.insurance is None and edited.email == "ada@x.example"
    await world.do("write-medical-notes", "doctor", patient_id=patient.id, medical_notes="Penicillin allergy")
    assert (await world.ask("medical-notes", "doctor", patient_id=patient.id)).medical_notes == "Penicillin allergy"
    for who in ("receptionist", "admin", "super_admin"):
        with pytest.raises(errors.NotAllowed):
            await world.ask("medical-notes", who, patient_id=patient.id)
    assert "enicillin" not in str(await world.pool.fetch("select asked::text, changes::text from audit"))
