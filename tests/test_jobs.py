"""What the worker does by the clock: whose turn it is, what is on record of it, and what a worker's death leaves."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx2
import pytest

from server import errors, jobs
from server.config import ROOT
from tests.clinic import book, slots_of
from tests.conftest import Postgres, Redis
from tests.pages import served
from tests.test_notices_sending import post_of
from tests.world import World, eventually
from workers.jobs import JOBS, Job, carry_out, crons, turns
from workers.main import Settings

AT = datetime(2026, 3, 2, 9, 0, 0, 500_000, tzinfo=UTC)


class Work:
    """Something to do, which counts how often it was done and at most how often at once."""

    def __init__(self) -> None:
        self.done = 0
        self.most = 0
        self._now = 0
        self.going = asyncio.Event()
        self.going.set()

    async def __call__(self, ctx: dict[str, Any]) -> None:
        self._now += 1
        self.most = max(self.most, self._now)
        try:
            await self.going.wait()
            await asyncio.sleep(0.01)
            self.done += 1
        finally:
            self._now -= 1


def worker(world: World, name: str = "worker-1") -> dict[str, Any]:
    """What a worker gives its tasks."""
    return {"store": world.store, "publisher": world.publisher, "worker": name}


async def on_record(world: World, name: str = "work") -> jobs.Job:
    async with world.store.snapshot() as view:
        return next(one for one in await jobs.listed(view.conn, world.store.now()) if one.name == name)


# Whose turn it is


async def test_of_many_workers_that_wake_at_once_one_does_the_job(world: World) -> None:
    work = Work()
    job = Job("work", work, every=10)
    await asyncio.gather(*(carry_out(worker(world, f"worker-{n}"), job) for n in range(6)))
    assert (work.done, work.most) == (1, 1)


async def test_without_the_claim_each_of_them_does_it(world: World) -> None:
    work = Work()
    job = Job("work", work, every=10, alone=False)
    await asyncio.gather(*(carry_out(worker(world, f"worker-{n}"), job) for n in range(6)))
    assert work.done == 6 and work.most > 1


async def test_a_job_comes_again_at_its_turn_and_not_before(still: World) -> None:
    work = Work()
    job = Job("work", work, every=10)
    await carry_out(worker(still), job)
    due = (await on_record(still)).next_run
    still.forward(seconds=(due - still.store.now()).total_seconds() - 1)
    await carry_out(worker(still), job)
    assert work.done == 1
    still.forward(seconds=1)
    await carry_out(worker(still, "worker-2"), job)
    assert work.done == 2


async def test_a_long_job_is_not_begun_beside_itself(still: World) -> None:
    work = Work()
    work.going.clear()
    job = Job("work", work, every=1, within=30)
    first = asyncio.create_task(carry_out(worker(still), job))

    async def begun() -> bool:
        return work.most == 1

    await eventually(begun)
    still.forward(seconds=5)
    await carry_out(worker(still, "worker-2"), job)
    record = await on_record(still)
    assert record.running and record.lag_s >= 3
    work.going.set()
    await first
    assert (work.done, work.most) == (1, 1)


@pytest.mark.parametrize(
    ("every", "at", "expected"),
    [(1, 0, "09:00:01"), (10, 5, "09:00:05"), (60, 30, "09:00:30"), (3600, 7 * 60, "09:07:00"), (600, 0, "09:10:00")],
)
def test_turns_are_the_same_instants_on_every_machine(every: int, at: int, expected: str) -> None:
    job = Job("work", Work(), every=every, at=at)
    assert f"{job.next_after(AT):%H:%M:%S}" == expected
    assert job.next_after(job.next_after(AT)) - job.next_after(AT) == timedelta(seconds=every)


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.name)
def test_arq_wakes_a_job_at_the_turns_that_are_on_record(job: Job) -> None:
    at = job.next_after(AT)
    for _ in range(100):
        when = turns(job)
        assert at.second in when["second"] if isinstance(when["second"], set) else at.second == when["second"]
        assert "minute" not in when or at.minute in when["minute"]
        at = job.next_after(at)


def test_every_job_has_a_name_of_its_own_and_arq_knows_them_all() -> None:
    assert len({job.name for job in JOBS}) == len(JOBS)
    assert [one.name for one in crons()] == [job.name for job in JOBS] and Settings.timezone is UTC


async def test_whatever_is_due_is_done_at_once_and_a_second_time_changes_nothing(still: World) -> None:
    queue = await still.queue()
    await still.join(queue)
    await still.call_next(queue)
    await still.do("set-retention", "admin", institution_id=still.institution, visits_days=30, notices_days=7)
    (slot,) = await slots_of(still)
    await book(still, [slot])
    still.forward(days=40)
    ctx = {**worker(still), "post": post_of(still)}
    for _ in range(2):
        for job in JOBS:
            await job.run(ctx)
    before = await left_behind(still)
    for job in JOBS:
        await job.run(ctx)
    assert await left_behind(still) == before


async def left_behind(world: World) -> dict[str, Any]:
    """Every row of every table, as it was last written; but for what says when something was looked at."""
    tables = await world.pool.fetch(
        "select relname from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace"
    )
    rows = {}
    for row in tables:
        name = row["relname"]
        if name not in ("jobs", "processes", "streams", "queues", "events", "serving"):
            rows[name] = await world.pool.fetch(f'select xmin::text, ctid::text from "{name}" order by 2')
    return rows


# What is on record


async def test_how_it_went_is_on_record(still: World) -> None:
    await carry_out(worker(still), Job("work", Work(), every=60))
    record = await on_record(still)
    assert record.last_started and record.last_finished and record.last_seconds is not None
    assert (record.running, record.failing, record.last_error, record.lag_s) == (False, False, None, 0.0)


@pytest.mark.parametrize(
    ("failure", "error"),
    [(ValueError("Maya Lindgren's visit"), "ValueError"), (errors.QueueEmpty(), "queue-empty")],
)
@pytest.mark.parametrize("alone", [True, False])
async def test_a_failure_is_on_record_by_its_kind_until_the_next_run_is_well(
    still: World, failure: Exception, error: str, alone: bool
) -> None:
    async def fail(ctx: dict[str, Any]) -> None:
        raise failure

    await carry_out(worker(still), Job("work", fail, every=10, alone=alone))
    record = await on_record(still)
    assert record.failing and record.last_error == error and record.last_error_at
    still.forward(seconds=10)
    await carry_out(worker(still), Job("work", Work(), every=10, alone=alone))
    record = await on_record(still)
    assert not record.failing and record.last_error == error, "the last error stays to be read"


async def test_a_job_that_takes_too_long_is_cut_off(world: World) -> None:
    work = Work()
    work.going.clear()
    await carry_out(worker(world), Job("work", work, every=10, within=0.05))
    record = await on_record(world)
    assert (record.running, record.last_error, work.done) == (False, "TimeoutError", 0)


async def test_what_a_stopping_worker_leaves_another_does_at_once(world: World) -> None:
    work = Work()
    work.going.clear()
    job = Job("work", work, every=3600)
    first = asyncio.create_task(carry_out(worker(world), job))

    async def begun() -> bool:
        return work.most == 1

    await eventually(begun)
    first.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await first
    work.going.set()
    await carry_out(worker(world, "worker-2"), job)
    assert work.done == 1 and (await on_record(world)).last_error == jobs.STOPPED


async def test_the_hold_of_a_dead_worker_lapses(still: World) -> None:
    job = Job("work", Work(), every=10, within=30)
    claim = (still.pool, "work", "worker-dead", still.store.now(), job.next_after(still.store.now()), job.lease)
    assert await jobs.claim(*claim)
    work = Work()
    still.forward(seconds=20)
    await carry_out(worker(still), Job("work", work, every=10, within=30))
    assert work.done == 0
    still.forward(seconds=20)
    await carry_out(worker(still), Job("work", work, every=10, within=30))
    assert work.done == 1 and (await on_record(still)).last_error == jobs.LOST
    await jobs.finish(still.pool, "work", "worker-dead", AT, still.store.now(), "ValueError")
    assert (await on_record(still)).last_error == jobs.LOST, "whoever comes back too late notes nothing"


async def test_a_new_version_declares_its_jobs_and_forgets_old_ones_in_time(still: World) -> None:
    now = still.store.now()
    await jobs.declare(still.pool, ["old", "kept"], now)
    await jobs.declare(still.pool, ["kept", "new"], now + timedelta(hours=1))
    async with still.store.snapshot() as view:
        assert [one.name for one in await jobs.listed(view.conn, now)] == ["kept", "new", "old"]
    await jobs.declare(still.pool, ["kept", "new"], now + timedelta(days=8))
    async with still.store.snapshot() as view:
        assert [one.name for one in await jobs.listed(view.conn, now)] == ["kept", "new"]


async def test_admins_are_shown_the_jobs_and_how_late_they_are(still: World) -> None:
    await jobs.declare(still.pool, ["work"], still.store.now())
    still.forward(minutes=5)
    (job,) = (await still.ask("status", "admin")).jobs
    assert job.name == "work" and 300 <= job.lag_s < 301 and not job.failing


async def test_metrics_tell_how_late_each_job_is(postgres: Postgres, redis_server: Redis) -> None:
    url = postgres.fresh()
    conn = await asyncpg.connect(url)
    await conn.execute(
        "insert into jobs (name, next_run, last_error, last_error_at)"
        " values ('work', now() - interval '1 hour', 'X', now())"
    )
    await conn.close()
    async with served(url, redis_server.fresh()) as clinic, httpx2.AsyncClient() as http:

        async def told() -> bool:
            text = (await http.get(f"{clinic.url}/metrics")).text
            return 'callboard_job_lag_seconds{name="work"} 36' in text and 'failing{name="work"} 1.0' in text

        await eventually(told)
    postgres.drop(url)


# A worker as a process


@asynccontextmanager
async def process(url: str, redis: str, *command: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A Callboard process on these servers, killed at the end if it still runs."""
    env = {**os.environ, "DATABASE_URL": url, "REDIS_URL": redis, "PYTHONPATH": str(ROOT), "LOG_LEVEL": "warning"}
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "server.cli", *command, env=env, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    try:
        yield child
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await child.wait()


async def test_a_worker_killed_in_the_middle_of_a_job_costs_nothing(postgres: Postgres, redis_server: Redis) -> None:
    url, redis = postgres.fresh(), redis_server.fresh()
    conn, lock = await asyncpg.connect(url), await asyncpg.connect(url)

    async def held() -> bool:
        return bool(await conn.fetchval("select held_by is not null from jobs where name = 'expire-requests'"))

    async def done() -> bool:
        return bool(await conn.fetchval("select last_finished is not null from jobs where name = 'expire-requests'"))

    async with lock.transaction():
        await lock.execute("lock table appointments in access exclusive mode")
        async with process(url, redis, "worker") as victim:
            await eventually(held, 30)
            victim.send_signal(signal.SIGKILL)
            await victim.wait()
    assert await held() and not await done()
    await conn.execute("update jobs set held_until = now(), next_run = now() where held_by is not null")
    async with process(url, redis, "worker"):
        await eventually(done, 30)
    assert await conn.fetchval("select last_error from jobs where name = 'expire-requests'") == jobs.LOST
    async with process(url, redis, "jobs") as listing:
        told = (await listing.communicate())[0].decode()
    assert all(job.name in told for job in JOBS) and jobs.LOST in told
    for one in (conn, lock):
        await one.close()
    postgres.drop(url)


def test_the_dashboard_and_the_pages_know_every_job() -> None:
    for language in ("en", "ar", "hi"):
        texts = json.loads((ROOT / "clients" / "i18n" / f"{language}.json").read_text("utf-8"))
        assert {f"job.{job.name}" for job in JOBS} <= texts.keys()
