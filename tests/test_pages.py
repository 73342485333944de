"""Board, console and ticket in a real browser, against a real server: what a waiting room lives through."""

import asyncio
from typing import Any

from playwright.async_api import Browser, Page, WebSocketRoute, expect

from server.access import Role
from tests.pages import Served, answered_late, board, console, sits_down, until, visiting

CALL = "[data-testid=board-call]"


async def calls(page: Page) -> list[str]:
    """The tokens in a board's list of calls, oldest first."""
    seen: list[list[Any]] = await page.eval_on_selector_all(
        CALL, "all => all.map(one => [Number(one.dataset.version), one.dataset.token])"
    )
    return [token for _, token in sorted({(version, token) for version, token in seen})]


async def join(clinic: Served, queue: int, count: int) -> list[Any]:
    return [await clinic.world.join(queue) for _ in range(count)]


async def test_the_space_bar_calls_and_board_and_phone_tell_it(browser: Browser, clinic: Served) -> None:
    queue = await clinic.world.queue()
    first, *_ = await join(clinic, queue, 3)
    async with visiting(browser, "tv") as wall, visiting(browser, "phone") as pocket, visiting(browser) as office:
        screen = await board(wall, clinic)
        phone = await pocket.new_page()
        await phone.goto(first.link)
        await expect(phone.get_by_test_id("ticket-place")).to_have_attribute("data-place", "1")
        desk = await console(office, clinic, await clinic.doctor(), queue, 2)
        await desk.keyboard.press("Space")
        await expect(screen.locator(f"{CALL}[data-token=A001]").first).to_be_visible()
        await expect(phone.get_by_test_id("ticket-turn")).to_be_visible()
        await expect(phone.get_by_test_id("ticket-turn")).to_contain_text("Room 3")
        await expect(desk.get_by_test_id("console-current")).to_have_attribute("data-token", "A001")
        await until(screen, "window.spoken.length === 1")
        assert "A 0 0 1" in (await screen.evaluate("window.spoken"))[0]
        await expect(desk.get_by_test_id("console-shown")).to_have_attribute("data-shown", "1")


async def test_ten_calls_at_once_are_ten_announcements_in_order(browser: Browser, clinic: Served) -> None:
    queue = await clinic.world.queue()
    tokens = [one.token for one in await join(clinic, queue, 10)]
    async with visiting(browser, "tv") as wall:
        screen = await board(wall, clinic)
        for _ in tokens:
            await clinic.world.call_next(queue)
        await until(screen, "window.spoken.length === 10", patience=60)
        spoken = await screen.evaluate("window.spoken")
        assert [next(token for token in tokens if " ".join(token) in text) for text in spoken] == tokens
        assert await screen.evaluate("window.overlaps") == 0


async def test_a_cut_board_says_so_and_catches_up_exactly(browser: Browser, clinic: Served) -> None:
    queue = await clinic.world.queue()
    tokens = [one.token for one in await join(clinic, queue, 6)]
    async with visiting(browser, "tv") as wall:
        screen = await board(wall, clinic)
        await clinic.world.call_next(queue)
        await expect(screen.locator(f"{CALL}[data-token={tokens[0]}]").first).to_be_visible()
        clinic.wire.cut()
        await expect(screen.get_by_test_id("board-stale")).to_be_visible(timeout=12_000)
        for _ in range(5):
            await clinic.world.call_next(queue)
        clinic.wire.join()
        await expect(screen.locator(f"{CALL}[data-token={tokens[5]}]").first).to_be_visible(timeout=30_000)
        await expect(screen.get_by_test_id("board-stale")).to_be_hidden()
        assert await calls(screen) == tokens


async def test_the_console_warns_when_a_board_has_not_shown_a_call(browser: Browser, clinic: Served) -> None:
    queue = await clinic.world.queue()
    await join(clinic, queue, 2)
    await clinic.world.device("Corridor board")
    async with visiting(browser, "tv") as wall, visiting(browser) as office:
        await board(wall, clinic)
        desk = await console(office, clinic, await clinic.doctor(), queue, 0)
        await desk.get_by_test_id("console-call-next").click()
        shown = desk.get_by_test_id("console-shown")
        await expect(shown).to_have_attribute("data-shown", "1")
        await expect(shown).to_have_attribute("data-total", "2")
        await expect(shown).to_have_attribute("data-late", "1", timeout=8_000)
        await expect(shown).to_contain_text("Corridor board")


async def test_two_consoles_of_a_pool_call_different_patients_and_see_each_other(
    browser: Browser, clinic: Served
) -> None:
    queue = await clinic.world.queue()
    await join(clinic, queue, 4)
    async with visiting(browser) as one, visiting(browser) as other:
        left = await console(one, clinic, await clinic.doctor("one@clinic.test"), queue, 0)
        right = await console(other, clinic, await clinic.doctor("two@clinic.test", 1), queue, 1)
        await left.keyboard.press("Space")
        await right.keyboard.press("Space")
        for page in (left, right):
            await page.wait_for_selector("[data-testid=console-current][data-token]")
        seen = {await page.get_by_test_id("console-current").get_attribute("data-token") for page in (left, right)}
        assert seen == {"A001", "A002"}
        await expect(left.locator("body")).to_contain_text(str((seen - {await _current(left)}).pop()))


async def _current(page: Page) -> str | None:
    return await page.get_by_test_id("console-current").get_attribute("data-token")


async def test_a_screen_pairs_shows_and_goes_dark_when_revoked(browser: Browser, clinic: Served) -> None:
    await clinic.world.queue("Cardiology")
    async with visiting(browser, "tv") as wall:
        screen = await wall.new_page()
        await screen.goto(f"{clinic.url}/board")
        code = await screen.get_by_test_id("board-code").get_attribute("data-code")
        enrolled = await clinic.world.do(
            "enroll-device", "admin", code=code, location_id=clinic.world.location, name="New board"
        )
        await screen.wait_for_selector("main[data-queues]", timeout=15_000)
        await expect(screen.locator("body")).to_contain_text("Cardiology")
        await clinic.world.do("revoke-device", "admin", device_id=enrolled.device_id)
        await expect(screen.get_by_test_id("board-code")).to_be_visible(timeout=15_000)


async def test_a_board_survives_a_deploy_with_new_files(browser: Browser, clinic: Served) -> None:
    queue = await clinic.world.queue()
    tokens = [one.token for one in await join(clinic, queue, 2)]
    async with visiting(browser, "tv") as wall:
        screen = await board(wall, clinic)
        before = await screen.get_attribute("meta[name=build]", "content")
        await clinic.stop()
        await clinic.world.call_next(queue)
        clinic.build = "another-build"
        await clinic.start()
        await expect(screen.locator("meta[name=build]")).not_to_have_attribute("content", before or "", timeout=60_000)
        await screen.wait_for_selector(f"{CALL}[data-token={tokens[0]}]", timeout=15_000)
        await clinic.world.call_next(queue)
        await screen.wait_for_selector(f"{CALL}[data-token={tokens[1]}]")


async def test_a_patient_leaves_the_queue_from_the_phone(browser: Browser, clinic: Served) -> None:
    queue = await clinic.world.queue()
    mine, _ = await join(clinic, queue, 2)
    async with visiting(browser, "phone") as pocket:
        phone = await pocket.new_page()
        await phone.goto(mine.link)
        await phone.get_by_role("button", name="Leave the queue").click()
        await phone.get_by_role("dialog").get_by_role("button", name="Leave").click()
        await expect(phone.get_by_test_id("ticket-place")).to_be_hidden()
        assert await clinic.world.order(queue) == ["A002"]


async def test_a_transferred_patient_is_followed_to_the_new_queue(browser: Browser, clinic: Served) -> None:
    here, there = await clinic.world.queue("Walk-in"), await clinic.world.queue("Cardiology")
    mine = await clinic.world.join(here)
    await clinic.world.join(there)
    async with visiting(browser, "phone") as pocket:
        phone = await pocket.new_page()
        await phone.goto(mine.link)
        await expect(phone.locator("body")).to_contain_text("Walk-in")
        moved = await clinic.world.do("transfer", ticket_id=mine.ticket_id, queue_id=there, keep_wait=False)
        await expect(phone.locator("body")).to_contain_text("Cardiology")
        await expect(phone.get_by_test_id("ticket-place")).to_have_attribute("data-place", "2")
        await clinic.world.do(
            "call-ticket", "doctor", ticket_id=moved.ticket.ticket, desk_id=clinic.world.desks[0], reason="Next"
        )
        await expect(phone.get_by_test_id("ticket-turn")).to_contain_text("Room 1")


async def test_whoever_is_called_before_the_room_is_known_is_sent_nowhere_until_then(
    browser: Browser, clinic: Served
) -> None:
    queue = await clinic.world.queue()
    mine = await clinic.world.join(queue)
    await clinic.world.call_next(queue)
    known = asyncio.Event()

    async def late(link: WebSocketRoute) -> None:
        await known.wait()
        link.connect_to_server()

    async with visiting(browser, "phone") as pocket:
        await pocket.route_web_socket("**/socket.io/**", late)
        phone = await pocket.new_page()
        await phone.goto(mine.link)
        await expect(phone.locator(".is-called")).to_contain_text("Connecting")
        await expect(phone.locator(".is-called")).not_to_contain_text("Please go to")
        known.set()
        await expect(phone.get_by_test_id("ticket-turn")).to_contain_text("Room 1")


async def test_a_late_answer_leaves_the_next_question_open(browser: Browser, clinic: Served) -> None:
    queue = await clinic.world.queue()
    await join(clinic, queue, 1)
    async with visiting(browser) as office:
        desk = await console(office, clinic, await clinic.doctor(), queue, 0)
        async with answered_late(desk, "**/queues/*/state", "POST"):
            await desk.locator(".top-state").click()
            await desk.get_by_role("button", name="Save").click()
            await desk.keyboard.press("Escape")
            await desk.locator(".top-state").click()
            await desk.get_by_role("dialog").get_by_role("textbox").fill("Back at noon")
        await desk.wait_for_selector("[data-testid=toast]")
        await expect(desk.get_by_role("dialog").get_by_role("textbox")).to_have_value("Back at noon")


async def test_what_one_asked_for_over_a_cut_cable_is_not_done_by_the_next(browser: Browser, clinic: Served) -> None:
    queue = await clinic.world.queue()
    await join(clinic, queue, 2)
    token = await clinic.world.account(Role.doctor, "next@clinic.test", doctor_id=clinic.world.doctors[1])
    async with visiting(browser) as office:
        desk = await console(office, clinic, await clinic.doctor(), queue, 0)
        clinic.wire.cut()
        await desk.keyboard.press("Space")
        await desk.get_by_role("button", name="Sign out").click()
        await desk.wait_for_selector(".gate-card")
        clinic.wire.join()
        await sits_down(desk, clinic, token)
        await desk.wait_for_selector("[data-testid=console-call-next][aria-disabled=false]")
        await desk.wait_for_timeout(5_000)
    assert await clinic.world.pool.fetchval("select count(*) from tickets where state <> 'waiting'") == 0
