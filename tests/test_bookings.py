"""The table of appointments in a real browser: as others change it, filtered, in bulk, and as a spreadsheet."""

import csv
import io
from datetime import timedelta
from pathlib import Path

from playwright.async_api import Browser, BrowserContext, Locator, Page, expect

from server.access import Role
from tests.clinic import book, patient_of, set_booking, slots_of
from tests.pages import Served, answered_late, signed_in, sits_down, visiting
from tests.world import PASSWORD


async def bookings(context: BrowserContext, clinic: Served, path: str = "", email: str = "desk@clinic.test") -> Page:
    """The table at the desk, signed in."""
    token = await clinic.world.account(Role.receptionist, email, name="Robin Reyes")
    page = await signed_in(context, clinic, token, f"/bookings{path}")
    await page.wait_for_selector("[data-testid=bookings-table], [data-testid=bookings-empty]")
    return page


async def booked(clinic: Served, *names: str, nth: int = 0) -> list[int]:
    """An appointment for each of these people, one after the other."""
    slots = await slots_of(clinic.world, nth, len(names))
    made = []
    for name, slot in zip(names, slots, strict=True):
        made.append((await book(clinic.world, [slot], patient_id=await patient_of(clinic.world, name))).appointment_id)
    return made


def row(page: Page, appointment: int) -> Locator:
    """The row of an appointment."""
    return page.locator(f"[data-appointment='{appointment}']")


async def test_rows_come_and_change_while_one_looks(browser: Browser, clinic: Served) -> None:
    async with visiting(browser) as front:
        page = await bookings(front, clinic)
        await expect(page.get_by_test_id("bookings-empty")).to_be_visible()
        (id_,) = await booked(clinic, "Noor Haddad")
        await expect(row(page, id_)).to_contain_text("Noor Haddad")
        await clinic.world.do("cancel-appointment", appointment_id=id_, reason="Ill")
        await expect(row(page, id_)).to_have_attribute("data-state", "cancelled")


async def test_what_one_desk_does_the_other_sees_and_takes_back(browser: Browser, clinic: Served) -> None:
    (id_,) = await booked(clinic, "Noor Haddad")
    async with visiting(browser) as front, visiting(browser) as back:
        one, other = await bookings(front, clinic), await bookings(back, clinic, email="other@clinic.test")
        await one.get_by_role("button", name="Noor Haddad").click()
        await one.locator("dialog [data-step=cancel]").click()
        await one.get_by_label("Reason").fill("Called in sick")
        await one.get_by_role("dialog").get_by_role("button", name="Cancel appointment").click()
        await expect(row(other, id_)).to_have_attribute("data-state", "cancelled")
        await one.locator(".toast").get_by_role("button", name="Undo").click()
        await expect(row(other, id_)).to_have_attribute("data-state", "confirmed")


async def test_filters_stand_in_the_address_and_names_do_not(browser: Browser, clinic: Served) -> None:
    first, second = await booked(clinic, "Noor Haddad", "Rosa Delgado")
    await clinic.world.do("cancel-appointment", appointment_id=second, reason="Ill")
    async with visiting(browser) as front:
        page = await bookings(front, clinic)
        await page.get_by_role("button", name="Cancelled", exact=True).click()
        await expect(row(page, first)).to_have_count(0)
        await expect(row(page, second)).to_be_visible()
        await page.reload()
        await expect(row(page, second)).to_be_visible()
        await expect(row(page, first)).to_have_count(0)
        await page.get_by_role("button", name="Cancelled", exact=True).click()
        await page.get_by_test_id("bookings-find").fill("haddad")
        await expect(row(page, second)).to_have_count(0)
        await expect(row(page, first)).to_be_visible()
        assert "haddad" not in page.url


async def test_many_are_confirmed_at_once_each_with_its_result(browser: Browser, clinic: Served) -> None:
    await set_booking(clinic.world, auto_confirm_appointments=False)
    ids = await booked(clinic, "Noor Haddad", "Rosa Delgado", "Sam Carter")
    await clinic.world.do("cancel-appointment", appointment_id=ids[2], reason="Ill")
    async with visiting(browser) as front:
        page = await bookings(front, clinic)
        await page.get_by_label("Choose all").check()
        await page.locator("[data-bulk=confirm]").click()
        await expect(page.locator(".toast")).to_contain_text("2 confirmed, 1 not")
        for id_ in ids[:2]:
            await expect(row(page, id_)).to_have_attribute("data-state", "confirmed")
        await expect(row(page, ids[2]).locator(".row-problem")).to_be_visible()


async def test_spreadsheet_holds_what_is_shown_and_no_formula(browser: Browser, clinic: Served, tmp_path: Path) -> None:
    await booked(clinic, "=HYPERLINK(1)", "Rosa Delgado")
    async with visiting(browser, accept_downloads=True) as front:
        page = await bookings(front, clinic)
        async with page.expect_download() as coming:
            await page.get_by_test_id("bookings-export").click()
        await (await coming.value).save_as(tmp_path / "list.csv")
    text = (tmp_path / "list.csv").read_text("utf-8-sig")
    cells = [cell for line in csv.reader(io.StringIO(text)) for cell in line]
    assert "Rosa Delgado" in cells
    assert not [cell for cell in cells if cell.startswith(("=", "+", "@", "\t"))]


async def test_one_appointment_tells_its_story_and_its_money(browser: Browser, clinic: Served) -> None:
    (id_,) = await booked(clinic, "Noor Haddad")
    async with visiting(browser) as front:
        page = await bookings(front, clinic)
        await page.get_by_role("button", name="Noor Haddad").click()
        sheet = page.get_by_role("dialog")
        await sheet.get_by_label("Payment").select_option("paid")
        await expect(page.locator(".toast")).to_contain_text("Saved")
        assert await clinic.world.pool.fetchval("select payment from appointments where id = $1", id_) == "paid"
        await sheet.get_by_text("Everything that happened to it").click()
        await expect(sheet.locator(".story li")).to_have_count(2)


async def test_list_on_a_phone_is_no_wider_than_the_phone(browser: Browser, clinic: Served) -> None:
    await booked(clinic, "Noor Haddad with quite a long name")
    async with visiting(browser, "phone") as front:
        page = await bookings(front, clinic)
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")


async def test_days_are_chosen_by_a_press(browser: Browser, clinic: Served) -> None:
    near, far = [
        (await book(clinic.world, await slots_of(clinic.world, 0, 1, after=timedelta(days=days)))).appointment_id
        for days in (1, 20)
    ]
    async with visiting(browser) as front:
        page = await bookings(front, clinic)
        await page.get_by_role("button", name="Seven days").click()
        await expect(row(page, far)).to_have_count(0)
        await expect(row(page, near)).to_be_visible()


async def test_list_that_is_answered_late_is_not_shown_to_the_next(browser: Browser, clinic: Served) -> None:
    await booked(clinic, "Noor Haddad")
    token = await clinic.world.account(Role.receptionist, "other@clinic.test", name="Alex Moreau")
    async with visiting(browser) as front:
        page = await bookings(front, clinic)
        async with answered_late(page, "**/catalogue"):
            async with answered_late(page, "**/appointments/search", "POST"):
                async with page.expect_request("**/appointments/search"):
                    await page.get_by_test_id("bookings-find").fill("Noor")
                await page.get_by_role("button", name="Sign out").click()
                await sits_down(page, clinic, token)
            await expect(page.locator(".bookings-main")).to_be_visible()
            await expect(page.get_by_test_id("bookings-row")).to_have_count(0)
        await expect(page.get_by_test_id("bookings-row")).to_have_count(1)


async def test_late_word_on_who_was_here_says_nothing_of_who_is(browser: Browser, clinic: Served) -> None:
    await clinic.world.account(Role.receptionist, "other@clinic.test", name="Alex Moreau")
    async with visiting(browser) as front:
        page = await bookings(front, clinic)
        async with answered_late(page, "**/api/v1/session", times=1):
            await page.evaluate("import('/clients/shared/session.js').then((here) => void here.resume())")
            await page.get_by_role("button", name="Sign out").click()
            await page.fill("input[type=email]", "other@clinic.test")
            await page.fill("input[type=password]", PASSWORD)
            await page.keyboard.press("Enter")
            await expect(page.get_by_test_id("account")).to_contain_text("Alex Moreau")
        await page.get_by_test_id("account").click()
        await expect(page.get_by_role("dialog")).to_contain_text("Alex Moreau")
