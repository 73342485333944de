"""A patient's medical history: notes that doctors write, and doctors alone read.

Invariant: they stand in no stream, no list, no search and no audit entry; that they were read or changed does.
"""

from typing import Annotated, Any

from pydantic import Field, StringConstraints

from server import errors
from server.access import Actor, Role
from server.asks import Ask, Id, Reply
from server.patients.records import NO_PATIENT
from server.store import Command, Query, Read, Tx

DOCTORS = frozenset({Role.doctor})
Notes = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=20_000)]


class OfPatient(Ask):
    """One patient."""

    patient_id: Id


class MedicalNotes(Reply):
    """What is known of a patient's medical history."""

    patient_id: int
    medical_notes: str | None


async def show_medical_notes(view: Read, actor: Actor, ask: OfPatient) -> MedicalNotes:
    """A patient's medical history. Raises `NotFound`, `PatientMerged`."""
    row = await view.conn.fetchrow(NOTES, ask.patient_id)
    return MedicalNotes(patient_id=ask.patient_id, medical_notes=_here(row, actor)["medical_notes"])


NOTES = "select institution_id, merged_into, medical_notes from patients where id = $1"


def _here(row: Any, actor: Actor) -> Any:
    if row is None or not actor.within(row["institution_id"]):
        raise errors.NotFound(NO_PATIENT)
    if row["merged_into"] is not None:
        raise errors.PatientMerged(patient_id=row["merged_into"])
    return row


class WriteMedicalNotes(OfPatient):
    """A patient's medical history as it is to be from here on; null for none."""

    medical_notes: Notes | None = Field(repr=False)


async def write_medical_notes(tx: Tx, actor: Actor, ask: WriteMedicalNotes) -> MedicalNotes:
    """Write a patient's medical history anew. Raises `NotFound`, `PatientMerged`."""
    row = await tx.conn.fetchrow(NOTES_TO_CHANGE, ask.patient_id)
    _here(row, actor)
    await tx.conn.execute(WRITE_NOTES, ask.patient_id, ask.medical_notes)
    tx.about(f"patient:{ask.patient_id}", {}, {"medical_notes": "changed"}, patient=ask.patient_id)
    return MedicalNotes(patient_id=ask.patient_id, medical_notes=ask.medical_notes)


NOTES_TO_CHANGE = NOTES + " for no key update"
WRITE_NOTES = "update patients set medical_notes = $2 where id = $1"


COMMANDS: list[Command[Any, Any]] = [
    Command(
        "write-medical-notes",
        write_medical_notes,
        WriteMedicalNotes,
        MedicalNotes,
        DOCTORS,
        "POST /patients/{patient_id}/medical-notes",
    ),
]
QUERIES: list[Query[Any, Any]] = [
    Query(
        "medical-notes",
        show_medical_notes,
        OfPatient,
        MedicalNotes,
        DOCTORS,
        "GET /patients/{patient_id}/medical-notes",
        patients=lambda notes: [notes.patient_id],
    ),
]
