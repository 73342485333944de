"""What could not be sent: the list of it, and sending it once more.

Invariant: sent once more, a notice keeps its name with the provider and its number of tries; only what has not failed
is never sent again by it, nor what would say nothing any more.
"""

from datetime import datetime
from typing import Any

from pydantic import Field

from server import errors
from server.access import ADMINS, Actor, Role
from server.asks import Ask, Id, Reply, decode_cursor, encode_cursor
from server.notices.rules import Channel, Kind
from server.store import Command, Query, Read, Tx


class FailedNotices(Ask):
    """Which to list; a super_admin names the institution, or sees all."""

    institution_id: Id | None = None
    kind: Kind | None = None
    channel: Channel | None = None
    patient_id: Id | None = None
    cursor: str | None = Field(default=None, max_length=200)
    limit: int = Field(default=50, ge=1, le=200)


class FailedNotice(Reply):
    """A notice that could not be sent."""

    id: int
    institution_id: int
    kind: str
    channel: str
    patient_id: int | None
    patient: str | None
    appointment_id: int | None
    number: str | None = Field(description="The appointment's, as people name it.")
    error: str | None = Field(description="What the provider said last.")
    attempts: int
    due_at: datetime
    worthless_at: datetime | None = Field(description="After that it says nothing new and is not sent.")
    instead_by: str | None = Field(description="The channel over which it went instead.")
    may_resend: bool


class Failed(Reply):
    """What could not be sent, latest first."""

    items: list[FailedNotice]
    next_cursor: str | None


async def failed_notices(view: Read, actor: Actor, ask: FailedNotices) -> Failed:
    """What could not be sent. Raises `InvalidCursor`."""
    institution = ask.institution_id if actor.role is Role.super_admin else actor.institution_id
    if ask.institution_id is not None and not actor.within(ask.institution_id):
        raise errors.NotFound()
    (before,) = decode_cursor("failed-notices", ask.cursor, int) if ask.cursor else (None,)
    rows = await view.conn.fetch(
        FAILED, institution, before, ask.kind, ask.channel, ask.patient_id, view.now, ask.limit + 1
    )
    items = [FailedNotice(**dict(row)) for row in rows[: ask.limit]]
    more = len(rows) > ask.limit
    return Failed(items=items, next_cursor=encode_cursor("failed-notices", items[-1].id) if more else None)


FAILED = """
select n.id, n.institution_id, n.kind, n.channel, n.patient_id, p.name as patient, n.appointment_id, a.number,
    n.last_error as error, n.attempts, n.due_at, n.worthless_at,
    (select o.channel from notices o where o.instead_of = n.id limit 1) as instead_by,
    n.worthless_at is null or n.worthless_at > $6 as may_resend
from notices n left join patients p on p.id = n.patient_id left join appointments a on a.id = n.appointment_id
where n.state = 'failed' and n.institution_id is not null and ($1::bigint is null or n.institution_id = $1)
    and ($2::bigint is null or n.id < $2) and ($3::text is null or n.kind = $3)
    and ($4::text is null or n.channel = $4) and ($5::bigint is null or n.patient_id = $5)
order by n.id desc limit $7
"""


class ResendNotice(Ask):
    """Which to send once more."""

    notice_id: Id


class Resent(Reply):
    """It is on its way again."""

    notice_id: int


async def resend_notice(tx: Tx, actor: Actor, ask: ResendNotice) -> Resent:
    """Have a notice tried anew that could not be sent. Raises `NotFound`, `NoticeNotFailed`, `NoticeTooLate`."""
    row = await tx.conn.fetchrow(TO_RESEND, ask.notice_id)
    if row is None or not actor.within(row["institution_id"]):
        raise errors.NotFound()
    if row["state"] != "failed":
        raise errors.NoticeNotFailed(state=row["state"])
    if row["kind"] == "sign-in-code" or (row["worthless_at"] is not None and row["worthless_at"] <= tx.now):
        raise errors.NoticeTooLate()
    await tx.conn.execute(RESEND, ask.notice_id, tx.now)
    tx.institution_id = row["institution_id"]
    tx.about(f"notice:{ask.notice_id}", {"state": "failed"}, {"state": "pending"}, row["patient_id"])
    tx.woken = True
    return Resent(notice_id=ask.notice_id)


TO_RESEND = "select institution_id, patient_id, kind, state, worthless_at from notices where id = $1 for update"
# Tries go on counting, so that a worker that comes back from an old one changes nothing; they are forgiven.
RESEND = """
update notices set state = 'pending', try_at = $2, forgiven = attempts, sent_at = null where id = $1
"""

COMMANDS: list[Command[Any, Any]] = [
    Command("resend-notice", resend_notice, ResendNotice, Resent, ADMINS, "POST /notices/{notice_id}/resend"),
]
# Whose notices they are may be asked: in the body.
QUERIES: list[Query[Any, Any]] = [
    Query(
        "failed-notices",
        failed_notices,
        FailedNotices,
        Failed,
        ADMINS,
        "POST /notices/failed",
        patients=lambda reply: sorted({one.patient_id for one in reply.items if one.patient_id}),
    ),
]
