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
    """Have these sent once this transaction is committed, and not before they are due."""
    for one in wanted:
        await tx.conn.execute(
            WRITE,
            one.institution_id,
            one.kind,
            one.cause,
            one.person,
            one.channel,
            one.patient_id,
            one.appointment_id,
            one.recipient,
            one.language,
            orjson.dumps(dict(one.facts)).decode(),
            masked(one.secret.encode(), tx.secret_key) if one.secret else None,
            one.due_at,
            one.worthless_at,
            tx.now,
        )


WRITE = """
insert into notices (institution_id, kind, cause, person, channel, patient_id, appointment_id, recipient, language,
    facts, secret, due_at, try_at, worthless_at, created_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10::jsonb, $11, $12, $12, $13, $14)
on conflict on constraint notices_once do nothing
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
