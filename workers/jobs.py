"""The table of jobs: what the worker does by the clock, how often, and whether one worker alone does it at a time.

Invariant: every job can run twice, late or not at all without harm: PostgreSQL has the truth, and each run does
whatever is due by then. The clock of all of them is UTC's, so that a job's next turn is one instant on every machine.
"""

import asyncio
import contextlib
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from arq import cron
from arq.typing import WorkerCoroutine
from redis.exceptions import RedisError

from server import errors, jobs, logs
from server.store import LOST, Pool, Store
from workers import notices, tasks, waitlist

log = logs.get(__name__)
MINUTE, HOUR = 60, 3600


@dataclass(frozen=True, slots=True)
class Job:
    """What is done, by its name; every so many seconds, so many after the hour began, within how many."""

    name: str
    run: Callable[[dict[str, Any]], Awaitable[object]]
    every: int
    at: int = 0
    within: float = 15.0
    alone: bool = True
    """Whether one worker does it at a time; the others claim what they do row by row."""

    def next_after(self, now: datetime) -> datetime:
        """Its first turn after this instant."""
        turn = math.floor((now.timestamp() - self.at) / self.every) + 1
        return datetime.fromtimestamp(turn * self.every + self.at, UTC)

    @property
    def lease(self) -> timedelta:
        """How long a worker that died keeps others from it."""
        return timedelta(seconds=self.within + 5)


JOBS: tuple[Job, ...] = (
    Job("send-notices", notices.send_notices, every=1, alone=False),
    Job("publish", tasks.sweep, every=1, alone=False),
    Job("verify-streams", tasks.verify, every=5),
    Job("refresh-waits", tasks.refresh_waits, every=10),
    Job("escalate-emergencies", tasks.escalate, every=5, at=1),
    Job("expire-requests", tasks.expire_requests, every=10, at=5),
    Job("note-no-shows", tasks.note_no_shows, every=MINUTE, at=20, within=50.0),
    Job("close-days", tasks.close_days, every=MINUTE, at=40, within=50.0),
    Job("tend-waitlist", waitlist.tend_waitlist, every=1, alone=False),
    Job("end-waits", waitlist.end_waits, every=HOUR, at=41 * MINUTE, within=120.0),
    Job("write-reminders-anew", notices.write_anew, every=10, at=8, within=300.0),
    Job("seal-audit", tasks.seal_audit, every=10, at=3),
    Job("generate-slots", tasks.generate_slots, every=MINUTE, at=30, within=50.0),
    Job("file-slots", tasks.file_slots, every=HOUR, at=7 * MINUTE, within=120.0),
    Job("file-appointments", tasks.file_appointments, every=HOUR, at=23 * MINUTE, within=120.0),
    Job("daily-figures", tasks.daily_figures, every=HOUR, at=12 * MINUTE, within=300.0),
    Job("forget", tasks.forget, every=HOUR, at=47 * MINUTE, within=600.0),
    Job("tidy", tasks.tidy, every=HOUR, at=17 * MINUTE, within=120.0),
)
"""Everything that is done by the clock; nothing registers itself."""


async def carry_out(ctx: dict[str, Any], job: Job) -> None:
    """Do a job if it is due and no other worker does it; how it went is on record, and never ends the worker."""
    things: Store = ctx["store"]
    worker, started = ctx["worker"], things.now()
    if job.alone and not await _claimed(things.pool, job, worker, started):
        return
    error: str | None = jobs.STOPPED
    try:
        async with asyncio.timeout(job.within):
            await job.run(ctx)
        error = None
    except Exception as failure:
        error = failure.code if isinstance(failure, errors.Refusal) else type(failure).__name__
        log.warning("job-failed", job=job.name, error=error, exc_info=not isinstance(failure, KNOWN))
    finally:
        await _noted(things.pool, job, worker, started, things.now(), error)


KNOWN = (errors.Refusal, RedisError, *LOST)
"""Failures whose kind says everything."""


async def _claimed(pool: Pool, job: Job, worker: str, now: datetime) -> bool:
    """Whether the job is this worker's now; nobody's, while PostgreSQL does not answer."""
    try:
        return await jobs.claim(pool, job.name, worker, now, job.next_after(now), job.lease)
    except LOST as lost:
        log.warning("job-not-claimed", job=job.name, error=type(lost).__name__)
        return False


async def _noted(pool: Pool, job: Job, worker: str, started: datetime, now: datetime, error: str | None) -> None:
    """Note how a job went; where PostgreSQL does not answer, the hold lapses by its time."""
    with contextlib.suppress(*LOST):
        if job.alone:
            await jobs.finish(pool, job.name, worker, started, now, error)
        else:
            await jobs.note(pool, job.name, started, now, job.next_after(now), error)


def woken_for(job: Job) -> WorkerCoroutine:
    """What arq calls at a job's turn."""

    async def turn(ctx: dict[str, Any]) -> None:
        await carry_out(ctx, job)

    return cast(WorkerCoroutine, turn)


def crons() -> list[Any]:
    """The table as arq takes it; each job is looked at as a worker starts, too: it may be overdue."""
    return [
        cron(
            woken_for(job),
            name=job.name,
            **turns(job),
            timeout=job.within + 3,
            run_at_startup=True,
            keep_result=0,
        )
        for job in JOBS
    ]


def turns(job: Job) -> dict[str, Any]:
    """The minutes and seconds of the hour at which a job has its turn."""
    if job.every < MINUTE:
        return {"second": set(range(job.at % job.every, MINUTE, job.every))}
    minutes = set(range(job.at // MINUTE % (job.every // MINUTE), 60, job.every // MINUTE))
    return {"minute": minutes, "second": {job.at % MINUTE}}
