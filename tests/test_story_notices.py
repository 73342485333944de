"""One visit's messages and one freed place, with nothing configured: a real worker that is killed over and over again.

The clock is the test's: it goes ahead of the true one by as much as the story needs, in every process alike.
"""

import asyncio
import contextlib
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from server import store
from server.config import ROOT
from tests.clinic import book, day_of, now, patient_of, set_booking, slot_at
from tests.conftest import Postgres, Redis
from tests.pages import Served, served, visiting
from tests.test_waitlist_histories import MISCOUNTED
from tests.world import Clock, World, eventually, noon

# Whatever is on its way stays there for a while: long enough to be seen, and for its worker to be killed.
SLOWED = """
create function take_a_while() returns trigger language plpgsql as $$ begin perform pg_sleep(0.4); return new; end $$;
create trigger slow_post before insert on mailbox for each row execute function take_a_while();
create trigger slow_expiry before update on offers for each row when (new.state = 'expired')
    execute function take_a_while();
"""
ON_ITS_WAY = """
select exists (
    select from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() and state = 'active'
        and query ~ 'insert into mailbox|update offers set state'
)
"""
TRIED_OUT = "insert into facts (name, value) values ('origin', 'up'), ('demo', 'yes')"
UNSENT = "select exists (select from notices where state in ('pending', 'sending') and due_at <= $1)"
READ = """
select n.kind, n.channel, count(*) from mailbox m join notices n on n.id = m.notice_id
where n.patient_id = $1 group by n.kind, n.channel order by n.kind, n.channel
"""
SAID_TWICE = """
select n.cause from notices n join mailbox m on m.notice_id = n.id
group by n.cause, m.recipient, m.channel having count(*) > 1
"""
AFTER_A_LEASE = {"seconds": 35}
"""What a killed worker held is anybody's again by then."""


class Ahead(Clock):
    """The true time, and as much more as the story has gone on."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        """This instant of the story."""
        return datetime.now(UTC) + self.ahead

    def forward(self, **delta: float) -> None:
        """Go on by so much."""
        self.ahead += timedelta(**delta)


@dataclass
class Story:
    """A clinic with nothing configured, its worker, and the mailbox as somebody sees it."""

    clinic: Served
    clock: Ahead
    folder: Path
    workers: "list[subprocess.Popen[bytes]]" = field(default_factory=list)
    killed: int = 0

    @property
    def world(self) -> World:
        return self.clinic.world

    def work(self) -> None:
        """Start a worker as it runs in production, by this clock."""
        env = {
            "PATH": os.environ["PATH"],
            "DATABASE_URL": self.clinic.config.database_url,
            "REDIS_URL": self.clinic.config.redis_url,
            "PUBLIC_URL": self.clinic.url,
            "CLOCK_AHEAD": str(self.clock.ahead.total_seconds()),
        }
        with (self.folder / "worker.log").open("ab") as log:
            command = [sys.executable, "-m", "server.cli", "worker"]
            self.workers.append(subprocess.Popen(command, cwd=ROOT, env=env, stdout=log, stderr=log))

    def kill(self) -> None:
        """End every worker on the spot."""
        for one in self.workers:
            with contextlib.suppress(ProcessLookupError):
                one.kill()
            one.wait(10)
        self.workers.clear()

    async def killed_in_the_middle(self) -> None:
        """Kill the worker while something is on its way, and let another begin once that is its to take."""
        await eventually(lambda: self.world.pool.fetchval(ON_ITS_WAY), 60)
        self.kill()
        self.killed += 1
        await self.goes_on(**AFTER_A_LEASE)

    async def goes_on(self, **delta: float) -> None:
        """Let time pass for everybody: the worker is killed for it, the web process started anew."""
        self.kill()
        self.clock.forward(**delta)
        ahead = self.clock.ahead.total_seconds()
        self.clinic.config = self.clinic.config.model_copy(update={"clock_ahead": ahead})
        await self.clinic.stop()
        await self.clinic.start()
        self.work()

    async def settled(self) -> None:
        """Wait until nothing that is due is left to send."""

        async def sent() -> bool:
            return not await self.world.pool.fetchval(UNSENT, now(self.world))

        await eventually(sent, 60)

    async def reader(self, name: str) -> int:
        """Somebody with an address of each kind."""
        who = await patient_of(self.world, name)
        where = (f"{name.split()[0].lower()}@example.org", f"+44790000000{who % 10}")
        await self.world.pool.execute("update patients set email = $2, phone = $3 where id = $1", who, *where)
        return who

    async def slot(self, **after: float) -> int:
        """A time of the first doctor, so long from now."""
        return await slot_at(self.world, now(self.world) + timedelta(**after))

    async def read_by(self, patient: int) -> dict[tuple[str, str], int]:
        """How often each kind reached somebody, by channel."""
        rows = await self.world.pool.fetch(READ, patient)
        return {(row["kind"], row["channel"]): row["count"] for row in rows}


@pytest_asyncio.fixture(loop_scope="session")
async def story(postgres: Postgres, redis_server: Redis, tmp_path: Path) -> AsyncIterator[Story]:
    url, clock = postgres.fresh(), Ahead()
    async with served(url, redis_server.fresh(), clock) as clinic:
        pool = clinic.world.pool
        await pool.execute(TRIED_OUT)
        await pool.execute(SLOWED)
        # It is noon at this clinic, whenever it is tested: no night holds anything back.
        await pool.execute("update institutions set zone = $1", noon())
        await set_booking(clinic.world, cancellation_deadline_hours=0)
        told = Story(clinic, clock, tmp_path)
        told.work()
        try:
            yield told
        finally:
            told.kill()
    postgres.drop(url)


def letters(page: Page, said: str) -> Any:
    """What the mailbox shows of these words."""
    return page.get_by_test_id("mail").filter(has_text=said)


async def offer_of(page: Page, reader: str) -> Page:
    """The page behind the link in the offer that somebody was sent, as the mailbox shows it."""
    mail = letters(page, f"{reader}@example.org").filter(has_text="is yours if you want it").first
    async with page.expect_popup() as opened:
        await mail.locator("a", has_text="Answer the offer").click()
    return await opened.value


@pytest.mark.timeout(400)
async def test_a_visit_is_told_of_and_a_freed_place_goes_on_though_workers_die(browser: Browser, story: Story) -> None:
    world = story.world
    maya = await story.reader("Maya Lindgren")
    async with visiting(browser) as office:
        page = await office.new_page()
        await page.goto(f"{story.clinic.url}/mailbox")
        await page.wait_for_selector("[data-testid=mailbox]")
        await confirmed(story, page, maya)
        await reminded(story, page, maya)
        await passed_on(story, page)
    assert story.killed == 4
    assert not await world.pool.fetch(SAID_TWICE)
    assert not await world.pool.fetch(MISCOUNTED)
    assert not await world.pool.fetchval("select count(*) from notices where state = 'failed'")


async def confirmed(story: Story, page: Page, maya: int) -> None:
    """Booked: the mailbox shows the confirmation with its calendar entry, once, though its worker was killed."""
    await book(story.world, [await story.slot(hours=24, minutes=30)], patient_id=maya)
    await story.killed_in_the_middle()
    await story.settled()
    letter = letters(page, "Your appointment is confirmed.")
    await expect(letter).to_have_count(1, timeout=15_000)
    async with page.expect_download() as saved:
        await letter.get_by_role("button", name="Save").click()
    entry = await asyncio.to_thread(Path(await (await saved.value).path()).read_text)
    assert "METHOD:REQUEST" in entry and "BEGIN:VEVENT" in entry and "STATUS:CONFIRMED" in entry
    assert await story.read_by(maya) == {("booking-confirmed", "email"): 1}


async def reminded(story: Story, page: Page, maya: int) -> None:
    """A day later each reminder is there, once."""
    await story.goes_on(days=1)
    await story.killed_in_the_middle()
    await story.settled()
    await expect(letters(page, "A reminder")).to_have_count(3, timeout=15_000)
    read = await story.read_by(maya)
    assert read == {("booking-confirmed", "email"): 1, ("reminder", "email"): 2, ("reminder", "sms"): 1}


async def passed_on(story: Story, page: Page) -> None:
    """A full day's cancelled time is the first's for half an hour, and then the second's."""
    world = story.world
    full = [await story.slot(days=2, minutes=30 * nth) for nth in range(3)]
    made = [await book(world, [slot], patient_id=await patient_of(world)) for slot in full]
    first, second = await story.reader("Nora Blum"), await story.reader("Omar Haddad")
    day = await day_of(world, full[1])
    for who in (first, second):
        waits = await world.do("join-waitlist", patient_id=who, doctor_id=world.doctors[0], first_day=day)
        assert waits.state == "waiting"
    await world.do("cancel-appointment", appointment_id=made[1].appointment_id)
    await story.killed_in_the_middle()
    await story.settled()
    await expect(letters(page, "nora@example.org")).to_have_count(1, timeout=15_000)
    nora = await offer_of(page, "nora")
    await expect(nora.get_by_test_id("offer-link")).to_have_attribute("data-state", "open")
    await expect(nora.get_by_test_id("countdown")).to_contain_text(re.compile(r"2[5-9]:[0-5]\d"))
    await expect(letters(page, "omar@example.org")).to_have_count(0)
    await story.goes_on(minutes=31)
    await story.killed_in_the_middle()
    await eventually(lambda: offered(world, second), 60)
    await story.settled()
    await expect(letters(page, "omar@example.org")).to_have_count(1, timeout=15_000)
    await expect(letters(page, "nora@example.org")).to_have_count(2)
    assert await story.read_by(first) == {("waitlist-offer", "email"): 1, ("waitlist-offer-ended", "email"): 1}
    assert await story.read_by(second) == {("waitlist-offer", "email"): 1}
    omar = await offer_of(page, "omar")
    await expect(omar.get_by_test_id("offer-link")).to_have_attribute("data-state", "open")
    await nora.reload()
    await expect(nora.get_by_test_id("offer-link")).to_have_attribute("data-state", "expired")


async def offered(world: World, patient: int) -> bool:
    """Whether somebody has an offer."""
    return bool(await world.pool.fetchval("select state = 'offered' from waitlist where patient_id = $1", patient))


async def test_the_clock_goes_ahead_only_where_things_are_tried_out(world: World) -> None:
    assert await store.clock_of(world.pool, 3600) is None
    await world.pool.execute("insert into facts (name, value) values ('origin', 'test')")
    clock = await store.clock_of(world.pool, 3600)
    assert clock is not None and clock() - datetime.now(UTC) > timedelta(minutes=59)
    assert await store.clock_of(world.pool, 0) is None
