"""Brings past and coming appointments of another system in, as if they were made here: `callboard import`.

Invariants: everything is done by the public commands, each at the time that the file tells, so what they refuse is
refused here too, row by row and with the reason. A row that has been brought in is known by its reference: an import
that was cut off goes on where it stopped, and one that runs again changes nothing.
"""

import csv
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from enum import IntEnum
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ValidationError

from server import errors, publish, store
from server.access import Actor, Role
from server.app import COMMANDS, REACTIONS, ROWS
from server.config import Config
from server.patients import NewPatient
from server.publish import Publisher
from server.store import Command, Store

REQUIRED = ("doctor", "appointment_id", "patient_id", "name", "scheduling_date", "appointment_date", "appointment_time",
            "status")  # fmt: skip
OPTIONAL = ("dob", "check_in_time", "start_time", "end_time")
STATUSES = {
    "attended": "attended",
    "cancelled": "cancelled",
    "did not attend": "missed",
    "scheduled": "open",
    "unknown": "open",
}
"""What the file says became of an appointment; of one that is unknown nothing is made up: it stays confirmed."""
DESK_OPENS, EVENING = time(9), time(20)
"""A booking is known by its day: it is made when the desk opens. Who did not come is noted in the evening."""
SLOT_MOST = 120


class FileRefused(errors.Refusal):
    """The file is none of appointments; the words say why."""

    code, status, title = "file-refused", 422, "This file cannot be brought in."


@dataclass(frozen=True, slots=True)
class Row:
    """One appointment of the file, its times those of the clinic's wall clock."""

    line: int
    doctor: str
    reference: str
    patient: str
    name: str
    born: date | None
    booked: date
    at: datetime
    status: str
    checked_in: datetime | None
    started: datetime | None
    ended: datetime | None


@dataclass(slots=True)
class Report:
    """What became of the file."""

    rows: int = 0
    booked: int = 0
    known: int = 0
    """Brought in by an earlier run."""
    steps: Counter[str] = field(default_factory=Counter)
    refused: list[tuple[int, str, str]] = field(default_factory=list)
    """(line, code, why) of each row that could not be placed, or not be carried to its end."""

    def refuse(self, row: Row, step: str, refusal: errors.Refusal) -> None:
        """Note why a row's step could not be taken."""
        self.refused.append((row.line, refusal.code, f"{step}: {refusal.detail}"))


# Reading


def read(path: Path) -> tuple[list[Row], list[tuple[int, str, str]]]:
    """The rows of a CSV file, and those that cannot be read: (line, code, why). Raises `FileRefused`."""
    rows: list[Row] = []
    bad: list[tuple[int, str, str]] = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            table = csv.DictReader(file, strict=True)
            if missing := [name for name in REQUIRED if name not in (table.fieldnames or ())]:
                raise FileRefused(f"{path.name} has no column {', '.join(missing)}.")
            for given in table:
                try:
                    rows.append(_row(table.line_num, given))
                except ValueError as wrong:
                    bad.append((table.line_num, "unreadable", str(wrong)))
    except (OSError, UnicodeDecodeError, csv.Error) as wrong:
        raise FileRefused(f"{path.name} cannot be read: {type(wrong).__name__}.") from wrong
    if twice := [ref for ref, times in Counter(row.reference for row in rows).items() if times > 1]:
        raise FileRefused(f"{path.name} has {len(twice)} appointment_ids more than once.")
    return rows, bad


def _row(line: int, given: dict[str, Any]) -> Row:
    """One row. Raises `ValueError` with words that repeat no value: it may be somebody's name."""
    cell = {name: (given.get(name) or "").strip() for name in (*REQUIRED, *OPTIONAL)}
    if empty := [name for name in REQUIRED if not cell[name]]:
        raise ValueError(f"{', '.join(empty)} is empty")
    if cell["status"].lower() not in STATUSES:
        raise ValueError("status is none that is known")
    on = _parsed("appointment_date", date.fromisoformat, cell)

    def at(name: str) -> datetime | None:
        return datetime.combine(on, _parsed(name, time.fromisoformat, cell)) if cell[name] else None

    start = at("appointment_time")
    assert start is not None
    return Row(
        line=line,
        doctor=cell["doctor"],
        reference=cell["appointment_id"],
        patient=cell["patient_id"],
        name=cell["name"],
        born=_parsed("dob", date.fromisoformat, cell) if cell["dob"] else None,
        booked=_parsed("scheduling_date", date.fromisoformat, cell),
        at=start,
        status=STATUSES[cell["status"].lower()],
        checked_in=at("check_in_time"),
        started=at("start_time"),
        ended=at("end_time"),
    )


def _parsed(name: str, parse: Callable[[str], Any], cell: dict[str, str]) -> Any:
    try:
        return parse(cell[name])
    except ValueError:
        raise ValueError(f"{name} is no {parse.__self__.__name__}") from None  # type: ignore[attr-defined]


# The order of things


class Kind(IntEnum):
    """What happens to an appointment; in one instant, in this order: whoever leaves makes room."""

    cancel = 0
    complete = 1
    book = 2
    check_in = 3
    start = 4
    miss = 5


@dataclass(frozen=True, slots=True, order=True)
class Happening:
    """Something that happens to a row's appointment."""

    at: datetime
    kind: Kind
    line: int
    row: Row = field(compare=False)


def happenings(rows: Sequence[Row]) -> list[Happening]:
    """Everything that happened, in order, by the clinic's clock.

    The file does not tell when somebody called off: it is when the time was given to the next, else the evening before.
    """
    of_time: dict[tuple[str, datetime], list[Row]] = {}
    for row in rows:
        of_time.setdefault((row.doctor, row.at), []).append(row)
    found: list[Happening] = []
    for shared in of_time.values():
        # Those who called off had the time before whoever came: in the order of booking, the last is the one who came.
        shared.sort(key=lambda row: (row.status != "cancelled", row.booked, row.line))
        for nth, row in enumerate(shared):
            booked = datetime.combine(row.booked, DESK_OPENS) + timedelta(minutes=5 * nth)
            follower = shared[nth + 1] if nth + 1 < len(shared) else None
            found.extend(_of(row, booked, follower))
    return sorted(found)


def _of(row: Row, booked: datetime, follower: Row | None) -> Iterator[Happening]:
    # Nothing is booked into the past, though the file knows a booking's day alone.
    booked = min(booked, row.at - timedelta(minutes=1))
    yield Happening(booked, Kind.book, row.line, row)
    if row.status == "cancelled":
        evening = datetime.combine(row.at.date() - timedelta(days=1), EVENING)
        freed = min(evening, datetime.combine(follower.booked, DESK_OPENS)) if follower else evening
        yield Happening(max(booked + timedelta(minutes=1), freed), Kind.cancel, row.line, row)
    elif row.status == "missed":
        yield Happening(datetime.combine(row.at.date(), EVENING), Kind.miss, row.line, row)
    elif row.status == "attended":
        start = row.started or row.at
        yield Happening(min(row.checked_in or start, start), Kind.check_in, row.line, row)
        yield Happening(start, Kind.start, row.line, row)
        yield Happening(max(row.ended or start + timedelta(minutes=15), start), Kind.complete, row.line, row)


# Bringing in


@dataclass(slots=True)
class Place:
    """One doctor of the file as they are here."""

    doctor_id: int
    desk_id: int
    slots: dict[datetime, int] = field(default_factory=dict)
    """By the local time at which each begins."""


async def run(
    config: Config,
    path: Path,
    institution: str | None = None,
    location: str | None = None,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Report:
    """Bring a file's appointments into an institution; `progress` is told how many happenings of how many are done.

    Raises `FileRefused`, and `NotFound` where the institution or location named is not there.
    """
    rows, bad = read(path)
    async with AsyncExitStack() as stack:
        pool = await store.connect(config.database_url, 4)
        stack.push_async_callback(pool.close)
        client = publish.connect(config.redis_url)
        stack.push_async_callback(client.aclose)
        publisher = await stack.enter_async_context(Publisher(pool, client, ROWS).running())
        importer = Importer(pool, publisher, config)
        await importer.open(institution, location)
        report = await importer.bring(rows, progress)
        report.refused = sorted([*bad, *report.refused])
        report.rows += len(bad)
        return report


class Importer:
    """One import: where it brings things, and the time at which it does them."""

    def __init__(self, pool: store.Pool, publisher: Publisher, config: Config) -> None:
        self.now = datetime.now(UTC)
        self.pool = pool
        self.publisher = publisher
        self.store = Store(
            pool, publisher, base_url=config.base_url, clock=lambda: self.now, secret_key=config.secret_key,
            reactions=REACTIONS,
        )  # fmt: skip
        self.commands: dict[str, Command[Any, Any]] = {command.name: command for command in COMMANDS}
        self.report = Report()
        self.places: dict[str, Place] = {}
        self.patients: dict[str, int] = {}
        self.appointments: dict[str, tuple[int, str]] = {}
        """By reference: id and state."""

    async def open(self, institution: str | None, location: str | None) -> None:
        """Find the institution and location. Raises `NotFound`, and `FileRefused` where it cannot tell which."""
        found = await self.pool.fetch(INSTITUTIONS, institution)
        if len(found) != 1:
            raise errors.NotFound("Name the institution to bring them into: --institution NAME.")
        self.institution: int = found[0]["id"]
        place = await self.pool.fetchrow(LOCATIONS, self.institution, location)
        if place is None:
            raise errors.NotFound("There is no such location.")
        self.location: int = place["id"]
        self.zone = ZoneInfo(place["zone"])
        self.actor = Actor(Role.system, institution_id=self.institution)

    async def bring(self, rows: Sequence[Row], progress: Callable[[int, int], None]) -> Report:
        """Bring the rows in, in the order in which everything happened."""
        self.report.rows = len(rows)
        await self._know(rows)
        coming = happenings(rows)
        if coming:
            self.now = self._utc(coming[0].at) - timedelta(days=1)
        for name in sorted({row.doctor for row in rows}):
            await self._furnish(name, [row for row in rows if row.doctor == name])
        for nth, one in enumerate(coming, start=1):
            self.now = max(self.now, self._utc(one.at))
            await self._happen(one)
            progress(nth, len(coming))
        return self.report

    def _utc(self, local: datetime) -> datetime:
        return local.replace(tzinfo=self.zone).astimezone(UTC)

    async def _do(self, command_name: str, /, **ask: Any) -> Any:
        command = self.commands[command_name]
        return await self.store.execute(command, self.actor, command.ask.model_validate(ask))

    async def _know(self, rows: Sequence[Row]) -> None:
        """What an earlier run has brought in."""
        found = await self.pool.fetch(BROUGHT, self.institution, [row.reference for row in rows])
        whose = {row.reference: row.patient for row in rows}
        for row in found:
            self.appointments[row["reference"]] = row["id"], row["state"]
            self.patients[whose[row["reference"]]] = row["patient_id"]
        self.report.known = len(found)

    # Doctors and their time

    async def _furnish(self, name: str, rows: Sequence[Row]) -> None:
        """Have a doctor of this name, with a desk, a queue and the time that the file's appointments take."""
        doctor_id = await self.pool.fetchval(DOCTOR, self.institution, name)
        if doctor_id is None:
            made = await self._do(
                "create-doctor", institution_id=self.institution, name=name, location_ids=[self.location]
            )
            doctor_id = made.doctor
        desk_id = await self.pool.fetchval(DESK, self.location, name)
        if desk_id is None:
            await self._do("create-desk", location_id=self.location, name=name[:60])
            desk_id = await self.pool.fetchval(DESK, self.location, name)
        if not await self.pool.fetchval(QUEUE, self.location, doctor_id):
            await self._do("create-queue", location_id=self.location, name=name[:60], owner=doctor_id)
        self.places[name] = Place(doctor_id, desk_id)
        if any(row.reference not in self.appointments for row in rows):
            await self._make_time(self.places[name], rows)
        first, last = min(row.at for row in rows), max(row.at for row in rows)
        found = await self.pool.fetch(
            SLOTS, doctor_id, self._utc(first) - timedelta(days=1), self._utc(last) + timedelta(days=1)
        )
        for slot in found:
            self.places[name].slots[slot["starts_at"].astimezone(self.zone).replace(tzinfo=None)] = slot["id"]

    async def _make_time(self, place: Place, rows: Sequence[Row]) -> None:
        """Add the slots that are not there yet, for each stretch of a working day on the weekdays of the file."""
        days = sorted({row.at.date() for row in rows})
        weekdays = sorted({day.weekday() for day in days})
        for starts, ends, minutes in sessions({row.at.time() for row in rows}):
            # One command makes a quarter of a year at most, so that its events stay small.
            first = days[0]
            while first <= days[-1]:
                last = min(days[-1], first + timedelta(days=89))
                await self._do(
                    "add-slots", doctor_id=place.doctor_id, location_id=self.location, first_day=first, last_day=last,
                    weekdays=weekdays, starts=starts, ends=ends, slot_minutes=minutes, mode="in_person",
                )  # fmt: skip
                first = last + timedelta(days=1)

    # One thing

    async def _happen(self, one: Happening) -> None:
        row = one.row
        try:
            if one.kind is Kind.book:
                await self._book(row)
            elif row.reference in self.appointments:
                await self._step(one.kind, row)
        except errors.Refusal as refusal:
            self.report.refuse(row, one.kind.name, refusal)
        except ValidationError:
            # Its words would repeat what stands in the row, which may be a name.
            self.report.refused.append((row.line, "invalid-request", f"{one.kind.name}: a cell is out of bounds"))

    async def _book(self, row: Row) -> None:
        if row.reference in self.appointments:
            return
        place = self.places[row.doctor]
        slot = place.slots.get(row.at)
        if slot is None:
            raise errors.NotFound("The doctor has no slot then.")
        known = await self._patient(row)
        whom: dict[str, Any] = {"patient_id": known} if known else {"patient": _person(row)}
        reply = await self._do(
            "book-appointment",
            slot_ids=[slot],
            doctor_id=place.doctor_id,
            source="import",
            reference=row.reference,
            **whom,
        )
        state = await self.pool.fetchrow(STATE, reply.appointment_id)
        assert state is not None
        self.patients[row.patient] = state["patient_id"]
        self.appointments[row.reference] = reply.appointment_id, state["state"]
        self.report.booked += 1
        if state["state"] == "pending":
            await self._do("confirm-appointment", appointment_id=reply.appointment_id)

    async def _patient(self, row: Row) -> int | None:
        """Whom an earlier row of the file brought, or who was here before under the very name and birth date."""
        known = self.patients.get(row.patient)
        if known is None and row.born is not None:
            same = await self.pool.fetch(SAME_PERSON, self.institution, row.name, row.born)
            known = same[0]["id"] if len(same) == 1 else None
        return known

    async def _step(self, kind: Kind, row: Row) -> None:
        id_, state = self.appointments[row.reference]
        if state not in FROM[kind]:
            return
        desk = self.places[row.doctor].desk_id
        await STEPS[kind](self, id_, desk)
        self.appointments[row.reference] = id_, AFTER[kind]
        self.report.steps[kind.name] += 1

    async def cancel(self, id_: int, desk: int) -> None:
        """Call it off."""
        await self._do("cancel-appointment", appointment_id=id_)

    async def miss(self, id_: int, desk: int) -> None:
        """Nobody came."""
        await self._do("no-show-appointment", appointment_id=id_)

    async def check_in(self, id_: int, desk: int) -> None:
        """The patient is there."""
        await self._do("check-in", appointment_id=id_)

    async def start(self, id_: int, desk: int) -> None:
        """The patient is with the doctor."""
        await self._do("start-appointment", appointment_id=id_, desk_id=desk)

    async def complete(self, id_: int, desk: int) -> None:
        """It is over."""
        await self._do("complete-appointment", appointment_id=id_, desk_id=desk)


Steps = dict[Kind, Callable[[Importer, int, int], Awaitable[None]]]
STEPS: Steps = {
    Kind.cancel: Importer.cancel,
    Kind.miss: Importer.miss,
    Kind.check_in: Importer.check_in,
    Kind.start: Importer.start,
    Kind.complete: Importer.complete,
}
FROM: dict[Kind, frozenset[str]] = {
    Kind.cancel: frozenset({"pending", "confirmed"}),
    Kind.miss: frozenset({"confirmed"}),
    Kind.check_in: frozenset({"confirmed"}),
    Kind.start: frozenset({"confirmed", "checked_in"}),
    Kind.complete: frozenset({"confirmed", "checked_in", "in_progress"}),
}
"""The states that a step is still to be taken from; a run that goes on passes over what was done."""
AFTER = {
    Kind.cancel: "cancelled",
    Kind.miss: "no_show",
    Kind.check_in: "checked_in",
    Kind.start: "in_progress",
    Kind.complete: "completed",
}


def _person(row: Row) -> BaseModel:
    return NewPatient(name=row.name, birth_date=row.born)


def sessions(times: Iterable[time]) -> list[tuple[time, time, int]]:
    """The stretches of a working day in which appointments begin, each (from, to, minutes of a slot)."""
    minutes = sorted({one.hour * 60 + one.minute for one in times})
    gaps = [after - before for before, after in pairwise(minutes)]
    step = min(min(gaps, default=15), SLOT_MOST)
    found: list[tuple[time, time, int]] = []
    begins = previous = minutes[0]
    for one in [*minutes[1:], None]:
        if one is not None and one - previous == step:
            previous = one
            continue
        end = previous + step
        found.append((time(begins // 60, begins % 60), time(end // 60 % 24, end % 60), step))
        if one is not None:
            begins = previous = one
    return found


INSTITUTIONS = "select id from institutions where $1::text is null or name = $1 limit 2"
LOCATIONS = """
select l.id, coalesce(l.zone, i.zone) as zone from locations l join institutions i on i.id = l.institution_id
where l.institution_id = $1 and ($2::text is null or l.name = $2) order by l.id limit 1
"""
BROUGHT = """
select id, reference, state, patient_id from appointments where institution_id = $1 and reference = any($2::text[])
"""
DOCTOR = "select id from doctors where institution_id = $1 and name = $2 order by id limit 1"
DESK = "select id from desks where location_id = $1 and name = left($2, 60) and retired_at is null"
QUEUE = "select true from queues where location_id = $1 and doctor_id = $2 and retired_at is null limit 1"
SLOTS = "select id, starts_at from slots where doctor_id = $1 and starts_at between $2 and $3"
STATE = "select state, patient_id from appointments where id = $1"
SAME_PERSON = """
select id from patients
where institution_id = $1 and name = $2 and birth_date = $3 and merged_into is null order by id limit 2
"""
