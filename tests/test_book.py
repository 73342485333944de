"""Booking in real browsers: what two see of each other's choice, what a lost time costs, what staff may do."""

import asyncio
import contextlib

from playwright.async_api import Browser, BrowserContext, Page, Route, expect

from server import errors
from server.access import Role
from tests.clinic import book, now, patient_of, set_booking
from tests.diary import SLOT, at_times, open_books, patient, slot
from tests.pages import Served, answered_late, reception, signed_in, sits_down, until, visiting
from tests.world import World, eventually


async def prepare(world: World) -> None:
    """Both doctors can be booked."""
    await open_books(world)


async def times(context: BrowserContext, clinic: Served, name: str = "Maya Lindgren", nth: int = 0) -> Page:
    """A doctor's times, as a patient of this name sees them."""
    _, token = await patient(clinic.world, name)
    return await at_times(context, clinic, token, f"doctor/{clinic.world.doctors[nth]}")


async def first_slot(page: Page, nth: int = 0) -> str:
    """The id of the n-th time shown."""
    return str(await page.locator(SLOT).nth(nth).get_attribute("data-slot"))


async def hold(page: Page, id_: str) -> None:
    """Touch a time, and have it."""
    await slot(page, id_).click()
    await page.wait_for_selector("[data-testid=booking-form][data-state=held]")


async def appointment_of(clinic: Served, who: int) -> int:
    """An appointment of theirs with the first doctor, the day after tomorrow."""
    found = await clinic.world.pool.fetchval(FREE, clinic.world.doctors[0])
    return int((await book(clinic.world, [found], patient_id=who)).appointment_id)


FREE = "select id from slots where doctor_id = $1 and starts_at > now() + interval '2 days' order by starts_at limit 1"


async def booked_somehow(clinic: Served, slot_id: int) -> bool:
    """Somebody at the desk takes the seat, once its lock is gone."""
    with contextlib.suppress(errors.SlotLocked):
        await book(clinic.world, [slot_id])
        return True
    return False


async def test_a_known_patient_books_in_three_clicks(browser: Browser, clinic: Served) -> None:
    id_, token = await patient(clinic.world)
    async with visiting(browser, "phone") as pocket:
        page = await signed_in(pocket, clinic, token, "/book")
        await page.locator(f"[data-doctor='{clinic.world.doctors[0]}']").click()
        await page.locator(SLOT).first.click()
        await page.get_by_test_id("book").click()
        booked = page.get_by_test_id("booked")
        await expect(booked).to_have_attribute("data-state", "confirmed")
        row = await clinic.world.pool.fetchrow("select patient_id, state, number, source from appointments")
        assert row and (row["patient_id"], row["state"], row["source"]) == (id_, "confirmed", "online")
        await expect(booked).to_have_attribute("data-number", row["number"])


async def test_a_touched_time_locks_before_everybodys_eyes_and_is_free_when_its_page_goes(
    browser: Browser, clinic: Served
) -> None:
    async with visiting(browser, "phone") as one, visiting(browser) as other:
        mine, theirs = await times(one, clinic), await times(other, clinic, "Noor Haddad")
        wanted = await first_slot(mine)
        await hold(mine, wanted)
        await expect(slot(theirs, wanted)).to_have_attribute("aria-disabled", "true")
        await slot(theirs, wanted).click(force=True)
        await expect(theirs.get_by_test_id("booking-form")).to_be_hidden()
        await mine.close(run_before_unload=False)
        await expect(slot(theirs, wanted)).to_have_attribute("aria-disabled", "false", timeout=25_000)


async def test_what_one_books_goes_from_the_others_list_and_comes_back_when_called_off(
    browser: Browser, clinic: Served
) -> None:
    async with visiting(browser) as office:
        page = await times(office, clinic)
        wanted = await first_slot(page)
        made = await book(clinic.world, [int(wanted)])
        await expect(slot(page, wanted)).to_be_hidden()
        await clinic.world.do("cancel-appointment", appointment_id=made.appointment_id)
        await expect(slot(page, wanted)).to_be_visible()


async def test_of_two_who_book_the_last_seat_one_has_it_and_the_other_is_offered_the_next(
    browser: Browser, clinic: Served
) -> None:
    async with visiting(browser, "phone") as pocket:
        page = await times(pocket, clinic)
        wanted = await first_slot(page)
        await hold(page, wanted)
        # Redis has forgotten the lock, and somebody was faster: PostgreSQL alone decides.
        assert clinic.world.store.locks is not None
        clinic.world.store.locks.let_go([await page.evaluate("JSON.parse(sessionStorage['callboard.hold']).token")])
        await clinic.world.published()
        await eventually(lambda: booked_somehow(clinic, int(wanted)))
        await page.fill("input[name=reason]", "A cough for two weeks")
        await page.get_by_test_id("book").click()
        await expect(page.get_by_test_id("hold-lost")).to_be_visible()
        await expect(page.get_by_test_id("alternative")).to_have_count(3)
        await page.get_by_test_id("alternative").first.click()
        await page.wait_for_selector("[data-testid=booking-form][data-state=held]")
        assert await page.input_value("input[name=reason]") == "A cough for two weeks"
        await page.get_by_test_id("book").click()
        await expect(page.get_by_test_id("booked")).to_be_visible()


async def test_when_the_minutes_are_over_nothing_typed_is_lost(browser: Browser, clinic: Served) -> None:
    async with visiting(browser, "phone") as pocket:
        page = await times(pocket, clinic)
        await pocket.clock.install()
        await page.reload()
        await page.wait_for_selector(SLOT)
        await hold(page, await first_slot(page))
        await page.fill("input[name=reason]", "A cough for two weeks")
        await pocket.clock.fast_forward(5 * 60_000 + 2_000)
        await expect(page.get_by_test_id("hold-over")).to_be_visible()
        await pocket.clock.set_system_time(now(clinic.world))
        await expect(page.get_by_test_id("book")).to_be_disabled()
        assert await page.input_value("input[name=reason]") == "A cough for two weeks"
        await page.get_by_test_id("hold-again").click()
        await page.wait_for_selector("[data-testid=booking-form][data-state=held]")
        await page.get_by_test_id("book").click()
        await expect(page.get_by_test_id("booked")).to_be_visible()
        assert await clinic.world.pool.fetchval("select reason from appointments") == "A cough for two weeks"


async def test_a_reload_keeps_the_time_and_the_words(browser: Browser, clinic: Served) -> None:
    async with visiting(browser, "phone") as pocket, visiting(browser) as other:
        page, theirs = await times(pocket, clinic), await times(other, clinic, "Noor Haddad")
        wanted = await first_slot(page)
        await hold(page, wanted)
        await page.fill("input[name=reason]", "A cough for two weeks")
        await page.reload()
        await page.wait_for_selector("[data-testid=booking-form][data-state=held]")
        assert await page.input_value("input[name=reason]") == "A cough for two weeks"
        await expect(slot(theirs, wanted)).to_have_attribute("aria-disabled", "true")
        await page.get_by_test_id("book").click()
        await expect(page.get_by_test_id("booked")).to_be_visible()


async def test_a_time_that_is_let_go_is_everybodys_again(browser: Browser, clinic: Served) -> None:
    async with visiting(browser, "phone") as pocket, visiting(browser) as other:
        page, theirs = await times(pocket, clinic), await times(other, clinic, "Noor Haddad")
        wanted = await first_slot(page)
        await hold(page, wanted)
        await page.go_back()
        await expect(page.get_by_test_id("going")).to_be_visible()
        await expect(slot(page, wanted)).to_have_attribute("aria-pressed", "true")
        await page.get_by_test_id("let-go").click()
        await expect(slot(theirs, wanted)).to_have_attribute("aria-disabled", "false")


async def test_any_doctor_is_a_request_whose_answer_comes_by_itself(browser: Browser, clinic: Served) -> None:
    specialty = await clinic.world.pool.fetchval("select id from specialties")
    _, token = await patient(clinic.world)
    async with visiting(browser, "phone") as pocket:
        page = await at_times(pocket, clinic, token, f"specialty/{specialty}")
        await hold(page, await first_slot(page))
        await page.get_by_test_id("book").click()
        booked = page.get_by_test_id("booked")
        await expect(booked).to_have_attribute("data-state", "pending")
        id_ = int(str(await booked.get_attribute("data-appointment")))
        await clinic.world.do("accept-request", "doctor2", appointment_id=id_)
        await expect(booked).to_have_attribute("data-state", "confirmed")
        await expect(booked).to_contain_text("Dr. Bloch")


async def test_a_doctor_who_confirms_by_hand_may_say_no_and_why(browser: Browser, clinic: Served) -> None:
    await set_booking(clinic.world, auto_confirm_appointments=False)
    async with visiting(browser, "phone") as pocket:
        page = await times(pocket, clinic)
        await hold(page, await first_slot(page))
        await page.get_by_test_id("book").click()
        booked = page.get_by_test_id("booked")
        await expect(booked).to_have_attribute("data-state", "pending")
        id_ = int(str(await booked.get_attribute("data-appointment")))
        await clinic.world.do("reject-request", "doctor", appointment_id=id_, reason="On leave that day")
        await expect(booked).to_have_attribute("data-state", "rejected")
        await expect(booked).to_contain_text("On leave that day")


async def test_a_longer_visit_takes_times_that_follow_one_another(browser: Browser, clinic: Served) -> None:
    async with visiting(browser) as office:
        page = await times(office, clinic)
        await page.get_by_test_id("visit-type").select_option(label="Long visit · 60 minutes · €80")
        await page.wait_for_selector("[data-testid=picker][data-state=ready]")
        await hold(page, await first_slot(page))
        await page.get_by_test_id("book").click()
        await expect(page.get_by_test_id("booked")).to_be_visible()
        assert await clinic.world.pool.fetchval("select count(*) from seats") == 2


async def test_the_desk_chooses_a_patient_and_may_insist(browser: Browser, clinic: Served) -> None:
    world = clinic.world
    who = await patient_of(world, "Ingrid Olsen")
    token = await world.account(Role.receptionist, "desk@clinic.test", name="Robin Reyes")
    async with visiting(browser) as office:
        page = await at_times(office, clinic, token, f"doctor/{world.doctors[0]}")
        wanted = await first_slot(page)
        same = await world.pool.fetchval(
            "select o.id from slots o join slots s on s.starts_at = o.starts_at and o.doctor_id <> s.doctor_id"
            " where s.id = $1",
            int(wanted),
        )
        await book(world, [same], patient_id=who)
        await hold(page, wanted)
        await expect(page.get_by_test_id("book")).to_be_disabled()
        await page.fill("#who", "Ingrid")
        await page.locator(f"[data-testid=who-found][data-patient='{who}']").click()
        await page.get_by_test_id("book").click()
        await page.get_by_test_id("insist").click()
        await expect(page.get_by_test_id("booked")).to_have_attribute("data-state", "confirmed")
        assert await world.pool.fetchval("select insisted from appointments where doctor_id = $1", world.doctors[0])


async def test_a_patient_who_would_be_in_two_places_is_told_so(browser: Browser, clinic: Served) -> None:
    world = clinic.world
    who, token = await patient(world)
    async with visiting(browser, "phone") as pocket:
        page = await at_times(pocket, clinic, token, f"doctor/{world.doctors[0]}")
        wanted = await first_slot(page)
        await hold(page, wanted)
        same = await world.pool.fetchval(
            "select o.id from slots o join slots s on s.starts_at = o.starts_at and o.doctor_id <> s.doctor_id"
            " where s.id = $1",
            int(wanted),
        )
        await book(world, [same], patient_id=who)
        await page.get_by_test_id("book").click()
        await expect(page.locator(".last .problem")).to_be_visible()
        await expect(page.get_by_test_id("insist")).to_be_hidden()


async def test_an_appointment_moves_to_another_doctor_from_the_page_that_books(
    browser: Browser, clinic: Served
) -> None:
    world = clinic.world
    who, token = await patient(world)
    made = await appointment_of(clinic, who)
    async with visiting(browser, "phone") as pocket:
        page = await signed_in(pocket, clinic, token, f"/book?move={made}")
        await expect(page.get_by_test_id("moved")).to_contain_text("Dr. Ames")
        await page.wait_for_selector(SLOT)
        await page.locator(".back").first.click()
        await page.locator(f"[data-doctor='{world.doctors[1]}']").click()
        await page.locator(SLOT).first.click()
        await page.get_by_test_id("book").click()
        await expect(page.get_by_test_id("booked")).to_have_attribute("data-state", "confirmed")
        rows = await world.pool.fetch("select state, doctor_id, rescheduled_from from appointments order by id")
        ames, bloch = world.doctors
        assert [tuple(row) for row in rows] == [("rescheduled", ames, None), ("confirmed", bloch, made)]
        assert "move" not in page.url


async def test_a_wish_to_move_says_that_the_appointment_still_stands(browser: Browser, clinic: Served) -> None:
    world = clinic.world
    who, token = await patient(world)
    made = await appointment_of(clinic, who)
    await set_booking(world, auto_confirm_appointments=False)
    async with visiting(browser, "phone") as pocket:
        page = await signed_in(pocket, clinic, token, f"/book?move={made}")
        await hold(page, await first_slot(page))
        await page.reload()
        await page.get_by_test_id("book").click()
        await expect(page.get_by_test_id("booked")).to_contain_text("still yours")
        await page.goto(f"{clinic.url}/appointments")
        await expect(page.locator("[data-testid=appointment][data-state=pending]")).to_contain_text("Instead of")
        stands = page.locator(f"[data-appointment='{made}']")
        await expect(stands.get_by_test_id("move")).to_have_count(0)
        wish = await world.pool.fetchval("select id from appointments where state = 'pending'")
        await world.do("confirm-appointment", "doctor", appointment_id=wish)
        await expect(page.locator("[data-testid=appointment]")).to_have_count(1)


async def test_nothing_is_booked_while_it_is_not_known_yet_what_is_moved(browser: Browser, clinic: Served) -> None:
    who, token = await patient(clinic.world)
    made = await appointment_of(clinic, who)
    known = asyncio.Event()

    async def late(route: Route) -> None:
        await known.wait()
        await route.continue_()

    async with visiting(browser, "phone") as pocket:
        page = await signed_in(pocket, clinic, token, f"/book?move={made}")
        await hold(page, await first_slot(page))
        await page.route("**/appointments/mine*", late)
        await page.reload()
        await expect(page.locator("main.booking")).to_contain_text("Connecting")
        await expect(page.get_by_test_id("book")).to_have_count(0)
        known.set()
        await page.get_by_test_id("book").click()
        await expect(page.get_by_test_id("booked")).to_contain_text("moved")
    assert await clinic.world.pool.fetchval("select count(*) from appointments where state = 'confirmed'") == 1


async def test_what_cannot_be_moved_any_more_is_said(browser: Browser, clinic: Served) -> None:
    who, token = await patient(clinic.world)
    made = await appointment_of(clinic, who)
    await clinic.world.do("cancel-appointment", appointment_id=made)
    async with visiting(browser, "phone") as pocket:
        page = await signed_in(pocket, clinic, token, f"/book?move={made}")
        await expect(page.get_by_role("alert")).to_contain_text("cannot be moved")


async def test_the_desk_moves_an_appointment_and_books_for_whom_it_has_found(browser: Browser, clinic: Served) -> None:
    world = clinic.world
    who = await patient_of(world, "Ingrid Olsen")
    made = await appointment_of(clinic, who)
    await world.queue("Walk-in")
    async with visiting(browser) as office:
        page = await reception(office, clinic)
        await page.fill("#find", "Ingrid")
        await page.locator(f"[data-testid=reception-found][data-patient='{who}']").click()
        await page.get_by_test_id("reception-book").click()
        await expect(page.get_by_test_id("for-whom")).to_have_attribute("data-patient", str(who))
        await page.goto(f"{clinic.url}/book?move={made}")
        await expect(page.get_by_test_id("moved")).to_contain_text("Ingrid Olsen")
        await page.locator(SLOT).first.click()
        await page.get_by_test_id("book").click()
        await expect(page.get_by_test_id("booked")).to_have_attribute("data-state", "confirmed")
        assert await world.pool.fetchval("select state from appointments where id = $1", made) == "rescheduled"


async def test_an_empty_week_leads_to_the_next_free_time(browser: Browser, clinic: Served) -> None:
    world = clinic.world
    await world.pool.execute("delete from slots where starts_at < now() + interval '9 days'")
    _, token = await patient(world)
    async with visiting(browser, "phone") as pocket:
        page = await signed_in(pocket, clinic, token, f"/book#/doctor/{world.doctors[0]}")
        await page.get_by_test_id("next-free").click()
        await page.wait_for_selector(SLOT)
        await until(page, "document.querySelector('.day[aria-pressed=true]').dataset.free !== '0'")


async def test_what_one_has_booked_is_not_shown_to_the_next(browser: Browser, clinic: Served) -> None:
    _, next_token = await patient(clinic.world, "Noor Haddad")
    async with visiting(browser, "phone") as pocket:
        page = await times(pocket, clinic)
        await hold(page, await first_slot(page))
        async with answered_late(page, "**/api/v1/appointments", "POST"):
            await page.get_by_test_id("book").click()
            await page.get_by_role("button", name="Sign out").click()
            await page.wait_for_selector(".gate-card")
        await sits_down(page, clinic, next_token)
        await page.wait_for_selector(f"{SLOT}, [data-testid=choose-doctor]")
        await expect(page.get_by_test_id("booked")).to_have_count(0)


async def test_the_desk_is_told_for_whom_it_booked_though_it_looks_at_the_next_already(
    browser: Browser, clinic: Served
) -> None:
    world = clinic.world
    who = await patient_of(world, "Ingrid Olsen")
    token = await world.account(Role.receptionist, "desk@clinic.test", name="Robin Reyes")
    async with visiting(browser) as office:
        page = await at_times(office, clinic, token, f"doctor/{world.doctors[0]}")
        await page.fill("#who", "Ingrid")
        await page.locator(f"[data-testid=who-found][data-patient='{who}']").click()
        await hold(page, await first_slot(page))
        async with answered_late(page, "**/api/v1/appointments", "POST"):
            await page.get_by_test_id("book").click()
            await page.get_by_role("button", name="Somebody else").click()
        await expect(page.get_by_test_id("booked")).to_contain_text("Ingrid Olsen")


async def test_enter_chooses_nobody_whom_an_older_search_has_found(browser: Browser, clinic: Served) -> None:
    world = clinic.world
    who, wanted = await patient_of(world, "Ingrid Olsen"), await patient_of(world, "Noor Haddad")
    token = await world.account(Role.receptionist, "desk@clinic.test", name="Robin Reyes")
    async with visiting(browser) as office:
        page = await at_times(office, clinic, token, f"doctor/{world.doctors[0]}")
        await page.fill("#who", "Ingrid")
        await page.wait_for_selector(f"[data-testid=who-found][data-patient='{who}']")
        async with answered_late(page, "**/patients/search", "POST"):
            await page.fill("#who", "Noo")
            await page.press("#who", "Enter")
            await page.fill("#who", "Noor")
        await page.wait_for_selector(f"[data-testid=who-found][data-patient='{wanted}']")
        await expect(page.get_by_test_id("for-whom")).to_have_count(0)
        await page.press("#who", "Enter")
        await expect(page.get_by_test_id("for-whom")).to_contain_text("Noor Haddad")


async def test_whoever_was_refused_and_tries_again_can_book(browser: Browser, clinic: Served) -> None:
    async with visiting(browser, "phone") as pocket:
        _, token = await patient(clinic.world)
        refusal = {"code": "not-allowed", "status": 403, "title": "Not allowed"}
        await pocket.route("**/catalogue", lambda route: route.fulfill(status=403, json=refusal), times=1)
        page = await signed_in(pocket, clinic, token, f"/book#/doctor/{clinic.world.doctors[0]}")
        await page.get_by_role("button", name="Try again").click()
        await hold(page, await first_slot(page))


async def test_a_week_is_not_said_to_be_full_before_it_is_read(browser: Browser, clinic: Served) -> None:
    async with visiting(browser, "phone") as pocket:
        page = await times(pocket, clinic)
        async with answered_late(page, "**/api/v1/slots?*"):
            await page.get_by_test_id("week-after").click()
            await page.wait_for_selector("[data-testid=picker][data-state=reading]")
            await expect(page.get_by_test_id("picker")).not_to_contain_text("Nothing is free")
            await expect(page.get_by_test_id("wait")).to_have_count(0)
        await page.wait_for_selector(SLOT)


async def test_times_of_another_kind_of_visit_cannot_be_taken_for_this_one(browser: Browser, clinic: Served) -> None:
    async with visiting(browser, "phone") as pocket:
        page = await times(pocket, clinic)
        async with answered_late(page, "**/api/v1/slots?*"):
            await page.get_by_test_id("visit-type").select_option(index=1)
            await page.wait_for_selector("[data-testid=picker][data-state=reading]")
            await expect(page.locator(SLOT)).to_have_count(0)
        await page.wait_for_selector(SLOT)
