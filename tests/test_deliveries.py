"""Workers that are killed, told to stop, never woken, or robbed of Redis: every notice arrives, once.

So does what a server committed that was killed before it could tell anybody.
"""

import asyncio
import signal
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest_asyncio

from server.access import Role
from tests.chaos import free_port
from tests.clinic import slots_of
from tests.deliveries import Office, office, run
from tests.test_notices import sam
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


# The transaction with a notice in it waits in its very commit, as long as somebody holds this lock.
HELD_UP = """
create function wait_at_commit() returns trigger language plpgsql
as $$ begin perform pg_advisory_xact_lock(7); return null; end $$;
create constraint trigger waits after insert on notices deferrable initially deferred
for each row execute function wait_at_commit();
"""
AT_COMMIT = "select exists (select from pg_locks where locktype = 'advisory' and not granted)"
CONFIRMED = "select count(*) from notices where kind = 'booking-confirmed'"
UNPUBLISHED = "select count(*) from events where published_at is null"


async def test_what_a_server_committed_that_was_killed_before_it_told_anybody_is_sent_and_shown(place: Office) -> None:
    world, port = place.world, free_port()
    patient, slots = await sam(world), await slots_of(world)
    token = await world.account(Role.receptionist, "desk@clinic.test")
    await world.published()
    await world.pool.execute(HELD_UP)
    place.start("server", "serve", "--port", str(port))
    await eventually(lambda: _answers(port), 60)
    async with world.pool.acquire() as lock, httpx2.AsyncClient() as http:
        await lock.execute("select pg_advisory_lock(7)")
        ask = {"slot_ids": slots, "doctor_id": world.doctors[0], "patient_id": patient}
        headers = {"Authorization": f"Bearer {token}"}
        booking = asyncio.create_task(
            http.post(f"http://127.0.0.1:{port}/api/v1/appointments", json=ask, headers=headers)
        )
        await eventually(lambda: world.pool.fetchval(AT_COMMIT), 30)
        await place.end("server")
        await lock.execute("select pg_advisory_unlock(7)")
    assert isinstance((await asyncio.gather(booking, return_exceptions=True))[0], httpx2.HTTPError)
    await eventually(lambda: world.pool.fetchval(CONFIRMED), 30)
    assert await world.pool.fetchval(UNPUBLISHED) > 0 and await world.publisher.redis.keys("arq:*") == []
    place.start()
    await eventually(lambda: _sent_and_published(place), 60)
    assert [str(mail["To"]) for mail in place.mail.mails.values()] == ["sam@example.org"] and place.mail.repeats == 0


async def _answers(port: int) -> bool:
    async with httpx2.AsyncClient() as http:
        try:
            return bool((await http.get(f"http://127.0.0.1:{port}/readyz")).is_success)
        except httpx2.HTTPError:
            return False


async def _sent_and_published(place: Office) -> Any:
    return place.mail.mails and not await place.world.pool.fetchval(UNPUBLISHED)


async def test_redis_emptied_again_and_again_in_the_middle_loses_and_repeats_nothing(place: Office) -> None:
    place.phone.delay = place.mail.delay = 0.05
    await place.write(400)
    for name in ("one", "two"):
        place.start(name)
    await eventually(lambda: _begun(place), 60)
    emptied = 0
    while not await place.settled():
        await place.world.publisher.redis.flushall()
        emptied += 1
        await asyncio.sleep(0.1)
    assert emptied > 3 and await place.states() == {"sent": 400}
    assert (len(place.mail.mails), place.mail.repeats, len(place.phone.accepted)) == (200, 0, 200)


async def test_two_workers_send_side_by_side(place: Office) -> None:
    place.phone.delay = place.mail.delay = 0.2
    await place.write(120)
    for name in ("one", "two"):
        place.start(name)
    await eventually(place.settled, 60)
    assert (len(place.mail.mails), place.mail.repeats, len(place.phone.accepted)) == (60, 0, 60)
    assert await asyncio.to_thread(lambda: {one.poll() for one in place.workers.values()}) == {None}
