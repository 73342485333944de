"""Names that would do harm: on every page, and on paper, they are text and nothing else."""

import pytest
from playwright.async_api import Browser, Page, expect

from server.access import Role
from tests.clinic import book
from tests.diary import open_books, patient
from tests.pages import Served, board, console, reception, signed_in, until, visiting
from tests.world import PASSWORD
from workers.notices import Post, send_due
from workers.senders.mailbox import MailboxSender

MARKUP = '"><img src=x onerror="window.harmed=1"><script>window.harmed=1</script>'
FORMULA = '=HYPERLINK("http://example.org";"Click")'
LONG = "Wolfeschlegelsteinhausenbergerdorff " * 5


async def unharmed(page: Page) -> None:
    """Nothing of a name has become part of the page, and nothing has pushed it out of its width."""
    assert await page.evaluate("window.harmed") is None
    assert await page.evaluate("document.querySelectorAll('img[src=x]').length") == 0
    await until(page, "document.documentElement.scrollWidth <= innerWidth + 1")


async def test_hostile_names_are_text_at_the_console_and_at_reception(browser: Browser, clinic: Served) -> None:
    queue = await clinic.world.queue(MARKUP[:60])
    for name in (MARKUP, FORMULA, LONG.strip()):
        await clinic.world.join(queue, name, reason=MARKUP, requirements=[MARKUP[:60]])
    async with visiting(browser) as office:
        desk = await console(office, clinic, await clinic.doctor(), queue, 0)
        await desk.keyboard.press("Space")
        await expect(desk.get_by_test_id("console-current")).to_contain_text("<img src=x")
        await unharmed(desk)
    async with visiting(browser) as counter:
        front = await reception(counter, clinic)
        await expect(front.locator("body")).to_contain_text("=HYPERLINK")
        await unharmed(front)
        await front.emulate_media(media="print")
        await unharmed(front)


DRIFT = "to => ['x', 'y'].forEach((way) => document.documentElement.style.setProperty(`--drift-${way}`, to))"


async def test_a_hostile_queue_desk_or_message_is_text_on_the_board_and_the_phone(
    browser: Browser, clinic: Served
) -> None:
    queue = await clinic.world.queue(MARKUP[:60])
    joined = await clinic.world.join(queue, MARKUP)
    await clinic.world.do("set-queue-state", queue_id=queue, state="paused", message=MARKUP)
    async with visiting(browser, "tv") as wall, visiting(browser, "phone") as pocket:
        screen = await board(wall, clinic)
        await expect(screen.locator("body")).to_contain_text("<script>")
        for drift in ("3px", "-3px"):
            await screen.evaluate(DRIFT, drift)
            await unharmed(screen)
        phone = await pocket.new_page()
        await phone.goto(joined.link)
        await expect(phone.get_by_test_id("ticket-place")).to_be_visible()
        await unharmed(phone)


async def booked_by_hostile(clinic: Served) -> str:
    """An institution, a doctor, a visit and a patient whose names do harm, and a booking of theirs; its session."""
    world = clinic.world
    await world.pool.execute("update institutions set name = $1", MARKUP)
    await world.pool.execute("update doctors set name = $1", MARKUP)
    specialty = await open_books(world)
    await world.pool.execute("update specialties set name = $1 where id = $2", MARKUP[:60], specialty)
    await world.pool.execute("update locations set name = $1", FORMULA)
    id_, session = await patient(world, MARKUP)
    await world.pool.execute("update patients set email = 'harm@clinic.test' where id = $1", id_)
    found = await world.ask("find-slots", doctor_id=[world.doctors[0]])
    await book(world, found.items[4].slot_ids, patient_id=id_, reason=MARKUP)
    await send_due(Post(world.store, {}, MailboxSender(world.store), mail_from="desk@clinic.test"))
    return session


async def test_hostile_names_are_text_wherever_people_book_and_are_booked(browser: Browser, clinic: Served) -> None:
    sessions = {"patient": await booked_by_hostile(clinic)}
    for role in (Role.doctor, Role.receptionist, Role.admin):
        doctor = {"doctor_id": clinic.world.doctors[0]} if role is Role.doctor else {}
        sessions[role] = await clinic.world.account(role, f"{role}@clinic.test", name=MARKUP, **doctor)
    for role, path, shown in (
        ("patient", "/book", "[data-testid=choose-doctor]"),
        ("patient", "/appointments", "[data-testid=appointment]"),
        (Role.doctor, "/agenda", "[data-testid=agenda-day]"),
        (Role.receptionist, "/bookings", "[data-testid=bookings-table]"),
        (Role.admin, "/schedule", ".plan-card, .plan-empty, main"),
        (Role.admin, "/mailbox", "[data-testid=mail]"),
        (Role.admin, "/admin#/catalogue", "#pane-title"),
        (Role.admin, "/admin#/patients", "#pane-title"),
    ):
        async with visiting(browser) as context:
            page = await signed_in(context, clinic, sessions[role], path)
            await page.wait_for_selector(shown)
            await unharmed(page)
            await page.emulate_media(media="print")
            await unharmed(page)


async def test_a_hostile_name_is_text_in_the_audit_trail(browser: Browser, clinic: Served) -> None:
    await clinic.world.join(await clinic.world.queue(), MARKUP)
    await clinic.world.account(Role.admin, "admin@clinic.test", name=MARKUP)
    async with visiting(browser) as office:
        page = await office.new_page()
        await page.goto(f"{clinic.url}/admin#/audit")
        await page.fill("input[type=email]", "admin@clinic.test")
        await page.fill("input[type=password]", PASSWORD)
        await page.keyboard.press("Enter")
        # The trail keeps an id, and names the person to its reader.
        joined = page.locator("[data-testid=admin-audit] [data-action=join-queue]")
        await expect(joined).to_contain_text(MARKUP)
        for media in ("screen", "print"):
            await page.emulate_media(media=media)  # type: ignore[arg-type]
            await unharmed(page)


@pytest.mark.parametrize("name", [MARKUP, FORMULA, LONG.strip()])
async def test_a_hostile_name_is_text_in_the_form_that_corrects_it(browser: Browser, clinic: Served, name: str) -> None:
    await clinic.world.join(await clinic.world.queue(), "Jon Smyth")
    async with visiting(browser) as counter:
        front = await reception(counter, clinic)
        for before in ("Jon Smyth", name):
            await front.keyboard.press("Escape")
            await front.locator(".card-main").first.focus()
            await front.keyboard.press("e")
            await expect(front.locator("#correct-name")).to_have_value(before)
            await unharmed(front)
            await front.fill("#correct-name", name)
            await front.keyboard.press("Enter")
            await expect(front.get_by_role("dialog")).to_have_count(0)
            await expect(front.get_by_test_id("reception-card")).to_contain_text(name)
            await unharmed(front)


@pytest.mark.parametrize("name", [MARKUP, FORMULA, LONG[:119]])
async def test_an_institution_of_a_hostile_name_is_text_in_its_own_form(
    browser: Browser, clinic: Served, name: str
) -> None:
    session = await clinic.world.account(Role.admin, "admin@clinic.test")
    async with visiting(browser) as office:
        page = await signed_in(office, clinic, session, "/admin#/places")
        form = page.get_by_test_id("admin-institution")
        await form.get_by_label("Name", exact=True).fill(name)
        await form.get_by_role("button", name="Save").click()
        await expect(form.get_by_role("button", name="Save")).to_be_disabled()
        await unharmed(page)
        await page.reload()
        await expect(form.get_by_label("Name", exact=True)).to_have_value(name)
        await page.emulate_media(media="print")
        await unharmed(page)
