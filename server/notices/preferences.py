"""What a patient wants to be told, how and when; and the ways out of it: a link in a message, the word STOP.

Invariants: whoever says no is told nothing more of it from that instant on, also nothing that was written before: the
patient's row is held, so no notice is written meanwhile by what they said earlier. Who wrote it down, and when, stays.
"""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID
from zoneinfo import available_timezones

from pydantic import AfterValidator, Field, StringConstraints

from server import errors
from server.access import ANYBODY, STAFF, Actor, Role
from server.asks import Ask, Id, Reply
from server.notices import rules
from server.notices.following import remind_again
from server.notices.levels import keep, stored_at
from server.notices.rules import CHANNELS, CHOICES, TOPICS, Channel, Kind
from server.notices.telling import PERSONAL, reader_of
from server.settings import Reminder, WallTime, changed
from server.store import Command, Connection, Query, Read, Tx

ZONES = available_timezones()


def _known_zone(zone: str) -> str:
    if zone not in ZONES:
        raise ValueError("There is no such time zone.")
    return zone


def _may_be_refused(kind: str) -> str:
    if kind not in CHOICES:
        raise ValueError("That is always sent.")
    return kind


class NoticeChoice(Ask):
    """Whether a kind of message may come over a channel; null goes back to what the record says."""

    kind: Annotated[Kind, AfterValidator(_may_be_refused)]
    channel: Channel
    allowed: bool | None


class Wishes(Ask):
    """What a patient wants; what is left out stays as it is, null goes back to what the institution has set."""

    choices: list[NoticeChoice] = Field(default=[], max_length=len(CHOICES) * len(CHANNELS))
    reminders: Annotated[list[Reminder], Field(max_length=12)] | None = None
    quiet_from: WallTime | None = None
    quiet_to: WallTime | None = None
    zone: Annotated[str, Field(max_length=60), AfterValidator(_known_zone)] | None = None
    language: Literal["en", "ar", "hi"] | None = None


class PatientWishes(Wishes):
    """The same, written down for a patient by somebody who works there."""

    patient_id: Id


class NoticeWay(Reply):
    """A channel: whether it leads to the patient, whether the house offers it, whether their number said STOP."""

    channel: Channel
    there: bool
    offered: bool
    stopped: bool


class NoticeAllowed(Reply):
    """A kind of message over a channel: whether it comes, and whether the patient said so."""

    topic: str
    kind: str
    channel: str
    allowed: bool
    said: bool | None
    source: str | None
    at: datetime | None


class Preferences(Reply):
    """What a patient is told, how and when; `origin` tells of each setting whose it is."""

    patient_id: int
    ways: list[NoticeWay]
    items: list[NoticeAllowed]
    reminders: list[Reminder]
    quiet_from: WallTime
    quiet_to: WallTime
    zone: str
    language: str | None
    own: list[str] = Field(description="What the patient set for themselves.")


class MyPreferences(Ask):
    """Nothing to say."""


class PatientsPreferences(Ask):
    """One patient."""

    patient_id: Id


async def my_preferences(view: Read, actor: Actor, ask: MyPreferences) -> Preferences:
    """What the asker is told, how and when."""
    return await preferences_of(view.conn, int(actor.patient_id or 0))


async def patient_preferences(view: Read, actor: Actor, ask: PatientsPreferences) -> Preferences:
    """What a patient is told, how and when. Raises `NotFound`."""
    await _access(view.conn, actor, ask.patient_id)
    return await preferences_of(view.conn, ask.patient_id)


async def _access(conn: Connection, actor: Actor, patient_id: int) -> int:
    """The institution of a patient whose record the actor works with. Raises `NotFound`, `PatientMerged`."""
    row = await conn.fetchrow(PATIENT, patient_id)
    if row is None or not actor.within(row["institution_id"]):
        raise errors.NotFound("There is no such patient here.")
    if row["merged_into"] is not None:
        raise errors.PatientMerged(patient_id=row["merged_into"])
    return int(row["institution_id"])


PATIENT = "select institution_id, merged_into from patients where id = $1"


async def preferences_of(conn: Connection, patient_id: int) -> Preferences:
    """What a patient is told, how and when."""
    to = await reader_of(conn, patient_id)
    said = {(row["kind"], row["channel"]): row for row in await conn.fetch(SAID, patient_id)}
    own = await stored_at(conn, to.institution_id, None, patient_id)
    return Preferences(
        patient_id=patient_id,
        ways=[
            NoticeWay(
                channel=channel,
                there=to.reach.there(channel),
                offered=channel in to.settings.channels,
                stopped=channel in to.reach.stopped,
            )
            for channel in CHANNELS
        ],
        items=[
            _told(topic, kind, channel, to.reach, to.settings.channels, said.get((kind, channel)))
            for topic, kinds in TOPICS.items()
            for kind in kinds
            for channel in CHANNELS
            if channel in rules.carried(kind)
        ],
        reminders=to.settings.reminders,
        quiet_from=to.settings.quiet_from,
        quiet_to=to.settings.quiet_to,
        zone=to.quiet.zone,
        language=to.language,
        own=sorted(own),
    )


def _told(
    topic: str, kind: Kind, channel: Channel, reach: rules.Reach, offered: Collection[str], said: Any
) -> NoticeAllowed:
    allowed = reach.allows(kind, channel) if kind == "reminder" else channel in rules.told_over(kind, reach, offered)
    return NoticeAllowed(
        topic=topic,
        kind=kind,
        channel=channel,
        allowed=allowed and channel in offered,
        said=said["allowed"] if said else None,
        source=said["source"] if said else None,
        at=said["at"] if said else None,
    )


SAID = "select kind, channel, allowed, source, at from preferences where patient_id = $1"


# Saying so


async def set_preferences(tx: Tx, actor: Actor, ask: Wishes) -> Preferences:
    """Write down what the asker wants, and honour it at once."""
    return await _set(tx, actor, int(actor.patient_id or 0), ask, "patient")


async def set_patient_preferences(tx: Tx, actor: Actor, ask: PatientWishes) -> Preferences:
    """Write down what a patient wants, and honour it at once. Raises `NotFound`, `PatientMerged`."""
    await _access(tx.conn, actor, ask.patient_id)
    return await _set(tx, actor, ask.patient_id, ask, "staff")


async def _set(tx: Tx, actor: Actor, patient_id: int, ask: Wishes, source: str) -> Preferences:
    await hold_patient(tx.conn, patient_id)
    institution_id = await _access(tx.conn, actor, patient_id)
    tx.institution_id = institution_id
    await _choose(tx, actor, patient_id, [(one.kind, one.channel, one.allowed) for one in ask.choices], source)
    personal = ask.model_fields_set & {"reminders", "quiet_from", "quiet_to", *PERSONAL}
    if personal:
        before = await stored_at(tx.conn, institution_id, None, patient_id)
        after = changed(before, Wishes.model_validate(ask.model_dump(include=personal)))
        await keep(tx, institution_id, {name: after[name] for name in after if name != "choices"}, None, patient_id)
        tx.about(f"patient-notices:{patient_id}", before, after, patient=patient_id)
    await remind_again(tx, patient_id)
    return await preferences_of(tx.conn, patient_id)


async def hold_patient(conn: Connection, patient_id: int) -> None:
    """Have nobody write this patient a notice by what was wanted before: whoever is about to waits, or we for them."""
    await conn.execute(HOLD_PATIENT, patient_id)


HOLD_PATIENT = "select id from patients where id = $1 for update"


async def _choose(
    tx: Tx, actor: Actor, patient_id: int, choices: Collection[tuple[str, str, bool | None]], source: str
) -> None:
    """Note what was said of each (kind, channel), and take back what waits to be sent against it."""
    if not choices:
        return
    kinds, channels, allowed = (list(one) for one in zip(*choices, strict=True))
    rows = await tx.conn.fetch(SAID, patient_id)
    before = {f"{row['kind']}/{row['channel']}": row["allowed"] for row in rows}
    await tx.conn.execute(CHOOSE, patient_id, kinds, channels, allowed, source, actor.key, tx.now)
    await tx.conn.execute(UNSAY, patient_id, kinds, channels, allowed)
    after = {**before, **{f"{kind}/{channel}": said for kind, channel, said in choices}}
    tx.about(f"preferences:{patient_id}", before, _known(after), patient=patient_id)
    await tx.conn.execute(TAKE_BACK, patient_id, tx.now)


def _known(said: Mapping[str, bool | None]) -> dict[str, bool]:
    return {name: one for name, one in said.items() if one is not None}


CHOOSE = """
insert into preferences (patient_id, kind, channel, allowed, source, actor, at)
select $1, kind, channel, allowed, $5, $6, $7
from unnest($2::text[], $3::text[], $4::boolean[]) as c (kind, channel, allowed) where allowed is not null
on conflict (patient_id, kind, channel) do update
set allowed = excluded.allowed, source = excluded.source, actor = excluded.actor, at = excluded.at
"""
UNSAY = """
delete from preferences p using unnest($2::text[], $3::text[], $4::boolean[]) as c (kind, channel, allowed)
where p.patient_id = $1 and p.kind = c.kind and p.channel = c.channel and c.allowed is null
"""
# What a worker is handing over this very moment may still arrive; if that fails, it is not tried again.
TAKE_BACK = """
update notices n set state = case n.state when 'pending' then 'cancelled' else n.state end, worthless_at = $2
where n.patient_id = $1 and n.state in ('pending', 'sending') and exists (
    select from preferences p
    where p.patient_id = $1 and p.kind = n.kind and p.channel = n.channel and not p.allowed
)
"""


# By a link


Proof = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,18}\.[0-9a-f]{32}$")]


class EndMessages(Ask):
    """The end of a message's link; `everything`: nothing more over its channel that may be done without."""

    token: Proof = Field(repr=False)
    everything: bool = False
    back: bool = Field(default=False, description="Have them again after all.")


class BehindLink(Ask):
    """The end of a message's link."""

    token: Proof = Field(repr=False)


class Subscription(Reply):
    """What the message was, and whether any like it still come."""

    institution: str
    topic: str
    channel: str
    language: str
    subscribed: bool


async def unsubscribe(tx: Tx, actor: Actor, ask: EndMessages) -> Subscription:
    """Tell whoever the message was for nothing like it any more over its channel. Raises `LinkUnknown`."""
    row = await _behind(tx.conn, ask.token)
    patient_id = int(row["patient_id"])
    await hold_patient(tx.conn, patient_id)
    tx.institution_id = row["institution_id"]
    kinds = sorted(CHOICES) if ask.everything else rules.topic_of(row["kind"])
    carried = [kind for kind in kinds if row["channel"] in rules.carried(kind)]
    said = None if ask.back else False
    await _choose(tx, actor, patient_id, [(kind, row["channel"], said) for kind in carried], "link")
    await remind_again(tx, patient_id)
    return _subscription(row, ask.back)


async def subscription(view: Read, actor: Actor, ask: BehindLink) -> Subscription:
    """What a link in a message would end. Raises `LinkUnknown`."""
    row = await _behind(view.conn, ask.token)
    said = await view.conn.fetchval(SAID_NO, row["patient_id"], row["kind"], row["channel"])
    return _subscription(row, not said)


SAID_NO = "select not allowed from preferences where patient_id = $1 and kind = $2 and channel = $3"


def _subscription(row: Any, subscribed: bool) -> Subscription:
    topic = next(name for name, kinds in TOPICS.items() if row["kind"] in kinds)
    language = rules.language(row["language"], row["spoken"])
    return Subscription(
        institution=row["institution"], topic=topic, channel=row["channel"], language=language, subscribed=subscribed
    )


async def _behind(conn: Connection, token: str) -> Any:
    """The notice that a link stood in. Raises `LinkUnknown`."""
    number, _, proof = token.partition(".")
    row = await conn.fetchrow(BEHIND_LINK, int(number), UUID(proof))
    if row is None or row["kind"] not in CHOICES:
        raise errors.LinkUnknown()
    return row


BEHIND_LINK = """
select n.kind, n.channel, n.language, p.language as spoken, p.id as patient_id, n.institution_id, i.name as institution
from notices n join patients q on q.id = n.patient_id join patients p on p.id = coalesce(q.merged_into, q.id)
join institutions i on i.id = n.institution_id
where n.id = $1 and n.opens = $2
"""


# By a word


async def stop(conn: Connection, channel: str, phone: str, now: datetime) -> None:
    """Send nothing more to a number over a channel, whoever's it is, from this instant on."""
    await conn.execute(STOP, channel, phone, now)
    await conn.execute(TAKE_BACK_STOPPED, channel, phone, now)


async def start(conn: Connection, channel: str, phone: str) -> None:
    """Send to a number again that had said STOP."""
    await conn.execute(START, channel, phone)


STOP = "insert into opt_outs (channel, recipient, at) values ($1, $2, $3) on conflict do nothing"
START = "delete from opt_outs where channel = $1 and recipient = $2"
TAKE_BACK_STOPPED = """
update notices n set state = case n.state when 'pending' then 'cancelled' else n.state end,
    secret = case n.state when 'pending' then null else n.secret end, worthless_at = $3
where n.channel = $1 and n.state in ('pending', 'sending') and (
    n.recipient = $2
    or (n.recipient is null and n.patient_id in (select p.id from patients p where p.phone = $2))
)
"""

COMMANDS: list[Command[Any, Any]] = [
    Command("set-preferences", set_preferences, Wishes, Preferences, frozenset({Role.patient}), "POST /preferences"),
    Command(
        "set-patient-preferences",
        set_patient_preferences,
        PatientWishes,
        Preferences,
        STAFF,
        "POST /patients/{patient_id}/preferences",
    ),
    Command("end-messages", unsubscribe, EndMessages, Subscription, ANYBODY, "POST /unsubscribe"),
]
QUERIES: list[Query[Any, Any]] = [
    Query("my-preferences", my_preferences, MyPreferences, Preferences, frozenset({Role.patient}), "GET /preferences"),
    Query(
        "patient-preferences",
        patient_preferences,
        PatientsPreferences,
        Preferences,
        STAFF,
        "GET /patients/{patient_id}/preferences",
        patients=lambda reply: [reply.patient_id],
    ),
    # A link's end opens something: it is asked in the body.
    Query("show-subscription", subscription, BehindLink, Subscription, ANYBODY, "POST /unsubscribe/show"),
]
