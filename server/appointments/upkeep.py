"""What the worker does by the clock: requests expire, those who did not come are no-shows, and what has been over for a
day leaves the streams.

Invariant: each run does whatever is due by then, so it can come twice or late without harm.
"""

from datetime import timedelta
from typing import Any

from server import access, due, events, logs
from server.access import Actor
from server.appointments.requests import DUE, EXPIRE, OfAppointment
from server.appointments.visits import NO_SHOW, Missed
from server.asks import Ask, Id, Reply
from server.store import Command, Store, Tx

log = logs.get(__name__)
FILED_AFTER = timedelta(days=1)
"""How long after its end an appointment is still in its doctor's and its patient's sight."""
AT_ONCE = 500


async def expire_requests(store: Store) -> int:
    """End every request whose time has run out; answers how many."""
    requests = [OfAppointment(appointment_id=row["id"]) for row in await store.pool.fetch(DUE, store.now())]
    return await due.carry_out(store, EXPIRE, requests, log.info, "request-not-expired")


NOT_ATTENDED = "not-attended"
"""The reason on record of a no-show that nobody noted but the clock."""


async def note_no_shows(store: Store) -> int:
    """Note as no-shows whoever has not come so long after the time as the settings say; answers how many."""
    rows = await store.pool.fetch(UNATTENDED, store.now(), AT_ONCE)
    missed = [Missed(appointment_id=row["id"], reason=NOT_ATTENDED) for row in rows]
    return await due.carry_out(store, NO_SHOW, missed, log.info, "no-show-not-noted")


# Not of longer ago than two days: whoever turns the setting on does not have a past missed that nobody kept books of.
# And not of somebody who has a ticket there: they came, if not to be checked in.
UNATTENDED = """
select a.id
from doctors d join institutions i on i.id = d.institution_id
cross join lateral (select coalesce(
    (d.booking ->> 'no_show_after_minutes')::integer, (i.booking ->> 'no_show_after_minutes')::integer, 0
) as minutes) s
join appointments a on a.doctor_id = d.id and a.kind = 'scheduled' and a.state = 'confirmed' and a.ticket_id is null
    and a.starts_at < $1::timestamptz - make_interval(mins => s.minutes)
    and a.starts_at > $1::timestamptz - make_interval(days => 2, mins => s.minutes)
where s.minutes > 0 and not exists (
    select from tickets t join queues q on q.id = t.queue_id
    where t.patient_id = a.patient_id and q.location_id = a.location_id and t.state not in ('no_show', 'cancelled')
        and t.joined_at > a.starts_at - interval '12 hours' and t.joined_at < a.starts_at + interval '2 days'
)
order by a.starts_at limit $2
"""


class FileAppointments(Ask):
    """Those of one doctor, or of none."""

    doctor_id: Id | None = None


class Filed(Reply):
    """How many left the streams."""

    filed: int


async def file_appointments(tx: Tx, actor: Actor, ask: FileAppointments) -> Filed:
    """Take what has been over for a day out of the streams of its doctor and patient; lists and searches have it."""
    if ask.doctor_id is not None:
        await tx.gate(events.doctor(ask.doctor_id))
    rows = await tx.conn.fetch(FILE, ask.doctor_id, tx.now - FILED_AFTER, tx.now, AT_ONCE)
    if rows and ask.doctor_id is not None:
        tx.append(events.doctor(ask.doctor_id), events.AppointmentsFiled(), drop=[f"a:{row['id']}" for row in rows])
    of_patient: dict[int, list[str]] = {}
    for row in rows:
        if row["has_account"]:
            of_patient.setdefault(row["patient_id"], []).append(f"a:{row['id']}")
    for patient_id, keys in sorted(of_patient.items()):
        tx.append(events.patient(patient_id), events.AppointmentsFiled(), drop=keys)
    return Filed(filed=len(rows))


FILE = """
with due as (
    select id from appointments
    where filed_at is null and doctor_id is not distinct from $1::bigint and coalesce(ended_at, ends_at) < $2
        and state not in ('pending', 'in_progress')
    limit $4
)
update appointments a set filed_at = $3 from due
where a.id = due.id
returning a.id, a.patient_id, exists (select from users u where u.patient_id = a.patient_id) as has_account
"""
FILE_APPOINTMENTS: Command[Any, Any] = Command(
    "file-appointments", file_appointments, FileAppointments, Filed, frozenset(), ""
)


async def file_all(store: Store) -> int:
    """File whatever is due, doctor by doctor; answers how much."""
    filed = 0
    for row in await store.pool.fetch(DOCTORS_DUE, store.now() - FILED_AFTER):
        ask = FileAppointments(doctor_id=row["doctor_id"])
        while done := (await store.execute(FILE_APPOINTMENTS, access.SYSTEM, ask)).filed:
            filed += done
            if done < AT_ONCE:
                break
    return filed


DOCTORS_DUE = """
select distinct doctor_id from appointments
where filed_at is null and coalesce(ended_at, ends_at) < $1 and state not in ('pending', 'in_progress')
"""
