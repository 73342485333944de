"""Seats and numbers: what an appointment takes up, and what stands on its letter.

Invariants: a seat is taken and freed only with the gate of its doctor's slots held, and everybody who looks at them is
told. Numbers are given under their day's row until the transaction ends, so that they have no gaps.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Literal, TypeVar
from zoneinfo import ZoneInfo

from server import availability, errors, events, slots
from server.access import Role
from server.events import Mode
from server.slots.rules import Time
from server.store import Connection, Read, Tx

R = TypeVar("R", bound=errors.Refusal)


async def times(conn: Connection, slot_ids: Sequence[int]) -> list[Time]:
    """These slots, in order of time. Raises `NotFound` where one is not there."""
    rows = await conn.fetch(SLOTS_WANTED, list(slot_ids))
    if len(rows) != len(set(slot_ids)):
        raise errors.NotFound("There is no such time here.")
    return [Time.of(row) for row in rows]


SLOTS_WANTED = """
select id, doctor_id, location_id, starts_at, ends_at, mode, open, block_id is not null as blocked,
    capacity - taken as left
from slots where id = any($1::bigint[]) order by starts_at
"""


async def free_times(
    conn: Connection, doctor_ids: Sequence[int], location_id: int, starts_at: datetime, ends_at: datetime
) -> list[Time]:
    """The free slots of these doctors at a location that lie in this time, even in part; each doctor's in order."""
    return [Time.of(row) for row in await conn.fetch(FREE_TIMES, list(doctor_ids), location_id, starts_at, ends_at)]


FREE_TIMES = """
select id, doctor_id, location_id, starts_at, ends_at, mode, open, false as blocked, capacity - taken as left
from slots where doctor_id = any($1::bigint[]) and location_id = $2 and open and block_id is null and taken < capacity
    and starts_at > $3::timestamptz - interval '12 hours' and starts_at < $4 and ends_at > $3
order by doctor_id, starts_at
"""


async def take_seats(tx: Tx, appointment_id: int, slot_ids: Sequence[int]) -> None:
    """Give an appointment one seat of each slot; the caller holds the gates of their doctors' slots.

    Raises `SlotFull` where one has none left.
    """
    if not slot_ids:
        return
    await _take(tx, slot_ids, appointment_id, None)


async def hold_seats(tx: Tx, offer_id: int, slot_ids: Sequence[int]) -> None:
    """Take one seat of each slot for an offer to the waitlist; the caller holds the gates of their doctors' slots.

    Raises `SlotFull` where one has none left.
    """
    await _take(tx, slot_ids, None, offer_id)


async def _take(tx: Tx, slot_ids: Sequence[int], appointment_id: int | None, offer_id: int | None) -> None:
    taken = await tx.conn.fetch(TAKE_SEATS, list(slot_ids), appointment_id, offer_id)
    if len(taken) != len(slot_ids):
        raise errors.SlotFull()
    await availability.tell_slots(tx, slot_ids)


# The lowest number that is free. Of two that choose the same in a race that no gate held off, the key lets one have it.
TAKE_SEATS = """
insert into seats (slot_id, number, capacity, appointment_id, offer_id)
select s.id, n.number, s.capacity, $2, $3
from slots s cross join lateral (
    select min(g.number) as number from generate_series(1, s.capacity) as g (number)
    where not exists (select from seats t where t.slot_id = s.id and t.number = g.number)
) n
where s.id = any($1::bigint[]) and n.number is not null
order by s.id
returning slot_id
"""


async def free_seats(tx: Tx, appointment_id: int, slot_ids: Sequence[int] | None = None) -> None:
    """Take an appointment's seats from it, all or those of these slots; the caller holds their gates."""
    freed = [row["slot_id"] for row in await tx.conn.fetch(FREE_SEATS, appointment_id, slot_ids)]
    if freed:
        await availability.tell_slots(tx, freed)


FREE_SEATS = """
delete from seats where appointment_id = $1 and ($2::bigint[] is null or slot_id = any($2)) returning slot_id
"""


async def let_go_of_seats(tx: Tx, offer_id: int) -> None:
    """Free the seats that an offer holds; the caller holds their gates."""
    freed = [row["slot_id"] for row in await tx.conn.fetch(LET_GO, offer_id)]
    if freed:
        await availability.tell_slots(tx, freed)


LET_GO = "delete from seats where offer_id = $1 returning slot_id"


async def offered_then(conn: Connection, patient_id: int | None, slot_ids: Sequence[int]) -> list[events.Stream[Any]]:
    """The gates of the slots that are offered to a patient from the waitlist while these go on.

    Whoever has them be elsewhere then takes these gates as well: what they cannot come to is the next one's at once.
    """
    return [events.slots(row["doctor_id"]) for row in await conn.fetch(OFFERED_THEN, patient_id, list(slot_ids))]


OFFERED_THEN = """
select distinct o.doctor_id from waitlist w join offers o on o.entry_id = w.id and o.state = 'open'
cross join (select min(starts_at) as begins, max(ends_at) as ends from slots where id = any($2::bigint[])) s
where w.patient_id = $1 and w.state = 'offered' and o.starts_at < s.ends and o.ends_at > s.begins order by o.doctor_id
"""


async def turn_over(tx: Tx, offer_id: int, appointment_id: int) -> None:
    """Let the very seats that an offer holds be an appointment's: nobody can take them in between."""
    await tx.conn.execute(TURN_OVER, offer_id, appointment_id)


TURN_OVER = "update seats set appointment_id = $2, offer_id = null where offer_id = $1"


async def hand_over(tx: Tx, appointment_id: int, to: int, slot_ids: Sequence[int]) -> None:
    """Let one appointment's seats of these slots be another's: of a visit that moves by less than it is long."""
    await tx.conn.execute(HAND_OVER, appointment_id, to, list(slot_ids))


HAND_OVER = "update seats set appointment_id = $2 where appointment_id = $1 and slot_id = any($3::bigint[])"


def full(
    tx: Tx, institution_id: int, wanted: Sequence[Time], mode: Mode, specialty_id: int | None = None
) -> errors.SlotFull:
    """The refusal of slots that are taken, with the nearest that are not: of the doctor, or of the specialty."""
    return _offering(errors.SlotFull(), tx, institution_id, wanted, mode, specialty_id)


def _offering(
    refusal: R, tx: Tx, institution_id: int, wanted: Sequence[Time], mode: Mode, specialty_id: int | None
) -> R:
    """The refusal, which looks for the nearest times that can be had."""
    length = sum((one.ends_at - one.starts_at for one in wanted), timedelta())

    async def look(view: Read) -> dict[str, Any]:
        items = await slots.nearest(
            view,
            institution_id,
            doctor_id=None if specialty_id else wanted[0].doctor_id,
            specialty_id=specialty_id,
            around=wanted[0].starts_at,
            mode=mode,
            minutes=int(length.total_seconds()) // 60,
            patient=tx.actor.role is Role.patient,
        )
        return {"alternatives": [one.model_dump(mode="json") for one in items]}

    refusal.look = look
    return refusal


async def refuse_locked(
    tx: Tx, institution_id: int, wanted: Sequence[Time], mode: Mode, specialty_id: int | None
) -> None:
    """Raise `SlotLocked` where somebody else is about to book all that is left; without Redis, nothing is locked."""
    if not isinstance(tx.locks, slots.Locks):
        return
    shown = await tx.locks.shown(sorted({one.doctor_id for one in wanted}))
    for one in wanted:
        until = shown[one.doctor_id].slots.get(one.id, []) if one.doctor_id in shown else []
        if until and one.left <= len(until):
            locked = errors.SlotLocked(until=max(until).isoformat())
            raise _offering(locked, tx, institution_id, wanted, mode, specialty_id)


# Numbers

PREFIX = {"scheduled": "APT", "walk_in": "WLK"}


async def next_number(tx: Tx, institution_id: int, kind: Literal["scheduled", "walk_in"], zone: ZoneInfo) -> str:
    """The institution's next number of this kind and of its local day; `zone` is the institution's.

    Take it late: whoever books next waits until this transaction ends.
    """
    day = tx.now.astimezone(zone).date()
    last = await tx.conn.fetchval(NEXT_NUMBER, institution_id, kind, day)
    return f"{PREFIX[kind]}-{day:%Y%m%d}-{last:04d}"


NEXT_NUMBER = """
insert into appointment_numbers as n (institution_id, kind, day, last) values ($1, $2, $3, 1)
on conflict (institution_id, kind, day) do update set last = n.last + 1 returning last
"""
