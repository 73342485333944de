"""What an operator does from the command line: add somebody who signs in, let a screen in or shut one out.

Invariant: it goes through the same commands as the API where there is one, as the actor `system`.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import asyncpg
from pydantic import BaseModel, ConfigDict, Field

from server import audit, catalog, devices, errors, passwords, patients, publish, store
from server.access import PEOPLE, SYSTEM, Role
from server.app import ROWS
from server.asks import validate
from server.catalog import Email, Name
from server.config import Config
from server.publish import Publisher
from server.store import Connection, Store


class NewUser(BaseModel):
    """Somebody who is to sign in."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    email: Email
    role: Role
    name: Name
    institution: Name | None
    zone: str = "UTC"
    password: str = Field(min_length=passwords.SHORTEST, max_length=passwords.LONGEST, repr=False)


@asynccontextmanager
async def opened(config: Config) -> AsyncIterator[Store]:
    """A store whose commands are published, for the length of one command line."""
    async with AsyncExitStack() as stack:
        pool = await store.connect(config.database_url, 2)
        stack.push_async_callback(pool.close)
        client = publish.connect(config.redis_url)
        stack.push_async_callback(client.aclose)
        publisher = await stack.enter_async_context(Publisher(pool, client, ROWS).running())
        yield Store(pool, publisher, base_url=config.base_url, secret_key=config.secret_key)


async def add_user(database_url: str, new: NewUser) -> str:
    """Add an account, and the institution, doctor or patient that it needs; answers what was done.

    Raises `WeakPassword`, `InvalidRequest` where the role and the institution do not go together, `NotFound`,
    `NameTaken`.
    """
    passwords.check(new.password, new.name, new.email, new.institution)
    conn: Connection = await asyncpg.connect(database_url)
    try:
        async with conn.transaction():
            institution_id, made = await _institution(conn, new)
            doctor_id = patient_id = None
            if institution_id is not None and new.role is Role.doctor:
                doctor_id = await conn.fetchval(DOCTOR_WITHOUT_ACCOUNT, institution_id, new.name)
                doctor_id = doctor_id or await catalog.add_doctor(conn, institution_id, new.name)
            if institution_id is not None and new.role is Role.patient:
                patient_id = (await patients.add_patient(conn, institution_id, patients.NewPatient(name=new.name))).id
            user_id = await catalog.add_user(
                conn,
                institution_id=institution_id,
                email=new.email,
                name=new.name,
                role=new.role,
                password=new.password,
                doctor_id=doctor_id,
                patient_id=patient_id,
            )
    except asyncpg.UniqueViolationError as taken:
        # Somebody else added the same just now.
        raise errors.CONSTRAINTS.get(taken.constraint_name or "", errors.NameTaken)() from taken
    finally:
        await conn.close()
    return f"{new.email} can sign in as {new.role.replace('_', ' ')} (user {user_id}).{made}"


DOCTOR_WITHOUT_ACCOUNT = """
select d.id from doctors d
where d.institution_id = $1 and d.name = $2 and not exists (select from users u where u.doctor_id = d.id)
order by d.id limit 1
"""


async def _institution(conn: Connection, new: NewUser) -> tuple[int | None, str]:
    """The institution that the account belongs to, and a sentence where it had to be made."""
    if new.role not in PEOPLE:
        raise errors.InvalidRequest(f"The role must be one of {', '.join(sorted(PEOPLE))}.")
    if (new.role is Role.super_admin) == bool(new.institution):
        raise errors.InvalidRequest("Every role but super_admin belongs to an institution; name it with --institution.")
    if not new.institution:
        return None, ""
    found = await conn.fetchval(INSTITUTION, new.institution)
    if found is not None:
        return int(found), ""
    if new.institution.isdigit():
        raise errors.NotFound(f"There is no institution {new.institution}.")
    id_ = await catalog.add_institution(conn, new.institution, new.zone)
    return id_, f" The institution {new.institution} was made (id {id_}, time zone {new.zone})."


INSTITUTION = "select id from institutions where id::text = $1 or name = $1 order by (id::text = $1) desc limit 1"


async def enroll_device(config: Config, *, code: str, location_id: int, name: str, kind: str = "board") -> str:
    """Enrol the screen that shows this code. Raises `PairingUnknown`, `NotFound`, `InvalidRequest`."""
    ask = validate(devices.EnrollDevice, {"code": code, "location_id": location_id, "name": name, "kind": kind})
    command = next(one for one in devices.COMMANDS if one.name == "enroll-device")
    async with opened(config) as things:
        enrolled = await things.execute(command, SYSTEM, ask)
    return f"{enrolled.name} is device {enrolled.device_id} of location {enrolled.location_id}."


async def revoke_device(config: Config, *, device_id: int) -> str:
    """Shut a device out. Raises `NotFound`."""
    ask = validate(devices.RevokeDevice, {"device_id": device_id})
    command = next(one for one in devices.COMMANDS if one.name == "revoke-device")
    async with opened(config) as things:
        revoked = await things.execute(command, SYSTEM, ask)
    return f"Device {revoked.device_id} opens nothing since {revoked.revoked_at:%Y-%m-%d %H:%M} UTC."


async def verify_audit(database_url: str) -> tuple[list[str], dict[str, str]]:
    """Where the audit trail was tampered with, and each chain's newest hash."""
    conn: Connection = await asyncpg.connect(database_url)
    try:
        return [found async for found in audit.verify(conn)], await audit.heads(conn)
    finally:
        await conn.close()


async def list_devices(database_url: str) -> str:
    """Every device, a line each."""
    conn: Connection = await asyncpg.connect(database_url)
    try:
        rows = await devices.rows(conn, None, every=True)
    finally:
        await conn.close()
    return (
        "\n".join(
            f"{row.device}\t{row.device_kind}\tlocation {row.location}\t{row.name}\t"
            + (f"revoked {row.revoked_at:%Y-%m-%d %H:%M}" if row.revoked_at else "enrolled")
            for row in rows
        )
        or "No device is enrolled."
    )
