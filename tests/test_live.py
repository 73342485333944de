"""What a socket is promised: to miss nothing from its first answer on, and to be told plainly what it may not have."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest
import pytest_asyncio
import socketio

from server import live
from server.publish import CONTROL, KEEP, keys
from tests.watchers import Board, Web, serving, signed_in, until
from tests.world import World, eventually, versions


@dataclass
class House:
    """A world with web processes, and one queue with somebody to call."""

    world: World
    stack: AsyncExitStack
    database_url: str
    redis_url: str
    webs: list[Web] = field(default_factory=list)
    queue: int = 0
    token: str = ""

    async def web(self) -> Web:
        """One more web process."""
        self.webs.append(await self.stack.enter_async_context(serving(self.database_url, self.redis_url)))
        return self.webs[-1]

    async def board(self, web: int = 0, stream: str | None = None, **options: Any) -> Board:
        """A doctor's socket that follows the queue's board."""
        auth = options.pop("auth", {"token": self.token})
        wait = options.pop("wait", True)
        board = Board(self.webs[web].url, stream or f"board:{self.queue}", auth, **options)
        self.stack.push_async_callback(board.close)
        return await board.open(wait)

    async def socket(self, auth: dict[str, str] | None = None, web: int = 0) -> socketio.AsyncClient:
        """A bare socket."""
        client = socketio.AsyncClient(reconnection=False, handle_sigint=False)
        self.stack.push_async_callback(client.shutdown)
        await client.connect(self.webs[web].url, auth=auth or {"token": self.token}, transports=["websocket"])
        return client

    async def wall_board(self) -> tuple[int, dict[str, str]]:
        """An enrolled board: its id and what it signs in with."""
        device, credential = await self.world.device()
        return device, {"device": credential}

    async def join(self, count: int = 1) -> int:
        """People join; answers the board's version."""
        version = 0
        for _ in range(count):
            version = (await self.world.join(self.queue)).board_version
        return version

    @property
    def feed(self) -> live.Feed:
        """The queue's board as the first process follows it."""
        found: live.Feed = self.webs[0].live.feeds[f"board:{self.queue}"]
        return found


@pytest_asyncio.fixture
async def house(world: World, database_url: str, redis_url: str) -> AsyncIterator[House]:
    async with AsyncExitStack() as stack:
        house = House(world, stack, database_url, redis_url)
        house.queue = await world.queue()
        house.token = await signed_in(world)
        await house.web()
        yield house


def exact(board: Board, known: list[Any]) -> None:
    """Hold that the board saw each event after its first snapshot once, in order."""
    expected = [(version, type_, data.get("ticket")) for version, type_, data in known if version > board.snapshots[0]]
    assert board.seen == expected


# Joining


async def test_a_socket_gets_every_event_after_its_snapshot(house: House) -> None:
    await house.join(2)
    board = await house.board()
    await board.reaches(await house.join(3))
    assert board.rows == await house.world.fresh_rows(board.stream)
    exact(board, await house.world.events(board.stream))
    assert board.snapshots == [2]


async def joined_while_it_goes_on(house: House, boards: int = 30) -> list[Board]:
    """Boards that come while people join; answers them once nothing is under way."""

    async def crowd() -> int:
        version = 0
        for _ in range(60):
            version = await house.join()
        return version

    joining = asyncio.create_task(crowd())
    came = [await house.board(wait=False) for _ in range(boards)]
    last = await joining
    await until(lambda: all(board.live for board in came))
    await until(lambda: house.feed.last == last)
    # Whatever was sent to a socket before its answer to this has been heard.
    await asyncio.gather(*(board.sio.call("hello", {}) for board in came))
    return came


async def test_joining_first_and_reading_then_loses_nothing(house: House) -> None:
    came = await joined_while_it_goes_on(house)
    known = await house.world.events(f"board:{house.queue}")
    assert {board.version for board in came} == {known[-1][0]}
    for board in came:
        exact(board, known)
        assert board.asks == 1, "it met a gap, and had to ask again"


async def test_reading_first_and_joining_then_would_lose(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    await house.board()  # so that the stream is followed already

    async def backwards(self: live.Live, sid: str, socket: live.Socket, given: dict[str, Any]) -> Any:
        feed = self.feeds[given["stream"]]
        position = (given.get("epoch"), given.get("version"))
        await feed.ready.wait()
        answer = await self._caught_up(feed, *position)
        # Somebody joins the queue between the two.
        version = await house.join()
        await until(lambda: feed.last == version)
        self._join(sid, feed.stream)
        socket.streams.add(feed.stream.name)
        return answer

    monkeypatch.setitem(house.webs[0].live._own, "subscribe", backwards.__get__(house.webs[0].live))
    board = await house.board()
    assert board.version < house.feed.last, "it has what it was never sent"


async def test_positions_old_current_foreign_and_from_the_future(house: House) -> None:
    last = await house.join(3)
    await house.world.published()
    board = await house.board()
    socket = await house.socket()

    async def subscribe(**position: Any) -> dict[str, Any]:
        answer: dict[str, Any] = (await socket.call("subscribe", {"stream": board.stream, **position}))["ok"]
        assert (answer["epoch"], answer["version"]) == (board.epoch, last)
        return answer

    assert (await subscribe(epoch=board.epoch, version=last))["events"] == []
    assert versions((await subscribe(epoch=board.epoch, version=1))["events"]) == [2, 3]
    assert versions((await subscribe(epoch=board.epoch, version=0))["events"]) == [1, 2, 3]
    for position in ({}, {"epoch": "foreign", "version": 2}, {"epoch": board.epoch, "version": 99}):
        assert (await subscribe(**position))["snapshot"]["rows"] == board.rows


async def test_whoever_missed_more_than_the_history_holds_gets_a_snapshot(house: House) -> None:
    await house.join(3)
    board = await house.board()
    await house.world.publisher.redis.xtrim(keys(board.stream)[2], maxlen=1, approximate=False)
    answer = await (await house.socket()).call(
        "subscribe", {"stream": board.stream, "epoch": board.epoch, "version": 1}
    )
    assert answer["ok"]["snapshot"]["rows"] == board.rows
    assert KEEP >= 500


@pytest.mark.parametrize(
    "given",
    [
        (),
        ({},),
        ({"stream": 5},),
        ({"stream": "board:1", "version": -1, "epoch": "x"},),
        ({"stream": "board:1", "version": "1", "epoch": "x"},),
        ({"stream": "board:1", "more": 1},),
        ({"stream": "board"},),
        ({"stream": "board:0x1"},),
        ({"stream": "board:99999999999999999999"},),
        ({"stream": "nonsense:1"},),
        ({"stream": "board:1\0"},),
        ({"stream": "board:1", "epoch": "\0", "version": 1},),
        ("board:1",),
        (["board:1"],),
        ({"stream": "board:1"}, {"stream": "board:1"}),
    ],
)
async def test_a_malformed_subscribe_is_told_so(house: House, given: tuple[Any, ...]) -> None:
    socket = await house.socket()
    answer = await socket.call("subscribe", given)
    assert answer["problem"]["status"] == 422, answer
    assert (await socket.call("hello", {}))["ok"]["actor"]["role"] == "doctor"


async def test_a_stranger_to_a_stream_is_refused_as_if_it_were_not_there(house: House) -> None:
    elsewhere = await house.world.other()
    foreign = await elsewhere.queue()
    socket = await house.socket()
    for stream in (f"board:{foreign}", "board:999999", "admin:1", "patient:1", f"staff:{foreign}"):
        assert (await socket.call("subscribe", {"stream": stream}))["problem"]["code"] == "not-allowed"
    assert house.webs[0].live.feeds == {}


async def test_after_unsubscribe_nothing_more_comes(house: House) -> None:
    board = await house.board()
    await board.reaches(await house.join())
    assert (await board.sio.call("unsubscribe", {"stream": board.stream})) == {"ok": {}}
    other = await house.board()
    await other.reaches(await house.join())
    await board.sio.call("hello", {})
    assert board.version == 1
    assert (await board.sio.call("unsubscribe", {"stream": board.stream})) == {"ok": {}}


async def test_a_socket_that_follows_all_it_may_can_still_ask_again(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "STREAMS_PER_SOCKET", 1)
    socket = await house.socket()
    board = {"stream": f"board:{house.queue}"}
    assert "ok" in await socket.call("subscribe", board)
    assert "ok" in await socket.call("subscribe", board)
    assert (await socket.call("subscribe", {"stream": f"staff:{house.queue}"}))["problem"][
        "code"
    ] == "too-many-requests"


async def test_many_who_come_at_once_share_one_read(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    await house.join(3)
    first = await house.board()
    sockets = await asyncio.gather(*(house.socket() for _ in range(40)))
    house.feed.answers.clear()
    publisher, reads = house.webs[0].publisher, 0
    read = publisher.catch_up

    async def counted(*position: Any) -> Any:
        nonlocal reads
        reads += 1
        return await read(*position)

    monkeypatch.setattr(publisher, "catch_up", counted)
    answers = await asyncio.gather(*(socket.call("subscribe", {"stream": first.stream}) for socket in sockets))
    assert all(answer["ok"]["snapshot"]["rows"] == first.rows for answer in answers)
    assert reads == 1


async def test_a_stranger_who_asks_from_a_thousand_positions_fills_no_memory(house: House) -> None:
    await house.join()
    socket = await house.socket()
    for number in range(2 * live.ANSWERS_KEPT):
        await socket.call("subscribe", {"stream": f"board:{house.queue}", "epoch": f"e{number}", "version": 1})
    assert len(house.feed.answers) <= live.ANSWERS_KEPT


# Following Redis


async def test_a_message_that_was_lost_is_found_by_comparing(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    board = await house.board()
    monkeypatch.setattr(house.webs[0].live, "_heard", lambda _message: None)
    await board.reaches(await house.join(3))
    exact(board, await house.world.events(board.stream))
    assert board.snapshots == [0]


async def test_a_message_that_makes_no_sense_stops_nobody(house: House) -> None:
    board = await house.board()
    redis = house.world.publisher.redis
    for channel in (f"cb:{{{board.stream}}}:live", CONTROL):
        for message in (b"", b"x", b"1 2", b"one two three {}", b"[]", b"{}", b"\xff"):
            await redis.publish(channel, message)
    await board.reaches(await house.join(2))
    assert board.snapshots == [0]


async def test_a_stream_that_is_put_back_is_subscribed_anew(house: House) -> None:
    await house.join(2)
    board = await house.board()
    await house.world.published()
    await house.world.pool.execute("update streams set epoch = 'restored' where name = $1", board.stream)
    await house.world.publisher.verify()
    await until(lambda: board.epoch == "restored" and board.live)
    assert board.resets and board.rows == await house.world.fresh_rows(board.stream)
    await board.reaches(await house.join())


async def test_a_stream_that_nobody_follows_is_left_and_taken_up_again(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "LINGER", 0.0)
    monkeypatch.setattr(live, "CHECK_EVERY", 0.05)
    board = await house.board()
    await board.reaches(await house.join())
    await board.sio.disconnect()
    await until(lambda: not house.webs[0].live.feeds)
    redis = house.world.publisher.redis

    async def left() -> bool:
        counts: list[Any] = await redis.pubsub_numsub(f"cb:{{{board.stream}}}:live")
        return not counts[0][1]

    await eventually(left)
    await house.join()
    again = await house.board()
    await again.reaches(await house.join())
    exact(again, await house.world.events(board.stream))


async def test_a_board_at_one_process_sees_what_another_did(house: House) -> None:
    await house.web()
    first, second = await house.board(0), await house.board(1)
    console = await house.socket(web=1)
    await house.join()
    called = await console.call("call-next", {"queue_id": house.queue, "desk_id": house.world.desks[0]})
    version = called["ok"]["board_version"]
    for board in (first, second):
        await board.reaches(version)
        assert board.seen[-1][1] == "patient-called"
    assert first.rows == second.rows


# Credentials


async def test_a_revoked_board_is_cut_at_once(house: House) -> None:
    device, auth = await house.wall_board()
    board = await house.board(auth=auth)
    await house.world.do("revoke-device", "admin", device_id=device)
    await until(lambda: not board.live and not house.webs[0].live.sockets)


async def test_a_revoked_board_is_cut_in_time_when_the_message_is_lost(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "CREDENTIALS_EVERY", 0.1)
    monkeypatch.setattr(live, "CHECK_EVERY", 0.05)
    await house.web()
    device, auth = await house.wall_board()
    await house.board(1, auth=auth)
    await house.world.pool.execute("update devices set revoked_at = now() where id = $1", device)
    await until(lambda: not house.webs[1].live.sockets)


async def test_credentials_are_checked_while_redis_is_away(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "CREDENTIALS_EVERY", 0.1)
    monkeypatch.setattr(live, "CHECK_EVERY", 0.05)
    await house.web()
    device, auth = await house.wall_board()
    await house.board(1, auth=auth)

    async def away(_names: Any) -> Any:
        raise live.RedisError("away")

    monkeypatch.setattr(house.webs[1].publisher, "positions", away)
    await house.world.pool.execute("update devices set revoked_at = now() where id = $1", device)
    await until(lambda: not house.webs[1].live.sockets)


async def test_an_ended_session_is_cut_everywhere(house: House) -> None:
    await house.web()
    await house.board(0)
    await house.board(1)
    session = await house.world.pool.fetchval("select max(id) from sessions")
    await house.world.pool.execute("update sessions set revoked_at = now() where id = $1", session)
    for web in house.webs:
        await web.live._end_revoked()
        await until(lambda web=web: not web.live.sockets)  # type: ignore[misc]


# Commands over the socket


async def test_a_keyed_command_over_the_socket_is_done_once(house: House) -> None:
    await house.join(2)
    socket = await house.socket()
    ask = {"queue_id": house.queue, "desk_id": house.world.desks[0], "idempotency_key": "one-press"}
    first = await socket.call("call-next", ask)
    assert await socket.call("call-next", ask) == first
    assert len(await house.world.events(f"board:{house.queue}")) == 3
    other = await socket.call("call-next", {**ask, "desk_id": house.world.desks[1]})
    assert other["problem"]["code"] == "idempotency-key-reused"
    for key in (5, "", "x" * 201, "spaced out", "nul\0", {"a": 1}):
        assert (await socket.call("call-next", {**ask, "idempotency_key": key}))["problem"][
            "code"
        ] == "invalid-idempotency-key"


@pytest.mark.parametrize("name", ["no-such-thing", "call_next", "__init__", "subscribe ", "x" * 5000])
async def test_an_unknown_event_is_told_so(house: House, name: str) -> None:
    assert (await (await house.socket()).call(name, {}))["problem"]["code"] == "unknown-event"


@pytest.mark.parametrize("given", [5, "text", [], None, ({}, {}), ({"queue_id": 1}, 2)])
async def test_a_command_takes_one_object(house: House, given: Any) -> None:
    answer = await (await house.socket()).call("call-next", given)
    assert answer["problem"]["status"] == 422


async def test_text_that_postgresql_cannot_keep_is_the_senders_mistake(house: House) -> None:
    socket = await house.socket()
    answer = await socket.call("join-queue", {"queue_id": house.queue, "patient": {"name": "N\0ul"}})
    assert answer["problem"]["status"] == 422


# What boards have shown


async def marks(house: House) -> dict[str, Any]:
    rows = await house.world.publisher.redis.hgetall(keys(f"shown:{house.queue}")[1])
    return {key.decode(): {k: v for k, v in orjson.loads(row).items() if k != "at"} for key, row in rows.items()}


async def told(house: House, device: int, connected: bool, shown: int, spoken: int) -> None:
    """Return once staff are told exactly this of the board."""
    wanted = {"device": device, "name": "Entrance board", "connected": connected, "shown": shown, "spoken": spoken}

    async def fact() -> bool:
        return (await marks(house)).get(f"d:{device}") == wanted

    await eventually(fact)


async def shown(board: Board, version: int, spoken: bool = False) -> Any:
    return await board.sio.call("call-shown", {"stream": board.stream, "version": version, "spoken": spoken})


async def test_staff_see_how_far_each_board_has_shown_and_spoken(house: House) -> None:
    device, auth = await house.wall_board()
    staff = await house.board(stream=f"shown:{house.queue}")
    board = await house.board(auth=auth)
    await told(house, device, True, 0, 0)
    await board.reaches(await house.join(3))
    await shown(board, 3)
    await shown(board, 2, spoken=True)
    await shown(board, 1)
    await told(house, device, True, 3, 2)
    await until(lambda: staff.rows.get(f"d:{device}", {}).get("spoken") == 2)
    assert (await shown(board, 4))["problem"]["status"] == 422
    await board.sio.disconnect()
    await told(house, device, False, 3, 2)


async def test_only_a_board_that_follows_may_acknowledge(house: House) -> None:
    _, auth = await house.wall_board()
    bare, doctor = await house.socket(auth), await house.board()
    ask = {"stream": f"board:{house.queue}", "version": 0}
    assert (await bare.call("call-shown", ask))["problem"]["code"] == "not-allowed"
    assert (await doctor.sio.call("call-shown", ask))["problem"]["code"] == "not-allowed"


async def test_marks_never_go_back_whichever_process_a_board_is_at(house: House) -> None:
    await house.web()
    device, auth = await house.wall_board()
    last = await house.join(5)
    first = await house.board(0, auth=auth)
    await shown(first, 2, spoken=True)
    await told(house, device, True, 2, 2)
    second = await house.board(1, auth=auth)  # the first link is dead, and nobody has found out
    await shown(second, last, spoken=True)
    await told(house, device, True, last, last)
    await first.close()
    await until(lambda: not house.webs[0].live._shown)
    await told(house, device, True, last, last)
    again = await house.board(0, auth=auth)
    await shown(again, 1)
    await second.close()
    await until(lambda: not house.webs[1].live._shown and not house.webs[0].live._to_tell)
    await told(house, device, True, last, last)


async def test_marks_are_taken_up_by_a_new_process_and_told_anew_after_redis_was_emptied(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "CHECK_EVERY", 0.05)
    device, auth = await house.wall_board()
    staff = await house.board(stream=f"shown:{house.queue}")
    board = await house.board(auth=auth)
    await board.reaches(await house.join(2))
    await shown(board, 2)
    await told(house, device, True, 2, 0)
    await house.world.publisher.redis.flushall()
    await told(house, device, True, 2, 0)
    await until(lambda: staff.rows.get(f"d:{device}", {}).get("shown") == 2)
    await house.web()
    moved = await house.board(1, auth=auth)
    await shown(moved, 1)
    await told(house, device, True, 2, 0)


async def test_marks_are_told_anew_by_a_process_that_has_no_staff(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "CHECK_EVERY", 0.05)
    await house.web()
    device, auth = await house.wall_board()
    staff = await house.board(0, stream=f"shown:{house.queue}")
    board = await house.board(1, auth=auth)
    await board.reaches(await house.join(2))
    await shown(board, 2, spoken=True)
    await told(house, device, True, 2, 2)
    before = staff.epoch
    await house.world.publisher.redis.flushall()
    await until(lambda: staff.epoch != before and staff.rows.get(f"d:{device}", {}).get("spoken") == 2)


async def test_a_board_that_leaves_before_it_is_noted_is_not_taken_for_present(house: House) -> None:
    device, auth = await house.wall_board()
    for _ in range(5):
        await (await house.board(auth=auth)).close()
    await until(lambda: not house.webs[0].live._shown)
    await told(house, device, False, 0, 0)
