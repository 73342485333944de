"""Patients' own accounts: signing in with a one-time code, and registering by oneself.

Invariants: whoever asks for a code learns nothing about the contact it goes to: it is sent to any, without a look at
whose it is. Only the right code tells whose the contact is. A code is right once, for ten minutes, and wrong five
times at most; each try is counted before it is looked at, so that many at once gain nothing. A patient has one account.
"""

import hashlib
import hmac
import math
import re
import secrets
from datetime import timedelta
from typing import Annotated, Any

import orjson
import phonenumbers
from pydantic import Field, StringConstraints

from server import access, errors, notices
from server.access import ANYBODY, Actor
from server.asks import Ask, Id, Opened, Reply, session_user, wrong
from server.doors import sender
from server.notices import rules
from server.patients import records
from server.patients.details import BirthDate, PatientName
from server.settings import effective_booking
from server.store import Action, Command, Connection, Query, Read, Store, Tx

DIGITS = 6
LIFE = timedelta(minutes=10)
PER_CONTACT = 5
"""Codes that one contact is sent in an hour."""
PER_NETWORK = 60
"""Codes that are sent in an hour for one address: a waiting room's."""

Contact = Annotated[str, StringConstraints(strip_whitespace=True, min_length=3, max_length=254)]
EMAIL = re.compile(
    r"[^@\s\x00-\x20<>,;:\"()\[\]\\]{1,64}@([^@\s\x00-\x20<>,;:\"()\[\]\\.]+\.)+[^@\s\x00-\x20<>,;:\"()\[\]\\.]+"
)


# Asking for a code


class AskCode(Ask):
    """Where to send a one-time code: an e-mail address, or a telephone number with its country's prefix."""

    contact: Contact = Field(repr=False)
    language: Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}$")] | None = Field(
        default=None, description="The language to write in."
    )


class CodeAsked(Reply):
    """The same for every contact; `minutes` tells how long the code can be used."""

    minutes: int
    digits: int
    mailbox: bool = Field(description="Whether this is for trying things out: the mailbox page shows the code.")


async def ask_code(tx: Tx, actor: Actor, ask: AskCode) -> CodeAsked:
    """Send a one-time code to a contact, whoever it belongs to. Raises `InvalidRequest`, `TooMany`."""
    contact = await _contact(tx.conn, ask.contact)
    network = sender({"client": (access.ORIGIN.get(access.NOWHERE).address, 0)})
    await tx.conn.execute(HOLD_CONTACT, contact)
    wait = await tx.conn.fetchval(WAIT, contact, network, tx.now, PER_CONTACT - 1, PER_NETWORK - 1)
    if wait is not None and wait > 0:
        raise errors.TooMany(retry_after=math.ceil(wait))
    code, salt = f"{secrets.randbelow(10**DIGITS):0{DIGITS}}", secrets.token_bytes(16)
    hashed = _hash(contact, code, salt, tx.secret_key)
    number = await tx.conn.fetchval(ADD_CODE, contact, salt, hashed, network, tx.now, tx.now + LIFE)
    await notices.write(
        tx,
        [
            notices.Wanted(
                kind="sign-in-code",
                cause=f"code:{number}",
                person=contact,
                channel=rules.channel_of(contact),
                due_at=tx.now,
                recipient=contact,
                language=rules.language(ask.language),
                facts={"minutes": int(LIFE.total_seconds() // 60)},
                secret=code,
                worthless_at=tx.now + LIFE,
            )
        ],
    )
    mailbox = await notices.mailbox.open_to_anybody(tx.conn)
    return CodeAsked(minutes=int(LIFE.total_seconds() // 60), digits=DIGITS, mailbox=mailbox)


HOLD_CONTACT = "select pg_advisory_xact_lock(x'434f4445'::int, hashtext($1))"
WAIT = """
select extract(epoch from greatest(
    (select created_at from sign_in_codes
        where contact = $1 and created_at > $3::timestamptz - interval '1 hour'
        order by created_at desc offset $4 limit 1),
    (select created_at from sign_in_codes
        where network = $2 and created_at > $3::timestamptz - interval '1 hour'
        order by created_at desc offset $5 limit 1)
) + interval '1 hour' - $3::timestamptz)
"""
ADD_CODE = """
insert into sign_in_codes (contact, salt, code_hash, network, created_at, expires_at) values ($1, $2, $3, $4, $5, $6)
returning id
"""


async def _contact(conn: Connection, given: str) -> str:
    """A contact as it is compared and stored: an address in lower case, a number in E.164. Raises `InvalidRequest`."""
    if "@" in given:
        if EMAIL.fullmatch(given):
            return given.lower()
        raise wrong(("/contact", "Should be an e-mail address or a telephone number.", "no-contact"))
    # Where all institutions are in one country, its people need not know its prefix.
    countries = await conn.fetch(COUNTRIES)
    region = countries[0]["country"] if len(countries) == 1 else None
    try:
        number = phonenumbers.parse(given, region)
    except phonenumbers.NumberParseException:
        number = None
    if number is None or not phonenumbers.is_valid_number(number):
        should = "Should be an e-mail address, or a telephone number with its country's prefix."
        raise wrong(("/contact", should, "no-contact"))
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


COUNTRIES = "select distinct country from institutions where country is not null limit 2"


def _hash(contact: str, code: str, salt: bytes, key: str) -> bytes:
    """The stored form of a code. With a copy of the database alone, and not the deployment's key, nobody can go through
    the million codes that there are.
    """
    return hmac.digest(key.encode() or salt, salt + f"{contact}\0{code}".encode(), hashlib.sha256)


# Signing in by it


class Registration(Ask):
    """Who somebody is that no record has the contact of."""

    institution_id: Id
    name: PatientName
    birth_date: BirthDate


class VerifyCode(Ask):
    """A code that was sent to the contact, and as whom to sign in: needed where the contact is several patients'."""

    contact: Contact = Field(repr=False)
    code: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=20)] = Field(repr=False)
    patient_id: Id | None = None
    register_as: Registration | None = Field(default=None, alias="register", description="A new patient.")
    factor: Annotated[str, StringConstraints(min_length=6, max_length=40)] | None = Field(
        default=None, repr=False, description="Of the authenticator app, where the patient has set one up."
    )


async def verify_code(store: Store, actor: Actor, ask: VerifyCode) -> Opened:
    """Open a session for the patient whose contact this is.

    Raises `WrongSignInCode`; where the code is right, which can then be used once more: `ChoosePatient`,
    `UnknownContact`, `RegistrationClosed`, `KnownOtherwise`, `SecondFactorNeeded`. Raises `WrongCode`.
    """
    async with store.snapshot() as view:
        contact = await _contact(view.conn, ask.contact)
    code = re.sub(r"\D", "", "".join(str(int(one)) if one.isdecimal() else one for one in ask.code))
    tried = await store.pool.fetch(COUNT_TRY, contact, store.now())
    right = [
        one["id"]
        for one in tried
        if hmac.compare_digest(_hash(contact, code, one["salt"], store.secret_key), one["code_hash"])
    ]
    if not right:
        raise errors.WrongSignInCode()
    try:
        return await store.execute(ENTER, actor, Enter(contact=contact, code_id=right[0], asked=ask))
    except (errors.WrongCode, errors.WrongSignInCode):
        raise
    except errors.Refusal:
        await store.pool.execute(GIVE_BACK, [one["id"] for one in tried])
        raise


# Committed before anybody looks: of many tries at once, five are looked at.
COUNT_TRY = """
update sign_in_codes set tries = tries + 1
where id in (
    select id from sign_in_codes
    where contact = $1 and ended_at is null and expires_at > $2 and tries < 5 order by id for update
)
returning id, salt, code_hash
"""
GIVE_BACK = "update sign_in_codes set tries = tries - 1 where id = any($1::bigint[]) and tries > 0"


class Enter(Ask):
    """A contact that is proved, and as whom to sign in."""

    contact: str = Field(repr=False)
    code_id: Id
    asked: VerifyCode


async def enter(tx: Tx, actor: Actor, ask: Enter) -> Opened:
    """Open a session by a code that proved right, which ends with every other of its contact."""
    if await tx.conn.fetchval(HOLD_CODE, ask.code_id) is None:
        raise errors.WrongSignInCode()
    found = await tx.conn.fetch(BY_EMAIL if "@" in ask.contact else BY_PHONE, ask.contact)
    if ask.asked.register_as is not None:
        patient_id = await _register(tx, ask.contact, ask.asked.register_as, {one["id"] for one in found})
    else:
        patient_id = await _chosen(tx, found, ask.asked.patient_id)
    await tx.conn.execute(END_CODES, ask.contact, tx.now)
    user_id = await _account(tx, patient_id)
    signed_in = await access.sign_in_proved(tx.conn, user_id, ask.asked.factor, tx.secret_key)
    person = signed_in.actor
    tx.institution_id = person.institution_id
    tx.about(f"user:{user_id}", {}, {"signed_in": True}, patient=patient_id)
    return Opened(token=signed_in.token, csrf=person.csrf, user=session_user(person, signed_in.email))


HOLD_CODE = "select id from sign_in_codes where id = $1 and ended_at is null for update"
END_CODES = "update sign_in_codes set ended_at = $2 where contact = $1 and ended_at is null"
CANDIDATES = """
select p.id, p.name, p.birth_year, i.name as institution
from patients p join institutions i on i.id = p.institution_id left join users u on u.patient_id = p.id
where p.merged_into is null and coalesce(u.active, true)
"""
BY_EMAIL = f"{CANDIDATES} and lower(p.email) = $1 order by i.name, p.name, p.id"
BY_PHONE = f"""
{CANDIDATES} and p.phone = $1 and p.institution_id in (select id from institutions) order by i.name, p.name, p.id
"""  # noqa: S608 (a constant)


async def _chosen(tx: Tx, found: list[Any], wanted: int | None) -> int:
    """Whom a contact's owner signs in as. Raises `UnknownContact`, `ChoosePatient`, `NotFound`."""
    if wanted is not None:
        if wanted not in {one["id"] for one in found}:
            raise errors.NotFound("There is no such patient with this contact.")
        return wanted
    if not found:
        raise errors.UnknownContact(registration=bool(await _open_institutions(tx.conn)))
    if len(found) > 1:
        raise errors.ChoosePatient(patients=_choices(found))
    return int(found[0]["id"])


def _choices(found: list[Any]) -> list[dict[str, Any]]:
    """As little of each as tells them apart: the first name and the institution, of namesakes the year of birth."""
    first = [(one["name"].split()[0], one["institution"]) for one in found]
    return [
        {
            "id": one["id"],
            "first_name": name,
            "institution": institution,
            "birth_year": one["birth_year"] if first.count((name, institution)) > 1 else None,
        }
        for one, (name, institution) in zip(found, first, strict=True)
    ]


async def _account(tx: Tx, patient_id: int) -> int:
    """The patient's account; the first sign-in makes it."""
    row = await tx.conn.fetchrow(HOLD_PATIENT, patient_id)
    assert row is not None
    return int(row["user_id"] or await tx.conn.fetchval(ADD_ACCOUNT, row["institution_id"], row["name"], patient_id))


HOLD_PATIENT = """
select p.institution_id, p.name, (select u.id from users u where u.patient_id = p.id) as user_id
from patients p where p.id = $1 for update of p
"""
ADD_ACCOUNT = """
insert into users (institution_id, name, role, patient_id) values ($1, $2, 'patient', $3)
on conflict (patient_id) do update set name = users.name returning id
"""


# Registering by oneself


async def _register(tx: Tx, contact: str, asked: Registration, mine: set[int]) -> int:
    """Register whoever proved this contact. Raises `RegistrationClosed`, `KnownOtherwise`.

    `mine` are the patients who have the contact: a parent may register another child by the same telephone.
    """
    if asked.institution_id not in {one["id"] for one in await _open_institutions(tx.conn)}:
        raise errors.RegistrationClosed()
    channel = {"email": contact} if "@" in contact else {"phone": contact}
    new = {"institution_id": asked.institution_id, "name": asked.name, "birth_date": asked.birth_date, **channel}
    try:
        registered = await records.register(tx, access.SYSTEM, records.RegisterPatient.model_validate(new))
    except errors.PossibleDuplicate as alike:
        others = [one for one in alike.extra["candidates"] if one["id"] not in mine or one["match"] != "phone"]
        if others:
            # Whom it is like, only the desk may see.
            raise errors.KnownOtherwise() from None
        sure = records.RegisterPatient.model_validate({**new, "confirm_new": True})
        registered = await records.register(tx, access.SYSTEM, sure)
    return registered.patient.id


class OpenInstitutions(Ask):
    """Nothing to say."""


class OpenInstitution(Reply):
    """An institution at which one may register by oneself."""

    id: int
    name: str


class Registrable(Reply):
    """All of them, by name."""

    items: list[OpenInstitution]


async def open_institutions(view: Read, actor: Actor, ask: OpenInstitutions) -> Registrable:
    """The institutions at which people may register by themselves."""
    return Registrable(items=[OpenInstitution(**one) for one in await _open_institutions(view.conn)])


async def _open_institutions(conn: Connection) -> list[dict[str, Any]]:
    rows = await conn.fetch(INSTITUTIONS)
    return [
        {"id": row["id"], "name": row["name"]}
        for row in rows
        if effective_booking(orjson.loads(row["booking"])).self_registration
    ]


INSTITUTIONS = "select id, name, booking from institutions order by name, id"

ENTER: Command[Enter, Opened] = Command(
    "enter-by-code", enter, Enter, Opened, ANYBODY, "POST /session/code/enter", once=True
)
"""Not an address of its own: `verify-code` alone proves the code first."""
COMMANDS: list[Command[Any, Any]] = [
    Command("ask-code", ask_code, AskCode, CodeAsked, ANYBODY, "POST /session/code", status=202),
    Action.of("verify-code", verify_code, VerifyCode, Opened, ANYBODY, "POST /session/code/verify", status=201),
]
QUERIES: list[Query[Any, Any]] = [
    Query("open-institutions", open_institutions, OpenInstitutions, Registrable, ANYBODY, "GET /institutions/open"),
]
