"""Signing in by a one-time code in a real browser: as oneself, as one of a family, and as somebody new."""

from playwright.async_api import Browser, BrowserContext, Page, expect

from tests.clinic import set_booking
from tests.diary import SLOT, open_books
from tests.letters import code_for
from tests.pages import Served, visiting
from tests.world import World

FAMILY = "family@example.org"


async def prepare(world: World) -> None:
    """Both doctors can be booked."""
    await open_books(world)


async def known(clinic: Served, *names: str) -> None:
    """Patients who all have the family's address."""
    for name in names:
        await clinic.world.do("register-patient", name=name, email=FAMILY, birth_date="1990-02-03", confirm_new=True)


async def code_asked(context: BrowserContext, clinic: Served, contact: str = FAMILY) -> tuple[Page, str]:
    """Somebody who would book has asked for a code, and reads it in their letter."""
    page = await context.new_page()
    await page.goto(f"{clinic.url}/book")
    await page.fill("input[name=contact]", contact)
    await page.keyboard.press("Enter")
    await page.wait_for_selector("[data-testid=code-sign-in][data-step=code]")
    return page, await code_for(clinic.world, contact)


async def test_a_code_typed_wrongly_is_asked_for_again_and_the_right_one_opens(
    browser: Browser, clinic: Served
) -> None:
    await known(clinic, "Maya Lindgren")
    async with visiting(browser, "phone") as pocket:
        page, code = await code_asked(pocket, clinic)
        await page.fill("input[name=code]", f"{(int(code) + 1) % 1_000_000:06d}")
        await expect(page.locator(".problem")).to_be_visible()
        await page.fill("input[name=code]", code)
        await page.wait_for_selector("[data-testid=choose-doctor]")
        await page.get_by_role("button", name="Sign out").click()
        await page.wait_for_selector("[data-testid=code-sign-in]")
        await expect(page.locator("input[name=contact]")).to_have_value("")


async def test_of_a_family_each_comes_in_as_themselves_by_the_same_code(browser: Browser, clinic: Served) -> None:
    await known(clinic, "Maya Lindgren", "Ola Lindgren")
    async with visiting(browser, "phone") as pocket:
        page, code = await code_asked(pocket, clinic)
        await page.fill("input[name=code]", code)
        await expect(page.locator(".choice")).to_have_count(2)
        await page.get_by_role("button", name="Ola").click()
        await page.wait_for_selector("[data-testid=choose-doctor]")
        who = "select p.name from sessions s join users u on u.id = s.user_id join patients p on p.id = u.patient_id"
        assert await clinic.world.pool.fetchval(who) == "Ola Lindgren"


async def test_somebody_new_of_a_family_registers_and_books(browser: Browser, clinic: Served) -> None:
    await set_booking(clinic.world, self_registration=True)
    await known(clinic, "Maya Lindgren", "Ola Lindgren")
    async with visiting(browser, "phone") as pocket:
        page, code = await code_asked(pocket, clinic)
        await page.fill("input[name=code]", code)
        await page.get_by_role("button", name="Somebody else").click()
        await register(page, "Alva Lindgren")
        await page.get_by_test_id("choose-doctor").first.click()
        await page.locator(SLOT).first.click()
        await page.get_by_test_id("book").click()
        await expect(page.get_by_test_id("booked")).to_have_attribute("data-state", "confirmed")
        booked = "select p.name, p.email from appointments a join patients p on p.id = a.patient_id"
        row = await clinic.world.pool.fetchrow(booked)
        assert row and tuple(row) == ("Alva Lindgren", FAMILY)


async def test_somebody_alone_on_their_contact_registers_a_child_by_it(browser: Browser, clinic: Served) -> None:
    await set_booking(clinic.world, self_registration=True)
    await known(clinic, "Maya Lindgren")
    async with visiting(browser, "phone") as pocket:
        page, code = await code_asked(pocket, clinic)
        await page.locator("input[name=another]").check()
        await page.fill("input[name=code]", code)
        await register(page, "Alva Lindgren")
        who = "select p.name from sessions s join users u on u.id = s.user_id join patients p on p.id = u.patient_id"
        assert await clinic.world.pool.fetchval(who) == "Alva Lindgren"
    both = await clinic.world.pool.fetch("select name from patients where email = $1 order by id", FAMILY)
    assert [row["name"] for row in both] == ["Maya Lindgren", "Alva Lindgren"]


async def test_whom_nobody_knows_registers_where_that_is_open_and_is_sent_to_the_clinic_where_not(
    browser: Browser, clinic: Served
) -> None:
    async with visiting(browser, "phone") as pocket:
        page, code = await code_asked(pocket, clinic, "new@example.org")
        await set_booking(clinic.world, self_registration=False)
        await page.fill("input[name=code]", code)
        await page.wait_for_selector("[data-step=unknown]")
        await expect(page.get_by_role("button", name="Register as a new patient")).to_have_count(0)
        await set_booking(clinic.world, self_registration=True)
        await page.get_by_role("button", name="Use another contact").click()
        await page.locator("input[name=contact]").press("Enter")
        await page.wait_for_selector("[data-step=code]")
        await page.fill("input[name=code]", await code_for(clinic.world, "new@example.org"))
        await page.get_by_role("button", name="Register as a new patient").click()
        await register(page, "Nils Berg")
        await page.wait_for_selector("[data-testid=choose-doctor]")


async def register(page: Page, name: str) -> None:
    """Say who one is."""
    await page.fill("input[name=name]", name)
    await page.fill("input[name=born]", "2015-06-07")
    await page.keyboard.press("Enter")
    await page.wait_for_selector("[data-testid=choose-doctor]")
