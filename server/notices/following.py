"""What patients are told of their appointments: notices that follow the appointments' events.

Invariants: they are written in the very transaction of the event. An appointment is reminded of while it stands and at
no other time: moving it moves its reminders, calling it off takes them back, and taking that back brings them again.
"""

from datetime import timedelta
from typing import Any

from server import events
from server.appointments.visits import link_of
from server.events import AppointmentState as State
from server.notices import rules
from server.notices.rules import Kind
from server.notices.telling import Reader, reader, tell
from server.notices.writing import Wanted, move_reminders, take_back, write
from server.patients import phones
from server.store import Reactions, Tx


async def follow_confirmed(tx: Tx, stream: "events.Stream[Any]", event: events.AppointmentConfirmed) -> None:
    """It stands: say so, and remind of it."""
    told, to = await _told(tx, event.appointment)
    await _tell(tx, told, to, "rescheduled" if told["rescheduled_from"] else "booking-confirmed")
    await _remind(tx, told, to)


async def follow_accepted(tx: Tx, stream: "events.Stream[Any]", event: events.AppointmentAccepted) -> None:
    """A doctor accepted the request: say so, and remind of it."""
    told, to = await _told(tx, event.appointment)
    await _tell(tx, told, to, "rescheduled" if told["rescheduled_from"] else "request-accepted")
    await _remind(tx, told, to)


async def follow_rejected(tx: Tx, stream: "events.Stream[Any]", event: events.AppointmentRejected) -> None:
    """The request was turned down, or nobody answered it."""
    told, to = await _told(tx, event.appointment)
    if told["state"] == State.rejected:
        await _tell(tx, told, to, "request-expired" if event.expired else "request-rejected", told["answer_reason"])


async def follow_cancelled(tx: Tx, stream: "events.Stream[Any]", event: events.AppointmentCancelled) -> None:
    """It is called off: say so, and nothing else any more."""
    told, to = await _told(tx, event.appointment)
    await take_back(tx, event.appointment, *STANDS, "reminder")
    await _tell(tx, told, to, "cancelled", told["cancel_reason"])


async def follow_rescheduled(tx: Tx, stream: "events.Stream[Any]", event: events.AppointmentRescheduled) -> None:
    """Another took its place: its reminders go over. Of the new one it is told that it stands, as of any other."""
    told, to = await _told(tx, event.to)
    if told["state"] == State.confirmed:
        await move_reminders(tx, event.appointment, event.to)
    await take_back(tx, event.appointment)
    await _remind(tx, told, to)


async def follow_status(tx: Tx, stream: "events.Stream[Any]", event: events.AppointmentStatusChanged) -> None:
    """The patient is there, has been there, did not come; or a step was taken back."""
    if event.kind == "walk_in" and event.undid is None and event.state != State.completed:
        return  # Nobody was reminded of it, and a visit is thanked for when it is over.
    told = await _read(tx, event.appointment)
    if event.kind == "walk_in" and event.undid is None and not told["reached"]:
        return  # Whoever cannot be thanked costs a look and nothing more.
    to = await _reader(tx, told)
    if event.undid is not None and event.was in UNDOES:
        taken = await take_back(tx, event.appointment, *UNDOES[event.was])
        if event.was == State.cancelled and told["state"] == State.confirmed and "cancelled" not in taken:
            await _tell(tx, told, to, "booking-confirmed")
    if told["state"] != State.confirmed:
        await take_back(tx, event.appointment, "reminder")
    await _remind(tx, told, to)
    if event.undid is None:
        await _tell_afterwards(tx, told, to)


async def remind_again(tx: Tx, patient_id: int) -> None:
    """Have a patient reminded as they want it now, of every appointment that stands; the caller holds their row."""
    for row in await tx.conn.fetch(STANDING, patient_id, tx.now):
        told, to = await _told(tx, row["id"])
        await take_back(tx, row["id"], "reminder")
        await _remind(tx, told, to)


STANDING = """
select id from appointments
where patient_id = $1 and kind = 'scheduled' and state = 'confirmed' and starts_at > $2 order by id
"""


STANDS = ("booking-confirmed", "request-accepted", "rescheduled")
"""What says that an appointment stands."""
UNDOES: dict[State, tuple[str, ...]] = {
    # What is not true any more, once the step that led there is taken back.
    State.cancelled: ("cancelled",),
    State.rejected: ("request-rejected", "request-expired"),
    State.confirmed: STANDS,
    State.no_show: ("no-show",),
    State.completed: ("thank-you",),
}


async def _told(tx: Tx, appointment_id: int) -> tuple[Any, Reader]:
    """The appointment as notices tell of it, and its patient, who says nothing new of them until the command ends."""
    told = await _read(tx, appointment_id)
    return told, await _reader(tx, told)


async def _read(tx: Tx, appointment_id: int) -> Any:
    """The appointment as notices tell of it, `reached`: whether its patient has left any way to be told."""
    told = await tx.conn.fetchrow(TOLD, appointment_id)
    assert told is not None
    return told


async def _reader(tx: Tx, told: Any) -> Reader:
    return await reader(tx, told["patient_id"], told["doctor_id"], told["location_id"])


TOLD = """
with recursive before (id, rescheduled_from, moves) as (
    select id, rescheduled_from, 0 from appointments where id = $1
    union all
    select a.id, a.rescheduled_from, b.moves + 1
    from before b join appointments a on a.id = b.rescheduled_from and a.state = 'rescheduled'
)
select a.id, a.institution_id, a.kind, a.state, a.number, a.starts_at, a.ends_at, a.mode, a.answer_reason,
    a.cancel_reason, a.rescheduled_from, a.patient_id, a.doctor_id, a.location_id, l.name as location,
    l.phone, l.arrival_secret, d.name as doctor, was.starts_at as was_at, was.state = 'confirmed' as was_stands,
    o.id as origin, o.moves,
    p.email is not null or p.phone is not null
    or exists (select from users u where u.patient_id = p.id)
    or exists (select from push_subscriptions s where s.person = 'patient:' || p.id) as reached
from appointments a join locations l on l.id = a.location_id join patients p on p.id = a.patient_id
left join doctors d on d.id = a.doctor_id left join appointments was on was.id = a.rescheduled_from
cross join lateral (select id, moves from before order by moves desc limit 1) o
where a.id = $1
"""


async def _tell(tx: Tx, told: Any, to: Reader, kind: Kind, reason: str | None = None) -> None:
    """Tell the patient of what happened just now to an appointment that is still to come."""
    if told["kind"] == "scheduled" and told["starts_at"] > tx.now:
        cause = f"appointment:{told['id']}/{kind}@{tx.now:%Y%m%dT%H%M%S.%f}"
        facts, until = _facts(told, kind, reason), told["starts_at"]
        await tell(tx, to, kind, cause, facts, until=until, appointment_id=told["id"])


async def _tell_afterwards(tx: Tx, told: Any, to: Reader) -> None:
    """Some time after a visit, thank for it and ask how it was; after one that was missed, offer another."""
    settings = to.settings
    kind: Kind
    if told["state"] == State.completed and settings.thank:
        kind, after = "thank-you", settings.thank_minutes
    elif told["state"] == State.no_show and told["kind"] == "scheduled" and settings.follow_no_show:
        kind, after = "no-show", settings.no_show_minutes
    else:
        return
    cause, at = f"appointment:{told['id']}/{kind}@{tx.now:%Y%m%dT%H%M%S.%f}", tx.now + timedelta(minutes=after)
    await tell(tx, to, kind, cause, _facts(told, kind, None), at=at, until=at + LATEST, appointment_id=told["id"])


LATEST = timedelta(days=2)
"""A visit that is longer over is not spoken of any more."""


async def _remind(tx: Tx, told: Any, to: Reader) -> None:
    """Have the patient reminded, as long as the appointment stands."""
    if told["kind"] != "scheduled" or told["state"] != State.confirmed:
        return
    times = [(one.channel, timedelta(minutes=one.minutes)) for one in to.settings.reminders]
    due = rules.reminders(times, to.reach, told["starts_at"], tx.now, to.settings.channels)
    facts = {"institution": to.institution, "patient": to.name, "zone": to.zone, **_facts(told, "reminder", None)}
    wanted = [
        Wanted(
            kind="reminder",
            cause=f"appointment:{told['id']}/reminder-{rules.label(before)}",
            person=to.person,
            channel=channel,
            due_at=rules.reminder_due(channel, at, told["starts_at"], tx.now, to.quiet),
            institution_id=to.institution_id,
            patient_id=to.patient_id,
            appointment_id=told["id"],
            language=to.language,
            facts=facts,
            worthless_at=told["starts_at"],
        )
        for channel, before, at in due
    ]
    await write(tx, wanted)


def _facts(told: Any, kind: Kind, reason: str | None) -> dict[str, Any]:
    """What notices of a kind say of an appointment; nothing of what it is for."""
    comes = told["mode"] == "in_person" and told["state"] == State.confirmed
    return {
        "here": link_of(told["arrival_secret"], told["id"]) if comes else None,
        **{name: told[name] for name in ("number", "location", "doctor", "mode", "origin", "moves")},
        "starts_at": told["starts_at"].isoformat(),
        "ends_at": told["ends_at"].isoformat() if told["ends_at"] else None,
        "was_at": told["was_at"].isoformat() if told["was_at"] and kind == "rescheduled" else None,
        # What a request was to move stays when it is turned down.
        "stands_at": told["was_at"].isoformat() if told["was_stands"] and kind in TURNED_DOWN else None,
        "phone": phones.shown(told["phone"]) if told["phone"] else None,
        "reason": reason,
    }


TURNED_DOWN: frozenset[Kind] = frozenset({"request-rejected", "request-expired"})

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
