"""The notices of two records that become one.

Invariant: what was told to one record is not told again to the other.
"""

from typing import Any

from server import events
from server.notices.inapp import notice_row
from server.store import Reactions, Tx


async def follow_patient(tx: Tx, stream: events.Stream[Any], event: events.PatientsMerged) -> None:
    """A merged patient's notices are those of the record that stays."""
    await tx.conn.execute(MOVE_NOTICES, event.gone, event.into, f"patient:{event.gone}", f"patient:{event.into}")
    for statement in (MOVE_PREFERENCES, MOVE_SETTINGS, MOVE_FEEDBACK):
        await tx.conn.execute(statement, event.gone, event.into)
    await _move_shown(tx, event)
    await tx.conn.execute(MOVE_BROWSERS, event.gone, event.into, f"patient:{event.into}")


# A notice of one cause and channel that both had stays where it is: to the person it was said once.
MOVE_NOTICES = """
update notices n set patient_id = $2, person = case when n.person = $3 then $4 else n.person end
where n.patient_id = $1 and not exists (
    select from notices o where o.cause = n.cause and o.channel = n.channel and o.person = $4
)
"""
MOVE_BROWSERS = "update push_subscriptions set patient_id = $2, person = $3 where patient_id = $1"

# Of what both said, what the record that stays has said holds; but who said no to something has said no.
MOVE_PREFERENCES = """
with gone as (
    delete from preferences where patient_id = $1 returning kind, channel, allowed, source, actor, at
)
insert into preferences (patient_id, kind, channel, allowed, source, actor, at)
select $2, kind, channel, allowed, source, actor, at from gone
on conflict (patient_id, kind, channel) do update set allowed = preferences.allowed and excluded.allowed
"""
MOVE_SETTINGS = """
update notice_settings s set patient_id = $2 where s.patient_id = $1
    and not exists (select from notice_settings o where o.patient_id = $2)
"""
MOVE_FEEDBACK = "update feedback set patient_id = $2 where patient_id = $1"


async def _move_shown(tx: Tx, event: events.PatientsMerged) -> None:
    """What one record has not seen is shown to the other."""
    rows = await tx.conn.fetch(MOVE_SHOWN, event.gone, event.into)
    shown = sorted((notice_row(row) for row in rows if row["seen_at"] is None), key=lambda one: one.notice)
    if shown:
        ids = [one.notice for one in shown]
        tx.append(events.patient(event.gone), events.NoticesSeen(notices=ids), drop=[one.key for one in shown])
        tx.append(events.patient(event.into), events.NoticeTold(notice=ids[-1]), put=shown)


MOVE_SHOWN = """
update app_notices set patient_id = $2 where patient_id = $1
returning notice_id as notice, kind, title, body, link as opens, at, seen_at
"""

REACTIONS: Reactions = {("admin", events.PatientsMerged): [follow_patient]}
