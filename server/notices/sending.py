"""What is due to be sent: claiming notices, reading whom they are for, and noting what became of each.

Invariants: a notice is held by one worker at a time, for as long as its lease lasts; `attempts` is the lease's number,
so whoever comes too late changes nothing. What is cancelled before a worker looks at it is never sent.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, cast

import orjson

from server.notices import rules
from server.notices.instead import go_another_way
from server.notices.texts import Text, Told
from server.notices.writing import unmasked
from server.store import Connection, Pool

CLOCKS_DIFFER = timedelta(minutes=2)
"""How far a provider's clock and ours may be apart."""


@dataclass(frozen=True, slots=True)
class Held:
    """A notice that this worker may send now."""

    id: int
    attempt: int
    tries: int = 1
    """How many tries count, with this one: not those before it was sent anew by hand, or that were put off."""

    @property
    def key(self) -> str:
        """What providers are given to know a repeat by; the same for every try."""
        return f"notice-{self.id}"


async def claim(pool: Pool, now: datetime, most: int, channels: Sequence[str] = rules.CHANNELS) -> list[Held]:
    """Take up to so many of what is due, oldest first, for the time of a lease; never what another worker holds."""
    rows = await pool.fetch(CLAIM, now, now + rules.LEASE, most, list(channels))
    return [Held(row["id"], row["attempts"], row["tries"]) for row in rows]


# Channel by channel, along the index: what waits for one provider is not read past for another's sake.
CLAIM = """
with due as materialized (
    select d.id from unnest($4::text[]) as c (channel)
    cross join lateral (
        select n.id, n.try_at from notices n
        where n.channel = c.channel and n.state in ('pending', 'sending') and n.try_at <= $1
        order by n.try_at, n.id limit $3 for update skip locked
    ) d
    order by d.try_at, d.id limit $3
)
update notices n set state = 'sending', attempts = n.attempts + 1, try_at = $2
from due where n.id = due.id
returning n.id, n.attempts, n.attempts - n.forgiven as tries
"""


@dataclass(frozen=True, slots=True)
class Letter:
    """A held notice, and how its reader is reached."""

    held: Held
    kind: str
    channel: rules.Channel
    recipient: str | None
    language: str
    facts: Mapping[str, Any]
    written_at: datetime
    due_at: datetime
    cause: str
    secret: str | None = field(default=None, repr=False)
    text: Text | None = None
    """The institution's own, where it has one in this language."""
    proof: str | None = field(default=None, repr=False)

    @property
    def since(self) -> datetime | None:
        """Since when an earlier try may have handed it over without our knowing; None at the first."""
        return max(self.written_at, self.due_at) - CLOCKS_DIFFER if self.held.attempt > 1 else None

    @property
    def opens(self) -> str:
        """Where a tap on it leads: a page, or a ticket, whose link its holder's browser alone knows."""
        if self.kind == "thank-you":
            return f"/feedback/{self.held.id}.{self.proof}"
        if self.kind == "waitlist-offer" and self.secret:
            return f"/offer/{self.secret}"
        kind, _, rest = self.cause.partition(":")
        if kind == "ticket":
            return f"ticket:{rest.partition('/')[0]}"
        return {"appointment": "/appointments", "waitlist": "/appointments", "emergency": "/agenda"}.get(kind, "/")

    def told(self, recipient: str, base_url: str, sender: str) -> Told:
        """What its text is made of."""
        return Told(
            self.held.id,
            self.kind,
            self.channel,
            recipient,
            self.language,
            self.facts,
            base_url,
            self.written_at,
            self.secret,
            sender,
            self.text,
            self.proof,
        )


async def letters(pool: Pool, held: Sequence[Held], now: datetime, secret_key: str) -> list[Letter]:
    """Read notices a moment before they are sent: those that are to be sent still; of the others that is noted."""
    rows = await pool.fetch(LETTERS, [one.id for one in held], [one.attempt for one in held])
    claims = {one.id: one for one in held}
    found = []
    for row in rows:
        if row["stopped"] or (row["worthless_at"] is not None and row["worthless_at"] <= now):
            await pool.execute(DROP, row["id"], claims[row["id"]].attempt)
        else:
            found.append(_letter(claims[row["id"]], row, secret_key))
    return found


def _letter(held: Held, row: Any, secret_key: str) -> Letter:
    own = dict.fromkeys(("sms", "whatsapp", "voice"), row["phone"])
    own |= {"email": row["email"], "push": row["browsers"], "app": row["account"]}
    language = rules.language(row["language"], row["spoken"], *(row["languages"] or ()))
    said = orjson.loads(row["said"]).get(language)
    return Letter(
        held,
        row["kind"],
        row["channel"],
        own["push"] if row["channel"] == "push" else row["recipient"] or own.get(row["channel"]),
        language,
        orjson.loads(row["facts"]),
        row["created_at"],
        row["due_at"],
        row["cause"],
        unmasked(row["secret"], secret_key) if row["secret"] else None,
        Text(*said) if said else None,
        row["proof"].hex,
    )


LETTERS = """
select n.id, n.kind, n.channel, n.recipient, n.language, n.facts, n.secret, n.worthless_at, n.created_at, n.due_at,
    n.cause, p.email, p.phone, p.language as spoken, i.languages, n.opens as proof,
    case when exists (select from users u where u.patient_id = p.id) then 'patient:' || p.id end as account,
    (
        select coalesce(jsonb_object_agg(t.language, jsonb_build_array(t.subject, t.body)), '{}') from templates t
        where t.institution_id = n.institution_id and t.kind = n.kind and t.channel = n.channel
    ) as said,
    case when exists (select from push_subscriptions s where s.person = n.person) then n.person end as browsers,
    exists (
        select from opt_outs o where o.channel = n.channel and o.recipient = coalesce(n.recipient, p.phone)
    ) as stopped
from unnest($1::bigint[], $2::int[]) as h (id, attempt)
join notices n on n.id = h.id and n.attempts = h.attempt and n.state = 'sending'
left join institutions i on i.id = n.institution_id
left join appointments a on a.id = n.appointment_id left join patients q on q.id = n.patient_id
left join patients p on p.id = coalesce(a.patient_id, q.merged_into, q.id)
order by n.try_at, n.id
"""
DROP = "update notices set state = 'cancelled', secret = null where id = $1 and attempts = $2 and state = 'sending'"


async def note_sent(pool: Pool, held: Held, provider_id: str | None, now: datetime) -> None:
    """It is the provider's now."""
    await pool.execute(SENT, held.id, held.attempt, provider_id, now)


# Whoever held it before may be late: it was sent all the same, and is not sent once more.
SENT = """
update notices set state = 'sent', sent_at = $4, provider_id = $3, last_error = null, secret = null
where id = $1 and attempts >= $2 and state in ('pending', 'sending')
"""


@dataclass(frozen=True, slots=True)
class Sent:
    """A notice that its provider took, by what name, and when."""

    held: Held
    provider_id: str | None
    at: datetime


async def note_all_sent(pool: Pool, sent: Sequence[Sent]) -> set[int]:
    """They are the providers' now; answers which were noted. Those that somebody is at are not, nor what was over."""
    columns = zip(*((one.held.id, one.held.attempt, one.provider_id, one.at) for one in sent), strict=True)
    return {row["id"] for row in await pool.fetch(SENT_TOGETHER, *map(list, columns))}


# Skipping what is locked: nobody's command holds up the others' notes, and no two that lock several can deadlock.
SENT_TOGETHER = """
with told as (
    select n.id, t.provider_id, t.sent_at
    from unnest($1::bigint[], $2::int[], $3::text[], $4::timestamptz[]) as t (id, attempt, provider_id, sent_at)
    join notices n on n.id = t.id and n.attempts >= t.attempt and n.state in ('pending', 'sending')
    for update of n skip locked
)
update notices n
set state = 'sent', sent_at = told.sent_at, provider_id = told.provider_id, last_error = null, secret = null
from told where n.id = told.id
returning n.id
"""


async def note_failed(
    pool: Pool,
    held: Held,
    error: str,
    now: datetime,
    for_good: bool = False,
    put_off: timedelta | None = None,
    at_least: timedelta = timedelta(0),
) -> None:
    """Try it again after a while; or no more, where that cannot help or has not helped often enough.

    What can arrive no more goes another way, in the same transaction. `put_off` is how long the provider asked us to
    wait: such a try does not count.
    """
    wait = put_off or rules.wait_after(held.tries, random.random())  # noqa: S311 (no secret)
    if wait is not None and not for_good:
        await pool.execute(
            LATER, held.id, held.attempt, error[:ERROR_KEPT], now + max(wait, at_least), put_off is not None
        )
        return
    async with pool.acquire() as borrowed, borrowed.transaction():
        conn = cast(Connection, borrowed)
        if await conn.fetchval(FAILED, held.id, held.attempt, error[:ERROR_KEPT]):
            await go_another_way(conn, held.id, now)


ERROR_KEPT = 300
FAILED = """
update notices set state = 'failed', last_error = $3, secret = null
where id = $1 and attempts = $2 and state = 'sending'
returning id
"""
LATER = """
update notices set state = 'pending', last_error = $3, try_at = $4, forgiven = forgiven + $5::boolean::int
where id = $1 and attempts = $2 and state = 'sending'
"""


async def give_back(pool: Pool, held: Sequence[Held]) -> None:
    """Let others have at once what was claimed and not begun: this worker is told to stop."""
    await pool.execute(GIVE_BACK, [one.id for one in held], [one.attempt for one in held])


GIVE_BACK = """
update notices n set state = 'pending', attempts = n.attempts - 1, try_at = n.due_at
from unnest($1::bigint[], $2::int[]) as h (id, attempt)
where n.id = h.id and n.attempts = h.attempt and n.state = 'sending'
"""


async def known(pool: Pool, provider_ids: Sequence[str]) -> set[str]:
    """Which of these a provider has told us as the names of notices."""
    return {row["provider_id"] for row in await pool.fetch(KNOWN, list(provider_ids))}


KNOWN = "select provider_id from notices where provider_id = any($1::text[])"
