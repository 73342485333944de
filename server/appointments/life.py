"""What becomes of an appointment before the day: cancelled, moved to another time, and a last step taken back.

Invariants: a seat is freed in the transaction that ends its appointment, and of one that moves only after the new seat
is taken; where the new time has to be confirmed, only once it is. So somebody who moves never stands without any. (One
exception, as nobody may be twice at one time: a wish for a time that overlaps the old one takes its place at once.)
Staff who act after the patient's deadline leave that on record.
"""

from dataclasses import replace
from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from server import errors, events
from server.access import PEOPLE, Actor, Role
from server.appointments import rules, seats
from server.appointments.booking import (
    LONGEST,
    Booked,
    Terms,
    Wanted,
    add_appointment,
    booked,
    check_times,
    open_terms,
    refuse_elsewhere,
    stands_at_once,
    tell_new,
)
from server.appointments.records import (
    PLACES_OF,
    Appointment,
    appointment_as,
    facts,
    load_appointment,
    must,
    open_appointment,
    restored,
    save,
    streams_of,
    tell,
    way_back,
)
from server.appointments.requests import AppointmentNow, OfAppointment, moved, take_over
from server.appointments.rules import Step
from server.asks import Ask, Id, Text, wrong
from server.events import AppointmentState as State
from server.events import PatientAppointment
from server.store import Command, Tx

# Cancel


class CancelAppointment(Ask):
    """Call it off, and why."""

    appointment_id: Id
    reason: Text | None = None


class CalledOff(PatientAppointment):
    """The appointment, called off, as its patient sees it."""


async def cancelled(
    tx: Tx, actor: Actor, before: Appointment, reason: str | None, was: Appointment | None = None
) -> Appointment:
    """The gated appointment, called off by this actor; `was`: as it was until its ticket ended a moment ago.

    Raises `StepNotAllowed`, for one with a ticket, too: `visits.called_off` ends both.
    """
    must(Step.cancel, before)
    if before.ticket_id is not None:
        raise errors.StepNotAllowed("The patient is there already.", state=before.state, step=Step.cancel)
    late = refuse_late(actor, was or before, tx.now)
    after = replace(
        before,
        state=rules.after(Step.cancel),
        cancelled_by=by(actor),
        cancel_reason=reason,
        overridden=before.overridden or late,
        ended_at=tx.now,
        undo=way_back(before, Step.cancel, tx.now),
        slot_ids=[],
    )
    await seats.free_seats(tx, before.id)
    await save(tx, after, was or before)
    tell(tx, after, events.AppointmentCancelled(**facts(after), by=by(actor)), before)
    return after


def by(actor: Actor) -> Literal["patient", "staff", "system"]:
    """Who called it off, as the patient is told."""
    if actor.role is Role.system:
        return "system"
    return "patient" if actor.role is Role.patient else "staff"


def refuse_late(actor: Actor, appointment: Appointment, now: datetime) -> bool:
    """Whether the patient's deadline has passed. Raises `DeadlinePassed` where it is the patient who asks."""
    late = rules.too_late(appointment.state, appointment.change_until, now)
    if late and actor.role is Role.patient:
        assert appointment.change_until is not None
        raise errors.DeadlinePassed(change_until=appointment.change_until.isoformat())
    return late


# Move


class RescheduleAppointment(Ask):
    """Another time, with the same doctor where none is named."""

    appointment_id: Id
    slot_ids: list[Id] = Field(min_length=1, max_length=LONGEST)
    doctor_id: Id | None = None
    reason: Text | None = None
    token: str | None = Field(default=None, max_length=200, repr=False, description="Of the lock on these slots.")
    insist: bool = Field(default=False, description="Staff: although the patient is elsewhere then.")


async def reschedule(tx: Tx, actor: Actor, ask: RescheduleAppointment) -> Booked:
    """Move an appointment: a new one takes the seats, then the old one's are free; each knows the other.

    Where the new time has to be confirmed, it is a request, and the old one stays until somebody says yes. Raises
    whatever booking raises, `StepNotAllowed`, `MoveAsked`, and `DeadlinePassed` for patients who are too late.
    """
    found = await appointment_as(tx, actor, ask.appointment_id)
    place = await tx.conn.fetchrow(PLACES_OF, [found.id])
    assert place is not None
    wanted = await seats.times(tx.conn, list(dict.fromkeys(ask.slot_ids)))
    doctor_id = ask.doctor_id or (wanted[0].doctor_id if found.doctor_id else None)
    specialty_id = None if doctor_id else found.specialty_id
    gates = streams_of(place["doctors"], place["queue_id"])
    gates += await seats.offered_then(tx.conn, found.patient.id, ask.slot_ids)
    terms = await open_terms(tx, actor, ask.slot_ids, doctor_id, specialty_id, gates, found.slot_ids)
    before = await load_appointment(tx, actor, found.id)
    if terms.institution_id != before.institution_id:
        raise errors.NotFound("There is no such time here.")
    must(Step.reschedule, before)
    if set(before.slot_ids) == set(terms.slot_ids):
        raise wrong(("/slot_ids", "Should be another time.", "same-time"))
    if await tx.conn.fetchval(MOVE_ASKED, before.patient.id, before.id):
        raise errors.MoveAsked()
    late = refuse_late(actor, before, tx.now)
    visit_type_id = before.visit_type.id if before.visit_type else None
    terms = replace(terms, own=set(before.slot_ids) & set(terms.slot_ids))
    await check_times(tx, actor, terms, before.mode, visit_type_id, ask.token, ask.insist)
    insisted = ask.insist and actor.role is not Role.patient
    if not insisted:
        await refuse_elsewhere(tx, before.patient.id, terms, but=before.id)
    if ask.token:
        tx.released.append(ask.token)
    return booked(await move(tx, actor, before, terms, ask.reason, insisted, late))


MOVE_ASKED = """
select exists (select from appointments where patient_id = $1 and rescheduled_from = $2 and state = 'pending')
"""


async def move(
    tx: Tx,
    actor: Actor,
    before: Appointment,
    terms: Terms,
    reason: str | None,
    insisted: bool,
    late: bool,
    *,
    may_stay: bool = True,
) -> Appointment:
    """The appointment at its new time; the old one ended, or to end when somebody says yes (where it `may_stay`)."""
    wanted = _as_before(actor, before, terms.doctor_id, insisted)
    assert before.ends_at is not None
    apart = terms.times[-1].ends_at <= before.starts_at or terms.times[0].starts_at >= before.ends_at
    if may_stay and rules.stays_meanwhile(before.state, not stands_at_once(actor, terms), apart):
        if late:
            await save(tx, replace(before, overridden=True), before)
        new = await add_appointment(tx, replace(wanted, instead_of=before.starts_at), terms)
    else:
        new = await _take_place(tx, before, wanted, terms, reason, late)
    tell_new(tx, new)
    return new


async def _take_place(
    tx: Tx, before: Appointment, wanted: Wanted, terms: Terms, reason: str | None, late: bool
) -> Appointment:
    """The new appointment, the old one ended. Seats that both have go over; the others are taken first."""
    # Before the new one is there: until then the patient would be in two places at once, if only by themselves.
    ended = replace(
        before,
        state=rules.after(Step.reschedule),
        cancel_reason=reason,
        overridden=before.overridden or late,
        ended_at=tx.now,
        undo=None,
        slot_ids=[],
    )
    await tx.conn.execute(END_MOVED, before.id, ended.state)
    # A request to move that moves itself goes on standing for the appointment that it was to move.
    first = await tx.conn.fetchrow(MOVES, before.id) if before.state is State.pending else None
    if first is not None:
        wanted = replace(wanted, rescheduled_from=first["id"], instead_of=first["starts_at"])
    new = await add_appointment(tx, wanted, terms)
    await seats.hand_over(tx, before.id, new.id, sorted(terms.own))
    await seats.free_seats(tx, before.id)
    old = await save(tx, replace(ended, rescheduled_to=new.id), before)
    tell(tx, old, events.AppointmentRescheduled(**facts(old), to=new.id), before)
    if new.state is State.confirmed:
        await take_over(tx, new)
    return new


MOVES = """
select o.id, o.starts_at from appointments a join appointments o on o.id = a.rescheduled_from and o.state = 'confirmed'
where a.id = $1
"""
END_MOVED = "update appointments set state = $2 where id = $1"


def _as_before(actor: Actor, before: Appointment, doctor_id: int | None, insisted: bool) -> Wanted:
    return Wanted(
        patient=before.patient,
        visit_type_id=before.visit_type.id if before.visit_type else None,
        mode=before.mode,
        reason=before.reason,
        symptoms=before.symptoms,
        urgency=before.urgency,
        requirements=before.requirements,
        source=before.source,
        insurance=before.insurance,
        insisted=insisted or before.insisted,
        actor=actor,
        payment=before.payment,
        insurance_verified=before.insurance_verified,
        rescheduled_from=before.id,
        fee=before.fee if before.doctor_id == doctor_id else None,
    )


# Complete


async def completed(tx: Tx, before: Appointment) -> Appointment:
    """The gated appointment, over; one with a ticket is completed with its ticket."""
    must(Step.complete, before)
    if before.ticket_id is not None:
        raise errors.StepNotAllowed(
            "The patient is in the queue: complete the ticket.", state=before.state, step=Step.complete
        )
    return await stepped(tx, before, Step.complete, ended_at=tx.now)


async def stepped(tx: Tx, before: Appointment, step: Step, **values: Any) -> Appointment:
    """The gated appointment after a step of the day of the visit, told as a change of its state."""
    must(step, before)
    after = replace(before, state=rules.after(step), undo=way_back(before, step, tx.now), **values)
    await save(tx, after, before)
    tell(tx, after, events.AppointmentStatusChanged(**facts(after), was=before.state), before)
    return after


# Undo


async def undone(tx: Tx, before: Appointment) -> Appointment:
    """The gated appointment with its last step taken back; that of a ticket is taken back with the ticket.

    Raises `NothingToUndo` where there is none or it is too long ago, and `SlotFull` or `PatientElsewhere` where a step
    that freed a seat or the patient's time has lost it meanwhile.
    """
    kept = before.undo
    if kept is None or not rules.can_undo(kept["step"], datetime.fromisoformat(kept["at"]), tx.now):
        raise errors.NothingToUndo(state=before.state)
    after = restored(before, kept["before"])
    if after.state is State.pending and after.expires_at is not None and after.expires_at <= tx.now:
        raise errors.NothingToUndo("The request has expired meanwhile.", state=before.state)
    if kept["step"] in (Step.reject, Step.confirm):
        await tx.conn.execute(ASK_ANEW, before.id)
        after = replace(after, unanswered=before.asked)
    lost = [one for one in kept["slots"] if one not in before.slot_ids]
    if lost and rules.allowed(Step.cancel, after.state):
        # A slot that was removed meanwhile has no seat to take back.
        if before.starts_at <= tx.now or len(await tx.conn.fetch(BOOKABLE, lost)) != len(lost):
            raise errors.NothingToUndo("That time is not there any more.", state=before.state)
        await seats.take_seats(tx, before.id, lost)
        after = replace(after, slot_ids=kept["slots"])
    await save(tx, after, before)
    event = events.AppointmentStatusChanged(**facts(after), was=before.state, undid=kept["step"])
    tell(tx, after, event, before)
    return after


ASK_ANEW = """
update appointment_doctors set answer = null, reason = null, answered_at = null where appointment_id = $1
"""
BOOKABLE = "select id from slots where id = any($1::bigint[]) and open and block_id is null for update"


async def undo(tx: Tx, actor: Actor, ask: OfAppointment) -> AppointmentNow:
    """Take an appointment's last step back. Raises `NothingToUndo`, `SlotFull`, `PatientElsewhere`."""
    found = await tx.conn.fetchval(KEPT_SLOTS, ask.appointment_id)
    also = [row["doctor_id"] for row in await tx.conn.fetch(DOCTORS_OF_SLOTS, found or [])]
    before = await open_appointment(tx, actor, ask.appointment_id, also=streams_of(also), asked=True)
    return moved(await undone(tx, before))


# Its seats are free by now, and may have been another doctor's than the appointment's.
KEPT_SLOTS = """
select array(select jsonb_array_elements_text(undo -> 'slots')::bigint) from appointments
where id = $1 and undo is not null
"""
DOCTORS_OF_SLOTS = "select distinct doctor_id from slots where id = any($1::bigint[])"


COMMANDS: list[Command[Any, Any]] = [
    Command(
        "reschedule-appointment",
        reschedule,
        RescheduleAppointment,
        Booked,
        PEOPLE,
        "POST /appointments/{appointment_id}/reschedule",
        status=201,
    ),
]
