"""What providers tell us: what became of a message, and that somebody wants no more of them.

Invariants: nothing is believed that is not signed with the account's token, for the very address that it came to; each
message of Twilio's may come twice, late and in any order: what has arrived stays so, and a message says something only
of the notice that it was sent for.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import cast
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from server import errors, logs
from server.config import Config
from server.notices.instead import go_another_way
from server.notices.preferences import start, stop
from server.store import LOST, Connection, Store

log = logs.get(__name__)

STATUS = "/callbacks/twilio/{key}"
REPLIES = "/callbacks/twilio"
"""Where people's answers to our text messages come: entered as the numbers' webhook."""
MOST = 16 * 1024
"""Bytes of a callback that are read."""
ARRIVED = frozenset({"delivered", "read", "completed"})
GONE = frozenset({"failed", "undelivered", "canceled", "busy", "no-answer"})
KEY = re.compile(r"notice-(\d{1,18})")
NOTHING = '<?xml version="1.0" encoding="UTF-8"?><Response/>'

STOP = frozenset(
    ["STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "REVOKE", "OPTOUT", "توقف", "إيقاف", "रोकें", "बंद"]
)
START = frozenset(["START", "UNSTOP", "ابدأ", "शुरू"])
"""The words by which somebody ends the messages to their number, and has them again; the first are every carrier's."""


def signature(token: str, url: str, form: Mapping[str, str]) -> str:
    """Twilio's signature of a form that it posts to an address: HMAC-SHA1 over both, the fields sorted by name."""
    signed = url + "".join(name + form[name] for name in sorted(form))
    return base64.b64encode(hmac.new(token.encode(), signed.encode(), hashlib.sha1).digest()).decode()


async def note_status(store: Store, notice_id: int, form: Mapping[str, str]) -> None:
    """Note that a message has arrived, or that it never will, which has it go another way."""
    sid = form.get("MessageSid") or form.get("CallSid") or ""
    status = form.get("MessageStatus") or form.get("CallStatus") or ""
    if status in ARRIVED:
        await store.pool.execute(ARRIVES, notice_id, sid, store.now())
    elif status not in GONE:
        await store.pool.execute(TAKEN, notice_id, sid, store.now())
    else:
        error = f"{status} {form.get('ErrorCode', '')}".strip()
        async with store.pool.acquire() as borrowed, borrowed.transaction():
            conn = cast(Connection, borrowed)
            if await conn.fetchval(FAILS, notice_id, sid, error):
                await go_another_way(conn, notice_id, store.now())


# Whichever try it was: the person has it. It may come before we have noted that it was sent, or after a failure.
ARRIVES = """
update notices set state = 'delivered', sent_at = coalesce(sent_at, $3), delivered_at = $3, provider_id = $2,
    last_error = null, secret = null
where id = $1 and state in ('pending', 'sending', 'sent', 'failed') and channel in ('sms', 'whatsapp', 'voice')
"""
# The answer to our try was lost, or is still on its way: it was taken all the same.
TAKEN = """
update notices set state = 'sent', sent_at = $3, provider_id = $2, last_error = null, secret = null
where id = $1 and provider_id is null and attempts > 0 and state in ('pending', 'sending')
    and channel in ('sms', 'whatsapp', 'voice')
"""
FAILS = """
update notices set state = 'failed', provider_id = $2, last_error = $3, secret = null
where id = $1 and (provider_id = $2 and state = 'sent' or provider_id is null and state = 'sending')
    and channel in ('sms', 'whatsapp', 'voice')
returning id
"""


async def hear(store: Store, form: Mapping[str, str]) -> None:
    """Somebody answered a message: STOP ends what goes to their number over that channel at once, START begins it."""
    kind, _, number = form.get("From", "").rpartition(":")
    channel = "whatsapp" if kind == "whatsapp" else "sms"
    word = (form.get("OptOutType") or form.get("Body", "")).strip().strip(".!").upper()
    if word in STOP:
        async with store.pool.acquire() as borrowed, borrowed.transaction():
            await stop(cast(Connection, borrowed), channel, number, store.now())
    elif word in START:
        async with store.pool.acquire() as borrowed:
            await start(cast(Connection, borrowed), channel, number)


def routes(store: Callable[[], Store], config: Config) -> list[Route]:
    """Where Twilio reaches us; nowhere while no account is configured."""
    if not config.twilio_token:
        return []

    async def status(request: Request) -> Response:
        """What became of a message."""
        form = await signed_form(request, config)
        found = KEY.fullmatch(request.path_params["key"])
        if found is None:
            raise errors.NotFound()
        await _noted(note_status(store(), int(found[1]), form))
        return Response(status_code=204)

    async def reply(request: Request) -> Response:
        """What somebody answered."""
        await _noted(hear(store(), await signed_form(request, config)))
        return Response(NOTHING, media_type="text/xml")

    return [Route(STATUS, status, methods=["POST"]), Route(REPLIES, reply, methods=["POST"])]


async def _noted(work: Awaitable[None]) -> None:
    """Twilio asks again where we could not note it."""
    try:
        await work
    except LOST as lost:
        raise errors.Unavailable() from lost


async def signed_form(request: Request, config: Config) -> dict[str, str]:
    """The form that a provider posts, once its signature is found to be right. Raises `NotAllowed`, `BodyTooLarge`."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST:
            raise errors.BodyTooLarge(limit=MOST)
    try:
        form = dict(parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=bool(body), max_num_fields=100))
    except ValueError:
        raise errors.NotAllowed() from None
    # The address that they were given: what a proxy has made of it is none of theirs.
    query = f"?{request.url.query}" if request.url.query else ""
    right = signature(config.twilio_token, config.base_url + request.url.path + query, form)
    if not hmac.compare_digest(right.encode(), request.headers.get("x-twilio-signature", "").encode()):
        log.warning("callback-forged", route=request.url.path.rpartition("/")[0])
        raise errors.NotAllowed()
    return form
