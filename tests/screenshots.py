"""`python -m tests.screenshots FOLDER`: every page at every size, light and dark, in the states that people see."""

import argparse
import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from playwright.async_api import Browser, Page, async_playwright

from server import store
from server.embedded import start_postgres, start_redis
from server.events import Urgency
from tests import outside
from tests.pages import SIZES, Served, board, console, reception, served, visiting

NAMES = ("Noor Haddad", "Tomás Herrera", "Ingrid Olsen", "Sam Carter", "Mei Tanaka", "Joseph Adeyemi", "Ana Sousa")


async def busy(clinic: Served) -> tuple[int, dict[str, str], str]:
    """A morning under way: three queues, people in rooms and waiting; answers a queue, a sign-in, a ticket's link."""
    world = clinic.world
    queues = [await world.queue(name) for name in ("General practice", "Cardiology", "Walk-in")]
    for nth, queue in enumerate(queues):
        for number, name in enumerate(NAMES):
            urgency = Urgency.urgent if number == 4 else Urgency.routine
            requirements = ["wheelchair"] if number == 5 else []
            await world.join(queue, name, urgency=urgency, requirements=requirements, birth_year=1950 + 7 * number)
        called = await world.call_next(queue, nth)
        await world.do("start", "doctor", ticket_id=called.ticket.ticket)
    mine = await world.join(queues[0], "Rosa Delgado")
    return queues[0], await clinic.doctor(), mine.link


async def shoot(browser: Browser, clinic: Served, folder: Path) -> None:
    """Take every picture."""
    queue, who, link = await busy(clinic)
    _, credential = await clinic.world.device()
    for size in SIZES:
        for scheme in ("light", "dark"):
            async with visiting(browser, size, color_scheme=scheme) as context:

                async def take(page: Page, name: str, size: str = size, scheme: str = scheme) -> None:
                    await page.wait_for_timeout(700)
                    await page.screenshot(path=folder / f"{name}-{size}-{scheme}.png")

                await take(await at(context.new_page(), clinic.url), "front")
                pairing = await at(context.new_page(), f"{clinic.url}/board")
                await pairing.wait_for_selector("[data-testid=board-code]")
                await take(pairing, "pairing")
                await pairing.close()
                await take(await at(context.new_page(), link), "ticket")
                signing_in = await at(context.new_page(), f"{clinic.url}/console")
                await signing_in.wait_for_selector("input[type=email]")
                await take(signing_in, "sign-in")
                wall = await board(context, clinic, credential)
                desk = await console(context, clinic, who, queue, 0)
                await take(wall, "board")
                await desk.keyboard.press("Space")
                await wall.wait_for_selector("[data-testid=board-call]")
                await take(wall, "board-call")
                await take(desk, "console")
                ticket_id = await desk.get_by_test_id("console-row").first.get_attribute("data-ticket")
                await clinic.world.do("undo", "doctor", ticket_id=await current(clinic, queue))
                assert ticket_id
                async with visiting(browser, size, color_scheme=scheme) as lobby:
                    await front_desk(await reception(lobby, clinic, f"{size}-{scheme}@clinic.test"), take)
        print(size, flush=True)


async def front_desk(page: Page, take: Callable[[Page, str], Awaitable[None]]) -> None:
    """Reception: at rest, looking for somebody, a new patient's form, a ticket with its code, the queues alone."""
    await take(page, "reception")
    await page.keyboard.type("Tomas Herera")
    await page.wait_for_selector("[data-testid=reception-found]")
    await take(page, "reception-search")
    await page.keyboard.press("ArrowUp")
    await page.keyboard.press("Enter")
    await page.wait_for_selector("#field-phone")
    await take(page, "reception-new")
    await page.keyboard.press("Escape")
    await page.keyboard.press("Escape")
    await page.locator("#find").blur()
    await page.keyboard.press("q")
    await page.keyboard.press("Enter")
    await page.locator("[data-step=link]").click()
    await page.wait_for_selector("[data-testid=reception-slip]")
    await take(page, "reception-ticket")
    await page.keyboard.press("Escape")
    await page.locator("#find").blur()
    await page.keyboard.press("q")
    await take(page, "reception-queues")


async def current(clinic: Served, queue: int) -> int:
    """The ticket that was called last."""
    return int(
        await clinic.world.pool.fetchval(
            "select id from tickets where queue_id = $1 and state = 'called' order by called_at desc limit 1", queue
        )
    )


async def at(page: object, url: str) -> Page:
    """A page that has gone to an address."""
    opened: Page = await page  # type: ignore[misc]
    await opened.goto(url)
    return opened


async def run(folder: Path) -> None:
    """Serve a clinic of our own and take its pictures."""
    with tempfile.TemporaryDirectory(prefix="callboard-shots-") as data:
        postgres, redis = start_postgres(Path(data) / "p", durable=False), start_redis(Path(data) / "r", durable=False)
        try:
            await store.migrate(postgres.url)
            async with served(postgres.url, redis.url) as clinic, async_playwright() as playwright:
                browser = await playwright.chromium.launch(executable_path=outside.chromium())
                await shoot(browser, clinic, folder)
                await browser.close()
        finally:
            redis.stop()
            postgres.stop()


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.screenshots", description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args(arguments).folder
    folder.mkdir(parents=True, exist_ok=True)
    asyncio.run(run(folder))


if __name__ == "__main__":
    main()
