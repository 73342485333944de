"""Weekly schedules, and the slots that are made from them ahead of time.

Invariants:
- On each day, of one doctor's schedules at one location the one holds that began last; schedules at different
  locations never have the doctor in two places at once.
- Each day's slots are made once (`schedules.made_until`, one for all schedules of a doctor and location): what somebody
  removed stays removed. A change of schedules touches only what the schedules mean differently, in the future, and of
  that only slots in which nobody has a seat.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import orjson
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from server import errors, events
from server.access import SYSTEM, Actor
from server.asks import Ask, Id, Reply, wrong
from server.availability import rules
from server.availability.blocks import Block, block_of, told
from server.availability.rules import Change, Existing, Schedule, Span, WorkingTime
from server.availability.slots import (
    OWN,
    Doctor,
    OfDoctor,
    OneSlot,
    Place,
    access_doctor,
    access_place,
    gate_doctor,
    insert_slots,
    tell_arranged,
    tell_gone,
    tell_slots,
)
from server.settings import effective_booking
from server.store import Command, Connection, Query, Read, Tx

LATEST_START = timedelta(days=3 * 366)
"""How far ahead a schedule may begin."""


# What is stored


async def schedules_of(conn: Connection, doctor_id: int) -> list[Schedule]:
    """All schedules of a doctor at locations that there still are, ended ones as well."""
    return [_schedule(row) for row in await conn.fetch(SCHEDULES, doctor_id)]


SCHEDULES = """
select s.id, s.location_id, s.starts_on, s.ends_on, s.every_weeks, s.week::text as week,
    coalesce(l.zone, i.zone) as zone
from schedules s join locations l on l.id = s.location_id join institutions i on i.id = s.institution_id
where s.doctor_id = $1 and l.retired_at is null order by s.location_id, s.starts_on
"""


def _schedule(row: Any) -> Schedule:
    return Schedule(
        id=row["id"],
        location_id=row["location_id"],
        zone=ZoneInfo(row["zone"]),
        starts_on=row["starts_on"],
        ends_on=row["ends_on"],
        every_weeks=row["every_weeks"],
        week=tuple(WorkingTime.model_validate(one) for one in orjson.loads(row["week"])),
    )


class ScheduleView(BaseModel):
    """A weekly schedule as those see it who arrange the doctor's time."""

    model_config = ConfigDict(frozen=True)

    id: int
    doctor_id: int
    location_id: int
    starts_on: date
    ends_on: date | None
    every_weeks: int
    week: list[WorkingTime]
    holds: bool = Field(description="Whether it is this one that holds today.")


def _view(doctor_id: int, one: Schedule, all_: Sequence[Schedule], today: date) -> ScheduleView:
    holds = rules.holding(all_, one.location_id, today)
    return ScheduleView(
        id=one.id,
        doctor_id=doctor_id,
        location_id=one.location_id,
        starts_on=one.starts_on,
        ends_on=one.ends_on,
        every_weeks=one.every_weeks,
        week=list(one.week),
        holds=holds is not None and holds.id == one.id,
    )


# Making slots of them


@dataclass(frozen=True, slots=True)
class Course:
    """What happens to one location's slots: the change, and the days that have slots after it."""

    change: Change
    made_until: date


async def plan_change(
    conn: Connection,
    now: AwareDatetime,
    doctor: Doctor,
    location_id: int,
    before: list[Schedule],
    after: list[Schedule],
) -> Course:
    """What a change of the schedules would do to a location's slots, made as far ahead as it can be booked."""
    zone = next(one.zone for one in (*after, *before) if one.location_id == location_id)
    today = rules.local_day(zone, now)
    row = await conn.fetchrow(HOW_FAR, doctor.id, location_id)
    assert row is not None
    booking = effective_booking(orjson.loads(row["institution"]), orjson.loads(row["doctor"]))
    made_until = max(row["made_until"] or today, today)
    last = max(today + timedelta(days=booking.advance_booking_days), made_until - rules.DAY)
    # A night's session that began yesterday may still have slots to come.
    first = made_until - rules.DAY if before == after else today - rules.DAY
    old = _to_come(rules.planned(before, location_id, first, made_until - rules.DAY), now)
    new = _to_come(rules.planned(after, location_id, first, last), now)
    work = rules.worked(after, location_id, first, last) if before != after else []
    there = await conn.fetch(EXISTING, doctor.id, location_id, now)
    existing = [_existing(one) for one in there]
    return Course(rules.difference(existing, old, new, work), last + rules.DAY)


HOW_FAR = """
select d.booking::text as doctor, i.booking::text as institution,
    (select max(s.made_until) from schedules s where s.doctor_id = d.id and s.location_id = $2) as made_until
from doctors d join institutions i on i.id = d.institution_id where d.id = $1
"""
EXISTING = """
select id, starts_at, ends_at, capacity, mode, taken, open, (schedule_id is not null and location_id = $2) as made
from slots where doctor_id = $1 and ends_at > $3 order by starts_at
"""


def _to_come(plan: rules.Plan, now: AwareDatetime) -> rules.Plan:
    return [(schedule, span) for schedule, span in plan if span.starts_at > now]


def _existing(row: Any) -> Existing:
    span = Span(row["starts_at"], row["ends_at"], row["capacity"], row["mode"])
    return Existing(row["id"], span, row["taken"], row["open"], row["made"])


async def carry_out(tx: Tx, doctor: Doctor, location_id: int, course: Course) -> None:
    """Do what was planned, tell it, and note up to which day slots exist; the doctor's gate is held."""
    change = course.change
    shown = {row["id"] for row in await tx.conn.fetch(SHOWN, [*change.removed, *change.outside])}
    await tx.conn.execute(GIVE_UP, change.removed)
    await tx.conn.execute(SET_OPEN, change.outside, False)
    await tx.conn.execute(SET_OPEN, change.reopened, True)
    altered = [id_ for id_, _ in change.altered]
    spans = [span for _, span in change.altered]
    await tx.conn.execute(ALTER, altered, [one.capacity for one in spans], [one.mode for one in spans])
    added = await insert_slots(tx, doctor, location_id, [(schedule.id, span) for schedule, span in change.added])
    await tx.conn.execute(NOTE_MADE, doctor.id, location_id, course.made_until)
    tell_gone(tx, doctor.id, [one for one in (*change.removed, *change.outside) if one in shown])
    await tell_slots(tx, [*change.reopened, *added], events.SlotAdded)
    await tell_slots(tx, altered)


SHOWN = """
select id from slots where id = any($1::bigint[]) and open and block_id is null and filed_at is null
"""
GIVE_UP = "delete from slots where id = any($1::bigint[])"
SET_OPEN = "update slots set open = $2 where id = any($1::bigint[])"
ALTER = """
update slots s set capacity = n.capacity, mode = n.mode
from unnest($1::bigint[], $2::smallint[], $3::text[]) as n (id, capacity, mode) where s.id = n.id
"""
NOTE_MADE = "update schedules set made_until = $3 where doctor_id = $1 and location_id = $2"


class Generated(Reply):
    """How many slots were made."""

    added: int


async def generate(tx: Tx, doctor: Doctor) -> int:
    """Make the slots of the days that have none yet, as far ahead as they can be booked; the doctor's gate is held."""
    schedules = await schedules_of(tx.conn, doctor.id)
    added = 0
    for location_id in sorted({one.location_id for one in schedules}):
        course = await plan_change(tx.conn, tx.now, doctor, location_id, schedules, schedules)
        await carry_out(tx, doctor, location_id, course)
        added += len(course.change.added)
    return added


async def generate_slots(tx: Tx, actor: Actor, ask: OfDoctor) -> Generated:
    """Make a doctor's slots of further days; the system's. Raises `NotFound`."""
    doctor = await gate_doctor(tx, actor, ask.doctor_id)
    added = await generate(tx, doctor)
    if added:
        tx.about(f"doctor-slots:{doctor.id}", None, {"generated": added})
    return Generated(added=added)


GENERATE: Command[OfDoctor, Generated] = Command("generate-slots", generate_slots, OfDoctor, Generated, frozenset(), "")


# Where a location changes


async def doctors_at(conn: Connection, location_ids: Sequence[int], now: datetime) -> list[events.Stream[Any]]:
    """The gates of whoever has working time, or slots to come, at any of these locations."""
    return [events.slots(row["id"]) for row in await conn.fetch(DOCTORS_AT, list(location_ids), now)]


DOCTORS_AT = """
select d.id from doctors d
where d.institution_id in (select institution_id from locations where id = any($1::bigint[])) and (
    exists (select from schedules s where s.doctor_id = d.id and s.location_id = any($1))
    or exists (
        select from slots s where s.doctor_id = d.id and s.starts_at > $2 and s.location_id = any($1::bigint[])
    )
)
order by d.id
"""


async def follow_clock(tx: Tx, location_id: int, was: ZoneInfo) -> None:
    """Let a location's slots keep its local hours now that its clock is another; what is booked stays when it is.

    The caller holds the gates of `doctors_at`, and has stored the new zone.
    """
    gates = await doctors_at(tx.conn, [location_id], tx.now)
    tx.must_hold(*gates)
    for gate in gates:
        doctor = await access_doctor(tx.conn, SYSTEM, gate.id)
        after = await schedules_of(tx.conn, doctor.id)
        before = [replace(one, zone=was) if one.location_id == location_id else one for one in after]
        if before != after:
            course = await plan_change(tx.conn, tx.now, doctor, location_id, before, after)
            await carry_out(tx, doctor, location_id, course)


async def leave_location(tx: Tx, location_id: int) -> None:
    """Take away the slots to come of a location that is closed for good; the gates of `doctors_at` are held."""
    gates = await doctors_at(tx.conn, [location_id], tx.now)
    tx.must_hold(*gates)
    rows = await tx.conn.fetch(LEAVE, location_id, [gate.id for gate in gates], tx.now)
    for gate in gates:
        gone = [row["id"] for row in rows if row["doctor_id"] == gate.id and row["visible"]]
        if gone:
            tell_gone(tx, gate.id, gone)
        else:
            tell_arranged(tx, gate.id)


LEAVE = """
delete from slots where location_id = $1 and doctor_id = any($2::bigint[]) and starts_at > $3 and taken = 0
returning id, doctor_id, (open and block_id is null and filed_at is null) as visible
"""


# Arranging them


class Draft(Ask):
    """A weekly schedule of a doctor at a location."""

    doctor_id: Id
    location_id: Id
    starts_on: date
    ends_on: date | None = Field(default=None, description="Its last day.")
    every_weeks: int = Field(default=1, ge=1, le=8, description="2 is every second week, beginning with the first.")
    week: list[WorkingTime] = Field(min_length=1, max_length=50)


class Arranged(Reply):
    """A schedule as it is now, and what became of slots."""

    schedule: ScheduleView | None
    added: int
    removed: int
    altered: int
    outside: list[int] = Field(description="Booked slots that no longer lie in working time; their bookings stay.")


def drafted(draft: Draft, place: Place, id_: int = 0) -> Schedule:
    """The schedule that a draft states."""
    return Schedule(
        id=id_,
        location_id=place.id,
        zone=place.zone,
        starts_on=draft.starts_on,
        ends_on=draft.ends_on,
        every_weeks=draft.every_weeks,
        week=tuple(sorted(draft.week, key=lambda one: (one.weekday, one.starts))),
    )


async def check(conn: Connection, one: Schedule, others: Sequence[Schedule], today: date) -> None:
    """Whether a schedule can hold beside the doctor's others.

    Raises `InvalidRequest` where it makes no sense by itself, `ScheduleStarts`, `ScheduleOverlaps`.
    """
    if one.ends_on is not None and one.ends_on < one.starts_on:
        raise wrong(("/ends_on", "A schedule ends after it starts.", "ends-before-start"))
    if one.starts_on > today + LATEST_START:
        raise wrong(("/starts_on", "A schedule starts within three years.", "starts-too-late"))
    if (both := rules.colliding(one.week)) is not None:
        place = f"/week/{one.week.index(both[1])}"
        raise wrong((place, "Sessions of one week do not overlap.", "sessions-overlap"))
    if any(other.location_id == one.location_id and other.starts_on == one.starts_on for other in others):
        raise errors.ScheduleStarts()
    if (found := rules.clash([*others, one], one, today)) is not None:
        raise errors.ScheduleOverlaps(
            location_id=found.other.location_id,
            location=await conn.fetchval(NAME_OF_LOCATION, found.other.location_id),
            day=found.day.isoformat(),
            **{"from": f"{found.other_session.starts:%H:%M}", "to": f"{found.other_session.ends:%H:%M}"},
        )


NAME_OF_LOCATION = "select name from locations where id = $1"


async def add_schedule(tx: Tx, actor: Actor, ask: Draft) -> Arranged:
    """Add a weekly schedule, and the slots that it means.

    Raises `NotFound`, `NotAllowed`, `DoctorElsewhere`, `InvalidRequest`, `ScheduleStarts`, and `ScheduleOverlaps`
    where the doctor would be at two locations at once.
    """
    doctor = await gate_doctor(tx, actor, ask.doctor_id)
    place = await access_place(tx.conn, actor, doctor, ask.location_id)
    before = await schedules_of(tx.conn, doctor.id)
    await check(tx.conn, drafted(ask, place), before, rules.local_day(place.zone, tx.now))
    values = stored(drafted(ask, place))
    id_ = await tx.conn.fetchval(ADD_SCHEDULE, doctor.institution_id, doctor.id, place.id, *values, tx.now)
    return await _rearrange(tx, doctor, place, before, [*before, drafted(ask, place, id_)], id_)


ADD_SCHEDULE = """
insert into schedules (institution_id, doctor_id, location_id, starts_on, ends_on, every_weeks, week, created_at)
values ($1, $2, $3, $4, $5, $6, $7::jsonb, $8) returning id
"""


def stored(one: Schedule) -> tuple[date, date | None, int, str]:
    """A schedule's columns that can change."""
    week = orjson.dumps([session.model_dump(mode="json") for session in one.week]).decode()
    return one.starts_on, one.ends_on, one.every_weeks, week


class ChangeSchedule(Ask):
    """What is to change of a schedule; what is left out stays, and `ends_on` of null is without an end."""

    schedule_id: Id
    starts_on: date | None = None
    ends_on: date | None = None
    every_weeks: int | None = Field(default=None, ge=1, le=8)
    week: list[WorkingTime] | None = Field(default=None, min_length=1, max_length=50)

    def upon(self, one: Schedule, doctor_id: int) -> Draft:
        """The schedule with what is given here."""
        return Draft(
            doctor_id=doctor_id,
            location_id=one.location_id,
            starts_on=self.starts_on or one.starts_on,
            ends_on=self.ends_on if "ends_on" in self.model_fields_set else one.ends_on,
            every_weeks=self.every_weeks or one.every_weeks,
            week=self.week or list(one.week),
        )


async def change_schedule(tx: Tx, actor: Actor, ask: ChangeSchedule) -> Arranged:
    """Change a schedule: future slots follow it, save those that are booked.

    Raises `NotFound`, `NotAllowed`, `DoctorElsewhere`, `InvalidRequest`, `ScheduleStarts`, `ScheduleOverlaps`.
    """
    doctor, place, before, old = await _gate_schedule(tx, actor, ask.schedule_id)
    new = drafted(ask.upon(old, doctor.id), place, old.id)
    others = [one for one in before if one.id != old.id]
    await check(tx.conn, new, others, rules.local_day(place.zone, tx.now))
    await tx.conn.execute(CHANGE_SCHEDULE, old.id, *stored(new))
    return await _rearrange(tx, doctor, place, before, [*others, new], old.id)


CHANGE_SCHEDULE = """
update schedules set starts_on = $2, ends_on = $3, every_weeks = $4, week = $5::jsonb where id = $1
"""


class EndSchedule(Ask):
    """A schedule, and the last day on which it is to hold; left out, it ends with yesterday."""

    schedule_id: Id
    last_day: date | None = None


async def end_schedule(tx: Tx, actor: Actor, ask: EndSchedule) -> Arranged:
    """End a schedule, or take it away where it has not begun by then: unbooked slots after that day go.

    Raises `NotFound`, `NotAllowed`, `DoctorElsewhere`, and `ScheduleOverlaps` where an earlier one that holds again
    from there on would have the doctor at two locations at once.
    """
    doctor, place, before, old = await _gate_schedule(tx, actor, ask.schedule_id)
    last = ask.last_day or rules.local_day(place.zone, tx.now) - rules.DAY
    others = [one for one in before if one.id != old.id]
    new = replace(old, ends_on=min(last, old.ends_on or last))
    gone = last < old.starts_on
    await check_rest(tx.conn, others if gone else [*others, new], place, rules.local_day(place.zone, tx.now))
    if gone:
        reply = await _rearrange(tx, doctor, place, before, others, old.id)
        await tx.conn.execute(REMOVE_SCHEDULE, old.id)
        return reply
    await tx.conn.execute(CHANGE_SCHEDULE, old.id, *stored(new))
    return await _rearrange(tx, doctor, place, before, [*others, new], old.id)


REMOVE_SCHEDULE = "delete from schedules where id = $1"


async def check_rest(conn: Connection, schedules: Sequence[Schedule], place: Place, today: date) -> None:
    """Whether those that hold at a place once another ends can do so. Raises `ScheduleOverlaps`."""
    for one in schedules:
        if one.location_id == place.id and (one.ends_on is None or one.ends_on >= today):
            await check(conn, one, [other for other in schedules if other.id != one.id], today)


async def _gate_schedule(tx: Tx, actor: Actor, schedule_id: int) -> tuple[Doctor, Place, list[Schedule], Schedule]:
    """A schedule, its doctor, whose gate is taken, and all that the doctor has."""
    doctor_id = await tx.conn.fetchval(DOCTOR_OF_SCHEDULE, schedule_id)
    if doctor_id is None:
        raise errors.NotFound("There is no such schedule here.")
    doctor = await gate_doctor(tx, actor, doctor_id)
    before = await schedules_of(tx.conn, doctor_id)
    found = next((one for one in before if one.id == schedule_id), None)
    if found is None:
        raise errors.NotFound("There is no such schedule here.")
    return doctor, await access_place(tx.conn, actor, doctor, found.location_id), before, found


DOCTOR_OF_SCHEDULE = "select doctor_id from schedules where id = $1"


async def _rearrange(
    tx: Tx, doctor: Doctor, place: Place, before: list[Schedule], after: list[Schedule], id_: int
) -> Arranged:
    """Let the slots of a place follow its schedules, and say what became of them."""
    course = await plan_change(tx.conn, tx.now, doctor, place.id, before, after)
    await carry_out(tx, doctor, place.id, course)
    old, new = (next((one for one in all_ if one.id == id_), None) for all_ in (before, after))
    tx.about(f"schedule:{id_}", _audited(old), _audited(new))
    change = course.change
    if not (change.added or change.removed or change.outside or change.altered or change.reopened):
        tell_arranged(tx, doctor.id)
    today = rules.local_day(place.zone, tx.now)
    return Arranged(
        schedule=_view(doctor.id, new, after, today) if new else None,
        added=len(change.added),
        removed=len(change.removed),
        altered=len(change.altered),
        outside=change.outside,
    )


def _audited(one: Schedule | None) -> dict[str, Any] | None:
    if one is None:
        return None
    starts_on, ends_on, every_weeks, week = stored(one)
    return {
        "location_id": one.location_id,
        "starts_on": starts_on.isoformat(),
        "ends_on": ends_on and ends_on.isoformat(),
        "every_weeks": every_weeks,
        "week": orjson.loads(week),
    }


# Looking before one leaps


class PreviewSchedule(Draft):
    """A schedule as it might be; `schedule_id` is the one that it takes the place of, if any.

    One of those that ends before it starts stands for taking it away.
    """

    schedule_id: Id | None = None


class BookedOutside(BaseModel):
    """A booking that a change would leave outside working time."""

    model_config = ConfigDict(frozen=True)

    appointment_id: int
    number: str
    state: events.AppointmentState
    starts_at: AwareDatetime
    ends_at: AwareDatetime
    patient_id: int
    patient_name: str
    phone: str | None


class Preview(Reply):
    """What saving would do: slots that come, go or change, and the bookings that would lie outside working time."""

    added: int
    removed: int
    altered: int
    outside: list[BookedOutside]


async def preview_schedule(view: Read, actor: Actor, ask: PreviewSchedule) -> Preview:
    """What saving a schedule would do, without doing it.

    Raises whatever saving would: `NotFound`, `NotAllowed`, `DoctorElsewhere`, `InvalidRequest`, `ScheduleStarts`,
    `ScheduleOverlaps`.
    """
    doctor = await access_doctor(view.conn, actor, ask.doctor_id)
    place = await access_place(view.conn, actor, doctor, ask.location_id)
    before = await schedules_of(view.conn, doctor.id)
    others = [one for one in before if one.id != ask.schedule_id]
    if ask.schedule_id is not None and len(others) == len(before):
        raise errors.NotFound("There is no such schedule here.")
    after = others
    today = rules.local_day(place.zone, view.now)
    if ask.schedule_id is None or ask.ends_on is None or ask.ends_on >= ask.starts_on:
        draft = drafted(ask, place, ask.schedule_id or 0)
        await check(view.conn, draft, others, today)
        after = [*others, draft]
    else:
        await check_rest(view.conn, others, place, today)
    change = (await plan_change(view.conn, view.now, doctor, place.id, before, after)).change
    rows = await view.conn.fetch(BOOKED_IN, change.outside)
    return Preview(
        added=len(change.added),
        removed=len(change.removed),
        altered=len(change.altered),
        outside=[BookedOutside(**dict(row)) for row in rows],
    )


BOOKED_IN = """
select distinct a.id as appointment_id, a.number, a.state, a.starts_at, a.ends_at,
    p.id as patient_id, p.name as patient_name, p.phone
from seats s join appointments a on a.id = s.appointment_id join patients p on p.id = a.patient_id
where s.slot_id = any($1::bigint[]) order by a.starts_at, a.id
"""


# What there is


class Spot(BaseModel):
    """A location where the doctor works or may, and the zone of its days."""

    model_config = ConfigDict(frozen=True)

    id: int
    name: str
    zone: str


class Schedules(Reply):
    """A doctor's schedules that hold or will, and where they may work."""

    doctor_id: int
    doctor_name: str
    items: list[ScheduleView]
    locations: list[Spot]


async def list_schedules(view: Read, actor: Actor, ask: OfDoctor) -> Schedules:
    """A doctor's schedules at the asker's locations, without those that have ended. Raises `NotFound`, `NotAllowed`."""
    doctor = await access_doctor(view.conn, actor, ask.doctor_id)
    all_ = await schedules_of(view.conn, doctor.id)
    items = []
    for one in all_:
        today = rules.local_day(one.zone, view.now)
        if actor.at(one.location_id) and (one.ends_on is None or one.ends_on >= today):
            items.append(_view(doctor.id, one, all_, today))
    spots = await _spots(view.conn, actor, doctor)
    return Schedules(doctor_id=doctor.id, doctor_name=doctor.name, items=items, locations=spots)


async def _spots(conn: Connection, actor: Actor, doctor: Doctor) -> list[Spot]:
    rows = await conn.fetch(SPOTS, doctor.institution_id, list(doctor.location_ids))
    return [Spot(**dict(row)) for row in rows if actor.at(row["id"])]


SPOTS = """
select l.id, l.name, coalesce(l.zone, i.zone) as zone from locations l join institutions i on i.id = l.institution_id
where l.institution_id = $1 and l.retired_at is null and (cardinality($2::bigint[]) = 0 or l.id = any($2))
order by l.name
"""


class Days(Ask):
    """A doctor's days, by the clocks of the institution."""

    doctor_id: Id
    first_day: date
    last_day: date = Field(description="Within 62 days of the first.")


class Calendar(Reply):
    """All of a doctor's slots of some days: closed, blocked and full ones too; and the blocked periods."""

    zone: str
    slots: list[OneSlot]
    blocks: list[Block]


async def show_calendar(view: Read, actor: Actor, ask: Days) -> Calendar:
    """A doctor's days as those see them who arrange the time. Raises `NotFound`, `NotAllowed`, `InvalidRequest`."""
    doctor = await access_doctor(view.conn, actor, ask.doctor_id)
    if not 0 <= (ask.last_day - ask.first_day).days <= 62:
        raise wrong(("/last_day", "The last day comes after the first, within 62 days.", "ends-before-start"))
    zone = await view.conn.fetchval(ZONE, doctor.institution_id)
    days = rules.days_in(ZoneInfo(zone), ask.first_day, ask.last_day)
    slots = await view.conn.fetch(CALENDAR, doctor.id, days.starts_at, days.ends_at)
    blocks = await view.conn.fetch(
        BLOCKS_OVER, doctor.institution_id, doctor.id, days.starts_at, days.ends_at, list(doctor.location_ids)
    )
    return Calendar(
        zone=zone,
        slots=[OneSlot(**dict(row)) for row in slots if actor.at(row["location_id"])],
        blocks=[told(actor, block_of(row)) for row in blocks],
    )


ZONE = "select zone from institutions where id = $1"
CALENDAR = """
select id, location_id, starts_at, ends_at, capacity, taken, mode, open, block_id, schedule_id from slots
where doctor_id = $1 and starts_at < $3 and ends_at > $2 order by starts_at
"""
BLOCKS_OVER = """
select id, institution_id, doctor_id, location_id, kind, reason, starts_at, ends_at, whole_days, ended_at from blocks
where institution_id = $1 and ended_at is null and starts_at < $4 and ends_at > $3
    and (doctor_id is null or doctor_id = $2)
    and (location_id is null or cardinality($5::bigint[]) = 0 or location_id = any($5))
order by starts_at, id
"""

COMMANDS: list[Command[Any, Any]] = [
    Command("add-schedule", add_schedule, Draft, Arranged, OWN, "POST /doctors/{doctor_id}/schedules", status=201),
    Command("change-schedule", change_schedule, ChangeSchedule, Arranged, OWN, "POST /schedules/{schedule_id}"),
    Command("end-schedule", end_schedule, EndSchedule, Arranged, OWN, "POST /schedules/{schedule_id}/end"),
]
QUERIES: list[Query[Any, Any]] = [
    Query("list-schedules", list_schedules, OfDoctor, Schedules, OWN, "GET /doctors/{doctor_id}/schedules"),
    Query(
        "preview-schedule",
        preview_schedule,
        PreviewSchedule,
        Preview,
        OWN,
        "POST /doctors/{doctor_id}/schedules/preview",
        patients=lambda reply: [one.patient_id for one in reply.outside],
    ),
    Query("show-calendar", show_calendar, Days, Calendar, OWN, "GET /doctors/{doctor_id}/calendar"),
]
