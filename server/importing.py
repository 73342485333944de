"""Brings past and coming appointments of another system in, as if they were made here: `callboard import`.

Invariants: everything is done by the public commands, each at the time that the file tells, so what they refuse is
refused here too, row by row and with the reason. A row that has been brought in is known by its reference, and what
was refused is remembered: an import that was cut off goes on where it stopped, and one that runs again changes
nothing.

Each doctor of the file goes through the days at a pace of their own, all of them side by side, and waits for the
others every evening: a day's order between two doctors matters to nobody, that between two days does.
"""

import asyncio
import csv
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from enum import IntEnum
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any, TextIO, TypeVar
from zoneinfo import ZoneInfo

import typer
from pydantic import BaseModel, ValidationError

from server import errors, store
from server.access import Actor, Role
from server.administration.imports import FORMULA
from server.app import COMMANDS, REACTIONS, connected
from server.appointments.lists import cell as harmless
from server.config import Config
from server.patients import NewPatient
from server.publish import Publisher
from server.store import Command, Store

T = TypeVar("T")
REQUIRED = ("doctor", "appointment_id", "patient_id", "name", "scheduling_date", "appointment_date", "appointment_time",
            "status")  # fmt: skip
OPTIONAL = ("dob", "check_in_time", "start_time", "end_time")
WORDS = ("doctor", "appointment_id", "patient_id", "name")
"""The columns whose cells are kept as they are given."""
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
SLOT_LEAST, SLOT_MOST = 5, 120
WEEKS = 12
"""Whose slots one command makes at most, so that its events stay small."""
CELL_MOST = 200
YEARS = range(1970, 2101)
"""Of appointments; what lies beyond is a slip of the pen, and would have slots made for centuries."""
AT_ONCE = 8
"""How many doctors' commands are under way at the same time."""


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


@dataclass(frozen=True, slots=True, order=True)
class Refused:
    """A row that could not be placed, or not be carried to its end, and why; no words of it name a person."""

    line: int
    reference: str
    code: str
    why: str


@dataclass(slots=True)
class Report:
    """What became of the file."""

    rows: int = 0
    booked: int = 0
    known: int = 0
    """Brought in by an earlier run."""
    steps: Counter[str] = field(default_factory=Counter)
    refused: list[Refused] = field(default_factory=list)

    @property
    def unplaced(self) -> int:
        """Rows of which something was refused."""
        return len({one.line for one in self.refused})


def write_report(path: Path, refused: Sequence[Refused]) -> None:
    """Write what was refused as CSV, which opens right in a spreadsheet and runs nothing there."""
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        table = csv.writer(file)
        table.writerow(("line", "appointment_id", "code", "why"))
        table.writerows([one.line, *map(harmless, (one.reference, one.code, one.why))] for one in refused)


def summary(report: Report) -> list[str]:
    """What became of the file, in two lines."""
    steps = ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in sorted(report.steps.items()))
    return [
        f"{report.rows} rows: {report.booked} new, {report.known} there already; refused something: {report.unplaced}.",
        f"Steps: {steps}." if steps else "Nothing else to do.",
    ]


def first_refused(report: Report, most: int = 20) -> list[str]:
    """The first rows that could not be placed, a line each."""
    lines = [f"line {one.line}: {one.why} ({one.code})" for one in report.refused[:most]]
    rest = len(report.refused) - len(lines)
    return [*lines, f"… and {rest} more: --report FILE writes all of them."] if rest else lines


@contextmanager
def progress(stream: TextIO) -> Iterator[Callable[[int, int], None]]:
    """Show how much is done: a bar on a terminal, else a line for each twentieth."""
    if stream.isatty():
        with typer.progressbar(length=1000, label="Appointments", file=stream) as bar:
            yield lambda done, of: bar.update(done * 1000 // of - bar.pos)
        return

    def line(done: int, of: int) -> None:
        if done * 20 // of > (done - 1) * 20 // of:
            print(f"{done * 100 // of} %: {done} of {of} done", file=stream, flush=True)

    yield line


# Reading


def read(path: Path) -> tuple[list[Row], list[Refused]]:
    """The rows of a CSV file, and those that cannot be read. Raises `FileRefused`."""
    rows: dict[str, Row] = {}
    bad: list[Refused] = []
    try:
        with path.open("rb") as file:
            if file.read(2) in (b"\xff\xfe", b"\xfe\xff"):
                raise FileRefused(f"{path.name} is written in UTF-16; save it as UTF-8.")
        # What is not UTF-8 costs its own rows alone.
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as lines:
            table = csv.reader(lines, strict=True)
            columns = _columns(path.name, table)
            for line, cells in _records(table):
                try:
                    if isinstance(cells, csv.Error):
                        raise ValueError("its quotes do not close, or a cell is too long")
                    row = _row(line, columns, cells)
                    if row.reference in rows:
                        raise ValueError(f"its appointment_id stands in line {rows[row.reference].line} already")
                    rows[row.reference] = row
                except ValueError as wrong:
                    bad.append(Refused(line, _reference(columns, cells), "unreadable", str(wrong)))
    except OSError as wrong:
        raise FileRefused(f"{path.name} cannot be read: {wrong.strerror}.") from wrong
    return list(rows.values()), bad


def _columns(name: str, table: Iterator[list[str]]) -> list[str]:
    """The file's columns. Raises `FileRefused` where one is missing that is needed, or is there twice."""
    try:
        columns = [one.strip().lower() for one in next(table, [])]
    except csv.Error as wrong:
        raise FileRefused(f"{name} is no CSV: its first line cannot be read.") from wrong
    if missing := [one for one in REQUIRED if one not in columns]:
        raise FileRefused(f"{name} has no column {', '.join(missing)}.")
    if twice := [one for one in (*REQUIRED, *OPTIONAL) if columns.count(one) > 1]:
        raise FileRefused(f"{name} has the column {', '.join(twice)} more than once.")
    return columns


def _records(table: Any) -> Iterator[tuple[int, "list[str] | csv.Error"]]:
    """Each row that is not blank, with the line on which it begins; one that is no CSV is the error that it makes."""
    while True:
        line = table.line_num + 1
        try:
            cells = next(table)
        except StopIteration:
            return
        except csv.Error as wrong:
            yield line, wrong
            continue
        if any(cells):
            yield line, cells


def _reference(columns: list[str], cells: "list[str] | csv.Error") -> str:
    """A row's own name, as far as it has one that can be shown."""
    at = columns.index("appointment_id")
    given = cells[at].strip() if isinstance(cells, list) and len(cells) > at else ""
    return given if len(given) <= CELL_MOST and not _unfit(given) else ""


def _row(line: int, columns: list[str], cells: list[str]) -> Row:
    """One row. Raises `ValueError` with words that repeat no value: it may be somebody's name."""
    if len(cells) != len(columns):
        raise ValueError(f"it has {len(cells)} cells instead of {len(columns)}")
    cell = {name: value.strip() for name, value in zip(columns, cells, strict=True) if name in (*REQUIRED, *OPTIONAL)}
    cell = dict.fromkeys(OPTIONAL, "") | cell
    if empty := [name for name in REQUIRED if not cell[name]]:
        raise ValueError(f"{', '.join(empty)} is empty")
    for name, value in cell.items():
        if fault := _unfit(value) or (name in WORDS and value.startswith(FORMULA) and "begins like a formula"):
            raise ValueError(f"{name} {fault}")
    if cell["status"].lower() not in STATUSES:
        raise ValueError("status is none that is known")
    on = _day("appointment_date", cell)

    def at(name: str) -> datetime | None:
        return datetime.combine(on, _parsed(name, _clock, cell)) if cell[name] else None

    start = at("appointment_time")
    assert start is not None
    return Row(
        line=line,
        doctor=cell["doctor"],
        reference=cell["appointment_id"],
        patient=cell["patient_id"],
        name=cell["name"],
        born=_parsed("dob", date.fromisoformat, cell) if cell["dob"] else None,
        booked=_day("scheduling_date", cell),
        at=start,
        status=STATUSES[cell["status"].lower()],
        checked_in=at("check_in_time"),
        started=at("start_time"),
        ended=at("end_time"),
    )


def _unfit(text: str) -> str | None:
    """What keeps a cell from being kept."""
    if len(text) > CELL_MOST:
        return "is too long"
    if any("\udc80" <= one <= "\udcff" for one in text):
        return "is not written in UTF-8"
    return "has control characters" if any(one < " " or "\x7f" <= one < "\xa0" for one in text) else None


def _day(name: str, cell: dict[str, str]) -> date:
    day = _parsed(name, date.fromisoformat, cell)
    if day.year not in YEARS:
        raise ValueError(f"{name} is not between {YEARS[0]} and {YEARS[-1]}")
    return day


def _clock(text: str) -> time:
    at = time.fromisoformat(text)
    if at.tzinfo is not None:
        raise ValueError("the clinic's wall clock has no zone in its cells")
    return at


def _parsed(name: str, parse: Callable[[str], T], cell: dict[str, str]) -> T:
    try:
        return parse(cell[name])
    except ValueError:
        raise ValueError(f"{name} is no {'time' if name.endswith('_time') else 'date'}") from None


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
class Lane:
    """One doctor of the file as they are here, and what time it is for them."""

    name: str
    clock: datetime
    store: Store = field(init=False)
    doctor_id: int = 0
    desk_id: int = 0
    slots: dict[datetime, int] = field(default_factory=dict)
    """By the local time at which each begins."""
    closed: tuple[str, str] | None = None
    """Code and why, where no time of this doctor's could be had."""


async def run(
    config: Config,
    path: Path,
    institution: str | None = None,
    location: str | None = None,
    progress: Callable[[int, int], None] = lambda done, of: None,
    again: bool = False,
) -> Report:
    """Bring a file's appointments into an institution; `progress` is told how many happenings of how many are done.

    `again`: try what an earlier run was refused, too. Raises `FileRefused`, `NotFound` where the institution or
    location named is not there, and `Unavailable` where the servers went away meanwhile.
    """
    rows, bad = read(path)
    async with AsyncExitStack() as stack:
        pool, publisher = await stack.enter_async_context(connected(config, AT_ONCE + 2))
        importer = Importer(pool, publisher, config)
        await importer.open(institution, location)
        await stack.enter_async_context(importer.alone())
        report = await importer.bring(rows, progress, again)
        report.refused = sorted([*bad, *report.refused])
        report.rows += len(bad)
        return report


class Importer:
    """One import: where it brings things, and what it has brought."""

    def __init__(self, pool: store.Pool, publisher: Publisher, config: Config) -> None:
        self.pool = pool
        self.publisher = publisher
        self.config = config
        self.commands: dict[str, Command[Any, Any]] = {command.name: command for command in COMMANDS}
        self.report = Report()
        self.lanes: dict[str, Lane] = {}
        self.patients: dict[str, int] = {}
        self.meeting: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        """By patient: whoever is new here is registered once, though two doctors book them at once."""
        self.at_once = asyncio.Semaphore(AT_ONCE)
        self.appointments: dict[str, tuple[int, str]] = {}
        """By reference: id and state."""
        self.refused: dict[str, tuple[str, str]] = {}
        """What an earlier run was refused: code and why, by the name that it is remembered by."""

    async def open(self, institution: str | None, location: str | None) -> None:
        """Find the institution and location. Raises `NotFound` where it cannot tell which."""
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

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """Let nobody else import into this institution. Raises `FileRefused` where somebody does.

        A process that was killed is given a moment to be gone from the database, too.
        """
        async with self.pool.acquire() as conn:
            for _ in range(50):
                if await conn.fetchval(HOLD_IMPORT, self.institution):
                    break
                await asyncio.sleep(0.1)
            else:
                raise FileRefused("Another import into this institution is under way.")
            try:
                yield
            finally:
                if not conn.is_closed():
                    await conn.execute(LET_IMPORT, self.institution)

    async def bring(self, rows: Sequence[Row], progress: Callable[[int, int], None], again: bool = False) -> Report:
        """Bring the rows in, day by day; on each, every doctor's things in the order in which they happened."""
        self.report.rows = len(rows)
        await self._know(rows, again)
        coming = happenings(rows)
        of_doctor: defaultdict[str, list[Row]] = defaultdict(list)
        for row in rows:
            of_doctor[row.doctor].append(row)
        for name in sorted(of_doctor):
            await self._open_lane(name, of_doctor[name], self._utc(coming[0].at) - timedelta(days=1))
        done = 0

        def one_more() -> None:
            nonlocal done
            done += 1
            progress(done, len(coming))

        for _, of_day in groupby(coming, key=lambda one: one.at.date()):
            days: defaultdict[str, list[Happening]] = defaultdict(list)
            for one in of_day:
                days[one.row.doctor].append(one)
            await _together(self._day(self.lanes[name], its, one_more) for name, its in days.items())
        return self.report

    def _utc(self, local: datetime) -> datetime:
        return local.replace(tzinfo=self.zone).astimezone(UTC)

    async def _do(self, lane: Lane, command_name: str, /, **ask: Any) -> Any:
        command = self.commands[command_name]
        return await lane.store.execute(command, self.actor, command.ask.model_validate(ask))

    async def _know(self, rows: Sequence[Row], again: bool) -> None:
        """What an earlier run has brought in, and what it was refused."""
        found = await self.pool.fetch(BROUGHT, self.institution, [row.reference for row in rows])
        whose = {row.reference: row.patient for row in rows}
        for row in found:
            self.appointments[row["reference"]] = row["id"], row["state"]
            self.patients[whose[row["reference"]]] = row["patient_id"]
        self.report.known = len(found)
        named = [self._remembered_by(row, kind) for row in rows for kind in Kind]
        if again:
            await self.pool.execute(FORGET, named)
        for row in await self.pool.fetch(REMEMBERED, named):
            code, _, why = row["value"].partition(" ")
            self.refused[row["name"]] = code, why

    def _remembered_by(self, row: Row, kind: "Kind") -> str:
        """The name by which a refusal is remembered."""
        return f"import:{self.institution}:{kind.name}:{row.reference}"

    # Doctors and their time

    async def _open_lane(self, name: str, rows: Sequence[Row], begins: datetime) -> None:
        """Have a doctor of this name, with a desk, a queue and the time that the file's appointments take."""
        lane = self.lanes[name] = Lane(name, begins)
        lane.store = Store(
            self.pool, self.publisher, base_url=self.config.base_url, clock=lambda: lane.clock,
            secret_key=self.config.secret_key, reactions=REACTIONS,
        )  # fmt: skip
        try:
            await self._furnish(lane)
            if any(row.reference not in self.appointments for row in rows):
                await self._make_time(lane, rows)
        except errors.Refusal as refusal:
            if refusal.retryable:
                raise
            lane.closed = refusal.code, f"doctor: {refusal.detail}"
        except ValidationError:
            lane.closed = "invalid-request", "doctor: the name or a time is out of bounds"
        first, last = min(row.at for row in rows), max(row.at for row in rows)
        for slot in await self.pool.fetch(SLOTS, lane.doctor_id, self._utc(first), self._utc(last)):
            lane.slots[slot["starts_at"].astimezone(self.zone).replace(tzinfo=None)] = slot["id"]

    async def _furnish(self, lane: Lane) -> None:
        doctor_id = await self.pool.fetchval(DOCTOR, self.institution, lane.name)
        if doctor_id is None:
            made = await self._do(
                lane, "create-doctor", institution_id=self.institution, name=lane.name, location_ids=[self.location]
            )
            doctor_id = made.doctor
        lane.doctor_id = doctor_id
        desk_id = await self.pool.fetchval(DESK, self.location, lane.name)
        if desk_id is None:
            await self._do(lane, "create-desk", location_id=self.location, name=lane.name[:60])
            desk_id = await self.pool.fetchval(DESK, self.location, lane.name)
        lane.desk_id = desk_id
        if not await self.pool.fetchval(QUEUE, self.location, doctor_id):
            await self._do(lane, "create-queue", location_id=self.location, name=lane.name[:60], owner=doctor_id)

    async def _make_time(self, lane: Lane, rows: Sequence[Row]) -> None:
        """Add the slots that are not there yet: on the days of the file, in the hours in which the doctor works."""
        stretches = sessions({row.at.time() for row in rows})
        for first, last, weekdays in weeks({row.at.date() for row in rows}):
            for starts, ends, minutes in stretches:
                await self._do(
                    lane, "add-slots", doctor_id=lane.doctor_id, location_id=self.location, first_day=first,
                    last_day=last, weekdays=weekdays, starts=starts, ends=ends, slot_minutes=minutes, mode="in_person",
                )  # fmt: skip

    # One thing

    async def _day(self, lane: Lane, coming: Sequence[Happening], one_more: Callable[[], None]) -> None:
        """One day of one doctor."""
        for one in coming:
            async with self.meeting[one.row.patient], self.at_once:
                lane.clock = max(lane.clock, self._utc(one.at))
                await self._happen(lane, one)
            one_more()

    async def _happen(self, lane: Lane, one: Happening) -> None:
        row, name = one.row, self._remembered_by(one.row, one.kind)
        if name in self.refused:
            self._refuse(row, *self.refused[name])
            return
        try:
            if one.kind is Kind.book:
                await self._book(lane, row)
            elif row.reference in self.appointments:
                await self._step(lane, one.kind, row)
            return
        except errors.Refusal as refusal:
            if refusal.retryable:
                raise  # the servers are away: the row is as good as before
            why = refusal.code, f"{one.kind.name.replace('_', ' ')}: {refusal.detail}"
        except ValidationError:
            # Its words would repeat what stands in the row, which may be a name.
            why = "invalid-request", f"{one.kind.name.replace('_', ' ')}: a cell is out of bounds"
        await self.pool.execute(REMEMBER, name, " ".join(why))
        self._refuse(row, *why)

    def _refuse(self, row: Row, code: str, why: str) -> None:
        self.report.refused.append(Refused(row.line, row.reference, code, why))

    async def _book(self, lane: Lane, row: Row) -> None:
        id_, state = self.appointments.get(row.reference, (0, ""))
        if not id_:
            if lane.closed:
                self._refuse(row, *lane.closed)
                return
            id_, state = await self._booked(lane, row)
            self.report.booked += 1
        if state == "pending":
            await self._do(lane, "confirm-appointment", appointment_id=id_)
            state = "confirmed"
        self.appointments[row.reference] = id_, state

    async def _booked(self, lane: Lane, row: Row) -> tuple[int, str]:
        """The row's new appointment, and its state."""
        slot = lane.slots.get(row.at)
        if slot is None:
            raise errors.NotFound("The doctor has no slot then.")
        known = await self._patient(row)
        whom: dict[str, Any] = {"patient_id": known} if known else {"patient": _person(row)}
        reply = await self._do(
            lane, "book-appointment", slot_ids=[slot], doctor_id=lane.doctor_id, source="import",
            reference=row.reference, **whom,
        )  # fmt: skip
        self.patients[row.patient] = known or await self.pool.fetchval(WHOSE, reply.appointment_id)
        return reply.appointment_id, reply.state

    async def _patient(self, row: Row) -> int | None:
        """Whom an earlier row of the file brought, or who was here before under the very name and birth date."""
        known = self.patients.get(row.patient)
        if known is None and row.born is not None:
            same = await self.pool.fetch(SAME_PERSON, self.institution, row.name, row.born)
            known = same[0]["id"] if len(same) == 1 else None
        return known

    async def _step(self, lane: Lane, kind: Kind, row: Row) -> None:
        id_, state = self.appointments[row.reference]
        if state not in FROM[kind]:
            return
        at_desk = {"desk_id": lane.desk_id} if kind in AT_DESK else {}
        await self._do(lane, STEPS[kind], appointment_id=id_, **at_desk)
        self.appointments[row.reference] = id_, AFTER[kind]
        self.report.steps[kind.name] += 1


async def _together(works: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Do all of these side by side; raises what the first of them raises that fails, and ends the others."""
    try:
        async with asyncio.TaskGroup() as group:
            for work in works:
                group.create_task(work)
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None


STEPS = {
    Kind.cancel: "cancel-appointment",
    Kind.miss: "no-show-appointment",
    Kind.check_in: "check-in",
    Kind.start: "start-appointment",
    Kind.complete: "complete-appointment",
}
AT_DESK = frozenset({Kind.start, Kind.complete})
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
    step = max(SLOT_LEAST, min(min(gaps, default=15), SLOT_MOST))
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


def weeks(days: Iterable[date]) -> Iterator[tuple[date, date, list[int]]]:
    """These days and no others, as stretches of whole weeks that have the same weekdays: (first, last, weekdays)."""
    of_week: defaultdict[date, list[int]] = defaultdict(list)
    for day in sorted(days):
        of_week[day - timedelta(days=day.weekday())].append(day.weekday())
    stretches: list[tuple[date, date, list[int]]] = []
    for monday, weekdays in of_week.items():
        first, last, same = stretches[-1] if stretches else (monday, monday, [])
        if same == weekdays and (monday - last).days == 1 and (monday - first).days < 7 * WEEKS:
            stretches[-1] = first, monday + timedelta(days=6), same
        else:
            stretches.append((monday, monday + timedelta(days=6), weekdays))
    yield from stretches


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
WHOSE = "select patient_id from appointments where id = $1"
SAME_PERSON = """
select id from patients
where institution_id = $1 and name = $2 and birth_date = $3 and merged_into is null order by id limit 2
"""
HOLD_IMPORT = "select pg_try_advisory_lock(x'494d504f'::integer, $1::integer)"
LET_IMPORT = "select pg_advisory_unlock(x'494d504f'::integer, $1::integer)"
REMEMBER = "insert into facts (name, value) values ($1, $2) on conflict (name) do update set value = excluded.value"
REMEMBERED = "select name, value from facts where name = any($1::text[])"
FORGET = "delete from facts where name = any($1::text[])"
