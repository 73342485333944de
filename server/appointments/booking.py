"""Booking: somebody asks for a time with a doctor, or with any doctor of a specialty.

Invariants: every check is made with the gates of all doctors held whom the booking may concern, and the seat, the
appointment, its number and what everybody is told of it are committed together. What is checked here for a kinder
answer (full, elsewhere) the schema refuses by itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Self
from zoneinfo import ZoneInfo

import asyncpg
import orjson
from pydantic import Field, StringConstraints, model_validator

from server import errors, events
from server.access import PEOPLE, Actor, Role
from server.appointments import rules, seats
from server.appointments.records import (
    APPOINTMENT,
    Appointment,
    appointment_of,
    facts,
    streams_of,
    tell,
)
from server.appointments.rules import Wish
from server.asks import Ask, Id, Reply, Requirement, Text, wrong
from server.events import AppointmentState as State
from server.events import Mode, Person, Source, Urgency
from server.patients import NewPatient, access_patient, register_patient
from server.queue.line import dumps
from server.settings import BookingSettings, effective_booking
from server.slots.rules import Time
from server.store import Command, Connection, Tx

Symptoms = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2000)]
Policy = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=120)]
Reference = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
LONGEST = 24
"""Slots of one visit at most."""


class Coverage(Ask):
    """Who pays, and under which policy."""

    insurer: Policy
    policy: Policy | None = None


class BookAppointment(Ask):
    """A time with one doctor, or with any doctor of a specialty, at the time of the slots given.

    Patients book for themselves, with the token of their lock; staff book for anybody, without.
    """

    slot_ids: list[Id] = Field(min_length=1, max_length=LONGEST)
    doctor_id: Id | None = None
    specialty_id: Id | None = None
    patient_id: Id | None = None
    patient: NewPatient | None = Field(default=None, description="Registered on the spot, by staff.")
    visit_type_id: Id | None = None
    mode: Mode = "in_person"
    reason: Text | None = None
    symptoms: Symptoms | None = None
    urgency: Urgency = Urgency.routine
    requirements: list[Requirement] = Field(default=[], max_length=10)
    source: Source | None = Field(default=None, description="How it came in, where staff book.")
    insurance: Coverage | None = None
    reference: Reference | None = Field(default=None, description="Its name where it comes from, where staff book.")
    token: str | None = Field(default=None, max_length=200, repr=False, description="Of the lock on these slots.")
    insist: bool = Field(
        default=False,
        description="Staff: although the patient is elsewhere then or has too many, or the time is locked.",
    )

    @model_validator(mode="after")
    def _whom_and_with_whom(self) -> Self:
        if (self.doctor_id is None) == (self.specialty_id is None):
            raise ValueError("give either doctor_id or specialty_id")
        if self.patient_id is not None and self.patient is not None:
            raise ValueError("give either patient_id or patient")
        return self


class Booked(Reply):
    """The appointment as it stands: confirmed, or a request that is answered until `expires_at`."""

    appointment_id: int
    number: str
    state: State
    starts_at: datetime
    ends_at: datetime
    doctor_id: int | None
    doctor_name: str | None
    location_id: int
    location_name: str
    expires_at: datetime | None


async def book(tx: Tx, actor: Actor, ask: BookAppointment) -> Booked:
    """Take a seat of each slot for a patient: at once, or as a request that doctors answer.

    Raises `NotFound`, `SlotPast`, `SlotsApart`, `SlotBlocked`, `SlotClosed`, `SlotFull` with the nearest alternatives,
    `LockNeeded`, `LockLost`, `SlotLocked`, `TooSoon`, `TooFarAhead`, `TooManyOpen`, `ModeMismatch`,
    `VisitTypeNotOffered`, `VisitTooLong`, `DoctorInactive` and `PatientElsewhere`.
    """
    patient_id = actor.patient_id if actor.role is Role.patient else ask.patient_id
    also = await seats.offered_then(tx.conn, patient_id, ask.slot_ids)
    terms = await open_terms(tx, actor, ask.slot_ids, ask.doctor_id, ask.specialty_id, also, refusing_full=True)
    person = await _person(tx, actor, ask, terms)
    await check_times(tx, actor, terms, ask.mode, ask.visit_type_id, ask.token, ask.insist)
    await _check_patient(tx, actor, terms, person, ask.insist)
    appointment = await add_appointment(tx, _wanted(actor, ask, person), terms)
    if ask.token:
        tx.released.append(ask.token)
    tell_new(tx, appointment)
    return booked(appointment)


def booked(appointment: Appointment) -> Booked:
    """What its asker is answered."""
    assert appointment.ends_at is not None
    return Booked(
        appointment_id=appointment.id,
        number=appointment.number,
        state=appointment.state,
        starts_at=appointment.starts_at,
        ends_at=appointment.ends_at,
        doctor_id=appointment.doctor_id,
        doctor_name=appointment.doctor_name,
        location_id=appointment.location_id,
        location_name=appointment.location_name,
        expires_at=appointment.expires_at if appointment.state is State.pending else None,
    )


def tell_new(tx: Tx, appointment: Appointment) -> None:
    """Tell of a new appointment, and that it stands where it does so at once."""
    request = appointment.state is State.pending
    tell(tx, appointment, events.NewAppointment(**facts(appointment), request=request))
    if not request:
        tell(tx, appointment, events.AppointmentConfirmed(**facts(appointment)))


# Terms: the slots behind their gates, and what holds for them


@dataclass(frozen=True, slots=True)
class Terms:
    """The slots wanted, with the gates held of everybody concerned, and what holds for booking them."""

    institution_id: int
    times: list[Time]
    doctor_id: int | None
    """Whom the booking is with; None: any doctor of the specialty."""
    specialty_id: int | None
    concerned: list[int]
    """The doctors whom a request would concern."""
    active: bool
    fee: Decimal | None
    currency: str
    zone: ZoneInfo
    """The location's."""
    own_zone: ZoneInfo
    """The institution's, whose days numbers are counted by."""
    settings: BookingSettings
    own: set[int]
    """Slots of these whose seat the appointment that moves holds already."""

    @property
    def slot_ids(self) -> list[int]:
        """The slots, in order of time."""
        return [one.id for one in self.times]


async def open_terms(
    tx: Tx,
    actor: Actor,
    slot_ids: Sequence[int],
    doctor_id: int | None,
    specialty_id: int | None,
    also: Sequence[events.Stream[Any]] = (),
    moves: Sequence[int] = (),
    refusing_full: bool = False,
) -> Terms:
    """Take the gates of everybody whom a booking of these slots may concern (and the `also` ones), and read its terms.

    `moves`: slots that the appointment to be moved holds. `refusing_full`: the caller refuses a slot that is taken by
    these terms (`check_times`), so nobody is waited for where one is already: of many who want the last seat, all but
    the first few are answered at once. Raises `NotFound`, `NotAllowed` at another location.
    """
    wanted = await seats.times(tx.conn, list(dict.fromkeys(slot_ids)))
    first = wanted[0]
    concerned = await _concerned(tx.conn, wanted, specialty_id)
    place = await tx.conn.fetchrow(TERMS, first.doctor_id, first.location_id, specialty_id)
    if place is None or not actor.within(place["institution_id"]) or (specialty_id and place["specialty"] is None):
        raise errors.NotFound("There is no such time here.")
    if not actor.at(first.location_id):
        raise errors.NotAllowed("That time is not at one of your locations.")
    if doctor_id is not None and any(one.doctor_id != doctor_id for one in wanted):
        raise wrong(("/doctor_id", "Should be the doctor whose slots these are."))
    tx.institution_id = place["institution_id"]
    if not refusing_full or all(one.left > 0 for one in wanted):
        await tx.gate(*streams_of({*concerned, *(one.doctor_id for one in wanted)}), *also)
        wanted = await seats.times(tx.conn, [one.id for one in wanted])
    return terms_of(place, wanted, doctor_id, specialty_id, concerned, moves)


def terms_of(
    place: asyncpg.Record,
    times: Sequence[Time],
    doctor_id: int | None,
    specialty_id: int | None,
    concerned: list[int],
    moves: Sequence[int] = (),
) -> Terms:
    """What holds for these slots, as they are now that their gates are held, by a row of `TERMS`."""
    return Terms(
        institution_id=place["institution_id"],
        times=list(times),
        doctor_id=doctor_id,
        specialty_id=specialty_id or place["specialty_id"],
        concerned=concerned if doctor_id is None else [doctor_id],
        active=place["active"],
        fee=place["fee"] if doctor_id is not None else None,
        currency=place["currency"],
        zone=ZoneInfo(place["zone"]),
        own_zone=ZoneInfo(place["own_zone"]),
        settings=effective_booking(
            orjson.loads(place["booking"]), orjson.loads(place["doctor_booking"]) if doctor_id is not None else {}
        ),
        own=set(moves),
    )


TERMS = """
select d.institution_id, d.active, d.fee, d.specialty_id, d.booking::text as doctor_booking, i.booking::text as booking,
    i.currency, i.zone as own_zone, coalesce(l.zone, i.zone) as zone,
    (select s.id from specialties s where s.id = $3 and s.id = d.specialty_id and s.retired_at is null) as specialty
from doctors d join institutions i on i.id = d.institution_id join locations l on l.institution_id = i.id
where d.id = $1 and l.id = $2
"""


async def _concerned(conn: Connection, wanted: Sequence[Time], specialty_id: int | None) -> list[int]:
    """The active doctors of a specialty whom these slots are of, or who have free ones of their own over that time."""
    if specialty_id is None:
        return []
    doctors = [row["id"] for row in await conn.fetch(DOCTORS_OF, specialty_id)]
    starts_at, ends_at = wanted[0].starts_at, wanted[-1].ends_at
    free: dict[int, list[Time]] = {}
    for one in await seats.free_times(conn, doctors, wanted[0].location_id, starts_at, ends_at):
        free.setdefault(one.doctor_id, []).append(one)
    owners = {one.doctor_id for one in wanted}
    return [id_ for id_ in doctors if id_ in owners or rules.covering(free.get(id_, []), starts_at, ends_at)]


DOCTORS_OF = "select id from doctors where specialty_id = $1 and active order by id"


async def check_times(
    tx: Tx,
    actor: Actor,
    terms: Terms,
    mode: Mode,
    visit_type_id: int | None,
    token: str | None,
    insist: bool = False,
) -> None:
    """Raise what keeps this actor from these slots."""
    staff = actor.role is not Role.patient
    visit = await _visit_type(tx, terms, visit_type_id)
    if not terms.active or (terms.doctor_id is None and not terms.concerned):
        raise errors.DoctorInactive()
    minutes, visit_mode = (visit["minutes"], visit["mode"]) if visit else (None, "both")
    wish = Wish(mode, minutes, visit_mode, staff, terms.settings, terms.zone)
    refusal = rules.refusal(terms.times, wish, tx.now)
    if refusal is not None:
        raise refusal
    specialty = terms.specialty_id if terms.doctor_id is None else None
    wanted = [one for one in terms.times if one.id not in terms.own]
    if any(one.left < 1 for one in wanted):
        raise seats.full(tx, terms.institution_id, terms.times, mode, specialty)
    if not staff and token is None:
        raise errors.LockNeeded()
    if token is not None and tx.locks is not None and not await tx.locks.holds(token, terms.slot_ids):
        raise errors.LockLost()
    if token is None and not insist:
        await seats.refuse_locked(tx, terms.institution_id, wanted, mode, specialty)


async def _visit_type(tx: Tx, terms: Terms, visit_type_id: int | None) -> asyncpg.Record | None:
    """The visit type wanted. Raises `NotFound`, and `VisitTypeNotOffered` where the doctor does not take it."""
    if visit_type_id is None:
        return None
    row = await tx.conn.fetchrow(VISIT_TYPE, visit_type_id, terms.institution_id, terms.doctor_id)
    if row is None:
        raise errors.NotFound("There is no such visit type here.")
    if not row["offered"]:
        raise errors.VisitTypeNotOffered()
    return row


VISIT_TYPE = """
select v.minutes, v.mode, v.fee, (
    $3::bigint is null or not exists (select from doctor_visit_types t where t.doctor_id = $3)
    or exists (select from doctor_visit_types t where t.doctor_id = $3 and t.visit_type_id = v.id)
) as offered
from visit_types v where v.id = $1 and v.institution_id = $2 and v.retired_at is null
"""


# The patient


async def _person(tx: Tx, actor: Actor, ask: BookAppointment, terms: Terms) -> Person:
    """Whom it is for: patients book for themselves alone. Raises `NotFound`."""
    if actor.role is Role.patient:
        if ask.patient is not None or ask.patient_id not in (None, actor.patient_id):
            raise errors.NotFound("There is no such patient here.")
        return await access_patient(tx, terms.institution_id, actor.patient_id or 0)
    if ask.patient is not None:
        return await register_patient(tx, terms.institution_id, ask.patient)
    if ask.patient_id is None:
        raise wrong(("/patient_id", "This field is needed."))
    return await access_patient(tx, terms.institution_id, ask.patient_id)


async def _check_patient(tx: Tx, actor: Actor, terms: Terms, person: Person, insist: bool) -> None:
    """Raise `PatientElsewhere` or `TooManyOpen`, unless staff insist; nobody books for the patient meanwhile."""
    insist = insist and actor.role is not Role.patient
    await tx.conn.execute(HOLD_PATIENT, person.id)
    if insist:
        return
    await refuse_elsewhere(tx, person.id, terms)
    if await tx.conn.fetchval(COUNT_OPEN, person.id, tx.now) >= terms.settings.open_per_patient:
        raise errors.TooManyOpen(open_per_patient=terms.settings.open_per_patient)


async def refuse_elsewhere(tx: Tx, patient_id: int, terms: Terms, but: int | None = None) -> None:
    """Raise `PatientElsewhere` where the patient has another appointment at that time, the one that moves aside."""
    starts_at, ends_at = terms.times[0].starts_at, terms.times[-1].ends_at
    other = await tx.conn.fetchrow(ELSEWHERE, patient_id, starts_at, ends_at, but)
    if other is not None:
        raise rules.elsewhere(dict(other))


# Of two bookings for one patient with different doctors, the second counts the first's.
HOLD_PATIENT = "select id from patients where id = $1 for no key update"
COUNT_OPEN = """
select count(*) from appointments
where patient_id = $1 and kind = 'scheduled' and state in ('pending', 'confirmed') and starts_at > $2
"""
ELSEWHERE = """
select id, number, starts_at, ends_at from appointments
where patient_id = $1 and kind = 'scheduled' and state in ('pending', 'confirmed', 'checked_in', 'in_progress')
    and not insisted and during && tstzrange($2, $3) and id is distinct from $4
limit 1
"""


# The row


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a new appointment is, besides its time."""

    patient: Person
    visit_type_id: int | None
    mode: Mode
    reason: str | None
    symptoms: str | None
    urgency: Urgency
    requirements: list[str]
    source: Source
    insurance: dict[str, Any] | None
    insisted: bool
    actor: Actor
    payment: str = "unpaid"
    insurance_verified: bool = False
    rescheduled_from: int | None = None
    instead_of: datetime | None = None
    """When the appointment is that it is to move, where that stays until somebody says yes."""
    fee: Decimal | None = None
    """Another than the usual one, agreed upon before."""
    reference: str | None = None


def _wanted(actor: Actor, ask: BookAppointment, person: Person) -> Wanted:
    staff = actor.role is not Role.patient
    return Wanted(
        patient=person,
        visit_type_id=ask.visit_type_id,
        mode=ask.mode,
        reason=ask.reason,
        symptoms=ask.symptoms,
        urgency=ask.urgency,
        requirements=ask.requirements,
        source=(ask.source or "reception") if staff else "online",
        insurance=ask.insurance.model_dump() if ask.insurance else None,
        insisted=ask.insist and staff,
        actor=actor,
        reference=ask.reference if staff else None,
    )


def stands_at_once(actor: Actor, terms: Terms) -> bool:
    """Whether nobody has to be asked: the doctor wants it so, or books it."""
    if terms.doctor_id is None:
        return False
    return terms.settings.auto_confirm_appointments or actor.doctor_id == terms.doctor_id


async def add_appointment(tx: Tx, wanted: Wanted, terms: Terms) -> Appointment:
    """Write the appointment under its number, and take its seats but those that it is to be given (`terms.own`).

    The caller holds the gates, and has checked everything. Raises `SlotFull`, `PatientElsewhere`.
    """
    starts_at, ends_at = terms.times[0].starts_at, terms.times[-1].ends_at
    confirmed = stands_at_once(wanted.actor, terms)
    visit = await _visit_type(tx, terms, wanted.visit_type_id)
    id_ = await tx.conn.fetchval(
        ADD_APPOINTMENT,
        terms.institution_id,
        await seats.next_number(tx, terms.institution_id, "scheduled", terms.own_zone),
        wanted.patient.id,
        terms.doctor_id,
        terms.specialty_id,
        terms.times[0].location_id,
        wanted.visit_type_id,
        wanted.mode,
        State.confirmed if confirmed else State.pending,
        starts_at,
        ends_at,
        wanted.reason,
        wanted.symptoms,
        wanted.urgency,
        wanted.requirements,
        wanted.source,
        wanted.insisted,
        wanted.fee if wanted.fee is not None else _fee(visit, terms),
        terms.currency,
        dumps(wanted.insurance) if wanted.insurance else None,
        None if confirmed else rules.expires_at(tx.now, starts_at, terms.settings, wanted.instead_of),
        rules.change_until(starts_at, terms.settings),
        wanted.rescheduled_from,
        tx.now,
        wanted.actor.key,
        wanted.payment,
        wanted.insurance_verified,
        wanted.reference,
    )
    if not confirmed:
        await tx.conn.execute(ASK_DOCTORS, id_, terms.concerned)
    await seats.take_seats(tx, id_, [one for one in terms.slot_ids if one not in terms.own])
    row = await tx.conn.fetchrow(NEW_APPOINTMENT, id_)
    assert row is not None
    appointment = appointment_of(row)
    tx.about(f"appointment:{id_}", None, appointment.trail(), patient=appointment.patient.id)
    return appointment


def _fee(visit: asyncpg.Record | None, terms: Terms) -> Decimal | None:
    """The visit type's, where it has one of its own; the doctor's."""
    own: Decimal | None = visit["fee"] if visit else None
    return terms.fee if own is None else own


ADD_APPOINTMENT = """
insert into appointments (institution_id, number, kind, patient_id, doctor_id, specialty_id, location_id, visit_type_id,
    mode, state, starts_at, ends_at, reason, symptoms, urgency, requirements, source, insisted, fee, currency,
    insurance, expires_at, change_until, rescheduled_from, created_at, created_by, payment, insurance_verified,
    reference)
values ($1, $2, 'scheduled', $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21,
    $22, $23, $24, $25, $26, $27, $28)
returning id
"""
ASK_DOCTORS = "insert into appointment_doctors (appointment_id, doctor_id) select $1, unnest($2::bigint[])"
NEW_APPOINTMENT = APPOINTMENT + " where a.id = $1"


COMMANDS: list[Command[Any, Any]] = [
    Command("book-appointment", book, BookAppointment, Booked, PEOPLE, "POST /appointments", status=201),
]
