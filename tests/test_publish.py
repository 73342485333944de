"""What Redis has is what PostgreSQL has, whoever publishes it, however often, and whatever becomes of Redis."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import orjson
import pytest
from redis.exceptions import RedisError

from server import events, publish
from server.access import SYSTEM, Actor
from server.app import ROWS
from server.errors import Refusal
from server.publish import APPLY, Publisher, apply_args, keys, loaded
from server.queue import REFRESH_WAITS, RefreshWaits
from server.store import Committed, Store
from tests.world import World, eventually, versions


class Dead:
    """The outbox of a process that dies between its commit and its publishing."""

    def hand_over(self, committed: Sequence[Committed]) -> None:
        """Lose them."""

    def end(self, actors: Sequence[str]) -> None:
        """Lose them."""


@asynccontextmanager
async def dead(world: World) -> AsyncIterator[None]:
    """What is committed within is handed to nobody."""
    outbox, world.store.outbox = world.store.outbox, Dead()
    yield
    world.store.outbox = outbox


async def board_of(world: World, joined: int = 0) -> tuple[int, str]:
    """A queue with so many waiting, all of it published; the queue's id and its board."""
    queue = await world.queue()
    for _ in range(joined):
        await world.join(queue)
    await world.published()
    return queue, f"board:{queue}"


async def history(world: World, stream: str) -> list[int]:
    """The versions that Redis keeps of a stream."""
    return [int(id_.split(b"-")[0]) for id_, _ in await world.publisher.redis.xrange(keys(stream)[2])]


async def agrees(world: World, stream: str) -> None:
    """Hold that Redis's position, view and history are PostgreSQL's."""
    truth = await world.pool.fetchrow("select epoch, version from streams where name = $1", stream)
    assert truth is not None
    assert await world.publisher.positions([stream]) == [(truth["epoch"], truth["version"])]
    view = await world.publisher.redis.hgetall(keys(stream)[1])
    assert {key.decode(): orjson.loads(row) for key, row in view.items()} == await world.fresh_rows(stream)
    assert await history(world, stream) == versions(await world.events(stream))[-publish.KEEP :]


async def committed(world: World, stream: str, version: int) -> Committed:
    rows = await world.pool.fetch(publish.EVENTS_AFTER, stream, version - 1, 1)
    return loaded(rows[0])


async def apply(world: World, *batch: Committed) -> tuple[str, int]:
    status, last = await world.publisher.scripts.run(APPLY, batch[0].stream, *apply_args(batch[0].stream, batch))
    return status.decode(), last


async def unmarked(world: World, stream: str) -> list[int]:
    rows = await world.pool.fetch(
        "select version from events where stream = $1 and published_at is null order by version", stream
    )
    return versions(rows)


# One stream, version by version


async def test_a_repeat_changes_nothing_and_is_told_to_nobody(world: World) -> None:
    _, board = await board_of(world, 3)
    async with world.publisher.redis.pubsub() as listener:
        await listener.subscribe(publish.channel(board))
        await listener.get_message(timeout=1)
        assert await apply(world, *[await committed(world, board, version) for version in (1, 2, 3)]) == ("applied", 3)
        assert await listener.get_message(timeout=0.1) is None
    await agrees(world, board)


async def test_a_gap_is_loaded_from_postgresql_and_published_in_order(world: World) -> None:
    queue, board = await board_of(world, 1)
    async with dead(world):
        await world.join(queue)
        await world.join(queue)
    async with world.publisher.redis.pubsub() as listener:
        await listener.subscribe(publish.channel(board))
        await listener.get_message(timeout=1)
        await world.join(queue)
        await world.published()
        heard = [await listener.get_message(timeout=1) for _ in range(3)]
    assert [int(message["data"].split(b" ")[0]) for message in heard if message] == [2, 3, 4]
    await agrees(world, board)


async def test_of_a_batch_with_a_gap_only_what_follows_on_is_applied(world: World) -> None:
    queue, board = await board_of(world, 1)
    async with dead(world):
        for _ in range(3):
            await world.join(queue)
    second, fourth = await committed(world, board, 2), await committed(world, board, 4)
    assert await apply(world, second, fourth) == ("gap", 2)
    assert await history(world, board) == [1, 2]
    await world.publisher.bring_up(board)
    await agrees(world, board)


async def test_a_foreign_epoch_is_not_applied(world: World) -> None:
    queue, board = await board_of(world, 1)
    async with dead(world):
        await world.join(queue)
    await world.pool.execute("update streams set epoch = 'other' where name = $1", board)
    assert (await apply(world, await committed(world, board, 2)))[0] == "missing"
    await world.publisher.bring_up(board)
    await agrees(world, board)


async def test_two_processes_that_publish_out_of_order_agree(world: World, redis_url: str) -> None:
    queue, board = await board_of(world, 1)
    async with Publisher(world.pool, publish.connect(redis_url), ROWS).running() as second:
        other = Store(world.pool, second)
        here = World(other, second, None, institution=world.institution, actors=world.actors, desks=world.desks)

        async def crowd(who: World, name: str) -> None:
            for number in range(40):
                await who.join(queue, name=f"{name} {number}")

        await asyncio.gather(crowd(world, "A"), crowd(here, "B"))
        await world.published()
        await agrees(world, board)
        await second.redis.aclose()


async def test_a_repair_asked_for_while_one_runs_sees_what_was_committed_since(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue, board = await board_of(world, 1)
    looked, go_on = asyncio.Event(), asyncio.Event()
    bring_up = world.publisher._bring_up

    async def slow(stream: str) -> None:
        await bring_up(stream)
        looked.set()
        await go_on.wait()

    monkeypatch.setattr(world.publisher, "_bring_up", slow)
    first = asyncio.create_task(world.publisher.bring_up(board))
    await looked.wait()
    async with dead(world):
        await world.join(queue)
    second = asyncio.create_task(world.publisher.bring_up(board))
    await asyncio.sleep(0)
    go_on.set()
    await asyncio.gather(first, second)
    assert await history(world, board) == [1, 2]


async def test_a_late_rebuild_does_not_take_redis_back(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """One process reads PostgreSQL for a rebuild; before it has written, another has rebuilt and published on."""
    queue, board = await board_of(world, 2)
    await world.publisher.redis.flushall()
    slow, quick = Publisher(world.pool, world.publisher.redis, ROWS), world.publisher
    run = slow.scripts.run

    async def delayed(script: str, stream: str, *args: Any) -> Any:
        if script == publish.REBUILD:
            await quick.bring_up(board)
            await world.join(queue)
            await world.published()
        answer = await run(script, stream, *args)
        if script == publish.REBUILD:
            assert answer == 0
        return answer

    monkeypatch.setattr(slow.scripts, "run", delayed)
    await slow.bring_up(board)
    await agrees(world, board)


# What a crash leaves


async def test_the_sweep_publishes_what_a_crash_left(world: World) -> None:
    queue, board = await board_of(world, 1)
    async with dead(world):
        await world.join(queue)
        await world.call_next(queue)
    assert await history(world, board) == [1]
    assert await world.publisher.sweep(older_than=60) == 0, "what another process is publishing is left to it"
    assert await world.publisher.sweep(older_than=0) == 2  # the board's and the staff's
    await agrees(world, board)
    assert await unmarked(world, board) == []


async def test_an_event_is_marked_only_after_redis_has_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    queue, board = await board_of(world, 1)

    async def away(*_: Any) -> Any:
        raise RedisError("away")

    with monkeypatch.context() as patch:
        patch.setattr(world.publisher.scripts, "run_all", away)
        await world.join(queue)
        await eventually(lambda: _true(world.publisher.failed))
        assert await unmarked(world, board) == [2]
        assert await world.publisher.sweep(older_than=0) == 0
        assert await unmarked(world, board) == [2]
    await world.published()
    await agrees(world, board)


async def _true(fact: object) -> object:
    return fact


async def test_one_stream_that_cannot_be_published_holds_up_no_other(world: World) -> None:
    queue, board = await board_of(world, 1)
    broken, broken_board = await board_of_another(world)
    redis = world.publisher.redis
    await redis.delete(keys(broken_board)[2])
    await redis.set(keys(broken_board)[2], "not a stream")
    async with dead(world):
        await world.join(broken)
        await world.join(queue)
    await world.publisher.sweep(older_than=0)
    await agrees(world, board)
    await world.join(broken)
    await world.join(queue)
    await eventually(lambda: _published_to(world, board, 3))
    await redis.delete(*keys(broken_board))
    await world.published()
    await agrees(world, broken_board)


async def board_of_another(world: World) -> tuple[int, str]:
    queue = await world.queue("Second")
    await world.join(queue)
    await world.published()
    return queue, f"board:{queue}"


async def _published_to(world: World, stream: str, version: int) -> bool:
    position = (await world.publisher.positions([stream]))[0]
    return position is not None and position[1] == version


async def test_a_view_that_cannot_be_read_does_not_end_publishing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue, board = await board_of(world, 1)
    failed = 0

    async def broken(_conn: Any, _id: int) -> list[events.Row]:
        nonlocal failed
        failed += 1
        raise ValueError("a row that nobody can read")

    with monkeypatch.context() as patch:
        patch.setitem(ROWS, "board", broken)
        await world.publisher.redis.delete(keys(board)[0])
        await world.join(queue)
        await eventually(lambda: _true(failed))
    await world.published()
    await agrees(world, board)


# What becomes of Redis


@pytest.mark.parametrize("found_by", ["the next command", "verify", "a subscriber"])
async def test_an_emptied_redis_is_rebuilt(world: World, found_by: str) -> None:
    queue, board = await board_of(world, 5)
    position = (await world.publisher.positions([board]))[0]
    await world.publisher.redis.flushall()
    assert await world.publisher.catch_up(board, None, None) is None
    if found_by == "the next command":
        await world.join(queue)
        await world.published()
    elif found_by == "verify":
        assert await world.publisher.verify() == await world.pool.fetchval("select count(*) from streams")
    else:
        await world.publisher.ensure(events.board(queue))
    await agrees(world, board)
    assert position is not None
    caught = await world.publisher.catch_up(board, position[0], 3)
    assert caught is not None and caught.events is not None, "clients go on from where they were"
    assert versions([(entry.version,) for entry in caught.events])[:2] == [4, 5]


@pytest.mark.parametrize("found_by", ["the next command", "verify", "a subscriber"])
async def test_a_redis_put_back_to_an_earlier_state_catches_up(world: World, found_by: str) -> None:
    queue, board = await board_of(world, 2)
    await world.publisher.verify()
    redis = world.publisher.redis
    kept = {key: await redis.dump(key) for key in keys(board)}
    for _ in range(3):
        await world.join(queue)
    await world.published()
    for key, value in kept.items():
        await redis.restore(key, 0, value, replace=True)
    assert (await history(world, board)) == [1, 2]
    if found_by == "the next command":
        await world.join(queue)
        await world.published()
    elif found_by == "verify":
        assert await world.publisher.verify() == 1
    else:
        await world.publisher.ensure(events.board(queue))
    await agrees(world, board)


async def test_many_streams_are_verified_by_turns_and_all_at_once_where_one_was_lost(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publish, "STREAMS_AT_ONCE", 2)
    (_, board), (_, second) = await board_of(world, 1), await board_of_another(world)
    while await world.publisher.verify() or world.publisher._verified:
        pass
    streams = await world.pool.fetchval("select count(*) from streams")
    turns = -(-streams // 2)
    await world.publisher.redis.delete(*keys(board))
    assert sorted([await world.publisher.verify() for _ in range(turns)])[-2:] == [0, 1]
    while world.publisher._verified:
        await world.publisher.verify()
    await world.publisher.redis.flushall()
    assert await world.publisher.verify() == streams
    await agrees(world, board)
    await agrees(world, second)


async def test_a_redis_ahead_of_a_database_put_back_is_replaced(world: World) -> None:
    queue, board = await board_of(world, 4)
    await world.pool.execute("delete from events where stream = $1 and version > 2", board)
    await world.pool.execute("update streams set version = 2 where name = $1", board)
    await world.publisher.bring_up(board)
    await agrees(world, board)
    await world.join(queue)
    await world.published()
    await agrees(world, board)


async def test_scripts_are_loaded_again_by_a_redis_that_forgot_them(world: World) -> None:
    queue, board = await board_of(world, 1)
    await world.publisher.redis.script_flush()
    await world.join(queue)
    await world.published()
    await agrees(world, board)
    assert world.publisher.failed == 0


async def test_a_long_history_is_trimmed_and_still_catches_up_what_it_holds(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publish, "KEEP", 20)
    queue, board = await board_of(world, 1)
    for _ in range(25):
        await world.store.execute(REFRESH_WAITS, SYSTEM, RefreshWaits(queue_id=queue))
    await world.published()
    await world.publisher.redis.flushall()
    await world.publisher.ensure(events.board(queue))
    await agrees(world, board)
    epoch, last = (await world.publisher.positions([board]))[0] or ("", 0)
    within = await world.publisher.catch_up(board, epoch, last - 20)
    beyond = await world.publisher.catch_up(board, epoch, last - 21)
    assert within is not None and within.events is not None and len(within.events) == 20
    assert beyond is not None and beyond.rows is not None


async def test_after_any_commands_redis_has_what_postgresql_has(world: World) -> None:
    queue, board = await board_of(world)
    chance = random.Random(20260302)
    for step in range(120):
        await anything(world, queue, chance)
        if step % 40 == 20:
            await world.publisher.redis.flushall()
        if step % 30 == 10:
            async with dead(world):
                await anything(world, queue, chance)
    await world.publisher.sweep(older_than=0)
    await world.published()
    await world.publisher.verify()
    for stream in (board, f"staff:{queue}"):
        await agrees(world, stream)


async def anything(world: World, queue: int, chance: random.Random) -> None:
    """Some command that somebody might give now; a refusal is as good as any."""
    tickets = await world.pool.fetch("select id from tickets where queue_id = $1 order by id desc limit 8", queue)
    ticket = chance.choice(tickets)["id"] if tickets else 0
    desk = chance.choice(world.desks)
    name, ask = chance.choice(
        [
            ("join-queue", {"queue_id": queue, "patient": {"name": f"Patient {chance.random()}"}}),
            ("join-queue", {"queue_id": queue, "patient": {"name": f"Patient {chance.random()}"}, "urgency": "urgent"}),
            ("call-next", {"queue_id": queue, "desk_id": desk}),
            ("call-next", {"queue_id": queue, "desk_id": desk}),
            ("recall", {"ticket_id": ticket}),
            ("start", {"ticket_id": ticket}),
            ("complete", {"ticket_id": ticket}),
            ("no-show", {"ticket_id": ticket}),
            ("return-ticket", {"ticket_id": ticket}),
            ("hold", {"ticket_id": ticket}),
            ("undo", {"ticket_id": ticket}),
            ("cancel", {"ticket_id": ticket}),
        ]
    )
    actor: Actor | str = "receptionist" if name == "join-queue" else "doctor"
    with suppress(Refusal):
        await world.do(name, actor, **ask)


async def test_what_takes_a_cancellation_for_something_else_is_ended_all_the_same() -> None:
    async def deaf() -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        await asyncio.sleep(60)

    task = asyncio.create_task(deaf())
    await asyncio.sleep(0)
    async with asyncio.timeout(10):
        await publish.ended(task)
    assert task.cancelled()
