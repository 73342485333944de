"""Taking a step back, where a finger slipped."""

from typing import Any

import pytest

from server import errors
from server.access import digest
from tests.test_queue import known_patient, state_of, step, streams
from tests.world import World, refused


async def shown(world: World, queue: int) -> dict[str, Any]:
    """The tickets of a queue as staff see them, but for what an undo cannot and need not restore."""
    rows = await world.fresh_rows(f"staff:{queue}")
    return {key: {**row, "undo": None} for key, row in rows.items() if key.startswith("t:")}


UNDONE = {
    "call": [],
    "start": ["call"],
    "complete": ["call", "start"],
    "no-show": ["call"],
    "hold": [],
    "prioritize": [],
    "cancel": [],
    "return": ["hold"],
}
"""Every step that can be taken back in its own queue, and how the ticket gets where it is allowed."""


@pytest.mark.parametrize("name", UNDONE)
async def test_a_step_taken_back_leaves_everything_as_it_was(still: World, name: str) -> None:
    queue = await still.queue()
    joined = [await still.join(queue) for _ in range(3)][1]
    for before in UNDONE[name]:
        await step(still, before, joined.ticket_id)
    was, order = await shown(still, queue), await still.order(queue)
    after = await step(still, name, joined.ticket_id)
    if name != "cancel":
        assert after.ticket.undo == name
    async with still.verify(*streams(queue)):
        undone = await still.do("undo", ticket_id=joined.ticket_id)
    assert (await shown(still, queue), await still.order(queue)) == (was, order)
    assert undone.ticket.undo is None
    assert (await still.events(f"board:{queue}"))[-1][2]["undid"] == name


@pytest.mark.parametrize("name", ["call-next", "no-show", "return-ticket"])
async def test_undoing_a_return_or_a_recalled_call_goes_back_one_step(still: World, name: str) -> None:
    queue = await still.queue()
    joined, _ = await still.join(queue), await still.join(queue)
    await still.call_next(queue)
    expected = "waiting"
    if name != "call-next":
        await still.do("no-show", ticket_id=joined.ticket_id)
        expected = "called"
    else:
        await still.do("recall", ticket_id=joined.ticket_id)
    if name == "return-ticket":
        await still.do(name, ticket_id=joined.ticket_id, after=1)
        expected = "no_show"
    async with still.verify(*streams(queue)):
        await still.do("undo", ticket_id=joined.ticket_id)
    assert await state_of(still, joined.ticket_id) == expected


async def test_undoing_call_next_takes_back_whom_it_completed(still: World) -> None:
    queue = await still.queue()
    first, second = await still.join(queue), await still.join(queue)
    await still.call_next(queue)
    await still.do("start", ticket_id=first.ticket_id)
    was = await shown(still, queue)
    await still.call_next(queue)
    async with still.verify(*streams(queue)):
        await still.do("undo", "doctor", ticket_id=second.ticket_id)
    assert await shown(still, queue) == was
    assert [await state_of(still, one.ticket_id) for one in (first, second)] == ["in_consultation", "waiting"]
    await still.do("complete", ticket_id=first.ticket_id)
    assert (await still.call_next(queue)).ticket.token == second.token


async def test_undoing_the_completed_one_alone_is_refused_while_its_desk_has_another(still: World) -> None:
    queue = await still.queue()
    first, second = await still.join(queue), await still.join(queue)
    await still.call_next(queue), await still.call_next(queue)
    await refused(errors.DeskBusy, still.do("undo", ticket_id=first.ticket_id))
    await still.do("no-show", ticket_id=second.ticket_id)
    async with still.verify(*streams(queue)):
        await still.do("undo", ticket_id=first.ticket_id)
    assert await state_of(still, first.ticket_id) == "called"


async def test_a_fresh_ticket_of_the_patient_forbids_the_undo_of_the_cancelled_one(still: World) -> None:
    queue, patient = await still.queue(), await known_patient(still)
    first = await still.do("join-queue", queue_id=queue, patient_id=patient)
    await still.do("cancel", ticket_id=first.ticket_id)
    await still.do("join-queue", queue_id=queue, patient_id=patient)
    await refused(errors.AlreadyWaiting, still.do("undo", ticket_id=first.ticket_id))


async def test_a_step_is_taken_back_once_and_within_a_quarter_of_an_hour(still: World) -> None:
    queue = await still.queue()
    joined = await still.join(queue)
    refusal = await refused(errors.NothingToUndo, still.do("undo", ticket_id=joined.ticket_id))
    assert refusal.extra["state"] == "waiting"
    await still.do("hold", ticket_id=joined.ticket_id)
    still.forward(minutes=14, seconds=59)
    await still.do("undo", ticket_id=joined.ticket_id)
    await refused(errors.NothingToUndo, still.do("undo", ticket_id=joined.ticket_id))
    await still.do("hold", ticket_id=joined.ticket_id)
    still.forward(minutes=15, seconds=1)
    refusal = await refused(errors.NothingToUndo, still.do("undo", ticket_id=joined.ticket_id))
    assert refusal.extra["state"] == "on_hold"


async def test_a_place_by_hand_is_found_again_after_a_mistaken_call(still: World) -> None:
    queue = await still.queue()
    _, _, third, fourth = [await still.join(queue) for _ in range(4)]
    for one in (third, fourth):
        await still.do("prioritize", ticket_id=one.ticket_id, place=2, reason="By hand")
    order = await still.order(queue)
    assert order == ["A001", "A004", "A003", "A002"]
    await still.do("call-ticket", ticket_id=fourth.ticket_id, desk_id=still.desks[0], reason="Slip")
    await still.do("undo", ticket_id=fourth.ticket_id)
    assert await still.order(queue) == order
    await still.do("hold", ticket_id=fourth.ticket_id)
    await still.do("return-ticket", ticket_id=fourth.ticket_id)
    assert await still.order(queue) == order


async def test_an_emergency_that_arrived_meanwhile_stays_ahead_of_whoever_an_undo_brings_back(still: World) -> None:
    queue = await still.queue()
    first = await still.join(queue)
    await still.call_next(queue)
    emergency = await still.join(queue, urgency="emergency")
    await still.do("undo", ticket_id=first.ticket_id)
    assert await still.order(queue) == [emergency.token, first.token]


# Transfers


@pytest.mark.parametrize("before", [[], ["hold"], ["call"], ["call", "start"]])
async def test_an_undone_transfer_goes_on_where_it_was_with_its_link_and_token(still: World, before: list[str]) -> None:
    queue, other = await still.queue(), await still.queue("Other")
    joined = await still.join(queue)
    secret = joined.link.rpartition("/")[2]
    for name in before:
        await step(still, name, joined.ticket_id)
    was = await shown(still, queue)
    moved = await still.do("transfer", ticket_id=joined.ticket_id, queue_id=other)
    async with still.verify(*streams(queue), *streams(other)):
        undone = await still.do("undo", ticket_id=moved.ticket.ticket)
    assert (undone.ticket.ticket, undone.queue_id) == (joined.ticket_id, queue)
    assert await shown(still, queue) == was and await shown(still, other) == {}
    assert await holder_of(still, secret) == joined.ticket_id


async def holder_of(world: World, secret: str) -> int:
    return int(await world.pool.fetchval("select id from tickets where secret_hash = $1", digest(secret)))


async def test_the_doctor_who_transferred_by_mistake_takes_it_back_by_the_old_ticket(still: World) -> None:
    queue = await still.queue(owner=still.doctors[0])
    other = await still.queue("Other", owner=still.doctors[1])
    joined = await still.join(queue)
    await still.do("transfer", "doctor", ticket_id=joined.ticket_id, queue_id=other)
    undone = await still.do("undo", "doctor", ticket_id=joined.ticket_id)
    assert undone.ticket.ticket == joined.ticket_id and undone.ticket.state == "waiting"


async def test_a_transfer_that_went_on_is_not_taken_back(still: World) -> None:
    queue, other = await still.queue(), await still.queue("Other")
    joined = await still.join(queue)
    moved = await still.do("transfer", ticket_id=joined.ticket_id, queue_id=other)
    await still.call_next(other)
    await refused(errors.NothingToUndo, still.do("undo", ticket_id=joined.ticket_id))
    await still.do("undo", ticket_id=moved.ticket.ticket)
    await refused(errors.NothingToUndo, still.do("undo", ticket_id=moved.ticket.ticket))


async def test_a_foreigner_takes_no_transfer_back(still: World) -> None:
    queue, other, foreign = await still.queue(), await still.queue("Other"), await still.other()
    joined = await still.join(queue)
    await still.do("transfer", ticket_id=joined.ticket_id, queue_id=other)
    await refused(errors.NotFound, still.do("undo", foreign.actors["admin"], ticket_id=joined.ticket_id))


# What the wait estimate remembers


async def learnt(world: World, queue: int) -> Any:
    pace = await world.pool.fetchval("select pace from queues where id = $1", queue)
    turns = await world.pool.fetch("select desk_id, called_at, freed_at from serving where queue_id = $1", queue)
    return pace, [tuple(row) for row in turns]


async def test_an_undone_call_leaves_the_pace_and_the_desks_turn_as_they_were(still: World) -> None:
    queue = await still.queue()
    _, _, third, *_ = [await still.join(queue) for _ in range(5)]
    await still.call_next(queue)
    still.forward(minutes=7)
    await still.call_next(queue)
    was = await learnt(still, queue)
    still.forward(minutes=5)
    await still.call_next(queue)
    assert await learnt(still, queue) != was
    await still.do("undo", ticket_id=third.ticket_id)
    assert await learnt(still, queue) == was


async def test_an_undone_call_is_forgotten_though_another_desk_called_since(still: World) -> None:
    queue = await still.queue()
    joined = [await still.join(queue) for _ in range(6)]
    for desk, minutes in ((0, 0), (1, 0), (0, 7), (1, 4)):
        still.forward(minutes=minutes)
        await still.call_next(queue, desk)
    await still.do("undo", ticket_id=joined[2].ticket_id)
    pace, _ = await learnt(still, queue)
    assert '"days": [[660]]' in pace


@pytest.mark.parametrize("name", ["complete", "no-show", "hold", "cancel", "return", "transfer"])
async def test_undoing_whatever_freed_a_desk_takes_the_desk_again(still: World, name: str) -> None:
    queue, other = await still.queue(), await still.queue("Other")
    joined, _ = await still.join(queue), await still.join(queue)
    await still.call_next(queue)
    was = await learnt(still, queue)
    still.forward(minutes=3)
    await step(still, name, joined.ticket_id, other)
    assert (await learnt(still, queue))[1][0][2] is not None
    await still.do("undo", ticket_id=joined.ticket_id)
    assert await learnt(still, queue) == was
