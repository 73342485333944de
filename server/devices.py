"""Boards and kiosks: a screen shows a code, an admin enters it, and the screen is enrolled at one location.

Invariant: the credential never crosses the wire again: the secret that a screen got with its code becomes its
credential at the moment it is enrolled, and ends everywhere when it is revoked.
"""

import secrets
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

import asyncpg
import orjson
from pydantic import Field, StringConstraints

from server import access, catalog, errors, events
from server.access import ADMINS, ANYBODY, Actor, Role
from server.asks import Ask, Id, Reply
from server.catalog import Label
from server.events import AdminDevice, ShownQueue, StaffBoard
from server.queue.queries import Nothing
from server.store import Command, Connection, Query, Read, Tx

PAIRING_LIFE = timedelta(minutes=10)
ALPHABET = "ABCDEFGHJKMNPQRSTUVWXYZ23456789"
"""Without the letters and digits that look alike on a far-away screen."""
OPEN_PAIRINGS = 1000
"""Codes shown at a time; more come from somebody who is guessing or flooding."""

Code = Annotated[
    str, StringConstraints(strip_whitespace=True, to_upper=True, pattern=r"^[A-Za-z2-9]{3}[- ]?[A-Za-z2-9]{3}$")
]
"""A code as people type it: in any case, with the dash, a space or nothing in its middle."""


class OpenPairing(Ask):
    """A screen without a credential asks for a code to show."""


class Pairing(Reply):
    """The code to show, and the secret that becomes the credential; both end at `expires_at` unless enrolled."""

    code: str
    secret: str
    expires_at: datetime


async def open_pairing(tx: Tx, actor: Actor, ask: OpenPairing) -> Pairing:
    """Give a screen a code that nobody else shows now."""
    await tx.conn.execute(ONE_AT_A_TIME)
    await tx.conn.execute(FORGET_PAIRINGS, tx.now)
    if await tx.conn.fetchval(COUNT_PAIRINGS) >= OPEN_PAIRINGS:
        raise errors.TooMany(retry_after=60)
    secret, secret_hash = access.new_secret()
    expires_at = tx.now + PAIRING_LIFE
    while True:
        code = "".join(secrets.choice(ALPHABET) for _ in range(6))
        if await tx.conn.fetchval(ADD_PAIRING, code, secret_hash, expires_at):
            return Pairing(code=f"{code[:3]}-{code[3:]}", secret=secret, expires_at=expires_at)


ONE_AT_A_TIME = "select pg_advisory_xact_lock(x'50414952'::bigint)"
"""Or many at once would each count too few."""
FORGET_PAIRINGS = "delete from pairings where device_id is null and expires_at <= $1"
COUNT_PAIRINGS = "select count(*) from pairings where device_id is null"
ADD_PAIRING = """
insert into pairings (code, secret_hash, expires_at) values ($1, $2, $3)
on conflict (code) where device_id is null do nothing returning id
"""


class PairingState(Reply):
    """Whether the code was entered; while `enrolled`, the screen's secret is its device credential."""

    state: Literal["waiting", "enrolled", "expired"]
    device_id: int | None


async def pairing_state(view: Read, actor: Actor, ask: Nothing) -> PairingState:
    """How it stands with the asker's own code."""
    row = await view.conn.fetchrow(PAIRING, actor.id, view.now)
    if row is None or row["over"]:
        return PairingState(state="expired", device_id=None)
    return PairingState(state="enrolled" if row["device_id"] else "waiting", device_id=row["device_id"])


PAIRING = """
select p.device_id, case when d.id is null then p.expires_at <= $2 else d.revoked_at is not null end as over
from pairings p left join devices d on d.id = p.device_id where p.id = $1
"""


class EnrollDevice(Ask):
    """The code that a screen shows, and where it hangs."""

    code: Code
    location_id: Id
    name: Label
    kind: Literal["board", "kiosk"] = "board"


class Enrolled(Reply):
    """The new device."""

    device_id: int
    location_id: int
    name: str


async def enroll_device(tx: Tx, actor: Actor, ask: EnrollDevice) -> Enrolled:
    """Make the screen that shows this code a device of a location. Raises `PairingUnknown`, `NotFound`."""
    institution_id = await tx.conn.fetchval(INSTITUTION_OF_LOCATION, ask.location_id)
    if not actor.within(institution_id):
        raise errors.NotFound("There is no such location here.")
    # A queue that is being made meanwhile would not be told of the board.
    await catalog.hold_institution(tx.conn, institution_id)
    pairing = await tx.conn.fetchrow(PAIRING_BY_CODE, ask.code.replace("-", "").replace(" ", ""), tx.now)
    if pairing is None:
        raise errors.PairingUnknown()
    row = await tx.conn.fetchrow(
        ADD_DEVICE, institution_id, ask.location_id, ask.kind, ask.name, pairing["secret_hash"], tx.now
    )
    assert row is not None
    await tx.conn.execute(END_PAIRING, pairing["id"], row["id"])
    tx.institution_id = institution_id
    tx.about(f"device:{row['id']}", None, {"name": ask.name, "kind": ask.kind, "location": ask.location_id})
    event = events.DeviceEnrolled(device=row["id"])
    tx.append(events.admin(institution_id), event, put=await rows(tx.conn, institution_id, one=row["id"]))
    if ask.kind == "board":
        for queue in await tx.conn.fetch(QUEUES_AT, ask.location_id):
            tx.append(events.staff(queue["id"]), event, put=[StaffBoard(device=row["id"], name=ask.name)])
    return Enrolled(device_id=row["id"], location_id=ask.location_id, name=ask.name)


INSTITUTION_OF_LOCATION = "select institution_id from locations where id = $1 and retired_at is null"
PAIRING_BY_CODE = """
select id, secret_hash from pairings where code = $1 and device_id is null and expires_at > $2 for update
"""
ADD_DEVICE = """
insert into devices (institution_id, location_id, kind, name, credential_hash, enrolled_at)
values ($1, $2, $3, $4, $5, $6)
returning id, institution_id, location_id, kind, name, enrolled_at, revoked_at
"""
END_PAIRING = "update pairings set device_id = $2 where id = $1"
QUEUES_AT = "select id from queues where location_id = $1 and retired_at is null order by id"


class RevokeDevice(Ask):
    """A device that is to open nothing any more."""

    device_id: Id


class Revoked(Reply):
    """The device whose credential has ended."""

    device_id: int
    revoked_at: datetime


async def revoke_device(tx: Tx, actor: Actor, ask: RevokeDevice) -> Revoked:
    """End a device's credential and cut its sockets on every node; again for one that is revoked changes nothing."""
    row = await tx.conn.fetchrow(DEVICE, ask.device_id)
    if row is None or not actor.within(row["institution_id"]):
        raise errors.NotFound("There is no such device here.")
    tx.ended.append(f"device:{ask.device_id}")
    if row["revoked_at"] is not None:
        return Revoked(device_id=ask.device_id, revoked_at=row["revoked_at"])
    await tx.conn.execute(END_DEVICE, ask.device_id, tx.now)
    tx.institution_id = row["institution_id"]
    tx.about(f"device:{ask.device_id}", {"revoked": False}, {"revoked": True})
    event = events.DeviceRevoked(device=ask.device_id)
    told = await rows(tx.conn, row["institution_id"], one=ask.device_id)
    tx.append(events.admin(row["institution_id"]), event, put=told)
    if row["kind"] == "board":
        for queue in await tx.conn.fetch(QUEUES_AT, row["location_id"]):
            tx.append(events.staff(queue["id"]), event, drop=[f"board:{ask.device_id}"])
    return Revoked(device_id=ask.device_id, revoked_at=tx.now)


DEVICE = "select id, institution_id, location_id, kind, name, revoked_at from devices where id = $1 for update"
END_DEVICE = "update devices set revoked_at = $2 where id = $1"


class RenameDevice(Ask):
    """A device's new name."""

    device_id: Id
    name: Label


class Renamed(Reply):
    """The device by its new name."""

    device_id: int
    name: str


async def rename_device(tx: Tx, actor: Actor, ask: RenameDevice) -> Renamed:
    """Call a device by another name, for its admins and on the consoles of its location. Raises `NotFound`."""
    row = await tx.conn.fetchrow(DEVICE, ask.device_id)
    if row is None or not actor.within(row["institution_id"]) or row["revoked_at"] is not None:
        raise errors.NotFound("There is no such device here.")
    tx.institution_id = row["institution_id"]
    tx.about(f"device:{ask.device_id}", {"name": row["name"]}, {"name": ask.name})
    await tx.conn.execute(NAME_DEVICE, ask.device_id, ask.name)
    event = events.DeviceRenamed(device=ask.device_id)
    told = await rows(tx.conn, row["institution_id"], one=ask.device_id)
    tx.append(events.admin(row["institution_id"]), event, put=told)
    if row["kind"] == "board":
        for queue in await tx.conn.fetch(QUEUES_AT, row["location_id"]):
            tx.append(events.staff(queue["id"]), event, put=[StaffBoard(device=ask.device_id, name=ask.name)])
    return Renamed(device_id=ask.device_id, name=ask.name)


NAME_DEVICE = "update devices set name = $2 where id = $1"


# Signs of life


class Sign(Ask):
    """A device that is connected: the build of its page, and how far it has shown each queue."""

    device_id: Id
    build: str | None = None
    shown: dict[str, int] = Field(default={})


class NoteSigns(Ask):
    """Devices that are connected to one process."""

    signs: list[Sign]


class Noted(Reply):
    """How many of them were news."""

    devices: int


async def note_signs(tx: Tx, actor: Actor, ask: NoteSigns) -> Noted:
    """Keep the devices' last sign of life; admins are told of each once a minute at most."""
    signs = sorted(ask.signs, key=lambda one: one.device_id)
    noted = await tx.conn.fetch(
        NOTE_SIGNS,
        [one.device_id for one in signs],
        [one.build for one in signs],
        [orjson.dumps(one.shown).decode() for one in signs],
        tx.now,
        tx.now - SEEN_EVERY,
    )
    of: dict[int, list[int]] = {}
    for row in noted:
        of.setdefault(row["institution_id"], []).append(row["id"])
    for institution_id, ids in sorted(of.items()):
        told = [row for row in await rows(tx.conn, institution_id) if row.device in ids]
        tx.append(events.admin(institution_id), events.DevicesSeen(), put=told)
    return Noted(devices=len(noted))


SEEN_EVERY = timedelta(seconds=55)
NOTE_SIGNS = """
update devices d set seen_at = $4, build = coalesce(s.build, d.build), shown = d.shown || s.shown::jsonb
from unnest($1::bigint[], $2::text[], $3::text[]) as s (id, build, shown)
where d.id = s.id and d.revoked_at is null and (d.seen_at is null or d.seen_at < $5)
returning d.id, d.institution_id
"""
"""A board that came back knows again what it had shown only once it says so; what it said before stands."""


class Devices(Reply):
    """Every device of the institution, revoked ones too."""

    items: list[AdminDevice]


async def list_devices(view: Read, actor: Actor, ask: Nothing) -> Devices:
    """The devices that the asker administers."""
    return Devices(items=await rows(view.conn, actor.institution_id, every=actor.role is Role.super_admin))


async def rows(
    conn: Connection, institution_id: int | None, *, every: bool = False, one: int | None = None
) -> list[AdminDevice]:
    """The devices of an institution, or of `every` one; or `one` of them."""
    return [device_row(row) for row in await conn.fetch(DEVICES, institution_id, every, one)]


DEVICES = """
select d.id, d.location_id, d.kind, d.name, d.enrolled_at, d.revoked_at, d.seen_at, d.build, (
    select coalesce(json_agg(
        json_build_object('queue', s.key::bigint, 'version', s.value::bigint, 'token', c.token, 'called_at', c.at)
        order by s.key::bigint
    ), '[]')
    from jsonb_each_text(d.shown) s left join lateral (
        select e.data ->> 'token' as token, e.at from events e
        where e.stream = 'board:' || s.key and e.type in ('patient-called', 'patient-recalled')
            and e.version <= s.value::bigint and e.version > s.value::bigint - 1000
        order by e.version desc limit 1
    ) c on true
) as shown
from devices d where ($2 or d.institution_id = $1) and ($3::bigint is null or d.id = $3) order by d.id
"""


def device_row(row: asyncpg.Record) -> AdminDevice:
    """A device as its admins see it."""
    return AdminDevice(
        device=row["id"],
        name=row["name"],
        device_kind=row["kind"],
        location=row["location_id"],
        enrolled_at=row["enrolled_at"],
        revoked_at=row["revoked_at"],
        seen_at=row["seen_at"],
        build=row["build"],
        shown=[ShownQueue.model_validate(one) for one in orjson.loads(row["shown"])],
    )


async def admin_rows(conn: Connection, institution_id: int) -> list[AdminDevice]:
    """The rows of an institution's admin stream, from PostgreSQL alone."""
    return await rows(conn, institution_id)


# What a device needs to know of itself


class DeviceSelf(Reply):
    """A device as it sees itself."""

    id: int
    name: str
    kind: str
    location_id: int
    location: str


class DeviceInstitution(Reply):
    """The institution around a device, with the location's zone."""

    name: str
    zone: str
    languages: list[str]


class DeviceQueue(Reply):
    """A queue that a device shows."""

    id: int
    name: str
    prefix: str
    doctor: str | None


class DeviceView(Reply):
    """Everything a board needs before it subscribes."""

    device: DeviceSelf
    institution: DeviceInstitution
    queues: list[DeviceQueue]
    server_time: datetime


async def show_device(view: Read, actor: Actor, ask: Nothing) -> DeviceView:
    """The asking device, and the queues of its location."""
    row = await view.conn.fetchrow(DEVICE_SELF, actor.id)
    assert row is not None
    return DeviceView(
        device=DeviceSelf(
            id=row["id"], name=row["name"], kind=row["kind"], location_id=row["location_id"], location=row["location"]
        ),
        institution=DeviceInstitution(name=row["institution"], zone=row["zone"], languages=row["languages"]),
        queues=[DeviceQueue(**dict(one)) for one in await view.conn.fetch(DEVICE_QUEUES, row["location_id"])],
        server_time=view.now,
    )


DEVICE_SELF = """
select v.id, v.name, v.kind, v.location_id, l.name as location, i.name as institution,
    coalesce(l.zone, i.zone) as zone, i.languages
from devices v join locations l on l.id = v.location_id join institutions i on i.id = v.institution_id where v.id = $1
"""
DEVICE_QUEUES = """
select q.id, q.name, coalesce(q.settings ->> 'token_prefix', l.settings ->> 'token_prefix',
    i.settings ->> 'token_prefix', 'A') as prefix, d.name as doctor
from queues q join locations l on l.id = q.location_id join institutions i on i.id = q.institution_id
left join doctors d on d.id = q.doctor_id
where q.location_id = $1 and q.retired_at is null order by q.id
"""


COMMANDS: list[Command[Any, Any]] = [
    Command("open-pairing", open_pairing, OpenPairing, Pairing, ANYBODY, "POST /pairings", status=201, once=True),
    Command("enroll-device", enroll_device, EnrollDevice, Enrolled, ADMINS, "POST /devices/enroll", status=201),
    Command("revoke-device", revoke_device, RevokeDevice, Revoked, ADMINS, "POST /devices/{device_id}/revoke"),
    Command("rename-device", rename_device, RenameDevice, Renamed, ADMINS, "POST /devices/{device_id}"),
]
NOTE_SIGNS_OF_LIFE: Command[NoteSigns, Noted] = Command(
    "note-signs-of-life", note_signs, NoteSigns, Noted, frozenset({Role.system}), ""
)
QUERIES: list[Query[Any, Any]] = [
    Query("pairing-state", pairing_state, Nothing, PairingState, frozenset({Role.pairing}), "GET /pairings"),
    Query("list-devices", list_devices, Nothing, Devices, ADMINS, "GET /devices"),
    Query("show-device", show_device, Nothing, DeviceView, frozenset({Role.device}), "GET /device"),
]
