"""The end of the local day: what still waits is settled and told, and numbers begin anew; no-shows by the clock."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from server import access, errors
from server.access import Actor, Role
from server.events import State
from server.queue import CLOSE_DAY, CloseDay, rules, unclosed
from server.settings import Hours, QueueSettings
from tests.clinic import account_of, book, patient_of, set_booking, slots_of
from tests.world import World
from workers import tasks


def at(world: World, year: int, month: int, day: int, hour: int, minute: int = 0) -> None:
    """Set the clock to a time in UTC."""
    assert world.clock is not None
    world.clock.now = datetime(year, month, day, hour, minute, tzinfo=UTC)


async def close_days(world: World) -> None:
    await tasks.close_days({"store": world.store})


async def states(world: World) -> dict[str, str]:
    rows = await world.pool.fetch("select token, state from tickets order by id")
    return {row["token"]: row["state"] for row in rows}


async def a_day(world: World) -> int:
    """A queue with somebody at each step of a visit: waiting, on hold, called, with the doctor, done."""
    queue = await world.queue(call_next_completes=False)
    tickets = [(await world.join(queue)).ticket_id for _ in range(5)]
    await world.call_next(queue, 0)
    await world.do("complete", ticket_id=tickets[0])
    await world.call_next(queue, 0)
    await world.do("start", ticket_id=tickets[1])
    await world.call_next(queue, 1)
    await world.do("hold", ticket_id=tickets[3])
    return queue


async def test_what_still_waits_is_settled_as_it_stands(still: World) -> None:
    queue = await a_day(still)
    still.forward(hours=20)
    async with still.verify(f"board:{queue}", f"staff:{queue}"):
        await close_days(still)
    assert await states(still) == {
        "A001": State.completed,
        "A002": State.completed,
        "A003": State.no_show,
        "A004": State.cancelled,
        "A005": State.cancelled,
    }
    for stream in (f"board:{queue}", f"staff:{queue}"):
        assert not [key for key in await still.fresh_rows(stream) if key.startswith("t:")]
    reasons = await still.pool.fetch(
        "select distinct reason from decisions where kind in ('cancel', 'no-show', 'complete')"
    )
    assert [row["reason"] for row in reasons] == ["day-ended"]


async def test_a_closed_day_is_closed_once(still: World) -> None:
    queue = await a_day(still)
    still.forward(hours=20)
    await asyncio.gather(*(close_days(still) for _ in range(3)))
    seen = await still.events(f"board:{queue}"), await still.pool.fetchval("select count(*) from audit")
    again = await still.store.execute(CLOSE_DAY, access.SYSTEM, CloseDay(queue_id=queue))
    await close_days(still)
    assert not again.closed and await unclosed(still.pool, still.store.now()) == []
    assert (await still.events(f"board:{queue}"), await still.pool.fetchval("select count(*) from audit")) == seen


async def test_numbers_begin_anew_and_a_pause_does_not_outlive_the_day(still: World) -> None:
    queue = await still.queue()
    await still.join(queue)
    await still.do("set-queue-state", queue_id=queue, state="paused", message="Back in ten minutes")
    still.forward(days=1)
    await close_days(still)
    (board,) = (await still.fresh_rows(f"board:{queue}")).values()
    assert (board["state"], board["message"]) == ("open", None)
    assert (await still.join(queue)).token == "A001"


async def test_the_patient_is_told_on_their_own_stream(still: World) -> None:
    queue, patient = await still.queue(), await patient_of(still)
    await account_of(still, patient)
    ticket = await still.do("join-queue", queue_id=queue, patient_id=patient)
    still.forward(days=1)
    async with still.verify(f"patient:{patient}"):
        await close_days(still)
    told = [data for _, kind, data in await still.events(f"patient:{patient}") if kind == "ticket-changed"]
    assert f"t:{ticket.ticket_id}" not in await still.fresh_rows(f"patient:{patient}")
    assert told[-1]["ended"] == "day-ended"


async def test_the_ticket_says_that_the_day_ended_and_not_what_somebody_wrote(still: World) -> None:
    queue = await still.queue()
    waits, left = await still.join(queue), await still.join(queue)
    await still.do("cancel", ticket_id=left.ticket_id, reason="day-ended")
    still.forward(days=1)
    await close_days(still)
    for ticket, ended in ((waits, "day-ended"), (left, None)):
        holder = Actor(Role.ticket, ticket.ticket_id, still.institution)
        assert (await still.ask("my-ticket", holder)).ended == ended
    told = [data["ended"] for _, kind, data in await still.events(f"board:{queue}") if kind == "ticket-cancelled"]
    assert told == [None, "day-ended"]


async def test_whoever_waited_for_their_appointment_in_vain_is_told_so_and_no_no_show(still: World) -> None:
    await set_booking(still, no_show_after_minutes=15)
    queue = await still.queue(owner=still.doctors[0])
    (slot,) = await slots_of(still, after=(datetime(2026, 3, 2, 12, tzinfo=UTC) - still.store.now()))
    booked = await book(still, [slot])
    at(still, 2026, 3, 2, 13, 30)
    await still.do("check-in", appointment_id=booked.appointment_id, queue_id=queue)
    at(still, 2026, 3, 3, 3)
    await tasks.note_no_shows({"store": still.store})
    await close_days(still)
    await tasks.note_no_shows({"store": still.store})
    row = await still.pool.fetchrow("select state, cancelled_by, ticket_id is null as gone from appointments")
    assert row and (row["state"], row["cancelled_by"], row["gone"]) == ("cancelled", "system", False)


async def test_a_queue_that_works_around_the_clock_is_left_alone(still: World) -> None:
    queue = await still.queue(closes_day=False)
    await still.join(queue)
    still.forward(days=2)
    await close_days(still)
    assert await still.order(queue) == ["A001"]


@pytest.mark.parametrize(
    ("zone", "before"),
    [
        # Summer time begins and ends in these nights, at one in the morning UTC.
        ("Europe/London", (2026, 3, 28, 23, 59)),
        ("Europe/Berlin", (2026, 10, 25, 22, 59)),
        # Half hours, three quarters, and a clock that is put forward at midnight: the day begins at one.
        ("Asia/Kolkata", (2026, 3, 3, 18, 29)),
        ("Asia/Kathmandu", (2026, 3, 3, 18, 14)),
        ("Africa/Cairo", (2026, 4, 23, 21, 59)),
        ("America/St_Johns", (2026, 3, 9, 2, 29)),
    ],
)
async def test_the_day_ends_by_the_clock_of_the_place(
    still: World, zone: str, before: tuple[int, int, int, int, int]
) -> None:
    await still.pool.execute("update locations set zone = $1", zone)
    queue = await still.queue()
    year, month, day, hour, minute = before
    at(still, year, month, day, hour, minute)
    still.forward(hours=-4)
    await still.join(queue)
    still.forward(hours=4)
    await close_days(still)
    assert await still.order(queue) == ["A001"]
    still.forward(minutes=2)
    await close_days(still)
    assert await still.order(queue) == [] and list((await states(still)).values()) == ["cancelled"]


async def test_a_queue_at_work_past_midnight_is_closed_when_it_is_quiet(still: World) -> None:
    queue = await still.queue()
    at(still, 2026, 3, 2, 23, 30)
    for _ in range(3):
        await still.join(queue)
    await still.call_next(queue)
    at(still, 2026, 3, 3, 0, 10)
    await close_days(still)
    assert len(await still.order(queue)) == 2
    await still.call_next(queue)
    late = await still.join(queue)
    at(still, 2026, 3, 3, 1, 30)
    await close_days(still)
    assert await still.order(queue) == [late.token], "whoever came after midnight belongs to the new day"


HOURS = [Hours(weekday=0, opens=time(18), closes=time(2)), Hours(weekday=1, opens=time(8), closes=time(12))]
LONDON, BERLIN = ZoneInfo("Europe/London"), ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("settings", "local", "called", "over"),
    [
        ({}, datetime(2026, 3, 2, 23, 59), None, False),
        ({}, datetime(2026, 3, 3, 0, 0), None, True),
        ({"closes_day": False}, datetime(2026, 3, 9, 0, 0), None, False),
        ({"hours": HOURS}, datetime(2026, 3, 3, 1, 59), None, False),
        ({"hours": HOURS}, datetime(2026, 3, 3, 2, 0), None, True),
        ({}, datetime(2026, 3, 3, 0, 30), datetime(2026, 3, 2, 23, 45), False),
        ({}, datetime(2026, 3, 3, 0, 46), datetime(2026, 3, 2, 23, 45), True),
        ({}, datetime(2026, 3, 3, 6, 0), datetime(2026, 3, 3, 5, 59), True),
        ({}, datetime(2026, 3, 4, 0, 5), datetime(2026, 3, 4, 0, 1), True),
    ],
)
def test_when_a_day_is_over(settings: Mapping[str, Any], local: datetime, called: datetime | None, over: bool) -> None:
    heard = called.replace(tzinfo=LONDON) if called else None
    assert rules.day_over(QueueSettings(**settings), date(2026, 3, 2), local.replace(tzinfo=LONDON), heard) is over


def test_an_hour_that_comes_twice_is_an_hour() -> None:
    # Called at 02:30 before the clock is put back, and asked at 02:40 after it: seventy minutes.
    called, now = datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN), datetime(2026, 10, 25, 2, 40, fold=1, tzinfo=BERLIN)
    assert rules.day_over(QueueSettings(), date(2026, 10, 24), now, called)


# No-shows by the clock


async def visit(world: World, **settings: Any) -> int:
    """A confirmed appointment at ten, today."""
    await set_booking(world, **settings)
    (slot,) = await slots_of(world, after=datetime(2026, 3, 2, 10, tzinfo=UTC) - datetime(2026, 3, 2, 10, tzinfo=UTC))
    return int((await book(world, [slot])).appointment_id)


async def state_of(world: World, appointment: int) -> str:
    return str(await world.pool.fetchval("select state from appointments where id = $1", appointment))


async def test_whoever_does_not_come_in_time_is_a_no_show(still: World) -> None:
    id_ = await visit(still, no_show_after_minutes=30)
    at(still, 2026, 3, 2, 10, 29)
    await tasks.note_no_shows({"store": still.store})
    assert await state_of(still, id_) == "confirmed"
    still.forward(minutes=2)
    async with still.verify(f"doctor:{still.doctors[0]}"):
        await asyncio.gather(*(tasks.note_no_shows({"store": still.store}) for _ in range(3)))
    assert await state_of(still, id_) == "no_show"
    trail = await still.pool.fetch("select actor, asked::text as asked from audit where action = 'no-show-appointment'")
    assert [row["actor"] for row in trail] == ["system"] and "not-attended" in trail[0]["asked"]
    await still.do("undo-appointment", appointment_id=id_)
    assert await state_of(still, id_) == "confirmed"


@pytest.mark.parametrize(("institution", "doctor"), [(None, None), (30, 0), (0, None)])
async def test_without_the_setting_nobody_is(still: World, institution: int | None, doctor: int | None) -> None:
    id_ = await visit(still, **({} if institution is None else {"no_show_after_minutes": institution}))
    if doctor is not None:
        await still.do("set-doctor-booking", "admin", doctor_id=still.doctors[0], no_show_after_minutes=doctor)
    still.forward(hours=6)
    await tasks.note_no_shows({"store": still.store})
    assert await state_of(still, id_) == "confirmed"


async def came(world: World, id_: int) -> None:
    await world.do("check-in", appointment_id=id_, queue_id=await world.queue())


async def joined(world: World, id_: int) -> None:
    patient = await world.pool.fetchval("select patient_id from appointments where id = $1", id_)
    await world.do("join-queue", queue_id=await world.queue(), patient_id=patient)


@pytest.mark.parametrize("how", [came, joined], ids=["checked-in", "without checking in"])
async def test_whoever_is_there_is_none(still: World, how: Callable[[World, int], Any]) -> None:
    id_ = await visit(still, no_show_after_minutes=30)
    await how(still, id_)
    still.forward(hours=3)
    await tasks.note_no_shows({"store": still.store})
    assert await state_of(still, id_) in ("confirmed", "checked_in")


async def test_a_setting_turned_on_has_nobodys_past_missed(still: World) -> None:
    id_ = await visit(still)
    still.forward(days=5)
    await set_booking(still, no_show_after_minutes=30)
    await tasks.note_no_shows({"store": still.store})
    assert await state_of(still, id_) == "confirmed"
    with pytest.raises(errors.InvalidRequest):
        await still.do("set-doctor-booking", "admin", doctor_id=still.doctors[0], no_show_after_minutes=-1)
