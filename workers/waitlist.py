"""The waitlist's part of the worker: what was offered and not answered goes on, and nobody who waits is forgotten.

Invariant: as all tasks, these can run twice, late or on several workers at once; a killed one leaves nothing half done.
"""

from typing import Any

from server import logs, waitlist

log = logs.get(__name__)


async def tend_waitlist(ctx: dict[str, Any]) -> None:
    """Let what nobody answered in time go to the next, and look for those whom something may have become free for."""
    if expired := await waitlist.expire_offers(ctx["store"]):
        log.info("offers-expired", count=expired)
    if served := await waitlist.look_for_marked(ctx["store"]):
        log.info("waits-served", count=served)


async def end_waits(ctx: dict[str, Any]) -> None:
    """End the waits whose days are over."""
    if ended := await waitlist.end_waits(ctx["store"]):
        log.info("waits-ended", count=ended)
