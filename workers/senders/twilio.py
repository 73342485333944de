"""The way out over Twilio: text messages, WhatsApp messages and calls, by its REST API of 2010-04-01.

Twilio takes no idempotency key. So a message whose answer was lost, or whose worker died, is looked for before it is
sent again: one to the same number, with the same text, made since the first try, that is no other notice's and has not
failed, is this one. A request without an answer may still be taken after we gave up on it, so nobody looks before it
has had the time to: what is left is one that Twilio takes later still.
"""

import contextlib
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final
from xml.sax.saxutils import escape

import httpx2
import orjson

from server.notices import Message, sending
from server.store import Store
from workers.senders import Later, Refused

TIMEOUT = 4.5
"""Seconds that each answer may take: a look and a message fit into what one hand-over may take."""
SETTLES = 15.0
"""Seconds after which a request that we gave up on has been taken, or never will be."""
VOICES: Final = {"ar": "arb", "hi": "hi-IN"}
"""The languages of `<Say>` where they are called something else than by us."""
LOST: Final = frozenset({"failed", "undelivered", "canceled", "busy", "no-answer"})
"""States of messages and calls that have not arrived."""


class TwilioSender:
    """One account with Twilio; `numbers` says whom each channel's messages come from."""

    provider = "twilio"

    def __init__(
        self,
        store: Store,
        client: httpx2.AsyncClient,
        url: str,
        account: str,
        token: str,
        numbers: dict[str, str],
        callbacks: str = "",
        template: str = "",
    ) -> None:
        self.store, self.client, self.numbers = store, client, numbers
        self.url = f"{url.rstrip('/')}/2010-04-01/Accounts/{account}"
        self.auth = httpx2.BasicAuth(account, token)
        self.callbacks = callbacks
        """Where Twilio is to say what becomes of a message; empty where it cannot reach us."""
        self.template = template
        """The content template that WhatsApp messages are put into; empty where they go as free text."""

    async def send(self, message: Message, key: str, since: datetime | None = None) -> str | None:
        """Hand it over; answers its SID. Raises `Refused` for what Twilio says can never be sent, else `Later`."""
        kind = "Calls" if message.channel == "voice" else "Messages"
        form = self._form(message, key)
        if since is not None and (sid := await self._found(kind, form, since)):
            return sid
        answer = await self._ask("POST", kind, data=form)
        return str(answer["sid"])

    def _form(self, message: Message, key: str) -> dict[str, str]:
        sender = self.numbers[message.channel]
        form = {"To": message.recipient}
        if message.channel == "whatsapp":
            form = {"To": f"whatsapp:{message.recipient}", "From": f"whatsapp:{sender}"}
        else:
            form["MessagingServiceSid" if sender.startswith("MG") else "From"] = sender
        if message.channel == "voice":
            form["Twiml"] = spoken(message)
        elif message.channel == "whatsapp" and self.template:
            # A template's variable is one line.
            line = " ".join(message.body.split())
            form |= {"ContentSid": self.template, "ContentVariables": orjson.dumps({"1": line}).decode()}
        else:
            form["Body"] = message.body
        if self.callbacks:
            form["StatusCallback"] = f"{self.callbacks}/{key}"
        return form

    async def _found(self, kind: str, form: dict[str, str], since: datetime) -> str | None:
        """The SID of a message that an earlier try has handed over, if one did."""
        listed = (await self._ask("GET", kind, params={"To": form["To"], "PageSize": "50"}))[kind.lower()]
        same = [one for one in listed if _is(one, form, since)]
        others = await sending.known(self.store.pool, [one["sid"] for one in same])
        return next((str(one["sid"]) for one in same if one["sid"] not in others), None)

    async def _ask(self, method: str, kind: str, **what: Any) -> dict[str, Any]:
        try:
            answer = await self.client.request(
                method, f"{self.url}/{kind}.json", auth=self.auth, timeout=TIMEOUT, follow_redirects=False, **what
            )
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout) as away:
            raise Later(type(away).__name__, down=True) from away
        except httpx2.HTTPError as lost:
            raise Later(type(lost).__name__, down=True, settles=SETTLES) from lost
        told: Any = None
        with contextlib.suppress(ValueError):
            told = answer.json()
        if answer.status_code < 300 and isinstance(told, dict):
            return told
        raise _meant(answer, told if isinstance(told, dict) else {})


def spoken(message: Message) -> str:
    """What a call says, twice: whoever picks up is seldom listening yet."""
    language = VOICES.get(message.language, "en-GB")
    say = f'<Say language="{language}">{escape(message.body)}</Say>'
    return f'<?xml version="1.0" encoding="UTF-8"?><Response>{say}<Pause length="1"/>{say}</Response>'


def _is(listed: dict[str, Any], form: dict[str, str], since: datetime) -> bool:
    """Whether a listed message or call may be the one that was to be sent; of a call Twilio does not tell the words."""
    made = parsedate_to_datetime(listed["date_created"])
    text = "Body" not in form or listed.get("body") == form["Body"]
    return bool(text and listed.get("to") == form["To"] and made >= since and listed.get("status") not in LOST)


def _meant(answer: httpx2.Response, told: dict[str, Any]) -> Exception:
    """What a refusal means. Only where Twilio names what is wrong with this message is it for good."""
    text = f"{answer.status_code} {told.get('code', '')} {told.get('message', '')}".strip()
    if answer.status_code == 429:
        return Later(text, wait=waits(answer))
    if answer.status_code == 400 and told.get("code"):
        return Refused(text)
    return Later(text, down=True, settles=SETTLES if answer.status_code >= 500 else 0.0)


def waits(answer: httpx2.Response) -> float:
    """The seconds for which a provider asks to be left alone: a number or a date (RFC 9110), else a moment."""
    given = answer.headers.get("retry-after", "")
    if given.isdigit():
        return float(given)
    try:
        until = parsedate_to_datetime(given)
        return max(0.0, (until - datetime.now(until.tzinfo)).total_seconds())
    except ValueError:
        return 1.0
