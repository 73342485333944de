"""The development mailbox: where messages arrive while no provider is configured, each as its reader would see it.

Invariant: it is open to anybody only in a database that `callboard up` made with its demo; anywhere else admins alone
read it, their own institution's, and nobody reads what would open somebody's account.
"""

from datetime import datetime
from typing import Any

from pydantic import Field

from server import errors
from server.access import ANYBODY, Actor, Role
from server.asks import Ask, Id, Reply
from server.notices.texts import Message
from server.store import Connection, Pool, Query, Read


async def deliver(pool: Pool, notice_id: int, message: Message, now: datetime) -> str:
    """Put a message into the mailbox, once; answers its number there."""
    number = await pool.fetchval(
        DELIVER,
        notice_id,
        message.channel,
        message.recipient,
        message.language,
        message.subject,
        message.body,
        message.html,
        message.calendar,
        message.secret,
        now,
    )
    return f"mailbox-{number or notice_id}"


DELIVER = """
insert into mailbox (notice_id, institution_id, channel, recipient, language, subject, body, html, calendar, secret, at)
select n.id, n.institution_id, $2, $3, $4, $5, $6, $7, $8, $9, $10 from notices n
where n.id = $1
    and (not $9 or (select count(*) = 2 from facts where name = 'demo' or (name = 'origin' and value = 'up')))
on conflict (notice_id) do nothing
returning id
"""
"""A message that opens an account is not even kept, but in a demo."""


async def open_to_anybody(conn: Connection) -> bool:
    """Whether this database is for trying things out: `callboard up` made it, with its demo."""
    return bool(await conn.fetchval(IS_DEMO))


IS_DEMO = """
select count(*) = 2 from facts where name = 'demo' or (name = 'origin' and value = 'up')
"""


class ReadMailbox(Ask):
    """The latest messages, or those before one that is known."""

    before: Id | None = None
    limit: int = Field(default=30, ge=1, le=100)
    recipient: str | None = Field(default=None, max_length=254, description="Only what was sent there.")


class Mail(Reply):
    """A message as its reader would see it."""

    id: int
    channel: str
    recipient: str
    language: str
    subject: str | None
    body: str
    html: str | None
    calendar: str | None
    at: datetime


class Mailbox(Reply):
    """Messages, latest first."""

    items: list[Mail]
    more: bool


async def read_mailbox(view: Read, actor: Actor, ask: ReadMailbox) -> Mailbox:
    """What was sent while no provider is configured. Raises `NotAuthenticated`, `NotAllowed`."""
    demo = await open_to_anybody(view.conn)
    if not demo and actor.role not in (Role.admin, Role.super_admin):
        raise errors.NotAuthenticated() if actor.role is Role.anonymous else errors.NotAllowed()
    everywhere = demo or actor.role is Role.super_admin
    institution = None if everywhere else actor.institution_id
    rows = await view.conn.fetch(MAILS, institution, demo, ask.before, ask.recipient, ask.limit + 1)
    mails = [Mail(**dict(row)) for row in rows]
    return Mailbox(items=mails[: ask.limit], more=len(mails) > ask.limit)


MAILS = """
select id, channel, recipient, language, subject, body, html, calendar, at from mailbox
where ($1::bigint is null or institution_id = $1) and ($2 or not secret)
    and ($3::bigint is null or id < $3) and ($4::text is null or recipient = $4)
order by id desc limit $5
"""

# What may name a person is asked in the body.
QUERIES: list[Query[Any, Any]] = [
    Query("read-mailbox", read_mailbox, ReadMailbox, Mailbox, ANYBODY, "POST /mailbox"),
]
