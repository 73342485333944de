"""The pages as people use them: a served clinic, a link that can be cut, and browsers that open it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from re import Pattern
from typing import Any

import uvicorn
from playwright.async_api import Browser, BrowserContext, Error, Page, Route, ViewportSize

from server.access import Role
from server.app import App, create_app
from server.config import Config
from server.fanout import UVICORN
from tests.world import PASSWORD, Clock, World, opened

SIZES: dict[str, ViewportSize] = {
    "phone": {"width": 390, "height": 844},
    "tablet": {"width": 820, "height": 1180},
    "desktop": {"width": 1440, "height": 900},
    "tv": {"width": 1920, "height": 1080},
}

SPEECH = """
window.spoken = []; window.spokenIn = []; window.speaking = 0; window.overlaps = 0;
window.speechSynthesis.cancel = () => {};
window.speechSynthesis.speak = (words) => {
    window.overlaps += window.speaking > 0 ? 1 : 0;
    window.speaking += 1;
    window.spoken.push(words.text);
    window.spokenIn.push(words.lang);
    setTimeout(() => words.onstart?.(new Event('start')), 1);
    setTimeout(() => { window.speaking -= 1; words.onend?.(new Event('end')); }, 60);
};
"""
"""A voice for machines without a loudspeaker: it notes what is said, and whether two were said at once."""


@dataclass
class Wire:
    """A network cable between browsers and the server: it can be cut, and joined again."""

    port: int = 0
    target: int = 0
    whole: bool = True
    server: asyncio.Server | None = None
    ends: set[asyncio.StreamWriter] = field(default_factory=set)

    @property
    def url(self) -> str:
        """Where browsers find the server."""
        return f"http://127.0.0.1:{self.port}"

    async def open(self) -> None:
        """Begin to pass bytes."""
        self.server = await asyncio.start_server(self._pass, "127.0.0.1", self.port)
        self.port = self.server.sockets[0].getsockname()[1]

    def cut(self) -> None:
        """Nothing passes any more, and whatever was open breaks."""
        self.whole = False
        for end in list(self.ends):
            end.transport.abort()

    def join(self) -> None:
        """Whoever comes now gets through."""
        self.whole = True

    async def close(self) -> None:
        """Take the cable away."""
        self.cut()
        if self.server is not None:
            self.server.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self.whole:
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        self.ends |= {writer, far_writer}
        with contextlib.suppress(OSError):
            await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer), return_exceptions=True)
        self.ends -= {writer, far_writer}


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass bytes one way until either end is gone."""
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()


@dataclass
class Served:
    """A world behind a web process, reached through a wire."""

    world: World
    config: Config
    wire: Wire
    build: str | None = None
    """What the web process says it was built from; None for what it was built from."""
    app: App | None = None
    server: uvicorn.Server | None = None
    serving: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """Where browsers find it."""
        return self.wire.url

    async def start(self) -> None:
        """Start the web process, on the same port as before."""
        self.app = create_app(self.config, build=self.build)
        settings = uvicorn.Config(
            self.app, host="127.0.0.1", port=self.wire.target, log_config=None, access_log=False, **UVICORN
        )
        self.server = uvicorn.Server(settings)
        self.serving = asyncio.create_task(self.server.serve())
        while not self.server.started:
            assert not self.serving.done(), "the server did not start"
            await asyncio.sleep(0.01)
        self.wire.target = self.server.servers[0].sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop it as a deploy does."""
        assert self.server is not None and self.serving is not None
        self.server.should_exit = True
        await self.serving

    async def doctor(self, email: str = "doctor@clinic.test", nth: int = 0) -> dict[str, str]:
        """A doctor's sign-in."""
        await self.world.account(Role.doctor, email, name="Dr. Ames", doctor_id=self.world.doctors[nth])
        return {"email": email, "password": PASSWORD}


@asynccontextmanager
async def served(database_url: str, redis_url: str, clock: Clock | None = None) -> AsyncIterator[Served]:
    """A clinic with its web process; its world's clock is another, where it is given one."""
    async with AsyncExitStack() as stack:
        world = await stack.enter_async_context(opened(database_url, redis_url, clock))
        wire = Wire()
        await wire.open()
        stack.push_async_callback(wire.close)
        config = Config(database_url=database_url, redis_url=redis_url, public_url=wire.url, port=0)
        world.store.base_url = wire.url
        clinic = Served(world, config, wire)
        await clinic.start()
        stack.push_async_callback(clinic.stop)
        yield clinic


@asynccontextmanager
async def visiting(browser: Browser, size: str = "desktop", **options: Any) -> AsyncIterator[BrowserContext]:
    """A browser profile of its own, with a voice, that must not see an error."""
    context = await browser.new_context(viewport=SIZES[size], reduced_motion="reduce", **options)
    await context.add_init_script(SPEECH)
    errors: list[str] = []
    context.on("weberror", lambda failure: errors.append(str(failure.error)))
    yield context
    await context.close()
    assert errors == [], errors


async def let_in(context: BrowserContext, clinic: Served, token: str) -> None:
    """Let whoever uses this browser be signed in by this session."""
    await context.add_cookies([{"name": "callboard_session", "value": token, "url": clinic.url}])


async def signed_in(context: BrowserContext, clinic: Served, token: str, path: str) -> Page:
    """A page, opened by whoever has this session."""
    await let_in(context, clinic, token)
    page = await context.new_page()
    await page.goto(clinic.url + path)
    return page


async def board(context: BrowserContext, clinic: Served, credential: str | None = None) -> Page:
    """An enrolled board, showing."""
    if credential is None:
        _, credential = await clinic.world.device()
    page = await context.new_page()
    await page.goto(f"{clinic.url}/board#device={credential}")
    await page.wait_for_selector("main[data-queues]")
    return page


async def console(context: BrowserContext, clinic: Served, who: dict[str, str], queue: int, desk: int) -> Page:
    """A doctor's console at a desk of a queue."""
    page = await context.new_page()
    await page.goto(f"{clinic.url}/console")
    await page.fill("input[type=email]", who["email"])
    await page.fill("input[type=password]", who["password"])
    await page.keyboard.press("Enter")
    await page.select_option("select", str(queue))
    await page.get_by_label(f"Room {desk + 1}").check()
    await page.get_by_role("button", name="Begin").click()
    await page.wait_for_selector("[data-testid=console-call-next][aria-disabled=false]")
    return page


async def reception(context: BrowserContext, clinic: Served, email: str = "desk@clinic.test") -> Page:
    """A receptionist's page, signed in, with every queue of the location there."""
    await clinic.world.account(Role.receptionist, email, name="Robin Reyes")
    page = await context.new_page()
    await page.goto(f"{clinic.url}/reception")
    await page.fill("input[type=email]", email)
    await page.fill("input[type=password]", PASSWORD)
    await page.keyboard.press("Enter")
    await page.wait_for_selector("#find:focus")
    await page.wait_for_selector("[data-testid=reception-column][data-live=true]", state="attached")
    await page.wait_for_selector("[data-testid=reception-column][data-live=false]", state="detached")
    return page


async def until(page: Page, truth: str, arg: Any = None, patience: float = 15.0) -> None:
    """Return once a JavaScript expression is true; the pages' own policy forbids the polling that would do this."""
    deadline = asyncio.get_running_loop().time() + patience
    while not await page.evaluate(truth, arg):
        assert asyncio.get_running_loop().time() < deadline, f"it never came true: {truth}"
        await asyncio.sleep(0.05)


@asynccontextmanager
async def answered_late(
    where: Page | BrowserContext, url: str | Pattern[str], method: str = "GET", times: int | None = None
) -> AsyncIterator[asyncio.Event]:
    """What is asked at this address meanwhile (or the first of it) is answered, and that arrives only at the end."""
    over, answered = asyncio.Event(), asyncio.Event()
    waiting: set[Route] = set()
    arrived = asyncio.Condition()

    async def late(route: Route) -> None:
        if route.request.method != method:
            return await route.fallback()
        waiting.add(route)
        reply = await route.fetch()
        answered.set()
        await over.wait()
        async with arrived:
            with contextlib.suppress(Error):
                await route.fulfill(response=reply)
            waiting.discard(route)
            arrived.notify_all()

    await where.route(url, late, times=times)
    try:
        yield answered
    finally:
        over.set()
        async with arrived:
            await arrived.wait_for(lambda: not waiting)
        # What comes of it is drawn by then, if anything is.
        await asyncio.sleep(0.3)
        await where.unroute(url, late)


async def sits_down(page: Page, clinic: Served, token: str) -> None:
    """Somebody signs in at an open page that somebody else has left."""
    await page.wait_for_selector(".gate-card")
    await let_in(page.context, clinic, token)
    await page.evaluate("import('/clients/shared/session.js').then((here) => here.resume())")
    await page.wait_for_selector(".gate-card", state="detached")
