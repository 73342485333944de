"""Institutions, locations, desks, doctors and users: who and what a clinic is made of.

Invariant: nothing here straddles two institutions; the schema's composite keys hold it. Administration has no edge of
its own yet: these functions serve the command line, the demo clinic and the slices that follow.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated
from zoneinfo import ZoneInfo, available_timezones

from pydantic import StringConstraints

from server import errors, events, passwords
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


async def add_institution(conn: Connection, name: str, zone: str = "UTC", languages: tuple[str, ...] = ("en",)) -> int:
    """A new tenant. Raises `InvalidRequest` for a zone nobody knows."""
    if zone not in available_timezones():
        raise errors.InvalidRequest(f"There is no time zone called {zone}.")
    return int(await conn.fetchval(ADD_INSTITUTION, name, ZoneInfo(zone).key, list(languages)))


ADD_INSTITUTION = "insert into institutions (name, zone, languages) values ($1, $2, $3) returning id"


async def change_institution(
    conn: Connection,
    institution_id: int,
    *,
    name: str | None,
    zone: str | None,
    languages: Sequence[str] | None,
    require_totp: bool | None,
) -> None:
    """Change what is given of an institution."""
    await conn.execute(CHANGE_INSTITUTION, institution_id, name, zone, languages, require_totp)


CHANGE_INSTITUTION = """
update institutions set name = coalesce($2, name), zone = coalesce($3, zone), languages = coalesce($4, languages),
    require_totp = coalesce($5, require_totp)
where id = $1
"""


async def set_institution_settings(conn: Connection, institution_id: int, settings: str) -> None:
    """Store what is set at the institution itself, as JSON."""
    await conn.execute(SET_INSTITUTION_SETTINGS, institution_id, settings)


SET_INSTITUTION_SETTINGS = "update institutions set settings = $2 where id = $1"


async def add_location(conn: Connection, institution_id: int, name: str, zone: str | None = None) -> int:
    """A new branch or waiting room."""
    return int(await conn.fetchval(ADD_LOCATION, institution_id, name, zone))


ADD_LOCATION = "insert into locations (institution_id, name, zone) values ($1, $2, $3) returning id"


async def change_location(conn: Connection, location_id: int, *, name: str | None, zone: str | None) -> None:
    """Rename a location, where a name is given, and set its zone; None is its institution's."""
    await conn.execute(CHANGE_LOCATION, location_id, name, zone)


CHANGE_LOCATION = "update locations set name = coalesce($2, name), zone = $3 where id = $1"


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


async def change_doctor(conn: Connection, doctor_id: int, *, name: str) -> None:
    """Rename a doctor."""
    await conn.execute(CHANGE_DOCTOR, doctor_id, name)


CHANGE_DOCTOR = "update doctors set name = $2 where id = $1"


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
