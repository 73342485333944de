"""Notices from their commit to the provider: ours beside a bare loop over the same claims and the same requests."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2

from server.config import Config
from server.embedded import start_postgres, start_redis
from server.notices import sending
from server.store import migrate
from tests.deliveries import Office, office
from tests.world import eventually
from workers import notices
from workers.main import post, rates
from workers.throttle import Throttle

DUE = "update notices set due_at = now() + make_interval(secs => 2), try_at = now() + make_interval(secs => 2)"
LATER = "update notices set try_at = now() + interval '1 day'"
BOTH_UP = "select count(*) = 2 from processes where kind = 'worker'"
LAG = "select max(extract(epoch from sent_at - due_at))::float8 from notices"
TO = "select recipient from notices where id = $1"


@asynccontextmanager
async def place() -> AsyncIterator[Office]:
    """An office on servers of its own."""
    with tempfile.TemporaryDirectory(prefix="callboard-bench-") as folder:
        postgres = await asyncio.to_thread(start_postgres, Path(folder) / "postgres")
        redis = await asyncio.to_thread(start_redis, Path(folder) / "redis")
        try:
            await migrate(postgres.url)
            async with office(postgres.url, f"{redis.url}?db=0") as found:
                yield found
        finally:
            await asyncio.to_thread(redis.stop)
            await asyncio.to_thread(postgres.stop)


async def sent(count: int) -> float:
    """Text messages a second that one worker hands over, from the moment they are due."""
    async with place() as here, httpx2.AsyncClient() as client:
        config = Config(**here.phone.settings())
        throttle = Throttle(here.world.publisher.redis, dict.fromkeys(rates(config)))
        ways = post(here.world.store, config, client, throttle)
        await here.write(2 * count)
        await here.world.pool.execute("delete from notices where channel <> 'sms'")
        began = time.perf_counter()
        while not await here.settled():
            await notices.send_due(ways)
        assert len(here.phone.accepted) == count
        return count / (time.perf_counter() - began)


async def bare(count: int) -> float:
    """The same claims, requests and notes, without anything around them."""
    async with place() as here, httpx2.AsyncClient() as client:
        await here.write(2 * count)
        pool = here.world.pool
        await pool.execute("delete from notices where channel <> 'sms'")
        url = f"{here.phone.url}/2010-04-01/Accounts/{here.phone.account}/Messages.json"
        auth = httpx2.BasicAuth(here.phone.account, here.phone.token)
        began = time.perf_counter()

        async def hand_over(held: sending.Held) -> None:
            to = await pool.fetchval(TO, held.id)
            form = {"To": to, "From": "+441632960000", "Body": "A reminder of your appointment tomorrow."}
            answer = await client.post(url, data=form, auth=auth)
            await sending.note_sent(pool, held, answer.json()["sid"], datetime.now(UTC))

        while held := await sending.claim(pool, datetime.now(UTC), notices.AT_ONCE, ["sms"]):
            await asyncio.gather(*map(hand_over, held))
        assert len(here.phone.accepted) == count
        return count / (time.perf_counter() - began)


async def lag(count: int) -> dict[str, Any]:
    """Seconds after which the last of so many is sent that are due at once, by two workers."""
    async with place() as here:
        await here.write(count)
        await here.world.pool.execute(LATER)
        for name in ("one", "two"):
            here.start(name)
        # What it takes a worker to start is no part of it.
        await eventually(lambda: here.world.pool.fetchval(BOTH_UP), 60)
        await here.world.pool.execute(DUE)
        await eventually(here.settled, 600)
        assert len(here.mail.mails) + len(here.phone.accepted) == count
        return {"ours": await here.world.pool.fetchval(LAG), "a minute": 60.0}
