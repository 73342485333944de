"""How good the waits are: a file of past visits, replayed doctor by doctor and event by event.

Owns the reading of such files and the figures of `callboard evaluate-waits`. Invariant: an estimate is made from what
had happened before it, and nothing of the file is used otherwise; so every day, and the first day of every doctor
above all, is held out from the days after it. There are no fitted parameters.

Two scenes are scored. *As it happened*: everybody's estimate on checking in and after every call while they wait, with
the places that they had. *Full room*: after every call, the estimates for the next `FAR` patients of the day as if
all of them sat waiting already, so that long distances are tested where real lines were short; their wait is the sum
of the turns to come without the time in which nobody was there.
"""

import csv
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date, datetime, time, timedelta
from pathlib import Path
from statistics import fmean

from server.queue.waits import PRIOR_MEAN, Gap, Pace, gap, ranges

FAR = 12
REQUIRED = ("doctor", "appointment_date", "start_time")
OPTIONAL = ("appointment_time", "status", "check_in_time", "end_time", "appointment_duration", "name", "dob")
NAMED_FAULTS = 10
RULE = 15 * 60.0


class FileRefused(ValueError):
    """The file cannot be replayed; the message says why, with its column or line."""


@dataclass(frozen=True, slots=True)
class Visit:
    """One consultation. `joined` is None where nothing says when the patient was there, `end` where nothing does.

    `name` and `born` are for those who play a file; no figure depends on them.
    """

    doctor: str
    start: datetime
    joined: datetime | None
    end: datetime | None
    name: str = ""
    born: int | None = None


@dataclass(slots=True)
class Reading:
    """The visits of a file, and what in it was not as it should be."""

    visits: list[Visit] = field(default_factory=list)
    rows: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def fault(self, line: int, column: str, said: str) -> None:
        """Count a wrong cell, and name it if it is one of the first. Only its first 20 characters are repeated."""
        self.counts["unreadable cells"] += 1
        if len(self.faults) < NAMED_FAULTS:
            self.faults.append(f"line {line}, {column}: {said[:20]!r} cannot be read")


# Reading


def read(path: Path) -> Reading:
    """The visits of a CSV file. Raises `FileRefused` where there is nothing to replay."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reading = _read_rows(path.name, csv.DictReader(file, strict=True))
    except OSError as wrong:
        raise FileRefused(f"{path.name}: {wrong.strerror or wrong}") from wrong
    except UnicodeDecodeError as wrong:
        raise FileRefused(f"{path.name}: not UTF-8 text (byte {wrong.start})") from wrong
    if not reading.visits:
        found = "; ".join(reading.faults) or "no row has a start_time"
        raise FileRefused(f"{path.name}: no visit to replay in {reading.rows} rows: {found}")
    return reading


def _read_rows(name: str, table: "csv.DictReader[str]") -> Reading:
    reading = Reading()
    try:
        columns = [column.strip().lower() for column in table.fieldnames or ()]
        table.fieldnames = columns
        if not columns:
            raise FileRefused(f"{name}: the file is empty")
        for column in REQUIRED:
            if column not in columns:
                raise FileRefused(f"{name}, line 1: there is no column {column!r} (found: {', '.join(columns)[:200]})")
        for column in (*REQUIRED, *OPTIONAL):
            if columns.count(column) > 1:
                raise FileRefused(f"{name}, line 1: the column {column!r} is there twice")
        for row in table:
            reading.rows += 1
            visit = _visit(reading, table.line_num, row)
            if visit is not None:
                reading.visits.append(visit)
    except csv.Error as wrong:
        raise FileRefused(f"{name}, line {table.line_num + 1}: not CSV ({wrong})") from wrong
    return reading


def _visit(reading: Reading, line: int, row: dict[str, str | None]) -> Visit | None:
    """The visit of one row, or None where it has none; what is wrong with it is counted."""
    if None in row:
        reading.counts["rows with too many cells"] += 1
    cells = {column: (row.get(column) or "").strip() for column in (*REQUIRED, *OPTIONAL)}
    if not cells["start_time"]:
        attended = cells["status"].lower() == "attended"
        reading.counts["attended without a start time" if attended else "rows without a visit"] += 1
        return None
    day = _date(cells["appointment_date"])
    if day is None or not cells["doctor"]:
        column = "appointment_date" if day is None else "doctor"
        reading.fault(line, column, cells[column])
        return None
    moments: dict[str, datetime | None] = {}
    for column in ("start_time", "check_in_time", "appointment_time", "end_time"):
        moments[column] = _moment(day, cells[column]) if cells[column] else None
        if cells[column] and moments[column] is None:
            reading.fault(line, column, cells[column])
    start = moments["start_time"]
    if start is None:
        return None
    joined = _joined(reading, moments["check_in_time"], moments["appointment_time"], start)
    end = _end(reading, line, cells, moments["end_time"], start)
    born = _date(cells["dob"])
    return Visit(cells["doctor"], start, joined, end, cells["name"], born.year if born else None)


def _joined(
    reading: Reading, check_in: datetime | None, appointment: datetime | None, start: datetime
) -> datetime | None:
    """When the patient was there to be called: at check-in, else (assumed) from the appointed time."""
    if check_in is not None:
        if check_in > start + timedelta(hours=12):
            return check_in - timedelta(days=1)
        if check_in > start:
            reading.counts["checked in after the start (taken as at the start)"] += 1
        return min(check_in, start)
    reading.counts["without a check-in time (taken as at the appointed time, if that is before the start)"] += 1
    return appointment if appointment is not None and appointment <= start else None


def _end(reading: Reading, line: int, cells: dict[str, str], end: datetime | None, start: datetime) -> datetime | None:
    """When the consultation ended; past midnight where it says an earlier time; by its duration where only that is."""
    if end is not None:
        return end if end >= start else end + timedelta(days=1)
    reading.counts["without an end time"] += 1
    try:
        minutes = float(cells["appointment_duration"] or "nan")
    except ValueError:
        reading.fault(line, "appointment_duration", cells["appointment_duration"])
        return None
    return start + timedelta(minutes=minutes) if 0 <= minutes < 24 * 60 else None


def _date(said: str) -> date | None:
    try:
        return datetime.fromisoformat(said).date()
    except ValueError:
        return None


def _moment(day: date, said: str) -> datetime | None:
    """A time of that day, or a full ISO time; local, so an offset is left off."""
    try:
        if len(said) > 10:
            return datetime.fromisoformat(said).replace(tzinfo=None)
        return datetime.combine(day, time.fromisoformat(said.zfill(5) if said.find(":") < 2 else said))
    except ValueError:
        return None


# Replaying


@dataclass(frozen=True, slots=True)
class Estimate:
    """One estimate and what came true. Seconds from the estimate to the patient's call."""

    distance: int
    actual: float
    p50: float
    p90: float
    rule: float
    long_run: float
    today: float


@dataclass(slots=True)
class Replay:
    """What a replay collects."""

    happened: list[Estimate] = field(default_factory=list)
    full_room: list[Estimate] = field(default_factory=list)
    jumps: list[float] = field(default_factory=list)
    before_opening: int = 0


@dataclass(slots=True)
class _Means:
    """What the rules of thumb know: every gap so far, and today's."""

    total: float = 0.0
    count: int = 0
    today_total: float = 0.0
    today_count: int = 0

    def add(self, seconds: float) -> None:
        self.total, self.count = self.total + seconds, self.count + 1
        self.today_total, self.today_count = self.today_total + seconds, self.today_count + 1

    def long_run(self) -> float:
        return self.total / self.count if self.count else PRIOR_MEAN

    def today(self) -> float:
        return self.today_total / self.today_count if self.today_count else self.long_run()


_ENDED, _JOINED, _CALLED = range(3)


def replay(visits: Iterable[Visit]) -> Replay:
    """Replay every doctor's days in order, each doctor from an empty pace."""
    result = Replay()
    by_doctor: dict[str, dict[date, list[Visit]]] = defaultdict(lambda: defaultdict(list))
    for visit in visits:
        by_doctor[visit.doctor][visit.start.date()].append(visit)
    for days in by_doctor.values():
        pace, means = Pace(), _Means()
        for day in sorted(days):
            means.today_total, means.today_count = 0.0, 0
            pace = _Day(day, days[day], means, result).play(pace)
    return result


class _Day:
    """One doctor's day: a desk that calls in the order in which the consultations started."""

    def __init__(self, day: date, visits: Sequence[Visit], means: _Means, result: Replay) -> None:
        self.day, self.means, self.result = day, means, result
        self.visits = sorted(visits, key=lambda visit: visit.start)
        self.waiting: list[int] = []
        self.current: int | None = None
        self.previous: Visit | None = None
        self.turn_told: dict[int, datetime] = {}

    def play(self, pace: Pace) -> Pace:
        """Score the whole day; the pace after it."""
        turns = list(self._turns())
        for at, kind, number in self._events():
            if kind == _ENDED:
                self.current = None if self.current == number else self.current
            elif kind == _JOINED:
                self.waiting = sorted([*self.waiting, number])
            else:
                pace = self._call(pace, number)
            self._tell(pace, at, scored=self.waiting if kind == _CALLED else [number] if kind == _JOINED else [])
            if kind == _CALLED:
                self._full_room(pace, turns[number + 1 : number + 1 + FAR])
        return pace

    def _events(self) -> Iterator[tuple[datetime, int, int]]:
        events = []
        for number, visit in enumerate(self.visits):
            events.append((visit.start, _CALLED, number))
            # Whoever is called in the second of checking in was never told a wait.
            if visit.joined is not None and visit.joined < visit.start:
                events.append((visit.joined, _JOINED, number))
            if visit.end is not None:
                events.append((visit.end, _ENDED, number))
        # What ends at a second ends before others are called in it; whoever checks in then can be called then.
        return iter(sorted(events))

    def _turns(self) -> Iterator[Gap | None]:
        """The gap that ends with each call: what a full room would have waited for it."""
        previous: Visit | None = None
        for number, visit in enumerate(self.visits):
            since = self._waiting_since(number)
            yield None if previous is None else gap(previous.start, previous.end, since, visit.start)
            previous = visit

    def _waiting_since(self, number: int) -> datetime | None:
        """Since when somebody could have been called instead of the doctor waiting; None where it is not known."""
        there = [visit.joined for visit in self.visits[number:]]
        known = [joined for joined in there if joined is not None]
        return min(known) if there[0] is not None else None

    def _call(self, pace: Pace, number: int) -> Pace:
        visit, before = self.visits[number], self.previous
        since = self._waiting_since(number)
        previous, freed = (before.start, before.end) if before else (None, None)
        if previous is not None:
            seen = gap(previous, freed, since, visit.start)
            if seen is not None:
                self.means.add(seen.seconds)
        self.waiting = [other for other in self.waiting if other != number]
        self.current = number if visit.end is None or visit.end > visit.start else None
        self.previous = visit
        return pace.observe(self.day, visit.start, previous, freed, since)

    def _tell(self, pace: Pace, at: datetime, scored: Sequence[int]) -> None:
        """Everybody who waits sees their range anew; those in `scored` have it held against what came true."""
        if not self.waiting:
            return
        if self.previous is None:
            self.result.before_opening += len(scored)
            return
        busy = [] if self.current is None else [(at - self.visits[self.current].start).total_seconds()]
        told = ranges(pace, busy, 1, len(self.waiting))
        for place, (number, (p50, p90)) in enumerate(zip(self.waiting, told, strict=False), start=1):
            turn = at + timedelta(seconds=p50)
            if number in self.turn_told:
                self.result.jumps.append(abs((turn - self.turn_told[number]).total_seconds()))
            self.turn_told[number] = turn
            if number in scored:
                actual = (self.visits[number].start - at).total_seconds()
                self.result.happened.append(self._estimate(place, actual, p50, p90))

    def _full_room(self, pace: Pace, turns: Sequence[Gap | None]) -> None:
        actual = 0.0
        for place, ((p50, p90), turn) in enumerate(
            zip(ranges(pace, [0.0], 1, len(turns)), turns, strict=True), start=1
        ):
            if turn is None:
                return
            actual += turn.seconds
            self.result.full_room.append(self._estimate(place, actual, p50, p90))

    def _estimate(self, place: int, actual: float, p50: float, p90: float) -> Estimate:
        long_run, today = self.means.long_run(), self.means.today()
        return Estimate(place, actual, p50, p90, place * RULE, place * long_run, place * today)


# Figures


@dataclass(frozen=True, slots=True)
class Figures:
    """One line of the table: mean absolute errors in minutes, coverages as shares of one."""

    distance: int | None
    count: int
    error_p50: float
    error_rule: float
    error_long_run: float
    error_today: float
    coverage_p50: float
    coverage_p90: float


@dataclass(frozen=True, slots=True)
class Scene:
    """All estimates of a scene together, and by distance: 1 to 12, and 13 for everything beyond."""

    together: Figures | None
    by_distance: list[Figures]


@dataclass(frozen=True, slots=True)
class Jumps:
    """How far a patient's expected clock time moved from one update to the next, in minutes."""

    count: int
    median: float
    p95: float
    largest: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What `callboard evaluate-waits` prints."""

    file: str
    rows: int
    visits: int
    doctors: int
    sessions: int
    as_it_happened: Scene
    full_room: Scene
    jumps: Jumps
    before_opening: int
    notes: dict[str, int]
    faults: list[str]

    def to_json(self) -> dict[str, object]:
        """As plain values."""
        return asdict(self)


def evaluate(path: Path) -> Evaluation:
    """Replay a file and score every estimate. Raises `FileRefused`."""
    reading = read(path)
    result = replay(reading.visits)
    return Evaluation(
        file=path.name,
        rows=reading.rows,
        visits=len(reading.visits),
        doctors=len({visit.doctor for visit in reading.visits}),
        sessions=len({(visit.doctor, visit.start.date()) for visit in reading.visits}),
        as_it_happened=_scene(result.happened),
        full_room=_scene(result.full_room),
        jumps=_jumps(result.jumps),
        before_opening=result.before_opening,
        notes=dict(reading.counts),
        faults=reading.faults,
    )


def _scene(estimates: Sequence[Estimate]) -> Scene:
    by_distance: dict[int, list[Estimate]] = defaultdict(list)
    for estimate in estimates:
        by_distance[min(estimate.distance, FAR + 1)].append(estimate)
    return Scene(
        _figures(None, estimates) if estimates else None,
        [_figures(distance, by_distance[distance]) for distance in sorted(by_distance)],
    )


def _figures(distance: int | None, estimates: Sequence[Estimate]) -> Figures:
    return Figures(
        distance,
        len(estimates),
        fmean(abs(one.p50 - one.actual) for one in estimates) / 60,
        fmean(abs(one.rule - one.actual) for one in estimates) / 60,
        fmean(abs(one.long_run - one.actual) for one in estimates) / 60,
        fmean(abs(one.today - one.actual) for one in estimates) / 60,
        fmean(one.actual <= one.p50 for one in estimates),
        fmean(one.actual <= one.p90 for one in estimates),
    )


def _jumps(seconds: Sequence[float]) -> Jumps:
    if not seconds:
        return Jumps(0, 0.0, 0.0, 0.0)
    ordered = sorted(seconds)
    median, p95 = (ordered[math.ceil(share * len(ordered)) - 1] / 60 for share in (0.5, 0.95))
    return Jumps(len(ordered), median, p95, ordered[-1] / 60)


def render(evaluation: Evaluation) -> str:
    """The figures as aligned text."""
    told = evaluation
    lines = [
        f"{told.file}: {told.rows} rows, {told.visits} visits, {told.doctors} doctors, {told.sessions} doctor's days",
        "",
        *_table("As it happened (on checking in, and after each call while waiting)", told.as_it_happened),
        "",
        *_table("Full room (after each call, the next twelve as if all were there)", told.full_room),
        "",
        f"A patient's expected time moved, from one update to the next ({told.jumps.count} updates): "
        f"median {told.jumps.median:.1f} min, 95 % within {told.jumps.p95:.1f} min, "
        f"at most {told.jumps.largest:.1f} min.",
    ]
    if told.before_opening:
        lines.append(
            f"Checked in before the doctor's first call of the day, so no wait was told: {told.before_opening}."
        )
    lines += [f"{note[0].upper()}{note[1:]}: {count}." for note, count in sorted(told.notes.items())]
    lines += [f"  {fault}" for fault in told.faults]
    return "\n".join(lines)


def _table(title: str, scene: Scene) -> list[str]:
    if scene.together is None:
        return [title, "  nothing to score"]
    head = [
        title,
        "            |        mean absolute error, minutes         | came true within",
        "place     n |  p50   place×15  ×long-run mean  ×today's  |   p50     p90",
    ]
    return head + [_line(one) for one in (*scene.by_distance, scene.together)]


def _line(one: Figures) -> str:
    name = "all" if one.distance is None else f"{FAR + 1}+" if one.distance > FAR else str(one.distance)
    return (
        f"{name:>5}{one.count:>6} |{one.error_p50:5.1f}{one.error_rule:11.1f}{one.error_long_run:16.1f}"
        f"{one.error_today:10.1f}  |{one.coverage_p50:6.1%}{one.coverage_p90:8.1%}"
    )
