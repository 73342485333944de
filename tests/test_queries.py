"""What can be asked about queues and tickets."""

import pytest

from server import errors
from tests.test_queue import step
from tests.world import World, refused


async def test_staff_see_the_queues_of_their_institution_page_by_page(world: World) -> None:
    foreign = await world.other()
    await foreign.queue()
    ids = [await world.queue(f"Queue {n}", owner=world.doctors[n % 2]) for n in range(5)]
    first = await world.ask("list-queues", limit=3)
    rest = await world.ask("list-queues", limit=3, cursor=first.next)
    assert [one.id for one in (*first.items, *rest.items)] == ids and rest.next is None
    assert [one.name for one in first.items[0].desks] == ["Room 1", "Room 2", "Room 3", "Room 4"]
    assert first.items[0].doctor == "Dr. Ames"
    mine = await world.ask("list-queues", "doctor")
    assert [one.id for one in mine.items if one.serves] == ids[::2]
    assert len((await world.ask("list-queues", "super_admin")).items) == 6


async def test_queues_are_listed_by_location(world: World) -> None:
    queue = await world.queue()
    await world.join(queue)
    [item] = (await world.ask("list-queues", location_id=world.location)).items
    assert (item.id, item.waiting, item.state) == (queue, 1, "open")
    assert (await world.ask("list-queues", location_id=world.location + 1)).items == []


async def test_a_queue_shows_everybody_in_order_at_the_boards_version(world: World) -> None:
    queue = await world.queue()
    await world.device()
    for urgency in ("routine", "emergency", "urgent"):
        await world.join(queue, urgency=urgency)
    view = await world.ask("show-queue", "doctor", queue_id=queue)
    assert [one.token for one in view.tickets if one.state == "waiting"] == ["A002", "A003", "A001"]
    assert [one.name for one in view.boards] == ["Entrance board"]
    assert view.board_version == (await world.events(f"board:{queue}"))[-1][0]
    assert view.queue.settings["order"] == view.queue.mode == "urgent_first"


async def test_history_goes_back_page_by_page_to_the_beginning(world: World) -> None:
    queue = await world.queue()
    joined = [await world.join(queue) for _ in range(3)]
    await world.call_next(queue)
    await world.do("undo", ticket_id=joined[0].ticket_id)
    items, cursor = [], None
    while True:
        page = await world.ask("queue-history", queue_id=queue, limit=2, **({"cursor": cursor} if cursor else {}))
        items += page.items
        cursor = page.next
        if cursor is None:
            break
    assert [one.version for one in items] == [5, 4, 3, 2, 1]
    assert [one.type for one in items][:2] == ["ticket-undone", "patient-called"]
    assert items[1].actor == world.actors["doctor"].key
    assert all("put" not in one.data and "drop" not in one.data for one in items)


async def test_a_cursor_is_good_for_its_own_list(world: World) -> None:
    one, other = await world.queue("One"), await world.queue("Other")
    for queue in (one, other):
        await world.join(queue), await world.join(queue)
    cursor = (await world.ask("queue-history", queue_id=one, limit=1)).next
    for wrong in (cursor, "!!", "AAAA"):
        await refused(errors.InvalidCursor, world.ask("queue-history", queue_id=other, cursor=wrong))


async def test_stats_count_the_local_day(still: World) -> None:
    queue = await still.queue()
    for path in ([], ["hold"], ["call"], ["call", "no-show"], ["cancel"]):
        await path_of(still, queue, path)
    stats = await still.ask("queue-stats", queue_id=queue)
    assert (stats.waiting, stats.called, stats.on_hold, stats.no_shows, stats.cancelled) == (1, 0, 1, 1, 1)
    assert (stats.served, str(stats.day)) == (1, "2026-03-02")
    still.forward(days=1)
    tomorrow = await still.ask("queue-stats", queue_id=queue)
    assert (tomorrow.waiting, tomorrow.served, tomorrow.no_shows) == (1, 0, 0)


async def path_of(world: World, queue: int, path: list[str]) -> None:
    joined = await world.join(queue)
    for name in path:
        await step(world, name, joined.ticket_id)


async def test_waits_of_the_day_are_from_joining_to_the_call(still: World) -> None:
    queue = await still.queue()
    empty = await still.ask("queue-stats", queue_id=queue)
    assert (empty.wait_mean_s, empty.wait_p90_s) == (None, None)
    for _ in range(11):
        await still.join(queue)
    for _ in range(11):
        await still.call_next(queue)
        still.forward(minutes=1)
    stats = await still.ask("queue-stats", queue_id=queue)
    assert stats.wait_mean_s == pytest.approx(300, abs=1) and stats.wait_p90_s == pytest.approx(540, abs=1)
    assert (stats.served, stats.called, stats.in_consultation) == (10, 1, 0)


async def test_a_ticket_shows_its_place_and_every_decision(still: World) -> None:
    queue = await still.queue()
    _, second = await still.join(queue), await still.join(queue)
    await still.do("prioritize", ticket_id=second.ticket_id, place=1, reason="Frail")
    await still.do("hold", ticket_id=second.ticket_id, reason="Toilet")
    held = await still.ask("show-ticket", ticket_id=second.ticket_id)
    await still.do("undo", ticket_id=second.ticket_id)
    view = await still.ask("show-ticket", ticket_id=second.ticket_id)
    assert (held.place, view.place, view.queue_id) == (None, 1, queue)
    assert [(one.kind, one.reason) for one in view.decisions] == [
        ("place", "Frail"),
        ("hold", "Toilet"),
        ("undo", None),
    ]


@pytest.mark.parametrize("name", ["show-queue", "queue-history", "queue-stats"])
async def test_a_queue_is_asked_about_by_those_who_work_it(world: World, name: str) -> None:
    queue, foreign = await world.queue(owner=world.doctors[0]), await world.other()
    await world.ask(name, "doctor", queue_id=queue)
    await refused(errors.NotAllowed, world.ask(name, "doctor2", queue_id=queue))
    await refused(errors.NotFound, world.ask(name, foreign.actors["admin"], queue_id=queue))


async def test_a_ticket_is_asked_about_by_those_who_work_its_queue(world: World) -> None:
    queue, foreign = await world.queue(owner=world.doctors[0]), await world.other()
    joined = await world.join(queue)
    for name, ask in (("show-ticket", {}), ("why-before", {"before": joined.ticket_id})):
        await refused(errors.NotAllowed, world.ask(name, "doctor2", ticket_id=joined.ticket_id, **ask))
        await refused(errors.NotFound, world.ask(name, foreign.actors["admin"], ticket_id=joined.ticket_id, **ask))
