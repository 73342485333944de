"""What days came to, and what is forgotten, in the back office of a real browser."""

from playwright.async_api import Browser, expect

from tests.pages import Served, answered_late, visiting
from tests.test_admin import office, prepare
from tests.world import World

__all__ = ["prepare"]

DAYS = """
insert into daily_figures (institution_id, location_id, doctor_id, day, tickets, completed, no_shows, cancelled,
    wait_p50, wait_p90, consultation_p50, appointments, computed_at)
select $1, $2, d.id, current_date - n, 30 + n * 3 % 17, 25 + n * 3 % 17, 2, 3, 900 + n * 60, 2400, 720,
    '{"completed": 12, "no_show": 1}', now()
from generate_series(1, 12) as n cross join (select null::bigint as id union all select $3::bigint) d
"""


async def days(world: World) -> None:
    """A dozen ended days of the place, and of a doctor there."""
    await world.pool.execute(DAYS, world.institution, world.location, world.doctors[0])


async def test_an_admin_reads_what_days_came_to_by_place_and_by_doctor(browser: Browser, clinic: Served) -> None:
    await days(clinic.world)
    async with visiting(browser) as desk:
        page = await office(desk, clinic, "figures")
        rows = page.get_by_test_id("figures").locator("tbody tr")
        await expect(rows).to_have_count(12)
        await expect(rows.first).to_contain_text("Main waiting room")
        await expect(rows.first.locator("td")).to_have_text(
            ["Main waiting room", "33", "28", "2", "3", "16 minutes", "40 minutes", "12 minutes", "13"]
        )
        await expect(page.locator(".day-chart g")).to_have_count(12)
        await page.get_by_label("For each").select_option("doctor")
        await expect(rows.first).to_contain_text("Dr. Ames")
        await expect(page.get_by_test_id("satisfaction")).to_be_visible()


async def test_nothing_is_forgotten_before_an_admin_has_said_so_twice(browser: Browser, clinic: Served) -> None:
    kept = "select retention::text from institutions"
    async with visiting(browser) as desk:
        page = await office(desk, clinic, "places")
        form = page.get_by_test_id("retention")
        await form.get_by_role("spinbutton", name="What was sent").fill("90")
        await form.get_by_role("button", name="Save").click()
        await expect(page.locator("dialog")).to_contain_text("What was sent: after 90 days.")
        assert await clinic.world.pool.fetchval(kept) == "{}"
        await page.locator("dialog").get_by_role("button", name="Save").click()
        await expect(page.locator(".toast.is-done")).to_be_visible()
        assert await clinic.world.pool.fetchval(kept) == '{"notices_days": 90}'
        await expect(form.get_by_role("spinbutton", name="What was sent")).to_have_value("90")
        await form.get_by_role("spinbutton", name="What was sent").fill("")
        async with page.expect_response("**/retention"):
            await form.get_by_role("button", name="Save").click()
        await expect(form.locator("[data-setting=notices_days]")).to_contain_text("Kept for good.")
    assert await clinic.world.pool.fetchval("select retention->>'notices_days' from institutions") is None


async def test_what_is_forgotten_from_now_on_shows_as_soon_as_it_is_kept(browser: Browser, clinic: Served) -> None:
    async with visiting(browser) as desk:
        page = await office(desk, clinic, "places")
        form = page.get_by_test_id("retention")
        sent = form.get_by_role("spinbutton", name="What was sent")
        await sent.fill("90")
        await form.get_by_role("button", name="Save").click()
        async with answered_late(page, "**/retention"):
            await page.locator("dialog").get_by_role("button", name="Save").click()
            await expect(page.locator(".toast.is-done")).to_be_visible()
            assert await sent.input_value() == "90"
        assert await sent.input_value() == "90"
