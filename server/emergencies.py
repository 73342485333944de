"""Emergencies: told to those on duty, and to ever more people, until somebody is on the way.

Invariants: one that nobody has acknowledged is always told to somebody, or is about to be: where nobody is on duty, to
more people at once. Each command holds the emergency's row until it ends, so two who answer at once are told apart, and
nothing escalates that is answered. Its streams are no gates: several doctors are told the same in any order.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import orjson

from server import errors, events
from server.access import PEOPLE, STAFF, Actor, Role
from server.asks import Ask, Id, Reply, Text, wrong
from server.events import Person
from server.patients import access_patient
from server.settings import effective_booking
from server.store import Command, Connection, Query, Reactions, Read, Tx

TOP = 2
"""The level at which everybody who works there, and the administration, has been told."""
REPEAT_FOR = timedelta(hours=2)
"""So long an alert is repeated at the top; its row stays until somebody ends it."""
AROUND = timedelta(minutes=15)
"""A doctor between two slots that are no further apart is on duty."""
LAST_CALL = timedelta(minutes=60)
"""A doctor who called or finished somebody so recently is on duty."""
CALLERS = frozenset({*PEOPLE, Role.ticket})
"""Patients with an account or a ticket's link, and everybody who works there."""

NO_EMERGENCY = "There is no such emergency here."


@dataclass(frozen=True, slots=True)
class Case:
    """An emergency as PostgreSQL has it, and the doctors who have been told."""

    id: int
    institution_id: int
    location_id: int
    location_name: str
    specialty_id: int | None
    specialty_name: str | None
    patient: Person | None
    reason: str
    raised_by: str
    raised_at: datetime
    level: int
    escalates_at: datetime | None
    acknowledged_by: str | None
    acknowledged_at: datetime | None
    ended_at: datetime | None
    told: list[int]

    @property
    def row_key(self) -> str:
        """The name of its row in every stream."""
        return f"e:{self.id}"

    def row(self) -> events.Emergency:
        """As those see it who are told."""
        return events.Emergency(
            emergency=self.id,
            location=self.location_id,
            location_name=self.location_name,
            specialty=self.specialty_id,
            specialty_name=self.specialty_name,
            patient=self.patient,
            reason=self.reason,
            raised_at=self.raised_at,
            level=self.level,
            acknowledged_at=self.acknowledged_at,
            acknowledged_by=self.acknowledged_by,
        )

    def trail(self) -> dict[str, Any]:
        """What the audit trail compares of it."""
        return {
            "location": self.location_name,
            "specialty": self.specialty_name,
            "level": self.level,
            "acknowledged_by": self.acknowledged_by,
            "ended": self.ended_at is not None,
        }


CASE = """
select e.id, e.institution_id, e.location_id, l.name as location_name, e.specialty_id, s.name as specialty_name,
    e.reason, e.raised_by, e.raised_at, e.level, e.escalates_at, e.acknowledged_by, e.acknowledged_at, e.ended_at,
    p.id as patient_id, p.name as patient_name, p.phone, p.birth_year, p.number, p.birth_date,
    array(select d.doctor_id from emergency_doctors d where d.emergency_id = e.id order by 1) as told
from emergencies e
join locations l on l.id = e.location_id
left join specialties s on s.id = e.specialty_id
left join patients p on p.id = e.patient_id
"""
"""The columns of `case_of`, for the queries below to narrow."""

PLAIN = (
    "id", "institution_id", "location_id", "location_name", "specialty_id", "specialty_name", "reason", "raised_by",
    "raised_at", "level", "escalates_at", "acknowledged_by", "acknowledged_at", "ended_at", "told",
)  # fmt: skip


def case_of(row: Any) -> Case:
    """A row of `CASE`."""
    patient = None
    if row["patient_id"] is not None:
        patient = Person(
            id=row["patient_id"],
            name=row["patient_name"],
            phone=row["phone"],
            birth_year=row["birth_year"],
            number=row["number"],
            birth_date=row["birth_date"],
        )
    return Case(**{name: row[name] for name in PLAIN}, patient=patient)


# Asking for help


class RaiseEmergency(Ask):
    """Somebody needs help at once. A patient need not say where, if they have a ticket there now."""

    reason: Text
    location_id: Id | None = None
    specialty_id: Id | None = None
    patient_id: Id | None = None


class Alerted(Reply):
    """An emergency: how many doctors have been told, at which level, and who is on the way."""

    emergency_id: int
    level: int
    doctors_told: int
    acknowledged_by: str | None
    ended: bool


async def raise_emergency(tx: Tx, actor: Actor, ask: RaiseEmergency) -> Alerted:
    """Call for help: those on duty who can give it are told now, and more people where nobody is.

    A patient who calls again is answered about the call that is still open. Raises `NotFound`, `NotAllowed`, and
    `InvalidRequest` where nobody could know the place.
    """
    patient_id = await _patient_of(tx, actor, ask)
    place = await _place(tx, actor, ask, patient_id)
    if actor.role not in STAFF and (open_one := await tx.conn.fetchval(STILL_OPEN, actor.key, tx.now)):
        return answer(await held(tx, actor, open_one))
    tx.institution_id = place["institution_id"]
    if ask.specialty_id is not None and not await tx.conn.fetchval(SPECIALTY, ask.specialty_id, tx.institution_id):
        raise errors.NotFound("There is no such specialty here.")
    if patient_id is not None:
        await access_patient(tx, place["institution_id"], patient_id)
    id_ = await tx.conn.fetchval(
        ADD_EMERGENCY, place["institution_id"], place["id"], ask.specialty_id, patient_id, ask.reason, actor.key, tx.now
    )
    case = case_of(await tx.conn.fetchrow(CASE_BY_ID, id_))
    tx.about(f"emergency:{case.id}", None, case.trail(), patient=patient_id)
    tx.append(events.admin(case.institution_id), events.EmergencyRequest(emergency=case.id))
    return answer(await alert(tx, case, 0))


async def _patient_of(tx: Tx, actor: Actor, ask: RaiseEmergency) -> int | None:
    """Who needs help: of a patient who calls it is themselves."""
    if actor.role is Role.patient:
        return actor.patient_id
    if actor.role is Role.ticket:
        return int(await tx.conn.fetchval(PATIENT_OF_TICKET, actor.id))
    return ask.patient_id


PATIENT_OF_TICKET = "select patient_id from tickets where id = $1"


async def _place(tx: Tx, actor: Actor, ask: RaiseEmergency, patient_id: int | None) -> Any:
    """The location, as given or where the patient has a ticket now."""
    location_id = ask.location_id
    if location_id is None and patient_id is not None:
        location_id = await tx.conn.fetchval(WHERE_PATIENT_IS, patient_id)
    if location_id is None:
        raise wrong(("/location_id", "This field is needed."))
    place = await tx.conn.fetchrow(PLACE, location_id)
    if place is None or not actor.within(place["institution_id"]):
        raise errors.NotFound("There is no such location here.")
    if not actor.at(location_id):
        raise errors.NotAllowed("That is not one of your locations.")
    return place


WHERE_PATIENT_IS = """
select q.location_id from tickets t join queues q on q.id = t.queue_id
where t.patient_id = $1 and t.state in ('waiting', 'called', 'in_consultation', 'on_hold')
order by t.joined_at desc limit 1
"""
PLACE = "select id, institution_id from locations where id = $1"
STILL_OPEN = """
select id from emergencies
where raised_by = $1 and ended_at is null and raised_at > $2::timestamptz - interval '2 hours'
order by id desc limit 1
"""
SPECIALTY = "select true from specialties where id = $1 and institution_id = $2 and retired_at is null"
ADD_EMERGENCY = """
insert into emergencies (institution_id, location_id, specialty_id, patient_id, reason, raised_by, raised_at)
values ($1, $2, $3, $4, $5, $6, $7) returning id
"""
CASE_BY_ID = CASE + " where e.id = $1"


def answer(case: Case) -> Alerted:
    """An emergency as whoever asked is told of it."""
    return Alerted(
        emergency_id=case.id,
        level=case.level,
        doctors_told=len(case.told),
        acknowledged_by=case.acknowledged_by,
        ended=case.ended_at is not None,
    )


# Telling, and telling more


async def alert(tx: Tx, case: Case, level: int) -> Case:
    """Tell everybody of this level, or of the first above it that has somebody; answers the emergency as told.

    Whoever has been told before is told again: the alert that nobody answered.
    """
    told = await on_level(tx, case, level)
    while not told and level < TOP:
        level += 1
        told = await on_level(tx, case, level)
    after_seconds = timedelta(seconds=await _escalates_after(tx, case.institution_id))
    again = level < TOP or tx.now - case.raised_at < REPEAT_FOR
    everybody = sorted({*case.told, *told})
    now = replace(case, level=level, told=everybody, escalates_at=tx.now + after_seconds if again else None)
    await tx.conn.execute(TOLD, case.id, everybody)
    await tx.conn.execute(LEVEL, case.id, now.level, now.escalates_at)
    tell(tx, now, events.EmergencyAlert(emergency=case.id, level=level))
    return now


async def on_level(tx: Tx, case: Case, level: int) -> list[int]:
    """The doctors whom a level tells: on duty of the specialty, on duty at all, or working there."""
    if level == TOP:
        rows = await tx.conn.fetch(WORK_THERE, case.location_id, case.institution_id)
    else:
        specialty = case.specialty_id if level == 0 else None
        rows = await tx.conn.fetch(ON_DUTY, case.location_id, specialty, tx.now, AROUND, LAST_CALL, case.institution_id)
    return [row["id"] for row in rows]


# On duty is who has time of theirs at the place now, or calls patients there.
ON_DUTY = """
select d.id from doctors d
where d.institution_id = $6 and d.active and ($2::bigint is null or d.specialty_id = $2) and (
    exists (
        select from slots s
        where s.doctor_id = d.id and s.location_id = $1 and s.block_id is null and (s.open or s.taken > 0)
            and s.starts_at > $3::timestamptz - interval '13 hours'
            and s.starts_at <= $3::timestamptz + $4::interval and s.ends_at > $3::timestamptz - $4::interval
    ) or exists (
        select from serving v join queues q on q.id = v.queue_id
        where v.doctor_id = d.id and q.location_id = $1
            and greatest(v.called_at, v.freed_at) > $3::timestamptz - $5::interval
    ) or exists (
        select from tickets t join queues q on q.id = t.queue_id
        where t.doctor_id = d.id and q.location_id = $1 and t.state in ('called', 'in_consultation')
    )
) order by d.id
"""
WORK_THERE = """
select d.id from doctors d
where d.institution_id = $2 and d.active and (
    exists (select from doctor_locations w where w.doctor_id = d.id and w.location_id = $1)
    or exists (
        select from queue_doctors s join queues q on q.id = s.queue_id
        where s.doctor_id = d.id and q.location_id = $1 and q.retired_at is null
    )
) order by d.id
"""
TOLD = """
insert into emergency_doctors (emergency_id, doctor_id) select $1, unnest($2::bigint[]) on conflict do nothing
"""
LEVEL = "update emergencies set level = $2, escalates_at = $3 where id = $1"


async def _escalates_after(tx: Tx, institution_id: int) -> int:
    """After how many seconds without an answer more people are told."""
    stored = await tx.conn.fetchval(BOOKING_OF, institution_id)
    return effective_booking(orjson.loads(stored)).emergency_escalates_seconds


BOOKING_OF = "select booking from institutions where id = $1"


def tell(tx: Tx, case: Case, event: events.EmergencyEvent) -> None:
    """Tell everybody who has been told of it before what became of it."""
    over = case.ended_at is not None
    put, drop = ([], [case.row_key]) if over else ([case.row()], [])
    for doctor_id in case.told:
        tx.append(events.doctor(doctor_id), event, put=put, drop=drop)
    if case.level == TOP:
        tx.append(events.admin(case.institution_id), event, put=put, drop=drop)


class OfEmergency(Ask):
    """One emergency."""

    emergency_id: Id


async def escalate(tx: Tx, actor: Actor, ask: OfEmergency) -> Alerted:
    """Tell more people of an emergency that nobody has acknowledged in time; of any other, nothing happens."""
    case = await held(tx, actor, ask.emergency_id)
    due = case.escalates_at is not None and case.escalates_at <= tx.now
    if not due or case.acknowledged_at is not None or case.ended_at is not None:
        return answer(case)
    tx.institution_id = case.institution_id
    after = await alert(tx, case, min(case.level + 1, TOP))
    tx.about(f"emergency:{case.id}", case.trail(), after.trail(), patient=case.patient.id if case.patient else None)
    return answer(after)


async def held(tx: Tx, actor: Actor, emergency_id: int) -> Case:
    """An emergency that nobody else answers or escalates until the command ends; of the actor's institution.

    Raises `NotFound`, and `NotAllowed` for staff who work elsewhere.
    """
    await tx.conn.execute(HOLD, emergency_id)
    row = await tx.conn.fetchrow(CASE_BY_ID, emergency_id)
    if row is None or not actor.within(row["institution_id"]):
        raise errors.NotFound(NO_EMERGENCY)
    case = case_of(row)
    if actor.role not in STAFF and actor.role is not Role.system and case.raised_by != actor.key:
        raise errors.NotFound(NO_EMERGENCY)
    if not actor.at(case.location_id):
        raise errors.NotAllowed("That is not at one of your locations.")
    return case


HOLD = "select id from emergencies where id = $1 for update"


async def due(conn: Any, now: datetime) -> list[int]:
    """The emergencies of which more people are to be told by now; `conn` may be a pool."""
    return [row["id"] for row in await conn.fetch(DUE, now)]


DUE = """
select id from emergencies
where escalates_at <= $1 and acknowledged_at is null and ended_at is null order by escalates_at
"""


# On the way, and over


async def acknowledge(tx: Tx, actor: Actor, ask: OfEmergency) -> Alerted:
    """Say that one is on the way: everybody who was told sees who, and nobody else is told.

    Raises `EmergencyAnswered` where somebody else was quicker, `EmergencyOver`, `NotFound`, `NotAllowed`.
    """
    case = await held(tx, actor, ask.emergency_id)
    _must_go_on(case)
    who = await _name(tx, actor)
    if case.acknowledged_by is not None:
        raise errors.EmergencyAnswered(by=case.acknowledged_by)
    return answer(await _changed(tx, case, replace(case, acknowledged_by=who, acknowledged_at=tx.now)))


async def end(tx: Tx, actor: Actor, ask: OfEmergency) -> Alerted:
    """It is over, or was none: it leaves everybody's sight. Whoever called may say so, and everybody who works there.

    Raises `EmergencyOver`, `NotFound`, `NotAllowed`.
    """
    case = await held(tx, actor, ask.emergency_id)
    _must_go_on(case)
    return answer(await _changed(tx, case, replace(case, ended_at=tx.now)))


def _must_go_on(case: Case) -> None:
    """Raise `EmergencyOver` of one that has ended."""
    if case.ended_at is not None:
        raise errors.EmergencyOver()


async def _changed(tx: Tx, before: Case, after: Case) -> Case:
    """Save an emergency's answer or end, and tell everybody who knows of it."""
    tx.institution_id = after.institution_id
    after = replace(after, escalates_at=None)
    await tx.conn.execute(ANSWER, after.id, after.acknowledged_by, after.acknowledged_at, after.ended_at)
    patient = after.patient.id if after.patient else None
    tx.about(f"emergency:{after.id}", before.trail(), after.trail(), patient=patient)
    over = after.ended_at is not None
    event = events.EmergencyEnded if over else events.EmergencyAcknowledged
    tell(tx, after, event(emergency=after.id))
    return after


ANSWER = """
update emergencies set acknowledged_by = $2, acknowledged_at = $3, ended_at = $4, escalates_at = null where id = $1
"""


async def _name(tx: Tx, actor: Actor) -> str:
    """Whom the others see: the name that somebody signs in with, or the doctor's."""
    return actor.name or await tx.conn.fetchval(NAME_OF_DOCTOR, actor.doctor_id) or actor.key


NAME_OF_DOCTOR = "select name from doctors where id = $1"


async def follow_patient(tx: Tx, stream: events.Stream[Any], event: events.PatientsMerged) -> None:
    """A merged patient's emergencies are those of the record that stays, and say so where they are seen."""
    for row in await tx.conn.fetch(MOVE_EMERGENCIES, event.gone, event.into):
        if row["ended_at"] is None:
            case = case_of(await tx.conn.fetchrow(CASE_BY_ID, row["id"]))
            tell(tx, case, events.EmergencyAlert(emergency=case.id, level=case.level))


async def follow_correction(tx: Tx, stream: events.Stream[Any], event: events.PatientCorrected) -> None:
    """Where a corrected patient needs help, those who were told read what their record says now."""
    for row in await tx.conn.fetch(OPEN_OF_PATIENT, event.record):
        case = case_of(await tx.conn.fetchrow(CASE_BY_ID, row["id"]))
        tell(tx, case, events.EmergencyCorrected(emergency=case.id))


OPEN_OF_PATIENT = "select id from emergencies where patient_id = $1 and ended_at is null for update"
MOVE_EMERGENCIES = "update emergencies set patient_id = $2 where patient_id = $1 returning id, ended_at"


# Queries


class OfPlaces(Ask):
    """The emergencies of one location, or of all where the asker works."""

    location_id: Id | None = None


class Emergencies(Reply):
    """Those that are not over, the latest first."""

    items: list[events.Emergency]


async def emergencies(view: Read, actor: Actor, ask: OfPlaces) -> Emergencies:
    """What is not over where the asker works."""
    rows = await view.conn.fetch(OPEN_ONES, actor.institution_id, ask.location_id)
    cases = [case_of(row) for row in rows]
    return Emergencies(items=[case.row() for case in cases if actor.at(case.location_id)])


OPEN_ONES = (
    CASE
    + """
where e.ended_at is null and ($1::bigint is null or e.institution_id = $1)
    and ($2::bigint is null or e.location_id = $2)
order by e.id desc limit 200
"""
)


async def emergency(view: Read, actor: Actor, ask: OfEmergency) -> Alerted:
    """How far the help is: for whoever called, and for those who work there. Raises `NotFound`."""
    row = await view.conn.fetchrow(CASE_BY_ID, ask.emergency_id)
    if row is None or not actor.within(row["institution_id"]):
        raise errors.NotFound(NO_EMERGENCY)
    case = case_of(row)
    if actor.role not in STAFF and case.raised_by != actor.key:
        raise errors.NotFound(NO_EMERGENCY)
    return answer(case)


def _shown(reply: Emergencies) -> Sequence[int]:
    return [one.patient.id for one in reply.items if one.patient]


async def forget_emergencies(conn: Connection, institution_id: int, before: datetime, limit: int) -> int:
    """Forget what was the matter in an institution's oldest emergencies that are over; answers in how many."""
    return len(await conn.fetch(FORGET, institution_id, before, limit))


async def forget_of_patients(conn: Connection, patients: Sequence[int]) -> None:
    """The same of all emergencies of these patients."""
    await conn.execute(FORGET_OF_PATIENTS, list(patients))


FORGET_OF_PATIENTS = "update emergencies set reason = '-' where patient_id = any($1::bigint[]) and ended_at is not null"
FORGET = """
update emergencies set reason = '-'
where id in (
    select id from emergencies
    where institution_id = $1 and raised_at < $2 and ended_at is not null and reason <> '-'
    order by raised_at limit $3
    for update skip locked
)
returning id
"""


COMMANDS: list[Command[Any, Any]] = [
    Command("emergency-request", raise_emergency, RaiseEmergency, Alerted, CALLERS, "POST /emergencies", status=201),
    Command(
        "acknowledge-emergency",
        acknowledge,
        OfEmergency,
        Alerted,
        STAFF,
        "POST /emergencies/{emergency_id}/acknowledge",
    ),
    Command("end-emergency", end, OfEmergency, Alerted, CALLERS, "POST /emergencies/{emergency_id}/end"),
]
QUERIES: list[Query[Any, Any]] = [
    Query("list-emergencies", emergencies, OfPlaces, Emergencies, STAFF, "GET /emergencies", patients=_shown),
    Query("show-emergency", emergency, OfEmergency, Alerted, CALLERS, "GET /emergencies/{emergency_id}"),
]
REACTIONS: Reactions = {
    ("admin", events.PatientsMerged): [follow_patient],
    ("admin", events.PatientCorrected): [follow_correction],
}
ESCALATE: Command[OfEmergency, Alerted] = Command(
    "escalate-emergency", escalate, OfEmergency, Alerted, frozenset({Role.system}), ""
)


# Rows read afresh, for rebuilding a stream


TOLD_OF = "select d.emergency_id from emergency_doctors d where d.doctor_id = $1"


async def doctor_rows(conn: Connection, doctor_id: int) -> list[events.Emergency]:
    """The emergencies on a doctor's stream."""
    return [case_of(row).row() for row in await conn.fetch(TOLD_TO_DOCTOR, doctor_id)]


TOLD_TO_DOCTOR = CASE + f" where e.ended_at is null and e.id in ({TOLD_OF})"


async def admin_rows(conn: Connection, institution_id: int) -> list[events.Emergency]:
    """The emergencies on an institution's stream."""
    return [case_of(row).row() for row in await conn.fetch(TOLD_TO_ADMINS, institution_id)]


TOLD_TO_ADMINS = CASE + " where e.ended_at is null and e.level = 2 and e.institution_id = $1"
