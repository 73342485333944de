"""What notices say: every kind over every channel in every language, in an institution's own words, and no bomb."""

import itertools
import re
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server import errors
from server.access import Actor, Role
from server.notices import rules, templates, texts
from server.notices.texts import Text, Told
from tests.letters import written
from tests.test_notices import booked
from tests.test_notices_sending import Recorder, post_of
from tests.world import World
from workers.notices import send_due

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
CLINICAL = {"patient", "doctor", "reason", "symptoms", "specialty", "queue"}
"""What a locked telephone shows to nobody."""


def every() -> Iterator[tuple[str, Any, str]]:
    """Every kind over each channel that carries it, in each language."""
    for language in rules.LANGUAGES:
        for kind in rules.KINDS:
            for channel in rules.carried(kind):
                if texts.ours(kind, channel, language) is not None:
                    yield kind, channel, language


def told(kind: str, channel: Any, language: str, **facts: Any) -> Told:
    sample = {**templates.SAMPLE[language], "institution": "Riverside", "zone": "Europe/London", "code": "123456"}
    sample |= dict.fromkeys(("starts_at", "ends_at", "was_at", "until_at"), NOW.isoformat()) | facts
    return Told(1, kind, channel, "a@example.org", language, sample, "https://x.test", NOW, proof="0" * 32)


def test_every_language_says_every_kind_over_the_channels_that_carry_it() -> None:
    said = {
        language: {(kind, channel) for kind, channel, of in every() if of == language} for language in rules.LANGUAGES
    }
    assert said["en"] == said["ar"] == said["hi"]
    must = {(kind, one) for kind in rules.CHOICES for one in rules.carried(kind)}
    assert must <= said["en"]


@pytest.mark.parametrize(("kind", "channel", "language"), every())
def test_our_own_texts_hold_to_the_rules_that_we_set_others(kind: str, channel: Any, language: str) -> None:
    text = texts.ours(kind, channel, language)
    assert text is not None and templates.problems(kind, channel, text) == []
    message = templates.checked(told(kind, channel, language), text) if kind != "sign-in-code" else None
    assert message is None or "{" not in message.body + (message.subject or "")


@pytest.mark.parametrize(("kind", "channel"), sorted({(kind, channel) for kind, channel, _ in every()}))
def test_nothing_clinical_may_stand_where_a_locked_telephone_shows_it(kind: str, channel: str) -> None:
    facts = texts.facts_of(kind, channel)
    if channel in rules.RINGS:
        assert not facts & CLINICAL
        assert "location" not in facts or kind == "emergency-alert"


@pytest.mark.parametrize("language", rules.LANGUAGES)
def test_a_call_says_only_what_can_be_heard(language: str) -> None:
    for kind in rules.CHOICES:
        heard = texts.read(told(kind, "voice", language)).body
        text = texts.ours(kind, "push", language)
        assert "http" not in heard and "(" not in heard and "20310406" not in heard
        assert text is not None and heard != texts.read(told(kind, "push", language)).body
    assert "A 0 1 7" in texts.read(told("you-are-called", "voice", language)).body


@pytest.mark.parametrize("language", rules.LANGUAGES)
def test_a_chat_message_has_its_lines_and_its_link(language: str) -> None:
    for kind in ("booking-confirmed", "reminder", "waitlist-offer", "thank-you"):
        chat = texts.read(told(kind, "whatsapp", language)).body
        assert "\n\n" in chat and "https://x.test/" in chat
        assert texts.ours(kind, "whatsapp", language) != texts.ours(kind, "sms", language)


def test_a_link_that_nobody_can_tap_is_refused_in_a_call_and_silent_where_it_was_kept() -> None:
    text = Text(None, "Come to {{ institution }}. {{ link }}")
    one = told("reminder", "voice", "en")
    assert [each["what"] for each in templates.problems("reminder", "voice", text)] == ["link"]
    assert texts.read(replace(one, text=text)).body == "Come to Riverside."


def test_the_words_of_all_languages_are_the_same_keys() -> None:
    files = [tomllib.loads((texts.FOLDER / f"{one}.toml").read_text("utf-8")) for one in rules.LANGUAGES]
    keys = [{name: sorted(part) for name, part in one.items()} for one in files]
    assert keys[0] == keys[1] == keys[2]


def test_a_letter_has_a_way_out_and_a_code_has_none() -> None:
    letter = texts.read(told("booking-confirmed", "email", "en"))
    assert letter.unsubscribe == f"https://x.test/unsubscribe/1.{'0' * 32}"
    assert letter.unsubscribe in (letter.html or "") and letter.unsubscribe in letter.body
    assert texts.read(told("emergency-alert", "email", "en")).unsubscribe is None


def test_a_letter_says_why_it_came() -> None:
    why = {"booking-confirmed": "you have an appointment", "waitlist-offer": "on its waitlist", "thank-you": "you had"}
    for kind, words in why.items():
        assert words in texts.read(told(kind, "email", "en")).body


# Bombs

BOMBS = {
    "{{ 'a' * 10**9 }}": "not-allowed",
    "{% for n in range(10**9) %}x{% endfor %}": "not-allowed",
    "{% set x = 'a' %}": "not-allowed",
    "{{ number.__class__.__mro__ }}": "not-allowed",
    "{{ number['__class__'] }}": "not-allowed",
    "{{ number|attr('__class__') }}": "unknown-filter",
    "{{ number|replace('', number) }}": "unknown-filter",
    "{{ number|center(999999999) }}": "unknown-filter",
    "{{ [1] }}": "not-allowed",
    "{{ number ~ number }}": "not-allowed",
    "{{ range(9) }}": "not-allowed",
    "{% include '/etc/passwd' %}": "not-allowed",
    "{% macro m() %}{{ m() }}{% endmacro %}": "not-allowed",
    "{% filter upper %}x{% endfilter %}": "not-allowed",
    "{{ self }}": "unknown-fact",
    "{{ patient }}": "unknown-fact",
    "{{ reason }}": "unknown-fact",
    "{{ number": "syntax",
    "{% if %}": "syntax",
    "{{ 'x' if number }}": "else-missing",
    "{% if number > 3 %}x{% endif %}": "not-allowed",
    "{{ '%s' % number }}": "not-allowed",
    "{{ -number }}": "not-allowed",
    "{{ '" + "(" * 400 + "' if " + "(" * 400 + "number" + ")" * 400 + " else '' }}": "too-deep",
    "{% if number %}" * 40 + "x" + "{% endif %}" * 40: "too-deep",
    "{{ " + "not " * 900 + "number }}": "too-deep",
    "\N{HORIZONTAL ELLIPSIS}" * 1000: "too-long",
    "{{ link }}" * 200: "too-long",
    "{% if not number %}x{% endif %}": "empty",
}


@pytest.mark.parametrize("body", BOMBS, ids=lambda body: body[:40])
def test_a_bomb_is_refused_on_saving_and_never_goes_off(body: str) -> None:
    with pytest.raises(errors.BadTemplate) as refused:
        templates.checked(told("reminder", "sms", "en"), Text(None, body))
    allowed = {BOMBS[body], "syntax"} if BOMBS[body] == "too-deep" else {BOMBS[body]}
    assert {one["why"] for one in refused.value.extra["problems"]} & allowed


@given(st.text(alphabet="{}%|()[]'\" .~*+-<>=_abfinotelsrumd0123\n", max_size=200))
def test_whatever_is_let_through_is_short_and_can_be_sent(body: str) -> None:
    one = told("reminder", "sms", "en")
    try:
        message = templates.checked(one, Text(None, body))
    except errors.BadTemplate:
        return
    assert len(message.body) <= 918


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a" * 160, 1),
        ("a" * 161, 2),
        ("€" * 80, 1),
        ("€" * 81, 2),
        ("م" * 70, 1),
        ("म" * 71, 2),
        ("😀" * 36, 2),
        ("", 1),
    ],
)
def test_parts_of_a_text_message_are_counted_as_they_are_paid(text: str, parts: int) -> None:
    assert rules.segments(text) == parts


# An institution's own words


async def change(world: World, body: str, who: str = "admin", **of: Any) -> Any:
    one = {"kind": "booking-confirmed", "channel": "sms", "language": "en", **of}
    return await world.do("change-text", who, institution_id=world.institution, body=body, **one)


async def said_of_a_booking(world: World) -> str:
    """What whoever books now is told by SMS."""
    await world.pool.execute("update notices set state = 'cancelled' where state = 'pending'")
    await booked(world, after=timedelta(days=2 + next(DAYS)), email=None)
    recorder = Recorder()
    await send_due(post_of(world, recorder))
    return recorder.sent[-1][1].body


DAYS = itertools.count()


async def test_an_institution_speaks_in_its_own_words_until_it_takes_ours_again(still: World) -> None:
    await change(still, "Come on {{ when }}.")
    assert (await said_of_a_booking(still)).startswith("Come on ")
    one = {"kind": "booking-confirmed", "channel": "sms", "language": "en"}
    ours = await still.do("reset-text", "admin", institution_id=still.institution, **one)
    assert not ours.own and "is confirmed for" in await said_of_a_booking(still)


async def test_anothers_words_stay_its_own(still: World) -> None:
    other = await still.other()
    await change(other, "Theirs.")
    listed = await still.ask("list-texts", "admin", institution_id=still.institution, language="en")
    assert not any(one.own for one in listed.items) and len(listed.items) > 60
    theirs = await other.ask("list-texts", "admin", institution_id=other.institution, language="en")
    assert [(one.kind, one.channel, one.body) for one in theirs.items if one.own] == [
        ("booking-confirmed", "sms", "Theirs.")
    ]


async def test_a_preview_is_what_its_reader_would_see(still: World) -> None:
    ask = {"institution_id": still.institution, "kind": "cancelled", "channel": "email", "language": "ar"}
    shown = await still.ask("preview-text", "admin", **ask, subject="{{ when }}", body="<b>{{ reason }}</b>")
    assert 'dir="rtl"' in shown.html and "&lt;b&gt;" in shown.html and "الطبيب مريض" in shown.body
    assert re.search(r"\d{4}", shown.subject) and shown.segments is None


async def test_a_broken_text_is_refused_and_nothing_is_kept(still: World) -> None:
    with pytest.raises(errors.BadTemplate):
        await change(still, "{{ wehn }}")
    with pytest.raises(errors.InvalidRequest):
        await change(still, "x", kind="sign-in-code")
    assert await still.pool.fetchval("select count(*) from templates") == 0


async def test_a_text_is_tried_on_oneself_alone(still: World) -> None:
    await still.account(Role.admin, "ada@clinic.test")
    user = await still.pool.fetchrow("select id from users where email = 'ada@clinic.test'")
    ada = Actor(Role.admin, user["id"], still.institution)
    one: dict[str, Any] = {"institution_id": still.institution, "kind": "thank-you", "language": "en"}
    one["body"] = "Hello {{ when }}"
    await still.do("try-text", ada, **one, channel="email", subject="Tried")
    with pytest.raises(errors.InvalidRequest):
        await still.do("try-text", ada, **one, channel="sms")
    recorder = Recorder()
    await send_due(post_of(still, recorder))
    assert [(message.recipient, message.subject) for _, message in recorder.sent] == [("ada@clinic.test", "Tried")]
    assert "Hello Thursday" in recorder.sent[0][1].body and await written(still, kind="thank-you", state="sent")
