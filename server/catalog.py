"""Institutions, locations, desks, specialties, visit types, doctors and users: who and what a clinic is made of.

Invariant: nothing here straddles two institutions; the schema's composite keys hold it. What is stored here is asked
for by `administration`; these functions serve it, the command line, the demo clinic and the slices that follow.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Annotated
from zoneinfo import ZoneInfo, available_timezones

from pydantic import StringConstraints

from server import access, errors, events, passwords
from server.access import Role
from server.store import OPEN_STREAMS, Connection

Name = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")
]
Label = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=60, pattern=r"^[^\x00-\x1f\x7f]+$")
]


Email = Annotated[
    str,
    StringConstraints(strip_whitespace=True, to_lower=True, max_length=254, pattern=r"^[^@\s\x00-\x1f]+@[^@\s]+$"),
]
Language = Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}(-[A-Z][A-Za-z0-9]{1,3})?$")]
Fee = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,8}(\.[0-9]{1,2})?$")]
"""An amount in the institution's currency, as decimals."""


async def add_institution(conn: Connection, name: str, zone: str = "UTC", languages: tuple[str, ...] = ("en",)) -> int:
    """A new tenant. Raises `InvalidRequest` for a zone nobody knows."""
    if zone not in available_timezones():
        place = {"pointer": "/zone", "detail": "There is no time zone of that name.", "code": "no-such-zone"}
        raise errors.InvalidRequest(f"There is no time zone called {zone}.", errors=[place])
    return int(await conn.fetchval(ADD_INSTITUTION, name, ZoneInfo(zone).key, list(languages)))


ADD_INSTITUTION = "insert into institutions (name, zone, languages) values ($1, $2, $3) returning id"


async def hold_institution(conn: Connection, institution_id: int) -> bool:
    """Have whoever else holds the institution wait until the transaction ends; answers whether it is there."""
    return bool(await conn.fetchval(HOLD_INSTITUTION, institution_id))


# Whoever only refers to the institution is let in: patients join and are called meanwhile.
HOLD_INSTITUTION = "select true from institutions where id = $1 for no key update"


async def change_institution(
    conn: Connection,
    institution_id: int,
    *,
    name: str | None,
    zone: str | None,
    languages: Sequence[str] | None,
    require_totp: bool | None,
    country: str | None,
    currency: str | None,
) -> None:
    """Change what is given of an institution; its country is always given, and None where phones tell their own."""
    await conn.execute(CHANGE_INSTITUTION, institution_id, name, zone, languages, require_totp, country, currency)


CHANGE_INSTITUTION = """
update institutions set name = coalesce($2, name), zone = coalesce($3, zone), languages = coalesce($4, languages),
    require_totp = coalesce($5, require_totp), country = $6, currency = coalesce($7, currency)
where id = $1
"""


async def set_institution_settings(conn: Connection, institution_id: int, settings: str) -> None:
    """Store what is set at the institution itself, as JSON."""
    await conn.execute(SET_INSTITUTION_SETTINGS, institution_id, settings)


SET_INSTITUTION_SETTINGS = "update institutions set settings = $2 where id = $1"


async def set_institution_booking(conn: Connection, institution_id: int, booking: str) -> None:
    """Store what is set at the institution for booking, as JSON."""
    await conn.execute(SET_INSTITUTION_BOOKING, institution_id, booking)


SET_INSTITUTION_BOOKING = "update institutions set booking = $2 where id = $1"


async def set_retention(conn: Connection, institution_id: int, retention: str) -> None:
    """Set after how many days what is known of an institution's patients is forgotten, as JSON."""
    await conn.execute(SET_RETENTION, institution_id, retention)


SET_RETENTION = "update institutions set retention = $2 where id = $1"


async def add_location(conn: Connection, institution_id: int, name: str, zone: str | None = None) -> int:
    """A new branch or waiting room."""
    return int(await conn.fetchval(ADD_LOCATION, institution_id, name, zone))


ADD_LOCATION = "insert into locations (institution_id, name, zone) values ($1, $2, $3) returning id"


async def change_location(
    conn: Connection, location_id: int, *, name: str | None, zone: str | None, phone: str | None
) -> None:
    """Rename a location, where a name is given, set its zone, None being its institution's, and its telephone."""
    await conn.execute(CHANGE_LOCATION, location_id, name, zone, phone)


CHANGE_LOCATION = "update locations set name = coalesce($2, name), zone = $3, phone = $4 where id = $1"


async def retire_location(conn: Connection, location_id: int, at: datetime) -> None:
    """Close a location for good, with every desk there; nobody works there any more."""
    await conn.execute(RETIRE_LOCATION, location_id, at)
    await conn.execute(RETIRE_DESKS, location_id, at)


RETIRE_LOCATION = "update locations set retired_at = $2 where id = $1"
RETIRE_DESKS = "update desks set retired_at = $2 where location_id = $1 and retired_at is null"


async def set_location_settings(conn: Connection, location_id: int, settings: str) -> None:
    """Store what is set at the location itself, as JSON."""
    await conn.execute(SET_LOCATION_SETTINGS, location_id, settings)


SET_LOCATION_SETTINGS = "update locations set settings = $2 where id = $1"


async def add_desk(conn: Connection, location_id: int, name: str) -> int:
    """A new room or counter."""
    return int(await conn.fetchval(ADD_DESK, location_id, name))


ADD_DESK = "insert into desks (location_id, name) values ($1, $2) returning id"


async def change_desk(conn: Connection, desk_id: int, *, name: str | None, retired_at: datetime | None) -> None:
    """Rename a desk, where a name is given, or take it down for good."""
    await conn.execute(CHANGE_DESK, desk_id, name, retired_at)


CHANGE_DESK = "update desks set name = coalesce($2, name), retired_at = $3 where id = $1"


async def add_doctor(conn: Connection, institution_id: int, name: str) -> int:
    """A new doctor, with the streams of their appointments and their bookable time."""
    doctor_id = int(await conn.fetchval(ADD_DOCTOR, institution_id, name))
    await conn.execute(OPEN_STREAMS, [events.doctor(doctor_id).name, events.slots(doctor_id).name])
    return doctor_id


ADD_DOCTOR = "insert into doctors (institution_id, name) values ($1, $2) returning id"


@dataclass(frozen=True, slots=True)
class Practice:
    """Everything that is stored of a doctor but places and photo; without visit types they take them all."""

    name: str
    specialty: int | None = None
    licence: str | None = None
    fee: str | None = None
    languages: Sequence[str] = ()
    active: bool = True


async def change_doctor(conn: Connection, doctor_id: int, practice: Practice) -> None:
    """Let a doctor be as given."""
    await conn.execute(
        CHANGE_DOCTOR,
        doctor_id,
        practice.name,
        practice.specialty,
        practice.licence,
        _amount(practice.fee),
        list(practice.languages),
        practice.active,
    )


CHANGE_DOCTOR = """
update doctors set name = $2, specialty_id = $3, licence = $4, fee = $5, languages = $6, active = $7 where id = $1
"""


async def place_doctor(conn: Connection, institution_id: int, doctor_id: int, locations: Sequence[int]) -> None:
    """Let a doctor work at these locations of the institution, and at no others."""
    await conn.execute(DOCTOR_LEAVES, doctor_id)
    await conn.execute(DOCTOR_WORKS_AT, doctor_id, institution_id, sorted(set(locations)))


DOCTOR_LEAVES = "delete from doctor_locations where doctor_id = $1"
DOCTOR_WORKS_AT = """
insert into doctor_locations (doctor_id, institution_id, location_id) select $1, $2, unnest($3::bigint[])
"""


async def limit_doctor(conn: Connection, institution_id: int, doctor_id: int, visit_types: Sequence[int]) -> None:
    """Let a doctor take these visit types of the institution; none given, all of them."""
    await conn.execute(DOCTOR_TAKES_ALL, doctor_id)
    await conn.execute(DOCTOR_TAKES, doctor_id, institution_id, sorted(set(visit_types)))


DOCTOR_TAKES_ALL = "delete from doctor_visit_types where doctor_id = $1"
DOCTOR_TAKES = """
insert into doctor_visit_types (doctor_id, institution_id, visit_type_id) select $1, $2, unnest($3::bigint[])
"""


async def set_doctor_booking(conn: Connection, doctor_id: int, booking: str) -> None:
    """Store what is set for booking this doctor alone, as JSON."""
    await conn.execute(SET_DOCTOR_BOOKING, doctor_id, booking)


SET_DOCTOR_BOOKING = "update doctors set booking = $2 where id = $1"


async def set_photo(conn: Connection, doctor_id: int, photo: tuple[str, bytes] | None, now: datetime) -> None:
    """Show a doctor by this photo (its media type and content), or by none."""
    if photo is None:
        await conn.execute(REMOVE_PHOTO, doctor_id)
    else:
        await conn.execute(SET_PHOTO, doctor_id, *photo, now)


REMOVE_PHOTO = "delete from doctor_photos where doctor_id = $1"
SET_PHOTO = """
insert into doctor_photos (doctor_id, kind, content, taken_at) values ($1, $2, $3, $4)
on conflict (doctor_id) do update
set kind = excluded.kind, content = excluded.content, taken_at = excluded.taken_at
"""


# Specialties and visit types


async def add_specialty(conn: Connection, institution_id: int, name: str) -> int:
    """A new specialty that the institution offers."""
    return int(await conn.fetchval(ADD_SPECIALTY, institution_id, name))


ADD_SPECIALTY = "insert into specialties (institution_id, name) values ($1, $2) returning id"


async def change_specialty(conn: Connection, specialty_id: int, *, name: str, retired_at: datetime | None) -> None:
    """Rename a specialty, or offer it no more."""
    await conn.execute(CHANGE_SPECIALTY, specialty_id, name, retired_at)


CHANGE_SPECIALTY = "update specialties set name = $2, retired_at = $3 where id = $1"


@dataclass(frozen=True, slots=True)
class Visits:
    """A visit type as it is stored; without a fee the doctor's own holds."""

    name: str
    minutes: int
    fee: str | None
    colour: str
    mode: str


async def add_visit_type(conn: Connection, institution_id: int, new: Visits) -> int:
    """A new visit type of the institution."""
    return int(
        await conn.fetchval(
            ADD_VISIT_TYPE, institution_id, new.name, new.minutes, _amount(new.fee), new.colour, new.mode
        )
    )


def _amount(fee: str | None) -> Decimal | None:
    return Decimal(fee) if fee is not None else None


ADD_VISIT_TYPE = """
insert into visit_types (institution_id, name, minutes, fee, colour, mode) values ($1, $2, $3, $4, $5, $6) returning id
"""


async def change_visit_type(conn: Connection, visit_type_id: int, given: Visits) -> None:
    """Let a visit type be as given."""
    await conn.execute(
        CHANGE_VISIT_TYPE, visit_type_id, given.name, given.minutes, _amount(given.fee), given.colour, given.mode
    )


CHANGE_VISIT_TYPE = "update visit_types set name = $2, minutes = $3, fee = $4, colour = $5, mode = $6 where id = $1"


async def retire_visit_type(conn: Connection, visit_type_id: int, now: datetime) -> None:
    """Offer a visit type no more, with any doctor; what was booked as one keeps its name."""
    await conn.execute(FORGET_VISIT_TYPE, visit_type_id)
    await conn.execute(RETIRE_VISIT_TYPE, visit_type_id, now)


FORGET_VISIT_TYPE = "delete from doctor_visit_types where visit_type_id = $1"
RETIRE_VISIT_TYPE = "update visit_types set retired_at = $2 where id = $1"


# People who sign in


async def add_user(
    conn: Connection,
    *,
    institution_id: int | None,
    email: str,
    name: str,
    role: Role,
    password: str,
    doctor_id: int | None = None,
    patient_id: int | None = None,
    demo: bool = False,
) -> int:
    """A new account; demo accounts exist only in a database that `callboard up` made. Raises `NameTaken`."""
    hashed = await passwords.hash_password(password)
    if await conn.fetchval(EMAIL_TAKEN, email.strip().lower()):
        raise errors.NameTaken()
    return int(
        await conn.fetchval(
            ADD_USER, institution_id, email.strip().lower(), name, role, hashed, doctor_id, patient_id, demo
        )
    )


EMAIL_TAKEN = "select true from users where email = $1"
ADD_USER = """
insert into users (institution_id, email, name, role, password_hash, doctor_id, patient_id, demo)
values ($1, $2, $3, $4, $5, $6, $7, $8) returning id
"""


async def merge_accounts(conn: Connection, gone: int, into: int) -> list[str]:
    """Let one patient's account and sessions be another's; answers the keys of accounts whose rights have changed.

    Where both have one, the one that stays gets the other's address and password if it has none of its own.
    """
    users = {row["patient_id"]: row["id"] for row in await conn.fetch(ACCOUNTS_OF_PATIENTS, [gone, into])}
    if gone not in users:
        return []
    if into not in users:
        await conn.execute(BECOME_ACCOUNT_OF, users[gone], into)
        return [f"user:{users[gone]}"]
    left = await conn.fetchrow(LEAVE_ACCOUNT, users[gone])
    assert left is not None
    await conn.execute(TAKE_ACCOUNT_OVER, users[into], left["email"], left["password_hash"])
    await access.hand_sessions_over(conn, users[gone], users[into])
    return [f"user:{users[gone]}"]


ACCOUNTS_OF_PATIENTS = "select id, patient_id from users where patient_id = any($1::bigint[]) for update"
BECOME_ACCOUNT_OF = "update users set patient_id = $2 where id = $1"
LEAVE_ACCOUNT = """
with before as (select id, email, password_hash from users where id = $1)
update users u set email = null, password_hash = null, active = false from before
where u.id = before.id returning before.email, before.password_hash
"""
TAKE_ACCOUNT_OVER = """
update users set email = $2, password_hash = $3 where id = $1 and email is null and $2::text is not null
"""


async def close_accounts(conn: Connection, patients: Sequence[int]) -> list[str]:
    """Let nobody sign in as these patients any more, under no address; answers the keys of their accounts."""
    return [f"user:{row['id']}" for row in await conn.fetch(CLOSE_ACCOUNTS, list(patients))]


CLOSE_ACCOUNTS = """
update users u set email = null, password_hash = null, active = false, name = p.number
from patients p where p.id = u.patient_id and u.patient_id = any($1::bigint[])
returning u.id
"""


async def add_invited(
    conn: Connection, *, institution_id: int, email: str, name: str, role: str, doctor_id: int | None
) -> int:
    """A new account without a password, which nobody can sign in to yet. Raises `NameTaken`."""
    if await conn.fetchval(EMAIL_TAKEN, email):
        raise errors.NameTaken()
    return int(await conn.fetchval(ADD_USER, institution_id, email, name, role, None, doctor_id, None, False))


async def change_user(conn: Connection, user_id: int, *, name: str, role: str, doctor_id: int | None) -> None:
    """Give an account this name and role; `doctor_id` goes with the role of a doctor."""
    await conn.execute(CHANGE_USER, user_id, name, role, doctor_id)


CHANGE_USER = "update users set name = $2, role = $3, doctor_id = $4 where id = $1"


async def set_password(conn: Connection, user_id: int, hashed: str | None) -> None:
    """Let an account be opened by this password from here on; by none where None is given."""
    await conn.execute(SET_PASSWORD, user_id, hashed)


SET_PASSWORD = "update users set password_hash = $2 where id = $1"


async def set_active(conn: Connection, user_id: int, *, active: bool) -> None:
    """Let an account be used, or not."""
    await conn.execute(SET_ACTIVE, user_id, active)


SET_ACTIVE = "update users set active = $2 where id = $1"
