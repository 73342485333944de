"""What somebody was told of an appointment: each notice, and what became of it."""

from datetime import datetime
from typing import Any

from pydantic import Field

from server.access import STAFF, Actor
from server.appointments.records import appointment_as
from server.asks import Ask, Id, Reply
from server.store import Query, Read


class AppointmentsNotices(Ask):
    """One appointment."""

    appointment_id: Id


class NoticeOf(Reply):
    """A notice about an appointment, or about what it was moved from."""

    id: int
    appointment_id: int
    kind: str
    channel: str
    state: str
    due_at: datetime
    sent_at: datetime | None
    delivered_at: datetime | None
    attempts: int
    error: str | None
    instead_of: int | None = Field(description="The notice that could not arrive, instead of which this one goes.")


class NoticesOf(Reply):
    """All of them, in the order in which they are due; `patient_id` is for the trail of who saw them."""

    patient_id: int
    items: list[NoticeOf]


async def appointment_notices(view: Read, actor: Actor, ask: AppointmentsNotices) -> NoticesOf:
    """What the patient was told of an appointment, and will be. Raises `NotFound`, `NotAllowed`."""
    one = await appointment_as(view, actor, ask.appointment_id)
    rows = await view.conn.fetch(OF_APPOINTMENT, one.id)
    return NoticesOf(patient_id=one.patient.id, items=[NoticeOf(**dict(row)) for row in rows])


OF_APPOINTMENT = """
with recursive chain (id, rescheduled_from) as (
    select id, rescheduled_from from appointments where id = $1
    union all
    select a.id, a.rescheduled_from from chain c join appointments a on a.id = c.rescheduled_from
)
select n.id, n.appointment_id, n.kind, n.channel, n.state, n.due_at, n.sent_at, n.delivered_at, n.attempts,
    n.last_error as error, n.instead_of
from chain c join notices n on n.appointment_id = c.id order by coalesce(n.sent_at, n.due_at), n.id
"""

QUERIES: list[Query[Any, Any]] = [
    Query(
        "appointment-notices",
        appointment_notices,
        AppointmentsNotices,
        NoticesOf,
        STAFF,
        "GET /appointments/{appointment_id}/notices",
        patients=lambda reply: [reply.patient_id],
    ),
]
