"""What every test may ask for: a real PostgreSQL and a real Valkey, and clean ones for each test."""

import asyncio
import itertools
import socket
import tempfile
from collections.abc import AsyncIterator, Coroutine, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote

import asyncpg
import hypothesis
import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright, expect

from server.config import ROOT
from server.embedded import Running, start_postgres, start_redis
from tests import outside
from tests.pages import Served, served
from tests.rounds import House, morning
from tests.world import Clock, World, opened

T = TypeVar("T")

# How long an example takes says something about the machine, and nothing about what is tested.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")
expect.set_options(timeout=20_000)


@dataclass
class Postgres:
    """A PostgreSQL for this run of the suite, with a template that holds `schema.sql`."""

    server: Running
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    elsewhere: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1))
    """Tests have event loops of their own; ours runs in another thread."""

    def url(self, name: str) -> str:
        """The address of the database of this name."""
        return self.server.url.replace("@/callboard?", f"@/{name}?")

    def execute(self, *statements: str, database: str = "callboard") -> None:
        """Run statements, each outside a transaction."""

        async def run() -> None:
            connection = await asyncpg.connect(self.url(database))
            try:
                for statement in statements:
                    await connection.execute(statement)
            finally:
                await connection.close()

        self._finish(run())

    def fresh(self, template: str = "template_callboard") -> str:
        """The address of a new database, a copy of the template."""
        name = f"test_{next(self.numbers)}"
        self.execute(f"create database {name} template {template}")
        return self.url(name)

    def drop(self, url: str) -> None:
        """Drop a database, whoever is still connected to it."""
        name = url.split("@/")[1].split("?")[0]
        self.execute(f"drop database if exists {name} with (force)")

    def _finish(self, work: Coroutine[Any, Any, T]) -> T:
        return self.elsewhere.submit(asyncio.run, work).result()


@dataclass
class Redis:
    """A Valkey for this run of the suite."""

    server: Running

    def fresh(self) -> str:
        """The address of the server, emptied of all keys, functions aside."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(5)
            connection.connect(unquote(self.server.url.removeprefix("unix://")))
            connection.sendall(b"FLUSHALL\r\n")
            assert connection.recv(64) == b"+OK\r\n"
        return f"{self.server.url}?db=0"


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with tempfile.TemporaryDirectory(prefix="callboard-test-") as folder:
        server = start_postgres(Path(folder) / "postgres", durable=False)
        postgres = Postgres(server)
        postgres.execute("create database template_callboard")
        schema = ROOT / "schema.sql"
        if schema.exists():
            postgres.execute(schema.read_text(), database="template_callboard")
        yield postgres
        server.stop()


@pytest.fixture(scope="session")
def redis_server() -> Iterator[Redis]:
    with tempfile.TemporaryDirectory(prefix="callboard-test-") as folder:
        server = start_redis(Path(folder) / "redis", durable=False)
        yield Redis(server)
        server.stop()


@pytest.fixture
def database_url(postgres: Postgres) -> Iterator[str]:
    """A database of this test's own, with the schema and nothing in it."""
    url = postgres.fresh()
    yield url
    postgres.drop(url)


@pytest.fixture
def redis_url(redis_server: Redis) -> str:
    """A Valkey that holds nothing."""
    return redis_server.fresh()


@pytest_asyncio.fixture
async def world(database_url: str, redis_url: str) -> AsyncIterator[World]:
    """A clinic whose time runs as it does."""
    async with opened(database_url, redis_url) as world:
        yield world


@pytest_asyncio.fixture
async def still(database_url: str, redis_url: str) -> AsyncIterator[World]:
    """A clinic whose time stands still until `world.forward(...)`; it begins on a Monday morning."""
    clock = Clock(datetime(2026, 3, 2, 9, 0, tzinfo=UTC))
    async with opened(database_url, redis_url, clock) as world:
        yield world


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a Chromium or Chrome that starts."""
    return outside.chromium()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser(chromium: str) -> AsyncIterator[Browser]:
    """One real browser for the whole run; each test opens contexts of its own."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=["--disable-dev-shm-usage"])
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="session")
async def clinic(request: pytest.FixtureRequest, database_url: str, redis_url: str) -> AsyncIterator[Served]:
    """A served clinic of this test's own, in which its module's `prepare(world)`, if it has one, has been done."""
    async with served(database_url, redis_url) as clinic:
        if prepare := getattr(request.module, "prepare", None):
            await prepare(clinic.world)
        yield clinic


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def house(postgres: Postgres, redis_server: Redis) -> AsyncIterator[House]:
    """One house for all rounds: nobody changes anything in it."""
    url = postgres.fresh()
    async with served(url, redis_server.fresh()) as clinic:
        yield await morning(clinic)
    postgres.drop(url)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Give all tests that lack a browser one place, so that pytest tells of them in one line."""
    report = yield
    if isinstance(report.longrepr, tuple) and outside.NO_BROWSER in report.longrepr[2]:
        report.longrepr = ("tests/outside.py", 1, report.longrepr[2])
    return report


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever uses the browser shares its event loop, and can be chosen by `-m browser`."""
    for item in items:
        if {"browser", "chromium"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)
