"""Local days: tokens begin anew at midnight of the clinic, whatever the clocks do there."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from server.errors import QueueClosed
from tests.test_queue import streams
from tests.world import World

# The zone, and the instant (UTC) at which a new local day begins there.
MIDNIGHTS = [
    ("Europe/London", datetime(2026, 3, 29, 0, tzinfo=UTC)),
    ("Europe/London", datetime(2026, 3, 29, 23, tzinfo=UTC)),
    ("Europe/London", datetime(2026, 10, 24, 23, tzinfo=UTC)),
    ("Europe/London", datetime(2026, 10, 26, 0, tzinfo=UTC)),
    ("Asia/Kolkata", datetime(2026, 3, 2, 18, 30, tzinfo=UTC)),
    ("Asia/Kathmandu", datetime(2026, 3, 2, 18, 15, tzinfo=UTC)),
    # Here the clock goes from 23:59:59 to 01:00: a day without midnight.
    ("America/Havana", datetime(2026, 3, 8, 5, tzinfo=UTC)),
    ("Asia/Beirut", datetime(2026, 3, 28, 22, tzinfo=UTC)),
    ("Africa/Cairo", datetime(2026, 4, 23, 22, tzinfo=UTC)),
    ("America/Sao_Paulo", datetime(2018, 11, 4, 3, tzinfo=UTC)),
    # Here the clock goes back over midnight, or to it: the old day comes again, and is still the old day.
    ("America/Sao_Paulo", datetime(2018, 2, 18, 3, tzinfo=UTC)),
    ("Asia/Beirut", datetime(2026, 10, 24, 22, tzinfo=UTC)),
    ("Africa/Cairo", datetime(2026, 10, 29, 22, tzinfo=UTC)),
    ("America/Havana", datetime(2026, 11, 1, 4, tzinfo=UTC)),
    # Half an hour is the step of the clock on this island.
    ("Australia/Lord_Howe", datetime(2026, 4, 4, 13, tzinfo=UTC)),
]


async def in_zone(world: World, zone: str) -> World:
    return await World(world.store, world.publisher, world.clock, f"Clinic in {zone}").build(zone=zone)


@pytest.mark.parametrize(("zone", "midnight"), MIDNIGHTS, ids=lambda value: str(value))
async def test_tokens_begin_anew_exactly_at_local_midnight(still: World, zone: str, midnight: datetime) -> None:
    local = ZoneInfo(zone)
    before, after = ((midnight + timedelta(seconds=s)).astimezone(local).date() for s in (-1, 0))
    assert after == before + timedelta(days=1), "the test's own table is wrong"
    clinic = await in_zone(still, zone)
    queue = await clinic.queue()
    still.clock.now = midnight - timedelta(hours=3)
    for _ in range(3):
        await clinic.do("cancel", ticket_id=(await clinic.join(queue)).ticket_id)
    still.clock.now = midnight - timedelta(seconds=1)
    assert (await clinic.join(queue)).token == "A004"
    still.clock.now = midnight
    async with clinic.verify(*streams(queue)):
        assert (await clinic.join(queue)).token == "A001"


@pytest.mark.parametrize(
    ("zone", "begins"),
    [
        ("America/Sao_Paulo", datetime(2018, 2, 17, 22, tzinfo=UTC)),
        ("America/Havana", datetime(2026, 10, 31, 22, tzinfo=UTC)),
        ("Europe/London", datetime(2026, 10, 24, 20, tzinfo=UTC)),
        ("Asia/Kolkata", datetime(2026, 3, 2, 12, tzinfo=UTC)),
    ],
)
async def test_over_a_night_no_token_is_given_twice_on_a_day_nor_shown_twice(
    still: World, zone: str, begins: datetime
) -> None:
    clinic = await in_zone(still, zone)
    queue = await clinic.queue()
    still.clock.now = begins
    given = []
    for turn in range(36):
        still.forward(minutes=15)
        joined = await clinic.join(queue)
        given.append((still.clock.now.astimezone(ZoneInfo(zone)).date(), joined.token))
        board = await clinic.fresh_rows(f"board:{queue}")
        tokens = [row["token"] for key, row in board.items() if key.startswith("t:")]
        assert len(tokens) == len(set(tokens))
        if turn % 3:
            await clinic.call_next(queue)
    assert len(given) == len(set(given)) and len({day for day, _ in given}) == 2


async def test_whoever_is_still_there_from_yesterday_keeps_their_token_alone(still: World) -> None:
    queue = await still.queue()
    first, second = await still.join(queue), await still.join(queue)
    await still.do("hold", ticket_id=second.ticket_id)
    await still.do("cancel", ticket_id=first.ticket_id)
    still.forward(days=1)
    assert [(await still.join(queue)).token for _ in range(2)] == ["A001", "A003"]


async def test_yesterdays_no_shows_leave_the_staffs_sight_with_the_first_token_of_the_day(still: World) -> None:
    queue, other = await still.queue(), await still.queue("Other")
    for line in (queue, other):
        joined = await still.join(line)
        await still.call_next(line)
        await still.do("no-show", ticket_id=joined.ticket_id)
    source = await still.join(other)
    still.forward(days=1)
    async with still.verify(*streams(queue)):
        assert (await still.join(queue)).token == "A001"
    states = [row["state"] for key, row in (await still.fresh_rows(f"staff:{queue}")).items() if key.startswith("t:")]
    assert states == ["waiting"]
    async with still.verify(*streams(queue), *streams(other)):
        await still.do("transfer", ticket_id=source.ticket_id, queue_id=queue)


@pytest.mark.parametrize("begun", [True, False])
async def test_who_was_called_yesterday_and_does_not_come_today(still: World, begun: bool) -> None:
    queue = await still.queue()
    joined = await still.join(queue)
    await still.call_next(queue)
    still.forward(days=1)
    if begun:
        await still.join(queue)
    async with still.verify(*streams(queue)):
        await still.do("no-show", ticket_id=joined.ticket_id)
    assert (f"t:{joined.ticket_id}" in await still.fresh_rows(f"staff:{queue}")) is not begun
    async with still.verify(*streams(queue)):
        await still.do("return-ticket", ticket_id=joined.ticket_id)
    assert joined.token in await still.order(queue)


async def test_an_opening_over_midnight_is_local(still: World) -> None:
    clinic = await in_zone(still, "Asia/Kolkata")
    queue = await clinic.queue(hours=[{"weekday": 0, "opens": "22:00", "closes": "02:00"}])
    opens = datetime(2026, 3, 2, 22, tzinfo=ZoneInfo("Asia/Kolkata"))
    answers = []
    for hours in (-0.1, 0, 3.9, 4.1):
        still.clock.now = (opens + timedelta(hours=hours)).astimezone(UTC)
        try:
            answers.append((await clinic.join(queue)).token)
        except QueueClosed as refusal:
            answers.append(type(refusal).__name__)
    assert answers == ["QueueClosed", "A001", "A002", "QueueClosed"]


async def test_a_locations_zone_comes_before_the_institutions(still: World) -> None:
    await still.pool.execute("update locations set zone = 'Asia/Kolkata' where id = $1", still.location)
    queue = await still.queue()
    still.clock.now = datetime(2026, 3, 2, 18, 29, 59, tzinfo=UTC)
    await still.join(queue)
    still.clock.now = datetime(2026, 3, 2, 18, 30, tzinfo=UTC)
    await still.join(queue)
    days = await still.pool.fetch("select day from tickets order by id")
    assert [str(row["day"]) for row in days] == ["2026-03-02", "2026-03-03"]
