"""How a ticket comes into a queue: whom the queue takes in, under which token, at which place.

Invariant: nobody stands in a queue twice, and a token names one patient of the day.
"""

from dataclasses import dataclass, field
from datetime import datetime

import segno

from server import access, errors, events
from server.asks import Reply
from server.events import Person, Urgency
from server.queue import rules
from server.queue.line import Line, Ticket, dumps


@dataclass(frozen=True, slots=True)
class Entry:
    """Who comes, and what for; `booked_for` is when their appointment is, `None` of somebody without one."""

    person: Person
    urgency: Urgency = Urgency.routine
    reason: str | None = None
    requirements: list[str] = field(default_factory=list)
    booked_for: datetime | None = None


async def enter(line: Line, entry: Entry, *, known: bool = True) -> tuple[Ticket, str]:
    """Give somebody the next token of the day, at the place that the queue's order gives them; and their link's secret.

    Whoever is not `known` was registered this instant and stands nowhere yet. Ask `takes_in` before. Settle after.
    Raises `AlreadyWaiting`.
    """
    if known:
        await refuse_second_ticket(line, entry.person.id)
    await begin_day(line)
    secret, secret_hash = access.new_secret()
    now, born = line.tx.now, entry.person.birth_year
    standing = rules.standing(line.settings, now, entry.urgency, born, entry.requirements, entry.booked_for)
    new = NewTicket(
        entry.person.id,
        secret_hash,
        entry.urgency,
        entry.reason,
        entry.requirements,
        now,
        standing,
        entry.booked_for,
    )
    ticket = await line.save_by_standing(await line.ticket(await insert(line, new)))
    line.tell(events.TicketJoined(ticket=ticket.id, token=ticket.token), ticket)
    return ticket, secret


class Joined(Reply):
    """The new ticket: its place from 1, its wait as (50th, 90th percentile) in seconds, and the patient's own link."""

    ticket_id: int
    queue_id: int
    token: str
    place: int
    wait: tuple[int, int] | None
    link: str
    qr_svg: str
    board_version: int


async def joined(line: Line, ticket: Ticket, secret: str) -> Joined:
    """Settle the queue, and answer what somebody who came in is told."""
    version = await line.settle()
    place = await line.tx.conn.fetchval(PLACE, line.id, ticket.rank)
    link = f"{line.tx.base_url}/t/{secret}"
    return Joined(
        ticket_id=ticket.id,
        queue_id=line.id,
        token=ticket.token,
        place=place,
        wait=line.waits[place - 1] if place <= len(line.waits) else None,
        link=link,
        qr_svg=segno.make(link, error="m").svg_inline(scale=4, border=2),
        board_version=version,
    )


PLACE = "select count(*) from tickets where queue_id = $1 and state = 'waiting' and rank <= $2"


async def takes_in(line: Line, urgency: Urgency, booked_for: datetime | None = None) -> None:
    """Raise the refusal that keeps a ticket out: `QueueClosed`, `QueueFull`, `WalkInLimit`.

    An emergency is kept out by nothing; an appointment, which has its seat, only by a queue that is closed by hand.
    """
    if urgency is Urgency.emergency:
        return
    hours = "always" if booked_for else line.settings.hours
    if line.state == "closed" or not rules.open_at(hours, line.tx.now.astimezone(line.zone)):
        raise errors.QueueClosed(state=line.state, message=line.message)
    if booked_for is not None:
        return
    counts = await line.tx.conn.fetchrow(COUNTS, line.id, line.today, line.settings.max_length)
    assert counts is not None
    if counts["waiting"] >= line.settings.max_length:
        raise errors.QueueFull(max_length=line.settings.max_length)
    if counts["today"] >= line.settings.walk_ins_per_day * max(1, line.doctors):
        raise errors.WalkInLimit(walk_ins_per_day=line.settings.walk_ins_per_day)


COUNTS = """
select
    (select count(*) from (select from tickets where queue_id = $1 and state = 'waiting' limit $3) w) as waiting,
    (select count(*) from tickets where queue_id = $1 and day = $2 and booked_for is null) as today
"""


async def refuse_second_ticket(line: Line, patient_id: int) -> None:
    """Raise `AlreadyWaiting` where the patient stands in this queue."""
    row = await line.tx.conn.fetchrow(STANDS_HERE, line.id, patient_id)
    if row is not None:
        raise errors.AlreadyWaiting(ticket_id=row["id"], token=row["token"], state=row["state"])


STANDS_HERE = """
select id, token, state from tickets
where queue_id = $1 and patient_id = $2 and state in ('waiting', 'called', 'in_consultation', 'on_hold')
"""


async def begin_day(line: Line) -> None:
    """On the first ticket of a local day, tokens begin anew and yesterday's no-shows leave the staff's sight."""
    if line.token_day != line.today:
        rows = await line.tx.conn.fetch(OLD_NO_SHOWS, line.id, line.token_day)
        line.dropped_from_staff += [f"t:{row['id']}" for row in rows]
        line.token_day, line.token_last = line.today, 0


OLD_NO_SHOWS = "select id from tickets where queue_id = $1 and day = $2 and state = 'no_show'"


@dataclass(frozen=True, slots=True)
class NewTicket:
    """What a ticket begins with."""

    patient_id: int
    secret_hash: bytes | None
    urgency: Urgency
    reason: str | None
    requirements: list[str]
    joined_at: datetime
    standing: rules.Standing
    booked_for: datetime | None = None
    origin_id: int | None = None


async def insert(line: Line, new: NewTicket, token: str | None = None) -> int:
    """Add a waiting ticket under this token or, where that is none or taken, the next one of the day."""
    while True:
        if token is None:
            line.token_last += 1
            token = rules.token(line.settings, line.token_last)
        id_ = await line.tx.conn.fetchval(
            ADD_TICKET,
            line.institution_id,
            line.id,
            new.patient_id,
            line.today,
            token,
            new.secret_hash,
            new.urgency,
            new.reason,
            new.requirements,
            new.joined_at,
            line.tx.now,
            new.standing.band,
            new.standing.key,
            dumps([one.model_dump() for one in new.standing.reasons]),
            new.standing.score.model_dump_json() if new.standing.score else None,
            new.origin_id,
            new.booked_for,
        )
        if id_ is not None:
            return int(id_)
        token = None


# A token is taken by whoever had it today, and by whoever is still there with it since yesterday: a board that showed
# it twice would send two patients to one desk.
ADD_TICKET = """
insert into tickets (institution_id, queue_id, patient_id, day, token, secret_hash, urgency, reason, requirements,
    joined_at, waiting_since, band, key, rank, order_reasons, score, origin_id, booked_for)
select $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, 0, $14, $15, $16, $17
where not exists (
    select from tickets where queue_id = $2 and day = $4 and token = $5
    union all
    select from tickets
    where queue_id = $2 and token = $5 and state in ('waiting', 'called', 'in_consultation', 'on_hold')
)
returning id
"""
