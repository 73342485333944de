"""`python -m tests.screenshots FOLDER`: every page, state, size and scheme, in English and Arabic."""

import argparse
import asyncio
import tempfile
from collections.abc import Iterable, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, async_playwright

from server import store
from server.embedded import start_postgres, start_redis
from tests import outside
from tests.pages import SIZES, served, visiting
from tests.rounds import LANGUAGES, ROUNDS, House, morning, reads

SCHEMES: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light"},
    "dark": {"color_scheme": "dark"},
    "contrast": {"color_scheme": "light", "contrast": "more"},
    "forced": {"color_scheme": "dark", "forced_colors": "active"},
}
"""What a reader's system says of colours; `forced`: it brings its own."""


async def shoot(browser: Browser, house: House, folder: Path, views: Iterable[tuple[str, ...]]) -> None:
    """Take every picture that is asked for: of each page, at a size, in a language, in a scheme."""
    for address, size, tag, scheme in views:
        await house.speak(tag, *(other for other in LANGUAGES if other != tag))
        async with visiting(browser, size, **SCHEMES[scheme], **reads(tag)) as context:
            page = await context.new_page()
            async for state in ROUNDS[address](page, house):
                await page.wait_for_timeout(400)
                await page.screenshot(path=folder / f"{state}-{size}-{scheme}-{tag}.png")
        print(address, size, tag, scheme, flush=True)


async def run(folder: Path, views: Sequence[tuple[str, ...]]) -> None:
    """Serve a clinic of our own and take its pictures."""
    with tempfile.TemporaryDirectory(prefix="callboard-shots-") as data:
        postgres, redis = start_postgres(Path(data) / "p", durable=False), start_redis(Path(data) / "r", durable=False)
        try:
            await store.migrate(postgres.url)
            async with served(postgres.url, redis.url) as clinic, async_playwright() as playwright:
                browser = await playwright.chromium.launch(executable_path=outside.chromium())
                await shoot(browser, await morning(clinic), folder, views)
                await browser.close()
        finally:
            redis.stop()
            postgres.stop()


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.screenshots", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pages", nargs="*", choices=ROUNDS, default=list(ROUNDS))
    parser.add_argument("--sizes", nargs="*", choices=SIZES, default=list(SIZES))
    parser.add_argument("--languages", nargs="*", choices=LANGUAGES, default=["en", "ar"])
    parser.add_argument("--schemes", nargs="*", choices=SCHEMES, default=["light", "dark"])
    asked = parser.parse_args(arguments)
    asked.folder.mkdir(parents=True, exist_ok=True)
    views = list(product(asked.pages, asked.sizes, asked.languages, asked.schemes))
    asyncio.run(run(asked.folder, views))


if __name__ == "__main__":
    main()
