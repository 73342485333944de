"""What notices say: the text of each kind, over each channel, in each language, filled in with a notice's facts.

Invariants: templates run in a sandbox and know nothing but the facts they are given; a fact that is missing, or text
that would be markup, never slips through. Nothing clinical goes over a channel that a locked telephone shows.
"""

import functools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

from server.notices import calendar
from server.notices.rules import Channel

FOLDER = Path(__file__).with_name("texts")
RIGHT_TO_LEFT: Final = frozenset({"ar"})
ENDS_WITH: Final[Mapping[str, tuple[str, str]]] = {
    # Where a message's button leads, and the word on it.
    "request-rejected": ("/book", "book"),
    "request-expired": ("/book", "book"),
    "cancelled": ("/book", "book"),
}
ENTRIES: Final = frozenset({"booking-confirmed", "request-accepted", "rescheduled", "cancelled"})
"""Kinds that put an entry into the reader's calendar, or change the one that is there."""

_plain = ImmutableSandboxedEnvironment(undefined=jinja2.StrictUndefined, autoescape=False)
_markup = ImmutableSandboxedEnvironment(undefined=jinja2.StrictUndefined, autoescape=True)


@dataclass(frozen=True, slots=True)
class Message:
    """A message as its reader gets it."""

    kind: str
    channel: Channel
    recipient: str
    language: str
    body: str = field(repr=False)
    subject: str | None = None
    html: str | None = field(default=None, repr=False)
    calendar: str | None = field(default=None, repr=False)
    method: str | None = None
    """What the calendar entry asks for: REQUEST or CANCEL."""
    secret: bool = False
    opens: str = "/"
    """Where a tap on it leads: a page of ours, or `ticket:5`."""


@dataclass(frozen=True, slots=True)
class Told:
    """A notice and what is known of its reader when it is sent."""

    id: int
    kind: str
    channel: Channel
    recipient: str
    language: str
    facts: Mapping[str, Any]
    base_url: str
    written_at: datetime
    secret: str | None = field(default=None, repr=False)
    sender: str = "callboard@localhost"
    """The address that mail comes from."""


def read(told: Told) -> Message:
    """A notice in words. Raises `jinja2.TemplateError` where a fact is missing."""
    words = _texts(told.language)
    facts = _values(told, words)
    texts = words[told.kind]
    message = functools.partial(
        Message, told.kind, told.channel, told.recipient, told.language, secret=told.secret is not None
    )
    if told.channel != "email":
        return message(body=_filled(texts["sms"], facts))
    subject = _filled(texts["subject"], facts)
    paragraphs = [one for one in _filled(texts["body"], facts).strip().split("\n\n") if one]
    if facts.get("patient"):
        paragraphs.insert(0, _filled(words["words"]["greeting"], facts))
    rows = _rows(facts, words["words"])
    action = words["words"][ENDS_WITH.get(told.kind, ("", "manage"))[1]]
    footer = _filled(words["words"]["footer"], facts) if facts.get("institution") else ""
    entry = calendar.entry(told, _filled(words["words"]["entry"], facts)) if told.kind in ENTRIES else None
    return message(
        subject=subject,
        body=_as_text(paragraphs, rows, facts.get("link"), action, footer),
        html=_layout().render(
            **{"institution": None, "link": None, **facts, "language": told.language, "subject": subject},
            direction="rtl" if told.language in RIGHT_TO_LEFT else "ltr",
            paragraphs=paragraphs,
            rows=rows,
            action=action,
            footer=footer,
        ),
        calendar=entry,
        method=calendar.method(told.kind) if entry else None,
    )


def _values(told: Told, words: Mapping[str, Any]) -> dict[str, Any]:
    """The facts as templates see them: times as people read them, where the clinic is."""
    values = dict(told.facts)
    if told.secret is not None:
        values["code"] = told.secret
    zone = values.get("zone", "UTC")
    for name, spoken in (("starts_at", "when"), ("was_at", "was")):
        if values.get(name):
            values[spoken] = when(datetime.fromisoformat(values[name]), zone, words["calendar"])
    if "number" in values:
        values["link"] = told.base_url + ENDS_WITH.get(told.kind, ("/appointments", ""))[0]
    values.setdefault("reason", None)
    return values


def when(at: datetime, zone: str, names: Mapping[str, Any]) -> str:
    """A time as it is spoken in a language, on the clock of the clinic."""
    local = at.astimezone(ZoneInfo(zone))
    parts = {
        "weekday": names["weekdays"][local.weekday()],
        "day": local.day,
        "month": names["months"][local.month - 1],
        "year": local.year,
        "time": f"{local:%H:%M}",
    }
    return _filled(names["when"], parts)


def _rows(facts: Mapping[str, Any], words: Mapping[str, str]) -> list[tuple[str, str]]:
    """What a letter lists of an appointment."""
    place = words["online"] if facts.get("mode") == "online" else facts.get("location")
    told = {**facts, "location": place}
    return [(words[name], told[name]) for name in ("when", "was", "doctor", "location", "number") if told.get(name)]


def _as_text(paragraphs: list[str], rows: list[tuple[str, str]], link: str | None, action: str, footer: str) -> str:
    listed = "\n".join(f"{name}: {value}" for name, value in rows)
    parts = [*paragraphs, listed, f"{action}: {link}" if link else "", f"--\n{footer}" if footer else ""]
    return "\n\n".join(part for part in parts if part) + "\n"


def _filled(template: str, facts: Mapping[str, Any]) -> str:
    return _compiled(template).render(facts)


@functools.lru_cache(maxsize=500)
def _compiled(template: str) -> jinja2.Template:
    return _plain.from_string(template)


@functools.cache
def _layout() -> jinja2.Template:
    return _markup.from_string((FOLDER / "layout.html").read_text("utf-8"))


@functools.cache
def _texts(language: str) -> dict[str, Any]:
    return tomllib.loads((FOLDER / f"{language}.toml").read_text("utf-8"))
