"""One command, one transaction: gates, versions, and replies that a retry gets again."""

import asyncio
from typing import Any

import pytest

from server import errors, events, store
from server.events import BoardTicket, QueueUpdated, StaffBoard, TicketChanged
from server.store import Tx
from tests.world import World, refused, versions


async def kept_replies(world: World) -> int:
    return int(await world.pool.fetchval("select count(*) from replies"))


# Idempotency


async def test_a_retry_with_the_same_key_gets_the_same_reply_and_changes_nothing(world: World) -> None:
    queue = await world.queue()
    await world.join(queue), await world.join(queue)
    first = await world.call_next(queue, key="press-1")
    happened = await world.events(f"board:{queue}")
    again = await world.call_next(queue, key="press-1")
    assert again == first and await world.events(f"board:{queue}") == happened
    assert (await world.call_next(queue, key="press-2")).ticket.token == "A002"


async def test_a_key_of_another_request_is_refused(world: World) -> None:
    queue, other = await world.queue(), await world.queue("Other")
    await world.join(queue)
    called = await world.call_next(queue, key="press")
    await refused(errors.KeyReused, world.call_next(queue, 1, key="press"))
    await refused(errors.KeyReused, world.call_next(other, key="press"))
    await refused(errors.KeyReused, world.do("undo", "doctor", "press", ticket_id=called.ticket.ticket))


async def test_a_key_is_its_actors_own(world: World) -> None:
    queue = await world.queue()
    await world.join(queue), await world.join(queue)
    calls = [await world.call_next(queue, desk, actor, "same") for desk, actor in enumerate(("doctor", "doctor2"))]
    assert [one.ticket.token for one in calls] == ["A001", "A002"]


@pytest.mark.parametrize("waiting", [1, 8])
async def test_retries_that_race_with_one_key_are_one_call(world: World, waiting: int) -> None:
    queue = await world.queue()
    for _ in range(waiting):
        await world.join(queue)
    replies = await asyncio.gather(*(world.call_next(queue, key="press") for _ in range(8)))
    assert len({one.model_dump_json() for one in replies}) == 1
    kinds = [kind for _, kind, _ in await world.events(f"board:{queue}")]
    assert kinds.count("patient-called") == 1 and await kept_replies(world) == 1


async def test_a_refusal_keeps_no_reply_so_the_same_key_may_succeed_later(world: World) -> None:
    queue = await world.queue()
    await refused(errors.QueueEmpty, world.call_next(queue, key="press"))
    assert await kept_replies(world) == 0
    await world.join(queue)
    assert (await world.call_next(queue, key="press")).ticket.token == "A001"


async def test_a_reply_that_holds_a_secret_is_never_kept(world: World) -> None:
    await refused(errors.InvalidKey, world.do("open-pairing", "receptionist", "key"))
    assert await kept_replies(world) == 0


async def test_a_kept_request_is_a_hash_since_it_may_name_a_person(world: World) -> None:
    queue = await world.queue()
    await world.do("join-queue", key="k", queue_id=queue, patient={"name": "Canary Bird"})
    request = await world.pool.fetchval("select request from replies")
    assert len(request) == 32


# Gates and versions


async def press_together(world: World, queue: int) -> list[str]:
    for _ in range(12):
        await world.join(queue)
    calls = await asyncio.gather(
        *(world.call_next(queue, desk) for _ in range(3) for desk in range(4)), return_exceptions=True
    )
    return [one.ticket.token for one in calls if not isinstance(one, BaseException)]


async def test_behind_the_gate_everybody_is_called_once_and_versions_have_no_gap(world: World) -> None:
    queue = await world.queue()
    called = await press_together(world, queue)
    assert len(called) == len(set(called)) == 12
    for stream in (f"board:{queue}", f"staff:{queue}"):
        numbers = versions(await world.events(stream))
        assert numbers == list(range(1, len(numbers) + 1))


async def test_without_the_gate_somebody_is_called_twice_or_a_press_fails(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "TAKE_GATES", store.TAKE_GATES.replace("for update", ""))
    for attempt in range(20):
        called = await press_together(world, await world.queue(f"Queue {attempt}"))
        if len(called) != 12 or len(set(called)) != 12:
            return
        await world.pool.execute("update tickets set state = 'completed'")
    pytest.fail("the race that the gate prevents did not appear")


async def test_transfers_that_cross_each_other_never_deadlock(world: World) -> None:
    one, other = await world.queue("One"), await world.queue("Other")
    pairs = [(await world.join(one), other) for _ in range(8)] + [(await world.join(other), one) for _ in range(8)]
    ways = pairs[::2] + pairs[1::2]
    moves = (world.do("transfer", ticket_id=ticket.ticket_id, queue_id=queue) for ticket, queue in ways)
    moved = await asyncio.gather(*moves)
    assert len(moved) == 16
    assert len(await world.order(one)) == len(await world.order(other)) == 8


async def test_a_refused_command_leaves_nothing_behind(world: World) -> None:
    queue, patient = await world.queue(max_length=1), {"name": "Nobody"}
    await world.join(queue)
    before = await world.pool.fetchval("select count(*) from patients"), await world.events(f"board:{queue}")
    await refused(errors.QueueFull, world.do("join-queue", queue_id=queue, patient=patient))
    await refused(errors.NotFound, world.do("transfer", ticket_id=1, queue_id=2**40))
    assert (await world.pool.fetchval("select count(*) from patients"), await world.events(f"board:{queue}")) == before


async def test_gates_are_taken_at_once_and_must_exist(world: World) -> None:
    queue, other = await world.queue(), await world.queue("Other")
    async with world.store.transaction(world.actors["doctor"]) as (tx, _):
        await tx.gate(events.board(queue))
        with pytest.raises(RuntimeError, match="at once"):
            await tx.gate(events.board(other))
    async with world.store.transaction(world.actors["doctor"]) as (tx, _):
        with pytest.raises(errors.NotFound):
            await tx.gate(events.board(queue), events.board(2**40))


async def test_a_stream_takes_nothing_but_its_own_rows_and_events(world: World) -> None:
    staff_board = StaffBoard(device=1, name="Entrance")
    board_ticket = BoardTicket(ticket=1, token="A001", state=events.State.waiting, rank=0, desk=None, call=None)

    class Named(BoardTicket):
        name: str = "Canary"

    named: Any = Named(**board_ticket.model_dump())
    async with world.pool.acquire() as conn:
        tx = Tx(conn, world.actors["doctor"], world.store.now(), fixed=False)  # type: ignore[arg-type]
        for row in (staff_board, named):
            with pytest.raises(TypeError, match="no rows"):
                tx.append(events.board(1), QueueUpdated(), put=[row])
        with pytest.raises(TypeError, match="no events"):
            tx.append(events.board(1), TicketChanged(ticket=1, token="A001"))
        assert tx.append(events.board(1), QueueUpdated(), put=[board_ticket]) == 0


async def test_only_the_declared_roles_may(world: World) -> None:
    queue = await world.queue()
    for role, refusal in (
        ("device", errors.NotAllowed),
        ("patient", errors.NotAllowed),
        ("pairing", errors.NotAllowed),
    ):
        actor = store.Actor(store.Role(role), id=1, institution_id=world.institution)
        await refused(refusal, world.call_next(queue, actor=actor))
        await refused(refusal, world.ask("list-queues", actor))
    await refused(errors.NotAuthenticated, world.call_next(queue, actor=store.Actor(store.Role.anonymous)))


async def test_what_was_committed_is_published_in_order(world: World) -> None:
    queue = await world.queue()
    for _ in range(5):
        await world.join(queue)
    await world.published()
    assert not await world.pool.fetchval("select exists (select from events where published_at is null)")


async def test_a_lost_database_is_unavailable_and_nothing_unexpected(world: World) -> None:
    queue = await world.queue()
    await world.pool.close()
    refusal = await refused(errors.Unavailable, world.join(queue))
    assert refusal.retryable is True
    await refused(errors.Unavailable, world.ask("list-queues"))
