"""What is forgotten of appointments that are long over: what patients wrote and what was written about them.

Invariant: that there was a visit, when, where, with whom and how it ended stays; figures are the same afterwards.
"""

from collections.abc import Sequence
from datetime import datetime

from server.store import Connection

GONE = """
    reason = null, symptoms = null, requirements = '{}', insurance = null, answer_reason = null,
    cancel_reason = null, undo = null
"""
"""What of an appointment is forgotten, by its age as well as with its patient."""


async def forget_visits(conn: Connection, institution_id: int, before: datetime, now: datetime, limit: int) -> int:
    """Forget what was written down about an institution's oldest filed appointments; answers of how many."""
    rows = await conn.fetch(FORGET, institution_id, before, now, limit)
    await conn.execute(FORGET_NOTES, [row["id"] for row in rows])
    return len(rows)


FORGET = f"""
update appointments set {GONE}, forgotten_at = $3
where id in (
    select id from appointments
    where institution_id = $1 and filed_at is not null and forgotten_at is null and starts_at < $2
        and coalesce(ended_at, ends_at, starts_at) < $2
    order by starts_at limit $4
    for update skip locked
)
returning id
"""  # noqa: S608 (a constant)


async def forget_of_patients(conn: Connection, patients: Sequence[int], now: datetime) -> None:
    """The same of all appointments of these patients."""
    rows = await conn.fetch(FORGET_OF_PATIENTS, list(patients), now)
    await conn.execute(FORGET_NOTES, [row["id"] for row in rows])


FORGET_OF_PATIENTS = f"""
update appointments set {GONE}, forgotten_at = $2
where patient_id = any($1::bigint[]) and forgotten_at is null
returning id
"""  # noqa: S608 (a constant)
FORGET_NOTES = "delete from appointment_notes where appointment_id = any($1::bigint[])"
