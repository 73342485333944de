"""Sending what is due: claim, write, hand over, note; again until nothing is due.

Invariants: PostgreSQL alone says what is to be sent; the job that woke us may be lost, late or twice. A worker that
dies holds its notices for one lease, then another sends them, under the same keys. Nothing is noted as sent that no
provider took.
"""

import asyncio
import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import asyncpg
import jinja2

from server import access, errors, logs
from server.notices import WRITE_ANEW, changed_levels, rules, sending, texts
from server.store import LOST, Pool, Store
from workers.senders import Later, Refused, Sender
from workers.throttle import Throttle

log = logs.get(__name__)

AT_ONCE = 20
"""Messages on their way to one provider at the same time, from this worker: all that it holds, so none waits."""
ENOUGH = 5
"""How many more must have room before the next are claimed, unless nothing is under way."""
WITHIN = 10.0
"""Seconds that one hand-over may take, well within the lease."""
AT_MOST = 4.0
"""Seconds after which the job leaves what is still due to the next: arq would cut a long one off half-way."""


@dataclass
class Way:
    """One provider's sender, the channels that it serves, and what is on its way there."""

    sender: Sender
    channels: list[str]
    under_way: "set[asyncio.Task[None]]" = field(default_factory=set)
    claiming: bool = False

    @property
    def room(self) -> int:
        """How many more may be on their way."""
        return AT_ONCE - len(self.under_way)


@dataclass
class Notes:
    """Notes of what providers took: the first is written at once, and with each what came while another was written."""

    pool: Pool
    _waiting: "list[tuple[sending.Sent, asyncio.Future[None]]]" = field(default_factory=list)
    _writing: "asyncio.Task[None] | None" = None

    async def sent(self, one: sending.Sent) -> None:
        """Return once it is on record."""
        noted = asyncio.get_running_loop().create_future()
        self._waiting.append((one, noted))
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())
        await noted

    async def _write(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            done: set[int] = set()
            # What cannot be noted, whatever it has about it, costs none of the others.
            with contextlib.suppress(*LOST, asyncpg.PostgresError):
                done = await sending.note_all_sent(self.pool, [one for one, _ in batch])
            await asyncio.gather(*(self._settle(one, noted, one.held.id in done) for one, noted in batch))

    async def _settle(self, one: sending.Sent, noted: "asyncio.Future[None]", done: bool) -> None:
        """Let whoever waits for a note go on; one that was not written with the others is written by itself."""
        try:
            if not done:
                await sending.note_sent(self.pool, one.held, one.provider_id, one.at)
        except Exception as failure:
            if not noted.done():
                noted.set_exception(failure)
        else:
            if not noted.done():
                noted.set_result(None)


@dataclass
class Post:
    """What sending works with: the store, a sender for each channel, and what stops it."""

    store: Store
    senders: Mapping[str, Sender]
    fallback: Sender
    """For every channel without a sender of its own."""
    mail_from: str = "callboard@localhost"
    throttle: Throttle | None = None
    """None: whatever is due goes out, as fast as it may."""
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    sent: int = 0
    failed: int = 0
    _ways: dict[str, Way] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Begin with nothing to note."""
        self.notes = Notes(self.store.pool)

    def under_way(self) -> "set[asyncio.Task[None]]":
        """What is on its way to any provider."""
        return set().union(*(way.under_way for way in self._ways.values()))

    def sender(self, channel: str) -> Sender:
        """The way out for a channel."""
        return self.senders.get(channel, self.fallback)

    def ways(self) -> list[Way]:
        """The ways out; a slow provider holds up its own channels and no others."""
        if not self._ways:
            for channel in rules.CHANNELS:
                sender = self.sender(channel)
                self._ways.setdefault(sender.provider, Way(sender, [])).channels.append(channel)
        return list(self._ways.values())


async def send_due(post: Post) -> int:
    """Send everything that is due by now; answers how many notices were looked at."""
    return sum(await asyncio.gather(*(_send_by(post, way) for way in post.ways())))


async def _send_by(post: Post, way: Way) -> int:
    """One provider's share: claimed as there is room, so that one that hangs keeps one place and no more."""
    if way.claiming:
        return 0  # This worker is at it already.
    way.claiming = True
    begun: set[asyncio.Task[None]] = set()
    looked, until = 0, time.monotonic() + AT_MOST
    try:
        while not post.stopping.is_set() and time.monotonic() < until:
            if way.under_way and way.room < min(ENOUGH, AT_ONCE):
                await asyncio.wait(way.under_way, return_when=asyncio.FIRST_COMPLETED)
                continue
            held = await _claim(post, way)
            if not held:
                break
            looked += len(held)
            begun |= await _begin(post, way, held)
    finally:
        way.claiming = False
    await asyncio.gather(*begun)
    return looked


async def _begin(post: Post, way: Way, held: list[sending.Held]) -> "set[asyncio.Task[None]]":
    """Have what is to be sent still be on its way, of what was claimed a moment ago."""
    letters = await sending.letters(post.store.pool, held, post.store.now(), post.store.secret_key)
    tasks = {asyncio.create_task(deliver(post, letter)) for letter in letters}
    way.under_way |= tasks
    for task in tasks:
        task.add_done_callback(way.under_way.discard)
    return tasks


async def _claim(post: Post, way: Way) -> list[sending.Held]:
    """What may be sent by this provider now: no more than its limit and our room allow."""
    provider, now = way.sender.provider, post.store.now()
    most = await post.throttle.take(provider, way.room) if post.throttle else way.room
    if most <= 0:
        return []
    held = await sending.claim(post.store.pool, now, most, way.channels)
    if post.throttle and len(held) < most:
        await post.throttle.give_back(provider, most - len(held))
    return held


async def deliver(post: Post, letter: sending.Letter) -> None:
    """Send one notice that this worker holds, and note what became of it."""
    pool, now, held = post.store.pool, post.store.now, letter.held
    if post.stopping.is_set():
        await sending.give_back(pool, [held])
        return
    if letter.recipient is None:
        await sending.note_failed(pool, held, "no address", now(), for_good=True)
        return
    try:
        told = letter.told(letter.recipient, post.store.base_url, post.mail_from)
        message = replace(texts.read(told), opens=letter.opens)
    except (jinja2.TemplateError, KeyError, ValueError) as broken:
        log.error("notice-not-written", notice=held.id, kind=letter.kind, error=type(broken).__name__)
        await sending.note_failed(pool, held, f"text: {type(broken).__name__}", now(), for_good=True)
        return
    sender = post.sender(letter.channel)
    try:
        async with asyncio.timeout(WITHIN):
            provider_id = await sender.send(message, held.key, letter.since)
    except Refused as refused:
        post.failed += 1
        await _answered(post, sender, None)
        await sending.note_failed(pool, held, str(refused), now(), for_good=True)
    except (Later, TimeoutError) as failed:
        later = failed if isinstance(failed, Later) else Later("no answer in time", down=True, settles=WITHIN)
        await _answered(post, sender, later)
        put_off = timedelta(seconds=later.wait) if later.wait is not None else None
        at_least = timedelta(seconds=later.settles)
        await sending.note_failed(pool, held, str(later), now(), put_off=put_off, at_least=at_least)
    else:
        post.sent += 1
        await post.notes.sent(sending.Sent(held, provider_id, now()))
        await _answered(post, sender, None)


async def _answered(post: Post, sender: Sender, later: Later | None) -> None:
    """Let all workers know how the provider does; a message that it only cannot take now says nothing of that."""
    if post.throttle is None:
        return
    if later is None:
        await post.throttle.worked(sender.provider)
    elif later.wait is not None and not later.alone:
        await post.throttle.wait(sender.provider, later.wait)
    elif later.down:
        await post.throttle.failed(sender.provider)


async def send_notices(ctx: dict[str, Any]) -> None:
    """The job: whoever wrote a notice wakes us by it, and so does the clock."""
    looked = await send_due(ctx["post"])
    if looked:
        log.info("notices", looked=looked)


async def write_anew(ctx: dict[str, Any]) -> None:
    """Write the reminders of what is booked by the settings that have changed, a few appointments at a time."""
    things: Store = ctx["store"]
    for level in await changed_levels(things.pool):
        ask, more = level, True
        while more:
            try:
                written = await things.execute(WRITE_ANEW, access.SYSTEM, ask)
            except errors.Refusal as refusal:
                # The settings have changed again: from the beginning, by the next run.
                log.info("reminders-not-written-anew", institution=ask.institution_id, code=refusal.code)
                break
            ask, more = ask.model_copy(update={"behind": written.last}), written.last is not None
