"""Sending what is due: claim, write, hand over, note; again until nothing is due.

Invariants: PostgreSQL alone says what is to be sent; the job that woke us may be lost, late or twice. A worker that
dies holds its notices for one lease, then another sends them, under the same keys. Nothing is noted as sent that no
provider took.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jinja2

from server import logs
from server.notices import sending, texts
from server.store import Store
from workers.senders import Later, Refused, Sender

log = logs.get(__name__)

BATCH = 40
"""Notices that a worker holds at once: no more than it can surely send within a lease."""
AT_ONCE = 20
"""Messages on their way to the providers at the same time."""
WITHIN = 15.0
"""Seconds that one hand-over may take, well within the lease."""
AT_MOST = 4.0
"""Seconds after which the job leaves what is still due to the next: arq would cut a long one off half-way."""


@dataclass
class Post:
    """What sending works with: the store, a sender for each channel, and what stops it."""

    store: Store
    senders: Mapping[str, Sender]
    fallback: Sender
    """For every channel without a sender of its own."""
    mail_from: str = "callboard@localhost"
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    sent: int = 0
    failed: int = 0

    def sender(self, channel: str) -> Sender:
        """The way out for a channel."""
        return self.senders.get(channel, self.fallback)


async def send_due(post: Post) -> int:
    """Send everything that is due by now; answers how many notices were looked at."""
    looked, until = 0, time.monotonic() + AT_MOST
    while not post.stopping.is_set() and time.monotonic() < until:
        held = await sending.claim(post.store.pool, post.store.now(), BATCH)
        if not held:
            break
        looked += len(held)
        room = asyncio.Semaphore(AT_ONCE)
        begun: set[int] = set()
        await asyncio.gather(*(_in_turn(post, one, room, begun) for one in held))
        if left := [one for one in held if one.id not in begun]:
            await sending.give_back(post.store.pool, left)
    return looked


async def _in_turn(post: Post, held: sending.Held, room: asyncio.Semaphore, begun: set[int]) -> None:
    async with room:
        if not post.stopping.is_set():
            begun.add(held.id)
            await deliver(post, held)


async def deliver(post: Post, held: sending.Held) -> None:
    """Send one notice that this worker holds, and note what became of it."""
    pool, now = post.store.pool, post.store.now
    letter = await sending.letter(pool, held, now(), post.store.secret_key)
    if letter is None:
        return
    if letter.recipient is None:
        await sending.note_failed(pool, held, "no address", now(), for_good=True)
        return
    try:
        message = texts.read(letter.told(letter.recipient, post.store.base_url, post.mail_from))
    except (jinja2.TemplateError, KeyError, ValueError) as broken:
        log.error("notice-not-written", notice=held.id, kind=letter.kind, error=type(broken).__name__)
        await sending.note_failed(pool, held, f"text: {type(broken).__name__}", now(), for_good=True)
        return
    try:
        async with asyncio.timeout(WITHIN):
            provider_id = await post.sender(letter.channel).send(message, held.key)
    except Refused as refused:
        post.failed += 1
        await sending.note_failed(pool, held, str(refused), now(), for_good=True)
    except (Later, TimeoutError) as later:
        await sending.note_failed(pool, held, str(later) or type(later).__name__, now())
    else:
        post.sent += 1
        await sending.note_sent(pool, held, provider_id, now())


async def send_notices(ctx: dict[str, Any]) -> None:
    """The job: whoever wrote a notice wakes us by it, and so does the clock."""
    looked = await send_due(ctx["post"])
    if looked:
        log.info("notices", looked=looked)
