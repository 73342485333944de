"""What is forgotten of messages that were sent long ago: to which address, and what they said.

Invariant: that a message of some kind went out over some channel, when, and whether it arrived stays.
"""

from collections.abc import Sequence
from datetime import datetime

from server.store import Connection


async def forget_notices(conn: Connection, institution_id: int, before: datetime, limit: int) -> int:
    """Forget address and content of an institution's oldest messages that are done with; answers of how many."""
    rows = await conn.fetch(FORGET, institution_id, before, limit)
    await _forget_copies(conn, [row["id"] for row in rows])
    return len(rows)


FORGET = """
update notices set recipient = null, facts = '{}', provider_id = null
where id in (
    select id from notices
    where institution_id = $1 and created_at < $2 and state not in ('pending', 'sending')
        and (recipient is not null or facts <> '{}')
    order by created_at limit $3
    for update skip locked
)
returning id
"""


async def forget_of_patients(conn: Connection, patients: Sequence[int]) -> None:
    """The same of all that these patients were sent, and whatever else is known of how they want to be reached."""
    rows = await conn.fetch(FORGET_OF_PATIENTS, list(patients))
    await _forget_copies(conn, [row["id"] for row in rows])
    for statement in (FORGET_BROWSERS, FORGET_PREFERENCES, FORGET_SETTINGS):
        await conn.execute(statement, list(patients))


FORGET_OF_PATIENTS = """
update notices set recipient = null, facts = '{}', provider_id = null, secret = null,
    state = case when state in ('pending', 'sending') then 'cancelled' else state end
where patient_id = any($1::bigint[])
returning id
"""
FORGET_BROWSERS = "delete from push_subscriptions where patient_id = any($1::bigint[])"
FORGET_PREFERENCES = "delete from preferences where patient_id = any($1::bigint[])"
FORGET_SETTINGS = "delete from notice_settings where patient_id = any($1::bigint[])"


async def _forget_copies(conn: Connection, notices: Sequence[int]) -> None:
    """Forget what these messages looked like, in the mailbox and in the app."""
    await conn.execute(FORGET_MAILBOX, list(notices))
    await conn.execute(FORGET_IN_APP, list(notices))


FORGET_MAILBOX = "delete from mailbox where notice_id = any($1::bigint[])"
FORGET_IN_APP = "delete from app_notices where notice_id = any($1::bigint[])"
