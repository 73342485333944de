"""Locks on slots: for a few minutes a slot is whose who touched it first.

Invariants:
- A slot never has more locks than it had seats left when they were taken; who books is decided by PostgreSQL alone.
- A token is known to its holder alone: Redis has its hash, streams and logs have neither.
- A lock's end, by hand, by a booking, by its time or by its page's absence, is told once over all processes, and each
  of them sweeps, so that it is told on time while any of them lives.
- Without Redis there are no locks, and locking refuses plainly. A Redis that was emptied or restarted has none either:
  the streams begin anew, and everybody who looks is told so.
"""

import asyncio
import contextlib
import hashlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import orjson
import redis.asyncio as redis
from redis.exceptions import NoScriptError, RedisError

from server import access, errors
from server.publish import note
from server.slots import scripts

GRACE = 15.0
"""Seconds that a lock outlives its page: long enough to load it again, or to come back over another network."""
SWEEP_EVERY = 1.0
"""Seconds after which a process looks for ended locks at the latest; it sleeps less where one ends sooner."""
SHOWN_WITHIN = 0.5
"""Seconds that a list of free slots waits to be told which are locked."""
END_TRIES = 3


@dataclass(frozen=True, slots=True)
class Held:
    """A lock, as its holder is told of it."""

    doctor_id: int
    slot_ids: list[int]
    until: datetime
    extended: bool


@dataclass(frozen=True, slots=True)
class Shown:
    """A doctor's locks as everybody sees them, at a position of their stream: until when each lock on a slot holds."""

    epoch: str
    version: int
    slots: dict[int, list[datetime]]


@dataclass(frozen=True, slots=True)
class Bound:
    """Who holds locks, and on how many slots at most; whoever it is stands in Redis as a hash."""

    who: str
    most: int

    @classmethod
    def of_person(cls, key: str, most: int) -> "Bound":
        """An actor's own bound."""
        return cls(f"person {key}", most)

    @property
    def key(self) -> str:
        """Its count's key."""
        return scripts.BY + hashlib.sha256(self.who.encode()).hexdigest()[:32]


def hash_of(token: str) -> str:
    """What Redis has of a token."""
    return access.digest(token).hex()[:32]


def at(ms: int) -> datetime:
    """A time of Redis's."""
    return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=ms)


class Locks:
    """The locks on slots, in Redis alone."""

    def __init__(self, client: "redis.Redis", clock: Callable[[], datetime] | None = None) -> None:
        self.redis = client
        self._clock = clock
        self._sha = {name: hashlib.sha1(text.encode()).hexdigest() for name, text in scripts.ALL.items()}  # noqa: S324 (Redis names scripts so)
        self._ending: set[asyncio.Task[Any]] = set()
        self._sooner = asyncio.Event()
        self._open = True
        self.swept = 0
        """Locks that this process was the one to end by their time."""

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Locks"]:
        """With locks that end on time; at the end what was let go is released, for a second at most."""
        self._open = True
        sweeping = asyncio.create_task(self._sweep_on(), name="locks-sweep")
        try:
            yield self
        finally:
            # Redis's client can take a cancellation for a lost connection while it connects: then only this ends it.
            self._open = False
            sweeping.cancel()
            await asyncio.gather(sweeping, return_exceptions=True)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await asyncio.gather(*self._ending, return_exceptions=True)

    # Taking and keeping

    async def lock(
        self, doctor_id: int, left: Mapping[int, int], length: timedelta, bounds: Sequence[Bound], alone: bool
    ) -> tuple[str, datetime, bool]:
        """Lock slots, each with so many seats left, for the first bound's person; `alone`: instead of their former.

        Answers the token, until when, and whether a seat of them has just been booked: then look again. Raises
        `SlotLocked`, `TooManyLocks`, `LockingUnavailable`.
        """
        token = secrets.token_urlsafe(24)
        seats = [part for pair in left.items() for part in pair]
        counted = [part for bound in bounds for part in (bound.key, bound.most)]
        ms = round(length.total_seconds() * 1000)
        facts = (hash_of(token), doctor_id, ms, bounds[0].key, _page(), int(alone), len(left))
        said, when = await self._run("lock", *facts, *seats, *counted)
        if said == b"locked":
            raise errors.SlotLocked(until=at(when))
        if said == b"many":
            raise errors.TooManyLocks(until=at(when), retry_after=max(1, -(-(when - self._ms()) // 1000)))
        return token, at(when), bool(said == b"look again")

    async def extend(self, token: str, person: str, slot_id: int) -> Held:
        """Give a lock its time once more. Raises `LockLost`, `LockExtended`, `LockingUnavailable`."""
        said, *facts = await self._run("extend", hash_of(token), _person(person), slot_id)
        if said == b"extended":
            raise errors.LockExtended(until=at(facts[0]))
        return _held(said, facts, extended=True)

    async def claim(self, token: str, person: str, page: str) -> Held:
        """Make a lock this page's, for its whole time again. Raises `LockLost`, `LockingUnavailable`."""
        said, *facts = await self._run("claim", hash_of(token), _person(person), page)
        return _held(said, facts)

    async def holds(self, token: str, slots: Sequence[int]) -> bool:
        """Whether this token's lock is in force on all of these slots. Raises `LockingUnavailable`."""
        return set(slots) <= {int(slot) for slot in await self._run("look", hash_of(token))}

    async def shown(self, doctors: Sequence[int]) -> dict[int, Shown]:
        """What everybody sees of these doctors' locks; nothing where Redis does not answer soon."""
        try:
            async with asyncio.timeout(SHOWN_WITHIN):
                found = await self._run("show", *doctors)
        except (TimeoutError, errors.LockingUnavailable):
            return {}
        return {
            doctor: Shown(epoch.decode(), version, _rows(rows))
            for doctor, (epoch, version, rows) in zip(doctors, found, strict=True)
        }

    # Ending

    async def release(self, token: str, person: str, slot_id: int) -> bool:
        """End a lock by hand; False where it has ended already. Raises `LockingUnavailable`."""
        return bool(await self._run("end", _person(person), slot_id, 0, hash_of(token)))

    async def void(self, token: str) -> None:
        """End a lock that was taken for nothing. Raises `LockingUnavailable`."""
        await self._run("end", "", "", 0, hash_of(token))

    def let_go(self, tokens: Sequence[str]) -> None:
        """Release these tokens' locks in the background: their slots are booked."""
        self._behind("end", "", "", 1, *map(hash_of, tokens))

    def leave(self, page: str, tokens: Sequence[str]) -> None:
        """Give a page's locks a grace time in the background: the page has gone, and may come back."""
        self._behind("leave", round(GRACE * 1000), page, *map(hash_of, tokens))

    def _behind(self, script: str, *args: Any) -> None:
        task = asyncio.create_task(self._surely(script, *args))
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def _surely(self, script: str, *args: Any) -> None:
        for nth in range(END_TRIES):
            try:
                await self._run(script, *args)
                self._sooner.set()
                return
            except errors.LockingUnavailable:
                await asyncio.sleep(0.2 * (nth + 1))

    async def _sweep_on(self) -> None:
        while self._open:
            wait = SWEEP_EVERY
            try:
                ended, next_in = await self._run("sweep")
                self.swept += ended
                if next_in >= 0:
                    wait = min(wait, next_in / 1000)
            except errors.LockingUnavailable:
                pass  # told by whoever publishes; there is nothing to end until Redis is back
            except Exception as failure:
                note("locks-not-swept", failure)
            self._sooner.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._sooner.wait()

    # Redis

    def _ms(self) -> int:
        return int((self._clock() if self._clock else datetime.now(UTC)).timestamp() * 1000)

    async def _run(self, script: str, *args: Any) -> Any:
        """Run one script. Raises `LockingUnavailable`."""
        now = self._ms() if self._clock else ""
        try:
            for _ in range(3):
                try:
                    given: Any = (*scripts.KEYS, now, secrets.token_hex(6), *args)
                    return await cast(
                        "Awaitable[Any]", self.redis.evalsha(self._sha[script], len(scripts.KEYS), *given)
                    )
                except NoScriptError:
                    await self._begin()
        except (RedisError, OSError) as away:
            raise errors.LockingUnavailable() from away
        raise errors.LockingUnavailable()

    async def _begin(self) -> None:
        """Load the scripts into a Redis that lacks them, which is one that has just started."""
        run = (await self.redis.info("server"))["run_id"]
        await self.redis.eval(scripts.BEGIN, 1, scripts.RUN, run)  # type: ignore[misc]
        for text in scripts.ALL.values():
            await self.redis.script_load(text)


def _person(key: str) -> str:
    return Bound.of_person(key, 0).key


def _page() -> str:
    """What the lock's page is known by: its socket, whose id an edge gives in place of a request's."""
    return access.ORIGIN.get(access.NOWHERE).request_id


def _held(said: bytes, facts: Sequence[Any], extended: bool | None = None) -> Held:
    """What a script answered about a lock. Raises `LockLost`."""
    if said == b"gone":
        raise errors.LockLost()
    ends, doctor, slots, *more = facts
    return Held(int(doctor), [int(slot) for slot in slots], at(ends), bool(more[0]) if extended is None else extended)


def _rows(rows: Sequence[bytes]) -> dict[int, list[datetime]]:
    """Each slot's locks, of the rows of a stream."""
    parsed = [cast("dict[str, Any]", orjson.loads(row)) for row in rows]
    return {row["slot"]: [datetime.fromisoformat(one) for one in row["until"]] for row in parsed}
