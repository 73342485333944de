"""The waitlist in a real browser: waiting in one tap, an offer that counts down and its answers, the live line."""

from datetime import UTC, datetime, timedelta
from typing import Any

from playwright.async_api import Browser, BrowserContext, Locator, Page, expect

from server import access, waitlist
from server.access import Role
from tests.clinic import book, day_of, now, patient_of, slots_of
from tests.diary import open_books, patient
from tests.pages import Served, answered_late, signed_in, visiting
from tests.test_hostile_pages import MARKUP, unharmed
from tests.world import World

OFFER = "[data-testid=offer]"
TOO_LATE = "You stay in line"


async def prepare(world: World) -> None:
    """Both doctors can be booked tomorrow."""
    await open_books(world, days=1)


async def full_day(clinic: Served) -> tuple[str, int]:
    """A day of the first doctor's with one time, which is booked, while the next day is free: the day, the booking."""
    (slot,) = await slots_of(clinic.world, after=timedelta(days=3))
    await slots_of(clinic.world, after=timedelta(days=4))
    booked = await book(clinic.world, [slot])
    return await day_of(clinic.world, slot), booked.appointment_id


async def waits(context: BrowserContext, clinic: Served, token: str, day: str) -> Page:
    """Somebody looks at a day without free times, and waits for one in one tap."""
    page = await signed_in(context, clinic, token, f"/book#/doctor/{clinic.world.doctors[0]}")
    await page.locator(f"[data-day='{day}']").click()
    await page.get_by_test_id("wait-join").click()
    await page.wait_for_selector("[data-testid=waiting]")
    return page


async def own(page: Page, clinic: Served) -> Page:
    """The page of own appointments in the same tab, live."""
    await page.goto(f"{clinic.url}/appointments")
    await page.wait_for_selector("[data-testid=wait], [data-testid=offer]")
    return page


async def in_line(clinic: Served, patient_id: int | None = None, **ask: Any) -> Any:
    """Somebody waits for the first doctor on days on which nothing is free."""
    today = now(clinic.world).date()
    days = {"first_day": str(today + timedelta(days=20)), "last_day": str(today + timedelta(days=22))}
    who = patient_id or await patient_of(clinic.world)
    wish = {"doctor_id": clinic.world.doctors[0], **days, **ask}
    return await clinic.world.do("join-waitlist", patient_id=who, **wish)


async def offered(clinic: Served, patient_id: int | None = None) -> tuple[Any, str]:
    """Somebody waits and is offered a time of tomorrow: their place, and the path of the link in the message."""
    tomorrow = str(now(clinic.world).date() + timedelta(days=1))
    entry = await in_line(clinic, patient_id, first_day=tomorrow, last_day=tomorrow)
    secret = f"the-secret-of-the-offer-{entry.offer_id}"
    digest = access.digest(secret)
    await clinic.world.pool.execute("update offers set secret_hash = $2 where id = $1", entry.offer_id, digest)
    return entry, f"/offer/{secret}"


FOR_TRYING_OUT = "insert into facts (name, value) values ('origin', 'test') on conflict do nothing"


async def later(clinic: Served, minutes: int) -> None:
    """Move the clock of the server, and of what the worker does."""
    ahead = timedelta(minutes=minutes)
    await clinic.world.pool.execute(FOR_TRYING_OUT)
    await clinic.stop()
    clinic.config = clinic.config.model_copy(update={"clock_ahead": ahead.total_seconds()})
    clinic.world.store._clock = lambda: datetime.now(UTC) + ahead
    await clinic.start()


async def state_of(clinic: Served, offer_id: int) -> str:
    return str(await clinic.world.pool.fetchval("select state from offers where id = $1", offer_id))


# Patients


async def test_a_freed_time_is_offered_ignored_and_taken_by_the_next(browser: Browser, clinic: Served) -> None:
    day, booked = await full_day(clinic)
    (_, maya), (_, sam) = await patient(clinic.world), await patient(clinic.world, "Sam Carter")
    async with visiting(browser, "phone") as one, visiting(browser, "phone") as two:
        first = await own(await waits(one, clinic, maya, day), clinic)
        second = await own(await waits(two, clinic, sam, day), clinic)
        await expect(second.get_by_test_id("standing")).to_have_attribute("data-position", "2")
        await clinic.world.do("cancel-appointment", appointment_id=booked, reason="Ill")
        await expect(first.locator(OFFER).get_by_test_id("countdown")).to_contain_text("29:")
        await expect(second.locator(OFFER)).to_have_count(0)
        await later(clinic, 31)
        await expect(first.locator(OFFER)).to_have_attribute("data-open", "false", timeout=30_000)
        assert await waitlist.expire_offers(clinic.world.store) == 1
        await expect(first.get_by_test_id("wait")).to_contain_text(TOO_LATE, timeout=30_000)
        await second.get_by_test_id("accept").click()
        await expect(second.get_by_test_id("said")).to_contain_text("It is yours")
        await expect(second.get_by_test_id("appointment")).to_have_attribute("data-state", "confirmed")
        await expect(first.locator(OFFER)).to_have_count(0)


async def test_the_page_says_place_and_chance_in_words_and_follows_who_leaves(browser: Browser, clinic: Served) -> None:
    day, _ = await full_day(clinic)
    other = await in_line(clinic, first_day=day, last_day=day)
    _, maya = await patient(clinic.world)
    async with visiting(browser, "phone") as pocket:
        page = await waits(pocket, clinic, maya, day)
        await expect(page.get_by_test_id("standing")).to_contain_text("You are number 2 in the line.")
        await expect(page.get_by_test_id("standing")).to_contain_text("fewer than 1 in 10")
        await own(page, clinic)
        await clinic.world.do("leave-waitlist", entry_id=other.entry_id)
        await page.reload()
        await expect(page.get_by_test_id("standing")).to_contain_text("You are number 1 in the line.")
        await page.get_by_test_id("leave-wait").click()
        await page.get_by_role("dialog").get_by_role("button", name="Leave the waitlist").click()
        await expect(page.get_by_test_id("wait")).to_have_count(0)
        await expect(page.get_by_test_id("said")).to_have_text("You are not waiting any more.")


async def test_declining_keeps_the_place_and_says_so(browser: Browser, clinic: Served) -> None:
    who, maya = await patient(clinic.world)
    entry, _ = await offered(clinic, who)
    async with visiting(browser, "phone") as pocket:
        page = await signed_in(pocket, clinic, maya, "/appointments")
        await page.locator(OFFER).get_by_test_id("decline").click()
        await expect(page.get_by_test_id("said")).to_contain_text(TOO_LATE)
        # What is let go goes to somebody else; another time of that day is offered in its place.
        assert await state_of(clinic, entry.offer_id) == "declined"
        await expect(page.locator(f"{OFFER}:not([data-offer='{entry.offer_id}'])")).to_be_visible()


async def test_days_and_hours_can_be_chosen_before_waiting(browser: Browser, clinic: Served) -> None:
    day, _ = await full_day(clinic)
    who, maya = await patient(clinic.world)
    async with visiting(browser, "phone") as pocket:
        page = await signed_in(pocket, clinic, maya, f"/book#/doctor/{clinic.world.doctors[0]}")
        await page.locator(f"[data-day='{day}']").click()
        await page.get_by_test_id("wait").locator("summary").click()
        await page.get_by_label("Evening").check()
        await page.get_by_label("Four weeks").check()
        await page.get_by_test_id("wait-join").click()
        await page.wait_for_selector("[data-testid=waiting]")
    row = await clinic.world.pool.fetchrow("select parts, last_day - first_day as days, mode from waitlist")
    assert row and (row["parts"], row["days"], row["mode"]) == (["evening"], 27, "in_person") and who


async def test_the_desk_waits_for_whom_it_has_chosen(browser: Browser, clinic: Served) -> None:
    day, _ = await full_day(clinic)
    who = await patient_of(clinic.world, "Noor Haddad")
    token = await clinic.world.account(Role.receptionist, "desk@clinic.test", name="Robin Reyes")
    async with visiting(browser) as front:
        page = await signed_in(front, clinic, token, f"/book#/doctor/{clinic.world.doctors[0]}")
        await page.locator(f"[data-day='{day}']").click()
        await expect(page.get_by_test_id("wait-join")).to_be_disabled()
        await page.locator("#who").fill("Noor")
        await page.get_by_test_id("who-found").first.click()
        await page.get_by_test_id("wait-join").click()
        await expect(page.get_by_test_id("waiting")).to_contain_text("Noor Haddad is on the waitlist")
    assert await clinic.world.pool.fetchval("select patient_id from waitlist") == who


# The link in the message


async def test_opening_the_link_answers_nothing_and_one_tap_books(browser: Browser, clinic: Served) -> None:
    who, maya = await patient(clinic.world)
    entry, path = await offered(clinic, who)
    async with visiting(browser, "phone") as pocket:
        # Somebody signed in long ago: the link asks for nobody's session, and uses none.
        page = await signed_in(pocket, clinic, maya, path)
        await expect(page.get_by_test_id("countdown")).to_contain_text("29:")
        await page.reload()
        await pocket.request.get(clinic.url + path)
        await pocket.request.get(f"{clinic.url}/api/v1/offers/by-link/accept")
        assert await state_of(clinic, entry.offer_id) == "open"
        await expect(page.locator("body")).not_to_contain_text("Maya")
        await page.get_by_test_id("accept").click()
        await expect(page.get_by_test_id("offer-link")).to_have_attribute("data-state", "accepted")
        assert await state_of(clinic, entry.offer_id) == "accepted"
        await page.reload()
        await expect(page.get_by_test_id("offer-link")).to_contain_text("It is yours")


async def test_the_link_pressed_too_late_says_plainly_that_they_stay_in_line(browser: Browser, clinic: Served) -> None:
    entry, path = await offered(clinic)
    async with visiting(browser, "phone") as pocket:
        page = await pocket.new_page()
        await page.goto(clinic.url + path)
        await page.wait_for_selector("[data-testid=accept]")
        await later(clinic, 31)
        await page.get_by_test_id("accept").click()
        await expect(page.get_by_test_id("offer-link")).to_have_attribute("data-state", "expired", timeout=20_000)
        await expect(page.get_by_test_id("offer-link")).to_contain_text(TOO_LATE)
        assert await clinic.world.pool.fetchval("select count(*) from appointments where patient_id is not null") == 0
        await waitlist.expire_offers(clinic.world.store)
        assert await state_of(clinic, entry.offer_id) == "expired"


async def test_an_offer_that_was_taken_is_not_shown_as_open_again_by_an_older_look(
    browser: Browser, clinic: Served
) -> None:
    _, path = await offered(clinic)
    async with visiting(browser, "phone") as pocket:
        page = await pocket.new_page()
        await page.goto(clinic.url + path)
        await page.wait_for_selector("[data-testid=accept]")
        async with answered_late(page, "**/offers/by-link", "POST", times=1) as answered:
            await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
            await answered.wait()
            await page.get_by_test_id("accept").click()
            await expect(page.get_by_test_id("offer-link")).to_have_attribute("data-state", "accepted")
        assert await page.get_by_test_id("offer-link").get_attribute("data-state") == "accepted"


# The desk


async def desk(context: BrowserContext, clinic: Served, role: Role = Role.receptionist, path: str = "") -> Page:
    """The waitlist, signed in."""
    own = {"doctor_id": clinic.world.doctors[0]} if role is Role.doctor else {}
    token = await clinic.world.account(role, f"{role}@clinic.test", name="Robin Reyes", **own)
    page = await signed_in(context, clinic, token, f"/waitlist{path}")
    await page.wait_for_selector("[data-testid=waitlist-table], [data-testid=waitlist-empty]")
    return page


def row(page: Page, entry: Any) -> Locator:
    """The row of a place."""
    return page.locator(f"[data-testid=waitlist-row][data-entry='{entry.entry_id}']")


async def test_the_line_is_live_and_a_priority_changes_it_with_its_reason(browser: Browser, clinic: Served) -> None:
    async with visiting(browser) as front:
        page = await desk(front, clinic)
        first, second = await in_line(clinic), await in_line(clinic, await patient_of(clinic.world, "Noor Haddad"))
        await expect(row(page, second)).to_contain_text("No. 2")
        await row(page, second).get_by_role("button", name="Noor Haddad").click()
        await page.locator("dialog [data-step=priority]").click()
        await page.get_by_test_id("waitlist-priority").select_option("9")
        await page.get_by_label("Reason").fill("In pain")
        await page.get_by_role("dialog").get_by_role("button", name="Change the priority").click()
        await expect(row(page, second)).to_contain_text("In pain")
        await expect(row(page, second)).to_contain_text("No. 1")
        await expect(page.get_by_test_id("waitlist-row").first).to_have_attribute("data-entry", str(second.entry_id))
        await clinic.world.do("leave-waitlist", entry_id=first.entry_id)
        await expect(row(page, first)).to_have_count(0)


async def test_an_offer_counts_down_at_the_desk_with_why_it_went_to_them(browser: Browser, clinic: Served) -> None:
    async with visiting(browser) as front:
        page = await desk(front, clinic)
        entry, _ = await offered(clinic, await patient_of(clinic.world, "Noor Haddad"))
        card = page.get_by_test_id("waitlist-offer")
        await expect(card.get_by_test_id("countdown")).to_contain_text("29:")
        await card.get_by_role("button", name="Noor Haddad").click()
        await expect(page.get_by_test_id("waitlist-story")).to_contain_text("Priority 5: whoever has the highest")
        await page.keyboard.press("Escape")
        await card.get_by_role("button", name="They take it").click()
        await expect(card).to_have_count(0)
        await expect(row(page, entry)).to_have_count(0)
        assert await state_of(clinic, entry.offer_id) == "accepted"


async def test_somebody_is_added_and_taken_off_at_the_desk(browser: Browser, clinic: Served) -> None:
    await patient_of(clinic.world, "Noor Haddad")
    async with visiting(browser) as front:
        page = await desk(front, clinic)
        await page.get_by_test_id("waitlist-add").click()
        await page.get_by_test_id("waitlist-patient").fill("Noor")
        await page.locator("dialog [data-patient]").first.click()
        await page.get_by_test_id("add-doctor").select_option(str(clinic.world.doctors[1]))
        day = str(now(clinic.world).date() + timedelta(days=9))
        await page.get_by_label("From", exact=True).fill(day)
        await page.get_by_label("To", exact=True).fill(day)
        await page.get_by_role("dialog").get_by_role("button", name="Add", exact=True).click()
        await expect(page.get_by_test_id("waitlist-row")).to_contain_text("Noor Haddad")
        await page.get_by_role("button", name="Noor Haddad").click()
        await page.locator("dialog [data-step=leave]").click()
        await page.get_by_role("dialog").get_by_role("button", name="Take off the waitlist").click()
        await expect(page.get_by_test_id("waitlist-empty")).to_be_visible()


async def test_filters_stand_in_the_address_and_names_do_not(browser: Browser, clinic: Served) -> None:
    usual = await in_line(clinic, await patient_of(clinic.world, "Noor Haddad"))
    urgent = await in_line(clinic, priority=8, reason="In pain")
    other = await in_line(clinic, doctor_id=clinic.world.doctors[1], priority=8)
    async with visiting(browser) as front:
        page = await desk(front, clinic)
        await page.get_by_test_id("waitlist-doctor").select_option(str(clinic.world.doctors[0]))
        await expect(row(page, other)).to_have_count(0)
        await page.get_by_test_id("waitlist-least").select_option("8")
        await expect(row(page, usual)).to_have_count(0)
        await page.reload()
        await expect(row(page, urgent)).to_be_visible()
        await expect(row(page, usual)).to_have_count(0)
        await page.get_by_test_id("waitlist-least").select_option("")
        await page.get_by_test_id("waitlist-find").fill("Noor")
        await expect(row(page, urgent)).to_have_count(0)
        await expect(row(page, usual)).to_be_visible()
        assert "Noor" not in page.url
        await page.get_by_test_id("waitlist-find").fill("")
        await page.get_by_role("button", name="Booked", exact=True).click()
        await expect(page.get_by_test_id("waitlist-empty")).to_be_visible()


async def test_demand_is_told_by_doctor_and_day_and_narrows_the_line(browser: Browser, clinic: Served) -> None:
    day = now(clinic.world).date() + timedelta(days=5)
    here = await in_line(clinic, first_day=str(day), last_day=str(day))
    elsewhere = await in_line(clinic)
    async with visiting(browser) as front:
        page = await desk(front, clinic)
        await expect(page.get_by_test_id("waitlist-demand").locator(".heat-cell")).to_have_text(["1"])
        await in_line(clinic, first_day=str(day), last_day=str(day), priority=9)
        await expect(page.get_by_test_id("waitlist-demand").locator(".heat-cell")).to_have_text(["2!"])
        await page.locator(".heat-cell").click()
        await expect(row(page, elsewhere)).to_have_count(0)
        await expect(row(page, here)).to_be_visible()
        assert f"day={day}" in page.url


async def test_doctors_see_who_waits_for_them_and_nobody_else(browser: Browser, clinic: Served) -> None:
    mine, theirs = await in_line(clinic), await in_line(clinic, doctor_id=clinic.world.doctors[1])
    async with visiting(browser) as office:
        page = await desk(office, clinic, Role.doctor)
        await expect(row(page, mine)).to_be_visible()
        await expect(row(page, theirs)).to_have_count(0)
        await expect(page.get_by_test_id("waitlist-doctor")).to_have_count(0)
        more = await in_line(clinic)
        await expect(row(page, more)).to_be_visible(timeout=20_000)


async def test_hostile_names_are_text_wherever_somebody_waits(browser: Browser, clinic: Served) -> None:
    await clinic.world.pool.execute("update doctors set name = $1", MARKUP)
    await clinic.world.pool.execute("update institutions set name = $1", MARKUP)
    who, token = await patient(clinic.world, MARKUP)
    entry = await in_line(clinic, who, priority=9, reason=MARKUP)
    _, path = await offered(clinic, who)
    async with visiting(browser, "phone") as front:
        page = await desk(front, clinic)
        await unharmed(page)
        await row(page, entry).locator(".as-link").click()
        await expect(page.get_by_test_id("waitlist-story")).to_be_visible()
        await unharmed(page)
    async with visiting(browser, "phone") as pocket:
        page = await signed_in(pocket, clinic, token, "/appointments")
        await expect(page.locator(OFFER)).to_contain_text("<img src=x")
        await unharmed(page)
        await page.goto(clinic.url + path)
        await expect(page.get_by_test_id("offer-link")).to_contain_text("<img src=x")
        await unharmed(page)


async def test_nobody_is_said_to_wait_before_that_is_known(browser: Browser, clinic: Served) -> None:
    async with visiting(browser) as front:
        token = await clinic.world.account(Role.receptionist, "desk@clinic.test", name="Robin Reyes")
        async with answered_late(front, "**/waitlist/demand?*"):
            page = await signed_in(front, clinic, token, "/waitlist")
            await expect(page.locator(".demand")).to_be_visible()
            await expect(page.locator(".demand")).not_to_contain_text("Nobody waits")
        await expect(page.locator(".demand")).to_contain_text("Nobody waits")
