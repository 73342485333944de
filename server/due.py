"""Whatever is due by the clock is carried out piece by piece, by the system's own commands.

Invariant: each piece is a transaction of its own, and a refusal costs the one piece that it is about: somebody answered
meanwhile, most likely, or another worker was faster.
"""

from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any, TypeVar

from server import access, errors
from server.asks import Ask, Reply
from server.store import Command, Store

A = TypeVar("A", bound=Ask)
R = TypeVar("R", bound=Reply)


async def carried_out(
    store: Store, command: Command[A, R], asks: Iterable[A], say: Callable[..., Any], otherwise: str
) -> AsyncIterator[tuple[A, R]]:
    """Each of these with its answer, as it is carried out; of what is refused, `otherwise` is said, and why."""
    for ask in asks:
        try:
            reply = await store.execute(command, access.SYSTEM, ask)
        except errors.Refusal as refusal:
            about = {name.removesuffix("_id"): value for name, value in ask}
            say(otherwise, command=command.name, **about, code=refusal.code)
        else:
            yield ask, reply


async def carry_out(
    store: Store, command: Command[A, R], asks: Iterable[A], say: Callable[..., Any], otherwise: str
) -> int:
    """Carry these out; answers how many were."""
    return len([one async for one in carried_out(store, command, asks, say, otherwise)])
