"""Appointments told anew where what they say was corrected: their patient, visit type, doctor, specialty or location.

Invariant: whoever renames something that streams show holds the gates of the doctors whose appointments show it, and
tells them in the same transaction; so a stream's rows are those read afresh, after a correction as after any step.
"""

from collections.abc import Sequence
from typing import Any, Literal

from server import events
from server.access import STAFF, Actor
from server.appointments.records import APPOINTMENT, Appointment, appointment_of
from server.patients import PatientRecord
from server.queue.reception import CorrectPatient, corrected
from server.store import Command, Connection, Tx

Subject = Literal["patient", "visit-type", "specialty", "doctor", "location"]
"""What may be corrected and is shown with an appointment."""
DOCTORS_SEE = frozenset({"patient", "visit-type"})
"""What doctors' rows show of these; patients' rows show all but their own name."""
AT_ONCE = 200
"""Rows of one event."""


async def every_doctor(conn: Connection, institution_id: int) -> list[events.Stream[Any]]:
    """The gates of all doctors of an institution that is held: whatever is renamed there, anybody may show it."""
    return [events.doctor(row["id"]) for row in await conn.fetch(EVERY_DOCTOR, institution_id)]


EVERY_DOCTOR = "select id from doctors where institution_id = $1 order by id"


async def gate_doctors(tx: Tx, institution_id: int) -> None:
    """Take those gates, where they are all that a command needs."""
    if gates := await every_doctor(tx.conn, institution_id):
        await tx.gate(*gates)


async def retell(tx: Tx, subject: Subject, id_: int) -> None:
    """Tell whoever sees an appointment of this subject what it says now. The gates of its doctors are held."""
    shown = [appointment_of(row) for row in await tx.conn.fetch(SHOWS, subject, id_)]
    tx.must_hold(*(events.doctor(one) for appointment in shown for one in appointment.audience))
    if subject in DOCTORS_SEE:
        _tell_doctors(tx, shown)
    if subject != "patient":
        _tell_patients(tx, shown)
    for row in await tx.conn.fetch(WAITS_FOR, subject, id_):
        tx.append(events.waitlist(row["institution_id"]), events.WaitlistCorrected(entry=row["id"]))


# Whose rows say it as well: the waitlist follows, and tells what it says now.
WAITS_FOR = """
select w.id, w.institution_id from waitlist w left join offers o on o.entry_id = w.id and o.state = 'open'
where w.state in ('waiting', 'offered') and case $1::text
    when 'patient' then w.patient_id = $2
    when 'visit-type' then w.visit_type_id = $2
    when 'specialty' then w.specialty_id = $2
    when 'doctor' then $2 in (w.doctor_id, o.doctor_id)
    else $2 in (w.location_id, o.location_id)
end order by w.id
"""
SHOWS = (
    APPOINTMENT
    + """
where a.filed_at is null and case $1::text
    when 'patient' then a.patient_id = $2
    when 'visit-type' then a.visit_type_id = $2
    when 'specialty' then a.specialty_id = $2
    when 'doctor' then a.doctor_id = $2
    else a.location_id = $2
end order by a.id
"""
)


def _tell_doctors(tx: Tx, shown: Sequence[Appointment]) -> None:
    rows: dict[int, list[events.DoctorAppointment]] = {}
    for appointment in shown:
        for id_ in appointment.audience:
            rows.setdefault(id_, []).append(appointment.doctor_row())
    for id_, all_ in sorted(rows.items()):
        for at in range(0, len(all_), AT_ONCE):
            tx.append(events.doctor(id_), events.AppointmentsCorrected(), put=all_[at : at + AT_ONCE])


def _tell_patients(tx: Tx, shown: Sequence[Appointment]) -> None:
    rows: dict[int, list[events.PatientAppointment]] = {}
    for appointment in shown:
        if appointment.has_account:
            rows.setdefault(appointment.patient.id, []).append(appointment.patient_row())
    for id_, all_ in sorted(rows.items()):
        tx.append(events.patient(id_), events.AppointmentsCorrected(), put=all_)


async def correct_patient(tx: Tx, actor: Actor, ask: CorrectPatient) -> PatientRecord:
    """Correct a patient's record; every queue and agenda that shows the patient shows it corrected at once.

    Raises `NotFound`, `PatientMerged`, `InvalidRequest`.
    """
    rows = await tx.conn.fetch(SEES_PATIENT, ask.patient_id)
    record = await corrected(tx, actor, ask, [events.doctor(row["doctor_id"]) for row in rows])
    await retell(tx, "patient", record.id)
    assert tx.institution_id is not None
    tx.append(events.admin(tx.institution_id), events.PatientCorrected(record=record.id))
    return record


SEES_PATIENT = """
select a.doctor_id from appointments a
where a.patient_id = $1 and a.filed_at is null and a.doctor_id is not null
union
select c.doctor_id from appointments a join appointment_doctors c on c.appointment_id = a.id
where a.patient_id = $1 and a.filed_at is null and a.doctor_id is null and c.answer is null
"""

COMMANDS: list[Command[Any, Any]] = [
    Command("correct-patient", correct_patient, CorrectPatient, PatientRecord, STAFF, "POST /patients/{patient_id}"),
]
