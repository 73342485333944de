"""What is due to be sent: claiming notices, reading whom they are for, and noting what became of each.

Invariants: a notice is held by one worker at a time, for as long as its lease lasts; `attempts` is the lease's number,
so whoever comes too late changes nothing. What is cancelled before a worker looks at it is never sent.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson

from server.notices import rules
from server.notices.texts import Told
from server.notices.writing import unmasked
from server.store import Pool


@dataclass(frozen=True, slots=True)
class Held:
    """A notice that this worker may send now."""

    id: int
    attempt: int

    @property
    def key(self) -> str:
        """What providers are given to know a repeat by; the same for every try."""
        return f"notice-{self.id}"


async def claim(pool: Pool, now: datetime, most: int) -> list[Held]:
    """Take up to so many of what is due, oldest first, for the time of a lease; never what another worker holds."""
    rows = await pool.fetch(CLAIM, now, now + rules.LEASE, most)
    return [Held(row["id"], row["attempts"]) for row in rows]


CLAIM = """
update notices set state = 'sending', attempts = attempts + 1, try_at = $2
where id in (
    select id from notices where state in ('pending', 'sending') and try_at <= $1
    order by try_at, id limit $3 for update skip locked
)
returning id, attempts
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
    secret: str | None = field(default=None, repr=False)

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
        )


async def letter(pool: Pool, held: Held, now: datetime, secret_key: str) -> Letter | None:
    """Read a notice a moment before it is sent; None where it is not to be sent any more, which is noted."""
    row = await pool.fetchrow(LETTER, held.id, held.attempt)
    if row is None:
        return None
    if row["worthless_at"] is not None and row["worthless_at"] <= now:
        await pool.execute(DROP, held.id, held.attempt)
        return None
    own = {"email": row["email"], "sms": row["phone"], "whatsapp": row["phone"], "voice": row["phone"]}
    return Letter(
        held,
        row["kind"],
        row["channel"],
        row["recipient"] or own.get(row["channel"]),
        rules.language(row["language"], row["spoken"], *(row["languages"] or ())),
        orjson.loads(row["facts"]),
        row["created_at"],
        unmasked(row["secret"], secret_key) if row["secret"] else None,
    )


LETTER = """
select n.kind, n.channel, n.recipient, n.language, n.facts, n.secret, n.worthless_at, n.created_at,
    p.email, p.phone, p.language as spoken, i.languages
from notices n left join institutions i on i.id = n.institution_id
left join appointments a on a.id = n.appointment_id left join patients q on q.id = n.patient_id
left join patients p on p.id = coalesce(a.patient_id, q.merged_into, q.id)
where n.id = $1 and n.attempts = $2 and n.state = 'sending'
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


async def note_failed(pool: Pool, held: Held, error: str, now: datetime, for_good: bool = False) -> None:
    """Try it again after a while; or no more, where that cannot help or has not helped often enough."""
    wait = None if for_good else rules.wait_after(held.attempt, random.random())  # noqa: S311 (no secret)
    if wait is None:
        await pool.execute(FAILED, held.id, held.attempt, error[:ERROR_KEPT])
    else:
        await pool.execute(LATER, held.id, held.attempt, error[:ERROR_KEPT], now + wait)


ERROR_KEPT = 300
FAILED = """
update notices set state = 'failed', last_error = $3, secret = null
where id = $1 and attempts = $2 and state = 'sending'
"""
LATER = """
update notices set state = 'pending', last_error = $3, try_at = $4
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


async def next_due(pool: Pool) -> datetime | None:
    """When the next notice is to be tried."""
    found: datetime | None = await pool.fetchval(NEXT_DUE)
    return found


NEXT_DUE = "select min(try_at) from notices where state in ('pending', 'sending')"
