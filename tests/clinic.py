"""Doctors' time and appointments for tests, in the project's words."""

from datetime import datetime, timedelta
from typing import Any

from server.access import Actor, Role
from server.queue.line import dumps
from tests.world import World

ADD_VISIT_TYPE = """
insert into visit_types (institution_id, name, minutes, fee, mode) values ($1, $2, $3, $4, $5) returning id
"""


async def slots_of(
    world: World,
    doctor: int = 0,
    count: int = 1,
    *,
    after: timedelta = timedelta(days=2),
    minutes: int = 30,
    capacity: int = 1,
    mode: str = "both",
    opened: bool = True,
    location: int | None = None,
) -> list[int]:
    """Consecutive slots of the n-th doctor, from so long after the clock's next full hour on."""
    start = (now(world) + timedelta(hours=1)).replace(minute=0, second=0, microsecond=0) + after
    times = [start + timedelta(minutes=minutes * nth) for nth in range(count)]
    alike: dict[str, Any] = {"minutes": minutes, "capacity": capacity, "mode": mode, "opened": opened}
    return [await slot_at(world, begins, doctor, **alike, location=location) for begins in times]


async def slot_at(
    world: World,
    begins: datetime,
    doctor: int = 0,
    *,
    minutes: int = 30,
    capacity: int = 1,
    mode: str = "both",
    opened: bool = True,
    location: int | None = None,
) -> int:
    """A slot of the n-th doctor that begins at this instant."""
    where = (world.institution, world.doctors[doctor], location or world.location)
    ends = begins + timedelta(minutes=minutes)
    return int(await world.pool.fetchval(ADD_SLOT, *where, begins, ends, capacity, mode, opened))


ADD_SLOT = """
insert into slots (institution_id, doctor_id, location_id, starts_at, ends_at, capacity, mode, open)
values ($1, $2, $3, $4, $5, $6, $7, $8) returning id
"""


async def day_of(world: World, slot: int) -> str:
    """The day of a slot by the clock of its place."""
    return str(await world.pool.fetchval(DAY_OF, slot))


DAY_OF = """
select (s.starts_at at time zone coalesce(l.zone, i.zone))::date
from slots s join locations l on l.id = s.location_id join institutions i on i.id = l.institution_id
where s.id = $1
"""


def now(world: World) -> datetime:
    """This instant of the world."""
    return world.store.now()


async def patient_of(world: World, name: str | None = None) -> int:
    """Somebody who is registered."""
    world.joined += 1
    new = await world.do("register-patient", name=name or f"Patient {world.joined}", confirm_new=True)
    return int(new.patient.id)


async def account_of(world: World, patient: int) -> Actor:
    """The patient's own account."""
    email = f"patient{patient}@example.org"
    await world.account(Role.patient, email, patient_id=patient)
    user = await world.pool.fetchval("select id from users where email = $1", email)
    return Actor(Role.patient, user, world.institution, patient_id=patient)


async def set_booking(world: World, **settings: Any) -> None:
    """What holds for booking the institution's doctors."""
    await world.pool.execute(
        "update institutions set booking = booking || $2::jsonb where id = $1", world.institution, dumps(settings)
    )


async def specialty_of(world: World, *doctors: int, name: str = "Cardiology") -> int:
    """A specialty that these doctors have."""
    id_ = await world.pool.fetchval(
        "insert into specialties (institution_id, name) values ($1, $2) returning id", world.institution, name
    )
    ids = [world.doctors[one] for one in doctors]
    await world.pool.execute("update doctors set specialty_id = $2 where id = any($1::bigint[])", ids, id_)
    return int(id_)


async def visit_type_of(
    world: World, minutes: int = 30, fee: Any = None, mode: str = "both", name: str | None = None
) -> int:
    """What a visit can be for."""
    world.joined += 1
    return int(
        await world.pool.fetchval(
            ADD_VISIT_TYPE, world.institution, name or f"Visit {world.joined}", minutes, fee, mode
        )
    )


async def book(world: World, slots: list[int], actor: Actor | str = "receptionist", **ask: Any) -> Any:
    """Book these slots with their doctor, for a new patient where none is given."""
    if "patient_id" not in ask and not (isinstance(actor, Actor) and actor.role is Role.patient):
        ask["patient_id"] = await patient_of(world)
    if "doctor_id" not in ask and "specialty_id" not in ask:
        ask["doctor_id"] = await world.pool.fetchval("select doctor_id from slots where id = $1", slots[0])
    return await world.do("book-appointment", actor, slot_ids=slots, **ask)


async def left_of(world: World, slot: int) -> int:
    """How many seats of a slot are free, as its counter says; which agrees with the seats."""
    row = await world.pool.fetchrow(
        "select capacity, taken, (select count(*) from seats where slot_id = $1) as seats from slots where id = $1",
        slot,
    )
    assert row and row["taken"] == row["seats"]
    return int(row["capacity"] - row["taken"])


def streams(world: World) -> list[str]:
    """The streams of both doctors."""
    return [f"{kind}:{doctor}" for doctor in world.doctors for kind in ("doctor", "slots")]
