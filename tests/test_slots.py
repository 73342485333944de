"""Free slots are found by everything that somebody may look for, exact at the positions that the answer names."""

from datetime import UTC, datetime
from typing import Any

import pytest

from server import catalog, errors
from server.slots.free import FreeSlots
from tests.test_locks import DAY, lock, patient, slots
from tests.world import World


async def find(world: World, who: Any = "receptionist", **ask: Any) -> list[list[int]]:
    """The slots of each item found."""
    return [item.slot_ids for item in (await world.ask("find-slots", who, **ask)).items]


async def test_answer_is_what_its_model_says(still: World) -> None:
    ids = await slots(still, 2, capacity=2)
    reply = await still.ask("find-slots", patient(still))
    read = FreeSlots.model_validate_json(reply.model_dump_json())
    assert read.items == reply.items and read.positions == reply.positions
    first = read.items[0]
    assert (first.slot_ids, first.left, first.locked_until) == ([ids[0]], 2, None)
    assert first.starts_at == datetime(2026, 3, 9, 9, tzinfo=UTC)
    assert [item.slot_ids for item in read.items] == [[ids[0]], [ids[1]]]


async def test_positions_are_where_the_streams_stand(still: World) -> None:
    ids = await slots(still, 2)
    await lock(still, ids[0])
    positions = (await still.ask("find-slots")).positions
    for stream in (f"slots:{still.doctors[0]}", f"locks:{still.doctors[0]}"):
        await still.published()
        [there] = await still.publisher.positions([stream])
        assert there == (positions[stream].epoch, positions[stream].version)


async def test_lock_shows_where_nothing_else_is_left(still: World) -> None:
    [one] = await slots(still)
    [two] = await slots(still, doctor=1, capacity=2)
    held = await lock(still, one)
    await lock(still, two, 2)
    items = (await still.ask("find-slots")).items
    assert {item.slot_ids[0]: item.locked_until for item in items} == {one: held.until, two: None}
    assert (await still.ask("next-slot")).item.slot_ids == [two]


async def test_what_cannot_be_booked_is_not_found(still: World) -> None:
    ids = await slots(still, 4)
    await still.do("change-slot", slot_id=ids[0], open=False)
    await still.pool.execute("update slots set taken = 1 where id = $1", ids[1])
    assert await find(still) == [[ids[2]], [ids[3]]]
    await still.pool.execute("update doctors set active = false where id = $1", still.doctors[0])
    assert await find(still) == []


async def test_filters_leave_what_fits_all_of_them(still: World) -> None:
    async with still.pool.acquire() as conn:
        cardiology = await catalog.add_specialty(conn, still.institution, "Cardiology")  # type: ignore[arg-type]
        branch = await catalog.add_location(conn, still.institution, "Branch")  # type: ignore[arg-type]
    await still.pool.execute("update doctors set specialty_id = $2 where id = $1", still.doctors[1], cardiology)
    [a] = await slots(still, mode="online")
    [b] = await slots(still, doctor=1, starts="13:00", ends="13:15")
    [c] = await slots(still, doctor=1, day="2026-03-10", starts="18:00", ends="18:15", location=branch)
    assert await find(still, doctor_id=still.doctors) == [[a], [b], [c]]
    assert await find(still, specialty_id=cardiology) == [[b], [c]]
    assert await find(still, location_id=branch) == [[c]]
    assert await find(still, mode="in_person") == [[b], [c]]
    assert [await find(still, part=part) for part in ("morning", "afternoon", "evening")] == [[[a]], [[b]], [[c]]]
    assert await find(still, **{"from": DAY, "to": DAY}) == [[a], [b]]
    assert await find(still, **{"from": "2026-03-10"}) == [[c]]


async def test_day_and_its_parts_are_those_of_the_place(still: World) -> None:
    await still.pool.execute("update locations set zone = 'Asia/Kolkata' where id = $1", still.location)
    [slot] = await slots(still, starts="00:00", ends="00:15")
    [item] = (await still.ask("find-slots", **{"from": DAY, "to": DAY})).items
    assert item.starts_at == datetime(2026, 3, 8, 18, 30, tzinfo=UTC)
    assert await find(still, part="morning") == [[slot]]
    assert await find(still, **{"to": "2026-03-08"}) == []


async def test_longer_visit_takes_slots_that_follow_each_other(still: World) -> None:
    ids = await slots(still, 4, every=20)
    await still.do("change-slot", slot_id=ids[2], capacity=3)
    assert await find(still, minutes=30) == [ids[0:2], ids[1:3], ids[2:4]]
    assert await find(still, minutes=45) == [ids[0:3], ids[1:4]]
    assert await find(still, minutes=15) == [[one] for one in ids]
    held = await lock(still, ids[1])
    items = (await still.ask("find-slots", minutes=30)).items
    assert [item.locked_until for item in items] == [held.until, held.until, None]
    await still.pool.execute("update slots set taken = 1 where id = $1", ids[1])
    assert await find(still, minutes=30) == [ids[2:4]], "not around somebody else's visit"


async def test_longer_visit_is_online_only_where_all_its_slots_are(still: World) -> None:
    ids = await slots(still, 4)
    for slot, mode in zip(ids, ("both", "online", "online", "in_person"), strict=True):
        await still.do("change-slot", slot_id=slot, mode=mode)
    items = (await still.ask("find-slots", minutes=30)).items
    assert [(item.slot_ids, item.mode) for item in items] == [(ids[0:2], "online"), (ids[1:3], "online")]
    assert await find(still, minutes=30, mode="in_person") == []


async def test_visit_type_brings_its_doctors_its_length_and_its_kind(still: World) -> None:
    therapy = await still.pool.fetchval(
        "insert into visit_types (institution_id, name, minutes, mode) values ($1, 'T', 30, 'online') returning id",
        still.institution,
    )
    ids = await slots(still, 2)
    await slots(still, 2, doctor=1, mode="in_person")
    assert await find(still, visit_type_id=therapy) == [ids]
    await still.pool.execute(
        "insert into doctor_visit_types values ($1, $2, $3)", still.doctors[1], therapy, still.institution
    )
    assert await find(still, visit_type_id=therapy, minutes=15) == [[one] for one in ids]
    other = await still.other()
    with pytest.raises(errors.NotFound):
        await find(other, visit_type_id=therapy)


async def test_patients_find_what_they_can_lock(still: World) -> None:
    await still.pool.execute(
        'update institutions set booking = \'{"min_notice_minutes": 60, "advance_booking_days": 10}\''
    )
    ids = await slots(still, 3, day="2026-03-02", starts="09:45", ends="10:30")
    [far] = await slots(still, day="2026-03-12", starts="23:45", ends="00:00")
    [farther] = await slots(still, day="2026-03-13")
    found = [one for [one] in await find(still, patient(still))]
    assert found == [ids[2], far]
    for slot in found:
        await lock(still, slot)
    assert await find(still) == [[one] for one in (*ids, far, farther)]


async def test_pages_add_up_to_the_whole(still: World) -> None:
    ids = await slots(still, 7)
    others = await slots(still, 7, doctor=1)
    whole = await find(still)
    assert {one for [one] in whole} == {*ids, *others}
    seen: list[list[int]] = []
    cursor: dict[str, str] = {}
    while not seen or cursor:
        page = await still.ask("find-slots", limit=4, **cursor)
        seen += [item.slot_ids for item in page.items]
        cursor = {"cursor": page.next_cursor} if page.next_cursor else {}
    assert seen == whole


async def test_foreign_and_endless_searches_are_refused(still: World) -> None:
    other = await still.other()
    for ask in ({"doctor_id": [other.doctors[0]]}, {"location_id": other.location}, {"specialty_id": 2**40}):
        with pytest.raises(errors.NotFound):
            await find(still, **ask)
    for last in ("2026-07-09", "2026-03-01"):
        with pytest.raises(errors.InvalidRequest):
            await find(still, **{"from": DAY, "to": last})
    with pytest.raises(errors.InvalidRequest):
        await find(still, "super_admin")
    assert await find(still, "super_admin", institution_id=other.institution) == []


async def test_slots_are_found_without_redis(still: World, monkeypatch: pytest.MonkeyPatch) -> None:
    [slot] = await slots(still)
    monkeypatch.setattr(still.store, "locks", None)
    reply = await still.ask("find-slots")
    assert [item.slot_ids for item in reply.items] == [[slot]]
    assert all(name.startswith("slots:") for name in reply.positions)
