"""What a queue learns of its turns from its calls, and the waits that it tells."""

import json
from typing import Any

import pytest

from server import queue as slice_
from server.access import SYSTEM
from server.queue import RefreshWaits
from tests.test_queue import step, streams
from tests.world import World


async def gaps(world: World, queue: int) -> list[list[int]]:
    """The gaps that the queue remembers, by day, in minutes."""
    pace = json.loads(await world.pool.fetchval("select pace from queues where id = $1", queue))
    return [[round(seconds / 60) for seconds in day] for day in pace.get("days", [])]


async def board(world: World, queue: int) -> dict[str, Any]:
    return dict((await world.fresh_rows(f"board:{queue}"))["queue"])


async def several(world: World, queue: int, count: int) -> list[Any]:
    return [await world.join(queue) for _ in range(count)]


async def refresh(world: World, queue: int) -> None:
    await world.store.execute(slice_.REFRESH_WAITS, SYSTEM, RefreshWaits(queue_id=queue))


# What is learnt


async def test_a_gap_is_learnt_from_each_call_but_a_desks_first_of_the_day(still: World) -> None:
    queue = await still.queue()
    await several(still, queue, 6)
    for minutes in (0, 7, 11):
        still.forward(minutes=minutes)
        await still.call_next(queue)
    assert await gaps(still, queue) == [[7, 11]]
    still.forward(days=1)
    await still.call_next(queue)
    still.forward(minutes=9)
    await still.call_next(queue)
    assert await gaps(still, queue) == [[7, 11], [9]]


async def test_each_desk_has_its_own_turns(still: World) -> None:
    queue = await still.queue()
    await several(still, queue, 4)
    for desk, minutes in ((0, 0), (1, 4), (0, 6), (1, 10)):
        still.forward(minutes=minutes)
        await still.call_next(queue, desk)
    assert await gaps(still, queue) == [[10, 16]]


async def test_time_in_which_nobody_waited_is_left_out(still: World) -> None:
    queue = await still.queue()
    first = await still.join(queue)
    await still.call_next(queue)
    still.forward(minutes=8)
    await still.do("complete", ticket_id=first.ticket_id)
    still.forward(minutes=30)
    await still.join(queue)
    still.forward(minutes=1)
    await still.call_next(queue)
    assert await gaps(still, queue) == [[9]]


async def test_a_break_while_somebody_waits_counts_and_a_pause_of_the_queue_does_not(still: World) -> None:
    learnt = []
    for name in ("break", "pause"):
        queue = await still.queue(name)
        first, _ = await several(still, queue, 2)
        desk = 0 if name == "break" else 1
        await still.call_next(queue, desk)
        still.forward(minutes=8)
        await still.do("complete", ticket_id=first.ticket_id)
        if name == "pause":
            await still.do("set-queue-state", queue_id=queue, state="paused")
        still.forward(minutes=20)
        if name == "pause":
            await still.do("set-queue-state", queue_id=queue, state="open")
        still.forward(minutes=1)
        await still.call_next(queue, desk)
        learnt.append(await gaps(still, queue))
    assert learnt == [[[29]], [[9]]]


@pytest.mark.parametrize("name", ["complete", "no-show", "hold", "return", "transfer", "cancel"])
async def test_whatever_ends_a_turn_frees_the_desk_then(still: World, name: str) -> None:
    queue, other = await still.queue(), await still.queue("Other")
    first = await still.join(queue)
    await still.call_next(queue)
    still.forward(minutes=6)
    await step(still, name, first.ticket_id, other)
    if name in ("return",):
        await still.do("cancel", ticket_id=first.ticket_id)
    still.forward(minutes=30)
    await still.join(queue)
    still.forward(minutes=2)
    await still.call_next(queue)
    assert await gaps(still, queue) == [[8]]


async def test_a_ticket_that_came_back_counts_as_waiting_since_then(still: World) -> None:
    queue = await still.queue()
    first, second = await several(still, queue, 2)
    await still.do("hold", ticket_id=second.ticket_id)
    await still.call_next(queue)
    still.forward(minutes=5)
    await still.do("complete", ticket_id=first.ticket_id)
    still.forward(minutes=40)
    await still.do("return-ticket", ticket_id=second.ticket_id)
    still.forward(minutes=3)
    await still.call_next(queue)
    assert await gaps(still, queue) == [[8]]


# What is told


async def test_waits_are_told_for_everybody_who_waits_and_whoever_comes_next(still: World) -> None:
    queue = await still.queue()
    for waiting in range(1, 4):
        joined = await still.join(queue)
        waits = (await board(still, queue))["waits"]
        assert len(waits) == waiting + 1
        assert joined.wait == tuple(waits[joined.place - 1])
        assert waits == sorted(waits) and all(middle <= ninth for middle, ninth in waits)
    await still.call_next(queue)
    assert len((await board(still, queue))["waits"]) == 3


async def test_at_most_fifty_places_are_told(still: World) -> None:
    queue = await still.queue()
    joined = [await still.join(queue) for _ in range(52)]
    assert len((await board(still, queue))["waits"]) == 50
    assert joined[49].wait is not None and joined[50].wait is None


async def test_no_waits_where_they_are_not_shown_or_the_queue_is_closed(still: World) -> None:
    hidden = await still.queue("Hidden", show_waits=False)
    assert (await still.join(hidden)).wait is None
    row = await board(still, hidden)
    assert (row["waits"], row["show_waits"]) == ([], False)
    queue = await still.queue()
    await still.join(queue)
    await still.do("set-queue-state", queue_id=queue, state="closed")
    assert (await board(still, queue))["waits"] == []


async def test_a_consultation_that_overruns_lengthens_the_waits_as_told_anew(still: World) -> None:
    queue = await still.queue()
    first, *_ = await several(still, queue, 3)
    await still.call_next(queue)
    await still.do("start", ticket_id=first.ticket_id)
    begins = (await board(still, queue))["waits"][0]
    still.forward(minutes=40)
    async with still.verify(*streams(queue)):
        await refresh(still, queue)
    overrun = (await board(still, queue))["waits"][0]
    assert overrun[0] > begins[0] - 40 * 60 and overrun[1] > 0
    assert (await still.events(f"board:{queue}"))[-1][1] == "queue-updated"


async def test_a_second_desk_shortens_the_waits_until_it_has_been_idle_for_an_hour(still: World) -> None:
    queue = await still.queue()
    joined = await several(still, queue, 12)
    await still.call_next(queue, 0)
    alone = await board(still, queue)
    await still.call_next(queue, 1)
    both = await board(still, queue)
    assert (alone["desks"], both["desks"]) == (1, 2)
    assert both["waits"][8][0] < alone["waits"][8][0]
    await still.do("complete", ticket_id=joined[1].ticket_id)
    still.forward(minutes=61)
    async with still.verify(*streams(queue)):
        await refresh(still, queue)
    assert (await board(still, queue))["desks"] == 1
    [serving] = (await still.ask("show-queue", queue_id=queue)).queue.serving
    assert (serving.desk, serving.doctor) == ("Room 1", "Dr. Ames")


async def test_a_quick_clinic_is_told_shorter_waits_than_a_slow_one(still: World) -> None:
    told = []
    for desk, (name, minutes) in enumerate((("quick", 5), ("slow", 25))):
        queue = await still.queue(name)
        await several(still, queue, 20)
        for _ in range(15):
            still.forward(minutes=minutes)
            await still.call_next(queue, desk)
        told.append((await board(still, queue))["waits"][4][0])
    quick, slow = told
    assert quick * 2 < slow


async def test_people_cannot_refresh_waits_by_an_address(still: World) -> None:
    assert slice_.REFRESH_WAITS.name not in {command.name for command in slice_.COMMANDS}
