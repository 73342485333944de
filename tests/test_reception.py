"""Reception in a real browser: people registered by keys alone, tickets moved by hand, and what the printer gets."""

import re
from typing import Any

from playwright.async_api import Browser, Locator, Page, expect

from server.access import Role
from server.events import Urgency
from tests.pages import Served, answered_late, console, reception, sits_down, until, visiting
from tests.world import PASSWORD

CARD = "[data-testid=reception-card]"
SLIP = "reception-slip"


class Keys:
    """A keyboard that counts: each key pressed is one, and so is each run of text typed into a field."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.steps = 0

    async def press(self, *keys: str) -> None:
        """Press these keys one after the other."""
        for key in keys:
            self.steps += 1
            await self.page.keyboard.press(key)

    async def type(self, text: str) -> None:
        """Type a text where the focus is."""
        self.steps += 1
        await self.page.keyboard.type(text)


async def searched(page: Page, text: str) -> None:
    """Wait until the search has answered this very text."""
    await until(page, "document.querySelector('.find [role=status]').textContent !== ''")
    assert await page.input_value("#find") == text


async def queue_of(page: Page, queue: int) -> list[str]:
    """The tokens of those shown as waiting, first to last."""
    tokens: list[str] = await page.eval_on_selector_all(
        f"[data-queue='{queue}'] .line > [data-token]", "all => all.map(one => one.dataset.token)"
    )
    return tokens


async def shows(page: Page, queue: int, *tokens: str) -> None:
    """Wait until a queue shows exactly these as waiting, and nothing of it is only a promise."""
    await until(
        page,
        """([queue, tokens]) => {
            const cards = [...document.querySelectorAll(`[data-queue='${queue}'] .line > [data-token]`)];
            const settled = cards.every(one => one.dataset.pending === 'false');
            return settled && JSON.stringify(cards.map(one => one.dataset.token)) === JSON.stringify(tokens);
        }""",
        [queue, list(tokens)],
    )


def card(page: Page, token: str) -> Locator:
    """The card of a ticket."""
    return page.locator(f"{CARD}[data-token={token}]")


async def drag(page: Page, token: str, to: Locator, after: bool = False) -> None:
    """Drag a card by the mouse onto another, or a column."""
    start, goal = await card(page, token).bounding_box(), await to.bounding_box()
    assert start and goal
    await page.mouse.move(start["x"] + 40, start["y"] + 20)
    await page.mouse.down()
    await page.mouse.move(start["x"] + 60, start["y"] + 40, steps=3)
    await page.mouse.move(goal["x"] + goal["width"] / 2, goal["y"] + goal["height"] * (0.9 if after else 0.1), steps=5)
    await expect(page.get_by_test_id("reception-landing")).to_be_visible()
    await page.mouse.up()


async def patients(clinic: Served) -> int:
    return int(await clinic.world.pool.fetchval("select count(*) from patients"))


async def test_five_people_are_registered_without_the_mouse(browser: Browser, clinic: Served) -> None:
    walk_in, cardiology = await clinic.world.queue("Walk-in"), await clinic.world.queue("Cardiology")
    await clinic.world.join(cardiology, "Noor Haddad", birth_year=1961)
    async with visiting(browser) as office:
        page = await reception(office, clinic)
        keys = Keys(page)
        slip = page.get_by_test_id(SLIP)
        tokens = []
        # Somebody new, by the name alone.
        await keys.type("Quentin Abara")
        await keys.press("Enter")
        await expect(page.locator("#field-phone")).to_be_focused()
        await keys.press("Enter")
        tokens.append(await slip.get_attribute("data-token"))
        await keys.press("Escape")
        assert keys.steps == 4
        # Somebody new with phone, birth, urgency and a wheelchair.
        await keys.type("Lotte Vinter")
        await keys.press("Enter")
        await expect(page.locator("#field-phone")).to_be_focused()
        await keys.type("+45 20 30 40 50")
        await keys.press("Tab")
        await keys.type("14.3.1961")
        await keys.press("Tab", "2", "Tab", "Space", "Enter")
        tokens.append(await slip.get_attribute("data-token"))
        await keys.press("Escape")
        # Somebody known, found by a name with a letter wrong.
        await keys.type("Nor Hadad")
        await keys.press("Enter")
        await expect(page.get_by_test_id("reception-patient")).to_contain_text("Noor Haddad")
        await keys.press("Enter")
        tokens.append(await slip.get_attribute("data-token"))
        await keys.press("Escape")
        # Somebody known by phone, to another queue, chosen by its first letter.
        await keys.type("20304050")
        await keys.press("Enter")
        await expect(page.get_by_test_id("reception-patient")).to_contain_text("Lotte Vinter")
        await keys.press("Tab", "Tab", "Tab")
        await expect(page.locator("#queue")).to_be_focused()
        await keys.press("c", "Enter")
        tokens.append(await slip.get_attribute("data-token"))
        await keys.press("Escape")
        # An emergency, straight away.
        await keys.type("Bridget Oyelaran")
        await keys.press("Enter")
        await expect(page.locator("#field-phone")).to_be_focused()
        await keys.press("Alt+3", "Enter")
        tokens.append(await slip.get_attribute("data-token"))
        await keys.press("Escape")
        await expect(page.locator("#find")).to_be_focused()
        assert keys.steps <= 40
        assert tokens == ["A001", "A002", "A003", "B002", "B003"]
        await shows(page, walk_in, "A002", "A001", "A003")
        await shows(page, cardiology, "B003", "B001", "B002")
        assert await patients(clinic) == 4


async def test_search_forgives_spelling_and_accents(browser: Browser, clinic: Served) -> None:
    queue = await clinic.world.queue()
    await clinic.world.join(queue, "Tomás Herrera", birth_year=1957)
    async with visiting(browser) as office:
        page = await reception(office, clinic)
        for typed in ("tomas herera", "Herrera T", "herrra", "P000001"):
            await page.fill("#find", typed)
            await searched(page, typed)
            await expect(page.get_by_test_id("reception-found")).to_contain_text(["Tomás Herrera"])


async def test_a_weak_match_is_shown_and_not_taken_by_enter(browser: Browser, clinic: Served) -> None:
    queue = await clinic.world.queue()
    await clinic.world.join(queue, "Mei Tanaka", birth_year=1978)
    async with visiting(browser) as office:
        page = await reception(office, clinic)
        await page.keyboard.type("Zhang Wei")
        await searched(page, "Zhang Wei")
        await expect(page.get_by_test_id("reception-found")).to_contain_text(["Mei Tanaka"])
        await page.keyboard.press("Enter")
        await expect(page.locator("#field-name")).to_have_value("Zhang Wei")


async def test_enter_waits_for_the_search_so_that_nobody_is_registered_twice_in_haste(
    browser: Browser, clinic: Served
) -> None:
    queue = await clinic.world.queue()
    await clinic.world.join(queue, "Ana Sousa", birth_year=1992)
    async with visiting(browser) as office:
        page = await reception(office, clinic)
        await page.evaluate(
            """() => {
                const ours = window.fetch;
                window.fetch = async (...asked) => {
                    if (String(asked[0]).includes('/patients')) await new Promise((done) => setTimeout(done, 700));
                    return ours(...asked);
                };
            }"""
        )
        await page.keyboard.type("Ana Sousa")
        await page.keyboard.press("Enter")
        await expect(page.get_by_test_id("reception-patient")).to_contain_text("Ana Sousa")
        assert await patients(clinic) == 1


async def test_a_possible_duplicate_is_proposed_before_there_are_two(browser: Browser, clinic: Served) -> None:
    queue = await clinic.world.queue()
    known = await clinic.world.do("register-patient", name="Mei Tanaka", phone="+81 90 1234 5678", birth_year=1978)
    async with visiting(browser) as office:
        page = await reception(office, clinic)
        for take_known in (True, False):
            await page.keyboard.type("Tanaka-Mori")
            await searched(page, "Tanaka-Mori")
            await expect(page.get_by_test_id("reception-new")).to_have_attribute("aria-selected", "true")
            await page.keyboard.press("Enter")
            await page.keyboard.type("+81 90 1234 5678")
            await page.keyboard.press("Enter")
            twins = page.get_by_test_id("reception-twins")
            await expect(twins).to_contain_text("Mei Tanaka")
            if not take_known:
                await page.keyboard.press("ArrowDown")
            await page.keyboard.press("Enter")
            if take_known:
                await expect(page.get_by_test_id("reception-patient")).to_contain_text("Mei Tanaka")
                await page.keyboard.press("Enter")
            await expect(page.get_by_test_id(SLIP)).to_be_visible()
            await page.keyboard.press("Escape")
            assert await patients(clinic) == (1 if take_known else 2)
        first, second = await clinic.world.pool.fetch("select patient_id from tickets order by id")
        assert first["patient_id"] == known.patient.id != second["patient_id"]
        await shows(page, queue, "A001", "A002")


async def test_a_patient_registered_for_a_queue_that_refuses_is_not_registered_again(
    browser: Browser, clinic: Served
) -> None:
    closed, other = await clinic.world.queue("Walk-in"), await clinic.world.queue("Cardiology")
    async with visiting(browser) as office:
        page = await reception(office, clinic)
        await clinic.world.do("set-queue-state", queue_id=closed, state="closed")
        await page.keyboard.type("Sam Carter")
        await page.keyboard.press("Enter")
        await expect(page.locator("#field-phone")).to_be_focused()
        await page.select_option("#queue", str(closed))
        await page.keyboard.press("Enter")
        await expect(page.locator(".details [role=alert]")).to_contain_text("The queue is closed")
        await page.select_option("#queue", str(other))
        await page.keyboard.press("Enter")
        await expect(page.get_by_test_id(SLIP)).to_have_attribute("data-token", "B001")
        assert await patients(clinic) == 1


async def test_a_ticket_is_dragged_to_another_place_and_another_queue(browser: Browser, clinic: Served) -> None:
    here, there = await clinic.world.queue("Walk-in"), await clinic.world.queue("Dr. Bloch")
    for _ in range(4):
        await clinic.world.join(here)
    async with visiting(browser) as office:
        page = await reception(office, clinic)
        await shows(page, here, "A001", "A002", "A003", "A004")
        await drag(page, "A004", card(page, "A001"))
        assert await queue_of(page, here) == ["A004", "A001", "A002", "A003"]
        await page.keyboard.press("2")
        await page.keyboard.press("Enter")
        await shows(page, here, "A004", "A001", "A002", "A003")
        assert await clinic.world.order(here) == ["A004", "A001", "A002", "A003"]
        await drag(page, "A002", page.locator(f"[data-queue='{there}']"))
        await shows(page, there, "A002")
        await shows(page, here, "A004", "A001", "A003")
        reason = await clinic.world.pool.fetchval("select reason from decisions where kind = 'place'")
        assert reason == "Frail or elderly"


async def test_a_finger_drags_by_the_grip_and_scrolls_elsewhere(browser: Browser, clinic: Served) -> None:
    here = await clinic.world.queue("Walk-in")
    for _ in range(3):
        await clinic.world.join(here)
    async with visiting(browser, "tablet", has_touch=True) as office:
        page = await reception(office, clinic)
        await shows(page, here, "A001", "A002", "A003")
        hand = await office.new_cdp_session(page)

        async def swipe(selector: str, by: int) -> None:
            box = await page.locator(selector).bounding_box()
            assert box
            x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
            for kind, at in (("touchStart", 0), ("touchMove", by // 3), ("touchMove", by), ("touchEnd", None)):
                points = [] if at is None else [{"x": x, "y": y + at}]
                await hand.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

        await swipe(f"{CARD}[data-token=A001] .card-name", 200)
        assert await queue_of(page, here) == ["A001", "A002", "A003"]
        await swipe(f"{CARD}[data-token=A001] .grip", 400)
        await page.get_by_role("dialog").get_by_role("button", name="Move").click()
        await shows(page, here, "A002", "A003", "A001")


async def test_a_ticket_is_moved_by_keys_and_every_step_is_said(browser: Browser, clinic: Served) -> None:
    here, there = await clinic.world.queue("Walk-in"), await clinic.world.queue("Cardiology")
    for _ in range(3):
        await clinic.world.join(here)
    async with visiting(browser) as office:
        page = await reception(office, clinic)
        said = page.get_by_test_id("reception-said")
        await shows(page, here, "A001", "A002", "A003")
        await page.locator("#find").blur()
        await page.keyboard.press("q")
        await page.keyboard.press("ArrowDown")
        await page.keyboard.press("ArrowDown")
        await page.keyboard.press("Space")
        await expect(said).to_contain_text("A003 picked up in Walk-in")
        await page.keyboard.press("ArrowUp")
        await page.keyboard.press("ArrowUp")
        await expect(said).to_have_text("Place 1 of 3")
        await page.keyboard.press("Escape")
        await expect(said).to_contain_text("A003 is where it was")
        assert await queue_of(page, here) == ["A001", "A002", "A003"]
        for key in ("m", "ArrowUp", "Enter", "Enter"):
            await page.keyboard.press(key)
        await shows(page, here, "A001", "A003", "A002")
        await expect(card(page, "A003").locator(".card-main")).to_be_focused()
        await page.keyboard.press("m")
        await page.keyboard.press("ArrowRight")
        await expect(said).to_contain_text("Cardiology, nobody waiting")
        await page.keyboard.press("Enter")
        await shows(page, there, "A003")
        await expect(card(page, "A003").locator(".card-main")).to_be_focused()


async def test_a_refused_move_is_taken_back_with_its_reason(browser: Browser, clinic: Served) -> None:
    here = await clinic.world.queue()
    await clinic.world.join(here, urgency=Urgency.emergency)
    for _ in range(2):
        await clinic.world.join(here)
    async with visiting(browser) as office:
        page = await reception(office, clinic)
        await shows(page, here, "A001", "A002", "A003")
        await drag(page, "A003", card(page, "A001"))
        assert await queue_of(page, here) == ["A003", "A001", "A002"]
        await page.keyboard.press("Enter")
        toast = page.get_by_test_id("toast")
        await expect(toast).to_have_text("A003 stays as it was. Nobody but an emergency goes before an emergency.×")
        await shows(page, here, "A001", "A002", "A003")


async def test_a_step_shows_at_once_is_sent_once_over_a_cut_cable_and_can_be_undone(
    browser: Browser, clinic: Served
) -> None:
    here = await clinic.world.queue()
    for _ in range(2):
        await clinic.world.join(here)
    async with visiting(browser) as office:
        page = await reception(office, clinic)
        sent: list[str | None] = []
        page.on("request", lambda one: sent.append(one.headers.get("idempotency-key")) if "/hold" in one.url else None)
        await card(page, "A001").locator(".card-main").click()
        clinic.wire.cut()
        await page.locator("[data-step=hold]").click()
        assert await queue_of(page, here) == ["A002"]
        await expect(page.get_by_test_id("stale")).to_be_visible(timeout=12_000)
        clinic.wire.join()
        await expect(page.get_by_test_id("toast")).to_contain_text("A001 on hold", timeout=20_000)
        await expect(page.get_by_test_id("stale")).to_be_hidden(timeout=20_000)
        assert len(sent) > 1 and len(set(sent)) == 1
        await page.keyboard.press("u")
        await shows(page, here, "A001", "A002")


async def test_two_receptionists_drag_the_same_ticket_and_see_the_same(browser: Browser, clinic: Served) -> None:
    here, east, west = [await clinic.world.queue(name) for name in ("Walk-in", "East", "West")]
    await clinic.world.join(here)
    async with visiting(browser) as one, visiting(browser) as other:
        left = await reception(one, clinic, "one@clinic.test")
        right = await reception(other, clinic, "two@clinic.test")
        for page in (left, right):
            await shows(page, here, "A001")
        # Both have it in hand; one drops, then the other, whose page may or may not have heard by then.
        await left.locator("#find").blur()
        await right.locator("#find").blur()
        await left.keyboard.press("q")
        await right.keyboard.press("q")
        await left.keyboard.press("m")
        await right.keyboard.press("m")
        await left.keyboard.press("ArrowRight")
        await right.keyboard.press("ArrowRight")
        await right.keyboard.press("ArrowRight")
        await left.keyboard.press("Enter")
        await right.keyboard.press("Enter")
        problems = [page.locator("[data-testid=toast].is-problem") for page in (left, right)]
        await expect(problems[0].or_(left.locator(f"[data-queue='{east}'] {CARD}"))).to_be_visible()
        await expect(problems[1].or_(right.locator(f"[data-queue='{west}'] {CARD}"))).to_be_visible()
        for page in (left, right):
            await expect(page.locator(f"{CARD}[data-pending=true]")).to_have_count(0)
            await shows(page, here)
        shown = [await queue_of(page, queue) for page in (left, right) for queue in (east, west)]
        assert shown[:2] == shown[2:] and sorted(shown[:2]) == [[], ["A001"]]
        assert sum([await one.count() for one in problems]) == 1
        state = "select count(*) from tickets where state = 'waiting'"
        assert await clinic.world.pool.fetchval(state) == 1


async def test_the_printer_gets_the_token_and_the_code_and_nothing_else(browser: Browser, clinic: Served) -> None:
    await clinic.world.queue("Walk-in")
    async with visiting(browser) as office:
        page = await reception(office, clinic)
        await page.keyboard.type("<b>Robert</b> Carter")
        await page.keyboard.press("Enter")
        await expect(page.locator("#field-phone")).to_be_focused()
        await page.keyboard.press("Enter")
        await expect(page.get_by_test_id(SLIP)).to_be_visible()
        printed: list[Any] = []
        await page.expose_function("printed", lambda: printed.append(True))
        await page.evaluate("() => { window.print = () => window.printed(); }")
        await page.keyboard.press("p")
        await until(page, "true")
        assert printed == [True]
        for width in ("58", "80"):
            await page.get_by_label(f"{width} mm").check()
            await page.emulate_media(media="print")
            paper = page.get_by_test_id("reception-paper")
            await expect(paper).to_contain_text("A001")
            await expect(paper).to_contain_text("Riverside")
            assert await paper.locator("img").evaluate("image => image.complete && image.naturalWidth > 0")
            text = await page.inner_text("body")
            assert "Carter" not in text and "Sign out" not in text and "Walk-in" in text
            box = await paper.bounding_box()
            assert box and box["width"] <= int(width) / 25.4 * 96
            sheets = re.findall(rb"/MediaBox \[0 0 ([0-9.]+) ", await page.pdf(prefer_css_page_size=True))
            assert [round(float(points) / 72 * 25.4) for points in sheets] == [int(width)]
            await page.emulate_media(media="screen")
        await page.reload()
        assert await page.evaluate("localStorage.getItem('callboard.paper')") == "80"


async def test_a_missed_patient_is_brought_back_and_given_a_new_link(browser: Browser, clinic: Served) -> None:
    queue = await clinic.world.queue()
    old = await clinic.world.join(queue)
    called = await clinic.world.call_next(queue)
    await clinic.world.do("no-show", ticket_id=called.ticket.ticket)
    async with visiting(browser) as office:
        page = await reception(office, clinic)
        await page.get_by_text("No-shows today").click()
        await card(page, "A001").locator(".card-main").click()
        await page.locator("[data-step=return]").click()
        await shows(page, queue, "A001")
        await page.locator("[data-step=link]").click()
        await expect(page.get_by_test_id(SLIP)).to_have_attribute("data-token", "A001")
        phone = await office.new_page()
        await phone.goto(old.link)
        await expect(phone.locator("body")).to_contain_text("not valid any more")


async def test_filters_leave_what_is_asked_for_and_places_stay_true(browser: Browser, clinic: Served) -> None:
    here, there = await clinic.world.queue("Walk-in"), await clinic.world.queue("Cardiology")
    for urgency in (Urgency.routine, Urgency.urgent, Urgency.routine, Urgency.urgent):
        await clinic.world.join(here, urgency=urgency)
    async with visiting(browser) as office:
        page = await reception(office, clinic)
        await page.locator(".filters").get_by_label("Queue").select_option(str(here))
        await expect(page.locator(f"[data-queue='{there}']")).to_be_hidden()
        await page.locator(".filters").get_by_label("Urgency").select_option("routine")
        await shows(page, here, "A001", "A003")
        await expect(card(page, "A003")).to_have_attribute("data-place", "4")
        await drag(page, "A003", card(page, "A001"))
        await page.keyboard.press("Enter")
        await shows(page, here, "A003", "A001")
        assert await clinic.world.order(here) == ["A002", "A004", "A003", "A001"]


async def test_a_call_at_the_console_moves_the_ticket_to_its_room(browser: Browser, clinic: Served) -> None:
    queue = await clinic.world.queue()
    await clinic.world.join(queue)
    async with visiting(browser) as office, visiting(browser) as surgery:
        page = await reception(office, clinic)
        desk = await console(surgery, clinic, await clinic.doctor(), queue, 1)
        await desk.keyboard.press("Space")
        await expect(page.get_by_test_id("reception-room")).to_contain_text("Room 2")
        await shows(page, queue)


async def test_a_doctor_sees_the_queues_they_serve_and_no_others(browser: Browser, clinic: Served) -> None:
    own = await clinic.world.queue("Mine", owner=clinic.world.doctors[0])
    await clinic.world.queue("Not mine", owner=clinic.world.doctors[1])
    who = await clinic.doctor()
    async with visiting(browser) as office:
        page = await office.new_page()
        await page.goto(f"{clinic.url}/reception")
        await page.fill("input[type=email]", who["email"])
        await page.fill("input[type=password]", who["password"])
        await page.keyboard.press("Enter")
        await expect(page.get_by_test_id("reception-column")).to_have_count(1)
        await expect(page.locator(f"[data-queue='{own}'][data-live=true]")).to_be_visible()


async def test_a_record_is_corrected_by_keys_and_every_page_shows_it(browser: Browser, clinic: Served) -> None:
    queue = await clinic.world.queue("Walk-in")
    await clinic.world.join(queue, "Jon Smyth")
    async with visiting(browser) as front:
        page = await reception(front, clinic)
        await page.keyboard.press("Escape")
        await page.locator(".card-main").first.focus()
        await page.keyboard.press("e")
        await expect(page.locator("#correct-name")).to_be_focused()
        await page.keyboard.press("Control+a")
        await page.keyboard.type("John Smith")
        await page.keyboard.press("Tab")
        await page.keyboard.type("12")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("dialog").get_by_role("alert")).to_contain_text("phone")
        await page.keyboard.press("Control+a")
        await page.keyboard.type("020 7946 0018")
        await page.keyboard.press("Tab")
        await page.keyboard.type("3.5.1961")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("dialog")).to_have_count(0)
        await expect(page.get_by_test_id("reception-card")).to_contain_text("John Smith")
        row = await clinic.world.pool.fetchrow("select name, birth_date::text as born from patients")
        assert row and (row["name"], row["born"]) == ("John Smith", "1961-05-03")


async def test_a_queue_is_paused_with_a_message_and_opened_again_by_keys(browser: Browser, clinic: Served) -> None:
    queue = await clinic.world.queue("Walk-in")
    await clinic.world.join(queue)
    async with visiting(browser) as front:
        page = await reception(front, clinic)
        column = page.get_by_test_id("reception-column")
        await page.locator(".card-main").first.focus()
        await page.keyboard.press("s")
        await page.keyboard.press("ArrowDown")
        await page.keyboard.press("Tab")
        await page.keyboard.type("Back at 14:30")
        await page.keyboard.press("Enter")
        await expect(column.locator("[data-step=state]")).to_contain_text("Back at 14:30")
        board = await clinic.world.fresh_rows(f"board:{queue}")
        assert (board["queue"]["state"], board["queue"]["message"]) == ("paused", "Back at 14:30")
        await column.locator("[data-step=state]").press("Enter")
        await page.keyboard.press("ArrowUp")
        await page.keyboard.press("Enter")
        await expect(column.locator("[data-step=state]")).not_to_contain_text("Back")
        assert (await clinic.world.fresh_rows(f"board:{queue}"))["queue"]["state"] == "open"


async def test_whoever_stands_above_the_institutions_registers_at_the_chosen_location(
    browser: Browser, clinic: Served
) -> None:
    other = await clinic.world.other("Hillside")
    await clinic.world.queue("Walk-in")
    await other.queue("X-ray")
    await other.do("register-patient", name="Amal Haddad", confirm_new=True)
    await clinic.world.account(Role.super_admin, "root@callboard.test")
    async with visiting(browser) as front:
        page = await front.new_page()
        await page.goto(f"{clinic.url}/reception")
        await page.fill("input[type=email]", "root@callboard.test")
        await page.fill("input[type=password]", PASSWORD)
        await page.keyboard.press("Enter")
        await page.get_by_label("Location").select_option(label="Hillside · Main waiting room")
        await page.locator("#find").fill("amal")
        await expect(page.get_by_test_id("reception-found")).to_contain_text("Amal Haddad")
        await page.locator("#find").press("Enter")
        await page.keyboard.press("Enter")
        await expect(page.get_by_test_id("reception-slip")).to_be_visible()
    placed = await clinic.world.pool.fetchval("select institution_id from tickets")
    assert placed == other.institution


async def test_a_press_takes_whom_it_is_on_though_more_was_typed(browser: Browser, clinic: Served) -> None:
    queue = await clinic.world.queue()
    names = {"Ana Adams", "Ana Zorrilla"}
    for name in names:
        await clinic.world.join(queue, name, birth_year=1992)
    async with visiting(browser) as office:
        page = await reception(office, clinic)
        await page.keyboard.type("Ana")
        await expect(page.get_by_test_id("reception-found")).to_have_count(2)
        first = await page.get_by_test_id("reception-found").first.locator("strong").inner_text()
        async with answered_late(page, "**/patients/search", "POST"):
            await page.keyboard.type((names - {first}).pop().removeprefix("Ana"))
            await page.get_by_test_id("reception-found").first.click()
        await expect(page.get_by_test_id("reception-patient")).to_contain_text(first)


async def test_a_search_that_was_given_up_begins_nobody_new(browser: Browser, clinic: Served) -> None:
    await clinic.world.queue()
    async with visiting(browser) as office:
        page = await reception(office, clinic)
        async with answered_late(page, "**/patients/search", "POST"):
            await page.keyboard.type("Ana Sousa")
            await page.keyboard.press("Enter")
            await page.keyboard.press("Escape")
        await page.keyboard.type("Noor")
        await searched(page, "Noor")


async def test_whom_the_arrows_stand_on_is_taken_whoever_else_is_found(browser: Browser, clinic: Served) -> None:
    queue = await clinic.world.queue()
    for name in ("Ana Adams", "Ana Zorrilla"):
        await clinic.world.join(queue, name, birth_year=1992)
    async with visiting(browser) as office:
        page = await reception(office, clinic)
        await page.keyboard.type("Ana")
        found = page.get_by_test_id("reception-found")
        await expect(found).to_have_count(2)
        first, second = [await found.nth(at).locator("strong").inner_text() for at in (0, 1)]
        async with answered_late(page, "**/patients/search", "POST"):
            await page.keyboard.type(first.removeprefix("Ana"))
            await page.keyboard.press("ArrowDown")
            await expect(found.nth(1)).to_have_attribute("aria-selected", "true")
            await page.keyboard.press("Enter")
        await expect(page.get_by_test_id("reception-patient")).to_contain_text(second)


async def test_a_press_counts_though_enter_was_pressed_before_it(browser: Browser, clinic: Served) -> None:
    queue = await clinic.world.queue()
    for name in ("Ana Adams", "Ana Zorrilla"):
        await clinic.world.join(queue, name, birth_year=1992)
    async with visiting(browser) as office:
        page = await reception(office, clinic)
        await page.keyboard.type("Ana")
        found = page.get_by_test_id("reception-found")
        await expect(found).to_have_count(2)
        first, second = [await found.nth(at).locator("strong").inner_text() for at in (0, 1)]
        async with answered_late(page, "**/patients/search", "POST"):
            await page.keyboard.type(first.removeprefix("Ana"))
            await page.keyboard.press("Enter")
            await found.nth(1).click()
        await expect(page.get_by_test_id("reception-patient")).to_contain_text(second)


async def test_a_new_link_that_comes_late_waits_until_it_is_looked_at(browser: Browser, clinic: Served) -> None:
    queue = await clinic.world.queue()
    ticket = await clinic.world.join(queue, "Jon Smyth")
    async with visiting(browser) as office:
        page = await reception(office, clinic)
        await card(page, ticket.token).locator(".card-main").click()
        async with answered_late(page, "**/tickets/*/link", "POST"):
            await page.locator("[data-step=link]").click()
            await page.keyboard.press("n")
            await page.fill("#find", "Noor Haddad")
            await page.keyboard.press("Enter")
            await page.fill("#field-reason", "Cough")
        await expect(page.get_by_test_id(SLIP)).to_have_count(0)
        await page.get_by_test_id("reception-ready").click()
        await expect(page.get_by_test_id("reception-renewed")).to_have_attribute("data-token", ticket.token)
        await expect(page.get_by_test_id("reception-paper")).to_contain_text(ticket.token)
        await page.keyboard.press("Escape")
        await expect(page.locator("#field-reason")).to_have_value("Cough")


async def test_a_late_correction_leaves_the_next_record_open(browser: Browser, clinic: Served) -> None:
    queue = await clinic.world.queue()
    first, second = await clinic.world.join(queue, "Jon Smyth"), await clinic.world.join(queue, "Noor Haddad")
    async with visiting(browser) as office:
        page = await reception(office, clinic)
        async with answered_late(page, re.compile(r"/patients/\d+$"), "POST"):
            for ticket, name in ((first, "John Smith"), (second, "Nour")):
                await card(page, ticket.token).locator(".card-main").focus()
                await page.keyboard.press("e")
                await page.fill("#correct-name", name)
                if ticket is first:
                    await page.keyboard.press("Enter")
                    await page.keyboard.press("Escape")
        await expect(card(page, first.token)).to_contain_text("John Smith")
        await expect(page.locator("#correct-name")).to_have_value("Nour")


async def test_no_record_that_one_had_open_is_shown_to_the_next(browser: Browser, clinic: Served) -> None:
    queue = await clinic.world.queue()
    ticket = await clinic.world.join(queue, "Jon Smyth")
    async with visiting(browser) as office:
        page = await reception(office, clinic)
        await card(page, ticket.token).locator(".card-main").focus()
        await page.keyboard.press("e")
        await expect(page.locator("#correct-name")).to_have_value("Jon Smyth")
        await clinic.world.pool.execute("delete from sessions")
        await page.evaluate("import('/clients/shared/session.js').then((here) => here.resume())")
        token = await clinic.world.account(Role.receptionist, "other@clinic.test", name="Alex Moreau")
        await sits_down(page, clinic, token)
        await expect(card(page, ticket.token)).to_be_visible()
        await expect(page.get_by_role("dialog")).to_have_count(0)
