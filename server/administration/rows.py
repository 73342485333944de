"""What an institution's admins see of it, and the lock under which it is changed.

Invariants: every command of this slice holds its institution's row (`hold`) before it takes a gate, so two admins
change one institution one after the other, and no queue appears while settings above it change; a row that is told is
read after it is written, by the very statement that reads the stream afresh.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any, TypeVar

import orjson

from server import catalog, devices, errors, events
from server.access import Actor
from server.events import (
    AdminDesk,
    AdminDoctor,
    AdminInstitution,
    AdminLocation,
    AdminQueue,
    AdminRow,
    AdminSpecialty,
    AdminUser,
    AdminVisitType,
    Event,
)
from server.store import Connection, Tx

Row = TypeVar("Row", bound=AdminRow)


async def hold(tx: Tx, actor: Actor, institution_id: int | None, missing: str = "There is no such institution.") -> int:
    """Keep every other administrator of the institution out until the command is over; answers its id.

    Raises `NotFound`, in the words of what is `missing`, for another institution's as well.
    """
    if institution_id is None or not actor.within(institution_id):
        raise errors.NotFound(missing)
    if not await catalog.hold_institution(tx.conn, institution_id):
        raise errors.NotFound(missing)
    tx.institution_id = institution_id
    return institution_id


async def access_row(
    tx: Tx,
    actor: Actor,
    id_: int,
    institution_of: str,
    rows: Callable[[Connection, int, int], Awaitable[list[Row]]],
    missing: str,
) -> tuple[int, Row]:
    """Hold the institution of something that the asker administers, by the statement that finds it; answers both.

    The row is read under the hold: another admin may have retired it while this one waited. Raises `NotFound`, in the
    words of what is `missing`.
    """
    held = await hold(tx, actor, await tx.conn.fetchval(institution_of, id_), missing)
    found = await rows(tx.conn, held, id_)
    if not found:
        raise errors.NotFound(missing)
    return held, found[0]


async def tell(tx: Tx, institution_id: int, event: Event, put: Sequence[AdminRow], drop: Sequence[str] = ()) -> None:
    """Tell the institution's admins."""
    tx.append(events.admin(institution_id), event, put=put, drop=drop)


def audit(tx: Tx, before: AdminRow | None, after: AdminRow | None) -> None:
    """Put on the audit trail how one of the admins' rows changed."""
    row = after or before
    if row is not None:
        tx.about(
            row.key,
            before.model_dump(mode="json") if before else None,
            after.model_dump(mode="json") if after else None,
        )


async def institution_row(conn: Connection, institution_id: int) -> AdminInstitution | None:
    """The institution as its admins see it."""
    row = await conn.fetchrow(INSTITUTION, institution_id)
    return AdminInstitution(**dict(row)) if row else None


INSTITUTION = """
select id as institution, name, zone, languages, require_totp, country, currency from institutions where id = $1
"""


async def location_rows(conn: Connection, institution_id: int, one: int | None = None) -> list[AdminLocation]:
    """The institution's locations, or one of them, with the desks in use."""
    return [
        AdminLocation(
            location=row["id"],
            name=row["name"],
            zone=row["zone"],
            telephone=row["phone"],
            desks=[AdminDesk(**desk) for desk in orjson.loads(row["desks"])],
        )
        for row in await conn.fetch(LOCATIONS, institution_id, one)
    ]


LOCATIONS = """
select l.id, l.name, l.zone, l.phone, (
    select coalesce(json_agg(json_build_object('desk', d.id, 'name', d.name) order by d.id), '[]')
    from desks d where d.location_id = l.id and d.retired_at is null
) as desks
from locations l
where l.institution_id = $1 and ($2::bigint is null or l.id = $2) and l.retired_at is null order by l.id
"""


async def queue_rows(conn: Connection, institution_id: int, one: int | None = None) -> list[AdminQueue]:
    """The institution's queues, or one of them; none that is closed for good."""
    return [AdminQueue(**dict(row)) for row in await conn.fetch(QUEUES, institution_id, one)]


QUEUES = """
select q.id as queue, q.location_id as location, q.name, q.department, q.doctor_id as owner,
    array(select s.doctor_id from queue_doctors s where s.queue_id = q.id order by s.doctor_id) as doctors
from queues q where q.institution_id = $1 and ($2::bigint is null or q.id = $2) and q.retired_at is null order by q.id
"""


async def specialty_rows(conn: Connection, institution_id: int, one: int | None = None) -> list[AdminSpecialty]:
    """The specialties that the institution offers, or one of them."""
    return [AdminSpecialty(**dict(row)) for row in await conn.fetch(SPECIALTIES, institution_id, one)]


SPECIALTIES = """
select id as specialty, name from specialties
where institution_id = $1 and ($2::bigint is null or id = $2) and retired_at is null order by id
"""


async def visit_type_rows(conn: Connection, institution_id: int, one: int | None = None) -> list[AdminVisitType]:
    """What visits to the institution can be for, or one of it."""
    return [AdminVisitType(**dict(row)) for row in await conn.fetch(VISIT_TYPES, institution_id, one)]


VISIT_TYPES = """
select id as visit_type, name, minutes, fee::text, colour, mode from visit_types
where institution_id = $1 and ($2::bigint is null or id = $2) and retired_at is null order by id
"""


async def doctor_rows(
    conn: Connection, institution_id: int, one: int | None = None, after: int = 0, most: int | None = None
) -> list[AdminDoctor]:
    """The institution's doctors, or one of them, or at most so many after an id."""
    return [
        AdminDoctor(**{**dict(row), "photo": photo_address(row["doctor"], row["photo"])})
        for row in await conn.fetch(DOCTORS, institution_id, one, after, most)
    ]


DOCTORS = """
select d.id as doctor, d.name, d.specialty_id as specialty, d.licence, d.fee::text, d.languages, d.active,
    (select p.taken_at from doctor_photos p where p.doctor_id = d.id) as photo,
    array(
        select w.location_id from doctor_locations w join locations l on l.id = w.location_id and l.retired_at is null
        where w.doctor_id = d.id order by w.location_id
    ) as locations,
    array(select v.visit_type_id from doctor_visit_types v where v.doctor_id = d.id order by v.visit_type_id)
        as visit_types
from doctors d where d.institution_id = $1 and ($2::bigint is null or d.id = $2) and d.id > $3 order by d.id limit $4
"""


def photo_address(doctor_id: int, taken_at: datetime | None) -> str | None:
    """Where a doctor's photo is; another photo has another address."""
    return f"/api/v1/doctors/{doctor_id}/photo?of={int(taken_at.timestamp() * 1000)}" if taken_at else None


async def user_rows(
    conn: Connection, institution_id: int, one: int | None = None, after: int = 0, most: int | None = None
) -> list[AdminUser]:
    """Everybody who works at the institution and signs in, or one of them, or at most so many after an id."""
    return [AdminUser(**dict(row)) for row in await conn.fetch(USERS, institution_id, one, after, most)]


USERS = """
select u.id as user, u.name, u.email, u.role, u.doctor_id as doctor,
    case when not u.active then 'inactive' when u.password_hash is null then 'invited' else 'active' end as state,
    array(select l.location_id from user_locations l where l.user_id = u.id order by l.location_id) as locations,
    exists (select from second_factors f where f.user_id = u.id and f.confirmed_at is not null) as second_factor
from users u
where u.institution_id = $1 and u.role <> 'patient' and ($2::bigint is null or u.id = $2) and u.id > $3
order by u.id limit $4
"""


async def admin_rows(conn: Connection, institution_id: int) -> list[Any]:
    """The rows of an institution's admin stream, from PostgreSQL alone."""
    institution = await institution_row(conn, institution_id)
    if institution is None:
        return []
    return [
        institution,
        *await location_rows(conn, institution_id),
        *await queue_rows(conn, institution_id),
        *await specialty_rows(conn, institution_id),
        *await visit_type_rows(conn, institution_id),
        *await doctor_rows(conn, institution_id),
        *await user_rows(conn, institution_id),
        *await devices.admin_rows(conn, institution_id),
    ]
