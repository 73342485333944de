"""Every page walked through by keyboard: Tab comes to everything that can be used, and one sees where it is."""

from typing import Any

import pytest
from playwright.async_api import Browser, Page

from server.pages import PAGES
from tests.pages import visiting
from tests.rounds import ROUNDS, SIZE, House, reads

REACHABLE = """
() => {
    const within = document.querySelector("dialog[open]") ?? document;
    const groups = new Set();
    const candidates = within.querySelectorAll("a[href], button, input, select, textarea, summary, [tabindex]");
    window.toReach = [...candidates].filter((one) => {
        if (one.tabIndex < 0 || one.disabled || !one.checkVisibility({visibilityProperty: true})) return false;
        if (one.type !== "radio") return true;
        // The arrow keys walk through a group; Tab comes to one of it.
        if (groups.has(one.name)) return false;
        groups.add(one.name);
        return true;
    });
    window.reached = new Set();
    document.activeElement?.blur();
    return window.toReach.length;
}
"""
STEP = """
() => {
    const here = document.activeElement;
    if (!here || here === document.body) return ["", false];
    window.reached.add(here.type === "radio" ? window.toReach.find((one) => one.name === here.name) ?? here : here);
    const look = getComputedStyle(here.shadowRoot?.activeElement ?? here);
    const ring = look.outlineStyle !== "none" && parseFloat(look.outlineWidth) > 0;
    const unseen = ring || look.boxShadow !== "none" ? "" : here.outerHTML.slice(0, 120);
    return [unseen, window.toReach.every((one) => window.reached.has(one))];
}
"""
MISSED = """
() => window.toReach
    // The first key lets a board sound, and takes away the button that asks for one.
    .filter((one) => one.isConnected && !window.reached.has(one))
    .map((one) => one.outerHTML.slice(0, 120))
"""


async def walked(page: Page) -> list[Any]:
    """What Tab does not come to, or comes to unseen."""
    count = await page.evaluate(REACHABLE)
    unseen = []
    # A date is several stops, and a list may grow while somebody walks down it.
    for _ in range(4 * count + 40):
        await page.keyboard.press("Tab")
        invisible, complete = await page.evaluate(STEP)
        unseen += [f"no focus ring: {invisible}"] if invisible else []
        if complete:
            break
    return [*dict.fromkeys(unseen), *(f"never reached: {one}" for one in await page.evaluate(MISSED))]


@pytest.mark.parametrize("address", PAGES)
async def test_the_keyboard_reaches_everything_and_is_seen_to(browser: Browser, house: House, address: str) -> None:
    await house.speak("en")
    wrong: dict[str, list[Any]] = {}
    async with visiting(browser, SIZE.get(address, "desktop"), **reads("en")) as context:
        page = await context.new_page()
        async for state in ROUNDS[address](page, house):
            if found := await walked(page):
                wrong[state] = found
    assert wrong == {}, "\n".join(f"{state}: {one}" for state, found in wrong.items() for one in found)


async def test_a_ring_that_is_taken_away_is_missed(browser: Browser, house: House) -> None:
    async with visiting(browser) as context:
        page = await context.new_page()
        async for _ in ROUNDS["/"](page, house):
            blind = "() => { document.adoptedStyleSheets[0].replaceSync('* { outline: none !important }') }"
            await page.evaluate("() => { document.adoptedStyleSheets = [new CSSStyleSheet()] }")
            assert await walked(page) == []
            await page.evaluate(blind)
            assert any("no focus ring" in one for one in await walked(page))
