"""Blocking time, with what becomes of the bookings in it: they stay, are called off, or are moved behind it.

Invariant: the period, and whatever becomes of each booking, is one transaction under the gates of all doctors whom it
concerns, so no booking slips in between the list that was shown and the block. Whoever is there already is never sent
away by it.
"""

from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from typing import Any, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import AwareDatetime, Field, model_validator

from server import errors
from server.access import STAFF, Actor
from server.appointments import life, rules
from server.appointments.booking import TERMS, refuse_elsewhere, terms_of
from server.appointments.records import PLACES_OF, Appointment, load_appointment, streams_of
from server.appointments.rules import Step
from server.asks import Ask, Id, Reply, Text, wrong
from server.availability import (
    Block,
    BlockKind,
    Scope,
    access_scope,
    add_block,
    blocked_slots,
    days_in,
    doctors_concerned,
)
from server.slots.rules import Time, adjacent
from server.store import Command, Tx

LONGEST = timedelta(days=400)
"""A longer absence is a schedule that ends."""
LOOK_AHEAD = timedelta(days=90)
"""So far behind the period a booking is moved at most."""
TRIES = 40
"""Free times that are tried for one booking: its patient may be elsewhere at some."""

Fate = Literal["keep", "cancel", "move"]


class BlockTime(Ask):
    """A period in hours or whole days, of a doctor, a location or, with neither, the institution."""

    institution_id: Id | None = None
    doctor_id: Id | None = None
    location_id: Id | None = None
    starts_at: AwareDatetime | None = None
    ends_at: AwareDatetime | None = None
    first_day: date | None = None
    last_day: date | None = None
    kind: BlockKind
    reason: Text | None = None
    bookings: Fate | None = Field(default=None, description="What becomes of those in it; asked for where there are.")

    @model_validator(mode="after")
    def _hours_or_days(self) -> Self:
        hours, days = (self.starts_at, self.ends_at), (self.first_day, self.last_day)
        if (None in hours) == (None in days) or hours.count(None) == 1 or days.count(None) == 1:
            raise ValueError("give either starts_at and ends_at or first_day and last_day")
        return self


class Became(Reply):
    """What became of one booking; `problem` says why it stays where it was to go."""

    appointment_id: int
    number: str
    outcome: Literal["kept", "cancelled", "moved"]
    to_appointment_id: int | None = None
    to_starts_at: datetime | None = None
    problem: dict[str, Any] | None = None


class Blocked(Reply):
    """The period, and what became of each booking in it."""

    block: Block
    bookings: list[Became]


async def block_time(tx: Tx, actor: Actor, ask: BlockTime) -> Blocked:
    """Block a period, and keep, call off or move the bookings in it, each with its result.

    Raises `BlockHasBookings` with the list where nothing is said of them, `NotFound`, `NotAllowed`, `InvalidRequest`.
    """
    scope, zone = await _scope(tx, actor, ask)
    starts_at, ends_at = _period(ask, zone)
    if ends_at - starts_at > LONGEST or ends_at <= starts_at:
        raise wrong(("", "Should end after it starts, within 400 days.", "ends-before-start"))
    bookings = await _gated(tx, scope, starts_at, ends_at)
    tx.institution_id = scope.institution_id
    if ends_at <= tx.now:
        raise wrong(("", "Should not be over.", "over-already"))
    there = [await load_appointment(tx, actor, id_, asked=True) for id_ in bookings]
    if there and ask.bookings is None:
        raise errors.BlockHasBookings(bookings=[_listed(one) for one in there])
    days = ask.first_day is not None
    block = await add_block(tx, scope, starts_at, ends_at, kind=ask.kind, reason=ask.reason, whole_days=days)
    became = [await _becomes(tx, actor, one, ask, ends_at) for one in there]
    return Blocked(block=block, bookings=became)


async def _scope(tx: Tx, actor: Actor, ask: BlockTime) -> tuple[Scope, ZoneInfo]:
    """What is to be blocked, and the zone that its days are of. Raises `NotFound`, `NotAllowed`."""
    institution_id = ask.institution_id or actor.institution_id
    row = await tx.conn.fetchrow(PLACE_OF_BLOCK, ask.doctor_id, ask.location_id, institution_id)
    if row is None or not actor.within(row["institution_id"]):
        raise errors.NotFound("There is nothing like that here.")
    scope = Scope(row["institution_id"], ask.doctor_id, ask.location_id)
    access_scope(actor, scope)
    return scope, ZoneInfo(row["zone"])


PLACE_OF_BLOCK = """
select i.id as institution_id, coalesce(l.zone, i.zone) as zone
from institutions i
left join doctors d on d.id = $1
left join locations l on l.id = $2
where i.id = coalesce(d.institution_id, l.institution_id, $3)
    and ($1::bigint is null or d.institution_id = i.id) and ($2::bigint is null or l.institution_id = i.id)
"""


def _period(ask: BlockTime, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """From when to when, in real time."""
    if ask.first_day is not None and ask.last_day is not None:
        days = days_in(zone, ask.first_day, ask.last_day)
        return days.starts_at, days.ends_at
    assert ask.starts_at is not None and ask.ends_at is not None
    return ask.starts_at, ask.ends_at


async def _gated(tx: Tx, scope: Scope, starts_at: datetime, ends_at: datetime) -> list[int]:
    """Take the gates of all doctors concerned and of all bookings in the period; answers those, in order of time."""
    found = await _bookings(tx, scope, starts_at, ends_at)
    places = await tx.conn.fetch(PLACES_OF, found)
    gates = streams_of(await doctors_concerned(tx.conn, scope))
    gates += [gate for row in places for gate in streams_of(row["doctors"], row["queue_id"])]
    if gates:
        await tx.gate(*gates)
    # One that came meanwhile has gates of its own: `load_appointment` has the command tried anew where one is missing.
    return await _bookings(tx, scope, starts_at, ends_at)


async def _bookings(tx: Tx, scope: Scope, starts_at: datetime, ends_at: datetime) -> list[int]:
    slots = await blocked_slots(tx.conn, scope, starts_at, ends_at)
    return [row["id"] for row in await tx.conn.fetch(BOOKINGS, slots)]


BOOKINGS = """
select a.id from appointments a
where a.id in (select s.appointment_id from seats s where s.slot_id = any($1::bigint[]))
    and a.state in ('pending', 'confirmed', 'checked_in', 'in_progress')
order by a.starts_at, a.id
"""


def _listed(one: Appointment) -> dict[str, Any]:
    """A booking as whoever blocks time is told of it."""
    return {
        "appointment_id": one.id,
        "number": one.number,
        "state": one.state,
        "starts_at": one.starts_at.isoformat(),
        "doctor_id": one.doctor_id,
        "doctor_name": one.doctor_name,
        "patient": one.patient.name,
    }


# What becomes of each


async def _becomes(tx: Tx, actor: Actor, one: Appointment, ask: BlockTime, after: datetime) -> Became:
    """Do with a gated booking what was said; where that cannot be, it stays, and the result says why."""
    wish = {"cancel": Step.cancel, "move": Step.reschedule}.get(ask.bookings or "keep")
    if wish is None:
        return Became(appointment_id=one.id, number=one.number, outcome="kept")
    try:
        async with tx.attempt():
            if wish is Step.cancel:
                await life.cancelled(tx, actor, one, ask.reason)
                return Became(appointment_id=one.id, number=one.number, outcome="cancelled")
            new = await _moved(tx, actor, one, after, ask.reason)
    except errors.Refusal as refusal:
        return Became(appointment_id=one.id, number=one.number, outcome="kept", problem=errors.problem(refusal))
    return Became(
        appointment_id=one.id,
        number=one.number,
        outcome="moved",
        to_appointment_id=new.id,
        to_starts_at=new.starts_at,
    )


async def _moved(tx: Tx, actor: Actor, one: Appointment, after: datetime, reason: str | None) -> Appointment:
    """The booking at its doctor's next free time behind the period: as long, at the same place, in the same way.

    Raises `StepNotAllowed`, `NotForYou` for a request that is with no doctor yet, `SlotFull` where there is no time.
    """
    if not rules.allowed(Step.reschedule, one.state):
        raise errors.StepNotAllowed("The patient is there already.", state=one.state, step=Step.reschedule)
    if one.doctor_id is None:
        raise errors.NotForYou("Nobody has accepted that request: it waits for another doctor.")
    assert one.ends_at is not None
    rows = await tx.conn.fetch(FREE_BEHIND, one.doctor_id, one.location_id, after, after + LOOK_AHEAD, one.mode)
    free = [Time.of(row) for row in rows]
    place = await tx.conn.fetchrow(TERMS, one.doctor_id, one.location_id, None)
    assert place is not None
    for tried, wanted in enumerate(_runs(free, one.ends_at - one.starts_at)):
        if tried == TRIES:
            break
        terms = terms_of(place, wanted, one.doctor_id, None, [one.doctor_id])
        try:
            await refuse_elsewhere(tx, one.patient.id, terms, but=one.id)
        except errors.PatientElsewhere:
            continue
        late = rules.too_late(one.state, one.change_until, tx.now)
        return await life.move(tx, actor, one, terms, reason, insisted=False, late=late, may_stay=False)
    raise errors.SlotFull("The doctor has no free time behind that period.")


FREE_BEHIND = """
select id, doctor_id, location_id, starts_at, ends_at, mode, open, false as blocked, capacity - taken as left
from slots where doctor_id = $1 and location_id = $2 and open and block_id is null and taken < capacity
    and starts_at >= $3 and starts_at < $4 and mode in ($5, 'both')
order by starts_at limit 2000
"""


def _runs(free: Sequence[Time], length: timedelta) -> Iterator[list[Time]]:
    """Each of these free times, with as many that follow it closely as make up the length."""
    for at, first in enumerate(free):
        run, have = [first], first.ends_at - first.starts_at
        for later in free[at + 1 :]:
            if have >= length or not adjacent([run[-1], later]):
                break
            run.append(later)
            have += later.ends_at - later.starts_at
        if have >= length:
            yield run


COMMANDS: list[Command[Any, Any]] = [
    Command("block-time", block_time, BlockTime, Blocked, STAFF, "POST /blocks", status=201),
]
