"""What the providers are asked, by all workers together: no more often than agreed, and not at all while one is down.

Invariants: every count is made in one script, on Redis's own clock, so that any number of workers keep one limit. A
provider that failed again and again is left alone for a while, longer each time; then one message is tried, and only
if that gets through do the others follow. It may all be lost with Redis: then counting begins anew.
"""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from redis.exceptions import RedisError

from server import logs
from server.config import Rate

FAILURES = 5
"""Failures one after another, of anybody's messages, after which a provider counts as down."""
FIRST_REST = 5.0
LONGEST_REST = 60.0
"""Seconds for which a provider is then left alone; doubled with every trial that fails."""
TRIAL = 20.0
"""Seconds after which a trial counts as given up, its worker as dead."""
LONGEST_WAIT = 900.0
"""Seconds that we wait at most because a provider says so."""

log = logs.get(__name__)

NOW = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local key = KEYS[1]
local function number(field) return tonumber(redis.call('HGET', key, field) or '0') end
"""

TAKE = (
    NOW
    + """
-- wanted, milliseconds between two, how many at once, failures, milliseconds of a trial
local wanted, interval, burst = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
if number('until') > now then return 0 end
if number('failures') >= tonumber(ARGV[4]) then
    if number('trial') > now then return 0 end
    redis.call('HSET', key, 'trial', now + tonumber(ARGV[5]))
    wanted = math.min(wanted, 1)
end
if interval > 0 then
    local due = math.max(number('due'), now)
    wanted = math.min(wanted, math.floor((now + interval * (burst - 1) - due) / interval) + 1)
    if wanted <= 0 then return 0 end
    redis.call('HSET', key, 'due', due + wanted * interval)
end
redis.call('EXPIRE', key, 3600)
return wanted
"""
)
GIVE_BACK = (
    NOW
    + """
redis.call('HSET', key, 'due', number('due') - tonumber(ARGV[1]) * tonumber(ARGV[2]))
redis.call('HDEL', key, 'trial')
redis.call('EXPIRE', key, 3600)
"""
)
WORKED = "redis.call('HDEL', KEYS[1], 'failures', 'trial', 'until')"
FAILED = (
    NOW
    + """
-- failures, first and longest rest in milliseconds
if number('until') > now then return 0 end
local most, failures = tonumber(ARGV[1]), redis.call('HINCRBY', key, 'failures', 1)
redis.call('HDEL', key, 'trial')
redis.call('EXPIRE', key, 3600)
if failures < most then return 0 end
local rest = math.min(tonumber(ARGV[3]), tonumber(ARGV[2]) * 2 ^ math.min(failures - most, 20))
redis.call('HSET', key, 'until', now + math.floor(rest))
return math.floor(rest)
"""
)
WAIT = (
    NOW
    + """
redis.call('HSET', key, 'until', math.max(number('until'), now + tonumber(ARGV[1])))
redis.call('EXPIRE', key, 3600)
"""
)


@dataclass
class Throttle:
    """The limits of all providers, and which are down."""

    redis: Any
    rates: Mapping[str, Rate | None] = field(default_factory=dict)
    _telling: set[str] = field(default_factory=set)
    _rests: dict[str, float] = field(default_factory=dict)
    """Until when, by this process's own clock, each provider rests that this worker has seen fail."""

    async def take(self, provider: str, wanted: int) -> int:
        """How many of so many messages may be handed to a provider now; they count from here on."""
        rate = self.rates.get(provider)
        args = (wanted, _interval(rate), rate.at_once if rate else 0, FAILURES, int(TRIAL * 1000))
        return int(await self._run(TAKE, provider, *args) or 0)

    async def give_back(self, provider: str, count: int) -> None:
        """So many were not needed."""
        await self._run(GIVE_BACK, provider, count, _interval(self.rates.get(provider)))

    async def worked(self, provider: str) -> None:
        """The provider answered: it is up. While that is being told it need not be told again."""
        self._rests.pop(provider, None)
        if provider in self._telling:
            return
        self._telling.add(provider)
        try:
            await self._run(WORKED, provider)
        finally:
            self._telling.discard(provider)

    async def failed(self, provider: str) -> None:
        """The provider did not answer, or said that it is in trouble."""
        rest = await self._run(FAILED, provider, FAILURES, int(FIRST_REST * 1000), int(LONGEST_REST * 1000))
        if rest:
            self._rests[provider] = time.monotonic() + int(rest) / 1000
            log.warning("provider-down", provider=provider, seconds=int(rest) // 1000)

    async def wait(self, provider: str, seconds: float) -> None:
        """The provider asked to be left alone for so long."""
        self._rests[provider] = time.monotonic() + min(seconds, LONGEST_WAIT)
        await self._run(WAIT, provider, int(min(seconds, LONGEST_WAIT) * 1000))

    def resting(self) -> dict[str, int]:
        """The seconds for which each provider is still left alone, as far as this worker was told; for the status."""
        now = time.monotonic()
        return {provider: math.ceil(until - now) for provider, until in self._rests.items() if until > now}

    async def _run(self, script: str, provider: str, *args: Any) -> Any:
        try:
            return await self.redis.eval(script, 1, f"cb:provider:{provider}", *args)
        except (RedisError, OSError) as lost:
            # Nothing is sent for a moment; the clock tries again.
            log.debug("limits-out-of-reach", error=type(lost).__name__)
            return 0


def _interval(rate: Rate | None) -> float:
    return 1000 / rate.per_second if rate else 0.0
