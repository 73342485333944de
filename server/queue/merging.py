"""The tickets of two records that become one.

Invariant: whoever works a queue sees the record that stays, from the same transaction on.
"""

from typing import Any

from server import events
from server.access import Actor
from server.queue.line import load_line
from server.queue.reception import shown_in
from server.store import Connection, Tx


async def queues_of(conn: Connection, *patients: int) -> list[int]:
    """The queues that show any of these patients: their gates are needed to merge them."""
    return sorted({queue for one in patients for queue in await shown_in(conn, one)})


async def colliding_tickets(conn: Connection, gone: int, into: int) -> list[dict[str, Any]]:
    """Where both stand in one queue."""
    return [dict(row) for row in await conn.fetch(BOTH_STAND, gone, into)]


BOTH_STAND = """
select q.name as queue, one.token as token, other.token as other
from tickets one join tickets other on other.queue_id = one.queue_id join queues q on q.id = one.queue_id
where one.patient_id = $1 and other.patient_id = $2
    and one.state in ('waiting', 'called', 'in_consultation', 'on_hold')
    and other.state in ('waiting', 'called', 'in_consultation', 'on_hold')
"""


async def move_tickets(conn: Connection, gone: int, into: int) -> list[int]:
    """Make every ticket of one record the other's; answers them. The gates of `queues_of` both are held."""
    return [row["id"] for row in await conn.fetch(MOVE_TICKETS, gone, into)]


MOVE_TICKETS = "update tickets set patient_id = $2 where patient_id = $1 returning id"


async def tell_merged(tx: Tx, actor: Actor, queue_ids: list[int], patient_id: int) -> None:
    """Tell these gated queues of the record that stays, and its patient of all of their tickets."""
    for queue_id in queue_ids:
        line, _ = await load_line(tx, actor, queue_id)
        tickets = [one for one in await line.shown() if one.patient.id == patient_id]
        line.tell(events.QueueUpdated(), *tickets)
        await line.settle()
