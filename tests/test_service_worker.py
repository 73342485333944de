"""The browser without a page of ours: what is pushed is shown, a tap opens it, and pages open without a network."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
import pytest_asyncio
from httpx2 import AsyncClient
from playwright.async_api import Browser, BrowserContext, Page

from server.config import Config
from tests import pages
from tests.pages import Served, until
from tests.providers import PushService, push_service
from workers.main import post as ways_out
from workers.notices import send_due

SUBSCRIBED = """
(told) => {
    const toJSON = () => ({ endpoint: told.endpoint, keys: told });
    const made = { endpoint: told.endpoint, toJSON, unsubscribe: async () => true };
    let there = null;
    PushManager.prototype.getSubscription = async () => there;
    PushManager.prototype.subscribe = async (options) => {
        window.askedWith = options.applicationServerKey.length;
        return (there = made);
    };
}
"""
"""A browser's subscription where its maker's push service is out of reach; what comes of it is real."""


@asynccontextmanager
async def phone(browser: Browser, **options: Any) -> AsyncIterator[BrowserContext]:
    async with pages.visiting(browser, "phone", permissions=["notifications"], **options) as context:
        yield context


async def controlled(page: Page) -> None:
    """Wait until the service worker has everything, and the pages that open from here on."""
    await page.evaluate("navigator.serviceWorker.ready.then(() => true)")
    await until(page, "navigator.serviceWorker.getRegistration().then((one) => one?.active?.state === 'activated')")


@asynccontextmanager
async def devtools(page: Page) -> AsyncIterator[Any]:
    """Delivers a push to the page's service worker, as the browser's own push service would."""
    session = await page.context.new_cdp_session(page)
    found: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def updated(event: dict[str, Any]) -> None:
        for one in event["registrations"]:
            if not found.done():
                found.set_result(one["registrationId"])

    session.on("ServiceWorker.workerRegistrationUpdated", updated)
    await session.send("ServiceWorker.enable")
    number = await asyncio.wait_for(found, 10)

    async def deliver(data: str) -> None:
        origin = await page.evaluate("location.origin")
        await session.send(
            "ServiceWorker.deliverPushMessage", {"origin": origin, "registrationId": number, "data": data}
        )

    yield deliver
    await session.detach()


NOTIFIED = """
navigator.serviceWorker.ready.then((one) => one.getNotifications())
    .then((list) => list.map(({ title, body, dir, data }) => ({ title, body, dir, opens: data.opens })))
"""


async def delivered(page: Page, deliver: Any, data: str) -> list[dict[str, Any]]:
    """What is shown of a push; one that its worker did not take is delivered again, as push services do."""
    for patience in (5.0, 5.0, 15.0):
        await deliver(data)
        with contextlib.suppress(AssertionError):
            await until(page, f"{NOTIFIED}.then((list) => list.length > 0)", patience=patience)
            break
    return await shown(page)


async def shown(page: Page, count: int = 1) -> list[dict[str, Any]]:
    await until(page, f"{NOTIFIED}.then((list) => list.length === {count})")
    found: list[dict[str, Any]] = await page.evaluate(NOTIFIED)
    return found


async def tapped(page: Page) -> str:
    """Where a tap on the notice leads. The browser opens windows only for a real finger: its wish is noted instead."""
    (worker,) = page.context.service_workers
    return str(
        await worker.evaluate(
            """async () => {
                const [notification] = await self.registration.getNotifications();
                return new Promise((done) => {
                    self.clients.openWindow = async (path) => done(path);
                    WindowClient.prototype.focus = async function () { done('focus ' + new URL(this.url).pathname); };
                    self.dispatchEvent(new NotificationEvent('notificationclick', { notification }));
                });
            }"""
        )
    )


@pytest_asyncio.fixture(loop_scope="session")
async def service() -> AsyncIterator[PushService]:
    async with push_service() as service:
        yield service


async def test_a_call_is_pushed_encrypted_shown_and_opens_the_ticket(
    clinic: Served, browser: Browser, service: PushService
) -> None:
    world, own = clinic.world, service.browser("phone")
    queue = await world.queue()
    joined = await world.join(queue)
    assert clinic.app and clinic.app.store
    clinic.app.store.push_inside = world.store.push_inside = True
    async with phone(browser) as context, AsyncClient() as http:
        page = await context.new_page()
        await page.goto(joined.link)
        await page.evaluate(SUBSCRIBED, service.subscription(own))
        await page.click("[data-testid=push] button")
        await page.wait_for_selector("[data-push=on]")
        assert await page.evaluate("window.askedWith") == 65
        await world.call_next(queue)
        await send_due(ways_out(world.store, Config(push_inside=True), http))
        await controlled(page)
        async with devtools(page) as deliver:
            await deliver(orjson.dumps(own.got[0]).decode())
            (notice,) = await shown(page)
        assert notice["opens"] == f"ticket:{joined.ticket_id}" and "Room 1" in notice["title"] + notice["body"]
        path = joined.link.removeprefix(clinic.url)
        assert await tapped(page) == f"focus {path}"
        await page.goto(f"{clinic.url}/appointments")
        async with devtools(page) as deliver:
            await deliver(orjson.dumps(own.got[0]).decode())
            await shown(page)
        assert await tapped(page) == path


@pytest.mark.parametrize(
    ("data", "title", "direction", "leads"),
    [
        (
            '{"title":"موعدك","body":"غدًا","opens":"/appointments","tag":"a","language":"ar"}',
            "موعدك",
            "rtl",
            "/appointments",
        ),
        ('{"title":"T","opens":"//evil.example/x","tag":"b","language":"en"}', "T", "ltr", "/"),
        ('{"title":"T","opens":"https://evil.example/","tag":"c","language":"en"}', "T", "ltr", "/"),
        ('{"title":"T","opens":"ticket:999","tag":"d","language":"en"}', "T", "ltr", "/appointments"),
        ("not for us", "Callboard", "ltr", "/"),
    ],
)
async def test_whatever_is_pushed_something_is_shown_and_leads_nowhere_else(
    clinic: Served, browser: Browser, data: str, title: str, direction: str, leads: str
) -> None:
    async with phone(browser) as context:
        page = await context.new_page()
        await page.goto(f"{clinic.url}/board")
        await controlled(page)
        async with devtools(page) as deliver:
            (notice,) = await delivered(page, deliver, data)
        assert (notice["title"], notice["dir"]) == (title, direction)
        assert await tapped(page) == leads


async def test_a_repeat_replaces_what_is_shown(clinic: Served, browser: Browser) -> None:
    async with phone(browser) as context:
        page = await context.new_page()
        await page.goto(f"{clinic.url}/board")
        await controlled(page)
        async with devtools(page) as deliver:
            for body in ("one", "two"):
                await deliver(orjson.dumps({"title": "T", "body": body, "tag": "notice-1"}).decode())
            await until(page, f"{NOTIFIED}.then((list) => list.length === 1 && list[0].body === 'two')")


async def test_pages_open_without_a_network_and_say_so(clinic: Served, browser: Browser) -> None:
    joined = await clinic.world.join(await clinic.world.queue())
    async with phone(browser) as context:
        page = await context.new_page()
        await page.goto(joined.link)
        await page.wait_for_selector("[data-testid=ticket-place]")
        await controlled(page)
        clinic.wire.cut()
        for address in (joined.link, f"{clinic.url}/board", f"{clinic.url}/appointments"):
            await page.goto(address)
            await page.wait_for_selector("[data-started=yes]")
        await page.goto(joined.link)
        assert await page.locator("[data-testid=ticket-place]").count() == 0
        clinic.wire.join()
        await page.wait_for_selector("[data-testid=ticket-place]")


async def test_a_board_that_starts_without_a_network_catches_up(clinic: Served, browser: Browser) -> None:
    queue = await clinic.world.queue()
    await clinic.world.join(queue)
    async with phone(browser) as context:
        page = await pages.board(context, clinic)
        await controlled(page)
        clinic.wire.cut()
        await page.reload()
        await page.wait_for_selector("[data-started=yes]")
        assert await page.locator("main[data-queues]").count() == 0
        clinic.wire.join()
        await page.wait_for_selector("main[data-queues]")


async def test_a_page_comes_from_the_server_wherever_it_answers(clinic: Served, browser: Browser) -> None:
    async with phone(browser) as context:
        page = await context.new_page()
        await page.goto(f"{clinic.url}/appointments")
        await controlled(page)
        clinic.build = "another build"
        await clinic.stop()
        await clinic.start()
        await page.goto(f"{clinic.url}/appointments")
        assert await page.get_attribute("meta[name=build]", "content") == "another build"


async def test_the_patients_page_can_be_installed(clinic: Served, browser: Browser) -> None:
    async with phone(browser) as context:
        page = await context.new_page()
        await page.goto(f"{clinic.url}/appointments")
        session = await context.new_cdp_session(page)
        found = await session.send("Page.getAppManifest")
        assert found["errors"] == [] and orjson.loads(found["data"])["start_url"] == "/appointments"
        for icon in orjson.loads(found["data"])["icons"]:
            answer = await context.request.get(clinic.url + icon["src"])
            assert (answer.status, answer.headers["content-type"]) == (200, icon["type"])
        told = (await session.send("Page.getInstallabilityErrors"))["installabilityErrors"]
        # A test's browser profile is a private window.
        assert {one["errorId"] for one in told} <= {"in-incognito"}


@pytest.mark.asyncio(loop_scope="session")
async def test_only_one_address_rules_all_pages(clinic: Served) -> None:
    async with AsyncClient(base_url=clinic.url) as http:
        answer = await http.get("/sw.js")
        assert answer.headers["content-type"].startswith("text/javascript")
        assert answer.headers["cache-control"] == "no-cache"
        assert "connect-src 'self'" in answer.headers["content-security-policy"]
        assert "callboard:shell" not in answer.text
        again = await http.get("/sw.js", headers={"If-None-Match": answer.headers["etag"]})
        assert again.status_code == 304
