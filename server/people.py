"""What an operator does from the command line: add somebody who signs in, let a screen in or shut one out.

Invariant: it goes through commands, as the actor `system`, so that what it does is on the audit trail
and is told to whoever looks on.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import asyncpg

from server import audit, devices, store
from server.access import SYSTEM
from server.administration.users import ADD_ACCOUNT, NewAccount
from server.app import connected
from server.asks import validate
from server.config import Config
from server.store import Committed, Connection, Store


class LeftToTheSweep:
    """Whoever publishes for the clinic finds what was committed within a second; a command line waits for nothing."""

    def hand_over(self, committed: Sequence[Committed]) -> None:
        """Leave events where they are."""

    def end(self, actors: Sequence[str]) -> None:
        """Cut nobody: nobody whom it adds is connected yet."""


@asynccontextmanager
async def opened(config: Config) -> AsyncIterator[Store]:
    """A store whose commands are published, for the length of one command line."""
    async with connected(config, 2) as (pool, publisher):
        yield Store(pool, publisher, base_url=config.base_url, secret_key=config.secret_key)


async def add_user(database_url: str, new: NewAccount) -> str:
    """Add an account, and the institution, doctor or patient that it needs; answers what was done.

    Raises `WeakPassword`, `InvalidRequest` where the role and the institution do not go together, `NotFound`,
    `NameTaken`.
    """
    pool = await store.connect(database_url, 1)
    try:
        added = await Store(pool, LeftToTheSweep()).execute(ADD_ACCOUNT, SYSTEM, new)
    finally:
        await pool.close()
    made = f" The institution {new.institution} was made (id {added.made}, time zone {new.zone})." if added.made else ""
    return f"{new.email} can sign in as {new.role.replace('_', ' ')} (user {added.user_id}).{made}"


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
