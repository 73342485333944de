"""The agenda in a real browser: a doctor's day as others change it, requests, steps with one tap, notes, help."""

from datetime import timedelta
from typing import Any

from playwright.async_api import Browser, BrowserContext, Page, expect

from server.access import Role
from tests.clinic import book, day_of, patient_of, set_booking, slots_of, specialty_of
from tests.pages import Served, answered_late, reception, signed_in, until, visiting
from tests.world import World


async def prepare(world: World) -> None:
    """The first doctor has a queue."""
    await world.queue("Cardiology", owner=world.doctors[0])


async def agenda(context: BrowserContext, clinic: Served, path: str = "", nth: int = 0) -> Page:
    """A doctor's agenda, signed in."""
    doctor: dict[str, Any] = {"doctor_id": clinic.world.doctors[nth], "name": ("Dr. Ames", "Dr. Bloch")[nth]}
    token = await clinic.world.account(Role.doctor, f"doctor{nth}@clinic.test", **doctor)
    page = await signed_in(context, clinic, token, f"/agenda{path}")
    await page.wait_for_selector("[data-testid=agenda-day], [data-testid=agenda-week]")
    return page


async def test_appointment_of_another_hand_comes_and_goes_without_a_reload(browser: Browser, clinic: Served) -> None:
    world = clinic.world
    async with visiting(browser) as room:
        page = await agenda(room, clinic, "#/week")
        (slot,) = await slots_of(world, after=timedelta(hours=1))
        booked = await book(world, [slot], patient_id=await patient_of(world, "Noor Haddad"))
        await page.goto(f"{clinic.url}/agenda#/day/{await day_of(world, slot)}")
        visit = page.get_by_test_id("agenda-visit")
        await expect(visit).to_contain_text("Noor Haddad")
        await world.do("cancel-appointment", appointment_id=booked.appointment_id, reason="Ill")
        await expect(visit).to_have_attribute("data-state", "cancelled")
        await world.do("correct-patient", patient_id=await one_patient(world), name="Nour Haddad")
        await expect(visit).to_contain_text("Nour Haddad")


async def one_patient(world: World) -> int:
    """The only patient there is."""
    return int(await world.pool.fetchval("select id from patients"))


async def test_request_is_told_accepted_and_taken_from_the_other_doctor(browser: Browser, clinic: Served) -> None:
    world = clinic.world
    specialty = await specialty_of(world, 0, 1)
    async with visiting(browser) as room, visiting(browser) as next_door:
        page, other = await agenda(room, clinic), await agenda(next_door, clinic, nth=1)
        for nth in (1, 0):
            slots = await slots_of(world, nth)
        await book(world, slots, patient_id=await patient_of(world, "Rosa Delgado"), specialty_id=specialty)
        for one in (page, other):
            await expect(one.get_by_test_id("agenda-request")).to_contain_text("Rosa Delgado")
            await expect(one.locator(".toast")).to_contain_text("New request")
        await page.get_by_test_id("agenda-request").get_by_role("button", name="Accept").click()
        await expect(other.get_by_test_id("agenda-request")).to_have_count(0)
        await page.get_by_role("button", name="Accepted", exact=True).click()
        await expect(page.get_by_test_id("agenda-request")).to_have_attribute("data-state", "confirmed")
        await page.reload()
        await expect(page.get_by_test_id("agenda-request")).to_contain_text("Rosa Delgado")


async def test_rejected_request_keeps_its_reason_and_can_be_taken_back(browser: Browser, clinic: Served) -> None:
    world = clinic.world
    await set_booking(world, auto_confirm_appointments=False)
    async with visiting(browser) as room:
        page = await agenda(room, clinic)
        await book(world, await slots_of(world, 0), patient_id=await patient_of(world, "Sam Carter"))
        await page.get_by_test_id("agenda-request").get_by_role("button", name="Reject").click()
        await page.get_by_role("dialog").get_by_role("textbox").fill("Not my field")
        await page.get_by_role("dialog").get_by_role("button", name="Reject").click()
        await expect(page.get_by_test_id("agenda-request")).to_have_count(0)
        assert await world.pool.fetchval("select answer_reason from appointments") == "Not my field"
        await page.locator(".toast").get_by_role("button", name="Undo").click()
        await expect(page.get_by_test_id("agenda-request")).to_have_attribute("data-state", "pending")


async def test_walk_in_is_begun_in_the_room_that_is_named_once(browser: Browser, clinic: Served) -> None:
    world = clinic.world
    queue = int(await world.pool.fetchval("select id from queues"))
    async with visiting(browser) as room:
        page = await agenda(room, clinic)
        await world.join(queue, "Mei Tanaka")
        await page.get_by_test_id("agenda-visit").get_by_role("button", name="Start").click()
        await page.get_by_role("dialog").get_by_label("Room 2").check()
        await page.get_by_role("dialog").get_by_role("button", name="Start").click()
        await expect(page.get_by_test_id("agenda-visit")).to_have_attribute("data-state", "in_progress")
        assert await world.pool.fetchval("select desk_id from tickets") == world.desks[1]
        await page.get_by_test_id("agenda-visit").get_by_role("button", name="Complete").click()
        await expect(page.get_by_test_id("agenda-visit")).to_have_attribute("data-state", "completed")
        assert await world.pool.fetchval("select state from tickets") == "completed"
        await world.join(queue, "Bilal Aziz")
        waiting = page.locator("[data-testid=agenda-visit][data-state=checked_in]")
        await waiting.get_by_role("button", name="Start").click()
        await expect(page.locator("[data-state=in_progress]")).to_contain_text("Bilal Aziz")


async def test_notes_keep_every_version_and_history_is_asked_for(browser: Browser, clinic: Served) -> None:
    world = clinic.world
    await world.join(int(await world.pool.fetchval("select id from queues")), "Mei Tanaka")
    async with visiting(browser) as room:
        page = await agenda(room, clinic)
        await page.get_by_role("button", name="Mei Tanaka").click()
        sheet = page.get_by_role("dialog")
        for text in ("Flu", "Influenza A"):
            await sheet.get_by_label("Diagnosis").fill(text)
            await sheet.get_by_role("button", name="Save").nth(1).click()
            await expect(page.locator(".toast")).to_contain_text("Saved")
        await sheet.get_by_text("1 earlier version").click()
        await expect(sheet.locator(".versions")).to_contain_text("Flu")
        read = "select count(*) from audit where action = 'medical-notes'"
        assert await world.pool.fetchval(read) == 0
        await sheet.get_by_role("button", name="Show medical history").click()
        await sheet.get_by_role("textbox", name="Medical history").fill("Penicillin allergy")
        async with page.expect_response("**/medical-notes"):
            await sheet.get_by_role("button", name="Save").last.click()
        await expect(sheet.get_by_role("button", name="Save").last).to_be_disabled()
        assert await world.pool.fetchval("select medical_notes from patients") == "Penicillin allergy"


async def test_call_for_help_reaches_the_doctor_who_goes_and_the_desk_sees_who(
    browser: Browser, clinic: Served
) -> None:
    world = clinic.world
    queue = int(await world.pool.fetchval("select id from queues"))
    await world.join(queue)
    await world.call_next(queue)
    async with visiting(browser) as room, visiting(browser) as front:
        page, desk = await agenda(room, clinic), await reception(front, clinic)
        await desk.get_by_test_id("emergency-raise").click()
        await desk.get_by_label("What has happened").fill("Collapsed at the door")
        await desk.get_by_role("button", name="Call for help now").click()
        alarm = page.get_by_test_id("emergency")
        await expect(alarm).to_contain_text("Collapsed at the door")
        await expect(desk.get_by_test_id("emergency-state")).to_contain_text("have been told")
        await alarm.get_by_role("button", name="I am going").click()
        await expect(desk.get_by_test_id("emergency-state")).to_contain_text("Dr. Ames is on the way")
        await desk.get_by_test_id("emergency").get_by_role("button", name="It is over").click()
        await expect(alarm).to_have_count(0)


async def test_keys_turn_the_pages_and_the_address_keeps_what_is_seen(browser: Browser, clinic: Served) -> None:
    async with visiting(browser) as room:
        page = await agenda(room, clinic)
        before = await page.locator(".agenda-bar h2").inner_text()
        await page.keyboard.press("ArrowRight")
        await expect(page.locator(".agenda-bar h2")).not_to_have_text(before)
        await page.keyboard.press("w")
        await page.wait_for_selector("[data-testid=agenda-week]")
        await page.reload()
        await page.wait_for_selector("[data-testid=agenda-week]")
        await page.evaluate(AT_ONCE, ["t", "d"])
        await expect(page.locator(".agenda-bar h2")).to_have_text(before)


AT_ONCE = (
    "(keys) => keys.forEach((key) => document.body.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true })))"
)
"""Keys that come before the page has heard where the first of them has led."""


async def test_desk_shows_the_code_of_arrival_where_a_setting_says_so(browser: Browser, clinic: Served) -> None:
    async with visiting(browser) as front:
        desk = await reception(front, clinic)
        await expect(desk.get_by_test_id("reception-code")).to_have_count(0)
        await clinic.world.set_institution(show_arrival_code=True)
        await desk.reload()
        code = (await clinic.world.ask("arrival-code", location_id=clinic.world.location)).code
        await expect(desk.get_by_test_id("reception-code")).to_contain_text(code)


async def test_notification_behind_another_page_names_nobody(browser: Browser, clinic: Served) -> None:
    world = clinic.world
    async with visiting(browser, permissions=["notifications"]) as room:
        page = await agenda(room, clinic)
        await page.evaluate(BEHIND)
        await book(world, await slots_of(world), patient_id=await patient_of(world, "Noor Haddad"))
        await until(page, "window.told.length > 0")
        (told,) = await page.evaluate("window.told")
    assert told.startswith("New appointment at") and "Haddad" not in told


BEHIND = """
() => {
    window.told = [];
    Object.defineProperty(document, "hidden", {get: () => true});
    window.Notification = class {
        static permission = "granted";
        constructor(title, options) { window.told.push(`${title} ${options.body}`); }
    };
}
"""
"""The page lies behind another, and what the browser would show is noted."""


async def test_a_day_that_is_over_is_not_said_to_be_free_before_it_is_read(browser: Browser, clinic: Served) -> None:
    world = clinic.world
    (slot,) = await slots_of(world)
    await book(world, [slot], patient_id=await patient_of(world, "Noor Haddad"))
    await world.pool.execute(FIVE_DAYS_AGO)
    day = await world.pool.fetchval("select (starts_at at time zone 'UTC')::date::text from appointments")
    async with visiting(browser) as room:
        async with answered_late(room, "**/doctors/*/day?*"):
            page = await agenda(room, clinic, f"#/day/{day}")
            await expect(page.get_by_test_id("agenda-day")).to_contain_text("Connecting")
            await expect(page.get_by_test_id("agenda-day")).not_to_contain_text("Nobody is booked")
        await expect(page.get_by_test_id("agenda-visit")).to_contain_text("Noor Haddad")


async def test_a_day_that_could_not_be_read_is_asked_for_again(browser: Browser, clinic: Served) -> None:
    world = clinic.world
    (slot,) = await slots_of(world)
    await book(world, [slot], patient_id=await patient_of(world, "Noor Haddad"))
    await world.pool.execute(FIVE_DAYS_AGO)
    day = await world.pool.fetchval("select (starts_at at time zone 'UTC')::date::text from appointments")
    async with visiting(browser) as room:
        await room.route("**/doctors/*/day?*", lambda route: route.abort(), times=1)
        page = await agenda(room, clinic, f"#/day/{day}")
        await expect(page.get_by_test_id("agenda-visit")).to_contain_text("Noor Haddad")


FIVE_DAYS_AGO = """
update appointments set starts_at = starts_at - interval '7 days', ends_at = ends_at - interval '7 days',
    state = 'completed', filed_at = now()
"""


async def test_none_is_said_to_be_accepted_before_that_is_known(browser: Browser, clinic: Served) -> None:
    async with visiting(browser) as room:
        page = await agenda(room, clinic)
        async with answered_late(page, "**/appointments/search", "POST"):
            await page.get_by_role("button", name="Accepted", exact=True).click()
            await expect(page.locator(".requests")).to_contain_text("Connecting")
            await expect(page.locator(".requests")).not_to_contain_text("None has been accepted")
        await expect(page.locator(".requests")).to_contain_text("None has been accepted")
