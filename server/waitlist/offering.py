"""Freed time goes to whoever waits for it, in the transaction that frees it; and on to the next, if they let it go.

Invariants:
- No seat is free that somebody waits for whom it suits: whoever frees a seat holds the gate of its doctor's slots, and
  whoever begins to wait holds those of all doctors whom they wait for; each looks for the other before it ends.
- An offer holds its seats as a booking would, by the same rows, so nobody else can have them; and one wish has one.
- Where the gates are not held (a patient's other appointment went, a lock ended, a doctor's terms changed), those whom
  it may concern are marked, and the worker looks for them within a second.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import orjson

from server import events, slots
from server.appointments import seats
from server.queue.line import dumps
from server.settings import effective_booking
from server.slots.rules import Time
from server.store import Connection, Reactions, Tx
from server.waitlist import rules
from server.waitlist.line import MEANT, Place, doctors_meant, hold_line, note, place, tell
from server.waitlist.rules import Free, Match, Past, Wish

AROUND = timedelta(hours=12)
"""So far from a freed slot its neighbours in a longer visit are looked for."""
DAY = timedelta(days=1)
"""So far the local day of any zone may be from that of UTC, at the most."""
LOOK_AGAIN = timedelta(seconds=1)
"""After so long, time is looked at again that somebody had locked."""
RECORDED = 20
"""How many of those ahead an offer's reasons name."""


@dataclass(frozen=True, slots=True)
class Window:
    """Time of some doctors of an institution, whose slots' gates are held."""

    institution_id: int
    doctors: Sequence[int]
    begins: datetime
    ends: datetime


async def serve(tx: Tx, window: Window) -> None:
    """Offer what is free in this window to those whom it suits, in the order of the line."""
    doctors = await _doctors(tx.conn, window)
    free = await _free(tx, window, list(doctors)) if doctors else {}
    if not free or not _any_suits(await _wishes(tx.conn, window), doctors, free, tx.now):
        return
    await hold_line(tx, window.institution_id)
    wishes = await _wishes(tx.conn, window)
    pasts = await _pasts(tx.conn, wishes, window)
    found = rules.match(wishes, doctors, free, pasts, tx.now)
    if found.locked:
        await tx.conn.execute(LOOK_AT, found.locked, tx.now + LOOK_AGAIN)
    for one in found.matches:
        await _offer(tx, one, doctors[one.span.doctor].offer_minutes)


LOOK_AT = "update waitlist set look_at = $2 where id = any($1::bigint[]) and state = 'waiting'"


def _any_suits(
    wishes: Sequence[Wish], doctors: Mapping[int, rules.Server], free: Mapping[int, Sequence[Free]], now: datetime
) -> bool:
    """Whether anything is to be offered at all, so that the line is held for nothing as seldom as can be."""
    room = rules.Room(free)
    return any(next(rules.suiting(wish, doctors, room, now), None) is not None for wish in wishes)


async def _doctors(conn: Connection, window: Window) -> dict[int, rules.Server]:
    """Those of the doctors who keep a waitlist, and their terms."""
    found = {}
    for row in await conn.fetch(SERVERS, list(window.doctors)):
        settings = effective_booking(orjson.loads(row["of_institution"]), orjson.loads(row["of_doctor"]))
        if settings.waitlist:
            found[row["id"]] = rules.Server(
                row["id"],
                row["specialty_id"],
                frozenset(row["visit_types"]),
                settings.offer_minutes,
                settings.min_notice_minutes,
            )
    return found


SERVERS = """
select d.id, d.specialty_id, i.booking::text as of_institution, d.booking::text as of_doctor,
    array(select t.visit_type_id from doctor_visit_types t where t.doctor_id = d.id) as visit_types
from doctors d join institutions i on i.id = d.institution_id where d.id = any($1::bigint[]) and d.active
"""


async def _free(tx: Tx, window: Window, doctors: list[int]) -> dict[int, list[Free]]:
    """The slots that have seats left, each doctor's in order of time; what is locked of them is known from Redis."""
    after = max(window.begins, tx.now)
    rows = await tx.conn.fetch(FREE_SLOTS, doctors, after, window.ends)
    if not rows:
        return {}
    known = tx.locks if isinstance(tx.locks, slots.Locks) else None
    shown = await known.shown(sorted({row["doctor_id"] for row in rows})) if known else {}
    free: dict[int, list[Free]] = {}
    for row in rows:
        doctor = row["doctor_id"]
        locked = len(shown[doctor].slots.get(row["id"], ())) if doctor in shown else 0
        free.setdefault(doctor, []).append(Free(Time.of(row), ZoneInfo(row["zone"]), row["next_id"], locked))
    return free


FREE_SLOTS = """
select s.id, s.doctor_id, s.location_id, s.starts_at, s.ends_at, s.mode, s.open, false as blocked,
    s.capacity - s.taken as left, coalesce(l.zone, i.zone) as zone, (
        select n.id from slots n where n.doctor_id = s.doctor_id and n.starts_at > s.starts_at
        order by n.starts_at limit 1
    ) as next_id
from slots s join locations l on l.id = s.location_id join institutions i on i.id = s.institution_id
where s.doctor_id = any($1::bigint[]) and s.open and s.block_id is null and s.taken < s.capacity
    and s.starts_at > $2 and s.starts_at < $3
order by s.doctor_id, s.starts_at
"""


async def _wishes(conn: Connection, window: Window) -> list[Wish]:
    """Who waits for any of these doctors on these days, in the order of the line."""
    rows = await conn.fetch(WISHES, window.institution_id, list(window.doctors), window.begins - DAY, window.ends + DAY)
    return [wish_of(row) for row in rows]


WISHES = f"""
select w.id, w.patient_id, w.doctor_id, w.specialty_id, w.visit_type_id, w.location_id, w.mode, w.first_day,
    w.last_day, w.parts, w.priority, w.joined_at, coalesce(v.minutes, 0) as minutes,
    coalesce(v.mode, 'both') as visit_mode
from waitlist w left join visit_types v on v.id = w.visit_type_id
where w.institution_id = $1 and w.state = 'waiting' and w.first_day <= $4::timestamptz::date
    and w.last_day >= $3::timestamptz::date
    and exists (select from doctors d where d.id = any($2::bigint[]) and d.institution_id = $1 and {MEANT})
order by w.priority desc, w.joined_at, w.id
"""  # noqa: S608 (a constant)


def wish_of(row: Any) -> Wish:
    """A wish, of a row with these columns."""
    return Wish(
        row["id"],
        row["patient_id"],
        row["doctor_id"],
        row["specialty_id"],
        row["visit_type_id"],
        row["location_id"],
        row["mode"],
        row["visit_mode"],
        row["minutes"],
        row["first_day"],
        row["last_day"],
        frozenset(row["parts"]),
        row["priority"],
        row["joined_at"],
    )


async def _pasts(conn: Connection, wishes: Sequence[Wish], window: Window) -> dict[int, Past]:
    """Where these are in that time, and what they have let pass or given up since they wait."""
    rows = await conn.fetch(PASTS, [one.entry for one in wishes], window.begins - AROUND, window.ends + AROUND)
    return {
        row["id"]: Past(
            list(zip(row["busy_from"], row["busy_to"], strict=True)),
            frozenset(row["passed"]),
            frozenset(zip(row["gave_up_doctor"], row["gave_up_at"], strict=True)),
        )
        for row in rows
    }


PASTS = """
select w.id, coalesce(b.begins, '{}') as busy_from, coalesce(b.ends, '{}') as busy_to,
    array(select unnest(o.slot_ids) from offers o where o.entry_id = w.id
        and o.state in ('declined', 'expired', 'accepted')) as passed,
    coalesce(g.doctors, '{}') as gave_up_doctor, coalesce(g.begins, '{}') as gave_up_at
from waitlist w cross join lateral (
    select array_agg(x.starts_at) as begins, array_agg(x.ends_at) as ends from (
        select a.starts_at, a.ends_at from appointments a
        where a.patient_id = w.patient_id and a.kind = 'scheduled' and not a.insisted
            and a.state in ('pending', 'confirmed', 'checked_in', 'in_progress')
            and a.starts_at < $3 and a.starts_at > $2::timestamptz - interval '12 hours'
        union all
        select o.starts_at, o.ends_at from offers o join waitlist e on e.id = o.entry_id
        where e.patient_id = w.patient_id and o.state = 'open'
    ) x
) b cross join lateral (
    select array_agg(a.doctor_id) as doctors, array_agg(a.starts_at) as begins from appointments a
    where a.patient_id = w.patient_id and a.doctor_id is not null and a.starts_at < $3 and a.starts_at > $2
        and a.ended_at > w.joined_at and (a.state = 'rescheduled' or (a.state = 'cancelled' and a.cancelled_by = 'patient'))
) g
where w.id = any($1::bigint[])
"""  # noqa: E501


# Making an offer, and ending it


async def _offer(tx: Tx, one: Match, minutes: int) -> None:
    """Hold the time for whoever it goes to, and tell them. The line is held."""
    before = await place(tx.conn, one.wish.entry)
    first = one.span.slots[0].time
    expires_at = rules.expires_at(tx.now, one.span.starts_at, minutes)
    offer_id = await tx.conn.fetchval(
        ADD_OFFER,
        before.institution_id,
        before.id,
        one.span.doctor,
        first.location_id,
        one.span.slot_ids,
        one.mode,
        one.span.starts_at,
        one.span.ends_at,
        tx.now,
        expires_at,
        dumps(_reasons(one)),
    )
    await tx.conn.execute(OFFERED, before.id)
    await seats.hold_seats(tx, offer_id, one.span.slot_ids)
    after = await place(tx.conn, before.id)
    note(tx, before, after)
    tell(tx, after, events.OfferMade(entry=after.id, offer=offer_id))


def _reasons(one: Match) -> list[dict[str, Any]]:
    """Why it goes to them: their priority, since when they wait, and who was before them and did not get it."""
    ahead = [{"code": why, "entry": entry} for entry, why in one.ahead[:RECORDED]]
    return [
        {"code": "priority", "priority": one.wish.priority},
        {"code": "waits-since", "at": one.wish.joined_at.isoformat()},
        *ahead,
    ]


ADD_OFFER = """
insert into offers (institution_id, entry_id, doctor_id, location_id, slot_ids, mode, starts_at, ends_at, offered_at,
    expires_at, reasons)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) returning id
"""
OFFERED = "update waitlist set state = 'offered', look_at = null where id = $1"


async def end_offer(tx: Tx, before: Place, state: str, event: type[events.OfferEvent]) -> Place:
    """Give the seats of an open offer back; its holder waits on. The line, and the gates of its doctor, are held."""
    assert before.row.offer is not None
    offer_id = before.row.offer.offer
    await tx.conn.execute(END_OFFER, offer_id, state, tx.now)
    await tx.conn.execute(WAITS_AGAIN, before.id)
    await seats.let_go_of_seats(tx, offer_id)
    after = before.now("waiting")
    note(tx, before, after)
    tell(tx, after, event(entry=after.id, offer=offer_id))
    return after


END_OFFER = "update offers set state = $2, ended_at = $3 where id = $1"
WAITS_AGAIN = "update waitlist set state = 'waiting' where id = $1"


async def look(tx: Tx, entry: Place) -> None:
    """Offer what is free of all that this one waits for; the gates of its doctors' slots are held.

    It goes by the line: somebody else may get it.
    """
    doctors = await doctors_meant(tx.conn, entry.id)
    first, last = (datetime.combine(one, time(), UTC) for one in (entry.row.first_day, entry.row.last_day))
    await serve(tx, Window(entry.institution_id, doctors, first - DAY, last + 2 * DAY))


async def mark(tx: Tx, institution_id: int, entries: Collection[int]) -> None:
    """Have the worker look for these within a second: their doctors' gates are not held here."""
    if entries:
        await hold_line(tx, institution_id)
        await tx.conn.execute(LOOK_AT, list(entries), tx.now)


# What becomes free, and what goes


async def follow_freed(tx: Tx, stream: "events.Stream[Any]", event: events.SlotsEvent) -> None:
    """Seats may be free that were not: offer them."""
    if not event.slots:
        return
    row = await tx.conn.fetchrow(FREED, event.slots)
    if row is not None and row["begins"] is not None:
        window = Window(row["institution_id"], [event.doctor], row["begins"] - AROUND, row["ends"] + AROUND)
        await serve(tx, window)


# In most clinics nobody waits most of the time: that is found out first.
FREED = """
select s.institution_id, min(s.starts_at) as begins, max(s.ends_at) as ends from slots s
where s.id = any($1::bigint[]) and s.open and s.block_id is null and s.taken < s.capacity
    and exists (select from waitlist w where w.institution_id = s.institution_id and w.state in ('waiting', 'offered'))
group by s.institution_id
"""


async def follow_gone(tx: Tx, stream: "events.Stream[Any]", event: events.SlotRemoved) -> None:
    """Time that was offered may be blocked or closed: take those offers back; their holders wait on."""
    rows = await tx.conn.fetch(OFFERED_THERE, event.slots)
    for row in rows:
        await hold_line(tx, row["institution_id"])
        before = await place(tx.conn, row["entry_id"])
        after = await end_offer(tx, before, "withdrawn", events.OfferWithdrawn)
        await mark(tx, after.institution_id, [after.id])


OFFERED_THERE = """
select distinct o.institution_id, o.entry_id from seats x join offers o on o.id = x.offer_id
where x.slot_id = any($1::bigint[]) and o.state = 'open' order by o.entry_id
"""


async def follow_elsewhere(tx: Tx, stream: "events.Stream[Any]", event: events.NewAppointment) -> None:
    """Somebody is to be elsewhere at a time that is offered to them: it is the next one's, and they wait on.

    At once where its gate is held, as it is wherever they book; else its time is over, and the worker sees to it.
    """
    institution = await tx.conn.fetchval(WAITS_SOMEWHERE, event.appointment)
    if institution is None:
        return
    await hold_line(tx, institution)
    for row in await tx.conn.fetch(OFFERED_MEANWHILE, event.appointment):
        if tx.holds(events.slots(row["doctor_id"])):
            after = await end_offer(tx, await place(tx.conn, row["entry_id"]), "withdrawn", events.OfferWithdrawn)
            await mark(tx, institution, [after.id])
        else:
            await tx.conn.execute(OVER_NOW, row["id"], tx.now)
            after = await place(tx.conn, row["entry_id"])
            tell(tx, after, events.WaitlistChanged(entry=after.id))


WAITS_SOMEWHERE = """
select w.institution_id from appointments a join waitlist w on w.patient_id = a.patient_id
where a.id = $1 and w.state in ('waiting', 'offered') limit 1
"""
OFFERED_MEANWHILE = """
select o.id, o.entry_id, o.doctor_id from appointments a join waitlist w on w.patient_id = a.patient_id
join offers o on o.entry_id = w.id and o.state = 'open'
where a.id = $1 and a.kind = 'scheduled' and a.state in ('pending', 'confirmed') and not a.insisted
    and o.starts_at < a.ends_at and o.ends_at > a.starts_at order by o.id
"""
OVER_NOW = """
update offers set expires_at = least(expires_at, greatest($2, offered_at + interval '1 microsecond')) where id = $1
"""


async def follow_patient_free(tx: Tx, stream: "events.Stream[Any]", event: events.AppointmentEvent) -> None:
    """Somebody need not be where they had to be: what they wait for at that time may suit them now."""
    if event.kind == "walk_in":
        return  # Nobody had to be there at a time.
    rows = await tx.conn.fetch(WAITS_TOO, event.appointment)
    if rows:
        await mark(tx, rows[0]["institution_id"], [row["id"] for row in rows])


WAITS_TOO = """
select w.id, w.institution_id from waitlist w join appointments a on a.patient_id = w.patient_id
where a.id = $1 and w.state = 'waiting'
"""


async def follow_rejected(tx: Tx, stream: "events.Stream[Any]", event: events.AppointmentRejected) -> None:
    """What was accepted from the waitlist and then turned down gives its patient the old place back."""
    for row in await tx.conn.fetch(BACK_IN_LINE, event.appointment):
        await hold_line(tx, row["institution_id"])
        await tx.conn.execute(BACK, row["id"], tx.now)
        after = await place(tx.conn, row["id"])
        note(tx, after.now("booked"), after)
        tell(tx, after, events.WaitlistChanged(entry=after.id))
    await follow_patient_free(tx, stream, event)


BACK_IN_LINE = """
select w.id, w.institution_id from waitlist w join appointments a on a.id = w.appointment_id
where w.appointment_id = $1 and w.state = 'booked' and a.state = 'rejected'
"""
BACK = """
update waitlist set state = 'waiting', ended_at = null, appointment_id = null, look_at = $2 where id = $1
"""


async def follow_terms(tx: Tx, stream: "events.Stream[Any]", event: events.Event) -> None:
    """A doctor, their terms or the catalogue changed: what did not suit may suit now."""
    rows = await tx.conn.fetch(ALL_WAITING, stream.id)
    await mark(tx, stream.id, [row["id"] for row in rows])


ALL_WAITING = "select id from waitlist where institution_id = $1 and state = 'waiting'"


async def follow_corrected(tx: Tx, stream: "events.Stream[Any]", event: events.WaitlistCorrected) -> None:
    """A name that a place shows was corrected: tell what it says now."""
    await hold_line(tx, stream.id)
    after = await place(tx.conn, event.entry)
    tell(tx, after, events.WaitlistChanged(entry=after.id))


async def follow_merged(tx: Tx, stream: "events.Stream[Any]", event: events.PatientsMerged) -> None:
    """What one record waited for, the record waits for that it went into."""
    rows = await tx.conn.fetch(ALL_OF_PATIENT, event.gone)
    if not rows:
        return
    await hold_line(tx, stream.id)
    before = [await place(tx.conn, row["id"]) for row in rows]
    await tx.conn.execute(MOVE_ENTRIES, event.gone, event.into, tx.now)
    for old in before:
        if not old.live:
            continue
        new = await place(tx.conn, old.id)
        note(tx, old, new)
        tell(tx, new, events.WaitlistChanged(entry=new.id))
        if old.has_account:
            tx.append(events.patient(event.gone), events.WaitlistChanged(entry=new.id), drop=[old.row.key])


ALL_OF_PATIENT = "select id from waitlist where patient_id = $1 order by id"
MOVE_ENTRIES = """
update waitlist set patient_id = $2, look_at = case when state = 'waiting' then $3::timestamptz end
where patient_id = $1
"""

REACTIONS: Reactions = {
    ("slots", events.SlotAdded): [follow_freed],
    ("slots", events.SlotAvailabilityChanged): [follow_freed],
    ("slots", events.SlotRemoved): [follow_gone],
    ("doctor", events.NewAppointment): [follow_elsewhere],
    ("doctor", events.AppointmentCancelled): [follow_patient_free],
    ("doctor", events.AppointmentRescheduled): [follow_patient_free],
    ("doctor", events.AppointmentStatusChanged): [follow_patient_free],
    ("doctor", events.AppointmentRejected): [follow_rejected],
    ("admin", events.DoctorChanged): [follow_terms],
    ("admin", events.SettingsChanged): [follow_terms],
    ("admin", events.CatalogueChanged): [follow_terms],
    ("admin", events.LocationChanged): [follow_terms],
    ("admin", events.PatientsMerged): [follow_merged],
    ("waitlist", events.WaitlistCorrected): [follow_corrected],
}
"""Whatever frees a seat tells of it on its doctor's stream of slots, under its gate: no way to do so is forgotten."""
