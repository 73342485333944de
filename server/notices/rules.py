"""Who is told what, how and when: decisions about notices, without IO and without a clock."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from typing import Final, Literal, get_args
from zoneinfo import ZoneInfo

Channel = Literal["email", "sms", "whatsapp", "voice", "push", "app"]
Kind = Literal[
    "sign-in-code",
    "booking-confirmed",
    "request-accepted",
    "request-rejected",
    "request-expired",
    "rescheduled",
    "cancelled",
    "reminder",
    "you-are-next",
    "you-are-called",
    "wait-grown",
    "waitlist-offer",
    "waitlist-offer-ended",
    "no-show",
    "thank-you",
    "emergency-alert",
]
CHANNELS: Final[tuple[Channel, ...]] = get_args(Channel)
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

TOPICS: Final[Mapping[str, tuple[Kind, ...]]] = {
    "appointments": (
        "booking-confirmed",
        "request-accepted",
        "request-rejected",
        "request-expired",
        "rescheduled",
        "cancelled",
    ),
    "reminders": ("reminder",),
    "queue": ("you-are-next", "you-are-called", "wait-grown"),
    "waitlist": ("waitlist-offer", "waitlist-offer-ended"),
    "afterwards": ("no-show", "thank-you"),
}
"""What a patient may do without, kind by kind; whatever stands in none of these is sent to whoever asked for it."""
CHOICES: Final = frozenset(kind for kinds in TOPICS.values() for kind in kinds)

SPOKEN: Final[tuple[Channel, ...]] = ("sms", "whatsapp", "voice")
"""Those that reach a telephone number."""
RINGS: Final = frozenset({*SPOKEN, "push"})
"""Those that wake somebody up. A letter lies there until morning, and the app is looked at by whoever is awake."""
CAN_WAIT: Final = frozenset({*TOPICS["appointments"], *TOPICS["afterwards"], "reminder", "waitlist-offer-ended"})
"""Kinds that keep the quiet hours: codes, calls, offers and emergencies never wait."""
CARRIED: Final[Mapping[str, tuple[Channel, ...]]] = {
    # Nobody reads mail in a waiting room, and a code that is read aloud is read by everybody.
    **dict.fromkeys(TOPICS["queue"], ("push", "sms", "whatsapp", "voice", "app")),
    "sign-in-code": ("email", "sms"),
    "emergency-alert": ("push", "email"),
}
"""The channels that carry a kind, where not all of them do; best first."""
PUSHED: Final = frozenset({*TOPICS["queue"], "reminder", "waitlist-offer"})
"""Kinds that are pushed to whoever lets the page push, without having said so kind by kind."""


def carried(kind: str) -> tuple[Channel, ...]:
    """The channels that may carry a kind, best first."""
    return CARRIED.get(kind, ("email", "sms", "push", "whatsapp", "voice", "app"))


def topic_of(kind: str) -> tuple[Kind, ...]:
    """The kinds that go with one: who does without it does without these."""
    return next((kinds for kinds in TOPICS.values() if kind in kinds), ())


@dataclass(frozen=True, slots=True)
class Reach:
    """How somebody can be reached, and what they said of it."""

    email: str | None = None
    phone: str | None = None
    pushed: bool = False
    """Whether a browser of theirs takes pushes."""
    account: bool = False
    wishes: Sequence[str] = ()
    """The channels that their record names, best first."""
    choices: Mapping[tuple[str, str], bool] = field(default_factory=dict)
    """What they said of a (kind, channel)."""
    stopped: Collection[str] = ()
    """The channels over which their number said STOP."""

    def there(self, channel: str) -> bool:
        """Whether the channel leads to them at all."""
        known = {"email": bool(self.email), "push": self.pushed, "app": self.account}
        return known.get(channel, bool(self.phone)) and channel not in self.stopped

    def allows(self, kind: str, channel: Channel) -> bool:
        """Whether a kind may come over a channel: as they said, or as their record has it."""
        if not self.there(channel):
            return False
        if kind in CHOICES and (said := self.choices.get((kind, channel))) is not None:
            return said
        if channel == "app":
            return True
        if channel == "push":
            return kind in PUSHED or "push" in self.wishes
        return channel in self.wishes or (not self.wishes and channel in ("email", "sms"))


def channel_of(contact: str) -> Channel:
    """The channel that reaches a contact."""
    return "email" if "@" in contact else "sms"


def told_over(kind: str, reach: Reach, offered: Collection[str] = CHANNELS) -> list[Channel]:
    """The channels over which somebody is told of a kind.

    Those they asked for, as far as they lead to them; of one who asked for none, mail or without an address SMS. In a
    queue, where seconds count and messages cost, a push, or else the first that they asked for.
    """
    possible = [one for one in carried(kind) if one in offered and reach.there(one)]
    said = {one for one in possible if kind in CHOICES and reach.choices.get((kind, one)) is True}
    chosen = {one for one in possible if reach.allows(kind, one)}
    if kind in TOPICS["queue"]:
        direct = [one for one in possible if one in chosen and (one == "push" or one in reach.wishes or one in said)]
        return [*direct[:1], *(one for one in possible if one in said and one not in direct[:1]), *_app(chosen)]
    if not reach.wishes and not said & {"email", "sms"} and {"email", "sms"} <= chosen:
        chosen -= {"sms"}
    letters: list[Channel] = [one for one in possible if one in chosen and one != "app"]
    if not letters and not any((kind, one) in reach.choices for one in ("email", "sms")):
        # Their record names only what does not lead to them: better told some other way than not at all.
        letters = list(filter(("email", "sms").__contains__, possible))[:1]
    return [*letters, *_app(chosen)]


def _app(chosen: Collection[Channel]) -> list[Channel]:
    return ["app"] if "app" in chosen else []


def next_channel(
    kind: str, reach: Reach, tried: Collection[str], offered: Collection[str] = CHANNELS
) -> Channel | None:
    """The channel by which to tell somebody whom the tried ones did not reach, best first; None where none is left.

    Only what they said no to stays closed: one who can be reached no other way is told by what they did not name.
    """
    order = [*(one for one in reach.wishes if one in carried(kind)), *carried(kind)]
    for one in order:
        said_no = kind in CHOICES and reach.choices.get((kind, one)) is False
        costly = one in ("whatsapp", "voice") and one not in reach.wishes
        if one in tried or one == "app" or one not in offered or said_no or costly:
            continue
        channel = next(known for known in CHANNELS if known == one)
        if reach.there(channel):
            return channel
    return None


# Reminders


def reminders(
    wanted: Iterable[tuple[Channel, timedelta]],
    reach: Reach,
    starts_at: datetime,
    now: datetime,
    offered: Collection[str] = CHANNELS,
) -> list[tuple[Channel, timedelta, datetime]]:
    """The reminders of an appointment that are still to come: over which channel, how long before, and so when."""
    return [
        (channel, before, starts_at - before)
        for channel, before in wanted
        if channel in offered and reach.allows("reminder", channel) and starts_at - before > now
    ]


def label(before: timedelta) -> str:
    """How a cause names a reminder: `24h`, `90m`."""
    minutes = int(before.total_seconds() // 60)
    return f"{minutes}m" if minutes % 60 else f"{minutes // 60}h"


# Quiet hours


@dataclass(frozen=True, slots=True)
class Quiet:
    """The hours of somebody's day in which nothing wakes them that can wait, by the clock where they are."""

    zone: str
    begins: time
    ends: time

    def holds(self, at: datetime) -> bool:
        """Whether it is quiet at an instant."""
        here = at.astimezone(ZoneInfo(self.zone)).time()
        if self.begins <= self.ends:
            return self.begins <= here < self.ends
        return here >= self.begins or here < self.ends

    def over(self, at: datetime) -> datetime:
        """The first instant from then on at which it is not quiet; that very one where it is not."""
        if not self.holds(at):
            return at
        return min(one for one in self._clock_shows(self.ends, at, (0, 1, 2)) if one >= at and not self.holds(one))

    def before(self, at: datetime) -> datetime | None:
        """A few minutes before the quiet hours began that an instant lies in; None where that is quiet as well."""
        begun = [one for one in self._clock_shows(self.begins, at, (-2, -1, 0)) if one <= at]
        last = max(begun) - SOONER
        return None if self.holds(last) else last

    def _clock_shows(self, wall: time, at: datetime, days: Sequence[int]) -> list[datetime]:
        """Every instant around then at which the local clock shows this, or jumps over it."""
        zone = ZoneInfo(self.zone)
        today = at.astimezone(zone).date()
        found = []
        for day in days:
            for fold in (0, 1):
                local = datetime.combine(today + timedelta(days=day), wall, zone).replace(fold=fold)
                one = local.astimezone(UTC)
                found.append(one if one.astimezone(zone).time() == wall else _jump(local))
        return found


SOONER: Final = timedelta(minutes=5)


def _jump(local: datetime) -> datetime:
    """The instant at which the clock is put forward over a local time that no clock ever shows."""
    early, late = (local.replace(fold=fold).astimezone(UTC) for fold in (1, 0))
    offset = early.astimezone(local.tzinfo).utcoffset()
    while late - early > timedelta(seconds=1):
        middle = early + (late - early) / 2
        if middle.astimezone(local.tzinfo).utcoffset() == offset:
            early = middle
        else:
            late = middle
    return late.replace(microsecond=0)


def due(kind: str, channel: str, at: datetime, quiet: Quiet | None, latest: datetime | None = None) -> datetime:
    """When a notice is to be there that is wanted at an instant: after the quiet hours, where it can wait.

    What would be over by `latest` does not wait.
    """
    if quiet is None or channel not in RINGS or kind not in CAN_WAIT:
        return at
    later = quiet.over(at)
    return at if latest is not None and later >= latest else later


def reminder_due(channel: str, at: datetime, starts_at: datetime, now: datetime, quiet: Quiet | None) -> datetime:
    """When a reminder is to be there: after the quiet hours, as long as half of its time is left; else before them."""
    if quiet is None or channel not in RINGS or not quiet.holds(at):
        return at
    later = quiet.over(at)
    if later <= at + (starts_at - at) / 2:
        return later
    sooner = quiet.before(at)
    return sooner if sooner is not None and sooner > now else at


# Sending

RETRIES: Final = 8
"""How often a notice is tried before it counts as failed; with the waits between them, for about two hours."""
FIRST_WAIT: Final = timedelta(seconds=2)
LONGEST_WAIT: Final = timedelta(minutes=40)
LEASE: Final = timedelta(seconds=30)
"""How long a worker has for the notices that it claimed; what it has not told of by then is tried again."""


def wait_after(attempt: int, chance: float) -> timedelta | None:
    """How long to wait after a try that failed, or None: no more. Doubled each time, and spread by `chance` (0 to 1).

    "Full jitter" between half and the whole wait: many that failed together do not come back together.
    """
    if attempt >= RETRIES:
        return None
    whole: timedelta = min(LONGEST_WAIT, FIRST_WAIT * 4 ** (attempt - 1))
    return whole * (0.5 + chance / 2)


LANGUAGES: Final = ("en", "ar", "hi")


def language(*wishes: str | None) -> str:
    """The first of these languages that there are texts in."""
    for wish in wishes:
        code = re.split(r"[-_]", (wish or "").lower())[0]
        if code in LANGUAGES:
            return code
    return LANGUAGES[0]


# The length of a text message

GSM: Final = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿"
    "abcdefghijklmnopqrstuvwxyzäöñüà"
)
GSM_TWICE: Final = frozenset("^{}\\[~]|€\f")
"""Letters of the default alphabet of GSM 03.38 that take two places."""


def segments(text: str) -> int:
    """How many text messages a text is sent as, and paid as: of 160 letters of GSM 03.38, or of 70 of any other."""
    if set(text) <= GSM | GSM_TWICE:
        size, whole, part = sum(2 if one in GSM_TWICE else 1 for one in text), 160, 153
    else:
        size, whole, part = len(text.encode("utf-16-le")) // 2, 70, 67
    return 1 if size <= whole else -(-size // part)
