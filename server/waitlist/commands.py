"""What people do on the waitlist: join, leave, answer an offer; and what staff and the clock do.

Invariants: whoever begins to wait, or waits again, does so with the gates held of all doctors whom they wait for, and
is offered at once what is free of them. An offer is answered once: what is accepted is the very seat that was held.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any, Self
from zoneinfo import ZoneInfo

import orjson
from pydantic import Field, model_validator

from server import errors, events
from server.access import ANYBODY, PEOPLE, STAFF, Actor, Role
from server.appointments import seats
from server.appointments.booking import (
    Booked,
    Wanted,
    add_appointment,
    booked,
    open_terms,
    refuse_elsewhere,
    tell_new,
)
from server.asks import Ask, Id, Reply, Text, wrong
from server.events import PartOfDay, SlotMode, Urgency, WaitState
from server.patients import access_patient
from server.settings import BookingSettings, effective_booking
from server.store import Command, Connection, Tx
from server.waitlist.line import MEANT, Place, doctors_meant, hold_line, note, place, place_as, tell
from server.waitlist.links import NO_OFFER, by_link
from server.waitlist.offering import end_offer, look

DEFAULT_PRIORITY = 5
DAYS = 366
"""How many days one may wait for at most."""


class Waits(Reply):
    """A place on the waitlist as it stands; `offer_id` is of the time that was free and is held for them already."""

    entry_id: int
    state: WaitState
    offer_id: int | None


def waits(one: Place) -> Waits:
    """What its asker is answered."""
    return Waits(entry_id=one.id, state=one.row.state, offer_id=one.row.offer.offer if one.row.offer else None)


# Join


class JoinWaitlist(Ask):
    """What somebody waits for: with a doctor, any of a specialty, or for a kind of visit; on these local days.

    Patients wait for themselves; staff put anybody on the list.
    """

    patient_id: Id | None = None
    doctor_id: Id | None = None
    specialty_id: Id | None = None
    visit_type_id: Id | None = None
    location_id: Id | None = None
    mode: SlotMode = "both"
    first_day: date
    last_day: date | None = Field(default=None, description="Left out, the first is the only one.")
    parts: list[PartOfDay] = Field(default=[], max_length=3, description="Of those days; none for any.")
    priority: int | None = Field(default=None, ge=1, le=10, description="Staff: other than 5. Ten goes first.")
    reason: Text | None = Field(default=None, description="Why they have that priority.")

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.doctor_id is None and self.specialty_id is None and self.visit_type_id is None:
            raise ValueError("give a doctor_id, a specialty_id or a visit_type_id")
        if not 0 <= ((self.last_day or self.first_day) - self.first_day).days < DAYS:
            raise errors.Misfit("ends-before-start", "last_day comes after first_day, within a year of it")
        return self


async def join(tx: Tx, actor: Actor, ask: JoinWaitlist) -> Waits:
    """Put a patient on the waitlist; what is free already and suits whoever is first is offered at once.

    Raises `NotFound`, `NotAllowed`, `WaitlistOff`, `DoctorInactive`, `ModeMismatch`, `TooManyWaits`,
    `AlreadyOnWaitlist`.
    """
    known = await _known(tx.conn, actor, ask)
    doctors = await _doctors_wanted(tx.conn, known.institution_id, ask)
    await tx.gate(*map(events.slots, doctors))
    tx.must_hold(*map(events.slots, await _doctors_wanted(tx.conn, known.institution_id, ask)))
    tx.institution_id = known.institution_id
    if ask.priority not in (None, DEFAULT_PRIORITY) and actor.role is Role.patient:
        raise wrong(("/priority", "Only those who work there set another than 5."))
    if (ask.last_day or ask.first_day) < tx.now.astimezone(known.zone).date():
        raise wrong(("/last_day", "Should not be past.", "over-already"))
    settings = await _settings(tx.conn, known.institution_id, doctors)
    patient_id = await _who(tx, actor, ask, known.institution_id)
    await hold_line(tx, known.institution_id)
    await _check_many(tx, patient_id, ask, settings)
    entry_id = await tx.conn.fetchval(
        ADD_ENTRY,
        known.institution_id,
        patient_id,
        ask.doctor_id,
        ask.specialty_id,
        ask.visit_type_id,
        ask.location_id,
        ask.mode,
        ask.first_day,
        ask.last_day or ask.first_day,
        list(dict.fromkeys(ask.parts)),
        ask.priority or DEFAULT_PRIORITY,
        ask.reason if actor.role is not Role.patient else None,
        tx.now,
        actor.key,
    )
    entry = await place(tx.conn, entry_id)
    note(tx, None, entry)
    tell(tx, entry, events.WaitlistJoined(entry=entry_id))
    await look(tx, entry)
    return waits(await place(tx.conn, entry_id))


ADD_ENTRY = """
insert into waitlist (institution_id, patient_id, doctor_id, specialty_id, visit_type_id, location_id, mode, first_day,
    last_day, parts, priority, priority_reason, joined_at, created_by)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) returning id
"""


@dataclass(frozen=True, slots=True)
class Known:
    """Whose institution a wish is of, and the zone of its days."""

    institution_id: int
    zone: ZoneInfo


async def _known(conn: Connection, actor: Actor, ask: JoinWaitlist) -> Known:
    """The institution that everything named is of. Raises `NotFound`, `NotAllowed`, `ModeMismatch`."""
    row = await conn.fetchrow(KNOWN, ask.doctor_id, ask.specialty_id, ask.visit_type_id, ask.location_id)
    if row is None or not row["all_known"] or not actor.within(row["institution_id"]):
        raise errors.NotFound("There is nothing like that here.")
    if actor.role is Role.doctor and ask.doctor_id != actor.doctor_id:
        raise errors.NotAllowed("You may put patients on your own list.")
    if ask.location_id is not None and not actor.at(ask.location_id):
        raise errors.NotAllowed("That is not one of your locations.")
    if "both" not in (ask.mode, row["visit_mode"]) and ask.mode != row["visit_mode"]:
        raise errors.ModeMismatch(mode=ask.mode)
    return Known(row["institution_id"], ZoneInfo(row["zone"]))


KNOWN = """
select i.id as institution_id, i.zone, coalesce(v.mode, 'both') as visit_mode,
    ($1::bigint is null or d.id is not null) and ($2::bigint is null or s.id is not null)
    and ($3::bigint is null or v.id is not null) and ($4::bigint is null or l.id is not null) as all_known
from institutions i
left join doctors d on d.institution_id = i.id and d.id = $1
left join specialties s on s.institution_id = i.id and s.id = $2 and s.retired_at is null
left join visit_types v on v.institution_id = i.id and v.id = $3 and v.retired_at is null
left join locations l on l.institution_id = i.id and l.id = $4 and l.retired_at is null
where i.id = coalesce((select o.institution_id from doctors o where o.id = $1),
    (select o.institution_id from specialties o where o.id = $2),
    (select o.institution_id from visit_types o where o.id = $3))
"""


async def _doctors_wanted(conn: Connection, institution_id: int, ask: JoinWaitlist) -> list[int]:
    """The active doctors whom a wish means. Raises `DoctorInactive` where there are none."""
    rows = await conn.fetch(DOCTORS_WANTED, institution_id, ask.doctor_id, ask.specialty_id, ask.visit_type_id)
    if not rows:
        raise errors.DoctorInactive()
    return [row["id"] for row in rows]


DOCTORS_WANTED = f"""
select d.id from (select $2::bigint as doctor_id, $3::bigint as specialty_id, $4::bigint as visit_type_id) w
join doctors d on d.institution_id = $1 and d.active where {MEANT} order by d.id
"""  # noqa: S608 (a constant)


async def _settings(conn: Connection, institution_id: int, doctors: Sequence[int]) -> BookingSettings:
    """What holds for waiting for these doctors: the institution's, or a single doctor's own. Raises `WaitlistOff`."""
    rows = await conn.fetch(BOOKING_OF, institution_id, list(doctors))
    levels = [effective_booking(orjson.loads(row["of_institution"]), orjson.loads(row["of_doctor"])) for row in rows]
    keeping = [one for one in levels if one.waitlist]
    if not keeping:
        raise errors.WaitlistOff()
    return keeping[0]


BOOKING_OF = """
select i.booking::text as of_institution, d.booking::text as of_doctor
from doctors d join institutions i on i.id = d.institution_id where i.id = $1 and d.id = any($2::bigint[]) order by d.id
"""


async def _who(tx: Tx, actor: Actor, ask: JoinWaitlist, institution_id: int) -> int:
    """Whom it is for, held: nobody books for them meanwhile. Raises `NotFound`."""
    if actor.role is Role.patient and ask.patient_id not in (None, actor.patient_id):
        raise errors.NotFound("There is no such patient here.")
    wanted = actor.patient_id if actor.role is Role.patient else ask.patient_id
    if wanted is None:
        raise wrong(("/patient_id", "This field is needed."))
    return (await access_patient(tx, institution_id, wanted)).id


async def _check_many(tx: Tx, patient_id: int, ask: JoinWaitlist, settings: BookingSettings) -> None:
    """Raise `AlreadyOnWaitlist` or `TooManyWaits`; the line is held."""
    last = ask.last_day or ask.first_day
    same = await tx.conn.fetchval(
        SAME_WISH, patient_id, ask.doctor_id, ask.specialty_id, ask.visit_type_id, ask.first_day, last
    )
    if same is not None:
        raise errors.AlreadyOnWaitlist(entry_id=same)
    if await tx.conn.fetchval(COUNT_WISHES, patient_id) >= settings.waitlist_per_patient:
        raise errors.TooManyWaits(waitlist_per_patient=settings.waitlist_per_patient)


SAME_WISH = """
select id from waitlist
where patient_id = $1 and state in ('waiting', 'offered') and doctor_id is not distinct from $2
    and specialty_id is not distinct from $3 and visit_type_id is not distinct from $4
    and first_day <= $6 and last_day >= $5
limit 1
"""
COUNT_WISHES = "select count(*) from waitlist where patient_id = $1 and state in ('waiting', 'offered')"


# Leave, and go before others


class OfEntry(Ask):
    """One place on the waitlist."""

    entry_id: Id


async def leave(tx: Tx, actor: Actor, ask: OfEntry) -> Waits:
    """Wait no more; what was offered goes to the next. Raises `NotFound`, `NotAllowed`, `NotWaiting`."""
    found = await place_as(tx.conn, actor, ask.entry_id)
    if found.row.offer is not None:
        await tx.gate(events.slots(found.row.offer.doctor))
    before = await _held(tx, actor, ask.entry_id)
    await tx.conn.execute(LEAVE, before.id, "left", tx.now)
    after = before.now("left")
    if before.row.offer is not None:
        tx.must_hold(events.slots(before.row.offer.doctor))
        await tx.conn.execute(DECLINED, before.row.offer.offer, tx.now)
        await seats.let_go_of_seats(tx, before.row.offer.offer)
    note(tx, before, after)
    tell(tx, after, events.WaitlistLeft(entry=after.id, over=False))
    return waits(after)


LEAVE = "update waitlist set state = $2, ended_at = $3, look_at = null where id = $1"
DECLINED = "update offers set state = 'declined', ended_at = $2 where id = $1"


async def _held(tx: Tx, actor: Actor, entry_id: int) -> Place:
    """A live place that nobody changes meanwhile. Raises `NotFound`, `NotAllowed`, `NotWaiting`."""
    found = await place_as(tx.conn, actor, entry_id)
    tx.institution_id = found.institution_id
    await hold_line(tx, found.institution_id)
    held = await place_as(tx.conn, actor, entry_id)
    if not held.live:
        raise errors.NotWaiting(state=held.row.state)
    return held


class PrioritizeWait(Ask):
    """Another priority, and why: ten goes first."""

    entry_id: Id
    priority: int = Field(ge=1, le=10)
    reason: Text


async def prioritize(tx: Tx, actor: Actor, ask: PrioritizeWait) -> Waits:
    """Have somebody go before others, or after them, from now on. Raises `NotFound`, `NotAllowed`, `NotWaiting`."""
    before = await _held(tx, actor, ask.entry_id)
    await tx.conn.execute(PRIORITIZE, before.id, ask.priority, ask.reason)
    after = await place(tx.conn, before.id)
    note(tx, before, after)
    tell(tx, after, events.WaitlistChanged(entry=after.id))
    return waits(after)


PRIORITIZE = "update waitlist set priority = $2, priority_reason = $3 where id = $1"


# Answer


class OfOffer(Ask):
    """One offer."""

    offer_id: Id


class ByLink(Ask):
    """The secret of the link in the message that told of an offer."""

    secret: str = Field(min_length=20, max_length=100, repr=False)


async def accept(tx: Tx, actor: Actor, ask: OfOffer) -> Booked:
    """Take the time that is offered: the seat that was held is the appointment's. Patients their own, staff for them.

    Raises `NotFound`, `NotAllowed`, `OfferExpired`, `OfferAnswered`, `PatientElsewhere`, `DoctorInactive`.
    """
    found = await _offered(tx.conn, actor, ask.offer_id)
    return await _accepted(tx, actor, found.id, ask.offer_id)


async def accept_by_link(tx: Tx, actor: Actor, ask: ByLink) -> Booked:
    """Take the time that is offered, by the link in the message alone.

    Raises `NotFound`, `OfferExpired`, `OfferAnswered`, `PatientElsewhere`, `DoctorInactive`.
    """
    linked = await by_link(tx.conn, ask.secret)
    return await _accepted(tx, linked.actor, linked.entry_id, linked.offer_id)


async def _accepted(tx: Tx, actor: Actor, entry_id: int, offer_id: int) -> Booked:
    found = await place_as(tx.conn, actor, entry_id)
    await _refuse_answered(tx, found, offer_id)
    assert found.row.offer is not None
    terms = await open_terms(tx, actor, found.slot_ids, found.row.offer.doctor, None)
    before = await place(tx.conn, entry_id)
    await _refuse_answered(tx, before, offer_id)
    if not terms.active:
        raise errors.DoctorInactive()
    person = await access_patient(tx, before.institution_id, before.row.patient.id)
    await tx.conn.execute(HOLD_PATIENT, person.id)
    await refuse_elsewhere(tx, person.id, terms)
    appointment = await add_appointment(tx, _wanted(tx, actor, before), replace(terms, own=set(terms.slot_ids)))
    await hold_line(tx, before.institution_id)
    await seats.turn_over(tx, offer_id, appointment.id)
    await tx.conn.execute(ACCEPTED, offer_id, tx.now)
    await tx.conn.execute(ENTRY_BOOKED, before.id, tx.now, appointment.id)
    after = before.now("booked")
    note(tx, before, after)
    tell(tx, after, events.OfferAccepted(entry=after.id, offer=offer_id, appointment=appointment.id))
    tell_new(tx, appointment)
    return booked(appointment)


# Of two bookings for one patient with different doctors, the second sees the first's.
HOLD_PATIENT = "select id from patients where id = $1 for no key update"
ACCEPTED = "update offers set state = 'accepted', ended_at = $2 where id = $1"
ENTRY_BOOKED = """
update waitlist set state = 'booked', ended_at = $2, appointment_id = $3, look_at = null where id = $1
"""


def _wanted(tx: Tx, actor: Actor, entry: Place) -> Wanted:
    """What is booked of an offer."""
    assert entry.row.offer is not None
    return Wanted(
        patient=entry.row.patient,
        visit_type_id=entry.row.visit_type.id if entry.row.visit_type else None,
        mode=entry.row.offer.mode,
        reason=None,
        symptoms=None,
        urgency=Urgency.routine,
        requirements=[],
        source="online" if actor.role is Role.patient else "reception",
        insurance=None,
        insisted=False,
        actor=tx.actor,
    )


async def _entry_of(conn: Connection, offer_id: int) -> int:
    """Whose offer it is. Raises `NotFound`."""
    found = await conn.fetchval(ENTRY_OF, offer_id)
    if found is None:
        raise errors.NotFound(NO_OFFER)
    return int(found)


ENTRY_OF = "select entry_id from offers where id = $1"


async def _offered(conn: Connection, actor: Actor, offer_id: int) -> Place:
    """The place that an offer was made to, for somebody whose business it is. Raises `NotFound`, `NotAllowed`."""
    entry_id = await _entry_of(conn, offer_id)
    try:
        return await place_as(conn, actor, entry_id)
    except errors.NotFound:
        # Not a word of whether there is one elsewhere.
        raise errors.NotFound(NO_OFFER) from None


async def _refuse_answered(tx: Tx, entry: Place, offer_id: int) -> None:
    """Raise `OfferExpired` or `OfferAnswered` unless this offer is open."""
    offer = entry.row.offer
    if offer is None or offer.offer != offer_id:
        state = await tx.conn.fetchval(STATE_OF, offer_id)
        if state == "expired":
            raise errors.OfferExpired(entry_id=entry.id)
        raise errors.OfferAnswered(state=state)
    if offer.expires_at <= tx.now:
        raise errors.OfferExpired(entry_id=entry.id)


STATE_OF = "select state from offers where id = $1"


async def decline(tx: Tx, actor: Actor, ask: OfOffer) -> Waits:
    """Let the offered time go to the next, and wait on. Raises `NotFound`, `NotAllowed`, `OfferAnswered`.

    Raises `OfferExpired` where its time is over.
    """
    found = await _offered(tx.conn, actor, ask.offer_id)
    return await _ended(tx, found.id, ask.offer_id, "declined", events.OfferDeclined)


async def decline_by_link(tx: Tx, actor: Actor, ask: ByLink) -> Waits:
    """Let the offered time go to the next, by the link in the message alone.

    Raises `NotFound`, `OfferExpired`, `OfferAnswered`.
    """
    linked = await by_link(tx.conn, ask.secret)
    return await _ended(tx, linked.entry_id, linked.offer_id, "declined", events.OfferDeclined)


async def _ended(tx: Tx, entry_id: int, offer_id: int, state: str, event: type[events.OfferEvent]) -> Waits:
    """An open offer, ended with the gates of all doctors whom its holder waits for: they are looked for anew."""
    await _gate_meant(tx, entry_id)
    before = await place(tx.conn, entry_id)
    await _refuse_answered(tx, before, offer_id)
    await hold_line(tx, before.institution_id)
    after = await end_offer(tx, await place(tx.conn, entry_id), state, event)
    await look(tx, after)
    return waits(await place(tx.conn, entry_id))


async def _gate_meant(tx: Tx, entry_id: int) -> None:
    """Take the gates of the slots of all doctors whom somebody waits for, and of the one of an offer to them."""
    await tx.gate(*await _meant(tx.conn, entry_id))
    tx.must_hold(*await _meant(tx.conn, entry_id))
    tx.institution_id = (await place(tx.conn, entry_id)).institution_id


async def _meant(conn: Connection, entry_id: int) -> list[events.Stream[Any]]:
    found = await place(conn, entry_id)
    own = {found.row.offer.doctor} if found.row.offer else set()
    return [events.slots(one) for one in sorted({*await doctors_meant(conn, entry_id), *own})]


# By the clock


async def expire(tx: Tx, actor: Actor, ask: OfOffer) -> Waits:
    """End an offer that nobody has answered in time; the system's. Raises `NotFound`, `OfferAnswered`."""
    entry_id = await _entry_of(tx.conn, ask.offer_id)
    await _gate_meant(tx, entry_id)
    before = await place(tx.conn, entry_id)
    offer = before.row.offer
    if offer is None or offer.offer != ask.offer_id or offer.expires_at > tx.now:
        raise errors.OfferAnswered(state=await tx.conn.fetchval(STATE_OF, ask.offer_id))
    await hold_line(tx, before.institution_id)
    after = await end_offer(tx, before, "expired", events.OfferExpired)
    await look(tx, after)
    return waits(await place(tx.conn, entry_id))


async def look_anew(tx: Tx, actor: Actor, ask: OfEntry) -> Waits:
    """Look for time that may have become somebody's; the system's. Raises `NotFound`, `NotWaiting`."""
    await _gate_meant(tx, ask.entry_id)
    found = await _held(tx, actor, ask.entry_id)
    await tx.conn.execute(LOOKED, found.id)
    if found.row.state == "waiting":
        await look(tx, found)
    return waits(await place(tx.conn, found.id))


LOOKED = "update waitlist set look_at = null where id = $1"


async def end_wait(tx: Tx, actor: Actor, ask: OfEntry) -> Waits:
    """End the wait of somebody whose days are over; the system's. Raises `NotFound`, `NotWaiting`."""
    before = await _held(tx, actor, ask.entry_id)
    zone = ZoneInfo(await tx.conn.fetchval(ZONE_OF, before.institution_id))
    if before.row.state != "waiting" or before.row.last_day >= (tx.now.astimezone(zone) - timedelta(days=1)).date():
        raise errors.NotWaiting(state=before.row.state)
    await tx.conn.execute(LEAVE, before.id, "over", tx.now)
    after = before.now("over")
    note(tx, before, after)
    tell(tx, after, events.WaitlistLeft(entry=after.id, over=True))
    return waits(after)


ZONE_OF = "select zone from institutions where id = $1"

EXPIRE: Command[Any, Any] = Command("expire-offer", expire, OfOffer, Waits, frozenset(), "")
LOOK_ANEW: Command[Any, Any] = Command("look-for-wait", look_anew, OfEntry, Waits, frozenset(), "")
END_WAIT: Command[Any, Any] = Command("end-wait", end_wait, OfEntry, Waits, frozenset(), "")

COMMANDS: list[Command[Any, Any]] = [
    Command("join-waitlist", join, JoinWaitlist, Waits, PEOPLE, "POST /waitlist", status=201),
    Command("leave-waitlist", leave, OfEntry, Waits, PEOPLE, "POST /waitlist/{entry_id}/leave"),
    Command("prioritize-wait", prioritize, PrioritizeWait, Waits, STAFF, "POST /waitlist/{entry_id}/priority"),
    Command("accept-offer", accept, OfOffer, Booked, PEOPLE, "POST /offers/{offer_id}/accept", status=201),
    Command("decline-offer", decline, OfOffer, Waits, PEOPLE, "POST /offers/{offer_id}/decline"),
    Command("accept-by-link", accept_by_link, ByLink, Booked, ANYBODY, "POST /offers/by-link/accept", status=201),
    Command("decline-by-link", decline_by_link, ByLink, Waits, ANYBODY, "POST /offers/by-link/decline"),
]
