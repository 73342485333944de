"""A slot is whose who touched it first, for a while, and everybody is told; who it is, nobody is."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest

from server import access, errors, publish
from server.access import Actor, Origin, Role
from server.embedded import start_redis
from server.events import reduce
from server.publish import keys
from server.slots import Locks, holding, scripts
from server.slots.locks import Bound
from tests.world import World, eventually, opened

DAY = "2026-03-09"
MINUTE = timedelta(minutes=1)


async def slots(world: World, count: int = 1, *, doctor: int = 0, day: str = DAY, **ask: Any) -> list[int]:
    """Slots of a quarter of an hour each from nine o'clock on; answers their ids."""
    first, every = "09:00", ask.pop("every", 15)
    ends = f"{9 + count * every // 60:02}:{count * every % 60:02}"
    place = ask.pop("location", world.location)
    told = {"slot_minutes": 15, "between_minutes": every - 15, "starts": first, "ends": ends, **ask}
    made = await world.do(
        "add-slots",
        doctor_id=world.doctors[doctor],
        location_id=place,
        first_day=day,
        last_day=day,
        **told,
    )
    return list(made.slot_ids)


def patient(world: World, number: int = 1) -> Actor:
    """Somebody who books for themselves."""
    return Actor(Role.patient, number, world.institution, patient_id=number)


async def lock(world: World, slot: int, who: int | str = 1, **ask: Any) -> Any:
    """A patient, or somebody who works there, locks a slot."""
    actor = who if isinstance(who, str) else patient(world, who)
    return await world.do("lock-slot", actor, slot_id=slot, **ask)


async def told(world: World, doctor: int = 0) -> list[tuple[str, dict[str, Any]]]:
    """Every event of a doctor's locks, in order: its type and its facts."""
    return _facts(await world.publisher.redis.xrange(keys(f"locks:{world.doctors[doctor]}")[2]))


def _facts(entries: Any) -> list[tuple[str, dict[str, Any]]]:
    envelopes = [orjson.loads(fields[b"e"]) for _, fields in entries]
    assert [one["version"] for one in envelopes] == list(range(1, len(envelopes) + 1))
    return [(one["type"], one["data"]) for one in envelopes]


async def types(world: World, doctor: int = 0) -> list[str]:
    return [type_ for type_, _ in await told(world, doctor)]


async def rows(world: World, doctor: int = 0) -> dict[str, Any]:
    """What a stream of locks shows, which is what its events add up to."""
    _, view_key, log_key = keys(f"locks:{world.doctors[doctor]}")
    # Both at one instant: locks may be ending.
    async with world.publisher.redis.pipeline(transaction=True) as both:
        view, entries = await both.hgetall(view_key).xrange(log_key).execute()
    shown = {key.decode(): orjson.loads(row) for key, row in view.items()}
    added: dict[str, Any] = {}
    for _, data in _facts(entries):
        added = reduce(added, data)
    assert added == shown
    return shown


async def nothing_left(world: World) -> None:
    """Hold that Redis has nothing more of any lock than that it was told."""
    found = {key.decode() async for key in world.publisher.redis.scan_iter("cb:{locks}:*")}
    assert {key for key in found if ":meta" not in key and ":log" not in key and ":booked:" not in key} <= {scripts.RUN}


# One lock


async def test_lock_shows_until_when_and_never_who(still: World) -> None:
    [slot] = await slots(still)
    held = await lock(still, slot)
    assert held.until - still.clock.now < 5 * MINUTE + timedelta(seconds=1)  # type: ignore[union-attr]
    [(type_, data)] = await told(still)
    until = data["until"]
    assert (type_, data["slots"]) == ("slot-locked", [slot])
    assert data.keys() == {"slots", "until", "put"}
    assert await rows(still) == {f"s:{slot}": {"slot": slot, "until": [until]}}
    everything = b"".join([repr(await still.publisher.redis.hgetall(scripts.HELD)).encode()])
    assert held.token.encode() not in everything and b"user:1" not in everything


async def test_locked_slot_is_refused_with_the_time_and_the_nearest_others(still: World) -> None:
    ids = await slots(still, 3)
    held = await lock(still, ids[1])
    with pytest.raises(errors.SlotLocked) as refused:
        await lock(still, ids[1], 2)
    assert refused.value.extra["until"] == held.until
    assert {tuple(one["slot_ids"]) for one in refused.value.extra["alternatives"]} == {(ids[0],), (ids[2],)}


async def test_slot_has_as_many_locks_as_seats(still: World) -> None:
    [slot] = await slots(still, capacity=3)
    for number in (1, 2, 3):
        await lock(still, slot, number)
    with pytest.raises(errors.SlotLocked):
        await lock(still, slot, 4)
    assert len((await rows(still))[f"s:{slot}"]["until"]) == 3


async def test_patient_has_one_lock_and_staff_several(still: World) -> None:
    ids = await slots(still, 3)
    first = await lock(still, ids[0])
    await lock(still, ids[1])
    assert await types(still) == ["slot-locked", "slot-unlocked", "slot-locked"]
    assert not await still.store.locks.holds(first.token, [ids[0]])  # type: ignore[union-attr]
    await lock(still, ids[0], "receptionist")
    await lock(still, ids[2], "receptionist")
    assert set(await rows(still)) == {f"s:{one}" for one in ids}


async def test_refused_lock_leaves_the_former_one(still: World) -> None:
    ids = await slots(still, 2)
    mine = await lock(still, ids[0])
    await lock(still, ids[1], 2)
    with pytest.raises(errors.SlotLocked):
        await lock(still, ids[1])
    assert await still.store.locks.holds(mine.token, [ids[0]])  # type: ignore[union-attr]


async def test_touching_the_same_slot_again_begins_anew(still: World) -> None:
    [slot] = await slots(still)
    first, again = await lock(still, slot), await lock(still, slot)
    assert first.token != again.token
    assert len((await rows(still))[f"s:{slot}"]["until"]) == 1


async def test_longer_visit_locks_all_of_its_slots_or_none(still: World) -> None:
    ids = await slots(still, 5)
    held = await lock(still, ids[0], also=ids[1:3])
    assert held.slot_ids == ids[:3]
    with pytest.raises(errors.SlotLocked):
        await lock(still, ids[3], 2, also=[ids[2]])
    with pytest.raises(errors.SlotsApart):
        await lock(still, ids[0], also=[ids[4]])
    await still.do("unlock-slot", patient(still), slot_id=ids[2], token=held.token)
    assert await rows(still) == {}
    await nothing_left(still)


async def test_lock_is_extended_once(still: World) -> None:
    [slot] = await slots(still)
    held = await lock(still, slot)
    longer = await still.do("extend-lock", patient(still), slot_id=slot, token=held.token)
    assert (longer.until - held.until, longer.extended) == (5 * MINUTE, True)
    with pytest.raises(errors.LockExtended):
        await still.do("extend-lock", patient(still), slot_id=slot, token=held.token)
    still.forward(minutes=9)
    assert await still.store.locks.holds(held.token, [slot])  # type: ignore[union-attr]


async def test_only_its_holder_extends_and_releases(still: World) -> None:
    [slot] = await slots(still)
    held = await lock(still, slot)
    with pytest.raises(errors.LockLost):
        await still.do("extend-lock", patient(still, 2), slot_id=slot, token=held.token)
    assert not (await still.do("unlock-slot", patient(still, 2), slot_id=slot, token=held.token)).ended
    assert (await still.do("unlock-slot", patient(still), slot_id=slot, token=held.token)).ended


async def test_late_release_never_frees_a_fresh_lock(still: World) -> None:
    [slot] = await slots(still)
    old = await lock(still, slot)
    still.forward(minutes=6)
    fresh = await lock(still, slot, 2)
    assert not (await still.do("unlock-slot", patient(still), slot_id=slot, token=old.token)).ended
    still.store.locks.let_go([old.token])  # type: ignore[union-attr]
    await asyncio.gather(*still.store.locks._ending)  # type: ignore[union-attr]
    assert await still.store.locks.holds(fresh.token, [slot])  # type: ignore[union-attr]


async def test_booking_releases_what_it_was_given(still: World) -> None:
    [slot] = await slots(still)
    held = await lock(still, slot)
    async with still.store.transaction(patient(still)) as (tx, _):
        tx.released.append(held.token)

    async def free() -> bool:
        return not await rows(still)

    await eventually(free)
    assert (await told(still))[-1][1]["expired"] is False


async def test_lock_counted_before_a_booking_and_taken_after_it_looks_again(still: World) -> None:
    [slot] = await slots(still)
    locks = still.store.locks
    assert isinstance(locks, Locks)
    held = await lock(still, slot)
    locks.let_go([held.token])
    await asyncio.gather(*locks._ending)
    *_, look_again = await locks.lock(still.doctors[0], {slot: 1}, MINUTE, [Bound.of_person("user:2", 8)], True)
    assert look_again
    await still.pool.execute("update slots set taken = 1 where id = $1", slot)
    assert await holding._overtaken(still.store, patient(still, 2), locks, still.doctors[0], [slot])


# What cannot be locked


async def test_what_is_not_to_be_had_is_refused_by_its_reason(still: World) -> None:
    first, last = await slots(still, 2)
    await still.do("change-slot", slot_id=first, open=False)
    await still.pool.execute("update slots set taken = 1 where id = $1", last)
    refused = []
    other = await still.other()
    for slot, who in ((first, 1), (last, 1), (2**40, 1)):
        with pytest.raises(errors.Refusal) as why:
            await lock(still, slot, who)
        refused.append(type(why.value))
    with pytest.raises(errors.NotFound):
        await lock(other, first, "receptionist")
    assert refused == [errors.SlotClosed, errors.SlotFull, errors.NotFound]


async def test_patients_lock_neither_too_soon_nor_too_far_ahead(still: World) -> None:
    await still.pool.execute("update institutions set booking = '{\"min_notice_minutes\": 120}'")
    [today] = await slots(still, day="2026-03-02", starts="10:00", ends="10:15")
    [far] = await slots(still, day="2026-06-02")
    for slot, refusal in ((today, errors.TooSoon), (far, errors.TooFarAhead)):
        with pytest.raises(refusal):
            await lock(still, slot)
        await lock(still, slot, "receptionist")
    still.forward(hours=2)
    with pytest.raises(errors.SlotPast):
        await lock(still, today, "receptionist")


async def test_nobody_locks_a_whole_day(still: World) -> None:
    ids = await slots(still, 30)
    with pytest.raises(errors.InvalidRequest):
        await lock(still, ids[0], also=ids[1:9])
    access.ORIGIN.set(Origin("192.0.2.7", "A browser", "one"))
    await lock(still, ids[0], 1, also=ids[1:8])
    await lock(still, ids[8], 2, also=ids[9:16])
    with pytest.raises(errors.TooManyLocks) as refused:
        await lock(still, ids[16], 3)
    assert refused.value.extra["retry_after"] <= 300
    access.ORIGIN.set(Origin("192.0.2.7", "Another browser", "two"))
    await lock(still, ids[16], 3)
    access.ORIGIN.set(access.NOWHERE)
    held = [await lock(still, one, "receptionist") for one in ids[17:30]]
    assert len(held) == 13


async def test_one_address_holds_only_so_much_whatever_its_browsers(still: World) -> None:
    ids = await slots(still, 44)
    for number in range(5):
        access.ORIGIN.set(Origin(f"2001:db8::{number}", f"Browser {number}", ""))
        await lock(still, ids[8 * number], number + 1, also=ids[8 * number + 1 : 8 * number + 8])
    access.ORIGIN.set(Origin("2001:db8::9", "Browser 9", ""))
    with pytest.raises(errors.TooManyLocks):
        await lock(still, ids[40], 9)
    access.ORIGIN.set(access.NOWHERE)


# Its end


@asynccontextmanager
async def nodes(world: World, redis_url: str, count: int) -> AsyncIterator[list[Locks]]:
    """More processes that sweep."""
    async with AsyncExitStack() as stack:
        found = []
        for _ in range(count):
            client = publish.connect(redis_url)
            stack.push_async_callback(client.aclose)
            found.append(await stack.enter_async_context(Locks(client).running()))
        yield found


async def test_end_by_time_is_told_once_and_in_time_over_three_nodes(world: World, redis_url: str) -> None:
    ids = await slots(world, 12, day=_soon())
    locks = world.store.locks
    assert isinstance(locks, Locks)
    async with nodes(world, redis_url, 2) as more:
        bound = Bound.of_person("user:1", 100)
        ends = [
            (await locks.lock(world.doctors[0], {slot: 1}, timedelta(seconds=3), [bound], False))[1] for slot in ids
        ]

        async def over() -> bool:
            return not await rows(world)

        await eventually(over)
        assert sum(one.swept for one in (locks, *more)) == len(ids)
    assert await types(world) == ["slot-locked"] * 12 + ["slot-unlocked"] * 12
    entries = await world.publisher.redis.xrange(keys(f"locks:{world.doctors[0]}")[2])
    when = [datetime.fromisoformat(orjson.loads(fields[b"e"])["at"]) for _, fields in entries][12:]
    late = [at - end for at, end in zip(when, ends, strict=True)]
    assert timedelta() <= min(late) and max(late) < timedelta(seconds=1)
    await nothing_left(world)


async def test_lock_that_nobody_swept_is_pruned_by_the_next(still: World) -> None:
    [slot] = await slots(still)
    await lock(still, slot)
    still.forward(minutes=6)
    await lock(still, slot, 2)
    assert await types(still) == ["slot-locked", "slot-unlocked", "slot-locked"]


async def test_page_that_goes_keeps_its_lock_for_a_grace_time(still: World) -> None:
    [slot] = await slots(still)
    access.ORIGIN.set(Origin("", "", "page-1"))
    held = await lock(still, slot)
    locks = still.store.locks
    assert isinstance(locks, Locks)
    for page, seconds, holds in (("page-0", 60, True), ("page-1", 10, True), ("", 10, False)):
        if page:
            locks.leave(page, [held.token])
            await asyncio.gather(*locks._ending)
        still.forward(seconds=seconds)
        assert await locks.holds(held.token, [slot]) is holds
    access.ORIGIN.set(access.NOWHERE)


async def test_page_that_comes_back_has_its_lock_for_its_whole_time(still: World) -> None:
    [slot] = await slots(still)
    access.ORIGIN.set(Origin("", "", "page-1"))
    held = await lock(still, slot)
    locks = still.store.locks
    assert isinstance(locks, Locks)
    locks.leave("page-1", [held.token])
    await asyncio.gather(*locks._ending)
    assert (await locks.claim(held.token, patient(still).key, "page-2")).until == held.until
    # Its old link is found dead only now.
    locks.leave("page-1", [held.token])
    await asyncio.gather(*locks._ending)
    still.forward(minutes=4)
    assert await locks.holds(held.token, [slot])
    access.ORIGIN.set(access.NOWHERE)


# Races


async def rush(world: World, slot: int, people: int) -> list[Any]:
    return await asyncio.gather(*(lock(world, slot, number) for number in range(1, people + 1)), return_exceptions=True)


@pytest.mark.parametrize("seats", [1, 3])
async def test_of_two_hundred_at_once_as_many_have_it_as_there_are_seats(world: World, seats: int) -> None:
    [slot] = await slots(world, capacity=seats, day=_soon())
    came = await rush(world, slot, 200)
    held = [one for one in came if not isinstance(one, BaseException)]
    assert len(held) == seats
    assert {type(one) for one in came if isinstance(one, BaseException)} == {errors.SlotLocked}
    assert len({one.token for one in held}) == seats


async def test_without_the_count_in_the_script_more_would_have_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    [slot] = await slots(world, day=_soon())
    locks = world.store.locks
    assert isinstance(locks, Locks)
    taking, both = locks.lock, asyncio.Event()
    free: list[Any] = []

    async def look_then_lock(doctor: int, left: dict[int, int], *rest: Any, **more: Any) -> Any:
        shown = await locks.shown([doctor])
        if len(shown[doctor].slots.get(slot, ())) >= left[slot]:
            raise errors.SlotLocked()
        # Whoever finds it free waits until another has looked, too: that is the race.
        free.append(rest)
        if len(free) > 1:
            both.set()
        await both.wait()
        return await taking(doctor, dict.fromkeys(left, 1000), *rest, **more)

    monkeypatch.setattr(locks, "lock", look_then_lock)
    came = await rush(world, slot, 40)
    assert sum(not isinstance(one, BaseException) for one in came) > 1


def _soon() -> str:
    return (datetime.now(UTC) + timedelta(days=3)).date().isoformat()


# Without Redis


async def test_emptied_redis_has_no_locks_and_another_epoch(still: World) -> None:
    [slot] = await slots(still)
    held = await lock(still, slot)
    stream = f"locks:{still.doctors[0]}"
    [before] = await still.publisher.positions([stream])
    await still.publisher.redis.flushall()
    assert not await still.store.locks.holds(held.token, [slot])  # type: ignore[union-attr]
    await lock(still, slot, 2)
    [after] = await still.publisher.positions([stream])
    assert before and after and before[0] != after[0]


async def test_restarted_redis_forgets_locks_that_it_had_kept(database_url: str, tmp_path: Path) -> None:
    server = await asyncio.to_thread(start_redis, tmp_path / "redis")
    url = f"{server.url}?db=0"
    async with opened(database_url, url) as world:
        [slot] = await slots(world, day=_soon())
        held = await lock(world, slot)
        await world.publisher.redis.save()
        await asyncio.to_thread(server.stop)
        with pytest.raises(errors.LockingUnavailable):
            await lock(world, slot, 2)
        server = await asyncio.to_thread(start_redis, tmp_path / "redis")
        assert not await world.store.locks.holds(held.token, [slot])  # type: ignore[union-attr]
        assert (await lock(world, slot, 2)).token
    await asyncio.to_thread(server.stop)
