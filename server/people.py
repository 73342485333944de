"""What an operator does from the command line: add somebody who signs in, let a screen in or shut one out.

Invariant: it goes through the same commands as the API where there is one, as the actor `system`.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import asyncpg

from server import catalog, devices, errors, publish, store
from server.access import SYSTEM, Role
from server.app import ROWS
from server.asks import validate
from server.config import Config
from server.publish import Publisher
from server.store import Connection, Store

ROLES = (Role.patient, Role.doctor, Role.receptionist, Role.admin, Role.super_admin)
SHORTEST_PASSWORD = 10


@asynccontextmanager
async def opened(config: Config) -> AsyncIterator[Store]:
    """A store whose commands are published, for the length of one command line."""
    async with AsyncExitStack() as stack:
        pool = await store.connect(config.database_url, 2)
        stack.push_async_callback(pool.close)
        client = publish.connect(config.redis_url)
        stack.push_async_callback(client.aclose)
        publisher = await stack.enter_async_context(Publisher(pool, client, ROWS).running())
        yield Store(pool, publisher, base_url=config.base_url)


async def add_user(
    database_url: str, *, email: str, role: str, name: str, institution: str | None, zone: str, password: str
) -> str:
    """Add an account, and the institution, doctor or patient that it needs; answers what was done.

    Raises `InvalidRequest` for an unknown role, a weak password or a missing institution, `NameTaken`.
    """
    if role not in [one.value for one in ROLES]:
        raise errors.InvalidRequest(f"{role} is no role; the roles are {', '.join(ROLES)}.")
    if len(password) < SHORTEST_PASSWORD:
        raise errors.InvalidRequest(f"The password needs {SHORTEST_PASSWORD} characters or more.")
    if "@" not in email.strip("@"):
        raise errors.InvalidRequest("That is not an e-mail address.")
    if (institution is None) != (role == Role.super_admin):
        raise errors.InvalidRequest("Every role but super_admin belongs to an institution; name it.")
    conn: Connection = await asyncpg.connect(database_url)
    try:
        async with conn.transaction():
            institution_id = await _institution(conn, institution, zone) if institution else None
            doctor_id = patient_id = None
            if institution_id is not None and role == Role.doctor:
                doctor_id = await catalog.add_doctor(conn, institution_id, name)
            if institution_id is not None and role == Role.patient:
                patient_id = await conn.fetchval(catalog.ADD_PATIENT, institution_id, name, None, None)
            user_id = await catalog.add_user(
                conn,
                institution_id=institution_id,
                email=email,
                name=name,
                role=Role(role),
                password=password,
                doctor_id=doctor_id,
                patient_id=patient_id,
            )
    finally:
        await conn.close()
    return f"{email} can sign in as {role} (user {user_id}" + (
        f", institution {institution_id})." if institution_id else ")."
    )


async def _institution(conn: Connection, name_or_id: str, zone: str) -> int:
    found = await conn.fetchval(INSTITUTION, name_or_id, int(name_or_id) if name_or_id.isdigit() else 0)
    return int(found) if found else await catalog.add_institution(conn, name_or_id, zone)


INSTITUTION = "select id from institutions where name = $1 or id = $2"


async def enroll_device(config: Config, *, code: str, location_id: int, name: str) -> str:
    """Enrol the screen that shows this code. Raises `PairingUnknown`, `NotFound`, `InvalidRequest`."""
    ask = validate(devices.EnrollDevice, {"code": code, "location_id": location_id, "name": name})
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


async def list_devices(database_url: str) -> str:
    """Every device, a line each."""
    conn: Connection = await asyncpg.connect(database_url)
    try:
        rows = [devices.device_row(row) for row in await conn.fetch(devices.DEVICES, None, True)]
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
