"""What becomes of a notice that cannot arrive: it goes another way, if the person can be reached by one.

Invariants: another way is taken only while nothing of the same cause has reached, or may yet reach, the person, and
never one that they said no to. What would open an account goes where it was asked for, or nowhere.
"""

from datetime import datetime

from server.notices import rules
from server.notices.telling import reader_of
from server.store import Connection


async def go_another_way(conn: Connection, notice_id: int, now: datetime) -> int | None:
    """Write the notice that goes instead of one that has just failed for good; answers its number, if there is one."""
    failed = await conn.fetchrow(FAILED_ONE, notice_id, now)
    if failed is None:
        return None
    reader = await reader_of(conn, failed["reader"], failed["doctor_id"], failed["location_id"])
    channel = rules.next_channel(failed["kind"], reader.reach, failed["tried"], reader.settings.channels)
    if channel is None:
        return None
    written: int | None = await conn.fetchval(INSTEAD, notice_id, channel, now)
    return written


# Only what goes wherever the patient's record says; whoever has one cause open, or told, needs no other.
FAILED_ONE = """
select f.kind, coalesce(a.patient_id, q.merged_into, q.id) as reader, a.doctor_id, a.location_id,
    array(select o.channel from notices o where o.cause = f.cause and o.person = f.person) as tried
from notices f join patients q on q.id = f.patient_id left join appointments a on a.id = f.appointment_id
where f.id = $1 and f.state = 'failed' and f.recipient is null and (f.worthless_at is null or f.worthless_at > $2)
    and not exists (
        select from notices o where o.cause = f.cause and o.person = f.person and o.channel <> 'app'
            and o.state in ('pending', 'sending', 'sent', 'delivered')
    )
"""
INSTEAD = """
insert into notices (institution_id, kind, cause, person, channel, patient_id, appointment_id, language, facts,
    due_at, try_at, worthless_at, created_at, instead_of)
select f.institution_id, f.kind, f.cause, f.person, $2, f.patient_id, f.appointment_id, f.language, f.facts,
    $3, $3, f.worthless_at, $3, f.id
from notices f where f.id = $1
on conflict on constraint notices_once do nothing
returning id
"""
