"""The demo clinic: seeded by `callboard up` into the database that it made itself, played by `callboard replay`.

Invariant: demo sign-ins exist only where the database's own `facts` say that `up` made it; the schema's trigger
`users_demo_only_in_up` refuses them everywhere else, whatever this module does.
"""

import contextlib
from datetime import UTC, datetime
from typing import Any, Literal, cast

import orjson

from server import access, catalog, errors, queue, store
from server.access import STAFF, Actor, Role
from server.asks import Ask, Reply
from server.events import Urgency
from server.patients import NewPatient
from server.queue.commands import JoinQueue, join_queue
from server.queue.entry import Joined
from server.queue.queries import Nothing
from server.store import Command, Connection, Query, Read, Tx

PASSWORD = "callboard-demo"
DOCTORS = ("Dr. Amara Okafor", "Dr. Liam Fischer", "Dr. Priya Nair")
SPECIALTIES = ("General practice", "Cardiology", "Paediatrics")
SPEED = 60.0


async def seed(database_url: str, base_url: str) -> dict[str, Any] | None:
    """Make the demo clinic where the database is empty, and answer its addresses, ids and sign-ins.

    All of it is there or nothing. Where it is there already, it is answered as it was made, with another ticket if
    that one is over. Answers None where the database has other institutions, or is not of `up`'s making.
    """
    pool = await store.connect(database_url, 1)
    try:
        async with pool.acquire() as borrowed:
            conn = cast(Connection, borrowed)
            async with conn.transaction():
                await conn.execute(ONE_AT_A_TIME)
                told = await _seeded(conn, base_url)
        return told and _addressed(told, base_url)
    finally:
        await pool.close()


async def _seeded(conn: Connection, base_url: str) -> dict[str, Any] | None:
    kept = await conn.fetchval(FACT, "demo")
    if kept is not None:
        told: dict[str, Any] = orjson.loads(kept)
        if await conn.fetchval(TICKET_GOES_ON, access.digest(told["ticket"]["secret"])):
            return told
        # Yesterday's visit is over, and a newcomer's third window would show nothing but that.
        with contextlib.suppress(errors.Refusal):
            told["ticket"] = await _ticket(conn, told, base_url)
    elif await conn.fetchval(FACT, "origin") != "up" or await conn.fetchval(ANY_INSTITUTION):
        return None
    else:
        told = await _furnish(conn)
        await conn.execute(SET_FACT, "demo-replay", "playing")
        for name, urgency in BEFORE:
            await _join(conn, told, base_url, name, urgency)
        told["ticket"] = await _ticket(conn, told, base_url)
        for name, urgency in BEHIND:
            await _join(conn, told, base_url, name, urgency)
    await conn.execute(SET_FACT, "demo", orjson.dumps(told).decode())
    return told


ONE_AT_A_TIME = "select pg_advisory_xact_lock(x'44454d4f'::bigint)"
FACT = "select value from facts where name = $1"
SET_FACT = "insert into facts (name, value) values ($1, $2) on conflict (name) do update set value = excluded.value"
ANY_INSTITUTION = "select exists (select from institutions)"
TICKET_GOES_ON = "select exists (select from tickets where secret_hash = $1 and ended_at is null)"


async def _furnish(conn: Connection) -> dict[str, Any]:
    institution = await catalog.add_institution(conn, "Riverside Clinic", "UTC")
    await conn.execute(ROOMY, institution, orjson.dumps({"max_length": 200, "walk_ins_per_day": 100_000}).decode())
    location = await catalog.add_location(conn, institution, "Main waiting room")
    desks = [await catalog.add_desk(conn, location, f"Room {number}") for number in range(1, 5)]
    doctors, queues, sign_ins = [], [], []
    for number, name in enumerate(DOCTORS, start=1):
        doctor = await catalog.add_doctor(conn, institution, name)
        doctors.append(doctor)
        sign_ins.append(await _user(conn, institution, Role.doctor, f"doctor{number}", name, doctor_id=doctor))
    for doctor, specialty in zip(doctors, SPECIALTIES, strict=True):
        queues.append(
            await queue.add_queue(
                conn,
                institution_id=institution,
                location_id=location,
                name=specialty,
                doctors=[doctor],
                owner=doctor,
            )
        )
    pool_queue = await queue.add_queue(
        conn, institution_id=institution, location_id=location, name="Walk-in", doctors=doctors
    )
    queues.append(pool_queue)
    sign_ins.append(await _user(conn, institution, Role.receptionist, "reception", "Rosa Delgado"))
    sign_ins.append(await _user(conn, institution, Role.admin, "admin", "Ada Lindqvist"))
    credential, credential_hash = access.new_secret()
    device = await conn.fetchval(ADD_DEVICE, institution, location, "Entrance board", credential_hash)
    return {
        "ids": {
            "institution": institution,
            "location": location,
            "desks": desks,
            "doctors": doctors,
            "queues": queues,
            "device": device,
        },
        "device": {"id": device, "credential": credential},
        "sign_ins": sign_ins,
    }


ROOMY = "update institutions set settings = $2::jsonb where id = $1"
ADD_DEVICE = """
insert into devices (institution_id, location_id, name, credential_hash) values ($1, $2, $3, $4) returning id
"""


async def _user(
    conn: Connection, institution: int, role: Role, local: str, name: str, doctor_id: int | None = None
) -> dict[str, Any]:
    email = f"{local}@demo.callboard.example"
    id_ = await catalog.add_user(
        conn,
        institution_id=institution,
        email=email,
        name=name,
        role=role,
        password=PASSWORD,
        doctor_id=doctor_id,
        demo=True,
    )
    return {"id": id_, "role": role, "email": email, "password": PASSWORD, "name": name, "doctor_id": doctor_id}


BEFORE = (("Noor Haddad", Urgency.routine), ("Tomás Herrera", Urgency.routine), ("Ingrid Olsen", Urgency.urgent))
BEHIND = (("Mei Tanaka", Urgency.routine), ("Joseph Adeyemi", Urgency.routine))
"""A few people already wait with the walk-ins when the doors open, before and behind the demo's own ticket."""


async def _ticket(conn: Connection, told: dict[str, Any], base_url: str) -> dict[str, Any]:
    """A ticket whose link `up` prints."""
    joined = await _join(conn, told, base_url, "Sam Carter", Urgency.routine)
    return {"id": joined.ticket_id, "token": joined.token, "secret": joined.link.rpartition("/")[2]}


async def _join(conn: Connection, told: dict[str, Any], base_url: str, name: str, urgency: Urgency) -> Joined:
    """Somebody joins the walk-ins, by the command that everybody joins by; the worker's sweep tells the boards."""
    actor = Actor(Role.system, institution_id=told["ids"]["institution"])
    tx = Tx(conn, actor, datetime.now(UTC), fixed=False, base_url=base_url)
    ask = JoinQueue(queue_id=told["ids"]["queues"][-1], patient=NewPatient(name=name), urgency=urgency)
    async with conn.transaction():
        joined = await join_queue(tx, actor, ask)
        await tx.finish("join-queue", ask)
    return joined


def _addressed(told: dict[str, Any], base_url: str) -> dict[str, Any]:
    """With the addresses as they are now; a port may have changed since the seeding.

    The board's address carries its credential behind `#`, which browsers never send anywhere.
    """
    addresses = {
        "board": f"{base_url}/board#device={told['device']['credential']}",
        "console": f"{base_url}/console",
        "ticket": f"{base_url}/t/{told['ticket']['secret']}",
    }
    return {**told, "url": base_url, "addresses": addresses}


# The replay's state, which the console shows and changes


class ReplayState(Reply):
    """Whether the demo day plays, and how many minutes pass in one."""

    state: Literal["playing", "paused"]
    speed: float


class SetReplay(Ask):
    """Pause the demo day, to take over; or let it go on."""

    state: Literal["playing", "paused"]


async def set_replay(tx: Tx, actor: Actor, ask: SetReplay) -> ReplayState:
    """Pause or resume the demo day. Raises `NotFound` where there is none."""
    await _access_demo(tx.conn, actor)
    await tx.conn.execute(SET_FACT, "demo-replay", ask.state)
    return ReplayState(state=ask.state, speed=SPEED)


async def show_replay(view: Read, actor: Actor, ask: Nothing) -> ReplayState:
    """Whether the demo day plays. Raises `NotFound` where there is none."""
    await _access_demo(view.conn, actor)
    return ReplayState(state=await view.conn.fetchval(FACT, "demo-replay"), speed=SPEED)


async def _access_demo(conn: Connection, actor: Actor) -> None:
    kept = await conn.fetchval(FACT, "demo")
    if kept is None or not actor.within(orjson.loads(kept)["ids"]["institution"]):
        raise errors.NotFound("There is no demo here.")


COMMANDS: list[Command[Any, Any]] = [
    Command("set-replay", set_replay, SetReplay, ReplayState, STAFF, "POST /demo/replay"),
]
QUERIES: list[Query[Any, Any]] = [
    Query("show-replay", show_replay, Nothing, ReplayState, STAFF, "GET /demo/replay"),
]
