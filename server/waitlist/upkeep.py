"""What the worker does for the waitlist by the clock: offers expire, marked places are looked for, past waits end.

Invariant: each run does whatever is due by then, each piece in a transaction of its own, so a run can be killed, come
twice, late, or on several workers at once.
"""

from server import due, logs
from server.store import Store
from server.waitlist.commands import END_WAIT, EXPIRE, LOOK_ANEW, OfEntry, OfOffer

log = logs.get(__name__)


async def expire_offers(store: Store) -> int:
    """End every offer whose time has run out, the first to run out first; answers how many."""
    offers = [OfOffer(offer_id=row["id"]) for row in await store.pool.fetch(OFFERS_DUE, store.now())]
    return await due.carry_out(store, EXPIRE, offers, log.info, "offer-not-expired")


OFFERS_DUE = "select id from offers where state = 'open' and expires_at <= $1 order by expires_at, id limit 500"


async def look_for_marked(store: Store) -> int:
    """Look for those to whom something may have become free where nobody could tell; answers how many got an offer."""
    entries = [OfEntry(entry_id=row["id"]) for row in await store.pool.fetch(MARKED, store.now())]
    looked_for = due.carried_out(store, LOOK_ANEW, entries, log.info, "wait-not-looked-for")
    return sum([found.state == "offered" async for _, found in looked_for])


MARKED = """
select id from waitlist where look_at <= $1 and state = 'waiting' order by priority desc, joined_at, id limit 500
"""


async def end_waits(store: Store) -> int:
    """End the waits whose days are over everywhere; answers how many."""
    entries = [OfEntry(entry_id=row["id"]) for row in await store.pool.fetch(WAITS_OVER, store.now())]
    return await due.carry_out(store, END_WAIT, entries, log.info, "wait-not-ended")


WAITS_OVER = """
select w.id from waitlist w join institutions i on i.id = w.institution_id
where w.state = 'waiting' and w.last_day < ($1::timestamptz at time zone i.zone)::date - 1 order by w.id limit 500
"""
