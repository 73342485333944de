"""What patients are told of their appointments: notices that follow the appointments' events.

Invariants: they are written in the very transaction of the event. An appointment is reminded of while it stands and at
no other time: moving it moves its reminders, calling it off takes them back, and taking that back brings them again.
"""

from typing import Any

from server import events
from server.events import AppointmentState as State
from server.notices import rules
from server.notices.rules import Channel, Kind
from server.notices.writing import Wanted, move_reminders, take_back, write
from server.store import Reactions, Tx


async def follow_confirmed(tx: Tx, stream: "events.Stream[Any]", event: events.AppointmentConfirmed) -> None:
    """It stands: say so, and remind of it."""
    told = await _told(tx, event.appointment)
    await _tell(tx, told, "rescheduled" if told["rescheduled_from"] else "booking-confirmed")
    await _remind(tx, told)


async def follow_accepted(tx: Tx, stream: "events.Stream[Any]", event: events.AppointmentAccepted) -> None:
    """A doctor accepted the request: say so, and remind of it."""
    told = await _told(tx, event.appointment)
    await _tell(tx, told, "rescheduled" if told["rescheduled_from"] else "request-accepted")
    await _remind(tx, told)


async def follow_rejected(tx: Tx, stream: "events.Stream[Any]", event: events.AppointmentRejected) -> None:
    """The request was turned down, or nobody answered it."""
    told = await _told(tx, event.appointment)
    if told["state"] == State.rejected:
        await _tell(tx, told, "request-expired" if event.expired else "request-rejected", told["answer_reason"])


async def follow_cancelled(tx: Tx, stream: "events.Stream[Any]", event: events.AppointmentCancelled) -> None:
    """It is called off: say so, and nothing else any more."""
    told = await _told(tx, event.appointment)
    await take_back(tx, event.appointment, *STANDS, "reminder")
    await _tell(tx, told, "cancelled", told["cancel_reason"])


async def follow_rescheduled(tx: Tx, stream: "events.Stream[Any]", event: events.AppointmentRescheduled) -> None:
    """Another took its place: its reminders go over. Of the new one it is told that it stands, as of any other."""
    told = await _told(tx, event.to)
    if told["state"] == State.confirmed:
        await move_reminders(tx, event.appointment, event.to)
    await take_back(tx, event.appointment)
    await _remind(tx, told)


async def follow_status(tx: Tx, stream: "events.Stream[Any]", event: events.AppointmentStatusChanged) -> None:
    """The patient is there, has been there, did not come; or a step was taken back."""
    told = await _told(tx, event.appointment)
    if event.undid is not None and event.was in UNDOES:
        taken = await take_back(tx, event.appointment, *UNDOES[event.was])
        if event.was == State.cancelled and told["state"] == State.confirmed and "cancelled" not in taken:
            await _tell(tx, told, "booking-confirmed")
    if told["state"] != State.confirmed:
        await take_back(tx, event.appointment, "reminder")
    await _remind(tx, told)


STANDS = ("booking-confirmed", "request-accepted", "rescheduled")
"""What says that an appointment stands."""
UNDOES: dict[State, tuple[str, ...]] = {
    # What is not true any more, once the step that led there is taken back.
    State.cancelled: ("cancelled",),
    State.rejected: ("request-rejected", "request-expired"),
    State.confirmed: STANDS,
}


async def _told(tx: Tx, appointment_id: int) -> Any:
    """The appointment as notices tell of it."""
    return await tx.conn.fetchrow(TOLD, appointment_id)


TOLD = """
with recursive before (id, rescheduled_from, moves) as (
    select id, rescheduled_from, 0 from appointments where id = $1
    union all
    select a.id, a.rescheduled_from, b.moves + 1
    from before b join appointments a on a.id = b.rescheduled_from and a.state = 'rescheduled'
)
select a.id, a.institution_id, a.kind, a.state, a.number, a.starts_at, a.ends_at, a.mode, a.answer_reason,
    a.cancel_reason, a.rescheduled_from, coalesce(l.zone, i.zone) as zone, i.name as institution,
    l.name as location, d.name as doctor, was.starts_at as was_at, p.id as patient_id, p.name as patient,
    p.email, p.phone, p.channels, o.id as origin, o.moves
from appointments a join institutions i on i.id = a.institution_id join locations l on l.id = a.location_id
join patients p on p.id = a.patient_id
left join doctors d on d.id = a.doctor_id left join appointments was on was.id = a.rescheduled_from
cross join lateral (select id, moves from before order by moves desc limit 1) o
where a.id = $1
"""


async def _tell(tx: Tx, told: Any, kind: Kind, reason: str | None = None) -> None:
    """Tell the patient of what happened just now, over the channels by which they are told of changes."""
    if told["kind"] != "scheduled" or told["starts_at"] <= tx.now:
        return
    cause = f"appointment:{told['id']}/{kind}@{tx.now:%Y%m%dT%H%M%S.%f}"
    channels = rules.told_over(told["channels"], told["email"], told["phone"])
    await write(tx, [_wanted(tx, told, kind, cause, channel, reason) for channel in channels])


async def _remind(tx: Tx, told: Any) -> None:
    """Have the patient reminded, as long as the appointment stands."""
    if told["kind"] != "scheduled" or told["state"] != State.confirmed:
        return
    due = rules.reminders(told["channels"], told["email"], told["phone"], told["starts_at"], tx.now)
    wanted = []
    for channel, before, at in due:
        cause = f"appointment:{told['id']}/reminder-{rules.label(before)}"
        wanted.append(_wanted(tx, told, "reminder", cause, channel, None, at))
    await write(tx, wanted)


def _wanted(
    tx: Tx, told: Any, kind: Kind, cause: str, channel: Channel, reason: str | None, due_at: Any = None
) -> Wanted:
    facts = {name: told[name] for name in ("number", "institution", "location", "doctor", "mode", "zone", "origin")}
    facts |= {
        "moves": told["moves"],
        "patient": told["patient"],
        "starts_at": told["starts_at"].isoformat(),
        "ends_at": told["ends_at"].isoformat(),
        "was_at": told["was_at"].isoformat() if told["was_at"] and kind == "rescheduled" else None,
        "reason": reason,
    }
    return Wanted(
        kind=kind,
        cause=cause,
        person=f"patient:{told['patient_id']}",
        channel=channel,
        due_at=due_at or tx.now,
        institution_id=told["institution_id"],
        patient_id=told["patient_id"],
        appointment_id=told["id"],
        facts=facts,
        worthless_at=told["starts_at"],
    )


REACTIONS: Reactions = {
    # On the doctors' streams: every appointment's facts are told there, a patient's only where they have an account.
    ("doctor", events.AppointmentConfirmed): [follow_confirmed],
    ("doctor", events.AppointmentAccepted): [follow_accepted],
    ("doctor", events.AppointmentRejected): [follow_rejected],
    ("doctor", events.AppointmentCancelled): [follow_cancelled],
    ("doctor", events.AppointmentRescheduled): [follow_rescheduled],
    ("doctor", events.AppointmentStatusChanged): [follow_status],
}
"""One event on several doctors' streams is told of once: its cause is the same."""
