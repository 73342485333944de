"""What is forgotten of tickets that are long over: why somebody came, what they needed, and what was said about it.

Invariant: that somebody waited, from when to when, under which token and in which order stays; figures are the same
afterwards.
"""

from collections.abc import Sequence
from datetime import datetime

from server.store import Connection

GONE = """
    reason = null, requirements = '{}', secret_hash = null, order_reasons = '[]', score = null, undo = null
"""
"""What of a ticket is forgotten, by its age as well as with its patient."""


async def forget_tickets(conn: Connection, institution_id: int, before: datetime, now: datetime, limit: int) -> int:
    """Forget what was written down about an institution's oldest ended tickets; answers of how many."""
    rows = await conn.fetch(FORGET, institution_id, before, now, limit)
    await conn.execute(FORGET_DECISIONS, [row["id"] for row in rows])
    return len(rows)


FORGET = f"""
update tickets set {GONE}, forgotten_at = $3
where id in (
    select id from tickets
    where institution_id = $1 and ended_at is not null and forgotten_at is null and ended_at < $2
        and state in ('completed', 'no_show', 'transferred', 'cancelled')
    order by ended_at limit $4
    for update skip locked
)
returning id
"""  # noqa: S608 (a constant)


async def forget_of_patients(conn: Connection, patients: Sequence[int], now: datetime) -> None:
    """The same of all tickets of these patients that are over."""
    rows = await conn.fetch(FORGET_OF_PATIENTS, list(patients), now)
    await conn.execute(FORGET_DECISIONS, [row["id"] for row in rows])


FORGET_OF_PATIENTS = f"""
update tickets set {GONE}, forgotten_at = $2
where patient_id = any($1::bigint[]) and forgotten_at is null
    and state in ('completed', 'no_show', 'transferred', 'cancelled')
returning id
"""  # noqa: S608 (a constant)
FORGET_DECISIONS = """
update decisions set reason = null, facts = '{}'
where ticket_id = any($1::bigint[]) and (reason is not null or facts <> '{}')
"""
