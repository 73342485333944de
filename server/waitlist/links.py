"""The link in a message that answers an offer by one tap: whoever has it may answer that one offer, and nothing else.

Invariant: its secret is known to the message alone; the database has its SHA-256.
"""

import secrets
from dataclasses import dataclass

from server import access, errors
from server.access import Actor, Role
from server.store import Connection, Tx

NO_OFFER = "There is no such offer here."


async def new_link(tx: Tx, offer_id: int) -> str:
    """A secret that answers this offer from now on; one that it had before does no more."""
    secret = secrets.token_urlsafe(24)
    await tx.conn.execute(NEW_LINK, offer_id, access.digest(secret))
    return secret


NEW_LINK = "update offers set secret_hash = $2 where id = $1"


@dataclass(frozen=True, slots=True)
class Linked:
    """Whose offer a link answers, and as whom."""

    entry_id: int
    offer_id: int
    actor: Actor


async def by_link(conn: Connection, secret: str) -> Linked:
    """What a link opens: this one offer, as its patient. Raises `NotFound`."""
    row = await conn.fetchrow(BY_LINK, access.digest(secret))
    if row is None:
        raise errors.NotFound(NO_OFFER)
    patient = Actor(Role.patient, institution_id=row["institution_id"], patient_id=row["patient_id"])
    return Linked(row["entry_id"], row["id"], patient)


BY_LINK = """
select o.id, o.entry_id, o.institution_id, w.patient_id from offers o join waitlist w on w.id = o.entry_id
where o.secret_hash = $1
"""
