"""Taking a ticket's last step back: what each step keeps for it, and how it is put back.

Invariant: an undo restores exactly what the step changed, and only while nobody else has the place since.
"""

from dataclasses import replace
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter

from server import errors, events
from server.access import Actor, Role
from server.events import Reason, State, Urgency
from server.queue import rules
from server.queue.line import Line, Ticket, Turn, load_line
from server.queue.rules import Step
from server.queue.steps import Moved, OfTicket, moved, open_ticket, step_of, take_link
from server.queue.waits import Gap
from server.store import Command, Tx


def way_back(
    line: Line,
    step: Step,
    before: Ticket,
    completed: int | None = None,
    gap: Gap | None = None,
    turn: Turn | None = None,
) -> dict[str, Any]:
    """What it takes to take a step back; a call also keeps whom it completed, the gap it ended, the desk's turn."""
    kept: dict[str, Any] = {
        "step": step,
        "at": line.tx.now.isoformat(),
        "before": {
            "ticket": before.id,
            "state": before.state,
            "urgency": before.urgency,
            "waiting_since": before.waiting_since.isoformat(),
            "band": before.band,
            "key": before.key,
            "rank": before.rank,
            "order_reasons": [one.model_dump() for one in before.order_reasons],
            "score": before.score.model_dump() if before.score else None,
            "calls": before.calls,
            "call_version": before.call_version,
            "desk_id": before.desk_id,
            "desk": before.desk,
            "doctor_id": before.doctor_id,
            "called_at": before.called_at.isoformat() if before.called_at else None,
            "started_at": before.started_at.isoformat() if before.started_at else None,
            "ended_at": before.ended_at.isoformat() if before.ended_at else None,
        },
    }
    if step is Step.call:
        kept["completed"] = completed
        kept["gap"] = list(gap) if gap else None
        kept["turn"] = {name: getattr(turn, name) for name in Turn.__slots__} if turn else None
    return kept


async def undo(tx: Tx, actor: Actor, ask: OfTicket) -> Moved:
    """Take a ticket's last step back, within `UNDO_WITHIN`; that of a call also puts back whom it completed.

    Raises `NothingToUndo`, and `DeskBusy` or `AlreadyWaiting` where somebody else has the place meanwhile.
    """
    transfer = await tx.conn.fetchrow(TRANSFER_TO_UNDO, ask.ticket_id)
    if transfer is not None:
        return await _undo_transfer(tx, actor, transfer)
    line, ticket = await open_ticket(tx, actor, ask.ticket_id)
    return await moved(line, await undone(line, ticket))


async def undone(line: Line, ticket: Ticket) -> Ticket:
    """The ticket of this gated queue with its last step taken back, unless it came by a transfer.

    Raises `NothingToUndo`, `DeskBusy`, `AlreadyWaiting`.
    """
    kept = _may_undo(line, ticket)
    if kept["step"] == Step.transfer:
        raise errors.NothingToUndo("Take the transfer back at the queue.", state=ticket.state)
    restored = _restored(ticket, kept["before"])
    if kept["step"] == Step.call:
        await _undo_turn(line, ticket, kept)
    elif restored.state not in rules.AT_DESK:
        await line.frees(ticket)
    restored = await _put_back(line, restored, kept["step"])
    if kept.get("completed"):
        other = await line.ticket(kept["completed"])
        if other.undo and other.undo["step"] == Step.complete and other.undo["at"] == kept["at"]:
            await _put_back(line, _restored(other, other.undo["before"]), Step.complete)
    return restored


def _may_undo(line: Line, ticket: Ticket) -> dict[str, Any]:
    """The ticket's last step. Raises `NothingToUndo` where there is none, or it is too long ago."""
    kept = ticket.undo
    if kept is None or line.tx.now - datetime.fromisoformat(kept["at"]) > rules.UNDO_WITHIN:
        raise errors.NothingToUndo(state=ticket.state)
    return kept


async def _undo_turn(line: Line, ticket: Ticket, kept: dict[str, Any]) -> None:
    """Make the desk's turn what it was before the call, and forget what the call said about the pace."""
    if kept["gap"]:
        line.pace = line.pace.forgetting(Gap(*kept["gap"]))
    assert ticket.desk_id is not None
    if kept["turn"]:
        await line.serves(ticket.desk_id, TURN.validate_python(kept["turn"]))
    else:
        await line.serves_no_more(ticket.desk_id)


TURN = TypeAdapter(Turn)


async def _put_back(line: Line, ticket: Ticket, step: str) -> Ticket:
    await line.occupies(ticket)
    ticket = await (line.save_at_old_place(ticket) if ticket.state is State.waiting else line.save(ticket))
    await line.decide(ticket, "undo", None, undid=step)
    line.tell(events.TicketUndone(ticket=ticket.id, token=ticket.token, undid=step), ticket)
    return ticket


async def _undo_transfer(tx: Tx, actor: Actor, transfer: Any) -> Moved:
    """Take a transfer back while the ticket still waits where it went: it goes on where it was, under its old token.

    A doctor may who serves either queue: the finger that slipped is mostly of the one that the ticket came from.
    """
    await tx.gate(events.board(transfer["new_queue"]), events.board(transfer["old_queue"]))
    target, serves_target = await load_line(tx, actor, transfer["new_queue"])
    line, serves = await load_line(tx, actor, transfer["old_queue"])
    if actor.role is Role.doctor and not (serves or serves_target):
        raise errors.NotAllowed("You serve neither of these queues.")
    new, old = await target.ticket(transfer["new_id"]), await line.ticket(transfer["old_id"])
    kept = _may_undo(target, new)
    if kept["step"] != Step.transfer or new.state is not State.waiting:
        raise errors.NothingToUndo(state=new.state)
    secret_hash = (await take_link(tx.conn, new.id))["secret_hash"]
    gone = await target.save(replace(new, state=State.cancelled, ended_at=tx.now, undo=None))
    await target.decide(new, "undo", None, undid=Step.transfer)
    target.tell(events.TicketCancelled(ticket=new.id, token=new.token), gone)
    await target.settle()
    await tx.conn.execute(UNLINK_TRANSFER, old.id, secret_hash)
    return await moved(line, await _put_back(line, _restored(old, kept["before"]), Step.transfer))


# The transferred ticket may be named by its old id or by the one that it goes on as.
TRANSFER_TO_UNDO = """
select new.id as new_id, new.queue_id as new_queue, old.id as old_id, old.queue_id as old_queue
from tickets asked
join tickets new on new.id = coalesce(asked.transferred_to, asked.id)
join tickets old on old.id = (new.undo #>> '{before,ticket}')::bigint
where asked.id = $1 and new.undo ->> 'step' = 'transfer'
"""
UNLINK_TRANSFER = "update tickets set transferred_to = null, secret_hash = $2 where id = $1"


def _restored(ticket: Ticket, before: dict[str, Any]) -> Ticket:
    def time(name: str) -> datetime | None:
        return datetime.fromisoformat(before[name]) if before[name] else None

    return replace(
        ticket,
        state=State(before["state"]),
        urgency=Urgency(before["urgency"]),
        waiting_since=datetime.fromisoformat(before["waiting_since"]),
        band=before["band"],
        key=before["key"],
        rank=before["rank"],
        order_reasons=[Reason.model_validate(one) for one in before["order_reasons"]],
        score=events.Score.model_validate(before["score"]) if before["score"] else None,
        calls=before["calls"],
        call_version=before["call_version"],
        desk_id=before["desk_id"],
        desk=before["desk"],
        doctor_id=before["doctor_id"],
        called_at=time("called_at"),
        started_at=time("started_at"),
        ended_at=time("ended_at"),
        undo=None,
    )


COMMANDS: list[Command[Any, Any]] = [step_of("undo", undo, OfTicket)]
