"""What can be asked about appointments: one, its story, lists by any filter, a day, figures, and a spreadsheet.

Invariant: each answer is read from one snapshot and shows nothing of another institution's; patients see their own
alone, doctors theirs, and those limited to locations what is at them. The words of the treating side are in none but
the treating doctor's answer.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Literal
from zoneinfo import ZoneInfo

import orjson
from pydantic import Field

from server import errors
from server.access import STAFF, Actor, Role
from server.appointments.notes import Note, OneAppointment, notes_of
from server.appointments.records import (
    APPOINTMENT,
    Appointment,
    appointment_as,
    appointment_of,
    fee_text,
)
from server.asks import Ask, Id, Reply, decode_cursor, encode_cursor, wrong
from server.events import AppointmentState as State
from server.events import DoctorAppointment, Mode, PatientAppointment, Payment, Source
from server.patients.records import SearchPatients, search_patients
from server.queue.queries import Page
from server.store import Connection, Download, Query, Read

# One


class Detail(Reply):
    """An appointment with the names of all it points at; `notes` only for the doctor who treats."""

    appointment: DoctorAppointment
    doctor_name: str | None
    specialty_name: str | None
    location_name: str
    currency: str | None
    insurance: dict[str, Any] | None
    insisted: bool
    overridden: bool
    change_until: datetime | None
    asked: list[int]
    unanswered: list[int]
    slot_ids: list[int]
    notes: list[Note] | None


async def show_appointment(view: Read, actor: Actor, ask: OneAppointment) -> Detail:
    """One appointment, as staff see it. Raises `NotFound`, `NotAllowed`."""
    one = await appointment_as(view, actor, ask.appointment_id, asked=True)
    treats = actor.role is Role.doctor and actor.doctor_id == one.doctor_id
    return Detail(
        appointment=one.doctor_row(),
        doctor_name=one.doctor_name,
        specialty_name=one.specialty_name,
        location_name=one.location_name,
        currency=one.currency,
        insurance=one.insurance,
        insisted=one.insisted,
        overridden=one.overridden,
        change_until=one.change_until,
        asked=one.asked,
        unanswered=one.unanswered,
        slot_ids=one.slot_ids,
        notes=await notes_of(view.conn, one.id) if treats else None,
    )


# Its story


class Told(Reply):
    """One change: by whom, from where, when, and what was before and is after."""

    at: datetime
    appointment: int
    number: str
    action: str
    actor: str
    who: str | None
    role: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    address: str


class Story(Reply):
    """Everything that became of an appointment and of those that it was moved from and to, oldest first."""

    patient_id: int
    items: list[Told]


async def appointment_history(view: Read, actor: Actor, ask: OneAppointment) -> Story:
    """The audit trail of one appointment. Raises `NotFound`, `NotAllowed`."""
    one = await appointment_as(view, actor, ask.appointment_id)
    rows = await view.conn.fetch(CHAIN, one.id)
    number = {f"appointment:{row['id']}": (row["id"], row["number"]) for row in rows}
    tickets = [f"ticket:{row['ticket_id']}" for row in rows if row["ticket_id"]]
    number |= {f"ticket:{row['ticket_id']}": (row["id"], row["number"]) for row in rows if row["ticket_id"]}
    entries = await view.conn.fetch(TRAIL, one.institution_id, one.patient.id, [*number, *tickets])
    items = [
        Told(
            at=entry["at"],
            appointment=number[entry["subject"]][0],
            number=number[entry["subject"]][1],
            action=entry["action"],
            actor=entry["actor"],
            who=entry["who"],
            role=entry["role"],
            before=orjson.loads(entry["before"]) if entry["before"] else None,
            after=orjson.loads(entry["after"]) if entry["after"] else None,
            address=entry["address"],
        )
        for entry in entries
    ]
    return Story(patient_id=one.patient.id, items=items)


CHAIN = """
with recursive earlier as (
    select id, number, ticket_id, rescheduled_from from appointments where id = $1
    union
    select a.id, a.number, a.ticket_id, a.rescheduled_from
    from earlier e join appointments a on a.id = e.rescheduled_from
), later as (
    select id, number, ticket_id, rescheduled_to from appointments where id = $1
    union
    select a.id, a.number, a.ticket_id, a.rescheduled_to
    from later e join appointments a on a.id = e.rescheduled_to
)
select id, number, ticket_id from earlier union select id, number, ticket_id from later
"""
TRAIL = """
select a.at, a.action, a.actor, coalesce(u.name, d.name) as who, a.role, a.address,
    c.change ->> 'subject' as subject, c.change -> 'before' as before, c.change -> 'after' as after
from audit a cross join lateral jsonb_array_elements(a.changes) with ordinality as c (change, nth)
left join users u on a.actor = 'user:' || u.id
left join devices d on a.actor = 'device:' || d.id
where a.institution_id = $1 and a.patients @> array[$2::bigint] and not a.viewed
    and c.change ->> 'subject' = any($3::text[])
order by a.id, c.nth
"""


# Lists


class Filters(Ask):
    """Which appointments; what is not given does not narrow."""

    institution_id: Id | None = Field(default=None, description="Needed only by those who belong to none.")
    doctor_ids: list[Id] = Field(default=[], max_length=200)
    patient_id: Id | None = None
    from_day: date | None = Field(default=None, description="Local days of the institution, both included.")
    to_day: date | None = None
    when: Literal["today", "upcoming", "past"] | None = None
    states: list[State] = Field(default=[], max_length=9)
    kind: Literal["scheduled", "walk_in"] | None = None
    visit_type_ids: list[Id] = Field(default=[], max_length=200)
    specialty_ids: list[Id] = Field(default=[], max_length=200)
    location_ids: list[Id] = Field(default=[], max_length=200)
    mode: Mode | None = None
    source: Source | None = None
    payment: Payment | None = None
    requested: bool | None = Field(default=None, description="Whether it began as a request.")
    text: str | None = Field(default=None, min_length=1, max_length=200, description="A patient, or a number.")


class SearchAppointments(Filters):
    """The same, a page at a time."""

    order: Literal["soonest", "latest"] = "soonest"
    cursor: str | None = Field(default=None, max_length=200)
    limit: int = Field(default=50, ge=1, le=200)


class Listed(Reply):
    """An appointment in a list, with the names of what it points at."""

    appointment: DoctorAppointment
    doctor_name: str | None
    specialty_name: str | None
    location_name: str
    currency: str | None


class Found(Reply):
    """A page of appointments; `next` is the cursor of the following page."""

    items: list[Listed]
    next: str | None


def listed(one: Appointment) -> Listed:
    """As it stands in a list."""
    return Listed(
        appointment=one.doctor_row(),
        doctor_name=one.doctor_name,
        specialty_name=one.specialty_name,
        location_name=one.location_name,
        currency=one.currency,
    )


@dataclass(frozen=True, slots=True)
class Narrowed:
    """Filters as the statements take them."""

    institution_id: int
    zone: ZoneInfo
    since: datetime
    until: datetime
    doctors: list[int]
    patients: list[int] | None
    args: tuple[Any, ...]


BEGINNING, END = datetime(1900, 1, 1, tzinfo=UTC), datetime(2900, 1, 1, tzinfo=UTC)


async def _narrowed(view: Read, actor: Actor, ask: Filters) -> Narrowed:
    """What the asker may see of what they ask for. Raises `NotFound`, `NotAllowed`, `InvalidRequest`."""
    institution_id, zone = await _whose(view, actor, ask.institution_id)
    since, until = _stretch(ask, zone, view.now)
    doctors = ask.doctor_ids
    if actor.role is Role.doctor:
        if any(one != actor.doctor_id for one in doctors):
            raise errors.NotAllowed("Those are another doctor's appointments.")
        doctors = [actor.doctor_id or 0]
    if any(not actor.at(one) for one in ask.location_ids):
        raise errors.NotAllowed("That is not one of your locations.")
    patients, number = await _meant(view, actor, institution_id, ask)
    locations = ask.location_ids or sorted(actor.location_ids)
    args = (
        ask.states or None,
        ask.kind,
        ask.visit_type_ids or None,
        ask.specialty_ids or None,
        locations or None,
        ask.mode,
        ask.source,
        ask.payment,
        number,
        ask.requested,
    )
    return Narrowed(institution_id, zone, since, until, doctors, patients, args)


async def _whose(view: Read, actor: Actor, institution_id: int | None) -> tuple[int, ZoneInfo]:
    """The institution meant, and its zone. Raises `NotFound`, and `InvalidRequest` where nobody can tell."""
    meant = institution_id or actor.institution_id
    if meant is None:
        raise wrong(("/institution_id", "This field is needed: you belong to no one institution."))
    zone = await view.conn.fetchval(ZONE_OF, meant) if actor.within(meant) else None
    if zone is None:
        raise errors.NotFound("There is no such institution here.")
    return meant, ZoneInfo(zone)


ZONE_OF = "select zone from institutions where id = $1"


def _stretch(ask: Filters, zone: ZoneInfo, now: datetime) -> tuple[datetime, datetime]:
    """From when to when, in UTC: the local days asked for, and of them what is today, to come or past."""
    since = day_begins(ask.from_day, zone) if ask.from_day else BEGINNING
    until = day_begins(ask.to_day + timedelta(days=1), zone) if ask.to_day else END
    today = now.astimezone(zone).date()
    match ask.when:
        case "today":
            since = max(since, day_begins(today, zone))
            until = min(until, day_begins(today + timedelta(days=1), zone))
        case "upcoming":
            since = max(since, now)
        case "past":
            until = min(until, now)
    return since, until


def day_begins(day: date, zone: ZoneInfo) -> datetime:
    """The first instant of a local day, in UTC."""
    return datetime.combine(day, time(), zone).astimezone(UTC)


async def _meant(view: Read, actor: Actor, institution_id: int, ask: Filters) -> tuple[list[int] | None, str | None]:
    """The patients whom a text may mean (None: anybody), or the number that it is."""
    patients = [ask.patient_id] if ask.patient_id else None
    text = (ask.text or "").strip()
    if not text:
        return patients, None
    if text.upper().startswith(("APT", "WLK")):
        return patients, text.upper().replace("%", "").replace("_", "") + "%"
    found = await search_patients(view, actor, SearchPatients(q=text, limit=50, institution_id=institution_id))
    ids = [one.id for one in found.items]
    return ([one for one in ids if one == ask.patient_id] if ask.patient_id else ids), None


async def search_appointments(view: Read, actor: Actor, ask: SearchAppointments) -> Found:
    """The appointments that match, by their time. Raises `NotFound`, `NotAllowed`, `InvalidCursor`."""
    narrowed = await _narrowed(view, actor, ask)
    rows = await _page(view.conn, narrowed, ask.order, ask.cursor, ask.limit + 1)
    following = None
    if len(rows) > ask.limit:
        last = rows[ask.limit - 1]
        following = encode_cursor(f"appointments:{ask.order}", last["starts_at"].timestamp(), last["id"])
    found = await _appointments(view.conn, [row["id"] for row in rows[: ask.limit]])
    return Found(items=[listed(one) for one in found], next=following)


async def _page(conn: Connection, narrowed: Narrowed, order: str, cursor: str | None, limit: int) -> list[Any]:
    latest = order == "latest"
    at, id_ = (END, 2**62) if latest else (BEGINNING, 0)
    if cursor:
        seconds, id_ = decode_cursor(f"appointments:{order}", cursor, float, int)
        at = datetime.fromtimestamp(seconds, UTC)
    whose: Any
    if narrowed.patients is not None:
        whose, statement = narrowed.patients, LATEST_OF_PATIENTS if latest else SOONEST_OF_PATIENTS
    elif len(narrowed.doctors) == 1:
        whose, statement = narrowed.doctors[0], LATEST_OF_DOCTOR if latest else SOONEST_OF_DOCTOR
    else:
        whose, statement = narrowed.doctors or None, LATEST if latest else SOONEST
    also = [narrowed.doctors or None] if narrowed.patients is not None else []
    return await conn.fetch(
        statement, narrowed.institution_id, narrowed.since, narrowed.until, at, id_, limit, *narrowed.args, whose, *also
    )


async def _appointments(conn: Connection, ids: Sequence[int]) -> list[Appointment]:
    """These appointments, in this order."""
    found = {row["id"]: appointment_of(row) for row in await conn.fetch(THESE, list(ids))}
    return [found[id_] for id_ in ids]


THESE = APPOINTMENT + " where a.id = any($1::bigint[])"
NARROW = """
    and starts_at >= $2 and starts_at < $3
    and ($7::text[] is null or state = any($7)) and ($8::text is null or kind = $8)
    and ($9::bigint[] is null or visit_type_id = any($9)) and ($10::bigint[] is null or specialty_id = any($10))
    and ($11::bigint[] is null or location_id = any($11)) and ($12::text is null or mode = $12)
    and ($13::text is null or source = $13) and ($14::text is null or payment = $14)
    and ($15::text is null or number like $15) and ($16::boolean is null or (expires_at is not null) = $16)
"""
SOON = f"{NARROW} and (starts_at, id) > ($4, $5) order by starts_at, id limit $6"
LATE = f"{NARROW} and (starts_at, id) < ($4, $5) order by starts_at desc, id desc limit $6"
# One statement for each index that may serve: by the institution's time, by a doctor's, by the patients'.
BY_TIME = "from appointments where institution_id = $1 and ($17::bigint[] is null or doctor_id = any($17))"
BY_DOCTOR = "from appointments where institution_id = $1 and doctor_id = $17"
BY_PATIENTS = """
from appointments
where institution_id = $1 and patient_id = any($17::bigint[]) and ($18::bigint[] is null or doctor_id = any($18))
"""
SOONEST, LATEST = (f"select id, starts_at {BY_TIME} {order}" for order in (SOON, LATE))
SOONEST_OF_DOCTOR, LATEST_OF_DOCTOR = (f"select id, starts_at {BY_DOCTOR} {order}" for order in (SOON, LATE))
SOONEST_OF_PATIENTS, LATEST_OF_PATIENTS = (f"select id, starts_at {BY_PATIENTS} {order}" for order in (SOON, LATE))


# The asker's own


class Mine(Page):
    """The asker's own: of today, to come, or past; all of them where it is not said."""

    when: Literal["today", "upcoming", "past"] | None = None


class MyAppointments(Reply):
    """A page of one's own appointments: past ones latest first, others soonest first."""

    items: list[PatientAppointment]
    next: str | None


async def my_appointments(view: Read, actor: Actor, ask: Mine) -> MyAppointments:
    """A patient's own appointments."""
    order: Literal["soonest", "latest"] = "latest" if ask.when == "past" else "soonest"
    institution_id, zone = await _whose(view, actor, None)
    since, until = _stretch(Filters(when=ask.when), zone, view.now)
    narrowed = Narrowed(institution_id, zone, since, until, [], [actor.patient_id or 0], (None,) * 10)
    rows = await _page(view.conn, narrowed, order, ask.cursor, ask.limit + 1)
    following = None
    if len(rows) > ask.limit:
        last = rows[ask.limit - 1]
        following = encode_cursor(f"appointments:{order}", last["starts_at"].timestamp(), last["id"])
    found = await _appointments(view.conn, [row["id"] for row in rows[: ask.limit]])
    return MyAppointments(items=[one.patient_row() for one in found], next=following)


# A day

LocalDay = date
"""By another name, where a field has this one."""


class DoctorsDay(Ask):
    """A doctor's local day; today where none is given."""

    doctor_id: Id
    date: LocalDay | None = None


class Day(Reply):
    """Everything that a doctor has on a day, soonest first, and the requests that wait for their answer."""

    doctor_id: int
    date: LocalDay
    zone: str
    appointments: list[Listed]
    requests: list[Listed]


async def doctors_day(view: Read, actor: Actor, ask: DoctorsDay) -> Day:
    """A doctor's day. Raises `NotFound`, and `NotAllowed` for another doctor."""
    row = await view.conn.fetchrow(DOCTORS_INSTITUTION, ask.doctor_id)
    if row is None or not actor.within(row["institution_id"]):
        raise errors.NotFound("There is no such doctor here.")
    if actor.role is Role.doctor and actor.doctor_id != ask.doctor_id:
        raise errors.NotAllowed("Those are another doctor's appointments.")
    zone = ZoneInfo(row["zone"])
    day = ask.date or view.now.astimezone(zone).date()
    bounds = day_begins(day, zone), day_begins(day + timedelta(days=1), zone)
    rows = await view.conn.fetch(ON_DAY, ask.doctor_id, *bounds)
    seen = [one for one in map(appointment_of, rows) if actor.at(one.location_id)]
    own = [one for one in seen if one.doctor_id == ask.doctor_id and one.state is not State.pending]
    asked = [one for one in seen if one.state is State.pending]
    return Day(
        doctor_id=ask.doctor_id,
        date=day,
        zone=zone.key,
        appointments=[listed(one) for one in own],
        requests=[listed(one) for one in asked],
    )


DOCTORS_INSTITUTION = """
select d.institution_id, i.zone from doctors d join institutions i on i.id = d.institution_id where d.id = $1
"""
ON_DAY = f"""
{APPOINTMENT} where a.id in (
    select id from appointments where doctor_id = $1 and starts_at >= $2 and starts_at < $3
    union all
    select w.id from appointment_doctors c join appointments w on w.id = c.appointment_id
    where c.doctor_id = $1 and c.answer is null and w.doctor_id is null and w.state = 'pending'
        and w.starts_at >= $2 and w.starts_at < $3
) order by a.starts_at, a.id
"""  # noqa: S608 (a constant)


# Figures


class Stretch(Ask):
    """A stretch of local days, of all or of one doctor or location; the last 30 days where nothing is given."""

    from_day: date | None = None
    to_day: date | None = None
    doctor_id: Id | None = None
    location_id: Id | None = None
    institution_id: Id | None = Field(default=None, description="Needed only by those who belong to none.")


class Count(Reply):
    """How many of a kind."""

    of: str
    count: int


class Statistics(Reply):
    """Figures of a stretch of days; rates are of those who were due and not called off, money as it was agreed."""

    from_day: date
    to_day: date
    total: int
    states: list[Count]
    kinds: list[Count]
    modes: list[Count]
    sources: list[Count]
    visit_types: list[Count]
    doctors: list[Count]
    days: list[Count]
    cancelled_by: list[Count]
    no_show_rate: float | None
    booked_days_ahead: float | None
    fees: str
    paid: str


async def appointment_statistics(view: Read, actor: Actor, ask: Stretch) -> Statistics:
    """Figures of the asker's institution, or of a doctor's own. Raises `NotFound`, `NotAllowed`."""
    institution_id, zone = await _whose(view, actor, ask.institution_id)
    doctor_id = ask.doctor_id
    if actor.role is Role.doctor:
        if doctor_id not in (None, actor.doctor_id):
            raise errors.NotAllowed("Those are another doctor's figures.")
        doctor_id = actor.doctor_id
    if ask.location_id and not actor.at(ask.location_id):
        raise errors.NotAllowed("That is not one of your locations.")
    today = view.now.astimezone(zone).date()
    last = ask.to_day or today
    first = ask.from_day or last - timedelta(days=29)
    locations = [ask.location_id] if ask.location_id else sorted(actor.location_ids)
    bounds = day_begins(first, zone), day_begins(last + timedelta(days=1), zone)
    rows = await view.conn.fetch(FIGURES, institution_id, *bounds, doctor_id, locations or None, zone.key)
    return _statistics(first, last, rows)


def _statistics(first: date, last: date, rows: Sequence[Any]) -> Statistics:
    by: dict[str, list[Count]] = {}
    for row in rows:
        if row["what"] != "all" and row["of"] is not None:
            by.setdefault(row["what"], []).append(Count(of=row["of"], count=row["count"]))
    whole = next(row for row in rows if row["what"] == "all")
    states = {one.of: one.count for one in by.get("state", [])}
    due = states.get("completed", 0) + states.get("no_show", 0)
    return Statistics(
        from_day=first,
        to_day=last,
        total=whole["count"],
        states=by.get("state", []),
        kinds=by.get("kind", []),
        modes=by.get("mode", []),
        sources=by.get("source", []),
        visit_types=by.get("visit_type", []),
        doctors=by.get("doctor", []),
        days=by.get("day", []),
        cancelled_by=by.get("cancelled_by", []),
        no_show_rate=round(states.get("no_show", 0) / due, 4) if due else None,
        booked_days_ahead=round(whole["ahead"], 1) if whole["ahead"] is not None else None,
        fees=fee_text(whole["fees"] or Decimal()) or "0.00",
        paid=fee_text(whole["paid"] or Decimal()) or "0.00",
    )


# The stretch is read once, and counted by every grouping in one pass over what is left of it.
FIGURES = """
with stretch as materialized (
    select state, kind, mode, source, visit_type_id, doctor_id, cancelled_by, fee, payment, created_at, starts_at,
        (starts_at at time zone $6)::date as day
    from appointments
    where institution_id = $1 and starts_at >= $2 and starts_at < $3
        and ($4::bigint is null or doctor_id = $4) and ($5::bigint[] is null or location_id = any($5))
), counted as (
    select grouping(state, kind, mode, source, visit_type_id, doctor_id, day, cancelled_by) as by,
        state, kind, mode, source, visit_type_id, doctor_id, day, cancelled_by, count(*) as count,
        avg(extract(epoch from starts_at - created_at) / 86400) filter (where kind = 'scheduled') as ahead,
        sum(fee) filter (where state not in ('cancelled', 'rejected', 'rescheduled', 'no_show')) as fees,
        sum(fee) filter (where payment = 'paid') as paid
    from stretch
    group by grouping sets ((), (state), (kind), (mode), (source), (visit_type_id), (doctor_id), (day), (cancelled_by))
)
select
    case c.by when 255 then 'all' when 127 then 'state' when 191 then 'kind' when 223 then 'mode' when 239 then 'source'
        when 247 then 'visit_type' when 251 then 'doctor' when 253 then 'day' when 254 then 'cancelled_by' end as what,
    case c.by when 127 then c.state when 191 then c.kind when 223 then c.mode when 239 then c.source
        when 247 then v.name when 251 then d.name when 253 then c.day::text when 254 then c.cancelled_by end as of,
    c.count, c.ahead::double precision as ahead, c.fees, c.paid
from counted c
left join visit_types v on v.id = c.visit_type_id left join doctors d on d.id = c.doctor_id
order by c.by, 2
"""


# A spreadsheet

EXPORT_MOST = 50_000
"""Appointments of one file; more are exported by stretches of time."""
HEADINGS = ("number", "state", "kind", "date", "starts", "ends", "zone", "doctor", "specialty", "location",
            "visit_type", "mode", "patient_number", "patient", "phone", "birth_date", "reason", "urgency", "source",
            "fee", "currency", "payment", "insurance_verified", "cancelled_by", "cancel_reason", "token")  # fmt: skip


async def export_appointments(view: Read, actor: Actor, ask: Filters) -> Download:
    """The appointments that match as CSV, soonest first, at most 50,000; times are the institution's local ones."""
    narrowed = await _narrowed(view, actor, ask)
    rows = await _page(view.conn, narrowed, "soonest", None, EXPORT_MOST)
    found = await _appointments(view.conn, [row["id"] for row in rows])
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(HEADINGS)
    for one in found:
        writer.writerow([cell(value) for value in _columns(one, narrowed.zone)])
    # Without the mark, a spreadsheet reads UTF-8 as something else and every umlaut as two letters.
    content = "\ufeff" + table.getvalue()
    patients = sorted({one.patient.id for one in found})
    return Download(content=content, kind="text/csv", name="appointments.csv", patients=patients)


def _columns(one: Appointment, zone: ZoneInfo) -> tuple[Any, ...]:
    starts = one.starts_at.astimezone(zone)
    ends = one.ends_at.astimezone(zone) if one.ends_at else None
    return (
        one.number, one.state.value, one.kind, starts.date(), f"{starts:%H:%M}", f"{ends:%H:%M}" if ends else "",
        zone.key, one.doctor_name, one.specialty_name, one.location_name, one.visit_type and one.visit_type.name,
        one.mode, one.patient.number, one.patient.name, one.patient.phone, one.patient.birth_date, one.reason,
        one.urgency.value, one.source, fee_text(one.fee), one.currency, one.payment,
        "yes" if one.insurance_verified else "no", one.cancelled_by, one.cancel_reason, one.token,
    )  # fmt: skip


def cell(value: Any) -> str:
    """A CSV cell that no spreadsheet takes for a formula, however it is led up to."""
    text = "" if value is None else str(value)
    return f"'{text}" if text.lstrip().startswith(("=", "+", "-", "@")) or text.startswith(("\t", "\r", "\n")) else text


QUERIES: list[Query[Any, Any]] = [
    Query(
        "search-appointments",
        search_appointments,
        SearchAppointments,
        Found,
        STAFF,
        "POST /appointments/search",
        patients=lambda found: [one.appointment.patient.id for one in found.items],
    ),
    Query(
        "export-appointments",
        export_appointments,
        Filters,
        Download,
        STAFF,
        "POST /appointments/export",
        patients=lambda file: file.patients,
    ),
    Query(
        "my-appointments", my_appointments, Mine, MyAppointments, frozenset({Role.patient}), "GET /appointments/mine"
    ),
    Query(
        "appointment-statistics",
        appointment_statistics,
        Stretch,
        Statistics,
        STAFF,
        "GET /appointments/statistics",
    ),
    Query(
        "show-appointment",
        show_appointment,
        OneAppointment,
        Detail,
        STAFF,
        "GET /appointments/{appointment_id}",
        patients=lambda detail: [detail.appointment.patient.id],
    ),
    Query(
        "appointment-history",
        appointment_history,
        OneAppointment,
        Story,
        STAFF,
        "GET /appointments/{appointment_id}/history",
        patients=lambda story: [story.patient_id],
    ),
    Query(
        "doctors-day",
        doctors_day,
        DoctorsDay,
        Day,
        STAFF,
        "GET /doctors/{doctor_id}/day",
        patients=lambda day: [one.appointment.patient.id for one in (*day.appointments, *day.requests)],
    ),
]
