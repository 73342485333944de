"""What a day came to: computed once it is over, the same however often, and shown to its own admins."""

import asyncio
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from server import errors, figures
from tests.clinic import book, slots_of
from tests.world import World
from workers import tasks

DAY = date(2026, 3, 2)


def at(world: World, day: int, hour: int, minute: int = 0) -> None:
    assert world.clock is not None
    world.clock.now = datetime(2026, 3, day, hour, minute, tzinfo=UTC)


async def founded(world: World) -> None:
    """Let the location have been there since the day before the tests'."""
    await world.pool.execute("update locations set created_at = '2026-03-01 12:00Z'")


async def a_day(world: World) -> int:
    """Three people an hour apart, called after ten, twenty and thirty minutes; one never comes, one gives up."""
    await founded(world)
    queue = await world.queue(owner=world.doctors[0])
    for nth in range(3):
        at(world, 2, 9 + nth)
        ticket = await world.join(queue)
        at(world, 2, 9 + nth, 10 * (nth + 1))
        await world.call_next(queue)
        if nth == 2:
            await world.do("no-show", "doctor", ticket_id=ticket.ticket_id)
        else:
            at(world, 2, 9 + nth, 40)
            await world.do("complete", "doctor", ticket_id=ticket.ticket_id)
    await world.do("cancel", ticket_id=(await world.join(queue)).ticket_id)
    return queue


async def shown(world: World, **ask: Any) -> list[figures.DayFigures]:
    told = await world.ask("list-figures", "admin", **{"from": "2026-02-20", "to": "2026-03-10", **ask})
    return list(told.items)


async def compute(world: World) -> None:
    await tasks.daily_figures({"store": world.store})


async def test_a_day_is_told_when_it_is_over(still: World) -> None:
    await a_day(still)
    at(still, 2, 23, 50)
    await compute(still)
    assert DAY not in [one.day for one in await shown(still)]
    at(still, 3, 0, 12)
    await compute(still)
    told = next(one for one in await shown(still) if one.day == DAY)
    assert (told.tickets, told.completed, told.no_shows, told.cancelled) == (4, 2, 1, 1)
    assert told.wait_p50 is not None and told.wait_p90 is not None
    assert (round(told.wait_p50 / 60), round(told.wait_p90 / 60)) == (20, 28)
    (doctor,) = [one for one in await shown(still, by="doctor") if one.day == DAY]
    assert (doctor.doctor_id, doctor.tickets, doctor.wait_p50) == (still.doctors[0], 4, told.wait_p50)


async def test_computing_it_again_writes_nothing(still: World) -> None:
    await a_day(still)
    at(still, 3, 1)
    await asyncio.gather(*(compute(still) for _ in range(3)))
    rows = await still.pool.fetch("select xmin::text, f.* from daily_figures f order by day, doctor_id")
    at(still, 3, 2)
    await compute(still)
    again = await still.do("recompute-figures", "admin", **{"from": "2026-03-01", "to": "2026-03-05"})
    assert (again.days, again.changed) == (2, 0)
    assert await still.pool.fetch("select xmin::text, f.* from daily_figures f order by day, doctor_id") == rows


async def test_what_is_taken_back_in_the_morning_is_put_right(still: World) -> None:
    queue = await a_day(still)
    at(still, 3, 1)
    await compute(still)
    await still.pool.execute("update tickets set state = 'cancelled' where queue_id = $1 and state = 'no_show'", queue)
    at(still, 3, 9)
    await compute(still)
    told = next(one for one in await shown(still) if one.day == DAY)
    assert (told.no_shows, told.cancelled) == (0, 2)


async def test_days_that_a_worker_missed_are_made_up_for(still: World) -> None:
    await founded(still)
    at(still, 9, 8)
    await compute(still)
    assert [one.day for one in await shown(still)] == [date(2026, 3, 1) + timedelta(days=n) for n in range(8)]


async def test_appointments_count_by_state_on_the_day_of_the_place(still: World) -> None:
    await founded(still)
    await still.pool.execute("update locations set zone = 'Asia/Kolkata'")
    # Half past midnight there, on the third.
    (slot,) = await slots_of(still, after=datetime(2026, 3, 2, 19, tzinfo=UTC) - datetime(2026, 3, 2, 10, tzinfo=UTC))
    await book(still, [slot])
    at(still, 5, 9)
    await compute(still)
    assert {one.day.day: one.appointments for one in await shown(still) if one.appointments} == {3: {"confirmed": 1}}
    assert [one.doctor for one in await shown(still, by="doctor")] == ["Dr. Ames"]


async def test_nobody_sees_anothers_and_days_make_sense(still: World) -> None:
    await a_day(still)
    at(still, 3, 1)
    await compute(still)
    theirs = await still.other()
    assert await shown(theirs) == []
    with pytest.raises(errors.NotFound):
        await shown(theirs, location_id=still.location)
    with pytest.raises(errors.InvalidRequest):
        await shown(still, to="2026-01-01")
    with pytest.raises(errors.InvalidRequest):
        await shown(still, to="2028-01-01")


@pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31", "1849-12-31"])
async def test_days_of_no_clinics_calendar_are_refused(still: World, day: str) -> None:
    with pytest.raises(errors.InvalidRequest) as refused:
        await still.do("recompute-figures", "admin", **{"from": day, "to": day})
    assert [wrong["pointer"] for wrong in refused.value.extra["errors"]] == ["/from", "/to"]
