"""A deploy under open pages: each that nobody is busy with goes on with the new files by itself."""

import pytest
from playwright.async_api import Browser, expect

from server.pages import PAGES
from tests.pages import Served, visiting
from tests.rounds import ROUNDS, House, morning

OPEN_ALL_DAY = {
    "/admin": ("admin-places", "text=General practice"),
    "/agenda": ("agenda", "[data-testid=agenda-day]"),
    "/appointments": ("mine", "[data-testid=appointment]"),
    "/board": ("board", "text=General practice"),
    "/book": ("book", "[data-testid=choose-doctor]"),
    "/bookings": ("bookings", "[data-testid=bookings-table]"),
    "/console": ("console", "text=General practice"),
    "/reception": ("reception", "text=General practice"),
    "/schedule": ("schedule", ".plan-card"),
    "/t/{secret}": ("ticket", "text=General practice"),
    "/waitlist": ("waitlist", "[data-testid=waitlist-row]"),
}
"""Each page that stays open, the state in which it does, and what is there again with the new files."""
PASSING = {"/", "/feedback/{secret}", "/invite/{secret}", "/mailbox", "/offer/{secret}", "/unsubscribe/{secret}"}
"""Pages that hold no link and are left again at once, and the mailbox of whoever tries the clinic out."""


def test_every_page_that_stays_open_is_deployed_under():
    assert OPEN_ALL_DAY.keys() | PASSING == PAGES.keys()


async def deploy(house: House, build: str) -> None:
    """Stop the server, and start it as built from other files."""
    await house.clinic.stop()
    house.clinic.build = build
    await house.clinic.start()


@pytest.mark.parametrize("address", OPEN_ALL_DAY)
async def test_a_page_goes_on_with_the_new_files(browser: Browser, clinic: Served, address: str) -> None:
    house, (stays, shown) = await morning(clinic), OPEN_ALL_DAY[address]
    async with visiting(browser) as context:
        page = await context.new_page()
        # A page in the background: nobody would be interrupted.
        await page.add_init_script("Object.defineProperty(document, 'hidden', {get: () => true})")
        async for state in ROUNDS[address](page, house):
            if state != stays:
                continue
            await deploy(house, "another-build")
            build = page.locator("meta[name=build]")
            await expect(build).to_have_attribute("content", "another-build", timeout=30_000)
            await page.wait_for_selector("html[data-started=yes]")
            await page.wait_for_selector(shown, state="attached")
            return
    pytest.fail(f"{address} has no state {stays}")
