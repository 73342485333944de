"""The schedule page in a real browser: drawn by keys and by pointer, looked at before it is saved, followed live."""

from datetime import timedelta
from itertools import pairwise
from typing import Any

from playwright.async_api import Browser, BrowserContext, Page, expect

from server.access import Role
from tests.clinic import book, day_of, now, patient_of
from tests.pages import Served, answered_late, signed_in, until, visiting
from tests.world import World

WEEK = [{"weekday": day, "starts": "09:00", "ends": "12:00", "slot_minutes": 30} for day in (0, 2)]


async def scheduled(world: World) -> dict[str, Any]:
    """A schedule of the first doctor: where and from when."""
    place: dict[str, Any] = {"doctor_id": world.doctors[0], "location_id": world.location, "starts_on": "2026-01-05"}
    await world.do("add-schedule", **place, week=WEEK)
    return place


async def opened(context: BrowserContext, clinic: Served) -> Page:
    """The first doctor's schedule page, signed in, a week ahead."""
    doctor: dict[str, Any] = {"doctor_id": clinic.world.doctors[0], "name": "Dr. Ames"}
    token = await clinic.world.account(Role.doctor, "ames@clinic.test", **doctor)
    page = await signed_in(context, clinic, token, "/schedule")
    await page.wait_for_selector(".plan-card")
    await page.get_by_label("The week after").click()
    await page.wait_for_selector("[data-testid=slot]")
    return page


async def test_session_is_moved_by_keys_looked_at_and_saved(browser: Browser, clinic: Served) -> None:
    await scheduled(clinic.world)
    async with visiting(browser) as context:
        page = await opened(context, clinic)
        await page.get_by_role("button", name="Change").click()
        tile = page.get_by_test_id("session").first.locator("button")
        await tile.press("ArrowDown")
        await tile.press("Shift+ArrowDown")
        await page.locator("[data-nth='0']").press("ArrowRight")
        await page.wait_for_selector("[data-testid=preview]")
        await page.get_by_role("button", name="Save").click()
        await page.wait_for_selector(".plan-card")
    week = await clinic.world.pool.fetchval("select week::text from schedules")
    assert '"weekday": 1' in week and '"starts": "09:15:00"' in week and '"ends": "12:30:00"' in week


async def test_session_is_dragged_by_the_pointer(browser: Browser, clinic: Served) -> None:
    await scheduled(clinic.world)
    async with visiting(browser) as context:
        page = await opened(context, clinic)
        await page.get_by_role("button", name="Change").click()
        box = await page.get_by_test_id("session").first.bounding_box()
        assert box
        await page.mouse.move(box["x"] + 20, box["y"] + 20)
        await page.mouse.down()
        await page.mouse.move(box["x"] + 20, box["y"] + 20 + box["height"] / 3, steps=4)
        await page.mouse.up()
        await until(page, "document.querySelector('[data-testid=session]').textContent.includes('10:00 AM–01:00 PM')")
        assert await page.locator("dialog[open]").count() == 0


async def test_slot_that_is_closed_elsewhere_shows_so_at_once(browser: Browser, clinic: Served) -> None:
    await scheduled(clinic.world)
    async with visiting(browser) as context:
        page = await opened(context, clinic)
        await page.get_by_test_id("slot").first.click()
        await page.get_by_label("Open for booking").uncheck()
        await page.get_by_role("button", name="Save").click()
        await page.wait_for_selector(".tile.is-closed")
        id_ = await clinic.world.pool.fetchval("select id from slots where not open")
        await clinic.world.do("change-slot", slot_id=id_, open=True)
        await page.wait_for_selector(".tile.is-closed", state="detached")


async def test_whole_day_is_blocked_after_its_bookings_are_settled(browser: Browser, clinic: Served) -> None:
    world = clinic.world
    await scheduled(world)
    slot = await world.pool.fetchval(
        "select id from slots where starts_at > now() + interval '8 days' order by starts_at limit 1"
    )
    day = await day_of(world, slot)
    await book(world, [slot], patient_id=await patient_of(world, "Noor Haddad"))
    async with visiting(browser) as context:
        page = await opened(context, clinic)
        await page.get_by_role("button", name="Block time").click()
        sheet = page.get_by_role("dialog")
        await sheet.get_by_label("First day").fill(day)
        await sheet.get_by_label("Last day").fill(day)
        await sheet.get_by_role("button", name="Block").click()
        await expect(page.get_by_test_id("block-found")).to_contain_text("Noor Haddad")
        await expect(sheet.get_by_role("button", name="Block")).to_be_disabled()
        await sheet.get_by_label("Cancel them, with notice").check()
        await sheet.get_by_role("button", name="Block").click()
        await expect(sheet).to_have_count(0)
    assert await world.pool.fetchval("select state from appointments") == "cancelled"
    assert await world.pool.fetchval("select whole_days from blocks")


async def test_one_slot_is_added_to_a_day_and_taken_away_again(browser: Browser, clinic: Served) -> None:
    await scheduled(clinic.world)
    async with visiting(browser) as context:
        page = await opened(context, clinic)
        before = await page.get_by_test_id("slot").count()
        await page.get_by_role("button", name="Add a slot on").last.click()
        await page.get_by_label("From", exact=True).fill("15:00")
        await page.get_by_role("dialog").get_by_role("button", name="Add").click()
        await expect(page.get_by_test_id("slot")).to_have_count(before + 1)
        await page.get_by_test_id("slot").last.click()
        await page.get_by_role("button", name="Remove slot").click()
        await expect(page.get_by_test_id("slot")).to_have_count(before)


async def test_many_slots_are_added_on_chosen_weekdays(browser: Browser, clinic: Served) -> None:
    await scheduled(clinic.world)
    async with visiting(browser) as context:
        page = await opened(context, clinic)
        before = await clinic.world.pool.fetchval("select count(*) from slots")
        await page.get_by_role("button", name="Add slots").click()
        sheet = page.get_by_role("dialog")
        await sheet.get_by_label("From", exact=True).fill("15:00")
        await sheet.get_by_label("To", exact=True).fill("16:00")
        await sheet.get_by_label("Break between (min)").fill("5")
        await sheet.get_by_role("button", name="Add").click()
        await expect(sheet).to_have_count(0)
    assert await clinic.world.pool.fetchval("select count(*) from slots") == before + 3


async def test_other_weeks_until_a_day_are_left_out_of_a_fortnight(browser: Browser, clinic: Served) -> None:
    await scheduled(clinic.world)
    async with visiting(browser) as context:
        page = await opened(context, clinic)
        await page.get_by_role("button", name="Change").click()
        await page.get_by_label("Recurs").select_option("2")
        last = now(clinic.world).date() + timedelta(days=70)
        await page.get_by_label("Last day (optional)").fill(str(last))
        await page.wait_for_selector("[data-testid=preview]")
        await page.get_by_role("button", name="Save").click()
        await expect(page.locator(".plan-card")).to_contain_text("every 2 weeks")
    weeks = [row["week"] for row in await clinic.world.pool.fetch(WEEKS)]
    assert len(weeks) > 1 and weeks[-1].date() <= last
    assert {(after - before).days for before, after in pairwise(weeks)} == {14}


WEEKS = """
select distinct date_trunc('week', s.starts_at at time zone i.zone) as week
from slots s join institutions i on i.id = s.institution_id order by week
"""


async def test_week_is_not_said_to_be_empty_before_it_is_read(browser: Browser, clinic: Served) -> None:
    await scheduled(clinic.world)
    async with visiting(browser) as context:
        page = await opened(context, clinic)
        await page.get_by_label("The week before").click()
        await page.get_by_label("The week before").click()
        await page.get_by_text("No slots this week").wait_for()
        async with answered_late(page, "**/calendar?*"):
            await page.get_by_label("The week after").click()
            await page.get_by_label("The week after").click()
            await expect(page.locator(".plan-main")).not_to_contain_text("No slots this week")
        await page.wait_for_selector("[data-testid=slot]")


async def test_page_whose_first_answers_are_lost_asks_again(browser: Browser, clinic: Served) -> None:
    await scheduled(clinic.world)
    async with visiting(browser) as context:
        for lost in ("**/catalogue", "**/calendar?*"):
            await context.route(lost, lambda route: route.abort(), times=1)
        await opened(context, clinic)


async def test_what_is_drawn_while_a_draft_is_saved_stays(browser: Browser, clinic: Served) -> None:
    async with visiting(browser) as context:
        token = await clinic.world.account(
            Role.doctor, "ames@clinic.test", doctor_id=clinic.world.doctors[0], name="Dr. Ames"
        )
        page = await signed_in(context, clinic, token, "/schedule")
        await page.get_by_role("button", name="New weekly schedule").click()
        await page.get_by_label("Add a session on Monday").click()
        await page.wait_for_selector("[data-testid=preview]")
        async with answered_late(page, "**/doctors/*/schedules", "POST"):
            await page.get_by_role("button", name="Save").click()
            await page.get_by_label("Add a session on Tuesday").click()
        await expect(page.get_by_test_id("session")).to_have_count(2)
        await page.wait_for_selector("[data-testid=preview]")
        await page.get_by_role("button", name="Save").click()
        await page.wait_for_selector(".plan-card")
    assert await clinic.world.pool.fetchval("select jsonb_array_length(week) from schedules") == 2
    assert await clinic.world.pool.fetchval("select count(*) from schedules") == 1
