"""What is forgotten of waits that ended long ago: why somebody went before others, and why an offer was theirs.

Invariant: that somebody waited, for what and when, what they were offered and how it ended stays; so does the demand.
"""

from collections.abc import Sequence
from datetime import datetime

from server.store import Connection


async def forget_waits(conn: Connection, institution_id: int, before: datetime, limit: int) -> int:
    """Forget what was written down about an institution's oldest waits that are over; answers of how many."""
    rows = await conn.fetch(FORGET, institution_id, before, limit)
    await _forget_offers(conn, [row["id"] for row in rows])
    return len(rows)


FORGET = """
update waitlist set priority_reason = null, forgotten = true
where id in (
    select id from waitlist
    where institution_id = $1 and ended_at < $2 and not forgotten order by ended_at limit $3 for update skip locked
)
returning id
"""


async def forget_of_patients(conn: Connection, patients: Sequence[int]) -> None:
    """The same of all that these patients waited for."""
    rows = await conn.fetch(FORGET_OF_PATIENTS, list(patients))
    await _forget_offers(conn, [row["id"] for row in rows])


FORGET_OF_PATIENTS = """
update waitlist set priority_reason = null, forgotten = true
where patient_id = any($1::bigint[]) and ended_at is not null and not forgotten returning id
"""


async def _forget_offers(conn: Connection, entries: Sequence[int]) -> None:
    """Forget why these were offered what they were, and the links that answered it."""
    await conn.execute(FORGET_OFFERS, list(entries))


# The reasons name whoever was before them, by their place in the line.
FORGET_OFFERS = "update offers set reasons = '[]', secret_hash = null where entry_id = any($1::bigint[])"
