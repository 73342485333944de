"""What the treating side writes about a visit: notes, diagnosis, prescription.

Invariants: every version stays, and only the doctor of the appointment writes or reads any: neither the desk nor an
admin does, and no stream, list, audit entry or log holds the words.
"""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from server import errors, events
from server.access import Actor, Role
from server.appointments.records import Appointment, appointment_as, facts, open_appointment, tell
from server.asks import Ask, Id, Reply
from server.store import Command, Connection, Query, Read, Tx

Kind = Literal["note", "diagnosis", "prescription"]
Content = Annotated[str, StringConstraints(strip_whitespace=True, max_length=20_000)]


class WriteNote(Ask):
    """The next version of what is written; `version` is the one that the writer had before them, 0 for none."""

    appointment_id: Id
    kind: Kind
    content: Content = Field(repr=False)
    version: int = Field(default=0, ge=0)


class Note(Reply):
    """One version of what was written; `who` is the writer's name, where they have one."""

    kind: Kind
    version: int
    content: str
    written_by: str
    who: str | None
    at: datetime


class Written(Reply):
    """The version that was written."""

    appointment_id: int
    kind: Kind
    version: int


async def write_note(tx: Tx, actor: Actor, ask: WriteNote) -> Written:
    """Write a new version. Raises `NotAllowed` for all but the treating doctor, `NoteChanged` for an old base."""
    appointment = await open_appointment(tx, actor, ask.appointment_id)
    must_treat(actor, appointment)
    latest = await tx.conn.fetchval(LATEST_VERSION, appointment.id, ask.kind)
    if latest != ask.version:
        raise errors.NoteChanged(version=latest)
    version = latest + 1
    await tx.conn.execute(ADD_NOTE, appointment.id, ask.kind, version, ask.content, actor.key, tx.now)
    tx.about(
        f"appointment:{appointment.id}", {f"{ask.kind} version": latest}, {f"{ask.kind} version": version},
        appointment.patient.id,
    )  # fmt: skip
    tell(tx, appointment, events.AppointmentUpdated(**facts(appointment)))
    return Written(appointment_id=appointment.id, kind=ask.kind, version=version)


LATEST_VERSION = "select coalesce(max(version), 0) from appointment_notes where appointment_id = $1 and kind = $2"
ADD_NOTE = """
insert into appointment_notes (appointment_id, kind, version, content, written_by, at) values ($1, $2, $3, $4, $5, $6)
"""


def must_treat(actor: Actor, appointment: Appointment) -> None:
    """Raise `NotAllowed` for everybody but the doctor of the appointment."""
    if actor.role is not Role.doctor or actor.doctor_id != appointment.doctor_id:
        raise errors.NotAllowed("Only the treating doctor reads or writes that.")


class OneAppointment(Ask):
    """One appointment."""

    appointment_id: Id


class Notes(Reply):
    """Everything written about a visit, every version of it, oldest first."""

    appointment_id: int
    patient_id: int
    items: list[Note]


async def show_notes(view: Read, actor: Actor, ask: OneAppointment) -> Notes:
    """What was written, for the treating doctor alone. Raises `NotFound`, `NotAllowed`."""
    appointment = await appointment_as(view, actor, ask.appointment_id)
    must_treat(actor, appointment)
    items = await notes_of(view.conn, appointment.id)
    return Notes(appointment_id=appointment.id, patient_id=appointment.patient.id, items=items)


async def notes_of(conn: Connection, appointment_id: int) -> list[Note]:
    """Every version of everything written about an appointment; the caller has seen that the asker treats."""
    return [Note(**dict(row)) for row in await conn.fetch(NOTES_OF, appointment_id)]


NOTES_OF = """
select n.kind, n.version, n.content, n.written_by, u.name as who, n.at
from appointment_notes n left join users u on n.written_by = 'user:' || u.id
where n.appointment_id = $1 order by n.kind, n.version
"""

COMMANDS: list[Command[Any, Any]] = [
    Command(
        "write-note",
        write_note,
        WriteNote,
        Written,
        frozenset({Role.doctor}),
        "POST /appointments/{appointment_id}/notes",
        status=201,
    ),
]
QUERIES: list[Query[Any, Any]] = [
    Query(
        "show-notes",
        show_notes,
        OneAppointment,
        Notes,
        frozenset({Role.doctor}),
        "GET /appointments/{appointment_id}/notes",
        patients=lambda notes: [notes.patient_id],
    ),
]
