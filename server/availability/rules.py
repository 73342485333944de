"""What a doctor's weekly schedules mean in real time, decided without looking at a clock or a database.

Invariants, held for every zone and every change of its clocks:
- A doctor works from the moment when the clock on the wall first shows a session's start to the moment when it first
  shows its end, and not in its breaks. So an hour that the clock skips is not worked, and one that it shows twice in
  the middle of a session is worked twice; nobody is called back for an hour that comes again after the session's end.
- A slot lies in that time, never leaves it, and never overlaps another. Within it, slots follow each other by real
  minutes; whatever has room for a slot has one.
- A session belongs to the day on which it starts, also where it goes on past midnight.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, model_validator

from server.errors import Misfit
from server.settings import WallTime

SlotMode = Literal["in_person", "online", "both"]
SlotMinutes = Annotated[int, Field(ge=5, le=720)]
Minutes = Annotated[int, Field(ge=0, le=240)]
Capacity = Annotated[int, Field(ge=1, le=100)]
DAY = timedelta(days=1)
WEEK = 7 * 24 * 60
"""Minutes of a week, as the clock on the wall counts them."""


class Pause(BaseModel):
    """A break in a session, local time; one that ends at or before it starts ends the next day."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    starts: WallTime
    ends: WallTime


class WorkingTime(BaseModel):
    """Work on a weekday (0 is Monday), local time; what ends at or before it starts ends the next day."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    weekday: int = Field(ge=0, le=6)
    starts: WallTime
    ends: WallTime
    slot_minutes: SlotMinutes = 15
    buffer_minutes: Minutes = Field(default=0, description="Between two slots.")
    capacity: Capacity = Field(default=1, description="Seats of each slot.")
    mode: SlotMode = "both"
    breaks: list[Pause] = Field(default=[], max_length=10)

    @model_validator(mode="after")
    def _breaks_fit(self) -> Self:
        """Breaks lie in the session, and one after the other."""
        until = 0
        for pause in sorted(self.breaks, key=self.after):
            begins, ends = self.after(pause), self.after(pause) + _length(pause)
            if begins < until or ends > _length(self):
                raise Misfit("breaks-misfit", "Breaks lie within their session and do not overlap.")
            until = ends
        return self

    def after(self, pause: Pause) -> int:
        """How many minutes after the session's start a break begins, by the clock on the wall."""
        return (_minute(pause.starts) - _minute(self.starts)) % (24 * 60)


def _minute(at: time) -> int:
    return at.hour * 60 + at.minute


def _length(one: WorkingTime | Pause) -> int:
    """Minutes from start to end by the clock on the wall; a whole day where they are equal."""
    return (_minute(one.ends) - _minute(one.starts)) % (24 * 60) or 24 * 60


def colliding(week: Sequence[WorkingTime]) -> tuple[WorkingTime, WorkingTime] | None:
    """Two sessions of a week that overlap by the clock on the wall, past Sunday's midnight as well."""
    ordered = sorted(week, key=_of_week)
    for one, other in itertools.pairwise(ordered):
        if _of_week(one) + _length(one) > _of_week(other):
            return one, other
    if len(ordered) > 1 and _of_week(ordered[-1]) + _length(ordered[-1]) > _of_week(ordered[0]) + WEEK:
        return ordered[-1], ordered[0]
    return None


def _of_week(session: WorkingTime) -> int:
    """The minute of the week at which a session starts."""
    return session.weekday * 24 * 60 + _minute(session.starts)


@dataclass(frozen=True, slots=True)
class Schedule:
    """A weekly schedule: where, from which day to which, in every how-many-eth week, and the zone of its days."""

    id: int
    location_id: int
    zone: ZoneInfo
    starts_on: date
    ends_on: date | None
    every_weeks: int
    week: tuple[WorkingTime, ...]

    def covers(self, day: date) -> bool:
        """Whether the day is one between its first and its last."""
        return self.starts_on <= day and (self.ends_on is None or day <= self.ends_on)

    def on(self, day: date) -> list[WorkingTime]:
        """The sessions that start on a day, if the schedule holds then: none in a week that it leaves out."""
        weeks = (_monday(day) - _monday(self.starts_on)).days // 7
        if weeks % self.every_weeks:
            return []
        return [session for session in self.week if session.weekday == day.weekday()]


def _monday(day: date) -> date:
    return day - timedelta(days=day.weekday())


def holding(schedules: Iterable[Schedule], location_id: int, day: date) -> Schedule | None:
    """The schedule of one location that holds on a day: of those that cover it, the one that began last."""
    covering = [one for one in schedules if one.location_id == location_id and one.covers(day)]
    return max(covering, key=lambda one: one.starts_on, default=None)


@dataclass(frozen=True, slots=True)
class Span:
    """Real time in which people can be booked: UTC."""

    starts_at: datetime
    ends_at: datetime
    capacity: int = 1
    mode: SlotMode = "both"

    def overlaps(self, other: "Span | Period") -> bool:
        """Whether both have some time in common."""
        return self.starts_at < other.ends_at and other.starts_at < self.ends_at


@dataclass(frozen=True, slots=True)
class Period:
    """Real time from one instant to another: UTC."""

    starts_at: datetime
    ends_at: datetime


def instant(zone: ZoneInfo, day: date, at: time, days: int = 0) -> datetime:
    """The first moment at which the clock on the wall shows this time of the day, `days` later, or has skipped it."""
    return moment(zone, datetime.combine(day + timedelta(days=days), at))


def moment(zone: ZoneInfo, local: datetime) -> datetime:
    """The first moment, in UTC, at which this zone's clock shows at least this local time."""
    early = local.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if _wall(early, zone) == local:
        return early
    # The clock skips this time: it jumps somewhere between its two readings, and that jump is the moment.
    low = int(local.replace(tzinfo=zone, fold=1).astimezone(UTC).timestamp())
    high = int(early.timestamp())
    while high - low > 1:
        middle = (low + high) // 2
        if _wall(datetime.fromtimestamp(middle, UTC), zone) >= local:
            high = middle
        else:
            low = middle
    return datetime.fromtimestamp(high, UTC)


def _wall(at: datetime, zone: ZoneInfo) -> datetime:
    return at.astimezone(zone).replace(tzinfo=None, fold=0)


def local_day(zone: ZoneInfo, at: datetime) -> date:
    """The day that it is in a zone."""
    return at.astimezone(zone).date()


def days_in(zone: ZoneInfo, first: date, last: date) -> Period:
    """Whole days, to the end of the last one, whenever they begin there."""
    return Period(instant(zone, first, time(0)), instant(zone, last, time(0), 1))


def working(zone: ZoneInfo, day: date, session: WorkingTime) -> list[Period]:
    """The real time of a session on the day that it starts on, in pieces between its breaks."""
    start = datetime.combine(day, session.starts)
    begins, ends = moment(zone, start), moment(zone, start + timedelta(minutes=_length(session)))
    pieces: list[Period] = []
    for pause in sorted(session.breaks, key=session.after):
        off = start + timedelta(minutes=session.after(pause))
        leaves, returns = moment(zone, off), moment(zone, off + timedelta(minutes=_length(pause)))
        # A break that the clock skips is none.
        if leaves < returns:
            pieces.append(Period(begins, leaves))
            begins = returns
    pieces.append(Period(begins, ends))
    return [piece for piece in pieces if piece.starts_at < piece.ends_at]


def spans(zone: ZoneInfo, day: date, session: WorkingTime) -> list[Span]:
    """The slots of a session on the day that it starts on."""
    return [
        Span(starts_at, ends_at, session.capacity, session.mode)
        for piece in working(zone, day, session)
        for starts_at, ends_at in steps(piece, session.slot_minutes, session.buffer_minutes)
    ]


def steps(piece: Period, minutes: int, between: int) -> Iterator[tuple[datetime, datetime]]:
    """As many slots as a piece of time has room for, so many minutes long and apart."""
    length, step = timedelta(minutes=minutes), timedelta(minutes=minutes + between)
    at = piece.starts_at
    while at + length <= piece.ends_at:
        yield at, at + length
        at += step


def planned(schedules: Sequence[Schedule], location_id: int, first: date, last: date) -> list[tuple[Schedule, Span]]:
    """The slots that a location's schedules mean for these days, each with its schedule, earliest first.

    Where a night's session meets the next day's of another schedule, the one that began first stays.
    """
    plan: list[tuple[Schedule, Span]] = []
    until = datetime.min.replace(tzinfo=UTC)
    for day in each_day(first, last):
        if (schedule := holding(schedules, location_id, day)) is None:
            continue
        found = [span for session in schedule.on(day) for span in spans(schedule.zone, day, session)]
        for span in sorted(found, key=lambda one: one.starts_at):
            if span.starts_at >= until:
                plan.append((schedule, span))
                until = span.ends_at
    return plan


def each_day(first: date, last: date) -> Iterator[date]:
    """Every day from the first to the last."""
    for number in range((last - first).days + 1):
        yield first + timedelta(days=number)


def apart(wanted: Sequence[Span], taken: Sequence[Span]) -> list[Span]:
    """Those of the wanted spans that overlap none of the taken ones; both in order and without overlaps among them."""
    free, at = [], 0
    for span in wanted:
        while at < len(taken) and taken[at].ends_at <= span.starts_at:
            at += 1
        if at == len(taken) or not span.overlaps(taken[at]):
            free.append(span)
    return free


HORIZON = 64 * 7
"""Days in which two schedules have met in all of their weeks: each recurs within eight."""
FARTHEST = 5 * 366
"""Days ahead that schedules are compared; what begins later is compared as far as that."""


@dataclass(frozen=True, slots=True)
class Clash:
    """Where a doctor would be in two places: the day and session of one schedule, and the other's."""

    day: date
    session: WorkingTime
    other: Schedule
    other_session: WorkingTime


def clash(schedules: Sequence[Schedule], changed: Schedule, today: date) -> Clash | None:
    """Where the changed one of a doctor's schedules would have them work at two locations at once; None: nowhere."""
    others = sorted({one.location_id for one in schedules} - {changed.location_id})
    if not others:
        return None
    first = max(today, changed.starts_on)
    turns = [one.starts_on for one in schedules] + [one.ends_on for one in schedules if one.ends_on]
    last = min(max(first, *turns) + timedelta(days=HORIZON), today + timedelta(days=FARTHEST))
    last = min(last, changed.ends_on or last)
    mine = [one for one in _stays(schedules, changed.location_id, first, last) if one.schedule is changed]
    # A night's session reaches into the next day, and zones apart lay the same hours on neighbouring days.
    theirs = [one for other in others for one in _stays(schedules, other, first - 2 * DAY, last + 2 * DAY)]
    theirs.sort(key=lambda one: one.piece.starts_at)
    at = 0
    for here in sorted(mine, key=lambda one: one.piece.starts_at):
        while at < len(theirs) and theirs[at].piece.ends_at <= here.piece.starts_at:
            at += 1
        if at < len(theirs) and theirs[at].piece.starts_at < here.piece.ends_at:
            return Clash(here.day, here.session, theirs[at].schedule, theirs[at].session)
    return None


@dataclass(frozen=True, slots=True)
class _Stay:
    """A piece of a session on a day."""

    schedule: Schedule
    day: date
    session: WorkingTime
    piece: Period


def _stays(schedules: Sequence[Schedule], location_id: int, first: date, last: date) -> list[_Stay]:
    return [
        _Stay(schedule, day, session, piece)
        for day in each_day(first, last)
        if (schedule := holding(schedules, location_id, day)) is not None
        for session in schedule.on(day)
        for piece in working(schedule.zone, day, session)
    ]


@dataclass(frozen=True, slots=True)
class Existing:
    """A slot that is there: its taken seats, whether it can be booked, and whether a schedule made it."""

    id: int
    span: Span
    taken: int
    open: bool
    made: bool


@dataclass(slots=True)
class Change:
    """What becomes of a location's slots where its schedules mean something else."""

    added: list[tuple[Schedule, Span]] = field(default_factory=list)
    removed: list[int] = field(default_factory=list)
    altered: list[tuple[int, Span]] = field(default_factory=list)
    """Those that get other seats or another mode."""
    outside: list[int] = field(default_factory=list)
    """Booked ones that no longer lie in working time: the bookings stay, and nobody books them any more."""
    reopened: list[int] = field(default_factory=list)
    """Such ones that lie in working time again."""


Plan = Sequence[tuple[Schedule, Span]]


def difference(existing: Sequence[Existing], before: Plan, after: Plan, work: Sequence[Period]) -> Change:
    """What becomes of these slots when the plan `before` gives way to `after`, with `work` as the new working time.

    Only slots in which nobody has a seat are given up or altered. What was removed, closed or changed by hand stays
    so where both plans mean it, and what was added by hand stays anyway.
    """
    change = Change()
    there = {(one.span.starts_at, one.span.ends_at): one for one in existing}
    old = {(span.starts_at, span.ends_at): span for _, span in before}
    new = {(span.starts_at, span.ends_at): span for _, span in after}
    for at, one in there.items():
        if not one.made:
            continue
        if at not in new and not one.taken and (at in old or not one.open):
            change.removed.append(one.id)
        elif at not in new and at in old and one.open and not _inside(one.span, work):
            change.outside.append(one.id)
        elif at in new and at not in old and not one.open:
            change.reopened.append(one.id)
        elif at in new and at in old and new[at] != old[at] and not one.taken:
            change.altered.append((one.id, new[at]))
    gone = set(change.removed)
    stays = sorted((one.span for one in existing if one.id not in gone), key=lambda span: span.starts_at)
    fresh = [(schedule, span) for schedule, span in after if (span.starts_at, span.ends_at) not in old]
    free = {id(span) for span in apart([span for _, span in fresh], stays)}
    change.added = [(schedule, span) for schedule, span in fresh if id(span) in free]
    return change


def _inside(span: Span, work: Sequence[Period]) -> bool:
    return any(piece.starts_at <= span.starts_at and span.ends_at <= piece.ends_at for piece in work)


def worked(schedules: Sequence[Schedule], location_id: int, first: date, last: date) -> list[Period]:
    """The time that a location's schedules mean for these days, without the breaks."""
    return [one.piece for one in _stays(schedules, location_id, first, last)]
