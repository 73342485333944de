"""Every page in every language, looked over by axe-core in light and dark."""

import subprocess
import sys
from typing import Literal

import pytest
from playwright.async_api import Browser, Page

from server.config import ROOT
from server.pages import PAGES
from tests.pages import visiting
from tests.rounds import LANGUAGES, ROUNDS, SIZE, House, reads

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
