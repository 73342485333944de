"""Locks on slots: for a few minutes a slot is whose who touched it first."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import redis.asyncio as redis


class Locks:
    """The locks on slots, in Redis alone."""

    def __init__(self, client: "redis.Redis") -> None:
        self.redis = client

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Locks"]:
        """With locks that end on time."""
        yield self

    async def holds(self, token: str, slots: Sequence[int]) -> bool:
        """Whether this token's lock is in force on all of these slots."""
        return False

    def let_go(self, tokens: Sequence[str]) -> None:
        """Release these tokens' locks."""
