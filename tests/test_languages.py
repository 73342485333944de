"""The texts: each language says all that English says, no more, with the same values and its own plurals."""

import json
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import get_args

import pytest
from playwright.async_api import Browser

from server import errors
from server.config import ROOT
from server.queue import rules
from server.settings import BookingSettings, QueueSettings

FILES = {path.stem: path for path in sorted((ROOT / "clients" / "i18n").glob("*.json"))}
TEXTS: dict[str, dict[str, str]] = {tag: json.loads(path.read_text("utf-8")) for tag, path in FILES.items()}
ENGLISH = TEXTS["en"]
OTHERS = sorted(set(TEXTS) - {"en"})
SCRIPTS = "\n".join(
    path.read_text("utf-8") for path in sorted((ROOT / "clients").rglob("*.js")) if "vendor" not in path.parts
)
MADE_UP: dict[str, set[str]] = {
    # Families of which a page makes up the last part, beside texts that it names in full: the parts it can make up.
    "admin.audit": {"from", "to"},
    "admin.booking": set(BookingSettings.model_fields),
    "admin.devices": {"board", "kiosk"},
    "admin.import": {"patients", "doctors", "specialties", "visit-types"},
    "admin.mode": {"both", "in_person", "online"},
    "admin.patients.gender": {"female", "male", "diverse", "unstated"},
    "admin.people": {"active", "invited", "inactive"},
    "admin.set": set(QueueSettings.model_fields),
    "board": {"paused", "closed"},
    "ticket": {"paused", "closed"},
    "wrong": set(get_args(errors.Wrong)),
}
OURS_ALONE = {"unknown", "network"}
"""What a page itself calls going wrong, without an answer from the server."""
OF_PROGRAMS = {
    "refused",
    "malformed-json",
    "invalid-cursor",
    "invalid-idempotency-key",
    "unsupported-media-type",
    "method-not-allowed",
    "unknown-event",
}
"""Refusals that no page of ours can meet with, only a program that is being written."""
SAME_EVERYWHERE = re.compile(r"Callboard|Escape|Enter|Shift|Delete|Esc|Alt|CSV|/board|A017|#|[\W\d_]|\bM\b|\bA\b")


@dataclass
class Form:
    """What a text takes: the names of its values, and the categories of each of its plurals."""

    values: set[str] = field(default_factory=set)
    plurals: list[set[str]] = field(default_factory=list)
    words: str = ""


def form(text: str, into: Form | None = None) -> Form:
    """A text's form, read as the pages read it."""
    found = into or Form()
    at = 0
    while (opened := text.find("{", at)) >= 0:
        found.words += text[at:opened]
        at = closing(text, opened) + 1
        inside = text[opened + 1 : at - 1]
        if plural := re.match(r"\s*(\w+)\s*,\s*plural\s*,", inside):
            found.values.add(plural[1])
            found.plurals.append(cases(inside[plural.end() :], found))
        else:
            found.values.add(inside.strip())
    found.words += text[at:]
    return found


def cases(text: str, into: Form) -> set[str]:
    names = set()
    at = 0
    while (opened := text.find("{", at)) >= 0:
        names.add(text[at:opened].strip())
        at = closing(text, opened) + 1
        form(text[opened + 1 : at - 1], into)
    return names


def closing(text: str, opened: int) -> int:
    depth = 0
    for at in range(opened, len(text)):
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        if depth == 0:
            return at
    raise AssertionError(f"a brace stays open: {text}")


def is_named(key: str) -> bool:
    """Whether a page names this text: in full, or all but its last part."""
    if f'"{key}"' in SCRIPTS:
        return True
    family, _, last = key.removesuffix(".text").rpartition(".")
    if f"`{family}.${{" in SCRIPTS:
        return last in MADE_UP.get(family, {last})
    # A family handed on by its name, as `waitRange(…, "wait.short")` and `known("bookings.kind", ["walk_in", …])` do.
    handed = f"}}.{last}`" in SCRIPTS or ("`${family}.${" in SCRIPTS and f'"{last}"' in SCRIPTS)
    return handed and f'"{family}"' in SCRIPTS


def test_every_text_is_used():
    assert [key for key in ENGLISH if not is_named(key)] == []


@pytest.mark.parametrize("tag", FILES)
def test_no_text_is_told_twice(tag: str):
    told = Counter(re.findall(r'^\s*"([^"]+)":', FILES[tag].read_text("utf-8"), re.MULTILINE))
    assert [key for key, times in told.items() if times > 1] == []


@pytest.mark.parametrize("tag", OTHERS)
def test_a_language_says_all_that_english_says_and_no_more(tag: str):
    assert (sorted(ENGLISH.keys() - TEXTS[tag].keys()), sorted(TEXTS[tag].keys() - ENGLISH.keys())) == ([], [])


@pytest.mark.parametrize("tag", OTHERS)
def test_a_language_puts_the_same_values_into_each_text(tag: str):
    differing = {
        key: (form(ENGLISH[key]).values, form(text).values)
        for key, text in TEXTS[tag].items()
        if key in ENGLISH and form(ENGLISH[key]).values != form(text).values
    }
    assert differing == {}


def test_arabic_writes_its_numbers_as_its_pages_count():
    typed = {"reception.birth.hint", "reception.wrong.birth"}  # As they are to be typed in.
    texts = {key: text for key, text in TEXTS["ar"].items() if key not in typed}
    assert [key for key, text in texts.items() if re.search(r"(?<![A-Z=0-9])[0-9]", text)] == []


@pytest.mark.parametrize("tag", OTHERS)
def test_nothing_is_left_in_english(tag: str):
    left = [
        key for key, text in TEXTS[tag].items() if re.search(r"[A-Za-z]", SAME_EVERYWHERE.sub("", form(text).words))
    ]
    assert left == []


async def test_each_plural_has_the_categories_of_its_language(browser: Browser):
    page = await browser.new_page()
    for tag, texts in TEXTS.items():
        script = "tag => new Intl.PluralRules(tag).resolvedOptions().pluralCategories"
        categories = set(await page.evaluate(script, tag))
        wrong = {
            key: plural
            for key, text in texts.items()
            for plural in form(text).plurals
            # One form for every number needs no others; `=0` and the like come on top.
            if {name for name in plural if not name.startswith("=")} not in (categories, {"other"})
        }
        assert (tag, wrong) == (tag, {})
    await page.close()


def test_every_refusal_has_its_sentence_and_every_sentence_its_refusal():
    codes = {
        refusal.code for refusal in vars(errors).values() if isinstance(refusal, type) and hasattr(refusal, "code")
    }
    told = {key.removeprefix("problem.") for key in ENGLISH if key.startswith("problem.")}
    assert told - codes - OURS_ALONE == set()
    assert codes - told - OF_PROGRAMS == set()


def test_a_refusals_sentence_puts_in_only_what_the_refusal_says_that_it_tells():
    for refusal in vars(errors).values():
        if isinstance(refusal, type) and f"problem.{getattr(refusal, 'code', '')}" in ENGLISH:
            told = {"detail", *re.findall(r"`(\w+)`", refusal.__doc__ or "")}
            assert (refusal, form(ENGLISH[f"problem.{refusal.code}"]).values - told) == (refusal, set())


def test_every_reason_of_a_place_in_the_queue_has_its_sentence():
    sources = "".join((ROOT / "server" / "queue" / name).read_text("utf-8") for name in ("rules.py", "commands.py"))
    given = set(re.findall(r'Reason\(\s*code="([a-z-]+)"', sources)) | {"appointment-late", "appointment-on-time"}
    told = {key.removeprefix("order.") for key in ENGLISH if key.startswith("order.")}
    # The factors of a score are told one by one, by their own texts.
    assert told == given - {"score"}


def test_every_answer_to_why_has_its_sentence():
    told = {key.removeprefix("because.") for key in ENGLISH if key.startswith("because.")} - {"reason"}
    assert told == set(rules.SENTENCES)
    for code, text in rules.SENTENCES.items():
        assert form(ENGLISH[f"because.{code}"]).values == set(re.findall(r"{(\w+)", text))
