"""Two records of one person become one, with their whole history: tickets, appointments, accounts and what follows.

Invariants: everything goes over in one transaction, and everybody who sees anything of it is told. It cannot be taken
back: what was whose is not kept apart. The record that went stays, empty of everything but the way to the one it went
into; what was done with it is on the audit trail under both.
"""

from typing import Any

from server import access, catalog, errors, events
from server.access import DESK, Actor
from server.appointments.records import APPOINTMENT, PLACES_OF, appointment_of, facts, streams_of, tell
from server.asks import Ask, Id, Reply
from server.patients import hold_records, merge_record
from server.queue import merging as tickets
from server.store import Command, Connection, Tx


class MergePatients(Ask):
    """The record that goes, and the one that it goes into. It cannot be taken back."""

    patient_id: Id
    into: Id


class PatientsAreOne(Reply):
    """The record that stays, how much of the other's is its own now, and which of its fields that filled."""

    patient_id: int
    tickets: int
    appointments: int
    filled: list[str]


async def merge_patients(tx: Tx, actor: Actor, ask: MergePatients) -> PatientsAreOne:
    """Let one record go over into another of the same person, for good, with everything that is theirs.

    Raises `SamePatient`, `NotFound`, `PatientMerged`, and `MergeCollides` where both are somewhere at the same time.
    """
    gone, into = ask.patient_id, ask.into
    if gone == into:
        raise errors.SamePatient()
    institution_id = await tx.conn.fetchval(INSTITUTION_OF, into)
    if not actor.within(institution_id):
        raise errors.NotFound("There is no such patient here.")
    queues = await _gated(tx, gone, into)
    tx.institution_id = institution_id
    await hold_records(tx.conn, institution_id, gone, into)
    # Nobody begins anything with either from here on; what began before the hold has its gates, or we try anew.
    tx.must_hold(*await _gates(tx.conn, gone, into))
    if collisions := [*await tickets.colliding_tickets(tx.conn, gone, into), *await _colliding(tx.conn, gone, into)]:
        raise errors.MergeCollides(collisions=collisions)
    shown = [f"t:{row['id']}" for row in await tx.conn.fetch(TICKETS_SHOWN, gone)]
    shown += [f"a:{row['id']}" for row in await tx.conn.fetch(APPOINTMENTS_SHOWN, gone)]
    changed = await merge_record(tx.conn, gone, into, tx.now)
    ended = await catalog.merge_accounts(tx.conn, gone, into)
    moved_tickets = await tickets.move_tickets(tx.conn, gone, into)
    moved = [row["id"] for row in await tx.conn.fetch(MOVE_APPOINTMENTS, gone, into)]
    told = events.PatientsMerged(gone=gone, into=into)
    tx.append(events.admin(institution_id), told)
    await tickets.tell_merged(tx, actor, queues, into)
    await _tell(tx, into)
    if ended and shown:
        tx.append(events.patient(gone), told, drop=shown)
    tx.ended += [f"{access.AGAIN}{one}" for one in ended]
    tx.about(f"patient:{gone}", {"merged_into": None}, {"merged_into": into}, patient=gone)
    tx.about(f"patient:{into}", {"has": None}, {"has": gone, "filled": sorted(changed)}, patient=into)
    return PatientsAreOne(patient_id=into, tickets=len(moved_tickets), appointments=len(moved), filled=sorted(changed))


INSTITUTION_OF = "select institution_id from patients where id = $1"


async def _gated(tx: Tx, gone: int, into: int) -> list[int]:
    """Take the gates of every queue and doctor that shows either record; answers the queues."""
    queues = await tickets.queues_of(tx.conn, gone, into)
    gates = await _gates(tx.conn, gone, into)
    if gates:
        await tx.gate(*gates)
    return queues


async def _gates(conn: Connection, gone: int, into: int) -> list[events.Stream[Any]]:
    ids = [row["id"] for one in (gone, into) for row in await conn.fetch(APPOINTMENTS_SHOWN, one)]
    gates: list[events.Stream[Any]] = [events.board(one) for one in await tickets.queues_of(conn, gone, into)]
    for row in await conn.fetch(PLACES_OF, ids):
        gates += streams_of(row["doctors"], row["queue_id"])
    return gates


APPOINTMENTS_SHOWN = "select id from appointments where patient_id = $1 and filed_at is null order by id"
TICKETS_SHOWN = """
select id from tickets where patient_id = $1 and state in ('waiting', 'called', 'in_consultation', 'on_hold')
"""


async def _colliding(conn: Connection, gone: int, into: int) -> list[dict[str, Any]]:
    """Where both have an appointment at the same time."""
    rows = await conn.fetch(BOTH_BOOKED, gone, into)
    return [{**dict(row), "starts_at": row["starts_at"].isoformat()} for row in rows]


BOTH_BOOKED = """
select one.number, other.number as other, one.starts_at
from appointments one join appointments other on other.during && one.during
where one.patient_id = $1 and other.patient_id = $2 and one.kind = 'scheduled' and other.kind = 'scheduled'
    and not one.insisted and not other.insisted
    and one.state in ('pending', 'confirmed', 'checked_in', 'in_progress')
    and other.state in ('pending', 'confirmed', 'checked_in', 'in_progress')
order by one.starts_at
"""
MOVE_APPOINTMENTS = "update appointments set patient_id = $2 where patient_id = $1 returning id"


async def _tell(tx: Tx, patient_id: int) -> None:
    """Tell everybody who sees an appointment of the record that stays what it says now."""
    for row in await tx.conn.fetch(ALL_SHOWN, patient_id):
        appointment = appointment_of(row)
        tell(tx, appointment, events.AppointmentUpdated(**facts(appointment)))


ALL_SHOWN = APPOINTMENT + " where a.patient_id = $1 and a.filed_at is null order by a.id"

COMMANDS: list[Command[Any, Any]] = [
    Command("merge-patients", merge_patients, MergePatients, PatientsAreOne, DESK, "POST /patients/{patient_id}/merge"),
]
