"""The demo clinic: seeded by `callboard up` into the database that it made itself, played by `callboard replay`.

Invariant: demo sign-ins exist only where the database's own `facts` say that `up` made it; the schema's trigger
`users_demo_only_in_up` refuses them everywhere else, whatever this module does.
"""

from typing import Any, Literal

import orjson

from server import access, catalog, errors, queue, store
from server.access import STAFF, Actor, Role
from server.catalog import NewPatient
from server.events import Urgency
from server.queue.commands import COMMANDS as QUEUE_COMMANDS
from server.queue.commands import Ask, Joined, JoinQueue, Reply
from server.queue.queries import Nothing
from server.store import Command, Connection, Query, Read, Store, Tx

PASSWORD = "callboard-demo"
DOCTORS = ("Dr. Amara Okafor", "Dr. Liam Fischer", "Dr. Priya Nair")
SPECIALTIES = ("General practice", "Cardiology", "Paediatrics")
SPEED = 60.0


async def seed(database_url: str, base_url: str) -> dict[str, Any] | None:
    """Make the demo clinic where the database is empty, and answer its addresses, ids and sign-ins.

    Answers what was made before where it is there already, None where the database has other institutions.
    """
    pool = await store.connect(database_url, 4)
    try:
        kept = await pool.fetchval(FACT, "demo")
        if kept is not None:
            return _addressed(orjson.loads(kept), base_url)
        if await pool.fetchval(ANY_INSTITUTION):
            return None
        things = Store(pool, _Later(), base_url=base_url)
        async with pool.acquire() as conn, conn.transaction():
            told = await _furnish(conn)  # type: ignore[arg-type]
            await conn.execute(ADD_FACT, "demo", orjson.dumps(told).decode())
            await conn.execute(ADD_FACT, "demo-replay", "playing")
        await _first_patients(things, told)
        await pool.execute(SET_FACT, "demo", orjson.dumps(told).decode())
        return _addressed(told, base_url)
    finally:
        await pool.close()


FACT = "select value from facts where name = $1"
ADD_FACT = "insert into facts (name, value) values ($1, $2)"
SET_FACT = "update facts set value = $2 where name = $1"
ANY_INSTITUTION = "select exists (select from institutions)"


class _Later:
    """No Redis yet: what is committed here is published by the worker's sweep."""

    def hand_over(self, committed: Any) -> None:
        pass

    def end(self, actors: Any) -> None:
        pass


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


async def _first_patients(things: Store, told: dict[str, Any]) -> None:
    """A few people already wait when the doors open; the demo's own ticket is the fourth of the walk-ins."""
    actor = Actor(Role.system, institution_id=told["ids"]["institution"])
    join: Command[JoinQueue, Joined] = next(one for one in QUEUE_COMMANDS if one.name == "join-queue")
    waiting = [
        (3, "Noor Haddad", Urgency.routine),
        (3, "Tomás Herrera", Urgency.routine),
        (3, "Ingrid Olsen", Urgency.urgent),
        (3, "Sam Carter", Urgency.routine),
        (3, "Mei Tanaka", Urgency.routine),
        (3, "Joseph Adeyemi", Urgency.routine),
    ]
    for index, name, urgency in waiting:
        joined = await things.execute(
            join,
            actor,
            JoinQueue(queue_id=told["ids"]["queues"][index], patient=NewPatient(name=name), urgency=urgency),
        )
        if name == "Sam Carter":
            secret = joined.link.rpartition("/")[2]
            told["ticket"] = {"id": joined.ticket_id, "token": joined.token, "secret": secret}


def _addressed(told: dict[str, Any], base_url: str) -> dict[str, Any]:
    """With the addresses as they are now; a port may have changed since the seeding.

    The board's address carries its credential behind `#`, which browsers never send anywhere.
    """
    addresses = {
        "board": f"{base_url}/board#device={told['device']['credential']}",
        "console": f"{base_url}/console",
        "ticket": f"{base_url}/t/{told['ticket']['secret']}" if "ticket" in told else None,
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
