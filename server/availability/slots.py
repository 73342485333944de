"""Slots: a doctor's time as rows that can be booked, shown to whoever may book, and changed one by one.

Invariant: the stream `slots:{doctor}` shows exactly the slots that are open, in no blocked period and not filed; full
ones too, as they may be free again. Whoever changes a doctor's slots holds the gate of that stream.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from server import errors, events
from server.access import DESK, Actor, Role
from server.asks import Ask, Id, Reply, wrong
from server.availability import rules
from server.availability.rules import Capacity, Minutes, SlotMinutes, SlotMode, Span
from server.settings import WallTime
from server.store import Command, Connection, Tx

OWN = DESK | {Role.doctor}
"""Who may arrange doctors' time: the desk, and each doctor their own."""
TOLD_AT_ONCE = 500
"""Slots in one event at most."""
AT_ONCE = 2000
"""Slots that one request makes at most."""


# The rows that everybody sees who may book


async def slot_rows(conn: Connection, doctor_id: int) -> list[events.Slot]:
    """The rows of a doctor's slots stream."""
    return [_row(row) for row in await conn.fetch(VISIBLE, doctor_id)]


VISIBLE = """
select id, doctor_id, location_id, starts_at, ends_at, mode, capacity, taken from slots
where doctor_id = $1 and open and block_id is null and filed_at is null order by starts_at
"""


def _row(row: Any) -> events.Slot:
    return events.Slot(
        slot=row["id"],
        location=row["location_id"],
        starts_at=row["starts_at"],
        ends_at=row["ends_at"],
        mode=row["mode"],
        capacity=row["capacity"],
        left=row["capacity"] - row["taken"],
    )


async def tell_slots(
    tx: Tx, slot_ids: Sequence[int], event: type[events.SlotsEvent] = events.SlotAvailabilityChanged
) -> None:
    """Tell the audience of each slot's doctor what the visible ones among these are now; their gates are held."""
    told: dict[int, list[events.Slot]] = {}
    for row in await tx.conn.fetch(VISIBLE_OF, list(slot_ids)):
        told.setdefault(row["doctor_id"], []).append(_row(row))
    for doctor_id, rows in told.items():
        for few in batched(rows):
            tx.append(events.slots(doctor_id), event(doctor=doctor_id, slots=[one.slot for one in few]), few)


VISIBLE_OF = """
select id, doctor_id, location_id, starts_at, ends_at, mode, capacity, taken from slots
where id = any($1::bigint[]) and open and block_id is null and filed_at is null order by doctor_id, starts_at
"""


def tell_gone(tx: Tx, doctor_id: int, slot_ids: Sequence[int]) -> None:
    """Tell a doctor's audience that these slots are shown no more."""
    for few in batched(slot_ids):
        event = events.SlotRemoved(doctor=doctor_id, slots=list(few))
        tx.append(events.slots(doctor_id), event, drop=[f"s:{one}" for one in few])


def tell_arranged(tx: Tx, doctor_id: int) -> None:
    """Tell that something about a doctor's time changed, where no slot that is shown did: open calendars ask anew."""
    tx.append(events.slots(doctor_id), events.SlotAvailabilityChanged(doctor=doctor_id, slots=[]))


def batched(rows: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """As many at a time as one event carries."""
    for at in range(0, len(rows), TOLD_AT_ONCE):
        yield rows[at : at + TOLD_AT_ONCE]


# Whose time it is


@dataclass(frozen=True, slots=True)
class Doctor:
    """A doctor whose time the asker may arrange."""

    id: int
    institution_id: int
    name: str
    active: bool
    location_ids: frozenset[int]


@dataclass(frozen=True, slots=True)
class Place:
    """A location, and the zone of its days."""

    id: int
    name: str
    zone: ZoneInfo


async def access_doctor(conn: Connection, actor: Actor, doctor_id: int) -> Doctor:
    """A doctor whose time the asker may arrange. Raises `NotFound`, `NotAllowed` for another doctor's."""
    row = await conn.fetchrow(DOCTOR, doctor_id)
    if row is None or not actor.within(row["institution_id"]):
        raise errors.NotFound("There is no such doctor here.")
    if actor.role is Role.doctor and actor.doctor_id != doctor_id:
        raise errors.NotAllowed("That is another doctor's time.")
    return Doctor(doctor_id, row["institution_id"], row["name"], row["active"], frozenset(row["location_ids"]))


DOCTOR = """
select d.institution_id, d.name, d.active,
    array(select l.location_id from doctor_locations l where l.doctor_id = d.id) as location_ids
from doctors d where d.id = $1
"""


async def access_place(conn: Connection, actor: Actor, doctor: Doctor, location_id: int) -> Place:
    """A location of the doctor's where the asker works. Raises `NotFound`, `NotAllowed`, `DoctorElsewhere`."""
    row = await conn.fetchrow(PLACE, location_id, doctor.institution_id)
    if row is None:
        raise errors.NotFound("There is no such location here.")
    if not actor.at(location_id):
        raise errors.NotAllowed("That is not one of your locations.")
    if doctor.location_ids and location_id not in doctor.location_ids:
        raise errors.DoctorElsewhere()
    return Place(location_id, row["name"], ZoneInfo(row["zone"]))


PLACE = """
select l.name, coalesce(l.zone, i.zone) as zone
from locations l join institutions i on i.id = l.institution_id
where l.id = $1 and l.institution_id = $2 and l.retired_at is null
"""


async def gate_doctor(tx: Tx, actor: Actor, doctor_id: int) -> Doctor:
    """A doctor whose time the asker may arrange and nobody else does meanwhile. Raises `NotFound`, `NotAllowed`."""
    await access_doctor(tx.conn, actor, doctor_id)
    await tx.gate(events.slots(doctor_id))
    doctor = await access_doctor(tx.conn, actor, doctor_id)
    tx.institution_id = doctor.institution_id
    return doctor


# Making them


class Made(Reply):
    """The slots that were made, and how many of those asked for were not: past, or in time that has a slot already."""

    slot_ids: list[int]
    past: int = 0
    overlapping: int = 0


class NewSlot(Ask):
    """A single slot of a doctor."""

    doctor_id: Id
    location_id: Id
    starts_at: AwareDatetime
    minutes: SlotMinutes
    capacity: Capacity = 1
    mode: SlotMode = "both"


async def add_slot(tx: Tx, actor: Actor, ask: NewSlot) -> Made:
    """Add a single slot.

    Raises `NotFound`, `NotAllowed`, `DoctorElsewhere`, `TimePassed`, and `SlotsOverlap` where the doctor has one.
    """
    doctor = await gate_doctor(tx, actor, ask.doctor_id)
    await access_place(tx.conn, actor, doctor, ask.location_id)
    if ask.starts_at <= tx.now:
        raise errors.TimePassed()
    span = Span(ask.starts_at, ask.starts_at + timedelta(minutes=ask.minutes), ask.capacity, ask.mode)
    ids = await insert_slots(tx, doctor, ask.location_id, [(None, span)])
    await _tell_made(tx, doctor.id, ids)
    return Made(slot_ids=ids)


class NewSlots(Ask):
    """Many slots at once: on each of these days that is one of the weekdays, from–to, so long and so far apart."""

    doctor_id: Id
    location_id: Id
    first_day: date
    last_day: date
    weekdays: list[int] = Field(default=list(range(7)), min_length=1, max_length=7, description="0 is Monday.")
    starts: WallTime = Field(description="Local; a time to at or before it is the next day's.")
    ends: WallTime
    slot_minutes: SlotMinutes
    between_minutes: Minutes = 0
    capacity: Capacity = 1
    mode: SlotMode = "both"


async def add_slots(tx: Tx, actor: Actor, ask: NewSlots) -> Made:
    """Add slots on many days; those that are past or meet one that the doctor has are left out, and counted.

    Raises `NotFound`, `NotAllowed`, `DoctorElsewhere`, `InvalidRequest` where the days or times make no sense.
    """
    doctor = await gate_doctor(tx, actor, ask.doctor_id)
    place = await access_place(tx.conn, actor, doctor, ask.location_id)
    asked = _asked(ask, place.zone)
    coming = [one for one in asked if one.starts_at > tx.now]
    if not coming:
        return Made(slot_ids=[], past=len(asked))
    taken = await tx.conn.fetch(TAKEN_TIME, doctor.id, coming[0].starts_at, coming[-1].ends_at)
    free = rules.apart(coming, [Span(row["starts_at"], row["ends_at"]) for row in taken])
    ids = await insert_slots(tx, doctor, place.id, [(None, one) for one in free])
    await _tell_made(tx, doctor.id, ids)
    return Made(slot_ids=ids, past=len(asked) - len(coming), overlapping=len(coming) - len(free))


def _asked(ask: NewSlots, zone: ZoneInfo) -> list[Span]:
    """The slots that a request means, in order; of two nights that meet, the earlier stays."""
    if not 0 <= (ask.last_day - ask.first_day).days < 366:
        raise wrong(("/last_day", "The last day comes after the first, within a year of it.", "ends-before-start"))
    asked: list[Span] = []
    for day in rules.each_day(ask.first_day, ask.last_day):
        if day.weekday() in ask.weekdays:
            session = rules.WorkingTime(
                weekday=day.weekday(),
                starts=ask.starts,
                ends=ask.ends,
                slot_minutes=ask.slot_minutes,
                buffer_minutes=ask.between_minutes,
                capacity=ask.capacity,
                mode=ask.mode,
            )
            asked += [one for one in rules.spans(zone, day, session) if not asked or one.starts_at >= asked[-1].ends_at]
    if len(asked) > AT_ONCE:
        raise wrong(("/last_day", f"At most {AT_ONCE} slots can be made at once.", "too-many-slots"))
    return asked


TAKEN_TIME = """
select starts_at, ends_at from slots
where doctor_id = $1 and during && tstzrange($2, $3) order by starts_at
"""


async def insert_slots(
    tx: Tx, doctor: Doctor, location_id: int, wanted: Sequence[tuple[int | None, Span]]
) -> list[int]:
    """New slots, each of this schedule or of none, blocked where a blocked period lies over them. Nothing is told."""
    rows = await tx.conn.fetch(
        ADD_SLOTS,
        doctor.institution_id,
        doctor.id,
        location_id,
        [span.starts_at for _, span in wanted],
        [span.ends_at for _, span in wanted],
        [span.capacity for _, span in wanted],
        [span.mode for _, span in wanted],
        [schedule for schedule, _ in wanted],
    )
    return [row["id"] for row in rows]


ADD_SLOTS = """
insert into slots (institution_id, doctor_id, location_id, starts_at, ends_at, capacity, mode, schedule_id, block_id)
select $1, $2, $3, starts_at, ends_at, capacity, mode, schedule_id,
    (select b.id from blocks b
     where b.institution_id = $1 and b.ended_at is null and b.starts_at < n.ends_at and b.ends_at > n.starts_at
         and (b.doctor_id is null or b.doctor_id = $2) and (b.location_id is null or b.location_id = $3)
     order by b.id limit 1)
from unnest($4::timestamptz[], $5::timestamptz[], $6::smallint[], $7::text[], $8::bigint[])
    as n (starts_at, ends_at, capacity, mode, schedule_id)
order by starts_at
returning id
"""


async def _tell_made(tx: Tx, doctor_id: int, slot_ids: Sequence[int]) -> None:
    """Tell of new slots, and note them; where all of them are blocked, that something was arranged."""
    if not slot_ids:
        return
    tx.about(f"doctor-slots:{doctor_id}", None, {"added": list(slot_ids)})
    if await tx.conn.fetchval(ANY_VISIBLE, list(slot_ids)):
        await tell_slots(tx, slot_ids, events.SlotAdded)
    else:
        tell_arranged(tx, doctor_id)


ANY_VISIBLE = "select exists (select from slots where id = any($1::bigint[]) and open and block_id is null)"


# Changing and removing them


class OneSlot(BaseModel):
    """A slot as those see it who arrange the doctor's time."""

    model_config = ConfigDict(frozen=True)

    id: int
    location_id: int
    starts_at: AwareDatetime
    ends_at: AwareDatetime
    capacity: int
    taken: int
    mode: SlotMode
    open: bool
    block_id: int | None
    schedule_id: int | None

    @property
    def visible(self) -> bool:
        """Whether it is shown to those who may book."""
        return self.open and self.block_id is None


async def _slots_of(tx: Tx, actor: Actor, slot_ids: Sequence[int]) -> tuple[Doctor, list[OneSlot]]:
    """These slots of one doctor, held with their gate. Raises `NotFound`, `NotAllowed`, `TimePassed`."""
    doctors = {row["doctor_id"] for row in await tx.conn.fetch(DOCTORS_OF, list(slot_ids))}
    if len(doctors) != 1:
        raise errors.NotFound("There are no such slots of one doctor here.")
    doctor = await gate_doctor(tx, actor, doctors.pop())
    found = [_one(row) for row in await tx.conn.fetch(SLOTS_OF, list(slot_ids), doctor.id)]
    if len(found) != len(set(slot_ids)):
        raise errors.NotFound("There is no such slot here.")
    if not all(actor.at(one.location_id) for one in found):
        raise errors.NotAllowed("That is not at one of your locations.")
    if any(one.ends_at <= tx.now for one in found):
        raise errors.TimePassed()
    return doctor, found


DOCTORS_OF = "select distinct doctor_id from slots where id = any($1::bigint[])"
SLOTS_OF = """
select id, doctor_id, location_id, starts_at, ends_at, capacity, taken, mode, open, block_id, schedule_id, filed_at
from slots where id = any($1::bigint[]) and doctor_id = $2 order by starts_at
"""


def _one(row: Any) -> OneSlot:
    return OneSlot(**{name: row[name] for name in OneSlot.model_fields})


class ChangeSlot(Ask):
    """What is to change of a slot: whether it is open, its seats, its mode."""

    slot_id: Id
    open: bool | None = None
    capacity: Capacity | None = None
    mode: SlotMode | None = None


async def change_slot(tx: Tx, actor: Actor, ask: ChangeSlot) -> OneSlot:
    """Open or close a slot, or change its seats or mode. Bookings that it has stay.

    Raises `NotFound`, `NotAllowed`, `TimePassed`, and `SlotBooked` where more seats are taken than it would have.
    """
    doctor, (before,) = await _slots_of(tx, actor, [ask.slot_id])
    if ask.capacity is not None and ask.capacity < before.taken:
        raise errors.SlotBooked(taken=before.taken)
    after = _one(await tx.conn.fetchrow(CHANGE_SLOT, ask.slot_id, ask.open, ask.capacity, ask.mode))
    if after == before:
        return after
    tx.about(f"slot:{after.id}", before.model_dump(mode="json"), after.model_dump(mode="json"))
    if before.visible and not after.visible:
        tell_gone(tx, doctor.id, [after.id])
    elif after.visible:
        await tell_slots(tx, [after.id], events.SlotAvailabilityChanged if before.visible else events.SlotAdded)
    else:
        tell_arranged(tx, doctor.id)
    return after


CHANGE_SLOT = """
update slots set open = coalesce($2, open), capacity = coalesce($3, capacity), mode = coalesce($4, mode)
where id = $1
returning id, doctor_id, location_id, starts_at, ends_at, capacity, taken, mode, open, block_id, schedule_id, filed_at
"""


class RemoveSlot(Ask):
    """One slot."""

    slot_id: Id


class RemoveSlots(Ask):
    """Some slots of one doctor."""

    slot_ids: list[Id] = Field(min_length=1, max_length=500)


class Removed(Reply):
    """The slots that are gone."""

    slot_ids: list[int]


async def remove_slot(tx: Tx, actor: Actor, ask: RemoveSlot) -> Removed:
    """Take a slot away for good. Raises `NotFound`, `NotAllowed`, `TimePassed`, `SlotBooked` where it is taken."""
    return await _remove(tx, actor, [ask.slot_id])


async def remove_slots(tx: Tx, actor: Actor, ask: RemoveSlots) -> Removed:
    """Take slots away for good: all or none. Raises `NotFound`, `NotAllowed`, `TimePassed`, `SlotBooked`."""
    return await _remove(tx, actor, ask.slot_ids)


async def _remove(tx: Tx, actor: Actor, slot_ids: Sequence[int]) -> Removed:
    doctor, found = await _slots_of(tx, actor, slot_ids)
    if booked := [one for one in found if one.taken]:
        raise errors.SlotBooked(taken=sum(one.taken for one in booked), slot_ids=[one.id for one in booked])
    await delete_slots(tx, doctor.id, found)
    return Removed(slot_ids=[one.id for one in found])


async def delete_slots(tx: Tx, doctor_id: int, gone: Sequence[OneSlot]) -> None:
    """Delete slots in which nobody has a seat, and tell it."""
    await tx.conn.execute(DELETE_SLOTS, [one.id for one in gone])
    tx.about(f"doctor-slots:{doctor_id}", {"removed": [one.id for one in gone]}, None)
    if shown := [one.id for one in gone if one.visible]:
        tell_gone(tx, doctor_id, shown)
    elif gone:
        tell_arranged(tx, doctor_id)


DELETE_SLOTS = "delete from slots where id = any($1::bigint[])"


# Filing what is past

FILED_AFTER = timedelta(days=1)
"""So long after its end a slot is shown no more."""


class OfDoctor(Ask):
    """One doctor."""

    doctor_id: Id


async def file_slots(tx: Tx, actor: Actor, ask: OfDoctor) -> Removed:
    """Show a doctor's slots no more that ended a day ago; the system's. Raises `NotFound`."""
    await tx.gate(events.slots(ask.doctor_id))
    rows = await tx.conn.fetch(FILE_SLOTS, ask.doctor_id, tx.now, tx.now - FILED_AFTER, AT_ONCE)
    tell_gone(tx, ask.doctor_id, [row["id"] for row in rows if row["open"] and row["block_id"] is None])
    return Removed(slot_ids=[row["id"] for row in rows])


FILE_SLOTS = """
update slots set filed_at = $2 where id in (
    select id from slots where doctor_id = $1 and filed_at is null and ends_at < $3 order by ends_at limit $4
) returning id, open, block_id
"""

FILE_DOCTOR: Command[OfDoctor, Removed] = Command("file-slots", file_slots, OfDoctor, Removed, frozenset(), "")

COMMANDS: list[Command[Any, Any]] = [
    Command("add-slot", add_slot, NewSlot, Made, OWN, "POST /doctors/{doctor_id}/slots", status=201),
    Command("add-slots", add_slots, NewSlots, Made, OWN, "POST /doctors/{doctor_id}/slots/bulk", status=201),
    Command("remove-slots", remove_slots, RemoveSlots, Removed, OWN, "POST /slots/remove"),
    Command("change-slot", change_slot, ChangeSlot, OneSlot, OWN, "POST /slots/{slot_id}"),
    Command("remove-slot", remove_slot, RemoveSlot, Removed, OWN, "DELETE /slots/{slot_id}"),
]
