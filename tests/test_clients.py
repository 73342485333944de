"""The pages' files: what they may contain, what they weigh, and their pure parts run in a real browser."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Route

from server import pages
from server.config import ROOT

CLIENTS = ROOT / "clients"
OURS = [path for path in sorted(CLIENTS.rglob("*")) if path.is_file() and "vendor" not in path.parts]
SCRIPTS = [path for path in OURS if path.suffix == ".js"]
STYLES = [path for path in OURS if path.suffix == ".css"]
PAGES = [path for path in OURS if path.suffix == ".html"]
TEXTS = json.loads((CLIENTS / "i18n" / "en.json").read_text(encoding="utf-8"))
KINDS = {".js": "text/javascript", ".json": "application/json", ".html": "text/html"}
BUDGET = 150_000
"""Bytes of one page with all it loads, compressed."""


def name(path: Path) -> str:
    return str(path.relative_to(CLIENTS))


def test_vendored_files_are_those_of_the_manifest():
    done = subprocess.run(
        [sys.executable, CLIENTS / "vendor" / "vendor.py", "--check"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("address", pages.PAGES)
def test_a_page_with_all_it_loads_is_light(address: str):
    clients = pages.Clients(CLIENTS, "build")
    page = clients.pages[address]
    named = set(re.findall(r'(?:src|href)="(/clients/[^"?]+)', page.content.decode()))
    texts = [path for path in clients.assets if path.startswith("/clients/i18n/")]
    # A page loads its reader's language alone (English besides, where one lacks a text): here the heaviest.
    spoken = max(texts, key=lambda path: len(sent(clients.assets[path])))
    loaded = {path: len(sent(clients.assets[path])) for path in named | {spoken}}
    weight = len(page.packed) + sum(loaded.values())
    assert weight < BUDGET, sorted(loaded.items(), key=lambda one: -one[1])


def sent(asset: pages.Asset) -> bytes:
    return asset.packed or asset.content


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_a_page_has_no_inline_script_style_or_handler(page: Path):
    html = page.read_text()
    assert "<!-- callboard:head -->" in html
    assert not re.findall(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)|javascript:", html)


@pytest.mark.parametrize("script", SCRIPTS, ids=name)
def test_a_script_never_makes_html_of_text(script: Path):
    forbidden = r"innerHTML|outerHTML|insertAdjacentHTML|dangerouslySetInnerHTML|document\.write|\beval\(|new Function"
    assert not re.findall(forbidden, script.read_text())


@pytest.mark.parametrize("script", SCRIPTS, ids=name)
def test_a_script_is_checked_and_says_what_it_owns(script: Path):
    assert script.read_text().startswith("// @ts-check\n/**")


@pytest.mark.parametrize("style", STYLES, ids=name)
def test_styles_take_no_side(style: Path):
    css = re.sub(r"/\*.*?\*/", "", style.read_text(), flags=re.DOTALL)
    sides = r"\b(?:margin|padding|border|inset)?-?(?:left|right)\s*:|text-align:\s*(?:left|right)|float:"
    assert not re.findall(sides, css)
    four = re.findall(r"(?:margin|padding|inset):\s*(\S+) (\S+) (\S+) (\S+);", css)
    assert not [sides for sides in four if sides[1] != sides[3]]


def used_texts() -> dict[str, Path]:
    """Every key that a script names in full."""
    return {
        key: script
        for script in SCRIPTS
        for key in re.findall(r'"([a-z]+(?:\.[a-z0-9-]+)+)"', script.read_text())
        if key.split(".")[0] in {text.split(".")[0] for text in TEXTS} and not key.endswith((".js", ".json"))
    }


def test_every_text_that_a_page_names_exists():
    families = {".".join(key.split(".")[:-1]) for key in TEXTS}
    assert {
        key: name(script) for key, script in used_texts().items() if key not in TEXTS | dict.fromkeys(families)
    } == {}


def test_every_refusal_has_a_sentence_or_says_its_own():
    sentences = {key.removeprefix("problem.") for key in TEXTS if key.startswith("problem.")}
    assert {"network", "unavailable", "queue-empty", "desk-busy", "wrong-state", "not-authenticated"} <= sentences


def words_in_templates(text: str) -> list[str]:
    """Words that stand between a template's tags and come from no table."""
    templates = re.findall(r"html`(.*?)`(?=[\s;,)}:?]|$)", text, re.DOTALL)
    bare = (re.sub(r"\$\{.*?\}", "", part) for part in templates)
    return [word for part in bare for word in re.findall(r"(?<!=)>\s*([A-Za-z]{2,}[^<>{}$=]*?)\s*<", part)]


@pytest.mark.parametrize("script", SCRIPTS, ids=name)
def test_no_page_has_words_of_its_own(script: Path):
    assert words_in_templates(script.read_text()) == []


def braces(text: str) -> int:
    return text.count("{") - text.count("}")


def test_texts_are_well_formed():
    assert [key for key, text in TEXTS.items() if not text or braces(text)] == []
    plurals = {key: text for key, text in TEXTS.items() if ", plural," in text}
    assert [key for key, text in plurals.items() if "other {" not in text] == []


async def run_in_browser(browser: Browser, module: str, function: str) -> list[str]:
    """The failures that a function of a module under tests/js reports."""
    context = await browser.new_context()

    async def serve(route: Route) -> None:
        path = ROOT / route.request.url.split("callboard.test/", 1)[1]
        if path.is_file():
            await route.fulfill(path=path, content_type=KINDS.get(path.suffix, "text/plain"))
        else:
            await route.fulfill(body="<!doctype html>", content_type="text/html")

    await context.route("http://callboard.test/**", serve)
    page = await context.new_page()
    await page.goto("http://callboard.test/")
    script = "async ([module, name]) => [...await (await import(`/tests/js/${module}.js`))[name]()]"
    failures: Any = await page.evaluate(script, [module, function])
    await context.close()
    return [str(failure) for failure in failures]


@pytest.mark.parametrize(
    ("module", "function"),
    [
        ("stream", "reducer"),
        ("stream", "subscriber"),
        ("board", "lists"),
        ("board", "announcements"),
        ("board", "inOrder"),
        ("board", "survives"),
        ("board", "withdraws"),
        ("board", "catchesUp"),
        ("texts", "messages"),
        ("texts", "places"),
        ("reception", "births"),
        ("reception", "moves"),
        ("reception", "landings"),
    ],
)
async def test_in_a_browser(browser: Browser, module: str, function: str):
    assert await run_in_browser(browser, module, function) == []
