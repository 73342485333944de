"""What patients are told, in real browsers: an institution's words, wishes, news on one's page, links in letters."""

import re
from datetime import timedelta

import pytest
from playwright.async_api import Browser, expect

from server.access import Role
from tests.clinic import now
from tests.diary import open_books, patient
from tests.pages import Served, answered_late, signed_in, visiting
from tests.test_mine import booked
from tests.test_notices_sending import Recorder, post_of
from tests.world import World, eventually
from workers.notices import Post, send_due
from workers.senders.app import AppSender
from workers.senders.mailbox import MailboxSender


async def prepare(world: World) -> None:
    """Both doctors can be booked."""
    await open_books(world)


async def pending(world: World, patient_id: int) -> list[str]:
    """The kinds of what waits to be sent to somebody."""
    rows = await world.pool.fetch(
        "select kind from notices where patient_id = $1 and state = 'pending' and channel <> 'app' order by id",
        patient_id,
    )
    return [row["kind"] for row in rows]


async def token_of(world: World, kind: str) -> str:
    """The end of the links in somebody's message."""
    row = await world.pool.fetchrow("select id, opens from notices where kind = $1 and channel = 'email'", kind)
    assert row is not None
    return f"{row['id']}.{row['opens'].hex}"


async def test_an_admin_says_it_in_their_own_words_and_a_bomb_is_not_kept(browser: Browser, clinic: Served) -> None:
    token = await clinic.world.account(Role.admin, "admin@clinic.test")
    async with visiting(browser) as office:
        page = await signed_in(office, clinic, token, "/admin#/messages")
        await page.locator(".words-choice select").nth(1).select_option("sms")
        text = page.locator("[data-testid=text-editor] textarea")
        await text.fill("{{ 'a' * 10**9 }}")
        await expect(page.locator(".words-faults li")).to_have_count(1)
        await expect(page.locator("[data-testid=text-editor] button[type=submit]")).to_be_disabled()
        await text.fill("Come on {{ when }}. " + "ü" * 150)
        await expect(page.get_by_test_id("segments")).to_have_text("2 parts")
        await page.locator("[data-testid=text-editor] button[type=submit]").click()
        await expect(page.locator(".toast.is-done")).to_be_visible()
    kept = await clinic.world.pool.fetchval("select body from templates where channel = 'sms'")
    assert str(kept).startswith("Come on {{ when }}.")


async def test_the_mailbox_shows_a_chat_and_says_a_call_as_its_reader_has_it(browser: Browser, clinic: Served) -> None:
    world = clinic.world
    who, _ = await patient(world)
    ways = "update patients set channels = '{whatsapp,voice}', phone = '+442079460958' where id = $1"
    await world.pool.execute(ways, who)
    await booked(clinic, who)
    await world.pool.execute("update notices set due_at = now(), try_at = now() where kind = 'booking-confirmed'")
    await send_due(Post(world.store, {}, MailboxSender(world.store)))
    admin = await world.account(Role.admin, "admin@clinic.test")
    async with visiting(browser, "phone") as pocket:
        page = await signed_in(pocket, clinic, admin, "/mailbox")
        chat = page.locator("[data-channel=whatsapp] .bubble")
        await expect(chat.get_by_role("link")).to_have_attribute("href", re.compile("/appointments"))
        assert "\n\n" in await chat.inner_text()
        call = page.locator("[data-channel=voice]")
        await expect(call.get_by_role("button")).to_be_visible()
        await expect(call.get_by_role("link")).to_have_count(0)


async def test_earlier_letters_come_once_however_often_they_are_asked_for(browser: Browser, clinic: Served) -> None:
    await clinic.world.pool.execute(MANY_LETTERS, clinic.world.institution)
    admin = await clinic.world.account(Role.admin, "admin@clinic.test")
    async with visiting(browser) as office:
        page = await signed_in(office, clinic, admin, "/mailbox")
        await expect(page.get_by_test_id("mail")).to_have_count(30)
        async with answered_late(page, "**/mailbox", "POST"):
            await page.get_by_role("button", name="Earlier").dblclick()
        await expect(page.get_by_test_id("mail")).to_have_count(40)


MANY_LETTERS = """
with told as (
    insert into notices (institution_id, kind, cause, person, channel, due_at, try_at, created_at)
    select $1, 'booking-confirmed', 'appointment:' || nth, 'patient:1', 'sms', now(), now(), now()
    from generate_series(1, 40) nth
    returning id
)
insert into mailbox (notice_id, institution_id, channel, recipient, language, body, at)
select id, $1, 'sms', '+442079460958', 'en', 'See you soon', now() from told
"""


@pytest.mark.parametrize(("place", "ten"), [("ar-EG", "١٠"), ("ar-AE", "10")])
async def test_an_arabic_text_counts_as_its_reader_does(browser: Browser, clinic: Served, place: str, ten: str) -> None:
    async with visiting(browser, locale=place) as reader:
        page = await reader.new_page()
        await page.goto(f"{clinic.url}/mailbox")
        await page.wait_for_selector("html[data-started=yes]")
        text = "import('/clients/shared/i18n.js').then(({ t }) => t('weak.too-short'))"
        assert ten in await page.evaluate(text)


@pytest.mark.parametrize("size", ["phone", "desktop"])
async def test_the_parts_of_what_somebody_wants_stand_below_each_other(
    browser: Browser, clinic: Served, size: str
) -> None:
    _, token = await patient(clinic.world)
    async with visiting(browser, size) as reader:
        page = await signed_in(reader, clinic, token, "/appointments")
        await page.get_by_test_id("preferences").locator("summary").click()
        await page.get_by_test_id("wishes").wait_for()
        parts = [await one.bounding_box() for one in await page.locator(".wishes-part").all()]
        edges = [(one["y"], one["y"] + one["height"]) for one in parts if one]
        assert len(edges) == 2 and edges[0][1] <= edges[1][0]
        remove = await page.locator(".wishes-list button").first.bounding_box()
        view = page.viewport_size
        assert remove and view and remove["x"] + remove["width"] <= view["width"] - 8


async def test_a_patient_takes_reminders_off_and_they_are_gone(browser: Browser, clinic: Served) -> None:
    who, token = await patient(clinic.world)
    await clinic.world.pool.execute("update patients set email = 'maya@example.org' where id = $1", who)
    await booked(clinic, who)
    assert "reminder" in await pending(clinic.world, who)
    async with visiting(browser, "phone") as pocket:
        page = await signed_in(pocket, clinic, token, "/appointments")
        await page.get_by_test_id("preferences").locator("summary").click()
        box = page.locator("input[data-topic=reminders][data-channel=email]")
        await expect(box).to_be_checked()
        await box.click()
        await expect(page.get_by_test_id("wishes-said")).not_to_be_empty()
        await expect(box).not_to_be_checked()
    assert "reminder" not in await pending(clinic.world, who)


async def test_an_offer_stands_on_the_page_itself_and_no_words_outlive_it(browser: Browser, clinic: Served) -> None:
    world = clinic.world
    who, token = await patient(world)
    today = now(world).date()
    days = {"first_day": str(today + timedelta(days=1)), "last_day": str(today + timedelta(days=9))}
    joined = await world.do("join-waitlist", patient_id=who, doctor_id=world.doctors[0], **days)
    assert joined.offer_id
    await send_due(post_of(world, app=AppSender(world.store)))
    async with visiting(browser, "phone") as pocket:
        page = await signed_in(pocket, clinic, token, "/appointments")
        await expect(page.get_by_test_id("offer")).to_be_visible()
        seen = "select bool_and(seen_at is not null) from app_notices where kind = 'waitlist-offer'"
        await eventually(lambda: world.pool.fetchval(seen))
        await expect(page.get_by_test_id("told")).to_have_count(0)


async def test_what_one_is_told_comes_up_on_ones_page_until_it_is_put_away(browser: Browser, clinic: Served) -> None:
    who, token = await patient(clinic.world)
    async with visiting(browser, "phone") as pocket:
        page = await signed_in(pocket, clinic, token, "/appointments")
        await page.wait_for_selector(".nothing")
        await booked(clinic, who)
        await send_due(post_of(clinic.world, Recorder(), app=AppSender(clinic.world.store)))
        told = page.get_by_test_id("told")
        await expect(told).to_contain_text("Appointment confirmed")
        await told.locator("button").click()
        await expect(told).to_have_count(0)


async def test_the_link_in_a_letter_ends_them_by_a_press_and_not_by_a_look(browser: Browser, clinic: Served) -> None:
    who, _ = await patient(clinic.world)
    await clinic.world.pool.execute("update patients set email = 'maya@example.org' where id = $1", who)
    await booked(clinic, who)
    before = await pending(clinic.world, who)
    async with visiting(browser, "phone") as pocket:
        page = await pocket.new_page()
        await page.goto(f"{clinic.url}/unsubscribe/{await token_of(clinic.world, 'reminder')}")
        await page.wait_for_selector("[data-testid=unsubscribe][data-subscribed=true]")
        assert await pending(clinic.world, who) == before
        await page.get_by_test_id("end").click()
        await page.wait_for_selector("[data-testid=unsubscribe][data-subscribed=false]")
    assert await pending(clinic.world, who) == ["booking-confirmed"]
