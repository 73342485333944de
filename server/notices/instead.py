"""What becomes of a notice that cannot arrive: it goes another way, if the person can be reached by one.

Invariants: another way is taken once, and only while nothing of the same cause has reached, or may yet reach, the
person. What would open an account goes where it was asked for, or nowhere.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from server.notices.rules import Channel
from server.store import Connection

NEXT: Final[Mapping[Channel, tuple[Channel, ...]]] = {
    "push": ("sms", "email"),
    "whatsapp": ("sms", "email"),
    "voice": ("sms", "email"),
    "sms": ("email",),
    "email": ("sms",),
}
"""Where a notice goes that failed for good, the first of these by which its person can be reached."""


async def go_another_way(conn: Connection, notice_id: int, channel: Channel, now: datetime) -> int | None:
    """Write the notice that goes instead of one that has just failed for good; answers its number, if there is one."""
    found: int | None = await conn.fetchval(INSTEAD, notice_id, list(NEXT.get(channel, ())), now)
    return found


INSTEAD = """
insert into notices (institution_id, kind, cause, person, channel, patient_id, appointment_id, language, facts,
    due_at, try_at, worthless_at, created_at, instead_of)
select f.institution_id, f.kind, f.cause, f.person, w.channel, f.patient_id, f.appointment_id, f.language, f.facts,
    $3, $3, f.worthless_at, $3, f.id
from notices f cross join unnest($2::text[]) with ordinality as w (channel, nth)
left join appointments a on a.id = f.appointment_id left join patients q on q.id = f.patient_id
join patients p on p.id = coalesce(a.patient_id, q.merged_into, q.id)
where f.id = $1 and f.state = 'failed' and f.recipient is null and f.kind <> 'sign-in-code'
    and (f.worthless_at is null or f.worthless_at > $3)
    and case w.channel when 'email' then p.email is not null else p.phone is not null end
    and not exists (
        select from notices o where o.cause = f.cause and o.person = f.person
            and (o.channel = w.channel or o.state in ('pending', 'sending', 'sent', 'delivered'))
    )
order by w.nth limit 1
on conflict on constraint notices_once do nothing
returning id
"""
