"""The board shows the code that patients check themselves in with, where a setting says so."""

from playwright.async_api import Browser

from server.queue.line import dumps
from tests.doors import served
from tests.pages import until


async def test_a_board_shows_the_code_of_its_place_only_where_it_is_to(
    browser: Browser, database_url: str, redis_url: str
) -> None:
    async with served(database_url, redis_url) as house:
        world = house.world
        await world.queue()
        _, credential = await world.device()
        page = await browser.new_page()
        await page.goto(f"{house.url}/board#device={credential}")
        await until(page, "document.querySelector('.head h1')")
        assert await page.get_by_test_id("arrival-code").count() == 0
        shown = dumps({"show_arrival_code": True})
        await world.pool.execute("update locations set settings = $2 where id = $1", world.location, shown)
        await page.reload()
        code = (await world.ask("arrival-code", location_id=world.location)).code
        text = await page.get_by_test_id("arrival-code").inner_text()
        assert code in text
        await page.close()
