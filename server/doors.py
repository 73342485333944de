"""How much anybody may ask, how many may be connected, and how often a password may be guessed.

Invariants: an address is the client's own, which uvicorn takes from X-Forwarded-For only where a trusted proxy sent it;
an IPv6 address counts by its /64, which one subscriber has whole. What is counted here is bounded, and forgotten by
itself. `/healthz`, `/readyz` and `/metrics` are never limited: whoever asks them decides whether we are restarted.

Requests, events and connections are counted per process, in memory: they protect the process, a count in Redis would
put a round trip before every "call next", and the doors must hold while Redis is away. Sign-ins are counted in Redis,
by all processes together, since what they protect is the account; while Redis is away, each process counts its own.
(The `limits` library was tried: it asks once for each thing that is counted, and cannot take a try back that turned out
to be right, so that a hundred tries at once would all be let through. One script here does both.)

The limits are for floods. They are generous enough for a clinic whose 60 boards and 200 phones share one address, all
of which load their page anew when the server comes back.
"""

import contextlib
import hashlib
import ipaddress
import math
import secrets
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from redis.exceptions import RedisError

from server import errors
from server.access import Actor, Role
from server.config import Config, Rate

UNLIMITED = frozenset({"/healthz", "/readyz", "/metrics"})
FORGIVEN = 100
"""Events beyond the limit that a socket is refused before it is cut."""
KEYS_KEPT = 10_000
"""Keys of a limit before it looks for ones that it can forget."""


class Limit:
    """So many at once, and so many a second from then on, for each key by itself (GCRA, ITU-T I.371)."""

    def __init__(self, rate: Rate | None, clock: Callable[[], float] = time.monotonic) -> None:
        self.interval = 1 / rate.per_second if rate else 0.0
        self.slack = self.interval * (rate.at_once - 1) if rate else 0.0
        self._clock = clock
        self._due: dict[str, float] = {}
        self._look_at = KEYS_KEPT

    def __len__(self) -> int:
        return len(self._due)

    def take(self, key: str) -> float:
        """Zero where one more is within the limit, and it is counted; else the seconds until it would be."""
        if not self.interval:
            return 0.0
        now = self._clock()
        due = max(self._due.get(key, now), now)
        if due - now > self.slack:
            return due - now - self.slack
        self._due[key] = due + self.interval
        if len(self._due) >= self._look_at:
            self._due = {name: at for name, at in self._due.items() if at > now}
            self._look_at = max(KEYS_KEPT, 2 * len(self._due))
        return 0.0

    def forget(self, key: str) -> None:
        """Forget a key that will not come again."""
        self._due.pop(key, None)


class Doors:
    """All limits of one process."""

    def __init__(self, config: Config, redis: Any = None) -> None:
        self.sign_ins = SignIns(redis)
        self.refused: Counter[str] = Counter()
        """How often each door was shut, for `/metrics`."""
        self.inside: dict[str, str] = {}
        """The address of every connection that is open, by its id."""
        self._per_address: Counter[str] = Counter()
        self._most = config.sockets_most
        self._most_per_address = config.sockets_per_address
        self._of_address = Limit(config.limit_address)
        self._of_stranger = Limit(config.limit_stranger)
        self._of_socket = Limit(config.limit_socket)
        at_all = config.limit_socket and Rate(10 * config.limit_socket.per_second, 10 * config.limit_socket.at_once)
        self._of_socket_at_all = Limit(at_all)
        self._of_role = {Role.device: Limit(config.limit_device), Role.ticket: Limit(config.limit_ticket)}
        self._of_person = Limit(config.limit_person)

    def request(self, scope: Mapping[str, Any]) -> None:
        """Count one request or handshake by its address. Raises `TooMany`."""
        if scope["path"] not in UNLIMITED:
            self._hold("address", self._of_address.take(sender(scope)))

    def ask(self, actor: Actor, scope: Mapping[str, Any], changes: bool) -> None:
        """Count what a known actor asks; of a stranger only what `changes` something. Raises `TooMany`."""
        if actor.role is not Role.anonymous:
            self._hold(*self._by_actor(actor))
        elif changes:
            self._hold("stranger", self._of_stranger.take(sender(scope)))

    def event(self, sid: str, actor: Actor) -> None:
        """Count one event of a socket, and of whoever it belongs to. Raises `TooMany`."""
        self._hold("socket", self._of_socket.take(sid))
        self._hold(*self._by_actor(actor))

    def _by_actor(self, actor: Actor) -> tuple[str, float]:
        limit = self._of_role.get(actor.role, self._of_person)
        return ("person" if limit is self._of_person else actor.role.value), limit.take(actor.key)

    def _hold(self, door: str, wait: float) -> None:
        if wait:
            self.refused[door] += 1
            raise errors.TooMany(retry_after=math.ceil(wait))

    def enter(self, sid: str, environ: Mapping[str, Any]) -> bool:
        """Whether one more connection may be opened from there; if so it is counted until it has `left`."""
        address = sender(environ.get("asgi.scope", {}))
        if len(self.inside) >= self._most or self._per_address[address] >= self._most_per_address:
            self.refused["connections"] += 1
            return False
        self.inside[sid] = address
        self._per_address[address] += 1
        return True

    def heard(self, sid: str) -> bool:
        """Count one message of a WebSocket, of whatever kind; ten times as many as events are let through."""
        if not self._of_socket_at_all.take(sid):
            return True
        self.refused["messages"] += 1
        return False

    def left(self, sid: str) -> None:
        """Count a connection no more; told twice, nothing happens."""
        self._of_socket.forget(sid)
        self._of_socket_at_all.forget(sid)
        address = self.inside.pop(sid, None)
        if address is not None:
            self._per_address[address] -= 1
            if not self._per_address[address]:
                del self._per_address[address]


def sender(scope: Mapping[str, Any]) -> str:
    """The address that a request counts for: an IPv4 address, or an IPv6 network of 64 bits."""
    host = (scope.get("client") or ("", 0))[0]
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return str(host)
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is None:
            return str(ipaddress.ip_network((int(address) >> 64 << 64, 64)))
        address = address.ipv4_mapped
    return str(address)


# Guessing passwords


@dataclass(frozen=True, slots=True)
class Count:
    """Failed tries that have something in common: how many are let through in how many seconds."""

    what: str
    most: int
    seconds: int

    @property
    def key(self) -> str:
        """Its key in Redis: a hash, as `what` may hold somebody's address; the braces keep all on one node."""
        return "cb:{doors}:" + hashlib.sha256(self.what.encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Try:
    """One try at a password, counted as failed until `SignIns.right` takes it back."""

    account: str
    address: str
    name: str
    counts: tuple[Count, ...]
    shared: bool
    """Whether Redis counts it; else this process does."""

    @property
    def everywhere(self) -> Count:
        """The tries for this account, from wherever they come."""
        return Count(f"account {self.account}", 100, 3600)

    @property
    def known(self) -> str:
        """The key that is there where this account has signed in from this address before."""
        return Count(f"known {self.address} {self.account}", 0, 0).key


BEGIN = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for i, key in ipairs(KEYS) do
    local most, window = tonumber(ARGV[2 * i]), tonumber(ARGV[2 * i + 1]) * 1000
    redis.call('ZREMRANGEBYSCORE', key, '-inf', now - window)
    if redis.call('ZCARD', key) >= most then
        return redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')[2] + window - now
    end
end
for i, key in ipairs(KEYS) do
    redis.call('ZADD', key, now, ARGV[1])
    redis.call('EXPIRE', key, ARGV[2 * i + 1])
end
return 0
"""
"""Counts a try under every key, unless one of them is full: then it answers in how many milliseconds it will not be."""

KNOWN_FOR = 30 * 24 * 3600
"""Seconds for which an address is known to be an account's own, since it signed in from there."""


class SignIns:
    """Failed sign-ins of the last minutes.

    By account and address together, and by address. By account alone only from addresses where nobody has signed in to
    it before: guessing from a thousand addresses ends, and does not lock the owner out at their desk.
    """

    def __init__(self, redis: Any = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._redis = redis
        self._here = Tries(clock)

    async def begin(self, account: str, address: str) -> Try:
        """Count a try as failed until it proves otherwise, so that many at once gain nothing. Raises `TooMany`."""
        account = account.strip().lower()
        counts = (Count(f"both {address} {account}", 10, 300), Count(f"address {address}", 100, 300))
        one = Try(account, address, secrets.token_urlsafe(9), counts, shared=self._redis is not None)
        try:
            wait = await self._begin_shared(one) if self._redis is not None else self._here.begin(one)
        except (RedisError, OSError):
            one = replace(one, shared=False)
            wait = self._here.begin(one)
        if wait > 0:
            raise errors.TooMany(retry_after=math.ceil(wait))
        return one

    async def _begin_shared(self, one: Try) -> float:
        counts = [*one.counts, one.everywhere]
        if await self._redis.exists(one.known):
            counts.pop()
        figures = [figure for count in counts for figure in (count.most, count.seconds)]
        keys = [count.key for count in counts]
        return int(await self._redis.eval(BEGIN, len(keys), *keys, one.name, *figures)) / 1000

    async def void(self, one: Try) -> None:
        """Count a try for nothing: nobody could tell whether it was right."""
        await self._take_back(one, right=False)

    async def right(self, one: Try) -> None:
        """Count a try for nothing: it was right, and came from a place that is known from here on."""
        await self._take_back(one, right=True)

    async def _take_back(self, one: Try, right: bool) -> None:
        if not one.shared:
            self._here.take_back(one)
            return
        # Without Redis it stays counted: a try too many is no harm, an exception after a right password would be.
        with contextlib.suppress(RedisError, OSError):
            async with self._redis.pipeline(transaction=False) as pipe:
                for count in (*one.counts, one.everywhere):
                    pipe.zrem(count.key, one.name)
                if right:
                    pipe.set(one.known, 1, ex=KNOWN_FOR)
                await pipe.execute()


class Tries:
    """Failed tries as one process counts them."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._failed: dict[str, list[float]] = {}

    def begin(self, one: Try) -> float:
        """Count a try under everything it has in common with others; or answer the seconds until it may be made."""
        now = self._clock()
        if len(self._failed) >= KEYS_KEPT:
            self._failed = {key: times for key, times in self._failed.items() if times[-1] > now - 300}
        recent = {
            count: [at for at in self._failed.get(count.key, ()) if at > now - count.seconds] for count in one.counts
        }
        for count, times in recent.items():
            if len(times) >= count.most:
                return times[0] + count.seconds - now
        self._failed |= {count.key: [*times, now] for count, times in recent.items()}
        return 0.0

    def take_back(self, one: Try) -> None:
        """Take the last try back."""
        for count in one.counts:
            times = self._failed.get(count.key)
            if times:
                times.pop()
                if not times:
                    del self._failed[count.key]
