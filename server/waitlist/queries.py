"""What can be asked about the waitlist: one's own places, the line, one place with its story, demand, an offer's link.

Invariant: patients see their own places alone; doctors those who wait for them; those limited to locations, what is not
bound to another. A place in the line and a chance are figures of this moment: they are asked for, not told live.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from pydantic import Field

from server import errors, events
from server.access import ANYBODY, STAFF, Actor, Role
from server.asks import Ask, Id, Reply, decode_cursor, encode_cursor, wrong
from server.events import Mode, PatientWait, StaffWait, WaitState
from server.patients.records import SearchPatients, search_patients
from server.store import Connection, Query, Read
from server.waitlist import rules
from server.waitlist.commands import ByLink, OfEntry
from server.waitlist.line import MEANT, PLACE, Place, place_as, place_of, reasons_of
from server.waitlist.links import by_link

LOOK_BACK = timedelta(days=90)
"""So far back it is counted how many booked visits are given up."""
DEMAND_DAYS = 62


class Standing(Reply):
    """Where somebody stands among those who wait for any of the same doctors on any of the same days."""

    position: int
    chance: float = Field(description="How likely a time is offered to them, 0 to 1.")
    seats: int = Field(description="Booked seats that would suit them.")
    given_up: float = Field(description="The share of such bookings that are given up.")


async def standings(conn: Connection, entry_ids: Sequence[int], now: datetime) -> dict[int, Standing]:
    """The place and the chance of each of these."""
    found = {}
    for row in await conn.fetch(STANDINGS, list(entry_ids), now, now - LOOK_BACK):
        share = rules.given_up_share(row["booked"], row["given_up"])
        found[row["id"]] = Standing(
            position=row["ahead"] + 1,
            chance=round(rules.chance(row["seats"], share, row["ahead"]), 3),
            seats=row["seats"],
            given_up=round(share, 3),
        )
    return found


OTHER = MEANT.replace("w.", "o.")
STANDINGS = f"""
select w.id, (
    select count(*) from waitlist o
    where o.institution_id = w.institution_id and o.state in ('waiting', 'offered') and o.id <> w.id
        and (o.priority > w.priority or (o.priority = w.priority and (o.joined_at, o.id) < (w.joined_at, w.id)))
        and o.first_day <= w.last_day and o.last_day >= w.first_day
        and exists (select from doctors d where d.id = any(m.doctors) and {OTHER})
) as ahead, (
    select count(*) from slots s join seats x on x.slot_id = s.id and x.appointment_id is not null
    join locations l on l.id = s.location_id join institutions i on i.id = s.institution_id
    cross join lateral (select s.starts_at at time zone coalesce(l.zone, i.zone) as at) local
    where s.doctor_id = any(m.doctors) and s.starts_at > $2
        and s.starts_at > w.first_day::timestamptz - interval '1 day'
        and s.starts_at < w.last_day::timestamptz + interval '2 days'
        and local.at::date between w.first_day and w.last_day
        and (s.mode = 'both' or w.mode in ('both', s.mode))
        and coalesce(w.location_id, s.location_id) = s.location_id
        and (w.parts = '{{}}' or case when extract(hour from local.at) < 12 then 'morning'
            when extract(hour from local.at) < 17 then 'afternoon' else 'evening' end = any(w.parts))
) as seats, h.booked, h.given_up
from waitlist w cross join lateral (
    select array(
        select d.id from doctors d where d.institution_id = w.institution_id and d.active and {MEANT}
    ) as doctors
) m cross join lateral (
    select count(*) as booked, count(*) filter (
        where a.state in ('cancelled', 'rescheduled', 'rejected') and a.ended_at < a.starts_at
    ) as given_up
    from appointments a
    where a.doctor_id = any(m.doctors) and a.kind = 'scheduled' and a.starts_at > $3 and a.starts_at < $2
) h
where w.id = any($1::bigint[])
"""  # noqa: S608 (a constant)


class OwnWait(PatientWait):
    """What a patient waits for, with their place and chance."""

    standing: Standing


class OwnWaits(Reply):
    """What a patient waits for."""

    items: list[OwnWait]


class NoAsk(Ask):
    """Nothing to say."""


async def my_waits(view: Read, actor: Actor, ask: NoAsk) -> OwnWaits:
    """What the asker waits for, their place in each line, and how likely an offer is."""
    rows = await view.conn.fetch(OWN, actor.patient_id)
    places = [place_of(row) for row in rows]
    standing = await standings(view.conn, [one.id for one in places], view.now)
    return OwnWaits(items=[OwnWait(**dict(one.patient_row()), standing=standing[one.id]) for one in places])


OWN = PLACE + " where w.patient_id = $1 and w.state in ('waiting', 'offered') order by w.id"


# The line


class SearchWaitlist(Ask):
    """Who waits, narrowed by whatever is given."""

    institution_id: Id | None = Field(default=None, description="Needed only by those who belong to none.")
    doctor_id: Id | None = Field(default=None, description="Whoever could be seen by them.")
    specialty_id: Id | None = None
    visit_type_id: Id | None = None
    patient_id: Id | None = None
    text: str | None = Field(default=None, max_length=200, description="A patient's name, number or telephone.")
    day: date | None = Field(default=None, description="Who waits for this day.")
    least_priority: int | None = Field(default=None, ge=1, le=10, description="Who has this priority or a higher one.")
    states: list[WaitState] = Field(default=["waiting", "offered"], min_length=1, max_length=5)
    cursor: str | None = Field(default=None, max_length=200)
    limit: int = Field(default=50, ge=1, le=200)


class WaitListed(StaffWait):
    """Somebody on the waitlist, with their place among those who wait for the same; none once it has ended."""

    standing: Standing | None


class WaitsFound(Reply):
    """A page of the line, first to last; `next` is the cursor of the following page."""

    items: list[WaitListed]
    next: str | None


async def search_waitlist(view: Read, actor: Actor, ask: SearchWaitlist) -> WaitsFound:
    """The line, in its order. Raises `NotFound`, `NotAllowed`, `InvalidCursor`."""
    institution_id = await _institution(view, actor, ask.institution_id)
    doctor_id = _doctor_of(actor, ask.doctor_id)
    patients = [ask.patient_id] if ask.patient_id else None
    if ask.text and ask.text.strip():
        named = SearchPatients(q=ask.text.strip(), limit=50, institution_id=institution_id)
        found = [one.id for one in (await search_patients(view, actor, named)).items]
        patients = [one for one in found if ask.patient_id in (None, one)]
    after = decode_cursor("waitlist", ask.cursor, int, int, int) if ask.cursor else (-10, 0, 0)
    rows = await view.conn.fetch(
        FOUND,
        institution_id,
        ask.states,
        doctor_id,
        ask.specialty_id,
        ask.visit_type_id,
        patients,
        ask.day,
        sorted(actor.location_ids) or None,
        after[0],
        datetime.fromtimestamp(0, UTC) + timedelta(microseconds=after[1]),
        after[2],
        ask.limit + 1,
        ask.least_priority,
    )
    places = [place_of(row) for row in rows[: ask.limit]]
    standing = await standings(view.conn, [one.id for one in places if one.live], view.now)
    items = [WaitListed(**dict(one.row), standing=standing.get(one.id)) for one in places]
    return WaitsFound(items=items, next=_cursor(places[-1]) if len(rows) > ask.limit else None)


def _cursor(last: Place) -> str:
    micros = (last.row.joined_at - datetime.fromtimestamp(0, UTC)) // timedelta(microseconds=1)
    return encode_cursor("waitlist", -last.row.priority, micros, last.id)


FOUND = f"""
{PLACE} where w.institution_id = $1 and w.state = any($2::text[])
    and ($3::bigint is null or exists (
        select from doctors d where d.id = $3 and d.institution_id = w.institution_id and {MEANT}
    ))
    and ($4::bigint is null or w.specialty_id = $4) and ($5::bigint is null or w.visit_type_id = $5)
    and ($6::bigint[] is null or w.patient_id = any($6))
    and ($7::date is null or $7 between w.first_day and w.last_day)
    and ($8::bigint[] is null or w.location_id is null or w.location_id = any($8))
    and ($13::integer is null or w.priority >= $13)
    and (-w.priority, w.joined_at, w.id) > ($9::integer, $10::timestamptz, $11::bigint)
order by -w.priority, w.joined_at, w.id limit $12
"""


async def _institution(view: Read, actor: Actor, named: int | None) -> int:
    """The institution meant. Raises `NotFound`, and `InvalidRequest` where nobody can tell."""
    meant = named or actor.institution_id
    if meant is None:
        raise wrong(("/institution_id", "This field is needed: you belong to no one institution."))
    if not actor.within(meant) or not await view.conn.fetchval(THERE_IS, meant):
        raise errors.NotFound("There is no such institution here.")
    return meant


THERE_IS = "select true from institutions where id = $1"


def _doctor_of(actor: Actor, named: int | None) -> int | None:
    """Whose line is meant: for doctors their own. Raises `NotAllowed` for another's."""
    if actor.role is not Role.doctor:
        return named
    if named not in (None, actor.doctor_id):
        raise errors.NotAllowed("That is another doctor's waitlist.")
    return actor.doctor_id


# One place


class OfferTold(events.Fact):
    """A time that was offered: what became of it, and why it went to them."""

    offer: int
    doctor: int
    doctor_name: str
    starts_at: datetime
    state: str
    offered_at: datetime
    expires_at: datetime
    ended_at: datetime | None
    why: list[dict[str, Any]]


class WaitShown(WaitListed):
    """A place on the waitlist with its story."""

    appointment_id: int | None
    offers: list[OfferTold]


async def show_wait(view: Read, actor: Actor, ask: OfEntry) -> WaitShown:
    """One place on the waitlist, and every offer that came of it with its reasons. Raises `NotFound`, `NotAllowed`."""
    found = await place_as(view.conn, actor, ask.entry_id)
    standing = await standings(view.conn, [found.id], view.now)
    rows = await view.conn.fetch(STORY, found.id)
    names = [name for name in OfferTold.model_fields if name != "why"]
    told = [OfferTold(**{name: row[name] for name in names}, why=reasons_of(row)) for row in rows]
    return WaitShown(
        **dict(found.row),
        standing=standing.get(found.id) if found.live else None,
        appointment_id=found.appointment_id,
        offers=told,
    )


STORY = """
select o.id as offer, o.doctor_id as doctor, d.name as doctor_name, o.starts_at, o.state, o.offered_at, o.expires_at,
    o.ended_at, o.reasons
from offers o join doctors d on d.id = o.doctor_id where o.entry_id = $1 order by o.id
"""


# Demand


class Demand(Ask):
    """Which days, and whose."""

    institution_id: Id | None = None
    doctor_id: Id | None = None
    first_day: date
    last_day: date = Field(description="Within 62 days of the first.")


class DayWanted(events.Fact):
    """How many wait for a doctor's day; who waits for any of several days or doctors counts with each."""

    doctor: int
    day: date
    waiting: int
    urgent: int
    """Of them with a priority above the usual 5."""
    offered: int
    """Of them with an offer to answer."""


class Wanted(Reply):
    """Days that somebody waits for, by doctor and day."""

    items: list[DayWanted]


async def demand(view: Read, actor: Actor, ask: Demand) -> Wanted:
    """How many wait for each doctor and day. Raises `NotFound`, `NotAllowed`, `InvalidRequest`."""
    institution_id = await _institution(view, actor, ask.institution_id)
    if not 0 <= (ask.last_day - ask.first_day).days < DEMAND_DAYS:
        raise wrong(("/last_day", f"Should be within {DEMAND_DAYS} days of the first, and not before it."))
    doctor_id = _doctor_of(actor, ask.doctor_id)
    locations = sorted(actor.location_ids) or None
    rows = await view.conn.fetch(DEMAND, institution_id, doctor_id, ask.first_day, ask.last_day, locations)
    return Wanted(items=[DayWanted(**dict(row)) for row in rows])


DEMAND = f"""
select d.id as doctor, day.day::date as day, count(*) as waiting, count(*) filter (where w.priority > 5) as urgent,
    count(*) filter (where w.state = 'offered') as offered
from waitlist w join doctors d on d.institution_id = w.institution_id and d.active and {MEANT}
cross join lateral generate_series(
    greatest(w.first_day, $3::date)::timestamp, least(w.last_day, $4::date)::timestamp, interval '1 day'
) as day (day)
where w.institution_id = $1 and w.state in ('waiting', 'offered') and ($2::bigint is null or d.id = $2)
    and w.first_day <= $4 and w.last_day >= $3
    and ($5::bigint[] is null or w.location_id is null or w.location_id = any($5))
group by d.id, day.day order by day.day, d.id
"""  # noqa: S608 (a constant)


# By the link in a message


class OfferShown(Reply):
    """An offer as whoever has its link sees it: never whose it is."""

    offer_id: int
    state: str = Field(description="open, accepted, declined, expired or withdrawn.")
    institution_name: str
    doctor_name: str
    location_name: str
    zone: str
    mode: Mode
    starts_at: datetime
    ends_at: datetime
    expires_at: datetime
    at: datetime = Field(description="The clinic's clock as it answered: a telephone's own may be minutes off.")


async def offer_by_link(view: Read, actor: Actor, ask: ByLink) -> OfferShown:
    """What is offered, by the link in the message alone. Raises `NotFound`."""
    linked = await by_link(view.conn, ask.secret)
    row = await view.conn.fetchrow(OFFER_SHOWN, linked.offer_id)
    assert row is not None
    shown = {name: row[name] for name in OfferShown.model_fields if name != "at"}
    if row["state"] == "open" and row["expires_at"] <= view.now:
        shown["state"] = "expired"
    return OfferShown(**shown, at=view.now)


OFFER_SHOWN = """
select o.id as offer_id, o.state, i.name as institution_name, d.name as doctor_name, l.name as location_name,
    coalesce(l.zone, i.zone) as zone, o.mode, o.starts_at, o.ends_at, o.expires_at
from offers o join institutions i on i.id = o.institution_id join doctors d on d.id = o.doctor_id
join locations l on l.id = o.location_id where o.id = $1
"""

PATIENTS = frozenset({Role.patient})
QUERIES: list[Query[Any, Any]] = [
    Query("my-waits", my_waits, NoAsk, OwnWaits, PATIENTS, "GET /waitlist/mine"),
    Query(
        "search-waitlist",
        search_waitlist,
        SearchWaitlist,
        WaitsFound,
        STAFF,
        "POST /waitlist/search",
        patients=lambda reply: [one.patient.id for one in reply.items],
    ),
    Query(
        "show-wait",
        show_wait,
        OfEntry,
        WaitShown,
        STAFF,
        "GET /waitlist/{entry_id}",
        patients=lambda reply: [reply.patient.id],
    ),
    Query("waitlist-demand", demand, Demand, Wanted, STAFF, "GET /waitlist/demand"),
    Query("offer-by-link", offer_by_link, ByLink, OfferShown, ANYBODY, "POST /offers/by-link"),
]
