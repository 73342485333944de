"""Requests: appointments that wait for a doctor, or the desk, to say yes or no; and that end when nobody does.

Invariant: a request holds its seat until it is answered or expires, and one doctor at most has accepted it: who does so
from time of their own has taken that before the seat that was held is free. A request to move an appointment leaves
that as it is until somebody says yes: then, and in the same transaction, it is over.
"""

from dataclasses import replace
from typing import Any

from server import errors, events
from server.access import STAFF, Actor, Role
from server.appointments import rules, seats
from server.appointments.records import (
    APPOINTMENT,
    Appointment,
    appointment_of,
    facts,
    must,
    open_appointment,
    save,
    tell,
    way_back,
)
from server.appointments.rules import Step
from server.asks import Ask, Id, Reply, Text
from server.events import AppointmentState as State
from server.events import DoctorAppointment
from server.store import Command, Tx


class OfAppointment(Ask):
    """A step that needs nothing but the appointment."""

    appointment_id: Id


class AppointmentNow(Reply):
    """An appointment after a step, as staff see it."""

    appointment: DoctorAppointment


def moved(appointment: Appointment) -> AppointmentNow:
    """What the asker of a step is answered."""
    return AppointmentNow(appointment=appointment.doctor_row())


# Accept


class AcceptRequest(Ask):
    """Yes: by a doctor for themselves, or by the desk for the doctor named."""

    appointment_id: Id
    doctor_id: Id | None = None


async def accept(tx: Tx, actor: Actor, ask: AcceptRequest) -> AppointmentNow:
    """Assign a request to a doctor, who has their own seat for it before the one that was held is free.

    Raises `AlreadyAccepted` with the name of who was faster, `StepNotAllowed`, `NotForYou`, `DoctorInactive`, and
    `SlotFull` where the doctor's own time is gone.
    """
    before = await open_appointment(tx, actor, ask.appointment_id, asked=True)
    if before.answered_at is not None and before.state is not State.rejected and before.doctor_id is not None:
        raise errors.AlreadyAccepted(f"Already accepted by {before.doctor_name}.", doctor=before.doctor_name)
    must(Step.accept, before)
    doctor_id = await _accepting(tx, actor, before, ask.doctor_id)
    terms = await tx.conn.fetchrow(DOCTOR_ACCEPTS, doctor_id, before.id)
    assert terms is not None
    if not terms["active"]:
        raise errors.DoctorInactive()
    await _take_own_time(tx, before, doctor_id)
    await tx.conn.execute(ANSWER, before.id, doctor_id, "accepted", None, tx.now)
    after = replace(
        before,
        doctor_id=doctor_id,
        doctor_name=terms["name"],
        state=rules.after(Step.accept),
        fee=before.fee if before.fee is not None else terms["fee"],
        answered_at=tx.now,
        undo=None,
    )
    await take_over(tx, after)
    await save(tx, after, before)
    told = events.AppointmentAccepted(**facts(after), doctor=doctor_id)
    tell(tx, after, told, before)
    return moved(after)


DOCTOR_ACCEPTS = """
select d.name, d.active, coalesce(v.fee, d.fee) as fee
from doctors d join appointments a on a.institution_id = d.institution_id
left join visit_types v on v.id = a.visit_type_id where d.id = $1 and a.id = $2
"""


async def _accepting(tx: Tx, actor: Actor, appointment: Appointment, named: int | None) -> int:
    """Who accepts: a doctor themselves; for the desk the one named, or the only one whom it concerns."""
    chosen = actor.doctor_id if actor.role is Role.doctor else named or appointment.doctor_id
    if chosen is None and len(appointment.unanswered) == 1:
        chosen = appointment.unanswered[0]
    if chosen is None or chosen not in appointment.asked:
        raise errors.NotForYou()
    if actor.role is Role.doctor and named not in (None, chosen):
        raise errors.NotForYou()
    return chosen


async def _take_own_time(tx: Tx, appointment: Appointment, doctor_id: int) -> None:
    """Give the appointment seats of this doctor's slots, unless it holds those; then free what it held."""
    held = await seats.times(tx.conn, appointment.slot_ids)
    if all(one.doctor_id == doctor_id for one in held):
        return
    assert appointment.ends_at is not None
    free = await seats.free_times(
        tx.conn, [doctor_id], appointment.location_id, appointment.starts_at, appointment.ends_at
    )
    own = rules.covering(free, appointment.starts_at, appointment.ends_at)
    if own is None:
        raise errors.SlotFull("That doctor's own time is taken meanwhile.")
    await seats.take_seats(tx, appointment.id, [one.id for one in own])
    await seats.free_seats(tx, appointment.id, [one.id for one in held])


ANSWER = """
update appointment_doctors set answer = $3, reason = $4, answered_at = $5 where appointment_id = $1 and doctor_id = $2
"""


# Reject


class RejectRequest(Ask):
    """No, and perhaps why; the desk says it for everybody, or for the doctor named."""

    appointment_id: Id
    doctor_id: Id | None = None
    reason: Text | None = None


async def reject(tx: Tx, actor: Actor, ask: RejectRequest) -> AppointmentNow:
    """Turn a request down: one doctor leaves it to the others; the last of them, or the desk, ends it.

    Raises `StepNotAllowed`, `NotForYou`, and `AlreadyAccepted` where another doctor has accepted it.
    """
    before = await open_appointment(tx, actor, ask.appointment_id, asked=True)
    if before.state is State.confirmed and before.answered_at is not None and before.doctor_id != actor.doctor_id:
        raise errors.AlreadyAccepted(f"Already accepted by {before.doctor_name}.", doctor=before.doctor_name)
    must(Step.reject, before)
    doctors = [actor.doctor_id] if actor.role is Role.doctor else [ask.doctor_id] if ask.doctor_id else before.asked
    if any(one not in before.asked for one in doctors):
        raise errors.NotForYou()
    for doctor_id in doctors:
        await tx.conn.execute(ANSWER, before.id, doctor_id, "rejected", ask.reason, tx.now)
    rest = [one for one in before.unanswered if one not in doctors]
    if rest:
        after = replace(before, unanswered=rest)
        tx.about(f"appointment:{before.id}", {"asked": before.unanswered}, {"asked": rest}, before.patient.id)
        _leave_to_others(tx, before, after)
        return moved(after)
    ended = replace(before, unanswered=[], answer_reason=ask.reason)
    return moved(await turn_down(tx, ended, before, Step.reject))


def _leave_to_others(tx: Tx, before: Appointment, after: Appointment) -> None:
    """Take a request out of the sight of the doctors who rejected it; nobody else is told."""
    event = events.AppointmentUpdated(**facts(after))
    for id_ in sorted(set(before.audience) - set(after.audience)):
        tx.append(events.doctor(id_), event, drop=[after.row_key])


async def turn_down(tx: Tx, after: Appointment, before: Appointment, step: Step) -> Appointment:
    """End a request, by an answer or for want of one; its seats are free."""
    undo = way_back(before, step, tx.now) if rules.UNDO_WITHIN.get(step) else None
    ended = replace(after, state=rules.after(step), answered_at=tx.now, ended_at=tx.now, undo=undo, slot_ids=[])
    await seats.free_seats(tx, before.id)
    await save(tx, ended, before)
    tell(tx, ended, events.AppointmentRejected(**facts(ended), expired=step is Step.expire), before)
    return ended


async def confirm(tx: Tx, actor: Actor, ask: OfAppointment) -> AppointmentNow:
    """Confirm a request that is with one doctor. Raises `StepNotAllowed`; `NotForYou` where none is chosen yet."""
    return moved(await confirmed(tx, await open_appointment(tx, actor, ask.appointment_id)))


async def confirmed(tx: Tx, before: Appointment) -> Appointment:
    """The gated request, confirmed."""
    must(Step.confirm, before)
    if before.doctor_id is None:
        raise errors.NotForYou("Nobody has accepted that request: choose the doctor.")
    await tx.conn.execute(ANSWER, before.id, before.doctor_id, "accepted", None, tx.now)
    # Once the appointment that it moves is over, there is no way back to asking.
    moves = await take_over(tx, before)
    undo = None if moves else way_back(before, Step.confirm, tx.now)
    after = replace(before, state=rules.after(Step.confirm), answered_at=tx.now, undo=undo)
    await save(tx, after, before)
    tell(tx, after, events.AppointmentConfirmed(**facts(after)), before)
    return after


async def take_over(tx: Tx, new: Appointment) -> bool:
    """Whether the appointment that this gated one is to move stood until now; it is over, its seats are free.

    Call it before anybody is told of the new one: what reminds of the old goes over to it.
    """
    row = new.rescheduled_from and await tx.conn.fetchrow(STILL_STANDS, new.rescheduled_from)
    if not row:
        return False
    old = appointment_of(row)
    ended = replace(
        old, state=rules.after(Step.reschedule), rescheduled_to=new.id, ended_at=tx.now, undo=None, slot_ids=[]
    )
    await seats.free_seats(tx, old.id)
    await save(tx, ended, old)
    tell(tx, ended, events.AppointmentRescheduled(**facts(ended), to=new.id), old)
    return True


STILL_STANDS = APPOINTMENT + " where a.id = $1 and a.state = 'confirmed'"


# Expire


async def expire(tx: Tx, actor: Actor, ask: OfAppointment) -> AppointmentNow:
    """End a request whose time has run out. Raises `StepNotAllowed` where it was answered meanwhile."""
    before = await open_appointment(tx, actor, ask.appointment_id)
    must(Step.expire, before)
    if before.expires_at is None or before.expires_at > tx.now:
        raise errors.StepNotAllowed("That request has time left.", state=before.state, step=Step.expire)
    return moved(await turn_down(tx, before, before, Step.expire))


EXPIRE = Command("expire-request", expire, OfAppointment, AppointmentNow, frozenset(), "")
"""The worker's, for each of `DUE`."""
DUE = """
select id from appointments where state = 'pending' and expires_at <= $1 order by expires_at limit 500
"""

COMMANDS: list[Command[Any, Any]] = [
    Command(
        "accept-request", accept, AcceptRequest, AppointmentNow, STAFF, "POST /appointments/{appointment_id}/accept"
    ),
    Command(
        "reject-request", reject, RejectRequest, AppointmentNow, STAFF, "POST /appointments/{appointment_id}/reject"
    ),
    Command(
        "confirm-appointment",
        confirm,
        OfAppointment,
        AppointmentNow,
        STAFF,
        "POST /appointments/{appointment_id}/confirm",
    ),
]
