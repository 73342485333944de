"""A patient's own appointments in a real browser: live, moved, called off, and checked in on the day."""

import re
from datetime import timedelta

from playwright.async_api import Browser, BrowserContext, Page, expect

from server.access import SYSTEM
from server.queue import CLOSE_DAY, CloseDay
from tests.clinic import book, now, patient_of, slot_at
from tests.diary import SLOT, open_books, patient
from tests.pages import Served, answered_late, signed_in, sits_down, visiting
from tests.world import World

CARD = "[data-testid=appointment]"


async def prepare(world: World) -> None:
    """Both doctors can be booked."""
    await open_books(world)


async def mine(context: BrowserContext, clinic: Served, token: str) -> Page:
    """Somebody's own appointments, live."""
    page = await signed_in(context, clinic, token, "/appointments")
    await page.wait_for_selector(f"{CARD}, .nothing")
    return page


async def booked(clinic: Served, patient_id: int, day: int = 3, nth: int = 4) -> int:
    """An appointment of theirs with the first doctor, so many days from now."""
    found = await clinic.world.pool.fetch(
        "select id from slots where doctor_id = $1 and starts_at > now() + $2 and taken = 0 order by starts_at",
        clinic.world.doctors[0],
        timedelta(days=day),
    )
    return int((await book(clinic.world, [found[nth]["id"]], patient_id=patient_id)).appointment_id)


async def today(clinic: Served, patient_id: int) -> int:
    """An appointment of theirs in a moment, with a doctor who has a queue."""
    world = clinic.world
    await world.queue("Dr. Ames", owner=world.doctors[0])
    slot = await slot_at(world, now(world) + timedelta(minutes=3), minutes=10)
    return int((await book(world, [slot], patient_id=patient_id)).appointment_id)


async def state_of(clinic: Served, appointment: int) -> str:
    return str(await clinic.world.pool.fetchval("select state from appointments where id = $1", appointment))


async def test_an_appointment_made_at_the_desk_appears_by_itself(browser: Browser, clinic: Served) -> None:
    who, token = await patient(clinic.world)
    async with visiting(browser, "phone") as pocket:
        page = await mine(pocket, clinic, token)
        await expect(page.locator(".nothing")).to_be_visible()
        made = await booked(clinic, who)
        await expect(page.locator(f"{CARD}[data-appointment='{made}']")).to_have_attribute("data-state", "confirmed")


async def test_somebody_moves_an_appointment_to_another_time(browser: Browser, clinic: Served) -> None:
    who, token = await patient(clinic.world)
    made = await booked(clinic, who)
    async with visiting(browser, "phone") as pocket:
        page = await mine(pocket, clinic, token)
        await page.get_by_test_id("move").click()
        await page.locator(f"dialog {SLOT}").nth(2).click()
        await page.wait_for_selector("[data-testid=moving][data-state=held]")
        await page.get_by_role("button", name="Move it there").click()
        await expect(page.get_by_test_id("said")).to_have_text("It is moved.")
        await expect(page.locator(CARD)).to_have_count(1)
        assert await state_of(clinic, made) == "rescheduled"
        later = await page.locator(CARD).get_attribute("data-appointment")
        row = await clinic.world.pool.fetchrow(
            "select rescheduled_from, state from appointments where id = $1", int(later or 0)
        )
        assert row and (row["rescheduled_from"], row["state"]) == (made, "confirmed")


async def test_somebody_calls_an_appointment_off_with_a_reason(browser: Browser, clinic: Served) -> None:
    who, token = await patient(clinic.world)
    made = await booked(clinic, who)
    async with visiting(browser, "phone") as pocket:
        page = await mine(pocket, clinic, token)
        await page.get_by_test_id("cancel").click()
        await page.get_by_label("Why?").fill("Feeling well again")
        await page.get_by_role("button", name="Cancel the appointment").click()
        await expect(page.locator(CARD)).to_have_count(0)
        await expect(page.locator(f"[data-testid=old][data-appointment='{made}']").first).to_be_visible()
        row = await clinic.world.pool.fetchrow(
            "select state, cancelled_by, cancel_reason from appointments where id = $1", made
        )
        assert row and tuple(row) == ("cancelled", "patient", "Feeling well again")


async def test_after_the_deadline_the_page_says_to_call(browser: Browser, clinic: Served) -> None:
    who, token = await patient(clinic.world)
    made = await booked(clinic, who)
    await clinic.world.pool.execute(
        "update appointments set change_until = now() - interval '1 hour' where id = $1", made
    )
    async with visiting(browser, "phone") as pocket:
        page = await mine(pocket, clinic, token)
        await expect(page.locator(CARD)).to_contain_text("please call the clinic")
        await expect(page.get_by_test_id("cancel")).to_have_count(0)
        await expect(page.get_by_test_id("move")).to_have_count(0)


async def test_on_the_day_somebody_checks_in_is_called_and_is_done(browser: Browser, clinic: Served) -> None:
    who, token = await patient(clinic.world)
    made = await today(clinic, who)
    world = clinic.world
    code = (await world.ask("arrival-code", location_id=world.location)).code
    async with visiting(browser, "phone") as pocket:
        page = await mine(pocket, clinic, token)
        await page.get_by_test_id("check-in").click()
        await page.get_by_label("Code").fill(f"{(int(code) + 1) % 10_000:04d}")
        await page.keyboard.press("Enter")
        await expect(page.locator("dialog .problem")).to_be_visible()
        await page.get_by_label("Code").fill(code)
        await page.keyboard.press("Enter")
        await expect(page.locator(CARD)).to_have_attribute("data-state", "checked_in")
        await expect(page.get_by_role("link", name="See your place")).to_have_attribute("href", re.compile("^/t/"))
        queue = await world.pool.fetchval("select queue_id from tickets")
        called = await world.call_next(queue, 2)
        await expect(page.get_by_test_id("ticket")).to_have_attribute("data-state", "called")
        await expect(page.get_by_test_id("ticket")).to_contain_text("Room 3")
        await world.do("start", "doctor", ticket_id=called.ticket.ticket)
        await expect(page.locator(CARD)).to_have_attribute("data-state", "in_progress")
        await world.do("complete", "doctor", ticket_id=called.ticket.ticket)
        await expect(page.locator(f"[data-testid=old][data-appointment='{made}']").first).to_be_visible()
        assert await state_of(clinic, made) == "completed"


async def test_whoever_waited_in_vain_reads_that_the_day_ended(browser: Browser, clinic: Served) -> None:
    world, (who, token) = clinic.world, await patient(clinic.world)
    queue = await world.queue()
    ticket = await world.do("join-queue", queue_id=queue, patient_id=who)
    async with visiting(browser, "phone") as pocket, visiting(browser, "phone") as other:
        page, place = await mine(pocket, clinic, token), await other.new_page()
        await place.goto(ticket.link)
        await place.wait_for_selector(".page[data-state=waiting]")
        await expect(page.get_by_test_id("ticket")).to_have_attribute("data-state", "waiting")
        await world.pool.execute("update tickets set day = day - 1")
        await world.pool.execute("update queues set token_day = token_day - 1")
        await world.store.execute(CLOSE_DAY, SYSTEM, CloseDay(queue_id=queue))
        await expect(page.get_by_test_id("said")).to_contain_text("did not come before the end of the day")
        await expect(place.get_by_role("heading", name="The day has ended")).to_be_visible()


async def test_a_letters_link_checks_in_whoever_is_there_without_signing_in(browser: Browser, clinic: Served) -> None:
    world = clinic.world
    who = await patient_of(world, "Sam Carter")
    await world.pool.execute("update patients set email = 'sam@example.org' where id = $1", who)
    made = await today(clinic, who)
    here = await world.pool.fetchval("select facts ->> 'here' from notices where appointment_id = $1 limit 1", made)
    code = (await world.ask("arrival-code", location_id=world.location)).code
    async with visiting(browser, "phone") as pocket:
        page = await pocket.new_page()
        await page.goto(f"{clinic.url}/appointments#here={here}")
        await page.fill("input[name=code]", code)
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("heading", level=1)).to_contain_text("A001")
        assert await state_of(clinic, made) == "checked_in"
        await page.get_by_role("link", name="See your place").click()
        await page.wait_for_url("**/t/*")
        await page.goto(f"{clinic.url}/appointments")
        await page.wait_for_selector("[data-testid=code-sign-in]")


async def test_somebody_who_is_there_calls_for_help_and_sees_who_comes(browser: Browser, clinic: Served) -> None:
    who, token = await patient(clinic.world)
    await today(clinic, who)
    world = clinic.world
    async with visiting(browser, "phone") as pocket:
        page = await mine(pocket, clinic, token)
        await page.get_by_test_id("help").click()
        await page.get_by_label("What is wrong?").fill("I cannot breathe well")
        await page.get_by_role("button", name="Call for help").click()
        await expect(page.get_by_test_id("helped")).to_be_visible()
        emergency = await world.pool.fetchval("select id from emergencies where reason = 'I cannot breathe well'")
        await world.do("acknowledge-emergency", "receptionist", emergency_id=emergency)
        await expect(page.get_by_test_id("helped")).to_contain_text("on the way", timeout=10_000)


async def test_what_has_been_is_read_a_page_at_a_time(browser: Browser, clinic: Served) -> None:
    who, token = await patient(clinic.world)
    for nth in range(23):
        made = await booked(clinic, who, 3, nth)
        await clinic.world.pool.execute(LONG_AGO, made, timedelta(days=200 + nth))
    async with visiting(browser, "phone") as pocket:
        page = await mine(pocket, clinic, token)
        await expect(page.get_by_test_id("old")).to_have_count(20)
        await page.get_by_role("button", name="Show more").click()
        await expect(page.get_by_test_id("old")).to_have_count(23)


LONG_AGO = """
update appointments set starts_at = starts_at - $2::interval, ends_at = ends_at - $2::interval, state = 'completed',
    filed_at = now()
where id = $1
"""


async def test_whoever_signs_out_leaves_nothing_behind(browser: Browser, clinic: Served) -> None:
    who, token = await patient(clinic.world)
    await booked(clinic, who)
    async with visiting(browser, "phone") as pocket:
        page = await mine(pocket, clinic, token)
        await page.get_by_role("button", name="Sign out").click()
        await page.wait_for_selector(".gate-card")
        await expect(page.locator(CARD)).to_have_count(0)
        await page.reload()
        await page.wait_for_selector(".gate-card")


async def test_what_is_answered_after_somebody_has_left_is_not_shown_to_the_next(
    browser: Browser, clinic: Served
) -> None:
    who, token = await patient(clinic.world)
    _, next_token = await patient(clinic.world, "Noor Haddad")
    await clinic.world.pool.execute(LONG_AGO, await booked(clinic, who), timedelta(days=200))
    async with visiting(browser, "phone") as pocket:
        async with answered_late(pocket, "**/appointments/mine?when=past*"):
            page = await mine(pocket, clinic, token)
            await page.get_by_role("button", name="Sign out").click()
            await page.wait_for_selector(".gate-card")
        await sits_down(page, clinic, next_token)
        await expect(page.locator(".nothing")).to_be_visible()
        await expect(page.get_by_test_id("old")).to_have_count(0)


async def test_what_was_said_to_one_is_not_said_to_the_next(browser: Browser, clinic: Served) -> None:
    who, token = await patient(clinic.world)
    _, next_token = await patient(clinic.world, "Noor Haddad")
    await booked(clinic, who)
    async with visiting(browser, "phone") as pocket:
        page = await mine(pocket, clinic, token)
        await page.get_by_test_id("cancel").click()
        await page.get_by_role("button", name="Cancel the appointment").click()
        await expect(page.get_by_test_id("said")).to_have_text("It is cancelled.")
        await page.get_by_role("button", name="Sign out").click()
        await sits_down(page, clinic, next_token)
        await expect(page.locator(".nothing")).to_be_visible()
        await expect(page.get_by_test_id("said")).to_have_text("")


async def test_a_late_answer_closes_no_sheet_but_its_own(browser: Browser, clinic: Served) -> None:
    who, token = await patient(clinic.world)
    first, second = await booked(clinic, who), await booked(clinic, who, 5)
    async with visiting(browser, "phone") as pocket:
        page = await mine(pocket, clinic, token)
        async with answered_late(page, f"**/appointments/{first}/cancel", "POST"):
            await page.locator(f"{CARD}[data-appointment='{first}'] [data-testid=cancel]").click()
            await page.get_by_role("button", name="Cancel the appointment").click()
            await page.keyboard.press("Escape")
            await page.locator(f"{CARD}[data-appointment='{second}'] [data-testid=cancel]").click()
            await page.get_by_label("Why?").fill("Away")
        await expect(page.get_by_test_id("said")).to_have_text("It is cancelled.")
        await expect(page.get_by_label("Why?")).to_have_value("Away")


async def test_wishes_said_in_haste_all_stay(browser: Browser, clinic: Served) -> None:
    who, token = await patient(clinic.world)
    await clinic.world.pool.execute("update patients set email = 'maya@home.test' where id = $1", who)
    async with visiting(browser, "phone") as pocket:
        page = await mine(pocket, clinic, token)
        await page.get_by_text("What we tell you").click()
        await page.get_by_test_id("add-reminder").wait_for()
        reminders = page.locator(".wishes-list li")
        before = await reminders.count()
        async with answered_late(page, "**/preferences", "POST"):
            await page.get_by_test_id("add-reminder").click()
            await page.get_by_test_id("add-reminder").click()
        await expect(page.get_by_test_id("wishes-said")).not_to_have_text("")
        await expect(reminders).to_have_count(before + 2)
