"""Browsers that asked to be told, and the key pair by which their push services know us (VAPID, RFC 8292).

Invariants: a browser tells one person, whoever subscribed there last; a subscription's address is a public one, looked
at here and again each time something is sent there; the private key is masked where the deployment has a secret.
"""

import base64
import binascii
from dataclasses import dataclass
from typing import Annotated, Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pydantic import Field, StringConstraints

from server import errors
from server.access import PEOPLE, Actor, Role
from server.asks import Ask, Reply, wrong
from server.notices import addresses
from server.notices.writing import NONCE, masked
from server.store import Action, Command, Pool, Query, Read, Store, Tx

MOST = 8
"""Browsers that one person is told in; with one more, the oldest is forgotten."""
MAY = PEOPLE | {Role.ticket}
Encoded = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{20,100}={0,2}$")]


# The keys


@dataclass(frozen=True, slots=True)
class Keys:
    """The pair: the private one as PostgreSQL has it, unmasked, and the public one that browsers are given."""

    private: ec.EllipticCurvePrivateKey
    public: bytes

    @property
    def told(self) -> str:
        """The public key as browsers and push services take it."""
        return base64.urlsafe_b64encode(self.public).rstrip(b"=").decode()


async def keys(pool: Pool, secret_key: str) -> Keys:
    """The deployment's key pair; made now where there is none, or where its secret key is another than it was."""
    for _ in range(2):
        row = await pool.fetchrow(KEYS)
        if row is not None and (found := _unmasked(row["private"], row["public"], secret_key)) is not None:
            return found
        fresh = ec.generate_private_key(ec.SECP256R1())
        number = fresh.private_numbers().private_value.to_bytes(32, "big")
        await pool.execute(KEEP_KEYS, masked(number, secret_key), _point(fresh), row["public"] if row else None)
    raise RuntimeError("the key pair for push services changes while it is read")


KEYS = "select private, public from push_keys where id = 1"
# Whoever subscribed under the old pair would take nothing under the new one.
KEEP_KEYS = """
with kept as (
    insert into push_keys as k (id, private, public, created_at) values (1, $1, $2, now())
    on conflict (id) do update set private = $1, public = $2, created_at = now() where k.public = $3
    returning 1
)
delete from push_subscriptions where $3::bytea is not null and exists (select from kept)
"""


def _unmasked(private: bytes, public: bytes, secret_key: str) -> Keys | None:
    number = int.from_bytes(masked(private[NONCE:], secret_key, private[:NONCE])[NONCE:], "big")
    try:
        key = ec.derive_private_key(number, ec.SECP256R1())
    except ValueError:
        return None
    return Keys(key, public) if _point(key) == public else None


def _point(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


class ShowKey(Ask):
    """Which key to subscribe with."""


class PushKey(Reply):
    """The public key: the `applicationServerKey` of a browser's subscription."""

    key: str


async def show_key(view: Read, actor: Actor, ask: ShowKey) -> PushKey:
    """The key that browsers subscribe with. Raises `Unavailable` in the moment before there is one."""
    row = await view.conn.fetchrow(KEYS)
    if row is None:
        raise errors.Unavailable()
    return PushKey(key=base64.urlsafe_b64encode(row["public"]).rstrip(b"=").decode())


# Subscriptions


class SubscribePush(Ask):
    """A browser's subscription, as it tells it; the keys in base64url."""

    endpoint: str = Field(min_length=12, max_length=1000, repr=False)
    p256dh: Encoded = Field(repr=False)
    auth: Encoded = Field(repr=False)


class PushSubscribed(Reply):
    """The browser will be told; `ticket_id` of which ticket, where it is a ticket's holder who asked."""

    ticket_id: int | None


async def subscribe(store: Store, actor: Actor, ask: SubscribePush) -> PushSubscribed:
    """Tell this person in this browser from now on. Raises `PushAddressRefused`, `NotFound`."""
    try:
        # Names are looked up before the transaction: nobody waits for them with a connection in hand.
        await addresses.place(ask.endpoint, store.push_inside)
    except (addresses.InnerAddress, addresses.NotFound) as refused:
        raise errors.PushAddressRefused() from refused
    return await store.execute(KEEP, actor, ask)


async def keep(tx: Tx, actor: Actor, ask: SubscribePush) -> PushSubscribed:
    """Keep a subscription whose address was looked at."""
    p256dh, auth = decoded(ask.p256dh, "/p256dh", 65), decoded(ask.auth, "/auth", 16)
    try:
        ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), p256dh)
    except ValueError:
        raise wrong(("/p256dh", "Should be a point of P-256.")) from None
    person, patient_id, user_id = await _person(tx, actor)
    await tx.conn.execute(SUBSCRIBE, person, patient_id, user_id, ask.endpoint, p256dh, auth, tx.now)
    await tx.conn.execute(FORGET_OLDEST, person, MOST)
    return PushSubscribed(ticket_id=actor.id if actor.role is Role.ticket else None)


SUBSCRIBE = """
insert into push_subscriptions (person, patient_id, user_id, endpoint, p256dh, auth, created_at)
values ($1, $2, $3, $4, $5, $6, $7)
on conflict on constraint push_subscriptions_once do update
set person = $1, patient_id = $2, user_id = $3, p256dh = $5, auth = $6, created_at = $7, used_at = null
"""
FORGET_OLDEST = """
delete from push_subscriptions where person = $1 and id not in (
    select id from push_subscriptions where person = $1 order by created_at desc, id desc limit $2
)
"""


async def _person(tx: Tx, actor: Actor) -> tuple[str, int | None, int | None]:
    """Whom a browser tells: a patient, by their account or their ticket, or somebody who works here."""
    if actor.role is Role.ticket:
        patient = await tx.conn.fetchval(PATIENT_OF_TICKET, actor.id)
        if patient is None:
            raise errors.NotFound()
        return f"patient:{patient}", patient, None
    if actor.patient_id is not None:
        return f"patient:{actor.patient_id}", actor.patient_id, None
    return f"user:{actor.id}", None, actor.id


PATIENT_OF_TICKET = "select patient_id from tickets where id = $1"


def decoded(text: str, field: str, size: int) -> bytes:
    """What base64url stands for. Raises `InvalidRequest` unless it is of this size."""
    try:
        found = base64.b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        found = b""
    if len(found) != size:
        raise wrong((field, f"Should be {size} bytes in base64url."))
    return found


class UnsubscribePush(Ask):
    """A browser that is to be told nothing more."""

    endpoint: str = Field(min_length=12, max_length=1000, repr=False)


class PushUnsubscribed(Reply):
    """Whether it was told anything before."""

    ended: bool


async def unsubscribe(tx: Tx, actor: Actor, ask: UnsubscribePush) -> PushUnsubscribed:
    """Tell nothing more in this browser; only what is the asker's own ends. Raises `NotFound`."""
    person, _, _ = await _person(tx, actor)
    ended = await tx.conn.fetchval(UNSUBSCRIBE, person, ask.endpoint)
    return PushUnsubscribed(ended=ended is not None)


UNSUBSCRIBE = "delete from push_subscriptions where person = $1 and endpoint = $2 returning id"


# Sending


@dataclass(frozen=True, slots=True)
class Subscription:
    """A browser as it is sent to."""

    id: int
    endpoint: str
    p256dh: bytes
    auth: bytes


async def subscriptions(pool: Pool, person: str) -> list[Subscription]:
    """The browsers in which a person is told."""
    rows = await pool.fetch(OF_PERSON, person)
    return [Subscription(row["id"], row["endpoint"], row["p256dh"], row["auth"]) for row in rows]


OF_PERSON = "select id, endpoint, p256dh, auth from push_subscriptions where person = $1 order by id"


async def forget(pool: Pool, subscription: Subscription) -> None:
    """Its push service says that it is gone; a newer one of the same browser stays."""
    await pool.execute(FORGET, subscription.id, subscription.auth)


FORGET = "delete from push_subscriptions where id = $1 and auth = $2"


async def note_used(pool: Pool, subscription: Subscription) -> None:
    """Its push service has just taken something for it."""
    await pool.execute(USED, subscription.id)


USED = "update push_subscriptions set used_at = now() where id = $1"

KEEP = Command("keep-subscription", keep, SubscribePush, PushSubscribed, MAY, "POST /push/subscriptions", status=201)
"""Carried out by `subscribe` alone."""
COMMANDS: list[Command[Any, Any]] = [
    Action.of("subscribe-push", subscribe, SubscribePush, PushSubscribed, MAY, "POST /push/subscriptions", 201),
    Command("unsubscribe-push", unsubscribe, UnsubscribePush, PushUnsubscribed, MAY, "POST /push/unsubscribe"),
]
QUERIES: list[Query[Any, Any]] = [Query("push-key", show_key, ShowKey, PushKey, MAY, "GET /push/key")]
