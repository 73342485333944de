"""What people do with queues and tickets: join, call, start, complete, send back, transfer, prioritise.

Invariant: each command takes its queue's gate before it reads, so of any number of consoles that press "call next" each
gets another patient; and each leaves a way back (`undo`) wherever a finger may have slipped.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Annotated, Any, Self

import orjson
from pydantic import Field, StringConstraints, model_validator

from server import errors, events
from server.access import DESK, STAFF, Actor, Role
from server.asks import Ask, Id, Reply, Requirement, Text
from server.events import QueueState, Reason, State, Urgency
from server.patients import NewPatient, access_patient, register_patient
from server.queue import rules
from server.queue.entry import (
    Entry,
    Joined,
    NewTicket,
    begin_day,
    enter,
    insert,
    joined,
    refuse_second_ticket,
    takes_in,
)
from server.queue.line import Desk, Line, Ticket, Turn, dumps, load_line, open_line
from server.queue.rules import Step
from server.queue.steps import Moved, OfTicket, moved, must, open_ticket, step_of, take_link
from server.queue.undo import way_back
from server.settings import Partial, QueueSettings, changed, effective
from server.store import OPEN_STREAMS, Command, Connection, Tx

Message = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]


# Join


class JoinQueue(Ask):
    """Somebody joins a queue: a known patient, or one registered on the spot."""

    queue_id: Id
    patient_id: Id | None = None
    patient: NewPatient | None = None
    urgency: Urgency = Urgency.routine
    reason: Text | None = None
    requirements: list[Requirement] = Field(default=[], max_length=10)

    @model_validator(mode="after")
    def _one_patient(self) -> Self:
        if (self.patient_id is None) == (self.patient is None):
            raise ValueError("give either patient_id or patient")
        return self


async def join_queue(tx: Tx, actor: Actor, ask: JoinQueue) -> Joined:
    """Give somebody the next token of the day, at the place that the queue's order gives them."""
    line = await open_line(tx, actor, ask.queue_id)
    await takes_in(line, ask.urgency)
    person = (
        await register_patient(tx, line.institution_id, ask.patient)
        if ask.patient
        else await access_patient(tx, line.institution_id, ask.patient_id or 0)
    )
    entry = Entry(person, ask.urgency, ask.reason, ask.requirements)
    ticket, secret = await enter(line, entry, known=ask.patient_id is not None)
    return await joined(line, ticket, secret)


# Call


class CallNext(Ask):
    """A desk is free and asks for whoever is first."""

    queue_id: Id
    desk_id: Id


async def call_next(tx: Tx, actor: Actor, ask: CallNext) -> Moved:
    """Call whoever is first in this queue to the asker's desk; who was there before is completed by the same press.

    Raises `QueueEmpty` (and completes nobody), `QueuePaused`, `DeskUnknown`, and `DeskBusy` where the settings want a
    called patient settled by hand or a patient of another queue is at this desk.
    """
    line = await open_line(tx, actor, ask.queue_id)
    if line.state == "paused":
        raise errors.QueuePaused(state=line.state, message=line.message)
    desk, there, ticket = await line.desk_and_first(ask.desk_id)
    if ticket is None:
        raise errors.QueueEmpty()
    await _note_departure(line, ticket, desk)
    return await _settled(line, await _call(line, ticket, desk, there))


async def _settled(line: Line, called: Ticket) -> Moved:
    """Settle the queue, and answer the call."""
    await line.settle()
    return Moved(ticket=called.staff_row(), queue_id=line.id, board_version=called.call_version or 0)


class CallTicket(Ask):
    """This one, and why."""

    ticket_id: Id
    desk_id: Id
    reason: Text


async def call_ticket(tx: Tx, actor: Actor, ask: CallTicket) -> Moved:
    """Call a chosen ticket to the asker's desk, with the reason on record."""
    line, ticket = await open_ticket(tx, actor, ask.ticket_id)
    return await _settled(line, await called_by_hand(line, ticket, ask.desk_id, ask.reason))


async def called_by_hand(line: Line, ticket: Ticket, desk_id: int, reason: str) -> Ticket:
    """The ticket of this gated queue, called to a desk out of turn. Raises `QueuePaused`, `WrongState`, `DeskBusy`."""
    if line.state == "paused":
        raise errors.QueuePaused(state=line.state, message=line.message)
    must(Step.call, ticket)
    desk, there, _ = await line.desk_and_first(desk_id)
    await line.decide(ticket, "call", reason, passed_over=await _passed_over(line, ticket))
    return await _call(line, ticket, desk, there)


async def _call(line: Line, ticket: Ticket, desk: Desk, there: Ticket | None) -> Ticket:
    """Call a ticket to a desk and complete whoever is there.

    Raises `DeskBusy` where the settings want a called patient settled by hand.
    """
    left = []
    if there is not None:
        if there.state is State.called and not line.settings.call_next_completes:
            raise errors.DeskBusy(ticket_id=there.id, token=there.token)
        left.append(_completed(line, there))
    doctor_id = line.tx.actor.doctor_id
    gap = line.gap(desk, ticket)
    line.pace = line.pace.remembering(line.today, gap)
    await line.serves(desk.id, Turn(doctor_id, line.tx.now, None))
    called = replace(
        ticket,
        state=State.called,
        calls=1,
        call_version=line.next_version,
        desk_id=desk.id,
        desk=desk.name,
        doctor_id=doctor_id or line.doctor_id,
        called_at=line.tx.now,
        started_at=None,
        undo=way_back(line, Step.call, ticket, completed=there.id if there else None, gap=gap, turn=desk.turn),
    )
    line.tell(events.PatientCalled(ticket=called.id, token=called.token, desk=desk.name, number=1), called)
    await line.save_all(*left, called)
    return called


def _completed(line: Line, ticket: Ticket) -> Ticket:
    """The ticket as it is once its consultation is over, which is told; the caller saves it."""
    done = replace(
        ticket,
        state=State.completed,
        started_at=ticket.started_at or ticket.called_at,
        ended_at=line.tx.now,
        undo=way_back(line, Step.complete, ticket),
    )
    line.tell(events.ConsultationCompleted(ticket=ticket.id, token=ticket.token), done)
    return done


async def _note_departure(line: Line, ticket: Ticket, desk: Desk) -> None:
    """Put on record why somebody is called before others who arrived earlier, where there are such."""
    if desk.arrived is None or desk.arrived >= ticket.joined_at:
        return
    passed_over = await _passed_over(line, ticket)
    if passed_over:
        reason = "; ".join(one.detail for one in ticket.order_reasons) or "Those who arrived earlier were put back."
        await line.decide(ticket, "before-earlier-arrivals", reason, passed_over=passed_over)


async def _passed_over(line: Line, ticket: Ticket) -> list[str]:
    return [row["token"] for row in await line.tx.conn.fetch(PASSED_OVER, line.id, ticket.joined_at, ticket.id)]


PASSED_OVER = """
select token from tickets where queue_id = $1 and state = 'waiting' and joined_at < $2 and id <> $3
order by joined_at limit 20
"""


# Steps of one ticket


class OfTicketWithReason(Ask):
    """A step with, if it is known, its reason."""

    ticket_id: Id
    reason: Text | None = None


async def recall(tx: Tx, actor: Actor, ask: OfTicket) -> Moved:
    """Call a called ticket again: the boards show, chime and speak it once more."""
    line, ticket = await open_ticket(tx, actor, ask.ticket_id)
    must(Step.recall, ticket)
    number = ticket.calls + 1
    ticket = replace(ticket, calls=number, call_version=line.next_version)
    line.tell(
        events.PatientRecalled(ticket=ticket.id, token=ticket.token, desk=ticket.desk or "", number=number), ticket
    )
    return await moved(line, await line.save(ticket))


async def start(tx: Tx, actor: Actor, ask: OfTicket) -> Moved:
    """The called patient is with the doctor now."""
    line, ticket = await open_ticket(tx, actor, ask.ticket_id)
    return await moved(line, await started(line, ticket))


async def started(line: Line, ticket: Ticket) -> Ticket:
    """The ticket of this gated queue, with the doctor from now on. Raises `WrongState`."""
    must(Step.start, ticket)
    begun = way_back(line, Step.start, ticket)
    after = replace(ticket, state=State.in_consultation, started_at=line.tx.now, undo=begun)
    line.tell(events.ConsultationStarted(ticket=ticket.id, token=ticket.token, desk=ticket.desk or ""), after)
    return await line.save(after)


async def complete(tx: Tx, actor: Actor, ask: OfTicket) -> Moved:
    """The consultation is over."""
    line, ticket = await open_ticket(tx, actor, ask.ticket_id)
    return await moved(line, await completed(line, ticket))


async def completed(line: Line, ticket: Ticket) -> Ticket:
    """The ticket of this gated queue, over, and its desk free. Raises `WrongState`."""
    must(Step.complete, ticket)
    await line.frees(ticket)
    return await line.save(_completed(line, ticket))


async def no_show(tx: Tx, actor: Actor, ask: OfTicketWithReason) -> Moved:
    """The called patient did not come; staff can still send them back to the queue."""
    line, ticket = await open_ticket(tx, actor, ask.ticket_id)
    return await moved(line, await missed(line, ticket, ask.reason))


async def missed(line: Line, ticket: Ticket, reason: str | None) -> Ticket:
    """The called ticket of this gated queue, whose patient did not come. Raises `WrongState`."""
    must(Step.no_show, ticket)
    gone = replace(ticket, state=State.no_show, ended_at=line.tx.now, undo=way_back(line, Step.no_show, ticket))
    await line.decide(ticket, "no-show", reason)
    line.tell(events.TicketNoShow(ticket=ticket.id, token=ticket.token), gone)
    await line.frees(ticket)
    return await line.save(gone)


class ReturnTicket(Ask):
    """Back to the queue: at its old place, or after so many others."""

    ticket_id: Id
    after: int | None = Field(default=None, ge=0, le=100_000)
    reason: Text | None = None


async def return_ticket(tx: Tx, actor: Actor, ask: ReturnTicket) -> Moved:
    """A called, held or missed ticket waits again."""
    line, ticket = await open_ticket(tx, actor, ask.ticket_id)
    must(Step.return_, ticket)
    undo = way_back(line, Step.return_, ticket)
    await line.decide(ticket, "return", ask.reason, after=ask.after)
    await line.frees(ticket)
    waiting = replace(_waits_again(ticket, tx.now), undo=undo)
    if ask.after is None:
        waiting = await line.save_at_old_place(waiting)
    else:
        detail = f"Sent back to the queue, after {ask.after} others."
        waiting = replace(waiting, order_reasons=[*waiting.order_reasons, Reason(code="returned", detail=detail)])
        waiting = await _at_place_or_behind_emergencies(line, waiting, ask.after + 1)
    line.tell(events.TicketReturned(ticket=ticket.id, token=ticket.token), waiting)
    return await moved(line, waiting)


def _waits_again(ticket: Ticket, now: datetime) -> Ticket:
    return replace(
        ticket,
        state=State.waiting,
        waiting_since=now,
        desk_id=None,
        desk=None,
        called_at=None,
        started_at=None,
        ended_at=None,
        call_version=None,
    )


async def _at_place_or_behind_emergencies(line: Line, ticket: Ticket, place: int) -> Ticket:
    """Emergencies keep their right: where the place is before or among them, the next one that is free of it."""
    emergencies = await line.tx.conn.fetchval(EMERGENCIES, line.id, ticket.id)
    place = min(place, emergencies + 1) if ticket.band == 0 else max(place, emergencies + 1)
    return await line.save_at_place(ticket, place)


EMERGENCIES = "select count(*) from tickets where queue_id = $1 and state = 'waiting' and band = 0 and id <> $2"


async def hold(tx: Tx, actor: Actor, ask: OfTicketWithReason) -> Moved:
    """Set a ticket aside; it keeps its place for when it returns."""
    line, ticket = await open_ticket(tx, actor, ask.ticket_id)
    must(Step.hold, ticket)
    await line.decide(ticket, "hold", ask.reason)
    await line.frees(ticket)
    held = replace(_waits_again(ticket, tx.now), state=State.on_hold, undo=way_back(line, Step.hold, ticket))
    line.tell(events.TicketHeld(ticket=ticket.id, token=ticket.token), held)
    return await moved(line, await line.save(held))


class Prioritize(Ask):
    """Another urgency, or a place by hand, and why."""

    ticket_id: Id
    urgency: Urgency | None = None
    place: int | None = Field(default=None, ge=1, le=100_000)
    reason: Text

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.urgency is None and self.place is None:
            raise ValueError("give urgency or place")
        return self


async def prioritize(tx: Tx, actor: Actor, ask: Prioritize) -> Moved:
    """Change a ticket's urgency, or put it at a place by hand; the reason stands beside it from then on."""
    line, ticket = await open_ticket(tx, actor, ask.ticket_id)
    must(Step.prioritize, ticket)
    if ask.place is not None and ticket.state is not State.waiting:
        raise errors.WrongState("Only a waiting ticket has a place.", state=ticket.state, step=Step.prioritize)
    put = replace(ticket, undo=way_back(line, Step.prioritize, ticket))
    if ask.urgency is not None:
        put = replace(put, urgency=ask.urgency).stood(
            rules.standing(line.settings, ticket.joined_at, ask.urgency, ticket.patient.birth_year, ticket.requirements)
        )
        await line.decide(ticket, "urgency", ask.reason, before=ticket.urgency, after=ask.urgency)
        put = replace(put, order_reasons=[*put.order_reasons, Reason(code="urgency-by-hand", detail=ask.reason)])
    if ask.place is not None:
        await line.decide(ticket, "place", ask.reason, place=ask.place)
        put = replace(put, order_reasons=[*put.order_reasons, Reason(code="place-by-hand", detail=ask.reason)])
        put = await line.save_at_place(put, ask.place)
    elif ticket.state is State.waiting:
        put = await line.save_by_standing(put)
    else:
        put = await line.save(put)
    line.tell(events.TicketPrioritized(ticket=ticket.id, token=ticket.token), put)
    return await moved(line, put)


class Cancelled(Reply):
    """The ticket is given up."""

    ticket_id: int
    token: str
    state: State
    board_version: int


async def cancel(tx: Tx, actor: Actor, ask: OfTicketWithReason) -> Cancelled:
    """Give a ticket up: by staff, or by its holder from the ticket's page."""
    if actor.role is Role.ticket and actor.id != ask.ticket_id:
        raise errors.NotFound("There is no such ticket here.")
    line, ticket = await open_ticket(tx, actor, ask.ticket_id)
    gone = await given_up(line, ticket, ask.reason)
    version = await line.settle()
    return Cancelled(ticket_id=ticket.id, token=ticket.token, state=gone.state, board_version=version)


async def given_up(
    line: Line, ticket: Ticket, reason: str | None, *, for_good: bool = False, told: events.EndReason = None
) -> Ticket:
    """The ticket of this gated queue, given up; `for_good`, nobody takes that back. Raises `WrongState`."""
    must(Step.cancel, ticket)
    await line.frees(ticket)
    undo = None if for_good else way_back(line, Step.cancel, ticket)
    gone = replace(ticket, state=State.cancelled, ended_at=line.tx.now, undo=undo)
    await line.decide(ticket, "cancel", reason)
    line.tell(events.TicketCancelled(ticket=ticket.id, token=ticket.token, ended=told), gone)
    return await line.save(gone)


# Transfer


class Transfer(Ask):
    """To another queue of the institution, keeping the time already waited or not."""

    ticket_id: Id
    queue_id: Id
    keep_wait: bool = True
    reason: Text | None = None


async def transfer(tx: Tx, actor: Actor, ask: Transfer) -> Moved:
    """End the ticket here and go on with it there: same patient, same link and, where it is free, the same token."""
    line, ticket = await open_ticket(tx, actor, ask.ticket_id, ask.queue_id)
    if line.id == ask.queue_id:
        raise errors.SameQueue()
    target, _ = await load_line(tx, actor, ask.queue_id)
    if target.institution_id != line.institution_id:
        raise errors.NotFound("There is no such queue here.")
    must(Step.transfer, ticket)
    await takes_in(target, ticket.urgency, ticket.booked_for)
    await refuse_second_ticket(target, ticket.patient.id)
    new = await _go_on(line, ticket, target, ask.keep_wait)
    await line.frees(ticket)
    gone = await line.save(replace(ticket, state=State.transferred, ended_at=tx.now, undo=None))
    await tx.conn.execute(LINK_TRANSFER, ticket.id, new.id)
    await line.decide(ticket, "transfer", ask.reason, to_queue=target.id, keep_wait=ask.keep_wait)
    await target.decide(new, "transfer", ask.reason, from_queue=line.id, keep_wait=ask.keep_wait)
    line.tell(events.TicketTransferred(ticket=ticket.id, token=ticket.token, to_queue=target.id), gone)
    target.tell(events.TicketJoined(ticket=new.id, token=new.token), new)
    await line.settle()
    return await moved(target, new)


async def _go_on(line: Line, ticket: Ticket, target: Line, keep_wait: bool) -> Ticket:
    """The ticket with which a transferred one goes on in the target, under the same link."""
    arrived = ticket.joined_at if keep_wait else line.tx.now
    standing = replace(ticket, joined_at=arrived).standing_by(target.settings)
    if keep_wait:
        kept = Reason(code="kept-wait", detail=f"Transferred from {line.name}, keeps the time waited.")
        standing = replace(standing, reasons=(*standing.reasons, kept))
    link = await take_link(line.tx.conn, ticket.id)
    new = NewTicket(
        ticket.patient.id,
        link["secret_hash"],
        ticket.urgency,
        ticket.reason,
        ticket.requirements,
        arrived,
        standing,
        ticket.booked_for,
        link["origin_id"],
    )
    await begin_day(target)
    new_one = await target.ticket(await insert(target, new, ticket.token))
    return await target.save_by_standing(replace(new_one, undo=way_back(line, Step.transfer, ticket)))


LINK_TRANSFER = "update tickets set transferred_to = $2 where id = $1"


# The queue itself


class SetQueueState(Ask):
    """Open, pause or close, with what the board says meanwhile."""

    queue_id: Id
    state: QueueState
    message: Message | None = None


class QueueChanged(Reply):
    """The queue after a change."""

    queue_id: int
    state: QueueState
    message: str | None
    settings: dict[str, Any]
    board_version: int


async def set_queue_state(tx: Tx, actor: Actor, ask: SetQueueState) -> QueueChanged:
    """Open a queue, pause its calls, or close it to new tickets; the boards say so at once."""
    line = await open_line(tx, actor, ask.queue_id)
    if line.state == "paused" and ask.state != "paused":
        line.resumed_at = tx.now
    line.state = ask.state
    line.message = ask.message if ask.state != "open" else None
    return await _changed(line)


class SetQueueSettings(Partial):
    """Some of a queue's settings; null takes one back to what the location or institution says."""

    queue_id: Id


async def set_queue_settings(tx: Tx, actor: Actor, ask: Any) -> QueueChanged:
    """Change a queue's settings; where that changes the order, everybody who waits is placed by the new one."""
    line = await open_line(tx, actor, ask.queue_id)
    change = Partial.model_validate(ask.model_dump(exclude_unset=True, exclude={"queue_id"}))
    line.own_settings = changed(line.own_settings, change)
    above = await tx.conn.fetchrow(SETTINGS_ABOVE, line.id)
    assert above is not None
    above_it = orjson.loads(above["institution"]), orjson.loads(above["location"])
    await put_in_force(line, effective(*above_it, line.own_settings))
    tx.append(events.admin(line.institution_id), events.SettingsChanged(level="queue", of=line.id))
    return await _changed(line)


SETTINGS_ABOVE = """
select i.settings as institution, l.settings as location
from queues q join locations l on l.id = q.location_id join institutions i on i.id = q.institution_id where q.id = $1
"""


async def put_in_force(line: Line, settings: QueueSettings) -> None:
    """Let a queue go by these settings; where they change the order, everybody who waits is placed by the new one."""
    before, line.settings = line.settings, settings
    if rules.placing(settings) != rules.placing(before):
        await _reorder(line)


async def _reorder(line: Line) -> None:
    """Place everybody anew by the order in force; places given by hand, and undos, are given up with the old order."""
    await line.tx.conn.execute(FORGET_UNDOS, line.id, line.today - timedelta(days=1))
    stood = [_stood_anew(line, one) for one in await line.shown()]
    waiting = sorted((one for one in stood if one.state is State.waiting), key=lambda one: (one.band, one.key, one.id))
    for one in stood:
        if one.state is not State.waiting:
            await line.save(one)
    ranked = [await line.save(replace(one, rank=float(rank))) for rank, one in enumerate(waiting)]
    line.tell(events.QueueUpdated(), *ranked, *(one for one in stood if one.state is not State.waiting))


def _stood_anew(line: Line, ticket: Ticket) -> Ticket:
    standing = ticket.standing_by(line.settings)
    kept = tuple(one for one in ticket.order_reasons if one.code in rules.REASONS_OF_ANY_ORDER)
    return replace(ticket, undo=None).stood(replace(standing, reasons=(*standing.reasons, *kept)))


FORGET_UNDOS = "update tickets set undo = null where queue_id = $1 and day >= $2 and undo is not null"


async def _changed(line: Line) -> QueueChanged:
    version = await line.settle()
    return QueueChanged(
        queue_id=line.id,
        state=line.state,
        message=line.message,
        settings=line.settings.model_dump(mode="json"),
        board_version=version,
    )


class RefreshWaits(Ask):
    """A wait grows while a consultation overruns, without anything happening."""

    queue_id: Id


async def refresh_waits(tx: Tx, actor: Actor, ask: RefreshWaits) -> QueueChanged:
    """Tell the queue's waits as of now."""
    return await _changed(await open_line(tx, actor, ask.queue_id))


SYSTEM_ONLY = frozenset({Role.system})


COMMANDS: list[Command[Any, Any]] = [
    Command("join-queue", join_queue, JoinQueue, Joined, STAFF, "POST /queues/{queue_id}/tickets", status=201),
    Command("call-next", call_next, CallNext, Moved, STAFF, "POST /queues/{queue_id}/call-next"),
    step_of("call-ticket", call_ticket, CallTicket),
    step_of("recall", recall, OfTicket),
    step_of("start", start, OfTicket),
    step_of("complete", complete, OfTicket),
    step_of("no-show", no_show, OfTicketWithReason),
    step_of("return-ticket", return_ticket, ReturnTicket),
    step_of("hold", hold, OfTicketWithReason),
    step_of("transfer", transfer, Transfer),
    step_of("prioritize", prioritize, Prioritize),
    Command("cancel", cancel, OfTicketWithReason, Cancelled, STAFF | {Role.ticket}, "POST /tickets/{ticket_id}/cancel"),
    Command("set-queue-state", set_queue_state, SetQueueState, QueueChanged, STAFF, "POST /queues/{queue_id}/state"),
    Command(
        "set-queue-settings",
        set_queue_settings,
        SetQueueSettings,
        QueueChanged,
        DESK,
        "POST /queues/{queue_id}/settings",
    ),
]
REFRESH_WAITS: Command[RefreshWaits, QueueChanged] = Command(
    "refresh-waits", refresh_waits, RefreshWaits, QueueChanged, SYSTEM_ONLY, ""
)


async def add_queue(
    conn: Connection,
    *,
    institution_id: int,
    location_id: int,
    name: str,
    doctors: Sequence[int],
    owner: int | None = None,
    settings: dict[str, Any] | None = None,
) -> int:
    """A new queue that these doctors serve, with its streams; its tokens get the next letter free at the location."""
    taken = {row["prefix"] for row in await conn.fetch(PREFIXES, location_id)}
    letters = (chr(code) for code in range(ord("A"), ord("Z") + 1))
    prefix = next((letter for letter in letters if letter not in taken), "Q")
    own = {"token_prefix": prefix, **(settings or {})}
    queue_id = int(await conn.fetchval(ADD_QUEUE, institution_id, location_id, owner, name, dumps(own)))
    await conn.executemany(ADD_QUEUE_DOCTOR, [(queue_id, one) for one in doctors])
    names = sorted([events.board(queue_id).name, events.staff(queue_id).name])
    await conn.execute(OPEN_STREAMS, names)
    return queue_id


PREFIXES = """
select coalesce(settings ->> 'token_prefix', 'A') as prefix from queues
where location_id = $1 and retired_at is null
"""
ADD_QUEUE = """
insert into queues (institution_id, location_id, doctor_id, name, settings) values ($1, $2, $3, $4, $5) returning id
"""
ADD_QUEUE_DOCTOR = "insert into queue_doctors (queue_id, doctor_id) values ($1, $2)"


async def change_queue(
    conn: Connection, queue_id: int, *, name: str | None, owner: int | None, doctors: Sequence[int]
) -> None:
    """Rename a queue, where a name is given, and set whose it is and all who serve it."""
    await conn.execute(CHANGE_QUEUE, queue_id, name, owner)
    await conn.execute(DISMISS_DOCTORS, queue_id, doctors)
    await conn.execute(APPOINT_DOCTORS, queue_id, doctors)


CHANGE_QUEUE = "update queues set name = coalesce($2, name), doctor_id = $3 where id = $1"
DISMISS_DOCTORS = "delete from queue_doctors where queue_id = $1 and not doctor_id = any($2::bigint[])"
APPOINT_DOCTORS = """
insert into queue_doctors (queue_id, doctor_id) select $1, unnest($2::bigint[]) on conflict do nothing
"""


async def set_department(conn: Connection, queue_id: int, department: str | None) -> None:
    """Put a queue into a department of the house, or into none."""
    await conn.execute(SET_DEPARTMENT, queue_id, department)


SET_DEPARTMENT = "update queues set department = $2 where id = $1"


async def retire_queue(conn: Connection, queue_id: int, at: datetime) -> None:
    """Close a queue for good."""
    await conn.execute(RETIRE_QUEUE, queue_id, at)


RETIRE_QUEUE = "update queues set state = 'closed', retired_at = $2 where id = $1"


async def take_desk_away(conn: Connection, desk_id: int) -> None:
    """Note that no queue is served from this desk any more."""
    await conn.execute(TAKE_DESK_AWAY, desk_id)


TAKE_DESK_AWAY = "delete from serving where desk_id = $1"
