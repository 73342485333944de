"""One appointment from the first touch of a time to the trail of what became of it, in real browsers all along."""

import asyncio
import statistics
from dataclasses import dataclass, field
from datetime import timedelta

import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, expect

from server.access import Role
from tests.clinic import book, now, patient_of, set_booking, slot_at
from tests.diary import SLOT, at_times, open_books, patient, slot
from tests.pages import Served, let_in, until, visiting

BLINK_MS = 400
"""A blink of an eye takes 100 to 400 ms."""

CLOCKS = """
(slot) => {
  const now = () => performance.timeOrigin + performance.now();
  window.seen = [];
  document.addEventListener("click", () => seen.push(["pressed", now()]), { capture: true });
  const look = () => {
    const one = document.querySelector(`[data-testid=slot][data-slot="${slot}"]`);
    const is = !one ? "gone" : one.getAttribute("aria-disabled") === "true" ? "held" : "free";
    if (is !== seen.filter(([what]) => what !== "pressed").at(-1)?.[0]) seen.push([is, now()]);
  };
  new MutationObserver(look).observe(document.body, { subtree: true, childList: true, attributes: true });
  look();
}
"""
"""Notes when the page was pressed, and when a time became held or free before its reader's eyes; by one clock."""

BEHIND = """
window.told = [];
Object.defineProperty(Document.prototype, "hidden", { get: () => true });
const Real = window.Notification;
window.Notification = class extends Real {
  constructor(title, options) {
    super(title, options);
    window.told.push(`${title} ${options.body}`);
  }
};
"""
"""A tab that lies behind another, and keeps what it had the browser tell."""


@dataclass
class House:
    """A clinic at noon, its doctor's two pages, and what was booked last."""

    clinic: Served
    queue: int = 0
    rooms: list[Page] = field(default_factory=list)


@pytest_asyncio.fixture(loop_scope="session")
async def house(clinic: Served) -> House:
    await open_books(clinic.world)
    await set_booking(clinic.world, cancellation_deadline_hours=0)
    return House(clinic, await clinic.world.queue("Dr. Ames", owner=clinic.world.doctors[0]))


async def looking(context: BrowserContext, house: House, name: str) -> Page:
    """Somebody looks at the first doctor's times."""
    _, token = await patient(house.clinic.world, name)
    return await at_times(context, house.clinic, token, f"doctor/{house.clinic.world.doctors[0]}")


async def touched(one: Page, other: Page, nth: int) -> float:
    """Milliseconds from the press on a time to the other page's showing it held."""
    wanted = str(await one.locator(SLOT).nth(nth).get_attribute("data-slot"))
    for page in (one, other):
        await page.evaluate(CLOCKS, wanted)
    await slot(one, wanted).click()
    await one.wait_for_selector("[data-testid=booking-form][data-state=held]")
    await expect(slot(other, wanted)).to_have_attribute("aria-disabled", "true")
    pressed = next(at for what, at in await one.evaluate("seen") if what == "pressed")
    seen = await other.evaluate("seen")
    assert [what for what, _ in seen] == ["free", "held"]
    assert seen[0][1] < pressed < seen[1][1]
    await one.get_by_test_id("booking-form").locator(".back").click()
    await one.get_by_test_id("let-go").click()
    await expect(slot(other, wanted)).to_have_attribute("aria-disabled", "false")
    return float(seen[1][1] - pressed)


async def test_a_touched_time_locks_on_the_others_page_within_a_blink(browser: Browser, house: House) -> None:
    async with visiting(browser, "phone") as pocket, visiting(browser) as office:
        one, other = await looking(pocket, house, "Maya Lindgren"), await looking(office, house, "Noor Haddad")
        took = [await touched(one, other, nth) for nth in range(5)]
        print(f"touched to seen: {statistics.median(took):.0f} ms (of {len(took)}: {[round(ms) for ms in took]})")
        assert min(took) < BLINK_MS


async def test_a_closed_tab_frees_its_time_for_the_other(browser: Browser, house: House) -> None:
    async with visiting(browser, "phone") as pocket, visiting(browser) as office:
        one, other = await looking(pocket, house, "Maya Lindgren"), await looking(office, house, "Noor Haddad")
        wanted = str(await one.locator(SLOT).first.get_attribute("data-slot"))
        await slot(one, wanted).click()
        await expect(slot(other, wanted)).to_have_attribute("aria-disabled", "true")
        await one.close()
        await expect(slot(other, wanted)).to_have_attribute("aria-disabled", "false", timeout=25_000)
        await slot(other, wanted).click()
        await other.wait_for_selector("[data-testid=booking-form][data-state=held]")


async def last_seat(house: House, *pages: Page) -> int:
    """All these people hold a seat of one time; then the desk gives one away, so that a single one is left."""
    world = house.clinic.world
    held = int(str(await pages[0].locator(SLOT).first.get_attribute("data-slot")))
    await world.pool.execute("update slots set capacity = 2 where id = $1", held)
    for page in pages:
        await page.reload()
        await slot(page, str(held)).click()
        await page.wait_for_selector("[data-testid=booking-form][data-state=held]")
    await book(world, [held], patient_id=await patient_of(world, "Ingrid Olsen"), insist=True)
    return held


async def test_of_two_who_press_book_at_once_one_has_the_last_seat_and_the_other_the_next(
    browser: Browser, house: House
) -> None:
    async with visiting(browser, "phone") as pocket, visiting(browser) as office:
        pages = [await looking(pocket, house, "Maya Lindgren"), await looking(office, house, "Noor Haddad")]
        seat = await last_seat(house, *pages)
        await asyncio.gather(*(page.get_by_test_id("book").click() for page in pages))
        for page in pages:
            await page.wait_for_selector("[data-testid=booked], [data-testid=hold-lost]")
        lost = [page for page in pages if await page.get_by_test_id("hold-lost").count()]
        assert len(lost) == 1
        taken = await house.clinic.world.pool.fetchrow("select taken, capacity from slots where id = $1", seat)
        assert taken and tuple(taken) == (2, 2)
        await lost[0].get_by_test_id("alternative").first.click()
        await lost[0].wait_for_selector("[data-testid=booking-form][data-state=held]")
        await lost[0].get_by_test_id("book").click()
        await expect(lost[0].get_by_test_id("booked")).to_have_attribute("data-state", "confirmed")


# The whole of it


async def doctors_room(context: BrowserContext, house: House) -> tuple[Page, Page]:
    """The doctor's agenda, behind another tab, and the console in Room 3."""
    clinic = house.clinic
    await context.grant_permissions(["notifications"], origin=clinic.url)
    doctor = clinic.world.doctors[0]
    token = await clinic.world.account(Role.doctor, "ames@clinic.test", name="Dr. Ames", doctor_id=doctor)
    await let_in(context, clinic, token)
    agenda, console = await context.new_page(), await context.new_page()
    await agenda.add_init_script(BEHIND)
    await agenda.goto(f"{clinic.url}/agenda")
    await agenda.wait_for_selector("[data-testid=agenda-day]")
    await console.goto(f"{clinic.url}/console")
    await console.select_option("select", str(house.queue))
    await console.get_by_label("Room 3").check()
    await console.get_by_role("button", name="Begin").click()
    await console.wait_for_selector("[data-testid=console-call-next]")
    return agenda, console


async def book_one(page: Page) -> int:
    """Book the first time that is shown."""
    await page.locator(SLOT).first.click()
    await page.get_by_test_id("book").click()
    booked = page.get_by_test_id("booked")
    await expect(booked).to_have_attribute("data-state", "confirmed")
    return int(str(await booked.get_attribute("data-appointment")))


async def move_to(page: Page, slot_id: int) -> int:
    """Move the only appointment to this time of today."""
    await page.get_by_test_id("move").click()
    await page.locator(f"dialog {SLOT}[data-slot='{slot_id}']").click()
    await page.wait_for_selector("[data-testid=moving][data-state=held]")
    await page.get_by_role("button", name="Move it there").click()
    await expect(page.get_by_test_id("said")).to_have_text("It is moved.")
    await expect(page.get_by_test_id("appointment")).to_have_count(1)
    return int(str(await page.get_by_test_id("appointment").get_attribute("data-appointment")))


async def soon(house: House) -> int:
    """A free time of the doctor's in a few minutes."""
    world = house.clinic.world
    return await slot_at(world, now(world) + timedelta(minutes=15))


async def test_an_appointments_whole_life_is_seen_by_all_and_told_by_its_trail(browser: Browser, house: House) -> None:
    world, today = house.clinic.world, await soon(house)
    async with visiting(browser, "phone") as pocket, visiting(browser) as room:
        agenda, console = await doctors_room(room, house)
        page = await looking(pocket, house, "Maya Lindgren")
        await page.locator(".day").nth(1).click()
        first = await book_one(page)
        await until(agenda, "told.length === 1 && told[0].startsWith('New appointment')")
        await expect(agenda.locator(".toast")).to_be_visible()
        await page.get_by_role("link", name="My appointments").first.click()
        moved = await move_to(page, today)
        visit = agenda.locator(f"[data-testid=agenda-visit][data-appointment='{moved}']")
        await expect(visit).to_contain_text("Maya Lindgren")
        await check_in(page, (await world.ask("arrival-code", location_id=world.location)).code)
        await expect(visit).to_have_attribute("data-state", "checked_in")
        await seen_by_the_doctor(page, console)
        await expect(visit).to_have_attribute("data-state", "completed")
        await tells_the_story(house, first, moved)


async def check_in(page: Page, code: str) -> None:
    """Say that one is there, by the code that is shown there."""
    await page.get_by_test_id("check-in").click()
    await page.get_by_label("Code").fill(code)
    await page.keyboard.press("Enter")
    await expect(page.get_by_test_id("appointment")).to_have_attribute("data-state", "checked_in")


async def seen_by_the_doctor(page: Page, console: Page) -> None:
    """The doctor calls, begins and ends; the patient's page follows each step."""
    await expect(console.get_by_test_id("console-row")).to_contain_text("Maya Lindgren")
    await console.get_by_test_id("console-call-next").click()
    await expect(page.get_by_test_id("ticket")).to_have_attribute("data-state", "called")
    await expect(page.get_by_test_id("ticket")).to_contain_text("Room 3")
    await console.wait_for_selector("[data-testid=console-current][data-state=called]")
    await console.keyboard.press("s")
    await expect(page.get_by_test_id("appointment")).to_have_attribute("data-state", "in_progress")
    await console.wait_for_selector("[data-testid=console-current][data-state=in_consultation]")
    await console.keyboard.press("c")
    await expect(page.get_by_test_id("old").first).to_have_attribute("data-state", "completed")


async def tells_the_story(house: House, first: int, moved: int) -> None:
    """The trail of either appointment tells all of it: what, who, from where, and what was before and is after."""
    world = house.clinic.world
    story = (await world.ask("appointment-history", "doctor", appointment_id=moved)).items
    assert story == (await world.ask("appointment-history", "doctor", appointment_id=first)).items
    told = [(one.action, one.appointment, one.who, (one.after or {}).get("state")) for one in story]
    assert told == [
        ("book-appointment", first, "Maya Lindgren", "confirmed"),
        ("reschedule-appointment", moved, "Maya Lindgren", "confirmed"),
        ("reschedule-appointment", first, "Maya Lindgren", "rescheduled"),
        ("check-in", moved, "Maya Lindgren", "checked_in"),
        ("call-next", moved, "Dr. Ames", "called"),
        # Of the ticket, and of the appointment that goes with it.
        ("start", moved, "Dr. Ames", "in_consultation"),
        ("start", moved, "Dr. Ames", "in_progress"),
        ("complete", moved, "Dr. Ames", "completed"),
        ("complete", moved, "Dr. Ames", "completed"),
    ]
    assert all(one.address == "127.0.0.1" for one in story)
    assert [one.at for one in story] == sorted(one.at for one in story)
    assert story[3].before == {"state": "confirmed", "token": None}
