"""What providers are asked: the same limit for all workers, and rest for one that is down."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from server import publish
from server.config import Rate
from tests.test_notices import booked
from tests.test_notices_sending import Recorder
from tests.world import World, eventually
from workers import throttle
from workers.notices import Post, send_due
from workers.senders import Later
from workers.senders.mailbox import MailboxSender
from workers.throttle import Throttle


@pytest_asyncio.fixture
async def two(redis_url: str) -> AsyncIterator[tuple[Throttle, Throttle]]:
    """Two workers' throttles."""
    clients = [publish.connect(redis_url) for _ in range(2)]
    rates = {"phone": Rate(1, 10)}
    yield Throttle(clients[0], rates), Throttle(clients[1], rates)
    for client in clients:
        await client.aclose()


async def test_all_workers_keep_one_limit(two: tuple[Throttle, Throttle]) -> None:
    granted = await asyncio.gather(*(one.take("phone", 2) for one in two * 10))
    assert sum(granted) == 10
    assert await two[0].take("mail", 500) == 500


async def test_what_was_not_needed_is_there_for_others(two: tuple[Throttle, Throttle]) -> None:
    assert await two[0].take("phone", 10) == 10
    await two[0].give_back("phone", 7)
    assert await two[1].take("phone", 10) == 7


async def test_a_provider_that_is_down_gets_rest_and_then_one_trial(
    two: tuple[Throttle, Throttle], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(throttle, "FIRST_REST", 0.2)
    for _ in range(throttle.FAILURES):
        assert await two[0].take("mail", 5) == 5
        await two[0].failed("mail")
    assert await two[1].take("mail", 5) == 0
    await eventually(lambda: two[1].take("mail", 5))
    assert await two[0].take("mail", 5) == 0, "a second trial beside the first"
    await two[1].failed("mail")
    assert await two[0].take("mail", 5) == 0
    await eventually(lambda: two[0].take("mail", 5))
    await two[0].worked("mail")
    assert await two[1].take("mail", 5) == 5


async def test_a_worker_says_whom_it_leaves_alone_until_they_answer(two: tuple[Throttle, Throttle]) -> None:
    worker = two[0]
    for _ in range(throttle.FAILURES):
        assert worker.resting() == {}
        await worker.failed("mail")
    await worker.wait("phone", 30)
    assert worker.resting() == {"mail": 5, "phone": 30}
    await worker.worked("mail")
    assert worker.resting() == {"phone": 30}


async def test_failures_between_successes_are_no_reason_to_rest(two: tuple[Throttle, Throttle]) -> None:
    for _ in range(3 * throttle.FAILURES):
        await two[0].failed("mail")
        await two[1].worked("mail")
    assert await two[0].take("mail", 5) == 5


async def test_a_trial_whose_worker_died_is_not_the_last(
    two: tuple[Throttle, Throttle], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(throttle, "FIRST_REST", 0.01)
    monkeypatch.setattr(throttle, "TRIAL", 0.2)
    for _ in range(throttle.FAILURES):
        await two[0].failed("mail")
    await eventually(lambda: two[0].take("mail", 5))
    await eventually(lambda: two[1].take("mail", 5))


async def test_whoever_asks_us_to_wait_is_left_alone(two: tuple[Throttle, Throttle]) -> None:
    await two[0].wait("mail", 0.3)
    await two[0].wait("mail", 0.0)
    assert await two[1].take("mail", 5) == 0
    assert await two[1].take("phone", 5) == 5
    await eventually(lambda: two[1].take("mail", 5))


async def test_without_redis_nothing_is_sent_and_nothing_breaks() -> None:
    away = Throttle(publish.connect("redis://127.0.0.1:9"))
    assert await away.take("mail", 5) == 0
    await away.failed("mail")


def careful(world: World, recorder: Recorder, redis_url: str) -> Post:
    limits = Throttle(publish.connect(redis_url), {"recorder": Rate(1, 2)})
    return Post(world.store, {"email": recorder}, MailboxSender(world.store), throttle=limits)


async def test_a_worker_claims_no_more_than_it_may_send(still: World, redis_url: str) -> None:
    await booked(still, phone=None)
    for nth in range(3):
        await still.pool.execute(COPY, nth)
    recorder = Recorder()
    await send_due(careful(still, recorder, redis_url))
    assert len(recorder.sent) == 2
    assert await still.pool.fetchval("select count(*) from notices where attempts > 0") == 2


COPY = """
insert into notices (institution_id, kind, cause, person, channel, patient_id, appointment_id, facts, due_at, try_at,
    created_at)
select institution_id, kind, cause || $1::int, person, channel, patient_id, appointment_id, facts, due_at, due_at,
    created_at from notices where kind = 'booking-confirmed' and cause !~ '/.*/' limit 1
"""


async def test_while_a_provider_rests_its_notices_keep_their_tries(still: World, redis_url: str) -> None:
    await booked(still, phone=None)
    recorder = Recorder(failures=[Later("no answer", down=True)] * 100)
    post = careful(still, recorder, redis_url)
    assert post.throttle
    post.throttle.rates = {}
    for _ in range(20):
        await send_due(post)
        still.forward(hours=1)
    assert await still.pool.fetchval("select attempts from notices order by id limit 1") == throttle.FAILURES


async def test_a_slow_provider_holds_up_no_other(still: World) -> None:
    await booked(still, channels=["email", "sms"])
    slow, quick = Recorder(), Recorder()
    slow.provider = "slow"
    held = asyncio.Event()

    async def hang(*_: object) -> None:
        await held.wait()

    slow.send = hang  # type: ignore[method-assign,assignment]
    sending = asyncio.create_task(send_due(Post(still.store, {"email": slow}, quick)))
    await eventually(lambda: asyncio.sleep(0, bool(quick.sent)))
    held.set()
    await sending
