"""The back office's catalogue and patients, in a real browser."""

import base64
from datetime import timedelta
from pathlib import Path

from playwright.async_api import Browser, FilePayload, expect

from tests.clinic import book, day_of, now, patient_of, slots_of
from tests.pages import Served, answered_late, visiting
from tests.test_admin import office, prepare

__all__ = ["prepare"]


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


async def test_two_records_are_compared_and_become_one_with_their_history(browser: Browser, clinic: Served) -> None:
    world = clinic.world
    stays, goes = await patient_of(world, "Ada Byron"), await patient_of(world, "Ada Byron")
    await world.do("correct-patient", patient_id=goes, phone="+442079460958", birth_year=1990)
    await world.do("correct-patient", patient_id=stays, birth_year=1990)
    await world.do("join-queue", queue_id=await world.queue(), patient_id=goes)
    await book(world, await slots_of(world), patient_id=goes)
    async with visiting(browser) as room:
        page = await office(room, clinic, f"patients/patient/{stays}")
        await page.get_by_test_id("admin-duplicate").get_by_role("button", name="Compare").click()
        await expect(page.locator(".merge .is-filled")).to_have_text("+442079460958")
        await page.get_by_role("button", name="Merge for good").click()
        await expect(page.locator(".toast")).to_contain_text("1 ticket and 2 appointments")
    moved = (
        "select (select count(*) from tickets where patient_id = $1), count(*) from appointments where patient_id = $1"
    )
    assert tuple(await world.pool.fetchrow(moved, stays)) == (1, 2)
    assert await world.pool.fetchval("select merged_into from patients where id = $1", goes) == stays


async def test_somebody_who_is_there_already_is_shown_before_they_are_twice(browser: Browser, clinic: Served) -> None:
    await patient_of(clinic.world, "Ada Byron")
    async with visiting(browser) as room:
        page = await office(room, clinic, "patients")
        await page.get_by_role("button", name="New patient").click()
        await page.get_by_role("dialog").get_by_label("Name").fill("Ada Byron")
        await page.get_by_role("dialog").get_by_role("button", name="Add").click()
        await expect(page.get_by_role("dialog").get_by_test_id("admin-patient")).to_contain_text("Ada Byron")
        await page.get_by_role("button", name="It is somebody new").click()
        await expect(page.locator(".pane-head")).to_contain_text("Ada Byron")
    assert await clinic.world.pool.fetchval("select count(*) from patients") == 2


async def test_record_keeps_how_somebody_is_reached_and_who_pays(browser: Browser, clinic: Served) -> None:
    id_ = await patient_of(clinic.world, "Ada Byron")
    async with visiting(browser) as room:
        page = await office(room, clinic, f"patients/patient/{id_}")
        form = page.get_by_test_id("admin-patient-record")
        await form.get_by_label("Text message").check()
        await form.get_by_label("Email", exact=True).last.check()
        await form.locator("input[name=birth_year]").fill("1990")
        await form.locator("input[name=insurer]").fill("Acme")
        await form.get_by_label("Insurance verified").check()
        await form.get_by_role("button", name="Save").click()
        await expect(page.locator(".toast")).to_contain_text("Saved")
    row = await clinic.world.pool.fetchrow("select channels, birth_year, insurance::text from patients")
    assert row["channels"] == ["sms", "email"] and row["birth_year"] == 1990
    assert '"verified": true' in row["insurance"].replace('":true', '": true')


async def test_closing_a_house_asks_what_becomes_of_its_bookings(browser: Browser, clinic: Served) -> None:
    world = clinic.world
    near = await slots_of(world, after=timedelta(days=2))
    await slots_of(world, after=timedelta(days=9))
    booked = await book(world, near, patient_id=await patient_of(world, "Noor Haddad"))
    day = await day_of(world, near[0])
    async with visiting(browser) as room:
        page = await office(room, clinic, "catalogue")
        await page.get_by_role("button", name="Block time").click()
        sheet = page.get_by_role("dialog")
        await sheet.get_by_label("For whom").select_option(label="Main waiting room")
        await sheet.get_by_label("First day").fill(day)
        await sheet.get_by_label("Last day").fill(day)
        await sheet.get_by_role("button", name="Block").click()
        await expect(page.get_by_test_id("block-found")).to_contain_text("Noor Haddad")
        await sheet.get_by_label("Move them to the next free time").check()
        await sheet.get_by_role("button", name="Block").click()
        await expect(page.get_by_test_id("admin-closure")).to_contain_text("Main waiting room")
        await page.get_by_role("button", name="Take the block back").click()
        await page.get_by_role("dialog").get_by_role("button", name="Take the block back").click()
        await expect(page.get_by_test_id("admin-closure")).to_have_count(0)
    assert await world.pool.fetchval("select state from appointments where id = $1", booked.appointment_id) == (
        "rescheduled"
    )


async def test_institution_says_its_country_and_currency(browser: Browser, clinic: Served) -> None:
    async with visiting(browser) as room:
        page = await office(room, clinic, "places")
        about = page.get_by_test_id("admin-institution")
        await about.get_by_label("Country of phone numbers").select_option("IN")
        await about.get_by_label("Currency of fees").select_option("INR")
        await about.get_by_role("button", name="Save").click()
        await expect(page.locator(".toast")).to_contain_text("Saved")
    assert tuple(await clinic.world.pool.fetchrow("select country, currency from institutions")) == ("IN", "INR")


async def test_file_of_two_thousand_rows_is_waited_for(browser: Browser, clinic: Served, tmp_path: Path) -> None:
    file = tmp_path / "many.csv"
    file.write_text("name,birth_year\n" + "".join(f"Patient {one},{1900 + one % 100}\n" for one in range(2000)))
    async with visiting(browser) as room:
        page = await office(room, clinic, "patients")
        await page.locator("input[type=file]").set_input_files(file)
        await expect(page.locator(".import-under")).to_contain_text("2,000 rows")
        await expect(page.get_by_role("button", name="Bring in 2,000")).to_be_visible(timeout=90_000)


async def test_somebody_new_is_registered_once_however_often_it_is_pressed(browser: Browser, clinic: Served) -> None:
    await patient_of(clinic.world, "Ada Byron")
    async with visiting(browser) as room:
        page = await office(room, clinic, "patients")
        await page.get_by_role("button", name="New patient").click()
        name = page.get_by_role("dialog").get_by_label("Name")
        await name.fill("Ada Byron")
        await name.press("Enter")
        await page.get_by_role("button", name="It is somebody new").wait_for()
        async with answered_late(page, "**/api/v1/patients", "POST"):
            await name.press("Enter")
            await name.press("Enter")
        await expect(page.locator(".pane-head")).to_contain_text("Ada Byron")
    assert await clinic.world.pool.fetchval("select count(*) from patients") == 2


async def test_switches_that_are_pressed_in_haste_are_all_kept(browser: Browser, clinic: Served) -> None:
    async with visiting(browser) as room:
        page = await office(room, clinic, "catalogue")
        switches = [page.get_by_label(name) for name in ("New patients may register", "Waitlist for freed times")]
        async with answered_late(page, "**/institutions/*/booking", "POST", times=1):
            for one in switches:
                await one.click()
        await expect(page.get_by_role("button", name="Take back")).to_have_count(2)
        for one in switches:
            await expect(one).not_to_be_checked()


async def test_a_new_photo_leaves_what_is_typed_about_the_doctor(browser: Browser, clinic: Served) -> None:
    async with visiting(browser) as room:
        page = await office(room, clinic, f"catalogue/doctor/{clinic.world.doctors[0]}")
        await page.locator("input[name=licence]").fill("GMC 7")
        await page.locator("input[type=file]").set_input_files(
            FilePayload(name="a.png", mimeType="image/png", buffer=PHOTO)
        )
        await expect(page.locator(".photo img")).to_be_visible()
        await expect(page.locator("input[name=licence]")).to_have_value("GMC 7")


PHOTO = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


async def test_what_is_typed_in_a_record_stays_though_it_is_corrected_elsewhere(
    browser: Browser, clinic: Served
) -> None:
    who = await patient_of(clinic.world, "Ada Byron")
    async with visiting(browser) as room:
        page = await office(room, clinic, f"patients/patient/{who}")
        await page.locator("input[name=insurer]").fill("Acme")
        await clinic.world.do("correct-patient", patient_id=who, phone="+442079460958")
        await expect(page.locator("input[name=phone]")).to_have_value("+442079460958")
        await expect(page.locator("input[name=insurer]")).to_have_value("Acme")
        await page.get_by_test_id("admin-patient-record").get_by_role("button", name="Save").click()
        await expect(page.locator(".toast")).to_contain_text("Saved")
    assert await clinic.world.pool.fetchval("select insurance->>'insurer' from patients where id = $1", who) == "Acme"


async def test_bookings_of_other_days_than_are_chosen_are_not_listed_as_theirs(
    browser: Browser, clinic: Served
) -> None:
    (slot,) = await slots_of(clinic.world, after=timedelta(days=1))
    await book(clinic.world, [slot])
    tomorrow, after = await day_of(clinic.world, slot), str(now(clinic.world).date() + timedelta(days=9))
    async with visiting(browser) as room:
        page = await office(room, clinic, "catalogue")
        await page.get_by_role("button", name="Block time").click()
        await page.get_by_role("dialog").get_by_label("First day").fill(tomorrow)
        async with answered_late(page, "**/api/v1/blocks", "POST"):
            await page.get_by_role("dialog").get_by_role("button", name="Block").click()
            await page.get_by_role("dialog").get_by_label("Last day").fill(after)
        await expect(page.get_by_test_id("block-found")).to_have_count(0)
        await page.get_by_role("dialog").get_by_role("button", name="Block").click()
        await expect(page.get_by_test_id("block-found")).to_be_visible()


async def test_it_is_not_said_that_nothing_is_blocked_before_that_is_known(browser: Browser, clinic: Served) -> None:
    async with visiting(browser) as room:
        closures = "section[aria-label='Closed days and blocked time']"
        async with answered_late(room, "**/blocks?*"):
            page = await office(room, clinic, "catalogue")
            await expect(page.locator(closures)).to_be_visible()
            await expect(page.locator(closures)).not_to_contain_text("No time is blocked")
        await expect(page.locator(closures)).to_contain_text("No time is blocked")
