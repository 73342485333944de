"""Writing notices, in the transaction of what they tell of; taking back what is not to be told any more.

Invariant: a notice is committed with its cause or not at all, and once per cause, person and channel: what is there
already stays as it is, so whatever writes it may do so again.
"""

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson

from server.notices.rules import Channel, Kind
from server.store import Tx

NONCE = 16


@dataclass(frozen=True, slots=True)
class Wanted:
    """A notice to be written."""

    kind: Kind
    cause: str
    person: str
    channel: Channel
    due_at: datetime
    institution_id: int | None = None
    patient_id: int | None = None
    appointment_id: int | None = None
    recipient: str | None = None
    """None: whatever the person's record says when it is sent."""
    language: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    secret: str | None = field(default=None, repr=False)
    """Opens something; it is masked, and forgotten once it is sent."""
    worthless_at: datetime | None = None


async def write(tx: Tx, wanted: Sequence[Wanted]) -> None:
    """Have these sent once this transaction is committed, and not before they are due.

    A reminder that is there already and was not sent goes by what is wanted now; anything else stays as it is.
    """
    if not wanted:
        return
    await tx.conn.execute(WRITE, orjson.dumps([_row(tx, one) for one in wanted]).decode(), tx.now)
    if any(one.due_at <= tx.now for one in wanted):
        tx.woken = True


def _row(tx: Tx, one: Wanted) -> dict[str, Any]:
    secret = masked(one.secret.encode(), tx.secret_key).hex() if one.secret else None
    return {**{name: getattr(one, name) for name in COLUMNS}, "facts": dict(one.facts), "secret": secret}


COLUMNS = (
    "institution_id",
    "kind",
    "cause",
    "person",
    "channel",
    "patient_id",
    "appointment_id",
    "recipient",
    "language",
    "due_at",
    "worthless_at",
)
WRITE = """
insert into notices (institution_id, kind, cause, person, channel, patient_id, appointment_id, recipient, language,
    facts, secret, due_at, try_at, worthless_at, created_at)
select institution_id, kind, cause, person, channel, patient_id, appointment_id, recipient, language,
    facts, decode(secret, 'hex'), due_at, due_at, worthless_at, $2
from jsonb_to_recordset($1::jsonb) as w (institution_id bigint, kind text, cause text, person text, channel text,
    patient_id bigint, appointment_id bigint, recipient text, language text, facts jsonb, secret text,
    due_at timestamptz, worthless_at timestamptz)
on conflict on constraint notices_once do update
set due_at = excluded.due_at, try_at = excluded.try_at, facts = excluded.facts, worthless_at = excluded.worthless_at,
    state = 'pending'
where notices.kind = 'reminder' and notices.state in ('pending', 'cancelled')
"""


async def take_back(tx: Tx, appointment_id: int, *kinds: str) -> list[str]:
    """Have nothing more sent about an appointment, or nothing of these kinds; answers the kinds that were taken back.

    What a worker is handing over this very moment may still arrive; if that fails, it is not tried again.
    """
    rows = await tx.conn.fetch(TAKE_BACK, appointment_id, list(kinds), tx.now)
    return [row["kind"] for row in rows if row["state"] == "cancelled"]


TAKE_BACK = """
update notices set state = case state when 'pending' then 'cancelled' else state end,
    secret = case state when 'pending' then null else secret end, worthless_at = $3
where appointment_id = $1 and state in ('pending', 'sending') and (cardinality($2::text[]) = 0 or kind = any($2))
returning kind, state
"""


async def move_reminders(tx: Tx, old: int, new: int) -> None:
    """Give the reminders of an appointment that are still to come to the one that it was moved to."""
    await tx.conn.execute(MOVE, old, new, f"appointment:{old}/", f"appointment:{new}/")


MOVE = """
update notices set appointment_id = $2, cause = replace(cause, $3, $4)
where appointment_id = $1 and kind = 'reminder' and state = 'pending'
"""


def masked(secret: bytes, key: str, nonce: bytes | None = None) -> bytes:
    """A secret as it waits to be sent: exclusive-or SHAKE-256's output for the deployment's key and a fresh nonce.

    A copy of the database alone then opens nothing where the deployment has a key. It is short-lived in any case.
    """
    nonce = nonce or secrets.token_bytes(NONCE)
    stream = hashlib.shake_256(b"callboard notice\0" + key.encode() + b"\0" + nonce).digest(len(secret))
    return nonce + bytes(one ^ other for one, other in zip(secret, stream, strict=True))


def unmasked(kept: bytes, key: str) -> str:
    """The secret that `masked` was given. Raises `ValueError` where the key is another."""
    return masked(kept[NONCE:], key, kept[:NONCE])[NONCE:].decode("ascii")
