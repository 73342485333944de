"""What people who wait are told: that they are next, that they are called, that it takes longer than they were told.

Invariants: each is told once per ticket, call or growth, whatever is carried out again. Whoever cannot be reached
outside the waiting room costs a look and nothing more.
"""

from datetime import datetime, timedelta
from typing import Any

from server import events
from server.notices.telling import reader, tell
from server.settings import NoticeSettings
from server.store import Reactions, Tx

CALL_LASTS = timedelta(minutes=10)
"""After so long a call, or the news that one is next, tells nothing new."""


async def follow_called(tx: Tx, stream: "events.Stream[Any]", event: Any) -> None:
    """Tell whoever is called where to go, and whoever waits first that they are next."""
    for row in await tx.conn.fetch(CALLED_AND_NEXT, stream.id, event.ticket):
        if row["id"] == event.ticket:
            await tx.conn.execute(TAKE_BACK_NEXT, f"ticket:{row['id']}/next")
            await _tell(tx, row, "you-are-called", f"called-{event.number}", desk=event.desk)
        else:
            await _tell(tx, row, "you-are-next", "next")


async def follow_turn(tx: Tx, stream: "events.Stream[Any]", event: events.TicketEvent) -> None:
    """Somebody left the line or changed their place: tell whoever waits first now."""
    for row in await tx.conn.fetch(CALLED_AND_NEXT, stream.id, event.ticket):
        if row["state"] == "waiting" and row["id"] != event.ticket:
            await _tell(tx, row, "you-are-next", "next")


async def _tell(tx: Tx, row: Any, kind: Any, cause: str, **facts: Any) -> None:
    to = await reader(tx, row["patient_id"], None, row["location_id"])
    facts |= {"token": row["token"], "location": row["location"]}
    await tell(tx, to, kind, f"ticket:{row['id']}/{cause}", facts, until=tx.now + CALL_LASTS)


# Whoever a push, an account or the wish for messages reaches; everybody else has the boards.
CALLED_AND_NEXT = """
select t.id, t.state, t.patient_id, t.token, q.location_id, l.name as location
from tickets t join queues q on q.id = t.queue_id join locations l on l.id = q.location_id
join patients p on p.id = t.patient_id
where (
    t.id = $2
    or t.id = (select w.id from tickets w where w.queue_id = $1 and w.state = 'waiting' order by w.rank limit 1)
) and (
    (p.phone is not null and p.channels && '{sms,whatsapp,voice}')
    or exists (select from push_subscriptions s where s.person = 'patient:' || p.id)
    or exists (select from users u where u.patient_id = p.id)
    or exists (select from preferences c where c.patient_id = p.id and c.allowed)
)
"""
TAKE_BACK_NEXT = "update notices set state = 'cancelled' where cause = $1 and state = 'pending'"


async def follow_waits(tx: Tx, stream: "events.Stream[Any]", event: events.QueueUpdated) -> None:
    """Tell those whose turn has moved away by more than the setting from when they were last told to expect it."""
    threshold = NoticeSettings().wait_grown_minutes
    for row in await tx.conn.fetch(GROWN, stream.id, threshold):
        growths = await tx.conn.fetchval(PROMISE, row["id"], row["expected_at"])
        least, most = (_minutes(tx.now, row[name]) for name in ("expected_at", "latest_at"))
        until = row["expected_at"]
        to = await reader(tx, row["patient_id"], None, row["location_id"])
        facts = {"token": row["token"], "location": row["location"], "least": least, "most": max(least, most)}
        await tell(tx, to, "wait-grown", f"ticket:{row['id']}/grown-{growths}", facts, until=until)


def _minutes(now: datetime, at: datetime) -> int:
    """Until then, in steps of five minutes: nobody knows it better."""
    return max(5, 5 * round((at - now).total_seconds() / 300))


# The first look at somebody is what they count on from then on.
GROWN = """
with places as (
    select t.id, t.patient_id, t.token, row_number() over (order by t.rank) as place
    from tickets t where t.queue_id = $1 and t.state = 'waiting' order by t.rank limit 50
), expected as (
    select p.id, p.patient_id, p.token, q.location_id, q.institution_id,
        q.waits_at + make_interval(secs => (q.waits -> (p.place::integer - 1) ->> 0)::double precision) as expected_at,
        q.waits_at + make_interval(secs => (q.waits -> (p.place::integer - 1) ->> 1)::double precision) as latest_at
    from places p join queues q on q.id = $1 where jsonb_array_length(q.waits) >= p.place
), promised as (
    insert into wait_promises (ticket_id, expected_at) select e.id, e.expected_at from expected e
    on conflict (ticket_id) do nothing
)
select e.id, e.patient_id, e.token, e.location_id, e.expected_at, e.latest_at, l.name as location
from expected e join wait_promises w on w.ticket_id = e.id join patients p on p.id = e.patient_id
join locations l on l.id = e.location_id
left join notice_settings s
    on s.institution_id = e.institution_id and s.doctor_id is null and s.patient_id is null
where e.expected_at > w.expected_at
        + make_interval(mins => coalesce((s.settings ->> 'wait_grown_minutes')::integer, $2))
    and (
        (p.phone is not null and p.channels && '{sms,whatsapp,voice}')
        or exists (select from push_subscriptions b where b.person = 'patient:' || p.id)
        or exists (select from users u where u.patient_id = p.id)
        or exists (select from preferences c where c.patient_id = p.id and c.allowed)
    )
order by e.id
"""
PROMISE = """
update wait_promises set expected_at = $2, growths = growths + 1 where ticket_id = $1 returning growths
"""

REACTIONS: Reactions = {
    ("board", events.PatientCalled): [follow_called],
    ("board", events.PatientRecalled): [follow_called],
    ("board", events.TicketCancelled): [follow_turn],
    ("board", events.TicketHeld): [follow_turn],
    ("board", events.TicketTransferred): [follow_turn],
    ("board", events.TicketPrioritized): [follow_turn],
    ("board", events.QueueUpdated): [follow_waits],
}
