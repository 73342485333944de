"""What each local day came to: people, waits, no-shows and appointments, of each location and of each doctor there.

Invariant: a day's figures are a function of what is on record of it, so computing them again gives the same and writes
nothing. Percentiles of several days are not those of the days together, so each day keeps its own.
"""

from datetime import date, datetime
from typing import Any, Literal

import orjson
from pydantic import AwareDatetime, Field

from server import errors
from server.access import ADMINS, Actor
from server.asks import Ask, Id, Reply, wrong
from server.store import Command, Connection, Pool, Query, Read, Tx

LONGEST = 366
"""Days that one question covers at most."""
MOST_ANEW = 100
"""Days of locations that are computed anew at once, so that nobody is held up for long."""
AT_ONCE = 500


# Computing them


async def compute_due(pool: Pool, now: datetime) -> int:
    """Compute the days that have ended and have no figures, and the last two once more; answers how many changed.

    Once more, because a consultation can run past midnight and a no-show be taken back in the morning.
    """
    changed = 0
    for row in await pool.fetch(DUE, now, AT_ONCE):
        changed += await pool.fetchval(COMPUTE, row["institution_id"], row["id"], row["day"], row["zone"], now)
    return changed


DUE = """
select l.institution_id, l.id, z.zone, d.day::date as day
from locations l join institutions i on i.id = l.institution_id
cross join lateral (select coalesce(l.zone, i.zone) as zone) z
cross join lateral (select ($1::timestamptz at time zone z.zone)::date - 1 as yesterday) y
cross join lateral (
    select max(f.day) as last from daily_figures f where f.location_id = l.id and f.doctor_id is null
) f
cross join lateral generate_series(
    greatest((l.created_at at time zone z.zone)::date, least(coalesce(f.last + 1, '-infinity'), y.yesterday - 1)),
    y.yesterday, interval '1 day'
) as d (day)
where l.retired_at is null or d.day <= l.retired_at at time zone z.zone
order by d.day, l.id limit $2
"""
# The doctor is who called, or whose queue it was; of the others the location alone tells.
COMPUTE = """
with people as materialized (
    select coalesce(t.doctor_id, q.doctor_id) as doctor_id, t.state,
        extract(epoch from t.called_at - least(greatest(t.joined_at, t.booked_for), t.called_at)) as waited,
        case when t.state = 'completed' then extract(epoch from t.ended_at - t.started_at) end as took
    from queues q join tickets t on t.queue_id = q.id and t.day = $3
    where q.location_id = $2 and t.state <> 'transferred'
), booked as materialized (
    select doctor_id, state, count(*) as count from appointments
    where institution_id = $1 and location_id = $2 and kind = 'scheduled'
        and starts_at >= $3::date::timestamp at time zone $4
        and starts_at < ($3::date + 1)::timestamp at time zone $4
    group by doctor_id, state
), fresh as materialized (
    select o.doctor_id, p.tickets, p.completed, p.no_shows, p.cancelled, p.wait_p50, p.wait_p90, p.consultation_p50,
        a.appointments
    from (
        select null::bigint as doctor_id union select doctor_id from people union select doctor_id from booked
    ) o
    cross join lateral (
        select count(*) as tickets, count(*) filter (where state = 'completed') as completed,
            count(*) filter (where state = 'no_show') as no_shows,
            count(*) filter (where state = 'cancelled') as cancelled,
            percentile_cont(0.5) within group (order by waited) as wait_p50,
            percentile_cont(0.9) within group (order by waited) as wait_p90,
            percentile_cont(0.5) within group (order by took) as consultation_p50
        from people where o.doctor_id is null or people.doctor_id = o.doctor_id
    ) p
    cross join lateral (
        select coalesce(jsonb_object_agg(state, count), '{}') as appointments from (
            select state, sum(count) as count from booked
            where o.doctor_id is null or booked.doctor_id = o.doctor_id group by state
        ) s
    ) a
), gone as (
    delete from daily_figures f where f.location_id = $2 and f.day = $3 and f.doctor_id is not null
        and not exists (select from fresh where fresh.doctor_id = f.doctor_id)
    returning 1
), written as (
    insert into daily_figures as f (institution_id, location_id, doctor_id, day, tickets, completed, no_shows,
        cancelled, wait_p50, wait_p90, consultation_p50, appointments, computed_at)
    select $1, $2, doctor_id, $3, tickets, completed, no_shows, cancelled, round(wait_p50), round(wait_p90),
        round(consultation_p50), appointments, $5
    from fresh order by doctor_id nulls first
    on conflict on constraint daily_figures_once do update set tickets = excluded.tickets,
        completed = excluded.completed, no_shows = excluded.no_shows, cancelled = excluded.cancelled,
        wait_p50 = excluded.wait_p50, wait_p90 = excluded.wait_p90, consultation_p50 = excluded.consultation_p50,
        appointments = excluded.appointments, computed_at = excluded.computed_at
    where (f.tickets, f.completed, f.no_shows, f.cancelled, f.wait_p50, f.wait_p90, f.consultation_p50, f.appointments)
        is distinct from (excluded.tickets, excluded.completed, excluded.no_shows, excluded.cancelled,
            excluded.wait_p50, excluded.wait_p90, excluded.consultation_p50, excluded.appointments)
    returning 1
)
select (select count(*) from gone) + (select count(*) from written)
"""


class Stretch(Ask):
    """Days of an institution, both ends included; the institution left out is the asker's own."""

    from_: date = Field(alias="from")
    to: date
    institution_id: Id | None = None
    location_id: Id | None = None


class RecomputeFigures(Stretch):
    """Days to compute anew."""


class Recomputed(Reply):
    """How many days of locations were computed, and how many figures changed by it."""

    days: int
    changed: int


async def recompute_figures(tx: Tx, actor: Actor, ask: RecomputeFigures) -> Recomputed:
    """Compute ended days anew, after an import or a correction of what is long past.

    Raises `NotFound`, `InvalidRequest`.
    """
    institution_id = await _whose(tx.conn, actor, ask)
    tx.institution_id = institution_id
    days = await tx.conn.fetch(DAYS, institution_id, ask.location_id, ask.from_, ask.to, tx.now)
    if len(days) > MOST_ANEW:
        raise wrong(("/to", f"Should be nearer, or for one location: at most {MOST_ANEW} days of locations at once."))
    changed = 0
    for row in days:
        changed += await tx.conn.fetchval(COMPUTE, institution_id, row["id"], row["day"], row["zone"], tx.now)
    return Recomputed(days=len(days), changed=changed)


DAYS = """
select l.id, z.zone, d.day::date as day
from locations l join institutions i on i.id = l.institution_id
cross join lateral (select coalesce(l.zone, i.zone) as zone) z
cross join lateral generate_series($3::date, $4::date, interval '1 day') as d (day)
where l.institution_id = $1 and ($2::bigint is null or l.id = $2)
    and d.day < ($5::timestamptz at time zone z.zone)::date
order by d.day, l.id
"""


async def _whose(conn: Connection, actor: Actor, ask: Stretch) -> int:
    """The institution that is meant. Raises `NotFound`, `InvalidRequest` where the days make no sense."""
    if not 0 <= (ask.to - ask.from_).days < LONGEST:
        raise wrong(("/to", f"Should be at most {LONGEST} days from the first, and not before it."))
    id_ = ask.institution_id or actor.institution_id
    if id_ is None:
        raise wrong(("/institution_id", "This field is needed: you belong to no one institution."))
    if not actor.within(id_) or not await conn.fetchval(KNOWN, id_, ask.location_id):
        raise errors.NotFound("There is no such place here.")
    return id_


KNOWN = """
select exists (select from institutions where id = $1)
    and ($2::bigint is null or exists (select from locations where id = $2 and institution_id = $1))
"""


# Reading them


class ListFigures(Stretch):
    """Days to look at: each location as a whole, or each doctor there."""

    by: Literal["location", "doctor"] = "location"


class DayFigures(Reply):
    """A day of a location, or of a doctor there; times in seconds, None where there was nobody to measure."""

    day: date
    location_id: int
    location: str
    doctor_id: int | None
    doctor: str | None
    tickets: int
    completed: int
    no_shows: int
    cancelled: int
    wait_p50: int | None
    wait_p90: int | None
    consultation_p50: int | None
    appointments: dict[str, int] = Field(description="Scheduled ones by state.")
    computed_at: AwareDatetime


class Figures(Reply):
    """The figures of ended days, oldest first."""

    items: list[DayFigures]


async def list_figures(view: Read, actor: Actor, ask: ListFigures) -> Figures:
    """What the days came to. Raises `NotFound`."""
    institution_id = await _whose(view.conn, actor, ask)
    rows = await view.conn.fetch(
        FIGURES, institution_id, ask.from_, ask.to, ask.location_id, ask.by == "doctor"
    )  # fmt: skip
    return Figures(items=[_figures(row) for row in rows])


FIGURES = """
select f.day, f.location_id, l.name as location, f.doctor_id, d.name as doctor, f.tickets, f.completed, f.no_shows,
    f.cancelled, f.wait_p50, f.wait_p90, f.consultation_p50, f.appointments::text as appointments, f.computed_at
from daily_figures f join locations l on l.id = f.location_id left join doctors d on d.id = f.doctor_id
where f.institution_id = $1 and f.day between $2 and $3 and ($4::bigint is null or f.location_id = $4)
    and (f.doctor_id is not null) = $5::boolean
order by f.day, l.name, d.name, f.doctor_id
"""


def _figures(row: Any) -> DayFigures:
    return DayFigures(**{**dict(row), "appointments": orjson.loads(row["appointments"])})


COMMANDS: list[Command[Any, Any]] = [
    Command("recompute-figures", recompute_figures, RecomputeFigures, Recomputed, ADMINS, "POST /figures/recompute")
]
QUERIES: list[Query[Any, Any]] = [Query("list-figures", list_figures, ListFigures, Figures, ADMINS, "GET /figures")]
