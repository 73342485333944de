"""The back office's catalogue and patients, in a real browser."""

from pathlib import Path

from playwright.async_api import Browser, expect

from tests.pages import Served, visiting
from tests.test_admin import clinic, office

__all__ = ["clinic"]


async def test_doctor_gets_a_specialty_and_a_fee(browser: Browser, clinic: Served) -> None:
    async with visiting(browser) as room:
        page = await office(room, clinic, "catalogue")
        await page.get_by_role("region", name="Specialties").get_by_role("button", name="Add").click()
        await page.get_by_role("dialog").get_by_label("Name").fill("Cardiology")
        await page.get_by_role("dialog").get_by_role("button", name="Save").click()
        await expect(page.get_by_role("region", name="Specialties")).to_contain_text("Cardiology")
        await page.get_by_test_id("admin-doctor").first.get_by_role("link").click()
        await page.get_by_label("Specialty").select_option(label="Cardiology")
        await page.locator("input[name=fee]").fill("80.50")
        about = page.get_by_role("region", name="About the doctor")
        await about.get_by_role("button", name="Save").click()
        await expect(page.locator(".pane-head")).to_contain_text("Cardiology")


async def test_spreadsheet_is_tried_told_of_and_brought_in(browser: Browser, clinic: Served, tmp_path: Path) -> None:
    bad, good = tmp_path / "bad.csv", tmp_path / "good.csv"
    bad.write_text("name,phone\nAda Byron,+44 1\n")
    good.write_text("name,phone\nAda Byron,+44 20 7946 0958\n")
    async with visiting(browser) as room:
        page = await office(room, clinic, "patients")
        await page.locator("input[type=file]").set_input_files(bad)
        await expect(page.get_by_test_id("import-bad")).to_contain_text("phone")
        await page.locator("input[type=file]").set_input_files(good)
        await page.get_by_role("button", name="Bring in 1").click()
        await page.get_by_label("Name, phone, number or date of birth").fill("ada by")
        await page.get_by_test_id("admin-patient").get_by_role("link").click()
        await expect(page.locator("input[name=phone]")).to_have_value("+442079460958")
        await page.locator("input[name=insurer]").fill("Acme")
        await page.get_by_test_id("admin-patient-record").get_by_role("button", name="Save").click()
        await expect(page.locator(".toast")).to_contain_text("Saved")
