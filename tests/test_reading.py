"""The pages as others read them: from right to left, in their own digits, called in one language after the other."""

import re

from playwright.async_api import Browser, Page, expect

from tests.pages import Served, board, console, until, visiting

ARABIC_DIGITS = re.compile("[٠-٩]")


async def speaks(clinic: Served, *tags: str) -> None:
    await clinic.world.pool.execute("update institutions set languages = $1", list(tags))


async def edges(page: Page, selector: str) -> tuple[float, float]:
    """Where the first such element begins and ends, from the left."""
    box = await page.locator(selector).first.bounding_box()
    assert box is not None
    return box["x"], box["x"] + box["width"]


async def letters(page: Page, selector: str) -> list[str]:
    """The letters of an element as they stand on the screen, from left to right."""
    script = """(one) => {
        const walk = document.createTreeWalker(one, NodeFilter.SHOW_TEXT), found = [];
        for (let node = walk.nextNode(); node; node = walk.nextNode())
            for (let at = 0; at < node.length; at += 1) {
                const range = document.createRange();
                range.setStart(node, at);
                range.setEnd(node, at + 1);
                if (node.data[at].trim()) found.push([range.getBoundingClientRect().left, node.data[at]]);
            }
        return found.sort((a, b) => a[0] - b[0]).map((one) => one[1]);
    }"""
    read: list[str] = await page.locator(selector).first.evaluate(script)
    return read


async def test_a_board_calls_in_each_language_one_after_the_other(browser: Browser, clinic: Served) -> None:
    await speaks(clinic, "en", "ar-EG")
    queue = await clinic.world.queue()
    for _ in range(2):
        await clinic.world.join(queue)
    async with visiting(browser, "tv") as wall:
        screen = await board(wall, clinic)
        assert await screen.get_attribute("html", "dir") == "ltr"
        await clinic.world.call_next(queue, 2)
        await clinic.world.call_next(queue, 1)
        await until(screen, "window.spoken.length === 4", patience=30)
        assert await screen.evaluate("window.spokenIn") == ["en", "ar-EG", "en", "ar-EG"]
        english, arabic, *_ = await screen.evaluate("window.spoken")
        assert "A 0 0 1" in english and "Please go to Room 3" in english
        assert "A 0 0 1" in arabic and "يُرجى التوجه إلى Room 3" in arabic
        assert await screen.evaluate("window.overlaps") == 0


async def test_a_board_that_runs_from_the_right_turns_no_token_and_no_room(browser: Browser, clinic: Served) -> None:
    await speaks(clinic, "ar-EG", "en")
    queue = await clinic.world.queue()
    await clinic.world.join(queue)
    async with visiting(browser, "tv") as wall:
        screen = await board(wall, clinic)
        await clinic.world.call_next(queue, 2)
        await screen.wait_for_selector("[data-testid=board-call]")
        assert await screen.get_attribute("html", "dir") == "rtl"
        assert await screen.get_attribute("html", "lang") == "ar"
        assert "".join(await letters(screen, ".hero .token")) == "A001"
        assert "".join(await letters(screen, ".hero-desk bdi")) == "Room3"
        # Read from the right: the calls, then the queues; the arrow between token and room points to the room.
        assert (await edges(screen, ".calls"))[0] > (await edges(screen, ".queues"))[1]
        assert (await edges(screen, ".hero .arrow"))[0] >= (await edges(screen, ".hero-desk bdi"))[1]
        turned = await screen.locator(".hero .arrow").evaluate(
            "(one) => new DOMMatrix(getComputedStyle(one).transform).a"
        )
        assert turned == -1
        assert ARABIC_DIGITS.search(await screen.locator(".clock").inner_text())
        await expect(screen.locator(".aside[role=alert]")).to_contain_text("يُرجى التوجه إلى")


async def test_a_phone_reads_its_own_language_in_the_digits_of_its_country(browser: Browser, clinic: Served) -> None:
    await speaks(clinic, "en", "ar")
    queue = await clinic.world.queue()
    mine = [await clinic.world.join(queue) for _ in range(3)][-1]
    for locale, place in (("ar-EG", "٣"), ("ar-AE", "3"), ("hi-IN", "3")):
        async with visiting(browser, "phone", locale=locale) as pocket:
            phone = await pocket.new_page()
            await phone.goto(mine.link)
            await expect(phone.locator(".place-big")).to_have_text(place)
            # Hindi has texts, but this institution does not speak it.
            assert await phone.get_attribute("html", "lang") == ("en" if locale == "hi-IN" else "ar")
            assert "".join(await letters(phone, ".number .token")) == "A003"


async def test_a_chosen_language_stays_chosen(browser: Browser, clinic: Served) -> None:
    await speaks(clinic, "en", "ar", "hi")
    mine = await clinic.world.join(await clinic.world.queue())
    async with visiting(browser, "phone", locale="en-GB") as pocket:
        phone = await pocket.new_page()
        await phone.goto(mine.link)
        await phone.get_by_test_id("language").select_option("ar")
        await expect(phone.locator("html")).to_have_attribute("dir", "rtl")
        await expect(phone.locator("body")).to_contain_text("أنتم التاليون")
        await phone.reload()
        await expect(phone.locator("body")).to_contain_text("أنتم التاليون")
        await phone.get_by_test_id("language").select_option("hi")
        await expect(phone.locator("html")).to_have_attribute("dir", "ltr")
        await expect(phone.locator("body")).to_contain_text("अगली बारी आपकी है")


async def test_the_console_speaks_arabic_and_takes_its_keys_from_an_arabic_keyboard(
    browser: Browser, clinic: Served
) -> None:
    queue = await clinic.world.queue()
    await clinic.world.join(queue, "Noor Haddad")
    async with visiting(browser, locale="en-GB") as office:
        desk = await console(office, clinic, await clinic.doctor(), queue, 0)
        await desk.get_by_test_id("language").select_option("ar")
        await expect(desk.get_by_test_id("console-call-next")).to_contain_text("نداء التالي")
        await desk.locator("body").click(position={"x": 700, "y": 800})
        await desk.keyboard.press("Space")
        current = desk.get_by_test_id("console-current")
        await expect(current).to_have_attribute("data-state", "called")
        # What the key S writes there.
        await desk.evaluate(
            "document.body.dispatchEvent(new KeyboardEvent('keydown', {key: 'س', code: 'KeyS', bubbles: true}))"
        )
        await expect(current).to_have_attribute("data-state", "in_consultation")
        assert "".join(await letters(desk, ".room .token")) == "A001"
        # In a sentence, too.
        await expect(desk.locator(".toast p")).to_have_text("بدأت معاينة \u2068A001\u2069")
