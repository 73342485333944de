"""What all steps of a ticket have in common: the ticket behind its queue's gate, what its state allows, the answer.

Invariant: a ticket is opened only with its queue's gate held, by somebody who works that queue or holds the ticket.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from pydantic import BaseModel

from server import errors
from server.access import STAFF, Actor
from server.asks import Ask, Id, Reply
from server.events import StaffTicket
from server.queue import rules
from server.queue.line import Line, Ticket, open_line
from server.queue.rules import Step
from server.store import Command, Connection, Tx


class OfTicket(Ask):
    """A step that needs nothing but the ticket."""

    ticket_id: Id


class Moved(Reply):
    """A ticket after a step, as staff see it, and the board version that carries the step."""

    ticket: StaffTicket
    queue_id: int
    board_version: int


async def open_ticket(tx: Tx, actor: Actor, ticket_id: int, *also: int) -> tuple[Line, Ticket]:
    """The gated queue of a ticket, and the ticket. Raises `NotFound`, and `NotAllowed` for a doctor of other queues."""
    found = await tx.conn.fetchrow(QUEUE_OF_TICKET, ticket_id)
    if found is None or not actor.within(found["institution_id"]):
        raise errors.NotFound("There is no such ticket here.")
    line = await open_line(tx, actor, found["queue_id"], *also)
    return line, await line.ticket(ticket_id)


QUEUE_OF_TICKET = "select queue_id, institution_id from tickets where id = $1"


def must(step: Step, ticket: Ticket) -> None:
    """Raise `WrongState` where the ticket's state does not allow the step."""
    if not rules.allowed(step, ticket.state):
        raise errors.WrongState(
            f"A ticket that is {ticket.state.replace('_', ' ')} cannot take the step {step}.",
            state=ticket.state,
            step=step,
        )


async def moved(line: Line, ticket: Ticket) -> Moved:
    """Settle the queue, and answer what became of the ticket."""
    version = await line.settle()
    return Moved(ticket=ticket.staff_row(), queue_id=line.id, board_version=version)


async def take_link(conn: Connection, ticket_id: int) -> Any:
    """Take the link off a ticket that it is to open no more; answers its stored secret and the ticket it began with."""
    row = await conn.fetchrow(TAKE_LINK, ticket_id)
    assert row is not None
    return row


TAKE_LINK = """
with old as (select id, secret_hash, coalesce(origin_id, id) as origin_id from tickets where id = $1)
update tickets t set secret_hash = null from old where t.id = old.id returning old.secret_hash, old.origin_id
"""


def step_of(
    name: str, run: Callable[[Tx, Actor, Any], Awaitable[Any]], ask: type[BaseModel], reply: type[BaseModel] = Moved
) -> Command[Any, Any]:
    """The declaration of a step of one ticket, which staff take."""
    return Command(name, run, ask, reply, STAFF, f"POST /tickets/{{ticket_id}}/{name.removesuffix('-ticket')}")
