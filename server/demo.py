"""The demo clinic: seeded by `callboard up` into the database that it made itself, played by `callboard replay`.

Invariant: demo sign-ins exist only where the database's own `facts` say that `up` made it; the schema's trigger
`users_demo_only_in_up` refuses them everywhere else, whatever this module does.
"""

import contextlib
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, time
from typing import Any, Literal, TypeVar, cast

import orjson

from server import access, catalog, errors, queue, store
from server.access import STAFF, Actor, Role
from server.asks import Ask, Reply
from server.availability.rules import WorkingTime
from server.availability.schedules import Draft, add_schedule
from server.catalog import Practice, Visits
from server.events import Urgency
from server.patients import NewPatient, add_patient
from server.queue.commands import JoinQueue, join_queue
from server.queue.entry import Joined
from server.queue.queries import Nothing
from server.store import Command, Connection, Query, Read, Tx

PASSWORD = "callboard-demo"
DOCTORS = ("Dr. Amara Okafor", "Dr. Liam Fischer", "Dr. Priya Nair")
SPECIALTIES = ("General practice", "Cardiology", "Paediatrics")
COLLEAGUE = "Dr. Elena Marchetti"
"""A second doctor of the first specialty, with no queue of her own: whoever does not mind has a choice."""
PRACTICES = ((("en", "fr"), "45.00"), (("de", "en"), "90.00"), (("en", "hi"), "55.00"), (("en", "it"), "45.00"))
"""Of each doctor, the colleague last: the languages, and the fee."""
VISITS = (
    Visits("Consultation", 20, None, "#0b6e62", "both"),
    Visits("Follow-up", 20, "30.00", "#3d6fd1", "both"),
    Visits("Long visit", 40, "80.00", "#8a4fbf", "in_person"),
)
PATIENT = "Maya Lindgren"
PATIENT_EMAIL = "maya@demo.callboard.example"
SPEED = 60.0
T = TypeVar("T")


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
        await _open_books(conn, told, base_url)
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


async def _open_books(conn: Connection, told: dict[str, Any], base_url: str) -> None:
    """Let the doctors be booked, by a patient who can sign in."""
    ids = told["ids"]
    institution, location = ids["institution"], ids["location"]
    await catalog.set_institution_booking(conn, institution, orjson.dumps({"advance_booking_days": 30}).decode())
    specialties = [await catalog.add_specialty(conn, institution, name) for name in SPECIALTIES]
    for visits in VISITS:
        await catalog.add_visit_type(conn, institution, visits)
    doctors = [*ids["doctors"], await catalog.add_doctor(conn, institution, COLLEAGUE)]
    names = (*DOCTORS, COLLEAGUE)
    for doctor, name, specialty, (languages, fee) in zip(
        doctors, names, [*specialties, specialties[0]], PRACTICES, strict=True
    ):
        await catalog.change_doctor(conn, doctor, Practice(name, specialty, None, fee, languages))
        await catalog.place_doctor(conn, institution, doctor, [location])
        draft = Draft(doctor_id=doctor, location_id=location, starts_on=_today(), week=_week())
        await _do(conn, institution, base_url, add_schedule, "add-schedule", draft)
    patient = await add_patient(conn, institution, NewPatient(name=PATIENT, email=PATIENT_EMAIL, birth_year=1987))
    told["patient"] = {"id": patient.id, "name": PATIENT, "contact": PATIENT_EMAIL}


def _today() -> date:
    return datetime.now(UTC).date()


def _week() -> list[WorkingTime]:
    """From Monday to Saturday, with a break at noon; on Saturday the morning alone."""
    morning = [WorkingTime(weekday=day, starts=time(8), ends=time(12), slot_minutes=20) for day in range(6)]
    return morning + [WorkingTime(weekday=day, starts=time(13), ends=time(18), slot_minutes=20) for day in range(5)]


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
    ask = JoinQueue(queue_id=told["ids"]["queues"][-1], patient=NewPatient(name=name), urgency=urgency)
    return await _do(conn, told["ids"]["institution"], base_url, join_queue, "join-queue", ask)


async def _do(
    conn: Connection,
    institution: int,
    base_url: str,
    run: Callable[[Tx, Actor, Any], Awaitable[T]],
    name: str,
    ask: Ask,
) -> T:
    """Carry out a command as the system itself."""
    actor = Actor(Role.system, institution_id=institution)
    tx = Tx(conn, actor, datetime.now(UTC), fixed=False, base_url=base_url)
    async with conn.transaction():
        reply = await run(tx, actor, ask)
        await tx.finish(name, ask)
    return reply


def _addressed(told: dict[str, Any], base_url: str) -> dict[str, Any]:
    """With the addresses as they are now; a port may have changed since the seeding.

    The board's address carries its credential behind `#`, which browsers never send anywhere.
    """
    addresses = {
        "board": f"{base_url}/board#device={told['device']['credential']}",
        "console": f"{base_url}/console",
        "ticket": f"{base_url}/t/{told['ticket']['secret']}",
        "book": f"{base_url}/book",
        "mailbox": f"{base_url}/mailbox",
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
