"""The end of a queue's day: what still waits is settled and told, the board is clear, and numbers begin anew.

Invariants: a day ends by the clock of the queue's location, and never under people who are being called: a queue that
works past midnight is closed once it has been quiet for a while (`rules.day_over`). Closing a day that is closed does
nothing.
"""

from datetime import datetime
from typing import Literal

from server.access import Actor
from server.asks import Ask, Id, Reply
from server.events import State
from server.queue import rules
from server.queue.commands import completed, given_up, missed
from server.queue.entry import begin_day
from server.queue.line import Line, Ticket, open_line
from server.store import Command, Pool, Tx

DAY_ENDED: Literal["day-ended"] = "day-ended"
"""The reason on record of every ticket that the end of the day settled."""


class CloseDay(Ask):
    """A queue whose local day may be over."""

    queue_id: Id


class DayClosed(Reply):
    """What the end of the day settled: given up, not come when called, and forgotten to be completed."""

    cancelled: int = 0
    no_shows: int = 0
    completed: int = 0
    closed: bool = False


async def close_day(tx: Tx, actor: Actor, ask: CloseDay) -> DayClosed:
    """Settle every ticket of a queue's earlier days, clear the board, and end a pause; the system's. Raises `NotFound`.

    Whoever waited or was set aside has given up; whoever was called has not come; whoever was with the doctor is done.
    """
    line = await open_line(tx, actor, ask.queue_id)
    left = [one for one in await line.shown() if one.day < line.today and one.state not in rules.ENDED]
    if not await _over(line, left):
        return DayClosed()
    before = line.token_day
    await begin_day(line)
    for one in left:
        await _settled(line, one)
    if line.state == "paused" and before != line.today:
        line.state, line.message, line.resumed_at = "open", None, tx.now
    if left or before != line.today or line.found != line.trail():
        await line.settle()
    counts = {state: sum(one.state in states for one in left) for state, states in SETTLED_AS.items()}
    return DayClosed(closed=True, **counts)


SETTLED_AS = {
    "cancelled": (State.waiting, State.on_hold),
    "no_shows": (State.called,),
    "completed": (State.in_consultation,),
}


async def _over(line: Line, left: list[Ticket]) -> bool:
    """Whether the day of what is left here, or of the numbers last given, is over."""
    days = [one.day for one in left]
    if line.token_day is not None and line.token_day < line.today:
        days.append(line.token_day)
    if not days:
        return False
    called = await line.tx.conn.fetchval(LAST_CALL, line.id)
    return rules.day_over(
        line.settings, max(days), line.tx.now.astimezone(line.zone), called.astimezone(line.zone) if called else None
    )


LAST_CALL = "select max(greatest(called_at, freed_at)) from serving where queue_id = $1"


async def _settled(line: Line, ticket: Ticket) -> None:
    """End one ticket as its state has it."""
    if ticket.state in SETTLED_AS["cancelled"]:
        await given_up(line, ticket, DAY_ENDED, told=DAY_ENDED)
    elif ticket.state is State.called:
        await missed(line, ticket, DAY_ENDED)
    else:
        await line.decide(ticket, "complete", DAY_ENDED)
        await completed(line, ticket)


CLOSE_DAY: Command[CloseDay, DayClosed] = Command("close-day", close_day, CloseDay, DayClosed, frozenset(), "")


async def unclosed(pool: Pool, now: datetime) -> list[int]:
    """The queues that may have a day to close: by the clock of the place, it is later than their numbers or tickets."""
    return [row["id"] for row in await pool.fetch(UNCLOSED, now)]


UNCLOSED = """
select q.id from queues q join locations l on l.id = q.location_id join institutions i on i.id = q.institution_id
cross join lateral (select ($1::timestamptz at time zone coalesce(l.zone, i.zone))::date as today) here
where q.retired_at is null and (
    q.token_day < here.today
    or exists (
        select from tickets t
        where t.queue_id = q.id and t.state in ('waiting', 'called', 'in_consultation', 'on_hold')
            and t.day < here.today
    )
)
order by q.id
"""
