"""One appointment behind its gates: loading and saving it, and telling everybody what changed.

Invariants: rows are made from the same `Appointment` that is saved, so a stream's old rows plus its events equal its
rows read afresh (`doctor_rows`, `patient_rows`). An appointment is changed only with the gates held of every doctor it
concerns and of its ticket's queue.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

import asyncpg
import orjson

from server import errors, events
from server.access import DESK, Actor, Role
from server.appointments import rules
from server.appointments.rules import Step
from server.events import AppointmentState as State
from server.events import DoctorAppointment, Mode, PatientAppointment, Payment, Person, Source, Urgency, VisitType
from server.queue.line import dumps
from server.store import Connection, Tx

NO_APPOINTMENT = "There is no such appointment here."


@dataclass(frozen=True, slots=True)
class Appointment:
    """An appointment as PostgreSQL has it, with its patient and the names of everything it points at."""

    id: int
    institution_id: int
    number: str
    kind: Literal["scheduled", "walk_in"]
    patient: Person
    has_account: bool
    doctor_id: int | None
    doctor_name: str | None
    specialty_id: int | None
    specialty_name: str | None
    location_id: int
    location_name: str
    visit_type: VisitType | None
    mode: Mode
    state: State
    starts_at: datetime
    ends_at: datetime | None
    reason: str | None
    symptoms: str | None
    urgency: Urgency
    requirements: list[str]
    source: Source
    insisted: bool
    fee: Decimal | None
    currency: str | None
    payment: Payment
    insurance: dict[str, Any] | None
    insurance_verified: bool
    expires_at: datetime | None
    change_until: datetime | None
    answered_at: datetime | None
    answer_reason: str | None
    rescheduled_from: int | None
    rescheduled_to: int | None
    cancelled_by: Literal["patient", "staff", "system"] | None
    cancel_reason: str | None
    overridden: bool
    ticket_id: int | None
    token: str | None
    queue_id: int | None
    checked_in_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    undo: dict[str, Any] | None
    created_at: datetime
    filed_at: datetime | None
    asked: list[int]
    """The doctors whom the request concerned."""
    unanswered: list[int]
    """Those of them who have not answered."""
    slot_ids: list[int]
    """Whose seats it holds, in order of time."""

    @property
    def row_key(self) -> str:
        """The name of its row in every stream."""
        return f"a:{self.id}"

    @property
    def audience(self) -> list[int]:
        """The doctors whose streams show it: its own, or those who have yet to answer the request."""
        if self.filed_at is not None:
            return []
        if self.doctor_id is not None:
            return [self.doctor_id]
        return self.unanswered if self.state is State.pending else []

    def trail(self) -> dict[str, Any]:
        """What the audit trail compares of it."""
        return {
            "number": self.number,
            "state": self.state,
            "doctor": self.doctor_name,
            "location": self.location_name,
            "visit_type": self.visit_type.name if self.visit_type else None,
            "mode": self.mode,
            "starts_at": self.starts_at,
            "ends_at": self.ends_at,
            "fee": fee_text(self.fee),
            "payment": self.payment,
            "insurance_verified": self.insurance_verified,
            "answer_reason": self.answer_reason,
            "cancelled_by": self.cancelled_by,
            "cancel_reason": self.cancel_reason,
            "overridden": self.overridden,
            "insisted": self.insisted,
            "rescheduled_from": self.rescheduled_from,
            "rescheduled_to": self.rescheduled_to,
            "token": self.token,
        }

    def doctor_row(self) -> DoctorAppointment:
        """As its doctor and the desk see it."""
        return DoctorAppointment(
            appointment=self.id,
            number=self.number,
            walk_in=self.kind == "walk_in",
            state=self.state,
            starts_at=self.starts_at,
            ends_at=self.ends_at,
            doctor=self.doctor_id,
            specialty=self.specialty_id,
            location=self.location_id,
            mode=self.mode,
            visit_type=self.visit_type,
            patient=self.patient,
            reason=self.reason,
            symptoms=self.symptoms,
            urgency=self.urgency,
            requirements=self.requirements,
            source=self.source,
            created_at=self.created_at,
            expires_at=self.expires_at,
            fee=fee_text(self.fee),
            payment=self.payment,
            insurance_verified=self.insurance_verified,
            cancelled_by=self.cancelled_by,
            cancel_reason=self.cancel_reason,
            answer_reason=self.answer_reason,
            rescheduled_from=self.rescheduled_from,
            rescheduled_to=self.rescheduled_to,
            ticket=self.ticket_id,
            token=self.token,
            checked_in_at=self.checked_in_at,
            started_at=self.started_at,
            ended_at=self.ended_at,
            undo=self.undo["step"] if self.undo else None,
        )

    def patient_row(self) -> PatientAppointment:
        """As its own patient sees it."""
        until = {State.pending: self.starts_at, State.confirmed: self.change_until}.get(self.state)
        return PatientAppointment(
            appointment=self.id,
            number=self.number,
            state=self.state,
            starts_at=self.starts_at,
            ends_at=self.ends_at,
            doctor=self.doctor_id,
            doctor_name=self.doctor_name,
            specialty_name=self.specialty_name,
            location=self.location_id,
            location_name=self.location_name,
            mode=self.mode,
            visit_type=self.visit_type,
            reason=self.reason,
            answer_reason=self.answer_reason,
            cancel_reason=self.cancel_reason,
            cancelled_by=self.cancelled_by,
            change_until=until,
            expires_at=self.expires_at,
            fee=fee_text(self.fee),
            payment=self.payment,
            rescheduled_from=self.rescheduled_from,
            rescheduled_to=self.rescheduled_to,
            token=self.token,
            queue=self.queue_id,
        )


def fee_text(fee: Decimal | None) -> str | None:
    """A fee as it is written everywhere."""
    return None if fee is None else f"{fee:.2f}"


APPOINTMENT_COLUMNS = """
    a.id, a.institution_id, a.number, a.kind, a.doctor_id, d.name as doctor_name, a.specialty_id,
    s.name as specialty_name, a.location_id, l.name as location_name, a.mode, a.state, a.starts_at, a.ends_at,
    a.reason, a.symptoms, a.urgency, a.requirements, a.source, a.insisted, a.fee, a.currency, a.payment, a.insurance,
    a.insurance_verified, a.expires_at, a.change_until, a.answered_at, a.answer_reason, a.rescheduled_from,
    a.rescheduled_to, a.cancelled_by, a.cancel_reason, a.overridden, a.ticket_id, t.token, t.queue_id, a.checked_in_at,
    a.started_at, a.ended_at, a.undo, a.created_at, a.filed_at,
    v.id as visit_type_id, v.name as visit_type_name, v.colour as visit_type_colour,
    p.id as patient_id, p.name as patient_name, p.phone, p.birth_year, p.number as patient_number, p.birth_date,
    exists (select from users u where u.patient_id = p.id) as has_account,
    array(select c.doctor_id from appointment_doctors c where c.appointment_id = a.id order by 1) as asked,
    array(
        select c.doctor_id from appointment_doctors c where c.appointment_id = a.id and c.answer is null order by 1
    ) as unanswered,
    array(
        select x.slot_id from seats x join slots y on y.id = x.slot_id
        where x.appointment_id = a.id order by y.starts_at
    ) as slot_ids
"""
APPOINTMENT_FROM = """
from appointments a
join patients p on p.id = a.patient_id
join locations l on l.id = a.location_id
left join doctors d on d.id = a.doctor_id
left join specialties s on s.id = a.specialty_id
left join visit_types v on v.id = a.visit_type_id
left join tickets t on t.id = a.ticket_id
"""
APPOINTMENT = f"select {APPOINTMENT_COLUMNS} {APPOINTMENT_FROM}"
"""The columns of `appointment_of` and where they come from, for the queries below to narrow."""

PLAIN = (
    "id", "institution_id", "number", "kind", "has_account", "doctor_id", "doctor_name", "specialty_id",
    "specialty_name", "location_id", "location_name", "mode", "starts_at", "ends_at", "reason", "symptoms",
    "requirements", "source", "insisted", "fee", "currency", "payment", "insurance_verified", "expires_at",
    "change_until", "answered_at", "answer_reason", "rescheduled_from", "rescheduled_to", "cancelled_by",
    "cancel_reason", "overridden", "ticket_id", "token", "queue_id", "checked_in_at", "started_at", "ended_at",
    "created_at", "filed_at", "asked", "unanswered", "slot_ids",
)  # fmt: skip


def appointment_of(row: asyncpg.Record) -> Appointment:
    """A row of `APPOINTMENT` as an appointment."""
    visit = row["visit_type_id"]
    return Appointment(
        **{name: row[name] for name in PLAIN},
        patient=Person(
            id=row["patient_id"],
            name=row["patient_name"],
            phone=row["phone"],
            birth_year=row["birth_year"],
            number=row["patient_number"],
            birth_date=row["birth_date"],
        ),
        visit_type=VisitType(id=visit, name=row["visit_type_name"], colour=row["visit_type_colour"]) if visit else None,
        state=State(row["state"]),
        urgency=Urgency(row["urgency"]),
        insurance=orjson.loads(row["insurance"]) if row["insurance"] else None,
        undo=orjson.loads(row["undo"]) if row["undo"] else None,
    )


# Behind its gates


async def open_appointment(
    tx: Tx, actor: Actor, appointment_id: int, *, also: Sequence[events.Stream[Any]] = (), asked: bool = False
) -> Appointment:
    """Take the gates of an appointment (and the `also` ones) and load it for somebody whose business it is.

    `asked`: the doctors whom the request concerned may, too. Raises `NotFound`, and `NotAllowed` for staff whose
    appointment it is not, or who work elsewhere.
    """
    await gate_appointments(tx, actor, [appointment_id], also)
    return await load_appointment(tx, actor, appointment_id, asked=asked)


async def gate_appointments(
    tx: Tx, actor: Actor, appointment_ids: Sequence[int], also: Sequence[events.Stream[Any]] = ()
) -> None:
    """Take the gates of all these appointments in one statement; of those that are not there, none.

    Raises `NotFound` where nothing is left to gate.
    """
    rows = await tx.conn.fetch(PLACES_OF, list(appointment_ids))
    within = [row for row in rows if actor.within(row["institution_id"])]
    if not within and not also:
        raise errors.NotFound(NO_APPOINTMENT)
    streams = [one for row in within for one in streams_of(row["doctors"], row["queue_id"])]
    if streams or also:
        await tx.gate(*streams, *also)


# With the doctors of the appointment that a request would move, which ends when somebody says yes.
PLACES_OF = """
select a.id, a.institution_id, t.queue_id, array(
    select a.doctor_id where a.doctor_id is not null
    union
    select c.doctor_id from appointment_doctors c where c.appointment_id = a.id
    union
    select y.doctor_id from seats x join slots y on y.id = x.slot_id where x.appointment_id = a.id
    union
    select unnest(array[o.doctor_id, y.doctor_id]) from appointments o
    left join seats x on x.appointment_id = o.id left join slots y on y.id = x.slot_id
    where o.id = a.rescheduled_from and a.state = 'pending' and o.state = 'confirmed'
    except
    select null
) as doctors
from appointments a left join tickets t on t.id = a.ticket_id where a.id = any($1::bigint[])
"""


def streams_of(doctor_ids: Collection[int], queue_id: int | None = None) -> list[events.Stream[Any]]:
    """The gates of these doctors' appointments and slots, and of a ticket's queue."""
    streams: list[events.Stream[Any]] = [
        stream for id_ in doctor_ids for stream in (events.doctor(id_), events.slots(id_))
    ]
    return [*streams, events.board(queue_id)] if queue_id else streams


async def load_appointment(tx: Tx, actor: Actor, appointment_id: int, *, asked: bool = False) -> Appointment:
    """A gated appointment, for somebody whose business it is.

    Raises `NotFound`, `NotAllowed`, and `Overtaken` where it went elsewhere before its gates were taken.
    """
    appointment = await appointment_as(tx, actor, appointment_id, asked=asked)
    place = await tx.conn.fetchrow(PLACES_OF, [appointment_id])
    assert place is not None
    tx.must_hold(*streams_of(place["doctors"], place["queue_id"]))
    tx.institution_id = appointment.institution_id
    return appointment


async def appointment_as(view: Any, actor: Actor, appointment_id: int, *, asked: bool = False) -> Appointment:
    """An appointment as it is, for somebody whose business it is; `view` is a `Tx` or a `Read`."""
    row = await view.conn.fetchrow(APPOINTMENT_BY_ID, appointment_id)
    if row is None or not actor.within(row["institution_id"]):
        raise errors.NotFound(NO_APPOINTMENT)
    appointment = appointment_of(row)
    must_be_theirs(actor, appointment, asked=asked)
    return appointment


APPOINTMENT_BY_ID = APPOINTMENT + " where a.id = $1"


def must_be_theirs(actor: Actor, appointment: Appointment, *, asked: bool = False) -> None:
    """Raise `NotFound` for another patient's, `NotAllowed` for another doctor's or one at another location."""
    if actor.role is Role.patient and appointment.patient.id != actor.patient_id:
        raise errors.NotFound(NO_APPOINTMENT)
    if actor.role is Role.doctor and actor.doctor_id not in concerned(appointment, asked=asked):
        raise errors.NotAllowed("That is not one of your appointments.")
    if actor.role in DESK | {Role.doctor} and not actor.at(appointment.location_id):
        raise errors.NotAllowed("That appointment is not at one of your locations.")


def concerned(appointment: Appointment, *, asked: bool = False) -> set[int | None]:
    """The doctors whose business it is: its own, or those asked while nobody has accepted; `asked`: all those."""
    if asked or (appointment.doctor_id is None and appointment.state is State.pending):
        return {appointment.doctor_id, *appointment.asked} - {None}
    return {appointment.doctor_id} - {None}


def must(step: Step, appointment: Appointment) -> None:
    """Raise `StepNotAllowed` where the appointment's state does not allow the step."""
    if not rules.allowed(step, appointment.state):
        raise errors.StepNotAllowed(
            f"An appointment that is {appointment.state.replace('_', ' ')} cannot take the step {step}.",
            state=appointment.state,
            step=step,
        )


# Saving and telling


async def save(tx: Tx, after: Appointment, before: Appointment | None) -> Appointment:
    """Write an appointment's mutable columns, and on the trail what differs from `before`; answers it."""
    tx.about(f"appointment:{after.id}", before.trail() if before else None, after.trail(), patient=after.patient.id)
    await tx.conn.execute(
        SAVE_APPOINTMENT,
        after.id,
        after.doctor_id,
        after.state,
        after.fee,
        after.payment,
        dumps(after.insurance) if after.insurance else None,
        after.insurance_verified,
        after.answered_at,
        after.answer_reason,
        after.rescheduled_to,
        after.cancelled_by,
        after.cancel_reason,
        after.overridden,
        after.ticket_id,
        after.checked_in_at,
        after.started_at,
        after.ended_at,
        dumps(after.undo) if after.undo else None,
        after.expires_at,
        after.ends_at,
    )
    return after


SAVE_APPOINTMENT = """
update appointments set doctor_id = $2, state = $3, fee = $4, payment = $5, insurance = $6, insurance_verified = $7,
    answered_at = $8, answer_reason = $9, rescheduled_to = $10, cancelled_by = $11, cancel_reason = $12,
    overridden = $13, ticket_id = $14, checked_in_at = $15, started_at = $16, ended_at = $17, undo = $18,
    expires_at = $19, ends_at = $20
where id = $1
"""


def tell(tx: Tx, appointment: Appointment, event: events.Event, before: Appointment | None = None) -> None:
    """Tell an appointment's doctors, and its patient where they have an account, what became of it.

    Doctors whom it concerned `before` and does not any more lose its row.
    """
    row = appointment.doctor_row()
    for id_ in appointment.audience:
        tx.append(events.doctor(id_), event, put=[row])
    for id_ in sorted(set(before.audience if before else ()) - set(appointment.audience)):
        tx.append(events.doctor(id_), event, drop=[appointment.row_key])
    if appointment.has_account and appointment.filed_at is None:
        tx.append(events.patient(appointment.patient.id), event, put=[appointment.patient_row()])


def facts(appointment: Appointment) -> dict[str, Any]:
    """What every event about an appointment says of it."""
    return {name: getattr(appointment, name) for name in ("number", "kind", "state")} | {"appointment": appointment.id}


# The way back

KEPT = ("state", "answered_at", "answer_reason", "cancelled_by", "cancel_reason", "overridden", "ticket_id",
        "checked_in_at", "started_at", "ended_at", "ends_at")  # fmt: skip
TIMES = frozenset({"answered_at", "checked_in_at", "started_at", "ended_at", "ends_at"})


def way_back(before: Appointment, step: Step, now: datetime) -> dict[str, Any]:
    """What it takes to take a step back: the values before it, and whose seats were held."""
    kept = {name: getattr(before, name) for name in KEPT}
    values = {name: value.isoformat() if isinstance(value, datetime) else value for name, value in kept.items()}
    return {"step": step, "at": now.isoformat(), "before": values, "slots": before.slot_ids}


def restored(appointment: Appointment, before: Mapping[str, Any]) -> Appointment:
    """The appointment with the values that `way_back` kept, and nothing more to take back."""
    values: dict[str, Any] = {
        name: datetime.fromisoformat(value) if name in TIMES and value else value for name, value in before.items()
    }
    values |= {"state": State(before["state"]), "undo": None}
    return replace(appointment, **values)


# Rows read afresh, for rebuilding a stream


async def doctor_rows(conn: Connection, doctor_id: int) -> list[DoctorAppointment]:
    """The appointments on a doctor's stream: their own, and the requests that wait for their answer."""
    return [appointment_of(row).doctor_row() for row in await conn.fetch(ON_DOCTORS_STREAM, doctor_id)]


ON_DOCTORS_STREAM = f"""
{APPOINTMENT} where a.id in (
    select id from appointments where doctor_id = $1 and filed_at is null
    union all
    select w.id from appointment_doctors c join appointments w on w.id = c.appointment_id
    where c.doctor_id = $1 and c.answer is null and w.doctor_id is null and w.state = 'pending' and w.filed_at is null
)
"""  # noqa: S608 (a constant)


async def patient_rows(conn: Connection, patient_id: int) -> list[PatientAppointment]:
    """The appointments on a patient's stream; nobody follows that of a patient without an account."""
    rows = await conn.fetch(ON_PATIENTS_STREAM, patient_id)
    return [appointment_of(row).patient_row() for row in rows]


ON_PATIENTS_STREAM = APPOINTMENT + " where a.patient_id = $1 and a.filed_at is null"
