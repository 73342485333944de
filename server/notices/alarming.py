"""Emergencies as doctors are told of them who look at no page just now, and admins once nobody has answered.

Invariant: nothing in it says who needs help or why: that stands on the page, for those who have signed in.
"""

from datetime import timedelta
from typing import Any

from server import events
from server.notices.rules import Channel
from server.notices.writing import Wanted, write
from server.store import Reactions, Tx

LASTS = timedelta(minutes=15)


async def follow_alert(tx: Tx, stream: "events.Stream[Any]", event: events.EmergencyAlert) -> None:
    """Tell whom this stream is for, by push and by mail: a doctor, or everybody who administers the institution."""
    doctor_id, institution_id = (stream.id, None) if stream.kind == "doctor" else (None, stream.id)
    emergency = await tx.conn.fetchrow(EMERGENCY, event.emergency)
    assert emergency is not None
    users = await tx.conn.fetch(USERS, doctor_id, institution_id)
    await write(tx, [_wanted(tx, emergency, event, user, channel) for user in users for channel in _channels(user)])


def _channels(user: Any) -> list[Channel]:
    return ["push", "email"] if user["pushed"] else ["email"]


def _wanted(tx: Tx, emergency: Any, event: events.EmergencyAlert, user: Any, channel: Channel) -> Wanted:
    return Wanted(
        kind="emergency-alert",
        cause=f"emergency:{event.emergency}/{event.level}",
        person=f"user:{user['id']}",
        channel=channel,
        due_at=tx.now,
        institution_id=emergency["institution_id"],
        recipient=user["email"],
        facts={"institution": emergency["institution"], "location": emergency["location"]},
        worthless_at=tx.now + LASTS,
    )


EMERGENCY = """
select e.institution_id, i.name as institution, l.name as location
from emergencies e join institutions i on i.id = e.institution_id join locations l on l.id = e.location_id
where e.id = $1
"""
USERS = """
select u.id, u.email, exists (select from push_subscriptions s where s.person = 'user:' || u.id) as pushed
from users u
where u.active and u.email is not null
    and (u.doctor_id = $1 or (u.role = 'admin' and u.institution_id = $2)) order by u.id
"""


async def follow_answer(tx: Tx, stream: "events.Stream[Any]", event: events.EmergencyEvent) -> None:
    """Somebody is on the way, or it is over: nobody else needs to hear of it."""
    causes = [f"emergency:{event.emergency}/{level}" for level in range(3)]
    await tx.conn.execute(TAKE_BACK_ALERT, causes)


TAKE_BACK_ALERT = "update notices set state = 'cancelled' where cause = any($1::text[]) and state = 'pending'"

REACTIONS: Reactions = {
    ("doctor", events.EmergencyAlert): [follow_alert],
    ("admin", events.EmergencyAlert): [follow_alert],
    ("doctor", events.EmergencyAcknowledged): [follow_answer],
    ("doctor", events.EmergencyEnded): [follow_answer],
}
