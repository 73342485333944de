"""Free slots: searched by doctor, specialty, visit type, place, kind, time and length.

Invariant: an answer's rows are exact at the positions that it names, so whoever follows those streams from there on
misses nothing: the slots' rows and versions are read in one snapshot, the locks' in one script.

A clinic's whole month is ten thousand free slots and more: PostgreSQL writes them as the JSON that is answered, which
costs less than carrying each row over and checking it against a model. `FreeSlots` says what is in it, and a test holds
it to that.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from typing import Any, Literal
from zoneinfo import ZoneInfo

import orjson
from pydantic import Field, PrivateAttr

from server import errors, events
from server.access import PEOPLE, Actor, Role
from server.asks import Ask, Id, Reply, decode_cursor, encode_cursor, wrong
from server.events import Mode, SlotMode
from server.settings import BookingSettings, effective_booking
from server.slots import rules
from server.slots.locks import Locks, Shown
from server.store import Connection, Query, Read

DAYS = 92
"""How many days one search covers at most, and where it ends if it is not said."""
AROUND = (timedelta(hours=3), timedelta(days=2), timedelta(days=14))
"""How far from a wanted time the nearest free ones are looked for: near by first, where there mostly are some."""


class WantedSlots(Ask):
    """What to look for; whatever is not given does not matter."""

    institution_id: Id | None = Field(default=None, description="Needed only by those who belong to none.")
    doctor_id: list[Id] | None = Field(default=None, min_length=1, max_length=200)
    specialty_id: Id | None = None
    visit_type_id: Id | None = Field(default=None, description="Doctors who take it, and its length and kind.")
    location_id: Id | None = None
    mode: Mode | None = None
    from_: date | None = Field(default=None, alias="from", description="The first day, by the clock of the place.")
    to: date | None = Field(default=None, description="The last day.")
    part: Literal["morning", "afternoon", "evening"] | None = Field(
        default=None, description="Before 12, before 17, or later, by the clock of the place."
    )
    minutes: int | None = Field(
        default=None, ge=1, le=720, description="Of several slots that follow each other, if one is too short."
    )


class FindSlots(WantedSlots):
    """Free slots, soonest first."""

    cursor: str | None = Field(default=None, max_length=200)
    limit: int = Field(default=500, ge=1, le=20_000)


class FreeSlot(Reply):
    """Free time of one doctor: one slot, or several that follow each other where the visit is longer."""

    slot_ids: list[int]
    doctor_id: int
    location_id: int
    starts_at: datetime
    ends_at: datetime
    mode: SlotMode
    left: int = Field(description="Seats.")
    locked_until: datetime | None = Field(description="Until when all that is left is locked, at the most.")


class Position(Reply):
    """A version of a stream, to follow it from."""

    epoch: str
    version: int


class FreeSlots(Reply):
    """Free slots, soonest first, and where the streams of their doctors' slots and locks stood."""

    items: list[FreeSlot]
    positions: dict[str, Position] = Field(description="By stream. Without Redis, no locks are known, nor theirs.")
    next_cursor: str | None


class NextSlot(Reply):
    """The soonest free time that is not locked, if there is any."""

    item: FreeSlot | None
    positions: dict[str, Position]


class Written(FreeSlots):
    """Free slots as the JSON that they are answered in; read only where somebody asks for the items."""

    _text: str = PrivateAttr()

    def model_dump_json(self, **_: Any) -> str:
        """What was written."""
        return self._text

    def __getattr__(self, name: str) -> Any:
        """The items, once they are wanted."""
        if name != "items":
            return super().__getattr__(name)  # type: ignore[misc]
        self.__dict__["items"] = FreeSlots.model_validate_json(self._text).items
        return self.__dict__["items"]


@dataclass(frozen=True, slots=True)
class Search:
    """A search whose every name is known: which doctors, each from when until when, at which length and kind."""

    institution_id: int
    doctors: list[int]
    after: list[datetime]
    before: list[datetime]
    minutes: int
    mode: str | None
    location_id: int | None = None
    first: date | None = None
    last: date | None = None
    part: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Free slots as JSON, and what the last of them is found by: when, whose, which."""

    text: str
    count: int
    last: tuple[datetime, int, int] | None


async def find_slots(view: Read, actor: Actor, ask: FindSlots) -> FreeSlots:
    """Find free slots, what is left of each, and which are locked. Raises `NotFound`."""
    search = await searched(view, actor, ask)
    shown, positions = await _positions(view, search.doctors)
    after = decode_cursor("slots", ask.cursor, int, int, int) if ask.cursor else None
    start = (datetime.fromtimestamp(0, UTC) + timedelta(microseconds=after[0]), *after[1:]) if after else None
    page = await found(view.conn, search, shown, ask.limit, start)
    cursor = None
    if page.last is not None and page.count == ask.limit:
        cursor = encode_cursor("slots", _micros(page.last[0]), *page.last[1:])
    rest = orjson.dumps({"positions": positions, "next_cursor": cursor}).decode()
    answer = Written.model_construct(  # type: ignore[call-arg]
        positions={name: Position(**position) for name, position in positions.items()}, next_cursor=cursor
    )
    answer._text = f'{{"items":{page.text},{rest[1:]}'
    return answer


async def next_slot(view: Read, actor: Actor, ask: WantedSlots) -> NextSlot:
    """Find the soonest free slot that nobody has locked. Raises `NotFound`."""
    search = await searched(view, actor, ask)
    shown, positions = await _positions(view, search.doctors)
    page = await found(view.conn, search, shown, 1, unlocked=True)
    items = [FreeSlot.model_validate(item) for item in orjson.loads(page.text)]
    return NextSlot(
        item=items[0] if items else None,
        positions={name: Position(**position) for name, position in positions.items()},
    )


async def nearest(
    view: Read,
    institution_id: int,
    *,
    doctor_id: int | None = None,
    specialty_id: int | None = None,
    around: datetime,
    mode: Mode | None = None,
    minutes: int = 0,
    patient: bool = True,
    limit: int = 3,
) -> list[FreeSlot]:
    """The free and unlocked times nearest to one that cannot be had, of a doctor or of a specialty, nearest first."""
    doctors = await view.conn.fetch(DOCTORS, institution_id, [doctor_id] if doctor_id else None, specialty_id, None)
    spans = [_span(row, view.now, patient) for row in doctors]
    ids = [row["id"] for row in doctors]
    shown, _ = await _positions(view, ids)
    items: list[FreeSlot] = []
    for reach in AROUND:
        after = [max(begin, around - reach) for begin, _ in spans]
        before = [min(end, around + reach) for _, end in spans]
        search = Search(institution_id, ids, after, before, minutes, mode)
        page = await found(view.conn, search, shown, 2000, unlocked=True)
        items = [FreeSlot.model_validate(item) for item in orjson.loads(page.text)]
        if len(items) >= limit:
            break
    return sorted(items, key=lambda item: abs(item.starts_at - around))[:limit]


async def searched(view: Read, actor: Actor, ask: WantedSlots) -> Search:
    """The search that an ask means. Raises `NotFound` for what is not the institution's, `InvalidRequest`."""
    if ask.from_ and ask.to and not 0 <= (ask.to - ask.from_).days < DAYS:
        raise wrong(("/to", f"Should be at most {DAYS} days from the first, and not before it."))
    institution_id = ask.institution_id or actor.institution_id
    if institution_id is None:
        raise wrong(("/institution_id", "This field is needed: you belong to no one institution."))
    wanted = list(dict.fromkeys(ask.doctor_id)) if ask.doctor_id else None
    known = await view.conn.fetchrow(
        KNOWN, institution_id, wanted, ask.specialty_id, ask.visit_type_id, ask.location_id
    )
    if not actor.within(institution_id) or known is None or not known["all_known"]:
        raise errors.NotFound()
    doctors = await view.conn.fetch(DOCTORS, institution_id, wanted, ask.specialty_id, ask.visit_type_id)
    spans = [_span(row, view.now, actor.role is Role.patient, ask.from_, ask.to) for row in doctors]
    of_visit = None if known["mode"] == "both" else known["mode"]
    if ask.mode and of_visit and ask.mode != of_visit:
        spans, doctors = [], []
    return Search(
        institution_id,
        [row["id"] for row in doctors],
        [begin for begin, _ in spans],
        [end for _, end in spans],
        ask.minutes or known["minutes"] or 0,
        ask.mode or of_visit,
        ask.location_id,
        ask.from_,
        ask.to,
        ask.part,
    )


KNOWN = """
select
    exists (select from institutions where id = $1)
    and ($2::bigint[] is null
        or cardinality($2) = (select count(*) from doctors where institution_id = $1 and id = any($2)))
    and ($3::bigint is null or exists (select from specialties where institution_id = $1 and id = $3))
    and ($4::bigint is null or v.id is not null)
    and ($5::bigint is null or exists (select from locations where institution_id = $1 and id = $5)) as all_known,
    v.minutes, v.mode
from (select) as nothing left join visit_types v on v.institution_id = $1 and v.id = $4
"""
DOCTORS = """
select d.id, d.booking::text as booking, i.booking::text as of_institution, i.zone
from doctors d join institutions i on i.id = d.institution_id
where d.institution_id = $1 and d.active and ($2::bigint[] is null or d.id = any($2))
    and ($3::bigint is null or d.specialty_id = $3)
    and ($4::bigint is null or not exists (select from doctor_visit_types t where t.doctor_id = d.id)
        or exists (select from doctor_visit_types t where t.doctor_id = d.id and t.visit_type_id = $4))
order by d.id
"""


def _span(
    doctor: Any, now: datetime, patient: bool, first: date | None = None, last: date | None = None
) -> tuple[datetime, datetime]:
    """After which moment and before which a slot of a doctor is looked for; the days to a day's breadth."""
    after, before = now, now + timedelta(days=DAYS)
    if first:
        after = max(after, _midnight(first - timedelta(days=1)))
        before = _midnight(first + timedelta(days=DAYS))
    if last:
        before = min(before, _midnight(last + timedelta(days=2))) if first else _midnight(last + timedelta(days=2))
    if patient:
        terms = settings_of(doctor["of_institution"], doctor["booking"])
        # A slot that begins at the very first moment can be booked.
        after = max(after, rules.earliest(terms, now) - timedelta(microseconds=bool(terms.min_notice_minutes)))
        before = min(before, rules.horizon(terms, ZoneInfo(doctor["zone"]), now))
    return after, before


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def settings_of(*levels: str) -> BookingSettings:
    """The settings of booking that hold, from what is stored at the institution and of the doctor."""
    return effective_booking(*(orjson.loads(level) for level in levels))


async def _positions(view: Read, doctors: Sequence[int]) -> tuple[dict[int, Shown], dict[str, dict[str, Any]]]:
    """These doctors' locks, and where the streams of their slots and locks stand."""
    rows = await view.conn.fetch(POSITIONS, [events.slots(doctor).name for doctor in doctors])
    positions = {row["name"]: {"epoch": row["epoch"], "version": row["version"]} for row in rows}
    shown = await view.locks.shown(doctors) if isinstance(view.locks, Locks) and doctors else {}
    for doctor, one in shown.items():
        positions[events.locks(doctor).name] = {"epoch": one.epoch, "version": one.version}
    return shown, positions


POSITIONS = "select name, epoch, version from streams where name = any($1::text[])"


async def found(
    conn: Connection,
    search: Search,
    shown: dict[int, Shown],
    limit: int,
    after: "tuple[datetime, int, int] | None" = None,
    unlocked: bool = False,
) -> Page:
    """Free slots of a search, soonest first, from behind `after` on."""
    locked = [(slot, untils) for one in shown.values() for slot, untils in one.slots.items()]
    args: list[Any] = [search.doctors, search.after, search.before, search.institution_id, search.location_id]
    args += [search.first, search.last, search.mode, search.part]
    args += [[slot for slot, _ in locked], [len(untils) for _, untils in locked], [untils[0] for _, untils in locked]]
    args += [*(after or (None, None, None)), limit, unlocked]
    fetch = (
        partial(conn.fetchrow, SPANS, *args, search.minutes) if search.minutes else partial(conn.fetchrow, SLOTS, *args)
    )
    row = await fetch()
    assert row is not None
    last = (row["starts_at"], row["doctor_id"], row["slot_id"]) if row["count"] else None
    return Page(row["items"], row["count"], last)


FREE = """
doctors_meant as (
    select doctor_id, after, before
    from unnest($1::bigint[], $2::timestamptz[], $3::timestamptz[]) as d (doctor_id, after, before)
), places as materialized (
    select l.id, z.zone, $6::date::timestamp at time zone z.zone as begins,
        ($7::date + 1)::timestamp at time zone z.zone as ends
    from locations l join institutions i on i.id = l.institution_id
    cross join lateral (select coalesce(l.zone, i.zone) as zone) z
    where l.institution_id = $4 and l.retired_at is null and ($5::bigint is null or l.id = $5)
), locked as (
    select slot_id, locks, until
    from unnest($10::bigint[], $11::integer[], $12::timestamptz[]) as l (slot_id, locks, until)
), free as (
    select s.id, s.doctor_id, s.location_id, s.starts_at, s.ends_at, s.mode, s.capacity - s.taken as left, p.zone,
        -- Few are locked: one look into a hash for each slot, and at the locks themselves only for those.
        case when s.id = any($10) then (
            select l.until from locked l where l.slot_id = s.id and l.locks >= s.capacity - s.taken
        ) end as locked_until
    from slots s
    join doctors_meant d on d.doctor_id = s.doctor_id and s.starts_at > d.after and s.starts_at < d.before
    join places p on p.id = s.location_id
    where s.open and s.block_id is null and s.taken < s.capacity
        -- Once more, and plainly: this is what the index is read by.
        and s.doctor_id = any($1) and s.starts_at > (select min(after) from doctors_meant)
        and s.starts_at < (select max(before) from doctors_meant)
        and (p.begins is null or s.starts_at >= p.begins) and (p.ends is null or s.starts_at < p.ends)
        and ($8::text is null or s.mode in ('both', $8))
)"""
TOLD = """
count(*) as count, coalesce(json_agg(item), '[]')::text as items, max(item.starts_at) as starts_at,
    (array_agg(item.doctor_id))[count(*)] as doctor_id, (array_agg(item.slot_ids[1]))[count(*)] as slot_id
from (
    select slot_ids, doctor_id, location_id, starts_at, ends_at, mode, "left", locked_until from offers
    where ($9::text is null or $9 = case when extract(hour from starts_at at time zone zone) < 12 then 'morning'
            when extract(hour from starts_at at time zone zone) < 17 then 'afternoon' else 'evening' end)
        and ($13::timestamptz is null or (starts_at, doctor_id, slot_ids[1]) > ($13, $14::bigint, $15::bigint))
        and (not $17::boolean or locked_until is null)
    order by starts_at, doctor_id, slot_ids[1] limit $16
) item
"""
SLOTS = f"""with {FREE}, offers as (
    select id, doctor_id, location_id, starts_at, ends_at, mode, "left", zone, locked_until,
        array[id] as slot_ids
    from free
) select {TOLD}"""  # noqa: S608 (constants)
# A run is slots that follow each other, with nobody else's time in between; each slot of it is offered with as many of
# those behind it as a visit needs.
# Those are found by the minutes of the run that lie before each.
SPANS = f"""with {FREE}, placed as (
    select id, doctor_id, location_id, starts_at, ends_at, mode, "left", zone, locked_until,
        lag(ends_at) over (partition by doctor_id, location_id order by starts_at) as before from free
), steps as (
    select id, doctor_id, location_id, starts_at, ends_at, mode, "left", zone, locked_until,
        (extract(epoch from ends_at - starts_at) / 60)::bigint as minutes,
        case when before is null or before = starts_at then 0 when starts_at - before > interval '30 minutes' then 1
            else (exists (
                select from slots o
                where o.doctor_id = placed.doctor_id and o.starts_at >= before and o.starts_at < placed.starts_at
            ))::integer end as step
    from placed
), runs as (
    select id, doctor_id, location_id, starts_at, ends_at, mode, "left", zone, locked_until, minutes,
        sum(step) over behind as run, sum(minutes) over behind as upto
    from steps window behind as (partition by doctor_id, location_id order by starts_at)
), spans as (
    select doctor_id, location_id, starts_at, zone, array_agg(id) over visit as slot_ids,
        max(ends_at) over visit as ends_at, min("left") over visit as left,
        max(locked_until) over visit as locked_until,
        sum(minutes) over visit as minutes,
        bool_and(mode <> 'online') over visit as in_person, bool_and(mode <> 'in_person') over visit as online
    from runs window visit as (
        partition by doctor_id, location_id, run order by (upto - minutes)::bigint
        range between current row and $18::bigint - 1 following
    )
), offers as (
    select doctor_id, location_id, starts_at, ends_at, "left", zone, slot_ids, locked_until,
        case when in_person and online then 'both' when online then 'online' else 'in_person' end as mode
    from spans where minutes >= $18 and (in_person or online)
) select {TOLD}"""  # noqa: S608 (constants)


def _micros(at: datetime) -> int:
    return (at - datetime.fromtimestamp(0, UTC)) // timedelta(microseconds=1)


QUERIES: list[Query[Any, Any]] = [
    Query("find-slots", find_slots, FindSlots, FreeSlots, PEOPLE, "GET /slots"),
    Query("next-slot", next_slot, WantedSlots, NextSlot, PEOPLE, "GET /slots/next"),
]
