"""When a part is away: what goes on, what is refused, and that nothing is lost when it is back."""

import asyncio
import signal
import time
from typing import Any

import pytest
import socketio
from arq import create_pool

from server import errors
from server.access import SYSTEM
from server.config import Config
from server.errors import Unavailable
from server.queue import REFRESH_WAITS, RefreshWaits
from server.store import Store
from tests.chaos import Clinic, clinic
from tests.test_publish import Dead
from tests.watchers import Board, Console, serving, signed_in, until
from tests.world import World, eventually
from workers import main


async def join(console: Console, place: Clinic, name: str) -> Any:
    status, answer = await console.press(f"/queues/{place.queue}/tickets", patient={"name": name})
    assert status == 201, answer
    return answer


async def exact(place: Clinic, *boards: Board) -> None:
    """Hold that the boards come to have seen all that PostgreSQL has, and have had to start over never."""
    known = await place.events()
    for board in boards:
        await board.reaches(known[-1][0], 30)
        assert board.seen == known[board.snapshots[0] :]
        assert len(board.snapshots) == 1


# PostgreSQL


async def test_while_postgresql_is_away_commands_refuse_and_boards_keep_what_they_show() -> None:
    async with clinic() as place:
        console, board = Console(place.token, *place.urls), await place.watch().open()
        await board.reaches((await join(console, place, "Before"))["board_version"])
        shown = dict(board.rows)
        await place.kill_postgres()
        body = {"patient": {"name": "Meanwhile"}}
        status, answer, headers = await console.post(f"/queues/{place.queue}/tickets", body, "meanwhile")
        assert (status, answer["code"], answer["retryable"]) == (503, "unavailable", True)
        assert int(headers["Retry-After"]) > 0
        over_socket = await board.sio.call("call-next", {"queue_id": place.queue, "desk_id": place.desks[0]})
        assert over_socket["problem"]["code"] == "unavailable"
        assert (await board.sio.call("subscribe", {"stream": "board:2"}))["problem"]["code"] == "unavailable"
        assert board.rows == shown and board.live and board.connects == 1
        await place.revive_postgres()
        for _ in range(20):
            await join(console, place, f"After {_}")
        await exact(place, board)
        assert place.processes["worker"].poll() is None
        await console.close()


async def test_a_keyed_command_whose_connection_is_lost_in_the_middle_is_done_once(world: World) -> None:
    queue = await world.queue()
    run = Store._attempt
    lost = 0

    async def lose_the_answer(self: Store, *args: Any) -> Any:
        nonlocal lost
        await run(self, *args)
        lost += 1
        raise ConnectionResetError("after the commit")

    world.store._attempt = lose_the_answer.__get__(world.store)  # type: ignore[method-assign]
    joined = await world.join(queue, key="once")
    assert lost == 1 and joined.token == "A001"
    with pytest.raises(Unavailable):
        await world.join(queue, name="Without a key")
    assert await world.order(queue) == ["A001", "A002"]


async def test_a_terminated_connection_is_no_failure_for_the_next_command(world: World) -> None:
    queue = await world.queue()
    for number in range(5):
        await world.pool.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity "
            "where datname = current_database() and pid <> pg_backend_pid()"
        )
        await world.join(queue, key=f"press-{number}")
    assert len(await world.order(queue)) == 5


async def test_a_value_that_postgresql_has_no_place_for_is_not_taken_for_its_absence(world: World) -> None:
    async def overflow(_self: Any, tx: Any, _ask: Any) -> Any:
        await tx.conn.fetchval("select $1::int", 2**40)

    with pytest.raises(Exception, match="out of") as raised:
        async with world.store.snapshot() as view:
            await view.conn.fetchval("select $1::int", 2**40)
    assert not isinstance(raised.value, errors.Refusal)


# Redis


async def test_while_redis_is_away_calls_go_on_and_are_all_replayed() -> None:
    async with clinic(webs=2) as place:
        console, board = Console(place.token, *place.urls), await place.watch().open()
        await join(console, place, "Before")
        place.redis.process.send_signal(signal.SIGKILL)
        await asyncio.to_thread(place.redis.process.wait)
        for number in range(10):
            await join(console, place, f"Meanwhile {number}")
            status, _ = await console.press(f"/queues/{place.queue}/call-next", desk_id=place.desks[0])
            assert status == 200
        begun = time.monotonic()
        refused = await board.sio.call("subscribe", {"stream": f"staff:{place.queue}"})
        assert refused["problem"]["code"] == "unavailable"
        assert time.monotonic() - begun < 4, "a console must not wait long for what cannot come"
        assert board.connects == 1
        await place.kill_redis()
        await exact(place, board)
        staff = await place.watch(1, f"staff:{place.queue}").open()
        assert len(staff.rows) == len(board.rows)
        await console.close()


async def test_an_emptied_redis_in_mid_day_is_seen_by_nobody() -> None:
    async with clinic() as place:
        console, board = Console(place.token, *place.urls), await place.watch().open()
        for number in range(6):
            await join(console, place, f"Patient {number}")
            if number % 2:
                async with place.at_redis() as client:
                    await client.flushall()
        await exact(place, board)
        assert (board.resets, board.connects, board.asks) == (0, 1, 1)
        newcomer = await place.watch().open()
        assert newcomer.rows == board.rows
        await console.close()


# Processes


async def test_what_was_acknowledged_outlives_the_server_that_acknowledged_it() -> None:
    async with clinic(webs=2) as place:
        (first, second), board = map(str, place.ports), await place.watch(1).open()
        console = Console(place.token, place.urls[0])
        acknowledged = []
        for number in range(2):
            answer = await join(console, place, f"Patient {number}")
            place.kill(first)  # before anything more could have been done for it
            acknowledged.append((answer["board_version"], "ticket-joined", answer["ticket_id"]))
            place.start(first)
            await place.up(first)
        assert await place.events() == acknowledged
        await exact(place, board)
        assert place.processes[second].poll() is None
        await console.close()


async def test_the_worker_publishes_what_a_dead_process_committed_and_survives_its_servers() -> None:
    async with clinic() as place:
        board = await place.watch().open()
        for way in ("at once", "after PostgreSQL", "after Redis"):
            if way == "after PostgreSQL":
                await place.kill_postgres()
                await place.revive_postgres()
            elif way == "after Redis":
                await place.kill_redis()
            store = await dead_store(place)
            changed = await store.execute(REFRESH_WAITS, SYSTEM, RefreshWaits(queue_id=place.queue))
            await board.reaches(changed.board_version, 20)
            await store.pool.close()
        assert place.processes["worker"].poll() is None
        await exact(place, board)


async def test_a_worker_that_starts_over_is_not_ended_with_its_jobs(redis_url: str) -> None:
    worker = main._worker(Config(database_url="", redis_url=redis_url))
    worker._pool = await create_pool(worker.redis_settings)
    cut_off = worker.tasks["a job"] = asyncio.create_task(asyncio.sleep(60))
    await main._close(worker)
    assert cut_off.cancelled()
    assert worker._pool is None


async def dead_store(place: Clinic) -> Store:
    """A store whose process will never publish."""
    from server import store

    return Store(await store.connect(place.postgres.url, 2), Dead())


async def test_sigterm_finishes_what_was_begun_and_ends_in_order() -> None:
    async with clinic(webs=2, worker=False) as place:
        first = str(place.ports[0])
        board, console = await place.watch(0).open(), Console(place.token, place.urls[0])
        presses = [
            asyncio.create_task(
                console.post(f"/queues/{place.queue}/tickets", {"patient": {"name": f"Patient {number}"}}, f"n{number}")
            )
            for number in range(20)
        ]
        await until(lambda: any(press.done() for press in presses))
        begun = time.monotonic()
        assert await asyncio.to_thread(place.kill, first, signal.SIGTERM) in (0, -signal.SIGTERM)
        assert time.monotonic() - begun < 5
        answers = await asyncio.gather(*presses, return_exceptions=True)
        done = {answer[1]["ticket_id"] for answer in answers if not isinstance(answer, BaseException)}
        known = await place.events()
        assert done <= {ticket for _, _, ticket in known}
        redis_has = await published(place)
        assert redis_has == known[-1][0], "what was committed was published before the process ended"
        place.start(first)
        await place.up(first)
        await exact(place, board)
        assert board.connects == 2
        await console.close()


async def published(place: Clinic) -> int:
    async with place.at_redis() as client:
        return int(await client.hget(f"cb:{{{place.board}}}:meta", "version") or 0)  # type: ignore[misc]


async def test_the_worker_ends_in_order(tmp_path: Any) -> None:
    async with clinic(webs=1) as place:
        begun = time.monotonic()
        assert await asyncio.to_thread(place.kill, "worker", signal.SIGTERM) == 0
        assert time.monotonic() - begun < 4


# Sockets


async def test_a_client_that_stops_reading_is_cut_and_others_go_on(
    world: World, database_url: str, redis_url: str
) -> None:
    queue, token = await world.queue(), await signed_in(world)
    async with serving(database_url, redis_url, unsent=4096) as web:
        web.live.sio.eio.write_bound = 32 * 1024
        slow, quick = [Board(web.url, f"board:{queue}", {"token": token}) for _ in range(2)]
        await asyncio.gather(slow.open(), quick.open())
        slow.wire().pause_reading()
        stalled, version = slow.wire(), 0
        while not web.live.sio.manager.cut_slow:
            for _ in range(20):
                version = (await world.join(queue)).board_version
            await quick.reaches(version)
        assert (slow.version or 0) < version and quick.connects == 1
        stalled.resume_reading()
        await slow.reaches(version)
        known = [(v, type_, data.get("ticket")) for v, type_, data in await world.events(f"board:{queue}")]
        assert slow.seen == quick.seen == known
        assert slow.connects == 2 and slow.snapshots == [0]
        await asyncio.gather(slow.close(), quick.close())


async def test_a_socket_that_leaves_in_mid_subscribe_leaves_nothing_behind(
    world: World, database_url: str, redis_url: str
) -> None:
    queue, token = await world.queue(), await signed_in(world)
    async with serving(database_url, redis_url) as web:
        for _ in range(10):
            client = socketio.AsyncClient(reconnection=False, handle_sigint=False)
            await client.connect(web.url, auth={"token": token}, transports=["websocket"])
            await client.emit("subscribe", {"stream": f"board:{queue}"})
            await client.disconnect()

        async def empty() -> bool:
            return not web.live.sockets and not any(feed.sids for feed in web.live.feeds.values())

        await eventually(empty)
        assert not [room for room in web.live.sio.manager.rooms.get("/", {}) if room]
