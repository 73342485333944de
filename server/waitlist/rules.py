"""The decisions about the waitlist: whom freed time suits, until when it is held, how likely an offer is. Pure.

Invariants:
- Whoever has the higher priority goes first, among equals whoever joined first; whom a time does not suit is passed
  over for that time alone, and the reason is on record.
- Nobody is offered a time again that they let pass, or gave up themselves since they wait.
- An offer ends well before the time that it offers begins.
"""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from server.events import Mode, PartOfDay
from server.slots.rules import Time, adjacent

LEAST_NOTICE = timedelta(minutes=10)
"""Time that begins sooner is offered to nobody: they could not read it, answer and come."""
LONGEST = 8
"""Slots of one visit at most."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody waits for. `minutes` is the visit's length, 0 where one slot will do."""

    entry: int
    patient: int
    doctor: int | None
    specialty: int | None
    visit_type: int | None
    location: int | None
    mode: str
    visit_mode: str
    minutes: int
    first_day: date
    last_day: date
    parts: frozenset[PartOfDay]
    priority: int
    joined_at: datetime


@dataclass(frozen=True, slots=True)
class Server:
    """A doctor who could see somebody from the waitlist, and on which terms."""

    id: int
    specialty: int | None
    visit_types: frozenset[int]
    """Those taken; none named, all."""
    offer_minutes: int
    min_notice_minutes: int


@dataclass(frozen=True, slots=True)
class Free:
    """A slot with seats left, the one that follows it whosesoever it is, and how many of its seats are locked."""

    time: Time
    zone: ZoneInfo
    next_id: int | None
    locked: int

    @property
    def taken_by_locks(self) -> bool:
        """Whether somebody is about to book all that is left of it."""
        return self.locked >= self.time.left


@dataclass(frozen=True, slots=True)
class Span:
    """Slots that make one visit."""

    slots: tuple[Free, ...]

    @property
    def starts_at(self) -> datetime:
        """When the visit would begin."""
        return self.slots[0].time.starts_at

    @property
    def ends_at(self) -> datetime:
        """When it would end."""
        return self.slots[-1].time.ends_at

    @property
    def doctor(self) -> int:
        """Whose time it is."""
        return self.slots[0].time.doctor_id

    @property
    def slot_ids(self) -> list[int]:
        """The slots, in order of time."""
        return [one.time.id for one in self.slots]

    @property
    def locked(self) -> bool:
        """Whether somebody is about to book a part of it."""
        return any(one.taken_by_locks for one in self.slots)

    def modes(self) -> set[str]:
        """The ways in which the visit could be held."""
        return set.intersection(*({"in_person", "online"} & _modes(one.time.mode) for one in self.slots))


def _modes(mode: str) -> set[str]:
    return {"in_person", "online"} if mode == "both" else {mode}


def spans(free: Sequence[Free], minutes: int) -> Iterator[Span]:
    """The visits of this length that a doctor's free slots, in order of time, have room for; the soonest first."""
    for at, first in enumerate(free):
        held, have = [first], _minutes(first)
        for later in free[at + 1 : at + LONGEST]:
            if have >= minutes or held[-1].next_id != later.time.id:
                break
            held.append(later)
            have += _minutes(later)
        if have >= minutes and adjacent([one.time for one in held]):
            yield Span(tuple(held))


def _minutes(one: Free) -> int:
    return int((one.time.ends_at - one.time.starts_at).total_seconds()) // 60


def part_of(at: datetime, zone: ZoneInfo) -> PartOfDay:
    """The part of the local day."""
    hour = at.astimezone(zone).hour
    return "morning" if hour < 12 else "afternoon" if hour < 17 else "evening"


def serves(doctor: Server, wish: Wish) -> bool:
    """Whether this is a doctor whom somebody waits for."""
    return (
        wish.doctor in (None, doctor.id)
        and wish.specialty in (None, doctor.specialty)
        and (wish.visit_type is None or not doctor.visit_types or wish.visit_type in doctor.visit_types)
    )


def suits(wish: Wish, span: Span) -> Mode | None:
    """The mode in which the time would be offered; None where it is not what is wished for."""
    first = span.slots[0]
    day = span.starts_at.astimezone(first.zone).date()
    if not wish.first_day <= day <= wish.last_day or wish.location not in (None, first.time.location_id):
        return None
    if wish.parts and part_of(span.starts_at, first.zone) not in wish.parts:
        return None
    both = span.modes() & _modes(wish.mode) & _modes(wish.visit_mode)
    return None if not both else "in_person" if "in_person" in both else "online"


def near_enough(doctor: Server, starts_at: datetime, now: datetime) -> bool:
    """Whether somebody could still come: neither too soon for patients to book, nor for an answer."""
    return starts_at >= now + max(LEAST_NOTICE, timedelta(minutes=doctor.min_notice_minutes))


def expires_at(now: datetime, starts_at: datetime, offer_minutes: int) -> datetime:
    """Until when the time is held: as long as is set, but for no more than a quarter of what is left until then."""
    return now + min(timedelta(minutes=offer_minutes), (starts_at - now) / 4)


@dataclass(frozen=True, slots=True)
class Past:
    """What is known of somebody who waits: where they are, and what they let pass or gave up."""

    busy: Sequence[tuple[datetime, datetime]] = ()
    passed: Collection[int] = frozenset()
    """Slots that were offered to them before."""
    gave_up: Collection[tuple[int, datetime]] = frozenset()
    """Doctor and beginning of what they cancelled or moved themselves."""


def hindrance(span: Span, past: Past) -> str | None:
    """Why somebody whom the time suits is not offered it; None where they are."""
    if any(slot in past.passed for slot in span.slot_ids):
        return "offered-before"
    if (span.doctor, span.starts_at) in past.gave_up:
        return "gave-it-up"
    if any(begins < span.ends_at and ends > span.starts_at for begins, ends in past.busy):
        return "elsewhere"
    return None


@dataclass(frozen=True, slots=True)
class Match:
    """A time for somebody, and who was before them in the line and why they did not get it."""

    wish: Wish
    span: Span
    mode: Mode
    ahead: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Round:
    """The offers to make of what is free, and those for whom it is locked at the moment."""

    matches: list[Match]
    locked: list[int]


def match(
    wishes: Sequence[Wish],
    doctors: Mapping[int, Server],
    free: Mapping[int, Sequence[Free]],
    pasts: Mapping[int, Past],
    now: datetime,
) -> Round:
    """Give what is free to those who wait, in the order of the line; each gets the soonest time that suits them."""
    left = {one.time.id: one.time.left - one.locked for all_ in free.values() for one in all_}
    matches: list[Match] = []
    locked: list[int] = []
    skipped: list[tuple[Wish, Span, str]] = []
    promised: dict[int, list[tuple[datetime, datetime]]] = {}
    room = Room(free)
    for wish in wishes:
        waits_for_lock = False
        past = pasts.get(wish.entry, Past())
        past = replace(past, busy=[*past.busy, *promised.get(wish.patient, ())])
        for span, mode in suiting(wish, doctors, room, now):
            if any(left[slot] < 1 for slot in span.slot_ids):
                waits_for_lock = waits_for_lock or span.locked
                continue
            if reason := hindrance(span, past):
                skipped.append((wish, span, reason))
                continue
            for slot in span.slot_ids:
                left[slot] -= 1
            ahead = tuple((one.entry, why) for one, other, why in skipped if set(other.slot_ids) & set(span.slot_ids))
            matches.append(Match(wish, span, mode, ahead))
            promised.setdefault(wish.patient, []).append((span.starts_at, span.ends_at))
            break
        else:
            if waits_for_lock:
                locked.append(wish.entry)
    return Round(matches, locked)


class Room:
    """The visits that there is room for, by doctor and length; those of one length are made once."""

    def __init__(self, free: Mapping[int, Sequence[Free]]) -> None:
        self._free = free
        self._made: dict[tuple[int, int], list[Span]] = {}

    def spans(self, doctor: int, minutes: int) -> list[Span]:
        """The visits of this length with this doctor."""
        if (doctor, minutes) not in self._made:
            self._made[doctor, minutes] = list(spans(self._free.get(doctor, ()), minutes))
        return self._made[doctor, minutes]


def suiting(wish: Wish, doctors: Mapping[int, Server], room: Room, now: datetime) -> Iterator[tuple[Span, Mode]]:
    """The free times that suit somebody, the soonest first, and the mode of each."""
    found = [
        (span, mode)
        for id_, doctor in doctors.items()
        if serves(doctor, wish)
        for span in room.spans(id_, wish.minutes)
        if (mode := suits(wish, span)) is not None and near_enough(doctor, span.starts_at, now)
    ]
    return iter(sorted(found, key=lambda one: (one[0].starts_at, one[0].doctor)))


# How likely it is

PRIOR_GIVEN_UP, PRIOR_WEIGHT = 0.12, 25.0
"""Of booked visits about one in eight is given up (outpatient studies find 5 to 25 %), which counts like 25 visits."""


def given_up_share(booked: int, given_up: int) -> float:
    """The share of booked visits that are given up: of the doctors' own last months, drawn to what is usual."""
    return (given_up + PRIOR_GIVEN_UP * PRIOR_WEIGHT) / (booked + PRIOR_WEIGHT)


def chance(seats: int, share: float, ahead: int) -> float:
    """How likely at least `ahead + 1` of the booked seats that would suit are given up: then one is offered.

    It takes seats to be given up independently of each other, each with the same chance; everybody ahead to want any of
    them and to take one; and nothing to be opened anew. So it errs on the low side where people ahead want other
    times, or decline, and on the high side for days that are so near that most have cancelled who will.
    """
    if seats <= ahead:
        return 0.0
    fewer = sum(math.comb(seats, k) * share**k * (1 - share) ** (seats - k) for k in range(ahead + 1))
    return max(0.0, min(1.0, 1 - fewer))
