"""Workers that are killed, told to stop, never woken, or robbed of Redis: every notice arrives, once."""

import asyncio
import signal
from collections.abc import AsyncIterator

import pytest_asyncio

from tests.deliveries import Office, office, run
from tests.world import eventually


@pytest_asyncio.fixture
async def place(database_url: str, redis_url: str) -> AsyncIterator[Office]:
    async with office(database_url, redis_url, slow=12.0) as place:
        yield place


async def test_killed_workers_and_failing_providers_lose_and_repeat_nothing(place: Office) -> None:
    figures = await run(place, count=300, kills=6)
    print(figures)
    assert (figures.lost, figures.twice, figures.states) == (0, 0, {"sent": 300})
    assert figures.failures and figures.tries > 300


async def test_a_worker_that_is_told_to_stop_finishes_what_is_on_its_way(place: Office) -> None:
    place.phone.delay = place.mail.delay = 1.0
    await place.write(200)
    place.start()
    await eventually(lambda: _begun(place), 60)
    assert await place.end("worker", signal.SIGTERM) == 0
    reached = len(place.mail.mails) + len(place.phone.accepted)
    assert await place.states() == {"sent": reached, "pending": 200 - reached} and reached < 200
    place.phone.delay = place.mail.delay = 0.0
    place.start()
    await eventually(place.settled, 60)
    assert (len(place.mail.mails), len(place.phone.accepted), place.mail.repeats) == (100, 100, 0)


async def _begun(place: Office) -> bool:
    return place.phone.asked > 0 and place.mail.tries > 0


async def test_nobody_needs_to_be_woken_and_redis_may_forget_everything(place: Office) -> None:
    place.start()
    await place.write(10)
    await eventually(place.settled, 60)
    await place.world.publisher.redis.flushall()
    await place.world.pool.execute("update notices set state = 'pending', try_at = now(), sent_at = null")
    await eventually(place.settled, 60)
    assert place.mail.repeats == 5 and len(place.mail.mails) == 5


async def test_two_workers_send_side_by_side(place: Office) -> None:
    place.phone.delay = place.mail.delay = 0.2
    await place.write(120)
    for name in ("one", "two"):
        place.start(name)
    await eventually(place.settled, 60)
    assert (len(place.mail.mails), place.mail.repeats, len(place.phone.accepted)) == (60, 0, 60)
    assert await asyncio.to_thread(lambda: {one.poll() for one in place.workers.values()}) == {None}
