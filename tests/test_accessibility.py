"""Every page in every language, looked over by axe-core in light and dark, and walked through by keyboard."""

import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any, Literal

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page

from server.config import ROOT
from server.pages import PAGES
from tests.conftest import Postgres, Redis
from tests.pages import served, visiting
from tests.rounds import LANGUAGES, ROUNDS, SIZE, House, morning, reads

VENDORED = ROOT / "tests" / "js" / "vendor"
AXE = (VENDORED / "axe.js").read_text("utf-8")
LOOK = """
async (rules) => {
    const found = await axe.run(document, {
        resultTypes: ["violations"],
        ...(rules ? {runOnly: {type: "rule", values: rules}} : {}),
    });
    return found.violations
        .filter((one) => one.impact === "serious" || one.impact === "critical")
        .flatMap((one) => one.nodes.map((node) =>
            `${one.id}: ${node.target.join(" ")} ${node.any[0]?.message ?? node.failureSummary}`));
}
"""
SETTLED = """
async () => {
    // A window that is not drawn has no frames, and what never ends is not waited for.
    const enough = new Promise((done) => setTimeout(done, 5000));
    const drawn = new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
    await Promise.race([enough, drawn]);
    await Promise.race([enough, Promise.allSettled(document.getAnimations().map((one) => one.finished))]);
}
"""
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


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def house(postgres: Postgres, redis_server: Redis) -> AsyncIterator[House]:
    """One house for all rounds: nobody changes anything in it."""
    url = postgres.fresh()
    async with served(url, redis_server.fresh()) as clinic:
        yield await morning(clinic)
    postgres.drop(url)


def test_every_page_has_its_round():
    assert sorted(ROUNDS) == sorted(PAGES)


def test_the_vendored_checker_is_that_of_its_manifest():
    check = [sys.executable, ROOT / "clients" / "vendor" / "vendor.py", "--check", "--folder", VENDORED]
    done = subprocess.run(check, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


async def wear(page: Page, scheme: Literal["light", "dark"]) -> None:
    """Change the colours, and wait until nothing is on its way from the old ones."""
    await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    await page.evaluate(SETTLED)


async def looked(page: Page, rules: list[str] | None) -> list[str]:
    """What is seriously wrong, and still is at a second look: the first may fall into the middle of a redrawing."""
    found: list[str] = await page.evaluate(LOOK, rules)
    if found:
        await page.evaluate(SETTLED)
        found = await page.evaluate(LOOK, rules)
    return found


async def violations(page: Page) -> list[str]:
    """What is seriously wrong, in light, and of the colours in dark."""
    if not await page.evaluate("() => 'axe' in window"):
        await page.evaluate(AXE)
    found = await looked(page, None)
    await wear(page, "dark")
    found += [f"dark, {one}" for one in await looked(page, ["color-contrast"])]
    await wear(page, "light")
    return found


@pytest.mark.parametrize("tag", LANGUAGES)
@pytest.mark.parametrize("address", PAGES)
async def test_nothing_serious_stands_in_anybodys_way(browser: Browser, house: House, address: str, tag: str) -> None:
    await house.speak(tag, *(other for other in LANGUAGES if other != tag))
    wrong: dict[str, list[str]] = {}
    size = SIZE.get(address, "desktop")
    async with visiting(browser, size, color_scheme="light", **reads(tag)) as context:
        page = await context.new_page()
        async for state in ROUNDS[address](page, house):
            assert await page.evaluate("document.documentElement.lang") == tag, state
            if found := await violations(page):
                wrong[state] = found
    assert wrong == {}, "\n".join(f"{state}: {one}" for state, found in wrong.items() for one in found)


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
