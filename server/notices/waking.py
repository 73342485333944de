"""Waking the worker: a job that says no more than that there is something to send.

Invariant: nothing depends on it. It may be lost with Redis, or come twice: PostgreSQL says what is due, and the clock
looks there every second.
"""

import asyncio
from typing import Any

from arq.connections import ArqRedis
from redis.exceptions import RedisError

from server import logs

JOB = "send_notices"
log = logs.get(__name__)


class Waker:
    """Wakes whichever worker is free, once for any number of calls that come meanwhile."""

    def __init__(self, client: Any) -> None:
        self._redis = ArqRedis(connection_pool=client.connection_pool)
        self._waking: asyncio.Task[None] | None = None

    def wake(self) -> None:
        """Have a worker look at what is due. Neither blocks nor fails."""
        if self._waking is None or self._waking.done():
            self._waking = asyncio.get_running_loop().create_task(self._wake())

    async def _wake(self) -> None:
        try:
            # Named, so that a thousand bookings at once wake it once.
            await self._redis.enqueue_job(JOB, _job_id="wake:notices", _expires=5)
        except (RedisError, OSError) as lost:
            log.debug("worker-not-woken", error=type(lost).__name__)
