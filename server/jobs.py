"""What the worker does by the clock, as it is on record: who does it, how it went, when it is to run next.

Invariant: a job that one worker does at a time is held in PostgreSQL by that worker, until it is done or, should the
worker die, for a bounded time; so however many workers wake at one instant, one of them does it. What is on record of a
failure is its kind: messages of exceptions may hold what nobody should read.
"""

from datetime import datetime, timedelta
from typing import Any

from server import store
from server.asks import Reply
from server.store import Connection, Pool

LOST = "WorkerLost"
"""What is on record of a job whose worker died in the middle."""
STOPPED = "WorkerStopped"
"""And of one that was cut off by its worker's end: another does it at once."""
FORGOTTEN_AFTER = timedelta(days=7)
"""A job that no worker has known for so long is one of an older version."""


# Whose turn it is


async def claim(pool: Pool, name: str, worker: str, now: datetime, next_run: datetime, lease: timedelta) -> bool:
    """Whether this worker is to do the job that is due now: it holds it then, for as long as `lease` at most."""
    return bool(await pool.fetchval(CLAIM, name, worker, now, next_run, now + lease, LOST))


CLAIM = """
insert into jobs as j (name, next_run, held_by, held_until, last_started) values ($1, $4, $2, $5, $3)
on conflict (name) do update set next_run = $4, held_by = $2, held_until = $5, last_started = $3,
    last_error = case when j.held_by is null then j.last_error else $6 end,
    last_error_at = case when j.held_by is null then j.last_error_at else j.held_until end
where j.next_run <= $3 and (j.held_until is null or j.held_until <= $3)
returning true
"""


async def finish(pool: Pool, name: str, worker: str, started: datetime, now: datetime, error: str | None) -> None:
    """Let go of a job and note how it went; nothing, where the hold has lapsed and another worker has it."""
    await pool.execute(FINISH, name, worker, now, (now - started).total_seconds(), error, error == STOPPED)


FINISH = """
update jobs set held_by = null, held_until = null, last_finished = $3, last_seconds = $4,
    last_error = coalesce($5, last_error), last_error_at = case when $5::text is null then last_error_at else $3 end,
    next_run = case when $6 then $3 else next_run end
where name = $1 and held_by = $2
"""


async def note(pool: Pool, name: str, started: datetime, now: datetime, next_run: datetime, error: str | None) -> None:
    """Note how a job went that all workers do side by side."""
    await pool.execute(NOTE, name, started, now, next_run, (now - started).total_seconds(), error)


NOTE = """
insert into jobs as j (name, next_run, last_started, last_finished, last_seconds, last_error, last_error_at)
values ($1, $4, $2, $3, $5, $6, case when $6::text is not null then $3::timestamptz end)
on conflict (name) do update set next_run = greatest(j.next_run, excluded.next_run),
    last_started = excluded.last_started, last_finished = excluded.last_finished, last_seconds = excluded.last_seconds,
    last_error = coalesce(excluded.last_error, j.last_error),
    last_error_at = coalesce(excluded.last_error_at, j.last_error_at)
"""


async def declare(pool: Pool, names: list[str], now: datetime) -> None:
    """Put jobs on record that have never run, as due now; those of an older version are forgotten after a while."""
    await pool.execute(DECLARE, names, now)
    await pool.execute(FORGET, names, now - FORGOTTEN_AFTER)


DECLARE = """
insert into jobs (name, next_run) select name, $2 from unnest($1::text[]) as n (name) order by name
on conflict (name) do nothing
"""
FORGET = "delete from jobs where name <> all($1::text[]) and next_run < $2"


# What is on record


class Job(Reply):
    """A job: when it last ran and how that went, when it is due, and for how many seconds it has been."""

    name: str
    running: bool
    next_run: datetime
    lag_s: float
    last_started: datetime | None
    last_finished: datetime | None
    last_seconds: float | None
    last_error: str | None
    last_error_at: datetime | None
    failing: bool
    """Whether its last run went wrong."""


async def listed(conn: Connection, now: datetime) -> list[Job]:
    """Every job by its name."""
    return [job_of(row, now) for row in await conn.fetch(ALL)]


ALL = """
select name, held_until, next_run, last_started, last_finished, last_seconds, last_error, last_error_at
from jobs order by name
"""


def job_of(row: Any, now: datetime) -> Job:
    """A row of the table, as it is at this instant."""
    values = {name: row[name] for name in ("name", "next_run", "last_started", "last_finished", "last_seconds")}
    failed = row["last_error_at"]
    return Job(
        **values,
        last_error=row["last_error"],
        last_error_at=failed,
        running=row["held_until"] is not None and row["held_until"] > now,
        lag_s=max(0.0, (now - row["next_run"]).total_seconds()),
        failing=failed is not None and (row["last_finished"] is None or failed >= row["last_finished"]),
    )


class Seen:
    """The jobs as this process last read them, for figures that are told without asking PostgreSQL each time."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self._rows: list[Any] = []

    async def look(self) -> None:
        """Read them anew."""
        self._rows = await self.pool.fetch(ALL)

    def at(self, now: datetime) -> list[Job]:
        """Each job at this instant; its lag grows though PostgreSQL should not answer any more."""
        return [job_of(row, now) for row in self._rows]


# On the command line


async def table(database_url: str, now: datetime) -> str:
    """Every job, one a line."""
    pool = await store.connect(database_url, 1)
    try:
        async with pool.acquire() as conn:
            found = await listed(conn, now)  # type: ignore[arg-type]
    finally:
        await pool.close()
    if not found:
        return "No worker has run yet."
    lines = [("job", "last run", "took", "next run", "lag", "last error"), *(_line(one, now) for one in found)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(lines[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
                     for line in lines)  # fmt: skip


def _line(one: Job, now: datetime) -> tuple[str, ...]:
    error = f"{one.last_error} {_stamp(one.last_error_at)}" if one.last_error else "-"
    return (
        one.name,
        "running" if one.running else _stamp(one.last_finished),
        "-" if one.last_seconds is None else f"{one.last_seconds:.2f} s",
        _stamp(one.next_run),
        f"{one.lag_s:.0f} s",
        ("! " if one.failing else "") + error,
    )


def _stamp(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}Z" if at else "-"
