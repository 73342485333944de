"""The day of the visit: checking in, and an appointment and its ticket going together through it.

Invariants: a ticket that joins without an appointment gets one in the same transaction (a walk-in's), and a scheduled
appointment that is checked in gets its ticket; from then on the ticket leads, and the appointment is what `MIRRORS`
makes of it when any command ends. So whichever of the two somebody starts, completes or takes back, both are.
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import asyncpg
import orjson
from pydantic import Field, StringConstraints

from server import errors, events, settings
from server.access import ANYBODY, PEOPLE, STAFF, Actor, Role
from server.appointments import life, rules, seats
from server.appointments.records import (
    APPOINTMENT_BY_ID,
    APPOINTMENT_COLUMNS,
    APPOINTMENT_FROM,
    NO_APPOINTMENT,
    Appointment,
    appointment_as,
    appointment_of,
    facts,
    must,
    open_appointment,
    save,
    tell,
    way_back,
)
from server.appointments.requests import AppointmentNow, OfAppointment, moved
from server.appointments.rules import Step
from server.asks import Ask, Id, Text
from server.events import AppointmentState as State
from server.events import State as TicketState
from server.queue import commands as queue
from server.queue.entry import Entry, Joined, enter, joined, takes_in
from server.queue.line import Line, Ticket, load_line
from server.queue.undo import undone
from server.store import Command, Query, Reactions, Read, Tx

STILL_TODAY = timedelta(hours=6)
"""So long after its time somebody can still be checked in though midnight has passed."""
WRONG_CODES = 5
"""Wrong codes of the place that one appointment takes: four digits are guessed in thousands of tries, not in these."""
OLD_CODE = timedelta(minutes=5)
"""So long the code of the hour before still counts: it may have changed between the look and the key."""

# Where the ticket leads

MIRRORS: Mapping[TicketState, State] = {
    TicketState.waiting: State.checked_in,
    TicketState.called: State.checked_in,
    TicketState.on_hold: State.checked_in,
    TicketState.in_consultation: State.in_progress,
    TicketState.completed: State.completed,
    TicketState.no_show: State.no_show,
    TicketState.cancelled: State.confirmed,
}
"""What an appointment is while its ticket is so. One whose ticket is given up stands as before it was checked in; a
walk-in, which is nothing without its ticket, is called off (`mirrored`)."""
STEPS: Mapping[State, Step] = {
    State.in_progress: Step.start,
    State.completed: Step.complete,
    State.no_show: Step.no_show,
}
"""The step that led to a state, for whoever would take it back."""


async def begin(tx: Tx, stream: events.Stream[Any], event: events.TicketJoined) -> None:
    """Make the appointment of a walk-in who has just joined; whoever was checked in or transferred has one."""
    joins = await tx.conn.fetchrow(JOINS, event.ticket)
    if joins is None or joins["has_one"] or joins["origin_id"] is not None:
        return
    number = await seats.next_number(tx, joins["institution_id"], "walk_in", ZoneInfo(joins["zone"]))
    id_ = await tx.conn.fetchval(ADD_WALK_IN, event.ticket, number, _source(tx.actor), tx.now, tx.actor.key)
    appointment = await _read(tx, id_)
    tx.about(f"appointment:{id_}", None, appointment.trail(), patient=appointment.patient.id)
    tell(tx, appointment, events.NewAppointment(**facts(appointment), request=False))


JOINS = """
select t.institution_id, t.origin_id, i.zone, exists (select from appointments a where a.ticket_id = t.id) as has_one
from tickets t join institutions i on i.id = t.institution_id where t.id = $1
"""
ADD_WALK_IN = """
insert into appointments (institution_id, number, kind, patient_id, doctor_id, specialty_id, location_id, mode, state,
    starts_at, reason, urgency, requirements, source, fee, currency, ticket_id, checked_in_at, created_at, created_by)
select t.institution_id, $2, 'walk_in', t.patient_id, q.doctor_id, d.specialty_id, q.location_id, 'in_person',
    'checked_in', t.joined_at, t.reason, t.urgency, t.requirements, $3, d.fee, i.currency, t.id, t.joined_at, $4, $5
from tickets t join queues q on q.id = t.queue_id join institutions i on i.id = t.institution_id
left join doctors d on d.id = q.doctor_id
where t.id = $1 returning id
"""


def _source(actor: Actor) -> str:
    """By which way somebody without an appointment came."""
    if actor.role is Role.device:
        return "kiosk"
    return "online" if actor.role in (Role.patient, Role.ticket) else "reception"


async def _read(tx: Tx, appointment_id: int) -> Appointment:
    row = await tx.conn.fetchrow(APPOINTMENT_BY_ID, appointment_id)
    assert row is not None
    return appointment_of(row)


async def follow(tx: Tx, stream: events.Stream[Any], event: events.TicketEvent) -> None:
    """Make of a ticket's appointment what the ticket is now."""
    await mirror(tx, event.ticket, event.undid if isinstance(event, events.TicketUndone) else None)


async def mirror(tx: Tx, ticket_id: int, undid: str | None = None) -> Appointment | None:
    """The appointment of this ticket, as the ticket is when the command ends; None where it has none.

    The caller holds the gate of the ticket's queue.
    """
    row = await tx.conn.fetchrow(APPOINTMENT_AND_TICKET, ticket_id)
    if row is None and undid is not None:
        row = await _left_behind(tx, ticket_id)
    if row is None:
        return None
    before = appointment_of(row)
    after = mirrored(before, row, tx, undid)
    if after == before:
        return before
    await save(tx, after, before)
    tell(tx, after, _told(before, after, undid), before)
    return after


# A ticket goes on as the one that it was transferred to; and one that a transfer made and that was taken back, as the
# one that it came from.
APPOINTMENT_AND_TICKET = f"""
select {APPOINTMENT_COLUMNS}, n.id as lead, n.state as lead_state, n.token as lead_token, n.queue_id as lead_queue,
    n.joined_at as lead_joined_at, n.started_at as lead_started_at, n.ended_at as lead_ended_at,
    n.doctor_id as lead_doctor, m.name as lead_doctor_name, q.doctor_id as owner, w.name as owner_name
{APPOINTMENT_FROM}
join tickets n on n.id = coalesce(t.transferred_to, (
    select o.id from tickets o
    where t.state = 'cancelled' and t.origin_id is not null and (o.id = t.origin_id or o.origin_id = t.origin_id)
        and o.id < t.id and o.transferred_to is null and o.state <> 'cancelled'
    order by o.id desc limit 1
), t.id)
join queues q on q.id = n.queue_id
left join doctors m on m.id = n.doctor_id left join doctors w on w.id = q.doctor_id
where a.ticket_id = $1
"""  # noqa: S608 (a constant)


async def _left_behind(tx: Tx, ticket_id: int) -> Any:
    """The appointment whose check-in was taken back with this ticket, which is there again."""
    id_ = await tx.conn.fetchval(LEFT_BEHIND, ticket_id)
    if id_ is None:
        return None
    await tx.conn.execute(RETAKE, id_, ticket_id)
    return await tx.conn.fetchrow(APPOINTMENT_AND_TICKET, ticket_id)


LEFT_BEHIND = """
select a.id from tickets t join queues q on q.id = t.queue_id
join appointments a on a.patient_id = t.patient_id and a.starts_at = t.booked_for and a.location_id = q.location_id
where t.id = $1 and a.kind = 'scheduled' and a.state = 'confirmed' and a.ticket_id is null
    and t.state not in ('cancelled', 'transferred')
order by a.id limit 1 for update of a
"""
RETAKE = "update appointments set ticket_id = $2 where id = $1"


def mirrored(before: Appointment, lead: asyncpg.Record, tx: Tx, undid: str | None) -> Appointment:
    """The appointment as its ticket has it: whose it is, at which state, since when."""
    state = MIRRORS[TicketState(lead["lead_state"])]
    walk_in = before.kind == "walk_in"
    doctor_id, doctor_name = before.doctor_id, before.doctor_name
    if walk_in and (lead["lead"] != before.ticket_id or state in STEPS):
        # Of a pool it is known only now whose patient it is.
        if state in STEPS and lead["lead_doctor"]:
            doctor_id, doctor_name = lead["lead_doctor"], lead["lead_doctor_name"]
        elif lead["owner"]:
            doctor_id, doctor_name = lead["owner"], lead["owner_name"]
    if state is State.confirmed:
        # The end of the day leaves nobody to be seen at another hour of it.
        if not walk_in and tx.actor.role is not Role.system:
            return replace(
                before, state=state, ticket_id=None, token=None, queue_id=None, checked_in_at=None, started_at=None,
                ended_at=None, undo=None,
            )  # fmt: skip
        return replace(
            before, state=State.cancelled, cancelled_by=_by(tx.actor), ended_at=lead["lead_ended_at"], undo=None
        )
    step = STEPS.get(state)
    kept = before.undo if state is before.state else None
    if step is not None and state is not before.state and undid is None:
        kept = way_back(before, step, tx.now)
    return replace(
        before,
        state=state,
        doctor_id=doctor_id,
        doctor_name=doctor_name,
        ticket_id=lead["lead"],
        token=lead["lead_token"],
        queue_id=lead["lead_queue"],
        checked_in_at=before.checked_in_at or lead["lead_joined_at"],
        started_at=lead["lead_started_at"],
        ended_at=lead["lead_ended_at"],
        cancelled_by=None,
        undo=kept,
    )


def _by(actor: Actor) -> Any:
    if actor.role is Role.system:
        return "system"
    return "patient" if actor.role in (Role.patient, Role.ticket) else "staff"


def _told(before: Appointment, after: Appointment, undid: str | None) -> events.AppointmentEvent:
    """The fact that an appointment's streams are told."""
    if after.state is State.cancelled and before.state is not after.state:
        return events.AppointmentCancelled(**facts(after), by=after.cancelled_by or "staff")
    if before.state is after.state:
        return events.AppointmentUpdated(**facts(after))
    return events.AppointmentStatusChanged(**facts(after), was=before.state, undid=undid)


REACTIONS: Reactions = {
    ("board", events.TicketJoined): [begin],
    ("board", events.ConsultationStarted): [follow],
    ("board", events.ConsultationCompleted): [follow],
    ("board", events.TicketNoShow): [follow],
    ("board", events.TicketReturned): [follow],
    ("board", events.TicketHeld): [follow],
    ("board", events.TicketTransferred): [follow],
    ("board", events.TicketCancelled): [follow],
    ("board", events.TicketUndone): [follow],
}
"""A call leaves the appointment as it is, so that calling costs no more than it did."""


# Checking in


class CheckedIn(Joined):
    """The ticket of somebody who has come for their appointment."""

    appointment_id: int
    number: str
    starts_at: datetime


class CheckIn(Ask):
    """Somebody is there for this appointment; a patient proves it by the code shown there."""

    appointment_id: Id
    queue_id: Id | None = None
    code: str | None = None


async def check_in(tx: Tx, actor: Actor, ask: CheckIn) -> CheckedIn:
    """Give an appointment its ticket, in the doctor's queue there, or in the one that the desk names.

    Raises `AlreadyCheckedIn`, `NotToday`, `SeenOnline`, `StepNotAllowed`, `NoQueueForDoctor`, `QueueClosed`,
    `AlreadyWaiting`; for a patient `WrongPlaceCode`, and `TooMany` after a few of those.
    """
    found = await appointment_as(tx, actor, ask.appointment_id)
    if actor.role is Role.patient:
        await _must_be_there(tx, found, ask.code or "")
    return await _arrive(tx, actor, found, ask.queue_id if actor.role in STAFF else None)


class CheckInByLink(Ask):
    """Whoever has the link of an appointment's letter, and reads the code where it is: no sign-in is needed."""

    link: Annotated[str, StringConstraints(pattern=r"^[0-9]{1,18}\.[0-9a-f]{32}$")] = Field(repr=False)
    code: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=20)] = Field(repr=False)


async def check_in_by_link(tx: Tx, actor: Actor, ask: CheckInByLink) -> CheckedIn:
    """Check in whom the link is of. It opens nothing else, and tells nothing before the code is right.

    Raises `NotFound`, `WrongPlaceCode`, `TooMany`; and as checking in does.
    """
    id_ = int(ask.link.partition(".")[0])
    secret = await tx.conn.fetchval(SECRET_OF_PLACE, id_)
    if secret is None or not hmac.compare_digest(ask.link, link_of(secret, id_)):
        raise errors.NotFound(NO_APPOINTMENT)
    found = await _read(tx, id_)
    await _must_be_there(tx, found, ask.code)
    patient = Actor(Role.patient, institution_id=found.institution_id, patient_id=found.patient.id)
    return await _arrive(tx, patient, found, None)


SECRET_OF_PLACE = """
select l.arrival_secret from appointments a join locations l on l.id = a.location_id where a.id = $1
"""


def link_of(secret: bytes, appointment_id: int) -> str:
    """What a letter's link shows of its appointment: its id, and a mark that only the location's secret makes."""
    return (
        f"{appointment_id}.{hmac.digest(secret, f'appointment {appointment_id}'.encode(), hashlib.sha256).hex()[:32]}"
    )


class CheckInHere(Ask):
    """Somebody at a kiosk: the number of the appointment or of their card, and when they were born."""

    number: Annotated[str, StringConstraints(strip_whitespace=True, to_upper=True, min_length=3, max_length=40)]
    birth_date: date


async def check_in_here(tx: Tx, actor: Actor, ask: CheckInHere) -> CheckedIn:
    """Check somebody in at the kiosk's own location, for their next appointment of the day there.

    Raises `NothingToCheckIn`, the same for a number that nobody has as for another's birthday; and as checking in does.
    """
    if actor.device_kind != "kiosk":
        raise errors.NotAllowed()
    rows = await tx.conn.fetch(
        COMES_TODAY, actor.institution_id, actor.location_id, ask.number, ask.birth_date, tx.now, STILL_TODAY
    )
    if not rows:
        raise errors.NothingToCheckIn()
    # Of several the next that nobody has checked in.
    row = next((one for one in rows if one["state"] == State.confirmed), rows[0])
    return await _arrive(tx, actor, await appointment_as(tx, actor, row["id"]), None)


COMES_TODAY = """
select a.id, a.state from appointments a join patients p on p.id = a.patient_id
where a.institution_id = $1 and a.location_id = $2 and (a.number = $3 or p.number = $3) and p.birth_date = $4
    and a.kind = 'scheduled' and a.mode = 'in_person' and a.state in ('confirmed', 'checked_in', 'in_progress')
    and a.starts_at > $5::timestamptz - $6::interval and a.starts_at < $5::timestamptz + interval '24 hours'
order by a.starts_at, a.id
"""


async def _arrive(tx: Tx, actor: Actor, found: Appointment, queue_id: int | None) -> CheckedIn:
    """Open the appointment and its queue together, and let its patient in."""
    may_come(found, tx.now, ZoneInfo(await tx.conn.fetchval(ZONE_OF, found.location_id)))
    chosen = queue_id or await queue_for(tx, found)
    before = await open_appointment(tx, actor, found.id, also=[events.board(chosen)])
    line, _ = await load_line(tx, actor, chosen)
    if line.location_id != before.location_id:
        raise errors.NotFound("There is no such queue at the appointment's location.")
    may_come(before, tx.now, line.zone)
    await takes_in(line, before.urgency, before.starts_at)
    entry = Entry(before.patient, before.urgency, before.reason, before.requirements, before.starts_at)
    ticket, secret = await enter(line, entry)
    after = replace(
        before,
        state=rules.after(Step.check_in),
        ticket_id=ticket.id,
        token=ticket.token,
        queue_id=line.id,
        checked_in_at=tx.now,
        undo=way_back(before, Step.check_in, tx.now),
    )
    await save(tx, after, before)
    tell(tx, after, events.AppointmentStatusChanged(**facts(after), was=before.state), before)
    told = await joined(line, ticket, secret)
    return CheckedIn(**dict(told), appointment_id=after.id, number=after.number, starts_at=after.starts_at)


ZONE_OF = """
select coalesce(l.zone, i.zone) from locations l join institutions i on i.id = l.institution_id where l.id = $1
"""


def may_come(appointment: Appointment, now: datetime, zone: ZoneInfo) -> None:
    """Raise the refusal of somebody who cannot be checked in: too early by a day, too late by one, twice, online."""
    if appointment.state in (State.checked_in, State.in_progress):
        raise errors.AlreadyCheckedIn(token=appointment.token, state=appointment.state)
    if appointment.mode == "online":
        raise errors.SeenOnline()
    must(Step.check_in, appointment)
    starts_at = appointment.starts_at
    today = starts_at.astimezone(zone).date() == now.astimezone(zone).date()
    if not today and not starts_at <= now <= starts_at + STILL_TODAY:
        raise errors.NotToday(starts_at=starts_at.isoformat())


async def queue_for(tx: Tx, appointment: Appointment) -> int:
    """The doctor's own queue at the appointment's location, else a pool that they serve. Raises `NoQueueForDoctor`."""
    found = await tx.conn.fetchval(QUEUE_FOR, appointment.doctor_id, appointment.location_id)
    if found is None:
        raise errors.NoQueueForDoctor()
    return int(found)


QUEUE_FOR = """
select q.id from queues q
where q.location_id = $2 and q.retired_at is null and (q.doctor_id = $1 or (q.doctor_id is null and exists (
    select from queue_doctors s where s.queue_id = q.id and s.doctor_id = $1
)))
order by q.doctor_id is null, q.state = 'closed', q.id limit 1
"""


# The code of the place


async def _must_be_there(tx: Tx, appointment: Appointment, code: str) -> None:
    """Raise `WrongPlaceCode` unless the code is the one that the location shows; `TooMany` after a few wrong ones."""
    place = await tx.conn.fetchrow(SECRET_OF, appointment.location_id, appointment.id)
    assert place is not None
    if place["wrong_codes"] >= WRONG_CODES:
        raise errors.TooMany("Too many wrong codes; please go to the desk.", retry_after=3600)
    zone = ZoneInfo(place["zone"])
    right = {place_code(place["arrival_secret"], at.astimezone(zone)) for at in (tx.now, tx.now - OLD_CODE)}
    if not any(hmac.compare_digest(code.encode(), one.encode()) for one in sorted(right)):
        tx.regardless(NOTE_WRONG_CODE, appointment.id)
        raise errors.WrongPlaceCode()


SECRET_OF = """
select l.arrival_secret, coalesce(l.zone, i.zone) as zone, a.wrong_codes
from locations l join institutions i on i.id = l.institution_id join appointments a on a.id = $2 where l.id = $1
"""
NOTE_WRONG_CODE = "update appointments set wrong_codes = wrong_codes + 1 where id = $1"


def place_code(secret: bytes, local: datetime) -> str:
    """The four digits that a location shows in this hour of its clock."""
    mark = hmac.digest(secret, f"{local:%Y-%m-%dT%H}{local.utcoffset()}".encode(), hashlib.sha256)
    return f"{int.from_bytes(mark[:8], 'big') % 10_000:04d}"


class OfPlace(Ask):
    """One location."""

    location_id: Id


class PlaceCode(events.Fact):
    """What proves that somebody is there, until when; and whether the boards are to show it."""

    code: str
    until: datetime
    on_boards: bool


async def arrival_code(view: Read, actor: Actor, ask: OfPlace) -> PlaceCode:
    """The code that patients check in with there now: for its screens, and those who work there."""
    row = await view.conn.fetchrow(CODE_OF, ask.location_id)
    if row is None or not actor.within(row["institution_id"]):
        raise errors.NotFound("There is no such location here.")
    elsewhere = actor.role is Role.device and actor.location_id != ask.location_id
    if elsewhere or not actor.at(ask.location_id):
        raise errors.NotAllowed("That is not your location.")
    local = view.now.astimezone(ZoneInfo(row["zone"]))
    past = timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
    levels = orjson.loads(row["institution_settings"]), orjson.loads(row["settings"])
    return PlaceCode(
        code=place_code(row["arrival_secret"], local),
        until=view.now - past + timedelta(hours=1),
        on_boards=settings.effective(*levels).show_arrival_code,
    )


CODE_OF = """
select l.institution_id, l.arrival_secret, coalesce(l.zone, i.zone) as zone, l.settings,
    i.settings as institution_settings
from locations l join institutions i on i.id = l.institution_id where l.id = $1
"""


# Steps of the visit


class AtDesk(OfAppointment):
    """A step of a visit; whoever still waits in the queue is called to this desk first."""

    desk_id: Id | None = None


class Missed(OfAppointment):
    """Nobody came, and what is known of it."""

    reason: Text | None = None


async def start(tx: Tx, actor: Actor, ask: AtDesk) -> AppointmentNow:
    """The patient is with the doctor now: the appointment, and its ticket where it has one.

    Raises `StepNotAllowed`, `WrongState`, and `CallFirst` where the patient waits and no desk is named.
    """
    before = await open_appointment(tx, actor, ask.appointment_id)
    must(Step.start, before)
    if before.ticket_id is None:
        return moved(await life.stepped(tx, before, Step.start, started_at=tx.now))
    line, ticket = await _ticket_of(tx, actor, before)
    ticket = await _at_desk(line, ticket, ask.desk_id)
    await queue.started(line, ticket)
    return await _both(line, ticket)


async def complete(tx: Tx, actor: Actor, ask: AtDesk) -> AppointmentNow:
    """The visit is over: the appointment, and its ticket where it has one.

    Raises `StepNotAllowed`, `WrongState`, and `CallFirst` where the patient waits and no desk is named.
    """
    return moved(await over(tx, actor, await open_appointment(tx, actor, ask.appointment_id), ask.desk_id))


async def over(tx: Tx, actor: Actor, before: Appointment, desk_id: int | None = None) -> Appointment:
    """The gated appointment, completed together with its ticket."""
    must(Step.complete, before)
    if before.ticket_id is None:
        return await life.completed(tx, before)
    line, ticket = await _ticket_of(tx, actor, before)
    ticket = await _at_desk(line, ticket, desk_id)
    await queue.completed(line, ticket)
    await line.settle()
    after = await mirror(tx, ticket.id)
    assert after is not None
    return after


async def no_show(tx: Tx, actor: Actor, ask: Missed) -> AppointmentNow:
    """The patient did not come, or not when called: the appointment, and its ticket where it has one.

    Raises `StepNotAllowed`, `WrongState`, and `CallFirst` where the patient is there and waits.
    """
    before = await open_appointment(tx, actor, ask.appointment_id)
    must(Step.no_show, before)
    if before.ticket_id is None:
        if before.starts_at > tx.now:
            raise errors.StepNotAllowed("It has not begun yet.", state=before.state, step=Step.no_show)
        return moved(await life.stepped(tx, before, Step.no_show, ended_at=tx.now))
    line, ticket = await _ticket_of(tx, actor, before)
    ticket = await _at_desk(line, ticket, None)
    await queue.missed(line, ticket, ask.reason)
    return await _both(line, ticket)


async def cancel(tx: Tx, actor: Actor, ask: life.CancelAppointment) -> life.CalledOff:
    """Call an appointment off, or withdraw a request; its seats are free, and whoever waits has left the queue.

    Raises `StepNotAllowed`, `WrongState`, and `DeadlinePassed` for patients who are too late.
    """
    gone = await called_off(tx, actor, await open_appointment(tx, actor, ask.appointment_id), ask.reason)
    return life.CalledOff(**dict(gone.patient_row()))


async def called_off(tx: Tx, actor: Actor, before: Appointment, reason: str | None) -> Appointment:
    """The gated appointment, called off together with its ticket, which comes back only with a new check-in."""
    must(Step.cancel, before)
    if before.ticket_id is None:
        return await life.cancelled(tx, actor, before, reason)
    line, ticket = await _ticket_of(tx, actor, before)
    await queue.given_up(line, ticket, reason, for_good=before.kind == "scheduled")
    await line.settle()
    if before.kind == "walk_in":
        after = await mirror(tx, ticket.id)
        assert after is not None
        return after
    left = replace(
        before, state=State.confirmed, ticket_id=None, token=None, queue_id=None, checked_in_at=None, undo=None
    )
    return await life.cancelled(tx, actor, left, reason, was=before)


async def undo(tx: Tx, actor: Actor, ask: OfAppointment) -> AppointmentNow:
    """Take the last step back, of the appointment and of its ticket; that of checking in gives the ticket up.

    Raises `NothingToUndo`, `SlotFull`, `PatientElsewhere`, `DeskBusy`, `AlreadyWaiting`.
    """
    found = await appointment_as(tx, actor, ask.appointment_id, asked=True)
    if found.ticket_id is None:
        return await life.undo(tx, actor, ask)
    before = await open_appointment(tx, actor, ask.appointment_id, asked=True)
    line, ticket = await _ticket_of(tx, actor, before)
    kept = before.undo
    if kept is None or not rules.can_undo(kept["step"], datetime.fromisoformat(kept["at"]), tx.now):
        raise errors.NothingToUndo(state=before.state)
    if kept["step"] == Step.check_in:
        if ticket.state not in (TicketState.waiting, TicketState.on_hold):
            raise errors.NothingToUndo("The patient has been called.", state=before.state)
        await queue.given_up(line, ticket, None)
    else:
        if ticket.undo is None or ticket.undo["step"] != kept["step"]:
            raise errors.NothingToUndo("Take the ticket's last step back first.", state=before.state)
        await undone(line, ticket)
    return await _both(line, ticket, kept["step"])


async def _ticket_of(tx: Tx, actor: Actor, appointment: Appointment) -> tuple[Line, Ticket]:
    """The appointment's ticket and its queue, whose gate is held."""
    assert appointment.queue_id is not None and appointment.ticket_id is not None
    line, _ = await load_line(tx, actor, appointment.queue_id)
    return line, await line.ticket(appointment.ticket_id)


async def _at_desk(line: Line, ticket: Ticket, desk_id: int | None) -> Ticket:
    """The ticket, called to the desk where its patient still waits. Raises `CallFirst` where none is named."""
    if ticket.state not in (TicketState.waiting, TicketState.on_hold):
        return ticket
    if desk_id is None:
        raise errors.CallFirst(token=ticket.token)
    return await queue.called_by_hand(line, ticket, desk_id, "Begun from the agenda.")


async def _both(line: Line, ticket: Ticket, undid: str | None = None) -> AppointmentNow:
    """Settle the queue, and answer what became of the appointment."""
    await line.settle()
    after = await mirror(line.tx, ticket.id, undid)
    assert after is not None
    return moved(after)


NO_SHOW: Command[Missed, AppointmentNow] = Command(
    "no-show-appointment", no_show, Missed, AppointmentNow, STAFF, "POST /appointments/{appointment_id}/no-show"
)
HERE = frozenset({*STAFF, Role.device})
KIOSKS = frozenset({Role.device})
COMMANDS: list[Command[Any, Any]] = [
    Command("check-in", check_in, CheckIn, CheckedIn, PEOPLE, "POST /appointments/{appointment_id}/check-in"),
    Command(
        "cancel-appointment",
        cancel,
        life.CancelAppointment,
        life.CalledOff,
        PEOPLE,
        "POST /appointments/{appointment_id}/cancel",
    ),
    Command("check-in-by-link", check_in_by_link, CheckInByLink, CheckedIn, ANYBODY, "POST /check-in/link", once=True),
    Command("check-in-here", check_in_here, CheckInHere, CheckedIn, KIOSKS, "POST /check-in"),
    Command("start-appointment", start, AtDesk, AppointmentNow, STAFF, "POST /appointments/{appointment_id}/start"),
    Command(
        "complete-appointment", complete, AtDesk, AppointmentNow, STAFF, "POST /appointments/{appointment_id}/complete"
    ),
    NO_SHOW,
    Command("undo-appointment", undo, OfAppointment, AppointmentNow, STAFF, "POST /appointments/{appointment_id}/undo"),
]
QUERIES: list[Query[Any, Any]] = [
    Query("arrival-code", arrival_code, OfPlace, PlaceCode, HERE, "GET /locations/{location_id}/arrival-code"),
]
