"""Who is faster: answers against the clock, cancellations against joiners, one wish against two doctors."""

import asyncio
import contextlib
from typing import Any

import asyncpg
import pytest

from server import errors, slots, waitlist
from server.access import SYSTEM
from server.store import Tx
from server.waitlist import commands, offering
from server.waitlist.commands import EXPIRE, OfOffer
from tests.clinic import account_of, book, left_of, patient_of, slots_of, specialty_of
from tests.test_waitlist import offer_to, state_of, waiting
from tests.test_waitlist_histories import MISCOUNTED
from tests.world import World, eventually

OPEN = "select count(*) from offers where state = 'open'"


async def either(*tries: Any) -> list[Any]:
    """What came of all of these at once: an answer, or the refusal's code."""

    async def told(one: Any) -> Any:
        try:
            return await one
        except errors.Refusal as refusal:
            return refusal.code

    return await asyncio.gather(*map(told, tries))


async def ending_now(world: World, entry: Any) -> int:
    """The offer of a place, whose time runs out this instant."""
    offer = await offer_to(world, entry)
    await world.pool.execute(
        "update offers set expires_at = now() + interval '30 milliseconds' where id = $1", offer["id"]
    )
    return int(offer["id"])


async def test_an_offer_is_accepted_or_expires_and_never_both(world: World) -> None:
    for _ in range(8):
        (slot,) = await slots_of(world)
        entry = await waiting(world)
        offer = await ending_now(world, entry)

        async def lapse(offer: int = offer) -> Any:
            await asyncio.sleep(0.03)
            return await world.store.execute(EXPIRE, SYSTEM, OfOffer(offer_id=offer))

        accepted, expired = await either(world.do("accept-offer", offer_id=offer), lapse())
        assert isinstance(accepted, str) != isinstance(expired, str), (accepted, expired)
        assert await state_of(world, entry) == ("waiting" if isinstance(accepted, str) else "booked")
        assert not await world.pool.fetch(MISCOUNTED)
        await world.pool.execute("update waitlist set state = 'left', ended_at = now() where state = 'waiting'")
        await world.pool.execute(LONG_PAST, slot)


LONG_PAST = """
update slots set open = false, starts_at = starts_at - interval '90 days' - make_interval(hours => id::integer),
    ends_at = ends_at - interval '90 days' - make_interval(hours => id::integer) where id = $1
"""


async def freed_and_joined(world: World) -> int:
    """Two cancel while six join; answers how many free seats somebody was left waiting for."""
    booked = [await book(world, [one]) for one in await slots_of(world, count=2)]
    patients = [await patient_of(world) for _ in range(6)]
    cancels = [world.do("cancel-appointment", appointment_id=one.appointment_id) for one in booked]
    joins = [waiting(world, one) for one in patients]
    await asyncio.gather(*joins[:3], *cancels, *joins[3:])
    free = int(await world.pool.fetchval("select sum(capacity - taken) from slots where open"))
    return min(free, int(await world.pool.fetchval("select count(*) from waitlist where state = 'waiting'")))


async def test_whoever_joins_while_a_seat_is_freed_is_offered_it(world: World) -> None:
    assert await freed_and_joined(world) == 0
    assert await world.pool.fetchval(OPEN) == 2 and not await world.pool.fetch(MISCOUNTED)


async def test_one_wish_is_offered_one_of_two_times_that_are_freed_at_once(world: World) -> None:
    specialty = await specialty_of(world, 0, 1)
    both = [await book(world, await slots_of(world, nth)) for nth in (0, 1)]
    entry = await waiting(world, specialty_id=specialty)
    await asyncio.gather(*(world.do("cancel-appointment", appointment_id=one.appointment_id) for one in both))
    assert await world.pool.fetchval(OPEN) == 1 and await state_of(world, entry) == "offered"


async def cancel_both(world: World) -> Any:
    """Two doctors' visits, called off at the same instant, for one who waits for either."""
    specialty = await specialty_of(world, 0, 1)
    both = [await book(world, await slots_of(world, nth)) for nth in (0, 1)]
    await waiting(world, specialty_id=specialty)
    cancels = (world.do("cancel-appointment", appointment_id=one.appointment_id) for one in both)
    return await asyncio.gather(*cancels, return_exceptions=True)


async def test_without_the_line_one_wish_would_be_offered_twice(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    met, here = asyncio.Event(), 0

    async def nobody_waits(tx: Any, institution_id: int) -> None:
        """Instead of the lock: wait until both have looked."""
        nonlocal here
        here += 1
        if here >= 2:
            met.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2):
                await met.wait()

    monkeypatch.setattr(offering, "hold_line", nobody_waits)
    failed = await cancel_both(world)
    # The schema alone keeps a wish from two offers then, and the second visit cannot be called off at all.
    assert any(isinstance(one, asyncpg.UniqueViolationError) for one in failed), failed


async def test_without_the_joiners_gates_a_freed_seat_is_forgotten(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    booked = await book(world, await slots_of(world))
    looked, freed = asyncio.Event(), asyncio.Event()
    gate, look = Tx.gate, offering.look

    async def gate_of_others(self: Tx, *streams: Any) -> None:
        """The gates of everybody but the joiner."""
        if asyncio.current_task() is not joining:
            await gate(self, *streams)

    async def look_early(tx: Tx, entry: Any) -> None:
        """The joiner looks while the seat is taken, and commits once it is free."""
        await look(tx, entry)
        looked.set()
        await freed.wait()

    monkeypatch.setattr(Tx, "gate", gate_of_others)
    monkeypatch.setattr(Tx, "must_hold", lambda self, *streams: None)
    monkeypatch.setattr(commands, "look", look_early)
    joining = asyncio.create_task(waiting(world, await patient_of(world)))
    await looked.wait()
    await world.do("cancel-appointment", appointment_id=booked.appointment_id)
    freed.set()
    assert (await joining).state == "waiting"
    assert await world.pool.fetchval("select sum(capacity - taken) from slots") == 1


async def test_a_locked_seat_is_nobodys_to_be_offered_until_the_lock_ends(world: World) -> None:
    (slot,) = await slots_of(world)
    held = await world.do("lock-slot", await account_of(world, await patient_of(world)), slot_id=slot)
    entry = await waiting(world)
    assert entry.state == "waiting" and await left_of(world, slot) == 1
    assert isinstance(world.store.locks, slots.Locks)
    await world.store.locks.void(held.token)

    async def served() -> bool:
        await waitlist.look_for_marked(world.store)
        return await offer_to(world, entry) is not None

    await eventually(served)
    assert await left_of(world, slot) == 0


async def test_whoever_books_a_seat_that_they_locked_is_not_overtaken(world: World) -> None:
    (slot,) = await slots_of(world)
    patient = await account_of(world, await patient_of(world))
    held = await world.do("lock-slot", patient, slot_id=slot)
    entry = await waiting(world)
    await world.do("book-appointment", patient, slot_ids=[slot], doctor_id=world.doctors[0], token=held.token)
    assert await state_of(world, entry) == "waiting" and not await world.pool.fetch(MISCOUNTED)
