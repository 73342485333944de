"""Workers that are killed in the middle of an expiry leave nothing half done, and whoever is next has their offer."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from server.config import ROOT
from tests.clinic import slots_of
from tests.test_waitlist import waiting
from tests.test_waitlist_histories import FORGOTTEN, MISCOUNTED
from tests.world import World, eventually

# An expiry that has begun takes a while: long enough to be seen, and killed.
SLOWED = """
create function take_a_while() returns trigger language plpgsql as $$ begin perform pg_sleep(0.25); return new; end $$;
create trigger slowed before update on offers for each row when (new.state = 'expired') execute function take_a_while();
"""
IN_THE_MIDDLE = """
select count(*) from pg_stat_activity
where datname = current_database() and pid <> pg_backend_pid() and state <> 'idle' and query ~ 'update offers set state'
"""
LAPSED = "update offers set expires_at = offered_at + interval '1 millisecond'"
STILL_OPEN = "select count(*) from offers where state = 'open' and expires_at <= now()"
OFFERED = "select entry_id, slot_ids[1] as slot, state from offers order by id"


@contextmanager
def worker(database_url: str, redis_url: str, folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A worker as it runs in production."""
    env = {"PATH": os.environ["PATH"], "DATABASE_URL": database_url, "REDIS_URL": redis_url, "LOG_LEVEL": "warning"}
    with (folder / "worker.log").open("ab") as log:
        command = [sys.executable, "-m", "server.cli", "worker"]
        process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=log, stderr=log)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.wait(10)


async def test_workers_killed_in_the_middle_of_an_expiry_leave_nothing_half_done(
    world: World, database_url: str, redis_url: str, tmp_path: Path
) -> None:
    slots = await slots_of(world, count=4)
    for _ in range(8):
        await waiting(world)
    await world.pool.execute(SLOWED)
    await world.pool.execute(LAPSED)

    async def at_work() -> bool:
        return bool(await world.pool.fetchval(IN_THE_MIDDLE))

    async def at_rest() -> bool:
        return not await at_work()

    async def done() -> bool:
        return not await world.pool.fetchval(STILL_OPEN)

    for _ in range(2):
        with worker(database_url, redis_url, tmp_path) as process:
            await eventually(at_work, 60)
            process.kill()
        await eventually(at_rest)
        assert not await world.pool.fetch(MISCOUNTED)
    with worker(database_url, redis_url, tmp_path), worker(database_url, redis_url, tmp_path):
        await eventually(done, 60)
    offers = await world.pool.fetch(OFFERED)
    held = [one["slot"] for one in offers if one["state"] == "open"]
    assert sorted(held) == slots, "each seat is offered to one, and none is forgotten"
    assert len({(one["entry_id"], one["slot"]) for one in offers}) == len(offers), "nobody is asked the same twice"
    assert not await world.pool.fetch(MISCOUNTED)
    assert not await world.pool.fetch(FORGOTTEN, world.institution, "{}", world.store.now())
