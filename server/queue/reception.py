"""What reception does besides the steps of a ticket: a patient's whole record, corrections, links, the day at a glance.

Invariant: a correction of a patient reaches every staff stream that shows them in the same transaction, so that what a
stream shows of a person is what PostgreSQL has.
"""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, Self
from zoneinfo import ZoneInfo

import asyncpg
import segno
from pydantic import Field, model_validator

from server import access, errors, events
from server.access import STAFF, Actor, Role
from server.asks import Ask, Id, Reply, decode_cursor, encode_cursor
from server.events import State, Urgency
from server.patients import EditPatient, PatientRecord, edit_patient, patient_record
from server.queue.line import load_line
from server.queue.queries import Page
from server.queue.steps import OfTicket, open_ticket
from server.store import Command, Connection, Query, Read, Tx

# A patient's record


class ShowPatient(Page):
    """One patient, and a page of their visits."""

    patient_id: Id


class Visit(Reply):
    """A ticket of a patient: where it is now, or how it ended."""

    ticket_id: int
    queue_id: int
    queue: str
    location: str
    doctor: str | None
    day: date
    token: str
    state: State
    urgency: Urgency
    reason: str | None
    requirements: list[str]
    joined_at: datetime
    called_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None


class PatientView(Reply):
    """A patient's record, the tickets that are not over, and past visits, newest first."""

    patient: PatientRecord
    active: list[Visit]
    visits: list[Visit]
    next: str | None


async def show_patient(view: Read, actor: Actor, ask: ShowPatient) -> PatientView:
    """A patient as staff see them. Raises `NotFound`, for another institution's as well."""
    listing = f"visits:{ask.patient_id}"
    start = decode_cursor(listing, ask.cursor, int)[0] if ask.cursor else 2**62
    patient = await patient_record(view.conn, actor, ask.patient_id)
    active = await view.conn.fetch(ACTIVE_TICKETS, patient.id)
    past = await view.conn.fetch(PAST_VISITS, patient.id, start, ask.limit + 1)
    visits = [Visit(**dict(row)) for row in past[: ask.limit]]
    following = encode_cursor(listing, visits[-1].ticket_id) if len(past) > ask.limit else None
    return PatientView(patient=patient, active=[Visit(**dict(row)) for row in active], visits=visits, next=following)


VISIT = """
select t.id as ticket_id, t.queue_id, q.name as queue, l.name as location, d.name as doctor, t.day, t.token, t.state,
    t.urgency, t.reason, t.requirements, t.joined_at, t.called_at, t.started_at, t.ended_at
from tickets t
join queues q on q.id = t.queue_id
join locations l on l.id = q.location_id
left join doctors d on d.id = coalesce(t.doctor_id, q.doctor_id)
"""
ACTIVE_TICKETS = (
    VISIT
    + """
where t.patient_id = $1 and t.state in ('waiting', 'called', 'in_consultation', 'on_hold') order by t.id
"""
)
PAST_VISITS = (
    VISIT
    + """
where t.patient_id = $1 and t.state not in ('waiting', 'called', 'in_consultation', 'on_hold') and t.id < $2
order by t.id desc limit $3
"""
)


class CorrectPatient(EditPatient):
    """A correction of a patient's record."""

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.model_fields_set <= {"patient_id"}:
            raise ValueError("say what is to be corrected")
        return self


async def corrected(
    tx: Tx, actor: Actor, ask: CorrectPatient, also: Sequence[events.Stream[Any]] = ()
) -> PatientRecord:
    """Correct a patient's record, and tell every queue that shows the patient; `also`: gates to take with theirs.

    Raises `NotFound`, `PatientMerged`, `InvalidRequest`.
    """
    before = await patient_record(tx.conn, actor, ask.patient_id)
    queues = await shown_in(tx.conn, before.id)
    if queues or also:
        await tx.gate(*also, *(events.board(one) for one in queues))
    record = await edit_patient(tx, actor, ask)
    if set(await shown_in(tx.conn, record.id)) - set(queues):
        # A ticket began while this waited for its gates; another try takes that queue's gate too.
        raise asyncpg.SerializationError("the patient has joined another queue meanwhile")
    for queue_id in queues:
        line, _ = await load_line(tx, actor, queue_id)
        tickets = [one for one in await line.shown() if one.patient.id == record.id]
        line.tell(events.QueueUpdated(), *tickets)
        await line.settle()
    return record


async def shown_in(conn: Connection, patient_id: int) -> list[int]:
    """The queues whose staff have the patient before them."""
    return [row["queue_id"] for row in await conn.fetch(SHOWN_IN, patient_id)]


SHOWN_IN = """
select distinct t.queue_id from tickets t join queues q on q.id = t.queue_id
where t.patient_id = $1 and (
    t.state in ('waiting', 'called', 'in_consultation', 'on_hold') or (t.state = 'no_show' and t.day = q.token_day)
)
"""


# A ticket's link


class Slip(Reply):
    """Everything that a printed ticket shows, with its new link; `wait` as (50th, 90th percentile) in seconds."""

    ticket_id: int
    token: str
    institution: str
    location: str
    queue: str
    zone: str
    joined_at: datetime
    place: int | None
    wait: tuple[int, int] | None
    link: str
    qr_svg: str


async def renew_link(tx: Tx, actor: Actor, ask: OfTicket) -> Slip:
    """Give a ticket a new link, to print or to show; the one before it opens nothing from here on.

    Raises `WrongState` for a ticket that is over.
    """
    line, ticket = await open_ticket(tx, actor, ask.ticket_id)
    if ticket.state not in LINKED:
        raise errors.WrongState(
            f"A ticket that is {ticket.state.replace('_', ' ')} has no link any more.", state=ticket.state
        )
    secret, secret_hash = access.new_secret()
    old = await tx.conn.fetchval(RENEW_SECRET, ticket.id, secret_hash)
    if old is not None:
        tx.ended.append(access.link_credential(old))
    await line.decide(ticket, "new-link", None)
    tx.institution_id = line.institution_id
    tx.about(f"ticket:{ticket.id}", None, {"link": "renewed"}, patient=ticket.patient.id)
    row = await tx.conn.fetchrow(PLACE_OF_SLIP, ticket.id)
    assert row is not None
    place = row["place"] if ticket.state is State.waiting else None
    link = f"{tx.base_url}/t/{secret}"
    return Slip(
        ticket_id=ticket.id,
        token=ticket.token,
        institution=row["institution"],
        location=row["location"],
        queue=line.name,
        zone=line.zone.key,
        joined_at=ticket.joined_at,
        place=place,
        wait=line.waits[place - 1] if place and place <= len(line.waits) else None,
        link=link,
        qr_svg=segno.make(link, error="m").svg_inline(scale=4, border=2),
    )


LINKED = frozenset({State.waiting, State.called, State.in_consultation, State.on_hold, State.no_show})
RENEW_SECRET = """
with old as (select id, secret_hash from tickets where id = $1)
update tickets t set secret_hash = $2 from old where t.id = old.id returning old.secret_hash
"""
PLACE_OF_SLIP = """
select i.name as institution, l.name as location, (
    select count(*) from tickets o where o.queue_id = t.queue_id and o.state = 'waiting' and o.rank <= t.rank
) as place
from tickets t
join queues q on q.id = t.queue_id
join locations l on l.id = q.location_id
join institutions i on i.id = q.institution_id
where t.id = $1
"""


# A location at a glance


class OfLocation(Ask):
    """One location."""

    location_id: Id


class QueueOverview(Reply):
    """A queue's local day so far; waits are in seconds from joining to the call, None before anybody was called."""

    queue_id: int
    name: str
    department: str | None
    state: str
    message: str | None
    doctor_id: int | None
    doctor: str | None
    doctor_ids: list[int] = Field(description="All who serve it.")
    serves: bool = Field(description="Whether the asker may work it.")
    desks: int = Field(description="How many desks serve it now.")
    waiting: int
    urgent: int = Field(description="Of those waiting.")
    emergencies: int = Field(description="Of those waiting.")
    called: int
    in_consultation: int
    on_hold: int
    served: int
    no_shows: int
    cancelled: int
    waiting_since: datetime | None = Field(description="When the one who waits longest joined.")
    wait_mean_s: float | None
    wait_p90_s: float | None


class Overview(Reply):
    """A location's queues, by id, on its local day; its clock is the server's."""

    location_id: int
    location: str
    institution: str
    zone: str
    languages: list[str]
    day: date
    server_time: datetime
    queues: list[QueueOverview]


async def location_overview(view: Read, actor: Actor, ask: OfLocation) -> Overview:
    """Every queue of a location with its figures of the day. Raises `NotFound`, `NotAllowed`."""
    location = await view.conn.fetchrow(LOCATION, ask.location_id)
    if location is None or not actor.within(location["institution_id"]):
        raise errors.NotFound("There is no such location here.")
    if not actor.at(ask.location_id):
        raise errors.NotAllowed("That is not one of your locations.")
    today = view.now.astimezone(ZoneInfo(location["zone"])).date()
    rows = await view.conn.fetch(OVERVIEW, ask.location_id, today, actor.doctor_id, actor.role is not Role.doctor)
    return Overview(
        location_id=ask.location_id,
        location=location["location"],
        institution=location["institution"],
        zone=location["zone"],
        languages=location["languages"],
        day=today,
        server_time=view.now,
        queues=[QueueOverview(**dict(row)) for row in rows],
    )


LOCATION = """
select l.name as location, l.institution_id, i.name as institution, i.languages, coalesce(l.zone, i.zone) as zone
from locations l join institutions i on i.id = l.institution_id
where l.id = $1 and l.retired_at is null
"""
OVERVIEW = """
select q.id as queue_id, q.name, q.department, q.state, q.message, q.doctor_id, d.name as doctor,
    array(select s.doctor_id from queue_doctors s where s.queue_id = q.id order by 1) as doctor_ids,
    $4 or exists (select from queue_doctors s where s.queue_id = q.id and s.doctor_id = $3) as serves,
    (select count(*) from serving s where s.queue_id = q.id) as desks,
    t.*
from queues q
left join doctors d on d.id = q.doctor_id
cross join lateral (
    select
        count(*) filter (where state = 'waiting') as waiting,
        count(*) filter (where state = 'waiting' and urgency = 'urgent') as urgent,
        count(*) filter (where state = 'waiting' and urgency = 'emergency') as emergencies,
        count(*) filter (where state = 'called') as called,
        count(*) filter (where state = 'in_consultation') as in_consultation,
        count(*) filter (where state = 'on_hold') as on_hold,
        count(*) filter (where state = 'completed') as served,
        count(*) filter (where state = 'no_show') as no_shows,
        count(*) filter (where state = 'cancelled') as cancelled,
        min(joined_at) filter (where state = 'waiting') as waiting_since,
        extract(epoch from avg(called_at - joined_at))::double precision as wait_mean_s,
        extract(epoch from percentile_cont(0.9) within group (order by called_at - joined_at))::double precision
            as wait_p90_s
    from tickets
    where queue_id = q.id and (day = $2 or state in ('waiting', 'called', 'in_consultation', 'on_hold'))
) t
where q.location_id = $1 and q.retired_at is null
order by q.id
"""


COMMANDS: list[Command[Any, Any]] = [
    Command("renew-link", renew_link, OfTicket, Slip, STAFF, "POST /tickets/{ticket_id}/link"),
]
QUERIES: list[Query[Any, Any]] = [
    Query(
        "show-patient",
        show_patient,
        ShowPatient,
        PatientView,
        STAFF,
        "GET /patients/{patient_id}",
        patients=lambda view: [view.patient.id],
    ),
    Query("location-overview", location_overview, OfLocation, Overview, STAFF, "GET /locations/{location_id}/overview"),
]
