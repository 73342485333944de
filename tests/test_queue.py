"""The life of tickets in a queue."""

from tests.world import World


async def test_the_first_to_arrive_is_called_first(world: World) -> None:
    queue = await world.queue()
    first, second = await world.join(queue), await world.join(queue)
    async with world.verify(f"board:{queue}", f"staff:{queue}"):
        called = await world.call_next(queue)
        await world.call_next(queue)
    assert called.ticket.token == first.token == "A001"
    assert second.place == 2
