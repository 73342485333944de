"""What can be asked about queues and tickets.

Invariant: each answer is read from one snapshot, and shows nothing of another institution's.
"""

from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import orjson
from pydantic import Field

from server import errors
from server.access import STAFF, Actor, Role
from server.asks import Ask, Id, Reply, decode_cursor, encode_cursor
from server.events import EndReason, Reason, StaffBoard, StaffQueue, StaffTicket, State, board
from server.queue import rules
from server.queue.line import TICKET, staff_rows, ticket_of
from server.store import Query, Read


class DeskName(Reply):
    """A desk of a location."""

    id: int
    name: str


class QueueSummary(Reply):
    """A queue in a list."""

    id: int
    name: str
    location_id: int
    location: str
    institution_id: int
    institution: str
    doctor_id: int | None
    doctor: str | None
    state: str
    waiting: int
    serves: bool
    desks: list[DeskName]


class Page(Ask):
    """A stretch of a list: at most `limit` entries from `cursor` on."""

    cursor: str | None = Field(default=None, max_length=200)
    limit: int = Field(default=50, ge=1, le=200)


class ListQueues(Page):
    """The queues of the asker's institution, or of one location."""

    location_id: Id | None = None


class Queues(Reply):
    """A page of queues; `next` is the cursor of the following page."""

    items: list[QueueSummary]
    next: str | None


async def list_queues(view: Read, actor: Actor, ask: ListQueues) -> Queues:
    """The queues that the asker may see, by id."""
    start = decode_cursor("queues", ask.cursor, int)[0] if ask.cursor else 0
    rows = await view.conn.fetch(
        QUEUES, actor.institution_id, actor.role is Role.super_admin, ask.location_id, start, ask.limit + 1,
        actor.doctor_id, list(actor.location_ids),
    )  # fmt: skip
    items = [
        QueueSummary(
            id=row["id"],
            name=row["name"],
            location_id=row["location_id"],
            location=row["location"],
            institution_id=row["institution_id"],
            institution=row["institution"],
            doctor_id=row["doctor_id"],
            doctor=row["doctor"],
            state=row["state"],
            waiting=row["waiting"],
            serves=row["serves"] or actor.role is not Role.doctor,
            desks=[DeskName(**one) for one in orjson.loads(row["desks"])],
        )
        for row in rows[: ask.limit]
    ]
    return Queues(items=items, next=encode_cursor("queues", items[-1].id) if len(rows) > ask.limit else None)


QUEUES = """
select q.id, q.name, q.location_id, l.name as location, q.institution_id, i.name as institution, q.doctor_id,
    d.name as doctor, q.state,
    (select count(*) from tickets t where t.queue_id = q.id and t.state = 'waiting') as waiting,
    exists (select from queue_doctors s where s.queue_id = q.id and s.doctor_id = $6) as serves,
    (
        select coalesce(json_agg(json_build_object('id', k.id, 'name', k.name) order by k.id), '[]')
        from desks k where k.location_id = q.location_id and k.retired_at is null
    ) as desks
from queues q
join locations l on l.id = q.location_id
join institutions i on i.id = q.institution_id
left join doctors d on d.id = q.doctor_id
where ($2 or q.institution_id = $1) and ($3::bigint is null or q.location_id = $3) and q.id > $4
    and q.retired_at is null and ($7::bigint[] = '{}' or q.location_id = any($7))
order by q.id limit $5
"""


class OfQueue(Ask):
    """One queue."""

    queue_id: Id


class QueueView(Reply):
    """A queue with everybody in it, at a version of its staff stream and of its board stream."""

    queue: StaffQueue
    tickets: list[StaffTicket]
    boards: list[StaffBoard]
    desks: list[DeskName]
    board_version: int


async def show_queue(view: Read, actor: Actor, ask: OfQueue) -> QueueView:
    """A queue as those who work it see it: those at desks and on hold, and those waiting, in order."""
    if (await access_queue(view, actor, ask.queue_id))["retired_at"] is not None:
        raise errors.NotFound("That queue is closed for good.")
    rows = await staff_rows(view.conn, ask.queue_id)
    return QueueView(
        queue=next(row for row in rows if isinstance(row, StaffQueue)),
        tickets=[row for row in rows if isinstance(row, StaffTicket)],
        boards=[row for row in rows if isinstance(row, StaffBoard)],
        desks=[DeskName(**dict(row)) for row in await view.conn.fetch(DESKS_OF_QUEUE, ask.queue_id)],
        board_version=await view.conn.fetchval(VERSION, board(ask.queue_id).name),
    )


DESKS_OF_QUEUE = """
select d.id, d.name from desks d join queues q on q.location_id = d.location_id
where q.id = $1 and d.retired_at is null order by d.id
"""
VERSION = "select version from streams where name = $1"


async def access_queue(view: Read, actor: Actor, queue_id: int) -> Any:
    """A queue that the actor works. Raises `NotFound` for a foreign one, `NotAllowed` for a doctor of other queues."""
    row = await view.conn.fetchrow(QUEUE, queue_id, actor.doctor_id)
    if row is None or not actor.within(row["institution_id"]):
        raise errors.NotFound("There is no such queue here.")
    if actor.role is Role.doctor and not row["serves"]:
        raise errors.NotAllowed("You do not serve this queue.")
    if not actor.at(row["location_id"]):
        raise errors.NotAllowed("That queue is not at one of your locations.")
    return row


QUEUE = """
select q.id, q.institution_id, q.location_id, q.retired_at, coalesce(l.zone, i.zone) as zone,
    exists (select from queue_doctors s where s.queue_id = q.id and s.doctor_id = $2) as serves
from queues q join locations l on l.id = q.location_id join institutions i on i.id = q.institution_id where q.id = $1
"""


class QueueHistory(Page):
    """What happened in a queue."""

    queue_id: Id


class Happened(Reply):
    """One event of a queue's board stream; `actor` is a kind and an id, such as `user:7`."""

    version: int
    type: str
    at: datetime
    actor: str
    data: dict[str, Any]


class History(Reply):
    """A page of events, newest first."""

    items: list[Happened]
    next: str | None


async def queue_history(view: Read, actor: Actor, ask: QueueHistory) -> History:
    """The events of a queue, newest first, without the rows that they changed."""
    await access_queue(view, actor, ask.queue_id)
    listing = f"history:{ask.queue_id}"
    start = decode_cursor(listing, ask.cursor, int)[0] if ask.cursor else 2**62
    rows = await view.conn.fetch(HISTORY, board(ask.queue_id).name, start, ask.limit + 1)
    items = [
        Happened(
            version=row["version"], type=row["type"], at=row["at"], actor=row["actor"], data=orjson.loads(row["data"])
        )
        for row in rows[: ask.limit]
    ]
    following = encode_cursor(listing, items[-1].version) if len(rows) > ask.limit else None
    return History(items=items, next=following)


HISTORY = """
select version, type, at, actor, (data - 'put' - 'drop')::text as data from events
where stream = $1 and version < $2 order by version desc limit $3
"""


class Stats(Reply):
    """A queue's local day so far; waits are in seconds from joining to the call, None before anybody was called."""

    day: date
    waiting: int
    called: int
    in_consultation: int
    on_hold: int
    served: int
    no_shows: int
    cancelled: int
    wait_mean_s: float | None
    wait_p90_s: float | None


async def queue_stats(view: Read, actor: Actor, ask: OfQueue) -> Stats:
    """How a queue's local day goes."""
    queue = await access_queue(view, actor, ask.queue_id)
    today = view.now.astimezone(ZoneInfo(queue["zone"])).date()
    row = await view.conn.fetchrow(STATS, ask.queue_id, today)
    assert row is not None
    return Stats(day=today, **dict(row))


STATS = """
select
    count(*) filter (where state = 'waiting') as waiting,
    count(*) filter (where state = 'called') as called,
    count(*) filter (where state = 'in_consultation') as in_consultation,
    count(*) filter (where state = 'on_hold') as on_hold,
    count(*) filter (where state = 'completed') as served,
    count(*) filter (where state = 'no_show') as no_shows,
    count(*) filter (where state = 'cancelled') as cancelled,
    extract(epoch from avg(called_at - joined_at))::double precision as wait_mean_s,
    extract(epoch from percentile_cont(0.9) within group (order by called_at - joined_at))::double precision
        as wait_p90_s
from tickets where queue_id = $1 and (day = $2 or state in ('waiting', 'called', 'in_consultation', 'on_hold'))
"""


class OfTicketQuery(Ask):
    """One ticket."""

    ticket_id: Id


class Decision(Reply):
    """Something that was decided about a ticket."""

    at: datetime
    kind: str
    actor: str
    reason: str | None
    facts: dict[str, Any]


class TicketView(Reply):
    """A ticket, and every decision about it."""

    ticket: StaffTicket
    queue_id: int
    place: int | None
    decisions: list[Decision]


async def show_ticket(view: Read, actor: Actor, ask: OfTicketQuery) -> TicketView:
    """A ticket as those who work its queue see it."""
    row = await _access_ticket(view, actor, ask.ticket_id)
    ticket = ticket_of(row)
    return TicketView(
        ticket=ticket.staff_row(),
        queue_id=ticket.queue_id,
        place=await view.conn.fetchval(PLACE_OF_TICKET, ticket.id),
        decisions=[
            Decision(
                at=one["at"],
                kind=one["kind"],
                actor=one["actor"],
                reason=one["reason"],
                facts=orjson.loads(one["facts"]),
            )
            for one in await view.conn.fetch(DECISIONS, ticket.id)
        ],
    )


PLACE_OF_TICKET = """
select count(*) from tickets mine
join tickets t on t.queue_id = mine.queue_id and t.state = 'waiting' and t.rank <= mine.rank
where mine.id = $1 and mine.state = 'waiting' group by mine.id
"""
DECISIONS = "select at, kind, actor, reason, facts from decisions where ticket_id = $1 order by id"


async def _access_ticket(view: Read, actor: Actor, ticket_id: int) -> Any:
    row = await view.conn.fetchrow(ONE_TICKET, ticket_id)
    if row is None or not actor.within(row["institution_id"]):
        raise errors.NotFound("There is no such ticket here.")
    await access_queue(view, actor, row["queue_id"])
    return row


ONE_TICKET = TICKET + " where t.id = $1"


class Why(Ask):
    """Why was this ticket called, or why does it stand, before that one?"""

    ticket_id: Id
    before: Id


class Because(Reply):
    """The answer in an English sentence, the same by code and values, and every fact that bears on it."""

    answer: str
    code: str = Field(description="Which answer it is; a new one may come, a meaning never changes.")
    values: dict[str, str | float] = Field(description="`first` and `second` are the tokens as the answer has them.")
    reason: str | None = Field(description="What somebody gave as their reason.")
    swapped: bool = Field(description="Whether it was the other way round.")
    facts: list[Reason]


async def why_before(view: Read, actor: Actor, ask: Why) -> Because:
    """Why one ticket went before another; where it did not, the answer says that and explains the other way round."""
    rows = [await _access_ticket(view, actor, one) for one in (ask.ticket_id, ask.before)]
    if rows[0]["queue_id"] != rows[1]["queue_id"]:
        raise errors.NotFound("These tickets are in different queues, so neither went before the other.")
    first, second = [await _told(view, row) for row in rows]
    swapped = _goes_before(rows[1], rows[0])
    if swapped:
        first, second = second, first
    answer, facts = rules.why(first, second)
    prefix = f"It was the other way round: {first.token} went before {second.token}. " if swapped else ""
    return Because(
        answer=prefix + answer.sentence,
        code=answer.code,
        values=dict(answer.values),
        reason=answer.reason,
        swapped=swapped,
        facts=facts,
    )


async def _told(view: Read, row: Any) -> rules.Told:
    ticket = ticket_of(row)
    decided = [
        (one["at"], one["kind"], one["reason"], orjson.loads(one["facts"]).get("undid"))
        for one in await view.conn.fetch(DECISIONS, ticket.id)
    ]
    return rules.Told(
        token=ticket.token,
        joined_at=ticket.joined_at,
        called_at=ticket.called_at,
        urgency=ticket.urgency,
        score=ticket.score,
        reasons=tuple(ticket.order_reasons),
        booked_for=ticket.booked_for,
        decisions=rules.in_force(decided),
    )


def _goes_before(one: Any, other: Any) -> bool:
    """Whether `one` was called earlier; of those not called, whether it waits and stands earlier."""
    if one["called_at"] and other["called_at"]:
        return bool(one["called_at"] < other["called_at"])
    if one["called_at"] or other["called_at"]:
        return one["called_at"] is not None
    return bool((one["state"] != State.waiting, one["rank"]) < (other["state"] != State.waiting, other["rank"]))


# A ticket's holder


class Nothing(Ask):
    """No parameters."""


class QueueName(Reply):
    """A queue as its patients know it."""

    id: int
    name: str
    doctor: str | None


class MyTicket(Reply):
    """A ticket as its holder sees it, and the stream to follow."""

    ticket: int
    token: str
    state: State
    queue: QueueName
    location: str
    institution: str
    zone: str
    languages: list[str]
    stream: str
    joined_at: datetime
    desk: str | None
    may_cancel: bool
    ended: EndReason = Field(description="Why it ended, where it was not anybody's doing.")
    server_time: datetime


async def my_ticket(view: Read, actor: Actor, ask: Nothing) -> MyTicket:
    """The ticket whose link the asker holds; after a transfer, the one it goes on as."""
    row = await view.conn.fetchrow(MY_TICKET, actor.id)
    if row is None:
        raise errors.NotFound("There is no such ticket here.")
    state = State(row["state"])
    return MyTicket(
        ticket=row["id"],
        token=row["token"],
        state=state,
        queue=QueueName(id=row["queue_id"], name=row["queue"], doctor=row["doctor"]),
        location=row["location"],
        institution=row["institution"],
        zone=row["zone"],
        languages=row["languages"],
        stream=board(row["queue_id"]).name,
        joined_at=row["joined_at"],
        desk=row["desk"] if state in rules.AT_DESK else None,
        may_cancel=rules.allowed(rules.Step.cancel, state),
        ended="day-ended" if row["day_ended"] else None,
        server_time=view.now,
    )


MY_TICKET = """
select t.id, t.token, t.state, t.queue_id, q.name as queue, d.name as doctor, l.name as location,
    i.name as institution, coalesce(l.zone, i.zone) as zone, i.languages, t.joined_at, k.name as desk,
    t.state = 'cancelled' and (
        select s.kind = 'cancel' and s.reason = 'day-ended' and s.actor = 'system'
        from decisions s where s.ticket_id = t.id order by s.id desc limit 1
    ) as day_ended
from tickets t
join queues q on q.id = t.queue_id
join locations l on l.id = q.location_id
join institutions i on i.id = q.institution_id
left join doctors d on d.id = q.doctor_id
left join desks k on k.id = t.desk_id
where t.id = $1
"""


QUERIES: list[Query[Any, Any]] = [
    Query("list-queues", list_queues, ListQueues, Queues, STAFF, "GET /queues"),
    Query(
        "show-queue",
        show_queue,
        OfQueue,
        QueueView,
        STAFF,
        "GET /queues/{queue_id}",
        patients=lambda view: [one.patient.id for one in view.tickets],
    ),
    Query("queue-history", queue_history, QueueHistory, History, STAFF, "GET /queues/{queue_id}/history"),
    Query("queue-stats", queue_stats, OfQueue, Stats, STAFF, "GET /queues/{queue_id}/stats"),
    Query(
        "show-ticket",
        show_ticket,
        OfTicketQuery,
        TicketView,
        STAFF,
        "GET /tickets/{ticket_id}",
        patients=lambda view: [view.ticket.patient.id],
    ),
    Query("why-before", why_before, Why, Because, STAFF, "GET /tickets/{ticket_id}/why"),
    Query("my-ticket", my_ticket, Nothing, MyTicket, frozenset({Role.ticket}), "GET /ticket"),
]
