"""One queue under its gate: loading and saving it and its tickets, and telling every audience what changed.

Invariant: rows are made from the same `Ticket` and `Line` that are saved, so what a stream shows is what PostgreSQL
has: a stream's old rows plus its events equal its rows read afresh (`board_rows`, `staff_rows`).
"""

from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import asyncpg
import orjson

from server import errors, events
from server.access import Actor, Role
from server.events import (
    BoardQueue,
    BoardRow,
    BoardTicket,
    Call,
    Event,
    PatientTicket,
    Person,
    QueueState,
    Reason,
    Score,
    Serving,
    StaffBoard,
    StaffQueue,
    StaffRow,
    StaffTicket,
    State,
    TicketChanged,
    Urgency,
)
from server.queue import rules
from server.queue.rules import Neighbour, Standing
from server.queue.waits import MAX_PLACES, Gap, Pace, gap, ranges
from server.settings import QueueSettings, effective
from server.store import Connection, Tx

KEEP_WAITS = timedelta(seconds=1)
"""While as many desks are busy, waits told so recently are kept: they cost more than the command, and nobody reads that
fast."""
IDLE_AFTER = timedelta(minutes=60)
"""A desk that neither called nor finished anybody for so long does not serve the queue any more."""

ON_BOARD = frozenset({State.waiting, State.called, State.in_consultation, State.on_hold})
"""The states whose tickets a board stream shows; staff see today's no-shows besides, to take them back."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """A ticket as PostgreSQL has it, with its patient and the name of its desk."""

    id: int
    institution_id: int
    queue_id: int
    patient: Person
    has_account: bool
    day: date
    token: str
    state: State
    urgency: Urgency
    reason: str | None
    requirements: list[str]
    joined_at: datetime
    booked_for: datetime | None
    waiting_since: datetime
    band: int
    key: float
    rank: float
    order_reasons: list[Reason]
    score: Score | None
    calls: int
    call_version: int | None
    desk_id: int | None
    desk: str | None
    doctor_id: int | None
    called_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    undo: dict[str, Any] | None

    @property
    def standing(self) -> Standing:
        """Where it belongs among those waiting, as last decided."""
        return Standing(self.band, self.key, self.score, tuple(self.order_reasons))

    @property
    def row_key(self) -> str:
        """The name of its row in every stream."""
        return f"t:{self.id}"

    def stood(self, standing: Standing) -> "Ticket":
        """The ticket with another standing; its rank is found when it is saved as waiting."""
        return replace(
            self,
            band=standing.band,
            key=standing.key,
            score=standing.score,
            order_reasons=list(standing.reasons),
        )

    def standing_by(self, settings: QueueSettings) -> Standing:
        """Where it belongs by these settings, whatever was decided about it by hand."""
        born = self.patient.birth_year
        return rules.standing(settings, self.joined_at, self.urgency, born, self.requirements, self.booked_for)

    def trail(self) -> dict[str, Any]:
        """What the audit trail compares of it."""
        return {
            "token": self.token,
            "state": self.state,
            "urgency": self.urgency,
            "desk": self.desk,
            "calls": self.calls,
            "rank": self.rank,
            "reasons": [one.detail for one in self.order_reasons],
        }

    def board_row(self) -> BoardTicket:
        """As a waiting room sees it."""
        return BoardTicket(
            ticket=self.id, token=self.token, state=self.state, rank=self.rank, desk=self.desk, call=self._call()
        )

    def staff_row(self) -> StaffTicket:
        """As those who work the queue see it."""
        return StaffTicket(
            ticket=self.id,
            token=self.token,
            state=self.state,
            rank=self.rank,
            desk=self.desk,
            call=self._call(),
            patient=self.patient,
            urgency=self.urgency,
            reason=self.reason,
            requirements=self.requirements,
            joined_at=self.joined_at,
            called_at=self.called_at,
            started_at=self.started_at,
            desk_id=self.desk_id,
            doctor_id=self.doctor_id,
            score=self.score,
            order_reasons=self.order_reasons,
            undo=self.undo["step"] if self.undo else None,
        )

    def _call(self) -> Call | None:
        if self.state not in rules.AT_DESK or self.called_at is None:
            return None
        return Call(number=self.calls, at=self.called_at, version=self.call_version or 0)


TICKET = """
select t.id, t.institution_id, t.queue_id, t.day, t.token, t.state, t.urgency, t.reason, t.requirements,
    t.joined_at, t.booked_for, t.waiting_since, t.band, t.key, t.rank, t.order_reasons, t.score,
    t.calls, t.call_version, t.desk_id, d.name as desk, t.doctor_id, t.called_at, t.started_at, t.ended_at, t.undo,
    p.id as patient_id, p.name as patient_name, p.phone, p.birth_year, p.number, p.birth_date,
    exists (select from users u where u.patient_id = p.id) as has_account
from tickets t join patients p on p.id = t.patient_id left join desks d on d.id = t.desk_id
"""
"""The columns of `ticket_of`, for the queries below to narrow."""


def ticket_of(row: asyncpg.Record) -> Ticket:
    """A row of `TICKET` as a ticket."""
    return Ticket(
        id=row["id"],
        institution_id=row["institution_id"],
        queue_id=row["queue_id"],
        patient=Person(
            id=row["patient_id"],
            name=row["patient_name"],
            phone=row["phone"],
            birth_year=row["birth_year"],
            number=row["number"],
            birth_date=row["birth_date"],
        ),
        has_account=row["has_account"],
        day=row["day"],
        token=row["token"],
        state=State(row["state"]),
        urgency=Urgency(row["urgency"]),
        reason=row["reason"],
        requirements=row["requirements"],
        joined_at=row["joined_at"],
        booked_for=row["booked_for"],
        waiting_since=row["waiting_since"],
        band=row["band"],
        key=row["key"],
        rank=row["rank"],
        order_reasons=[Reason.model_validate(one) for one in orjson.loads(row["order_reasons"])],
        score=Score.model_validate_json(row["score"]) if row["score"] else None,
        calls=row["calls"],
        call_version=row["call_version"],
        desk_id=row["desk_id"],
        desk=row["desk"],
        doctor_id=row["doctor_id"],
        called_at=row["called_at"],
        started_at=row["started_at"],
        ended_at=row["ended_at"],
        undo=orjson.loads(row["undo"]) if row["undo"] else None,
    )


@dataclass(frozen=True, slots=True)
class Turn:
    """A desk's last call in a queue, by which doctor, and when that patient left it (None: is there still)."""

    doctor_id: int | None
    called_at: datetime
    freed_at: datetime | None


@dataclass(frozen=True, slots=True)
class Desk:
    """A desk before it calls: its last turn, and since when somebody in the queue could have been called.

    `arrived`: when the first to arrive of those who wait did.
    """

    id: int
    name: str
    turn: Turn | None
    waiting_since: datetime | None
    arrived: datetime | None


@dataclass(slots=True)
class Line:
    """One queue under its gate, what has been noted to tell, and its clock."""

    tx: Tx
    id: int
    institution_id: int
    location_id: int
    doctor_id: int | None
    name: str
    doctor: str | None
    doctors: int
    zone: ZoneInfo
    state: QueueState
    message: str | None
    own_settings: dict[str, Any]
    settings: QueueSettings
    token_day: date | None
    token_last: int
    pace: Pace
    resumed_at: datetime | None
    waits: list[tuple[int, int]]
    """What was told last: (50th, 90th percentile) in seconds from `waits_at`, by place."""
    waits_at: datetime
    waits_basis: str
    told: list[tuple[Event, tuple[Ticket, ...]]] = field(default_factory=list)
    dropped_from_staff: list[str] = field(default_factory=list)
    loaded: dict[int, Ticket] = field(default_factory=dict)
    """Tickets as they were found, for the audit trail; and so the queue itself."""
    found: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        self.found = self.trail()

    @property
    def today(self) -> date:
        """The local day."""
        return self.tx.now.astimezone(self.zone).date()

    @property
    def next_version(self) -> int:
        """The board version of the next event that is told."""
        return self.tx.next_version(events.board(self.id)) + len(self.told)

    def trail(self) -> dict[str, Any]:
        """What the audit trail compares of the queue."""
        return {"state": self.state, "message": self.message, "settings": self.own_settings}

    def staff_see(self, ticket: Ticket) -> bool:
        """Whether staff have the ticket before them: it is not over, or it is a no-show of the day."""
        return ticket.state in ON_BOARD or (ticket.state is State.no_show and ticket.day == self.token_day)

    # Tickets

    async def ticket(self, ticket_id: int) -> Ticket:
        """A ticket of this queue, as it is under the gate. Raises `NotFound` where it has left meanwhile."""
        row = await self.tx.conn.fetchrow(TICKET_OF_QUEUE, ticket_id, self.id)
        if row is None:
            raise errors.NotFound("There is no such ticket in this queue.")
        return self._found(ticket_of(row))

    def _found(self, ticket: Ticket) -> Ticket:
        self.loaded.setdefault(ticket.id, ticket)
        return ticket

    async def waiting(self) -> list[Ticket]:
        """Everybody who waits, in order."""
        return [self._found(ticket_of(row)) for row in await self.tx.conn.fetch(WAITING, self.id)]

    async def shown(self) -> list[Ticket]:
        """Everybody whom staff have before them: those waiting in order among them."""
        return [self._found(ticket_of(row)) for row in await self.tx.conn.fetch(SHOWN_TICKETS, self.id)]

    async def save(self, ticket: Ticket) -> Ticket:
        """Write a ticket's mutable columns, its rank as it is; answers it."""
        await self.tx.conn.execute(SAVE_TICKET, *self._written(ticket))
        return ticket

    async def save_all(self, *tickets: Ticket) -> None:
        """Write several as `save` does, in this order, in one round trip."""
        await self.tx.conn.executemany(SAVE_TICKET, [self._written(one) for one in tickets])

    async def save_by_standing(self, ticket: Ticket) -> Ticket:
        """Write a waiting ticket, ranked by its standing, behind those of the same; answers it with its rank."""
        around = await self.tx.conn.fetchrow(AROUND_STANDING, self.id, ticket.band, ticket.key, ticket.id)
        assert around is not None
        return await self.save(await self._ranked(ticket, around["before"], around["behind"]))

    async def save_at_old_place(self, ticket: Ticket) -> Ticket:
        """Write a ticket that waits again where it stood; by its standing, where others have moved in between."""
        if await self.tx.conn.fetchval(OLD_PLACE_FITS, self.id, ticket.band, ticket.key, ticket.id, ticket.rank):
            return await self.save(ticket)
        return await self.save_by_standing(ticket)

    async def save_at_place(self, ticket: Ticket, place: int) -> Ticket:
        """Write a ticket at the n-th place among those waiting, at the end where there are fewer.

        Raises `BehindEmergency` where that place would be before an emergency, or put one behind somebody else.
        """
        rows = await self.tx.conn.fetch(BEFORE_PLACE, self.id, ticket.id, place - 1)
        before = _neighbour(rows[0]) if rows else None
        rows = await self.tx.conn.fetch(BEHIND_RANK, self.id, ticket.id, before.rank if before else None)
        behind = _neighbour(rows[0]) if rows else None
        squeezed = rules.squeezed(ticket.standing, before, behind)
        if squeezed is None:
            raise errors.BehindEmergency()
        ticket = replace(ticket, band=squeezed[0], key=squeezed[1])
        ticket = await self._ranked(ticket, before.rank if before else None, behind.rank if behind else None)
        return await self.save(ticket)

    async def _ranked(self, ticket: Ticket, before: float | None, behind: float | None) -> Ticket:
        """The ticket ranked between two others; where doubles leave no room there, everybody is ranked anew."""
        rank = rules.rank_between(before, behind)
        if rank is None:
            rank = float(await self.tx.conn.fetchval(PLACE_AFTER, self.id, ticket.id, before))
            await self.tx.conn.execute(RENUMBER, self.id, ticket.id, before)
            self.tell(events.QueueUpdated(), *(one for one in await self.waiting() if one.id != ticket.id))
        return replace(ticket, rank=rank)

    def _written(self, ticket: Ticket) -> tuple[Any, ...]:
        """A ticket's mutable columns; what differs is noted for the trail."""
        before = self.loaded.get(ticket.id)
        self.tx.about(
            f"ticket:{ticket.id}", before.trail() if before else None, ticket.trail(), patient=ticket.patient.id
        )
        return (
            ticket.id,
            ticket.state,
            ticket.urgency,
            ticket.waiting_since,
            ticket.band,
            ticket.key,
            ticket.rank,
            dumps([one.model_dump() for one in ticket.order_reasons]),
            ticket.score.model_dump_json() if ticket.score else None,
            ticket.calls,
            ticket.call_version,
            ticket.desk_id,
            ticket.doctor_id,
            ticket.called_at,
            ticket.started_at,
            ticket.ended_at,
            dumps(ticket.undo) if ticket.undo else None,
        )

    async def decide(self, ticket: Ticket, kind: str, reason: str | None, **facts: Any) -> None:
        """Put a decision about a ticket on record, with what it saw."""
        await self.tx.conn.execute(
            NOTE_DECISION, ticket.id, self.id, self.tx.now, self.tx.actor.key, kind, reason, dumps(facts)
        )

    # Desks

    async def desk_and_first(self, desk_id: int) -> tuple[Desk, Ticket | None, Ticket | None]:
        """A desk of the queue's location, who of this queue is called to it or in consultation, and who waits first.

        Raises `DeskUnknown` for a desk of another location, `DeskBusy` where it has a patient of another queue.
        """
        rows = await self.tx.conn.fetch(DESK_AND_FIRST, self.id, desk_id, self.location_id)
        if not rows:
            raise errors.DeskUnknown()
        row = rows[0]
        if row["ticket_elsewhere"] is not None:
            raise errors.DeskBusy(
                f"There is a patient of {row['queue_elsewhere']} at this desk.",
                ticket_id=row["ticket_elsewhere"],
                token=row["token_elsewhere"],
            )
        turn = Turn(row["of_doctor"], row["turn_called_at"], row["freed_at"]) if row["turn_called_at"] else None
        found = [self._found(ticket_of(one)) for one in rows if one["id"] is not None]
        return (
            Desk(desk_id, row["desk_name"], turn, row["longest_since"], row["arrived"]),
            next((one for one in found if one.state in rules.AT_DESK), None),
            next((one for one in found if one.state is State.waiting), None),
        )

    def gap(self, desk: Desk, ticket: Ticket) -> Gap | None:
        """What a call of this ticket to this desk, now, says about the queue's pace; see `Pace.observe`."""
        turn, waiting_since = desk.turn, min(ticket.waiting_since, desk.waiting_since or ticket.waiting_since)
        if turn is None or turn.called_at.astimezone(self.zone).date() != self.today:
            return None
        return gap(turn.called_at, turn.freed_at, max(waiting_since, self.resumed_at or waiting_since), self.tx.now)

    async def serves(self, desk_id: int, turn: Turn) -> None:
        """Note the turn that a desk is at."""
        await self.tx.conn.execute(SERVE, self.id, desk_id, turn.doctor_id, turn.called_at, turn.freed_at)

    async def serves_no_more(self, desk_id: int) -> None:
        """Note that a desk has not served this queue at all."""
        await self.tx.conn.execute(SERVE_NO_MORE, self.id, desk_id)

    async def frees(self, ticket: Ticket) -> None:
        """Note that a patient leaves the desk now, where they were at one."""
        if ticket.state in rules.AT_DESK:
            await self.tx.conn.execute(FREE_DESK, self.id, ticket.desk_id, self.tx.now)

    async def occupies(self, ticket: Ticket) -> None:
        """Note that a patient has not left the desk, where they are at one."""
        if ticket.state in rules.AT_DESK:
            await self.tx.conn.execute(FREE_DESK, self.id, ticket.desk_id, None)

    # Telling

    def tell(self, event: Event, *changed: Ticket) -> None:
        """Note an event, and the tickets as they are after it, for every audience."""
        self.told.append((event, changed))

    async def settle(self) -> int:
        """Save the queue, append all that was noted with fresh waits; answers the board version after it."""
        seen = await self.tx.conn.fetchrow(SETTLE, self.id, self.tx.now, self.tx.now - IDLE_AFTER, MAX_PLACES)
        assert seen is not None
        serving = [Serving.model_validate(one) for one in orjson.loads(seen["serving"])]
        self._estimate(seen["waiting"], seen["busy"], len(serving))
        self.tx.institution_id = self.institution_id
        self.tx.about(f"queue:{self.id}", self.found, self.trail())
        await self.tx.conn.execute(
            SAVE_QUEUE,
            self.id,
            dumps(self.own_settings),
            self.state,
            self.message,
            self.resumed_at,
            self.token_day,
            self.token_last,
            dumps(self.pace.to_json()),
            dumps(self.waits),
            self.waits_at,
            self.waits_basis,
        )
        if not self.told:
            self.tell(events.QueueUpdated())
        version = self._append_told(*self.rows(serving))
        self._tell_patients()
        return version

    def _estimate(self, waiting: int, busy: list[float], serving: int) -> None:
        """Estimate the waits of all who wait and of whoever comes next, or keep those of a moment ago."""
        if not self.settings.show_waits or self.state == "closed":
            self.waits, self.waits_at, self.waits_basis = [], self.tx.now, ""
            return
        places, desks = min(waiting + 1, MAX_PLACES), max(1, serving, len(busy))
        basis = f"{len(busy)} of {desks}"
        kept = self.waits_basis == basis and len(self.waits) >= places
        if kept and self.tx.now - self.waits_at < KEEP_WAITS:
            self.waits = self.waits[:places]
        else:
            self.waits = ranges(self.pace, busy, desks, places)
            self.waits_at, self.waits_basis = self.tx.now, basis

    def _append_told(self, board_queue: BoardQueue, staff_queue: StaffQueue) -> int:
        """Append what was noted to both of the queue's streams, the queue's own rows with the last of it."""
        version = 0
        for nth, (event, changed) in enumerate(self.told, start=1):
            board_put: list[BoardRow] = [one.board_row() for one in changed if one.state in ON_BOARD]
            staff_put: list[StaffRow] = [one.staff_row() for one in changed if self.staff_see(one)]
            board_drop = [one.row_key for one in changed if one.state not in ON_BOARD]
            staff_drop = [one.row_key for one in changed if not self.staff_see(one)]
            if nth == len(self.told):
                board_put.append(board_queue)
                staff_put.append(staff_queue)
                staff_drop += self.dropped_from_staff
            version = self.tx.append(events.board(self.id), event, put=board_put, drop=board_drop)
            self.tx.append(events.staff(self.id), event, put=staff_put, drop=staff_drop)
        return version

    def rows(self, serving: list[Serving]) -> tuple[BoardQueue, StaffQueue]:
        """The queue itself as both audiences see it."""
        shared: dict[str, Any] = {
            "queue": self.id,
            "name": self.name,
            "doctor": self.doctor,
            "state": self.state,
            "message": self.message,
            "show_waits": self.settings.show_waits,
            "desks": len(serving),
            "waits": self.waits,
            "waits_at": self.waits_at,
        }
        return BoardQueue(**shared), StaffQueue(
            **shared, settings=self.settings.model_dump(mode="json"), mode=self.settings.order, serving=serving
        )

    def _tell_patients(self) -> None:
        latest = {one.id: (one, why) for why, changed in self.told for one in changed if one.has_account}
        for ticket, why in latest.values():
            stream = events.patient(ticket.patient.id)
            ended = why.ended if isinstance(why, events.TicketCancelled) else None
            event = TicketChanged(ticket=ticket.id, token=ticket.token, ended=ended)
            if ticket.state in ON_BOARD:
                self.tx.append(stream, event, put=[patient_row(ticket, self.name)])
            else:
                self.tx.append(stream, event, drop=[ticket.row_key])


def _neighbour(row: asyncpg.Record) -> Neighbour:
    return Neighbour(row["rank"], row["band"], row["key"])


def patient_row(ticket: Ticket, queue_name: str) -> PatientTicket:
    """A ticket as its own patient sees it."""
    return PatientTicket(
        ticket=ticket.id,
        token=ticket.token,
        queue=ticket.queue_id,
        queue_name=queue_name,
        state=ticket.state,
        desk=ticket.desk,
    )


def dumps(value: Any) -> str:
    """JSON as asyncpg takes it."""
    return orjson.dumps(value).decode()


TICKET_OF_QUEUE = TICKET + " where t.id = $1 and t.queue_id = $2"
WAITING = TICKET + " where t.queue_id = $1 and t.state = 'waiting' order by t.rank"
AROUND_STANDING = """
with before as (
    select rank from tickets
    where queue_id = $1 and state = 'waiting' and (band, key) <= ($2, $3) and id <> $4
    order by band desc, key desc, rank desc limit 1
)
select (select rank from before) as before, (
    select min(rank) from tickets
    where queue_id = $1 and state = 'waiting' and id <> $4
        and rank > coalesce((select rank from before), '-infinity'::double precision)
) as behind
"""
OLD_PLACE_FITS = """
select coalesce((
    select rank < $5 and (band, key) <= ($2, $3) from tickets
    where queue_id = $1 and state = 'waiting' and id <> $4 and rank <= $5 order by rank desc limit 1
), true) and coalesce((
    select (band, key) >= ($2, $3) from tickets
    where queue_id = $1 and state = 'waiting' and id <> $4 and rank > $5 order by rank limit 1
), true)
"""
BEFORE_PLACE = """
select rank, band, key from (
    select rank, band, key from tickets where queue_id = $1 and state = 'waiting' and id <> $2 order by rank limit $3
) first_ones order by rank desc limit 1
"""
BEHIND_RANK = """
select rank, band, key from tickets
where queue_id = $1 and state = 'waiting' and id <> $2 and rank > coalesce($3, '-infinity'::double precision)
order by rank limit 1
"""
RENUMBER = """
update tickets t set rank = n.place
from (
    select id, row_number() over (order by rank) + (rank > coalesce($3, '-infinity'::double precision))::int as place
    from tickets where queue_id = $1 and state = 'waiting' and id <> $2
) n where n.id = t.id
"""
PLACE_AFTER = """
select count(*) + 1 from tickets
where queue_id = $1 and state = 'waiting' and id <> $2 and rank <= $3
"""
SAVE_TICKET = """
update tickets set state = $2, urgency = $3, waiting_since = $4, band = $5, key = $6, rank = $7, order_reasons = $8,
    score = $9, calls = $10, call_version = $11, desk_id = $12, doctor_id = $13, called_at = $14, started_at = $15,
    ended_at = $16, undo = $17
where id = $1
"""
NOTE_DECISION = """
insert into decisions (ticket_id, queue_id, at, actor, kind, reason, facts) values ($1, $2, $3, $4, $5, $6, $7)
"""
# The desk in each row, beside the tickets: a call reads all that it needs in one statement.
DESK_AND_FIRST = f"""
with here as (
    select d.name as desk_name, s.doctor_id as of_doctor, s.called_at as turn_called_at, s.freed_at, (
        select min(w.waiting_since) from (
            select waiting_since from tickets where queue_id = $1 and state = 'waiting' order by rank limit 50
        ) w
    ) as longest_since, (
        select joined_at from tickets where queue_id = $1 and state = 'waiting' order by joined_at limit 1
    ) as arrived, e.id as ticket_elsewhere, e.token as token_elsewhere, q.name as queue_elsewhere
    from desks d
    left join serving s on s.queue_id = $1 and s.desk_id = d.id
    left join tickets e on e.desk_id = d.id and e.state in ('called', 'in_consultation') and e.queue_id <> $1
    left join queues q on q.id = e.queue_id
    where d.id = $2 and d.location_id = $3 and d.retired_at is null
), found as (
    {TICKET} where t.id in (
        select id from tickets where desk_id = $2 and queue_id = $1 and state in ('called', 'in_consultation')
        union all
        (select id from tickets where queue_id = $1 and state = 'waiting' order by rank limit 1)
    )
)
select h.desk_name, h.of_doctor, h.turn_called_at, h.freed_at, h.longest_since, h.arrived, h.ticket_elsewhere,
    h.token_elsewhere, h.queue_elsewhere, f.id, f.institution_id, f.queue_id, f.day, f.token, f.state, f.urgency,
    f.reason, f.requirements, f.joined_at, f.booked_for, f.waiting_since, f.band, f.key, f.rank, f.order_reasons,
    f.score,
    f.calls, f.call_version, f.desk_id, f.desk, f.doctor_id, f.called_at, f.started_at, f.ended_at, f.undo,
    f.patient_id, f.patient_name, f.phone, f.birth_year, f.number, f.birth_date, f.has_account
from here h left join found f on true
"""  # noqa: S608 (a constant)
SERVE = """
insert into serving (queue_id, desk_id, doctor_id, called_at, freed_at) values ($1, $2, $3, $4, $5)
on conflict (queue_id, desk_id) do update
set doctor_id = excluded.doctor_id, called_at = excluded.called_at, freed_at = excluded.freed_at
"""
SERVE_NO_MORE = "delete from serving where queue_id = $1 and desk_id = $2"
FREE_DESK = "update serving set freed_at = $3 where queue_id = $1 and desk_id = $2"
SETTLE = """
with idle as (
    delete from serving s where s.queue_id = $1 and greatest(s.called_at, s.freed_at) < $3
        and not exists (
            select from tickets t
            where t.queue_id = $1 and t.desk_id = s.desk_id and t.state in ('called', 'in_consultation')
        )
    returning s.desk_id
)
select
    (select count(*) from (select from tickets where queue_id = $1 and state = 'waiting' limit $4) w) as waiting,
    array(
        select greatest(0, extract(epoch from $2 - called_at))::double precision from tickets
        where queue_id = $1 and state in ('called', 'in_consultation') order by 1
    ) as busy,
    (
        select coalesce(json_agg(json_build_object('desk_id', s.desk_id, 'desk', d.name, 'doctor', o.name)
            order by s.desk_id), '[]')
        from serving s join desks d on d.id = s.desk_id left join doctors o on o.id = s.doctor_id
        where s.queue_id = $1 and s.desk_id not in (select desk_id from idle)
    ) as serving
"""
SAVE_QUEUE = """
update queues set settings = $2, state = $3, message = $4, resumed_at = $5, token_day = $6, token_last = $7, pace = $8,
    waits = $9, waits_at = $10, waits_basis = $11
where id = $1
"""


async def open_line(tx: Tx, actor: Actor, queue_id: int, *also: int) -> Line:
    """Take the gate of a queue (and of the `also` ones) and load it for somebody who works it.

    Raises `NotFound` for a queue that does not exist or belongs elsewhere, `NotAllowed` for a doctor who does not
    serve it.
    """
    try:
        await tx.gate(*(events.board(one) for one in (queue_id, *also)))
    except errors.NotFound:
        # In the words for a foreign queue, so that nobody learns which of the two it is.
        raise errors.NotFound(NO_QUEUE) from None
    line, serves = await load_line(tx, actor, queue_id)
    if actor.role is Role.doctor and not serves:
        raise errors.NotAllowed("You do not serve this queue.")
    if not actor.at(line.location_id):
        raise errors.NotAllowed("That queue is not at one of your locations.")
    return line


async def load_line(tx: Tx, actor: Actor, queue_id: int) -> tuple[Line, bool]:
    """A gated queue of the actor's institution, and whether the actor serves it. Raises `NotFound`."""
    row = await tx.conn.fetchrow(LINE, queue_id, actor.doctor_id)
    if row is None or not actor.within(row["institution_id"]):
        raise errors.NotFound(NO_QUEUE)
    return line_of(tx, row), row["serves"]


NO_QUEUE = "There is no such queue here."


def line_of(tx: Tx, row: asyncpg.Record) -> Line:
    """A row of `LINE` as a line."""
    own = orjson.loads(row["settings"])
    return Line(
        tx=tx,
        id=row["id"],
        institution_id=row["institution_id"],
        location_id=row["location_id"],
        doctor_id=row["doctor_id"],
        name=row["name"],
        doctor=row["doctor"],
        doctors=row["doctors"],
        zone=ZoneInfo(row["zone"]),
        state=row["state"],
        message=row["message"],
        own_settings=own,
        settings=effective(orjson.loads(row["institution_settings"]), orjson.loads(row["location_settings"]), own),
        token_day=row["token_day"],
        token_last=row["token_last"],
        pace=Pace.from_json(orjson.loads(row["pace"])),
        waits=[(one[0], one[1]) for one in orjson.loads(row["waits"])],
        waits_at=row["waits_at"],
        waits_basis=row["waits_basis"],
        resumed_at=row["resumed_at"],
    )


LINE = """
select q.id, q.institution_id, q.location_id, q.doctor_id, q.name, q.settings, q.state, q.message, q.resumed_at,
    q.token_day, q.token_last, q.pace, q.waits, q.waits_at, q.waits_basis,
    l.settings as location_settings, i.settings as institution_settings,
    coalesce(l.zone, i.zone) as zone, d.name as doctor,
    (select count(*) from queue_doctors s where s.queue_id = q.id) as doctors,
    exists (select from queue_doctors s where s.queue_id = q.id and s.doctor_id = $2) as serves
from queues q
join locations l on l.id = q.location_id
join institutions i on i.id = q.institution_id
left join doctors d on d.id = q.doctor_id
where q.id = $1 and q.retired_at is null
"""


# Rows read afresh, for rebuilding a stream


async def board_rows(conn: Connection, queue_id: int) -> list[BoardRow]:
    """What the waiting room sees of a queue, from PostgreSQL alone."""
    queue = await _queue_rows(conn, queue_id)
    if queue is None:
        return []
    tickets = [ticket_of(row) for row in await conn.fetch(SHOWN_TICKETS, queue_id)]
    return [queue[0], *(one.board_row() for one in tickets if one.state in ON_BOARD)]


async def staff_rows(conn: Connection, queue_id: int) -> list[StaffRow]:
    """What those who work a queue see of it, from PostgreSQL alone."""
    queue = await _queue_rows(conn, queue_id)
    if queue is None:
        return []
    tickets = [ticket_of(row) for row in await conn.fetch(SHOWN_TICKETS, queue_id)]
    boards = [StaffBoard(device=row["id"], name=row["name"]) for row in await conn.fetch(BOARDS_OF_QUEUE, queue_id)]
    return [queue[1], *(one.staff_row() for one in tickets), *boards]


async def patient_rows(conn: Connection, patient_id: int) -> list[PatientTicket]:
    """A patient's own tickets that are not over, from PostgreSQL alone."""
    rows = await conn.fetch(TICKETS_OF_PATIENT, patient_id)
    names = {row["id"]: row["name"] for row in await conn.fetch(QUEUES_OF_PATIENT, patient_id)}
    return [patient_row(ticket_of(row), names[row["queue_id"]]) for row in rows]


async def _queue_rows(conn: Connection, queue_id: int) -> tuple[BoardQueue, StaffQueue] | None:
    row = await conn.fetchrow(LINE, queue_id, None)
    if row is None:
        return None
    line = line_of(Tx(conn, Actor(Role.system), datetime.now(UTC), fixed=True), row)
    serving = [
        Serving(desk_id=one["desk_id"], desk=one["desk"], doctor=one["doctor"])
        for one in await conn.fetch(SERVING, queue_id)
    ]
    return line.rows(serving)


SHOWN_TICKETS = (
    TICKET
    + """
join queues q on q.id = t.queue_id
where t.queue_id = $1 and (
    t.state in ('waiting', 'called', 'in_consultation', 'on_hold') or (t.state = 'no_show' and t.day = q.token_day)
) order by t.rank, t.id
"""
)
BOARDS_OF_QUEUE = """
select v.id, v.name from devices v join queues q on q.location_id = v.location_id
where q.id = $1 and v.kind = 'board' and v.revoked_at is null order by v.id
"""
TICKETS_OF_PATIENT = (
    TICKET
    + """
where t.patient_id = $1 and t.state in ('waiting', 'called', 'in_consultation', 'on_hold') order by t.id
"""
)
QUEUES_OF_PATIENT = """
select distinct q.id, q.name from queues q join tickets t on t.queue_id = q.id where t.patient_id = $1
"""
SERVING = """
select s.desk_id, d.name as desk, o.name as doctor
from serving s join desks d on d.id = s.desk_id left join doctors o on o.id = s.doctor_id
where s.queue_id = $1 order by s.desk_id
"""
