"""Reminders written anew: what an institution or a doctor wants of them now holds for what is booked already, too.

Invariants: a change of settings marks its level, and the mark goes only when every appointment of that level was looked
at since; whoever dies in the middle leaves it to the next, who finds the same. What was sent is not sent again.
"""

from datetime import datetime

from server import errors
from server.access import Actor
from server.asks import Ask, Id, Reply
from server.notices.following import remind_again
from server.notices.preferences import hold_patient
from server.store import Command, Pool, Tx

AT_ONCE = 20
"""Appointments of one transaction: their patients' other commands wait for it."""


class WriteAnew(Ask):
    """A level whose settings changed at an instant; of its appointments, those behind this one."""

    institution_id: Id
    doctor_id: Id | None = None
    changed_at: datetime
    behind: tuple[datetime, int] | None = None


class WrittenAnew(Reply):
    """When the last appointment that was looked at begins, and its id; none when there are no more."""

    last: tuple[datetime, int] | None


async def write_anew(tx: Tx, actor: Actor, ask: WriteAnew) -> WrittenAnew:
    """Write the reminders of a level's next appointments by what is wanted now; the system's.

    Raises `NotFound` where another has done it.
    """
    level = ask.institution_id, ask.doctor_id
    if not await tx.conn.fetchval(STILL, *level, ask.changed_at):
        raise errors.NotFound("These settings have not changed since.")
    tx.institution_id = ask.institution_id
    starts_at, id_ = ask.behind or (tx.now, 0)
    rows = await tx.conn.fetch(NEXT, *level, starts_at, id_, AT_ONCE)
    for patient in sorted({row["patient_id"] for row in rows}):
        await hold_patient(tx.conn, patient)
        await remind_again(tx, patient)
    if len(rows) < AT_ONCE:
        await tx.conn.execute(DONE, *level, ask.changed_at)
        return WrittenAnew(last=None)
    return WrittenAnew(last=(rows[-1]["starts_at"], rows[-1]["id"]))


STILL = """
select true from notice_settings
where institution_id = $1 and doctor_id is not distinct from $2 and patient_id is null and changed_at = $3
"""
NEXT = """
select id, starts_at, patient_id from appointments
where institution_id = $1 and ($2::bigint is null or doctor_id = $2) and kind = 'scheduled' and state = 'confirmed'
    and (starts_at, id) > ($3, $4)
order by starts_at, id limit $5
"""
DONE = """
update notice_settings set changed_at = null
where institution_id = $1 and doctor_id is not distinct from $2 and patient_id is null and changed_at = $3
"""


async def changed_levels(pool: Pool) -> list[WriteAnew]:
    """Every level whose reminders are to be written anew, from its first appointment on."""
    return [WriteAnew.model_validate(dict(row)) for row in await pool.fetch(CHANGED)]


CHANGED = """
select institution_id, doctor_id, changed_at from notice_settings where changed_at is not null order by changed_at
"""

WRITE_ANEW: Command[WriteAnew, WrittenAnew] = Command(
    "write-reminders-anew", write_anew, WriteAnew, WrittenAnew, frozenset(), ""
)
