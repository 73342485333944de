"""What an institution says in its own words: texts by kind, channel and language, checked before they are kept.

Invariant: a text that is kept can be sent. It is read by the sandbox's own parser, and of what that knows only names of
its facts, conditions, comparisons and a few harmless filters are let through: no loop, no call, no attribute and no
arithmetic, so that nothing it says can be longer than itself and its facts, or take longer than reading it.
"""

import functools
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from typing import Annotated, Any, Final
from uuid import uuid4
from zoneinfo import ZoneInfo

import jinja2
from jinja2 import nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment
from pydantic import AfterValidator, Field, StringConstraints

from server import errors, events
from server.access import ADMINS, Actor
from server.asks import Ask, Id, Reply, wrong
from server.notices import rules, texts
from server.notices.levels import access_institution, hold
from server.notices.rules import CHANNELS, KINDS, LANGUAGES, Channel, Kind
from server.notices.texts import Text, Told
from server.notices.writing import Wanted, write
from server.store import Command, Connection, Query, Read, Tx

Language = Annotated[str, StringConstraints(pattern="^(" + "|".join(LANGUAGES) + ")$")]
HARMLESS: Final = (
    nodes.Template,
    nodes.Output,
    nodes.TemplateData,
    nodes.Name,
    nodes.Const,
    nodes.If,
    nodes.CondExpr,
    nodes.Compare,
    nodes.Operand,
    nodes.And,
    nodes.Or,
    nodes.Not,
    nodes.Filter,
    nodes.Test,
)
"""All that a text may be made of."""
FILTERS: Final = frozenset({"upper", "lower", "capitalize", "title", "trim"})
TESTS: Final = frozenset({"defined"})
NUMBERS: Final = frozenset({"least", "most", "minutes"})
DEEPEST: Final = 30
"""How far one thing may stand inside another: a condition in a condition in a condition."""
LONGEST: Final[Mapping[str, int]] = {
    "email": 10_000,
    "sms": 918,
    "whatsapp": 1600,
    "voice": 800,
    "push": 400,
    "app": 400,
}
"""Letters that a message may have; an SMS as many as six parts hold."""
LONGEST_SUBJECT: Final = 200


def _not_a_code(kind: str) -> str:
    if kind == "sign-in-code":
        raise ValueError("No institution sends that.")
    return kind


class OfText(Ask):
    """Which text: of a kind, over a channel, in a language."""

    institution_id: Id
    kind: Annotated[Kind, AfterValidator(_not_a_code)]
    channel: Channel
    language: Language


class TextDraft(OfText):
    """A text as somebody would have it."""

    subject: Annotated[str, StringConstraints(strip_whitespace=True, max_length=300)] | None = None
    body: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=5000)]


class TextsOf(Ask):
    """An institution, and the language of its texts."""

    institution_id: Id
    language: Language


class TextOf(Reply):
    """A text as it is now, whether it is the institution's own, and the facts that it may name."""

    kind: str
    channel: str
    subject: str | None
    body: str
    own: bool
    facts: list[str]


class Texts(Reply):
    """All texts of a language."""

    items: list[TextOf]


class TextPreview(Reply):
    """A message as its reader would get it, with made-up facts; how many parts a text message has."""

    subject: str | None
    body: str
    html: str | None
    segments: int | None


# Reading them


async def list_texts(view: Read, actor: Actor, ask: TextsOf) -> Texts:
    """Every text of the institution in a language. Raises `NotFound`."""
    await access_institution(view.conn, actor, ask.institution_id)
    rows = await view.conn.fetch(OWN_TEXTS, ask.institution_id, ask.language)
    own = {(row["kind"], row["channel"]): Text(row["subject"], row["body"]) for row in rows}
    items = [_text_of(kind, channel, own.get((kind, channel)), ours) for kind, channel, ours in _all(ask.language)]
    return Texts(items=items)


OWN_TEXTS = "select kind, channel, subject, body from templates where institution_id = $1 and language = $2"


def _all(language: str) -> Iterator[tuple[Kind, Channel, Text]]:
    for kind in KINDS:
        for channel in CHANNELS:
            text = texts.ours(kind, channel, language) if channel in rules.carried(kind) else None
            if text is not None and kind != "sign-in-code":
                yield kind, channel, text


def _text_of(kind: str, channel: str, own: Text | None, ours: Text) -> TextOf:
    text = own or ours
    facts = sorted(texts.facts_of(kind, channel))
    return TextOf(kind=kind, channel=channel, subject=text.subject, body=text.body, own=own is not None, facts=facts)


# Checking them


def problems(kind: str, channel: str, text: Text) -> list[dict[str, Any]]:
    """Why a text cannot be used: in which part, in which line, and what of it."""
    parts = {"subject": text.subject, "body": text.body}
    facts = texts.facts_of(kind, channel)
    return [
        {"part": part, **found}
        for part, source in parts.items()
        if source is not None
        for found in _problems(source, facts)
    ]


def _problems(source: str, facts: frozenset[str]) -> list[dict[str, Any]]:
    try:
        tree = _reader().parse(source)
        found = list(_unfit(tree, facts, 0))
    except jinja2.TemplateSyntaxError as wrong:
        return [{"line": wrong.lineno, "why": "syntax", "what": ""}]
    except RecursionError:
        return [{"line": 1, "why": "too-deep", "what": ""}]
    return [dict(zip(("line", "why", "what"), one, strict=True)) for one in dict.fromkeys(found)][:10]


@functools.cache
def _reader() -> ImmutableSandboxedEnvironment:
    return ImmutableSandboxedEnvironment(undefined=jinja2.StrictUndefined)


def _unfit(node: nodes.Node, facts: frozenset[str], depth: int) -> Iterator[tuple[int, str, str]]:
    """What of a parsed text is not let through: (line, why, what)."""
    if depth > DEEPEST:
        yield node.lineno, "too-deep", ""
        return
    if not isinstance(node, HARMLESS):
        yield node.lineno, "not-allowed", type(node).__name__.lower()
        return
    match node:
        case nodes.Name() if node.name not in facts:
            yield node.lineno, "unknown-fact", node.name[:60]
        case nodes.Filter() if node.name not in FILTERS or node.args or node.kwargs or node.dyn_args or node.dyn_kwargs:
            yield node.lineno, "unknown-filter", node.name[:60]
        case nodes.Test() if node.name not in TESTS or node.args or node.kwargs:
            yield node.lineno, "unknown-test", node.name[:60]
        case nodes.CondExpr() if node.expr2 is None:
            # What it says then would be nothing at all, which is a mistake only at sending.
            yield node.lineno, "else-missing", ""
        case nodes.Compare() if not _comparable(node):
            yield node.lineno, "not-allowed", "compare"
    for child in node.iter_child_nodes():
        yield from _unfit(child, facts, depth + 1)


def _comparable(node: nodes.Compare) -> bool:
    """Anything is the same as something or is not; only numbers are more or less."""

    def number(one: nodes.Node) -> bool:
        if isinstance(one, nodes.Const):
            return type(one.value) is int
        return isinstance(one, nodes.Name) and one.name in NUMBERS

    sides = [node.expr, *(one.expr for one in node.ops)]
    return all(one.op in ("eq", "ne") for one in node.ops) or (
        all(one.op in ("gt", "gteq", "lt", "lteq", "eq", "ne") for one in node.ops) and all(map(number, sides))
    )


def checked(told: Told, text: Text) -> texts.Message:
    """The message that a text makes of some facts. Raises `BadTemplate` for a text that could not always be sent."""
    found = problems(told.kind, told.channel, text)
    if (text.subject is not None) != (told.channel in ("email", "push", "app")):
        found.append(
            {"part": "subject", "line": 1, "why": "subject-missing" if not text.subject else "no-subject", "what": ""}
        )
    if found:
        raise errors.BadTemplate(problems=found)
    message = texts.read(replace(told, text=text))
    sizes = {"subject": (message.subject or "", LONGEST_SUBJECT), "body": (message.body, LONGEST[told.channel])}
    for part, (result, most) in sizes.items():
        if len(result) > most:
            found.append({"part": part, "line": 1, "why": "too-long", "what": str(most)})
        elif not result and (part == "body" or text.subject is not None):
            found.append({"part": part, "line": 1, "why": "empty", "what": ""})
    if found:
        raise errors.BadTemplate(problems=found)
    return message


async def _sample(conn: Connection, ask: OfText, text: Text, now: datetime, base_url: str, recipient: str) -> Told:
    """Made-up facts of the institution, so that a text can be seen as its reader would see it."""
    row = await conn.fetchrow(HOUSE, ask.institution_id)
    assert row is not None
    zone = ZoneInfo(row["zone"])
    starts = datetime.combine(now.astimezone(zone).date() + timedelta(days=3), time(10, 30), zone).astimezone(UTC)
    facts = {
        **SAMPLE[ask.language],
        "institution": row["name"],
        "zone": row["zone"],
        "starts_at": starts.isoformat(),
        "ends_at": (starts + timedelta(minutes=30)).isoformat(),
        "was_at": (starts - timedelta(days=1)).isoformat(),
        "until_at": (starts - timedelta(days=2)).isoformat(),
    }
    if ask.kind != "rescheduled":
        facts["was_at"] = None
    return Told(0, ask.kind, ask.channel, recipient, ask.language, facts, base_url, now, text=text, proof="0" * 32)


HOUSE = "select name, zone from institutions where id = $1"
_SAME: Final[Mapping[str, Any]] = {
    "number": "A-20310406-0007",
    "mode": "in_person",
    "token": "A017",
    "least": 20,
    "most": 35,
    "minutes": 10,
    "origin": 0,
    "moves": 0,
}
SAMPLE: Final[Mapping[str, Mapping[str, Any]]] = {
    "en": {
        **_SAME,
        "patient": "Sam Carter",
        "doctor": "Dr. Ames",
        "location": "Main building",
        "desk": "Room 3",
        "reason": "The doctor is ill.",
    },
    "ar": {
        **_SAME,
        "patient": "ليلى حداد",
        "doctor": "د. أميس",
        "location": "المبنى الرئيسي",
        "desk": "الغرفة 3",
        "reason": "الطبيب مريض.",
    },
    "hi": {
        **_SAME,
        "patient": "मीरा शर्मा",
        "doctor": "डॉ. एम्स",
        "location": "मुख्य भवन",
        "desk": "कमरा 3",
        "reason": "डॉक्टर अस्वस्थ हैं।",
    },
}


async def preview_text(view: Read, actor: Actor, ask: TextDraft) -> TextPreview:
    """A text as its reader would see it. Raises `NotFound`, `BadTemplate`."""
    await access_institution(view.conn, actor, ask.institution_id)
    text = _text(ask)
    told = await _sample(view.conn, ask, text, view.now, "https://clinic.example", "reader@clinic.example")
    message = checked(told, text)
    parts = rules.segments(message.body) if ask.channel == "sms" else None
    return TextPreview(subject=message.subject, body=message.body, html=message.html, segments=parts)


def _text(ask: TextDraft) -> Text:
    return Text(ask.subject or None, ask.body)


def _carried(ask: OfText) -> None:
    """Raise `NotFound` where the kind does not go over the channel."""
    if ask.channel not in rules.carried(ask.kind) or texts.ours(ask.kind, ask.channel, ask.language) is None:
        raise errors.NotFound("There is no such text.")


# Changing them


async def change_text(tx: Tx, actor: Actor, ask: TextDraft) -> TextOf:
    """Say it in the institution's own words from now on. Raises `NotFound`, `BadTemplate`."""
    await _hold(tx, actor, ask)
    text = _text(ask)
    checked(await _sample(tx.conn, ask, text, tx.now, tx.base_url, "reader@clinic.example"), text)
    key = (ask.institution_id, ask.kind, ask.channel, ask.language)
    before = await tx.conn.fetchrow(OWN_TEXT, *key)
    await tx.conn.execute(CHANGE, *key, text.subject, text.body, tx.now, actor.key)
    after = {"subject": text.subject, "body": text.body}
    _tell(tx, ask, dict(before) if before else None, after)
    ours = texts.ours(ask.kind, ask.channel, ask.language)
    assert ours is not None
    return _text_of(ask.kind, ask.channel, text, ours)


async def reset_text(tx: Tx, actor: Actor, ask: OfText) -> TextOf:
    """Say it in our words again. Raises `NotFound`."""
    await _hold(tx, actor, ask)
    before = await tx.conn.fetchrow(RESET, ask.institution_id, ask.kind, ask.channel, ask.language)
    if before:
        _tell(tx, ask, dict(before), None)
    ours = texts.ours(ask.kind, ask.channel, ask.language)
    assert ours is not None
    return _text_of(ask.kind, ask.channel, None, ours)


async def _hold(tx: Tx, actor: Actor, ask: OfText) -> None:
    await access_institution(tx.conn, actor, ask.institution_id)
    _carried(ask)
    await hold(tx, ask.institution_id)


def _tell(tx: Tx, ask: OfText, before: dict[str, Any] | None, after: dict[str, Any] | None) -> None:
    tx.about(f"text:{ask.kind}/{ask.channel}/{ask.language}", before, after)
    tx.append(events.admin(ask.institution_id), events.SettingsChanged(level="institution", of=ask.institution_id))


OWN_TEXT = """
select subject, body from templates where institution_id = $1 and kind = $2 and channel = $3 and language = $4
"""
CHANGE = """
insert into templates (institution_id, kind, channel, language, subject, body, changed_at, changed_by)
values ($1, $2, $3, $4, $5, $6, $7, $8)
on conflict (institution_id, kind, channel, language) do update
set subject = excluded.subject, body = excluded.body, changed_at = excluded.changed_at, changed_by = excluded.changed_by
"""
RESET = """
delete from templates where institution_id = $1 and kind = $2 and channel = $3 and language = $4
returning subject, body
"""


# Trying them


class TryText(TextDraft):
    """A text to send to oneself: by mail to one's own address, over any other channel to a number that one gives."""

    contact: Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^\+[1-9][0-9]{6,14}$")] | None = Field(
        default=None, repr=False, description="A telephone number with its country's prefix, where it is to go to one."
    )


class TextTried(Reply):
    """The message is on its way."""

    notice_channel: Channel


async def try_text(tx: Tx, actor: Actor, ask: TryText) -> TextTried:
    """Send a text to oneself, with made-up facts. Raises `NotFound`, `BadTemplate`, `InvalidRequest`."""
    await access_institution(tx.conn, actor, ask.institution_id)
    _carried(ask)
    tx.institution_id = ask.institution_id
    text = _text(ask)
    told = await _sample(tx.conn, ask, text, tx.now, tx.base_url, "reader@clinic.example")
    checked(told, text)
    row = await tx.conn.fetchrow(WAY_TO, actor.id, actor.key)
    email, pushed = (row["email"], row["pushed"]) if row else (None, False)
    recipient = ask.contact if ask.channel in rules.SPOKEN else email
    if recipient is None:
        raise wrong(("/contact", "This field is needed."))
    if ask.channel in ("push", "app") and not pushed:
        raise wrong(("/channel", "No browser of yours takes pushes yet.", "no-browser"))
    facts = {**told.facts, "draft": [text.subject, text.body]}
    # In the app it would be shown to patients alone: whoever tries it has it pushed.
    channel: Channel = "push" if ask.channel == "app" else ask.channel
    wanted = Wanted(
        kind=ask.kind,
        cause=f"try:{uuid4().hex}",
        person=actor.key,
        channel=channel,
        due_at=tx.now,
        institution_id=ask.institution_id,
        recipient=recipient,
        language=ask.language,
        facts=facts,
        worthless_at=tx.now + timedelta(minutes=15),
    )
    await write(tx, [wanted])
    return TextTried(notice_channel=channel)


WAY_TO = """
select u.email, exists (select from push_subscriptions s where s.person = $2) as pushed from users u where u.id = $1
"""

COMMANDS: list[Command[Any, Any]] = [
    Command("change-text", change_text, TextDraft, TextOf, ADMINS, "POST /institutions/{institution_id}/texts"),
    Command("reset-text", reset_text, OfText, TextOf, ADMINS, "POST /institutions/{institution_id}/texts/reset"),
    Command("try-text", try_text, TryText, TextTried, ADMINS, "POST /institutions/{institution_id}/texts/try"),
]
QUERIES: list[Query[Any, Any]] = [
    Query("list-texts", list_texts, TextsOf, Texts, ADMINS, "GET /institutions/{institution_id}/texts"),
    Query(
        "preview-text",
        preview_text,
        TextDraft,
        TextPreview,
        ADMINS,
        "POST /institutions/{institution_id}/texts/preview",
    ),
]
