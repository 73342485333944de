"""What people on the waitlist are told: that freed time is held for them and until when, and that it is no more.

Invariants: written in the very transaction of the offer, with a link that answers that one offer by one tap. What was
answered, or has gone, is not told any more.
"""

from typing import Any

from server import events, waitlist
from server.notices.telling import reader, tell
from server.patients import phones
from server.store import Reactions, Tx


async def follow_made(tx: Tx, stream: "events.Stream[Any]", event: events.OfferMade) -> None:
    """Tell whoever is offered a time, with a link of the message's own."""
    row = await tx.conn.fetchrow(OFFERED, event.offer)
    assert row is not None
    to = await reader(tx, row["patient_id"], row["doctor_id"], row["location_id"])
    secret = await waitlist.new_link(tx, event.offer)
    cause = f"waitlist:{event.entry}/offer-{event.offer}"
    await tell(tx, to, "waitlist-offer", cause, _facts(row), until=row["expires_at"], secret=secret)


async def follow_lost(tx: Tx, stream: "events.Stream[Any]", event: events.OfferEvent) -> None:
    """The time went by without an answer, or is not there any more: say that they keep their place."""
    await follow_answered(tx, stream, event)
    row = await tx.conn.fetchrow(OFFERED, event.offer)
    assert row is not None
    to = await reader(tx, row["patient_id"], row["doctor_id"], row["location_id"])
    cause = f"waitlist:{event.entry}/ended-{event.offer}"
    await tell(tx, to, "waitlist-offer-ended", cause, _facts(row), until=row["starts_at"])


async def follow_answered(tx: Tx, stream: "events.Stream[Any]", event: events.OfferEvent) -> None:
    """What is answered need not be asked any more."""
    await tx.conn.execute(TAKE_BACK_OFFER, f"waitlist:{event.entry}/offer-{event.offer}", tx.now)


async def follow_left(tx: Tx, stream: "events.Stream[Any]", event: events.WaitlistLeft) -> None:
    """Whoever waits no more is asked nothing any more."""
    await tx.conn.execute(TAKE_BACK_ALL, f"waitlist:{event.entry}/offer-%", tx.now)


OFFERED = """
select w.patient_id, o.doctor_id, o.location_id, o.starts_at, o.ends_at, o.expires_at, o.mode, d.name as doctor,
    l.name as location, l.phone
from offers o join waitlist w on w.id = o.entry_id join doctors d on d.id = o.doctor_id
join locations l on l.id = o.location_id where o.id = $1
"""
TAKE_BACK_OFFER = """
update notices set state = case state when 'pending' then 'cancelled' else state end,
    secret = case state when 'pending' then null else secret end, worthless_at = $2
where cause = $1 and state in ('pending', 'sending')
"""
TAKE_BACK_ALL = """
update notices set state = case state when 'pending' then 'cancelled' else state end,
    secret = case state when 'pending' then null else secret end, worthless_at = $2
where cause like $1 and state in ('pending', 'sending')
"""


def _facts(row: Any) -> dict[str, Any]:
    """What notices say of an offer."""
    times = {"starts_at": row["starts_at"], "ends_at": row["ends_at"], "until_at": row["expires_at"]}
    return {
        **{name: row[name] for name in ("doctor", "location", "mode")},
        **{name: at.isoformat() for name, at in times.items()},
        "phone": phones.shown(row["phone"]) if row["phone"] else None,
    }


REACTIONS: Reactions = {
    # On the desk's stream: a patient without an account has none of their own.
    ("waitlist", events.OfferMade): [follow_made],
    ("waitlist", events.OfferExpired): [follow_lost],
    ("waitlist", events.OfferWithdrawn): [follow_lost],
    ("waitlist", events.OfferAccepted): [follow_answered],
    ("waitlist", events.OfferDeclined): [follow_answered],
    ("waitlist", events.WaitlistLeft): [follow_left],
}
