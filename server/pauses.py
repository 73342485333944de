"""When a process that serves stops to look for objects that nobody uses any more: seldom, and while nothing happens.

CPython looks through all objects at once, at an instant of its own choosing: with a thousand open sockets that is
115 ms in which no call goes out. So what the start made is not looked through at all, young objects are as ever, and
the others once enough have come to be worth it and nothing is being delivered; in a flood, before they are too many.
Interpreters that collect in small steps by themselves lose nothing by it.
"""

import asyncio
import contextlib
import gc
import time
from collections.abc import AsyncIterator, Callable

from server import logs

log = logs.get(__name__)

YOUNG = (2_000, 10)
"""New objects before the young are looked through, and how often that is before those that outlived it are, too."""
NEVER = 1_000_000_000
WORTH = 10
"""So many looks at the middle generation, each for 20,000 objects more, make one at all objects worth its pause."""
TOO_MUCH = 100
"""So many make it due, whatever is going on."""
LOOK_EVERY = 1.0
"""Seconds; nothing was delivered for as long when a pause is made."""


@contextlib.asynccontextmanager
async def seldom(delivered: Callable[[], int]) -> AsyncIterator[None]:
    """Have this process pause seldom; `delivered` counts what it hands out."""
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(*YOUNG, NEVER)
    looking = asyncio.create_task(_look(delivered))
    try:
        yield
    finally:
        looking.cancel()
        gc.set_threshold(*before)
        gc.unfreeze()


async def _look(delivered: Callable[[], int]) -> None:
    seen = delivered()
    while True:
        await asyncio.sleep(LOOK_EVERY)
        now = delivered()
        if due(gc.get_count()[2], quiet=now == seen):
            begun = time.perf_counter()
            found = gc.collect()
            log.debug("collected", objects=found, ms=round((time.perf_counter() - begun) * 1000, 1))
        seen = now


def due(looks: int, *, quiet: bool) -> bool:
    """Whether to look through all objects now, after so many looks at the middle generation."""
    return looks >= (WORTH if quiet else TOO_MUCH)
