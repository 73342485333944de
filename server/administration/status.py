"""How the system is: each running process by its own word, what waits to be published, the jobs, and the screens.

Invariant: everything here is read from PostgreSQL, so the page answers while Redis is away, which is when it is looked
at. A process that has not been heard of for a while is shown as silent, and forgotten after an hour.
"""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Literal

import asyncpg
import orjson

from server import devices, jobs, logs
from server.access import ADMINS, Actor, Role
from server.asks import Reply
from server.events import AdminDevice
from server.jobs import Job
from server.queue.queries import Nothing
from server.store import Pool, Query, Read

BEAT_EVERY = 5.0
"""Seconds between two words of a process."""
SILENT_AFTER = 15
"""Seconds after which a process counts as silent."""

log = logs.get(__name__)
Figures = Callable[[], Mapping[str, Any]]


@asynccontextmanager
async def beating(
    pool: Pool,
    kind: Literal["web", "worker"],
    build: str,
    figures: Figures,
    also: Callable[[], Awaitable[None]] | None = None,
) -> AsyncIterator[str]:
    """Let a process be heard of until the block ends; `also` is done with each beat. Answers the process's id."""
    id_ = f"{kind}-{secrets.token_hex(4)}"
    started_at = datetime.now(UTC)

    async def beat_on() -> None:
        while True:
            try:
                await pool.execute(BEAT, id_, kind, started_at, build, orjson.dumps(figures()).decode())
                if also is not None:
                    await also()
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as failure:
                log.debug("beat-missed", error=type(failure).__name__)
            except Exception:
                log.exception("beat-failed")
            await asyncio.sleep(BEAT_EVERY)

    beating = asyncio.create_task(beat_on(), name="beat")
    try:
        yield id_
    finally:
        beating.cancel()
        await asyncio.gather(beating, return_exceptions=True)
        with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
            async with asyncio.timeout(1.0):
                await pool.execute(GONE, id_)


BEAT = """
with forgotten as (delete from processes where beat_at < now() - interval '1 hour')
insert into processes (id, kind, started_at, beat_at, build, figures) values ($1, $2, $3, now(), $4, $5)
on conflict (id) do update set beat_at = excluded.beat_at, figures = excluded.figures
"""
GONE = "delete from processes where id = $1"


class Process(Reply):
    """A running process, as it last described itself."""

    id: str
    kind: Literal["web", "worker"]
    started_at: datetime
    beat_at: datetime
    silent: bool
    build: str
    figures: dict[str, Any]


class Status(Reply):
    """How the system is: `lag_s` is the age of the oldest event that is committed and not published yet."""

    at: datetime
    processes: list[Process]
    unpublished: int
    lag_s: float
    jobs: list[Job]
    devices: list[AdminDevice]


async def show_status(view: Read, actor: Actor, ask: Nothing) -> Status:
    """Every process and what lags; of the screens, those that the asker administers and that are not revoked."""
    waiting = await view.conn.fetchrow(UNPUBLISHED)
    assert waiting is not None
    every = actor.role is Role.super_admin
    return Status(
        at=view.now,
        processes=[
            Process(**{**dict(row), "figures": orjson.loads(row["figures"])})
            for row in await view.conn.fetch(PROCESSES, SILENT_AFTER)
        ],
        unpublished=waiting["unpublished"],
        lag_s=waiting["lag_s"],
        jobs=await jobs.listed(view.conn, view.now),
        devices=[
            one for one in await devices.rows(view.conn, actor.institution_id, every=every) if one.revoked_at is None
        ],
    )


PROCESSES = """
select id, kind, started_at, beat_at, build, figures, beat_at < now() - make_interval(secs => $1) as silent
from processes order by kind, started_at, id
"""
UNPUBLISHED = """
select count(*) as unpublished, coalesce(extract(epoch from clock_timestamp() - min(at)), 0)::double precision as lag_s
from events where published_at is null
"""

QUERIES: list[Query[Any, Any]] = [Query("status", show_status, Nothing, Status, ADMINS, "GET /status")]
