"""The notices of two records that become one.

Invariant: what was told to one record is not told again to the other.
"""

from typing import Any

from server import events
from server.store import Reactions, Tx


async def follow_patient(tx: Tx, stream: events.Stream[Any], event: events.PatientsMerged) -> None:
    """A merged patient's notices are those of the record that stays."""
    await tx.conn.execute(MOVE_NOTICES, event.gone, event.into, f"patient:{event.gone}", f"patient:{event.into}")
    await tx.conn.execute(MOVE_BROWSERS, event.gone, event.into, f"patient:{event.into}")


# A notice of one cause and channel that both had stays where it is: to the person it was said once.
MOVE_NOTICES = """
update notices n set patient_id = $2, person = case when n.person = $3 then $4 else n.person end
where n.patient_id = $1 and not exists (
    select from notices o where o.cause = n.cause and o.channel = n.channel and o.person = $4
)
"""
MOVE_BROWSERS = "update push_subscriptions set patient_id = $2, person = $3 where patient_id = $1"

REACTIONS: Reactions = {("admin", events.PatientsMerged): [follow_patient]}
