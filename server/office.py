"""What an operator does from the command line: people who sign in, and screens.

Invariant: a screen is enrolled and revoked by the very commands that the API runs, as the system itself. Their events
are published by the worker's sweep, so the command line needs no part of the web process.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Annotated, Any

import asyncpg
import orjson
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from server import catalog, devices, errors, publish, store
from server.access import SYSTEM, Actor, Role
from server.catalog import Name
from server.config import Config
from server.events import AdminDevice
from server.queue.queries import Nothing
from server.store import Command, Committed, Connection, Store

Email = Annotated[
    str,
    StringConstraints(strip_whitespace=True, to_lower=True, max_length=254, pattern=r"^[^@\s\x00-\x1f]+@[^@\s]+$"),
]


class NewUser(BaseModel):
    """Somebody who is to sign in."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    email: Email
    role: Role
    name: Name
    institution: str | None
    zone: str = "UTC"
    password: str = Field(min_length=8, max_length=1000, repr=False)


async def add_user(database_url: str, new: NewUser) -> str:
    """Add an account, and the institution, doctor or patient that it stands for where there is none yet."""
    connection: Connection = await asyncpg.connect(database_url)
    try:
        async with connection.transaction():
            institution_id, made = await _institution(connection, new)
            doctor_id = patient_id = None
            if new.role is Role.doctor:
                assert institution_id is not None
                doctor_id = await connection.fetchval(DOCTOR, institution_id, new.name)
                doctor_id = doctor_id or await catalog.add_doctor(connection, institution_id, new.name)
            if new.role is Role.patient:
                patient_id = await connection.fetchval(catalog.ADD_PATIENT, institution_id, new.name, None, None)
            id_ = await catalog.add_user(
                connection,
                institution_id=institution_id,
                email=new.email,
                name=new.name,
                role=new.role,
                password=new.password,
                doctor_id=doctor_id,
                patient_id=patient_id,
            )
    finally:
        await connection.close()
    return f"{new.email} may sign in as {new.role.value.replace('_', ' ')} (user {id_}).{made}"


DOCTOR = """
select d.id from doctors d
 where d.institution_id = $1 and d.name = $2 and not exists (select from users u where u.doctor_id = d.id)
 order by d.id limit 1
"""
PEOPLE = frozenset({Role.patient, Role.doctor, Role.receptionist, Role.admin, Role.super_admin})


async def _institution(connection: Connection, new: NewUser) -> tuple[int | None, str]:
    """The institution that the account belongs to, and a sentence where it had to be made."""
    if new.role not in PEOPLE:
        raise errors.InvalidRequest(f"The role must be one of {', '.join(sorted(PEOPLE))}.")
    if new.role is Role.super_admin:
        return None, ""
    if not new.institution:
        raise errors.InvalidRequest("Name the institution with --institution; only a super_admin stands above all.")
    found = await connection.fetchval(INSTITUTION, new.institution)
    if found is not None:
        return int(found), ""
    if new.institution.isdigit():
        raise errors.NotFound(f"There is no institution {new.institution}.")
    id_ = await catalog.add_institution(connection, new.institution, new.zone)
    return id_, f" The institution {new.institution} was made (id {id_}, time zone {new.zone})."


INSTITUTION = "select id from institutions where id::text = $1 or name = $1 order by (id::text = $1) desc limit 1"


async def enroll_device(config: Config, ask: devices.EnrollDevice) -> str:
    """Let the screen that shows this code in."""
    async with _opened(config) as opened:
        enrolled = await opened.execute(_as_system("enroll-device"), SYSTEM, ask)
    return f"{ask.name} is device {enrolled.device_id} at location {ask.location_id}."


async def revoke_device(config: Config, ask: devices.RevokeDevice) -> str:
    """Shut a device out, its open sockets included."""
    async with _opened(config) as opened:
        await opened.execute(_as_system("revoke-device"), SYSTEM, ask)
    return f"Device {ask.device_id} is shut out."


async def list_devices(config: Config) -> str:
    """Every device, one a line."""
    listing = next(query for query in devices.QUERIES if query.name == "list-devices")
    async with _opened(config) as opened:
        rows: list[AdminDevice] = (await opened.read(listing, Actor(Role.super_admin), Nothing())).items
    lines = [
        f"{row.device:>6}  {row.device_kind:<6}  location {row.location:<6}  "
        f"{'revoked' if row.revoked_at else 'enrolled'} {row.revoked_at or row.enrolled_at:%Y-%m-%d %H:%M}  {row.name}"
        for row in rows
    ]
    return "\n".join(lines) or "No device is enrolled."


def _as_system(name: str) -> Command[Any, Any]:
    """The API's command of this name, for whoever holds the database's address."""
    return replace(next(one for one in devices.COMMANDS if one.name == name), allow=frozenset({Role.system}))


class _Later:
    """Leaves committed events to the worker's sweep, and remembers whose sockets have to end."""

    def __init__(self) -> None:
        self.ended: list[str] = []

    def hand_over(self, committed: Sequence[Committed]) -> None:
        """Nothing to do: the sweep publishes what nobody has published."""

    def end(self, actors: Sequence[str]) -> None:
        """Note whose sockets end."""
        self.ended.extend(actors)


@asynccontextmanager
async def _opened(config: Config) -> AsyncIterator[Store]:
    """The store on this database; what must end on every node is told them on leaving."""
    outbox = _Later()
    pool = await store.connect(config.database_url, 2)
    try:
        yield Store(pool, outbox, config.base_url)
    finally:
        await pool.close()
    if outbox.ended:
        client = publish.connect(config.redis_url)
        try:
            await client.publish(publish.CONTROL, orjson.dumps({"end": outbox.ended}))
        finally:
            await client.aclose()
