"""The back office in a real browser: screens hung up, people let in and put out, settings, and who looked at whom."""

import base64
import re
from datetime import UTC, datetime, timedelta

from playwright.async_api import Browser, BrowserContext, Locator, Page, expect

from server import totp
from server.access import Role
from tests.pages import Served, answered_late, board, console, reception, sits_down, until, visiting
from tests.world import PASSWORD, World

EMAIL = "ada@clinic.test"
NEW_PASSWORD = "seven herons over brackish estuary"


async def prepare(world: World) -> None:
    """An admin can sign in."""
    await world.account(Role.admin, EMAIL, name="Ada Lindqvist")


async def sign_in(page: Page, url: str, email: str = EMAIL, password: str = PASSWORD) -> None:
    """Go to a page of staff's and sign in there."""
    await page.goto(url)
    await page.fill("input[type=email]", email)
    await page.fill("input[type=password]", password)
    await page.keyboard.press("Enter")


async def office(context: BrowserContext, clinic: Served, section: str = "") -> Page:
    """The back office at one of its sections."""
    page = await context.new_page()
    await sign_in(page, f"{clinic.url}/admin#/{section}")
    await page.wait_for_selector(".side")
    return page


def setting(page: Page, name: str) -> Locator:
    return page.locator(f"[data-setting={name}]")


async def test_a_screen_is_hung_up_by_typing_its_code_and_goes_dark_when_disconnected(
    browser: Browser, clinic: Served
) -> None:
    await clinic.world.queue("Cardiology")
    async with visiting(browser, "tv") as wall, visiting(browser) as room:
        screen = await wall.new_page()
        await screen.goto(f"{clinic.url}/board")
        code = str(await screen.get_by_test_id("board-code").get_attribute("data-code"))
        desk = await office(room, clinic, "devices")
        await desk.get_by_label("Code on the screen").press_sequentially(code.replace("-", "").lower())
        await expect(desk.get_by_label("Code on the screen")).to_have_value(code)
        await desk.get_by_label("Name").fill("Corridor")
        await desk.keyboard.press("Enter")
        await expect(desk.get_by_test_id("admin-device")).to_contain_text("Corridor")
        await screen.wait_for_selector("main[data-queues]")
        await expect(screen.locator("body")).to_contain_text("Cardiology")
        await desk.get_by_role("button", name="Disconnect").click()
        await desk.get_by_role("dialog").get_by_role("button", name="Disconnect").click()
        await expect(screen.get_by_test_id("board-code")).to_be_visible(timeout=5_000)
        await expect(desk.get_by_test_id("admin-device")).to_have_count(0)


async def test_a_wrong_code_is_refused_in_words(browser: Browser, clinic: Served) -> None:
    async with visiting(browser) as room:
        desk = await office(room, clinic, "devices")
        await desk.get_by_label("Code on the screen").press_sequentially("zzz zzz")
        await desk.get_by_label("Name").fill("Corridor")
        await desk.keyboard.press("Enter")
        await expect(desk.get_by_role("alert").filter(has_text="No screen shows that code now")).to_be_visible()


async def test_invited_accepted_signed_in(browser: Browser, clinic: Served) -> None:
    async with visiting(browser) as room, visiting(browser, "phone") as pocket:
        desk = await office(room, clinic, "people")
        await desk.get_by_role("button", name="Invite somebody").click()
        await desk.get_by_label("Name").fill("Rosa Delgado")
        await desk.get_by_label("E-mail").fill("rosa@clinic.test")
        await desk.get_by_role("button", name="Make the link").click()
        link = await desk.get_by_role("dialog").get_by_label("Link", exact=True).input_value()
        await expect(desk.get_by_role("img", name="The link, to scan")).to_be_visible()
        await desk.keyboard.press("Escape")
        entry = desk.get_by_test_id("admin-user").filter(has_text="Rosa Delgado")
        await expect(entry).to_have_attribute("data-state", "invited")
        phone = await pocket.new_page()
        await phone.goto(link)
        await expect(phone.locator("h1")).to_contain_text("Rosa Delgado")
        await phone.get_by_label("New password").fill("password1234")
        await phone.keyboard.press("Enter")
        await expect(phone.get_by_role("alert")).to_contain_text("first that anybody would try")
        await phone.get_by_label("New password").fill(NEW_PASSWORD)
        await phone.keyboard.press("Enter")
        await expect(phone.locator("h1")).to_contain_text("Your password is set")
        await expect(entry).to_have_attribute("data-state", "active")
        await sign_in(phone, f"{clinic.url}/admin", "rosa@clinic.test", NEW_PASSWORD)
        await expect(phone.locator("h1")).to_contain_text("for administrators")
        await phone.goto(link)
        await expect(phone.locator("h1")).to_contain_text("has ended")


async def test_whoever_is_deactivated_is_out_of_an_open_console_at_once(browser: Browser, clinic: Served) -> None:
    queue = await clinic.world.queue()
    await clinic.world.join(queue)
    async with visiting(browser) as room, visiting(browser) as surgery:
        theirs = await console(surgery, clinic, await clinic.doctor(), queue, 0)
        desk = await office(room, clinic, "people")
        await desk.get_by_role("link", name="Dr. Ames").click()
        await expect(desk.get_by_test_id("admin-session")).not_to_have_count(0)
        await desk.get_by_role("button", name="Deactivate").click()
        await desk.get_by_role("dialog").get_by_role("button", name="Deactivate").click()
        await expect(theirs.locator("input[type=password]")).to_be_visible(timeout=8_000)
        await expect(desk.get_by_role("button", name="Activate")).to_be_visible()


async def test_a_setting_is_inherited_overridden_and_reset_and_the_board_follows(
    browser: Browser, clinic: Served
) -> None:
    queue = await clinic.world.queue()
    for _ in range(3):
        await clinic.world.join(queue)
    shows = "select settings ->> 'show_waits' from queues where id = $1"
    async with visiting(browser, "tv") as wall, visiting(browser) as room:
        screen = await board(wall, clinic)
        waits = "document.body.textContent.includes('min')"
        await until(screen, waits)
        desk = await office(room, clinic, f"places/queue/{queue}")
        length = setting(desk, "max_length")
        await expect(length).to_contain_text("Inherited from the institution: 100,000")
        await length.locator("input").fill("50")
        await setting(desk, "show_waits").get_by_role("switch").uncheck()
        await desk.get_by_role("button", name="Save").last.click()
        await expect(length).to_have_attribute("data-origin", "queue")
        await expect(length).to_contain_text("Without it, the institution: 100,000")
        await until(screen, f"!{waits}")
        assert await clinic.world.pool.fetchval(shows, queue) == "false"
        await setting(desk, "show_waits").get_by_role("button", name="Reset to inherited").click()
        await expect(setting(desk, "show_waits")).to_have_attribute("data-origin", "default")
        await until(screen, waits)
        assert await clinic.world.pool.fetchval(shows, queue) is None


async def test_what_somebody_else_changes_appears_by_itself(browser: Browser, clinic: Served) -> None:
    async with visiting(browser) as room:
        desk = await office(room, clinic, "places")
        await expect(desk.locator("main")).to_contain_text("Main waiting room")
        await clinic.world.do("create-location", "admin", name="North wing")
        await expect(desk.get_by_role("link", name="North wing")).to_be_visible()
        await desk.get_by_role("link", name="North wing").click()
        await clinic.world.do(
            "set-institution-settings", "admin", institution_id=clinic.world.institution, max_length=7
        )
        await expect(setting(desk, "max_length")).to_contain_text("Inherited from the institution: 7")


async def test_who_looked_at_this_patient_yesterday_in_three_clicks(browser: Browser, clinic: Served) -> None:
    queue = await clinic.world.queue()
    joined = await clinic.world.join(queue, "Noor Haddad")
    await clinic.world.join(queue, "Sam Carter")
    async with visiting(browser) as room:
        desk = await office(room, clinic, "audit")
        await clinic.world.ask("show-ticket", "doctor", ticket_id=joined.ticket_id)
        await clinic.world.pool.execute("alter table audit disable trigger user")
        await clinic.world.pool.execute(
            "update audit set at = at - interval '24 hours' where action = 'show-ticket' and viewed"
        )
        await clinic.world.pool.execute("alter table audit enable trigger user")
        await desk.get_by_test_id("admin-patient").fill("nor hadad")
        await desk.get_by_role("button", name="Noor Haddad").click()
        await desk.get_by_role("combobox", name="Show").select_option("true")
        await desk.get_by_role("button", name="Yesterday").click()
        lines = desk.locator("[data-testid=admin-audit] tbody tr")
        await expect(lines).to_have_count(1)
        await expect(lines.first).to_have_attribute("data-actor", clinic.world.actors["doctor"].key)
        await expect(lines.first).to_contain_text("Noor Haddad")
        exported = str(await desk.get_by_test_id("admin-export").get_attribute("href"))
        assert "viewed=true" in exported and "since=" in exported and "patient_id=" in exported
        csv = await (await room.request.get(clinic.url + exported)).text()
        assert re.findall("show-ticket", csv) == ["show-ticket"]


async def test_the_trail_goes_on_as_one_scrolls(browser: Browser, clinic: Served) -> None:
    queue = await clinic.world.queue()
    for _ in range(70):
        await clinic.world.join(queue)
    async with visiting(browser) as room:
        desk = await office(room, clinic, "audit")
        lines = desk.locator("[data-action=join-queue]")
        await expect(lines.first).to_be_visible()
        await desk.mouse.wheel(0, 20_000)
        await expect(lines).to_have_count(70)


async def test_a_second_factor_is_set_up_and_asked_for(browser: Browser, clinic: Served) -> None:
    async with visiting(browser) as room:
        desk = await office(room, clinic, "account")
        await desk.get_by_role("button", name="Set up").click()
        secret = await desk.get_by_label("Key").input_value()
        await desk.get_by_label("The six digits").fill(code(secret))
        await desk.keyboard.press("Enter")
        await expect(desk.get_by_test_id("recovery").locator("code")).to_have_count(10)
        await desk.get_by_role("button", name="I have kept them").click()
        await expect(desk.locator("main")).to_contain_text("asks for a code")
        await desk.get_by_role("button", name="Sign out").click()
        await sign_in(desk, f"{clinic.url}/admin")
        await desk.get_by_label("Code from your authenticator app").fill("000000")
        await desk.keyboard.press("Enter")
        await expect(desk.get_by_role("alert")).to_contain_text("wrong or was used already")
        await desk.get_by_label("Code from your authenticator app").fill(code(secret, steps=1))
        await desk.keyboard.press("Enter")
        await expect(desk.locator(".side")).to_be_visible()


async def test_whoever_owes_a_second_factor_sets_it_up_before_all_else(browser: Browser, clinic: Served) -> None:
    await clinic.world.pool.execute("update institutions set require_totp = true")
    async with visiting(browser) as room:
        desk = await room.new_page()
        await sign_in(desk, f"{clinic.url}/console")
        await expect(desk.locator("h1")).to_contain_text("A second factor, please")
        await desk.get_by_role("button", name="Set up").click()
        await desk.get_by_label("The six digits").fill(code(await desk.get_by_label("Key").input_value()))
        await desk.keyboard.press("Enter")
        await desk.get_by_role("button", name="I have kept them").click()
        await expect(desk.locator("h1")).to_contain_text("Where do you work today?")


def code(secret: str, steps: int = 0) -> str:
    """What an authenticator app shows for this key, so many steps from now."""
    return totp.code_at(key(secret), totp.step_at(datetime.now(UTC) + timedelta(seconds=30 * steps)))


def key(secret: str) -> bytes:
    bare = secret.replace(" ", "").replace("-", "")
    return base64.b32decode(bare + "=" * (-len(bare) % 8))


async def test_a_screen_is_renamed_and_the_status_is_told(browser: Browser, clinic: Served) -> None:
    await clinic.world.queue()
    async with visiting(browser, "tv") as wall, visiting(browser) as room:
        await board(wall, clinic)
        desk = await office(room, clinic, "devices")
        entry = desk.get_by_test_id("admin-device")
        await entry.get_by_role("button", name="Rename").click()
        await desk.get_by_role("dialog").get_by_label("Name").fill("Corridor")
        await desk.keyboard.press("Enter")
        await expect(entry).to_contain_text("Corridor")
        await expect(entry).to_contain_text("Current", timeout=15_000)
        await desk.get_by_role("link", name="Status").click()
        await expect(desk.locator("[data-testid=admin-process][data-kind=web]")).to_have_count(1)
        await expect(desk.get_by_role("table").first).to_contain_text("Screen", timeout=15_000)


RESTS = """
insert into processes (id, kind, started_at, beat_at, build, figures)
values ('worker-1', 'worker', now(), now(), '', '{"resting": {"twilio": 35}}')
"""


async def test_the_status_names_a_provider_that_is_left_alone(browser: Browser, clinic: Served) -> None:
    await clinic.world.pool.execute(RESTS)
    async with visiting(browser) as room:
        desk = await office(room, clinic, "status")
        entry = desk.locator("[data-testid=admin-process][data-kind=worker]")
        await expect(entry).to_contain_text("twilio 35 seconds")
        await expect(desk.locator("[data-figure=resting]")).to_have_class("is-bad")


async def test_the_pages_work_with_the_keyboard_alone(browser: Browser, clinic: Served) -> None:
    async with visiting(browser) as room:
        desk = await office(room, clinic, "places")
        await desk.wait_for_selector(".card")
        await desk.keyboard.press("Tab")
        await desk.keyboard.press("Enter")
        await expect(desk.locator("#pane-title")).to_be_focused()
        await desk.get_by_role("link", name="People").press("Enter")
        await expect(desk.locator("#pane-title")).to_have_text("People")
        await expect(desk.locator("#pane-title")).to_be_focused()


async def test_changed_password_keeps_this_page_and_ends_every_other(browser: Browser, clinic: Served) -> None:
    async with visiting(browser) as room, visiting(browser, "phone") as pocket:
        desk, phone = await office(room, clinic, "account"), await office(pocket, clinic, "people")
        await desk.get_by_role("button", name="Change the password").click()
        await desk.get_by_label("Present password").fill("not the password")
        await desk.get_by_label("New password").fill(NEW_PASSWORD)
        await desk.keyboard.press("Enter")
        await expect(desk.get_by_role("alert").filter(has_text="not your present password")).to_be_visible()
        await desk.get_by_label("Present password").fill(PASSWORD)
        await desk.keyboard.press("Enter")
        await expect(desk.get_by_test_id("password-done")).to_contain_text("is changed")
        await expect(phone.locator("input[type=password]")).to_be_visible()
        await desk.get_by_role("link", name="Institution").click()
        await expect(desk.get_by_text("Main waiting room").first).to_be_visible()
        await sign_in(phone, f"{clinic.url}/admin", password=NEW_PASSWORD)
        await phone.wait_for_selector(".side")


async def test_doctor_and_receptionist_change_theirs_where_they_work(browser: Browser, clinic: Served) -> None:
    queue = await clinic.world.queue("Walk-in")
    await clinic.world.join(queue)
    doctor = await clinic.doctor()
    async with visiting(browser, "tablet") as room, visiting(browser, "phone") as front:
        for page in (await console(room, clinic, doctor, queue, 0), await reception(front, clinic)):
            await page.get_by_test_id("account").click()
            await page.get_by_label("Present password").fill(PASSWORD)
            await page.get_by_label("New password").fill(NEW_PASSWORD)
            await page.keyboard.press("Enter")
            await expect(page.get_by_test_id("password-done")).to_contain_text("is changed")
            await page.keyboard.press("Escape")
            await expect(page.get_by_role("dialog")).to_have_count(0)
            await page.reload()
            await expect(page.get_by_test_id("account")).to_be_visible()


async def test_institution_is_made_by_whoever_stands_above_them_all(browser: Browser, clinic: Served) -> None:
    await clinic.world.account(Role.super_admin, "root@callboard.test", name="Root")
    async with visiting(browser) as room:
        desk = await room.new_page()
        await sign_in(desk, f"{clinic.url}/admin", "root@callboard.test")
        await desk.get_by_role("button", name="New institution").click()
        await desk.get_by_role("dialog").get_by_label("Name", exact=True).fill("Hillside")
        await desk.get_by_role("dialog").get_by_label("Time zone").select_option("Asia/Dubai")
        await desk.get_by_role("button", name="Add").last.click()
        await expect(desk.get_by_role("dialog")).to_have_count(0)
        await expect(desk.locator(".top-brand")).to_contain_text("Hillside")
        await desk.get_by_label("New location").fill("East wing")
        await desk.keyboard.press("Enter")
        await desk.get_by_role("link", name="East wing").click()
        await desk.get_by_role("button", name="Close the location for good").click()
        await desk.get_by_role("dialog").get_by_role("button", name="Close the location for good").click()
        await expect(desk.get_by_role("link", name="East wing")).to_have_count(0)
    zone = await clinic.world.pool.fetchval("select zone from institutions where name = 'Hillside'")
    assert zone == "Asia/Dubai"


async def test_board_where_there_was_no_queue_shows_the_first_one_by_itself(browser: Browser, clinic: Served) -> None:
    async with visiting(browser, "tv") as wall:
        _, credential = await clinic.world.device()
        screen = await wall.new_page()
        await screen.goto(f"{clinic.url}/board#device={credential}")
        await expect(screen.locator("body")).to_contain_text("Main waiting room")
        await clinic.world.do("create-queue", "admin", location_id=clinic.world.location, name="Cardiology")
        await expect(screen.locator("body")).to_contain_text("Cardiology", timeout=15_000)


async def test_settings_show_as_they_are_kept_and_what_was_typed_meanwhile_stays(
    browser: Browser, clinic: Served
) -> None:
    queue = await clinic.world.queue()
    async with visiting(browser) as room:
        desk = await office(room, clinic, f"places/queue/{queue}")
        length, walk_ins = (setting(desk, name).locator("input") for name in ("max_length", "walk_ins_per_day"))
        await length.fill("50")
        async with answered_late(desk, "**/queues/*/settings"):
            async with answered_late(desk, "**/queues/*/settings", "POST"):
                await desk.get_by_role("button", name="Save").last.click()
                await walk_ins.fill("9")
            await desk.wait_for_selector(".toast.is-done")
            assert (await length.input_value(), await walk_ins.input_value()) == ("50", "9")
        await expect(setting(desk, "walk_ins_per_day")).to_contain_text("Not saved yet")
        await expect(length).to_have_value("50")


async def test_next_name_that_is_typed_while_one_is_added_stays(browser: Browser, clinic: Served) -> None:
    async with visiting(browser) as room:
        desk = await office(room, clinic, "places")
        name = desk.get_by_label("New location")
        await name.fill("North wing")
        async with answered_late(desk, "**/api/v1/locations", "POST"):
            await name.press("Enter")
            await name.fill("South wing")
        await expect(desk.get_by_role("link", name="North wing")).to_be_visible()
        await expect(name).to_have_value("South wing")


async def test_a_link_that_comes_late_is_told_once_the_next_sheet_is_closed(browser: Browser, clinic: Served) -> None:
    async with visiting(browser) as room:
        desk = await office(room, clinic, "people")
        name = desk.get_by_role("dialog").get_by_label("Name")
        await desk.get_by_role("button", name="Invite somebody").click()
        await name.fill("Rosa Delgado")
        await desk.get_by_label("E-mail").fill("rosa@clinic.test")
        async with answered_late(desk, "**/api/v1/users", "POST"):
            await desk.get_by_role("button", name="Make the link").click()
            await desk.keyboard.press("Escape")
            await desk.get_by_role("button", name="Invite somebody").click()
            await name.fill("Sam Carter")
        await expect(name).to_have_value("Sam Carter")
        await desk.keyboard.press("Escape")
        await expect(desk.get_by_role("dialog")).to_contain_text("Link for Rosa Delgado")
        await desk.get_by_role("dialog").get_by_role("button", name="Close").click()
        await expect(desk.get_by_role("dialog")).to_have_count(0)


async def test_what_one_admin_has_done_is_not_told_to_the_next(browser: Browser, clinic: Served) -> None:
    token = await clinic.world.account(Role.admin, "grace@clinic.test", name="Grace Moreau")
    async with visiting(browser) as room:
        desk = await office(room, clinic, "places")
        await desk.get_by_label("New location").fill("North wing")
        async with answered_late(desk, "**/api/v1/locations", "POST"):
            await desk.get_by_label("New location").press("Enter")
            await desk.get_by_role("button", name="Sign out").click()
            await sits_down(desk, clinic, token)
            await expect(desk.get_by_role("link", name="North wing")).to_be_visible()
        assert await desk.get_by_test_id("toast").count() == 0


async def test_what_is_typed_about_somebody_stays_while_something_else_about_them_changes(
    browser: Browser, clinic: Served
) -> None:
    world = clinic.world
    await world.account(Role.receptionist, "robin@clinic.test", name="Robin Reyes")
    who = await world.pool.fetchval("select id from users where email = 'robin@clinic.test'")
    async with visiting(browser) as room:
        desk = await office(room, clinic, f"people/user/{who}")
        name = desk.get_by_label("Name")
        await name.fill("Robin Reyes-Lund")
        await world.do("deactivate-user", "admin", user_id=who)
        await expect(desk.get_by_role("button", name="Activate")).to_be_visible()
        await expect(name).to_have_value("Robin Reyes-Lund")
        async with answered_late(desk, f"**/api/v1/users/{who}", "POST"):
            await desk.get_by_role("button", name="Save").click()
            await name.fill("Robin Lund")
            await expect(desk.locator(".pane-head")).to_contain_text("Robin Reyes-Lund")
        await expect(name).to_have_value("Robin Lund")
        await desk.get_by_role("button", name="Save").click()
        await expect(desk.locator(".pane-head")).to_contain_text("Robin Lund")
