"""Who is asking, and which streams they may join.

Invariants: default deny: an `Actor` exists only for a credential that is valid now, and a stream without a rule here
can be joined by nobody. Credentials are 256 random bits, stored as SHA-256 only; a session
ends where nobody uses it, and in two weeks whoever does. What is foreign to an actor's institution looks the same as
what does not exist.
"""

import hashlib
import secrets
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from server import errors, events, passwords, totp
from server.totp import Db


class Role(StrEnum):
    """What an actor is. The first five are people's roles; the others are not stored with users."""

    patient = "patient"
    doctor = "doctor"
    receptionist = "receptionist"
    admin = "admin"
    super_admin = "super_admin"
    device = "device"
    ticket = "ticket"
    pairing = "pairing"
    invitation = "invitation"
    system = "system"
    anonymous = "anonymous"


STAFF = frozenset({Role.doctor, Role.receptionist, Role.admin, Role.super_admin})
"""People who work queues."""
DESK = frozenset({Role.receptionist, Role.admin, Role.super_admin})
"""People who work every queue of their institution."""
ADMINS = frozenset({Role.admin, Role.super_admin})
PEOPLE = STAFF | {Role.patient}
"""Those who sign in."""
ANYBODY = frozenset(Role) - {Role.system}
"""Strangers too."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Somebody who asks: a person by session, a device, a ticket's holder, the system itself, or a stranger."""

    role: Role
    id: int = 0
    institution_id: int | None = None
    name: str = ""
    session_id: int | None = None
    doctor_id: int | None = None
    patient_id: int | None = None
    location_id: int | None = None
    device_kind: str | None = None
    csrf: str = ""
    link: str = ""
    """Of a ticket's holder: the beginning of the stored form of the link's secret."""
    location_ids: frozenset[int] = frozenset()
    """The locations that a doctor or receptionist is limited to; none given, all of the institution."""
    second_factor: bool = False
    """Whether the person has a second factor."""
    owes_factor: bool = False
    """Whether the institution requires one that the person has not set up: the session opens nothing else."""

    @property
    def credential(self) -> str:
        """How a command that ends a credential names it: others of the same person or ticket may go on."""
        if self.link:
            return f"link:{self.link}"
        return f"session:{self.session_id}" if self.session_id else self.key

    @property
    def key(self) -> str:
        """How events, replies and logs name the actor: kind and id, never a person's name."""
        kind = self.role.value if self.role in NAMED_BY_ROLE else "user"
        return f"{kind}:{self.id}" if self.id else kind

    def within(self, institution_id: int | None) -> bool:
        """Whether the institution is the actor's own; a super_admin stands above all there are. None is nobody's."""
        return institution_id is not None and (
            self.role in (Role.super_admin, Role.system) or institution_id == self.institution_id
        )

    def at(self, location_id: int) -> bool:
        """Whether the location is one that a person of its institution works at."""
        return not self.location_ids or location_id in self.location_ids


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a request comes from, for the audit trail."""

    address: str = ""
    agent: str = ""
    request_id: str = ""


NOWHERE = Origin()
ORIGIN: ContextVar[Origin] = ContextVar("callboard_origin")
"""Set by each edge for the request or socket command that it is about to pass on."""

NAMED_BY_ROLE = frozenset({Role.device, Role.ticket, Role.pairing, Role.invitation, Role.system, Role.anonymous})
ANONYMOUS = Actor(Role.anonymous)
SYSTEM = Actor(Role.system)


# Credentials


def new_secret() -> tuple[str, bytes]:
    """A fresh credential of 256 bits, URL-safe, and the hash under which it is stored."""
    secret = secrets.token_urlsafe(32)
    return secret, digest(secret)


def digest(secret: str) -> bytes:
    """The stored form of a random credential; a plain hash will do, since 256 bits cannot be guessed."""
    return hashlib.sha256(secret.encode()).digest()


# Sessions

AGAIN = "again:"
"""Before the key of an actor whose rights have changed: their sockets are cut, and let in again with the new ones."""

SESSION_COOKIE = "callboard_session"
"""Where a browser keeps a session's token, for HTTP and for sockets alike."""
SESSION_LIFE = timedelta(days=14)
"""How long a session lasts at most; then its owner signs in again."""
SESSION_IDLE = timedelta(hours=12)
"""How long a session lasts in which nobody asks for anything: longer than a shift, shorter than the night and a day."""
NOTE_USE_EVERY = timedelta(minutes=5)
"""How exactly the last use of a session is known; more exact would cost a write for each request."""


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A fresh session: the token is known to its holder alone from here on."""

    token: str
    actor: Actor
    email: str | None
    expires_at: datetime


async def sign_in(db: Db, email: str, password: str, code: str | None = None, secret_key: str = "") -> SignedIn:
    """Open a session; `db` must keep what it is told though this fails, so give it a pool.

    Raises `WrongSignIn`, the same for an unknown address as for a wrong password; once the password has proved right,
    `SecondFactorNeeded`, `WrongCode` and `TooMany` of those who have a second factor.
    """
    user = await db.fetchrow(USER_BY_EMAIL, email.strip().lower())
    if not await passwords.fits(user["password_hash"] if user else None, password) or user is None:
        raise errors.WrongSignIn()
    if passwords.outdated(user["password_hash"]):
        kept = user["password_hash"]
        await db.execute(KEEP_PASSWORD, user["id"], kept, await passwords.hash_password(password))
    if user["second_factor"]:
        if code is None:
            raise errors.SecondFactorNeeded()
        if not await totp.take(db, user["id"], code, datetime.now(UTC), secret_key):
            raise errors.WrongCode()
    return await _open_session(db, user)


async def _open_session(db: Db, user: Any) -> SignedIn:
    token, token_hash = new_secret()
    csrf = secrets.token_urlsafe(24)
    expires_at = datetime.now(UTC) + SESSION_IDLE
    origin = ORIGIN.get(NOWHERE)
    session_id = await db.fetchval(
        OPEN_SESSION, user["id"], token_hash, csrf, expires_at, origin.address or None, origin.agent or None
    )
    return SignedIn(token, _person({**user, "session_id": session_id, "csrf": csrf}), user["email"], expires_at)


PERSON = """
u.id, u.institution_id, u.email, u.name, u.role, u.doctor_id, u.patient_id,
    array(select l.location_id from user_locations l where l.user_id = u.id) as location_ids,
    f.confirmed_at is not null as second_factor,
    u.role <> 'patient' and f.confirmed_at is null and coalesce(i.require_totp, false) as owes_factor
"""
"""What an actor is made of, from `users u` with `PERSON_WITH`."""
PERSON_WITH = "left join institutions i on i.id = u.institution_id left join second_factors f on f.user_id = u.id"
USER_BY_EMAIL = f"select u.password_hash, {PERSON} from users u {PERSON_WITH} where u.email = $1 and u.active"  # noqa: S608 (a constant)
KEEP_PASSWORD = "update users set password_hash = $3 where id = $1 and password_hash = $2"
OPEN_SESSION = """
insert into sessions (user_id, token_hash, csrf, expires_at, address, agent) values ($1, $2, $3, $4, $5, $6)
returning id
"""


async def sign_in_proved(db: Db, user_id: int, code: str | None = None, secret_key: str = "") -> SignedIn:
    """Open a session for somebody who has proved in another way who they are.

    Raises `WrongSignIn` where the account is closed; `SecondFactorNeeded` and `WrongCode` of those who have one.
    """
    user = await db.fetchrow(USER_BY_ID, user_id)
    if user is None:
        raise errors.WrongSignIn()
    if user["second_factor"]:
        if code is None:
            raise errors.SecondFactorNeeded()
        if not await totp.take(db, user_id, code, datetime.now(UTC), secret_key):
            raise errors.WrongCode()
    return await _open_session(db, user)


USER_BY_ID = f"select {PERSON} from users u {PERSON_WITH} where u.id = $1 and u.active"  # noqa: S608 (a constant)


async def sign_out(db: Db, actor: Actor) -> None:
    """End the actor's session; its token opens nothing from here on."""
    await end_session(db, actor.session_id)


async def end_session(db: Db, session_id: int | None) -> None:
    """End one session."""
    await db.execute(END_SESSION, session_id)


END_SESSION = "update sessions set revoked_at = now() where id = $1 and revoked_at is null"


async def end_sessions_of(db: Db, user_id: int, at: datetime) -> list[str]:
    """End every session of a person; answers their credentials."""
    ended = await db.fetchval(END_SESSIONS_OF, user_id, at)
    return [f"session:{one}" for one in ended]


END_SESSIONS_OF = """
with ended as (update sessions set revoked_at = $2 where user_id = $1 and revoked_at is null returning id)
select coalesce(array_agg(id), '{}') from ended
"""


async def hand_sessions_over(db: Db, user_id: int, to: int) -> None:
    """Let one account's open sessions be another's of the same person."""
    await db.execute(HAND_SESSIONS_OVER, user_id, to)


HAND_SESSIONS_OVER = "update sessions set user_id = $2 where user_id = $1 and revoked_at is null"


async def end_other_sessions(db: Db, actor: Actor, at: datetime) -> list[str]:
    """End every session of a person but the one they ask by; answers their credentials."""
    ended = await db.fetchval(END_OTHER_SESSIONS, actor.id, at, actor.session_id)
    return [f"session:{one}" for one in ended]


END_OTHER_SESSIONS = """
with ended as (
    update sessions set revoked_at = $2 where user_id = $1 and id <> $3 and revoked_at is null returning id
)
select coalesce(array_agg(id), '{}') from ended
"""


async def rotate(db: Db, actor: Actor) -> str:
    """Let the asker's session go on under a fresh token: whoever knew the old one knows nothing any more.

    Cut the session's sockets, too (`AGAIN`): one may have been opened by the old token. Raises `NotAuthenticated`.
    """
    token, token_hash = new_secret()
    if await db.fetchval(ROTATE_SESSION, actor.session_id, token_hash) is None:
        raise errors.NotAuthenticated()
    return token


ROTATE_SESSION = "update sessions set token_hash = $2 where id = $1 and revoked_at is null returning id"


async def end_sessions_without_factor(db: Db, institution_id: int, at: datetime) -> list[str]:
    """End the sessions of the institution's staff who have no second factor; answers their credentials."""
    ended = await db.fetchval(END_SESSIONS_WITHOUT_FACTOR, institution_id, at)
    return [f"session:{one}" for one in ended]


END_SESSIONS_WITHOUT_FACTOR = """
with ended as (
    update sessions s set revoked_at = $2
    from users u left join second_factors f on f.user_id = u.id
    where u.id = s.user_id and u.institution_id = $1 and u.role <> 'patient' and f.confirmed_at is null
        and s.revoked_at is null
    returning s.id
)
select coalesce(array_agg(id), '{}') from ended
"""


async def email_of(db: Db, actor: Actor) -> str | None:
    """The address that a signed-in person signs in with; None of a patient who does so by codes."""
    email = await db.fetchval(EMAIL_OF_USER, actor.id)
    return None if email is None else str(email)


EMAIL_OF_USER = "select email from users where id = $1"


def _person(row: Any) -> Actor:
    return Actor(
        role=Role(row["role"]),
        id=row["id"],
        institution_id=row["institution_id"],
        name=row["name"],
        session_id=row["session_id"],
        doctor_id=row["doctor_id"],
        patient_id=row["patient_id"],
        csrf=row["csrf"],
        location_ids=frozenset(row["location_ids"]),
        second_factor=row["second_factor"],
        owes_factor=row["owes_factor"],
    )


async def by_token(db: Db, token: str) -> Actor | None:
    """The person whose open session this token is; it is in use, and lasts on from here."""
    row = await db.fetchrow(PERSON_BY_TOKEN, digest(token), SESSION_IDLE - NOTE_USE_EVERY, SESSION_LIFE)
    if row is None:
        return None
    if row["used_long_ago"]:
        await in_use(db, row["session_id"])
    return _person(row)


PERSON_BY_TOKEN = f"""
select s.id as session_id, s.csrf, s.expires_at < least(now() + $2, s.created_at + $3) as used_long_ago, {PERSON}
from sessions s join users u on u.id = s.user_id {PERSON_WITH}
where s.token_hash = $1 and s.revoked_at is null and s.expires_at > now() and u.active
"""  # noqa: S608 (a constant)


async def in_use(db: Db, session_id: int) -> None:
    """Let a session last on: it is being used."""
    await db.execute(EXTEND_SESSION, session_id, SESSION_IDLE, SESSION_LIFE)


EXTEND_SESSION = """
update sessions set expires_at = least(now() + $2, created_at + $3)
where id = $1 and revoked_at is null and expires_at > now()
"""


async def by_device(db: Db, credential: str) -> Actor | None:
    """The enrolled device whose credential this is."""
    row = await db.fetchrow(DEVICE_BY_CREDENTIAL, digest(credential))
    if row is None:
        return None
    return Actor(
        Role.device,
        id=row["id"],
        institution_id=row["institution_id"],
        name=row["name"],
        location_id=row["location_id"],
        device_kind=row["kind"],
    )


DEVICE_BY_CREDENTIAL = """
select id, institution_id, location_id, kind, name from devices where credential_hash = $1 and revoked_at is null
"""


async def by_ticket(db: Db, secret: str) -> Actor | None:
    """The holder of the ticket that this link's secret opens; a ticket's link ends two days after the ticket did."""
    row = await db.fetchrow(TICKET_BY_SECRET, digest(secret))
    if row is None:
        return None
    return Actor(Role.ticket, id=row["id"], institution_id=row["institution_id"], link=_link(digest(secret)))


TICKET_BY_SECRET = """
select id, institution_id from tickets
where secret_hash = $1 and (ended_at is null or ended_at > now() - interval '2 days')
"""


def _link(secret_hash: bytes) -> str:
    return secret_hash[:LINK].hex()


LINK = 8
"""Bytes of a stored secret that tell links apart; an actor carries no more of it."""


def link_credential(secret_hash: bytes) -> str:
    """What `Actor.credential` is of everybody who holds the link with this stored secret."""
    return f"link:{_link(secret_hash)}"


async def by_pairing(db: Db, secret: str) -> Actor | None:
    """The screen that waits to be enrolled under this secret, or was enrolled by it."""
    id_ = await db.fetchval(PAIRING_BY_SECRET, digest(secret))
    return Actor(Role.pairing, id=id_) if id_ else None


PAIRING_BY_SECRET = "select id from pairings where secret_hash = $1"


async def by_invitation(db: Db, secret: str) -> Actor | None:
    """Whoever holds an invitation's link, one that has ended as well: its page says so."""
    row = await db.fetchrow(INVITATION_BY_SECRET, digest(secret))
    return Actor(Role.invitation, id=row["id"], institution_id=row["institution_id"]) if row else None


INVITATION_BY_SECRET = """
select n.id, u.institution_id from invitations n join users u on u.id = n.user_id where n.secret_hash = $1
"""


BY_SCHEME = {
    "bearer": by_token,
    "device": by_device,
    "ticket": by_ticket,
    "pairing": by_pairing,
    "invitation": by_invitation,
}
"""How an Authorization field's value is looked up."""


async def by_authorization(db: Db, header: str | None, cookie: str | None = None) -> Actor:
    """The actor of an HTTP request; a stranger where it carries no credential.

    `header` is the Authorization field (Bearer, Device, Ticket, Pairing or Invitation), `cookie` the session cookie.
    Raises `NotAuthenticated` where a credential was sent and opens nothing.
    """
    if header:
        scheme, _, value = header.partition(" ")
        find = BY_SCHEME.get(scheme.lower())
        actor = await find(db, value.strip()) if find and value.strip() else None
    elif cookie:
        actor = await by_token(db, cookie)
    else:
        return ANONYMOUS
    if actor is None:
        raise errors.NotAuthenticated()
    return actor


async def by_socket_auth(db: Db, auth: Any, cookie: str | None = None) -> Actor:
    """The actor of a socket: `auth` is Socket.IO's, with `token`, `device` or `ticket`.

    Raises `NotAuthenticated`, and `SecondFactorRequired` for a session that owes its second factor.
    """
    actor: Actor | None = None
    if isinstance(auth, dict) and len(auth) == 1:
        kind, value = next(iter(auth.items()))
        find = {"token": by_token, "device": by_device, "ticket": by_ticket}.get(str(kind))
        if find and isinstance(value, str) and 0 < len(value) <= 200:
            actor = await find(db, value)
    elif not auth and cookie:
        actor = await by_token(db, cookie)
    if actor is None:
        raise errors.NotAuthenticated()
    if actor.owes_factor:
        raise errors.SecondFactorRequired()
    return actor


ENDED = """
with recursive chain as (
    select held.link, first.id, first.transferred_to, first.secret_hash, first.ended_at
    from unnest($3::bigint[], $4::text[]) as held (id, link)
    join tickets mine on mine.id = held.id
    join tickets first on first.id = coalesce(mine.origin_id, mine.id)
    union all
    select c.link, t.id, t.transferred_to, t.secret_hash, t.ended_at
    from chain c join tickets t on t.id = c.transferred_to
)
select 'session' as kind, s.id::text from sessions s join users u on u.id = s.user_id
where s.id = any($1::bigint[]) and (s.revoked_at is not null or s.expires_at <= now() or not u.active)
union all
select 'device', id::text from devices where id = any($2::bigint[]) and revoked_at is not null
union all
select 'link', link from chain
where transferred_to is null and (
    secret_hash is null or encode(substring(secret_hash for 8), 'hex') <> link
    or ended_at <= now() - interval '2 days'
)
"""
"""Which of these sessions, devices and tickets' links open nothing any more; a transferred ticket's link goes on."""


# Streams


async def may_join(db: Db, actor: Actor, stream: events.Stream[Any]) -> bool:
    """Whether the actor is of the stream's audience; false as well for what does not exist."""
    match stream.kind:
        case "board":
            queue = await db.fetchrow(AUDIENCE_OF_QUEUE, stream.id, actor.doctor_id, actor.id)
            if queue is None or not actor.within(queue["institution_id"]):
                return False
            match actor.role:
                case Role.device:
                    return bool(queue["location_id"] == actor.location_id)
                case Role.ticket:
                    return bool(queue["holds_ticket"])
                case _:
                    return actor.role in STAFF and actor.at(queue["location_id"])
        case "staff" | "shown":
            if actor.role not in STAFF:
                return False
            queue = await db.fetchrow(AUDIENCE_OF_QUEUE, stream.id, actor.doctor_id, actor.id)
            if queue is None or not actor.within(queue["institution_id"]) or not actor.at(queue["location_id"]):
                return False
            return actor.role is not Role.doctor or bool(queue["serves"])
        case "patient":
            return actor.role is Role.patient and actor.patient_id == stream.id
        case "doctor":
            if actor.role is Role.doctor:
                return actor.doctor_id == stream.id
            found = await db.fetchrow(PLACES_OF_DOCTOR, stream.id)
            return bool(
                actor.role in DESK
                and found
                and actor.within(found["institution_id"])
                # All that the doctor has is told here: only to those who work wherever the doctor does.
                and (not actor.location_ids or (found["locations"] and all(map(actor.at, found["locations"]))))
            )
        case "slots" | "locks":
            if actor.role not in PEOPLE:
                return False
            found = await db.fetchrow(PLACES_OF_DOCTOR, stream.id)
            return found is not None and actor.within(found["institution_id"])
        case "waitlist":
            return actor.role in DESK and bool(
                actor.within(stream.id) and await db.fetchval(INSTITUTION_EXISTS, stream.id)
            )
        case "admin":
            return actor.role in ADMINS and bool(
                actor.within(stream.id) and await db.fetchval(INSTITUTION_EXISTS, stream.id)
            )
    return False


AUDIENCE_OF_QUEUE = """
select q.institution_id, q.location_id,
    exists (select from queue_doctors d where d.queue_id = q.id and d.doctor_id = $2) as serves,
    exists (
        with recursive chain as (
            select first.queue_id, first.transferred_to
            from tickets mine join tickets first on first.id = coalesce(mine.origin_id, mine.id) where mine.id = $3
            union all
            select t.queue_id, t.transferred_to from chain c join tickets t on t.id = c.transferred_to
        )
        select from chain where queue_id = q.id and transferred_to is null
    ) as holds_ticket
from queues q where q.id = $1
"""
PLACES_OF_DOCTOR = """
select d.institution_id, array(select l.location_id from doctor_locations l where l.doctor_id = d.id) as locations
from doctors d where d.id = $1
"""
INSTITUTION_EXISTS = "select true from institutions where id = $1"
