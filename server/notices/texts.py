"""What notices say: the text of each kind, over each channel, in each language, filled in with a notice's facts.

Invariants: templates run in a sandbox and know nothing but the facts of their kind and channel; a fact that is missing,
or text that would be markup, never slips through. Nothing clinical, and nobody's name, goes over a channel that a
locked telephone shows or somebody else may hear.
"""

import functools
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

from server.notices import calendar
from server.notices.rules import CHOICES, Channel

FOLDER = Path(__file__).with_name("texts")
RIGHT_TO_LEFT: Final = frozenset({"ar"})
ENDS_WITH: Final[Mapping[str, tuple[str, str]]] = {
    # Where a message's button leads, and the word on it.
    "request-rejected": ("/book", "book"),
    "request-expired": ("/book", "book"),
    "cancelled": ("/book", "book"),
    "no-show": ("/book", "book"),
    "thank-you": ("/feedback/{token}", "feedback"),
    "emergency-alert": ("/agenda", "agenda"),
    "waitlist-offer": ("/offer/{secret}", "answer"),
}
BECAUSE: Final[Mapping[str, str]] = {
    # The word on why somebody gets a letter, where it is not for an appointment of theirs.
    "emergency-alert": "staff",
    "waitlist-offer": "waiting",
    "waitlist-offer-ended": "waiting",
    "no-show": "visited",
    "thank-you": "visited",
}
ENTRIES: Final = frozenset({"booking-confirmed", "request-accepted", "rescheduled", "cancelled"})
"""Kinds that put an entry into the reader's calendar, or change the one that is there."""

FACTS: Final[Mapping[str, frozenset[str]]] = {
    # What the text of a kind may say, over a channel that its reader alone opens.
    **dict.fromkeys(
        ("booking-confirmed", "request-accepted", "reminder", "no-show", "thank-you"),
        frozenset({"institution", "patient", "number", "when", "doctor", "location", "link"}),
    ),
    "cancelled": frozenset({"institution", "patient", "number", "when", "doctor", "location", "link", "reason"}),
    "request-rejected": frozenset(
        {"institution", "patient", "number", "when", "stands", "doctor", "location", "link", "reason"}
    ),
    "request-expired": frozenset({"institution", "patient", "number", "when", "stands", "doctor", "location", "link"}),
    "rescheduled": frozenset({"institution", "patient", "number", "when", "was", "doctor", "location", "link"}),
    "you-are-next": frozenset({"institution", "token", "location"}),
    "you-are-called": frozenset({"institution", "token", "desk", "location"}),
    "wait-grown": frozenset({"institution", "token", "location", "least", "most"}),
    **dict.fromkeys(
        ("waitlist-offer", "waitlist-offer-ended"),
        frozenset({"institution", "patient", "when", "until", "doctor", "location", "link"}),
    ),
    "emergency-alert": frozenset({"institution", "location", "link"}),
    "sign-in-code": frozenset({"code", "minutes"}),
}
IN_SIGHT: Final = frozenset(
    {
        "institution",
        "number",
        "when",
        "was",
        "stands",
        "link",
        "token",
        "desk",
        "least",
        "most",
        "code",
        "minutes",
        "until",
    }
)
"""What anybody may see or hear who is near a telephone."""
OF_A_PLACE: Final = frozenset({"location"})


def facts_of(kind: str, channel: str) -> frozenset[str]:
    """The facts that a text of this kind may name over this channel."""
    if channel == "email":
        return FACTS[kind]
    if channel == "app":
        return FACTS[kind] & (IN_SIGHT | {"doctor", "location"})
    if channel == "voice":
        return FACTS[kind] & (IN_SIGHT - {"link"})
    return FACTS[kind] & (IN_SIGHT | OF_A_PLACE if kind == "emergency-alert" else IN_SIGHT)


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
    opens: str = field(default="/", repr=False)
    """Where a tap on it leads: a page of ours, or `ticket:5`."""
    unsubscribe: str | None = field(default=None, repr=False)
    """The page, and for mail programs the address (RFC 8058), by which its reader wants no more like it."""


@dataclass(frozen=True, slots=True)
class Text:
    """What is said over a channel; a subject where it has one: of a letter, or the first line of a push."""

    subject: str | None
    body: str


def ours(kind: str, channel: str, language: str) -> Text | None:
    """Our own text of a kind, where the kind goes over the channel."""
    texts = _texts(language)[kind]
    if channel == "email":
        return Text(texts["subject"], texts["body"].strip()) if "subject" in texts else None
    if channel in ("push", "app"):
        return Text(texts["title"], texts["push"]) if "push" in texts else None
    # A call has nothing to tap; a chat has room for lines. Where neither needs words of its own, a text message's do.
    return Text(None, texts.get(channel, texts["sms"]))


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
    text: Text | None = None
    """The institution's own, where it has one."""
    proof: str | None = field(default=None, repr=False)
    """What its links show to prove that they stood in it."""

    @property
    def token(self) -> str:
        """How its links name it."""
        return f"{self.id}.{self.proof}"


def read(told: Told) -> Message:
    """A notice in words. Raises `jinja2.TemplateError` where a fact is missing."""
    words = _texts(told.language)
    facts = _values(told, words)
    draft = told.facts.get("draft")
    own = Text(*draft) if draft else told.text
    text = own or ours(told.kind, told.channel, told.language)
    if text is None:
        raise KeyError(told.channel)
    if told.channel == "voice":
        facts |= {name: singly(facts[name]) for name in ("number", "token", "code") if facts.get(name)}
    permitted = {name: facts[name] for name in facts_of(told.kind, told.channel) if name in facts}
    if own is not None:
        # Words that were found fit once are fit for every notice: what one has nothing to say of is empty.
        none = dict.fromkeys(FACTS[told.kind], "")
        permitted = none | {name: one for name, one in permitted.items() if one is not None}
    subject = " ".join(_filled(text.subject, permitted).split()) if text.subject else None
    message = functools.partial(
        Message,
        told.kind,
        told.channel,
        told.recipient,
        told.language,
        subject=subject,
        secret=told.secret is not None,
    )
    body = _filled(text.body, permitted).strip()
    return _letter(told, message, body, facts, words) if told.channel == "email" else message(body=body)


def singly(number: str) -> str:
    """A number as a voice says it so that it can be written down: letter by letter, `A 0 1 7`."""
    return " ".join(one for one in number if one.isalnum())


def _letter(
    told: Told, message: "Callable[..., Message]", body: str, facts: dict[str, Any], words: Mapping[str, Any]
) -> Message:
    """A notice as mail: with what it lists, a button, an entry for the calendar, and the way out of it."""
    said = words["words"]
    paragraphs = [one for one in body.split("\n\n") if one]
    if facts.get("patient"):
        paragraphs.insert(0, _filled(said["greeting"], facts))
    rows = _rows(facts, said)
    action = said[ENDS_WITH.get(told.kind, ("", "manage"))[1]]
    footer = _filled(said[BECAUSE.get(told.kind, "footer")], facts) if "institution" in facts else ""
    entry = calendar.entry(told, _filled(said["entry"], facts)) if told.kind in ENTRIES else None
    unsubscribe = f"{told.base_url}/unsubscribe/{told.token}" if told.proof and told.kind in CHOICES else None
    subject = message.keywords["subject"]  # type: ignore[attr-defined]
    return message(
        body=_as_text(paragraphs, rows, facts.get("link"), action, footer, said["unsubscribe"], unsubscribe),
        html=_layout().render(
            **{"institution": None, "link": None, **facts, "language": told.language, "subject": subject},
            direction="rtl" if told.language in RIGHT_TO_LEFT else "ltr",
            paragraphs=paragraphs,
            rows=rows,
            action=action,
            footer=footer,
            unsubscribe=unsubscribe,
            unsubscribe_word=said["unsubscribe"],
        ),
        calendar=entry,
        method=calendar.method(told.kind) if entry else None,
        unsubscribe=unsubscribe,
    )


def _values(told: Told, words: Mapping[str, Any]) -> dict[str, Any]:
    """The facts as templates see them: times as people read them, where the clinic is."""
    values = dict(told.facts)
    if told.secret is not None:
        values["code"] = told.secret
    zone = values.get("zone", "UTC")
    for name, spoken in (("starts_at", "when"), ("was_at", "was"), ("until_at", "until"), ("stands_at", "stands")):
        if values.get(name):
            values[spoken] = when(datetime.fromisoformat(values[name]), zone, words["calendar"])
    if "link" in FACTS[told.kind]:
        page = ENDS_WITH.get(told.kind, ("/appointments", ""))[0]
        values["link"] = told.base_url + page.format(token=told.token, secret=told.secret or "…")
        if values.get("here"):
            # By it somebody who is there checks in without signing in; browsers send it nowhere.
            values["link"] += f"#here={values['here']}"
    values.setdefault("reason", None)
    values.setdefault("stands", None)
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
    return [
        (words[name], told[name]) for name in ("when", "was", "doctor", "location", "phone", "number") if told.get(name)
    ]


def _as_text(
    paragraphs: list[str],
    rows: list[tuple[str, str]],
    link: str | None,
    action: str,
    footer: str,
    way_out: str,
    unsubscribe: str | None,
) -> str:
    listed = "\n".join(f"{name}: {value}" for name, value in rows)
    foot = "\n".join(part for part in (footer, f"{way_out}: {unsubscribe}" if unsubscribe else "") if part)
    parts = [*paragraphs, listed, f"{action}: {link}" if link else "", f"--\n{foot}" if foot else ""]
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
