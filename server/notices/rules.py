"""Who is told what, how and when: decisions about notices, without IO and without a clock."""

import re
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Final, Literal

Channel = Literal["email", "sms", "whatsapp", "voice", "push"]
Kind = Literal[
    "sign-in-code",
    "booking-confirmed",
    "request-accepted",
    "request-rejected",
    "request-expired",
    "rescheduled",
    "cancelled",
    "reminder",
]

REMINDERS: Final[tuple[tuple[Channel, timedelta], ...]] = (
    ("email", timedelta(hours=24)),
    ("email", timedelta(hours=1)),
    ("sms", timedelta(hours=2)),
    ("push", timedelta(hours=1)),
)
"""How long before an appointment each channel reminds of it."""

RETRIES: Final = 8
"""How often a notice is tried before it counts as failed; with the waits between them, for about two hours."""
FIRST_WAIT: Final = timedelta(seconds=2)
LONGEST_WAIT: Final = timedelta(minutes=40)
LEASE: Final = timedelta(seconds=30)
"""How long a worker has for the notices that it claimed; what it has not told of by then is tried again."""


def channel_of(contact: str) -> Channel:
    """The channel that reaches a contact."""
    return "email" if "@" in contact else "sms"


def told_over(wanted: Collection[str], email: str | None, phone: str | None) -> list[Channel]:
    """The channels over which a person is told of a change.

    Those they asked for, as far as there is a contact for them; otherwise by e-mail, or without an address by SMS.
    """
    there: list[Channel] = [*(["email"] if email else []), *(["sms"] if phone else [])]  # type: ignore[list-item]
    return [one for one in there if one in wanted] or there[:1]


def reminders(
    wanted: Collection[str], email: str | None, phone: str | None, starts_at: datetime, now: datetime
) -> list[tuple[Channel, timedelta, datetime]]:
    """The reminders of an appointment that are still to come: over which channel, how long before, and so when."""
    there = {"email": bool(email), "sms": bool(phone)}
    chosen = {one for one, is_there in there.items() if is_there and (not wanted or one in wanted)}
    return [
        (channel, before, starts_at - before)
        for channel, before in REMINDERS
        if channel in chosen and starts_at - before > now
    ]


def label(before: timedelta) -> str:
    """How a cause names a reminder: `24h`."""
    return f"{int(before.total_seconds() // 3600)}h"


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
